"""Copies that land later, the mbarriers that count them, and clusters of blocks: one routine for both engines.

- A copy is issued into one of a thread's queues (``cp.async``, bulk copies of a group, operands of ``wgmma``) and lands
  when the thread waits for its group: at the latest moment that hardware allows, so that a wait which is missing shows.
  Until then its destination holds what it held, and the checks say that nothing may touch it.
- A bulk copy that an mbarrier counts lands when the scheduler lets it: where seed 0 orders the launch not before every
  thread waits, with any other seed at a time that is drawn.
- An mbarrier is a word of shared memory, as on hardware (PTX ISA, "mbarrier"): arrivals that are pending and that are
  expected, bytes that are, and the parity of the phase. What threads did before they arrived is known to those who see
  the phase completed.
- The blocks of a cluster find each other's shared memory under addresses that have one more than the block's rank in
  their upper bits.
"""

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import clocks, shadow
from . import state as S
from .jit import c_function, jit
from .memory import words

# The agent's row.
COPIES_AT, FREE, FRESH, QUEUE_AT, QUEUED, ARRIVALS_AT, CLUSTER, CLUSTER_Y, CLUSTER_Z = range(9)
AGENT_WORDS = 16

# A copy: where to, where from (0: zeros), bytes, its group, the next copy of its queue, who issued it and when, the
# mbarrier that counts it. One to address 0 is a read that lasts until its group is waited for.
TO, FROM, BYTES, GROUP, NEXT, OWNER, STAMP, BARRIER = range(8)
COPY_WORDS = 8
COPIES = 1 << 18

#: Blocks whose arrivals at the barrier of their cluster are counted.
COUNTED = 1 << 16

#: Words of twins, their operations and how many operands they take.
OPERATIONS = dict(
    pointer=(0, 1), check=(1, 3), copy_later=(2, 4), commit=(3, 1), wait=(4, 2), copy_to_barrier=(5, 4),
    mbarrier_init=(6, 2), mbarrier_arrive=(7, 2), mbarrier_expect=(8, 2), mbarrier_test=(9, 2), cluster_dims=(10, 3),
    cluster_rank=(11, 0), cluster_arrive=(12, 0), cluster_test=(13, 0), refuse=(14, 1),
)  # fmt: skip
(
    POINTER, CHECK, COPY_LATER, COMMIT, WAIT, COPY_TO_BARRIER, INIT, ARRIVE, EXPECT, TEST, DIMS, RANK, CLUSTER_ARRIVE,
    CLUSTER_TEST, REFUSE,
) = (op for op, _ in OPERATIONS.values())  # fmt: skip

# Of an mbarrier's word.
COUNT_BITS, COUNT_MASK, TX_ZERO, TX_MASK = 20, (1 << 20) - 1, 1 << 20, (1 << 21) - 1
VALID, PHASE = 1 << 61, 62


class Agent:
    """The memory of a worker's transfers; pages that nothing touches take none."""

    def __init__(self, tables):
        self._worker, _, _, self._threads = tables
        self._row = np.zeros(AGENT_WORDS, np.int64)
        self._copies = np.zeros((COPIES, COPY_WORDS), np.int64)
        self._queue, self._arrivals = np.zeros(COPIES, np.int64), np.zeros(COUNTED, np.int64)
        self._start = np.zeros(AGENT_WORDS, np.int64)
        for column, table in ((COPIES_AT, self._copies), (QUEUE_AT, self._queue), (ARRIVALS_AT, self._arrivals)):
            self._start[column] = table.__array_interface__["data"][0]
        self._start[FRESH] = self._start[CLUSTER] = self._start[CLUSTER_Y] = self._start[CLUSTER_Z] = 1
        self._row[:] = self._start
        self._worker[S.AGENT] = self._row.__array_interface__["data"][0]
        self._worker[S.TRANSFER] = transfer.address

    def begin(self):
        """Forget the launch before, where it used any of this; whether the checks know of copies that never landed."""
        worker = self._worker
        if not worker[S.TRANSFERS]:
            return False
        self._row[:] = self._start
        self._arrivals[:] = 0
        cut_short = worker[S.ERROR] or worker[S.FINISHED] != worker[S.BLOCKS]
        if cut_short:
            self._threads[:, S.QUEUES : S.CLUSTER_ARRIVALS + 1] = 0
        return bool(cut_short and worker[S.SHADOW])


# --- memory ----------------------------------------------------------------------------------------------------------


@intrinsic
def _move(typing_context, to, source, nbytes):
    """Copy bytes."""

    def emit(context, builder, signature, arguments):
        to, source = (builder.inttoptr(address, cgutils.voidptr_t) for address in arguments[:2])
        cgutils.raw_memmove(builder, to, source, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def _clear(typing_context, to, nbytes):
    """Set bytes to 0."""

    def emit(context, builder, signature, arguments):
        cgutils.memset(builder, builder.inttoptr(arguments[0], cgutils.voidptr_t), arguments[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@jit(inline="always")
def _copy(agent, at):
    return words(agent[COPIES_AT] + at * (8 * COPY_WORDS), COPY_WORDS)


@jit
def _touch(worker, t, address, nbytes, kind):
    """Check an access where checks are on; the fault."""
    return shadow.accessed(t, address, nbytes, kind, 0) if worker[S.SHADOW] else 0


@jit
def _fail(worker, code, address):
    worker[S.ERROR], worker[S.ERROR_ADDRESS] = code, address
    return -1


# --- copies ----------------------------------------------------------------------------------------------------------


@jit
def _issue(worker, t, to, source, nbytes, group, barrier):
    """Where a copy is kept that was issued now; negative for a fault."""
    agent, thread = words(worker[S.AGENT], AGENT_WORDS), words(t, S.THREAD_WORDS)
    if source and _touch(worker, t, source, nbytes, S.READ):
        return -1
    if to and _touch(worker, t, to, nbytes, S.WRITE):
        return -1
    if to and worker[S.CHECKED] & shadow.COPIES and _touch(worker, t, to, nbytes, S.TAKE_OFF):
        return -1
    at = agent[FREE]
    if at:
        agent[FREE] = _copy(agent, at)[NEXT]
    else:
        at = agent[FRESH]
        if at == COPIES:
            return _fail(worker, S.TOO_MANY_COPIES, to)
        agent[FRESH] = at + 1
    copy = _copy(agent, at)
    copy[TO], copy[FROM], copy[BYTES], copy[GROUP], copy[NEXT], copy[BARRIER] = to, source, nbytes, group, 0, barrier
    copy[OWNER] = t
    if worker[S.SHADOW]:
        copy[STAMP] = clocks.of(worker)[clocks.TIME] << 32 | thread[S.ME]
    return at


@jit
def _land(worker, at, again):
    """Carry a copy out; `again` looks at what it reads once more. Negative for a fault."""
    agent = words(worker[S.AGENT], AGENT_WORDS)
    copy = _copy(agent, at)
    to, source, nbytes = copy[TO], copy[FROM], copy[BYTES]
    if source and again and _touch(worker, copy[OWNER], source, nbytes, S.READ):
        return -1
    if to:
        if source:
            _move(to, source, nbytes)
        else:
            _clear(to, nbytes)
        if worker[S.CHECKED] & shadow.COPIES:
            shadow.accessed(copy[OWNER], to, nbytes, S.LAND, copy[STAMP])
    copy[NEXT] = agent[FREE]
    agent[FREE] = at
    return 0


@jit
def _wait(worker, t, queue, groups):
    """Land a thread's copies but for those of its newest groups."""
    agent, thread = words(worker[S.AGENT], AGENT_WORDS), words(t, S.THREAD_WORDS)
    first = S.QUEUES + 3 * queue
    while thread[first] and _copy(agent, thread[first])[GROUP] < thread[first + 2] - groups:
        at = thread[first]
        thread[first] = _copy(agent, at)[NEXT]
        if _land(worker, at, True) < 0:
            return -1
    return 0


@jit
def land_one(worker, k):
    """Let one of the bulk copies land that mbarriers count."""
    agent = words(worker[S.AGENT], AGENT_WORDS)
    queue = words(agent[QUEUE_AT], COPIES)
    at = queue[k]
    agent[QUEUED] -= 1
    worker[S.IN_FLIGHT] = agent[QUEUED]
    queue[k] = queue[agent[QUEUED]]
    copy = _copy(agent, at)
    nbytes, barrier = copy[BYTES], copy[BARRIER]
    _land(worker, at, False)
    word = words(barrier, 1)
    word[0] -= nbytes << (2 * COUNT_BITS)
    _settle(worker, barrier)


@jit
def finish(worker, thread):
    """A thread returns; a fault if its copies were never waited for."""
    for queue in range(3):
        if thread[S.QUEUES + 3 * queue]:
            at = _copy(words(worker[S.AGENT], AGENT_WORDS), thread[S.QUEUES + 3 * queue])
            if worker[S.CHECKED] & shadow.COPIES:
                _fail(worker, S.NEVER_WAITED, at[TO] if at[TO] else at[FROM])
    for k in range(S.QUEUES, S.CLUSTER_ARRIVALS + 1):
        thread[k] = 0


# --- mbarriers -------------------------------------------------------------------------------------------------------


@jit(inline="always")
def _key(barrier, phase):
    """Under what the knowledge of those lies who arrived in a phase."""
    return barrier + 2 + phase


@jit
def _settle(worker, barrier):
    """Complete the phase of an mbarrier when nothing is pending."""
    word = words(barrier, 1)
    value = word[0]
    if value & COUNT_MASK or (value >> (2 * COUNT_BITS)) & TX_MASK != TX_ZERO:
        return
    expected = (value >> COUNT_BITS) & COUNT_MASK
    phase = ((value >> PHASE) & 1) ^ 1
    word[0] = expected | expected << COUNT_BITS | TX_ZERO << (2 * COUNT_BITS) | VALID | phase << PHASE
    worker[S.PROGRESS] += 1
    if worker[S.SHADOW]:
        clocks.withdraw(clocks.of(worker), _key(barrier, phase))


@jit
def _mbarrier(worker, t, op, barrier, value):
    """What an operation on an mbarrier gives; negative for a fault."""
    thread, word = words(t, S.THREAD_WORDS), words(barrier, 1)
    if barrier & 7:
        return _fail(worker, S.MISALIGNED_BARRIER, barrier)
    if op == INIT:
        if not 0 < value <= COUNT_MASK:
            return _fail(worker, S.BAD_COUNT, barrier)
        if _touch(worker, t, barrier, 8, S.WRITE):
            return -1
        word[0] = value | value << COUNT_BITS | TX_ZERO << (2 * COUNT_BITS) | VALID
        return 0
    if _touch(worker, t, barrier, 8, S.ATOMIC):
        return -1
    if word[0] < 0 or word[0] & VALID == 0:
        return _fail(worker, S.NO_BARRIER, barrier)
    phase = (word[0] >> PHASE) & 1
    if op == TEST:
        if phase == value & 1:
            return 0
        if worker[S.SHADOW]:
            clocks.acquire(clocks.of(worker), worker, thread, _key(barrier, value & 1))
        return 1
    if op == EXPECT:
        word[0] += value << (2 * COUNT_BITS)
        return phase
    if word[0] & COUNT_MASK < value:
        return _fail(worker, S.TOO_MANY_ARRIVALS, barrier)
    if worker[S.SHADOW]:
        clocks.release(clocks.of(worker), worker, thread, _key(barrier, phase))
    word[0] -= value
    _settle(worker, barrier)
    return phase


# --- clusters --------------------------------------------------------------------------------------------------------


@jit(inline="always")
def cluster_size(worker):
    """Blocks of a cluster."""
    agent = words(worker[S.AGENT], AGENT_WORDS)
    return agent[CLUSTER] * agent[CLUSTER_Y] * agent[CLUSTER_Z]


@jit
def member(worker, block, rank):
    """Number of the block with a rank in the cluster of a block; for rank -1 the cluster's own number."""
    agent = words(worker[S.AGENT], AGENT_WORDS)
    cx, cy, cz = agent[CLUSTER], agent[CLUSTER_Y], agent[CLUSTER_Z]
    gx, gy = worker[S.GDX], worker[S.GDY]
    x, y, z = block % gx, block // gx % gy, block // (gx * gy)
    if rank < 0:
        return x // cx + gx // cx * (y // cy + gy // cy * (z // cz))
    x, y, z = x - x % cx + rank % cx, y - y % cy + rank // cx % cy, z - z % cz + rank // (cx * cy)
    return x + gx * (y + gy * z)


@jit
def _rank(worker, thread):
    agent = words(worker[S.AGENT], AGENT_WORDS)
    cx, cy, cz = agent[CLUSTER], agent[CLUSTER_Y], agent[CLUSTER_Z]
    return thread[S.BX] % cx + cx * (thread[S.BY] % cy + cy * (thread[S.BZ] % cz))


@jit
def _dims(worker, x, y, z):
    agent = words(worker[S.AGENT], AGENT_WORDS)
    if min(x, y, z) < 1 or x * y * z > 16 or worker[S.GDX] % x or worker[S.GDY] % y or worker[S.GDZ] % z:
        return _fail(worker, S.BAD_CLUSTER, 0)
    agent[CLUSTER], agent[CLUSTER_Y], agent[CLUSTER_Z] = x, y, z
    return 0


@jit
def _pointer(worker, thread, address):
    """Where an address in shared memory leads; negative where its block is not there."""
    if address >> 24 == 0:
        return thread[S.SHARED] + address
    number = member(worker, thread[S.BLOCK], (address >> 24) - 1)
    for slot in range(worker[S.LAST_BLOCK] + 1):
        block = words(worker[S.BLOCKS_AT] + slot * (8 * S.BLOCK_WORDS), S.BLOCK_WORDS)
        if block[S.IN_USE] and block[S.NUMBER] == number:
            return worker[S.SHARED_BASE] + slot * worker[S.SHARED_STRIDE] + (address & 0xFFFFFF)
    return _fail(worker, S.NO_BLOCK, address)


@jit
def _cluster_key(worker, thread, arrivals):
    return 16 + 8 * (2 * member(worker, thread[S.BLOCK], -1) + (arrivals & 1))


@jit
def _all_arrived(worker, thread, arrivals):
    counts = words(words(worker[S.AGENT], AGENT_WORDS)[ARRIVALS_AT], COUNTED)
    for rank in range(cluster_size(worker)):
        if counts[member(worker, thread[S.BLOCK], rank) % COUNTED] < arrivals * worker[S.SIZE]:
            return False
    return True


@jit
def _cluster_arrive(worker, thread):
    counts = words(words(worker[S.AGENT], AGENT_WORDS)[ARRIVALS_AT], COUNTED)
    thread[S.CLUSTER_ARRIVALS] += 1
    arrivals = thread[S.CLUSTER_ARRIVALS]
    counts[thread[S.BLOCK] % COUNTED] += 1
    if worker[S.SHADOW]:
        clocks.release(clocks.of(worker), worker, thread, _cluster_key(worker, thread, arrivals))
    if _all_arrived(worker, thread, arrivals):
        worker[S.PROGRESS] += 1
        if worker[S.SHADOW]:
            clocks.withdraw(clocks.of(worker), _cluster_key(worker, thread, arrivals + 1))
    return 0


@jit
def _cluster_test(worker, thread):
    if not _all_arrived(worker, thread, thread[S.CLUSTER_ARRIVALS]):
        return 0
    if worker[S.SHADOW]:
        key = _cluster_key(worker, thread, thread[S.CLUSTER_ARRIVALS])
        clocks.acquire(clocks.of(worker), worker, thread, key)
    return 1


# --- one door --------------------------------------------------------------------------------------------------------


@c_function(types.int64(*[types.int64] * 6))
def transfer(t, op, a, b, c, d):
    """Do one of `OPERATIONS`.

    Parameters
    ----------
    t : int
        Address of the thread's row.
    op, a, b, c, d : int

    Returns
    -------
    result : int
        Negative where the worker's row tells of a fault.
    """
    thread = words(t, S.THREAD_WORDS)
    worker = words(thread[S.WORKER], S.WORKER_WORDS)
    worker[S.TRANSFERS] = 1
    if op == POINTER:
        return _pointer(worker, thread, a)
    if op == CHECK:
        return -1 if _touch(worker, t, a, b, (S.WRITE if c else S.READ) | b << 8) else 0
    if op == COPY_LATER:
        first = S.QUEUES + 3 * a
        at = _issue(worker, t, b, c, d, thread[first + 2], 0)
        if at < 0:
            return at
        if thread[first]:
            _copy(words(worker[S.AGENT], AGENT_WORDS), thread[first + 1])[NEXT] = at
        else:
            thread[first] = at
        thread[first + 1] = at
        return 0
    if op == COMMIT:
        thread[S.QUEUES + 3 * a + 2] += 1
        return 0
    if op == WAIT:
        return _wait(worker, t, a, b)
    if op == COPY_TO_BARRIER:
        if _mbarrier(worker, t, EXPECT, d, 0) < 0:
            return -1
        at = _issue(worker, t, a, b, c, 0, d)
        if at < 0:
            return at
        agent = words(worker[S.AGENT], AGENT_WORDS)
        words(agent[QUEUE_AT], COPIES)[agent[QUEUED]] = at
        agent[QUEUED] += 1
        worker[S.IN_FLIGHT] = agent[QUEUED]
        if worker[S.SHADOW]:
            phase = (words(d, 1)[0] >> PHASE) & 1
            clocks.release(clocks.of(worker), worker, thread, _key(d, phase))
        return 0
    if op <= TEST:
        return _mbarrier(worker, t, op, a, b)
    if op == DIMS:
        return _dims(worker, a, b, c)
    if op == RANK:
        return _rank(worker, thread)
    if op == REFUSE:
        return _fail(worker, S.BOX_BETWEEN + a, 0)
    return _cluster_arrive(worker, thread) if op == CLUSTER_ARRIVE else _cluster_test(worker, thread)

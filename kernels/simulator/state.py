"""Where the state of a launch lies: rows of int64 that the scheduler, compiled code and Python all read.

Four tables make up a worker, which is whatever runs the threads of some blocks one at a time:

- ``worker``: one row, the launch and the thread that is running;
- ``blocks``: one row for each slot that a resident block can have;
- ``warps``: one row for each warp of each slot, mostly masks of its 32 lanes;
- ``threads``: one row for each thread of each slot, with what the thread asked of the scheduler last.

A thread in slot ``r`` at place ``i`` of its block is fibre ``f = r * stride + i``, where the stride is the block's
size rounded up to whole warps, so that its warp is ``f >> 5`` and its lane ``f & 31``.
"""

import numpy as np

LANES = 32
FULL = 0xFFFFFFFF

#: Barriers that a block has (PTX ISA, ``barrier``: 0 to 15).
BARRIERS = 16

#: Static shared arrays that a block may have.
ARRAYS = 64

#: Places that `slots`, a word of twins, has in shared memory for each word of 32 bits.
PLACES = 64


# A thread. Compiled code finds its row through the word on top of its stack. What a barrier touches stands first, in
# one line of the cache: 256 threads then take 16 KB of it instead of 48.
(
    WORKER, STACK, KIND, OP, MASK, ARGUMENT, SITE, SLOT, STARTED, VALUE, RESULT, EXTRA, LANE, TX, TY, TZ, BX,
    BY, BZ, SHARED, LINEAR, BLOCK, TOP, CLOCK, KNOWN, WARP_CLOCK, PENDING, PENDING_NEAR, FENCED, FENCED_NEAR,
    FENCED_CLOCK, NEAR, SEGMENT, ME,
) = range(34)  # fmt: skip
# What `transfers` keeps of a thread: first and last copy and group of its three queues, its arrivals at the barrier of
# its cluster.
QUEUES, CLUSTER_ARRIVALS = 34, 43
THREAD_WORDS = 48

# A warp: masks of lanes.
READY, LIVE, WAITING, YIELDED, AT_GRID, AT_BARRIER = range(6)
# Whether a lane has computed what all lanes of a warp compute together.
COMPUTED = AT_BARRIER + BARRIERS
WARP_WORDS = COMPUTED + 1

# A block: threads that live, its number, five words for each barrier, and site, offset and size of its shared arrays.
THREADS_LIVE, NUMBER, IN_USE, SHARED_USED, SHARED_ARRAYS, BARRIER = range(6)
ARRIVED, EXPECTED, BARRIER_SITE, VOTES, VOTING = range(5)
BARRIER_WORDS = 5
SHARED_TABLE = BARRIER + BARRIER_WORDS * BARRIERS
# What `clocks` keeps of a block: when it became resident, when one of its threads fenced last, and what those know that
# have arrived at its barriers and went on.
BORN = SHARED_TABLE + 3 * ARRAYS
FENCED_LAST, ARRIVED_VIEWS = BORN + 1, BORN + 2
BLOCK_WORDS = ARRIVED_VIEWS + 2 * BARRIERS

# A worker.
(
    SCHEDULER_STACK, SWITCH, ARGUMENTS, CURRENT, CURRENT_WARP, GDX, GDY, GDZ, BDX, BDY, BDZ, DYNAMIC_AT, DYNAMIC,
    SIZE, STRIDE, BLOCKS, RESIDENT, SLOTS, TARGET, NEXT_BLOCK, LAST_BLOCK, FINISHED, RANDOM, SEED, POINTS, STEP,
    PROGRESS, SEEN, STALLS, AT_GRID_COUNT, STRICT, ERROR, ERROR_FIBRE, ERROR_OTHER, ERROR_ADDRESS, SHARED_BASE,
    SHARED_STRIDE, CHECKED, EXCEPTION, ACCESS, NAMED, ERROR_SITE, ERROR_OTHER_SITE, ERROR_KIND, ERROR_OTHER_KIND,
    BLOCKS_AT, PLACE, WARPS_AT, THREADS_AT, ORDER_AT, SHADOW, SIGNALS, PREEMPT, SEGMENTS, MAIL, TRANSFER, AGENT,
    TRANSFERS, IN_FLIGHT,
) = range(59)  # fmt: skip
WORKER_WORDS = 64

# A segment: an array of a block, or arguments that overlap. Its bytes, its first cell, log2 of the bytes of a cell, the
# time from which on a cell counts, the slot of its block (-1 for arguments), and the bytes of an access that
# `shadow.quick` may take (0 if none).
LOWEST, HIGHEST, CELLS, GRAIN, SINCE, HOME, QUICK = range(7)
SEGMENT_WORDS = 8

#: Log2 of the bytes of a cell where there are no cells (yet).
NO_CELLS = 62

# What a thread asks for when it hands over.
RUNNING, AT_WARP, AT_BLOCK, AT_POINT, AT_WHOLE_GRID, DONE, RAISED, ARRIVES = range(8)

# Warp operations.
(
    SHUFFLE_INDEX, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, BALLOT, ANY, ALL, EQUAL, MATCH_ANY, MATCH_ALL, SYNC,
    ACTIVE, REDUCE_ADD, REDUCE_MIN, REDUCE_MAX, REDUCE_AND, REDUCE_OR, REDUCE_XOR, COLLECTIVE,
) = range(19)  # fmt: skip

# Reductions over a block's barrier.
NO_VOTE, VOTE_COUNT, VOTE_AND, VOTE_OR = range(4)

# Verdicts of the scheduler, negative where a fibre's index would be.
(
    FINISHED_ALL, DIFFERENT_BARRIERS, RETURNED, NEVER_ARRIVE, SPINNING, KERNEL_RAISED, NOT_IN_MASK, INACTIVE_LANE,
    FAULT, NOT_RESIDENT,
) = range(-1, -11, -1)  # fmt: skip

# How memory is accessed. The relaxed ones are accesses with cache hints, which flags are passed by. The others are no
# accesses: a fence, an index outside its array, a read of a thread's own memory that nothing wrote, a copy that was
# issued and one that lands.
READ, WRITE, ATOMIC, RELAXED_READ, RELAXED_WRITE, FENCE, BEYOND, UNTOUCHED, TAKE_OFF, LAND = range(10)

# Faults of memory that `shadow` finds, and what ends a compiled kernel from outside.
RACE, OUTSIDE, UNWRITTEN, MISALIGNED, TOO_MUCH_SHARED, OVERFLOWED, TIMED_OUT, INTERRUPTED, NOT_LANDED = range(1, 10)

# Faults that `transfers` finds.
(
    NEVER_WAITED, NO_BARRIER, TOO_MANY_ARRIVALS, BAD_COUNT, MISALIGNED_BARRIER, BAD_CLUSTER, NO_BLOCK, TOO_MANY_COPIES,
    BOX_BETWEEN, BOX_BEFORE,
) = range(10, 20)  # fmt: skip

#: Static shared memory of a block, and shared memory of all kinds (CUDA C++ Programming Guide, compute capability 9.0).
STATIC_SHARED, MOST_SHARED = 48 * 1024, 227 * 1024

#: Where every shared array begins, the place of dynamic shared memory, and the bytes that a slot has for a block.
SHARED_ALIGNMENT, DYNAMIC_SITE, SLOT_BYTES = 128, 0, MOST_SHARED + 1024
#: Where a block's shared memory begins: swizzles look at address bits up to 9.
WINDOW_ALIGNMENT = 1024

#: Threads that can be resident at once: more than a whole H100 has place for in blocks of 1024 on 64 multiprocessors.
FIBRES = 1 << 16


#: Bytes that a thread has for what it gives to and takes from the other lanes of its warp: 64 x 256 accumulators of a
#: warpgroup are 512 of a thread, twice, and operands.
MAIL_BYTES = 2048


def tables(fibres=FIBRES):
    """Empty tables of a worker; pages that nothing touches take no memory.

    Returns
    -------
    worker, blocks, warps, threads : numpy.ndarray of int64
    """
    warps = fibres // LANES
    return (
        _zeros(1, WORKER_WORDS)[0],
        _zeros(warps, BLOCK_WORDS),
        _zeros(warps, WARP_WORDS),
        _zeros(fibres, THREAD_WORDS),
    )


def _zeros(rows, words):
    """A table that begins with a line of the cache."""
    raw = np.zeros(rows * words + 8, np.int64)
    skip = -(raw.__array_interface__["data"][0] // 8) % 8
    return raw[skip : skip + rows * words].reshape(rows, words)

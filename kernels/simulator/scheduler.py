"""Which thread runs next: the one place that says what barriers, warp operations and residency mean.

Plain Python that Numba compiles, over the tables of `state`. Both engines call `following` whenever a thread hands
over, so that equal seeds give equal schedules in both.

- A barrier (CUDA C++ Programming Guide, "Synchronization Functions") opens when every thread that it expects has
  arrived. ``STRICT`` refuses what is undefined there: different barriers met by one block, and threads that
  returned while others wait; without it those that returned are not waited for, as on hardware.
- A warp operation (PTX ISA, ``shfl.sync``, ``vote.sync``, ``match.sync``, ``redux.sync``, ``bar.warp.sync``)
  completes when all living lanes of its mask have asked for the same operation with the same mask.
- Blocks become resident when those that are can make no progress, up to ``SLOTS`` of them: kernels whose blocks
  are independent run block after block, look-back and grid barriers find their partners.
- Seed 0 is the fixed order: lanes, warps and blocks ascending. Any other seed draws each choice.
"""

import math

import numpy as np
from numba import types

from . import clocks, memory, transfers
from . import state as S
from .jit import c_function, jit


@jit(inline="always")
def _draw(worker, bound):
    """A number below `bound` from the launch's generator (L'Ecuyer 1999, a 64-bit linear congruence)."""
    worker[S.RANDOM] = worker[S.RANDOM] * 2862933555777941757 + 3037000493
    return ((worker[S.RANDOM] >> 33) & 0x3FFFFFFF) % bound


@jit(inline="always")
def _lowest(mask):
    """Index of the lowest bit of a mask that is not 0."""
    lane = 0
    if mask & 0xFFFF == 0:
        mask >>= 16
        lane += 16
    if mask & 0xFF == 0:
        mask >>= 8
        lane += 8
    if mask & 0xF == 0:
        mask >>= 4
        lane += 4
    if mask & 0x3 == 0:
        mask >>= 2
        lane += 2
    return lane + 1 - (mask & 1)


@jit
def _nth(mask, n):
    """Index of bit number `n` of those that a mask has."""
    for lane in range(S.LANES):
        if (mask >> lane) & 1:
            if n == 0:
                return lane
            n -= 1
    return -1


@jit
def _count(mask):
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


@jit
def _prefer_clusters(worker, blocks, order):
    """Put a block next in order whose cluster is resident in part."""
    for slot in range(worker[S.LAST_BLOCK] + 1):
        if blocks[slot, S.IN_USE]:
            for rank in range(transfers.cluster_size(worker)):
                number = transfers.member(worker, blocks[slot, S.NUMBER], rank)
                for k in range(worker[S.NEXT_BLOCK], order.size):
                    if order[k] == number:
                        order[k], order[worker[S.NEXT_BLOCK]] = order[worker[S.NEXT_BLOCK]], number
                        return


@jit
def admit(worker, blocks, warps, threads, order):
    """Make the next block resident in a free slot."""
    slot = 0
    while blocks[slot, S.IN_USE]:
        slot += 1
    if worker[S.TRANSFERS] and transfers.cluster_size(worker) > 1:
        _prefer_clusters(worker, blocks, order)
    number = order[worker[S.NEXT_BLOCK]]
    worker[S.NEXT_BLOCK] += 1
    worker[S.RESIDENT] += 1
    size, stride = worker[S.SIZE], worker[S.STRIDE]
    blocks[slot] = 0
    blocks[slot, S.IN_USE] = 1
    blocks[slot, S.NUMBER] = number
    blocks[slot, S.THREADS_LIVE] = size
    bx = number % worker[S.GDX]
    by = number // worker[S.GDX] % worker[S.GDY]
    bz = number // (worker[S.GDX] * worker[S.GDY])
    shared = worker[S.SHARED_BASE] + slot * worker[S.SHARED_STRIDE]
    x, y, z = 0, 0, 0
    for i in range(size):
        thread = threads[slot * stride + i]
        thread[S.KIND] = S.RUNNING
        thread[S.STARTED] = 0
        thread[S.TX], thread[S.TY], thread[S.TZ] = x, y, z
        thread[S.LANE] = i & 31
        thread[S.BX], thread[S.BY], thread[S.BZ] = bx, by, bz
        thread[S.SHARED] = shared
        thread[S.SLOT] = slot
        thread[S.LINEAR] = i
        thread[S.BLOCK] = number
        thread[S.ME] = number * stride + i
        x += 1
        if x == worker[S.BDX]:
            x = 0
            y += 1
            if y == worker[S.BDY]:
                y = 0
                z += 1
    first = slot * stride // S.LANES
    for w in range(stride // S.LANES):
        warps[first + w] = 0
        lanes = min(size - w * S.LANES, S.LANES)
        warps[first + w, S.READY] = warps[first + w, S.LIVE] = (1 << lanes) - 1
    worker[S.LAST_BLOCK] = max(worker[S.LAST_BLOCK], slot)
    if worker[S.SHADOW]:
        clocks.born(worker, blocks, threads, slot)
    return slot


@jit
def _open_barrier(worker, blocks, warps, threads, slot, barrier):
    """Let every thread go on that waits at a barrier."""
    if worker[S.SHADOW]:
        clocks.open_barrier(worker, blocks, warps, threads, slot, barrier)
    at = S.BARRIER + S.BARRIER_WORDS * barrier
    first, count = slot * worker[S.STRIDE] // S.LANES, worker[S.STRIDE] // S.LANES
    arrived, votes = blocks[slot, at + S.ARRIVED], blocks[slot, at + S.VOTES]
    for w in range(first, first + count):
        mask = warps[w, S.AT_BARRIER + barrier]
        warps[w, S.AT_BARRIER + barrier] = 0
        warps[w, S.READY] |= mask
        while mask and blocks[slot, at + S.VOTING]:
            lane = _lowest(mask)
            mask &= mask - 1
            thread = threads[w * S.LANES + lane]
            op = thread[S.OP]
            if op == S.VOTE_COUNT:
                thread[S.RESULT] = votes
            elif op == S.VOTE_AND:
                thread[S.RESULT] = votes == arrived
            elif op == S.VOTE_OR:
                thread[S.RESULT] = votes > 0
    blocks[slot, at + S.ARRIVED] = 0
    blocks[slot, at + S.VOTING] = 0
    blocks[slot, at + S.VOTES] = 0
    worker[S.PROGRESS] += 1


@jit(forceinline=True)
def _arrive(worker, blocks, warps, threads, f):
    """A thread reaches a barrier; a verdict if it must not."""
    thread = threads[f]
    slot = thread[S.SLOT]
    barrier, expected = thread[S.ARGUMENT], thread[S.MASK]
    at = S.BARRIER + S.BARRIER_WORDS * barrier
    block = blocks[slot]
    worker[S.NAMED] |= barrier
    if block[at + S.ARRIVED] == 0:
        block[at + S.BARRIER_SITE] = thread[S.SITE]
        block[at + S.EXPECTED] = expected
    elif worker[S.STRICT] and (
        block[at + S.EXPECTED] != expected or (expected == 0 and block[at + S.BARRIER_SITE] != thread[S.SITE])
    ):
        return S.DIFFERENT_BARRIERS
    block[at + S.ARRIVED] += 1
    if thread[S.OP]:
        block[at + S.VOTING] = 1
        block[at + S.VOTES] += thread[S.VALUE] != 0
    if thread[S.KIND] == S.AT_BLOCK:
        warps[f >> 5, S.AT_BARRIER + barrier] |= 1 << (f & 31)
    elif worker[S.SHADOW]:
        clocks.arrive(worker, blocks, threads, slot, f, barrier)
    if expected == 0 and worker[S.STRICT] and block[S.THREADS_LIVE] != worker[S.SIZE]:
        return S.RETURNED
    if block[at + S.ARRIVED] == (expected if expected else block[S.THREADS_LIVE]):
        _open_barrier(worker, blocks, warps, threads, slot, barrier)
    return 0


@jit
def _leave(worker, blocks, warps, threads, f):
    """A thread has returned; a verdict if others wait for it."""
    slot = threads[f, S.SLOT]
    warps[f >> 5, S.LIVE] &= ~(1 << (f & 31))
    block = blocks[slot]
    block[S.THREADS_LIVE] -= 1
    if worker[S.TRANSFERS]:
        transfers.finish(worker, threads[f])
    worker[S.PROGRESS] += 1
    for barrier in range(S.BARRIERS):
        at = S.BARRIER + S.BARRIER_WORDS * barrier
        if block[at + S.ARRIVED] and block[at + S.EXPECTED] == 0:
            if worker[S.STRICT]:
                return S.RETURNED
            if block[at + S.ARRIVED] == block[S.THREADS_LIVE]:
                _open_barrier(worker, blocks, warps, threads, slot, barrier)
        if worker[S.NAMED] == 0:
            break
    if block[S.THREADS_LIVE] == 0:
        block[S.IN_USE] = 0
        worker[S.RESIDENT] -= 1
        worker[S.FINISHED] += 1
    return 0


@jit
def _shuffle_source(op, lane, delta, clamp):
    """Lane that a shuffle reads, or its own where that lies outside its segment (PTX ISA, ``shfl.sync``)."""
    segment = (clamp >> 8) & 31
    last = (lane & segment) | (clamp & 31 & ~segment)
    delta &= 31
    if op == S.SHUFFLE_UP:
        source = lane - delta
        return source if source >= last else lane
    if op == S.SHUFFLE_DOWN:
        source = lane + delta
    elif op == S.SHUFFLE_XOR:
        source = lane ^ delta
    else:
        source = (lane & segment) | (delta & ~segment)
    return source if source <= last else lane


@jit
def _signed32(value):
    return (value & 0xFFFFFFFF) - ((value & 0x80000000) << 1)


@jit
def _complete(threads, base, members, op):
    """Give the lanes of a warp operation their results; a verdict where one is not defined."""
    first = threads[base + _lowest(members)]
    votes = 0
    everything = first[S.VALUE]
    for lane in range(S.LANES):
        if not (members >> lane) & 1:
            continue
        thread = threads[base + lane]
        value = thread[S.VALUE]
        if value != 0:
            votes |= 1 << lane
        if op <= S.SHUFFLE_XOR:
            source = _shuffle_source(op, lane, thread[S.ARGUMENT], thread[S.EXTRA])
            if not (members >> source) & 1:
                return S.INACTIVE_LANE
            thread[S.RESULT] = threads[base + source, S.VALUE]
        elif op == S.MATCH_ANY or op == S.MATCH_ALL:
            same = 0
            for other in range(S.LANES):
                if (members >> other) & 1 and threads[base + other, S.VALUE] == value:
                    same |= 1 << other
            thread[S.RESULT] = same if op == S.MATCH_ANY or same == members else 0
            thread[S.EXTRA] = same == members
        elif op == S.ACTIVE:
            thread[S.RESULT] = members
        elif S.REDUCE_ADD <= op < S.COLLECTIVE and lane != _lowest(members):
            if op == S.REDUCE_ADD:
                everything += value
            elif op == S.REDUCE_MIN:
                everything = min(everything, value)
            elif op == S.REDUCE_MAX:
                everything = max(everything, value)
            elif op == S.REDUCE_AND:
                everything &= value
            elif op == S.REDUCE_OR:
                everything |= value
            elif op == S.REDUCE_XOR:
                everything ^= value
    if S.BALLOT <= op <= S.EQUAL or S.REDUCE_ADD <= op < S.COLLECTIVE:
        result = votes
        if op == S.ANY:
            result = votes != 0
        elif op == S.ALL:
            result = votes == members
        elif op == S.EQUAL:
            result = votes == 0 or votes == members
        elif op >= S.REDUCE_ADD:
            result = everything
        for lane in range(S.LANES):
            if (members >> lane) & 1:
                threads[base + lane, S.RESULT] = result
    return 0


@jit
def _resolve(worker, warps, threads, w):
    """Complete the operations of one warp whose lanes are all there; a verdict if one is at fault."""
    base = w * S.LANES
    todo = warps[w, S.WAITING]
    while todo:
        lead = _lowest(todo)
        thread = threads[base + lead]
        op, mask = thread[S.OP], thread[S.MASK]
        there = 0
        for lane in range(S.LANES):
            if (todo >> lane) & 1:
                other = threads[base + lane]
                if other[S.OP] != op or other[S.MASK] != mask:
                    continue
                if (op == S.ACTIVE or op == S.COLLECTIVE) and other[S.SITE] != thread[S.SITE]:
                    continue
                there |= 1 << lane
        todo &= ~there
        if op == S.ACTIVE:
            members = there
            if worker[S.SEED] and _draw(worker, 2):  # hardware promises the caller's own bit and no more
                members = 1 << lead
                todo |= there & ~members
        else:
            if there & ~mask:
                worker[S.ERROR_FIBRE] = base + _lowest(there & ~mask)
                return S.NOT_IN_MASK
            members = mask & warps[w, S.LIVE]
            if there != members:
                continue
        verdict = _complete(threads, base, members, op)
        if verdict:
            worker[S.ERROR_FIBRE] = base + lead
            return verdict
        if op == S.SYNC and worker[S.SHADOW]:
            clocks.sync_warp(worker, threads, base, members)
        if op == S.COLLECTIVE:
            warps[w, S.COMPUTED] = 0
        warps[w, S.WAITING] &= ~members
        warps[w, S.READY] |= members
        worker[S.PROGRESS] += 1
    return 0


@jit
def _choose_warp(worker, blocks, warps):
    """A warp with a lane that can run, from the one after the current in turn or drawn; -1 if there is none."""
    count = (worker[S.LAST_BLOCK] + 1) * worker[S.STRIDE] // S.LANES
    if count == 0:
        return -1
    start = _draw(worker, count) if worker[S.SEED] else (worker[S.CURRENT_WARP] + 1) % count
    for k in range(count):
        w = start + k
        if w >= count:
            w -= count
        if warps[w, S.READY]:
            return w
    return -1


@jit
def _wake(worker, warps):
    """Make the threads ready that handed over at a scheduling point; how many they are."""
    count = (worker[S.LAST_BLOCK] + 1) * worker[S.STRIDE] // S.LANES
    woken = 0
    for w in range(count):
        mask = warps[w, S.YIELDED]
        if mask:
            warps[w, S.READY] |= mask
            warps[w, S.YIELDED] = 0
            woken += _count(mask)
    return woken


@jit
def _open_grid(worker, warps):
    """Let the whole grid pass its barrier."""
    if worker[S.SHADOW]:
        clocks.open_grid(worker)
    count = (worker[S.LAST_BLOCK] + 1) * worker[S.STRIDE] // S.LANES
    for w in range(count):
        warps[w, S.READY] |= warps[w, S.AT_GRID]
        warps[w, S.AT_GRID] = 0
    worker[S.AT_GRID_COUNT] = 0
    worker[S.PROGRESS] += 1


@jit
def _living(worker, blocks):
    """Threads of resident blocks that have not returned."""
    count = 0
    for slot in range(worker[S.LAST_BLOCK] + 1):
        if blocks[slot, S.IN_USE]:
            count += blocks[slot, S.THREADS_LIVE]
    return count


@jit
def _unblock(worker, blocks, warps, threads, order):
    """No thread can run: find one that may, or say why there is none."""
    left = worker[S.BLOCKS] - worker[S.NEXT_BLOCK]
    if worker[S.IN_FLIGHT]:
        progress = worker[S.PROGRESS]
        while worker[S.IN_FLIGHT] and worker[S.PROGRESS] == progress:
            transfers.land_one(worker, 0)
        _wake(worker, warps)
        return 0
    if worker[S.FINISHED] == worker[S.BLOCKS]:
        return S.FINISHED_ALL
    if worker[S.RESIDENT] < worker[S.TARGET] and left:
        admit(worker, blocks, warps, threads, order)
        return 0
    if worker[S.AT_GRID_COUNT] and left == 0:
        # Threads that have returned are not waited for; `strict`, they are missing.
        expected = worker[S.BLOCKS] * worker[S.SIZE] if worker[S.STRICT] else _living(worker, blocks)
        if worker[S.AT_GRID_COUNT] == expected:
            _open_grid(worker, warps)
            return 0
    if worker[S.PROGRESS] != worker[S.SEEN]:
        worker[S.SEEN] = worker[S.PROGRESS]
        worker[S.STALLS] = 0
    else:
        worker[S.STALLS] += 1
    woken = 0
    if worker[S.STALLS] < 3 or left == 0 or worker[S.RESIDENT] == worker[S.SLOTS]:
        woken = _wake(worker, warps)
        if woken and worker[S.STALLS] < 2000:
            return 0
    if left and worker[S.RESIDENT] < worker[S.SLOTS]:
        worker[S.STALLS] = 0
        worker[S.TARGET] = worker[S.RESIDENT] + 1
        admit(worker, blocks, warps, threads, order)
        _wake(worker, warps)
        return 0
    if woken:
        return S.SPINNING
    return S.NOT_RESIDENT if worker[S.AT_GRID_COUNT] and left else S.NEVER_ARRIVE


@jit(forceinline=True)
def following(worker, blocks, warps, threads, order):
    """File what the current thread asked for, and choose the thread that runs next.

    Parameters
    ----------
    worker, blocks, warps, threads : numpy.ndarray of int64
        Tables of `state`.
    order : numpy.ndarray of int64
        Numbers of the blocks in the order in which they become resident.

    Returns
    -------
    fibre : int
        The thread that runs next, or a verdict, which is negative.
    """
    f = worker[S.CURRENT]
    if f >= 0:
        w, bit = f >> 5, 1 << (f & 31)
        kind = threads[f, S.KIND]
        verdict = 0
        if kind == S.ARRIVES:
            verdict = _arrive(worker, blocks, warps, threads, f)
        else:
            warps[w, S.READY] &= ~bit
            if kind == S.AT_WARP:
                warps[w, S.WAITING] |= bit
            elif kind == S.AT_BLOCK:
                verdict = _arrive(worker, blocks, warps, threads, f)
            elif kind == S.AT_POINT:
                warps[w, S.YIELDED] |= bit
            elif kind == S.DONE:
                verdict = _leave(worker, blocks, warps, threads, f)
            elif kind == S.AT_WHOLE_GRID:
                warps[w, S.AT_GRID] |= bit
                worker[S.AT_GRID_COUNT] += 1
            else:
                verdict = S.KERNEL_RAISED
        if worker[S.ERROR]:
            verdict = S.FAULT
        if verdict:
            worker[S.ERROR_FIBRE] = f
            return verdict
    while True:
        w = worker[S.CURRENT_WARP]
        if w >= 0:
            ready = warps[w, S.READY]
            if ready:
                lane = _nth(ready, _draw(worker, _count(ready))) if worker[S.SEED] else _lowest(ready)
                worker[S.CURRENT] = w * S.LANES + lane
                return worker[S.CURRENT]
            if warps[w, S.WAITING]:
                verdict = _resolve(worker, warps, threads, w)
                if verdict:
                    return verdict
                if warps[w, S.READY]:
                    if worker[S.SEED]:
                        worker[S.CURRENT_WARP] = _choose_warp(worker, blocks, warps)
                    continue
        if worker[S.SEED] and worker[S.IN_FLIGHT] and _draw(worker, 4) == 0:
            transfers.land_one(worker, _draw(worker, worker[S.IN_FLIGHT]))
        if worker[S.SEED] and _draw(worker, 4) == 0:
            worker[S.STEP] = 2 * _draw(worker, 16) + 1
            _wake(worker, warps)
        w = _choose_warp(worker, blocks, warps)
        worker[S.CURRENT_WARP] = w
        if w < 0:
            verdict = _unblock(worker, blocks, warps, threads, order)
            if verdict:
                return verdict


#: What a worker keeps from launch to launch: where its memory and its functions lie.
KEPT = np.zeros(S.WORKER_WORDS, np.int64)
KEPT[[S.WARPS_AT, S.THREADS_AT, S.SWITCH, S.SHARED_BASE, S.SHARED_STRIDE, S.ACCESS, S.BLOCKS_AT, S.PLACE,
      S.SIGNALS, S.MAIL, S.TRANSFER, S.AGENT]] = 1  # fmt: skip


@c_function(types.int64(types.int64))
def following_at(address):
    """`following` for callers that have the address of a worker's row, which costs Python a third of a call."""
    worker = memory.words(address, S.WORKER_WORDS)
    blocks = memory.table(worker[S.BLOCKS_AT], S.FIBRES // S.LANES, S.BLOCK_WORDS)
    warps = memory.table(worker[S.WARPS_AT], S.FIBRES // S.LANES, S.WARP_WORDS)
    threads = memory.table(worker[S.THREADS_AT], S.FIBRES, S.THREAD_WORDS)
    order = memory.words(worker[S.ORDER_AT], worker[S.BLOCKS])
    return following(worker, blocks, warps, threads, order)


def prepare(tables, grid, block, *, seed, slots, strict):
    """Fill the tables of a worker for a launch.

    Parameters
    ----------
    tables : tuple
        As `state.tables` makes them.
    grid, block : tuple of int
        Three each.
    seed, slots : int
        Order of everything, and blocks that may be resident at once.
    strict : bool

    Returns
    -------
    order : numpy.ndarray of int64
        Blocks in the order in which they become resident.
    """
    worker, blocks, _, _ = tables
    size, count = math.prod(block), math.prod(grid)
    stride = -(-size // S.LANES) * S.LANES
    slots = max(1, min(slots, count, S.FIBRES // stride))
    seed &= 0x7FFFFFFFFFFFFFFF
    worker *= KEPT
    row = worker.data  # numbers of Python's own are faster
    row[S.GDX], row[S.GDY], row[S.GDZ] = grid
    row[S.BDX], row[S.BDY], row[S.BDZ] = block
    row[S.SIZE], row[S.STRIDE], row[S.BLOCKS], row[S.SLOTS] = size, stride, count, slots
    row[S.CURRENT] = row[S.CURRENT_WARP] = row[S.LAST_BLOCK] = -1
    row[S.TARGET] = row[S.STEP] = 1
    row[S.SEED] = row[S.RANDOM] = seed
    row[S.STRICT] = int(strict)
    blocks[:slots, S.IN_USE] = 0
    order = np.arange(count)
    if seed:
        generator = np.random.default_rng(seed)
        row[S.TARGET] = int(generator.integers(1, slots, endpoint=True))
        generator.shuffle(order)
    return order

"""The kernels of segments: rows of any lengths, one after the other in memory, each folded to a result.

Elements and ends of rows are merged into one list, an end going before the element that it points at::

    x0 x1 | x2 | | x3 x4 x5 x6 | ...          offsets 0 2 3 3 7

Every block takes an equal share of the list, a tile, and so does every thread of a tile: however uneven the rows, the
work is even (Merrill & Garland 2016, who multiply sparse matrices so). A thread folds one item after the other. What it
has when a row ends is that row's result, unless the row began in another thread: then what that one was left with goes
in front, by a scan of the pairs

    (a row ended, what came after its end)

over the threads of a block. Rows that cross tiles are finished by a kernel that looks back over the tiles' pairs, of
which groups are folded first. Which merges are done, and in which order, depends on offsets alone.

Source: Merrill & Garland 2016, "Merge-based parallel sparse matrix-vector multiplication", SC16.
"""

import functools

from numba import cuda, types

from ...device import folds
from ...device.block import block_exclusive_scan_with_total, block_reduce
from ...device.instructions import SIMULATED, kernel_function, of_scalars
from ...device.memory import index_type, storer, unraveler
from ...device.warp import warp_reduce
from ...device.words import from_words, to_words
from ..kernels import read_words, write_words

#: Threads of a block.
BLOCK = 32 if SIMULATED else 256
#: Items of a thread, at most. An odd number: the threads of a warp read from 32 banks then.
ITEMS = 3 if SIMULATED else 31
#: Bytes of shared memory that the items of a tile take at most.
ROOM = 32 << 10
#: Tiles of a group.
GROUP = 4 if SIMULATED else 256
#: Elements and ends that a thread loads before it uses the first.
BATCH, ENDS = (2, 2) if SIMULATED else (8, 4)

local = int if SIMULATED else types.uint32
signed = int if SIMULATED else types.int64


def words(*dtypes):
    """Words of 32 bits that values of these dtypes take."""
    return sum(max(d.itemsize // 4, 1) for d in dtypes)


def items(count):
    """Items of a thread, where a block keeps so many words for each."""
    fitting = max(ROOM // (4 * BLOCK * count), 1)
    return min(fitting - 1 + fitting % 2, ITEMS)


def chained(merge):
    """The operator on pairs: whether a row ended, and what came after its end."""

    @kernel_function
    def chain(a, b):
        return (a[0] or b[0], b[1] if b[0] else merge(a[1], b[1]))

    return chain


@functools.lru_cache(maxsize=64)
def partition(tile, long):
    """Kernel that finds where each tile of so many items begins: how many ends come before it."""
    index = index_type(long)

    @cuda.jit
    @of_scalars
    def partition_kernel(ends, count, tiles, stride, offsets, starts):
        k = index(cuda.grid(1))
        if k <= tiles:
            place = index(k * index(tile))
            place = place if place < ends + count else index(ends + count)
            low = index(place - count) if place > count else index(0)
            high = place if place < ends else ends
            while low < high:
                middle = index(index(low + high) // index(2))
                if index(offsets[signed(middle) * stride]) < index(place - middle):
                    low = index(middle + index(1))
                else:
                    high = middle
            starts[k] = low

    return partition_kernel


@functools.lru_cache(maxsize=1024)
def segments(fold, dtype, per_thread, long):
    """Kernel of tiles of elements of `dtype` and ends of rows; see the module."""
    index = index_type(long)
    neutral, blank = folds.constant(fold.neutral, fold.state), folds.constant((0,), (dtype,))
    lift, merge = folds.tupled(fold.lift, fold.ins, fold.state), folds.merger(fold.merge, fold.state)
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1), storer(1)
    chain, outs_at = chained(merge), unraveler(len(fold.outs))
    gather, gather_some = (folds.gatherer(("vector",), 1, BATCH, inside) for inside in (True, False))
    gather_ends, gather_some_ends = (folds.gatherer(("vector",), 1, ENDS, inside) for inside in (True, False))
    tile = BLOCK * per_thread
    room, threads_and_end = tile * max(words(dtype), words(*fold.outs)), BLOCK + 1

    @cuda.jit
    @of_scalars
    def segments_kernel(
        rows, count, tiles, x_stride, stride, out_strides, extras, x, offsets, outs, starts, totals, firsts
    ):
        # Elements from below, ends from above: there are never more than a tile of both. Results replace ends.
        desk = cuda.shared.array(room, types.int32)
        begins = cuda.shared.array(threads_and_end, types.int32)
        thread, block = local(cuda.threadIdx.x), index(cuda.blockIdx.x)
        row, next_row = index(starts[block]), index(starts[block + 1])
        last = index(index(block + index(1)) * index(tile))
        last = last if last < rows + count else index(rows + count)
        element = index(index(block * index(tile)) - row)
        n = share(next_row, row, tile)
        m = share(index(last - next_row), element, tile)

        k = thread
        base = (signed(element) * x_stride,)
        while k + local(BLOCK * (BATCH - 1)) < m:
            stage(desk, tile, k, m, gather(x, base, k, local(BLOCK), m, (m,), (x_stride,)))
            k = local(k + local(BLOCK * BATCH))
        if k < m:
            stage(desk, tile, k, m, gather_some(x, base, k, local(BLOCK), m, (m,), (x_stride,)))
        k = thread
        base = (signed(row) * stride,)
        while k + local(BLOCK * (ENDS - 1)) < n:
            found = gather_ends(offsets, base, k, local(BLOCK), n, (n,), (stride,))
            stage_ends(desk, tile, k, n, signed(element), found)
            k = local(k + local(BLOCK * ENDS))
        if k < n:
            found = gather_some_ends(offsets, base, k, local(BLOCK), n, (n,), (stride,))
            stage_ends(desk, tile, k, n, signed(element), found)
        cuda.syncthreads()

        place = local(thread * local(per_thread))
        place = place if place < n + m else local(n + m)
        low = local(place - m) if place > m else local(0)
        high = place if place < n else n
        while low < high:
            middle = local(local(low + high) // local(2))
            if local(desk[above(tile, middle)]) < local(place - middle):
                low = local(middle + local(1))
            else:
                high = middle
        begins[thread] = low
        if thread == 0:
            begins[BLOCK] = n
        cuda.syncthreads()

        i, j, i_last = low, local(place - low), local(begins[thread + 1])
        place = local(local(thread + local(1)) * local(per_thread))
        place = place if place < n + m else local(n + m)
        j_last = local(place - i_last) if place > i_last else local(0)
        state, first, ended = neutral(), neutral(), False
        # A loop over items, each an element or an end, had lanes of a warp take both ways at each: 27 instructions.
        while i < i_last:
            until = local(desk[above(tile, i)])
            until = until if until < j_last else j_last
            while j < until:
                state = merge(state, lift(element_at(desk, tile, j, blank())))
                j = local(j + local(1))
            if ended:
                write_words(desk, tile, above(tile, i), to_words(finish(state, extras)))
            else:
                first = state
            ended = True
            state = neutral()
            i = local(i + local(1))
        while j < j_last:
            state = merge(state, lift(element_at(desk, tile, j, blank())))
            j = local(j + local(1))
        before, total = block_exclusive_scan_with_total((ended, state), chain, (False, neutral()))
        if ended:
            first = merge(before[1], first)
            if low == 0:
                write_words(firsts, tiles, block, to_words(first))
            else:
                write_words(desk, tile, above(tile, low), to_words(finish(first, extras)))
        if thread == 0:
            write_words(totals, tiles, block, to_words(total))
        cuda.syncthreads()
        # The first end is that of what comes before the first row.
        k = thread if thread > 0 else local(BLOCK)
        while k < n:
            like = finish(neutral(), extras)
            found = from_words(read_words(desk, tile, above(tile, k), to_words(like)), like)
            store(outs, outs_at(index(index(row + k) - index(1)), (rows,), out_strides), found)
            k = local(k + local(BLOCK))

    return segments_kernel


@kernel_function
def share(last, first, most):
    """How many items there are between two places, of which a tile has `most`."""
    found = local(last - first) if last > first else local(0)
    return found if found < most else local(most)


@kernel_function
def above(tile, place):
    """Where the end of a row is."""
    return local(local(tile - 1) - place)


@kernel_function
def element_at(memory, stride, place, like):
    """The element at a place."""
    return from_words(read_words(memory, stride, place, to_words(like)), like)


@kernel_function
def stage(memory, stride, place, count, lanes):
    """Lay lanes down, `BLOCK` apart."""
    for k in range(len(lanes)):
        if place < count:
            write_words(memory, stride, place, to_words(lanes[k]))
        place = local(place + local(BLOCK))


@kernel_function
def stage_ends(memory, tile, place, count, start, lanes):
    """Lay ends of rows down, counted from `start`."""
    for k in range(len(lanes)):
        if place < count:
            memory[above(tile, place)] = int(lanes[k][0]) - start
        place = local(place + local(BLOCK))


@functools.lru_cache(maxsize=1024)
def pairs(fold, long):
    """Kernel of segments that begin and end anywhere: a warp reads one."""
    index = index_type(long)
    neutral = folds.constant(fold.neutral, fold.state)
    lift, merge = folds.tupled(fold.lift, fold.ins, fold.state), folds.merger(fold.merge, fold.state)
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1), storer(1)
    gather, gather_some = (folds.gatherer(("vector",), 1, BATCH, inside) for inside in (True, False))
    outs_at, behind, step = unraveler(len(fold.outs)), 32 * (BATCH - 1), 32 * BATCH

    @kernel_function
    def taken(state, lanes, place, count):
        """`state`, merged with those lanes that there are."""
        for k in range(len(lanes)):
            if place < count:
                state = merge(state, lift(lanes[k]))
            place = index(place + index(32))
        return state

    @cuda.jit
    @of_scalars
    def pairs_kernel(rows, x_stride, strides, out_strides, extras, x, bounds, outs):
        thread = index(cuda.grid(1))
        row = index(thread // index(32))
        lane = index(thread & index(31))
        at = row if row < rows else index(rows - index(1))
        first = index(bounds[0][signed(at) * strides[0]])
        last = index(bounds[1][signed(at) * strides[1]])
        count = index(last - first) if last > first else index(0)
        base = (signed(first) * x_stride,)
        state, k = neutral(), lane
        while index(k + index(behind)) < count:
            lanes = gather(x, base, k, index(32), count, (count,), (x_stride,))
            state = taken(state, lanes, k, count)
            k = index(k + index(step))
        if k < count:
            lanes = gather_some(x, base, k, index(32), count, (count,), (x_stride,))
            state = taken(state, lanes, k, count)
        state = warp_reduce(state, merge)
        if lane == 0 and row < rows:
            store(outs, outs_at(row, (rows,), out_strides), finish(state, extras))

    return pairs_kernel


@functools.lru_cache(maxsize=1024)
def groups(fold, long):
    """Kernel that folds the pairs of each group of tiles."""
    index = index_type(long)
    neutral, merge = folds.constant(fold.neutral, fold.state), folds.merger(fold.merge, fold.state)
    chain = chained(merge)

    @cuda.jit
    @of_scalars
    def groups_kernel(tiles, count, totals, grouped):
        k = index(cuda.grid(1))
        pair = (False, neutral())
        if k < tiles:
            pair = from_words(read_words(totals, tiles, k, to_words(pair)), pair)
        pair = block_reduce(pair, chain)
        if cuda.threadIdx.x == 0:
            write_words(grouped, count, index(cuda.blockIdx.x), to_words(pair))

    return groups_kernel


@functools.lru_cache(maxsize=1024)
def joints(fold, skipped, long):
    """Kernel that finishes the first row that ends in each tile, a warp each; `skipped` ends are no rows."""
    index = index_type(long)
    neutral, merge = folds.constant(fold.neutral, fold.state), folds.merger(fold.merge, fold.state)
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1), storer(1)
    chain, outs_at = chained(merge), unraveler(len(fold.outs))

    @kernel_function
    def look_back(pair, pairs, stride, first, last, lane):
        """`pair` with those before it, until a row ends."""
        while last > first and not pair[0]:
            behind = index(index(32) - lane)
            found = (False, neutral())
            if last >= first + behind:
                found = from_words(read_words(pairs, stride, index(last - behind), to_words(found)), found)
            pair = chain(warp_reduce(found, chain), pair)
            last = index(last - index(32)) if last > first + index(32) else first
        return pair

    @cuda.jit
    @of_scalars
    def joints_kernel(rows, tiles, count, out_strides, extras, outs, starts, totals, firsts, grouped):
        tile = index(index(cuda.grid(1)) // index(32))
        lane = index(index(cuda.threadIdx.x) & index(31))
        if tile < tiles:
            row = index(starts[tile])
            if index(starts[tile + 1]) > row and row >= skipped:
                group = index(tile // index(GROUP))
                pair = look_back((False, neutral()), totals, tiles, index(group * index(GROUP)), tile, lane)
                pair = look_back(pair, grouped, count, index(0), group, lane)
                if lane == 0:
                    state = pair[1]
                    state = merge(state, from_words(read_words(firsts, tiles, tile, to_words(state)), state))
                    place = index(row - index(skipped))
                    store(outs, outs_at(place, (rows,), out_strides), finish(state, extras))

    return joints_kernel

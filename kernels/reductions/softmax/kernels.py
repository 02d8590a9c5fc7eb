"""The kernels of softmax and log_softmax.

    m = max x,   s = sum exp(x - m),   y = exp(x - m) / s   or   (x - m) - log(s)

A row that a few lanes, a warp or a block can hold is read once: `held_rows`, and `held_columns` where neighbours in
memory belong to different rows. They stay in registers from the load to the store.

Longer rows are cut into parts, of which each is read twice, by a block of `shared` that folds it to a maximum and a sum
and by one that normalises it. The last block of a row to have folded folds the parts' states. Blocks number themselves
by a counter as they start; a number says what a block does, and those that fold a row have smaller ones than those that
normalise it. The latter alone wait, for blocks that run or have run: every wait ends, whatever else the device
computes. The distance between the two is as short as waiting allows, so that the second read comes from the L2 cache
where that holds a row.
"""

import functools
import math
import operator
from typing import NamedTuple

import numpy as np
from numba import cuda, types

from ...device import folds
from ...device.block import block_reduce
from ...device.functions import identity
from ...device.instructions import device_function, kernel_function, of_scalars
from ...device.memory import count_up, index_type, unraveler
from ...device.primitives import libdevice, native
from ...device.tiles import acquire, columnwise, each, halves, release, scatterer
from ...device.warp import warp_reduce
from ...device.words import from_words, to_words
from ..kernels import read_words, write_words

#: The larger of two numbers, in one instruction; of a NaN and a number the number. The NaN shows in the sum.
larger = libdevice("fmax", np.fmax, 2)
add = native(operator.add, twin=np.add)

#: Registers of a thread of rows that blocks share, and of columns: three blocks and two of 512 threads fit a
#: multiprocessor, without spills. float64 has blocks of 256, and what the compiler takes.
REGISTERS = 40, 64


class Normal(NamedTuple):
    """The functions and dtypes of a softmax.

    Attributes
    ----------
    name : str
    into : dtype
        What elements are converted to.
    state, out : dtype
        That is computed in, and of the results.
    shift : device function
        ``shift(x, m)``: the value that a thread holds of an element.
    weigh : device function
        ``weigh(v)``: exp(x - m) of a value.
    prepare : device function
        ``prepare(m, s)``: what a row's values are finished with.
    finish : device function
        ``finish(v, q)``: the result.
    """

    name: str
    into: np.dtype
    state: np.dtype
    out: np.dtype
    shift: object
    weigh: object
    prepare: object
    finish: object


class _Pieces:
    """The functions of lanes of which kernels are made: `groups` groups of `width`, of as many rows if `abreast`."""

    def __init__(self, normal, kinds, width, groups, abreast, full, streaming=False):
        state = (normal.state,)
        self.gather = folds.gatherer(kinds, width, groups, full)
        self.scatter = scatterer(width, groups, full, streaming)
        self.larger, self.add = (folds.merger(f, state) for f in (larger, add))
        if abreast:
            self.larger, self.add = (folds.abreast_merge(f, width) for f in (self.larger, self.add))
        many = width if abreast else 1
        self.lowest = folds.constant((-math.inf,) * many, state * many)
        self.nothing = folds.constant((0,) * many, state * many)

        def fold(lift, ins, merge, neutral, masked):
            lift = folds.tupled(lift, ins, state)
            lift = folds.abreast_lift(lift, width) if abreast else folds.alongside(lift, [merge] * 8)
            return folds.leaf(lift, [merge] * 8, neutral, groups, masked)

        # A lane past the end is one more of the last, which no maximum minds.
        self.top = fold(identity, (normal.into,), self.larger, self.lowest, False)
        self.total = fold(normal.weigh, state, self.add, self.nothing, not full)
        self.sum = fold(identity, state, self.add, self.nothing, not full)
        self.shift = each(normal.shift, (normal.into, normal.state), normal.state)
        self.relative = each(relative, (normal.into, normal.state), normal.state)
        self.pivot = columnwise(pivot, state, normal.state)
        self.rescale = columnwise(rescaled, state * 3, normal.state)
        self.prepare = columnwise(normal.prepare, state * 2, normal.state)
        self.finish = each(normal.finish, state * 2, normal.out)


@device_function
def pivot(m):
    """What exponents are relative to: the maximum, 0 where that is infinite or NaN."""
    return m if m - m == 0 else 0


@device_function
def relative(x, p):
    """exp(x - p)."""
    return np.exp(x - p)


@device_function
def rescaled(s, m, p):
    """The sum s, relative to a maximum m, relative to the pivot of a larger one."""
    d = m - p
    return s * np.exp(d if d < 0 else p - p)


@functools.lru_cache(maxsize=8192)
def held_rows(normal, kinds, width, team, threads, groups, full, long):
    """Kernel for rows that `team` threads of a block hold, `groups` groups of `width` elements each.

    `team` is a power of two up to 32, or all of the block; `full` where they are as many as a row has.
    """
    index = index_type(long)
    of = _Pieces(normal, kinds, width, groups, False, full)
    gather, top, shift, total, prepare, finish, scatter = (
        of.gather, of.top, of.shift, of.total, of.prepare, of.finish, of.scatter
    )  # fmt: skip
    maximum, plus, places = of.larger, of.add, unraveler(2)
    reduce = _team_reduce(team) if team <= 32 else block_reduce
    rows = threads // team

    @cuda.jit
    @of_scalars
    def held_rows_kernel(n, count, kept, kept_strides, shape, strides, out_strides, ins, outs):
        thread = index(cuda.threadIdx.x)
        there = index(thread // index(team))
        row = index(index(index(cuda.blockIdx.x) * index(rows)) + there)
        lane = index(thread - index(there * index(team)))
        at = places(row if row < n else index(n - index(1)), kept, kept_strides)
        lanes = gather(ins, at[:1], lane, index(team), count, shape, strides)
        peak = reduce(top(lanes, lane, index(team), count), maximum)
        values = shift(lanes, peak)
        scale = prepare((peak, reduce(total(values, lane, index(team), count), plus)))
        if row < n:
            scatter(outs, at[1], lane, index(team), count, shape, out_strides, finish(values, scale))

    return held_rows_kernel


def _team_reduce(team):
    if team == 1:
        return kernel_function(lambda value, op: value)

    @kernel_function
    def reduce(value, op):
        return warp_reduce(value, op, team, team)

    return reduce


@functools.lru_cache(maxsize=8192)
def held_columns(normal, kinds, width, threads, groups, full, long):
    """Kernel for rows whose neighbours in memory belong to other rows: a block holds some, `width` a thread."""
    index = index_type(long)
    of = _Pieces(normal, kinds, width, groups, True, full)
    gather, top, shift, total, prepare, finish, scatter = (
        of.gather, of.top, of.shift, of.total, of.prepare, of.finish, of.scatter
    )  # fmt: skip
    maximum, plus, places = of.larger, of.add, unraveler(2)
    reduce, room = _down_reduce(threads), normal.state.itemsize // 4 * width * threads

    @cuda.jit
    @of_scalars
    def held_columns_kernel(n, across, count, kept, kept_strides, shape, strides, out_strides, ins, outs):
        desk = cuda.shared.array(room, types.int32)
        thread = index(cuda.threadIdx.x)
        y = index(thread // across)
        down = index(index(cuda.blockDim.x) // across)
        x = index(thread - index(y * across))
        column = index(index(index(cuda.blockIdx.x) * across) + x)
        at = places(column if column < n else index(n - index(1)), kept, kept_strides)
        lanes = gather(ins, at[:1], y, down, count, shape, strides)
        peak = reduce(top(lanes, y, down, count), maximum, desk, thread, across, y, down)
        values = shift(lanes, peak)
        scale = prepare((peak, reduce(total(values, y, down, count), plus, desk, thread, across, y, down)))
        if column < n:
            scatter(outs, at[1], y, down, count, shape, out_strides, finish(values, scale))

    return held_columns_kernel


def _down_reduce(threads):
    """``reduce(state, merge, desk, thread, across, y, down)`` of the threads of a block with a column in common.

    Threads `across` apart have one; `desk` has room for `threads` states.
    """

    @kernel_function
    def reduce(state, merge, desk, thread, across, y, down):
        everyone = down
        while down > 1:
            # Half of the threads write, the other half reads; what was read before stays as it is.
            half = (down + 1) // 2
            if y >= half and y < down:
                write_words(desk, threads, thread, to_words(state))
            cuda.syncthreads()
            if y + half < down:
                other = read_words(desk, threads, thread + half * across, to_words(state))
                state = merge(state, from_words(other, state))
            down = half
        if everyone > 1:
            if y == 0:
                write_words(desk, threads, thread, to_words(state))
            cuda.syncthreads()
            state = from_words(read_words(desk, threads, thread - y * across, to_words(state)), state)
            cuda.syncthreads()
        return state

    return reduce


@kernel_function
def _block_reduce(state, merge, desk, thread, across, y, down):
    return block_reduce(state, merge)


@kernel_function
def task(ticket, units, lag):
    """Whether a block folds, and which of `units` parts it folds or normalises; `ticket` is its number.

    `lag` parts are folded before the first is normalised, then one is folded for each that is normalised.
    """
    if ticket < lag:
        return True, ticket
    # Shifts: to Numba, twice an unsigned number is a float64.
    turn = ticket - lag
    pair = turn >> 1
    if pair >= units - lag:
        return False, ticket - units
    folds = turn & 1 == 0
    return folds, lag + pair if folds else pair


@functools.lru_cache(maxsize=8192)
def shared(normal, kinds, width, threads, groups, abreast, streaming, long):
    """Kernel for rows that several blocks read twice; see the module.

    With `abreast` neighbours belong to different rows, of which a block has some, ``across`` groups of `width`; else a
    block has a part of one row. `streaming` results leave the L2 cache before what is to be read again.
    """
    index = index_type(long)
    of = _Pieces(normal, kinds, width, groups, abreast, False, streaming)
    gather, top, total, relative, shift, finish, scatter = (
        of.gather, of.top, of.sum, of.relative, of.shift, of.finish, of.scatter
    )  # fmt: skip
    maximum, plus, pivot, rescale, prepare = of.larger, of.add, of.pivot, of.rescale, of.prepare
    lowest, nothing, places = of.lowest, of.nothing, unraveler(2)
    reduce = _down_reduce(threads) if abreast else _block_reduce
    room = normal.state.itemsize // 4 * width * threads if abreast else 1
    most = REGISTERS[abreast or long] if normal.state.itemsize == 4 else None

    @kernel_function
    def merged(m, s, n, t):
        """The sums s and t, relative to the maxima m and n, as one of each."""
        most = maximum(m, n)
        base = pivot((most,))
        return most, plus(rescale((s, m, base)), rescale((t, n, base)))

    @kernel_function
    def of_block(m, s, desk, thread, across, y, down):
        most = reduce(m, maximum, desk, thread, across, y, down)
        return most, reduce(rescale((s, m, pivot((most,)))), plus, desk, thread, across, y, down)

    @cuda.jit(max_registers=most)
    @of_scalars
    def shared_kernel(
        n, across, panels, parts, chunks, batch, lag, stride, count, kept, kept_strides, shape, strides, out_strides,
        ins, outs, tickets, partials,
    ):  # fmt: skip
        slip = cuda.shared.array(1, types.uint32)
        desk = cuda.shared.array(room, types.int32)
        thread = index(cuda.threadIdx.x)
        y = index(thread // across)
        down = index(index(cuda.blockDim.x) // across)
        x = index(thread - index(y * across))
        units = index(panels * parts)
        if thread == 0:
            slip[0] = count_up(tickets, 0, cuda.gridDim.x - 1)
        cuda.syncthreads()
        ticket = index(slip[0])
        cuda.syncthreads()
        folding, unit = task(ticket, units, lag)
        unit = index(unit)
        panel = index(unit // parts)
        column = index(index(panel * across) + x)
        at = places(column if column < n else index(n - index(1)), kept, kept_strides)
        step = index(down * index(groups))
        i = index(index(index(unit - index(panel * parts)) * index(step * chunks)) + y)
        counters = index(index(index(panel // batch) * index(3)) + index(1))
        first = index(index(panel // batch) * batch)
        last = index(first + batch) if index(first + batch) < panels else panels
        members = index(index(last - first) * parts)
        peak, sums = lowest(), nothing()
        if folding:
            for _ in range(chunks):
                if i < count:
                    lanes = gather(ins, at[:1], i, down, count, shape, strides)
                    high = top(lanes, i, down, count)
                    more = total(relative(lanes, pivot((high,))), i, down, count)
                    peak, sums = merged(peak, sums, high, more)
                i = index(i + step)
            peak, sums = of_block(peak, sums, desk, thread, across, y, down)
            if y == 0:
                place = index(index(index(panels + unit) * across) + x)
                write_words(partials, stride, place, to_words(peak + sums))
            cuda.syncthreads()
            if thread == 0:
                slip[0] = count_up(tickets, counters, members - 1)
            cuda.syncthreads()
            if slip[0] != members - 1:
                return
            for other in range(first, last):
                peak, sums = lowest(), nothing()
                k = y
                while k < parts:
                    place = index(index(index(panels + index(index(index(other) * parts) + k)) * across) + x)
                    words = read_words(partials, stride, place, to_words(peak + sums))
                    both = halves(from_words(words, peak + sums))
                    peak, sums = merged(peak, sums, both[0], both[1])
                    k = index(k + down)
                peak, sums = of_block(peak, sums, desk, thread, across, y, down)
                if y == 0:
                    write_words(partials, stride, index(index(index(other) * across) + x), to_words(peak + sums))
            cuda.syncthreads()
            if thread == 0:
                release(tickets, index(counters + index(1)), 1)
            return
        if column >= n:
            i = count
        for k in range(chunks):
            # The load is under way while the block waits.
            lanes = gather(ins, at[:1], i, down, count, shape, strides)
            if k == 0:
                if thread == 0:
                    while acquire(tickets, index(counters + index(1))) == 0:
                        pass
                    if count_up(tickets, index(counters + index(2)), members - 1) == members - 1:
                        release(tickets, index(counters + index(1)), 0)
                cuda.syncthreads()
                words = read_words(partials, stride, index(index(panel * across) + x), to_words(peak + sums))
                both = halves(from_words(words, peak + sums))
                peak = both[0]
                sums = prepare((peak, both[1]))
            scatter(outs, at[1], i, down, count, shape, out_strides, finish(shift(lanes, peak), sums))
            i = index(i + step)

    return shared_kernel

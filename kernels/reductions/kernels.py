"""The kernels of every fold.

    y[k] = finish(merge(lift(x[k, 0]), lift(x[k, 1]), ...))        for every k

k counts what is kept, the second index what is reduced. Where neighbours in memory are reduced, `short_rows` gives a
row to a few lanes of a warp and `long_rows` to one or several blocks; where neighbours are kept, `columns` has each
thread take some of them down the reduced axes. Blocks that share a row leave their states in memory, and of each few
the last to come folds these, and so on: one launch, and the order of merges depends on shapes, dtypes and alignment
alone, not on time or on the card.

A thread loads several groups of neighbours before it uses the first, see `kernels.device.folds`.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import cuda, types

from ..device import folds
from ..device.block import block_reduce
from ..device.expansions import absorber
from ..device.instructions import SIMULATED, kernel_function, of_scalars
from ..device.memory import along, count_up, index_type, loader, storer, unraveler
from ..device.scalar import call
from ..device.warp import warp_reduce
from ..device.words import from_words, to_words, with_word

#: Threads of a block; of a simulated one, so that small arrays have several.
BLOCK = 64 if SIMULATED else 256
#: Blocks whose states the last of them folds. With 2048 at once that took 70 us (64 columns, H100).
GATHERED = 3 if SIMULATED else 64


class Fold(NamedTuple):
    """The functions and dtypes of a fold; see `kernels.device.folds`.

    Attributes
    ----------
    name : str
    ins : tuple of dtypes
        What the elements of a lane are converted to.
    state, extras : tuple of dtypes
    out : dtype, or tuple of dtypes where there are several results
    lift, merge, finish : device functions
    neutral : tuple of numbers
        The state that changes none that it is merged with.
    balanced : callable or None
        ``balanced(level)``: a shorter way to merge two states of 2**level elements each.
    pivot : tuple of device functions or None
        ``(choose, term, add)``: a shorter way to the state of several elements, see `kernels.device.folds.pivoted`.
    masked : bool
        Whether the first array of a lane says which elements count.
    chain : str or None
        The kind of an expansion that takes one number after the other, see `kernels.device.expansions.absorber`.
    """

    name: str
    ins: tuple
    state: tuple
    extras: tuple
    out: np.dtype
    lift: object
    merge: object
    finish: object
    neutral: tuple
    balanced: object = None
    pivot: tuple = None
    masked: bool = False
    chain: str = None

    @property
    def outs(self):
        """Dtypes of the results."""
        return self.out if isinstance(self.out, tuple) else (self.out,)

    @property
    def words(self):
        """Words of 32 bits of a state."""
        return sum(max(d.itemsize // 4, 1) for d in self.state)


def _pieces(fold, width, groups, abreast):
    """``(lift, merges, merge, neutral)`` of groups of `width` lanes, of as many rows, `abreast`, or of one.

    ``merges[level]`` is for states of 2**level groups each.
    """
    neutral = folds.constant(fold.neutral, fold.state)
    lift = folds.tupled(fold.lift, fold.ins, fold.state)
    merge = folds.merger(fold.merge, fold.state)
    levels = (width * groups).bit_length()
    if fold.balanced and not fold.masked:
        merges = [folds.merger(fold.balanced(level), fold.state) for level in range(levels)]
    else:
        merges = [merge] * levels
    if fold.masked:
        lift = folds.chosen(lift, neutral)
    if not abreast:
        return folds.alongside(lift, merges), merges[width.bit_length() - 1 :], merge, neutral
    merges, merge = [folds.abreast_merge(each, width) for each in merges], folds.abreast_merge(merge, width)
    return folds.abreast_lift(lift, width), merges, merge, folds.constant(fold.neutral * width, fold.state * width)


def _absorber(fold, lift, merge, leaf, width, groups, abreast, inside):
    """``absorb(state, lanes, first, step, count)``: the state, and what a `gatherer` found."""
    if fold.chain:
        lift = folds.tupled(fold.lift, fold.ins, fold.state)
        lift = folds.chosen(lift, folds.constant(fold.neutral, fold.state)) if fold.masked else lift
        return absorber(fold.chain, lift, width if abreast else 1, groups, not inside)
    return kernel_function(lambda state, lanes, first, step, count: merge(state, leaf(lanes, first, step, count)))


def _loop(fold, kinds, width, groups, abreast):
    """Merge and neutral state, and what gathers and absorbs groups: those that all count, and the last ones."""
    lift, merges, merge, neutral = _pieces(fold, width, groups, abreast)
    leaves = _whole(fold, lift, merges, neutral, groups, abreast), folds.leaf(lift, [merge] * 8, neutral, groups, True)
    gathers = (folds.gatherer(kinds, width, groups, inside) for inside in (True, False))
    absorbers = (
        _absorber(fold, lift, merge, leaf, width, groups, abreast, inside)
        for leaf, inside in zip(leaves, (True, False), strict=True)
    )
    return merge, neutral, *gathers, *absorbers


def _whole(fold, lift, merges, neutral, groups, abreast):
    """The leaf of groups all of which count."""
    if not fold.pivot or fold.masked:
        return folds.leaf(lift, merges, neutral, groups, masked=False)
    choose, term, add = fold.pivot
    value, total = fold.state
    return folds.pivoted(
        folds.tupled(fold.lift, fold.ins, fold.state),
        call(choose, (value, value), (value,)),
        call(term, (*fold.state, value), (total,)),
        call(add, (total, total), (total,)),
        groups,
        abreast,
    )


@functools.lru_cache(maxsize=8192)
def short_rows(fold, kinds, width, team, groups, full, long):
    """Kernel for rows that `team` lanes of a warp read at once, `groups` groups of `width` elements each.

    `full` where they are as many as a row has.
    """
    index = index_type(long)
    lift, merges, merge, neutral = _pieces(fold, width, groups, abreast=False)
    gather = folds.gatherer(kinds, width, groups, full)
    if full:
        total = _whole(fold, lift, merges, neutral, groups, abreast=False)
    else:
        total = folds.leaf(lift, [merge] * 8, neutral, groups, masked=True)
    if fold.chain:
        absorb = _absorber(fold, lift, merge, total, width, groups, abreast=False, inside=full)
        total = kernel_function(lambda lanes, first, step, count: absorb(neutral(), lanes, first, step, count))
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1), storer(1)
    ins_at, outs_at = unraveler(len(kinds)), unraveler(len(fold.outs))

    @cuda.jit
    @of_scalars
    def short_rows_kernel(n, count, kept, kept_strides, out_strides, shape, strides, extras, ins, outs):
        thread = index(cuda.grid(1))
        row = index(thread // index(team))
        lane = index(thread - index(row * index(team)))
        at = row if row < n else index(n - index(1))
        lanes = gather(ins, ins_at(at, kept, kept_strides), lane, index(team), count, shape, strides)
        state = total(lanes, lane, index(team), count)
        if team > 1:
            state = warp_reduce(state, merge, team, team)
        if lane == 0 and row < n:
            store(outs, outs_at(row, kept, out_strides), finish(state, extras))

    return short_rows_kernel


@functools.lru_cache(maxsize=8192)
def long_rows(fold, kinds, width, groups, split, ragged, long):
    """Kernel for rows that a block reads, or, with `split`, several; with `ragged`, one that groups do not fill."""
    index = index_type(long)
    merge, neutral, gather, gather_some, absorb, absorb_some = _loop(fold, kinds, width, groups, abreast=False)
    rest_at, load_rest, lift_rest = along(kinds), loader(kinds, 1), _pieces(fold, 1, 1, abreast=False)[0]
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1), storer(1)
    ins_at, outs_at = unraveler(len(kinds)), unraveler(len(fold.outs))

    @cuda.jit
    @of_scalars
    def long_rows_kernel(
        n, parts, stride, count, over, kept, kept_strides, out_strides, shape, strides, extras, ins, outs, tickets,
        partials,
    ):  # fmt: skip
        came = cuda.shared.array(1, types.uint32)
        thread, step = index(cuda.threadIdx.x), index(cuda.blockDim.x)
        block = index(cuda.blockIdx.x)
        row = index(block // parts)
        part = index(block - index(row * parts))
        base = ins_at(row, kept, kept_strides)
        state = neutral()
        i = index(index(part * index(step * index(groups))) + thread)
        while index(i + index(step * index(groups - 1))) < count:
            lanes = gather(ins, base, i, step, count, shape, strides)
            state = absorb(state, lanes, i, step, count)
            i = index(i + index(step * index(index(groups) * parts)))
        if i < count:
            lanes = gather_some(ins, base, i, step, count, shape, strides)
            state = absorb_some(state, lanes, i, step, count)
        if ragged and part == parts - 1 and thread < over:
            state = merge(state, lift_rest(load_rest(ins, rest_at(index(thread + index(count * index(width)))))))
        state = block_reduce(state, merge)
        rank, states, counters = part, index(0), index(0)
        while split and parts > 1:
            gathering = index(index(parts + index(GATHERED - 1)) // index(GATHERED))
            mine = index(rank // index(GATHERED))
            members = index(parts - index(mine * index(GATHERED)))
            members = members if members < GATHERED else index(GATHERED)
            if thread == 0:
                write_words(partials, stride, index(states + index(index(row * parts) + rank)), to_words(state))
                cuda.threadfence()
                came[0] = count_up(tickets, index(counters + index(index(row * gathering) + mine)), members - 1)
            cuda.syncthreads()
            if came[0] != members - 1:
                return
            cuda.threadfence()
            state = neutral()
            if thread < members:
                place = index(states + index(index(row * parts) + index(index(mine * index(GATHERED)) + thread)))
                state = from_words(read_words(partials, stride, place, to_words(state)), state)
            state = block_reduce(state, merge)
            states, counters = index(states + index(n * parts)), index(counters + index(n * gathering))
            rank, parts = mine, gathering
        if thread == 0:
            store(outs, outs_at(row, kept, out_strides), finish(state, extras))

    return long_rows_kernel


@functools.lru_cache(maxsize=8192)
def columns(fold, kinds, width, groups, split, long):
    """Kernel for rows whose neighbours in memory belong to other rows: a thread reads `width` of these."""
    index = index_type(long)
    merge, neutral, gather, gather_some, absorb, absorb_some = _loop(fold, kinds, width, groups, abreast=True)
    finish, store = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, width), storer(width)
    ins_at, outs_at = unraveler(len(kinds)), unraveler(len(fold.outs))
    room = fold.words * width * BLOCK

    @cuda.jit
    @of_scalars
    def columns_kernel(
        n, across, parts, stride, count, kept, kept_strides, out_strides, shape, strides, extras, ins, outs, tickets,
        partials,
    ):  # fmt: skip
        came = cuda.shared.array(1, types.uint32)
        desk = cuda.shared.array(room, types.int32)
        thread = index(cuda.threadIdx.x)
        y = index(thread // across)
        down = index(index(cuda.blockDim.x) // across)
        block = index(cuda.blockIdx.x)
        group = index(block // parts)
        groups_of_columns = index(index(n + index(across - index(1))) // across)
        part = index(block - index(group * parts))
        column = index(index(group * across) + index(thread - index(y * across)))
        inside = column < n and y < down
        base = ins_at(column if column < n else index(n - index(1)), kept, kept_strides)
        state = neutral()
        i = index(index(part * index(down * index(groups))) + y) if inside else count
        while index(i + index(down * index(groups - 1))) < count:
            lanes = gather(ins, base, i, down, count, shape, strides)
            state = absorb(state, lanes, i, down, count)
            i = index(i + index(down * index(index(groups) * parts)))
        if i < count:
            lanes = gather_some(ins, base, i, down, count, shape, strides)
            state = absorb_some(state, lanes, i, down, count)
        if down > 1:
            state = fold_down(state, merge, desk, thread, across, y, down)
        rank, states, counters = part, index(0), index(0)
        while split and parts > 1:
            gathering = index(index(parts + index(GATHERED - 1)) // index(GATHERED))
            mine = index(rank // index(GATHERED))
            members = index(parts - index(mine * index(GATHERED)))
            members = members if members < GATHERED else index(GATHERED)
            if inside and y == 0:
                write_words(partials, stride, index(states + index(index(rank * n) + column)), to_words(state))
                cuda.threadfence()
            cuda.syncthreads()
            if thread == 0:
                cuda.threadfence()
                came[0] = count_up(tickets, index(counters + index(index(group * gathering) + mine)), members - 1)
            cuda.syncthreads()
            if came[0] != members - 1:
                return
            cuda.threadfence()
            state = neutral()
            i = y if inside else members
            while i < members:
                place = index(states + index(index(index(index(mine * index(GATHERED)) + i) * n) + column))
                other = read_words(partials, stride, place, to_words(state))
                state = merge(state, from_words(other, state))
                i = index(i + down)
            if down > 1:
                state = fold_down(state, merge, desk, thread, across, y, down)
            states, counters = index(states + index(n * parts)), index(counters + index(groups_of_columns * gathering))
            rank, parts = mine, gathering
        if inside and y == 0:
            store(outs, outs_at(column, kept, out_strides), finish(state, extras))

    return columns_kernel


@kernel_function
def fold_down(state, merge, desk, thread, across, y, down):
    """The states of the threads of a block that have a column in common, `across` apart, in the first of them."""
    while down > 1:
        half = (down + 1) // 2
        cuda.syncthreads()
        if y >= half and y < down:
            write_words(desk, BLOCK, thread, to_words(state))
        cuda.syncthreads()
        if y + half < down:
            other = read_words(desk, BLOCK, thread + half * across, to_words(state))
            state = merge(state, from_words(other, state))
        down = half
    return state


@kernel_function
def write_words(memory, stride, place, words):
    """Lay words down, `stride` apart."""
    for k in range(len(words)):
        memory[k * stride + place] = words[k]


@kernel_function
def read_words(memory, stride, place, like):
    """As many words as `like` has, `stride` apart."""
    found = like
    for k in range(len(like)):
        found = with_word(found, k, memory[k * stride + place])
    return found

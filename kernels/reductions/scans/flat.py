"""The scan kernel of rows: all of them as one sequence, cut into tiles of equal length.

    y[r, i] = x[r, 0] + ... + x[r, i]          for every row r

Rows are laid end to end, element f being x[f // n, f % n]. A thread holds vectors of `width` neighbours, 32 vectors of
a warp's lanes are a chunk, `items` chunks are a warp's, and what the warps of a block hold is a tile::

    vector   scanned by its thread, one element after another
    chunk    the vectors' totals scanned by the lanes, in 5 steps
    warp     the chunks' totals, one after another
    tile     the warps' totals scanned by the lanes of the first warp, in 5 steps
    before   what lies before the tile, by looking back (`lookback`)

and an element is ``before + (((warps + chunks) + lanes) + vector)``. Nowhere is an identity needed: how far an element
is from the start of its row says which of the terms are its own. That is known from the number of the element, so rows
of any length take part, and rows that begin inside of a vector do.

Where there are many tiles, as many blocks as run at once take one after the other, and each has its next tile on its
way through shared memory while it looks back: a tile stays 9 us in a block that does one thing after the other, and
what 16 or 24 KB of a multiprocessor's registers hold is too little for that time.

Where the loads are vectors, a warp reads and writes whole lines with no detour by shared memory: what that costs
instead is 5 shuffles for `width` elements.

The error of a sum: with u the unit roundoff, every element passes at most ``width - 1 + 5 + items - 1 + 5 + 3``
additions within a tile, and those of tiles are compensated, so that

    |error of y[i]| <= u |y[i]| + (width + items + 12) u (1 + O(u)) sum of |x| up to i

which does not grow with the length of the row, as n u of a sum from left to right does.
"""

import functools

import numpy as np
from numba import cuda, types

from ...device.copies import cp_async_wait_all
from ...device.instructions import SIMULATED, kernel_function, of_scalars
from ...device.memory import along, loader, storer, unraveler
from ...device.staging import staging
from ...device.unrolled import accumulated, each, flattened, grouped
from ...device.warp import shuffle, shuffle_up
from ...device.words import from_words, get_words, put_words, slots, to_words
from .lookback import FAR, looking_back, take_tile, u32, u64, warp_scan

#: How often a row begins inside of a tile.
NEVER, ONCE, OFTEN = "never", "once", "often"


@functools.lru_cache(maxsize=1024)
def positions(wraps, width):
    """``at(first, p0, left, n)``: of each element of a vector, its place in its row, or `FAR`.

    `first` is where the vector begins in its tile, `p0` the place in its row of the tile's first element (or anything
    beyond `FAR`), and `left` how many elements of the tile belong to that row (or anything beyond).
    """
    steps = tuple(range(width))

    if wraps == NEVER:

        @kernel_function
        def place(step, first, p0, left, n):
            return u32(FAR)

    elif wraps == ONCE:

        @kernel_function
        def place(step, first, p0, left, n):
            at = u32(first + u32(step))
            return u32(p0 + at) if at < left else u32(at - left)

    else:
        return _modulo(width)

    of_steps = each(place, width)

    @kernel_function
    def at(first, p0, left, n):
        return of_steps((steps,), (first, p0, left, n))

    return at


def _modulo(width):
    """`positions` where rows are short: one division a vector."""

    @kernel_function
    def copy(step, place):
        return place

    @kernel_function
    def next_place(before, place, n):
        after = u32(before + u32(1))
        return u32(0) if after == n else after

    copies, chain = each(copy, width), accumulated(next_place, width)
    steps = tuple(range(width))

    @kernel_function
    def at(first, p0, left, n):
        return chain(copies((steps,), (u32(u32(p0 + first) % n),)), (), (n,))

    return at


@kernel_function
def _last(row):
    return row[-1]


@kernel_function
def _from_below(value):
    return shuffle_up(value, 1)


@kernel_function
def _from_top(value):
    return shuffle(value, 31)


@functools.lru_cache(maxsize=1024)
def _vectors(algebra, width, wraps, starts):
    """``scan(elements, places, initial)``: the states of a vector's elements, each with those before it in its row."""
    lift, op = algebra.lift, algebra.op

    @kernel_function
    def lifted(x, place, initial):
        return lift(x)

    @kernel_function
    def started(x, place, initial):
        state = lift(x)
        if place == u32(0):
            state = op(initial, state)
        return state

    @kernel_function
    def step(before, state, place):
        return state if place == u32(0) else op(before, state)

    states = each(started if starts and wraps != NEVER else lifted, width)
    scan = accumulated(step, width)

    @kernel_function
    def scanned(elements, places, initial):
        return scan(states((elements, places), (initial,)), (places,), ())

    return scanned


@functools.lru_cache(maxsize=1024)
def _offset(op, width):
    """``offset(...)``: what lies before a vector in its warp, from what does in its chunk, and the chunks before.

    It is known before other warps are waited for, and takes fewer registers then than what it is made from.
    """

    @kernel_function
    def offset(chunk, lanes, chunks, places, lane):
        first = places[0]
        if chunk > 0 and first > u32(lane * u32(width)):
            return op(chunks, lanes) if lane > u32(0) and first > u32(0) else chunks
        return lanes

    return offset


@functools.lru_cache(maxsize=1024)
def _finished(algebra, width, items, exclusive, wraps):
    """``finish(...)``: the results of a vector, from its own states and all that lies before."""
    op, apply, settle, lower = algebra.op, algebra.apply, algebra.settle, algebra.lower

    @kernel_function
    def included(state, place, step, exists, off, carries, before):
        if place > u32(step):
            if exists:
                state = op(off, state)
            if carries:
                state = apply(before, state)
        return state

    @kernel_function
    def lowered(state):
        return lower(state)

    @kernel_function
    def moved(state, place, initial):
        return initial if place == u32(0) else state

    of_elements, low = each(included, width), each(lowered, width)
    move = each(moved, width)
    steps = tuple(range(width))

    @kernel_function
    def finish(chunk, states, places, off, warps, before, has_before, initial, warp, lane):
        first = places[0]
        in_chunk = u32(lane * u32(width))
        in_warp = u32(in_chunk + u32(chunk * 32 * width))
        in_tile = u32(in_warp + u32(warp * u32(items * 32 * width)))
        exists = (lane > u32(0) and first > u32(0)) or (chunk > 0 and first > in_chunk)
        if warp > u32(0) and first > in_warp:
            off = op(warps, off) if exists else warps
            exists = True
        carries = has_before and first > in_tile
        found = of_elements((states, places, steps), (exists, off, carries, before))
        if exclusive:
            head = off
            if carries:
                head = apply(before, off) if exists else settle(before)
            found = move(((head, *found[:-1]), places), (initial,))
        return low((found,), ())

    return finish


@functools.lru_cache(maxsize=1024)
def flat(
    algebra, n_in, n_out, warps, items, width, aligned, wraps, starts, exclusive, contiguous, long, registers=None,
    staged=None, vectors=(True, True), alone=None, group=1, piece=None,
):  # fmt: skip
    """The kernel.

    Parameters
    ----------
    algebra : Algebra
    n_in, n_out : int
        How many arrays are read and written.
    warps : int
        Of a block.
    items : int
        Vectors of a thread.
    width : int
        Elements of a vector.
    aligned : bool
        Whether elements of 16 bytes are aligned to them.
    wraps : {NEVER, ONCE, OFTEN}
        How often a row begins inside of a tile, at most.
    starts, exclusive : bool
        Whether rows begin with the value `initial`, and whether an element is left out of its own sum.
    contiguous : bool
        Whether element f of the sequence is at f in memory; elsewhere by shape and strides.
    long : bool
        Whether elements are counted in 64 bits.
    registers : int, optional
        Of a thread, at most.
    staged : tuple of int, optional
        Bytes of an element of each input, for blocks that take tile after tile and have the next one on its way
        (`kernels.device.staging`) while they look back: as many as run at once. Else a block takes one tile.
    vectors : (bool, bool)
        Whether inputs, and outputs, are such that a vector is one access.
    alone : {None, "tile", "warp"}
        Where rows end with each tile, or with each warp's share of it, and nothing lies before.
    group : int
        Neighbours that are scanned side by side, as one element, of an `algebra` of so many; what lies in memory then
        has no gaps.
    """
    index = int if SIMULATED else types.uint64 if long else types.uint32
    chunk, share = 32 * width, 32 * width * items
    tile_size = warps * share
    chunks = tuple(range(items))
    # A vector is read as `pieces` of `piece` numbers each.
    numbers = width * group
    piece = piece or numbers
    pieces = numbers // piece
    steps, whole = tuple(range(numbers)), tuple(range(pieces))
    load, load_one = loader(("vector",) * n_in, piece, aligned), loader(("vector",) * n_in, 1)
    store, store_one = storer(piece, aligned), storer(1)
    of_in, of_out = along(("vector",) * n_in), along(("vector",) * n_out)
    unravel_in, unravel_out = unraveler(n_in), unraveler(n_out)
    group_up, cut_up = grouped(group), grouped(piece)
    op, carry, join = algebra.op, algebra.carry, algebra.join
    places_of = positions(wraps, width)
    last_place = positions(wraps, 1)
    scan = warp_scan(op)
    prefix = looking_back(join)
    slots_of_block = warps * 32 * items * pieces
    stage, staged_piece = staging(staged or (4,) * n_in, piece, slots_of_block)
    staged_words = slots_of_block * piece * sum(staged) // 4 if staged else 1
    lift = algebra.lift

    @kernel_function
    def ins_at(f, shape, strides):
        if contiguous:
            return of_in(f)
        return unravel_in(f, shape, strides)

    @kernel_function
    def outs_at(f, shape, strides):
        if contiguous:
            return of_out(f)
        return unravel_out(f, shape, strides)

    @kernel_function
    def place_vector(k, at, p0, left, n):
        return places_of(u32(at + u32(k * chunk)), p0, left, n)

    @kernel_function
    def place_number(k, start, at):
        return index(index(start + index(u32(at + u32(k * chunk)))) * index(group))

    @kernel_function
    def elements_of(lanes):
        return group_up(lanes) if group > 1 else lanes

    @kernel_function
    def load_lane(step, f, shape, strides, ins):
        return load_one(ins, ins_at(index(f + index(step)), shape, strides))[0]

    @kernel_function
    def store_lane(step, lane, f, shape, strides, outs):
        store_one(outs, outs_at(index(f + index(step)), shape, strides), (lane,))

    @kernel_function
    def load_piece(p, f, shape, strides, ins):
        return load(ins, ins_at(index(f + index(p * piece)), shape, strides))

    @kernel_function
    def store_piece(p, lanes, f, shape, strides, outs):
        store(outs, outs_at(index(f + index(p * piece)), shape, strides), lanes)

    @kernel_function
    def stage_piece(p, f, memory, slot, shape, strides, ins):
        place = u32(slot + u32(p * warps * 32))
        stage(memory, place, ins, ins_at(index(f + index(p * piece)), shape, strides))

    @kernel_function
    def take_piece(p, memory, slot, ins):
        return staged_piece(memory, u32(slot + u32(p * warps * 32)), ins)

    load_lanes, store_lanes = each(load_lane, numbers), each(store_lane, numbers)
    load_pieces, store_pieces = each(load_piece, pieces), each(store_piece, pieces)
    stage_pieces, take_pieces = each(stage_piece, pieces), each(take_piece, pieces)

    @kernel_function
    def load_vector(k, start, at, shape, strides, ins):
        f = place_number(k, start, at)
        if vectors[0]:
            return elements_of(flattened(load_pieces((whole,), (f, shape, strides, ins))))
        return elements_of(load_lanes((steps,), (f, shape, strides, ins)))

    @kernel_function
    def stage_vector(k, start, at, memory, slot, shape, strides, ins):
        place = u32(slot + u32(k * pieces * warps * 32))
        stage_pieces((whole,), (place_number(k, start, at), memory, place, shape, strides, ins))

    @kernel_function
    def take_vector(k, memory, slot, ins):
        place = u32(slot + u32(k * pieces * warps * 32))
        return elements_of(flattened(take_pieces((whole,), (memory, place, ins))))

    @kernel_function
    def load_number(step, at, start, valid, shape, strides, ins):
        element = u32(min(u32(at + u32(step // group)), u32(valid - u32(1))))
        f = index(index(start + index(element)) * index(group) + index(step % group))
        return load_one(ins, ins_at(f, shape, strides))[0]

    load_numbers = each(load_number, numbers)

    @kernel_function
    def load_some(k, start, at, valid, shape, strides, ins):
        return elements_of(load_numbers((steps,), (u32(at + u32(k * chunk)), start, valid, shape, strides, ins)))

    @kernel_function
    def lanes_of(results):
        return flattened(results) if group > 1 else results

    @kernel_function
    def store_vector(k, results, start, at, shape, strides, outs):
        f = place_number(k, start, at)
        lanes = lanes_of(results)
        if vectors[1]:
            store_pieces((whole, cut_up(lanes)), (f, shape, strides, outs))
        else:
            store_lanes((steps, lanes), (f, shape, strides, outs))

    @kernel_function
    def store_number(step, lane, at, start, valid, shape, strides, outs):
        element = u32(at + u32(step // group))
        if element < valid:
            f = index(index(start + index(element)) * index(group) + index(step % group))
            store_one(outs, outs_at(f, shape, strides), (lane,))

    store_numbers = each(store_number, numbers)

    @kernel_function
    def store_some(k, results, start, at, valid, shape, strides, outs):
        lanes = lanes_of(results)
        store_numbers((steps, lanes), (u32(at + u32(k * chunk)), start, valid, shape, strides, outs))

    @kernel_function
    def same_initial(step, initial):
        return initial

    same_initials = each(same_initial, group)

    @kernel_function
    def lift_initial(initial):
        if group > 1:
            return lift(same_initials((tuple_of_group,), (initial,)))
        return lift(initial)

    tuple_of_group = tuple(range(group))

    @kernel_function
    def next_chunk(before, total, reach):
        return op(before, total) if reach >= u32(chunk) else total

    stage_all, take_all = each(stage_vector, items), each(take_vector, items)
    load_all, load_rest = each(load_vector, items), each(load_some, items)
    store_all, store_rest = each(store_vector, items), each(store_some, items)
    place_all = each(place_vector, items)
    scan_vectors = each(_vectors(algebra, width, wraps, starts), items)
    finish = each(_finished(algebra, width, items, exclusive, wraps), items)
    last, below, top = each(_last, items), each(_from_below, items), each(_from_top, items)
    offset = each(_offset(op, width), items)
    next_chunks = accumulated(next_chunk, items)

    @kernel_function
    def scan_lanes_of(value, reach):
        return scan(value, reach, width)

    scan_lanes = each(scan_lanes_of, items)

    @kernel_function
    def begin(tile, total, tiles, at, slot, memory, shape, strides, ins):
        """Have a tile on its way, if it is there, and whole."""
        start = index(index(tile) * index(tile_size))
        if tile < tiles and index(index(total) - start) >= index(tile_size):
            stage_all((chunks,), (start, at, memory, slot, shape, strides, ins))

    @cuda.jit(max_registers=registers)
    @of_scalars
    def scan_kernel(total, n, tiles, shape, in_strides, out_strides, initial, ins, outs, scratch):
        taken = cuda.shared.array(3, np.uint64)
        memory = cuda.shared.array(staged_words, np.int32, alignment=16)
        thread = u32(cuda.threadIdx.x)
        lane, warp = u32(thread % u32(32)), u32(thread // u32(32))
        at = u32(warp * u32(share) + u32(lane * u32(width)))
        # Each block of those that go on takes one ticket that is for no tile.
        tickets = u32(tiles + u32(cuda.gridDim.x)) if staged else tiles
        mark, tile, following = u64(0), u32(cuda.blockIdx.x), tiles
        if not alone:
            if thread == u32(0):
                mark, tile = take_tile(scratch[0], tickets)
                taken[0] = mark
                taken[1] = tile
                taken[2] = tiles
                if staged and tile < tiles:
                    mark, tile = take_tile(scratch[0], tickets)
                    taken[2] = tile
            cuda.syncthreads()
            mark, tile, following = u64(taken[0]), u32(taken[1]), u32(taken[2])
        if staged:
            begin(tile, total, tiles, at, thread, memory, shape, in_strides, ins)
        first = lift_initial(initial)
        parity = u32(0)
        while tile < tiles:
            start = index(index(tile) * index(tile_size))
            place = index(start % index(n))
            left, p0, length = index(n) - place, u32(min(place, index(FAR))), u32(min(index(n), index(FAR)))
            left = u32(min(index(left), index(FAR)))
            valid = u32(min(index(index(total) - start), index(tile_size)))

            if valid < u32(tile_size):
                elements = load_rest((chunks,), (start, at, valid, shape, in_strides, ins))
            elif staged:
                cp_async_wait_all()
                elements = take_all((chunks,), (memory, thread, ins))
            else:
                elements = load_all((chunks,), (start, at, shape, in_strides, ins))
            if staged:
                begin(following, total, tiles, at, thread, memory, shape, in_strides, ins)
            places = place_all((chunks,), (at, p0, left, length))
            states = scan_vectors((elements, places), (first,))
            reaches = last((places,), ())
            scanned = scan_lanes((last((states,), ()), reaches), ())
            lanes = below((scanned,), ())
            totals = next_chunks(top((scanned,), ()), (top((reaches,), ()),), ())

            offsets = offset((chunks, lanes, (totals[0], *totals[:-1]), places), (lane,))

            like = carry(first)
            warps_before, before, has_before = totals[0], like, False
            of_warps = slots(to_words(totals[0]))
            if alone != "warp":
                if lane == u32(0):
                    put_words(of_warps, u32(parity + warp), to_words(totals[-1]))
                cuda.syncthreads()
            before_tile = slots(to_words(like))
            if staged and thread == u32(warps * 32 - 1):
                ahead = tiles
                if following < tiles:
                    mark, ahead = take_tile(scratch[0], tickets)
                taken[1] = ahead
            if alone != "warp" and warp == u32(0):
                value = from_words(
                    get_words(of_warps, u32(parity + min(lane, u32(warps - 1))), to_words(totals[0])), totals[0]
                )
                cuda.syncwarp()
                reach = last_place(u32(u32(lane + u32(1)) * u32(share)) - u32(1), p0, left, length)[0]
                value = scan(value, reach, share)
                put_words(of_warps, u32(parity + lane), to_words(shuffle_up(value, 1)))
                if not alone:
                    aggregate = carry(shuffle(value, warps - 1))
                    back = u32(index(place + index(tile_size - 1)) // index(tile_size))
                    ends = p0 == u32(0) or last_place(u32(tile_size - 1), p0, left, length)[0] < u32(tile_size)
                    before = prefix(scratch[0], tiles, tile, mark, back, ends, aggregate)
                    if starts and wraps == NEVER:
                        before = join(like, before) if p0 > u32(0) else like
                    if lane == u32(0):
                        put_words(before_tile, parity, to_words(before))
            if alone != "warp":
                cuda.syncthreads()
                warps_before = from_words(get_words(of_warps, u32(parity + warp), to_words(totals[0])), totals[0])
            if not alone:
                before = from_words(get_words(before_tile, parity, to_words(like)), like)
                has_before = p0 > u32(0) or (starts and wraps == NEVER)
            results = finish(
                (chunks, states, places, offsets),
                (warps_before, before, has_before, first, u32(0) if alone == "warp" else warp, lane),
            )
            if valid == u32(tile_size):
                store_all((chunks, results), (start, at, shape, out_strides, outs))
            else:
                store_rest((chunks, results), (start, at, valid, shape, out_strides, outs))
            tile, following = (following, u32(taken[1])) if staged else (tiles, tiles)
            # What the next tile leaves in shared memory lies beside what slower warps still read.
            parity = u32(u32(32) - parity)

    return scan_kernel

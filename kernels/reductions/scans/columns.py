"""The scan kernel of columns: along one axis, of arrays that are contiguous along another.

    y[i, c] = x[0, c] + ... + x[i, c]          for every column c

A tile is `R` rows of `C` columns. A thread holds a vector of `width` neighbouring columns in `items` rows below one
another, and scans down; `across` threads lie side by side, and as many as a block has left lie one below another. Their
totals go through the lanes of a warp first and through shared memory then. What lies before a tile comes from the tiles
above it, as in `lookback`, but for all columns at once: here a group has 8 tiles, since C columns of a state are read
for every tile that is looked at, and C * 8 threads read at once what the first C add up, from left to right.

Tiles one below another are a chain; those of all chains at one height are taken before the next height, so that with
many chains what a block looks for is there already, and a single chain of many tiles runs as fast as memory.
"""

import functools

import numpy as np
from numba import cuda, types

from ...device.instructions import SIMULATED, kernel_function, of_scalars
from ...device.memory import loader, storer, unraveler
from ...device.unrolled import accumulated, each
from ...device.warp import shuffle_up
from ...device.words import from_words, to_words, with_word
from .lookback import AGGREGATE, PATIENCE, PREFIX, packets, read_state, take_tile, u32, u64, write_state

#: Tiles of a group, and groups that a block looks back over.
HIGH = 8


def column_states(chains, tiles):
    """States of all columns of a strip in a launch over `chains` chains of so many tiles, and of their groups."""
    return chains * (tiles + -(-tiles // HIGH))


def column_scratch_bytes(chains, tiles, strip, words):
    """Bytes of scratch memory for strips of so many columns."""
    return 16 * (1 + packets(words) * column_states(chains, tiles) * strip)


@functools.lru_cache(maxsize=64)
def _memory(places):
    """``put(memory, place, words)`` and ``get(memory, place, like)`` in shared memory for so many values."""

    @kernel_function
    def put(memory, place, words):
        for k in range(len(words)):
            memory[u32(u32(k * places) + place)] = words[k]

    @kernel_function
    def get(memory, place, like):
        found = to_words(like)
        for k in range(len(found)):
            found = with_word(found, k, memory[u32(u32(k * places) + place)])
        return from_words(found, like)

    return put, get


@functools.lru_cache(maxsize=1024)
def _before_tile(join, strip, words):
    """``before(scratch, states, chain, tiles, tile, mark, memory, like)``: what lies before a tile, for each column.

    All threads of a block call it, after each has put what it has of the tile's aggregates into `memory`, at places
    0 to `strip`, and waited; it leaves what lies before the tile there.
    """
    places = (2 * HIGH + 1) * strip
    put, get = _memory(places)

    @kernel_function
    def before(scratch, states, chain, tiles, tile, mark, memory, like):
        thread = u32(cuda.threadIdx.x)
        column, slice_ = u32(thread % u32(strip)), u32(thread // u32(strip))
        groups = u32((tiles + u32(HIGH - 1)) // u32(HIGH))
        stride = u64(u64(states) * u64(strip))
        first = u64(u64(chain) * u64(tiles + groups))
        among, group = u32(tile % u32(HIGH)), u32(tile // u32(HIGH))
        here = u64((first + u64(tile)) * u64(strip) + u64(column))
        of_group = u64((first + u64(tiles + group)) * u64(strip) + u64(column))
        aggregate = get(memory, column, like)
        if slice_ == u32(0):
            write_state(scratch, here, stride, mark | u64(AGGREGATE), to_words(aggregate))
        if slice_ < among:
            place = u64(here - u64(u64(among - slice_) * u64(strip)))
            flag, words = read_state(scratch, place, stride, to_words(like))
            while flag != mark | u64(AGGREGATE):
                cuda.nanosleep(u32(PATIENCE))
                flag, words = read_state(scratch, place, stride, to_words(like))
            put(memory, u32(u32(slice_ + u32(1)) * u32(strip)) + column, words)
        cuda.syncthreads()
        closes, own = among == u32(HIGH - 1), among > u32(0)
        inside, total = aggregate, aggregate
        if slice_ == u32(0):
            if own:
                inside = get(memory, u32(strip) + column, like)
                k = u32(1)
                while k < among:
                    inside = join(inside, get(memory, u32(u32(k + u32(1)) * u32(strip)) + column, like))
                    k = u32(k + u32(1))
                total = join(inside, aggregate)
            if closes:
                status = u64(AGGREGATE) if group > u32(0) else u64(PREFIX)
                write_state(scratch, of_group, stride, mark | status, to_words(total))
        if slice_ < u32(HIGH) and slice_ < group:
            place = u64(of_group - u64(u64(slice_ + u32(1)) * u64(strip)))
            flag, words = read_state(scratch, place, stride, to_words(like))
            while flag != mark | u64(AGGREGATE) and flag != mark | u64(PREFIX):
                cuda.nanosleep(u32(PATIENCE))
                flag, words = read_state(scratch, place, stride, to_words(like))
            put(memory, u32(u32(slice_ + u32(HIGH)) * u32(strip)) + column, words)
            memory[u32(u32(words_places) + u32(slice_ * u32(strip)) + column)] = np.int32(flag & u64(3))
        cuda.syncthreads()
        found = inside
        if slice_ == u32(0) and group > u32(0):
            depth, most = u32(0), u32(min(group, u32(HIGH)) - u32(1))
            while depth < most and memory[u32(u32(words_places) + u32(depth * u32(strip)) + column)] != PREFIX:
                depth = u32(depth + u32(1))
            sum_ = get(memory, u32(u32(depth + u32(HIGH)) * u32(strip)) + column, like)
            if memory[u32(u32(words_places) + u32(depth * u32(strip)) + column)] != PREFIX:
                place = u64(of_group - u64(u64(depth + u32(1)) * u64(strip)))
                flag, words = read_state(scratch, place, stride, to_words(like))
                while flag != mark | u64(PREFIX):
                    cuda.nanosleep(u32(PATIENCE))
                    flag, words = read_state(scratch, place, stride, to_words(like))
                sum_ = from_words(words, like)
            while depth > u32(0):
                depth = u32(depth - u32(1))
                sum_ = join(sum_, get(memory, u32(u32(depth + u32(HIGH)) * u32(strip)) + column, like))
            if closes:
                write_state(scratch, of_group, stride, mark | u64(PREFIX), to_words(join(sum_, total)))
            found = join(sum_, inside) if own else sum_
        if slice_ == u32(0):
            put(memory, column, to_words(found))
        cuda.syncthreads()

    words_places = words * places
    return before


def look_words(strip, words):
    """Words of shared memory that looking back takes."""
    return (2 * HIGH + 1) * strip * words + HIGH * strip


@functools.lru_cache(maxsize=1024)
def columns(algebra, n_in, n_out, threads, across, items, width, aligned, chained, starts, exclusive, long,
            registers=None):  # fmt: skip
    """The kernel.

    Parameters
    ----------
    algebra : Algebra
    n_in, n_out : int
        How many arrays are read and written.
    threads, across : int
        Of a block, and how many of them lie side by side; powers of 2.
    items : int
        Rows of a thread.
    width : int
        Columns of a vector, which divides the number of columns.
    aligned : bool
        Whether elements of 16 bytes are aligned to them.
    chained : bool
        Whether there is more than one tile below another; then a strip is at most ``threads / 8`` columns.
    starts, exclusive : bool
        Whether columns begin with the value `initial`, and whether an element is left out of its own sum.
    long : bool
        Whether rows and columns are counted in 64 bits.
    """
    index = int if SIMULATED else types.uint64 if long else types.uint32
    i64 = int if SIMULATED else types.int64
    strip, down = across * width, threads // across
    warps_down = max(threads // max(across, 32), 1)
    places = warps_down * strip
    memory_words = max(algebra.words * places, look_words(strip, algebra.carry_words) if chained else 1)
    op, carry, join, apply, settle = algebra.op, algebra.carry, algebra.join, algebra.apply, algebra.settle
    lift, lower = algebra.lift, algebra.lower
    load, store = loader(("vector",) * n_in, width, aligned), storer(width, aligned)
    of_in, of_out = unraveler(n_in), unraveler(n_out)
    put, get = _memory(places)
    _, get_before = _memory((2 * HIGH + 1) * strip)
    put_total, _ = _memory((2 * HIGH + 1) * strip)
    look_back = _before_tile(join, strip, algebra.carry_words)
    rows, steps = tuple(range(items)), tuple(range(width))

    @kernel_function
    def address(base, step, row, column):
        return i64(base + i64(i64(row) * step) + i64(column))

    ins_at, outs_at = each(address, n_in), each(address, n_out)
    lift_all = each(lift, width)

    @kernel_function
    def load_row(k, row, last, column, bases, strides, ins):
        at = min(index(row + index(k)), last)
        return lift_all((load(ins, ins_at((bases, strides), (at, column))),), ())

    @kernel_function
    def store_row(k, results, row, n, inside, column, bases, strides, outs):
        at = index(row + index(k))
        if inside and at < n:
            store(outs, outs_at((bases, strides), (at, column)), results)

    below = each(op, width)

    @kernel_function
    def add_row(above, row):
        return below((above, row), ())

    @kernel_function
    def up(state, delta):
        other = shuffle_up(state, delta)
        return op(other, state) if u32(cuda.laneid) >= u32(delta) else state

    @kernel_function
    def moved_up(state):
        return shuffle_up(state, across)

    @kernel_function
    def put_column(step, state, memory, place):
        put(memory, u32(place + u32(step)), to_words(state))

    @kernel_function
    def put_carried(step, state, memory, place):
        put_total(memory, u32(place + u32(step)), to_words(carry(state)))

    @kernel_function
    def get_column(step, like, memory, place):
        return get(memory, u32(place + u32(step)), like)

    @kernel_function
    def get_carried(step, like, memory, place):
        return get_before(memory, u32(place + u32(step)), carry(like))

    @kernel_function
    def finished(state, off, before, exists, carries):
        if exists:
            state = op(off, state)
        if carries:
            state = apply(before, state)
        return state

    @kernel_function
    def headed(off, before, exists, carries):
        if carries:
            off = apply(before, off) if exists else settle(before)
        return off

    @kernel_function
    def begun(before, first, carries):
        return join(first, before) if carries else first

    @kernel_function
    def moved_down(head, rows):
        return (head, *rows[:-1])

    finish_row, head_row, begin_row = each(finished, width), each(headed, width), each(begun, width)

    @kernel_function
    def finish(states, offs, befores, exists, carries):
        return finish_row((states, offs, befores), (exists, carries))

    @kernel_function
    def lowered(states):
        return lower_row((states,), ())

    lower_row = each(lower, width)
    load_rows, store_rows = each(load_row, items), each(store_row, items)
    add_rows, finish_rows, lower_rows = accumulated(add_row, items), each(finish, items), each(lowered, items)
    up_row, moved_row = each(up, width), each(moved_up, width)
    put_row, put_carries = each(put_column, width), each(put_carried, width)
    get_row, get_carries = each(get_column, width), each(get_carried, width)

    @kernel_function
    def scanned_lanes(totals):
        """What the lanes of a warp above a thread, and the thread itself, sum up to."""
        if across < 2:
            totals = up_row((totals,), (1,))
        if across < 4:
            totals = up_row((totals,), (2,))
        if across < 8:
            totals = up_row((totals,), (4,))
        if across < 16:
            totals = up_row((totals,), (8,))
        if across < 32:
            totals = up_row((totals,), (16,))
        return totals

    @cuda.jit(max_registers=registers)
    @of_scalars
    def scan_kernel(
        n, inner, strips, chains, tiles, shape, in_outer, out_outer, in_steps, out_steps, initial, ins, outs, scratch
    ):
        taken = cuda.shared.array(2, np.uint64)
        memory = cuda.shared.array(memory_words, np.int32)
        thread = u32(cuda.threadIdx.x)
        mark, ticket = u64(0), u32(cuda.blockIdx.x)
        if chained:
            if thread == u32(0):
                mark, ticket = take_tile(scratch[0], u32(chains * tiles))
                taken[0] = mark
                taken[1] = ticket
            cuda.syncthreads()
            mark, ticket = u64(taken[0]), u32(taken[1])
        chain, tile = u32(ticket % chains), u32(ticket // chains)
        outer, strip_number = u32(chain // strips), u32(chain % strips)
        side, depth = u32(thread % u32(across)), u32(thread // u32(across))
        in_strip = u32(side * u32(width))
        column = index(index(strip_number) * index(strip) + index(in_strip))
        row = index(index(tile) * index(down * items) + index(depth * u32(items)))
        inside = column < inner
        column = min(column, index(inner - index(width)))

        given = load_rows((rows,), (row, index(n - index(1)), column, of_in(outer, shape, in_outer), in_steps, ins))
        states = add_rows(given, (), ())
        first = lift(initial)
        totals = states[-1]
        offs, exists = totals, False
        if across < 32:
            summed = scanned_lanes(totals)
            offs, exists = moved_row((summed,), ()), u32(cuda.laneid) >= u32(across)
            totals = summed
        level = u32(depth // u32(max(32 // across, 1)))
        if warps_down > 1:
            if across >= 32 or u32(cuda.laneid) >= u32(32 - across):
                put_row((steps, totals), (memory, u32(level * u32(strip)) + in_strip))
            cuda.syncthreads()
            if level > u32(0):
                above = get_row((steps, totals), (memory, in_strip))
                k = u32(1)
                while k < level:
                    above = below((above, get_row((steps, totals), (memory, u32(k * u32(strip)) + in_strip))), ())
                    k = u32(k + u32(1))
                offs = below((above, offs), ()) if exists else above
                totals = below((above, totals), ())
                exists = True
        carries = False
        befores = carry_row((totals,), ())
        if chained:
            cuda.syncthreads()
            if depth == u32(down - 1):
                put_carries((steps, totals), (memory, in_strip))
            cuda.syncthreads()
            look_back(scratch[0], u32(chains * (tiles + u32((tiles + u32(HIGH - 1)) // u32(HIGH)))), chain, tiles, tile,
                      mark, memory, carry(first))  # fmt: skip
            befores = get_carries((steps, totals), (memory, in_strip))
            carries = tile > u32(0)
        if starts:
            befores = begin_row((befores,), (carry(first), carries))
            carries = True
        found = finish_rows((states,), (offs, befores, exists, carries))
        if exclusive:
            found = moved_down(head_row((offs, befores), (exists, carries)), found)
        results = lower_rows((found,), ())
        store_rows((rows, results), (row, index(n), inside, column, of_out(outer, shape, out_outer), out_steps, outs))

    carry_row = each(carry, width)
    return scan_kernel

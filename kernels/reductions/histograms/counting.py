"""The kernels of histograms: elements into counters, counters into the result.

    counts[b] = number of i with bin(x[i]) = b

A block counts in shared memory and adds what it has to the result in global memory at its end. Counters of few bins
are there up to 32 times, in columns: lane l of a warp adds to column l modulo their number, which is also where its
bank is, so that a warp's 32 additions take as long for equal samples as for different ones. Of more bins two share a
word, and of yet more there is one column, to which a thread adds a run of equal bins at once. Bins beyond a block's
shared memory are counted in several passes, or, where these would be many, in global memory.

All additions are of integers, so results depend neither on their order nor on the launch.

Source: Merrill & Garland's CUB, "BlockHistogram", and for privatised counters Podlozhnyuk 2007, "Histogram calculation
in CUDA", NVIDIA.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import cuda

from ...device.instructions import SIMULATED, device_function, of_scalars
from ...device.memory import along, folder, loader, unraveler
from .binning import counting_type, unsigned

#: Threads of a block.
THREADS = 32 if SIMULATED else 512

#: Threads of a block that is alone on its multiprocessor.
MANY = 32 if SIMULATED else 1024

#: Samples of a thread between two moments at which a block adds what it counted in pairs to the result, at most.
LONGEST = 16 if SIMULATED else 1 << 16

#: Passes that cost less than counting in global memory: that took 48 ms for 2^28 samples in 10^6 bins, a pass, whose
#: samples another one reads from the L2 cache at the same time, 0.2 to 0.35 (H100).
PASSES = 4 if SIMULATED else 96


def registers_of(threads):
    """What a kernel may have for a block of so many threads, or None where it has no more anyway.

    float16 in pairs of bins took 68, and could not have been launched. With ``launch_bounds`` the assembler spilled to
    fit several blocks.
    """
    return 64 if threads > 512 else None


class Way(NamedTuple):
    """How bins are counted: in so many passes over the samples, each of `span` bins in so many columns.

    No pass at all is counting in global memory. Where `merged`, a thread adds a run of equal bins at once. Where
    `paired`, two bins share a word, for as many samples of a thread as cannot overflow 16 bits.
    """

    passes: int
    span: int
    columns: int
    threads: int
    merged: bool = False
    paired: int = 0

    @property
    def shared(self):
        """Bytes of counters of a block, of bins of one word."""
        return 4 * (-(-self.span // 2) if self.paired else self.span) * self.columns


def way(bins, words, n, limits, run=False):
    """The `Way` of so many bins, of so many words of 32 bits each, over n samples on a device of these `Limits`.

    `run` where the samples are one run of memory, and bins may be paired.
    """
    passes = -(-bins // (limits.block_shared // (4 * words)))
    if passes > PASSES or (passes > 1 and n >= 2**32):  # one block could count beyond 32 bits
        return Way(0, 0, 0, THREADS, merged=True)
    span = -(-bins // passes)
    columns = columns_of(words * span, limits.columns)
    if run and passes == 1 and columns < 16:
        pairs = columns_of(-(-bins // 2), limits.block_shared)
        if pairs >= 4:
            return Way(1, span, pairs, MANY, paired=min(65535 * pairs // MANY - 16, LONGEST))
    few = 4 * words * span * columns <= limits.columns
    return Way(passes, span, columns, THREADS if few else MANY, merged=columns == 1)


def index_type(long):
    """What makes numbers of elements in kernels."""
    return unsigned(64 if long else 32)


def columns_of(words, room):
    """How many columns there are for so many words of counters in `room` bytes."""
    copies = 32
    while copies > 1 and 4 * words * copies > room:
        copies //= 2
    return copies


class Samples(NamedTuple):
    """How the samples of a launch lie: what decides which code visits them.

    Attributes
    ----------
    count : int
        Arrays, of one shape.
    ndim : int
        Axes with gaps; 0 where every array is one run of memory.
    width : int
        Elements of a run that are loaded at once.
    aligned : bool
        Whether an element of 16 bytes is aligned to them.
    long : bool
        Whether elements are counted in 64 bits.
    """

    count: int
    ndim: int
    width: int
    aligned: bool
    long: bool


def visitor(visit, samples):
    """``over(place, xs, context, state)``: the state after `visit` of the elements that are this thread's.

    ``visit(lane, context, state)`` is given the samples at one index. `place` is (n, shape, strides) where samples
    have gaps, else (n, head): the first `head` elements and the last few have a thread each, and the others, which are
    aligned, are loaded `width` at a time.
    """
    return (_over_grid if samples.ndim else _over_run)(visit, samples)


@functools.cache
def strided(index):
    """The number of a thread among those that share the samples of a pass, and how many there are.

    Passes are the first axis of a grid: blocks that visit the same samples start together, and share the L2 cache.
    """

    @device_function
    def first():
        return index(index(index(cuda.blockIdx.y) * index(cuda.blockDim.x)) + index(cuda.threadIdx.x))

    @device_function
    def step():
        return index(index(cuda.gridDim.y) * index(cuda.blockDim.x))

    return first, step


@functools.lru_cache(maxsize=1024)
def parts_of_run(visit, samples):
    """``over_groups(place, xs, context, begin, end, state)`` and ``over_rest(place, xs, context, state)`` of a run.

    The groups are the aligned ones of `width` elements, of which a launch visits some; the rest are all others.
    """
    width, index, kinds = samples.width, index_type(samples.long), ("vector",) * samples.count
    load, load_one, along_run = loader(kinds, width, samples.aligned), loader(kinds, 1), along(kinds)
    fold, fold_one = folder(visit, width), folder(visit, 1)

    first, step = strided(index)

    @device_function
    def at(head, i):
        return along_run(index(head + index(i * index(width))))

    @device_function
    def over_groups(place, xs, context, begin, end, state):
        head, threads = index(place[1]), step()
        i = index(begin + first())
        # Several loads, then their elements: a thread that waits for one load at a time leaves memory idle.
        while index(i + index(index(3) * threads)) < end:
            a = load(xs, at(head, i))
            b = load(xs, at(head, index(i + threads)))
            c = load(xs, at(head, index(i + index(index(2) * threads))))
            d = load(xs, at(head, index(i + index(index(3) * threads))))
            state = fold(d, context, fold(c, context, fold(b, context, fold(a, context, state))))
            i = index(i + index(index(4) * threads))
        while i < end:
            state = fold(load(xs, at(head, i)), context, state)
            i = index(i + threads)
        return state

    @device_function
    def over_rest(place, xs, context, state):
        n, head, threads = index(place[0]), index(place[1]), step()
        inner = index(index(index(n - head) // index(width)) * index(width))
        i = first()
        while i < index(n - inner):
            k = i if i < head else index(i + inner)
            state = fold_one(load_one(xs, along_run(k)), context, state)
            i = index(i + threads)
        return state

    return over_groups, over_rest


@functools.lru_cache(maxsize=1024)
def _over_run(visit, samples):
    width, index = samples.width, index_type(samples.long)
    over_groups, over_rest = parts_of_run(visit, samples)

    @device_function
    def over_run(place, xs, context, state):
        groups = index(index(index(place[0]) - index(place[1])) // index(width))
        state = over_groups(place, xs, context, index(0), groups, state)
        return over_rest(place, xs, context, state)

    return over_run


@functools.lru_cache(maxsize=1024)
def _over_grid(visit, samples):
    index, kinds = index_type(samples.long), ("vector",) * samples.count
    load, fold, offsets = loader(kinds, 1), folder(visit, 1), unraveler(samples.count)
    first, step = strided(index)

    @device_function
    def over_grid(place, xs, context, state):
        n, i, threads = index(place[0]), first(), step()
        while i < n:
            state = fold(load(xs, offsets(i, place[1], place[2])), context, state)
            i = index(i + threads)
        return state

    return over_grid


# --- counts ----------------------------------------------------------------------------------------------------------


@functools.cache
def _count_in_columns(bin_of, copies):
    word = unsigned(32)
    one, columns = 1, copies

    @device_function
    def visit(lane, context, state):
        counters, column, lower, span, numbers, tables = context
        b = word(bin_of(lane, numbers, tables) - lower)
        if b < span:
            cuda.atomic.add(counters, word(word(b * word(columns)) + column), word(one))
        return state

    return visit


@functools.cache
def _count_runs_in_shared(bin_of):
    word = unsigned(32)

    @device_function
    def visit(lane, context, state):
        counters, _, lower, span, numbers, tables = context
        last, times = state
        b = word(bin_of(lane, numbers, tables) - lower)
        if b == last:
            times = word(times + word(1))
        elif b < span:
            cuda.atomic.add(counters, last, times)
            last, times = b, word(1)
        return last, times

    return visit


@functools.cache
def _count_runs(bin_of, long):
    word, nowhere = unsigned(32), counting_type(long)[1]

    @device_function
    def visit(lane, context, state):
        counts, numbers, tables = context
        last, times = state
        b = bin_of(lane, numbers, tables)
        if b == last:
            times = word(times + 1)
        else:
            if last != nowhere:
                cuda.atomic.add(counts, last, np.int64(times))
            last, times = b, word(1)
        return last, times

    return visit


@functools.lru_cache(maxsize=1024)
def count_in_shared(bin_of, samples, copies, merged, mapped, most):
    """Kernel that counts in shared memory, `span` bins in each pass (the first axis of the grid).

    `merged` where a thread adds a run of equal bins at once: one column is enough for equal samples then. `mapped`
    when bin b is added to ``counts[places[b]]``, where that is a place, rather than to ``counts[b]``. A block
    has `most` threads.
    """
    word = unsigned(32)
    over = visitor(_count_runs_in_shared(bin_of) if merged else _count_in_columns(bin_of, copies), samples)

    @cuda.jit(max_registers=registers_of(most))
    @of_scalars
    def count_in_shared_kernel(place, bins, span, numbers, xs, tables, places, counts):
        counters = cuda.shared.array(0, np.uint32)
        thread, threads = word(cuda.threadIdx.x), word(cuda.blockDim.x)
        lower = word(word(cuda.blockIdx.x) * span)
        k = thread
        while k < word(span * word(copies)):
            counters[k] = word(0)
            k = word(k + threads)
        cuda.syncthreads()
        column = word(thread & word(copies - 1))
        context = (counters, column, lower, span, numbers, tables)
        if merged:
            last, times = over(place, xs, context, (word(0), word(0)))
            cuda.atomic.add(counters, last, times)
        else:
            over(place, xs, context, word(0))
        cuda.syncthreads()
        k = thread
        while k < span:
            total = word(0)
            for c in range(copies):  # beginning where the lane's bank is
                other = word(word(word(c) + thread) & word(copies - 1))
                total = word(total + counters[word(word(k * word(copies)) + other)])
            goal = places[0][k] if mapped else word(lower + k)
            if total and goal < bins:
                cuda.atomic.add(counts, goal, np.int64(total))
            k = word(k + threads)

    return count_in_shared_kernel


@functools.cache
def _count_in_pairs(bin_of, columns):
    word = unsigned(32)

    @device_function
    def visit(lane, context, state):
        counters, column, bins, numbers, tables = context
        b = word(bin_of(lane, numbers, tables))
        if b < bins:
            at = word(word(word(b >> word(1)) * word(columns)) + column)
            cuda.atomic.add(counters, at, word(1) << word(word(b & word(1)) * word(16)))
        return state

    return visit


@functools.lru_cache(maxsize=1024)
def count_in_pairs(bin_of, samples, columns):
    """Kernel that counts two bins in the halves of a word of shared memory: there are twice as many columns.

    With 16 columns 2 lanes of a warp share 2 banks, whatever the samples are; random bins in one column, of which each
    may be in any bank, have 3.5 in the fullest. `most` groups of a thread do not overflow 16 bits.
    """
    word, index, width = unsigned(32), index_type(samples.long), samples.width
    over_groups, over_rest = parts_of_run(_count_in_pairs(bin_of, columns), samples)
    step = strided(index)[1]

    @cuda.jit(max_registers=registers_of(MANY))
    @of_scalars
    def count_in_pairs_kernel(place, bins, most, numbers, xs, tables, counts):
        counters = cuda.shared.array(0, np.uint32)
        thread, threads = word(cuda.threadIdx.x), word(cuda.blockDim.x)
        pairs = word(word(bins + word(1)) >> word(1))
        k = thread
        while k < word(pairs * word(columns)):
            counters[k] = word(0)
            k = word(k + threads)
        cuda.syncthreads()
        context = (counters, word(thread & word(columns - 1)), bins, numbers, tables)
        groups = index(index(index(place[0]) - index(place[1])) // index(width))
        over_rest(place, xs, context, word(0))
        begin, left = index(0), True
        while left:
            end = min(index(begin + index(index(most) * step())), groups)
            over_groups(place, xs, context, begin, end, word(0))
            begin, left = end, end < groups
            cuda.syncthreads()
            k = thread
            while k < pairs:
                low, high = word(0), word(0)
                for c in range(columns):  # beginning where the lane's bank is
                    at = word(word(k * word(columns)) + word(word(word(c) + thread) & word(columns - 1)))
                    found = word(counters[at])
                    low, high = word(low + word(found & word(65535))), word(high + word(found >> word(16)))
                    counters[at] = word(0)
                b = word(k << word(1))
                if low:
                    cuda.atomic.add(counts, b, np.int64(low))
                if high:
                    cuda.atomic.add(counts, word(b + word(1)), np.int64(high))
                k = word(k + threads)
            cuda.syncthreads()

    return count_in_pairs_kernel


@functools.lru_cache(maxsize=1024)
def count_in_global(bin_of, samples, long):
    """Kernel that counts in global memory; a thread adds a run of equal bins at once."""
    word = unsigned(32)
    index, nowhere = counting_type(long)
    over = visitor(_count_runs(bin_of, long), samples)

    @cuda.jit
    @of_scalars
    def count_in_global_kernel(place, numbers, xs, tables, counts):
        last, times = over(place, xs, (counts, numbers, tables), (index(nowhere), word(0)))
        if last != nowhere:
            cuda.atomic.add(counts, last, np.int64(times))

    return count_in_global_kernel

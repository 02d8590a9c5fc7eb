"""Counting and weighing on a device: which kernels are launched for so many bins, and with what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...device.instructions import SIMULATED
from ...runtime.arrays import contiguous_strides
from . import counting, finishing, launching, weighing
from . import extremes as _extremes
from .launching import Steps, array, headed, number, pointer, pointers, prepared, samples_of
from .tables import Table


@dataclass(slots=True)
class Tally:
    """The task of a histogram, see `kernels.runtime.calls.Call`.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        Names of the arrays: samples, then weights where there are any.
    ins : tuple of dtypes
    bins : Bins
    shape : tuple of int
        Of the result.
    dtype : numpy.dtype
        That sums are rounded to before anything else is done with them.
    weighted : bool
    reference : callable
        ``reference(call, values, chosen)``.
    places : Table or None
        Where the result has each of the bins, unless these are its own.
    widths : pair of Table or None
        Of the bins of a density, along both axes.
    edges : tuple of Table
        What the user gets beside the result.
    """

    name: str
    parameters: tuple
    ins: tuple
    bins: Any
    shape: tuple
    dtype: Any
    weighted: bool
    reference: Callable
    places: Table | None = None
    widths: tuple | None = None
    edges: tuple = ()
    looks_at_values = False

    @property
    def size(self):
        """Bins of the result."""
        return int(np.prod(self.shape, dtype=np.int64))

    def launch(self, sources, mask, targets, shape, device):
        """The launches over operands that lie as these do, as one."""
        (y,) = targets
        if self.weighted:
            return _weighed(self, sources, y, device)
        if self.widths is None and y.dtype == np.int64 and y.strides == contiguous_strides(y.shape):
            return _straight(self, sources, y, device)
        return _counted(self, sources, y, device)


# --- counts -----------------------------------------------------------------------------------------------------------


def _straight(tally, sources, y, device):
    """Counts in the result itself."""
    count, nbytes = _count(tally, sources, device), 8 * tally.size
    flat = y.memory.reshape(-1) if SIMULATED else None

    def run(stream, *words):
        *xs, counts = words
        counts = flat if SIMULATED else counts
        launching.clear(counts, nbytes, device, stream)
        count(stream, *xs, counts)

    return Steps(run, [count], tally)


def _counted(tally, sources, y, device):
    """Counts that are converted to the result."""
    count, finish = _count(tally, sources, device), _finish(tally, np.dtype(np.int64), 0, y, 0, device)
    arrays = (np.int64, tally.size), (np.int32, 1), (np.float64, 1)

    def run(stream, *words):
        *xs, result = words
        rooms = launching.Rooms(arrays, device, stream, f"the sums of {tally.name}")
        counts, flags, limit = rooms.words
        count(stream, *xs, counts)
        finish(stream, counts, flags, limit, result)

    return Steps(run, [count, finish], tally)


class _Nothing:
    """The launch over no samples."""

    def load(self):
        """Nothing to load."""

    def __call__(self, stream, *words):
        """Nothing to add."""


def _count(tally, sources, device):
    """The launch that adds the number of samples in each bin to counts, given the samples and the counts."""
    samples, place, n = samples_of(sources)
    if not n:
        return _Nothing()
    way = _way(tally, samples, n, launching.limits(device))
    kernel, arguments = _counting(tally, sources, samples, place, way, device)
    return _prepared(tally, kernel, arguments, samples, n, sources, way, 1, device)


def _way(tally, samples, n, limits):
    return counting.way(
        tally.bins.count, 1, n, limits, run=(samples.ndim, samples.count) == (0, 1) and tally.places is None
    )


def _counting(tally, sources, samples, place, way, device):
    """The kernel that counts, and its arguments."""
    bins, places = tally.bins, tally.places
    numbers, xs = launching.numbers(bins.numbers, bins.types), pointers(tuple(x.dtype for x in sources))
    tables, counts = launching.tables(bins.tables, device), array(np.int64, tally.size)
    if not way.passes:
        kernel = counting.count_in_global(bins.bin_of, samples, bins.long)
        return kernel, [place, numbers, xs, tables, counts]
    if way.paired:
        kernel = counting.count_in_pairs(bins.bin_of, samples, way.columns)
        sizes = [number(np.uint32(k)) for k in (bins.count, way.paired // samples.width)]
        return kernel, [place, *sizes, numbers, xs, tables, counts]
    kernel = counting.count_in_shared(bins.bin_of, samples, way.columns, way.merged, places is not None, way.threads)
    ends = [number(np.uint32(k)) for k in (tally.size, way.span)]
    placed = launching.tables([bins.tables[0] if places is None else places], device)
    return kernel, [place, *ends, numbers, xs, tables, placed, counts]


def kernels(tally, sources):
    """What counts such samples on an H100: ``(label, dispatcher, Numba signature)`` each, for offline compilation."""
    samples, place, n = samples_of(sources)
    way = _way(tally, samples, n, launching.H100)
    kernel, arguments = _counting(tally, sources, samples, place, way, None)
    dtypes = ", ".join(str(x.dtype) for x in sources)
    return [(f"{tally.name} of {dtypes} in {tally.size} bins", kernel, tuple(x.native for x in arguments))]


def _prepared(tally, kernel, arguments, samples, n, sources, way, words, device):
    """A launch in which blocks stride over samples, and have counters of so many words in shared memory."""
    grid = way.passes or 1, launching.over(samples, n, device, way.threads)
    shared = words * way.shared
    launch = prepared(kernel, arguments, grid, device, tally.name, shared, way.threads, resident=True)
    return headed(launch, arguments[0], n, sources[0].dtype.itemsize)


# --- weights --------------------------------------------------------------------------------------------------------


def _weighed(tally, sources, y, device):
    # Sums of integers of 64 bits have no bound in 64 bits: where a float is asked for, they are added as floats.
    weights = sources[-1].dtype
    parts = 1 if tally.dtype.kind == "f" and weights in (np.int64, np.uint64) else weighing.parts_of(weights)
    limbs, count = max(2 * parts, 1), tally.bins.count
    samples, place, n = samples_of(sources)
    bits = weighing.places(n)
    largest = _largest(tally, parts, sources[-1:], device) if parts and n else _Nothing()
    weigh = _weigh(tally, parts, samples, place, n, bits, sources, device) if n else _Nothing()
    finish = _finish(tally, tally.dtype, parts, y, bits, device)
    arrays = (np.int64, limbs * count), (np.int32, count if parts else 1), (np.float64, 1)

    def run(stream, *words):
        *xs, result = words
        rooms = launching.Rooms(arrays, device, stream, f"the sums of {tally.name}")
        sums, flags, limit = rooms.words
        largest(stream, xs[-1], limit)
        weigh(stream, *xs, limit, flags, sums)
        finish(stream, sums, flags, limit, result)

    return Steps(run, [largest, weigh, finish], tally)


def _largest(tally, parts, sources, device):
    samples, place, n = samples_of(sources)
    arguments = [place, pointers((sources[0].dtype,)), array(np.float64, 1)]
    grid = 1, launching.over(samples, n, device)
    kernel = weighing.largest(parts, samples)
    launch = prepared(kernel, arguments, grid, device, tally.name, resident=True)
    return headed(launch, place, n, sources[0].dtype.itemsize)


def _weigh(tally, parts, samples, place, n, bits, sources, device):
    bins, limbs = tally.bins, max(2 * parts, 1)
    numbers, xs = launching.numbers(bins.numbers, bins.types), pointers(tuple(x.dtype for x in sources))
    tables, bits = launching.tables(bins.tables, device), number(np.int64(bits))
    ends = pointer(np.float64), array(np.int32, bins.count if parts else 1), array(np.int64, limbs * bins.count)
    way = counting.way(bins.count, 2 * limbs, n, launching.limits(device))
    if not way.passes:
        kernel = weighing.weigh_in_global(bins.bin_of, parts, samples, bins.long)
        arguments = [place, bits, numbers, xs, tables, *ends]
    else:
        kernel = weighing.weigh_in_shared(bins.bin_of, parts, samples, way.columns, way.threads)
        sizes = [number(np.uint32(k)) for k in (bins.count, way.span)]
        arguments = [place, *sizes, bits, numbers, xs, tables, *ends]
    return _prepared(tally, kernel, arguments, samples, n, sources, way, 2 * limbs, device)


# --- results --------------------------------------------------------------------------------------------------------


def _finish(tally, dtype, parts, y, bits, device):
    """The launch that makes the result, given sums, flags, limit and where it is to be."""
    n = tally.size
    long = n >= 2**31
    sums = [pointer(d) for d in (np.int64, np.int32, np.float64)]
    arguments = [*launching.steps(y, long), number(np.int64(bits)), *sums]
    if tally.widths is None:
        kernel, grid, threads = finishing.finish(dtype, parts, long), -(-n // counting.THREADS), counting.THREADS
    else:
        rows, columns = tally.widths
        arguments += [number(np.uint32(len(columns))), launching.tables((rows, columns), device)]
        kernel, grid, threads = finishing.densities(dtype, parts, long), 1, finishing.DENSE
    return prepared(kernel, [*arguments, pointers((y.dtype,))], (grid, 1), device, tally.name, threads=threads)


# --- extremes -------------------------------------------------------------------------------------------------------


def extremes(x, device, stream, name):
    """The smallest and the largest element of an operand that is not empty, in its dtype."""
    if x.device is None and not SIMULATED:
        return np.array([x.memory.min(), x.memory.max()])
    kind = _extremes.kind_of(x.dtype)
    samples, place, n = samples_of([x])
    blocks = launching.over(samples, n, device)
    rooms = launching.Rooms([(kind, 2 * blocks)], device, stream, f"the extremes of {x.name}")
    begin = launching.row(map(kind.type, _extremes.neutral(kind)))
    arguments = [place, begin, pointers((x.dtype,)), array(kind, 2 * blocks)]
    launch = prepared(_extremes.extremes(kind, samples), arguments, (1, blocks), device, name)
    (found,) = rooms.words
    word = launching.Pointer(x.memory) if SIMULATED else x.pointer
    headed(launch, place, n, x.dtype.itemsize)(stream, word, found)
    values = launching.fetched(found, kind, 2 * blocks, device, stream, name)
    return np.array([values[::2].min(), values[1::2].max()]).astype(x.dtype)

"""Histograms over one and two axes, and counts of integers.

    h[j] = number of i with e_j <= a[i] < e_{j+1},        the last bin with its right edge

The meaning is NumPy's, to the bit for counts. `numpy.histogram` is the reference; what a value's bin is says
`kernels.reductions.binning`, how elements are counted `counting`, and how weights are added `weighing`.

Source: NumPy, `numpy.histogram`, https://numpy.org/doc/stable/reference/generated/numpy.histogram.html
"""

import functools
import operator

import numpy as np

from ...pairing import Pair, file
from ...runtime import calls
from ...runtime.arrays import Operand, operand
from ...runtime.engines import recorder
from ...runtime.frameworks import opaque
from ...runtime.plans import Calls
from . import binning, tallies
from .request import Request, host_edges, sample
from .tables import Table
from .tallies import Tally

# --- bins -------------------------------------------------------------------------------------------------------------


class Edges:
    """Given edges, told from others by their bytes; large ones by themselves, which takes less time."""

    __slots__ = ("_key", "values")

    def __init__(self, values):
        self.values = values
        self._key = values.dtype, values.shape, values.tobytes() if values.nbytes <= 1 << 16 else object()

    def __eq__(self, other):
        return isinstance(other, Edges) and self._key == other._key

    def __hash__(self):
        return hash(self._key)


def _bins_of(bins, name="bins"):
    """Bins as they are asked for: a number, or `Edges`."""
    if type(bins) is int:
        return bins
    if isinstance(bins, str):
        raise TypeError(f"{name} must be a number or an array of edges, got {bins!r}; see numpy.histogram_bin_edges")
    if _is_number(bins):
        return operator.index(bins)
    return Edges(host_edges(bins, name))


def _limits_of(limits):
    """A range as it is asked for, and its types: 0 and 0.0 are equal, and may have different bins."""
    if limits is None:
        return None, None
    limits = tuple(limits)
    return limits, tuple(map(type, limits))


def _is_number(bins):
    return np.ndim(bins) == 0 if isinstance(bins, int | float | np.generic | list | tuple | np.ndarray) else False


def _seen(dtype):
    """The dtype that NumPy's histograms see: booleans are bytes."""
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype


def _outer(extremes, limits):
    """First and last edge, as NumPy takes them from a range or from the samples."""
    first, last = limits if limits is not None else (0, 1) if not extremes.size else (extremes.min(), extremes.max())
    if first == last:
        first, last = first - 0.5, last + 0.5
    return first, last


def _span(first, last):
    """last - first without overflow, as NumPy's histogram computes it."""
    kind = np.result_type(first, last)
    if kind.kind in "iu":
        return np.uint64(int(last) - int(first))
    return np.subtract(last, first, dtype=kind)


def _extremes(request, k):
    """The smallest and the largest of the k-th samples; an empty array where there are none."""
    x = request.xs[k]
    if 0 in x.shape:
        return np.empty(0, x.dtype)
    if recorder() is not None:
        raise ValueError(f"{request.name} takes its bins from the samples; give their range in a recording")
    if request.engine == "reference":
        return np.array([x.memory.min(), x.memory.max()])
    return tallies.extremes(x, request.device, request.stream or 0, request.name)


@functools.lru_cache(maxsize=64)
def _equal_bins(dtype, bins, limits, kinds):
    """Edges and `Axis` of equal bins in a range."""
    return _spaced(dtype, bins, limits, np.zeros(1, dtype))


def _spaced(dtype, bins, limits, extremes):
    edges = np.histogram_bin_edges(extremes, bins, limits)
    axis = binning.uniform(edges, dtype, np.finfo(edges.dtype).eps / 2)
    if axis is None:
        first, last = _outer(extremes, limits)
        axis = binning.literal(edges, first, _span(first, last))
    return Table(edges), axis


@functools.lru_cache(maxsize=64)
def _given_bins(dtype, bins):
    """Edges and `Axis` of given bins."""
    edges = _checked(bins.values, "bins").copy()
    return Table(edges), binning.given(edges, dtype) if len(edges) > 1 else None


def _checked(edges, name):
    if edges.ndim != 1 or edges.size == 0:
        raise ValueError(f"{name} must be a number or a 1-D array of edges, got shape {edges.shape}")
    if np.any(edges[:-1] > edges[1:]):
        raise ValueError(f"{name} must increase monotonically, when an array")
    return edges


@functools.lru_cache(maxsize=64)
def _axis_widths(edges):
    """The widths of bins."""
    return Table(np.diff(edges.values).astype(float))


_ONE = Table(np.ones(1))


def _byte_places(edges, dtype):
    """The bin of each value of a byte."""
    values = np.arange(256, dtype=np.uint8).view(_seen(dtype))
    found = np.searchsorted(edges, values, side="right") - 1
    found[values == edges[-1]] = len(edges) - 2
    found[(values < edges[0]) | (values > edges[-1])] = binning.NOWHERE
    return Table(found.astype(np.uint32))


# --- one axis ---------------------------------------------------------------------------------------------------------


def _examine_histogram(inputs, out, where, stream, bins, limits, kinds, density):
    xs = [sample(x, name) for x, name in zip(inputs, ("a", "weights"), strict=False)]
    request = Request("histogram", xs, out, stream)
    (x, *weights), dtype = xs, xs[0].dtype
    for w in weights:
        if w.shape != x.shape:
            raise ValueError(f"weights must have the shape of a, {x.shape}, got {w.shape}")
    seen = _seen(dtype)
    if isinstance(bins, Edges):
        edges, axis = _given_bins(dtype, bins)
    elif dtype.kind == "c":
        raise TypeError(f"a must be real for equal bins, got dtype {dtype}")
    elif limits is not None:
        edges, axis = _equal_bins(seen, bins, limits, kinds)
    else:
        edges, axis = _spaced(seen, bins, None, _extremes(request, 0).astype(seen))
    total = weights[0].dtype if weights else np.dtype(np.int64)
    kind = np.dtype(np.complex128 if total.kind == "c" else np.float64) if density else total

    def reference(call, values, chosen):
        a, w = values[0].view(seen), values[1] if weights else None
        return np.histogram(a, bins.values if isinstance(bins, Edges) else bins, limits, density, w)[0]

    places = None
    if dtype.itemsize == 1 and not weights:
        places, axis = _byte_places(edges.values, dtype), binning.byte_values()
    task = Tally(
        request.name, ("a", "weights")[: len(xs)], tuple(x.dtype for x in xs), axis and binning.bins(axis),
        (len(edges) - 1,), total, bool(weights), reference, places, (_ONE, _axis_widths(edges)) if density else None,
        (edges,),
    )  # fmt: skip
    return request.call(task, task.shape, kind)


_histogram = Calls(_examine_histogram, {"bins": 10, "limits": None, "kinds": None, "density": False})


@opaque
def histogram(a, bins=10, range=None, density=None, weights=None, *, out=None, stream=None):
    """Count the samples in each of a row of bins.

    Parameters
    ----------
    a : array
        Samples of any shape and strides; bool, integers and floats (complex numbers only with given edges, in the order
        that NumPy sorts them in). Booleans count as 0 and 1.
    bins : int or 1-D array
        The number of equal bins, or their edges, which must not decrease. The last bin includes its right edge.
    range : (number, number), optional
        The outer edges of equal bins; by default the smallest and the largest sample, which have to be read from the
        device first. Samples outside are not counted, and neither is NaN.
    density : bool, optional
        Divide by the widths of the bins and by the sum over all bins: the integral of the result is 1.
    weights : array, optional
        Of the shape of `a`: what each sample counts, rather than 1.
    out : array, optional
        Where the histogram is written.
    stream : optional
        The stream to work on; by default the current one of the library that `a` comes from.

    Returns
    -------
    hist : array
        int64; of the dtype of the weights; float64 (complex128) for a density.
    edges : array
        Of floats, or the given ones.

    Raises
    ------
    TypeError
        For complex samples in equal bins, for estimators of `bins`, and for an `out` that cannot hold the result.
    ValueError
        For bins and ranges that NumPy refuses (decreasing edges, no bins, bounds that are not finite, more bins than
        there are numbers between the bounds), for weights of another shape, and for an `out` of another.

    Notes
    -----
    Counts equal NumPy's for every input; 64-bit integers are compared with edges in float64, as NumPy
    does. All sums are of integers and the same in every run: a bin of c weights out of n is in error by no more than c
    2^(m - 2p - 1), where 2^m bounds all weights and p = 62 - ceil(log2(n)), 52 at most, and is rounded once. Samples
    are read once, and once before where no range is given.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.histogram.html

    Examples
    --------
    >>> import numpy as np, kernels
    >>> counts, edges = kernels.histogram(np.array([1.0, 2.0, 1.0, 4.0]), bins=3, range=(1.0, 4.0))
    >>> counts
    array([2, 1, 1])
    """
    bins, (limits, kinds), density = _bins_of(bins), _limits_of(range), bool(density)
    inputs = (a,) if weights is None else (a, weights)
    if limits is None and type(bins) is int:  # the samples decide
        call = _examine_histogram(inputs, out, True, stream, bins, None, None, density)
        (edges,), h = call.task.edges, calls.compute(call)
    else:
        h = _histogram(inputs, out, True, stream, bins, limits, kinds, density)
        edges = _edges_of(_dtype_of(a), bins, limits, kinds)
    return h, edges.like(h, stream)


def _edges_of(dtype, bins, limits, kinds):
    """The edges that histograms of samples of a dtype have."""
    return _given_bins(dtype, bins)[0] if isinstance(bins, Edges) else _equal_bins(_seen(dtype), bins, limits, kinds)[0]


def _dtype_of(a):
    """NumPy's dtype of an array of any library, or of a list."""
    return _dtype_named(a.dtype) if hasattr(a, "dtype") else operand(a, "a").dtype


@functools.lru_cache(maxsize=64)
def _dtype_named(dtype):
    return dtype if isinstance(dtype, np.dtype) else np.dtype(str(dtype).removeprefix("torch."))


# --- integers ---------------------------------------------------------------------------------------------------------


@functools.cache
def _sign_places(dtype):
    """Where each value of a byte is counted: nowhere if it is negative."""
    values = np.arange(256, dtype=np.uint8).view(_seen(dtype))
    return Table(np.where(values < 0, binning.NOWHERE, values.astype(np.int64)).astype(np.uint32))


def _examine_bincount(inputs, out, where, stream, minlength, length):
    xs = [sample(x, name) for x, name in zip(inputs, ("x", "weights"), strict=False)]
    request = Request("bincount", xs, out, stream)
    (x, *weights), dtype = xs, xs[0].dtype
    if len(x.shape) != 1 or np.ndim(inputs[0]) == 0:
        raise ValueError(f"x must have one axis, got shape {np.shape(inputs[0])}")
    if x.shape != (0,) and (dtype.kind not in "biu" or dtype == np.uint64):
        raise TypeError(f"x must hold integers that fit int64, got dtype {dtype}")
    for w in weights:
        if w.shape != x.shape:
            raise ValueError(f"weights must have the shape of x, {x.shape}, got {w.shape}")
        if w.dtype.kind == "c":
            raise TypeError(f"weights must be real, got dtype {w.dtype}")
    for name, value in (("minlength", minlength), ("length", length)):
        if value is not None and value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    size = _length(request, minlength) if length is None else length

    def reference(call, values, chosen):
        a, *w = values
        inside = (a >= 0) & (a < size)
        return np.bincount(a[inside].astype(np.int64), *(each[inside] for each in w), minlength=size)

    kind = np.dtype(np.float64 if weights else np.int64)
    single = dtype.itemsize == 1 and not weights
    places = _sign_places(dtype) if single else None
    axis = binning.byte_values() if single else binning.integers(size, dtype)
    task = Tally(
        request.name, ("x", "weights")[: len(xs)], tuple(x.dtype for x in xs), binning.bins(axis), (size,), kind,
        bool(weights), reference, places,
    )  # fmt: skip
    return request.call(task, task.shape, kind)


_bincount = Calls(_examine_bincount, {"minlength": 0, "length": None})


@opaque
def bincount(x, weights=None, minlength=0, *, length=None, out=None, stream=None):
    """Count the occurrences of each integer from 0 on.

    Parameters
    ----------
    x : array of integers
        Without negative ones, of one axis.
    weights : array, optional
        Of the shape of `x`: what each integer counts, rather than 1.
    minlength : int, optional
        Of the result, which is longer where `x` asks for it.
    length : int, optional
        Of the result, whatever `x` holds: integers outside are not counted. The device need not be asked for the
        largest integer then, so the call returns at once and can be recorded in a graph.
    out : array, optional
        Where the counts are written.
    stream : optional
        The stream to work on; by default the current one of the library that `x` comes from.

    Returns
    -------
    counts : array
        int64; float64 with weights.

    Raises
    ------
    TypeError
        For samples that are not integers of int64, complex weights, and an `out` that cannot hold the result.
    ValueError
        For negative integers, a negative `minlength` or `length`, another number of axes than one, weights of another
        shape, and an `out` of another.

    Notes
    -----
    Sums of weights are those of `kernels.histogram`.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.bincount.html

    Examples
    --------
    >>> import numpy as np, kernels
    >>> kernels.bincount(np.array([0, 1, 1, 3]))
    array([1, 2, 0, 1])
    """
    length = None if length is None else operator.index(length)
    inputs = (x,) if weights is None else (x, weights)
    if length is None:  # the samples decide
        return calls.compute(_examine_bincount(inputs, out, True, stream, operator.index(minlength), None))
    return _bincount(inputs, out, True, stream, operator.index(minlength), length)


def _length(request, minlength):
    """The length of a result that holds every integer."""
    found = _extremes(request, 0)
    if not found.size:
        return minlength
    low, high = map(int, found)
    if low < 0:
        raise ValueError(f"x must have no negative elements, got {low}")
    return max(minlength, high + 1)


# --- two axes ---------------------------------------------------------------------------------------------------------


def _examine_plane(inputs, out, where, stream, bins, limits, kinds, density):
    names = ("x", "y", "weights")[: len(inputs)]
    xs = [sample(x, name) for x, name in zip(inputs, names, strict=True)]
    request = Request("histogram2d", xs, out, stream)
    for k in xs:
        if len(k.shape) != 1 or k.shape != xs[0].shape:
            raise ValueError(f"{k.name} must have one axis, as long as x, {xs[0].shape}, got shape {k.shape}")
        if k.dtype.kind == "c":
            raise TypeError(f"{k.name} must be real, got dtype {k.dtype}")
    common = np.promote_types(xs[0].dtype, xs[1].dtype)
    edges, axes = zip(*(_plane_axis(request, k, common, bins[k], limits[k], kinds[k]) for k in (0, 1)), strict=True)
    shape, kind = tuple(len(e) - 1 for e in edges), np.dtype(np.float64)

    def reference(call, values, chosen):
        x, y, *w = values
        return np.histogram2d(x, y, [e.values for e in edges], None, density, *w)[0]

    task = Tally(
        request.name, names, tuple(x.dtype for x in xs), None if 0 in shape else binning.bins(*axes), shape,
        kind if len(xs) == 3 else np.dtype(np.int64), len(xs) == 3, reference, None,
        tuple(map(_axis_widths, edges)) if density else None, edges,
    )  # fmt: skip
    return request.call(task, shape, kind)


_plane = Calls(_examine_plane, {"bins": (10, 10), "limits": (None, None), "kinds": (None, None), "density": False})


def _plane_axis(request, k, common, bins, limits, kinds):
    dtype, name = request.xs[k].dtype, f"bins[{k}]"
    if isinstance(bins, Edges):
        return _given_plane_bins(common, bins, name)
    if bins < 1:
        raise ValueError(f"{name} must be positive, got {bins}")
    if limits is not None:
        return _equal_plane_bins(dtype, common, bins, limits, kinds, k)
    return _spaced_plane(dtype, common, bins, None, _extremes(request, k).astype(common), k)


@functools.lru_cache(maxsize=64)
def _given_plane_bins(common, bins, name):
    edges = _checked(bins.values, name).copy()
    return Table(edges), binning.given(edges, common) if len(edges) > 1 else None


@functools.lru_cache(maxsize=64)
def _equal_plane_bins(dtype, common, bins, limits, kinds, k):
    return _spaced_plane(dtype, common, bins, limits, np.zeros(1, common), k)


def _spaced_plane(dtype, common, bins, limits, extremes, k):
    """Edges and `Axis` of equal bins, as `numpy.histogramdd` has them: these edges decide, and no formula."""
    first, last = _outer(extremes, limits)
    if first > last or not (np.isfinite(first) and np.isfinite(last)):
        raise ValueError(f"range[{k}] must be two finite numbers that do not decrease, got [{first}, {last}]")
    edges = np.linspace(first, last, bins + 1)
    return Table(edges), binning.uniform(edges, dtype, 0.0) or binning.given(edges, common)


@opaque
def histogram2d(x, y, bins=10, range=None, density=None, weights=None, *, out=None, stream=None):
    """Count pairs of samples in the rectangles of a grid.

    Parameters
    ----------
    x, y : array
        Samples of one axis and one length; bool, integers and floats.
    bins : int, array, or one of these for each axis
        Numbers of equal bins, or edges. The last bins include their upper edges.
    range : pair of (number, number) or None, optional
        The outer edges of equal bins of each axis; by default the smallest and the largest sample.
    density : bool, optional
        Divide by the areas of the bins and by the sum over all bins.
    weights : array, optional
        Of one axis and that length: what each pair counts, rather than 1.
    out : array, optional
        Where the histogram is written.
    stream : optional
        The stream to work on; by default the current one of the library that `x` comes from.

    Returns
    -------
    hist : array of float64
        Of the shape (bins along x, bins along y).
    x_edges, y_edges : array

    Raises
    ------
    TypeError
        For complex samples and weights, and an `out` that cannot hold the result.
    ValueError
        As `kernels.histogram` does, and for samples of different lengths.

    Notes
    -----
    Counts equal NumPy's; sums of weights are those of `kernels.histogram`.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.histogram2d.html

    Examples
    --------
    >>> import numpy as np, kernels
    >>> h, _, _ = kernels.histogram2d(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.5]), bins=2)
    >>> h
    array([[1., 0.],
           [0., 2.]])
    """
    each = tuple(_bins_of(b, f"bins[{k}]") for k, b in enumerate(_two(bins)))
    ranges = (None, None) if range is None else tuple(range)
    if len(ranges) != 2:
        raise ValueError(f"range must have a pair for each axis, got {len(ranges)}")
    limits, kinds = zip(*map(_limits_of, ranges), strict=True)
    inputs, density = (x, y) if weights is None else (x, y, weights), bool(density)
    if any(r is None and type(b) is int for r, b in zip(limits, each, strict=True)):  # the samples decide
        call = _examine_plane(inputs, out, True, stream, each, limits, kinds, density)
        edges, h = call.task.edges, calls.compute(call)
    else:
        h = _plane(inputs, out, True, stream, each, limits, kinds, density)
        dtypes = _dtype_of(x), _dtype_of(y)
        common = np.promote_types(*dtypes)
        edges = [
            _given_plane_bins(common, each[k], f"bins[{k}]")[0]
            if isinstance(each[k], Edges)
            else _equal_plane_bins(dtypes[k], common, each[k], limits[k], kinds[k], k)[0]
            for k in (0, 1)
        ]
    return h, *(e.like(h, stream) for e in edges)


def _two(bins):
    """What is asked of each axis."""
    if isinstance(bins, list | tuple) and len(bins) == 2:
        return tuple(bins)
    if isinstance(bins, list | tuple) and len(bins) == 1:
        raise ValueError("bins must be a number, edges, or one of these for each axis, got a list of one")
    if isinstance(bins, np.ndarray) and bins.shape[:1] == (2,):
        return bins[0], bins[1]
    return bins, bins


# --- records ----------------------------------------------------------------------------------------------------------

#: Of the histograms that records speak of: edges that are numbers of every dtype.
_RANGE = (-4.0, 4.0)


def _run_of(dtype):
    return Operand("a", "buffer", None, np.dtype(dtype), (1 << 22,), (1,), 1 << 20, 0, 0)


def _tally_of(name, dtypes, axes, places=None):
    shape = tuple(axis.bins for axis in axes) if places is None else (len(places),)
    return Tally(name, ("a",), dtypes, binning.bins(*axes), shape, np.dtype(np.int64), False, None, places)


def _histogram_kernels(loop):
    dtype = np.dtype(loop[0])
    edges, axis = _equal_bins(_seen(dtype), 256, _RANGE, (float, float))
    places = _byte_places(edges.values, dtype) if dtype.itemsize == 1 else None
    axis = axis if places is None else binning.byte_values()
    return tallies.kernels(_tally_of("histogram", (dtype,), (axis,), places), [_run_of(dtype)])


def _bincount_kernels(loop):
    dtype = np.dtype(loop[0])
    places = _sign_places(dtype) if dtype.itemsize == 1 else None
    axis = binning.integers(256, dtype) if places is None else binning.byte_values()
    return tallies.kernels(_tally_of("bincount", (dtype,), (axis,), places), [_run_of(dtype)])


def _plane_kernels(loop):
    dtypes = tuple(map(np.dtype, loop.split("->")[0]))
    axes = [_equal_plane_bins(d, np.promote_types(*dtypes), 64, _RANGE, (float, float), 0)[1] for d in dtypes]
    return tallies.kernels(_tally_of("histogram2d", dtypes, axes), list(map(_run_of, dtypes)))


def _counted_alone(a):
    return histogram(a, 256, _RANGE)[0]


def _integers_counted(x):
    return bincount(x, length=256)


def _pairs_counted(x, y):
    return histogram2d(x, y, 64, (_RANGE, _RANGE))[0]


def _bincount_reference(x):
    return np.bincount(x[(x >= 0) & (x < 256)].astype(np.int64), minlength=256)


file(Pair(
    "histogram", "reductions", histogram, lambda a: np.histogram(a, 256, _RANGE)[0], "(n)->(256)",
    tuple(f"{c}->q" for c in "bBhHefd"), domain=((-5.0, 5.0),), kernels=_histogram_kernels, of_arrays=_counted_alone,
))  # fmt: skip
file(Pair(
    "bincount", "reductions", bincount, _bincount_reference, "(n)->(256)", tuple(f"{c}->q" for c in "bBhHiIq"),
    domain=((-10.0, 300.0),), kernels=_bincount_kernels, of_arrays=_integers_counted,
))  # fmt: skip
file(Pair(
    "histogram2d", "reductions", histogram2d, lambda x, y: np.histogram2d(x, y, 64, (_RANGE, _RANGE))[0],
    "(n),(n)->(64,64)", ("ff->d", "dd->d"), domain=((-5.0, 5.0),) * 2, kernels=_plane_kernels, of_arrays=_pairs_counted,
))  # fmt: skip

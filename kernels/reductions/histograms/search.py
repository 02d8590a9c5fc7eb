"""Places in a sorted array, by bisection.

    left:   the first i with a[i] >= v        right:   the first i with a[i] > v        (a.size where there is none)

NaN sorts last, and complex numbers sort by their real parts, then by their imaginary ones, as NumPy sorts them.

Source: NumPy, `numpy.searchsorted`, https://numpy.org/doc/stable/reference/generated/numpy.searchsorted.html
"""

import functools
from dataclasses import dataclass

import numpy as np
from numba import cuda, types

from ...device.instructions import SIMULATED, of_scalars
from ...device.memory import loader, number, storer, unraveler
from ...runtime.calls import compute
from ...runtime.frameworks import opaque
from ...runtime.layouts import collapse
from ...runtime.plans import Calls
from . import counting, launching
from .binning import sorts_before, unsigned
from .request import Request, host_edges, sample


@functools.lru_cache(maxsize=256)
def bisection(dtype, right, ordered, falls, long):
    """Kernel of ``y[i] = place of v[i] in a``, compared in `dtype`.

    `ordered` where a[order[0]], a[order[1]], ... is sorted; `falls` where places are counted from the end.
    """
    before, index, whole = sorts_before(dtype), counting.index_type(long), number(types.int64)
    load, store, from_at, to_at = loader(("vector",), 1), storer(1), unraveler(1), unraveler(1)
    place = unsigned(64)
    first, step = counting.strided(index)

    @cuda.jit
    @of_scalars
    def bisection_kernel(n, shape, v_strides, y_strides, size, a_stride, order_stride, vs, a, order, ys):
        i, threads = first(), step()
        while i < n:
            v = load(vs, from_at(i, shape, v_strides))[0][0]
            low, high = place(0), place(size)
            while low < high:
                middle = place(place(low + high) >> place(1))
                at = np.int64(middle)
                if ordered:
                    at = whole(load(order, (at * order_stride,))[0][0])
                w = load(a, (at * a_stride,))[0][0]
                if right:
                    above = before((v, w))
                else:
                    above = not before((w, v))
                if above:
                    high = middle
                else:
                    low = place(middle + place(1))
            low = place(size - low) if falls else low
            store(ys, to_at(i, shape, y_strides), ((whole(low),),))
            i = index(i + threads)

    return bisection_kernel


@opaque
def searchsorted(a, v, side="left", sorter=None, *, out=None, stream=None):
    """Find where elements would be inserted in a sorted array to keep it sorted.

    Parameters
    ----------
    a : 1-D array
        Sorted, unless `sorter` is given.
    v : array
        Of any shape and strides.
    side : {"left", "right"}
        Before or behind the elements of `a` that are equal.
    sorter : 1-D array of integers, optional
        Indices that sort `a`, of its length; what they are is not checked.
    out : array, optional
        Where the places are written.
    stream : optional
        The stream to work on; by default the current one of the library that the arrays come from.

    Returns
    -------
    places : array of int64
        Of the shape of `v`.

    Raises
    ------
    TypeError
        For a `sorter` that does not hold integers, and an `out` that cannot hold int64.
    ValueError
        For another `side`, an `a` or `sorter` of another shape, and an `out` of another.

    Notes
    -----
    The same places as NumPy's, always: both arrays are compared in the dtype that NumPy promotes theirs
    to. A thread has an element of `v`, and reads log2(a.size) + 1 elements of `a`.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.searchsorted.html

    Examples
    --------
    >>> import numpy as np, kernels
    >>> kernels.searchsorted(np.array([1.0, 2.0, 3.0]), np.array([2.0, 0.0, 9.0]))
    array([1, 0, 3])
    """
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right', got {side!r}")
    return _searches((v, a) if sorter is None else (v, a, sorter), out, True, stream, side == "right")


@opaque
def digitize(x, bins, right=False, *, out=None, stream=None):
    """Find the bin of each element.

    Parameters
    ----------
    x : array
        Real, of any shape and strides.
    bins : 1-D array
        Edges that either do not decrease or do not increase. They are read on the host.
    right : bool
        Whether bins include their right edges, rather than their left ones.
    out : array, optional
        Where the numbers of bins are written.
    stream : optional
        The stream to work on; by default the current one of the library that `x` comes from.

    Returns
    -------
    indices : array of int64
        i where bins[i - 1] <= x < bins[i], 0 below all bins and ``len(bins)`` above; of the shape of `x`.

    Raises
    ------
    TypeError
        For complex `x`, and an `out` that cannot hold int64.
    ValueError
        For edges that are not monotonic, and an `out` of another shape.

    Notes
    -----
    The same numbers as NumPy's, always.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.digitize.html

    Examples
    --------
    >>> import numpy as np, kernels
    >>> kernels.digitize(np.array([0.2, 6.4, 3.0]), np.array([0.0, 1.0, 2.5, 4.0, 10.0]))
    array([1, 4, 3])
    """
    edges = host_edges(bins, "bins")
    if edges.ndim != 1:
        raise ValueError(f"bins must be a 1-D array of edges, got shape {edges.shape}")
    falls = len(edges) > 0 and edges[0] > edges[-1]
    rising = edges[::-1] if falls else edges
    if np.any(rising[:-1] > rising[1:]):
        raise ValueError("bins must be monotonically increasing or decreasing")
    return compute(_examine("digitize", (x, rising), out, stream, not right, falls))


@dataclass(slots=True)
class Search:
    """The task of a search, see `kernels.runtime.calls.Call`."""

    name: str
    parameters: tuple
    ins: tuple
    right: bool
    falls: bool
    looks_at_values = False

    def reference(self, call, values, chosen):
        """The places in NumPy."""
        v, a, *order = values
        order = order[0].astype(np.int64) if order else None
        found = np.searchsorted(a, v.reshape(call.shape), "right" if self.right else "left", order)
        return a.shape[0] - found if self.falls else found

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        x, table, *orders = sources
        (y,) = targets
        shape, (of_x, of_y) = collapse(x.shape, [x.strides, y.strides or (1,)])
        n = int(np.prod(shape, dtype=np.int64))
        long = n >= 2**31
        count = np.uint64 if long else np.uint32
        kernel = bisection(np.promote_types(table.dtype, x.dtype), self.right, bool(orders), self.falls, long)
        arguments = [
            launching.number(count(n)),
            launching.row(map(count, shape)),
            launching.row(map(np.int64, of_x)),
            launching.row(map(np.int64, of_y)),
            launching.number(np.uint64(table.shape[0])),
            launching.number(np.int64(table.strides[0])),
            launching.number(np.int64(orders[0].strides[0] if orders else 1)),
            launching.pointers((x.dtype,)),
            launching.pointers((table.dtype,)),
            launching.pointers((orders[0].dtype if orders else table.dtype,)),
            launching.pointers((y.dtype,)),
        ]
        blocks = 3 if SIMULATED else -(-n // counting.THREADS)
        launch = launching.prepared(kernel, arguments, (1, blocks), device, self.name, resident=True)

        def run(stream, v, a, *rest):
            launch(stream, v, a, *(rest if orders else (a, *rest)))

        return launching.Steps(run, [launch], self)


def _examine(name, inputs, out, stream, right, falls):
    of_a, of_v = ("a", "v") if name == "searchsorted" else ("bins", "x")
    names = (of_v, of_a, "sorter")[: len(inputs)]
    v, a = inputs[:2]
    shape = tuple(v.shape) if hasattr(v, "shape") else np.shape(v)
    xs = [sample(x, each) for x, each in zip(inputs, names, strict=True)]
    request = Request(name, xs, out, stream)
    x, table, *orders = xs
    if len(table.shape) != 1 or np.ndim(a) == 0:
        raise ValueError(f"{of_a} must have one axis, got shape {np.shape(a)}")
    for order in orders:
        if order.dtype.kind not in "iu":
            raise TypeError(f"sorter must hold integers, got dtype {order.dtype}")
        if order.shape != table.shape:
            raise ValueError(f"sorter must have the shape of {of_a}, {table.shape}, got {order.shape}")
    if name == "digitize" and x.dtype.kind == "c":
        raise TypeError(f"x must be real, got dtype {x.dtype}")
    task = Search(name, names, tuple(each.dtype for each in xs), right, falls)
    return request.call(task, shape, np.dtype(np.int64))


def _examine_search(inputs, out, where, stream, right):
    return _examine("searchsorted", inputs, out, stream, right, False)


_searches = Calls(_examine_search, {"right": False})

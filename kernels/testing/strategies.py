"""Hypothesis strategies: dtypes, shapes, values, strides and scalars for tests of array functions.

Values are bounded here and nowhere else: by default they are finite and so small (`LIMIT`) that sums and
products of a few stay finite too; with ``special=True`` everything that the dtype can hold may occur. Arrays
are filled from a drawn seed, not element by element, so that thousands of elements cost a millisecond. A
failure still shrinks: seed 0 is an array of zeros, a few elements are drawn one by one, and an array that is
cut short keeps the special values of its beginning.

Examples
--------
>>> import numpy as np
>>> from hypothesis import given
>>> from kernels.testing import strategies as st
>>> @given(x=st.arrays(st.dtypes("f"), st.shapes()))
... def test_negation_is_its_own_inverse(x):
...     assert np.array_equal(-(-x), x)
>>> test_negation_is_its_own_inverse()
"""

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from .memory import layouts

MAX_SIDE = 200
"""Largest side of an array: three blocks of 64 threads and a tail, few enough threads for the simulator.

All shapes here have at most four times as many elements. It is read at every draw, so that a test run on a
GPU may raise it once, in its conftest."""

LIMIT = 1000
"""Largest modulus of ordinary values; `_limit` lowers it for the dtypes whose squares would overflow."""

DTYPES = tuple(
    np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
"""The dtypes of this project."""


def _limit(dtype):
    """Largest modulus of an ordinary value: float16 ends at 65504, int8 at 127."""
    if dtype.kind in "iu":
        return min(LIMIT, np.iinfo(dtype).max)
    return min(LIMIT, 100) if dtype == np.float16 else LIMIT


def dtypes(kinds="biufc"):
    """Draw a dtype of the given kinds, as in `numpy.dtype.kind`.

    Parameters
    ----------
    kinds : str
        Of b (bool), i and u (signed and unsigned integers, 8 to 64 bit), f (float16, 32, 64) and c
        (complex64, 128).

    Returns
    -------
    strategy of numpy.dtype
    """
    if unknown := set(kinds) - set("biufc"):
        raise ValueError(f"kinds must be letters of 'biufc', not {''.join(sorted(unknown))!r}")
    return st.sampled_from([dtype for dtype in DTYPES if dtype.kind in kinds])


@st.composite
def shapes(draw, *, min_dims=0, max_dims=3, min_side=0, max_side=None):
    """Draw the shape of an array: 0-d, empty, from one element to a few blocks.

    Parameters
    ----------
    min_dims, max_dims : int
    min_side : int
        0 allows empty arrays.
    max_side : int, optional
        `MAX_SIDE` by default; the number of elements stays within four times this.

    Returns
    -------
    strategy of tuple of int
    """
    max_side = MAX_SIDE if max_side is None else max_side
    room = 4 * max_side
    shape = []
    for left in range(draw(st.integers(min_dims, max_dims)), 0, -1):
        most = max(min(max_side, room // max(min_side, 1) ** (left - 1)), min_side)
        side = draw(st.integers(min_side, most))
        shape.append(side)
        room //= max(side, 1)
    return tuple(draw(st.permutations(shape)))


@st.composite
def broadcastable_shapes(draw, number=2, *, signature=None, max_dims=3, min_side=0, max_side=None):
    """Draw shapes that broadcast together.

    Parameters
    ----------
    number : int
        How many, unless a signature says so.
    signature : str, optional
        Of a generalised ufunc with core dimensions and one output, such as ``"(m,k),(k,n)->(m,n)"``.
    max_dims : int
        Most dimensions that are broadcast.
    min_side, max_side : int
        As in `shapes`.

    Returns
    -------
    strategy of BroadcastableShapes
        A named tuple ``(input_shapes, result_shape)``.
    """
    max_side = MAX_SIDE if max_side is None else max_side
    dims = draw(st.integers(0, max_dims))
    core = 0 if signature is None else len(set(signature) & set("abcdefghijklmnopqrstuvwxyz"))
    side = max_side if dims + core <= 1 else int((4 * max_side) ** (1 / (dims + core)))
    what = {"num_shapes": number} if signature is None else {"signature": signature}
    side = max(side, min_side, 1)
    return draw(mutually_broadcastable_shapes(**what, max_dims=dims, min_side=min_side, max_side=side))


def ordinary_values(dtype):
    """Return values that tests should meet often: zeros, ones, small fractions, the limits of the range.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    values : numpy.ndarray of `dtype`
    """
    dtype = np.dtype(dtype)
    limit = _limit(dtype)
    values = {
        "b": [False, True],
        "u": [0, 1, 2, 3, 7, limit],
        "i": [0, 1, -1, 2, -2, 3, 7, limit, -limit],
        "f": [0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1.5, 2.5, -2.5, 1 / 3, limit, -limit],
        "c": [0.0, 1.0, -1.0, 1j, -1j, 1 + 1j, 0.5 - 2j, limit / 2, -1j * limit / 2],
    }
    return np.array(values[dtype.kind], dtype)


def special_values(dtype):
    """Return the values at the edges of a dtype.

    For floats nan, both infinities and zeros, the smallest and largest subnormal and normal numbers, the
    neighbours of 1, and whole numbers where fractions end; for integers the ends of the range and powers of
    two; for complex numbers pairs of those of floats.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    values : numpy.ndarray of `dtype`
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        half = 1 << (info.bits // 2)
        ends = [info.min, info.min + 1, info.max, info.max - 1]
        return np.array([*ends, info.max // 2 + 1, half, half - 1], dtype)
    if dtype.kind == "c":
        edges = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan], np.finfo(dtype).dtype)
        real = special_values(edges.dtype)
        pairs = np.concatenate([_pairs(edges, edges), _pairs(real, edges[:3]), _pairs(edges[:3], real)])
        return pairs.view(dtype).ravel()
    info, one = np.finfo(dtype), dtype.type(1)
    whole = dtype.type(2.0) ** info.nmant
    sizes = [
        *(info.smallest_subnormal, np.nextafter(info.tiny, dtype.type(0)), info.tiny, info.eps),
        *(np.nextafter(one, dtype.type(0)), np.nextafter(one, dtype.type(2)), whole - one / 2, 2 * whole),
        *(np.sqrt(info.max), info.max, np.inf, 0.0),
    ]
    positive = np.array(sizes, dtype)
    return np.concatenate([positive, -positive, np.array([np.nan], dtype)])


def _pairs(first, second):
    return np.stack([x.ravel() for x in np.meshgrid(first, second)], axis=-1)


def _filled(rng, dtype, size, low, high):
    """Ordinary values: floats half of them evenly spread, half over many orders of magnitude."""
    if dtype.kind == "b":
        return rng.integers(0, 2, size).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(low, high, size, dtype, endpoint=True)
    if dtype.kind == "c":
        part, side = np.finfo(dtype).dtype, 1 / math.sqrt(2)  # so that the modulus keeps to the limit
        return _filled(rng, part, 2 * size, low * side, high * side).view(dtype)
    even = rng.uniform(low, high, size)
    small = even * np.exp2(-rng.uniform(0, 20, size))
    values = np.where(rng.integers(0, 2, size, bool), small, even) if low <= 0 <= high else even
    return np.clip(values.astype(dtype), dtype.type(low), dtype.type(high))


@st.composite
def arrays(draw, dtype, shape, *, special=False, low=None, high=None):
    """Draw an array.

    Parameters
    ----------
    dtype : dtype, or strategy of dtypes
    shape : int, tuple of int, or strategy of shapes
    special : bool
        Mix in `special_values`: nan, infinities, signed zeros, subnormal, huge and tiny numbers, the limits
        of the dtype. In some arrays a few, in some a quarter of the elements, in some all, so that they meet
        each other in functions of several arrays.
    low, high : float, optional
        Range of the ordinary values, both ends included, when the function's domain asks for another than
        [-`LIMIT`, `LIMIT`]. For complex dtypes that of real and imaginary part times the square root of two.

    Returns
    -------
    strategy of numpy.ndarray
    """
    dtype = np.dtype(draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = math.prod(shape)
    limit = _limit(dtype)
    low = low if low is not None else 0 if dtype.kind == "u" else -limit
    high = limit if high is None else high

    specials = special_values(dtype)
    notable = ordinary_values(dtype)
    notable = notable[(notable.real >= low) & (notable.real <= high)]
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if seed:
        values = _filled(rng, dtype, size, low, high)
    else:
        values = np.full(size, min(max(low, 0), high), dtype)
    if special:
        notable = np.concatenate([notable, specials])
        share = draw(st.sampled_from([0, 0.25, 1]))
        chosen = np.random.default_rng([seed, 1]).random((size, 2))
        which = (chosen[:, 1] * specials.size).astype(np.intp)
        values = np.where(chosen[:, 0] < share, specials[which], values)
    if size and notable.size:
        places = st.tuples(st.integers(0, size - 1), st.integers(0, notable.size - 1))
        for place, which in draw(st.lists(places, max_size=5)):
            values[place] = notable[which]
    return values.reshape(shape)


@st.composite
def strided_arrays(draw, dtype, shape, **values):
    """Draw an array under any strides.

    In C and Fortran order, transposed, with steps, negative and zero strides, 0-d and empty, and aligned to
    no more than its element.

    Parameters
    ----------
    dtype, shape, **values
        As in `arrays`.

    Returns
    -------
    strategy of numpy.ndarray
        With stride 0 along an axis it is read-only, as `numpy.broadcast_to` returns it.
    """
    array = draw(arrays(dtype, shape, **values))
    axes = [axis for axis, side in enumerate(array.shape) if side > 1]
    if axes and draw(st.integers(0, 5)) == 5:
        axis = draw(st.sampled_from(axes))
        return np.broadcast_to(array.take([0], axis), array.shape)
    return draw(st.sampled_from([view for _, view in layouts(array)]))


def scalars(dtype, *, special=False, low=None, high=None):
    """Draw a NumPy scalar.

    Parameters
    ----------
    dtype, special, low, high
        As in `arrays`.

    Returns
    -------
    strategy of numpy.generic
    """
    return arrays(dtype, (), special=special, low=low, high=high).map(lambda array: array[()])


def python_scalars(kinds="bifc", *, special=False):
    """Draw a Python bool, int, float or complex: the weak scalars of NEP 50.

    Parameters
    ----------
    kinds : str
        Of b, i, f, c.
    special : bool
        Mix in `special_values` of float64 and complex128, and integers of up to 64 bit.

    Returns
    -------
    strategy of bool, int, float or complex
    """
    names = {"b": "bool", "i": "int64", "f": "float64", "c": "complex128"}
    return st.one_of([scalars(names[kind], special=special).map(lambda x: x.item()) for kind in kinds])


def schedules():
    """Draw a schedule: the seed of the order in which `kernels.simulator` runs threads, warps and blocks.

    The first that is drawn is 0, which is ascending order, and failures shrink to it: what fails with another seed
    alone depends on the order.

    Returns
    -------
    strategy of int

    Examples
    --------
    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from numba import cuda
    >>> from kernels.simulator import simulate
    >>> from kernels.testing import strategies as st
    >>> @cuda.jit
    ... def count(total):
    ...     cuda.atomic.add(total, 0, 1)
    >>> @settings(max_examples=5, deadline=None)
    ... @given(seed=st.schedules())
    ... def test_every_thread_is_counted_in_any_order(seed):
    ...     total = np.zeros(1, np.int64)
    ...     simulate(count, engine="interpreted", seed=seed)[2, 32](total)
    ...     assert total[0] == 64
    >>> test_every_thread_is_counted_in_any_order()
    """
    return st.integers(0, 2**31 - 1)

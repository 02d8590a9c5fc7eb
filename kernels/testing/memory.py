"""One array, many memory layouts; and outputs surrounded by cells that nobody may write.

Both are carved from a one-dimensional run of cells with `GUARD` cells to spare before and behind, so they
share the functions below.
"""

import math

import numpy as np

GUARD = 67
"""Cells before and behind a carved array: more than any vector access, and odd, so that an array of the
"offset" layout is aligned to its element and to nothing wider."""


def _every(array, step):
    """Every element, or every second one, forwards or backwards (Numba's device arrays know no Ellipsis)."""
    return array[(slice(None, None, step),) * array.ndim] if array.ndim else array


def _contiguous(cells, shape):
    return cells.reshape(shape)


def _fortran(cells, shape):
    return cells.reshape(shape[::-1]).T


def _transposed(cells, shape):
    """First axis fastest, the others in C order (differs from Fortran order from three dimensions on)."""
    axes = (*range(1, len(shape)), 0)[: len(shape)]
    return cells.reshape(tuple(shape[axis] for axis in axes)).transpose(np.argsort(axes))


def _step(cells, shape):
    return _every(cells.reshape(tuple(2 * side for side in shape)), 2)


def _negative(cells, shape):
    return _every(cells.reshape(shape), -1)


def _negative_step(cells, shape):
    return _every(cells.reshape(tuple(2 * side for side in shape)), -2)


# name: (function, cells per element and axis, first cell)
_CARVERS = {
    "contiguous": (_contiguous, 1, GUARD - 3),
    "offset": (_contiguous, 1, GUARD),
    "fortran": (_fortran, 1, GUARD - 3),
    "transposed": (_transposed, 1, GUARD - 3),
    "step": (_step, 2, GUARD - 3),
    "negative": (_negative, 1, GUARD - 3),
    "negative step": (_negative_step, 2, GUARD - 3),
}

LAYOUTS = tuple(_CARVERS)
"""Names of the layouts that any shape has. `layouts` adds "zero stride" for arrays that are constant along
an axis."""


def _carver(shape, layout):
    """Return the number of cells in all, and the function that carves the array out of them."""
    if layout not in _CARVERS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, not {layout!r}")
    carve, spread, first = _CARVERS[layout]
    span = math.prod(spread * side for side in shape)
    return span + 2 * GUARD, lambda cells: carve(cells[first : first + span], shape)


def layouts(array):
    """Yield views of other buffers that hold the values of an array under other strides.

    Parameters
    ----------
    array : array_like
        Any shape, 0-d and empty ones too, and any dtype.

    Yields
    ------
    name : str
        One of `LAYOUTS`, or "zero stride" where the array is constant along an axis.
    view : numpy.ndarray
        Equal to `array` in shape, dtype and bits.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.testing import layouts
    >>> for name, view in layouts(np.zeros((2, 3), np.int8)):
    ...     print(name, view.strides)
    contiguous (3, 1)
    offset (3, 1)
    fortran (1, 2)
    transposed (1, 2)
    step (12, 2)
    negative (-3, -1)
    negative step (-12, -2)
    zero stride (0, 0)
    """
    array = np.asarray(array)
    for name in LAYOUTS:
        size, carve = _carver(array.shape, name)
        view = carve(np.zeros(size, array.dtype))
        view[...] = array
        yield name, view
    if array.size and (flat := _zero_strides(array)) is not None:
        yield "zero stride", flat


def _zero_strides(array):
    """Set stride 0 along every axis where the array repeats itself; None if there is no such axis."""
    source = array
    for axis in range(array.ndim):
        first = source.take([0], axis)
        repeated = np.broadcast_to(first, source.shape)
        if array.shape[axis] > 1 and np.array_equal(_bits(source), _bits(repeated)):
            source = first
    return None if source is array else np.broadcast_to(source, array.shape)


def _bits(array):
    return np.ascontiguousarray(array).view(np.uint8)


def guarded(shape, dtype, layout="contiguous", *, seed=0, to_device=None, to_host=np.asarray):
    """Return an output array inside a larger buffer of random bits, and the check that nothing else changed.

    The cells before the array, behind it and, for the layouts with a step, between its elements are
    sentinels. The elements of the array hold random bits as well, so that one left unwritten is wrong with
    all but certainty.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    layout : str
        One of `LAYOUTS`.
    seed : int
        Of the random bits.
    to_device, to_host : callable, optional
        Move a one-dimensional array of cells to where the kernel writes, and back to NumPy. A NumPy output
        is copied to a GPU element by element, so that only a buffer which lives there sees a stray write:
        ``to_device=cupy.asarray, to_host=cupy.asnumpy``, or for Numba ``cuda.to_device`` and
        ``lambda a: a.copy_to_host()`` (whose arrays have no negative strides and transpose by copying, so
        use "contiguous", "offset" or "step" there).

    Returns
    -------
    array : numpy.ndarray or what `to_device` returns
    assert_untouched : callable
        Without arguments; raises AssertionError naming the first sentinel that was overwritten.

    Raises
    ------
    ValueError
        For a layout not in `LAYOUTS`.

    Examples
    --------
    >>> from kernels.testing import guarded
    >>> out, assert_untouched = guarded((100,), "float32", "step")
    >>> out[:] = 0
    >>> assert_untouched()

    A kernel that forgets the stride writes between the elements:

    >>> import numpy as np
    >>> np.lib.stride_tricks.as_strided(out, (100,), (4,))[:] = 0
    >>> assert_untouched()
    Traceback (most recent call last):
        ...
    AssertionError: 50 cells outside the (100,) array were written, the first +1 from its first element
    """
    shape, dtype = tuple(shape), np.dtype(dtype)
    size, carve = _carver(shape, layout)
    before = np.random.default_rng(seed).integers(0, 256, size * dtype.itemsize, np.uint8)
    if dtype == np.bool_:  # other bytes than 0 and 1 are no bool
        before &= 1
    cells = before.copy().view(dtype)
    if to_device is not None:
        cells = to_device(cells)

    owned = np.zeros(size, bool)
    carve(owned)[...] = True
    origin = carve(np.arange(size)).ravel()[:1]
    origin = int(origin[0]) if origin.size else GUARD

    def assert_untouched():
        after = np.ascontiguousarray(to_host(cells)).view(np.uint8)
        changed = (after != before).reshape(size, dtype.itemsize).any(axis=1)
        stray = np.flatnonzero(changed & ~owned)
        if stray.size:
            raise AssertionError(
                f"{stray.size} cells outside the {shape} array were written, "
                f"the first {int(stray[0]) - origin:+d} from its first element"
            )

    return carve(cells), assert_untouched

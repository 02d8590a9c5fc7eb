"""What the 32 lanes of a warp do together: shuffles, reductions, scans, votes.

A value is a number of Numba's, a NumPy scalar, or a tuple of values, nested as you like: the mean and the sum of
squares of a variance, the maximum and the sum of a log-sum-exp. It comes back with the type it had. An operator is
anything that a kernel can call with two values: ``operator.add``, ``max``, a device function, a lambda in the kernel.
It must be associative (as far as rounding lets it); it need not be commutative, for what comes from the lower lane is
always its left operand.

All lanes of the warp call these functions together. Where `width` is given, a power of 2 up to 32, the warp is cut into
groups of so many lanes, each of which is a little warp: only the lanes of a group call together.

    A float32 is summed over a warp by 5 shuffles and 5 additions; an operator of yours takes one shuffle more.

Source: CUDA C++ Programming Guide, "Warp Shuffle Functions"; NVIDIA CUB, ``WarpReduce`` and ``WarpScan``; Hillis &
Steele 1986, "Data parallel algorithms", for the scan.
"""

import numpy as np
from llvmlite import ir
from numba import cuda, types

from .instructions import kernel_function
from .operators import add, first_maximum, first_minimum, maximum, minimum, multiply, symmetric
from .ptx import declared
from .scalar import unpack
from .words import WORD, as_int32, cast_like, from_words, to_words, with_word

FULL = 0xFFFFFFFF

# --- shuffles ---------------------------------------------------------------------------------------------------------


def sreg(builder, name):
    """The value of a special register of PTX."""
    kind = ir.FunctionType(WORD, [])
    function = builder.module.globals.get(f"llvm.nvvm.read.ptx.sreg.{name}")
    return builder.call(function or ir.Function(builder.module, kind, f"llvm.nvvm.read.ptx.sreg.{name}"), [])


def _group(builder, width):
    """The mask of the lanes in the group of this one."""
    first = builder.and_(sreg(builder, "laneid"), builder.neg(width))
    lanes = builder.sub(builder.shl(WORD(1), width), WORD(1))
    return builder.select(builder.icmp_unsigned("<", width, WORD(32)), builder.shl(lanes, first), WORD(FULL))


def shuffled(builder, mode, mask, word, b, bounds):
    """A shuffle of one word: what was received, and whether there is the lane that was asked for."""
    kind = ir.FunctionType(ir.LiteralStructType([WORD, ir.IntType(1)]), [WORD] * 5)
    name = "llvm.nvvm.shfl.sync.i32"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, [mask, WORD(mode), word, b, bounds])


def _shuffle(mode, clamp, twin):
    """``moved(words, b, width)``: the words of another lane of the group, and whether there is that lane."""

    def moved(typingctx, words, b, width):
        result = types.Tuple((words, types.boolean))

        def codegen(context, builder, signature, args):
            other = context.cast(builder, args[1], b, types.int32)
            lanes = context.cast(builder, args[2], width, types.int32)
            bounds = builder.or_(builder.shl(builder.sub(WORD(32), lanes), WORD(8)), WORD(clamp))
            mask = _group(builder, lanes)
            found = [
                shuffled(builder, mode, mask, word, other, bounds) for word in unpack(builder, args[0], len(words))
            ]
            received = context.make_tuple(builder, words, [builder.extract_value(each, 0) for each in found])
            return context.make_tuple(builder, result, [received, builder.extract_value(found[0], 1)])

        return result(words, b, width), codegen

    moved.__name__ = twin.__name__
    return declared(moved, twin)


def _exchanged(words, source, width):
    """What the simulator runs: the words of the lane `source` of the warp."""
    mask = FULL
    if width < 32:
        mask = ((1 << width) - 1) << (cuda.laneid & -width)
    found = words
    for k in range(len(words)):
        found = with_word(found, k, cuda.shfl_sync(mask, words[k], source))
    return found


def from_lane(words, lane, width):
    """The words of a lane of the group, counted from 0 and modulo `width`."""
    width = cast_like(width, 0)
    first = cuda.laneid & -width
    return _exchanged(words, first + (cast_like(lane, 0) & (width - 1)), width), True


def from_below(words, delta, width):
    """The words of the lane `delta` below; a lane that has none keeps its own."""
    width = cast_like(width, 0)
    source = cuda.laneid - cast_like(delta, 0)
    inside = source >= (cuda.laneid & -width)
    return _exchanged(words, source if inside else cast_like(cuda.laneid, 0), width), inside


def from_above(words, delta, width):
    """The words of the lane `delta` above; a lane that has none keeps its own."""
    width = cast_like(width, 0)
    source = cuda.laneid + cast_like(delta, 0)
    inside = source < (cuda.laneid & -width) + width
    return _exchanged(words, source if inside else cast_like(cuda.laneid, 0), width), inside


def from_partner(words, mask, width):
    """The words of the lane whose number differs in the bits of a mask; whose is above the group keeps its own."""
    width = cast_like(width, 0)
    source = cuda.laneid ^ cast_like(mask, 0)
    inside = source < (cuda.laneid & -width) + width
    return _exchanged(words, source if inside else cast_like(cuda.laneid, 0), width), inside


from_lane, from_below = _shuffle(0, 31, from_lane), _shuffle(1, 0, from_below)
from_above, from_partner = _shuffle(2, 31, from_above), _shuffle(3, 31, from_partner)


@kernel_function
def shuffle(value, lane, width=32):
    """The value that another lane passes.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    lane : int
        Whose, counted from the first of the group; taken modulo `width`. It must take part.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import shuffle
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = shuffle(x[t], t + 1)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y
    array([ 1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,
           14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26.,
           27., 28., 29., 30., 31.,  0.])
    """
    return from_words(from_lane(to_words(value), lane, width)[0], value)


@kernel_function
def shuffle_up(value, delta, width=32):
    """The value that the lane `delta` below passes; a lane that has none in its group keeps its own.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    delta : int
        From 0 to 31.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import shuffle_up
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = x[t] - shuffle_up(x[t], 1)
    >>> x, y = np.arange(32.0) ** 2, np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:5]
    array([0., 1., 3., 5., 7.])
    """
    return from_words(from_below(to_words(value), delta, width)[0], value)


@kernel_function
def shuffle_down(value, delta, width=32):
    """The value that the lane `delta` above passes; a lane that has none in its group keeps its own.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    delta : int
        From 0 to 31.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import shuffle_down
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = shuffle_down(x[t], 1, 4)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:8]
    array([1., 2., 3., 3., 5., 6., 7., 7.])
    """
    return from_words(from_above(to_words(value), delta, width)[0], value)


@kernel_function
def shuffle_xor(value, mask, width=32):
    """The value that the lane passes whose number differs in the bits of a mask.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    mask : int
        From 0 to ``width - 1``.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import shuffle_xor
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = shuffle_xor(x[t], 1)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:6]
    array([1., 0., 3., 2., 5., 4.])
    """
    return from_words(from_partner(to_words(value), mask, width)[0], value)


# --- reductions -------------------------------------------------------------------------------------------------------


@kernel_function
def _reduce_all(value, op, width):
    """The reduction of a group, in its first lane."""
    found = cast_like(value, value)
    delta = 1
    while delta < width:
        found = cast_like(op(found, shuffle_down(found, delta, width)), found)
        delta *= 2
    return found


@kernel_function
def reduce_some(value, op, width, valid):
    """The reduction of the first `valid` lanes of a group, in its first lane."""
    found = cast_like(value, value)
    lane, valid = cuda.laneid & (width - 1), as_int32(valid)
    delta = 1
    while delta < width:
        source = as_int32(lane + delta)
        inside = source < valid
        other = shuffle(found, source if inside else as_int32(lane), width)
        if inside:
            found = cast_like(op(found, other), found)
        delta *= 2
    return found


@kernel_function
def warp_reduce(value, op, width=32, valid=32):
    """The values of the lanes, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    op : callable
        ``op(x, y)`` of two values, that of the lower lanes first; associative. What it returns is cast to their type.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value : as `value`
        The same bits in all lanes of the group.

    Examples
    --------
    The mean and the sum of squared deviations of all values (Chan, Golub & LeVeque 1983):

    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_reduce
    >>> @cuda.jit(device=True)
    ... def merge(a, b):
    ...     n, d = a[0] + b[0], b[1] - a[1]
    ...     return n, a[1] + d * b[0] / n, a[2] + b[2] + d * d * a[0] * b[0] / n
    >>> @cuda.jit
    ... def variance(x, y):
    ...     n, mean, squares = warp_reduce((1.0, x[cuda.threadIdx.x], 0.0), merge)
    ...     if cuda.threadIdx.x == 0:
    ...         y[0], y[1] = mean, squares / n
    >>> x, y = np.arange(32.0), np.zeros(2)
    >>> variance[1, 32](x, y)
    >>> bool(np.allclose(y, [x.mean(), x.var()]))
    True
    """
    found = _reduce_all(value, op, width) if valid >= width else reduce_some(value, op, width, valid)
    return shuffle(found, 0, width)


@kernel_function
def _butterfly(value, op, width):
    """`warp_reduce` with an operator that gives the same bits in either order: one shuffle less."""
    found = cast_like(value, value)
    delta = 1
    while delta < width:
        found = cast_like(op(found, shuffle_xor(found, delta, width)), found)
        delta *= 2
    return found


@kernel_function
def warp_sum(value, width=32, valid=32):
    """The sum of the lanes' values, which are numbers.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value : as `value`
        The same bits in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_sum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_sum(x[t])
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.float64(496.0)
    """
    if valid < width:
        return warp_reduce(value, add, width, valid)
    return _butterfly(value, add, width)


@kernel_function
def warp_prod(value, width=32, valid=32):
    """The product of the lanes' values, which are numbers.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value : as `value`
        The same bits in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_prod
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_prod(x[t])
    >>> x, y = np.full(32, 2.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.float64(4294967296.0)
    """
    return warp_reduce(value, multiply, width, valid)


@kernel_function
def warp_min(value, width=32, valid=32):
    """The smallest of the lanes' numbers; NaN where one of them is NaN.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value : as `value`
        The same bits in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_min
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_min(x[t])
    >>> x, y = np.arange(32.0) % 7 - 3, np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.float64(-3.0)
    """
    if valid < width or not symmetric(value):
        return warp_reduce(value, minimum, width, valid)
    return _butterfly(value, minimum, width)


@kernel_function
def warp_max(value, width=32, valid=32):
    """The largest of the lanes' numbers; NaN where one of them is NaN.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value : as `value`
        The same bits in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_max
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_max(x[t])
    >>> x, y = np.arange(32.0) % 7, np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.float64(6.0)
    """
    if valid < width or not symmetric(value):
        return warp_reduce(value, maximum, width, valid)
    return _butterfly(value, maximum, width)


@kernel_function
def warp_argmin(value, index, width=32, valid=32):
    """The smallest of the lanes' numbers and its index: of equal ones the smallest index. NaN counts as smaller.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    index : integer
        Of the value.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value, index : as `value` and `index`
        The same in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_argmin
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     value, index = warp_argmin(x[t], t)
    ...     y[t] = index
    >>> x, y = np.cos(np.arange(32.0)), np.zeros(32, int)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.int64(22)
    """
    return warp_reduce((value, index), first_minimum, width, valid)


@kernel_function
def warp_argmax(value, index, width=32, valid=32):
    """The largest of the lanes' numbers and its index: of equal ones the smallest index. NaN counts as larger.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    index : integer
        Of the value.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.
    valid : int, optional
        How many lanes of the group, from its first on, have a value: at least 1, and the same number in all of them. A
        warp that is not full has so many lanes.

    Returns
    -------
    value, index : as `value` and `index`
        The same in all lanes of the group.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_argmax
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     value, index = warp_argmax(x[t], t)
    ...     y[t] = index
    >>> x, y = np.arange(32.0) % 7, np.zeros(32, int)
    >>> kernel[1, 32](x, y)
    >>> y[0]
    np.int64(6)
    """
    return warp_reduce((value, index), first_maximum, width, valid)


# --- scans ------------------------------------------------------------------------------------------------------------


@kernel_function
def warp_inclusive_scan(value, op, width=32):
    """The values up to this lane's, this one too, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    op : callable
        ``op(x, y)`` of two values, that of the lower lanes first; associative.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import maximum, warp_inclusive_scan
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_inclusive_scan(x[t], maximum)
    >>> x, y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([3., 3., 4., 4., 5., 9., 9., 9.])
    """
    found = cast_like(value, value)
    delta = 1
    while delta < width:
        words, inside = from_below(to_words(found), delta, width)
        if inside:
            found = cast_like(op(from_words(words, found), found), found)
        delta *= 2
    return found


@kernel_function
def warp_exclusive_scan(value, op, initial=None, width=32):
    """The values up to this lane's, without it, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    op : callable
        ``op(x, y)`` of two values, that of the lower lanes first; associative.
    initial : as `value`, optional
        What is before the first lane; without it, that lane's result is its own value, and means nothing.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import maximum, warp_exclusive_scan
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_exclusive_scan(x[t], maximum, 2)
    >>> x, y = np.array([1.0, 3.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([2., 2., 3., 4., 4., 5., 9., 9.])
    """
    found = warp_inclusive_scan(value, op, width)
    words, inside = from_below(to_words(found), 1, width)
    if initial is None:
        return from_words(words, found)
    first = cast_like(initial, found)
    if inside:
        return cast_like(op(first, from_words(words, found)), found)
    return first


@kernel_function
def warp_inclusive_sum(value, width=32):
    """The sum of the values up to this lane's, this one too.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_inclusive_sum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_inclusive_sum(x[t])
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:6]
    array([ 0.,  1.,  3.,  6., 10., 15.])
    """
    return warp_inclusive_scan(value, add, width)


@kernel_function
def warp_exclusive_sum(value, width=32):
    """The sum of the values up to this lane's, without it; 0 in the first lane.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_exclusive_sum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_exclusive_sum(x[t])
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:6]
    array([ 0.,  0.,  1.,  3.,  6., 10.])
    """
    found = warp_inclusive_scan(value, add, width)
    words, inside = from_below(to_words(found), 1, width)
    return from_words(words, found) if inside else cast_like(0, found)


# --- broadcast, votes -------------------------------------------------------------------------------------------------


@kernel_function
def warp_broadcast(value, lane=0, width=32):
    """One lane's value for all of its group.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
    lane : int, optional
        Whose, counted from the first of the group.
    width : int, optional
        Lanes of a group: a power of 2, at most 32.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_broadcast
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_broadcast(x[t], 3)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:3]
    array([3., 3., 3.])
    """
    return shuffle(value, lane, width)


@kernel_function
def warp_any(predicate):
    """Whether the predicate of any lane is true.

    Parameters
    ----------
    predicate : bool or number
        Of each lane; true where it is not 0.

    Returns
    -------
    answer : bool

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_any
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_any(x[t] > 30)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:3]
    array([1., 1., 1.])
    """
    return cuda.any_sync(FULL, cast_like(predicate, True))


@kernel_function
def warp_all(predicate):
    """Whether the predicates of all lanes are true.

    Parameters
    ----------
    predicate : bool or number
        Of each lane; true where it is not 0.

    Returns
    -------
    answer : bool

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_all
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_all(x[t] > 30)
    >>> x, y = np.arange(32.0), np.zeros(32)
    >>> kernel[1, 32](x, y)
    >>> y[:3]
    array([0., 0., 0.])
    """
    return cuda.all_sync(FULL, cast_like(predicate, True))


@kernel_function
def warp_ballot(predicate):
    """The lanes whose predicates are true, a bit each.

    Parameters
    ----------
    predicate : bool or number
        Of each lane; true where it is not 0.

    Returns
    -------
    lanes : uint32

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_ballot
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_ballot(x[t] % 8 == 0)
    >>> x, y = np.arange(32), np.zeros(32, np.uint32)
    >>> kernel[1, 32](x, y)
    >>> hex(y[0])
    '0x1010101'
    """
    return cast_like(cuda.ballot_sync(FULL, cast_like(predicate, True)), np.uint32(0))


def matched(typingctx, words):
    """The mask of the lanes that pass the same words."""

    def codegen(context, builder, signature, args):
        name = "llvm.nvvm.match.any.sync.i32"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(WORD, [WORD, WORD]), name)
        found = WORD(FULL)
        for word in unpack(builder, args[0], len(words)):
            found = builder.and_(found, builder.call(function, [WORD(FULL), word]))
        return found

    return types.uint32(words), codegen


def _matched(words):
    found = cast_like(FULL, np.uint32(0))
    for k in range(len(words)):
        same = cast_like(cuda.match_any_sync(FULL, words[k]), np.uint32(0))
        found = cast_like(found & same, np.uint32(0))
    return found


matched = declared(matched, _matched)


@kernel_function
def warp_match(value):
    """The lanes that have the same value as this one, a bit each.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each lane.
        The same is what has the same bits: -0.0 is not 0.0, and a NaN is itself.

    Returns
    -------
    lanes : uint32

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import warp_match
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = warp_match(x[t])
    >>> x, y = np.arange(32) % 4, np.zeros(32, np.uint32)
    >>> kernel[1, 32](x, y)
    >>> [hex(lanes) for lanes in y[:4]]
    ['0x11111111', '0x22222222', '0x44444444', '0x88888888']
    """
    return matched(to_words(value))

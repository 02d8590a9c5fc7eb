"""What the threads of a block do together: reductions, scans, broadcasts, votes.

Threads count in the order of their warps, ``x + blockDim.x * (y + blockDim.y * z)``, for blocks of one, two and three
dimensions and of any size. Values and operators are those of `kernels.device.warp`. All threads of the block call these
functions together.

A block's reduction is one of each warp, then one of the warps' results by the first warp:

    one word of 32 bits of a value takes 256 bytes of shared memory and two barriers, whatever is computed;
    a block of one warp takes neither.

They may follow one another as they are: between two that use the same memory there is a barrier of their own.

Source: NVIDIA CUB, ``BlockReduce`` and ``BlockScan``.
"""

from numba import cuda, types

from .instructions import kernel_function
from .operators import add, first_maximum, first_minimum, maximum, minimum, multiply
from .ptx import declared
from .warp import FULL, from_below, reduce_some, shuffle, shuffled, sreg, warp_inclusive_scan, warp_reduce
from .words import WORD, as_int32, cast_like, from_words, get_words, put_words, slots, to_words

# --- where a thread is ------------------------------------------------------------------------------------------------


def _in_block(name, emit, twin):
    def define(typingctx):
        return types.int32(), lambda context, builder, signature, args: emit(builder)

    define.__name__, define.__doc__ = name, twin.__doc__
    return declared(define, twin)


def _emit_index(builder):
    x, y, z, width, height = (sreg(builder, name) for name in ("tid.x", "tid.y", "tid.z", "ntid.x", "ntid.y"))
    return builder.add(x, builder.mul(width, builder.add(y, builder.mul(height, z))))


def _emit_warp(builder):
    # By a shuffle, which tells the compiler that all lanes of a warp agree: without it each shuffle behind a branch on
    # the warp was there twice, once for lanes that diverge.
    index = builder.lshr(_emit_index(builder), WORD(5))
    return builder.extract_value(shuffled(builder, 0, WORD(FULL), index, WORD(0), WORD(31)), 0)


def _emit_size(builder):
    width, height, depth = (sreg(builder, f"ntid.{axis}") for axis in "xyz")
    return builder.mul(width, builder.mul(height, depth))


def _index():
    """The number of a thread in its block: warps are 32 neighbours by it."""
    found = cuda.threadIdx.x + cuda.blockDim.x * (cuda.threadIdx.y + cuda.blockDim.y * cuda.threadIdx.z)
    return as_int32(found)


def _warp():
    """The number of a thread's warp in its block."""
    return as_int32(thread_index() >> 5)


def _size():
    """How many threads a block has."""
    return as_int32(cuda.blockDim.x * cuda.blockDim.y * cuda.blockDim.z)


thread_index, block_size = _in_block("thread_index", _emit_index, _index), _in_block("block_size", _emit_size, _size)
warp_index = _in_block("warp_index", _emit_warp, _warp)

# --- reductions -------------------------------------------------------------------------------------------------------


@kernel_function
def block_reduce(value, op, valid=1024):
    """The values of the threads, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    op : callable
        ``op(x, y)`` of two values, that of the lower threads first; associative. What it returns is cast to their type.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value : as `value`
        The same bits in all threads.

    Examples
    --------
    The logarithm of a sum of exponentials, in one pass that does not overflow:

    >>> import math
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_reduce
    >>> @cuda.jit(device=True)
    ... def merge(a, b):
    ...     largest = max(a[0], b[0])
    ...     return largest, a[1] * math.exp(a[0] - largest) + b[1] * math.exp(b[0] - largest)
    >>> @cuda.jit
    ... def log_sum_exp(x, y):
    ...     largest, total = block_reduce((x[cuda.threadIdx.x], 1.0), merge)
    ...     if cuda.threadIdx.x == 0:
    ...         y[0] = largest + math.log(total)
    >>> x, y = np.full(100, 1000.0), np.zeros(1)
    >>> log_sum_exp[1, 100](x, y)
    >>> bool(np.isclose(y[0], 1000 + np.log(100)))
    True
    """
    thread, threads, warp = thread_index(), block_size(), warp_index()
    count = as_int32(min(valid, threads))
    # Where all of the block is known to the compiler to take one way, it need not guard each shuffle.
    if count & 31 == 0 and count == threads:
        found = warp_reduce(value, op)
    else:
        found = shuffle(reduce_some(value, op, 32, count - 32 * warp), 0)
    if threads > 32:
        words = to_words(found)
        memory = slots(words)
        if thread & 31 == 0:
            put_words(memory, warp, words)
        cuda.syncthreads()
        if warp == 0:
            warps = (count + 31) >> 5
            mine = from_words(get_words(memory, min(thread, warps - 1), words), found)
            mine = reduce_some(mine, op, 32, warps)
            if thread == 0:
                put_words(memory, 32, to_words(mine))
        cuda.syncthreads()
        found = from_words(get_words(memory, 32, words), found)
    return found


@kernel_function
def block_sum(value, valid=1024):
    """The sum of the threads' values, which are numbers.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value : as `value`
        The same bits in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_sum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_sum(x[t])
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.float64(4950.0)
    """
    return block_reduce(value, add, valid)


@kernel_function
def block_prod(value, valid=1024):
    """The product of the threads' values, which are numbers.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value : as `value`
        The same bits in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_prod
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_prod(x[t])
    >>> x, y = np.where(np.arange(100) < 10, 2.0, 1.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.float64(1024.0)
    """
    return block_reduce(value, multiply, valid)


@kernel_function
def block_min(value, valid=1024):
    """The smallest of the threads' numbers; NaN where one of them is NaN.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value : as `value`
        The same bits in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_min
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_min(x[t])
    >>> x, y = np.arange(100.0) % 7 - 3, np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.float64(-3.0)
    """
    return block_reduce(value, minimum, valid)


@kernel_function
def block_max(value, valid=1024):
    """The largest of the threads' numbers; NaN where one of them is NaN.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value : as `value`
        The same bits in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_max
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_max(x[t])
    >>> x, y = np.arange(100.0) % 7 - 3, np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.float64(3.0)
    """
    return block_reduce(value, maximum, valid)


@kernel_function
def block_argmin(value, index, valid=1024):
    """The smallest of the threads' numbers and its index: of equal ones the smallest index. NaN counts as smaller.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    index : integer
        Of the value.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value, index : as `value` and `index`
        The same in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_argmin
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     value, index = block_argmin(x[t], t)
    ...     y[t] = index
    >>> x, y = np.cos(np.arange(100.0)), np.zeros(100, int)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.int64(22)
    """
    return block_reduce((value, index), first_minimum, valid)


@kernel_function
def block_argmax(value, index, valid=1024):
    """The largest of the threads' numbers and its index: of equal ones the smallest index. NaN counts as larger.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    index : integer
        Of the value.
    valid : int, optional
        How many threads, from the first on, have a value: at least 1, and the same number in all of them.

    Returns
    -------
    value, index : as `value` and `index`
        The same in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_argmax
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     value, index = block_argmax(x[t], t)
    ...     y[t] = index
    >>> x, y = np.arange(100.0) % 7, np.zeros(100, int)
    >>> kernel[1, 100](x, y)
    >>> y[0]
    np.int64(6)
    """
    return block_reduce((value, index), first_maximum, valid)


# --- scans ------------------------------------------------------------------------------------------------------------


@kernel_function
def _scanned_warps(inclusive, op):
    """What the warps before this one have in all, of a warp that is not the first, and what the block has."""
    thread, threads, warp = thread_index(), block_size(), warp_index()
    warps = (threads + 31) >> 5
    words = to_words(inclusive)
    memory = slots(words)
    if thread & 31 == 31 or thread == threads - 1:
        put_words(memory, warp, words)
    cuda.syncthreads()
    if warp == 0:
        mine = from_words(get_words(memory, min(thread, warps - 1), words), inclusive)
        put_words(memory, 32 + thread, to_words(warp_inclusive_scan(mine, op)))
    cuda.syncthreads()
    before = from_words(get_words(memory, 32 + max(warp - 1, 0), words), inclusive)
    total = from_words(get_words(memory, 32 + warps - 1, words), inclusive)
    return before, total


@kernel_function
def block_inclusive_scan_with_total(value, op):
    """`block_inclusive_scan`, and the reduction of the whole block.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    op : callable
        ``op(x, y)`` of two values, that of the lower threads first; associative.

    Returns
    -------
    value, total : as `value`
        `total` is the reduction of the whole block, the same in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_inclusive_scan_with_total, maximum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     found, total = block_inclusive_scan_with_total(x[t], maximum)
    ...     y[t] = total - found
    >>> x, y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([6., 6., 5., 5., 4., 0., 0., 0.])
    """
    found = warp_inclusive_scan(value, op)
    if block_size() <= 32:
        return found, shuffle(found, block_size() - 1)
    before, total = _scanned_warps(found, op)
    if thread_index() >= 32:
        found = cast_like(op(before, found), found)
    return found, total


@kernel_function
def block_inclusive_scan(value, op):
    """The values up to this thread's, this one too, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    op : callable
        ``op(x, y)`` of two values, that of the lower threads first; associative.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_inclusive_scan, maximum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_inclusive_scan(x[t], maximum)
    >>> x, y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([3., 3., 4., 4., 5., 9., 9., 9.])
    """
    return block_inclusive_scan_with_total(value, op)[0]


@kernel_function
def block_exclusive_scan_with_total(value, op, initial=None):
    """`block_exclusive_scan`, and the reduction of the whole block.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    op : callable
        ``op(x, y)`` of two values, that of the lower threads first; associative.
    initial : as `value`, optional
        What is before the first thread; without it, that thread's result is its own value, and means nothing.

    Returns
    -------
    value, total : as `value`
        `total` is the reduction of the whole block, the same in all threads; `initial` is not in it.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_exclusive_scan_with_total, maximum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     found, total = block_exclusive_scan_with_total(x[t], maximum, 2)
    ...     y[t] = total - found
    >>> x, y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([7., 6., 6., 5., 5., 4., 0., 0.])
    """
    thread, threads = thread_index(), block_size()
    inclusive = warp_inclusive_scan(value, op)
    found = from_words(from_below(to_words(inclusive), 1, 32)[0], inclusive)
    if threads <= 32:
        total = shuffle(inclusive, threads - 1)
    else:
        before, total = _scanned_warps(inclusive, op)
        if thread >= 32:
            found = before if thread & 31 == 0 else cast_like(op(before, found), found)
    if initial is None:
        return found, total
    first = cast_like(initial, found)
    return (cast_like(op(first, found), found) if thread > 0 else first), total


@kernel_function
def block_exclusive_scan(value, op, initial=None):
    """The values up to this thread's, without it, combined by an operator.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    op : callable
        ``op(x, y)`` of two values, that of the lower threads first; associative.
    initial : as `value`, optional
        What is before the first thread; without it, that thread's result is its own value, and means nothing.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_exclusive_scan, maximum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_exclusive_scan(x[t], maximum, 2)
    >>> x, y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]), np.zeros(8)
    >>> kernel[1, 8](x, y)
    >>> y
    array([2., 3., 3., 4., 4., 5., 9., 9.])
    """
    return block_exclusive_scan_with_total(value, op, initial)[0]


@kernel_function
def block_inclusive_sum(value):
    """The sum of the values up to this thread's, this one too.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
        A number.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_inclusive_sum
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_inclusive_sum(x[t])
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[-1]
    np.float64(4950.0)
    """
    return block_inclusive_scan_with_total(value, add)[0]


@kernel_function
def block_exclusive_sum_with_total(value):
    """`block_exclusive_sum`, and the sum of the whole block.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
        A number.

    Returns
    -------
    value, total : as `value`
        `total` is the sum of the whole block, the same in all threads.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_exclusive_sum_with_total
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     found, total = block_exclusive_sum_with_total(x[t])
    ...     y[t] = total - found
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[:3]
    array([4950., 4950., 4949.])
    """
    found, total = block_exclusive_scan_with_total(value, add)
    return (found if thread_index() > 0 else cast_like(0, found)), total


@kernel_function
def block_exclusive_sum(value):
    """The sum of the values up to this thread's, without it; 0 in the first thread.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
        A number.

    Returns
    -------
    value : as `value`

    Examples
    --------
    Each thread keeps what is positive, and finds where to put it:

    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_exclusive_sum
    >>> @cuda.jit
    ... def compact(x, y):
    ...     t = cuda.threadIdx.x
    ...     keep = x[t] > 0
    ...     place = block_exclusive_sum(1 if keep else 0)
    ...     if keep:
    ...         y[place] = x[t]
    >>> x, y = np.array([3, -1, 4, -1, -5, 9, 2, -6]), np.zeros(4, int)
    >>> compact[1, 8](x, y)
    >>> y
    array([3, 4, 9, 2])
    """
    return block_exclusive_sum_with_total(value)[0]


# --- broadcast, votes -------------------------------------------------------------------------------------------------


@kernel_function
def block_broadcast(value, thread=0):
    """One thread's value for all of the block.

    Parameters
    ----------
    value : number, NumPy scalar or tuple of these
        Of each thread.
    thread : int, optional
        Whose; the same number in all threads.

    Returns
    -------
    value : as `value`

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_broadcast
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_broadcast(x[t], 77)
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[:3]
    array([77., 77., 77.])
    """
    words = to_words(value)
    memory = slots(words)
    cuda.syncthreads()
    if thread_index() == thread:
        put_words(memory, 32, words)
    cuda.syncthreads()
    return from_words(get_words(memory, 32, words), value)


@kernel_function
def block_any(predicate):
    """Whether the predicate of any thread is true. A barrier.

    Parameters
    ----------
    predicate : bool or number
        Of each thread; true where it is not 0.

    Returns
    -------
    answer : bool

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_any
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_any(x[t] > 98)
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[:3]
    array([1., 1., 1.])
    """
    return cuda.syncthreads_or(as_int32(cast_like(predicate, True))) != 0


@kernel_function
def block_all(predicate):
    """Whether the predicates of all threads are true. A barrier.

    Parameters
    ----------
    predicate : bool or number
        Of each thread; true where it is not 0.

    Returns
    -------
    answer : bool

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_all
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_all(x[t] > 98)
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[:3]
    array([0., 0., 0.])
    """
    return cuda.syncthreads_and(as_int32(cast_like(predicate, True))) != 0


@kernel_function
def block_count(predicate):
    """How many threads' predicates are true. A barrier.

    Parameters
    ----------
    predicate : bool or number
        Of each thread; true where it is not 0.

    Returns
    -------
    count : int32

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_count
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     y[t] = block_count(x[t] > 90)
    >>> x, y = np.arange(100.0), np.zeros(100)
    >>> kernel[1, 100](x, y)
    >>> y[:3]
    array([9., 9., 9.])
    """
    return cuda.syncthreads_count(as_int32(cast_like(predicate, True)))

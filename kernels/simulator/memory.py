"""Shared memory of a block: where its arrays lie.

One function for both engines; compiled threads call it by its address. An array belongs to the place in the kernel
that asks for it: every thread of a block gets the same memory there, and two places never share.
"""

import ctypes

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from . import compat
from . import state as S
from .jit import c_function, jit

#: What memory holds that nobody wrote: NaN as a float, and no small index as an integer.
POISON = 0xFF


@intrinsic
def words(typing_context, address, count):
    """The row of a table at an address, as an array that nothing counts references to."""
    row = types.Array(types.int64, 1, "C")

    def emit(context, builder, signature, arguments):
        array = arrayobj.make_array(row)(context, builder)
        size = context.cast(builder, arguments[1], signature.args[1], types.intp)
        eight = context.get_constant(types.intp, 8)
        data = builder.inttoptr(arguments[0], array.data.type)
        arrayobj.populate_array(array, data, [size], [eight], eight, None)
        return array._getvalue()

    return row(address, types.intp if isinstance(count, types.Literal) else count), emit


@intrinsic
def table(typing_context, address, count, width):
    """A table of rows of words at an address, likewise."""
    rows = types.Array(types.int64, 2, "C")

    def emit(context, builder, signature, arguments):
        array = arrayobj.make_array(rows)(context, builder)
        eight = context.get_constant(types.intp, 8)
        strides = [builder.mul(arguments[2], eight), eight]
        data = builder.inttoptr(arguments[0], array.data.type)
        arrayobj.populate_array(array, data, arguments[1:], strides, eight, None)
        return array._getvalue()

    return rows(types.intp, types.intp, types.intp), emit


@intrinsic
def _poison(typing_context, address, count):
    """Fill bytes with what nobody wrote."""

    def emit(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], cgutils.voidptr_t)
        cgutils.memset(builder, pointer, arguments[1], POISON)
        return context.get_dummy_value()

    return types.void(address, count), emit


@jit
def place_array(address, site, nbytes):
    """Address of a block's shared array; 0 and an error in the worker's row where it does not fit.

    Parameters
    ----------
    address : int
        Of the thread's row.
    site : int
        Place in the kernel; `state.DYNAMIC_SITE` for dynamic shared memory.
    nbytes : int
    """
    thread = words(address, S.THREAD_WORDS)
    worker = words(thread[S.WORKER], S.WORKER_WORDS)
    block = words(worker[S.BLOCKS_AT] + thread[S.SLOT] * 8 * S.BLOCK_WORDS, S.BLOCK_WORDS)
    count = block[S.SHARED_ARRAYS]
    segments = worker[S.SEGMENTS] + thread[S.SLOT] * (8 * S.SEGMENT_WORDS * S.ARRAYS)
    for k in range(count):
        at = S.SHARED_TABLE + 3 * k
        if block[at] == site:
            thread[S.SEGMENT] = segments + k * (8 * S.SEGMENT_WORDS)
            return thread[S.SHARED] + block[at + 1]
    offset = 0
    if site == S.DYNAMIC_SITE:
        nbytes = worker[S.DYNAMIC]
    else:
        offset = -(-(worker[S.DYNAMIC] + block[S.SHARED_USED]) // S.SHARED_ALIGNMENT) * S.SHARED_ALIGNMENT
        used = offset + nbytes - worker[S.DYNAMIC]
        if count == S.ARRAYS or used > S.STATIC_SHARED or offset + nbytes > S.MOST_SHARED:
            worker[S.ERROR] = S.TOO_MUCH_SHARED
            worker[S.ERROR_ADDRESS] = offset + nbytes
            return 0
        block[S.SHARED_USED] = used
    k = S.SHARED_TABLE + 3 * count
    block[k], block[k + 1], block[k + 2] = site, offset, nbytes
    block[S.SHARED_ARRAYS] = count + 1
    start = thread[S.SHARED] + offset
    _poison(start, nbytes)
    if worker[S.SEGMENTS]:
        thread[S.SEGMENT] = segments + count * (8 * S.SEGMENT_WORDS)
        segment = words(thread[S.SEGMENT], S.SEGMENT_WORDS)
        segment[S.LOWEST], segment[S.HIGHEST], segment[S.CELLS] = start, start + nbytes, 0
        segment[S.GRAIN], segment[S.SINCE], segment[S.HOME] = S.NO_CELLS, block[S.BORN], thread[S.SLOT]
        segment[S.QUICK] = 0
    return start


@c_function(types.int64(types.int64, types.int64, types.int64))
def place(address, site, nbytes):
    """`place_array` for compiled threads."""
    return place_array(address, site, nbytes)


def mail(signature):
    """How the result and the operands of a function of a whole warp lie in a thread's mail.

    Parameters
    ----------
    signature : numba.core.typing.Signature
        Of numbers and tuples of equal numbers.

    Returns
    -------
    places : list of (int, numpy.dtype, int)
        Of the result and of each operand: where it begins, at a multiple of 16 bytes, its dtype and how many it has.
    """
    found, at = [], 0
    for native in (signature.return_type, *signature.args):
        parts = list(native) if isinstance(native, types.BaseTuple) else [native]
        dtype = compat.dtype(parts[0])
        found.append((at, dtype, len(parts)))
        at += -(-len(parts) * dtype.itemsize // 16) * 16
    if at > S.MAIL_BYTES:
        raise NotImplementedError(f"operands and results of {at} bytes a lane, of which there are {S.MAIL_BYTES}")
    return found


def view(address, shape, dtype):
    """The array at an address."""
    count = int(np.prod(shape)) * dtype.itemsize
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer((ctypes.c_byte * count).from_address(address), dtype).reshape(shape)

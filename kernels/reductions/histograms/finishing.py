"""The last step of a histogram: from integers to the result's dtype and place, and to a density.

density[b] = h[b] / width[b] / sum(h)
"""

import functools
import math

import numpy as np
from numba import cuda, types

from ...device.instructions import SIMULATED, device_function, of_scalars
from ...device.memory import number, storer, unraveler
from ...device.scalar import native_type
from .binning import unsigned
from .counting import index_type
from .weighing import NEGATIVE, POSITIVE, UNDEFINED, scale_of

#: Threads of the one block that computes a density.
DENSE = 32 if SIMULATED else 512


@device_function
def _joined(high, low, scale):
    """(high + low / unit) / first / second."""
    first, second, unit = scale
    carry = np.int64(math.floor(float(low) / unit))
    rest = low - carry * np.int64(unit)
    return (float(high + carry) + float(rest) / unit) / first / second


@device_function
def _marked(marks, value):
    if marks & UNDEFINED or (marks & POSITIVE and marks & NEGATIVE):
        value = math.nan
    elif marks & POSITIVE:
        value = math.inf
    elif marks & NEGATIVE:
        value = -math.inf
    return value


@functools.cache
def _value(dtype, parts):
    """``value(b, sums, flags, scale)``: what was added up in a bin, rounded to `dtype`; a weight is so many floats."""
    rounded = number(native_type(dtype))

    @device_function
    def integer(b, sums, flags, scale):
        return rounded(sums[b])

    @device_function
    def real(b, sums, flags, scale):
        return rounded(_marked(flags[b], _joined(sums[2 * b], sums[2 * b + 1], scale)))

    @device_function
    def both(b, sums, flags, scale):
        x = _marked(flags[b] & 7, _joined(sums[4 * b], sums[4 * b + 1], scale))
        y = _marked(flags[b] >> 3, _joined(sums[4 * b + 2], sums[4 * b + 3], scale))
        return rounded(complex(x, y))

    return (integer, real, both)[parts]


@functools.lru_cache(maxsize=256)
def finish(dtype, parts, long):
    """Kernel that puts sums, rounded to `dtype`, where the result is to be."""
    index = index_type(long)
    value, offsets, store = _value(dtype, parts), unraveler(1), storer(1)

    @cuda.jit
    @of_scalars
    def finish_kernel(n, shape, strides, bits, sums, flags, limit, outs):
        i = index(cuda.grid(1))
        if i < n:
            found = value(i, sums, flags, scale_of(limit[0], bits))
            store(outs, offsets(i, shape, strides), ((found,),))

    return finish_kernel


@functools.lru_cache(maxsize=256)
def densities(dtype, parts, long):
    """Kernel of one block: sums, rounded to `dtype`, over the widths of their bins and over their own sum.

    Bins are those of a plane, whose rows have widths `rows` and whose columns have widths `columns`.
    """
    index = index_type(long)
    value, offsets, store = _value(dtype, parts), unraveler(1), storer(1)
    kind = np.dtype({"f": np.float64, "c": np.complex128, "u": np.uint64}.get(dtype.kind, np.int64))
    wide, real = number(native_type(kind)), number(types.complex128 if kind.kind == "c" else types.float64)
    word = unsigned(32)

    @cuda.jit
    @of_scalars
    def densities_kernel(n, shape, strides, bits, sums, flags, limit, width, widths, outs):
        partial = cuda.shared.array(DENSE, kind)
        thread, threads = index(cuda.threadIdx.x), index(DENSE)
        scale = scale_of(limit[0], bits)
        total = wide(0)
        i = thread
        while i < n:
            total = total + wide(value(i, sums, flags, scale))
            i = index(i + threads)
        partial[thread] = total
        reach = word(DENSE // 2)
        while reach:
            cuda.syncthreads()
            if thread < reach:
                partial[thread] += partial[thread + reach]
            reach = word(reach >> word(1))
        cuda.syncthreads()
        total = real(wide(partial[0]))
        i = thread
        while i < n:
            row, column = index(i // index(width)), index(i % index(width))
            share = real(value(i, sums, flags, scale)) / widths[0][row] / widths[1][column] / total
            store(outs, offsets(i, shape, strides), ((share,),))
            i = index(i + threads)

    return densities_kernel

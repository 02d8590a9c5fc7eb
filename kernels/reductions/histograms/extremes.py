"""The smallest and the largest sample, which decide the bins where no range is given.

Each block leaves its two numbers, and the host takes the extremes of these: it has to know them, since the edges and
the size of the result follow from them.
"""

import functools

import numpy as np
from numba import cuda

from ...device.instructions import device_function, of_scalars
from ...device.memory import number
from ...device.scalar import native_type
from .binning import unsigned
from .counting import THREADS, visitor


def kind_of(dtype):
    """The dtype in which samples are compared, which holds each of them."""
    if dtype.kind == "f":
        return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    return np.dtype(np.int64 if dtype.kind == "i" else np.uint64)


def neutral(kind):
    """Where a search for the smallest and the largest begins."""
    if kind.kind == "f":
        return kind.type(np.inf), kind.type(-np.inf)
    return kind.type(np.iinfo(kind).max), kind.type(np.iinfo(kind).min)


@functools.cache
def _extreme(kind):
    plain = number(native_type(kind))

    @device_function
    def visit(lane, context, state):
        low, high = state
        v = plain(lane[0])
        if v < low or v != v:  # NaN stays
            low = v
        if v > high or v != v:
            high = v
        return low, high

    return visit


@functools.lru_cache(maxsize=256)
def extremes(kind, samples):
    """Kernel that leaves the smallest and the largest sample of each block in ``found[2 * block]`` and the next."""
    over, word = visitor(_extreme(kind), samples), unsigned(32)

    @cuda.jit
    @of_scalars
    def extremes_kernel(place, begin, xs, found):
        lows, highs = cuda.shared.array(THREADS, kind), cuda.shared.array(THREADS, kind)
        thread, reach = word(cuda.threadIdx.x), word(THREADS // 2)
        low, high = over(place, xs, word(0), begin)
        lows[thread], highs[thread] = low, high
        while reach:
            cuda.syncthreads()
            if thread < reach:
                low, high = lows[thread + reach], highs[thread + reach]
                if low < lows[thread] or low != low:
                    lows[thread] = low
                if high > highs[thread] or high != high:
                    highs[thread] = high
            reach = word(reach >> word(1))
        if thread == 0:
            found[2 * cuda.blockIdx.y] = lows[0]
            found[2 * cuda.blockIdx.y + 1] = highs[0]

    return extremes_kernel

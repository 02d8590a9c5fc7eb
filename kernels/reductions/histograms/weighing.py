"""The kernels of weighted histograms: sums that depend on no order.

    sums[b] = sum of w[i] over all i with bin(x[i]) = b

Floats are summed in fixed point. With abs(w) < 2^m for all finite weights, and n < 2^(62 - p), a weight is cut into

    w = (high + low 2^-p + r) 2^(m - p),    high and low whole, abs(low) <= 2^p, abs(r) <= 2^(-p - 1)

and each part is summed in 64 bits, which cannot overflow. Integers add up to the same in any order, so the result is
the same for every launch, grid and engine. A bin of c weights is in error by no more than c 2^(m - 2p - 1), where p is
34 for 2^28 weights and 52 for 1024 or fewer: less than the bound c^2 2^(m - 53) of a sum in float64. Infinities and
NaN are noted beside the sums.

Shared memory adds 64 bits in two halves: the lower one answers with what was there, from which the carry follows.

Source: Demmel & Nguyen 2015, "Parallel reproducible summation", for sums cut at places that all share.
"""

import functools
import math

import numpy as np
from numba import cuda, types

from ...device.instructions import device_function, of_scalars
from ...device.memory import number
from .binning import counting_type, unsigned
from .counting import registers_of, visitor

#: Marks of a bin: it has seen a positive or negative infinity, or NaN.
POSITIVE, NEGATIVE, UNDEFINED = 1, 2, 4


def parts_of(dtype):
    """How many floats a weight has: 0 where it is an integer."""
    return {"f": 1, "c": 2}.get(dtype.kind, 0)


def limbs_of(dtype):
    """How many sums of 64 bits a bin has."""
    return max(2 * parts_of(dtype), 1)


def places(n):
    """The bits p of a part, for n weights."""
    return min(62 - max(int(n) - 1, 1).bit_length(), 52)


# --- scale ----------------------------------------------------------------------------------------------------------


@functools.cache
def _larger(parts):
    plain = number(types.float64)

    @device_function
    def visit(lane, context, largest):
        for part in (lane[0].real, lane[0].imag) if parts == 2 else (lane[0], lane[0]):
            size = abs(plain(part))
            if size > largest and size < np.inf:
                largest = size
        return largest

    return visit


@functools.lru_cache(maxsize=256)
def largest(parts, samples):
    """Kernel of the largest finite modulus of a part of any weight, in ``limit[0]``, which begins as 0."""
    over = visitor(_larger(parts), samples)

    @cuda.jit
    @of_scalars
    def largest_kernel(place, xs, limit):
        found = over(place, xs, np.uint32(0), 0.0)
        if found > 0.0:
            cuda.atomic.max(limit, 0, found)

    return largest_kernel


@device_function
def scale_of(limit, bits):
    """Two powers of two whose product takes weights below 2^bits, of which one alone could overflow, and 2^bits."""
    bits = int(bits)
    exponent = bits - math.frexp(limit)[1]
    half = exponent >> 1
    return math.ldexp(1.0, half), math.ldexp(1.0, exponent - half), math.ldexp(1.0, bits)


# --- deposits -------------------------------------------------------------------------------------------------------


@functools.cache
def _cut(parts):
    """``cut(w, scale)``: whether a weight's parts are finite, and its limbs."""
    plain, whole = number(types.float64), number(types.int64)

    @device_function
    def cut_part(value, scale):
        first, second, unit = scale
        scaled = value * first * second
        high = whole(scaled)
        low = whole(math.floor((scaled - float(high)) * unit + 0.5))
        return high, low

    @device_function
    def mark(value):
        found = 0
        if value != value:
            found = UNDEFINED
        elif value - value != 0.0:
            found = POSITIVE if value > 0.0 else NEGATIVE
        return found

    @device_function
    def cut_integer(w, scale):
        return 0, (whole(w),)

    @device_function
    def cut_real(w, scale):
        value = plain(w)
        marks = mark(value)
        return marks, cut_part(0.0 if marks else value, scale)

    @device_function
    def cut_complex(w, scale):
        real, imag = plain(w.real), plain(w.imag)
        first, second = mark(real), mark(imag)
        a, b = cut_part(0.0 if first else real, scale)
        c, d = cut_part(0.0 if second else imag, scale)
        return first | second << 3, (a, b, c, d)

    return (cut_integer, cut_real, cut_complex)[parts]


@functools.cache
def _deposit_in_columns(bin_of, parts, columns):
    word, cut, limbs = unsigned(32), _cut(parts), max(2 * parts, 1)
    low_half, high_half = number(types.uint32), number(types.uint32)

    @device_function
    def visit(lane, context, state):
        counters, column, lower, span, numbers, tables, scale, flags = context
        b = word(bin_of(lane, numbers, tables) - lower)
        if b < span:
            marks, values = cut(lane[-1], scale)
            if marks:
                cuda.atomic.or_(flags, word(b + lower), np.int32(marks))
            at = word(word(b * word(2 * limbs * columns)) + column)
            for value in values:
                low, high = word(low_half(value)), word(high_half(value >> 32))
                before = word(cuda.atomic.add(counters, at, np.uint32(low)))
                high = word(high + word(1)) if word(before + low) < low else high
                if high:
                    cuda.atomic.add(counters, word(at + word(columns)), np.uint32(high))
                at = word(at + word(2 * columns))
        return state

    return visit


@functools.cache
def _deposit(bin_of, parts, long):
    (index, nowhere), cut, limbs = counting_type(long), _cut(parts), max(2 * parts, 1)

    @device_function
    def visit(lane, context, state):
        sums, numbers, tables, scale, flags = context
        b = bin_of(lane, numbers, tables)
        if b != nowhere:
            marks, values = cut(lane[-1], scale)
            if marks:
                cuda.atomic.or_(flags, b, np.int32(marks))
            at = index(index(b) * index(limbs))
            for value in values:
                cuda.atomic.add(sums, at, value)
                at = index(at + index(1))
        return state

    return visit


@functools.lru_cache(maxsize=1024)
def weigh_in_shared(bin_of, parts, samples, copies, most):
    """Kernel that sums in shared memory, `span` bins in each pass (the first axis of the grid), with `most` threads."""
    word, limbs = unsigned(32), max(2 * parts, 1)
    over = visitor(_deposit_in_columns(bin_of, parts, copies), samples)

    @cuda.jit(max_registers=registers_of(most))
    @of_scalars
    def weigh_in_shared_kernel(place, bins, span, bits, numbers, xs, tables, limit, flags, sums):
        counters = cuda.shared.array(0, np.uint32)
        thread, threads = word(cuda.threadIdx.x), word(cuda.blockDim.x)
        lower = word(word(cuda.blockIdx.x) * span)
        k = thread
        while k < word(span * word(2 * limbs * copies)):
            counters[k] = word(0)
            k = word(k + threads)
        cuda.syncthreads()
        column = word(thread & word(copies - 1))
        scale = scale_of(limit[0], bits)
        over(place, xs, (counters, column, lower, span, numbers, tables, scale, flags), word(0))
        cuda.syncthreads()
        k = thread
        while k < word(span * word(limbs)):
            total = np.int64(0)
            for c in range(copies):
                at = word(word(k * word(2 * copies)) + word(word(word(c) + thread) & word(copies - 1)))
                total += np.int64(counters[at]) + (np.int64(counters[word(at + word(copies))]) << 32)
            goal = word(word(lower * word(limbs)) + k)
            if total and goal < word(bins * word(limbs)):
                cuda.atomic.add(sums, goal, total)
            k = word(k + threads)

    return weigh_in_shared_kernel


@functools.lru_cache(maxsize=1024)
def weigh_in_global(bin_of, parts, samples, long):
    """Kernel that sums in global memory."""
    over = visitor(_deposit(bin_of, parts, long), samples)

    @cuda.jit
    @of_scalars
    def weigh_in_global_kernel(place, bits, numbers, xs, tables, limit, flags, sums):
        scale = scale_of(limit[0], bits)
        over(place, xs, (sums, numbers, tables, scale, flags), np.uint32(0))

    return weigh_in_global_kernel

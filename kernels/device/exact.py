"""Sums without rounding, inside a kernel.

A float is an integer times a power of two, and all floats of one dtype fit into one wide fixed-point number. An
accumulator is such a number, cut into cells of 64 bits of which neighbours are 32 bits apart:

    sum = (cells[0] + cells[1] 2**32 + cells[2] 2**64 + ...) 2**origin

so that adding a float is one or two integer additions to the cells that its exponent names. Carries wait in the upper
halves of the cells, and the order of additions does not matter. The value is rounded once, at the end. The cost does
not depend on the data: exponents far apart and sums that cancel are as fast as others, and nothing is computed in
floats.

Each thread has an accumulator of its own: a column of an array of shape ``(rows(dtype), threads)`` in shared memory,
where the lanes of a warp touch different banks whatever their exponents are. The last row counts infinities and NaN: a
sum with a NaN, or with infinities of both signs, is NaN, and one with infinities of one sign is that infinity. A sum of
zeros of either sign is +0.0, as `math.fsum` has it.

Examples
--------
The exact sum of every row of a matrix, a block each::

    THREADS = 128
    ROWS = exact.rows(np.float32)
    add, rounded = exact.adder(np.float32), exact.rounder(np.float32, np.float32)

    @cuda.jit
    def row_sums(x, sums):
        cells = cuda.shared.array((ROWS, THREADS), types.int64)
        thread = cuda.threadIdx.x
        exact.clear(cells, thread)
        for column in range(thread, x.shape[1], THREADS):
            add(cells, thread, x[cuda.blockIdx.x, column])
        exact.merge(cells, 0, 1, THREADS, thread)
        if thread == 0:
            sums[cuda.blockIdx.x] = rounded(cells, 0)

Source: Neal 2015, "Fast exact summation using small and large superaccumulators", https://arxiv.org/abs/1505.05571;
Collange, Defour, Graillat & Iakymchuk 2015, "Numerical reproducibility for the parallel reduction on multi- and
many-core architectures", https://doi.org/10.1016/j.parco.2015.09.001.
"""

import functools

import numpy as np
from numba import cuda, types

u32, u64, i32, i64 = types.uint32, types.uint64, types.int32, types.int64

device_code = cuda.jit(device=True)

#: Bits of the exponent and of the fraction.
_FORMATS = {np.dtype(np.float16): (5, 10), np.dtype(np.float32): (8, 23), np.dtype(np.float64): (11, 52)}

_DIGIT = 0xFFFFFFFF

#: What an infinity of either sign and a NaN add to the last row: three counters of 20 bits or more.
_POSITIVE, _NEGATIVE, _NAN = 1, 1 << 20, 1 << 40
_COUNTER = (1 << 20) - 1


def _format(dtype):
    try:
        return _FORMATS[np.dtype(dtype)]
    except KeyError:
        raise TypeError(f"dtype must be float16, float32 or float64, got {np.dtype(dtype)}") from None


def rows(dtype, factors=1):
    """Rows of an accumulator: for sums of up to 2**63 numbers of a dtype, or of products of `factors` of them.

    Raises
    ------
    TypeError
        For other dtypes than float16, float32 and float64.
    """
    exponent_bits, fraction_bits = _format(dtype)
    bits = factors * ((1 << exponent_bits) + fraction_bits) + 63
    return -(-bits // 32) + 1


def capacity(dtype, factors=1):
    """How many additions of `raw_adder` an accumulator takes from one `carry` to the next."""
    significand = factors * (_format(dtype)[1] + 1)
    return (
        1 << 63 - (significand + 31 if _narrow(significand) else max(significand - 1, 33) if significand < 64 else 33)
    ) - 2


def _narrow(significand):
    """Whether a significand that is shifted by up to 31 bits leaves enough of one cell for carries."""
    return significand + 31 <= 55


# --- clear, carry, merge ----------------------------------------------------------------------------------------------


@device_code
def clear(cells, column):
    """Make an accumulator zero."""
    for row in range(cells.shape[0]):
        cells[row, column] = 0


@device_code
def carry(cells, column):
    """Bring all cells but the last two into 0 <= cell < 2**32; the last but one has the sign."""
    over = i64(0)
    for row in range(cells.shape[0] - 2):
        total = cells[row, column] + over
        cells[row, column] = total & i64(_DIGIT)
        over = total >> i64(32)
    cells[cells.shape[0] - 2, column] += over


@device_code
def merge(cells, first, step, count, slot):
    """Add up the accumulators of `count` threads, a power of two; all threads of a block call it together.

    Parameters
    ----------
    cells : array of int64, shape (rows, threads), in shared memory
    first, step : int
        The columns ``first``, ``first + step``, ``first + 2 * step`` ... are added to column ``first``, where a barrier
        makes the sum visible to all; what the others hold after is nothing of use.
    count : int
        How many columns; the same for all threads of the block.
    slot : int
        Which of them is the calling thread's own, ``0 <= slot < count``.
    """
    carry(cells, first + slot * step)
    cuda.syncthreads()
    if count > 1:
        pieces = u32(1)
        while u32(2) * pieces * u32(cells.shape[0]) <= count:
            pieces *= u32(2)
        length = u32(count) // pieces
        task = u32(slot)
        while task < pieces * u32(cells.shape[0]):
            row, start = task // pieces, (task % pieces) * length
            total = i64(0)
            for k in range(length):
                # Each thread begins at another column, since all rows of a column are in one bank.
                total += cells[row, first + (start + ((u32(k) + u32(slot)) & (length - u32(1)))) * step]
            cells[row, first + start * step] = total
            task += u32(count)
        cuda.syncthreads()
        row = u32(slot)
        while row < u32(cells.shape[0]) and pieces > u32(1):
            total = i64(0)
            for k in range(pieces):
                total += cells[row, first + u32(k) * length * step]
            cells[row, first] = total
            row += u32(count)
        cuda.syncthreads()


# --- add --------------------------------------------------------------------------------------------------------------


@device_code
def _add_narrow(cells, column, signed, position):
    """Add ``signed * 2**position``, of at most 24 bits, to one cell."""
    row = position >> u32(5)
    total = cells[row, column] + (i64(signed) << i64(position & u32(31)))
    cells[row, column] = total
    return total


@device_code
def _add_wide(cells, column, significand, sign, position):
    """Add ``significand * 2**position``, of at most 53 bits, to two cells; `sign` is 0 or -1."""
    row, place = position >> u32(5), position & u32(31)
    low = u32(u32(significand) << place)
    high = significand >> u64(u32(32) - place)
    # The two's complement of 96 bits, whose one is added to the lower cell.
    below = cells[row, column] + i64(low ^ u32(sign)) - sign
    above = cells[row + u32(1), column] + (i64(high) ^ sign)
    cells[row, column] = below
    cells[row + u32(1), column] = above
    return above


@device_code
def _add_words(cells, column, low, high, sign, position):
    """Add ``(low + 2**64 * high) * 2**position``, of at most 106 bits, word by word to five cells."""
    row, place = position >> u32(5), position & u32(31)
    back = u64(u32(32) - place)
    upper = (high << u64(32)) | (low >> u64(32))
    mask = u32(sign)
    cells[row, column] += i64(u32(u32(low) << place) ^ mask) - sign
    cells[row + u32(1), column] += i64(u32(low >> back) ^ mask)
    cells[row + u32(2), column] += i64(u32(upper >> back) ^ mask)
    cells[row + u32(3), column] += i64(u32(high >> back) ^ mask)
    total = cells[row + u32(4), column] + (i64((high >> u64(32)) >> back) ^ sign)
    cells[row + u32(4), column] = total
    return total


@functools.cache
def _parts(dtype):
    """``parts(bits)``: the biased exponent, the significand, and the sign as 0 or -1."""
    exponent_bits, fraction_bits = _format(dtype)
    last, one = (1 << exponent_bits) - 1, 1 << fraction_bits
    if fraction_bits > 31:

        @device_code
        def parts(bits):
            exponent = u32(u32(bits >> u64(32)) >> u32(fraction_bits - 32)) & u32(last)
            fraction = bits & u64(one - 1)
            return exponent, (fraction | u64(one)) if exponent else fraction, i64(bits) >> i64(63)
    else:

        @device_code
        def parts(bits):
            exponent = (bits >> u32(fraction_bits)) & u32(last)
            fraction = bits & u32(one - 1)
            negative = (bits >> u32(fraction_bits + exponent_bits)) & u32(1)
            return exponent, (fraction | u32(one)) if exponent else fraction, -i64(negative)

    return parts


@functools.cache
def _place(dtype, factors):
    """``place(cells, column, bits, ...)``: adds, and returns the new upper cell and whether an operand is special.

    Infinities and NaN are added like numbers: what the cells hold then does not count.
    """
    exponent_bits, fraction_bits = _format(dtype)
    parts, last = _parts(dtype), (1 << exponent_bits) - 1
    narrow = _narrow(factors * (fraction_bits + 1))
    word = u64 if fraction_bits > 31 else u32

    # A subnormal number has the exponent of the smallest normal ones, which is 1.
    @device_code
    def place(cells, column, bits):
        exponent, significand, sign = parts(word(bits))
        position = u32(max(exponent, u32(1)))
        if narrow:
            total = _add_narrow(cells, column, (i32(significand) ^ i32(sign)) - i32(sign), position)
        else:
            total = _add_wide(cells, column, u64(significand), sign, position)
        return total, exponent == u32(last)

    @device_code
    def place_product(cells, column, first, second):
        exponent, significand, sign = parts(word(first))
        other_exponent, other, other_sign = parts(word(second))
        sign ^= other_sign
        position = u32(max(exponent, u32(1)) + max(other_exponent, u32(1)))
        if narrow:
            total = _add_narrow(cells, column, (i32(significand * other) ^ i32(sign)) - i32(sign), position)
        elif fraction_bits < 32:
            total = _add_wide(cells, column, u64(significand) * u64(other), sign, position)
        else:
            low, high = _product(significand, other)
            total = _add_words(cells, column, low, high, sign, position)
        return total, (exponent == u32(last)) | (other_exponent == u32(last))

    return place if factors == 1 else place_product


@functools.cache
def raw_adder(dtype, factors=1):
    """`adder` of floats by their bits, which leaves it to the caller to `carry`, and to `note` what it returns true of.

    Of float64 the bits are uint64, else uint32.
    """
    place = _place(dtype, factors)
    if factors == 1:
        return device_code(lambda cells, column, bits: place(cells, column, bits)[1])
    return device_code(lambda cells, column, first, second: place(cells, column, first, second)[1])


@functools.cache
def noter(dtype, factors=1):
    """``note(cells, column, bits, ...)``: counts an infinity or a NaN, or a product that is one."""
    exponent_bits, fraction_bits = _format(dtype)
    parts, last, one = _parts(dtype), (1 << exponent_bits) - 1, 1 << fraction_bits
    word = u64 if fraction_bits > 31 else u32

    @device_code
    def count(cells, column, is_nan, sign):
        cells[cells.shape[0] - 1, column] |= i64(_NAN) if is_nan else i64(_NEGATIVE) if sign else i64(_POSITIVE)

    @device_code
    def note(cells, column, bits):
        exponent, significand, sign = parts(word(bits))
        if exponent == u32(last):
            count(cells, column, significand != word(one), sign)
        return False

    @device_code
    def note_product(cells, column, first, second):
        exponent, significand, sign = parts(word(first))
        other_exponent, other, other_sign = parts(word(second))
        if exponent == u32(last) or other_exponent == u32(last):
            is_nan = exponent == u32(last) and significand != word(one)
            is_nan |= other_exponent == u32(last) and other != word(one)
            count(cells, column, is_nan or significand == word(0) or other == word(0), sign ^ other_sign)
        return False

    return note if factors == 1 else note_product


@device_code
def _product(x, y):
    """The product of two integers of 64 bits: its lower and its upper half."""
    digit, half = u64(_DIGIT), u64(32)
    x0, x1, y0, y1 = x & digit, x >> half, y & digit, y >> half
    low = x0 * y0
    middle = x1 * y0 + (low >> half)
    other = x0 * y1 + (middle & digit)
    return (other << half) | (low & digit), x1 * y1 + (middle >> half) + (other >> half)


@functools.cache
def float_bits(dtype):
    """``bits(x)``: the bits of a float as an unsigned integer."""
    if np.dtype(dtype) == np.float64:
        return device_code(lambda x: u64(cuda.libdevice.double_as_longlong(x)))
    if np.dtype(dtype) == np.float32:
        return device_code(lambda x: u32(cuda.libdevice.float_as_int(x)))
    return device_code(lambda x: u32(cuda.libdevice.float2half_rn(types.float32(x))) & u32(0xFFFF))


@functools.cache
def adder(dtype, factors=1):
    """A device function that adds a float to an accumulator, or the exact product of two.

    Parameters
    ----------
    dtype : dtype
        float16, float32 or float64.
    factors : {1, 2}

    Returns
    -------
    add : device function
        ``add(cells, column, x)``, or ``add(cells, column, x, y)`` where `factors` is 2. It carries by itself.

    Raises
    ------
    TypeError
        For other dtypes.
    """
    bits, place, note = float_bits(dtype), _place(dtype, factors), noter(dtype, factors)

    @device_code
    def settle(cells, column, total):
        if not i64(-(1 << 62)) < total < i64(1 << 62):
            carry(cells, column)

    @device_code
    def add(cells, column, x):
        total, special = place(cells, column, bits(x))
        settle(cells, column, total)
        if special:
            note(cells, column, bits(x))

    @device_code
    def add_product(cells, column, x, y):
        total, special = place(cells, column, bits(x), bits(y))
        settle(cells, column, total)
        if special:
            note(cells, column, bits(x), bits(y))

    return add if factors == 1 else add_product


# --- round ------------------------------------------------------------------------------------------------------------


@functools.cache
def raw_rounder(dtype, result, factors=1):
    """`rounder` that returns the bits of the float: uint64."""
    exponent_bits, fraction_bits = _format(dtype)
    origin = -factors * ((1 << exponent_bits - 1) - 1 + fraction_bits)
    exponent_bits, fraction_bits = _format(result)
    largest = (1 << exponent_bits - 1) - 1
    smallest, precision = 1 - largest, fraction_bits + 1
    infinity = ((1 << exponent_bits) - 1) << fraction_bits
    nan, minus = infinity | 1 << fraction_bits - 1, 1 << exponent_bits + fraction_bits

    @device_code
    def special(noted):
        positive, negative = noted & i64(_COUNTER), (noted >> i64(20)) & i64(_COUNTER)
        if noted >> i64(40) or (positive and negative):
            return u64(nan)
        return u64(infinity) if positive else u64(infinity | minus)

    @device_code
    def magnitude(cells, column, row, lowest, negative):
        """A digit of the absolute value, whose lowest digit other than 0 is known."""
        if row < lowest:
            return u64(0)
        digit = u64(cells[row, column])
        if negative:
            digit ^= u64(_DIGIT)
            if row == lowest:
                digit += u64(1)
        return digit

    @device_code
    def nearest(window, more, exponent):
        """``window / 2**63 * 2**exponent`` rounded to nearest, ties to even; `more` lies below the window."""
        kept = i64(precision) if exponent >= i64(smallest) else i64(precision) - (i64(smallest) - exponent)
        if exponent > i64(largest):
            return u64(infinity)
        if kept < i64(0):
            return u64(0)
        whole = window >> u64(i64(64) - kept) if kept > i64(0) else u64(0)
        rest = window << u64(kept)
        if rest >> u64(63) and (more or rest << u64(1) != u64(0) or whole & u64(1)):
            whole += u64(1)
        if exponent >= i64(smallest):  # the leading one of `whole` adds the 1 that lacks
            whole += u64(exponent - i64(smallest)) << u64(fraction_bits)
        return whole

    @device_code
    def rounded(cells, column):
        digits = cells.shape[0] - 1
        if cells[digits, column]:
            return special(cells[digits, column])
        over, lowest = i64(0), i64(-1)
        not_zeros, not_ones = i64(-1), i64(-1)  # the highest digit that is not so
        for row in range(digits):
            total = cells[row, column] + over
            digit = total & i64(_DIGIT)
            cells[row, column] = digit
            over = total >> i64(32)
            if digit:
                not_zeros = i64(row)
                if lowest < 0:
                    lowest = i64(row)
            if digit != i64(_DIGIT):
                not_ones = i64(row)
        if lowest < 0:
            return u64(0)
        negative = over < 0
        top = max(not_ones, lowest) if negative else not_zeros
        first = magnitude(cells, column, top, lowest, negative)
        second = magnitude(cells, column, top - 1, lowest, negative)
        third = magnitude(cells, column, top - 2, lowest, negative)
        length = i64(32) - i64(cuda.clz(i32(first)))
        window = (((first << u64(32)) | second) << u64(i64(32) - length)) | (third >> u64(length))
        more = lowest < top - 2 or (third & ((u64(1) << u64(length)) - u64(1))) != u64(0)
        found = nearest(window, more, i64(32) * top + length - i64(1) + i64(origin))
        return found | u64(minus) if negative else found

    return rounded


@functools.cache
def rounder(dtype, result, factors=1):
    """A device function that rounds an accumulator once, to nearest and ties to even.

    Parameters
    ----------
    dtype, factors
        Of the `adder` that filled the accumulator.
    result : dtype
        float32 or float64, or float16 which comes as a float32.

    Returns
    -------
    rounded : device function
        ``rounded(cells, column)``: the float nearest to the sum, infinite where that is beyond the largest.

    Raises
    ------
    TypeError
        For other dtypes.
    """
    raw = raw_rounder(dtype, result, factors)
    if np.dtype(result) == np.float64:
        return device_code(lambda cells, column: cuda.libdevice.longlong_as_double(i64(raw(cells, column))))
    if np.dtype(result) == np.float32:
        return device_code(lambda cells, column: cuda.libdevice.int_as_float(i32(raw(cells, column))))
    return device_code(lambda cells, column: cuda.libdevice.half2float(types.int16(raw(cells, column))))

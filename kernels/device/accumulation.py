"""How tensor cores add products: what the twins of `tensor` and `wgmma` compute with.

Products are exact. Those of 16-bit floats and tf32 are aligned with the sum so far at the largest exponent of all, cut
off `KEPT` bits below it, added exactly, and cut off again to float32: no rounding to nearest, and no order. Infinities
and NaN are as in IEEE arithmetic, every NaN being the same. An H100 gives these bits for ``mma.sync`` and ``wgmma``, of
random operands, of wide exponents, and of special values.

Source: Fasi, Higham, Mikaitis & Pranesh 2021, "Numerical behavior of NVIDIA tensor cores",
https://doi.org/10.7717/peerj-cs.330, for what to ask of the hardware.
"""

import functools

from numba import njit

#: Bits below the largest exponent that an H100 keeps of the terms of a sum.
KEPT = 25


# --- floats as integers ---------------------------------------------------------------------------------------------

_SPECIAL = 1 << 20  # an exponent that no number has


@njit
def _parts(bits, exponent_bits, fraction_bits):
    """A float's significand with its sign, and its exponent; for an infinity and NaN `_SPECIAL` and 1, -1 and 0."""
    fraction = bits & ((1 << fraction_bits) - 1)
    exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1)
    negative = (bits >> (exponent_bits + fraction_bits)) & 1
    if exponent == (1 << exponent_bits) - 1:
        return (0 if fraction else 1 - 2 * negative), _SPECIAL
    significand = fraction + (1 << fraction_bits if exponent else 0)
    return (-significand if negative else significand), max(exponent, 1) - (1 << (exponent_bits - 1)) + 1


@njit
def _shifted(value, places):
    """An integer times a power of two, cut off towards zero."""
    if places >= 0:
        return value << places
    if places < -62:
        return 0
    return value >> -places if value >= 0 else -(-value >> -places)


@njit
def _float32_bits(value, exponent):
    """``value * 2**exponent`` as the bits of a float32, cut off towards zero; infinite where it is too large."""
    sign = 0
    if value < 0:
        sign, value = 1 << 31, -value
    if value == 0:
        return 0
    length = 0
    while value >> length:
        length += 1
    lowest = max(exponent + length - 24, -149)
    value = _shifted(value, exponent - lowest)
    if value >> 23 and lowest > 104:
        return sign | 0x7F800000
    return sign | (value + ((lowest + 149) << 23) if value >> 23 else value)


NAN = 0x7FFFFFFF


@njit
def _product(x, y, exponent_bits, fraction_bits):
    """The significand and exponent of a product of two floats by their bits."""
    x, first = _parts(x, exponent_bits, fraction_bits)
    y, second = _parts(y, exponent_bits, fraction_bits)
    if first == _SPECIAL or second == _SPECIAL:
        finite = (x == 0 and first != _SPECIAL) or (y == 0 and second != _SPECIAL)
        sign = 0 if x == 0 or y == 0 or finite else 1 if (x < 0) == (y < 0) else -1
        return sign, _SPECIAL
    return x * y, first + second


# --- sums of products -------------------------------------------------------------------------------------------------


@functools.cache
def sum_of_floats(of_left, of_right, exponent_bits, fraction_bits, together):
    """What adds `together` products to a float32 given by its bits, as an H100's tensor cores do."""

    @njit
    def add(left, right, row, column, first, sum_):
        value, top = _parts(sum_, 8, 23)
        signs = 0 if top < _SPECIAL else 1 if value > 0 else 2 if value < 0 else 3
        for k in range(first, first + together):
            x, y = of_left(left, row, k), of_right(right, column, k)
            found, exponent = _product(x, y, exponent_bits, fraction_bits)
            if exponent == _SPECIAL:
                signs |= 1 if found > 0 else 2 if found < 0 else 3
            top = max(top, exponent) if found else top
        if signs:
            return NAN if signs == 3 else 0x7F800000 | (signs >> 1) << 31
        value, exponent = _parts(sum_, 8, 23)
        total = _shifted(value, exponent - top + KEPT - 23)
        for k in range(first, first + together):
            x, y = of_left(left, row, k), of_right(right, column, k)
            found, exponent = _product(x, y, exponent_bits, fraction_bits)
            total += _shifted(found, exponent - top + KEPT - 2 * fraction_bits)
        return _float32_bits(total, top - KEPT)

    return add


@functools.cache
def sum_of_integers(of_left, of_right, first_signed, second_signed, together):
    """What adds `together` products of bytes to an int32 given by its bits, modulo 2^32."""

    @njit
    def signed(value, is_signed):
        return value - ((value & 128) << 1) if is_signed else value

    @njit
    def add(left, right, row, column, first, sum_):
        for k in range(first, first + together):
            x, y = of_left(left, row, k), of_right(right, column, k)
            sum_ += signed(x, first_signed) * signed(y, second_signed)
        return sum_ & 0xFFFFFFFF

    return add

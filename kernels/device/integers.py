"""Integer arithmetic with NumPy's answers: x // 0 = x % 0 = 0, shifts past the width, the most negative number.

Scalar functions (see `kernels.device.scalar`); x and y are of one integer dtype.
"""

import numpy as np

from .instructions import device_function
from .primitives import bit_width, population_count, quotient, residue, shift_left, shift_right


@device_function
def floor_divide_signed(x, y):
    """Quotient rounded towards minus infinity; 0 where y = 0."""
    if y == 0:
        return 0
    if y == -1:
        return -x
    q = quotient(x, y)
    if (x < 0) != (y < 0) and residue(x, y) != 0:
        return q - 1
    return q


@device_function
def floor_divide_unsigned(x, y):
    """Quotient; 0 where y = 0."""
    if y == 0:
        return 0
    return quotient(x, y)


@device_function
def remainder_signed(x, y):
    """x - y floor(x / y), with the sign of y; 0 where y = 0."""
    if y == 0 or y == -1:
        return 0
    r = residue(x, y)
    if r != 0 and (r < 0) != (y < 0):
        return r + y
    return r


@device_function
def fmod(x, y):
    """x - y trunc(x / y), with the sign of x; 0 where y = 0."""
    if y == 0:
        return 0
    if y < 0 and y + 1 == 0:
        return 0
    return residue(x, y)


@device_function
def remainder_unsigned(x, y):
    """What is left of x after whole multiples of y; 0 where y = 0."""
    if y == 0:
        return 0
    return residue(x, y)


@device_function
def divmod_signed(x, y):
    """floor(x / y) and what it leaves."""
    return np.floor_divide(x, y), np.remainder(x, y)


@device_function
def power(x, y):
    """x**y modulo 2**bits by repeated squaring; a negative y truncates the exact value to 0, 1 or -1."""
    one = x * 0 + 1
    if y < 0:
        if x == one:
            return one
        if x + 1 == 0:
            return -one if (y & 1) == 1 else one
        return x * 0
    result = one
    while y > 0:
        if (y & 1) == 1:
            result = result * x
        x = x * x
        y = shift_right(y, y * 0 + 1)
    return result


@device_function
def reciprocal(x):
    """1 / x rounded towards zero; 0 for x = 0, where NumPy's answer depends on the machine."""
    if x == 1 or (x < 0 and x + 1 == 0):
        return x
    return x * 0


@device_function
def absolute(x):
    """|x|; the most negative number stays as it is."""
    return -x if x < 0 else x


@device_function
def sign(x):
    """-1, 0 or 1."""
    if x > 0:
        return 1
    if x < 0:
        return -1
    return 0


@device_function
def left_shift(x, y):
    """x * 2**y modulo 2**bits; 0 where y is negative or not less than the number of bits."""
    if y < 0 or y >= bit_width(x):
        return x * 0
    return shift_left(x, y)


@device_function
def right_shift(x, y):
    """Floor of x / 2**y; 0 or -1 where y is negative or not less than the number of bits."""
    if y < 0 or y >= bit_width(x):
        return x * 0 - 1 if x < 0 else x * 0
    return shift_right(x, y)


@device_function
def bitwise_count(x):
    """Number of one bits of |x|."""
    return population_count(-x if x < 0 else x)


@device_function
def gcd(x, y):
    """Greatest common divisor, by Euclid's algorithm; gcd(0, 0) = 0."""
    while y != 0:
        x, y = y, np.fmod(x, y)
    return np.absolute(x)


@device_function
def lcm(x, y):
    """Least common multiple modulo 2**bits; 0 where x or y is 0."""
    g = np.gcd(x, y)
    if g == 0:
        return g
    return np.absolute(np.floor_divide(x, g)) * np.absolute(y)

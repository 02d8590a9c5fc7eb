"""Real arithmetic with NumPy's answers where libdevice has none.

Scalar functions (see `kernels.device.scalar`) of float32 and float64; float16 comes as float32 and is rounded
after. IEEE 754-2019 decides infinities, NaNs and signed zeros.
"""

import numpy as np

from .instructions import device_function
from .primitives import divide, exponent, scale


@device_function
def remainder(x, y):
    """x - y floor(x / y), with the sign of y. Exact but for the last addition."""
    r = np.fmod(x, y)
    if r == 0:
        return np.copysign(r, y)
    if (r < 0) != (y < 0):
        return r + y
    return r


@device_function
def floor_divide(x, y):
    """floor(x / y), found from the exact remainder; x / 0 is IEEE's quotient."""
    if y == 0:
        return divide(x, y)
    r = np.fmod(x, y)
    q = divide(x - r, y)
    if r != 0 and (r < 0) != (y < 0):
        q = q - 1.0
    if q == 0:
        return np.copysign(q, divide(x, y))
    whole = np.floor(q)
    if q - whole > 0.5:
        return whole + 1.0
    return whole


@device_function
def divmod_(x, y):
    """floor(x / y) and what it leaves."""
    return np.floor_divide(x, y), np.remainder(x, y)


@device_function
def reciprocal(x):
    """1 / x."""
    return 1.0 / x


@device_function
def square(x):
    """x * x."""
    return x * x


@device_function
def sign(x):
    """-1, 0 or 1; NaN stays."""
    if x > 0:
        return 1.0
    if x < 0:
        return -1.0
    return x + 0.0


@device_function
def isnan(x):
    """Whether x is not a number."""
    return x != x


@device_function
def isinf(x):
    """Whether x is an infinity of either sign."""
    return np.fabs(x) == np.inf


@device_function
def isfinite(x):
    """Whether x is neither an infinity nor NaN."""
    return np.fabs(x) < np.inf


@device_function
def signbit(x):
    """Whether the sign bit is set, that of -0.0 and of NaN too."""
    return np.copysign(1.0, x) < 0


@device_function
def maximum(x, y):
    """The larger; NaN where either is NaN."""
    return x if x >= y or np.isnan(x) else y


@device_function
def minimum(x, y):
    """The smaller; NaN where either is NaN."""
    return x if x <= y or np.isnan(x) else y


@device_function
def fmax(x, y):
    """The larger; the other where one is NaN."""
    return x if x >= y or np.isnan(y) else y


@device_function
def fmin(x, y):
    """The smaller; the other where one is NaN."""
    return x if x <= y or np.isnan(y) else y


@device_function
def degrees(x):
    """x 180 / pi."""
    return x * 57.29577951308232


@device_function
def radians(x):
    """x pi / 180."""
    return x * 0.017453292519943295


@device_function
def frexp(x):
    """m and e with x = m 2**e, 1/2 <= |m| < 1; x itself and 0 where x is 0, infinite or NaN."""
    if x == 0 or not np.isfinite(x):
        return x, 0
    e = exponent(x) + 1
    return scale(x, -e), e


@device_function
def ldexp(x, n):
    """x 2**n, rounded once. Past +-5000 every finite float has long been 0 or infinite."""
    if n > 5000:
        return scale(x, 5000)
    if n < -5000:
        return scale(x, -5000)
    return scale(x, n)


@device_function
def modf(x):
    """Fractional and whole part, both with the sign of x."""
    whole = np.trunc(x)
    if np.isinf(x):
        return np.copysign(0.0, x), x
    return np.copysign(x - whole, x), whole


@device_function
def spacing(x):
    """Distance from x to the next float away from zero, with the sign of x."""
    if not np.isfinite(x):
        return np.fabs(x) * 0.0
    if x == 0:
        return np.nextafter(np.fabs(x), np.inf)
    return np.nextafter(x, np.copysign(np.inf, x)) - x


#: float16: 11 significant bits, smallest exponent -14; all of it exact in float32.
_HALF_TINY = 5.960464477539063e-08


@device_function
def half_step(x):
    """Distance between float16s from a finite x on, away from zero."""
    if np.fabs(x) < 6.103515625e-05:
        return np.fabs(x) * 0 + _HALF_TINY
    return scale(x * 0 + 1, exponent(x) - 10)


@device_function
def nextafter_half(x, y):
    """`nextafter` of float16s that are held as float32s; 65504 + 32 rounds to infinity after.

    Of equal zeros NumPy's float16 returns `x`, and of wider dtypes, like C, `y`.
    """
    if np.isnan(x) or np.isnan(y):
        return x + y
    if x == y:
        return x
    if x == 0:
        return np.copysign(_HALF_TINY, y)
    if np.isinf(x):
        return np.copysign(65504.0, x)
    step = np.copysign(half_step(x), x)
    if (x < y) == (x > 0):
        return x + step
    if np.fabs(x) > 6.103515625e-05 and scale(x * 0 + 1, exponent(x)) == np.fabs(x):
        return x - step * 0.5
    return np.copysign(x - step, x)


@device_function
def spacing_half(x):
    """Distance from a float16 that is held as a float32 to the next one above: NumPy's spacing of float16."""
    if not np.isfinite(x):
        return np.fabs(x) * 0.0
    if x == 65504:
        return x * np.inf
    return nextafter_half(x, np.fabs(x) * 0 + np.inf) - x

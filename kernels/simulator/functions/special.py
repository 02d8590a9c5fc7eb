"""Special functions of float64 that neither Numba nor the C library has: the error function's relatives and pi's.

Error bounds hold against mpmath where the tests draw from: 4 ulp for erfcx, erfinv, erfcinv, normcdfinv, and 8 ulp
for normcdf, whose argument over sqrt(2) is carried in two parts.
"""

import math

import numpy as np

from .bits import fma
from .declare import compiled

SQRT_PI = math.sqrt(math.pi)


@compiled
def erfcx(x):
    """exp(x^2) erfc(x): the product below 10, the asymptotic series from there."""
    if x < 0.0:
        return 2.0 * _exp_square(x) - erfcx_positive(-x)
    return erfcx_positive(x)


@compiled
def erfcx_positive(x):
    """The scaled complementary error function of x >= 0, and NaN of NaN."""
    if x < 10.0:
        return _exp_square(x) * math.erfc(x)
    t = -0.5 / x / x
    s = 1.0
    for k in range(25, 0, -2):
        s = 1.0 + k * t * s
    return s / (x * SQRT_PI)


@compiled
def _exp_square(x):
    h = x * x
    y = math.exp(h)
    rest = fma(x, x, -h)
    return y if math.isinf(y) else y + y * rest


@compiled
def erfinv(x):
    """The inverse of erf."""
    a = abs(x)
    if a > 0.5:
        return math.copysign(erfcinv_small(1.0 - a), x)
    return _erfinv_near(x) if a < 0.5 or a == 0.5 else x


@compiled
def _erfinv_near(x):
    if abs(x) < 1e-9:
        return x * (0.5 * SQRT_PI)
    y = math.copysign(_guess(abs(x)), x)
    for _ in range(3):
        y = _halley(y, math.erf(y) - x)
    return y


@compiled
def _guess(x):
    # Winitzki's approximation, 2e-3.
    t = math.log1p(-x * x)
    u = 2.0 / (math.pi * 0.147) + 0.5 * t
    return math.sqrt(math.sqrt(u * u - t / 0.147) - u)


@compiled
def _halley(y, error):
    step = error * (0.5 * SQRT_PI) * math.exp(y * y)
    return y - step / (1.0 + y * step)


@compiled
def erfcinv(p):
    """The inverse of erfc."""
    if p > 1.0:
        return -erfcinv_small(2.0 - p)
    return erfcinv_small(p)


@compiled
def erfcinv_small(p):
    """The inverse of erfc for p <= 1."""
    if p >= 0.5:
        return _erfinv_near(1.0 - p)
    if p > 0.1:
        y = _guess(1.0 - p)
        for _ in range(3):
            y = _halley(y, -(math.erfc(y) - p))
        return y
    if p > 0.0:
        # Newton on log erfc(y) = log erfcx(y) - y^2, which neither underflows nor cancels.
        target = -math.log(p)
        y = math.sqrt(target - 0.5 * math.log(math.pi * target))
        for _ in range(5):
            e = erfcx_positive(y)
            y += 0.5 * SQRT_PI * e * (math.log(e) - y * y + target)
        return y
    return math.inf if p == 0.0 else math.nan


@compiled
def normcdf(x):
    """The normal distribution function, erfc(-x / sqrt(2)) / 2."""
    t = x * -0.7071067811865476
    y = math.erfc(t)
    rest = fma(x, -0.7071067811865476, -t) + x * 4.833646656726457e-17
    correction = rest * (2.0 / SQRT_PI) * math.exp(-t * t)
    return 0.5 * (y - correction if math.isfinite(correction) else y)


@compiled
def normcdfinv(p):
    """The inverse of the normal distribution function."""
    if p < 0.5:
        return -1.4142135623730951 * erfcinv_small(2.0 * p)
    return 1.4142135623730951 * erfcinv_small(2.0 * (1.0 - p))


@compiled
def sincospi(x):
    """sin(pi x) and cos(pi x): the argument is reduced exactly."""
    if math.isinf(x):
        return math.nan, math.nan
    r = np.fmod(x, 2.0)
    n = np.rint(2.0 * r)
    t = (r - 0.5 * n) * math.pi
    s, c = math.sin(t), math.cos(t)
    quarter = np.int64(n) & 3 if not math.isnan(n) else 0
    if quarter == 1:
        return c, 0.0 - s
    if quarter == 2:
        return math.copysign(s, x) if s == 0.0 else -s, -c
    if quarter == 3:
        return -c, s + 0.0
    return math.copysign(s, x) if s == 0.0 else s, c


@compiled
def sinpi(x):
    """sin(pi x)."""
    return sincospi(x)[0]


@compiled
def cospi(x):
    """cos(pi x)."""
    return sincospi(x)[1]


@compiled
def remquo(x, y):
    """The IEEE remainder of float64 `x` by `y`, and the low three bits of the quotient with its sign."""
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0.0:
        return math.nan, 0
    a = abs(y)
    r = np.fmod(abs(x), 8.0 * a) if a < 2.0**1020 else abs(x)
    q = 0
    for k in (4, 2, 1):
        if r >= k * a:
            r -= k * a
            q += k
    more = r + r > a if a < 2.0**1000 else r > 0.5 * a
    if more or (q & 1 == 1 and (r + r == a if a < 2.0**1000 else r == 0.5 * a)):
        r -= a
        q += 1
    negative = math.copysign(1.0, x) < 0.0
    q &= 7
    return -r if negative else r, -q if negative != (y < 0.0) else q


@compiled
def round_away(x):
    """Round half away from zero."""
    t = np.trunc(x)
    return t + math.copysign(1.0, x) if abs(x - t) >= 0.5 else t


@compiled
def larger(x, y):
    """The larger one; a number rather than NaN, and +0 rather than -0."""
    if math.isnan(x):
        return y
    if math.isnan(y) or x > y:
        return x
    return y if x < y or math.copysign(1.0, x) < 0.0 else x


@compiled
def smaller(x, y):
    """The smaller one; a number rather than NaN, and -0 rather than +0."""
    if math.isnan(x):
        return y
    if math.isnan(y) or x < y:
        return x
    return y if x > y or math.copysign(1.0, y) < 0.0 else x

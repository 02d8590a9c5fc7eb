"""Functions of complex scalars.

``w = f(z)`` for complex64 and complex128, written over NumPy scalars: the functions run as they stand in the
simulator and compile for the GPU through `kernels.device.scalar`. Values at infinities, NaNs and signed zeros
are those of C99 Annex G, which NumPy follows; branch cuts are continuous with the signed zero (Kahan 1987).

Errors are normwise: ``|computed - exact| <= bound * eps * |exact|``, bound about 2 (measured, in the
tests' table), for results that neither overflow nor underflow.

References
----------
Kahan 1987, "Branch cuts for complex elementary functions, or much ado about nothing's sign bit".
Hull, Fairgrieve & Tang 1997, "Implementing the complex arcsine and arccosine functions using exception
handling", ACM TOMS 23, https://doi.org/10.1145/275323.275324.
Smith 1962, "Algorithm 116: complex division"; Baudin & Smith 2012, "A robust complex division in Scilab",
https://arxiv.org/abs/1210.4539.
ISO/IEC 9899:1999, Annex G.
"""

import numpy as np

from .instructions import device_function
from .primitives import make_complex
from .special import PI, is_single, like, two_product

LN2 = 0.6931471805599453
LN10 = 2.302585092994046
#: ln 2 as the nearest float32 or float64, and what that leaves.
LN2_HIGH_32, LN2_LOW_32 = 0.6931471824645996, -1.904654299957768e-09
LN2_HIGH_64, LN2_LOW_64 = 0.6931471805599453, 2.3190468138462996e-17


@device_function
def _swap(z):
    """Mirror z in the diagonal: ``i conjugate(z)``. For odd f, ``f(iz)/i = swap(f(swap(z)))``."""
    return make_complex(z.imag, z.real)


@device_function
def _exp_limit(x):
    """Bound below which ``np.exp`` is finite."""
    return 88.0 if is_single(x) else 709.0


@device_function
def _scaled_exp(x, c, s):
    """``exp(x) * c * s`` where exp(x) alone may overflow; s is a power of two."""
    limit = _exp_limit(x)
    if not x > limit:
        return np.exp(x) * s * c
    half = np.exp(0.5 * np.fmin(x, 2 * limit))
    return c * half * (s * half) * np.exp(np.fmax(x - 2 * limit, 0.0))


# Arithmetic


@device_function
def conjugate(z):
    """Complex conjugate."""
    return make_complex(z.real, -z.imag)


@device_function
def absolute(z):
    """Modulus ``sqrt(x**2 + y**2)``, free of overflow; inf where either part is infinite."""
    return np.hypot(z.real, z.imag)


@device_function
def square(z):
    """``z * z``; the real part as (x - y)(x + y) where that is finite, without cancellation.

    Infinities and NaNs are those of the plain product, as in NumPy.
    """
    x, y = z.real, z.imag
    re = (x - y) * (x + y) + 0.0  # +0 where the squares cancel
    if not np.isfinite(re):
        re = x * x - y * y
    return make_complex(re, x * y + y * x)


@device_function
def divide(z, w):
    """Quotient, by Smith's method on scaled operands.

    Division by zero and infinite operands give what NumPy gives (each part divided by 0, no recovery of
    infinities); finite operands neither overflow nor underflow on the way, where NumPy's do.
    """
    a, b, c, d = z.real, z.imag, w.real, w.imag
    big, small, up, down = (1e37, 1e-30, 2.0**48, 2.0**-48) if is_single(a) else (1e307, 1e-290, 2.0**106, 2.0**-106)
    top = np.fmax(np.abs(a), np.abs(b))
    bottom = np.fmax(np.abs(c), np.abs(d))
    if bottom == 0 and not (np.isnan(c) or np.isnan(d)):
        return make_complex(a / np.abs(c), b / np.abs(c))
    scale = like(1.0, a)
    if top > big:
        a, b, scale = a * 0.25, b * 0.25, scale * 4.0
    elif top < small:
        a, b, scale = a * up, b * up, scale * down
    if bottom > big:
        c, d, scale = c * 0.25, d * 0.25, scale * 0.25
    elif bottom < small:
        c, d, scale = c * up, d * up, scale * up
    if np.abs(c) >= np.abs(d):
        ratio = d / c
        below = c + d * ratio
        re, im = (a + _times(b, d, c, ratio)) / below, (b - _times(a, d, c, ratio)) / below
    else:
        ratio = c / d
        below = c * ratio + d
        re, im = (_times(a, c, d, ratio) + b) / below, (_times(b, c, d, ratio) - a) / below
    return make_complex(re * scale, im * scale)


@device_function
def _times(a, c, d, ratio):
    """Multiply a by ``ratio = c / d``, unless that underflowed (Baudin & Smith 2012)."""
    if ratio == 0 and c != 0:
        return (a / d) * c
    return a * ratio


@device_function
def reciprocal(z):
    """``1 / z``, by Smith's method, scaled."""
    a, b = z.real, z.imag
    big, small, up, down = (1e37, 1e-30, 2.0**48, 0.25) if is_single(a) else (1e307, 1e-290, 2.0**106, 0.25)
    top = np.fmax(np.abs(a), np.abs(b))
    scale = like(1.0, a)
    if top > big:
        scale = scale * down
    elif top < small:
        scale = scale * up
    a, b = a * scale, b * scale
    if np.abs(b) <= np.abs(a):
        ratio = b / a
        below = a + b * ratio
        return make_complex(scale / below, -ratio / below * scale)
    ratio = a / b
    below = a * ratio + b
    return make_complex(ratio / below * scale, -scale / below)


@device_function
def sign(z):
    """``z / |z|``, 0 at 0. With one infinite part: that part's unit; with two, NaN (NumPy 2)."""
    x, y = z.real, z.imag
    if np.isinf(x) or np.isinf(y):
        if np.isinf(x) and np.isinf(y):
            return make_complex(like(np.nan, x), like(np.nan, x))
        if np.isinf(x):
            return make_complex(np.copysign(like(1.0, x), x), like(0.0, x))
        return make_complex(like(0.0, x), np.copysign(like(1.0, x), y))
    if x == 0 and y == 0:
        return make_complex(like(0.0, x), like(0.0, x))
    top = np.fmax(np.abs(x), np.abs(y))
    big, small, up = (1e37, 1e-30, 2.0**48) if is_single(x) else (1e307, 1e-290, 2.0**106)
    if top > big:
        x, y = x * 0.25, y * 0.25
    elif top < small:
        x, y = x * up, y * up
    r = np.hypot(x, y)
    return make_complex(x / r, y / r)


@device_function
def rint(z):
    """Each part rounded to the nearest integer, ties to even."""
    return make_complex(np.rint(z.real), np.rint(z.imag))


# Exponentials and logarithms


@device_function
def exp(z):
    """``e**x (cos y + i sin y)``."""
    x, y = z.real, z.imag
    if y == 0:
        return make_complex(np.exp(x), y)
    if np.isinf(x) and not np.isfinite(y):
        return make_complex(np.fmax(x, 0.0), y - y if x > 0 else np.copysign(like(0.0, y), y))
    if x == -np.inf:
        return make_complex(np.copysign(like(0.0, x), np.cos(y)), np.copysign(like(0.0, x), np.sin(y)))
    return make_complex(_scaled_exp(x, np.cos(y), 1.0), _scaled_exp(x, np.sin(y), 1.0))


@device_function
def exp2(z):
    """``2**z = 2**x (cos(y ln 2) + i sin(y ln 2))``, y ln 2 in two parts.

    Beyond 1e3 (complex64) or 1e7 (complex128) the phase has one part, and the error grows as ``|y|``.
    """
    x, y = z.real, z.imag
    if y == 0:
        return make_complex(np.exp2(x), y)
    if not (np.isfinite(x) and np.abs(y) < (1e3 if is_single(y) else 1e7)):
        return exp(make_complex(x * LN2, y * LN2))
    high, low = (LN2_HIGH_32, LN2_LOW_32) if is_single(y) else (LN2_HIGH_64, LN2_LOW_64)
    angle, rest = two_product(y, like(high, y))
    rest = rest + low * y
    cosine, sine = np.cos(angle), np.sin(angle)
    cosine, sine = cosine - rest * sine, sine + rest * cosine
    limit = 127.0 if is_single(x) else 1023.0
    if x <= limit:
        power = np.exp2(x)
        return make_complex(power * cosine, power * sine)
    half, last = np.exp2(0.5 * np.fmin(x, 2 * limit)), np.exp2(np.fmax(x - 2 * limit, 0.0))
    return make_complex(cosine * half * half * last, sine * half * half * last)


@device_function
def expm1(z):
    """``e**z - 1 = (expm1(x) cos y - 2 sin(y/2)**2) + i e**x sin y``, accurate near 0."""
    x, y = z.real, z.imag
    if y == 0:
        return make_complex(np.expm1(x), y)
    if x > _exp_limit(x) or not (np.isfinite(x) and np.isfinite(y)):
        w = exp(z)
        return make_complex(w.real - 1.0, w.imag)
    s = np.sin(0.5 * y)
    return make_complex(np.expm1(x) * np.cos(y) - 2 * (s * s), np.exp(x) * np.sin(y))


@device_function
def _log_modulus(x, y):
    """Log of |x + iy|, scaled at the ends of the range; near 1 from x**2 + y**2 - 1 in twice the digits."""
    a, b = np.fmax(np.abs(x), np.abs(y)), np.fmin(np.abs(x), np.abs(y))
    if np.isinf(a) or np.isnan(x) or np.isnan(y):
        return np.log(np.hypot(x, y))
    big, small, up, up_log = (1e38, 1e-30, 2.0**48, 48 * LN2) if is_single(x) else (1e308, 1e-290, 2.0**106, 106 * LN2)
    if a > big:
        return np.log(np.hypot(0.25 * a, 0.25 * b)) + 2 * LN2
    if a < small:
        return np.log(np.hypot(a * up, b * up)) - up_log
    if 0.5 < a < 1.5 and 0.25 < a * a + b * b < 3.0:
        p, p_low = two_product(a, a)
        q, q_low = two_product(b, b)
        s = p - 1.0
        s_low = (p - (s + 1.0)) + ((s + 1.0) - s - 1.0)
        return 0.5 * np.log1p((s + q) + (s_low + p_low + q_low))
    return np.log(np.hypot(a, b))


@device_function
def log(z):
    """``log|z| + i arg z``; branch cut along the negative real axis."""
    return make_complex(_log_modulus(z.real, z.imag), np.arctan2(z.imag, z.real))


@device_function
def log2(z):
    """``log(z) / ln 2``."""
    w = log(z)
    return make_complex(w.real * (1 / LN2), w.imag * (1 / LN2))


@device_function
def log10(z):
    """``log(z) / ln 10``."""
    w = log(z)
    return make_complex(w.real * (1 / LN10), w.imag * (1 / LN10))


@device_function
def log1p(z):
    """``log(1 + z)``, accurate near 0 (NumPy's is not)."""
    x, y = z.real, z.imag
    if np.abs(x) < 0.5 and np.abs(y) < 0.5:
        return make_complex(0.5 * np.log1p(x * (2 + x) + y * y), np.arctan2(y, 1 + x))
    return log(make_complex(1 + x, y))


@device_function
def sqrt(z):
    """Square root with real part >= 0; branch cut along the negative real axis."""
    x, y = z.real, z.imag
    if x == 0 and y == 0:
        return make_complex(like(0.0, x), y)
    if np.isinf(y):
        return make_complex(np.abs(y), y)
    if np.isinf(x):
        if x > 0:
            return make_complex(x, np.copysign(y - y, y))
        return make_complex(np.abs(y - y), np.copysign(x, y))
    top = np.fmax(np.abs(x), np.abs(y))
    big, small, up, root = (1e37, 1e-30, 2.0**48, 2.0**-24) if is_single(x) else (1e307, 1e-290, 2.0**106, 2.0**-53)
    back = like(1.0, x)
    if top > big:
        x, y, back = x * 0.0625, y * 0.0625, back * 4.0
    elif top < small:
        x, y, back = x * up, y * up, back * root
    t = np.sqrt((np.abs(x) + np.hypot(x, y)) * 0.5)
    if x >= 0:
        return make_complex(t * back, y / (2 * t) * back)
    return make_complex(np.abs(y) / (2 * t) * back, np.copysign(t, y) * back)


@device_function
def _product(z, w):
    """``z w`` where an infinite factor gives an infinite product, as C99 Annex G.5.1 recovers it."""
    a, b, c, d = z.real, z.imag, w.real, w.imag
    re, im = a * c - b * d, a * d + b * c
    if not (np.isnan(re) and np.isnan(im)):
        return make_complex(re, im)
    infinite = False
    if isinf(z):
        a, b, c, d = _boxed(a), _boxed(b), _not_nan(c), _not_nan(d)
        infinite = True
    if np.isinf(c) or np.isinf(d):
        c, d, a, b = _boxed(c), _boxed(d), _not_nan(a), _not_nan(b)
        infinite = True
    if not infinite and (np.isinf(a * c) or np.isinf(b * d) or np.isinf(a * d) or np.isinf(b * c)):
        a, b, c, d = _not_nan(a), _not_nan(b), _not_nan(c), _not_nan(d)
        infinite = True
    if infinite:
        return make_complex(np.inf * (a * c - b * d), np.inf * (a * d + b * c))
    return make_complex(re, im)


@device_function
def _boxed(x):
    """1 for an infinity, 0 for anything else, with the sign of x."""
    return np.copysign(like(1.0 if np.isinf(x) else 0.0, x), x)


@device_function
def _not_nan(x):
    """0 in place of NaN."""
    return np.copysign(like(0.0, x), x) if np.isnan(x) else x


@device_function
def power(z, w):
    """``z**w``: repeated products for integers below 100, ``exp(w log z)`` otherwise.

    ``z**0 = 1``; ``0**w`` is 0 where Re w > 0, else NaN. As NumPy's, the error grows with ``|w log z|``.
    """
    b = w.real
    one, zero = like(1.0, b), like(0.0, b)
    if b == 0 and w.imag == 0:
        return make_complex(one, zero)
    if z.real == 0 and z.imag == 0:
        if b > 0:
            return make_complex(zero, zero)
        return make_complex(like(np.nan, b), like(np.nan, b))
    if w.imag == 0 and np.abs(b) < 100 and np.floor(b) == b:
        n = int(np.abs(b))
        if n == 1 and b > 0:
            return z
        if n == 2 and b > 0:
            return z * z
        if n == 3 and b > 0:
            return z * (z * z)
        result, factor = make_complex(one, zero), z
        while n > 0:
            if n & 1:
                result = result * factor
            factor = factor * factor
            n = n >> 1
        return divide(make_complex(one, zero), result) if b < 0 else result
    return exp(_product(w, log(z)))


# Trigonometric and hyperbolic


@device_function
def sinh(z):
    """``sinh x cos y + i cosh x sin y``."""
    x, y = z.real, z.imag
    if y == 0:
        return make_complex(np.sinh(x), y)
    if not np.isfinite(y):
        return make_complex(x if x == 0 else np.abs(x) if np.isinf(x) else y - y, y - y)
    if not np.abs(x) > _exp_limit(x):
        return make_complex(np.sinh(x) * np.cos(y), np.cosh(x) * np.sin(y))
    a = np.abs(x)
    return make_complex(_scaled_exp(a, np.copysign(like(1.0, x), x) * np.cos(y), 0.5), _scaled_exp(a, np.sin(y), 0.5))


@device_function
def cosh(z):
    """``cosh x cos y + i sinh x sin y``."""
    x, y = z.real, z.imag
    if y == 0:
        return make_complex(np.cosh(x), y if np.isnan(x) else np.copysign(like(0.0, x), x) * y)
    if not np.isfinite(y):
        if x == 0:
            return make_complex(y - y, like(0.0, x))
        return make_complex(np.abs(x) if np.isinf(x) else y - y, y - y)
    if not np.abs(x) > _exp_limit(x):
        return make_complex(np.cosh(x) * np.cos(y), np.sinh(x) * np.sin(y))
    a = np.abs(x)
    return make_complex(_scaled_exp(a, np.cos(y), 0.5), _scaled_exp(a, np.copysign(like(1.0, x), x) * np.sin(y), 0.5))


@device_function
def tanh(z):
    """``(beta sinh x cosh x + i tan y) / (1 + beta sinh(x)**2)`` with beta = 1 + tan(y)**2 (Kahan 1987)."""
    x, y = z.real, z.imag
    if np.isnan(x):
        return make_complex(x, y if y == 0 else x)
    if np.isinf(x):
        twist = np.sin(2 * y) if np.isfinite(y) else y
        return make_complex(np.copysign(like(1.0, x), x), np.copysign(like(0.0, x), twist))
    if not np.isfinite(y):
        return make_complex(x if x == 0 else y - y, y - y)
    if np.abs(x) > (11.0 if is_single(x) else 22.0):
        e = np.exp(-np.abs(x))
        return make_complex(np.copysign(like(1.0, x), x), 4 * np.sin(y) * np.cos(y) * e * e)
    t, s = np.tan(y), np.sinh(x)
    beta, rho = 1 + t * t, np.sqrt(1 + s * s)
    if np.isinf(beta):
        return make_complex(rho / s, 1 / t)
    below = 1 + beta * s * s
    return make_complex(beta * rho * s / below, t / below)


@device_function
def sin(z):
    """``sin x cosh y + i cos x sinh y``."""
    return _swap(sinh(_swap(z)))


@device_function
def cos(z):
    """``cos x cosh y - i sin x sinh y``."""
    return cosh(make_complex(-z.imag, z.real))


@device_function
def tan(z):
    """``tanh(iz) / i``."""
    return _swap(tanh(_swap(z)))


# Their inverses


@device_function
def _excess(a, b, h):
    """``(h - b) / 2`` for ``h = hypot(a, b)``, without cancellation."""
    if b <= 0:
        return 0.5 * (h - b)
    return 0.5 * (a / (h + b)) * a


@device_function
def _hull(x, y):
    """Core of arcsinh on the first quadrant: ``(u, p, q)`` with Re = u, Im = atan2(p, q).

    With r, s the distances of x + iy from -i and i and ``A = (r + s)/2``, ``u = log(A + sqrt(A**2 - 1))``,
    ``p : q = y : sqrt(A**2 - y**2)``, each difference written without cancellation (Hull et al. 1997).
    """
    eps, huge = (1.1920928955078125e-07, 1e17) if is_single(x) else (2.220446049250313e-16, 1e150)
    if x > huge or y > huge or np.fmax(x, y) * eps > 1:
        return _log_modulus(x, y) + LN2, y, x
    if y == 1 and x < eps * eps:
        return np.sqrt(x), y, np.sqrt(x)
    r, s = np.hypot(x, y + 1), np.hypot(x, y - 1)
    mean = np.fmax(0.5 * (r + s), 1.0)
    near = x < eps * np.abs(y - 1)
    if mean >= 10:
        u = np.log(mean + np.sqrt((mean - 1) * (mean + 1)))
    elif near:
        if y < 1:
            u = x / np.sqrt((1 - y) * (1 + y))
        else:
            u = np.log1p((y - 1) + np.sqrt((y - 1) * (y + 1)))
    else:
        over = _excess(x, y + 1, r) + _excess(x, 1 - y, s)
        u = np.log1p(over + np.sqrt(over * (mean + 1)))
    if near:
        if y < 1:
            return u, y, np.sqrt((1 - y) * (1 + y))
        scale = 1 / (eps * eps)
        return u, y * scale, x * scale * y / np.sqrt((y - 1) * (y + 1))
    gap = _excess(x, y + 1, r) + _excess(x, y - 1, s)
    return u, y, np.sqrt(gap * (mean + y))


@device_function
def _is_tiny(x, y):
    """Whether odd functions with f'(0) = 1 return their argument."""
    return np.fmax(np.abs(x), np.abs(y)) < (1e-5 if is_single(x) else 1e-9) and x * x + y * y == 0


@device_function
def arcsinh(z):
    """Inverse hyperbolic sine; branch cuts on the imaginary axis beyond -i and i."""
    x, y = z.real, z.imag
    if np.isnan(x) or np.isnan(y):
        if np.isinf(x):
            return make_complex(x, y)
        if np.isinf(y):
            return make_complex(np.abs(y), x)
        return make_complex(x + y, y if y == 0 else x + y)
    if x == 0 and y == 0:
        return z
    u, p, q = _hull(np.abs(x), np.abs(y))
    return make_complex(np.copysign(u, x), np.copysign(np.arctan2(p, q), y))


@device_function
def arcsin(z):
    """Inverse sine; branch cuts on the real axis beyond -1 and 1."""
    return _swap(arcsinh(_swap(z)))


@device_function
def arccos(z):
    """Inverse cosine, real part in [0, pi]; branch cuts on the real axis beyond -1 and 1."""
    x, y = z.real, z.imag
    if np.isnan(x) or np.isnan(y):
        if np.isinf(x):
            return make_complex(y, -np.abs(x))
        if np.isinf(y):
            return make_complex(x, -y)
        if x == 0:
            return make_complex(like(0.5 * PI, x), y)
        return make_complex(x + y, x + y)
    u, p, q = _hull(np.abs(y), np.abs(x))
    return make_complex(np.arctan2(q, np.copysign(p, x)), -np.copysign(u, y))


@device_function
def arccosh(z):
    """Inverse hyperbolic cosine, real part >= 0; branch cut on the real axis below 1."""
    w = arccos(z)
    x, y = w.real, w.imag
    if np.isnan(x) and np.isnan(y):
        return make_complex(y, x)
    if np.isnan(x):
        return make_complex(np.abs(y), x)
    if np.isnan(y):
        return make_complex(y, y if z.real != 0 else x)
    return make_complex(np.abs(y), np.copysign(x, z.imag))


@device_function
def arctanh(z):
    """``(log(1 + z) - log(1 - z)) / 2``; branch cuts on the real axis beyond -1 and 1 (Kahan 1987)."""
    x, y = z.real, z.imag
    a, b = np.abs(x), np.abs(y)
    if y == 0 and a <= 1:
        return make_complex(np.arctanh(x), y)
    if x == 0:
        return make_complex(x, np.arctan(y))
    if np.isnan(x) or np.isnan(y):
        if np.isinf(x):
            return make_complex(np.copysign(like(0.0, x), x), y)
        if np.isinf(y):
            return make_complex(np.copysign(like(0.0, x), x), np.copysign(like(0.5 * PI, y), y))
        return make_complex(x + y, x + y)
    eps = 1.1920928955078125e-07 if is_single(x) else 2.220446049250313e-16
    if np.fmax(a, b) * eps > 1:
        re = like(0.0, x) if np.isinf(a) or np.isinf(b) else reciprocal(z).real
        return make_complex(np.copysign(re, x), np.copysign(like(0.5 * PI, y), y))
    if _is_tiny(x, y):
        return z
    if a == 1 and b < eps:
        return make_complex(np.copysign(0.5 * (LN2 - np.log(b)), x), np.copysign(0.5 * np.arctan2(like(2.0, b), -b), y))
    d = 1 - a
    re = 0.25 * np.log1p(4 * (a / (d * d + b * b)))
    im = 0.5 * np.arctan2(2 * b, d * (1 + a) - b * b)
    return make_complex(np.copysign(re, x), np.copysign(im, y))


@device_function
def arctan(z):
    """``arctanh(iz) / i``; branch cuts on the imaginary axis beyond -i and i."""
    return _swap(arctanh(_swap(z)))


# Comparison: lexicographic, and false where an imaginary part that decides nothing is NaN, as in NumPy


@device_function
def equal(z, w):
    """Both parts equal."""
    return z.real == w.real and z.imag == w.imag


@device_function
def not_equal(z, w):
    """Any part different."""
    return z.real != w.real or z.imag != w.imag


@device_function
def greater(z, w):
    """Lexicographic >."""
    ordered = not (np.isnan(z.imag) or np.isnan(w.imag))
    return (z.real > w.real and ordered) or (z.real == w.real and z.imag > w.imag)


@device_function
def greater_equal(z, w):
    """Lexicographic >=."""
    ordered = not (np.isnan(z.imag) or np.isnan(w.imag))
    return (z.real > w.real and ordered) or (z.real == w.real and z.imag >= w.imag)


@device_function
def less(z, w):
    """Lexicographic <."""
    return greater(w, z)


@device_function
def less_equal(z, w):
    """Lexicographic <=."""
    return greater_equal(w, z)


@device_function
def isnan(z):
    """Either part NaN."""
    return np.isnan(z.real) or np.isnan(z.imag)


@device_function
def isinf(z):
    """Either part infinite."""
    return np.isinf(z.real) or np.isinf(z.imag)


@device_function
def isfinite(z):
    """Both parts finite."""
    return np.isfinite(z.real) and np.isfinite(z.imag)


@device_function
def maximum(z, w):
    """Lexicographic maximum; the first NaN wins."""
    return z if isnan(z) or greater_equal(z, w) else w


@device_function
def minimum(z, w):
    """Lexicographic minimum; the first NaN wins."""
    return z if isnan(z) or less_equal(z, w) else w


@device_function
def fmax(z, w):
    """Lexicographic maximum; the number wins over NaN."""
    return z if isnan(w) or greater_equal(z, w) else w


@device_function
def fmin(z, w):
    """Lexicographic minimum; the number wins over NaN."""
    return z if isnan(w) or less_equal(z, w) else w


@device_function
def logical_not(z):
    """Whether z is 0."""
    return z.real == 0 and z.imag == 0


@device_function
def logical_and(z, w):
    """Whether neither is 0."""
    return not (logical_not(z) or logical_not(w))


@device_function
def logical_or(z, w):
    """Whether one is not 0."""
    return not (logical_not(z) and logical_not(w))


@device_function
def logical_xor(z, w):
    """Whether exactly one is 0."""
    return logical_not(z) != logical_not(w)


#: NumPy's ufunc -> the function of complex scalars.
FUNCTIONS = {
    getattr(np, f.__name__): f
    for f in (
        conjugate, absolute, square, divide, reciprocal, sign, rint,
        exp, exp2, expm1, log, log2, log10, log1p, sqrt, power,
        sin, cos, tan, sinh, cosh, tanh, arcsin, arccos, arctan, arcsinh, arccosh, arctanh,
        equal, not_equal, greater, greater_equal, less, less_equal, maximum, minimum, fmax, fmin,
        isnan, isinf, isfinite, logical_not, logical_and, logical_or, logical_xor,
    )
}  # fmt: skip

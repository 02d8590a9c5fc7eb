"""Exact values of the functions, by mpmath: what `accuracy` measures errors against.

An expression is written so that it does not cancel, or cancels less than the digits to spare: `PRECISION` bits are
four float64 significands. Polynomials and remainders are computed with so many bits that nothing is rounded. Results
that no dtype has, beyond e^100000 or below e^-100000, are infinity and zero.
"""

import mpmath as mp
import numpy as np
from scipy import special

#: Bits of the significand.
PRECISION = 256

#: Bits that hold any product of three float64 numbers, and sums of such products, without rounding.
UNROUNDED = 7000

LARGE = 100_000


def exp(x):
    """e^x, of real numbers infinite or zero where no dtype reaches."""
    if isinstance(x, mp.mpf) and abs(x) > LARGE:
        return mp.inf if x > 0 else mp.mpf(0)
    return mp.exp(x)


def power(x, y):
    """x^y; of a negative x for whole y."""
    if isinstance(x, mp.mpc):
        with mp.extraprec(max(0, mp.mag(y)) + 16):
            return mp.exp(y * mp.log(x))
    if x < 0:
        return power(-x, y) * (1 - 2 * (int(y) % 2)) if mp.isint(y) else mp.nan
    return exp(y * mp.log(x))


def exp2(x):
    """2^x."""
    with mp.extraprec(max(0, mp.mag(x)) if isinstance(x, mp.mpc) else 0):
        return exp(x * mp.ln2)


def expm1(x):
    """e^x - 1."""
    return mp.expm1(x) if abs(x) < 1 else exp(x) - 1


def log1pexp(x):
    """ln(1 + e^x)."""
    return x + mp.log1p(exp(-x)) if x > 0 else mp.log1p(exp(x))


def arctanh(z):
    """Inverse hyperbolic tangent: mpmath's subtracts logarithms, which cancels near 0."""
    if isinstance(z, mp.mpc):
        if abs(z) > 2:
            return arctanh(1 / z) + mp.mpc(0, mp.sign(z.imag) * mp.pi / 2)
        return -arctanh(-z) if z.real < 0 else mp.log1p(2 * z / (1 - z)) / 2
    return (mp.log1p(z) - mp.log1p(-z)) / 2 if abs(z) <= 1 else mp.nan


def arctan(z):
    """Inverse tangent, of complex numbers by `arctanh`."""
    if not isinstance(z, mp.mpc):
        return mp.atan(z)
    w = arctanh(mp.mpc(-z.imag, z.real))
    return mp.mpc(w.imag, -w.real)


def erfc(x):
    """Complementary error function; mpmath's fails above 10^150."""
    return exp(-x * x) * erfcx(x) if x > 1e20 else mp.erfc(x)


def erfcx(x):
    """e^(x^2) erfc x; DLMF 7.12.1 for large x."""
    if x > 1e20:
        return 1 / (x * mp.sqrt(mp.pi))
    return mp.exp(x * x) * mp.erfc(x)


def inverse(function, derivative, start):
    """Solve function(y) = x by Newton's method from SciPy's solution, whose digits double four times."""

    def solve(x):
        y = mp.mpf(float(start(float(x))))
        if not mp.isfinite(y):
            return mp.nan
        for _ in range(4):
            y -= (function(y) - x) / derivative(y)
        return y

    return solve


def ndtr(x):
    """Normal distribution function."""
    return erfc(-x / mp.sqrt(2)) / 2


def log_ndtr(x):
    """Its logarithm, by the asymptotic series' first term (DLMF 7.12.1) where that is more than enough."""
    if x > 0:
        return mp.log1p(-ndtr(-x))
    if x < -1e20:
        return -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi))
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


def gammaln(x):
    """ln |gamma(x)|."""
    return mp.loggamma(x) if x > 0 else mp.log(abs(mp.gamma(x)))


def gamma(x):
    """Gamma function; beyond 10^4 no dtype has it."""
    return mp.inf if x > 10_000 else mp.gamma(x)


def beta(a, b):
    """Beta function, in logarithms where gamma's would be too large for mpmath to be quick."""
    if min(a, b) > 0:
        return exp(betaln(a, b))
    with mp.extraprec(_bits_before_the_point(a, b)):
        return mp.beta(a, b)


def _bits_before_the_point(a, b):
    return max(0, mp.mag(a), mp.mag(b)) + 64 if a and b else 64


def betaln(a, b):
    """ln |beta(a, b)|: the logarithms of gamma cancel as far as an argument is large."""
    with mp.extraprec(_bits_before_the_point(a, b)):
        return gammaln(a) + gammaln(b) - gammaln(a + b)


def hankel(order, x):
    """J + i Y for large x (DLMF 10.17.5); terms fall to e^-2x before they rise."""
    total, term = mp.mpc(0), mp.mpc(1)
    for k in range(1, 400):
        total += term
        term *= mp.mpc(0, 4 * order**2 - (2 * k - 1) ** 2) / (8 * k * x)
        if abs(term) < mp.eps:
            break
    turned = mp.mpc(mp.cos(x), mp.sin(x)) * mp.expjpi(-mp.mpf(2 * order + 1) / 4)
    return mp.sqrt(2 / (mp.pi * x)) * turned * total


def bessel_j(order):
    """Bessel function of the first kind."""
    return lambda x: mp.besselj(order, x) if abs(x) < 200 else hankel(order, abs(x)).real * (x / abs(x)) ** order


def bessel_y(order):
    """Bessel function of the second kind."""
    return lambda x: mp.nan if x <= 0 else mp.bessely(order, x) if x < 200 else hankel(order, x).imag


def bessel_i(order, scaled=False):
    """Modified Bessel function of the first kind; DLMF 10.40.1 for large x."""

    def value(x):
        a = abs(x)
        if a < 2000:
            return mp.besseli(order, x) * (exp(-a) if scaled else 1)
        total, term = mp.mpf(0), mp.mpf(1)
        for k in range(1, 100):
            total += term
            term *= mp.mpf((2 * k - 1) ** 2 - 4 * order**2) / (8 * k * a)
        return total / mp.sqrt(2 * mp.pi * a) * (1 if scaled else exp(a)) * (mp.sign(x) ** order)

    return value


def bessel_k(order):
    """Modified Bessel function of the second kind.

    From 1 on the integral of e^(-x cosh t) cosh(order t) (DLMF 10.32.9) by the trapezoidal rule, whose error is
    e^(-pi^2 / step), and for the narrow peak of a large x e^(-2 pi^2 / (x step^2)).
    """

    def value(x):
        if x <= 0 or x > 2000:
            return mp.nan if x <= 0 else mp.mpf(0)
        if x < 1:
            return mp.besselk(order, x)
        step, total = min(mp.mpf(1) / 16, mp.mpf(1) / 4 / mp.sqrt(x)), mp.mpf(1) / 2
        for k in range(1, 200):
            t = k * step
            drop = x * 2 * mp.sinh(t / 2) ** 2
            total += mp.exp(-drop) * mp.cosh(order * t)
            if drop > 160:
                break
        return step * total * mp.exp(-x)

    return value


def log_of_sum(x, y):
    """ln(e^x + e^y)."""
    return max(x, y) + mp.log1p(exp(-abs(x - y)))


def huber(delta, r):
    """Huber's loss."""
    if delta < 0:
        return mp.nan
    return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


def pseudo_huber(delta, r):
    """delta^2 (sqrt(1 + (r / delta)^2) - 1)."""
    return r * r / (1 + mp.sqrt(1 + (r / delta) ** 2)) if delta > 0 else mp.nan


def boxcox1p(x, power):
    """((1 + x)^power - 1) / power."""
    return expm1(power * mp.log1p(x)) / power if power else mp.log1p(x)


def inv_boxcox1p(x, power):
    """(1 + power x)^(1 / power) - 1."""
    return expm1(mp.log1p(power * x) / power) if power else expm1(x)


def floor_divide(x, y):
    """floor(x / y)."""
    return mp.floor(x / y)


def remainder(x, y):
    """x - y floor(x / y)."""
    return x - y * mp.floor(x / y)


def entropy(x, y):
    """x ln(x / y)."""
    return x * mp.log(x / y) if x > 0 and y > 0 else mp.nan


def arctan2(y, x):
    """Angle of (x, y), where y is not a zero, whose sign mpmath does not keep."""
    return mp.atan2(y, x) if y else mp.nan


def angle(x):
    """Angle in the complex plane; of a real number by its sign."""
    if isinstance(x, mp.mpc):
        return mp.arg(x)
    return mp.nan if x == 0 else mp.mpf(0) if x > 0 else +mp.pi


FUNCTIONS = {
    "leaky_relu": lambda x, slope: slope * x if x < 0 else x,
    "elu": lambda x, alpha: alpha * expm1(x) if x < 0 else x,
    "gelu": lambda x: x * ndtr(x),
    "gelu_tanh": lambda x: x / (1 + exp(-2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))),
    "silu": lambda x: x / (1 + exp(-x)),
    "softplus": log1pexp,
    "sigmoid": lambda x: 1 / (1 + exp(-x)),
    "expit": lambda x: 1 / (1 + exp(-x)),
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "floor_divide": floor_divide,
    "remainder": remainder,
    "divmod": lambda x, y: (floor_divide(x, y), remainder(x, y)),
    "power": power,
    "float_power": power,
    "absolute": abs,
    "sign": lambda z: z / abs(z),
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "axpy": lambda a, x, y: a * x + y,
    "fma": lambda x, y, z: x * y + z,
    "lerp": lambda x, y, weight: x + weight * (y - x),
    "sinc": mp.sincpi,
    "angle": angle,
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "sqrt": mp.sqrt,
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "exp10": lambda x: exp(x * mp.ln10),
    "log": mp.log,
    "log2": lambda x: mp.log(x) / mp.ln2,
    "log10": lambda x: mp.log(x) / mp.ln10,
    "log1p": mp.log1p,
    "logaddexp": log_of_sum,
    "logaddexp2": lambda x, y: log_of_sum(x * mp.ln2, y * mp.ln2) / mp.ln2,
    "ldexp": lambda x, n: mp.ldexp(x, int(n)),
    "erf": mp.erf,
    "erfc": erfc,
    "erfcx": erfcx,
    "erfinv": inverse(mp.erf, lambda y: 2 * exp(-y * y) / mp.sqrt(mp.pi), special.erfinv),
    "erfcinv": inverse(erfc, lambda y: -2 * exp(-y * y) / mp.sqrt(mp.pi), special.erfcinv),
    "gamma": gamma,
    "gammaln": gammaln,
    "digamma": mp.digamma,
    "j0": bessel_j(0),
    "j1": bessel_j(1),
    "y0": bessel_y(0),
    "y1": bessel_y(1),
    "i0": bessel_i(0),
    "i1": bessel_i(1),
    "i0e": bessel_i(0, scaled=True),
    "i1e": bessel_i(1, scaled=True),
    "k0": bessel_k(0),
    "k1": bessel_k(1),
    "logit": lambda p: mp.log(p) - mp.log1p(-p) if abs(p - 0.5) > 0.25 else mp.log(p / (1 - p)),
    "log_expit": lambda x: -log1pexp(-x),
    "ndtr": ndtr,
    "log_ndtr": log_ndtr,
    "ndtri": inverse(ndtr, lambda y: exp(-y * y / 2) / mp.sqrt(2 * mp.pi), special.ndtri),
    "xlogy": lambda x, y: x * mp.log(y),
    "xlog1py": lambda x, y: x * mp.log1p(y),
    "entr": lambda x: -x * mp.log(x),
    "rel_entr": entropy,
    "kl_div": lambda x, y: entropy(x, y) - x + y,
    "exprel": lambda x: expm1(x) / x,
    "cosm1": lambda x: -2 * mp.sin(x / 2) ** 2,
    "huber": huber,
    "pseudo_huber": pseudo_huber,
    "boxcox": lambda x, power: expm1(power * mp.log(x)) / power if power else mp.log(x),
    "boxcox1p": boxcox1p,
    "inv_boxcox": lambda x, power: exp(mp.log1p(power * x) / power) if power else exp(x),
    "inv_boxcox1p": inv_boxcox1p,
    "beta": beta,
    "betaln": betaln,
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "arcsin": mp.asin,
    "arccos": mp.acos,
    "arctan": arctan,
    "arctan2": arctan2,
    "hypot": mp.hypot,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "arcsinh": mp.asinh,
    "arccosh": mp.acosh,
    "arctanh": arctanh,
    "degrees": mp.degrees,
    "rad2deg": mp.degrees,
    "radians": mp.radians,
    "deg2rad": mp.radians,
}

#: Sums that cancel as much as they like, and quotients whose last digit counts.
EXACTLY = {"add", "subtract", "multiply", "square", "axpy", "fma", "lerp", "leaky_relu"} | {
    "floor_divide", "remainder", "divmod", "huber",
}  # fmt: skip


def precision(name):
    """Bits that `values` of a function need."""
    return UNROUNDED if name in EXACTLY else PRECISION


def values(name, inputs, count=1):
    """Exact results of a function, point by point; call it within ``mpmath.workprec(precision(name))``.

    Parameters
    ----------
    name : str
        A key of `FUNCTIONS`.
    inputs : list of numpy.ndarray
        One-dimensional.
    count : int
        Number of results.

    Returns
    -------
    results : list of numpy.ndarray of object
        nan where the function is not defined, has a pole, or a real one is not real.
    """
    columns = [[_number(v) for v in x.tolist()] for x in inputs]
    real = all(x.dtype.kind != "c" for x in inputs)
    rows = [_value(FUNCTIONS[name], point, count, real) for point in zip(*columns, strict=True)]
    results = [np.empty(len(rows), object) for _ in range(count)]
    for i, row in enumerate(rows):
        for result, value in zip(results, row, strict=True):
            result[i] = value
    return results


def _number(v):
    return mp.mpc(v) if isinstance(v, complex) else mp.mpf(v)


def _value(function, point, count, real):
    try:
        found = function(*point)
    except (ValueError, ZeroDivisionError, OverflowError, mp.libmp.NoConvergence):
        return (mp.nan,) * count
    found = found if isinstance(found, tuple) else (found,)
    return tuple(mp.nan if real and isinstance(v, mp.mpc) else v for v in found)

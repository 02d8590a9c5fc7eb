"""Real special functions that the hardware's library (libdevice) lacks, or does less well.

``y = f(x)`` for float32 and float64 over NumPy scalars, with the names and conventions of `scipy.special`.
The primitives used here - erfc, erfcx, erfinv, erfcinv, gamma, gammaln - are libdevice's. Error bounds, in
units in the last place, are in the tests' table and measured against mpmath.

References
----------
DLMF: NIST Digital Library of Mathematical Functions, https://dlmf.nist.gov; 5.5, 5.11, 5.15 (gamma, digamma),
7.12, 7.17 (error functions), 10.25-10.41 (modified Bessel functions).
DiDonato & Morris 1992, "Algorithm 708", ACM TOMS 18, https://doi.org/10.1145/131766.131776 (beta).
Mächler 2012, "Accurately computing log(1 - exp(-|a|))" (log1p and expm1 in place of log and exp).
"""

import numpy as np
from scipy import special

from . import numeric
from .instructions import device_function
from .numeric import is_single, like, two_product

PI = 3.141592653589793
LN2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
#: Zeros of digamma: the nearest float32 and float64, and what they leave.
ROOT_32, ROOT_64 = (1.4616321325302124, 1.2438149938918909e-08), (1.4616321449683622, 9.549995429965697e-17)
NEGATIVE_ROOT_32 = (-0.5040830373764038, 2.911194839933548e-08)
NEGATIVE_ROOT_64 = (-0.5040830082644554, -8.15428206243813e-18)


# Logistic and exponential


@device_function
def expit(x):
    """Logistic function ``1 / (1 + exp(-x))``."""
    e = np.exp(-np.abs(x))
    return e / (1 + e) if x < 0 else 1 / (1 + e)


@device_function
def logit(p):
    """``log(p / (1 - p))``; from log1p between 1/4 and 3/4, where 2p - 1 is exact."""
    if 0.25 <= p <= 0.75:
        return np.log1p((2 * p - 1) / (1 - p))
    return np.log(p / (1 - p))


@device_function
def log_expit(x):
    """``log(expit(x)) = -softplus(-x)``."""
    e = np.log1p(np.exp(-np.abs(x)))
    return x - e if x < 0 else -e


@device_function
def softplus(x):
    """``log(1 + exp(x))``."""
    return np.fmax(x, 0.0) + np.log1p(np.exp(-np.abs(x))) if not np.isnan(x) else x


@device_function
def logaddexp(x, y):
    """``log(exp(x) + exp(y))``."""
    if x == y:
        return x + LN2
    return _larger(x, y) + np.log1p(np.exp(-np.abs(x - y)))


@device_function
def logaddexp2(x, y):
    """``log2(2**x + 2**y)``."""
    if x == y:
        return x + 1
    return _larger(x, y) + np.log1p(np.exp2(-np.abs(x - y))) * (1 / LN2)


@device_function
def _larger(x, y):
    return x if x > y else y


@device_function
def exprel(x):
    """``(exp(x) - 1) / x``, 1 at 0."""
    if x == 0:
        return like(1.0, x)
    if x > (88.0 if is_single(x) else 709.0):
        half = np.exp(0.5 * x)
        return half if np.isinf(half) else half / x * half
    return np.expm1(x) / x


@device_function
def cosm1(x):
    """``cos(x) - 1 = -2 sin(x/2)**2``."""
    s = np.sin(0.5 * x)
    return 0.0 - 2 * (s * s)


@device_function
def sinc(x):
    """``sin(pi x) / (pi x)``, 1 at 0 and exactly 0 at other integers (where `numpy.sinc` is not)."""
    if x == 0:
        return like(1.0, x)
    n = np.rint(x)
    s = np.sin(PI * (x - n))
    return (s if np.floor(0.5 * n) == 0.5 * n else -s) / (PI * x)


# Normal distribution


@device_function
def ndtr(x):
    """Distribution function of the normal law, ``erfc(-x / sqrt(2)) / 2``.

    In the lower tail ``exp(-x**2/2) erfcx(-x / sqrt(2)) / 2`` with x**2 in two parts: rounding x**2 or the
    argument of erfc would cost x**2 units in the last place.
    """
    if x < -1:
        if x < -40:
            return like(0.0, x)
        p, e = two_product(x, x)
        tail = 0.5 * np.exp(-0.5 * p) * special.erfcx(-x * SQRT_HALF)
        return tail - tail * (0.5 * e)
    return 0.5 * special.erfc(-x * SQRT_HALF)


@device_function
def log_ndtr(x):
    """``log(ndtr(x))``."""
    if x >= 0:
        return np.log1p(-ndtr(-x))
    if x > -1:
        return np.log(ndtr(x))
    return np.log(0.5 * special.erfcx(-x * SQRT_HALF)) - 0.5 * x * x


@device_function
def ndtri(p):
    """Inverse of `ndtr`: ``-sqrt(2) erfcinv(2p)``; in the middle from erfinv, where 2p - 1 is exact."""
    if 0.25 <= p <= 0.75:
        return special.erfinv(2 * p - 1) * 1.4142135623730951
    if p < 0.25:
        return special.erfcinv(2 * p) * -1.4142135623730951
    return special.erfcinv(2 * (1 - p)) * 1.4142135623730951


# Entropy


@device_function
def xlogy(x, y):
    """``x log(y)``, 0 where x = 0 and y is not NaN."""
    if x == 0 and not np.isnan(y):
        return like(0.0, x)
    return x * np.log(y)


@device_function
def xlog1py(x, y):
    """``x log(1 + y)``, 0 where x = 0 and y is not NaN."""
    if x == 0 and not np.isnan(y):
        return like(0.0, x)
    return x * np.log1p(y)


@device_function
def entr(x):
    """``-x log(x)``, 0 at 0, -inf below."""
    if x > 0:
        return -x * np.log(x)
    if x == 0:
        return like(0.0, x)
    return x if np.isnan(x) else -like(np.inf, x)


@device_function
def _log_ratio(x, y):
    """``log(x / y)`` of positive x and y."""
    ratio = x / y
    if 0.5 < ratio < 2:
        return np.log1p((x - y) / y)
    if (1e-37 if is_single(x) else 1e-307) < ratio < np.inf:
        return np.log(ratio)
    return np.log(x) - np.log(y)


@device_function
def rel_entr(x, y):
    """``x log(x / y)``; 0 where x = 0 <= y, inf outside the domain."""
    if np.isnan(x) or np.isnan(y):
        return x + y
    if x > 0 and y > 0:
        return x * _log_ratio(x, y)
    return like(0.0 if x == 0 and y >= 0 else np.inf, x)


@device_function
def kl_div(x, y):
    """``x log(x / y) - x + y``; y where x = 0 <= y, inf outside the domain.

    With ``u = (y - x)/x`` this is ``x (u - log1p(u))``, a double zero at x = y. With ``r = u/(2 + u)``,
    ``log1p(u) = 2 arctanh(r)`` and ``u - log1p(u) = u r - 2 (arctanh(r) - r)`` (DLMF 4.6.4).
    """
    if np.isnan(x) or np.isnan(y):
        return x + y
    if x > 0 and y > 0:
        d = y - x
        if 0.5 * x < y < 2 * x:
            r = d / (y + x)
            s = r * r
            return d * r - 2 * (x * r) * (s * numeric.atanh_tail(s))
        return x * _log_ratio(x, y) + d
    if x == 0 and y >= 0:
        return y
    return like(np.inf, x)


# Robust losses


@device_function
def huber(delta, r):
    """``r**2 / 2`` for ``|r| <= delta``, ``delta (|r| - delta/2)`` beyond; inf where delta < 0."""
    if delta < 0:
        return like(np.inf, r)
    a = np.abs(r)
    return 0.5 * (r * r) if a <= delta else delta * (a - 0.5 * delta)


@device_function
def pseudo_huber(delta, r):
    """``delta**2 (sqrt(1 + (r/delta)**2) - 1)``, without cancellation; inf where delta < 0."""
    if delta < 0:
        return like(np.inf, r)
    if delta == 0 or r == 0:
        return like(0.0, r)
    v = r / delta
    if np.abs(v) > 4:
        return delta * (np.hypot(delta, r) - delta)
    return r * (r / (1 + np.hypot(like(1.0, v), v)))


# Box-Cox transformations


@device_function
def boxcox(x, lmbda):
    """``(x**lmbda - 1) / lmbda``, log(x) where lmbda = 0."""
    log_x = np.log(x)
    if 1 < np.abs(lmbda * log_x) < (88.0 if is_single(x) else 709.0):
        return (np.power(x, lmbda) - 1) / lmbda
    return _boxcox(log_x, lmbda)


@device_function
def boxcox1p(x, lmbda):
    """``((1 + x)**lmbda - 1) / lmbda``, log(1 + x) where lmbda = 0."""
    return _boxcox(np.log1p(x), lmbda)


@device_function
def _boxcox(log_x, lmbda):
    y = lmbda * log_x
    if np.abs(lmbda) < 1e-19 or np.abs(y) < (1e-30 if is_single(y) else 1e-290):
        return log_x
    if y < (88.0 if is_single(y) else 709.0) or np.isinf(y):
        return np.expm1(y) / lmbda
    return np.copysign(like(1.0, y), lmbda) * np.exp(y - np.log(np.abs(lmbda))) - 1 / lmbda


@device_function
def inv_boxcox(x, lmbda):
    """``(1 + lmbda x)**(1 / lmbda)``, exp(x) where lmbda = 0."""
    if lmbda == 0:
        return np.exp(x)
    if lmbda * x == np.inf:
        return np.exp((np.log(np.abs(lmbda)) + np.log(np.abs(x))) / lmbda)
    return np.exp(np.log1p(lmbda * x) / lmbda)


@device_function
def inv_boxcox1p(x, lmbda):
    """``(1 + lmbda x)**(1 / lmbda) - 1``, expm1(x) where lmbda = 0."""
    if lmbda == 0:
        return np.expm1(x)
    y = lmbda * x
    if np.abs(y) < (1e-30 if is_single(y) else 1e-154):
        return np.expm1(x)
    if y == np.inf:
        return np.expm1((np.log(np.abs(lmbda)) + np.log(np.abs(x))) / lmbda)
    return np.expm1(np.log1p(y) / lmbda)


# Gamma, digamma, beta


@device_function
def gammasgn(x):
    """Sign of the gamma function, NaN at its poles other than 0."""
    if np.isnan(x) or x > 0:
        return x if np.isnan(x) else like(1.0, x)
    if x == 0:
        return np.copysign(like(1.0, x), x)
    n = np.floor(x)
    if n == x:
        return like(np.nan, x)
    return like(1.0, x) if np.floor(0.5 * n) == 0.5 * n else -like(1.0, x)


@device_function
def digamma(x):
    """Digamma function ``gamma'(x) / gamma(x)``; -inf at 0, inf at -0, NaN at negative integers.

    Relative accuracy at the zeros 1.4616... and -0.5040...; at the other negative ones the error is absolute.
    Elsewhere below 0 by reflection (DLMF 5.5.4), above 10 by the asymptotic series (5.11.2).
    """
    if x == 0:
        return -1 / x
    if x < 0:
        if np.abs(x + 0.5) <= 0.125:
            high, low = NEGATIVE_ROOT_32 if is_single(x) else NEGATIVE_ROOT_64
            return ((x - high) - low) * numeric.digamma_negative_root(x + 0.5)
        if x == -np.inf or np.floor(x) == x:
            return like(np.nan, x)
        return _digamma_positive(1 - x) - PI / np.tan(PI * (x - np.rint(x)))
    return _digamma_positive(x)


@device_function
def _digamma_positive(x):
    if x < 1:
        return _digamma_root(x + 1) - 1 / x
    if x < 2:
        return _digamma_root(x)
    if x < 10:
        return numeric.digamma_middle(x - 2)
    t = 1 / x
    s = t * t
    return np.log(x) - 0.5 * t - s * numeric.digamma_far(s)


@device_function
def _digamma_root(x):
    high, low = ROOT_32 if is_single(x) else ROOT_64
    return ((x - high) - low) * numeric.digamma_root(x - 1.5)


@device_function
def _stirling(x):
    """``gammaln(x) - ((x - 1/2) log(x) - x + log(2 pi)/2)`` for x >= 10 (DLMF 5.11.1)."""
    t = 1 / x
    return t * numeric.stirling_far(t * t)


@device_function
def _gammaln_step(a, b):
    """``gammaln(b) - gammaln(a + b)`` for b >= 10, 0 < a <= b: Stirling's series, large terms cancelled."""
    return _stirling(b) - _stirling(a + b) - (a + b - 0.5) * np.log1p(a / b) - a * (np.log(b) - 1)


@device_function
def betaln(a, b):
    """``log|beta(a, b)|``; inf where either is 0.

    For a, b > 0 the error is relative to ``max(1, |gammaln|)`` of the arguments and their sum. Negative
    arguments go through `gammaln`: NaN at its poles (where SciPy takes a limit).
    """
    low, high = (b, a) if b < a else (a, b)
    if low == 0 or high == 0:
        return low + high if np.isnan(low) or np.isnan(high) else like(np.inf, low)
    if low > 0 and np.isinf(high):
        return -high
    if not low > 0 or high < 10:
        return special.gammaln(low) + (special.gammaln(high) - special.gammaln(low + high))
    if low < 10:
        return special.gammaln(low) + _gammaln_step(low, high)
    ratio = low / high
    rest = _stirling(low) + _stirling(high) - _stirling(low + high)
    lead = (low - 0.5) * np.log(ratio / (1 + ratio)) - high * np.log1p(ratio)
    return -0.5 * np.log(high) + 0.9189385332046727 + rest + lead


@device_function
def beta(a, b):
    """``gamma(a) gamma(b) / gamma(a + b)``; the relative error grows as ``|betaln|`` for a or b >= 10.

    Of tiny a and b ``1/a + 1/b``, where gamma itself may be infinite.
    """
    low, high = (b, a) if b < a else (a, b)
    if 0 < low and high < 1e-20:
        return 1 / low + 1 / high
    if low > 0 and high < 10:
        return special.gamma(low) * (special.gamma(high) / special.gamma(low + high))
    if 0 < low < 10 and np.isfinite(high):
        return special.gamma(low) * np.exp(_gammaln_step(low, high))
    if low > 0:
        return np.exp(betaln(a, b))
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * np.exp(betaln(a, b))


# Modified Bessel functions


@device_function
def i0e(x):
    """``exp(-|x|) I0(x)``."""
    a = np.abs(x)
    if a <= 8:
        return numeric.i0e_near(a)
    if a <= 20:
        return numeric.i0e_middle(a - 8)
    return numeric.i0e_far(1 / a) / np.sqrt(a)


@device_function
def i1e(x):
    """``exp(-|x|) I1(x)``."""
    a = np.abs(x)
    if a <= 8:
        return x * numeric.i1e_near(a)
    if a <= 20:
        return np.copysign(numeric.i1e_middle(a - 8), x)
    return np.copysign(numeric.i1e_far(1 / a) / np.sqrt(a), x)


@device_function
def k0(x):
    """K0(x); inf at 0, NaN below."""
    if x <= 1:
        return _k0_near(x)
    return _decay(x) * numeric.k0_far(1 / x)


@device_function
def k0e(x):
    """``exp(x) K0(x)``."""
    if x <= 1:
        return np.exp(x) * _k0_near(x)
    return numeric.k0_far(1 / x) / np.sqrt(x)


@device_function
def k1(x):
    """K1(x); inf at 0, NaN below."""
    if x <= 1:
        return _k1_near(x)
    return _decay(x) * numeric.k1_far(1 / x)


@device_function
def k1e(x):
    """``exp(x) K1(x)``."""
    if x <= 1:
        return np.exp(x) * _k1_near(x)
    return numeric.k1_far(1 / x) / np.sqrt(x)


@device_function
def _decay(x):
    """``exp(-x) / sqrt(x)``."""
    return np.exp(-x) / np.sqrt(x)


@device_function
def _k0_near(x):
    """``P(x**2) - log(x) I0(x)``: two positive terms for x <= 1 (DLMF 10.31.2)."""
    y = x * x
    return numeric.k0_near(y) - np.log(x) * numeric.i0_near(y)


@device_function
def _k1_near(x):
    """``1/x + log(x) I1(x) + x Q(x**2)`` (DLMF 10.31.1)."""
    if x == 0:
        return like(np.inf, x)
    y = x * x
    return 1 / x + x * (numeric.k1_near(y) + np.log(x) * numeric.i1_near(y))


# Steps


@device_function
def heaviside(x, h0):
    """0 below 0, `h0` at 0, 1 above."""
    if np.isnan(x):
        return x
    if x == 0:
        return h0
    return like(0.0 if x < 0 else 1.0, x)


#: SciPy's (or NumPy's) ufunc -> the function of float32 or float64 scalars. In the bodies above
#: `special.gamma`, `gammaln`, `erfc`, `erfcx`, `erfinv` and `erfcinv` mean libdevice's own.
FUNCTIONS = {
    **{
        getattr(special, f.__name__): f
        for f in (
            expit, logit, log_expit, exprel, cosm1, ndtr, log_ndtr, ndtri, xlogy, xlog1py, entr, rel_entr,
            kl_div, huber, pseudo_huber, boxcox, boxcox1p, inv_boxcox, inv_boxcox1p, gammasgn, digamma,
            betaln, beta, i0e, i1e, k0, k0e, k1, k1e,
        )
    },
    **{getattr(np, f.__name__): f for f in (logaddexp, logaddexp2, heaviside)},
}  # fmt: skip

"""Real special functions against mpmath (values) and SciPy (special values), as Python in the simulator."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import special

from kernels.device import numeric
from kernels.device import special as ks
from kernels.device.instructions import SIMULATED

pytestmark = pytest.mark.skipif(not SIMULATED, reason="written for NumPy scalars on the host")

DTYPES = (np.float32, np.float64)


def call(function, *args):
    with np.errstate(all="ignore"):
        return function(*args)


def either_sign(magnitudes):
    return st.builds(lambda s, x: s * x, st.sampled_from((-1.0, 1.0)), magnitudes)


def decades(low, high):
    return st.floats(low, high).map(lambda e: 10.0**e)


def near(centre, decade):
    """Numbers at distances 1e-16 to 10**decade from `centre`."""
    return either_sign(decades(-16, decade)).map(lambda d: centre + d)


MODERATE = either_sign(decades(-8, 1.5)) | st.floats(-6, 6)
PROBABILITY = decades(-30, 0) | st.floats(0.001, 0.999) | near(0.5, -1)
POSITIVE = decades(-30, 30) | near(1.0, -1)
DIGAMMA = decades(-30, 30) | decades(-1, 1.3) | near(1.4616321449683622, -1) | near(-0.5040830082644554, -1)
BESSEL = either_sign(decades(-10, 3) | st.floats(0.1, 25))
BESSEL_K = decades(-10, 1.9) | st.floats(0.1, 25)
RATIO = st.tuples(decades(-10, 10), decades(-10, 10) | st.floats(0.3, 3), st.booleans()).map(
    lambda p: (p[0], p[0] * p[1] if p[2] else p[1])
)
SUMS = st.tuples(MODERATE, MODERATE)
INVERSE = st.tuples(decades(-3, 1), decades(-4, 0.5), st.sampled_from((-1, 1))).map(
    lambda p: (p[0] * p[2], p[1] * p[2])
)
BOX_COX = st.tuples(decades(-3, 3), either_sign(decades(-4, 0.5)))
SHAPES = st.tuples(decades(-3, 2), decades(-3, 2))


def ndtri(p):
    """Newton's method on the smaller tail, from SciPy's value."""
    tail, sign = (p, 1) if p < 0.5 else (1 - p, -1)
    x = mpf(float(special.ndtri(float(tail))))
    for _ in range(5):
        x -= (mp.ncdf(x) - tail) / mp.npdf(x)
    return sign * x


def box_cox(x, lmbda):
    return (x**lmbda - 1) / lmbda


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


#: function -> exact value, arguments. Tested to `ULPS`.
EXACT = {
    ks.expit: (lambda x: 1 / (1 + mp.exp(-x)), MODERATE),
    ks.logit: (lambda p: mp.log(p / (1 - p)), PROBABILITY),
    ks.log_expit: (lambda x: -mp.log1p(mp.exp(-x)), MODERATE),
    ks.softplus: (lambda x: mp.log1p(mp.exp(x)), MODERATE),
    ks.exprel: (lambda x: mp.expm1(x) / x, MODERATE),
    ks.cosm1: (lambda x: -2 * mp.sin(x / 2) ** 2, MODERATE),
    ks.sinc: (mp.sincpi, MODERATE | near(1.0, -1) | near(-7.0, -1)),
    ks.ndtr: (mp.ncdf, MODERATE),
    ks.log_ndtr: (lambda x: mp.log(mp.ncdf(x)) if x < 0 else mp.log1p(-mp.ncdf(-x)), MODERATE),
    ks.ndtri: (ndtri, PROBABILITY),
    ks.entr: (lambda x: -x * mp.log(x), POSITIVE),
    ks.digamma: (lambda x: mp.psi(0, x), DIGAMMA),
    ks.i0e: (lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), BESSEL),
    ks.i1e: (lambda x: mp.besseli(1, x) * mp.exp(-abs(x)), BESSEL),
    ks.k0: (lambda x: mp.besselk(0, x), BESSEL_K),
    ks.k1: (lambda x: mp.besselk(1, x), BESSEL_K),
    ks.k0e: (lambda x: mp.besselk(0, x) * mp.exp(x), BESSEL_K),
    ks.k1e: (lambda x: mp.besselk(1, x) * mp.exp(x), BESSEL_K),
    ks.xlogy: (lambda x, y: x * mp.log(y), RATIO),
    ks.xlog1py: (lambda x, y: x * mp.log1p(y), RATIO),
    ks.rel_entr: (lambda x, y: x * mp.log(x / y), RATIO),
    ks.kl_div: (lambda x, y: x * mp.log(x / y) - x + y, RATIO),
    ks.huber: (lambda d, r: r * r / 2 if r <= d else d * (r - d / 2), RATIO),
    ks.pseudo_huber: (lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1), RATIO),
    ks.boxcox: (box_cox, BOX_COX),
}
#: Bounds in units in the last place. Measured maxima over 1400 to 3500 hard points: at most 4 but for k0
#: (5.3), k1 (5.7), ndtr (5.2), log_ndtr (4.8), kl_div (4.7), k1e (4.5). ndtri (3.7) rests on
#: the host's erfcinv.
ULPS = dict.fromkeys(EXACT, 4.5) | dict.fromkeys(
    (ks.k0, ks.k1, ks.k0e, ks.k1e, ks.ndtr, ks.log_ndtr, ks.kl_div, ks.ndtri), 8.0
)

#: function -> exact value, arguments, magnitude of what is summed or exponentiated on the way: an error of a
#: few eps of it is inherent in one working precision (the result cancels, or is the exponential of it).
SCALED = {
    ks.logaddexp: (lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), SUMS, lambda w, x, y: 1 / abs(w)),
    ks.logaddexp2: (lambda x, y: mp.log(2**x + 2**y, 2), SUMS, lambda w, x, y: 1 / abs(w)),
    ks.boxcox1p: (lambda x, k: box_cox(1 + x, k), BOX_COX, lambda w, x, k: abs(k) * mp.log1p(x)),
    ks.inv_boxcox: (lambda x, k: mp.exp(mp.log(1 + k * x) / k), INVERSE, lambda w, x, k: abs(mp.log(abs(w)))),
    ks.inv_boxcox1p: (
        lambda x, k: mp.expm1(mp.log(1 + k * x) / k),
        INVERSE,
        lambda w, x, k: mp.log1p(abs(w)),
    ),
    ks.beta: (lambda a, b: mp.exp(log_beta(a, b)), SHAPES, lambda w, a, b: abs(mp.log(w))),
    ks.betaln: (
        log_beta,
        SHAPES,
        lambda w, a, b: (1 + abs(mp.loggamma(a)) + abs(mp.loggamma(b)) + abs(mp.loggamma(a + b))) / abs(w),
    ),
}

#: fitted function -> exact value, interval of its argument, as its docstring says.
FITS = {
    numeric.k0_near: (
        lambda y: mp.besselk(0, mp.sqrt(y)) + mp.log(y) / 2 * mp.besseli(0, mp.sqrt(y)),
        1e-9,
        1,
    ),
    numeric.i0_near: (lambda y: mp.besseli(0, mp.sqrt(y)), 1e-9, 1),
    numeric.k1_near: (
        lambda y: (mp.besselk(1, mp.sqrt(y)) - 1 / mp.sqrt(y) - mp.log(y) / 2 * mp.besseli(1, mp.sqrt(y))) / mp.sqrt(y),
        1e-9,
        1,
    ),
    numeric.i1_near: (lambda y: mp.besseli(1, mp.sqrt(y)) / mp.sqrt(y), 1e-9, 1),
    numeric.k0_far: (lambda t: mp.besselk(0, 1 / t) * mp.exp(1 / t) / mp.sqrt(t), 1e-3, 1),
    numeric.k1_far: (lambda t: mp.besselk(1, 1 / t) * mp.exp(1 / t) / mp.sqrt(t), 1e-3, 1),
    numeric.i0e_near: (lambda x: mp.besseli(0, x) * mp.exp(-x), 0, 8),
    numeric.i1e_near: (lambda x: mp.besseli(1, x) * mp.exp(-x) / x, 1e-6, 8),
    numeric.i0e_middle: (lambda t: mp.besseli(0, t + 8) * mp.exp(-t - 8), 0, 12),
    numeric.i1e_middle: (lambda t: mp.besseli(1, t + 8) * mp.exp(-t - 8), 0, 12),
    numeric.i0e_far: (lambda t: mp.besseli(0, 1 / t) * mp.exp(-1 / t) / mp.sqrt(t), 1e-4, 0.05),
    numeric.i1e_far: (lambda t: mp.besseli(1, 1 / t) * mp.exp(-1 / t) / mp.sqrt(t), 1e-4, 0.05),
    numeric.atanh_tail: (lambda s: (mp.atanh(mp.sqrt(s)) - mp.sqrt(s)) / mp.sqrt(s) ** 3, 1e-9, 1 / 9),
    numeric.digamma_middle: (lambda t: mp.psi(0, t + 2), 0, 8),
    numeric.digamma_root: (
        lambda t: mp.psi(0, t + 1.5) / (t + 1.5 - mp.findroot(lambda x: mp.psi(0, x), 1.46)),
        -0.5,
        0.5,
    ),
    numeric.digamma_negative_root: (
        lambda t: mp.psi(0, t - 0.5) / (t - 0.5 - mp.findroot(lambda x: mp.psi(0, x), -0.504)),
        -0.125,
        0.125,
    ),
    numeric.digamma_far: (
        lambda s: (-mp.log(s) / 2 - mp.sqrt(s) / 2 - mp.psi(0, 1 / mp.sqrt(s))) / s,
        1e-6,
        0.01,
    ),
    numeric.stirling_far: (
        lambda s: (
            (
                mp.loggamma(1 / mp.sqrt(s))
                + (1 / mp.sqrt(s) - 0.5) * mp.log(s) / 2
                + 1 / mp.sqrt(s)
                - mp.log(2 * mp.pi) / 2
            )
            / mp.sqrt(s)
        ),
        1e-6,
        0.01,
    ),
}


def error(computed, value):
    """Error in units in the last place of the exact value."""
    if not np.isfinite(computed):
        return np.inf
    ulp = mpf(2) ** mp.floor(mp.log(abs(value), 2)) * mpf(float(np.finfo(computed.dtype).eps))
    return float(abs(mpf(float(computed)) - value) / ulp)


def exact_value(function, args, dtype):
    """The value at these arguments, or None where it is not a normal number or has no digits left."""
    try:
        value = function(*(mpf(float(x)) for x in args))
    except (ZeroDivisionError, ValueError):
        return None
    info = np.finfo(dtype)
    if isinstance(value, mp.mpc) or not mpf(float(info.tiny)) < abs(value) < mpf(float(info.max)):
        return None
    return value


def drawn(data, strategy, dtype):
    args = data.draw(strategy)
    return tuple(dtype(x) for x in (args if isinstance(args, tuple) else (args,)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", EXACT, ids=lambda f: f.__name__)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_function_is_within_its_bound_of_the_exact_value(function, dtype, data):
    exact, strategy = EXACT[function]
    args = drawn(data, strategy, dtype)
    with mp.workprec(300):
        value = exact_value(exact, args, dtype)
        if value is None:
            return
        result = call(function, *args)
        assert result.dtype == dtype
        assert error(result, value) <= ULPS[function], args


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", SCALED, ids=lambda f: f.__name__)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_an_error_grows_only_with_what_cancels(function, dtype, data):
    exact, strategy, scale = SCALED[function]
    args = drawn(data, strategy, dtype)
    with mp.workprec(300):
        value = exact_value(exact, args, dtype)
        if value is None:
            return
        result = call(function, *args)
        assert result.dtype == dtype
        assert error(result, value) <= 6 + 6 * float(scale(value, *(mpf(float(x)) for x in args))), args


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fit", FITS, ids=lambda f: f.__name__)
def test_a_fitted_function_is_correct_to_its_digits(fit, dtype):
    exact, low, high = FITS[fit]
    eps = float(np.finfo(dtype).eps)
    with mp.workprec(300):
        for x in np.linspace(low, high, 41, dtype=dtype)[1:-1]:
            value = exact(mpf(float(x)))
            assert abs(mpf(float(fit(x))) - value) <= 4 * eps * abs(value), x


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=100, deadline=None)
@given(x=st.floats(-100, -0.7))
def test_digamma_below_zero_is_absolutely_accurate(dtype, x):
    x = dtype(x)
    if abs(x - np.rint(x)) < 1e-3:
        return
    with mp.workprec(200):
        value = mp.psi(0, mpf(float(x)))
        terms = abs(value) + abs(mp.log(-mpf(float(x)) + 1))
        assert abs(mpf(float(call(ks.digamma, x))) - value) <= 6 * float(np.finfo(dtype).eps) * (1 + terms)


def same(a, b):
    """Equal NaNs, infinities and signed zeros; other numbers to five digits, or both near underflow."""
    if np.isnan(a) or np.isnan(b) or np.isinf(a) or np.isinf(b) or a == 0 or b == 0:
        return (np.isnan(a) and np.isnan(b)) or (a == b and np.signbit(a) == np.signbit(b))
    return abs(a - b) <= 1e-5 * abs(b) or max(abs(a), abs(b)) < 1e-36


SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.5, 50.0, -50.0, 1e30, -1e30, np.inf, -np.inf, np.nan)

#: Where SciPy or NumPy is not followed: SciPy's pseudo_huber is NaN for an
#: infinite delta, whose limit is r**2/2; its i1e loses the sign of -0; of beta only a, b > 0 is promised, and
#: beta(inf, inf) is the limit 0.
OTHERWISE = {
    special.pseudo_huber: lambda delta, r: delta == np.inf,
    special.i1e: lambda x: x == 0,
    special.beta: lambda a, b: not (a > 0 and b > 0) or a == b == np.inf,
    special.betaln: lambda a, b: not (a > 0 and b > 0) or a == b == np.inf,
}


@pytest.mark.parametrize("peer", ks.FUNCTIONS, ids=lambda f: f.__name__)
def test_special_values_are_the_peers(peer):
    function = ks.FUNCTIONS[peer]
    for args in itertools.product(map(np.float64, SPECIAL), repeat=getattr(peer, "nin", 1)):
        if not OTHERWISE.get(peer, lambda *args: False)(*args):
            ours, theirs = call(function, *args), call(peer, *args)
            assert same(ours, theirs), (args, ours, theirs)


@pytest.mark.parametrize("n", [1, -1, 2, 3, 7, 1e6, 1e17])
def test_sinc_is_zero_at_integers(n):
    assert ks.sinc(np.float64(n)) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_parts_of_a_product_add_up_to_it(dtype):
    rng = np.random.default_rng(5)
    for a, b in rng.uniform(-2, 2, (200, 2)).astype(dtype):
        p, e = numeric.two_product(a, b)
        with mp.workprec(200):
            assert mpf(float(p)) + mpf(float(e)) == mpf(float(a)) * mpf(float(b))
        assert p == a * b

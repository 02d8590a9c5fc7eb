"""Functions of complex scalars against mpmath (values) and NumPy (special values), as Python on the host."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpc, mpf

from kernels.device import complex as kc
from kernels.device.instructions import SIMULATED

pytestmark = pytest.mark.skipif(not SIMULATED, reason="instructions have Python twins in the simulator only")

DTYPES = (np.complex64, np.complex128)

#: Normwise error bounds in units of eps, of functions with one argument. Measured maxima over 3000 hard
#: points a function and dtype lie between 0.7 (sqrt) and 2.3 (tanh, expm1); libdevice may differ by an ulp.
ULPS = dict.fromkeys(
    "log log2 log10 log1p sqrt square reciprocal sign exp exp2 expm1 sin cos tan sinh cosh tanh "
    "arcsin arccos arctan arcsinh arccosh arctanh".split(),
    4.0,
)
EXACT = {
    "square": lambda z: z * z,
    "reciprocal": lambda z: 1 / z,
    "sign": lambda z: z / abs(z),
    "exp2": lambda z: mp.exp(z * mp.log(2)),
    "log2": lambda z: mp.log(z) / mp.log(2),
    "log10": lambda z: mp.log(z) / mp.log(10),
    "log1p": lambda z: mp.log(1 + z),
    **{f"arc{f}": getattr(mp, f"a{f}") for f in "sin cos tan sinh cosh tanh".split()},
}

#: Where NumPy's value is not the limit: its expm1 multiplies 0 by infinity. Ours is that of ``exp(z) - 1``.
NUMPY_EXCEPTIONS = {np.expm1: lambda z: not np.isfinite(z)}

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.0, np.inf, -np.inf, np.nan)


def points(dtype):
    """Complex numbers with parts of magnitude 1e-8 to 100, near 1 and -1; off the axes: mpmath has no -0."""
    eps = float(np.finfo(dtype).eps)
    magnitude = st.floats(-8, 2).map(lambda e: 10.0**e)
    near_one = st.floats(-20, 20).map(lambda k: 1 + k * eps)
    part = st.tuples(st.sampled_from((-1.0, 1.0)), magnitude | near_one).map(lambda p: p[0] * p[1])
    return st.builds(complex, part, part).map(dtype)


def call(function, *args):
    with np.errstate(all="ignore"):
        return function(*args)


def exact(z):
    return mpc(float(z.real), float(z.imag))


def error(computed, value):
    """Normwise error in units of eps."""
    if not np.isfinite(computed):
        return np.inf
    eps = mpf(float(np.finfo(computed.dtype).eps))
    return float(abs(exact(computed) - value) / abs(value) / eps)


def representable(value, dtype):
    info = np.finfo(dtype)
    return 4 * mpf(float(info.tiny)) < abs(value) < mpf(float(info.max)) / 2


def same(a, b, rtol):
    """Equal NaNs, infinities and signed zeros; other numbers close, or both rounding errors."""
    a, b = float(a), float(b)
    if np.isnan(a) or np.isnan(b) or np.isinf(a) or np.isinf(b) or a == 0 or b == 0:
        return (np.isnan(a) and np.isnan(b)) or (a == b and np.signbit(a) == np.signbit(b))
    return abs(a - b) <= rtol * abs(b) or max(abs(a), abs(b)) < rtol


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ULPS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_function_is_within_its_bound_of_the_exact_value(name, dtype, data):
    z = data.draw(points(dtype))
    with mp.workprec(300):
        try:
            value = EXACT.get(name, getattr(mp, name, None))(exact(z))
        except (ZeroDivisionError, ValueError):
            return
        if not representable(value, dtype):
            return
        w = call(getattr(kc, name), z)
        assert w.dtype == dtype
        assert error(w, value) <= ULPS[name]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sqrt", "log", "sign", "reciprocal", "arcsinh", "arccosh"])
def test_a_function_keeps_its_accuracy_at_the_ends_of_the_range(name, dtype):
    info = np.finfo(dtype)
    ends = [
        0.0,
        1.0,
        float(info.max),
        float(info.max) / 3,
        float(info.tiny),
        5 * float(info.smallest_subnormal),
    ]
    with mp.workprec(2500):
        for x, y in itertools.product(ends, ends):
            if (x, y) in ((0, 0), (1, 0)):
                continue
            z = dtype(complex(x, y))
            value = EXACT.get(name, getattr(mp, name, None))(exact(z))
            if representable(value, dtype):
                assert error(call(getattr(kc, name), z), value) <= ULPS[name], z


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ufunc", [u for u in kc.FUNCTIONS if u.nin == 1], ids=lambda u: u.__name__)
def test_special_values_of_one_argument_are_numpys(ufunc, dtype):
    for z in (dtype(complex(x, y)) for x in SPECIAL for y in SPECIAL):
        if NUMPY_EXCEPTIONS.get(ufunc, lambda z: False)(z):
            continue
        ours, numpys = call(kc.FUNCTIONS[ufunc], z), call(ufunc, z)
        assert same(ours.real, numpys.real, 1e-6), (z, ours, numpys)
        assert same(ours.imag, numpys.imag, 1e-6), (z, ours, numpys)


@pytest.mark.parametrize("ufunc", [u for u in kc.FUNCTIONS if u.nin == 2], ids=lambda u: u.__name__)
def test_special_values_of_two_arguments_are_numpys(ufunc):
    zs = [np.complex128(complex(x, y)) for x in SPECIAL for y in SPECIAL]
    for z, w in itertools.product(zs, zs):
        ours, numpys = call(kc.FUNCTIONS[ufunc], z, w), call(ufunc, z, w)
        assert same(np.real(ours), np.real(numpys), 1e-6), (z, w, ours, numpys)
        assert same(np.imag(ours), np.imag(numpys), 1e-6), (z, w, ours, numpys)


@pytest.mark.parametrize("function", [kc.expm1, kc.sinh, kc.tanh, kc.arcsinh, kc.arctanh, kc.log1p, kc.sin, kc.arctan])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tiny_argument_comes_back_unchanged(function, dtype):
    tiny = 1e3 * float(np.finfo(dtype).smallest_subnormal)
    for x, y in itertools.product((tiny, -tiny, 0.0), repeat=2):
        z = dtype(complex(x, y))
        assert call(function, z) == z


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_quotient_is_accurate_at_any_scale(dtype, data):
    z, w = data.draw(points(dtype)), data.draw(points(dtype))
    limit = float(np.finfo(dtype).max) / 2**8
    scales = (1.0, limit, 1 / limit)
    z = dtype(z * data.draw(st.sampled_from(scales)))
    w = dtype(w * data.draw(st.sampled_from(scales)))
    if w == 0 or z == 0 or not (np.isfinite(z) and np.isfinite(w)):
        return
    with mp.workprec(300):
        value = exact(z) / exact(w)
        if representable(value, dtype):
            assert error(call(kc.divide, z, w), value) <= 4


@settings(max_examples=100, deadline=None)
@given(z=points(np.complex128), w=points(np.complex128))
def test_the_error_of_a_power_grows_with_its_logarithm(z, w):
    if z == 0:
        return
    with mp.workprec(300):
        value = mp.power(exact(z), exact(w))
        if representable(value, np.complex128) and abs(w) < 100:
            log = float(abs(mp.log(exact(z)) * exact(w)))
            assert error(call(kc.power, z, w), value) <= 4 + 4 * log


@settings(max_examples=60, deadline=None)
@given(z=points(np.complex128), n=st.integers(-99, 99))
def test_the_error_of_an_integer_power_grows_with_the_exponent(z, n):
    if z == 0:
        return
    with mp.workprec(300):
        value = exact(z) ** n
        # Squares of the base up to twice the power used are formed.
        if all(representable(exact(z) ** k, np.complex128) for k in (2 * abs(n), -2 * abs(n))):
            assert error(call(kc.power, z, np.complex128(n)), value) <= 4 + 2 * abs(n)

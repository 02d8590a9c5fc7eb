"""What each function obeys by its definition, whatever computes it.

Every public function is named by at least one law (``tests/test_pairing.py`` checks). Tolerances follow from
the documented errors: a law that chains functions of a and b ulps is held to the sum of what each
contributes, times the condition number where the chain has one.
"""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst

import kernels
from kernels import REGISTRY
from kernels.device.instructions import SIMULATED
from kernels.testing import assert_equal_bits, assert_within, ulp
from kernels.testing import strategies as st

N = 40 if SIMULATED else 20_000
FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")

law = pytest.mark.law
floats = pytest.mark.parametrize("dtype", FLOATS)
wide_floats = pytest.mark.parametrize("dtype", FLOATS[1:])
integers = pytest.mark.parametrize("dtype", INTEGERS)
signed = pytest.mark.parametrize("dtype", INTEGERS[::2])
numbers = pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "float64", "complex64"])


def uniform(rng, low, high, dtype, size=N):
    return rng.uniform(low, high, size).astype(dtype)


def any_integers(rng, dtype, size=N):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size, dtype, endpoint=True)


def any_numbers(rng, dtype, size=N):
    if np.dtype(dtype).kind in "iu":
        return any_integers(rng, dtype, size)
    if np.dtype(dtype).kind == "c":
        return (rng.standard_normal(size) + 1j * rng.standard_normal(size)).astype(dtype)
    return rng.standard_normal(size).astype(dtype)


def ulps_of(*names, dtype):
    """Sum of the documented errors of several functions, and of NumPy's own that the simulator runs."""
    char = np.dtype(dtype).char
    return sum(REGISTRY[name].ulps.get(char, 0) + (4 if SIMULATED and char in "fd" else 0) for name in names)


def assert_close(actual, expected, ulps, *, condition=1, floor=0.0):
    """|actual - expected| <= ulps * condition * ulp(expected) + floor."""
    expected = np.asarray(expected)
    size = np.abs(expected).astype(np.float64)
    bound = ulps * np.asarray(condition, np.float64) * ulp(size, actual.dtype) + floor
    assert_within(actual, expected.astype(actual.dtype), bound)


def eps(dtype):
    return float(np.finfo(dtype).eps)


# --- arithmetic -------------------------------------------------------------------------------------------


@law(
    "add",
    "multiply",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "logical_and",
    "logical_or",
    "logical_xor",
    "equal",
    "not_equal",
)
@pytest.mark.parametrize(
    "name",
    ["add", "multiply", "maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or", "logical_xor", "equal",
     "not_equal"],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["bool", "int16", "uint64", "float16", "float32", "float64"])
def test_the_order_of_two_operands_does_not_matter_bit_for_bit(name, dtype, rng):
    x, y = (rng.integers(0, 2, N).astype(bool) if dtype == "bool" else any_numbers(rng, dtype) for _ in range(2))
    f = getattr(kernels, name)
    assert_equal_bits(f(x, y), f(y, x))


@law(
    "hypot",
    "logaddexp",
    "logaddexp2",
    "gcd",
    "lcm",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "beta",
    "betaln",
)
@pytest.mark.parametrize(
    "name",
    ["hypot", "logaddexp", "logaddexp2", "gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "beta", "betaln"],
)  # fmt: skip
def test_two_operands_that_play_one_role_may_be_exchanged(name, rng):
    pair = REGISTRY[name]
    dtype = np.dtype(pair.loops[-1][0])
    draw = any_integers if dtype.kind in "iu" else lambda rng, dtype: uniform(rng, 0.5, 5, dtype)
    x, y = draw(rng, dtype), draw(rng, dtype)
    there, back = pair.function(x, y), pair.function(y, x)
    if dtype.kind in "iu":
        assert_equal_bits(there, back)
    else:
        size = np.abs(there) if pair.magnitude is None else pair.magnitude(x, y)
        assert_within(there, back, 2 * ulps_of(name, dtype=dtype) * ulp(size, dtype))


@law("add", "subtract", "negative")
@numbers
def test_a_number_and_its_opposite_cancel(dtype, rng):
    x = any_numbers(rng, dtype)
    assert not kernels.add(x, kernels.negative(x)).any()
    assert not kernels.subtract(x, x).any()
    assert_equal_bits(kernels.subtract(0 * x, x) + 0 * x, kernels.negative(x) + 0 * x)


@law("subtract", "add")
@integers
def test_subtraction_undoes_addition_modulo_the_width(dtype, rng):
    x, y = any_integers(rng, dtype), any_integers(rng, dtype)
    assert_equal_bits(kernels.subtract(kernels.add(x, y), y), x)


@law("multiply", "add")
@integers
def test_multiplication_distributes_over_addition_modulo_the_width(dtype, rng):
    x, y, z = (any_integers(rng, dtype) for _ in range(3))
    left = kernels.multiply(x, kernels.add(y, z))
    assert_equal_bits(left, kernels.add(kernels.multiply(x, y), kernels.multiply(x, z)))


@law("positive", "negative")
@numbers
def test_two_negations_and_a_plus_change_nothing(dtype, rng):
    x = any_numbers(rng, dtype)
    assert_equal_bits(kernels.negative(kernels.negative(x)), x)
    assert_equal_bits(kernels.positive(x), x)


@law("divide", "multiply")
@floats
def test_a_quotient_times_its_divisor_is_the_dividend(dtype, rng):
    x, y = uniform(rng, 1, 10, dtype), uniform(rng, 1, 10, dtype)
    assert_close(kernels.multiply(kernels.divide(x, y), y), x, 2)  # two roundings of half an ulp, over a binade


@law("floor_divide", "remainder", "divmod")
@integers
def test_quotient_and_remainder_rebuild_an_integer(dtype, rng):
    x, y = any_integers(rng, dtype), any_integers(rng, dtype)
    y[y == 0] = 1
    q, r = kernels.divmod(x, y)
    assert_equal_bits(q * y + r, x)
    assert np.all((r == 0) | ((r > 0) == (y > 0)))
    assert np.all(np.abs(r.astype(object)) < np.abs(y.astype(object)))
    assert_equal_bits(kernels.floor_divide(x, y), q)
    assert_equal_bits(kernels.remainder(x, y), r)


@law("floor_divide", "remainder", "divmod")
@wide_floats
def test_quotient_and_remainder_rebuild_a_float(dtype, rng):
    x, y = uniform(rng, -100, 100, dtype), uniform(rng, 0.5, 10, dtype)
    y *= rng.choice([-1, 1], N).astype(dtype)
    q, r = kernels.divmod(x, y)
    assert_equal_bits(q, np.floor(q) + 0)
    assert np.all((r == 0) | (np.signbit(r) == np.signbit(y)))
    assert np.all(np.abs(r) <= np.abs(y))
    # r is rounded once, by half an ulp of at most |y|; the product and the sum are computed in longdouble.
    rebuilt = q.astype(np.longdouble) * y + r
    assert np.all(np.abs(rebuilt - x) <= 0.5 * ulp(np.abs(y), dtype) + eps(np.longdouble) * np.abs(x))
    assert_equal_bits(kernels.floor_divide(x, y), q)
    assert_equal_bits(kernels.remainder(x, y), r)


@law("fmod", "trunc")
@signed
def test_truncated_division_leaves_the_sign_of_the_dividend(dtype, rng):
    x, y = any_integers(rng, dtype), any_integers(rng, dtype)
    y[y == 0] = 1
    r = kernels.fmod(x, y)
    assert np.all((r == 0) | ((r > 0) == (x > 0)))
    exact = [abs(a) % abs(b) * (-1 if a < 0 else 1) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert r.tolist() == exact


@law("power", "multiply", "square")
@integers
def test_integer_powers_are_repeated_products(dtype, rng):
    x = any_integers(rng, dtype)
    product = np.ones(N, dtype)
    for exponent in range(6):
        assert_equal_bits(kernels.power(x, np.full(N, exponent, dtype)), product)
        product = product * x
    assert_equal_bits(kernels.square(x), kernels.power(x, np.full(N, 2, dtype)))


@law("power", "float_power", "exp", "log")
@wide_floats
def test_a_power_is_the_exponential_of_a_multiple_of_the_logarithm(dtype, rng):
    x, y = uniform(rng, 0.5, 4, dtype), uniform(rng, -3, 3, dtype)
    expected = np.exp(y.astype(np.longdouble) * np.log(x.astype(np.longdouble)))
    assert_close(kernels.power(x, y), expected, ulps_of("power", dtype=dtype) + 1)
    assert_close(kernels.float_power(x, y), expected, ulps_of("float_power", dtype="float64") + 1)
    assert kernels.float_power(x, y).dtype == np.float64


@law("reciprocal", "divide")
@floats
def test_the_reciprocal_is_one_divided_by_a_number(dtype, rng):
    x = uniform(rng, 0.1, 10, dtype)
    assert_equal_bits(kernels.reciprocal(x), kernels.divide(dtype_one(dtype), x))


def dtype_one(dtype):
    return np.dtype(dtype).type(1)


@law("reciprocal")
@integers
def test_the_reciprocal_of_an_integer_is_zero_but_of_one_and_minus_one(dtype, rng):
    x = any_integers(rng, dtype)
    x = np.append(x[x != 0], np.array([1, np.iinfo(dtype).max], dtype))
    expected = np.where(x == 1, 1, 0).astype(dtype)
    if np.dtype(dtype).kind == "i":
        expected[x == -1] = -1
    assert_equal_bits(kernels.reciprocal(x), expected)


@law("absolute", "sign", "multiply")
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_a_number_is_its_modulus_times_its_sign(dtype, rng):
    x = any_numbers(rng, dtype)
    assert_equal_bits(kernels.multiply(kernels.sign(x), kernels.absolute(x)), x)


@law("absolute", "sign", "hypot")
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_a_complex_number_is_its_modulus_times_its_direction(dtype, rng):
    z = any_numbers(rng, dtype)
    modulus = kernels.absolute(z)
    part = modulus.dtype
    assert_within(modulus, kernels.hypot(z.real, z.imag), ulps_of("absolute", "hypot", dtype=part) * ulp(modulus, part))
    error = np.abs(modulus * kernels.sign(z) - z)
    assert np.all(error <= (ulps_of("absolute", dtype=part) + 8 + 2) * ulp(modulus, part))


@law("fabs", "absolute")
@floats
def test_fabs_and_absolute_agree_on_floats(dtype, rng):
    x = any_numbers(rng, dtype)
    assert_equal_bits(kernels.fabs(x), kernels.absolute(x))
    assert not np.signbit(kernels.fabs(x)).any()


@law("conjugate", "multiply", "real", "imag", "square")
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_a_number_times_its_conjugate_is_its_squared_modulus(dtype, rng):
    z = any_numbers(rng, dtype)
    product = kernels.multiply(z, kernels.conjugate(z))
    squares = kernels.real(z).astype(np.longdouble) ** 2 + kernels.imag(z).astype(np.longdouble) ** 2
    assert_close(kernels.real(product), squares, 3)
    assert np.all(np.abs(kernels.imag(product)) <= 3 * ulp(squares, product.real.dtype))
    assert_equal_bits(kernels.conjugate(kernels.conjugate(z)), z)
    assert np.all(np.abs(kernels.square(z) - z * z) <= 6 * ulp(np.abs(z) ** 2, z.real.dtype))


@law("real", "imag", "angle", "absolute", "cos", "sin")
def test_a_complex_number_is_rebuilt_from_its_modulus_and_angle(rng):
    z = any_numbers(rng, "complex128")
    angle, modulus = kernels.angle(z), kernels.absolute(z)
    assert np.all(np.abs(angle) <= np.pi)
    # the angle's error, 2 ulps of at most pi, turns the point by as much
    tolerance = (ulps_of("absolute", "cos", "sin", dtype="float64") + 2 * np.pi + 4) * eps("float64") * modulus
    assert np.all(np.abs(modulus * kernels.cos(angle) - kernels.real(z)) <= tolerance)
    assert np.all(np.abs(modulus * kernels.sin(angle) - kernels.imag(z)) <= tolerance)


@law("real", "imag")
def test_a_real_number_has_no_imaginary_part(rng):
    x = any_numbers(rng, "float32")
    assert_equal_bits(kernels.real(x), x)
    assert not kernels.imag(x).any()


@law("gcd", "lcm")
@integers
def test_gcd_times_lcm_is_the_product(dtype, rng):
    x = rng.integers(0, 12, N, dtype)
    y = rng.integers(0, 10, N, dtype)
    g, m = kernels.gcd(x, y), kernels.lcm(x, y)
    assert_equal_bits(g * m, x * y)
    assert [math.gcd(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)] == g.tolist()


@law("axpy", "fma", "multiply", "add")
@floats
def test_axpy_and_fma_are_products_and_sums(dtype, rng):
    a, x, y = (uniform(rng, -2, 2, dtype) for _ in range(3))
    assert_equal_bits(kernels.fma(1, x, y), kernels.add(x, y))
    assert_equal_bits(kernels.axpy(0, x, y), kernels.add(y, 0))
    a, x, y = a[:2000], x[:2000], y[:2000]
    with mpmath.workprec(200):  # more than the bits of a product of two float64 numbers and a third one
        exact = np.array([p * q + r for p, q, r in zip(*(map(mpmath.mpf, t.tolist()) for t in (a, x, y)), strict=True)])
    magnitude = np.abs(a.astype(np.float64) * x) + np.abs(y)
    for name in ("axpy", "fma"):
        bound = REGISTRY[name].ulps[np.dtype(dtype).char] * ulp(magnitude, dtype)
        with mpmath.workprec(200):
            assert_within(getattr(kernels, name)(a, x, y), exact, bound, dtype=dtype)


@law("fma", "multiply")
@wide_floats
def test_fma_finds_the_rounding_error_of_a_product_exactly(dtype, rng):
    x, y = uniform(rng, 1, 2, dtype), uniform(rng, 1, 2, dtype)
    product = kernels.multiply(x, y)
    error = kernels.fma(x, y, kernels.negative(product))
    for a, b, p, e in zip(x.tolist(), y.tolist(), product.tolist(), error.tolist(), strict=True):
        (an, ad), (bn, bd), (pn, pd), (en, ed) = (v.as_integer_ratio() for v in (a, b, p, e))
        assert an * bn * pd * ed == (pn * ed + en * pd) * ad * bd


# --- powers, exponentials, logarithms ---------------------------------------------------------------------


@law("sqrt", "square", "absolute")
@floats
def test_the_root_of_a_square_is_the_modulus(dtype, rng):
    x = uniform(rng, 0.1, 10, dtype)
    assert_close(kernels.sqrt(kernels.square(x)), kernels.absolute(x), 1)


@law("sqrt")
@floats
def test_square_roots_of_squares_of_integers_are_exact(dtype):
    n = np.arange(200).astype(dtype)
    assert_equal_bits(kernels.sqrt(n * n), n)


@law("cbrt", "multiply")
@floats
def test_the_cube_of_a_cube_root_is_the_number(dtype, rng):
    x = uniform(rng, -10, 10, dtype)
    root = kernels.cbrt(x)
    assert_close((root.astype(np.longdouble) ** 3).astype(dtype), x, 6 * max(ulps_of("cbrt", dtype=dtype), 1))
    assert_equal_bits(kernels.cbrt(-x), -root)


@law("rsqrt", "sqrt", "reciprocal")
@floats
def test_rsqrt_is_the_reciprocal_of_the_root(dtype, rng):
    x = uniform(rng, 0.01, 100, dtype)
    exact = 1 / np.sqrt(x.astype(np.longdouble))
    assert_close(kernels.rsqrt(x), exact, REGISTRY["rsqrt"].ulps[np.dtype(dtype).char] + 1)


@law("exp", "log", "exp2", "log2", "exp10", "log10")
@wide_floats
@pytest.mark.parametrize(("exponential", "logarithm", "base"), [("exp", "log", math.e), ("exp2", "log2", 2.0),
                                                              ("exp10", "log10", 10.0)])  # fmt: skip
def test_an_exponential_undoes_its_logarithm(exponential, logarithm, base, dtype, rng):
    x = uniform(rng, 0.01, 100, dtype)
    y = getattr(kernels, logarithm)(x)
    # A relative error d of the logarithm y becomes |y| ln(base) d of the power.
    condition = 1 + np.abs(y) * math.log(base)
    ulps = 2 * (ulps_of(exponential, logarithm, dtype=dtype) + 1)
    assert_close(getattr(kernels, exponential)(y), x, ulps, condition=condition)


@law("expm1", "log1p")
@wide_floats
def test_expm1_and_log1p_undo_one_another_near_zero(dtype, rng):
    x = uniform(rng, -1e-3, 1e-3, dtype)
    assert_close(kernels.expm1(kernels.log1p(x)), x, 2 * (ulps_of("expm1", "log1p", dtype=dtype) + 1))


@law("expm1", "exp", "exprel", "log1p", "log")
def test_functions_made_for_small_numbers_agree_with_the_plain_ones_elsewhere(rng):
    x = uniform(rng, 1, 5, "float64")
    assert_close(kernels.expm1(x), kernels.exp(x) - 1, 8, condition=2)
    assert_close(kernels.exprel(x), (np.exp(x) - 1) / x, 24)
    assert_close(kernels.log1p(x), kernels.log(x + 1), 16)
    assert kernels.exprel(0.0) == 1


@law("logaddexp", "logaddexp2", "log", "log2", "exp", "exp2")
def test_logarithms_of_sums_are_those_of_sums(rng):
    x, y = uniform(rng, -5, 5, "float64"), uniform(rng, -5, 5, "float64")
    tolerance = 16 * eps("float64") * (np.maximum(abs(x), abs(y)) + 1)
    assert np.all(np.abs(kernels.logaddexp(x, y) - np.log(np.exp(x) + np.exp(y))) <= tolerance)
    assert np.all(np.abs(kernels.logaddexp2(x, y) - np.log2(np.exp2(x) + np.exp2(y))) <= tolerance)
    assert kernels.logaddexp(1000.0, 1000.0) == 1000 + math.log(2)


# --- trigonometry -----------------------------------------------------------------------------------------


@law("sin", "cos", "tan")
@wide_floats
def test_sine_and_cosine_lie_on_the_unit_circle(dtype, rng):
    x = uniform(rng, -10, 10, dtype)
    sine, cosine = kernels.sin(x), kernels.cos(x)
    one = sine.astype(np.longdouble) ** 2 + cosine.astype(np.longdouble) ** 2
    ulps = ulps_of("sin", dtype=dtype)
    assert np.all(np.abs(one - 1) <= 2 * ulps * eps(dtype))
    tangent = sine.astype(np.longdouble) / cosine
    assert_close(kernels.tan(x), tangent, 2 * ulps_of("sin", "cos", "tan", dtype=dtype) + 1)


@law("sinh", "cosh", "tanh")
@wide_floats
def test_hyperbolic_sine_and_cosine_lie_on_the_unit_hyperbola(dtype, rng):
    x = uniform(rng, -2, 2, dtype)
    sine, cosine = kernels.sinh(x).astype(np.longdouble), kernels.cosh(x).astype(np.longdouble)
    assert np.all(np.abs(cosine**2 - sine**2 - 1) <= 4 * ulps_of("sinh", "cosh", dtype=dtype) * eps(dtype) * cosine**2)
    assert_close(kernels.tanh(x), sine / cosine, 2 * ulps_of("sinh", "cosh", "tanh", dtype=dtype) + 1)


INVERSES = [
    ("arcsin", "sin"),
    ("arctan", "tan"),
    ("arcsinh", "sinh"),
    ("arctanh", "tanh"),
    ("arccos", "cos"),
    ("arccosh", "cosh"),
]


@law(*itertools.chain(*INVERSES))
@wide_floats
@pytest.mark.parametrize(("inverse", "function"), INVERSES)
def test_an_inverse_is_undone_by_its_function(inverse, function, dtype, rng):
    low, high = (1.5, 10) if inverse == "arccosh" else (0.1, 0.8)
    x = uniform(rng, low, high, dtype)
    y = getattr(kernels, inverse)(x)
    # condition of f at y: |y f'(y) / f(y)|, from a difference quotient in float64
    step = 1e-6
    f = getattr(np, function)
    slope = (f(y + np.float64(step)) - f(y - np.float64(step))) / (2 * step)
    condition = 1 + np.abs(y * slope / x)
    assert_close(
        getattr(kernels, function)(y),
        x,
        2 * (ulps_of(inverse, function, dtype=dtype) + 1),
        condition=condition,
    )


@law("arcsin", "arccos")
def test_arcsine_and_arccosine_add_to_a_right_angle(rng):
    x = uniform(rng, -1, 1, "float64")
    total = kernels.arcsin(x) + kernels.arccos(x)
    assert np.all(
        np.abs(total - np.pi / 2) <= (ulps_of("arcsin", "arccos", dtype="float64") + 2) * 2 * eps("float64") * np.pi
    )


@law("arctan2", "hypot", "sin", "cos")
@wide_floats
def test_a_point_is_rebuilt_from_its_angle_and_distance(dtype, rng):
    x, y = uniform(rng, -5, 5, dtype), uniform(rng, -5, 5, dtype)
    angle, distance = kernels.arctan2(y, x), kernels.hypot(x, y)
    # an error of a few ulps of pi in the angle, and of a few in the distance
    tolerance = (4 * ulps_of("arctan2", dtype=dtype) + ulps_of("hypot", "sin", dtype=dtype) + 4) * eps(dtype) * distance
    assert np.all(np.abs(distance * kernels.cos(angle) - x) <= tolerance)
    assert np.all(np.abs(distance * kernels.sin(angle) - y) <= tolerance)


@law("hypot")
@wide_floats
def test_hypot_neither_overflows_nor_underflows_by_its_squares(dtype):
    huge, tiny = np.finfo(dtype).max / 4, np.finfo(dtype).tiny
    x = np.array([3 * huge / 5, 3 * tiny], dtype)
    y = np.array([4 * huge / 5, 4 * tiny], dtype)
    assert_close(kernels.hypot(x, y), np.hypot(x.astype(np.longdouble), y), ulps_of("hypot", dtype=dtype) + 1)


@law("degrees", "radians", "rad2deg", "deg2rad")
@floats
def test_degrees_and_radians_undo_one_another(dtype, rng):
    x = uniform(rng, 1, 5, dtype)
    assert_close(kernels.radians(kernels.degrees(x)), x, 2 * (ulps_of("degrees", "radians", dtype=dtype) + 1))
    assert_equal_bits(kernels.rad2deg(x), kernels.degrees(x))
    assert_equal_bits(kernels.deg2rad(x), kernels.radians(x))


@law("sinc", "sin")
def test_sinc_is_one_at_zero_and_vanishes_at_integers():
    assert kernels.sinc(0.0) == 1
    n = np.arange(1.0, 10)
    # pi is rounded: pi n is off by n pi u, and the sine with it
    assert np.all(np.abs(kernels.sinc(n)) <= 2 * eps("float64"))
    x = np.array([0.25, 0.5])
    assert_close(kernels.sinc(x), np.sin(np.pi * x) / (np.pi * x), 32)


# --- rounding and the parts of a number -------------------------------------------------------------------


@law("floor", "ceil", "trunc", "rint", "fix")
@floats
def test_rounding_brackets_a_number(dtype, rng):
    x = uniform(rng, -100, 100, dtype)
    low, high = kernels.floor(x), kernels.ceil(x)
    assert np.all((low <= x) & (x < low + 1))
    assert np.all((high >= x) & (x > high - 1))
    assert_equal_bits(kernels.negative(kernels.floor(-x)), high)
    assert_equal_bits(kernels.trunc(x), np.where(np.signbit(x), high, low))
    assert_equal_bits(kernels.fix(x), kernels.trunc(x))
    nearest = kernels.rint(x)
    assert np.all(np.abs(x.astype(float) - nearest) <= 0.5)


@law("rint", "round")
@floats
def test_halves_are_rounded_to_even(dtype):
    x = np.arange(-10, 10).astype(dtype) + np.dtype(dtype).type(0.5)
    assert not np.any(kernels.rint(x) % 2)
    assert_equal_bits(kernels.round(x), kernels.rint(x))


@law("round")
@integers
def test_rounding_integers_to_tens_leaves_multiples_of_ten(dtype, rng):
    x = rng.integers(0, 100, N, dtype)
    tens = kernels.round(x, -1)
    assert not np.any(tens % 10)
    assert np.all(np.abs(tens.astype(int) - x.astype(int)) <= 5)
    assert_equal_bits(kernels.round(x, 2), x)


@law("modf", "trunc")
@floats
def test_fractional_and_whole_part_add_to_the_number(dtype, rng):
    x = uniform(rng, -100, 100, dtype)
    fraction, whole = kernels.modf(x)
    assert_equal_bits(fraction + whole, x)
    assert_equal_bits(whole, kernels.trunc(x))
    assert np.all(np.abs(fraction) < 1)


@law("frexp", "ldexp")
@floats
def test_ldexp_puts_together_what_frexp_takes_apart(dtype, rng):
    x = np.concatenate([uniform(rng, -100, 100, dtype), st.special_values(dtype)])
    mantissa, exponent = kernels.frexp(x)
    finite = np.isfinite(x) & (x != 0)
    assert np.all((np.abs(mantissa[finite]) >= 0.5) & (np.abs(mantissa[finite]) < 1))
    assert_equal_bits(kernels.ldexp(mantissa, exponent), x, nan_payload=False)


@law("copysign", "signbit", "fabs")
@floats
def test_copysign_gives_the_modulus_of_one_number_the_sign_of_another(dtype, rng):
    x = np.concatenate([uniform(rng, -5, 5, dtype), st.special_values(dtype)])
    y = rng.permutation(x)
    z = kernels.copysign(x, y)
    signed = ~np.isnan(x) if dtype == "float16" else slice(None)  # a GPU rounds to float16 with one NaN, 0x7fff
    assert_equal_bits(kernels.signbit(z)[signed], kernels.signbit(y)[signed])
    assert_equal_bits(kernels.fabs(z), kernels.fabs(x), nan_payload=False)
    assert_equal_bits(kernels.copysign(x, x), x, nan_payload=dtype != "float16")


@law("nextafter", "spacing")
@floats
def test_nextafter_steps_by_the_spacing(dtype, rng):
    x = uniform(rng, 0.5, 100, dtype)
    up = kernels.nextafter(x, np.dtype(dtype).type(np.inf))
    assert_equal_bits(up - x, kernels.spacing(x))
    assert_equal_bits(kernels.nextafter(up, np.dtype(dtype).type(-np.inf)), x)
    assert_equal_bits(kernels.nextafter(x, x), x)


@law("spacing", "nextafter")
@wide_floats  # NumPy's float16 loop has no sign
def test_spacing_points_away_from_zero(dtype, rng):
    x = uniform(rng, 0.5, 100, dtype)
    assert_equal_bits(kernels.spacing(-x), -kernels.spacing(x))


@law("heaviside")
@floats
def test_the_step_is_its_value_at_zero_only(dtype):
    x = np.array([-2.0, -0.0, 0.0, 3.0], dtype)
    assert kernels.heaviside(x, np.dtype(dtype).type(0.5)).tolist() == [0, 0.5, 0.5, 1]
    assert np.isnan(kernels.heaviside(np.dtype(dtype).type(np.nan), np.dtype(dtype).type(0.5)))


@law("isnan", "isinf", "isfinite", "isposinf", "isneginf")
@floats
def test_a_float_is_finite_or_infinite_or_not_a_number(dtype):
    x = st.special_values(dtype)
    nan, infinite, finite = kernels.isnan(x), kernels.isinf(x), kernels.isfinite(x)
    assert np.all(nan.astype(int) + infinite + finite == 1)
    assert_equal_bits(kernels.isposinf(x) | kernels.isneginf(x), infinite)
    assert_equal_bits(kernels.isposinf(x), x > np.finfo(dtype).max)
    assert_equal_bits(nan, x != x)


# --- order, logic, bits -----------------------------------------------------------------------------------


@law("less", "equal", "greater", "less_equal", "greater_equal", "not_equal")
@pytest.mark.parametrize("dtype", ["bool", *INTEGERS, *FLOATS])
def test_two_numbers_are_less_equal_or_greater(dtype, rng):
    x, y = (rng.integers(0, 5, N).astype(dtype) for _ in range(2))
    less, equal, greater = kernels.less(x, y), kernels.equal(x, y), kernels.greater(x, y)
    assert np.all(less.astype(int) + equal + greater == 1)
    assert_equal_bits(kernels.less_equal(x, y), ~greater)
    assert_equal_bits(kernels.greater_equal(x, y), ~less)
    assert_equal_bits(kernels.not_equal(x, y), ~equal)


@law("less", "equal", "greater", "less_equal", "greater_equal", "not_equal")
@floats
def test_nan_compares_with_nothing(dtype):
    nan, x = np.full(1, np.nan, dtype), np.ones(1, dtype)
    for name in ("less", "equal", "greater", "less_equal", "greater_equal"):
        assert not getattr(kernels, name)(nan, x)[0]
        assert not getattr(kernels, name)(x, nan)[0]
    assert kernels.not_equal(nan, nan)[0]


@law("maximum", "minimum", "fmax", "fmin", "isnan")
@floats
def test_nan_wins_against_maximum_and_loses_against_fmax(dtype):
    nan, x = np.full(3, np.nan, dtype), np.array([1.0, -np.inf, np.nan], dtype)
    for name in ("maximum", "minimum"):
        assert np.isnan(getattr(kernels, name)(nan, x)).all()
        assert np.isnan(getattr(kernels, name)(x, nan)).all()
    for name in ("fmax", "fmin"):
        assert_equal_bits(getattr(kernels, name)(nan, x), x, nan_payload=False)
        assert_equal_bits(getattr(kernels, name)(x, nan), x, nan_payload=False)


@law("maximum", "minimum", "fmax", "fmin")
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_the_larger_and_the_smaller_are_the_two_numbers(dtype, rng):
    x, y = any_numbers(rng, dtype), any_numbers(rng, dtype)
    for upper, lower in (("maximum", "minimum"), ("fmax", "fmin")):
        high, low = getattr(kernels, upper)(x, y), getattr(kernels, lower)(x, y)
        assert_equal_bits(np.sort([x, y], axis=0), np.stack([low, high]))


@law("logical_and", "logical_or", "logical_not", "logical_xor")
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "float64", "complex64"])
def test_de_morgans_laws(dtype, rng):
    x, y = (rng.integers(0, 2, N).astype(dtype) for _ in range(2))
    neither = kernels.logical_not(kernels.logical_or(x, y))
    assert_equal_bits(neither, kernels.logical_and(kernels.logical_not(x), kernels.logical_not(y)))
    either_one = kernels.logical_and(kernels.logical_or(x, y), kernels.logical_not(kernels.logical_and(x, y)))
    assert_equal_bits(kernels.logical_xor(x, y), either_one)


@law("bitwise_and", "bitwise_or", "bitwise_xor", "invert", "add")
@integers
def test_bits_add_up(dtype, rng):
    x, y = any_integers(rng, dtype), any_integers(rng, dtype)
    both, either, one = kernels.bitwise_and(x, y), kernels.bitwise_or(x, y), kernels.bitwise_xor(x, y)
    assert_equal_bits(both + either, x + y)
    assert_equal_bits(either - both, one)
    assert_equal_bits(
        kernels.invert(kernels.bitwise_and(x, y)), kernels.bitwise_or(kernels.invert(x), kernels.invert(y))
    )
    assert_equal_bits(
        kernels.invert(x),
        (-1 - x.astype(object)).astype(dtype) if dtype.startswith("i") else np.iinfo(dtype).max - x,
    )


@law("left_shift", "multiply", "power")
@integers
def test_a_left_shift_multiplies_by_a_power_of_two(dtype, rng):
    bits = np.iinfo(dtype).bits
    x = any_integers(rng, dtype)
    shift = rng.integers(0, bits - 1, N).astype(dtype)
    powers = np.array([2**s for s in shift.tolist()], object).astype(dtype)
    assert_equal_bits(kernels.left_shift(x, shift), kernels.multiply(x, powers))
    assert not kernels.left_shift(x, np.full(N, bits, dtype)).any()


@law("right_shift", "floor_divide")
@integers
def test_a_right_shift_divides_by_a_power_of_two_rounding_down(dtype, rng):
    bits = np.iinfo(dtype).bits
    x = any_integers(rng, dtype)
    shift = rng.integers(0, bits, N).astype(dtype)
    expected = [n >> s for n, s in zip(x.tolist(), shift.tolist(), strict=True)]
    assert kernels.right_shift(x, shift).tolist() == expected
    assert_equal_bits(kernels.right_shift(x, np.full(N, bits, dtype)), np.where(x < 0, -1, 0).astype(dtype))


@law("bitwise_count", "absolute")
@integers
def test_bitwise_count_counts_the_ones_of_the_modulus(dtype, rng):
    x = any_integers(rng, dtype)
    assert kernels.bitwise_count(x).tolist() == [abs(n).bit_count() for n in x.tolist()]


# --- choice and interpolation -----------------------------------------------------------------------------


@law("where")
@numbers
def test_where_takes_one_or_the_other(dtype, rng):
    condition = rng.integers(0, 2, N).astype(bool)
    x, y = any_numbers(rng, dtype), any_numbers(rng, dtype)
    chosen = kernels.where(condition, x, y)
    assert_equal_bits(chosen[condition], x[condition])
    assert_equal_bits(chosen[~condition], y[~condition])


@law("clip", "maximum", "minimum")
@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
def test_clip_holds_numbers_within_its_bounds_and_leaves_the_others(dtype, rng):
    x = any_numbers(rng, dtype)
    low, high = np.sort(rng.choice(x, 2, replace=False))
    held = kernels.clip(x, low, high)
    assert np.all((held >= low) & (held <= high))
    inside = (x >= low) & (x <= high)
    assert_equal_bits(held[inside], x[inside])
    assert_equal_bits(kernels.clip(held, low, high), held)


@law("nan_to_num", "isfinite")
@floats
def test_nan_to_num_leaves_finite_numbers_and_nothing_else(dtype):
    x = st.special_values(dtype)
    y = kernels.nan_to_num(x)
    assert np.isfinite(y).all()
    assert_equal_bits(y[np.isfinite(x)], x[np.isfinite(x)])
    replaced = kernels.nan_to_num(x, 1.0, 2.0, -2.0)
    assert set(replaced[np.isnan(x)]) == {1}
    assert_equal_bits(replaced[np.isinf(x)], np.copysign(np.dtype(dtype).type(2), x[np.isinf(x)]))


@law("lerp")
@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "complex128"])
def test_lerp_starts_at_one_end_and_arrives_at_the_other_exactly(dtype, rng):
    x, y = any_numbers(rng, dtype), any_numbers(rng, dtype)
    assert_equal_bits(kernels.lerp(x, y, 0) + 0, x + 0)
    assert_equal_bits(kernels.lerp(x, y, 1) + 0, y + 0)
    assert np.all(np.abs(kernels.lerp(x, x, 0.3) - x) <= 2 * ulp(np.abs(x).astype(float), x.real.dtype))


# --- activations ------------------------------------------------------------------------------------------


@law("relu", "leaky_relu")
@floats
def test_rectifiers_are_the_identity_on_positive_numbers(dtype, rng):
    x = uniform(rng, -5, 5, dtype)
    assert_equal_bits(kernels.relu(x) + 0, np.where(x > 0, x, 0).astype(dtype))
    leaky = kernels.leaky_relu(x, 0.25)
    assert_equal_bits(leaky, np.where(x < 0, x / 4, x))
    assert_equal_bits(kernels.relu(x) - 0.25 * kernels.relu(-x), leaky + 0)
    assert_equal_bits(kernels.leaky_relu(x), kernels.leaky_relu(x, 0.01))


@law("elu", "expm1")
@wide_floats
def test_elu_is_bounded_below_and_continuous_at_zero(dtype, rng):
    x = uniform(rng, -20, 5, dtype)
    y = kernels.elu(x, 1.5)
    assert np.all(y >= -1.5)
    assert_equal_bits(y[x > 0], x[x > 0])
    assert_equal_bits(kernels.elu(x), kernels.elu(x, 1.0))
    assert kernels.elu(np.zeros(1, dtype))[0] == 0


@law("gelu", "gelu_tanh", "silu", "relu")
@pytest.mark.parametrize(("name", "least"), [("gelu", -0.17), ("gelu_tanh", -0.1701), ("silu", -0.2785)])
@floats
def test_smooth_rectifiers_lie_between_their_minimum_and_relu(name, least, dtype, rng):
    x = uniform(rng, -20, 20, dtype)
    y = getattr(kernels, name)(x)
    assert np.all(y <= np.maximum(x, 0))
    assert np.all(y >= least)
    # f(x) - f(-x) = x, by the symmetry of what x is multiplied with
    ulps = 2 * REGISTRY[name].ulps[np.dtype(dtype).char] + 2
    difference = y.astype(np.float64) - getattr(kernels, name)(-x)
    assert np.all(np.abs(difference - x) <= ulps * ulp(np.abs(x).astype(np.float64), dtype))


@law("gelu", "gelu_tanh")
def test_the_two_forms_of_gelu_differ_by_less_than_a_thousandth(rng):
    x = uniform(rng, -8, 8, "float64")
    assert np.all(np.abs(kernels.gelu(x) - kernels.gelu_tanh(x)) < 1e-3)


@law("softplus", "sigmoid", "log", "expit", "log_expit", "silu")
def test_the_derivative_of_softplus_is_the_sigmoid(rng):
    x, h = uniform(rng, -5, 5, "float64"), 1e-5
    slope = (kernels.softplus(x + h) - kernels.softplus(x - h)) / (2 * h)
    # truncation h^2 / 6 of a third derivative below 0.13, and rounding of a few u softplus / h
    tolerance = h * h + 16 * eps("float64") * 10 / h
    assert np.all(np.abs(slope - kernels.sigmoid(x)) <= tolerance)
    assert_close(kernels.silu(x), x * kernels.sigmoid(x), 12)
    assert_close(kernels.log_expit(x), -kernels.softplus(-x), 16)


@law("sigmoid", "expit", "logit", "softplus")
@wide_floats
def test_sigmoids_of_opposite_numbers_add_to_one(dtype, rng):
    x = uniform(rng, -5, 5, dtype)
    for f in (kernels.sigmoid, kernels.expit):
        assert np.all(np.abs(f(x) + f(-x) - 1) <= 16 * eps(dtype))
    p = uniform(rng, 0.1, 0.9, dtype)
    # logit has the condition number 1 / |(1 - p) logit p|, and expit contributes |x| (1 - p) of it
    assert np.all(np.abs(kernels.expit(kernels.logit(p)) - p) <= 40 * eps(dtype))


# --- special functions ------------------------------------------------------------------------------------


@law("erf", "erfc", "ndtr")
@wide_floats
def test_the_error_function_is_odd_and_complements_to_one(dtype, rng):
    x = uniform(rng, -3, 3, dtype)
    y = kernels.erf(x)
    assert_equal_bits(kernels.erf(-x), -y)
    total = y.astype(np.float64) + kernels.erfc(x)
    assert np.all(np.abs(total - 1) <= (ulps_of("erf", "erfc", dtype=dtype)) * 2 * eps(dtype))
    half = (1 + kernels.erf(x.astype(np.float64) * math.sqrt(0.5))) / 2
    assert np.all(np.abs(kernels.ndtr(x) - half) <= 24 * eps(dtype))


@law("erfcx", "erfc", "exp")
def test_erfcx_is_erfc_without_its_decay(rng):
    x = uniform(rng, 0, 4, "float64")
    assert_close(kernels.erfcx(x) * np.exp(-x * x), kernels.erfc(x), 24, condition=1 + x * x)


@law("erfinv", "erfcinv", "ndtri", "erf", "erfc", "ndtr")
@wide_floats
def test_inverse_error_functions_undo_their_functions(dtype, rng):
    p = uniform(rng, 0.05, 0.95, dtype)
    for inverse, function in (("erfinv", "erf"), ("erfcinv", "erfc"), ("ndtri", "ndtr")):
        y = getattr(kernels, inverse)(p)
        back = getattr(kernels, function)(y)
        # their slopes are below 1.2, and |y| below 2: the error of y enters with at most that
        tolerance = (2 * ulps_of(inverse, dtype=dtype) + ulps_of(function, dtype=dtype)) * 1.2 * eps(dtype)
        assert np.all(np.abs(back - p) <= tolerance), inverse


@law("log_ndtr", "ndtr")
def test_log_ndtr_is_the_logarithm_of_ndtr_and_reaches_further(rng):
    x = uniform(rng, -5, 0, "float64")
    assert_close(kernels.log_ndtr(x), np.log(kernels.ndtr(x)), 64)
    assert -5.1e3 < kernels.log_ndtr(-100.0) < -5e3


@law("gamma", "gammaln", "digamma")
@wide_floats
def test_gamma_of_the_next_number_is_the_number_times_gamma(dtype, rng):
    x = uniform(rng, 0.5, 10, dtype)
    x = np.round(x * 256) / 256  # so that x + 1 is exact
    ulps = 2 * ulps_of("gamma", dtype=dtype) + 2
    assert_close(kernels.gamma(x + 1), x.astype(np.float64) * kernels.gamma(x), 2 * ulps)
    far = x + 4
    step = kernels.gammaln(far + 1).astype(np.float64) - kernels.gammaln(far)
    assert np.all(np.abs(step - np.log(far.astype(np.float64))) <= 32 * eps(dtype) * kernels.gammaln(far + 1))
    difference = kernels.digamma(x + 1).astype(np.float64) - kernels.digamma(x)
    assert np.all(np.abs(difference - 1 / x.astype(np.float64)) <= 32 * eps(dtype) * (2 + 1 / x))


@law("gamma")
def test_gamma_of_integers_is_a_factorial():
    n = np.arange(1, 15)
    factorials = np.array([math.factorial(k - 1) for k in n], float)
    assert_close(kernels.gamma(n.astype(float)), factorials, ulps_of("gamma", dtype="float64"))


@law("beta", "betaln", "gamma", "gammaln")
def test_beta_is_a_quotient_of_gammas(rng):
    x, y = uniform(rng, 0.5, 5, "float64"), uniform(rng, 0.5, 5, "float64")
    quotient = kernels.gamma(x) * kernels.gamma(y) / kernels.gamma(x + y)
    # ln gamma(10) = 12.8, of which exp makes relative errors
    assert_close(kernels.beta(x, y), quotient, 128)
    assert np.all(np.abs(kernels.betaln(x, y) - np.log(quotient)) <= 128 * eps("float64"))


@law("j0", "j1", "y0", "y1", "k0", "k1", "i0", "i1")
@pytest.mark.parametrize(
    ("zero", "one", "sign"), [("j0", "j1", -1), ("y0", "y1", -1), ("i0", "i1", 1), ("k0", "k1", -1)]
)
def test_the_derivative_of_a_bessel_function_of_order_zero_is_that_of_order_one(zero, one, sign, rng):
    x, h = uniform(rng, 1, 3, "float64"), 1e-5
    f = getattr(kernels, zero)
    slope = (f(x + h) - f(x - h)) / (2 * h)
    # third derivatives below 6 on [1, 3]; values below 5, of errors of a few ulps
    tolerance = 2 * h * h + 20 * 5 * eps("float64") / h
    assert np.all(np.abs(slope - sign * getattr(kernels, one)(x)) <= tolerance)


@law("j0", "j1", "y0", "y1", "i0", "i1", "k0", "k1")
def test_wronskians_of_bessel_functions(rng):
    x = uniform(rng, 1, 2, "float64")
    wronskian = kernels.j1(x) * kernels.y0(x) - kernels.j0(x) * kernels.y1(x)
    assert np.all(np.abs(wronskian - 2 / (np.pi * x)) <= 64 * eps("float64"))
    wronskian = kernels.i0(x) * kernels.k1(x) + kernels.i1(x) * kernels.k0(x)
    assert np.all(np.abs(wronskian - 1 / x) <= 64 * eps("float64"))


@law("i0e", "i1e", "i0", "i1", "exp")
@pytest.mark.parametrize("order", [0, 1])
def test_scaled_bessel_functions_lack_the_exponential(order, rng):
    x = uniform(rng, -5, 5, "float64")
    scaled, plain = getattr(kernels, f"i{order}e"), getattr(kernels, f"i{order}")
    assert_close(scaled(x), np.exp(-np.abs(x)) * plain(x), 32)
    assert_close(plain(-x), (-1) ** order * plain(x), 16)


@law("xlogy", "xlog1py", "entr", "rel_entr", "kl_div", "log", "log1p")
def test_entropies_are_products_with_logarithms(rng):
    x, y = uniform(rng, 0.1, 5, "float64"), uniform(rng, 0.1, 5, "float64")
    assert_close(kernels.xlogy(x, y), x * np.log(y), 12)
    assert_close(kernels.xlog1py(x, y), x * np.log1p(y), 12)
    assert_close(kernels.entr(x), -x * np.log(x), 12)
    u = 16 * eps("float64") * (x + y) * 5
    assert np.all(np.abs(kernels.rel_entr(x, y) - x * (np.log(x) - np.log(y))) <= u)
    assert np.all(np.abs(kernels.kl_div(x, y) - (kernels.rel_entr(x, y) - x + y)) <= u)
    assert np.all(kernels.kl_div(x, y) >= 0)


@law("xlogy", "xlog1py", "entr", "rel_entr", "kl_div")
@wide_floats
def test_zero_times_the_logarithm_of_zero_is_zero(dtype):
    zero, one = np.zeros(1, dtype), np.ones(1, dtype)
    assert kernels.xlogy(zero, zero)[0] == 0
    assert kernels.xlog1py(zero, -one)[0] == 0
    assert kernels.entr(zero)[0] == 0
    assert kernels.rel_entr(zero, one)[0] == 0
    assert kernels.kl_div(zero, one)[0] == 1
    assert kernels.entr(-one)[0] == -np.inf


@law("cosm1", "sin", "cos")
@wide_floats
def test_cosm1_is_minus_twice_the_squared_sine_of_the_half(dtype, rng):
    x = uniform(rng, -0.5, 0.5, dtype)
    assert_close(kernels.cosm1(x), -2 * np.sin(x.astype(np.longdouble) / 2) ** 2, ulps_of("cosm1", dtype=dtype) + 1)


@law("huber", "pseudo_huber")
@wide_floats
def test_huber_losses_are_quadratic_near_zero_and_linear_far_away(dtype, rng):
    delta = np.dtype(dtype).type(1.5)
    x = uniform(rng, -1.4, 1.4, dtype)
    assert_close(kernels.huber(delta, x), x.astype(np.float64) ** 2 / 2, 16)
    far = uniform(rng, 10, 20, dtype)
    slope = kernels.huber(delta, far + 1).astype(np.float64) - kernels.huber(delta, far)
    assert np.all(np.abs(slope - 1.5) <= 64 * eps(dtype) * 30)
    smooth = kernels.pseudo_huber(delta, far)
    assert np.all((smooth < kernels.huber(delta, far) + 0.375 * delta**2) & (smooth > 1.5 * (far - 1.5)))
    assert_equal_bits(kernels.pseudo_huber(delta, -far), smooth)


@law("boxcox", "inv_boxcox", "boxcox1p", "inv_boxcox1p", "log", "log1p")
def test_box_cox_transforms_have_inverses_and_the_logarithm_as_a_limit(rng):
    x, power = uniform(rng, 0.5, 5, "float64"), uniform(rng, 0.2, 2, "float64")
    assert_close(kernels.inv_boxcox(kernels.boxcox(x, power), power), x, 64 * 6)
    assert_close(kernels.inv_boxcox1p(kernels.boxcox1p(x, power), power), x, 64 * 6)
    assert_close(kernels.boxcox(x, 0.0), np.log(x), 12)
    assert_close(kernels.boxcox1p(x, 0.0), np.log1p(x), 12)


# --- functions of functions -------------------------------------------------------------------------------


@law("fuse")
@given(data=hst.data())
def test_a_fused_function_is_what_it_does_to_each_element(data):
    x = data.draw(st.arrays("float64", st.shapes(max_dims=2, max_side=12)))
    fused = kernels.fuse(lambda x: x if x > 0 else 2 * x)
    assert_equal_bits(fused(x), np.where(x > 0, x, 2 * x))


@law("sgd_step", "adam_step", "adamw_step")
@wide_floats
def test_optimisers_step_against_the_gradient(dtype, rng):
    start, grad = any_numbers(rng, dtype), any_numbers(rng, dtype)
    for step in (
        lambda w: kernels.sgd_step(w, grad, np.zeros_like(w), lr=0.1),
        lambda w: kernels.adam_step(w, grad, np.zeros_like(w), np.zeros_like(w), step=1, lr=0.1),
        lambda w: kernels.adamw_step(w, grad, np.zeros_like(w), np.zeros_like(w), step=1, lr=0.1, weight_decay=0.0),
    ):
        w = start.copy()
        step(w)
        assert np.all(np.sign(w - start) == -np.sign(grad))


@law("adam_step", "adamw_step")
@wide_floats
def test_the_first_adam_step_has_the_length_of_the_learning_rate(dtype, rng):
    grad = any_numbers(rng, dtype)
    grad[np.abs(grad) < 1e-2] = 1
    for f in (kernels.adam_step, kernels.adamw_step):
        w = np.zeros_like(grad)
        f(w, grad, np.zeros_like(w), np.zeros_like(w), step=1, lr=0.125, weight_decay=0.0, eps=0.0)
        assert np.all(np.abs(np.abs(w) - 0.125) <= 16 * eps(dtype))

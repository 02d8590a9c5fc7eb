"""Units of error against independent sources (math.ulp, numpy.spacing, mpmath), and bounds that hold."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as hst
from numpy.testing import assert_array_equal

from kernels.testing import (
    assert_within,
    condition_bound,
    dot_bound,
    gamma,
    map_bound,
    strategies,
    sum_bound,
    tree_depth,
    ulp,
    ulp_error,
    unit_roundoff,
)

FLOATS = ["float16", "float32", "float64"]
COMPLEX = {"float16": None, "float32": "complex64", "float64": "complex128"}
LONG = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
needs_longdouble = pytest.mark.skipif(not LONG, reason="numpy.longdouble is float64 here")


def extremes(dtype):
    info = np.finfo(dtype)
    return np.array([info.smallest_subnormal, info.tiny, 1, info.max, -info.max, 0], dtype)


# Units


@given(x=hst.floats())
@example(x=5e-324)
@example(x=2.0**-1022)
@example(x=0.0)
@example(x=1.7976931348623157e308)
def test_ulp_of_float64_is_math_ulp(x):
    assert_array_equal(ulp(x, "float64"), math.ulp(x))


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=hst.data())
def test_ulp_is_numpy_spacing_below_the_last_binade(dtype, data):
    x = data.draw(strategies.arrays(dtype, 100, special=True))
    x = x[np.isfinite(x) & (np.abs(x) <= np.finfo(dtype).max / 4)]
    assert_array_equal(ulp(x, dtype), np.spacing(np.abs(x)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_ulp_of_the_largest_number_is_the_gap_below_it(dtype):
    largest = np.finfo(dtype).max
    assert ulp(largest, dtype) == largest - np.nextafter(largest, largest.dtype.type(0))


def test_ulp_of_mpmath_numbers_does_not_round_up_to_the_next_binade():
    with mpmath.workprec(200):
        below_two = mpmath.mpf(2) - mpmath.mpf(2) ** -100
        above_minus_two = -below_two
    assert ulp(below_two, "float64") == 2.0**-52
    assert ulp(above_minus_two, "float32") == 2.0**-23
    assert ulp(mpmath.mpf(2), "float64") == 2.0**-51


def test_ulp_of_mpmath_numbers_beyond_float64_is_that_of_its_limits():
    with mpmath.workprec(200):
        assert ulp(mpmath.mpf(10) ** 400, "float64") == math.ulp(1.7976931348623157e308)
        assert ulp(mpmath.mpf(10) ** -400, "float64") == 5e-324


def test_ulp_past_the_range_of_a_dtype_is_that_of_its_largest_number():
    assert ulp(1e300, "float32") == ulp(-3e38, "float32") == 2.0**104


def test_ulp_of_a_whole_number_given_as_integer_is_that_of_the_float():
    assert_array_equal(ulp([0, 3, 2**40], "float32"), [2.0**-149, 2.0**-22, 2.0**17])


def test_ulp_of_infinities_and_nan_is_infinity_and_nan():
    assert_array_equal(ulp([np.inf, -np.inf, np.nan], "float32"), [np.inf, np.inf, np.nan])


def test_ulp_of_integers_is_one():
    assert_array_equal(ulp([0, 300, -7], "int64"), [1, 1, 1])


@pytest.mark.parametrize("dtype", FLOATS)
def test_unit_roundoff_is_the_error_of_one_half_ulp_at_one(dtype):
    one = np.ones((), dtype)
    assert one + one * np.asarray(unit_roundoff(dtype), dtype) == 1  # a tie, to even
    assert one + np.asarray(2 * unit_roundoff(dtype), dtype) > 1
    if COMPLEX[dtype]:
        assert unit_roundoff(COMPLEX[dtype]) == unit_roundoff(dtype)


# Errors of single results


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=hst.data())
def test_rounding_is_off_by_at_most_half_an_ulp_and_a_neighbour_by_at_least_half(dtype, data):
    wide = np.longdouble if dtype == "float64" else np.float64  # longdouble to float16 is rounded twice
    exact = data.draw(strategies.arrays("float64", 50, low=-100, high=100)).astype(wide) / 3
    rounded = exact.astype(dtype)
    away = np.where(rounded < exact, np.dtype(dtype).type(-np.inf), np.dtype(dtype).type(np.inf))
    assert np.all(ulp_error(rounded, exact) <= 0.5)
    neighbours = ulp_error(np.nextafter(rounded, away), exact)
    assert np.all(neighbours >= 0.5)
    assert np.all(neighbours <= 2.5)  # 1.5, but for the wider gap above a power of two


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shift", [1, -1, 5])
def test_a_planted_error_of_whole_ulps_is_measured_exactly(dtype, shift):
    exact = np.linspace(1.25, 1.75, 9, dtype=dtype)
    assert_array_equal(ulp_error(exact + shift * np.spacing(exact), exact), abs(shift))


@pytest.mark.parametrize("reference", [np.longdouble, mpmath.mpf])
@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormal_results_are_measured_in_the_smallest_subnormal(dtype, reference):
    tiny = np.finfo(dtype).smallest_subnormal
    assert ulp_error(3 * tiny, reference(float(tiny))) == 2
    assert ulp_error(np.zeros((), dtype), reference(float(tiny))) == 1
    if LONG or dtype != "float64" or reference is mpmath.mpf:
        assert ulp_error(tiny, reference(float(tiny)) / 2) == 0.5
        assert ulp_error(0 * tiny, reference(float(tiny)) / 4) == 0.25


@pytest.mark.parametrize("reference", ["longdouble", "mpmath"])
@pytest.mark.parametrize("dtype", FLOATS)
@mpmath.workprec(100)
def test_infinity_stands_for_the_first_number_past_the_range(dtype, reference):
    if reference == "longdouble" and dtype == "float64" and not LONG:
        pytest.skip("numpy.longdouble is float64 here")
    largest = np.finfo(dtype).max
    number = np.longdouble if reference == "longdouble" else lambda x: mpmath.mpf(float(x))
    gap = number(ulp(largest, dtype))
    exact = number(largest)
    infinity = np.array(np.inf, dtype)
    assert ulp_error(largest, exact + gap / 4) == 0.25
    assert ulp_error(infinity, exact + gap / 4) == 0.75
    assert ulp_error(infinity, exact + gap / 2) == 0.5
    assert ulp_error(infinity, exact + gap) == 0
    assert ulp_error(infinity, exact * 4) == 0
    assert ulp_error(largest, exact * 4) > 1e3
    assert ulp_error(-infinity, -exact - gap / 2) == 0.5
    assert ulp_error(-infinity, exact * 4) > 1e3
    assert ulp_error(infinity, number(1.0)) > 1e3


def test_infinity_against_python_floats_is_measured_as_against_an_array():
    exact = np.array([3.4028235677973366e38, -3.4028235677973366e38, 3.5e38, 1e38, -1.0])
    infinities = np.copysign(np.inf, exact).astype(np.float32)
    measured = ulp_error(infinities, exact.astype(object))
    assert_array_equal(measured, ulp_error(infinities, exact))
    assert_array_equal(measured[:3], [0.5, 0.5, 0])
    largest = np.finfo(np.float64).max
    assert_array_equal(ulp_error([np.inf, -np.inf], np.array([largest, -largest], dtype=object)), 1)


def test_infinity_is_measured_exactly_whatever_the_working_precision_of_mpmath():
    with mpmath.workprec(100):
        exact = mpmath.mpf(np.finfo(np.float64).max.item()) * (1 + mpmath.mpf(2) ** -55)
        measured = ulp_error(np.inf, exact)
    assert 0.5 < measured < 1
    assert ulp_error(np.inf, exact) == measured


@pytest.mark.parametrize("reference", [np.float64, np.longdouble, mpmath.mpf])
def test_nan_and_infinity_are_right_only_where_the_exact_value_is_the_same(reference):
    values = np.array([np.nan, np.inf, -np.inf, 3e38], np.float32)
    exact = np.array([reference(float(x)) for x in values])
    error = ulp_error(values[:, None], exact[None, :])
    same = np.eye(4, dtype=bool)
    assert_array_equal(error[same], 0)
    finite = error[~same].reshape(4, 3)
    assert np.all(finite > 1e3) or np.all(finite[np.isfinite(finite)] > 1e6)
    assert_array_equal(error[0, 1:], np.inf)
    assert_array_equal(error[1:, 0], np.inf)
    assert_array_equal(error[3, :3], np.inf)


@pytest.mark.parametrize("reference", [np.float64, lambda x: np.asarray(x, dtype=object)])
def test_the_sign_of_zero_counts_on_request(reference):
    assert ulp_error(np.float32(-0.0), reference(0.0)) == 0
    assert ulp_error(np.float32(-0.0), reference(0.0), signed_zero=True) == np.inf
    assert ulp_error(np.float32(-0.0), reference(-0.0), signed_zero=True) == 0


@pytest.mark.parametrize("name", ["sin", "exp", "log", "sqrt", "tan"])
def test_errors_against_mpmath_agree_with_exact_rational_arithmetic(name):
    x = np.random.default_rng(3).uniform(0.5, 30, 40)
    y = getattr(np, name)(x)
    with mpmath.workprec(150):
        exact = np.array([getattr(mpmath, name)(mpmath.mpf(float(t))) for t in x])
        measured = ulp_error(y, exact)
        for a, e, error in zip(y, exact, measured, strict=True):
            man, exp = e.man_exp
            rational = int(mpmath.sign(e)) * int(man) * Fraction(2) ** int(exp)
            ulps = abs(Fraction(float(a)) - rational) / Fraction(math.ulp(float(e)))
            assert error == pytest.approx(float(ulps), rel=1e-12)


@needs_longdouble
def test_errors_against_longdouble_and_mpmath_agree():
    x = np.random.default_rng(4).standard_normal(50)
    exact = x.astype(np.longdouble) / 3
    with mpmath.workprec(64):
        same = np.array([mpmath.mpf(float(t)) / 3 for t in x])
    assert_array_equal(ulp_error(x / 3, exact), ulp_error(x / 3, same))


@pytest.mark.parametrize("wide", ["complex128", "mpmath"])
def test_complex_errors_are_taken_by_component_or_by_modulus(wide):
    exact = np.array([1 + 2.0**-20 * 1j])
    actual = (exact + 3 * 2.0**-23 * 1j).astype(np.complex64)
    exact = exact if wide == "complex128" else np.array([mpmath.mpc(z) for z in exact])
    assert_array_equal(ulp_error(actual, exact), 3 * 2.0**20)
    assert_array_equal(ulp_error(actual, exact, normwise=True), 3)


def test_complex_infinities_and_nan_that_agree_are_no_error_of_the_modulus():
    values = np.array([complex(np.inf, 1), complex(np.nan, np.inf), 0], np.complex64)
    assert_array_equal(ulp_error(values, values.astype(complex), normwise=True), 0)
    assert np.all(ulp_error(values, values[::-1].astype(complex), normwise=True)[::2] > 1e6)


def test_errors_of_integers_are_exact_over_the_whole_range():
    for dtype in ("int8", "int64", "uint64"):
        info = np.iinfo(dtype)
        ends = np.array([info.min, info.max], dtype)
        assert_array_equal(ulp_error(ends, ends[::-1]), float(info.max - info.min))
        assert_array_equal(ulp_error(ends, ends.astype(object)), 0)


def test_the_result_has_the_broadcast_shape_and_scalars_are_0d():
    assert ulp_error(np.ones((3, 1)), np.ones(4)).shape == (3, 4)
    assert ulp_error(1.0, 1.0).shape == ()
    assert ulp_error(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2)


# Bounds


@given(n=hst.integers(0, 1000), k=hst.integers(0, 1000))
def test_gamma_obeys_the_rules_of_highams_lemma_3_3(n, k):
    g = [Fraction(gamma(i, "float16")) for i in (n, k, n + k)]
    assert g[0] + g[1] + g[0] * g[1] <= g[2] * (1 + Fraction(2) ** -48)


def test_gamma_is_refused_where_nothing_can_be_said():
    assert np.isfinite(gamma(2047, "float16"))
    with pytest.raises(ValueError, match="2048 roundings in float16"):
        gamma(2048, "float16")


def test_integers_have_no_rounding():
    assert gamma(10**6, "int32") == 0
    assert sum_bound(10**6, "uint8", 1e9) == 0
    assert dot_bound(10**6, "int32", 1e9) == 0


@pytest.mark.parametrize("serial", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [*range(20), 255, 256, 257, 1000])
def test_tree_depth_is_that_of_the_tree(n, serial):
    def depth_of_pairs(items):
        return 0 if items <= 1 else 1 + depth_of_pairs(-(-items // 2))

    longest_run = min(max(n, 1), serial)
    assert tree_depth(n, serial) == longest_run - 1 + depth_of_pairs(-(-n // serial))


def running_sum(x):
    total = x.dtype.type(0)
    for value in x:
        total = total + value
    return total


def tree_sum(x):
    while x.size > 1:
        x = np.append(x, x.dtype.type(0)) if x.size % 2 else x
        x = x[::2] + x[1::2]
    return x[0] if x.size else x.dtype.type(0)


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "complex128"])
@given(data=hst.data())
def test_sums_keep_their_bounds_in_sequence_and_as_a_tree(dtype, data):
    x = data.draw(strategies.arrays(dtype, hst.integers(0, 200), low=-50, high=50))
    wide = x.astype(np.clongdouble if x.dtype.kind == "c" else np.longdouble)
    exact, absolute = wide.sum(), np.abs(wide).sum()
    assert_within(running_sum(x), exact, sum_bound(x.size, dtype, absolute), dtype=dtype)
    assert_within(tree_sum(x), exact, sum_bound(x.size, dtype, absolute, depth=tree_depth(x.size)), dtype=dtype)


def test_a_sum_that_drops_its_tail_breaks_the_bound():
    x = np.random.default_rng(0).uniform(1, 2, 1000).astype(np.float32)
    exact = x.sum(dtype=np.float64)
    bound = sum_bound(x.size, x.dtype, exact, depth=tree_depth(x.size))
    assert_within(tree_sum(x), exact, bound, dtype=x.dtype)
    with pytest.raises(AssertionError, match="out of bounds"):
        assert_within(tree_sum(x[:-1]), exact, bound, dtype=x.dtype)


def test_the_sum_bound_is_reached_up_to_second_order():
    n = 1000
    u = np.float32(unit_roundoff("float32"))
    x = np.full(n, u, np.float32)
    x[0] = 1  # every further addition is a tie, rounded down to 1
    exact = x.sum(dtype=np.float64)
    error = exact - float(running_sum(x))
    assert error == (n - 1) * float(u)
    assert error <= sum_bound(n, "float32", exact) <= error * 1.001


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64", "complex128"])
@given(data=hst.data())
def test_inner_products_keep_their_bounds_down_into_underflow(dtype, data):
    n = data.draw(hst.integers(0, 100))
    x, y = (data.draw(strategies.arrays(dtype, n, low=-10, high=10)) for _ in range(2))
    scale = data.draw(hst.sampled_from([1.0, 2.0**-12, 2.0**-70, 2.0**-535]))
    real = unit_roundoff(dtype) and np.finfo(dtype).dtype.type
    x, y = x * real(scale), y * real(scale)
    wide = np.clongdouble if x.dtype.kind == "c" else np.longdouble
    exact = np.sum(x.astype(wide) * y.astype(wide))
    absolute = np.sum(np.abs(x.astype(wide)) * np.abs(y.astype(wide)))
    assert_within(running_sum(x * y), exact, dot_bound(n, dtype, absolute), dtype=dtype)


@given(data=hst.data())
def test_a_composed_function_keeps_the_bound_of_its_condition(data):
    x, y = (data.draw(strategies.arrays("float32", 50, low=-8, high=8)) for _ in range(2))
    exponent = x.astype(np.float64) * y
    exact = np.exp(exponent)
    actual = np.exp((x * y).astype(np.float64)).astype(np.float32)
    bound = condition_bound(
        0.5, exact, "float32", condition=exponent, input_error=unit_roundoff("float32") * (1 + 1e-4)
    )
    assert_within(actual, exact, bound, dtype="float32")


def test_conditioning_adds_what_the_input_error_is_amplified_to():
    exact, error = np.array([2.0, -3.0]), 1e-6
    bound = condition_bound(0.5, exact, "float32", condition=[10, 20], input_error=error)
    np.testing.assert_allclose(
        (bound - map_bound(0.5, exact, "float32")).astype(float), [2 * 10 * error, 3 * 20 * error]
    )


@needs_longdouble
def test_half_the_smallest_subnormal_of_float64_is_a_bound():
    tiny = np.finfo(np.float64).smallest_subnormal
    assert 0 < map_bound(0.5, tiny, "float64") < tiny

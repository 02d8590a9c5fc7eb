"""The comparison accepts what is at the bound, refuses what is just past it, and its report can be run."""

import re

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst

from kernels.testing import assert_equal_bits, assert_within, map_bound, strategies

FLOATS = ["float16", "float32", "float64"]


def failure(check, *args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("ulps", [1, 2, 7])
def test_a_result_exactly_at_its_bound_is_accepted_and_one_past_it_refused(dtype, ulps):
    exact = np.linspace(1, 1.5, 11, dtype=dtype)
    actual = exact + ulps * np.spacing(exact)
    assert assert_within(actual, exact, map_bound(ulps, exact, dtype)) == 1
    actual[4] = np.nextafter(actual[4], actual.dtype.type(np.inf))
    assert "1 of 11 elements" in failure(assert_within, actual, exact, map_bound(ulps, exact, dtype))


@given(data=hst.data(), dtype=strategies.dtypes("iufc"))
def test_one_planted_error_is_found_and_named(data, dtype):
    shape = data.draw(strategies.shapes(min_side=1))
    expected = data.draw(strategies.arrays(dtype, shape, low=0, high=50))
    index = tuple(data.draw(hst.integers(0, side - 1)) for side in shape)
    actual = expected.copy()
    actual[index] += dtype.type(3)
    assert assert_within(expected, expected, 0) == 0
    report = failure(assert_within, actual, expected, 1)
    assert f"1 of {expected.size} elements are out of bounds" in report
    assert f"index     {index}\n" in report
    assert repr(actual[index]) in report
    assert repr(expected[index]) in report


def test_a_wrong_bool_is_found():
    expected = np.array([True, False, True])
    assert assert_within(expected, expected, 0) == 0
    assert "2 of 3" in failure(assert_within, expected ^ [True, True, False], expected, 0)


def test_the_worst_error_is_returned_in_units_of_its_bound():
    expected = np.array([1.0, 10.0, 100.0])
    assert assert_within(np.array([1.5, 10.5, 101.0]), expected, [1, 2, 4]) == 0.5


def test_the_worst_element_is_the_one_most_bounds_off():
    expected = np.array([0.0, 0.0, 0.0])
    report = failure(assert_within, [3.0, 100.0, 6.0], expected, [2, 90, 1])
    assert "index     (2,)" in report
    assert "the worst by 6 times its bound" in report
    assert "3 of 3" in report


def test_the_worst_element_of_an_equality_is_the_one_farthest_off():
    assert "index     (1,)" in failure(assert_within, [1.0, 5.0, 2.0], np.zeros(3), 0)


def test_empty_arrays_are_equal():
    assert assert_within(np.zeros((0, 3)), np.zeros((0, 3)), 0) == 0


def test_arrays_of_0_dimensions_and_scalars_are_compared():
    assert assert_within(np.float32(1), np.array(1, np.float32), 0) == 0
    assert "index     ()" in failure(assert_within, np.float32(2), np.array(1, np.float32), 0)


def test_shape_and_dtype_must_be_those_expected():
    x = np.ones((2, 3), np.float32)
    assert "shape (2, 3), expected (3, 2)" in failure(assert_within, x, x.T, 1)
    assert "dtype float32, expected float64" in failure(assert_within, x, x.astype(float), 1)
    assert "dtype float32, expected float16" in failure(assert_within, x, x.astype(float), 1, dtype="float16")
    assert "expected values are complex64" in failure(assert_within, x, x + 0j, 1, dtype="float32")
    assert "holds no numbers" in failure(assert_within, np.array(["a"]), np.array(["a"]), 1)


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64"])
@pytest.mark.parametrize(("got", "want"), [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, np.inf), (np.inf, -np.inf)])
def test_nan_and_infinities_must_agree_whatever_the_bound(dtype, got, want):
    got, want = np.array([got], dtype), np.array([want], dtype)
    assert "1 of 1" in failure(assert_within, got, want, np.finfo(dtype).max)
    assert "1 of 1" in failure(assert_within, got, want, np.inf)
    assert assert_within(want, want, 0) == 0


def test_a_bound_that_is_nan_refuses_every_error():
    assert assert_within([1.0], np.array([1.0]), np.nan) == 0
    assert "1 of 1" in failure(assert_within, [1.5], np.array([1.0]), np.nan)


def test_a_finite_exact_value_past_the_largest_number_may_round_to_infinity():
    largest = np.float64(np.finfo(np.float32).max)
    exact = np.array([largest + 2.0**103])
    bound = map_bound(0.5, exact, "float32")
    infinity = np.array([np.inf], np.float32)
    assert assert_within(infinity, exact, bound, dtype="float32") <= 1
    assert "1 of 1" in failure(assert_within, infinity, np.array([largest]), bound, dtype="float32")
    assert "1 of 1" in failure(assert_within, infinity, np.float32([largest]), 10 * bound)


def test_signed_zeros_are_told_apart_on_request():
    zero = np.zeros(2, np.float32)
    assert assert_within(-zero, zero, 0) == 0
    assert "2 of 2" in failure(assert_within, -zero, zero, 0, signed_zero=True)


def test_mpmath_numbers_are_a_reference():
    x = np.array([1.0, 2.0, 3.0])
    with mpmath.workprec(100):
        exact = np.array([mpmath.exp(mpmath.mpf(t)) for t in x])
        assert 0 < assert_within(np.exp(x), exact, map_bound(1, exact, "float64")) <= 1
        assert "3 of 3" in failure(assert_within, np.exp(x) * (1 + 1e-14), exact, map_bound(1, exact, "float64"))


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="bound must not be negative"):
        assert_within([1.0], np.array([1.0]), -1)


# The report


def doubled(x, y):
    return x + 2 * y


def run(report):
    """Execute the lines under "reproduce with"; the value of the last one."""
    *lines, last = [line[4:] for line in report.partition("reproduce with\n")[2].splitlines()]
    scope = {"doubled": doubled}
    exec("\n".join(lines), scope)
    return eval(re.sub(r".*\.doubled\(", "doubled(", last), scope)


@given(data=hst.data(), dtype=strategies.dtypes("biufc"))
def test_the_snippet_gives_the_inputs_of_the_worst_element_back_bit_for_bit(data, dtype):
    shapes = data.draw(strategies.broadcastable_shapes(2, min_side=1))
    x, y = (data.draw(strategies.arrays(dtype, shape, special=True)) for shape in shapes.input_shapes)
    index = tuple(data.draw(hst.integers(0, side - 1)) for side in shapes.result_shape)
    expected = np.zeros(shapes.result_shape, np.float32)
    actual = expected.copy()
    actual[index] = 1
    report = failure(assert_within, actual, expected, 0, function=doubled, inputs=(x, y))
    scope = {}
    snippet = report.partition("reproduce with\n")[2].splitlines()
    exec("\n".join(line[4:] for line in snippet if "doubled" not in line and "import test" not in line), scope)
    for name, array in (("x1", x), ("x2", y)):
        at_worst = np.broadcast_to(array, shapes.result_shape)[index].reshape(1)
        assert_equal_bits(scope[name], at_worst, nan_payload=False)


def test_the_snippet_calls_the_function_again():
    x, y = np.float32([1, 2, 0.1]), np.float32([3])
    exact = doubled(x.astype(float), y)
    actual = np.float32(exact)
    actual[2] += 1
    report = failure(
        assert_within,
        actual,
        exact,
        1e-5,
        dtype="float32",
        function=doubled,
        inputs=(x, y),
        reproduce="# seed 7",
    )
    assert f"import {doubled.__module__}" in report
    assert report.endswith("# seed 7")
    assert run(report.removesuffix("    # seed 7").rstrip()) == doubled(np.float32(0.1), np.float32(3))


def test_a_function_can_be_named_by_text():
    report = failure(assert_within, [1.0], np.zeros(1), 0, function="numpy.linalg.norm", inputs=([1.0],))
    assert report.startswith("numpy.linalg.norm: 1 of 1")
    assert "import numpy.linalg\n" in report
    assert report.endswith("numpy.linalg.norm(x1)")


def test_inputs_that_do_not_broadcast_to_the_result_are_given_whole():
    matrix = np.arange(6, dtype=np.int8).reshape(2, 3)
    report = failure(assert_within, [1.0], np.zeros(1), 0, function="kernels.f", inputs=(matrix, np.zeros(2000)))
    assert "x1 = array([0, 1, 2, 3, 4, 5], 'int8').reshape((2, 3))" in report
    assert "x2 = ...  # float64 of shape (2000,)" in report


def test_floats_are_shown_in_hexadecimal_too():
    report = failure(assert_within, np.float32([0.1]), np.float32([0.5]), 0)
    assert "np.float32(0.1)  0x1.99999a0000000p-4" in report
    assert "np.float32(0.5)  0x1.0000000000000p-1" in report


# Bits


@given(data=hst.data(), dtype=strategies.dtypes())
def test_a_copy_has_equal_bits_under_any_strides(data, dtype):
    array = data.draw(strategies.strided_arrays(dtype, strategies.shapes(), special=True))
    assert_equal_bits(array, array.copy())


def test_zeros_of_other_sign_and_neighbours_have_other_bits():
    zero = np.zeros(3, np.float32)
    assert "3 of 3" in failure(assert_equal_bits, zero, -zero)
    report = failure(assert_equal_bits, np.float16([1, 2]), np.nextafter(np.float16([1, 2]), np.float16([1, 3])))
    assert "1 of 2" in report
    assert "index     (1,)" in report
    assert "bits 0x4000, expected 0x4001" in report


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_payloads_of_nan_count_unless_told_otherwise(dtype):
    first, second = (np.array([bits, bits], np.uint32).view(dtype) for bits in (0x7FC00000, 0xFFC00001))
    assert "differ" in failure(assert_equal_bits, first, second)
    assert_equal_bits(first, second, nan_payload=False)
    assert "differ" in failure(assert_equal_bits, first, np.ones_like(second), nan_payload=False)


def test_bits_of_other_shape_or_dtype_are_not_compared():
    assert "shape" in failure(assert_equal_bits, np.zeros(2), np.zeros((1, 2)))
    assert "dtype" in failure(assert_equal_bits, np.zeros(2), np.zeros(2, np.int64))

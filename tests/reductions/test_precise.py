"""Public sums, means and dot products that are rounded once."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import cuda

from kernels.device import expansions
from kernels.device.instructions import of_scalars
from kernels.device.scalar import call
from kernels.reductions import public
from kernels.reductions.exact import exact_sum, rounded
from kernels.runtime.engines import use

HALF, SINGLE, DOUBLE = (np.dtype(t) for t in "efd")
names = pytest.mark.parametrize("dtype", [HALF, SINGLE, DOUBLE], ids=str)


def mean(a, axis=None):
    return public.mean(a, axis, method="exact")


def rows_of(x, axis):
    if axis is None:
        return x.reshape(1, -1)
    return np.moveaxis(x, axis, -1).reshape(math.prod(np.delete(x.shape, axis)), x.shape[axis])


def wanted(x, axis, dtype=None):
    found = [exact_sum(row, dtype=dtype or x.dtype) for row in rows_of(x, axis)]
    return np.array(found, dtype or x.dtype).reshape(() if axis is None else np.delete(x.shape, axis))


def assert_identical(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(found) & ~np.isnan(found), np.signbit(expected) & ~np.isnan(expected))


# --- expansions -------------------------------------------------------------------------------------------------------

LENGTH, CUT = 8, 5


def rounding(dtype):
    """Kernel: the sum of LENGTH numbers by way of two expansions, rounded to a dtype."""
    insert = call(expansions.insert, (DOUBLE,) * 4, (DOUBLE,) * 3)
    merge = call(expansions.merge, (DOUBLE,) * 6, (DOUBLE,) * 3)
    finish = expansions.to_double if dtype == DOUBLE else expansions.to_narrower(dtype)
    finish = call(finish, (DOUBLE,) * 3, (DOUBLE,))

    @cuda.jit
    @of_scalars
    def kernel(x, found):
        one = insert((0.0, 0.0, 0.0, x[0]))
        for k in range(1, CUT):
            one = insert((*one, x[k]))
        two = insert((0.0, 0.0, 0.0, x[CUT]))
        for k in range(CUT + 1, LENGTH):
            two = insert((*two, x[k]))
        found[0] = float(finish(merge(one + two)))

    return kernel


KERNELS = {dtype: rounding(dtype) for dtype in (HALF, SINGLE, DOUBLE)}


@st.composite
def near_ties(draw, dtype):
    """Numbers whose sum is near a float, near the middle between two, or anywhere; some cancel."""
    exponents = st.integers(-1074, 1023) | st.integers(-160, 130) | st.integers(-30, 16)
    significands = st.integers(-(2**53), 2**53) | st.integers(-(2**25), 2**25) | st.sampled_from([1, -1])
    number = st.builds(lambda m, e: math.ldexp(m, max(e, -1074) - m.bit_length() * (e > 900)), significands, exponents)
    x = draw(number)
    with np.errstate(all="ignore"):
        near = float(dtype.type(x))
        gap = float(abs(np.spacing(dtype.type(x)))) if math.isfinite(near) else 0.0
    tie = [
        near,
        draw(st.sampled_from([-0.5, 0.5, 0.25, 1.5])) * gap,
        draw(number | st.sampled_from([0.0, 5e-324, -5e-324])),
    ]
    found = draw(st.just(tie) | st.lists(number, max_size=4))
    found = [x if math.isfinite(x) else 1.0 for x in found]
    cancelled = draw(st.lists(st.sampled_from(found), max_size=3)) if found else []
    found += [-x for x in cancelled]
    return np.array(draw(st.permutations(found + [0.0] * (LENGTH - len(found)))))


@names
@settings(max_examples=150)
@given(data=st.data())
def test_an_expansion_is_rounded_once_or_says_that_it_is_lost(dtype, data):
    x, found = data.draw(near_ties(dtype)), np.empty(1)
    KERNELS[dtype][1, 1](x, found)
    if not np.isnan(found[0]):
        with np.errstate(over="ignore"):
            assert_identical(found[0], np.float64(rounded(sum(map(Fraction, x.tolist())), dtype)))


@names
@given(st.lists(st.integers(-(2**53), 2**53), min_size=LENGTH, max_size=LENGTH), st.integers(-50, 0), st.data())
def test_numbers_within_three_float64_are_not_lost(dtype, significands, low, data):
    x = np.array([math.ldexp(m, data.draw(st.integers(low, low + 50))) for m in significands])
    found = np.empty(1)
    KERNELS[dtype][1, 1](x, found)
    exact = sum(map(Fraction, x.tolist()))
    if abs(exact) < 65504 or dtype == DOUBLE:
        assert_identical(found[0], np.float64(rounded(exact, dtype)))


@given(st.floats(width=64), st.floats(width=64))
def test_a_product_is_two_numbers_or_lost(x, y):
    x, y = np.float64(x), np.float64(y)
    found, run = np.empty(2), PRODUCT
    run[1, 1](x, y, found)
    if np.isfinite(found).all():
        assert Fraction(found[0]) + Fraction(found[1]) == Fraction(float(x)) * Fraction(float(y))
    else:
        with np.errstate(all="ignore"):
            assert not 1e-280 <= abs(x * y) < np.inf


def _product_kernel():
    product = call(expansions.product, (DOUBLE,) * 2, (DOUBLE,) * 2)

    @cuda.jit
    @of_scalars
    def kernel(x, y, found):
        p, e = product((x, y))
        found[0], found[1] = float(p), float(e)

    return kernel


PRODUCT = _product_kernel()

# --- sums -------------------------------------------------------------------------------------------------------------


@names
@pytest.mark.parametrize("shape", [(300,), (5, 67), (3, 260), (40, 6), (0, 3), (2, 3, 4)], ids=str)
def test_a_sum_is_that_of_fractions_over_any_axis(dtype, shape, rng):
    x = rng.standard_normal(shape).astype(dtype)
    for axis in (None, *range(x.ndim)):
        assert_identical(public.sum(x, axis, method="exact"), wanted(x, axis))
    assert_identical(public.sum(x[..., ::-2], 0, method="exact"), wanted(x[..., ::-2], 0))


def test_the_reproducible_sum_is_the_exact_one(rng):
    x = rng.standard_normal(100).astype(SINGLE)
    assert_identical(public.sum(x, method="reproducible"), wanted(x, None))


def test_rows_that_expansions_lose_are_summed_by_accumulators(rng):
    x = rng.standard_normal((5, 40))
    x[1] *= 10.0 ** rng.integers(-300, 300, 40)
    x[2, 7], x[3, 9], x[4, :2] = np.inf, np.nan, (np.inf, -np.inf)
    assert_identical(public.sum(x, 1, method="exact"), wanted(x, 1))
    x[1, :3] = 1e308, 1e308, -1e308
    assert_identical(public.sum(x, 1, method="exact"), wanted(x, 1))


def test_masks_initial_values_and_outputs_mean_what_they_do_elsewhere(rng):
    x, where = rng.standard_normal((6, 40)), rng.random((6, 40)) < 0.5
    x[2] *= 10.0 ** rng.integers(-300, 300, 40)
    expected = np.array([math.fsum([*row[chosen], 1e-9]) for row, chosen in zip(x, where, strict=True)])
    out = np.empty((6, 1))
    assert public.sum(x, 1, method="exact", where=where, initial=1e-9, keepdims=True, out=out) is out
    assert_identical(out[:, 0], expected)


def test_complex_numbers_are_summed_by_parts(rng):
    z = rng.standard_normal((20, 7)) + 1j * rng.standard_normal((20, 7))
    z.imag[3:5, 2] = 1e200, -1e200
    expected = np.array([complex(math.fsum([*c.real, 1]), math.fsum([*c.imag, 2])) for c in z.T])
    assert_identical(public.sum(z, 0, method="exact", initial=1 + 2j), expected)


def test_elements_are_converted_before_they_are_added(rng):
    x = rng.standard_normal(60)
    assert_identical(public.sum(x, dtype=SINGLE, method="exact"), wanted(x.astype(SINGLE), None))
    small = x.astype(SINGLE)
    assert_identical(public.sum(small, dtype=DOUBLE, method="exact"), wanted(small.astype(DOUBLE), None))
    whole = rng.integers(-(2**62), 2**62, 60)
    assert_identical(public.sum(whole, dtype=DOUBLE, method="exact"), wanted(whole.astype(DOUBLE), None))
    assert_identical(public.sum(whole, method="exact"), whole.sum())


def test_numbers_without_axes_are_their_sums():
    assert_identical(public.sum(np.float64(np.inf), method="exact"), np.float64(np.inf))
    assert_identical(public.sum(np.float32(0.1), method="exact", initial=2), np.float32(0.1) + np.float32(2))


def test_the_reference_says_the_same(rng):
    x = rng.standard_normal((4, 30)) * 10.0 ** rng.integers(-35, 35, (4, 30))
    z = (x + 1j * x[::-1]).astype(np.complex64)
    with use("reference"):
        assert_identical(public.sum(x, 1, method="exact"), wanted(x, 1))
        assert_identical(public.sum(z.real, 0, method="exact"), public.sum(z, 0, method="exact").real)
        assert_identical(mean(x, 1), wanted(x, 1) / 30)
        assert_identical(public.dot(x[0], x[1], method="exact"), exact_sum(x[0], x[1]))


def test_what_is_no_method_is_refused():
    with pytest.raises(ValueError, match="method must be None, 'exact' or 'reproducible', got 'kahan'"):
        public.sum(np.ones(3), method="kahan")


# --- means and products -----------------------------------------------------------------------------------------------


@names
def test_a_mean_is_the_exact_sum_divided(dtype, rng):
    x = rng.standard_normal((4, 50)).astype(dtype)
    expected = np.array([float(exact_sum(row, dtype=DOUBLE)) / 50 for row in x]).astype(dtype)
    assert_identical(mean(x, 1), expected)


@pytest.mark.parametrize("dtype", [HALF, DOUBLE, np.dtype(np.complex64)], ids=str)
def test_a_mean_is_of_what_the_mask_has(dtype, rng):
    x = (rng.standard_normal((4, 30)) + (1j * rng.standard_normal((4, 30)) if dtype.kind == "c" else 0)).astype(dtype)
    where = rng.random((4, 30)) < 0.5
    where[2] = False
    found = public.mean(x, 1, where=where, method="exact")
    for part in ("real", "imag")[: 1 + (dtype.kind == "c")]:
        rows = [getattr(row[chosen], part) for row, chosen in zip(x, where, strict=True)]
        expected = [float(exact_sum(row, dtype=DOUBLE)) / len(row) if len(row) else math.nan for row in rows]
        assert_identical(getattr(found, part), np.array(expected).astype(getattr(x, part).dtype))
    with use("reference"), warnings.catch_warnings():
        assert_identical(public.mean(x, 1, where=where, method="exact"), found)


def test_means_of_what_is_lost_or_nothing():
    x = np.array([[1e300, 1.0, -1e300], [np.inf, 1, 2], [1e308, 1e308, -1e308]])
    assert_identical(mean(x, 1), np.array([1 / 3, np.inf, 1e308 / 3]))
    assert np.isnan(mean(np.empty((0, 2)), 0)).all()


@names
def test_dot_products_are_rounded_once(dtype, rng):
    x, y = rng.standard_normal((2, 3, 30)).astype(dtype)
    assert_identical(public.dot(x[0], y[0, ::-1], method="exact"), exact_sum(x[0], y[0, ::-1]))
    assert_identical(public.vdot(x, y, method="exact"), exact_sum(x.reshape(-1), y.reshape(-1)))


def test_products_that_expansions_lose_are_summed_by_accumulators(rng):
    x = rng.standard_normal(30) * 10.0 ** rng.integers(-170, 150, 30)
    y = rng.standard_normal(30) * 10.0 ** rng.integers(-170, 150, 30)
    assert_identical(public.dot(x, y, method="exact"), exact_sum(x, y))
    assert_identical(public.dot(x, x[::-1] * np.inf, method="exact"), exact_sum(x, x[::-1] * np.inf))


def test_products_of_integers_are_exact_and_of_complex_numbers_refused():
    assert public.dot(np.arange(9), np.arange(9), method="exact") == np.dot(np.arange(9), np.arange(9))
    with pytest.raises(TypeError, match="dot is not defined for a: complex128, b: complex128"):
        public.dot(np.ones(3, complex), np.ones(3, complex), method="exact")

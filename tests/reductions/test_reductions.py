"""Reductions against NumPy: every function and dtype within its documented bound, and NumPy's semantics of arguments.

In the simulator blocks have 64 threads, and a launch four of them where it can: a few hundred elements take every path.
"""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels import REGISTRY, reductions
from kernels.device.instructions import SIMULATED
from kernels.reductions import layout
from kernels.reductions.folds import copy_fold
from kernels.runtime.arrays import Pointer, operand
from kernels.runtime.layouts import layout as layout_of

FILED = [pair for pair in REGISTRY.values() if pair.family == "reductions"]
PAIRS = {pair.name: pair for pair in FILED if pair.signature.endswith("->()")}
CASES = [(name, loop) for name, pair in PAIRS.items() for loop in pair.loops]
ULPS_OF_HALF = 1.0
LENGTHS = (1, 7, 300) if SIMULATED else (1, 7, 1000, 100_003)
WIDER = {"e": "d", "f": "d", "F": "D"}


def draw(rng, dtype, shape, low=-10.0, high=10.0):
    """Random numbers of a dtype from an interval."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(math.ceil(low if dtype.kind == "i" else max(low, 0)), math.floor(high) + 1, shape).astype(
            dtype
        )
    values = rng.uniform(low, high, shape)
    if dtype.kind == "c":
        values = (values + 1j * rng.uniform(low, high, shape)) / np.sqrt(2)  # of a modulus in the interval
    return np.asarray(values).astype(dtype)


def allowed(pair, dtype, arrays, exact, wide):
    """The documented bound on an error, as a number."""
    ulps = pair.ulps.get(dtype.char, 0)
    if not ulps:
        return 0
    size = np.abs(exact) if pair.magnitude is None else np.abs(pair.magnitude(*wide))
    eps = np.finfo(dtype).eps
    if dtype.char == "e":  # computed in float32, and rounded once
        return ULPS_OF_HALF * eps * np.abs(exact) + 300 * np.finfo("f").eps * size + 2.0**-24
    return ulps * eps * size


@pytest.mark.parametrize(("name", "loop"), CASES, ids=[f"{name}-{loop}" for name, loop in CASES])
def test_every_loop_keeps_its_bound(name, loop, rng):
    pair = PAIRS[name]
    ins, out = loop.split("->")
    for n in LENGTHS:
        arrays = [draw(rng, c, n, *interval) for c, interval in zip(ins, pair.domain, strict=True)]
        actual = pair.call(*arrays)
        wide = [x.astype(WIDER.get(c, c)) for c, x in zip(ins, arrays, strict=True)]
        exact = pair.reference(*(wide if pair.ulps.get(out) else arrays))
        assert actual.dtype == np.dtype(out)
        bound = allowed(pair, actual.dtype, arrays, exact, wide)
        assert np.all(np.abs(np.subtract(actual, exact) if out != "?" else actual != exact) <= bound), n


SHAPES = [(), (1,), (5, 4), (3, 0), (0,), (40, 3), (3, 40), (4, 5, 6), (2, 3, 1, 4)]


def some_axes(ndim):
    """Every kind of axis."""
    yield None
    yield ()
    yield from range(-ndim, ndim)
    if ndim > 1:
        yield (0, ndim - 1)
        yield (-1, 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["sum", "max", "any", "var", "argmin", "count_nonzero"])
def test_axes_and_keepdims_are_those_of_numpy(name, shape, rng):
    x = draw(rng, "d", shape)
    for axis in some_axes(len(shape)):
        if name == "argmin" and isinstance(axis, tuple):
            continue
        for keepdims in (False, True):
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    expected = np.asarray(getattr(np, name)(x, axis=axis, keepdims=keepdims))
            except ValueError:
                with pytest.raises(ValueError, match="identity"):
                    getattr(kernels, name)(x, axis=axis, keepdims=keepdims)
                continue
            actual = np.asarray(getattr(kernels, name)(x, axis=axis, keepdims=keepdims))
            assert actual.shape == expected.shape
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


VIEWS = {
    "reversed": lambda x: x[::-1, ::-1],
    "every other": lambda x: x[::2, 1::2],
    "transposed": lambda x: x.T,
    "Fortran": lambda x: np.asfortranarray(x),
    "broadcast": lambda x: np.broadcast_to(x[:1], (6, x.shape[1])),
    "unaligned": lambda x: x[:, 1:],
    "one column": lambda x: x[:, 3:4],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["f", "b"])
def test_any_strides_are_read_in_place(view, dtype, rng):
    x = VIEWS[view](draw(rng, dtype, (14, 33)))
    for axis in (None, 0, 1):
        expected = np.sum(x, axis=axis, dtype="d" if dtype == "f" else None)
        size = np.sum(np.abs(x), axis=axis, dtype="d")
        bound = 6 * np.finfo("f").eps * size if dtype == "f" else 0
        assert np.all(np.abs(kernels.sum(x, axis=axis) - expected) <= bound)
        np.testing.assert_array_equal(kernels.max(x, axis=axis), np.max(x, axis=axis))
        np.testing.assert_array_equal(kernels.argmax(x, axis=axis), np.argmax(x, axis=axis))


def test_the_index_of_equal_elements_is_the_first_in_c_order_however_they_lie_in_memory():
    x = np.zeros((5, 6, 7), order="F")
    x[3, 1, 6] = x[1, 4, 2] = x[1, 4, 5] = 1
    assert kernels.argmax(x) == np.argmax(x)
    assert kernels.argmax(x.transpose(2, 0, 1)) == np.argmax(x.transpose(2, 0, 1))
    np.testing.assert_array_equal(kernels.argmin(x, axis=1), np.argmin(x, axis=1))


@pytest.mark.parametrize("n", [3, 200])
def test_nan_is_the_largest_and_the_smallest_and_the_first_counts(n, rng):
    x = draw(rng, "f", (3, n))
    x[1, n // 2] = x[1, n - 1] = np.nan
    for name in ("max", "min", "argmax", "argmin"):
        np.testing.assert_array_equal(getattr(kernels, name)(x, axis=1), getattr(np, name)(x, axis=1))
        np.testing.assert_array_equal(getattr(kernels, name)(x, axis=0), getattr(np, name)(x, axis=0))


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"])
def test_what_is_nan_is_left_out(name, rng):
    x = draw(rng, "d", (6, 50), 0.5, 1.5)
    x[rng.random(x.shape) < 0.4] = np.nan
    for axis in (None, 0, 1):
        expected = getattr(np, name)(x, axis=axis)
        np.testing.assert_allclose(getattr(kernels, name)(x, axis=axis), expected, rtol=1e-12)


def test_places_of_nothing_but_nan_are_minus_one(rng):
    x = draw(rng, "d", (3, 50))
    x[1] = np.nan
    x[0, 7] = np.nan
    np.testing.assert_array_equal(kernels.nanargmax(x, axis=1), [np.nanargmax(x[0]), -1, np.nanargmax(x[2])])
    np.testing.assert_array_equal(kernels.nanargmin(x, axis=1), [np.nanargmin(x[0]), -1, np.nanargmin(x[2])])


@pytest.mark.parametrize("dtype", ["f", "i", "?"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_masks_choose_the_elements_that_count(dtype, axis, rng):
    x, mask = draw(rng, dtype, (20, 30)), rng.random((20, 30)) < 0.5
    for where in (mask, mask[:1], mask[:, :1], np.True_, np.False_):
        expected = np.sum(x, axis=axis, where=where, dtype="d" if dtype == "f" else None)
        np.testing.assert_allclose(kernels.sum(x, axis=axis, where=where), expected, rtol=1e-5, atol=1e-4)
        assert np.array_equal(kernels.any(x, axis=axis, where=where), np.any(x, axis=axis, where=where))
        largest = np.max(x, axis=axis, where=where, initial=x.dtype.type(0))
        np.testing.assert_array_equal(kernels.max(x, axis=axis, where=where, initial=0), largest)
    if dtype != "?":
        np.testing.assert_allclose(kernels.mean(x, axis=axis, where=mask), np.mean(x, axis=axis, where=mask), rtol=1e-4)
        np.testing.assert_allclose(kernels.var(x, axis=axis, where=mask), np.var(x, axis=axis, where=mask), rtol=1e-4)


@pytest.mark.parametrize(("name", "initial"), [("sum", 100), ("prod", 3), ("max", 50), ("min", -50), ("max", -50)])
def test_what_is_given_beside_the_elements_takes_part(name, initial, rng):
    x = draw(rng, "q", (4, 5), 1, 4)
    for axis in (None, 0, 1, ()):
        expected = getattr(np, name)(x, axis=axis, initial=initial)
        np.testing.assert_array_equal(getattr(kernels, name)(x, axis=axis, initial=initial), expected)
    np.testing.assert_array_equal(getattr(kernels, name)(x[:, :0], axis=1, initial=initial), [initial] * 4)


def test_out_is_written_in_place_and_returned(rng):
    x = draw(rng, "f", (6, 7))
    out = np.full((6, 14), 9.0)
    assert kernels.sum(x, axis=1, out=out[:, 3]) is not None
    np.testing.assert_allclose(out[:, 3], np.sum(x, axis=1, dtype="d"))
    assert (np.delete(out, 3, axis=1) == 9).all()
    whole = np.empty((1, 7), "d")
    assert kernels.max(x, axis=0, out=whole, keepdims=True) is whole
    np.testing.assert_array_equal(whole, np.max(x, axis=0, keepdims=True))


def test_out_decides_what_is_added_up_in_as_it_does_for_numpy(rng):
    x = draw(rng, "b", 300, -128, 127)
    out = np.empty((), "b")
    assert kernels.sum(x, out=out) == np.sum(x, out=np.empty((), "b"))
    with pytest.raises(TypeError, match="out has dtype int32"):
        kernels.mean(x, out=np.empty((), "i"))


def test_out_may_be_a_part_of_what_is_reduced(rng):
    x = draw(rng, "d", (5, 6))
    expected = x.sum(axis=0)
    kernels.sum(x, axis=0, out=x[2])
    np.testing.assert_allclose(x[2], expected)


# --- numerics ---------------------------------------------------------------------------------------------------------


def ill_conditioned(draw_, dtype):
    """Numbers of all exponents whose sum nearly cancels."""
    rng = np.random.default_rng(draw_(st.integers(0, 2**32)))
    n = draw_(st.integers(1, 200))
    x = (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 20, n)).astype(dtype)
    return np.concatenate([x, -x[: n // 2], rng.standard_normal(3).astype(dtype)])


@settings(max_examples=30, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["f", "d"]))
def test_a_sum_errs_by_its_bound_at_most_where_it_cancels(data, dtype):
    x = ill_conditioned(data.draw, dtype)
    exact = sum(map(Fraction, x.tolist()))
    bound = 6 * np.finfo(dtype).eps * float(sum(abs(Fraction(v)) for v in x.tolist()))
    assert abs(Fraction(float(kernels.sum(x))) - exact) <= bound


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_large_mean_costs_the_variance_no_more_than_its_bound(dtype, axis, rng):
    mean = 1e4 if dtype == "f" else 1e8
    x = (mean + rng.standard_normal((400, 6))).astype(dtype)
    x = x if axis == 0 else np.ascontiguousarray(x.T)
    exact = np.var(x.astype(np.longdouble), axis=axis)
    eps = np.finfo(dtype).eps
    kappa = np.sqrt(1 + mean**2 / exact)
    bound = (264 + math.log2(400)) * eps * kappa * exact
    assert np.all(np.abs(kernels.var(x, axis=axis) - exact) <= bound)


def test_exponentials_neither_overflow_nor_vanish(rng):
    x = np.array([[1e4, 1e4, -1e4], [-np.inf, -np.inf, -np.inf], [np.inf, 1, 2], [np.nan, 1, 2], [-np.inf, 0, 0]])
    expected = [1e4 + np.log(2), -np.inf, np.inf, np.nan, np.log(2)]
    np.testing.assert_allclose(kernels.logsumexp(x, axis=1), expected, rtol=1e-15)
    np.testing.assert_allclose(kernels.logsumexp(np.repeat(x, 50, axis=1), axis=1), np.add(expected, np.log(50)))
    value, sign = kernels.logsumexp(np.array([1.0, 2.0, 3.0]), b=np.array([1.0, -3.0, 0.0]), return_sign=True)
    assert sign == -1
    np.testing.assert_allclose(value, np.log(3 * np.exp(2) - np.exp(1)))
    assert np.isnan(kernels.logsumexp(np.array([1.0, 2.0]), b=np.array([1.0, -3.0])))


@pytest.mark.skipif(not SIMULATED, reason="launches over the memory of NumPy's arrays")
@pytest.mark.parametrize("shape", [(), (5,), (40, 50), (3, 4, 5)])
@pytest.mark.parametrize("dtype", ["?", "e", "i", "D"])
def test_the_fold_over_no_axes_copies(dtype, shape, rng):
    x, y = np.asarray(draw(rng, dtype, shape[::-1])).T, np.ones(shape, dtype)
    given, copy = layout_of(operand(x, "x")), layout_of(operand(y, "y"))
    layout.launch(copy_fold(x.dtype), (given,), copy, (), shape, (), 0)(0, Pointer(x), Pointer(y))
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("shape", [(2000,), (4, 600), (600, 4), (3, 200, 5)])
@pytest.mark.parametrize("name", ["sum", "var", "logsumexp"])
def test_a_result_has_the_same_bits_however_often_it_is_computed(name, shape, rng):
    x = draw(rng, "f", shape)
    for axis in range(len(shape)):
        first = np.asarray(getattr(kernels, name)(x, axis=axis))
        assert np.array_equal(first.view("i"), np.asarray(getattr(kernels, name)(x.copy(), axis=axis)).view("i"))


# --- weights, products, norms -----------------------------------------------------------------------------------------


def test_a_weighted_mean_takes_weights_of_one_axis_or_of_all(rng):
    x, w = draw(rng, "d", (4, 30)), rng.random((4, 30))
    for axis, weights in ((None, w), (0, w), (1, w), (1, w[0]), (0, w[:, 0]), (None, None), (1, None)):
        expected, total = np.average(x, axis, weights, returned=True)
        actual, summed = kernels.average(x, axis, weights, returned=True)
        np.testing.assert_allclose(actual, expected)
        np.testing.assert_allclose(np.broadcast_to(summed, np.shape(total)), total)
    with pytest.raises(ValueError, match=r"weights has shape \(7,\)"):
        kernels.average(x, 1, w[0, :7])


@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf])
def test_norms_of_vectors_are_those_of_numpy(order, rng):
    x = draw(rng, "D", (3, 40), 0.5, 2)
    np.testing.assert_allclose(kernels.norm(x, order, axis=1), np.linalg.norm(x, order, axis=1), rtol=1e-12)
    np.testing.assert_allclose(kernels.norm(x.real, order, axis=0), np.linalg.norm(x.real, order, axis=0), rtol=1e-12)


@pytest.mark.parametrize("order", [None, "fro", 1, -1, np.inf, -np.inf])
def test_norms_of_matrices_are_those_of_numpy(order, rng):
    x = draw(rng, "d", (3, 7, 8))
    for axis in ((0, 1), (1, 2), (2, 0)):
        for keepdims in (False, True):
            expected = np.linalg.norm(x, order, axis, keepdims)
            np.testing.assert_allclose(kernels.norm(x, order, axis, keepdims), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="ord must be 'fro', 1, -1, inf or -inf for matrices, got 'nuc'"):
        kernels.norm(x[0], "nuc")


def test_inner_products_take_vectors_of_one_length_or_numbers(rng):
    x, y = draw(rng, "F", 50), draw(rng, "f", 50)
    np.testing.assert_allclose(kernels.dot(x, y), np.dot(x, y), rtol=1e-5)
    np.testing.assert_allclose(kernels.vdot(x, y), np.vdot(x, y), rtol=1e-5)
    np.testing.assert_allclose(kernels.vdot(x.reshape(5, 10), y.reshape(10, 5)), np.vdot(x, y), rtol=1e-5)
    np.testing.assert_allclose(kernels.dot(x, 2.0), np.dot(x, 2.0))
    assert kernels.dot(np.array([200], "B"), np.array([2], "B")) == np.dot(np.array([200], "B"), np.array([2], "B"))
    with pytest.raises(ValueError, match="a has 50 elements, b 49"):
        kernels.dot(x, y[1:])
    with pytest.raises(ValueError, match="b has 2 axes; dot is of vectors"):
        kernels.dot(x, y.reshape(5, 10))


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"axis": 2}, ValueError, "axis 2 is out of bounds for array of dimension 2"),
        ({"axis": (0, 0)}, ValueError, "repeated axis"),
        ({"axis": 0.5}, TypeError, "axis must be None, an integer or a tuple of integers, got 0.5"),
        ({"out": np.empty(3)}, ValueError, r"out has shape \(3,\), the result has \(\)"),
        ({"where": np.ones(7, bool)}, ValueError, r"could not be broadcast together: a \(4, 5\), where \(7,\)"),
        ({"where": np.ones(5)}, TypeError, "where must be boolean"),
        ({"dtype": "U3"}, TypeError, "sum is not defined for a: float64 with dtype=<U3"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed(arguments, error, message):
    with pytest.raises(error, match=message):
        kernels.sum(np.ones((4, 5)), **arguments)


def test_nothing_has_no_largest_element():
    for name in ("max", "min", "ptp", "argmax"):
        with pytest.raises(ValueError, match=f"a has no elements along the reduced axes, and {name} has no identity"):
            getattr(kernels, name)(np.empty((3, 0)), axis=1)
        assert np.shape(getattr(kernels, name)(np.empty((3, 0)), axis=0)) == (0,)
    with pytest.raises(ValueError, match="initial must be given where max has a mask"):
        kernels.max(np.ones(3), where=np.ones(3, bool))


def test_two_names_of_one_divisor_are_not_given_together():
    assert kernels.var(np.array([1.0, 3.0]), correction=1) == 2
    with pytest.raises(ValueError, match="ddof and correction"):
        kernels.var(np.array([1.0, 3.0]), ddof=1, correction=1)


def test_a_plan_is_what_the_function_does(rng):
    x = draw(rng, "d", (5, 40))
    plan = kernels.sum.plan((x,), axis=1)
    np.testing.assert_allclose(plan(x), x.sum(axis=1))
    with pytest.raises(ValueError, match=r"a must have shape \(5, 40\)"):
        plan(x[:4])
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        kernels.sum.plan((x,), axes=1)


def test_what_is_public_is_listed():
    assert set(PAIRS) <= set(reductions.__all__)
    assert set(reductions.__all__) <= set(kernels.__all__)


# --- launch shapes ----------------------------------------------------------------------------------------------------


def test_blocks_that_share_a_row_are_folded_in_more_than_one_step():
    assert layout._shared(1) == 0
    assert layout._shared(layout.GATHERED) == layout.GATHERED
    assert layout._shared(layout.GATHERED + 1) == layout.GATHERED + 3


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 10**6))
def test_blocks_cover_all_columns_and_few_beside_them(length):
    across = layout._across(length)
    assert 1 <= across <= layout.BLOCK or length <= 96
    assert -(-length // across) * across - length < -(-length // across)

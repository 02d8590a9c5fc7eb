"""Reductions by users' operators and functions, against functools.reduce and NumPy."""

import functools
import math
import operator

import numpy as np
import pytest

import kernels
from kernels.runtime.arrays import DTYPES

EPS = np.finfo(np.float32).eps


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def numbers(rng, shape, dtype):
    """Small numbers of any dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        found = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.kind == "c" else 0)
        return found.astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 5, shape).astype(dtype)


def ends(a, b):
    return min(a[0], b[0]), max(a[1], b[1])


def of_two_sets(a, b):
    n, d = a[0] + b[0], b[1] - a[1]
    return n, a[1] + d * b[0] / n, a[2] + b[2] + d * d * (a[0] * b[0] / n)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_sum_has_the_dtype_that_the_operator_returns(dtype, rng):
    x = numbers(rng, (5, 9), dtype)
    found = kernels.reduce(lambda a, b: a + b, x, axis=1)
    assert found.dtype == dtype
    expected = np.add.reduce(x.astype(np.complex128 if np.dtype(dtype).kind == "c" else np.float64), axis=1)
    if np.dtype(dtype).kind in "fc":
        bound = 9 * np.finfo(dtype).eps * np.abs(x.astype(np.complex128)).sum(1)
        assert (np.abs(found.astype(np.complex128) - expected) <= bound).all()
    else:
        assert (found == (expected > 0 if dtype == np.bool_ else expected.astype(dtype))).all()


@pytest.mark.parametrize(
    ("op", "ufunc"),
    [
        (operator.add, np.add), (operator.mul, np.multiply), (max, np.maximum), (min, np.minimum),
        (operator.and_, np.bitwise_and), (operator.or_, np.bitwise_or), (operator.xor, np.bitwise_xor),
        (np.gcd, np.gcd), (np.logical_and, np.logical_and),
    ],
)  # fmt: skip
def test_operators_of_python_and_of_numpy_are_known(op, ufunc, rng):
    x = rng.integers(1, 100, (3, 50)).astype(np.int32)
    expected = ufunc.reduce(x, axis=1) if ufunc is np.logical_and else ufunc.reduce(x, axis=1, dtype=np.int32)
    found = kernels.reduce(op, x, axis=1)
    assert found.dtype == expected.dtype
    assert (found == expected).all()


@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.bitwise_and, np.bitwise_or, np.bitwise_xor])
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64])
def test_what_a_known_operator_gives_of_nothing_changes_nothing(ufunc, dtype, rng):
    none = kernels.reduce(ufunc, np.zeros((0, 4), dtype), axis=0)
    x = rng.integers(0, 100, 4).astype(dtype)
    assert (ufunc(none, x) == x).all()


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_product_without_an_identity_over_any_axes(axis, keepdims, rng):
    x = rng.integers(1, 3, (3, 4, 5))
    found = kernels.reduce(lambda a, b: a * b, x, axis=axis, keepdims=keepdims)
    expected = np.multiply.reduce(x, axis=axis, keepdims=keepdims)
    assert found.shape == expected.shape
    assert (found == expected).all()


@pytest.mark.parametrize("step", [1, 2, -3])
def test_arrays_of_any_strides(step, rng):
    x = rng.integers(0, 1000, (40, 30))[::step, ::-1].T
    assert (kernels.reduce(lambda a, b: a ^ b, x, axis=1) == np.bitwise_xor.reduce(x, axis=1)).all()


def test_long_rows_that_several_blocks_share(rng):
    x = rng.integers(-1000, 1000, 3001)
    low, high = kernels.reduce(ends, lambda x: (x, x), x)
    assert (low, high) == (x.min(), x.max())


def test_a_dot_product_is_one_reduction_of_a_product(rng):
    x, y = rng.normal(size=(2, 7, 33)).astype(np.float32)
    found = kernels.reduce(operator.add, operator_of_two, x, y[0], axis=1)
    exact = (x.astype(np.float64) * y[0]).sum(1)
    assert found.dtype == np.float32
    assert (np.abs(found - exact) <= 34 * EPS * np.abs(x * y[0]).sum(1)).all()


def operator_of_two(x, y):
    return x * y


def test_a_number_among_the_arrays_is_weak(rng):
    x = rng.normal(size=20).astype(np.float32)
    found = kernels.reduce(operator.add, lambda c, x: c * x, 2.0, x)
    assert found.dtype == np.float32
    assert abs(found - 2 * math.fsum(x)) <= 21 * EPS * 2 * np.abs(x).sum()


def test_functions_may_call_functions_of_this_package_and_of_numpy(rng):
    x = rng.normal(size=50).astype(np.float32)
    found = kernels.reduce(np.maximum, lambda x: np.tanh(kernels.relu(x)), x)
    assert abs(found - np.tanh(x.max())) <= 4 * EPS
    for op in (lambda a, b: kernels.maximum(a, b), kernels.maximum, kernels.fuse(lambda a, b: np.maximum(a, b))):
        assert kernels.reduce(op, x) == x.max()


@pytest.mark.parametrize("function", [np.square, kernels.square, kernels.fuse(lambda x: x * x)])
def test_a_ufunc_or_a_function_of_this_package_is_a_function_of_elements(function, rng):
    x = rng.integers(-9, 9, 50)
    assert kernels.reduce(operator.add, function, x) == x @ x


def test_states_of_several_numbers_and_a_function_of_the_last(rng):
    x = (rng.normal(size=(4, 77)) + 100).astype(np.float32)
    found = kernels.reduce(of_two_sets, lambda x: (1.0, x, 0.0), x, axis=1, finish=lambda s: s[2] / s[0])
    assert found.dtype == np.float32
    exact = x.astype(np.float64)
    condition = np.sqrt(1 + exact.mean(1) ** 2 / exact.var(1))  # Chan, Golub & LeVeque 1983
    assert (np.abs(found - exact.var(1)) <= 4 * np.log2(77) * EPS * condition * exact.var(1)).all()


def test_each_number_of_a_state_is_an_array_and_has_its_out(rng):
    x = rng.integers(-50, 50, (6, 5)).astype(np.int16)
    outs = np.empty(5, np.int16), np.empty(5, np.int32)
    found = kernels.reduce(ends, lambda x: (x, x), x, axis=0, out=outs)
    assert found[0] is outs[0]
    assert (outs[0] == x.min(0)).all()
    assert (outs[1] == x.max(0)).all()


@pytest.mark.parametrize("op", [operator.add, lambda a, b: a + b])
def test_initial_takes_part_once(op, rng):
    x = rng.integers(0, 100, (3, 70))
    assert (kernels.reduce(op, x, axis=1, initial=7) == x.sum(1) + 7).all()
    assert (kernels.reduce(op, x[:, :0], axis=1, initial=7) == 7).all()
    assert kernels.reduce(ends, lambda x: (x, x), x, initial=(-1, 1000)) == (-1, 1000)


@pytest.mark.parametrize("op", [operator.add, lambda a, b: a + b])
def test_a_mask_says_which_elements_count(op, rng):
    x, mask = rng.integers(0, 100, (3, 70)), rng.random((3, 70)) < 0.5
    assert (kernels.reduce(op, x, axis=1, where=mask, initial=0) == np.where(mask, x, 0).sum(1)).all()
    assert (kernels.reduce(op, x, axis=0, where=mask, initial=0) == np.where(mask, x, 0).sum(0)).all()


def test_dtype_is_what_the_state_is_kept_in(rng):
    x = rng.integers(100, 127, 50).astype(np.int8)
    assert kernels.reduce(operator.add, x, dtype=np.int32) == x.sum()
    assert kernels.reduce(lambda a, b: a + b, x, dtype=np.float32).dtype == np.float32


def test_the_dtype_may_be_one_that_the_operator_comes_to():
    found = kernels.reduce(lambda a, b: a + 0.5 * b, np.array([4, 2], np.int32))
    assert found.dtype == np.float64


def test_an_array_without_axes_is_its_own_reduction():
    assert kernels.reduce(lambda a, b: a - b, 3.5) == 3.5


def test_a_lambda_in_a_loop_is_one_function():
    from kernels.reductions.operators import settled

    def made(c):
        return lambda a, b: a + b + c

    assert settled(made(1)) is settled(made(1))
    assert settled(made(1)) is not settled(made(1.0))
    assert settled(made(0.0)) is not settled(made(-0.0))


@pytest.mark.parametrize("masked", [False, True])
def test_the_reference_is_functools_reduce(masked, rng):
    x, mask = rng.integers(0, 9, (3, 8)), rng.random((3, 8)) < 0.7 if masked else True

    def op(a, b):
        return (a * b + a + b) % 1009

    with kernels.use("reference"):
        found = kernels.reduce(op, lambda x: x % 7, x, axis=1, initial=3, where=mask)
    counted = np.broadcast_to(mask, x.shape)
    expected = [functools.reduce(op, row[m] % 7, 3) for row, m in zip(x, counted, strict=True)]
    assert found.tolist() == expected
    assert (found == kernels.reduce(op, lambda x: x % 7, x, axis=1, initial=3, where=mask)).all()


def test_a_plan_repeats_a_call(rng):
    x, y = rng.integers(0, 99, (2, 60))
    plan = kernels.reduce.plan(operator.add, operator_of_two, x, x)
    assert plan(x, y) == x @ y
    with pytest.raises(ValueError, match="x must have shape"):
        plan(x[:5], y[:5])


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (TypeError, "op must be a function of two numbers", (3, [1.0]), {}),
        (TypeError, "op must be a function of two numbers", (np.negative, [1.0]), {}),
        (TypeError, "op must be a function of two numbers", (lambda a: a, [1.0]), {}),
        (TypeError, "must be given an array", (operator.add,), {}),
        (TypeError, r"takes 2 array\(s\)", (operator.add, lambda x, y: x + y, [1.0]), {}),
        (TypeError, "op returns 2 number", (lambda a, b: (a, b), [1.0]), {}),
        (TypeError, "op does not take two states", (lambda a, b: a[0], [1.0]), {}),
        (TypeError, "finish must be", (operator.add, [1.0]), {"finish": lambda a, b: a}),
        (TypeError, "initial must be a number", (operator.add, [1.0]), {"initial": (1, 2)}),
        (TypeError, "op: bitwise_and is not defined|op does not take", (operator.and_, [1.0]), {}),
        (TypeError, "where must be boolean", (operator.add, [1.0]), {"where": [1]}),
        (ValueError, "x has no elements", (lambda a, b: a + b, []), {}),
        (ValueError, "x has no elements", (max, []), {}),
        (ValueError, "initial must be given", (lambda a, b: a + b, [1.0]), {"where": [True]}),
        (ValueError, "could not be broadcast", (operator.add, lambda x, y: x, [1, 2], [1, 2, 3]), {}),
        (ValueError, "out has shape", (operator.add, [[1.0]]), {"axis": 0, "out": np.empty(2)}),
        (ValueError, "axis", (operator.add, [1.0]), {"axis": 1}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(error, message, arguments, options):
    with pytest.raises(error, match=message):
        kernels.reduce(*arguments, **options)

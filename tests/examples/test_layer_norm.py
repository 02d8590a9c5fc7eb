"""Layer normalisation by a user's kernel, against NumPy in higher precision, within a bound that is derived here."""

import ast
import inspect

import numpy as np
import pytest
from numba import cuda

import kernels.device
from kernels.examples import layer_norm as example
from kernels.examples.layer_norm import HELD, LOADS, THREADS, layer_norm
from kernels.testing import unit_roundoff

#: What a block of float32 holds, 16 bytes at a time and one element at a time.
WIDE, NARROW = HELD * THREADS, LOADS * THREADS


def normalised(x, epsilon=1e-5):
    """What the kernel makes of a matrix; a guard behind its result stays as it is."""
    there, result = cuda.to_device(x), cuda.to_device(np.full((x.shape[0] + 1, x.shape[1]), 7, x.dtype))
    layer_norm(there, result[: x.shape[0]], epsilon)
    found = result.copy_to_host()
    assert np.all(found[-1] == 7)
    return found[:-1]


def close(found, x, epsilon=1e-5):
    r"""Assert that rows are as near to the exact ones as the kernels' roundings leave them.

    A mean goes through d additions and merges of at most four roundings: it is off by delta <= d u max|x|. A sum of
    squared deviations has d + 5 roundings of its own; deviations from a mean that is off add delta^2, and each of the L
    merges that an element goes through has a difference of means that is off by 2 delta: by Cauchy and Schwarz
    4 delta sqrt(L) / sigma + 4 L (delta / sigma)^2 of the variance. The result is off by delta / sigma, half of the
    variance's relative error, and five roundings.
    """
    exact = x.astype(np.longdouble)
    n, u = x.shape[1], unit_roundoff(np.float32 if x.dtype == np.float16 else x.dtype)
    mean, sigma = exact.mean(1, keepdims=True), np.sqrt(exact.var(1, keepdims=True) + epsilon)
    expected = (exact - mean) / sigma
    merges = -(-n // NARROW) + 10
    d = HELD + 4 * merges
    delta = d * u * np.abs(exact).max(1, keepdims=True) / sigma
    variance = (d + 5) * u + delta**2 + 4 * delta * np.sqrt(merges) + 4 * merges * delta**2
    allowed = delta + np.abs(expected) * (variance / 2 + 5 * u) * 1.01
    if x.dtype == np.float16:
        allowed = allowed + 1.01 * unit_roundoff(x.dtype) * np.abs(expected) + np.finfo(x.dtype).smallest_subnormal
    assert found.dtype == x.dtype
    assert np.all(np.abs(found - expected) <= allowed)


@pytest.mark.parametrize("n", [1, 2, 5, 31, 32, 36, 1000, 1024, NARROW - 1, NARROW + 1, WIDE, WIDE + 4, 2 * WIDE + 36])
def test_rows_of_any_length_are_within_the_bound(n, rng):
    x = rng.standard_normal((3, n)).astype(np.float32)
    close(normalised(x), x)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("n", [64, 1500, 40_000])
def test_other_dtypes_are_within_the_bound(dtype, n, rng):
    x = rng.standard_normal((2, n)).astype(dtype)
    close(normalised(x), x)


@pytest.mark.parametrize("n", [100, WIDE + 4])
def test_a_mean_far_from_zero_costs_digits_of_itself_alone(n, rng):
    x = (rng.standard_normal((2, n)) + 100).astype(np.float32)
    close(normalised(x), x)


@pytest.mark.parametrize("n", [3, 128])
def test_equal_elements_become_zero(n):
    assert np.all(normalised(np.full((2, n), 0.5, np.float32)) == 0)


@pytest.mark.parametrize("n", [2, NARROW + 1, WIDE + 4])
def test_epsilon_is_added_to_the_variance(n):
    # All numbers up to the merges of means are exact here: 20 merges of four roundings are left.
    x = np.resize(np.array([-1, 1], np.float32), n) * np.ones((3, 1), np.float32)
    x[:, : n % 2] = 0
    expected = x / np.sqrt(np.mean(x**2, 1, keepdims=True, dtype=np.float64) + 3)
    np.testing.assert_allclose(normalised(x, epsilon=3.0), expected, rtol=80 * 2.0**-24)


@pytest.mark.parametrize("n", [40, WIDE + 4])
def test_a_matrix_may_be_normalised_in_place(n, rng):
    x = rng.standard_normal((2, n)).astype(np.float32)
    there = cuda.to_device(x)
    layer_norm(there, there)
    np.testing.assert_array_equal(there.copy_to_host(), normalised(x))


@pytest.mark.parametrize("offset", [1, 2])
def test_rows_that_begin_anywhere_are_moved_in_narrower_pieces(offset, rng):
    x = rng.standard_normal(2 * 64 + offset).astype(np.float32)
    there = cuda.to_device(x)[offset:].reshape(2, 64)
    result = cuda.to_device(np.zeros((2, 64), np.float32))
    layer_norm(there, result)
    close(result.copy_to_host(), x[offset:].reshape(2, 64))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_is_left_alone(shape):
    layer_norm(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("x", "y", "error", "text"),
    [(np.zeros((2, 3), "i4"), np.zeros((2, 3), "i4"), TypeError, "not int32 and int32"),
     (np.zeros((2, 3), "f4"), np.zeros((2, 3), "f8"), TypeError, "not float32 and float64"),
     (np.zeros((2, 3), "f4"), np.zeros((3, 2), "f4"), ValueError, r"not shapes \(2, 3\) and \(3, 2\)"),
     (np.zeros(3, "f4"), np.zeros(3, "f4"), ValueError, "expected the same two axes")],
)  # fmt: skip
def test_what_is_no_pair_of_matrices_is_refused(x, y, error, text):
    with pytest.raises(error, match=text):
        layer_norm(x, y)


def test_the_example_takes_nothing_but_what_a_user_has():
    tree = ast.parse(inspect.getsource(example))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"numba", "kernels.device"}
    names = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "kernels.device"
        for name in node.names
    }
    assert names <= set(kernels.device.__all__)

"""User functions: fused into one kernel, or calling this package's functions inside kernels of their own."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst
from numba import cuda
from scipy import special

import kernels
from kernels.testing import assert_equal_bits
from kernels.testing import strategies as st

SCALE = 2.5
floats = pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
ULPS = 4  # libdevice's and NumPy's functions of one argument, and a fused multiply-add or none


def assert_close(actual, expected, ulps=ULPS):
    assert actual.dtype == expected.dtype
    assert np.all(np.abs(actual - expected) <= ulps * np.spacing(np.maximum(np.abs(expected), 1)))


@kernels.fuse
def axpby(a, x, b, y):
    return a * x + b * y


@kernels.fuse
def branch(x):
    if x < 0:
        return -x
    elif x < 1:
        return x * x
    return x + 1


@kernels.fuse
def collatz(n):
    steps = n * 0
    while n > 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps = steps + 1
    return steps


@kernels.fuse
def polar(x, y):
    return np.hypot(x, y), np.arctan2(y, x)


# --- one result, several ----------------------------------------------------------------------------------


@floats
def test_arithmetic_stays_in_the_precision_of_its_inputs(dtype, rng):
    x, y = (rng.integers(-8, 8, 40).astype(dtype) for _ in range(2))
    assert_equal_bits(axpby(2.0, x, 3, y), 2 * x + 3 * y)


@floats
def test_branches_are_taken_element_by_element(dtype, rng):
    x = rng.integers(-16, 16, 40).astype(dtype) / 4
    assert_equal_bits(branch(x), np.where(x < 0, -x, np.where(x < 1, x * x, x + 1)))


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_loops_run_as_often_as_each_element_needs(dtype):
    n = np.arange(1, 30, dtype=dtype)

    def steps(k):
        return 0 if k == 1 else 1 + steps(k // 2 if k % 2 == 0 else 3 * k + 1)

    assert_equal_bits(collatz(n), np.array([steps(k) for k in n.tolist()], dtype))


def test_counted_loops_run(rng):
    @kernels.fuse
    def horner(x):
        value = x * 0
        for k in range(4):
            value = value * x + k
        return value

    x = rng.integers(-3, 3, 20).astype(np.float64)
    assert_equal_bits(horner(x), np.polyval([0, 1, 2, 3], x))


@floats
def test_several_results_come_as_a_tuple(dtype, rng):
    x, y = (rng.uniform(0.5, 2, 20).astype(dtype) for _ in range(2))
    radius, angle = polar(x, y)
    assert_close(radius, np.hypot(x, y))
    assert_close(angle, np.arctan2(y, x))


def test_results_of_several_dtypes():
    @kernels.fuse
    def parts(x):
        return x > 0, x * 2, np.sqrt(x)

    positive, double, root = parts(np.arange(4, dtype=np.int32))
    assert_equal_bits(positive, np.arange(4) > 0)
    assert_equal_bits(double, 2 * np.arange(4, dtype=np.int32))
    assert_equal_bits(root, np.sqrt(np.arange(4, dtype=np.int32)))


# --- what a function may call -----------------------------------------------------------------------------


@floats
def test_math_numpy_scipy_and_this_package_may_be_called(dtype, rng):
    @kernels.fuse
    def everything(x):
        return math.sin(x) + np.exp(-x) + special.erf(x) + kernels.sigmoid(x)

    x = rng.uniform(0.1, 2, 24).astype(dtype)
    wide = x.astype(np.float64)
    expected = np.sin(wide) + np.exp(-wide) + special.erf(wide) + special.expit(wide)
    assert_close(everything(x), expected.astype(dtype), 8)


@pytest.mark.parametrize(
    "function", [math.sqrt, math.cos, math.tanh, math.log1p, math.erf, math.fabs], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_math_keep_float32(function, dtype, rng):
    fused = kernels.fuse(lambda x: function(x))
    x = rng.uniform(0.1, 2, 16).astype(dtype)
    expected = np.array([function(v) for v in x.astype(float)])
    actual = fused(x)
    assert actual.dtype == dtype
    assert_close(actual, expected.astype(dtype))


def test_globals_closures_and_other_functions_are_read():
    offset = 3.0

    def shifted(x):
        return x + offset

    fused = kernels.fuse(lambda x: SCALE * shifted(x))
    assert_equal_bits(fused(np.arange(3, dtype=np.float32)), np.float32(SCALE) * (np.arange(3, dtype=np.float32) + 3))


def test_a_lambda_is_a_function():
    assert_equal_bits(kernels.fuse(lambda x, y: x * y)(np.arange(3), 2), 2 * np.arange(3))


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_have_parts_and_conjugates(dtype, rng):
    @kernels.fuse
    def squared_modulus(z):
        return z.real * z.real + z.imag * z.imag

    z = (rng.integers(-5, 5, 12) + 1j * rng.integers(-5, 5, 12)).astype(dtype)
    assert_equal_bits(squared_modulus(z), (z * z.conj()).real)


# --- NumPy's semantics ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", st.DTYPES, ids=str)
def test_dtypes_promote_as_in_numpy(first):
    product = kernels.fuse(lambda x, y: x * y)
    for second in st.DTYPES:
        x, y = np.ones(2, first), np.ones(2, second)
        assert product(x, y).dtype == (x * y).dtype, second
    for number in (2, 2.5, 2j):
        x = np.ones(2, first)
        assert product(x, number).dtype == (x * number).dtype, number


@given(data=hst.data())
def test_inputs_broadcast_and_may_have_any_strides(data):
    shapes, _ = data.draw(st.broadcastable_shapes(2, max_side=12))
    x, y = (data.draw(st.strided_arrays("float64", shape)) for shape in shapes)
    assert_equal_bits(kernels.fuse(lambda x, y: x - y)(x, y), np.asarray(x - y))


def test_out_and_where_are_ufuncs():
    x = np.arange(6, dtype=np.float32)
    out = np.full(6, 9, np.float32)
    assert branch(x, out=out, where=x > 3) is out
    assert_equal_bits(out, np.where(x > 3, x + 1, np.float32(9)))
    branch(x, out=x)
    assert_equal_bits(x, np.array([0, 2, 3, 4, 5, 6], np.float32))


def test_outputs_may_be_the_inputs():
    x, y = np.array([3.0, 1.0]), np.array([4.0, 0.0])
    polar(x, y, out=(x, y))
    assert_close(x, np.array([5.0, 1.0]))
    assert_close(y, np.array([math.atan2(4, 3), 0.0]))


def test_dtypes_of_results_may_be_given():
    fused = kernels.fuse(lambda x: x * 2, dtypes=np.float64)
    assert_equal_bits(fused(np.arange(3, dtype=np.float32)), 2.0 * np.arange(3))

    @kernels.fuse(dtypes=(np.int8, np.float32))
    def two(x):
        return x, x / 2

    whole, half = two(np.arange(4))
    assert_equal_bits(whole, np.arange(4, dtype=np.int8))
    assert_equal_bits(half, np.arange(4, dtype=np.float32) / 2)


def test_python_numbers_that_are_returned_are_weak():
    step = kernels.fuse(lambda x: 1.0 if x > 0 else 0.0)
    assert step(np.ones(2, np.float32)).dtype == np.float32
    assert kernels.fuse(lambda x: x > 0)(np.ones(2)).dtype == np.bool_


def test_numbers_lists_and_empty_arrays_are_inputs():
    assert axpby(1, 2, 3, 4) == 14
    assert_equal_bits(axpby(1, [1, 2], 2, [3, 4]), np.array([7, 10]))
    assert axpby(1, np.empty((0, 3)), 2, 1.0).shape == (0, 3)


def test_a_fused_function_keeps_its_name_its_documentation_and_a_ufuncs_keywords():
    @kernels.fuse
    def documented(x):
        """What it does."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it does."


def test_the_reference_engine_gives_the_same(rng):
    x = rng.uniform(-2, 2, 20)
    fast = branch(x)
    with kernels.use("reference"):
        assert_equal_bits(branch(x), fast)


# --- errors -----------------------------------------------------------------------------------------------


def test_what_is_no_function_of_a_fixed_number_of_arguments_is_a_type_error():
    with pytest.raises(TypeError, match="function must be a Python function, got ufunc"):
        kernels.fuse(np.add)
    for bad in (lambda *xs: 1, lambda: 1, lambda x, *, y: x, lambda **k: 1):
        with pytest.raises(TypeError, match="must take a fixed number of positional arguments"):
            kernels.fuse(bad)


def test_a_wrong_number_of_inputs_or_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match=r"axpby\(\) takes 4 arrays, got 3"):
        axpby(1, 2, 3)
    with pytest.raises(TypeError, match="nonsense"):
        branch(1.0, nonsense=1)


def test_bad_inputs_and_outputs_are_named():
    out = np.full(3, 7.0)
    with pytest.raises(TypeError, match=r"^y has dtype"):
        polar(np.ones(3), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"x \(3,\), b \(2,\)"):
        axpby(1, np.ones(3), np.ones(2), 1, out=out)
    with pytest.raises(TypeError, match=r"^out has dtype int8"):
        branch(np.ones(3), out=np.ones(3, np.int8))
    assert np.all(out == 7)


def test_an_error_inside_the_function_is_that_error():
    bad = kernels.fuse(lambda x: x + "text")
    with pytest.raises(TypeError):
        bad(np.ones(3))


# --- the functions inside kernels -------------------------------------------------------------------------


def one_block(kernel, *arrays):
    kernel[1, 32](*arrays)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sqrt", "gelu", "erf", "sigmoid", "floor", "tanh"])
def test_functions_of_one_number_run_inside_kernels_and_keep_float32(name, dtype, rng):
    f = getattr(kernels, name)

    @cuda.jit
    def apply(x, y):
        i = cuda.grid(1)
        if i < x.size:
            y[i] = f(x[i])

    x = rng.uniform(0.1, 2, 20).astype(dtype)
    y = cuda.device_array(20, dtype)
    one_block(apply, cuda.to_device(x), y)
    assert_close(y.copy_to_host(), f(x), 8)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint64", "float32", "complex64"])
def test_functions_of_two_numbers_run_inside_kernels(dtype, rng):
    @cuda.jit
    def apply(x, y, z):
        i = cuda.grid(1)
        if i < x.size:
            z[i] = kernels.add(kernels.multiply(x[i], y[i]), y[i])

    x, y = (rng.integers(0, 10, 20).astype(dtype) for _ in range(2))
    z = cuda.device_array(20, dtype)
    one_block(apply, cuda.to_device(x), cuda.to_device(y), z)
    assert_equal_bits(z.copy_to_host(), x * y + y)


def test_functions_of_three_numbers_and_of_several_results_run_inside_kernels(rng):
    @cuda.jit
    def apply(x, low, y, q, r):
        i = cuda.grid(1)
        if i < x.size:
            y[i] = kernels.where(x[i] > low[i], kernels.fma(x[i], x[i], low[i]), low[i])
            q[i], r[i] = kernels.divmod(x[i], low[i])

    x, low = rng.integers(-8, 8, 20).astype(np.float32), rng.integers(1, 5, 20).astype(np.float32)
    outs = [cuda.device_array(20, np.float32) for _ in range(3)]
    one_block(apply, cuda.to_device(x), cuda.to_device(low), *outs)
    y, q, r = (out.copy_to_host() for out in outs)
    assert_equal_bits(y, np.where(x > low, x * x + low, low))
    assert_equal_bits(q, x // low)
    assert_equal_bits(r, x % low)


def test_functions_run_inside_device_functions():
    @cuda.jit(device=True)
    def soft(x):
        return kernels.softplus(x) - kernels.relu(x)

    @cuda.jit
    def apply(x, y):
        i = cuda.grid(1)
        if i < x.size:
            y[i] = soft(x[i])

    x = np.linspace(-3, 3, 16, dtype=np.float32)
    y = cuda.device_array(16, np.float32)
    one_block(apply, cuda.to_device(x), y)
    assert_close(y.copy_to_host(), kernels.softplus(x) - kernels.relu(x), 8)

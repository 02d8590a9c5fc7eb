"""softmax and log_softmax against SciPy's in higher precision, by the bounds that they document."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import kernels
from kernels.device.instructions import SIMULATED
from kernels.reductions.softmax import layout as softmax_layout
from kernels.reductions.softmax.kernels import task
from kernels.reductions.softmax.layout import HELD, THREADS
from kernels.reductions.softmax.public import _softmax_of as softmax_of
from kernels.runtime.layouts import Layout
from kernels.testing import layouts, unit_roundoff

FUNCTIONS = {kernels.softmax: special.softmax, kernels.log_softmax: special.log_softmax}
#: Elements of a row of float32 that a block holds.
BLOCK = THREADS * HELD
rng = np.random.default_rng(5)

both = pytest.mark.parametrize("function", FUNCTIONS)


def close(function, found, x, axis):
    """Assert that a result is within the documented bound."""
    dtype = found.dtype
    wide = x.astype(np.longdouble)
    expected = FUNCTIONS[function](wide, axis=axis)
    n = max(x.size // max(expected.max(axis=axis).size, 1), 1)
    d = wide.max(axis=axis, keepdims=True) - wide
    c = np.log2(n) + 12 if n <= 4096 else 12 * np.log2(n) + 32
    u = unit_roundoff(np.float32 if dtype == np.float16 else dtype)
    if function is kernels.softmax:
        allowed = u * (d + np.log(n) + c) * expected + 4 * np.finfo(dtype).smallest_subnormal
    else:
        allowed = u * (2 * d + 5 * np.log(n) + c + 2)
    if dtype == np.float16:
        allowed = allowed + 1.01 * unit_roundoff(dtype) * np.abs(expected)
    assert found.shape == x.shape
    assert np.all(np.abs(found - expected) <= allowed)


def kernel_of(shape, axes, dtype="float32"):
    """Name of the kernel that computes an array without gaps."""
    x = np.empty(shape, dtype)
    lies = Layout(x.dtype, shape, tuple(s // x.itemsize for s in x.strides), 16, False)
    normal = softmax_of(x.dtype, x.dtype)
    return softmax_layout.plan(normal, lies, lies, axes, shape).kernel.__name__


CASES = [
    ((BLOCK,), 0, "held_rows_kernel"),
    ((5, 7), 1, "held_rows_kernel"),
    ((3, 2, BLOCK // 4), (1, 2), "held_rows_kernel"),
    ((9, 36), (0,), "held_columns_kernel"),
    ((4, BLOCK // 16, 6), 1, "held_columns_kernel"),
    ((BLOCK + 1,), None, "shared_kernel"),
    ((3, 2 * BLOCK + 12), 1, "shared_kernel"),
    ((5 * BLOCK, 2), 0, "shared_kernel"),
    ((2, BLOCK, 20), 1, "shared_kernel"),
]


@both
@pytest.mark.parametrize(("shape", "axis", "kernel"), CASES)
def test_every_kernel_is_within_the_bound(function, shape, axis, kernel):
    axes = tuple(range(len(shape))) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    assert kernel_of(shape, axes) == kernel
    x = (6 * rng.standard_normal(shape)).astype("float32")
    close(function, function(x, axis=axis), x, axis)


@settings(max_examples=15)
@given(
    function=st.sampled_from(list(FUNCTIONS)),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple),
    data=st.data(),
)
def test_any_axes_of_any_shape_and_layout_are_within_the_bound(function, dtype, shape, data):
    axes = data.draw(st.none() | st.sets(st.integers(0, len(shape) - 1)).map(tuple))
    x = data.draw(st.sampled_from([1, 30])) * np.random.default_rng(len(shape)).standard_normal(shape)
    _, view = data.draw(st.sampled_from(list(layouts(x.astype(dtype)))))
    found = function(view, axis=axes)
    assert found.dtype == dtype
    if axes == ():
        assert np.all(found == (1 if function is kernels.softmax else 0))
    else:
        close(function, found, view, axes)


@both
@pytest.mark.parametrize("shape", [(4, 5), (4, BLOCK + 40), (BLOCK // 16, 4), (2 * BLOCK, 3)])
def test_what_is_not_finite_follows_scipy(function, shape):
    dtype = np.float32
    x = rng.standard_normal(shape).astype(dtype)
    axis = 1 if shape[0] == 4 else 0
    rows = np.moveaxis(x, axis, 1)
    rows[0, -2] = np.nan
    rows[1, -1] = np.inf
    rows[1, 1] = 150  # whose exponential is infinite in float32
    rows[2] = -np.inf
    if len(rows) > 3:
        rows[3, :-1] = -np.inf
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[function](x.astype(np.longdouble), axis=axis).astype(dtype)
    found = function(x, axis=axis)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.array_equal(np.isinf(found), np.isinf(expected))
    if len(rows) > 3:
        assert np.array_equal(np.moveaxis(found, axis, 1)[3], np.moveaxis(expected, axis, 1)[3])


@both
def test_a_row_whose_elements_are_far_below_its_maximum_underflows_to_zero(function):
    x = np.array([[0.0, -200.0, -80.0, -1e30]], np.float32)
    found = function(x, axis=1)
    if function is kernels.softmax:
        assert found[0, 0] == 1
        assert found[0, 1] == found[0, 3] == 0
        assert found[0, 2] > 0
    else:
        assert np.array_equal(found, x)


@both
def test_maxima_near_the_largest_number_do_not_overflow(function):
    most = np.finfo(np.float32).max
    x = np.array([most, most, -most], np.float32)
    expected = [0.5, 0.5, 0.0] if function is kernels.softmax else [-np.log(2), -np.log(2), -np.inf]
    np.testing.assert_allclose(function(x), expected, rtol=1e-6)


@both
@pytest.mark.parametrize(
    ("given", "result"),
    [("i1", "f2"), ("u1", "f2"), ("i2", "f4"), ("u2", "f4"), ("i4", "f8"), ("u4", "f8"), ("i8", "f8"), ("u8", "f8")],
)
def test_integers_have_the_dtype_of_their_exponential(function, given, result):
    x = np.array([3, 1, 4, 1, 5], given)
    found = function(x)
    assert found.dtype == result == np.exp(x).dtype
    close(function, found, x.astype(result), None)


def test_differences_of_integers_do_not_wrap_around():
    found = kernels.softmax(np.array([[-100, 100], [0, 1]], np.int8), axis=1)
    np.testing.assert_allclose(found, [[0, 1], [1 / (1 + np.e), np.e / (1 + np.e)]], rtol=2**-10)


@both
@pytest.mark.parametrize("dtype", [bool, np.complex64, np.longdouble])
def test_what_has_no_real_exponential_is_refused(function, dtype):
    with pytest.raises(TypeError, match="x"):
        function(np.ones(3, dtype))


@both
def test_numbers_are_arrays_of_one_element(function):
    assert function(2.5) == (1 if function is kernels.softmax else 0)
    assert function(np.float32(2.5)).dtype == np.float32


@both
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("axis", [None, 0, -1, ()])
def test_empty_arrays_give_what_scipy_gives(function, shape, axis):
    x = np.ones(shape, np.float32)
    try:
        expected = FUNCTIONS[function](x, axis=axis)
    except ValueError:
        with pytest.raises(ValueError, match="x has no elements"):
            function(x, axis=axis)
    else:
        found = function(x, axis=axis)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype


@both
@pytest.mark.parametrize("shape", [(6, 10), (2, BLOCK + 8)])
def test_a_result_may_take_the_place_of_its_argument(function, shape):
    x = rng.standard_normal(shape).astype(np.float32)
    expected = function(x, axis=1)
    assert function(x, axis=1, out=x) is x
    assert np.array_equal(x, expected)


@both
def test_an_argument_that_the_result_overlaps_is_copied_first(function):
    memory = rng.standard_normal(41).astype(np.float32)
    x, y = memory[:40].reshape(4, 10), memory[1:].reshape(4, 10)
    expected = function(x.copy(), axis=1)
    function(x, axis=1, out=y)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


@both
def test_results_are_rounded_once_to_the_dtype_of_out(function):
    x = rng.standard_normal((4, 30)).astype(np.float32)
    out = np.zeros((30, 4), np.float16).T
    expected = function(x, axis=1).astype(np.float16)
    assert function(x, axis=1, out=out) is out
    assert np.array_equal(out, expected)


@both
def test_results_lie_in_memory_in_the_order_of_the_argument(function):
    x = np.asfortranarray(rng.standard_normal((6, 50)).astype(np.float32))
    found = function(x, axis=0)
    assert found.flags.f_contiguous
    close(function, found, x, 0)


@both
@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"axis": 2}, np.exceptions.AxisError, "axis"),
        ({"axis": (0, 0)}, ValueError, "axis"),
        ({"axis": 0.5}, TypeError, "axis must be"),
        ({"out": np.zeros(3, np.float32)}, ValueError, "out has shape"),
        ({"out": np.zeros((2, 3), np.int32)}, TypeError, "out has dtype int32"),
        ({"out": [[1.0] * 3] * 2}, TypeError, "out must be an array"),
    ],
)
def test_what_is_wrong_with_an_argument_is_named(function, keywords, error, message):
    with pytest.raises(error, match=message):
        function(np.ones((2, 3), np.float32), **keywords)


@both
def test_a_plan_does_what_the_function_does(function):
    x = rng.standard_normal((5, 12)).astype(np.float32)
    out = np.empty_like(x)
    plan = function.plan(x, out=out, axis=1)
    assert plan(x, out=out) is out
    assert np.array_equal(out, function(x, axis=1))
    with pytest.raises(ValueError, match="shape"):
        plan(x[:3], out=out[:3])


def test_a_plan_takes_no_mask():
    with pytest.raises(TypeError, match="mask"):
        kernels.softmax.plan(np.ones(3), where=np.ones(3, bool))


@both
def test_the_reference_engine_agrees(function):
    x = rng.standard_normal((5, 12)).astype(np.float16)
    with kernels.use("reference"):
        found = function(x, axis=1)
    assert found.dtype == np.float16
    close(function, found, x, 1)


@pytest.mark.skipif(not SIMULATED, reason="a launch's counters lie where all launches' do")
@both
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_share_counters_where_there_are_fewer_than_rows(monkeypatch, function, axis):
    monkeypatch.setattr(softmax_layout, "COUNTERS", 7)
    x = rng.standard_normal((5, BLOCK + 4)).astype(np.float32)
    x = x if axis else np.ascontiguousarray(np.tile(x.T, (1, 8)))
    lies = Layout(x.dtype, x.shape, (x.shape[1], 1), 16, False)
    normal = softmax_of(x.dtype, x.dtype)
    assert softmax_layout.plan(normal, lies, lies, (axis,), x.shape).leading[5] > 1
    softmax_layout.launch.cache_clear()
    close(function, function(x, axis=axis), x, axis)
    softmax_layout.launch.cache_clear()


@pytest.mark.skipif(not SIMULATED, reason="the function is compiled for the GPU")
@given(units=st.integers(1, 60), lag=st.integers(1, 80))
def test_each_part_is_folded_at_least_a_lag_before_it_is_normalised(units, lag):
    lag = min(lag, units)
    tasks = [task(ticket, units, lag) for ticket in range(2 * units)]
    for wanted in (True, False):
        assert [unit for folding, unit in tasks if folding == wanted] == list(range(units))
    for ticket, (folding, unit) in enumerate(tasks):
        if not folding:
            folded = sum(f for f, _ in tasks[:ticket])
            assert folded >= min(unit + lag, units)


@pytest.mark.parametrize(
    ("shape", "width"),
    [((300, 9 * BLOCK), 4), ((9 * BLOCK, 300), 4), ((30000, BLOCK + 1), 1), ((1 << 33,), 4), ((3, 1 << 31), 4)],
)
def test_parts_of_a_row_cover_it_and_wait_for_folds_of_their_own_row(shape, width):
    x = Layout(np.dtype(np.float32), shape, tuple(np.cumprod((1, *shape[:0:-1]))[::-1].tolist()), 16, False)
    axis = 0 if shape == (9 * BLOCK, 300) else len(shape) - 1
    normal = softmax_of(x.dtype, x.dtype)
    found = softmax_layout.plan(normal, x, x, (axis,), shape)
    _, across, panels, parts, chunks, batch, lag, _, count = found.leading
    reach = found.block // across * max(softmax_layout.LOADED // width, 2) * chunks
    assert (parts - 1) * reach < count <= parts * reach
    assert lag >= min(parts * batch, panels * parts)
    assert -(-panels // batch) * 3 < softmax_layout.COUNTERS
    assert found.grid == 2 * panels * parts

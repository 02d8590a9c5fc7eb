"""The strategies draw what they promise, quickly, and shrink."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as hst

from kernels.testing import strategies as st

QUICK = settings(max_examples=30_000, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
SHRUNK = settings(max_examples=3000, database=None)


def is_drawn(strategy, condition):
    """Whether an example that meets the condition turns up; hypothesis.errors.NoSuchExample otherwise."""
    return condition(find(strategy, condition, settings=QUICK))


@pytest.mark.parametrize("dtype", st.DTYPES, ids=str)
def test_every_dtype_is_drawn(dtype):
    assert is_drawn(st.dtypes(), lambda drawn: drawn == dtype)


@given(kinds=hst.sampled_from(["f", "iu", "c", "b", "biufc"]), data=hst.data())
def test_dtypes_are_of_the_kinds_asked_for(kinds, data):
    assert data.draw(st.dtypes(kinds)).kind in kinds


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="not 'x'"):
        st.dtypes("fx")


@given(shape=st.shapes(max_dims=4))
def test_shapes_stay_within_their_limits(shape):
    assert len(shape) <= 4
    assert all(0 <= side <= st.MAX_SIDE for side in shape)
    assert np.prod(shape, dtype=int) <= 4 * st.MAX_SIDE


@given(shape=st.shapes(min_dims=1, max_dims=2, min_side=3, max_side=7))
def test_shapes_keep_the_limits_given(shape):
    assert 1 <= len(shape) <= 2
    assert all(3 <= side <= 7 for side in shape)


@pytest.mark.parametrize(
    "condition",
    [
        lambda shape: shape == (),
        lambda shape: shape == (0,),
        lambda shape: len(shape) == 3 and 0 in shape and max(shape) > 1,
        lambda shape: len(shape) == 3 and min(shape) > 2,
        lambda shape: len(shape) == 1 and shape[0] > 3 * st.MAX_SIDE // 4,
        lambda shape: len(shape) == 2 and shape[0] > 64,
        lambda shape: len(shape) == 2 and shape[1] > 64,
    ],
    ids=["0-d", "empty", "empty 3-d", "3-d", "several blocks", "long columns", "long rows"],
)
def test_shapes_of_every_sort_are_drawn(condition):
    assert is_drawn(st.shapes(), condition)


def test_the_largest_side_is_set_in_one_place(monkeypatch):
    monkeypatch.setattr(st, "MAX_SIDE", 5000)
    assert is_drawn(st.shapes(), lambda shape: max(shape, default=0) > 3000)
    assert is_drawn(st.broadcastable_shapes(2), lambda shapes: max(shapes.result_shape, default=0) > 3000)


@given(shapes=st.broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast_to_their_result(shapes):
    assert np.broadcast_shapes(*shapes.input_shapes) == shapes.result_shape
    assert np.prod(shapes.result_shape, dtype=int) <= 4 * st.MAX_SIDE


@pytest.mark.parametrize(
    "condition",
    [
        lambda a, b: a != b and len(a) == len(b) == 2,
        lambda a, b: len(a) == 0 and len(b) > 0,
        lambda a, b: 0 in a and 1 in b,
        lambda a, b: len(a) == 2 and len(b) == 2 and a[0] == 1 < b[0] and b[1] == 1 < a[1],
        lambda a, b: a == b and a and a[0] > 64,
    ],
    ids=["stretched", "0-d with n-d", "empty", "outer", "equal and long"],
)
def test_broadcasting_of_every_sort_is_drawn(condition):
    assert is_drawn(st.broadcastable_shapes(2), lambda shapes: condition(*shapes.input_shapes))


@given(shapes=st.broadcastable_shapes(signature="(m,k),(k,n)->(m,n)"))
def test_signatures_tie_the_core_dimensions(shapes):
    left, right = shapes.input_shapes
    assert left[-1] == right[-2]
    assert shapes.result_shape[-2:] == (left[-2], right[-1])


@given(data=hst.data(), dtype=st.dtypes())
def test_ordinary_values_are_finite_and_their_products_too(data, dtype):
    x = data.draw(st.arrays(dtype, st.shapes()))
    assert x.dtype == dtype
    assert np.all(np.isfinite(x))
    assert np.all(np.abs(x.astype(np.complex128)) <= st.LIMIT * (1 + 1e-6))
    if dtype.kind in "fc":
        assert np.all(np.isfinite(x * x))


@given(data=hst.data(), dtype=st.dtypes("iuf"))
def test_values_stay_in_the_range_asked_for(data, dtype):
    x = data.draw(st.arrays(dtype, 40, low=2, high=5))
    assert np.all((x >= 2) & (x <= 5))


@pytest.mark.parametrize("dtype", st.DTYPES, ids=str)
def test_values_vary_in_sign_and_size(dtype):
    most = 2 if dtype.kind == "b" else 50
    x = find(st.arrays(dtype, 200), lambda x: len(np.unique(x)) >= most, settings=QUICK)
    if dtype.kind in "if":
        assert x.min() < 0 < x.max()
    if dtype.kind == "f":
        assert 0 < np.abs(x[x != 0]).min() < 0.1
        assert np.abs(x).max() > 10


SPECIAL = {
    "nan": np.isnan,
    "inf": lambda x: x == np.inf,
    "-inf": lambda x: x == -np.inf,
    "negative zero": lambda x: (x == 0) & np.signbit(x),
    "subnormal": lambda x: (x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny),
    "largest": lambda x: x == np.finfo(x.dtype).max,
    "tiny": lambda x: x == np.finfo(x.dtype).tiny,
}


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_special_values_are_drawn(dtype, name):
    for part in ("real", "imag") if dtype.startswith("c") else ("real",):
        assert is_drawn(
            st.arrays(dtype, 20, special=True), lambda x, part=part: np.any(SPECIAL[name](getattr(x, part)))
        )


@pytest.mark.parametrize("dtype", [dtype for dtype in st.DTYPES if dtype.kind in "iu"], ids=str)
def test_the_ends_of_the_integers_are_drawn(dtype):
    info = np.iinfo(dtype)
    assert is_drawn(st.arrays(dtype, 20, special=True), lambda x: info.min in x and info.max in x)


def test_special_values_meet_each_other():
    pair = hst.tuples(*(st.arrays("float32", 100, special=True) for _ in range(2)))
    assert is_drawn(pair, lambda xy: np.any((xy[0] == np.inf) & (xy[1] == -np.inf)))
    assert is_drawn(pair, lambda xy: np.any(np.isnan(xy[0]) & (xy[1] == 0)))


def test_some_arrays_hold_few_special_values():
    assert is_drawn(st.arrays("float32", 100, special=True), lambda x: 0 < np.count_nonzero(np.isnan(x)) < 3)


@pytest.mark.parametrize(
    "condition",
    [
        lambda x: x.flags.c_contiguous and x.ndim == 3 and x.size > 1,
        lambda x: x.flags.f_contiguous and not x.flags.c_contiguous,
        lambda x: any(stride < 0 for stride in x.strides),
        lambda x: x.size > 1 and 0 in x.strides and x.ndim == 2,
        lambda x: not x.flags.forc and all(stride > 0 for stride in x.strides),
        lambda x: x.size > 4 and x.ctypes.data % 16 != 0,
        lambda x: x.ndim == 0,
        lambda x: x.size == 0,
    ],
    ids=["contiguous", "fortran", "negative", "zero", "step", "offset", "0-d", "empty"],
)
def test_strides_of_every_sort_are_drawn(condition):
    assert is_drawn(st.strided_arrays("float32", st.shapes()), condition)


@given(data=hst.data(), dtype=st.dtypes())
def test_scalars_are_numpy_scalars_of_the_dtype(data, dtype):
    scalar = data.draw(st.scalars(dtype, special=True))
    assert type(scalar) is dtype.type


@pytest.mark.parametrize("kind", [bool, int, float, complex])
def test_python_scalars_of_every_kind_are_drawn(kind):
    assert is_drawn(st.python_scalars(), lambda scalar: type(scalar) is kind)


def test_a_failure_with_special_values_shrinks_to_a_small_array():
    has_nan = find(st.arrays("float32", st.shapes(), special=True), lambda x: np.isnan(x).any(), settings=SHRUNK)
    assert has_nan.size < 40


def test_a_failure_shrinks_to_the_smallest_shape_and_zeros():
    line = st.arrays("int32", st.shapes(max_dims=1))
    assert find(line, lambda x: x.size >= 70, settings=SHRUNK).tolist() == [0] * 70
    assert find(line, lambda x: x.size >= 70 and x[3:].any(), settings=SHRUNK).shape == (70,)


@pytest.mark.parametrize("dtype", ["bool", "int64", "float16", "float64", "complex128"])
def test_the_number_of_draws_does_not_depend_on_the_number_of_elements(dtype):
    draws = []

    @settings(QUICK, max_examples=20, deadline=None)
    @given(data=hst.data())
    def draw(data):
        x = data.draw(st.arrays(dtype, 10**5, special=True))
        draws.append(data.conjecture_data.length)
        assert x.size == 10**5

    draw()
    assert max(draws) < 200

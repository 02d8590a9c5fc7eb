"""NumPy's semantics: whatever the shapes, strides, dtypes and keywords, the answer is NumPy's."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst
from numba import cuda

import kernels
from kernels import REGISTRY
from kernels.device.instructions import SIMULATED
from kernels.elementwise.kernels import FEW
from kernels.runtime.layouts import VECTOR
from kernels.testing import LAYOUTS, assert_equal_bits, guarded, layouts
from kernels.testing import strategies as st

BLOCK = FEW
DTYPES = st.DTYPES
#: The pairs that are a ufunc of NumPy or SciPy; sigmoid, which no ufunc is called, computes what expit does.
UFUNCS = {name: p for name, p in REGISTRY.items() if isinstance(p.reference, np.ufunc) and name != "sigmoid"}
CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")

exact_functions = pytest.mark.parametrize("name", ["add", "subtract", "maximum", "less", "copysign"])


def outcome(function, *args, **keywords):
    """Dtypes of the results, or the kind of error."""
    try:
        results = function(*args, **keywords)
    except TypeError:
        return TypeError
    except ValueError:
        return ValueError
    except OverflowError:
        return OverflowError
    return tuple(r.dtype for r in results) if isinstance(results, tuple) else results.dtype


def numpy_of(name):
    return UFUNCS[name].reference


# --- broadcasting and layouts -----------------------------------------------------------------------------


@given(data=hst.data(), dtype=hst.sampled_from(["int16", "float32", "complex64"]))
def test_shapes_broadcast_as_numpy_broadcasts_them(data, dtype):
    shapes, result = data.draw(st.broadcastable_shapes(2))
    x, y = (data.draw(st.arrays(dtype, shape)) for shape in shapes)
    sums = kernels.add(x, y)
    assert sums.shape == result
    assert_equal_bits(sums, np.add(x, y))


@given(data=hst.data())
def test_three_inputs_broadcast_together(data):
    shapes, _ = data.draw(st.broadcastable_shapes(3))
    condition = data.draw(st.arrays(bool, shapes[0]))
    x, y = (data.draw(st.arrays("int32", shape)) for shape in shapes[1:])
    assert_equal_bits(kernels.where(condition, x, y), np.where(condition, x, y))


@given(data=hst.data(), dtype=hst.sampled_from(["int8", "float32", "float64", "complex128"]))
def test_strides_of_any_kind_are_read(data, dtype):
    shapes, _ = data.draw(st.broadcastable_shapes(2))
    x, y = (data.draw(st.strided_arrays(dtype, shape)) for shape in shapes)
    assert_equal_bits(kernels.subtract(x, y), np.subtract(x, y))


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (70,), (7, 11), (3, 5, 4), (1, 9, 1), (2, 3, 2, 3, 2)])
def test_every_layout_of_the_inputs_gives_the_same_bits(shape, rng):
    x = rng.integers(-100, 100, shape, np.int32)
    for (name, view), (other_name, other) in zip(layouts(x), reversed(list(layouts(x + 1))), strict=False):
        assert_equal_bits(kernels.multiply(view, other), x * (x + 1), function=f"multiply of {name}, {other_name}")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (5,), (67,), (5, 7), (3, 2, 5)])
def test_every_layout_of_out_is_written_and_nothing_beside_it(shape, layout, rng):
    x = rng.standard_normal(shape, np.float32)
    out, assert_untouched = guarded(shape, np.float32, layout)
    assert kernels.add(x, 1, out=out) is out
    assert_equal_bits(out, np.asarray(x + np.float32(1)))
    assert_untouched()


def test_unaligned_inputs_and_outputs_work():
    raw = np.zeros(4 * 10 + 1, np.uint8)
    x = raw[1:].view(np.float32)
    assert not x.flags.aligned
    x[...] = np.arange(10)
    assert_equal_bits(kernels.square(x), np.square(np.arange(10, dtype=np.float32)))
    kernels.add(x, 1, out=x)
    assert_equal_bits(x.copy(), np.arange(1, 11, dtype=np.float32))


def test_a_field_of_a_structured_array_works():
    records = np.zeros(6, [("a", "u1"), ("x", "<f4")])
    records["x"] = np.arange(6)
    assert_equal_bits(kernels.negative(records["x"]), -np.arange(6, dtype=np.float32))
    kernels.negative(records["x"], out=records["x"])
    assert_equal_bits(records["x"].copy(), -np.arange(6, dtype=np.float32))
    assert not records["a"].any()


def test_big_endian_arrays_are_read_and_give_native_results():
    x = np.arange(5, dtype=">f4")
    result = kernels.add(x, x)
    assert result.dtype == np.dtype("=f4")
    assert_equal_bits(result, np.arange(0, 10, 2, dtype=np.float32))


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4)])
def test_results_keep_c_or_fortran_order(shape):
    c = np.ones(shape, np.float32)
    assert kernels.add(c, c).flags.c_contiguous
    f = np.asfortranarray(c)
    assert kernels.add(f, f).flags.f_contiguous
    assert kernels.add(f, 1.0).flags.f_contiguous


def test_numbers_lists_and_zero_dimensional_arrays_give_numpy_scalars_and_arrays():
    assert type(kernels.add(1.5, 2)) is np.float64
    assert type(kernels.add(np.float32(1), 2)) is np.float32
    assert type(kernels.sqrt(np.array(4.0))) is np.float64
    assert_equal_bits(kernels.add([1, 2], (3, 4)), np.array([4, 6]))
    assert isinstance(kernels.divmod(7, 2), tuple)


# --- every size -------------------------------------------------------------------------------------------


def sizes_of(width):
    """Every size to three blocks and a bit; in the simulator, of wide loads, those around blocks' ends."""
    last = 3 * BLOCK * width + 2
    if not SIMULATED or width <= 4:
        return range(last + 1)
    ends = [k * BLOCK * width for k in range(4)]
    return sorted({n + d for n in ends for d in range(-width - 1, width + 2) if 0 <= n + d <= last})


@pytest.mark.parametrize("dtype", ["int8", "float32", "complex128"])
def test_every_size_writes_every_element_and_no_other(dtype, rng):
    width = VECTOR // np.dtype(dtype).itemsize
    sizes = sizes_of(width)
    x = rng.integers(-50, 50, max(sizes)).astype(dtype)
    for n in sizes:
        out, assert_untouched = guarded(
            (n,), dtype, to_device=cuda.to_device, to_host=lambda cells: cells.copy_to_host()
        )
        kernels.negative(cuda.to_device(x[:n]), out=out)
        assert np.array_equal(out.copy_to_host(), -x[:n]), n
        assert_untouched()


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("layout", ["offset", "step"])
def test_sizes_around_a_vector_are_right_where_the_address_or_the_stride_is_odd(dtype, layout, rng):
    x = rng.integers(0, 100, 40).astype(dtype)
    for n in range(40):
        out, assert_untouched = guarded(
            (n,), dtype, layout, to_device=cuda.to_device, to_host=lambda cells: cells.copy_to_host()
        )
        kernels.add(cuda.to_device(x[:n]), dtype == "uint8", out=out)
        assert np.array_equal(out.copy_to_host(), x[:n] + np.dtype(dtype).type(dtype == "uint8")), n
        assert_untouched()


# --- promotion --------------------------------------------------------------------------------------------


def empties():
    return [np.empty(0, dtype) for dtype in DTYPES]


def assert_same_promotion(name, operands):
    """The dtype that NumPy's ufunc gives; TypeError where it raises one, or where we do not list its loop."""
    pair = UFUNCS[name]
    expected = outcome(pair.reference, *operands)
    actual = outcome(pair.function, *operands)
    if actual == expected:
        return
    loops = pair.reference.resolve_dtypes(
        tuple(type(x) if type(x) in (int, float, complex) else np.asarray(x).dtype for x in operands)
        + (None,) * pair.nout
    )
    loop = "".join(d.char for d in loops[: pair.nin]) + "->" + "".join(d.char for d in loops[pair.nin :])
    assert actual is TypeError, (name, operands, actual, expected)
    assert loop not in pair.loops, (name, operands, loop)


@pytest.mark.parametrize("name", UFUNCS)
def test_dtypes_promote_as_in_numpy(name):
    for operands in itertools.product(empties(), repeat=UFUNCS[name].nin):
        assert_same_promotion(name, operands)


@pytest.mark.parametrize("name", [name for name, pair in UFUNCS.items() if pair.nin == 2])
def test_python_scalars_are_weak_as_in_numpy(name):
    for x, number in itertools.product(empties(), [True, 1, 1.5, 2j]):
        assert_same_promotion(name, (x, number))
        assert_same_promotion(name, (number, x))


@pytest.mark.parametrize("name", [name for name, pair in UFUNCS.items() if pair.nin == 2])
def test_numpy_scalars_are_as_strong_as_arrays(name):
    for x, y in itertools.product(empties(), DTYPES):
        assert_same_promotion(name, (x, y.type(1)))


@pytest.mark.parametrize("name", ["axpy", "clip", "fma", "lerp", "where"])
def test_composed_functions_compute_in_the_first_loop_that_holds_all_their_numbers(name):
    pair = REGISTRY[name]
    results = [np.dtype(loop[-1]) for loop in pair.loops]
    for a, b in itertools.product(empties(), repeat=2):
        operands = (np.empty(0, bool), a, b) if name == "where" else (a, b, a)
        holding = [d for d in results if np.can_cast(np.result_type(a, b), d)]
        assert outcome(pair.function, *operands) == (holding[0] if holding else TypeError), (a.dtype, b.dtype)


@pytest.mark.parametrize("name", ["add", "divide", "power", "less", "arctan2", "floor_divide", "left_shift"])
@pytest.mark.parametrize("casting", CASTINGS)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # NumPy's, on the way to its answer
def test_dtype_and_casting_choose_the_loop_as_in_numpy(name, casting):
    for x, dtype in itertools.product(empties(), DTYPES):
        keywords = {"dtype": dtype, "casting": casting}
        expected = outcome(numpy_of(name), x, x, **keywords)
        assert outcome(REGISTRY[name].function, x, x, **keywords) == expected, (x.dtype, keywords)


@pytest.mark.parametrize("casting", CASTINGS)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # NumPy's, on the way to its answer
def test_results_are_cast_to_out_as_in_numpy(casting):
    for x, dtype in itertools.product(empties(), DTYPES):
        expected = outcome(np.multiply, x, x, out=np.empty(0, dtype), casting=casting)
        actual = outcome(kernels.multiply, x, x, out=np.empty(0, dtype), casting=casting)
        assert actual == expected, (x.dtype, dtype)


@given(data=hst.data(), name=hst.sampled_from(["add", "multiply", "maximum", "less_equal", "true_divide"]))
def test_values_of_mixed_dtypes_are_those_of_numpy(data, name):
    dtypes = data.draw(hst.lists(st.dtypes("biuf"), min_size=2, max_size=2))
    x, y = (data.draw(st.arrays(dtype, (40,))) for dtype in dtypes)
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x, y)
    assert_equal_bits(getattr(kernels, name)(x, y), expected, nan_payload=False)


@given(data=hst.data(), number=st.python_scalars("if"))
def test_values_with_python_numbers_are_those_of_numpy(data, number):
    x = data.draw(st.arrays("float32", (33,)))
    assert_equal_bits(kernels.multiply(x, number), x * number)
    assert_equal_bits(kernels.less(x, number), x < number)


@pytest.mark.parametrize("number", [-1, 300, 2**40, 2**63, -(2**70)])
@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_integers_compare_exactly_with_numbers_beyond_their_dtype(name, number):
    x = np.array([0, 1, 255], np.uint8)
    assert_equal_bits(getattr(kernels, name)(x, number), getattr(np, name)(x, number))
    assert_equal_bits(getattr(kernels, name)(number, x), getattr(np, name)(number, x))


# --- out, where, overlap ----------------------------------------------------------------------------------


def test_out_may_be_positional_or_a_tuple():
    x = np.arange(4.0)
    out = np.empty(4)
    assert kernels.add(x, 1, out) is out
    assert kernels.add(x, 1, out=(out,)) is out
    quotient, rest = np.empty(4), np.empty(4)
    results = kernels.divmod(x, 2, out=(quotient, rest))
    assert results[0] is quotient
    assert results[1] is rest
    assert_equal_bits(quotient, x // 2)
    assert_equal_bits(rest, x % 2)


def test_some_of_several_outputs_may_be_given():
    x = np.array([0.75, -3.5])
    whole = np.empty(2)
    fraction, returned = kernels.modf(x, out=(None, whole))
    assert returned is whole
    assert_equal_bits(fraction, np.modf(x)[0])
    assert_equal_bits(whole, np.modf(x)[1])
    mantissa, exponent = kernels.frexp(x)
    assert_equal_bits(mantissa, np.frexp(x)[0])
    assert_equal_bits(exponent, np.frexp(x)[1])


def test_out_may_be_larger_than_the_inputs_broadcast():
    out = np.empty((3, 4), np.float32)
    kernels.add(np.arange(4, dtype=np.float32), 1, out=out)
    assert_equal_bits(out, np.tile(np.arange(1, 5, dtype=np.float32), (3, 1)))


@pytest.mark.parametrize(
    ("source", "target"),
    [("float32", "float64"), ("int32", "int8"), ("float64", "float16"), ("int16", "complex64")],
)
def test_results_are_converted_to_the_dtype_of_out(source, target):
    x = np.arange(-20, 20).astype(source)
    out, expected = np.empty(40, target), np.empty(40, target)
    assert_equal_bits(kernels.add(x, x, out=out), np.add(x, x, out=expected))


@given(data=hst.data())
def test_where_leaves_other_elements_as_they_are(data):
    shapes, shape = data.draw(st.broadcastable_shapes(3, max_side=12))
    mask = data.draw(st.arrays(bool, shapes[0]))
    x, y = (data.draw(st.arrays("float32", s)) for s in shapes[1:])
    out = data.draw(st.arrays("float32", shape))
    expected = np.add(x, y, out=out.copy(), where=mask)
    assert_equal_bits(kernels.add(x, y, out=out, where=mask), expected)


def test_where_false_writes_nothing():
    out = np.full(5, 7.0)
    kernels.exp(np.arange(5.0), out=out, where=False)
    assert_equal_bits(out, np.full(5, 7.0))


def test_where_broadcasts_with_the_inputs():
    out = np.zeros((2, 3))
    kernels.add(1.0, 2.0, out=out, where=[[True], [False]])
    assert_equal_bits(out, np.array([[3.0] * 3, [0.0] * 3]))


OVERLAPS = {
    "in place": (slice(None), slice(None)),
    "one to the right": (slice(None, -1), slice(1, None)),
    "one to the left": (slice(1, None), slice(None, -1)),
    "reversed": (slice(None), slice(None, None, -1)),
    "evens onto the first half": (slice(None, None, 2), slice(None, 50)),
    "first half onto odds": (slice(None, 50), slice(1, None, 2)),
}


@pytest.mark.parametrize("overlap", OVERLAPS)
@pytest.mark.parametrize("dtype", ["int8", "float32", "float64"])
def test_overlapping_input_and_output_give_what_separate_ones_give(overlap, dtype, rng):
    read, write = OVERLAPS[overlap]
    x = rng.integers(-20, 20, 100).astype(dtype)
    expected = x.copy()
    expected[write] = np.add(x[read], x[read][::-1])
    kernels.add(x[read], x[read][::-1], out=x[write])
    assert_equal_bits(x, expected)


def test_a_matrix_plus_its_transpose_in_place_is_symmetric(rng):
    a = rng.standard_normal((9, 9))
    expected = a + a.T
    kernels.add(a, a.T, out=a)
    assert_equal_bits(a, expected)


def test_a_mask_that_overlaps_the_output_is_read_before_it_is_written():
    x = np.array([True, False, True, True, False, True])
    expected = x.copy()
    np.logical_not(x[::-1].copy(), out=expected, where=x[::-1].copy())
    kernels.logical_not(x[::-1].copy(), out=x, where=x[::-1])
    assert_equal_bits(x, expected)


def test_an_output_of_another_dtype_may_share_memory_with_an_input():
    memory = np.arange(8, dtype=np.int64)
    out = memory.view(np.float64)
    expected = np.arange(8) * 0.5
    kernels.multiply(memory, 0.5, out=out)
    assert_equal_bits(out, expected)


# --- arithmetic that NumPy defines and C does not ---------------------------------------------------------


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind in "iu"], ids=str)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "divmod"])
def test_integer_division_by_zero_gives_zero(name, dtype):
    info = np.iinfo(dtype)
    x = np.array([info.min, 0, 1, 7, info.max], dtype)
    with np.errstate(all="ignore"):
        expected = numpy_of(name)(x, dtype.type(0))
    actual = REGISTRY[name].function(x, dtype.type(0))
    for a, b in zip(np.atleast_2d(actual), np.atleast_2d(expected), strict=True):
        assert_equal_bits(a, b)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind == "i"], ids=str)
@pytest.mark.parametrize("name", ["floor_divide", "remainder", "fmod", "absolute", "negative"])
def test_the_most_negative_integer_wraps_as_in_numpy(name, dtype):
    x = np.array([np.iinfo(dtype).min, np.iinfo(dtype).min + 1], dtype)
    inputs = (x,) if REGISTRY[name].nin == 1 else (x, dtype.type(-1))
    with np.errstate(all="ignore"):
        assert_equal_bits(REGISTRY[name].function(*inputs), numpy_of(name)(*inputs))


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind in "iu"], ids=str)
def test_sums_and_products_of_integers_wrap(dtype):
    x = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    with np.errstate(all="ignore"):
        assert_equal_bits(kernels.add(x, x), x + x)
        assert_equal_bits(kernels.multiply(x, x), x * x)


@exact_functions
def test_float16_is_computed_and_returned(name):
    x = np.array([1.0, -2.5, 0.0, np.inf], np.float16)
    assert_equal_bits(getattr(kernels, name)(x, x[::-1]), getattr(np, name)(x, x[::-1]))


def test_clip_leaves_a_side_open_for_none():
    x = np.arange(-5, 5)
    assert_equal_bits(kernels.clip(x, None, 2), np.clip(x, None, 2))
    assert_equal_bits(kernels.clip(x, -1, None), np.clip(x, -1, None))
    assert_equal_bits(kernels.clip(x, -1), np.clip(x, -1, None))


def test_optional_inputs_have_the_defaults_of_numpy():
    x = np.array([1.26, np.nan, np.inf, -np.inf])
    assert_equal_bits(kernels.nan_to_num(x), np.nan_to_num(x))
    assert_equal_bits(kernels.round(x[:1]), np.round(x[:1]))
    assert_equal_bits(kernels.round(x[:1], 1), np.round(x[:1], 1))


# --- parameters with defaults -------------------------------------------------------------------------------


def test_parameters_that_have_defaults_may_be_named():
    x = np.array([-2.0, 0.5, 3.0, np.nan])
    assert_equal_bits(kernels.clip(x, max=1), np.clip(x, None, 1))
    assert_equal_bits(kernels.clip(x, min=0, max=1), kernels.clip(x, 0, 1))
    assert_equal_bits(kernels.nan_to_num(x, nan=7.0), np.nan_to_num(x, nan=7.0))
    assert_equal_bits(kernels.round(1.2345 * x[:3], decimals=2), np.round(1.2345 * x[:3], 2))
    assert_equal_bits(kernels.leaky_relu(x, negative_slope=0.5), kernels.leaky_relu(x, 0.5))


@pytest.mark.parametrize("named", [{"x": 1.0}, {"minimum": 0}, {"axis": 0}])
def test_no_other_parameter_may_be_named(named):
    with pytest.raises(TypeError, match=next(iter(named))):
        kernels.clip(1.0, **named)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_power_of_one_half_is_the_power_of_the_standard_not_the_square_root(dtype):
    x, y = np.array([-np.inf, -0.0, 4.0], dtype), np.full(3, 0.5, dtype)
    assert_equal_bits(kernels.power(x, y), np.array([np.inf, 0.0, 2.0], dtype))

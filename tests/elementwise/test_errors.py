"""Bad input: an error of NumPy's type that names the argument, and nothing half-written."""

import datetime
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import kernels
from kernels import REGISTRY

X = np.arange(6, dtype=np.float32)

ELEMENTWISE = sorted(name for name, pair in REGISTRY.items() if pair.family == "elementwise")


@pytest.fixture
def out():
    return np.full(6, 7, np.float32)


def assert_untouched(array, value=7):
    assert np.all(array == value)


# --- inputs -----------------------------------------------------------------------------------------------


class Unknown:
    """An object that stands for no array."""


@pytest.mark.parametrize(
    "bad",
    [
        np.array([1, None], object), np.array(["a"]), np.array([b"a"]), np.zeros(1, "datetime64[D]"),
        np.array([1], "timedelta64[s]"), np.zeros(2, np.longdouble), np.zeros(2, np.clongdouble),
        np.zeros(2, [("a", "f4")]), ["a", "b"], [None], [object()], 2**70 * np.ones(1, object),
    ],
    ids=lambda bad: str(getattr(bad, "dtype", "list")),
)  # fmt: skip
def test_an_unsupported_dtype_is_a_type_error_that_names_the_argument_and_the_dtype(bad, out):
    with pytest.raises(TypeError, match=r"^x2 has dtype .*supported are bool, int8"):
        kernels.add(X[:1], bad)
    with pytest.raises(TypeError, match=r"^x has dtype"):
        kernels.sin(bad)
    with pytest.raises(TypeError, match=r"^out has dtype"):
        kernels.add(X, X, out=np.asarray(bad))


@pytest.mark.parametrize(
    "bad",
    [None, "text", b"bytes", Unknown(), {1, 2}, {"a": 1}, datetime.date(2020, 1, 1), len, range(3), iter([1])],
    ids=lambda bad: type(bad).__name__,
)
def test_what_is_no_array_is_a_type_error_that_names_the_argument_and_its_type(bad, out):
    with pytest.raises(TypeError, match=rf"^x1 must be .* got {type(bad).__qualname__}$"):
        kernels.add(bad, X, out=out)
    assert_untouched(out)


def test_a_ragged_list_is_a_value_error_that_names_the_argument():
    with pytest.raises(ValueError, match=r"^x1 is no rectangular list"):
        kernels.add([[1, 2], [3]], 1)


def test_an_array_of_a_library_that_is_not_installed_is_named(monkeypatch):
    """An object whose class says it is CuPy's, where CuPy cannot be imported."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    memory = SimpleNamespace(ptr=256, device=SimpleNamespace(id=0))
    facts = {"dtype": np.dtype("f4"), "shape": (3,), "strides": (4,), "data": memory, "device": memory.device}
    alien = type("ndarray", (), {"__module__": "cupy", **facts})()
    with pytest.raises((TypeError, ImportError), match=r"x1|cupy"):
        kernels.add(alien, 1)


def test_shapes_that_do_not_broadcast_are_a_value_error_that_lists_them(out):
    with pytest.raises(ValueError, match=r"x1 \(6,\), x2 \(5,\)"):
        kernels.add(X, X[:5], out=out)
    with pytest.raises(ValueError, match=r"condition \(2, 1\), x \(6,\), y \(3, 6\)"):
        kernels.where(np.ones((2, 1), bool), X, np.ones((3, 6)))
    assert_untouched(out)


def test_a_mask_that_does_not_broadcast_is_named(out):
    with pytest.raises(ValueError, match=r"where \(4,\)"):
        kernels.add(X, X, out=out, where=np.ones(4, bool))
    assert_untouched(out)


@pytest.mark.parametrize("mask", [1, 0.0, [1, 0, 1, 0, 1, 0], np.ones(6)], ids=str)
def test_a_mask_that_is_not_boolean_is_a_type_error(mask, out):
    with pytest.raises(TypeError, match=r"^where must be boolean, got dtype"):
        kernels.add(X, X, out=out, where=mask)
    assert_untouched(out)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("negative", "bool"), ("subtract", "bool"), ("bitwise_and", "float32"), ("gcd", "float64"),
        ("arctan2", "complex64"), ("floor", "complex64"), ("left_shift", "float32"), ("erfinv", "complex64"),
        ("gelu", "complex128"),
    ],
)  # fmt: skip
def test_dtypes_that_a_function_is_not_defined_for_are_a_type_error_that_names_the_function(name, dtype):
    x = np.ones(3, dtype)
    with pytest.raises(TypeError, match=name):
        REGISTRY[name].function(*[x] * REGISTRY[name].nin)


@pytest.mark.parametrize("number", [300, -1])
def test_a_python_integer_out_of_range_is_an_overflow_error(number):
    x = np.zeros(3, np.uint8)
    with pytest.raises(OverflowError, match=f"{number} out of bounds for uint8"):
        kernels.add(x, number)
    with pytest.raises(OverflowError, match=f"{number} out of bounds for uint8"):
        kernels.where(True, x, number)
    with pytest.raises(OverflowError):
        kernels.add(x, number, out=x)
    assert_untouched(x, 0)


@pytest.mark.parametrize("exponent", [-1, np.int32(-2), [1, -3], np.array([[2], [-1]], np.int64)], ids=repr)
def test_a_negative_integer_power_of_an_integer_is_a_value_error(exponent):
    with pytest.raises(ValueError, match="negative"):
        np.power(np.array([2, 3]), exponent)
    with pytest.raises(ValueError, match="negative"):
        kernels.power(np.array([2, 3]), exponent)


def test_a_tensor_that_requires_grad_is_told_to_detach():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"x is a tensor that requires grad.*detach"):
        kernels.sin(torch.ones(3, requires_grad=True))


# --- outputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (5,), (1,), (7,), (6, 1), (2, 3)])
def test_an_out_of_another_shape_is_a_value_error_that_names_it(shape):
    out = np.full(shape, 7, np.float32)
    with pytest.raises(ValueError):  # noqa: PT011  (NumPy's own answer, whatever its words)
        np.add(X, X, out=out)
    with pytest.raises(ValueError, match=r"^out has shape"):
        kernels.add(X, X, out=out)
    assert_untouched(out)


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8"])
def test_an_out_of_a_dtype_that_casting_forbids_is_a_type_error_that_names_it(dtype):
    out = np.full(6, 1, dtype)
    with pytest.raises(TypeError, match=f"^out has dtype {dtype}, and add gives float32, which casting='same_kind'"):
        kernels.add(X, X, out=out)
    assert_untouched(out, 1)


def test_a_read_only_out_is_a_value_error(out):
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out is read-only"):
        kernels.add(X, X, out=out)
    assert_untouched(out)


@pytest.mark.parametrize("bad", [[0.0] * 6, 1.0, np.float32(1), 1, True], ids=lambda bad: type(bad).__name__)
def test_an_out_that_cannot_be_written_to_is_a_type_error(bad):
    with pytest.raises(TypeError, match=r"^out must be an array to write to"):
        kernels.add(X[:1], 1, out=bad)


def test_an_out_with_several_elements_in_one_place_is_a_value_error():
    memory = np.full(1, 7, np.float32)
    out = np.lib.stride_tricks.as_strided(memory, (6,), (0,))
    with pytest.raises(ValueError, match=r"^out has several elements in one place"):
        kernels.add(X, X, out=out)
    assert_untouched(memory)


def test_outputs_with_overlapping_windows_are_a_value_error():
    memory = np.full(7, 7, np.float32)
    out = np.lib.stride_tricks.as_strided(memory, (3, 3), (8, 4))
    with pytest.raises(ValueError, match=r"^out has several elements in one place"):
        kernels.add(np.ones((3, 3), np.float32), 1, out=out)
    assert_untouched(memory)


def test_outputs_that_overlap_one_another_are_a_value_error():
    memory = np.full(8, 7, np.float32)
    with pytest.raises(ValueError, match=r"^out\[1\] overlaps out\[0\]"):
        kernels.divmod(X, 2, out=(memory[:6], memory[2:]))
    assert_untouched(memory)


def test_interleaved_outputs_do_not_overlap():
    memory = np.empty(12, np.float32)
    kernels.divmod(X, 4, out=(memory[::2], memory[1::2]))
    assert np.array_equal(memory[::2], X // 4)
    assert np.array_equal(memory[1::2], X % 4)


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_outputs_as_results_are_wanted(count):
    outs = tuple(np.full(6, 7, np.float32) for _ in range(count))
    with pytest.raises(ValueError, match=r"^out must hold 2 array\(s\) for divmod"):
        kernels.divmod(X, 2, out=outs)
    for out in outs:
        assert_untouched(out)


def test_a_bad_second_output_leaves_the_first_untouched(out):
    with pytest.raises(TypeError, match=r"^out\[1\] has dtype int32"):
        kernels.divmod(X, 2, out=(out, np.zeros(6, np.int32)))
    assert_untouched(out)


# --- keywords ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_unknown_keyword_is_a_type_error_that_names_it(name):
    pair = REGISTRY[name]
    with pytest.raises(TypeError, match="nonsense"):
        pair.function(*[1.0] * pair.nin, nonsense=1)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_too_few_and_too_many_arguments_are_a_type_error_that_names_the_function(name):
    pair = REGISTRY[name]
    with pytest.raises(TypeError, match=rf"^{pair.function.__name__}\(\) takes"):
        pair.function()
    with pytest.raises(TypeError, match=rf"^{pair.function.__name__}\(\) takes"):
        pair.function(*[1.0] * (pair.nin + pair.nout + 1))


def test_out_given_twice_is_a_type_error(out):
    with pytest.raises(TypeError, match="both a positional out and out="):
        kernels.add(X, X, out, out=out)
    assert_untouched(out)


def test_a_casting_that_does_not_exist_is_a_value_error():
    with pytest.raises(ValueError, match="casting"):
        kernels.add(X, X, casting="nonsense")
    with pytest.raises(ValueError, match="casting"):
        kernels.gelu(X, casting="nonsense")


@pytest.mark.parametrize("dtype", ["object", "U1", "longdouble", "datetime64[s]"])
def test_a_dtype_that_kernels_do_not_have_is_a_type_error(dtype, out):
    with pytest.raises(TypeError):
        kernels.add(X, X, out=out, dtype=dtype)
    assert_untouched(out)


def test_a_word_that_names_no_dtype_is_a_type_error():
    with pytest.raises(TypeError, match="nonsense"):
        kernels.add(X, X, dtype="nonsense")


@pytest.mark.parametrize("stream", ["stream", 1.5, True, Unknown()], ids=lambda s: type(s).__name__)
def test_what_is_no_stream_is_a_type_error_that_names_the_argument(stream, out):
    with pytest.raises(TypeError, match=f"^stream must be .* got {type(stream).__qualname__}$"):
        kernels.add(X, X, out=out, stream=stream)
    assert_untouched(out)


def test_a_step_of_an_optimiser_before_the_first_is_a_value_error():
    w = np.ones(3)
    with pytest.raises(ValueError, match=r"^step must be 1 or more, got 0"):
        kernels.adam_step(w, w.copy(), np.zeros(3), np.zeros(3), step=0)
    assert_untouched(w, 1)


def test_a_state_of_another_shape_leaves_everything_untouched():
    w, m, v = np.ones(3), np.ones(3), np.ones(4)
    with pytest.raises(ValueError, match="exp_avg_sq"):
        kernels.adamw_step(w, np.ones(3), m, v, step=1)
    for array in (w, m, v):
        assert_untouched(array, 1)


def test_no_warning_of_numpy_escapes_where_numbers_overflow_or_divide_by_zero():
    """pytest turns warnings into errors here."""
    kernels.divide([1.0, 0.0], 0.0)
    kernels.exp(np.float32(1e4))
    kernels.floor_divide(np.array([1]), 0)
    kernels.log([-1.0, 0.0])
    with kernels.use("reference"):
        kernels.divide([1.0, 0.0], 0.0)
        kernels.floor_divide(np.array([1]), 0)


def test_an_error_does_not_spoil_the_next_call():
    with pytest.raises(ValueError, match="broadcast"):
        kernels.add(X, X[:2])
    assert np.array_equal(kernels.add(X, X), X + X)


def test_a_full_interpreter_reports_an_error_in_one_traceback(environment):
    """What a user sees is the error itself, not an error met while handling another."""
    code = "import kernels; kernels.add('text', 1)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("TypeError: x1 must be")
    assert run.stderr.count("Traceback") == 1

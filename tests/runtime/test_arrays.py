"""Arrays in, arrays out: kinds, layouts and places, as far as no GPU is needed."""

import numpy as np
import pytest
from numba import cuda

import kernels
from kernels.device.instructions import SIMULATED
from kernels.runtime.arrays import Operand, contiguous_strides, operand, placement, span, stream_handle
from kernels.testing import layouts


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (4, 1, 5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_contiguous_strides_are_those_of_numpy(shape, order):
    numpys = np.empty(shape, np.int8, order).strides
    ours = contiguous_strides(shape, order)
    # NumPy is free in the stride of axes along which nobody steps.
    assert all(a == b for a, b, n in zip(numpys, ours, shape, strict=True) if n > 1 and 0 not in shape)
    assert len(ours) == len(shape)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 4)])
def test_the_extent_of_an_array_holds_its_elements_and_ends_with_the_last(shape):
    for name, view in layouts(np.zeros(shape, np.float32)):
        x = operand(view, "x")
        low, high = (x.pointer + 4 * end for end in span(x.shape, x.strides))
        assert (low, high) == np.lib.array_utils.byte_bounds(view), name


@pytest.mark.parametrize(
    ("value", "dtype", "weak"), [(True, "?", None), (3, "q", int), (1.5, "d", float), (2j, "D", complex)]
)
def test_python_numbers_are_weak_but_booleans_are_not(value, dtype, weak):
    found = operand(value, "x")
    assert (found.dtype, found.weak) == (np.dtype(dtype), weak)


def test_numpy_numbers_are_not_weak():
    assert operand(np.float64(1), "x").weak is None
    assert operand([1.5], "x").weak is None


def test_a_subclass_of_a_python_number_is_a_number():
    class Metres(float):
        pass

    assert kernels.add(Metres(1.5), np.float32(1)) == 2.5


def test_objects_that_convert_to_numpy_arrays_are_read():
    class Wrapper:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3.0)

    assert np.array_equal(kernels.add(Wrapper(), 1), [1, 2, 3])


def test_a_numpy_subclass_gives_a_plain_array():
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    assert type(kernels.add(masked.data, 1)) is np.ndarray


def test_lists_and_tuples_nest():
    assert np.array_equal(kernels.add([[1, 2], [3, 4]], ((1,), (2,))), [[2, 3], [5, 6]])


@pytest.mark.parametrize("handle", [None, 0, 1, 12345])
def test_handles_of_streams_are_what_they_are(handle):
    assert stream_handle(handle) == handle


def test_streams_of_any_library_are_read_by_their_protocol():
    class Protocol:
        def __cuda_stream__(self):
            return (0, 77)

    class Torch:
        cuda_stream = 78

    class CuPy:
        ptr = 79

    assert [stream_handle(s()) for s in (Protocol, Torch, CuPy)] == [77, 78, 79]


def test_numba_arrays_give_numba_arrays():
    x = cuda.to_device(np.arange(5, dtype=np.float32))
    y = kernels.add(x, 1)
    assert type(y) is type(x)
    assert np.array_equal(y.copy_to_host(), np.arange(1, 6))
    out = cuda.device_array(5, np.float32)
    assert kernels.multiply(x, 2, out=out) is out
    assert np.array_equal(out.copy_to_host(), 2 * np.arange(5))


def test_numba_arrays_and_host_arrays_mix():
    x = cuda.to_device(np.arange(4.0))
    y = kernels.add(np.ones(4), x)
    assert type(y) is type(x)
    assert np.array_equal(y.copy_to_host(), [1, 2, 3, 4])


@pytest.mark.skipif(not SIMULATED, reason="a GPU has streams of its own to show: test_device_arrays.py")
def test_numba_streams_are_accepted_in_the_simulator():
    assert kernels.add(1, 2, stream=cuda.stream()) == 3


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_cpu_tensors_give_cpu_tensors(shape):
    torch = pytest.importorskip("torch")
    x = torch.ones(shape)
    y = kernels.add(x, 1)
    assert isinstance(y, torch.Tensor)
    assert y.shape == x.shape
    assert (y == 2).all()
    kernels.add(x, 1, out=x)
    assert (x == 2).all()


def test_cpu_arrays_of_jax_give_arrays_of_jax():
    jnp = pytest.importorskip("jax.numpy")
    x = jnp.ones(3)
    y = kernels.add(x, 1)
    assert type(y) is type(x)
    assert np.array_equal(np.asarray(y), [2, 2, 2])
    with pytest.raises(ValueError, match=r"^out is read-only"):
        kernels.add(x, 1, out=x)


def on_device(name, device, stream):
    """An operand that claims to lie on a device, of a library that tells its stream itself."""
    return Operand(name, "interface", object(), np.dtype(np.float32), (3,), (1,), 4096, device, stream)


def test_arrays_on_two_devices_are_refused_by_name():
    with pytest.raises(kernels.DeviceMismatchError, match="x2 is on device 1, x1 on device 0"):
        placement([on_device("x1", 0, 7), on_device("x2", 1, 7)], None)


def test_the_first_device_array_decides_device_and_stream():
    first, second = on_device("x1", 1, 7), on_device("x2", 1, 7)
    assert placement([operand(2.0, "a"), first, second], None) == (1, 7, first)

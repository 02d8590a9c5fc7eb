"""The same values under other strides, and sentinels that notice every stray write."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst

from kernels.testing import LAYOUTS, assert_equal_bits, guarded, layouts, strategies


@given(data=hst.data(), dtype=strategies.dtypes())
def test_every_layout_holds_the_same_values(data, dtype):
    array = data.draw(strategies.arrays(dtype, strategies.shapes(), special=True))
    for _, view in layouts(array):
        assert_equal_bits(view, array)


def test_the_layouts_are_what_their_names_say():
    views = dict(layouts(np.zeros((3, 4, 5), np.float32)))
    assert views["contiguous"].flags.c_contiguous
    assert views["contiguous"].ctypes.data % 16 == 0
    assert views["offset"].ctypes.data % 16 == 12
    assert views["fortran"].flags.f_contiguous
    assert views["transposed"].strides == (4, 60, 12)
    assert all(stride > 0 for stride in views["step"].strides)
    assert not views["step"].flags.forc
    assert views["negative"].strides == (-80, -20, -4)
    assert all(stride < 0 for stride in views["negative step"].strides)
    assert views["zero stride"].strides == (0, 0, 0)


def test_zero_strides_run_along_the_axes_where_the_array_repeats_itself():
    varying = np.arange(6).reshape(2, 3)
    assert set(dict(layouts(varying))) == set(LAYOUTS)
    columns = np.broadcast_to([[1], [2]], (2, 5)).copy()
    assert dict(layouts(columns))["zero stride"].strides == (8, 0)
    assert "zero stride" not in dict(layouts(np.array([0.0, -0.0])))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "float32", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (4, 5), (2, 0, 3), (2, 3, 4)])
def test_writing_the_whole_array_touches_no_sentinel(shape, dtype, layout):
    array, assert_untouched = guarded(shape, dtype, layout)
    assert array.shape == shape
    assert array.dtype == dtype
    array[...] = 1
    array[...] = 0
    assert_untouched()


def every_cell(array):
    """The cells of the buffer that an array was carved from."""
    return array if array.base is None else every_cell(array.base)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bool", "int8", "float32", "complex64"])
@pytest.mark.parametrize("shape", [(), (0,), (9,), (3, 4)])
def test_a_write_to_any_cell_outside_the_array_is_caught(shape, dtype, layout):
    array, assert_untouched = guarded(shape, dtype, layout)
    raw = every_cell(array).view(np.uint8).reshape(-1, np.dtype(dtype).itemsize)
    start = every_cell(array).ctypes.data
    mine = {
        (array.ctypes.data + int(np.dot(index, array.strides)) - start) // array.itemsize for index in np.ndindex(shape)
    }
    assert len(mine) == math.prod(shape)
    for cell in range(len(raw)):
        if cell not in mine:
            raw[cell, -1] ^= 1
            with pytest.raises(AssertionError, match="1 cells outside"):
                assert_untouched()
            raw[cell, -1] ^= 1
    assert_untouched()


def store(out, i, value):
    """out[i] = value through the pointer of `out`, as in a kernel, with no bounds to stop it."""
    cells = every_cell(out)
    at = out.ctypes.data - cells.ctypes.data + i * out.strides[0]
    np.ndarray((), out.dtype, cells, at)[...] = value


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("past", [-1, 10])
def test_an_overrun_by_one_is_caught_at_either_end(layout, past):
    x = np.arange(10, dtype=np.float32)
    out, assert_untouched = guarded((10,), np.float32, layout)
    for i in range(10):
        store(out, i, x[i])
    assert_untouched()
    np.testing.assert_array_equal(out, x)
    store(out, past, 0)
    with pytest.raises(AssertionError, match="1 cells outside"):
        assert_untouched()


def test_a_kernel_that_ignores_the_strides_is_caught_between_them():
    out, assert_untouched = guarded((10,), np.float32, "step")
    np.lib.stride_tricks.as_strided(out, (10,), (4,))[...] = 0
    with pytest.raises(AssertionError, match=r"5 cells outside the \(10,\) array were written, the first \+1 "):
        assert_untouched()


def test_elements_that_are_not_written_hold_no_likely_result():
    out, _ = guarded((1000,), np.float32)
    assert np.count_nonzero(out == 0) < 10
    other, _ = guarded((1000,), np.float32, seed=1)
    assert np.count_nonzero(out == other) < 10


def test_the_buffer_may_live_on_a_device():
    class Device(np.ndarray):
        pass

    def to_device(cells):
        return cells.copy().view(Device)

    out, assert_untouched = guarded((7,), np.int32, "step", to_device=to_device, to_host=np.asarray)
    assert type(out) is Device
    out[...] = 5
    assert_untouched()
    every_cell(out)[0] ^= 1
    with pytest.raises(AssertionError, match="1 cells outside"):
        assert_untouched()


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="layout must be one of 'contiguous'"):
        guarded((3,), np.float32, "diagonal")

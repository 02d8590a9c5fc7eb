"""Tensor maps: what a copy by TMA knows of an array in global memory.

Source: CUDA driver API, "Tensor Map Object Management"; compute capability 9.0.
"""

import numpy as np
from numba import cuda

from ..device.instructions import SIMULATED
from . import arrays

SWIZZLES = (0, 32, 64, 128)


def tensor_map(array, box, swizzle=0):
    """Describe an array and the boxes of it that `kernels.device.tensor_copies` moves.

    Parameters
    ----------
    array : array
        Of 1 to 5 axes, the last contiguous, the strides of the others multiples of 16 bytes; in device memory, or
        simulated any.
    box : tuple of int
        Elements along each axis, 1 to 256; the last takes a multiple of 16 bytes, and with a swizzle at most that.
    swizzle : {0, 32, 64, 128}
        Bytes over which 16-byte pieces are exchanged in shared memory.

    Returns
    -------
    map : array of 16 uint64
        In device memory, an argument of kernels. It holds an address: the array must live as long.

    Raises
    ------
    TypeError, ValueError
        Where the hardware has no such copies; the message names the argument.
    """
    operand = arrays.operand(array, "array")
    itemsize = operand.dtype.itemsize
    strides = [stride * itemsize for stride in operand.strides]
    _check(operand, strides, tuple(box), swizzle)
    shape, box, strides = operand.shape[::-1], tuple(box)[::-1], strides[::-1][1:]
    if SIMULATED or operand.device is None:
        return _simulated(operand, itemsize, shape, strides, box, swizzle)
    return _encoded(operand, itemsize, shape, strides, box, swizzle)


def _check(operand, strides, box, swizzle):
    ndim, itemsize = len(operand.shape), operand.dtype.itemsize
    if not 1 <= ndim <= 5 or itemsize > 8:
        raise TypeError(f"array: 1 to 5 axes of numbers up to 8 bytes, not {ndim} of {operand.dtype}")
    if strides[-1] != itemsize or any(stride % 16 or stride <= 0 for stride in strides[:-1]):
        raise ValueError(f"array: the last axis contiguous, others multiples of 16 bytes apart, not {tuple(strides)}")
    if len(box) != ndim or not all(1 <= extent <= 256 for extent in box):
        raise ValueError(f"box: {ndim} extents of 1 to 256, not {box}")
    if swizzle not in SWIZZLES:
        raise ValueError(f"swizzle: one of {SWIZZLES}, not {swizzle}")
    width = box[-1] * itemsize
    if width % 16 or (swizzle and width > swizzle):
        raise ValueError(f"box: a last extent of a multiple of 16 bytes, up to the swizzle's width, not {width} bytes")


def _simulated(operand, itemsize, shape, strides, box, swizzle):
    """As `kernels.device.tensor_copies` reads it: address, sizes, shape, strides, box."""
    memory = operand.memory if operand.memory is not None else operand.array
    found = np.zeros(16, np.uint64)
    found[0], found[1] = memory.__array_interface__["data"][0], itemsize | swizzle << 8
    found[2:7], found[11:16] = 1, 1
    found[2 : 2 + len(shape)], found[11 : 11 + len(box)] = shape, box
    found[7 : 7 + len(strides)] = strides
    return cuda.to_device(found) if SIMULATED else found


def _encoded(operand, itemsize, shape, strides, box, swizzle):
    from cuda.bindings import driver

    kinds = driver.CUtensorMapDataType
    kind = {1: kinds.CU_TENSOR_MAP_DATA_TYPE_UINT8, 2: kinds.CU_TENSOR_MAP_DATA_TYPE_UINT16,
            4: kinds.CU_TENSOR_MAP_DATA_TYPE_UINT32, 8: kinds.CU_TENSOR_MAP_DATA_TYPE_UINT64}[itemsize]  # fmt: skip
    widths = driver.CUtensorMapSwizzle
    mode = {0: widths.CU_TENSOR_MAP_SWIZZLE_NONE, 32: widths.CU_TENSOR_MAP_SWIZZLE_32B,
            64: widths.CU_TENSOR_MAP_SWIZZLE_64B, 128: widths.CU_TENSOR_MAP_SWIZZLE_128B}[swizzle]  # fmt: skip
    error, found = driver.cuTensorMapEncodeTiled(
        kind, len(shape), operand.pointer,
        [driver.cuuint64_t(extent) for extent in shape], [driver.cuuint64_t(stride) for stride in strides],
        [driver.cuuint32_t(extent) for extent in box], [driver.cuuint32_t(1)] * len(box),
        driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE, mode,
        driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
    )  # fmt: skip
    if int(error):
        raise ValueError(f"array, box: the driver does not take them: {error.name}")
    return cuda.to_device(np.array([int(word) for word in found.opaque], np.uint64))

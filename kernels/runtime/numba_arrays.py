"""Numba's device arrays over memory of our pool."""

import functools

import numpy as np
from cuda.bindings import driver
from numba import cuda

from .memory import Buffer


def maker(shape, strides, dtype, device, stream):
    """What makes uninitialised arrays of a layout, with strides of elements, in the order of a raw stream."""
    return functools.partial(_made, *_models(shape, strides, dtype, device), device, stream)


def _made(kind, array_facts, memory_facts, nbytes, device, stream):
    """An array whose objects are copies of models, which saves 8 us of their making."""
    buffer = Buffer(nbytes, device, stream, "the result")
    memory, array = object.__new__(cuda.driver.MemoryPointer), object.__new__(kind)
    memory.__dict__ = facts = memory_facts.copy()
    facts["_buffer"] = buffer  # lives as long as the array does
    if nbytes:
        facts["device_pointer"] = facts["handle"] = buffer.handle
    array.__dict__ = facts = array_facts.copy()
    facts["gpu_data"] = memory
    return array


@functools.lru_cache(maxsize=1024)
def _models(shape, strides, dtype, device):
    """Attributes of Numba's arrays of a layout and of their memory."""
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    steps = tuple(s * dtype.itemsize for s in strides)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = cuda.driver.MemoryPointer(cuda.gpus[device].get_primary_context(), driver.CUdeviceptr(0), nbytes)
    return DeviceNDArray, vars(DeviceNDArray(shape, steps, dtype, gpu_data=memory)), vars(memory), nbytes

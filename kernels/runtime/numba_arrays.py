"""Numba's device arrays over memory of our pool, and how much Numba remembers of its arrays."""

import functools

import numpy as np
from cuda.bindings import driver
from numba import cuda

from ..device.instructions import SIMULATED
from .layouts import KEPT
from .memory import Buffer

#: Numba's handle on memory that it counts the owners of.
OWNED = None if SIMULATED else cuda.driver.OwnedPointer


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


@functools.lru_cache(maxsize=KEPT)
def _models(shape, strides, dtype, device):
    """Attributes of Numba's arrays of a layout and of their memory."""
    from numba.cuda.cudadrv.devicearray import DeviceNDArray

    steps = tuple(s * dtype.itemsize for s in strides)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = cuda.driver.MemoryPointer(cuda.gpus[device].get_primary_context(), driver.CUdeviceptr(0), nbytes)
    return DeviceNDArray, vars(DeviceNDArray(shape, steps, dtype, gpu_data=memory)), vars(memory), nbytes


# --- what Numba remembers -----------------------------------------------------------------------------------------


def bounded(function):
    """`function`, whose results `functools.cache` keeps for ever, with those of `KEPT` arguments."""
    if function.cache_parameters()["maxsize"] is None:
        return functools.lru_cache(maxsize=KEPT)(function.__wrapped__)
    return function


def bound_numba():
    """Have Numba forget layouts of arrays that it has not met for long.

    Each device array that it makes, a view too, leaves a description of its shape and strides, and their size in bytes,
    in caches without a bound: 1 to 2 kB for each new layout, so that a process whose arrays are of ever new shapes
    grows for ever, whoever calls (numba-cuda 0.30; 38 MiB in five minutes of a soak).
    """
    from numba.cuda.cudadrv import dummyarray

    describe = vars(dummyarray.Array)["from_desc"].__func__
    dummyarray.Array.from_desc = classmethod(bounded(describe))
    cuda.driver.memory_size_from_info = bounded(cuda.driver.memory_size_from_info)


if not SIMULATED:
    bound_numba()

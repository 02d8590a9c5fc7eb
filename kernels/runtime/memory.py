"""Device memory from a stream-ordered pool, and copies to and from it.

cuMemAlloc synchronises the device and took 20-200 us a call; a pool that keeps what is freed (release threshold
at its maximum) answers in about 1 us and never waits.

Source: CUDA Driver API, "Stream Ordered Memory Allocator"
"""

import contextlib
import functools
import weakref

from cuda.bindings import driver
from numba import cuda


class DeviceError(RuntimeError):
    """The CUDA driver refused a request."""


def check(result, action):
    """Values of a driver call; an error that names `action` otherwise."""
    status, *values = result
    if status == driver.CUresult.CUDA_SUCCESS:
        return values[0] if len(values) == 1 else values
    if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise MemoryError(f"{action}: out of device memory")
    _, text = driver.cuGetErrorString(status)
    raise DeviceError(f"{action}: {text.decode() if text else status} ({status.name})")


@contextlib.contextmanager
def active(device):
    """Make `device` the current one, for the driver and for Numba."""
    if _current_device() == device:
        yield
    else:
        with cuda.gpus[device]:
            yield


def _current_device():
    status, current = driver.cuCtxGetDevice()
    if status != driver.CUresult.CUDA_SUCCESS:
        return None
    return int(current)


@functools.cache
def _pool(device):
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = device
    pool = check(driver.cuMemPoolCreate(properties), "creating a memory pool")
    keep = driver.cuuint64_t(2**64 - 1)
    attribute = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
    check(driver.cuMemPoolSetAttribute(pool, attribute, keep), "keeping freed memory in the pool")
    return pool


def _free(pointer, stream):
    """Free in the order of the stream it was made on; after everything, if that stream is gone."""
    (status,) = driver.cuMemFreeAsync(pointer, stream)
    if status != driver.CUresult.CUDA_SUCCESS:
        driver.cuMemFreeAsync(pointer, 0)


class Buffer:
    """`nbytes` of memory on `device`, usable in the order of `stream`, freed with this object."""

    __slots__ = ("__weakref__", "nbytes", "pointer")

    def __init__(self, nbytes, device, stream, name):
        self.nbytes = nbytes
        self.pointer = 0
        if nbytes:
            action = f"allocating {nbytes} bytes for {name}"
            with active(device):
                self.pointer = int(check(driver.cuMemAllocFromPoolAsync(nbytes, _pool(device), stream), action))
            weakref.finalize(self, _free, self.pointer, stream).atexit = False


def upload(array, device, stream, name):
    """A device copy of a contiguous NumPy array."""
    buffer = Buffer(array.nbytes, device, stream, name)
    if array.nbytes:
        with active(device):
            check(driver.cuMemcpyHtoDAsync(buffer.pointer, array.ctypes.data, array.nbytes, stream), f"copying {name}")
    return buffer


def download(pointer, array, device, stream, name):
    """Fill a contiguous NumPy array from device memory, and wait for it."""
    if array.nbytes:
        with active(device):
            check(driver.cuMemcpyDtoHAsync(array.ctypes.data, pointer, array.nbytes, stream), f"fetching {name}")
            check(driver.cuStreamSynchronize(stream), f"computing {name}")


def follow(stream, producer, device):
    """Make `stream` wait for what `producer` has been given so far."""
    if stream == producer:
        return
    with active(device):
        event = check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING), "creating an event")
        check(driver.cuEventRecord(event, producer), "recording an event")
        check(driver.cuStreamWaitEvent(stream, event, 0), "waiting for an event")
        check(driver.cuEventDestroy(event), "destroying an event")

"""Device memory from a stream-ordered pool, and copies to and from it.

cuMemAlloc synchronises the device and took 20-200 us a call; a pool that keeps what is freed (release threshold
at its maximum) answers in about 1 us and never waits.

Source: CUDA Driver API, "Stream Ordered Memory Allocator"
"""

import contextlib
import functools
import sys
import threading

from cuda.bindings import driver
from numba import cuda

from .engines import recorder

#: What the driver answers when it has done as asked.
SUCCESS = driver.CUresult.CUDA_SUCCESS


class DeviceError(RuntimeError):
    """The CUDA driver refused a request."""


def check(result, action):
    """Values of a driver call; an error that names `action` otherwise."""
    status, *values = result
    if status == SUCCESS:
        return values[0] if len(values) == 1 else values
    if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise MemoryError(f"{action}: out of device memory")
    _, text = driver.cuGetErrorString(status)
    raise DeviceError(f"{action}: {text.decode() if text else status} ({status.name})")


_NOTHING = contextlib.nullcontext()


def active(device):
    """A context in which `device` is the current one, for the driver and for Numba.

    A thread that has no current device gets this one to keep.
    """
    current = current_device()
    if current is None:
        cuda.current_context(device)
        return _NOTHING
    return _NOTHING if current == device else cuda.gpus[device]


@functools.cache
def device_count():
    """How many devices there are."""
    return len(cuda.gpus)


def asked(device, request, *arguments):
    """What the driver answers to a request while `device` is the current one.

    Which one is current takes 1 us to find out. Where there is one device that is asked only when the driver refuses,
    as it does in a thread that has none yet.
    """
    if device_count() == 1:
        found = request(*arguments)
        if found[0] is SUCCESS:
            return found
    with active(device):
        return request(*arguments)


def current_device():
    """Number of the current device, or None."""
    status, current = driver.cuCtxGetDevice()
    if status != SUCCESS:
        return None
    return int(current)


@functools.cache
def _pool(device):
    properties = driver.CUmemPoolProps()
    properties.allocType = driver.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
    properties.location.type = driver.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
    properties.location.id = device
    with active(device):
        pool = check(driver.cuMemPoolCreate(properties), "creating a memory pool")
    keep = driver.cuuint64_t(2**64 - 1)
    attribute = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
    check(driver.cuMemPoolSetAttribute(pool, attribute, keep), "keeping freed memory in the pool")
    return pool


def pool_bytes(device=0):
    """Bytes of the pool that are in use, and that it holds."""
    names = driver.CUmemPool_attribute
    attributes = names.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, names.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT
    with active(device):
        return tuple(int(check(driver.cuMemPoolGetAttribute(_pool(device), a), "asking a pool")) for a in attributes)


class Buffer:
    """`nbytes` of memory on `device`, usable in the order of `stream`, freed with this object.

    A buffer that may outlive its stream is told by `settle` when it has been written: it is freed after that, in
    the order of the legacy stream. Any other is freed in the order of its stream.
    """

    __slots__ = ("_device", "_event", "_stream", "handle", "nbytes", "pointer")

    def __init__(self, nbytes, device, stream, name):
        recording = recorder()
        if recording is not None:
            recording.keep(self)
            stream = 0  # beside the recording, whose own memory would live for one replay
        self.nbytes, self.pointer, self._device, self._stream, self._event = nbytes, 0, device, stream, None
        if nbytes:
            status, self.handle = asked(device, driver.cuMemAllocFromPoolAsync, nbytes, _pool(device), stream)
            if status is not SUCCESS:
                check((status,), f"allocating {nbytes} bytes for {name}")
            self.pointer = int(self.handle)
            if recording is not None:
                check(driver.cuStreamSynchronize(stream), f"allocating {nbytes} bytes for {name}")

    def settle(self):
        """Remember the work that the stream has been given so far."""
        if self.pointer and self._stream > 2:  # 0, 1 and 2 are the driver's own streams, which stay
            with active(self._device):
                self._event = check(driver.cuEventCreate(_UNTIMED), "creating an event")
                check(driver.cuEventRecord(self._event, self._stream), "recording an event")
            self._stream = 0

    def __del__(self):
        if self.pointer and not sys.is_finalizing():
            if self._event is not None:
                with active(self._device):
                    driver.cuStreamWaitEvent(self._stream, self._event, 0)
                    driver.cuEventDestroy(self._event)
            asked(self._device, driver.cuMemFreeAsync, self.pointer, self._stream)


_UNTIMED = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING


def upload(array, device, stream, name):
    """A device copy of a contiguous NumPy array."""
    buffer = Buffer(array.nbytes, device, stream, name)
    write(buffer.pointer, array, device, stream, name)
    return buffer


def write(pointer, array, device, stream, name):
    """Copy a contiguous NumPy array to device memory."""
    if array.nbytes:
        with active(device):
            check(driver.cuMemcpyHtoDAsync(pointer, array.ctypes.data, array.nbytes, stream), f"copying {name}")


def download(pointer, array, device, stream, name):
    """Fill a contiguous NumPy array from device memory, and wait for it."""
    if array.nbytes:
        with active(device):
            check(driver.cuMemcpyDtoHAsync(array.ctypes.data, pointer, array.nbytes, stream), f"fetching {name}")
            check(driver.cuStreamSynchronize(stream), f"computing {name}")


class _Events(dict):
    """An event for each device, made when it is asked for."""

    def __missing__(self, device):
        self[device] = check(driver.cuEventCreate(_UNTIMED), "creating an event")
        return self[device]

    def __del__(self):
        if not sys.is_finalizing():
            for event in self.values():
                driver.cuEventDestroy(event)


class _Thread(threading.local):
    def __init__(self):
        self.events = _Events()


_thread = _Thread()

_NOT_CAPTURING = driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE


def follow(stream, producer, device):
    """Make `stream` wait for what `producer` has been given so far.

    A stream that is being captured waits for nothing outside of its graph: that is up to who replays it.
    """
    if stream == producer:
        return
    with active(device):
        if stream > 2 and check(driver.cuStreamIsCapturing(stream), "asking a stream") is not _NOT_CAPTURING:
            return
        event = _thread.events[device]
        check(driver.cuEventRecord(event, producer), "recording an event")
        # What is waited for is what the event stands for now, whatever it is used for next.
        check(driver.cuStreamWaitEvent(stream, event, 0), "waiting for an event")

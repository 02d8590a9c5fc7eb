"""Read-only tables, such as edges of bins, in device memory: uploaded once, for kernels of all streams."""

import contextlib
import functools
import sys

import numpy as np

from ...runtime import memory
from ...runtime.arrays import empty, operand, producer_stream, result
from ...runtime.engines import recorder
from ...runtime.memory import check

#: Tables that nobody refers to any more before their memory is given back: that waits for the device.
RETIRED = 64

_retired = {}
_RELAXED = memory.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED


class Table:
    """Values that do not change, on the host and, once they are asked for there, on devices."""

    __slots__ = ("_copies", "_templates", "values")

    def __init__(self, values):
        self._copies, self._templates = {}, {}
        self.values = np.ascontiguousarray(values)

    def __len__(self):
        return len(self.values)

    @property
    def dtype(self):
        """Of the values."""
        return self.values.dtype

    def on(self, device):
        """Address of the values on a device."""
        if device not in self._copies:
            self._copies[device] = _uploaded(self.values, device)
        return self._copies[device].pointer

    def __del__(self):
        for device, buffer in self._copies.items():
            _retire(buffer, device)

    def like(self, other, stream=None):
        """A copy that is an array of the library of `other`, on its device."""
        if type(other) is np.ndarray:
            return self.values.copy()
        if stream is None and recorder() is None and (copy := self._copy(other)) is not None:
            return copy
        like = operand(other, "the histogram")
        recording = recorder()
        if like.device is not None:
            stream = producer_stream(like) if stream is None or recording is not None else stream
        y = empty(self.values.shape, self.dtype, like, like.device, stream, name="the edges")
        if y.device is None:
            np.copyto(y.memory, self.values)
        else:
            address, size = self.on(y.device), self.values.nbytes
            if recording is not None:  # replays do not change the edges
                with _beside(y.device) as stream:
                    check(memory.driver.cuMemcpyDtoDAsync(y.pointer, address, size, stream), "copying the edges")
            else:
                with memory.active(y.device):
                    check(memory.driver.cuMemcpyDtoDAsync(y.pointer, address, size, stream), "copying the edges")
        if y.buffer is not None:
            y.buffer.settle()
        if recording is not None:
            recording.keep(y.array)
            return y.array
        return result(y)

    def _copy(self, other):
        """A copy that PyTorch or CuPy makes of what they see as an array of theirs: a quarter of the time."""
        kind = type(other)
        library = kind.__module__.partition(".")[0]
        if library == "torch":
            key = kind, other.get_device()
        elif library == "cupy":
            key = kind, other.data.device_id
        else:
            return None
        if key not in self._templates:
            self._templates[key] = self._template(library, key[1])
        template = self._templates[key]
        return template.clone() if library == "torch" else template.copy()

    def _template(self, library, device):
        if device < 0:
            import torch

            return torch.from_numpy(self.values)
        there = _There(self.values, self.on(device))
        if library == "torch":
            import torch

            return torch.as_tensor(there, device=torch.device("cuda", device))
        import cupy

        with cupy.cuda.Device(device):
            return cupy.asarray(there)


class _There:
    """Device memory as other libraries look at it."""

    def __init__(self, values, pointer):
        self.__cuda_array_interface__ = {
            "data": (pointer, False), "shape": values.shape, "strides": None, "typestr": values.dtype.str, "version": 3,
        }  # fmt: skip


@contextlib.contextmanager
def _beside(device):
    """A stream of a device that waits for no other; what it is given here stays out of graphs, and is done after."""
    with memory.active(device):
        former = check(memory.driver.cuThreadExchangeStreamCaptureMode(_RELAXED), "leaving a capture")
        try:
            stream = _stream(device)
            yield stream
            check(memory.driver.cuStreamSynchronize(stream), "copying a table")
        finally:
            memory.driver.cuThreadExchangeStreamCaptureMode(former)


@functools.cache
def _stream(device):
    return int(
        check(memory.driver.cuStreamCreate(memory.driver.CUstream_flags.CU_STREAM_NON_BLOCKING), "creating a stream")
    )


def _uploaded(values, device):
    with _beside(device) as stream:
        return memory.upload(values, device, stream, "a table")


def _retire(buffer, device):
    """Free memory that launches may still read, some time after they have ended."""
    if sys.is_finalizing():
        return
    waiting = _retired.setdefault(device, [])
    waiting.append(buffer)
    if len(waiting) < RETIRED:
        return
    with _beside(device):
        if (
            memory.driver.cuCtxSynchronize()[0] is memory.driver.CUresult.CUDA_SUCCESS
        ):  # it refuses while a stream is captured
            waiting.clear()

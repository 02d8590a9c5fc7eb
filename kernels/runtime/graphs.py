"""Graphs: calls recorded once and launched as one.

A launch costs the host 5 us and the device 1 to 2 between kernels; of a graph, all launches cost one.

Source: CUDA C++ Programming Guide, "CUDA Graphs"
"""

from cuda.bindings import driver
from numba import cuda

from . import engines
from .arrays import producer, stream_handle
from .memory import active, check, current_device


class graph:
    """Record the calls of this thread inside a ``with`` block, to be launched as one, many times.

    ``g.replay(stream=None)`` computes what was recorded, in the order of `stream`.

    Attributes
    ----------
    stream : Numba stream or None
        That the recording works on, for launches of your own: ``kernel[grid, block, g.stream](x)``. None where there is
        no GPU.

    Raises
    ------
    ValueError
        Inside the block: for arrays in host memory where there is a GPU, for results that would be JAX arrays, which
        cannot be written again, and for a `stream`, since the recording has its own.
    RuntimeError
        For a block within a block, and for a replay of what was not recorded to its end.

    Notes
    -----
    Nothing is computed while recording. Each replay reads and writes the memory that the calls were given; results
    that they made are theirs, and hold nothing before the first replay. The graph keeps all arrays and temporary memory
    of its calls alive. Numbers are those of the recording.

    On a GPU this is a CUDA graph. In the simulator, and with the references, the calls are repeated.

    Examples
    --------
    >>> import numpy as np, kernels
    >>> from numba import cuda
    >>> x, y = cuda.to_device(np.arange(3.0)), cuda.to_device(np.zeros(3))
    >>> with kernels.runtime.graph() as g:
    ...     _ = kernels.square(x, out=y)
    ...     _ = kernels.add(y, 1.0, out=y)
    >>> g.replay()
    >>> y.copy_to_host()
    array([1., 2., 5.])
    """

    def __init__(self):
        self.stream = self._current = self._executable = self._event = None
        self._calls, self._kept, self._device, self._recorded = [], [], None, False

    def __enter__(self):
        if engines.recorder() is not None:
            raise RuntimeError("graph: this thread is recording another one")
        if self._recorded:
            raise RuntimeError("graph: this one has been recorded; make another")
        if engines.engine() == "cuda":
            self._begin()
        engines.record(self)
        return self

    def __exit__(self, kind, error, traceback):
        engines.record(None)
        if self.stream is not None:
            self._end(kind is None)
        self._recorded = kind is None

    def _begin(self):
        cuda.current_context()
        self._device = current_device()
        handle = check(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING), "creating a stream")
        self.stream = cuda.external_stream(int(handle))
        # Relaxed: memory is allocated beside the recording.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        check(driver.cuStreamBeginCapture(handle, mode), "recording a graph")

    def _end(self, whole):
        handle = int(self.stream.handle)
        with active(self._device):
            status, recorded = driver.cuStreamEndCapture(handle)
            driver.cuStreamDestroy(handle)
            if whole:
                check((status,), "recording a graph")
                self._executable = check(driver.cuGraphInstantiate(recorded, 0), "making a graph")
                untimed = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
                self._event = check(driver.cuEventCreate(untimed), "creating an event")
            if status is driver.CUresult.CUDA_SUCCESS:
                driver.cuGraphDestroy(recorded)

    def take(self, arrays, stream):
        """The raw stream for a call over device `arrays`, which are kept; ValueError where it cannot be recorded."""
        handle = int(self.stream.handle)
        if stream not in (None, handle):
            raise ValueError("stream must be left out in a recording, which has a stream of its own")
        if arrays[0].device != self._device:
            raise ValueError(
                f"{arrays[0].name} is on device {arrays[0].device}, the graph records on device {self._device}; "
                "make that device the current one before the recording"
            )
        self._current = self._current or producer(arrays[0])
        self.keep(*(x.array for x in arrays))
        return handle

    def keep(self, *things):
        """Have things live as long as the graph."""
        self._kept += things

    def defer(self, call):
        """Have `call` called by each replay, where there is no GPU."""
        self._calls.append(call)

    def replay(self, stream=None):
        """Compute what was recorded.

        Parameters
        ----------
        stream : stream or int, optional
            Else the current stream of the library that the first recorded call's arrays came from.
        """
        if not self._recorded:
            raise RuntimeError("graph: nothing was recorded that can be replayed")
        for call in self._calls:
            call()
        if self._executable is not None:
            handle = stream_handle(stream)
            if handle is None:
                handle = self._current() if self._current else 0
            with active(self._device):
                check(driver.cuGraphLaunch(self._executable, handle), "replaying a graph")
                check(driver.cuEventRecord(self._event, handle), "recording an event")

    def __del__(self):
        if self._executable is not None:
            with active(self._device):
                # What is freed now is freed in the order of the legacy stream, which must come after the last replay.
                driver.cuStreamWaitEvent(0, self._event, 0)
                driver.cuEventDestroy(self._event)
                driver.cuGraphExecDestroy(self._executable)

"""Graphs: calls recorded once and launched as one.

A launch costs the host 5 us and the device 1 to 2 between kernels; of a graph, all launches cost one.

Source: CUDA C++ Programming Guide, "CUDA Graphs"
"""

import threading

from cuda.bindings import driver

from . import engines
from .memory import check, current_device

_thread = threading.local()


def recorder():
    """The graph that this thread records, or None."""
    return getattr(_thread, "graph", None) if engines.detours else None


class graph:
    """Record the calls of this thread inside a ``with`` block, to be launched as one, many times.

    Attributes
    ----------
    stream : Numba stream
        That a recording works on, for launches of your own: ``kernel[grid, block, g.stream](x)``.

    Raises
    ------
    ValueError
        Inside the block: for arrays in host memory on a GPU, for results that would be JAX arrays, which nothing may
        write to again, and for a ``stream=``, since a recording has its own.
    RuntimeError
        For a block within a block.

    Notes
    -----
    Nothing is computed while recording: results hold what their memory held, until the first replay. A replay reads
    and writes the same memory as was recorded, and the graph keeps all arrays and temporary memory of its calls alive.

    What computes a replay on a GPU is a CUDA graph. In the simulator and with the references the calls are repeated.

    Examples
    --------
    >>> import numpy as np, kernels
    >>> x, y = np.arange(3.0), np.empty(3)
    >>> with kernels.runtime.graph() as g:
    ...     kernels.square(x, out=y)
    ...     kernels.add(y, 1.0, out=y)
    array(...)
    array(...)
    >>> g.replay()
    >>> y
    array([1., 2., 5.])
    """

    def __init__(self):
        self.stream = self._current = self._executable = self._event = None
        self._calls, self._kept, self._device = [], [], None

    def __enter__(self):
        if getattr(_thread, "graph", None) is not None:
            raise RuntimeError("graph: this thread is recording another one")
        if self._executable or self._calls:
            raise RuntimeError("graph: this one has been recorded; make another")
        if engines.engine() == "cuda":
            self._begin()
        _thread.graph = self
        engines.detours.add(self)
        return self

    def __exit__(self, kind, error, traceback):
        _thread.graph = None
        engines.detours.discard(self)
        if self.stream is not None:
            self._end(kind is None)

    def _begin(self):
        from numba import cuda

        cuda.current_context()
        self._device = current_device()
        handle = check(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING), "creating a stream")
        self.stream = cuda.external_stream(int(handle))
        # Relaxed: calls that allocate do so beside the recording.
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
        check(driver.cuStreamBeginCapture(handle, mode), "recording a graph")

    def _end(self, whole):
        handle = int(self.stream.handle)
        status, recorded = driver.cuStreamEndCapture(handle)
        driver.cuStreamDestroy(handle)
        if whole:
            check((status,), "recording a graph")
            self._executable = check(driver.cuGraphInstantiate(recorded, 0), "making a graph")
            untimed = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
            self._event = check(driver.cuEventCreate(untimed), "creating an event")
        if status is driver.CUresult.CUDA_SUCCESS:
            driver.cuGraphDestroy(recorded)

    def keep(self, *things):
        """Have things live as long as the graph."""
        self._kept += things

    def follow(self, current):
        """Where no stream is named, replay in the order of the stream that ``current()`` answers with."""
        self._current = self._current or current

    def defer(self, call):
        """Record what is to be called by each replay, where there is no GPU."""
        self._calls.append(call)

    @property
    def handle(self):
        """Raw handle of the stream that is recorded; None where there is no GPU."""
        return None if self.stream is None else int(self.stream.handle)

    def replay(self, stream=None):
        """Compute what was recorded.

        Parameters
        ----------
        stream : stream or int, optional
            Else the current stream of the library that the first recorded call's arrays came from.

        Raises
        ------
        RuntimeError
            Before the end of the recording, or after one that failed.
        """
        from .arrays import stream_handle
        from .memory import active

        if self in engines.detours or (self.stream is not None and self._executable is None):
            raise RuntimeError("graph: there is nothing to replay until its `with` block has ended without an error")
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
            # Temporary memory is freed in the order of the legacy stream, which must come after the last replay.
            driver.cuStreamWaitEvent(0, self._event, 0)
            driver.cuEventDestroy(self._event)
            driver.cuGraphExecDestroy(self._executable)

"""Streams and events of the simulator.

Work is done when it is asked for, so every order that CUDA promises holds: of one stream, between streams through
events, with the default stream. Only callbacks run later, in a thread of their own as they do with CUDA, and what
follows on their stream waits for them.

An event's time is the host's clock when it was recorded: it measures the simulation, not a GPU.
"""

import asyncio
import contextlib
import itertools
import threading
import time
import warnings

from ..errors import SimulatorError

_LEGACY, _PER_THREAD = 1, 2  # cudaStreamLegacy, cudaStreamPerThread
_handles = itertools.count(0x1000, 0x10)
_lock = threading.Lock()
_waiting = set()  # streams with callbacks that may still run


class Stream:
    """A queue of work for a device.

    Parameters
    ----------
    handle : int, optional
        Of a stream that exists already; a new one by default.
    external : bool, optional
        Whether somebody else made it.
    """

    def __init__(self, handle=None, external=False):
        self.handle = next(_handles) if handle is None else handle
        self.external = external
        self._callback = None

    def __int__(self):
        return self.handle

    def __cuda_stream__(self):
        return 0, self.handle

    def __repr__(self):
        named = {0: "Default", _LEGACY: "Legacy default", _PER_THREAD: "Per-thread default"}
        if self.handle in named:
            return f"<{named[self.handle]} CUDA stream>"
        return f"<{'External ' * self.external}CUDA stream {self.handle}>"

    def synchronize(self):
        """Wait for the callbacks; everything else is done."""
        waiting = self._callback
        if waiting is not None and waiting is not threading.current_thread():
            waiting.join()
            with _lock:
                if self._callback is waiting:
                    _waiting.discard(self)

    @contextlib.contextmanager
    def auto_synchronize(self):
        """Synchronize at the end of a ``with`` block."""
        yield self
        self.synchronize()

    def add_callback(self, callback, arg=None):
        """Call ``callback(stream, 0, arg)`` in another thread, after the callbacks that were added before."""

        def run():
            if previous is not None:
                previous.join()
            try:
                callback(self, 0, arg)
            except Exception as error:
                warnings.warn(f"Exception in stream callback: {error}", stacklevel=1)

        thread = threading.Thread(target=run, daemon=True)
        with _lock:
            previous, self._callback = self._callback, thread
            _waiting.add(self)
            thread.start()

    def async_done(self):
        """A future of the running event loop that holds this stream once its callbacks have run."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def resolve():
            if not future.done():
                future.set_result(self)

        self.add_callback(lambda stream, status, arg: loop.call_soon_threadsafe(resolve))
        return future


_default, _legacy = Stream(0), Stream(_LEGACY)
_of_thread = threading.local()


def default_stream():
    """The default stream, which is the legacy one in Numba."""
    return _default


def legacy_stream():
    """The stream that waits for all others, and they for it."""
    return _legacy


def per_thread_stream():
    """The default stream of this host thread."""
    if not hasattr(_of_thread, "stream"):
        _of_thread.stream = Stream(_PER_THREAD)
    return _of_thread.stream


def external_stream(ptr):
    """A stream that another library made."""
    return Stream(int(ptr), external=True)


def synchronize():
    """Wait for the callbacks of all streams; everything else is done."""
    with _lock:
        streams = list(_waiting)
    for stream in streams:
        stream.synchronize()


def wait_for(stream):
    """Wait until work on a stream may begin.

    Raises
    ------
    TypeError
        For what is no stream. A number is 0 or the handle of a stream.
    """
    if not (isinstance(stream, type(None) | int | Stream) or hasattr(stream, "__cuda_stream__")):
        raise TypeError(f"a stream or 0 was expected, got {type(stream).__name__}")
    if stream in (None, 0, _default, _legacy):
        synchronize()
        return
    for each in (stream, _default, _legacy):
        if isinstance(each, Stream):
            each.synchronize()


class Event:
    """A point in a stream.

    Parameters
    ----------
    timing : bool, optional
        Whether it keeps its time.
    """

    def __init__(self, timing=True):
        self.handle = next(_handles)
        self._timing = timing
        self._time = None

    def record(self, stream=0):
        """Take the time when the work before it is done."""
        wait_for(stream)
        self._time = time.perf_counter()

    def query(self):
        """Whether the work before it is done: always, also for an event that was never recorded."""
        return True

    def synchronize(self):
        """Return at once: the work before it is done."""

    def wait(self, stream=0):
        """Let later work on `stream` begin after this event."""
        wait_for(stream)

    def elapsed_time(self, evtend):
        """Milliseconds of the host's clock from this event to another.

        Raises
        ------
        SimulatorError
            When one of them was not recorded, or keeps no time.
        """
        for event in (self, evtend):
            if not event._timing:
                raise SimulatorError("elapsed_time of an event that was made with timing=False")
            if event._time is None:
                raise SimulatorError("elapsed_time of an event that was not recorded")
        return 1000 * (evtend._time - self._time)


def event_elapsed_time(evtstart, evtend):
    """Milliseconds between two events, as `Event.elapsed_time`."""
    return evtstart.elapsed_time(evtend)

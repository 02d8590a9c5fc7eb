"""Memory in which the blocks of one launch leave something for one another.

A launch that needs some has it from here by its stream: launches on one stream come one after the other, so that they
may share it. For folds it begins with counters, which are zero whenever no launch is under way; each launch leaves them
so. For scans it is whatever the last scan left, in which launches are told apart.

While a stream is captured into a graph, each launch has memory of its own: the graph may be replayed on any stream.
"""

import threading

from cuda.bindings import driver

from .engines import recorder
from .memory import Buffer, active, check

#: Counters at the beginning, of 4 bytes each.
COUNTERS = 1 << 14
_LEAST = 1 << 20
#: The handle of the default stream of the calling thread.
_PER_THREAD = 2

_lock = threading.Lock()
_buffers = {}
#: What graphs of other libraries hold addresses of, and what was too small.
_kept = []
_CAPTURED = driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE
_RELAXED = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED


def scratch(nbytes, device, stream):
    """Address of `COUNTERS` counters, with `nbytes` behind them, for one launch on `stream`."""
    return _shared("states", 4 * COUNTERS + nbytes, 4 * COUNTERS, device, stream)


def handed_on(nbytes, device, stream):
    """Address of `nbytes` that were zeros once, and are since then as the launch before on `stream` left them."""
    return _shared("handed on", nbytes, None, device, stream)


def _shared(use, nbytes, cleared, device, stream):
    if check(driver.cuStreamIsCapturing(stream), "asking a stream") is _CAPTURED:
        found = _made(nbytes, cleared, device)
        if recorder() is None:  # else the recording keeps it
            _kept.append(found)
        return found.pointer
    # Each thread has a default stream of its own, and all have one handle.
    key = use, device, stream, threading.get_ident() if stream == _PER_THREAD else 0
    found = _buffers.get(key)
    if found is None or found.nbytes < nbytes:
        with _lock:
            size = max(nbytes, _LEAST if found is None else 2 * found.nbytes)
            # What it replaces may be in use still, and is kept: sizes double, so that it is no more than this one.
            _kept.append(found)
            found = _buffers[key] = _made(size, cleared, device)
    return found.pointer


def _made(nbytes, cleared, device):
    """New memory, of which `cleared` bytes, or all, are zero by the time this returns."""
    with active(device):
        # A capture forbids what might wait for it; nothing here does.
        former = check(driver.cuThreadExchangeStreamCaptureMode(_RELAXED), "leaving a capture")
        try:
            found = Buffer(nbytes, device, 0, "the states of blocks")
            check(driver.cuMemsetD8Async(found.pointer, 0, cleared or nbytes, 0), "clearing counters")
            check(driver.cuStreamSynchronize(0), "clearing counters")
        finally:
            driver.cuThreadExchangeStreamCaptureMode(former)
    return found


class Sharing:
    """A `Launch` whose last two words are addresses of counters and of `nbytes` behind them."""

    def __init__(self, launch, nbytes, device):
        self._launch, self._nbytes, self._device = launch, nbytes, device
        self.load = launch.load

    def __call__(self, stream, *words):
        """Launch in the order of `stream`, with the words before these."""
        counters = scratch(self._nbytes, self._device, stream)
        self._launch(stream, *words, counters, counters + 4 * COUNTERS)

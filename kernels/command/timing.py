"""Times on a GPU that can be believed.

A pair of events around one launch of a starved stream times the host, so events stand around batches, which
keep the device busy while the host runs ahead. Variants take turns, so that a clock that drifts drifts for
all, and the median over all turns counts. Data is random: a matrix product ran 13% faster on zeros.
"""

import statistics
import time

from cuda.bindings import driver
from numba import cuda

from ..runtime.memory import Buffer, check

#: Seconds of queued work in one batch: a hundred times what the host needs to enqueue it.
BATCH_SECONDS = 0.02

#: Calls between two synchronisations where the host's own time counts: the driver queues 1024 launches, then waits.
QUEUED = 200

#: Bytes of each of the two buffers that measure the bandwidth of a copy; L2 caches hold a twentieth of one.
COPY_BYTES = 2**30


def batch_seconds(call, count):
    """Device seconds of one of `count` calls in a row."""
    start, stop = cuda.event(), cuda.event()
    start.record()
    for _ in range(count):
        call()
    stop.record()
    stop.synchronize()
    return cuda.event_elapsed_time(start, stop) / 1e3 / count


def device_seconds(calls, rounds=3, batches=5):
    """Median device seconds of each of several calls, interleaved.

    Parameters
    ----------
    calls : dict of str to callable
        Each enqueues the same work on the default stream.
    rounds, batches : int
        Batches of every call per round.

    Returns
    -------
    seconds : dict of str to float
    """
    return _interleaved(calls, rounds * batches, BATCH_SECONDS, batch_seconds)


def back_to_back_seconds(calls, rounds=3):
    """Median elapsed seconds of a call among many in a row, host and device overlapping as they do."""
    return _interleaved(calls, rounds * 5, BATCH_SECONDS, _elapsed)


def single_seconds(calls, rounds=3):
    """Median elapsed seconds of one call and the wait for it."""
    return _interleaved(calls, rounds * 200, 0.0, _elapsed)


def host_seconds(calls, rounds=3):
    """Median seconds until a call returns, in batches so small that the queue of launches never fills."""
    return _interleaved(calls, rounds * 50, BATCH_SECONDS, _returned, QUEUED)


def reported_seconds(calls, rounds=3):
    """Median of the seconds that each call returns, interleaved."""
    return _medians(calls, rounds, lambda call, _: call(), dict.fromkeys(calls, 1))


def _returned(call, count):
    cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def _elapsed(call, count):
    cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        call()
    cuda.synchronize()
    return (time.perf_counter() - start) / count


def _interleaved(calls, turns, seconds, measure, most=10_000):
    counts = {}
    for name, call in calls.items():
        measure(call, 3)  # clocks rise, allocators fill
        counts[name] = max(1, min(int(seconds / measure(call, 5)), most))
    return _medians(calls, turns, measure, counts)


def _medians(calls, turns, measure, counts):
    samples = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            samples[name].append(measure(call, counts[name]))
    return {name: statistics.median(found) for name, found in samples.items()}


def copy_bandwidth(device=0):
    """Bytes per second, read and written, of a copy within the memory of a device."""
    cuda.current_context(device)
    source, target = (Buffer(COPY_BYTES, device, 0, "the copy") for _ in range(2))
    # The bits of a copy do not matter to its time as those of arithmetic do; still they are not all equal.
    check(driver.cuMemsetD32Async(source.pointer, 0x3F9D70A4, COPY_BYTES // 4, 0), "filling a buffer")

    def copy():
        check(driver.cuMemcpyDtoDAsync(target.pointer, source.pointer, COPY_BYTES, 0), "copying")

    return 2 * COPY_BYTES / device_seconds({"copy": copy})["copy"]

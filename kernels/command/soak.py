"""A soak: calls of all kinds over arrays of all libraries, for minutes, while memory is watched.

Each burst draws a shape that has not been seen, so that what is kept by shape is filled and emptied all the time.
"""

import collections
import functools
import gc
import itertools
import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import cuda

import kernels

from ..runtime.layouts import KEPT
from .launching import LIBRARIES
from .workloads import THREADS, plain_add

#: Seconds between two looks at memory.
INTERVAL = 10

#: Bursts before the first of them. One in five brings a layout to each thing that remembers layouts: half would do.
FILL = 2 * 5 * KEPT

#: Bytes by which memory may grow. The driver gives device memory in pieces of 2 MiB. Fragments make a process's memory
#: waver by some MiB; in 10 minutes there are some 10^7 calls, and no Python object has less than 16 bytes, so that one
#: object lost in 20 calls is 8 MiB.
SLACK = {"device": 2 << 20, "pool used": 2 << 20, "pool reserved": 2 << 20, "resident": 8 << 20}

#: Calls of a burst.
BURST = 100

#: Elements that a burst's arrays have at most, and by which they may begin later.
LARGEST, SHIFT = 2**16, 64


class Sample(NamedTuple):
    """Bytes in use after some seconds."""

    seconds: float
    bytes: dict


def soak(minutes, bursts=None, look=None, clock=time.monotonic, fill=FILL):
    """Repeat calls of all kinds, and watch the memory of card and process.

    Parameters
    ----------
    minutes : float
        For which memory is watched.
    bursts : sequence of callable, optional
        Each makes some calls, compares one result, and returns how many calls it made and whether the result was right.
    look : callable, optional
        Returns bytes in use, by name; else `memory`.
    clock : callable, optional
    fill : int, optional
        Bursts before that, after which nothing more is remembered than is forgotten.

    Returns
    -------
    found : dict
        See `Trial`. Device memory is the whole card's: other processes there count.
    """
    bursts, look = itertools.cycle(bursts or all_bursts()), look or memory
    samples, tally = [], collections.Counter()

    def advance():
        made, right = next(bursts)()
        tally.update(calls=made, checked=1, wrong=not right)

    for _ in range(fill):
        advance()
    start, filling, seconds = clock(), tally["calls"], 0
    while seconds < 60 * minutes:
        advance()
        seconds = clock() - start
        if seconds >= INTERVAL * (len(samples) + 1):
            samples.append(Sample(seconds, look()))
    grown, lines = judge([each.bytes for each in samples])
    calls, checked, wrong = (tally[name] for name in ("calls", "checked", "wrong"))
    steady = "memory constant" if not grown else f"{' and '.join(grown)} memory grew"
    summary = f"{calls} calls, {wrong} of {checked} samples wrong, {steady}"
    return {
        "seconds": seconds / (calls - filling), "calls": calls, "checked": checked, "wrong": wrong,
        "passed": not (wrong or grown), "summary": summary, "lines": lines,
        "samples": [[round(each.seconds, 1), each.bytes] for each in samples],
    }  # fmt: skip


def judge(found):
    """Names of what grew, and a line for each: medians over the first and the last third may differ by `SLACK`.

    Parameters
    ----------
    found : sequence of dict
        Bytes in use, by name, at one time after the other.
    """
    grown, lines = [], []
    third = -(-len(found) // 3)
    for name in found[0] if found else ():
        values = [each[name] for each in found]
        growth = statistics.median(values[-third:]) - statistics.median(values[:third])
        if growth > SLACK[name]:
            grown.append(name)
        first, last, most = (f"{n / 2**20:.1f}" for n in (values[0], values[-1], max(values)))
        lines.append(
            f"{name} memory, MiB: first {first}, last {last}, most {most}, "
            f"growth {growth / 2**20:.2f} of {SLACK[name] >> 20} allowed"
        )
    return grown, lines


def memory():
    """Bytes in use: of the card, of our pool on it, of this process."""
    from ..runtime.memory import pool_bytes

    gc.collect()
    cuda.synchronize()
    free, total = cuda.current_context().get_memory_info()
    used, reserved = pool_bytes()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    return {"device": total - free, "pool used": used, "pool reserved": reserved, "resident": resident}


# --- bursts -----------------------------------------------------------------------------------------------------


class Memory:
    """Two inputs and an output of one library, of which bursts take views.

    Parameters
    ----------
    library : str
    """

    def __init__(self, library):
        self._random = np.random.default_rng(0)
        self._host = self._random.standard_normal((2, LARGEST + SHIFT), np.float32)
        placed = [cuda.to_device(each) for each in (*self._host, np.zeros(LARGEST, np.float32))]
        self._device = LIBRARIES[library](*placed)

    def draw(self, axes):
        """Views x, y and z of a random shape, and what their sum is."""
        columns = int(self._random.integers(1, LARGEST // 64))
        shape = (int(self._random.integers(1, 64)), columns) if axes == 2 else (columns,)
        size = int(np.prod(shape))
        starts = [*map(int, self._random.integers(0, SHIFT, 2)), 0]
        x, y, z = (a[k : k + size].reshape(shape) for a, k in zip(self._device, starts, strict=True))
        expected = sum(a[k : k + size] for a, k in zip(self._host, starts, strict=False))
        return x, y, z, expected.reshape(shape)


def same(found, expected):
    """Whether a result has exactly the numbers that it should have."""
    cuda.synchronize()
    return bool(np.array_equal(cuda.as_cuda_array(found).copy_to_host(), expected))


def by_plan(memory):
    """Calls of a plan."""
    x, y, z, expected = memory.draw(axes=2)
    plan = kernels.add.plan(like=(x, y), out=z)
    for _ in range(BURST):
        plan(x, y, out=z)
    return BURST, same(z, expected)


def into(memory):
    """Calls with out=."""
    x, y, z, expected = memory.draw(axes=2)
    for _ in range(BURST):
        kernels.add(x, y, out=z)
    return BURST, same(z, expected)


def allocating(memory):
    """Calls that make their result."""
    x, y, _, expected = memory.draw(axes=2)
    for _ in range(BURST):
        z = kernels.add(x, y)
    return BURST, same(z, expected)


def replayed(memory):
    """A graph, recorded, replayed and dropped."""
    x, y, z, expected = memory.draw(axes=2)
    with kernels.runtime.graph() as graph:
        for _ in range(BURST // 10):
            kernels.add(x, y, out=z)
    for _ in range(10):
        graph.replay()
    return BURST, same(z, expected)


def launched(launcher, memory):
    """Launches of a kernel of one's own."""
    x, y, z, expected = memory.draw(axes=1)
    blocks = -(-expected.size // THREADS)
    for _ in range(BURST):
        launcher[blocks, THREADS](x, y, z)
    return BURST, same(z, expected)


def all_bursts():
    """A burst of each kind, for each library that is installed."""
    kinds = (by_plan, into, allocating, replayed, functools.partial(launched, kernels.runtime.launcher(plain_add)))
    bursts = []
    for library in LIBRARIES:
        try:
            held = Memory(library)
        except ImportError:
            continue
        bursts += [functools.partial(kind, held) for kind in kinds]
    return bursts

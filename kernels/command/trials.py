"""What calls have to pass, or fail: made from several threads at once, or for minutes on end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numba import cuda

import kernels

from .soak import soak


@dataclass(frozen=True)
class Trial:
    """What can be passed or failed.

    Attributes
    ----------
    name : str
    run : callable
        Returns a dict: ``seconds`` of a call, ``calls``, ``wrong`` results, whether it ``passed``, a ``summary``, and
        ``lines`` of more.
    """

    name: str
    run: object = field(repr=False)


def trials():
    """Those that take seconds."""
    return [Trial("8 threads on 8 streams, plan of add float32 2^10", in_threads)]


def soaking(minutes):
    """The one that takes as long as it is told."""
    return Trial(f"soak of {minutes:g} minutes", lambda: soak(minutes))


def in_threads(make=None, calls=100_000, threads=8, batch=125, size=2**10):
    """Make calls from several threads at once, each on a stream of its own, and compare every result.

    Parameters
    ----------
    make : callable, optional
        Makes the plan of arguments ``(x, y, out)``; else `kernels.add`'s.
    calls, threads : int
        `calls` in all, a multiple of ``threads * batch``.
    batch : int
        Calls between two comparisons, over inputs and outputs of their own.
    size : int
        Elements of an array.

    Returns
    -------
    found : dict
        See `Trial`.
    """
    x, y, z = (cuda.to_device(np.zeros(size, np.float32)) for _ in range(3))
    plan = (make or (lambda x, y, z: kernels.add.plan(like=(x, y), out=z)))(x, y, z)
    together = threading.Barrier(threads)
    batches = calls // (threads * batch)
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        work = [pool.submit(_calls_of_a_thread, plan, together, batches, batch, size, k) for k in range(threads)]
        wrong = sum(each.result() for each in work)
        seconds = time.perf_counter() - start
    made = batches * batch * threads
    summary = f"{made} calls, {wrong} wrong"
    return {
        "seconds": seconds / made, "calls": made, "wrong": wrong, "passed": not wrong, "summary": summary, "lines": [],
    }  # fmt: skip


def _calls_of_a_thread(plan, together, batches, batch, size, seed):
    """How many results of one thread are wrong."""
    x, y = np.random.default_rng(seed).standard_normal((2, batch, size), np.float32)
    arrays = [cuda.to_device(a) for a in (x, y, np.zeros_like(x))]
    xs, ys, zs = ([a[k] for k in range(batch)] for a in arrays)
    stream, wrong = cuda.stream(), 0
    together.wait()
    for shift in range(batches):  # so that what a batch should give is not what the one before left behind
        for k in range(batch):
            plan(xs[k], ys[(k + shift) % batch], out=zs[k], stream=stream)
        found = arrays[2].copy_to_host(stream=stream)
        stream.synchronize()
        wrong += int(np.any(found != x + np.roll(y, -shift, 0), axis=1).sum())
    return wrong

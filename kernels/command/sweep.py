"""``python -m kernels bench --sweep``: six functions over 60 arrays and axes, and where they do worst.

A ratio to the fastest peer counts where a call takes the device longer than the host; one to the floor, the bytes that
must move at the bandwidth of a copy, from `LARGE` bytes on. A peer whose call takes longer than `PATIENCE` is timed
once.
"""

import functools
import gc
import math
import statistics
from typing import NamedTuple

from rich.box import SIMPLE
from rich.table import Table

import kernels

from . import bench
from .reducing import TORCH, normal
from .timing import batch_seconds
from .workloads import as_cupy, by_torch, zeros

FUNCTIONS = ("sum", "var", "argmax", "logsumexp", "softmax", "cumsum")
#: Those that write as much as they read.
WHOLE = ("softmax", "cumsum")
#: What a ratio to the fastest peer and to the floor should not exceed.
PEER, FLOOR = 1.25, 1.5
#: Bytes from which on the floor counts, and seconds of the floor from which on peers do.
LARGE, LAUNCH = 64e6, 10e-6
#: Seconds of a call after which a peer is given up, and seconds of a batch of calls.
PATIENCE, BATCH = 0.05, 0.004
#: Elements of the memory that all arrays are views of.
POOL = 2**28 + 16


class Case(NamedTuple):
    """An array, how it lies in memory (see `LAYOUTS`), and an axis."""

    shape: tuple
    axis: int
    layout: str = ""

    @property
    def name(self):
        """Such as ``16384 x 64, axis 0, transposed``."""
        return ", ".join(filter(None, [" x ".join(map(str, self.shape)), f"axis {self.axis}", self.layout]))


def _axes(shape, layout="", axes=None):
    return [Case(shape, axis, layout) for axis in (range(len(shape)) if axes is None else axes)]


K, M = 2**10, 2**20
CASES = (
    # Long, one at an odd address, one that fits no vector.
    *_axes((256 * M,)), *_axes((256 * M - 3,)), *_axes((64 * M + 1,), "from the second on"), *_axes((16 * M,)),
    *_axes((64 * M,), "every second"),
    # Square, tall and wide.
    *_axes((16 * K, 16 * K)), *_axes((4 * M, 64)), *_axes((64, 4 * M)), *_axes((64 * M, 4)), *_axes((4, 64 * M)),
    *_axes((M, 256)), *_axes((256, M)), *_axes((256 * K, 1000)), *_axes((1000, 256 * K)), *_axes((4 * K, 4 * K)),
    *_axes((128 * M, 2), axes=[1]), *_axes((2, 128 * M), axes=[0]),
    # Odd.
    *_axes((16385, 16383)), *_axes((53687091, 5)), *_axes((1000003, 67)), *_axes((1021, 262141), axes=[1]),
    *_axes((262141, 1021), axes=[0]),
    # Three axes and more.
    *_axes((512, 512, K)), *_axes((999, 521, 515)), *_axes((32, 3, K, K), axes=[1, 3]),
    *_axes((16, 4 * K, 4 * K), axes=[1, 2]), *_axes((64 * K, 8, 128), axes=[1]),
    # Transposed and strided.
    *_axes((16 * K, 16 * K), "transposed"), *_axes((64, 4 * M), "transposed"), *_axes((512, 512, K), "permuted"),
    *_axes((8 * K, 16 * K), "every second"), *_axes((16 * K, 16376), "part of longer rows"),
    *_axes((8 * K, 16 * K), "every second row", axes=[0]),
    # So small that the launch is what takes time.
    *_axes((K, K), axes=[1]), *_axes((64 * K,)),
)  # fmt: skip


def _permuted(x, order):
    return x.permute(*order) if hasattr(x, "permute") else x.transpose(order)


def _taken(pool, *shape):
    """The first elements of the pool, as an array without gaps."""
    return pool[: math.prod(shape)].reshape(shape)


#: Makes an array of a shape of the pool.
LAYOUTS = {
    "": lambda pool, shape: _taken(pool, *shape),
    "from the second on": lambda pool, shape: _taken(pool[1:], *shape),
    "transposed": lambda pool, shape: _permuted(_taken(pool, *shape[::-1]), range(len(shape))[::-1]),
    "permuted": lambda pool, shape: _permuted(
        _taken(pool, *shape[1:], shape[0]), (len(shape) - 1, *range(len(shape) - 1))
    ),
    "every second": lambda pool, shape: _taken(pool, *shape[:-1], 2 * shape[-1])[..., ::2],
    "every second row": lambda pool, shape: _taken(pool, 2 * shape[0], *shape[1:])[::2],
    "part of longer rows": lambda pool, shape: _taken(pool, *shape[:-1], shape[-1] + 8)[..., : shape[-1]],
}


def moved(function, case):
    """Bytes that must move: with every second element all sectors of 32 bytes are read."""
    n = math.prod(case.shape)
    read = 4 * n * (2 if case.layout == "every second" else 1)
    results = n if function in WHOLE else n // case.shape[case.axis]
    return read + results * (8 if function == "argmax" else 4)


def makers(function, x, axis):
    """The makers of a call of ours and of the peers'."""
    torch_name, given = TORCH[function]

    def ours():
        call = functools.partial(getattr(kernels, function), x, axis=axis)
        if function in WHOLE:
            return functools.partial(call, out=call())  # as it lies if nobody says how
        kept = [n for k, n in enumerate(x.shape) if k != axis]
        return functools.partial(call, out=zeros(kept, "int64" if function == "argmax" else "float32"))

    def cupy():
        import cupy
        from cupyx.scipy import special

        home = special if function in ("logsumexp", "softmax") else cupy
        return functools.partial(getattr(home, function), as_cupy(x)[0], axis=axis)

    return {"kernels": ours, "torch": lambda: by_torch(torch_name, x, dim=axis, **given), "cupy": cupy}


def time_calls(wanted, turns, measure, wait):
    """Median seconds of each call, all in turns, those of slow peers once; and the errors of those that failed."""
    seconds, errors, calls = {}, {}, {}
    for name, maker in wanted.items():
        try:
            call = maker()
            call()  # compiles
            wait()
            once = measure(call, 1)
        except Exception as failure:  # whatever a peer raises
            errors[name] = bench.words(failure)
            continue
        if name != "kernels" and once > PATIENCE:
            seconds[name] = once
        else:
            calls[name] = call, max(1, min(int(BATCH / once), 100)), []
    for _ in range(turns):
        for call, count, samples in calls.values():
            samples.append(measure(call, count))
    return seconds | {name: statistics.median(samples) for name, (*_, samples) in calls.items()}, errors


def judged(timed):
    """What of a timed case counts, and what it misses."""
    peers = timed["floor"] >= LAUNCH and timed["over_best_peer"]
    floor = timed["bytes"] >= LARGE and timed["over_floor"]
    missed = [name for name, ratio, most in (("peer", peers, PEER), ("floor", floor, FLOOR)) if ratio and ratio > most]
    return {"peer_counts": bool(peers), "floor_counts": bool(floor), "missed": missed}


def measure(only, peers, rounds, console, bandwidth, measure=batch_seconds, wait=None):
    """All cases whose names contain one of `only`, timed: one dict for each function of each."""
    from numba import cuda

    pool, found = normal((POOL,)), []
    for case in CASES:
        names = [f"{function} {case.name}" for function in FUNCTIONS]
        wanted = [k for k, name in enumerate(names) if not only or any(text in name for text in only)]
        x = LAYOUTS[case.layout](pool, case.shape) if wanted else None
        for k in wanted:
            timed = {"name": names[k], "bytes": moved(FUNCTIONS[k], case), "seconds": {}, "errors": {}}
            made = makers(FUNCTIONS[k], x, case.axis)
            with console.status(names[k]):
                timed["seconds"], timed["errors"] = time_calls(
                    made if peers else {"kernels": made["kernels"]}, 2 * rounds - 1, measure, wait or cuda.synchronize
                )
            timed |= bench.compared(timed, bandwidth)
            found.append(timed | judged(timed))
            gc.collect(0)
    return found


def worst(cases, ratio, counts):
    """The case with the largest ratio of those for which it counts, or None."""
    return max((each for each in cases if each[counts]), key=lambda each: each[ratio], default=None)


def show(found, console):
    """Print the worst of each function, then each case over a goal, and what failed."""
    cases = found["cases"]
    console.print(f"{found['card']}, {found['date']}, copy {found['copy_bandwidth'] / 1e9:.0f} GB/s", highlight=False)
    table = Table("function", "cases", "over peer", "of", "over floor", "of", box=SIMPLE)
    for function in (*FUNCTIONS, "all"):
        its = [each for each in cases if function == "all" or each["name"].startswith(f"{function} ")]
        columns = []
        for ratio, counts in (("over_best_peer", "peer_counts"), ("over_floor", "floor_counts")):
            most = worst(its, ratio, counts)
            columns += [f"{most[ratio]:.3f}", most["name"]] if most else ["", ""]
        table.add_row(function, str(len(its)), *columns)
    console.print(table)
    for each in cases:
        for missed in each["missed"]:
            ratio, most = (each["over_best_peer"], PEER) if missed == "peer" else (each["over_floor"], FLOOR)
            beside = each["best_peer"] if missed == "peer" else "the floor"
            console.print(f"{each['name']}: {ratio:.3f} of {beside}, at most {most}", highlight=False, markup=False)
    for (name, error), names in _failures(cases).items():
        first, *others = names
        more = f" and {len(others)} more" if others else ""
        console.print(f"{first}{more}, {name} left out: {error}", highlight=False, markup=False)
    missed = sum(bool(each["missed"]) for each in cases)
    console.print(f"{len(cases)} cases, {missed} over a goal", highlight=False)


def _failures(cases):
    """Names of the cases, by who failed and what it said."""
    found = {}
    for each in cases:
        for failure in each["errors"].items():
            found.setdefault(failure, []).append(each["name"])
    return found

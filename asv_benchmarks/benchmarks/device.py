"""Time over the floor, on a GPU; skipped where there is none. Recorded by card, and no gate: clocks drift."""

import functools

import numpy as np
from asv_runner.benchmarks.mark import SkipNotImplemented

import kernels
from kernels.command.inputs import random_inputs
from kernels.runtime import gpu_problem

from .names import PAIRS, loop_of
from .work import BYTES, WHOLE, others, whole

LARGE, SMALL = 2**26, 2**12

#: Elements that are drawn; larger arrays repeat them, since 2^26 draws take longer than all else.
DRAWN = 2**20


def require_gpu():
    if gpu_problem():
        raise SkipNotImplemented


def place(array):
    from numba import cuda

    return cuda.to_device(array)


@functools.lru_cache(maxsize=1)
def bandwidth():
    from kernels.command.timing import copy_bandwidth

    return copy_bandwidth()


def over_floor(call, nbytes):
    from kernels.command.timing import device_seconds

    return device_seconds({"call": call})["call"] / (nbytes / bandwidth())


def pair_call(name, size, call=functools.partial):
    """A call of a pair, or with `planned` of a plan, over device arrays with `out`, and the bytes it must move."""
    pair = kernels.REGISTRY[name]
    loop = loop_of(pair)
    inputs = [place(np.resize(x, size)) for x in random_inputs(pair, loop, min(size, DRAWN), 0)]
    outs = tuple(place(np.empty(pair.shape((size,)), c)) for c in loop.split("->")[1])
    out = outs if len(outs) > 1 else outs[0]
    return call(pair.call, *inputs, out=out), pair.bytes(loop, size)


@functools.lru_cache(maxsize=1)
def small(name, call=functools.partial):
    """A call that is all launch, or with `planned` a plan's, made once: asv sets up before every one it times."""
    made = others(SMALL, place, call)[name] if name in BYTES else pair_call(name, SMALL, call)[0]
    made()
    return made


class Pairs:
    timeout = 300
    params = PAIRS
    param_names = ("function",)

    def setup(self, function):
        require_gpu()

    def track_time_over_floor(self, function):
        return over_floor(*pair_call(function, LARGE))

    track_time_over_floor.unit = "x floor"


class Fused:
    def setup(self):
        require_gpu()

    def track_time_over_floor(self):
        return over_floor(others(LARGE, place)["fuse"], BYTES["fuse"] * LARGE)

    track_time_over_floor.unit = "x floor"


class Optimizers:
    params = ("sgd_step", "adam_step", "adamw_step")
    param_names = ("function",)

    def setup(self, function):
        require_gpu()

    def track_time_over_floor(self, function):
        return over_floor(others(LARGE, place)[function], BYTES[function] * LARGE)

    track_time_over_floor.unit = "x floor"


class Whole:
    timeout = 300
    params = tuple(WHOLE)
    param_names = ("function",)

    def setup(self, function):
        require_gpu()

    def track_time_over_floor(self, function):
        return over_floor(whole(function, LARGE, place), WHOLE[function] * LARGE)

    track_time_over_floor.unit = "x floor"

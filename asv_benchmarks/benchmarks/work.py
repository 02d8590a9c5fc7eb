"""Calls of the public functions that are no pairs."""

import functools

import numpy as np

import kernels


def damped(a, x, y):
    return a * x + y * np.sin(x)


def planned(function, *arguments, out=None, **keywords):
    """As `functools.partial`, of a plan for these arguments where the function has plans."""
    into = {} if out is None else {"out": out}
    if not hasattr(function, "plan"):
        return functools.partial(function, *arguments, **into, **keywords)
    return functools.partial(function.plan(like=arguments, **into), *arguments, **into, **keywords)


def others(size, place, call=functools.partial):
    """A call of each, or with `planned` of a plan, over arrays of `size` that `place` puts where they are wanted."""
    random = np.random.default_rng(0)
    x, y, m, v = (place(random.random(size, np.float32)) for _ in range(4))
    out = place(np.zeros(size, np.float32))
    return {
        "fuse": call(kernels.fuse(damped), 0.75, x, y, out=out),
        "sgd_step": call(kernels.sgd_step, x, y, m, lr=1e-3, momentum=0.9),
        "adam_step": call(kernels.adam_step, x, y, m, v, step=1),
        "adamw_step": call(kernels.adamw_step, x, y, m, v, step=1),
    }


#: Bytes that one element of each makes move: float32s read and written.
BYTES = {"fuse": 4 * 3, "sgd_step": 4 * 5, "adam_step": 4 * 7, "adamw_step": 4 * 7}


#: Functions of whole arrays that are no pairs: bytes that one float32 element of each makes move.
WHOLE = {
    "cumsum": 8, "cumprod": 8, "cummax": 8, "cummin": 8, "logcumsumexp": 8, "scan": 8, "diff": 8, "reduce": 4,
    "segmented_reduce": 4, "reduce_by_key": 8, "searchsorted": 12, "digitize": 12,
}  # fmt: skip


def larger(a, b):
    return a if a > b else b


def whole(name, size, place):
    """A call of one of `WHOLE` over arrays of `size`."""
    random, function = np.random.default_rng(0), getattr(kernels, name)
    x = place(random.random(size, np.float32))
    edges = place(np.sort(random.random(4096, np.float32)))
    if name == "segmented_reduce":
        cuts = np.unique(random.integers(0, size, size // 1000))
        return functools.partial(function, "sum", x, place(np.concatenate([[0], cuts[cuts > 0], [size]])))
    if name == "reduce_by_key":
        keys = place(np.sort(random.integers(0, size // 8 + 1, size)).astype(np.int32))
        return functools.partial(function, "sum", keys, x)
    given = {"scan": (larger, x), "reduce": (larger, x), "searchsorted": (edges, x), "digitize": (x, edges)}
    return functools.partial(function, *given.get(name, (x,)))

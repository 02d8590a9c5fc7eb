"""Calls of the public functions that are no pairs."""

import functools

import numpy as np

import kernels


def damped(a, x, y):
    return a * x + y * np.sin(x)


def planned(function, *arguments, out=None, **keywords):
    """As `functools.partial`, of a plan for these arguments."""
    into = {} if out is None else {"out": out}
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

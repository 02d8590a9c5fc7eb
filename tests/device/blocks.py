"""What the tests of the warp and block library share: engines, data, and an operator that does not commute."""

import numpy as np
import pytest
from numba import cuda

from kernels.runtime import gpu_problem
from kernels.simulator import simulate

SIMULATORS = ("compiled", "interpreted")
ENGINES = SIMULATORS if gpu_problem() else (*SIMULATORS, "cuda")

everywhere = pytest.mark.parametrize("engine", ENGINES)
both = pytest.mark.parametrize("engine", SIMULATORS)

#: A kernel is compiled for every dtype: the compiled engine has those that differ in how they travel, others have all.
DTYPES = "?bBhHiIqQefdFD"
FEW = "?bdF"


def with_dtypes(few=FEW, all_=DTYPES):
    """Engines and dtypes to run with."""
    pairs = [(engine, dtype) for engine in ENGINES for dtype in (few if engine == "compiled" else all_)]
    return pytest.mark.parametrize(("engine", "dtype"), pairs)


def run(kernel, grid, block, *arrays, engine, seed=0):
    launch = kernel if engine == "cuda" else simulate(kernel, engine=engine, seed=seed)
    launch[grid, block](*arrays)


def random(dtype, size, rng):
    """Numbers of every kind that a dtype has, small enough for float16."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, size, dtype, endpoint=True)
    if dtype.kind == "b":
        return rng.integers(0, 2, size).astype(bool)
    x = rng.standard_normal(size)
    return (x + 1j * rng.standard_normal(size) if dtype.kind == "c" else x).astype(dtype)


def assert_sums(found, exact, size, depth):
    """Sums are as near to the exact ones as `depth` additions one after the other leave them."""
    dtype = found.dtype
    if dtype.kind not in "fc":
        np.testing.assert_array_equal(found, exact)
        return
    error = np.abs(found.astype(np.clongdouble) - exact)
    bound = depth * float(np.finfo(dtype).eps) * size
    assert (error <= bound).all(), (error.max(), np.max(bound))


@cuda.jit(device=True)
def after(f, g):
    """x -> a x + b as (a, (b, first, last)): f, then g. Associative, not commutative, exact modulo 2^64."""
    return f[0] * g[0], (f[1][0] * g[0] + g[1][0], f[1][1], g[1][2])


def composed(a, b):
    """What `after` makes of maps one after the other: a, b and the first and the last number after each."""
    found, wrap = [], (1 << 64) - 1
    total = None
    for k, (x, y) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        total = (x, y, 0, k) if total is None else (total[0] * x & wrap, (total[1] * x + y) & wrap, 0, k)
        found.append(total)
    return np.array(found, np.uint64).view(np.int64)

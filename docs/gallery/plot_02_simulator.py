"""
Your own kernels, checked with no GPU
=====================================

A CUDA kernel written with Numba runs on the processor, in a laptop or in CI, and what is wrong with it is reported
with the threads and the source lines. Three lines do it::

    from kernels.simulator import simulate

    simulate(kernel)[grid, block](x, y)

Nothing has to be set before, and a GPU may be there or not. For a whole test suite whose code launches kernels as
usual, ``NUMBA_ENABLE_CUDASIM=1 pytest -p kernels.simulator`` puts these checks under every launch.
"""

import numpy as np
from numba import cuda, float32

from kernels.simulator import SimulatorError, simulate

# %%
# A kernel that is right
# ----------------------
# Each block sums 128 numbers in shared memory. The kernel is compiled for the processor, by Numba's own type rules;
# every thread has a stack of its own and changes place at barriers.


@cuda.jit
def block_sums(x, out):
    partial = cuda.shared.array(128, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    partial[t] = x[i] if i < x.size else 0
    cuda.syncthreads()
    width = 64
    while width > 0:
        if t < width:
            partial[t] += partial[t + width]
        cuda.syncthreads()
        width //= 2
    if t == 0:
        out[cuda.blockIdx.x] = partial[0]


x = np.arange(300, dtype=np.float32)
out = np.zeros(3, np.float32)
simulate(block_sums)[3, 128](x, out)
print(out, x.sum() == out.sum())


def report(kernel, configuration, *arguments, **options):
    """What the simulator says of a kernel."""
    try:
        simulate(kernel, **options)[configuration](*arguments)
    except SimulatorError as error:
        print(f"{type(error).__name__}: {error}")


# %%
# A barrier is missing
# --------------------
# Each thread reads its neighbour's element, which the neighbour overwrites. On a GPU this often gives the right answer,
# and sometimes not. Here it is a data race in any order of threads, with the two lines that touch the element.


@cuda.jit
def smoothed(x):
    t = cuda.threadIdx.x
    neighbour = x[(t + 1) % x.size]
    x[t] = (x[t] + neighbour) / 2


report(smoothed, (1, 64), np.arange(64, dtype=np.float32))

# %%
# An index is outside
# -------------------
# The grid has 128 threads, the array 100 elements. An index below zero is outside too.


@cuda.jit
def doubled(x):
    x[cuda.grid(1)] *= 2


report(doubled, (1, 128), np.ones(100))

# %%
# Memory that nobody wrote
# ------------------------


@cuda.jit
def tail_forgotten(x, out):
    tile = cuda.shared.array(64, float32)
    t = cuda.threadIdx.x
    if t < x.size:
        tile[t] = x[t]
    cuda.syncthreads()
    out[t] = tile[63 - t]


report(tail_forgotten, (1, 64), np.ones(60, np.float32), np.zeros(64, np.float32))

# %%
# A barrier that not all threads reach
# ------------------------------------


@cuda.jit
def returns_early(x):
    t = cuda.threadIdx.x
    if t >= x.size:
        return
    cuda.syncthreads()
    x[t] = t


report(returns_early, (1, 64), np.zeros(50))

# %%
# A shuffle from a lane that is not there
# ---------------------------------------


@cuda.jit
def half_a_warp(x):
    t = cuda.threadIdx.x
    if t < 16:
        x[t] = cuda.shfl_sync(0x0000FFFF, t, t + 16)


report(half_a_warp, (1, 32), np.zeros(32))

# %%
# Waiting for what never comes
# ----------------------------


@cuda.jit
def waits(flag):
    while cuda.atomic.add(flag, 0, 0) == 0:
        pass


report(waits, (1, 32), np.zeros(1, np.int32))

# %%
# A launch that no device takes
# -----------------------------

report(doubled, (1, 2048), np.ones(2048))

# %%
# Any order of threads
# --------------------
# ``seed=0`` runs threads in ascending order; any other seed draws an order of threads, warps and blocks, and always
# the same one. A kernel that is right is right for every seed: a property test draws it.

for seed in range(5):
    simulate(block_sums, seed=seed)[3, 128](x, out)
    assert out.sum() == x.sum()

# %%
# What an access costs
# --------------------
# ``profile`` counts instead of timing: how many 32-byte sectors of memory each warp touches, and how many would do.

from kernels.simulator import profile  # noqa: E402


@cuda.jit
def transposed(x, out):
    i, j = cuda.grid(2)
    out[j, i] = x[i, j]


field = np.zeros((64, 64), np.float32)
print(profile(transposed)[(2, 8), (32, 8)](field, np.empty_like(field)))

"""
Vector addition
===============

From a loop to a fused kernel, with one question at each step: how many bytes must move?
"""

import numpy as np
from numba import cuda

import kernels

# %%
# The plain half
# --------------
# Adding two vectors is a loop. It is also the specification: whatever runs on the GPU has to give these
# numbers.


def add_reference(x, y, out):
    """Write x + y into out, one element after the other."""
    for i in range(out.size):
        out[i] = x[i] + y[i]


# %%
# What to expect of a GPU
# -----------------------
# Before the kernel, count. Each element of `x` and `y` is read once and each of `out` is written once, and
# there is one addition for them:


def bytes_moved(n, dtype, arrays=3):
    """Return the bytes that must pass between memory and the chip."""
    return arrays * n * np.dtype(dtype).itemsize


n = 2**28
print(f"{bytes_moved(n, np.float32) / 1e9:.2f} GB for {n / 1e9:.2f} G additions")

# %%
# Twelve bytes to one operation. A card that moves 3000 GB/s needs at least 1.07 ms for this; its arithmetic
# could do in that time some two hundred times the additions. So memory is the only cost, and a kernel is
# good when it moves each byte once and keeps memory busy.

bandwidth = 3.0e12
print(f"floor: {bytes_moved(n, np.float32) / bandwidth * 1e3:.2f} ms")

# %%
# The first kernel
# ----------------
# On the GPU the loop disappears: each thread takes one element, `cuda.grid(1)` says which. There are whole
# blocks of threads only, so the last block reaches past the end, and `if` keeps it from writing there.


@cuda.jit
def add_kernel(x, y, out):
    """Write x + y into out, one thread an element."""
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i] + y[i]


# %%
# Test it on an awkward size, one that is no multiple of the block, and put guard cells after the end: a
# kernel without that `if` gives the right sum too, and breaks something else.

size, threads = 37, 32
blocks = -(-size // threads)

rng = np.random.default_rng(0)
x = rng.normal(size=size).astype(np.float32)
y = rng.normal(size=size).astype(np.float32)
expected = np.empty_like(x)
add_reference(x, y, expected)

guarded = np.full(size + threads, 7, np.float32)
add_kernel[blocks, threads](x, y, guarded[:size])

np.testing.assert_array_equal(guarded[:size], expected)
np.testing.assert_array_equal(guarded[size:], 7)

# %%
# The rounding is the same, since one addition is rounded once, on every machine. So the comparison is
# exact; a sum of many terms would have a bound instead.
#
# The public function
# -------------------
# `kernels.add` is the same idea finished: NumPy's signature, all its dtypes, broadcasting and strides,
# `out` and `where`, and loads of 16 bytes where the arrays allow it, which keeps more of memory busy.

np.testing.assert_array_equal(kernels.add(x, y), expected)

column = x[:3, np.newaxis]
print(kernels.add(column, y[:4]).shape)

# %%
# Three operations, one pass
# --------------------------
# Now :math:`a x + y \sin x`. As three functions - two products, a sine, a sum - it would read and write
# memory for each step:

operands = {"sin(x)": 2, "y * sin(x)": 3, "a * x": 2, "a * x + y * sin(x)": 3}
steps = sum(operands.values())
print(f"step by step: {steps} arrays, {bytes_moved(n, np.float32, steps) / bandwidth * 1e3:.2f} ms at least")
print(f"fused:         3 arrays, {bytes_moved(n, np.float32) / bandwidth * 1e3:.2f} ms at least")

# %%
# Written as a function of scalars it moves what the addition moved, and the arithmetic is free.
# `kernels.fuse` makes a kernel of it.


@kernels.fuse
def combine(a, x, y):
    """Compute a x + y sin(x)."""
    return a * x + y * np.sin(x)


a = np.float32(0.5)
fused = combine(a, x, y)

# %%
# In the simulator the sine is NumPy's. On a GPU it is CUDA's, off by two units in the last place at most,
# so this comparison carries a bound: the errors of the sine, of two products and of the sum, each relative
# to its own size.

u = np.finfo(np.float32).eps / 2
exact = a * x.astype(np.float64) + y.astype(np.float64) * np.sin(x.astype(np.float64))
bound = u * (2 * np.abs(a * x) + 6 * np.abs(y * np.sin(x)))
assert np.all(np.abs(fused - exact) <= bound)
print(f"largest error: {np.max(np.abs(fused - exact) / bound):.2f} of its bound")

# %%
# What was measured on cards, with floor and peers beside each time, is in the README's table, and ``python
# -m kernels bench --peers`` measures yours.

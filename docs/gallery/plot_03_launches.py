"""
Plans, graphs and launches
==========================

On a GPU the time of a call on small arrays is the host's. What the host can decide beforehand it decides once: a plan
for one call, a graph for many, a launcher for a kernel of your own. Here they run in the simulator, where they mean the
same and save nothing.
"""

import numpy as np
from numba import cuda

import kernels

rng = np.random.default_rng(0)
x, y = rng.normal(size=(2, 1000)).astype(np.float32)
z = np.empty_like(x)

# %%
# A plan
# ------
# Dtypes, shapes and strides are looked at once. Then the plan takes any arrays like these.

plan = kernels.add.plan(like=(x, y), out=z)
print(plan.__doc__)

plan(x, y, out=z)
plan(z, x, out=z)
np.testing.assert_array_equal(z, x + y + x)

# %%
# An array that does not fit is refused before anything is launched, by its name.

try:
    plan(x[:10], y, out=z)
except ValueError as error:
    print(error)

# %%
# A graph
# -------
# Calls inside the block are recorded, not made. A replay makes them all, in the memory that was recorded.

with kernels.runtime.graph() as graph:
    kernels.square(x, out=z)
    kernels.add(z, 1.0, out=z)

for _ in range(2):
    x[:] = rng.normal(size=x.size)
    graph.replay()
    np.testing.assert_array_equal(z, np.square(x) + np.float32(1))

# %%
# A kernel of your own
# --------------------
# It is called as the kernel is. On a GPU it takes PyTorch's and CuPy's arrays as they are.


@cuda.jit
def scale(x, a):
    """Multiply each element by a."""
    i = cuda.grid(1)
    if i < x.size:
        x[i] *= a


threads = 128
before = x.copy()
kernels.runtime.launcher(scale)[-(-x.size // threads), threads](x, np.float32(2))
np.testing.assert_array_equal(x, 2 * before)

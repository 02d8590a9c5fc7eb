"""Four launches that simulators are timed with: vector addition, tree reduction, tiled product, stencil.

Plain Numba, so that the stock simulator can run this file by itself: ``python launches.py`` prints its times as JSON.
"""

import json
import os
import time

import numpy as np

if __name__ == "__main__":
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

from numba import cuda, float32

TILE = 16


@cuda.jit
def vector_addition(x, y, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = x[i] + y[i]


@cuda.jit
def tree_reduction(x, out):
    partial = cuda.shared.array(256, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    if i < x.size:
        partial[t] = x[i]
    else:
        partial[t] = 0
    cuda.syncthreads()
    width = cuda.blockDim.x // 2
    while width > 0:
        if t < width:
            partial[t] += partial[t + width]
        cuda.syncthreads()
        width //= 2
    if t == 0:
        out[cuda.blockIdx.x] = partial[0]


@cuda.jit
def tiled_product(a, b, out):
    left, right = cuda.shared.array((TILE, TILE), float32), cuda.shared.array((TILE, TILE), float32)
    x, y = cuda.grid(2)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for k in range((a.shape[1] + TILE - 1) // TILE):
        left[ty, tx] = 0
        right[ty, tx] = 0
        if y < a.shape[0] and tx + k * TILE < a.shape[1]:
            left[ty, tx] = a[y, tx + k * TILE]
        if x < b.shape[1] and ty + k * TILE < b.shape[0]:
            right[ty, tx] = b[ty + k * TILE, x]
        cuda.syncthreads()
        for j in range(TILE):
            total += left[ty, j] * right[j, tx]
        cuda.syncthreads()
    if y < out.shape[0] and x < out.shape[1]:
        out[y, x] = total


@cuda.jit
def stencil(u, out):
    x, y = cuda.grid(2)
    if 0 < y < u.shape[0] - 1 and 0 < x < u.shape[1] - 1:
        out[y, x] = (u[y, x - 1] + u[y, x + 1] + u[y - 1, x] + u[y + 1, x]) * float32(0.25)


def laplacian(u):
    """What `stencil` computes."""
    out = np.zeros_like(u)
    out[1:-1, 1:-1] = (u[1:-1, :-2] + u[1:-1, 2:] + u[:-2, 1:-1] + u[2:, 1:-1]) * np.float32(0.25)
    return out


def cases(n=1024, side=32, field=64):
    """Each launch: its name, kernel, configuration, arguments with the result last, and the result in NumPy."""
    random = np.random.default_rng(0)

    def draw(*shape):
        return random.standard_normal(shape, np.float32)

    x, y, a, b, u = draw(n), draw(n), draw(side, side), draw(side, side), draw(field, field)
    blocks, tiles, patches = -(-n // 256), -(-side // TILE), -(-field // TILE)
    padded = np.pad(x, (0, blocks * 256 - n)).reshape(blocks, 256)
    return [
        ("vector addition", vector_addition, (blocks, 256), (x, y, np.zeros_like(x)), lambda: x + y),
        ("tree reduction", tree_reduction, (blocks, 256), (x, np.zeros(blocks, np.float32)), lambda: padded.sum(1)),
        ("tiled product", tiled_product, ((tiles, tiles), (TILE, TILE)), (a, b, np.zeros_like(a)), lambda: a @ b),
        ("2-D stencil", stencil, ((patches, patches), (TILE, TILE)), (u, np.zeros_like(u)), lambda: laplacian(u)),
    ]


def seconds(call, repeats):
    """Median time of some calls, after one that is not counted."""
    call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


if __name__ == "__main__":
    print(json.dumps([seconds(lambda k=k, c=c, a=a: k[c](*a), 3) for _, k, c, a, _ in cases()]))  # noqa: T201

"""Blocks that load a tile of an array, with or without its neighbours, and compute from it."""

import numpy as np
from numba import cuda, float32, int32

from tests.simulator.corpus.case import (
    BOUNDS,
    DIVERGENT,
    LAUNCH,
    RACE,
    UNORDERED,
    UNWRITTEN,
    Case,
    floats,
    integers,
    launch,
    line,
)


@cuda.jit
def transpose(a, out):
    tile = cuda.shared.array((8, 9), float32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    x, y = cuda.grid(2)
    if y < a.shape[0] and x < a.shape[1]:
        tile[ty, tx] = a[y, x]
    cuda.syncthreads()
    x = cuda.blockIdx.y * 8 + tx
    y = cuda.blockIdx.x * 8 + ty
    if y < out.shape[0] and x < out.shape[1]:
        out[y, x] = tile[tx, ty]


TRANSPOSE = Case(
    transpose,
    launches=(((3, 2), (8, 8)),),
    arguments=lambda rng: (floats(rng, 11, 21), np.zeros((21, 11), np.float32)),
    expected=lambda a, out: a.T,
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "no guard of the load": line("if y < a.shape[0] and x < a.shape[1]:", "if True:", BOUNDS),
        "no guard of the store": line("if y < out.shape[0] and x < out.shape[1]:", "if True:", BOUNDS, UNWRITTEN),
        "guard of the columns only": line("if y < a.shape[0] and x", "if x", BOUNDS),
        "guard with the axes exchanged": line(
            "y < a.shape[0] and x < a.shape[1]", "y < a.shape[1] and x < a.shape[0]", BOUNDS, UNWRITTEN
        ),
        "guard of the store one too far": line("x < out.shape[1]", "x <= out.shape[1]", BOUNDS, UNWRITTEN),
        "barrier for the threads with data": line(
            "    cuda.syncthreads()", "        cuda.syncthreads()", DIVERGENT, *UNORDERED
        ),
        "block not exchanged": line("y = cuda.blockIdx.x * 8 + ty", "y = cuda.blockIdx.y * 8 + ty", RACE, UNWRITTEN),
        "tile not exchanged": line("tile[tx, ty]", "tile[ty, tx + 1]", *UNORDERED),
        "tile too narrow": line("(8, 9)", "(8, 7)", BOUNDS),
        "tile too low": line("(8, 9)", "(7, 9)", BOUNDS),
        "tile too large": line("(8, 9)", "(1024, 13)", LAUNCH),
        "lower half left out": launch((3, 2), (8, 4), UNWRITTEN),
        "blocks of 33 x 32 threads": launch((3, 2), (33, 32), LAUNCH),
    },
)


@cuda.jit
def transpose_padded(a, out):
    tile = cuda.shared.array(8 * 9, int32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    x, y = cuda.grid(2)
    tile[ty * 9 + tx] = a[y, x]
    cuda.syncthreads()
    out[cuda.blockIdx.x * 8 + ty, cuda.blockIdx.y * 8 + tx] = tile[tx * 9 + ty]


TRANSPOSE_PADDED = Case(
    transpose_padded,
    launches=(((2, 3), (8, 8)),),
    arguments=lambda rng: (integers(rng, 24, 16), np.zeros((16, 24), np.int32)),
    expected=lambda a, out: a.T,
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "read without the padding": line("tile[tx * 9 + ty]", "tile[tx * 8 + ty]", UNWRITTEN),
        "written without the padding": line("tile[ty * 9 + tx]", "tile[ty * 8 + tx]", UNWRITTEN),
        "padding of two where one was written": line("tile[tx * 9 + ty]", "tile[tx * 10 + ty]", UNWRITTEN, BOUNDS),
        "array without the padding": line("8 * 9, int32", "8 * 8, int32", BOUNDS),
        "rows overlap": line("tile[ty * 9 + tx]", "tile[ty * 7 + tx]", RACE),
        "padding after every four": line("tile[ty * 9 + tx]", "tile[ty * 8 + tx + tx // 4]", RACE),
        "stored in the block's own place": line(
            "out[cuda.blockIdx.x * 8 + ty, cuda.blockIdx.y * 8 + tx]",
            "out[cuda.blockIdx.y * 8 + ty, cuda.blockIdx.x * 8 + tx]",
            BOUNDS,
        ),
        "block twice as high": launch((2, 3), (8, 16), BOUNDS),
    },
)


@cuda.jit
def transpose_rotated(a, out):
    tile = cuda.shared.array(64, float32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    tile[ty * 8 + (tx + ty) % 8] = a[ty, tx]
    cuda.syncthreads()
    out[ty, tx] = tile[tx * 8 + (ty + tx) % 8]


TRANSPOSE_ROTATED = Case(
    transpose_rotated,
    launches=((1, (8, 8)),),
    arguments=lambda rng: (floats(rng, 8, 8), np.zeros((8, 8), np.float32)),
    expected=lambda a, out: a.T,
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "written past the row": line("(tx + ty) % 8", "(tx + ty)", BOUNDS),
        "read past the row": line("(ty + tx) % 8", "(ty + tx)", BOUNDS),
        "swizzle over all columns but one": line("(tx + ty) % 8", "(tx + ty) % 7", RACE),
        "swizzle keeps one bit less": line("(tx + ty) % 8", "((tx ^ ty) & 3)", RACE),
        "read before the row": line("(ty + tx) % 8", "(-ty - tx)", BOUNDS),
        "column swizzled by itself": line("(tx + ty) % 8", "(tx ^ tx)", RACE),
        "row left out": line("tile[ty * 8 + (tx + ty) % 8]", "tile[ty % 7 * 8 + (tx + ty) % 8]", RACE),
    },
)


@cuda.jit
def matmul(a, b, out):
    at = cuda.shared.array((8, 8), float32)
    bt = cuda.shared.array((8, 8), float32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    col, row = cuda.grid(2)
    total = float32(0)
    for p in range(0, a.shape[1], 8):
        at[ty, tx] = a[row, p + tx] if row < a.shape[0] and p + tx < a.shape[1] else float32(0)
        bt[ty, tx] = b[p + ty, col] if p + ty < b.shape[0] and col < b.shape[1] else float32(0)
        cuda.syncthreads()  # loaded
        for k in range(8):
            total += at[ty, k] * bt[k, tx]
        cuda.syncthreads()  # used
    if row < out.shape[0] and col < out.shape[1]:
        out[row, col] = total


def product(a, b, out):
    return a @ b


def factors(rng):
    return floats(rng, 11, 21), floats(rng, 21, 13), np.zeros((11, 13), np.float32)


MATMUL = Case(
    matmul,
    launches=(((2, 2), (8, 8)),),
    arguments=factors,
    expected=product,
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after the use": line("cuda.syncthreads()  # used", "pass", RACE),
        "warp barrier for a block of two": line("cuda.syncthreads()  # loaded", "cuda.syncwarp()", *UNORDERED),
        "edge left unwritten": line(
            "at[ty, tx] = a[row, p + tx] if row < a.shape[0] and p + tx < a.shape[1] else float32(0)",
            "if row < a.shape[0] and p + tx < a.shape[1]: at[ty, tx] = a[row, p + tx]",
            UNWRITTEN,
        ),
        "no guard of the inner side": line("row < a.shape[0] and p + tx < a.shape[1]", "row < a.shape[0]", BOUNDS),
        "no guard of the rows": line("row < a.shape[0] and p + tx < a.shape[1]", "p + tx < a.shape[1]", BOUNDS),
        "no guard of the columns": line("p + ty < b.shape[0] and col < b.shape[1]", "p + ty < b.shape[0]", BOUNDS),
        "no guard of the result": line("if row < out.shape[0] and col < out.shape[1]:", "if True:", BOUNDS),
        "return before the barriers": line(
            "total = float32(0)", "total = float32(0)\n    if row >= out.shape[0]: return", DIVERGENT
        ),
        "loop to the row's own end": line(
            "range(0, a.shape[1], 8)", "range(0, a.shape[1] - 8 * (tx // 7), 8)", DIVERGENT
        ),
        "one product too many": line("for k in range(8)", "for k in range(9)", BOUNDS),
        "tile index from the matrix": line("at[ty, k] * bt[k, tx]", "at[ty, p + k] * bt[k, tx]", BOUNDS),
        "tile too small": line("bt = cuda.shared.array((8, 8)", "bt = cuda.shared.array((8, 7)", BOUNDS),
        "second tile never loaded": line("bt[ty, tx] = b", "at[ty, tx] = b", UNWRITTEN),
        "a narrower block": launch((4, 2), (4, 8), UNWRITTEN),
    },
)


@cuda.jit
def matmul_double_buffered(a, b, out):
    at = cuda.shared.array((2, 8, 8), float32)
    bt = cuda.shared.array((2, 8, 8), float32)
    tx = cuda.threadIdx.x
    ty = cuda.threadIdx.y
    col, row = cuda.grid(2)
    total = float32(0)
    for p in range((a.shape[1] + 7) // 8):
        now = p % 2
        i = 8 * p + tx
        j = 8 * p + ty
        at[now, ty, tx] = a[row, i] if row < a.shape[0] and i < a.shape[1] else float32(0)
        bt[now, ty, tx] = b[j, col] if j < b.shape[0] and col < b.shape[1] else float32(0)
        cuda.syncthreads()
        for k in range(8):
            total += at[now, ty, k] * bt[now, k, tx]
    if row < out.shape[0] and col < out.shape[1]:
        out[row, col] = total


MATMUL_DOUBLE_BUFFERED = Case(
    matmul_double_buffered,
    launches=(((2, 2), (8, 8)),),
    arguments=factors,
    expected=product,
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "one buffer, one barrier": line("now = p % 2", "now = 0", RACE),
        "buffer turned every second tile": line("now = p % 2", "now = p // 2 % 2", RACE),
        "buffer never turned back": line("now = p % 2", "now = p", BOUNDS),
        "a third buffer": line("now = p % 2", "now = p % 3", BOUNDS),
        "barrier of every second tile": line("cuda.syncthreads()", "if now == 0: cuda.syncthreads()", *UNORDERED),
        "the other buffer is read": line("at[now, ty, k]", "at[1 - now, ty, k]", *UNORDERED),
        "second buffer of one array only": line("bt[now, ty, tx] =", "bt[0, ty, tx] =", *UNORDERED),
        "tiles rounded up once more": line("(a.shape[1] + 7) // 8", "a.shape[1] // 8 + 1 if tx else 9", DIVERGENT),
        "inner side rounded up to tiles": line(
            "j < b.shape[0] and col < b.shape[1]", "j < 24 and col < b.shape[1]", BOUNDS
        ),
    },
)


@cuda.jit
def smooth(x, out):
    s = cuda.shared.array(64 + 4, int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    s[t + 2] = x[i] if i < x.size else int32(0)
    if t < 2:
        s[t] = x[i - 2] if i >= 2 else int32(0)
        s[t + 66] = x[i + 64] if i + 64 < x.size else int32(0)
    cuda.syncthreads()
    if i < x.size:
        out[i] = s[t] + 2 * s[t + 1] + 3 * s[t + 2] + 2 * s[t + 3] + s[t + 4]


SMOOTH = Case(
    smooth,
    launches=((3, 64),),
    arguments=lambda rng: (integers(rng, 150), np.zeros(150, np.int32)),
    expected=lambda x, out: np.convolve(x, [1, 2, 3, 2, 1], "same"),
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "halo of one": line("if t < 2:", "if t < 1:", UNWRITTEN),
        "halo of three": line("if t < 2:", "if t < 3:", RACE),
        "no guard on the left": line("x[i - 2] if i >= 2 else int32(0)", "x[i - 2]", BOUNDS),
        "guard on the left one too early": line("i >= 2", "i >= 1", BOUNDS),
        "no guard on the right": line("x[i + 64] if i + 64 < x.size else int32(0)", "x[i + 64]", BOUNDS),
        "guard without the distance": line("i + 64 < x.size", "i < x.size", BOUNDS),
        "right halo one too far": line("s[t + 66] = x", "s[t + 67] = x", BOUNDS),
        "right halo into the tile": line("s[t + 66] = x", "s[t + 65] = x", RACE),
        "tile without its right halo": line("array(64 + 4", "array(64 + 2", BOUNDS),
        "no guard of the tile": line("s[t + 2] = x[i] if i < x.size else int32(0)", "s[t + 2] = x[i]", BOUNDS),
        "no guard of the store": line("if i < x.size:\n", "if True:\n", BOUNDS),
        "in place": line("out[i] = s[t]", "x[i] = s[t]", RACE),
        "return before the barrier": line(
            "i = cuda.grid(1)", "i = cuda.grid(1)\n    if i >= x.size: return", DIVERGENT
        ),
        "halo from the blocks that have one": line("if t < 2:", "if t < 2 and cuda.blockIdx.x > 0:", UNWRITTEN),
        "barrier of the halo's threads": line(
            "    cuda.syncthreads()", "        cuda.syncthreads()", DIVERGENT, RACE, UNWRITTEN
        ),
    },
)


@cuda.jit
def laplace(u, out):
    s = cuda.shared.array((10, 10), float32)
    tx = cuda.threadIdx.x + 1
    ty = cuda.threadIdx.y + 1
    x, y = cuda.grid(2)
    h, w = u.shape
    inside = x < w and y < h
    s[ty, tx] = u[y, x] if inside else float32(0)
    if tx == 1:
        s[ty, 0] = u[y, x - 1] if inside and x > 0 else float32(0)
    if tx == 8:
        s[ty, 9] = u[y, x + 1] if y < h and x + 1 < w else float32(0)
    if ty == 1:
        s[0, tx] = u[y - 1, x] if inside and y > 0 else float32(0)
    if ty == 8:
        s[9, tx] = u[y + 1, x] if x < w and y + 1 < h else float32(0)
    cuda.syncthreads()
    if inside:
        out[y, x] = s[ty - 1, tx] + s[ty + 1, tx] + s[ty, tx - 1] + s[ty, tx + 1] - 4 * s[ty, tx]


def second_differences(u, out):
    p = np.pad(u, 1)
    return p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * u


LAPLACE = Case(
    laplace,
    launches=(((2, 2), (8, 8)),),
    arguments=lambda rng: (floats(rng, 16, 13), np.zeros((16, 13), np.float32)),
    expected=second_differences,
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "corner of the halo": line("s[ty - 1, tx] + s[ty + 1", "s[ty - 1, tx - 1] + s[ty + 1", UNWRITTEN),
        "left halo missing": line("if tx == 1:", "if tx == 0:", UNWRITTEN),
        "right halo missing": line("if tx == 8:", "if tx == 9:", UNWRITTEN),
        "lower halo of one thread": line("if ty == 8:", "if ty == 8 and tx == 8:", UNWRITTEN),
        "right halo by every thread": line("if tx == 8:", "if tx > 0:", RACE),
        "no guard above": line("inside and y > 0", "inside", BOUNDS),
        "guard above by the column": line("inside and y > 0", "inside and x > 0", BOUNDS),
        "no guard below": line("x < w and y + 1 < h", "x < w", BOUNDS),
        "guard below one too far": line("y + 1 < h", "y < h", BOUNDS),
        "axes exchanged": line("inside = x < w and y < h", "inside = x < h and y < w", BOUNDS, UNWRITTEN),
        "no guard of the centre": line("s[ty, tx] = u[y, x] if inside else float32(0)", "s[ty, tx] = u[y, x]", BOUNDS),
        "no room for the halo": line("(10, 10)", "(9, 9)", BOUNDS),
        "stores outside": line("if inside:\n", "if y < h:\n", BOUNDS),
        "two steps to the right": line("s[ty, tx + 1] - 4", "s[ty, tx + 2] - 4", BOUNDS),
        "in place": line("out[y, x] = s", "u[y, x] = s", RACE),
    },
)


@cuda.jit
def turn_brick(a, out):
    s = cuda.shared.array((2, 4, 8), int32)
    x, y, z = cuda.grid(3)
    tx, ty, tz = cuda.threadIdx.x, cuda.threadIdx.y, cuda.threadIdx.z
    s[tz, ty, tx] = a[z, y, x]
    cuda.syncthreads()
    out[z, y, x] = s[1 - tz, 3 - ty, 7 - tx]


TURN_BRICK = Case(
    turn_brick,
    launches=(((2, 1, 2), (8, 4, 2)),),
    arguments=lambda rng: (integers(rng, 4, 4, 16), np.zeros((4, 4, 16), np.int32)),
    expected=lambda a, out: a.reshape(2, 2, 4, 2, 8)[:, ::-1, ::-1, :, ::-1].reshape(a.shape),
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "barrier of the first layer": line(
            "cuda.syncthreads()", "if tz == 1: return\n    cuda.syncthreads()", DIVERGENT
        ),
        "third axis counted from one": line("s[1 - tz,", "s[2 - tz,", BOUNDS),
        "negative row": line("3 - ty", "2 - ty", BOUNDS),
        "axes exchanged": line("s[tz, ty, tx] = a", "s[ty, tz, tx] = a", BOUNDS),
        "third axis forgotten": line("s[tz, ty, tx] = a", "s[0, ty, tx] = a", RACE),
        "grid's axes exchanged": line("x, y, z = cuda.grid(3)", "z, y, x = cuda.grid(3)", BOUNDS),
        "65 threads along z": launch((2, 1, 2), (1, 1, 65), LAUNCH),
        "one layer of threads": launch((2, 1, 4), (8, 4, 1), UNWRITTEN),
        "one layer of blocks too many": launch((2, 1, 3), (8, 4, 2), BOUNDS),
    },
)

CASES = [
    TRANSPOSE,
    TRANSPOSE_PADDED,
    TRANSPOSE_ROTATED,
    MATMUL,
    MATMUL_DOUBLE_BUFFERED,
    SMOOTH,
    LAPLACE,
    TURN_BRICK,
]

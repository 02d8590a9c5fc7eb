"""Where elements lie: tails, strides, permutations, local arrays, dynamic shared memory, records, constants."""

import numpy as np
from numba import cuda, float32, float64, int32, uint8

from tests.simulator.corpus.case import (
    BOUNDS,
    LAUNCH,
    MISALIGNED,
    RACE,
    UNORDERED,
    UNWRITTEN,
    Case,
    floats,
    integers,
    launch,
    line,
)

WEIGHTS = np.array([1, 2, 4, 2], np.float32)
BODY = np.dtype([("x", np.float32), ("v", np.float32), ("kind", np.int32)], align=True)


@cuda.jit
def add_pairs(x, y, out):
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        out[i] = x[i] + y[i]


ADD_PAIRS = Case(
    add_pairs,
    launches=((2, 32), (1, 200), (3, 1)),
    arguments=lambda rng: (floats(rng, 150), floats(rng, 150), np.zeros(150, np.float32)),
    expected=lambda x, y, out: x + y,
    faults={
        "one beyond the end": line("x.size", "x.size + 1", BOUNDS),
        "begins at minus one": line("range(cuda.grid(1)", "range(cuda.grid(1) - 1", BOUNDS),
        "stride of the block": line("cuda.gridsize(1)", "cuda.blockDim.x", RACE),
        "every block does all": line("cuda.grid(1)", "cuda.threadIdx.x", RACE),
        "neighbours added in place": line("out[i] = x[i] + y[i]", "x[i] = x[i] + x[i - 1] if i > 0 else x[i]", RACE),
        "shifted to the right": line("out[i] =", "out[i + 1] =", BOUNDS),
        "two threads share a place": line("out[i] =", "out[i // 2] =", RACE),
        "threads in pairs": line("y[i]", "y[2 * i]", BOUNDS),
        "negative stride": line("y[i]", "y[-i]", BOUNDS),
    },
)


@cuda.jit
def add_columns(flat, height, width, pitch, out):
    c = cuda.grid(1)
    if c < width:
        total = int32(0)
        for r in range(height):
            total += flat[r * pitch + c]
        out[c] = total


ADD_COLUMNS = Case(
    add_columns,
    launches=((2, 32),),
    arguments=lambda rng: (integers(rng, 7 * 48)[: 6 * 48 + 45], 7, 45, 48, np.zeros(45, np.int32)),
    expected=lambda flat, height, width, pitch, out: np.append(flat, [0] * 3).reshape(7, 48)[:, :45].sum(0),
    faults={
        "no tail guard": line("if c < width:", "if True:", BOUNDS),
        "guard by the pitch": line("if c < width:", "if c < pitch:", BOUNDS),
        "rows and columns exchanged": line("flat[r * pitch + c]", "flat[c * pitch + r]", BOUNDS),
        "pitch one too large": line("flat[r * pitch + c]", "flat[r * (pitch + 1) + c]", BOUNDS),
        "one row too many": line("range(height)", "range(height + 1)", BOUNDS),
        "rows counted down to minus one": line("range(height)", "range(height - 1, -2, -1)", BOUNDS),
        "one total for all": line("out[c] = total", "out[0] = total", RACE),
        "totals added in memory": line("total += flat", "out[c // 2] += flat", RACE),
    },
)


@cuda.jit
def scatter(x, place, out):
    i = cuda.grid(1)
    if i < x.size:
        out[place[i]] = x[i]


def scattered(x, place, out):
    out = out.copy()
    out[place] = x
    return out


SCATTER = Case(
    scatter,
    launches=((3, 32),),
    arguments=lambda rng: (integers(rng, 80), rng.permutation(80), np.zeros(80, np.int32)),
    expected=scattered,
    faults={
        "places that meet": line("place[i]", "place[i] // 2", RACE),
        "places counted from one": line("out[place[i]]", "out[place[i] + 1]", BOUNDS),
        "places before the first": line("out[place[i]]", "out[place[i] - 1]", BOUNDS),
        "places from the end": line("out[place[i]]", "out[-place[i]]", BOUNDS),
        "no tail guard": line("if i < x.size:", "if True:", BOUNDS),
        "summed without an atomic": line("out[place[i]] =", "out[place[i] % 10] +=", RACE),
        "moved in place": line("out[place[i]]", "x[place[i]]", RACE),
        "read where another writes": line("= x[i]", "= out[place[x.size - 1 - i]]", RACE),
        "places moved while they are read": line("out[place[i]] = x[i]", "place[place[i]] = i", RACE),
    },
)


@cuda.jit
def filter_locally(x, out):
    late = cuda.local.array(4, float32)
    weights = cuda.const.array_like(WEIGHTS)
    i = cuda.grid(1)
    for k in range(4):
        late[k] = x[i - k] if 0 <= i - k < x.size else float32(0)
    if i < x.size:
        total = float32(0)
        for k in range(4):
            total += late[k] * weights[k]
        out[i] = total


FILTER_LOCALLY = Case(
    filter_locally,
    launches=((2, 64),),
    arguments=lambda rng: (floats(rng, 100), np.zeros(100, np.float32)),
    expected=lambda x, out: np.convolve(x, WEIGHTS)[:100],
    faults={
        "first value never set": line(
            "for k in range(4):\n        late", "for k in range(1, 4):\n        late", UNWRITTEN
        ),
        "one value too many": line("for k in range(4):\n        late", "for k in range(5):\n        late", BOUNDS),
        "one weight too many": line(
            "for k in range(4):\n            total", "for k in range(5):\n            total", BOUNDS
        ),
        "local array too short": line("local.array(4", "local.array(3", BOUNDS),
        "local array too long": line("late[k] * weights[k]", "late[k] * weights[k + 1]", BOUNDS),
        "values counted from the end": line("late[k] * weights[k]", "late[k - 4] * weights[k]", BOUNDS),
        "no guard on the left": line("if 0 <= i - k < x.size", "if i - k < x.size", BOUNDS),
        "no guard on the right": line("if 0 <= i - k < x.size", "if 0 <= i - k", BOUNDS),
        "left edge skipped": line(
            "late[k] = x[i - k] if 0 <= i - k < x.size else float32(0)",
            "if 0 <= i - k < x.size: late[k] = x[i - k]",
            UNWRITTEN,
        ),
        "no guard of the result": line("if i < x.size:", "if True:", BOUNDS),
        "local turned shared": line("cuda.local.array(4", "cuda.shared.array(4", RACE),
        "added to what is there": line("late[k] = x", "late[k] += x", UNWRITTEN),
    },
)


@cuda.jit
def dot(x, y, out):
    part = cuda.shared.array(0, float32)
    t = cuda.threadIdx.x
    n = cuda.blockDim.x
    i = cuda.grid(1)
    part[t] = x[i] * y[i] if i < x.size else float32(0)
    cuda.syncthreads()  # loaded
    while n > 1:
        half = (n + 1) // 2
        if t < n // 2:
            part[t] += part[t + half]
        cuda.syncthreads()  # added
        n = half
    if t == 0:
        cuda.atomic.add(out, 0, part[0])


DOT = Case(
    dot,
    launches=((3, 40, 0, 160), (2, 64, 0, 256), (101, 1, 0, 4)),
    arguments=lambda rng: (floats(rng, 101), floats(rng, 101), np.zeros(1, np.float32)),
    expected=lambda x, y, out: np.array([x @ y]),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after the additions": line("cuda.syncthreads()  # added", "pass", RACE),
        "odd sizes rounded down": line("part[t + half]", "part[t + half + 1]", BOUNDS),
        "plain addition of the blocks": line("cuda.atomic.add(out, 0, part[0])", "out[0] += part[0]", RACE),
        "no tail guard": line("x[i] * y[i] if i < x.size else float32(0)", "x[i] * y[i]", BOUNDS),
        "all threads add": line("if t < n // 2:", "if t < n:", RACE, BOUNDS),
        "float64 in bytes for float32": line(
            "part = cuda.shared.array(0, float32)", "part = cuda.shared.array(0, float64)", BOUNDS
        ),
        "no dynamic shared memory": launch(3, 40, BOUNDS),
        "elements for bytes": launch(3, 40, BOUNDS, shared=40),
        "one element short": launch(3, 40, BOUNDS, shared=156),
        "threads of a smaller launch": launch(3, 41, BOUNDS, shared=160),
        "more than a multiprocessor has": launch(3, 40, LAUNCH, shared=300_000),
    },
)


@cuda.jit
def rank_in_block(x, out):
    n = cuda.blockDim.x
    key = cuda.shared.array(0, int32)[:n]
    rank = cuda.shared.array(0, int32)[n : 2 * n]
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    key[t] = x[i]
    rank[t] = 0
    cuda.syncthreads()  # loaded
    for k in range(n):
        if key[k] < key[t] or (key[k] == key[t] and k < t):
            rank[t] += 1
    cuda.syncthreads()  # ranked
    out[cuda.blockIdx.x * n + rank[t]] = key[t]


RANK_IN_BLOCK = Case(
    rank_in_block,
    launches=((2, 32, 0, 256),),
    arguments=lambda rng: (integers(rng, 64), np.zeros(64, np.int32)),
    expected=lambda x, out: np.sort(x.reshape(2, 32)).ravel(),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "both in one place": line("[n : 2 * n]", "[:n]", RACE),
        "places that overlap by one": line("[n : 2 * n]", "[n - 1 : 2 * n]", RACE),
        "second place in bytes": line("[n : 2 * n]", "[4 * n : 5 * n]", BOUNDS),
        "second place of half the length": line("[n : 2 * n]", "[n : n + n // 2]", BOUNDS),
        "ranks never cleared": line("rank[t] = 0", "pass", UNWRITTEN),
        "one comparison too many": line("range(n)", "range(n + 1)", BOUNDS),
        "rank of the other": line("rank[t] += 1", "rank[k] += 1", RACE),
        "equal keys share a rank": line(" or (key[k] == key[t] and k < t)", "", RACE),
        "memory for one array": launch(2, 32, BOUNDS, shared=128),
        "memory for all but one element": launch(2, 32, BOUNDS, shared=252),
    },
)


@cuda.jit
def mixed_buffer(x, out):
    raw = cuda.shared.array(0, uint8)
    value = raw[0:256].view(float64)
    count = raw[264:392].view(int32)
    t = cuda.threadIdx.x
    value[t] = x[t]
    count[t] = t
    cuda.syncthreads()
    out[t] = value[31 - t] + count[(t + 1) % 32]


MIXED_BUFFER = Case(
    mixed_buffer,
    launches=((1, 32, 0, 400),),
    arguments=lambda rng: (integers(rng, 32, dtype=np.float64), np.zeros(32)),
    expected=lambda x, out: x[::-1] + (np.arange(32) + 1) % 32,
    faults={
        "float64 at an odd multiple of 4": line("raw[0:256]", "raw[4:260]", MISALIGNED),
        "int32 at an odd byte": line("raw[264:392]", "raw[265:393]", MISALIGNED),
        "int32 at two bytes": line("raw[264:392]", "raw[266:394]", MISALIGNED),
        "arrays that overlap": line("raw[264:392]", "raw[128:256]", RACE),
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "length in elements": line("raw[264:392]", "raw[264:296]", BOUNDS),
        "memory for the values only": launch(1, 32, BOUNDS, shared=256),
    },
)


@cuda.jit
def step_bodies(body, energy, out):
    i = cuda.grid(1)
    if i < body.size:
        body[i].x += body[i].v
        cuda.atomic.add(energy, body[i].kind, body[i].v * body[i].v)
        out[i] = body[i].x


def moved(body, energy, out):
    return np.bincount(body["kind"], body["v"] ** 2, 4).astype(np.float32), body["x"] + body["v"]


def bodies(rng):
    body = np.zeros(40, BODY)
    body["x"], body["v"], body["kind"] = floats(rng, 40), floats(rng, 40), np.arange(40) % 4
    return body, np.zeros(4, np.float32), np.zeros(40, np.float32)


STEP_BODIES = Case(
    step_bodies,
    launches=((2, 32),),
    arguments=bodies,
    expected=moved,
    faults={
        "no tail guard": line("if i < body.size:", "if True:", BOUNDS),
        "plain addition": line(
            "cuda.atomic.add(energy, body[i].kind, body[i].v * body[i].v)", "energy[body[i].kind] += body[i].v", RACE
        ),
        "kinds counted from one": line("energy, body[i].kind,", "energy, body[i].kind + 1,", BOUNDS),
        "kind before the first": line("energy, body[i].kind,", "energy, body[i].kind - 1,", BOUNDS),
        "the neighbour's place": line("out[i] = body[i].x", "out[i] = body[(i + 1) % body.size].x", RACE),
        "neighbour moved too": line("body[i].x += body[i].v", "body[i // 2].x += body[i].v", RACE),
        "body before the first": line("body[i].x += body[i].v", "body[i - 1].x += body[i].v", BOUNDS),
        "stored by kind": line("out[i] = body[i].x", "out[body[i].kind] = body[i].x", RACE),
    },
)


@cuda.jit
def batch_of_sums(batch, length, out):
    row = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    lane = cuda.threadIdx.x
    s = cuda.shared.array((4, 16), int32)
    total = int32(0)
    if row < batch.shape[0]:
        for k in range(lane, length[row], 16):
            total += batch[row, k]
    s[cuda.threadIdx.y, lane] = total
    cuda.syncthreads()
    if lane == 0 and row < batch.shape[0]:
        for k in range(1, 16):
            total += s[cuda.threadIdx.y, k]
        out[row] = total


BATCH_OF_SUMS = Case(
    batch_of_sums,
    launches=(((1, 3), (16, 4)),),
    arguments=lambda rng: (
        integers(rng, 10, 40),
        np.r_[40, 0, 1, integers(rng, 7, low=0, high=41)],
        np.zeros(10, np.int32),
    ),
    expected=lambda batch, length, out: np.where(np.arange(40) < length[:, None], batch, 0).sum(1),
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "no guard of the rows": line("    if row < batch.shape[0]:\n        for", "    if True:\n        for", BOUNDS),
        "no guard of the result": line("if lane == 0 and row < batch.shape[0]:", "if lane == 0:", BOUNDS),
        "length rounded up": line("length[row], 16", "length[row] // 16 * 16 + 16, 16", BOUNDS),
        "one beyond the length": line("range(lane, length[row]", "range(lane, length[row] + 1", BOUNDS),
        "rows share the sums": line("s[cuda.threadIdx.y, lane] = total", "s[0, lane] = total", RACE),
        "partial sums of the grid's row": line("s[cuda.threadIdx.y, lane] = total", "s[row, lane] = total", BOUNDS),
        "idle rows store nothing": line(
            "    s[cuda.threadIdx.y, lane] = total",
            "    if lane < length[min(row, 9)]: s[cuda.threadIdx.y, lane] = total",
            UNWRITTEN,
        ),
        "every lane adds up": line("if lane == 0 and row", "if row", RACE),
        "seventeen lanes": line("range(1, 16)", "range(1, 17)", BOUNDS),
        "block's y for the row": line("cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y", "cuda.threadIdx.y", RACE),
        "a block of one row more": launch((1, 3), (16, 5), BOUNDS),
    },
)

CASES = [
    ADD_PAIRS,
    ADD_COLUMNS,
    SCATTER,
    FILTER_LOCALLY,
    DOT,
    RANK_IN_BLOCK,
    MIXED_BUFFER,
    STEP_BODIES,
    BATCH_OF_SUMS,
]

"""Threads of one block that share memory between barriers."""

import numpy as np
from numba import cuda, float32, int32

from tests.simulator.corpus.case import (
    BOUNDS,
    DIVERGENT,
    FULL,
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


def per_block(x, size):
    """Rows of `size` elements, the last one filled with zeros."""
    return np.append(x, np.zeros(-x.size % size, x.dtype)).reshape(-1, size)


@cuda.jit
def tree_sum(x, out):
    part = cuda.shared.array(64, float32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    part[t] = x[i] if i < x.size else float32(0)
    cuda.syncthreads()  # loaded
    s = 32
    while s > 0:
        if t < s:
            part[t] += part[t + s]
        cuda.syncthreads()  # added
        s //= 2
    if t == 0:
        out[cuda.blockIdx.x] = part[0]


TREE_SUM = Case(
    tree_sum,
    launches=((3, 64),),
    arguments=lambda rng: (floats(rng, 150), np.zeros(3, np.float32)),
    expected=lambda x, out: per_block(x, 64).sum(1),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after an addition": line("cuda.syncthreads()  # added", "pass", RACE),
        "warps synchronised, not the block": line("cuda.syncthreads()  # loaded", "cuda.syncwarp()", *UNORDERED),
        "barrier for the adding threads only": line(
            "        cuda.syncthreads()  # a", " " * 12 + "cuda.syncthreads()  # a", DIVERGENT
        ),
        "return before the barriers": line(
            "i = cuda.grid(1)", "i = cuda.grid(1)\n    if i >= x.size: return", DIVERGENT
        ),
        "no tail guard": line("x[i] if i < x.size else float32(0)", "x[i]", BOUNDS),
        "tail guard one too far": line("i < x.size", "i <= x.size", BOUNDS),
        "tail left unwritten": line(
            "part[t] = x[i] if i < x.size else float32(0)", "if i < x.size: part[t] = x[i]", UNWRITTEN
        ),
        "tree begins one level too high": line("s = 32", "s = 64", BOUNDS),
        "one thread too many adds": line("if t < s", "if t <= s", BOUNDS),
        "shared array one too small": line("array(64, ", "array(63, ", BOUNDS),
        "every thread stores the sum": line("if t == 0:", "if True:", RACE),
        "shared array beyond 48 KiB": line("array(64, ", "array(12289, ", LAUNCH),
        "one block too many": launch(4, 64, BOUNDS),
        "half the threads": launch(3, 32, UNWRITTEN),
        "a thread too many": launch(3, 65, BOUNDS),
        "more than 1024 threads": launch(3, 1025, LAUNCH),
        "no block": launch(0, 64, LAUNCH),
        "no thread": launch(3, 0, LAUNCH),
    },
)


@cuda.jit
def sum_by_warps(x, out):
    sums = cuda.shared.array(4, int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    v = x[i] if i < x.size else int32(0)
    for shift in (16, 8, 4, 2, 1):
        v += cuda.shfl_down_sync(FULL, v, shift)
    if t % 32 == 0:
        sums[t // 32] = v
    cuda.syncthreads()
    if t < 4:
        v = sums[t]
        for shift in (2, 1):
            v += cuda.shfl_xor_sync(0xF, v, shift)
        if t == 0:
            out[cuda.blockIdx.x] = v


SUM_BY_WARPS = Case(
    sum_by_warps,
    launches=((2, 128),),
    arguments=lambda rng: (integers(rng, 150), np.zeros(2, np.int32)),
    expected=lambda x, out: per_block(x, 128).sum(1),
    faults={
        "no barrier between the warps": line("cuda.syncthreads()", "pass", *UNORDERED),
        "mask of half a warp": line("FULL, v, shift", "0xFFFF, v, shift", DIVERGENT),
        "shuffle of the lanes with data": line("v += cuda.shfl_down", "if i < x.size: v += cuda.shfl_down", DIVERGENT),
        "two lanes store": line("if t % 32 == 0", "if t % 32 < 2", RACE),
        "warp's place from the lane": line("sums[t // 32]", "sums[t % 32]", *UNORDERED),
        "five sums read": line("if t < 4", "if t < 5", BOUNDS),
        "shuffle from beyond the four": line("shfl_xor_sync(0xF", "shfl_down_sync(0xF", DIVERGENT),
        "shift wider than the four": line("(2, 1)", "(4, 2, 1)", DIVERGENT),
        "mask without the last of four": line("shfl_xor_sync(0xF", "shfl_xor_sync(0x7", DIVERGENT),
        "every one of the four stores": line("if t == 0:", "if True:", RACE),
        "a warp too few": launch(2, 96, UNWRITTEN),
        "a warp too many": launch(2, 160, BOUNDS),
    },
)


@cuda.jit
def scan(x, out):
    s = cuda.shared.array(64, int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    s[t] = x[i]
    cuda.syncthreads()  # loaded
    d = 1
    while d < 64:
        v = s[t - d] if t >= d else int32(0)
        cuda.syncthreads()  # read
        s[t] += v
        cuda.syncthreads()  # added
        d *= 2
    out[i] = s[t]


SCAN = Case(
    scan,
    launches=((2, 64),),
    arguments=lambda rng: (integers(rng, 128), np.zeros(128, np.int32)),
    expected=lambda x, out: x.reshape(2, 64).cumsum(1).ravel(),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after the reads": line("cuda.syncthreads()  # read", "pass", RACE),
        "no barrier after the additions": line("cuda.syncthreads()  # added", "pass", RACE),
        "fence taken for a barrier": line("cuda.syncthreads()  # read", "cuda.threadfence_block()", RACE),
        "warp barrier across two warps": line("cuda.syncthreads()  # added", "cuda.syncwarp()", RACE),
        "no guard of the first element": line("s[t - d] if t >= d else int32(0)", "s[t - d]", BOUNDS),
        "guard of the first element only": line("if t >= d", "if t >= 1", BOUNDS),
        "barrier of the adding threads": line("cuda.syncthreads()  # read", "if t >= d: cuda.syncthreads()", DIVERGENT),
        "element of the neighbour stored": line("out[i] = s[t]", "out[i] = s[t + 1]", BOUNDS),
        "block too wide": launch(1, 128, BOUNDS),
    },
)


@cuda.jit
def ping_pong_scan(x, out):
    s = cuda.shared.array((2, 64), int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    now = 0
    s[now, t] = x[i]
    cuda.syncthreads()  # loaded
    d = 1
    while d < 64:
        v = s[now, t]
        if t >= d:
            v += s[now, t - d]
        s[1 - now, t] = v
        now = 1 - now
        cuda.syncthreads()  # turned
        d *= 2
    out[i] = s[now, t]


PING_PONG_SCAN = Case(
    ping_pong_scan,
    launches=((2, 64),),
    arguments=lambda rng: (integers(rng, 128), np.zeros(128, np.int32)),
    expected=lambda x, out: x.reshape(2, 64).cumsum(1).ravel(),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after a turn": line("cuda.syncthreads()  # turned", "pass", *UNORDERED),
        "one buffer for both": line("s[1 - now, t] = v", "s[now, t] = v", RACE),
        "the other buffer is read": line("v += s[now, t - d]", "v += s[1 - now, t - d]", *UNORDERED),
        "a third buffer": line("s[1 - now, t] = v", "s[2 - now, t] = v", BOUNDS),
        "negative buffer": line("s[1 - now, t] = v", "s[now - 1, t] = v", BOUNDS),
        "axes exchanged": line("s[now, t] = x[i]", "s[t, now] = x[i]", BOUNDS),
        "buffers turned by one thread more": line("if t >= d:", "if t >= d - 1:", BOUNDS),
    },
)


@cuda.jit
def reverse(x, out):
    s = cuda.shared.array(64, float32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    s[t] = x[i]
    cuda.syncthreads()
    out[i] = s[63 - t]


REVERSE = Case(
    reverse,
    launches=((3, 64),),
    arguments=lambda rng: (floats(rng, 192), np.zeros(192, np.float32)),
    expected=lambda x, out: x.reshape(3, 64)[:, ::-1].ravel(),
    faults={
        "no barrier": line("cuda.syncthreads()", "pass", *UNORDERED),
        "fence for barrier": line("cuda.syncthreads()", "cuda.threadfence()", *UNORDERED),
        "vote for barrier": line("cuda.syncthreads()", "cuda.all_sync(FULL, True)", *UNORDERED),
        "stored once more after the barrier": line("out[i] = s[63 - t]", "s[t] = x[i]; out[i] = s[63 - t]", RACE),
        "barrier before the store": line(
            "s[t] = x[i]", "cuda.syncthreads(); s[t] = x[i]; out[i] = s[63 - t]", *UNORDERED
        ),
        "one beyond the end": line("s[63 - t]", "s[64 - t]", BOUNDS),
        "counted from the end as in Python": line("s[63 - t]", "s[-1 - t]", BOUNDS),
        "last element never stored": line("s[t] = x[i]", "if t < 63: s[t] = x[i]", UNWRITTEN),
        "every second element stored": line("s[t] = x[i]", "s[t // 2 * 2] = x[i]", RACE),
        "barrier of all but one": line("cuda.syncthreads()", "if t == 0: return\n    cuda.syncthreads()", DIVERGENT),
        "reversed over the grid": line("out[i] = s[63 - t]", "out[i] = s[x.size - 1 - i]", BOUNDS),
        "a thread too few": launch(3, 63, UNWRITTEN),
        "a block too many": launch(4, 64, BOUNDS),
    },
)


@cuda.jit
def histogram(x, out):
    bins = cuda.shared.array(16, int32)
    t = cuda.threadIdx.x
    if t < 16:
        bins[t] = 0
    cuda.syncthreads()  # cleared
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        cuda.atomic.add(bins, x[i], 1)
    cuda.syncthreads()  # counted
    if t < 16:
        cuda.atomic.add(out, t, bins[t])


HISTOGRAM = Case(
    histogram,
    launches=((3, 64), (1, 32)),
    arguments=lambda rng: (np.append(integers(rng, 298, low=0, high=16), np.int32([0, 15])), np.zeros(16, np.int32)),
    expected=lambda x, out: np.bincount(x, minlength=16),
    faults={
        "no barrier after clearing": line("cuda.syncthreads()  # cleared", "pass", *UNORDERED),
        "no barrier after counting": line("cuda.syncthreads()  # counted", "pass", RACE),
        "never cleared": line("bins[t] = 0", "pass", UNWRITTEN),
        "last bin not cleared": line("if t < 16:\n        bins", "if t < 15:\n        bins", UNWRITTEN),
        "one bin too many cleared": line("if t < 16:\n        bins", "if t <= 16:\n        bins", BOUNDS),
        "cleared by every warp": line("if t < 16:\n        bins[t] = 0", "bins[t % 16] = 0", RACE),
        "plain addition in the block": line("cuda.atomic.add(bins, x[i], 1)", "bins[x[i]] += 1", RACE),
        "plain addition of the blocks": line("cuda.atomic.add(out, t, bins[t])", "out[t] += bins[t]", RACE),
        "bins counted from one": line("x[i], 1)", "x[i] + 1, 1)", BOUNDS),
        "bins begin at minus one": line("x[i], 1)", "x[i] - 1, 1)", BOUNDS),
        "barrier inside the loop": line(
            "cuda.atomic.add(bins, x[i], 1)", "cuda.atomic.add(bins, x[i], 1); cuda.syncthreads()", DIVERGENT
        ),
        "range up to the next multiple": line("x.size, cuda", "x.size + 1, cuda", BOUNDS),
    },
)


@cuda.jit
def odd_even_sort(x, out):
    s = cuda.shared.array(32, int32)
    t = cuda.threadIdx.x
    s[t] = x[t]
    s[t + 16] = x[t + 16]
    cuda.syncthreads()  # loaded
    for phase in range(32):
        a = 2 * t + phase % 2
        if a + 1 < 32 and s[a] > s[a + 1]:
            s[a], s[a + 1] = s[a + 1], s[a]
        cuda.syncthreads()  # exchanged
    out[t] = s[t]
    out[t + 16] = s[t + 16]


ODD_EVEN_SORT = Case(
    odd_even_sort,
    launches=((1, 16),),
    arguments=lambda rng: (rng.permutation(32).astype(np.int32)[::-1], np.zeros(32, np.int32)),
    expected=lambda x, out: np.sort(x),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after an exchange": line("cuda.syncthreads()  # exchanged", "pass", RACE),
        "last pair without a partner": line("a + 1 < 32 and ", "", BOUNDS),
        "pairs that overlap": line("a = 2 * t + phase % 2", "a = t + phase % 2", RACE),
        "pairs one to the left": line("phase % 2", "phase % 2 - 1", BOUNDS),
        "second half never loaded": line("s[t + 16] = x[t + 16]", "pass", UNWRITTEN),
        "second half one to the right": line("s[t + 16] = x", "s[t + 17] = x", BOUNDS),
        "as many threads as keys": launch(1, 32, RACE, BOUNDS),
    },
)


@cuda.jit
def bitonic_sort(x, out):
    s = cuda.shared.array(64, float32)
    t = cuda.threadIdx.x
    s[t] = x[t]
    cuda.syncthreads()  # loaded
    k = 2
    while k <= 64:
        j = k // 2
        while j > 0:
            p = t ^ j
            if p > t:
                a = s[t]
                b = s[p]
                if (a > b) == (t & k == 0):
                    s[t] = b
                    s[p] = a
            cuda.syncthreads()  # exchanged
            j //= 2
        k *= 2
    out[t] = s[t]


BITONIC_SORT = Case(
    bitonic_sort,
    launches=((1, 64),),
    arguments=lambda rng: (rng.permutation(64).astype(np.float32), np.zeros(64, np.float32)),
    expected=lambda x, out: np.sort(x),
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after an exchange": line("cuda.syncthreads()  # exchanged", "pass", RACE),
        "warp barrier for strides beyond a warp": line("cuda.syncthreads()  # exchanged", "cuda.syncwarp()", RACE),
        "both partners exchange": line("if p > t:", "if p != t:", RACE),
        "barrier of the exchanging threads": line(
            " " * 12 + "cuda.syncthreads()  # e", " " * 16 + "cuda.syncthreads()  # e", RACE, DIVERGENT
        ),
        "stages beyond the block": line("while k <= 64", "while k <= 128", BOUNDS),
        "half a block": launch(1, 32, UNWRITTEN),
    },
)


@cuda.jit
def segmented_scan(x, starts, out):
    value = cuda.shared.array(64, int32)
    begun = cuda.shared.array(64, int32)
    t = cuda.threadIdx.x
    value[t] = x[t]
    begun[t] = starts[t]
    cuda.syncthreads()  # loaded
    d = 1
    while d < 64:
        v = value[t]
        f = begun[t]
        if t >= d and f == 0:
            v += value[t - d]
            f = begun[t - d]
        cuda.syncthreads()  # read
        value[t] = v
        begun[t] = f
        cuda.syncthreads()  # added
        d *= 2
    out[t] = value[t]


def restarted_sums(x, starts, out):
    total, sums = 0, []
    for v, start in zip(x, starts, strict=True):
        total = v if start else total + v
        sums.append(total)
    return np.array(sums)


SEGMENTED_SCAN = Case(
    segmented_scan,
    launches=((1, 64),),
    arguments=lambda rng: (
        integers(rng, 64),
        np.append(np.int32(0), integers(rng, 63, low=0, high=5) // 4),
        np.zeros(64, np.int32),
    ),
    expected=restarted_sums,
    faults={
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier after the reads": line("cuda.syncthreads()  # read", "pass", RACE),
        "no barrier after the stores": line("cuda.syncthreads()  # added", "pass", RACE),
        "flags never loaded": line("begun[t] = starts[t]", "pass", UNWRITTEN),
        "no guard of the first element": line("t >= d and f == 0", "f == 0", BOUNDS),
        "a flag's array of half the size": line("begun = cuda.shared.array(64", "begun = cuda.shared.array(32", BOUNDS),
        "barrier of the changed threads": line(
            "cuda.syncthreads()  # read", "if f == 0: cuda.syncthreads()", DIVERGENT, RACE
        ),
    },
)


@cuda.jit
def spread_labels(walls, out):
    label = cuda.shared.array(66, int32)
    t = cuda.threadIdx.x
    label[t + 1] = t + 1 if walls[t] == 0 else 0
    if t == 0:
        label[0] = 0
        label[65] = 0
    changed = 1
    while cuda.syncthreads_or(changed):
        mine = label[t + 1]
        best = max(mine, label[t], label[t + 2]) if mine > 0 else mine
        changed = 1 if best > mine else 0
        cuda.syncthreads()  # read
        label[t + 1] = best
    out[t] = label[t + 1]


def last_of_each_run(walls, out):
    labels = np.zeros(64, np.int32)
    for i in range(63, -1, -1):
        if not walls[i]:
            labels[i] = labels[i + 1] if i < 63 and not walls[i + 1] else i + 1
    return labels


SPREAD_LABELS = Case(
    spread_labels,
    launches=((1, 64),),
    arguments=lambda rng: (np.r_[0, 1, integers(rng, 61, low=0, high=8) // 7, 0], np.zeros(64, np.int32)),
    expected=last_of_each_run,
    faults={
        "no barrier after the reads": line("cuda.syncthreads()  # read", "pass", RACE),
        "each thread stops alone": line("while cuda.syncthreads_or(changed):", "while changed:", *UNORDERED),
        "each warp stops alone": line("cuda.syncthreads_or(changed)", "cuda.any_sync(FULL, changed)", *UNORDERED),
        "threads leave when their label stays": line(
            "cuda.syncthreads()  # read", "if not changed: break\n        cuda.syncthreads()", DIVERGENT
        ),
        "border never written": line("label[65] = 0", "pass", UNWRITTEN),
        "border on one side": line("array(66, ", "array(65, ", BOUNDS),
        "label from before the first": line("label[t], label[t + 2]", "label[t - 1], label[t + 2]", BOUNDS),
        "walls wait elsewhere": line(
            "mine = label[t + 1]",
            "mine = label[t + 1]\n        if mine == 0: cuda.syncthreads(); continue",
            DIVERGENT,
        ),
    },
)


@cuda.jit
def count_then_fill(x, out):
    begin = cuda.shared.array(2, int32)
    t = cuda.threadIdx.x
    if t == 0:
        begin[0] = 0
    negative = 1 if x[t] < 0 else 0
    n = cuda.syncthreads_count(negative)
    if t == 0:
        begin[1] = n
    cuda.syncthreads()  # counted
    side = 0 if negative else 1
    place = cuda.atomic.add(begin, side, 1)
    out[place] = x[t]


COUNT_THEN_FILL = Case(
    count_then_fill,
    launches=((1, 96),),
    arguments=lambda rng: (np.append(integers(rng, 94), np.int32([-1, 1])), np.zeros(96, np.int32)),
    expected=lambda x, out: np.sort(x),
    arranged=np.sort,
    faults={
        "no barrier after the count": line("cuda.syncthreads()  # counted", "pass", *UNORDERED),
        "place without an atomic": line(
            "place = cuda.atomic.add(begin, side, 1)", "place = begin[side]; begin[side] += 1", RACE
        ),
        "count of the negative threads": line(
            "n = cuda.syncthreads_count(negative)", "n = cuda.syncthreads_count(1) if negative else 0", DIVERGENT
        ),
        "different barriers for the signs": line(
            "n = cuda.syncthreads_count(negative)",
            "n = cuda.syncthreads_count(1) if negative else cuda.syncthreads_count(0)",
            DIVERGENT,
        ),
        "second place never set": line("begin[1] = n", "pass", UNWRITTEN),
        "a third side": line("else 1", "else 2", BOUNDS),
        "both begin in one place": line("place = cuda.atomic.add(begin, side, 1)", "place = begin[side]", RACE),
        "one thread more": launch(1, 97, BOUNDS),
    },
)


@cuda.jit
def jobs(x, taken, out):
    job = cuda.shared.array(1, int32)
    t = cuda.threadIdx.x
    while True:
        if t == 0:
            job[0] = cuda.atomic.add(taken, 0, 1)
        cuda.syncthreads()  # fetched
        j = job[0]
        cuda.syncthreads()  # known
        if j >= x.shape[0]:
            break
        out[j, t] = 2 * x[j, t]


JOBS = Case(
    jobs,
    launches=((3, 64), (1, 64)),
    arguments=lambda rng: (integers(rng, 7, 64), np.zeros(1, np.int32), np.zeros((7, 64), np.int32)),
    expected=lambda x, taken, out: 2 * x,
    faults={
        "no barrier after the fetch": line("cuda.syncthreads()  # fetched", "pass", *UNORDERED),
        "no barrier before the next fetch": line("cuda.syncthreads()  # known", "pass", RACE),
        "jobs taken without an atomic": line(
            "job[0] = cuda.atomic.add(taken, 0, 1)", "job[0] = taken[0]; taken[0] += 1", RACE
        ),
        "the first thread leaves alone": line(
            "job[0] = cuda.atomic.add(taken, 0, 1)",
            "job[0] = cuda.atomic.add(taken, 0, 1)\n            if job[0] >= x.shape[0]: break",
            DIVERGENT,
        ),
        "one job too many": line("j >= x.shape[0]", "j > x.shape[0]", BOUNDS),
        "every thread fetches": line("if t == 0:", "if True:", RACE),
        "all jobs in one row": line("out[j, t] = 2 * x[j, t]", "out[j, 0] = 2 * x[j, t]", RACE),
    },
)

CASES = [
    TREE_SUM,
    SUM_BY_WARPS,
    SCAN,
    PING_PONG_SCAN,
    REVERSE,
    HISTOGRAM,
    ODD_EVEN_SORT,
    BITONIC_SORT,
    SEGMENTED_SCAN,
    SPREAD_LABELS,
    COUNT_THEN_FILL,
    JOBS,
]

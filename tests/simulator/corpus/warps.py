"""Lanes of one warp: shuffles, votes, matches, and memory that only a warp shares."""

import numpy as np
from numba import cuda, float32, int32

from tests.simulator.corpus.case import (
    BOUNDS,
    DIVERGENT,
    FULL,
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
def butterfly(x, out):
    v = x[cuda.grid(1)]
    for k in (16, 8, 4, 2, 1):
        v += cuda.shfl_xor_sync(FULL, v, k)
    out[cuda.grid(1)] = v


BUTTERFLY = Case(
    butterfly,
    launches=((2, 64), (4, 32)),
    arguments=lambda rng: (floats(rng, 128), np.zeros(128, np.float32)),
    expected=lambda x, out: x.reshape(-1, 32).sum(1).repeat(32),
    faults={
        "mask without the last lane": line("FULL, v, k", "0x7FFFFFFF, v, k", DIVERGENT),
        "mask without the first lane": line("FULL, v, k", "0xFFFFFFFE, v, k", DIVERGENT),
        "mask of the own lane": line("FULL, v, k", "1 << cuda.laneid, v, k", DIVERGENT),
        "mask of one half with the other's lanes read": line(
            "FULL, v, k", "0xFFFF << (cuda.laneid & 16), v, k", DIVERGENT
        ),
        "half the lanes shuffle": line("v += cuda", "if cuda.laneid < 16: v += cuda", DIVERGENT),
        "one lane returns": line(
            "v = x[cuda.grid(1)]", "v = x[cuda.grid(1)]\n    if cuda.laneid == 31: return", DIVERGENT
        ),
        "even lanes stop one step early": line("v += cuda", "if k > cuda.laneid % 2: v += cuda", DIVERGENT),
        "every lane to the first place": line("out[cuda.grid(1)] = v", "out[cuda.grid(1) // 32] = v", RACE),
        "a warp too many": launch(5, 32, BOUNDS),
        "part of a warp": launch(1, 24, DIVERGENT),
    },
)


@cuda.jit
def sum_of_eights(x, out):
    lane = cuda.laneid
    i = cuda.grid(1)
    if i < x.size:
        mask = 0xFF << (lane & 24)
        v = x[i]
        for k in (4, 2, 1):
            v += cuda.shfl_xor_sync(mask, v, k)
        if lane % 8 == 0:
            out[i // 8] = v
    cuda.syncthreads()


SUM_OF_EIGHTS = Case(
    sum_of_eights,
    launches=((2, 64),),
    arguments=lambda rng: (integers(rng, 88), np.zeros(11, np.int32)),
    expected=lambda x, out: x.reshape(-1, 8).sum(1),
    faults={
        "full mask in a branch": line("mask = 0xFF << (lane & 24)", "mask = FULL", DIVERGENT),
        "mask of the first eight": line("mask = 0xFF << (lane & 24)", "mask = 0xFF", DIVERGENT),
        "masks that overlap": line("lane & 24", "lane & 28", DIVERGENT),
        "mask of four": line("0xFF <<", "0xF <<", DIVERGENT),
        "mask moved by the group's number": line("lane & 24", "lane // 8", DIVERGENT),
        "sixteen summed with a mask of eight": line("(4, 2, 1)", "(8, 4, 2, 1)", DIVERGENT),
        "shuffle down beyond the group": line("shfl_xor_sync", "shfl_down_sync", DIVERGENT),
        "source counted in the group": line(
            "cuda.shfl_xor_sync(mask, v, k)", "cuda.shfl_sync(mask, v, lane % 8 ^ k)", DIVERGENT
        ),
        "two lanes store": line("if lane % 8 == 0", "if lane % 8 < 2", RACE),
        "stored by lane": line("out[i // 8]", "out[lane]", BOUNDS),
        "guard in the middle of a group": line("i < x.size", "i < x.size - 3", DIVERGENT),
        "no guard": line("if i < x.size:", "if True:", BOUNDS),
    },
)


@cuda.jit
def warp_scan(x, out):
    lane = cuda.laneid
    v = x[cuda.grid(1)]
    for d in (1, 2, 4, 8, 16):
        u = cuda.shfl_up_sync(FULL, v, d)
        if lane >= d:
            v += u
    out[cuda.grid(1)] = v


WARP_SCAN = Case(
    warp_scan,
    launches=((2, 64),),
    arguments=lambda rng: (integers(rng, 128), np.zeros(128, np.int32)),
    expected=lambda x, out: x.reshape(-1, 32).cumsum(1).ravel(),
    faults={
        "shuffle of the adding lanes": line(
            "u = cuda.shfl_up_sync(FULL, v, d)", "u = cuda.shfl_up_sync(FULL, v, d) if lane >= d else v", DIVERGENT
        ),
        "mask of the adding lanes": line(
            "shfl_up_sync(FULL, v, d)", "shfl_up_sync((FULL << d) & FULL, v, d)", DIVERGENT
        ),
        "early lanes leave": line("if lane >= d:\n", "if lane < d:\n            break\n        if True:\n", DIVERGENT),
        "one shuffle for each half": line(
            "u = cuda.shfl_up_sync(FULL, v, d)",
            "u = cuda.shfl_up_sync(0xFFFF, v, d) if lane < 16 else cuda.shfl_up_sync(0xFFFF0000, v, d)",
            DIVERGENT,
        ),
        "other kinds of shuffle": line(
            "u = cuda.shfl_up_sync(FULL, v, d)",
            "u = cuda.shfl_up_sync(FULL, v, d) if lane >= d else cuda.shfl_sync(FULL, v, 0)",
            DIVERGENT,
        ),
        "next one's place": line("out[cuda.grid(1)] = v", "out[cuda.grid(1) + 1] = v", BOUNDS),
        "place of the lane": line("out[cuda.grid(1)] = v", "out[lane] = v", RACE),
    },
)


@cuda.jit
def compact(x, count, out):
    i = cuda.grid(1)
    keep = i < x.size and x[i] > 0
    votes = cuda.ballot_sync(FULL, keep)
    start = int32(0)
    if cuda.laneid == 0:
        start = cuda.atomic.add(count, 0, cuda.popc(votes))
    start = cuda.shfl_sync(FULL, start, 0)
    if keep:
        out[start + cuda.popc(votes & cuda.lanemask_lt())] = x[i]
    cuda.syncthreads()


def positive(x, count, out):
    kept = x[x > 0]
    return np.append(kept, np.zeros(out.size - kept.size, np.int32))


COMPACT = Case(
    compact,
    launches=((3, 64),),
    arguments=lambda rng: (
        np.append(1 - (np.arange(32) % 2), integers(rng, 113)).astype(np.int32),
        np.zeros(1, np.int32),
        np.zeros(145, np.int32),
    ),
    expected=positive,
    arranged=np.sort,
    faults={
        "no tail guard": line("i < x.size and x[i] > 0", "x[i] > 0", BOUNDS),
        "tail guard one too far": line("i < x.size", "i <= x.size", BOUNDS),
        "vote of the lanes that keep": line(
            "votes = cuda.ballot_sync(FULL, keep)", "votes = cuda.ballot_sync(FULL, keep) if keep else 0", DIVERGENT
        ),
        "start passed to the lanes that keep": line(
            "start = cuda.shfl_sync(FULL, start, 0)", "if keep: start = cuda.shfl_sync(FULL, start, 0)", DIVERGENT
        ),
        "start from a lane outside the mask": line(
            "cuda.shfl_sync(FULL, start, 0)", "cuda.shfl_sync(votes, start, 1) if keep else start", DIVERGENT
        ),
        "counter without an atomic": line(
            "start = cuda.atomic.add(count, 0, cuda.popc(votes))",
            "start = count[0]; count[0] += cuda.popc(votes)",
            RACE,
        ),
        "every lane adds": line("if cuda.laneid == 0:", "if True:", BOUNDS),
        "no rank in the warp": line("cuda.popc(votes & cuda.lanemask_lt())", "0", RACE),
        "rank among all lanes but the last": line("votes & cuda.lanemask_lt()", "votes & 0x7FFFFFFF", RACE),
        "counter counts warps": line("cuda.popc(votes))\n", "1)\n", RACE),
        "one place too early": line("out[start + ", "out[start - 1 + ", BOUNDS),
        "lanes leave before the vote": line("votes = ", "if not keep: return\n    votes = ", DIVERGENT),
    },
)


@cuda.jit
def count_keys(x, out):
    bins = cuda.shared.array(8, int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    if t < 8:
        bins[t] = 0
    cuda.syncthreads()  # cleared
    there = cuda.ballot_sync(FULL, i < x.size)
    if i < x.size:
        peers = cuda.match_any_sync(there, x[i])
        if cuda.laneid == cuda.ffs(peers) - 1:
            cuda.atomic.add(bins, x[i], cuda.popc(peers))
    cuda.syncthreads()  # counted
    if t < 8:
        cuda.atomic.add(out, t, bins[t])


COUNT_KEYS = Case(
    count_keys,
    launches=((2, 64),),
    arguments=lambda rng: (np.append(integers(rng, 108, low=0, high=8), np.int32([0, 7])), np.zeros(8, np.int32)),
    expected=lambda x, out: np.bincount(x, minlength=8),
    faults={
        "full mask in the tail": line("match_any_sync(there", "match_any_sync(FULL", DIVERGENT),
        "mask of a half": line("match_any_sync(there", "match_any_sync(0xFFFF", DIVERGENT),
        "vote without the tail": line(
            "there = cuda.ballot_sync(FULL, i < x.size)",
            "there = cuda.ballot_sync(FULL, i < x.size) if i < x.size else 0",
            DIVERGENT,
        ),
        "vote of other lanes": line("FULL, i < x.size)", "FULL, i < x.size - 1)", DIVERGENT),
        "plain addition of the leaders": line(
            "cuda.atomic.add(bins, x[i], cuda.popc(peers))", "bins[x[i]] += cuda.popc(peers)", RACE
        ),
        "leader stores the count": line(
            "cuda.atomic.add(bins, x[i], cuda.popc(peers))", "bins[x[i]] = cuda.popc(peers)", RACE
        ),
        "bins of lanes": line("bins, x[i], cuda", "bins, cuda.laneid + 7, cuda", BOUNDS),
        "no barrier before the sums": line("cuda.syncthreads()  # counted", "pass", RACE),
        "no barrier after clearing": line("cuda.syncthreads()  # cleared", "pass", *UNORDERED),
        "no tail guard": line("    if i < x.size:", "    if True:", BOUNDS),
        "plain addition of the blocks": line("cuda.atomic.add(out, t, bins[t])", "out[t] += bins[t]", RACE),
        "eight threads forgotten": line("if t < 8:\n        bins", "if t < 7:\n        bins", UNWRITTEN),
    },
)


@cuda.jit
def add_together(x, out):
    i = cuda.grid(1)
    if x[i] % 3 == 0:
        mask = cuda.activemask()
        leader = cuda.ffs(mask) - 1
        place = int32(0)
        if cuda.laneid == leader:
            place = cuda.atomic.add(out, out.size - 1, cuda.popc(mask))
        place = cuda.shfl_sync(mask, place, leader)
        out[place + cuda.popc(mask & cuda.lanemask_lt())] = x[i]
    cuda.syncthreads()


def multiples_of_three(x, out):
    kept = x[x % 3 == 0]
    return np.concatenate([kept, np.zeros(out.size - 1 - kept.size, np.int32), [kept.size]])


ADD_TOGETHER = Case(
    add_together,
    launches=((2, 64),),
    arguments=lambda rng: (np.r_[1, 3, 6, integers(rng, 125)].astype(np.int32), np.zeros(129, np.int32)),
    expected=multiples_of_three,
    arranged=lambda out: np.append(np.sort(out[:-1]), out[-1]),
    faults={
        "full mask in a branch": line("mask = cuda.activemask()", "mask = FULL", DIVERGENT),
        "mask of the other branch": line("mask = cuda.activemask()", "mask = ~cuda.activemask()", DIVERGENT),
        "leader is always lane 0": line(
            "cuda.shfl_sync(mask, place, leader)", "cuda.shfl_sync(mask, place, 0)", DIVERGENT
        ),
        "leader counted from one": line("leader = cuda.ffs(mask) - 1", "leader = 0", DIVERGENT),
        "no rank": line("cuda.popc(mask & cuda.lanemask_lt())", "0", RACE),
        "plain counter": line(
            "place = cuda.atomic.add(out, out.size - 1, cuda.popc(mask))",
            "place = out[out.size - 1]; out[out.size - 1] += cuda.popc(mask)",
            RACE,
        ),
        "counter one further": line("out.size - 1", "out.size", BOUNDS),
        "counter at minus one": line("out.size - 1", "-1", BOUNDS),
        "only the leader shuffles": line(
            "        place = cuda.shfl_sync", "            place = cuda.shfl_sync", DIVERGENT, RACE
        ),
    },
)


@cuda.jit
def turn_in_warp(x, out):
    s = cuda.shared.array((2, 32), float32)
    w = cuda.threadIdx.x // 32
    lane = cuda.laneid
    for r in range(x.shape[0]):
        s[w, lane] = x[r, cuda.grid(1)]
        cuda.syncwarp()  # stored
        out[r, cuda.grid(1)] = s[w, 31 - lane]
        cuda.syncwarp()  # read


TURN_IN_WARP = Case(
    turn_in_warp,
    launches=((2, 64),),
    arguments=lambda rng: (floats(rng, 3, 128), np.zeros((3, 128), np.float32)),
    expected=lambda x, out: x.reshape(3, 4, 32)[:, :, ::-1].reshape(3, 128),
    faults={
        "no syncwarp after the store": line("cuda.syncwarp()  # stored", "pass", *UNORDERED),
        "no syncwarp after the read": line("cuda.syncwarp()  # read", "pass", RACE),
        "a shuffle orders no memory": line("cuda.syncwarp()  # stored", "cuda.shfl_sync(FULL, w, 0)", *UNORDERED),
        "a vote orders no memory": line("cuda.syncwarp()  # read", "cuda.any_sync(FULL, True)", RACE),
        "a fence is no barrier": line("cuda.syncwarp()  # stored", "cuda.threadfence_block()", *UNORDERED),
        "mask without the first lane": line("cuda.syncwarp()  # stored", "cuda.syncwarp(0xFFFFFFFE)", DIVERGENT),
        "halves synchronised alone": line(
            "cuda.syncwarp()  # stored", "cuda.syncwarp(0xFFFF << (lane & 16))", *UNORDERED
        ),
        "the warps share one row": line("s[w, lane] = x", "s[0, lane] = x", RACE),
        "row of another warp": line("s[w, 31 - lane]", "s[1 - w, 31 - lane]", *UNORDERED),
        "one beyond the row": line("31 - lane", "32 - lane", BOUNDS),
        "from the end as in Python": line("31 - lane", "~lane", BOUNDS),
        "two lanes store in one place": line("s[w, lane] = x", "s[w, min(lane, 30)] = x", RACE),
        "lane leaves the loop": line(
            "cuda.syncwarp()  # stored", "if r == 1 and lane == 7: break\n        cuda.syncwarp()", DIVERGENT, RACE
        ),
        "three warps": launch(1, 96, BOUNDS),
    },
)


@cuda.jit
def uniform_warps(x, out):
    t = cuda.threadIdx.x
    _, same = cuda.match_all_sync(FULL, x[t])
    if cuda.all_sync(FULL, x[t] > 0):
        state = int32(2)
    elif cuda.any_sync(FULL, x[t] > 0):
        state = int32(1)
    else:
        state = int32(0)
    if cuda.laneid == 0:
        out[t // 32] = state + 10 * same
    cuda.syncthreads()


def states(x, out):
    rows = x.reshape(-1, 32)
    return (rows > 0).all(1).astype(int) + (rows > 0).any(1) + 10 * (rows == rows[:, :1]).all(1)


UNIFORM_WARPS = Case(
    uniform_warps,
    launches=((1, 128),),
    arguments=lambda rng: (
        np.r_[np.full(32, 3), np.full(32, -2), integers(rng, 64)].astype(np.int32),
        np.zeros(4, np.int32),
    ),
    expected=states,
    faults={
        "match of half the lanes": line(
            "_, same = cuda.match_all_sync(FULL, x[t])",
            "_, same = cuda.match_all_sync(FULL, x[t]) if cuda.laneid < 16 else (0, False)",
            DIVERGENT,
        ),
        "match with a narrow mask": line("match_all_sync(FULL", "match_all_sync(0xFFFF", DIVERGENT),
        "vote by lane": line(
            "if cuda.all_sync(FULL, x[t] > 0):", "if x[t] > 0 and cuda.all_sync(FULL, True):", DIVERGENT
        ),
        "any in a divergent branch": line(
            "elif cuda.any_sync(FULL, x[t] > 0)", "elif x[t] > 0 and cuda.any_sync(FULL, True)", DIVERGENT
        ),
        "mask of the positive": line(
            "cuda.all_sync(FULL, x[t] > 0)", "cuda.all_sync(cuda.ballot_sync(FULL, x[t] > 0), True)", DIVERGENT
        ),
        "every lane stores": line("if cuda.laneid == 0:", "if True:", RACE),
        "stored by thread": line("out[t // 32]", "out[t]", BOUNDS),
        "block barrier of the uniform": line("    cuda.syncthreads()", "    if same: cuda.syncthreads()", DIVERGENT),
        "five warps": launch(1, 160, BOUNDS),
    },
)

CASES = [
    BUTTERFLY,
    SUM_OF_EIGHTS,
    WARP_SCAN,
    COMPACT,
    COUNT_KEYS,
    ADD_TOGETHER,
    TURN_IN_WARP,
    UNIFORM_WARPS,
]

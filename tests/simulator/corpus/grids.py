"""Blocks that work together through global memory: fences, flags, locks, tickets, and barriers of the grid."""

import numpy as np
from numba import cuda, float32, int32

from tests.simulator.corpus.case import (
    BOUNDS,
    DEADLOCK,
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

#: Faults that the order of the blocks hides show with one of these.
DRAWN = tuple(range(1, 13))


@cuda.jit
def last_block_sum(x, part, ticket, out):
    s = cuda.shared.array(32, float32)
    last = cuda.shared.array(1, int32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    s[t] = x[i] if i < x.size else float32(0)
    cuda.syncthreads()  # loaded
    if t == 0:
        total = float32(0)
        for k in range(32):
            total += s[k]
        part[cuda.blockIdx.x] = total
        cuda.threadfence()  # released
        last[0] = cuda.atomic.add(ticket, 0, 1) == cuda.gridDim.x - 1
        cuda.threadfence()  # acquired
    cuda.syncthreads()  # known
    if last[0] != 0 and t == 0:
        total = float32(0)
        for b in range(cuda.gridDim.x):
            total += part[b]
        out[0] = total


LAST_BLOCK_SUM = Case(
    last_block_sum,
    launches=((5, 32),),
    arguments=lambda rng: (floats(rng, 150), np.zeros(5, np.float32), np.zeros(1, np.int32), np.zeros(1, np.float32)),
    expected=lambda x, part, ticket, out: np.array([x.sum()]),
    faults={
        "no fence before the ticket": line("cuda.threadfence()  # released", "pass", RACE),
        "no fence after the ticket": line("cuda.threadfence()  # acquired", "pass", RACE),
        "partial sum after the fence": line(
            "cuda.threadfence()  # released", "cuda.threadfence(); part[cuda.blockIdx.x] = total", RACE
        ),
        "ticket without an atomic": line(
            "last[0] = cuda.atomic.add(ticket, 0, 1) ==", "ticket[0] += 1; last[0] = ticket[0] - 1 ==", RACE
        ),
        "the second to last begins": line("== cuda.gridDim.x - 1", ">= cuda.gridDim.x - 2", RACE),
        "every block believes to be last": line("== cuda.gridDim.x - 1", ">= 0", RACE),
        "the highest block is taken for the last": line(
            "last[0] = cuda.atomic.add(ticket, 0, 1) ==", "last[0] = cuda.blockIdx.x ==", RACE
        ),
        "no barrier before the flag is read": line("cuda.syncthreads()  # known", "pass", *UNORDERED),
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "flag written by the last only": line(
            "last[0] = cuda.atomic.add(ticket, 0, 1) == cuda.gridDim.x - 1",
            "if cuda.atomic.add(ticket, 0, 1) == cuda.gridDim.x - 1: last[0] = 1",
            UNWRITTEN,
        ),
        "every thread adds up": line("if last[0] != 0 and t == 0:", "if last[0] != 0:", RACE),
        "partial sums counted from one": line("part[cuda.blockIdx.x]", "part[cuda.blockIdx.x + 1]", BOUNDS),
        "partial sums of one cell": line("part[cuda.blockIdx.x]", "part[0]", RACE),
        "one partial sum too many": line("range(cuda.gridDim.x)", "range(cuda.gridDim.x + 1)", BOUNDS),
        "barrier for the last block's first thread": line(
            "    cuda.syncthreads()  # known", "        cuda.syncthreads()", DIVERGENT, *UNORDERED
        ),
    },
)


@cuda.jit
def look_back_scan(x, ticket, status, total, prefix, out):
    s = cuda.shared.array(32, int32)
    mine = cuda.shared.array(2, int32)
    t = cuda.threadIdx.x
    if t == 0:
        mine[0] = cuda.atomic.add(ticket, 0, 1)
    cuda.syncthreads()  # numbered
    b = mine[0]
    s[t] = x[32 * b + t]
    cuda.syncthreads()  # loaded
    if t == 0:
        for k in range(1, 32):
            s[k] += s[k - 1]
        total[b] = s[31]
        cuda.threadfence()  # total released
        cuda.atomic.exch(status, b, 1)
        before = int32(0)
        j = b - 1
        while j >= 0:
            state = cuda.atomic.add(status, j, 0)
            cuda.threadfence()  # acquired
            if state == 2:
                before += prefix[j]
                j = -1
            elif state == 1:
                before += total[j]
                j -= 1
        prefix[b] = before + s[31]
        cuda.threadfence()  # prefix released
        cuda.atomic.exch(status, b, 2)
        mine[1] = before
    cuda.syncthreads()  # known
    out[32 * b + t] = s[t] + mine[1]


LOOK_BACK_SCAN = Case(
    look_back_scan,
    launches=((8, 32),),
    arguments=lambda rng: (integers(rng, 256), *(np.zeros(n, np.int32) for n in (1, 8, 8, 8, 256))),
    expected=lambda x, *rest: x.cumsum(),
    options={"resident": 2},
    faults={
        "block number for a ticket": line(
            "mine[0] = cuda.atomic.add(ticket, 0, 1)", "mine[0] = cuda.blockIdx.x", DEADLOCK, seeds=DRAWN
        ),
        "blocks counted backwards": line(
            "mine[0] = cuda.atomic.add(ticket, 0, 1)", "mine[0] = cuda.gridDim.x - 1 - cuda.blockIdx.x", DEADLOCK
        ),
        "ticket without an atomic": line(
            "mine[0] = cuda.atomic.add(ticket, 0, 1)", "mine[0] = ticket[0]; ticket[0] += 1", RACE
        ),
        "total not released": line("cuda.threadfence()  # total released", "pass", RACE, seeds=(0, *DRAWN)),
        "prefix not released": line("cuda.threadfence()  # prefix released", "pass", RACE),
        "status not acquired": line("cuda.threadfence()  # acquired", "pass", RACE),
        "status before the prefix": line(
            "prefix[b] = before + s[31]",
            "cuda.atomic.exch(status, b, 2); prefix[b] = before + s[31]",
            RACE,
            seeds=(0, *DRAWN),
        ),
        "status stored plainly": line("cuda.atomic.exch(status, b, 2)", "status[b] = 2", RACE),
        "status read plainly": line("state = cuda.atomic.add(status, j, 0)", "state = status[j]", RACE),
        "status of the block before": line(
            "cuda.atomic.exch(status, b, 1)", "if b > 0: cuda.atomic.exch(status, b - 1, 1)", RACE, seeds=(0, *DRAWN)
        ),
        "block zero looks back": line("while j >= 0:", "while j >= -1:", BOUNDS),
        "tickets from one": line("cuda.atomic.add(ticket, 0, 1)", "cuda.atomic.add(ticket, 0, 1) + 1", DEADLOCK),
        "no barrier after the number": line("cuda.syncthreads()  # numbered", "pass", *UNORDERED),
        "no barrier after the load": line("cuda.syncthreads()  # loaded", "pass", *UNORDERED),
        "no barrier before the prefix is used": line("cuda.syncthreads()  # known", "pass", *UNORDERED),
        "prefix of the first block never set": line("mine[1] = before", "if b > 0: mine[1] = before", UNWRITTEN),
        "a block more than data": launch(9, 32, BOUNDS),
    },
)


@cuda.jit
def sum_under_lock(x, lock, out):
    s = cuda.shared.array(32, int32)
    t = cuda.threadIdx.x
    s[t] = x[cuda.grid(1)]
    cuda.syncthreads()
    if t == 0:
        while cuda.atomic.cas(lock, 0, 0, 1) != 0:
            pass
        cuda.threadfence()  # acquired
        for k in range(32):
            out[0] += s[k]
        cuda.threadfence()  # released
        cuda.atomic.exch(lock, 0, 0)


SUM_UNDER_LOCK = Case(
    sum_under_lock,
    launches=((4, 32),),
    arguments=lambda rng: (integers(rng, 128), np.zeros(1, np.int32), np.zeros(1, np.int32)),
    expected=lambda x, lock, out: np.array([x.sum()]),
    faults={
        "no fence after locking": line("cuda.threadfence()  # acquired", "pass", RACE),
        "no fence before unlocking": line("cuda.threadfence()  # released", "pass", RACE),
        "no lock": line("while cuda.atomic.cas(lock, 0, 0, 1) != 0:", "while False:", RACE),
        "lock taken in two steps": line(
            "while cuda.atomic.cas(lock, 0, 0, 1) != 0:\n            pass",
            "while lock[0] != 0:\n            pass\n        lock[0] = 1",
            RACE,
        ),
        "unlocked by a plain store": line("cuda.atomic.exch(lock, 0, 0)", "lock[0] = 0", RACE),
        "never unlocked": line("cuda.atomic.exch(lock, 0, 0)", "pass", DEADLOCK),
        "locked again": line("cuda.atomic.exch(lock, 0, 0)", "cuda.atomic.exch(lock, 0, 1)", DEADLOCK),
        "locked twice": line(
            "cuda.threadfence()  # acquired", "while cuda.atomic.cas(lock, 0, 0, 1) != 0: pass", DEADLOCK
        ),
        "goes on when the lock is taken": line(
            "cuda.atomic.cas(lock, 0, 0, 1) != 0", "cuda.atomic.cas(lock, 0, 0, 1) > 1", RACE, seeds=DRAWN
        ),
        "unlocks before it adds": line(
            "cuda.threadfence()  # acquired", "cuda.threadfence(); cuda.atomic.exch(lock, 0, 0)", RACE, seeds=DRAWN
        ),
        "unlocks another lock": line("cuda.atomic.exch(lock, 0, 0)", "cuda.atomic.exch(lock, 1, 0)", BOUNDS),
        "a lock for each block": line(
            "cuda.atomic.cas(lock, 0, 0, 1) != 0", "cuda.atomic.cas(s, 0, s[0], 1) == 99", RACE
        ),
        "no barrier after the load": line("cuda.syncthreads()", "pass", *UNORDERED),
        "barrier under the lock": line(
            "cuda.threadfence()  # released", "cuda.threadfence(); cuda.syncthreads()", DIVERGENT
        ),
    },
)


@cuda.jit
def relax(u, v, out):
    grid = cuda.cg.this_grid()
    i = cuda.grid(1)
    for _ in range(3):
        left = u[i - 1] if i > 0 else float32(0)
        right = u[i + 1] if i + 1 < u.size else float32(0)
        v[i] = (left + right) / 2
        grid.sync()  # computed
        u[i] = v[i]
        grid.sync()  # copied
    out[i] = u[i]


def relaxed(u, v, out):
    for _ in range(3):
        p = np.pad(u, 1)
        u = (p[:-2] + p[2:]) / 2
    return u


RELAX = Case(
    relax,
    launches=((4, 32),),
    arguments=lambda rng: (floats(rng, 128), np.zeros(128, np.float32), np.zeros(128, np.float32)),
    expected=relaxed,
    faults={
        "no barrier after the values": line("grid.sync()  # computed", "pass", RACE),
        "no barrier after the copy": line("grid.sync()  # copied", "pass", RACE),
        "barrier of the block for the grid's": line("grid.sync()  # computed", "cuda.syncthreads()", RACE),
        "fence for a barrier": line("grid.sync()  # copied", "cuda.threadfence()", RACE),
        "in place": line("v[i] = (left", "u[i] = (left", RACE),
        "synchronised by the first thread": line(
            "grid.sync()  # computed", "if cuda.threadIdx.x == 0: grid.sync()", RACE, DIVERGENT
        ),
        "a block returns early": line(
            "i = cuda.grid(1)", "i = cuda.grid(1)\n    if cuda.blockIdx.x == 3: return", DIVERGENT, DEADLOCK
        ),
        "a thread returns early": line(
            "i = cuda.grid(1)", "i = cuda.grid(1)\n    if i == u.size - 1: return", DIVERGENT, DEADLOCK
        ),
        "one block stops a step early": line("range(3)", "range(3 if cuda.blockIdx.x > 0 else 2)", DIVERGENT, DEADLOCK),
        "no guard on the left": line("u[i - 1] if i > 0 else float32(0)", "u[i - 1]", BOUNDS),
        "no guard on the right": line("u[i + 1] if i + 1 < u.size else float32(0)", "u[i + 1]", BOUNDS),
        "more blocks than fit": launch(17, 32, DEADLOCK, LAUNCH, BOUNDS),
    },
)


@cuda.jit
def pass_on(x, flags, cells, out):
    t = cuda.threadIdx.x
    b = cuda.blockIdx.x
    if b > 0:
        if t == 0:
            while cuda.atomic.add(flags, b - 1, 0) == 0:
                cuda.nanosleep(100)
            cuda.threadfence()  # acquired
        cuda.syncthreads()  # ready
        x[b, t] += cells[b - 1, t]
    if b + 1 < cuda.gridDim.x:
        cells[b, t] = x[b, t]
        cuda.syncthreads()  # stored
        if t == 0:
            cuda.threadfence()  # released
            cuda.atomic.exch(flags, b, 1)
    out[b, t] = x[b, t]


PASS_ON = Case(
    pass_on,
    launches=((4, 32),),
    arguments=lambda rng: (
        integers(rng, 4, 32),
        np.zeros(3, np.int32),
        np.zeros((3, 32), np.int32),
        np.zeros((4, 32), np.int32),
    ),
    expected=lambda x, flags, cells, out: x.cumsum(0),
    faults={
        "no wait": line("while cuda.atomic.add(flags, b - 1, 0) == 0:", "while False:", RACE),
        "waits for the flag to fall": line("flags, b - 1, 0) == 0:", "flags, b - 1, 0) == 1:", DEADLOCK, RACE),
        "waits for its own flag": line("flags, b - 1, 0) == 0:", "flags, min(b, 2), 0) == 0:", DEADLOCK),
        "flag of block zero's predecessor": line("    if b > 0:", "    if True:", BOUNDS),
        "not acquired": line("cuda.threadfence()  # acquired", "pass", RACE),
        "not released": line("cuda.threadfence()  # released", "pass", RACE),
        "flag raised before the cells": line(
            "cells[b, t] = x[b, t]",
            "if t == 0: cuda.threadfence(); cuda.atomic.exch(flags, b, 1)\n        cells[b, t] = x[b, t]",
            RACE,
            seeds=(0, *DRAWN),
        ),
        "the other threads go on": line("cuda.syncthreads()  # ready", "pass", RACE),
        "the other threads' cells": line("cuda.syncthreads()  # stored", "pass", RACE),
        "flag raised plainly": line("cuda.atomic.exch(flags, b, 1)", "flags[b] = 1", RACE),
        "flag never raised": line("cuda.atomic.exch(flags, b, 1)", "pass", DEADLOCK),
        "the wrong flag": line("cuda.atomic.exch(flags, b, 1)", "cuda.atomic.exch(flags, 0, 1)", DEADLOCK),
        "flag of the block after": line(
            "cuda.atomic.exch(flags, b, 1)", "cuda.atomic.exch(flags, b + 1, 1)", DEADLOCK, BOUNDS
        ),
        "one flag for all": line("flags, b - 1, 0) == 0:", "flags, 0, 0) == 0:", RACE, seeds=(0, *DRAWN)),
        "the last block passes on": line("if b + 1 < cuda.gridDim.x:", "if True:", BOUNDS),
        "the last block waits elsewhere": line(
            "cuda.syncthreads()  # ready", "if t > 0: cuda.syncthreads()", DIVERGENT, RACE
        ),
    },
)


@cuda.jit
def largest(x, out):
    i = cuda.grid(1)
    if i < x.size:
        seen = cuda.atomic.add(out, 0, 0)
        while x[i] > seen:
            found = cuda.atomic.cas(out, 0, seen, x[i])
            seen = x[i] if found == seen else found


LARGEST = Case(
    largest,
    launches=((3, 32),),
    arguments=lambda rng: (integers(rng, 80, low=1, high=99), np.zeros(1, np.int32)),
    expected=lambda x, out: np.array([x.max()]),
    faults={
        "first look without an atomic": line("seen = cuda.atomic.add(out, 0, 0)", "seen = out[0]", RACE),
        "plain store": line("found = cuda.atomic.cas(out, 0, seen, x[i])", "found = seen; out[0] = x[i]", RACE),
        "no tail guard": line("if i < x.size:", "if True:", BOUNDS),
        "second cell": line("cas(out, 0, seen", "cas(out, 1, seen", BOUNDS),
        "cell before the first": line("cas(out, 0, seen", "cas(out, -1, seen", BOUNDS),
        "looks and stores": line(
            "while x[i] > seen:", "if x[i] > seen: out[0] = max(out[0], x[i])\n        while False:", RACE
        ),
    },
)

CASES = [LAST_BLOCK_SUM, LOOK_BACK_SCAN, SUM_UNDER_LOCK, RELAX, PASS_ON, LARGEST]

r"""s = sum x, by seven kernels, each without what held up the one before.

    ================  ==============================  ============================  =================
    rung              a thread                        a block                       the blocks' sums
    ================  ==============================  ============================  =================
    atomics           adds one element to s
    shared memory     has one element                 tree in shared memory         the same kernel
    shuffles          has one element                 trees in registers            the same kernel
    grid-stride loop  adds elements of a whole grid   `block_sum`                   the same kernel
    vector loads      the same, 64 bytes at a time    `block_sum`                   the same kernel
    one launch        the same                        `block_sum`                   the last block
    kernels.sum       the same, and keeps roundings   the same                      the last block
    ================  ==============================  ============================  =================

They are for reading and for measuring; `kernels.sum` is the one to call. All take contiguous float32 arrays of any
size, which begin at a multiple of 16 bytes. Where an element goes through d additions at most, the sum is off by no
more than

.. math:: d u \sum |x_i|, \quad u = 2^{-24},

to first order (Higham 2002, section 4.2). d is n for atomics, a few dozen for trees, and grows with n again where a
thread adds one element after the other; `kernels.sum` keeps what its additions lose.

Source: M. Harris, "Optimizing Parallel Reduction in CUDA", NVIDIA 2007, whose first rungs these are; S. Wilt, *The CUDA
Handbook*, 2013, chapter 12, for the one that has a single launch.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numba import cuda, float32, uint32

from ..device import block_broadcast, block_sum, vector_load, warp_sum
from ..runtime import launcher
from .public import sum as finished

#: Threads of a block, a power of two from 32 on.
THREADS = 256
#: Blocks of a grid that strides: two waves of a card with 132 multiprocessors.
BLOCKS = 2048


# --- one element a thread ---------------------------------------------------------------------------------------------


@cuda.jit
def atomics(x, total):
    """Add each element to one cell of memory."""
    i = cuda.grid(1)
    if i < x.size:
        cuda.atomic.add(total, 0, x[i])


@cuda.jit
def shared_memory(x, sums):
    """A block's elements lie in shared memory; half of the threads add those of the other half, and so on."""
    cells = cuda.shared.array(THREADS, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    cells[t] = x[i] if i < x.size else float32(0)
    half = cuda.blockDim.x >> 1
    while half > 0:
        cuda.syncthreads()
        if t < half:
            cells[t] += cells[t + half]
        half >>= 1
    if t == 0:
        sums[cuda.blockIdx.x] = cells[0]


@cuda.jit
def shuffles(x, sums):
    """The lanes of a warp exchange registers; shared memory has one cell for each warp."""
    cells = cuda.shared.array(32, float32)
    t, i = cuda.threadIdx.x, cuda.grid(1)
    total = warp_sum(x[i] if i < x.size else float32(0))
    if t & 31 == 0:
        cells[t >> 5] = total
    cuda.syncthreads()
    if t < 32:
        total = warp_sum(cells[t] if t < cuda.blockDim.x >> 5 else float32(0))
        if t == 0:
            sums[cuda.blockIdx.x] = total


# --- many elements a thread -------------------------------------------------------------------------------------------


@cuda.jit
def strided(x, sums):
    """A thread adds up its own elements first, a grid apart; `block_sum` is what `shuffles` does."""
    total = float32(0)
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        total += x[i]
    total = block_sum(total)
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = total


load = vector_load(4)


@cuda.jit(device=True)
def of_four(v):
    """The sum of four numbers."""
    return (v[0] + v[1]) + (v[2] + v[3])


@cuda.jit(device=True)
def of_thread(x):
    """The sum of a thread's elements, of which it loads 64 bytes before it adds any."""
    i, step, total = 4 * cuda.grid(1), 4 * cuda.gridsize(1), float32(0)
    while i + 3 * step + 3 < x.size:
        a, b, c, d = load(x, i), load(x, i + step), load(x, i + 2 * step), load(x, i + 3 * step)
        total += (of_four(a) + of_four(b)) + (of_four(c) + of_four(d))
        i += 4 * step
    while i + 3 < x.size:
        total += of_four(load(x, i))
        i += step
    rest = (x.size & ~3) + cuda.grid(1)
    return total + x[rest] if rest < x.size else total


@cuda.jit
def vector_loads(x, sums):
    """Each thread has more of memory under way."""
    total = block_sum(of_thread(x))
    if cuda.threadIdx.x == 0:
        sums[cuda.blockIdx.x] = total


@cuda.jit
def one_launch(x, total, sums, tickets):
    """The block that finishes last adds the sums of all."""
    t, ticket = cuda.threadIdx.x, uint32(0)
    mine = block_sum(of_thread(x))
    if t == 0:
        sums[cuda.blockIdx.x] = mine
        # Two fences: my sum is there before my ticket is drawn, and who draws the last one sees the sums of all.
        cuda.threadfence()
        ticket = cuda.atomic.inc(tickets, 0, cuda.gridDim.x - 1)
        cuda.threadfence()
    if block_broadcast(ticket) == cuda.gridDim.x - 1:
        mine = float32(0)
        for k in range(t, cuda.gridDim.x, cuda.blockDim.x):
            mine += sums[k]
        mine = block_sum(mine)
        if t == 0:
            total[0] = mine


# --- how they are launched --------------------------------------------------------------------------------------------


class Rung(NamedTuple):
    """A way to sum.

    Attributes
    ----------
    name : str
    prepare : callable
        ``prepare(x, total, threads=THREADS, blocks=BLOCKS)``: the function that sums `x` into ``total[0]``, both
        contiguous float32 arrays that `kernels.runtime.launcher` takes. No more than `THREADS` threads.
    depth : callable
        ``depth(n, threads=THREADS, blocks=BLOCKS)``: how many times 2**-24 the sum of moduli it may be off by.
    """

    name: str
    prepare: object
    depth: object


def _launched(kernel, grids, threads, x, total):
    """Run a kernel on what it left itself, in grids of so many blocks, of which the last is one."""
    steps = []
    for grid in grids:
        sums = cuda.device_array(grid, np.float32) if grid > 1 else total
        steps.append(functools.partial(launcher(kernel)[grid, threads], x, sums))
        x = sums

    def run():
        for step in steps:
            step()

    return run


def _size(x):
    return math.prod(x.shape)


def _blocks(n, elements):
    """Blocks that take so many elements each, and one at least."""
    return max(-(-n // elements), 1)


def _all(n, threads, blocks=None):
    """Grids of a thread for each element: of what was left by the one before, until that is a single number."""
    grids = [_blocks(n, threads)]
    while grids[-1] > 1:
        grids.append(_blocks(grids[-1], threads))
    return grids


def _two(n, threads, blocks, elements=1):
    """A grid that strides, and a block for what that left."""
    first = min(_blocks(n, threads * elements), blocks)
    return [first, 1] if first > 1 else [1]


@cuda.jit
def clear(total):
    """Begin at zero."""
    total[0] = 0


def _atomics(x, total, threads=THREADS, blocks=BLOCKS):
    begin, add = launcher(clear)[1, 1], launcher(atomics)[_blocks(_size(x), threads), threads]

    def run():
        begin(total)
        add(x, total)

    return run


def _of(kernel, grids):
    """How a kernel that leaves a sum a block is launched."""
    return lambda x, total, threads=THREADS, blocks=BLOCKS: _launched(
        kernel, grids(_size(x), threads, blocks), threads, x, total
    )


def _one_launch(x, total, threads=THREADS, blocks=BLOCKS):
    grid = _of_vectors(_size(x), threads, blocks)[0]
    sums, tickets = cuda.device_array(grid, np.float32), cuda.to_device(np.zeros(1, np.uint32))
    return functools.partial(launcher(one_launch)[grid, threads], x, total, sums, tickets)


def _finished(x, total, threads=THREADS, blocks=BLOCKS):
    return functools.partial(finished, x, keepdims=True, out=total)


_of_vectors = functools.partial(_two, elements=16)

#: Additions that an element goes through in a block, of up to 1024 threads, and in a group of 64 bytes.
_TREE, _GROUP = 10, 4


def _deep(grids, group=0):
    """Of a kernel whose threads add elements, or groups of them, one after the other."""

    def depth(n, threads=THREADS, blocks=BLOCKS):
        found = 0
        for grid in grids(n, threads, blocks):
            each = (1 << group) * grid * threads
            # Behind the groups come up to three vectors, and an element.
            found, n = found + _TREE + -(-n // each) + (group + 4 if group else 0), grid
        return found

    return depth


RUNGS = (
    Rung("atomics", _atomics, lambda n, threads=THREADS, blocks=BLOCKS: n),
    Rung("shared memory", _of(shared_memory, _all), _deep(_all)),
    Rung("shuffles", _of(shuffles, _all), _deep(_all)),
    Rung("grid-stride loop", _of(strided, _two), _deep(_two)),
    Rung("vector loads", _of(vector_loads, _of_vectors), _deep(_of_vectors, _GROUP)),
    Rung("one launch", _one_launch, _deep(_of_vectors, _GROUP)),
    Rung("kernels.sum", _finished, lambda n, threads=THREADS, blocks=BLOCKS: 12),
)

"""The kernels of every elementwise function.

    y[i] = f(x1[i], x2[i], ...)    for every index i

They differ from one another only in f, so a factory makes them. `contiguous` serves arrays that lie in memory as
one run, `strided` all others (any strides, broadcasting), `masked` those that a mask chooses from.
"""

import functools

from numba import cuda

from ..device.instructions import SIMULATED, of_scalars
from ..device.memory import along, index_type, lanewise, loader, storer, unraveler

#: Threads of a block: of a small launch, so that all multiprocessors have one, and of a large one.
FEW, MANY = (32, 32) if SIMULATED else (256, 1024)


def block(count):
    """Threads of a block, when `count` are wanted in all.

    128, 256 and 512 measured within 0.2% of one another, 1024 0.3% to 0.8% faster (add of five dtypes, relu,
    a*x + y*sin(x), 2^28 elements, H100). A heavy kernel gets fewer, see `widest_block`.
    """
    return MANY if count >= 2**20 else FEW


def widest_block(registers):
    """Threads of a block that a kernel of so many registers gains from at most.

    Blocks of 1024 made light kernels 0.3% to 0.8% faster than blocks of 256 (add, relu, a*x + y*sin(x): 14 to 28
    registers) and gelu, of 32, 2.8% slower (2^28 float32, H100).
    """
    return 1024 if registers < 32 else 256


@functools.lru_cache(maxsize=8192)
def contiguous(f, kinds, n_out, width, aligned, long):
    """Kernel of ``y = f(lane)`` over operands that are one run of memory each; `width` elements a thread.

    The last n % width elements have a thread each. (NVVM unrolls a loop over them in one thread: the PTX of add
    grew from 4.2 to 5.8 kB, that of sin from 24 to 34 kB.)
    """
    index = index_type(long)
    load, load_one = loader(kinds, width, aligned), loader(kinds, 1)
    store, store_one = storer(width, aligned), storer(1)
    apply, apply_one = lanewise(f, width), lanewise(f, 1)
    ins_at, outs_at = along(kinds), along(("vector",) * n_out)

    @cuda.jit
    @of_scalars
    def contiguous_kernel(n, ins, outs):
        i = index(cuda.grid(1))
        wide = index(n // index(width))
        if i < wide:
            at = index(i * index(width))
            store(outs, outs_at(at), apply(load(ins, ins_at(at))))
        else:
            at = index(i + index(wide * index(width - 1)))
            if at < n:
                store_one(outs, outs_at(at), apply_one(load_one(ins, ins_at(at))))

    return contiguous_kernel


@functools.lru_cache(maxsize=8192)
def strided(f, kinds, n_out, width, long):
    """Kernel of ``y = f(lane)`` over operands of any strides.

    `n` counts groups of `width` neighbours along the last axis, and so do the last entries of the shape and of
    the strides.
    """
    index = index_type(long)
    load, apply, store = loader(kinds, width), lanewise(f, width), storer(width)
    ins_at, outs_at = unraveler(len(kinds)), unraveler(n_out)

    @cuda.jit
    @of_scalars
    def strided_kernel(n, shape, in_strides, out_strides, ins, outs):
        i = index(cuda.grid(1))
        if i < n:
            store(outs, outs_at(i, shape, out_strides), apply(load(ins, ins_at(i, shape, in_strides))))

    return strided_kernel


@functools.lru_cache(maxsize=8192)
def masked(f, kinds, n_out, long):
    """`strided`, where a mask is true; every other element of the outputs stays as it is."""
    index = index_type(long)
    load, load_mask = loader(kinds, 1), loader(("vector",), 1)
    apply, store = lanewise(f, 1), storer(1)
    mask_at, ins_at, outs_at = unraveler(1), unraveler(len(kinds)), unraveler(n_out)

    @cuda.jit
    @of_scalars
    def masked_kernel(n, shape, mask_strides, in_strides, out_strides, mask, ins, outs):
        i = index(cuda.grid(1))
        if i < n:
            lane = load_mask(mask, mask_at(i, shape, mask_strides))[0]
            if lane[0]:
                store(outs, outs_at(i, shape, out_strides), apply(load(ins, ins_at(i, shape, in_strides))))

    return masked_kernel

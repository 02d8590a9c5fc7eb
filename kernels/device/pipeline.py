"""Tiles that are copied to shared memory while others are worked on.

Several tiles have a place in shared memory. While a block works on one, copies of the next ones are under way
(``cp.async``), 16 bytes each, past the registers.

Source: CUDA C++ Programming Guide, "Asynchronous data copies" and "Multi-stage asynchronous data copies".
"""

import functools

import numpy as np
from numba import cuda

from .addresses import global_address, shared_address
from .block import thread_index
from .copies import cp_async_4, cp_async_8, cp_async_16_zfill, cp_async_commit, cp_async_wait_group
from .exchange import extent, fits
from .instructions import kernel_function
from .words import as_int32

__all__ = ["copy_pipeline"]

u32, u64 = np.uint32, np.uint64


def copy_pipeline(dtype, threads, tile, stages=3):
    """Make the two device functions of a pipeline of copies.

    Parameters
    ----------
    dtype : dtype
        Of the array that is copied.
    threads : int or tuple of int
        The block.
    tile : int
        Elements that are copied at once.
    stages : int, optional
        Tiles that have a place in shared memory, at least 2; one of them is worked on, the others are under way.

    Returns
    -------
    prefetch : device function
        ``prefetch(tiles, k, x, start)`` begins to copy ``x[start : start + tile]`` to ``tiles[k % stages]``. `tiles` is
        ``cuda.shared.array((stages, tile), dtype, 16)``. Of a tile that is not full, the rest becomes 0; of one behind
        the end of x, nothing is copied.
    wait : device function
        ``wait()`` waits until the oldest tile is there for all threads of the block, and all of them have done with
        the tile before it.

    Notes
    -----
    The order is: prefetch tiles 0 to ``stages - 2``; then for each k ``wait()``, prefetch tile ``k + stages - 1``, work
    on tile k. That is one barrier a tile. Where x begins at a multiple of 16 bytes and so do all tiles, copies are of
    16 bytes; else of single elements, which go through registers where they have less than 4 bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import copy_pipeline
    >>> prefetch, wait = copy_pipeline(np.float32, threads=64, tile=256, stages=3)
    >>> @cuda.jit
    ... def sums(x, y):
    ...     tiles = cuda.shared.array((3, 256), np.float32, 16)
    ...     t, total = cuda.threadIdx.x, np.float32(0)
    ...     for k in range(2):
    ...         prefetch(tiles, k, x, 256 * k)
    ...     for k in range((x.size + 255) // 256):
    ...         wait()
    ...         prefetch(tiles, k + 2, x, 256 * (k + 2))
    ...         for j in range(t, 256, 64):
    ...             total += tiles[k % 3, j]
    ...     y[t] = total
    >>> x, y = np.ones(1000, np.float32), np.zeros(64, np.float32)
    >>> sums[1, 64](x, y)
    >>> float(y.sum())
    1000.0
    """
    dtype, (threads, tile) = np.dtype(dtype), extent(threads, tile)
    if stages < 2:
        raise ValueError(f"stages: at least 2, not {stages}")
    fits(stages * tile * dtype.itemsize, "copy_pipeline")
    return _pipeline(dtype.itemsize, threads, tile, stages)


@functools.cache
def _pipeline(itemsize, threads, tile, stages):
    size, in_words = tile * itemsize, itemsize >= 4
    chunks, rounds, is_whole = size // 16, -(-size // 16 // threads), size % 16 == 0
    part = 4 if itemsize == 4 else 8
    copy_part, parts = cp_async_4 if itemsize == 4 else cp_async_8, tile * itemsize // part
    wait_group = cp_async_wait_group(stages - 2)

    @kernel_function
    def copy_chunks(to, source, nbytes):
        for r in range(rounds):
            c = u32(u32(thread_index()) + u32(r * threads))
            if c < chunks:
                there = min(max(as_int32(nbytes - 16 * c), 0), 16)
                cp_async_16_zfill(u32(to + 16 * c), u64(source + u64(16 * c if there else 0)), u32(there))

    @kernel_function
    def copy_elements(tiles, slot, to, source, room):
        filled = room * itemsize // part
        for c in range(thread_index(), parts, threads):
            if c < filled:
                copy_part(u32(to + part * c), u64(source + u64(part * c)))
        for j in range(room + thread_index(), tile, threads):
            tiles[slot, j] = 0

    @kernel_function
    def move_elements(tiles, slot, x, start, room):
        for j in range(thread_index(), tile, threads):
            if j < room:
                tiles[slot, j] = x[start + j]
            else:
                tiles[slot, j] = 0

    @kernel_function
    def prefetch(tiles, k, x, start):
        slot, room = k % stages, min(tile, x.size - start)
        if room > 0:
            source = global_address(x) + u64(start) * u64(itemsize)
            to = shared_address(tiles) + slot * size
            if is_whole and source & u64(15) == 0:
                copy_chunks(to, source, room * itemsize)
            elif in_words:
                copy_elements(tiles, slot, to, source, room)
            else:
                move_elements(tiles, slot, x, start, room)
        cp_async_commit()

    @kernel_function
    def wait():
        wait_group()
        cuda.syncthreads()

    return prefetch, wait

"""Tiles of a block: loads and stores in several arrangements, and the exchanges between these.

A tile is ``threads * items`` neighbouring elements, of which every thread holds `items` in an array of its own,
``cuda.local.array(items, dtype)``. Element j of the tile is held by

    blocked         thread j // items,         as its item j % items
    striped         thread j % threads,        as its item j // threads
    warp-striped    as striped, of the part of the tile that the 32 threads of a warp hold when it is blocked

Neighbouring threads read neighbouring memory when a tile is striped; most algorithms want it blocked. What is made here
is made outside of kernels, for sizes must be known when they are compiled, and called in kernels by all threads of the
block together. Threads count as in `kernels.device.block`, and `threads` is the shape of the block or its size.

Source: NVIDIA CUB, ``BlockLoad``, ``BlockStore``, ``BlockExchange``.
"""

import functools
import math

import numpy as np
from numba import cuda

from .addresses import global_address
from .block import thread_index
from .instructions import kernel_function
from .scalar import native_type
from .vectors import gathered, vector_load, vector_store

__all__ = ["block_exchange", "block_load", "block_store", "block_transpose"]

u32, u64 = np.uint32, np.uint64
LANES = 32


#: Static shared memory that a block may have (CUDA C++ Programming Guide, all compute capabilities).
MOST_SHARED = 48 * 1024


def fits(nbytes, name):
    """Refuse what takes more shared memory than a block has."""
    if nbytes > MOST_SHARED:
        raise ValueError(f"{name}: so many threads and items take {nbytes} bytes of shared memory, of {MOST_SHARED}")


def extent(threads, items):
    """The threads of a block, given by its size or its shape, and the items of each: both checked."""
    threads = math.prod(threads) if isinstance(threads, tuple) else threads
    if not 1 <= threads <= 1024:
        raise ValueError(f"threads: a block has 1 to 1024 threads, not {threads}")
    if items < 1:
        raise ValueError(f"items: a thread has at least 1 item, not {items}")
    return int(threads), int(items)


# Indices are unsigned, for which no negative ones are looked after: 1368 instructions instead of 4320 in one kernel.


def blocked(threads, items):
    """``place(thread, k)``: which element of a blocked tile the k-th item of a thread is."""
    size = u32(items)

    @kernel_function
    def place(thread, k):
        return u32(thread * size + u32(k))

    return place


def striped(threads, items):
    """``place(thread, k)`` of a striped tile."""
    step = u32(threads)

    @kernel_function
    def place(thread, k):
        return u32(u32(k) * step + thread)

    return place


def warp_striped(threads, items):
    """``place(thread, k)`` of a warp-striped tile."""
    last, rest, size = u32(threads // LANES), u32(threads % LANES), u32(LANES * items)
    five, lanes, low = u32(5), u32(LANES), u32(LANES - 1)

    @kernel_function
    def place(thread, k):
        warp = u32(thread >> five)
        step = rest if warp == last else lanes
        return u32(warp * size + u32(k) * step + (thread & low))

    return place


ARRANGEMENTS = {"blocked": blocked, "striped": striped, "warp_striped": warp_striped}

# --- exchanges --------------------------------------------------------------------------------------------------------


def block_exchange(kind, dtype, threads, items):
    """Make the device function that changes the arrangement of a tile.

    Parameters
    ----------
    kind : str
        ``"striped_to_blocked"``, ``"blocked_to_striped"``, ``"warp_striped_to_blocked"``,
        ``"blocked_to_warp_striped"``: the arrangement before and after. ``"scatter_to_blocked"`` and
        ``"scatter_to_striped"``: each item says to which element of the tile it goes.
    dtype : dtype
        Of the items.
    threads : int or tuple of int
        The block.
    items : int
        Of each thread.

    Returns
    -------
    exchange : device function
        ``exchange(mine)``, or ``exchange(mine, ranks)`` for a scatter, whose `ranks` are a permutation of the elements
        of the tile. `mine` is changed in place.

    Notes
    -----
    Takes 33 / 32 of the tile in shared memory (a word of padding a row of banks keeps blocked accesses from meeting in
    one) and two barriers of the block; those between warp-striped and blocked, of the warp alone.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_exchange
    >>> exchange = block_exchange("striped_to_blocked", np.int64, threads=4, items=2)
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     mine = cuda.local.array(2, np.int64)
    ...     mine[0], mine[1] = x[t], x[4 + t]
    ...     exchange(mine)
    ...     y[t, 0], y[t, 1] = mine[0], mine[1]
    >>> x, y = np.arange(8), np.zeros((4, 2), int)
    >>> kernel[1, 4](x, y)
    >>> y
    array([[0, 1],
           [2, 3],
           [4, 5],
           [6, 7]])
    """
    before, _, after = kind.partition("_to_")
    if after not in ARRANGEMENTS or before not in (*ARRANGEMENTS, "scatter") or before == after:
        raise ValueError(f"kind: no exchange {kind!r}; expected such as 'striped_to_blocked' or 'scatter_to_striped'")
    return _exchange(before, after, np.dtype(dtype), *extent(threads, items))


@functools.cache
def _exchange(before, after, dtype, threads, items):
    native, size = native_type(dtype), threads * items + threads * items // LANES
    fits(size * dtype.itemsize, "block_exchange")
    of_warp = {before, after} == {"blocked", "warp_striped"}
    five, to = u32(5), ARRANGEMENTS[after](threads, items)
    source = None if before == "scatter" else ARRANGEMENTS[before](threads, items)

    @kernel_function
    def padded(j):
        return u32(j + (j >> five))

    @kernel_function
    def sync():
        if of_warp:
            cuda.syncwarp()
        else:
            cuda.syncthreads()

    @kernel_function
    def take(memory, mine):
        thread = u32(thread_index())
        for k in range(items):
            mine[k] = memory[padded(to(thread, k))]

    @kernel_function
    def exchange(mine):
        memory = cuda.shared.array(size, native)
        thread = u32(thread_index())
        sync()
        for k in range(items):
            memory[padded(source(thread, k))] = mine[k]
        sync()
        take(memory, mine)

    @kernel_function
    def scatter(mine, ranks):
        memory = cuda.shared.array(size, native)
        cuda.syncthreads()
        for k in range(items):
            memory[padded(u32(ranks[k]))] = mine[k]
        cuda.syncthreads()
        take(memory, mine)

    return scatter if before == "scatter" else exchange


# --- loads and stores -------------------------------------------------------------------------------------------------

ALGORITHMS = ("direct", "striped", "vectorize", "transpose", "warp_transpose")


def block_load(dtype, threads, items, algorithm="direct"):
    """Make the device function that loads a tile from global memory.

    Parameters
    ----------
    dtype : dtype
        Of the array.
    threads : int or tuple of int
        The block.
    items : int
        Of each thread.
    algorithm : {"direct", "striped", "vectorize", "transpose", "warp_transpose"}
        ``"direct"``: blocked, each thread reads neighbours. ``"striped"``: striped, each warp reads neighbours, the
        fastest. ``"vectorize"``: blocked, up to 16 bytes an instruction where the address allows it.
        ``"transpose"``: read striped, then exchanged to blocked; ``"warp_transpose"``: the same, warp by warp.

    Returns
    -------
    load : device function
        ``load(x, start, mine, fill=0)``: element ``x[start + j]`` of a 1-D array becomes element j of the tile. Those
        beyond the end of x are `fill`; a part of an array is ``x[:n]``.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_load, block_store
    >>> load = block_load(np.float32, threads=128, items=4, algorithm="transpose")
    >>> store = block_store(np.float32, threads=128, items=4, algorithm="transpose")
    >>> @cuda.jit
    ... def differences(x, y):
    ...     mine = cuda.local.array(4, np.float32)
    ...     start = 512 * cuda.blockIdx.x
    ...     load(x, start, mine)
    ...     for k in range(3, 0, -1):
    ...         mine[k] -= mine[k - 1]
    ...     store(y, start, mine)
    >>> x = np.arange(1000, dtype=np.float32) ** 2
    >>> y = np.zeros_like(x)
    >>> differences[2, 128](x, y)
    >>> y[:8]
    array([ 0.,  1.,  3.,  5., 16.,  9., 11., 13.], dtype=float32)
    """
    return _moves(algorithm, np.dtype(dtype), *extent(threads, items))[0]


def block_store(dtype, threads, items, algorithm="direct"):
    """Make the device function that stores a tile to global memory.

    Parameters
    ----------
    dtype, threads, items, algorithm
        As `block_load` has them.

    Returns
    -------
    store : device function
        ``store(x, start, mine)``: element j of the tile becomes ``x[start + j]``. Those beyond the end of x are left
        out. The transposing algorithms leave `mine` in the arrangement in which it was stored.

    Examples
    --------
    See `block_load`.
    """
    return _moves(algorithm, np.dtype(dtype), *extent(threads, items))[1]


@functools.cache
def _moves(algorithm, dtype, threads, items):
    """The load and the store of an algorithm."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"algorithm: {algorithm!r} is none of {ALGORITHMS}")
    if algorithm == "vectorize":
        return _vectorized(dtype, threads, items)
    if algorithm.endswith("transpose"):
        return _transposed("warp_striped" if algorithm.startswith("warp") else "striped", dtype, threads, items)
    return _plain("striped" if algorithm == "striped" else "blocked", threads, items)


@functools.cache
def _plain(arrangement, threads, items):
    place, tile = ARRANGEMENTS[arrangement](threads, items), threads * items

    @kernel_function
    def load(x, start, mine, fill=0):
        thread, first, room = u32(thread_index()), u64(start), x.size - start
        if room >= tile:
            for k in range(items):
                mine[k] = x[first + u64(place(thread, k))]
        else:
            for k in range(items):
                j = place(thread, k)
                if j < room:
                    mine[k] = x[first + u64(j)]
                else:
                    mine[k] = fill

    @kernel_function
    def store(x, start, mine):
        thread, first, room = u32(thread_index()), u64(start), x.size - start
        if room >= tile:
            for k in range(items):
                x[first + u64(place(thread, k))] = mine[k]
        else:
            for k in range(items):
                j = place(thread, k)
                if j < room:
                    x[first + u64(j)] = mine[k]

    return load, store


def _transposed(arrangement, dtype, threads, items):
    load_striped, store_striped = _plain(arrangement, threads, items)
    to_blocked = _exchange(arrangement, "blocked", dtype, threads, items)
    from_blocked = _exchange("blocked", arrangement, dtype, threads, items)

    @kernel_function
    def load(x, start, mine, fill=0):
        load_striped(x, start, mine, fill)
        to_blocked(mine)

    @kernel_function
    def store(x, start, mine):
        from_blocked(mine)
        store_striped(x, start, mine)

    return load, store


def _vectorized(dtype, threads, items):
    load_blocked, store_blocked = _plain("blocked", threads, items)
    width = math.gcd(items, max(16 // dtype.itemsize, 1))
    load_vector, store_vector, gather = vector_load(width), vector_store(width), gathered(width)
    tile, groups = threads * items, items // width

    @kernel_function
    def is_whole(x, start):
        aligned = (global_address(x) + u64(start) * u64(x.itemsize)) & u64(width * x.itemsize - 1) == 0
        return x.size - start >= tile and aligned

    @kernel_function
    def load(x, start, mine, fill=0):
        if is_whole(x, start):
            first = u64(start) + u64(u32(thread_index()) * u32(items))
            for g in range(groups):
                values = load_vector(x, first + u64(g * width))
                for k in range(width):
                    mine[g * width + k] = values[k]
        else:
            load_blocked(x, start, mine, fill)

    @kernel_function
    def store(x, start, mine):
        if is_whole(x, start):
            first = u64(start) + u64(u32(thread_index()) * u32(items))
            for g in range(groups):
                store_vector(x, first + u64(g * width), gather(mine, g * width))
        else:
            store_blocked(x, start, mine)

    return load, store


# --- transposition ----------------------------------------------------------------------------------------------------


@functools.cache
def block_transpose(dtype, tile=32, threads=256):
    """Make the device function that copies a square tile of a matrix to its place in the transposed matrix.

    Parameters
    ----------
    dtype : dtype
        Of the tile in shared memory.
    tile : int
        Rows and columns of the tile.
    threads : int or tuple of int
        The block.

    Returns
    -------
    transpose : device function
        ``transpose(x, y, i, j)``: ``y[j + c, i + r] = x[i + r, j + c]`` for all r and c below `tile` that are in x.
        Both are read and written along their rows.

    Notes
    -----
    Takes ``tile * (tile + 1)`` elements of shared memory and two barriers.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_transpose
    >>> transpose = block_transpose(np.float32, tile=32, threads=256)
    >>> @cuda.jit
    ... def transposed(x, y):
    ...     transpose(x, y, 32 * cuda.blockIdx.y, 32 * cuda.blockIdx.x)
    >>> x = np.arange(40 * 70, dtype=np.float32).reshape(40, 70)
    >>> y = np.zeros((70, 40), np.float32)
    >>> transposed[(3, 2), 256](x, y)
    >>> bool((y == x.T).all())
    True
    """
    threads, tile = extent(threads, tile)
    native, width = native_type(dtype), tile + 1
    fits(tile * width * np.dtype(dtype).itemsize, "block_transpose")

    @kernel_function
    def transpose(x, y, i, j):
        memory = cuda.shared.array((tile, width), native)
        rows, columns = min(tile, x.shape[0] - i), min(tile, x.shape[1] - j)
        cuda.syncthreads()
        for k in range(thread_index(), tile * tile, threads):
            r, c = k // tile, k % tile
            if r < rows and c < columns:
                memory[r, c] = x[i + r, j + c]
        cuda.syncthreads()
        for k in range(thread_index(), tile * tile, threads):
            c, r = k // tile, k % tile
            if r < rows and c < columns:
                y[j + c, i + r] = memory[r, c]

    return transpose

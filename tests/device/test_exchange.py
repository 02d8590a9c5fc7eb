"""Tiles: loads, stores, exchanges, transposition, vectors and pipelines, in both engines and on a GPU."""

import functools
import math

import numpy as np
import pytest
from numba import cuda, types

from kernels.device import (
    block_exchange,
    block_load,
    block_store,
    block_transpose,
    copy_pipeline,
    thread_index,
    vector_load,
    vector_store,
)
from kernels.device.scalar import native_type
from kernels.simulator import MisalignedError
from tests.device.blocks import ENGINES, both, everywhere, random, run, with_dtypes

SHAPES = [(32, 4), (33, 3), (1, 5), (96, 1), ((8, 5), 2), ((4, 3, 5), 8)]
FEW = {"interpreted": SHAPES[1:2], "compiled": SHAPES[1:6:3], "cuda": SHAPES}
shapes = pytest.mark.parametrize(("engine", "threads", "items"), [(e, *s) for e in ENGINES for s in FEW[e]])


def count_of(threads):
    return math.prod(threads) if isinstance(threads, tuple) else threads


def arranged(arrangement, threads, items):
    """Which element of a tile each item of each thread is."""
    t, k = np.arange(threads)[:, None], np.arange(items)
    if arrangement == "blocked":
        return t * items + k
    if arrangement == "striped":
        return k * threads + t
    lanes = np.minimum(32, threads - t // 32 * 32)
    return t // 32 * 32 * items + k * lanes + t % 32


# --- exchanges --------------------------------------------------------------------------------------------------------


@functools.cache
def exchanging(kind, dtype, threads, items):
    exchange, native = block_exchange(kind, dtype, threads, items), native_type(dtype)

    def plain(x, y, ranks):
        t = thread_index()
        mine = cuda.local.array(items, native)
        for _ in range(2):  # the same memory again
            for k in range(items):
                mine[k] = x[t, k]
            exchange(mine)
        for k in range(items):
            y[t, k] = mine[k]

    def scattering(x, y, ranks):
        t = thread_index()
        mine, places = cuda.local.array(items, native), cuda.local.array(items, types.int32)
        for k in range(items):
            mine[k] = x[t, k]
            places[k] = ranks[t, k]
        exchange(mine, places)
        for k in range(items):
            y[t, k] = mine[k]

    return cuda.jit(scattering if kind.startswith("scatter") else plain)


KINDS = [
    "striped_to_blocked", "blocked_to_striped", "warp_striped_to_blocked", "blocked_to_warp_striped",
    "scatter_to_blocked", "scatter_to_striped",
]  # fmt: skip


@shapes
@pytest.mark.parametrize("kind", KINDS)
def test_exchanges_rearrange_a_tile(kind, engine, threads, items, rng):
    count = count_of(threads)
    tile = random("i", count * items, rng)
    before, after = kind.split("_to_")
    if before == "scatter":
        places = rng.permutation(count * items).reshape(count, items)
    else:
        places = arranged(before, count, items)
    x, y = tile[places], np.zeros((count, items), np.int32)
    run(exchanging(kind, np.dtype("i"), threads, items), 1, threads, x, y, places, engine=engine)
    np.testing.assert_array_equal(y, tile[arranged(after, count, items)])


@with_dtypes("?D", "?BefdD")
def test_exchanges_take_every_dtype(engine, dtype, rng):
    tile, y = random(dtype, 99, rng), np.zeros((33, 3), dtype)
    x = tile[arranged("striped", 33, 3)]
    run(exchanging("striped_to_blocked", np.dtype(dtype), 33, 3), 1, 33, x, y, x, engine=engine)
    np.testing.assert_array_equal(y.ravel(), tile)


# --- loads and stores -------------------------------------------------------------------------------------------------


@functools.cache
def moving(algorithm, dtype, threads, items):
    load, store = (make(dtype, threads, items, algorithm) for make in (block_load, block_store))
    native, tile = native_type(dtype), count_of(threads) * items

    @cuda.jit
    def kernel(x, y, held, skip):
        t, start = thread_index(), skip + tile * cuda.blockIdx.x
        mine = cuda.local.array(items, native)
        load(x, start, mine, 7)
        for k in range(items):
            held[cuda.blockIdx.x, t, k] = mine[k]
        store(y, start, mine)

    return kernel


@shapes
@pytest.mark.parametrize("algorithm", ["direct", "striped", "vectorize", "transpose", "warp_transpose"])
def test_tiles_are_loaded_and_stored_up_to_the_end_of_the_array(algorithm, engine, threads, items, rng):
    count = count_of(threads)
    tile = count * items
    for skip, rest in ((0, tile // 2), (1, tile - 1)):
        x = random("f", 2 * tile + rest + skip, rng)
        y, held = np.full(x.size + 40, -1, "f"), np.zeros((3, count, items), "f")
        run(moving(algorithm, np.dtype("f"), threads, items), 3, threads, x, y[: x.size], held, skip, engine=engine)
        np.testing.assert_array_equal(y, np.r_[np.full(skip, -1), x[skip:], np.full(40, -1)])
        filled = np.r_[x[skip:], np.full(3 * tile + skip - x.size, 7)].reshape(3, tile)
        places = arranged("striped" if algorithm == "striped" else "blocked", count, items)
        np.testing.assert_array_equal(held, filled[:, places])


@with_dtypes("D", "?BefdD")
@pytest.mark.parametrize("algorithm", ["vectorize", "transpose"])
def test_tiles_have_every_dtype(algorithm, engine, dtype, rng):
    x = random(dtype, 200, rng)
    y, held = np.zeros_like(x), np.zeros((2, 32, 4), dtype)
    run(moving(algorithm, np.dtype(dtype), 32, 4), 2, 32, x, y, held, 0, engine=engine)
    np.testing.assert_array_equal(y, x)


# --- transposition ----------------------------------------------------------------------------------------------------


@functools.cache
def transposing(dtype, tile, threads):
    transpose = block_transpose(dtype, tile, threads)

    @cuda.jit
    def kernel(x, y):
        transpose(x, y, tile * cuda.blockIdx.x, tile * cuda.blockIdx.y)

    return kernel


@everywhere
@pytest.mark.parametrize(("tile", "threads"), [(8, 32), (5, (3, 4)), (4, 33)])
def test_a_matrix_is_transposed_tile_by_tile(tile, threads, engine, rng):
    x = random("F", (11, 18), rng)
    y = np.zeros((18, 11), "F")
    run(transposing("F", tile, threads), (-(-11 // tile), -(-18 // tile)), threads, x, y, engine=engine)
    np.testing.assert_array_equal(y, x.T)


# --- vectors ----------------------------------------------------------------------------------------------------------


@functools.cache
def vectors(width, load_cache, store_cache):
    load, store = vector_load(width, load_cache), vector_store(width, store_cache)

    @cuda.jit
    def kernel(x, y, skip):
        i = width * cuda.grid(1)
        if skip + i < x.size:
            store(y, skip + i, load(x, skip + i))

    return kernel


WIDTHS = [("?", 1), ("b", 16), ("B", 4), ("h", 2), ("e", 8), ("e", 2), ("i", 4), ("f", 2), ("Q", 2), ("d", 1),
          ("F", 2), ("D", 1)]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "dtype", "width"), [(e, *w) for e in ENGINES for w in (WIDTHS[1::3] if e == "compiled" else WIDTHS)]
)
def test_vectors_are_neighbours(dtype, width, engine, rng):
    x = random(dtype, 9 * width, rng)
    y = np.zeros_like(x)
    run(vectors(width, None, None), 1, 32, x, y, 0, engine=engine)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize(("dtype", "width"), WIDTHS)
def test_hints_change_no_value(dtype, width, engine, rng):
    for load_cache, store_cache in [("cs", "cs"), ("nc", "evict_first"), ("no_allocate", "wt"), ("lu", "cg")]:
        x = random(dtype, 9 * width, rng)
        y = np.zeros_like(x)
        run(vectors(width, load_cache, store_cache), 1, 32, x, y, 0, engine=engine)
        np.testing.assert_array_equal(y, x)


@both
def test_a_vector_at_an_address_that_is_no_multiple_of_it_is_reported(engine):
    with pytest.raises(MisalignedError):
        run(vectors(4, None, None), 1, 32, np.zeros(33, "f"), np.zeros(33, "f"), 1, engine=engine)


# --- pipelines --------------------------------------------------------------------------------------------------------


@functools.cache
def running(dtype, threads, tile, stages):
    prefetch, wait = copy_pipeline(dtype, threads, tile, stages)
    native = native_type(dtype)

    @cuda.jit
    def kernel(x, y, skip):
        tiles = cuda.shared.array((stages, tile), native, 16)
        for k in range(stages - 1):
            prefetch(tiles, k, x, skip + tile * k)
        for k in range((x.size - skip + tile - 1) // tile):
            wait()
            ahead = k + stages - 1
            prefetch(tiles, ahead, x, skip + tile * ahead)
            for j in range(thread_index(), tile, threads):
                y[k, j] = tiles[k % stages, tile - 1 - j]

    return kernel


PIPELINES = [("f", 64, 3, 0), ("f", 64, 2, 1), ("e", 33, 3, 1), ("f", 30, 3, 0), ("b", 48, 2, 0), ("d", 32, 4, 1),
             ("D", 7, 3, 1), ("D", 16, 2, 0), ("?", 16, 2, 3)]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "dtype", "tile", "stages", "skip"),
    [(e, *p) for e in ENGINES for p in (PIPELINES[::3] if e == "compiled" else PIPELINES)],
)
def test_tiles_of_a_pipeline_arrive_in_order(dtype, tile, stages, skip, engine, rng):
    for size in (1, 5 * tile // 2, 4 * tile):
        x = random(dtype, skip + size, rng)
        count = -(-size // tile)
        y = np.ones((count, tile), dtype)
        run(running(np.dtype(dtype), 32, tile, stages), 1, 32, x, y, skip, engine=engine, seed=size)
        expected = np.r_[x[skip:], np.zeros(count * tile - size, dtype)].reshape(count, tile)[:, ::-1]
        np.testing.assert_array_equal(y, expected)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: block_load("f", 0, 4), "threads: a block has 1 to 1024 threads"),
        (lambda: block_load("f", 32, 0), "items: a thread has at least 1 item"),
        (lambda: block_load("f", 32, 4, "fast"), "algorithm: 'fast' is none of"),
        (lambda: block_exchange("blocked_to_blocked", "f", 32, 4), "kind: no exchange 'blocked_to_blocked'"),
        (lambda: block_exchange("striped_to_blocked", "D", 1024, 4), "block_exchange: .* bytes of shared memory"),
        (lambda: vector_load(3), "vector_load of 3 elements: expected 1, 2, 4, 8 or 16"),
        (lambda: vector_store(4, cache="nc"), "vector_store: cache='nc', expected one of"),
        (lambda: copy_pipeline("f", 32, 64, 1), "stages: at least 2"),
    ],
)
def test_sizes_and_names_are_checked_where_the_function_is_made(make, text):
    with pytest.raises(ValueError, match=text):
        make()

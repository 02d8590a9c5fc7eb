"""Sorts, histograms, differences and runs of a block, against NumPy, in both engines and on a GPU."""

import functools
import math
import operator

import numpy as np
import pytest
from numba import cuda, types

from kernels.device import (
    block_adjacent_difference,
    block_discontinuity,
    block_histogram,
    block_load,
    block_merge_sort,
    block_radix_sort,
    block_store,
    descending,
)
from kernels.device.scalar import native_type
from tests.device.blocks import ENGINES, everywhere, random, run, with_dtypes

SHAPES = [(64, 4), (33, 3), (1, 5), (96, 1), ((8, 5), 2), ((4, 3, 5), 3), (128, 7)]
FEW = {"interpreted": SHAPES[1:2], "compiled": SHAPES[1:6:4], "cuda": SHAPES}
shapes = pytest.mark.parametrize(("engine", "threads", "items"), [(e, *s) for e in ENGINES for s in FEW[e]])


def count_of(threads, items):
    return items * (math.prod(threads) if isinstance(threads, tuple) else threads)


def keys_of(dtype, size, rng):
    """Keys of which many are equal, NaN, zeros of both signs and infinities among them."""
    x = random(dtype, size, rng)
    if x.dtype.kind == "f":
        special = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0], dtype)
        return np.where(rng.random(size) < 0.4, rng.choice(special, size), x)
    if x.dtype.kind == "c":
        parts = np.array([0.0, -0.0, np.nan, np.inf, 1.0], x.real.dtype)
        x.real, x.imag = rng.choice(parts, size), rng.choice(parts, size)
        return x
    return np.where(rng.random(size) < 0.5, rng.choice(x[:5], size), x)


@functools.cache
def sorting(make, dtype, threads, items, values=None, **options):
    sort, native = make(dtype, threads, items, values=values, **options), native_type(dtype)
    arrangement = "striped" if options.get("arrangement") == "striped" else "direct"
    load, store = block_load(dtype, threads, items), block_store(dtype, threads, items, arrangement)

    @cuda.jit
    def keys_only(x):
        keys = cuda.local.array(items, native)
        load(x, 0, keys)
        sort(keys)
        store(x, 0, keys)

    if values is None:
        return keys_only
    other = native_type(values)
    load_values = block_load(values, threads, items)
    store_values = block_store(values, threads, items, arrangement)

    @cuda.jit
    def pairs(x, v):
        keys, mine = cuda.local.array(items, native), cuda.local.array(items, other)
        load(x, 0, keys)
        load_values(v, 0, mine)
        sort(keys, mine)
        store(x, 0, keys)
        store_values(v, 0, mine)

    return pairs


# --- sorts ------------------------------------------------------------------------------------------------------------


@with_dtypes("?f", "?bBhHiIqQefd")
def test_a_radix_sort_sorts_as_numpy_does(engine, dtype, rng):
    x = keys_of(dtype, 99, rng)
    expected = np.sort(x)
    run(sorting(block_radix_sort, np.dtype(dtype), 33, 3), 1, 33, x, engine=engine)
    np.testing.assert_array_equal(x, expected)


@with_dtypes("fF", "?bHqQefdFD")
def test_a_merge_sort_sorts_as_numpy_does(engine, dtype, rng):
    x = keys_of(dtype, 99, rng)
    expected = np.sort(x)
    run(sorting(block_merge_sort, np.dtype(dtype), 33, 3), 1, 33, x, engine=engine)
    np.testing.assert_array_equal(x, expected)


@shapes
@pytest.mark.parametrize("make", [block_radix_sort, block_merge_sort])
def test_sorts_are_stable_and_take_values_along(make, engine, threads, items, rng):
    count = count_of(threads, items)
    x, v = rng.integers(-4, 4, count).astype("i"), np.arange(count).astype("D")
    order = np.argsort(x, kind="stable")
    expected = x[order]
    run(sorting(make, np.dtype("i"), threads, items, np.dtype("D")), 1, threads, x, v, engine=engine)
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(v, order)


@everywhere
def test_the_largest_may_come_first(engine, rng):
    for make, options in ((block_radix_sort, {"descending": True}), (block_merge_sort, {"compare": descending})):
        x, v = keys_of("f", 99, rng), np.arange(99, dtype="B")
        rank = np.where(np.isnan(x), 2.0, np.where(np.isinf(x) & (x > 0), 1.0, 0.0))
        order = np.lexsort((np.arange(99), -np.where(np.isfinite(x) | (x < 0), x, 0), -rank))
        expected = x[order]
        run(sorting(make, np.dtype("f"), 33, 3, np.dtype("B"), **options), 1, 33, x, v, engine=engine)
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(v, order)


@everywhere
@pytest.mark.parametrize(("begin", "end"), [(0, 3), (5, 16), (13, 14), (27, 32)])
def test_a_radix_sort_may_look_at_some_bits(begin, end, engine, rng):
    x, v = random("I", 99, rng), np.arange(99, dtype="B")
    order = np.argsort(x >> np.uint32(begin) & np.uint32((1 << (end - begin)) - 1), kind="stable")
    expected = x[order]
    kernel = sorting(block_radix_sort, np.dtype("I"), 33, 3, np.dtype("B"), begin_bit=begin, end_bit=end)
    run(kernel, 1, 33, x, v, engine=engine)
    np.testing.assert_array_equal(v, order)
    np.testing.assert_array_equal(x, expected)


@everywhere
def test_a_radix_sort_may_leave_the_keys_striped(engine, rng):
    x = keys_of("d", 99, rng)
    expected = np.sort(x)
    run(sorting(block_radix_sort, np.dtype("d"), 33, 3, arrangement="striped"), 1, 33, x, engine=engine)
    np.testing.assert_array_equal(x, expected)


def by_last_digit(x, y):
    return x % 10 < y % 10


@everywhere
def test_a_merge_sort_takes_any_comparison(engine, rng):
    x = rng.integers(0, 1000, 120)
    expected = x[np.argsort(x % 10, kind="stable")]
    run(sorting(block_merge_sort, np.dtype("q"), (5, 8), 3, compare=by_last_digit), 1, (5, 8), x, engine=engine)
    np.testing.assert_array_equal(x, expected)


# --- histograms -------------------------------------------------------------------------------------------------------


@functools.cache
def counting(threads, items, bins, composite):
    histogram = block_histogram(threads, items, bins, composite=composite)
    load = block_load(np.int16, threads, items, "striped")
    tile = count_of(threads, items)

    @cuda.jit
    def kernel(x, y):
        mine, counts = cuda.local.array(items, types.int16), cuda.shared.array(bins, types.int32)
        first = cuda.threadIdx.x + cuda.threadIdx.y == 0
        if composite and first:
            for k in range(bins):
                counts[k] = 10 * k
        for start in range(0, x.size, tile):
            load(x, start, mine, bins)
            histogram(mine, counts)
            if first and not composite:
                for k in range(bins):
                    y[k] += counts[k]
        if first and composite:
            for k in range(bins):
                y[k] = counts[k]

    return kernel


@everywhere
@pytest.mark.parametrize(("threads", "items", "bins"), [(33, 3, 5), ((8, 5), 2, 100), (1, 4, 1)])
def test_histograms_count_each_sample_once(threads, items, bins, engine, rng):
    for composite in (False, True):
        for high in (bins + 3, 1):
            x, y = rng.integers(-2, high, 250).astype(np.int16), np.zeros(bins, int)
            run(counting(threads, items, bins, composite), 1, threads, x, y, engine=engine)
            expected = np.bincount(x[(x >= 0) & (x < bins)], minlength=bins)
            np.testing.assert_array_equal(y, expected + (10 * np.arange(bins) if composite else 0))


# --- neighbours -------------------------------------------------------------------------------------------------------


@functools.cache
def neighbouring(make, dtype, threads, items, with_edge, **options):
    combine, native = make(dtype, threads, items, **options), native_type(dtype)
    load, store = block_load(dtype, threads, items), block_store(dtype, threads, items)
    flags_only = make is block_discontinuity

    @cuda.jit
    def kernel(x, y, edge):
        mine, flags = cuda.local.array(items, native), cuda.local.array(items, types.int32)
        load(x, 0, mine)
        if flags_only:
            if with_edge:
                combine(mine, flags, edge)
            else:
                combine(mine, flags)
            store(y, 0, flags)
        else:
            for _ in range(2):  # the same memory again
                if with_edge:
                    combine(mine, mine, edge)
                else:
                    combine(mine, mine)
            store(y, 0, mine)

    return kernel


def weighted(item, neighbour):
    return item - 2 * neighbour


@shapes
@pytest.mark.parametrize("side", ["left", "right"])
def test_differences_are_of_neighbours(side, engine, threads, items, rng):
    count = count_of(threads, items)
    for op, with_edge in ((operator.sub, True), (weighted, False)):
        x, y = rng.integers(-9, 9, count), np.zeros(count, int)
        kernel = neighbouring(block_adjacent_difference, np.dtype("q"), threads, items, with_edge, op=op, side=side)
        run(kernel, 1, threads, x, y, 5, engine=engine)
        edge = 0 if side == "left" else -1
        for _ in range(2):
            padded = np.r_[5, x] if side == "left" else np.r_[x, 5]
            expected = op(x, padded[:-1] if side == "left" else padded[1:])
            if not with_edge:
                expected[edge] = x[edge]
            x = expected
        np.testing.assert_array_equal(y, x)


@shapes
@pytest.mark.parametrize("flag", ["heads", "tails"])
def test_runs_are_flagged_where_they_begin_or_end(flag, engine, threads, items, rng):
    count = count_of(threads, items)
    for with_edge in (True, False):
        x, y = rng.integers(0, 3, count).astype("e"), np.zeros(count, int)
        kernel = neighbouring(block_discontinuity, np.dtype("e"), threads, items, with_edge, flag=flag)
        run(kernel, 1, threads, x, y, np.float16(1), engine=engine)
        edge = 1 if with_edge else -1
        padded = np.r_[edge, x] if flag == "heads" else np.r_[x, edge]
        np.testing.assert_array_equal(y, padded[1:] != padded[:-1])


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: block_radix_sort("D", 32, 4), "dtype: a radix sort has booleans, integers or floats for keys"),
        (lambda: block_radix_sort("i", 32, 4, begin_bit=8, end_bit=8), "bits 8 to 8"),
        (lambda: block_radix_sort("i", 32, 4, arrangement="warp"), "arrangement: 'warp'"),
        (lambda: block_radix_sort("i", 1024, 64), "at most 65,535 keys, not 65536"),
        (lambda: block_radix_sort("i", 1024, 32), "block_radix_sort: .* bytes of shared memory"),
        (lambda: block_merge_sort("d", 1024, 8), "block_merge_sort: .* bytes of shared memory"),
        (lambda: block_histogram(32, 4, 0), "bins: at least 1"),
        (lambda: block_discontinuity("i", 32, 4, flag="both"), "flag: 'both'"),
        (lambda: block_adjacent_difference("i", 32, 4, side="up"), "side: 'up'"),
    ],
)
def test_sizes_and_names_are_checked_where_the_function_is_made(make, text):
    with pytest.raises(ValueError, match=text):
        make()

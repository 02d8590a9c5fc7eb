"""Reductions, scans, broadcasts and votes of a block, against NumPy, in both engines and on a GPU."""

import functools
import math
import operator

import numpy as np
import pytest
from numba import cuda

from kernels.device import (
    block_all,
    block_any,
    block_argmax,
    block_argmin,
    block_broadcast,
    block_count,
    block_exclusive_scan,
    block_exclusive_scan_with_total,
    block_exclusive_sum,
    block_exclusive_sum_with_total,
    block_inclusive_scan,
    block_inclusive_scan_with_total,
    block_inclusive_sum,
    block_max,
    block_min,
    block_prod,
    block_reduce,
    block_size,
    block_sum,
    thread_index,
    warp_index,
)
from kernels.device.instructions import SIMULATED, device_function, of_scalars
from kernels.device.memory import loader, storer
from tests.device.blocks import ENGINES, after, assert_sums, composed, everywhere, random, run, with_dtypes

#: Blocks that are one thread, a warp less or more one, no power of 2, and of two and three dimensions.
SHAPES = [1, 31, 32, 33, 96, 257, (8, 5), (4, 3, 5), (2, 2, 16)]
#: The interpreted engine takes 15 us a thread and operation.
SHORT = [1, 33, (4, 3, 5)]
shapes = pytest.mark.parametrize(
    ("engine", "shape"), [(e, s) for e in ENGINES for s in (SHORT if e == "interpreted" else SHAPES)], ids=str
)


def count_of(shape):
    return math.prod(shape) if isinstance(shape, tuple) else shape


# --- where a thread is ------------------------------------------------------------------------------------------------


@cuda.jit
def places(y):
    t = thread_index()
    y[t, 0], y[t, 1], y[t, 2] = t, block_size(), warp_index()


@shapes
def test_threads_count_in_the_order_of_their_warps(shape, engine):
    count = count_of(shape)
    y = np.zeros((count, 3), int)
    run(places, 1, shape, y, engine=engine)
    t = np.arange(count)
    np.testing.assert_array_equal(y, np.stack([t, np.full(count, count), t // 32], axis=1))


# --- reductions -------------------------------------------------------------------------------------------------------


@cuda.jit
def reduces(a, b, y, valid):
    t = thread_index()
    found = block_reduce((a[t], (b[t], t, t)), after, valid)
    y[t, 0], y[t, 1], y[t, 2], y[t, 3] = found[0], found[1][0], found[1][1], found[1][2]


@shapes
def test_a_reduction_combines_threads_in_their_order(shape, engine, rng):
    count = count_of(shape)
    a, b = rng.integers(1, 1000, count), rng.integers(1, 1000, count)
    for valid in sorted({1, count // 3 + 1, count // 32 * 32 or 1, count, 1024}):
        y = np.zeros((count, 4), int)
        run(reduces, 1, shape, a, b, y, valid, engine=engine, seed=valid)
        np.testing.assert_array_equal(y, [composed(a[:valid], b[:valid])[-1]] * count)


@cuda.jit
def numbers(x, total, product, least, most):
    t = thread_index()
    total[t], product[t] = block_sum(x[t]), block_prod(x[t])
    least[t], most[t] = block_min(x[t]), block_max(x[t])


@with_dtypes("bF")
def test_sums_products_and_extremes_are_those_of_numpy(engine, dtype, rng):
    x = random(dtype, 70, rng)
    if x.dtype.kind in "fc":
        x[8:] = 1  # products that stay within float16
    total, product, least, most = (np.zeros_like(x) for _ in range(4))
    run(numbers, 1, 70, x, total, product, least, most, engine=engine)
    wide = np.clongdouble if x.dtype.kind in "fc" else x.dtype
    assert_sums(total, x.sum(dtype=wide), np.abs(x).sum(dtype=np.longdouble), 7)
    exact = x.prod(dtype=wide)
    assert_sums(product, exact, np.abs(exact), 140 if x.dtype.kind == "c" else 70)
    np.testing.assert_array_equal(least, x.min())
    np.testing.assert_array_equal(most, x.max())
    assert len(set(total.tolist())) == len(set(product.tolist())) == 1


@everywhere
def test_nan_is_the_least_and_the_largest(engine, rng):
    for place in (0, 40, 69):
        x = random("f", 70, rng)
        x[place] = np.nan
        found = [np.zeros_like(x) for _ in range(4)]
        run(numbers, 1, 70, x, *found, engine=engine)
        assert np.isnan(found[2]).all()
        assert np.isnan(found[3]).all()


@cuda.jit
def extremes(x, values, places, valid):
    t = thread_index()
    count = block_size()
    values[t, 0], places[t, 0] = block_argmin(x[t], t, valid)
    values[t, 1], places[t, 1] = block_argmax(x[t], count - 1 - t, valid)


@shapes
def test_of_equal_extremes_the_one_of_the_smallest_index_is_taken(shape, engine, rng):
    count = count_of(shape)
    for with_nan in (False, True):
        x = rng.integers(0, 4, count).astype("f")
        if with_nan:
            x[rng.integers(0, count, 2)] = np.nan
        for valid in {count, (count + 1) // 2}:
            values, places = np.zeros((count, 2), "f"), np.zeros((count, 2), int)
            run(extremes, 1, shape, x, values, places, valid, engine=engine)
            least, most = np.argmin(x[:valid]), valid - 1 - np.argmax(x[:valid][::-1])
            np.testing.assert_array_equal(places, [[least, count - 1 - most]] * count)
            np.testing.assert_array_equal(values, [[x[least], x[most]]] * count)


@cuda.jit
def rounds(x, y):
    t = thread_index()
    value = x[t]
    for _ in range(5):
        value = block_sum(value) - block_max(value) + value
        value = block_exclusive_sum(value) + block_broadcast(value, 40)
    y[t] = value


@everywhere
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_calls_may_follow_one_another(seed, engine, rng):
    x, y = rng.integers(-5, 5, 70), np.zeros(70, int)
    run(rounds, 1, 70, x, y, engine=engine, seed=seed)
    for _ in range(5):
        x = x.sum() - x.max() + x
        x = x.cumsum() - x + x[40]
    np.testing.assert_array_equal(y, x)


# --- scans ------------------------------------------------------------------------------------------------------------


@functools.cache
def scans(with_total):
    inclusive_of, exclusive_of = block_inclusive_scan, block_exclusive_scan
    if with_total:

        @cuda.jit
        def kernel(a, b, inclusive, exclusive, totals):
            t = thread_index()
            start = a[t], (b[t], t, t)
            found, total = block_inclusive_scan_with_total(start, after)
            inclusive[t, 0], inclusive[t, 1] = found[0], found[1][0]
            inclusive[t, 2], inclusive[t, 3] = found[1][1], found[1][2]
            totals[t, 0], totals[t, 1] = total[0], total[1][0]
            found, total = block_exclusive_scan_with_total(start, after, (3, (4, -1, -1)))
            exclusive[t, 0], exclusive[t, 1] = found[0], found[1][0]
            exclusive[t, 2], exclusive[t, 3] = found[1][1], found[1][2]
            totals[t, 2], totals[t, 3] = total[0], total[1][0]
    else:

        @cuda.jit
        def kernel(a, b, inclusive, exclusive, totals):
            t = thread_index()
            start = a[t], (b[t], t, t)
            found = inclusive_of(start, after)
            inclusive[t, 0], inclusive[t, 1] = found[0], found[1][0]
            inclusive[t, 2], inclusive[t, 3] = found[1][1], found[1][2]
            found = exclusive_of(start, after)
            exclusive[t, 0], exclusive[t, 1] = found[0], found[1][0]
            exclusive[t, 2], exclusive[t, 3] = found[1][1], found[1][2]

    return kernel


@shapes
@pytest.mark.parametrize("with_total", [True, False])
def test_scans_combine_threads_in_their_order(with_total, shape, engine, rng):
    count = count_of(shape)
    a, b = rng.integers(1, 1000, count), rng.integers(1, 1000, count)
    inclusive, exclusive, totals = (np.zeros((count, 4), int) for _ in range(3))
    run(scans(with_total), 1, shape, a, b, inclusive, exclusive, totals, engine=engine)
    expected = composed(a, b)
    np.testing.assert_array_equal(inclusive, expected)
    if not with_total:
        np.testing.assert_array_equal(exclusive[1:], expected[:-1])
        return
    np.testing.assert_array_equal(totals, [[*expected[-1, :2]] * 2] * count)
    before = composed(np.r_[3, a], np.r_[4, b])[:-1]
    before[:, 2:] += [-1, -1]
    np.testing.assert_array_equal(exclusive, before)


@cuda.jit
def running_sums(x, inclusive, exclusive, again, total):
    t = thread_index()
    inclusive[t], exclusive[t] = block_inclusive_sum(x[t]), block_exclusive_sum(x[t])
    again[t], total[t] = block_exclusive_sum_with_total(x[t])


@with_dtypes("bF")
def test_running_sums_are_those_of_numpy(engine, dtype, rng):
    x = random(dtype, 70, rng)
    found = [np.zeros_like(x) for _ in range(4)]
    run(running_sums, 1, 70, x, *found, engine=engine)
    wide = np.clongdouble if x.dtype.kind in "fc" else x.dtype
    exact, size = x.cumsum(dtype=wide), np.abs(x).cumsum(dtype=np.longdouble)
    before = np.r_[exact[:1] * 0, exact[:-1]].astype(wide)
    for y, expected in zip(found, (exact, before, before, exact[-1]), strict=True):
        assert_sums(y, expected, size[-1] if expected.ndim == 0 else size, 8)
    np.testing.assert_array_equal(found[1], found[2])


# --- broadcast, votes -------------------------------------------------------------------------------------------------


@cuda.jit
def broadcasts(x, y, source):
    t = thread_index()
    last = block_broadcast(x[t], block_size() - 1)
    y[t] = block_broadcast(x[t] if t < block_size() - 1 else last, source)


@with_dtypes("?D", "?BhqefdD")
def test_all_threads_have_what_one_broadcasts(engine, dtype, rng):
    x, y = random(dtype, 70, rng), np.zeros(70, dtype)
    for source in (0, 33, 69):
        run(broadcasts, 1, (7, 10), x, y, source, engine=engine)
        np.testing.assert_array_equal(y, x[source])


@cuda.jit
def votes(x, some, every, count):
    t = thread_index()
    some[t], every[t], count[t] = block_any(x[t]), block_all(x[t]), block_count(x[t])


@everywhere
@pytest.mark.parametrize("true", [[], [69], [3, 40], range(70)])
def test_votes_count_what_is_not_zero(true, engine):
    x = np.zeros(70)
    x[list(true)] = 0.25
    some, every, count = np.zeros(70, bool), np.ones(70, bool), np.zeros(70, int)
    run(votes, 1, 70, x, some, every, count, engine=engine)
    np.testing.assert_array_equal(some, len(true) > 0)
    np.testing.assert_array_equal(every, len(true) == 70)
    np.testing.assert_array_equal(count, len(true))


# --- operators, and NumPy scalars -------------------------------------------------------------------------------------


@cuda.jit
def operators(x, y):
    t = thread_index()
    y[t, 0] = block_reduce(x[t], operator.xor)
    y[t, 1] = block_reduce(x[t], max)
    y[t, 2] = block_reduce(x[t], lambda a, b: a & b)


@everywhere
def test_operators_are_what_a_kernel_can_call(engine, rng):
    x, y = rng.integers(0, 2**40, 70), np.zeros((70, 3), int)
    run(operators, 1, 70, x, y, engine=engine)
    expected = np.bitwise_xor.reduce(x), x.max(), np.bitwise_and.reduce(x)
    np.testing.assert_array_equal(y, [expected] * 70)


@device_function
def merge(a, b):
    """Of the largest and the sum of exponentials relative to it."""
    largest = np.maximum(a[0], b[0])
    return largest, a[1] * np.exp(a[0] - largest) + b[1] * np.exp(b[0] - largest)


load, store = loader(("vector",), 1), storer(1)


@cuda.jit
@of_scalars
def log_sum_exp(x, y):
    t = thread_index()
    value = load(x, (t,))[0][0]
    largest, total = block_reduce((value, value * 0 + 1), merge)
    store(y, (t,), ((largest + np.log(total),),))


@pytest.mark.skipif(not SIMULATED, reason="kernels of NumPy scalars take pointers, which the simulator alone makes")
@pytest.mark.parametrize("dtype", ["e", "f", "d"])
def test_kernels_of_numpy_scalars_keep_their_dtype(dtype, rng):
    x, y = random(dtype, 70, rng), np.zeros(70, dtype)
    run(log_sum_exp, 1, 70, (x,), (y,), engine="interpreted")
    exact = np.log(np.exp(x.astype(np.longdouble)).sum())
    np.testing.assert_allclose(y.astype(np.longdouble), exact, atol=64 * float(np.finfo(dtype).eps), rtol=0)

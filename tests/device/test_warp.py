"""Shuffles, reductions, scans and votes of a warp, against NumPy, in both engines and on a GPU."""

import functools
import operator

import numpy as np
import pytest
from numba import cuda
from numba.core.errors import TypingError

from kernels.device import (
    shuffle,
    shuffle_down,
    shuffle_up,
    shuffle_xor,
    warp_all,
    warp_any,
    warp_argmax,
    warp_argmin,
    warp_ballot,
    warp_broadcast,
    warp_exclusive_scan,
    warp_exclusive_sum,
    warp_inclusive_scan,
    warp_inclusive_sum,
    warp_match,
    warp_max,
    warp_min,
    warp_prod,
    warp_reduce,
    warp_sum,
)
from kernels.simulator import DivergenceError
from tests.device.blocks import after, assert_sums, both, composed, everywhere, random, run, with_dtypes

LANES = np.arange(32)

# --- shuffles ---------------------------------------------------------------------------------------------------------


@functools.cache
def shuffles(width):
    mask = 5 % width

    @cuda.jit
    def kernel(x, by_lane, up, down, partner, below):
        t = cuda.threadIdx.x
        by_lane[t] = shuffle(x[t], t * 5 + 2, width)
        up[t] = shuffle_up(x[t], 3, width)
        down[t] = shuffle_down(x[t], 3, width)
        partner[t] = shuffle_xor(x[t], mask, width)
        below[t] = warp_broadcast(x[t], 1, width)

    return kernel


def sources(width):
    """The lanes that `shuffles` read."""
    first, lane = LANES // width * width, LANES % width
    return [
        first + (LANES * 5 + 2) % width,
        np.where(lane >= 3, LANES - 3, LANES),
        np.where(lane + 3 < width, LANES + 3, LANES),
        LANES ^ (5 % width),
        first + 1 % width,
    ]


@with_dtypes()
def test_shuffles_bring_the_bits_of_other_lanes(engine, dtype, rng):
    x = random(dtype, 32, rng)
    if np.dtype(dtype).kind == "f":
        x[3], x[4] = np.nan, -0.0
    for width in (32,) if engine == "compiled" else (32, 8, 1):
        found = [np.zeros_like(x) for _ in range(5)]
        run(shuffles(width), 1, 32, x, *found, engine=engine)
        for y, lanes in zip(found, sources(width), strict=True):
            np.testing.assert_array_equal(y.view(np.uint8), x[lanes].view(np.uint8))


@cuda.jit
def tuples(x, z, ints, floats, wide):
    t = cuda.threadIdx.x
    found = shuffle_down(((x[t], t), (z[t],), x[t] > 0), 1)
    ints[t] = found[0][1] if found[2] else -found[0][1]
    floats[t] = found[0][0]
    wide[t] = found[1][0]


@everywhere
def test_shuffles_take_tuples_of_several_types(engine, rng):
    x, z = random("f", 32, rng), random("D", 32, rng)
    ints, floats, wide = np.zeros(32, int), np.zeros(32, "f"), np.zeros(32, "D")
    run(tuples, 1, 32, x, z, ints, floats, wide, engine=engine)
    source = np.minimum(LANES + 1, 31)
    np.testing.assert_array_equal(ints, np.where(x[source] > 0, source, -source))
    np.testing.assert_array_equal(floats, x[source])
    np.testing.assert_array_equal(wide, z[source])


@cuda.jit
def in_groups(x, y):
    t = cuda.threadIdx.x
    if t & 8:
        y[t] = warp_sum(x[t], 8)
    else:
        y[t] = warp_max(x[t], 8)


@everywhere
def test_groups_of_lanes_work_apart(engine, rng):
    x, y = rng.integers(-100, 100, 32), np.zeros(32, int)
    run(in_groups, 1, 32, x, y, engine=engine)
    groups = x.reshape(4, 8)
    expected = np.where(np.arange(4) % 2, groups.sum(1), groups.max(1))
    np.testing.assert_array_equal(y, expected.repeat(8))


@cuda.jit
def reads_a_lane_that_is_not_there(x, y):
    y[cuda.threadIdx.x] = warp_sum(x[cuda.threadIdx.x])


@both
def test_a_warp_that_is_not_full_must_say_so(engine):
    with pytest.raises(DivergenceError, match="a lane that does not take part"):
        run(reads_a_lane_that_is_not_there, 1, 7, np.ones(7), np.zeros(7), engine=engine)


# --- reductions -------------------------------------------------------------------------------------------------------


@functools.cache
def reduces(width):
    @cuda.jit
    def kernel(a, b, y, valid):
        t = cuda.threadIdx.x
        found = warp_reduce((a[t], (b[t], t, t)), after, width, valid)
        y[t, 0], y[t, 1], y[t, 2], y[t, 3] = found[0], found[1][0], found[1][1], found[1][2]

    return kernel


@everywhere
@pytest.mark.parametrize(("width", "valid"), [(32, 32), (32, 19), (32, 1), (16, 16), (8, 5), (1, 1)])
def test_a_reduction_combines_lanes_in_their_order(width, valid, engine, rng):
    a, b = rng.integers(1, 1000, 32), rng.integers(1, 1000, 32)
    threads, y = valid if width == 32 else 32, np.zeros((32, 4), int)
    run(reduces(width), 1, threads, a, b, y, valid, engine=engine)
    for first in range(0, threads, width):
        some = slice(first, first + min(valid, width))
        expected = composed(a[some], b[some])[-1] + np.array([0, 0, first, first])
        np.testing.assert_array_equal(y[first : min(first + width, threads)], [expected] * min(width, threads))


@cuda.jit
def numbers(x, total, product, least, most):
    t = cuda.threadIdx.x
    total[t], product[t] = warp_sum(x[t]), warp_prod(x[t])
    least[t], most[t] = warp_min(x[t]), warp_max(x[t])


@with_dtypes("bF")
def test_sums_products_and_extremes_are_those_of_numpy(engine, dtype, rng):
    x = random(dtype, 32, rng)
    if x.dtype.kind in "fc":
        x[::3] = 1  # products that stay within float16
    total, product, least, most = (np.zeros_like(x) for _ in range(4))
    run(numbers, 1, 32, x, total, product, least, most, engine=engine)
    wide = np.clongdouble if x.dtype.kind in "fc" else x.dtype
    assert_sums(total, x.sum(dtype=wide), np.abs(x).sum(dtype=np.longdouble), 5)
    exact = x.prod(dtype=wide)
    assert_sums(product, exact, np.abs(exact), 64 if x.dtype.kind == "c" else 32)
    np.testing.assert_array_equal(least, x.min())
    np.testing.assert_array_equal(most, x.max())
    assert len(set(total.tolist())) == len(set(product.tolist())) == 1


@everywhere
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_extremes_are_the_same_bits_in_all_lanes(engine, dtype, rng):
    for values in ([0.0, -0.0], [1.0, np.nan], [np.inf, -np.inf, -0.0], [np.nan]):
        x = rng.choice(np.array(values, dtype), 32)
        x[5] = values[-1]
        found = [np.zeros_like(x) for _ in range(4)]
        run(numbers, 1, 32, x, *found, engine=engine)
        for y, expected in zip(found[2:], (x.min(), x.max()), strict=True):
            assert len(set(y.view(f"u{y.itemsize}").tolist())) == 1
            np.testing.assert_array_equal(y[0], expected)


@cuda.jit
def extremes(x, values, places, valid):
    t = cuda.threadIdx.x
    values[t, 0], places[t, 0] = warp_argmin(x[t], t, 32, valid)
    values[t, 1], places[t, 1] = warp_argmax(x[t], 31 - t, 32, valid)


@with_dtypes("dF", "?BqefdD")
def test_of_equal_extremes_the_one_of_the_smallest_index_is_taken(engine, dtype, rng):
    for with_nan in (False, True):
        x = rng.choice(random(dtype, 5, rng), 32)
        if with_nan and x.dtype.kind in "fc":
            x[[9, 20]] = np.nan
        values, places = np.zeros((32, 2), dtype), np.zeros((32, 2), int)
        for valid in (32, 17):
            run(extremes, 1, 32, x, values, places, valid, engine=engine)
            least, most = np.argmin(x[:valid]), np.argmax(x[:valid][::-1])
            np.testing.assert_array_equal(places, [[least, 32 - valid + most]] * 32)
            np.testing.assert_array_equal(values, [[x[least], x[:valid][::-1][most]]] * 32)


# --- scans ------------------------------------------------------------------------------------------------------------


@functools.cache
def scans(width):
    @cuda.jit
    def kernel(a, b, inclusive, exclusive):
        t = cuda.threadIdx.x
        found = warp_inclusive_scan((a[t], (b[t], t, t)), after, width)
        inclusive[t, 0], inclusive[t, 1] = found[0], found[1][0]
        inclusive[t, 2], inclusive[t, 3] = found[1][1], found[1][2]
        found = warp_exclusive_scan((a[t], (b[t], t, t)), after, (3, (4, -1, -1)), width)
        exclusive[t, 0], exclusive[t, 1] = found[0], found[1][0]
        exclusive[t, 2], exclusive[t, 3] = found[1][1], found[1][2]

    return kernel


@everywhere
@pytest.mark.parametrize(("width", "threads"), [(32, 32), (32, 7), (8, 32), (1, 32)])
def test_scans_combine_lanes_in_their_order(width, threads, engine, rng):
    a, b = rng.integers(1, 1000, threads), rng.integers(1, 1000, threads)
    inclusive, exclusive = np.zeros((threads, 4), int), np.zeros((threads, 4), int)
    run(scans(width), 1, threads, a, b, inclusive, exclusive, engine=engine)
    for first in range(0, threads, width):
        some = slice(first, min(first + width, threads))
        np.testing.assert_array_equal(inclusive[some], composed(a[some], b[some]) + np.array([0, 0, first, first]))
        before = composed(np.r_[3, a[some]], np.r_[4, b[some]])[:-1]
        before[:, 2:] += [-1, first - 1]
        before[0, 3] = -1
        np.testing.assert_array_equal(exclusive[some], before)


@cuda.jit
def running_sums(x, inclusive, exclusive):
    t = cuda.threadIdx.x
    inclusive[t], exclusive[t] = warp_inclusive_sum(x[t]), warp_exclusive_sum(x[t])


@with_dtypes("bF", "?bQedF")
def test_running_sums_are_those_of_numpy(engine, dtype, rng):
    x = random(dtype, 32, rng)
    inclusive, exclusive = np.zeros_like(x), np.zeros_like(x)
    run(running_sums, 1, 32, x, inclusive, exclusive, engine=engine)
    wide = np.clongdouble if x.dtype.kind in "fc" else x.dtype
    exact, size = x.cumsum(dtype=wide), np.abs(x).cumsum(dtype=np.longdouble)
    assert_sums(inclusive, exact, size, 5)
    assert_sums(exclusive, np.r_[exact[:1] * 0, exact[:-1]].astype(wide), size, 5)


# --- votes ------------------------------------------------------------------------------------------------------------


@cuda.jit
def votes(x, some, every, lanes):
    t = cuda.threadIdx.x
    some[t], every[t], lanes[t] = warp_any(x[t]), warp_all(x[t]), warp_ballot(x[t])


@everywhere
@pytest.mark.parametrize("true", [[], [0], [31], [3, 4, 17], range(32)])
def test_votes_count_what_is_not_zero(true, engine):
    x = np.zeros(32)
    x[list(true)] = -0.5
    some, every, lanes = np.zeros(32, bool), np.ones(32, bool), np.zeros(32, np.uint32)
    run(votes, 1, 32, x, some, every, lanes, engine=engine)
    np.testing.assert_array_equal(some, len(true) > 0)
    np.testing.assert_array_equal(every, len(true) == 32)
    np.testing.assert_array_equal(lanes, sum(1 << lane for lane in true))


@cuda.jit
def matches(x, y):
    y[cuda.threadIdx.x] = warp_match(x[cuda.threadIdx.x])


@with_dtypes("dD", "?hefqD")
def test_lanes_match_that_have_the_same_bits(engine, dtype, rng):
    few = random(dtype, 3, rng)
    if few.dtype.kind == "f":
        few[:2] = 0.0, -0.0
    x, y = rng.choice(few, 32), np.zeros(32, np.uint32)
    run(matches, 1, 32, x, y, engine=engine)
    rows = x.view(np.uint8).reshape(32, -1)
    same = (rows[:, None] == rows).all(-1)
    np.testing.assert_array_equal(y, (same << LANES.astype(np.uint64)).sum(1))


# --- bad input --------------------------------------------------------------------------------------------------------


@cuda.jit
def of_an_array(x, y):
    y[0] = shuffle(x, 0)[0]


@cuda.jit
def of_an_operator_of_another_shape(x, y):
    y[0] = warp_reduce((x[0], x[1]), operator.lt)


@pytest.mark.parametrize(
    ("kernel", "text"),
    [(of_an_array, "threads exchange numbers, NumPy scalars and tuples"),
     (of_an_operator_of_another_shape, "the operator makes bool of values that are")],
)  # fmt: skip
def test_what_cannot_be_exchanged_is_named(kernel, text):
    with pytest.raises(TypingError, match=text):
        run(kernel, 1, 32, np.ones(32), np.zeros(32), engine="compiled")

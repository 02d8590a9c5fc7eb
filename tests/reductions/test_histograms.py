"""Histograms against NumPy's, to the last count: bins, ranges, edges, weights, dtypes, layouts, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.reductions.histograms import counting, launching
from kernels.reductions.histograms.public import bincount, histogram, histogram2d
from kernels.testing import strategies

REAL = "?bBhHiIqQefd"
rng = np.random.default_rng(7)


def same(found, expected):
    """Equal arrays of equal dtypes."""
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected, equal_nan=found.dtype.kind in "fc")


def numbers_in_view(x):
    """NumPy warns of booleans, which it counts as bytes."""
    return x.view(np.uint8) if x.dtype == np.bool_ else x


def samples(dtype, size, seed=0):
    """Samples of any dtype between -100 and 100."""
    found = np.random.default_rng(seed).normal(size=size) * (1 if dtype in "efd" else 30)
    return (np.abs(found) if dtype in "?BHIQ" else found).clip(-100, 100).astype(dtype)


def test_counts_and_edges_are_numpys_for_every_dtype():
    for dtype in REAL:
        x = samples(dtype, 150)
        for bins, limits in ((7, None), (5, (-1, 2)), (33, (0.1, 50.3))):
            counts, edges = histogram(x, bins, limits)
            expected, expected_edges = np.histogram(numbers_in_view(x), bins, limits)
            same(counts, expected)
            same(edges, expected_edges)


@given(
    dtype=st.sampled_from("efd"),
    bins=st.integers(1, 300),
    low=st.floats(-100, 100, width=16),
    width=st.floats(0.125, 100, width=16),
    seed=st.integers(0, 99),
)
def test_samples_on_edges_and_beside_them_fall_where_numpys_do(dtype, bins, low, width, seed):
    kind = np.dtype(dtype)
    limits = (low, low + width)
    try:
        edges = np.histogram_bin_edges(np.zeros(1, kind), bins, limits)
    except ValueError:
        with pytest.raises(ValueError, match="Too many bins"):
            histogram(np.zeros(1, kind), bins, limits)
        return
    near = np.random.default_rng(seed).choice(edges, 40)
    x = np.concatenate(
        [edges[:1], edges[-1:], near, np.nextafter(near, kind.type(-np.inf)), np.nextafter(near, kind.type(np.inf))]
    )
    same(histogram(x, bins, limits)[0], np.histogram(x, bins, limits)[0])


@given(seed=st.integers(0, 99), bins=st.integers(1, 60), dtype=st.sampled_from("bhqefd"))
def test_given_edges_may_repeat_and_hold_samples(seed, bins, dtype):
    source = np.random.default_rng(seed)
    x = samples(dtype, 90, seed)
    edges = np.sort(source.choice(x, bins + 1))
    same(histogram(x, edges)[0], np.histogram(x, edges)[0])


@pytest.mark.parametrize("dtype", list("bhqQefd"))
def test_edges_that_crowd_tell_samples_apart_as_well(dtype):
    near = np.sort(np.abs(rng.normal(size=40)).astype("e") * (100 if dtype in "bhqQ" else 1)).clip(0, 120).astype(dtype)
    edges = np.concatenate([near, near[-1:], near[-1:] + np.array([3, 7]).astype(dtype)])
    x = np.concatenate([edges, rng.choice(near, 60), samples(dtype, 60)])
    if dtype in "efd":
        x = np.concatenate([x, np.nextafter(edges, np.inf, dtype=dtype), np.array([np.nan, np.inf, -np.inf], dtype)])
    w = np.ones(x.size, int)
    same(histogram(x, edges, weights=w)[0], np.histogram(x, edges, weights=w)[0])


def test_edges_of_another_dtype_are_compared_in_the_common_one():
    x = np.array([0.1, 0.2, 0.3, 0.7], np.float32)
    edges = np.array([0.1, 0.2, 0.3, 0.7])
    same(histogram(x, edges)[0], np.histogram(x, edges)[0])
    large = np.array([2**53, 2**53 + 1, 2**53 + 2])
    same(histogram(large, large.astype(float))[0], np.histogram(large, large.astype(float))[0])


def test_complex_samples_are_sorted_into_given_edges():
    z = rng.normal(size=80) + 1j * rng.integers(0, 3, 80)
    edges = np.sort(z[:6])
    same(histogram(z, edges)[0], np.histogram(z, edges)[0])


def test_all_samples_in_one_bin_are_counted_in_that_bin():
    x = np.full(500, 0.25, np.float32)
    for bins in (1, 16, 700, 3000):
        same(histogram(x, bins, (0, 1))[0], np.histogram(x, bins, (0, 1))[0])
        same(histogram(x, bins)[0], np.histogram(x, bins)[0])


def test_bins_beyond_one_pass_and_beyond_all_passes_are_counted():
    words = launching.limits(0).block_shared // 4
    x = rng.random(300).astype(np.float32)
    for bins in (words - 1, words + 1, 4 * words, 4 * words + 1, 5 * words):
        same(histogram(x, bins, (0, 1))[0], np.histogram(x, bins, (0, 1))[0])
        whole = rng.integers(0, bins, 200)
        whole[0] = bins - 1
        same(bincount(whole), np.bincount(whole))


@pytest.mark.parametrize("start", [0, 1])
def test_counts_of_long_runs_are_added_up_before_they_overflow(start):
    x = rng.normal(size=4000).astype(np.float32)[start:]
    assert counting.LONGEST < x.size // (3 * counting.THREADS)
    for bins in (99, 100, 500):
        way = counting.way(bins, 1, x.size, launching.limits(0), run=True)
        assert way.paired
        same(histogram(x, bins, (-3, 3))[0], np.histogram(x, bins, (-3, 3))[0])


@pytest.mark.parametrize("bins", [700, 4096, 14000])
def test_halves_of_words_hold_what_the_threads_of_a_column_count(bins):
    way = counting.way(bins, 1, 1 << 28, launching.H100, run=True)
    assert way.shared <= launching.H100.block_shared
    for width in (1, 2, 4, 8):
        rest = 2  # elements beside the groups, of a thread
        assert (way.paired // width * width + rest) * (way.threads // way.columns) < 2**16


def test_nan_is_in_no_bin_and_decides_no_range():
    x = np.array([0.5, np.nan, 0.25, np.inf, -np.inf], np.float32)
    same(histogram(x, 4, (0, 1))[0], np.histogram(x, 4, (0, 1))[0])
    edges = np.array([0.0, 0.3, np.inf])
    same(histogram(x, edges)[0], np.histogram(x, edges)[0])
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=r"autodetected range of .* is not finite"):
            histogram(np.array([0.5, value]))


@pytest.mark.parametrize("step", [(1, 1), (1, 2), (2, -1), (-3, 3)])
def test_any_strides_are_read_in_place(step):
    x = rng.normal(size=(12, 20)).astype(np.float32)[:: step[0], :: step[1]]
    w = rng.integers(0, 9, x.shape)
    for view, weights in ((x, w), (x.T, w.T), (np.broadcast_to(x[:1], x.shape), w)):
        same(histogram(view, 6)[0], np.histogram(view, 6)[0])
        same(histogram(view, 6, weights=weights)[0], np.histogram(view, 6, weights=weights)[0])


@given(start=st.integers(0, 9), size=st.integers(0, 90), dtype=st.sampled_from("befd"))
def test_runs_may_begin_anywhere(start, size, dtype):
    x = samples(dtype, 120)[start : start + size]
    same(histogram(x, 9, (-2, 2))[0], np.histogram(x, 9, (-2, 2))[0])


def test_no_samples_and_single_numbers_are_samples_too():
    for x in ([], np.empty((0, 3), np.float32), 5.0, np.float32(2.5), [[1, 2], [3, 4]]):
        found, expected = histogram(x, 4), np.histogram(x, 4)
        same(found[0], expected[0])
        same(found[1], expected[1])


# --- weights ----------------------------------------------------------------------------------------------------------


def exact_sums(x, edges, w):
    """Sums of weights by `math.fsum`: correctly rounded."""
    inside = (x >= edges[0]) & (x <= edges[-1])
    at = np.minimum(np.searchsorted(edges, x, "right") - 1, len(edges) - 2)
    return np.array([math.fsum(w[inside & (at == j)].astype(float).tolist()) for j in range(len(edges) - 1)])


def bound(w, size):
    """What a bin may be in error by for each weight in it, as documented."""
    finite = np.abs(w[np.isfinite(w)].astype(float))
    bits = min(62 - max(size - 1, 1).bit_length(), 52)
    return 2.0 ** (math.frexp(finite.max(initial=0.0))[1] - 2 * bits - 1)


@given(
    seed=st.integers(0, 99), dtype=st.sampled_from("efd"), spread=st.integers(0, 250), bins=st.sampled_from([1, 5, 90])
)
def test_sums_of_floats_are_within_the_documented_bound(seed, dtype, spread, bins):
    source = np.random.default_rng(seed)
    spread = min(spread, {"e": 6, "f": 60, "d": 250}[dtype])
    x, w = (
        source.random(120),
        (source.normal(size=120) * 2.0 ** source.integers(-spread, spread + 1, 120)).astype(dtype),
    )
    sums, edges = histogram(x, bins, (0, 1), weights=w)
    expected = exact_sums(x, edges, w)
    assert sums.dtype == w.dtype
    counts = np.histogram(x, bins, (0, 1))[0]
    ulp = np.spacing(np.abs(expected).astype(dtype)).astype(float)
    with np.errstate(over="ignore"):
        assert np.all(np.abs(sums.astype(float) - expected) <= counts * bound(w, 120) + 2 * ulp)


def test_sums_are_the_same_in_any_order():
    x, w = rng.random(400), rng.normal(size=400) * 10.0 ** rng.integers(-9, 9, 400)
    sums = histogram(x, 11, (0, 1), weights=w)[0]
    for _ in range(3):
        order = rng.permutation(400)
        same(histogram(x[order], 11, (0, 1), weights=w[order])[0], sums)


@pytest.mark.parametrize("dtype", list("?bBhHiIqQ"))
def test_sums_of_integers_are_exact(dtype):
    x, w = rng.random(200), samples(dtype, 200, 3) // 20 if dtype != "?" else samples(dtype, 200, 3)
    same(histogram(x, 5, (0, 1), weights=w)[0], np.histogram(x, 5, (0, 1), weights=w)[0])


def test_large_integers_are_summed_exactly_where_numpy_goes_through_floats():
    w = np.array([2**60 + 1, 2**60 + 1, -(2**60)])
    assert histogram([0.5, 0.5, 0.5], 1, (0, 1), weights=w)[0].tolist() == [2**60 + 2]


@pytest.mark.parametrize("dtype", list("FD"))
def test_real_and_imaginary_parts_are_summed_apart(dtype):
    x, w = rng.random(150), (rng.normal(size=150) + 1j * rng.normal(size=150)).astype(dtype)
    sums, edges = histogram(x, 6, (0, 1), weights=w)
    assert sums.dtype == w.dtype
    counts = np.histogram(x, 6, (0, 1))[0]
    for part, found in ((w.real, sums.real), (w.imag, sums.imag)):
        expected = exact_sums(x, edges, part)
        tolerance = counts * bound(np.maximum(abs(w.real), abs(w.imag)), 150) + 2 * np.spacing(
            np.abs(expected).astype(found.dtype)
        )
        assert np.all(np.abs(found - expected) <= tolerance)


def test_infinite_and_undefined_weights_stay_in_their_bins():
    x = np.array([0.1, 0.1, 0.3, 0.3, 0.5, 0.5, 0.7, 0.9])
    w = np.array([np.inf, 1.0, -np.inf, np.inf, -np.inf, 2.0, np.nan, 0.25])
    expected = np.array([np.inf, np.nan, -np.inf, np.nan, 0.25])
    for dtype in "efd":
        assert np.array_equal(
            histogram(x, 5, (0, 1), weights=w.astype(dtype))[0], expected.astype(dtype), equal_nan=True
        )
    found = histogram(x, 5, (0, 1), weights=1 - 1j * np.where(np.isfinite(w), w, 0))[0]
    assert np.all(np.isfinite(found))


@pytest.mark.parametrize("weights", [None, "i", "f", "d", "D"])
def test_densities_integrate_to_one(weights):
    x = rng.normal(size=200)
    w = None if weights is None else (np.abs(rng.normal(size=200)) * 9 + 1).astype(weights)
    edges = np.array([-2.0, -1.0, 0.25, 0.5, 3.0])
    for bins in (8, edges):
        found, places = histogram(x, bins, density=True, weights=w)
        expected = np.histogram(x, bins, density=True, weights=w)[0]
        assert found.dtype == expected.dtype
        if weights in (None, "i"):
            same(found, expected)
        eps = np.finfo(np.float32 if weights == "f" else np.float64).eps
        assert np.allclose(found, expected, rtol=200 * eps, atol=0)
        assert abs((found * np.diff(places)).sum() - 1) <= 20 * np.finfo(float).eps


# --- two axes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtypes", ["dd", "ff", "fd", "ib", "eQ", "?h"])
def test_histograms_of_pairs_are_numpys(dtypes):
    x, y = samples(dtypes[0], 160, 1), samples(dtypes[1], 160, 2)
    for bins in (4, (3, 60), (np.array([-1.0, 0.0, 2.0]), 5), [-30, 0, 1, 30]):
        for limits in (None, ((-1, 2), None)):
            found, expected = histogram2d(x, y, bins, limits), np.histogram2d(x, y, bins, limits)
            for ours, theirs in zip(found, expected, strict=True):
                same(ours, theirs)


def test_weights_and_densities_of_pairs_are_numpys():
    x, y, w = rng.normal(size=(3, 150))
    whole = (w * 9).astype(np.int32)
    same(histogram2d(x, y, 5, weights=whole)[0], np.histogram2d(x, y, 5, weights=whole)[0])
    same(histogram2d(x, y, 5, density=True)[0], np.histogram2d(x, y, 5, density=True)[0])
    found, expected = histogram2d(x, y, 5, weights=w)[0], np.histogram2d(x, y, 5, weights=w)[0]
    assert np.all(np.abs(found - expected) <= 150 * np.finfo(float).eps * np.abs(w).sum())


# --- integers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", list("?bBhHiIq"))
def test_integers_are_counted_as_numpy_counts_them(dtype):
    x = np.abs(samples(dtype, 130).astype(int)).astype(dtype)
    same(bincount(x), np.bincount(x))
    same(bincount(x, minlength=120), np.bincount(x, minlength=120))
    w = rng.integers(-9, 9, 130).astype(np.float32)
    same(bincount(x, w), np.bincount(x, w))
    same(bincount(x[::-2], length=7), np.bincount(x[::-2], minlength=7)[:7])


def test_a_given_length_counts_only_what_is_inside():
    x = np.array([3, -1, 0, 7, 2**40, -(2**40), 6])
    assert bincount(x, length=7).tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert bincount(np.array([200, 3], np.uint8), length=300)[[3, 200]].tolist() == [1, 1]
    assert bincount(np.array([-3, 3], np.int8), length=260).tolist() == [0, 0, 0, 1] + [0] * 256
    assert bincount(x, length=0).tolist() == []
    assert bincount([], minlength=3).tolist() == [0, 0, 0]


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["q", "d", "f"])
def test_results_are_written_where_they_are_asked_for(dtype):
    x = rng.random(100)
    room = np.zeros(16, dtype)
    for out in (room[:8], room[::2], room[::-2]):
        found, _ = histogram(x, 8, (0, 1), out=out)
        assert found is out
        assert np.array_equal(out, np.histogram(x, 8, (0, 1))[0])
    table = np.zeros((3, 4), order="F")
    histogram2d(x, x, (3, 4), out=table)
    assert np.array_equal(table, np.histogram2d(x, x, (3, 4))[0])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: histogram(x, 0), ValueError, "bins.*positive"),
        (lambda x: histogram(x, 2.5), TypeError, "integer"),
        (lambda x: histogram(x, "auto"), TypeError, "bins must be a number or an array of edges"),
        (lambda x: histogram(x, [3, 2, 1]), ValueError, "bins must increase monotonically"),
        (lambda x: histogram(x, np.zeros((2, 2))), ValueError, "bins must be a number or a 1-D array"),
        (lambda x: histogram(x, 4, (2, 1)), ValueError, "max must be larger than min"),
        (lambda x: histogram(x, 4, (0, np.inf)), ValueError, "is not finite"),
        (lambda x: histogram(x, 4, weights=x[:2]), ValueError, "weights must have the shape of a"),
        (lambda x: histogram(x + 1j, 4), TypeError, "a must be real for equal bins"),
        (lambda x: histogram(x, 4, out=np.zeros(3, int)), ValueError, "out has shape"),
        (lambda x: histogram(x, 4, out=np.zeros(4, bool)), TypeError, "out has dtype bool"),
        (lambda x: histogram(x, 4, (0, 1), out=x[:4]), ValueError, "out overlaps a"),
        (lambda x: histogram2d(x, x[:3]), ValueError, "y must have one axis, as long as x"),
        (lambda x: histogram2d(x, x, 4, ((2, 1), None)), ValueError, r"range\[0\]"),
        (lambda x: histogram2d(x, x, (4, 0)), ValueError, r"bins\[1\] must be positive"),
        (lambda x: histogram2d(x, x + 1j), TypeError, "y must be real"),
        (lambda x: bincount(x), TypeError, "x must hold integers"),
        (lambda x: bincount(np.array([1, -2])), ValueError, "no negative elements, got -2"),
        (lambda x: bincount(np.ones((2, 2), int)), ValueError, "x must have one axis"),
        (lambda x: bincount(np.array([1]), minlength=-1), ValueError, "minlength must not be negative"),
        (lambda x: bincount(np.array([1]), [1j]), TypeError, "weights must be real"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(call, error, text):
    with pytest.raises(error, match=text):
        call(np.linspace(0.0, 1.0, 8))


@given(x=strategies.arrays(strategies.dtypes("biuf"), strategies.shapes(), special=False), bins=st.integers(1, 20))
def test_arrays_of_any_shape_layout_and_dtype_are_counted(x, bins):
    found, expected = histogram(x, bins), np.histogram(numbers_in_view(x) if x.dtype == np.bool_ else x, bins)
    same(found[0], expected[0])
    same(found[1], expected[1])

"""Places in sorted arrays against NumPy's, always equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.reductions.histograms.search import digitize, searchsorted

rng = np.random.default_rng(11)


def samples(dtype, size, seed):
    """Samples with ties, and NaN and infinities where the dtype has them."""
    source = np.random.default_rng(seed)
    if dtype in "efdFD":
        pool = np.array([0, -0.0, 1, -1, 0.5, 3, np.nan, np.inf, -np.inf])
        found = source.choice(pool, size)
        return (found + 1j * source.choice(pool, size) if dtype in "FD" else found).astype(dtype)
    return source.integers(0, 2 if dtype == "?" else 30, size).astype(dtype)


@given(
    of_a=st.sampled_from("?bBhHiIqQefdFD"),
    of_v=st.sampled_from("?bBhHiIqQefdFD"),
    size=st.integers(0, 40),
    side=st.sampled_from(["left", "right"]),
    seed=st.integers(0, 99),
)
def test_places_are_numpys_for_every_pair_of_dtypes(of_a, of_v, size, side, seed):
    with np.errstate(invalid="ignore"):
        a, v = np.sort(samples(of_a, size, seed)), samples(of_v, 30, seed + 1)
    assert np.array_equal(searchsorted(a, v, side), np.searchsorted(a, v, side))


@pytest.mark.parametrize("dtype", list("FD"))
def test_complex_numbers_sort_as_numpy_sorts_them(dtype):
    parts = (0, 1, np.nan, -np.inf, np.inf)
    z = np.array([complex(x, y) for x in parts for y in parts], dtype)
    a = np.sort(z)
    for side in ("left", "right"):
        assert np.array_equal(searchsorted(a, z, side), np.searchsorted(a, z, side))


@given(seed=st.integers(0, 99), side=st.sampled_from(["left", "right"]), kind=st.sampled_from("bHq"))
def test_a_sorter_stands_for_the_sorted_array(seed, side, kind):
    a, v = samples("d", 40, seed)[::2], samples("d", 25, seed + 1)
    order = np.argsort(a).astype(kind)
    assert np.array_equal(searchsorted(a, v, side, order), np.searchsorted(a, v, side, order))


def test_any_strides_and_shapes_are_searched_in_place():
    a, v = np.sort(rng.normal(size=60)), rng.normal(size=(5, 12))
    for sought in (v, v.T, v[:, ::-3], v[0, 0], 0.25, 3, [0.5, 9.0], np.empty((0, 2))):
        found, expected = searchsorted(a[::3], sought), np.searchsorted(a[::3], sought)
        assert type(found) is type(expected)
        assert np.array_equal(found, expected)
    descending = np.sort(a)[::-1]
    assert np.array_equal(searchsorted(descending[::-1], v), np.searchsorted(a, v))


@given(seed=st.integers(0, 99), right=st.booleans(), falls=st.booleans(), size=st.integers(1, 20))
def test_bins_of_elements_are_numpys(seed, right, falls, size):
    edges = np.sort(np.random.default_rng(seed).integers(0, 9, size))[:: -1 if falls else 1]
    x = np.random.default_rng(seed + 1).integers(-1, 11, (3, 7)) / 2
    assert np.array_equal(digitize(x, edges, right), np.digitize(x, edges, right))


def test_places_are_written_where_they_are_asked_for():
    a, v = np.arange(9.0), rng.random((4, 6)) * 9
    for dtype in ("q", "d"):
        out = np.zeros((6, 4), dtype).T
        assert searchsorted(a, v, out=out) is out
        assert np.array_equal(out, np.searchsorted(a, v))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: searchsorted(a, a, "middle"), ValueError, "side must be 'left' or 'right'"),
        (lambda a: searchsorted(a.reshape(2, -1), a), ValueError, "a must have one axis"),
        (lambda a: searchsorted(a, a, sorter=a), TypeError, "sorter must hold integers"),
        (lambda a: searchsorted(a, a, sorter=[1, 2]), ValueError, "sorter must have the shape of a"),
        (lambda a: searchsorted(a, a, out=np.zeros(3, int)), ValueError, "out has shape"),
        (lambda a: digitize(a, [1, 3, 2]), ValueError, "bins must be monotonically increasing or decreasing"),
        (lambda a: digitize(a, np.zeros((2, 2))), ValueError, "bins must be a 1-D array"),
        (lambda a: digitize(a + 1j, [1, 2]), TypeError, "x must be real"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(call, error, text):
    with pytest.raises(error, match=text):
        call(np.arange(8.0))

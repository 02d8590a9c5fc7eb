"""Reductions of segments and of runs of equal keys, against NumPy."""

import itertools
import math

import numpy as np
import pytest

import kernels
from kernels.reductions.segments import tiles
from kernels.runtime.arrays import DTYPES

TILE = tiles.BLOCK * tiles.ITEMS
COUNTED = np.empty(1, int), np.empty((), int)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def offsets_of(lengths, first=0):
    return first + np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def pieces(x, offsets):
    return [x[b:e] for b, e in itertools.pairwise(offsets)]


def numbers(rng, shape, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind in "fc":
        return (rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.kind == "c" else 0)).astype(dtype)
    return rng.integers(0, 2 if dtype.kind == "b" else 5, shape).astype(dtype)


@pytest.mark.parametrize(
    "lengths",
    [
        [0], [1], [0, 0, 0], [TILE - 1], [TILE], [TILE + 1], [5 * tiles.GROUP * TILE + 7, 3, 0],
        [1] * (2 * TILE), [0] * (2 * TILE + 1), [2, 0, 3] * TILE, [0, 0, 4 * TILE, 0, 1, TILE, 0],
        [TILE, TILE, TILE], [TILE - 1, TILE - 1, TILE - 1],
    ],
    ids=lambda lengths: f"{len(lengths)}x{max(lengths)}",
)  # fmt: skip
def test_segments_of_any_lengths(lengths, rng):
    offsets = offsets_of(lengths)
    x = rng.integers(-1000, 1000, offsets[-1])
    assert kernels.segmented_reduce("sum", x, offsets).tolist() == [sum(each.tolist()) for each in pieces(x, offsets)]


def test_elements_before_the_first_and_after_the_last_segment_count_nowhere(rng):
    x = rng.integers(0, 100, 3 * TILE)
    for first in (1, TILE - 1, TILE + 5):
        offsets = offsets_of([3, 0, 20], first)
        found = kernels.segmented_reduce("max", x, offsets, initial=0)
        assert found.tolist() == [max([0, *each.tolist()]) for each in pieces(x, offsets)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sums_of_every_dtype(dtype, rng):
    offsets = offsets_of([3, 0, 40, 1])
    x = numbers(rng, offsets[-1], dtype)
    found = kernels.segmented_reduce("sum", x, offsets)
    assert found.dtype == np.add.reduce(x).dtype
    wide = x.astype(np.complex128)
    exact = np.array([each.sum() for each in pieces(wide, offsets)])
    unit = np.finfo(dtype).eps if np.dtype(dtype).kind in "fc" else 0
    bound = 41 * unit * np.array([np.abs(each).sum() for each in pieces(wide, offsets)])
    assert (np.abs(found.astype(np.complex128) - exact) <= bound).all()


@pytest.mark.parametrize("op", ["sum", "prod", "min", "max", "mean"])
def test_operations_by_name(op, rng):
    offsets = offsets_of([1, 7, 70])
    x = rng.uniform(0.5, 1.5, offsets[-1])
    expected = np.array([getattr(np, op)(each) for each in pieces(x, offsets)])
    found = kernels.segmented_reduce(op, x, offsets)
    assert (np.abs(found - expected) <= 71 * np.finfo(np.float64).eps * np.abs(expected)).all()


def test_what_empty_segments_give():
    def of_none(op, dtype, **options):
        return kernels.segmented_reduce(op, np.zeros(0, dtype), [0, 0], **options)[0]

    assert of_none("sum", np.int8) == 0
    assert of_none("prod", np.float32) == 1
    assert of_none("min", np.int8) == 127
    assert of_none("max", np.float64) == -math.inf
    assert np.isnan(of_none("mean", np.float32))
    assert of_none("sum", np.int8, initial=5) == 5
    assert of_none(lambda a, b: a * b, np.int8, initial=3) == 3


def test_an_operator_of_yours_with_an_initial_that_is_no_identity(rng):
    offsets = offsets_of([2, 0, 150, 9])
    x = rng.integers(0, 1000, offsets[-1])
    found = kernels.segmented_reduce(lambda a, b: (a + b + a * b) % 1009, x, offsets, initial=17)
    expected = []
    for each in pieces(x.tolist(), offsets):
        state = 17
        for value in each:
            state = (state + value + state * value) % 1009
        expected.append(state)
    assert found.tolist() == expected


def test_strides_dtypes_of_offsets_and_out(rng):
    offsets = offsets_of([4, 0, 60])
    x = rng.integers(0, 100, (offsets[-1], 2))[::-1, 1]
    expected = [each.sum() for each in pieces(x, offsets)]
    out = np.zeros((3, 2), np.int64)
    for dtype in (np.int32, np.uint64, np.int16):
        spread = np.zeros((4, 3), dtype)[:, 1]
        spread[:] = offsets
        assert kernels.segmented_reduce("sum", x, spread, out=out[:, 1]) is not None
        assert out.tolist() == [[0, value] for value in expected]


def test_segments_that_begin_and_end_anywhere(rng):
    x = rng.integers(-99, 99, 500)
    begins, ends = rng.integers(0, 500, (2, 30)).astype(np.int32)
    begins[0], ends[0] = 0, 500
    found = kernels.segmented_reduce("sum", x[::-1], (begins, ends.astype(np.int64)))
    expected = [x[::-1][b:e].sum() for b, e in zip(begins, ends, strict=True)]
    assert found.tolist() == expected
    with kernels.use("reference"):
        assert kernels.segmented_reduce("sum", x[::-1], (begins, ends)).tolist() == expected


def test_the_order_of_merges_depends_on_offsets_alone(rng):
    offsets = offsets_of(rng.integers(0, 50, 40))
    x = rng.normal(size=offsets[-1]).astype(np.float32)
    one, two = (kernels.segmented_reduce("sum", x, offsets.astype(d)) for d in (np.int32, np.int64))
    assert one.tobytes() == two.tobytes()


def test_the_reference_gives_the_same(rng):
    offsets = offsets_of([2, 0, 50])
    x = rng.integers(0, 9, offsets[-1])
    for op, options in (("sum", {}), ("min", {"initial": 4}), (np.maximum, {}), (lambda a, b: a ^ b, {"initial": 1})):
        found = kernels.segmented_reduce(op, x, offsets, **options)
        with kernels.use("reference"):
            assert (kernels.segmented_reduce(op, x, offsets, **options) == found).all()


# --- runs of equal keys ---------------------------------------------------------------------------------------------


def runs_of(keys, values):
    """The places where runs begin, and the values of each."""
    heads = np.flatnonzero(np.concatenate([[len(keys) > 0], keys[1:] != keys[:-1]])[: len(keys)])
    return heads, np.split(values, heads[1:]) if len(keys) else []


@pytest.mark.parametrize(
    "lengths",
    [[], [1], [TILE - 1, 1], [TILE, TILE], [TILE + 1, TILE - 1], [1] * (2 * TILE + 1), [5 * tiles.GROUP * TILE, 1, 7],
     [3, 2, 1] * TILE],
    ids=lambda lengths: f"{len(lengths)}x{max([0, *lengths])}",
)  # fmt: skip
def test_runs_of_any_lengths(lengths, rng):
    keys = np.repeat(np.arange(len(lengths)) % 2, lengths)
    values = rng.integers(-1000, 1000, len(keys))
    heads, each = runs_of(keys, values)
    unique, sums, count = kernels.reduce_by_key("sum", keys, values)
    assert count == len(lengths)
    assert unique.tolist() == keys[heads].tolist()
    assert sums.tolist() == [run.sum() for run in each]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_keys_of_every_dtype(dtype, rng):
    keys = np.sort(numbers(rng, 40, dtype))[::-1].repeat(3)
    values = rng.normal(size=120).astype(np.float32)
    heads, each = runs_of(keys, values)
    unique, largest, _ = kernels.reduce_by_key("max", keys, values)
    assert unique.dtype == dtype
    assert (unique == keys[heads]).all()
    assert largest.tolist() == [run.max() for run in each]


def test_each_nan_is_a_run():
    unique, sums, count = kernels.reduce_by_key("sum", [np.nan, np.nan, 0.0, -0.0], [1, 2, 3, 4])
    assert np.isnan(unique[:2]).all()
    assert (sums.tolist(), count) == ([1, 2, 7], 3)


@pytest.mark.parametrize("engine", [None, "reference"])
def test_outputs_that_were_given_are_filled_as_far_as_there_are_runs(engine, rng):
    keys, values = rng.integers(0, 2, 60)[::-1], rng.integers(0, 9, (60, 2))[:, 1]
    heads, each = runs_of(keys, values)
    outs = np.full(60, -1), np.full(60, -1.0), np.zeros((), np.int32)

    def call():
        return kernels.reduce_by_key(lambda a, b: a + b, keys, values, initial=5, out=outs)

    if engine is None:
        found = call()
    else:
        with kernels.use(engine):
            found = call()
    assert all(a is b for a, b in zip(found, outs, strict=True))
    assert outs[2] == len(heads)
    assert outs[0].tolist() == keys[heads].tolist() + [-1] * (60 - len(heads))
    assert outs[1].tolist() == [5 + run.sum() for run in each] + [-1] * (60 - len(heads))


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, "values must have the shape of keys", ("sum", [1], [1, 2]), {}),
        (ValueError, "keys must have one axis", ("sum", [[1]], [[1]]), {}),
        (ValueError, r"out must hold 3 array\(s\)", ("sum", [1], [1]), {"out": np.empty(1)}),
        (ValueError, r"out\[0\] must have shape", ("sum", [1], [1]), {"out": (np.empty(2, int), *COUNTED)}),
        (TypeError, r"out\[0\] has dtype", ("sum", [1.5], [1]), {"out": (np.empty(1, int), *COUNTED)}),
        (ValueError, "op must be one of", ("total", [1], [1]), {}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_keys_is_named(error, message, arguments, options):
    with pytest.raises(error, match=message):
        kernels.reduce_by_key(*arguments, **options)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, "op must be one of 'sum'", ("total", [1.0], [0, 1]), {}),
        (TypeError, "op must be a function of two numbers", (3, [1.0], [0, 1]), {}),
        (ValueError, "initial must be given", (lambda a, b: a + b, [1.0], [0, 1]), {}),
        (TypeError, "initial must be None", ("mean", [1.0], [0, 1]), {"initial": 1}),
        (ValueError, "x must have one axis", ("sum", [[1.0]], [0, 1]), {}),
        (ValueError, "offsets must have one axis", ("sum", [1.0], 3), {}),
        (TypeError, "offsets must be integers", ("sum", [1.0], [0.0, 1.0]), {}),
        (ValueError, "offsets must lie between 0 and 1", ("sum", [1.0], [0, 2]), {}),
        (ValueError, r"offsets\[1\] must lie", ("sum", [1.0], ([0], [2])), {}),
        (ValueError, "offsets must be two arrays of one length", ("sum", [1.0], ([0, 0], [1])), {}),
        (ValueError, "offsets must not decrease", ("sum", [1.0], [1, 0]), {}),
        (ValueError, "out has shape", ("sum", [1.0], [0, 1]), {"out": np.empty(2)}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(error, message, arguments, options):
    with pytest.raises(error, match=message):
        kernels.segmented_reduce(*arguments, **options)

"""Scans: NumPy's answers on every axis, the same bits in every order of blocks, errors that stay small."""

import operator
from fractions import Fraction

import numpy as np
import pytest

import kernels
from kernels.device.instructions import SIMULATED
from kernels.reductions.scans import layout as scans
from kernels.reductions.scans import public as cumulative
from kernels.testing import assert_equal_bits, guarded, layouts

#: float32 elements of a tile of rows.
TILE = scans.WARPS * 32 * scans.HELD
SCANS = {
    "cumsum": np.add, "cumprod": np.multiply, "cummax": np.maximum, "cummin": np.minimum,
}  # fmt: skip
DTYPES = "?bBhHiIlLefdFD"


def accumulated(name, x, axis):
    """NumPy's answer, with integers in 64 bits where they are added or multiplied."""
    x, axis = (x.ravel(), 0) if axis is None else (x, axis)
    if name in ("cumsum", "cumprod"):
        return getattr(np, name)(x, axis)
    return SCANS[name].accumulate(x, axis)


def small_integers(rng, shape, dtype):
    """Numbers whose sums any dtype holds exactly."""
    return rng.integers(0, 2, shape).astype(dtype)


# --- NumPy's answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype"), [*(("cumsum", d) for d in DTYPES), *((n, d) for n in list(SCANS)[1:] for d in "?bLefD")]
)
def test_every_dtype_is_scanned_as_numpy_scans_it(name, dtype, rng):
    x = small_integers(rng, (3, 45), dtype)
    result = getattr(kernels, name)(x, axis=1)
    assert_equal_bits(result, accumulated(name, x, 1))


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
def test_every_axis_is_scanned(axis, rng):
    x = rng.integers(-9, 9, (3, 21, 5))
    assert_equal_bits(kernels.cumsum(x, axis), np.cumsum(x, axis))


@pytest.mark.parametrize("length", [1, 31, TILE - 1, TILE, TILE + 1, 3 * TILE + 5, 9 * TILE + 1])
def test_rows_of_lengths_around_tiles_are_scanned(length, rng):
    x = rng.integers(-9, 9, length).astype(np.int32)
    assert_equal_bits(kernels.cumsum(x, dtype=np.int32), np.cumsum(x, dtype=np.int32))


@pytest.mark.parametrize("shape", [(200, 2), (40, 37), (2, TILE + 3), (3, 2 * TILE), (5, TILE), (TILE, 1)])
def test_rows_begin_anywhere_in_a_tile(shape, rng):
    x = rng.integers(-9, 9, shape).astype(np.int32)
    assert_equal_bits(kernels.cumsum(x, 1, dtype=np.int32), np.cumsum(x, 1, dtype=np.int32))


@pytest.mark.parametrize(
    "shape", [(2, 300), (37, 40), (700, 3), (150, 8), (400, 2), (1, 5), (90, 33), (301, 5), (200, 7), (300, 6)]
)
def test_columns_of_any_height_and_number_are_scanned(shape, rng):
    x = rng.integers(-9, 9, shape).astype(np.int32)
    assert_equal_bits(kernels.cumsum(x, 0, dtype=np.int32), np.cumsum(x, 0, dtype=np.int32))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_every_layout_of_the_input_is_scanned(axis, rng):
    x = rng.integers(-9, 9, (9, 33)).astype(np.float32)
    expected = np.cumsum(x, axis)
    for name, view in layouts(x):
        assert_equal_bits(kernels.cumsum(view, axis), expected, function=f"cumsum of {name}")


@pytest.mark.parametrize("start", [1, 2, 3])
def test_rows_that_begin_between_vectors_are_scanned(start, rng):
    x = rng.integers(-9, 9, 3 * TILE).astype(np.float32)[start:]
    assert_equal_bits(kernels.cumsum(x), np.cumsum(x))
    out = np.empty(3 * TILE, np.float32)[start:]
    kernels.cumsum(x.copy(), out=out)
    assert_equal_bits(out, np.cumsum(x))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (0, 3), (1, 1)])
def test_shapes_of_few_elements_are_scanned(shape):
    x = np.ones(shape)
    assert_equal_bits(kernels.cumsum(x), np.cumsum(x))
    if shape:
        assert_equal_bits(kernels.cumprod(x, 0), np.cumprod(x, 0))


@pytest.mark.parametrize("start", [0, 1])
def test_a_few_columns_are_scanned_side_by_side_wherever_they_begin(start, rng):
    a, b = rng.integers(-9, 9, (2, 3 * 250 + start)).astype(np.int32)
    a, b = (x[start:].reshape(-1, 3) for x in (a, b))
    results = kernels.scan(after, (a, b), initial=(2, 3), exclusive=True)
    for column in range(3):
        xs = (np.array([2, *a[:-1, column]], np.int32), np.array([3, *b[:-1, column]], np.int32))
        for result, expected in zip(results, one_after_another(after, xs), strict=True):
            assert_equal_bits(result[:, column], expected)
    kernels.cumsum(a, 0, out=(out := a.copy()))
    assert_equal_bits(out, np.cumsum(a, 0, dtype=np.int32))


def test_numbers_become_arrays_of_one_element_as_in_numpy():
    assert_equal_bits(kernels.cumsum(5.0), np.cumsum(5.0))
    assert_equal_bits(kernels.cumsum(5, axis=0), np.cumsum(5, axis=0))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_a_nan_stays_in_all_that_follows(name, dtype, rng):
    x = rng.standard_normal(2 * TILE).astype(dtype)
    x[TILE + 7] = np.nan
    result = getattr(kernels, name)(x)
    assert np.isnan(result[TILE + 7 :]).all()
    assert_equal_bits(result[: TILE + 7], SCANS[name].accumulate(x)[: TILE + 7])


def test_infinities_are_summed_as_numpy_sums_them():
    x = np.ones(3 * TILE)
    x[5] = np.inf
    x[2 * TILE] = -np.inf
    with np.errstate(invalid="ignore"):
        assert_equal_bits(kernels.cumsum(x), np.cumsum(x), nan_payload=False)


def test_sums_that_overflow_are_infinite_from_there_on():
    x = np.full(2 * TILE, np.finfo(np.float32).max / 4, np.float32)
    assert_equal_bits(kernels.cumsum(x)[4:], np.full(2 * TILE - 4, np.inf, np.float32))


@pytest.mark.parametrize("dtype", ["int32", "float32", "complex128", "bool"])
def test_the_dtype_asked_for_is_the_one_that_is_summed_in(dtype, rng):
    x = rng.integers(0, 3, 77).astype(np.int8)
    assert_equal_bits(kernels.cumsum(x, dtype=dtype), np.cumsum(x, dtype=dtype))


def test_the_dtype_of_out_is_the_one_that_is_summed_in():
    x = np.array([100, 100], np.int8)
    for dtype in (np.int8, np.int16, np.float32):
        out = np.zeros(2, dtype)
        assert kernels.cumsum(x, out=out) is out
        assert_equal_bits(out, np.cumsum(x, out=np.zeros(2, dtype)))


def test_engines_agree(rng):
    x = rng.integers(-9, 9, (7, 40))
    for name in SCANS:
        with kernels.use("reference"):
            expected = getattr(kernels, name)(x, 1)
        assert_equal_bits(getattr(kernels, name)(x, 1), expected)


# --- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "axis"), [((2 * TILE + 3,), 0), ((40, 37), 1), ((300, 3), 0), ((3, 5, 40), 1)])
def test_arrays_are_scanned_in_place(shape, axis, rng):
    x = rng.integers(-9, 9, shape).astype(np.float32)
    expected = np.cumsum(x, axis)
    assert kernels.cumsum(x, axis, out=x) is x
    assert_equal_bits(x, expected)


def test_an_output_that_overlaps_the_input_elsewhere_has_the_right_result(rng):
    memory = rng.integers(-9, 9, 2 * TILE)
    expected = np.cumsum(memory[:-1])
    kernels.cumsum(memory[:-1], out=memory[1:])
    assert_equal_bits(memory[1:], expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_nothing_but_the_output_is_written(axis, rng):
    x = rng.integers(-9, 9, (13, 37)).astype(np.float32)
    for layout in ("contiguous", "step", "negative", "transposed"):
        out, assert_untouched = guarded(x.shape, np.float32, layout)[:2]
        kernels.cumsum(x, axis, out=out)
        assert_untouched()
        assert_equal_bits(np.asarray(out), np.cumsum(x, axis))


def test_plans_do_what_the_functions_do(rng):
    x = rng.integers(-9, 9, (5, 40))
    plan = kernels.cumsum.plan(like=x, axis=1)
    assert_equal_bits(plan(x), np.cumsum(x, 1))
    with pytest.raises(ValueError, match="a must have shape"):
        plan(x[:, 1:])
    plan = kernels.scan.plan(operator.mul, like=x, axis=0)
    assert_equal_bits(plan(x), np.multiply.accumulate(x, 0))


# --- any operator -----------------------------------------------------------------------------------------------------


def after(f, g):
    """The map g after f, of maps x -> a x + b."""
    return f[0] * g[0], f[1] * g[0] + g[1]


def last_nonzero(x, y):
    """The later one that is not zero."""
    return y if y != 0 else x


def product(f, g):
    """Of two matrices, row by row."""
    a, b, c, d = f
    e, f, g, h = g
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


def one_after_another(op, xs):
    """What `op` makes of the rows of numbers, from left to right."""
    states = [tuple(x[0] for x in xs)]
    with np.errstate(over="ignore"):
        for element in zip(*(x[1:] for x in xs), strict=True):
            states.append(op(states[-1], element))
    return [np.array(column, x.dtype) for column, x in zip(zip(*states, strict=True), xs, strict=True)]


@pytest.mark.parametrize("length", [1, 50, 2 * TILE + 3])
def test_operators_that_do_not_commute_keep_the_order(length, rng):
    a, b = rng.integers(-9, 9, (2, length))
    for result, expected in zip(kernels.scan(after, (a, b)), one_after_another(after, (a, b)), strict=True):
        assert_equal_bits(result, expected)
    x = rng.integers(0, 2, length) * rng.integers(0, 100, length)
    places = np.maximum.accumulate(np.where(x != 0, np.arange(length), -1))
    assert_equal_bits(kernels.scan(last_nonzero, x), np.where(places < 0, 0, x[places]))


def test_operators_on_tuples_go_along_every_axis(rng):
    xs = tuple(rng.integers(-3, 3, (4, 30, 5)))
    for axis in (0, 1):
        results = kernels.scan(product, xs, axis=axis)
        for row in range(xs[0].shape[1 - axis]):
            pick = (slice(None), row) if axis == 0 else (row,)
            expected = one_after_another(product, [x[pick] for x in xs])
            for result, column in zip(results, expected, strict=True):
                assert_equal_bits(result[pick], column)


@pytest.mark.parametrize("op", [operator.add, operator.xor, max, np.logaddexp, np.gcd])
def test_operators_have_the_meaning_that_their_ufuncs_have(op, rng):
    x = rng.integers(1, 9, 70)
    if op is np.logaddexp:
        x = x.astype(np.float64)
    ufunc = cumulative.UFUNCS.get(op, op)
    np.testing.assert_allclose(kernels.scan(op, x), ufunc.accumulate(x), rtol=1e-14)


@pytest.mark.parametrize("shape", [(3 * TILE + 5,), (40, 7), (2, 2 * TILE)])
@pytest.mark.parametrize("exclusive", [False, True])
def test_rows_begin_with_the_initial_value(shape, exclusive, rng):
    x = rng.integers(-9, 9, shape)
    for axis in range(x.ndim):
        result = kernels.scan(operator.add, x, axis=axis, initial=100, exclusive=exclusive)
        assert_equal_bits(result, 100 + np.cumsum(x, axis) - (x if exclusive else 0))


def test_the_initial_value_comes_first_where_the_operator_does_not_commute(rng):
    a, b = rng.integers(-9, 9, (2, 2 * TILE))
    results = kernels.scan(after, (a, b), initial=(3, 5))
    expected = one_after_another(after, (np.array([3, *a]), np.array([5, *b])))
    exclusive = kernels.scan(after, (a, b), initial=(3, 5), exclusive=True)
    for k in range(2):
        assert_equal_bits(results[k], expected[k][1:])
        assert_equal_bits(exclusive[k], expected[k][:-1])


# --- the order of blocks ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SIMULATED, reason="only the simulator draws the order of blocks")
@pytest.mark.parametrize(
    ("shape", "axis", "dtype"),
    [((9, 300), 1, "f"), ((150, 12), 0, "f"), ((2000,), 0, "f")],
)
def test_many_blocks_have_the_same_bits_in_any_order(shape, axis, dtype, rng, monkeypatch):
    from kernels.simulator import simulate

    x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)).astype(dtype)
    expected = kernels.cumsum(x, axis)
    rows, columns = scans.flat, scans.columns
    for seed, resident in ((1, 16), (2, 3)):
        for name, made in (("flat", rows), ("columns", columns)):
            monkeypatch.setattr(scans, name, lambda *a, m=made, s=seed, r=resident: simulate(m(*a), seed=s, resident=r))
        scans.scan_of.cache_clear()
        assert_equal_bits(kernels.cumsum(x, axis), expected)
    scans.scan_of.cache_clear()


@pytest.mark.skipif(not SIMULATED, reason="only the simulator draws the order of blocks")
def test_blocks_look_back_over_groups_of_tiles_in_any_order(rng, monkeypatch):
    from kernels.simulator import simulate

    made = scans.flat
    x = rng.standard_normal(33 * TILE // 4 + 1).astype("D")
    monkeypatch.setattr(scans, "flat", lambda *a: simulate(made(*a), seed=5, resident=12))
    scans.scan_of.cache_clear()
    shuffled = kernels.cumsum(x)
    monkeypatch.setattr(scans, "flat", made)
    scans.scan_of.cache_clear()
    assert_equal_bits(kernels.cumsum(x), shuffled)


@pytest.mark.skipif(not SIMULATED, reason="memory that launches hand on has another owner on a GPU")
def test_launches_hand_their_memory_on_to_launches_of_other_sizes(rng, monkeypatch):
    from kernels.runtime.arrays import Pointer

    memory = np.zeros(1 << 16, np.uint64)
    monkeypatch.setattr(cumulative, "_handed_on", lambda nbytes, device, stream: Pointer(memory))
    for shape, axis, dtype in [
        ((9 * TILE // 4,), 0, "D"),
        ((90, 12), 0, "d"),
        ((700,), 0, "f"),
        ((4, 100), 1, "l"),
    ] * 2:
        x = rng.integers(-9, 9, shape).astype(dtype)
        assert_equal_bits(kernels.cumsum(x, axis), np.cumsum(x, axis))


# --- accuracy ---------------------------------------------------------------------------------------------------------


def exact_sums(x):
    """Running sums as fractions."""
    total, sums = Fraction(0), []
    for value in x.tolist():
        total += Fraction(value)
        sums.append(total)
    return sums


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["cancelling", "one large", "alike"])
def test_the_error_of_sums_is_within_the_documented_bound(dtype, kind, rng):
    n = 10 * TILE
    x = rng.standard_normal(n) * 10.0 ** rng.uniform(-5, 5, n)
    if kind == "cancelling":
        x[n // 2 :] = -x[: n // 2][::-1]
    elif kind == "one large":
        x = np.where(np.arange(n) == 3, 1e8, rng.random(n))
    else:
        x = np.full(n, 0.1)
    x = x.astype(dtype)
    u = float(np.finfo(dtype).eps) / 2
    result = kernels.cumsum(x)
    sizes = np.abs(x.astype(np.float64))
    totals = np.cumsum(sizes)
    for i, exact in enumerate(exact_sums(x)):
        bound = u * abs(float(exact)) + 32 * u * totals[i]
        assert abs(Fraction(float(result[i])) - exact) <= bound * (1 + 1e-10), i


def test_long_sums_stay_as_accurate_as_short_ones():
    x = np.full(20 * TILE, 0.1, np.float32)
    exact = np.arange(1, x.size + 1) * float(x[0])
    bound = 33 * 2.0**-24 * (1 + 1e-6)
    one_after_another = np.abs(np.cumsum(x) - exact) / exact
    assert one_after_another.max() > bound
    assert (np.abs(kernels.cumsum(x) - exact) / exact).max() <= bound


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_error_of_products_is_within_the_documented_bound(dtype, rng):
    x = np.exp2(rng.uniform(-1, 1, 600)).astype(dtype)
    u = float(np.finfo(dtype).eps) / 2
    exact = Fraction(1)
    for i, (value, result) in enumerate(zip(x.tolist(), kernels.cumprod(x).tolist(), strict=True)):
        exact *= Fraction(value)
        assert abs(Fraction(result) / exact - 1) <= i * u / (1 - i * u)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_error_of_log_sums_is_within_the_documented_bound(dtype, rng):
    x = (rng.standard_normal(900) * 30).astype(dtype)
    x[700] = 800
    u = float(np.finfo(dtype).eps) / 2
    exact = np.logaddexp.accumulate(x.astype(np.longdouble))
    error = np.abs(kernels.logcumsumexp(x) - exact)
    assert (error <= (4 * 65 + 2) * u + u * np.abs(exact)).all()


def test_log_sums_of_infinities_are_those_of_logaddexp():
    x = np.array([-np.inf, -np.inf, 1.0, np.inf, 2.0, np.inf])
    assert_equal_bits(kernels.logcumsumexp(x), np.logaddexp.accumulate(x))
    assert np.isnan(kernels.logcumsumexp([1.0, np.nan, np.inf])[1:]).all()


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: kernels.cumsum(x, axis=2), ValueError, "axis 2 is out of bounds"),
        (lambda x: kernels.cumsum(x, axis=1.5), TypeError, "axis must be None or an integer"),
        (lambda x: kernels.cumsum(x, axis=(0,)), TypeError, "axis must be None or an integer"),
        (lambda x: kernels.cumsum(x, 0, out=np.empty(3)), ValueError, r"out has shape \(3,\), the result has \(4, 5\)"),
        (lambda x: kernels.cumsum(x, out=np.empty((4, 5))), ValueError, r"the result has \(20,\)"),
        (lambda x: kernels.cumsum(x, 0, dtype="D", out=np.empty((4, 5))), TypeError, "casting"),
        (lambda x: kernels.cumsum(x, 0, out=[0]), TypeError, "out must be an array"),
        (lambda x: kernels.cumsum(x.astype("M8[s]")), TypeError, "datetime"),
        (lambda x: kernels.logcumsumexp(x.astype(complex)), TypeError, "logcumsumexp is not defined for a: complex128"),
        (lambda x: kernels.scan(3, x), TypeError, "op must be callable, got int"),
        (lambda x: kernels.scan(operator.add, ()), ValueError, "x must be an array or a tuple"),
        (lambda x: kernels.scan(operator.xor, x), TypeError, "bitwise_xor is not defined for dtype float64"),
        (lambda x: kernels.scan(after, (x, x[1:])), ValueError, "all arrays must have one shape"),
        (lambda x: kernels.scan(max, x, exclusive=True), ValueError, "initial must be given where exclusive"),
        (lambda x: kernels.scan(max, x, initial=(1, 2)), ValueError, "one number for each of 1 arrays, got 2"),
        (lambda x: kernels.scan(max, x, initial=[1, 2]), ValueError, "initial must be a number for each array"),
    ],
)
def test_what_is_wrong_is_said(call, error, text):
    with pytest.raises(error, match=text):
        call(np.ones((4, 5)))


def test_nothing_is_written_where_something_is_wrong():
    out = np.full((4, 5), 7.0)
    with pytest.raises(TypeError):
        kernels.cumsum(np.ones((4, 5)), 0, dtype="D", out=out)
    assert (out == 7).all()


# --- differences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_differences_are_numpys_to_the_bit(dtype, rng):
    x = (rng.random((4, 23)) * 3).astype(dtype)
    for n in (1, 3):
        assert_equal_bits(kernels.diff(x, n), np.diff(x, n))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("n", [0, 1, 2, 5, 9])
def test_differences_of_any_order_go_along_any_axis(axis, n, rng):
    x = rng.standard_normal((7, 8, 6))
    assert_equal_bits(kernels.diff(x, n, axis), np.diff(x, n, axis))
    assert_equal_bits(kernels.diff(x[::-1, ::2].T, n, axis), np.diff(x[::-1, ::2].T, n, axis))


@pytest.mark.parametrize("axis", [0, 1])
def test_differences_take_in_what_comes_before_and_after(axis, rng):
    x = rng.integers(-9, 9, (6, 7))
    two, three = np.take(x, [0, 3], axis) * 1.5, np.take(x, [1, 0, 2], axis)
    for keywords in (
        {"prepend": 3},
        {"append": 2.5},
        {"prepend": two},
        {"prepend": two, "append": three},
        {"prepend": x[:0] if axis == 0 else x[:, :0], "append": 1},
    ):
        for n in (1, 2, 4):
            assert_equal_bits(kernels.diff(x, n, axis, **keywords), np.diff(x, n, axis, **keywords))


def test_differences_go_to_out_and_nowhere_else(rng):
    x = rng.standard_normal((5, 40)).astype(np.float32)
    out, assert_untouched = guarded((5, 39), np.float64, "step")[:2]
    kernels.diff(x, out=out)
    assert_untouched()
    assert_equal_bits(np.asarray(out), np.diff(x).astype(np.float64))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: kernels.diff(x, -1), ValueError, "n must not be negative, got -1"),
        (lambda x: kernels.diff(x, 1.5), TypeError, "n and axis must be integers"),
        (lambda x: kernels.diff(x, axis=2), ValueError, "axis 2 is out of bounds"),
        (lambda x: kernels.diff(x[0, 0]), ValueError, "a must have one axis or more"),
        (lambda x: kernels.diff(x, prepend=x[0]), ValueError, "prepend must have the shape of a"),
        (lambda x: kernels.diff(x, append=x[1:]), ValueError, "append must have the shape of a"),
        (lambda x: kernels.diff(x, out=np.empty(3)), ValueError, r"out has shape \(3,\), the result has \(4, 4\)"),
        (lambda x: kernels.diff(x, out=x[:, 1:]), ValueError, "out overlaps a"),
        (lambda x: kernels.diff(x, prepend=1, out=x), ValueError, "out overlaps a"),
    ],
)
def test_what_is_wrong_with_differences_is_said(call, error, text):
    with pytest.raises(error, match=text):
        call(np.ones((4, 5)))

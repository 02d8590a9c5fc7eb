"""Exact sums: on every input what Python's fractions, rounded once, say."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numba import cuda, types

from kernels.device import exact
from kernels.device.instructions import SIMULATED
from kernels.reductions.exact import DTYPES, Operand, Shape, _memory, exact_sum, exact_sums, rounded

THREADS = 32
LENGTH = 48
HALF, SINGLE, DOUBLE = DTYPES
names = pytest.mark.parametrize("dtype", DTYPES, ids=str)
# A kernel takes seconds to compile for the simulator, and a launch a millisecond: tests share few kernels.
widest = pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=str)


# --- inputs -----------------------------------------------------------------------------------------------------------


def bits(dtype):
    """Floats with all bits equally likely: exponents from end to end, now and then subnormal, infinite or NaN."""
    return st.integers(0, 2 ** (8 * dtype.itemsize) - 1).map(
        lambda b: np.array(b, f"u{dtype.itemsize}").view(dtype)[()]
    )


def finite(dtype):
    return bits(dtype).map(lambda x: x if np.isfinite(x) else dtype.type(1))


@st.composite
def adversarial(draw, dtype, special=True):
    """Numbers that cancel, that end in ties of rounding, that overflow on the way, in any order."""
    limits = np.finfo(dtype)
    extreme = [limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, -limits.smallest_subnormal, 0.0, -0.0]
    power = st.integers(int(limits.minexp) - limits.nmant, int(limits.maxexp) - 1).map(lambda e: dtype.type(2.0**e))
    kinds = finite(dtype) | st.sampled_from(extreme).map(dtype.type) | power | power.map(lambda x: -x)
    found = draw(st.lists(kinds, max_size=20))
    cancelled = draw(st.lists(st.sampled_from(found), max_size=20)) if found else []
    found += [-x for x in cancelled]
    if draw(st.booleans()):
        x = draw(finite(dtype))
        unit = abs(np.spacing(x)) if np.isfinite(np.spacing(x)) else dtype.type(0)
        found += [x, dtype.type(unit / 2), draw(st.sampled_from([-1, 0, 1])) * limits.smallest_subnormal]
    if special and draw(st.integers(0, 4)) == 0:
        found += draw(st.lists(st.sampled_from([np.inf, -np.inf, np.nan]), min_size=1, max_size=3))
    # Zeros to one length, so that one kernel serves all examples.
    return np.array(draw(st.permutations(found + [0.0] * (LENGTH - len(found)))), dtype)


def filled(values):
    """With zeros to one length, so that one kernel serves all."""
    values = np.asarray(values)
    return np.append(values, np.zeros(LENGTH - len(values), values.dtype))


def wide(rng, shape, dtype):
    """Random bits, without infinities and NaN."""
    found = rng.integers(0, 2 ** (8 * dtype.itemsize), shape, dtype=f"u{dtype.itemsize}").view(dtype)
    return np.where(np.isfinite(found), found, dtype.type(1))


# --- calls ------------------------------------------------------------------------------------------------------------


def sums(x, axes, y=None, where=None, dtype=None, shape=None, calls=1):
    """What the kernels say: ``x.sum(axes)`` or ``(x * y).sum(axes)``."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    out = np.full([x.shape[axis] for axis in kept], 7, dtype or x.dtype)

    def operand(a):
        steps = [s // a.itemsize for s in a.strides]
        alignment = a.ctypes.data & 15 or 16
        return Operand(a.dtype, tuple(steps[k] for k in kept), tuple(steps[k] for k in axes), alignment)

    sources = [x] if y is None else [x, y]
    masks = [] if where is None else [where]
    target = Operand(out.dtype, tuple(s // out.itemsize for s in out.strides))
    mask = operand(where) if masks else None
    reduced = tuple(x.shape[axis] for axis in axes)
    found = exact_sums(tuple(map(operand, sources)), mask, target, out.shape, reduced, 0, "sums", shape)
    scratch = np.zeros(found.scratch, np.int64)
    arrays = [*sources, *masks, out, *([scratch] if found.scratch else [])]
    for _ in range(calls):
        _launch(found.launch, arrays)
    assert not scratch.any()
    return out


def _launch(launch, arrays):
    if SIMULATED:
        launch(0, *arrays)
        return
    memories = [_memory(a) for a in arrays]
    copies = [cuda.to_device(flat) for flat, _ in memories]
    launch(0, *(d.device_ctypes_pointer.value + start * d.dtype.itemsize
                for d, (_, start) in zip(copies, memories, strict=True)))  # fmt: skip
    for d, a in list(zip(copies, arrays, strict=True))[-2:]:
        if a.flags.c_contiguous and a.flags.writeable:
            a[...] = d.copy_to_host().view(a.dtype).reshape(a.shape)


def expected(x, axes, y=None, where=None, dtype=None):
    """The reference, result by result."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]

    def flat(a):
        return np.transpose(a, [*kept, *axes]).reshape([a.shape[k] for k in kept] + [-1])

    found = np.empty([x.shape[k] for k in kept], dtype or x.dtype)
    for k in np.ndindex(found.shape):
        chosen = slice(None) if where is None else flat(where)[k]
        found[k] = exact_sum(flat(x)[k][chosen], None if y is None else flat(y)[k][chosen], found.dtype)
    return found


def assert_identical(found, wanted):
    """The same numbers, the sign of zero included; any NaN for a NaN."""
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found) & ~np.isnan(found), np.signbit(wanted) & ~np.isnan(wanted))


# --- the reference ----------------------------------------------------------------------------------------------------


@given(adversarial(np.dtype(np.float64)))
def test_the_reference_is_fsum_wherever_fsum_has_an_answer(x):
    try:
        wanted = np.float64(math.fsum(x))
    except OverflowError:  # on the way: fsum has no answer
        return
    except ValueError:  # infinities of both signs
        wanted = np.float64(np.nan)
    assert_identical(exact_sum(x), wanted)


@names
@given(data=st.data())
def test_a_fraction_rounds_to_the_float_that_is_nearest(dtype, data):
    x = data.draw(finite(dtype).filter(lambda x: abs(x) < np.finfo(dtype).max))
    above = np.nextafter(x, dtype.type(np.inf))
    low, step = Fraction(float(x)), Fraction(float(above)) - Fraction(float(x))
    even = x if not int(np.abs(x).view(f"u{dtype.itemsize}")) & 1 else above
    assert rounded(low, dtype) == x
    assert rounded(low + step * Fraction(499, 1000), dtype) == x
    assert rounded(low + step * Fraction(501, 1000), dtype) == above
    assert rounded(low + step / 2, dtype) == even


# --- accumulators, on every input -------------------------------------------------------------------------------------


@names
@given(data=st.data())
def test_a_sum_is_rounded_once_whatever_is_added(dtype, data):
    x = data.draw(adversarial(dtype))
    assert_identical(sums(x, (0,)), exact_sum(x))


@given(adversarial(DOUBLE))
@example(filled([1e308, 1e308, -1e308]))
@example(filled([-0.0, -0.0]))
@example(filled([2.0**53, 1.0, 2.0**-1074]))
@example(filled([2.0**53, 1.0, -(2.0**-1074)]))
def test_a_sum_is_fsum(x):
    try:
        wanted = math.fsum(x)
    except (OverflowError, ValueError):
        wanted = exact_sum(x)
    assert_identical(sums(x, (0,)), np.float64(wanted))


@given(adversarial(DOUBLE))
def test_a_sum_is_rounded_once_to_another_dtype_too(x):
    assert_identical(sums(x, (0,), dtype=SINGLE), exact_sum(x, dtype=SINGLE))


@widest
@given(data=st.data())
def test_products_are_summed_without_rounding(dtype, data):
    x = data.draw(adversarial(dtype))
    y = data.draw(adversarial(dtype))
    assert_identical(sums(x, (0,), y), exact_sum(x, y))


@widest
def test_products_that_float64_has_no_room_for_cancel(dtype):
    limits = np.finfo(dtype)
    x = filled(np.array([limits.max, limits.smallest_subnormal, limits.max, 3], dtype))
    y = filled(np.array([limits.max, limits.smallest_subnormal, -limits.max, 0.25], dtype))
    assert_identical(sums(x, (0,), y), dtype.type(0.75))
    x[3] = 0
    assert_identical(sums(x, (0,), y), rounded(Fraction(float(limits.smallest_subnormal)) ** 2, dtype))


@names
@pytest.mark.parametrize("sign", [1, -1])
def test_carries_of_many_large_numbers_are_not_lost(dtype, sign):
    x = np.full(5000, sign * np.nextafter(np.finfo(dtype).max, 0) / 2**13, dtype)
    assert_identical(sums(x, (0,), shape=Shape(THREADS, 1, 1, False)), exact_sum(x))


@widest
def test_infinities_and_nan_are_found_wherever_they_are(dtype, rng):
    x = wide(rng, (6, 300), dtype)
    for row, values in enumerate(
        [(np.inf,), (-np.inf,), (np.nan,), (np.inf, -np.inf), (np.inf,) * 64, (-np.inf, np.nan)]
    ):
        x[row, rng.choice(300, len(values), replace=False)] = values
    wanted = np.array([np.inf, -np.inf, np.nan, np.nan, np.inf, np.nan], dtype)
    assert_identical(sums(x, (1,)), wanted)
    assert_identical(sums(x, (1,), shape=Shape(THREADS, THREADS, 5, False)), wanted)


@widest
def test_an_infinity_times_zero_is_nan(dtype):
    x = np.array([filled(row) for row in np.array([[np.inf, 1], [np.inf, 1], [1, -np.inf]], dtype)])
    y = np.array([filled(row) for row in np.array([[0, 1], [-2, 1], [3, 4]], dtype)])
    x[:, 2:] = 0
    found = [sums(a, (0,), b) for a, b in zip(x, y, strict=True)]
    assert_identical(np.array(found), np.array([np.nan, -np.inf, -np.inf], dtype))


# --- accumulators, in any layout and launch ---------------------------------------------------------------------------


def test_sums_run_over_any_axes_of_any_strides(rng):
    x = wide(rng, (4, 37, 9, 2), SINGLE)
    for view, axes in ((x[:, ::-1, 1::2], (1, 3)), (x[::-2, :, ::-1, ::-1].transpose(2, 0, 3, 1), (0, 1))):
        assert_identical(sums(view, axes), expected(view, axes))


def test_sums_of_rows_and_columns_of_any_length(rng):
    for shape, axes in (((33, 64), (0, 1)), ((40, 8), (0, 1)), ((1, 1), (0,)), ((2, 515), (1,))):
        x = wide(rng, shape, SINGLE)
        for axis in axes:
            assert_identical(sums(x, (axis,)), expected(x, (axis,)))


def test_the_sum_over_nothing_is_zero():
    assert_identical(sums(np.ones((3, 0), SINGLE), (1,)), np.zeros(3, SINGLE))


def test_the_bits_are_those_of_any_launch(rng):
    x = wide(rng, (2, 997), SINGLE)
    x /= SINGLE.type(2**9)  # a sum of 997 is finite then
    wanted = expected(x, (1,))
    shapes = [Shape(THREADS, group, parts, across) for group in (1, 2, 4, 8, 16, 32) for parts in (1, 2, 3, 5, 8, 13)
              for across in (False, True)]  # fmt: skip
    for shape in shapes:
        assert_identical(sums(x, (1,), shape=shape, calls=2), wanted)


def test_sums_of_integers_are_refused():
    whole = Operand(np.dtype(np.int32), (), (1,))
    with pytest.raises(TypeError, match="float16, float32 and float64, not int32"):
        exact_sums((whole,), None, Operand(DOUBLE, ()), (), (5,), 0, "sums")
    with pytest.raises(TypeError, match="dtype must be float16, float32 or float64, got int32"):
        exact.adder(np.int32)


# --- in a kernel of one's own -----------------------------------------------------------------------------------------


def row_sums(dtype, factors=1):
    height = exact.rows(dtype, factors)
    add, finish = exact.adder(dtype, factors), exact.rounder(dtype, dtype, factors)
    clear, merge = exact.clear, exact.merge

    @cuda.jit
    def kernel(x, y, found):
        cells = cuda.shared.array((height, THREADS), types.int64)
        thread, block = cuda.threadIdx.x, cuda.blockIdx.x
        clear(cells, thread)
        for column in range(thread, x.shape[1], THREADS):
            if factors == 1:
                add(cells, thread, x[block, column])
            else:
                add(cells, thread, x[block, column], y[block, column])
        merge(cells, 0, 1, THREADS, thread)
        if thread == 0:
            found[block] = finish(cells, 0)

    return kernel


def launched(kernel, engine, grid, *arguments):
    if SIMULATED:
        from kernels.simulator import simulate

        kernel = simulate(kernel, engine=engine)
    kernel[grid, THREADS](*arguments)


@pytest.mark.parametrize(
    ("dtype", "factors", "engine"),
    [(HALF, 1, "interpreted"), (SINGLE, 2, "interpreted"), (DOUBLE, 1, "interpreted"), (DOUBLE, 2, "interpreted")],
)
def test_a_kernel_adds_exactly_with_the_device_functions(dtype, factors, engine, rng):
    x, y = wide(rng, (4, 100), dtype), wide(rng, (4, 100), dtype)
    x[1] = np.tile([1, -1], 50) * np.repeat(x[1, :50], 2)
    y[1] = 2
    x[2, 17] = np.inf
    found = np.full(4, 7, dtype)
    launched(row_sums(dtype, factors), engine, 4, x, y, found)
    assert_identical(found, expected(x, (1,), y if factors == 2 else None))


def test_an_adder_carries_by_itself():
    height, add, finish, clear = exact.rows(DOUBLE), exact.adder(DOUBLE), exact.rounder(DOUBLE, DOUBLE), exact.clear

    @cuda.jit
    def kernel(x, count, found):
        cells = cuda.shared.array((height, THREADS), types.int64)
        thread = cuda.threadIdx.x
        clear(cells, thread)
        for _ in range(count):
            add(cells, thread, x[thread])
        found[thread] = finish(cells, thread)

    x = np.resize([1.0, -1.0], THREADS) * (np.nextafter(np.finfo(DOUBLE).max, 0) / 2**13)
    found = np.empty_like(x)
    launched(kernel, "compiled", 1, x, 5000, found)
    assert_identical(found, np.array([rounded(5000 * Fraction(float(each)), DOUBLE) for each in x]))

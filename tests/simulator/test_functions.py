"""Functions of scalars: the same bits in both engines, and the right ones."""

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from numba import cuda

from kernels.simulator import ENGINES, simulate
from kernels.simulator.functions import (
    BF16,
    BUILTINS,
    CASTS,
    CUDA,
    FP16,
    LIBDEVICE,
    MATH,
    NUMPY,
    OPERATORS,
    VECTORS,
    bfloat16,
)
from kernels.simulator.functions.declare import STRONG, entry_point

try:
    import ml_dtypes
except ImportError:  # then there is no bfloat16 outside kernels
    ml_dtypes = None

INTEGERS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
MODES = ("rn", "rz", "ru", "rd")

#: Formats: bits of the significand, least and greatest exponent.
FORMATS = {"half": (11, -14, 15), "bfloat16": (8, -126, 127), "single": (24, -126, 127), "double": (53, -1022, 1023)}


def _loop1(function):
    @entry_point
    def run(out, x):
        for i in range(out.size):
            out[i] = function(x[i])

    return run


def _loop2(function):
    @entry_point
    def run(out, x, y):
        for i in range(out.size):
            out[i] = function(x[i], y[i])

    return run


def _loop3(function):
    @entry_point
    def run(out, x, y, z):
        for i in range(out.size):
            out[i] = function(x[i], y[i], z[i])

    return run


def bits(values):
    """What is compared: the bytes of an array, all NaNs the same."""
    values = np.asarray(values)
    if values.dtype.kind in "fV":
        with np.errstate(invalid="ignore"):
            values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return values.tobytes()


def compute(function, *arrays):
    """Results of the compiled half for all elements; the Python half gives the same for some of them."""
    strong = [function(*(a[i] for a in arrays)) for i in range(0, arrays[0].size, max(1, arrays[0].size // 25))]
    out = np.empty(arrays[0].size, type(strong[0]))
    (_loop1, _loop2, _loop3)[len(arrays) - 1](function)(out, *arrays)
    assert bits(out[:: max(1, out.size // 25)]) == bits(np.array(strong, out.dtype))
    return out


def round_exactly(x, form, mode, negative_zero=False):
    """The Fraction `x` rounded to a format, as a float."""
    precision, emin, emax = FORMATS[form]
    if x == 0:
        return -0.0 if negative_zero else 0.0
    sign, x = (-1.0, -x) if x < 0 else (1.0, x)
    exponent = x.numerator.bit_length() - x.denominator.bit_length()
    exponent = max(exponent if x >= Fraction(2) ** exponent else exponent - 1, emin) - precision + 1
    units = x / Fraction(2) ** exponent
    whole = math.floor(units)
    rest = units - whole
    if mode == "rn":
        whole += rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2)
    elif rest:
        whole += (mode == "ru" and sign > 0) or (mode == "rd" and sign < 0)
    if Fraction(whole) * Fraction(2) ** exponent >= Fraction(2) ** (emax + 1):
        away = mode == "rn" or (mode == "ru" and sign > 0) or (mode == "rd" and sign < 0)
        return sign * (math.inf if away else math.ldexp((1 << precision) - 1, emax - precision + 1))
    return sign * math.ldexp(whole, exponent)


def floats(rng, dtype, size):
    """Floats of all magnitudes, some close to one another, some whole, zeros, subnormals."""
    integer = np.dtype(f"i{np.dtype(dtype).itemsize}")
    info = np.iinfo(integer)
    x = rng.integers(info.min, info.max, size, integer, endpoint=True).view(dtype)
    near = (rng.normal(size=size) * 2.0 ** rng.integers(-12, 12, size)).astype(dtype)
    small = rng.integers(-20, 20, size).astype(dtype) * np.finfo(dtype).smallest_subnormal
    whole = rng.integers(-100, 100, size).astype(dtype)
    x = np.choose(rng.integers(0, 5, size), [x, near, near, small, whole])
    return np.where(np.isfinite(x), x, near).astype(dtype)


# Integers.


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bit_functions_count_in_the_width_of_their_type(dtype):
    rng = np.random.default_rng(1)
    width, info = np.dtype(dtype).itemsize * 8, np.iinfo(dtype)
    x = np.concatenate([rng.integers(info.min, info.max, 50, dtype, endpoint=True) >> dtype(k) for k in range(width)])
    x[:3] = 0, info.max, info.min
    patterns = [int(v) % 2**width for v in x]
    assert compute(CUDA["popc"], x).tolist() == [p.bit_count() for p in patterns]
    assert compute(CUDA["clz"], x).tolist() == [width - p.bit_length() for p in patterns]
    assert compute(CUDA["ffs"], x).tolist() == [(p & -p).bit_length() for p in patterns]
    assert CUDA["popc"](x[1]).dtype == dtype
    assert CUDA["ffs"](x[1]).dtype == np.uint32


def test_brev_reverses_32_or_64_bits():
    for dtype, width in ((np.uint32, 32), (np.uint64, 64)):
        x = np.random.default_rng(2).integers(0, 2**width, 100, dtype)
        assert compute(CUDA["brev"], x).tolist() == [int(f"{v:0{width}b}"[::-1], 2) for v in x.tolist()]


def signed(x, width=32):
    """The signed integer of the low bits of x."""
    return (x + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)


def test_integer_functions_of_libdevice_are_exact():
    rng = np.random.default_rng(3)
    x, y, z = rng.integers(-(2**31), 2**31, (3, 1000), dtype=np.int32)
    x[:5], y[:5] = (2**31 - 1, -(2**31), -(2**31), -1, 0), (2**31 - 1, -(2**31), -1, -1, 0)
    u, v = x.astype(np.uint32).astype(object), y.astype(np.uint32).astype(object)
    a, b, c = (t.astype(object) for t in (x, y, z))
    low24 = [signed(t % 2**24, 24) for t in a], [signed(t % 2**24, 24) for t in b]
    for name, exact in {
        "hadd": [(p + q) >> 1 for p, q in zip(a, b, strict=True)],
        "rhadd": [(p + q + 1) >> 1 for p, q in zip(a, b, strict=True)],
        "uhadd": [(p + q) >> 1 for p, q in zip(u, v, strict=True)],
        "urhadd": [(p + q + 1) >> 1 for p, q in zip(u, v, strict=True)],
        "mulhi": [(p * q) >> 32 for p, q in zip(a, b, strict=True)],
        "umulhi": [(p * q) >> 32 for p, q in zip(u, v, strict=True)],
        "mul24": [p * q for p, q in zip(*low24, strict=True)],
        "umul24": [(p % 2**24) * (q % 2**24) for p, q in zip(a, b, strict=True)],
        "umax": [max(p, q) for p, q in zip(u, v, strict=True)],
        "umin": [min(p, q) for p, q in zip(u, v, strict=True)],
    }.items():
        assert compute(LIBDEVICE[name], x, y).tolist() == [signed(e) for e in exact], name
    assert compute(LIBDEVICE["sad"], x, y, z).tolist() == [
        signed(abs(p - q) + r) for p, q, r in zip(a, b, c, strict=True)
    ]
    assert compute(LIBDEVICE["usad"], x, y, z).tolist() == [
        signed(abs(p - q) + r) for p, q, r in zip(u, v, c, strict=True)
    ]
    picked = []
    for p, q, s in zip(u, v, c, strict=True):
        source = (q << 32 | p).to_bytes(8, "little")
        picked.append(int.from_bytes(bytes(source[s >> (4 * k) & 7] for k in range(4)), "little"))
    assert compute(LIBDEVICE["byte_perm"], x, y, z).tolist() == [signed(p) for p in picked]


def test_high_halves_of_64_bit_products_are_exact():
    x, y = np.random.default_rng(4).integers(-(2**63), 2**63, (2, 1000), dtype=np.int64)
    x[:3], y[:3] = (-(2**63), -(2**63), -1), (-(2**63), 2**63 - 1, -1)
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    assert compute(LIBDEVICE["mul64hi"], x, y).tolist() == [a * b >> 64 for a, b in pairs]
    exact = [signed((a % 2**64) * (b % 2**64) >> 64, 64) for a, b in pairs]
    assert compute(LIBDEVICE["umul64hi"], x, y).tolist() == exact


# Rounding in every direction.


def fractions(*arrays):
    """Tuples of the elements as Fractions."""
    return zip(*([Fraction(float(v)) for v in a] for a in arrays), strict=True)


def exact_sum_zero(x, y, mode):
    """Whether an exact sum that is zero is -0."""
    negative = [math.copysign(1.0, v) < 0 for v in (x, y)]
    return all(negative) or (mode == "rd" and any(n for n in negative) | (float(x) != 0.0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("prefix", "dtype", "form"), [("d", np.float64, "double"), ("f", np.float32, "single")])
def test_arithmetic_rounds_as_its_name_says(prefix, dtype, form, mode):
    rng = np.random.default_rng(5)
    x, y, z = (floats(rng, dtype, 1500) for _ in range(3))
    y[:200] = -x[:200]
    y[200:400] = np.nextafter(x[200:400], dtype(0))
    fma = "fma" if prefix == "d" else "fmaf"
    with np.errstate(all="ignore"):
        z[:500] = -(x[:500] * y[:500])
    z = np.where(np.isfinite(z), z, dtype(1))
    expected = [
        round_exactly(a + b, form, mode, exact_sum_zero(p, q, mode))
        for (a, b), p, q in zip(fractions(x, y), x, y, strict=True)
    ]
    assert bits(compute(LIBDEVICE[f"{prefix}add_{mode}"], x, y)) == bits(np.array(expected, dtype))
    negative = [math.copysign(1.0, p) != math.copysign(1.0, q) for p, q in zip(x, y, strict=True)]
    expected = [round_exactly(a * b, form, mode, n) for (a, b), n in zip(fractions(x, y), negative, strict=True)]
    assert bits(compute(LIBDEVICE[f"{prefix}mul_{mode}"], x, y)) == bits(np.array(expected, dtype))
    d = np.where(y == 0, dtype(3), y)
    negative = [math.copysign(1.0, p) != math.copysign(1.0, q) for p, q in zip(x, d, strict=True)]
    expected = [round_exactly(a / b, form, mode, n) for (a, b), n in zip(fractions(x, d), negative, strict=True)]
    assert bits(compute(LIBDEVICE[f"{prefix}div_{mode}"], x, d)) == bits(np.array(expected, dtype))
    expected = [round_exactly(1 / b, form, mode) for (b,) in fractions(d)]
    assert bits(compute(LIBDEVICE[f"{prefix}rcp_{mode}"], d)) == bits(np.array(expected, dtype))
    expected = [round_exactly(a * b + c, form, mode) for a, b, c in fractions(x, y, z)]
    result = compute(LIBDEVICE[f"{fma}_{mode}"], x, y, z)
    exact_zero = np.array(expected) == 0.0
    assert bits(np.where(exact_zero, np.abs(result), result)) == bits(
        np.array(np.where(exact_zero, 0.0, expected), dtype)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("name", "dtype", "form"), [("dsqrt", np.float64, "double"), ("fsqrt", np.float32, "single")])
def test_square_roots_round_as_their_name_says(name, dtype, form, mode):
    x = np.abs(floats(np.random.default_rng(6), dtype, 700))
    expected = []
    for (a,) in fractions(x):
        # 300 bits below the root's, and one more for what is left out.
        scale = 2 * (600 if a > 1 else 900)
        n = math.isqrt(a.numerator * 2**scale * 2**scale // a.denominator)
        exact = n * n * a.denominator == a.numerator * 2 ** (2 * scale)
        expected.append(round_exactly(Fraction(2 * n + (not exact), 2 ** (scale + 1)), form, mode))
    assert bits(compute(LIBDEVICE[f"{name}_{mode}"], x)) == bits(np.array(expected, dtype))


def saturated(x, dtype):
    """An integer, or the nearest that the type has."""
    info = np.iinfo(dtype)
    return min(max(x, info.min), info.max)


ROUNDED = {
    "rn": round, "rz": math.trunc, "ru": math.ceil, "rd": math.floor,
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "dtype"), [("double", np.float64), ("float", np.float32)])
def test_floats_become_the_nearest_integers_there_are(source, dtype, mode):
    rng = np.random.default_rng(7)
    x = np.concatenate([
        floats(rng, dtype, 500), rng.integers(-9, 9, 50) / 2, 2.0 ** rng.integers(20, 70, 50) + rng.integers(-2, 3, 50),
        [2.0**31, 2.0**32, 2.0**63, 2.0**64, -(2.0**31), -(2.0**63), 2.0**31 - 1, 2.0**32 - 1],
    ]).astype(dtype)  # fmt: skip
    exact = [ROUNDED[mode](Fraction(float(v))) for v in x]
    for name, integer in (("int", np.int32), ("uint", np.uint32), ("ll", np.int64), ("ull", np.uint64)):
        width = np.dtype(integer).itemsize * 8
        expected = [signed(saturated(e, integer), width) for e in exact]
        function = LIBDEVICE[f"{source}2{name}_{mode}"]
        assert compute(function, x).tolist() == expected
        highest = source == "double" or width == 64
        assert function(dtype(np.nan)) == (-(2 ** (width - 1)) if highest else 0)


@pytest.mark.parametrize("mode", MODES)
def test_integers_become_floats_rounded_as_the_name_says(mode):
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.integers(-(2**63), 2**63, 1000) >> rng.integers(0, 60, 1000), [0, 2**63 - 1, -(2**63), -1]])
    for letter, name in (("", "ll"), ("u", "ull")):
        exact = [Fraction(int(v) % 2**64 if letter else int(v)) for v in x]
        for to, form in (("float", "single"), ("double", "double")):
            expected = [round_exactly(e, form, mode) for e in exact]
            assert compute(LIBDEVICE[f"{name}2{to}_{mode}"], x).tolist() == expected
    for name, unsigned in (("int", False), ("uint", True)):
        y = x.astype(np.int32)
        expected = [round_exactly(Fraction(int(v) % 2**32 if unsigned else int(v)), "single", mode) for v in y]
        assert compute(LIBDEVICE[f"{name}2float_{mode}"], y).tolist() == expected
    d = floats(rng, np.float64, 1000)
    d[:500] = rng.normal(size=500).astype(np.float32).astype(np.float64) * (1 + 2.0**-24)
    expected = [
        round_exactly(a, "single", mode, math.copysign(1.0, v) < 0) for (a,), v in zip(fractions(d), d, strict=True)
    ]
    assert bits(compute(LIBDEVICE[f"double2float_{mode}"], d)) == bits(np.array(expected, np.float32))


# 16 bits.

HALVES = {"half": (FP16, np.float16, "__", "half")}
if ml_dtypes is not None:
    HALVES["bfloat16"] = BF16, ml_dtypes.bfloat16, "", "bfloat16"
EVERY = np.arange(2**16, dtype=np.uint16)


def finite(x):
    """Which 16-bit floats are finite; ml_dtypes' own isfinite warns of NaN."""
    return np.isfinite(widened(x))


def widened(x):
    """16-bit floats as float64, without the warning of a signalling NaN."""
    with np.errstate(invalid="ignore"):
        return x.astype(np.float64)


@pytest.mark.parametrize("form", HALVES)
def test_arithmetic_of_16_bits_rounds_once(form):
    table, dtype, prefix, _ = HALVES[form]
    rng = np.random.default_rng(9)
    x, y, z = rng.choice(EVERY.view(dtype), (3, 3000))
    x[:1000], y[:1000], z[:1000] = rng.normal(size=(3, 1000)).astype(dtype)
    usable = finite(x) & finite(y) & finite(z) & (widened(y) != 0)
    x, y, z = x[usable], y[usable], z[usable]
    for name, exact in (
        ("hadd", lambda a, b: a + b), ("hsub", lambda a, b: a - b), ("hmul", lambda a, b: a * b),
        ("hdiv", lambda a, b: a / b),
    ):  # fmt: skip
        expected = [round_exactly(exact(a, b), form, "rn") for a, b in fractions(x, y)]
        result = compute(table[name], x, y).astype(np.float64)
        assert np.array_equal(result, np.array(expected))
    expected = [round_exactly(a * b + c, form, "rn") for a, b, c in fractions(x, y, z)]
    assert np.array_equal(compute(table["hfma"], x, y, z).astype(np.float64), np.array(expected))
    relu = compute(table[prefix + "hfma_relu"], x, y, z).astype(np.float64)
    assert np.array_equal(relu, np.maximum(expected, 0.0))
    saturated_sum = compute(table[prefix + "hfma_sat"], x, y, z).astype(np.float64)
    assert np.array_equal(saturated_sum, np.clip(expected, 0.0, 1.0))


@pytest.mark.parametrize("form", HALVES)
def test_functions_of_16_bits_are_rounded(form):
    table, dtype, *_ = HALVES[form]
    x = EVERY[::11].view(dtype)
    wide = widened(x)
    with np.errstate(all="ignore"):
        for name, expected in {
            "hfloor": np.floor(wide), "hceil": np.ceil(wide), "htrunc": np.trunc(wide), "hrint": np.rint(wide),
            "hsqrt": np.sqrt(wide), "hrcp": 1 / wide, "hneg": -wide, "habs": abs(wide), "hsin": np.sin(wide),
            "hexp": np.exp(wide), "hlog2": np.log2(wide), "htanh": np.tanh(wide), "hexp10": 10.0**wide,
            "hrsqrt": 1 / np.sqrt(wide),
        }.items():  # fmt: skip
            # ml_dtypes rounds a float64 twice.
            once = [
                round_exactly(Fraction(e), form, "rn", math.copysign(1, e) < 0) if np.isfinite(e) else e
                for e in expected
            ]
            assert bits(widened(compute(table[name], x))) == bits(once), name


@pytest.mark.parametrize("form", HALVES)
def test_comparisons_of_16_bits_know_nan(form):
    table, dtype, prefix, _ = HALVES[form]
    x, y = (a.ravel() for a in np.meshgrid(*[np.array([-np.inf, -1, -0.0, 0.0, 2, np.nan], dtype)] * 2))
    unordered = np.isnan(x) | np.isnan(y)
    for name, compare in {
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
        "gt": np.greater, "ge": np.greater_equal,
    }.items():  # fmt: skip
        expected = compare(x.astype(np.float32), y.astype(np.float32))
        assert np.array_equal(compute(table["h" + name], x, y), expected & ~unordered)
        assert np.array_equal(compute(table[prefix + f"h{name}u"], x, y), expected | unordered)
    number = np.fmax(x.astype(np.float64), y.astype(np.float64))
    assert np.array_equal(compute(table["hmax"], x, y).astype(np.float64), number, equal_nan=True)
    assert np.array_equal(np.isnan(compute(table[prefix + "hmax_nan"], x, y)), unordered)
    assert math.copysign(1.0, table["hmax"](dtype(-0.0), dtype(0.0))) == 1.0
    assert math.copysign(1.0, table["hmin"](dtype(0.0), dtype(-0.0))) == -1.0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", HALVES)
def test_conversions_of_16_bits_round_as_their_name_says(form, mode):
    table, dtype, prefix, own = HALVES[form]
    rng = np.random.default_rng(10)
    x = floats(rng, np.float32, 1000)
    expected = [
        round_exactly(a, form, mode, math.copysign(1.0, v) < 0) for (a,), v in zip(fractions(x), x, strict=True)
    ]
    assert bits(compute(table[f"{prefix}float2{own}_{mode}"], x).astype(np.float64)) == bits(np.array(expected))
    for name, integer in (("short", np.int16), ("uint", np.uint32), ("ll", np.int64), ("ull", np.uint64)):
        info = np.iinfo(integer)
        i = rng.integers(info.min, info.max, 500, integer, endpoint=True)
        expected = [round_exactly(Fraction(int(v)), form, mode) for v in i]
        assert compute(table[f"{prefix}{name}2{own}_{mode}"], i).astype(np.float64).tolist() == expected
        h = EVERY[::13].view(dtype)
        h = h[finite(h)]
        expected = [saturated(ROUNDED[mode](Fraction(float(v))), integer) for v in h]
        assert compute(table[f"{prefix}{own}2{name}_{mode}"], h).tolist() == expected


@pytest.mark.parametrize("form", HALVES)
def test_float64_is_rounded_to_16_bits_once(form):
    table, dtype, prefix, own = HALVES[form]
    h = EVERY.view(dtype)
    h = h[finite(h)].astype(np.float64)
    middle = ((h[1:] + h[:-1]) / 2)[::11]
    x = np.concatenate([middle, np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf), [1e300, -1e300, 5e-324]])
    expected = [
        round_exactly(a, form, "rn", math.copysign(1.0, v) < 0) for (a,), v in zip(fractions(x), x, strict=True)
    ]
    assert bits(compute(table[f"{prefix}double2{own}"], x).astype(np.float64)) == bits(np.array(expected))


@pytest.mark.parametrize("form", HALVES)
def test_operators_of_16_bits_compute_in_16_bits(form):
    _, dtype, *_ = HALVES[form]

    def formula(x, y):
        return (x + y) * x - abs(y) / -x

    @entry_point
    def run(x, y, out, order):
        for i in range(out.size):
            a, b = x[i], y[i]
            out[i] = formula_(a, b)
            order[i] = a < b or (a == b and not a >= b) or (a != a and bool(a))

    formula_ = entry_point(formula)
    x, y = np.random.default_rng(11).choice(EVERY.view(dtype), (2, 5000))
    if form == "bfloat16":
        # numba-cuda has no abs of a bfloat16 but float32's.
        y = np.abs(y)
    out, order = np.empty_like(x), np.empty(x.size, np.bool_)
    run(x, y, out, order)
    with np.errstate(all="ignore"):
        assert np.array_equal(order, (x < y) | np.isnan(x))
        if form == "half":
            assert bits(out) == bits((x + y) * x - abs(y) / -x)


def test_a_float16_becomes_the_nearest_even_integer():
    @entry_point
    def cast(x):
        return np.int8(x), np.int32(x), np.uint16(x)

    assert cast(np.float16(2.5)) == (2, 2, 2)
    assert cast(np.float16(-3.5)) == (-4, -4, 0)
    assert cast(np.float16(1000)) == (127, 1000, 1000)


# Mathematics.


def ulps(result, exact, dtype):
    """How far `result` is from the mpf `exact`, in the type's units of the last place."""
    if not math.isfinite(result) or abs(exact) > float(np.finfo(dtype).max):
        return 0.0 if math.isinf(result) and abs(exact) > 0.99 * float(np.finfo(dtype).max) else math.inf
    spacing = max(float(np.spacing(dtype(abs(float(exact))))), float(np.finfo(dtype).smallest_subnormal))
    return float(abs(mpf(float(result)) - exact) / spacing)


def normcdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


#: Name, mpmath's function, range, bound in ulp of float64 (4 ulp in float32).
TRUTHS = [
    ("acos", mp.acos, -1, 1, 2), ("acosh", mp.acosh, 1, 50, 3), ("asin", mp.asin, -1, 1, 2),
    ("asinh", mp.asinh, -50, 50, 3), ("atan", mp.atan, -50, 50, 2), ("atanh", mp.atanh, -0.99, 0.99, 3),
    ("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), -50, 50, 4), ("cos", mp.cos, -50, 50, 2),
    ("cosh", mp.cosh, -50, 50, 3), ("cospi", mp.cospi, -50, 50, 3), ("erf", mp.erf, -5, 5, 2),
    ("erfc", mp.erfc, -5, 25, 6), ("erfcinv", lambda p: mp.erfinv(1 - p), 1e-20, 2, 4),
    ("erfcx", lambda x: mp.exp(x * x) * mp.erfc(x), -5, 100, 8), ("erfinv", mp.erfinv, -1, 1, 4),
    ("exp", mp.exp, -50, 50, 2), ("exp10", lambda x: mpf(10) ** x, -30, 30, 2),
    ("exp2", lambda x: mpf(2) ** x, -50, 50, 2),
    ("expm1", mp.expm1, -5, 5, 2), ("lgamma", mp.loggamma, 3, 50, 6), ("log", mp.log, 1e-3, 50, 2),
    ("log10", mp.log10, 1e-3, 50, 3), ("log1p", mp.log1p, -0.9, 50, 2), ("log2", lambda x: mp.log(x, 2), 1e-3, 50, 2),
    ("normcdf", normcdf, -30, 5, 8), ("normcdfinv", lambda p: -mp.sqrt(2) * mp.erfinv(1 - 2 * p), 1e-20, 1, 4),
    ("rcbrt", lambda x: 1 / mp.cbrt(x), 1e-3, 50, 3), ("rsqrt", lambda x: 1 / mp.sqrt(x), 1e-3, 50, 2),
    ("sin", mp.sin, -50, 50, 2), ("sinh", mp.sinh, -50, 50, 3), ("sinpi", mp.sinpi, -50, 50, 3),
    ("tan", mp.tan, -50, 50, 3),
    ("tanh", mp.tanh, -5, 5, 3), ("tgamma", mp.gamma, 0.1, 50, 12),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "truth", "low", "high", "bound"), TRUTHS, ids=[t[0] for t in TRUTHS])
def test_functions_agree_with_their_mathematics(name, truth, low, high, bound, dtype):
    rng = np.random.default_rng(12)
    x = rng.uniform(low, high, 100).astype(dtype)
    if low > 0 and low < 1e-2:
        x[:50] = np.exp(rng.uniform(np.log(low), np.log(high), 50))
    result = compute(LIBDEVICE[name + ("f" if dtype is np.float32 else "")], x)
    with mp.workprec(240):
        errors = [ulps(r, mp.re(truth(mpf(float(v)))), dtype) for r, v in zip(result, x, strict=True)]
    assert max(errors) <= (bound if dtype is np.float64 else 4)


def test_bessel_functions_agree_with_their_mathematics():
    x = np.random.default_rng(13).uniform(0.1, 20, 100)
    n = np.arange(100, dtype=np.int32) % 5
    with mp.workprec(100):
        for name, truth in (("jn", mp.besselj), ("yn", mp.bessely)):
            result = compute(LIBDEVICE[name], n, x)
            for r, k, v in zip(result, n, x, strict=True):
                # Absolute near the zeros; the recurrence over n amplifies what is small.
                exact = truth(int(k), mpf(v))
                assert abs(r - exact) <= 64 * np.finfo(np.float64).eps * max(1, abs(exact))
        for name, truth in (("j0", lambda v: mp.besselj(0, v)), ("y1", lambda v: mp.bessely(1, v))):
            for r, v in zip(compute(LIBDEVICE[name], x), x, strict=True):
                exact = truth(mpf(v))
                assert abs(r - exact) <= 16 * np.finfo(np.float64).eps * max(1, abs(exact))


@given(st.floats(), st.floats())
@settings(max_examples=300)
def test_remquo_gives_the_ieee_remainder_and_the_quotient(x, y):
    remainder, quotient = LIBDEVICE["remquo"](np.float64(x), np.float64(y))
    if math.isnan(x) or math.isnan(y) or math.isinf(x) or y == 0:
        assert math.isnan(remainder)
        return
    assert bits(remainder) == bits(np.float64(math.remainder(x, y)))
    exact = 0 if math.isinf(y) else round(Fraction(x) / Fraction(y))
    assert quotient == (abs(exact) % 8 if exact >= 0 else -(abs(exact) % 8))


def test_domain_errors_give_nan_and_infinities():
    assert math.isnan(MATH["sqrt"](-1.0))
    assert MATH["log"](np.float32(0)) == -math.inf
    assert MATH["pow"](0.0, -1.0) == math.inf
    assert MATH["exp"](np.float32(1000)) == math.inf
    assert math.isnan(MATH["acos"](2.0))
    assert math.isnan(MATH["fmod"](1.0, 0.0))
    assert MATH["gamma"](0.0) == math.inf
    assert bits(MATH["modf"](-math.inf)) == bits((-0.0, -math.inf))
    assert MATH["frexp"](np.float32(-math.inf)) == (-math.inf, 0)


def test_mathematics_of_float32_is_float32_and_of_integers_float64():
    for name, function in MATH.items():
        if function.counts == [1] and name not in ("modf", "frexp", "isnan", "isinf", "isfinite"):
            assert function(np.float32(0.5)).dtype == np.float32
            assert function(np.int64(1)).dtype == np.float64
    assert bits(MATH["floor"](np.float32(-0.0))) == bits(np.float32(-0.0))


def test_min_and_max_prefer_numbers_to_nan():
    for dtype in (np.float32, np.float64, np.float16):
        nan, one = dtype(np.nan), dtype(1)
        assert BUILTINS["max"](nan, one) == BUILTINS["max"](one, nan) == 1
        assert BUILTINS["min"](nan, one) == BUILTINS["min"](one, nan, nan) == 1
    assert BUILTINS["max"](np.int32(2), np.float32(1)).dtype == np.float64
    assert BUILTINS["min"](np.int8(2), np.int32(-1), np.int16(5), np.int8(3)) == -1


# Vectors and casts.


def test_a_vector_is_made_of_scalars_and_smaller_vectors():
    float4, float2, int2, uchar1 = (VECTORS[name] for name in ("float4", "float32x2", "int2", "uchar1"))

    def build(a, b):
        v = float4(a, float2(b, 3), uchar1(300).x)
        w = int2(a, b)
        return v.x, v.y, v.z, v.w, w.x, w.y

    expected = (np.float32(0.1), np.float32(-1.7), 3.0, 44.0, 0, -1)
    assert build(0.1, np.float64(-1.7)) == expected
    assert entry_point(build)(0.1, -1.7) == expected
    assert VECTORS["double3"] is VECTORS["float64x3"]
    with pytest.raises(TypeError, match="float32x2 takes 2 components"):
        float2(1, 2, 3)
    with pytest.raises(TypeError, match="components of float32"):
        float2(int2(1, 2))


@pytest.mark.parametrize("engine", ENGINES)
def test_components_of_vectors_are_numbers_of_kernels(engine):
    @cuda.jit
    def kernel(out):
        pair = cuda.int32x2(2**30, 2**30)
        four = cuda.uint8x4(200, 100, pair.x, 3)
        three = cuda.uint32x3(cuda.uint32x2(1, 2), 3)
        out[0], out[1], out[2] = pair.x * pair.y, pair.x * 8, four.x + four.y
        out[3], out[4] = three.x - three.z, -three.x

    out = np.zeros(5, np.int64)
    simulate(kernel, engine=engine)[1, 1](out)
    assert out.tolist() == [2**60, 2**33, 300, -2, 2**32 - 1]


def test_casts_are_those_of_compiled_kernels():
    @entry_point
    def store(out, x):
        for i in range(x.size):
            out[i] = x[i]

    rng = np.random.default_rng(14)
    for source in (np.int64(2) ** np.arange(60), rng.normal(size=50) * 100, rng.normal(size=50).astype(np.float32)):
        for dtype, cast in CASTS.items():
            x = np.abs(source) if np.dtype(dtype).kind == "u" else source
            out = np.empty(x.size, dtype)
            store(out, x)
            assert bits(out) == bits(np.array([cast(v) for v in x], dtype))


# The names and types are numba-cuda's.

TYPINGS = """
import itertools
from numba import cuda
from numba.core import types
from numba.core.registry import cpu_target
from numba.cuda import bf16, fp16, libdevice, libdevicefuncs, stubs
from numba.cuda.descriptor import cuda_target
from kernels.simulator.functions import BF16, CUDA, FP16, LIBDEVICE, MATH, NUMPY, OPERATORS, VECTORS, bfloat16
import math

theirs, ours = cuda_target.typing_context, cpu_target.typing_context
cuda_target.target_context, cpu_target.target_context
theirs.refresh(), ours.refresh()
numbers = [types.boolean, types.int8, types.int16, types.int32, types.int64, types.uint8, types.uint16, types.uint32,
           types.uint64, types.float16, types.float32, types.float64]

def resolve(context, function, args):
    try:
        function = function if isinstance(function, types.Type) else context.resolve_value_type(function)
        return str(context.resolve_function_type(function, args, {}).return_type)
    except Exception:
        return None

def compare(name, reference, function):
    for args in itertools.product(numbers, repeat=function.counts[0]):
        a, b = resolve(theirs, reference, args), resolve(ours, function, args)
        assert a == b, (name, args, a, b)

for name, function in CUDA.items():
    compare(name, theirs.resolve_getattr(types.Module(cuda), name), function)
for name, function in MATH.items():
    if name != "tanh":  # an overload gives float16's
        compare(name, getattr(math, name), function)
for name in ("hadd", "hsin", "hfma", "__half2int_rn", "__int2half_ru", "heq"):
    compare(name, getattr(fp16, name), FP16[name])
signatures = {n[5:]: libdevicefuncs.create_signature(r, a) for n, (r, a) in libdevicefuncs.functions.items()}
assert {n: str(s) for n, s in signatures.items()} == {n: str(f.cases[0]) for n, f in LIBDEVICE.items()}
assert set(fp16.__all__) - set(FP16) == {"__half", "atomicAdd", "typing_registry", "target_registry"}
assert set(FP16) <= set(fp16.__all__)
assert set(bf16.__all__) - set(BF16) == {"bfloat16", "typing_registry", "target_registry"}
assert all(hasattr(bf16, name) for name in BF16)
assert {n for s in stubs._vector_type_stubs for n in (s.__name__, *s.aliases)} == set(VECTORS)
print("agree")
"""


def test_names_and_types_are_those_of_numba_cuda(monkeypatch):
    pytest.importorskip("numba.cuda.libdevicefuncs")
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    done = subprocess.run([sys.executable, "-c", TYPINGS], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "agree", done.stderr


def test_results_are_numpy_scalars():
    assert {type(f(np.float32(0.25))) for f in (MATH["sin"], LIBDEVICE["sinf"], CUDA["cbrt"])} == {np.float32}
    assert type(MATH["isnan"](1.0)) is np.bool_


@pytest.mark.skipif(ml_dtypes is None, reason="bfloat16 scalars are ml_dtypes'")
def test_results_of_bfloat16_are_scalars_of_ml_dtypes():
    assert type(BF16["hadd"](ml_dtypes.bfloat16(1), ml_dtypes.bfloat16(2))) is ml_dtypes.bfloat16
    assert STRONG[bfloat16] is ml_dtypes.bfloat16


def test_operators_promote_as_numba_does():
    assert type(OPERATORS["mul"](np.int32(2**30), np.int32(4))) is np.int64
    assert OPERATORS["add"](np.int64(2**63 - 1), np.int64(1)) == -(2**63)
    assert type(OPERATORS["sub"](np.uint32(1), np.uint32(2))) is np.uint64
    assert type(OPERATORS["add"](np.int64(1), np.uint64(2))) is np.int64
    assert type(OPERATORS["add"](np.float32(1), np.int32(2))) is np.float64
    assert OPERATORS["truediv"](1.0, 0.0) == math.inf
    assert OPERATORS["add"](np.float16(1), np.float16(0.1)) == np.float16(1.1)
    assert type(NUMPY["sin"](np.float32(1))) is np.float32

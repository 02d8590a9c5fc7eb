"""float8: bytes, numbers and conversions in both engines, against ml_dtypes and the format's definition."""

import math

import numpy as np
import pytest
from numba import cuda
from numba.types import bool_, float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64

from kernels.simulator import ENGINES, simulate
from kernels.simulator.functions import FP8, VECTORS

ml_dtypes = pytest.importorskip("ml_dtypes")

DTYPES = {"e5m2": ml_dtypes.float8_e5m2, "e4m3": ml_dtypes.float8_e4m3fn, "e8m0": ml_dtypes.float8_e8m0fnu}
BYTES = np.arange(256, dtype=np.uint8)
VALUES = {name: BYTES.view(dtype).astype(np.float64) for name, dtype in DTYPES.items()}

e5m2, e4m3, e8m0 = (FP8[f"fp8_{name}"] for name in DTYPES)
saturation, interpretation, rounding = (FP8[name] for name in ("saturation_t", "fp8_interpretation_t", "cudaRoundMode"))
float2, float4, double2 = (VECTORS[name] for name in ("float2", "float4", "double2"))


def numbers(name, dtype):
    """All numbers of a format, the middles between neighbours, what lies beside those, and many others."""
    values = np.unique(VALUES[name][np.isfinite(VALUES[name])])
    middles = (values[1:] + values[:-1]) / 2
    x = np.concatenate([values, middles, [values[-1] * k for k in (1.01, 1.07, 1.2, 3)]]).astype(dtype)
    rng = np.random.default_rng(3)
    others = (rng.normal(size=400) * 2.0 ** rng.integers(-20, 20, 400)).astype(dtype)
    beside = [np.nextafter(x, dtype(sign * np.inf)) for sign in (1, -1)]
    return np.concatenate([x, -x, *beside, others, np.array([np.inf, -np.inf, np.nan], dtype)])


def nearest(name, x, saturate):
    """The byte of e5m2 or e4m3 nearest to a number, by searching all; the even one of two."""
    largest, beyond = {"e5m2": (0x7B, 0x7C), "e4m3": (0x7E, 0x7F)}[name]
    if np.isnan(x):
        return 0x7F
    sign, x = (0x80, -float(x)) if math.copysign(1, x) < 0 else (0, float(x))
    table = [*VALUES[name][: largest + 1], 2 * VALUES[name][largest] - VALUES[name][largest - 1]]
    if name == "e5m2":
        table[-1] = 65536.0  # where infinity would be, were it a number
    below = int(np.searchsorted(table, x, side="right")) - 1
    byte = below
    if below <= largest:
        down, up = x - table[below], table[below + 1] - x
        byte = below + (up < down or (up == down and below % 2 == 1))
    return sign | (byte if byte <= largest else largest if saturate else beyond)


def power(x, up, saturate):
    """The byte of e8m0 for the magnitude of a number."""
    if np.isnan(x):
        return 0xFF
    mantissa, exponent = math.frexp(abs(float(x))) if np.isfinite(x) else (0.5, 1025)
    byte = exponent - 1 + 127 + (up and mantissa > 0.5) if mantissa else 0
    if byte > 254:
        return 254 if saturate or (np.isfinite(x) and not up) else 255
    return max(byte, 0)


def rounded(name, x):
    """What a float8 made of numbers is worth."""
    if name == "e8m0":
        return VALUES[name][[power(v, True, True) for v in x]]
    return VALUES[name][[nearest(name, v, True) for v in x]]


def converting(kind):
    @cuda.jit
    def to_floats(x, single, double, half, truth):
        i = cuda.grid(1)
        if i < x.size:
            number = kind(x[i])
            single[i], double[i], half[i], truth[i] = float32(number), float64(number), float16(number), bool_(number)

    @cuda.jit
    def to_integers(x, a, b, c, d, e, f, g, h):
        i = cuda.grid(1)
        if i < x.size:
            number = kind(x[i])
            a[i], b[i], c[i], d[i] = int8(number), int16(number), int32(number), int64(number)
            e[i], f[i], g[i], h[i] = uint8(number), uint16(number), uint32(number), uint64(number)

    return to_floats, to_integers


KINDS = {"e5m2": e5m2, "e4m3": e4m3, "e8m0": e8m0}
KERNELS = {name: converting(kind) for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", DTYPES)
def test_every_byte_is_the_number_of_ml_dtypes(name):
    found = np.array([KINDS[name].value_of(byte) for byte in BYTES])
    np.testing.assert_array_equal(found, VALUES[name].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_becomes_the_nearest_float8(engine, name, dtype):
    with np.errstate(over="ignore"):
        x = numbers(name, dtype)
    single, double, half, truth = (np.zeros(x.size, t) for t in (np.float32, np.float64, np.float16, np.bool_))
    simulate(KERNELS[name][0], engine=engine)[-(-x.size // 128), 128](x, single, double, half, truth)
    expected = rounded(name, x)
    np.testing.assert_array_equal(double, expected)
    np.testing.assert_array_equal(single, expected.astype(np.float32))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(half, expected.astype(np.float16))
    np.testing.assert_array_equal(truth, (expected != 0) | (name == "e8m0"))


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_float8_becomes_the_nearest_integer_towards_zero(engine, name):
    values = VALUES[name].astype(np.float32)
    dtypes = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
    results = [np.zeros(256, dtype) for dtype in dtypes]
    simulate(KERNELS[name][1], engine=engine)[2, 128](values, *results)
    for dtype, found in zip(dtypes, results, strict=True):
        info = np.iinfo(dtype)
        nan = 0 if info.bits < 64 else 1 << 63 if info.min == 0 else info.min
        whole = [nan if np.isnan(v) else min(max(int(v), info.min), info.max) for v in rounded(name, values)]
        assert found.tolist() == whole


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint32, np.uint64])
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_integer_is_rounded_by_way_of_float32_or_up_to_a_power_of_two(engine, name, dtype):
    info, rng = np.iinfo(dtype), np.random.default_rng(4)
    x = np.unique([rng.integers(info.min >> k, info.max >> k, 8, dtype, endpoint=True) for k in range(info.bits)])
    results = [np.zeros(x.size, t) for t in (np.float32, np.float64, np.float16, np.bool_)]
    simulate(KERNELS[name][0], engine=engine)[-(-x.size // 128), 128](x, *results)
    if name == "e8m0":
        expected = [2.0 ** (abs(int(v)) - 1).bit_length() if v else 2.0**-127 for v in x]
    else:
        expected = rounded(name, x.astype(np.float32))
    np.testing.assert_array_equal(results[1], expected)


@cuda.jit
def to_bytes(x, out):
    i = cuda.grid(1)
    if i < x.size:
        out[0, i] = convert_fp8(x[i], saturation.NOSAT, interpretation.E5M2)
        out[1, i] = convert_fp8(x[i], saturation.SATFINITE, interpretation.E5M2)
        out[2, i] = convert_fp8(x[i], saturation.NOSAT, interpretation.E4M3)
        out[3, i] = convert_fp8(x[i], saturation.SATFINITE, interpretation.E4M3)
        out[4, i] = convert_e8m0(x[i], saturation.NOSAT, rounding.cudaRoundZero)
        out[5, i] = convert_e8m0(x[i], saturation.SATFINITE, rounding.cudaRoundZero)
        out[6, i] = convert_e8m0(x[i], saturation.NOSAT, rounding.cudaRoundPosInf)
        out[7, i] = convert_e8m0(x[i], saturation.SATFINITE, rounding.cudaRoundPosInf)


convert_fp8 = convert_e8m0 = None


@pytest.mark.parametrize("source", ["float", "double"])
@pytest.mark.parametrize("engine", ENGINES)
def test_conversions_to_bytes_saturate_or_do_not(engine, source, monkeypatch):
    monkeypatch.setitem(globals(), "convert_fp8", FP8[f"cvt_{source}_to_fp8"])
    monkeypatch.setitem(globals(), "convert_e8m0", FP8[f"cvt_{source}_to_e8m0"])
    dtype = {"float": np.float32, "double": np.float64}[source]
    x = np.concatenate([numbers("e5m2", dtype), numbers("e4m3", dtype)])
    x = np.concatenate([x, np.ldexp(dtype(1), np.arange(-149, 128)), [np.finfo(dtype).max, np.finfo(dtype).tiny]])
    with np.errstate(over="ignore"):
        x = np.concatenate([x, np.nextafter(x[-280:], dtype(np.inf))]).astype(dtype)
    x = np.where(np.isnan(x), dtype(np.nan), x)  # as NumPy has it: no sign, the first bit
    out = np.zeros((8, x.size), np.uint8)
    simulate(to_bytes, engine=engine)[-(-x.size // 128), 128](x, out)
    for row, (name, saturate) in enumerate((("e5m2", 0), ("e5m2", 1), ("e4m3", 0), ("e4m3", 1))):
        expected = np.array([nearest(name, v, saturate) for v in x])
        if source == "double" and name == "e5m2":
            expected[np.isnan(x)] = 0x7E  # the upper bits of the float64
        np.testing.assert_array_equal(out[row], expected)
    for row, (up, saturate) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1)), 4):
        np.testing.assert_array_equal(out[row], [power(v, up, saturate) for v in x])


@cuda.jit
def in_pairs(x, out):
    pair = float2(x[0], x[1])
    out[0] = pack2(pair).__x
    out[1] = pack4(float4(x[0], x[1], x[2], x[3])).__x
    out[2] = both(pair, saturation.SATFINITE, interpretation.E4M3)
    out[3] = both_double(double2(x[2], x[3]), saturation.SATFINITE, rounding.cudaRoundPosInf)
    raw = to_raw(uint8(130))
    out[4] = raw.x
    out[5] = of_raw(raw, saturation.SATFINITE, interpretation.E5M2)
    out[6] = scale_of_raw(raw, saturation.SATFINITE, rounding.cudaRoundZero)
    out[7] = uint8(float32(e4m3()))


pack2, pack4, both = FP8["fp8x2_e4m3"], FP8["fp8x4_e5m2"], FP8["cvt_float2_to_fp8x2"]
both_double, to_raw = FP8["cvt_double2_to_e8m0x2"], FP8["cvt_e8m0_to_bf16raw"]
of_raw, scale_of_raw = FP8["cvt_bfloat16raw_to_fp8"], FP8["cvt_bfloat16raw_to_e8m0"]


@pytest.mark.parametrize("engine", ENGINES)
def test_several_float8_lie_in_one_integer_the_first_lowest(engine):
    x, out = np.array([1.5, -3.0, 0.1, 700.0], np.float32), np.zeros(8, np.uint32)
    simulate(in_pairs, engine=engine)[1, 1](x, out)
    e4m3_bytes, e5m2_bytes = ([nearest(name, v, True) for v in x] for name in ("e4m3", "e5m2"))
    assert out[0] == out[2] == e4m3_bytes[0] | e4m3_bytes[1] << 8
    assert out[1] == sum(byte << 8 * k for k, byte in enumerate(e5m2_bytes))
    assert out[3] == power(x[2], True, True) | power(x[3], True, True) << 8
    assert out[4] == np.float32(8.0).view(np.uint32) >> 16
    assert out[5] == nearest("e5m2", 8.0, True)
    assert out[6] == 130
    assert out[7] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_kernels_name_what_numba_cuda_binds_of_cuda_c(engine):
    runtime = pytest.importorskip("cuda.bindings.runtime")
    theirs = pytest.importorskip("numba.cuda._internal.cuda_fp8")
    to_byte, to_e8m0, own, formats = (
        getattr(theirs, name)
        for name in ("cvt_float_to_fp8", "cvt_float_to_e8m0", "saturation_t", "fp8_interpretation_t")
    )
    make, mode = theirs.fp8_e4m3, runtime.cudaRoundMode
    from numba.cuda.bf16 import hadd
    from numba.cuda.types import bfloat16

    @cuda.jit
    def kernel(x, out):
        out[0] = float32(make(x[0]))
        out[1] = to_byte(x[0], own.NOSAT, formats.E5M2)
        out[2] = to_e8m0(x[0], own.SATFINITE, mode.cudaRoundPosInf)
        out[3] = float32(hadd(bfloat16(x[0]), bfloat16(x[1])))

    x, out = np.array([1.3, 2.7], np.float32), np.zeros(4, np.float32)
    simulate(kernel, engine=engine)[1, 1](x, out)
    sum_ = np.add(*x.astype(ml_dtypes.bfloat16)).astype(np.float32)
    assert out.tolist() == [rounded("e4m3", x)[0], nearest("e5m2", x[0], False), power(x[0], True, True), sum_]

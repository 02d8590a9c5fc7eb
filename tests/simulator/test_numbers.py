import itertools
import random
import types

import numpy as np
import pytest
from numba import njit, typeof
from numba.np.numpy_support import as_dtype

from kernels.simulator.functions import halves, mathematics  # noqa: F401  (halves teaches Numba float16)
from kernels.simulator.interpreted import numbers

DTYPES = [np.dtype(c) for c in "?bhilBHILefdFD"]
REAL = [t for t in DTYPES if t.kind != "c"]
PAIRS = list(itertools.product(DTYPES, DTYPES))


@pytest.fixture(autouse=True)
def _quiet():
    with np.errstate(all="ignore"):
        yield


def drawn(dtype, count, rng):
    """Plain NumPy scalars: edges, small numbers, and any bits."""
    if dtype.kind == "b":
        return [np.bool_(False), np.bool_(True)]
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        edges = [0, 1, 2, 3, info.max, info.max - 1, info.min, info.min + 1, info.max // 3]
        others = [rng.randint(info.min, info.max) for _ in range(count)] + [rng.randint(0, 70) for _ in range(count)]
        return [dtype.type(v) for v in edges + others]
    real = [0.0, -0.0, 1.0, -1.0, 2.5, -3.5, np.inf, -np.inf, np.nan, 1e-30, 70000.0, 0.1]
    real += [rng.gauss(0, 10) for _ in range(count)]
    if dtype.kind == "f":
        return [dtype.type(v) for v in real]
    return [dtype.type(complex(rng.gauss(0, 5), rng.gauss(0, 5))) for _ in range(count + 3)]


def function(arguments, expressions):
    """A Python function that returns a tuple, with globals of its own."""
    code = f"def f({arguments}): return ({', '.join(expressions)},)"
    names = {"np": np}
    exec(code, names)
    return names["f"]


def interpreted(plain):
    copy = types.FunctionType(plain.__code__, {"np": np}, "f")
    return numbers.strong(copy)


def bits(value):
    """A NumPy scalar's dtype and bits; one NaN."""
    value = np.asarray(value)[()]
    if value.dtype.kind == "c":
        return value.dtype, bits(value.real), bits(value.imag)
    return (value.dtype, "nan") if value != value else (value.dtype, value.tobytes())


def compiled(plain, example):
    """The function by Numba's CPU target: its results as NumPy scalars of the inferred types."""
    run = njit(error_model="numpy")(plain)
    run.compile(tuple([typeof(v) for v in example]))
    (overload,) = run.overloads.values()
    dtypes = [as_dtype(t) for t in overload.signature.return_type]
    return lambda *args: [np.asarray(v).astype(t)[()] for t, v in zip(dtypes, run(*args), strict=True)]


def expect_same(plain, arguments):
    """Interpreted and compiled give the same types and bits for each tuple of NumPy scalars."""
    ours, reference = interpreted(plain), compiled(plain, arguments[0])
    for values in arguments:
        found = [numbers.raw(v) for v in ours(*map(numbers.typed, values))]
        expected = reference(*values)
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert bits(a) == bits(b), (k, values, a, b)


def pairs_of(x, y, count=6, seed=0):
    rng = random.Random(seed)
    everything = list(itertools.product(drawn(x, count, rng), drawn(y, count, rng)))
    return rng.sample(everything, min(len(everything), 150))


def accepted(x, y):
    """Operators that Numba has for a pair of dtypes, and that NumPy's scalars have as Numba does."""
    kinds = {x.kind, y.kind}
    yield from ("a + b", "a - b", "a * b", "a / b", "a == b", "a != b")
    if "c" not in kinds:
        yield from ("a < b", "a <= b", "a > b", "a >= b")
        if not ("e" in (x.char, y.char) and {x.char, y.char} <= set("?be")):  # Numba: float32
            yield from ("a // b", "a % b", "divmod(a, b)[0]", "divmod(a, b)[1]")
    if not kinds & set("fc"):
        yield from ("a & b", "a | b", "a ^ b", "a << (b & 63)", "a >> (b & 63)")


def defined(x, y):
    """Not the quotients that Numba's CPU target and NumPy have otherwise."""
    if np.iscomplexobj(x) or np.iscomplexobj(y):
        return y != 0  # Numba raises, a device has no exceptions
    return not (x == np.iinfo(np.int64).min and y == -1)


def check_pair(x, y):
    expect_same(function("a, b", accepted(x, y)), [values for values in pairs_of(x, y) if defined(*values)])


def powers_of(x, y):
    """Pairs for which Numba's CPU target neither raises (a device cannot) nor overflows in C's complex type."""
    for base, exponent in pairs_of(x, y):
        if "c" in (x.kind, y.kind):
            if 0.01 < abs(complex(base)) < 20 and abs(complex(exponent)) < 20:
                yield base, exponent
        elif y.kind == "f" or (-20 < int(exponent) < 70 and (exponent >= 0 or abs(float(base)) > 0.01)):
            yield base, exponent


POWERS = [(x, y) for x, y in PAIRS if "e" not in (x.char, y.char)]
BOOLEANS = np.dtype("?"), np.dtype("?")


@pytest.mark.parametrize(("x", "y"), [BOOLEANS, *random.Random(3).sample(PAIRS, 12)], ids=str)
def test_operators_of_two_dtypes_are_numbas_to_the_bit(x, y):
    check_pair(x, y)


@pytest.mark.parametrize(("x", "y"), [BOOLEANS, *random.Random(4).sample(POWERS, 6)], ids=str)
def test_powers_are_numbas_to_the_bit(x, y):
    expect_same(function("a, b", ["a ** b"]), list(powers_of(x, y)))


@pytest.mark.parametrize("dtype", REAL, ids=str)
def test_operators_of_one_number_are_numbas_to_the_bit(dtype):
    expressions = ["-a", "+a", "not a", "a + 1", "a * 2", "a - 2.5", "2 - a", "a < 1"]
    if dtype.char != "e":
        expressions += ["abs(a)", "bool(a)", "a ** 2", "a ** 3", "a ** 0.5"]
    expressions += ["float(a)"] if dtype.char not in "?e" else []
    expressions += ["~a", "a << 3", "a >> 1", "a & 5", "int(a)"] if dtype.kind in "biu" else []
    values = [(v,) for v in drawn(dtype, 20, random.Random(1))]
    expect_same(function("a", expressions), values)


def test_two_comparisons_are_counted_as_integers():
    expressions = ["(a > 1) + (b > 1)", "(a > b) - (a < b)", "(a > 1) * (b > 1)", "(a > 1) + (b > 1) + (a > b)"]
    expressions += [
        "-(a > b)",
        "(a > b) << 3",
        "(a > b) & (b > 1)",
        "(a > 1 or b > 1) + (a > 1 and b > 1)",
        "a > b > 1",
    ]
    expect_same(function("a, b", expressions), pairs_of(np.dtype("l"), np.dtype("d")))


KEPT = """
def f(a, b):
    def greater(x, y):
        return x > y
    def count(p, q):
        return p + q
    p = a > 1
    q = b > 1
    pair = a == 1, b != 1
    return p + q, p - q, p * 2, a + q, pair[0] + pair[1], greater(a, b) + greater(b, 1), count(a < 2, b < 2)
"""


def test_comparisons_that_are_kept_returned_or_passed_on_are_counted_as_integers():
    names = {}
    exec(KEPT, names)
    expect_same(names["f"], pairs_of(np.dtype("l"), np.dtype("d")))


def test_a_comparison_before_a_far_jump_is_a_comparison_still():
    far = " + ".join(["a * b"] * 150)
    names = {}
    exec(f"def f(a, b):\n    return (a > 1 or ({far}) > b) + (b > 1),", names)
    expect_same(names["f"], pairs_of(np.dtype("l"), np.dtype("l")))


@pytest.mark.parametrize(("x", "y"), ["ii", "il", "Bb", "IL", "ff", "fi", "df"])
def test_the_extremes_are_those_of_the_compiled_engine(x, y):
    for name, body in mathematics.BUILTINS.items():
        for a, b in pairs_of(np.dtype(x), np.dtype(y)):
            found = numbers.BUILTINS[name](numbers.typed(a), numbers.typed(b))
            assert bits(numbers.raw(found)) == bits(body(a, b)), (name, a, b)


@pytest.mark.parametrize("dtype", [t for t in DTYPES if t.kind in "biu"], ids=str)
@pytest.mark.parametrize("source", [t for t in DTYPES if t.kind in "biu"], ids=str)
def test_integers_are_cast_as_c_casts_them(dtype, source):
    for value in drawn(source, 10, random.Random(2)):
        found = numbers.cast(dtype, numbers.typed(value))
        assert numbers.dtype_of(found) == dtype
        assert bits(numbers.raw(found)) == bits(np.asarray(value).astype(dtype)[()])


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("i", np.float32(np.nan), 0), ("l", np.float32(np.nan), -(2**63)), ("i", np.float64(np.nan), -(2**31)),
        ("L", np.float64(np.nan), 2**63), ("i", np.float32(1e30), 2**31 - 1), ("i", np.float64(-np.inf), -(2**31)),
        ("I", np.float32(-3.0), 0), ("B", np.float32(300.0), 44), ("b", np.float64(-2.9), -2),
        ("H", np.float64(1e9), 65535),
    ],
)  # fmt: skip
def test_floats_become_integers_as_ptx_converts_them(dtype, value, expected):
    assert int(numbers.cast(np.dtype(dtype), value)) == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_loaded_value_is_stored_as_the_same_bits(dtype):
    load = numbers.loader(dtype) or (lambda value: value)
    for value in drawn(dtype, 10, random.Random(5)):
        assert bits(numbers.raw(load(value))) == bits(value)
        assert numbers.dtype_of(load(value)) == dtype


@pytest.mark.parametrize(
    "arguments", [(5,), (0,), (-3,), (2, 9), (9, 2), (9, 2, -3), (0, 5000, 7), (-4, 4, 2), (5000,)]
)
def test_range_counts_in_int64(arguments):
    found = list(numbers.BUILTINS["range"](*map(np.int64, arguments)))
    assert found == list(range(*arguments))
    assert {type(v) for v in found} <= {np.int64}


def test_range_keeps_the_type_of_int32_and_of_unsigned_integers():
    (found,) = numbers.BUILTINS["range"](numbers.Int32(1))
    assert type(found) is numbers.Int32
    (found,) = numbers.BUILTINS["range"](numbers.Uint32(1))
    assert type(found) is numbers.Uint64


def test_literals_are_strong_and_what_is_no_number_stays():
    def plain(x, scale=2, *, offset=1.5):
        """Say what it does."""
        import math as names

        inner = [x * k for k in (1, 2)]
        return x + 1.0, scale, offset, inner, f"{scale:3d}", "ab" * scale, inner[-1], names.pi, dict(key=3)["key"]

    copy = types.FunctionType(plain.__code__, {}, "plain", plain.__defaults__)
    copy.__kwdefaults__, copy.__doc__ = plain.__kwdefaults__, plain.__doc__
    strong = numbers.strong(copy)
    total, scale, offset, inner, text, other, last, _, value = strong(np.float32(2))
    assert [type(v) for v in (total, scale, offset, last, value)] == [
        np.float64, np.int64, np.float64, np.float64, np.int64,
    ]  # fmt: skip
    assert (text, other, strong.__doc__) == ("  2", "abab", "Say what it does.")
    assert inner == [2, 4]


def test_a_literal_above_int64_is_unsigned():
    assert type(numbers.constant(2**63)) is numbers.Uint64
    assert type(numbers.constant((1, (2.0, "a")))[1][0]) is np.float64


if __name__ == "__main__":  # all pairs, which takes a minute
    with np.errstate(all="ignore"):
        for x, y in PAIRS:
            check_pair(x, y)
        for x, y in POWERS:
            expect_same(function("a, b", ["a ** b"]), list(powers_of(x, y)))

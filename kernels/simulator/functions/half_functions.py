"""The functions of `numba.cuda.fp16` and `numba.cuda.bf16`.

Arithmetic, comparison, rounding to integers and conversions have the hardware's bits. The others are computed in
float64 and rounded once, where the hardware's may be off by an ulp or two.
"""

import math

import numpy as np

from . import halves, special
from .bits import MODES, RN, RZ, integral, odd_integer, odd_quotient, odd_rsqrt, odd_sqrt, to_signed, to_unsigned
from .declare import ScalarFunction, compiled
from .halves import as_bfloat, as_half, half_bits, to_bfloat, to_half, wide


@compiled
def _saturated(x):
    return 0.0 if not x > 0.0 else min(x, 1.0)


@compiled
def _either_nan(x, y):
    return math.isnan(wide(x)) or math.isnan(wide(y))


def add_sat(x, y):
    """x + y, between 0 and 1; 0 for NaN."""
    return _saturated(halves.add(x, y))


def sub_sat(x, y):
    """x - y, between 0 and 1; 0 for NaN."""
    return _saturated(halves.subtract(x, y))


def mul_sat(x, y):
    """x * y, between 0 and 1; 0 for NaN."""
    return _saturated(halves.multiply(x, y))


def fma_sat(x, y, z):
    """x * y + z, rounded once, between 0 and 1; 0 for NaN."""
    return _saturated(halves.fma(x, y, z))


def fma_relu(x, y, z):
    """x * y + z, rounded once, and 0 where that is negative."""
    r = halves.fma(x, y, z)
    return 0.0 if r <= 0.0 else r


def eq(x, y):
    """x == y."""
    return wide(x) == wide(y)


def ne(x, y):
    """x != y, and no NaN among them."""
    return wide(x) != wide(y) and not _either_nan(x, y)


def lt(x, y):
    """x < y."""
    return wide(x) < wide(y)


def le(x, y):
    """x <= y."""
    return wide(x) <= wide(y)


def gt(x, y):
    """x > y."""
    return wide(x) > wide(y)


def ge(x, y):
    """x >= y."""
    return wide(x) >= wide(y)


def equ(x, y):
    """x == y, or a NaN among them."""
    return wide(x) == wide(y) or _either_nan(x, y)


def neu(x, y):
    """x != y, or a NaN among them."""
    return wide(x) != wide(y)


def ltu(x, y):
    """x < y, or a NaN among them."""
    return not wide(x) >= wide(y)


def leu(x, y):
    """x <= y, or a NaN among them."""
    return not wide(x) > wide(y)


def gtu(x, y):
    """x > y, or a NaN among them."""
    return not wide(x) <= wide(y)


def geu(x, y):
    """x >= y, or a NaN among them."""
    return not wide(x) < wide(y)


def max_(x, y):
    """The larger one, a number rather than NaN."""
    return special.larger(wide(x), wide(y))


def min_(x, y):
    """The smaller one, a number rather than NaN."""
    return special.smaller(wide(x), wide(y))


def max_nan(x, y):
    """The larger one, NaN if there is one."""
    return math.nan if _either_nan(x, y) else special.larger(wide(x), wide(y))


def min_nan(x, y):
    """The smaller one, NaN if there is one."""
    return math.nan if _either_nan(x, y) else special.smaller(wide(x), wide(y))


def isnan(x):
    """Whether x is NaN."""
    return math.isnan(wide(x))


def isinf(x):
    """1 for inf, -1 for -inf, else 0."""
    return 0 if not math.isinf(wide(x)) else 1 if wide(x) > 0.0 else -1


def ceil(x):
    """The integer not below x."""
    return np.ceil(wide(x))


def floor(x):
    """The integer not above x."""
    return np.floor(wide(x))


def trunc(x):
    """The integer towards zero."""
    return np.trunc(wide(x))


def rint(x):
    """The nearest integer, the even one of two."""
    return np.rint(wide(x))


def sqrt(x):
    """Square root."""
    return odd_sqrt(wide(x))


def rsqrt(x):
    """1 / sqrt(x)."""
    return odd_rsqrt(wide(x))


def rcp(x):
    """1 / x."""
    return odd_quotient(1.0, wide(x))


def sin(x):
    """Sine."""
    return math.sin(wide(x))


def cos(x):
    """Cosine."""
    return math.cos(wide(x))


def tanh(x):
    """Hyperbolic tangent."""
    return math.tanh(wide(x))


def log(x):
    """Natural logarithm."""
    return math.log(wide(x))


def log2(x):
    """Logarithm to base 2."""
    return np.log2(wide(x))


def log10(x):
    """Logarithm to base 10."""
    return math.log10(wide(x))


def exp(x):
    """e to the power x."""
    return math.exp(wide(x))


def exp2(x):
    """2 to the power x."""
    return np.exp2(wide(x))


def exp10(x):
    """10 to the power x."""
    return math.pow(10.0, wide(x))


def as_integer(x):
    """The bits as an integer."""
    return half_bits(x)


_ARITHMETIC = {
    "t(tt)": {
        "hadd": halves.add, "hsub": halves.subtract, "hmul": halves.multiply, "hdiv": halves.divide,
        "hadd_rn": halves.add, "hsub_rn": halves.subtract, "hmul_rn": halves.multiply,
        "hadd_sat": add_sat, "hsub_sat": sub_sat, "hmul_sat": mul_sat,
        "hmax": max_, "hmin": min_, "hmax_nan": max_nan, "hmin_nan": min_nan,
    },
    "t(ttt)": {"hfma": halves.fma, "hfma_sat": fma_sat, "hfma_relu": fma_relu},
    "t(t)": {"habs": halves.magnitude, "hneg": halves.negative},
    "?(tt)": {
        "heq": eq, "hne": ne, "hlt": lt, "hle": le, "hgt": gt, "hge": ge,
        "hequ": equ, "hneu": neu, "hltu": ltu, "hleu": leu, "hgtu": gtu, "hgeu": geu,
    },
    "?(t)": {"hisnan": isnan},
    "i(t)": {"hisinf": isinf},
}  # fmt: skip
_MATHEMATICS = {
    "htrunc": trunc, "hceil": ceil, "hfloor": floor, "hrint": rint, "hsqrt": sqrt, "hrsqrt": rsqrt, "hrcp": rcp,
    "hlog": log, "hlog2": log2, "hlog10": log10, "hcos": cos, "hsin": sin, "hexp": exp, "hexp2": exp2, "hexp10": exp10,
    "htanh": tanh, "htanh_approx": tanh,
}  # fmt: skip

#: C's names of the integers, their letters, and the names that Numba and NumPy have for them.
_INTEGERS = {
    "char": ("b", "int8"), "uchar": ("B", "uint8"), "short": ("h", "int16"), "ushort": ("H", "uint16"),
    "int": ("i", "int32"), "uint": ("I", "uint32"), "ll": ("l", "int64"), "ull": ("L", "uint64"),
}  # fmt: skip


def _of_integer(to, mode):
    def body(i):
        """Round an integer."""
        return to(odd_integer(i), mode)

    return body


def _of_float(to, mode):
    def body(x):
        """Round a float."""
        return to(np.float64(x), mode)

    return body


def _to_signed(bits, mode):
    nan = -(1 << 63) if bits == 64 else 0

    def body(x):
        """Round to an integer, the nearest there is."""
        return to_signed(integral(wide(x), mode), bits, nan)

    return body


def _to_unsigned(bits, mode):
    nan = 1 << 63 if bits == 64 else 0

    def body(x):
        """Round to an integer, the nearest there is."""
        return to_unsigned(integral(wide(x), mode), bits, nan)

    return body


def _of_bits(make):
    def body(bits):
        """The 16-bit float of these bits."""
        return make(np.int16(bits))

    return body


def _conversions(own, to, make):
    """Conversions by name, with their signatures; `own` is C's name of the type."""
    yield f"float2{own}", "t(f)", _of_float(to, RN)
    yield f"double2{own}", "t(d)", _of_float(to, RN)
    yield f"{own}2float", "f(t)", wide_body
    for suffix, mode in MODES.items():
        yield f"float2{own}_{suffix}", "t(f)", _of_float(to, mode)
        for name, (letter, numpy_name) in _INTEGERS.items():
            bits = np.dtype(numpy_name).itemsize * 8
            to_integer = _to_unsigned if name.startswith("u") else _to_signed
            if bits > 8:
                yield f"{name}2{own}_{suffix}", f"t({letter})", _of_integer(to, mode)
            if bits > 8 or mode == RZ:
                yield f"{own}2{name}_{suffix}", f"{letter}(t)", to_integer(bits, mode)
    for name in ("short", "ushort"):
        letter = _INTEGERS[name][0]
        yield f"{name}_as_{own}", f"t({letter})", _of_bits(make)
        yield f"{own}_as_{name}", f"{letter}(t)", as_integer


def wide_body(x):
    """As float32."""
    return wide(x)


def _table(module, letter, own, to, make):
    """The functions of `module` with CUDA's names: without underscores, except for the mathematical functions."""
    entries = [(name, cases, body) for cases, group in _ARITHMETIC.items() for name, body in group.items()]
    entries += [(name, "t(t)", body) for name, body in _MATHEMATICS.items()]
    entries += _conversions(own, to, make)
    return {name: ScalarFunction(module, name, body, [cases.replace("t", letter)]) for name, cases, body in entries}


def _fp16():
    """numba.cuda.fp16: everything but the mathematical functions bears two underscores, arithmetic both names."""
    table = _table("fp16", "e", "half", to_half, as_half)
    short = {name for group in _ARITHMETIC.values() for name in group if "_" not in name and name[-1] != "u"}
    short -= {"hisnan", "hisinf"}
    named = {}
    for name, function in table.items():
        if name in _MATHEMATICS or name in short:
            named[name] = function
        if name not in _MATHEMATICS:
            named["__" + name] = function
    return named


def _bf16():
    """numba.cuda.bf16: no underscores, and second names of the conversions with NumPy's names of types."""
    table = _table("bf16", "t", "bfloat16", to_bfloat, as_bfloat)
    numpy_names = {"float": "float32", "double": "float64"} | {c: name for c, (_, name) in _INTEGERS.items()}
    for name, function in list(table.items()):
        if "_as_" in name:
            source, target = name.split("_as_")
            table[f"{numpy_names.get(source, source)}_as_{numpy_names.get(target, target)}"] = function
        elif "2" in name and "bfloat16" in name:
            stem, _, mode = name.partition("_")
            source, target = stem.replace("bfloat162", "bfloat16 ").replace("2bfloat16", " bfloat16").split()
            joined = f"{numpy_names.get(source, source)}_to_{numpy_names.get(target, target)}"
            table[joined + ("_" + mode if mode else "")] = function
    return table


#: The functions by the names of `numba.cuda.fp16` and of `numba.cuda.bf16`.
FP16 = _fp16()
BF16 = _bf16()

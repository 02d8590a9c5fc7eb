"""Bits of numbers, and the rounding of numbers to fewer of them.

A result is rounded once and in any direction in two steps: a float64 that is the exact value or, where it is not,
has an odd last bit (`odd`); then `narrow` to the format. With two more bits than the format has, the second step
sees all it needs (Boldo, Melquiond 2008, "Emulation of FMA and correctly rounded sums: proved algorithms using
rounding to odd"). In float64 itself, the nearest result and the sign of what it leaves out decide (`directed`).
"""

import math

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from .declare import compiled

#: Rounding: to nearest even, towards zero, up, down.
RN, RZ, RU, RD = range(4)
MODES = {"rn": RN, "rz": RZ, "ru": RU, "rd": RD}

#: Formats: bits of the significand and least exponent.
HALF, BFLOAT, SINGLE = (11, -14), (8, -126), (24, -126)


def _integer_intrinsic(name, *more):
    def declare(typingctx, x):
        def codegen(context, builder, sig, args):
            ty = args[0].type
            function = builder.module.declare_intrinsic(name, [ty], ir.FunctionType(ty, [ty, *(m.type for m in more)]))
            return builder.call(function, [*args, *more])

        return signature(x, x), codegen

    return intrinsic(declare)


_DEFINED_AT_ZERO = ir.Constant(ir.IntType(1), 0)
population_count = _integer_intrinsic("llvm.ctpop")
leading_zeros = _integer_intrinsic("llvm.ctlz", _DEFINED_AT_ZERO)
trailing_zeros = _integer_intrinsic("llvm.cttz", _DEFINED_AT_ZERO)
reverse_bits = _integer_intrinsic("llvm.bitreverse")


@intrinsic
def fma(typingctx, x, y, z):
    """Return x * y + z, rounded once."""

    def codegen(context, builder, sig, args):
        return builder.fma(*args)

    return signature(x, x, x, x), codegen


@intrinsic
def absolute(typingctx, x):
    """Clear the sign bit of a float."""

    def codegen(context, builder, sig, args):
        function = builder.module.declare_intrinsic("llvm.fabs", [args[0].type])
        return builder.call(function, args)

    return signature(x, x), codegen


_INTEGER = {types.float32: types.int32, types.float64: types.int64}
_FLOAT = {i: f for f, i in _INTEGER.items()}


@intrinsic
def as_bits(typingctx, x):
    """The bits of a float as a signed integer."""
    return signature(_INTEGER[x], x), _bitcast


@intrinsic
def as_float(typingctx, x):
    """The float that has these bits."""
    return signature(_FLOAT[x], x), _bitcast


def _bitcast(context, builder, sig, args):
    return builder.bitcast(args[0], context.get_value_type(sig.return_type))


def external(name, result, *arguments):
    """A function of the C library, called by its name; it takes one or two arguments."""

    def codegen(context, builder, sig, values):
        ty = ir.FunctionType(context.get_value_type(result), [context.get_value_type(a) for a in arguments])
        function = builder.module.globals.get(name) or ir.Function(builder.module, ty, name)
        return builder.call(function, values)

    def unary(typingctx, x):
        return signature(result, *arguments), codegen

    def binary(typingctx, x, y):
        return signature(result, *arguments), codegen

    return intrinsic(unary if len(arguments) == 1 else binary)


@intrinsic
def real(typingctx, x):
    """An integer or a float of 16 bits as float64; any other float as it is."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[0], x, sig.return_type)

    return signature(x if x in (types.float32, types.float64) else types.float64, x), codegen


@intrinsic
def like(typingctx, x, value):
    """Cast `value` to the type of `x`."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[1], value, x)

    return signature(x, x, value), codegen


@compiled
def sign_bit(x):
    """Whether a float64 is negative, -0.0 and NaN with a sign included."""
    return as_bits(np.float64(x)) < 0


@compiled
def two_sum(x, y):
    """x + y and what its rounding left out, exactly (Knuth)."""
    s = x + y
    t = s - x
    return s, (x - (s - t)) + (y - t)


@compiled
def odd(x, rest):
    """Round the sum of float64 `x` and a much smaller `rest` to odd."""
    u = as_bits(x)
    if rest != 0.0 and not math.isnan(rest) and u & 1 == 0 and not math.isinf(x):
        return as_float(u + (1 if (rest > 0.0) == (x > 0.0) else -1))
    return x


@compiled
def rounded(magnitude, negative, form, mode):
    """Round the bits of a finite float64 without its sign to a format whose exponents have no end."""
    precision, emin = form
    exponent = (magnitude >> 52) - 1023
    significand = magnitude & 0xFFFFFFFFFFFFF
    if exponent > -1023:
        significand |= 0x10000000000000
    shift = min(53 - precision + max(emin - exponent, 0), 62)
    kept = significand >> shift
    rest = significand & ((1 << shift) - 1)
    if mode == RN:
        half = 1 << (shift - 1)
        kept += rest > half or (rest == half and kept & 1 == 1)
    elif mode == RU:
        kept += rest != 0 and not negative
    elif mode == RD:
        kept += rest != 0 and negative
    return kept + (max(exponent - emin, 0) << (precision - 1))


@compiled
def narrow(x, form, mode):
    """Round a float64 to the format `form`: its bits, as int64. NaN is the hardware's, all ones but the sign."""
    precision, emin = form
    u = as_bits(x)
    negative = u < 0
    magnitude = u & 0x7FFFFFFFFFFFFFFF
    infinity = (3 - 2 * emin) << (precision - 1)
    sign = infinity + (1 << (precision - 1))
    if magnitude > 0x7FF0000000000000:
        return sign - 1
    negative_bits = sign if negative else 0
    if magnitude == 0x7FF0000000000000:
        return negative_bits | infinity
    bits = rounded(magnitude, negative, form, mode)
    if bits >= infinity:
        away = mode == RN or (mode == RU and not negative) or (mode == RD and negative)
        bits = infinity if away else infinity - 1
    return negative_bits | bits


@compiled
def single(x, mode):
    """Round a float64 to float32."""
    return as_float(np.int32(narrow(x, SINGLE, mode)))


@compiled
def half_value(bits):
    """The float32 of a float16's bits."""
    magnitude = np.int64(bits) & 0x7FFF
    if magnitude >= 0x7C00:
        u = 0x7F800000 | (magnitude & 0x3FF) << 13
        return as_float(np.int32(u | (np.int64(bits) & 0x8000) << 16))
    # The exponent is 112 too small; multiplying mends that, and normalises subnormals.
    x = as_float(np.int32(magnitude << 13)) * np.float32(2.0**112)
    return -x if np.int64(bits) & 0x8000 else x


@compiled
def directed(x, rest, mode):
    """The neighbour of a nearest float64 `x` where `mode` says so; `rest` has the sign of what `x` leaves out."""
    if rest > 0.0 and (mode == RU or (mode == RZ and x < 0.0)):
        return np.nextafter(x, np.inf)
    if rest < 0.0 and (mode == RD or (mode == RZ and x > 0.0)):
        return np.nextafter(x, -np.inf)
    return x


@compiled
def _zero(r, same_sign, mode):
    """The sign of an exact zero sum: two zeros of one sign keep it, else it is +0, and -0 when rounding down."""
    return -0.0 if r == 0.0 and mode == RD and not same_sign else r


@compiled
def add_double(x, y, mode):
    """x + y in float64."""
    r, rest = two_sum(x, y)
    if math.isinf(r) and not (math.isinf(x) or math.isinf(y)):
        rest = -r
    return directed(_zero(r, sign_bit(x) == sign_bit(y), mode), rest, mode)


@compiled
def multiply_double(x, y, mode):
    """x * y in float64."""
    r = x * y
    (a, i), (b, j) = math.frexp(x), math.frexp(y)
    p = a * b
    return directed(r, (p - math.ldexp(r, -(i + j))) + fma(a, b, -p), mode)


@compiled
def divide_double(x, y, mode):
    """x / y in float64."""
    r = x / y
    (a, i), (b, j) = math.frexp(x), math.frexp(y)
    q = a / b
    return directed(r, (q - math.ldexp(r, j - i)) + fma(-q, b, a) / b, mode)


@compiled
def sqrt_double(x, mode):
    """The square root in float64."""
    r = math.sqrt(x)
    m, e = math.frexp(x)
    if e & 1:
        m *= 0.5
    s = math.sqrt(m)
    return directed(r, fma(-s, s, m), mode)


@compiled
def fma_double(x, y, z, mode):
    """x * y + z in float64."""
    r = fma(x, y, z)
    if mode == RN or math.isnan(r) or math.isinf(x) or math.isinf(y) or math.isinf(z):
        return r
    (a, i), (b, j), (c, k) = math.frexp(x), math.frexp(y), math.frexp(z)
    if math.isinf(r):
        rest = -r
    else:
        # In units of the product, or of z where that is beyond 2^200 of them; a term that much smaller only has a sign.
        p = a * b
        unit = i + j
        gap = k - unit
        if p == 0.0 or c == 0.0:
            gap = 0
            unit = k if p == 0.0 else unit
        elif gap > 200:
            unit = k - 200
            gap = 200
        elif gap < -200:
            gap = -200
        rest = _sign_of_sum(fma(a, b, -p), p, math.ldexp(c, gap), -math.ldexp(r, -unit))
    return directed(_zero(r, (sign_bit(x) != sign_bit(y)) == sign_bit(z) or rest != 0.0, mode), rest, mode)


@compiled
def _sign_of_sum(low, high, x, y):
    """A number with the sign of low + high + x + y, exactly (Shewchuk's expansions)."""
    q, h0 = two_sum(x, low)
    q, h1 = two_sum(q, high)
    t, h0 = two_sum(y, h0)
    t, h1 = two_sum(t, h1)
    t, h2 = two_sum(t, q)
    return t if t != 0.0 else h2 if h2 != 0.0 else h1 if h1 != 0.0 else h0


@compiled
def add_single(x, y, mode):
    """x + y of two float32."""
    s, rest = two_sum(np.float64(x), np.float64(y))
    return single(odd(_zero(s, sign_bit(x) == sign_bit(y), mode), rest), mode)


@compiled
def multiply_single(x, y, mode):
    """x * y of two float32, which float64 holds exactly."""
    return single(np.float64(x) * np.float64(y), mode)


@compiled
def odd_quotient(a, b):
    """a / b of float64 that hold float32, rounded to odd."""
    q = a / b
    return odd(q, fma(-q, b, a) / b)


@compiled
def divide_single(x, y, mode):
    """x / y of two float32."""
    return single(odd_quotient(np.float64(x), np.float64(y)), mode)


@compiled
def odd_sqrt(a):
    """The square root of a float64 that holds a float32, rounded to odd."""
    r = math.sqrt(a)
    return odd(r, fma(-r, r, a))


@compiled
def sqrt_single(x, mode):
    """The square root of a float32."""
    return single(odd_sqrt(np.float64(x)), mode)


@compiled
def odd_rsqrt(a):
    """1 / sqrt(a) of a float64 that holds a float32, rounded to odd after one step of Newton's with its residual."""
    y = 1.0 / math.sqrt(a)
    if not (a > 0.0 and a < np.inf):
        return y
    h = y * y
    residual = fma(-h, a, 1.0) - fma(y, y, -h) * a
    s, rest = two_sum(y, 0.5 * y * residual)
    return odd(s, rest)


@compiled
def odd_fma(x, y, z):
    """x * y + z of float64 whose product is exact, rounded to odd."""
    p = x * y
    s, rest = two_sum(p, z)
    return odd(s, rest)


@compiled
def fma_single(x, y, z, mode):
    """x * y + z of three float32."""
    p, z = np.float64(x) * np.float64(y), np.float64(z)
    s, rest = two_sum(p, z)
    return single(odd(_zero(s, sign_bit(p) == sign_bit(z), mode), rest), mode)


@compiled
def odd_integer(i):
    """An int64 or uint64 as float64, rounded to odd."""
    x = np.float64(i)
    return odd(x, integer_rest(i, x))


@compiled
def integer_rest(i, x):
    """The sign of the integer `i` minus the float64 `x` nearest to it."""
    if x >= 2.0**64 or (x >= 2.0**63 and i <= like(i, 0x7FFFFFFFFFFFFFFF)):
        return -1.0
    y = like(i, x)
    return 1.0 if i > y else -1.0 if i < y else 0.0


@compiled
def integral(x, mode):
    """Round a float64 to an integer, as float64."""
    return np.rint(x) if mode == RN else np.trunc(x) if mode == RZ else np.ceil(x) if mode == RU else np.floor(x)


@compiled
def to_signed(x, bits, nan):
    """A float64 that is an integer as a signed one of `bits` bits, saturated; `nan` for NaN."""
    limit = 2.0 ** (bits - 1)
    if math.isnan(x):
        return np.int64(nan)
    if x >= limit:
        return (1 << (bits - 1)) - 1
    return np.int64(x) if x > -limit else -1 << (bits - 1)


@compiled
def to_unsigned(x, bits, nan):
    """A float64 that is an integer as an unsigned one of `bits` bits, saturated; `nan` for NaN."""
    if math.isnan(x):
        return np.uint64(nan)
    if x >= 2.0**bits:
        return np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits)
    return np.uint64(x) if x > 0.0 else np.uint64(0)

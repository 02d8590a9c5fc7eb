"""libdevice: every function of `numba.cuda.libdevice`.

Integer functions, conversions and the variants that round in a given direction have the hardware's bits. The others
are the C library's, in float32 where libdevice computes in float32, or follow the formulas in `special`; libdevice
itself errs by some ulp there (CUDA C++ programming guide, "Mathematical functions"), so bits may differ from a GPU's.
"""

import math

import numpy as np
from numba.core import types

from . import special
from .bits import (
    HALF,
    MODES,
    RN,
    absolute,
    add_double,
    add_single,
    as_bits,
    as_float,
    directed,
    divide_double,
    divide_single,
    external,
    fma,
    fma_double,
    fma_single,
    half_value,
    integer_rest,
    integral,
    leading_zeros,
    like,
    multiply_double,
    multiply_single,
    narrow,
    odd_integer,
    odd_rsqrt,
    population_count,
    reverse_bits,
    single,
    sqrt_double,
    sqrt_single,
    to_signed,
    to_unsigned,
    trailing_zeros,
)  # fmt: skip
from .declare import ScalarFunction

_BODIES = {}


def _add(name, cases, body):
    _BODIES[name] = body, [cases]


def _both(cases, body, name=None):
    """The float64 function and, with f at its end, the float32 one."""
    name = name or body.__name__.strip("_")
    _add(name, cases, body)
    _add(name + "f", cases.replace("d", "f"), body)


def define(cases, *names, both=False):
    """Decorate the body of one function, or of a float64 function and its float32 twin."""

    def decorate(body):
        for name in names or [body.__name__.strip("_")]:
            if both:
                _both(cases, body, name)
            else:
                _add(name, cases, body)
        return body

    return decorate


# Integers.


@define("i(i)", "abs")
def _abs(x):
    """Absolute value."""
    return abs(x)


@define("l(l)")
def llabs(x):
    """Absolute value."""
    return abs(x)


@define("i(i)", "brev")
@define("l(l)", "brevll")
def _brev(x):
    """The bits in reverse order."""
    return reverse_bits(x)


@define("i(i)", "clz")
@define("i(l)", "clzll")
def _clz(x):
    """Number of zero bits above the highest bit set."""
    return leading_zeros(x)


@define("i(i)", "popc")
@define("i(l)", "popcll")
def _popc(x):
    """Number of bits set."""
    return population_count(x)


@define("i(i)", "ffs")
@define("i(l)", "ffsll")
def _ffs(x):
    """Place of the lowest bit set, from 1; 0 for 0."""
    return 0 if x == 0 else np.int64(trailing_zeros(x)) + 1


@define("i(iii)")
def byte_perm(x, y, z):
    """Bytes of y:x picked by the low three bits of the four low nibbles of z."""
    source = np.uint64(np.uint32(y)) << np.uint64(32) | np.uint64(np.uint32(x))
    result = np.uint64(0)
    for k in range(4):
        byte = source >> np.uint64(8 * ((np.int64(z) >> (4 * k)) & 7)) & np.uint64(255)
        result |= byte << np.uint64(8 * k)
    return result


@define("i(ii)", "hadd")
def _hadd(x, y):
    """(x + y) / 2, rounded down."""
    return (np.int64(x) + np.int64(y)) >> 1


@define("i(ii)")
def rhadd(x, y):
    """(x + y) / 2, rounded up."""
    return (np.int64(x) + np.int64(y) + 1) >> 1


@define("i(ii)")
def uhadd(x, y):
    """(x + y) / 2 of unsigned integers, rounded down."""
    return (np.int64(np.uint32(x)) + np.int64(np.uint32(y))) >> 1


@define("i(ii)")
def urhadd(x, y):
    """(x + y) / 2 of unsigned integers, rounded up."""
    return (np.int64(np.uint32(x)) + np.int64(np.uint32(y)) + 1) >> 1


@define("i(iii)")
def sad(x, y, z):
    """abs(x - y) + z."""
    return abs(np.int64(x) - np.int64(y)) + np.int64(z)


@define("i(iii)")
def usad(x, y, z):
    """abs(x - y) + z of unsigned integers."""
    return abs(np.int64(np.uint32(x)) - np.int64(np.uint32(y))) + np.int64(z)


@define("i(ii)", "max")
@define("l(ll)", "llmax")
def _max(x, y):
    """The larger one."""
    return x if x > y else y


@define("i(ii)", "min")
@define("l(ll)", "llmin")
def _min(x, y):
    """The smaller one."""
    return x if x < y else y


@define("i(ii)")
def umax(x, y):
    """The larger unsigned one."""
    return x if np.uint32(x) > np.uint32(y) else y


@define("i(ii)")
def umin(x, y):
    """The smaller unsigned one."""
    return x if np.uint32(x) < np.uint32(y) else y


@define("l(ll)")
def ullmax(x, y):
    """The larger unsigned one."""
    return x if np.uint64(x) > np.uint64(y) else y


@define("l(ll)")
def ullmin(x, y):
    """The smaller unsigned one."""
    return x if np.uint64(x) < np.uint64(y) else y


@define("i(ii)")
def mul24(x, y):
    """The low half of the product of the low 24 bits, signed."""
    return (((np.int64(x) & 0xFFFFFF) ^ 0x800000) - 0x800000) * (((np.int64(y) & 0xFFFFFF) ^ 0x800000) - 0x800000)


@define("i(ii)")
def umul24(x, y):
    """The low half of the product of the low 24 bits, unsigned."""
    return (np.int64(x) & 0xFFFFFF) * (np.int64(y) & 0xFFFFFF)


@define("i(ii)")
def mulhi(x, y):
    """The high half of a product."""
    return (np.int64(x) * np.int64(y)) >> 32


@define("i(ii)")
def umulhi(x, y):
    """The high half of an unsigned product."""
    return (np.uint64(np.uint32(x)) * np.uint64(np.uint32(y))) >> np.uint64(32)


@define("l(ll)")
def umul64hi(x, y):
    """The high half of a 128-bit product, from four of 64 bits."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b, c, d = np.uint64(x) & low, np.uint64(x) >> half, np.uint64(y) & low, np.uint64(y) >> half
    middle = ((a * c) >> half) + ((b * c) & low) + ((a * d) & low)
    return b * d + ((b * c) >> half) + ((a * d) >> half) + (middle >> half)


@define("l(ll)")
def mul64hi(x, y):
    """The high half of a signed 128-bit product."""
    low, half = 0xFFFFFFFF, 32
    a, b, c, d = np.uint64(x & low), x >> half, np.uint64(y & low), y >> half
    middle = np.int64((a * c) >> np.uint64(half)) + ((b * np.int64(c)) & low) + ((np.int64(a) * d) & low)
    return b * d + ((b * np.int64(c)) >> half) + ((np.int64(a) * d) >> half) + (middle >> half)


# Bits of floats.


@define("i(d)")
def double2hiint(x):
    """The high 32 bits."""
    return as_bits(x) >> 32


@define("i(d)")
def double2loint(x):
    """The low 32 bits."""
    return as_bits(x)


@define("l(d)")
def double_as_longlong(x):
    """The bits of a float64."""
    return as_bits(x)


@define("d(l)")
def longlong_as_double(x):
    """The float64 of these bits."""
    return as_float(x)


@define("d(ii)")
def hiloint2double(hi, lo):
    """The float64 of two halves."""
    return as_float(np.int64(hi) << 32 | np.int64(lo) & 0xFFFFFFFF)


@define("i(f)")
def float_as_int(x):
    """The bits of a float32."""
    return as_bits(x)


@define("f(i)")
def int_as_float(x):
    """The float32 of these bits."""
    return as_float(x)


@define("h(f)")
def float2half_rn(x):
    """The bits of the nearest float16."""
    return narrow(np.float64(x), HALF, RN)


@define("f(h)")
def half2float(x):
    """The float32 of a float16's bits."""
    return half_value(x)


@define("i(d)", "signbitd")
@define("i(f)", "signbitf")
def _signbit(x):
    """Whether the sign bit is set."""
    return math.copysign(1.0, x) < 0.0


@define("i(d)", "isfinited")
@define("i(f)", "finitef")
def _isfinite(x):
    """Whether x is neither infinite nor NaN."""
    return math.isfinite(x)


@define("i(d)", "isinfd")
@define("i(f)", "isinff")
def _isinf(x):
    """Whether x is infinite."""
    return math.isinf(x)


@define("i(d)", "isnand")
@define("i(f)", "isnanf")
def _isnan(x):
    """Whether x is NaN."""
    return math.isnan(x)


# Rounding in a given direction.


def _directed(mode):
    """The bodies that round as `mode` says, by name without the rounding."""

    def dadd(x, y):
        return add_double(x, y, mode)

    def dmul(x, y):
        return multiply_double(x, y, mode)

    def ddiv(x, y):
        return divide_double(x, y, mode)

    def drcp(x):
        return divide_double(1.0, x, mode)

    def dsqrt(x):
        return sqrt_double(x, mode)

    def fma_(x, y, z):
        return fma_double(x, y, z, mode)

    def fadd(x, y):
        return add_single(x, y, mode)

    def fsub(x, y):
        return add_single(x, -y, mode)

    def fmul(x, y):
        return multiply_single(x, y, mode)

    def fdiv(x, y):
        return divide_single(x, y, mode)

    def frcp(x):
        return divide_single(np.float32(1.0), x, mode)

    def fsqrt(x):
        return sqrt_single(x, mode)

    def fmaf(x, y, z):
        return fma_single(x, y, z, mode)

    def double2float(x):
        return single(x, mode)

    def int2float(x):
        return single(np.float64(x), mode)

    def uint2float(x):
        return single(np.float64(np.uint32(x)), mode)

    def ll2float(x):
        return single(odd_integer(x), mode)

    def ull2float(x):
        return single(odd_integer(np.uint64(x)), mode)

    def ll2double(x):
        y = np.float64(x)
        return directed(y, integer_rest(x, y), mode)

    def ull2double(x):
        u = np.uint64(x)
        y = np.float64(u)
        return directed(y, integer_rest(u, y), mode)

    def double2int(x):
        return to_signed(integral(x, mode), 32, -(1 << 31))

    def double2uint(x):
        return to_unsigned(integral(x, mode), 32, 1 << 31)

    def double2ll(x):
        return to_signed(integral(x, mode), 64, -(1 << 63))

    def double2ull(x):
        return to_unsigned(integral(x, mode), 64, -(1 << 63))

    # PTX ISA, cvt: NaN is 0, unless the source or the destination has 64 bits; then it is the highest bit alone.
    def float2int(x):
        return to_signed(integral(np.float64(x), mode), 32, 0)

    def float2uint(x):
        return to_unsigned(integral(np.float64(x), mode), 32, 0)

    def float2ll(x):
        return to_signed(integral(np.float64(x), mode), 64, -(1 << 63))

    def float2ull(x):
        return to_unsigned(integral(np.float64(x), mode), 64, -(1 << 63))

    return {
        "d(d)": (drcp, dsqrt), "d(dd)": (dadd, dmul, ddiv), "d(ddd)": (fma_,),
        "f(f)": (frcp, fsqrt), "f(ff)": (fadd, fsub, fmul, fdiv), "f(fff)": (fmaf,),
        "f(d)": (double2float,), "f(i)": (int2float, uint2float), "f(l)": (ll2float, ull2float),
        "d(l)": (ll2double, ull2double), "i(d)": (double2int, double2uint), "l(d)": (double2ll, double2ull),
        "i(f)": (float2int, float2uint), "l(f)": (float2ll, float2ull),
    }  # fmt: skip


for _suffix, _mode in MODES.items():
    for _cases, _bodies in _directed(_mode).items():
        for _body in _bodies:
            _add(f"{_body.__name__.rstrip('_')}_{_suffix}", _cases, _body)


@define("d(i)")
def int2double_rn(x):
    """As float64, exactly."""
    return np.float64(x)


@define("d(i)")
def uint2double_rn(x):
    """An unsigned integer as float64, exactly."""
    return np.float64(np.uint32(x))


@define("f(f)")
def frsqrt_rn(x):
    """1 / sqrt(x), rounded to nearest."""
    return single(odd_rsqrt(np.float64(x)), RN)


# Floats: exact functions.


@define("d(ddd)", "fma", both=True)
def _fma(x, y, z):
    """x * y + z, rounded once."""
    return fma(x, y, z)


@define("d(d)", both=True)
def fabs(x):
    """Absolute value."""
    return absolute(x)


@define("d(d)", both=True)
def ceil(x):
    """The integer not below x."""
    return np.ceil(x)


@define("d(d)", both=True)
def floor(x):
    """The integer not above x."""
    return np.floor(x)


@define("d(d)", both=True)
def trunc(x):
    """The integer towards zero."""
    return np.trunc(x)


@define("d(d)", "rint", "nearbyint", both=True)
def _rint(x):
    """The nearest integer, the even one of two."""
    return np.rint(x)


@define("d(d)", "round", both=True)
def _round(x):
    """The nearest integer, the one away from zero of two."""
    return special.round_away(np.float64(x))


@define("l(d)", both=True)
def llrint(x):
    """The nearest integer, the even one of two, as int64."""
    return to_signed(np.rint(np.float64(x)), 64, -(1 << 63))


@define("l(d)", both=True)
def llround(x):
    """The nearest integer, the one away from zero of two, as int64."""
    return to_signed(special.round_away(np.float64(x)), 64, -(1 << 63))


@define("d(dd)", both=True)
def copysign(x, y):
    """The size of x with the sign of y."""
    return math.copysign(x, y)


@define("d(dd)", both=True)
def fdim(x, y):
    """x - y where that is positive, else 0."""
    return x - y if not x <= y else like(x, 0.0)


@define("d(dd)", both=True)
def fmax(x, y):
    """The larger one, a number rather than NaN."""
    return special.larger(x, y)


@define("d(dd)", both=True)
def fmin(x, y):
    """The smaller one, a number rather than NaN."""
    return special.smaller(x, y)


@define("d(dd)", both=True)
def fmod(x, y):
    """The remainder of x / y truncated, with the sign of x."""
    return np.fmod(x, y)


@define("d(dd)", both=True)
def remainder(x, y):
    """The remainder of x / y rounded to nearest (IEEE 754)."""
    return special.remquo(np.float64(x), np.float64(y))[0]


@define("di(dd)", both=True)
def remquo(x, y):
    """The IEEE remainder and the low three bits of the quotient."""
    return special.remquo(np.float64(x), np.float64(y))


@define("d(dd)", both=True)
def nextafter(x, y):
    """The float next to x towards y."""
    return np.nextafter(x, y)


@define("di(d)", both=True)
def frexp(x):
    """A fraction in [0.5, 1) and a power of two whose product is x."""
    if x == 0.0 or not math.isfinite(x):
        return np.float64(x), 0
    return math.frexp(np.float64(x))


@define("d(di)", "ldexp", "scalbn", both=True)
def _ldexp(x, n):
    """x * 2^n."""
    return math.ldexp(np.float64(x), n)


@define("i(d)", both=True)
def ilogb(x):
    """The exponent of x; the least integer for 0 and NaN, the greatest for infinities."""
    if math.isinf(x):
        return (1 << 31) - 1
    return -(1 << 31) if x == 0.0 or math.isnan(x) else math.frexp(np.float64(x))[1] - 1


@define("d(d)", both=True)
def logb(x):
    """The exponent of x as a float."""
    if x == 0.0:
        return -math.inf
    return np.float64(math.frexp(np.float64(x))[1] - 1) if math.isfinite(x) else np.float64(x * x)


@define("dd(d)", both=True)
def modf(x):
    """The fractional part and the integer part, both with the sign of x."""
    whole = np.trunc(x)
    return math.copysign(like(x, 0.0) if math.isinf(x) else x - whole, x), whole


@define("f(f)")
def saturatef(x):
    """x between 0 and 1, 0 for NaN."""
    return np.float32(0.0) if not x > 0.0 else np.float32(1.0) if x > 1.0 else x


@define("f(ff)")
def fast_fdividef(x, y):
    """x / y; where 2^126 < abs(y) < 2^128 the hardware's reciprocal is 0."""
    return x * np.float32(0.0) if 2.0**126 < abs(y) < math.inf else x / y


@define("d(d)", both=True)
def sqrt(x):
    """Square root."""
    return math.sqrt(x)


# Floats: the C library's functions, and those that follow from them.


@define("d(d)", both=True)
def acos(x):
    """Arc cosine."""
    return math.acos(x)


@define("d(d)", both=True)
def acosh(x):
    """Inverse hyperbolic cosine."""
    return math.acosh(x)


@define("d(d)", both=True)
def asin(x):
    """Arc sine."""
    return math.asin(x)


@define("d(d)", both=True)
def asinh(x):
    """Inverse hyperbolic sine."""
    return math.asinh(x)


@define("d(d)", both=True)
def atan(x):
    """Arc tangent."""
    return math.atan(x)


@define("d(dd)", both=True)
def atan2(x, y):
    """The angle of the point (y, x)."""
    return math.atan2(x, y)


@define("d(d)", both=True)
def atanh(x):
    """Inverse hyperbolic tangent."""
    return math.atanh(x)


_cbrt = external("cbrt", types.float64, types.float64)


@define("d(d)", both=True)
def cbrt(x):
    """Cube root."""
    return _cbrt(np.float64(x))


@define("d(d)", both=True)
def rcbrt(x):
    """1 / cbrt(x)."""
    return 1.0 / _cbrt(np.float64(x))


@define("d(d)", both=True)
@define("f(f)", "fast_cosf")
def cos(x):
    """Cosine."""
    return math.cos(x)


@define("d(d)", both=True)
def cosh(x):
    """Hyperbolic cosine."""
    return math.cosh(x)


@define("d(d)", both=True)
def erf(x):
    """Error function."""
    return math.erf(x)


@define("d(d)", both=True)
def erfc(x):
    """1 - erf(x)."""
    return math.erfc(x)


@define("d(d)", both=True)
@define("f(f)", "fast_expf")
def exp(x):
    """e to the power x."""
    return math.exp(x)


@define("d(d)", both=True)
@define("f(f)", "fast_exp10f")
def exp10(x):
    """10 to the power x."""
    return math.pow(10.0, np.float64(x))


@define("d(d)", both=True)
def exp2(x):
    """2 to the power x."""
    return np.exp2(x)


@define("d(d)", both=True)
def expm1(x):
    """exp(x) - 1."""
    return math.expm1(x)


_hypot = external("hypot", types.float64, types.float64, types.float64)


@define("d(dd)", both=True)
def hypot(x, y):
    """sqrt(x^2 + y^2)."""
    return _hypot(np.float64(x), np.float64(y))


@define("d(d)", both=True)
def lgamma(x):
    """Logarithm of the size of the gamma function."""
    return math.lgamma(x)


@define("d(d)", both=True)
@define("f(f)", "fast_logf")
def log(x):
    """Natural logarithm."""
    return math.log(x)


@define("d(d)", both=True)
@define("f(f)", "fast_log10f")
def log10(x):
    """Logarithm to base 10."""
    return math.log10(x)


@define("d(d)", both=True)
def log1p(x):
    """log(1 + x)."""
    return math.log1p(x)


@define("d(d)", both=True)
@define("f(f)", "fast_log2f")
def log2(x):
    """Logarithm to base 2."""
    return np.log2(x)


@define("d(dd)", "pow", both=True)
@define("f(ff)", "fast_powf")
def _pow(x, y):
    """x to the power y."""
    return math.pow(x, y)


@define("d(di)", "powi")
@define("f(fi)", "powif")
def _powi(x, n):
    """x to the power of an integer."""
    return math.pow(np.float64(x), np.float64(n))


@define("d(d)", both=True)
def rsqrt(x):
    """1 / sqrt(x)."""
    return 1.0 / math.sqrt(np.float64(x))


@define("d(d)", both=True)
@define("f(f)", "fast_sinf")
def sin(x):
    """Sine."""
    return math.sin(x)


@define("dd(d)", both=True)
@define("ff(f)", "fast_sincosf")
def sincos(x):
    """Sine and cosine."""
    return math.sin(x), math.cos(x)


@define("d(d)", both=True)
def sinh(x):
    """Hyperbolic sine."""
    return math.sinh(x)


@define("d(d)", both=True)
@define("f(f)", "fast_tanf")
def tan(x):
    """Tangent."""
    return math.tan(x)


@define("d(d)", both=True)
def tanh(x):
    """Hyperbolic tangent."""
    return math.tanh(x)


@define("d(d)", both=True)
def tgamma(x):
    """Gamma function."""
    return math.gamma(x)


def _of_double(function):
    def body(x):
        return function(np.float64(x))

    return body


for _name in ("cospi", "erfcinv", "erfcx", "erfinv", "normcdf", "normcdfinv", "sinpi"):
    _both("d(d)", _of_double(getattr(special, _name)), _name)
_both("dd(d)", _of_double(special.sincospi), "sincospi")
for _name in ("j0", "j1", "y0", "y1"):
    _both("d(d)", _of_double(external(_name, types.float64, types.float64)), _name)


def _of_order(function):
    def body(n, x):
        return function(n, np.float64(x))

    return body


for _name in ("jn", "yn"):
    _both("d(id)", _of_order(external(_name, types.float64, types.int32, types.float64)), _name)

#: The functions by name.
LIBDEVICE = {name: ScalarFunction("libdevice", name, body, cases) for name, (body, cases) in sorted(_BODIES.items())}

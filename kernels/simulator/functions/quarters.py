"""float8 of numba-cuda: the types e5m2, e4m3 and e8m0, made of numbers and cast to them, and conversions of bytes.

A float8 is a byte that kernels convert, and compute nothing with. e5m2 is the upper byte of a float16; e4m3 has one
NaN and no infinity; e8m0 is a power of two, with no sign and no zero. A number that is too large becomes the largest
there is, or, with ``saturation_t.NOSAT``, infinity or NaN.

Source: cuda_fp8.hpp of the CUDA toolkit; Open Compute Project, "OCP Microscaling Formats (MX) Specification", 1.0.
"""

import enum

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import (
    NativeValue,
    box,
    intrinsic,
    lower_builtin,
    make_attribute_wrapper,
    register_model,
    typeof_impl,
    unbox,
)

from .bits import RN, RZ, as_bits, as_float, half_value, odd_integer, rounded
from .declare import ScalarFunction, call, case, compiled
from .halves import bfloat16, lower_casts, to_bfloat, to_half, to_integer
from .vectors import VECTORS


class saturation_t(enum.IntEnum):
    """What becomes of a number that is too large."""

    NOSAT = 0
    SATFINITE = 1


class fp8_interpretation_t(enum.IntEnum):
    """What a byte is."""

    E4M3 = 0
    E5M2 = 1


class cudaRoundMode(enum.IntEnum):
    """How a number becomes a power of two."""

    cudaRoundNearest = 0
    cudaRoundZero = 1
    cudaRoundPosInf = 2
    cudaRoundMinInf = 3


# From numbers to bytes.

#: Formats: bits of the significand, least exponent, the largest number's byte, the byte of what is larger.
_FORMATS = ((4, -6, 0x7E, 0x7F), (3, -14, 0x7B, 0x7C))
_MAGNITUDE, _INFINITY = 0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000


@intrinsic
def _widened(typingctx, x):
    """A number as float64: anything else than one is a float32 first, whose NaNs become the hardware's."""

    def codegen(context, builder, sig, args):
        if x == types.float64:
            return args[0]
        value = context.cast(builder, args[0], x, types.float32)
        nan = builder.bitcast(ir.Constant(ir.IntType(32), 0x7FFFFFFF), value.type)
        value = builder.select(builder.fcmp_unordered("uno", value, value), nan, value)
        return builder.fpext(value, ir.DoubleType())

    return signature(types.float64, x), codegen


@intrinsic
def _directed(typingctx, x):
    """A number as float64, from which rounding up or down goes on rightly."""

    def codegen(context, builder, sig, args):
        if isinstance(x, types.Integer):
            return call(context, builder, odd_integer, signature(types.float64, x), args)
        return context.cast(builder, args[0], x, types.float64)

    return signature(types.float64, x), codegen


@compiled
def _to_byte(x, saturation, interpretation):
    """Round to the nearest number of e4m3 or e5m2. A NaN of e5m2 keeps the upper bits of the float64's."""
    precision, emin, largest, beyond = _FORMATS[np.int64(interpretation)]
    u = as_bits(_widened(x))
    magnitude, sign = u & _MAGNITUDE, 0x80 if u < 0 else 0
    if magnitude > _INFINITY:
        return sign | (0x7F if precision == 4 else 0x7E | u >> 50 & 3)
    bits = beyond
    if magnitude < _INFINITY:
        bits = rounded(magnitude, False, (precision, emin), RN)
    if bits > largest:
        bits = largest if saturation == 1 else beyond
    return sign | bits


@compiled
def _to_scale(x, saturation, rounding):
    """Round the magnitude to a power of two: up for ``cudaRoundPosInf``, else down."""
    magnitude = as_bits(_directed(x)) & _MAGNITUDE
    if magnitude > _INFINITY:
        return 0xFF
    up = rounding == 2
    exponent = (magnitude >> 52) - 1023 + 127 + (up and magnitude & 0xFFFFFFFFFFFFF != 0)
    if exponent > 0xFE:
        return 0xFE if saturation == 1 or (not up and magnitude < _INFINITY) else 0xFF
    return max(exponent, 0)


# From bytes to numbers.


@compiled
def _e5m2_value(byte):
    """The number of a byte of e5m2."""
    return as_float(np.int32(0x7FFFFFFF)) if byte & 0x7F > 0x7C else half_value(np.int64(byte) << 8)


@compiled
def _e4m3_value(byte):
    """The number of a byte of e4m3: a float16's with an exponent that is 8 too small."""
    half = (np.int64(byte) & 0x80) << 8 | (np.int64(byte) & 0x7F) << 7
    return as_float(np.int32(0x7FFFFFFF)) if byte & 0x7F == 0x7F else half_value(half) * np.float32(256.0)


@compiled
def _scale_bits(byte):
    """The bits of a byte of e8m0 as a bfloat16."""
    return 0x7FFF if byte == 0xFF else np.int64(byte) << 7 if byte > 0 else 0x40


@compiled
def _e8m0_value(byte):
    """The number of a byte of e8m0."""
    return as_float(np.int32(0x7FFFFFFF if byte == 0xFF else _scale_bits(byte) << 16))


# Classes: for Python the types, for Numba their constructors.


class _Constructor(type):
    """The classes of float8; Numba sees one as its constructor."""


@typeof_impl.register(_Constructor)
def _typeof_constructor(python_class, context):
    return python_class.constructor


def _construct(python_class, native, make):
    """Let Numba make a `native` of what `python_class.byte_of` takes; `make(context, builder, bits)`."""
    function = python_class.byte_of

    class Template(AbstractTemplate):
        key = python_class

        def generic(self, args, kws):
            found = self.context.resolve_function_type(function.type, args, kws)
            return found and signature(native, *found.args)

    for count, body in function.bodies.items():

        @lower_builtin(python_class, *[types.Any] * count)
        def lower(context, builder, sig, args, body=body):
            bits = call(context, builder, body, signature(function.cases[0].return_type, *sig.args), args)
            return make(context, builder, bits)

    python_class.numba_type, python_class.constructor = native, types.Function(Template)


class QuarterType(types.Number):
    """The Numba type of a float8."""

    bitwidth = 8


@register_model(QuarterType)
class _QuarterModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.IntType(8))


class Quarter(np.float32, metaclass=_Constructor):
    """A float8. Outside of compiled kernels it is the float32 of its value."""

    #: An integer made of it is the nearest one of its type, also where that has 8 bits.
    narrowest = 8

    def __new__(cls, value=0):
        """Round a number."""
        return np.float32.__new__(cls, cls.value_of(cls.byte_of(value)))


_NUMBERS = [case(f"B({letter})") for letter in ("", *"etfdHILhil")]


def _nothing():
    """A byte that C++ leaves to chance."""
    return 0


def _rounding_to(interpretation):
    def body(x):
        """Round to the nearest number there is."""
        return _to_byte(x, 1, interpretation)

    return body


def _rounding_up(x):
    """Round the magnitude up to a power of two."""
    return _to_scale(x, 1, 2)


@intrinsic
def byte_of(typingctx, x):
    """The byte of a float8."""
    return signature(types.uint8, x), lambda context, builder, sig, args: args[0]


def _quarter(name, to_byte, to_value, is_true):
    """One type of float8, with its casts to other numbers."""
    python_class = _Constructor(name, (Quarter,), {"__module__": __name__})
    python_class.byte_of = ScalarFunction("fp8", name, (_nothing, to_byte), _NUMBERS)
    python_class.value_of = ScalarFunction("fp8", f"{name}_value", to_value, ["f(B)"])
    python_class.twin = python_class  # what the interpreted engine takes for it
    native = QuarterType(name)
    _construct(python_class, native, lambda context, builder, bits: bits)

    @compiled
    def single(x):
        return to_value(byte_of(x))

    @compiled
    def double(x):
        return np.float64(to_value(byte_of(x)))

    @compiled
    def half(x):
        return to_half(to_value(byte_of(x)), RN)

    @compiled
    def bfloat(x):
        return to_bfloat(to_value(byte_of(x)), RN)

    @compiled
    def truth(x):
        return is_true(byte_of(x))

    for target, body in (
        (types.float32, single), (types.float64, double), (types.float16, half), (bfloat16, bfloat),
        (types.Boolean, truth),
    ):  # fmt: skip
        lower_casts(native, target, lambda fromty, toty, body=body: body)
    lower_casts(native, types.Integer, lambda fromty, toty: to_integer(single, toty.bitwidth, toty.signed, RZ))
    return python_class


@compiled
def _nonzero(byte):
    return byte & 0x7F != 0


@compiled
def _always(byte):
    return True


# Two and four of them in one integer, the first in the lowest bits.


class PackedType(types.Type):
    """The Numba type of several float8."""


class Packed(metaclass=_Constructor):
    """Several float8 in one integer, ``__x``."""

    def __init__(self, *vector):
        setattr(self, "__x", self.byte_of(*vector))


def _pair(to_byte):
    def body(v):
        """Round both components."""
        return to_byte(v.x) | to_byte(v.y) << 8

    return compiled(body)


def _four(to_byte):
    def body(v):
        """Round all components."""
        return to_byte(v.x) | to_byte(v.y) << 8 | to_byte(v.z) << 16 | to_byte(v.w) << 24

    return compiled(body)


def _packed(name, size, to_byte):
    """The type of `size` float8."""
    bits = {2: types.uint16, 4: types.uint32}[size]

    class Native(PackedType):
        """The type of this one; models and attributes go by class."""

    @register_model(Native)
    class Model(models.StructModel):
        def __init__(self, manager, fe_type):
            super().__init__(manager, fe_type, [("bits", bits)])

    make_attribute_wrapper(Native, "bits", "__x")
    native = Native(name)

    def make(context, builder, value):
        made = cgutils.create_struct_proxy(native)(context, builder)
        made.bits = value
        return made._getvalue()

    python_class = _Constructor(name, (Packed,), {"__module__": __name__})
    cases = [signature(bits)] + [signature(bits, VECTORS[f"float{n}x{size}"].numba_type) for n in (32, 64)]
    body = {2: _pair, 4: _four}[size](to_byte)
    python_class.byte_of = ScalarFunction("fp8", name, (_nothing, body), cases)
    _construct(python_class, native, make)
    return python_class


def _types():
    for name, to_byte, to_value, is_true in (
        ("e5m2", _rounding_to(1), _e5m2_value, _nonzero),
        ("e4m3", _rounding_to(0), _e4m3_value, _nonzero),
        ("e8m0", _rounding_up, _e8m0_value, _always),
    ):
        yield _quarter(f"fp8_{name}", to_byte, to_value, is_true)
        for size in (2, 4):
            yield _packed(f"fp8x{size}_{name}", size, compiled(to_byte))


# bfloat16 as its bits.


class RawBfloatType(types.Type):
    """The Numba type of `RawBfloat`."""


raw_bfloat = RawBfloatType("__nv_bfloat16_raw")


@register_model(RawBfloatType)
class _RawBfloatModel(models.StructModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, [("x", types.uint16)])


make_attribute_wrapper(RawBfloatType, "x", "x")


class RawBfloat:
    """The bits of a bfloat16, ``x``."""

    def __init__(self, x):
        self.x = np.uint16(x)


@typeof_impl.register(RawBfloat)
def _typeof_raw(value, context):
    return raw_bfloat


@box(RawBfloatType)
def _box_raw(typ, value, c):
    raw = cgutils.create_struct_proxy(typ)(c.context, c.builder, value)
    python_class = c.pyapi.unserialize(c.pyapi.serialize_object(RawBfloat))
    bits = c.box(types.uint16, raw.x)
    made = c.pyapi.call_function_objargs(python_class, (bits,))
    c.pyapi.decref(bits)
    c.pyapi.decref(python_class)
    return made


@unbox(RawBfloatType)
def _unbox_raw(typ, obj, c):
    raw = cgutils.create_struct_proxy(typ)(c.context, c.builder)
    bits = c.pyapi.object_getattr_string(obj, "x")
    raw.x = c.unbox(types.uint16, bits).value
    c.pyapi.decref(bits)
    return NativeValue(raw._getvalue(), is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@intrinsic
def _raw(typingctx, bits):
    """The bits as a `RawBfloat`."""

    def codegen(context, builder, sig, args):
        made = cgutils.create_struct_proxy(raw_bfloat)(context, builder)
        made.x = args[0]
        return made._getvalue()

    return signature(raw_bfloat, types.uint16), codegen


@compiled
def _raw_value(raw):
    return as_float(np.int32(np.int64(raw.x) << 16))


# Conversions between numbers and bytes.


def cvt_to_fp8(x, saturation, interpretation):
    """Round to the nearest number of e4m3 or e5m2."""
    return _to_byte(x, saturation, interpretation)


def cvt_raw_to_fp8(raw, saturation, interpretation):
    """Round a bfloat16 to the nearest number of e4m3 or e5m2."""
    return _to_byte(_raw_value(raw), saturation, interpretation)


def cvt_pair_to_fp8(v, saturation, interpretation):
    """Round both components to the nearest numbers of e4m3 or e5m2."""
    return _to_byte(v.x, saturation, interpretation) | _to_byte(v.y, saturation, interpretation) << 8


def cvt_to_e8m0(x, saturation, rounding):
    """Round the magnitude to a power of two, up or down."""
    return _to_scale(x, saturation, rounding)


def cvt_raw_to_e8m0(raw, saturation, rounding):
    """Round the magnitude of a bfloat16 to a power of two, up or down."""
    return _to_scale(_raw_value(raw), saturation, rounding)


def cvt_pair_to_e8m0(v, saturation, rounding):
    """Round the magnitudes of both components to powers of two, up or down."""
    return _to_scale(v.x, saturation, rounding) | _to_scale(v.y, saturation, rounding) << 8


def cvt_e8m0_to_bf16raw(byte):
    """The bfloat16 of a power of two."""
    return _raw(np.uint16(_scale_bits(byte)))


def _conversions():
    two = {name: VECTORS[f"{name}2"].numba_type for name in ("float", "double")}
    saturation, fp8, e8m0 = (
        types.IntEnumMember(kind, types.int64) for kind in (saturation_t, fp8_interpretation_t, cudaRoundMode)
    )
    for name, source, result, body, how in (
        ("cvt_float_to_fp8", types.float32, types.uint8, cvt_to_fp8, fp8),
        ("cvt_double_to_fp8", types.float64, types.uint8, cvt_to_fp8, fp8),
        ("cvt_float2_to_fp8x2", two["float"], types.uint16, cvt_pair_to_fp8, fp8),
        ("cvt_double2_to_fp8x2", two["double"], types.uint16, cvt_pair_to_fp8, fp8),
        ("cvt_bfloat16raw_to_fp8", raw_bfloat, types.uint8, cvt_raw_to_fp8, fp8),
        ("cvt_float_to_e8m0", types.float32, types.uint8, cvt_to_e8m0, e8m0),
        ("cvt_double_to_e8m0", types.float64, types.uint8, cvt_to_e8m0, e8m0),
        ("cvt_float2_to_e8m0x2", two["float"], types.uint16, cvt_pair_to_e8m0, e8m0),
        ("cvt_double2_to_e8m0x2", two["double"], types.uint16, cvt_pair_to_e8m0, e8m0),
        ("cvt_bfloat16raw_to_e8m0", raw_bfloat, types.uint8, cvt_raw_to_e8m0, e8m0),
    ):
        yield ScalarFunction("fp8", name, body, [signature(result, source, saturation, how)])
    yield ScalarFunction(
        "fp8", "cvt_e8m0_to_bf16raw", cvt_e8m0_to_bf16raw, [signature(raw_bfloat, types.uint8)]
    )  # fmt: skip


#: The names of numba-cuda's module of float8, and the enumeration of `cuda.bindings` that its functions take.
FP8 = {each.__name__: each for each in (*_types(), *_conversions(), saturation_t, fp8_interpretation_t, cudaRoundMode)}

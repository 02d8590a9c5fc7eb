"""float16 and bfloat16 for Numba's CPU target, which knows their names and nothing else.

A value is its 16 bits, as in numba-cuda. Operations compute in float64 and round once (`bits`); types and casts follow
numba-cuda: a float16 operates with a float16 or an int8 in float16 and else as float32 would, float16 becomes an
integer by rounding to the nearest even one and bfloat16 by truncation, out of range to the nearest in range.
"""

import functools
import operator

import numpy as np
from llvmlite import ir
from numba.core import boxing, pythonapi, types  # noqa: F401  (boxing registers what is replaced below)
from numba.core.datamodel import models
from numba.core.typeconv import Conversion
from numba.core.typing import builtins
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    NativeValue,
    intrinsic,
    lower_builtin,
    lower_cast,
    register_model,
    typeof_impl,
)  # fmt: skip
from numba.np import numpy_support

from . import declare
from .bits import (
    BFLOAT,
    HALF,
    RN,
    RZ,
    as_float,
    half_value,
    integral,
    narrow,
    odd,
    odd_fma,
    odd_integer,
    odd_quotient,
    to_signed,
    to_unsigned,
    two_sum,
)  # fmt: skip
from .declare import call, compiled

try:
    from numba.cuda.types import bfloat16
except ImportError:  # Numba's own CUDA target has none

    class Bfloat16(types.Number):
        """The type of a bfloat16."""

        def __init__(self):
            super().__init__(name="__nv_bfloat16")
            self.bitwidth = 16

        def can_convert_from(self, typingctx, other):
            """A byte fits."""
            if isinstance(other, types.Integer) and other.bitwidth == 8:
                return Conversion.safe
            return Conversion.unsafe if isinstance(other, (types.Integer, types.Float)) else None

        def can_convert_to(self, typingctx, other):
            """A float32 holds it."""
            if isinstance(other, types.Float) and other.bitwidth >= 32:
                return Conversion.safe
            return Conversion.unsafe if isinstance(other, (types.Integer, types.Float)) else None

    bfloat16 = Bfloat16()

try:
    import ml_dtypes
except ImportError:
    ml_dtypes = None

float16 = types.float16
declare.LETTERS["t"] = bfloat16
FORMATS = {float16: HALF, bfloat16: BFLOAT}


class _Bits(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, ir.IntType(16))


# Numba's model of floats is one class for all widths, which refuses 16.
@register_model(types.Float)
def _float_model(manager, fe_type):
    return (_Bits if fe_type == float16 else models.FloatModel)(manager, fe_type)


register_model(type(bfloat16))(_Bits)


@intrinsic
def half_bits(typingctx, x):
    """The bits of a 16-bit float as int16."""
    return signature(types.int16, x), lambda context, builder, sig, args: args[0]


@intrinsic
def as_half(typingctx, bits):
    """The float16 of the low 16 bits of an integer."""
    return signature(float16, types.int16), lambda context, builder, sig, args: args[0]


@intrinsic
def as_bfloat(typingctx, bits):
    """The bfloat16 of the low 16 bits of an integer."""
    return signature(bfloat16, types.int16), lambda context, builder, sig, args: args[0]


# Casts.


@compiled
def _widen_half(x):
    return half_value(half_bits(x))


@compiled
def _widen_bfloat(x):
    return as_float(np.int32(np.int64(half_bits(x)) << 16))


@compiled
def to_half(x, mode):
    """Round a float64 to float16."""
    return as_half(np.int16(narrow(np.float64(x), HALF, mode)))


@compiled
def to_bfloat(x, mode):
    """Round a float64 to bfloat16."""
    return as_bfloat(np.int16(narrow(np.float64(x), BFLOAT, mode)))


def _from_float(to, mode=RN):
    @compiled
    def cast(x):
        return to(x, mode)

    return cast


def _from_integer(to):
    @compiled
    def cast(x):
        return to(odd_integer(x), RN)

    return cast


@functools.cache
def to_integer(widen, bits, signed, mode):
    """A function that rounds a float, which `widen` gives, to the nearest integer of a type."""
    to, nan = (to_signed, -(1 << 63)) if signed else (to_unsigned, 1 << 63)
    nan = nan if bits == 64 else 0

    @compiled
    def cast(x):
        return to(integral(np.float64(widen(x)), mode), bits, nan)

    return cast


def lower_casts(fromty, toty, choose):
    """Cast by the function that `choose(fromty, toty)` gives."""

    @lower_cast(fromty, toty)
    def lower(context, builder, fromty, toty, value):
        if fromty == toty:
            return value
        fromty = types.unliteral(fromty)
        if fromty is types.boolean:
            fromty, value = types.int64, builder.zext(value, ir.IntType(64))
        return call(context, builder, choose(fromty, toty), signature(toty, fromty), [value])


@compiled
def _nonzero(x):
    return half_bits(x) & 0x7FFF != 0


def _casts(ty, widen, to, mode):
    from_float, from_integer = _from_float(to), _from_integer(to)

    @compiled
    def widen_twice(x):
        return np.float64(widen(x))

    lower_casts(ty, types.float32, lambda fromty, toty: widen)
    lower_casts(ty, types.float64, lambda fromty, toty: widen_twice)
    for other in (types.float32, types.float64):
        lower_casts(other, ty, lambda fromty, toty: from_float)
    for other in (types.Integer, types.IntegerLiteral, types.Boolean):
        lower_casts(other, ty, lambda fromty, toty: from_integer)
    lower_casts(ty, types.Integer, lambda fromty, toty: to_integer(widen, toty.bitwidth, toty.signed, mode))
    lower_casts(ty, types.Boolean, lambda fromty, toty: _nonzero)


_casts(float16, _widen_half, to_half, RN)
_casts(bfloat16, _widen_bfloat, to_bfloat, RZ)


@compiled
def _half_to_bfloat(x):
    return to_bfloat(_widen_half(x), RN)


@compiled
def _bfloat_to_half(x):
    return to_half(_widen_bfloat(x), RN)


lower_casts(float16, bfloat16, lambda fromty, toty: _half_to_bfloat)
lower_casts(bfloat16, float16, lambda fromty, toty: _bfloat_to_half)


@intrinsic
def wide(typingctx, x):
    """A 16-bit float as float64."""

    def codegen(context, builder, sig, args):
        return context.cast(builder, args[0], x, types.float64)

    return signature(types.float64, x), codegen


# Operators: bodies for both types, which give a float64 that is then rounded, exact or odd.


@compiled
def add(x, y):
    """x + y."""
    s, rest = two_sum(wide(x), wide(y))
    return odd(s, rest)


@compiled
def subtract(x, y):
    """x - y."""
    s, rest = two_sum(wide(x), -wide(y))
    return odd(s, rest)


@compiled
def multiply(x, y):
    """x * y."""
    return wide(x) * wide(y)


@compiled
def divide(x, y):
    """x / y."""
    return odd_quotient(wide(x), wide(y))


@compiled
def fma(x, y, z):
    """x * y + z, rounded once."""
    return odd_fma(wide(x), wide(y), wide(z))


@compiled
def negative(x):
    """-x: the sign bit flips, of NaN too."""
    return -wide(x)


@compiled
def positive(x):
    """x itself."""
    return x


@compiled
def magnitude(x):
    """Absolute value."""
    return abs(wide(x))


@compiled
def equal(x, y):
    """x == y."""
    return wide(x) == wide(y)


@compiled
def not_equal(x, y):
    """x != y, which holds for NaN."""
    return wide(x) != wide(y)


@compiled
def less(x, y):
    """x < y."""
    return wide(x) < wide(y)


@compiled
def less_equal(x, y):
    """x <= y."""
    return wide(x) <= wide(y)


@compiled
def greater(x, y):
    """x > y."""
    return wide(x) > wide(y)


@compiled
def greater_equal(x, y):
    """x >= y."""
    return wide(x) >= wide(y)


def _operator(key, body, results):
    """Type `key` for 16-bit floats before Numba does, for whom a float16 is a narrow float32, and lower it."""
    arity = len(results) - 1
    body = compiled(body.py_func)

    @infer_global(key)
    class Template(AbstractTemplate):
        metadata = {"target": "cpu"}  # noqa: RUF012  (Numba reads it: the most specific target comes first)

        def generic(self, args, kws):
            args = [types.unliteral(a) for a in args]
            if len(args) != arity or kws:
                return None
            if bfloat16 in args:
                return self._bfloat(args, kws)
            if float16 in args and all(self._joins(a) for a in args):
                return signature(results[0] or float16, *[float16] * arity)
            return None

        def _joins(self, other):
            fine = (Conversion.exact, Conversion.promote, Conversion.safe)
            return other == float16 or self.context.can_convert(other, float16) in fine

        def _bfloat(self, args, kws):
            cases = {1: builtins.UnaryOp, 2: builtins.OrderedCmpOp if results[0] else builtins.BinOp}[arity].cases
            own = signature(results[0] or bfloat16, *[bfloat16] * arity)
            if any(not isinstance(a, (types.Number, types.Boolean)) for a in args):
                return None
            return self.context.resolve_overload(key, [*cases, own], tuple(args), kws)

    for ty in FORMATS:

        @lower_builtin(key, *[ty] * arity)
        def lower(context, builder, sig, args):
            return call(context, builder, body, sig, args)


for _keys, _body in (
    ((operator.add, operator.iadd), add),
    ((operator.sub, operator.isub), subtract),
    ((operator.mul, operator.imul), multiply),
    ((operator.truediv, operator.itruediv), divide),
):
    for _key in _keys:
        _operator(_key, _body, (None, None, None))
for _key, _body in (
    (operator.eq, equal), (operator.ne, not_equal), (operator.lt, less), (operator.le, less_equal),
    (operator.gt, greater), (operator.ge, greater_equal),
):  # fmt: skip
    _operator(_key, _body, (types.boolean, None, None))
for _key, _body in ((operator.neg, negative), (operator.pos, positive), (abs, magnitude)):
    _operator(_key, _body, (None, None))


# numba-cuda: float() of a float16 is that float16.
@infer_global(float)
class _Float(AbstractTemplate):
    metadata = {"target": "cpu"}  # noqa: RUF012  (as above)

    def generic(self, args, kws):
        return signature(float16, float16) if args == (float16,) else None


lower_builtin(float, float16)(lambda context, builder, sig, args: args[0])


_operator(bool, _nonzero, (types.boolean, None))


# Host values: NumPy's float16, and ml_dtypes' bfloat16 where it is installed. Python sees 16-bit floats as its own.


def _box(typ, value, c):
    return c.pyapi.float_from_double(c.context.cast(c.builder, value, typ, types.float64))


def _unbox(typ, obj, c):
    number = c.pyapi.number_float(obj)
    value = c.pyapi.float_as_double(number)
    c.pyapi.decref(number)
    return NativeValue(c.context.cast(c.builder, value, types.float64, typ), is_error=c.pyapi.c_api_error())


# Not by Numba's decorators, which refuse a second function for a class; float32 and float64 fare as before.
for _ty in (type(float16), type(bfloat16)):
    pythonapi._boxers.functions[_ty] = _box
    pythonapi._unboxers.functions[_ty] = _unbox

if ml_dtypes is not None:
    numpy_support.FROM_DTYPE[np.dtype(ml_dtypes.bfloat16)] = bfloat16
    declare.STRONG[bfloat16] = ml_dtypes.bfloat16

    @typeof_impl.register(ml_dtypes.bfloat16)
    def _typeof_bfloat(value, context):
        return bfloat16

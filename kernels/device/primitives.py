"""What the hardware gives: LLVM instructions, Numba's native operators and NVIDIA's libdevice, each with its twin.

A primitive takes and returns NumPy scalars (`kernels.device.scalar`) of one dtype and never promotes.

Source: NVIDIA, libdevice User's Guide, https://docs.nvidia.com/cuda/libdevice-users-guide/
"""

import operator
from fractions import Fraction

import numpy as np
from llvmlite import ir
from numba import types

from .instructions import instruction
from .scalar import Scalar, complex_value, convert, scalar_type, unwrapped, wrapped
from .target import call_libdevice


def _quiet(function):
    """The twin of a primitive: the same values as the hardware's, and as quiet about them."""

    def twin(*xs):
        with np.errstate(all="ignore"):
            return function(*xs)

    return twin


def native(function, twin=None):
    """Numba's own `function` of plain numbers, on Scalars; the result has Numba's dtype, to be rounded after."""

    def lowered(typingctx, *operands):
        plain = tuple(map(unwrapped, operands))
        callee = typingctx.resolve_value_type(function)
        inner = typingctx.resolve_function_type(callee, plain, {})

        def codegen(context, builder, signature, args):
            implementation = context.get_function(callee, inner)
            context.add_linking_libs(getattr(implementation, "libs", ()))
            values = [
                context.cast(builder, x, have, want) for x, have, want in zip(args, plain, inner.args, strict=True)
            ]
            return implementation(builder, values)

        return wrapped(inner.return_type)(*operands), codegen

    return _declare(lowered, twin or function, 1 if function in _UNARY else 2)


_UNARY = {operator.neg, operator.invert, operator.pos}


def _declare(lowered, twin, arity):
    """An instruction of `arity` operands (Numba wants them spelled out)."""
    spelled = {
        1: lambda typingctx, x: lowered(typingctx, x),
        2: lambda typingctx, x, y: lowered(typingctx, x, y),
        3: lambda typingctx, x, y, z: lowered(typingctx, x, y, z),
    }
    return instruction(_quiet(twin))(spelled[arity])


def libdevice(name, twin, arity=1):
    """``__nv_<name>`` on float64, ``__nv_<name>f`` on float32."""

    def lowered(typingctx, *operands):
        scalar = operands[0]

        def codegen(context, builder, signature, args):
            return call_libdevice(context, builder, name, scalar.native(*[scalar.native] * arity), args)

        return scalar(*operands), codegen

    return _declare(lowered, twin, arity)


def llvm(signed, unsigned, twin, arity=2):
    """An LLVM instruction on integers (or floats, where `signed` and `unsigned` are one), at their own width."""

    def lowered(typingctx, *operands):
        scalar = operands[0]
        name = signed if getattr(scalar.native, "signed", True) else unsigned

        def codegen(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return scalar(*operands), codegen

    return _declare(lowered, twin, arity)


def _truncated(x, y):
    """Quotient rounded towards zero, in exact integers."""
    q = abs(int(x)) // abs(int(y))
    return type(x)(q if (x < 0) == (y < 0) else -q)


def _remaining(x, y):
    r = abs(int(x)) % abs(int(y))
    return type(x)(-r if x < 0 else r)


#: Integer quotient rounded towards zero. The caller rules out y = 0, and y = -1 for signed x.
quotient = llvm("sdiv", "udiv", _truncated)
#: What `quotient` leaves, with the sign of x.
residue = llvm("srem", "urem", _remaining)
#: x * 2**y and x / 2**y of integers, 0 <= y < number of bits.
shift_left = llvm("shl", "shl", np.left_shift)
shift_right = llvm("ashr", "lshr", np.right_shift)
#: IEEE quotient of floats. (Numba's would check for zero under its Python error model.)
divide = llvm("fdiv", "fdiv", np.true_divide)


@instruction(lambda x: 8 * x.dtype.itemsize)
def bit_width(typingctx, x):
    """Number of bits of an integer's dtype."""
    bits = x.native.bitwidth
    return types.int64(x), lambda context, builder, signature, args: ir.Constant(ir.IntType(64), bits)


@instruction(lambda x: int(np.bitwise_count(x)))
def population_count(typingctx, x):
    """Number of one bits of an integer's pattern."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, builder.ctpop(args[0]), x.native, types.int64)

    return types.int64(x), codegen


@instruction(lambda re, im: (np.complex64 if re.dtype == np.float32 else np.complex128)(complex(re, im)))
def make_complex(typingctx, re, im):
    """re + im i, from two floats of one dtype."""
    result = scalar_type(np.complex64 if re.native == types.float32 else np.complex128)

    def codegen(context, builder, signature, args):
        return complex_value(context, builder, result.native, *args)

    return result(re, im), codegen


def _exponent(x):
    return np.int32(np.frexp(x)[1] - 1)


@instruction(_quiet(_exponent))
def exponent(typingctx, x):
    """Floor of log2 of a finite, nonzero float, as int32."""

    def codegen(context, builder, signature, args):
        return call_libdevice(context, builder, "ilogb", types.int32(x.native), args)

    return Scalar(types.int32)(x), codegen


@instruction(_quiet(lambda x, n: np.ldexp(x, int(n))))
def scale(typingctx, x, n):
    """x * 2**n, rounded once; n an integer within int32."""

    def codegen(context, builder, signature, args):
        power = convert(context, builder, args[1], n, types.int32)
        return call_libdevice(context, builder, "ldexp", x.native(x.native, types.int32), (args[0], power))

    return x(x, n), codegen


def _fused(x, y, z):
    """x y + z with one rounding: rounded to odd in float64 for float32, in exact rationals for float64."""
    if x.dtype == np.float32:
        # A double whose last bit is odd wherever it is inexact rounds once more to the same float (Boldo &
        # Melquiond 2008).
        product = np.float64(x) * np.float64(y)
        total = product + np.float64(z)
        other = total - product
        error = (product - (total - other)) + (np.float64(z) - other)
        if np.isfinite(total) and error != 0 and not total.view(np.int64) & 1:
            total = np.nextafter(total, np.copysign(np.inf, error))
        return np.float32(total)
    if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)):
        return x * y + z
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    try:
        return np.float64(float(exact)) if exact else x * y + z
    except OverflowError:
        return np.copysign(np.float64(np.inf), np.float64(1 if exact > 0 else -1))


#: x y + z, rounded once.
fused_multiply_add = libdevice("fma", _fused, 3)
#: x^(-1/2).
reciprocal_square_root = libdevice("rsqrt", lambda x: 1 / np.sqrt(x))

"""Operators for reductions, which Python's and Numba's are not: in the type of their operands, with NumPy's NaN.

    minimum(x, y) = NaN where x or y is NaN, else the smaller one; -0.0 is smaller than 0.0

so that the result is the same bits whichever of the two comes first. Complex numbers are ordered by their real parts,
then by their imaginary ones. ``min`` and ``max`` of Numba's kernels take the number where one is NaN.

`first_minimum` and `first_maximum` are for pairs of a value and its index: NaN wins over numbers, and of equal values
the one with the smaller index, as in ``numpy.argmin``.

Source: NumPy, ``numpy.minimum`` and ``numpy.argmin``; PTX ISA, ``min.NaN``.
"""

import functools
import math

import numpy as np
from llvmlite import ir
from numba import types

from .instructions import instruction, kernel_function
from .scalar import complex_value, convert, unpack, unwrapped

__all__ = [
    "add", "ascending", "descending", "first_maximum", "first_minimum", "maximum", "minimum", "multiply",
]  # fmt: skip


def _plain(native):
    return unwrapped(types.unliteral(native))


def _is_gpu(context):
    return type(context).__module__.startswith("numba.cuda")


def _truth(value):
    return ir.Constant(ir.IntType(1), value)


def _less(context, builder, plain, x, y):
    """Whether x < y of numbers of LLVM."""
    if isinstance(plain, types.Complex):
        (a, b), (c, d) = unpack(builder, x, 2), unpack(builder, y, 2)
        ties = builder.and_(builder.fcmp_ordered("==", a, c), builder.fcmp_ordered("<", b, d))
        return builder.or_(builder.fcmp_ordered("<", a, c), ties)
    if isinstance(plain, types.Float):
        x, y = (_wide(context, builder, plain, each) for each in (x, y))
        return builder.fcmp_ordered("<", x, y)
    signed = isinstance(plain, types.Integer) and plain.signed
    return (builder.icmp_signed if signed else builder.icmp_unsigned)("<", x, y)


def _wide(context, builder, plain, x):
    return convert(context, builder, x, plain, types.float32) if plain == types.float16 else x


def _is_nan(context, builder, plain, x):
    if isinstance(plain, types.Complex):
        real, imag = unpack(builder, x, 2)
        return builder.fcmp_unordered("uno", real, imag)
    if isinstance(plain, types.Float):
        x = _wide(context, builder, plain, x)
        return builder.fcmp_unordered("uno", x, x)
    return _truth(False)


def _extreme_of_floats(context, builder, plain, x, y, largest):
    if _is_gpu(context) and plain != types.float64:
        letter, name = ("h", "f16") if plain == types.float16 else ("f", "f32")
        text = f"{'max' if largest else 'min'}.NaN.{name} $0, $1, $2;"
        kind = ir.FunctionType(x.type, [x.type, y.type])
        return builder.call(ir.InlineAsm(kind, text, f"={letter},{letter},{letter}"), [x, y])
    bits = ir.IntType(plain.bitwidth)
    a, b = (builder.bitcast(each, bits) if each.type != bits else each for each in (x, y))
    less = _less(context, builder, plain, *((y, x) if largest else (x, y)))
    found = builder.select(less, a, b)
    wide = [_wide(context, builder, plain, each) for each in (x, y)]
    signs = builder.and_(a, b) if largest else builder.or_(a, b)  # of zeros; other equal numbers are the same bits
    found = builder.select(builder.fcmp_ordered("==", *wide), signs, found)
    nan = bits(int(np.array(math.nan, f"f{plain.bitwidth // 8}").view(f"u{plain.bitwidth // 8}")))
    found = builder.select(builder.fcmp_unordered("uno", *wide), nan, found)
    return builder.bitcast(found, x.type) if x.type != bits else found


def _of_python(x, y, largest):
    """The twin of an extreme."""
    x, y = np.asarray(x), np.asarray(y)
    y = y.astype(x.dtype)
    if x.dtype.kind == "f" and x == y == 0:
        take = np.signbit(x) == largest
        return (y if take else x)[()]
    if x.dtype.kind == "f" and (x != x or y != y):
        return x.dtype.type(math.nan)
    return (np.maximum if largest else np.minimum)(x, y)[()]


def _extreme(name, largest, doc):
    def define(typingctx, x, y):
        plain, result = _plain(x), types.unliteral(x)

        def codegen(context, builder, signature, args):
            a, b = args[0], convert(context, builder, args[1], _plain(y), plain)
            if isinstance(plain, types.Float):
                return _extreme_of_floats(context, builder, plain, a, b, largest)
            less = _less(context, builder, plain, *((a, b) if largest else (b, a)))
            found = builder.select(less, b, a)
            if isinstance(plain, types.Complex):  # the first NaN wins
                found = builder.select(_is_nan(context, builder, plain, b), b, found)
                found = builder.select(_is_nan(context, builder, plain, a), a, found)
            return found

        return result(x, y), codegen

    define.__name__, define.__doc__ = name, doc
    return instruction(functools.partial(_of_python, largest=largest), beside_gpu=True)(define)


minimum = _extreme("minimum", False, "The smaller of two numbers of one type; NaN where either is NaN.")
maximum = _extreme("maximum", True, "The larger of two numbers of one type; NaN where either is NaN.")


def _goes_before(name, largest):
    """``before(x, y)``: whether x is the extreme of the two, and they are not equal; NaN is before all numbers."""

    def twin(x, y):
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype.kind in "fc" and (x != x or y != y):
            return bool(x != x and y == y)
        return bool((x > y if largest else x < y) if x.dtype.kind != "c" else _ordered(x, y, largest))

    def define(typingctx, x, y):
        plain = _plain(x)

        def codegen(context, builder, signature, args):
            a, b = args[0], convert(context, builder, args[1], _plain(y), plain)
            less = _less(context, builder, plain, *((b, a) if largest else (a, b)))
            first, second = (_is_nan(context, builder, plain, each) for each in (a, b))
            return builder.and_(builder.or_(less, first), builder.not_(second))

        return types.boolean(x, y), codegen

    define.__name__ = name
    return instruction(twin, beside_gpu=True)(define)


def _ordered(x, y, largest):
    pairs = (x.real, x.imag), (y.real, y.imag)
    return pairs[0] > pairs[1] if largest else pairs[0] < pairs[1]


_below, _above = _goes_before("below", False), _goes_before("above", True)


# --- sums and products ------------------------------------------------------------------------------------------------


def _arithmetic(name, operate, of_booleans, doc):
    """``operate(builder, integral, x, y)`` of real numbers makes an operator of numbers of one type."""

    def of_floats(context, builder, plain, x, y):
        if plain != types.float16:
            return operate(builder, False, x, y)
        if _is_gpu(context):  # Numba's own operators would have a library linked
            kind = ir.FunctionType(x.type, [x.type, y.type])
            return builder.call(ir.InlineAsm(kind, f"{name[:3]}.rn.f16 $0, $1, $2;", "=h,h,h"), [x, y])
        wide = [_wide(context, builder, plain, each) for each in (x, y)]
        return convert(context, builder, operate(builder, False, *wide), types.float32, plain)

    def of_complex(context, builder, plain, x, y):
        (a, b), (c, d) = unpack(builder, x, 2), unpack(builder, y, 2)
        if name == "add":
            return complex_value(context, builder, plain, builder.fadd(a, c), builder.fadd(b, d))
        real = builder.fsub(builder.fmul(a, c), builder.fmul(b, d))
        return complex_value(context, builder, plain, real, builder.fadd(builder.fmul(a, d), builder.fmul(b, c)))

    def twin(x, y):
        x = np.asarray(x)
        with np.errstate(all="ignore"):
            return getattr(np, name)(x, np.asarray(y).astype(x.dtype))[()]

    def define(typingctx, x, y):
        plain, result = _plain(x), types.unliteral(x)

        def codegen(context, builder, signature, args):
            a, b = args[0], convert(context, builder, args[1], _plain(y), plain)
            if isinstance(plain, types.Complex):
                return of_complex(context, builder, plain, a, b)
            if isinstance(plain, types.Float):
                return of_floats(context, builder, plain, a, b)
            if isinstance(plain, types.Boolean):
                return getattr(builder, of_booleans)(a, b)
            return operate(builder, True, a, b)

        return result(x, y), codegen

    define.__name__, define.__doc__ = name, doc
    return instruction(twin, beside_gpu=True)(define)


add = _arithmetic(
    "add", lambda builder, integral, x, y: (builder.add if integral else builder.fadd)(x, y), "or_",
    "x + y in the type of x, as NumPy adds two numbers of one dtype.",
)  # fmt: skip
multiply = _arithmetic(
    "multiply", lambda builder, integral, x, y: (builder.mul if integral else builder.fmul)(x, y), "and_",
    "x * y in the type of x, as NumPy multiplies two numbers of one dtype.",
)  # fmt: skip

# --- the order of numpy.sort ------------------------------------------------------------------------------------------


def _sorts_before(x, y):
    """The twin of `ascending`."""
    x, y = np.asarray(x), np.asarray(y)
    if x.dtype.kind == "c":
        if x.real == y.real or (x.real != x.real and y.real != y.real):
            return bool(x.imag < y.imag or (x.imag == x.imag and y.imag != y.imag))
        if x.imag != x.imag and y.imag == y.imag and x.real == x.real and y.real == y.real:
            return False
        if x.imag == x.imag and y.imag != y.imag and x.real == x.real and y.real == y.real:
            return True
        return bool(x.real < y.real or (x.real == x.real and y.real != y.real))
    return bool(x < y or (x == x and y != y))


@instruction(_sorts_before, beside_gpu=True)
def ascending(typingctx, x, y):
    """Whether x stands before y where ``numpy.sort`` puts them: NaN is last."""
    plain = _plain(x)

    def before(context, builder, part, a, b):
        less = _less(context, builder, part, a, b)
        first, second = (_is_nan(context, builder, part, each) for each in (a, b))
        return builder.or_(less, builder.and_(builder.not_(first), second))

    def codegen(context, builder, signature, args):
        a, b = args[0], convert(context, builder, args[1], _plain(y), plain)
        if not isinstance(plain, types.Complex):
            return before(context, builder, plain, a, b)
        # Numbers with NaN in the imaginary part stand behind all without, those with NaN in the real part at the end.
        (p, q), (r, s) = unpack(builder, a, 2), unpack(builder, b, 2)
        real = plain.underlying_float
        nan = [_is_nan(context, builder, real, each) for each in (p, q, r, s)]
        same = builder.or_(builder.fcmp_ordered("==", p, r), builder.and_(nan[0], nan[2]))
        numbers = builder.not_(builder.or_(nan[0], nan[2]))
        differ = builder.and_(numbers, builder.xor(nan[1], nan[3]))
        found = builder.select(differ, nan[3], before(context, builder, real, p, r))
        return builder.select(same, before(context, builder, real, q, s), found)

    return types.boolean(x, y), codegen


@kernel_function
def descending(x, y):
    """Whether x stands before y in the reverse order of ``numpy.sort``: NaN is first."""
    return ascending(y, x)


# --- symmetry ---------------------------------------------------------------------------------------------------------


def _symmetric(value):
    return np.asarray(value).dtype.kind != "c"


@instruction(_symmetric, beside_gpu=True)
def symmetric(typingctx, value):
    """Whether `minimum` and `maximum` of numbers like this give the same bits in either order: of all but complex."""
    answer = not isinstance(_plain(value), types.Complex)
    return types.boolean(value), lambda context, builder, signature, args: _truth(answer)


@kernel_function
def first_minimum(pair, other):
    """Of two pairs (value, index) the one whose value is smaller; of equal values, the one of smaller index."""
    if _below(other[0], pair[0]) or (not _below(pair[0], other[0]) and other[1] < pair[1]):
        return other
    return pair


@kernel_function
def first_maximum(pair, other):
    """Of two pairs (value, index) the one whose value is larger; of equal values, the one of smaller index."""
    if _above(other[0], pair[0]) or (not _above(pair[0], other[0]) and other[1] < pair[1]):
        return other
    return pair

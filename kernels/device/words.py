"""Values as words of 32 bits, which is how they travel between threads.

A value is a number of Numba's, a NumPy scalar (`kernels.device.scalar`), or a tuple of values. Its parts take a word
each; those of 64 bits take two, and complex numbers what their two parts take.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError

from .instructions import instruction, kernel_function
from .ptx import declared
from .scalar import complex_value, convert, unpack, unwrapped

WORD = ir.IntType(32)
_NUMBERS = (types.Boolean, types.Integer, types.Float, types.Complex)


def parts(native):
    """The plain types of the numbers in a value of this type, from left to right."""
    if isinstance(native, types.BaseTuple):
        return [part for each in native for part in parts(each)]
    plain = unwrapped(types.unliteral(native))
    if not isinstance(plain, _NUMBERS):
        raise TypingError(f"threads exchange numbers, NumPy scalars and tuples of them, not {native}")
    return [plain]


def count(native):
    """How many words a value of this type takes."""
    return sum(2 if _bits(part) == 64 else 1 for plain in parts(native) for part in _reals(plain))


def _reals(plain):
    return [plain.underlying_float] * 2 if isinstance(plain, types.Complex) else [plain]


def _bits(plain):
    return 1 if isinstance(plain, types.Boolean) else plain.bitwidth


def _flat(builder, native, value):
    """The numbers in a value of LLVM, with their plain types."""
    if not isinstance(native, types.BaseTuple):
        return [(unwrapped(types.unliteral(native)), value)]
    each = zip(native, unpack(builder, value, len(native)), strict=True)
    return [found for part, element in each for found in _flat(builder, part, element)]


def _built(context, builder, native, numbers):
    """The value of LLVM of this type from an iterator over its numbers."""
    if not isinstance(native, types.BaseTuple):
        return next(numbers)
    return context.make_tuple(builder, native, [_built(context, builder, part, numbers) for part in native])


def pack(builder, native, value):
    """The words of a value of LLVM."""
    found = []
    for plain, number in _flat(builder, native, value):
        reals = unpack(builder, number, 2) if isinstance(plain, types.Complex) else [number]
        for part, real in zip(_reals(plain), reals, strict=True):
            width = ir.IntType(_bits(part))
            pattern = builder.bitcast(real, width) if real.type != width else real
            if width.width < 32:
                pattern = builder.zext(pattern, WORD)
            found.append(builder.trunc(pattern, WORD) if width.width == 64 else pattern)
            if width.width == 64:
                found.append(builder.trunc(builder.lshr(pattern, width(32)), WORD))
    return found


def unpacked(context, builder, native, words):
    """The value of LLVM of a type from its words."""
    words = iter(words)

    def real(part):
        width, word = ir.IntType(_bits(part)), next(words)
        if width.width == 64:
            upper = builder.shl(builder.zext(next(words), width), width(32))
            word = builder.or_(builder.zext(word, width), upper)
        elif width.width < 32:
            word = builder.trunc(word, width)
        wanted = context.get_value_type(part)
        return builder.bitcast(word, wanted) if wanted != width else word

    def number(plain):
        reals = [real(part) for part in _reals(plain)]
        return complex_value(context, builder, plain, *reals) if len(reals) == 2 else reals[0]

    return _built(context, builder, native, iter([number(plain) for plain in parts(native)]))


# --- twins ------------------------------------------------------------------------------------------------------------


def _words_of(value):
    if isinstance(value, tuple):
        return sum(map(_words_of, value), ())
    number = np.array([value])
    small = number.itemsize < 4
    return (np.int32(number.view(f"u{number.itemsize}")[0]),) if small else tuple(number.view(np.int32))


def _value_of(words, like):
    words = iter(words)

    def made(like):
        if isinstance(like, tuple):
            return rebuilt(like, map(made, like))
        dtype = np.asarray(like).dtype
        taken = [int(next(words)) & 0xFFFFFFFF for _ in range(max(dtype.itemsize // 4, 1))]
        return np.array(taken, np.uint32).view(np.uint8)[: dtype.itemsize].view(dtype)[0]

    return made(like)


def rebuilt(like, numbers):
    """A tuple of the kind that another is, a named one too."""
    return type(like)(*numbers) if hasattr(like, "_fields") else tuple(numbers)


def _cast(value, like):
    if isinstance(like, tuple):
        return rebuilt(like, map(_cast, value, like))
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(np.asarray(like).dtype)[()]


def _with_word(words, k, word):
    return (*words[: int(k)], word, *words[int(k) + 1 :])


# --- instructions -----------------------------------------------------------------------------------------------------


@instruction(_words_of, beside_gpu=True)
def to_words(typingctx, value):
    """The words of a value, as a tuple of int32."""
    result = types.UniTuple(types.int32, count(value))

    def codegen(context, builder, signature, args):
        return context.make_tuple(builder, result, pack(builder, value, args[0]))

    return result(value), codegen


@instruction(_value_of, beside_gpu=True)
def from_words(typingctx, words, like):
    """The value of the type that `like` has, from its words."""
    result = types.unliteral(like)

    def codegen(context, builder, signature, args):
        return unpacked(context, builder, result, unpack(builder, args[0], len(words)))

    return result(words, like), codegen


@instruction(_with_word, beside_gpu=True)
def with_word(typingctx, words, k, word):
    """The same words but the k-th."""

    def codegen(context, builder, signature, args):
        place = context.cast(builder, args[1], k, types.int32)
        new = context.cast(builder, args[2], word, types.int32)
        found = [
            builder.select(builder.icmp_signed("==", place, WORD(i)), new, old)
            for i, old in enumerate(unpack(builder, args[0], len(words)))
        ]
        return context.make_tuple(builder, words, found)

    return words(words, k, word), codegen


@instruction(_cast, beside_gpu=True)
def cast_like(typingctx, value, like):
    """A value in the type of another, number by number, as C casts."""
    result, have, want = types.unliteral(like), parts(value), parts(like)
    if len(have) != len(want):
        raise TypingError(f"the operator makes {value} of values that are {like}")

    def codegen(context, builder, signature, args):
        found = [
            convert(context, builder, number, plain, wanted)
            for (plain, number), wanted in zip(_flat(builder, value, args[0]), want, strict=True)
        ]
        return _built(context, builder, result, iter(found))

    return result(value, like), codegen


@kernel_function
def as_int32(value):
    """A number as int32; Numba's sums of int32 are int64, and the hardware has no comparison of these."""
    return cast_like(value, np.int32(0))


# --- shared memory ----------------------------------------------------------------------------------------------------


def slots(typingctx, words):
    """Shared memory of a block for 64 times these words: word k of place i is element ``64 k + i``, an int32."""

    def codegen(context, builder, signature, args):
        kind = ir.ArrayType(WORD, 64 * len(words))
        memory = ir.GlobalVariable(builder.module, kind, builder.module.get_unique_name("slots"), addrspace=3)
        memory.linkage, memory.initializer, memory.align = "internal", ir.Constant(kind, ir.Undefined), 16
        # As a pointer it may leave the function, which an array may not, and its indices do not wrap around.
        return builder.addrspacecast(memory, WORD.as_pointer())

    return types.CPointer(types.int32)(words), codegen


slots = declared(slots, "slots")


@kernel_function
def put_words(memory, place, words):
    """Lay words down at a place of `slots`."""
    for k in range(len(words)):
        memory[64 * k + place] = words[k]


@kernel_function
def get_words(memory, place, like):
    """The words at a place of `slots`, as many as `like` has."""
    found = like
    for k in range(len(like)):
        found = with_word(found, k, memory[64 * k + place])
    return found

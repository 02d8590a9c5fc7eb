"""NumPy scalars inside kernels.

Numba types ``float32 * 2.0`` as float64 and ``int32 * int32`` as int64; NumPy does neither. Here a Numba type,
`Scalar`, gives a value inside a kernel the arithmetic of a NumPy scalar: two Scalars promote as their dtypes do,
and Numba's plain int64, float64 and complex128 - what a literal or a loop variable is - are the weak Python
scalars of NEP 50. So one Python function of scalars means the same to NumPy, to the GPU, and to the simulator, where
it runs as Python on NumPy scalars or is compiled with the types of this file::

    def gelu(x):
        return 0.5 * x * (1 + erf(x * 0.7071067811865476))      # float32 in, float32 throughout

Booleans stay Numba's own. The loop of every operation (which dtypes it computes in and returns) is NumPy's
answer, `numpy.ufunc.resolve_dtypes`; nothing here repeats NumPy's tables.

Source: NEP 50, "Promotion rules for Python scalars", https://numpy.org/neps/nep-0050-scalar-promotion.html
"""

import functools
import operator

import numpy as np

from .instructions import instruction, running
from .target import (
    Conversion,
    intrinsic,
    lower_builtin,
    lower_cast,
    numpy_support,
    overload,
    overload_attribute,
    register_model,
    typeof,
    types,
)

#: float16 arithmetic runs in float32 and is rounded once, as NumPy's half loops do; + - * / and sqrt are
#: unharmed by the double rounding, since 24 >= 2 * 11 + 2 (Figueroa 1995).
COMPUTE = {np.dtype(np.float16): np.dtype(np.float32)}


def compute_dtype(dtype):
    """The dtype that a loop over `dtype` computes in."""
    return COMPUTE.get(dtype, dtype)


@functools.lru_cache(maxsize=8192)
def call(function, ins, outs):
    """A device function ``call(xs)`` that runs `function` on the tuple `xs` as one NumPy loop would.

    The arguments are converted to the dtypes `ins`, the results to the dtypes `outs`; one result is returned
    as it is, several as a tuple. Among `ins`, Python's `int`, `float` and `complex` are weak scalars.
    """
    compute = tuple(d if isinstance(d, type) else compute_dtype(d).type for d in ins)
    results = tuple(d.type for d in outs)

    def twin(xs):
        outside, running.scalar_function = running.scalar_function, True
        try:
            with np.errstate(all="ignore"):
                ys = function(*(t(x) for t, x in zip(compute, xs, strict=True)))
                return results[0](ys) if len(results) == 1 else tuple(t(y) for t, y in zip(results, ys, strict=True))
        finally:
            running.scalar_function = outside

    return instruction(twin)(_definition(function, ins, outs))


_NUMBERS = (types.Boolean, types.Integer, types.Float, types.Complex)


class Scalar(types.Type):
    """The Numba type of a NumPy scalar of the native type `native` (a number, never a boolean)."""

    def __init__(self, native):
        self.native = native
        super().__init__(f"Scalar({native})")

    @property
    def key(self):
        """What tells one Scalar from another."""
        return self.native

    def unify(self, typingctx, other):
        """One variable, two branches: the dtype that adding the two would give."""
        if isinstance(other, (Scalar, *_NUMBERS)):
            return scalar_type(resolve(np.add, (self, other))[0][0])
        return None

    def can_convert_to(self, typingctx, other):
        """Whether a call may pass this for `other`."""
        return Conversion.unsafe if isinstance(other, (Scalar, *_NUMBERS)) else None

    def can_convert_from(self, typingctx, other):
        """Whether a call may pass `other` for this."""
        return Conversion.unsafe if isinstance(other, _NUMBERS) else None


register_model(Scalar)(lambda manager, scalar: manager.lookup(scalar.native))


def native_type(dtype):
    """Numba's plain type of a NumPy dtype."""
    return numpy_support.from_dtype(np.dtype(dtype))


def scalar_type(dtype):
    """The type of a NumPy scalar of `dtype` inside a kernel."""
    return wrapped(native_type(dtype))


def wrapped(native):
    """The Scalar of a native type, a boolean itself."""
    return native if native is types.boolean else Scalar(native)


def unwrapped(ty):
    """The native type of a Scalar, any other type itself."""
    return ty.native if isinstance(ty, Scalar) else ty


def convert(context, builder, value, fromty, toty):
    """`value` as `toty`, by C's rules, which are NumPy's ``casting="unsafe"``."""
    fromty, toty = unwrapped(fromty), unwrapped(toty)
    if fromty == toty:
        return value
    if types.float16 in (fromty, toty) and types.float32 not in (fromty, toty):
        value = convert(context, builder, value, fromty, types.float32)
        return convert(context, builder, value, types.float32, toty)
    if isinstance(fromty, types.Complex) and not isinstance(toty, types.Complex):
        real, imag = (builder.extract_value(value, k) for k in (0, 1))
        if toty is types.boolean:
            part = fromty.underlying_float
            return builder.or_(*(context.cast(builder, x, part, toty) for x in (real, imag)))
        return convert(context, builder, real, fromty.underlying_float, toty)
    return context.cast(builder, value, fromty, toty)


def _lower_conversion(context, builder, fromty, toty, value):
    return convert(context, builder, value, fromty, toty)


for _number in _NUMBERS:
    lower_cast(Scalar, _number)(_lower_conversion)
    lower_cast(_number, Scalar)(_lower_conversion)
lower_cast(Scalar, Scalar)(_lower_conversion)


@lower_builtin(bool, Scalar)
def _truth(context, builder, signature, args):
    return convert(context, builder, args[0], signature.args[0], types.boolean)


def _operand(ty):
    """What NumPy's type resolution is told of a value: a dtype, or a Python type where it is weak."""
    if isinstance(ty, Scalar):
        return numpy_support.as_dtype(ty.native)
    for numba_type, weak in zip(_NUMBERS, (np.dtype(bool), int, float, complex), strict=True):
        if isinstance(ty, numba_type):
            return weak
    return None


@functools.cache
def resolve(ufunc, operand_types):
    """Dtypes in and dtypes out of the loop of `ufunc` that NumPy takes for these Numba types."""
    loop = ufunc.resolve_dtypes((*map(_operand, operand_types), *(None,) * ufunc.nout))
    return loop[: ufunc.nin], loop[ufunc.nin :]


def _definition(function, ins, outs):
    compute = tuple(native_type(d) if isinstance(d, type) else scalar_type(compute_dtype(d)) for d in ins)
    results = tuple(scalar_type(d) for d in outs)
    # A result is rounded to its dtype first: float16 products of a fused expression round as NumPy's do.
    returned = results[0] if len(results) == 1 else types.Tuple(results)

    def call(typingctx, xs):
        callee = typingctx.resolve_value_type(function)
        inner = typingctx.resolve_function_type(callee, compute, {})

        def codegen(context, builder, signature, args):
            implementation = context.get_function(callee, inner)
            context.add_linking_libs(getattr(implementation, "libs", ()))
            fixed, star = _taken(inner.args)
            values = [
                convert(context, builder, convert(context, builder, x, given, wanted), wanted, taken)
                for x, given, wanted, taken in zip(
                    unpack(builder, args[0], len(xs)), xs, compute, (*fixed, *(star or ())), strict=True
                )
            ]
            if star is not None:
                values[len(fixed) :] = [context.make_tuple(builder, star, values[len(fixed) :])]
            result = implementation(builder, values)
            if len(results) == 1:
                return convert(context, builder, result, inner.return_type, returned)
            parts = [
                convert(context, builder, y, have, want)
                for y, have, want in zip(unpack(builder, result, len(results)), inner.return_type, results, strict=True)
            ]
            return context.make_tuple(builder, returned, parts)

        return returned(xs), codegen

    return call


def _taken(args):
    """The types that a callee's own parameters have, and the tuple of what is left for ``*args``, or None."""
    if args and isinstance(args[-1], types.StarArgTuple | types.StarArgUniTuple):
        return args[:-1], args[-1]
    return args, None


def unpack(builder, value, count):
    """The elements of an LLVM tuple."""
    return [builder.extract_value(value, k) for k in range(count)]


def _is_ours(operand_types):
    """Whether an operation is ours: a Scalar takes part, and all else is a number."""
    # `in` would compare None with dtypes, and numpy.dtype(None) is float64.
    numbers = all(_operand(t) is not None for t in operand_types)
    return numbers and any(isinstance(t, Scalar) for t in operand_types)


def overload_ufunc(ufunc, implementation, aliases=()):
    """Let `ufunc` and its `aliases` (operators, `math` functions) be called on Scalars inside kernels.

    Parameters
    ----------
    ufunc : numpy.ufunc
    implementation : callable
        ``implementation(ins)`` returns the device function of the loop over these dtypes, or None.
    aliases : sequence of callables
    """

    def typed(*operand_types):
        if not _is_ours(operand_types):
            return None
        ins, outs = resolve(ufunc, operand_types)
        function = implementation(ins)
        return function and call(function, ins, outs)

    def unary(x):
        run = typed(x)
        return run and (lambda x: run((x,)))

    def binary(x, y):
        run = typed(x, y)
        return run and (lambda x, y: run((x, y)))

    def ternary(x, y, z):
        run = typed(x, y, z)
        return run and (lambda x, y, z: run((x, y, z)))

    for function in (ufunc, *aliases):
        overload(function)((unary, binary, ternary)[ufunc.nin - 1])


def _as(native):
    """A device function that turns a value into a plain number of Numba's."""

    @intrinsic
    def cast(typingctx, x):
        def codegen(context, builder, signature, args):
            return convert(context, builder, args[0], x, native)

        return native(x), codegen

    return cast


def _overload_conversion(function, weak):
    """``int(x)``, ``float(x)`` and truth: the one way from a Scalar back to Python's weak scalars."""
    cast = _as(weak)

    @overload(function)
    def conversion(x):
        return (lambda x: cast(x)) if isinstance(x, Scalar) else None


for _function, _weak in ((operator.truth, types.boolean), (int, types.int64), (float, types.float64)):
    _overload_conversion(_function, _weak)


def _overload_extreme(function, goes_first):
    """``min(x, y)`` and ``max(x, y)``, of which the second wins where it goes first."""

    @overload(function)
    def extreme(x, y):
        return (lambda x, y: y if goes_first(y, x) else x) if _is_ours((x, y)) else None


_overload_extreme(min, operator.lt)
_overload_extreme(max, operator.gt)


def complex_value(context, builder, native, real, imag):
    """The LLVM value of real + imag i."""
    z = context.make_complex(builder, native)
    z.real, z.imag = real, imag
    return z._getvalue()


def _part(index):
    @intrinsic
    def part(typingctx, z):
        ty = z.native
        is_complex = isinstance(ty, types.Complex)

        def codegen(context, builder, signature, args):
            if is_complex:
                return builder.extract_value(args[0], index)
            return args[0] if index == 0 else context.get_constant_null(ty)

        return Scalar(ty.underlying_float if is_complex else ty)(z), codegen

    return part


def _overload_part(name, index):
    part = _part(index)

    @overload_attribute(Scalar, name)
    def attribute(z):
        return lambda z: part(z)


_overload_part("real", 0)
_overload_part("imag", 1)


def _is_literal(ty):
    """Whether a kernel's source holds this number; Numba tells literals from variables for integers alone."""
    return isinstance(ty, types.Literal) or not isinstance(ty, types.Type)


def overload_function(function, nin, loop, defaults=()):
    """Let kernels call a public `function` on plain numbers (results plain) and on Scalars (results Scalars).

    Parameters
    ----------
    function : callable
    nin : int
        Number of arguments, at most 4.
    loop : callable
        ``loop(dtypes) -> (device function, ins, outs)``, or None where there is no such loop.
    defaults : tuple of numbers
        Of the last parameters.
    """

    def typed(*operand_types):
        # Numba leaves an argument that was not given to Python's own default: a number, not a type.
        given = [types.unliteral(t) if isinstance(t, types.Type) else typeof(t) for t in operand_types]
        operands = tuple(map(_operand, given))
        if any(t is None for t in operands):
            return None
        plain = not any(isinstance(t, Scalar) for t in given)
        if plain:
            operands = tuple(
                weak if _is_literal(t) else numpy_support.as_dtype(have)
                for t, have, weak in zip(operand_types, given, operands, strict=True)
            )
        found = loop(operands)
        if found is None:
            return None
        run = call(*found)
        return _plainly(run, found[2]) if plain else run

    def unary(x):
        run = typed(x)
        return run and defaulted(lambda x: run((x,)))

    def binary(x, y):
        run = typed(x, y)
        return run and defaulted(lambda x, y: run((x, y)))

    def ternary(x, y, z):
        run = typed(x, y, z)
        return run and defaulted(lambda x, y, z: run((x, y, z)))

    def quaternary(x, y, z, w):
        run = typed(x, y, z, w)
        return run and defaulted(lambda x, y, z, w: run((x, y, z, w)))

    def defaulted(function):
        function.__defaults__ = defaults or None
        return function

    overload(function)(defaulted((unary, binary, ternary, quaternary)[nin - 1]))


def _plainly(run, outs):
    """`run` with plain numbers for results."""
    natives = tuple(map(native_type, outs))
    returned = natives[0] if len(natives) == 1 else types.Tuple(natives)

    @intrinsic
    def plainly(typingctx, xs):
        callee = typingctx.resolve_value_type(run)
        inner = typingctx.resolve_function_type(callee, (xs,), {})

        def codegen(context, builder, signature, args):
            # A Scalar and its native type are one LLVM value.
            return context.get_function(callee, inner)(builder, args)

        return returned(xs), codegen

    return plainly

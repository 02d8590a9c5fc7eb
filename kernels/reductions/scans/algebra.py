"""What a scan adds up, and how: the operator on states, and on what is carried from tile to tile.

A *state* is a tuple of NumPy scalars, one for each array that is scanned. Between tiles a scan carries something that
may hold more than a state: sums of floats and complex numbers are carried as unevaluated sums ``high + low`` of two
floats,

    (a + a') + (b + b')  ->  s = fl(a + b), e = a + b - s exactly, t = fl(e + fl(a' + b')), high + low = s + t exactly

whose relative error is 4 u**2 a step (Joldes, Muller & Popescu 2017), and applied as ``high + (low + x)``. So what lies
before a tile adds one rounding to an element, however long the row.

References
----------
Knuth 1998, "The Art of Computer Programming", volume 2, 4.2.2, theorem B.
Joldes, Muller & Popescu 2017, "Tight and rigorous error bounds for basic building blocks of double-word arithmetic",
https://doi.org/10.1145/3121432.
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...device.functions import implementation
from ...device.instructions import device_function, instruction, kernel_function
from ...device.numeric import like
from ...device.primitives import make_complex
from ...device.scalar import call, compute_dtype, convert, scalar_type, types, unpack
from ...device.unrolled import each

#: What Python's operators and functions mean of NumPy scalars.
UFUNCS = {
    operator.add: np.add, operator.mul: np.multiply, operator.and_: np.bitwise_and, operator.or_: np.bitwise_or,
    operator.xor: np.bitwise_xor, max: np.maximum, min: np.minimum,
}  # fmt: skip


class Algebra(NamedTuple):
    """Device functions of a scan; two scans with equal ones share their kernels.

    Attributes
    ----------
    lift : callable
        ``lift(elements)``: the state of a tuple of elements.
    op : callable
        ``op(a, b)``: the state of what `a` and `b` are the states of, `a` coming first.
    carry : callable
        ``carry(a)``: what is carried of a state.
    join : callable
        `op`, of what is carried.
    apply : callable
        ``apply(c, a)``: the state of what is carried and what follows it.
    settle : callable
        ``settle(c)``: the state of what is carried.
    lower : callable
        ``lower(a)``: the tuple of results in a state.
    words, carry_words : int
        Words of 32 bits in a state and in what is carried of it.
    """

    lift: Callable
    op: Callable
    carry: Callable
    join: Callable
    apply: Callable
    settle: Callable
    lower: Callable
    words: int
    carry_words: int


@functools.lru_cache(maxsize=1024)
def as_dtypes(dtypes):
    """``convert(values)``: a tuple of values as NumPy scalars of these dtypes."""

    def twin(values):
        return tuple([d.type(value) for d, value in zip(dtypes, values, strict=True)])

    @instruction(twin)
    def converted(typingctx, values):
        kinds = [scalar_type(d) for d in dtypes]

        def codegen(context, builder, signature, args):
            found = unpack(builder, args[0], len(kinds))
            found = [convert(context, builder, x, t, w) for x, t, w in zip(found, values, kinds, strict=True)]
            return context.make_tuple(builder, types.Tuple(kinds), found)

        return types.Tuple(kinds)(values), codegen

    return converted


@device_function
def same(x):
    """x as it is."""
    return x


def words_of(dtypes):
    """Words of 32 bits that values of these dtypes travel in."""
    return sum(-(-d.itemsize // 4) for d in dtypes)


@functools.lru_cache(maxsize=1024)
def of_operator(op, dtypes):
    """The algebra of an associative operator on states of these dtypes, which is also how it is carried.

    Parameters
    ----------
    op : callable
        Of two NumPy scalars, or, where there are several dtypes, of two tuples of them: a NumPy ufunc, one of Python's
        operators that `UFUNCS` has, or a Python function.
    dtypes : tuple of numpy.dtype
    """
    dtypes = tuple(map(compute_dtype, dtypes))
    lift = as_dtypes(dtypes)
    ufunc = UFUNCS.get(op, op)
    if len(dtypes) == 1:
        function = implementation(ufunc, dtypes * 2) if isinstance(ufunc, np.ufunc) else device_function(op)
        if function is None:
            raise TypeError(f"op: {ufunc.__name__} is not defined for dtype {dtypes[0]}")
        combine = call(function, dtypes * 2, dtypes)

        @device_function
        def joined(a, b):
            return (combine((a[0], b[0])),)
    else:
        of_tuples = device_function(op)

        @device_function
        def joined(a, b):
            return lift(of_tuples(a, b))

    words = words_of(dtypes)
    return Algebra(lift, joined, same, joined, joined, same, same, words, words)


@functools.lru_cache(maxsize=1024)
def side_by_side(algebra, count):
    """The algebra of `count` neighbours that are scanned apart from one another."""
    lift, op, carry, join, apply, settle, lower = (each(function, count) for function in algebra[:7])

    @kernel_function
    def lifted(elements):
        return lift((elements,), ())

    @kernel_function
    def combined(a, b):
        return op((a, b), ())

    @kernel_function
    def carried(a):
        return carry((a,), ())

    @kernel_function
    def joined(a, b):
        return join((a, b), ())

    @kernel_function
    def applied(c, a):
        return apply((c, a), ())

    @kernel_function
    def settled(c):
        return settle((c,), ())

    @kernel_function
    def lowered(a):
        return lower((a,), ())

    words, carry_words = count * algebra.words, count * algebra.carry_words
    return Algebra(lifted, combined, carried, joined, applied, settled, lowered, words, carry_words)


# --- sums of exponentials ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def of_sums_of_exponentials(dtype):
    """The algebra of log(exp(x) + exp(y)): a state is the largest x, and the sum of exponentials relative to it."""
    dtype = compute_dtype(dtype)
    lift, words = as_dtypes((dtype,)), words_of((dtype, dtype))

    @device_function
    def lifted(elements):
        x = lift(elements)[0]
        return x, like(1.0, x)

    return Algebra(
        lifted, _add_exponentials, same, _add_exponentials, _add_exponentials, same, _logarithm, words, words
    )


@device_function
def _add_exponentials(a, b):
    top, low = (a[0], b[0]) if a[0] > b[0] else (b[0], a[0])
    sum_, part = (a[1], b[1]) if a[0] > b[0] else (b[1], a[1])
    gap = low - top  # NaN for two equal infinities too, of which the second adds nothing that shows
    if gap == gap:
        sum_ = sum_ + part * np.exp(gap)
    elif low != top:
        sum_ = gap
    return top, sum_


@device_function
def _logarithm(a):
    return (a[0] + np.log(a[1]),)


# --- sums -------------------------------------------------------------------------------------------------------------


@device_function
def carried(x):
    """high + low of one number."""
    return x, like(0.0, x)


@device_function
def added(a, b):
    """high + low of the sum of two; where that is not finite, low is 0."""
    total = a[0] + b[0]
    part = total - a[0]
    error = (a[0] - (total - part)) + (b[0] - part)
    rest = error + (a[1] + b[1])
    high = total + rest
    low = rest - (high - total)
    if high - high == 0:
        return high, low
    return total, like(0.0, total)


@device_function
def applied(c, x):
    """The number nearest to c + x, but for the rounding of low + x."""
    return c[0] + (c[1] + x)


@functools.lru_cache(maxsize=64)
def of_sums(dtype):
    """The algebra of sums that are accumulated in a dtype."""
    dtype = compute_dtype(dtype)
    words = words_of((dtype,))
    if dtype.kind == "f":
        return Algebra(as_dtypes((dtype,)), _op, _carry, _join, _apply, _settle, same, words, 2 * words)
    if dtype.kind == "c":
        return Algebra(_lift_complex(dtype), _op_complex, _carry_complex, _join_complex, _apply_complex,
                       _settle_complex, _lower_complex, words, 2 * words)  # fmt: skip
    return of_operator(np.add, (dtype,))


@device_function
def _op(a, b):
    return (a[0] + b[0],)


@device_function
def _carry(a):
    return carried(a[0])


@device_function
def _join(a, b):
    return added(a, b)


@device_function
def _apply(c, a):
    return (applied(c, a[0]),)


@device_function
def _settle(c):
    return (c[0],)


@functools.cache
def _lift_complex(dtype):
    cast = as_dtypes((dtype,))

    @device_function
    def lift(elements):
        z = cast(elements)[0]
        return z.real, z.imag

    return lift


@device_function
def _op_complex(a, b):
    return a[0] + b[0], a[1] + b[1]


@device_function
def _carry_complex(a):
    return carried(a[0]), carried(a[1])


@device_function
def _join_complex(a, b):
    return added(a[0], b[0]), added(a[1], b[1])


@device_function
def _apply_complex(c, a):
    return applied(c[0], a[0]), applied(c[1], a[1])


@device_function
def _settle_complex(c):
    return c[0][0], c[1][0]


@device_function
def _lower_complex(a):
    return (make_complex(a[0], a[1]),)

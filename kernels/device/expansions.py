"""Sums as expansions: what one float64 has no room for, the next one holds.

An expansion is a tuple of three float64, whose exact sum is its value::

    s, e = two_sum(s, x)        s = fl(s + x), and s + e is s + x exactly
    t, f = two_sum(t, e)
    u, g = two_sum(u, f)

It holds sums without rounding as long as g is zero: of numbers whose digits, with those of the sum, are within about
159 bits of one another, and of many others. Where g is not, the last term becomes NaN, and stays so; infinities, NaN
and what overflows end as NaN too. A NaN hence says that the value is lost; without one it is never wrong.

Source: Knuth 1969, TAOCP 2, 4.2.2, theorem B (`two_sum`); Shewchuk 1997, "Adaptive precision floating-point
arithmetic", https://doi.org/10.1007/PL00009321; Boldo, Graillat & Muller 2017, "On the robustness of the 2Sum and
Fast2Sum algorithms", https://doi.org/10.1145/3054947 (no finite sum has an error term that is finite and wrong).
"""

import functools
import math

import numpy as np
from llvmlite import ir

from .functions import identity
from .instructions import device_function, instruction
from .primitives import fused_multiply_add
from .scalar import call, unpack
from .target import types

DOUBLE = np.dtype(np.float64)

#: The expansion of zero.
ZERO = (0.0, 0.0, 0.0)


@device_function
def two_sum(a, b):
    """fl(a + b), and the error of it, which is a float64 too."""
    s = a + b
    c = s - a
    return s, (a - (s - c)) + (b - c)


@device_function
def of_number(x):
    """The expansion of a float."""
    return x, 0.0, 0.0


@device_function
def insert(s, t, u, x):
    """An expansion and one more number."""
    s, e = two_sum(s, x)
    t, f = two_sum(t, e)
    u, g = two_sum(u, f)
    return s, t, (u if g == 0 else g * math.nan)


@device_function
def merge(s, t, u, x, y, z):
    """The sum of two expansions."""
    a, e = two_sum(s, x)
    b, f = two_sum(t, y)
    b, g = two_sum(b, e)
    if u == 0 and z == 0 and f == 0 and g == 0:
        return a, b, u
    s, t, u = insert(s, t, u, x)
    s, t, u = insert(s, t, u, y)
    return insert(s, t, u, z)


@device_function
def product(x, y):
    """x y as a sum of two float64, of which the second is NaN where two have no room for it."""
    p = x * y
    e = fused_multiply_add(x, y, -p)
    # Below 2**-969 digits of the error may lie beyond the smallest number.
    if abs(p) < 1e-280 and x != 0 and y != 0:
        e = e * math.nan
    return p, e


@device_function
def normalized(s, t, u):
    """The same value with s = fl(s + t) and t = fl(t + u); NaN where that does not come to an end."""
    for _ in range(5):
        t, u = two_sum(t, u)
        s, t = two_sum(s, t)
        t, u = two_sum(t, u)
        if s + t == s:
            return s, t, u
    return s * math.nan, t, u


@device_function
def to_double(s, t, u):
    """An expansion, rounded once to float64; NaN where it is lost.

    s is the result but where s + t lies half-way between two float64, and u decides for the other.
    """
    s, t, u = normalized(s, t, u)
    twice = t + t
    other = s + twice
    if other - s == twice and ((t > 0 and u > 0) or (t < 0 and u < 0)):
        return other
    return s


@functools.cache
def to_narrower(dtype):
    """``rounded(s, t, u)``: an expansion, rounded once to float32 or float16, as a float64; NaN where it is lost.

    What is half-way between two float16 is a float32, and what is between two float32 a float64: the rest of the value
    decides at these points alone.
    """
    single = call(identity, (DOUBLE,), (np.dtype(np.float32),))
    narrow = call(identity, (np.dtype(np.float32),), (np.dtype(dtype),))
    half = np.dtype(dtype) == np.float16

    @device_function
    def rounded(s, t, u):
        s, t, u = normalized(s, t, u)
        near = s
        if half:
            near = s * 0 + single((s,))
        rest = s - near if s != near else t
        found = s * 0 + narrow((single((near,)),))
        gap = near - found
        other = found + (gap + gap)
        if found - found != 0:  # infinite: it takes more to say whether rightly
            return found * math.nan
        if gap != 0 and ((rest > 0 and gap > 0) or (rest < 0 and gap < 0)) and single((other,)) == other:
            if narrow((single((other,)),)) == other:
                return other
        return found

    return rounded


# --- many numbers at once ---------------------------------------------------------------------------------------------


@device_function
def _take_narrow(s, t, u, x, y, z):
    """Add x, of few digits, to s alone; what is left over."""
    s, e = two_sum(s, x)
    return s, t, e


@device_function
def _take(s, t, u, x, y, z):
    """Add x to s and t; what is left over."""
    s, e = two_sum(s, x)
    t, f = two_sum(t, e)
    return s, t, f


@device_function
def _take_product(s, t, u, x, y, z):
    """Add x + y to s and t; what is left over."""
    s, e = two_sum(s, x)
    t, f = two_sum(t, e)
    t, g = two_sum(t, y)
    return s, t, abs(f) + abs(g)


@device_function
def _insert_product(s, t, u, x, y, z):
    s, t, u = insert(s, t, u, x)
    return insert(s, t, u, y)


@device_function
def _insert_number(s, t, u, x, y, z):
    return insert(s, t, u, x)


_STATE = (DOUBLE,) * 3


@functools.cache
def absorber(kind, lift, rows, groups, masked):
    """``absorb(states, lanes, first, step, count)``: expansions, and all lanes that a `gatherer` found.

    All are tried with less than three terms, which is 6 or 12 operations a number; where these leave something over,
    rarely, all are added anew.

    Parameters
    ----------
    kind : {"narrow", "wide", "product"}
        Of the numbers: float32 or float16, float64, or two float64 for each product.
    lift : device function
        The expansion of a lane.
    rows : int
        How many rows the lanes of a group belong to: 1, or each lane to one of its own.
    groups : int
    masked : bool
        Whether groups past the end are left out.
    """
    quick = {"narrow": _take_narrow, "wide": _take, "product": _take_product}[kind]
    slow = _insert_product if kind == "product" else _insert_number
    quick, slow = (call(function, _STATE * 2, _STATE) for function in (quick, slow))

    def twin(states, lanes, first, step, count):
        width = len(lanes) // groups
        lifted = [lift(lane) for lane in lanes]
        lifted = [x for k, x in enumerate(lifted) if not masked or int(first) + k // width * int(step) < int(count)]
        found = ()
        for row in range(rows):
            own = state = tuple(states[3 * row : 3 * row + 3])
            over = False
            for x in lifted[row::rows]:
                *state, left = quick((*state[:2], own[2], *x))
                over = over or left != 0
            state = (*state[:2], own[2])
            if over:
                state = own
                for x in lifted[row::rows]:
                    state = slow((*state, *x))
            found += state
        return found

    @instruction(twin)
    def absorb(typingctx, states, lanes, first, step, count):
        width = len(lanes) // groups

        def resolved(function, *given):
            callee = typingctx.resolve_value_type(function)
            signature = typingctx.resolve_function_type(callee, given, {})

            def run(context, builder, *values):
                implementation = context.get_function(callee, signature)
                context.add_linking_libs(getattr(implementation, "libs", ()))
                return implementation(builder, values)

            return run, signature.return_type

        lifted, number = resolved(lift, lanes[0])
        pair = types.UniTuple(number[0], 6)
        tried, added = resolved(quick, pair)[0], resolved(slow, pair)[0]

        def codegen(context, builder, signature, args):
            numbers, at, word = [], args[2], ir.IntType(64)
            zero = ir.Constant(ir.DoubleType(), 0.0)
            for k, lane in enumerate(unpack(builder, args[1], len(lanes))):
                x = unpack(builder, lifted(context, builder, lane), 3)
                if masked:
                    inside = builder.icmp_unsigned("<", at, args[4])
                    x = [builder.select(inside, part, zero) for part in x]
                    at = builder.add(at, args[3]) if (k + 1) % width == 0 else at
                numbers.append(x)
            given = unpack(builder, args[0], len(states))

            def fold(function, state, row, each=None):
                for x in numbers[row::rows]:
                    both = context.make_tuple(builder, pair, [*state, *x])
                    state = unpack(builder, function(context, builder, both), 3)
                    if each:
                        state = each(state)
                return state

            left, before, quickly = [], [given[3 * row : 3 * row + 3] for row in range(rows)], []
            for row in range(rows):

                def keep(state, own=before[row]):
                    left.append(builder.bitcast(state[2], word))
                    return [*state[:2], own[2]]

                quickly += fold(tried, before[row], row, keep)
            over = left[0]
            for each in left[1:]:
                over = builder.or_(over, each)
            tried_in = builder.block
            with builder.if_then(builder.icmp_unsigned("!=", over, word(0)), likely=False):
                slowly = [part for row in range(rows) for part in fold(added, before[row], row)]
                slow_in = builder.block
            found = []
            for fast, sure in zip(quickly, slowly, strict=True):
                part = builder.phi(ir.DoubleType())
                part.add_incoming(fast, tried_in)
                part.add_incoming(sure, slow_in)
                found.append(part)
            return context.make_tuple(builder, states, found)

        return states(states, lanes, first, step, count), codegen

    return absorb

"""Folding what one thread has loaded: lanes are lifted to states, and states merged by a balanced tree.

A fold is made of three functions of NumPy scalars, which a kernel's factory is given::

    lift(*lane) -> state        of one element (of several arrays)
    merge(*a, *b) -> state      of two states; associative, and a is what comes first in memory
    finish(*state, *extras)     -> result

A state is a tuple of scalars with fixed dtypes. As a tree of depth log2(n) merges n elements, an error grows with the
logarithm of their number, not with the number.
"""

import functools

from llvmlite import ir
from numba import types

from .instructions import instruction
from .memory import loader, unraveler
from .scalar import call, scalar_type, unpack


@functools.lru_cache(maxsize=8192)
def tupled(function, ins, outs):
    """``f(xs)``: `call` with a tuple for a result, of one scalar too."""
    inner = call(function, ins, outs)
    if len(outs) > 1:
        return inner
    result = types.Tuple((scalar_type(outs[0]),))

    @instruction(lambda xs: (inner(xs),))
    def run(typingctx, xs):
        value = _Callee(typingctx, inner, xs)
        return result(xs), lambda context, builder, signature, args: context.make_tuple(
            builder, result, [value(context, builder, args[0])]
        )

    return run


class _Callee:
    """A device function as codegen calls it."""

    def __init__(self, typingctx, function, *types):
        self._type = typingctx.resolve_value_type(function)
        self._signature = typingctx.resolve_function_type(self._type, types, {})
        self.result = self._signature.return_type

    def __call__(self, context, builder, *values):
        implementation = context.get_function(self._type, self._signature)
        context.add_linking_libs(getattr(implementation, "libs", ()))
        return implementation(builder, values)


def merger(function, state):
    """``merge(a, b)`` of two tuples, from a function of their scalars; `state` are their dtypes."""
    inner = tupled(function, state + state, state)

    @instruction(lambda a, b: inner(a + b))
    def merge(typingctx, a, b):
        both = types.Tuple((*a, *b))
        callee = _Callee(typingctx, inner, both)

        def codegen(context, builder, signature, args):
            parts = unpack(builder, args[0], len(a)) + unpack(builder, args[1], len(b))
            return callee(context, builder, context.make_tuple(builder, both, parts))

        return callee.result(a, b), codegen

    return merge


def constant(values, dtypes):
    """``state()``: a state of these numbers."""
    scalars = tuple(d.type(v) for v, d in zip(values, dtypes, strict=True))
    result = types.Tuple([scalar_type(d) for d in dtypes])

    @instruction(lambda: scalars)
    def state(typingctx):
        def codegen(context, builder, signature, args):
            parts = [_literal(context, builder, t, v) for t, v in zip(result, scalars, strict=True)]
            return context.make_tuple(builder, result, parts)

        return result(), codegen

    return state


def _literal(context, builder, scalar, value):
    native = getattr(scalar, "native", scalar)
    if isinstance(native, types.Complex):
        return context.get_constant_generic(builder, native, complex(value))
    if native == types.float16:
        return context.cast(builder, ir.Constant(ir.FloatType(), float(value)), types.float32, native)
    return context.get_constant(native, value.item())


def gatherer(kinds, width, groups, inside):
    """``gather(ins, base, first, step, count, shape, strides)``: the lanes of `groups` groups of `width` neighbours.

    The groups are numbers `first`, ``first + step``, ... of the `count` that `shape` has. One past the end is the last;
    `inside` where there are none. `base` is an offset for each operand. All loads come before any use, so that they are
    under way together.
    """
    load, offsets = loader(kinds, width), unraveler(len(kinds))

    def twin(ins, base, first, step, count, shape, strides):
        lanes = ()
        for k in range(groups):
            at = offsets(min(int(first) + k * int(step), int(count) - 1), shape, strides)
            lanes += load(ins, tuple(b + a for b, a in zip(base, at, strict=True)))
        return lanes

    @instruction(twin)
    def gather(typingctx, ins, base, first, step, count, shape, strides):
        placed = _Callee(typingctx, offsets, count, shape, strides)
        loaded = _Callee(typingctx, load, ins, placed.result)
        result = types.UniTuple(loaded.result[0], groups * width)

        def along_one_axis(context, builder, first, step, strides):
            # Additions alone: with an index for each group, half of the instructions of a loop over single elements
            # were addresses.
            strides = unpack(builder, strides, len(kinds))
            first, step = (builder.zext(x, ir.IntType(64)) if x.type.width < 64 else x for x in (first, step))
            at = [builder.mul(first, s) for s in strides]
            for _ in range(groups):
                yield at
                at = [builder.add(a, builder.mul(step, s)) for a, s in zip(at, strides, strict=True)]

        def anywhere(context, builder, first, step, count, shape, strides):
            last = builder.sub(count, ir.Constant(count.type, 1))
            for _ in range(groups):
                at = first if inside else builder.select(builder.icmp_unsigned("<", first, last), first, last)
                yield unpack(builder, placed(context, builder, at, shape, strides), len(kinds))
                first = builder.add(first, step)

        def codegen(context, builder, signature, args):
            ins, base, first, step, count, shape, strides = args
            bases, lanes = unpack(builder, base, len(kinds)), []
            if inside and len(signature.args[5]) == 1:
                places = along_one_axis(context, builder, first, step, strides)
            else:
                places = anywhere(context, builder, first, step, count, shape, strides)
            for place in places:
                moved = [builder.add(b, a) for b, a in zip(bases, place, strict=True)]
                row = loaded(context, builder, ins, context.make_tuple(builder, placed.result, moved))
                lanes += unpack(builder, row, width)
            return context.make_tuple(builder, result, lanes)

        return result(ins, base, first, step, count, shape, strides), codegen

    return gather


def leaf(lift, merges, neutral, groups, masked):
    """``fold(lanes, first, step, count)``: one state of all lanes that a `gatherer` found, by a balanced tree.

    `lift` takes the lanes of one group, and ``merges[level]`` is the merge of the states of 2**level groups each. With
    `masked`, groups past the end count as the neutral state.
    """

    def twin(lanes, first, step, count):
        width = len(lanes) // groups
        states = [lift(lanes[k * width : (k + 1) * width]) for k in range(groups)]
        if masked:
            states = [s if int(first) + k * int(step) < int(count) else neutral() for k, s in enumerate(states)]
        return _tree(states, merges)

    @instruction(twin)
    def fold(typingctx, lanes, first, step, count):
        group = types.UniTuple(lanes[0], len(lanes) // groups)
        lifted = _Callee(typingctx, lift, group)
        merged = [_Callee(typingctx, merges[k], lifted.result, lifted.result) for k in range((groups - 1).bit_length())]
        none = _Callee(typingctx, neutral)

        def codegen(context, builder, signature, args):
            parts = unpack(builder, args[0], len(lanes))
            states, at = [], args[1]
            for k in range(groups):
                lane = parts[k * len(group) : (k + 1) * len(group)]
                state = lifted(context, builder, context.make_tuple(builder, group, lane))
                if masked:
                    inside = builder.icmp_unsigned("<", at, args[3])
                    state = _select(context, builder, inside, lifted.result, state, none(context, builder))
                    at = builder.add(at, args[2])
                states.append(state)
            return _tree(states, [functools.partial(each, context, builder) for each in merged])

        return lifted.result(lanes, first, step, count), codegen

    return fold


def pivoted(lift, choose, term, add, groups, abreast):
    """`leaf` of folds whose states are a pivot, ``choose`` of all values, and the sum of a term of each and the pivot.

    ``term(*lift(lane), pivot)`` and ``add(a, b)`` are device functions: of log-sum-exp, exp(x - pivot), which spares an
    exponential for every merge. With `abreast` the lanes of a group are of as many rows.
    """

    def twin(lanes, first, step, count):
        width = len(lanes) // groups if abreast else 1
        found = ()
        for k in range(width):
            states = [lift(lane) for lane in lanes[k::width]]
            pivot = _tree([state[0] for state in states], [lambda a, b: choose((a, b))] * 9)
            found += (pivot, _tree([term((*state, pivot)) for state in states], [lambda a, b: add((a, b))] * 9))
        return found

    @instruction(twin)
    def fold(typingctx, lanes, first, step, count):
        width = len(lanes) // groups if abreast else 1
        lifted = _Callee(typingctx, lift, lanes[0])
        value = lifted.result[0]
        chosen = _Callee(typingctx, choose, types.UniTuple(value, 2))
        given = types.Tuple([*lifted.result, value])
        termed = _Callee(typingctx, term, given)
        added = _Callee(typingctx, add, types.UniTuple(termed.result, 2))
        result = types.Tuple([value, termed.result] * width)

        def of_two(context, builder, callee, native):
            return lambda a, b: callee(context, builder, context.make_tuple(builder, types.UniTuple(native, 2), [a, b]))

        def codegen(context, builder, signature, args):
            parts, found = unpack(builder, args[0], len(lanes)), []
            for k in range(width):
                states = [unpack(builder, lifted(context, builder, p), len(lifted.result)) for p in parts[k::width]]
                pivot = _tree([state[0] for state in states], [of_two(context, builder, chosen, value)] * 9)
                terms = [
                    termed(context, builder, context.make_tuple(builder, given, [*state, pivot])) for state in states
                ]
                found += [pivot, _tree(terms, [of_two(context, builder, added, termed.result)] * 9)]
            return context.make_tuple(builder, result, found)

        return result(lanes, first, step, count), codegen

    return fold


def _select(context, builder, condition, native, a, b):
    """One of two tuples."""
    pairs = zip(unpack(builder, a, len(native)), unpack(builder, b, len(native)), strict=True)
    return context.make_tuple(builder, native, [builder.select(condition, x, y) for x, y in pairs])


def _tree(states, merges):
    """One state of several, neighbours first."""
    level = 0
    while len(states) > 1:
        merge = merges[level]
        states = [merge(*states[k : k + 2]) if k + 1 < len(states) else states[k] for k in range(0, len(states), 2)]
        level += 1
    return states[0]


def alongside(lift, merges):
    """``lift(lanes)`` of a group whose lanes belong to one row: they are lifted and merged, as in `leaf`."""

    @instruction(lambda lanes: _tree([lift(lane) for lane in lanes], merges))
    def run(typingctx, lanes):
        lifted = _Callee(typingctx, lift, lanes[0])
        levels = range((len(lanes) - 1).bit_length())
        merged = [_Callee(typingctx, merges[k], lifted.result, lifted.result) for k in levels]

        def codegen(context, builder, signature, args):
            states = [lifted(context, builder, lane) for lane in unpack(builder, args[0], len(lanes))]
            return _tree(states, [functools.partial(each, context, builder) for each in merged])

        return lifted.result(lanes), codegen

    return run


def chosen(lift, neutral):
    """``lift(lane)`` of a lane whose first element says whether the rest counts."""

    @instruction(lambda lane: lift(lane[1:]) if lane[0] else neutral())
    def run(typingctx, lane):
        rest = types.Tuple(list(lane)[1:])
        lifted, none = _Callee(typingctx, lift, rest), _Callee(typingctx, neutral)

        def codegen(context, builder, signature, args):
            condition, *parts = unpack(builder, args[0], len(lane))
            state = lifted(context, builder, context.make_tuple(builder, rest, parts))
            return _select(context, builder, condition, lifted.result, state, none(context, builder))

        return lifted.result(lane), codegen

    return run


def abreast_lift(lift, width):
    """``lift(lanes)`` of a group whose lanes belong to `width` rows: their states, one after the other, are one."""

    @instruction(lambda lanes: tuple(part for lane in lanes for part in lift(lane)))
    def run(typingctx, lanes):
        callee = _Callee(typingctx, lift, lanes[0])
        result = types.Tuple(list(callee.result) * width)

        def codegen(context, builder, signature, args):
            parts = []
            for lane in unpack(builder, args[0], width):
                parts += unpack(builder, callee(context, builder, lane), len(callee.result))
            return context.make_tuple(builder, result, parts)

        return result(lanes), codegen

    return run


def abreast_merge(merge, width):
    """``merge(a, b)`` of `width` states each, row by row."""

    def twin(a, b):
        size = len(a) // width
        cut = [slice(k * size, (k + 1) * size) for k in range(width)]
        return tuple(part for each in cut for part in merge(a[each], b[each]))

    @instruction(twin)
    def run(typingctx, a, b):
        size = len(a) // width
        one = types.Tuple(list(a)[:size])
        callee = _Callee(typingctx, merge, one, one)

        def codegen(context, builder, signature, args):
            left, right = (unpack(builder, value, len(a)) for value in args)
            parts = []
            for k in range(0, len(a), size):
                pair = [context.make_tuple(builder, one, side[k : k + size]) for side in (left, right)]
                parts += unpack(builder, callee(context, builder, *pair), size)
            return context.make_tuple(builder, a, parts)

        return a(a, b), codegen

    return run


def finisher(function, state, extras, outs, width):
    """``finish(states, extras)``: the results of `width` states that make up one, each a tuple of its own."""
    inner = call(function, state + extras, outs)

    def twin(states, extras):
        size = len(state)
        return tuple(inner(states[k : k + size] + tuple(extras)) for k in range(0, len(states), size))

    @instruction(twin)
    def finish(typingctx, states, extras_):
        size = len(state)
        given = types.Tuple([*list(states)[:size], *extras_])
        callee = _Callee(typingctx, inner, given)
        result = types.UniTuple(callee.result, width)

        def codegen(context, builder, signature, args):
            parts, more = unpack(builder, args[0], len(states)), unpack(builder, args[1], len(extras_))
            found = [
                callee(context, builder, context.make_tuple(builder, given, parts[k : k + size] + more))
                for k in range(0, len(states), size)
            ]
            return context.make_tuple(builder, result, found)

        return result(states, extras_), codegen

    return finish

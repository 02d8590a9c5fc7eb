"""Loops over tuples, written out: what a thread holds in registers has no index that varies.

A thread's elements are a tuple. `each` applies a function to every one of them, `accumulated` carries a value along
them; both are as many calls as the tuple is long, in straight-line code, so that nothing is put into local memory.
"""

import functools

from numba import types

from .instructions import instruction
from .scalar import unpack


def _combinator(twin):
    """An instruction whose twin calls functions of kernels, so that the simulator looks into it."""

    def declare(define):
        made = instruction(twin)(define)
        made.__simulated__ = twin
        return made

    return declare


def _tuple(kinds):
    return types.UniTuple(kinds[0], len(kinds)) if len(set(kinds)) == 1 else types.Tuple(kinds)


class _Call:
    """A device function resolved for some types, to be called while lowering."""

    def __init__(self, typingctx, function, given):
        self._callee = typingctx.resolve_value_type(function)
        self._given = given
        self._signature = typingctx.resolve_function_type(self._callee, given, {})
        self.result = self._signature.return_type

    def __call__(self, context, builder, values):
        implementation = context.get_function(self._callee, self._signature)
        context.add_linking_libs(getattr(implementation, "libs", ()))
        wanted = self._signature.args
        cast = [
            value if have == want else context.cast(builder, value, have, want)
            for value, have, want in zip(values, self._given, wanted, strict=True)
        ]
        return implementation(builder, cast)


def _row(columns, k):
    return tuple(column[k] for column in columns)


def _values(builder, columns, column_types):
    """The values in a tuple of tuples of LLVM, by column."""
    given = unpack(builder, columns, len(column_types))
    return [unpack(builder, value, len(kind)) for value, kind in zip(given, column_types, strict=True)]


@functools.lru_cache(maxsize=8192)
def each(function, count):
    """``apply(columns, common)``: ``function(*(column[k] for column in columns), *common)`` for k < count, in a tuple.

    `columns` is a tuple of tuples of `count`, `common` a tuple. Where the function returns nothing, so does `apply`.
    """

    def twin(columns, common):
        return tuple([function(*[column[k] for column in columns], *common) for k in range(count)])

    @_combinator(twin)
    def apply(typingctx, columns, common):
        calls = [_Call(typingctx, function, (*_row(columns, k), *common)) for k in range(count)]
        silent = calls[0].result is types.none
        result = types.none if silent else _tuple([call.result for call in calls])

        def codegen(context, builder, signature, args):
            given, rest = _values(builder, args[0], columns), unpack(builder, args[1], len(common))
            found = [call(context, builder, (*_row(given, k), *rest)) for k, call in enumerate(calls)]
            return context.get_dummy_value() if silent else context.make_tuple(builder, result, found)

        return result(columns, common), codegen

    return apply


@functools.lru_cache(maxsize=8192)
def accumulated(function, count):
    """``apply(xs, columns, common)``: y[0] = x[0], y[k] = function(y[k - 1], x[k], *(columns at k), *common), a tuple.

    `columns` is a tuple of tuples of `count`, `common` a tuple.
    """

    def twin(xs, columns, common):
        ys = [xs[0]]
        for k in range(1, count):
            ys.append(function(ys[-1], xs[k], *[column[k] for column in columns], *common))
        return tuple(ys)

    @_combinator(twin)
    def apply(typingctx, xs, columns, common):
        result = types.UniTuple(xs[0], count)
        calls = [_Call(typingctx, function, (xs[0], xs[k], *_row(columns, k), *common)) for k in range(1, count)]

        def codegen(context, builder, signature, args):
            items, given = unpack(builder, args[0], count), _values(builder, args[1], columns)
            rest, found = unpack(builder, args[2], len(common)), [items[0]]
            for k, call in enumerate(calls, 1):
                y = call(context, builder, (found[-1], items[k], *_row(given, k), *rest))
                found.append(y if call.result == xs[0] else context.cast(builder, y, call.result, xs[0]))
            return context.make_tuple(builder, result, found)

        return result(xs, columns, common), codegen

    return apply


def _leaves(nested):
    return tuple(leaf for group in nested for leaf in group)


@functools.lru_cache(maxsize=1024)
def grouped(size):
    """``apply(xs)``: the elements of a tuple in tuples of `size`."""

    @instruction(lambda xs: tuple(tuple(xs[k : k + size]) for k in range(0, len(xs), size)))
    def apply(typingctx, xs):
        inner = types.UniTuple(xs[0], size)
        result = types.UniTuple(inner, len(xs) // size)

        def codegen(context, builder, signature, args):
            items = unpack(builder, args[0], len(xs))
            rows = [context.make_tuple(builder, inner, items[k : k + size]) for k in range(0, len(xs), size)]
            return context.make_tuple(builder, result, rows)

        return result(xs), codegen

    return apply


@instruction(_leaves)
def flattened(typingctx, nested):
    """The elements of the tuples in a tuple, in one; all are of one type."""
    count = len(nested[0])
    result = types.UniTuple(nested[0][0], len(nested) * count)

    def codegen(context, builder, signature, args):
        items = [x for row in unpack(builder, args[0], len(nested)) for x in unpack(builder, row, count)]
        return context.make_tuple(builder, result, items)

    return result(nested), codegen

"""What one thread holds of an array: lanes that were loaded are computed with, group by group, and stored again.

Lanes are those of `kernels.device.folds.gatherer`: `groups` groups of neighbours, each lane a tuple. Parameters are a
tuple too: one for all lanes, or one for each lane of a group, where a group spans several rows.
"""

import functools

from llvmlite import ir
from numba import types

from .folds import _Callee, tupled
from .instructions import instruction
from .memory import storer, unraveler
from .scalar import unpack


@functools.lru_cache(maxsize=8192)
def each(function, ins, out):
    """``run(lanes, parameters)``: the lanes ``(function(*lane, parameter),)``; `ins` and `out` are dtypes."""
    inner = tupled(function, ins, (out,))

    def twin(lanes, parameters):
        return tuple(inner((*lane, parameters[k % len(parameters)])) for k, lane in enumerate(lanes))

    @instruction(twin)
    def run(typingctx, lanes, parameters):
        given = types.Tuple([*lanes[0], parameters[0]])
        callee = _Callee(typingctx, inner, given)
        result = types.UniTuple(callee.result, len(lanes))

        def codegen(context, builder, signature, args):
            values = unpack(builder, args[1], len(parameters))
            found = []
            for k, lane in enumerate(unpack(builder, args[0], len(lanes))):
                parts = [*unpack(builder, lane, len(lanes[0])), values[k % len(values)]]
                found.append(callee(context, builder, context.make_tuple(builder, given, parts)))
            return context.make_tuple(builder, result, found)

        return result(lanes, parameters), codegen

    return run


@functools.lru_cache(maxsize=8192)
def columnwise(function, ins, out):
    """``run(tuples)``: of several tuples a, b, ... the tuple of ``function(a[k], b[k], ...)``."""
    inner = tupled(function, ins, (out,))

    @instruction(lambda tuples: tuple(inner(column)[0] for column in zip(*tuples, strict=True)))
    def run(typingctx, tuples):
        given = types.Tuple([each[0] for each in tuples])
        callee = _Callee(typingctx, inner, given)
        result = types.UniTuple(callee.result[0], len(tuples[0]))

        def codegen(context, builder, signature, args):
            rows = [unpack(builder, row, len(result)) for row in unpack(builder, args[0], len(tuples))]
            found = []
            for column in zip(*rows, strict=True):
                value = callee(context, builder, context.make_tuple(builder, given, column))
                found.append(builder.extract_value(value, 0))
            return context.make_tuple(builder, result, found)

        return result(tuples), codegen

    return run


@instruction(lambda both: (tuple(both[: len(both) // 2]), tuple(both[len(both) // 2 :])))
def halves(typingctx, both):
    """The first half of a tuple of equal types, and the second."""
    half = types.UniTuple(both[0], len(both) // 2)
    result = types.UniTuple(half, 2)

    def codegen(context, builder, signature, args):
        parts = unpack(builder, args[0], len(both))
        cut = [context.make_tuple(builder, half, each) for each in (parts[: len(half)], parts[len(half) :])]
        return context.make_tuple(builder, result, cut)

    return result(both), codegen


@functools.lru_cache(maxsize=8192)
def scatterer(width, groups, inside, streaming=False):
    """``scatter(outs, base, first, step, count, shape, strides, lanes)``: the reverse of a `gatherer`, of one array.

    What is past the end is not stored; `inside` where there is nothing. `streaming` as of `storer`.
    """
    store, offsets = storer(width, streaming=streaming), unraveler(1)

    def twin(outs, base, first, step, count, shape, strides, lanes):
        for k in range(groups):
            at = int(first) + k * int(step)
            if at < int(count):
                (place,) = offsets(at, shape, strides)
                store(outs, (int(base) + place,), lanes[k * width : (k + 1) * width])

    @instruction(twin)
    def scatter(typingctx, outs, base, first, step, count, shape, strides, lanes):
        placed = _Callee(typingctx, offsets, count, shape, strides)
        group = types.UniTuple(lanes[0], width)
        stored = _Callee(typingctx, store, outs, placed.result, group)
        long = ir.IntType(64)

        def codegen(context, builder, signature, args):
            outs, base, first, step, count, shape, strides, lanes = args
            parts = unpack(builder, lanes, groups * width)
            straight = len(signature.args[5]) == 1
            stride, at = unpack(builder, strides, len(signature.args[6]))[-1], first

            def wide(x):
                return builder.zext(x, long) if x.type.width < 64 else x

            # Along one axis by additions alone, as in `gatherer`.
            place = builder.add(base, builder.mul(wide(first), stride)) if straight else None
            hop = builder.mul(wide(step), stride) if straight else None

            def put(k):
                there = place
                if not straight:
                    (there,) = unpack(builder, placed(context, builder, at, shape, strides), 1)
                    there = builder.add(base, there)
                lane = context.make_tuple(builder, group, parts[k * width : (k + 1) * width])
                stored(context, builder, outs, context.make_tuple(builder, placed.result, [there]), lane)

            for k in range(groups):
                if inside:
                    put(k)
                else:
                    with builder.if_then(builder.icmp_unsigned("<", at, count)):
                        put(k)
                at = builder.add(at, step)
                place = builder.add(place, hop) if straight else None
            return context.get_dummy_value()

        return types.void(outs, base, first, step, count, shape, strides, lanes), codegen

    return scatter


def _flag(text, constraints, result):
    """The inline assembly of an access to a word that blocks share."""

    def emit(context, builder, at, *values):
        word, address = ir.IntType(32), ir.IntType(64)
        kind = ir.FunctionType(word if result else ir.VoidType(), [address, *(v.type for v in values)])
        assembly = ir.InlineAsm(kind, text, constraints, side_effect=True)
        return builder.call(assembly, [builder.ptrtoint(at, address), *values])

    return emit


_acquire = _flag("ld.acquire.gpu.global.u32 $0, [$1];", "=r,l,~{memory}", True)
_release = _flag("st.release.gpu.global.u32 [$0], $1;", "l,r,~{memory}", False)


def _put(words, k, value):
    words[k] = value


@instruction(lambda words, k: words[k])
def acquire(typingctx, words, k):
    """``words[k]`` of a pointer to uint32; what its writer wrote before it `release`d it can be read after."""

    def codegen(context, builder, signature, args):
        return _acquire(context, builder, builder.gep(args[0], [context.cast(builder, args[1], k, types.int64)]))

    return types.uint32(words, k), codegen


@instruction(_put)
def release(typingctx, words, k, value):
    """``words[k] = value``, seen after all that was written before it; see `acquire`."""

    def codegen(context, builder, signature, args):
        at = builder.gep(args[0], [context.cast(builder, args[1], k, types.int64)])
        _release(context, builder, at, context.cast(builder, args[2], value, types.uint32))
        return context.get_dummy_value()

    return types.void(words, k, value), codegen

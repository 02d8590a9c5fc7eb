"""Vectors on their way through shared memory: asked for early, taken late, each by the thread that asked.

What a thread has under way costs it no registers, and since it takes nothing but what it asked for, no barrier either:
`cp_async_wait_all` is enough.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types

from .instructions import instruction
from .memory import _address, _load
from .scalar import unpack, wrapped

BYTE, WORD, LONG = (ir.IntType(bits) for bits in (8, 32, 64))


@functools.lru_cache(maxsize=1024)
def staging(sizes, width, slots):
    """``stage(memory, slot, operands, offsets)`` and ``taken(memory, slot, operands)``.

    The first asks for the `width` neighbours that begin at each operand's offset, which make 4, 8 or 16 bytes and are
    aligned to these; the second has them as a loader has them (`kernels.device.memory.loader`).

    Parameters
    ----------
    sizes : tuple of int
        Bytes of an element of each operand.
    width : int
    slots : int
        Vectors that `memory` holds of each operand; it is a shared array of int32, aligned to 16 bytes.
    """
    words = [size * width // 4 for size in sizes]
    bases = [sum(words[:k]) * slots for k in range(len(sizes))]

    def put(memory, slot, operands, offsets):
        for x, at, base, count in zip(operands, offsets, bases, words, strict=True):
            values = np.array([x[int(at) + j] for j in range(width)], x.dtype).view(np.int32)
            for j in range(count):
                memory[base + int(slot) * count + j] = values[j]

    def get(memory, slot, operands):
        columns = []
        for x, base, count in zip(operands, bases, words, strict=True):
            found = np.array([memory[base + int(slot) * count + j] for j in range(count)], np.int32)
            columns.append(found.view(x.dtype))
        return tuple(zip(*columns, strict=True))

    def places(context, builder, array, value, slot, kind):
        data = context.make_array(array)(context, builder, value=value).data
        slot = context.cast(builder, slot, kind, types.uint32)
        for base, count in zip(bases, words, strict=True):
            place = builder.add(builder.mul(slot, WORD(count)), WORD(base))
            yield builder.gep(data, [builder.zext(place, LONG)]), 4 * count

    @instruction(put)
    def stage(typingctx, memory, slot, operands, offsets):
        def codegen(context, builder, signature, args):
            pointers, starts = unpack(builder, args[2], len(sizes)), unpack(builder, args[3], len(sizes))
            found = places(context, builder, memory, args[0], args[1], slot)
            for k, (place, nbytes) in enumerate(found):
                address = _address(context, builder, pointers[k], starts[k], offsets[k])
                shared = builder.addrspacecast(place, ir.PointerType(place.type.pointee, 3))
                shared = builder.trunc(builder.ptrtoint(shared, LONG), WORD)
                cache = "cg" if nbytes == 16 else "ca"
                text = f"cp.async.{cache}.shared.global [$0], [$1], {nbytes};"
                kind = ir.FunctionType(ir.VoidType(), [WORD, LONG])
                assembly = ir.InlineAsm(kind, text, "r,l,~{memory}", side_effect=True)
                builder.call(assembly, [shared, builder.ptrtoint(address, LONG)])
            return context.get_dummy_value()

        return types.void(memory, slot, operands, offsets), codegen

    @instruction(get)
    def taken(typingctx, memory, slot, operands):
        natives = [x.dtype for x in operands]
        lane = types.Tuple([wrapped(native) for native in natives])
        lanes = types.UniTuple(lane, width)

        def codegen(context, builder, signature, args):
            columns = []
            found = places(context, builder, memory, args[0], args[1], slot)
            for native, (place, _) in zip(natives, found, strict=True):
                at = builder.bitcast(place, context.get_data_type(native).as_pointer())
                columns.append(_load(context, builder, at, native, width, True))
            rows = [context.make_tuple(builder, lane, row) for row in zip(*columns, strict=True)]
            return context.make_tuple(builder, lanes, rows)

        return lanes(memory, slot, operands), codegen

    return stage, taken

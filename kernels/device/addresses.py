"""Addresses, as instructions take them: 32 bits in a block's shared memory, 64 bits in global memory."""

from numba import types

from .instructions import SIMULATED
from .twins import Word

if SIMULATED:

    def _declare(define):
        return Word(define.__name__, define.__doc__)
else:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    def _declare(define):
        made = intrinsic(define)
        made.__simulated__ = define.__name__
        return made


def _data(context, builder, signature, args):
    return context.make_array(signature.args[0])(context, builder, value=args[0]).data


@_declare
def shared_address(typingctx, array):
    """Where a shared array begins, as an address in the block's shared memory: uint32."""

    def codegen(context, builder, signature, args):
        data = _data(context, builder, signature, args)
        if data.type.addrspace != 3:
            data = builder.addrspacecast(data, ir.PointerType(data.type.pointee, 3))
        return builder.trunc(builder.ptrtoint(data, ir.IntType(64)), ir.IntType(32))

    return types.uint32(array), codegen


@_declare
def global_address(typingctx, array):
    """Where an array in global memory begins: uint64."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(_data(context, builder, signature, args), ir.IntType(64))

    return types.uint64(array), codegen

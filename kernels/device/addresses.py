"""Addresses, as instructions take them: 32 bits in a block's shared memory, 64 bits in global memory."""

from llvmlite import ir
from numba import njit, types

from .ptx import declared


def _data(context, builder, signature, args):
    return context.make_array(signature.args[0])(context, builder, value=args[0]).data


def shared_address(typingctx, array):
    """Where a shared array begins, as an address in the block's shared memory: uint32."""

    def codegen(context, builder, signature, args):
        data = _data(context, builder, signature, args)
        if data.type.addrspace != 3:
            data = builder.addrspacecast(data, ir.PointerType(data.type.pointee, 3))
        return builder.trunc(builder.ptrtoint(data, ir.IntType(64)), ir.IntType(32))

    return types.uint32(array), codegen


def global_address(typingctx, array):
    """Where an array in global memory begins: uint64."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(_data(context, builder, signature, args), ir.IntType(64))

    return types.uint64(array), codegen


shared_address, global_address = (declared(each, each.__name__) for each in (shared_address, global_address))


@njit
def swizzled(address, width):
    """Where a swizzle of 32, 64 or 128 bytes, or none (0), puts what lies at an address of shared memory.

    Its bits from 4 on are combined by exclusive or with those from 7 on, as copies by TMA and descriptors of ``wgmma``
    have it (PTX ISA, "Swizzling modes").
    """
    return address ^ (address >> 3 & width - 16 & 0x70) if width else address

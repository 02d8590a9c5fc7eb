"""What ``cuda`` means in a compiled kernel: each name with its typing and the code that it becomes.

Names, result types and meanings are those of numba-cuda (``numba.cuda`` documentation, "CUDA Kernel API").
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.extending import overload_method
from numba.np import arrayobj, numpy_support

from .. import functions
from .. import state as S
from . import atomics, checked, printing, twins  # noqa: F401  (registers how kernels print)
from .lowering import (
    INT32,
    WORD,
    Field,
    Namespace,
    bits,
    call_worker,
    coordinate,
    declare,
    hand_over,
    point,
    signature,
    site,
    unbits,
    word,
    worker,
)
from .target import in_kernels

# --- where a thread is --------------------------------------------------------------------------------------


def _three(name, x):
    return Namespace(name, x=Field(x), y=Field(x + 1), z=Field(x + 2))


threadIdx, blockIdx = _three("threadIdx", S.TX), _three("blockIdx", S.BX)
blockDim, gridDim = _three("blockDim", S.BDX), _three("gridDim", S.GDX)


def _dimensions(ndim):
    if not isinstance(ndim, types.IntegerLiteral) or ndim.literal_value not in (1, 2, 3):
        raise errors.RequireLiteralValue("the number of dimensions must be the literal 1, 2 or 3")
    count = ndim.literal_value
    return types.int64 if count == 1 else types.UniTuple(types.int64, count)


def _places(context, builder, result, place):
    count = 1 if result is types.int64 else len(result)
    values = [place(axis) for axis in range(count)]
    return values[0] if count == 1 else context.make_tuple(builder, result, values)


@declare("grid", literal=True)
def grid(ndim):
    return _dimensions(ndim)


@grid.emits
def _(context, builder, sig, args):
    flags = "nuw", "nsw"

    def place(axis):
        first = builder.mul(coordinate(builder, S.BX + axis), coordinate(builder, S.BDX + axis), flags=flags)
        return builder.add(first, coordinate(builder, S.TX + axis), flags=flags)

    return _places(context, builder, sig.return_type, place)


@declare("gridsize", literal=True)
def gridsize(ndim):
    return _dimensions(ndim)


@gridsize.emits
def _(context, builder, sig, args):
    return _places(
        context, builder, sig.return_type,
        lambda axis: builder.mul(coordinate(builder, S.GDX + axis), coordinate(builder, S.BDX + axis)),
    )  # fmt: skip


# --- arrays of a block and of a thread ----------------------------------------------------------------------


def _shape(native):
    parts = native if isinstance(native, types.BaseTuple) else (native,)
    if all(isinstance(part, types.IntegerLiteral) for part in parts):
        return tuple(part.literal_value for part in parts)
    return None


def _element(native):
    if isinstance(native, types.DTypeSpec):
        return native.dtype
    if isinstance(native, types.TypeRef):
        return native.instance_type
    if isinstance(native, types.StringLiteral):
        try:
            return numpy_support.from_dtype(np.dtype(native.literal_value))
        except TypeError:
            raise errors.TypingError(f"Invalid NumPy dtype specified: '{native.literal_value}'") from None
    return None


def _array_type(of, shape, dtype, alignment=None):
    if _shape(shape) is None:
        return None
    if alignment not in (None, types.none) and not isinstance(alignment, types.IntegerLiteral):
        raise errors.RequireLiteralValue("alignment must be a constant integer")
    value = getattr(alignment, "literal_value", 1)
    if value <= 0 or value & (value - 1):
        raise ValueError("Alignment must be a positive power of two")
    element = _element(dtype)
    return None if element is None else of(types.Array(element, len(_shape(shape)), "C"))


def _alignment(sig):
    """The alignment that a kernel asks for; 1 where it does not."""
    return getattr(sig.args[2], "literal_value", 1) if len(sig.args) > 2 else 1


def fill(context, builder, native, address, shape):
    """An array structure over memory; `shape` holds words of LLVM."""
    array = context.make_array(native)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(native.dtype))
    strides, step = [], WORD(itemsize)
    for extent in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, extent)
    data = builder.inttoptr(address, array.data.type)
    arrayobj.populate_array(array, data, shape, strides, WORD(itemsize), None)
    return array._getvalue()


def _shared_array(of):
    """``shared.array``; `of` gives the type of its arrays from that of plain ones."""

    @declare("shared.array", literal=True)
    def array(shape, dtype, alignment=None):
        return _array_type(of, shape, dtype, alignment)

    @array.emits
    def _(context, builder, sig, args):
        return _in_shared_memory(context, builder, sig.return_type, _shape(sig.args[0]), _alignment(sig))

    return array


def _in_shared_memory(context, builder, native, shape, alignment=1):
    itemsize = context.get_abi_sizeof(context.get_data_type(native.dtype))
    dynamic = math.prod(shape) == 0
    place = WORD(S.DYNAMIC_SITE) if dynamic else WORD(site())
    alignment = alignment if alignment > S.SHARED_ALIGNMENT else 0
    address = call_worker(builder, S.PLACE, WORD, place, WORD(math.prod(shape) * itemsize + alignment))
    with builder.if_then(builder.icmp_unsigned("==", address, WORD(0)), likely=False):
        hand_over(builder, S.RAISED)
    if alignment:
        address = builder.and_(builder.add(address, WORD(alignment - 1)), WORD(-alignment))
    if dynamic:
        extents = [builder.sdiv(word(builder, S.DYNAMIC, worker(builder)), WORD(itemsize))]
    else:
        extents = [WORD(extent) for extent in shape]
    return checked.shared(context, builder, native, fill(context, builder, native, address, extents))


def _slots(of):
    """``slots``, a word of twins."""

    @declare("slots")
    def slots(words):
        return signature(of(types.Array(types.int32, 1, "C")), words)

    @slots.emits
    def _(context, builder, sig, args):
        return _in_shared_memory(context, builder, sig.return_type, (S.PLACES * len(sig.args[0]),))

    return slots


def _local_array(of):
    """``local.array``; `of` gives the type of its arrays from that of plain ones."""

    @declare("local.array", literal=True)
    def array(shape, dtype, alignment=None):
        return _array_type(of, shape, dtype, alignment)

    @array.emits
    def _(context, builder, sig, args):
        native, shape = sig.return_type, _shape(sig.args[0])
        size = math.prod(shape) * context.get_abi_sizeof(context.get_data_type(native.dtype))
        # Bytes: of an array's type, LLVM would store zeros one by one, in a time that grows as the square.
        memory = cgutils.alloca_once(builder, ir.IntType(8), size=size)
        memory.align = max(16, _alignment(sig))
        cgutils.memset(builder, builder.bitcast(memory, cgutils.voidptr_t), WORD(size), 0xFF)
        made = fill(context, builder, native, builder.ptrtoint(memory, WORD), [WORD(extent) for extent in shape])
        return checked.own(context, builder, native, made, size)

    return array


def _constant_array(of):
    """``const.array_like``; `of` gives the type of its arrays from that of plain ones."""

    @declare("const.array_like")
    def array_like(ndarray):
        return of(ndarray) if isinstance(ndarray, types.Array) else None

    @array_like.emits
    def _(context, builder, sig, args):
        plain = context.make_array(sig.args[0])(context, builder, args[0])
        array = context.make_array(sig.return_type)(context, builder)
        arrayobj.populate_array(array, plain.data, plain.shape, plain.strides, plain.itemsize, None)
        return array._getvalue()

    return array_like


# --- barriers -----------------------------------------------------------------------------------------------


def _barrier(context, builder, vote, op):
    value = WORD(0) if vote is None else bits(context, builder, *vote)
    thread = hand_over(builder, S.AT_BLOCK, op=op, mask=0, argument=0, value=value, site=WORD(site()))
    return builder.trunc(word(builder, S.RESULT, thread), INT32)


@declare("syncthreads")
def syncthreads():
    return types.none


@syncthreads.emits
def _(context, builder, sig, args):
    _barrier(context, builder, None, S.NO_VOTE)
    return context.get_dummy_value()


def _voting_barrier(name, op):
    @declare(name)
    def barrier(predicate):
        return signature(types.int32, predicate)

    @barrier.emits
    def _(context, builder, sig, args):
        truth = context.cast(builder, args[0], sig.args[0], types.boolean)
        return _barrier(context, builder, (types.boolean, truth), op)

    return barrier


syncthreads_count = _voting_barrier("syncthreads_count", S.VOTE_COUNT)
syncthreads_and = _voting_barrier("syncthreads_and", S.VOTE_AND)
syncthreads_or = _voting_barrier("syncthreads_or", S.VOTE_OR)


@declare("grid_group.sync")
def grid_sync():
    return types.int32


@grid_sync.emits
def _(context, builder, sig, args):
    hand_over(builder, S.AT_WHOLE_GRID)
    point(builder)
    return INT32(0)


grid_group = Namespace("grid_group", sync=grid_sync)


@declare("cg.this_grid")
def this_grid():
    from .lowering import NamespaceType

    return NamespaceType(grid_group)


@this_grid.emits
def _(context, builder, sig, args):
    return context.get_dummy_value()


# --- scheduling points --------------------------------------------------------------------------------------


def _point(name, *parameters):
    if parameters:

        @declare(name)
        def stub(ns):
            return signature(types.none, types.uint32)
    else:

        @declare(name)
        def stub():
            return types.none

    @stub.emits
    def _(context, builder, sig, args):
        point(builder)
        return context.get_dummy_value()

    return stub


nanosleep = _point("nanosleep", "ns")


def _fence(name, of_device):
    @declare(name)
    def fence():
        return types.none

    @fence.emits
    def _(context, builder, sig, args):
        with builder.if_then(builder.icmp_unsigned("!=", word(builder, S.SHADOW, worker(builder)), WORD(0))):
            call_worker(builder, S.ACCESS, WORD, WORD(0), WORD(of_device), WORD(S.FENCE), WORD(0))
        point(builder)
        return context.get_dummy_value()

    return fence


threadfence, threadfence_system = _fence("threadfence", 1), _fence("threadfence_system", 1)
threadfence_block = _fence("threadfence_block", 0)

# --- warps --------------------------------------------------------------------------------------------------


def _warp(builder, op, mask, value, argument=None, extra=None):
    """One warp operation: its operands are words; the thread's row, where the results are."""
    mask = builder.and_(mask, WORD(S.FULL))
    return hand_over(
        builder, S.AT_WARP, op=op, mask=mask, value=value,
        argument=WORD(0) if argument is None else argument, extra=WORD(0) if extra is None else extra,
    )  # fmt: skip


def _word(context, builder, native, value):
    return context.cast(builder, value, native, types.int64)


_SHUFFLED = (types.int32, types.int64, types.float32, types.float64)


def _shuffle(name, op, clamp):
    @declare(name)
    def shuffle(mask, value, b):
        if types.unliteral(value) not in _SHUFFLED:
            raise errors.TypingError(f"{name} only supports 32- and 64-bit ints and floats, not {value}")
        return signature(value, mask, value, b)

    @shuffle.emits
    def _(context, builder, sig, args):
        native = sig.args[1]
        mask, lane = _word(context, builder, sig.args[0], args[0]), _word(context, builder, sig.args[2], args[2])
        thread = _warp(builder, op, mask, bits(context, builder, native, args[1]), lane, WORD(clamp))
        return unbits(context, builder, native, word(builder, S.RESULT, thread))

    return shuffle


shfl_sync = _shuffle("shfl_sync", S.SHUFFLE_INDEX, 31)
shfl_up_sync = _shuffle("shfl_up_sync", S.SHUFFLE_UP, 0)
shfl_down_sync = _shuffle("shfl_down_sync", S.SHUFFLE_DOWN, 31)
shfl_xor_sync = _shuffle("shfl_xor_sync", S.SHUFFLE_XOR, 31)


def _vote(name, op, result):
    @declare(name)
    def vote(mask, predicate):
        if not isinstance(mask, types.Integer):
            raise errors.TypingError(f"{name}: Mask type must be an integer. Got {mask}")
        if not isinstance(predicate, (types.Integer, types.Boolean)):
            raise errors.TypingError(f"{name}: Predicate must be an integer or boolean. Got {predicate}")
        return signature(result, mask, predicate)

    @vote.emits
    def _(context, builder, sig, args):
        truth = builder.zext(context.cast(builder, args[1], sig.args[1], types.boolean), WORD)
        found = word(builder, S.RESULT, _warp(builder, op, _word(context, builder, sig.args[0], args[0]), truth))
        return unbits(context, builder, result, found)

    return vote


all_sync, any_sync = _vote("all_sync", S.ALL, types.boolean), _vote("any_sync", S.ANY, types.boolean)
eq_sync, ballot_sync = _vote("eq_sync", S.EQUAL, types.boolean), _vote("ballot_sync", S.BALLOT, types.int32)


def _match(name, op, result):
    @declare(name)
    def match(mask, value):
        return signature(result, mask, value)

    @match.emits
    def _(context, builder, sig, args):
        mask = _word(context, builder, sig.args[0], args[0])
        thread = _warp(builder, op, mask, bits(context, builder, sig.args[1], args[1]))
        found = builder.trunc(word(builder, S.RESULT, thread), INT32)
        if op == S.MATCH_ANY:
            return found
        same = builder.icmp_unsigned("!=", word(builder, S.EXTRA, thread), WORD(0))
        return context.make_tuple(builder, result, [found, same])

    return match


match_any_sync = _match("match_any_sync", S.MATCH_ANY, types.int32)
match_all_sync = _match("match_all_sync", S.MATCH_ALL, types.Tuple((types.int32, types.boolean)))


@declare("syncwarp")
def syncwarp(mask=None):
    return types.none


@syncwarp.emits
def _(context, builder, sig, args):
    mask = _word(context, builder, sig.args[0], args[0]) if args else WORD(S.FULL)
    _warp(builder, S.SYNC, mask, WORD(0))
    return context.get_dummy_value()


@declare("activemask")
def activemask():
    return types.uint32


@activemask.emits
def _(context, builder, sig, args):
    thread = hand_over(builder, S.AT_WARP, op=S.ACTIVE, mask=0, value=0, site=WORD(site()))
    return builder.trunc(word(builder, S.RESULT, thread), INT32)


@declare("lanemask_lt")
def lanemask_lt():
    return types.uint32


@lanemask_lt.emits
def _(context, builder, sig, args):
    bit = builder.shl(INT32(1), builder.trunc(coordinate(builder, S.LANE), INT32))
    return builder.sub(bit, INT32(1))


@overload_method(types.Integer, "bit_count", target="cpu")
@in_kernels
def _bit_count(i):
    popc = functions.CUDA["popc"]
    return lambda i: popc(i)


# --- the module ---------------------------------------------------------------------------------------------

cg = Namespace("cg", this_grid=this_grid)


def _same(native):
    return native


def namespace(of=_same):
    """The module ``cuda``; `of` gives the type of a kernel's arrays from that of plain ones."""
    here = {name: value for name, value in globals().items() if name in NAMES}
    scalars = {str(native): native for native in (*types.number_domain, types.boolean)}
    scalars |= {"intp": types.intp, "uintp": types.uintp, "bool_": types.boolean, "void": types.void}
    return Namespace(
        "cuda", shared=Namespace("shared", array=_shared_array(of)), local=Namespace("local", array=_local_array(of)),
        const=Namespace("const", array_like=_constant_array(of)),
        warpsize=32, laneid=Field(S.LANE), atomic=atomics.atomic,
        twins=twins.namespace(of is not _same, slots=_slots(of)),
        fp16=Namespace("fp16", **functions.FP16), bf16=Namespace("bf16", **functions.BF16),
        libdevice=Namespace("libdevice", **functions.LIBDEVICE),
        **scalars, **here, **functions.CUDA, **functions.VECTORS, **atomics.HINTS,
    )  # fmt: skip


NAMES = {
    "threadIdx", "blockIdx", "blockDim", "gridDim", "grid", "gridsize", "cg", "syncthreads",
    "syncthreads_count", "syncthreads_and", "syncthreads_or", "threadfence", "threadfence_block", "threadfence_system",
    "nanosleep", "shfl_sync", "shfl_up_sync", "shfl_down_sync", "shfl_xor_sync", "all_sync", "any_sync", "eq_sync",
    "ballot_sync", "match_any_sync", "match_all_sync", "syncwarp", "activemask", "lanemask_lt",
}  # fmt: skip


def _alias():
    """Let functions that Numba overloads, which `rebind` leaves alone, name what ``numba.cuda.libdevice`` declares."""
    from numba.core.typing.templates import infer_global
    from numba.cuda import libdevice

    for name, function in functions.LIBDEVICE.items():
        if hasattr(libdevice, name):
            infer_global(getattr(libdevice, name), function.type)


_alias()

"""What the words of `kernels.device.twins`, in which twins of instructions are written, mean in a compiled kernel."""

import functools

from numba import njit, types
from numba.core import cgutils
from numba.np import arrayobj

from .. import memory
from .. import state as S
from ..functions.declare import call
from ..transfers import OPERATIONS
from .checked import ask
from .lowering import (
    INT32,
    WORD,
    Namespace,
    call_worker,
    declare,
    declare_fixed,
    hand_over,
    put,
    row,
    signature,
    site,
    word,
    worker,
)

# --- what all lanes of a warp compute together ------------------------------------------------------------------------


def _parts(native):
    return list(native) if isinstance(native, types.BaseTuple) else [native]


def _of_lanes(native):
    """The array that a collective function sees of an operand: lanes, and parts of the tuple."""
    return types.Array(_parts(native)[0], 2, "A")


def _over_lanes(context, builder, native, address, dtype, count):
    array = context.make_array(_of_lanes(native))(context, builder)
    itemsize = WORD(dtype.itemsize)
    data = builder.inttoptr(address, array.data.type)
    shape, strides = [WORD(S.LANES), WORD(count)], [WORD(S.MAIL_BYTES), itemsize]
    arrayobj.populate_array(array, data, shape, strides, itemsize, None)
    return array._getvalue()


def _pointers(context, builder, native, address, dtype):
    """Pointers to the parts of a value in a thread's mail, with their types."""
    for k, part in enumerate(_parts(native)):
        at = builder.add(address, WORD(k * dtype.itemsize))
        yield part, builder.inttoptr(at, context.get_data_type(part).as_pointer())


@functools.cache
def collective(twin):
    """A function of kernels that all lanes of a warp call, and one of them computes for all."""
    natives = [twin.signature.return_type, *twin.signature.args]
    places = memory.mail(twin.signature)
    stub = declare_fixed(twin.__name__, twin.signature)
    dispatcher = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(twin.function)

    @stub.emits
    def emit(context, builder, sig, args):
        thread = row(builder)
        boss = worker(builder, thread)
        fibre = builder.add(
            builder.mul(word(builder, S.SLOT, thread), word(builder, S.STRIDE, boss)), word(builder, S.LINEAR, thread)
        )
        mail = word(builder, S.MAIL, boss)
        mine = builder.add(mail, builder.mul(fibre, WORD(S.MAIL_BYTES)))
        first = builder.add(mail, builder.mul(builder.and_(fibre, WORD(-S.LANES)), WORD(S.MAIL_BYTES)))
        for native, value, (at, dtype, _) in zip(sig.args, args, places[1:], strict=True):
            parts = cgutils.unpack_tuple(builder, value) if isinstance(native, types.BaseTuple) else [value]
            pointers = _pointers(context, builder, native, builder.add(mine, WORD(at)), dtype)
            for part, (kind, pointer) in zip(parts, pointers, strict=True):
                builder.store(context.get_value_as_data(builder, kind, part), pointer)
        hand_over(builder, S.AT_WARP, op=S.COLLECTIVE, mask=S.FULL, value=0, site=WORD(site()))
        offset = builder.mul(builder.lshr(fibre, WORD(5)), WORD(8 * S.WARP_WORDS))
        warp = builder.inttoptr(builder.add(word(builder, S.WARPS_AT, boss), offset), WORD.as_pointer())
        with builder.if_then(builder.icmp_unsigned("==", word(builder, S.COMPUTED, warp), WORD(0))):
            put(builder, S.COMPUTED, 1, warp)
            arrays = [
                _over_lanes(context, builder, native, builder.add(first, WORD(at)), dtype, count)
                for native, (at, dtype, count) in zip(natives, places, strict=True)
            ]
            call(context, builder, dispatcher, signature(types.none, *map(_of_lanes, natives)), arrays)
        found = [
            context.data_model_manager[kind].from_data(builder, builder.load(pointer))
            for kind, pointer in _pointers(context, builder, sig.return_type, mine, places[0][1])
        ]
        return context.make_tuple(builder, sig.return_type, found) if len(found) > 1 else found[0]

    return stub


# --- addresses --------------------------------------------------------------------------------------------------------


def _data(context, builder, sig, args):
    array = context.make_array(sig.args[0])(context, builder, args[0])
    return builder.ptrtoint(array.data, WORD)


def _address(name, native, place):
    @declare(name)
    def address(array):
        return native if isinstance(array, types.Array) else None

    @address.emits
    def _(context, builder, sig, args):
        return place(builder, _data(context, builder, sig, args))

    return address


shared_address = _address(
    "shared_address", types.uint32,
    lambda builder, data: builder.trunc(builder.sub(data, word(builder, S.SHARED)), INT32),
)  # fmt: skip
global_address = _address("global_address", types.uint64, lambda builder, data: data)


def _dtype(native):
    if isinstance(native, (types.DTypeSpec, types.NumberClass)):
        return native.dtype
    return native.instance_type if isinstance(native, types.TypeRef) else None


def _load(is_checked):
    @declare("load")
    def load(dtype, pointer):
        native = _dtype(dtype)
        return None if native is None else signature(native, dtype, types.int64)

    @load.emits
    def _(context, builder, sig, args):
        if is_checked:
            ask(context, builder, sig.return_type, args[1], S.READ, WORD(0))
        data = context.get_data_type(sig.return_type).as_pointer()
        return context.unpack_value(builder, sig.return_type, builder.inttoptr(args[1], data))

    return load


def _store(is_checked):
    @declare("store")
    def store(pointer, value):
        return signature(types.none, types.int64, types.unliteral(value))

    @store.emits
    def _(context, builder, sig, args):
        native = sig.args[1]
        if is_checked:
            ask(context, builder, native, args[0], S.WRITE, WORD(0))
        data = context.get_data_type(native).as_pointer()
        context.pack_value(builder, native, args[1], builder.inttoptr(args[0], data))
        return context.get_dummy_value()

    return store


# --- transfers, and waiting -------------------------------------------------------------------------------------------


def _transfer(name, op, count):
    stub = declare_fixed(name, signature(types.int64, *[types.int64] * count))

    @stub.emits
    def _(context, builder, sig, args):
        operands = [*args, *[WORD(0)] * (4 - count)]
        found = call_worker(builder, S.TRANSFER, WORD, WORD(op), *operands)
        with builder.if_then(builder.icmp_signed("<", found, WORD(0)), likely=False):
            hand_over(builder, S.RAISED)
        return found

    return stub


_TRANSFERS = {name: _transfer(name, op, count) for name, (op, count) in OPERATIONS.items()}
pause = declare_fixed("pause", signature(types.none))


@pause.emits
def _(context, builder, sig, args):
    hand_over(builder, S.AT_POINT)
    return context.get_dummy_value()


def _barrier(name, kind):
    barrier = declare_fixed(name, signature(types.none, types.int64, types.int64))

    @barrier.emits
    def _(context, builder, sig, args):
        number, threads = args
        hand_over(builder, kind, op=S.NO_VOTE, mask=threads, argument=number, value=0, site=WORD(site()))
        return context.get_dummy_value()

    return barrier


def namespace(is_checked, **others):
    """The words, for a kernel whose accesses to memory are checked or not."""
    return Namespace(
        "twins", **others, collective=collective, load=_load(is_checked), store=_store(is_checked),
        shared_address=shared_address, global_address=global_address, pause=pause, **_TRANSFERS,
        barrier_sync=_barrier("barrier_sync", S.AT_BLOCK), barrier_arrive=_barrier("barrier_arrive", S.ARRIVES),
    )  # fmt: skip

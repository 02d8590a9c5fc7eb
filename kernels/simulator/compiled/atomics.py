"""Atomic operations and accesses with cache hints of compiled kernels.

One thread runs at a time, so that an update is a load, an operation and a store; each is a scheduling point.
Semantics: numba-cuda, "Supported Atomic Operations"; ``inc`` and ``dec`` as PTX ISA, ``atom``; ``max`` and ``min``
leave what is there where either is NaN, ``nanmax`` and ``nanmin`` where the operand is.
"""

from numba import types
from numba.core import errors
from numba.np import arrayobj

from .. import state as S
from .checked import element
from .lowering import Namespace, declare, point, signature


def _add(old, value):
    return old + value


def _sub(old, value):
    return old - value


def _and(old, value):
    return old & value


def _or(old, value):
    return old | value


def _xor(old, value):
    return old ^ value


def _exchange(old, value):
    return value


def _increment(old, value):
    return old - old if old >= value else old + 1


def _decrement(old, value):
    return value if old == 0 or old > value else old - 1


def _max(old, value):
    return value if value > old else old


def _min(old, value):
    return value if value < old else old


def _nanmax(old, value):
    return value if value > old or old != old else old


def _nanmin(old, value):
    return value if value < old or old != old else old


def _array(name, array, index, kinds=types.Integer):
    """Check what an atomic operation is given."""
    if not isinstance(array, types.Array):
        raise errors.TypingError(f"atomic.{name}: ary must be an array, not {array}")
    parts = tuple(index) if isinstance(index, types.BaseTuple) else (index,)
    if len(parts) != array.ndim or not all(isinstance(part, kinds) for part in parts):
        raise errors.TypingError(f"atomic.{name}: idx must be {array.ndim} integers, not {index}")


def _place(context, builder, array, memory, index, value, kind):
    """The address of an element; an index that Numba made a float is cast, as on hardware."""
    native = types.UniTuple(types.intp, array.ndim) if isinstance(index, types.BaseTuple) else types.intp
    if any(isinstance(part, types.Float) for part in (index if isinstance(index, types.BaseTuple) else (index,))):
        index, value = native, context.cast(builder, value, index, native)
    return element(context, builder, array, memory, index, value, kind)


def _updating(name, change, kinds):
    """An operation that puts ``change(old, value)`` in the place of the old value."""

    @declare(f"atomic.{name}")
    def operation(ary, idx, val):
        _array(name, ary, idx, (types.Integer, types.Float))
        if not isinstance(ary.dtype, kinds):
            raise errors.TypingError(f"atomic.{name}: not for arrays of {ary.dtype}")
        return signature(ary.dtype, ary, idx, val)

    @operation.emits
    def _(context, builder, sig, args):
        array, index, given = sig.args
        native = array.dtype
        point(builder)
        pointer = _place(context, builder, array, args[0], index, args[1], S.ATOMIC)
        value = context.cast(builder, args[2], given, native)
        old = arrayobj.load_item(context, builder, array, pointer)
        new = context.compile_internal(builder, change, signature(native, native, native), [old, value])
        arrayobj.store_item(context, builder, array, new, pointer)
        return old

    return operation


_NUMBERS, _INTEGERS = (types.Integer, types.Float, types.Complex), (types.Integer,)
_REAL = (types.Integer, types.Float)


@declare("atomic.cas")
def cas(ary, idx, old, val):
    _array("cas", ary, idx)
    return signature(ary.dtype, ary, idx, old, val)


@cas.emits
def _(context, builder, sig, args):
    return _compare_and_swap(context, builder, sig.args[0], args[0], (sig.args[1], args[1]), sig.args[2:], args[2:])


@declare("atomic.compare_and_swap")
def compare_and_swap(ary, old, val):
    _array("compare_and_swap", ary, types.UniTuple(types.int64, ary.ndim))
    return signature(ary.dtype, ary, old, val)


@compare_and_swap.emits
def _(context, builder, sig, args):
    array = sig.args[0]
    index = types.UniTuple(types.int64, array.ndim)
    zeros = context.make_tuple(builder, index, [context.get_constant(types.int64, 0)] * array.ndim)
    return _compare_and_swap(context, builder, array, args[0], (index, zeros), sig.args[1:], args[1:])


def _swapped(there, old, value):
    return value if there == old else there


def _compare_and_swap(context, builder, array, memory, index, natives, values):
    native = array.dtype
    point(builder)
    pointer = _place(context, builder, array, memory, *index, S.ATOMIC)
    old, value = (context.cast(builder, v, given, native) for v, given in zip(values, natives, strict=True))
    there = arrayobj.load_item(context, builder, array, pointer)
    new = context.compile_internal(builder, _swapped, signature(native, native, native, native), [there, old, value])
    arrayobj.store_item(context, builder, array, new, pointer)
    return there


atomic = Namespace(
    "atomic",
    add=_updating("add", _add, _NUMBERS), sub=_updating("sub", _sub, _NUMBERS),
    and_=_updating("and_", _and, _INTEGERS), or_=_updating("or_", _or, _INTEGERS),
    xor=_updating("xor", _xor, _INTEGERS), exch=_updating("exch", _exchange, _NUMBERS),
    inc=_updating("inc", _increment, _INTEGERS), dec=_updating("dec", _decrement, _INTEGERS),
    max=_updating("max", _max, _REAL), min=_updating("min", _min, _REAL),
    nanmax=_updating("nanmax", _nanmax, _REAL), nanmin=_updating("nanmin", _nanmin, _REAL),
    cas=cas, compare_and_swap=compare_and_swap,
)  # fmt: skip


# --- cache hints: flags are passed by them, so they order as relaxed atomics do -----------------------------


def _loading(name):
    @declare(name)
    def load(array, i):
        _array(name, array, i)
        return signature(array.dtype, array, i)

    @load.emits
    def _(context, builder, sig, args):
        point(builder)
        pointer = _place(context, builder, sig.args[0], args[0], sig.args[1], args[1], S.RELAXED_READ)
        return arrayobj.load_item(context, builder, sig.args[0], pointer)

    return load


def _storing(name):
    @declare(name)
    def store(array, i, value):
        _array(name, array, i)
        return signature(types.none, array, i, value)

    @store.emits
    def _(context, builder, sig, args):
        array = sig.args[0]
        point(builder)
        pointer = _place(context, builder, array, args[0], sig.args[1], args[1], S.RELAXED_WRITE)
        arrayobj.store_item(context, builder, array, context.cast(builder, args[2], sig.args[2], array.dtype), pointer)
        return context.get_dummy_value()

    return store


HINTS = {name: _loading(name) for name in ("ldca", "ldcg", "ldcs", "ldlu", "ldcv")}
HINTS |= {name: _storing(name) for name in ("stcg", "stcs", "stwb", "stwt")}

"""Arrays of compiled kernels whose every access is checked.

`Checked` is Numba's type of arrays with its own element access: an index is compared with the extent, `shadow.access`
is asked, and then the element is loaded or stored as ever. Views of checked arrays are checked. A thread's own arrays
have a byte for each of their bytes that says whether it was written; the field ``parent`` of the array's structure,
which has no other use here, holds how far away those bytes are, so that views find them too. For other arrays it holds
the address of their segment, or 0 where that is to be looked for.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import (
    RefType,
    iternext_impl,
    lower_builtin,
    lower_getattr_generic,
    lower_setattr_generic,
)
from numba.extending import models, register_model
from numba.np import arrayobj

from .. import shadow
from .. import state as S
from .fibers import STACK
from .lowering import WORD, call_worker, put, row, word, worker


class Checked(types.Array):
    """An array whose accesses are checked."""

    def __init__(self, dtype, ndim, layout, readonly=False, aligned=True):
        if isinstance(dtype, types.Record) and not isinstance(dtype, CheckedRecord):
            dtype = CheckedRecord.of(dtype)
        name = f"checked({dtype}, {ndim}, {layout}, {readonly}, {aligned})"
        super().__init__(dtype, ndim, layout, readonly=readonly, name=name, aligned=aligned)

    def copy(self, dtype=None, ndim=None, layout=None, readonly=None):
        """The same with other properties, checked too."""
        return Checked(
            self.dtype if dtype is None else dtype,
            self.ndim if ndim is None else ndim,
            self.layout if layout is None else layout,
            not self.mutable if readonly is None else readonly,
            self.aligned,
        )

    def unify(self, typing_context, other):
        """The type of a name that is this array or another; checked if either is."""
        found = super().unify(typing_context, other)
        return None if found is None else of(found)

    @property
    def key(self):
        """What makes types equal."""
        return ("checked", *super().key)

    @property
    def iterator_type(self):
        """Of what iterates over the first axis."""
        return CheckedIterator(self)


class CheckedIterator(types.ArrayIterator):
    """What iterates over a checked array."""


class CheckedRecord(types.Record):
    """An element of a checked array of records: its fields are checked one by one."""

    @classmethod
    def of(cls, record):
        """A record's type, checked."""
        fields = []
        for name, found in record.fields.items():
            native = cls.of(found.type) if isinstance(found.type, types.Record) else found.type
            fields.append((name, {**found._asdict(), "type": native}))
        return cls(fields, record.size, record.aligned)

    def __init__(self, fields, size, aligned):
        super().__init__(fields, size, aligned)
        self.name = f"checked({self.name})"

    @property
    def key(self):
        """What makes types equal."""
        return ("checked", super().key)


register_model(Checked)(models.ArrayModel)
register_model(CheckedIterator)(models.ArrayIterator)
register_model(CheckedRecord)(models.RecordModel)


def of(native):
    """The type of an argument with its arrays checked, those in tuples too."""
    if isinstance(native, Checked):
        return native
    if isinstance(native, types.Array):
        return Checked(native.dtype, native.ndim, native.layout, not native.mutable, native.aligned)
    if isinstance(native, types.NamedUniTuple):
        return types.NamedUniTuple(of(native.dtype), native.count, native.instance_class)
    if isinstance(native, types.NamedTuple):
        return types.NamedTuple(map(of, native.types), native.instance_class)
    if isinstance(native, types.UniTuple):
        return types.UniTuple(of(native.dtype), native.count)
    if isinstance(native, types.Tuple):
        return types.Tuple(tuple(map(of, native.types)))
    return native


# --- asking ---------------------------------------------------------------------------------------------------------


def _stop(builder):
    """Hand over for ever: the worker's row says why."""
    thread = row(builder)
    boss = worker(builder, thread)
    put(builder, S.KIND, S.RAISED, thread)
    switch = ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD]).as_pointer()
    function = builder.inttoptr(word(builder, S.SWITCH, boss), switch)
    builder.call(function, [builder.gep(thread, [WORD(S.STACK)]), word(builder, S.SCHEDULER_STACK, boss)])


def _helper(builder, name, count, emit):
    """A function of the kernel's own module with `count` words for arguments, made at its first use."""
    found = builder.module.globals.get(name)
    if found is None:
        found = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [WORD] * count), name)
        found.linkage = "linkonce_odr"
        found.attributes.add("noinline")
        body = ir.IRBuilder(found.append_basic_block())
        emit(body, *found.args)
        body.ret_void()
    return found


def _emit_access(builder, address, nbytes, kind, segment):
    fault = call_worker(builder, S.ACCESS, WORD, address, nbytes, kind, segment)
    with builder.if_then(builder.icmp_unsigned("!=", fault, WORD(0)), likely=False):
        _stop(builder)


def _access(builder, address, nbytes, kind, segment):
    """A plain access is filed here where that is all there is to do (`shadow.quick`)."""
    if kind & 255 not in (S.READ, S.WRITE):
        helper = _helper(builder, "simulator_access", 4, _emit_access)
        builder.call(helper, [address, WORD(nbytes), WORD(kind), segment])
        return

    def emit(body, thread, address, segment):
        arguments = [address, WORD(nbytes), WORD(kind), segment]
        function = ir.FunctionType(WORD, [WORD] * 5)
        quick = cgutils.get_or_insert_function(body.module, function, shadow.quick.symbol)
        filed = body.icmp_unsigned("!=", body.call(quick, [thread, *arguments]), WORD(0))
        with body.if_then(body.not_(filed), likely=False):
            body.call(_helper(body, "simulator_access", 4, _emit_access), arguments)

    thread = builder.ptrtoint(row(builder), WORD)
    builder.call(_helper(builder, f"simulator_access_{kind}_{nbytes}", 3, emit), [thread, address, segment])


def _emit_own(builder, address, nbytes, kind, away):
    """An access to a thread's own array: the bytes at a distance say what was written."""
    flags = builder.inttoptr(builder.add(address, away), cgutils.voidptr_t)
    writes = builder.icmp_unsigned("==", builder.and_(kind, WORD(255)), WORD(S.WRITE))
    with builder.if_else(writes) as (write, read):
        with write:
            cgutils.memset(builder, flags, nbytes, 1)
        with read, cgutils.for_range(builder, nbytes, intp=WORD) as loop:
            untouched = builder.icmp_unsigned("==", builder.load(builder.gep(flags, [loop.index])), ir.IntType(8)(0))
            with builder.if_then(untouched, likely=False):
                _emit_access(builder, address, nbytes, WORD(S.UNTOUCHED), WORD(0))


def _emit_beyond(builder, data, index, axis, extent):
    thread = row(builder)
    for column, value in ((S.VALUE, index), (S.ARGUMENT, axis), (S.EXTRA, extent)):
        put(builder, column, value, thread)
    _emit_access(builder, data, WORD(0), WORD(S.BEYOND), WORD(0))


def ask(context, builder, native, address, kind, away, aligned=True, nbytes=None):
    """Check an access to a value of a type at an address; `away` is 0 but for a thread's own arrays."""
    if nbytes is None:
        nbytes = context.get_abi_sizeof(context.get_data_type(native))
    if aligned:
        kind |= _alignment(native, nbytes) << 8
    # Distances on a stack are small, and addresses large.
    distance = builder.icmp_unsigned("<", builder.add(away, WORD(STACK - 1)), WORD(2 * STACK))
    own = builder.and_(distance, builder.icmp_unsigned("!=", away, WORD(0)))
    with builder.if_else(own, likely=False) as (mine, others):
        with mine:
            builder.call(_helper(builder, "simulator_own", 4, _emit_own), [address, WORD(nbytes), WORD(kind), away])
        with others:
            _access(builder, address, nbytes, kind, away)


def _alignment(native, nbytes):
    if isinstance(native, types.Record):
        return 0
    if isinstance(native, types.Complex):
        nbytes //= 2
    return nbytes if nbytes in (2, 4, 8, 16) else 0


def _away(builder, array):
    return builder.ptrtoint(array.parent, WORD)


# --- elements and views ---------------------------------------------------------------------------------------------


def _parts(builder, index_type, index):
    if isinstance(index_type, types.BaseTuple):
        return index_type.types, cgutils.unpack_tuple(builder, index, len(index_type))
    return (index_type,), (index,)


def _within(context, builder, array_type, array, kinds, indices):
    """Indices that lie in their array: all integers are compared with the extents of their axes."""
    shape, data = cgutils.unpack_tuple(builder, array.shape, array_type.ndim), builder.ptrtoint(array.data, WORD)
    used = sum(not isinstance(kind, types.NoneType) and kind is not types.ellipsis for kind in kinds)
    axis, checked_kinds, checked = 0, [], []
    for kind, index in zip(kinds, indices, strict=True):
        if kind is types.ellipsis:
            axis += array_type.ndim - used
        elif isinstance(kind, types.Integer):
            index = _checked_index(context, builder, kind, index, axis, shape[axis], data)
            kind = types.uintp
            axis += 1
        elif not isinstance(kind, types.NoneType):
            axis += 1
        checked_kinds.append(kind)
        checked.append(index)
    return tuple(checked_kinds), tuple(checked)


def _checked_index(context, builder, kind, index, axis, extent, data):
    """An index that lies in its array; where bounds are not checked a negative one counts from the end."""
    index = context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)
    found = cgutils.alloca_once_value(builder, index)
    with builder.if_then(builder.icmp_unsigned(">=", index, extent), likely=False):
        builder.call(_helper(builder, "simulator_beyond", 4, _emit_beyond), [data, index, WORD(axis), extent])
        if kind.signed:
            negative = builder.icmp_signed("<", index, WORD(0))
            builder.store(builder.select(negative, builder.add(index, extent), index), found)
    return builder.load(found)


def _locate(context, builder, array_type, value, index_type, index):
    """The array's structure, and address, extents and strides of what an index denotes."""
    array = arrayobj.make_array(array_type)(context, builder, value)
    kinds, indices = _parts(builder, index_type, index)
    kinds, indices = arrayobj.normalize_indices(context, builder, kinds, indices)
    if isinstance(array_type, Checked):
        kinds, indices = _within(context, builder, array_type, array, kinds, indices)
    return array, *arrayobj.basic_indexing(context, builder, array_type, array, kinds, indices)


def element(context, builder, array_type, value, index_type, index, kind):
    """Address of an element, checked for one of the accesses of `state`."""
    array, pointer, _, _ = _locate(context, builder, array_type, value, index_type, index)
    if isinstance(array_type, Checked):
        _ask_element(context, builder, array_type, array, pointer, kind)
    return pointer


def _ask_element(context, builder, array_type, array, pointer, kind):
    address = builder.ptrtoint(pointer, WORD)
    ask(context, builder, array_type.dtype, address, kind, _away(builder, array), array_type.aligned)


def _item(context, builder, native, array_type, array, pointer, shape, strides):
    """A view, or an element; of records the address, whose fields are checked when they are used."""
    if isinstance(native, types.Array):
        return arrayobj.make_view(context, builder, array_type, array, native, pointer, shape, strides)._getvalue()
    if not isinstance(array_type.dtype, CheckedRecord):
        _ask_element(context, builder, array_type, array, pointer, S.READ)
    return arrayobj.load_item(context, builder, array_type, pointer)


@lower_builtin(operator.getitem, Checked, types.Integer)
@lower_builtin(operator.getitem, Checked, types.SliceType)
@lower_builtin(operator.getitem, Checked, types.NoneType)
@lower_builtin(operator.getitem, Checked, types.BaseTuple)
def _getitem(context, builder, sig, args):
    array_type, index_type = sig.args
    array, pointer, shape, strides = _locate(context, builder, array_type, args[0], index_type, args[1])
    return _item(context, builder, sig.return_type, array_type, array, pointer, shape, strides)


@lower_builtin(operator.setitem, Checked, types.Any, types.Any)
def _setitem(context, builder, sig, args):
    array_type, index_type, value_type = sig.args
    array, pointer, shape, strides = _locate(context, builder, array_type, args[0], index_type, args[1])
    if shape:
        _ask_all(context, builder, array_type, array, pointer, shape, strides, S.WRITE)
        if isinstance(value_type, Checked):
            source = arrayobj.make_array(value_type)(context, builder, args[2])
            extents, steps = (cgutils.unpack_tuple(builder, t, value_type.ndim) for t in (source.shape, source.strides))
            _ask_all(context, builder, value_type, source, source.data, extents, steps, S.READ)
        return arrayobj.setitem_array(context, builder, sig, args)
    if isinstance(value_type, CheckedRecord):
        ask(context, builder, value_type, builder.ptrtoint(args[2], WORD), S.READ, WORD(0), False, value_type.size)
    _ask_element(context, builder, array_type, array, pointer, S.WRITE)
    native = array_type.dtype
    if isinstance(value_type, types.Record) and isinstance(native, types.Record):
        value = args[2]
    else:
        value = context.cast(builder, args[2], value_type, native)
    arrayobj.store_item(context, builder, array_type, value, pointer)


def _ask_all(context, builder, array_type, array, pointer, shape, strides, kind):
    """Check accesses to all elements of a view."""
    base = builder.ptrtoint(pointer, WORD)
    with cgutils.loop_nest(builder, shape, WORD) as indices:
        address = base
        for index, stride in zip(indices, strides, strict=True):
            address = builder.add(address, builder.mul(index, stride))
        ask(context, builder, array_type.dtype, address, kind, _away(builder, array), array_type.aligned)


@lower_builtin("iternext", CheckedIterator)
@iternext_impl(RefType.BORROWED)
def _next(context, builder, sig, args, result):
    (iterator_type,) = sig.args
    array_type = iterator_type.array_type
    iterator = context.make_helper(builder, iterator_type, value=args[0])
    array = arrayobj.make_array(array_type)(context, builder, value=iterator.array)
    extent = cgutils.unpack_tuple(builder, array.shape, array_type.ndim)[0]
    index = builder.load(iterator.index)
    valid = builder.icmp_signed("<", index, extent)
    result.set_valid(valid)
    with builder.if_then(valid):
        pointer, shape, strides = arrayobj.basic_indexing(context, builder, array_type, array, (types.uintp,), (index,))
        result.yield_(_item(context, builder, iterator_type.yield_type, array_type, array, pointer, shape, strides))
        builder.store(cgutils.increment_index(builder, index), iterator.index)


# --- fields of records ----------------------------------------------------------------------------------------------


def _ask_field(context, builder, record, value, field, kind):
    native = record.typeof(field)
    address = builder.add(builder.ptrtoint(value, WORD), WORD(record.offset(field)))
    if not isinstance(native, (types.NestedArray, types.Record)):
        ask(context, builder, native, address, kind, WORD(0), record.aligned)


@lower_getattr_generic(CheckedRecord)
def _field(context, builder, record, value, field):
    _ask_field(context, builder, record, value, field, S.READ)
    return arrayobj.record_getattr(context, builder, record, value, field)


@lower_setattr_generic(CheckedRecord)
def _set_field(context, builder, sig, args, field):
    _ask_field(context, builder, sig.args[0], args[0], field, S.WRITE)
    return arrayobj.record_setattr(context, builder, sig, args, field)


# --- a thread's own arrays --------------------------------------------------------------------------------------------


def own(context, builder, native, value, size):
    """A local array of `size` bytes, with bytes that say what of it was written if it is a checked one."""
    if not isinstance(native, Checked):
        return value
    array = arrayobj.make_array(native)(context, builder, value)
    flags = cgutils.alloca_once(builder, ir.IntType(8), size=size)
    cgutils.memset(builder, builder.bitcast(flags, cgutils.voidptr_t), WORD(size), 0)
    away = builder.sub(builder.ptrtoint(flags, WORD), builder.ptrtoint(array.data, WORD))
    array.parent = builder.inttoptr(away, array.parent.type)
    return array._getvalue()


def shared(context, builder, native, value):
    """A block's array that was just placed, with its segment if it is a checked one."""
    if not isinstance(native, Checked):
        return value
    array = arrayobj.make_array(native)(context, builder, value)
    array.parent = builder.inttoptr(word(builder, S.SEGMENT), array.parent.type)
    return array._getvalue()


#: Checks that need checked arrays.
MEMORY = frozenset(shadow.BITS)

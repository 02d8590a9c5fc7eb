"""How compiled code reaches its thread, and how the names of a kernel's ``cuda`` are declared to Numba.

`declare` is one function of kernels: its typing and what it emits. `Namespace` is a value with attributes: modules such
as ``cuda.atomic``, and ``threadIdx`` whose attributes are words of the running thread.
"""

import itertools
import os

from llvmlite import ir
from numba import types
from numba.core import cgutils, typing
from numba.core.imputils import lower_builtin, lower_constant, lower_getattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, CallableTemplate, infer_getattr
from numba.extending import box, models, register_model, typeof_impl

from .. import state as S
from .fibers import SHIFT, STACK, STAGGER

WORD = ir.IntType(64)
INT32 = ir.IntType(32)


def row(builder):
    """The running thread's row of the table, from the word of its stack that holds its address."""
    pointer = WORD.as_pointer()
    frame = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(cgutils.voidptr_t, [INT32]), "llvm.frameaddress.p0"
    )
    here = builder.ptrtoint(builder.call(frame, [INT32(0)]), WORD)
    end = builder.sub(builder.or_(here, WORD(STACK - 1)), builder.and_(builder.lshr(here, WORD(SHIFT)), WORD(STAGGER)))
    found = builder.load(builder.inttoptr(builder.sub(end, WORD(7)), pointer))
    found.set_metadata("invariant.load", builder.module.add_metadata([]))  # once for a whole function
    return builder.inttoptr(found, pointer)


def word(builder, column, base=None):
    """A word of the running thread, or of the row that `base` points to."""
    return builder.load(builder.gep(row(builder) if base is None else base, [WORD(column)]))


def put(builder, column, value, base=None):
    """Set a word of the running thread, or of the row that `base` points to."""
    value = WORD(value) if isinstance(value, int) else value
    builder.store(value, builder.gep(row(builder) if base is None else base, [WORD(column)]))


def worker(builder, base=None):
    """The row of the worker that runs the thread."""
    return builder.inttoptr(word(builder, S.WORKER, base), WORD.as_pointer())


#: Words of the worker that tell a thread where it is; others are of the thread's own row.
EXTENTS = frozenset(range(S.GDX, S.BDZ + 1))

#: Names of the functions that `coordinate` calls, by column; `build` says what they are.
COORDINATE = "simulator_coordinate_"


def coordinate(builder, column):
    """Where the running thread is in its block or grid, or an extent of them."""
    function = ir.FunctionType(WORD, [])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, f"{COORDINATE}{column}"), [])


def hand_over(builder, kind, **columns):
    """Ask the scheduler for something, let other threads run, and go on when it is granted."""
    thread = row(builder)
    put(builder, S.KIND, kind, thread)
    for name, value in columns.items():
        put(builder, getattr(S, name.upper()), value, thread)
    builder.call(_helper(builder, HAND_OVER, _emit_switch), [thread])
    return thread


def point(builder):
    """A scheduling point: hand over now and then, so that a thread that waits for another lets it run."""
    builder.call(_helper(builder, POINT, _emit_point), [row(builder)])


#: Functions whose presence in a finished kernel says that its threads, or its blocks, depend on one another.
HAND_OVER, POINT = "simulator_hand_over", "simulator_point"


def _helper(builder, name, emit):
    """A function of the kernel's own module, made at its first use."""
    found = builder.module.globals.get(name)
    if found is None:
        found = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [WORD.as_pointer()]), name)
        found.linkage = "linkonce_odr"
        found.attributes.add("noinline")
        body = ir.IRBuilder(found.append_basic_block())
        emit(body, found.args[0])
        body.ret_void()
    return found


def _emit_switch(builder, thread):
    boss = worker(builder, thread)
    function = ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD]).as_pointer()
    switch = builder.inttoptr(word(builder, S.SWITCH, boss), function)
    builder.call(switch, [builder.gep(thread, [WORD(S.STACK)]), word(builder, S.SCHEDULER_STACK, boss)])


def _emit_point(builder, thread):
    boss = worker(builder, thread)
    points = builder.add(word(builder, S.POINTS, boss), word(builder, S.STEP, boss))
    put(builder, S.POINTS, points, boss)
    with builder.if_then(builder.icmp_unsigned("<", builder.and_(points, WORD(31)), word(builder, S.STEP, boss))):
        put(builder, S.KIND, S.AT_POINT, thread)
        builder.call(_helper(builder, HAND_OVER, _emit_switch), [thread])


def call_worker(builder, column, result, *arguments):
    """Call a function of the worker's, by the address that its row holds; arguments are words."""
    thread = row(builder)
    function = ir.FunctionType(result, [WORD] * (1 + len(arguments))).as_pointer()
    address = builder.inttoptr(word(builder, column, worker(builder, thread)), function)
    return builder.call(address, [builder.ptrtoint(thread, WORD), *arguments])


_places = itertools.count(int.from_bytes(os.urandom(5), "little") << 20)


def site():
    """A number for a place in a kernel: two calls of a barrier are two places, in code from any process."""
    return next(_places)


def bits(context, builder, native, value):
    """A scalar as a word: integers extended by their sign, floats by their bits."""
    if isinstance(native, types.Boolean):
        return builder.zext(context.cast(builder, value, native, types.boolean), WORD)
    if isinstance(native, types.Float):
        return builder.zext(builder.bitcast(value, ir.IntType(native.bitwidth)), WORD)
    extend = builder.sext if native.signed else builder.zext
    return extend(value, WORD) if native.bitwidth < 64 else value


def unbits(context, builder, native, word_):
    """A scalar from the word that `bits` made of it."""
    if isinstance(native, types.Boolean):
        return builder.icmp_unsigned("!=", word_, WORD(0))
    narrow = builder.trunc(word_, ir.IntType(native.bitwidth)) if native.bitwidth < 64 else word_
    return builder.bitcast(narrow, context.get_value_type(native)) if isinstance(native, types.Float) else narrow


class Function:
    """A function of kernels, found by its name in a namespace."""

    def __init__(self, name):
        self.name, self.__name__ = name, name.rpartition(".")[2]

    def __repr__(self):
        return f"<function {self.name}>"


def declare(name, literal=False):
    """Declare a function of kernels: ``@declare("name")`` over a typer, then ``.emits`` over what lowers it.

    Parameters
    ----------
    name : str
    literal : bool
        Whether the typer wants the types of literals as such.
    """

    def typed(typer):
        stub = Function(name)

        class Template(CallableTemplate):
            key = stub
            prefer_literal = literal

            def generic(self):
                return typer

        stub.type = types.Function(Template)
        stub.emits = lower_builtin(stub, types.VarArg(types.Any))
        return stub

    return typed


def declare_fixed(name, declared):
    """Declare a function of kernels with one signature, to which its arguments are cast; then ``.emits`` as above."""
    stub = Function(name)

    class Template(AbstractTemplate):
        key = stub

        def generic(self, args, kws):
            return None if kws or len(args) != len(declared.args) else declared

    stub.type = types.Function(Template)
    stub.emits = lower_builtin(stub, types.VarArg(types.Any))
    return stub


@typeof_impl.register(Function)
def _type_of_function(value, context):
    return value.type


@lower_constant(types.Function)
def _constant_function(context, builder, native, value):
    return context.get_dummy_value()


class Field:
    """An attribute that is a coordinate of the running thread."""

    def __init__(self, column, native=types.int32):
        self.column, self.native = column, native

    def emit(self, builder):
        found = coordinate(builder, self.column)
        return builder.trunc(found, ir.IntType(self.native.bitwidth)) if self.native.bitwidth < 64 else found


class Namespace:
    """A value of a kernel whose attributes are functions, types, numbers, fields and namespaces."""

    def __init__(self, name, **attributes):
        self.name = name
        self.__dict__.update(attributes)


class NamespaceType(types.Type):
    """The type of one namespace, known while a kernel is compiled."""

    def __init__(self, namespace):
        self.namespace = namespace
        super().__init__(f"namespace({namespace.name}, {id(namespace):#x})")


register_model(NamespaceType)(models.OpaqueModel)


@typeof_impl.register(Namespace)
def _type_of_namespace(value, context):
    return NamespaceType(value)


@lower_constant(NamespaceType)
def _constant_namespace(context, builder, native, value):
    return context.get_dummy_value()


@infer_getattr
class _NamespaceAttributes(AttributeTemplate):
    key = NamespaceType

    def generic_resolve(self, native, attribute):
        found = getattr(native.namespace, attribute, None)
        if found is None:
            return None
        return found.native if isinstance(found, Field) else self.context.resolve_value_type(found)


@lower_getattr_generic(NamespaceType)
def _get_attribute(context, builder, native, value, attribute):
    found = getattr(native.namespace, attribute)
    if isinstance(found, Field):
        return found.emit(builder)
    kind = context.typing_context.resolve_value_type(found)
    if isinstance(kind, (types.Function, types.Dispatcher, NamespaceType)):
        return context.get_dummy_value()
    return context.get_constant_generic(builder, kind, found)


@box(NamespaceType)
def _python_value(native, value, c):
    """What is printed of ``threadIdx``: its three words."""
    fields = [getattr(native.namespace, axis).emit(c.builder) for axis in "xyz"]
    return c.pyapi.tuple_pack([c.pyapi.long_from_longlong(c.builder.sext(field, WORD)) for field in fields])


def signature(result, *arguments):
    """A signature of Numba's."""
    return typing.signature(result, *arguments)

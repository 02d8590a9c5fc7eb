"""Kernels compiled for the processor: a function and the types of its arguments become an object file."""

import functools
import itertools
import math
import re
import types as python_types

import llvmlite.binding as llvm
from llvmlite import ir
from numba import jit, njit, types
from numba.core import cgutils, codegen
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.core.target_extension import jit_registry, target_override
from numba.core.typed_passes import NopythonTypeInference

from .. import compat, rebind, shadow
from .. import state as S
from . import cache, captured, checked, cuda, mathematics, target, threads
from .lowering import HAND_OVER, POINT, WORD, put, row, word

#: How kernels and device functions are compiled: no reference counts (50 ns a thread instead of 3), no wrappers that
#: Python could call, divisions by zero as hardware has them.
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}


#: A call of inline assembly in LLVM's language.
_NO_ASSEMBLY = "it contains assembly, which is a GPU's"
_ASSEMBLY = re.compile(r'\bcall\b[^\n"]*\basm\b[a-z ]*"')


# --- object files -------------------------------------------------------------------------------------------


class _Library(codegen.AOTCodeLibrary):
    """Compiled functions for others to link: optimized where all is together, and only there."""

    whole, prepare = False, None

    def add_ir_module(self, ir_module):
        # A frame that is larger than a page is touched from its top on, so that none skips the guard below a stack.
        for function in ir_module.functions:
            if not function.is_declaration:
                set.add(function.attributes, '"probe-stack"="inline-asm"')  # llvmlite does not know of it
                if not self.whole:
                    self.codegen.defined[function.name] = self
                    if threads.asks(function, self.codegen.asking) and "noinline" not in function.attributes:
                        self.codegen.asking.add(function.name)
                        function.attributes.add("alwaysinline")
        super().add_ir_module(ir_module)

    def _optimize_final_module(self):
        if self.prepare:
            passes = llvm.create_pass_builder(self._codegen._tm, llvm.create_pipeline_tuning_options(speed_level=0))
            inline = passes.getModulePassManager()
            self._final_module = self.prepare(self._final_module, lambda: inline.run(self._final_module, passes))
        if self.whole:
            super()._optimize_final_module()

    def get_pointer_to_function(self, name):
        return 0  # nothing here is called from Python


class _Codegen(codegen.AOTCPUCodegen):
    """Numba's code generation into object files, for this processor with the features that it has."""

    _library_class = _Library

    def __init__(self):
        super().__init__("simulator", cpu_name="host")
        self.environments, self.defined, self.asking = {}, {}, set()

    def _customize_tm_features(self):
        return self._get_host_cpu_features()

    def insert_unresolved_ref(self, builder, fnty, name):
        """A function that calls itself: the linker finds it."""
        return cgutils.get_or_insert_function(builder.module, fnty, name)

    def set_env(self, name, environment):
        self.environments[name] = environment


class _Target:
    """Numba's target for the processor, with this code generation."""

    def __init__(self):
        context = cpu_target.target_context
        self.options, self.typing_context = cpu_target.options, cpu_target.typing_context
        self.codegen = _Codegen()
        self.target_context = context.subtarget(_internal_codegen=self.codegen)
        self.target_context.target = target.Simulated
        self.target_context.strict_alignment = True  # of the fields of records, as on a GPU


_target = functools.cache(_Target)


def retarget(dispatcher):
    """Have a function that ``njit`` made compiled into object files."""
    dispatcher.targetdescr = dispatcher._compiler.targetdescr = _target()
    dispatcher.targetctx = _target().target_context
    return dispatcher


@register_pass(mutates_CFG=True, analysis_only=False)
class _TypeInference(NopythonTypeInference):
    """Type inference of overloads, which may return views; Numba forbids it where nothing counts references."""

    _name = "simulator_type_inference"

    def run_pass(self, state):
        context = state.targetctx
        before, context.enable_nrt = context.enable_nrt, True
        try:
            return super().run_pass(state)
        finally:
            context.enable_nrt = before


class _OverloadCompiler(Compiler):
    def define_pipelines(self):
        pipelines = super().define_pipelines()
        for each in pipelines:
            each.passes = [(_TypeInference if p is NopythonTypeInference else p, name) for p, name in each.passes]
            each._finalized = False
            each.finalize()
        return pipelines


def _jit(*functions, **options):
    """How Numba compiles the overloads that kernels call."""

    def compiled(function, signatures=()):
        return retarget(jit(pipeline_class=_OverloadCompiler, **options)(function))

    def decorate(function):
        if not rebind.names_cuda(function):
            return compiled(function)
        return _rebinder(*_current).function(function, finish=compiled)

    return decorate(*functions) if functions else decorate


#: The options of the kernel that is being compiled: whether its accesses are checked, and whether it allocates.
_current = [False, False]


jit_registry[target.Simulated] = _jit


@global_compiler_lock
def object_file(name, emit, libraries):
    """The object file of a module and of the libraries that it calls."""
    return _linked(_target().codegen, name, emit, libraries).emit_native_object()


@global_compiler_lock
def text(name, emit, libraries):
    """The same as text, for `_linked` to inline the function `name`."""
    library = _linked(_target().codegen, name, emit, libraries)
    library._ensure_finalized()
    return library.get_llvm_str()


def _linked(generator, name, emit, libraries, inlined=(), prepare=None):
    library = generator.create_library(name)
    library.whole, library.prepare = True, prepare
    module = library.create_ir_module(name)
    emit(module)
    library.add_ir_module(module)
    for each in libraries:
        library.add_linking_library(each)
    for each in inlined:
        library._final_module.link_in(_copy(each))
    return library


def _copy(inlined):
    """A module with a function that is to be inlined."""
    module = llvm.parse_assembly(inlined.text)
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "weak_odr"  # of use to libraries that are linked later
    return module


# --- arguments ----------------------------------------------------------------------------------------------


def _load(context, builder, native, at):
    """An argument from its words; `at` gives the next one."""
    if isinstance(native, types.Array):
        array = context.make_array(native)(context, builder)
        array.nitems, array.itemsize = at(), at()
        array.data = builder.inttoptr(at(), array.data.type)
        array.shape = cgutils.pack_array(builder, [at() for _ in range(native.ndim)], WORD)
        array.strides = cgutils.pack_array(builder, [at() for _ in range(native.ndim)], WORD)
        array.meminfo = array.meminfo.type(None)
        array.parent = builder.inttoptr(at(), array.parent.type)
        return array._getvalue()
    if isinstance(native, types.BaseTuple):
        return context.make_tuple(builder, native, [_load(context, builder, n, at) for n in native])
    if isinstance(native, types.Complex):
        half = types.float32 if native is types.complex64 else types.float64
        number = context.make_complex(builder, native)
        number.real, number.imag = _load(context, builder, half, at), _load(context, builder, half, at)
        return number._getvalue()
    if isinstance(native, (types.NoneType, types.Omitted, types.Callable)):
        return context.get_dummy_value()
    if isinstance(native, types.EnumMember):
        return _load(context, builder, native.dtype, at)
    if isinstance(native, types.Boolean):
        return builder.icmp_unsigned("!=", at(), WORD(0))
    kind = context.get_value_type(native)
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(at(), kind)
    if isinstance(kind, ir.IntType):
        return builder.trunc(at(), kind) if kind.width < 64 else at()
    return builder.bitcast(builder.trunc(at(), ir.IntType(native.bitwidth)) if native.bitwidth < 64 else at(), kind)


# --- a kernel for its types ---------------------------------------------------------------------------------


@global_compiler_lock
def kernel(function, arguments, is_checked, allocates):
    """Compile a kernel.

    Parameters
    ----------
    function : function
    arguments : tuple of numba.types.Type
    is_checked, allocates : bool
        Whether accesses to memory are checked, and whether it may allocate.

    Returns
    -------
    facts : dict
        ``entry``: its symbol; ``needs``: names that others define; ``waits``: whether its threads hand over, so that
        each needs a stack; ``alone``: whether its blocks do not depend on one another in a way that was declared, no
        atomics, fences, grid barriers; ``portable``: whether the object file means the same in another process.
    code : bytes
        The object file.
    linked : callable
        Links the kernel in this process, for one that is not portable: the library and the address of its entry.
    """
    dispatcher = _rebinder(is_checked, allocates).function(function)
    if is_checked:
        arguments = tuple(map(checked.of, arguments))
    _current[:] = is_checked, allocates
    with target_override(target.NAME):
        dispatcher.compile(arguments)
    compiled = dispatcher.overloads[arguments]
    context, libraries = compiled.target_context, _libraries(compiled.library)
    text = "".join(library.get_llvm_str() for library in libraries)
    if _ASSEMBLY.search(text):
        raise NotImplementedError(_NO_ASSEMBLY)
    name, waits = "simulator_entry", HAND_OVER in text

    inlined = [shadow.quick] if is_checked else []

    def emit(module, name=name, by_rows=True):
        _emit_entry(context, module, name, compiled, loop=not waits)
        if by_rows:
            threads.define(module, text + str(module))

    if waits:
        library = _linked(_target().codegen, name, emit, libraries, inlined)
    else:  # a thread that does not look at its row, and ends soon, is told by values alone where it is
        rows = "llvm.frameaddress" in text or threads.repeats(text)
        prepare = functools.partial(threads.with_values, entry=name, rows=rows)
        by_values = functools.partial(emit, by_rows=False)
        library = _linked(_target().codegen, name, by_values, libraries, inlined, prepare)
    code = library.emit_native_object()
    needs = sorted(cache.needs(code))
    portable = cache.portable(needs) and not library.has_dynamic_globals
    facts = {"entry": name, "needs": needs, "waits": waits, "alone": POINT not in text, "portable": portable}

    @global_compiler_lock
    def linked():
        generator = cpu_target.target_context.codegen()
        unique = f"{name}_{next(_entries)}"
        library = _linked(generator, unique, functools.partial(emit, name=unique), libraries, inlined)
        address = library.get_pointer_to_function(unique)
        for symbol, environment in _target().codegen.environments.items():
            if f"@{symbol} " in library.get_llvm_str():
                generator.set_env(symbol, environment)
        return library, address

    return facts, code, linked


@global_compiler_lock
def refuse_assembly(function, arguments):
    """Compile a function as far as can be told whether LLVM takes it: it ends the process at assembly of a GPU.

    Raises
    ------
    NotImplementedError
        Where there is inline assembly.
    """
    dispatcher = retarget(njit(**OPTIONS)(function))
    with target_override(target.NAME):
        dispatcher.compile(arguments)
    if _ASSEMBLY.search("".join(each.get_llvm_str() for each in _libraries(dispatcher.overloads[arguments].library))):
        raise NotImplementedError(_NO_ASSEMBLY)


def _libraries(library):
    """The library of a function, and what Numba does not link to it: functions calling themselves with other types."""
    found, defined = [library], _target().codegen.defined
    for each in found:
        each._ensure_finalized()
        names = (function.name for function in each._final_module.functions if function.is_declaration)
        found += {defined[name] for name in names if name in defined}.difference(found)
    return found


_entries = itertools.count()


def _emit_entry(context, module, name, compiled, loop):
    """What a fibre runs: one thread, or for threads that never wait all of them in turn."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), name)
    builder = ir.IRBuilder(function.append_basic_block())
    thread = row(builder)
    boss = builder.inttoptr(word(builder, S.WORKER, thread), WORD.as_pointer())
    words = builder.inttoptr(word(builder, S.ARGUMENTS, boss), WORD.as_pointer())
    places = itertools.count()
    arguments = [
        _load(context, builder, native, lambda: builder.load(builder.gep(words, [WORD(next(places))])))
        for native in compiled.signature.args
    ]
    kernel = context.declare_function(module, compiled.fndesc)
    placed, place = threads.functions(module)

    def call(*coordinates):
        if loop:
            builder.call(placed, coordinates)
        status, _ = context.call_conv.call_function(
            builder, kernel, compiled.signature.return_type, compiled.signature.args, arguments
        )
        with builder.if_then(status.is_error, likely=False):
            if loop:
                builder.call(place, coordinates)
            put(builder, S.EXCEPTION, builder.ptrtoint(status.excinfoptr, WORD), boss)
            _leave(builder, S.RAISED, thread, boss)
            builder.unreachable()

    if loop:
        threads.emit_loops(builder, thread, boss, call)
    else:
        call()
    _leave(builder, S.DONE, thread, boss)
    builder.unreachable()


def _leave(builder, kind, thread, boss):
    put(builder, S.KIND, kind, thread)
    switch = ir.FunctionType(ir.VoidType(), [WORD.as_pointer(), WORD]).as_pointer()
    function = builder.inttoptr(word(builder, S.SWITCH, boss), switch)
    builder.call(function, [builder.gep(thread, [WORD(S.STACK)]), word(builder, S.SCHEDULER_STACK, boss)])


# --- what kernels name --------------------------------------------------------------------------------------


@functools.cache
def _rebinder(is_checked, allocates):
    of = checked.of if is_checked else _itself
    finish = functools.partial(_jitted, of=of, allocates=allocates)
    return rebind.Rebinder(cuda.namespace(of), _replace, finish, compat.known_to_numba)


def _replace(value, used):
    """Values of kernels that mean something else when compiled for the processor."""
    if used is None:  # a builtin of that name
        return mathematics.BUILTINS.get(value)
    if value is math:
        return mathematics.MATH
    if isinstance(value, python_types.BuiltinFunctionType) and value in mathematics.MATH_FUNCTIONS:
        return mathematics.MATH_FUNCTIONS[value]
    if isinstance(value, Dispatcher) and not value._can_compile:
        raise TypingError(f"Untyped global name '{value.__name__}': using cpu function on device")
    if isinstance(value, python_types.FunctionType) and hasattr(value, "twin") and not compat.known_to_numba(value):
        raise NotImplementedError(
            f"{value.__name__} was declared to the compiler for GPUs, without NUMBA_ENABLE_CUDASIM=1"
        )
    if (memory := compat.device_memory(value)) is not None:
        return captured.Captured(memory)
    found = compat.scalar_type(value)
    return value if found is None else found


def _jitted(function, signatures, of, allocates):
    """A function compiled for the types that it is called with, or for those of its signatures."""
    dispatcher = retarget(njit(**OPTIONS | {"_nrt": allocates})(function))
    if signatures:
        waiting = [each.replace(args=tuple(map(of, each.args))) for each in signatures]
        resolve = dispatcher.get_call_template

        def get_call_template(args, kws):
            # Not before: what the function names is known by now.
            while waiting:
                dispatcher.compile(waiting.pop())
                if not waiting:
                    dispatcher.disable_compile()
            return resolve(args, kws)

        dispatcher.get_call_template = get_call_template
    return dispatcher


def _itself(native):
    return native

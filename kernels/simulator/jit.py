"""The simulator's own routines as machine code: compiled together once, kept on disk, called by their addresses.

`jit` is for what routines are made of, `c_function` makes a routine: a function of words that both engines and
compiled kernels call; `inlined` makes one that kernels are compiled together with. All routines are one object file,
made anew whenever a file changes that one of them comes from; a process that finds it kept does not start Numba's
compiler for them.
"""

import ctypes
import functools
import hashlib
import importlib
from pathlib import Path

from numba import njit, types

#: The modules that routines are in, and what else they are made of.
MODULES = (
    "memory", "scheduler", "shadow", "transfers", "compiled.loop", "compiled.signals", "interpreted.access",
)  # fmt: skip
PARTS = ("jit", "state", "clocks", "compiled.fibers", *MODULES)

_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False, "_nrt": False, "no_cfunc_wrapper": True,
            "no_cpython_wrapper": True}  # fmt: skip

_FUNCTIONS, _ROUTINES, _INLINED = [], {}, {}


def jit(function=None, **options):
    """``numba.njit`` of a function that only compiled functions call."""
    if function is None:
        return functools.partial(jit, **options)
    _FUNCTIONS.append(njit(**_OPTIONS, **options)(function))
    return _FUNCTIONS[-1]


def c_function(signature):
    """Make a function with a signature of words a `Routine`."""
    return functools.partial(Routine, signature)


def inlined(signature):
    """Make a function with a signature of words an `Inlined`."""
    return functools.partial(Inlined, signature)


class Inlined:
    """A function of words for compiled kernels, which have a copy of it, kept as text of LLVM's."""

    def __init__(self, signature, function):
        self.function, self.arguments = function, signature.args
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.symbol = f"simulator_{function.__name__}"
        _INLINED[self.symbol] = self

    @functools.cached_property
    def text(self):
        """A module of LLVM's that defines `symbol`."""
        return _kept_code()[0]["inlined"][self.symbol]


class Routine:
    """A function of words, each an int64.

    Attributes
    ----------
    address : int
        Where its machine code lies.
    ctypes : callable
        The function for Python; other threads of the host run meanwhile.
    """

    def __init__(self, signature, function):
        self.function, self.arguments = function, signature.args
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.symbol = f"simulator_{function.__name__}"
        _ROUTINES[self.symbol] = self

    @functools.cached_property
    def address(self):
        """Where its machine code lies."""
        return _code().address(self.symbol)

    @functools.cached_property
    def ctypes(self):
        """The function for Python."""
        return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(self.arguments))(self.address)


def address_of(name):
    """Address of a variable that the routines share."""
    return _code().address(name)


@functools.cache
def _code():
    from .compiled import cache

    return cache.Code(_kept_code()[1])


@functools.cache
def _kept_code():
    """The text of what is inlined, and the object file of all routines."""
    from .compiled import cache

    here = Path(__file__).parent
    sources = [here.joinpath(*name.split(".")).with_suffix(".py").read_bytes() for name in PARTS]
    key = hashlib.sha256(repr(("routines", sources, cache.environment()[:-1])).encode()).hexdigest()
    kept = _kept(key)
    if kept is None:
        with cache.alone("routines"):
            kept = _kept(key)
            if kept is None:
                texts, code = _compile()
                kept = {"needs": sorted(cache.needs(code)), "inlined": texts}, code
                cache.put(key, *kept)
    return kept


def _kept(key):
    from .compiled import cache

    kept = cache.get(key)
    return kept if kept and cache.defined(kept[0]["needs"]) else None


def _compile():
    """The text of what is inlined, and all routines in one object file."""
    from .compiled import build

    for name in MODULES:
        importlib.import_module(f".{name}", __package__)
    for function in _FUNCTIONS:
        build.retarget(function)
    texts = {each.symbol: build.text(each.symbol, *_emitted([each], inlined=True)) for each in list(_INLINED.values())}
    return texts, build.object_file("simulator_routines", *_emitted(list(_ROUTINES.values())))


def _emitted(routines, inlined=False):
    """What emits routines into a module under their symbols, and the libraries that it calls."""
    from llvmlite import ir

    from .compiled import build

    compiled = []
    for routine in routines:
        dispatcher = build.retarget(jit(routine.function, forceinline=inlined))
        dispatcher.compile(routine.arguments)
        compiled.append((routine, dispatcher.overloads[routine.arguments]))
    word = ir.IntType(64)

    def emit(module):
        for routine, result in compiled:
            context, native = result.target_context, result.signature
            function = ir.Function(module, ir.FunctionType(word, [word] * len(native.args)), routine.symbol)
            if inlined:
                function.attributes.add("alwaysinline")
            builder = ir.IRBuilder(function.append_basic_block())
            callee = context.declare_function(module, result.fndesc)
            _, value = context.call_conv.call_function(builder, callee, native.return_type, native.args, function.args)
            kind = native.return_type
            if kind is types.boolean:
                value = builder.zext(value, word)
            builder.ret(value if value.type == word else builder.sext(value, word))

    return emit, [result.library for _, result in compiled]

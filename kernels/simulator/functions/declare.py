"""A function of scalars: its signatures and one body, for both engines.

The signatures are those that numba-cuda gives the function. Numba's own overload resolution picks one of them and
casts the arguments, inside a compiled kernel and for a call from Python alike. The body is compiled by Numba's CPU
target, without the fast-math flags of the kernel around it, and both engines run that machine code. So they agree in
every bit, and no NumPy warning and no Python exception gets in between.
"""

import functools
import importlib.util
from pathlib import Path

import numpy as np
from numba import njit
from numba.core import types
from numba.core.caching import IndexDataCacheFile
from numba.core.typing.templates import AbstractTemplate, signature
from numba.core.typing.typeof import typeof
from numba.extending import lower_builtin, typeof_impl

#: The letters of signatures: ``"d(di)"`` is float64(float64, int32).
LETTERS = {
    "?": types.boolean, "b": types.int8, "h": types.int16, "i": types.int32, "l": types.int64, "B": types.uint8,
    "H": types.uint16, "I": types.uint32, "L": types.uint64, "e": types.float16, "f": types.float32, "d": types.float64,
}  # fmt: skip

#: The interpreted engine's values by Numba type: NumPy's scalars.
STRONG = {
    types.boolean: np.bool_, types.int8: np.int8, types.int16: np.int16, types.int32: np.int32, types.int64: np.int64,
    types.uint8: np.uint8, types.uint16: np.uint16, types.uint32: np.uint32, types.uint64: np.uint64,
    types.float16: np.float16, types.float32: np.float32, types.float64: np.float64,
    types.complex64: np.complex64, types.complex128: np.complex128,
}  # fmt: skip


def _stamp():
    """What changes when any file of this folder does, whose functions are compiled into one another."""
    files = [path.stat() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return max(f.st_mtime for f in files), sum(f.st_size for f in files)


STAMP = _stamp()
HAS_NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None


def entry_point(function, **options):
    """Compile a function: arithmetic raises nothing, and the machine code is kept on disk.

    Numba takes what it kept for stale when the file changes in which the function stands; here, when any file does.
    Whether bfloat16 is numba-cuda's is part of the name, since the index of what is kept holds types.
    """
    dispatcher = njit(error_model="numpy", cache=True, **options)(function)
    cache = dispatcher._cache
    name = f"{cache._impl.filename_base}.{'numba_cuda' if HAS_NUMBA_CUDA else 'numba'}"
    cache._cache_file = IndexDataCacheFile(cache._cache_path, name, STAMP)
    return dispatcher


def compiled(function):
    """Compile what only compiled functions call: wrappers for Python would cost a third of the time."""
    return entry_point(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def case(text):
    """The signature that `text` spells: results, then arguments in parentheses; several results are a tuple."""
    results, arguments = text.rstrip(")").split("(")
    returned = [LETTERS[letter] for letter in results]
    return signature(types.Tuple(returned) if len(returned) > 1 else returned[0], *(LETTERS[a] for a in arguments))


def strengthen(ty):
    """What makes NumPy scalars of a value of the Numba type `ty`, which Numba returns to Python as Python's own."""
    if isinstance(ty, types.BaseTuple):
        parts = [strengthen(part) for part in ty]
        return lambda value: tuple([part(v) for part, v in zip(parts, value, strict=True)])
    return STRONG.get(ty, lambda value: value)


class ScalarFunction:
    """A function that Python calls on NumPy scalars and that kernels compiled for the CPU call too.

    Parameters
    ----------
    table, name : str
        Where the function is found: the table's name and its own.
    bodies : function or tuple of functions
        What it does, one for each number of arguments, for Numba to compile. A body gets the arguments as the
        signature has them, and what it returns is cast to the signature's result.
    cases : iterable of str, or function
        The signatures, as `case` reads them; or a function of the argument types that returns a signature or None.
    """

    def __init__(self, table, name, bodies, cases):
        bodies = bodies if isinstance(bodies, tuple) else (bodies,)
        self.table, self.__name__, self.__doc__ = table, name, bodies[0].__doc__
        self.__qualname__ = f"{table}.{name}"
        self._functions = [getattr(body, "py_func", body) for body in bodies]
        self.cases = cases if callable(cases) else [case(text) if isinstance(text, str) else text for text in cases]
        self.entries = {}
        _declare(self)

    @functools.cached_property
    def bodies(self):
        """What Numba compiles, by the number of arguments.

        Afresh even where it is compiled already: here the results have the types of the signatures.
        """
        return {body.__code__.co_argcount: compiled(body) for body in self._functions}

    @property
    def counts(self):
        """The numbers of arguments."""
        return [body.__code__.co_argcount for body in self._functions]

    @property
    def body(self):
        """What Numba compiles, for a function of one number of arguments."""
        (body,) = self.bodies.values()
        return body

    def __repr__(self):
        return f"<{self.__qualname__}>"

    def __reduce__(self):
        return _find, (self.table, self.__name__)

    def __call__(self, *args):
        """Call the function on NumPy scalars; the results are NumPy scalars."""
        kinds = tuple([type(a) for a in args])
        entry = self.entries.get(kinds)
        if entry is None:
            entry = self.entries[kinds] = self._entry(args)
        return entry(*args)

    def _entry(self, args):
        run = ENTRIES[len(args)](self)
        run.compile(tuple([_type_of(a) for a in args]))
        (overload,) = run.overloads.values()
        strong, run = strengthen(overload.signature.return_type), overload.entry_point
        return lambda *args: strong(run(*args))


def _type_of(value):
    """The Numba type of an argument: Python's numbers are int64, float64 and complex128."""
    return types.int64 if type(value) is int else typeof(value)


FUNCTIONS = {}


def _find(table, name):
    return FUNCTIONS[table, name]


def _nullary(function):
    @entry_point
    def entry():
        return function()

    return entry


def _unary(function):
    @entry_point
    def entry(x):
        return function(x)

    return entry


def _binary(function):
    @entry_point
    def entry(x, y):
        return function(x, y)

    return entry


def _ternary(function):
    @entry_point
    def entry(x, y, z):
        return function(x, y, z)

    return entry


def _quaternary(function):
    @entry_point
    def entry(x, y, z, w):
        return function(x, y, z, w)

    return entry


ENTRIES = (_nullary, _unary, _binary, _ternary, _quaternary)


def _declare(function):
    """Tell Numba's CPU target how `function` is typed and lowered."""
    FUNCTIONS[function.table, function.__name__] = function
    cases, counts = function.cases, function.counts

    class Template(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            if kws or len(args) not in counts:
                return None
            if callable(cases):
                return cases(*map(types.unliteral, args))
            return self.context.resolve_overload(function, cases, args, kws)

    function.type = types.Function(Template)

    def lower(context, builder, sig, args):
        return call(context, builder, function.bodies[len(args)], sig, args)

    for count in counts:
        lower_builtin(function, *[types.Any] * count)(lower)


def call(context, builder, dispatcher, sig, args):
    """Lower a call of `dispatcher`, compiled for exactly `sig`; one result type for each set of arguments."""
    dispatcher.compile(sig)
    result = dispatcher.overloads[sig.args]
    context.active_code_library.add_linking_library(result.library)
    return context.call_internal_no_propagate(builder, result.fndesc, sig, args)[1]


@typeof_impl.register(ScalarFunction)
def _typeof(function, context):
    return function.type

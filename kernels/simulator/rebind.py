"""Copies of kernels whose names mean something else: the original and its module stay as they are."""

import functools
import types as python_types

from ..fingerprint import names_of
from . import compat

#: Modules whose functions mean in a kernel what they mean everywhere, or that an engine replaces as a whole.
PLAIN = {"math", "numpy", "operator", "builtins", "functools", "itertools"}


class Rebinder:
    """Copies functions for one engine.

    Parameters
    ----------
    module : object
        What ``cuda`` becomes.
    replace : callable
        Takes any other value that a kernel names, and what it is named; returns what it becomes, or the value itself.
    finish : callable
        Takes a copied function and the signatures that it was declared with, and returns what its callers see.
    keep : callable, optional
        Says of a function that is no device function whether it stays as it is.
    """

    def __init__(self, module, replace, finish, keep=lambda function: False):
        self._module, self._replace, self._finish, self._keep = module, replace, finish, keep
        self._done = {}

    def function(self, function, signatures=(), finish=None):
        """The copy of a function, made once while what it names stays the same; `finish` for once another."""
        key = id(function), signatures
        seen = snapshot(function)
        if key in self._done and self._done[key][1] == seen:
            return self._done[key][2]
        cells = tuple(python_types.CellType() for _ in function.__closure__ or ())
        globals_ = {"__builtins__": __builtins__, "__name__": function.__module__}
        copy = python_types.FunctionType(
            function.__code__, globals_, function.__name__, function.__defaults__, cells or None
        )
        copy.__kwdefaults__, copy.__module__ = function.__kwdefaults__, function.__module__
        copy.__qualname__, copy.__doc__ = function.__qualname__, function.__doc__
        finished = (finish or self._finish)(copy, signatures)
        self._done[key] = function, seen, finished  # before its names: a function may call itself
        used = names_of(function.__code__)
        for name in used & function.__globals__.keys():
            globals_[name] = self.value(function.__globals__[name], used)
        for name in used - globals_.keys():
            if (found := self._replace(name, None)) is not None:
                globals_[name] = found
        for cell, original in zip(cells, function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.value(original.cell_contents, used)
            except ValueError:  # a name that is not bound yet
                continue
        return finished

    def value(self, value, used=frozenset()):
        """What a value that a kernel names becomes."""
        modules = compat.cuda_modules()
        if any(value is module for module in modules):
            return self._module
        if isinstance(value, python_types.ModuleType):
            package, _, name = value.__name__.rpartition(".")
            if package.endswith("cuda") and hasattr(self._module, name):  # libdevice, fp16
                return getattr(self._module, name)
        if (name := _stubs(tuple(modules)).get(id(value))) is not None and hasattr(self._module, name):
            return getattr(self._module, name)
        if (twin := getattr(value, "__simulated__", None)) is not None and not isinstance(value, type):
            return self.twin(twin)
        value = compat.of_numba(value)
        replaced = self._replace(value, used)
        if replaced is not value:
            return replaced
        if isinstance(value, python_types.FunctionType) and self._keep(value):
            return value
        if (function := compat.python_function(value)) is not None:
            return self.function(function, compat.signatures(value))
        if isinstance(value, python_types.ModuleType) and value.__name__.split(".")[0] not in PLAIN:
            copy = python_types.ModuleType(value.__name__)
            for name in used:
                if getattr(value, name, value) is not value:  # `numba.types` has itself as an attribute
                    setattr(copy, name, self.value(getattr(value, name), used))
            return copy
        return value

    def twin(self, twin):
        """What runs in the place of an instruction: a word of twins by its name, or a function of kernels."""
        words = self._module.twins
        if isinstance(twin, str):
            return getattr(words, twin)
        if hasattr(twin, "signature"):
            return words.collective(twin)
        return self.value(twin)


def names_cuda(function):
    """Whether a function names a module ``cuda``, or something of one."""
    modules = compat.cuda_modules()
    values = [function.__globals__.get(name) for name in names_of(function.__code__)]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # a name that is not bound yet
            continue
    return any(value is module for value in values for module in modules) or any(
        id(value) in _stubs(tuple(modules)) for value in values if value is not None
    )


def snapshot(function):
    """What a function names, by identity."""
    found = tuple((name, id(function.__globals__.get(name))) for name in function.__code__.co_names)
    for cell in function.__closure__ or ():
        try:
            found += (id(cell.cell_contents),)
        except ValueError:
            found += (None,)
    return found


@functools.cache
def _stubs(modules):
    """Names of what can be imported from ``numba.cuda`` one by one, by identity."""
    found = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if not name.startswith("_") and not isinstance(value, (int, float, str, bool, python_types.ModuleType)):
                found[id(value)] = name
    return found

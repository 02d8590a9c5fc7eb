"""A launch in the interpreted engine: the kernel's function rebound, its arguments wrapped."""

import math
import types as python_types

import numpy as np
from numba import types

from .. import compat, functions, rebind, shadow
from . import numbers
from .arrays import Type, argument
from .cuda import Module, Names, of_kernels
from .engine import Machine

#: The module ``math`` of kernels: CUDA's functions, Python's constants.
_MATH = Names(functions.MATH)
vars(_MATH).update({name: np.float64(value) for name, value in vars(math).items() if isinstance(value, float)})


class _Numpy:
    """The module ``numpy`` of kernels: its types cast as C does, its functions take and give typed values."""

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type) and issubclass(found, np.generic):
            found = Type(found)
        elif isinstance(found, np.ufunc):
            found = of_kernels(found)
        elif isinstance(found, float):
            found = np.float64(found)
        setattr(self, name, found)
        return found


_NUMPY = _Numpy()


def _strong(function, signatures):
    """A function that computes with Numba's numbers, and casts to the types of its signature."""
    strong = numbers.strong(function)
    if len(signatures) != 1:
        return strong
    (declared,) = signatures

    def call(*values):
        values = [_cast(native, value) for native, value in zip(declared.args, values, strict=True)]
        return _cast(declared.return_type, strong(*values))

    return call


def _cast(native, value):
    if not isinstance(native, types.Number | types.Boolean) or isinstance(native, types.EnumMember):
        return value
    return numbers.cast(compat.dtype(native), value)


def _kind(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim
    return tuple(map(_kind, value)) if isinstance(value, tuple) else type(value)


class Interpreter:
    """Runs kernels as Python."""

    def __init__(self):
        self.machine = Machine()
        self._module = Module(self.machine)
        self._rebinder = rebind.Rebinder(self._module, self._replace, _strong)
        self._calls = {}

    def _replace(self, value, used):
        if used is None:
            return numbers.BUILTINS.get(value)
        if value is math:
            return _MATH
        if type(value) is python_types.BuiltinFunctionType and getattr(math, value.__name__, None) is value:
            return getattr(_MATH, value.__name__, value)
        if isinstance(value, functions.ScalarFunction):
            return of_kernels(value)
        if (memory := compat.device_memory(value)) is not None:
            return argument(memory)
        native = compat.scalar_type(value)
        if native is not None:
            dtype = compat.dtype(native)
            return value if dtype is None else Type(dtype)
        if isinstance(value, type) and issubclass(value, np.generic):
            return Type(value)
        if isinstance(value, (bool, int, float, complex, np.ndarray)):
            return argument(value) if isinstance(value, np.ndarray) else numbers.constant(value)
        return _NUMPY if value is np else value

    def run(self, function, grid, block, arguments, shared, chosen):
        """Run a kernel over a grid."""
        # What the kernel names has the values of its first launch with arguments like these, as on a GPU.
        key = function, tuple(map(_kind, arguments))
        call = self._calls.get(key) or self._calls.setdefault(key, self._rebinder.function(function))
        checks = chosen.checks & MEMORY
        self.machine.watch = self.machine.examine if checks else None
        names = function.__code__.co_varnames
        given = [argument(value, name, self.machine.watch) for name, value in zip(names, arguments, strict=False)]
        with np.errstate(all="ignore", divide="raise" if chosen.debug else "ignore"):
            self.machine.run(
                lambda: call(*given), grid, block, shared,
                seed=chosen.seed, slots=chosen.resident, strict="convergence" in chosen.checks,
                checks=checks, arrays=list(shadow.named(names, arguments)),
            )  # fmt: skip


#: Checks that look at accesses of memory.
MEMORY = frozenset(("races", "bounds", "initialization", "alignment"))

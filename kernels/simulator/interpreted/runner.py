"""A launch in the interpreted engine: the kernel's function rebound, its arguments wrapped."""

import functools
import math
import types as python_types

import numpy as np
from numba import carray, farray, types
from numba.core import errors
from numba.core.dispatcher import Dispatcher

from .. import compat, functions, memory, rebind, shadow
from . import numbers, overloads
from .arrays import Array, Type, argument, dtype_of, of
from .cuda import Module, Names, of_kernels
from .engine import Machine

#: The module ``math`` of kernels: CUDA's functions, Python's constants.
_MATH = Names(functions.MATH)
vars(_MATH).update({name: np.float64(value) for name, value in vars(math).items() if isinstance(value, float)})


def _ufunc(function):
    """A ufunc as kernels call it, on numbers or on whole arrays, the last of which may take the result."""
    of_numbers = of_kernels(function)

    def call(*values, out=None):
        values += () if out is None else (out,)
        if not any(isinstance(value, Array) for value in values):
            return of_numbers(*values)
        found = function(*[v.raw if isinstance(v, Array) else numbers.raw(v) for v in values])
        return of(found) if isinstance(found, np.ndarray) else numbers.typed(found)

    return call


def _text(value):
    """What is printed of a value: floats in CUDA's format."""
    if isinstance(value, tuple):
        parts = ", ".join(map(_text, value))
        return f"({parts},)" if len(value) == 1 else f"({parts})"
    value = numbers.raw(value)
    if isinstance(value, np.generic) and not value.dtype.names:
        value = value.item()
    return f"{value:f}" if isinstance(value, float) else str(value)


def _print(*values):
    print(*map(_text, values))  # noqa: T201  (a kernel asked for it)


def _memory(order):
    """``carray`` and ``farray``: an array over memory that a pointer of the host leads to."""

    def array(pointer, shape, dtype=None):
        shape = tuple(map(int, shape)) if isinstance(shape, tuple) else (int(shape),)
        if isinstance(pointer, Array):
            pointer, dtype = pointer.raw.__array_interface__["data"][0], dtype or Type(pointer.raw.dtype)
        found = memory.view(int(pointer), (math.prod(shape),), dtype_of(dtype))
        return of(found.reshape(shape, order=order))

    return array


def _to_bfloat16(value):
    return functions.BF16["double2bfloat16"](np.float64(value))


if (dtype := compat.dtype(functions.bfloat16)) is not None:
    numbers._CASTS[dtype] = _to_bfloat16


def _isinstance(value, kinds):
    def fits(kind):
        if isinstance(kind, Type):
            return numbers.dtype_of(value) == kind.dtype
        return isinstance(value, _ABSTRACT.get(kind, kind))

    return any(map(fits, kinds if isinstance(kinds, tuple) else (kinds,)))


_ABSTRACT = {numbers.BUILTINS["int"]: np.integer, numbers.BUILTINS["float"]: np.floating}
_BUILTINS = numbers.BUILTINS | {"print": _print, "isinstance": _isinstance}
_MEMORY = {carray: _memory("C"), farray: _memory("F")}


class _Numpy:
    """The module ``numpy`` of kernels: its types cast as C does, its functions take and give typed values."""

    def __getattr__(self, name):
        found = getattr(np, name)
        if isinstance(found, type) and issubclass(found, np.generic):
            found = Type(found)
        elif isinstance(found, np.ufunc):
            found = _ufunc(found)
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


def _pointed(native, value):
    """What a pointer of the host leads to, as an array that never ends; any other argument as it is."""
    if not isinstance(native, types.CPointer):
        return value
    dtype = compat.dtype(native.dtype)
    return memory.view(int(value), ((1 << 40) // dtype.itemsize,), dtype)


def _of_its_own_code(copy, signatures):
    """The copy as it is, but for its code: two closures of one code are two places that ask for shared memory."""
    copy.__code__ = copy.__code__.replace()
    return copy


def _kind(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim
    return tuple(map(_kind, value)) if isinstance(value, tuple) else type(value)


def _frozen(array):
    """What a kernel names is a constant, with the values of the first launch."""
    copy = array.copy(order="K")
    copy.flags.writeable = False
    return copy


class Interpreter:
    """Runs kernels as Python."""

    def __init__(self):
        self.machine = Machine()
        self._module = Module(self.machine)
        self._rebinder = rebind.Rebinder(self._module, self._replace, _strong)
        self._as_it_stands = rebind.Rebinder(
            self._module, lambda value, used: value if used is not None else None, _of_its_own_code
        )
        self._calls = {}
        Array.overloaded = staticmethod(lambda array, name: overloads.of_array(array, name, self._rebinder.function))

    def _replace(self, value, used):
        if used is None:
            return _BUILTINS.get(value)
        if value is math:
            return _MATH
        if isinstance(value, python_types.FunctionType):
            if value in _MEMORY:
                return _MEMORY[value]
            if (found := overloads.of_function(value, self._rebinder.function)) is not None:
                return found
        if (found := overloads.of_intrinsic(value)) is not None:
            return found
        if isinstance(value, Dispatcher) and not value._can_compile:
            error = errors.TypingError(f"Untyped global name '{value.__name__}': using cpu function on device")
            raise compat.error_of_cuda(error)
        if type(value) is python_types.BuiltinFunctionType and getattr(math, value.__name__, None) is value:
            return getattr(_MATH, value.__name__, value)
        if isinstance(value, functions.ScalarFunction):
            return of_kernels(value)
        if (memory := compat.device_memory(value)) is not None:
            return argument(memory)
        if (twin := getattr(value, "twin", None)) is not None:
            return of_kernels(twin)
        native = compat.scalar_type(value)
        if native is not None:
            dtype = compat.dtype(native)
            return value if dtype is None else Type(dtype)
        if isinstance(value, type) and issubclass(value, np.generic):
            return Type(value)
        if isinstance(value, (bool, int, float, complex, np.ndarray)):
            return argument(_frozen(value)) if isinstance(value, np.ndarray) else numbers.constant(value)
        if isinstance(value, np.generic):
            return numbers.typed(value)
        return _NUMPY if value is np else value

    def run(self, function, grid, block, arguments, shared, chosen, declared=None):
        """Run a kernel over a grid."""
        # What the kernel names has the values of its first launch with arguments like these, as on a GPU.
        key = function, tuple(map(_kind, arguments))
        names = function.__code__.co_varnames
        self.machine.of_scalars = hasattr(function, "of_scalars")
        if self.machine.of_scalars:  # its values are NumPy's scalars, and its memory looks after itself
            checks, call, given = frozenset(), self._as_it_stands.function(function), arguments
            self.machine.watch = None
        else:
            call = self._calls.get(key) or self._calls.setdefault(key, self._rebinder.function(function))
            if declared is not None:
                arguments = tuple(map(_pointed, declared, arguments))
            checks = chosen.checks & MEMORY
            self.machine.watch = self.machine.examine if checks else None
            given = [argument(value, name, self.machine.watch) for name, value in zip(names, arguments, strict=False)]
        with np.errstate(all="ignore", divide="raise" if chosen.debug else "ignore"):
            self.machine.run(
                functools.partial(call, *given), grid, block, shared,
                seed=chosen.seed, slots=chosen.resident, strict="convergence" in chosen.checks,
                checks=checks, arrays=list(shadow.named(names, arguments)),
            )  # fmt: skip


#: Checks that look at accesses of memory.
MEMORY = frozenset(shadow.BITS)

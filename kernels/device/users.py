"""Functions that users write of numbers, as kernels call them.

A user's function is ordinary Python over NumPy scalars. On the GPU the Python functions that it calls must be device
functions, and theirs in turn; what it returns, it is asked for ones.
"""

import inspect
import types

import numpy as np

from ..pairing import REGISTRY
from .instructions import SIMULATED, device_function
from .scalar import compute_dtype


def with_device_functions(function):
    """A copy of `function` in which the Python functions that it calls are device functions, and theirs in turn."""
    if SIMULATED:
        return function
    known = {}

    def replaced(value):
        value = getattr(value, "__wrapped__", value) if getattr(value, "_is_fused", False) else value
        pair = REGISTRY.get(getattr(value, "__name__", None))
        if not inspect.isfunction(value) or (pair and pair.function is value):
            return value
        if value not in known:
            known[value] = None  # a function that calls itself keeps its own name, and Numba explains
            known[value] = device_function(copied(value))
        return known[value] or value

    def copied(function):
        names = function.__code__.co_names
        used = {name: replaced(function.__globals__[name]) for name in names if name in function.__globals__}
        cells = tuple(types.CellType(replaced(cell.cell_contents)) for cell in function.__closure__ or ())
        copy = types.FunctionType(
            function.__code__, function.__globals__ | used, function.__name__, function.__defaults__, cells or None
        )
        copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
        return copy

    return copied(function)


def parameters_of(function):
    """Names of the parameters of a user's function; TypeError where it is no plain one."""
    if not inspect.isfunction(function):
        raise TypeError(f"function must be a Python function, got {type(function).__qualname__}")
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) or not parameters:
        raise TypeError(f"function {function.__name__} must take a fixed number of positional arguments, one or more")
    return tuple(p.name for p in parameters)


def result_dtypes(function, dtypes):
    """What the function returns for ones; a Python number is as weak as NEP 50 has it."""
    with np.errstate(all="ignore"):
        sample = function(*(d(1) if isinstance(d, type) else compute_dtype(d).type(1) for d in dtypes))
    values = sample if isinstance(sample, tuple) else (sample,)
    strong = [d for d in dtypes if not isinstance(d, type)]
    half = bool(strong) and np.result_type(*strong) == np.float16
    found = []
    for value in values:
        d = np.asarray(value).dtype if isinstance(value, np.generic | bool) else np.result_type(value, *strong)
        found.append(np.dtype(np.float16) if half and d == np.float32 else d)
    return tuple(found)

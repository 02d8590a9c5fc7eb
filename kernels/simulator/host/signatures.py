"""Explicit signatures: which of them a call takes, and its arguments cast to the declared types.

As Numba has it on hardware: arrays must have the declared dtype, number of axes and layout; numbers are converted,
an integer that is too large wraps, and a fraction is no integer.
"""

import numbers

import numpy as np
from numba.core import types
from numba.core.typeconv import Conversion
from numba.core.typeconv.rules import default_type_manager
from numba.core.typing import signature as declare
from numba.core.typing.typeof import typeof
from numba.np.numpy_support import as_dtype

try:
    from numba.cuda.core.sigutils import is_signature, normalize_signature
except ImportError:  # Numba's own simulator
    from numba.core.sigutils import is_signature, normalize_signature

__all__ = ["cast", "declare", "declared", "fitting", "inferred", "is_signature", "only", "typeof"]


def declared(signatures):
    """Signatures as ``cuda.jit`` takes them, as a tuple of Numba's, with None where no result is declared."""
    normal = map(normalize_signature, signatures)
    return tuple(declare(result, *arguments) for arguments, result in normal)


def inferred(function, arguments):
    """The type of a device function's result by Numba's inference on the CPU, which is the same."""
    from numba import njit

    compiled = njit(function)
    compiled.compile(arguments)
    return compiled.overloads[arguments].signature.return_type


def fitting(signatures, arguments, function):
    """The declared types that fit arguments best, and None where nothing is declared.

    Raises
    ------
    TypeError
        When none fits, or several do as well.
    """
    if not signatures:
        return None
    costs = [(_cost(each.args, arguments), each.args) for each in signatures]
    costs = [(cost, types) for cost, types in costs if cost is not None]
    given = f"({', '.join(map(_described, arguments))})"
    if not costs:
        choices = "; ".join(f"({', '.join(map(str, each.args))})" for each in signatures)
        raise TypeError(f"No matching definition for argument type(s) {given} of {function}; declared: {choices}")
    least = min(cost for cost, _ in costs)
    best = [types for cost, types in costs if cost == least]
    if len(best) > 1:
        choices = "\n".join(f"{types} -> none" for types in best)
        raise TypeError(f"Ambiguous overloading for {function} {given}:\n{choices}")
    return best[0]


def only(signatures, arguments, function):
    """The types of a kernel's one signature, which takes the elements of an array for those that it declares.

    Raises
    ------
    TypeError
        Where elements have another size, and where `fitting` raises it.
    """
    (each,) = signatures
    fitting(signatures, tuple(map(cast_array, each.args, arguments)), function)
    return each.args


def cast_array(ty, value):
    """Memory as elements of the declared type, where their size is the same."""
    if isinstance(ty, types.Array) and isinstance(value, np.ndarray):
        dtype = as_dtype(ty.dtype)
        if value.dtype != dtype and value.itemsize == dtype.itemsize and not (value.dtype.names or dtype.names):
            return value.view(dtype)
    return value


def cast(ty, value):
    """A number as the declared type, memory as elements of it; anything else unchanged."""
    if isinstance(ty, types.Array):
        return cast_array(ty, value)
    if isinstance(ty, types.BaseTuple):
        items = [cast(t, v) for t, v in zip(ty, value, strict=True)]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if _is_number(ty) and not isinstance(ty, types.EnumMember):
        return np.array(value).astype(as_dtype(ty), casting="unsafe")[()]
    return value


def _described(value):
    try:
        return repr(typeof(value))
    except ValueError:
        return type(value).__name__


def _is_number(ty):
    return isinstance(ty, types.Number | types.Boolean)


def _cost(declared_types, arguments):
    """How many arguments lose by conversion, are converted, are widened; None where one does not fit."""
    if len(declared_types) != len(arguments):
        return None
    steps = [_conversion(ty, value) for ty, value in zip(declared_types, arguments, strict=True)]
    if None in steps:
        return None
    return tuple(steps.count(step) for step in (Conversion.unsafe, Conversion.safe, Conversion.promote))


def _conversion(ty, value):
    """How a value becomes one of a declared type, by Numba's rules; None where it does not."""
    if isinstance(ty, types.Array):
        fits = isinstance(value, np.ndarray) and _same_array(ty, value)
    elif isinstance(ty, types.BaseTuple):
        cost = _cost(tuple(ty), value) if isinstance(value, tuple) else None
        if cost is not None and any(cost):
            steps = (Conversion.unsafe, Conversion.safe, Conversion.promote)
            return next(step for step, count in zip(steps, cost, strict=True) if count)
        fits = cost is not None
    elif isinstance(ty, types.Record):
        fits = isinstance(value, np.void) and value.dtype == as_dtype(ty)
    elif _is_number(ty):
        return _number_conversion(ty, value)
    else:
        fits = True
    return Conversion.exact if fits else None


def _number_conversion(ty, value):
    if isinstance(value, np.ndarray) or not isinstance(value, numbers.Number | np.bool_):
        return None
    given = typeof(value)
    if isinstance(given, types.Float) and isinstance(ty, types.Integer):
        return None  # Numba finds an unsafe conversion, and then refuses to pass the number
    return default_type_manager.check_compatible(given, ty)


def _same_array(ty, value):
    layout = {"C": value.flags.c_contiguous, "F": value.flags.f_contiguous}.get(ty.layout, True)
    return value.dtype == as_dtype(ty.dtype) and value.ndim == ty.ndim and layout

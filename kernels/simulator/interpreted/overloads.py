"""Overloads of functions, methods and attributes, run as Python: the body that fits the types of the arguments."""

import functools
import types as python_types

from numba import njit, typeof, types
from numba.core.errors import InternalError, NumbaError, TypingError
from numba.core.extending import _Intrinsic
from numba.core.target_extension import target_override
from numba.core.typing import templates

from .. import compat
from ..compiled.target import NAME
from . import numbers
from .arrays import Array

#: Which target's overload goes before which.
_ORDER = ("cuda", "gpu", "cpu", "generic")


def _type(value, literal):
    raw = value.raw if isinstance(value, Array) else numbers.raw(value)
    if isinstance(raw, python_types.FunctionType):
        return typeof(njit(raw))
    native = typeof(raw)
    return types.literal(int(raw)) if literal and native == types.int64 else native


def _check_parameters(template, body):
    """The parameters of an overload and of its body are the same, where it does not say otherwise."""
    if getattr(template, "_strict", False):
        template._validate_sigs(template, template._overload_func, body)


class Overloaded:
    """A function that Numba knows by its overloads.

    Parameters
    ----------
    found : list of classes
        Their templates.
    bind : callable
        Makes a function of Python one of kernels.
    """

    def __init__(self, name, found, bind):
        self.__name__, self._bind = name, bind
        self._templates = sorted(found, key=lambda template: _ORDER.index(template.metadata.get("target", "generic")))
        self._bodies = {}

    def __call__(self, *arguments, **named):
        """Run the body that fits the arguments."""
        error = None
        for template in self._templates:
            # As Numba: once with the values of literals for types, once without.
            for literal in (template.prefer_literal, not template.prefer_literal):
                body = self._body(template, literal, arguments, named)
                if body is not None and not isinstance(body, TypingError):
                    return body(*arguments, **named)
                error = body or error
        raise error or TypingError(f"no overload of {self.__name__} fits the types of its arguments")

    def _body(self, template, literal, arguments, named):
        kinds = tuple(_type(value, literal) for value in arguments)
        names = {name: _type(value, literal) for name, value in named.items()}
        key = template, kinds, tuple(names.items())
        if key not in self._bodies:
            try:
                with target_override(NAME):
                    body = template._overload_func(*kinds, **names)
                if body is not None:
                    _check_parameters(template, body)
                self._bodies[key] = body and self._bind(body)
            except TypingError as error:
                self._bodies[key] = error
            except InternalError as error:  # as it reaches the user of a kernel
                raise compat.error_of_cuda(TypingError(str(error))) from None
        return self._bodies[key]


def of_function(function, bind):
    """What calls the overloads of a function, or the code that an extension writes for it; None where it has none."""
    known = [
        template
        for name, native in templates.builtin_registry.globals
        if name is function and isinstance(native, types.Function)
        for template in native.templates
    ]
    found = [
        template
        for template in known
        if hasattr(template, "_overload_func") and template.metadata.get("target", "generic") in _ORDER
    ]
    if found:
        return Overloaded(function.__name__, found, bind)
    return Written(function) if known and not function.__module__.startswith("numba.np.") else None


class Written:
    """A function whose code an extension of Numba writes: compiled for the types that it is called with.

    Parameters
    ----------
    function : function or intrinsic
    """

    def __init__(self, function):
        self.__name__ = function.__name__

        def entry(arguments):
            return function(*arguments)

        self._entry, self._known = njit(error_model="numpy")(entry), set()

    def __call__(self, *arguments):
        """Call the machine code."""
        raw = tuple(value.raw if isinstance(value, Array) else numbers.raw(value) for value in arguments)
        kinds = typeof(raw)
        if kinds not in self._known:
            from ..compiled import build

            try:
                build.refuse_assembly(self._entry.py_func, (kinds,))
            except NumbaError as error:
                raise compat.error_of_cuda(error) from None
            self._known.add(kinds)
        return numbers.typed(self._entry(raw))


def of_intrinsic(value):
    """What runs an intrinsic; None for anything else."""
    return Written(value) if isinstance(value, _Intrinsic) else None


def of_array(array, name, bind):
    """A method or an attribute of an array that is an overload; None where there is none."""
    native = typeof(array.raw)
    found = [
        template
        for template in templates.builtin_registry.attributes
        if getattr(template, "_attr", None) == name and hasattr(template, "_overload_func")
        if isinstance(template.key, type) and isinstance(native, template.key)
    ]
    for template in found:
        call = Overloaded(name, [_Untyped(template)], bind)
        return functools.partial(call, array) if template.is_method else call(array)
    return None


class _Untyped:
    """The template of a method or an attribute, as far as `Overloaded` asks."""

    def __init__(self, template):
        self._overload_func, self.metadata = template._overload_func, template.metadata
        self.prefer_literal = getattr(template, "prefer_literal", False)

"""Overloads of functions, methods and attributes, run as Python: the body that fits the types of the arguments."""

import functools

from numba import typeof, types
from numba.core.errors import TypingError
from numba.core.target_extension import target_override
from numba.core.typing import templates

from ..compiled.target import NAME
from . import numbers
from .arrays import Array

#: Which target's overload goes before which.
_ORDER = ("cuda", "gpu", "cpu", "generic")


def _type(value, literal):
    raw = value.raw if isinstance(value, Array) else numbers.raw(value)
    native = typeof(raw)
    return types.literal(int(raw)) if literal and native == types.int64 else native


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
                self._bodies[key] = body and self._bind(body)
            except TypingError as error:
                self._bodies[key] = error
        return self._bodies[key]


def of_function(function, bind):
    """What calls the overloads of a function; None where it has none."""
    found = [
        template
        for known, native in templates.builtin_registry.globals
        if known is function and isinstance(native, types.Function)
        for template in native.templates
        if hasattr(template, "_overload_func") and template.metadata.get("target", "generic") in _ORDER
    ]
    return Overloaded(function.__name__, found, bind) if found else None


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

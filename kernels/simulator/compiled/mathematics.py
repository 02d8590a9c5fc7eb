"""`math`, `min`, `max` and `round` in compiled kernels: CUDA's for numbers, and others' for types of their own."""

import builtins
import math

from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate

from .. import functions
from .lowering import Function, Namespace


def _function(name, own, original):
    """A function that is `own` for numbers, and `original` for anything else."""
    stub = Function(name)

    def meant(context, arguments):
        numbers = len(arguments) in own.counts and all(
            isinstance(native, (types.Number, types.Boolean)) for native in arguments
        )
        return context.resolve_value_type(own if numbers else original)

    class Template(AbstractTemplate):
        key = stub

        def generic(self, args, kws):
            return self.context.resolve_function_type(meant(self.context, args), args, kws)

    stub.type = types.Function(Template)

    @lower_builtin(stub, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        return context.get_function(meant(context.typing_context, sig.args), sig)(builder, args)

    return stub


_OWN = {name: _function(f"math.{name}", own, getattr(math, name, own)) for name, own in functions.MATH.items()}
_NUMBERS = {name: value for name, value in vars(math).items() if isinstance(value, float)}
_OTHERS = {name: value for name, value in vars(math).items() if not name.startswith("_") and callable(value)}

#: The module ``math``.
MATH = Namespace("math", **_OTHERS | _NUMBERS | _OWN)

#: What its functions become where they are imported one by one.
MATH_FUNCTIONS = {getattr(math, name): stub for name, stub in _OWN.items() if hasattr(math, name)}

#: Built-in functions.
BUILTINS = {name: _function(name, own, getattr(builtins, name)) for name, own in functions.BUILTINS.items()}

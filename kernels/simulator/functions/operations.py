"""The operators and NumPy's ufuncs on scalars, as Numba types and computes them.

For the interpreted engine: int32 times int32 is int64 here, int64 plus uint64 is int64, and nothing warns or raises.
"""

import operator

import numpy as np
from numba.core.registry import cpu_target

from .declare import ScalarFunction


def _typed_by_numba(function):
    def cases(*args):
        context = cpu_target.typing_context
        return context.resolve_function_type(context.resolve_value_type(function), args, {})

    return cases


def _unary(function):
    def body(x):
        return function(x)

    return body


def _binary(function):
    def body(x, y):
        return function(x, y)

    return body


def _declare(table, function, arity):
    body = (_unary, _binary)[arity - 1](function)
    body.__doc__ = function.__doc__
    return ScalarFunction(table, function.__name__, body, _typed_by_numba(function))


_UNARY = "neg pos invert not_".split()
_BINARY = "add sub mul truediv floordiv mod pow and_ or_ xor lshift rshift eq ne lt le gt ge".split()

#: The functions of `operator` that kernels mean by their operators.
OPERATORS = {
    name: _declare("operator", getattr(operator, name), arity)
    for arity, names in ((1, _UNARY), (2, _BINARY))
    for name in names
}

#: NumPy's ufuncs of one or two arguments and one result. Numba has most of them; a call of another is a TypingError.
NUMPY = {
    name: _declare("numpy", ufunc, ufunc.nin)
    for name, ufunc in sorted(vars(np).items())
    if isinstance(ufunc, np.ufunc) and ufunc.nin <= 2 and ufunc.nout == 1 and ufunc.signature is None
}

"""Reductions by an operator of the user's, of elements or of a function of them, in one pass over memory.

s = op(... op(op(f(x1, y1), f(x2, y2)), f(x3, y3)) ...)

bytes    every array once, the results once
"""

import functools
import inspect

import numpy as np

from ..runtime.arrays import operand
from ..runtime.frameworks import opaque
from ..runtime.plans import Calls
from .calls import OPTIONS, Reduction, examine
from .operators import Expression, plain, settled


@functools.lru_cache(maxsize=1024)
def _calls(op, function, finish):
    """The calls of one operator with one function."""
    expression = Expression(op, function, finish)

    @functools.cache
    def reduction(results):
        return Reduction("reduce", expression.parameters, expression.fold, expression.reference,
                         identity=expression.identity, weak=function is not None, results=results)  # fmt: skip

    def examined(inputs, out, where, stream, axis, dtype, keepdims, initial, setting):
        if len(inputs) != len(expression.parameters):
            raise TypeError(f"reduce takes {len(expression.parameters)} array(s) here, got {len(inputs)}")
        xs = [operand(x, name) for x, name in zip(inputs, expression.parameters, strict=True)]
        dtypes = tuple((function and x.weak) or x.dtype for x in xs)
        state = expression.states(dtypes) if dtype is None else (dtype,)
        if initial is not None and (len(initial) if isinstance(initial, tuple) else 1) != len(state):
            raise TypeError(f"initial must be {_counted(len(state))}, as op takes them, got {initial!r}")
        results = len(expression.outs(state)) if dtype is None else 1
        return examine(reduction(results), inputs, out, where, stream, axis, dtype, keepdims, initial, setting)

    return Calls(opaque(examined), OPTIONS)


def _counted(count):
    return "a number" if count == 1 else f"a tuple of {count} numbers"


def _taken(op, inputs, finish):
    """The calls of these functions, and the arrays."""
    function = None
    if inputs and (inspect.isfunction(inputs[0]) or isinstance(inputs[0], np.ufunc)):
        function, *inputs = inputs
        function = settled(plain(function))
    if not inputs:
        raise TypeError("reduce must be given an array: reduce(op, x) or reduce(op, f, x, ...)")
    try:
        op = op if isinstance(op, np.ufunc) else plain(op)
        calls = _calls(settled(op), function, settled(plain(finish)))
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise TypeError(f"op must be a function of two numbers, got {op!r}") from None
    return calls, tuple(inputs)


@opaque
def reduce(
    op, *inputs, axis=None, initial=None, keepdims=False, where=True, dtype=None, out=None, finish=None, stream=None
):
    """Reduce by an operator of yours: ``reduce(op, x)``, or ``reduce(op, f, x, y, ...)`` of a function of elements.

    Parameters
    ----------
    op : callable
        Takes two numbers and returns one, which is a state as they are: a Python function, a NumPy ufunc, ``max``,
        ``operator.add``. It must be associative and commutative, as far as rounding lets it: in which order it is
        applied is this function's choice, the same for the same shapes and dtypes. Where `f` returns a tuple, a state
        is a tuple of as many numbers, and `op` takes two such tuples and returns one.
    f : function, optional
        Takes one number of each array and returns a state. Values are NumPy scalars in it, as in `kernels.fuse`.
    *inputs : arrays of any shape and dtype
        After `f` as many as it has parameters, else one. They broadcast; numbers of Python's are weak (NEP 50).
    axis : int or tuple of int, optional
        What is reduced; all axes by default.
    initial : number or tuple of numbers, optional
        A state that takes part once in each result.
    keepdims : bool
        Whether reduced axes stay, with length one.
    where : array of bool, optional
        Which elements take part; it broadcasts to the shape of the arrays.
    dtype : dtype, optional
        Of the state, where it is one number. Else what `op` and `f` return for NumPy scalars: sums of int8 are int8.
    out : array or tuple of arrays, optional
        Where the results go.
    finish : function, optional
        Takes a state and returns a number (or a tuple), which is the result.
    stream : stream, optional
        In the order of which the result is computed.

    Returns
    -------
    reduced : array, or tuple of arrays
        One for each number of a state, or that `finish` returns.

    Raises
    ------
    ValueError
        Where nothing is reduced and `op` has no identity that is known (sums, products, `and`, `or` and `xor` have) and
        `initial` is not given; for shapes that do not broadcast, and an `axis` out of range.
    TypeError
        When `op`, `f` or `finish` is no such function, or not defined for the dtypes; for `out` of another kind.

    Notes
    -----
    One pass: every element is read once, nothing is stored but the results. States are merged in a tree: of n, about
    ``16 + log2(n)`` operators lie between an element and the result, so the relative error of a sum of positive numbers
    is below that times the rounding unit, where rows are shorter than a few million elements. ``max`` and ``min`` are
    `numpy.maximum` and `numpy.minimum`, which pass NaN on. float16 is computed in float32 and rounded once at the end.

    Kernels are kept per function, dtypes and layout; a lambda that is written in a loop is one function. Functions are
    read once: they must not depend on what changes.

    ``reduce.plan(op, x, ...)`` makes a call ready to be repeated with arrays of the same layouts.

    References
    ----------
    Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".

    Examples
    --------
    >>> import operator, kernels
    >>> x, y = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    >>> float(kernels.reduce(operator.add, lambda x, y: x * y, x, y))
    32.0
    >>> kernels.reduce(lambda a, b: a + b - a * b, [[0.5, 0.5], [0.25, 0.0]], axis=1)
    array([0.75, 0.25])

    The smallest and the largest element, in one pass:

    >>> def ends(a, b):
    ...     return min(a[0], b[0]), max(a[1], b[1])
    >>> low, high = kernels.reduce(ends, lambda x: (x, x), y)
    >>> float(low), float(high)
    (4.0, 6.0)
    """
    calls, inputs = _taken(op, inputs, finish)
    return calls(inputs, out, where, stream, axis, dtype, keepdims, initial, None)


@opaque
def _plan(op, *like, out=None, where=True, finish=None, **options):
    calls, inputs = _taken(op, like, finish)
    return calls.plan(inputs, out=out, where=where, **options)


reduce.plan = _plan

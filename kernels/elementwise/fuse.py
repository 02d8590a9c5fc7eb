"""One kernel from a user's function of numbers.

    y1, y2, ... = f(x1, x2, ...)    element by element

f is ordinary Python: arithmetic, branches, loops, `math`, NumPy ufuncs, SciPy's special functions and the
functions of this package. Values are NumPy scalars in it, on the GPU too (`kernels.device.scalar`), so promotion
is NumPy's: a float32 times a literal 2.0 is a float32.

Arithmetic inside f is float32 for float16 inputs, rounded once at the end.
"""

import functools
import inspect

import numpy as np

from ..device.instructions import SIMULATED, device_function, in_simulated_kernel
from ..device.scalar import compute_dtype
from ..device.users import parameters_of, result_dtypes, with_device_functions
from ..runtime.frameworks import opaque
from ..runtime.plans import Calls
from .mapping import OPTIONS, Mapping, examine


def fuse(function=None, /, *, dtypes=None):
    """Make one elementwise kernel of a function of numbers.

    Parameters
    ----------
    function : callable
        Takes one number per input and returns one number, or a tuple of several. It must not depend on anything
        that changes: what it refers to is read once per combination of dtypes.
    dtypes : dtype or tuple of dtypes, optional
        Of the results. Else what `function` returns for NumPy scalars of value 1 of the input dtypes, Python
        numbers being weak, as `numpy.vectorize` finds its output types.

    Returns
    -------
    fused : callable
        ``fused(*inputs, out=None, where=True, casting="same_kind", stream=None)`` with NumPy's broadcasting; each
        input is read once and each result written once.

    Raises
    ------
    TypeError
        When `function` is not a Python function of a fixed number of positional arguments; by the fused function,
        for unsupported dtypes and for casts that `casting` forbids.
    ValueError
        By the fused function, for shapes that do not broadcast.

    Notes
    -----
    Rounding: each operation as NumPy's in the same dtype, except that a product and a sum may be contracted
    into one fused multiply-add, and that float16 is computed in float32. Kernels are kept per dtypes and layout.

    References
    ----------
    NEP 50, https://numpy.org/neps/nep-0050-scalar-promotion.html

    Examples
    --------
    >>> import math, kernels
    >>> @kernels.fuse
    ... def damped(a, x, y):
    ...     return a * x + y * math.sin(x)
    >>> damped(2.0, [0.0, 1.0], [1.0, 1.0])
    array([0.        , 2.84147098])
    """
    if function is None:
        return functools.partial(fuse, dtypes=dtypes)
    parameters = parameters_of(function)
    inner = device_function(with_device_functions(function))
    wanted = None if dtypes is None else tuple(map(np.dtype, dtypes if isinstance(dtypes, tuple) else (dtypes,)))

    def scalar(ins):
        return inner

    @functools.cache
    def results(dtypes):
        return dtypes, wanted or result_dtypes(function, dtypes)

    def resolve(dtypes, dtype, casting):
        return results(dtypes)

    @functools.cache
    def mapping(nout):
        return Mapping(function.__name__, parameters, nout, resolve, scalar, _vectorized(function, nout))

    @opaque
    @functools.wraps(function)
    def fused(*inputs, out=None, where=True, casting="same_kind", stream=None):
        if SIMULATED and in_simulated_kernel():
            return function(*inputs)
        if len(inputs) != len(parameters):
            raise TypeError(f"{function.__name__}() takes {len(parameters)} arrays, got {len(inputs)}")
        return calls(inputs, out, where, stream, casting, None)

    @opaque
    def examined(inputs, *rest):
        return examine(mapping(len(wanted or results(_dtypes(inputs, parameters))[1])), inputs, *rest)

    calls = Calls(examined, OPTIONS)
    fused.plan = calls.plan

    fused._is_fused = True
    if not SIMULATED:
        fused.twin = function
    fused.__signature__ = inspect.signature(fused, follow_wrapped=False)
    return fused


def _dtypes(inputs, parameters):
    from ..runtime.arrays import operand

    operands = [operand(x, name) for x, name in zip(inputs, parameters, strict=True)]
    return tuple(x.weak or x.dtype for x in operands)


def _vectorized(function, nout):
    """The reference: the function itself, on the NumPy scalars of one element after another."""

    def reference(*inputs):
        spread = np.broadcast_arrays(*inputs)
        results = [np.empty(spread[0].shape, object) for _ in range(nout)]
        kinds = [compute_dtype(x.dtype).type if isinstance(x, np.ndarray) else type(x) for x in inputs]
        for index in np.ndindex(spread[0].shape):
            values = function(*(kind(x[index]) for kind, x in zip(kinds, spread, strict=True)))
            for result, value in zip(results, values if nout > 1 else (values,), strict=True):
                result[index] = value
        return results[0] if nout == 1 else tuple(results)

    return reference

r"""softmax and log_softmax: exponentials that sum to one, and their logarithms.

    softmax(x)     = exp(x - max x) / sum exp(x - max x)
    log_softmax(x) = (x - max x) - log(sum exp(x - max x))

Source: N. J. Higham, M. Blanchard & D. J. Higham 2021, "Accurately computing the log-sum-exp and softmax functions",
IMA J. Numer. Anal. 41, doi:10.1093/imanum/draa038.
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from ...device.instructions import device_function
from ...pairing import Pair, file
from ...runtime import calls
from ...runtime.arrays import contiguous_strides, operand, placement, stream_handle
from ...runtime.calls import Call
from ...runtime.engines import engine
from ...runtime.frameworks import opaque
from ...runtime.layouts import Layout, layout
from ...runtime.plans import Calls
from ..calls import axes_of, copied
from ..folds import wide
from .kernels import Normal
from .layout import launch, plan, signature

# --- what is computed of one element ----------------------------------------------------------------------------------


@device_function
def exponential(x, m):
    """exp(x - m)."""
    return np.exp(x - m)


@device_function
def itself(v):
    """The value as it is."""
    return v


@device_function
def reciprocal(m, s):
    """1 / s, NaN where the maximum is no number."""
    return 1 / s + (m - m)


@device_function
def product(v, q):
    """v q."""
    return v * q


@device_function
def difference(x, m):
    """x - m; x where the maximum is infinite."""
    return x - m if m - m == 0 else x


@device_function
def power(v):
    """exp(v)."""
    return np.exp(v)


@device_function
def logarithm(m, s):
    """log(s)."""
    return np.log(s)


@device_function
def less(v, q):
    """v - q."""
    return v - q


@functools.lru_cache(maxsize=256)
def _softmax_of(into, out):
    return Normal("softmax", into, wide(into), out, exponential, itself, reciprocal, product)


@functools.lru_cache(maxsize=256)
def _log_softmax_of(into, out):
    return Normal("log_softmax", into, wide(into), out, difference, power, logarithm, less)


# --- one call ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Task:
    """The task of a call, see `kernels.runtime.calls.Call`."""

    normal: Normal
    shape: tuple
    axes: tuple
    function: Any
    parameters = ("x",)
    looks_at_values = False

    @property
    def name(self):
        """Of the function."""
        return self.normal.name

    @property
    def ins(self):
        """The dtype that numbers are converted to."""
        return (self.normal.into,)

    def reference(self, call, values, chosen):
        """The result of SciPy."""
        (x,) = values
        found = self.function(x.astype(self.normal.state).reshape(self.shape), axis=self.axes)
        return np.asarray(found)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        (source,), (target,) = map(layout, sources), map(layout, targets)
        return launch(self.normal, source, target, self.axes, shape, device)

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


def _result(name, dtype):
    """The dtype of the exponential of a dtype, as NumPy has it."""
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return np.exp.resolve_dtypes((dtype, None))[1]
    raise TypeError(f"{name} is not defined for x: {dtype}; x must be of real numbers, and booleans are none")


def _examine(normal_of, function, inputs, out, where, stream, axis):
    """The `Call` that computes as SciPy would; it raises for whatever is wrong with the arguments."""
    if where is not True:
        raise TypeError(f"{function.__name__} takes no mask")
    stream = stream_handle(stream)
    x = operand(inputs[0], "x")
    (y,) = outs = calls.outputs(out, 1, function.__name__)
    axes = axes_of(axis, len(x.shape))
    result = _result(function.__name__, x.dtype)
    if 0 in [x.shape[k] for k in axes]:
        raise ValueError(f"x has no elements along axis {axis}: {function.__name__} has no maximum to subtract")
    calls.check_casts(function.__name__, outs, (result,), "same_kind")
    if y is not None and y.shape != x.shape:
        raise ValueError(f"out has shape {y.shape}, x has {x.shape}")
    normal = normal_of(result, result if y is None else y.dtype)
    given = [] if y is None else [y]
    chosen = engine()
    device, stream, like = placement([*given, x], stream)
    calls.check_places(chosen, device, given, [*given, x])
    task = Task(normal, x.shape, axes, function)
    order = "F" if _is_reversed(x) else "C"
    return Call(task, [x], None, outs, (result,), x.shape, order, chosen, device, stream, like, keeps=False)


def _is_reversed(x):
    """Whether the axes lie in memory in the reverse of their order."""
    steps = [abs(s) for n, s in zip(x.shape, x.strides, strict=True) if n > 1]
    return len(steps) > 1 and all(a < b for a, b in itertools.pairwise(steps))


# --- the functions ----------------------------------------------------------------------------------------------------

_softmax = Calls(functools.partial(_examine, _softmax_of, special.softmax), {"axis": None})
_log_softmax = Calls(functools.partial(_examine, _log_softmax_of, special.log_softmax), {"axis": None})


@opaque
def softmax(x, axis=None, *, out=None, stream=None):
    """Compute the softmax: exponentials, divided by their sum.

    ``softmax(x) = exp(x - max(x)) / sum(exp(x - max(x)))``, along any axes.

    Parameters
    ----------
    x : array or number
        Of any real dtype, shape and strides. Integers count as the dtype that NumPy's ``exp`` gives them: float16 for
        8 bits, float32 for 16, else float64; their differences do not wrap around.
    axis : int, tuple of int or None, default None
        Along which results sum to 1; None for all axes.
    out : array, optional
        Where the result goes, of the shape of `x`; it may be `x`, and of a dtype that the result may be cast to
        (``casting="same_kind"``).
    stream : stream, optional
        On which to compute; else that on which `x` was made.

    Returns
    -------
    y : array
        Of the shape of `x`, with its dtype where that is float16, float32 or float64.

    Raises
    ------
    TypeError
        For booleans, complex numbers and dtypes beyond 64 bits, and for an `out` of a wrong kind.
    ValueError
        For an `out` of another shape, and where `axis` has no elements.
    numpy.exceptions.AxisError
        For an axis that `x` lacks.

    See Also
    --------
    log_softmax : Its logarithm.

    Notes
    -----
    As SciPy's: with a NaN, an element +inf, or nothing but -inf along the axes all results are NaN there; an element
    -inf among finite ones gives 0.

    With u the unit roundoff (2**-24, and 2**-53 for float64), n elements along the axes and d = max(x) - x, the
    relative error of a result above the smallest normal number is at most ``u (d + ln(n) + c)`` to first order, where
    c is ``log2(n) + 12`` for n <= 4096 and ``12 log2(n) + 32`` for n < 2**32. The rounding of x - max(x) costs u d; the
    sum errs by a weighted mean of all u d, which is no more than u ln(n). float16 is computed in float32, and rounded
    once.

    The order of sums depends on shapes, strides and dtypes alone: results have the same bits each time.

    Memory: x is read once and y written once where a row fits a block's registers (16384 float32; columns: 1024) or
    where it fits the L2 cache; else x is read twice.

    References
    ----------
    P. Blanchard, D. J. Higham & N. J. Higham 2021, doi:10.1093/imanum/draa038; `scipy.special.softmax`.

    Examples
    --------
    >>> import numpy as np, kernels
    >>> kernels.softmax(np.log(np.array([[1.0, 3.0], [2.0, 6.0]])), axis=1).round(6)
    array([[0.25, 0.75],
           [0.25, 0.75]])
    """
    return _softmax((x,), out, True, stream, axis)


@opaque
def log_softmax(x, axis=None, *, out=None, stream=None):
    """Compute the logarithm of the softmax.

    ``log_softmax(x) = x - max(x) - log(sum(exp(x - max(x))))``, along any axes, also where `softmax` would underflow.

    Parameters
    ----------
    x : array or number
        Of any real dtype, shape and strides. Integers count as the dtype that NumPy's ``exp`` gives them: float16 for
        8 bits, float32 for 16, else float64; their differences do not wrap around.
    axis : int, tuple of int or None, default None
        Along which the exponentials of results sum to 1; None for all axes.
    out : array, optional
        Where the result goes, of the shape of `x`; it may be `x`, and of a dtype that the result may be cast to
        (``casting="same_kind"``).
    stream : stream, optional
        On which to compute; else that on which `x` was made.

    Returns
    -------
    y : array
        Of the shape of `x`, with its dtype where that is float16, float32 or float64.

    Raises
    ------
    TypeError
        For booleans, complex numbers and dtypes beyond 64 bits, and for an `out` of a wrong kind.
    ValueError
        For an `out` of another shape, and where `axis` has no elements.
    numpy.exceptions.AxisError
        For an axis that `x` lacks.

    See Also
    --------
    softmax, logsumexp

    Notes
    -----
    As SciPy's: with a NaN, or nothing but -inf, all results are NaN; with an element +inf that one is NaN and all
    others are -inf.

    With the names of `softmax` the absolute error is at most ``u (2 d + 5 ln(n) + c + 2)`` to first order.

    Memory as of `softmax`.

    References
    ----------
    P. Blanchard, D. J. Higham & N. J. Higham 2021, doi:10.1093/imanum/draa038; `scipy.special.log_softmax`.

    Examples
    --------
    >>> import numpy as np, kernels
    >>> kernels.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    return _log_softmax((x,), out, True, stream, axis)


softmax.plan, log_softmax.plan = _softmax.plan, _log_softmax.plan


def _kernels(normal_of, loop):
    dtype = np.dtype(loop[0])
    result = _result("softmax", dtype)
    shapes = {"rows": ((4096, 4096), (1,)), "columns": ((512, 4096), (0,)), "long rows": ((4, 1 << 22), (1,))}
    for label, (shape, axes) in shapes.items():
        source, target = (Layout(d, shape, contiguous_strides(shape), 16, False) for d in (dtype, result))
        found = plan(normal_of(result, result), source, target, axes, shape)
        yield f"softmax {loop} {label}", found.kernel, signature(found, source, target)


for _function, _of, _reference in (
    (softmax, _softmax_of, special.softmax),
    (log_softmax, _log_softmax_of, special.log_softmax),
):
    file(
        Pair(
            _function.__name__, "reductions", _function, _reference, "(n)->(n)", ("e->e", "f->f", "d->d"), 3.0,
            ((-10.0, 10.0),), {"e": 2.0, "f": 64.0, "d": 64.0}, None,
            lambda loop, of=_of: list(_kernels(of, loop)),
        )
    )  # fmt: skip

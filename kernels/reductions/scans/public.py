"""Running totals along an axis, with NumPy's signatures: sums, products, extremes, and any associative operator.

    y[i] = x[0] * x[1] * ... * x[i]            for an associative operator *

in one pass over memory, whatever the axis (`scans`). The brackets depend on shapes, dtypes and layouts alone, so the
same call gives the same bits every time.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from ...device.functions import implementation
from ...device.instructions import SIMULATED
from ...device.scalar import compute_dtype
from ...runtime import calls
from ...runtime.arrays import DTYPES, operand, placement, stream_handle
from ...runtime.calls import Call
from ...runtime.engines import engine
from ...runtime.frameworks import opaque
from ...runtime.layouts import layout
from ...runtime.plans import Calls
from ..calls import at_least_1d, axes_of, copied
from ..folds import accumulator, floating
from .algebra import UFUNCS, of_operator, of_sums, of_sums_of_exponentials
from .layout import scan_of

#: What decides about a call beside its arrays, in the order of `examine`; see `kernels.runtime.plans.Calls`.
OPTIONS = {"axis": None, "dtype": None, "initial": None, "exclusive": False}


@dataclasses.dataclass(frozen=True, eq=False)
class Scanning:
    """What a scan computes.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        Names of the arrays, for error messages.
    algebra : callable
        ``algebra(dtypes)``: the `Algebra` over arrays that are converted to these dtypes, or None.
    reference : callable
        ``reference(*arrays, axis, initial, exclusive)`` in NumPy, of arrays of these dtypes.
    result : callable
        ``result(dtype)``: what an array is converted to, where no dtype is asked for.
    """

    name: str
    parameters: tuple
    algebra: Callable
    reference: Callable
    result: Callable = lambda dtype: dtype


@dataclasses.dataclass(slots=True)
class Task:
    """The task of a call, see `kernels.runtime.calls.Call`."""

    scanning: Scanning
    ins: tuple
    axis: int | None
    initial: tuple | None
    exclusive: bool
    looks_at_values = False

    @property
    def name(self):
        """Of the function."""
        return self.scanning.name

    @property
    def parameters(self):
        """Names of the arrays."""
        return self.scanning.parameters

    def reference(self, call, values, chosen):
        """The results in NumPy."""
        values = [v.reshape(-1) if self.axis is None else v for v in values]
        return self.scanning.reference(*values, axis=self.axis or 0, initial=self.initial, exclusive=self.exclusive)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        ins = tuple(map(layout, sources))
        outs = tuple(_as_shaped(layout(y), ins[0].shape) for y in targets)
        found = scan_of(self.scanning.algebra(self.ins), self.ins, ins, outs, ins[0].shape, self.axis,
                        self.initial is not None, self.exclusive, device, self.name)  # fmt: skip
        first = self.initial or (0,) * len(self.ins)
        first = calls.words([compute_dtype(d).type(v) for d, v in zip(self.ins, first, strict=True)])
        return _Handing(found, first, device)

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


def _as_shaped(target, shape):
    """The layout of a target as if it had the shape of what is scanned, which may have been flattened."""
    if len(target.shape) == len(shape):
        return target
    (step,) = target.strides
    strides = tuple(step * math.prod(shape[k + 1 :]) for k in range(len(shape)))
    return target._replace(shape=shape, strides=strides)


class _Handing:
    """A launch with the memory that it finds as the last scan left it."""

    def __init__(self, scan, first, device):
        self._launch, self._nbytes, self._first, self._device = scan.launch, scan.scratch, tuple(first), device
        self.load = getattr(scan.launch, "load", None)

    def __call__(self, stream, *words):
        memory = _handed_on(self._nbytes, self._device, stream) if self._nbytes else _NOWHERE
        self._launch(stream, *self._first, *words, memory)


if SIMULATED:
    from ...runtime.arrays import Pointer

    _NOWHERE = Pointer(np.zeros(2, np.uint64))

    def _handed_on(nbytes, device, stream):
        return Pointer(np.zeros(nbytes // 8, np.uint64))

else:
    from ...runtime.scratch import handed_on as _handed_on

    _NOWHERE = 0


# --- what can be wrong ------------------------------------------------------------------------------------------------


def examine(scanning, inputs, out, where, stream, axis, dtype, initial, exclusive):
    """The `Call` that scans `inputs` as NumPy would; it raises for whatever is wrong with the arguments."""
    stream = stream_handle(stream)
    xs = [at_least_1d(operand(x, name)) for x, name in zip(inputs, scanning.parameters, strict=True)]
    outs = calls.outputs(out, len(xs), scanning.name)
    shape = xs[0].shape
    if any(x.shape != shape for x in xs):
        raise ValueError(f"all arrays must have one shape, got {', '.join(f'{x.name} {x.shape}' for x in xs)}")
    axis = None if axis is None else axes_of(axis, len(shape), single=True)[0]
    results = (math.prod(shape),) if axis is None else shape
    wanted = None if dtype is None else np.dtype(dtype)
    ins = tuple(
        wanted or (scanning.result(x.dtype) if y is None or len(xs) > 1 else y.dtype)
        for x, y in zip(xs, outs, strict=True)
    )
    if any(d not in DTYPES for d in ins) or scanning.algebra(ins) is None:
        listed = ", ".join(f"{x.name}: {x.dtype}" for x in xs)
        raise TypeError(f"{scanning.name} is not defined for {listed}{f' with dtype={wanted}' if wanted else ''}")
    calls.check_casts(scanning.name, outs, ins, "same_kind")
    for y in outs:
        if y is not None and y.shape != results:
            raise ValueError(f"{y.name} has shape {y.shape}, the result has {results}")
    given = [y for y in outs if y is not None]
    chosen = engine()
    device, stream, like = placement([*given, *xs], stream)
    calls.check_places(chosen, device, given, [*given, *xs])
    if axis is not None and len(shape) == 1:
        axis = 0
    task = Task(scanning, ins, axis, _initial(initial, ins, exclusive), bool(exclusive))
    dtypes = tuple(d if y is None else y.dtype for d, y in zip(ins, outs, strict=True))
    return Call(task, xs, None, outs, dtypes, results, "C", chosen, device, stream, like, keeps=False)


def _initial(initial, ins, exclusive):
    if initial is None:
        if exclusive:
            raise ValueError("initial must be given where exclusive is true: it is the first result")
        return None
    values = initial if isinstance(initial, tuple) else (initial,)
    if len(values) != len(ins):
        raise ValueError(f"initial must have one number for each of {len(ins)} arrays, got {len(values)}")
    if any(np.ndim(v) for v in values):
        raise ValueError(f"initial must be a number for each array, got {initial!r}")
    return tuple(compute_dtype(d).type(v) for d, v in zip(ins, values, strict=True))


# --- references -------------------------------------------------------------------------------------------------------


def _accumulated(ufunc):
    """``reference(x, axis, initial, exclusive)`` of a ufunc."""

    def reference(x, *, axis, initial, exclusive):
        wide = x.astype(compute_dtype(x.dtype), copy=False)
        if initial is not None:
            first = np.full([1 if k == axis else n for k, n in enumerate(x.shape)], initial[0], wide.dtype)
            wide = np.concatenate([first, wide], axis)
        found = ufunc.accumulate(wide, axis, wide.dtype)
        if initial is not None:
            kept = slice(None, -1) if exclusive else slice(1, None)
            found = found[(slice(None),) * axis + (kept,)]
        return found

    return reference


def _one_after_another(op, nin):
    """The reference of a Python operator: itself, on the NumPy scalars of one element after another."""

    def reference(*xs, axis, initial, exclusive):
        moved = [np.moveaxis(x.astype(compute_dtype(x.dtype)), axis, -1) for x in xs]
        results = [np.empty_like(x) for x in moved]
        kinds = [x.dtype.type for x in moved]
        for row in np.ndindex(moved[0].shape[:-1]):
            state = initial
            for i in range(moved[0].shape[-1]):
                element = tuple(x[row][i] for x in moved)
                before = state
                state = element if state is None else _applied(op, state, element, kinds)
                for result, value in zip(results, before if exclusive else state, strict=True):
                    result[row][i] = value
        found = tuple(np.moveaxis(result, -1, axis) for result in results)
        return found if nin > 1 else found[0]

    return reference


def _applied(op, state, element, kinds):
    found = (op(state[0], element[0]),) if len(kinds) == 1 else op(state, element)
    return tuple(kind(v) for kind, v in zip(kinds, found, strict=True))


# --- public -----------------------------------------------------------------------------------------------------------


def _of_ufunc(name, ufunc, result):
    def algebra(dtypes):
        if implementation(ufunc, (compute_dtype(dtypes[0]),) * 2) is None:
            return None
        return of_sums(dtypes[0]) if ufunc is np.add else of_operator(ufunc, dtypes)

    return Scanning(name, ("a",), algebra, _accumulated(ufunc), result)


def _calls(scanning, options=None):
    return Calls(functools.partial(examine, scanning), options or OPTIONS)


def _with_plan(made):
    def decorate(function):
        function.plan = made.plan
        return opaque(function)

    return decorate


_cumsum = _calls(_of_ufunc("cumsum", np.add, accumulator))
_cumprod = _calls(_of_ufunc("cumprod", np.multiply, accumulator))
_cummax = _calls(_of_ufunc("cummax", np.maximum, lambda dtype: dtype))
_cummin = _calls(_of_ufunc("cummin", np.minimum, lambda dtype: dtype))
_logcumsumexp = _calls(
    Scanning(
        "logcumsumexp",
        ("a",),
        lambda dtypes: of_sums_of_exponentials(dtypes[0]) if dtypes[0].kind == "f" else None,
        _accumulated(np.logaddexp),
        floating,
    )
)


@_with_plan(_cumsum)
def cumsum(a, axis=None, dtype=None, out=None, *, stream=None):
    r"""Sums of the elements up to each one, ``y[i] = a[0] + ... + a[i]``, as `numpy.cumsum`.

    Parameters
    ----------
    a : array
        Of any dtype, shape and strides.
    axis : int, optional
        Along which is summed; else the elements in C order, and the result is 1-D.
    dtype : dtype, optional
        In which is summed. Else that of `out`, or of `a`, integers and booleans being summed in 64 bits.
    out : array, optional
        For the result; it may be `a`.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind of `a`; `out` where that is given.

    Raises
    ------
    TypeError, ValueError
        For an axis, a dtype or an output that does not fit.

    Notes
    -----
    Every element is read once and written once, on every axis. The same call has the same bits every time.

    The error of a float does not grow with the length, as it does where one element is added after the other: with u
    half the spacing of floats at 1 it is

        \|error of y[i]\| <= u \|y[i]\| + 32 u (\|a[0]\| + ... + \|a[i]\|)

    for real and imaginary parts each, up to lengths of 2**31. Sums of tiles are added as sums of two floats each.
    float16 is summed in float32, and rounded once.

    References
    ----------
    Merrill & Garland 2016, "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA NVR-2016-002.

    Examples
    --------
    >>> import kernels
    >>> kernels.cumsum([[1, 2, 3], [4, 5, 6]], axis=1)
    array([[ 1,  3,  6],
           [ 4,  9, 15]])
    """
    return _cumsum((a,), out, True, stream, axis, dtype, None, False)


@_with_plan(_cumprod)
def cumprod(a, axis=None, dtype=None, out=None, *, stream=None):
    """Products of the elements up to each one, ``y[i] = a[0] a[1] ... a[i]``, as `numpy.cumprod`.

    Parameters
    ----------
    a : array
        Of any dtype, shape and strides.
    axis : int, optional
        Along which is multiplied; else the elements in C order, and the result is 1-D.
    dtype : dtype, optional
        In which is multiplied. Else that of `out`, or of `a`, integers and booleans being multiplied in 64 bits.
    out : array, optional
        For the result; it may be `a`.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind of `a`; `out` where that is given.

    Raises
    ------
    TypeError, ValueError
        For an axis, a dtype or an output that does not fit.

    Notes
    -----
    Each result is i products, in brackets that its shape and layout decide. With u half the spacing of floats at 1, the
    relative error of y[i] is at most i u / (1 - i u) where nothing overflows or underflows; for complex numbers
    2.83 i u / (1 - 2.83 i u). A bracket may overflow where the product from left to right does not.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.cumprod.html

    Examples
    --------
    >>> import kernels
    >>> kernels.cumprod([1.0, 2.0, 3.0, 4.0])
    array([ 1.,  2.,  6., 24.])
    """
    return _cumprod((a,), out, True, stream, axis, dtype, None, False)


@_with_plan(_cummax)
def cummax(a, axis=None, out=None, *, stream=None):
    """Largest of the elements up to each one, as ``numpy.maximum.accumulate``; NaN from the first NaN on.

    Parameters
    ----------
    a : array
        Of any dtype, shape and strides.
    axis : int, optional
        Else the elements in C order, and the result is 1-D.
    out : array, optional
        For the result; it may be `a`.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind and dtype of `a`; `out` where that is given. It is exact.

    Raises
    ------
    TypeError, ValueError
        For an axis or an output that does not fit.

    Notes
    -----
    The result is exact. Each element is read once and each result written once.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.ufunc.accumulate.html

    Examples
    --------
    >>> import kernels
    >>> kernels.cummax([1, 3, 2, 5, 4])
    array([1, 3, 3, 5, 5])
    """
    return _cummax((a,), out, True, stream, axis, None, None, False)


@_with_plan(_cummin)
def cummin(a, axis=None, out=None, *, stream=None):
    """Smallest of the elements up to each one, as ``numpy.minimum.accumulate``; NaN from the first NaN on.

    Parameters
    ----------
    a : array
        Of any dtype, shape and strides.
    axis : int, optional
        Else the elements in C order, and the result is 1-D.
    out : array, optional
        For the result; it may be `a`.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind and dtype of `a`; `out` where that is given. It is exact.

    Raises
    ------
    TypeError, ValueError
        For an axis or an output that does not fit.

    Notes
    -----
    The result is exact. Each element is read once and each result written once.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.ufunc.accumulate.html

    Examples
    --------
    >>> import kernels
    >>> kernels.cummin([5, 3, 4, 1, 2])
    array([5, 3, 3, 1, 1])
    """
    return _cummin((a,), out, True, stream, axis, None, None, False)


@_with_plan(_logcumsumexp)
def logcumsumexp(a, axis=None, dtype=None, out=None, *, stream=None):
    r"""Logarithms of the sums of exponentials up to each element, as ``numpy.logaddexp.accumulate``.

    Parameters
    ----------
    a : array
        Of a real dtype; integers are converted to float64.
    axis : int, optional
        Else the elements in C order, and the result is 1-D.
    dtype : dtype, optional
        A real floating one, in which is computed; else that of `out`, or of `a`.
    out : array, optional
        For the result; it may be `a`.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind of `a`; `out` where that is given.

    Raises
    ------
    TypeError, ValueError
        For an axis, a dtype or an output that does not fit.

    Notes
    -----
    A sum is kept as its largest term's exponent and the sum of all terms relative to it, and no exponential overflows.
    With u half the spacing of floats at 1, each of the at most d additions between an element and y[i] errs by 4 u of
    the sum, so that \|error of y[i]\| <= (4 d + 2) u + u \|y[i]\|, where d is 64 and one for each 2^17 elements.

    References
    ----------
    PyTorch, https://docs.pytorch.org/docs/stable/generated/torch.logcumsumexp.html

    Examples
    --------
    >>> import kernels
    >>> kernels.logcumsumexp([0.0, 0.0, 1000.0]).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """
    return _logcumsumexp((a,), out, True, stream, axis, dtype, None, False)


def scan(op, x, *, axis=0, initial=None, exclusive=False, out=None, stream=None):
    """Combine the elements up to each one by an associative operator, ``y[i] = op(...op(x[0], x[1])..., x[i])``.

    Parameters
    ----------
    op : callable
        Associative; it need not commute. Of two numbers, the earlier first, or, where `x` is a tuple, of two tuples of
        numbers, of which it returns another. One of Python's operators (``operator.mul``, `max`), a NumPy ufunc
        (``numpy.logaddexp``) or a Python function, whose values are NumPy scalars.
    x : array or tuple of arrays
        Of one shape.
    axis : int or None
        None for the elements in C order; the result is 1-D then.
    initial : number or tuple of numbers, optional
        What comes before the first element, one for each array.
    exclusive : bool
        Leave each element out of its own result, so that y[0] is `initial`, which must be given.
    out : array or tuple of arrays, optional
        For the results; each may be its input.
    stream : optional
        On which the GPU works; else the current one of the library that `x` comes from.

    Returns
    -------
    y : array or tuple of arrays
        Of the kind and the dtypes of `x`; `out` where that is given.

    Raises
    ------
    TypeError
        When `op` is not callable, or not defined for the dtypes.
    ValueError
        For arrays of several shapes, an axis that is none, an output that does not fit, or an exclusive scan with no
        `initial`.

    Notes
    -----
    Every element is read once and written once. What `op` returns is converted to the dtypes of `x`. The brackets
    depend on shapes, dtypes and layouts alone: where rounding makes `op` less than associative, the same call still has
    the same bits every time. Sums of floats are carried as those of `cumsum` are. Kernels are kept per `op`: define it
    once.

    References
    ----------
    Merrill & Garland 2016, "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA NVR-2016-002.

    Examples
    --------
    The recurrence y[i] = a[i] y[i - 1] + b[i] composes maps (a, b):

    >>> import numpy as np, kernels
    >>> def after(f, g):
    ...     return f[0] * g[0], f[1] * g[0] + g[1]
    >>> a, b = np.full(5, 0.5), np.ones(5)
    >>> kernels.scan(after, (a, b))[1]
    array([1.    , 1.5   , 1.75  , 1.875 , 1.9375])

    Running products that leave out each element itself:

    >>> import operator
    >>> kernels.scan(operator.mul, [2, 3, 4], initial=1, exclusive=True)
    array([1, 2, 6])
    """
    inputs = x if isinstance(x, tuple) else (x,)
    return _scan_calls(op, len(inputs))(inputs, out, True, stream, axis, None, initial, exclusive)


@functools.lru_cache(maxsize=512)
def _scan_calls(op, nin):
    if not callable(op):
        raise TypeError(f"op must be callable, got {type(op).__qualname__}")
    if not nin:
        raise ValueError("x must be an array or a tuple of one or more")
    ufunc = UFUNCS.get(op, op)

    def algebra(dtypes):
        if ufunc is np.add and nin == 1:
            return of_sums(dtypes[0])
        return of_operator(op, dtypes)

    known = nin == 1 and isinstance(ufunc, np.ufunc)
    reference = _accumulated(ufunc) if known else _one_after_another(op, nin)
    names = ("x",) if nin == 1 else tuple(f"x[{k}]" for k in range(nin))
    return _calls(Scanning("scan", names, algebra, reference), OPTIONS | {"axis": 0})


@opaque
def _scan_plan(op, like, **options):
    """Make a call of `scan` ready to be repeated; see ``kernels.cumsum.plan``."""
    nin = len(like) if isinstance(like, tuple) else 1
    return _scan_calls(op, nin).plan(like, **options)


scan.plan = _scan_plan
opaque(scan)

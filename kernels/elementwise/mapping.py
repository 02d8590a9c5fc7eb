"""One call of an elementwise function: dtypes, shapes, outputs, overlap.

The order is NumPy's ufunc protocol: resolve the loop, broadcast, check `out`, then compute. Everything that can
be wrong with an argument is found before anything is written.

Source: NumPy, "Universal functions (ufunc) basics", https://numpy.org/doc/stable/user/basics.ufuncs.html
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..device.functions import identity
from ..device.instructions import SIMULATED
from ..device.scalar import call
from ..runtime import calls
from ..runtime.arrays import DTYPES, contiguous_strides, operand, placement, stream_handle
from ..runtime.calls import Call
from ..runtime.engines import engine
from ..runtime.layouts import layout
from .layout import launch


@dataclass(frozen=True, eq=False)
class Mapping:
    """What an elementwise function computes, element by element.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        Names of the inputs, for error messages.
    nout : int
    resolve : callable
        ``resolve(dtypes, dtype, casting) -> (ins, outs)``: the loop for input dtypes (Python's `int`, `float`
        and `complex` for weak scalars) and the user's ``dtype=``; TypeError where there is none. A weak scalar
        among `ins` stays weak inside the function.
    scalar : callable
        ``scalar(ins)``: the device function of the loop over these dtypes, or None.
    reference : callable
        The same of NumPy arrays of dtypes `ins`.
    check : callable, optional
        ``check(operands, ins)`` raises for values that the function refuses, as far as host memory shows them.
    """

    name: str
    parameters: tuple
    nout: int
    resolve: Callable
    scalar: Callable
    reference: Callable
    check: Callable | None = None


#: What decides about a call beside its arrays; see `kernels.runtime.plans.Calls`.
OPTIONS = {"casting": "same_kind", "dtype": None}


def examine(mapping, inputs, out, where, stream, casting, dtype):
    """The `Call` that applies `mapping` to `inputs` as a NumPy ufunc would be applied.

    It raises for whatever is wrong with the arguments.
    """
    stream = stream_handle(stream)
    xs = [operand(x, name) for x, name in zip(inputs, mapping.parameters, strict=True)]
    mask = None if where is True else calls.mask_of(where)
    outs = calls.outputs(out, mapping.nout, mapping.name)
    loop = _find_loop(mapping, xs, None if dtype is None else np.dtype(dtype), casting)
    calls.check_casts(mapping.name, outs, loop.outs, casting)
    given = [y for y in outs if y is not None]
    involved = xs if mask is None else [*xs, mask]
    shape = _shape(involved, given)
    chosen = engine()
    everything = given + involved if given else involved
    device, stream, like = placement(everything, stream)
    calls.check_places(chosen, device, given, everything)
    order = "C" if len(shape) < 2 or len(given) == len(outs) else _order(xs, shape)
    return Call(loop, xs, mask, outs, loop.outs, shape, order, chosen, device, stream, like)


class Loop:
    """The task of a call (see `kernels.runtime.calls.Call`): the dtypes of its loop, and what kernels do to a lane."""

    __slots__ = ("_f", "_mapping", "ins", "looks_at_values", "name", "outs", "parameters")

    def __init__(self, mapping, dtypes, dtype, casting):
        self._mapping, self.name, self.parameters = mapping, mapping.name, mapping.parameters
        self.looks_at_values = mapping.check is not None
        self.ins, self.outs = mapping.resolve(dtypes, dtype, casting)
        scalar = mapping.scalar(self.ins)
        if scalar is None or any(d not in DTYPES for d in map(np.dtype, (*self.ins, *self.outs))):
            listed = ", ".join(f"{name}: {t}" for name, t in zip(mapping.parameters, self.ins, strict=True))
            raise TypeError(f"{mapping.name} is not defined for these dtypes ({listed})")
        self._f = call(scalar, self.ins, self.outs)

    def reference(self, call, values, chosen):
        """The results in NumPy."""
        return self._mapping.reference(*values)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        ins, outs = (tuple(map(layout, group)) for group in (sources, targets))
        return launch(self._f, ins, mask and layout(mask), outs, shape, device, self.name)

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


def copied(x, device, stream):
    """A copy of an operand that a kernel can reach."""
    if SIMULATED:
        return operand(x.memory.copy(), x.name)
    copy = calls.room(x, device, stream)
    calls.run(_copy(x.dtype), [x], None, [copy], x.shape, device, stream)
    return copy


@functools.cache
def _copy(dtype):
    """The task that copies arrays of a dtype."""
    return Loop(
        Mapping("copy", ("x",), 1, lambda *_: ((dtype,), (dtype,)), lambda ins: identity, None), None, None, None
    )


_loop = functools.lru_cache(maxsize=4096)(Loop)


def _find_loop(mapping, xs, dtype, casting):
    found = _loop(mapping, tuple([x.weak or x.dtype for x in xs]), dtype, casting)
    try:
        for x, d in zip(xs, found.ins, strict=True):
            if x.weak:
                np.dtype(d).type(x.array)
    except OverflowError:
        # NumPy compares with integers out of the dtype's range exactly; all else refuses them.
        if mapping.name not in _COMPARISONS:
            raise
        found = _loop(mapping, tuple(_fitting(x) if x.weak is int else x.dtype for x in xs), dtype, casting)
    if mapping.check:
        mapping.check(xs, found.ins)
    return found


_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}


def _fitting(x):
    """The first of int64, uint64 and float64 that holds a Python integer's place in the order."""
    for d in (np.int64, np.uint64):
        if np.iinfo(d).min <= x.array <= np.iinfo(d).max:
            return np.dtype(d)
    return np.dtype(np.float64)


def _shape(involved, given):
    shape = involved[0].shape
    if any(x.shape != shape for x in involved) or any(y.shape != shape for y in given):
        return _broadcast(involved, given)
    return shape


def _broadcast(involved, given):
    try:
        shape = np.broadcast_shapes(*(x.shape for x in involved))
    except ValueError:
        listed = ", ".join(f"{x.name} {x.shape}" for x in involved)
        raise ValueError(f"operands could not be broadcast together: {listed}") from None
    whole = given[0].shape if given else shape
    for y in given:
        if y.shape != whole or not _fits(shape, y.shape):
            raise ValueError(f"{y.name} has shape {y.shape}, which the broadcast shape {shape} does not fit")
    return whole


def _fits(shape, whole):
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def _order(xs, shape):
    """NumPy's order="K", as far as it is C or Fortran order: the one that all full-shape inputs share."""
    full = [x for x in xs if x.shape == shape]
    if not full or any(x.strides == contiguous_strides(shape) for x in full):
        return "C"
    return "F" if all(x.strides == contiguous_strides(shape, "F") for x in full) else "C"

"""One call of a reduction: dtypes, axes, outputs, and the fold that computes it.

The order is that of NumPy's ``ufunc.reduce``. Everything that can be wrong with an argument is found before anything is
written.

Source: NumPy, "numpy.ufunc.reduce", https://numpy.org/doc/stable/reference/generated/numpy.ufunc.reduce.html
"""

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..device.instructions import SIMULATED
from ..runtime import calls
from ..runtime.arrays import DTYPES, Pointer, contiguous_strides, operand, placement, stream_handle
from ..runtime.calls import Call
from ..runtime.engines import engine
from ..runtime.layouts import Layout, layout
from ..runtime.memory import Buffer
from ..runtime.plans import Calls
from .folds import copy_fold
from .layout import Index, launch, plan, signature

#: What decides about a call beside its arrays, in the order of `examine`; see `kernels.runtime.plans.Calls`.
OPTIONS = {"axis": None, "dtype": None, "keepdims": False, "initial": None, "setting": None}


@dataclass(frozen=True, eq=False)
class Reduction:
    """What a reduction computes.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        Names of the arrays, for error messages.
    fold : callable
        ``fold(dtypes, dtype, setting, initial, masked) -> Fold``; TypeError where there is none.
    reference : callable
        ``reference(*arrays, axis, keepdims, where, fold, setting, initial)`` in NumPy.
    extras : callable
        ``extras(count, setting)``: the numbers that finish a fold of `count` elements.
    identity : bool
        Whether nothing has a result.
    indexed : bool
        Whether elements count with their numbers; `axis` is one axis then, or None.
    follows_out : bool
        Whether `out` decides the dtype, where none is asked for, as it does for NumPy's ufuncs.
    weak : bool
        Whether Python's numbers are weak among `dtypes`: `int`, `float` and `complex`.
    results : int
        How many arrays come out.
    task : type, optional
        Of its calls, where that is not `Task`.
    default : object
        The setting of a call that names none.
    """

    name: str
    parameters: tuple
    fold: Callable
    reference: Callable
    extras: Callable = lambda count, setting: ()
    identity: bool = True
    indexed: bool = False
    follows_out: bool = False
    weak: bool = False
    results: int = 1
    task: type = None
    default: Any = None

    @functools.cached_property
    def calls(self):
        """The calls of the function, which keep plans."""
        return Calls(functools.partial(examine, self), OPTIONS)

    def of_one_axis(self, *arrays):
        """The reference, over all elements of arrays of one axis."""
        fold = self.fold(tuple(x.dtype for x in arrays), None, self.default, False, False)
        found = self.reference(*arrays, axis=(0,), keepdims=False, where=True, fold=fold, setting=self.default,
                               initial=None)  # fmt: skip
        return np.asarray(found).astype(fold.out, copy=False)

    def kernels(self, loop):
        """What calls of this loop launch, for offline compilation: ``(label, dispatcher, Numba signature)`` each."""
        dtypes = tuple(map(np.dtype, loop.split("->")[0]))
        fold = self.fold(dtypes, None, self.default, False, False)
        extras = tuple(d.type(1) for d in fold.extras)
        shapes = {"rows": ((1 << 22,), (0,)), "short rows": ((1 << 16, 32), (1,)), "columns": ((1 << 16, 64), (0,))}
        found = []
        for label, (shape, axes) in shapes.items():
            kept = tuple(n for k, n in enumerate(shape) if k not in axes)
            sources = [Layout(d, shape, contiguous_strides(shape), 16, False) for d in dtypes]
            sources = (*sources, Index(axes)) if self.indexed else tuple(sources)
            targets = tuple(Layout(d, kept, contiguous_strides(kept), 16, False) for d in fold.outs)
            chosen = plan(fold, sources, targets, axes, shape, extras)
            found.append((f"{self.name} {loop} {label}", chosen.kernel, signature(chosen, fold, sources, targets)))
        return found


@dataclass(slots=True)
class Task:
    """The task of a call, see `kernels.runtime.calls.Call`."""

    reduction: Reduction
    fold: Any
    shape: tuple
    axes: tuple
    keepdims: bool
    extras: tuple
    setting: Any
    initial: Any
    looks_at_values = False

    @property
    def name(self):
        """Of the function."""
        return self.reduction.name

    @property
    def parameters(self):
        """Names of the arrays."""
        return self.reduction.parameters

    @property
    def ins(self):
        """Dtypes that numbers are converted to."""
        arrays = self.fold.ins[: len(self.parameters)]
        return arrays

    def reference(self, call, values, chosen):
        """The result in NumPy."""
        values = [np.broadcast_to(v, self.shape) for v in values]
        return self.reduction.reference(
            *values, axis=self.axes, keepdims=self.keepdims, where=chosen, fold=self.fold, setting=self.setting,
            initial=self.initial,
        )  # fmt: skip

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        targets = tuple(map(layout, targets))
        if self.keepdims:
            targets = tuple(without(y, self.axes) for y in targets)
        given = tuple(map(layout, sources if mask is None else [mask, *sources]))
        if self.reduction.indexed:
            given += (Index(self.axes),)
        return launch(self.fold, given, targets, self.axes, self.shape, self.extras, device)

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


def copied(x, device, stream):
    """A copy of an operand that a kernel can reach: it is folded over no axis."""
    if SIMULATED:
        return operand(x.memory.copy(), x.name)
    copy = calls.room(x, device, stream)
    launch(copy_fold(x.dtype), (layout(x),), layout(copy), (), x.shape, (), device)(stream, x.pointer, copy.pointer)
    return copy


def room(shape, dtype, device, stream):
    """Memory without gaps for what lies between two launches, and the word that they take for it."""
    if SIMULATED:
        memory = np.empty(shape, dtype)
        return memory, Pointer(memory)
    buffer = Buffer(math.prod(shape) * dtype.itemsize, device, stream, "what lies between two launches")
    return buffer, buffer.pointer


def without(target, axes):
    """The layout of a target less some axes."""
    keep = [k for k in range(len(target.shape)) if k not in axes]
    return target._replace(shape=tuple(target.shape[k] for k in keep), strides=tuple(target.strides[k] for k in keep))


def examine(reduction, inputs, out, where, stream, axis, dtype, keepdims, initial, setting):
    """The `Call` that reduces `inputs` as NumPy would; it raises for whatever is wrong with the arguments."""
    stream = stream_handle(stream)
    xs = [operand(x, name) for x, name in zip(inputs, reduction.parameters, strict=True)]
    mask = None if where is True else calls.mask_of(where)
    outs = calls.outputs(out, reduction.results, reduction.name)
    given = [y for y in outs if y is not None]
    shape = _shape(xs, mask)
    axes = axes_of(axis, len(shape), reduction.indexed)
    dtype = np.dtype(dtype) if dtype is not None else given[0].dtype if given and reduction.follows_out else None
    setting = reduction.default if setting is None else setting
    if reduction.indexed:
        setting = np.dtype(np.int32 if math.prod(shape) < 2**31 else np.int64)
    dtypes = tuple((reduction.weak and x.weak) or x.dtype for x in xs)
    fold = reduction.fold(dtypes, dtype, setting, initial is not None, mask is not None)
    if fold is None or any(d not in DTYPES for d in (*fold.ins, *fold.outs)):
        listed = ", ".join(f"{name}: {d}" for name, d in zip(reduction.parameters, dtypes, strict=True))
        raise TypeError(f"{reduction.name} is not defined for {listed}{f' with dtype={dtype}' if dtype else ''}")
    extras = _extras(reduction, fold, shape, axes, setting, initial, mask)
    calls.check_casts(reduction.name, outs, fold.outs, "same_kind")
    keepdims = bool(keepdims)
    kept = tuple(1 if k in axes else n for k, n in enumerate(shape) if keepdims or k not in axes)
    for y in given:
        if y.shape != kept:
            raise ValueError(f"{y.name} has shape {y.shape}, the result has {kept}")
    found = tuple(d if y is None else y.dtype for y, d in zip(outs, fold.outs, strict=True))
    fold = fold._replace(out=found if len(found) > 1 else found[0])
    involved = xs if mask is None else [*xs, mask]
    chosen = engine()
    device, stream, like = placement([*given, *involved], stream)
    calls.check_places(chosen, device, given, [*given, *involved])
    task = (reduction.task or Task)(reduction, fold, shape, axes, keepdims, extras, setting, initial)
    # NumPy has two dtypes of int64, which are equal and print differently.
    made = tuple(np.dtype(d.name) for d in fold.outs)
    return Call(task, xs, mask, outs, made, kept, "C", chosen, device, stream, like, keeps=False)


def at_least_1d(x):
    """`x`, a number with an axis of length one."""
    if x.shape:
        return x
    if x.device is None:
        value = np.asarray(x.array if x.memory is None else x.memory, x.dtype)
        return operand(value.reshape(1), x.name)
    return replace(x, shape=(1,), strides=(1,))


def _shape(xs, mask):
    shapes = [x.shape for x in xs]
    try:
        shape = np.broadcast_shapes(*shapes)
        if mask is not None and np.broadcast_shapes(shape, mask.shape) != shape:
            raise ValueError
    except ValueError:
        listed = ", ".join(f"{x.name} {x.shape}" for x in (xs if mask is None else [*xs, mask]))
        raise ValueError(f"operands could not be broadcast together: {listed}") from None
    return shape


def axes_of(axis, ndim, single=False):
    """The axes that are reduced, sorted; NumPy's errors for what is none."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, tuple) and not single:
        return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, ndim, "axis")))
    try:
        axis = operator.index(axis)
    except TypeError:
        kinds = "None or an integer" if single else "None, an integer or a tuple of integers"
        raise TypeError(f"axis must be {kinds}, got {axis!r}") from None
    return np.lib.array_utils.normalize_axis_tuple(axis, ndim, "axis")


def _extras(reduction, fold, shape, axes, setting, initial, mask):
    """The numbers that finish a fold; ValueError where there is nothing to reduce."""
    count = int(np.prod([shape[k] for k in axes], dtype=np.int64))
    if initial is None and not reduction.identity:
        if mask is not None:
            raise ValueError(f"initial must be given where {reduction.name} has a mask, since it has no identity")
        if count == 0:
            names = " and ".join(reduction.parameters)
            raise ValueError(f"{names} has no elements along the reduced axes, and {reduction.name} has no identity")
    numbers = tuple(reduction.extras(count, setting)) if fold.extras else ()
    if initial is not None:
        numbers += initial if isinstance(initial, tuple) else (initial,)
    return tuple(d.type(v) for d, v in zip(fold.extras, numbers, strict=True))

"""Sums that are rounded once, and means and dot products made of them.

Two kernels in a row. The first is that of every fold, whose state is an expansion of three float64
(`kernels.device.expansions`): it reads at the speed of memory, and holds nearly all sums without rounding. Where it
does not, or where infinities and NaN take part, the result is NaN, and the second kernel computes these results, and no
others, with accumulators that have room for all digits (`kernels.reductions.exact`).

Complex numbers are summed by parts.

Source: Collange, Defour, Graillat & Iakymchuk 2015, "Numerical reproducibility for the parallel reduction on multi- and
many-core architectures", https://doi.org/10.1016/j.parco.2015.09.001, where expansions stand before accumulators.
"""

import dataclasses
import functools
import math

import numpy as np

from ..device import expansions
from ..device.functions import identity, implementation
from ..device.instructions import SIMULATED, device_function
from ..device.scalar import call
from ..runtime.arrays import Pointer, contiguous_strides
from ..runtime.layouts import Layout, layout
from ..runtime.memory import Buffer
from ..runtime.scratch import scratch
from . import folds
from .calls import Reduction, Task, without
from .exact import Operand, exact_sum, exact_sums
from .kernels import Fold
from .layout import launch

DOUBLE = np.dtype(np.float64)
_NUMBERS = (DOUBLE,) * 3


# --- reference --------------------------------------------------------------------------------------------------------


def _nearest(values, others, dtype):
    """`exact_sum`, by `math.fsum` where that is the same and has an answer."""
    if others is None and dtype == np.float64:
        try:
            return np.float64(math.fsum(values.tolist()))
        except (OverflowError, ValueError):
            pass
    return exact_sum(values, others, dtype)


def _summed(arrays, axis, keepdims, where, dtype, initial):
    """Exact sums of real arrays, or of the products of two, over axes."""
    first = arrays[0]
    kept = [k for k in range(first.ndim) if k not in axis]
    lengths = [first.shape[k] for k in kept]
    flat = [np.transpose(a, [*kept, *axis]).reshape(*lengths, -1) for a in arrays]
    chosen = np.transpose(np.broadcast_to(where, first.shape), [*kept, *axis]).reshape(*lengths, -1)
    found = np.empty(lengths, dtype)
    for k in np.ndindex(*lengths):
        rows = [a[k][chosen[k]] for a in flat]
        if initial is not None:
            rows = [np.append(r, v) for r, v in zip(rows, (initial, 1), strict=False)]
        found[k] = _nearest(rows[0], rows[1] if len(rows) > 1 else None, found.dtype)
    return found.reshape([1 if k in axis else n for k, n in enumerate(first.shape)]) if keepdims else found


def _reference(*arrays, axis, keepdims, where, fold, setting, initial):
    computed = fold.ins[0]
    arrays = [a.astype(computed, copy=False) for a in arrays]
    if fold.chain is None:
        whole = arrays[0] if len(arrays) == 1 else arrays[0] * arrays[1]
        more = {} if initial is None else {"initial": initial}
        return np.add.reduce(whole, axis=axis, dtype=computed, keepdims=keepdims, where=where, **more)
    start = None if initial is None else computed.type(initial)
    count = math.prod(arrays[0].shape[k] for k in axis) if fold.name == "mean" else None
    if computed.kind != "c":
        return _result(arrays, axis, keepdims, where, fold.out if fold.out.kind == "f" else computed, start, count)
    real = folds.real(fold.out)
    parts = [
        _result([getattr(a, part) for a in arrays], axis, keepdims, where, real, start and getattr(start, part), count)
        for part in ("real", "imag")
    ]
    found = np.empty(parts[0].shape, fold.out)
    found.real, found.imag = parts
    return found


def _result(arrays, axis, keepdims, where, dtype, initial, count):
    if count is None:
        return _summed(arrays, axis, keepdims, where, dtype, initial)
    if where is not True:
        count = np.sum(np.broadcast_to(where, arrays[0].shape), axis=axis, keepdims=keepdims)
    return (_summed(arrays, axis, keepdims, where, np.float64, None) / count).astype(dtype)


# --- folds ------------------------------------------------------------------------------------------------------------


@functools.cache
def _product(dtype):
    """The expansion of a product."""
    if dtype == np.float64:

        @device_function
        def lift(x, y):
            p, e = expansions.product(x, y)
            return p, e, 0.0
    else:
        widen = call(identity, (dtype,), (DOUBLE,))

        @device_function
        def lift(x, y):
            return widen((x,)) * widen((y,)), 0.0, 0.0

    return lift


@functools.cache
def _finish(out, last):
    """What makes a result of an expansion: `last` is what it is given besides, "initial", "count" or nothing."""
    rounded = expansions.to_double if out == np.float64 or last == "count" else expansions.to_narrower(out)

    @device_function
    def finish(s, t, u, x):
        s, t, u = expansions.insert(s, t, u, x)
        return rounded(s, t, u)

    @device_function
    def divide(s, t, u, n):
        return rounded(s, t, u) / n

    return {"initial": finish, "count": divide}.get(last, rounded)


@functools.lru_cache(maxsize=256)
def part_fold(name, factors, computed, out, last, masked):
    """The fold of real numbers, or of the real parts or the imaginary parts of complex ones."""
    lift = expansions.of_number if factors == 1 else _product(computed)
    kinds = ("narrow", "wide") if factors == 1 else ("wide", "product")
    extras = {"initial": (computed,), "count": (DOUBLE,)}.get(last, ())
    return Fold(
        name, (computed,) * factors, _NUMBERS, extras, out, lift, expansions.merge, _finish(out, last),
        expansions.ZERO, masked=masked, chain=kinds[computed == np.float64],
    )  # fmt: skip


@functools.lru_cache(maxsize=256)
def sum_fold(dtypes, dtype, setting, initial, masked):
    """The fold of sum; that of `numpy.add` where sums are of integers."""
    computed = dtype or folds.accumulator(dtypes[0])
    if computed.kind not in "fc":
        return folds.of_operator(np.add, 0, folds.accumulator)(dtypes, dtype, setting, initial, masked)
    return _whole("sum", 1, computed, "initial" if initial else None, masked)


@functools.lru_cache(maxsize=256)
def mean_fold(dtypes, dtype, setting, initial, masked):
    """The fold of mean."""
    computed = dtype or folds.floating(dtypes[0])
    if computed.kind not in "fc":
        return None
    return _whole("mean", 1, computed, "count", masked)


@functools.lru_cache(maxsize=256)
def product_fold(name, dtypes, dtype, setting, initial, masked):
    """The fold of dot products of reals; those of integers are exact."""
    computed = dtype or np.result_type(*dtypes)
    if computed.kind in "biu":
        return folds.dot(False, dtypes, dtype, setting, initial, masked)
    return _whole(name, 2, computed, "initial" if initial else None, masked) if computed.kind == "f" else None


def _whole(name, factors, computed, last, masked):
    fold = part_fold(name, factors, folds.real(computed), folds.real(computed), last, masked)
    extras = (computed,) if last == "initial" else fold.extras
    return fold._replace(ins=(computed,) * factors, extras=extras, out=computed)


@functools.cache
def _alone(factors, computed, extras):
    """The fold of a single number that travels with the launch."""
    lift = identity if factors == 1 else implementation(np.multiply, (computed, computed))
    add = implementation(np.add, (computed, computed))
    state, finish = (folds.wide(computed),), add if extras else identity
    return Fold("sum", (computed,) * factors, state, extras, computed, lift, add, finish, (0,))


# --- launches ---------------------------------------------------------------------------------------------------------


class ExactTask(Task):
    """The task of a call whose sums are rounded once."""

    __slots__ = ()

    @property
    def _last(self):
        """What a result is finished with."""
        if not self.extras:
            return None
        return "count" if self.name == "mean" else "initial"

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        fold, (target,) = self.fold, targets
        if fold.chain is None:
            return super().launch(sources, mask, targets, shape, device)
        computed = fold.ins[0]
        if all(x.library == "value" for x in sources):
            if self._last == "count":
                single = folds.mean((computed,), computed, None, False, fold.masked)
            else:
                single = _alone(len(sources), computed, fold.extras)._replace(masked=fold.masked)
            single = single._replace(out=target.dtype)
            extras = tuple(d.type(v) for d, v in zip(single.extras, self.extras, strict=False))
            task = dataclasses.replace(self, fold=single, extras=extras)
            return Task.launch(task, sources, mask, targets, shape, device)
        if target.dtype.kind != computed.kind:
            raise TypeError(f"out must be {'complex' if computed.kind == 'c' else 'floating'}, got {target.dtype}")
        goal = layout(target)
        goal = without(goal, self.axes) if self.keepdims else goal
        given = tuple(map(layout, sources))
        where = None if mask is None else layout(mask)
        whole = functools.partial(_launch, self.name, self.axes, self.shape, device)
        count = self.extras[0] if self._last == "count" else None
        initial = self.extras[0] if self._last == "initial" else None
        if computed.kind != "c":
            return whole(given, where, goal, computed, initial, count)
        parts = [
            whole(
                tuple(_part(x, k) for x in given), where, _part(goal, k), folds.real(computed),
                None if initial is None else (initial.real, initial.imag)[k], count,
            )
            for k in (0, 1)
        ]  # fmt: skip
        return _Parts(parts, [mask is not None and "mask", *given, goal])


def _part(x, k):
    """How the real or the imaginary parts of an array lie."""
    if x.dtype.kind != "c":
        return x
    real = folds.real(x.dtype)
    strides = tuple(2 * s for s in x.strides)
    return x._replace(dtype=real, strides=strides, alignment=min(x.alignment, real.itemsize if k else 16))


def _launch(name, axes, shape, device, sources, mask, target, computed, initial=None, count=None):
    """The launches of real sums in one."""
    if count is not None and mask is not None:
        return _masked_mean(axes, shape, device, sources, mask, target, computed)
    last = "initial" if initial is not None else "count" if count is not None else None
    fold = part_fold(name, len(sources), computed, target.dtype, last, mask is not None)
    extras = () if last is None else (computed.type(initial) if last == "initial" else np.float64(count),)
    all_sources = sources if mask is None else (mask, *sources)
    quick = launch(fold, all_sources, target, axes, shape, extras, device)
    if count == 0:
        return quick  # NaN as they are
    widest = max(x.dtype.itemsize for x in sources)
    if all(x.dtype.kind in "biu" for x in sources) and computed.itemsize > 2 and initial is None and len(sources) == 1:
        return quick  # three float64 hold all sums of integers
    same = len({x.dtype for x in sources}) == 1 and sources[0].dtype.kind == "f" and widest <= computed.itemsize
    dtype = sources[0].dtype if same and initial is None else computed
    kept = tuple(k for k in range(len(shape)) if k not in axes)

    def spread(x):
        steps = x.spread(shape)
        return Operand(x.dtype, tuple(steps[k] for k in kept), tuple(steps[k] for k in axes), x.alignment)

    lengths = [tuple(shape[k] for k in which) for which in (kept, axes)]
    mask_operand = None if mask is None or mask.by_value else spread(mask)
    sure = exact_sums(
        tuple(map(spread, sources)), mask_operand, Operand(target.dtype, target.strides, (), target.alignment),
        *lengths, device, name, dtype=dtype, initial=0 if initial is None else initial,
        divisor=count, redo=True,
    )  # fmt: skip
    return _Both(quick, sure, mask is not None, mask_operand is not None, device)


def _masked_mean(axes, shape, device, sources, mask, target, computed):
    """The launches of sums into memory of their own, and of these divided by how many elements the mask has."""
    kept = [k for k in range(len(shape)) if k not in axes]
    lengths = tuple(shape[k] for k in kept)
    steps = contiguous_strides(lengths)
    sums = Layout(DOUBLE, lengths, steps, 16, False)
    total = _launch("sum", axes, shape, device, sources, mask, sums, computed)
    spread = dict(zip(kept, steps, strict=True))
    sums = sums._replace(shape=shape, strides=tuple(spread.get(k, 0) for k in range(len(shape))))
    divide = launch(_share(target.dtype), (mask, sums), target, axes, shape, (), device)
    return _Divided(total, divide, math.prod(lengths), device)


@functools.cache
def _share(out):
    """The fold of a number that all elements have in common, divided by how many the mask has."""
    fold = (DOUBLE,), (DOUBLE, DOUBLE), (), out, _once, _common, _quotient, (0, 0)
    return Fold("mean", *fold, masked=True)


@device_function
def _once(s):
    return s, 1


@device_function
def _quotient(s, n):
    return s / n


@device_function
def _common(s, n, t, m):
    return (s if n > 0 else t), n + m


class _Divided:
    """Sums in memory of their own, then what is made of them."""

    def __init__(self, total, divide, count, device):
        self._total, self._divide, self._count, self._device = total, divide, count, device

    def load(self):
        """Compile and load all kernels."""
        self._total.load()
        self._divide.load()

    def __call__(self, stream, mask, *words):
        if SIMULATED:
            sums = Pointer(np.empty(self._count))
        else:
            buffer = Buffer(8 * self._count, self._device, stream, "sums")
            sums = buffer.pointer
        self._total(stream, mask, *words[:-1], sums)
        self._divide(stream, mask, sums, words[-1])


class _Both:
    """The quick launch, and the one that computes what is NaN after it."""

    def __init__(self, quick, sure, masked, passes_mask, device):
        self._quick, self._sure, self._device = quick, sure, device
        self._masked, self._passes_mask = masked, passes_mask

    def load(self):
        """Compile and load both kernels."""
        self._quick.load()
        self._sure.launch.load()

    def __call__(self, stream, *words):
        self._quick(stream, *words)
        if SIMULATED and not np.isnan(words[-1].reach[0]).any():
            return  # the other kernel would do nothing, and takes seconds to compile for the simulator
        if self._masked:
            mask, *words = words
            words = [*words[:-1], mask, words[-1]] if self._passes_mask else words
        if self._sure.scratch and not SIMULATED:
            words = [*words, scratch(0, self._device, stream)]
        self._sure.launch(stream, *words)


class _Parts:
    """The launches of the real and of the imaginary parts."""

    def __init__(self, parts, operands):
        self._parts = parts
        self._sizes = [getattr(x, "dtype", np.dtype(bool)) for x in operands if x]
        self._sizes = [d.itemsize // 2 if d.kind == "c" else 0 for d in self._sizes]

    def load(self):
        """Compile and load all kernels."""
        for each in self._parts:
            each.load()

    def __call__(self, stream, *words):
        for k, each in enumerate(self._parts):
            if SIMULATED:
                each(stream, *(w.part(k) if size else w for w, size in zip(words, self._sizes, strict=True)))
            else:
                each(stream, *(w + k * size for w, size in zip(words, self._sizes, strict=True)))


# --- reductions -------------------------------------------------------------------------------------------------------

#: What docstrings say of them.
NOTES = """\
With ``method="exact"`` nothing is rounded but the sum of floats, once: it is the float nearest to it (`math.fsum` has
the same bits), infinite where that is beyond the largest."""

_REDUCTIONS = {
    "sum": Reduction("sum", ("a",), sum_fold, _reference, task=ExactTask),
    "mean": Reduction(
        "mean", ("a",), mean_fold, _reference, extras=lambda count, setting: (count,), task=ExactTask
    ),
    "dot": Reduction("dot", ("a", "b"), functools.partial(product_fold, "dot"), _reference, task=ExactTask),
    "vdot": Reduction("vdot", ("a", "b"), functools.partial(product_fold, "vdot"), _reference, task=ExactTask),
}  # fmt: skip


def chosen(reduction, method):
    """A reduction, or the one of its name that rounds once.

    Raises
    ------
    ValueError
        For what is no method.
    """
    if method is None:
        return reduction
    if method in ("exact", "reproducible"):
        return _REDUCTIONS[reduction.name]
    raise ValueError(f"method must be None, 'exact' or 'reproducible', got {method!r}")

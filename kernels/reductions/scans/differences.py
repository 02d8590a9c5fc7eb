"""Differences of neighbours along an axis, in one pass.

    y[i] = x[i + 1] - x[i],        n times over

A thread loads the n + 1 neighbours that one result needs, and takes their differences as NumPy takes those of arrays:
every difference is rounded once.
"""

import dataclasses
import functools
import math
import operator

import numpy as np
from numba import cuda, types

from ...device.functions import implementation
from ...device.instructions import SIMULATED, kernel_function, of_scalars
from ...device.memory import loader, storer, unraveler
from ...device.scalar import call
from ...device.unrolled import each
from ...runtime import calls
from ...runtime.arrays import DTYPES, operand, placement, stream_handle
from ...runtime.calls import Call
from ...runtime.engines import engine
from ...runtime.frameworks import opaque
from ...runtime.launch import Launch, Program, SimulatedLaunch, code, tuples
from ...runtime.layouts import collapse, layout
from ...runtime.plans import Calls
from ..calls import copied, room
from .algebra import as_dtypes

#: Threads of a block, results of a thread, and how often differences are taken in one pass.
THREADS, ITEMS, ONCE = (32, 2, 2) if SIMULATED else (256, 4, 4)
#: What decides about a call beside its arrays, in the order of `_examine`.
OPTIONS = {"n": 1, "axis": -1}

u32 = int if SIMULATED else types.uint32


def _minus(dtype):
    """The ufunc of one difference."""
    return np.not_equal if dtype.kind == "b" else np.subtract


@functools.lru_cache(maxsize=1024)
def _kernel(dtype, kinds, before, after, order, long):
    """The kernel of the differences of one dtype.

    `kinds` are those of the operands (`kernels.device.memory.loader`): what comes before, if anything, the array, and
    what comes after it, if anything.
    """
    index, i64 = (int, int) if SIMULATED else (types.uint64 if long else types.uint32, types.int64)
    loads = [loader((kind,), 1) for kind in kinds]
    load_before, load, load_after = loads[0], loads[before], loads[-1]
    cast, store = as_dtypes((dtype,)), storer(1)
    subtract = call(implementation(_minus(dtype), (dtype, dtype)), (dtype, dtype), (dtype,))
    offsets_of = unraveler(len(kinds) + 2)
    neighbours, items = tuple(range(order + 1)), tuple(range(ITEMS))
    array = 1 if before else 0

    @kernel_function
    def neighbour(j, offsets, lengths, steps, ins):
        place = offsets[-1] + i64(j)
        if before and place < lengths[0]:
            return cast(load_before((ins[0],), (offsets[0] + i64(j) * steps[0],))[0])[0]
        if after and place >= lengths[0] + lengths[1]:
            past = i64(j) - lengths[0] - lengths[1]
            return cast(load_after((ins[-1],), (offsets[-3] + past * steps[-1],))[0])[0]
        return cast(load((ins[array],), (offsets[array] + (i64(j) - lengths[0]) * steps[array],))[0])[0]

    @kernel_function
    def minus(later, earlier):
        return subtract((later, earlier))

    take = each(neighbour, order + 1)
    levels = [each(minus, count) for count in range(order, 0, -1)] + [None] * ONCE
    first, second, third, fourth = levels[:4] if ONCE > 2 else (*levels[:2], None, None)

    @kernel_function
    def values(k, at, total, shape, strides, lengths, steps, ins):
        place = min(index(at + index(k * THREADS)), index(total - index(1)))
        found = take((neighbours,), (offsets_of(place, shape, strides), lengths, steps, ins))
        if order > 0:
            found = first((found[1:], found[:-1]), ())
        if order > 1:
            found = second((found[1:], found[:-1]), ())
        if order > 2:
            found = third((found[1:], found[:-1]), ())
        if order > 3:
            found = fourth((found[1:], found[:-1]), ())
        return found[0]

    @kernel_function
    def put(k, value, at, total, shape, strides, outs):
        place = index(at + index(k * THREADS))
        if place < total:
            store(outs, (offsets_of(place, shape, strides)[-2],), ((value,),))

    all_values, put_all = each(values, ITEMS), each(put, ITEMS)

    @cuda.jit
    @of_scalars
    def differences(total, shape, strides, lengths, steps, ins, outs):
        at = index(index(cuda.blockIdx.x) * index(THREADS * ITEMS) + index(cuda.threadIdx.x))
        found = all_values((items,), (at, total, shape, strides, lengths, steps, ins))
        put_all((items, found), (at, total, shape, strides, outs))

    return differences


_program = functools.lru_cache(maxsize=1024)(Program)


@functools.lru_cache(maxsize=1024)
def _launch(dtype, order, axis, before, after, lengths, ins, out, device):
    """The launch over operands that lie as these do; `lengths` are those before, of and after the array."""
    shape = out.shape
    spread = [(0,) * len(shape) if x.by_value else x.spread(_along(x.shape, shape, axis)) for x in (*ins, out)]
    steps = tuple(s[axis] for s in spread[:-1])
    spread.insert(len(ins), tuple(int(k == axis) for k in range(len(shape))))
    merged, strides = collapse(shape, spread)
    strides = [*strides[: len(ins)], strides[-1], strides[len(ins)]]
    if merged == (1,):
        strides = [(0,)] * len(strides)
    total = math.prod(shape)
    long = total >= 2**31 - THREADS * ITEMS
    kinds = tuple("value" if x.by_value else "vector" for x in ins)
    kernel = _kernel(dtype, kinds, before, after, order, long)
    flat = tuple(s for each in strides for s in each)
    values = total, merged, flat, lengths, steps
    grid = -(-total // (THREADS * ITEMS))
    if SIMULATED:
        return SimulatedLaunch(kernel[grid, THREADS], functools.partial(tuples, values, (len(ins), 1)))
    from numba.cuda.np.numpy_support import from_dtype

    count = types.uint64 if long else types.uint32
    wholes = [types.UniTuple(kind, len(v)) for kind, v in zip((count, *[types.int64] * 3), values[1:], strict=True)]
    natives = [from_dtype(x.dtype) if x.by_value else types.CPointer(from_dtype(x.dtype)) for x in ins]
    arrays = types.Tuple(natives), types.Tuple([types.CPointer(from_dtype(out.dtype))])
    words = [total, *merged, *flat, *lengths, *steps, *(c for group in arrays for c in code(group))]
    program = _program(kernel, (count, *wholes, *arrays))
    return Launch(program, device, lambda function: ((grid, 1, 1), (THREADS, 1, 1), 0), words, "diff")


def _along(own, shape, axis):
    """The shape of an operand: all that of the result but along the axis."""
    return tuple(own[k] if k == axis else n for k, n in enumerate(shape)) if own else shape


@dataclasses.dataclass(slots=True)
class _Task:
    """The task of a call, see `kernels.runtime.calls.Call`."""

    dtype: np.dtype
    result: np.dtype
    order: int
    axis: int
    around: tuple
    lengths: tuple
    parameters: tuple
    ins: tuple
    name = "diff"
    looks_at_values = False

    def reference(self, call, values, chosen):
        """The result in NumPy."""
        axis = self.axis
        given = [x.shape if x.shape else None for x in values]
        shape = next(s for s in given[bool(self.lengths[0]) :] if s)
        whole = [
            x if x.shape else np.broadcast_to(x, [1 if k == axis else n for k, n in enumerate(shape)]) for x in values
        ]
        return np.diff(np.concatenate(whole, axis, dtype=self.dtype), self.order, axis)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        ins, (out,) = tuple(map(layout, sources)), map(layout, targets)
        if self.order > ONCE:
            ready = _Passes(self, ins, out, device)
        else:
            ready = _launch(self.dtype, self.order, self.axis, *self.around, self.lengths, ins, out, device)
        return _Apart(ready) if any(x.shape == out.shape for x in ins) else ready

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


class _Apart:
    """A launch whose output may lie as an input does, but not in its place: neighbours are read after it is written."""

    def __init__(self, launch):
        self._launch, self.load = launch, getattr(launch, "load", None)

    def __call__(self, stream, *words):
        if any(word is words[-1] or (isinstance(word, int) and word == words[-1]) for word in words[:-1]):
            raise ValueError("out overlaps an input of diff")
        self._launch(stream, *words)


class _Passes:
    """Several launches, each over the differences that the one before left in memory of its own."""

    def __init__(self, task, ins, out, device):
        self._device, self._launches, self._rooms = device, [], []
        left, lengths, around = task.order, task.lengths, task.around
        while left:
            order = min(left, ONCE)
            left -= order
            n = sum(lengths) - order
            shape = (*out.shape[: task.axis], n, *out.shape[task.axis + 1 :])
            strides = tuple(math.prod(shape[k + 1 :]) for k in range(len(shape)))
            target = out._replace(dtype=task.dtype, shape=shape, strides=strides, alignment=16) if left else out
            self._launches.append(_launch(task.dtype, order, task.axis, *around, lengths, ins, target, device))
            self._rooms.append((shape, task.dtype))
            ins, lengths, around = (target,), (0, n, 0), (False, False)

    def load(self):
        """Load all kernels."""
        for launch in self._launches:
            launch.load()

    def __call__(self, stream, *words):
        *given, out = words
        for launch, (shape, dtype) in zip(self._launches[:-1], self._rooms, strict=False):
            memory, word = room(shape, dtype, self._device, stream)
            launch(stream, *given, word)
            given, held = [word], memory  # noqa: F841  (what is dropped is freed in the order of the stream)
        self._launches[-1](stream, *given, out)


def _examine(before, after, inputs, out, where, stream, n, axis):
    """The `Call` of diff; it raises for whatever is wrong with the arguments."""
    stream = stream_handle(stream)
    names = (*["prepend"] * before, "a", *["append"] * after)
    xs = [_operand(x, name) for x, name in zip(inputs, names, strict=True)]
    (y,) = outs = calls.outputs(out, 1, "diff")
    a = xs[before]
    try:
        n, axis = operator.index(n), operator.index(axis)
    except TypeError:
        raise TypeError(f"n and axis must be integers, got {n!r} and {axis!r}") from None
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    if not a.shape:
        raise ValueError("a must have one axis or more")
    axis = np.lib.array_utils.normalize_axis_index(axis, len(a.shape))
    for x in xs:
        if x.shape and (len(x.shape) != len(a.shape) or any(
            m != k for d, (m, k) in enumerate(zip(x.shape, a.shape, strict=True)) if d != axis
        )):  # fmt: skip
            raise ValueError(f"{x.name} must have the shape of a, {a.shape}, but along axis {axis}, got {x.shape}")
    sizes = [x.shape[axis] if x.shape else 1 for x in xs]
    lengths = (sizes[0] if before else 0, sizes[before], sizes[-1] if after else 0)
    dtype = np.result_type(*(x.dtype for x in xs))
    if any(d not in DTYPES for d in (dtype, *(x.dtype for x in xs))):
        raise TypeError(f"diff is not defined for {', '.join(f'{x.name}: {x.dtype}' for x in xs)}")
    shape = (*a.shape[:axis], max(sum(lengths) - n, 0), *a.shape[axis + 1 :])
    calls.check_casts("diff", outs, (dtype,), "same_kind")
    if y is not None and y.shape != shape:
        raise ValueError(f"out has shape {y.shape}, the result has {shape}")
    given = [] if y is None else [y]
    chosen = engine()
    device, stream, like = placement([*given, *xs], stream)
    calls.check_places(chosen, device, given, [*given, *xs])
    for x in xs:
        if y is not None and calls.overlap(x, y):
            raise ValueError(f"out overlaps {x.name}, whose elements are read more than once")
    result = dtype if y is None else y.dtype
    task = _Task(dtype, result, n, axis, (before, after), lengths, names, tuple(x.dtype for x in xs))
    return Call(task, xs, None, outs, (result,), shape, "C", chosen, device, stream, like, keeps=False)


def _operand(x, name):
    return operand(np.asarray(x) if isinstance(x, bool | int | float | complex) else x, name)


@functools.cache
def _calls(before, after):
    return Calls(functools.partial(_examine, before, after), OPTIONS)


@opaque
def diff(a, n=1, axis=-1, prepend=None, append=None, *, out=None, stream=None):
    """Differences of neighbours along an axis, ``y[i] = a[i + 1] - a[i]``, as `numpy.diff`.

    Parameters
    ----------
    a : array
        Of any dtype, shape and strides, with one axis or more.
    n : int
        How often differences are taken.
    axis : int
    prepend, append : array or number, optional
        What comes before and after `a` along the axis: numbers, or arrays of the shape of `a` along all others.
    out : array, optional
        For the result, apart from all inputs.
    stream : optional
        On which the GPU works; else the current one of the library that `a` comes from.

    Returns
    -------
    y : array
        Of the kind of `a` and the dtype that `a`, `prepend` and `append` promote to, n elements shorter along the axis.
        Of booleans, whether neighbours differ.

    Raises
    ------
    TypeError, ValueError
        For numbers, axes, shapes, dtypes or an output that do not fit.

    Notes
    -----
    Equal to NumPy's: every difference is rounded once. Up to 4 times, differences are taken in one pass over memory.

    References
    ----------
    NumPy, https://numpy.org/doc/stable/reference/generated/numpy.diff.html

    Examples
    --------
    >>> import kernels
    >>> kernels.diff([1, 2, 4, 7, 0])
    array([ 1,  2,  3, -7])
    >>> kernels.diff([1, 2, 4, 7], n=2, prepend=0)
    array([0, 1, 1])
    """
    inputs = tuple(x for x in (prepend, a, append) if x is not None)
    return _calls(prepend is not None, append is not None)(inputs, out, True, stream, n, axis)


@opaque
def _plan(like, *, prepend=None, append=None, out=None, **options):
    """Make a call of `diff` ready to be repeated: ``plan([prepend,] a[, append])``; see ``kernels.cumsum.plan``."""
    inputs = tuple(x for x in (prepend, like, append) if x is not None)
    return _calls(prepend is not None, append is not None).plan(inputs, out=out, **options)


diff.plan = _plan

"""Reductions of segments: rows of any lengths, one after the other in an array.

y[k] = fold(x[offsets[k]], ..., x[offsets[k + 1] - 1])

bytes    every element, offset and result once
"""

import functools
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np

from ...device.instructions import SIMULATED
from ...runtime import calls, memory
from ...runtime.arrays import DTYPES, Pointer, operand, placement, stream_handle
from ...runtime.calls import Call, compute
from ...runtime.engines import engine
from ...runtime.frameworks import opaque
from ...runtime.launch import Launch, Program, code, raw
from ...runtime.layouts import layout
from .. import folds
from ..calls import copied
from ..operators import Expression, plain, settled
from . import tiles


@dataclass(frozen=True, eq=False)
class Segmented:
    """What is computed of each segment.

    Attributes
    ----------
    fold : callable
        ``fold(dtypes, dtype, setting, initial, masked)``, see `kernels.reductions.calls.Reduction`.
    reference : callable
        ``reference(elements, fold, initial)`` of one segment, in NumPy.
    initial : bool
        Whether a state to begin with may be given.
    identity : bool
        Whether nothing has a result without one.
    """

    fold: Any
    reference: Any
    initial: bool = True
    identity: bool = True


def _by_ufunc(ufunc, neutral, result=lambda dtype: dtype):
    def reference(elements, fold, initial):
        begin = fold.neutral[0] if initial is None else initial
        return ufunc.reduce(elements.astype(fold.state[0]), dtype=fold.state[0], initial=fold.state[0].type(begin))

    return Segmented(folds.of_operator(ufunc, neutral, result), reference)


def _mean(dtypes, dtype, setting, initial, masked):
    found = folds.mean(dtypes, dtype, setting, initial, True)
    return found and found._replace(masked=False)


def _mean_reference(elements, fold, initial):
    return np.mean(elements.astype(fold.state[0])) if len(elements) else np.nan


NAMED = {
    "sum": _by_ufunc(np.add, 0, folds.accumulator),
    "prod": _by_ufunc(np.multiply, 1, folds.accumulator),
    "min": _by_ufunc(np.minimum, folds.highest),
    "max": _by_ufunc(np.maximum, folds.lowest),
    "mean": Segmented(_mean, _mean_reference, initial=False),
}


@functools.lru_cache(maxsize=1024)
def _of_operator(op):
    expression = Expression(op)

    def reference(elements, fold, initial):
        return expression.reference(
            elements, axis=(0,), keepdims=False, where=True, fold=fold, setting=None, initial=initial
        )

    return Segmented(expression.fold, reference, identity=expression.known)


def segmented(op):
    """The `Segmented` of a name or an operator."""
    if isinstance(op, str):
        if op not in NAMED:
            raise ValueError(
                f"op must be one of {', '.join(map(repr, NAMED))} or a function of two numbers, got {op!r}"
            )
        return NAMED[op]
    try:
        return _of_operator(op if isinstance(op, np.ufunc) else settled(plain(op)))
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        raise TypeError(f"op must be a name or a function of two numbers, got {op!r}") from None


def folded(found, op, dtype, asked, initial, empty=True):
    """The `Fold` of elements of a dtype, and the numbers that finish it; `empty` where there may be none."""
    asked = None if asked is None else np.dtype(asked)
    if initial is not None and not found.initial:
        raise TypeError(f"initial must be None where op is {op!r}")
    if empty and initial is None and not found.identity:
        raise ValueError("initial must be given with an op that has no identity: it is what empty segments give")
    fold = found.fold((dtype,), asked, None, initial is not None, False)
    if fold is None or any(d not in DTYPES for d in (*fold.ins, *fold.outs)):
        raise TypeError(f"op {op!r} is not defined for x: {dtype}{f' with dtype={asked}' if asked else ''}")
    extras = () if initial is None else (initial,)
    return fold, tuple(d.type(v) for d, v in zip(fold.extras, extras, strict=True))


@dataclass(slots=True)
class Task:
    """The task of a call, see `kernels.runtime.calls.Call`."""

    found: Segmented
    fold: Any
    extras: tuple
    initial: Any
    dtypes: tuple
    looks_at_values = False
    name = "segmented_reduce"

    @property
    def parameters(self):
        """Names of the arrays."""
        return ("x", "offsets") if len(self.dtypes) == 2 else ("x", "offsets[0]", "offsets[1]")

    @property
    def ins(self):
        """The dtypes of the arrays: they are converted where they are used."""
        return self.dtypes

    def reference(self, call, values, chosen):
        """The results in NumPy."""
        x, *bounds = values
        pairs = zip(*bounds, strict=True) if len(bounds) == 2 else zip(bounds[0][:-1], bounds[0][1:], strict=True)
        found = [self.found.reference(x[b:e], self.fold, self.initial) for b, e in pairs]
        return np.array(found, self.fold.out)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        x, *bounds = map(layout, sources)
        make = launch if len(bounds) == 1 else launch_pairs
        return make(self.fold, x, tuple(bounds), tuple(map(layout, targets)), self.extras, device)

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


@opaque
def segmented_reduce(op, x, offsets, *, initial=None, dtype=None, out=None, stream=None):
    """Reduce each of many segments of an array, of any lengths.

    Parameters
    ----------
    op : {"sum", "prod", "min", "max", "mean"} or callable
        A name, with NumPy's dtypes (integers are summed in 64 bits), or an operator as `reduce` takes it: associative
        and commutative, of two numbers.
    x : array of shape (n,)
    offsets : array of integers of shape (m + 1,), or tuple of two of shape (m,)
        Segment k is ``x[offsets[k]:offsets[k + 1]]``; offsets never decrease. Of ``(begin, end)`` it is
        ``x[begin[k]:end[k]]``, in any order, overlapping as they like.
    initial : number, optional
        Takes part once in every segment; what an empty one gives. Without it that is 0 for a sum, 1 for a product, the
        largest number for a minimum, the smallest for a maximum, NaN for a mean. An operator of yours needs it.
    dtype : dtype, optional
        In which it is computed.
    out : array of shape (m,), optional
        Where the results go.
    stream : stream, optional
        In the order of which they are computed.

    Returns
    -------
    reduced : array of shape (m,)

    Raises
    ------
    ValueError
        For arrays of other shapes; where `initial` is missing; for offsets in host memory that decrease or leave the
        array. (Those in device memory are not looked at: with wrong ones results are wrong, and nothing else happens.)
    TypeError
        For offsets that are no integers, or an `op` that is not defined for the dtype.

    Notes
    -----
    Segments of two elements and one of all of them take the same time: threads have equal shares of elements and ends
    (Merrill & Garland 2016). Of ``(begin, end)`` a warp reads each segment: fastest for hundreds of elements in each,
    slow where one of them is much longer than all others. The order of merges depends on `offsets` alone. Of an element
    of a sum, at most ``50 + n / 2**22`` roundings show in the result, so its error is below that times the rounding
    unit times the sum of absolute values. float16 is computed in float32.

    References
    ----------
    Merrill & Garland 2016, "Merge-based parallel sparse matrix-vector multiplication", SC16.

    Examples
    --------
    >>> import kernels
    >>> kernels.segmented_reduce("sum", [1.0, 2.0, 4.0, 8.0], [0, 1, 1, 4])
    array([ 1.,  0., 14.])
    >>> kernels.segmented_reduce(lambda a, b: a * b % 7, [2, 3, 4, 5], [0, 2, 4], initial=1)
    array([6, 6])
    """
    found = segmented(op)
    stream = stream_handle(stream)
    x = operand(x, "x")
    if len(x.shape) != 1:
        raise ValueError(f"x must have one axis, got shape {x.shape}")
    bounds = _bounds(offsets, x.shape[0])
    xs = [x, *bounds]
    outs = calls.outputs(out, 1, "segmented_reduce")
    fold, extras = folded(found, op, xs[0].dtype, dtype, initial)
    calls.check_casts("segmented_reduce", outs, fold.outs, "same_kind")
    shape = (bounds[0].shape[0] - (len(bounds) == 1),)
    given = [y for y in outs if y is not None]
    for y in given:
        if y.shape != shape:
            raise ValueError(f"out has shape {y.shape}, the result has {shape}")
        fold = fold._replace(out=y.dtype)
    chosen = engine()
    device, stream, like = placement([*given, *xs], stream)
    calls.check_places(chosen, device, given, [*given, *xs])
    task = Task(found, fold, extras, initial, tuple(each.dtype for each in xs))
    return compute(Call(task, xs, None, outs, fold.outs, shape, "C", chosen, device, stream, like, keeps=False))


def _bounds(offsets, count):
    """Offsets, or begins and ends, as operands; an error for what is wrong with them."""
    if isinstance(offsets, tuple) and len(offsets) == 2 and not any(isinstance(v, Number) for v in offsets):
        found = [operand(v, f"offsets[{k}]") for k, v in enumerate(offsets)]
        if found[0].shape != found[1].shape or len(found[0].shape) != 1:
            raise ValueError(f"offsets must be two arrays of one length, got {found[0].shape} and {found[1].shape}")
    else:
        found = [operand(offsets, "offsets")]
        if len(found[0].shape) != 1 or not found[0].shape[0]:
            raise ValueError(f"offsets must have one axis and one element at least, got shape {found[0].shape}")
    for each in found:
        if each.dtype.kind not in "iu" and each.shape[0]:
            raise TypeError(f"{each.name} must be integers, got dtype {each.dtype}")
        if each.device is None and each.shape[0] and (each.memory.min() < 0 or each.memory.max() > count):
            raise ValueError(f"{each.name} must lie between 0 and {count}, where x ends")
    if len(found) == 1 and found[0].device is None and (found[0].memory[1:] < found[0].memory[:-1]).any():
        raise ValueError("offsets must not decrease")
    return found


# --- launches -----------------------------------------------------------------------------------------------------


class Step:
    """One launch of several that share memory: its kernel, grid, block, and arguments with their types."""

    def __init__(self, kernel, grid, block, types, arguments):
        self.kernel, self.grid, self.block, self.types, self.arguments = kernel, grid, block, types, arguments


class Name(str):
    """An argument that each call gives anew: an operand, or an address in shared memory."""

    __slots__ = ()


class Sequence:
    """Launches one after the other, over the same operands and memory that they share.

    Parameters
    ----------
    steps : list of Step
    names : tuple of str
        Of the operands, in the order in which a call gives them.
    rooms : dict of str to (dtype, int)
        Memory that is shared: its elements.
    device : int
    label : str
        What error messages call it.
    """

    def __init__(self, steps, names, rooms, device, label):
        self.steps, self._names, self._rooms, self._device, self._label = steps, names, rooms, device, label
        self._ready = None if SIMULATED else [self._prepared(step) for step in steps]

    def _prepared(self, step):
        given, order = [], []
        for native, value in zip(step.types, step.arguments, strict=True):
            named = value if isinstance(value, tuple) and any(isinstance(v, Name) for v in value) else (value,)
            if isinstance(named[0], Name):
                order += named
                given += code(native)
            else:
                given += raw(value, native)
        grid, block = (step.grid, 1, 1), (step.block, 1, 1)
        ready = Launch(
            _program(step.kernel, tuple(step.types)),
            self._device,
            lambda function: (grid, block, 0),
            given,
            self._label,
        )
        return ready, order

    def __call__(self, stream, *words):
        """Launch all."""
        known = dict(zip(self._names, words, strict=True))
        if SIMULATED:
            known |= {name: Pointer(np.zeros(count, dtype)) for name, (dtype, count) in self._rooms.items()}
            for step in self.steps:
                step.kernel[step.grid, step.block](*(_named(value, known) for value in step.arguments))
            return
        sizes = {name: -(-count * dtype.itemsize // 16) * 16 for name, (dtype, count) in self._rooms.items()}
        room = memory.Buffer(sum(sizes.values()), self._device, stream, f"the states of {self._label}")
        at = room.pointer
        for name, size in sizes.items():
            known[name], at = at, at + size
        for ready, order in self._ready:
            ready(stream, *(known[name] for name in order))


_program = functools.lru_cache(maxsize=1024)(Program)


def _named(value, known):
    if isinstance(value, tuple):
        return tuple(_named(v, known) for v in value)
    return known[value] if isinstance(value, Name) else value


def kinds(long):
    """Numba's types of indices, strides, and pointers to indices and to words."""
    from numba import types

    index = types.uint64 if long else types.uint32
    return index, types.int64, types.CPointer(index), types.CPointer(types.int32)


def pointers(layouts):
    """Numba's type of a tuple of pointers."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    return types.Tuple([types.CPointer(from_dtype(x.dtype)) for x in layouts])


def numbers(dtypes):
    """Numba's type of a tuple of numbers."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    return types.Tuple(list(map(from_dtype, dtypes)))


def several(native, count):
    """Numba's type of a tuple of as many."""
    from numba import types

    return types.UniTuple(native, count)


@functools.lru_cache(maxsize=1024)
def launch(fold, x, bounds, targets, extras, device):
    """The launches that fold segments of `x` into `targets`: `Layout`s, as those of the axes are."""
    (offsets,) = bounds
    rows, count = offsets.shape[0], x.shape[0]
    per_thread = tiles.items(max(tiles.words(x.dtype), tiles.words(*fold.outs)))
    tile = tiles.BLOCK * per_thread
    shares = -(-(rows + count) // tile)
    long = rows + count + tile >= 2**31 or shares * (fold.words + 1) >= 2**31
    index, stride, starts, states = kinds(long)
    outs = tuple(Name(f"out{k}") for k in range(len(targets)))
    partition = Step(
        tiles.partition(tile, long), -(-(shares + 1) // tiles.BLOCK), tiles.BLOCK,
        [index, index, index, stride, pointers([offsets])[0], starts],
        [rows, count, shares, offsets.strides[0], Name("bounds"), Name("starts")],
    )  # fmt: skip
    steps = several(stride, len(targets)), tuple(y.strides[0] for y in targets)
    segments = Step(
        tiles.segments(fold, x.dtype, per_thread, long), shares, tiles.BLOCK,
        [index, index, index, stride, stride, steps[0], numbers(fold.extras), pointers([x]), pointers([offsets]),
         pointers(targets), starts, states, states],
        [rows, count, shares, x.strides[0], offsets.strides[0], steps[1], extras, (Name("x"),), (Name("bounds"),), outs,
         Name("starts"), Name("totals"), Name("firsts")],
    )  # fmt: skip
    ready, rooms = joined(fold, shares, 1, rows - 1, targets, extras, long)
    return Sequence([partition, segments, *ready], ("x", "bounds", *outs), rooms, device, "segmented_reduce")


@functools.lru_cache(maxsize=1024)
def launch_pairs(fold, x, bounds, targets, extras, device):
    """The launch that folds segments of `x` with begins and ends."""
    rows = bounds[0].shape[0]
    long = max(x.shape[0], 32 * rows) + 64 * tiles.BATCH >= 2**31
    index, stride, _, _ = kinds(long)
    outs = tuple(Name(f"out{k}") for k in range(len(targets)))
    step = Step(
        tiles.pairs(fold, long), -(-32 * rows // tiles.BLOCK), tiles.BLOCK,
        [index, stride, several(stride, 2), several(stride, len(targets)), numbers(fold.extras), pointers([x]),
         pointers(bounds), pointers(targets)],
        [rows, x.strides[0], tuple(b.strides[0] for b in bounds), tuple(y.strides[0] for y in targets), extras,
         (Name("x"),), (Name("begins"), Name("ends")), outs],
    )  # fmt: skip
    return Sequence([step], ("x", "begins", "ends", *outs), {}, device, "segmented_reduce")


def joined(fold, shares, skipped, rows, targets, extras, long):
    """The launches that finish rows across tiles, and the memory that all share."""
    index, stride, starts, states = kinds(long)
    groups = -(-shares // tiles.GROUP)
    outs = tuple(Name(f"out{k}") for k in range(len(targets)))
    grouped = Step(
        tiles.groups(fold, long), groups, tiles.GROUP,
        [index, index, states, states], [shares, groups, Name("totals"), Name("groups")],
    )  # fmt: skip
    joints = Step(
        tiles.joints(fold, skipped, long), -(-32 * shares // tiles.BLOCK), tiles.BLOCK,
        [index, index, index, several(stride, len(targets)), numbers(fold.extras), pointers(targets), starts, states,
         states, states],
        [rows, shares, groups, tuple(y.strides[0] for y in targets), extras, outs, Name("starts"), Name("totals"),
         Name("firsts"), Name("groups")],
    )  # fmt: skip
    word = np.dtype(np.int32)
    rooms = {
        "starts": (np.dtype(np.uint64 if long else np.uint32), shares + 1),
        "totals": (word, shares * (fold.words + 1)),
        "firsts": (word, shares * fold.words),
        "groups": (word, groups * (fold.words + 1)),
    }
    return [grouped, joints], rooms

"""One call of an elementwise function: dtypes, shapes, outputs, overlap.

The order is NumPy's ufunc protocol: resolve the loop, broadcast, check `out`, then compute. Everything that can
be wrong with an argument is found before anything is written.

Source: NumPy, "Universal functions (ufunc) basics", https://numpy.org/doc/stable/user/basics.ufuncs.html
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device.functions import identity
from ..device.instructions import SIMULATED
from ..device.scalar import call
from ..runtime import frameworks, memory
from ..runtime.arrays import (
    DTYPES,
    DeviceMismatchError,
    Operand,
    Pointer,
    contiguous_strides,
    described,
    empty,
    folds,
    operand,
    placement,
    producer_stream,
    result,
    span,
    stream_handle,
)
from ..runtime.engines import EngineError, engine, recorder
from .layout import Layout, launch, words


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


@dataclass(slots=True)
class Call:
    """A call in which nothing is wrong: its operands, its loop, and where it is computed.

    `outs` holds an `Operand` for each output that was given and None for the others; `order` is that in which these
    will lie in memory.
    """

    mapping: Mapping
    xs: list
    mask: Operand | None
    outs: tuple
    loop: Any
    shape: tuple
    order: str
    engine: str
    device: int | None
    stream: int | None
    like: Operand | None

    @property
    def inputs(self):
        """The mask, where there is one, and the inputs."""
        return self.xs if self.mask is None else [self.mask, *self.xs]


def examine(mapping, inputs, out=None, where=True, casting="same_kind", dtype=None, stream=None):
    """The `Call` that applies `mapping` to `inputs` as a NumPy ufunc would be applied.

    It raises for whatever is wrong with the arguments.
    """
    stream = stream_handle(stream)
    xs = [operand(x, name) for x, name in zip(inputs, mapping.parameters, strict=True)]
    mask = None if where is True else _mask(where)
    outs = _outputs(out, mapping)
    loop = _find_loop(mapping, xs, None if dtype is None else np.dtype(dtype), casting)
    _check_casts(mapping, outs, loop.outs, casting)
    given = [y for y in outs if y is not None]
    involved = xs if mask is None else [*xs, mask]
    shape = _shape(involved, given)
    chosen = engine()
    everything = given + involved if given else involved
    device, stream, like = placement(everything, stream)
    _check_places(chosen, device, given, everything)
    order = "C" if len(shape) < 2 or len(given) == len(outs) else _order(xs, shape)
    return Call(mapping, xs, mask, outs, loop, shape, order, chosen, device, stream, like)


def compute(call):
    """What the function of a `Call` returns to its user."""
    recording = recorder()
    stream = call.stream
    if recording is not None:
        _check_recorded(call)
        stream = call.like and call.like.device is not None and producer_stream(call.like)  # memory is made beside it
    ys = [
        empty(call.shape, d, call.like, call.device, stream, call.order) if y is None else y
        for y, d in zip(call.outs, call.loop.outs, strict=True)
    ]
    if recording is not None and call.engine != "cuda":
        recording.defer(functools.partial(_write, call, ys))
    else:
        _write(call, ys)
    if recording is not None:
        recording.keep(*(y.array for y in ys))
        returned = [y.array for y in ys]
    else:
        returned = [result(y) if asked is None else asked.array for y, asked in zip(ys, call.outs, strict=True)]
    return returned[0] if call.mapping.nout == 1 else tuple(returned)


def _check_recorded(call):
    if call.engine == "cuda":
        for x in (*call.inputs, *(y for y in call.outs if y is not None)):
            if x.device is None and (x.shape or call.device is None):
                raise ValueError(f"{x.name} is in host memory; a graph records work on device memory")
    if None in call.outs and call.like is not None and call.like.library == "jax":
        raise ValueError("out must be given in a recording, where it cannot be a JAX array")


def _write(call, ys):
    mask = call.mask
    if mask is not None and mask.device is None and not mask.shape:
        mask = None if _host_values(mask) else _NOTHING
    if 0 not in call.shape and mask is not _NOTHING:
        if call.engine == "reference":
            _by_reference(call.mapping, call.xs, mask, ys, call.loop)
        else:
            _by_kernel(call.mapping, call.xs, mask, ys, call.loop, call.shape, call.device, call.stream or 0)
    for y in call.outs:
        if y is not None and y.library == "torch":
            frameworks.written(y.array)


#: In place of a mask: no element is chosen.
_NOTHING = object()


# --- what can be wrong --------------------------------------------------------------------------------------


def _mask(where):
    mask = operand(where, "where")
    if mask.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {mask.dtype}")
    return mask


def _outputs(out, mapping):
    """One `Operand` or None per output."""
    if out is None:
        return (None,) * mapping.nout
    outs = out if isinstance(out, tuple) else (out,)
    if len(outs) != mapping.nout:
        raise ValueError(f"out must hold {mapping.nout} array(s) for {mapping.name}, got {len(outs)}")
    names = ("out",) if mapping.nout == 1 else tuple(f"out[{k}]" for k in range(mapping.nout))
    found = [None if y is None else _output(y, name) for y, name in zip(outs, names, strict=True)]
    given = [y for y in found if y is not None]
    for k, y in enumerate(given):
        for z in given[:k]:
            if _overlap(y, z):
                raise ValueError(f"{y.name} overlaps {z.name}")
    return found


def _output(y, name):
    if isinstance(y, list | np.generic | int | float | complex):
        raise TypeError(f"{name} must be an array to write to, got {type(y).__qualname__}")
    array, y = y, operand(y, name)
    if y.library == "torch":
        frameworks.writable(array, name)
    if not y.writable:
        raise ValueError(f"{name} is read-only")
    if folds(y.shape, y.strides):
        raise ValueError(f"{name} has several elements in one place (strides {y.strides} of elements)")
    return y


class Loop:
    """The loop of a call: its dtypes, and the function that its kernels apply to a lane."""

    __slots__ = ("f", "ins", "outs")

    def __init__(self, mapping, dtypes, dtype, casting):
        self.ins, self.outs = mapping.resolve(dtypes, dtype, casting)
        scalar = mapping.scalar(self.ins)
        if scalar is None or any(d not in DTYPES for d in map(np.dtype, (*self.ins, *self.outs))):
            listed = ", ".join(f"{name}: {t}" for name, t in zip(mapping.parameters, self.ins, strict=True))
            raise TypeError(f"{mapping.name} is not defined for these dtypes ({listed})")
        self.f = call(scalar, self.ins, self.outs)


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


def _check_casts(mapping, outs, results, casting):
    for y, d in zip(outs, results, strict=True):
        if y is not None and y.dtype != d and not np.can_cast(d, y.dtype, casting):
            raise TypeError(
                f"{y.name} has dtype {y.dtype}, and {mapping.name} gives {d}, which casting={casting!r} does not allow"
            )


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


def _check_places(chosen, device, given, everything):
    for x in everything:
        if x.device is not None and chosen != "cuda":
            raise EngineError(f'{x.name} is in device memory, which engine "{chosen}" does not reach')
    for y in given:
        if device is not None and y.device is None:
            raise DeviceMismatchError(f"{y.name} is in host memory, other arrays of the call on device {device}")


def _order(xs, shape):
    """NumPy's order="K", as far as it is C or Fortran order: the one that all full-shape inputs share."""
    full = [x for x in xs if x.shape == shape]
    if not full or any(x.strides == contiguous_strides(shape) for x in full):
        return "C"
    return "F" if all(x.strides == contiguous_strides(shape, "F") for x in full) else "C"


# --- the reference --------------------------------------------------------------------------------------------


def _by_reference(mapping, xs, mask, ys, loop):
    with np.errstate(all="ignore"):
        values = mapping.reference(*(_host_values(x, d) for x, d in zip(xs, loop.ins, strict=True)))
        values = values if mapping.nout > 1 else (values,)
        for y, value, d in zip(ys, values, loop.outs, strict=True):
            value = np.asarray(value).astype(d, copy=False)
            np.copyto(y.memory, value, casting="unsafe", where=True if mask is None else _host_values(mask))
            _write_back(y)


def _host_values(x, dtype=None):
    if isinstance(dtype, type):
        return dtype(x.array)
    if x.library == "python":
        return np.asarray(x.array, dtype)
    return x.memory.astype(dtype or x.dtype, copy=False)


def _write_back(y):
    """Carry a result from the copy that was computed in to the array it belongs to."""
    if isinstance(y.array, np.ndarray) and y.array is not y.memory and not np.shares_memory(y.array, y.memory):
        np.copyto(y.array, y.memory, casting="unsafe")


# --- kernels --------------------------------------------------------------------------------------------------


def _by_kernel(mapping, xs, mask, ys, loop, shape, device, stream):
    if device is None:  # all arrays are the host's, so the current device computes
        device = 0 if SIMULATED else memory.current_device() or 0
    sources = [source(x, d, device, stream) for x, d in zip(xs, loop.ins, strict=True)]
    chooser = None if mask is None else source(mask, mask.dtype, device, stream)
    targets = [_target(y, device, stream, mask is not None) for y in ys]
    sources = [_apart(x, targets, device, stream) for x in sources]
    chooser = chooser and _apart(chooser, targets, device, stream)
    _launch(loop.f, sources, chooser, targets, shape, device, stream, mapping.name)
    for y, target in zip(ys, targets, strict=True):
        if y.device is None:
            if not SIMULATED:
                _fetch(y, target, device, stream)
            _write_back(y)
        elif y.buffer is not None:
            y.buffer.settle()


def _launch(f, sources, mask, targets, shape, device, stream, name):
    operands = [*sources, *targets] if mask is None else [mask, *sources, *targets]
    fitting = launch_of(f, sources, mask, targets, shape, device, name)
    fitting(stream, *words(map(_argument, operands)))


def launch_of(f, sources, mask, targets, shape, device, name):
    """The launch over operands that lie as these do."""
    ins, outs = (tuple(map(layout, group)) for group in (sources, targets))
    return launch(f, ins, mask and layout(mask), outs, shape, device, name)


def layout(x):
    """The `Layout` of an operand."""
    return Layout(x.dtype, x.shape, x.strides, x.pointer & 15 or 16, x.library == "value")


def _argument(x):
    """What a kernel is given for an operand: a number, an address, or in the simulator a `Pointer`."""
    if x.library == "value":
        return x.array
    return Pointer(x.memory) if SIMULATED else x.pointer


def source(x, dtype, device, stream):
    """An input where the kernel can read it: in place, by value, or uploaded."""
    if x.device is not None:
        return x
    if x.library == "python":
        dtype = np.dtype(dtype) if x.weak else x.dtype
        return Operand(x.name, "value", dtype.type(x.array), dtype, (), ())
    if not x.shape:
        return Operand(x.name, "value", x.memory[()], x.dtype, (), ())
    if SIMULATED:
        return x
    # Only what differs travels: an axis of stride zero is sent once.
    packed = np.ascontiguousarray(x.memory[tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides)])
    strides = tuple(0 if s == 0 else t for s, t in zip(x.strides, contiguous_strides(packed.shape), strict=True))
    return _buffered(x, memory.upload(packed, device, stream, x.name), strides, device, stream)


def _buffered(x, buffer, strides, device, stream):
    """`x` in device memory of ours."""
    return Operand(x.name, "buffer", buffer, x.dtype, x.shape, strides, buffer.pointer, device, stream)


def _target(y, device, stream, keeps):
    """An output where the kernel can write it; `keeps` when some of its elements stay as they are."""
    if y.device is not None or SIMULATED:
        return y
    if keeps:
        buffer = memory.upload(np.ascontiguousarray(y.memory), device, stream, y.name)
    else:
        buffer = memory.Buffer(y.memory.nbytes, device, stream, y.name)
    return _buffered(y, buffer, contiguous_strides(y.shape), device, stream)


def _fetch(y, target, device, stream):
    if y.memory.flags.c_contiguous:
        memory.download(target.pointer, y.memory, device, stream, y.name)
        return
    fetched = np.empty(y.shape, y.dtype)
    memory.download(target.pointer, fetched, device, stream, y.name)
    np.copyto(y.memory, fetched)


def clash(x, y):
    """Between which two differences of addresses two arrays overlap, and whether an element may be its own place."""
    (a, b), (c, d) = (span(z.shape, z.strides) for z in (x, y))
    m, n = x.dtype.itemsize, y.dtype.itemsize
    return c * n - b * m, d * n - a * m, (x.shape, x.strides, x.dtype) == (y.shape, y.strides, y.dtype)


def _overlap(x, y):
    if x.library == "value" or 0 in x.shape or 0 in y.shape:
        return False
    below, above, _ = clash(x, y)
    if not below < x.pointer - y.pointer < above:
        return False
    try:
        return np.shares_memory(described(x), described(y), max_work=1000)
    except np.exceptions.TooHardError:
        return True


def _apart(x, targets, device, stream):
    """`x` itself, or a copy of it where writing an output would change elements yet to be read."""
    for y in targets:
        same = x.pointer == y.pointer and x.strides == y.strides and x.shape == y.shape and x.dtype == y.dtype
        if not same and _overlap(x, y):
            return _copied(x, device, stream)
    return x


def _copied(x, device, stream):
    if SIMULATED:
        return operand(x.memory.copy(), x.name)
    count = int(np.prod(x.shape, dtype=np.int64))
    buffer = memory.Buffer(count * x.dtype.itemsize, device, stream, x.name)
    copy = _buffered(x, buffer, contiguous_strides(x.shape), device, stream)
    _launch(call(identity, (x.dtype,), (x.dtype,)), [x], None, [copy], x.shape, device, stream, "copy")
    return copy

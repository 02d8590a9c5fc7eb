"""A call of a public function, on its way from the user's arrays to the user's results.

What a family adds is its task: the dtypes that inputs are converted to, and what is launched over operands that lie as
the call's do. All else is here: outputs that were given or have to be made, engines, uploads and downloads, masks that
are numbers, inputs that a result would overwrite.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device.instructions import SIMULATED
from . import frameworks, memory
from .arrays import (
    DeviceMismatchError,
    Operand,
    Pointer,
    contiguous_strides,
    described,
    empty,
    folds,
    operand,
    producer_stream,
    result,
    span,
)
from .engines import EngineError, recorder


@dataclass(slots=True)
class Call:
    """A call in which nothing is wrong: its task, its operands, and where it is computed.

    Attributes
    ----------
    task : object
        What is computed, with ``name``, ``parameters`` (names of the inputs), ``ins`` (dtypes that inputs are converted
        to), ``looks_at_values`` (whether numbers among the inputs decide more than their types do),
        ``reference(call, values, chosen)`` (the results in NumPy, of host values and the mask's),
        ``launch(sources, mask, targets, shape, device)`` (what is called with a raw stream and the words of the
        operands), and ``copied(x, device, stream)`` (an operand in memory of its own).
    xs : list of Operand
    mask : Operand or None
    outs : sequence of Operand or None
        None for each output that was not given.
    dtypes : sequence of dtypes
        Of the outputs that are made.
    shape : tuple of int
        Of the outputs.
    order : {"C", "F"}
        In which outputs that are made lie in memory.
    engine : str
    device, stream : int or None
    like : Operand or None
        Whose library makes the outputs.
    keeps : bool
        Whether elements of the outputs stay as they are where the mask is false.
    """

    task: Any
    xs: list
    mask: Operand | None
    outs: Any
    dtypes: Any
    shape: tuple
    order: str
    engine: str
    device: int | None
    stream: int | None
    like: Operand | None
    keeps: bool = True

    @property
    def inputs(self):
        """The mask, where there is one, and the inputs."""
        return self.xs if self.mask is None else [self.mask, *self.xs]


def compute(call):
    """What the function of a `Call` returns to its user."""
    recording = recorder()
    stream = call.stream
    if recording is not None:
        _check_recorded(call)
        stream = call.like and call.like.device is not None and producer_stream(call.like)  # memory is made beside it
    ys = [
        empty(call.shape, d, call.like, call.device, stream, call.order) if y is None else y
        for y, d in zip(call.outs, call.dtypes, strict=True)
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
    return returned[0] if len(call.outs) == 1 else tuple(returned)


def _check_recorded(call):
    if call.engine == "cuda":
        for x in (*call.inputs, *(y for y in call.outs if y is not None)):
            if x.device is None and (x.shape or call.device is None):
                raise ValueError(f"{x.name} is in host memory; a graph records work on device memory")
    if None in call.outs and call.like is not None and call.like.library == "jax":
        raise ValueError("out must be given in a recording, where it cannot be a JAX array")


def _write(call, ys):
    mask = call.mask
    if call.keeps and mask is not None and mask.device is None and not mask.shape:
        mask = None if host_values(mask) else _NOTHING
    if 0 not in call.shape and mask is not _NOTHING:
        if call.engine == "reference":
            _by_reference(call, mask, ys)
        else:
            _by_kernel(call, mask, ys, call.device, call.stream or 0)
    for y in call.outs:
        if y is not None and y.library == "torch":
            frameworks.written(y.array)


#: In place of a mask: no element is chosen.
_NOTHING = object()


# --- what can be wrong --------------------------------------------------------------------------------------


def mask_of(where):
    """The `Operand` of a mask; TypeError where it is no array of booleans."""
    mask = operand(where, "where")
    if mask.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {mask.dtype}")
    return mask


def outputs(out, count, name):
    """One `Operand` or None for each of the `count` outputs of the function `name`."""
    if out is None:
        return (None,) * count
    outs = out if isinstance(out, tuple) else (out,)
    if len(outs) != count:
        raise ValueError(f"out must hold {count} array(s) for {name}, got {len(outs)}")
    names = output_names(count)
    found = [None if y is None else _output(y, name) for y, name in zip(outs, names, strict=True)]
    given = [y for y in found if y is not None]
    for k, y in enumerate(given):
        for z in given[:k]:
            if overlap(y, z):
                raise ValueError(f"{y.name} overlaps {z.name}")
    return found


def output_names(count):
    """What error messages call the outputs."""
    return ("out",) if count == 1 else tuple(f"out[{k}]" for k in range(count))


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


def check_casts(name, outs, results, casting):
    """TypeError for an output that its result may not be cast to."""
    for y, d in zip(outs, results, strict=True):
        if y is not None and y.dtype != d and not np.can_cast(d, y.dtype, casting):
            raise TypeError(
                f"{y.name} has dtype {y.dtype}, and {name} gives {d}, which casting={casting!r} does not allow"
            )


def check_places(chosen, device, given, everything):
    """EngineError or DeviceMismatchError for arrays that the engine does not reach, and outputs apart from inputs."""
    for x in everything:
        if x.device is not None and chosen != "cuda":
            raise EngineError(f'{x.name} is in device memory, which engine "{chosen}" does not reach')
    for y in given:
        if device is not None and y.device is None:
            raise DeviceMismatchError(f"{y.name} is in host memory, other arrays of the call on device {device}")


# --- the reference --------------------------------------------------------------------------------------------


def _by_reference(call, mask, ys):
    task = call.task
    with np.errstate(all="ignore"):
        values = [host_values(x, d) for x, d in zip(call.xs, task.ins, strict=True)]
        chosen = True if mask is None else host_values(mask)
        found = task.reference(call, values, chosen)
        for y, value, d in zip(ys, found if len(ys) > 1 else (found,), call.dtypes, strict=True):
            value = np.asarray(value).astype(d, copy=False)
            np.copyto(y.memory, value, casting="unsafe", where=chosen if call.keeps else True)
            _write_back(y)


def host_values(x, dtype=None):
    """What an operand in host memory holds, as an array or a weak scalar of a dtype."""
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


def _by_kernel(call, mask, ys, device, stream):
    if device is None:  # all arrays are the host's, so the current device computes
        device = 0 if SIMULATED else memory.current_device() or 0
    task = call.task
    sources = [source(x, d, device, stream) for x, d in zip(call.xs, task.ins, strict=True)]
    chooser = None if mask is None else source(mask, mask.dtype, device, stream)
    targets = [_target(y, device, stream, call.keeps and mask is not None) for y in ys]
    sources = [_apart(task, x, targets, device, stream) for x in sources]
    chooser = chooser and _apart(task, chooser, targets, device, stream)
    run(task, sources, chooser, targets, call.shape, device, stream)
    for y, target in zip(ys, targets, strict=True):
        if y.device is None:
            if not SIMULATED:
                _fetch(y, target, device, stream)
            _write_back(y)
        elif y.buffer is not None:
            y.buffer.settle()


def run(task, sources, mask, targets, shape, device, stream):
    """Launch a task over operands that a kernel can reach."""
    operands = [*sources, *targets] if mask is None else [mask, *sources, *targets]
    task.launch(sources, mask, targets, shape, device)(stream, *words(map(_argument, operands)))


def words(values):
    """What a launch takes: a complex number is two words."""
    if SIMULATED:
        return list(values)
    return [w for v in values for w in ((v.real, v.imag) if isinstance(v, complex | np.complexfloating) else (v,))]


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


def overlap(x, y):
    """Whether two arrays have an element of memory in common."""
    if x.library == "value" or 0 in x.shape or 0 in y.shape:
        return False
    below, above, _ = clash(x, y)
    if not below < x.pointer - y.pointer < above:
        return False
    try:
        return np.shares_memory(described(x), described(y), max_work=1000)
    except np.exceptions.TooHardError:
        return True


def _apart(task, x, targets, device, stream):
    """`x` itself, or a copy of it where writing an output would change elements yet to be read."""
    for y in targets:
        same = x.pointer == y.pointer and x.strides == y.strides and x.shape == y.shape and x.dtype == y.dtype
        if not same and overlap(x, y):
            return task.copied(x, device, stream)
    return x


def room(x, device, stream):
    """Memory without gaps for the elements of a device array, as an operand."""
    count = int(np.prod(x.shape, dtype=np.int64))
    buffer = memory.Buffer(count * x.dtype.itemsize, device, stream, x.name)
    return _buffered(x, buffer, contiguous_strides(x.shape), device, stream)

"""One call of an elementwise function: dtypes, shapes, outputs, overlap, and the kernel that fits the layout.

The order is NumPy's ufunc protocol: resolve the loop, broadcast, check `out`, then compute. Everything that can
be wrong with an argument is found before anything is written.

Source: NumPy, "Universal functions (ufunc) basics", https://numpy.org/doc/stable/user/basics.ufuncs.html
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..device.instructions import SIMULATED
from ..device.scalar import call
from ..runtime import memory
from ..runtime.arrays import (
    DeviceMismatchError,
    Operand,
    contiguous_strides,
    empty,
    operand,
    placement,
    result,
    stream_handle,
)
from ..runtime.engines import EngineError, engine
from ..runtime.launch import launch
from .kernels import THREADS, contiguous, masked, strided


@dataclass(frozen=True)
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
        and `complex` for weak scalars) and the user's ``dtype=``; TypeError where there is none.
    scalar : callable
        ``scalar(ins)``: the device function of the loop over these dtypes, or None.
    reference : callable
        The same of NumPy arrays of dtypes `ins`.
    """

    name: str
    parameters: tuple
    nout: int
    resolve: Callable
    scalar: Callable
    reference: Callable


def evaluate(mapping, inputs, out=None, where=True, casting="same_kind", dtype=None, stream=None):
    """Apply `mapping` to `inputs` as a NumPy ufunc would be applied."""
    stream = stream_handle(stream)
    xs = [operand(x, name) for x, name in zip(inputs, mapping.parameters, strict=True)]
    mask = None if where is True else _mask(where)
    outs = _outputs(out, mapping)
    ins, results = _resolve(mapping, xs, dtype, casting)
    _check_casts(mapping, outs, results, casting)
    given = [y for y in outs if y is not None]
    involved = xs + ([mask] if mask else [])
    shape = _shape(involved, given)
    chosen = engine()
    device, stream, like = placement(given + involved, stream)
    _check_places(chosen, device, given, involved)
    if chosen == "cuda":
        stream = 0 if stream is None else stream
        for x in given + involved:
            if x.device is not None and x.stream != stream:
                memory.follow(stream, x.stream, device)
    order = _order(xs, shape)
    ys = [
        empty(shape, d, like, device, stream, order, "out") if y is None else y
        for y, d in zip(outs, results, strict=True)
    ]
    if 0 not in shape:
        compute = _by_reference if chosen == "reference" else _by_kernel
        compute(mapping, xs, mask, ys, ins, results, shape, device, stream)
    returned = [result(y) if given_y is None else given_y.array for y, given_y in zip(ys, outs, strict=True)]
    return returned[0] if mapping.nout == 1 else tuple(returned)


def _mask(where):
    mask = operand(where, "where")
    if mask.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {mask.dtype}")
    return mask


def _outputs(out, mapping):
    """One `Operand` or None per output."""
    if out is None:
        return [None] * mapping.nout
    outs = out if isinstance(out, tuple) else (out,)
    if len(outs) != mapping.nout:
        raise ValueError(f"out must hold {mapping.nout} array(s) for {mapping.name}, got {len(outs)}")
    found = []
    for k, y in enumerate(outs):
        name = "out" if mapping.nout == 1 else f"out[{k}]"
        if y is None:
            found.append(None)
            continue
        if isinstance(y, list | np.generic | int | float | complex):
            raise TypeError(f"{name} must be an array to write to, got {type(y).__qualname__}")
        y = operand(y, name)
        if not y.writable:
            raise ValueError(f"{name} is read-only")
        if any(n > 1 and s == 0 for n, s in zip(y.shape, y.strides, strict=True)):
            raise ValueError(f"{name} has several elements in one place (a zero stride)")
        found.append(y)
    given = [y for y in found if y is not None]
    for k, y in enumerate(given):
        for z in given[:k]:
            if _overlap(y, z):
                raise ValueError(f"{y.name} overlaps {z.name}")
    return found


def _resolve(mapping, xs, dtype, casting):
    dtypes = tuple(x.weak or x.dtype for x in xs)
    dtype = None if dtype is None else np.dtype(dtype)
    ins, outs = mapping.resolve(dtypes, dtype, casting)
    try:
        for x, d in zip(xs, ins, strict=True):
            if x.weak:
                d.type(x.array)
    except OverflowError:
        # NumPy compares with integers out of the dtype's range exactly; all else refuses them.
        if mapping.name not in _COMPARISONS:
            raise
        dtypes = tuple(_fitting(x) if x.weak is int else x.dtype for x in xs)
        ins, outs = mapping.resolve(dtypes, dtype, casting)
    if mapping.scalar(ins) is None:
        listed = ", ".join(f"{name}: {t}" for name, t in zip(mapping.parameters, ins, strict=True))
        raise TypeError(f"{mapping.name} is not defined for these dtypes ({listed})")
    return ins, outs


_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}


def _fitting(x):
    """The smallest of int64, uint64 and float64 that holds a Python integer's place in the order."""
    for d in (np.int64, np.uint64):
        if np.iinfo(d).min <= x.array <= np.iinfo(d).max:
            return np.dtype(d)
    return np.dtype(np.float64)


def _check_casts(mapping, outs, results, casting):
    for y, d in zip(outs, results, strict=True):
        if y is not None and not np.can_cast(d, y.dtype, casting):
            raise TypeError(
                f"{y.name} has dtype {y.dtype}, and {mapping.name} gives {d}, which casting={casting!r} does not allow"
            )


def _shape(involved, given):
    shapes = [x.shape for x in involved]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(f"{x.name} {x.shape}" for x in involved)
        raise ValueError(f"operands could not be broadcast together: {listed}") from None
    for y in given:
        try:
            fits = np.broadcast_shapes(shape, y.shape) == y.shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{y.name} has shape {y.shape}, which the broadcast shape {shape} does not fit")
        shape = y.shape
    for y in given:
        if y.shape != shape:
            raise ValueError(f"{y.name} has shape {y.shape}, which the broadcast shape {shape} does not fit")
    return shape


def _check_places(chosen, device, given, involved):
    for x in given + involved:
        if x.device is not None and chosen != "cuda":
            raise EngineError(f'{x.name} is in device memory, which engine "{chosen}" does not reach')
    for y in given:
        if device is not None and y.device is None:
            raise DeviceMismatchError(f"{y.name} is in host memory, the other arrays on device {device}")


def _order(xs, shape):
    """NumPy's order="K", as far as it is C or Fortran order: the one that all full-shape inputs share."""
    full = [x for x in xs if x.shape == shape and len(shape) > 1]
    if not full or any(x.strides == contiguous_strides(shape) for x in full):
        return "C"
    return "F" if all(x.strides == contiguous_strides(shape, "F") for x in full) else "C"


def _by_reference(mapping, xs, mask, ys, ins, results, shape, device, stream):
    with np.errstate(all="ignore"):
        values = mapping.reference(*(_host_values(x, d) for x, d in zip(xs, ins, strict=True)))
        values = values if mapping.nout > 1 else (values,)
        for y, value, d in zip(ys, values, results, strict=True):
            value = np.asarray(value).astype(d, copy=False)
            np.copyto(y.memory, value, casting="unsafe", where=True if mask is None else _host_values(mask))
            _write_back(y)


def _host_values(x, dtype=None):
    value = x.array if x.library == "python" else x.memory
    return np.asarray(value, dtype) if x.weak else np.asarray(value).astype(dtype or x.dtype, copy=False)


def _write_back(y):
    """Carry a result from the copy that was computed in to the array it belongs to."""
    if isinstance(y.array, np.ndarray) and y.array is not y.memory and not np.shares_memory(y.array, y.memory):
        np.copyto(y.array, y.memory, casting="unsafe")


def _by_kernel(mapping, xs, mask, ys, ins, results, shape, device, stream):
    place, stream = (0 if device is None else device), stream or 0
    sources = [_source(x, d, place, stream) for x, d in zip(xs, ins, strict=True)]
    targets = [_target(y, place, stream, mask is not None) for y in ys]
    sources = [_apart(x, targets, place, stream) for x in sources]
    chooser = None if mask is None else _apart(_source(mask, mask.dtype, place, stream), targets, place, stream)
    # `call` keeps a reference to nothing of this launch, so that kernels are shared by all calls of these dtypes.
    f = call(mapping.scalar(ins), ins, results)
    _launch(f, sources, chooser, targets, shape, place, stream, mapping.name)
    for y, target in zip(ys, targets, strict=True):
        if y.device is None and not SIMULATED:
            _fetch(y, target, place, stream)
        if y.device is None:
            _write_back(y)


def _source(x, dtype, device, stream):
    """An input where the kernel can read it: by value, in place, or uploaded."""
    if x.library == "python":
        value = dtype.type(x.array) if x.weak else np.bool_(x.array)
        return Operand(x.name, "value", value, dtype if x.weak else x.dtype, (), ())
    if x.device is None and x.ndim == 0:
        return Operand(x.name, "value", x.memory[()], x.dtype, (), ())
    if x.device is not None or SIMULATED:
        return x
    # Only what differs travels: an axis of stride zero is sent once.
    distinct = x.memory[tuple(slice(0, 1) if s == 0 else slice(None) for s in x.strides)]
    packed = np.ascontiguousarray(distinct)
    strides = tuple(
        0 if s == 0 else t for s, t in zip(x.strides, contiguous_strides(packed.shape), strict=True)
    )
    buffer = memory.upload(packed, device, stream, x.name)
    return Operand(x.name, "buffer", buffer, x.dtype, x.shape, strides, buffer.pointer, device, stream)


def _target(y, device, stream, keeps):
    """An output where the kernel can write it; `keeps` when some of its elements stay as they are."""
    if y.device is not None or SIMULATED:
        return y
    if keeps:
        buffer = memory.upload(np.ascontiguousarray(y.memory), device, stream, y.name)
    else:
        buffer = memory.Buffer(y.memory.nbytes, device, stream, y.name)
    return Operand(
        y.name, "buffer", buffer, y.dtype, y.shape, contiguous_strides(y.shape), buffer.pointer, device, stream
    )


def _fetch(y, target, device, stream):
    if y.memory.flags.c_contiguous:
        memory.download(target.pointer, y.memory, device, stream, y.name)
        return
    fetched = np.empty(y.shape, y.dtype)
    memory.download(target.pointer, fetched, device, stream, y.name)
    np.copyto(y.memory, fetched)


def _overlap(x, y):
    if x.library == "value" or 0 in x.shape or 0 in y.shape:
        return False
    (a, b), (c, d) = x.extent(), y.extent()
    return a < d and c < b


def _apart(x, targets, device, stream):
    """`x` itself, or a copy of it where writing an output would change elements yet to be read."""
    for y in targets:
        same = x.pointer == y.pointer and x.strides == y.strides and x.shape == y.shape and x.dtype == y.dtype
        if _overlap(x, y) and not same:
            return _copied(x, device, stream)
    return x


def _copied(x, device, stream):
    if SIMULATED:
        copy = x.memory.copy()
        strides = tuple(s // x.dtype.itemsize for s in copy.strides)
        return Operand(x.name, "numpy", copy, x.dtype, x.shape, strides, copy.ctypes.data, memory=copy)
    count = int(np.prod(x.shape, dtype=np.int64))
    buffer = memory.Buffer(count * x.dtype.itemsize, device, stream, x.name)
    strides = contiguous_strides(x.shape)
    copy = Operand(x.name, "buffer", buffer, x.dtype, x.shape, strides, buffer.pointer, device, stream)
    _launch(call(_same, (x.dtype,), (x.dtype,)), [x], None, [copy], x.shape, device, stream, "copy")
    return copy


from ..device.functions import identity as _same  # noqa: E402

# --- layout -----------------------------------------------------------------------------------------------


def collapse(shape, strides):
    """The fewest axes that visit the same elements: unit axes dropped, axes sorted, neighbours merged.

    Parameters
    ----------
    shape : tuple of int
    strides : list of tuple of int
        One tuple per operand, outputs last. The last operand's strides decide the order of axes: smallest last,
        so that neighbouring threads write neighbouring elements.

    Returns
    -------
    shape : tuple of int
        At least one axis.
    strides : list of tuple of int
    """
    axes = [k for k, n in enumerate(shape) if n != 1]
    axes.sort(key=lambda k: [-abs(s[k]) for s in reversed(strides)])
    lengths, steps = [], []  # of the axes so far, outermost first; steps[a][o] is operand o's stride
    for k in axes:
        step = [s[k] for s in strides]
        if lengths and all(outer == inner * shape[k] for outer, inner in zip(steps[-1], step, strict=True)):
            lengths[-1] *= shape[k]
            steps[-1] = step
        else:
            lengths.append(shape[k])
            steps.append(step)
    if not lengths:
        lengths, steps = [1], [[0] * len(strides)]
    return tuple(lengths), [tuple(step[o] for step in steps) for o in range(len(strides))]


#: Widest access of a thread, in bytes.
VECTOR = 16


def vector_width(shape, operands, strides):
    """Elements a thread moves at once: as many as fill 16 bytes, all addresses being aligned to them.

    1 where an operand has gaps along the last axis.
    """
    pointers = [(x, s) for x, s in zip(operands, strides, strict=True) if x.library != "value"]
    if any(s[-1] not in (0, 1) for _, s in pointers):
        return 1
    width = max(VECTOR // max(x.dtype.itemsize for x, _ in pointers), 1)
    while width > 1 and not all(_aligned(x, s, width) for x, s in pointers):
        width //= 2
    if len(shape) > 1:
        while shape[-1] % width:
            width //= 2
    return width


def _aligned(x, strides, width):
    if strides[-1] == 0:
        return True
    return x.pointer % (width * x.dtype.itemsize) == 0 and all(s % width == 0 for s in strides[:-1])


def _launch(f, sources, mask, targets, shape, device, stream, name):
    """Launch the kernel that fits how the operands lie."""
    operands = ([mask] if mask else []) + sources + targets
    strides = [_broadcast_strides(x, shape) for x in operands]
    shape, strides = collapse(shape, strides)
    width = 1 if mask else vector_width(shape, operands, strides)
    one_run = not mask and len(shape) == 1 and all(
        s == (1,) or s == (0,) or x.library == "value" for x, s in zip(operands, strides, strict=True)
    ) and all(s == (1,) for s in strides[len(sources) :] if shape != (1,))  # fmt: skip
    if one_run:
        _launch_run(f, sources, targets, strides, shape[0], width, device, stream, name)
    else:
        _launch_strided(f, sources, mask, targets, strides, shape, width, device, stream, name)


def _launch_run(f, sources, targets, strides, n, width, device, stream, name):
    kinds = tuple(_kind(x, s) for x, s in zip(sources, strides, strict=False))
    long = n >= 2**31
    kernel = contiguous(f, kinds, len(targets), width, long)
    arguments = (n, tuple(map(_argument, sources)), tuple(map(_argument, targets)))
    signature = None if SIMULATED else (_count_type(long), _types(sources), _types(targets))
    threads = n // width + n % width
    launch(kernel, signature, arguments, -(-threads // THREADS), THREADS, device, stream, name)


def _launch_strided(f, sources, mask, targets, strides, shape, width, device, stream, name):
    shape = (*shape[:-1], shape[-1] // width)
    strides = [(*s[:-1], s[-1] * width) for s in strides]
    n = int(np.prod(shape, dtype=np.int64))
    long = n >= 2**31
    lead = 1 if mask else 0
    inner = strides[lead : lead + len(sources)]
    outer = strides[lead + len(sources) :]
    kinds = tuple("value" if x.library == "value" else "vector" if width == 1 else _kind(x, s, width)
                  for x, s in zip(sources, inner, strict=True))  # fmt: skip
    steps = [sum(group, ()) for group in ([strides[0]] if mask else [], inner, outer)]
    ins, outs = tuple(map(_argument, sources)), tuple(map(_argument, targets))
    if mask:
        kernel = masked(f, ("vector", *kinds), len(targets), long)
        arguments = (n, shape, *steps, (_argument(mask),), ins, outs)
    else:
        kernel = strided(f, kinds, len(targets), width, long)
        arguments = (n, shape, *steps[1:], ins, outs)
    signature = None
    if not SIMULATED:
        from numba import types

        count = _count_type(long)
        groups = tuple(types.UniTuple(types.int64, len(g)) for g in (steps if mask else steps[1:]))
        operands = ([_types([mask])] if mask else []) + [_types(sources), _types(targets)]
        signature = (count, types.UniTuple(count, len(shape)), *groups, *operands)
    launch(kernel, signature, arguments, -(-n // THREADS), THREADS, device, stream, name)


def _broadcast_strides(x, shape):
    missing = len(shape) - x.ndim
    own = (0 if n == 1 else s for n, s in zip(x.shape, x.strides, strict=True))
    return (0,) * missing + tuple(own)


def _kind(x, strides, step=1):
    if x.library == "value":
        return "value"
    return "vector" if strides[-1] == step else "uniform"


def _argument(x):
    """What a kernel is given for an operand: a number, an address, or in the simulator a `Pointer`."""
    if x.library == "value":
        return x.array
    return Pointer(x.memory) if SIMULATED else x.pointer


class Pointer:
    """The address of an array's first element, in the simulator: indices count elements of memory from there."""

    def __init__(self, array):
        steps = [s // array.itemsize for s in array.strides]
        spans = [(n - 1) * s for n, s in zip(array.shape, steps, strict=True)]
        self._start = -sum(min(span, 0) for span in spans)
        size = 1 + sum(map(abs, spans))
        first = array[tuple(slice(-1, None) if s < 0 else slice(0, 1) for s in steps)] if array.ndim else array
        self._flat = np.lib.stride_tricks.as_strided(
            first, (size,), (array.itemsize,), writeable=array.flags.writeable
        )
        self.dtype = array.dtype

    def _index(self, k):
        k += self._start
        if not 0 <= k < self._flat.size:
            raise IndexError(f"element {k - self._start} is outside of the array's memory")
        return k

    def __getitem__(self, k):
        return self._flat[self._index(k)]

    def __setitem__(self, k, value):
        self._flat[self._index(k)] = value


def _count_type(long):
    from numba import types

    return types.uint64 if long else types.uint32


def _types(operands):
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    return types.Tuple(
        [from_dtype(x.dtype) if x.library == "value" else types.CPointer(from_dtype(x.dtype)) for x in operands]
    )

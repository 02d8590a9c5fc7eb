"""Which kernel fits how the operands lie in memory, and with which shape and strides it is launched.

That depends on dtypes, shapes, strides and alignments, not on addresses: a launch is made once for each of these and
kept.
"""

import functools

import numpy as np

from ..device.instructions import SIMULATED
from ..runtime.launch import Launch, Program, SimulatedLaunch, code, registers, tuples
from ..runtime.layouts import KEPT, VECTOR, collapse, vector_width
from .kernels import block, contiguous, masked, strided, widest_block


@functools.lru_cache(maxsize=KEPT)
def launch(f, sources, mask, targets, shape, device, name):
    """The launch of ``targets = f(sources)`` over `shape` on `device`, where `mask` (or None) is true.

    `f` takes a tuple of scalars; `sources` and `targets` are tuples of `Layout`. What comes out is called with a raw
    stream and the words of the mask, the sources and the targets: addresses and numbers, or in the simulator pointers.
    """
    operands = (*sources, *((mask,) if mask else ()), *targets)
    shape, strides = collapse(shape, [x.spread(shape) for x in operands])
    width = 1 if mask else vector_width(shape, operands, strides)
    run = len(shape) == 1 and all(s[0] == 1 for s in strides[len(sources) :])
    if run and not mask and all(x.by_value or s[0] in (0, 1) for x, s in zip(operands, strides, strict=True)):
        kernel, leading, long = _run(f, sources, targets, strides, shape[0], width)
        count = shape[0] // width + shape[0] % width
    else:
        kernel, leading, long = _grid(f, sources, mask, targets, strides, shape, width)
        count = leading[0]
    groups = (sources, targets) if mask is None else ((mask,), sources, targets)
    if SIMULATED:
        threads = block(count)
        arguments = functools.partial(tuples, leading, tuple(map(len, groups)))
        return SimulatedLaunch(kernel[-(-count // threads), threads], arguments)
    signature = _signature(leading, long, *groups)
    given = [c for group in signature[len(leading) :] for c in code(group)]
    words = [*_flat(leading), *given]
    return Launch(_program(kernel, signature), device, functools.partial(_configure, count), words, name)


#: One program serves all shapes of a class: the arguments tell them apart.
_program = functools.lru_cache(maxsize=8192)(Program)


def _configure(count, function):
    threads = min(block(count), widest_block(registers(function)))
    return (-(-count // threads), 1, 1), (threads, 1, 1), 0


def _run(f, sources, targets, strides, n, width):
    kinds = tuple(map(_kind, sources, strides))
    long = n >= 2**31
    aligned = all(x.by_value or x.alignment % VECTOR == 0 for x in (*sources, *targets))
    return contiguous(f, kinds, len(targets), width, aligned, long), (n,), long


def _grid(f, sources, mask, targets, strides, shape, width):
    shape = (*shape[:-1], shape[-1] // width)
    strides = [(*s[:-1], s[-1] * width) for s in strides]
    n = int(np.prod(shape, dtype=np.int64))
    long = n >= 2**31
    kinds = tuple("value" if x.by_value else "vector" if width == 1 else _kind(x, s, width)
                  for x, s in zip(sources, strides, strict=False))  # fmt: skip
    inner, outer = strides[: len(sources)], strides[len(strides) - len(targets) :]
    if mask:
        kernel = masked(f, kinds, len(targets), long)
        steps = [strides[len(sources)], sum(inner, ()), sum(outer, ())]
    else:
        kernel = strided(f, kinds, len(targets), width, long)
        steps = [sum(inner, ()), sum(outer, ())]
    return kernel, (n, shape, *steps), long


def _flat(leading):
    return [n for part in leading for n in (part if isinstance(part, tuple) else (part,))]


def _kind(x, strides, step=1):
    if x.by_value:
        return "value"
    return "vector" if strides[-1] == step else "uniform"


def _signature(leading, long, *groups):
    """Numba types of a launch."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    count = types.uint64 if long else types.uint32
    kinds = [count] * min(len(leading), 1)
    if len(leading) > 1:
        kinds.append(types.UniTuple(count, len(leading[1])))
        kinds += [types.UniTuple(types.int64, len(steps)) for steps in leading[2:]]
    for group in groups:
        natives = [(from_dtype(x.dtype), x.by_value) for x in group]
        kinds.append(types.Tuple([t if by_value else types.CPointer(t) for t, by_value in natives]))
    return tuple(kinds)

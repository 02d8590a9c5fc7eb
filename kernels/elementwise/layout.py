"""Which kernel fits how the operands lie in memory, and with which shape and strides it is launched.

That depends on dtypes, shapes, strides and alignments, not on addresses: a launch is made once for each of these and
kept.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..device.instructions import SIMULATED
from ..runtime.launch import Launch, Program, SimulatedLaunch, code, registers
from .kernels import block, contiguous, masked, strided, widest_block

#: Widest access of a thread, in bytes. 32 measured slower: add of 2^28 float32 1056 us against 1051 (H100).
VECTOR = 16


class Layout(NamedTuple):
    """What decides the kernel about an operand. `by_value` is a number that travels with the launch."""

    dtype: np.dtype
    shape: tuple
    strides: tuple
    alignment: int
    by_value: bool

    def spread(self, shape):
        """Element strides over the broadcast `shape`."""
        missing = len(shape) - len(self.shape)
        own = (0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True))
        return (0,) * missing + tuple(own)


@functools.lru_cache(maxsize=4096)
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
        return SimulatedLaunch(kernel[-(-count // threads), threads], leading, tuple(map(len, groups)))
    signature = _signature(leading, long, *groups)
    given = [c for group in signature[len(leading) :] for c in code(group)]
    words = [*_flat(leading), *given]
    return Launch(_program(kernel, signature), device, functools.partial(_configure, count), words, name)


#: One program serves all shapes of a class: the arguments tell them apart.
_program = functools.lru_cache(maxsize=8192)(Program)


def _configure(count, function):
    threads = min(block(count), widest_block(registers(function)))
    return (-(-count // threads), 1, 1), (threads, 1, 1), 0


def words(values):
    """What a launch takes: a complex number is two words."""
    if SIMULATED:
        return list(values)
    return [w for v in values for w in ((v.real, v.imag) if isinstance(v, complex | np.complexfloating) else (v,))]


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
        lengths, steps = [1], [[1] * len(strides)]
    return tuple(lengths), [tuple(step[o] for step in steps) for o in range(len(strides))]


def vector_width(shape, operands, strides):
    """Elements a thread moves at once: as many as fill 16 bytes, all addresses being aligned to them.

    1 where an operand has gaps along the last axis.
    """
    pointers = [(x, s) for x, s in zip(operands, strides, strict=True) if not x.by_value]
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
    return x.alignment % (width * x.dtype.itemsize) == 0 and all(s % width == 0 for s in strides[:-1])

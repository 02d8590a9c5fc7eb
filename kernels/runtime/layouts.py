"""How operands lie in memory: what decides which kernel fits them, and with which shape and strides it is launched."""

from typing import NamedTuple

import numpy as np

#: Layouts that anything is remembered of.
KEPT = 1024

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


def layout(x):
    """The `Layout` of an operand."""
    return Layout(x.dtype, x.shape, x.strides, x.pointer & 15 or 16, x.library == "value")


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

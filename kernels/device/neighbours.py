"""What an item has to do with its neighbour in a blocked tile: differences, and where runs begin and end.

Source: NVIDIA CUB, ``BlockAdjacentDifference``, ``BlockDiscontinuity``.
"""

import functools
import operator

import numpy as np
from numba import cuda

from .block import thread_index
from .exchange import extent
from .instructions import kernel_function
from .scalar import native_type

__all__ = ["block_adjacent_difference", "block_discontinuity"]


def _device(op):
    """An operator that kernels can call."""
    return kernel_function(op) if type(op) is type(_device) else op


@functools.cache
def _beside(dtype, threads, items, left):
    """``beside(mine)``: the last item of the thread before, or the first of the thread behind; at the edge, its own."""
    native, step, own = native_type(dtype), -1 if left else 1, items - 1 if left else 0
    edge = 0 if left else threads - 1

    @kernel_function
    def beside(mine):
        memory, thread = cuda.shared.array(threads, native), thread_index()
        cuda.syncthreads()
        memory[thread] = mine[own]
        cuda.syncthreads()
        return memory[thread if thread == edge else thread + step]

    return beside


def block_adjacent_difference(dtype, threads, items, op=operator.sub, side="left"):
    """Make the device function that combines each item of a tile with its neighbour.

    Parameters
    ----------
    dtype : dtype
        Of the items.
    threads : int or tuple of int
        The block.
    items : int
        Of each thread, blocked.
    op : function, optional
        ``op(item, neighbour)``: an operator, a device function, or a Python function that can become one.
    side : {"left", "right"}
        Which neighbour.

    Returns
    -------
    difference : device function
        ``difference(mine, out)`` or ``difference(mine, out, edge)``: `out` may be `mine`. The item at the edge of the
        tile, the first or the last, has `edge` for a neighbour, or stays as it is without.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_adjacent_difference, block_load, block_store
    >>> load, store = block_load(np.float64, 32, 2), block_store(np.float64, 32, 2)
    >>> difference = block_adjacent_difference(np.float64, threads=32, items=2)
    >>> @cuda.jit
    ... def diff(x, y):
    ...     start, mine = 64 * cuda.blockIdx.x, cuda.local.array(2, np.float64)
    ...     load(x, start, mine)
    ...     difference(mine, mine, x[max(start - 1, 0)])
    ...     store(y, start, mine)
    >>> x = np.arange(100.0) ** 2
    >>> y = np.zeros_like(x)
    >>> diff[2, 32](x, y)
    >>> bool((y[1:] == np.diff(x)).all())
    True
    """
    return _difference(np.dtype(dtype), *extent(threads, items), op, _is_left(side))


def _is_left(side):
    if side not in ("left", "right"):
        raise ValueError(f"side: {side!r} is neither 'left' nor 'right'")
    return side == "left"


@functools.lru_cache(maxsize=1024)
def _difference(dtype, threads, items, op, left):
    combine, beside, edge_thread = _device(op), _beside(dtype, threads, items, left), 0 if left else threads - 1
    last = items - 1

    # From the far end to the near one, so that an item is still there when its neighbour wants it.

    @kernel_function
    def from_left(mine, out, edge=None):
        neighbour = beside(mine)
        for k in range(last, 0, -1):
            out[k] = combine(mine[k], mine[k - 1])
        if thread_index() != edge_thread:
            out[0] = combine(mine[0], neighbour)
        elif edge is None:
            out[0] = mine[0]
        else:
            out[0] = combine(mine[0], edge)

    @kernel_function
    def from_right(mine, out, edge=None):
        neighbour = beside(mine)
        for k in range(last):
            out[k] = combine(mine[k], mine[k + 1])
        if thread_index() != edge_thread:
            out[last] = combine(mine[last], neighbour)
        elif edge is None:
            out[last] = mine[last]
        else:
            out[last] = combine(mine[last], edge)

    return from_left if left else from_right


def block_discontinuity(dtype, threads, items, op=operator.ne, flag="heads"):
    """Make the device function that finds where runs of equal items begin or end.

    Parameters
    ----------
    dtype : dtype
        Of the items.
    threads : int or tuple of int
        The block.
    items : int
        Of each thread, blocked.
    op : function, optional
        ``op(x, y)`` of two neighbours, the left one first: whether a run ends between them.
    flag : {"heads", "tails"}
        Whether an item is flagged that begins a run, or one that ends it.

    Returns
    -------
    discontinuity : device function
        ``discontinuity(mine, flags)`` or ``discontinuity(mine, flags, edge)``: flags become 0 or 1. The first item of
        the tile (the last one for tails) is compared with `edge`, or flagged without.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_discontinuity
    >>> heads = block_discontinuity(np.int64, threads=4, items=2)
    >>> @cuda.jit
    ... def kernel(x, y):
    ...     t = cuda.threadIdx.x
    ...     mine, flags = cuda.local.array(2, np.int64), cuda.local.array(2, np.int32)
    ...     mine[0], mine[1] = x[2 * t], x[2 * t + 1]
    ...     heads(mine, flags)
    ...     y[2 * t], y[2 * t + 1] = flags[0], flags[1]
    >>> x, y = np.array([3, 3, 3, 5, 5, 1, 1, 1]), np.zeros(8, int)
    >>> kernel[1, 4](x, y)
    >>> y
    array([1, 0, 0, 1, 0, 1, 0, 0])
    """
    if flag not in ("heads", "tails"):
        raise ValueError(f"flag: {flag!r} is neither 'heads' nor 'tails'")
    return _discontinuity(np.dtype(dtype), *extent(threads, items), op, flag == "heads")


@functools.lru_cache(maxsize=1024)
def _discontinuity(dtype, threads, items, op, heads):
    differ, beside, edge_thread = _device(op), _beside(dtype, threads, items, heads), 0 if heads else threads - 1
    last = items - 1

    @kernel_function
    def flagged(found):
        return 1 if found else 0

    @kernel_function
    def flag_heads(mine, flags, edge=None):
        neighbour = beside(mine)
        for k in range(last, 0, -1):
            flags[k] = flagged(differ(mine[k - 1], mine[k]))
        if thread_index() != edge_thread:
            flags[0] = flagged(differ(neighbour, mine[0]))
        elif edge is None:
            flags[0] = 1
        else:
            flags[0] = flagged(differ(edge, mine[0]))

    @kernel_function
    def flag_tails(mine, flags, edge=None):
        neighbour = beside(mine)
        for k in range(last):
            flags[k] = flagged(differ(mine[k], mine[k + 1]))
        if thread_index() != edge_thread:
            flags[last] = flagged(differ(mine[last], neighbour))
        elif edge is None:
            flags[last] = 1
        else:
            flags[last] = flagged(differ(mine[last], edge))

    return flag_heads if heads else flag_tails

"""Histogram of a block's samples, in shared memory.

Counting is an atomic addition of one, which the hardware does for all lanes of a warp that mean one bin at once
(``ATOMS.POPC.INC``): samples that are all the same take no longer than others.

Source: NVIDIA CUB, ``BlockHistogram``.
"""

import functools

from numba import cuda

from .block import thread_index
from .exchange import extent
from .instructions import kernel_function

__all__ = ["block_histogram"]


@functools.cache
def block_histogram(threads, items, bins, *, composite=False):
    """Make the device function that counts a block's samples.

    Parameters
    ----------
    threads : int or tuple of int
        The block.
    items : int
        Samples of each thread.
    bins : int
    composite : bool, optional
        Whether to add to the counts that are there, instead of beginning with zeros.

    Returns
    -------
    histogram : device function
        ``histogram(mine, counts)``: `mine` is an array of a thread's samples, integers; `counts` an array of `bins`
        integers in shared memory, or in global memory where one block uses it. Samples outside of
        ``0, ..., bins - 1`` are not counted: fill up a tile that is not full with `bins`. All threads see the counts.

    Notes
    -----
    Two barriers with `composite`, three without.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_histogram, block_load
    >>> load = block_load(np.uint8, threads=64, items=4, algorithm="striped")
    >>> histogram = block_histogram(threads=64, items=4, bins=16)
    >>> @cuda.jit
    ... def count(x, y):
    ...     mine = cuda.local.array(4, np.uint8)
    ...     counts = cuda.shared.array(16, np.int32)
    ...     load(x, 256 * cuda.blockIdx.x, mine, 16)
    ...     histogram(mine, counts)
    ...     if cuda.threadIdx.x < 16:
    ...         cuda.atomic.add(y, cuda.threadIdx.x, counts[cuda.threadIdx.x])
    >>> x = np.random.default_rng(0).integers(0, 16, 1000, np.uint8)
    >>> y = np.zeros(16, np.int32)
    >>> count[4, 64](x, y)
    >>> bool((y == np.bincount(x, minlength=16)).all())
    True
    """
    threads, items = extent(threads, items)
    if bins < 1:
        raise ValueError(f"bins: at least 1, not {bins}")

    @kernel_function
    def histogram(mine, counts):
        if not composite:
            cuda.syncthreads()
            for bin_ in range(thread_index(), bins, threads):
                counts[bin_] = 0
        cuda.syncthreads()
        for k in range(items):
            sample = mine[k]
            if 0 <= sample and sample < bins:
                cuda.atomic.add(counts, sample, 1)
        cuda.syncthreads()

    return histogram

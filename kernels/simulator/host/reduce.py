"""``cuda.reduce`` by a kernel of its own.

The elements are combined in the order in which Numba combines them on a GPU, so a sum of floats has the same bits
and an operator that is not associative and commutative shows itself here too.
"""

import functools
import types

import numpy as np
from numba import cuda
from numba.np.numpy_support import from_dtype

THREADS, WARP, MOST_BLOCKS = 128, 32, 64


@functools.lru_cache(maxsize=256)
def _as_a_kernel(function):
    """A kernel's function of this file, as one of its user's: reports do not pass over it."""
    function.__code__ = function.__code__.replace(co_filename="<cuda.reduce>")
    return function


def folding(operator, dtype):
    """The kernel that folds an array into one partial result per block, for an operator and a Numba type."""
    combine = cuda.jit(operator, device=True) if isinstance(operator, types.FunctionType) else operator

    @cuda.jit
    @_as_a_kernel
    def fold(values, partials, init, use_init):
        found = cuda.shared.array(THREADS, dtype)
        thread, threads = cuda.threadIdx.x, cuda.blockDim.x
        start = cuda.grid(1)
        mine = values[start]
        for k in range(start + cuda.gridsize(1), values.size, cuda.gridsize(1)):
            mine = combine(mine, values[k])
        found[thread] = mine
        cuda.syncthreads()

        # Within each warp that is full: a tree. The last warp of a partial block: its first lane takes them in turn.
        warp, lane = thread // WARP, thread % WARP
        whole = threads == THREADS or (warp + 1) * WARP < threads
        width = WARP // 2
        while width > 0:
            if whole and lane < width:
                found[thread] = combine(found[thread], found[thread + width])
            cuda.syncthreads()
            width //= 2
        if not whole and lane == 0:
            for k in range(thread + 1, threads):
                found[thread] = combine(found[thread], found[k])
        cuda.syncthreads()

        if thread == 0:
            if threads == THREADS:
                result = combine(combine(found[0], found[2 * WARP]), combine(found[WARP], found[3 * WARP]))
            else:
                result = found[0]
                for k in range(WARP, threads, WARP):
                    result = combine(result, found[k])
            if use_init and cuda.blockIdx.x == 0:
                result = combine(result, init)
            partials[cuda.blockIdx.x] = result

    return fold


class Reduce:
    """A reduction by a binary operator, which must be associative and commutative.

    Parameters
    ----------
    functor : callable
        Of two scalars.
    """

    def __init__(self, functor):
        self._functor = functor

    def __call__(self, arr, size=None, res=None, init=0, stream=0):
        """Fold an array and `init`.

        Parameters
        ----------
        arr : host or device array of one axis
        size : int, optional
            How many of its elements; all by default.
        res : device array, optional
            Takes the result in its first element.
        init : scalar, optional
        stream : stream, optional

        Returns
        -------
        scalar or None
            None where `res` is given.

        Raises
        ------
        TypeError
            When the array has not one axis.
        """
        arr = arr if hasattr(arr, "ndim") else np.asarray(arr)
        if arr.ndim != 1:
            raise TypeError("only support 1D array")
        arr = arr if size is None else arr[:size]
        init = arr.dtype.type(init)
        if arr.size == 0:
            return init
        kernel = folding(self._functor, from_dtype(arr.dtype))
        whole = arr.size // THREADS * THREADS
        blocks = min(whole // THREADS, MOST_BLOCKS)
        count = blocks + (whole < arr.size)
        partials = cuda.device_array(count, arr.dtype)
        if blocks:
            kernel[blocks, THREADS, stream](arr[:whole], partials[:blocks], init, True)
        if whole < arr.size:
            kernel[1, arr.size - whole, stream](arr[whole:], partials[blocks:], init, not blocks)
        if count > 1:
            kernel[1, count, stream](partials, partials, init, False)
        if res is None:
            return partials[0]
        res[:1].copy_to_device(partials[:1], stream=stream)
        return None

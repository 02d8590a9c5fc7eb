r"""Layer normalisation of the rows of a matrix, in one pass over memory.

.. math:: y_{ij} = \frac{x_{ij} - \mu_i}{\sqrt{\sigma_i^2 + \epsilon}}

A block has a row, of which each thread holds up to 32 elements in registers, loaded 16 bytes at a time: from these come
the mean, then the squared deviations from it, then the result. A row that no block can hold is read twice, in chunks:
once for the number, the mean and the sum of squared deviations of what each thread has seen, by the formula that merges
two such states (Chan, Golub & LeVeque 1979), and once more for the result, beginning with the chunk that is there
still.

Source: Ba, Kiros & Hinton 2016, "Layer Normalization", https://doi.org/10.48550/arXiv.1607.06450; Chan, Golub & LeVeque
1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", Stanford STAN-CS-79-773.
"""

import functools
import math

import numpy as np
from numba import cuda, float32, float64, int32

from kernels.device import block_reduce, block_sum, vector_load, vector_store

#: Loads of a thread that are under way together, elements that it holds at most, and threads of a block at most.
LOADS, HELD, THREADS = 8, 32, 512


@cuda.jit(device=True)
def merge(a, b):
    """The number, the mean and the sum of squared deviations of the elements of two states together."""
    n, difference = a[0] + b[0], b[1] - a[1]
    share = b[0] / n if n > 0 else n
    return n, a[1] + difference * share, a[2] + b[2] + difference * difference * a[0] * share


@functools.cache
def tuple_of(width):
    """``take(held, k)``: `width` elements of an array from k on, as a vector store takes them."""
    if width == 1:
        return cuda.jit(device=True)(lambda held, k: (held[k],))
    half, step = tuple_of(width // 2), width // 2
    return cuda.jit(device=True)(lambda held, k: half(held, k) + half(held, k + step))


@functools.cache
def kernels_of(dtype, width):
    """The kernels for rows that a block holds and for longer ones, of which `width` elements are moved at a time."""
    number = float64 if dtype == np.float64 else float32
    load, store, take = vector_load(width), vector_store(width), tuple_of(width)
    items = min(LOADS * width, HELD)
    # With 64, two blocks of 512 threads fit a multiprocessor: one loads while the other stores. float64 would spill.
    registers = 64 if number is float32 else None

    @cuda.jit(device=True)
    def place(k):  # in a chunk, of items k to k + width of a thread: neighbours load what is side by side
        return int32(k * cuda.blockDim.x + width * cuda.threadIdx.x)

    @cuda.jit(device=True)
    def fetch(row, first, held):
        for k in range(0, items, width):
            i = first + place(k)
            if i < row.size:
                values = load(row, i)
                for j in range(width):
                    held[k + j] = values[j]
            else:
                for j in range(width):
                    held[k + j] = 0

    @cuda.jit(device=True)
    def total(held):
        found = number(0)
        for k in range(items):
            found += held[k]
        return found

    @cuda.jit(device=True)
    def squares(row, first, held, mean):
        found = number(0)
        for k in range(0, items, width):
            if first + place(k) < row.size:
                for j in range(width):
                    found += (held[k + j] - mean) ** 2
        return found

    @cuda.jit(device=True)
    def count(row, first):
        found = number(0)
        for k in range(0, items, width):
            if first + place(k) < row.size:
                found += number(width)
        return found

    @cuda.jit(device=True)
    def put(row, first, held, mean, scale):
        for k in range(0, items, width):
            i = first + place(k)
            if i < row.size:
                for j in range(width):
                    held[k + j] = (held[k + j] - mean) * scale
                store(row, i, take(held, k))

    @cuda.jit(max_registers=registers)
    def held_rows(x, y, epsilon):
        row, out, held = x[cuda.blockIdx.x], y[cuda.blockIdx.x], cuda.local.array(items, number)
        fetch(row, 0, held)
        mean = block_sum(total(held)) / number(row.size)
        variance = block_sum(squares(row, 0, held, mean)) / number(row.size)
        put(out, 0, held, mean, number(1) / math.sqrt(variance + number(epsilon)))

    @cuda.jit(max_registers=registers)
    def long_rows(x, y, epsilon):
        row, out, held = x[cuda.blockIdx.x], y[cuda.blockIdx.x], cuda.local.array(items, number)
        chunk, first = items * cuda.blockDim.x, 0
        state = number(0), number(0), number(0)
        while first < row.size:
            fetch(row, first, held)
            n = count(row, first)
            mean = total(held) / max(n, number(1))
            state = merge(state, (n, mean, squares(row, first, held, mean)))
            first += chunk
        n, mean, deviations = block_reduce(state, merge)
        scale = number(1) / math.sqrt(deviations / n + number(epsilon))
        last = first - chunk
        put(out, last, held, mean, scale)
        for first in range(last - chunk, -1, -chunk):
            fetch(row, first, held)
            put(out, first, held, mean, scale)

    return held_rows, long_rows


def address(x):
    """Where an array begins; NumPy's are what the simulator works on."""
    return x.__cuda_array_interface__["data"][0] if hasattr(x, "__cuda_array_interface__") else x.ctypes.data


def prepared(x, y, epsilon=1e-5):
    """Make the function that normalises the rows of `x` into `y`; both are arrays that a kernel takes.

    Parameters
    ----------
    x, y : array, shape (rows, n)
        Of float16, float32 or float64, without gaps. They may be one.
    epsilon : float, optional
        What is added to the variance.

    Returns
    -------
    run : callable

    Raises
    ------
    TypeError
        For another dtype.
    ValueError
        For other shapes.
    """
    dtype = np.dtype(x.dtype)
    if dtype not in (np.float16, np.float32, np.float64) or np.dtype(y.dtype) != dtype:
        raise TypeError(f"x, y: expected one dtype of float16, float32 and float64, not {x.dtype} and {y.dtype}")
    if len(x.shape) != 2 or tuple(y.shape) != tuple(x.shape):
        raise ValueError(f"x, y: expected the same two axes, not shapes {tuple(x.shape)} and {tuple(y.shape)}")
    rows, n = x.shape
    width = 16 // dtype.itemsize
    while any(where % (width * dtype.itemsize) for where in (address(x), address(y), n * dtype.itemsize)):
        width //= 2
    items = min(LOADS * width, HELD)
    threads = min(-(-n // (32 * items)) * 32, THREADS)
    held_rows, long_rows = kernels_of(dtype, width)
    kernel = held_rows if n <= threads * items else long_rows
    if rows == 0 or n == 0:
        return lambda: None
    number = np.float64 if dtype == np.float64 else np.float32
    return functools.partial(kernel[rows, threads], x, y, number(epsilon))


def layer_norm(x, y, epsilon=1e-5):
    """Normalise the rows of `x` into `y`: see `prepared`."""
    prepared(x, y, epsilon)()

"""What `bench` times: rows of work, and each library's way to do it.

A row is a function that makes the arrays and returns a maker per variant; a maker returns what to call.
Makers import what they need, so a library that is missing or fails costs its own entry only. All variants of
a row work in the same memory: a CuPy or Numba array made of a PyTorch tensor is an array of that library like
any other.

Every row for the bandwidth moves ten times more than an L2 cache holds (50 MB on an H100), so one set of
buffers is as cold as many.
"""

import functools
from dataclasses import dataclass, field

import numpy as np
from numba import cuda

import kernels

THREADS = 256


@dataclass(frozen=True)
class Row:
    """Work to time.

    Attributes
    ----------
    name : str
    make : callable
        Returns a dict of variant -> maker; ``"kernels"`` is ours.
    bytes : int
        That must move; 0 where a call is too small for the bandwidth to matter.
    flops : int
    how : {"device", "back to back", "single", "host", "reported"}
        See `kernels.command.timing`.
    launches : int
        In one call; the time of one is what counts.
    beside : str, optional
        The peer to compare with; else the fastest.
    most : float, optional
        What our time over that peer's should not exceed.
    """

    name: str
    make: object = field(repr=False)
    bytes: int = 0
    flops: int = 0
    how: str = "device"
    launches: int = 1
    beside: str | None = None
    most: float | None = None


def _torch():
    """PyTorch, if it is there and reaches the GPU; None otherwise."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def random(shape, dtype="float32", low=-1.0, high=1.0):
    """An array of random numbers on the device: PyTorch's where it is there, else Numba's."""
    torch, dtype = _torch(), np.dtype(dtype)
    if torch is None:
        values = np.random.default_rng(0).random(shape, np.float32) * (high - low) + low
        return cuda.to_device(values.astype(dtype))
    kind = getattr(torch, dtype.name)
    if dtype.kind == "c":
        return torch.randn(shape, dtype=kind, device="cuda")
    if dtype.kind in "iu":
        return torch.randint(int(low), int(high), shape, dtype=kind, device="cuda")
    return torch.empty(shape, dtype=kind, device="cuda").uniform_(low, high)


def zeros(shape, dtype="float32"):
    """An array of zeros, of the library that `random` uses."""
    torch = _torch()
    if torch is None:
        return cuda.to_device(np.zeros(shape, dtype))
    return torch.zeros(shape, dtype=getattr(torch, np.dtype(dtype).name), device="cuda")


def as_cupy(*arrays):
    """CuPy's arrays of the same memory."""
    import cupy

    return [cupy.asarray(x) for x in arrays]


def as_numba(*arrays):
    """Numba's arrays of the same memory."""
    return [cuda.as_cuda_array(x) for x in arrays]


def eager(function, *arrays):
    """A call of a function of tensors as it stands."""
    import torch  # noqa: F401  (whether it is there)

    return functools.partial(function, *arrays)


def compiled(function, *arrays):
    """A call of a function that torch.compile compiled."""
    import torch

    torch.compiler.reset()  # the cache is kept per function, and gives up after eight dtypes
    return functools.partial(torch.compile(function, dynamic=False), *arrays)


def by_torch(name, *arrays, **keywords):
    """A call of a function of PyTorch."""
    import torch

    return functools.partial(functools.reduce(getattr, name.split("."), torch), *arrays, **keywords)


def by_cupy(name, inputs, out):
    """A call of a ufunc of CuPy."""
    import cupy

    views = [x if np.isscalar(x) else as_cupy(x)[0] for x in inputs]
    return functools.partial(getattr(cupy, name), *views, out=as_cupy(out)[0])


def by_elementwise_kernel(inputs, outputs, body, arrays):
    """A call of a kernel that CuPy compiles from C++."""
    import cupy

    views = [x if np.isscalar(x) else as_cupy(x)[0] for x in arrays]
    return functools.partial(cupy.ElementwiseKernel(inputs, outputs, body, "bench"), *views)


def by_numba(kernel, size, *arguments):
    """A launch of a kernel as Numba's users write it: one element a thread."""
    blocks = -(-size // THREADS)
    views = [x if np.isscalar(x) else as_numba(x)[0] for x in arguments]
    return lambda: kernel[blocks, THREADS](*views)


def by_numba_stride(kernel, *arguments):
    """A launch of a grid-stride loop: 32 blocks for each multiprocessor."""
    blocks = 32 * cuda.get_current_device().MULTIPROCESSOR_COUNT
    views = [x if np.isscalar(x) else as_numba(x)[0] for x in arguments]
    return lambda: kernel[blocks, THREADS](*views)


@cuda.jit
def plain_add(x, y, z):
    """One element a thread."""
    i = cuda.grid(1)
    if i < z.size:
        z[i] = x[i] + y[i]


@cuda.jit
def strided_add(x, y, z):
    """A loop over the grid."""
    for i in range(cuda.grid(1), z.size, cuda.gridsize(1)):
        z[i] = x[i] + y[i]


@cuda.jit
def plain_row_add(x, y, z):
    """One element a thread, two axes."""
    j, i = cuda.grid(2)
    if i < z.shape[0] and j < z.shape[1]:
        z[i, j] = x[i, j] + y[j]


@cuda.jit
def plain_damped(a, x, y, z):
    """One element a thread."""
    i = cuda.grid(1)
    if i < z.size:
        z[i] = a * x[i] + y[i] * np.sin(x[i])


@cuda.jit
def plain_relu(x, z):
    """One element a thread."""
    i = cuda.grid(1)
    if i < z.size:
        z[i] = max(x[i], 0.0)


def damped(a, x, y):
    """What `fuse` makes one kernel of."""
    return a * x + y * np.sin(x)


def torch_damped(a, x, y):
    """The same in PyTorch's words."""
    return a * x + y * x.sin()


def torch_gelu(x):
    """The exact form, as torch.compile sees it."""
    return 0.5 * x * (1 + (x * 0.7071067811865476).erf())


def addition(size, dtype):
    """The makers of z = x + y."""
    span = (-100, 100) if np.dtype(dtype).kind in "iu" else (-1.0, 1.0)
    x, y, z = random((size,), dtype, *span), random((size,), dtype, *span), zeros((size,), dtype)
    return {
        "kernels": lambda: functools.partial(kernels.add, x, y, out=z),
        "torch": lambda: by_torch("add", x, y, out=z),
        "torch.compile": lambda: compiled(lambda x, y: x + y, x, y),
        "cupy": lambda: by_cupy("add", (x, y), z),
        "cupy.ElementwiseKernel": lambda: by_elementwise_kernel("T x, T y", "T z", "z = x + y", (x, y, z)),
        "numba": lambda: by_numba(plain_add, size, x, y, z),
        "numba, grid-stride": lambda: by_numba_stride(strided_add, x, y, z),
    }


def small_addition(size):
    """The makers of calls whose time is the launch's, one launch each."""
    makers = addition(size, "float32")
    return {name: makers[name] for name in ("kernels", "torch", "cupy", "numba")}


def row_addition(rows, columns):
    """The makers of z = x + y, y being a row."""
    x, y, z = random((rows, columns)), random((columns,)), zeros((rows, columns))
    threads = (32, 8)
    blocks = (-(-columns // threads[0]), -(-rows // threads[1]))

    def numba():
        views = as_numba(x, y, z)
        return lambda: plain_row_add[blocks, threads](*views)

    return {
        "kernels": lambda: functools.partial(kernels.add, x, y, out=z),
        "torch": lambda: by_torch("add", x, y, out=z),
        "torch.compile": lambda: compiled(lambda x, y: x + y, x, y),
        "cupy": lambda: by_cupy("add", (x, y), z),
        "cupy.ElementwiseKernel": lambda: by_elementwise_kernel("T x, T y", "T z", "z = x + y", (x, y, z)),
        "numba": numba,
    }


def fused(size):
    """The makers of z = a x + y sin(x)."""
    a, x, y, z = 0.75, random((size,), low=-3, high=3), random((size,)), zeros((size,))
    ours = kernels.fuse(damped)

    return {
        "kernels": lambda: functools.partial(ours, a, x, y, out=z),
        "torch": lambda: eager(torch_damped, a, x, y),
        "torch.compile": lambda: compiled(torch_damped, a, x, y),
        "cupy.ElementwiseKernel": lambda: by_elementwise_kernel(
            "float32 a, float32 x, float32 y", "float32 z", "z = a * x + y * sinf(x)", (a, x, y, z)
        ),
        "numba": lambda: by_numba(plain_damped, size, np.float32(a), x, y, z),
    }


def rectified(size):
    """The makers of z = max(x, 0)."""
    x, z = random((size,)), zeros((size,))
    return {
        "kernels": lambda: functools.partial(kernels.relu, x, out=z),
        "torch": lambda: by_torch("relu", x),
        "torch.compile": lambda: compiled(lambda x: x.relu(), x),
        "cupy": lambda: by_cupy("maximum", (x, 0.0), z),
        "numba": lambda: by_numba(plain_relu, size, x, z),
    }


def gelu(size):
    """The makers of z = x Phi(x)."""
    x, z = random((size,), low=-4, high=4), zeros((size,))
    body = "z = 0.5f * x * (1.0f + erff(x * 0.70710678f))"
    return {
        "kernels": lambda: functools.partial(kernels.gelu, x, out=z),
        "torch": lambda: by_torch("nn.functional.gelu", x),
        "torch.compile": lambda: compiled(torch_gelu, x),
        "cupy.ElementwiseKernel": lambda: by_elementwise_kernel("float32 x", "float32 z", body, (x, z)),
    }


def adam(size):
    """The makers of one step of Adam, in place."""
    param, grad, mean, square = random((size,)), random((size,)), zeros((size,)), zeros((size,))

    def torch_adam(**how):
        import torch

        tensor = torch.nn.Parameter(param)
        tensor.grad = grad
        return torch.optim.Adam([tensor], lr=1e-3, **how).step

    body = """m += 0.1f * (g - m); v += 0.001f * (g * g - v);
              p -= 1e-3f * (m * 10.0f) / (sqrtf(v * 1000.0f) + 1e-8f)"""
    return {
        "kernels": lambda: functools.partial(kernels.adam_step, param, grad, mean, square, step=1),
        "torch": lambda: torch_adam(),
        "torch, fused": lambda: torch_adam(fused=True),
        "cupy.ElementwiseKernel": lambda: by_elementwise_kernel(
            "float32 g", "float32 p, float32 m, float32 v", body, (grad, param, mean, square)
        ),
    }


def rows():
    """All rows, in the order of the table."""
    add = functools.partial
    n = 2**28
    sizes = {"float16": n, "float64": n // 2, "int8": n, "complex64": n // 2}
    large = [
        Row("add float32 2^28", add(addition, n, "float32"), 12 * n, n),
        Row("a*x + y*sin(x) float32 2^28", add(fused, n), 12 * n, 4 * n),
        *(
            Row(
                f"add {dtype} 2^{m.bit_length() - 1}",
                add(addition, m, dtype),
                3 * np.dtype(dtype).itemsize * m,
                m,
            )
            for dtype, m in sizes.items()
        ),
        Row("add a row float32 16384 x 16384", add(row_addition, 2**14, 2**14), 4 * (2 * n + 2**14), n),
        Row("relu float32 2^28", add(rectified, n), 8 * n, n),
        Row("gelu float32 2^28", add(gelu, n), 8 * n, 5 * n),
        Row("adam_step float32 2^27", add(adam, n // 2), 28 * n // 2, 12 * n // 2),
    ]
    small = [
        Row(f"add float32 2^{k}, {how}", add(small_addition, 2**k), how=how)
        for how in ("back to back", "single")
        for k in range(12, 21, 2)
    ]
    return large + small

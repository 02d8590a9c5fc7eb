"""Rows of reductions, scans, softmax and histograms: on every axis of long, short, tall and odd arrays.

A result is small beside what is read, so that the floor is one read; a scan or a softmax writes as much again.
"""

import functools
import math

import kernels

from .workloads import Row, as_cupy, by_torch, compiled, random, zeros

N = 2**28
#: Shapes of 2^28 elements, or nearly, each reduced over every axis.
SQUARE, TALL, WIDE, CUBE = (2**14, 2**14), (2**22, 64), (64, 2**22), (512, 512, 1024)
#: Shapes that groups of 16 bytes do not fit, with one axis.
ODD = (((16385, 16383), 0), ((16385, 16383), 1), ((N // 5, 5), 1), ((N // 3, 3), 0), ((N // 65, 65), 0),
       ((1024, 2**18 - 3), 1), ((999, 521, 515), 1), ((999, 521, 515), 2))  # fmt: skip
#: Rows of so many elements.
SHORT = (2, 8, 32, 1000)

#: What PyTorch calls each, with what it wants beside the axis.
TORCH = {
    "sum": ("sum", {}), "max": ("amax", {}), "argmax": ("argmax", {}), "var": ("var", {"correction": 0}),
    "logsumexp": ("logsumexp", {}), "norm": ("linalg.vector_norm", {}), "softmax": ("softmax", {}),
    "cumsum": ("cumsum", {}),
}  # fmt: skip


def normal(shape, dtype="float32", mean=0.0):
    """Random numbers of a normal distribution, on the device."""
    x = random((math.prod(shape),), dtype)
    if hasattr(x, "normal_"):
        return x.normal_(mean).reshape(shape)
    return x.reshape(shape)


def reduction(name, shape, axis, mean=0.0, also=()):
    """The makers of a reduction along one axis; `also` are "torch.compile", or "cupy" where it is not too slow."""
    x = normal(shape, mean=mean)
    kept = [n for k, n in enumerate(shape) if k != axis]
    out = zeros(kept, "int64" if name == "argmax" else "float32")
    torch_name, given = TORCH[name]
    ours = functools.partial(getattr(kernels, name), x, axis=axis, out=out)
    theirs = {
        "torch.compile": lambda: compiled(lambda x: getattr(x, torch_name)(axis, **given), x),
        "cupy": lambda: functools.partial(getattr(as_cupy(x)[0], name), axis=axis),
    }
    return {
        "kernels": lambda: ours,
        "torch": lambda: by_torch(torch_name, x, dim=axis, **given),
        **{each: theirs[each] for each in also},
    }


def mapping(name, shape, axis, dtype="float32", also=()):
    """The makers of what writes as much as it reads: softmax, cumsum."""
    x, out = normal(shape, dtype), zeros(shape, dtype)
    torch_name, given = TORCH[name]
    theirs = {"torch.compile": lambda: compiled(lambda x: getattr(x, torch_name)(axis, **given), x)}
    return {
        "kernels": lambda: functools.partial(getattr(kernels, name), x, axis=axis, out=out),
        "torch": lambda: by_torch(torch_name, x, dim=axis, **given),
        **{each: theirs[each] for each in also},
    }


def product(size):
    """The makers of the inner product of an array with itself, which is read once or twice."""
    x, out = normal((size,)), zeros(())
    return {"kernels": lambda: functools.partial(kernels.dot, x, x, out=out), "torch": lambda: by_torch("dot", x, x)}


def histogram(bins, one):
    """The makers of a histogram from -4 to 4, of normal numbers or of one number, or as torch.histc and CuPy do it."""
    import torch

    x = normal((N,))
    if one:
        x.fill_(0.7)
    edges = torch.linspace(-4, 4, bins + 1, device=x.device)
    return {
        "kernels": lambda: functools.partial(kernels.histogram, x, bins, (-4.0, 4.0)),
        "torch": lambda: by_torch("histc", x, bins, -4.0, 4.0),
        "cupy": lambda: functools.partial(__import__("cupy").histogram, as_cupy(x)[0], as_cupy(edges)[0]),
    }


def rows():
    """All rows, in the order of the table."""
    make, read, both = functools.partial, 4 * N, 8 * N
    whole = [
        *(Row(f"{name} float32 2^28", make(reduction, name, (N,), 0, also=("cupy",)), read, N)
          for name in ("sum", "max", "argmax")),
        Row("norm float32 2^28", make(reduction, "norm", (N,), 0), read, 2 * N),
        Row("var float32 2^28", make(reduction, "var", (N,), 0, also=("torch.compile",)), read, 5 * N),
        Row("var float32 2^28, mean 1e8", make(reduction, "var", (N,), 0, mean=1e8), read, 5 * N),
        Row("logsumexp float32 2^28", make(reduction, "logsumexp", (N,), 0, also=("torch.compile",)), read, 4 * N),
        Row("dot float32 2^28", make(product, N), read, 2 * N),
        Row("cumsum float32 2^28", make(mapping, "cumsum", (N,), 0), both, N),
        Row("cumsum float64 2^28", make(mapping, "cumsum", (N,), 0, "float64"), 2 * both, N),
    ]  # fmt: skip
    counted = [
        Row(f"histogram of {bins}, {'one bin' if one else 'normal'}, float32 2^28", make(histogram, bins, one), read, N)
        for bins in (16, 256, 4096)
        for one in (False, True)
    ]
    axes = [
        Row(f"{name} float32 {' x '.join(map(str, shape))}, axis {axis}", make(reduction, name, shape, axis), read, N)
        for name in ("sum", "var", "argmax")
        for shape in (SQUARE, TALL, WIDE, CUBE)
        for axis in range(len(shape))
    ]
    softmaxes = [
        Row(f"softmax float32 {' x '.join(map(str, shape))}, axis {axis}", make(mapping, "softmax", shape, axis), both,
            3 * N)
        for shape in (SQUARE, TALL, WIDE, CUBE)
        for axis in range(len(shape))
    ]  # fmt: skip
    short = [
        Row(f"sum float32 of rows of {n}", make(reduction, "sum", (N // n, n), 1, also=("cupy",)), read + read // n, N)
        for n in SHORT
    ]
    odd = [
        Row(f"{name} float32 {' x '.join(map(str, shape))}, axis {axis}", make(reduction, name, shape, axis),
            4 * math.prod(shape) * (shape[axis] + 1) // shape[axis], math.prod(shape))
        for name in ("sum", "argmax")
        for shape, axis in ODD
    ]  # fmt: skip
    return whole + counted + axes + softmaxes + short + odd

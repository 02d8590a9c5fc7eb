"""Rows of what a launch costs: the host's time of a call, launches replayed as a graph, a process's first call.

Host times are of calls as users write them, names looked up and arguments passed anew, each over arrays of its own
library. A row repeats its peers, for they share its turns: the clock of a machine drifts from one row to the next.
"""

import functools

from numba import cuda

import kernels

from . import first_call
from .workloads import THREADS, Row, as_cupy, plain_add, random, zeros

#: Elements of each array: a kernel that ends before the host has launched the next.
SIZE = 2**10

#: Launches in a graph.
RECORDED = 1000

BLOCKS = -(-SIZE // THREADS)


def as_torch(*arrays):
    """PyTorch's tensors of the same memory."""
    import torch

    return [torch.as_tensor(x, device="cuda") for x in arrays]


def copied_to_numba(*arrays):
    """Numba's arrays in memory of Numba's own, whose pointers take longer to read than those of borrowed memory."""
    return [cuda.to_device(cuda.as_cuda_array(x).copy_to_host()) for x in arrays]


LIBRARIES = {"torch": as_torch, "cupy": as_cupy, "numba": copied_to_numba}


def operands(library=None):
    """Two inputs and an output, arrays of one library; else of PyTorch where that is there, or of Numba."""
    arrays = random((SIZE,)), random((SIZE,)), zeros((SIZE,))
    return LIBRARIES[library](*arrays) if library else arrays


# --- the host's time of a call ----------------------------------------------------------------------------------


def by_plan(library):
    """Ours, of a plan."""
    x, y, z = operands(library)
    plan = kernels.add.plan(like=(x, y), out=z)
    return lambda: plan(x, y, out=z)


def into(module, library):
    """``add`` of a module of functions, with out=."""
    x, y, z = operands(library)
    return lambda: module.add(x, y, out=z)


def allocating(module, library):
    """``add`` of a module of functions, which makes the result."""
    x, y, _ = operands(library)
    return lambda: module.add(x, y)


def torch_add(way):
    """PyTorch's own `add`, `way` being `into` or `allocating`."""
    import torch

    return way(torch, "torch")


def cupy_add(way):
    """CuPy's own."""
    import cupy

    return way(cupy, "cupy")


def launched(kernel, library):
    """A launch of a plain kernel, by what takes its configuration in brackets."""
    x, y, z = operands(library)
    return lambda: kernel[BLOCKS, THREADS](x, y, z)


def calls_into(ours):
    """The makers of calls with out=."""
    return {
        "kernels": ours,
        "torch": lambda: torch_add(into),
        "cupy": lambda: cupy_add(into),
        "numba": lambda: launched(plain_add, "numba"),
    }


def calls_allocating(library):
    """The makers of calls that make their result."""
    return {
        "kernels": lambda: allocating(kernels, library),
        "torch": lambda: torch_add(allocating),
        "cupy": lambda: cupy_add(allocating),
    }


def own_kernels(library):
    """The makers of launches of a kernel of one's own."""
    return {
        "kernels": lambda: launched(kernels.runtime.launcher(plain_add), library),
        "numba": lambda: launched(plain_add, library),
        "torch": lambda: torch_add(into),
    }


# --- many launches as one ---------------------------------------------------------------------------------------


def graphs():
    """The makers of replays."""
    return {"kernels": recorded, "torch": recorded_by_torch, "cupy": recorded_by_cupy}


def recorded():
    """A replay of ours."""
    x, y, z = operands()
    plan = kernels.add.plan(like=(x, y), out=z)
    plan(x, y, out=z)
    with kernels.runtime.graph() as graph:
        for _ in range(RECORDED):
            plan(x, y, out=z)
    return graph.replay


def recorded_by_torch():
    """A replay of PyTorch's."""
    import torch

    x, y, z = operands("torch")
    torch.add(x, y, out=z)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(RECORDED):
            torch.add(x, y, out=z)
    return graph.replay


def recorded_by_cupy():
    """A replay of CuPy's."""
    import cupy

    x, y, z = operands("cupy")
    cupy.add(x, y, out=z)  # it compiles here, which a recording forbids
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for _ in range(RECORDED):
            cupy.add(x, y, out=z)
        graph = stream.end_capture()
    return graph.launch


# --- the table --------------------------------------------------------------------------------------------------


def first_calls(ours):
    """The makers of first calls, beside that of a kernel which Numba keeps nowhere."""
    return {"kernels": ours, "numba": lambda: functools.partial(first_call.cold, "numba")}


def rows():
    """All rows, in the order of the table."""
    add, on = "add float32 2^10", functools.partial
    ways = [
        *((f"{add}, plan, {name}", on(calls_into, on(by_plan, name)), "torch", 1.0) for name in LIBRARIES),
        *((f"{add}, out=, {name}", on(calls_into, on(into, kernels, name)), "torch", 2.0) for name in LIBRARIES),
        *((f"{add}, no out, {name}", on(calls_allocating, name), "torch", 2.0) for name in LIBRARIES),
        *((f"launcher of a kernel, {name}", on(own_kernels, name), "numba", None) for name in ("numba", "torch")),
    ]
    cold = on(first_calls, lambda: on(first_call.cold, "kernels"))
    warm = on(first_calls, first_call.warm)
    return [
        *(Row(f"{name}, host", make, how="host", beside=peer, most=most) for name, make, peer, most in ways),
        Row(f"{add}, of {RECORDED} in a graph", graphs, 0, 0, "back to back", RECORDED, "torch", 1.0),
        Row("first call of add, nothing on disk", cold, how="reported", beside="numba"),
        Row("first call of add, kernel on disk", warm, how="reported", beside="numba", most=0.5),
    ]

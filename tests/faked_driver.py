"""A driver that grants every request and does nothing, so that the host's part of a call runs with no GPU.

To be imported first, in a process of its own: what it replaces stays so.
"""

import contextlib
from types import SimpleNamespace

import numpy as np
from cuda.bindings import driver as real
from numba import cuda
from numba.cuda.cudadrv import devices
from numba.cuda.cudadrv.devicearray import DeviceNDArray

#: What requests answer beside their success.
_ANSWERS = {
    "cuCtxGetDevice": 0,
    "cuEventCreate": real.CUevent(1),
    "cuGraphInstantiate": real.CUgraphExec(1),
    "cuMemAllocFromPoolAsync": real.CUdeviceptr(1 << 30),
    "cuPointerGetAttribute": 0,
    "cuStreamCreate": real.CUstream(7),
    "cuStreamEndCapture": real.CUgraph(1),
    "cuStreamIsCapturing": real.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_NONE,
}


class Driver:
    """As `cuda.bindings.driver`, whose requests are functions with a small first letter."""

    def __getattr__(self, name):
        if not name.startswith("cu") or name.startswith("cuuint"):
            return getattr(real, name)
        answer = (real.CUresult.CUDA_SUCCESS, *([_ANSWERS[name]] if name in _ANSWERS else []))
        setattr(self, name, lambda *given: answer)
        return getattr(self, name)


class Context:
    """Of the one device there is."""

    compute_capability = 9, 0
    device = SimpleNamespace(id=0, compute_capability=compute_capability)

    def __init__(self):
        self.modules = {}

    def get_primary_context(self):
        return self


CONTEXT = Context()
devices._runtime.get_or_create_context = lambda number=None: CONTEXT
devices._runtime.ensure_context = lambda: contextlib.nullcontext(CONTEXT)
cuda.current_context = lambda number=None: CONTEXT
cuda.external_stream = lambda handle: SimpleNamespace(handle=handle)
cuda.gpus = [CONTEXT]

from kernels.elementwise import layout  # noqa: E402
from kernels.runtime import arrays, engines, graphs, launch, memory  # noqa: E402

for module in (arrays, graphs, launch, memory):
    module.driver = Driver()
memory._pool = lambda device: None
engines._gpu_problem = ""
launch.Program.image = lambda program, device: "an image"
launch.Program._load = lambda program, device: (real.CUfunction(1), False)
launch._allow = lambda function, shared: None
layout.registers = lambda function: 20


def device_array(*shape, dtype=np.float32, pointer=1 << 20):
    """One of Numba's, over memory that is not there."""
    dtype = np.dtype(dtype)
    strides = tuple(s * dtype.itemsize for s in arrays.contiguous_strides(shape))
    nbytes = int(np.prod(shape)) * dtype.itemsize
    return DeviceNDArray(
        shape, strides, dtype, gpu_data=cuda.driver.MemoryPointer(CONTEXT, real.CUdeviceptr(pointer), nbytes)
    )

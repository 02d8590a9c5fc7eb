"""Instructions and their twins.

An instruction is what the hardware does and Numba's Python cannot say: a libdevice routine, an LLVM
instruction, a wide load. Each is declared with its twin, plain Python of the same meaning, which the simulator
runs in its place.
"""

import threading

from numba import config

#: Whether Numba runs kernels in its simulator (``NUMBA_ENABLE_CUDASIM=1``). Numba decides when it is imported.
SIMULATED = bool(config.ENABLE_CUDASIM)


def instruction(twin):
    """Declare a Numba intrinsic together with the Python twin that the simulator runs."""

    def declare(define):
        if SIMULATED:
            return twin
        from numba.cuda.extending import intrinsic

        return intrinsic(define)

    return declare


def in_simulated_kernel():
    """Whether the simulator is running a kernel in this thread: one Python thread is one CUDA thread there."""
    return SIMULATED and type(threading.current_thread()).__name__ == "BlockThread"


def device_function(function):
    """A scalar function that kernels may call; in the simulator the Python function itself."""
    if SIMULATED:
        return function
    from numba import cuda

    return cuda.jit(function, device=True)

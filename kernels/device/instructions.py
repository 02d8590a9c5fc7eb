"""Instructions and their twins.

An instruction is what the hardware does and Numba's Python cannot say: a libdevice routine, an LLVM
instruction, a wide load. Each is declared with its twin, plain Python of the same meaning, which the simulator
runs in its place, and which a kernel compiled for the processor does not need: there too the declaration counts.

All that the simulator asks of us is two attributes. What an interpreted kernel names and has a ``twin`` is that twin,
called with NumPy scalars, as it stands. A kernel's function that has ``of_scalars`` runs as it stands, too.
"""

import inspect
import threading

from numba import config

#: Whether Numba runs kernels in its simulator (``NUMBA_ENABLE_CUDASIM=1``). Numba decides when it is imported.
SIMULATED = bool(config.ENABLE_CUDASIM)


class Instruction:
    """What stands under an instruction's name in the simulator: called from Python, or compiled for the processor."""

    def __init__(self, twin, define):
        self.twin, self.__doc__ = twin, define.__doc__
        self.__name__ = define.__name__

    def __call__(self, *args):
        """Run the twin."""
        return self.twin(*args)


def instruction(twin, beside_gpu=False):
    """Declare a Numba intrinsic together with the Python twin that the simulator runs.

    With `beside_gpu` the compiled engine of the simulator knows it in every process; else only where Numba itself
    simulates (``NUMBA_ENABLE_CUDASIM=1``), and to declare it costs half as much.
    """

    def declare(define):
        if SIMULATED:
            return _compiled(Instruction(twin, define), define)
        from numba.cuda.extending import intrinsic

        made = intrinsic(define)
        made.twin = twin
        if beside_gpu:
            made.__simulated__ = _compiled(Instruction(twin, define), define)
        return made

    return declare


def _compiled(made, define):
    """Let Numba's compiler for the processor know an instruction."""
    from numba import types
    from numba.extending import lower_builtin, type_callable

    _, *others = inspect.signature(define).parameters.values()

    @type_callable(made)
    def typed(context):
        def result(*operands):
            return define(context, *operands)[0]

        result.pysig = inspect.Signature(others)
        return result

    @lower_builtin(made, types.VarArg(types.Any))
    def lowered(context, builder, signature, args):
        return define(context.typing_context, *signature.args)[1](context, builder, signature, args)

    return made


def of_scalars(kernel):
    """Mark a kernel's function as written over NumPy scalars: the simulator runs it as the Python that it is.

    For families of many kernels that tests launch once over a few elements: compiling one for the processor took 0.15
    to 1 s (ten elementwise kernels, mean 0.42 s), running it as Python 15 us an element.
    """
    kernel.of_scalars = True
    return kernel


class _Running(threading.local):
    """Whether this thread is inside of a scalar function that a kernel called."""

    scalar_function = False


running = _Running()


def in_simulated_kernel():
    """Whether a call comes from a simulated kernel rather than from the host.

    Numba's own simulator runs a CUDA thread in a Python thread of its own.
    """
    return SIMULATED and (running.scalar_function or type(threading.current_thread()).__name__ == "BlockThread")


def device_function(function):
    """A scalar function that kernels may call; in the simulator the Python function itself."""
    if SIMULATED:
        from numba.extending import register_jitable

        return register_jitable(function)
    from numba import cuda

    return cuda.jit(function, device=True)


def kernel_function(function):
    """A function that only kernels call, for it names what only they have: shuffles, barriers, shared memory."""
    if SIMULATED:
        return function
    from numba import cuda

    return cuda.jit(function, device=True, forceinline=True)

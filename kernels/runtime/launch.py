"""One launch: a kernel compiled for its types, its arguments in a row of words, one driver call.

Numba's own launch inspects every argument anew and took 38 us a call, 80-90 us with arrays of other libraries,
on a host where one driver call takes 5 (H100, driver 580).
"""

import struct

import numpy as np

from ..device.instructions import SIMULATED

if not SIMULATED:
    import ctypes

    from cuda.bindings import driver
    from numba import types

    from .memory import active, check


class Launcher:
    """Launches one kernel for one signature; compiled at the first launch on a device.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``
    signature : tuple of Numba types
        One per parameter, tuples nest; None in the simulator.
    """

    __slots__ = ("_functions", "_kernel", "_pack", "_signature")

    def __init__(self, kernel, signature):
        self._kernel, self._signature = kernel, signature
        self._functions = {}
        self._pack = None if SIMULATED else struct.Struct("=" + "".join(map(_format, signature))).pack

    def __call__(self, leading, groups, count, threads, device, stream, name):
        """Run `count` threads on `device` in the order of `stream`.

        Parameters
        ----------
        leading : tuple
            Numbers and tuples of them.
        groups : sequence of sequences
            Pointers and numbers (in the simulator: pointers of its own and numbers).
        count, threads : int
            Threads in all, and at most in a block (see `widest_block`).
        device : int
        stream : int
            Raw handle.
        name : str
            What error messages call it.
        """
        if SIMULATED:
            self._kernel[-(-count // threads), threads](*leading, *map(tuple, groups))
            return
        with active(device):
            function, most = self._functions.get(device) or self._load(device)
            threads = min(threads, most)
            words = ctypes.create_string_buffer(self._pack(*_flat(leading), *_flat(groups)))
            base, size = ctypes.addressof(words), len(words) - 1
            addresses = (ctypes.c_void_p * (size // 8))(*range(base, base + size, 8))
            found = driver.cuLaunchKernel(
                function, -(-count // threads), 1, 1, threads, 1, 1, 0, stream, ctypes.addressof(addresses), 0
            )
        check(found, f"launching {name}")

    def _load(self, device):
        compiled = self._kernel.compile(self._signature)
        # Numba holds the kernel of a library, which can be launched but not asked; the function of a context can.
        kernel = driver.CUkernel(int(compiled._codelibrary.get_cufunc().kernel.handle))
        function = check(driver.cuKernelGetFunction(kernel), "loading a kernel")
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_NUM_REGS
        registers = check(driver.cuFuncGetAttribute(attribute, function), "asking a kernel")
        self._functions[device] = function, widest_block(registers)
        return self._functions[device]


def widest_block(registers):
    """Threads of a block that a kernel of so many registers gains from at most.

    Blocks of 1024 made light kernels 0.3% to 0.8% faster than blocks of 256 (add, relu, a*x + y*sin(x): 14 to 28
    registers) and gelu, of 32, 2.8% slower (2^28 float32, H100).
    """
    return 1024 if registers < 32 else 256


def _flat(arguments):
    """Numbers out of nested tuples, complex ones as two."""
    words = []
    for argument in arguments:
        if isinstance(argument, tuple | list):
            words += _flat(argument)
        elif isinstance(argument, np.complexfloating):
            words += (argument.real, argument.imag)
        else:
            words.append(argument)
    return words


def _format(ty):
    """Of `struct`: a value in the first of eight bytes."""
    if isinstance(ty, types.BaseTuple):
        return "".join(map(_format, ty))
    if isinstance(ty, types.CPointer):
        return "Q"
    if isinstance(ty, types.Complex):
        return _format(ty.underlying_float) * 2
    if ty is types.boolean:
        return "?7x"
    dtype = np.dtype(str(ty))
    code = {"l": "q", "L": "Q"}.get(dtype.char, dtype.char)
    return f"{code}{8 - dtype.itemsize}x"

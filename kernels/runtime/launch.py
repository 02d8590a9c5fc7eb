"""One launch: a kernel compiled for its types, its arguments in a row of words, one driver call.

Numba's own launch inspects every argument anew and took 38 us a call, 80-90 us with arrays of other libraries,
on a host where this one takes under 10 (H100, driver 580). It is where Numba's private names stand, with
`kernels.runtime.arrays`.
"""

import functools
import struct

import numpy as np

from ..device.instructions import SIMULATED
from .engines import engine

if not SIMULATED:
    import ctypes

    from cuda.bindings import driver
    from numba import types

    from .memory import active, check


def launch(kernel, signature, arguments, blocks, threads, device, stream, name):
    """Run `kernel` on `device` in the order of `stream`.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``
    signature : tuple of Numba types
        One per parameter; tuples nest.
    arguments : tuple
        Matching `signature`: pointers and numbers (in the simulator: arrays and numbers).
    blocks, threads : int
    device : int
    stream : int
        Raw handle.
    name : str
        What error messages call it.
    """
    if engine() == "simulator":
        kernel[blocks, threads](*arguments)
        return
    with active(device):
        function, pack = _compiled(kernel, signature, device)
        words = ctypes.create_string_buffer(pack(*_flat(arguments)))
        base = ctypes.addressof(words)
        count = len(words) // 8
        addresses = (ctypes.c_void_p * count)(*range(base, base + 8 * count, 8))
        check(
            driver.cuLaunchKernel(
                function, blocks, 1, 1, threads, 1, 1, 0, stream or 0, ctypes.addressof(addresses), 0
            ),
            f"launching {name}",
        )


def _flat(arguments):
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _flat(argument)
        elif isinstance(argument, np.complexfloating | complex):
            yield argument.real
            yield argument.imag
        else:
            yield argument


@functools.cache
def _compiled(kernel, signature, device):
    """The driver's function of `kernel` for these types, and what packs its arguments, each in 8 bytes."""
    compiled = kernel.compile(signature)
    handle = compiled._codelibrary.get_cufunc().kernel.handle
    return driver.CUfunction(int(handle)), struct.Struct("=" + "".join(map(_format, signature))).pack


def _format(ty):
    if isinstance(ty, types.BaseTuple):
        return "".join(map(_format, ty))
    if isinstance(ty, types.CPointer):
        return "Q"
    if isinstance(ty, types.Complex):
        return _format(ty.underlying_float) * 2
    if ty is types.boolean:
        return "?7x"
    dtype = np.dtype(str(ty))
    return f"{dtype.char if dtype.char not in 'lL' else dtype.char.replace('l', 'q').replace('L', 'Q')}{8 - dtype.itemsize}x"

"""One launch: a kernel compiled for its types, its arguments in a row of words, one driver call.

Numba's own launch inspects every argument anew and took 38 us a call, 80-90 us with arrays of other libraries,
on a host where the driver alone takes 4.8 (H100, driver 580). What does not change from call to call is written once
here, and what does change in one go, so that 0.5 us are added to the driver's.
"""

import ctypes
import functools
import itertools
import struct
import threading
import weakref

import numpy as np
from cuda.bindings import driver
from numba import cuda, types

from . import images
from .memory import SUCCESS, active, check, current_device

#: What the driver answers where a kernel's context is not the current one, or a thread has none.
_ELSEWHERE = {driver.CUresult.CUDA_ERROR_INVALID_CONTEXT, driver.CUresult.CUDA_ERROR_INVALID_HANDLE}

#: Bytes of dynamic shared memory that a kernel may have without asking.
UNASKED = 48 << 10

_loading = threading.RLock()


class Program:
    """A kernel for one signature, loaded on a device when it is first launched there.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``
    signature : tuple of Numba types
        One per parameter; tuples nest.
    """

    def __init__(self, kernel, signature):
        self._kernel, self._signature = kernel, signature
        self._images, self._libraries, self._loaded = {}, {}, {}
        self._launches = weakref.WeakSet()

    def image(self, device):
        """The kernel's `Image` for a device, or None where Numba must launch it."""
        cc = tuple(cuda.gpus[device].compute_capability)
        with _loading:
            if cc not in self._images:
                self._images[cc] = images.image(self._kernel, self._signature, cc)
            return self._images[cc]

    def on(self, device):
        """The kernel's function on `device`, which is current, and whether all its blocks must run at once."""
        with _loading:
            if device not in self._loaded:
                self._loaded[device] = self._load(device)
                _when_reset(cuda.current_context(), functools.partial(_forget, weakref.ref(self), device))
            return self._loaded[device]

    def _load(self, device):
        image = self.image(device)
        if image is None:
            compiled = self._kernel.compile(self._signature)
            compiled.bind()
            kernel = driver.CUkernel(int(compiled._codelibrary.get_cufunc().kernel.handle))
            function = check(driver.cuKernelGetFunction(kernel), "loading a kernel")
            return function, compiled.cooperative
        if image not in self._libraries:  # once per process, whatever contexts come and go
            found = driver.cuLibraryLoadData(image.cubin, None, None, 0, None, None, 0)
            self._libraries[image] = check(found, "loading a kernel")
        kernel = check(driver.cuLibraryGetKernel(self._libraries[image], image.entry.encode()), "loading a kernel")
        function = check(driver.cuKernelGetFunction(kernel), "loading a kernel")
        if image.carveout is not None:
            carveout = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
            check(driver.cuFuncSetAttribute(function, carveout, image.carveout), "setting a carveout")
        return function, image.cooperative

    def follow(self, launch):
        """Have `launch` start anew when its context is gone."""
        self._launches.add(launch)

    def forget(self, device):
        """Drop what was loaded on a device."""
        self._loaded.pop(device, None)
        for launch in self._launches:
            launch.unload(device)


def _forget(program, device):
    if found := program():
        found.forget(device)


class _Loaded:
    """Stands among the modules of a context, which Numba drops when it resets the context."""


def _when_reset(context, call):
    mark = _Loaded()
    context.modules[mark] = mark
    weakref.finalize(mark, call).atexit = False


def registers(function):
    """Registers of a thread of a kernel."""
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_NUM_REGS
    return check(driver.cuFuncGetAttribute(attribute, function), "asking a kernel")


class Launch:
    """A kernel with its launch configuration and the words of its arguments, some of which change with each call.

    Parameters
    ----------
    program : Program
    device : int
    configure : callable
        ``configure(function) -> (grid, block, shared)``, with three numbers each for grid and block.
    words : sequence of int or str
        Eight bytes for each parameter, tuples, arrays and complex numbers being several: a number that stays, or
        the `struct` code of one that is given with each call (see `code`).
    name : str
        What error messages call it.

    Notes
    -----
    Several threads may call at once: each call has its own row of words, from a list of those that are free.
    """

    __slots__ = ("__weakref__", "_configure", "_device", "_name", "_order", "_program", "_stay", "rows", "run", "write")

    def __init__(self, program, device, configure, words, name):
        self._program, self._device, self._configure, self._name = program, device, configure, name
        changing = [word for word in words if isinstance(word, str)]
        self._stay = struct.pack(f"={len(words) - len(changing)}Q", *(w % 2**64 for w in words if isinstance(w, int)))
        # The words that change lie before those that stay, wherever the kernel has them: it is told each address.
        first, then = iter(range(len(changing))), iter(range(len(changing), len(words)))
        self._order = [next(first if isinstance(word, str) else then) for word in words]
        self.write = struct.Struct("=" + "".join(f"{c}{8 - struct.calcsize('=' + c)}x" for c in changing)).pack_into
        self.rows = []
        self.run = self._load
        program.follow(self)

    def __call__(self, stream, *values):
        """Launch in the order of `stream`, a raw handle, with `values` for the words that change.

        Raises
        ------
        struct.error, OverflowError
            For a number beyond its type, before anything is launched.
        DeviceError
            When the driver refuses.
        """
        # `kernels.runtime.quick` has the same lines in its code.
        try:
            row = self.rows.pop()
        except IndexError:
            row = self.row()
        self.write(row[0], 0, *values)
        status = self.run(stream, row[1], 0)[0]
        self.rows.append(row)
        if status is not SUCCESS:
            self.elsewhere(status, stream, *values)

    def row(self):
        """A new row of words, and the address of their addresses."""
        size = 8 * len(self._order)
        row = ctypes.create_string_buffer(size)
        row[size - len(self._stay) : size] = self._stay
        base = ctypes.addressof(row)
        # ctypes keeps the addresses alive as long as the row that holds them.
        row.addresses = (ctypes.c_void_p * len(self._order))(*(base + 8 * at for at in self._order))
        return row, ctypes.addressof(row.addresses)

    def load(self):
        """Compile and load the kernel, where that has not been done."""
        if self.run != self._load:
            return
        with active(self._device):
            function, cooperative = self._program.on(self._device)
            grid, block, shared = self._configure(function)
            _allow(function, shared)
            if cooperative:
                self.run = _cooperative(function, grid, block, shared)
            else:
                self.run = functools.partial(driver.cuLaunchKernel, function, *grid, *block, shared)

    def _load(self, stream, address, extra):
        self.load()
        return self.run(stream, address, extra)

    def unload(self, device):
        """Load anew at the next call, where `device` is this launch's."""
        if device == self._device:
            self.run = self._load

    def elsewhere(self, status, stream, *values):
        """Launch once more where the kernel's device was not the current one, else raise."""
        if status in _ELSEWHERE and current_device() != self._device:
            with active(self._device):
                self(stream, *values)
        else:
            check((status,), f"launching {self._name}")


class SimulatedLaunch:
    """A `Launch` in the simulator, whose kernels take Python's own tuples.

    Parameters
    ----------
    configured : kernel with its launch configuration
    arguments : callable
        ``arguments(words)``: all arguments of the kernel, from the words given with a call.
    """

    def __init__(self, configured, arguments):
        self._configured, self._arguments = configured, arguments

    def __call__(self, stream, *words):
        """Launch; streams of a simulator are none."""
        self._configured(*self._arguments(words))


def tuples(leading, sizes, words):
    """Arguments that stay, and tuples of these sizes of the words that change."""
    ahead = iter(words)
    return (*leading, *(tuple(itertools.islice(ahead, size)) for size in sizes))


def _cooperative(function, grid, block, shared):
    def launch(stream, address, _):
        return driver.cuLaunchCooperativeKernel(function, *grid, *block, shared, stream, address)

    return launch


def _allow(function, shared):
    """Ask for what a launch may have only on request: much shared memory, and clusters of more than 8 blocks."""
    attributes = driver.CUfunction_attribute
    if shared > UNASKED:
        most = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        asked = check(driver.cuFuncGetAttribute(most, function), "asking a kernel")
        if shared > asked:
            check(driver.cuFuncSetAttribute(function, most, shared), f"asking for {shared} bytes of shared memory")
    axes = (attributes.CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, attributes.CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT,
            attributes.CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH)  # fmt: skip
    cluster = [check(driver.cuFuncGetAttribute(axis, function), "asking a kernel") for axis in axes]
    if np.prod(cluster) > 8:
        unusual = attributes.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
        check(driver.cuFuncSetAttribute(function, unusual, 1), f"asking for clusters of {cluster} blocks")


def code(native):
    """`struct` codes of a value of a Numba type, one per word: two for a complex number, as many for a tuple."""
    if isinstance(native, types.BaseTuple):
        return [each for part in native for each in code(part)]
    if isinstance(native, types.CPointer):
        return ["Q"]
    if isinstance(native, types.Complex):
        return code(native.underlying_float) * 2
    if native is types.boolean:
        return ["?"]
    letter = np.dtype(str(native)).char
    return [{"l": "q", "L": "Q"}.get(letter, letter)]


def raw(value, native):
    """The words of a value of a Numba type, as integers."""
    if isinstance(native, types.BaseTuple):
        return [word for v, part in zip(value, native, strict=True) for word in raw(v, part)]
    numbers = (value.real, value.imag) if isinstance(native, types.Complex) else (value,)
    return [int.from_bytes(struct.pack("=" + c, v), "little") for c, v in zip(code(native), numbers, strict=True)]

"""Launches as the host sees them: configurations, arguments, one at a time."""

import contextlib
import functools
import math
import threading

import numpy as np

from ..errors import LaunchError
from .arrays import HostDeviceArray
from .devices import ATTRIBUTES, current_device
from .signatures import cast, fitting, only, typeof
from .streams import wait_for

#: Threads of a block that `forall` takes where nobody says: four warps.
FORALL_THREADS = 128


class Target:
    """Where launches go: the functions and the options that `host.patch` was given."""

    launch = None
    options = None
    compile = None


_lock = threading.Lock()
_launching = threading.local()


@contextlib.contextmanager
def _alone(name):
    """One launch at a time, whatever host threads ask."""
    if getattr(_launching, "name", None):
        raise LaunchError(f"{name} was launched from inside a launch of {_launching.name}")
    with _lock:
        _launching.name = name
        try:
            yield
        finally:
            _launching.name = None


class Configured:
    """A kernel with a grid, as ``kernel[grid, block, stream, shared]`` makes it."""

    def __init__(self, dispatcher, griddim, blockdim, stream=0, sharedmem=0):
        self.dispatcher, self.stream, self.sharedmem = dispatcher, stream, sharedmem
        self.griddim, self.blockdim = dimensions(griddim, blockdim)
        self.pre_launch_callbacks = []

    def __call__(self, *args):
        """Launch it."""
        kernel = self.dispatcher
        if kernel.targetoptions["device"]:
            raise RuntimeError(f"Cannot compile a device function as a kernel: {kernel.__name__}")
        _check_configuration(kernel.__name__, self.griddim, self.blockdim, self.sharedmem, most_threads(kernel))
        _check_count(kernel, args)
        retr = []
        wait_for(self.stream)
        with _alone(kernel.__name__):
            args = [_extended(kernel, value, self.stream, retr) for value in args]
            args = [_argument(value, self.stream, retr, f"argument {k}") for k, value in enumerate(args)]
            args, types = _cast(kernel, args)
            for callback in self.pre_launch_callbacks:
                callback(kernel, self)
            options = Target.options
            if kernel.targetoptions["debug"] and hasattr(options, "debug"):
                options = options._replace(engine="interpreted", debug=True)
            Target.launch(kernel.fn, self.griddim, self.blockdim, tuple(args), self.sharedmem, options, types)
            for write_back in retr:
                write_back()

    def __getattr__(self, name):
        return getattr(self.__dict__["dispatcher"], name)


class ForAll:
    """A kernel for a number of tasks, as ``kernel.forall(n)`` makes it."""

    def __init__(self, dispatcher, ntasks, tpb, stream, sharedmem):
        if ntasks < 0:
            raise LaunchError(f"Can't create ForAll with negative task count: {ntasks}")
        self.dispatcher, self.ntasks = dispatcher, ntasks
        self.thread_per_block = tpb or min(FORALL_THREADS, most_threads(dispatcher))
        self.stream, self.sharedmem = stream, sharedmem

    def __call__(self, *args):
        """Launch it, unless there is nothing to do."""
        if self.ntasks:
            blocks = -(-self.ntasks // self.thread_per_block)
            self.dispatcher[blocks, self.thread_per_block, self.stream, self.sharedmem](*args)


def dimensions(grid, block):
    """A grid and a block as triples.

    Raises
    ------
    LaunchError
        For more than three axes, and where there is none.
    TypeError
        For what is no integer.
    """
    from numba.cuda.errors import normalize_kernel_dimensions

    try:
        grid, block = normalize_kernel_dimensions(grid, block)
    except ValueError as error:
        raise LaunchError(str(error)) from None
    return tuple(map(int, grid)), tuple(map(int, block))


def most_threads(kernel):
    """Threads that a block of a kernel may have."""
    bounds = kernel.targetoptions.get("launch_bounds")
    first = bounds[0] if isinstance(bounds, tuple | list) else bounds
    return min(first or ATTRIBUTES["MAX_THREADS_PER_BLOCK"], ATTRIBUTES["MAX_THREADS_PER_BLOCK"])


@functools.lru_cache(maxsize=1024)
def _check_configuration(name, grid, block, shared, most):
    """What the driver refuses, before anything runs."""
    for what, sizes in (("GRID", grid), ("BLOCK", block)):
        for axis, size in zip("XYZ", sizes, strict=True):
            limit = ATTRIBUTES[f"MAX_{what}_DIM_{axis}"]
            if not 0 < size <= limit:
                raise LaunchError(f"{name}: the {what.lower()} {sizes} must have 1 to {limit} along {axis.lower()}")
    threads = math.prod(block)
    if threads > most:
        limit = "launch_bounds of the kernel" if most < ATTRIBUTES["MAX_THREADS_PER_BLOCK"] else "device"
        raise LaunchError(f"{name}: {threads} threads per block, and the {limit} allows {most}")
    limit = ATTRIBUTES["MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"]
    if not 0 <= shared <= limit:
        raise LaunchError(f"{name}: {shared} bytes of dynamic shared memory; a block has 0 to {limit}")


def _check_count(kernel, args):
    code = getattr(kernel.fn, "__code__", None)
    if code is None or code.co_flags & 0x04:  # *args
        return
    most, least = code.co_argcount, code.co_argcount - len(kernel.fn.__defaults__ or ())
    if not least <= len(args) <= most:
        raise TypeError(f"{kernel.__name__} takes {most} arguments, got {len(args)}")


def _extended(kernel, value, stream, retr):
    """An argument after the kernel's extensions, from the last to the first, as on hardware."""
    if kernel.extensions:
        ty = None
        for extension in reversed(kernel.extensions):
            ty, value = extension.prepare_args(ty, value, stream=stream, retr=retr)
    return value


def _argument(value, stream, retr, name):
    """What the engine gets for an argument: device memory as a NumPy array, a scalar, or a tuple of them.

    Host arrays and records are copied to the device, and back after the launch.
    """
    devicearray, hints = _numba()
    if isinstance(value, tuple):
        items = [_argument(v, stream, retr, f"{name}[{k}]") for k, v in enumerate(value)]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list | dict | set | str | bytes | bytearray):
        raise TypeError(f"{name} is a {type(value).__name__}, which no kernel takes")
    if isinstance(value, np.ndarray) and not isinstance(value, HostDeviceArray) and not value.flags.writeable:
        constant = devicearray.auto_device(value, stream=stream)[0]._argument()
        constant.flags.writeable = False
        return constant
    if isinstance(value, np.ndarray) or (isinstance(value, np.void) and value.dtype.names):
        value = hints.InOut(value)
    if isinstance(value, hints.ArgHint):
        value = value.to_device(retr, stream)
    elif not isinstance(value, devicearray.FakeCUDAArray) and hasattr(value, "__cuda_array_interface__"):
        value = devicearray.auto_device(value)[0]
    if isinstance(value, HostDeviceArray):
        return value.view(np.ndarray)
    if isinstance(value, devicearray.FakeCUDAArray):
        _check_device(value, name)
        return value._argument()
    return value


@functools.cache
def _numba():
    """Numba's modules of fake arrays and of argument hints."""
    from numba.cuda import args
    from numba.cuda.simulator.cudadrv import devicearray

    return devicearray, args


def _check_device(array, name):
    here = current_device()
    if array._device == here:
        return
    from numba import cuda

    if array._device not in cuda.gpus[here].peers:
        raise LaunchError(
            f"{name} is on device {array._device}, and the kernel runs on device {here}, which has no access to it"
        )


def _cast(kernel, args):
    """Arguments cast to the signature that fits, and its types; with none declared, those of the overload are noted."""
    found = only(kernel.declared, args, kernel.fn) if kernel.specialized else fitting(kernel.declared, args, kernel.fn)
    if found is not None:
        return [cast(ty, value) for ty, value in zip(found, args, strict=True)], found
    kind = tuple(map(_kind, args))
    if kind not in kernel._seen:
        kernel._seen[kind] = _types(args)
    return args, None


def _types(args):
    """Numba's types; None where an argument is known to the simulator only."""
    try:
        return tuple(map(typeof, args))
    except ValueError:
        return None


def _kind(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.c_contiguous, value.flags.f_contiguous
    return tuple(map(_kind, value)) if isinstance(value, tuple) else type(value)

"""Arrays in and arrays out.

Every argument becomes an `Operand`: where its memory is, how it lies there, and which library it came from. What
is on a device is used in place, never copied; what is not is NumPy's business. Results are made by the library
of the first device array among the arguments (`empty`), so that it may free or recycle them in its own way.

Source: CUDA Array Interface, version 3, https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html;
Python array API standard, "Data interchange mechanisms" (DLPack).
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from cuda.bindings import driver

from ..device.instructions import SIMULATED
from . import frameworks, numba_arrays
from .engines import recorder
from .layouts import KEPT
from .memory import check, current_device, follow

#: What kernels compute with.
DTYPES = tuple(np.dtype(c) for c in "?bhilqBHILQefdFD")
SUPPORTED = "bool, int8 to int64, uint8 to uint64, float16, float32, float64, complex64, complex128"

#: Python's own scalars (all but bool are weak in promotion, NEP 50) and what they are where nothing is stronger.
_WEAK_DTYPES = {bool: np.dtype("?"), int: np.dtype("q"), float: np.dtype("d"), complex: np.dtype("D")}


class DeviceMismatchError(ValueError):
    """Arrays of one call lie on different devices."""


@dataclass(slots=True)
class Operand:
    """An argument as a kernel sees it; strides count elements.

    `device` is None for host memory, and then `memory` is the NumPy view of it (a copy, where the array's own
    layout is beyond a kernel: unaligned, or strides that are no multiple of the item size). `weak` is the type of a
    Python scalar, `buffer` the memory of a result that is ours. `array` is what the user gave or gets.
    """

    name: str
    library: str
    array: Any
    dtype: np.dtype
    shape: tuple
    strides: tuple
    pointer: int = 0
    device: int | None = None
    stream: int | None = None
    writable: bool = True
    weak: type | None = None
    memory: np.ndarray | None = None
    buffer: Any = None


@functools.lru_cache(maxsize=KEPT)
def span(shape, strides):
    """First and past-the-last element, counted from the pointer, that an array without empty axes reaches."""
    steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return sum(min(step, 0) for step in steps), 1 + sum(max(step, 0) for step in steps)


@functools.lru_cache(maxsize=KEPT)
def folds(shape, strides):
    """Whether elements may share a place: an axis whose stride does not clear what the smaller ones reach."""
    reach = 0
    for stride, n in sorted((abs(s), n) for s, n in zip(strides, shape, strict=True) if n > 1):
        if stride <= reach:
            return True
        reach += (n - 1) * stride
    return False


class _Described:
    """Where an operand's memory is, as NumPy's array interface."""

    def __init__(self, x):
        steps = tuple(s * x.dtype.itemsize for s in x.strides)
        self.__array_interface__ = {
            "data": (x.pointer, True), "shape": x.shape, "strides": steps, "typestr": x.dtype.str, "version": 3,
        }  # fmt: skip


def described(x):
    """A NumPy array over an operand's addresses, to be asked where it is; nothing may be read through it."""
    return np.asarray(_Described(x))


def operand(value, name):
    """The `Operand` of any argument that stands for an array.

    Raises
    ------
    TypeError
        For what is no array of numbers, and for unsupported dtypes; the message names the argument.
    """
    if type(value) in _WEAK_DTYPES:
        weak = None if type(value) is bool else type(value)
        return Operand(name, "python", value, _WEAK_DTYPES[type(value)], (), (), weak=weak)
    if isinstance(value, np.ndarray | np.generic | list | tuple):
        return _host(value, name, "numpy")
    if isinstance(value, int | float | complex):  # an IntEnum, say
        base = next(kind for kind in (int, float, complex) if isinstance(value, kind))
        return Operand(name, "python", base(value), _WEAK_DTYPES[base], (), (), weak=base)
    library = library_of(type(value))
    if library == "torch":
        return _torch(value, name)
    if library == "cupy":
        return _cupy(value, name)
    if library == "jax":
        return _jax(value, name)
    if SIMULATED and library == "numba":
        return _host(value, name, "numba", value._ary)
    if hasattr(value, "__cuda_array_interface__"):
        return _interface(value, name, "numba" if library == "numba" else "interface")
    if hasattr(value, "__dlpack__"):
        return _dlpack(value, name)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return _host(value, name, "numpy")
    raise TypeError(
        f"{name} must be an array of numbers (NumPy, Numba, CuPy, PyTorch, JAX, or anything with "
        f"__cuda_array_interface__ or __dlpack__), a number or a list of numbers, got {type(value).__qualname__}"
    )


@functools.cache
def library_of(kind):
    """The library that a class comes from, or its first base that comes from one of ours."""
    ours = {"cupy": "cupy", "jax": "jax", "jaxlib": "jax", "numba": "numba", "numba_cuda": "numba", "torch": "torch"}
    roots = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((ours[root] for root in roots if root in ours), None)


def _check_dtype(dtype, name):
    dtype = np.dtype(dtype)
    if not dtype.isnative or dtype not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype}; supported are {SUPPORTED} in native byte order")
    return dtype


def _elements(strides, dtype, name):
    """Byte strides as element strides."""
    if any(s % dtype.itemsize for s in strides):
        raise ValueError(f"{name} has strides {tuple(strides)} that are no multiples of its item size {dtype.itemsize}")
    return tuple(s // dtype.itemsize for s in strides)


def contiguous_strides(shape, order="C"):
    """Element strides of an array without gaps."""
    strides, step = [0] * len(shape), 1
    for axis in range(len(shape)) if order == "F" else reversed(range(len(shape))):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def _host(value, name, library, memory=None):
    try:
        memory = np.asarray(value if memory is None else memory)
    except ValueError as error:
        raise ValueError(f"{name} is no rectangular list of numbers: {error}") from None
    if memory.dtype.newbyteorder("=") in DTYPES and not memory.dtype.isnative:
        memory = memory.astype(memory.dtype.newbyteorder("="))
    dtype = _check_dtype(memory.dtype, name)
    writable = (memory.flags.writeable and isinstance(value, np.ndarray)) or library == "numba"
    if not memory.flags.aligned or any(s % dtype.itemsize for s in memory.strides):
        memory = memory.copy()
    strides = _elements(memory.strides, dtype, name)
    return Operand(
        name,
        library,
        value,
        dtype,
        memory.shape,
        strides,
        memory.ctypes.data,
        writable=writable,
        memory=memory,
    )


@functools.cache
def _torch_dtypes():
    """PyTorch's dtype -> NumPy's."""
    import torch

    names = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64 complex64 complex128"
    return {getattr(torch, name): np.dtype(name) for name in names.split()}


@functools.cache
def _torch_stream_function():
    """Answers with PyTorch's current stream: 0.2 us by the function that Triton launches with, 8 by the public one."""
    import torch

    public = torch.cuda.current_stream
    return getattr(torch._C, "_cuda_getCurrentRawStream", None) or (lambda device: public(device).cuda_stream)


def _torch_stream(device):
    return _torch_stream_function()(device)


def _torch(value, name):
    tensor = frameworks.readable(value, name)
    dtype = _torch_dtypes().get(tensor.dtype)
    if dtype is None:
        raise TypeError(f"{name} has dtype {tensor.dtype}; supported are {SUPPORTED}")
    if tensor.is_conj() or tensor.is_neg():
        value = tensor = tensor.resolve_conj().resolve_neg()
    if tensor.is_cuda:
        shape, strides = tuple(tensor.shape), tensor.stride()
        return Operand(name, "torch", value, dtype, shape, strides, tensor.data_ptr(), tensor.get_device())
    if tensor.device.type != "cpu":
        raise TypeError(f"{name} is on device {tensor.device}; use one on the CPU or a CUDA device")
    host = _host((tensor.detach() if tensor.requires_grad else tensor).numpy(), name, "numpy")
    host.library, host.array = "torch", value
    return host


def _cupy(array, name):
    dtype = _check_dtype(array.dtype, name)
    strides = _elements(array.strides, dtype, name)
    return Operand(name, "cupy", array, dtype, array.shape, strides, array.data.ptr, array.device.id)


def producer(x):
    """What answers with the stream that a device array's library works on at that moment."""
    if x.library == "torch":
        return functools.partial(_torch_stream_function(), x.device)
    if x.library == "cupy":
        import cupy

        device, current = x.device, cupy.cuda.get_current_stream
        return lambda: current(device).ptr
    stream = x.stream
    return lambda: stream


def producer_stream(x):
    """The stream that a device array's library works on now."""
    return x.stream if x.library not in ("torch", "cupy") else producer(x)()


def _jax(array, name):
    frameworks.jax_array(array, name)
    _check_dtype(array.dtype, name)
    devices = list(array.devices())
    if len(devices) != 1:
        raise ValueError(f"{name} is spread over {len(devices)} devices; use an array on one")
    if devices[0].platform == "cpu":
        host = _host(np.asarray(array), name, "numpy")
        host.library, host.array, host.writable = "jax", array, False
        return host
    # JAX has no current stream to wait on: its array is complete once it is ready.
    array.block_until_ready()
    found = _interface(array, name, "jax")
    found.writable = False
    return found


def _interface(array, name, library):
    described = array.__cuda_array_interface__
    dtype = _check_dtype(described["typestr"], name)
    shape = tuple(described["shape"])
    strides = described.get("strides")
    pointer, read_only = described["data"]
    if described.get("mask") is not None:
        raise TypeError(f"{name} has a mask, which is not supported")
    stream = described.get("stream")
    return Operand(
        name, library, array, dtype, shape,
        contiguous_strides(shape) if strides is None else _elements(strides, dtype, name),
        pointer or 0, _device_of(pointer), 0 if stream in (None, 1) else stream, not read_only,
    )  # fmt: skip


def _dlpack(array, name):
    from cuda.core.utils import StridedMemoryView

    if array.__dlpack_device__()[0] == 1:  # kDLCPU
        return _host(np.from_dlpack(array), name, "numpy")
    # 1 is the legacy stream, which the exporter makes wait for what it has under way.
    view = StridedMemoryView.from_dlpack(array, stream_ptr=1)
    dtype = _check_dtype(view.dtype, name)
    strides = view.strides if view.strides is not None else contiguous_strides(view.shape)
    return Operand(
        name, "interface", array, dtype, tuple(view.shape), tuple(strides), view.ptr, view.device_id, 0,
        not view.readonly,
    )  # fmt: skip


def _device_of(pointer):
    attribute = driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    if not pointer:
        return current_device() or 0
    return int(check(driver.cuPointerGetAttribute(attribute, pointer), "finding the device of an array"))


def empty(shape, dtype, like, device, stream, order="C", name="the result"):
    """An uninitialised array of `like`'s library on `device`, ordered on `stream`, as an `Operand`.

    A host `like` gives NumPy memory, or PyTorch's for a PyTorch CPU tensor.
    """
    if device is None:
        return _empty_host(shape, dtype, like, order, name)
    shape, order = tuple(shape), "C" if like.library == "jax" else order
    make = {"torch": _empty_torch, "cupy": _empty_cupy, "jax": _empty_jax}.get(like.library, _empty_numba)
    try:
        array, pointer, buffer = make(shape, np.dtype(dtype), order, like, device, stream)
    except Exception as error:
        # PyTorch raises a RuntimeError, CuPy and we a MemoryError, JAX speaks of RESOURCE_EXHAUSTED.
        if "out of memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MemoryError(f"{name} of shape {shape} and dtype {dtype} does not fit in memory: {error}") from error
    return Operand(
        name,
        like.library,
        array,
        np.dtype(array.dtype if like.library == "jax" else dtype),
        shape,
        contiguous_strides(shape, order),
        pointer,
        device,
        stream,
        buffer=buffer,
    )


def _empty_host(shape, dtype, like, order, name):
    memory = np.empty(shape, dtype, order=order)
    library, array = "numpy" if like is None else like.library, memory
    if library == "torch":
        import torch

        array = torch.from_numpy(memory)
        frameworks.concrete(array, name)
    elif library == "numba":
        array = type(like.array)(memory)
    found = _host(memory, name, "numpy")
    found.library, found.array = library, array
    return found


def result(found):
    """What the user gets of a finished result: NumPy's scalar for NumPy's 0-d array, JAX's array for JAX's."""
    if found.library == "numpy":
        return found.array[()]
    if found.library == "jax":
        if found.device is None:
            import jax

            return jax.numpy.asarray(found.memory)
        # JAX has no stream that could be told to wait.
        check(driver.cuStreamSynchronize(found.stream), f"computing {found.name}")
    return found.array


def maker(like, shape, dtype, order, device):
    """What makes uninitialised arrays of `like`'s library, in the order of the stream that this works on.

    For PyTorch, CuPy and Numba; it raises what these raise. What is returned knows nothing of `like`.
    """
    strides = contiguous_strides(shape, order)
    if like.library == "torch":
        import torch

        kind, where = getattr(torch, dtype.name), torch.device("cuda", device)
        return functools.partial(torch.empty_strided, shape, strides, dtype=kind, device=where)
    if like.library == "cupy":
        import cupy

        def make():
            if cupy.cuda.runtime.getDevice() == device:
                return cupy.ndarray(shape, dtype, order=order)
            with cupy.cuda.Device(device):
                return cupy.ndarray(shape, dtype, order=order)

        return make
    return numba_arrays.maker(shape, strides, dtype, device, 0)


def _empty_torch(shape, dtype, order, like, device, stream):
    import torch

    make = maker(like, shape, dtype, order, device)
    if stream == _torch_stream(device):
        array = make()
    else:
        with torch.cuda.stream(torch.cuda.ExternalStream(stream, device=torch.device("cuda", device))):
            array = make()
    return array, frameworks.concrete(array, "the result"), None


def _empty_cupy(shape, dtype, order, like, device, stream):
    import cupy

    with cupy.cuda.Device(device), _cupy_stream(stream, device):
        array = maker(like, shape, dtype, order, device)()
    return array, array.data.ptr, None


class _Handle:
    """A raw handle under the protocol that CuPy takes streams by."""

    def __init__(self, handle):
        self._handle = handle

    def __cuda_stream__(self):
        return 0, self._handle


def _cupy_stream(stream, device):
    import cupy

    if stream == cupy.cuda.get_current_stream(device).ptr:
        return contextlib.nullcontext()
    if hasattr(cupy.cuda.Stream, "from_external"):  # CuPy 14
        return cupy.cuda.Stream.from_external(_Handle(stream))
    return cupy.cuda.ExternalStream(stream, device)


def _empty_jax(shape, dtype, order, like, device, stream):
    import jax

    # A fresh buffer that nobody else holds yet; JAX arrays are immutable for their readers, of whom there are none.
    dtype = jax.dtypes.canonicalize_dtype(dtype)  # float32 for float64, unless jax_enable_x64
    (place,) = like.array.devices()
    with jax.default_device(place):
        array = jax.numpy.empty(shape, dtype)
    return array, array.block_until_ready().unsafe_buffer_pointer(), None


def _empty_numba(shape, dtype, order, like, device, stream):
    array = numba_arrays.maker(shape, contiguous_strides(shape, order), dtype, device, stream)()
    return array, array.gpu_data._buffer.pointer, array.gpu_data._buffer


def placement(operands, stream):
    """Device, stream and model for the results of a call over `operands`.

    The stream is made to wait for the streams that the arrays' libraries work on now.

    Returns
    -------
    device : int or None
        None where all arrays are in host memory.
    stream : int or None
        The handle asked for, else the current stream of the first device array's library.
    like : Operand or None
        The operand whose library makes the results.

    Raises
    ------
    DeviceMismatchError
        When two arrays lie on different devices.
    """
    on_device = [x for x in operands if x.device is not None]
    if not on_device:
        hosts = [x for x in operands if x.library not in ("python", "numpy")]
        return None, stream, hosts[0] if hosts else None
    first = on_device[0]
    for other in on_device[1:]:
        if other.device != first.device:
            raise DeviceMismatchError(
                f"{other.name} is on device {other.device}, {first.name} on device {first.device}; "
                "all arrays of a call must be on one device"
            )
    if (recording := recorder()) is not None:
        return first.device, recording.take(on_device, stream), first
    producers = {x.library if x.stream is None else x.stream: x for x in on_device}
    streams = [producer_stream(x) for x in producers.values()]
    if stream is None:
        stream = streams[0]
    for producer in streams:
        follow(stream, producer, first.device)
    return first.device, stream, first


def stream_handle(stream):
    """The raw handle of a stream of Numba, cuda.core, CuPy or PyTorch, or of an integer; None for None.

    Raises
    ------
    TypeError
        For anything else.
    """
    if stream is None or (isinstance(stream, int) and not isinstance(stream, bool)):
        return stream
    if not hasattr(stream, "__cuda_stream__") and hasattr(getattr(stream, "stream", None), "__cuda_stream__"):
        stream = stream.stream  # cuda.core's GraphBuilder
    if hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__
        return int((protocol() if callable(protocol) else protocol)[1])
    for attribute in ("cuda_stream", "ptr"):  # PyTorch, CuPy
        if isinstance(getattr(stream, attribute, None), int):
            return getattr(stream, attribute)
    if SIMULATED and type(stream).__module__.startswith("numba"):
        return 0
    raise TypeError(
        "stream must be a stream of Numba, cuda.core, CuPy or PyTorch, a raw handle or None, "
        f"got {type(stream).__qualname__}"
    )


class Pointer:
    """The address of an array's first element, in the simulator: indices count elements of memory from there."""

    __slots__ = ("_flat", "_start", "dtype")

    def __init__(self, array):
        low, high = span(array.shape, tuple(s // array.itemsize for s in array.strides))
        lowest = array[(..., *(slice(-1, None) if s < 0 else slice(0, 1) for s in array.strides))]
        self._flat = np.lib.stride_tricks.as_strided(
            lowest, (high - low,), (array.itemsize,), writeable=array.flags.writeable
        )
        self._start, self.dtype = -low, array.dtype

    def _index(self, k):
        at = int(k) + self._start
        if not 0 <= at < self._flat.size:
            raise IndexError(f"element {k} is outside of the array's memory")
        return at

    def __getitem__(self, k):
        return self._flat[self._index(k)]

    def __setitem__(self, k, value):
        self._flat[self._index(k)] = value

    @property
    def reach(self):
        """The memory that it reaches, and the number of the element in it that it points at."""
        return self._flat, self._start

    def part(self, k):
        """The address of the real part of a complex number, or of its imaginary part."""
        part = Pointer.__new__(Pointer)
        part._flat = self._flat.view(self.dtype.char.lower())
        part._start, part.dtype = 2 * self._start + k, part._flat.dtype
        return part

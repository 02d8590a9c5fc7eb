"""Arrays on the simulated devices: Numba's fake arrays with the rest of their interface.

`METHODS` take the place of methods of Numba's ``FakeCUDAArray``, so that arrays made before the simulator was
installed gain them too. A device array is host memory with the number of the device it belongs to.

Memory that nobody wrote is filled with NaN, -1 or the largest value, so that whoever reads it sees it.

Source: CUDA Array Interface, version 3, https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html.
"""

import ctypes

import numpy as np
from numba.core.typing.typeof import typeof

from .devices import current_device
from .streams import wait_for


def unwritten(array):
    """Fill a new array with values that show: NaN, -1, the largest, True."""
    if array.dtype.names:
        for name in array.dtype.names:
            unwritten(array[name])
    elif array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind in "biu":
        array.fill(_shown(array.dtype))
    elif array.dtype.kind in "mM":
        array.fill(np.array("NaT", array.dtype))
    return array


#: What a device's memory is given out in, in bytes: arrays begin at a multiple, and the rest of the last one is theirs.
GRANULE = 256


def allocated(shape, dtype, strides=None, order="C"):
    """A new array of a device: it lies as the driver's allocator lays it, so that a little too far is no crash."""
    plain = np.ndarray(shape, dtype, strides=strides, order=order)
    room = np.empty(-(-plain.nbytes // GRANULE) * GRANULE + GRANULE, np.uint8)
    return np.ndarray(shape, dtype, room, -room.ctypes.data % GRANULE, strides, order)


def _shown(dtype):
    return True if dtype.kind == "b" else -1 if dtype.kind == "i" else np.iinfo(dtype).max


def address(memory):
    """Where an array begins; 0 where it is empty, as on a GPU."""
    return memory.__array_interface__["data"][0] if memory.size else 0


def interface(memory, stream):
    """The ``__cuda_array_interface__`` of host memory."""
    return {
        "shape": tuple(memory.shape),
        "strides": None if memory.flags.c_contiguous else memory.strides,
        "data": (address(memory), False),
        "typestr": memory.dtype.str,
        "stream": int(stream) or None if stream else None,
        "version": 3,
    }


class _Methods:
    """What `FakeCUDAArray` has, and lacks."""

    _device = 0
    _record = False

    def __init__(self, ary, stream=0):
        self._ary = ary
        self.stream = stream
        self._device = current_device()

    def __getattr__(self, name):
        # Not the ways by which NumPy would share the memory: a device's memory cannot be shared with the host.
        if name.startswith("__") or name == "_ary":
            raise AttributeError(f"device arrays have no attribute {name!r}")
        try:
            return getattr(self._ary, name)
        except AttributeError:
            raise AttributeError(f"Wrapped array has no attribute '{name}'") from None

    def _like(self, memory, stream=None, record=False):
        view = type(self)(memory, stream or self.stream)
        view._device, view._record = self._device, record
        return view

    @property
    def _numba_type_(self):
        ty = typeof(self._argument())
        # With a stride of 0 there is no layout that a kernel could rely on.
        return ty.copy(layout="A") if self.size and 0 in self.strides else ty

    def _argument(self):
        """What a kernel gets."""
        if isinstance(self._ary, np.void):
            return self._ary
        memory = self._ary.view(np.ndarray)
        return memory[()] if self._record else memory

    @property
    def gpu_data(self):
        return self

    @property
    def device_pointer(self):
        """Address of the memory."""
        return address(self._ary)

    @property
    def device_ctypes_pointer(self):
        return ctypes.c_void_p(address(self._ary))

    @property
    def __cuda_array_interface__(self):
        return interface(self._ary, self.stream)

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("`copy=False` is not supported. A copy is always created.")
        return np.array(self._ary, dtype)

    def bind(self, stream=0):
        return self._like(self._ary, stream, self._record)

    def transpose(self, axes=None):
        return self._like(np.transpose(self._ary, axes=axes))

    def __getitem__(self, item):
        return self.getitem(item)

    def getitem(self, item, stream=0):
        wait_for(stream or self.stream)
        found = self._ary[item]
        if self._record and isinstance(found, np.ndarray) and not found.shape:
            return self._like(found, stream, True) if found.dtype.names else found[()]
        if isinstance(found, np.void):
            # A record that is a view, as an array without axes.
            return self._like(self._ary[(*item, ...) if isinstance(item, tuple) else (item, ...)], stream, True)
        return self._like(found, stream) if isinstance(found, np.ndarray) else found

    def __setitem__(self, item, value):
        self.setitem(item, value)

    def setitem(self, item, value, stream=0):
        wait_for(stream or self.stream)
        self._ary[item] = getattr(value, "_ary", value)

    def copy_to_host(self, ary=None, stream=0):
        wait_for(stream or self.stream)
        if ary is None:
            ary = np.empty_like(self._ary)
        elif isinstance(ary, np.void):
            for name in ary.dtype.names:
                ary[name] = self._ary[name]
            return ary
        else:
            _compatible(self._ary, ary)
        np.copyto(ary, self._ary)
        return ary

    def squeeze(self, axis=None, stream=0):
        return self._like(self._ary.squeeze(axis), stream)

    def ravel(self, *args, **kwargs):
        stream = kwargs.pop("stream", 0)
        return self._like(self._ary.ravel(*args, **kwargs), stream)

    def reshape(self, *args, **kwargs):
        return self._like(self._ary.reshape(*args, **kwargs))

    def view(self, *args, **kwargs):
        return self._like(self._ary.view(*args, **kwargs))

    def split(self, section, stream=0):
        return [self._like(self._ary[k : k + section], stream) for k in range(0, len(self), section)]


METHODS = {
    name: value
    for name, value in vars(_Methods).items()
    if name not in ("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__")
}


def _compatible(memory, other):
    if memory.dtype != other.dtype:
        raise TypeError(f"incompatible dtype: {memory.dtype} vs. {other.dtype}")
    mine, its = memory.squeeze(), other.squeeze()
    if mine.shape != its.shape:
        raise ValueError(f"incompatible shape: {memory.shape} vs. {other.shape}")
    if mine.strides != its.strides:
        raise ValueError(f"incompatible strides: {memory.strides} vs. {other.strides}")


class _Arrays(type):
    """The class of ``DeviceNDArray``: it makes Numba's fake arrays as hardware's are made, and knows them."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, cls.fake)

    def __call__(cls, shape, strides, dtype, stream=0, gpu_data=None):
        shape = shape if isinstance(shape, tuple | list) else (shape,)
        if gpu_data is None:
            return cls.fake(unwritten(np.ndarray(shape, dtype, strides=strides)), stream)
        memory = gpu_data._ary if dtype == gpu_data.dtype else gpu_data._ary.view(dtype)
        return gpu_data._like(np.lib.stride_tricks.as_strided(memory, shape, strides), stream)


class _Records(_Arrays):
    """The class of ``DeviceRecord``."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, cls.fake) and instance._record

    def __call__(cls, dtype, stream=0, gpu_data=None):
        memory = unwritten(np.empty((), dtype)) if gpu_data is None else gpu_data._ary
        return (cls.fake(memory) if gpu_data is None else gpu_data)._like(memory, stream, record=True)


def device_classes(devicearray):
    """Hardware's names for the classes of device arrays."""
    own = {"fake": devicearray.FakeCUDAArray, "__doc__": "Memory of a device."}
    return {
        "DeviceNDArray": _Arrays("DeviceNDArray", (), own),
        "DeviceRecord": _Records("DeviceRecord", (), own),
        "MappedNDArray": MappedNDArray,
        "ManagedNDArray": ManagedNDArray,
    }


class HostDeviceArray(np.ndarray):
    """Host memory that kernels use in place, on every device."""

    __cuda_ndarray__ = True
    stream = 0

    @property
    def __cuda_array_interface__(self):
        """The memory, to whoever takes CUDA arrays."""
        return interface(self, self.stream)

    @property
    def gpu_data(self):
        """The array itself."""
        return self

    @property
    def alloc_size(self):
        """Bytes."""
        return self.nbytes

    @property
    def device_pointer(self):
        """The address of the memory, as a number."""
        return address(self)

    @property
    def device_ctypes_pointer(self):
        """The address of the memory."""
        return ctypes.c_void_p(address(self))

    def is_c_contiguous(self):
        """Whether the last axis lies close."""
        return self.flags.c_contiguous

    def is_f_contiguous(self):
        """Whether the first axis lies close."""
        return self.flags.f_contiguous

    def bind(self, stream=0):
        """The array with another default stream."""
        view = self.view()
        view.stream = stream
        return view

    def copy_to_host(self, ary=None, stream=0):
        """A copy, or `ary` with the values."""
        wait_for(stream or self.stream)
        if ary is None:
            return np.array(self)
        np.copyto(ary, self)
        return ary

    def copy_to_device(self, ary, stream=0):
        """Take the values of `ary`."""
        wait_for(stream or self.stream)
        np.copyto(self, np.asarray(ary))


class MappedNDArray(HostDeviceArray):
    """``cuda.mapped_array``."""


class ManagedNDArray(HostDeviceArray):
    """``cuda.managed_array``."""

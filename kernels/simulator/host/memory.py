"""The functions of ``numba.cuda`` that make arrays and take those of others."""

import contextlib

import numpy as np

from ..errors import SimulatorError
from .arrays import HostDeviceArray, ManagedNDArray, MappedNDArray, allocated, unwritten
from .streams import external_stream, wait_for

#: Libraries whose CUDA arrays lie on a real GPU.
_ON_A_GPU = ("cuda", "cudf", "cupy", "jax", "jaxlib", "rmm", "torch")


class _Described:
    """Memory that someone else owns, as NumPy's array interface."""

    def __init__(self, description, owner):
        self.owner = owner
        self.__array_interface__ = {
            key: value for key, value in description.items() if key in ("shape", "typestr", "strides", "descr")
        } | {"data": (description["data"][0], False), "version": 3}


def _host_array(kind, shape, dtype, strides, order, stream):
    array = unwritten(np.ndarray(shape, dtype, strides=strides, order=order)).view(kind)
    array.stream = stream
    return array


def _synchronizes():
    """Whether the stream of an imported array is waited for."""
    from numba import config, cuda

    return getattr(getattr(cuda, "config", config), "CUDA_ARRAY_INTERFACE_SYNC", True)


def array_functions(devicearray):
    """The functions of ``numba.cuda`` that make arrays, over Numba's module of fake arrays, by name."""
    fake = devicearray.FakeCUDAArray
    copied = devicearray.to_device

    def to_device(obj, stream=0, copy=True, to=None):
        wait_for(stream)
        if to is not None:
            if copy:
                to.copy_to_device(obj, stream=stream)
            return to
        if isinstance(obj, fake):
            obj = obj._ary
        array = copied(np.asarray(obj) if isinstance(obj, HostDeviceArray) else obj, stream)
        array.stream = stream
        array._record = isinstance(obj, np.void)
        if not copy:
            unwritten(array._ary)
        return array

    def auto_device(ary, stream=0, copy=True):
        if isinstance(ary, fake | HostDeviceArray):
            return ary, False
        if is_cuda_array(ary):
            return as_cuda_array(ary), False
        return to_device(ary, stream, copy), True

    def device_array(shape, dtype=np.float64, strides=None, order="C", stream=0):
        return fake(unwritten(allocated(shape, dtype, strides, order)), stream)

    def _like(make, ary, **options):
        strides = devicearray._contiguous_strides_like_array(ary)
        order = devicearray._order_like_array(ary)
        return make(ary.shape, ary.dtype, strides=strides, order=order, **options)

    def device_array_like(ary, stream=0):
        return _like(device_array, ary, stream=stream)

    def mapped_array(shape, dtype=np.float64, strides=None, order="C", stream=0, portable=False, wc=False):
        return _host_array(MappedNDArray, shape, dtype, strides, order, stream)

    def mapped_array_like(ary, stream=0, portable=False, wc=False):
        return _like(mapped_array, ary, stream=stream)

    def managed_array(shape, dtype=np.float64, strides=None, order="C", stream=0, attach_global=True):
        return _host_array(ManagedNDArray, shape, dtype, strides, order, stream)

    @contextlib.contextmanager
    def pinned(*arylist):
        yield

    @contextlib.contextmanager
    def mapped(*arylist, stream=0):
        arrays = [fake(ary, stream) for ary in arylist]
        yield arrays[0] if len(arrays) == 1 else arrays

    def is_cuda_array(obj):
        return hasattr(obj, "__cuda_array_interface__")

    def from_cuda_array_interface(desc, owner=None, sync=True):
        if desc.get("mask") is not None:
            raise NotImplementedError("Masked arrays are not supported")
        if type(owner).__module__.partition(".")[0] in _ON_A_GPU:
            raise SimulatorError(
                f"an array of {type(owner).__module__} lies on a GPU, beyond the simulator's reach: copy it to NumPy"
            )
        stream = desc.get("stream")
        stream = 0 if stream is None else external_stream(stream)
        if stream and sync and _synchronizes():
            stream.synchronize()
        if not np.prod(desc["shape"]):
            return fake(np.empty(desc["shape"], desc["typestr"]), stream)
        return fake(np.asarray(_Described(desc, owner)), stream)

    def as_cuda_array(obj, sync=True):
        if not is_cuda_array(obj):
            raise TypeError("*obj* doesn't implement the cuda array interface.")
        view = from_cuda_array_interface(obj.__cuda_array_interface__, obj, sync)
        view._device = getattr(obj, "_device", view._device)
        return view

    def open_ipc_array(*args, **kwargs):
        raise SimulatorError("simulated memory belongs to one process: there are no IPC arrays in the simulator")

    local = locals()
    names = """to_device auto_device device_array device_array_like mapped_array mapped_array_like managed_array pinned
        mapped is_cuda_array from_cuda_array_interface as_cuda_array open_ipc_array"""
    return {name: local[name] for name in names.split()}

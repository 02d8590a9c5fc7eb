"""The devices that simulated kernels run on: described, counted, one of them current in each host thread.

The description is an H100 SXM's, as the driver's device attributes state it. How many there are is
``KERNELS_SIMULATOR_DEVICES`` (default 1), read when the simulator is installed.
"""

import contextlib
import functools
import os
import sys
import threading
from collections import namedtuple

import numpy as np

from .streams import Event, Stream, default_stream, external_stream, legacy_stream, per_thread_stream, synchronize

MemoryInfo = namedtuple("MemoryInfo", "free,total")

#: Source: CUDA C++ Programming Guide, "Compute Capabilities"; NVIDIA H100 data sheet.
ATTRIBUTES = {
    "ASYNC_ENGINE_COUNT": 3,
    "CAN_MAP_HOST_MEMORY": 1,
    "CLOCK_RATE": 1_980_000,
    "CLUSTER_LAUNCH": 1,
    "COMPUTE_CAPABILITY_MAJOR": 9,
    "COMPUTE_CAPABILITY_MINOR": 0,
    "COMPUTE_MODE": 0,
    "CONCURRENT_KERNELS": 1,
    "CONCURRENT_MANAGED_ACCESS": 1,
    "COOPERATIVE_LAUNCH": 1,
    "ECC_ENABLED": 1,
    "GLOBAL_L1_CACHE_SUPPORTED": 1,
    "GLOBAL_MEMORY_BUS_WIDTH": 5120,
    "GPU_OVERLAP": 1,
    "INTEGRATED": 0,
    "KERNEL_EXEC_TIMEOUT": 0,
    "L2_CACHE_SIZE": 50 * 2**20,
    "LOCAL_L1_CACHE_SUPPORTED": 1,
    "MANAGED_MEMORY": 1,
    "MAX_BLOCKS_PER_MULTIPROCESSOR": 32,
    "MAX_BLOCK_DIM_X": 1024,
    "MAX_BLOCK_DIM_Y": 1024,
    "MAX_BLOCK_DIM_Z": 64,
    "MAX_GRID_DIM_X": 2**31 - 1,
    "MAX_GRID_DIM_Y": 65535,
    "MAX_GRID_DIM_Z": 65535,
    "MAX_PITCH": 2**31 - 1,
    "MAX_REGISTERS_PER_BLOCK": 65536,
    "MAX_REGISTERS_PER_MULTIPROCESSOR": 65536,
    "MAX_SHARED_MEMORY_PER_BLOCK": 48 * 1024,
    "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN": 227 * 1024,
    "MAX_SHARED_MEMORY_PER_MULTIPROCESSOR": 228 * 1024,
    "MAX_THREADS_PER_BLOCK": 1024,
    "MAX_THREADS_PER_MULTIPROCESSOR": 2048,
    "MEMORY_CLOCK_RATE": 2_619_000,
    "MULTIPROCESSOR_COUNT": 132,
    "MULTI_GPU_BOARD": 0,
    "PAGEABLE_MEMORY_ACCESS": 0,
    "PCI_DEVICE_ID": 0,
    "PCI_DOMAIN_ID": 0,
    "RESERVED_SHARED_MEMORY_PER_BLOCK": 1024,
    "SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO": 2,
    "STREAM_PRIORITIES_SUPPORTED": 1,
    "TCC_DRIVER": 0,
    "TOTAL_CONSTANT_MEMORY": 64 * 1024,
    "UNIFIED_ADDRESSING": 1,
    "WARP_SIZE": 32,
}
MEMORY = 80 * 2**30

_current = threading.local()


def current_device():
    """Number of the device that this host thread works on."""
    return _stack()[-1]


def _stack():
    if not hasattr(_current, "stack"):
        _current.stack = [0]
    return _current.stack


class Device:
    """One described device; its attributes have the driver's names."""

    name = "Simulated H100"
    compute_capability = (9, 0)
    supports_float16 = True
    supports_bfloat16 = True
    supports_fp8 = True

    def __init__(self, number):
        self.id = number
        self.uuid = f"GPU-00000000-0000-0000-0000-{number:012d}"
        self.PCI_BUS_ID = number

    def __getattr__(self, name):
        if name in ATTRIBUTES:
            return ATTRIBUTES[name]
        raise AttributeError(f"the simulated device has no attribute {name!r}")

    def __repr__(self):
        return f"<CUDA device {self.id} '{self.name}'>"

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def get_device_identity(self):
        """Where a device would sit on the bus."""
        return {"pci_domain_id": 0, "pci_bus_id": self.id, "pci_device_id": 0}

    def reset(self):
        """Do nothing: arrays are the host's memory and live as long as someone holds them."""


class Context:
    """What Numba calls a context, and an entry of ``cuda.gpus``: ``with cuda.gpus[1]:`` makes its device current."""

    def __init__(self, number):
        self.device = Device(number)
        self.peers = {number}

    def __getattr__(self, name):
        return getattr(self.__dict__["device"], name)

    def __enter__(self):
        self.push()

    def __exit__(self, kind, value, traceback):
        self.pop()

    def __str__(self):
        return f"<Managed Device {self.device.id}>"

    def push(self):
        """Make this device current until `pop`.

        Raises
        ------
        RuntimeError
            Inside a function of ``cuda.require_context``, for another device than the one that it began with.
        """
        if getattr(_current, "required", None) not in (None, self.device.id):
            raise RuntimeError("Cannot switch CUDA-context.")
        _stack().append(self.device.id)

    def pop(self):
        """Make the device current that was before `push`."""
        if len(_stack()) > 1:
            _stack().pop()

    def get_primary_context(self):
        """The context itself: there is one per device."""
        return self

    def reset(self):
        """Do nothing, as `Device.reset`."""

    def synchronize(self):
        """Wait for the callbacks of all streams; everything else is done."""
        synchronize()

    def get_memory_info(self):
        """What an H100 has; host memory is what a simulation really needs."""
        return MemoryInfo(MEMORY, MEMORY)

    def memalloc(self, bytesize):
        """Bytes that nobody wrote yet."""
        return np.empty(bytesize, np.uint8)

    def memhostalloc(self, bytesize, mapped=False, portable=False, wc=False):
        """Bytes that nobody wrote yet."""
        return np.empty(bytesize, np.uint8)

    def memallocmanaged(self, bytesize, attach_global=True):
        """Bytes that nobody wrote yet."""
        return np.empty(bytesize, np.uint8)

    def can_access_peer(self, peer_device):
        """Whether kernels here could be allowed to use memory there: always."""
        return True

    def enable_peer_access(self, peer_context, flags=0):
        """Allow kernels on this device to use another device's arrays."""
        self.peers.add(peer_context.device.id)

    def create_stream(self):
        """As ``cuda.stream()``."""
        return Stream()

    def create_event(self, timing=True):
        """As ``cuda.event()``."""
        return Event(timing)

    @staticmethod
    def get_default_stream():
        """As ``cuda.default_stream()``."""
        return default_stream()

    @staticmethod
    def get_legacy_default_stream():
        """As ``cuda.legacy_default_stream()``."""
        return legacy_stream()

    @staticmethod
    def get_per_thread_default_stream():
        """As ``cuda.per_thread_default_stream()``."""
        return per_thread_stream()

    @staticmethod
    def create_external_stream(ptr):
        """As ``cuda.external_stream()``."""
        return external_stream(ptr)

    @contextlib.contextmanager
    def defer_cleanup(self):
        """Do nothing: memory is freed by reference counts."""
        yield


def require_context(function):
    """A function that cannot make another device current than the one that it began with."""

    @functools.wraps(function)
    def required(*args, **options):
        before, _current.required = getattr(_current, "required", None), current_device()
        try:
            return function(*args, **options)
        finally:
            _current.required = before

    return required


def contexts():
    """As many contexts as ``KERNELS_SIMULATOR_DEVICES`` asks for.

    Raises
    ------
    ValueError
        When that is no positive number.
    """
    asked = os.environ.get("KERNELS_SIMULATOR_DEVICES", "1")
    if not asked.isdecimal() or not int(asked):
        raise ValueError(f"KERNELS_SIMULATOR_DEVICES must be a positive number, got {asked!r}")
    return tuple(map(Context, range(int(asked))))


def device_functions(gpus):
    """The functions of ``numba.cuda`` that choose and describe devices, over a list of contexts, by name."""

    def context(number):
        number = int(number)
        if not 0 <= number < len(gpus):
            raise IndexError(f"there is no device {number}: KERNELS_SIMULATOR_DEVICES is {len(gpus)}")
        return gpus[number]

    def select_device(device_id=0):
        chosen = context(device_id)
        _current.stack = [chosen.device.id]
        return chosen.device

    def current_context(devnum=None):
        return context(current_device() if devnum is None else devnum)

    def get_current_device():
        return current_context().device

    def list_devices():
        return gpus

    def detect():
        lines = [f"Found {len(gpus)} CUDA devices"]
        for each in gpus:
            lines += [f"id {each.id}    {each.name:>20} {'[SUPPORTED]':>40}"]
            lines += [f"{name:>40}: {value}" for name, value in (("Compute Capability", "9.0"), ("UUID", each.uuid))]
        sys.stdout.write("\n".join([*lines, "Summary:", f"\t{len(gpus)}/{len(gpus)} devices are supported", ""]))
        return True

    def is_float16_supported():
        return get_current_device().supports_float16

    def is_bfloat16_supported():
        return get_current_device().supports_bfloat16

    def is_fp8_supported():
        return get_current_device().supports_fp8

    return {f.__name__: f for f in (
        select_device, current_context, get_current_device, list_devices, detect, require_context,
        is_float16_supported, is_bfloat16_supported, is_fp8_supported,
    )}  # fmt: skip

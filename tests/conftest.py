"""Where the tests run: on a GPU, else in Numba's simulator, which is chosen before Numba is imported.

An explicit NUMBA_ENABLE_CUDASIM is left alone: with 0, ``pytest tests/offline`` compiles with no GPU.
"""

import ctypes
import os
from pathlib import Path

import pytest


def gpu_count():
    """How many GPUs the driver finds; Numba is not asked, since importing it settles the engine."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


if "NUMBA_ENABLE_CUDASIM" not in os.environ and not gpu_count():
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

# Tests launch kernels of their own on one block, of which Numba warns, and warnings are errors here.
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

# JAX takes three quarters of a card's memory when it starts, unless told not to; other libraries share the tests.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from hypothesis import HealthCheck, settings  # noqa: E402

_COMMON = {
    "deadline": None,  # a first call compiles, a simulated one takes a millisecond a thread
    "derandomize": bool(os.environ.get("CI")),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
    "print_blob": True,
}
settings.register_profile("simulator", max_examples=10, **_COMMON)
settings.register_profile("gpu", max_examples=200, **_COMMON)
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
settings.load_profile("simulator" if SIMULATED else "gpu")

if not SIMULATED:
    from kernels.testing import strategies

    strategies.MAX_SIDE = 5000


def pytest_configure(config):
    config.addinivalue_line("markers", "law(*names): the public functions that this law is about")
    config.addinivalue_line("markers", "gpu: runs on a GPU only; what it shows the simulator does not have")


def pytest_collection_modifyitems(items):
    if SIMULATED or not gpu_count():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no GPU, or the simulator was asked for"))


@pytest.fixture
def rng(request):
    """Random numbers that differ from test to test and never from run to run."""
    import numpy as np

    return np.random.default_rng(list(request.node.nodeid.encode()))


@pytest.fixture
def environment():
    """The environment for a process of its own, without what chose this one's engine, or which warnings it shows."""
    chosen = "KERNELS_", "NUMBA_", "PYTHONWARNINGS"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(chosen)}
    # Ahead of what this process finds packages by.
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**inherited, "PYTHONPATH": os.pathsep.join(path)}

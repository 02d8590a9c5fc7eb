"""CUDA kernels on the processor, checked hard: Numba's simulator made whole.

`simulate` runs one kernel, with no GPU and no environment variable. `install` sends every launch of Numba's simulator
(``NUMBA_ENABLE_CUDASIM=1``) here; ``import kernels`` does so, and ``pytest -p kernels.simulator`` for projects that
use nothing else of ours.
"""

from . import versions
from .errors import (
    CopyError,
    DeadlockError,
    DivergenceError,
    KernelTimeoutError,
    LaunchError,
    MisalignedError,
    OutOfBoundsError,
    RaceError,
    SimulatorError,
    StackOverflowError,
    UninitializedError,
)

versions.refuse_old()

from .install import install, installed, uninstall  # noqa: E402  (after Numba's version is known to be one)
from .launch import CHECKS, ENGINES, SimulatorWarning, simulate  # noqa: E402
from .profile import Profile, profile  # noqa: E402

__all__ = [
    "CHECKS",
    "ENGINES",
    "CopyError",
    "DeadlockError",
    "DivergenceError",
    "KernelTimeoutError",
    "LaunchError",
    "MisalignedError",
    "OutOfBoundsError",
    "Profile",
    "RaceError",
    "SimulatorError",
    "SimulatorWarning",
    "StackOverflowError",
    "UninitializedError",
    "install",
    "installed",
    "profile",
    "simulate",
    "uninstall",
]


def pytest_configure(config):
    """As a plugin of pytest (``-p kernels.simulator``): `install` before tests are collected."""
    import os

    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")
    install()

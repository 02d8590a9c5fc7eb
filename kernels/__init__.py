"""CUDA kernels in Python for scientists, each paired with a NumPy reference.

Functions take NumPy, Numba, CuPy, PyTorch or JAX arrays and return the same kind; the same names work on single
numbers inside ``@cuda.jit`` kernels. Importing this package compiles nothing and touches no driver; under
``NUMBA_ENABLE_CUDASIM=1`` it sends the launches of Numba's simulator to `kernels.simulator`.
"""

from . import elementwise
from .device.instructions import SIMULATED
from .elementwise import *  # noqa: F403  (all of `elementwise.__all__`)
from .pairing import REGISTRY
from .runtime import DeviceMismatchError, EngineError, ReferenceWarning, engine, use

__version__ = "0.1.0"

__all__ = [
    "REGISTRY",
    "DeviceMismatchError",
    "EngineError",
    "ReferenceWarning",
    "__version__",
    "engine",
    "use",
    *elementwise.__all__,
]

if SIMULATED:
    from . import simulator

    if not simulator.installed():
        simulator.install()

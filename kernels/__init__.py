"""CUDA kernels in Python for scientists, each paired with a NumPy reference.

Functions take NumPy, Numba, CuPy, PyTorch or JAX arrays and return the same kind; the same names work on single
numbers inside ``@cuda.jit`` kernels. Importing this package compiles nothing and touches no driver; under
``NUMBA_ENABLE_CUDASIM=1`` it sends the launches of Numba's simulator to `kernels.simulator`.

Without numba-cuda, `kernels.simulator` is what there is: for kernels of Numba's own target and of numba-cuda-mlir.
"""

import importlib.util

from numba import config

__version__ = "0.1.0"

__all__ = ["__version__"]

if importlib.util.find_spec("numba_cuda"):
    from . import elementwise, reductions
    from .elementwise import *  # noqa: F403  (all of `elementwise.__all__`)
    from .pairing import REGISTRY
    from .reductions import *  # noqa: F403  (all of `reductions.__all__`)
    from .runtime import DeviceMismatchError, EngineError, ReferenceWarning, engine, use

    __all__ += [
        "REGISTRY",
        "DeviceMismatchError",
        "EngineError",
        "ReferenceWarning",
        "engine",
        "use",
        *elementwise.__all__,
        *reductions.__all__,
    ]

if config.ENABLE_CUDASIM:
    from . import simulator

    if not simulator.installed():
        simulator.install()

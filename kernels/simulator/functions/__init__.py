"""Functions of scalars that kernels call, written once for both engines of the simulator.

Every entry of the tables is a `ScalarFunction`: called from Python on NumPy scalars, or from a function that Numba
compiles for the CPU, it picks a signature as numba-cuda does and runs the same machine code.
"""

from .declare import ScalarFunction
from .half_functions import BF16, FP16
from .halves import bfloat16
from .integers import CUDA
from .libdevice import LIBDEVICE
from .mathematics import BUILTINS, DIFFERENT, MATH
from .operations import NUMPY, OPERATORS
from .vectors import CASTS, VECTORS, Vector

__all__ = [
    "BF16",
    "BUILTINS",
    "CASTS",
    "CUDA",
    "DIFFERENT",
    "FP16",
    "LIBDEVICE",
    "MATH",
    "NUMPY",
    "OPERATORS",
    "VECTORS",
    "ScalarFunction",
    "Vector",
    "bfloat16",
]  # fmt: skip


def __getattr__(name):
    if name == "FP8":  # which few kernels use, and whose types take 15 ms to declare
        from .quarters import FP8

        return FP8
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

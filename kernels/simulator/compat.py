"""Where Numba's CUDA targets live: the one file that knows numba, numba-cuda and numba-cuda-mlir apart."""

import functools
import importlib
import importlib.util
import sys
import types as python_types

import numpy as np
from numba import types
from numba.core import errors
from numba.core.typing import templates


def cuda_modules():
    """Modules that kernels may know as ``cuda``, of those that are imported."""
    return [sys.modules[name] for name in ("numba.cuda", "numba_cuda_mlir.cuda") if name in sys.modules]


def python_function(value):
    """The Python function of a kernel, a device function or a function of ``njit``, whoever compiles it; else None."""
    if isinstance(value, python_types.FunctionType):
        return value
    if isinstance(value, type):
        return None
    module = type(value).__module__
    if "cuda" not in module and module != "numba.core.registry":
        return None
    for attribute in ("py_func", "fn"):
        found = getattr(value, attribute, None)
        if isinstance(found, python_types.FunctionType):
            return found
    return None


def signatures(value):
    """The signatures that a device function was declared with, as a tuple of Numba's."""
    return tuple(getattr(value, "declared", ()))


#: Modules of numba-cuda that are copies of Numba's, by how their names begin.
_COPIED = ("numba.cuda.misc.", "numba.cuda.np.")

#: Modules whose functions and types are written in CUDA C, by the tables in `functions` of what they are here.
_BOUND = {
    "numba.cuda._internal.cuda_bf16": "BF16",
    "numba.cuda._internal.cuda_fp16": "FP16",
    "numba.cuda._internal.cuda_fp8": "FP8",
}


def of_numba(value):
    """Numba's own function for the copy that numba-cuda has of it (`literal_unroll`, `carray`); else the value.

    What numba-cuda binds of CUDA C becomes ours.
    """
    module = getattr(value, "__module__", None)
    if not isinstance(module, str):
        return value
    table = "FP8" if module.startswith("cuda.bindings.") else _BOUND.get(module)
    if table is not None:
        from . import functions

        known, name = getattr(functions, table), getattr(value, "__name__", "")
        return known.get(name) or known.get(name.removeprefix("__"), value)
    if not module.startswith(_COPIED):
        return value
    try:
        own = importlib.import_module(module.replace("numba.cuda.", "numba."))
    except ImportError:
        return value
    return getattr(own, value.__name__, value)


def known_to_numba(function):
    """Whether Numba compiles calls of a function by rules of its own, so that its body is not what counts."""
    module = function.__module__ or ""
    if module.startswith("numba.") and not module.startswith("numba.cuda."):
        return True
    return any(known is function for known, _ in templates.builtin_registry.globals)


def device_memory(value):
    """The memory of a device array that a kernel names, as a NumPy array; None for anything else."""
    if isinstance(value, type) or not hasattr(value, "__cuda_array_interface__"):
        return None
    module = sys.modules.get("numba.cuda")
    array = value if hasattr(value, "_ary") else module.as_cuda_array(value, sync=False)
    return getattr(array, "_ary", None)


def kernels_allocate():
    """Whether numba-cuda was told to let kernels allocate memory (``config.CUDA_ENABLE_NRT``)."""
    config = getattr(sys.modules.get("numba.cuda"), "config", None)
    return bool(getattr(config, "CUDA_ENABLE_NRT", False))


def error_of_cuda(error):
    """An error of the compiler as a CUDA target raises it: an instance of Numba's class and of numba-cuda's."""
    kind = next(kind for kind in (errors.LoweringError, errors.TypingError) if isinstance(error, kind))
    own = getattr(sys.modules.get("numba.cuda.core.errors"), kind.__name__, kind)
    text = str(error).replace("CPUDispatcher", "CUDADispatcher")
    found = _error_class(kind if own is kind else (own, kind))(text)
    found.__suppress_context__ = True
    return found


@functools.cache
def _error_class(kinds):
    return type(kinds[0].__name__, kinds, {"__module__": __name__}) if isinstance(kinds, tuple) else kinds


def scalar_type(value):
    """Numba's own type for a type of a CUDA target; else None."""
    if isinstance(value, types.Type):
        return value
    if type(value).__module__.startswith("numba_cuda_mlir"):
        found = getattr(types, str(value), None)
        return found if isinstance(found, types.Type) else None
    return None


def dtype(native):
    """NumPy's dtype of a type of Numba's, or None."""
    from numba.np.numpy_support import as_dtype

    try:
        return as_dtype(native)
    except (NotImplementedError, TypeError, errors.NumbaError):
        pass
    if str(native) == "__nv_bfloat16" and importlib.util.find_spec("ml_dtypes"):
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16)
    return None

"""Numba's CUDA simulator, seen from the host, moved onto another engine: `patch` and `unpatch`.

What Numba's simulator does for the host stays, what it lacks is added, and every launch goes to one function. All
that the host side knows of the insides of Numba's simulator, numba-cuda's and Numba's own, stands in this folder.
"""

import contextlib
import functools
import importlib
import sys
import types
import warnings

from .. import versions
from ..errors import SimulatorError
from . import arrays, extending, kernels, memory, reduce, streams
from .devices import contexts, current_device, device_functions
from .launch import Target

#: Names that kernels use, by the modules of Numba that declare them; on ``numba.cuda`` with hardware only.
_DECLARED = {
    "intrinsics": """grid gridsize syncthreads syncthreads_and syncthreads_count syncthreads_or shfl_sync shfl_up_sync
        shfl_down_sync shfl_xor_sync all_sync any_sync eq_sync ballot_sync""",
    "stubs": """threadIdx blockIdx blockDim gridDim laneid warpsize syncwarp shared local const atomic match_any_sync
        match_all_sync threadfence_block threadfence_system threadfence selp popc brev clz ffs fma cbrt activemask
        lanemask_lt nanosleep""",
    "cache_hints": "ldca ldcg ldcs ldlu ldcv stcg stcs stwb stwt",
    "misc.special": "literal_unroll",
    "errors": "KernelRuntimeError",
}
_COMPILERS = """compile compile_all compile_for_current_device compile_ptx compile_ptx_for_current_device""".split()
_MISSING = object()
_undo = []
_active = None


def patched():
    """The arguments of the `patch` in force, or None."""
    return _active


def patch(launch, options, compile=None):
    """Send every launch of Numba's CUDA simulator to `launch`, and complete its host interface.

    Parameters
    ----------
    launch : callable
        ``launch(function, grid, block, args, shared, options, types)``: the Python function of the kernel, two triples
        of integers, the arguments as NumPy arrays (the device's memory, used in place), scalars and tuples of them,
        the bytes of dynamic shared memory, and the types of the arguments where the kernel declares them, else None.
    options : object
        Handed to every `launch`; its ``resident`` is also what ``max_cooperative_grid_blocks`` says.
    compile : callable, optional
        ``compile(function, types, options)``, called for a kernel that declares its types.

    Raises
    ------
    SimulatorError
        When Numba runs without its simulator, or with one that is unknown.
    """
    global _active
    from numba import config, cuda

    if not config.ENABLE_CUDASIM:
        raise SimulatorError("NUMBA_ENABLE_CUDASIM=1 must be in the environment before Numba is imported")
    unpatch()
    try:
        _replace_all(cuda)
    except (AttributeError, ImportError) as error:
        unpatch()
        raise SimulatorError(
            f"this version of Numba's CUDA simulator is unknown: {error} ({versions.described()})"
        ) from error
    Target.launch, Target.options, Target.compile = launch, options, compile
    _active = launch, options, compile


def unpatch():
    """Undo `patch`: Numba's simulator is as it was."""
    global _active
    while _undo:
        _undo.pop()()
    Target.launch = Target.options = Target.compile = _active = None


def located(error, thread, block):
    """An exception of a kernel with the thread and the block in its message; the same object, so of the same type.

    Parameters
    ----------
    error : BaseException
    thread, block : triples of int
    """
    where = f"tid={list(thread)} ctaid={list(block)}"
    first, *others = error.args or ("",)
    if str(first).startswith("tid="):
        return error
    error.args = (f"{where}: {first}" if str(first) else where, *others)
    if where not in str(error) and hasattr(error, "add_note"):  # a class with a __str__ of its own; Python 3.11
        error.add_note(where)
    return error


def _set(owner, name, value):
    # vars, not getattr: a property or a function of a class must come back as it stood there.
    before = vars(owner).get(name, _MISSING)
    _undo.append(
        functools.partial(delattr, owner, name)
        if before is _MISSING
        else functools.partial(setattr, owner, name, before)
    )
    setattr(owner, name, value)


def _without_self(function):
    return lambda self: function()


def _replace_all(cuda):
    from numba.cuda.simulator import api, compiler, cudadrv, kernel, reduction

    devicearray, devices, driver = cudadrv.devicearray, cudadrv.devices, cudadrv.driver
    for name, value in kernels.METHODS.items():
        _set(kernel.FakeCUDAKernel, name, value)
    for name, value in arrays.METHODS.items():
        _set(devicearray.FakeCUDAArray, name, value)

    gpus = devices.gpus
    _set(gpus, "lst", contexts())
    current = property(lambda self: None if self.closed else self.lst[current_device()])
    _set(devices.FakeDeviceList, "current", current)
    _set(driver.FakeDriver, "get_device_count", lambda self: len(gpus))
    _set(driver, "Stream", streams.Stream)
    _set(driver, "Event", streams.Event)

    functions = memory.array_functions(devicearray)
    shared = dict(functions, **device_functions(gpus), **_streams(), **_compilers(), **_profiling())
    shared.update(jit=kernels.jit, declare_device=declare_device, reduce=reduce.Reduce)
    shared["Reduce"] = reduce.Reduce
    for module in {id(m): m for m in (cuda, api, sys.modules["numba.cuda.simulator"])}.values():
        for name, value in shared.items():
            _set(module, name, value)
    for name, value in functions.items():
        _set(devicearray, name, value)
    for name, value in arrays.device_classes(devicearray).items():
        _set(devicearray, name, value)
    _set(devices, "get_context", shared["current_context"])
    _set(reduction, "Reduce", reduce.Reduce)
    _set(reduction, "reduce", reduce.Reduce)
    for name, value in _compilers().items():
        _set(compiler, name, value)
    if "numba.cuda.decorators" in sys.modules:
        _set(sys.modules["numba.cuda.decorators"], "jit", kernels.jit)
    _count_allocations()
    _declare(cuda)
    extending.replace(_set)
    _name_bfloats()
    _name_quarters()
    _compile_random()


def _name_bfloats():
    """The functions of bfloat16 by the modules that have them on hardware (numba-cuda only)."""
    for name in ("numba.cuda.bf16", "numba.cuda._internal.cuda_bf16"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        _set(module, "__getattr__", functools.partial(_scalar_function, "BF16", name))
        for alias in ("bfloat16", "nv_bfloat16"):
            _set(module, alias, importlib.import_module("numba.cuda.types").bfloat16)


def _name_quarters():
    """The types and functions of float8 by the modules that have them on hardware (numba-cuda only)."""
    internal = sys.modules.get("numba.cuda._internal")
    if internal is None:
        return
    module = types.ModuleType("numba.cuda._internal.cuda_fp8")
    module.__getattr__ = functools.partial(_scalar_function, "FP8", module.__name__)
    _set(internal, "cuda_fp8", module)
    sys.modules[module.__name__] = module
    _undo.append(functools.partial(sys.modules.pop, module.__name__))


def _compile_random():
    """The states of ``numba.cuda.random``, which the stock simulator makes by Python, a hundred times slower."""
    from numba import njit
    from numba.core.dispatcher import Dispatcher

    with warnings.catch_warnings():  # of the arguments that numba-cuda gives Numba there
        warnings.simplefilter("ignore")
        from numba.cuda import random

    for name, value in list(vars(random).items()):
        if isinstance(value, Dispatcher) and value.targetoptions.get("forceobj"):
            _set(random, name, njit(value.py_func))


def _scalar_function(table, module, name):
    from .. import functions

    found = getattr(functions, table).get(name.removeprefix("__"))
    if found is None:
        raise AttributeError(f"{module} has no {name}")
    return found


def _count_allocations():
    """Kernels allocate by Numba's runtime for the processor (numba-cuda only)."""
    nrt = sys.modules.get("numba.cuda.simulator.memory_management.nrt")
    if nrt is not None:
        from numba.core.runtime import _nrt_python, rtsys

        _set(nrt.RTSys, "get_allocation_stats", lambda self: rtsys.get_allocation_stats())
        for name in ("memsys_enable_stats", "memsys_disable_stats"):
            _set(nrt.RTSys, name, _without_self(getattr(_nrt_python, name)))


def _declare(cuda):
    """Names that kernels use, so that ``from numba.cuda import syncthreads`` works as it does with hardware."""
    for module, names in _DECLARED.items():
        try:
            declared = importlib.import_module(f"numba.cuda.{module}")
        except ImportError:  # Numba's own simulator has no cache hints and keeps literal_unroll elsewhere
            continue
        for name in names.split():
            if getattr(cuda, name, None) is None:
                _set(cuda, name, getattr(declared, name, None) or OnlyInKernels(name))
    for name in ("cg", "libdevice"):
        _set(cuda, name, importlib.import_module(f"numba.cuda.{name}"))


def _streams():
    return {
        "stream": streams.Stream,
        "default_stream": streams.default_stream,
        "legacy_default_stream": streams.legacy_stream,
        "per_thread_default_stream": streams.per_thread_stream,
        "external_stream": streams.external_stream,
        "event": streams.Event,
        "Event": streams.Event,
        "event_elapsed_time": streams.event_elapsed_time,
        "synchronize": streams.synchronize,
    }


def _compilers():
    def refuse(name):
        def refused(*args, **kwargs):
            raise SimulatorError(
                f"cuda.{name} needs Numba's CUDA compiler, which is not there in the simulator: unset "
                "NUMBA_ENABLE_CUDASIM and start again"
            )

        return refused

    return {name: refuse(name) for name in _COMPILERS}


def _profiling():
    return {
        "profile_start": lambda: None,
        "profile_stop": lambda: None,
        "profiling": contextlib.nullcontext,
    }


class OnlyInKernels:
    """A name of ``numba.cuda`` that Numba's own simulator does not even declare.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name):
        self.__name__ = name

    def __call__(self, *args, **kwargs):
        """Refuse."""
        raise NotImplementedError(f"{self.__name__} is not usable in pure-python")


class ForeignFunction:
    """A device function in another language, as ``cuda.declare_device`` makes it; the simulator cannot run it.

    Parameters
    ----------
    name : str
    signature : Numba signature
    link : sequence
        The code that holds it.
    """

    def __init__(self, name, signature, link=()):
        self.__name__ = self.name = name
        self.signature = self.sig = signature
        self.link = link

    def __call__(self, *args):
        """Refuse."""
        raise SimulatorError(
            f"{self.name} is a function of other code ({self.signature}), which the simulator cannot run; under "
            "NUMBA_ENABLE_CUDASIM, put a Python function in its place"
        )

    def __repr__(self):
        return f"<foreign function {self.name}{self.signature}>"


def declare_device(name, sig, link=None, use_cooperative=False, abi="numba"):
    """A descriptor of a function in other code, as on hardware; calling it in the simulator is an error.

    Raises
    ------
    TypeError
        When the signature has no result.
    NotImplementedError
        For another ABI than "numba" and "c".
    """
    if abi not in ("numba", "c"):
        raise NotImplementedError(f"Unsupported ABI: {abi}")
    (signature,) = kernels.declared([sig])
    if signature.return_type is None:
        raise TypeError("Return type must be provided for device declarations")
    return ForeignFunction(name, signature, link if isinstance(link, list | tuple | set) else (link,) if link else ())

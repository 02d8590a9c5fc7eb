"""Machine code of kernels, kept on disk: what one process compiled, the next one loads.

An image is what a driver loads and launches. It is named by all that it was made from: the kernel with every function
and constant that it reaches, the types of its arguments, options of ``@cuda.jit``, compute capability, versions of
Python, Numba and the compilers, and the files of this package. To name an image, and to load it, starts neither Numba's
compiler nor NVIDIA's.
"""

import functools
import sys
import time
import types as python_types
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from numba import config, types

from .. import storage
from ..fingerprint import Fingerprint, NotKept, files, is_found, sources, version

_PACKAGE = __package__.split(".")[0]
_IMPORTED = time.time()


@dataclass(frozen=True)
class Image:
    """A kernel compiled for types and a compute capability.

    Attributes
    ----------
    cubin : bytes
        The ELF image that a driver loads.
    entry : str
        Name of the kernel in it.
    cooperative : bool
        Whether it waits for its whole grid, so that the launch must be cooperative.
    carveout : int or None
        Percentage of the unified memory that is to be shared memory, -1 for the driver's choice; None where
        ``@cuda.jit`` was not told.
    """

    cubin: bytes
    entry: str
    cooperative: bool
    carveout: int | None


def image(kernel, signature, cc):
    """The image of a kernel, from disk where it is there, else compiled as ``@cuda.jit`` does.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``
    signature : tuple of numba.types.Type
        One per parameter.
    cc : tuple of two int
        Compute capability; from 9.0 on it stands for the architecture-specific target, as in Numba.

    Returns
    -------
    image : Image or None
        None for a kernel whose launch needs Numba: one that was declared with ``debug=True``, is compiled for its
        launch configuration, allocates memory, refers to device arrays, or calls back when its module is loaded.

    Raises
    ------
    numba.core.errors.NumbaError
        What ``@cuda.jit`` raises when it cannot compile a kernel.
    """
    if _needs_numba(kernel, signature):
        return None
    name = key(kernel, signature, cc) if storage.LIMIT else None
    kept = storage.get(folder(), name) if name else None
    if kept is None:
        made = _compiled(kernel, signature, cc)
        if made is None:
            return None
        facts, cubin, links = made
        if name and not links:
            storage.put(folder(), name, facts, cubin)
        kept = facts, cubin
    facts, cubin = kept
    return Image(cubin, facts["entry"], facts["cooperative"], _carveout(kernel))


def folder():
    """Where images lie."""
    return storage.folder("gpu")


def _needs_numba(kernel, signature):
    if (
        kernel.targetoptions.get("debug")
        or kernel._launch_config_sensitive
        or getattr(config, "CUDA_ENABLE_NRT", False)
    ):
        return True
    # Declared with its signatures: Numba casts arguments to them, or says that it may not compile.
    return not kernel._can_compile and signature not in kernel.overloads


def _carveout(kernel):
    chosen = kernel.targetoptions.get("shared_memory_carveout")
    return {"default": -1, "maxl1": 0, "maxshared": 100}[chosen.lower()] if isinstance(chosen, str) else chosen


# --- keys ---------------------------------------------------------------------------------------------------

#: Options of ``@cuda.jit`` that say nothing of the code: what a launch does with them is the launch's.
_OF_LAUNCHES = {"extensions", "shared_memory_carveout"}

#: Settings of Numba that its CUDA target compiles by.
_SETTINGS = ("OPT", "CUDA_DEBUGINFO_DEFAULT", "CUDA_ENABLE_NRT", "EXTEND_VARIABLE_LIFETIMES", "DISABLE_JIT")

#: Who brings the compilers: NVVM and its libdevice, nvJitLink, and the device runtime of cooperative kernels.
_COMPILERS = {
    "nvvm": ("nvidia-nvvm", "nvidia-cuda-nvcc-cu12"),
    "nvJitLink": ("nvidia-nvjitlink", "nvidia-nvjitlink-cu12"),
    "cudart": ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12"),
}

#: Folders of this package that no kernel comes from.
_OF_THE_HOST = {"simulator", "testing", "command", "__pycache__"}


def key(kernel, signature, cc):
    """The name of a kernel's image, or None for a kernel that cannot be described to another process."""
    try:
        found = _Fingerprint(f"cc {cc[0]}.{cc[1]}", *environment())
        found.PLACES = bool(kernel.targetoptions.get("lineinfo"))
        found.text(*(f"{name} {getattr(config, name, None)}" for name in _SETTINGS))
        for native in signature:
            found.type(native)
        found.options(kernel.targetoptions)
        found.function(kernel.py_func)
    except (NotKept, RecursionError):  # a list may hold itself
        return None
    return found.digest()


@functools.cache
def environment():
    """What all images depend on: versions, and this package's files.

    Raises
    ------
    NotKept
        A file is newer than this process, which has another version of it in memory, perhaps.
    """
    root = Path(__file__).parents[1]
    places = sorted(p for p in root.iterdir() if p.name not in _OF_THE_HOST and (p.is_dir() or p.suffix == ".py"))
    if any(path.stat().st_mtime > _IMPORTED for path in sources(*places)):
        raise NotKept(root)
    packages = ("numba", "numba_cuda", "llvmlite", "numpy", "scipy")
    versions = [f"{name} {getattr(sys.modules.get(name), '__version__', None)}" for name in packages]
    return *versions, sys.version, *(f"{name} {_compiler(name)}" for name in _COMPILERS), files(*places)


def _compiler(name):
    """The version of a library of NVIDIA's: of the package that it comes with, else of its file.

    NVVM itself would tell, but loading it takes 52 ms.
    """
    for distribution in _COMPILERS[name]:
        if found := version(distribution):
            return found
    from cuda import pathfinder

    try:
        path = Path(pathfinder.load_nvidia_dynamic_lib(name).abs_path)
        return f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}"
    except (RuntimeError, OSError):  # none there: the driver links
        from cuda.bindings import driver

        return f"driver {driver.cuDriverGetVersion()}"


class _Fingerprint(Fingerprint):
    KNOWN = Fingerprint.KNOWN | {"_operator", "_functools", "functools", "scipy"}
    TYPES = (*Fingerprint.TYPES, types.CPointer)

    def options(self, options):
        """Describe options of ``@cuda.jit``."""
        if options.get("link"):
            raise NotKept(options["link"])
        self.value(tuple((name, options[name]) for name in sorted(options) if name not in _OF_LAUNCHES | {"link"}))

    def behind(self, value):
        from numba.core.dispatcher import Dispatcher
        from numba.cuda.dispatcher import CUDADispatcher
        from numba.cuda.extending import _Intrinsic

        if not isinstance(value, (python_types.FunctionType, Dispatcher, CUDADispatcher, _Intrinsic)):
            return None
        module, name = value.__module__ or "", value.__qualname__
        known = module.split(".")[0] in self.KNOWN and "<locals>" not in name
        if known or self.is_own(value, module, name):
            return None
        if isinstance(value, python_types.FunctionType):
            return value, ""
        if isinstance(value, _Intrinsic):
            return value._defn, f"{value._name} {value._prefer_literal}"
        self.options(value.targetoptions)
        return value.py_func, ""

    def is_own(self, value, module, name):
        return module.split(".")[0] == _PACKAGE and "<locals>" not in name and is_found(value, module, name)

    def used(self, names):
        attributes = _foreign(*_registered())[1]
        for name in sorted(names & attributes.keys()):
            self._overloads(attributes[name])

    def value(self, value, used=frozenset()):
        self._overloads(_foreign(*_registered())[0].get(id(value), ()))
        kind = type(value)
        if kind is list:
            self.text("list")
            self.value(tuple(value), used)
        elif kind is dict:
            self.text("dict")
            self.value(tuple(value.items()), used)
        elif kind.__name__ == "Signature" and kind.__module__.startswith("numba."):
            self.text("signature")
            for native in (value.return_type, *value.args):
                self.type(native)
        else:
            super().value(value, used)

    def type(self, native):
        from ..device.scalar import Scalar

        if isinstance(native, Scalar):
            self.text("Scalar")
            native = native.native
        super().type(native)
        if isinstance(native, types.CPointer):
            self.type(native.dtype)

    def named(self, value):
        import numpy as np

        if isinstance(value, np.ufunc):  # its module is that of its type, whoever made it
            scipy = sys.modules.get("scipy.special")
            if value not in (getattr(np, value.__name__, None), getattr(scipy, value.__name__, None)):
                raise NotKept(value)
        super().named(value)

    def _overloads(self, functions):
        for function in functions:
            if function is None:
                raise NotKept
            self.text("overload")
            self.function(function)


def _registries():
    from numba.core.typing.templates import builtin_registry as shared
    from numba.cuda.typing.templates import builtin_registry as cuda

    return cuda, shared


def _registered():
    return tuple((len(each.globals), len(each.attributes)) for each in _registries())


@functools.lru_cache(maxsize=1)
def _foreign(*registered):
    """What others have taught Numba: overloads of values, by their ids, and of attributes, by their names.

    A kernel reaches them by what it names, which says nothing of them. In place of one that is no Python function
    stands None.
    """
    values, attributes = {}, {}
    for registry in _registries():
        for value, native in registry.globals:
            for template in getattr(native, "templates", ()):
                found = getattr(template, "_overload_func", None)
                if _is_foreign(found or value):
                    values.setdefault(id(value), []).append(found)
        for template in registry.attributes:
            found = getattr(template, "_overload_func", None)
            if found and _is_foreign(found):
                attributes.setdefault(template._attr, []).append(found)
    return values, attributes


def _is_foreign(value):
    from numba.cuda.extending import _Intrinsic

    module = getattr(value, "__module__", None)
    known = _Fingerprint.KNOWN | {_PACKAGE}
    return isinstance(module, str) and module.split(".")[0] not in known and not isinstance(value, _Intrinsic)


# --- compilation --------------------------------------------------------------------------------------------


def _compiled(kernel, signature, cc):
    """Facts and cubin of a kernel, and whether files of others are linked in; None for one that needs Numba."""
    from numba.cuda.core.compiler_lock import global_compiler_lock

    target = *cc, "a" if cc >= (9, 0) else ""
    with global_compiler_lock, current_device(cc):
        if signature in kernel.overloads:
            made = kernel.overloads[signature]
            library, name = made._codelibrary, made.entry_name
        else:
            try:
                library, entry = lowered(kernel.py_func, signature, cc, kernel.targetoptions)
            except RuntimeError as error:
                if "No launch config" in str(error):
                    return None
                raise
            name = entry.name
            _link(library, kernel.targetoptions["link"], target)
        if library._setup_functions or library._teardown_functions or library.referenced_objects:
            return None
        links = any(Path(str(file)).name != _RESHAPE for file in library._linking_files)
        return {"entry": name, "cooperative": library.use_cooperative}, library.get_cubin(target).code, links


def lowered(function, signature, cc, options):
    """LLVM of a kernel, as ``@cuda.jit`` makes it.

    Parameters
    ----------
    function : function
    signature : tuple of numba.types.Type
    cc : tuple of two int
        That of `current_device`.
    options : dict
        The dispatcher's.

    Returns
    -------
    library : numba.cuda.codegen.CUDACodeLibrary
    entry : llvmlite.ir.Function
    """
    from numba.cuda import compiler
    from numba.cuda.cudadrv import nvvm

    result = compiler.compile_cuda(
        function,
        types.void,
        signature,
        lineinfo=options["lineinfo"],
        forceinline=options["forceinline"],
        fastmath=options["fastmath"],
        nvvm_options=nvvm_options(options),
        cc=cc,
        max_registers=options.get("max_registers"),
        lto=options.get("lto", False),
    )
    entry = result.library.get_function(result.fndesc.llvm_func_name)
    compiler.kernel_fixup(entry, False)
    nvvm.set_launch_bounds(entry, options["launch_bounds"])
    return result.library, entry


def nvvm_options(options):
    """What NVVM is told of the options of a kernel."""
    return {"fastmath": options["fastmath"], "opt": 3 if options["opt"] else 0}


#: What Numba links kernels with that reshape arrays.
_RESHAPE = "reshape_funcs.cu"


def _link(library, paths, target):
    """Add what a kernel is linked with."""
    from numba.cuda import dispatcher

    library.needs_cudadevrt = library.use_cooperative
    for path in paths:
        library.add_linking_file(path)
    # Numba looks into the PTX, always; NVVM takes as long for it as for what is linked.
    if any(name in text for name in dispatcher.reshape_funcs for text in library.llvm_strs):
        if any(name in library.get_asm_str(target) for name in dispatcher.reshape_funcs):
            library.add_linking_file(str(Path(dispatcher.__file__).with_name(_RESHAPE)))


@contextmanager
def current_device(cc):
    """Let Numba compile device functions, which it does "for the current device" even where there is none.

    Numba compiles under its global lock only: while the caller holds it, no other thread meets the stand-in.
    """
    from numba.cuda import dispatcher

    real = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=cc)
    try:
        yield
    finally:
        dispatcher.get_current_device = real

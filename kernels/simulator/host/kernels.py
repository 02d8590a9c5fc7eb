"""Kernels as the host sees them: ``cuda.jit`` with its options, and what its result can do.

`METHODS` take the place of methods of Numba's ``FakeCUDAKernel``, so that kernels made before the simulator was
installed run on it too.
"""

import functools
import types as pytypes

from ..errors import LaunchError
from .launch import Configured, ForAll, Target, dimensions, most_threads
from .signatures import declare, declared, inferred, is_signature, typeof

#: What `cuda.jit` takes, and what it takes where nothing is said. The simulator needs few of them.
OPTIONS = {
    "device": False, "inline": "never", "forceinline": False, "link": (), "debug": None, "opt": None,
    "lineinfo": False, "cache": False, "launch_bounds": None, "lto": None, "shared_memory_carveout": None,
    "fastmath": False, "extensions": (), "max_registers": None, "abi": "numba", "abi_info": None, "nopython": True,
    "boundscheck": None, "nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "target": "cuda",
}  # fmt: skip


class Overload:
    """A kernel for one signature; nothing is compiled, so it has no registers and no code."""

    regs_per_thread = const_mem_size = shared_mem_per_block = local_mem_per_thread = 0

    def __init__(self, kernel, signature):
        self.signature = signature
        self.max_threads_per_block = most_threads(kernel)

    def max_cooperative_grid_blocks(self, blockdim, dynsmemsize=0):
        """Blocks that can wait for one another: as many as the simulator keeps resident."""
        return getattr(Target.options, "resident", 16)


class Overloads(dict):
    """Overloads by argument types: those declared and those launched, and any other that is asked for."""

    def __init__(self, kernel):
        self._kernel = kernel

    def __missing__(self, arguments):
        self[arguments] = Overload(self._kernel, declare(None, *arguments))
        return self[arguments]


class _Methods:
    """What `FakeCUDAKernel` has, and lacks."""

    declared = ()
    specialized = False

    @property
    def targetoptions(self):
        return self.__dict__.setdefault("_options", dict(OPTIONS, device=self._device, debug=self._debug))

    @property
    def _seen(self):
        return self.__dict__.setdefault("_launched", {})

    @property
    def overloads(self):
        found = self.__dict__.setdefault("_overloads", Overloads(self))
        for each in self.declared:
            if each.args not in found:
                found[each.args] = Overload(self, _with_result(self, each))
        for arguments in filter(None, self._seen.values()):
            if arguments not in found:
                found[arguments] = Overload(self, declare(None, *arguments))
        return found

    @property
    def specializations(self):
        return self.__dict__.setdefault("_specializations", {})

    @property
    def signatures(self):
        return list(self.overloads)

    def __call__(self, *args):
        if self._device:
            return self.fn(*args)
        dimensions(None, None)

    def configure(self, griddim, blockdim, stream=0, sharedmem=0):
        return Configured(self, griddim, blockdim, stream, sharedmem)

    def __getitem__(self, configuration):
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise LaunchError("must specify at least the griddim and blockdim, then a stream and shared memory")
        return Configured(self, *configuration)

    def forall(self, ntasks, tpb=0, stream=0, sharedmem=0):
        return ForAll(self, ntasks, tpb, stream, sharedmem)

    def specialize(self, *args):
        if self.specialized:
            raise RuntimeError("Dispatcher already specialized")
        types = tuple(typeof(getattr(value, "_ary", value)) for value in args)
        known = self.specializations
        if types not in known:
            known[types] = make(self.fn, (declare(None, *types),), self.targetoptions)
            known[types].specialized = True
        return known[types]

    def compile(self, sig):
        return self.overloads[sig]

    def __get__(self, instance, owner=None):
        return self if instance is None else pytypes.MethodType(self, instance)

    def inspect_llvm(self, signature=None):
        return {} if signature is None else ""

    inspect_asm = inspect_sass = inspect_sass_cfg = inspect_lto_ptx = inspect_llvm

    def inspect_types(self, file=None):
        return None


def _with_result(kernel, signature):
    if signature.return_type is None and kernel._device:
        return declare(inferred(kernel.fn, signature.args), *signature.args)
    return signature


def _resource(attribute):
    def get(self, signature=None):
        if signature is not None:
            return getattr(self.overloads[getattr(signature, "args", signature)], attribute)
        found = {arguments: getattr(each, attribute) for arguments, each in self.overloads.items()}
        return next(iter(found.values())) if self.specialized else found

    return get


METHODS = {
    name: value
    for name, value in vars(_Methods).items()
    if name not in ("__module__", "__doc__", "__dict__", "__weakref__", "__firstlineno__", "__static_attributes__")
} | {
    f"get_{attribute}": _resource(attribute)
    for attribute in (
        "regs_per_thread",
        "const_mem_size",
        "shared_mem_per_block",
        "max_threads_per_block",
        "local_mem_per_thread",
    )
}


def make(function, signatures, options):
    """A kernel with explicit signatures, if any, and the options of ``cuda.jit``."""
    from numba.cuda.simulator.kernel import FakeCUDAKernel

    kernel = FakeCUDAKernel(
        function, bool(options["device"]), bool(options["fastmath"]), options["extensions"] or (),
        bool(options["debug"]),
    )  # fmt: skip
    kernel.declared = signatures
    kernel._options = dict(options, extensions=kernel.extensions)
    return kernel


def jit(func_or_sig=None, device=False, **options):
    """``cuda.jit`` with every option it has on hardware.

    Raises
    ------
    TypeError
        For an option that it does not have there, and for a kernel that is declared to return something.
    """
    options = _checked(dict(options, device=device))
    listed = isinstance(func_or_sig, list)
    if func_or_sig is None or listed or is_signature(func_or_sig):
        given = func_or_sig if listed else [] if func_or_sig is None else [func_or_sig]
        return functools.partial(_declare, signatures=given, options=options, alone=not listed)
    return make(func_or_sig, (), options)


def _declare(function, signatures, options, alone):
    found = declared(signatures)
    if not options["device"]:
        for each in found:
            if each.return_type is not None and str(each.return_type) != "none":
                raise TypeError("CUDA kernel must have void return type.")
    kernel = make(function, found, options)
    kernel.specialized = alone and bool(found)
    if Target.compile is not None and not options["device"]:
        for each in found:
            Target.compile(function, each.args, Target.options)
    return kernel


def _checked(options):
    from numba.core.errors import DeprecationError

    for old in ("argtypes", "restype", "bind"):
        if options.pop(old, None) is not None:
            raise DeprecationError(
                f"Deprecated keyword argument `{old}`. Signatures should be passed as the first positional argument."
            )
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise TypeError(f"cuda.jit has no option {', '.join(unknown)}; it has {', '.join(sorted(OPTIONS))}")
    if options.get("boundscheck"):
        raise NotImplementedError("bounds checking is not supported for CUDA")
    if options["device"] and options.get("link"):
        raise ValueError("link keyword invalid for device function")
    bounds, carveout = options.get("launch_bounds"), options.get("shared_memory_carveout")
    if isinstance(bounds, tuple | list) and len(bounds) > 3:
        raise ValueError(
            f"Got {len(bounds)} launch bounds: {bounds}; at most threads, blocks and cluster size are meant"
        )
    if isinstance(carveout, str) and carveout.lower() not in ("default", "maxl1", "maxshared"):
        raise ValueError(f"Invalid carveout value: {carveout}; it must be -1 to 100, default, MaxL1 or MaxShared")
    if isinstance(carveout, int) and not -1 <= carveout <= 100:
        raise ValueError(f"Carveout must be between -1 and 100, got {carveout}")
    return OPTIONS | options

"""Machine code kept on disk: compiled kernels, and the simulator's own routines.

An entry is an object file with a few facts about it, named by a hash of all that went into it: the kernel and every
function and constant that it reaches, the types of its arguments, options, versions, this package's files, and the
processor. `kernels.storage` says where entries lie, `kernels.fingerprint` what a kernel reaches.
"""

import functools
import platform
import struct
import sys
from pathlib import Path

import llvmlite.binding as llvm
from numba.core import config

from ... import storage
from ...fingerprint import Fingerprint, NotKept, files, version
from ...storage import CacheWarning
from .. import compat

__all__ = ["CacheWarning", "Code", "alone", "defined", "environment", "get", "kernel_key", "needs", "portable", "put"]

#: Bytes of all entries; the oldest go first.
LIMIT = storage.LIMIT


# --- entries ------------------------------------------------------------------------------------------------


def folder():
    """Where entries lie."""
    return storage.folder("simulator")


def get(key):
    """The facts and the object file of an entry, or None."""
    return storage.get(folder(), key)


def put(key, facts, code):
    """Keep an entry; where nothing can be written, nothing is kept."""
    storage.put(folder(), key, facts, code, LIMIT)


def alone(name):
    """One process at a time, where a lock can be had: those that come later find what the first one made."""
    return storage.alone(folder(), name)


# --- machine code -------------------------------------------------------------------------------------------


class Code:
    """An object file in memory, ready to run for as long as this lives."""

    def __init__(self, data):
        _initialize()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        # llvmlite's memory manager puts code and data together. LLVM's own lays them out section by section: in a
        # process with PyTorch and a GPU they came to lie more than 2 GB apart, over which LLVM 22 ends the process.
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine, use_lmm=True)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()

    def address(self, name):
        """Address of a function or variable."""
        return self._engine.get_function_address(name) or self._engine.get_global_value_address(name)


@functools.cache
def _initialize():
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()


def needs(data):
    """Names that an object file (ELF, 64 bits) expects others to define."""
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, start + k * size) for k in range(count)]
    found = set()
    for _, kind, _, _, offset, length, link, *_ in sections:
        if kind != 2:  # SHT_SYMTAB
            continue
        strings = sections[link][4]
        for at in range(offset, offset + length, 24):
            name, _, _, section = struct.unpack_from("<IBBH", data, at)
            if name and section == 0:
                end = data.index(b"\0", strings + name)
                found.add(data[strings + name : end].decode())
    return found - {"_GLOBAL_OFFSET_TABLE_"}


def defined(names):
    """Whether this process defines all names; LLVM ends the process over one that it does not."""
    if all(map(llvm.address_of_symbol, names)):
        return True
    from numba.core.registry import cpu_target

    cpu_target.target_context  # noqa: B018  (defines Numba's own helpers)
    return all(map(llvm.address_of_symbol, names))


def portable(names):
    """Whether code that needs `names` means the same in another process: nothing of Python's is among them."""
    return not any(name.lstrip("_").startswith(("Py", "NRT_", "numba_unpickle", "numba.dynamic")) for name in names)


# --- keys ---------------------------------------------------------------------------------------------------


def kernel_key(function, arguments, *options):
    """The name of a kernel's entry, or None for a kernel that cannot be kept.

    Parameters
    ----------
    function : function
    arguments : tuple of numba.types.Type
    *options
        Whatever else the code depends on.
    """
    found = _Fingerprint(repr(options), *environment())
    try:
        for native in arguments:
            found.type(native)
        found.function(function)
    except NotKept:
        return None
    return found.digest()


@functools.cache
def environment():
    """What all code depends on: versions, this package's files, the processor."""
    versions = [f"{name} {version(name)}" for name in ("numba", "numba-cuda", "numba-cuda-mlir", "llvmlite", "numpy")]
    features = config.CPU_FEATURES or ",".join(sorted(llvm.get_host_cpu_features().flatten().split(",")))
    processor = [platform.machine(), config.CPU_NAME or llvm.get_host_cpu_name(), features]
    return *versions, sys.version, f"opt {config.OPT}", *processor, _own_files()


def _own_files():
    """The simulator's files, and those that say what a kernel depends on and how an entry is written."""
    simulator = Path(__file__).parent.parent
    return files(simulator, *(simulator.parent / name for name in ("fingerprint.py", "storage.py")))


#: Functions and types of the simulator itself, whose files are part of `environment`.
_OWN = __package__.removesuffix("compiled") + "functions."


class _Fingerprint(Fingerprint):
    def behind(self, value):
        function = compat.python_function(value)
        if function is None or (function is value and compat.known_to_numba(value)):
            return None  # of an overload, which may be anything, the name is what counts
        if getattr(value, "_can_compile", True) is False:  # of the host alone, which is an error
            raise NotKept(value)
        return function, str(compat.signatures(value))

    def as_type(self, value):
        return compat.scalar_type(value)

    def is_own(self, value, module, name):
        return module.startswith(_OWN)

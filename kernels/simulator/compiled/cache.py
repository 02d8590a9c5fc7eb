"""Machine code kept on disk: compiled kernels, and the simulator's own routines.

An entry is an object file with a few facts about it, named by a hash of all that went into it: the kernel and every
function and constant that it reaches, the types of its arguments, options, versions, this package's files, and the
processor. Nothing refers to an entry but its name, so that a changed kernel finds none and old ones are dropped when
the folder grows too large. Entries lie in ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache folder.
"""

import contextlib
import dataclasses
import dis
import enum
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import struct
import sys
import tempfile
import types as python_types
import warnings
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.core import config

from .. import compat, rebind

#: Bytes of all entries; the oldest go first.
LIMIT = 256 << 20

_MAGIC = b"kernels.simulator 1\n"


class CacheWarning(UserWarning):
    """An entry on disk is damaged, and was made again."""


# --- entries ------------------------------------------------------------------------------------------------


def folder():
    """Where entries lie."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR) / "kernels-simulator"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "numba-kernels" / "simulator"


def get(key):
    """The facts and the object file of an entry, or None."""
    path = folder() / f"{key}.o"
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body = data[len(_MAGIC) : len(_MAGIC) + 32], data[len(_MAGIC) + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        warnings.warn(f"{path} is damaged; it is compiled again", CacheWarning, stacklevel=2)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    size = int.from_bytes(body[:4], "little")
    return json.loads(body[4 : 4 + size]), body[4 + size :]


def put(key, facts, code):
    """Keep an entry; where nothing can be written, nothing is kept."""
    facts = json.dumps(facts).encode()
    body = len(facts).to_bytes(4, "little") + facts + code
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        _make_room(place, len(body))
        handle, name = tempfile.mkstemp(dir=place, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(name, place / f"{key}.o")
        except BaseException:
            os.unlink(name)
            raise
    except OSError:
        return


@contextlib.contextmanager
def alone(name):
    """One process at a time, where a lock can be had: those that come later find what the first one made."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock = open(folder() / f"{name}.lock", "w")
    except OSError:
        yield
        return
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_room(place, size):
    """Drop the entries that were used least recently, until another of `size` bytes fits."""
    found = []
    for entry in os.scandir(place):
        with contextlib.suppress(OSError):  # another process dropped it
            found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total = size + sum(each[1] for each in found)
    for _, freed, path in sorted(found):
        if total <= LIMIT:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= freed


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


class _NotKept(Exception):
    """A kernel reaches something that says nothing of itself that another process could compare."""


def kernel_key(function, arguments, *options):
    """The name of a kernel's entry, or None for a kernel that cannot be kept.

    Parameters
    ----------
    function : function
    arguments : tuple of numba.types.Type
    *options
        Whatever else the code depends on.
    """
    found = [repr(options), *environment()]
    try:
        for native in arguments:
            found += _of_type(native)
        _of_function(function, found, {})
    except _NotKept:
        return None
    return hashlib.sha256("\0".join(found).encode("utf-8", "surrogatepass")).hexdigest()


@functools.cache
def environment():
    """What all code depends on: versions, this package's files, the processor."""
    versions = [f"{name} {_version(name)}" for name in ("numba", "numba-cuda", "numba-cuda-mlir", "llvmlite", "numpy")]
    features = config.CPU_FEATURES or ",".join(sorted(llvm.get_host_cpu_features().flatten().split(",")))
    processor = [platform.machine(), config.CPU_NAME or llvm.get_host_cpu_name(), features]
    return *versions, sys.version, str(config.OPT), *processor, files(Path(__file__).parent.parent)


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def files(place):
    """What changes when a Python file below a folder does."""
    found = hashlib.sha256()
    for path in sorted(place.rglob("*.py")):
        found.update(f"{path.relative_to(place)}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


#: Types of arguments whose text says all.
_TYPES = (types.Array, types.Number, types.Boolean, types.NPDatetime, types.NPTimedelta, types.NoneType, types.Omitted,
          types.UniTuple, types.Tuple, types.Record)  # fmt: skip


def _of_type(native):
    if isinstance(native, types.BaseNamedTuple):
        yield f"{native.instance_class.__module__}.{native.instance_class.__qualname__}{native.fields}"
    elif not isinstance(native, _TYPES):
        raise _NotKept
    yield repr(native)
    if isinstance(native, types.Array):
        yield from _of_type(native.dtype)
    elif isinstance(native, types.BaseTuple):
        for part in native:
            yield from _of_type(part)


def _of_function(function, found, seen):
    """Describe a function and all that it reaches."""
    if function in seen:
        found.append(f"function {seen[function]}")
        return
    seen[function] = len(seen)
    _of_code(function.__code__, found)
    used = rebind.names_of(function.__code__)
    for part in (function.__defaults__ or (), sorted((function.__kwdefaults__ or {}).items())):
        _of_value(tuple(part), used, found, seen)
    for name in sorted(used):
        if name in function.__globals__:
            found.append(f"global {name}")
            _of_value(function.__globals__[name], used, found, seen)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        found.append(f"cell {name}")
        try:
            value = cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
        _of_value(value, used, found, seen)


def _of_code(code, found):
    names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags
    found += [repr(names), repr(counts), code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex()]
    if any(instruction.opname == "RAISE_VARARGS" for instruction in dis.get_instructions(code)):
        # An exception says its source line. Other code means the same wherever it stands, in the next notebook too.
        found += [code.co_filename, str(code.co_firstlineno), code.co_linetable.hex()]
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            _of_code(constant, found)
        else:
            found.append(repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant))


#: Packages whose functions, types and constants their name and version identify.
_KNOWN = {"builtins", "math", "cmath", "numpy", "operator", "numba", "numba_cuda", "numba_cuda_mlir", "llvmlite"}

#: Functions and types of the simulator itself, whose files are part of `environment`.
_OWN = __package__.removesuffix("compiled") + "functions."

_PLAIN = (bool, int, float, complex, str, bytes, python_types.NoneType, python_types.EllipsisType)


def _of_value(value, used, found, seen):
    """Describe a value that a function names."""
    kind = type(value)
    if kind in _PLAIN:
        found.append(f"{kind.__name__} {value!r}")
    elif isinstance(value, np.generic):
        found.append(f"{value.dtype.descr} {value.tobytes().hex()}")
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        layout = value.shape, value.flags.c_contiguous, value.flags.f_contiguous, value.dtype.descr
        found.append(f"{layout} {hashlib.sha256(value.tobytes('A')).hexdigest()}")
    elif isinstance(value, tuple):
        found.append(f"{kind.__module__}.{kind.__qualname__}{getattr(value, '_fields', len(value))}")
        for part in value:
            _of_value(part, used, found, seen)
    elif isinstance(value, python_types.ModuleType):
        found.append(value.__name__)
        if value.__name__.split(".")[0] not in _KNOWN:
            for name in sorted(used):
                if hasattr(value, name):
                    found.append(name)
                    _of_value(getattr(value, name), used, found, seen)
    elif (function := compat.python_function(value)) is not None:
        if function is value and compat.known_to_numba(value):  # an overload is what counts, which may be anything
            return _of_named(value, found)
        if getattr(value, "_can_compile", True) is False:  # of the host alone, which is an error
            raise _NotKept
        found.append(f"{kind.__module__}.{kind.__qualname__} {compat.signatures(value)}")
        _of_function(function, found, seen)
    elif (native := compat.scalar_type(value)) is not None:
        found.append(str(native))
        found += _of_type(native)
    elif isinstance(value, np.dtype):
        found.append(repr(value.descr))
    elif isinstance(value, enum.Enum):
        found.append(f"{kind.__module__}.{kind.__qualname__}.{value.name}")
        _of_value(value.value, used, found, seen)
    elif isinstance(value, enum.EnumMeta):
        found.append(f"{value.__module__}.{value.__qualname__}")
        for member in value:
            _of_value(member, used, found, seen)
    elif isinstance(value, type) and dataclasses.is_dataclass(value):
        raise _NotKept
    else:
        _of_named(value, found)


def _of_named(value, found):
    """Describe what a package that is known by its version defines."""
    owner = value if isinstance(getattr(value, "__module__", None), str) else type(value)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    known = owner.__module__.split(".")[0] in _KNOWN or owner.__module__.startswith(_OWN)
    if not isinstance(name, str) or "<locals>" in name or not known:
        raise _NotKept
    found.append(f"{owner.__module__}.{name}")

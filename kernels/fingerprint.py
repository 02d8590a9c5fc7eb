"""What a kernel's machine code depends on, as a hash that is the same in every process.

A function is described by its code, the values that it names - constants, arrays, types, other functions, and what
these name in turn - and for packages that are known, by their versions. Something that says nothing of itself that
another process could compare makes a kernel that is not kept (`NotKept`).
"""

import dataclasses
import dis
import enum
import functools
import hashlib
import importlib.metadata
import sys
import types as python_types

import numpy as np
from numba import types


class NotKept(Exception):
    """A kernel reaches something that says nothing of itself that another process could compare."""


def names_of(code):
    """Global names and attributes that a function's code uses, and those of functions inside it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            found |= names_of(constant)
    return found


@functools.cache
def version(name):
    """Of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def sources(*places):
    """Python files: these, and those below folders of these."""
    return [path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])]


def files(*places):
    """What changes when one of the `sources` does."""
    found = hashlib.sha256()
    for path in sources(*places):
        data = path.read_bytes()
        found.update(f"{path.parent.name}/{path.name} {len(data)}\0".encode())
        found.update(data)
    return found.hexdigest()


_PLAIN = (bool, int, float, complex, str, bytes, python_types.NoneType, python_types.EllipsisType)
_RAISE = dis.opmap["RAISE_VARARGS"]


class Fingerprint:
    """The description of one kernel, added to piece by piece; what compilers differ in, subclasses say.

    Raises
    ------
    NotKept
        By its methods.
    """

    #: Packages whose functions, types and constants their name and version identify.
    KNOWN = frozenset({"builtins", "math", "cmath", "numpy", "operator", "numba", "numba_cuda", "numba_cuda_mlir",
                       "llvmlite"})  # fmt: skip

    #: Types of arguments whose text says all.
    TYPES = (types.Array, types.Number, types.Boolean, types.NPDatetime, types.NPTimedelta, types.NoneType,
             types.Omitted, types.UniTuple, types.Tuple, types.Record)  # fmt: skip

    #: Whether code depends on where it stands: line information does, and what a function raises.
    PLACES = False

    def __init__(self, *texts):
        self._found = list(texts)
        self._seen = {}

    def digest(self):
        """The hash of all that was added."""
        return hashlib.sha256("\0".join(self._found).encode("utf-8", "surrogatepass")).hexdigest()

    # --- what compilers differ in

    def behind(self, value):
        """The Python function whose body counts for a value, and what else does, as text; or None."""
        return (value, "") if isinstance(value, python_types.FunctionType) else None

    def as_type(self, value):
        """Numba's type for a value that is one, or None."""
        return value if isinstance(value, types.Type) else None

    def is_own(self, value, module, name):
        """Whether a value is this package's, so that its files identify it."""
        return False

    def used(self, names):
        """What follows from the names alone that a function uses."""

    # --- descriptions

    def text(self, *texts):
        """Add text."""
        self._found += texts

    def type(self, native):
        """Describe a type of Numba's."""
        if isinstance(native, types.BaseNamedTuple):
            self.text(f"{native.instance_class.__module__}.{native.instance_class.__qualname__}{native.fields}")
        elif not isinstance(native, self.TYPES):
            raise NotKept(native)
        self.text(repr(native))
        if isinstance(native, types.Array):
            self.type(native.dtype)
        elif isinstance(native, types.BaseTuple):
            for part in native:
                self.type(part)

    def function(self, function):
        """Describe a function and all that it reaches."""
        if function in self._seen:
            self.text(f"function {self._seen[function]}")
            return
        self._seen[function] = len(self._seen)
        self.code(function.__code__)
        used = names_of(function.__code__)
        self.used(used)
        for part in (function.__defaults__ or (), sorted((function.__kwdefaults__ or {}).items())):
            self.value(tuple(part), used)
        for name in sorted(used & function.__globals__.keys()):
            self.text(f"global {name}")
            self.value(function.__globals__[name], used)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.text(f"cell {name}")
            try:
                value = cell.cell_contents
            except ValueError:  # a name that is not bound yet
                continue
            self.value(value, used)

    def code(self, code):
        """Describe code and the code inside it."""
        names = code.co_name, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        counts = code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags
        self.text(repr(names), repr(counts), code.co_code.hex(), getattr(code, "co_exceptiontable", b"").hex())
        if self.PLACES or _RAISE in code.co_code[::2]:
            # An exception says its source line. Other code means the same wherever it stands, in the next notebook too.
            self.text(code.co_filename, str(code.co_firstlineno), code.co_linetable.hex())
        for constant in code.co_consts:
            if isinstance(constant, python_types.CodeType):
                self.code(constant)
            else:
                self.text(repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant))

    def value(self, value, used=frozenset()):
        """Describe a value that a function names, which uses these names."""
        kind = type(value)
        if kind in _PLAIN:
            self.text(f"{kind.__name__} {value!r}")
        elif isinstance(value, np.generic):
            self.text(f"{value.dtype.descr} {value.tobytes().hex()}")
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            layout = value.shape, value.flags.c_contiguous, value.flags.f_contiguous, value.dtype.descr
            self.text(f"{layout} {hashlib.sha256(value.tobytes('A')).hexdigest()}")
        elif isinstance(value, tuple):
            self.text(f"{kind.__module__}.{kind.__qualname__}{getattr(value, '_fields', len(value))}")
            for part in value:
                self.value(part, used)
        elif isinstance(value, python_types.ModuleType):
            self.module(value, used)
        elif (found := self.behind(value)) is not None:
            function, text = found
            self.text(f"{kind.__module__}.{kind.__qualname__} {text}")
            self.function(function)
        elif (native := self.as_type(value)) is not None:
            self.text(str(native))
            self.type(native)
        elif isinstance(value, np.dtype):
            self.text(repr(value.descr))
        elif isinstance(value, enum.Enum):
            self.text(f"{kind.__module__}.{kind.__qualname__}.{value.name}")
            self.value(value.value, used)
        elif isinstance(value, enum.EnumMeta):
            self.text(f"{value.__module__}.{value.__qualname__}")
            for member in value:
                self.value(member, used)
        else:
            self.named(value)

    def module(self, module, used):
        """Describe a module: its name, and what these names are in it."""
        self.text(module.__name__)
        known = module.__name__.split(".")[0] in self.KNOWN or self.is_own(module, module.__name__, "")
        if known or (module, frozenset(used)) in self._seen:  # two modules may have one another
            return
        self._seen[module, frozenset(used)] = None
        for name in sorted(used):
            if hasattr(module, name):
                self.text(name)
                self.value(getattr(module, name), used)

    def named(self, value):
        """Describe what a package defines that is known by its version."""
        module, name = _name(value)
        own = bool(name) and self.is_own(value, module, name)
        known = module.split(".")[0] in self.KNOWN and not (isinstance(value, type) and dataclasses.is_dataclass(value))
        if not name or "<locals>" in name or not (own or known):
            raise NotKept(value)
        self.text(f"{module}.{name}")


def _name(value):
    """Module and qualified name of what has them; else the module of its type."""
    module = getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return module if isinstance(module, str) else type(value).__module__, name if isinstance(name, str) else None


def is_found(value, module, name):
    """Whether a value is what its module has under its name."""
    found = sys.modules.get(module)
    for part in name.split(".") if name else ():
        found = getattr(found, part, None)
    return found is value

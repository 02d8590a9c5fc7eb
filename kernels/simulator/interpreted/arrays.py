"""Arrays as kernels see them in the interpreted engine: elements are typed as Numba types them, stores convert as C."""

import numpy as np

from .. import state as S
from . import numbers


class Type:
    """A dtype of a kernel: ``x.dtype``, ``float32``, ``np.float32``; called, it converts as C does."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)

    def __call__(self, value=0):
        return numbers.cast(self.dtype, value)

    @property
    def type(self):
        return self

    def __eq__(self, other):
        return self.dtype == (other.dtype if isinstance(other, Type) else other)

    def __hash__(self):
        return hash(self.dtype)

    def __getattr__(self, name):
        return getattr(self.dtype, name)

    def __repr__(self):
        return repr(self.dtype)


def dtype_of(value):
    """NumPy's dtype of whatever a kernel gives as one."""
    if isinstance(value, Type):
        return value.dtype
    return np.dtype(value if isinstance(value, (type, str)) else getattr(value, "dtype", value))


class Address:
    """``x.ctypes`` of an array."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data


class Array:
    """An array of a kernel.

    Parameters
    ----------
    raw : numpy.ndarray
    name : str
    watch : callable, optional
        Called before an access with the array, the index and what is done there.
    """

    def __init__(self, raw, name="", watch=None):
        self.raw, self.name, self._watch = raw, name, watch
        self._load = numbers.loader(raw.dtype)
        self._scalar = raw.dtype.type if self._load is None and not raw.dtype.names else None
        # Values of these types are stored as they are: NumPy drops upper bits of what goes to unsigned integers.
        self._plain = (raw.dtype.type, np.int64) if raw.dtype.kind == "u" else (raw.dtype.type,)

    def __getitem__(self, index):
        if self._watch is not None:
            self._watch(self, index, S.READ)
        found = self.raw[index]
        if type(found) is self._scalar:
            return found
        if self._load is not None:
            return self._view(found) if isinstance(found, np.ndarray) else self._load(found)
        if isinstance(found, np.ndarray):
            return self._view(found)
        return Record(self, index) if self.raw.dtype.names else found

    def __setitem__(self, index, value):
        if self._watch is not None:
            self._watch(self, index, S.WRITE)
        if type(value) in self._plain:
            self.raw[index] = value
        elif type(value) is np.int64 and self.raw.dtype.kind == "i":  # NumPy refuses what does not fit
            self.raw[index] = value.astype(self.raw.dtype)
        elif isinstance(value, Array):
            self.raw[index] = value.raw
        elif self.raw.dtype.names:
            self.raw[index] = value.value if isinstance(value, Record) else value
        else:
            self.raw[index] = numbers.raw(numbers.cast(self.raw.dtype, value))

    def __len__(self):
        return len(self.raw)

    def __iter__(self):
        for k in range(len(self.raw)):
            yield self[k]

    def view(self, dtype):
        return self._view(self.raw.view(dtype_of(dtype)))

    def reshape(self, *shape):
        return self._view(self.raw.reshape(*shape))

    def ravel(self):
        return self._view(self.raw.reshape(-1))

    def transpose(self, *axes):
        return self._view(self.raw.transpose(*axes))

    def copy(self):
        return Array(self.raw.copy(), self.name)

    def _reduction(self, name):
        method = getattr(self.raw, name)

        def reduce(*axes):
            found = method(*map(int, axes))
            return Array(found) if isinstance(found, np.ndarray) else numbers.typed(found)

        return reduce

    def _view(self, raw):
        return Array(raw, self.name, self._watch)

    def __getattr__(self, name):
        """What is asked for seldom is made then, and kept."""
        raw = self.__dict__["raw"]
        if name in ("shape", "strides"):
            found = tuple(map(np.int64, getattr(raw, name)))
        elif name in ("size", "ndim", "itemsize", "nbytes"):
            found = np.int64(getattr(raw, name))
        elif name == "dtype":
            found = Type(raw.dtype)
        elif name in ("T", "real", "imag"):
            found = self._view(getattr(raw, name))
        elif name in _REDUCTIONS:
            found = self._reduction(name)
        elif name == "ctypes":
            found = Address(np.int64(raw.__array_interface__["data"][0]))
        elif name == "flat":
            found = self._view(raw.reshape(-1))
        elif name in (raw.dtype.names or ()):
            found = self._view(raw[name])
        elif (found := None if name.startswith("__") else Array.overloaded(self, name)) is None:
            raise AttributeError(f"an array of a kernel has no {name}")
        self.__dict__[name] = found
        return found

    @staticmethod
    def overloaded(array, name):
        """A method or an attribute that an extension of Numba's defines; the engine puts its own look-up here."""

    def __repr__(self):
        return repr(self.raw)


_REDUCTIONS = {"sum", "prod", "min", "max", "mean", "var", "std", "all", "any", "argmin", "argmax"}


class Record:
    """An element of a structured array: its fields are read and written in place."""

    __slots__ = ("_array", "_index")

    def __init__(self, array, index):
        object.__setattr__(self, "_array", array)
        object.__setattr__(self, "_index", index)

    @property
    def value(self):
        return self._array.raw[self._index]

    def __getitem__(self, field):
        field = self._array.raw.dtype.names[field] if not isinstance(field, str) else field
        part = self._array._view(self._array.raw[field])
        return part[self._index]

    def __setitem__(self, field, value):
        field = self._array.raw.dtype.names[field] if not isinstance(field, str) else field
        self._array._view(self._array.raw[field])[self._index] = value

    __getattr__, __setattr__ = __getitem__, __setitem__


def argument(value, name="", watch=None):
    """What a kernel sees of an argument."""
    if isinstance(value, np.ndarray):
        return Array(value, name, watch)
    if isinstance(value, tuple):
        parts = [argument(part, f"{name}[{k}]", watch) for k, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.void) and value.dtype.names:
        return Record(Array(np.array(value), name, watch), ())
    if isinstance(value, np.generic):
        load = numbers.loader(value.dtype)
        return value if load is None else load(value)
    return numbers.constant(value)

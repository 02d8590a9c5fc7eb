"""Arrays as kernels see them in the interpreted engine: elements are typed as Numba types them, stores convert as C."""

import functools
from operator import index as as_index

import numpy as np
from numba import types

from .. import compat, shadow
from .. import state as S
from . import access, numbers


class Type:
    """A dtype of a kernel: ``x.dtype``, ``float32``, ``np.float32``; called, it converts as C does."""

    __slots__ = ("_convert", "_hash", "dtype")

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)
        self._convert, self._hash = numbers.caster(self.dtype), hash(self.dtype)

    def __call__(self, value=0):
        return self._convert(value)

    @property
    def type(self):
        return self

    def __eq__(self, other):
        return self.dtype == (other.dtype if isinstance(other, Type) else other)

    def __hash__(self):
        return self._hash

    def __getattr__(self, name):
        return getattr(self.dtype, name)

    def __repr__(self):
        return repr(self.dtype)


def dtype_of(value):
    """NumPy's dtype of whatever a kernel gives as one."""
    if isinstance(value, Type):
        return value.dtype
    if isinstance(value, types.Type):  # in a kernel that runs as it stands
        return compat.dtype(value)
    return np.dtype(value if isinstance(value, (type, str)) else getattr(value, "dtype", value))


class Address:
    """``x.ctypes`` of an array."""

    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data


class Array:
    """An array of a kernel, made by `of`.

    Parameters
    ----------
    raw : numpy.ndarray
    name : str
    """

    _watch = None

    def __init__(self, raw, name=""):
        self.raw, self.name = raw, name
        self._native, self._load, self._plain, self._direct, self._storable = _means(raw.dtype)

    def __getitem__(self, index):
        found = self.raw[index]
        kind = type(found)
        if kind is self._plain:
            return found
        return self._load(found) if kind is self._native else self._found(found, index)

    def __setitem__(self, index, value):
        if type(value) in self._direct:
            self.raw[index] = value
        else:
            self._store(index, value)

    def _found(self, found, index):
        """What NumPy found at an index, where that is no number."""
        if isinstance(found, np.ndarray):
            return self._view(found)
        return Record(self, index) if self.raw.dtype.names else found

    def _store(self, index, value):
        if isinstance(value, Array):
            self.raw[index] = value.raw
        elif isinstance(value, Record):
            self.raw[index] = value.value
        else:
            self.raw[index] = self._storable(value)

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
        return of(self.raw.copy(), self.name)

    def _reduction(self, name):
        method = getattr(self.raw, name)

        def reduce(*axes):
            found = method(*map(int, axes))
            return of(found) if isinstance(found, np.ndarray) else numbers.typed(found)

        return reduce

    def _view(self, raw):
        return of(raw, self.name, self._watch)

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


class Watched(Array):
    """An array whose accesses are looked at before they happen.

    Attributes
    ----------
    begin, table_at : int
        Addresses of its first element and of what `access` knows of it.
    """

    def __init__(self, raw, name, watch):
        super().__init__(raw, name)
        self._watch = watch
        self.begin = raw.__array_interface__["data"][0]
        rest = [0] * (access.MOST_PARTS - raw.ndim)
        head = self.begin, raw.itemsize, raw.ndim if raw.ndim <= access.MOST_PARTS else -1
        sides = *raw.shape, *rest, *raw.strides, *rest
        self._table = np.array((*head, *sides[: 2 * access.MOST_PARTS], *_kinds(raw.dtype)), np.int64)
        self.table_at = self._table.__array_interface__["data"][0]

    def __getitem__(self, index):
        self._watch(self, index, S.READ)
        found = self.raw[index]
        kind = type(found)
        if kind is self._plain:
            return found
        return self._load(found) if kind is self._native else self._found(found, index)

    def __setitem__(self, index, value):
        self._watch(self, index, S.WRITE)
        if type(value) in self._direct:
            self.raw[index] = value
        else:
            self._store(index, value)

    def offset(self, index):
        """Bytes from the beginning to the element of an index; None where that is no element, or none of the array."""
        try:
            places = [as_index(part) for part in (index if type(index) is tuple else (index,))]
        except TypeError:  # a slice
            return None
        axes = list(zip(places, self.raw.shape, self.raw.strides, strict=False))
        inside = len(places) == self.raw.ndim and all([0 <= place < extent for place, extent, _ in axes])
        return sum([place * stride for place, _, stride in axes]) if inside else None


def of(raw, name="", watch=None):
    """An array as kernels see it.

    Parameters
    ----------
    raw : numpy.ndarray
    name : str
    watch : callable, optional
        Called before an access with the array, the index and what is done there.

    Returns
    -------
    Array
    """
    return Array(raw, name) if watch is None else Watched(raw, name, watch)


@functools.lru_cache(maxsize=64)
def _means(dtype):
    """How elements are loaded and stored.

    Returns
    -------
    native : type or None
        What NumPy finds at an index, where that is no value of a kernel yet.
    load : callable
        Makes it one.
    plain : type or None
        What NumPy finds at an index, where that is one.
    direct : tuple of types
        Values that NumPy stores as C does: it drops upper bits of what goes to unsigned integers.
    storable : callable
        Makes any other value one of these.
    """
    native, load = dtype.type, numbers.loader(dtype)
    direct = (native,)
    if dtype.kind in "uf":
        direct += (np.int64,)
    if dtype.kind == "f":
        direct += (np.float64, np.float32)
    plain = native if load is None and not dtype.names else None
    return native if load else None, load, plain, direct, numbers.storer(dtype)


@functools.lru_cache(maxsize=64)
def _kinds(dtype):
    return [shadow.kind_of(kind, dtype) for kind in (S.READ, S.WRITE, S.ATOMIC, S.RELAXED_READ, S.RELAXED_WRITE)]


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
        return of(value, name, watch)
    if isinstance(value, tuple):
        parts = [argument(part, f"{name}[{k}]", watch) for k, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.void) and value.dtype.names:
        return Record(of(np.array(value), name, watch), ())
    if isinstance(value, np.generic):
        load = numbers.loader(value.dtype)
        return value if load is None else load(value)
    return numbers.constant(value)

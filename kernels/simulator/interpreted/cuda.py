"""What ``cuda`` means in an interpreted kernel: each name as Python does it.

Names and meanings are those of numba-cuda (``numba.cuda`` documentation, "CUDA Kernel API").
"""

import functools

import numpy as np
from numba import types
from numba.core.errors import TypingError

from .. import compat, errors, functions, memory
from .. import state as S
from . import numbers
from .arrays import Array, Type, dtype_of, of
from .twins import Words

# Two classes, written out: one for both, with `operator.attrgetter`, takes 72 ns an attribute instead of 51.


class ThreadIndex:
    """``threadIdx`` of the thread that is running."""

    __slots__ = ("_machine",)

    def __init__(self, machine):
        self._machine = machine

    @property
    def x(self):
        return self._machine.thread.threadIdx.x

    @property
    def y(self):
        return self._machine.thread.threadIdx.y

    @property
    def z(self):
        return self._machine.thread.threadIdx.z

    def __repr__(self):
        return repr(self._machine.thread.threadIdx)


class BlockIndex:
    """``blockIdx`` of the thread that is running."""

    __slots__ = ("_machine",)

    def __init__(self, machine):
        self._machine = machine

    @property
    def x(self):
        return self._machine.thread.blockIdx.x

    @property
    def y(self):
        return self._machine.thread.blockIdx.y

    @property
    def z(self):
        return self._machine.thread.blockIdx.z

    def __repr__(self):
        return repr(self._machine.thread.blockIdx)


class Extent:
    """``blockDim`` and ``gridDim``."""

    __slots__ = ("_machine", "_name")

    def __init__(self, machine, name):
        self._machine, self._name = machine, name

    def __getattr__(self, axis):
        return getattr(getattr(self._machine, self._name), axis)

    def __repr__(self):
        return repr(getattr(self._machine, self._name))


class Group:
    """The grid as a cooperative group."""

    def __init__(self, machine):
        self._machine = machine

    def sync(self):
        self._machine.hand_over(S.AT_WHOLE_GRID)
        self._machine.point()
        return np.int64(0)


class Groups:
    """Cooperative groups."""

    def __init__(self, machine):
        self._machine = machine

    def this_grid(self):
        return Group(self._machine)


def _shape(shape):
    return tuple([int(extent) for extent in shape]) if isinstance(shape, tuple) else (int(shape),)


def _alignment(alignment):
    if alignment is None:
        return 16
    if not isinstance(alignment, int | np.integer) or isinstance(alignment, bool):
        error = TypingError("RequireLiteralValue: alignment must be a constant integer")
        raise compat.error_of_cuda(error)
    found = int(alignment)
    if found <= 0 or found & (found - 1):
        raise ValueError("Alignment must be a positive power of two")
    return found


def _aligned(room, size, alignment):
    """The first bytes of an array of bytes that begin at a multiple of the alignment."""
    start = -room.__array_interface__["data"][0] % alignment
    return room[start : start + size]


class Shared:
    """Shared memory."""

    def __init__(self, machine):
        self._machine = machine

    def array(self, shape, dtype, alignment=None):
        machine = self._machine
        shape, dtype, alignment = _shape(shape), dtype_of(dtype), _alignment(alignment)
        site = S.DYNAMIC_SITE if 0 in shape else machine.place()
        if alignment <= S.SHARED_ALIGNMENT:
            return machine.shared_array(site, shape, dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        room = machine.shared_array(site, (size + alignment,), np.dtype(np.uint8))
        return room._view(_aligned(room.raw, size, alignment).view(dtype).reshape(shape))


def _watch_of_own(raw, name, initialized):
    """The checks of a thread's own array: its extent, and that what is read was written."""
    written, begin = np.full(raw.nbytes, initialized), raw.__array_interface__["data"][0]

    def watch(array, index, kind):
        offset, size = array.offset(index), array.raw.itemsize
        at = array.begin - begin
        if offset is None:
            found = _inside(array, index, name)
            at, size = found.__array_interface__["data"][0] - begin, found.nbytes
            if kind == S.READ and found.ndim:  # a view, read when it is used
                return
        else:
            at += offset
        if kind != S.READ:
            written[at : at + size] = True
        elif not written[at : at + size].all():
            raise errors.UninitializedError(f"read of memory that nothing wrote: {name}, index {index}")

    return watch


def _inside(array, index, name):
    """What an index denotes, which must be inside the array."""
    parts = index if isinstance(index, tuple) else (index,)
    for axis, (part, extent) in enumerate(zip(parts, array.raw.shape, strict=False)):
        if not isinstance(part, slice) and part is not Ellipsis and not 0 <= part < extent:
            text = f"index out of bounds: {part} along axis {axis} of {name}, which has {extent} elements there"
            raise errors.OutOfBoundsError(text)
    return array.raw[(*parts, ...)]


class Local:
    """Memory of a thread."""

    def __init__(self, machine):
        self._machine = machine

    def array(self, shape, dtype, alignment=None):
        shape, dtype, alignment = _shape(shape), dtype_of(dtype), _alignment(alignment)
        size = int(np.prod(shape)) * dtype.itemsize
        raw = _aligned(np.empty(size + alignment, np.uint8), size, alignment).view(dtype).reshape(shape)
        raw.view(np.uint8).reshape(-1)[:] = memory.POISON
        watch = self._machine.watch and _watch_of_own(raw, "local memory", False)
        return self._machine.array(raw, "local", watch)


class Constant:
    """Constant memory."""

    def __init__(self, machine):
        self._machine = machine

    def array_like(self, array):
        raw = np.array(array.raw if isinstance(array, Array) else array)
        raw.flags.writeable = False
        return of(raw, "constant", self._machine.watch and _watch_of_own(raw, "constant memory", True))


def _kernels_own(array):
    """An array as kernels see it; one of NumPy's is what a kernel of scalars was given."""
    return of(array) if isinstance(array, np.ndarray) else array


class Atomic:
    """Read-modify-write that nothing interrupts; each is a scheduling point and returns what was there."""

    def __init__(self, machine):
        self._machine = machine

    def _update(self, array, index, change, kind=S.ATOMIC):
        self._machine.point()
        array = _kernels_own(array)
        if array._watch is not None:
            array._watch(array, index, kind)
        raw = array.raw
        before = raw[index]
        after = change(before)
        if after is not None:
            raw[index] = after
        return before if array._load is None else array._load(before)

    def _with(self, array, value):
        return numbers.raw(numbers.cast(_kernels_own(array).raw.dtype, value))

    def add(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: old + value)

    def sub(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: old - value)

    def and_(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: old & value)

    def or_(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: old | value)

    def xor(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: old ^ value)

    def exch(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: value)

    def inc(self, array, index, value):
        value, one = self._with(array, value), _kernels_own(array).raw.dtype.type(1)
        return self._update(array, index, lambda old: old - old if old >= value else old + one)

    def dec(self, array, index, value):
        value, one = self._with(array, value), _kernels_own(array).raw.dtype.type(1)
        return self._update(array, index, lambda old: value if old == 0 or old > value else old - one)

    def max(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: value if value > old else old)

    def min(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: value if value < old else old)

    def nanmax(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: np.fmax(old, value))

    def nanmin(self, array, index, value):
        value = self._with(array, value)
        return self._update(array, index, lambda old: np.fmin(old, value))

    def cas(self, array, index, old, value):
        expected, value = self._with(array, old), self._with(array, value)
        return self._update(array, index, lambda there: value if there == expected else None)

    def compare_and_swap(self, array, old, value):
        return self.cas(array, 0, old, value)


def _bits(value):
    """A typed scalar as a word, as `compiled.lowering.bits` makes it, and its dtype."""
    raw = numbers.raw(value)
    raw = np.asarray(raw)
    if raw.dtype.kind == "f":
        return int(raw.view(f"u{raw.dtype.itemsize}")) if raw.dtype.itemsize < 8 else int(raw.view(np.int64)), raw.dtype
    if raw.dtype == np.uint64:
        return int(raw.view(np.int64)), raw.dtype
    return int(raw), raw.dtype


def _unbits(word, dtype):
    """A typed scalar from the word that `_bits` made of it."""
    cell = np.array([word], np.int64).view(np.uint8)[: dtype.itemsize] if dtype.kind != "b" else np.array([word != 0])
    raw = cell.view(dtype)[0]
    load = numbers.loader(dtype)
    return raw if load is None else load(raw)


class Module:
    """The module ``cuda`` of one machine."""

    def __init__(self, machine):
        self._machine = machine
        self.threadIdx, self.blockIdx = ThreadIndex(machine), BlockIndex(machine)
        self.blockDim, self.gridDim = Extent(machine, "blockDim"), Extent(machine, "gridDim")
        self.shared, self.local, self.const = Shared(machine), Local(machine), Constant(machine)
        self.atomic, self.cg, self.twins = Atomic(machine), Groups(machine), Words(machine)
        self.warpsize = np.int64(S.LANES)

    @property
    def laneid(self):
        return self._machine.thread.lane

    def grid(self, ndim):
        thread = self._machine.thread
        start, place = thread.start, thread.threadIdx
        x = start.x + place.x
        if ndim == 1:
            return x
        y = start.y + place.y
        return (x, y) if ndim == 2 else (x, y, start.z + place.z)

    def gridsize(self, ndim):
        size, count = self._machine.blockDim, self._machine.gridDim
        extents = size.x * count.x, size.y * count.y, size.z * count.z
        return extents[0] if ndim == 1 else extents[: int(ndim)]

    # --- barriers and scheduling points ---------------------------------------------------------------------

    def syncthreads(self):
        self._machine.hand_over(S.AT_BLOCK, site=self._machine.site())

    def _vote(self, op, predicate):
        row = self._machine.hand_over(S.AT_BLOCK, op, value=int(bool(predicate)), site=self._machine.site(3))
        return numbers.cast(np.dtype(np.int32), int(row[S.RESULT]))

    def syncthreads_count(self, predicate):
        return self._vote(S.VOTE_COUNT, predicate)

    def syncthreads_and(self, predicate):
        return self._vote(S.VOTE_AND, predicate)

    def syncthreads_or(self, predicate):
        return self._vote(S.VOTE_OR, predicate)

    def threadfence(self):
        self._machine.fence(True)
        self._machine.point()

    threadfence_system = threadfence

    def threadfence_block(self):
        self._machine.fence(False)
        self._machine.point()

    def nanosleep(self, ns):
        self._machine.point()

    # --- cache hints: flags are passed by them, so they order as relaxed atomics do --------------------------

    def hinted_load(self, array, index):
        return self.atomic._update(array, index, lambda old: None, S.RELAXED_READ)

    def hinted_store(self, array, index, value):
        value = self.atomic._with(array, value)
        self.atomic._update(array, index, lambda old: value, S.RELAXED_WRITE)

    # --- warps ----------------------------------------------------------------------------------------------

    def _warp(self, op, mask, value, argument=0, extra=0):
        return self._machine.hand_over(S.AT_WARP, op, int(mask) & S.FULL, value, argument, extra)

    def _shuffle(self, op, mask, value, lane, clamp):
        word, dtype = _bits(value)
        return _unbits(int(self._warp(op, mask, word, int(lane), clamp)[S.RESULT]), dtype)

    def shfl_sync(self, mask, value, src_lane):
        return self._shuffle(S.SHUFFLE_INDEX, mask, value, src_lane, 31)

    def shfl_up_sync(self, mask, value, delta):
        return self._shuffle(S.SHUFFLE_UP, mask, value, delta, 0)

    def shfl_down_sync(self, mask, value, delta):
        return self._shuffle(S.SHUFFLE_DOWN, mask, value, delta, 31)

    def shfl_xor_sync(self, mask, value, lane_mask):
        return self._shuffle(S.SHUFFLE_XOR, mask, value, lane_mask, 31)

    def _ask(self, op, mask, predicate):
        return int(self._warp(op, mask, int(bool(predicate)))[S.RESULT])

    def all_sync(self, mask, predicate):
        return numbers.boolean(self._ask(S.ALL, mask, predicate))

    def any_sync(self, mask, predicate):
        return numbers.boolean(self._ask(S.ANY, mask, predicate))

    def eq_sync(self, mask, predicate):
        return numbers.boolean(self._ask(S.EQUAL, mask, predicate))

    def ballot_sync(self, mask, predicate):
        return numbers.cast(np.dtype(np.int32), self._ask(S.BALLOT, mask, predicate))

    def match_any_sync(self, mask, value):
        return numbers.cast(np.dtype(np.int32), int(self._warp(S.MATCH_ANY, mask, _bits(value)[0])[S.RESULT]))

    def match_all_sync(self, mask, value):
        row = self._warp(S.MATCH_ALL, mask, _bits(value)[0])
        return numbers.cast(np.dtype(np.int32), int(row[S.RESULT])), numbers.boolean(row[S.EXTRA])

    def syncwarp(self, mask=S.FULL):
        self._warp(S.SYNC, mask, 0)

    def activemask(self):
        row = self._machine.hand_over(S.AT_WARP, S.ACTIVE, site=self._machine.site())
        return numbers.cast(np.dtype(np.uint32), int(row[S.RESULT]))

    def lanemask_lt(self):
        return numbers.cast(np.dtype(np.uint32), (1 << int(self.laneid)) - 1)


def of_kernels(function):
    """A function of NumPy scalars as kernels call it: on typed values, with typed results."""
    if isinstance(function, type):
        return function

    def call(*values):
        found = function(*map(numbers.raw, values))
        return tuple(map(numbers.typed, found)) if isinstance(found, tuple) else numbers.typed(found)

    call.__name__ = getattr(function, "__name__", "function")
    return call


class Names:
    """A module of functions, such as ``cuda.libdevice``."""

    def __init__(self, table):
        self.__dict__.update({name: of_kernels(function) for name, function in table.items()})


@functools.cache
def _vector_of_kernels(vector):
    """A vector whose components are values of a kernel."""
    names = functions.vectors.FIELDS[: vector.size]
    return type(vector)(vector.__name__, (vector,), {"__slots__": ()} | {name: _Component(name) for name in names})


class _Component:
    """One component: stored as NumPy's scalar, read as a value of a kernel."""

    def __init__(self, name):
        self._slot = getattr(functions.Vector, name)

    def __get__(self, vector, kind=None):
        return numbers.typed(self._slot.__get__(vector))

    def __set__(self, vector, value):
        self._slot.__set__(vector, value)


def _scalar_types():
    found = {str(native): Type(str(native)) for native in types.number_domain}
    return found | {"boolean": Type("bool"), "bool_": Type("bool"), "intp": Type("int64"), "uintp": Type("uint64")}


_VECTORS = {name: _vector_of_kernels(vector) for name, vector in functions.VECTORS.items()}
for _name, _value in (_scalar_types() | functions.CUDA | _VECTORS).items():
    setattr(
        Module, _name, staticmethod(of_kernels(_value)) if callable(_value) and not isinstance(_value, Type) else _value
    )
for _name in ("fp16", "bf16", "libdevice"):
    setattr(Module, _name, Names(getattr(functions, _name.upper())))
for _name in ("ldca", "ldcg", "ldcs", "ldlu", "ldcv"):
    setattr(Module, _name, Module.hinted_load)
for _name in ("stcg", "stcs", "stwb", "stwt"):
    setattr(Module, _name, Module.hinted_store)

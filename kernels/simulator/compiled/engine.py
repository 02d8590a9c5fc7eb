"""Kernels compiled for the processor, run over the tables of `state`.

A kernel that was compiled before, by any process, is taken from disk; `build` and Numba's compiler are imported when
one has to be compiled.
"""

import ctypes
import functools
import itertools
import pickle
import threading
from array import array

import numpy as np
from numba import typeof, types
from numba.core.errors import NumbaError

from .. import compat, memory, reports, scheduler, shadow, transfers
from .. import state as S
from . import cache, fibers, loop, signals


class Worker:
    """Tables, stacks and shared memory, for one thread of the host at a time."""

    def __init__(self):
        self.tables = S.tables()
        worker, blocks, warps, threads = self.tables
        self.stacks = fibers.Stacks(threads)
        self.shared = np.empty(0, np.uint8)
        self.here = int(worker.__array_interface__["data"][0])
        for column, table in ((S.BLOCKS_AT, blocks), (S.WARPS_AT, warps), (S.THREADS_AT, threads)):
            worker[column] = table.__array_interface__["data"][0]
        worker[S.SWITCH], worker[S.PLACE] = fibers.switch(), memory.place.address
        self.signals = signals.Signals(worker)
        self.agent = transfers.Agent(self.tables)
        self.mail = np.zeros((S.FIBRES, S.MAIL_BYTES), np.uint8)
        worker[S.SHARED_STRIDE], worker[S.MAIL] = S.SLOT_BYTES, self.mail.__array_interface__["data"][0]
        self.lock, self.thread = threading.Lock(), None

    @functools.cached_property
    def shadow(self):
        """What the checks know, made when the first launch is checked."""
        return shadow.Shadow(self.tables)

    def stop(self):
        """End what runs, from another thread of the host."""
        if self.thread is not None:
            signals.stop(self.thread)

    def prepare(self, grid, block, shared, **options):
        """Make ready for a launch; the order of its blocks."""
        worker, _, _, threads = self.tables
        if self.agent.begin():
            self.shadow.forget()
        order = scheduler.prepare(self.tables, grid, block, **options)
        slots = worker.item(S.SLOTS)
        count = slots * worker.item(S.STRIDE)
        if self.stacks.count < count:
            first = self.stacks.count
            self.stacks.reserve(count)
            threads[first : self.stacks.count, S.WORKER] = self.here
        if self.shared.size < slots * S.SLOT_BYTES + S.WINDOW_ALIGNMENT:
            self.shared = np.empty(slots * S.SLOT_BYTES + S.WINDOW_ALIGNMENT, np.uint8)
            base = self.shared.__array_interface__["data"][0]
            worker[S.SHARED_BASE] = -(-base // S.WINDOW_ALIGNMENT) * S.WINDOW_ALIGNMENT
        worker[S.DYNAMIC] = shared
        return order


# --- arguments ----------------------------------------------------------------------------------------------


def words_of(native, value, keep, segments):
    """An argument as a row of words; what must stay alive goes to `keep`, `segments` gives those of arrays."""
    if isinstance(native, types.Array):
        keep.append(value)
        strides = (stride % 2**64 for stride in value.strides)
        data = value.__array_interface__["data"][0]
        return (value.size, value.itemsize, data, *value.shape, *strides, segments.get(data, 0))
    if isinstance(native, types.BaseTuple):
        parts = (words_of(n, v, keep, segments) for n, v in zip(native, value, strict=True))
        return tuple(itertools.chain.from_iterable(parts))
    if isinstance(native, types.Complex):
        half = types.float32 if native is types.complex64 else types.float64
        return (*words_of(half, value.real, keep, segments), *words_of(half, value.imag, keep, segments))
    if isinstance(native, types.Record):
        cell = np.array(value)
        keep.append(cell)
        return (cell.__array_interface__["data"][0],)
    if isinstance(native, (types.NoneType, types.Omitted, types.Callable)):
        return ()
    if isinstance(native, types.EnumMember):
        return words_of(native.dtype, value.value, keep, segments)
    if isinstance(native, (types.NPDatetime, types.NPTimedelta)):
        return (int(np.asarray(value).view(np.uint64)),)
    if isinstance(native, types.Float):
        return (int.from_bytes(np.asarray(value, str(native)).tobytes(), "little"),)
    return (int(value) & (2**64 - 1),)


# --- kernels ------------------------------------------------------------------------------------------------


class Kernel:
    """A kernel compiled for the types of its arguments.

    Attributes
    ----------
    entry : int
        Address of what a fibre runs.
    waits : bool
        Whether its threads hand over, so that each needs a stack.
    alone : bool
        Whether its blocks do not depend on one another in a way that was declared: no atomics, fences, grid barriers.
    checked : bool
        Whether its accesses to memory are checked.
    portable : bool
        Whether it calls nothing of Python's, so that a signal may end it anywhere.
    """

    def __init__(self, function, arguments, is_checked, allocates):
        self.arguments, self.checked, self.names = arguments, is_checked, function.__code__.co_varnames
        key = None if allocates else cache.kernel_key(function, arguments, is_checked)
        kept = key and cache.get(key)
        if not kept or not cache.defined(kept[0]["needs"]):
            from . import build

            facts, code, linked = build.kernel(function, arguments, is_checked, allocates)
            if not facts["portable"]:
                self._code, self.entry = linked()
            elif key:
                cache.put(key, facts, code)
            kept = facts, code
        facts, code = kept
        self.waits, self.alone, self.portable = facts["waits"], facts["alone"], facts["portable"]
        if self.portable:
            self._code = cache.Code(code)
            self.entry = self._code.address(facts["entry"])


def exception_at(address):
    """The exception that a kernel raised and where, from the pickle that Numba left at an address."""
    data, size = ctypes.c_int64.from_address(address).value, ctypes.c_int32.from_address(address + 8).value
    if ctypes.c_int32.from_address(address + 32).value > 0:
        return RuntimeError("an exception whose arguments are known at run time only"), None
    kind, arguments, place = pickle.loads(ctypes.string_at(data, size))
    return kind(*arguments or ()) if isinstance(kind, type) else kind, place


# --- the engine ---------------------------------------------------------------------------------------------

#: What says that a kernel cannot be compiled for the processor.
REFUSALS = (NumbaError, NotImplementedError)


_array_types = {}


def type_of(value):
    """Numba's type of an argument; those of arrays are kept, since making one takes 10 us."""
    if type(value) is not np.ndarray:
        return typeof(value)
    flags = value.flags
    key = value.dtype, value.ndim, flags.c_contiguous, flags.f_contiguous, flags.writeable, flags.aligned
    if key not in _array_types:
        _array_types[key] = typeof(value)
    return _array_types[key]


class Engine:
    """The kernels of a process."""

    def __init__(self):
        self._kernels = {}

    def kernel(self, function, arguments, checks):
        """A kernel for types of arguments."""
        options = not shadow.BITS.keys().isdisjoint(checks), compat.kernels_allocate()
        key = function, arguments, options
        found = self._kernels.get(key)
        if found is None:  # what the kernel names has the values of its first launch for ever, as on a GPU
            found = self._kernels[key] = Kernel(function, arguments, *options)
        return found


def run(kernel, grid, block, arguments, shared, chosen, worker, part, parts):
    """Run one of `parts` parts of a grid's blocks on a worker; whether its races may have gone unreported."""
    keep, segments = [], {}
    with worker.lock:
        order = worker.prepare(grid, block, shared, seed=chosen.seed, slots=chosen.resident if kernel.waits else 1,
                               strict="convergence" in chosen.checks)  # fmt: skip
        table, _, _, threads = worker.tables
        if kernel.checked:
            segments = worker.shadow.begin(shadow.named(kernel.names, arguments), chosen.checks)
        rows = [words_of(n, value, keep, segments) for n, value in zip(kernel.arguments, arguments, strict=True)]
        words = array("Q", itertools.chain.from_iterable(rows))
        table[S.ARGUMENTS], table[S.PREEMPT] = words.buffer_info()[0], kernel.portable
        if kernel.waits:
            order = order[part::parts].copy() if parts > 1 else order
            table[S.BLOCKS], table[S.ORDER_AT] = order.size, order.__array_interface__["data"][0]
        else:
            count = table.item(S.BLOCKS)
            table[S.NEXT_BLOCK], table[S.LAST_BLOCK] = count * part // parts, count * (part + 1) // parts
        verdict = _run(worker, kernel, chosen.timeout)
        if verdict == S.KERNEL_RAISED:
            row = threads[int(table[S.ERROR_FIBRE]) if kernel.waits else 0]
            error, place = exception_at(int(table[S.EXCEPTION]))
            raise reports.placed(error, row, grid, block, place)
        if verdict == S.FAULT and table[S.ERROR] == S.INTERRUPTED:
            raise KeyboardInterrupt
        if verdict == S.FAULT and kernel.checked and table[S.ERROR] in shadow.TEXTS:
            raise worker.shadow.error()
        if verdict != S.FINISHED_ALL:
            raise reports.brief(worker.tables, verdict)
        return kernel.checked and worker.shadow.forgot


def _run(worker, kernel, timeout):
    worker.thread = threading.get_ident()
    launch = worker.here, kernel.entry, kernel.waits, worker.thread == threading.main_thread().ident
    try:
        if timeout is None:
            return loop.run.ctypes(*launch)
        with signals.Timer(timeout):
            return loop.run.ctypes(*launch)
    finally:
        worker.thread = None

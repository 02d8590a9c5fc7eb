"""What ends a compiled kernel from outside: a stack that overflows, time that is up, Ctrl-C.

While a worker runs a launch, this module's handler answers these signals, on a stack of its own. Where the signal met
a fibre, the handler writes down why and switches to the scheduler, and the fibre is never gone back to; where it met
the scheduler, that finds the note before it lets another thread run. Each stack ends in pages that nobody may touch.
A fault anywhere else, and Ctrl-C in any case, is passed on to whoever answered before.

Structures of the C library are words here, as Linux has them on x86-64 and aarch64 (``sigaction(2)``,
``sigaltstack(2)``, ``timer_create(2)``).
"""

import contextlib
import ctypes
import functools
import mmap
import platform
import signal
import threading

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .. import jit, memory
from .. import state as S
from .fibers import GUARD, STACK

_WORD = ir.IntType(64)

# What the workers of a process share: signal stacks and the workers that they belong to, then four sigactions.
WORKERS, TABLE = 64, "simulator_signals"
ACTION = 19
OURS, OURS_INTERRUPT, FAULT_BEFORE, INTERRUPT_BEFORE = range(2 * WORKERS, 2 * WORKERS + 4 * ACTION, ACTION)
TABLE_WORDS = 2 * WORKERS + 4 * ACTION

# A worker's own: its signal stack, the one before, a sigaction, a word for a stack that nobody goes back to.
NEW_STACK, OLD_STACK, FOUND, NOWHERE = 0, 3, 6, 6 + ACTION
ROW_WORDS = NOWHERE + 1

#: Bytes of the stack that signals are answered on.
SIGNAL_STACK = 1 << 16

TIME_IS_UP, STOP = (getattr(signal, "SIGRTMAX", 64) - k for k in (7, 8))
SEGV, INTERRUPT = 11, 2
_FLAGS = 0x4 | 0x08000000 | 0x10000000 | 0x40000000  # SA_SIGINFO, SA_ONSTACK, SA_RESTART, SA_NODEFER

#: Where a ``ucontext_t`` holds the stack pointer, and a ``siginfo_t`` the address of a fault.
_POINTER = {"x86_64": 160, "aarch64": 432}.get(platform.machine(), 0)
_ADDRESS = 16


@intrinsic
def _table(typing_context):
    """Address of what the workers share."""

    def emit(context, builder, signature, arguments):
        kind = ir.ArrayType(_WORD, TABLE_WORDS)
        found = builder.module.globals.get(TABLE) or cgutils.add_global_variable(builder.module, kind, TABLE)
        found.linkage, found.initializer = "linkonce_odr", ir.Constant(kind, None)
        return builder.ptrtoint(found, _WORD)

    return types.int64(), emit


@intrinsic
def _frame(typing_context):
    """Where the stack is."""

    def emit(context, builder, signature, arguments):
        kind = ir.FunctionType(cgutils.voidptr_t, [ir.IntType(32)])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.frameaddress.p0")
        return builder.ptrtoint(builder.call(function, [ir.IntType(32)(0)]), _WORD)

    return types.int64(), emit


@intrinsic
def store(typing_context, address, value):
    """Set a word of memory."""

    def emit(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], _WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic
def _call(typing_context, address, first, second, third):
    """Call what lies at an address."""

    def emit(context, builder, signature, arguments):
        function = ir.FunctionType(ir.VoidType(), [_WORD] * 3).as_pointer()
        builder.call(builder.inttoptr(arguments[0], function), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), emit


_sigaction = types.ExternalFunction("sigaction", types.int32(types.int32, types.int64, types.int64))
_sigaltstack = types.ExternalFunction("sigaltstack", types.int32(types.int64, types.int64))


@jit.jit(inline="always")
def _load(address):
    return memory.words(address, 1)[0]


@jit.jit
def watch(here, interruptible):
    """Answer signals in this thread of the host, for a worker."""
    row = memory.words(here, S.WORKER_WORDS)[S.SIGNALS]
    if row == 0:
        return
    table, found = _table(), row + 8 * FOUND
    _sigaltstack(row + 8 * NEW_STACK, row + 8 * OLD_STACK)
    _sigaction(SEGV, table + 8 * OURS, found)
    if _load(found) != _load(table + 8 * OURS):
        for k in range(ACTION):
            store(table + 8 * (FAULT_BEFORE + k), _load(found + 8 * k))
    if interruptible:
        _sigaction(INTERRUPT, table + 8 * OURS_INTERRUPT, table + 8 * INTERRUPT_BEFORE)


@jit.jit
def unwatch(here, interruptible):
    """Leave the answers to those who gave them before; faults elsewhere are passed on to them anyway."""
    row = memory.words(here, S.WORKER_WORDS)[S.SIGNALS]
    if row == 0:
        return
    if interruptible:
        _sigaction(INTERRUPT, _table() + 8 * INTERRUPT_BEFORE, 0)
    _sigaltstack(row + 8 * OLD_STACK, 0)


@jit.jit
def _worker_here():
    """The worker on whose signal stack this runs; 0 on any other stack."""
    frame, table = _frame(), _table()
    for k in range(WORKERS):
        low = _load(table + 16 * k)
        if low <= frame < low + SIGNAL_STACK:
            return _load(table + 16 * k + 8)
    return 0


@jit.jit
def _end(worker, f, fault):
    """Leave a fibre for the scheduler."""
    thread = memory.words(worker[S.THREADS_AT] + f * (8 * S.THREAD_WORDS), S.THREAD_WORDS)
    thread[S.KIND] = S.RAISED
    worker[S.ERROR], worker[S.ERROR_FIBRE] = fault, f
    _call(worker[S.SWITCH], worker[S.SIGNALS] + 8 * NOWHERE, worker[S.SCHEDULER_STACK], 0)


@jit.jit
def _bottom(worker, f):
    """Where the stack of a fibre ends."""
    thread = memory.words(worker[S.THREADS_AT] + f * (8 * S.THREAD_WORDS), S.THREAD_WORDS)
    return (thread[S.TOP] - 1) & -STACK


@jit.c_function(types.int64(types.int64, types.int64, types.int64))
def on_signal(number, info, context):
    """Answer a signal."""
    number &= 0xFFFFFFFF
    table, here = _table(), _worker_here()
    if number == INTERRUPT and _load(table + 8 * INTERRUPT_BEFORE) > 1:
        _call(_load(table + 8 * INTERRUPT_BEFORE), number, info, context)
    if here:
        worker = memory.words(here, S.WORKER_WORDS)
        f = worker[S.CURRENT]
        if number == SEGV:
            if f >= 0 and 0 <= _load(info + _ADDRESS) - _bottom(worker, f) < GUARD:
                _end(worker, f, S.OVERFLOWED)
        else:
            fault = S.TIMED_OUT if number == TIME_IS_UP else S.INTERRUPTED
            if f >= 0 and worker[S.PREEMPT] and 0 <= _load(context + _POINTER) - _bottom(worker, f) < STACK:
                _end(worker, f, fault)
            if worker[S.ERROR] == 0:
                worker[S.ERROR], worker[S.ERROR_FIBRE] = fault, max(f, 0)
            return 0
    if number == SEGV:  # met again on return, by whoever answered before; after that by the system
        _sigaction(SEGV, table + 8 * FAULT_BEFORE, 0)
        store(table + 8 * FAULT_BEFORE, 0)
    return 0


# --- what Python sets up ------------------------------------------------------------------------------------


@functools.cache
def _shared():
    """The words that the workers of this process share, with the handler in place."""
    table = np.frombuffer((ctypes.c_int64 * TABLE_WORDS).from_address(jit.address_of(TABLE)), np.int64)
    for at in (OURS, OURS_INTERRUPT):
        table[at], table[at + 17] = on_signal.address, _FLAGS
    for number in (TIME_IS_UP, STOP):
        _libc().sigaction(number, ctypes.c_void_p(_address(table[OURS:])), None)
    return table, iter(range(WORKERS))


@functools.cache
def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _address(array):
    return array.__array_interface__["data"][0]


class Signals:
    """A worker's signal stack.

    Parameters
    ----------
    worker : numpy.ndarray of int64
        Its row.
    """

    def __init__(self, worker):
        table, free = _shared()
        place = next(free, None)
        if place is None:  # as many workers as ever have signals; others go without
            return
        self._stack = mmap.mmap(-1, SIGNAL_STACK)
        self._row = np.zeros(ROW_WORDS, np.int64)
        low = ctypes.addressof(ctypes.c_char.from_buffer(self._stack))
        self._row[NEW_STACK], self._row[NEW_STACK + 2] = low, SIGNAL_STACK
        table[2 * place + 1], table[2 * place] = _address(worker), low
        worker[S.SIGNALS] = _address(self._row)


class Timer:
    """Tells this thread of the host that its time is up, and again until it is stopped: a context.

    Parameters
    ----------
    seconds : float
    """

    def __init__(self, seconds):
        self._seconds = seconds

    def __enter__(self):
        event = np.zeros(16, np.int32)  # a sigevent: value, signal, SIGEV_THREAD_ID, thread
        event[2:5] = TIME_IS_UP, 4, threading.get_native_id()
        self._timer = ctypes.c_void_p()
        create = _libc().timer_create
        if create(1, ctypes.c_void_p(_address(event)), ctypes.byref(self._timer)):  # CLOCK_MONOTONIC
            raise OSError(ctypes.get_errno(), "timer_create")
        again, (whole, part) = 20_000_000, divmod(max(self._seconds, 1e-6), 1)
        times = np.array([0, again, int(whole), int(part * 1e9)], np.int64)
        _libc().timer_settime(self._timer, 0, ctypes.c_void_p(_address(times)), None)

    def __exit__(self, *_):
        _libc().timer_delete(self._timer)


def stop(thread):
    """End what a thread of the host runs, by its identity."""
    with contextlib.suppress(ProcessLookupError):
        signal.pthread_kill(thread, STOP)

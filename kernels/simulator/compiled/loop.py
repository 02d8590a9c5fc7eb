"""The loop that runs threads: on a stack for each, in the scheduler's order, or on one stack after another."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .. import memory, scheduler
from .. import state as S
from ..jit import c_function, jit
from . import fibers, signals


@intrinsic
def _enter(typing_context, worker, thread):
    """Go on with a thread where it handed over, until it does so again; rows by address."""

    def emit(context, builder, signature, arguments):
        word = ir.IntType(64)
        boss, thread = (builder.inttoptr(address, word.as_pointer()) for address in arguments)
        function = ir.FunctionType(ir.VoidType(), [word.as_pointer(), word]).as_pointer()
        switch = builder.inttoptr(builder.load(builder.gep(boss, [word(S.SWITCH)])), function)
        stack = builder.load(builder.gep(thread, [word(S.STACK)]))
        builder.call(switch, [builder.gep(boss, [word(S.SCHEDULER_STACK)]), stack])
        return context.get_dummy_value()

    return types.void(worker, thread), emit


@jit(inline="always")
def _begin(thread, entry):
    """Lay out the stack of a thread that has not run: `switch` returns to `entry`."""
    stack = (thread[S.TOP] - 64 - 8 * FRAME) & -16  # below the word on top that holds the row's address
    for k in range(FRAME):
        signals.store(stack + 8 * k, 0)
    signals.store(stack + 8 * ENTRY, entry)
    thread[S.STACK] = stack
    thread[S.STARTED] = 1


FRAME, ENTRY = fibers.FRAME, fibers.ENTRY


@jit
def _run_fibers(here, entry):
    worker = memory.words(here, S.WORKER_WORDS)
    rows = worker[S.THREADS_AT]
    blocks = memory.table(worker[S.BLOCKS_AT], S.FIBRES // S.LANES, S.BLOCK_WORDS)
    warps = memory.table(worker[S.WARPS_AT], S.FIBRES // S.LANES, S.WARP_WORDS)
    threads = memory.table(rows, S.FIBRES, S.THREAD_WORDS)
    order = memory.words(worker[S.ORDER_AT], worker[S.BLOCKS])
    while True:
        f = scheduler.following(worker, blocks, warps, threads, order)
        if f < 0:
            return f
        thread = threads[f]
        if thread[S.STARTED] == 0:
            _begin(thread, entry)
        _enter(here, rows + f * (8 * S.THREAD_WORDS))


@jit
def _run_loop(here, entry):
    worker = memory.words(here, S.WORKER_WORDS)
    thread = memory.words(worker[S.THREADS_AT], S.THREAD_WORDS)
    _begin(thread, entry)
    thread[S.KIND] = S.RUNNING
    worker[S.CURRENT] = 0
    _enter(here, worker[S.THREADS_AT])
    return S.FINISHED_ALL if thread[S.KIND] == S.DONE else S.FAULT if worker[S.ERROR] else S.KERNEL_RAISED


@c_function(types.int64(types.int64, types.int64, types.int64, types.int64))
def run(here, entry, waits, interruptible):
    """Run a worker's launch, and watch the operating system's signals meanwhile; the last verdict.

    Parameters
    ----------
    here : int
        Address of the worker's row.
    entry : int
        Of the kernel: what a fibre runs.
    waits : int
        Whether its threads hand over, so that each needs a stack; else one stack is enough.
    interruptible : int
        Whether Ctrl-C ends it.
    """
    signals.watch(here, interruptible)
    verdict = _run_fibers(here, entry) if waits else _run_loop(here, entry)
    signals.unwatch(here, interruptible)
    return verdict

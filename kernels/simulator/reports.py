"""Words for what went wrong: which threads, where they are, what was expected."""

import linecache
from pathlib import Path

import numpy as np

from . import errors
from . import state as S

#: The simulator, and the device functions and twins that kernels call.
_HERE = tuple(str(Path(__file__).parents[1] / folder) for folder in ("simulator", "device"))

_VERDICTS = {
    S.DIFFERENT_BARRIERS: (errors.DivergenceError, "threads of one block meet different barriers"),
    S.RETURNED: (errors.DivergenceError, "some threads returned while others wait at a barrier"),
    S.NEVER_ARRIVE: (errors.DivergenceError, "threads wait for others that never arrive"),
    S.NOT_RESIDENT: (errors.DeadlockError, "the grid's barrier waits for blocks that are not resident"),
    S.SPINNING: (errors.DeadlockError, "threads spin and nothing changes"),
    S.NOT_IN_MASK: (errors.DivergenceError, "a lane takes part in a warp operation whose mask does not name it"),
    S.INACTIVE_LANE: (errors.DivergenceError, "a shuffle reads a lane that does not take part in it"),
}

_FAULTS = {
    S.RACE: (errors.RaceError, "data race"),
    S.OUTSIDE: (errors.OutOfBoundsError, "index out of bounds"),
    S.UNWRITTEN: (errors.UninitializedError, "read of memory that nothing wrote"),
    S.MISALIGNED: (errors.MisalignedError, "misaligned access"),
    S.TOO_MUCH_SHARED: (errors.LaunchError, "more shared memory than a block has"),
    S.OVERFLOWED: (errors.StackOverflowError, "local arrays and calls that do not fit on a thread's stack"),
    S.TIMED_OUT: (errors.KernelTimeoutError, "the kernel's time is up"),
    S.NEVER_WAITED: (errors.CopyError, "a thread returns whose asynchronous copies were never waited for"),
    S.NO_BARRIER: (errors.CopyError, "an mbarrier is used that was not initialized"),
    S.TOO_MANY_ARRIVALS: (errors.CopyError, "more arrivals at an mbarrier than are pending in its phase"),
    S.BAD_COUNT: (errors.CopyError, "an mbarrier counts 1 to 1048575 arrivals"),
    S.MISALIGNED_BARRIER: (errors.MisalignedError, "an mbarrier lies at a multiple of 8 bytes"),
    S.BAD_CLUSTER: (errors.LaunchError, "a cluster has 1 to 16 blocks, and the grid is a multiple of it in each axis"),
    S.NO_BLOCK: (errors.RaceError, "shared memory of a block of the cluster that has not begun or has returned"),
    S.BOX_BETWEEN: (errors.MisalignedError, "a box of a tensor copy that begins between pieces of 16 bytes"),
    S.BOX_BEFORE: (errors.OutOfBoundsError, "a box that is stored before the beginning of its array"),
    S.TOO_MANY_COPIES: (errors.CopyError, "more than 262143 asynchronous copies are under way"),
}

#: Faults that tell of an element of an array.
_OF_ELEMENTS = {S.RACE, S.OUTSIDE, S.UNWRITTEN, S.MISALIGNED, S.NOT_LANDED}

_WAITS = {
    S.AT_WARP: "a warp operation",
    S.AT_BLOCK: "a barrier",
    S.AT_POINT: "a scheduling point",
    S.AT_WHOLE_GRID: "the grid's barrier",
}


def ours(frame):
    """Whether a frame of Python is the simulator's own."""
    return frame is not None and frame.f_code.co_filename.startswith(_HERE)


def line(frame):
    """The source line of a kernel that a frame of Python is at."""
    while ours(frame):
        frame = frame.f_back
    if frame is None:
        return "its end"
    return _quoted(frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno)


def _quoted(name, file, number):
    return f"{file}:{number} in {name}: {linecache.getline(file, number).strip()}"


def _raised(error):
    """The source line that raised an exception: the innermost of a kernel's own, as far as Python knows."""
    found, step = None, error.__traceback__
    while step is not None:
        if not ours(step.tb_frame):
            found = step.tb_frame.f_code.co_name, step.tb_frame.f_code.co_filename, step.tb_lineno
        step = step.tb_next
    return found


def ranges(numbers):
    """Numbers in words: ``0-31, 40``."""
    numbers = np.unique(list(numbers))
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def thread_of(tables, fibre):
    """A thread in words, by its row."""
    row = tables[3][fibre]
    return f"thread {row[S.LINEAR]} of block {row[S.BLOCK]}"


def fault(machine, verdict):
    """The error of an interpreted launch that the scheduler stopped, with the source lines of its threads."""
    if verdict == S.FAULT:
        if int(machine.worker[S.ERROR]) not in _OF_ELEMENTS:
            return memory_fault(machine.tables, machine.line_of(int(machine.worker[S.ERROR_SITE])))
        found = machine.shadow.report()
        return machine.shadow.error(machine.line_of(found["site"]), machine.line_of(found["other_site"]))
    kind, text = _VERDICTS[verdict]
    groups = {}
    for thread, where in machine.running():
        waits = _WAITS.get(int(thread.row[S.KIND]), "running")
        if int(thread.row[S.KIND]) == S.AT_WARP:
            waits += f" of mask {int(thread.row[S.MASK]):#010x}"
        groups.setdefault((int(thread.row[S.BLOCK]), waits, where), []).append(int(thread.row[S.LINEAR]))
    lines = [
        f"  block {block}, threads {ranges(threads)}: {waits} at {where}"
        for (block, waits, where), threads in sorted(groups.items())
    ]
    worker, blocks = machine.worker, machine.blocks
    for slot in range(int(worker[S.LAST_BLOCK]) + 1):
        if blocks[slot, S.IN_USE] and blocks[slot, S.THREADS_LIVE] < worker[S.SIZE]:
            returned = worker[S.SIZE] - blocks[slot, S.THREADS_LIVE]
            lines.append(f"  block {blocks[slot, S.NUMBER]}: {returned} threads have returned")
    left = int(worker[S.BLOCKS] - worker[S.NEXT_BLOCK])
    if kind is errors.DeadlockError and left:
        lines.append(f"  {left} blocks are not resident: at most {worker[S.SLOTS]} are at once")
    if verdict not in (S.NEVER_ARRIVE, S.SPINNING, S.NOT_RESIDENT):
        text += f": {thread_of(machine.tables, int(worker[S.ERROR_FIBRE]))}"
    return kind("\n".join([text, *lines]))


def memory_fault(tables, where=""):
    """The error of a fault, as far as the tables tell; `where` is the source line of its thread."""
    worker = tables[0]
    kind, text = _FAULTS[int(worker[S.ERROR])]
    if int(worker[S.ERROR]) == S.TOO_MUCH_SHARED:
        return kind(
            f"{text}: {worker[S.ERROR_ADDRESS]} bytes; static arrays may take {S.STATIC_SHARED}, all {S.MOST_SHARED}"
        )
    return kind(f"{text}: {thread_of(tables, int(worker[S.ERROR_FIBRE]))}{where}")


def brief(tables, verdict):
    """The error of a compiled launch that the scheduler stopped, without source lines."""
    if verdict == S.FAULT:
        return memory_fault(tables)
    kind, text = _VERDICTS[verdict]
    return kind(f"{text}: {thread_of(tables, int(tables[0][S.ERROR_FIBRE]))}")


def placed(error, row, grid, block, place=None):
    """An exception of a kernel, with the thread that raised it, its row of the tables, and the source line.

    `place` is the name of a function, its file and the number of the line, where the exception does not know.
    """
    error.simulated = tuple(int(row[k]) for k in (S.TX, S.TY, S.TZ)), tuple(int(row[k]) for k in (S.BX, S.BY, S.BZ))
    if hasattr(error, "add_note"):  # from Python 3.11 on
        place = place or _raised(error)
        error.add_note(f"in thread {row[S.LINEAR]} of block {row[S.BLOCK]}, grid {grid}, block {block}")
        if place is not None:
            error.add_note(f"at {_quoted(*place)}")
    return error

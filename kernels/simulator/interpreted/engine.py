"""Kernels run as the Python that they are, one greenlet for each CUDA thread that waits.

Slower than the compiled engine by two orders of magnitude, and everything can be looked at: a debugger steps through
it, ``print`` prints anything, and a fault knows its source lines. Threads hand over to `scheduler.following` exactly
as compiled ones do, so that a seed gives the same schedule.
"""

import contextvars
import functools
import math
import sys

import numpy as np

from .. import memory, reports, scheduler, shadow, transfers
from .. import state as S
from .arrays import Array


def _greenlet():
    try:
        import greenlet
    except ImportError as error:
        raise ImportError("the interpreted engine needs the package greenlet: pip install greenlet") from error
    return greenlet


class Thread:
    """A CUDA thread: its row of the table, where it is, and what runs it."""

    __slots__ = ("block", "blockIdx", "fiber", "lane", "row", "site", "threadIdx")


class Place:
    """Three coordinates."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x, y, z):
        self.x, self.y, self.z = np.int64(x), np.int64(y), np.int64(z)

    def __repr__(self):
        return f"({self.x}, {self.y}, {self.z})"


class Machine:
    """Runs the threads of one launch at a time.

    Attributes
    ----------
    thread : Thread
        The one that is running.
    """

    def __init__(self):
        self.tables = S.tables()
        self.worker, self.blocks, self.warps, self.threads = self.tables
        self.shared = np.empty(0, np.uint8)
        for column, table in ((S.BLOCKS_AT, self.blocks), (S.WARPS_AT, self.warps), (S.THREADS_AT, self.threads)):
            self.worker[column] = table.__array_interface__["data"][0]
        self._here = int(self.worker.__array_interface__["data"][0])
        self._following = scheduler.following_at.ctypes
        self.worker[S.SHARED_STRIDE] = S.SLOT_BYTES
        self.threads[:, S.WORKER] = 0
        self._address = int(self.threads.__array_interface__["data"][0])
        self.agent = transfers.Agent(self.tables)
        self._sites, self._lines, self._rows = {}, {}, {}
        self._places = None
        self.thread = self.watch = None

    # --- a launch -------------------------------------------------------------------------------------------

    def run(self, call, grid, block, shared, *, seed, slots, strict, checks=(), arrays=()):
        """Run ``call()`` once for each thread; an exception of a thread ends the launch and is raised here.

        Parameters
        ----------
        call : callable
        grid, block : tuple of int
        shared, seed, slots, strict
            As `scheduler.prepare` takes them, and bytes of dynamic shared memory.
        checks : iterable of str
            Of memory; `watch` is what arrays must call then.
        arrays : iterable of (str, numpy.ndarray)
            Arguments and what they are called.
        """
        greenlet = _greenlet()
        self._switch_to_new, self._current = greenlet.greenlet, greenlet.getcurrent
        if self.worker[S.TRANSFERS]:
            self.agent.begin()
            self.shadow.forget()
        self.order = scheduler.prepare(self.tables, grid, block, seed=seed, slots=slots, strict=strict)
        slots, stride = int(self.worker[S.SLOTS]), int(self.worker[S.STRIDE])
        self.worker[S.ORDER_AT] = self.order.__array_interface__["data"][0]
        self.threads[: slots * stride, S.WORKER] = self._here
        if self.shared.size < slots * S.SLOT_BYTES + S.WINDOW_ALIGNMENT:
            self.shared = np.empty(slots * S.SLOT_BYTES + S.WINDOW_ALIGNMENT, np.uint8)
        base = self.shared.__array_interface__["data"][0]
        self.worker[S.SHARED_BASE] = -(-base // S.WINDOW_ALIGNMENT) * S.WINDOW_ALIGNMENT
        self.worker[S.DYNAMIC] = shared
        if checks:
            self.shadow.begin(arrays, checks)
        self.call, self.error, self.verdict = call, None, 0
        self.blockDim, self.gridDim = Place(*block), Place(*grid)
        self.grid, self.block = grid, block
        width, height, _ = block
        if self._places is None or self._places_block != block:
            self._places_block = block
            self._places = [Place(i % width, i // width % height, i // (width * height)) for i in range(np.prod(block))]
        self._places_of_blocks = {}
        self._running, self._idle, self._all, self._arrays = {}, [], [], {}
        self._hub = greenlet.getcurrent()
        self._next = self._following(self._here)
        context = contextvars.copy_context()
        while not self.verdict:
            fiber = self._idle.pop() if self._idle else self._new(context)
            fiber.switch()
        try:
            if self.error is None and self.verdict != S.FINISHED_ALL:
                raise reports.fault(self, self.verdict)
            if self.error is not None:
                raise reports.placed(self.error, self.thread.row, grid, block)
        finally:
            self._end(greenlet.GreenletExit)

    def _new(self, context):
        fiber = self._switch_to_new(self._work, self._hub)
        fiber.gr_context = context.copy()
        self._all.append(fiber)
        return fiber

    def _end(self, leave):
        self.thread = None
        for fiber in self._all:
            if fiber:
                fiber.throw(leave)
        self._all, self._idle = [], []

    def _work(self):
        """Run threads from their beginning, for as long as the next one has not begun."""
        me = self._current()
        while True:
            f = self._next
            if f < 0:
                self.verdict = f
                self._hub.switch()
                return
            running = self._running.get(f)
            if running is not None:
                self._idle.append(me)
                self._activate(running)
                running.fiber.switch()
                continue
            self._running[f] = self._activate(self._begin(f, me))
            try:
                self.call()
            except BaseException as error:
                if type(error).__name__ == "GreenletExit":
                    raise
                self.error, self.verdict = error, S.KERNEL_RAISED
                self._hub.switch()
                return
            del self._running[f]
            self.thread.row[S.KIND] = S.DONE
            self._next = self._following(self._here)

    def _begin(self, f, fiber):
        thread = Thread()
        row = self._rows.get(f)
        if row is None:
            row = self._rows[f] = memoryview(self.threads[f])
        thread.row, thread.fiber, thread.site = row, fiber, None
        linear, number = row[S.LINEAR], row[S.BLOCK]
        thread.threadIdx = self._places[linear]
        if number not in self._places_of_blocks:
            width, height, _ = self.grid
            self._places_of_blocks[number] = Place(number % width, number // width % height, number // (width * height))
        thread.blockIdx = self._places_of_blocks[number]
        thread.lane, thread.block = np.int64(linear & 31), number
        return thread

    def _activate(self, thread):
        self.thread = thread
        return thread

    # --- what a thread asks for -----------------------------------------------------------------------------

    def hand_over(self, kind, op=0, mask=0, value=0, argument=0, extra=0, site=0):
        """Ask the scheduler for something, let others run, and return when it is granted; the thread's row."""
        me = self.thread
        row = me.row
        row[S.KIND], row[S.OP], row[S.MASK], row[S.VALUE] = kind, op, mask, value
        row[S.ARGUMENT], row[S.EXTRA], row[S.SITE] = argument, extra, site
        f = self._next = self._following(self._here)
        running = self._running.get(f)
        if running is me:
            return row
        if running is not None:
            self.thread = running
            running.fiber.switch()
        elif f < 0:
            self.verdict = f
            self._hub.switch()
        else:
            (self._idle.pop() if self._idle else self._hub).switch()
        return row  # whoever came back here has made this thread the running one

    def point(self):
        """A scheduling point, as `compiled.lowering.point`."""
        worker = self.worker
        worker[S.POINTS] += worker[S.STEP]
        if worker[S.POINTS] & 31 < worker[S.STEP]:
            self.hand_over(S.AT_POINT)

    def site(self, depth=2):
        """A number for the place in the kernel that called."""
        return self._site_of(sys._getframe(depth))

    def shared_array(self, site, shape, dtype):
        """The block's array of a place, made by the first of its threads."""
        key = self.thread.block, site, shape, dtype
        if key not in self._arrays:
            where = self._address + self._fibre(self.thread) * 8 * S.THREAD_WORDS
            address = memory.place.ctypes(where, site, math.prod(shape) * dtype.itemsize)
            if address == 0:
                self.hand_over(S.RAISED)
            if site == S.DYNAMIC_SITE:
                shape = int(self.worker[S.DYNAMIC]) // dtype.itemsize
            self._arrays[key] = Array(memory.view(address, shape, dtype), "shared", self.watch)
        return self._arrays[key]

    def _fibre(self, thread):
        return int(thread.row[S.SLOT]) * int(self.worker[S.STRIDE]) + int(thread.row[S.LINEAR])

    @functools.cached_property
    def mail(self):
        """What the lanes of a warp give one another, a row for each thread."""
        return np.zeros((S.FIBRES, S.MAIL_BYTES), np.uint8)

    # --- checks of memory -----------------------------------------------------------------------------------

    @functools.cached_property
    def shadow(self):
        """What the checks know, made when the first launch is checked."""
        return shadow.Shadow(self.tables, sites=True)

    def examine(self, array, index, kind):
        """Check an access before it happens; a fault ends the launch."""
        number = self._site_of(sys._getframe(2))
        at = self._address + self._fibre(self.thread) * 8 * S.THREAD_WORDS
        if self.shadow.examine(at, array.raw, index, kind, number):
            self.worker[S.ERROR_SITE] = number
            self.hand_over(S.RAISED)

    def fence(self, of_device):
        """A fence of the running thread."""
        if self.worker[S.SHADOW]:
            at = self._address + self._fibre(self.thread) * 8 * S.THREAD_WORDS
            shadow.access.ctypes(at, 0, int(of_device), S.FENCE, 0)

    def _site_of(self, frame):
        while reports.ours(frame):
            frame = frame.f_back
        key = frame.f_code, frame.f_lasti
        if key not in self._sites:
            self._sites[key] = len(self._sites) + 1
            self._lines[self._sites[key]] = reports.line(frame)
        return self._sites[key]

    def line_of(self, site):
        """Source line of a place, as reports add it to a thread."""
        return f" at {self._lines[site]}" if site in self._lines else ""

    # --- reports --------------------------------------------------------------------------------------------

    def running(self):
        """The threads that have begun and not ended, and the source line at which each is."""
        for thread in self._running.values():
            frame = thread.fiber.gr_frame or (sys._getframe() if thread is self.thread else None)
            yield thread, reports.line(frame)

"""Kernels run as the Python that they are, one greenlet for each CUDA thread that waits.

Slower than the compiled engine by two orders of magnitude, and everything can be looked at: a debugger steps through
it, ``print`` prints anything, and a fault knows its source lines. Threads hand over to `scheduler.following` exactly
as compiled ones do, so that a seed gives the same schedule.
"""

import contextvars
import ctypes
import functools
import math
import sys
import threading

import numpy as np

from .. import memory, reports, scheduler, shadow, transfers
from .. import state as S
from . import access
from .arrays import of

#: Fibres that launches leave to the next: as many as a block may have threads. To start and to end one takes 15 us.
KEPT = 1024


class _Parked(threading.local):
    """Fibres that have no work; greenlets stay in the thread of the host that made them."""

    def __init__(self):
        self.fibres = []


_parked = _Parked()


def _greenlet():
    try:
        import greenlet
    except ImportError as error:
        raise ImportError("the interpreted engine needs the package greenlet: pip install greenlet") from error
    return greenlet


def _routine(routine):
    """A routine that keeps the interpreter's lock, as short ones may: to let go of it takes a third of a call."""
    return ctypes.PYFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(routine.arguments))(routine.address)


def _serve(work):
    """What a fibre does: one launch after the other. While it waits it holds nothing, for no collector would see it."""
    current = _greenlet().getcurrent
    while True:
        work()
        work = None
        work = current().parent.switch()


class Thread:
    """A CUDA thread: its row of the table and the row's address, where it is, its block, and what runs it."""

    __slots__ = ("arrays", "at", "block", "blockIdx", "fiber", "lane", "row", "start", "threadIdx")


class Block:
    """A resident block: its number and place, the place of its first thread in the grid, and its shared arrays."""

    __slots__ = ("arrays", "number", "place", "start")

    def __init__(self, number, place, size):
        self.number, self.place, self.arrays = number, place, {}
        self.start = Place(place.x * size.x, place.y * size.y, place.z * size.z)


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
        self._following = _routine(scheduler.following_at)
        self.worker[S.SHARED_STRIDE] = S.SLOT_BYTES
        self.threads[:, S.WORKER] = 0
        self._address = int(self.threads.__array_interface__["data"][0])
        self.agent = transfers.Agent(self.tables)
        self._sites, self._lines, self._codes, self._places = {}, {}, {}, {}
        self._shape, self._rows = None, {}
        self.thread = self.watch = None
        self.of_scalars = False

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
        self._greenlet, self._current = greenlet.greenlet, greenlet.getcurrent
        if self.agent.begin():
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
        self.blockDim, self.gridDim, self.grid = Place(*block), Place(*grid), grid
        if self._shape != block:
            self._shape, self._rows = block, {}
        self._running, self._resident, self._idle, self._all = {}, [None] * slots, [], []
        self._hub = greenlet.getcurrent()
        context = contextvars.copy_context()
        self._next = self._following(self._here)
        try:
            while not self.verdict:
                if self._idle:
                    self._idle.pop().switch()
                else:
                    self._new(context).switch(self._work)
            if self.error is None and self.verdict != S.FINISHED_ALL:
                raise reports.fault(self, self.verdict)
            if self.error is not None:
                raise reports.placed(self.error, self.thread.row, grid, block)
        finally:
            self._end(greenlet.GreenletExit)

    def _new(self, context):
        fiber = _parked.fibres.pop() if _parked.fibres else self._greenlet(_serve)
        fiber.gr_context, fiber.parent = context.copy(), self._hub
        self._all.append(fiber)
        return fiber

    def _end(self, leave):
        """Park the fibres, or end those that are in the middle of a thread, and what is too many."""
        if self.verdict == S.FINISHED_ALL:
            for fiber in self._idle:
                fiber.switch()  # it comes back at once, for there is no next thread
            room = KEPT - len(_parked.fibres)
            _parked.fibres += self._all[:room]
            self._all = self._all[room:]
        for fiber in self._all:
            if fiber:
                fiber.throw(leave)
        self.thread = self.call = self._hub = None
        self._running, self._resident, self._idle, self._all = {}, [], [], []

    def _work(self):
        """Run threads from their beginning, for as long as the next one has not begun."""
        me = self._current()
        while True:
            f = self._next
            if f < 0:
                self.verdict = f
                return
            running = self._running.get(f)
            if running is not None:
                self._idle.append(me)
                self.thread = running
                running.fiber.switch()
                continue
            self.thread = self._running[f] = thread = self._begin(f, me)
            try:
                self.call()
            except BaseException as error:
                if type(error).__name__ == "GreenletExit":
                    raise
                self.error, self.verdict = error, S.KERNEL_RAISED
                self._hub.switch()
                return
            del self._running[f]
            thread.row[S.KIND] = S.DONE
            self._next = self._following(self._here)

    def _begin(self, f, fiber):
        thread = Thread()
        thread.fiber = fiber
        thread.row, thread.at, thread.threadIdx, thread.lane, slot = self._rows.get(f) or self._row(f)
        number = thread.block = thread.row[S.BLOCK]
        block = self._resident[slot]
        if block is None or block.number != number:
            width, height, _ = self.grid
            place = Place(number % width, number // width % height, number // (width * height))
            block = self._resident[slot] = Block(number, place, self.blockDim)
        thread.blockIdx, thread.start, thread.arrays = block.place, block.start, block.arrays
        return thread

    def _row(self, f):
        """What is the same for all threads that have a row: found once while blocks keep their shape."""
        slot, linear = divmod(f, int(self.worker[S.STRIDE]))
        width, height, _ = self._shape
        place = Place(linear % width, linear // width % height, linear // (width * height))
        at = self._address + f * 8 * S.THREAD_WORDS
        self._rows[f] = memoryview(self.threads[f]), at, place, np.int64(linear & 31), slot
        return self._rows[f]

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
        """A number for the place in the kernel that called: one call in its code, whichever thread makes it."""
        frame = sys._getframe(depth)
        return self._sites.get((id(frame.f_code), frame.f_lasti)) or self._site_of(frame)

    def place(self, depth=2):
        """A number for the place that asks for shared memory: of a device function of ours too, other than `site`."""
        frame = sys._getframe(depth)
        key = id(frame.f_code), frame.f_lasti
        if key not in self._places:
            self._codes[key[0]] = frame.f_code
            self._places[key] = len(self._places) + 1
        return self._places[key]

    def shared_array(self, site, shape, dtype):
        """The block's array of a place, made by the first of its threads."""
        key = site, shape, dtype
        found = self.thread.arrays.get(key)
        if found is None:
            address = memory.place.ctypes(self.thread.at, site, math.prod(shape) * dtype.itemsize)
            if address == 0:
                self.hand_over(S.RAISED)
            if site == S.DYNAMIC_SITE:
                shape = int(self.worker[S.DYNAMIC]) // dtype.itemsize
            found = self.array(memory.view(address, shape, dtype), "shared", self.watch)
            self.thread.arrays[key] = found
        return found

    def array(self, raw, name, watch):
        """An array that a kernel makes; its elements are NumPy's scalars where the kernel's values are."""
        found = of(raw, name, watch)
        if self.of_scalars:
            found._native = None
        return found

    @functools.cached_property
    def mail(self):
        """What the lanes of a warp give one another, a row for each thread."""
        return np.zeros((S.FIBRES, S.MAIL_BYTES), np.uint8)

    # --- checks of memory -----------------------------------------------------------------------------------

    @functools.cached_property
    def shadow(self):
        """What the checks know, made when the first launch is checked."""
        self._request = memoryview(np.zeros(access.PART + access.MOST_PARTS, np.int64))
        self._request_at = np.asarray(self._request).__array_interface__["data"][0]
        self._access = _routine(access.access_at)
        return shadow.Shadow(self.tables, sites=True)

    def examine(self, array, index, kind):
        """Check an access before it happens; a fault ends the launch."""
        frame, at = sys._getframe(2), self.thread.at
        number = self._sites.get((id(frame.f_code), frame.f_lasti)) or self._site_of(frame)
        request = self._request
        request[0], request[1], request[2], request[3] = at, array.table_at, kind, number  # in the order of `access`
        try:
            if type(index) is not tuple:
                request[4], request[5] = 1, index
            elif len(index) == 2:
                request[4] = 2
                request[5], request[6] = index
            else:
                request[4] = 3
                request[5], request[6], request[7] = index
            fault = self._access(self._request_at)
        except (TypeError, ValueError):  # a slice, or more of them
            fault = access.NO_ELEMENT
        if fault == access.NO_ELEMENT:
            fault = self.shadow.examine(at, array.raw, index, kind, number)
        if fault:
            self.worker[S.ERROR_SITE] = number
            self.hand_over(S.RAISED)

    def fence(self, of_device):
        """A fence of the running thread."""
        if self.worker[S.SHADOW]:
            shadow.access.ctypes(self.thread.at, 0, int(of_device), S.FENCE, 0)

    def _site_of(self, frame):
        while reports.ours(frame):
            frame = frame.f_back
        key = id(frame.f_code), frame.f_lasti
        if key not in self._sites:
            self._codes[key[0]] = frame.f_code  # so that no other code ever has its id
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

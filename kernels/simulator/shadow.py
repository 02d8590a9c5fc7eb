"""Checks of memory: races, reads of what nothing wrote, alignment. One routine, `access`, for both engines.

Each element that a kernel can reach has a cell of four words (FastTrack, Flanagan & Freund 2009, with warps for
threads): its last plain write; the latest read, by lanes of one warp at one time; where older reads lie that the latest
does not know of; and where its atomics lie. A read is forgotten when a later one knows of it (`clocks.unknown`), and
all are when a write comes that knows of them, so that no race between two accesses is lost. Atomics do not race with
one another; they race with plain accesses, and do not hide what came before them.

Cells are never cleared. A stamp from before the launch, or for shared memory from before its block became resident,
is none.
"""

import ctypes
import functools
import math
import operator

import numpy as np
from numba import types

from . import clocks as C
from . import errors
from . import state as S
from .jit import c_function, inlined, jit
from .memory import words

#: Bits of `clocks.CHECKED`.
RACES, BOUNDS, INITIALIZATION, ALIGNMENT, COPIES = 1, 2, 4, 8, 16
BITS = {"races": RACES, "bounds": BOUNDS, "initialization": INITIALIZATION, "alignment": ALIGNMENT, "copies": COPIES}

# Words of a cell: time << 32 | FLAG if atomic | thread of the grid; time << 32 | FLAG if relaxed | warp of the grid;
# older reads << 32 | lanes; time << 32 | atomics. Then the places in the kernel of the write and of the read, where
# places are kept.
WRITTEN, READ_BY, READ_LANES, ATOMICS, WRITE_SITE, READ_SITE = range(6)
WORDS, WORDS_WITH_SITES = 4, 6
FLAG, LOW = 1 << 31, (1 << 31) - 1
#: The last write of a cell that a copy has not reached yet: later than all, by no thread.
FLYING = LOW << 32 | LOW
MASK = 0xFFFFFFFF

# Words of an entry of the lists of older reads and of atomics: as READ_BY, READ_LANES, READ_SITE of a cell.
ENTRY_WORDS = 3


# --- lists of reads and atomics ------------------------------------------------------------------------------------


@jit(inline="always")
def _entry(s, at):
    return words(words(s, C.WORDS)[C.ENTRIES] + at * (8 * ENTRY_WORDS), ENTRY_WORDS)


@jit(forceinline=True)
def _new_entry(s):
    """Where an entry lies that nobody uses; 0 if there is none."""
    shadow = words(s, C.WORDS)
    at = shadow[C.ENTRIES_FREE]
    if at:
        shadow[C.ENTRIES_FREE] = _entry(s, at)[1] >> 32
        return at
    at = shadow[C.ENTRIES_NEXT]
    if at == shadow[C.ENTRIES_END]:
        shadow[C.FORGOT] = 1
        return 0
    shadow[C.ENTRIES_NEXT] = at + 1
    return at


@jit
def _free(s, at):
    """Give back a list of entries."""
    shadow = words(s, C.WORDS)
    while at:
        entry = _entry(s, at)
        after = entry[1] >> 32
        entry[1] = shadow[C.ENTRIES_FREE] << 32
        shadow[C.ENTRIES_FREE] = at
        at = after


@jit
def _scan(s, w, t, by, lanes, site, base, plain_only, kind):
    """Whether all of a list is known, whose first entry is given; else `OTHER` is one that is not.

    Lists are ordered by time, so that nothing after an entry from before `base` is looked at: a time at which the
    thread knew of all that can reach the cell.
    """
    while by >> 32 >= base:
        if not (plain_only and by & FLAG):
            left = C.unknown(s, w, t, by & LOW, lanes & MASK, by >> 32)
            if left:
                _blame(s, ((by & LOW) << 5) + _lowest(left), kind, site)
                return False
        at = lanes >> 32
        if at == 0:
            break
        entry = _entry(s, at)
        by, lanes, site = entry[0], entry[1], entry[2]
    return True


@jit(inline="always")
def _lowest(mask):
    lane = 0
    while (mask >> lane) & 1 == 0:
        lane += 1
    return lane


@jit
def _blame(s, other, kind, site):
    shadow = words(s, C.WORDS)
    shadow[C.OTHER], shadow[C.OTHER_KIND], shadow[C.OTHER_SITE] = other, kind, site


@jit(forceinline=True)
def _without_known(s, w, t, at, base, relaxed):
    """A list without the entries at its front that the thread knows of; a relaxed read keeps plain ones."""
    shadow = words(s, C.WORDS)
    while at:
        entry = _entry(s, at)
        if entry[0] >> 32 >= base and (
            (relaxed and not entry[0] & FLAG) or C.unknown(s, w, t, entry[0] & LOW, entry[1] & MASK, entry[0] >> 32)
        ):
            break
        after = entry[1] >> 32
        entry[1] = shadow[C.ENTRIES_FREE] << 32
        shadow[C.ENTRIES_FREE] = at
        at = after
    return at


# --- one cell ------------------------------------------------------------------------------------------------------


@jit
def _read(s, w, t, c, era, base, kind, site):
    """File a read that did not race with a write."""
    shadow, worker, thread, cell = words(s, C.WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS), words(c, 6)
    me = thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
    mine = shadow[C.TIME] << 32 | (me >> 5)
    if kind == S.RELAXED_READ:
        mine |= FLAG
    elif cell[ATOMICS] >> 32 >= max(base, era):
        first = _entry(s, cell[ATOMICS] & MASK)
        if not _scan(s, w, t, first[0], first[1], first[2], max(base, era), False, S.ATOMIC):
            return S.RACE
    bit = 1 << (me & 31)
    by, lanes = cell[READ_BY], cell[READ_LANES]
    if by == mine:
        cell[READ_LANES] = lanes | bit
        return 0
    older = lanes >> 32
    if by >> 32 < era:
        if older and by >> 32 >= shadow[C.ERA]:
            _free(s, older)
        older = 0
    else:
        if older:
            older = _without_known(s, w, t, older, base, kind == S.RELAXED_READ)
        keep = kind == S.RELAXED_READ and not by & FLAG
        if keep or (by >> 32 >= base and C.unknown(s, w, t, by & LOW, lanes & MASK, by >> 32)):
            at = _new_entry(s)
            if at:
                entry = _entry(s, at)
                entry[0], entry[1], entry[2] = by, older << 32 | (lanes & MASK), 0
                if shadow[C.CELL_BYTES] > 32:
                    entry[2] = cell[READ_SITE]
                older = at
    cell[READ_BY], cell[READ_LANES] = mine, older << 32 | bit
    if shadow[C.CELL_BYTES] > 32:
        cell[READ_SITE] = site
    return 0


@jit
def _write(s, w, t, c, era, base):
    """Look for reads and atomics that a write races with, and forget them if it does not."""
    shadow, cell = words(s, C.WORDS), words(c, 6)
    base = max(base, era)
    if cell[READ_BY] >> 32 >= shadow[C.ERA]:
        site = cell[READ_SITE] if shadow[C.CELL_BYTES] > 32 else 0
        if not _scan(s, w, t, cell[READ_BY], cell[READ_LANES], site, base, False, S.READ):
            return S.RACE
        _free(s, cell[READ_LANES] >> 32)
        cell[READ_BY] = 0
    if cell[ATOMICS] >> 32 >= shadow[C.ERA]:
        first = _entry(s, cell[ATOMICS] & MASK)
        if not _scan(s, w, t, first[0], first[1], first[2], base, False, S.ATOMIC):
            return S.RACE
        _free(s, cell[ATOMICS] & MASK)
        cell[ATOMICS] = 0
    return 0


@jit
def _update(s, w, t, c, era, base, site):
    """Look for plain reads that an atomic races with, and file it."""
    shadow, worker, thread, cell = words(s, C.WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS), words(c, 6)
    if cell[READ_BY] >> 32 >= max(base, era):
        old = cell[READ_SITE] if shadow[C.CELL_BYTES] > 32 else 0
        if not _scan(s, w, t, cell[READ_BY], cell[READ_LANES], old, max(base, era), True, S.READ):
            return S.RACE
    me = thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
    mine, bit = shadow[C.TIME] << 32 | (me >> 5), 1 << (me & 31)
    older = 0
    if cell[ATOMICS] >> 32 >= era:
        older = cell[ATOMICS] & MASK
        first = _entry(s, older)
        if first[0] == mine:
            first[1] |= bit
            return 0
        older = _without_known(s, w, t, older, base, False)
    elif cell[ATOMICS] >> 32 >= shadow[C.ERA]:
        _free(s, cell[ATOMICS] & MASK)
    at = _new_entry(s)
    if at:
        entry = _entry(s, at)
        entry[0], entry[1], entry[2] = mine, older << 32 | bit, site
        cell[ATOMICS] = shadow[C.TIME] << 32 | at
    return 0


@jit(forceinline=True)
def _touch(s, w, t, c, era, base, initialized, kind, site):
    """File an access to one cell; the fault if it is one."""
    shadow, worker, thread, cell = words(s, C.WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS), words(c, 6)
    last = cell[WRITTEN]
    if kind >= S.TAKE_OFF:
        cell[WRITTEN] = FLYING if kind == S.TAKE_OFF else site
        return 0
    if last == FLYING:
        return S.NOT_LANDED
    written = last >> 32 >= era
    if not (written or initialized) and kind != S.WRITE and kind != S.RELAXED_WRITE:
        if shadow[C.CHECKED] & INITIALIZATION:
            return S.UNWRITTEN
    me = thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
    if shadow[C.CHECKED] & RACES:
        plain = kind == S.READ or kind == S.WRITE
        if written and last >> 32 >= base and last & LOW != me and (plain or not last & FLAG):
            other = last & LOW
            if C.unknown(s, w, t, other >> 5, 1 << (other & 31), last >> 32):
                old = cell[WRITE_SITE] if shadow[C.CELL_BYTES] > 32 else 0
                _blame(s, other, S.ATOMIC if last & FLAG else S.WRITE, old)
                return S.RACE
        if kind == S.READ or kind == S.RELAXED_READ:
            mine = shadow[C.TIME] << 32 | (me >> 5)
            if cell[READ_BY] == mine and kind == S.READ and cell[ATOMICS] >> 32 < era:
                cell[READ_LANES] |= 1 << (me & 31)
                return 0
            return _read(s, w, t, c, era, base, kind, site)
        if kind == S.WRITE:
            if cell[READ_BY] >> 32 >= shadow[C.ERA] or cell[ATOMICS] >> 32 >= shadow[C.ERA]:
                fault = _write(s, w, t, c, era, base)
                if fault:
                    return fault
        else:
            fault = _update(s, w, t, c, era, base, site)
            if fault:
                return fault
    if kind == S.WRITE or (not written and kind != S.READ and kind != S.RELAXED_READ):
        cell[WRITTEN] = shadow[C.TIME] << 32 | me | (0 if kind == S.WRITE else FLAG)
        if shadow[C.CELL_BYTES] > 32:
            cell[WRITE_SITE] = site
    return 0


# --- where cells lie -----------------------------------------------------------------------------------------------


@jit
def _argument(shadow, address):
    """The address of the segment of arguments that an address lies in; 0 if it lies in none."""
    low, high = 0, shadow[C.SEGMENTS]
    while low < high:
        middle = (low + high) >> 1
        if words(shadow[C.SEGMENTS_AT] + middle * (8 * S.SEGMENT_WORDS), S.SEGMENT_WORDS)[S.LOWEST] <= address:
            low = middle + 1
        else:
            high = middle
    at = shadow[C.SEGMENTS_AT] + (low - 1) * (8 * S.SEGMENT_WORDS)
    return at if low and address < words(at, S.SEGMENT_WORDS)[S.HIGHEST] else 0


@jit
def _segment(shadow, worker, address):
    """The address of the segment that an address lies in; 0 if it lies in none."""
    offset = address - worker[S.SHARED_BASE]
    if not 0 <= offset < worker[S.SLOTS] * S.SLOT_BYTES:
        return _argument(shadow, address)
    slot = offset // S.SLOT_BYTES
    block = words(worker[S.BLOCKS_AT] + slot * (8 * S.BLOCK_WORDS), S.BLOCK_WORDS)
    k = _array_of(block, offset - slot * S.SLOT_BYTES)
    return worker[S.SEGMENTS] + (slot * S.ARRAYS + k) * (8 * S.SEGMENT_WORDS) if k >= 0 else 0


@jit
def _copy_list(s, at):
    """A list with the entries of another."""
    if at == 0:
        return 0
    new = _new_entry(s)
    if new:
        entry, old = _entry(s, new), _entry(s, at)
        entry[0], entry[1], entry[2] = old[0], old[1] & MASK, old[2]
    last, at = new, _entry(s, at)[1] >> 32
    while at and last:
        made = _new_entry(s)
        if made:
            entry, old = _entry(s, made), _entry(s, at)
            entry[0], entry[1], entry[2] = old[0], old[1] & MASK, old[2]
            _entry(s, last)[1] |= made << 32
        last, at = made, _entry(s, at)[1] >> 32
    return new


@jit
def _quick_bytes(shadow, segment):
    """Bytes of the accesses that `quick` may take, whose alignment is then right."""
    size = segment[S.GRAIN]
    wanted = RACES | INITIALIZATION
    right = size < S.NO_CELLS and shadow[C.CHECKED] & wanted == wanted and segment[S.LOWEST] & ((1 << size) - 1) == 0
    return 1 << size if right else 0


@jit
def _refine(s, w, segment, together):
    """Give an array of a block cells for elements as small as it is used in; `together` has a bit of their size."""
    shadow, worker = words(s, C.WORDS), words(w, S.WORKER_WORDS)
    size, finer = segment[S.GRAIN], 0
    while finer < 4 and (together >> finer) & 1 == 0:
        finer += 1
    offset = segment[S.LOWEST] - worker[S.SHARED_BASE] - segment[S.HOME] * S.SLOT_BYTES
    cell = segment[S.HOME] * shadow[C.SLOT_CELLS] + offset
    segment[S.CELLS] = shadow[C.SHARED_CELLS] + cell * shadow[C.CELL_BYTES]
    if finer < size < S.NO_CELLS:
        count = (segment[S.HIGHEST] - segment[S.LOWEST]) >> size
        _split(s, segment[S.CELLS], count, 1 << (size - finer), segment[S.SINCE])
    segment[S.GRAIN] = finer
    segment[S.QUICK] = _quick_bytes(shadow, segment)


@jit
def _split(s, first, count, ratio, era):
    """Give each of some cells `ratio` cells, as an array of a block is used in smaller parts."""
    shadow = words(s, C.WORDS)
    size = shadow[C.CELL_BYTES] // 8
    for k in range(count - 1, -1, -1):
        old = words(first + k * 8 * size, size)
        for part in range(ratio - 1, -1, -1):
            new = words(first + (k * ratio + part) * 8 * size, size)
            for w in range(size):
                new[w] = old[w]
            if part and new[READ_BY] >> 32 >= era:
                new[READ_LANES] = _copy_list(s, old[READ_LANES] >> 32) << 32 | (old[READ_LANES] & MASK)
            if part and new[ATOMICS] >> 32 >= era:
                new[ATOMICS] = (old[ATOMICS] >> 32) << 32 | _copy_list(s, old[ATOMICS] & MASK)


@jit(inline="always")
def _array_of(block, offset):
    """Which array of a block an offset lies in; -1 if in none."""
    for k in range(block[S.SHARED_ARRAYS]):
        start = block[S.SHARED_TABLE + 3 * k + 1]
        if start <= offset < start + block[S.SHARED_TABLE + 3 * k + 2]:
            return k
    return -1


@jit
def _fault(s, w, t, code, address, nbytes, kind, site):
    shadow, worker, thread = words(s, C.WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS)
    worker[S.ERROR], worker[S.ERROR_ADDRESS] = code, address
    worker[S.ERROR_KIND], worker[S.ERROR_SITE] = kind, site
    worker[S.ERROR_OTHER], worker[S.ERROR_OTHER_KIND] = shadow[C.OTHER], shadow[C.OTHER_KIND]
    worker[S.ERROR_OTHER_SITE] = shadow[C.OTHER_SITE]
    shadow[C.ERROR_ID] = thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
    shadow[C.ERROR_BYTES] = nbytes
    return code


@jit
def _no_access(s, w, t, address, nbytes, kind, site):
    """The kinds of `state` that are no accesses."""
    shadow, thread = words(s, C.WORDS), words(t, S.THREAD_WORDS)
    if kind == S.FENCE:
        C.fence(words(w, S.WORKER_WORDS), thread, nbytes)
        return 0
    if kind == S.BEYOND:
        if not shadow[C.CHECKED] & BOUNDS:
            return 0
        shadow[C.ERROR_INDEX], shadow[C.ERROR_AXIS] = thread[S.VALUE], thread[S.ARGUMENT]
        shadow[C.ERROR_EXTENT] = thread[S.EXTRA]
        return _fault(s, w, t, S.OUTSIDE, address, nbytes, kind, site)
    if not shadow[C.CHECKED] & INITIALIZATION:
        return 0
    return _fault(s, w, t, S.UNWRITTEN, address, nbytes, kind, site)


@jit(forceinline=True)
def _base(shadow, thread, home):
    """A time before which a thread knows of all that can have reached a segment."""
    return max(shadow[C.GRID_TIME], thread[S.CLOCK]) if home == thread[S.SLOT] else shadow[C.GRID_TIME]


@inlined(types.int64(*[types.int64] * 5))
def quick(t, address, nbytes, kind, found):
    """File a plain read or write that needs no more than its cell; whether it did, else nothing is changed.

    A short form of `access` for what most accesses are: what others did there is from before `_base`, or this thread
    did it, or it is a read at the same time as this one. Each compiled kernel has a copy of it, in which `nbytes`
    and `kind` are known; cells have no sites there. Only where races and initialization are checked, and only for
    arguments and arrays of the thread's own block, has the segment `QUICK` bytes.
    """
    if found == 0:
        return False
    thread, segment = words(t, S.THREAD_WORDS), words(found, S.SEGMENT_WORDS)
    s = words(thread[S.WORKER], S.WORKER_WORDS)[S.SHADOW]
    shadow = words(s, C.WORDS)
    offset, shared = address - segment[S.LOWEST], segment[S.HOME] >= 0
    if segment[S.QUICK] != nbytes or offset & (nbytes - 1) or not 0 <= offset < segment[S.HIGHEST] - segment[S.LOWEST]:
        return False
    cell = words(segment[S.CELLS] + offset // nbytes * (8 * WORDS), WORDS)
    base = (max(shadow[C.GRID_TIME], thread[S.CLOCK]) if shared else shadow[C.GRID_TIME]) << 32
    me, now = thread[S.ME], shadow[C.TIME] << 32
    last, by, lanes = cell[WRITTEN], cell[READ_BY], cell[READ_LANES]
    warp, bit = me >> 5, 1 << (me & 31)
    if last >= base and last & LOW != me:
        return False
    known = by < base or (by & LOW == warp and lanes == bit)
    if kind & 255 == S.READ:
        if cell[ATOMICS] >> 32 >= segment[S.SINCE] or (shared and last >> 32 < segment[S.SINCE]):
            return False
        if by == now | warp:
            cell[READ_LANES] = lanes | bit
            return True
        older = 0
        if by >= now and by & LOW != warp:  # of the same time, so that nothing orders it: one more in the list
            older = _new_entry(s)
            if older == 0:
                return False
            entry = _entry(s, older)
            entry[0], entry[1], entry[2] = by, lanes, 0
        elif lanes >> 32 or not known:
            return False
        cell[READ_BY], cell[READ_LANES] = now | warp, older << 32 | bit
        return True
    if cell[ATOMICS] >> 32 >= shadow[C.ERA]:
        return False
    if by >> 32 >= shadow[C.ERA]:
        if lanes >> 32 or not known:
            return False
        cell[READ_BY] = 0
    cell[WRITTEN] = now | me
    return True


@jit
def _access(t, address, nbytes, kind, site, found):
    thread = words(t, S.THREAD_WORDS)
    w = thread[S.WORKER]
    worker = words(w, S.WORKER_WORDS)
    s = worker[S.SHADOW]
    shadow = words(s, C.WORDS)
    alignment, kind = kind >> 8, kind & 255
    if S.RELAXED_WRITE < kind < S.TAKE_OFF:
        return _no_access(s, w, t, address, nbytes, kind, site)
    if alignment and address & (alignment - 1) and shadow[C.CHECKED] & ALIGNMENT:
        return _fault(s, w, t, S.MISALIGNED, address, nbytes, kind, site)
    if not shadow[C.CHECKED] & (RACES | INITIALIZATION | COPIES):
        return 0
    if found == 0 or not words(found, 2)[S.LOWEST] <= address < words(found, 2)[S.HIGHEST]:
        found = _segment(shadow, worker, address)
        if found == 0:
            return 0
    segment = words(found, S.SEGMENT_WORDS)
    offset, home = address - segment[S.LOWEST], segment[S.HOME]
    if (offset | nbytes) & ((1 << segment[S.GRAIN]) - 1):
        if home < 0:  # parts of elements, by a view of another type
            return 0
        _refine(s, w, segment, offset | nbytes)
    size, base = segment[S.GRAIN], _base(shadow, thread, home)
    first = segment[S.CELLS] + (offset >> size) * shadow[C.CELL_BYTES]
    for k in range(nbytes >> size):
        c = first + k * shadow[C.CELL_BYTES]
        fault = _touch(s, w, t, c, segment[S.SINCE], base, home < 0, kind, site)
        if fault:
            return _fault(s, w, t, fault, address + (k << size), 1 << size, kind, site)
    if shadow[C.FENCES] and kind != S.READ and kind != S.WRITE:
        C.synchronize(shadow, worker, thread, address, home >= 0, kind)
    return 0


@jit
def accessed(t, address, nbytes, kind, site):
    """Check an access, before it is made.

    Parameters
    ----------
    t : int
        Address of the thread's row in the table of threads.
    address, nbytes : int
        What is accessed.
    kind : int
        Of `state`: ``READ`` and so on; plus 256 times the alignment that the address must have, where it must have one.
        For ``FENCE``, `nbytes` says whether it is one of the whole device; for ``LAND``, `site` is the stamp of the
        write. For ``BEYOND`` the address is where the array begins, and the thread's row has the index in ``VALUE``,
        the axis in ``ARGUMENT`` and its extent in
        ``EXTRA``.
    site : int
        Place in the kernel, for reports; 0 where it is not known.

    Returns
    -------
    fault : int
        0, or one of `state` after the worker's row says which: ``ERROR``, ``ERROR_ADDRESS``, ``ERROR_KIND``,
        ``ERROR_SITE``, ``ERROR_OTHER`` (block * ``STRIDE`` + thread), ``ERROR_OTHER_KIND``, ``ERROR_OTHER_SITE``.
    """
    return _access(t, address, nbytes, kind, site, 0)


@c_function(types.int64(*[types.int64] * 5))
def access_in(t, address, nbytes, kind, segment):
    """`access` for compiled kernels, which know the address of the segment, or 0."""
    return _access(t, address, nbytes, kind, 0, segment)


@c_function(types.int64(*[types.int64] * 5))
def access(t, address, nbytes, kind, site):
    """`accessed` for callers from outside."""
    return accessed(t, address, nbytes, kind, site)


# --- a launch ------------------------------------------------------------------------------------------------------

#: Entries of lists, and words of views: as much memory as they can take, touched only where it is used. A stencil over
#: 4096^2 elements, most of which two warps read, needs 20 million entries.
ENTRIES, VIEW_WORDS = 1 << 25, 1 << 23

#: Cells that a launch may have: 2 GiB.
MOST_CELLS = 1 << 26

KINDS = ("read", "write", "atomic", "read", "write", "", "", "read")

TEXTS = {
    S.RACE: (errors.RaceError, "data race"),
    S.OUTSIDE: (errors.OutOfBoundsError, "index out of bounds"),
    S.UNWRITTEN: (errors.UninitializedError, "read of memory that nothing wrote"),
    S.MISALIGNED: (errors.MisalignedError, "misaligned access"),
    S.NOT_LANDED: (errors.CopyError, "access to memory that a copy has not reached yet"),
}


def kind_of(kind, dtype):
    """The kind of an access to an element of a dtype, with the alignment that a device asks for."""
    return kind | alignment_of(dtype) << 8


def alignment_of(dtype):
    """Alignment of an element; 0 for records, whose fields have their own."""
    if dtype.names:
        return 0
    size = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    return size if size in (2, 4, 8, 16) else 0


@functools.cache
def grain(dtype):
    """The largest power of two of bytes that no field of a dtype is a fraction of."""
    if dtype.subdtype is not None:
        return grain(dtype.subdtype[0])
    if not dtype.names:
        return min(dtype.itemsize & -dtype.itemsize, 16) if dtype.itemsize else 1
    parts = [dtype.itemsize]
    for field, offset, *_ in dtype.fields.values():
        parts += [grain(field), offset]
    whole = math.gcd(*parts)
    return whole & -whole


def _extent(array):
    """The bytes of memory that an array spans, from and to; its grain; where it begins."""
    data = low = high = array.__array_interface__["data"][0]
    flags, unit = array.flags, grain(array.dtype)
    if flags.c_contiguous or flags.f_contiguous:
        return low, low + array.nbytes, unit, data
    for extent, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += (extent - 1) * stride
        else:
            high += (extent - 1) * stride
    return low, high + array.itemsize, unit, data


def _merged(spans):
    """Spans in order, those that overlap as one."""
    merged = []
    for low, high, unit, _ in sorted(spans):
        if merged and low < merged[-1][1]:
            first, last, other = merged[-1]
            offset = low - first
            merged[-1] = first, max(last, high), min(unit, other, offset & -offset or 16)
        else:
            merged.append((low, high, unit))
    return merged


def named(names, arguments):
    """The arrays among arguments with what they are called, those in tuples too."""
    for name, value in zip(names, arguments, strict=False):
        if isinstance(value, tuple):
            yield from named([f"{name}[{k}]" for k in range(len(value))], value)
        elif isinstance(value, np.ndarray):
            yield name, value


@functools.cache
def _bits(checks):
    return sum(BITS.get(name, 0) for name in checks)


class Shadow:
    """The memory of the checks of one worker.

    Parameters
    ----------
    tables : tuple
        Of the worker, as `state.tables` makes them.
    sites : bool
        Whether the places of earlier accesses are kept.
    """

    def __init__(self, tables, sites=False):
        self._worker, _, _, threads = tables
        self._first = threads[0]
        self._row = row = np.zeros(C.WORDS, np.int64)
        self._lanes = np.zeros((threads.shape[0], S.LANES), np.int64)
        self._views = np.zeros(VIEW_WORDS, np.int64)
        self._variables = np.zeros((C.VARIABLES_COUNT, C.VARIABLE_WORDS), np.int64)
        self._entries = np.zeros((ENTRIES, ENTRY_WORDS), np.int64)
        self._words = WORDS_WITH_SITES if sites else WORDS
        self._cells = self._shared = np.zeros((0, self._words), np.int64)
        self._segments = np.zeros((0, S.SEGMENT_WORDS), np.int64)
        self._shared_segments = np.zeros((threads.shape[0] // S.LANES * S.ARRAYS, S.SEGMENT_WORDS), np.int64)
        row[C.THREADS], row[C.LANES_AT], row[C.VIEWS] = map(_address, (threads, self._lanes, self._views))
        row[C.VARIABLES], row[C.ENTRIES] = map(_address, (self._variables, self._entries))
        row[C.VIEWS_END], row[C.ENTRIES_END], row[C.CELL_BYTES] = VIEW_WORDS, ENTRIES, 8 * self._words
        self._at = _address(row), _address(self._shared_segments)
        self._names, self._laid_out, self._addresses = [], None, {}

    def begin(self, arrays, checks):
        """Make ready for a launch whose worker is prepared.

        Parameters
        ----------
        arrays : iterable of (str, numpy.ndarray)
            Arguments and what they are called.
        checks : iterable of str

        Returns
        -------
        segments : dict
            Addresses of segments, by those of the arrays.
        """
        row, worker = self._row.data, self._worker.data  # numbers of Python's own: a third of the time
        worker[S.SHADOW], worker[S.SEGMENTS] = self._at
        worker[S.ACCESS] = access_in.address
        worker[S.CHECKED] = row[C.CHECKED] = _bits(frozenset(checks))
        self._names = list(arrays)
        if row[C.TIME] > C.LAST // 2:
            row[C.TIME] = 0
            self._cells[:], self._shared[:] = 0, 0
            self._lanes[:] = 0
        row[C.TIME] = row[C.ERA] = row[C.GRID_TIME] = now = row[C.TIME] + 1
        row[C.FENCES] = row[C.FORGOT] = row[C.ENTRIES_FREE] = 0
        row[C.TOKEN] = -2 * C.VARIABLES_COUNT
        row[C.VIEWS_NEXT] = row[C.ENTRIES_NEXT] = 1
        row[C.OTHER], row[C.OTHER_KIND], row[C.OTHER_SITE] = -1, 0, 0
        if row[C.VARIABLES_USED]:
            self._variables[:] = 0
            row[C.VARIABLES_USED] = 0
        segments = self._lay_out()
        slots, cells = worker[S.SLOTS], min(S.SLOT_BYTES, worker[S.DYNAMIC] + S.STATIC_SHARED + 256)
        if self._shared.shape[0] < slots * cells:
            self._shared = np.zeros((slots * cells, self._words), np.int64)
            row[C.SHARED_CELLS] = _address(self._shared)
        row[C.SLOT_CELLS] = cells
        thread = self._first  # threads that never wait run on the first row, with no block made resident
        thread[S.CLOCK : S.NEAR + 1] = thread[S.SLOT] = 0
        thread[S.CLOCK] = thread[S.WARP_CLOCK] = now
        return segments

    def forget(self):
        """Forget all accesses: copies of the launch before may not have landed."""
        self._cells[:], self._shared[:] = 0, 0

    def _lay_out(self):
        """Give segments their cells, unless the last launch had the same; addresses of segments by those of arrays."""
        spans = [_extent(array) for _, array in self._names if array.size]
        laid_out = spans, self._row.item(C.CHECKED)
        if laid_out != self._laid_out:
            self._laid_out, self._segments = laid_out, self._table(_merged(spans))
            at = _address(self._segments)
            self._row[C.SEGMENTS_AT], self._row[C.SEGMENTS] = at, len(self._segments)
            first = self._segments[:, S.LOWEST]
            places = [int(np.searchsorted(first, low, "right")) - 1 for low, *_ in spans]
            self._addresses = {
                data: at + self._segments.strides[0] * k for (*_, data), k in zip(spans, places, strict=True)
            }
            self._too_large = bool((self._segments[:, S.GRAIN] == S.NO_CELLS).any())
        self._segments[:, S.SINCE] = self._row[C.ERA]
        self._row[C.FORGOT] = self._too_large
        return self._addresses

    def _table(self, merged):
        """Segments with their cells."""
        table, first, nbytes = np.zeros((len(merged), S.SEGMENT_WORDS), np.int64), 0, 8 * self._words
        for segment, (low, high, unit) in zip(table, merged, strict=True):
            size = unit.bit_length() - 1
            count = ((high - low) >> size) + 1
            if first + count > MOST_CELLS:
                size, count = S.NO_CELLS, 0
            segment[:7] = low, high, first * nbytes, size, 0, -1, 0
            first += count
        if self._cells.shape[0] < first:
            self._cells = np.zeros((first + first // 4, self._words), np.int64)
        table[:, S.CELLS] += _address(self._cells)
        for segment in table:
            segment[S.QUICK] = _quick_bytes.py_func(self._row, segment)
        return table

    @property
    def forgot(self):
        """Whether the last launch had more memory or order than can be followed, so that races may go unreported."""
        return bool(self._row[C.FORGOT] and self._row[C.CHECKED] & RACES)

    # --- for callers in Python --------------------------------------------------------------------------------------

    def examine(self, thread, array, index, kind, site=0):
        """Check what an index of an array denotes, before it is used there.

        Parameters
        ----------
        thread : int
            Address of the thread's row.
        array : numpy.ndarray
            Memory of an argument or of a block.
        index : int, slice, None, Ellipsis or tuple of them
        kind, site : int
            As in `access`, without an alignment.

        Returns
        -------
        fault : int
            0, or what the worker's row tells of.
        """
        address = array.__array_interface__["data"][0]
        axis, single = 0, True
        parts = index if isinstance(index, tuple) else (index,)
        for part in parts:
            if part is Ellipsis or part is None:
                axis += array.ndim - sum(p is not None and p is not Ellipsis for p in parts) if part is Ellipsis else 0
                single = False
                continue
            if isinstance(part, slice):
                single = False
            else:
                place, extent = operator.index(part), array.shape[axis]
                if not 0 <= place < extent:
                    _words(thread, S.THREAD_WORDS)[[S.VALUE, S.ARGUMENT, S.EXTRA]] = place, axis, extent
                    if fault := access.ctypes(thread, address, 0, S.BEYOND, site):
                        return fault
                    single = False
                elif single:
                    address += place * array.strides[axis]
            axis += 1
        kind, size = kind_of(kind, array.dtype), array.itemsize
        if single and axis == array.ndim:
            return access.ctypes(thread, address, size, kind, site)
        found = array[index if isinstance(index, tuple) else (index,)]
        if not isinstance(found, np.ndarray) or (kind & 255 == S.READ and found.ndim):  # a view, read when it is used
            return 0
        first = found.__array_interface__["data"][0]
        for place in np.ndindex(found.shape):
            at = first + sum(k * stride for k, stride in zip(place, found.strides, strict=True))
            if fault := access.ctypes(thread, at, size, kind, site):
                return fault
        return 0

    # --- what was found ------------------------------------------------------------------------------------------

    def report(self):
        """The fault of the last launch.

        Returns
        -------
        dict
            ``error`` and ``text``: the class of the exception, and what it is in words. ``array``: its name,
            ``"shared memory"`` or ``"local memory"``; ``index``: of the element, or of the access beyond the array
            along ``axis`` of ``extent`` elements. ``thread`` and ``other``: block, thread and warp in it, or None;
            ``kind`` and ``other_kind``: ``"read"``, ``"write"`` or ``"atomic"``; ``site`` and ``other_site``.
        """
        worker, row = self._worker, self._row
        code = int(worker[S.ERROR])
        error, text = TEXTS[code]
        name, index = self._element(int(worker[S.ERROR_ADDRESS]), code)
        found = {
            "error": error, "text": text, "array": name, "index": index, "thread": self._who(int(row[C.ERROR_ID])),
            "kind": KINDS[worker[S.ERROR_KIND]], "site": int(worker[S.ERROR_SITE]), "other": None, "other_kind": "",
            "other_site": 0, "address": int(worker[S.ERROR_ADDRESS]),
        }  # fmt: skip
        if code == S.RACE:
            found |= {"other": self._who(int(row[C.OTHER])), "other_kind": KINDS[row[C.OTHER_KIND]],
                      "other_site": int(row[C.OTHER_SITE])}  # fmt: skip
        if code == S.OUTSIDE:
            found |= {"index": int(row[C.ERROR_INDEX]), "axis": int(row[C.ERROR_AXIS]),
                      "extent": int(row[C.ERROR_EXTENT])}  # fmt: skip
        return found

    def _who(self, number):
        block, thread = divmod(number, int(self._worker[S.STRIDE]))
        return block, thread, thread // S.LANES

    def _element(self, address, code):
        """Name of the array at an address, and index of the element there."""
        worker = self._worker
        offset = address - int(worker[S.SHARED_BASE])
        if 0 <= offset < int(worker[S.SLOTS]) * S.SLOT_BYTES:
            slot, offset = divmod(offset, S.SLOT_BYTES)
            block = _words(int(worker[S.BLOCKS_AT]) + 8 * S.BLOCK_WORDS * slot, S.BLOCK_WORDS)
            for k in range(int(block[S.SHARED_ARRAYS])):
                _, start, nbytes = block[S.SHARED_TABLE + 3 * k : S.SHARED_TABLE + 3 * k + 3].tolist()
                if start <= offset < start + max(nbytes, 1):
                    return "shared memory", (offset - start) // max(int(self._row[C.ERROR_BYTES]), 1)
            return "shared memory", None
        for name, array in self._names:
            low, high, *_ = _extent(array)
            if low <= address < max(high, low + 1):
                return name, _index(array, address)
        return "local memory" if code != S.OUTSIDE else "an array", None

    def error(self, where="", other=""):
        """The exception of the last launch's fault; `where` and `other` are the source lines of the threads."""
        found = self.report()
        element = found["array"]
        if found["error"] is errors.OutOfBoundsError:
            lines = [f"{found['text']}: {found['index']} along axis {found['axis']} of {element}, "
                     f"which has {found['extent']} elements there"]  # fmt: skip
            lines.append(f"  by {_person(found['thread'])}{where}")
        else:
            if found["index"] is not None:
                index = found["index"]
                element += f"[{', '.join(map(str, index))}]" if isinstance(index, tuple) else f" element {index}"
            lines = [f"{found['text']}: {element}", f"  {found['kind']} by {_person(found['thread'])}{where}"]
        if found["other"] is not None:
            lines.append(f"  {found['other_kind']} by {_person(found['other'])}{other}, and nothing orders the two")
        return found["error"]("\n".join(lines))


def _person(who):
    block, thread, warp = who
    return f"thread {thread} (warp {warp}) of block {block}"


def _index(array, address):
    """Index of the element of an array that an address lies in; None if it lies between."""
    offset = address - array.__array_interface__["data"][0]
    index = [0] * array.ndim
    for axis in sorted(range(array.ndim), key=lambda k: -abs(array.strides[k])):
        stride = array.strides[axis]
        if stride:
            index[axis] = min(max(int(offset / stride), 0), array.shape[axis] - 1)
            offset -= index[axis] * stride
    return tuple(index) if 0 <= offset < max(array.itemsize, 1) else None


def _address(array):
    return int(array.__array_interface__["data"][0])


def _words(address, count):
    return np.frombuffer((ctypes.c_int64 * count).from_address(address), np.int64)

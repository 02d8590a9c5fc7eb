"""What threads know of one another: the order that barriers, fences and atomics make (happens-before).

Threads run one at a time, so one clock serves them all. It ticks whenever something orders threads, and an access is
stamped with its time. What a thread knows of another is then a time: whatever the other did before it is ordered
before whatever the thread does now (Lamport 1978; vector clocks, Mattern 1989, whose entries are these times).

- Barriers of a whole block, of all lanes of a warp and of the grid need one number each: the time at which they opened.
- Less regular knowledge of a thread's own block, from partial barriers, is a row with a time for each of its threads.
- Knowledge from fences with atomics lies in views: for each block of the grid such a row. Rows and views are shared
  until one who does not own them changes them.
- Within a warp each lane has a time for each other, for barriers of some lanes.
- A fence and then an atomic, or an access with a cache hint that stores, publishes what the thread knew at the fence
  under the address; one that loads there and then a fence takes that over (PTX ISA, "Memory Consistency Model":
  release and acquire patterns). A block's barrier makes what its threads published before it, by fences of their own,
  part of what any of them publishes. ``threadfence_block`` does this for threads of one block.
- Shuffles, votes and matches order nothing (CUDA C++ Programming Guide, "Warp Shuffle Functions").

Where views take more memory than there is they are forgotten: `FORGOT` is set, and races are no longer reported.
"""

from . import state as S
from .jit import jit
from .memory import words

# The row of a shadow: what `clocks` and `shadow` know of a launch and of their memory.
(
    TIME, ERA, GRID_TIME, FENCES, FORGOT, THREADS, LANES_AT, VIEWS, VIEWS_NEXT, VIEWS_END, TOKEN, VARIABLES,
    VARIABLES_USED, CHECKED, ENTRIES, ENTRIES_NEXT, ENTRIES_END, ENTRIES_FREE, SEGMENTS_AT, SEGMENTS,
    SHARED_CELLS, SLOT_CELLS, CELL_BYTES, ERROR_ID, ERROR_INDEX, ERROR_AXIS, ERROR_EXTENT, ERROR_BYTES, OTHER,
    OTHER_KIND, OTHER_SITE,
) = range(31)  # fmt: skip
WORDS = 40

#: Times have 31 bits in a cell.
LAST = (1 << 31) - 2

#: Addresses under which something is published: key, block or 0, view.
VARIABLES_COUNT, VARIABLE_WORDS = 1 << 14, 3


@jit(inline="always")
def of(worker):
    """The row of a worker's shadow."""
    return words(worker[S.SHADOW], WORDS)


@jit(inline="always")
def tick(shadow):
    """The next time."""
    if shadow[TIME] < LAST:
        shadow[TIME] += 1
    else:
        shadow[FORGOT] = 1
    return shadow[TIME]


@jit(inline="always")
def _row_of(shadow, f):
    return words(shadow[THREADS] + f * (8 * S.THREAD_WORDS), S.THREAD_WORDS)


@jit(inline="always")
def _lanes_of(shadow, f):
    """For each lane of a thread's warp the time up to which it knows of it."""
    return words(shadow[LANES_AT] + f * (8 * S.LANES), S.LANES)


# --- views: a word for the owner, then one for each block, where its row lies --------------------------------------
# --- rows: a word for the owner, a time for all threads of the block, a time for each of them ----------------------


@jit(inline="always")
def _view(shadow, worker, at):
    return words(shadow[VIEWS] + 8 * at, 1 + worker[S.BLOCKS])


@jit(inline="always")
def _row(shadow, worker, at):
    return words(shadow[VIEWS] + 8 * at, 2 + worker[S.STRIDE])


@jit
def _new(shadow, count, owner):
    """Words that are 0 but for the first; 0 where there are no more."""
    at = shadow[VIEWS_NEXT]
    if at + count > shadow[VIEWS_END]:
        shadow[FORGOT] = 1
        return 0
    shadow[VIEWS_NEXT] = at + count
    made = words(shadow[VIEWS] + 8 * at, count)
    for k in range(count):
        made[k] = 0
    made[0] = owner
    return at


@jit
def _raise(shadow, worker, at, other):
    """Raise the times of a row to those of another."""
    row, theirs = _row(shadow, worker, at), _row(shadow, worker, other)
    for k in range(1, 2 + worker[S.STRIDE]):
        row[k] = max(row[k], theirs[k])


@jit
def _owned_view(shadow, worker, at, owner):
    """A view that the owner may change, with what another knows."""
    if at and _view(shadow, worker, at)[0] == owner:
        return at
    new = _new(shadow, 1 + worker[S.BLOCKS], owner)
    if new and at:
        before, after = _view(shadow, worker, at), _view(shadow, worker, new)
        for k in range(1, 1 + worker[S.BLOCKS]):
            if before[k]:
                _row(shadow, worker, before[k])[0] = 0
                after[k] = before[k]
    return new


@jit
def _owned_row(shadow, worker, view, block, owner):
    """The row of a block in a view that belongs to the owner, to be changed."""
    references = _view(shadow, worker, view)
    at = references[1 + block]
    if at and _row(shadow, worker, at)[0] == owner:
        return at
    new = _new(shadow, 2 + worker[S.STRIDE], owner)
    if new:
        if at:
            _raise(shadow, worker, new, at)
        references[1 + block] = new
    return new


@jit
def _merge_row(shadow, worker, view, owner, other, block):
    """Add what another view knows of one block."""
    theirs = _view(shadow, worker, other)[1 + block]
    references = _view(shadow, worker, view)
    mine = references[1 + block]
    if theirs == 0 or theirs == mine:
        return
    if mine == 0:
        _row(shadow, worker, theirs)[0] = 0
        references[1 + block] = theirs
        return
    mine = _owned_row(shadow, worker, view, block, owner)
    if mine:
        _raise(shadow, worker, mine, theirs)


@jit
def _merge(shadow, worker, view, owner, other):
    """Add what another view knows."""
    if view and other and other != view:
        for block in range(worker[S.BLOCKS]):
            _merge_row(shadow, worker, view, owner, other, block)


@jit
def _absorb(shadow, worker, at, f, time):
    """Add to a row what a thread knows of its block, and what it did before a time."""
    thread = _row_of(shadow, f)
    row, lanes, linear = _row(shadow, worker, at), _lanes_of(shadow, f), thread[S.LINEAR]
    row[1] = max(row[1], thread[S.CLOCK])
    first = 2 + (linear & ~31)
    for lane in range(S.LANES):
        row[first + lane] = max(row[first + lane], max(thread[S.WARP_CLOCK], lanes[lane]))
    if thread[S.NEAR]:
        _raise(shadow, worker, at, thread[S.NEAR])
    row[2 + linear] = max(row[2 + linear], time)


@jit
def _token(shadow):
    """An owner that there was not before."""
    shadow[TOKEN] -= 1
    return shadow[TOKEN]


@jit
def _freeze(shadow, worker, view):
    """Keep its owner from changing a view that others hold now."""
    if view:
        _view(shadow, worker, view)[0] = 0
    return view


# --- what a thread knows -------------------------------------------------------------------------------------------


@jit
def born(worker, blocks, threads, slot):
    """A block becomes resident: its threads know nothing of any other."""
    shadow = of(worker)
    if worker[S.RESIDENT] == 1 and shadow[VARIABLES_USED] == 0:  # nobody is left who could look at an older view
        shadow[VIEWS_NEXT] = 1
    now = tick(shadow)
    blocks[slot, S.BORN] = now
    first = slot * worker[S.STRIDE]
    for f in range(first, first + worker[S.SIZE]):
        thread = threads[f]
        thread[S.CLOCK] = thread[S.WARP_CLOCK] = now
        thread[S.KNOWN] = thread[S.NEAR] = thread[S.PENDING] = thread[S.PENDING_NEAR] = 0
        thread[S.FENCED] = thread[S.FENCED_NEAR] = thread[S.FENCED_CLOCK] = 0


@jit
def _beyond_row(row, warp, mask, stamp):
    """Which lanes of a block's warp did something at a time that a row does not have."""
    if row[1] > stamp:
        return 0
    for lane in range(S.LANES):
        if row[2 + warp * S.LANES + lane] > stamp:
            mask &= ~(1 << lane)
    return mask


@jit(forceinline=True)
def unknown(s, w, t, warp, mask, stamp):
    """Which lanes of a warp of the grid did something at a time that a thread does not know of; rows by address."""
    shadow, worker, thread = words(s, WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS)
    if stamp < shadow[GRID_TIME]:
        return 0
    if stamp == shadow[TIME] and warp != (thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]) >> 5:
        return 0 if shadow[FORGOT] else mask  # nothing has ordered anything since
    return _unknown(s, w, t, warp, mask, stamp)


@jit
def _unknown(s, w, t, warp, mask, stamp):
    shadow, worker, thread = words(s, WORDS), words(w, S.WORKER_WORDS), words(t, S.THREAD_WORDS)
    width = worker[S.STRIDE] >> 5
    first = thread[S.BLOCK] * width
    linear = thread[S.LINEAR]
    if warp == first + (linear >> 5):
        mask &= ~(1 << (linear & 31))
        if mask == 0 or stamp < thread[S.WARP_CLOCK]:
            return 0
        lanes = _lanes_of(shadow, thread[S.SLOT] * worker[S.STRIDE] + linear)
        for lane in range(S.LANES):
            if lanes[lane] > stamp:
                mask &= ~(1 << lane)
    elif first <= warp < first + width and stamp < thread[S.CLOCK]:
        return 0
    if mask and thread[S.NEAR] and first <= warp < first + width:
        mask = _beyond_row(_row(shadow, worker, thread[S.NEAR]), warp - first, mask, stamp)
    if mask and thread[S.KNOWN]:
        block = warp // width
        at = _view(shadow, worker, thread[S.KNOWN])[1 + block]
        if at:
            mask = _beyond_row(_row(shadow, worker, at), warp - block * width, mask, stamp)
    return 0 if shadow[FORGOT] else mask


# --- barriers ------------------------------------------------------------------------------------------------------


@jit
def _common(shadow, worker, threads, base, members, view, owner):
    """One view with what the lanes of a warp know beside their block; `view` is what others know already.

    While all know the same it is shared as it is; `owner` is 0 until a view is made.
    """
    for lane in range(S.LANES):
        if (members >> lane) & 1:
            known = threads[base + lane, S.KNOWN]
            if known and known != view:
                if view:
                    if owner == 0:
                        owner = _token(shadow)
                    view = _owned_view(shadow, worker, view, owner)
                    _merge(shadow, worker, view, owner, known)
                else:
                    view = _freeze(shadow, worker, known)
    return view, owner


@jit
def open_barrier(worker, blocks, warps, threads, slot, barrier):
    """The threads that wait at a barrier of a block know of one another, and of those that arrived and went on."""
    shadow = of(worker)
    now = tick(shadow)
    first, count = slot * worker[S.STRIDE] >> 5, worker[S.STRIDE] >> 5
    waiting = 0
    for w in range(first, first + count):
        mask = warps[w, S.AT_BARRIER + barrier]
        while mask:
            mask &= mask - 1
            waiting += 1
    at = S.ARRIVED_VIEWS + 2 * barrier
    view, owner, near = blocks[slot, at], 0, blocks[slot, at + 1]
    blocks[slot, at] = blocks[slot, at + 1] = 0
    full = waiting == worker[S.SIZE]
    if full and worker[S.BLOCKS] == 1:
        shadow[GRID_TIME] = now
    elif not full and near == 0:
        near = _new(shadow, 2 + worker[S.STRIDE], 0)
    for w in range(first, first + count):
        mask = warps[w, S.AT_BARRIER + barrier]
        view, owner = _common(shadow, worker, threads, w * S.LANES, mask, view, owner)
        for lane in range(S.LANES):
            if near and not full and (mask >> lane) & 1:
                _absorb(shadow, worker, near, w * S.LANES + lane, now)
    _freeze(shadow, worker, view)
    for w in range(first, first + count):
        mask = warps[w, S.AT_BARRIER + barrier]
        for lane in range(S.LANES):
            if (mask >> lane) & 1:
                thread = threads[w * S.LANES + lane]
                thread[S.KNOWN] = view
                if full:
                    thread[S.CLOCK] = thread[S.WARP_CLOCK] = now
                    thread[S.NEAR] = 0
                else:
                    thread[S.NEAR] = near


@jit
def arrive(worker, blocks, threads, slot, f, barrier):
    """A thread arrives at a barrier and goes on: those who wait there know what it did before."""
    shadow = of(worker)
    at = S.ARRIVED_VIEWS + 2 * barrier
    view, _ = _common(shadow, worker, threads, f, 1, blocks[slot, at], 0)
    blocks[slot, at] = _freeze(shadow, worker, view)
    if blocks[slot, at + 1] == 0:
        blocks[slot, at + 1] = _new(shadow, 2 + worker[S.STRIDE], 0)
    if blocks[slot, at + 1]:
        _absorb(shadow, worker, blocks[slot, at + 1], f, tick(shadow))


@jit
def _near(shadow, worker, threads, base, members):
    """One row with what the lanes of a warp know of their block; as it is while they know the same."""
    near, made = 0, False
    for lane in range(S.LANES):
        other = threads[base + lane, S.NEAR]
        if (members >> lane) & 1 and other and other != near:
            if near == 0:
                near = other
                continue
            if not made:
                before, near, made = near, _new(shadow, 2 + worker[S.STRIDE], 0), True
                if near == 0:
                    return 0
                _raise(shadow, worker, near, before)
            _raise(shadow, worker, near, other)
    return near


@jit
def sync_warp(worker, threads, base, members):
    """Lanes of a warp know of one another."""
    shadow = of(worker)
    now = tick(shadow)
    view, _ = _common(shadow, worker, threads, base, members, 0, 0)
    _freeze(shadow, worker, view)
    near = _near(shadow, worker, threads, base, members)
    lanes = min(worker[S.SIZE] - threads[base, S.LINEAR], S.LANES)
    for lane in range(lanes):
        if (members >> lane) & 1:
            threads[base + lane, S.KNOWN], threads[base + lane, S.NEAR] = view, near
    if members == (1 << lanes) - 1:
        for lane in range(lanes):
            threads[base + lane, S.WARP_CLOCK] = now
        return
    for other in range(S.LANES):
        latest = 0
        for lane in range(S.LANES):
            if (members >> lane) & 1:
                latest = max(latest, _lanes_of(shadow, base + lane)[other])
        if (members >> other) & 1:
            latest = now
        for lane in range(S.LANES):
            if (members >> lane) & 1:
                _lanes_of(shadow, base + lane)[other] = latest


@jit
def open_grid(worker):
    """All threads know of one another."""
    shadow = of(worker)
    shadow[GRID_TIME] = tick(shadow)


# --- fences, and what is published under an address ---------------------------------------------------------------


@jit
def fence(worker, thread, of_device):
    """What the thread knows now it publishes from now on, and what it has loaded it knows."""
    shadow = of(worker)
    now = tick(shadow)
    shadow[FENCES] = 1
    thread[S.FENCED_NEAR] = now
    if of_device:
        thread[S.FENCED], thread[S.FENCED_CLOCK] = now, thread[S.CLOCK]
        words(worker[S.BLOCKS_AT] + thread[S.SLOT] * (8 * S.BLOCK_WORDS), S.BLOCK_WORDS)[S.FENCED_LAST] = now
    if thread[S.PENDING] or thread[S.PENDING_NEAR]:
        owner = 1 + thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
        view = thread[S.KNOWN] = _owned_view(shadow, worker, thread[S.KNOWN], owner)
        _merge(shadow, worker, view, owner, thread[S.PENDING_NEAR])
        thread[S.PENDING_NEAR] = 0
        if of_device:
            _merge(shadow, worker, view, owner, thread[S.PENDING])
            thread[S.PENDING] = 0
        elif view and thread[S.PENDING]:
            _merge_row(shadow, worker, view, owner, thread[S.PENDING], thread[S.BLOCK])


@jit
def _variable(shadow, address, block, make):
    """Where the view lies that is published under an address for a block, or for all by 0; -1 if there is none."""
    k = ((address >> 2) * 2654435761 + block * 40503) & (VARIABLES_COUNT - 1)
    for _ in range(VARIABLES_COUNT):
        found = words(shadow[VARIABLES] + k * (8 * VARIABLE_WORDS), VARIABLE_WORDS)
        if found[0] == address and found[1] == block:
            return k
        if found[0] == 0:
            if not make:
                return -1
            if shadow[VARIABLES_USED] * 4 > VARIABLES_COUNT * 3:
                break
            shadow[VARIABLES_USED] += 1
            found[0], found[1] = address, block
            return k
        k = (k + 1) & (VARIABLES_COUNT - 1)
    if make:
        shadow[FORGOT] = 1
    return -1


@jit
def _publish(shadow, worker, thread, address, block, of_device):
    k = _variable(shadow, address, block, True)
    if k < 0:
        return
    published = words(shadow[VARIABLES] + k * (8 * VARIABLE_WORDS), VARIABLE_WORDS)
    owner = -1 - k
    view = published[2] = _owned_view(shadow, worker, published[2], owner)
    if view == 0:
        return
    _merge(shadow, worker, view, owner, thread[S.KNOWN])
    at = _owned_row(shadow, worker, view, thread[S.BLOCK], owner)
    if at == 0:
        return
    row, linear, stride = _row(shadow, worker, at), thread[S.LINEAR], worker[S.STRIDE]
    f = thread[S.SLOT] * stride + linear
    fenced = thread[S.FENCED] if of_device else thread[S.FENCED_NEAR]
    if fenced:
        row[1] = max(row[1], thread[S.FENCED_CLOCK] if of_device else thread[S.CLOCK])
        first, lanes = 2 + (linear & ~31), _lanes_of(shadow, f)
        for lane in range(S.LANES):
            row[first + lane] = max(row[first + lane], min(max(thread[S.WARP_CLOCK], lanes[lane]), fenced))
        row[2 + linear] = max(row[2 + linear], fenced)
        if thread[S.NEAR]:
            near = _row(shadow, worker, thread[S.NEAR])
            for k in range(1, 2 + stride):
                row[k] = max(row[k], min(near[k], fenced))
    if of_device:
        for other in range(worker[S.SIZE]):
            theirs = _row_of(shadow, f - linear + other)[S.FENCED]
            row[2 + other] = max(row[2 + other], min(thread[S.CLOCK], theirs))


@jit
def release(shadow, worker, thread, address):
    """All that a thread did and knows is published under an address: it arrives at an mbarrier, or with its cluster."""
    fenced, near, clock = thread[S.FENCED], thread[S.FENCED_NEAR], thread[S.FENCED_CLOCK]
    thread[S.FENCED] = thread[S.FENCED_NEAR] = tick(shadow)
    thread[S.FENCED_CLOCK] = thread[S.CLOCK]
    _publish(shadow, worker, thread, address, 0, True)
    thread[S.FENCED], thread[S.FENCED_NEAR], thread[S.FENCED_CLOCK] = fenced, near, clock
    tick(shadow)


@jit
def acquire(shadow, worker, thread, address):
    """A thread knows what is published under an address."""
    found = _take(shadow, worker, thread, address, 0, 0)
    if found:
        owner = 1 + thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
        view = thread[S.KNOWN] = _owned_view(shadow, worker, thread[S.KNOWN], owner)
        _merge(shadow, worker, view, owner, found)


@jit
def withdraw(shadow, address):
    """Nothing is published under an address any more."""
    _withdraw(shadow, address, 0)


@jit
def _withdraw(shadow, address, block):
    k = _variable(shadow, address, block, False)
    if k >= 0:
        words(shadow[VARIABLES] + k * (8 * VARIABLE_WORDS), VARIABLE_WORDS)[2] = 0


@jit
def _take(shadow, worker, thread, address, block, pending):
    """What is published under an address is known after the next fence; `pending` is what was taken before."""
    k = _variable(shadow, address, block, False)
    if k < 0:
        return pending
    view = words(shadow[VARIABLES] + k * (8 * VARIABLE_WORDS), VARIABLE_WORDS)[2]
    if view == 0 or view == pending:
        return pending
    _freeze(shadow, worker, view)
    if pending == 0:
        return view
    owner = 1 + thread[S.BLOCK] * worker[S.STRIDE] + thread[S.LINEAR]
    pending = _owned_view(shadow, worker, pending, owner)
    _merge(shadow, worker, pending, owner, view)
    return pending


@jit
def synchronize(shadow, worker, thread, address, shared, kind):
    """An atomic or an access with a cache hint: takes what is published under its address, and publishes."""
    near = 1 + thread[S.BLOCK]
    if kind != S.RELAXED_WRITE:
        if not shared:
            thread[S.PENDING] = _take(shadow, worker, thread, address, 0, thread[S.PENDING])
        thread[S.PENDING_NEAR] = _take(shadow, worker, thread, address, near, thread[S.PENDING_NEAR])
    if kind == S.RELAXED_READ:
        return
    if kind == S.RELAXED_WRITE:
        _withdraw(shadow, address, 0)
        _withdraw(shadow, address, near)
    block = words(worker[S.BLOCKS_AT] + thread[S.SLOT] * (8 * S.BLOCK_WORDS), S.BLOCK_WORDS)
    if not shared and (thread[S.FENCED] or block[S.FENCED_LAST]):
        _publish(shadow, worker, thread, address, 0, True)
    if thread[S.FENCED_NEAR] and (shared or thread[S.FENCED_NEAR] > thread[S.FENCED]):
        _publish(shadow, worker, thread, address, near, False)

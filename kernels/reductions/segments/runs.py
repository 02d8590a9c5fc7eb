"""Reductions of runs of equal keys.

    keys     a a a | b | a a | c c c c
    values   1 2 3 | 4 | 5 6 | 7 8 9 0        sums 6, 4, 11, 24

A run ends where the next key differs. One kernel counts the ends in each tile of keys, one sums these counts up, so
that a tile knows which runs end in it; then tiles are folded and joined as those of segments are
(`kernels.reductions.tiles`).

    bytes    every key twice, every value once, the results once
"""

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda, types

from ...device import folds
from ...device.block import block_exclusive_scan_with_total, block_exclusive_sum_with_total, block_sum
from ...device.instructions import SIMULATED, kernel_function, of_scalars
from ...device.memory import index_type, loader, storer, unraveler
from ...device.words import from_words, to_words
from ...runtime import calls, frameworks, memory
from ...runtime.arrays import Pointer, operand, placement, stream_handle
from ...runtime.calls import Call, compute
from ...runtime.engines import engine, recorder
from ...runtime.frameworks import opaque
from ...runtime.layouts import layout
from ..calls import copied
from ..kernels import read_words, write_words
from . import tiles
from .public import Name, Sequence, Step, folded, joined, kinds, numbers, pointers, segmented, several
from .tiles import local, share, signed

#: Threads of the one block that sums counts up, and counts that each takes at once.
SUMMING, CHUNK = (32, 2) if SIMULATED else (1024, 8)
#: Values and pairs of keys that a thread loads before it uses the first.
BATCH = 2 if SIMULATED else 4


# --- kernels ----------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def counts(per_thread, long):
    """Kernel that counts the runs that end in each tile of keys."""
    index = index_type(long)
    tile = tiles.BLOCK * per_thread
    gather, gather_some = (folds.gatherer(("vector",) * 2, 1, tiles.BATCH, inside) for inside in (True, False))

    @cuda.jit
    @of_scalars
    def counts_kernel(count, adjacent, stride, keys, ends):
        thread, block = local(cuda.threadIdx.x), index(cuda.blockIdx.x)
        first = index(block * index(tile))
        # The last key of all ends a run, whatever it is.
        pairs = share(adjacent, first, tile)
        base = (signed(first) * stride, signed(first) * stride + stride)
        found = np.uint32(0)
        k = thread
        while k + local(tiles_behind) < pairs:
            lanes = gather(keys, base, k, local(block_threads), pairs, (pairs,), (stride, stride))
            found = changes(found, lanes, k, pairs)
            k = local(k + local(batch_threads))
        if k < pairs:
            lanes = gather_some(keys, base, k, local(block_threads), pairs, (pairs,), (stride, stride))
            found = changes(found, lanes, k, pairs)
        found = block_sum(found)
        if thread == 0:
            ends[block] = index(found) + index(1 if first < count and first + index(tile) >= count else 0)

    block_threads, batch_threads = tiles.BLOCK, tiles.BLOCK * tiles.BATCH
    tiles_behind = tiles.BLOCK * (tiles.BATCH - 1)
    return counts_kernel


@kernel_function
def changes(found, lanes, place, count):
    """`found`, and one for each pair of keys that differ."""
    for k in range(len(lanes)):
        if place < count and lanes[k][0] != lanes[k][1]:
            found = np.uint32(found + np.uint32(1))
        place = local(place + local(tiles.BLOCK))
    return found


@functools.lru_cache(maxsize=2)
def summing(long):
    """Kernel of one block that turns counts into what comes before each, and all in the end."""
    index = index_type(long)

    @cuda.jit
    @of_scalars
    def summing_kernel(count, ends, starts):
        thread, done, first = index(cuda.threadIdx.x), index(0), index(0)
        while first < count:
            place = index(first + index(thread * index(CHUNK)))
            own = index(0)
            for k in range(CHUNK):
                if index(place + index(k)) < count:
                    own = index(own + index(ends[index(place + index(k))]))
            before, total = block_exclusive_sum_with_total(own)
            before = index(done + index(before))
            for k in range(CHUNK):
                if index(place + index(k)) < count:
                    at = index(place + index(k))
                    starts[at] = before
                    before = index(before + index(ends[at]))
            done = index(done + index(total))
            first = index(first + index(SUMMING * CHUNK))
        if thread == 0:
            starts[count] = done

    return summing_kernel


@functools.lru_cache(maxsize=1024)
def runs(fold, dtype, per_thread, long):
    """Kernel of tiles of keys and values of `dtype`: folds those runs that end where others began in the same tile."""
    index = index_type(long)
    neutral, blank = folds.constant(fold.neutral, fold.state), folds.constant((0,), (dtype,))
    lift, merge = folds.tupled(fold.lift, fold.ins, fold.state), folds.merger(fold.merge, fold.state)
    finish = folds.finisher(fold.finish, fold.state, fold.extras, fold.outs, 1)
    store, store_key = storer(1), storer(1)
    load_key, key_at = loader(("vector",), 1), unraveler(1)
    # Four at once: eight took 56 registers rather than 40.
    gather = folds.gatherer(("vector",), 1, BATCH, False)
    gather_keys = folds.gatherer(("vector",) * 2, 1, BATCH, False)
    tile = tiles.BLOCK * per_thread
    room = tile * max(tiles.words(dtype), tiles.words(*fold.outs))
    block_threads, batch_threads = tiles.BLOCK, tiles.BLOCK * BATCH

    @kernel_function
    def chain(a, b):
        return (np.uint32(a[0] + b[0]), b[1] if b[0] != 0 else merge(a[1], b[1]))

    @cuda.jit
    @of_scalars
    def runs_kernel(
        count, tiles_, key_stride, stride, out_strides, extras, keys, x, key_outs, outs, starts, totals, firsts
    ):
        # A thread's own elements are overwritten by the results of runs that end at them.
        elements = cuda.shared.array(room, types.int32)
        ends = cuda.shared.array(tile, types.int32)
        thread, block = local(cuda.threadIdx.x), index(cuda.blockIdx.x)
        element = index(block * index(tile))
        m = share(count, element, tile)
        pairs = share(index(count - index(1)), element, tile)
        base = (signed(element) * stride,)
        key_base = (signed(element) * key_stride, signed(element) * key_stride + key_stride)
        k = thread
        while k < m:
            lanes = gather(x, base, k, local(block_threads), m, (m,), (stride,))
            if pairs > 0:
                pair = gather_keys(keys, key_base, k, local(block_threads), pairs, (pairs,), (key_stride, key_stride))
                stage_changes(ends, k, pairs, pair)
            tiles.stage(elements, tile, k, m, lanes)
            k = local(k + local(batch_threads))
        cuda.syncthreads()
        if thread == 0 and pairs < m:
            ends[pairs] = 1
        cuda.syncthreads()

        low = local(thread * local(per_thread))
        high = local(low + local(per_thread))
        high = high if high < m else m
        state, first, ended, first_at = neutral(), neutral(), np.uint32(0), low
        j = low
        while j < high:
            lane = blank()
            lane = from_words(read_words(elements, tile, j, to_words(lane)), lane)
            state = merge(state, lift(lane))
            if ends[j] != 0:
                if ended == 0:
                    first, first_at = state, j
                else:
                    write_words(elements, tile, j, to_words(finish(state, extras)))
                ended = np.uint32(ended + np.uint32(1))
                state = neutral()
            j = local(j + local(1))
        before, total = block_exclusive_scan_with_total((ended, state), chain, (np.uint32(0), neutral()))
        if ended != 0:
            first = merge(before[1], first)
            if before[0] == 0:
                write_words(firsts, tiles_, block, to_words(first))
            else:
                write_words(elements, tile, first_at, to_words(finish(first, extras)))
            rank = local(before[0])
            j = low
            while j < high:
                if ends[j] != 0:
                    rank = local(rank + local(1))
                    ends[j] = rank
                j = local(j + local(1))
        if thread == 0:
            write_words(totals, tiles_, block, to_words((total[0] != 0, total[1])))
        cuda.syncthreads()
        row = index(starts[block])
        k = thread
        while k < m:
            rank = index(ends[k])
            if rank != 0:
                at = index(row + index(rank - index(1)))
                lane = load_key((keys[0],), key_at(index(element + k), (count,), (key_stride,)))[0]
                store_key(key_outs, key_at(at, (count,), (out_strides[0],)), (lane,))
                if rank != 1:
                    like = finish(neutral(), extras)
                    found = from_words(read_words(elements, tile, k, to_words(like)), like)
                    store(outs, key_at(at, (count,), (out_strides[1],)), found)
            k = local(k + local(block_threads))

    return runs_kernel


@kernel_function
def stage_changes(memory, place, count, lanes):
    """1 where a key and the next differ, else 0, `BLOCK` apart."""
    for k in range(len(lanes)):
        if place < count:
            memory[place] = 1 if lanes[k][0] != lanes[k][1] else 0
        place = local(place + local(tiles.BLOCK))


@functools.cache
def telling(long):
    """Kernel that writes down how many runs there are."""

    @cuda.jit
    @of_scalars
    def telling_kernel(count, starts, outs):
        outs[0][0] = starts[count]

    return telling_kernel


# --- launches ---------------------------------------------------------------------------------------------------------


class Plan:
    """The launches over keys and values that lie as these do."""

    def __init__(self, fold, keys, values, extras, device):
        self.fold, self.keys, self.values, self.extras, self.device = fold, keys, values, extras, device
        self.count = keys.shape[0]
        self.per_thread = tiles.items(max(tiles.words(values.dtype), tiles.words(*fold.outs)) + 1)
        tile = tiles.BLOCK * self.per_thread
        self.shares = max(-(-self.count // tile), 1)
        self.long = self.count + tile >= 2**31 or self.shares * (fold.words + 1) >= 2**31
        self.start_dtype = np.dtype(np.uint64 if self.long else np.uint32)

    def counting(self):
        """The launches that find which runs end in which tile."""
        index, stride, starts, _ = kinds(self.long)
        steps = [
            Step(
                counts(self.per_thread, self.long), self.shares, tiles.BLOCK,
                [index, index, stride, pointers([self.keys] * 2), starts],
                [self.count, max(self.count - 1, 0), self.keys.strides[0], (Name("keys"),) * 2, Name("ends")],
            ),
            Step(
                summing(self.long), 1, SUMMING, [index, starts, starts], [self.shares, Name("ends"), Name("starts")],
            ),
        ]  # fmt: skip
        rooms = {"ends": (self.start_dtype, self.shares)}
        return Sequence(steps, ("keys", "starts"), rooms, self.device, "reduce_by_key")

    def folding(self, targets):
        """The launches that fold, once that is known; `targets` are those of keys and aggregates."""
        index, stride, starts, states = kinds(self.long)
        ready, rooms = joined(self.fold, self.shares, 0, self.count, targets[1:], self.extras, self.long)
        rooms.pop("starts")
        tiled = Step(
            runs(self.fold, self.values.dtype, self.per_thread, self.long), self.shares, tiles.BLOCK,
            [index, index, stride, stride, several(stride, 2), numbers(self.fold.extras), pointers([self.keys] * 2),
             pointers([self.values]), pointers(targets[:1]), pointers(targets[1:]), starts, states, states],
            [self.count, self.shares, self.keys.strides[0], self.values.strides[0],
             tuple(y.strides[0] for y in targets), self.extras, (Name("keys"),) * 2, (Name("values"),),
             (Name("unique"),), (Name("out0"),), Name("starts"), Name("totals"), Name("firsts")],
        )  # fmt: skip
        names = "keys", "values", "starts", "unique", "out0"
        return Sequence([tiled, *ready], names, rooms, self.device, "reduce_by_key")

    def telling(self, target):
        """The launch that writes the number of runs."""
        index, _, starts, _ = kinds(self.long)
        step = Step(
            telling(self.long), 1, 1, [index, starts, pointers([target])],
            [self.shares, Name("starts"), (Name("count"),)],
        )  # fmt: skip
        return Sequence([step], ("starts", "count"), {}, self.device, "reduce_by_key")


_plan = functools.lru_cache(maxsize=1024)(Plan)
_counting = functools.lru_cache(maxsize=1024)(Plan.counting)
_folding = functools.lru_cache(maxsize=1024)(Plan.folding)
_telling = functools.lru_cache(maxsize=1024)(Plan.telling)


@dataclass(slots=True)
class Task:
    """The task of a call, see `kernels.runtime.calls.Call`, once runs are counted."""

    plan: Any
    found: Any
    fold: Any
    initial: Any
    starts: Any
    dtypes: tuple
    looks_at_values = False
    name = "reduce_by_key"
    parameters = ("keys", "values")

    @property
    def ins(self):
        """The dtypes of the arrays."""
        return self.dtypes

    def reference(self, call, values, chosen):
        """The results in NumPy."""
        keys, x = values
        offsets = _offsets(keys)
        found = [self.found.reference(x[b:e], self.fold, self.initial) for b, e in itertools.pairwise(offsets)]
        return keys[offsets[1:] - 1], np.array(found, self.fold.out)

    def launch(self, sources, mask, targets, shape, device):
        """The launch over operands that lie as these do."""
        ready = _folding(self.plan, tuple(map(layout, targets)))

        def run(stream, keys, values, unique, aggregates):
            ready(stream, keys, values, _address(self.starts), unique, aggregates)

        return run

    def copied(self, x, device, stream):
        """`x` in memory of its own."""
        return copied(x, device, stream)


def _offsets(keys):
    changed = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], changed, [len(keys)]]) if len(keys) else np.zeros(1, np.int64)


def _address(starts):
    return Pointer(starts) if SIMULATED else starts.pointer


@opaque
def reduce_by_key(op, keys, values, *, initial=None, dtype=None, out=None, stream=None):
    """Reduce the values of each run of equal keys.

    Parameters
    ----------
    op : {"sum", "prod", "min", "max", "mean"} or callable
        A name, with NumPy's dtypes (integers are summed in 64 bits), or an operator as `reduce` takes it: associative
        and commutative, of two numbers.
    keys : array of shape (n,)
        Equal keys that are not neighbours are runs of their own: sort first for groups. NaN equals nothing.
    values : array of shape (n,)
    initial : number, optional
        Takes part once in every run.
    dtype : dtype, optional
        In which the aggregates are computed.
    out : tuple of three arrays, optional
        For keys and aggregates, of n elements each, and for the number of runs, of shape (). What lies beyond the runs
        is left as it is. On a device nothing waits then.
    stream : stream, optional
        In the order of which this is computed.

    Returns
    -------
    unique_keys, aggregates : array of shape (runs,)
        The key of each run, and its reduction; `out`'s arrays where that is given.
    count : int
        How many runs there are; `out`'s array where that is given. It is read from the device, for which the call
        waits: only then is it known how long the arrays are.

    Raises
    ------
    ValueError
        For arrays of other shapes, and in a recording without `out`.
    TypeError
        For an `op` that is not defined for the dtype.

    Notes
    -----
    CUB's ``DeviceReduce::ReduceByKey``. Threads have equal shares of the values, however long the runs; the order of
    merges depends on the keys alone. Bounds are those of `segmented_reduce`.

    References
    ----------
    NVIDIA CUB, https://nvidia.github.io/cccl/cub/api/structcub_1_1DeviceReduce.html

    Examples
    --------
    >>> import kernels
    >>> keys, sums, count = kernels.reduce_by_key("sum", [3, 3, 5, 3], [1.0, 2.0, 4.0, 8.0])
    >>> keys, sums, count
    (array([3, 5, 3]), array([3., 4., 8.]), 3)
    """
    found = segmented(op)
    stream = stream_handle(stream)
    xs = [operand(keys, "keys"), operand(values, "values")]
    for x in xs:
        if len(x.shape) != 1:
            raise ValueError(f"{x.name} must have one axis, got shape {x.shape}")
    if xs[0].shape != xs[1].shape:
        raise ValueError(f"values must have the shape of keys, {xs[0].shape}, got {xs[1].shape}")
    outs = calls.outputs(out, 3, "reduce_by_key")
    given = [y for y in outs if y is not None]
    if len(given) not in (0, 3):
        raise ValueError("out must hold three arrays for reduce_by_key, got None among them")
    if not given and recorder() is not None:
        raise ValueError("out must be given in a recording: only the device knows how many runs there are")
    fold, extras = folded(found, op, xs[1].dtype, dtype, initial, empty=False)
    dtypes = xs[0].dtype, fold.out, np.dtype(np.int64)
    calls.check_casts("reduce_by_key", outs, dtypes, "same_kind")
    for y, shape in zip(given, (xs[0].shape, xs[0].shape, ()), strict=False):
        if y.shape != shape:
            raise ValueError(f"{y.name} must have shape {shape}, got {y.shape}")
    if given:
        fold = fold._replace(out=outs[1].dtype)
    chosen = engine()
    device, stream, like = placement([*given, *xs], stream)
    calls.check_places(chosen, device, given, [*given, *xs])
    waits = not given or device is None
    if chosen == "reference":
        sources, plan, starts, count = xs, None, None, len(_offsets(calls.host_values(xs[0]))) - 1
    else:
        sources, plan, starts = _counted(xs, fold, extras, device, stream or 0)
        count = _read(plan, starts, stream or 0) if waits else None
    arrays = [None, None] if not given else [y.array[:count] if waits else y.array for y in outs[:2]]
    targets = [y if y is None else operand(y, name) for y, name in zip(arrays, ("out[0]", "out[1]"), strict=True)]
    task = Task(plan, found, fold, initial, starts, tuple(x.dtype for x in xs))
    shape = (count,) if waits else xs[0].shape
    call = Call(
        task, sources, None, targets, (xs[0].dtype, fold.out), shape, "C", chosen, device, stream, like, keeps=False
    )
    unique, aggregates = compute(call)
    if not given:
        return unique, aggregates, count
    if waits:
        outs[2].array[...] = count
    else:
        _telling(plan, layout(outs[2]))(stream or 0, _address(starts), outs[2].pointer)
        if outs[2].library == "torch":
            frameworks.written(outs[2].array)
    return tuple(y.array for y in outs)


def _counted(xs, fold, extras, device, stream):
    """Keys and values where a kernel can read them, the plan over them, and how many runs end before each tile."""
    if device is None:  # all arrays are the host's, so the current device computes
        device = 0 if SIMULATED else memory.current_device() or 0
    keys, values = sources = [calls.source(x, x.dtype, device, stream) for x in xs]
    plan = _plan(fold, layout(keys), layout(values), extras, device)
    nbytes = (plan.shares + 1) * plan.start_dtype.itemsize
    if SIMULATED:
        starts = np.zeros(plan.shares + 1, plan.start_dtype)
    else:
        starts = memory.Buffer(nbytes, device, stream, "the runs before each tile")
    _counting(plan)(stream, Pointer(keys.memory) if SIMULATED else keys.pointer, _address(starts))
    return sources, plan, starts


def _read(plan, starts, stream):
    """How many runs there are in all."""
    if SIMULATED:
        return int(starts[-1])
    found = np.empty(1, plan.start_dtype)
    memory.download(starts.pointer + plan.shares * found.itemsize, found, plan.device, stream, "the number of runs")
    return int(found[0])

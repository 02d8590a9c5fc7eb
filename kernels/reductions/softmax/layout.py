"""Which kernel of softmax fits operands that lie in memory as these do, and how it is launched.

As in `kernels.reductions.layout` the axes that are kept and those along which rows run become the fewest that visit
their elements, and launch shapes depend on shapes, strides and dtypes alone.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ...device.instructions import SIMULATED
from ...runtime.arrays import Pointer
from ...runtime.launch import Launch, Program, SimulatedLaunch, code
from ...runtime.layouts import VECTOR, collapse
from ...runtime.scratch import COUNTERS, Sharing
from ..layout import aligned, flat, grouped, is_long, native, power_above
from .kernels import held_columns, held_rows, shared

#: Threads of a block, at most.
THREADS = 16 if SIMULATED else 512
#: Words of 32 bits of a row that a thread holds, at most: with 512 threads two blocks of 64 registers fit a
#: multiprocessor, of which one loads while the other stores.
HELD = 8 if SIMULATED else 32
#: Words that a thread of blocks that share a row loads at once.
LOADED = 4 if SIMULATED else 16
#: Bytes of neighbouring columns that a block takes at least, if there are.
SEGMENT = 16 if SIMULATED else 64
#: Neighbouring columns that blocks that share columns take, at most, half as many of float64: the states that parts
#: leave in memory are 3% of the columns' bytes, 6% of float16 and float64.
PANEL = 8 if SIMULATED else 128
#: Whether results of rows that are read twice leave the L2 cache before what is to be read again.
STREAMING = True
#: Parts that are folded before those of their row are normalised, beyond the parts of the row.
LAG = 2 if SIMULATED else 320
#: Parts of a row, if a block loads no more than `CHUNKS` times for one.
PARTS, CHUNKS = (8, 3) if SIMULATED else (2048, 16)


class Plan(NamedTuple):
    """A kernel, its grid, and its arguments up to the arrays."""

    kernel: object
    grid: int
    block: int
    long: bool
    leading: tuple
    places: tuple
    partials: int = 0
    shares: bool = False


@functools.lru_cache(maxsize=1024)
def launch(normal, source, target, axes, shape, device):
    """The launch of a softmax of `source` along `axes` of `shape` into `target`; both are `Layout`s.

    What comes out is called with a raw stream and the words of source and target.
    """
    found = plan(normal, source, target, axes, shape)
    if SIMULATED:
        return _simulated(found)
    program = _program(found.kernel, signature(found, source, target))
    grid, block = (found.grid, 1, 1), (found.block, 1, 1)
    words = [*found.leading, *(n for place in found.places for n in place), *code(native(source)),
             *code(native(target)), *("QQ" if found.shares else ())]  # fmt: skip
    ready = Launch(program, device, lambda function: (grid, block, 0), words, normal.name)
    return Sharing(ready, 4 * found.partials, device) if found.shares else ready


def plan(normal, source, target, axes, shape):
    """The kernel of a launch, its grid and its arguments."""
    spreads = [source.spread(shape), target.spread(shape)]
    kept = tuple(k for k in range(len(shape)) if k not in axes)

    def along(axes):
        found, steps = collapse(tuple(shape[k] for k in axes), [tuple(s[k] for k in axes) for s in spreads])
        if math.prod(found) == 1:
            return found, [(0,) * len(found)] * 2, math.inf
        return found, steps, abs(steps[1][-1])

    outer, outer_steps, kept_step = along(kept)
    inner, inner_steps, reduced_step = along(axes)
    problem = _Problem(normal, source, target, outer, outer_steps, inner, inner_steps)
    return problem.rows() if reduced_step <= kept_step else problem.columns()


class _Problem(NamedTuple):
    normal: object
    source: object
    target: object
    outer: tuple  # lengths of what is kept, and its steps for source and target
    outer_steps: list
    inner: tuple  # lengths of what a row runs along, and its steps
    inner_steps: list

    @property
    def words(self):
        """Words of 32 bits that hold an element."""
        return self.normal.state.itemsize // 4

    def rows(self):
        """The plan where neighbours belong to one row."""
        n, width = math.prod(self.outer), self._width(self.inner, self.inner_steps, self.outer_steps)
        count = math.prod(self.inner) // width
        shape, (strides, out_strides) = grouped(self.inner, self.inner_steps, width)
        places = self.outer, flat(self.outer_steps), shape, strides, out_strides
        kinds, held = self._kinds(), max(HELD // (self.words * width), 1)
        if count > held * THREADS:
            return self._shared(n, 1, count, width, False, places)
        if count <= min(held, 32) * 32:
            # Lanes of a warp, each with two groups of 16 bytes where that is enough; single elements by eights.
            team = min(power_above(-(-count // (2 if width > 1 else 8))), 32, THREADS)
            threads = max(THREADS // 2 // team, 1) * team
        else:
            team = threads = -(-count // (held * 32)) * 32
        groups = -(-count // team)
        long = is_long(n * team, count + team * groups)
        kernel = held_rows(self.normal, kinds, width, team, threads, groups, count == team * groups, long)
        return Plan(kernel, -(-n * team // threads), threads, long, (n, count), places)

    def columns(self):
        """The plan where neighbours belong to different rows."""
        width, count = self._width(self.outer, self.outer_steps, self.inner_steps), math.prod(self.inner)
        lengths, (strides, out_strides) = grouped(self.outer, self.outer_steps, width)
        n = math.prod(lengths)
        places = lengths, strides + out_strides, self.inner, *self.inner_steps
        held = max(HELD // (self.words * width), 1)
        down = -(-count // min(held, count))
        bytes_across = width * self.target.dtype.itemsize
        least = min(-(-SEGMENT // bytes_across), n)
        if down * least > THREADS:
            return self._shared(n, min(max(PANEL // (self.words * width), 1), n), count, width, True, places)
        groups = -(-count // down)
        across = min(_across(lengths[-1], THREADS // down), n)
        long = is_long(n + across, count + down * groups)
        threads = across * down
        kernel = held_columns(self.normal, self._kinds(), width, threads, groups, count == down * groups, long)
        return Plan(kernel, -(-n // across), threads, long, (n, across, count), places)

    def _shared(self, n, across, count, width, abreast, places):
        """The plan of rows that no block can hold, n of them or of groups of them, `across` of which a block takes."""
        groups = max(LOADED // (self.words * width), 2)
        # float64 takes 72 to 106 registers.
        most = THREADS // self.words // across
        parts = -(-count // (groups * most))
        chunks = min(-(-parts // PARTS), CHUNKS)
        parts = -(-count // (groups * most * chunks))
        # Parts as even as whole warps allow.
        down = -(-count // (groups * chunks * parts))
        if not abreast and not SIMULATED:
            down = -(-down // 32) * 32
        panels = -(-n // across)
        batch = -(-panels // ((COUNTERS - 1) // 3))
        units = panels * parts
        lag = min(parts * batch + LAG, units)
        words = 2 * self.words * (width if abreast else 1)
        stride = across * (panels + units)
        long = is_long(stride * words, 2 * units, count + 2 * down * groups * chunks * parts)
        kernel = shared(self.normal, self._kinds(), width, across * down, groups, abreast, STREAMING, long)
        leading = n, across, panels, parts, chunks, batch, lag, stride, count
        return Plan(kernel, 2 * units, across * down, long, leading, places, stride * words, True)

    def _width(self, lengths, steps, others):
        """Neighbours that a thread moves at once."""
        pointers = [(x, s, o) for x, s, o in zip((self.source, self.target), steps, others, strict=True)]
        if self.source.by_value or any(s[-1] != 1 for _, s, _ in pointers):
            return 1
        width = VECTOR // max(x.dtype.itemsize for x, *_ in pointers)
        while width > 1 and not (lengths[-1] % width == 0 and all(aligned(*each, width) for each in pointers)):
            width //= 2
        return max(width, 1)

    def _kinds(self):
        return ("value",) if self.source.by_value else ("vector",)


def _across(length, most):
    """Columns of a block, of `length` neighbours: all of them as often as they fit, or as even a share as there is."""
    return most // length * length if length <= most else -(-length // -(-length // most))


# --- launches ---------------------------------------------------------------------------------------------------------

#: One program serves all shapes of a class: the arguments tell them apart.
_program = functools.lru_cache(maxsize=4096)(Program)


def _simulated(plan):
    def arguments(words):
        memory = np.zeros(COUNTERS, np.uint32), np.zeros(plan.partials, np.int32)
        shared = map(Pointer, memory) if plan.shares else ()
        return (*plan.leading, *plan.places, words[:1], words[1:], *shared)

    return SimulatedLaunch(plan.kernel[plan.grid, plan.block], arguments)


def signature(plan, source, target):
    """The Numba types of a plan's kernel."""
    from numba import types

    count = types.uint64 if plan.long else types.uint32
    kinds = count, types.int64, count, types.int64, types.int64
    places = [types.UniTuple(kind, len(place)) for kind, place in zip(kinds, plan.places, strict=True)]
    arrays = types.Tuple([native(source)]), types.Tuple([native(target)])
    memory = (types.CPointer(types.uint32), types.CPointer(types.int32)) if plan.shares else ()
    return (*[count] * len(plan.leading), *places, *arrays, *memory)

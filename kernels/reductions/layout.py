"""Which kernel folds operands that lie in memory as these do, and how it is launched.

What is kept and what is reduced each become the fewest axes that visit their elements. Where the smallest step in
memory is a reduced one the problem has rows, else columns. Launch shapes depend on shapes and dtypes alone, so that a
result has the same bits on every card.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from ..device.instructions import SIMULATED
from ..runtime.arrays import Pointer
from ..runtime.launch import Launch, Program, SimulatedLaunch, code, raw
from ..runtime.layouts import VECTOR, Layout, collapse
from ..runtime.scratch import COUNTERS, Sharing
from .kernels import BLOCK, GATHERED, columns, long_rows, short_rows

#: Groups that a thread loads before it uses the first, at most.
GROUPS = 8 if not SIMULATED else 2
#: Blocks that a launch should have, if it can: two waves and more of the largest cards.
BLOCKS = 2048 if not SIMULATED else 4
#: Bytes that a thread loads before it uses them. 32 to 128 measured within 1% of one another.
BYTES = 64
#: Bytes of shared memory for the states of a block.
DESK = 32 << 10
#: Columns, each of 16 bytes if it can be, that a block takes of long rows of them: 64 gained 1% on 32 (H100).
ACROSS = 64
#: Groups that a thread reads one after the other, at most: rounding errors grow with it.
CHAIN = 256


class Index(NamedTuple):
    """In place of an operand: the number of an element among those that are reduced with it, in C order."""

    axes: tuple

    by_value = False

    def spread(self, shape):
        """The steps of that number."""
        steps, step = [0] * len(shape), 1
        for axis in reversed(self.axes):
            steps[axis], step = step, step * shape[axis]
        return tuple(steps)


class _Plan(NamedTuple):
    """A kernel, its grid, and its arguments up to the arrays."""

    kernel: object
    grid: int
    block: int
    long: bool
    leading: tuple
    places: tuple
    steps: tuple
    shares: bool = False
    partials: int = 0


@functools.lru_cache(maxsize=1024)
def launch(fold, sources, target, axes, shape, extras, device):
    """The launch of a fold of `sources` over `axes` of `shape` into `target`, whose axes are those that are kept.

    `sources` are `Layout`s or `Index`, `target` a `Layout` or a tuple of several, `extras` the numbers that finish the
    fold. What comes out is called with a raw stream and the words of sources and targets.
    """
    targets = (target,) if isinstance(target, Layout) else target
    found = plan(fold, sources, targets, axes, shape, extras)
    if SIMULATED:
        return _simulated(found, sources, len(targets))
    program = _program(found.kernel, signature(found, fold, sources, targets))
    grid, block = (found.grid, 1, 1), (found.block, 1, 1)
    words = _words(found, fold, sources, targets)
    ready = Launch(program, device, lambda function: (grid, block, 0), words, fold.name)
    return Sharing(ready, 4 * found.partials, device) if found.partials else ready


def plan(fold, sources, targets, axes, shape, extras):
    """The kernel of a launch, its grid and its arguments."""
    kept = tuple(k for k in range(len(shape)) if k not in axes)
    spreads = [x.spread(shape) for x in sources]
    # The array with most elements says which axes are short steps in memory.
    main = max(spreads, key=lambda s: math.prod(n for n, step in zip(shape, s, strict=True) if step))

    def along(axes, *more):
        lengths = tuple(shape[k] for k in axes)
        found, steps = collapse(
            lengths, [*(tuple(s[k] for k in axes) for s in spreads), *more, [main[k] for k in axes]]
        )
        if math.prod(found) == 1:
            return found, [(0,) * len(found)] * (len(steps) - 1), math.inf
        return found, steps[:-1], abs(steps[-1][-1])

    outer, outer_steps, kept_step = along(kept, *(y.strides for y in targets))
    inner, inner_steps, reduced_step = along(axes)
    rows = math.prod(inner) > 1 and reduced_step <= kept_step
    ins = len(sources)
    problem = _Problem(fold, sources, targets, outer, outer_steps[:ins], outer_steps[ins:], inner, inner_steps, extras)
    return problem.rows() if rows else problem.columns()


class _Problem(NamedTuple):
    fold: object
    sources: tuple
    targets: tuple
    outer: tuple  # lengths of what is kept, its steps for each source, and for each target
    outer_steps: list
    out_steps: list
    inner: tuple  # lengths of what is reduced, and its steps for each source
    inner_steps: list
    extras: tuple

    def rows(self):
        """The plan where neighbours are reduced."""
        n, alone = math.prod(self.outer), self.outer == (1,) and len(self.inner) == 1
        width = self._width(self.inner, self.inner_steps, self.outer_steps, alone)
        total = math.prod(self.inner)
        count, over = divmod(total, width)
        kinds, steps = self._kinds(self.inner_steps, width)
        shape, strides = grouped(self.inner, self.inner_steps, width)
        places = self.outer, flat(self.outer_steps), flat(self.out_steps), shape, flat(strides), self.extras
        side_by_side, longest = self._most(width)
        if count <= 32 * longest and not over:
            # Lanes that read a row side by side, 16 bytes each and twice at most, where that is how they can read; of
            # rows of a few single elements a lane takes one whole: 437 us against 1371 (rows of 5 float32, H100).
            together = side_by_side if width * self._itemsize() == VECTOR else GROUPS
            team = min(power_above(-(-count // together)), 32)
            groups = -(-count // team)
            long = is_long(n * team, count)
            kernel = short_rows(
                self.fold, kinds, width, team, groups, count == team * groups and groups & groups - 1 == 0, long
            )
            return _Plan(kernel, -(-n * team // BLOCK), BLOCK, long, (n, count), places, steps)
        groups = _groups(width, self._itemsize())
        block = self._block(count, groups)
        parts = _parts(count, n, block * groups)
        if parts > 1 and block < GATHERED:
            block = GATHERED
            parts = _parts(count, n, block * groups)
        long = is_long(n * parts * self.fold.words, count)
        kernel = long_rows(self.fold, kinds, width, groups, parts > 1, over > 0, long)
        stride = n * _shared(parts)
        partials = stride * self.fold.words
        return _Plan(kernel, n * parts, block, long, (n, parts, stride, count, over), places, steps, True, partials)

    def columns(self):
        """The plan where neighbours are kept."""
        width = self._width(self.outer, self.outer_steps, self.inner_steps, False, self.out_steps)
        while width > 1 and 4 * self.fold.words * width * BLOCK > DESK:
            width //= 2
        count = math.prod(self.inner)
        kinds, _ = self._kinds(self.outer_steps, width)
        lengths, strides = grouped(self.outer, self.outer_steps, width)
        out_steps = [(*steps[:-1], steps[-1] * width) for steps in self.out_steps]
        n = math.prod(lengths)
        groups = min(power_above(count), _groups(width, self._itemsize()))
        across = _across(lengths[-1])
        down = max(min(BLOCK // across, -(-count // groups)), 1)
        across = BLOCK // down if 2 * across * down <= BLOCK else across
        blocks = -(-n // across)
        parts = _parts(count, blocks, down * groups)
        words = self.fold.words * width
        long = is_long(n * parts * words, count)
        kernel = columns(self.fold, kinds, width, groups, parts > 1, long)
        places = lengths, flat(strides), flat(out_steps), self.inner, flat(self.inner_steps), self.extras
        steps = tuple(0 for x in self.sources if isinstance(x, Index))
        stride = n * _shared(parts)
        partials = stride * words
        leading = n, across, parts, stride, count
        return _Plan(kernel, blocks * parts, across * down, long, leading, places, steps, True, partials)

    def _most(self, width):
        """How many groups a lane has of a short row: where lanes read side by side, and of the longest."""
        if not self.fold.chain:
            return 2, GROUPS
        # To merge two expansions costs as much as to add three numbers; more than 32 numbers spill registers.
        return 4, min(2 * GROUPS, 32 // width)

    def _block(self, count, groups):
        """Threads of a block for a row."""
        block = BLOCK
        while self.fold.chain and block > 32 and count < 2 * block * groups:
            block //= 2
        return block

    def _itemsize(self):
        return max((x.dtype.itemsize for x in self.sources if hasattr(x, "dtype") and not x.by_value), default=1)

    def _width(self, lengths, steps, others, alone, out_steps=None):
        """Neighbours that a thread reads at once; `alone` where the axis need not be a multiple of it."""
        pairs = zip(self.sources, steps, others, strict=True)
        pointers = [(x, s, o) for x, s, o in pairs if hasattr(x, "dtype") and not x.by_value]
        if any(s[-1] not in (0, 1) for _, s, _ in pointers):
            return 1
        width = VECTOR // self._itemsize()
        if out_steps is not None:
            while width > 1 and not all(_fits(y, s, width) for y, s in zip(self.targets, out_steps, strict=True)):
                width //= 2
        while width > 1 and not (all(aligned(*p, width) for p in pointers) and (alone or lengths[-1] % width == 0)):
            width //= 2
        return width

    def _kinds(self, steps, width):
        kinds = tuple(_kind(x, s[-1], width) for x, s in zip(self.sources, steps, strict=True))
        return kinds, tuple(s[-1] for x, s in zip(self.sources, steps, strict=True) if isinstance(x, Index))


def _kind(x, step, width):
    if isinstance(x, Index):
        return "index"
    if x.by_value:
        return "value"
    return "vector" if step == 1 or width == 1 else "uniform"


def aligned(x, steps, others, width):
    """Whether groups of `width` neighbours begin where one access can reach them."""
    if steps[-1] == 0:
        return True
    return x.alignment % (width * x.dtype.itemsize) == 0 and all(s % width == 0 for s in (*steps[:-1], *others))


def _fits(target, steps, width):
    """Whether the results of `width` neighbours are one store."""
    size = width * target.dtype.itemsize
    whole = steps[-1] == 1 and all(s % width == 0 for s in steps[:-1])
    return whole and size <= VECTOR and target.alignment % size == 0


def grouped(lengths, steps, width):
    """Lengths and steps of groups of `width` neighbours."""
    return (*lengths[:-1], lengths[-1] // width), [(*s[:-1], s[-1] * width) for s in steps]


def _groups(width, itemsize):
    """Groups of neighbours that a thread loads at once: 64 bytes, and no more than 16."""
    return 2 if SIMULATED else min(max(BYTES // (width * itemsize), 2), 16)


def flat(steps):
    """The steps of all operands in one tuple."""
    return sum(map(tuple, steps), ())


def power_above(n):
    """The least power of two that is not less than n."""
    return 1 << max(n - 1, 0).bit_length()


def power_below(n):
    """The largest power of two that is not more than n, 1 at least."""
    return 1 << max(n.bit_length() - 1, 0)


def is_long(*numbers):
    """Whether numbers up to these want 64 bits."""
    return max(numbers) >= 2**31


def _parts(count, blocks, step):
    """How many blocks share `count` groups, of which a block reads `step` at once."""
    if 2 * blocks > COUNTERS:
        return 1
    wanted = min(-(-BLOCKS // blocks), count // (2 * step))
    return max(wanted, -(-count // (step * CHAIN)), 1)


def _shared(parts):
    """States that `parts` blocks of a row leave in memory, until one is left."""
    states = 0
    while parts > 1:
        states, parts = states + parts, -(-parts // GATHERED)
    return states


def _across(length):
    """Columns of a block, of `length` neighbours: all of them, or as even a share as there is."""
    return length if length <= max(ACROSS, 96) else -(-length // -(-length // ACROSS))


# --- launches -------------------------------------------------------------------------------------------------


def _simulated(plan, sources, results):
    numbered = [k for k, x in enumerate(sources) if isinstance(x, Index)]
    leading = (*plan.leading, *plan.places[:-1], tuple(plan.places[-1]))

    def arguments(words):
        ins, outs = list(words[:-results]), tuple(words[-results:])
        for k, step in zip(numbered, plan.steps, strict=True):
            ins.insert(k, np.int64(step))
        counters = np.zeros(COUNTERS if plan.partials else 1, np.uint32), np.zeros(plan.partials or 1, np.int32)
        return (*leading, tuple(ins), outs, *(map(Pointer, counters) if plan.shares else ()))

    return SimulatedLaunch(plan.kernel[plan.grid, plan.block], arguments)


#: One program serves all shapes of a class: the arguments tell them apart.
_program = functools.lru_cache(maxsize=4096)(Program)


def signature(plan, fold, sources, targets):
    """The Numba types of a plan's kernel."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    count = types.uint64 if plan.long else types.uint32
    kinds = count, types.int64, types.int64, count, types.int64
    places = [types.UniTuple(kind, len(t)) for kind, t in zip(kinds, plan.places, strict=False)]
    numbers = types.Tuple(list(map(from_dtype, fold.extras)))
    arrays = types.Tuple([native(x) for x in sources]), types.Tuple([native(y) for y in targets])
    shared = (types.CPointer(types.uint32), types.CPointer(types.int32)) if plan.shares else ()
    return (*[count] * len(plan.leading), *places, numbers, *arrays, *shared)


def _words(plan, fold, sources, targets):
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    *places, extras = plan.places
    numbers = types.Tuple(list(map(from_dtype, fold.extras)))
    steps = iter(plan.steps)
    given = [c for x in sources for c in ([next(steps)] if isinstance(x, Index) else code(native(x)))]
    shared = ["Q", "Q"] if plan.partials else [0, 0] if plan.shares else []
    return [
        *plan.leading,
        *(n for t in places for n in t),
        *raw(extras, numbers),
        *given,
        *(c for y in targets for c in code(native(y))),
        *shared,
    ]


def native(x):
    """The Numba type of an operand."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    if isinstance(x, Index):
        return types.int64
    return from_dtype(x.dtype) if x.by_value else types.CPointer(from_dtype(x.dtype))

"""Which kernel scans an axis, and how it is launched.

    y[..., i, ...] = x[..., 0, ...] + ... + x[..., i, ...]

Axes besides the one that is scanned are merged where they can be. Where memory is one run of rows, or of anything but
columns, the kernel of rows takes it (`flat`); where neighbours in memory belong to different sums, that of columns.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...device.instructions import SIMULATED
from ...device.scalar import compute_dtype
from ...runtime.launch import Launch, Program, SimulatedLaunch, code, tuples
from ...runtime.layouts import VECTOR, collapse
from ..layout import power_above, power_below
from .algebra import side_by_side
from .columns import HIGH, column_scratch_bytes, columns, look_words
from .flat import NEVER, OFTEN, ONCE, flat
from .lookback import TILE_BITS, scratch_bytes

#: Warps of a block, threads of one that scans columns, and columns of a strip where tiles are chained.
WARPS, THREADS, STRIP = (2, 64, 8) if SIMULATED else (16, 512, 64)
#: Words of states that a thread holds of rows, and of columns.
HELD, HELD_OF_COLUMNS = (4, 4) if SIMULATED else (16, 32)
#: Words of states of a row of columns that is one element.
NARROW = 8
#: Tiles from which on blocks go on from tile to tile; before, there are hardly more than run at once.
MANY = 4 if SIMULATED else 1024
#: Bytes of shared memory that a block's next tile may take.
STAGED = 32 << 10
#: Blocks that go on, in the simulator; on a GPU as many as run at once.
GOING_ON = 3
#: Bytes of shared memory that looking back may take.
LOOKING = 40 << 10


@dataclass(frozen=True)
class Scan:
    """A scan of arrays that lie as those it was made for do.

    Attributes
    ----------
    launch : callable
        ``launch(stream, *initial, *sources, *targets, scratch)``, with addresses and numbers, or in the simulator
        pointers.
    scratch : int
        Bytes of memory that are zeros before the first launch that uses them, and after that are handed on from launch
        to launch of any scan, in the order of a stream.
    """

    launch: Any
    scratch: int


@functools.lru_cache(maxsize=4096)
def scan_of(algebra, dtypes, sources, targets, shape, axis, starts, exclusive, device, name):
    """The `Scan` along an axis.

    Parameters
    ----------
    algebra : Algebra
    dtypes : tuple of numpy.dtype
        Of the values that rows begin with; one for each source.
    sources, targets : tuple of Layout
        Of equal shapes, with at least one element. A target may be a source.
    shape : tuple of int
    axis : int or None
        None for the elements in C order, as one row.
    starts, exclusive : bool
        Whether rows begin with a value, and whether elements are left out of their own sums.
    device : int
    name : str

    Raises
    ------
    ValueError
        For more than 2^28 tiles.
    """
    operands = (*sources, *targets)
    spread = [x.spread(shape) for x in operands]
    if axis is None:
        return _flat(
            algebra, dtypes, sources, targets, math.prod(shape), shape, spread, starts, exclusive, device, name
        )
    rest = [k for k in range(len(shape)) if k != axis]
    lengths, steps = collapse([shape[k] for k in rest], [tuple(s[k] for k in rest) for s in spread])
    n, along = shape[axis], [s[axis] for s in spread]
    if all(step[-1] == 1 for step in steps) and lengths[-1] > 1 and n > 1:
        if len(lengths) == 1 and all(s == lengths[0] for s in along) and _is_narrow(operands, algebra, lengths[0]):
            return _side_by_side(algebra, dtypes, sources, targets, n, lengths[0], starts, exclusive, device, name)
        return _columns(algebra, dtypes, sources, targets, n, along, lengths, steps, starts, exclusive, device, name)
    strides = [(*step, s) for step, s in zip(steps, along, strict=True)]
    return _flat(algebra, dtypes, sources, targets, n, (*lengths, n), strides, starts, exclusive, device, name)


# --- rows -------------------------------------------------------------------------------------------------------------


def _flat(algebra, dtypes, sources, targets, n, shape, strides, starts, exclusive, device, name):
    operands = (*sources, *targets)
    total = math.prod(shape)
    shape, strides = _merged(shape, strides)
    in_run = len(shape) == 1 and all(s == (1,) for s in strides)
    # Vectors have as many elements however they are read, so that the bits of a result don't depend on it.
    width = max(VECTOR // _itemsize(operands), 1)
    whole = [_whole(x, s, shape, width) for x, s in zip(operands, strides, strict=True)]
    vectors = all(whole[: len(sources)]), all(whole[len(sources) :])
    items = power_below(min(max(HELD // (width * algebra.words), 1), 8))
    share = items * 32 * width
    tile = WARPS * share
    tiles = -(-total // tile)
    if (total == n and tiles > 1) or (total > n and tile % n):
        alone = None
    else:
        alone = "tile" if total == n or share % n else "warp"
    if (total == n and not (alone and starts)) or (n % tile == 0 and not alone):
        wraps = NEVER
    else:
        wraps = ONCE if n >= tile else OFTEN
    long = total >= 2**31
    aligned = all(x.alignment % VECTOR == 0 for x in operands)
    sizes = tuple(x.dtype.itemsize for x in sources)
    goes_on = not alone and _goes_on(tiles, vectors, sizes, width, tile)
    kernel = flat(algebra, len(sources), len(targets), WARPS, items, width, aligned, wraps, starts, exclusive, in_run,
                  long, _registers(algebra.words, wraps, alone), sizes if goes_on else None, vectors,
                  alone)  # fmt: skip
    ins, outs = _joined(strides[: len(sources)]), _joined(strides[len(sources) :])
    count = "uint64" if long else "uint32"
    leading = ((count, total), (count, n), ("uint32", tiles), (count, shape), ("int64", ins), ("int64", outs))
    return _launched(kernel, leading, dtypes, sources, targets, tiles, 32 * WARPS,
                     0 if alone else scratch_bytes(tiles, algebra.carry_words), device, name, goes_on)  # fmt: skip


def _is_narrow(operands, algebra, columns):
    """Whether so few columns are that each row is one element: narrower than vectors, or no multiple of them."""
    return columns * algebra.words <= NARROW and columns % (VECTOR // _itemsize(operands)) != 0


def _side_by_side(algebra, dtypes, sources, targets, n, columns, starts, exclusive, device, name):
    """Columns that lie in memory without gaps, and are few: the kernel of rows, over one row of rows."""
    operands = (*sources, *targets)
    piece = max(VECTOR // _itemsize(operands), 1)
    width = piece // math.gcd(piece, columns)
    held = width * columns * algebra.words
    light = held <= HELD and algebra.words == 1
    items, warps = power_below(max(HELD // held, 1)), WARPS if light else max(WARPS // 2, 1)
    tile = warps * items * 32 * width
    tiles = -(-n // tile)
    together = side_by_side(algebra, columns)
    vectors = tuple(all(x.alignment % (piece * x.dtype.itemsize) == 0 for x in group) for group in (sources, targets))
    long = n * columns >= 2**31
    aligned = all(x.alignment % VECTOR == 0 for x in operands)
    sizes = tuple(x.dtype.itemsize for x in sources)
    goes_on = _goes_on(tiles, vectors, sizes, piece, tile * columns)
    kernel = flat(together, len(sources), len(targets), warps, items, width, aligned, NEVER, starts, exclusive, True,
                  long, 64 if light else 128, sizes if goes_on else None, vectors, None, columns,
                  piece)  # fmt: skip
    count = "uint64" if long else "uint32"
    ones = ("int64", (1,) * len(sources)), ("int64", (1,) * len(targets))
    leading = ((count, n), (count, n), ("uint32", tiles), (count, (n,)), *ones)
    return _launched(kernel, leading, dtypes, sources, targets, tiles, 32 * warps,
                     scratch_bytes(tiles, together.carry_words), device, name, goes_on)  # fmt: skip


def _itemsize(operands):
    return max(x.dtype.itemsize for x in operands)


def _goes_on(tiles, vectors, sizes, piece, numbers):
    """Whether blocks take tile after tile: many, of so many numbers, that come in pieces which can be copied."""
    whole = vectors[0] and all(size * piece in (4, 8, 16) for size in sizes)
    return whole and tiles >= MANY and sum(sizes) * numbers <= STAGED


def _whole(x, strides, shape, width):
    """Whether a vector of an operand is one access, wherever it begins."""
    if strides[-1] != 1 or x.alignment % (width * x.dtype.itemsize):
        return False
    return len(shape) == 1 or not (shape[-1] % width or any(s % width for s in strides[:-1]))


def _merged(shape, strides):
    """The fewest axes that visit the same elements in the same order."""
    lengths, steps = [], []  # of the axes so far, outermost first; steps[a][o] is operand o's stride
    for n, step in zip(shape, zip(*strides, strict=True), strict=True):
        if n == 1:
            continue
        if lengths and all(outer == inner * n for outer, inner in zip(steps[-1], step, strict=True)):
            lengths[-1] *= n
            steps[-1] = step
        else:
            lengths.append(n)
            steps.append(step)
    if not lengths:
        lengths, steps = [1], [(1,) * len(strides)]
    return tuple(lengths), list(zip(*steps, strict=True))


def _registers(words, wraps, alone):
    """Registers of a thread at most: with 40, three blocks of 512 threads run on a multiprocessor, with 64 two."""
    return 40 if words == 1 and (wraps == NEVER or alone == "warp") else 64


def _widest(operands):
    """Elements that 16 bytes hold of every operand, where all addresses are multiples of so many."""
    width = max(VECTOR // max(x.dtype.itemsize for x in operands), 1)
    while width > 1 and any(x.alignment % (width * x.dtype.itemsize) for x in operands):
        width //= 2
    return width


# --- columns ----------------------------------------------------------------------------------------------------------


def _columns(algebra, dtypes, sources, targets, n, along, lengths, steps, starts, exclusive, device, name):
    operands = (*sources, *targets)
    *outer, inner = lengths
    width = _widest(operands)
    while inner % width or any(s % width for s in (*along, *(k for step in steps for k in step[:-1]))):
        width //= 2
    items = power_below(min(max(HELD_OF_COLUMNS // (width * algebra.words), 1), 8))
    across, chained = _across(n, inner, width, items, algebra.carry_words)
    strip, rows = across * width, THREADS // across * items
    strips, tiles = -(-inner // strip), -(-n // rows)
    chains = int(np.prod(outer, dtype=np.int64)) * strips
    long = n >= 2**31 or inner >= 2**31
    aligned = all(x.alignment % VECTOR == 0 for x in operands)
    kernel = columns(algebra, len(sources), len(targets), THREADS, across, items, width, aligned, chained, starts,
                     exclusive, long, 64)  # fmt: skip
    outer_steps = [step[:-1] for step in steps] if outer else [(0,)] * len(operands)
    ins, outs = _joined(outer_steps[: len(sources)]), _joined(outer_steps[len(sources) :])
    count = "uint64" if long else "uint32"
    leading = (
        (count, n), (count, inner), ("uint32", strips), ("uint32", chains), ("uint32", tiles),
        ("uint32", tuple(outer) or (1,)), ("int64", ins), ("int64", outs), ("int64", tuple(along[: len(sources)])),
        ("int64", tuple(along[len(sources) :])),
    )  # fmt: skip
    scratch = column_scratch_bytes(chains, tiles, strip, algebra.carry_words) if chained else 0
    return _launched(kernel, leading, dtypes, sources, targets, chains * tiles, THREADS, scratch, device, name)


def _across(n, inner, width, items, words):
    """Threads side by side, and whether there are several tiles one below another."""
    across = min(power_above(-(-inner // width)), max(THREADS // power_above(-(-n // items)), 1))
    chained_across = max(STRIP // width, 1)
    while chained_across > 1 and 4 * look_words(chained_across * width, words) > LOOKING:
        chained_across //= 2
    if across >= min(chained_across, power_above(-(-inner // width))) and THREADS // across * items >= n:
        return across, False
    return min(chained_across, power_above(-(-inner // width)), THREADS // (HIGH * width)), True


def _joined(strides):
    return tuple(s for each in strides for s in each)


# --- launches ---------------------------------------------------------------------------------------------------------

_program = functools.lru_cache(maxsize=8192)(Program)


def _launched(kernel, leading, dtypes, sources, targets, tiles, threads, scratch, device, name, goes_on=False):
    if tiles >= 1 << TILE_BITS:
        raise ValueError(f"{name} takes 2^{TILE_BITS} tiles at most, and this would be {tiles}")
    if SIMULATED:
        sizes = len(dtypes), len(sources), len(targets), 1
        values = tuple(value for _, value in leading)
        return Scan(
            SimulatedLaunch(kernel[GOING_ON if goes_on else tiles, threads], functools.partial(tuples, values, sizes)),
            scratch,
        )
    signature = _signature(leading, dtypes, sources, targets)
    words = [*_joined(value if isinstance(value, tuple) else (value,) for _, value in leading)]
    words += [c for group in signature[len(leading) :] for c in code(group)]

    def configure(function):
        blocks = min(_at_once(function, threads, device), tiles) if goes_on else tiles
        return (blocks, 1, 1), (threads, 1, 1), 0

    return Scan(Launch(_program(kernel, signature), device, configure, words, name), scratch)


def _at_once(function, threads, device):
    """Blocks of a kernel that run at once on a device."""
    from cuda.bindings import driver

    from ...runtime.memory import check

    count = driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
    each = check(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(function, threads, 0), "asking a kernel")
    return max(each, 1) * check(driver.cuDeviceGetAttribute(count, device), "asking a device")


def _signature(leading, dtypes, sources, targets):
    """Numba types of a launch."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    counts = []
    for native, value in leading:
        native = getattr(types, native)
        counts.append(types.UniTuple(native, len(value)) if isinstance(value, tuple) else native)
    pointers = [types.Tuple([types.CPointer(from_dtype(x.dtype)) for x in group]) for group in (sources, targets)]
    values = types.Tuple([from_dtype(compute_dtype(d)) for d in dtypes])
    return (*counts, values, *pointers, types.Tuple([types.CPointer(types.uint64)]))

"""Boxes of arrays between global and shared memory, by TMA: one thread asks, an mbarrier or a group counts.

The map comes from `kernels.runtime.tensor_maps.tensor_map`; a kernel passes its `global_address`. Coordinates are those
of the box's first element, the contiguous axis first, that one a multiple of 16 bytes. The box may lie outside of the
array: what is outside is zeros, and is not stored; one that is stored must not begin before the array. (Over either an
H100 stops the kernel.) In shared memory the box is contiguous, at a multiple of 128 bytes (1024 with a swizzle of 128);
a swizzle combines the address bits from 4 on by exclusive or with those from 7 on.

Source: PTX ISA, "cp.async.bulk.tensor"; compute capability 9.0.
"""

from numba import types

from .addresses import swizzled
from .ptx import ptx
from .twins import BEFORE_THE_ARRAY, BETWEEN_PIECES, BULK, copy_later, copy_to_barrier, load, pointer, refuse

i32, i64, u32, u64, none = types.int32, types.int64, types.uint32, types.uint64, types.none
PIECE = 16


def _word(map_, k):
    return i64(load(u64, i64(map_) + 8 * k))


def _walk(shared, map_, first, y, z, u, v, mbarrier):
    """Copy a box, 16 bytes by 16: to shared memory, or from there where `mbarrier` is negative."""
    start, sizes = _word(map_, 0), _word(map_, 1)
    itemsize, swizzle = sizes & 0xFF, sizes >> 8
    width, length = _word(map_, 11) * itemsize, _word(map_, 2) * itemsize
    height, depth, third, fourth = _word(map_, 12), _word(map_, 13), _word(map_, 14), _word(map_, 15)
    at = i64(shared)
    if first * itemsize % PIECE:
        refuse(BETWEEN_PIECES)
    if mbarrier < 0 and min(first, y, z, u, v) < 0:
        refuse(BEFORE_THE_ARRAY)
    for row in range(height * depth * third * fourth):
        i, j = y + row % height, z + row // height % depth
        k, m = u + row // (height * depth) % third, v + row // (height * depth * third)
        inside = (
            0 <= i < _word(map_, 3) and 0 <= j < _word(map_, 4) and 0 <= k < _word(map_, 5) and 0 <= m < _word(map_, 6)
        )
        source = start + i * _word(map_, 7) + j * _word(map_, 8) + k * _word(map_, 9) + m * _word(map_, 10)
        for byte in range(0, width, PIECE):
            place, here = pointer(u32(swizzled(at, swizzle))), first * itemsize + byte
            low, high = min(max(-here, 0), PIECE), max(min(length - here, PIECE), 0)
            if not inside or high <= low:
                low, high = PIECE, PIECE
            if mbarrier >= 0:
                if low:
                    copy_to_barrier(place, 0, low, mbarrier)
                if low < high:
                    copy_to_barrier(place + low, source + here + low, high - low, mbarrier)
                if high < PIECE:
                    copy_to_barrier(place + high, 0, PIECE - high, mbarrier)
            elif low < high:
                copy_later(BULK, source + here + low, place + low, high - low)
            at += PIECE


def _load(count):
    names = "xyzuv"[:count]
    coordinates = ", ".join(f"{{{name}}}" for name in names)
    text = (
        f"cp.async.bulk.tensor.{count}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        f"[{{destination}}], [{{map_}}, {{{coordinates}}}], [{{mbarrier}}];"
    )
    return ptx(text, none(u32, u64, *[i32] * count, u32))


def _store(count):
    names = "xyzuv"[:count]
    coordinates = ", ".join(f"{{{name}}}" for name in names)
    text = (
        f"cp.async.bulk.tensor.{count}d.global.shared::cta.tile.bulk_group [{{map_}}, {{{coordinates}}}], [{{source}}];"
    )
    return ptx(text, none(u64, *[i32] * count, u32))


@_load(1)
def tensor_load_1d(destination, map_, x, mbarrier):
    """Load a box of an array of one axis."""
    _walk(destination, map_, x, 0, 0, 0, 0, pointer(mbarrier))


@_load(2)
def tensor_load_2d(destination, map_, x, y, mbarrier):
    """Load a box of an array of two axes."""
    _walk(destination, map_, x, y, 0, 0, 0, pointer(mbarrier))


@_load(3)
def tensor_load_3d(destination, map_, x, y, z, mbarrier):
    """Load a box of an array of three axes."""
    _walk(destination, map_, x, y, z, 0, 0, pointer(mbarrier))


@_load(4)
def tensor_load_4d(destination, map_, x, y, z, u, mbarrier):
    """Load a box of an array of four axes."""
    _walk(destination, map_, x, y, z, u, 0, pointer(mbarrier))


@_load(5)
def tensor_load_5d(destination, map_, x, y, z, u, v, mbarrier):
    """Load a box of an array of five axes."""
    _walk(destination, map_, x, y, z, u, v, pointer(mbarrier))


@_store(1)
def tensor_store_1d(map_, x, source):
    """Store a box of an array of one axis, in a bulk group."""
    _walk(source, map_, x, 0, 0, 0, 0, -1)


@_store(2)
def tensor_store_2d(map_, x, y, source):
    """Store a box of an array of two axes, in a bulk group."""
    _walk(source, map_, x, y, 0, 0, 0, -1)


@_store(3)
def tensor_store_3d(map_, x, y, z, source):
    """Store a box of an array of three axes, in a bulk group."""
    _walk(source, map_, x, y, z, 0, 0, -1)


@_store(4)
def tensor_store_4d(map_, x, y, z, u, source):
    """Store a box of an array of four axes, in a bulk group."""
    _walk(source, map_, x, y, z, u, 0, -1)


@_store(5)
def tensor_store_5d(map_, x, y, z, u, v, source):
    """Store a box of an array of five axes, in a bulk group."""
    _walk(source, map_, x, y, z, u, v, -1)


@ptx("fence.proxy.tensormap::generic.acquire.sys [{map_}], 128;", none(u64))
def fence_tensor_map(map_):
    """Have copies see a map that the host wrote: once a block, before the first of them."""

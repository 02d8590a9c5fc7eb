"""What the threads of a block do together: reductions, scans, broadcasts, votes.

Threads count in the order of their warps, ``x + blockDim.x * (y + blockDim.y * z)``, for blocks of one, two and three
dimensions and of any size. Values and operators are those of `kernels.device.warp`. All threads of the block call these
functions together.

A block's reduction is one of each warp, then one of the warps' results by the first warp:

    one word of 32 bits of a value takes 256 bytes of shared memory and two barriers, whatever is computed;
    a block of one warp takes neither.

They may follow one another as they are: between two that use the same memory there is a barrier of their own.

Source: NVIDIA CUB, ``BlockReduce`` and ``BlockScan``.
"""

import operator

from numba import cuda, types

from .instructions import kernel_function
from .operators import first_maximum, first_minimum, maximum, minimum
from .ptx import declared
from .warp import FULL, from_below, reduce_some, shuffle, shuffled, sreg, warp_inclusive_scan, warp_reduce
from .words import WORD, as_int32, cast_like, from_words, get_words, put_words, slots, to_words

# --- where a thread is ------------------------------------------------------------------------------------------------


def _in_block(name, emit, twin):
    def define(typingctx):
        return types.int32(), lambda context, builder, signature, args: emit(builder)

    define.__name__, define.__doc__ = name, twin.__doc__
    return declared(define, twin)


def _emit_index(builder):
    x, y, z, width, height = (sreg(builder, name) for name in ("tid.x", "tid.y", "tid.z", "ntid.x", "ntid.y"))
    return builder.add(x, builder.mul(width, builder.add(y, builder.mul(height, z))))


def _emit_warp(builder):
    # By a shuffle, which tells the compiler that all lanes of a warp agree: without it each shuffle behind a branch on
    # the warp was there twice, once for lanes that diverge.
    index = builder.lshr(_emit_index(builder), WORD(5))
    return builder.extract_value(shuffled(builder, 0, WORD(FULL), index, WORD(0), WORD(31)), 0)


def _emit_size(builder):
    width, height, depth = (sreg(builder, f"ntid.{axis}") for axis in "xyz")
    return builder.mul(width, builder.mul(height, depth))


def _index():
    """The number of a thread in its block: warps are 32 neighbours by it."""
    found = cuda.threadIdx.x + cuda.blockDim.x * (cuda.threadIdx.y + cuda.blockDim.y * cuda.threadIdx.z)
    return as_int32(found)


def _warp():
    """The number of a thread's warp in its block."""
    return as_int32(thread_index() >> 5)


def _size():
    """How many threads a block has."""
    return as_int32(cuda.blockDim.x * cuda.blockDim.y * cuda.blockDim.z)


thread_index, block_size = _in_block("thread_index", _emit_index, _index), _in_block("block_size", _emit_size, _size)
warp_index = _in_block("warp_index", _emit_warp, _warp)

# --- reductions -------------------------------------------------------------------------------------------------------


@kernel_function
def block_reduce(value, op, valid=1024):
    thread, threads, warp = thread_index(), block_size(), warp_index()
    count = as_int32(min(valid, threads))
    # Where all of the block is known to the compiler to take one way, it need not guard each shuffle.
    if count & 31 == 0 and count == threads:
        found = warp_reduce(value, op)
    else:
        found = shuffle(reduce_some(value, op, 32, count - 32 * warp), 0)
    if threads > 32:
        words = to_words(found)
        memory = slots(words)
        if thread & 31 == 0:
            put_words(memory, warp, words)
        cuda.syncthreads()
        if warp == 0:
            warps = (count + 31) >> 5
            mine = from_words(get_words(memory, min(thread, warps - 1), words), found)
            mine = reduce_some(mine, op, 32, warps)
            if thread == 0:
                put_words(memory, 32, to_words(mine))
        cuda.syncthreads()
        found = from_words(get_words(memory, 32, words), found)
    return found


@kernel_function
def block_sum(value, valid=1024):
    return block_reduce(value, operator.add, valid)


@kernel_function
def block_prod(value, valid=1024):
    return block_reduce(value, operator.mul, valid)


@kernel_function
def block_min(value, valid=1024):
    return block_reduce(value, minimum, valid)


@kernel_function
def block_max(value, valid=1024):
    return block_reduce(value, maximum, valid)


@kernel_function
def block_argmin(value, index, valid=1024):
    return block_reduce((value, index), first_minimum, valid)


@kernel_function
def block_argmax(value, index, valid=1024):
    return block_reduce((value, index), first_maximum, valid)


# --- scans ------------------------------------------------------------------------------------------------------------


@kernel_function
def _scanned_warps(inclusive, op):
    """What the warps before this one have in all, of a warp that is not the first, and what the block has."""
    thread, threads, warp = thread_index(), block_size(), warp_index()
    warps = (threads + 31) >> 5
    words = to_words(inclusive)
    memory = slots(words)
    if thread & 31 == 31 or thread == threads - 1:
        put_words(memory, warp, words)
    cuda.syncthreads()
    if warp == 0:
        mine = from_words(get_words(memory, min(thread, warps - 1), words), inclusive)
        put_words(memory, 32 + thread, to_words(warp_inclusive_scan(mine, op)))
    cuda.syncthreads()
    before = from_words(get_words(memory, 32 + max(warp - 1, 0), words), inclusive)
    total = from_words(get_words(memory, 32 + warps - 1, words), inclusive)
    return before, total


@kernel_function
def block_inclusive_scan_with_total(value, op):
    found = warp_inclusive_scan(value, op)
    if block_size() <= 32:
        return found, shuffle(found, block_size() - 1)
    before, total = _scanned_warps(found, op)
    if thread_index() >= 32:
        found = cast_like(op(before, found), found)
    return found, total


@kernel_function
def block_inclusive_scan(value, op):
    return block_inclusive_scan_with_total(value, op)[0]


@kernel_function
def block_exclusive_scan_with_total(value, op, initial=None):
    thread, threads = thread_index(), block_size()
    inclusive = warp_inclusive_scan(value, op)
    found = from_words(from_below(to_words(inclusive), 1, 32)[0], inclusive)
    if threads <= 32:
        total = shuffle(inclusive, threads - 1)
    else:
        before, total = _scanned_warps(inclusive, op)
        if thread >= 32:
            found = before if thread & 31 == 0 else cast_like(op(before, found), found)
    if initial is None:
        return found, total
    first = cast_like(initial, found)
    return (cast_like(op(first, found), found) if thread > 0 else first), total


@kernel_function
def block_exclusive_scan(value, op, initial=None):
    return block_exclusive_scan_with_total(value, op, initial)[0]


@kernel_function
def block_inclusive_sum(value):
    return block_inclusive_scan_with_total(value, operator.add)[0]


@kernel_function
def block_exclusive_sum_with_total(value):
    found, total = block_exclusive_scan_with_total(value, operator.add)
    return (found if thread_index() > 0 else cast_like(0, found)), total


@kernel_function
def block_exclusive_sum(value):
    return block_exclusive_sum_with_total(value)[0]


# --- broadcast, votes -------------------------------------------------------------------------------------------------


@kernel_function
def block_broadcast(value, thread=0):
    words = to_words(value)
    memory = slots(words)
    cuda.syncthreads()
    if thread_index() == thread:
        put_words(memory, 32, words)
    cuda.syncthreads()
    return from_words(get_words(memory, 32, words), value)


@kernel_function
def block_any(predicate):
    return cuda.syncthreads_or(as_int32(cast_like(predicate, True))) != 0


@kernel_function
def block_all(predicate):
    return cuda.syncthreads_and(as_int32(cast_like(predicate, True))) != 0


@kernel_function
def block_count(predicate):
    return cuda.syncthreads_count(as_int32(cast_like(predicate, True)))

"""Sorts of a block's keys, with values that go with them or without.

A radix sort looks at four bits of every key at a time, from the lowest to the highest. Each time it counts the keys of
each of the 16 digits and moves the keys, in the order in which they stand, behind all of smaller digits. The counts are
two 16-bit numbers a word: of digit d of a thread in word ``(d % 8, thread)``, in its lower half for d < 8. A scan over
all words in that order, plus the total of the lower halves in the upper ones, gives each thread its first rank.

A merge sort lets each thread sort its own items, then merges neighbouring runs, 2, 4, 8 ... threads to a pair. A thread
finds by binary search along a diagonal of the merge (merge path) where its part of the result begins in both runs.

Both are stable: of equal keys the first stays the first.

Source: NVIDIA CUB, ``BlockRadixSort``, ``BlockRadixRank``, ``BlockMergeSort``; Merrill & Grimshaw 2011, "High
performance and scalable radix sorting"; Green, McColl & Bader 2012, "GPU merge path", https://doi.org/10.1145/2304576.2304621.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import cuda, types

from .block import block_exclusive_sum_with_total, thread_index
from .exchange import ARRANGEMENTS, extent, fits
from .instructions import instruction, kernel_function
from .operators import ascending
from .scalar import native_type
from .words import from_words, to_words, with_word

__all__ = ["block_merge_sort", "block_radix_sort"]

u32, u64 = np.uint32, np.uint64

#: Bits of a digit.
DIGIT = 4

# --- keys as unsigned integers ----------------------------------------------------------------------------------------


def _unsigned(dtype):
    return np.dtype(f"u{dtype.itemsize}")


def _to_ordered(dtype):
    """``ordered(key)``: an unsigned integer of as many bits, whose order is that of the keys."""
    width, kind = 8 * dtype.itemsize, dtype.kind
    top, result = 1 << (width - 1), native_type(_unsigned(dtype))

    def twin(key):
        bits = int(np.asarray(key).astype(dtype).view(_unsigned(dtype)))
        if kind == "i" or (kind == "f" and not bits & top):
            bits ^= top
        elif kind == "f":
            bits ^= 2 * top - 1
        return _unsigned(dtype).type(bits)

    @instruction(twin, beside_gpu=True)
    def ordered(typingctx, key):
        def codegen(context, builder, signature, args):
            word = ir.IntType(width)
            bits = builder.zext(args[0], word) if kind == "b" else args[0]
            bits = builder.bitcast(bits, word) if bits.type != word else bits
            if kind == "i":
                return builder.xor(bits, word(top))
            if kind == "f":
                return builder.xor(bits, builder.or_(builder.ashr(bits, word(width - 1)), word(top)))
            return bits

        return result(key), codegen

    return ordered


def _from_ordered(dtype):
    """``key(ordered)``: the key that an unsigned integer stands for."""
    width, kind = 8 * dtype.itemsize, dtype.kind
    top, native = 1 << (width - 1), native_type(dtype)

    def twin(bits):
        bits = int(bits)
        if kind == "i" or (kind == "f" and bits & top):
            bits ^= top
        elif kind == "f":
            bits ^= 2 * top - 1
        return np.array([bits], _unsigned(dtype)).view(dtype)[0]

    @instruction(twin, beside_gpu=True)
    def key(typingctx, bits):
        def codegen(context, builder, signature, args):
            word, found = ir.IntType(width), args[0]
            if kind == "b":
                return builder.trunc(found, ir.IntType(1))
            if kind == "i":
                found = builder.xor(found, word(top))
            if kind == "f":
                negative = builder.not_(builder.ashr(found, word(width - 1)))
                found = builder.xor(found, builder.or_(negative, word(top)))
            wanted = context.get_value_type(native)
            return builder.bitcast(found, wanted) if wanted != word else found

        return native(bits), codegen

    return key


def _digit(dtype, descending):
    """``digit(ordered, shift, mask)``: of a key; all NaN are one largest key, and both zeros are one."""
    width, is_float = 8 * dtype.itemsize, dtype.kind == "f"
    if is_float:
        infinity = int(np.array(np.inf, dtype).view(_unsigned(dtype)))
        top = 1 << (width - 1)
        lowest, highest = u64(top - 1 - infinity), u64(top + infinity)
        zero, other, last = u64(top), u64(top - 1), u64(2 * top - 1)

    @kernel_function
    def digit(ordered, shift, mask):
        key = u64(ordered)
        if is_float:
            if key < lowest or key > highest:
                key = last
            elif key == other:
                key = zero
        found = u32((key >> u64(shift)) & u64(mask))
        return u32(u32(mask) - found) if descending else found

    return digit


# --- radix sort -------------------------------------------------------------------------------------------------------


def block_radix_sort(
    dtype, threads, items, values=None, *, descending=False, begin_bit=0, end_bit=None, arrangement="blocked"
):
    """Make the device function that sorts the keys of a block.

    Parameters
    ----------
    dtype : dtype
        Of the keys: booleans, integers or floats. NaN is larger than all numbers, as in ``numpy.sort``, and -0.0 is
        equal to 0.0.
    threads : int or tuple of int
        The block.
    items : int
        Keys of each thread; at most 65,535 of the block.
    values : dtype, optional
        Of values that go with the keys.
    descending : bool, optional
        Whether the largest key comes first.
    begin_bit, end_bit : int, optional
        Only these bits of the keys are looked at, the lowest being 0: of unsigned keys their own, of others those of
        the unsigned number that has the same order.
    arrangement : {"blocked", "striped"}
        Of the result; the keys are taken as blocked.

    Returns
    -------
    sort : device function
        ``sort(keys)``, or ``sort(keys, values)``: arrays of the thread's items, sorted in place. Stable.

    Notes
    -----
    Each four bits cost 5 barriers and two for each word of 32 bits of a key and its value. Shared memory: 33 bytes a
    thread, or 4.1 bytes a key where that is more. A tile that is not full is filled up with the largest key.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_load, block_radix_sort, block_store
    >>> load = block_load(np.float32, threads=64, items=4, algorithm="striped")
    >>> sort = block_radix_sort(np.float32, threads=64, items=4, arrangement="striped")
    >>> store = block_store(np.float32, threads=64, items=4, algorithm="striped")
    >>> @cuda.jit
    ... def sort_tiles(x, y):
    ...     keys = cuda.local.array(4, np.float32)
    ...     load(x, 256 * cuda.blockIdx.x, keys, np.inf)
    ...     sort(keys)
    ...     store(y, 256 * cuda.blockIdx.x, keys)
    >>> x = np.random.default_rng(0).standard_normal(200).astype(np.float32)
    >>> y = np.zeros_like(x)
    >>> sort_tiles[1, 64](x, y)
    >>> bool((y == np.sort(x)).all())
    True
    """
    dtype, (threads, items) = np.dtype(dtype), extent(threads, items)
    if dtype.kind not in "biuf":
        raise ValueError(f"dtype: a radix sort has booleans, integers or floats for keys, not {dtype}")
    width = 1 if dtype.kind == "b" else 8 * dtype.itemsize
    end_bit = width if end_bit is None else end_bit
    if not 0 <= begin_bit < end_bit <= width:
        raise ValueError(f"bits {begin_bit} to {end_bit}: expected 0 <= begin_bit < end_bit <= {width}")
    if arrangement not in ("blocked", "striped"):
        raise ValueError(f"arrangement: {arrangement!r} is neither 'blocked' nor 'striped'")
    if threads * items > 0xFFFF:
        raise ValueError(f"threads, items: a block sorts at most 65,535 keys, not {threads * items}")
    values = None if values is None else np.dtype(values)
    return _radix_sort(dtype, threads, items, values, bool(descending), begin_bit, end_bit, arrangement)


@functools.cache
def _radix_sort(dtype, threads, items, values, descending, begin_bit, end_bit, arrangement):
    ordered, key_of, digit = _to_ordered(dtype), _from_ordered(dtype), _digit(dtype, descending)
    bits = native_type(_unsigned(dtype))
    size = _padded_size(max(threads * 8, threads * items))
    fits(4 * size, "block_radix_sort")
    rank, scatter = _ranker(threads, items, digit), _scatter("blocked", threads, items)
    last_scatter = _scatter(arrangement, threads, items)

    @kernel_function
    def sort_by_digits(memory, keys, others):
        ranks = cuda.local.array(items, types.uint32)
        for shift in range(begin_bit, end_bit, DIGIT):
            mask = (1 << min(DIGIT, end_bit - shift)) - 1
            rank(memory, keys, ranks, shift, mask)
            if shift + DIGIT < end_bit:
                scatter(memory, keys, ranks)
                if others is not None:
                    scatter(memory, others, ranks)
            else:
                last_scatter(memory, keys, ranks)
                if others is not None:
                    last_scatter(memory, others, ranks)

    @kernel_function
    def sort_pairs(keys, others):
        memory = cuda.shared.array(size, types.int32)
        mine = cuda.local.array(items, bits)
        for k in range(items):
            mine[k] = ordered(keys[k])
        sort_by_digits(memory, mine, others)
        for k in range(items):
            keys[k] = key_of(mine[k])

    @kernel_function
    def sort(keys):
        sort_pairs(keys, None)

    return sort if values is None else sort_pairs


def _padded_size(count):
    return count + count // 32


@kernel_function
def padded(j):
    """Where element j lies, with a word of padding a row of banks."""
    return u32(j + (j >> u32(5)))


def _ranker(threads, items, digit):
    """``rank(memory, keys, ranks, shift, mask)``: where each key goes when they are sorted by one digit."""
    step, seven, three, four, low, half = u32(threads), u32(7), u32(3), u32(4), u32(0xFFFF), u32(16)
    eight, zero = u32(8), u32(0)

    @kernel_function
    def word_of(found, thread):
        return padded(u32((found & seven) * step + thread))

    @kernel_function
    def shift_of(found):
        return u32((found >> three) << four)

    @kernel_function
    def rank(memory, keys, ranks, shift, mask):
        thread = u32(thread_index())
        counts = cuda.local.array(8, types.uint32)
        cuda.syncthreads()
        for k in range(8):
            memory[padded(u32(u32(k) * step + thread))] = zero
        for k in range(items):
            found = digit(keys[k], shift, mask)
            at, place = word_of(found, thread), shift_of(found)
            word = u32(memory[at])
            ranks[k] = (word >> place) & low
            memory[at] = u32(word + (u32(1) << place))
        cuda.syncthreads()
        total = u32(0)
        for k in range(8):
            counts[k] = u32(memory[padded(u32(thread * eight + u32(k)))])
            total = u32(total + counts[k])
        first, everything = block_exclusive_sum_with_total(total)
        first = u32(first + (everything << half))
        for k in range(8):
            memory[padded(u32(thread * eight + u32(k)))] = first
            first = u32(first + counts[k])
        cuda.syncthreads()
        for k in range(items):
            found = digit(keys[k], shift, mask)
            word = u32(memory[word_of(found, thread)])
            ranks[k] += (word >> shift_of(found)) & low

    return rank


@functools.cache
def _scatter(arrangement, threads, items):
    """``scatter(memory, mine, ranks)``: an exchange, a word of 32 bits at a time, so that little memory does."""
    to = ARRANGEMENTS[arrangement](threads, items)

    @kernel_function
    def scatter(memory, mine, ranks):
        thread = u32(thread_index())
        for word in range(len(to_words(mine[0]))):
            cuda.syncthreads()
            for k in range(items):
                memory[padded(u32(ranks[k]))] = to_words(mine[k])[word]
            cuda.syncthreads()
            for k in range(items):
                found = with_word(to_words(mine[k]), word, memory[padded(to(thread, k))])
                mine[k] = from_words(found, mine[k])

    return scatter


# --- merge sort -------------------------------------------------------------------------------------------------------


def block_merge_sort(dtype, threads, items, compare=ascending, values=None):
    """Make the device function that sorts the keys of a block by any comparison.

    Parameters
    ----------
    dtype : dtype
        Of the keys, any number.
    threads : int or tuple of int
        The block.
    items : int
        Keys of each thread.
    compare : function, optional
        ``compare(x, y)``: whether x must stand before y; a device function, or a Python function that can become one.
        By default the order of ``numpy.sort``, in which NaN is last and complex numbers are ordered by their real
        parts first; its reverse is `descending`.
    values : dtype, optional
        Of values that go with the keys.

    Returns
    -------
    sort : device function
        ``sort(keys)``, or ``sort(keys, values)``: arrays of the thread's items, sorted in place, blocked. Stable.

    Notes
    -----
    Each of the log2(threads) merges costs two barriers. The tile lies in shared memory, its values too.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import block_load, block_merge_sort, block_store
    >>> def last_digit(x, y):
    ...     return x % 10 < y % 10
    >>> load = block_load(np.int32, threads=8, items=2)
    >>> sort = block_merge_sort(np.int32, threads=8, items=2, compare=last_digit)
    >>> store = block_store(np.int32, threads=8, items=2)
    >>> @cuda.jit
    ... def kernel(x):
    ...     keys = cuda.local.array(2, np.int32)
    ...     load(x, 0, keys)
    ...     sort(keys)
    ...     store(x, 0, keys)
    >>> x = np.arange(30, 46, dtype=np.int32)
    >>> kernel[1, 8](x)
    >>> x
    array([30, 40, 31, 41, 32, 42, 33, 43, 34, 44, 35, 45, 36, 37, 38, 39],
          dtype=int32)
    """
    values = None if values is None else np.dtype(values)
    return _merge_sort(np.dtype(dtype), *extent(threads, items), compare, values)


@functools.lru_cache(maxsize=1024)
def _merge_sort(dtype, threads, items, compare, values):
    before = kernel_function(compare) if type(compare) is type(extent) else compare
    native, tile = native_type(dtype), threads * items
    paired = native if values is None else native_type(values)
    size, rooms = _padded_size(tile), _padded_size(tile) if values is not None else 1
    fits(size * dtype.itemsize + (0 if values is None else size * values.itemsize), "block_merge_sort")

    @kernel_function
    def sort_own(keys, others):
        for i in range(items):
            for j in range(items - 1):
                if (i + j) & 1 == 0 and before(keys[j + 1], keys[j]):
                    key = keys[j]
                    keys[j] = keys[j + 1]
                    keys[j + 1] = key
                    if others is not None:
                        other = others[j]
                        others[j] = others[j + 1]
                        others[j + 1] = other

    @kernel_function
    def from_first(memory, first, second, diagonal, length, other):
        """How many of the first `diagonal` elements of a merge come from the first run."""
        low, high = max(0, diagonal - other), min(diagonal, length)
        while low < high:
            middle = (low + high) >> 1
            if before(memory[padded(u32(second + diagonal - 1 - middle))], memory[padded(u32(first + middle))]):
                high = middle
            else:
                low = middle + 1
        return low

    @kernel_function
    def merge(memory, companions, keys, others, width):
        at = thread_index() * items
        cuda.syncthreads()
        for k in range(items):
            memory[padded(u32(at + k))] = keys[k]
            if others is not None:
                companions[padded(u32(at + k))] = others[k]
        cuda.syncthreads()
        first = at // (2 * width) * (2 * width)
        second = min(first + width, tile)
        end = min(first + 2 * width, tile)
        taken = from_first(memory, first, second, at - first, second - first, end - second)
        i, j = first + taken, second + at - first - taken
        for k in range(items):
            take = j >= end
            if i < second and j < end:
                take = not before(memory[padded(u32(j))], memory[padded(u32(i))])
            source = padded(u32(i if take else j))
            keys[k] = memory[source]
            if others is not None:
                others[k] = companions[source]
            if take:
                i += 1
            else:
                j += 1

    @kernel_function
    def sort_pairs(keys, others):
        memory, companions = cuda.shared.array(size, native), cuda.shared.array(rooms, paired)
        sort_own(keys, others)
        width = items
        while width < tile:
            merge(memory, companions, keys, others, width)
            width *= 2

    @kernel_function
    def sort(keys):
        sort_pairs(keys, None)

    return sort if values is None else sort_pairs

"""Sums and dot products that are rounded once.

    s[j] = round(sum over i of x[j, i])        or of x[j, i] y[j, i], products and sum being exact

Every thread adds what it reads to a fixed-point accumulator of its own (`kernels.device.exact`); accumulators of a
group of threads, then of blocks, are added up as integers, and whoever comes last rounds. Integers add up to the same
in any order, so the bits do not depend on the launch, the card, or the simulator.

One kernel serves all layouts. A block has a group of threads for each result, and several blocks may work for one
result: `Shape` says how many. Where the reduced axis is contiguous, the threads of a group are neighbours and read
vectors; where the kept one is, neighbouring threads belong to neighbouring results.
"""

import functools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import cuda, types

from ..device.exact import capacity, carry, clear, float_bits, merge, noter, raw_adder, raw_rounder, rows
from ..device.instructions import SIMULATED
from ..device.memory import unraveler
from ..device.ptx import declared
from ..runtime.arrays import Pointer
from ..runtime.launch import Launch, Program, code, raw
from ..runtime.layouts import collapse
from ..runtime.scratch import COUNTERS
from .layout import power_below

DTYPES = tuple(map(np.dtype, (np.float16, np.float32, np.float64)))

#: Widest access of a thread, in bytes.
VECTOR = 16

device_code = cuda.jit(device=True)

#: Results that a thread looks at together.
SCANNED = 2 if SIMULATED else 8

#: What the kernels have floats as.
_WORDS = {2: types.uint16, 4: types.uint32, 8: types.uint64}


# --- reference --------------------------------------------------------------------------------------------------------


def exact_sum(values, others=None, dtype=None):
    """The sum of one-dimensional `values`, or of their products with `others`, rounded once to `dtype`.

    By Python's fractions: the specification of the kernels.

    Examples
    --------
    >>> import numpy as np
    >>> float(exact_sum(np.array([1e300, 1.0, -1e300])))
    1.0
    """
    values = np.asarray(values)
    dtype = np.dtype(dtype or values.dtype)
    factors = [values.tolist()] + ([np.asarray(others).tolist()] if others is not None else [])
    terms = list(zip(*factors, strict=True))
    special = [math.prod(term) for term in terms if not all(map(math.isfinite, term))]
    if special:
        # math.prod of an infinity and a finite number neither overflows nor is it finite.
        return dtype.type(sum(special))
    return rounded(sum((math.prod(map(Fraction, term)) for term in terms), Fraction(0)), dtype)


def rounded(value, dtype):
    """A fraction as the nearest float of a dtype, ties to even, infinite beyond the largest."""
    limits = np.finfo(dtype)
    precision, smallest = limits.nmant + 1, int(limits.minexp)
    if value == 0:
        return limits.dtype.type(0)
    exponent = abs(value).numerator.bit_length() - value.denominator.bit_length()
    exponent -= Fraction(2) ** exponent > abs(value)
    unit = Fraction(2) ** (max(exponent, smallest) - precision + 1)
    found = round(value / unit) * unit
    if abs(found) >= Fraction(2) ** int(limits.maxexp):
        return limits.dtype.type(np.inf if found > 0 else -np.inf)
    return limits.dtype.type(math.copysign(float(found), value))


# --- device helpers ---------------------------------------------------------------------------------------------------


@functools.cache
def _reader(width, count):
    """``read(pointer, at, step)``: `count` vectors of `width` neighbours, `step` elements apart, as one tuple.

    Loads come before what is made of them, so that all are under way together.
    """

    def define(typingctx, pointer, at, step):
        native = pointer.dtype
        bits = 8 if native == types.boolean else native.bitwidth
        # NVVM turns a load of <16 x i8> into four of 4 bytes: narrow elements are cut out of words of 32 bits.
        word = ir.IntType(min(max(bits, 32), width * bits))
        words, narrow = width * bits // word.width, ir.IntType(bits)

        def codegen(context, builder, signature, args):
            found, offset = [], args[1]
            for _ in range(count):
                address = builder.bitcast(builder.gep(args[0], [offset]), ir.VectorType(word, words).as_pointer())
                vector = builder.load(address, align=width * bits // 8)
                for element in range(width):
                    place, shift = divmod(element * bits, word.width)
                    value = builder.extract_element(vector, ir.IntType(32)(place))
                    value = builder.lshr(value, word(shift)) if shift else value
                    found.append(builder.trunc(value, narrow) if bits < word.width else value)
                offset = builder.add(offset, args[2])
            if native == types.boolean:
                found = [builder.icmp_unsigned("!=", value, narrow(0)) for value in found]
            return context.make_tuple(builder, signature.return_type, found)

        return types.UniTuple(native, width * count)(pointer, types.int64, types.int64), codegen

    return declared(define, _plain_reader(width, count))


def _plain_reader(width, count):
    """What `_reader` means: tuples put together by halves."""
    if width == count == 1:
        return device_code(lambda x, at, step: (x[at],))
    half = _plain_reader(width, count // 2) if count > 1 else _plain_reader(width // 2, 1)
    if count > 1:
        return device_code(lambda x, at, step: half(x, at, step) + half(x, at + step * (count // 2), step))
    return device_code(lambda x, at, step: half(x, at, step) + half(x, at + width // 2, step))


@functools.cache
def _each(function, operands):
    """``each(cells, column, xs, ...)``: ``function(cells, column, x, ...)`` of all elements of equal tuples.

    Returns whether one of the calls returned true.
    """

    def define(typingctx, cells, column, *tuples):
        callee = typingctx.resolve_value_type(function)
        inner = typingctx.resolve_function_type(callee, (cells, column, *(each.dtype for each in tuples)), {})

        def codegen(context, builder, signature, args):
            implementation = context.get_function(callee, inner)
            context.add_linking_libs(getattr(implementation, "libs", ()))
            found = context.get_constant(types.boolean, False)
            for k in range(len(tuples[0])):
                elements = [builder.extract_value(each, k) for each in args[2:]]
                found = builder.or_(found, implementation(builder, (*args[:2], *elements)))
            return found

        return types.boolean(cells, column, *tuples), codegen

    def of_one(cells, column, xs):
        found = False
        for x in xs:
            found |= function(cells, column, x)
        return found

    def of_two(cells, column, xs, ys):
        found = False
        for k in range(len(xs)):
            found |= function(cells, column, xs[k], ys[k])
        return found

    def of_three(cells, column, xs, ys, zs):
        found = False
        for k in range(len(xs)):
            found |= function(cells, column, xs[k], ys[k], zs[k])
        return found

    if operands == 1:
        return declared(lambda typingctx, cells, column, a: define(typingctx, cells, column, a), of_one)
    if operands == 2:
        return declared(lambda typingctx, cells, column, a, b: define(typingctx, cells, column, a, b), of_two)
    return declared(lambda typingctx, cells, column, a, b, c: define(typingctx, cells, column, a, b, c), of_three)


def _plus(count):
    """``plus(xs, ys)``: the sums of the parts of two tuples, of the first `count` of them."""
    if count == 1:
        return device_code(lambda xs, ys: (xs[0] + ys[0],))
    fewer, last = _plus(count - 1), count - 1
    return device_code(lambda xs, ys: (*fewer(xs, ys), xs[last] + ys[last]))


def _times(count):
    """``times(xs, n)``: the parts of a tuple, each multiplied by a number."""
    if count == 1:
        return device_code(lambda xs, n: (xs[0] * n,))
    fewer, last = _times(count - 1), count - 1
    return device_code(lambda xs, n: (*fewer(xs, n), xs[last] * n))


@functools.cache
def _converter(given, dtype):
    """``convert(x)``: what was read of an array, a float by its bits, as the bits of a float of `dtype`."""
    if given == dtype:
        return device_code(lambda x: x)
    bits, native = float_bits(dtype), types.float64 if dtype == np.float64 else types.float32
    if given == np.float64:
        return device_code(lambda x: bits(native(cuda.libdevice.longlong_as_double(types.int64(x)))))
    if given == np.float32:
        return device_code(lambda x: bits(native(cuda.libdevice.int_as_float(types.int32(x)))))
    if given == np.float16:
        return device_code(lambda x: bits(native(cuda.libdevice.half2float(types.int16(x)))))
    return device_code(lambda x: bits(native(x)))


@functools.cache
def _where(function, dtype, given, masked):
    """`function` of an element, or of two, and of the mask: what the mask leaves out is zero."""
    zero = _WORDS[np.dtype(dtype).itemsize](0)
    first, second = _converter(given[0], dtype), _converter(given[-1], dtype)
    if len(given) == 1 and not masked:
        return device_code(lambda cells, column, x: function(cells, column, first(x)))
    if len(given) == 1:
        return device_code(lambda cells, column, x, keep: function(cells, column, first(x) if keep else zero))
    if not masked:
        return device_code(lambda cells, column, x, y: function(cells, column, first(x), second(y)))
    return device_code(
        lambda cells, column, x, y, keep: function(
            cells, column, first(x) if keep else zero, second(y) if keep else zero
        )
    )


@functools.cache
def _folder(dtype, given, masked, width, count):
    """``fold(cells, column, sources, at, step)``: adds `count` vectors of all sources, `step` elements apart."""
    factors = len(given)
    read, operands = _reader(width, count), factors + masked
    add = _each(_where(raw_adder(dtype, factors), dtype, given, masked), operands)
    note = _each(_where(noter(dtype, factors), dtype, given, masked), operands)

    def fold_one(cells, column, sources, at, step):
        xs = read(sources[0], at[0], step[0])
        if add(cells, column, xs):
            note(cells, column, xs)

    def fold_two(cells, column, sources, at, step):
        xs, ys = read(sources[0], at[0], step[0]), read(sources[1], at[1], step[1])
        if add(cells, column, xs, ys):
            note(cells, column, xs, ys)

    def fold_three(cells, column, sources, at, step):
        xs, ys = read(sources[0], at[0], step[0]), read(sources[1], at[1], step[1])
        zs = read(sources[2], at[2], step[2])
        if add(cells, column, xs, ys, zs):
            note(cells, column, xs, ys, zs)

    return device_code((fold_one, fold_two, fold_three)[operands - 1])


@functools.cache
def _beginner(dtype, factors):
    """``begin(cells, column, bits)``: adds a float by its bits, as a product with one where `factors` is 2."""
    one = int(np.array(1, dtype).view(f"u{np.dtype(dtype).itemsize}"))
    word = _WORDS[max(np.dtype(dtype).itemsize, 4)]
    add, note = raw_adder(dtype, factors), noter(dtype, factors)

    @device_code
    def begin(cells, column, bits):
        if factors == 1:
            if add(cells, column, word(bits)):
                note(cells, column, word(bits))
        else:
            if add(cells, column, word(bits), word(one)):
                note(cells, column, word(bits), word(one))

    return begin


def _sum(dtype, result, factors):
    """``round(cells, column, divisor)``: the bits of the result."""
    rounded = raw_rounder(dtype, result, factors)
    return device_code(lambda cells, column, divisor: rounded(cells, column))


def _quotient(dtype, result, factors):
    """``round(cells, column, divisor)``: the bits of the sum in float64, divided."""
    rounded, bits = raw_rounder(dtype, np.float64, factors), float_bits(result)
    native = types.float64 if result == np.float64 else types.float32

    @device_code
    def quotient(cells, column, divisor):
        total = cuda.libdevice.longlong_as_double(types.int64(rounded(cells, column)))
        return bits(native(total / divisor))

    return quotient


# --- kernel -----------------------------------------------------------------------------------------------------------


@functools.cache
def kernel_of(dtype, result, given, masked, width, across, simple, long, threads, count, mean, redo):
    """The kernel of exact sums.

    Parameters
    ----------
    dtype, result : dtype
        Of what is added, and of the results.
    given : tuple of dtype
        Of the sources: two for sums of products.
    masked : bool
        Whether a mask of booleans follows the sources.
    width : int
        Neighbours along the reduced axis that a thread reads at once.
    across : bool
        Whether neighbouring threads belong to neighbouring results, rather than to one.
    simple : bool
        Whether there is one reduced axis.
    long : bool
        Whether a count needs 64 bits.
    threads : int
        Of a block.
    count : int
        Vectors that a thread has under way.
    mean : bool
        Whether a sum, rounded to float64, is divided.
    redo : bool
        Whether only those results are computed that are NaN so far.
    """
    index = types.int64 if SIMULATED else types.uint64 if long else types.uint32
    factors, operands = len(given), len(given) + masked
    height = rows(dtype, factors)
    rounds = max(min(capacity(dtype, factors), 1 << 20) // (width * count), 1)
    several, single, element = (
        _folder(dtype, given, masked, w, n) for w, n in ((width, count), (width, 1), (1, 1))
    )  # fmt: skip
    kept_at, reduced_at = unraveler(operands + 1), unraveler(operands)
    word = _WORDS[np.dtype(result).itemsize]
    round_ = _quotient(dtype, result, factors) if mean else _sum(dtype, result, factors)
    plus, times, offsets = _plus(operands), _times(operands), _plus(operands + 1)
    begin_with = _beginner(dtype, factors)
    infinity = int(np.array(np.inf, result).view(f"u{np.dtype(result).itemsize}"))
    positive = (1 << 8 * np.dtype(result).itemsize - 1) - 1

    @device_code
    def fold(cells, column, sources, bases, length, reduced, steps, i, stride):
        """Add elements i, i + stride, i + 2 stride ... (vectors of them, where one reduced axis is contiguous)."""
        left = rounds
        if simple:
            wide = index(length // index(width))
            jump = times(steps, types.int64(stride) * width)
            while i + stride * index(count - 1) < wide:
                several(cells, column, sources, plus(bases, times(steps, types.int64(i) * width)), jump)
                i = index(i + stride * index(count))
                left -= 1
                if left == 0:
                    carry(cells, column)
                    left = rounds
            carry(cells, column)
            while i < wide:
                single(cells, column, sources, plus(bases, times(steps, types.int64(i) * width)), jump)
                i = index(i + stride)
            i = index(i - wide + wide * index(width))
            while i < length:
                element(cells, column, sources, plus(bases, times(steps, types.int64(i))), jump)
                i = index(i + stride)
        else:
            left *= count
            while i < length:
                at = plus(bases, reduced_at(i, reduced, steps))
                element(cells, column, sources, at, bases)
                i = index(i + stride)
                left -= 1
                if left == 0:
                    carry(cells, column)
                    left = rounds * count

    @device_code
    def is_nan(outs, at):
        return (outs[0][at[operands]] & word(positive)) > word(infinity)

    @cuda.jit
    def exact_kernel(
        results,
        share,
        kept,
        kept_steps,
        length,
        reduced,
        steps,
        starts,
        initial,
        divisor,
        group,
        sources,
        outs,
        scratch,
    ):
        cells = cuda.shared.array((height, threads), types.int64)
        last = cuda.shared.array(1, types.int64)
        column = types.uint32(cuda.threadIdx.x)
        own, slot = column // types.uint32(group), column % types.uint32(group)
        first, step, abreast = own * types.uint32(group), types.uint32(1), types.uint32(threads) // types.uint32(group)
        if across:
            step = abreast
            own, slot = column % step, column // step
            first = own
        parts = types.uint32(cuda.gridDim.y)
        begin = index(index(cuda.blockIdx.x) * share)
        end = index(min(results, index(begin + share)))
        if redo:
            # All that is known is one look: a few thousand results a block take a few microseconds.
            lost = False
            i = index(begin + index(column))
            while i < end:
                for k in range(SCANNED):
                    result = index(min(index(i + index(k * threads)), index(results - index(1))))
                    lost |= is_nan(outs, offsets(kept_at(result, kept, kept_steps), starts))
                i = index(i + index(SCANNED * threads))
            if not cuda.syncthreads_or(types.int32(lost)):
                return
        while begin < end:
            result = index(begin + index(own))
            begin = index(begin + index(abreast))
            at = kept_at(min(result, index(results - index(1))), kept, kept_steps)
            at = offsets(at, starts)
            wanted = result < end
            if redo:
                wanted = wanted and is_nan(outs, at)
                if not cuda.syncthreads_or(types.int32(wanted)):
                    continue
            clear(cells, column)
            if wanted:
                if slot == types.uint32(0) and cuda.blockIdx.y == 0:
                    begin_with(cells, column, initial)
                i = index(index(cuda.blockIdx.y) * index(group) + index(slot))
                fold(cells, column, sources, at, length, reduced, steps, i, index(index(group) * index(parts)))
            merge(cells, first, step, types.uint32(group), slot)
            if parts > types.uint32(1):
                place = types.int64(result) * height
                if wanted:
                    for row in range(slot, height, group):
                        if cells[row, first]:
                            cuda.atomic.add(scratch, place + row, cells[row, first])
                cuda.threadfence()
                cuda.syncthreads()
                if column == types.uint32(0):
                    ticket = types.int64(results) * height + types.int64(cuda.blockIdx.x)
                    last[0] = cuda.atomic.add(scratch, ticket, 1)
                    if last[0] == types.int64(parts) - 1:
                        cuda.atomic.exch(scratch, ticket, 0)
                cuda.syncthreads()
                if last[0] != types.int64(parts) - 1:
                    return
                cuda.threadfence()
                if wanted:
                    for row in range(slot, height, group):
                        cells[row, first] = cuda.atomic.exch(scratch, place + row, 0)
                cuda.syncthreads()
            if slot == types.uint32(0) and wanted:
                outs[0][at[operands]] = word(round_(cells, first, divisor))
            cuda.syncthreads()

    return exact_kernel


# --- launch -----------------------------------------------------------------------------------------------------------


class Operand(NamedTuple):
    """How a source, the mask or the result lies in memory: element strides over the kept and over the reduced axes."""

    dtype: np.dtype
    kept: tuple
    reduced: tuple = ()
    alignment: int = 16


class Shape(NamedTuple):
    """Of a launch: threads of a block, threads of a block for each result, and blocks for each result.

    Results do not depend on it. `threads` and `group` are powers of two.
    """

    threads: int
    group: int
    parts: int
    across: bool


class ExactSum(NamedTuple):
    """A launch of exact sums, and how many zeros (int64) it needs to work with, which it leaves zeros again.

    ``launch(stream, *sources, *mask, result, *scratch)``, with addresses, or in the simulator NumPy arrays. Launches
    that may run at the same time need scratch memory of their own.
    """

    launch: object
    scratch: int


@functools.lru_cache(maxsize=4096)
def exact_sums(sources, mask, target, kept, reduced, device, name, shape=None, dtype=None, initial=0,
               divisor=None, redo=False):  # fmt: skip
    """The launch of sums of `sources[0]`, or of products of two sources, over the axes `reduced`.

    Parameters
    ----------
    sources : tuple of Operand
        One, or two for sums of products.
    mask : Operand or None
        Booleans: which elements count.
    target : Operand
        float16, float32 or float64; has kept axes only.
    kept, reduced : tuple of int
        Lengths of the axes. `kept` has no zero; the sum over no elements is 0.
    device : int
    name : str
        What error messages call it.
    shape : Shape, optional
        Otherwise the one that suits the layout.
    dtype : dtype, optional
        What elements are converted to: float16, float32 or float64. By default that of the sources.
    initial : float
        What else is added, rounded to that dtype.
    divisor : float, optional
        What sums are divided by, after they are rounded to float64.
    redo : bool
        Whether only those results are computed that are NaN so far.

    Returns
    -------
    exact_sum : ExactSum

    Raises
    ------
    TypeError
        For other dtypes.
    """
    given = tuple(x.dtype for x in sources)
    dtype = given[0] if dtype is None else dtype
    for each in (dtype, target.dtype):
        if each not in DTYPES:
            raise TypeError(f"exact sums are of float16, float32 and float64, not {each}")
    operands = (*sources, *((mask,) if mask else ()), target)
    inputs = operands[:-1]
    kept, kept_steps = _collapsed(kept, [x.kept for x in operands])
    reduced, steps = _collapsed(reduced, [x.reduced for x in inputs])
    results, length = math.prod(kept), math.prod(reduced)
    simple = len(reduced) == 1
    width = _width(inputs, kept_steps, reduced, steps, results) if simple else 1
    factors = len(sources)
    across = width == 1 and _nearer(kept_steps[0], steps[0])
    shape = shape or _shape(dtype, factors, results, length, width, across, device)
    long = max(results, length) >= 2**31
    kernel = kernel_of(dtype, target.dtype, given, mask is not None, width, shape.across, simple, long,
                       shape.threads, _count(width, factors) if simple else 1, divisor is not None,
                       redo)  # fmt: skip
    abreast = shape.threads // shape.group
    blocks = -(-results // abreast)
    share = abreast
    if redo and shape.parts == 1:
        share *= -(-blocks // _resident(dtype, factors, shape.threads, device))
    grid = -(-results // share), shape.parts
    leading = (results, share, kept, sum(kept_steps, ()), length, reduced, sum(steps, ()))
    bits = int(np.array(initial, dtype).view(f"u{dtype.itemsize}"))
    quotient_of = 1.0 if divisor is None else float(divisor)
    scratch = results * rows(dtype, factors) + grid[0] if shape.parts > 1 else 0
    if SIMULATED:
        return ExactSum(
            _Simulated(kernel[grid, shape.threads], leading, (np.uint64(bits), quotient_of, shape.group), len(inputs)),
            scratch,
        )
    signature = _signature(leading, long, inputs, target)
    fixed = [n for part in leading for n in (part if isinstance(part, tuple) else (part,))]
    pointers = [c for native in signature[11:13] for c in code(native)]
    array = [0, 0, scratch, 8, "Q" if scratch else 0, scratch, 8]
    words = [*fixed, *(0,) * len(operands), bits, *raw(quotient_of, types.float64), shape.group, *pointers, *array]
    configure = functools.partial(_configure, grid, shape.threads)
    return ExactSum(Launch(_program(kernel, signature), device, configure, words, name), scratch)


_program = functools.lru_cache(maxsize=4096)(Program)


def _configure(grid, threads, function):
    return (*grid, 1), (threads, 1, 1), 0


def _signature(leading, long, inputs, target):
    """Numba types of the kernel's arguments."""
    from numba.cuda.np.numpy_support import from_dtype

    def native(dtype):
        return _WORDS[dtype.itemsize] if dtype in DTYPES else from_dtype(dtype)

    count = types.uint64 if long else types.uint32
    several = [types.UniTuple(types.int64 if k in (3, 6) else count, len(leading[k])) for k in (2, 3, 5, 6)]
    return (
        count, count, *several[:2], count, *several[2:], types.UniTuple(types.int64, len(inputs) + 1), types.uint64,
        types.float64, types.uint32, types.Tuple([types.CPointer(native(x.dtype)) for x in inputs]),
        types.Tuple([types.CPointer(native(target.dtype))]), types.int64[::1],
    )  # fmt: skip


class _Simulated:
    """The launch in the simulator: arrays are the memory that they reach, as bits, and where in it they begin."""

    def __init__(self, configured, leading, after, inputs):
        self._configured, self._leading, self._after, self._inputs = configured, leading, after, inputs

    def __call__(self, stream, *arrays):
        """Launch; streams of a simulator are none."""
        flat, starts = zip(*map(_memory, arrays[: self._inputs + 1]), strict=True)
        scratch = arrays[self._inputs + 1] if len(arrays) > self._inputs + 1 else np.zeros(1, np.int64)
        self._configured(*self._leading, starts, *self._after, flat[:-1], flat[-1:], scratch)


def _memory(array):
    """The memory that an array or a `Pointer` reaches, floats as bits, and where in it the first element is."""
    flat, start = (array if isinstance(array, Pointer) else Pointer(array)).reach
    return flat.view(f"u{flat.itemsize}") if flat.dtype in DTYPES else flat, start


def _collapsed(lengths, strides):
    """The fewest axes that visit the same elements, neighbours of the first operand last."""
    lengths, found = collapse(lengths, strides[::-1])
    return lengths, found[::-1] if math.prod(lengths) != 1 else [(0,)] * len(strides)


def _nearer(kept, reduced):
    """Whether neighbours along the last kept axis are nearer than those along the last reduced one."""
    return 0 < abs(kept[-1]) and (abs(kept[-1]) < abs(reduced[-1]) or reduced[-1] == 0)


def _width(inputs, kept_steps, reduced, steps, results):
    """Neighbours that a thread reads at once: as many as 16 bytes hold and as all rows are aligned to."""
    if any(step[0] != 1 for step in steps):
        return 1
    width = VECTOR // max(x.dtype.itemsize for x in inputs)

    def fits(x, kept):
        rows_fit = results == 1 or all(step % width == 0 for step in kept)
        return x.alignment % (width * x.dtype.itemsize) == 0 and rows_fit

    while width > 1 and not all(map(fits, inputs, kept_steps)):
        width //= 2
    return width


# --- shapes of launches -----------------------------------------------------------------------------------------------

#: Bytes of shared memory that a block can have without asking, and that blocks of a multiprocessor have together.
_OF_BLOCK, _OF_MULTIPROCESSOR = 48 << 10, 227 << 10

#: Threads of a multiprocessor: what the kernels have registers for (64 a thread).
_RESIDENT = 1024


def _count(width, factors):
    """Vectors that a thread has under way."""
    if SIMULATED:
        return 2
    return 8 // factors if width == 1 else min(4, 16 // width) // factors


def _threads(dtype, factors):
    """Of a block: as many accumulators as fit into its shared memory."""
    if SIMULATED:
        return 32
    return min(power_below((_OF_BLOCK - 8) // (rows(dtype, factors) * 8)), 256)


def _multiprocessors(device):
    return 2 if SIMULATED else cuda.gpus[device].MULTIPROCESSOR_COUNT


def _resident(dtype, factors, threads, device):
    """Blocks that run at the same time."""
    used = threads * rows(dtype, factors) * 8 + 1024
    return _multiprocessors(device) * min(_OF_MULTIPROCESSOR // used, _RESIDENT // threads)


def _shape(dtype, factors, results, length, width, across, device):
    """The shape of a launch that keeps all multiprocessors busy."""
    threads = _threads(dtype, factors)
    blocks = _resident(dtype, factors, threads, device)
    # To clear, merge and round an accumulator costs as much as tens of additions.
    busy = power_below(2 * max(blocks * threads // results, 1) - 1)
    if across:
        group = min(busy, threads // min(power_below(2 * results - 1), 32), power_below(length // 32))
    else:
        near = min(power_below(length // 16), 8) if width == 1 else 1  # neighbouring threads read neighbouring elements
        group = min(max(near, power_below(length // 128), min(busy, power_below(length // 16))), threads)
    outer = -(-results // (threads // group))
    parts = max(min(blocks // outer, length // (group * 16 * width), _MOST_PARTS), 1)
    if (results * rows(dtype, factors) + outer) * 8 > 4 * COUNTERS:
        parts = 1
    return Shape(threads, group, parts, across)


#: Blocks for each result: with 256 threads each, fewer than the 2**20 infinities that an accumulator counts.
_MOST_PARTS = 4095

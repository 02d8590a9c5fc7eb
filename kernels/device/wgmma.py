r"""Tensor cores of a warpgroup: products of matrices that lie in shared memory (compute capability 9.0).

$$D_{ij} = D_{ij} + \sum_k A_{ik} B_{kj}$$

with A of 64 rows, B of n = 8, 16, ... 256 columns, and 32 bytes of k. The accumulators of warp w of the warpgroup have
rows $16 w + g + 8(\lfloor r/2\rfloor \bmod 2)$ and columns $8\lfloor r/4\rfloor + 2t + r \bmod 2$, with $g$ a lane's
number over 4 and $t$ the rest.

A matrix is described by 64 bits (`descriptor`): where it starts, two distances between blocks of 8 rows by 16 bytes,
and how 16-byte pieces of rows are exchanged (swizzled), which keeps the banks of shared memory apart: the address bits
from 4 on are combined by exclusive or with those from 7 on. With k contiguous ("k-major") and a swizzle of 128, 64 or
32 bytes, rows follow each other at that distance, and `stride` is between eight of them and the next; without a swizzle
8 rows of 16 bytes are together, `leading` is to the next 16 bytes of k. With rows of A or columns of B contiguous
("transposed", for 16 bits only), `leading` is to the next swizzle width of them, `stride` to the next 8 of k; without a
swizzle the other way round.

The instruction is asynchronous: `wgmma_fence` before the first, `wgmma_commit` after the last, and the accumulators and
the shared memory are not touched before `wgmma_wait_group`.

Source: PTX ISA, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate Operation".
"""

import functools

import numpy as np
from llvmlite import ir
from numba import cuda, njit, types
from numba.extending import intrinsic

from .accumulation import sum_of_floats, sum_of_integers
from .addresses import swizzled
from .ptx import ptx
from .twins import WGMMA, collective, commit, copy_later, pointer, wait

f32, i32, i64, u64, none = types.float32, types.int32, types.int64, types.uint64, types.none

#: Type of the elements: its bits, bits of its exponent and of its fraction; of integers whether it has a sign.
_KINDS = {
    "f16": (16, 5, 10), "bf16": (16, 8, 7), "tf32": (32, 8, 10), "s8": (8, True), "u8": (8, False),
}  # fmt: skip

#: What a descriptor says of a swizzle, by its width in bytes.
_MODES = {0: 0, 128: 1, 64: 2, 32: 3}


def descriptor(leading, stride, swizzle):
    """The constant part of a matrix descriptor; its lowest bits take the matrix's shared address over 16.

    Parameters
    ----------
    leading, stride : int
        Distances in bytes, multiples of 16.
    swizzle : {0, 32, 64, 128}
        Bytes.

    Returns
    -------
    bits : int
    """
    for name, value in (("leading", leading), ("stride", stride)):
        if value % 16 or not 0 <= value < 1 << 18:
            raise ValueError(f"{name}: a multiple of 16 below 2**18, not {value}")
    if swizzle not in _MODES:
        raise ValueError(f"swizzle: 0, 32, 64 or 128, not {swizzle}")
    return leading >> 4 << 16 | stride >> 4 << 32 | _MODES[swizzle] << 62


# --- where elements lie -----------------------------------------------------------------------------------------------


@njit
def _offset(bits, i, byte, k, transposed):
    """Distance from the shared memory's beginning of an element.

    Byte `byte` of row i of what is k-major; of what is transposed element i of row k, where the elements have 16 bits.
    """
    start, leading, stride = (bits & 0x3FFF) << 4, (bits >> 16 & 0x3FFF) << 4, (bits >> 32 & 0x3FFF) << 4
    mode = bits >> 62 & 3
    width = 0 if mode == 0 else 256 >> mode
    if transposed and width:
        across = width // 2
        at = start + i // across * leading + 2 * (i % across) + k // 8 * stride + width * (k % 8)
    elif transposed:
        at = start + i // 8 * stride + 2 * (i % 8) + k // 8 * leading + 16 * (k % 8)
    elif width:
        at = start + i // 8 * stride + width * (i % 8) + byte
    else:
        at = start + i // 8 * stride + 16 * (i % 8) + byte // 16 * leading + byte % 16
    return swizzled(at, width)


@njit
def _piece(bits, piece, transposed):
    """Distance likewise of 16 bytes of a matrix, by their number: two of each row, or one of 8 elements of each k."""
    if transposed:
        return _offset(bits, 8 * (piece >> 4), 0, piece & 15, True)
    return _offset(bits, piece >> 1, 16 * (piece & 1), 0, False)


@intrinsic
def _byte(typing_context, address):
    """The byte at an address."""

    def codegen(context, builder, signature, args):
        found = builder.load(builder.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return builder.zext(found, ir.IntType(64))

    return i64(i64), codegen


@functools.cache
def _reader(size, dropped, transposed):
    """What reads an element of a matrix in shared memory, given by where that begins and the descriptor."""

    @njit
    def read(matrix, i, k):
        base, bits = matrix
        at = base + _offset(bits, i, k * size, k, transposed)
        found = _byte(at)
        for n in range(1, size):
            found |= _byte(at + n) << (8 * n)
        return found >> dropped

    return read


# --- the instruction --------------------------------------------------------------------------------------------------


def _accumulators(kind, n):
    return types.UniTuple(i32 if kind in ("s8", "u8") else f32, n // 2)


def _multiply(n, kind, transposed_a, transposed_b):
    """The product of one warp's rows, for all its lanes."""
    bits = _KINDS[kind][0]
    size, depth = bits // 8, 256 // bits
    accumulators = _accumulators(kind, n)
    if kind in ("s8", "u8"):
        readers = _reader(1, 0, False), _reader(1, 0, False)
        add = sum_of_integers(*readers, *[_KINDS[kind][1]] * 2, depth)
    else:
        _, exponent_bits, fraction_bits = _KINDS[kind]
        dropped = bits - 1 - exponent_bits - fraction_bits
        readers = _reader(size, dropped, transposed_a), _reader(size, dropped, transposed_b)
        add = sum_of_floats(*readers, exponent_bits, fraction_bits, depth)
    number = np.int32 if kind in ("s8", "u8") else np.float32

    @collective(accumulators(accumulators, u64, u64, i32, i64, i32))
    def multiply(d, c, a, b, accumulate, base, warp):
        for lane in range(32):
            left, right = (base[lane, 0], np.int64(a[lane, 0])), (base[lane, 0], np.int64(b[lane, 0]))
            for r in range(n // 2):
                row = 16 * warp[lane, 0] + (lane >> 2) + 8 * (r >> 1 & 1)
                column = 8 * (r >> 2) + 2 * (lane & 3) + (r & 1)
                sum_ = np.int64(number(c[lane, r]).view(np.uint32)) if accumulate[lane, 0] else np.int64(0)
                d[lane, r] = np.uint32(add(left, right, row, column, 0, sum_)).view(number)

    return multiply


@functools.cache
def wgmma(n, kind, transposed_a=False, transposed_b=False):
    """The instruction ``d = wgmma(n, kind)(d, a, b, accumulate)``.

    Parameters
    ----------
    n : int
        Columns of B: a multiple of 8 to 256; of bytes 8, 16, 24, 32 and on by 16.
    kind : {"f16", "bf16", "tf32", "s8", "u8"}
        Type of the elements; the accumulators are float32, or int32.
    transposed_a, transposed_b : bool
        Whether rows of A, columns of B are contiguous; of 16-bit elements only.

    Returns
    -------
    instruction
        Of the accumulators, a tuple of n / 2; of the two descriptors; and of an int32, which is 0 if the accumulators
        are to begin from 0.
    """
    if kind not in _KINDS:
        raise ValueError(f"kind: one of {', '.join(_KINDS)}, not {kind!r}")
    if n % 8 or not 8 <= n <= 256 or (kind in ("s8", "u8") and n > 32 and n % 16):
        raise ValueError(f"n: {n} columns of {kind} are none that the instruction has")
    if (transposed_a or transposed_b) and _KINDS[kind][0] != 16:
        raise ValueError(f"transposed: for 16-bit elements only, not for {kind}")
    multiply = _multiply(n, kind, transposed_a, transposed_b)
    accumulators = _accumulators(kind, n)

    def mma(d, a, b, accumulate):
        base = pointer(0)
        block = cuda.blockDim
        thread = cuda.threadIdx.x + block.x * (cuda.threadIdx.y + block.y * cuda.threadIdx.z)
        # What the tensor cores read is read until it is waited for: each thread sees to its part of A and of B.
        first = thread & 127
        copy_later(WGMMA, 0, base + _piece(i64(a), first, transposed_a), 16)
        for piece in range(first, 2 * n, 128):
            copy_later(WGMMA, 0, base + _piece(i64(b), piece, transposed_b), 16)
        return multiply(d, a, b, accumulate, base, first >> 5)

    mma.__name__ = f"wgmma_n{n}_{kind}"
    mma.__doc__ = f"D += A B of a warpgroup, 64 x {n}, of {kind}."
    return ptx(_text(n, kind, transposed_a, transposed_b), accumulators(accumulators, u64, u64, i32))(mma)


def _text(n, kind, transposed_a, transposed_b):
    bits = _KINDS[kind][0]
    result = "s32" if bits == 8 else "f32"
    options = "" if bits == 8 else ", 1, 1"
    if bits == 16:
        options += f", {int(transposed_a)}, {int(transposed_b)}"
    name = f"wgmma.mma_async.sync.aligned.m64n{n}k{256 // bits}.{result}.{kind}.{kind}"
    return f"{{ .reg .pred p; setp.ne.b32 p, {{accumulate}}, 0; {name} {{{{d}}}}, {{a}}, {{b}}, p{options}; }}"


@ptx("wgmma.fence.sync.aligned;", none())
def wgmma_fence():
    """Order the registers and the shared memory that were written before the first `wgmma`."""


@ptx("wgmma.commit_group.sync.aligned;", none())
def wgmma_commit():
    """The products begun since the last time are a group."""
    commit(WGMMA)


@functools.cache
def wgmma_wait_group(groups, accumulators=None):
    """The instruction that waits for the products but those of the `groups` newest groups.

    With the type of accumulators it takes them and gives them back, so that nothing uses them before.
    """

    def waited():
        wait(WGMMA, groups)

    def passed(d):
        wait(WGMMA, groups)
        return d

    text = f"wgmma.wait_group.sync.aligned {groups};"
    return ptx(text, none())(waited) if accumulators is None else ptx(text, accumulators(accumulators))(passed)


def _setmaxnreg(change, count):
    def setmaxnreg():
        pass

    setmaxnreg.__doc__ = f"Have {count} registers a thread of this warpgroup."
    return ptx(f"setmaxnreg.{change}.sync.aligned.u32 {count};", none())(setmaxnreg)


@functools.cache
def setmaxnreg_inc(count):
    """The instruction that raises the registers of the warpgroup's threads to `count`."""
    return _setmaxnreg("inc", count)


@functools.cache
def setmaxnreg_dec(count):
    """The instruction that gives back the registers of the warpgroup's threads beyond `count`."""
    return _setmaxnreg("dec", count)

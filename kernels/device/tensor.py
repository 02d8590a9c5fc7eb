r"""Tensor cores: products of small matrices whose elements lie spread over the lanes of a warp.

$$D_{ij} = C_{ij} + \sum_k A_{ik} B_{kj}$$

with A of 16 rows, B of 8 columns. A lane's registers hold elements at fixed places: with $g$ its number over 4 and $t$
the rest, and $w$ elements in a register, register $r$ of A has row $g + 8(r \bmod 2)$, columns from
$wt + 4w\lfloor r/2\rfloor$ on; of B rows from $wt + 4wr$ on, column $g$; of C and D row $g + 8\lfloor r/2\rfloor$,
column $2t + r \bmod 2$.

Products of floats are exact, and added with truncation (`accumulation`); float64 is a chain of fused multiply-adds in
ascending k, integers are exact modulo 2^32.

Source: PTX ISA, "Warp Level Matrix Multiply-Accumulate Instructions".
"""

import functools

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from .accumulation import sum_of_floats, sum_of_integers
from .ptx import ptx, registers
from .twins import collective

u32, i32, f32, f64 = types.uint32, types.int32, types.float32, types.float64


# --- where elements lie ---------------------------------------------------------------------------------------------


@functools.cache
def _places(width, dropped=0):
    """What reads A by row and k, B by column and k, from registers of `width` elements; the bits without the lowest."""
    size = 32 // width
    mask = (1 << (size - dropped)) - 1

    @njit
    def of_left(a, row, k):
        word = a[4 * (row & 7) + k % (4 * width) // width, 2 * (k // (4 * width)) + (row >> 3)]
        return (np.int64(word) >> (size * (k % width) + dropped)) & mask

    @njit
    def of_right(b, column, k):
        word = b[4 * column + k % (4 * width) // width, k // (4 * width)]
        return (np.int64(word) >> (size * (k % width) + dropped)) & mask

    return of_left, of_right


def _floats(width, depth, exponent_bits, fraction_bits, together):
    """The product of matrices of floats, of which `together` terms of a sum are added at once."""
    places = _places(width, 32 // width - 1 - exponent_bits - fraction_bits)
    add = sum_of_floats(*places, exponent_bits, fraction_bits, together)

    def mma(d, a, b, c):
        for lane in range(32):
            for r in range(4):
                row, column = (lane >> 2) + 8 * (r >> 1), 2 * (lane & 3) + (r & 1)
                bits = np.int64(np.float32(c[lane, r]).view(np.uint32))
                for first in range(0, depth, together):
                    bits = add(a, b, row, column, first, bits)
                d[lane, r] = np.uint32(bits).view(np.float32)

    return mma


def _integers(depth, first_signed, second_signed):
    """The product of matrices of bytes, exact modulo 2^32."""
    add = sum_of_integers(*_places(4), first_signed, second_signed, depth)

    def mma(d, a, b, c):
        for lane in range(32):
            for r in range(4):
                row, column = (lane >> 2) + 8 * (r >> 1), 2 * (lane & 3) + (r & 1)
                d[lane, r] = np.int32(np.uint32(add(a, b, row, column, 0, np.int64(c[lane, r]))))

    return mma


@intrinsic
def _fma(typing_context, a, b, c):
    """a * b + c, rounded once."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args)

    return f64(f64, f64, f64), codegen


def _doubles(depth):
    """The product of matrices of float64: a chain of fused multiply-adds."""

    def mma(d, a, b, c):
        for lane in range(32):
            for r in range(4):
                row, column = (lane >> 2) + 8 * (r >> 1), 2 * (lane & 3) + (r & 1)
                total = c[lane, r]
                for k in range(depth):
                    x = a[4 * (row & 7) + (k & 3), 2 * (k >> 2) + (row >> 3)]
                    total = _fma(x, b[4 * column + (k & 3), k >> 2], total)
                d[lane, r] = total

    return mma


# --- the instructions -------------------------------------------------------------------------------------------------


def _mma(name, shape, layout, body, words, result=f32, operand=u32):
    left, right = words
    signature = registers(result, 4)(registers(operand, left), registers(operand, right), registers(result, 4))
    body.__name__ = name
    body.__doc__ = f"D = A B + C of a warp, ``mma.sync.{shape}`` of {layout.split('.')[1]}: ``d = {name}(a, b, c)``."
    text = f"mma.sync.aligned.{shape}.row.col.{layout} {{{{d}}}}, {{{{a}}}}, {{{{b}}}}, {{{{c}}}};"
    return ptx(text, signature, pure=True)(collective(signature)(body))


mma_m16n8k8_f16 = _mma("mma_m16n8k8_f16", "m16n8k8", "f32.f16.f16.f32", _floats(2, 8, 5, 10, 8), (2, 1))
mma_m16n8k16_f16 = _mma("mma_m16n8k16_f16", "m16n8k16", "f32.f16.f16.f32", _floats(2, 16, 5, 10, 16), (4, 2))
mma_m16n8k8_bf16 = _mma("mma_m16n8k8_bf16", "m16n8k8", "f32.bf16.bf16.f32", _floats(2, 8, 8, 7, 8), (2, 1))
mma_m16n8k16_bf16 = _mma("mma_m16n8k16_bf16", "m16n8k16", "f32.bf16.bf16.f32", _floats(2, 16, 8, 7, 16), (4, 2))
mma_m16n8k4_tf32 = _mma("mma_m16n8k4_tf32", "m16n8k4", "f32.tf32.tf32.f32", _floats(1, 4, 8, 10, 4), (2, 1))
mma_m16n8k8_tf32 = _mma("mma_m16n8k8_tf32", "m16n8k8", "f32.tf32.tf32.f32", _floats(1, 8, 8, 10, 8), (4, 2))
mma_m16n8k32_s8 = _mma("mma_m16n8k32_s8", "m16n8k32", "s32.s8.s8.s32", _integers(32, True, True), (4, 2), i32)
mma_m16n8k32_u8 = _mma("mma_m16n8k32_u8", "m16n8k32", "s32.u8.u8.s32", _integers(32, False, False), (4, 2), i32)
mma_m16n8k4_f64 = _mma("mma_m16n8k4_f64", "m16n8k4", "f64.f64.f64.f64", _doubles(4), (2, 1), f64, f64)
mma_m16n8k8_f64 = _mma("mma_m16n8k8_f64", "m16n8k8", "f64.f64.f64.f64", _doubles(8), (4, 2), f64, f64)
mma_m16n8k16_f64 = _mma("mma_m16n8k16_f64", "m16n8k16", "f64.f64.f64.f64", _doubles(16), (8, 4), f64, f64)

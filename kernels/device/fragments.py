"""Fragments of matrices between shared memory and registers: ``ldmatrix`` and ``stmatrix``.

A matrix has 8 rows of 16 bytes, which lie anywhere in shared memory. Lane l gives the address of row l mod 8 of matrix
l // 8, at a multiple of 16 bytes, and takes or gives word l mod 4 of row l // 4 of each: the places that `tensor` has
for elements of 16 bits. Transposed, it is rows 2 (l mod 4) and the next of column l // 4.

Source: PTX ISA, "ldmatrix" and "stmatrix".
"""

from numba import cuda, types

from .ptx import ptx, registers
from .twins import check, collective, load, pointer, store

u16, u32, none = types.uint16, types.uint32, types.none
ROW = 16
u32x4 = types.UniTuple(u32, 4)


def _spread(count, transposed):
    """What gives lanes their words of rows that lanes have."""

    @collective(registers(u32, count)(u32x4))
    def spread(d, rows):
        for lane in range(32):
            g, t = lane >> 2, lane & 3
            for m in range(count):
                if transposed:
                    low = rows[8 * m + 2 * t, g >> 1] >> (16 * (g & 1)) & 0xFFFF
                    high = rows[8 * m + 2 * t + 1, g >> 1] >> (16 * (g & 1)) & 0xFFFF
                    d[lane, m] = low | high << 16
                else:
                    d[lane, m] = rows[8 * m + g, t]

    return spread


def _gather(count, transposed):
    """What gives lanes their rows of words that lanes have."""

    @collective(u32x4(registers(u32, count)))
    def gather(d, words):
        for lane in range(8 * count):
            m, row = lane >> 3, lane & 7
            for k in range(4):
                if transposed:
                    low = words[8 * k + (row >> 1), m] >> (16 * (row & 1)) & 0xFFFF
                    high = words[8 * k + 4 + (row >> 1), m] >> (16 * (row & 1)) & 0xFFFF
                    d[lane, k] = low | high << 16
                else:
                    d[lane, k] = words[4 * row + k, m]

    return gather


def _name(kind, count, transposed):
    return f"{kind}_x{count}" + ("_trans" if transposed else "")


def _text(kind, count, transposed):
    operands = "{{d}}, [{address}]" if kind == "ldmatrix" else "[{address}], {{words}}"
    return f"{kind}.sync.aligned.m8n8.x{count}{'.trans' if transposed else ''}.shared.b16 {operands};"


def _ldmatrix(count, transposed=False):
    spread = _spread(count, transposed)

    def ldmatrix(address):
        zero = u32(0)
        row = zero, zero, zero, zero
        if cuda.laneid < 8 * count:
            at = pointer(address)
            check(at, ROW, 0)
            row = load(u32, at), load(u32, at + 4), load(u32, at + 8), load(u32, at + 12)
        return spread(row)

    ldmatrix.__name__ = _name("ldmatrix", count, transposed)
    ldmatrix.__doc__ = f"Load x{count} matrices from shared memory: a uint32 of each, a tuple if there are several."
    return ptx(_text("ldmatrix", count, transposed), registers(u32, count)(u32))(ldmatrix)


def _stmatrix(count, transposed=False):
    gather = _gather(count, transposed)

    def stmatrix(address, words):
        row = gather(words)
        if cuda.laneid < 8 * count:
            at = pointer(address)
            check(at, ROW, 1)
            store(at, row[0])
            store(at + 4, row[1])
            store(at + 8, row[2])
            store(at + 12, row[3])

    stmatrix.__name__ = _name("stmatrix", count, transposed)
    stmatrix.__doc__ = (
        f"Store x{count} matrices to shared memory, of which a lane has a uint32 each (compute capability 9.0)."
    )
    return ptx(_text("stmatrix", count, transposed), none(u32, registers(u32, count)))(stmatrix)


ldmatrix_x1, ldmatrix_x2, ldmatrix_x4 = (_ldmatrix(count) for count in (1, 2, 4))
ldmatrix_x1_trans, ldmatrix_x2_trans, ldmatrix_x4_trans = (_ldmatrix(count, True) for count in (1, 2, 4))
stmatrix_x1, stmatrix_x2, stmatrix_x4 = (_stmatrix(count) for count in (1, 2, 4))
stmatrix_x1_trans, stmatrix_x2_trans, stmatrix_x4_trans = (_stmatrix(count, True) for count in (1, 2, 4))

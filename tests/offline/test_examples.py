"""What becomes of the kernels of the examples: registers, and instructions of 16 bytes."""

import numpy as np
import pytest
from numba import types

from kernels import inspect
from kernels.examples.layer_norm import kernels_of

ROWS = {"held": 0, "long": 1}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(
    ("dtype", "width", "moves"),
    [("float16", 8, 4), ("float32", 4, 8), ("float32", 1, 0), ("float64", 2, 8)],
)
def test_a_row_stays_in_registers_and_moves_16_bytes_an_instruction(dtype, width, moves, rows):
    matrix = getattr(types, dtype)[:, ::1]
    number = types.float64 if dtype == "float64" else types.float32
    report = inspect.compile(kernels_of(np.dtype(dtype), width)[ROWS[rows]], (matrix, matrix, number), (9, 0))
    assert (report.spills, report.local) == (0, 0)
    assert report.float64 == (dtype == "float64")
    twice = 1 + ROWS[rows]
    assert (report.wide_loads, report.wide_stores) == (twice * moves, twice * moves)
    if dtype != "float64":
        assert report.registers <= 64


def test_a_row_that_is_held_is_loaded_before_it_is_used():
    matrix = types.float32[:, ::1]
    report = inspect.compile(kernels_of(np.dtype(np.float32), 4)[0], (matrix, matrix, types.float32), (9, 0))
    order = ["LDG" in line for line in report.sass.splitlines() if "LDG.E.128" in line or " FADD " in line]
    assert order[:8] == [True] * 8

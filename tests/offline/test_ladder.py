"""What becomes of the rungs of the sum's ladder: each has the instructions that it is there to show."""

import pytest
from numba import types

from kernels import inspect
from kernels.reductions import ladder

FLOATS, COUNTERS = types.float32[::1], types.uint32[::1]
#: Instructions of each rung, at least: loads of single elements, loads of 16 bytes, shuffles, atomics, barriers.
SHOWN = {
    "atomics": {"LDG": 1},
    "shared_memory": {"LDS": 2, "BAR": 1},
    "shuffles": {"SHFL": 10, "BAR": 1},
    "strided": {"LDG": 4, "SHFL": 10},
    "vector_loads": {"LDG.128": 5, "SHFL": 10},
    "one_launch": {"LDG.128": 5, "SHFL": 20, "ATOMG": 1},
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_rung_spills_nothing_and_shows_what_it_is_named_for(name):
    arrays = (FLOATS, FLOATS, FLOATS, COUNTERS) if name == "one_launch" else (FLOATS, FLOATS)
    report = inspect.compile(getattr(ladder, name), arrays, (9, 0))
    assert (report.spills, report.local, report.float64) == (0, 0, False)
    for instruction, count in SHOWN[name].items():
        assert report.histogram.get(instruction, 0) >= count, instruction


def test_the_loop_of_vectors_has_four_loads_under_way():
    report = inspect.compile(ladder.vector_loads, (FLOATS, FLOATS), (9, 0))
    lines = [line for line in report.sass.splitlines() if " LDG.E.128 " in line or " FADD " in line]
    loads = ["LDG" in line for line in lines]
    assert loads[:4] == [True] * 4


def test_an_atomic_that_nobody_waits_for_returns_nothing():
    assert " REDG.E.ADD" in inspect.compile(ladder.atomics, (FLOATS, FLOATS), (9, 0)).sass

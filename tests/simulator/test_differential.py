"""Random kernels with defined bits: the engines agree in every bit, under every schedule, and with a GPU."""

import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kernels.runtime import gpu_problem
from kernels.testing import assert_equal_bits, programs

# A program takes two seconds to compile for the CPU. 300 of them: `python -m kernels.testing.programs`.
EXAMPLES = int(os.environ.get("KERNELS_DIFFERENTIAL_EXAMPLES", "8"))
# To shrink a difference takes hundreds of compilations, so it is done on request.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if EXAMPLES > 8 else [])]
bounded = settings(max_examples=EXAMPLES, phases=PHASES)

data_seeds = st.integers(0, 2**32 - 1)
schedules = st.integers(1, 2**31 - 1)


def assert_same_memory(program, actual, expected):
    for array, mine, theirs in zip(program.arrays, actual, expected, strict=True):
        assert_equal_bits(mine, theirs, function=array.name)


@bounded
@given(program=programs.kernels(), data=data_seeds, schedule=schedules)
def test_both_engines_give_the_same_bits_under_every_schedule(program, data, schedule):
    expected = programs.run(program, "compiled", data, seed=0)
    assert_same_memory(program, programs.run(program, "interpreted", data, seed=0), expected)
    for engine in ("compiled", "interpreted"):
        assert_same_memory(program, programs.run(program, engine, data, seed=schedule), expected)


@bounded
@given(program=programs.kernels(), data=data_seeds)
def test_checks_change_no_bit(program, data):
    expected = programs.run(program, "interpreted", data, checks="none")
    assert_same_memory(program, programs.run(program, "interpreted", data, checks="all"), expected)


@pytest.mark.skipif(bool(gpu_problem()), reason=gpu_problem() or "there is a GPU")
@bounded
@given(program=programs.kernels(), data=data_seeds)
def test_a_gpu_gives_the_same_bits(program, data):
    expected = programs.run(program, "cuda", data)
    for engine in ("compiled", "interpreted"):
        assert_same_memory(program, programs.run(program, engine, data), expected)

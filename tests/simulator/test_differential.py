"""Random kernels with defined bits: the engines agree in every bit, under every schedule, and with a GPU."""

import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis.strategies import integers

from kernels.runtime import gpu_problem
from kernels.testing import assert_equal_bits, programs, strategies

# A program takes half a second to compile for the CPU. 300 large ones: `python -m kernels.testing.programs`.
CHOSEN = os.environ.get("KERNELS_DIFFERENTIAL_EXAMPLES")
EXAMPLES = int(CHOSEN or 40)
# To shrink a difference takes hundreds of compilations, so it is done on request.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if CHOSEN else [])]
bounded = settings(max_examples=EXAMPLES, phases=PHASES)

seeds = integers(0, 2**32 - 1)


def assert_same_memory(program, actual, expected):
    for array, mine, theirs in zip(program.arrays, actual, expected, strict=True):
        assert_equal_bits(mine, theirs, function=array.name)


@bounded
@given(program=programs.kernels(), data=seeds, schedule=strategies.schedules())
def test_both_engines_give_the_same_bits_under_every_schedule(program, data, schedule):
    expected = programs.run(program, "compiled", data, seed=0)
    assert_same_memory(program, programs.run(program, "interpreted", data, seed=0), expected)
    for engine in ("compiled", "interpreted"):
        assert_same_memory(program, programs.run(program, engine, data, seed=schedule), expected)


@bounded
@given(program=programs.kernels(), data=seeds)
def test_checks_change_no_bit(program, data):
    expected = programs.run(program, "interpreted", data, checks="none")
    assert_same_memory(program, programs.run(program, "interpreted", data, checks="all"), expected)


@pytest.mark.skipif(bool(gpu_problem()), reason=gpu_problem() or "there is a GPU")
@bounded
@given(program=programs.kernels(), data=seeds)
def test_a_gpu_gives_the_same_bits(program, data):
    expected = programs.run(program, "cuda", data)
    for engine in ("compiled", "interpreted"):
        assert_same_memory(program, programs.run(program, engine, data), expected)

"""Mutants have one fault each, and a good test kills them."""

import numpy as np
import pytest

from kernels.testing import mutants

FACTOR = 3


def clamp_add(x, y, out, n, *, limit=100):
    """Add, element by element, up to a limit."""
    for i in range(n):
        if i < out.size:
            total = x[i] - y[i] * FACTOR
            out[i] = total if total < limit else limit


def run(function, n=8):
    x, y, out = np.arange(8.0) * 50, np.arange(8.0)[::-1], np.full(8, -1.0)
    function(x, y, out, n)
    return out


def agrees(function):
    try:
        return np.array_equal(run(function), run(clamp_add))
    except IndexError:
        return False


def test_the_faults_are_described_by_line_and_by_what_changed():
    first = clamp_add.__code__.co_firstlineno
    described = [text for text, _ in mutants(clamp_add)]
    assert len(described) == len(set(described))
    assert f"line {first + 3}: `i < out.size` becomes `i <= out.size`" in described
    assert f"line {first + 4}: `x[i] - y[i] * FACTOR` becomes `x[i] + y[i] * FACTOR`" in described
    assert f"line {first + 4}: `x[i] - y[i] * FACTOR` becomes `y[i] * FACTOR - x[i]`" in described
    assert f"line {first + 3}: `if i < out.size: ...` becomes `if True: ...`" in described


def test_a_mutant_keeps_defaults_globals_and_name():
    for _, faulty in mutants(clamp_add):
        assert faulty.__name__ == "clamp_add"
        assert faulty.__kwdefaults__ == {"limit": 100}
        assert faulty.__globals__["FACTOR"] == 3


def test_a_test_on_whole_arrays_misses_the_guard_and_nothing_else_that_matters():
    survivors = {text.partition(": ")[2] for text, faulty in mutants(clamp_add) if agrees(faulty)}
    assert survivors == {
        "`i < out.size` becomes `i <= out.size`",
        "`if i < out.size: ...` becomes `if True: ...`",
        "`total < limit` becomes `total <= limit`",
    }


def test_a_test_past_the_end_kills_the_missing_guard():
    guards = [faulty for text, faulty in mutants(clamp_add) if "`if" in text or "i <=" in text]
    assert len(guards) == 2
    for faulty in guards:
        with pytest.raises(IndexError):
            run(faulty, n=9)


def test_closures_and_decorated_kernels_have_mutants():
    offset = 5

    class Decorated:
        def __init__(self, function):
            self.py_func = function

    @Decorated
    def shifted(x: int) -> int:
        return x + offset

    assert [faulty(7) for _, faulty in mutants(shifted)] == [2]


def test_a_call_for_its_effect_is_left_out():
    calls = []

    def barrier():
        calls.append(1)
        return 2

    text, faulty = next(mutants(barrier))
    assert "becomes `None`" in text
    assert faulty() == 2
    assert calls == []

"""The kernels of every reduction, compiled with no GPU, and what the assembler must not say of them."""

import pytest

import kernels
from kernels import inspect

PAIRS = [pair for pair in kernels.REGISTRY.values() if pair.family == "reductions" and pair.kernels]
LOOPS = [(pair, loop) for pair in PAIRS for loop in pair.loops if loop[0] in "?bqefdF"]


def of(pair, loop):
    """The rows kernel of every loop, all three of float32's."""
    found = pair.kernels(loop)
    return found if loop[0] == "f" else found[:1]


@pytest.mark.parametrize(("pair", "loop"), LOOPS, ids=[f"{pair.name}-{loop}" for pair, loop in LOOPS])
def test_a_reduction_spills_nothing_and_a_narrow_one_has_no_float64(pair, loop):
    for label, kernel, signature in of(pair, loop):
        report = inspect.compile(kernel, signature, (9, 0))
        assert report.spills == 0, label
        assert report.local == 0, label
        if not set(loop) & set("dD"):
            assert not report.float64, label


@pytest.mark.parametrize("cc", [(7, 5), (8, 0), (10, 0)], ids=str)
@pytest.mark.parametrize("name", ["sum", "var", "argmax", "logsumexp"])
def test_a_reduction_compiles_for_every_architecture(name, cc):
    for label, kernel, signature in kernels.REGISTRY[name].kernels("f->q" if name == "argmax" else "f->f"):
        report = inspect.compile(kernel, signature, cc)
        assert (report.spills, report.local) == (0, 0), label


@pytest.mark.parametrize("loop", ["b->q", "e->e", "f->f", "d->d", "F->F"])
def test_rows_are_read_16_bytes_at_a_time(loop):
    (_, kernel, signature), *_ = kernels.REGISTRY["sum"].kernels(loop)
    report = inspect.compile(kernel, signature)
    inspect.histograms([report])
    assert report.wide_loads >= 2

"""Every kernel of every elementwise pair, for every architecture, with what the assembler must not say of it."""

import pytest

import kernels
from kernels import inspect

ARCHITECTURES = ((7, 5), (8, 0), (9, 0), (10, 0))

#: libdevice reduces large arguments of sin, cos and tan by 2/pi to many digits (Payne & Hanek 1983): a table in
#: local memory for float64, and one float64 product for float32. What calls them inherits both.
REDUCED = frozenset(
    "sin cos tan sinc cosm1 digamma j0 j1 y0 y1 exp exp2 expm1 sinh cosh tanh power float_power".split()
)
#: Complex functions that are computed in float64 for complex64, since their terms cancel.
WIDENED = frozenset(
    "divide sign reciprocal sqrt log log2 log10 log1p arcsin arccos arctan arcsinh arccosh arctanh".split()
)
#: For sm_100 beta's gamma functions are called rather than inlined, through 16 bytes of stack.
STACK = {"beta": 16}
PAIRS = [pair for pair in kernels.REGISTRY.values() if pair.family == "elementwise"]
CASES = [pytest.param(pair, loop, id=f"{pair.name}[{loop}]") for pair in PAIRS for loop in pair.loops]


@pytest.mark.parametrize(("pair", "loop"), CASES)
def test_kernel_compiles_for_every_architecture_without_waste(pair, loop):
    dtypes = loop.replace("->", "")
    for label, kernel, signature in pair.kernels(loop):
        for cc in ARCHITECTURES:
            report = inspect.compile(kernel, signature, cc)
            where = f"{label} for {report.arch}"
            assert report.spills == 0, where
            if pair.name not in REDUCED:
                assert report.local <= STACK.get(pair.name, 0), where
            if not set(dtypes) & set("dD") and pair.name not in REDUCED | (WIDENED if "F" in dtypes else set()):
                assert not report.float64, where


@pytest.mark.parametrize("name", ["add", "axpy", "relu", "maximum", "negative"])
def test_loads_and_stores_are_16_bytes_wide(name):
    pair = kernels.REGISTRY[name]
    reports = [inspect.compile(*kernel[1:]) for loop in pair.loops for kernel in pair.kernels(loop)]
    inspect.histograms(reports)
    for loop, report in zip(pair.loops, reports, strict=True):
        ins, outs = loop.split("->")
        assert (report.wide_loads, report.wide_stores) == (len(ins), len(outs)), loop

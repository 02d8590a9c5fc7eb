"""The records of the pairs, and that nothing public lacks a reference, a law, a benchmark, or a page."""

import doctest
import importlib.util
import inspect
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels import REGISTRY, elementwise, pairing, reductions
from kernels.pairing import Pair

ROOT = Path(__file__).parents[1]

#: Public functions that are no pair of their own, and what is compared with what instead.
UNPAIRED = {
    "fuse": "takes the user's function, which is its own reference: tests/elementwise/test_fuse.py",
    "sgd_step": "several arrays in place, against float64: tests/elementwise/test_optimizers.py",
    "adam_step": "several arrays in place, against float64: tests/elementwise/test_optimizers.py",
    "adamw_step": "several arrays in place, against float64: tests/elementwise/test_optimizers.py",
    **dict.fromkeys(
        "cummax cummin cumprod cumsum logcumsumexp scan diff".split(),
        "as long as what they read: tests/reductions/test_scans.py",
    ),
    "reduce": "takes the user's operator, which is its own reference: tests/reductions/test_reduce.py",
    "segmented_reduce": "segments of any lengths, against NumPy: tests/reductions/test_segments.py",
    "reduce_by_key": "as many results as runs, against NumPy: tests/reductions/test_segments.py",
    "searchsorted": "two arrays of other lengths, against NumPy: tests/reductions/test_histograms.py",
    "digitize": "two arrays of other lengths, against NumPy: tests/reductions/test_histograms.py",
}

ELEMENTWISE = sorted(name for name in elementwise.__all__ if inspect.isroutine(getattr(elementwise, name)))
FUNCTIONS = sorted([*ELEMENTWISE, *reductions.__all__])
FILED = {id(pair.function): name for name, pair in REGISTRY.items()}


def load(path, name):
    """A module from its file, whether or not its folder is a package on the path."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def canonical(name):
    """The name that a function was filed under: true_divide is divide."""
    return FILED.get(id(getattr(kernels, name)), name)


@pytest.fixture(scope="module")
def lawful():
    laws = load(ROOT / "tests" / "elementwise" / "test_laws.py", "kernels_laws")
    tests = [value for name, value in vars(laws).items() if name.startswith("test_")]
    marks = [mark for test in tests for mark in getattr(test, "pytestmark", ()) if mark.name == "law"]
    return {name for mark in marks for name in mark.args}


# --- completeness -----------------------------------------------------------------------------------------


def test_every_public_function_is_half_of_a_pair():
    missing = {name for name in FUNCTIONS if canonical(name) not in REGISTRY}
    assert missing == set(UNPAIRED)


def test_every_elementwise_function_has_a_law(lawful):
    without = [name for name in ELEMENTWISE if not lawful & {name, canonical(name)}]
    assert not without, f"test_laws.py has no law of {', '.join(without)}"


def test_every_law_is_of_a_public_function(lawful):
    assert lawful <= set(ELEMENTWISE)


def test_every_public_function_has_a_benchmark():
    names = load(ROOT / "asv_benchmarks" / "benchmarks" / "names.py", "asv_benchmarks_names")
    assert not names.without_entry({name: getattr(kernels, name) for name in FUNCTIONS})
    assert names.without_entry({"unheard_of": lambda x: x}) == ["unheard_of"]


def test_every_public_name_has_a_page():
    reference = load(ROOT / "docs" / "_ext" / "reference.py", "docs_reference")
    paged = set(reference.toolkit()).union(*reference.families(REGISTRY).values())
    constants = {name for name in kernels.__all__ if not callable(getattr(kernels, name))}
    without = {name for name in kernels.__all__ if canonical(name) not in paged} - constants
    assert not without


@pytest.mark.parametrize("family", [elementwise, reductions], ids=lambda family: family.__name__)
def test_what_is_public_is_listed_once(family):
    assert len(family.__all__) == len(set(family.__all__))
    named = {name: value for name, value in vars(family).items() if inspect.isfunction(value)}
    public = {name for name, value in named.items() if value.__module__.startswith(family.__name__)}
    assert public == set(family.__all__)
    assert set(family.__all__) <= set(kernels.__all__)


# --- documentation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, "engine", "use"}))
def test_the_examples_of_a_public_function_print_what_they_say(name):
    tests = doctest.DocTestFinder(recurse=False).find(getattr(kernels, name), name, globs={})
    assert sum(len(test.examples) for test in tests) >= 1
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    report = []
    for test in tests:
        runner.run(test, out=report.append)
    assert not runner.summarize(verbose=False).failed, "".join(report)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_documents_what_a_user_asks(name):
    text = inspect.getdoc(getattr(kernels, name))
    for section in ("Parameters", "Raises", "Notes", "References", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section
    described = text.split("Parameters\n", 1)[1].split("Raises\n", 1)[0]
    for parameter in inspect.signature(getattr(kernels, name)).parameters:
        assert parameter in described, parameter


# --- the record -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_record_agrees_with_itself_and_with_its_function(name):
    pair = REGISTRY[name]
    assert pair.name == name
    assert getattr(kernels, name) is pair.function
    assert pair.loops
    assert len(pair.loops) == len(set(pair.loops))
    assert len(pair.domain) == pair.nin
    assert all(low < high for low, high in pair.domain)
    assert pair.flops > 0
    assert set(pair.ulps) <= set("efdFD")
    for loop in pair.loops:
        ins, outs = loop.split("->")
        assert (len(ins), len(outs)) == (pair.nin, pair.nout)
        results = np.prod(pair.shape((10,)), dtype=int)
        read, written = (sum(np.dtype(c).itemsize for c in side) for side in (ins, outs))
        assert pair.bytes(loop, 10) == 10 * read + results * written


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_public_function_is_a_plain_function_that_pickles(name):
    function = REGISTRY[name].function
    assert inspect.isfunction(function)
    assert pickle.loads(pickle.dumps(function)) is function


@pytest.mark.parametrize(
    ("signature", "counts"),
    [("()->()", (1, 1)), ("(),()->(),()", (2, 2)), ("(m,k),(k,n)->(m,n)", (2, 1)), ("(n)->()", (1, 1))],
)
def test_a_signature_tells_how_many_arrays_go_in_and_out(signature, counts):
    pair = Pair("name", "family", len, len, signature, ())
    assert (pair.nin, pair.nout) == counts


def test_a_name_is_filed_once(monkeypatch):
    monkeypatch.setattr(pairing, "REGISTRY", {})
    pair = Pair("name", "family", len, len, "()->()", ())
    assert pairing.file(pair) is len
    with pytest.raises(ValueError, match="name is filed already"):
        pairing.file(pair)

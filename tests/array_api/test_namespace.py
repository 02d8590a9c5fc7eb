"""The namespace that the array API's conformance suite is pointed at, and the record of what passes there."""

import json
from pathlib import Path

import numpy as np
import pytest

import kernels
from tests.array_api import namespace

KNOWN = json.loads(Path(__file__).with_name("known.json").read_text())
VALUES = "test_operators_and_elementwise_functions.py"
CASES = "test_special_cases.py"
SIGNATURES = "test_signatures.py"


@pytest.mark.parametrize("name", KNOWN["elementwise"])
def test_elementwise_function_of_the_standard_is_ours(name):
    assert getattr(namespace, name) is getattr(kernels, name)
    assert getattr(namespace, name) is not getattr(np, name)


@pytest.mark.parametrize("name", ["asarray", "float32", "finfo", "pi", "reshape", "__array_api_version__"])
def test_everything_else_is_of_numpy(name):
    assert getattr(namespace, name) is getattr(np, name)


@pytest.mark.parametrize("name", ["__path__", "__version__", "no_such_function"])
def test_what_neither_has_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name):
        getattr(namespace, name)


def test_it_computes_on_the_current_engine():
    x = np.array([1.0, 4.0], np.float32)
    with kernels.use("reference"):
        np.testing.assert_array_equal(namespace.sqrt(x), np.array([1.0, 2.0], np.float32))


def test_record_has_each_elementwise_function_once():
    assert len(set(KNOWN["elementwise"])) == len(KNOWN["elementwise"])


def test_every_elementwise_function_has_a_recorded_test_of_its_values():
    ran = {*KNOWN["passes"][VALUES], *(name.partition("[")[0] for name in _tests(_others(), VALUES))}
    assert {f"test_{name}" for name in KNOWN["elementwise"]} <= ran | {"test_where"}
    assert "test_where_with_scalars" in ran


def test_every_elementwise_function_passes_the_test_of_its_signature():
    assert set(KNOWN["passes"][SIGNATURES]) == set(KNOWN["elementwise"])


def test_special_cases_on_record_are_of_elementwise_functions():
    assert set(KNOWN["passes"][CASES]) <= set(KNOWN["elementwise"])


def test_sets_of_tests_are_disjoint():
    assert not KNOWN["cannot_pass"].keys() & KNOWN["skipped_by_the_suite"].keys()
    others = _others()
    assert not set(KNOWN["passes"][VALUES]) & {name.partition("[")[0] for name in _tests(others, VALUES)}
    assert not set(KNOWN["passes"][SIGNATURES]) & {name.partition("[")[2][:-1] for name in _tests(others, SIGNATURES)}
    assert not [test for test in others for pattern in KNOWN["not_ours"] if pattern in test.partition("::")[2]]


def test_what_does_not_pass_has_a_reason():
    for group in ("cannot_pass", "skipped_by_the_suite", "not_ours"):
        assert all(reason and "\n" not in reason for reason in KNOWN[group].values())


def _others():
    """Ids of the tests that ran and did not pass, or that the suite skips."""
    return [*KNOWN["cannot_pass"], *KNOWN["skipped_by_the_suite"]]


def _tests(ids, file):
    """Names, parameters included, of the tests of one file of the suite."""
    return [name for path, _, name in (test.partition("::") for test in ids) if path.endswith(f"/{file}")]

"""What the package may import, and the examples in its documentation."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import kernels.testing

MODULES = [
    "kernels.testing",
    *(f"kernels.testing.{module.name}" for module in pkgutil.iter_modules(kernels.testing.__path__)),
]


def imported(module):
    with open(importlib.import_module(module).__file__) as source:
        tree = ast.parse(source.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_numba_and_only_what_draws_imports_hypothesis(module):
    allowed = {"numpy"} | ({"hypothesis"} if module.endswith((".strategies", ".programs")) else set())
    assert set(imported(module)) - set(sys.stdlib_module_names) <= allowed


def test_importing_the_package_imports_no_hypothesis():
    code = "import sys, kernels.testing; sys.exit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module):
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_every_public_name_is_documented_with_an_example():
    for name in kernels.testing.__all__:
        if callable(getattr(kernels.testing, name)):
            assert ">>>" in getattr(kernels.testing, name).__doc__

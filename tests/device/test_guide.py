"""The guide's page about building blocks runs, and so do the examples of their docstrings."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import kernels.device

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "blocks.md"


def test_the_page_runs_from_top_to_bottom():
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})


@pytest.mark.parametrize("name", kernels.device.__all__)
def test_examples_run(name, monkeypatch):
    monkeypatch.setenv("KERNELS_SIMULATOR_ENGINE", "interpreted")  # each is run once, and compiling takes longer
    function = getattr(kernels.device, name)
    example = doctest.DocTestParser().get_doctest(function.__doc__, {}, name, None, 0)
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    assert runner.run(example, out=report.append).failed == 0, "".join(report)


def test_what_is_public_is_found_in_its_module_and_on_the_page_of_reference():
    text = (ROOT / "docs" / "reference" / "blocks.md").read_text()
    for name in kernels.device.__all__:
        home = importlib.import_module(f"kernels.device.{kernels.device._HOME[name]}")
        assert getattr(kernels.device, name) is getattr(home, name)
        assert f".. autofunction:: {name}\n" in text


def test_a_name_that_is_not_there_is_named():
    with pytest.raises(AttributeError, match="has no attribute 'block_average'"):
        kernels.device.block_average  # noqa: B018

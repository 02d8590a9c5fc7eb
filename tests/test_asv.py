"""The suite that follows the project over its commits, and its gate."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import kernels

FOLDER = Path(__file__).parents[1] / "asv_benchmarks"


def load(path, name):
    """A module of the suite, which is no package of ours."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gate():
    return load(FOLDER / "gate.py", "gate")


@pytest.fixture(scope="module")
def names():
    return load(FOLDER / "benchmarks" / "names.py", "names_of_the_suite")


@pytest.fixture(scope="module")
def launches():
    sys.path.insert(0, str(FOLDER / "benchmarks"))
    try:
        yield load(FOLDER / "benchmarks" / "launches.py", "launches_of_the_suite")
    finally:
        sys.path.remove(str(FOLDER / "benchmarks"))


BASE = {"add": {"registers": 14, "launches": 1}, "sin": {"registers": 20, "launches": 1}}


def changed(name, metric, value):
    """BASE, one of its metrics another."""
    return BASE | {name: BASE[name] | {metric: value}}


@pytest.fixture
def passed(gate, monkeypatch, tmp_path):
    """Exit status of the gate where BASE is recorded and something else is measured."""

    def run(head, *arguments, record=True):
        monkeypatch.setattr(gate, "BASELINE", tmp_path / "exact.json")
        monkeypatch.setattr(gate, "other_versions", list)
        monkeypatch.setattr(gate, "measure", lambda: head)
        if record:
            gate.BASELINE.write_text(json.dumps(BASE))
        return gate.main(list(arguments))

    return run


def test_the_gate_passes_what_is_equal_and_names_what_fell_or_is_new(passed, capsys):
    assert passed(BASE) == 0
    assert passed(changed("sin", "registers", 18) | {"cos": {"registers": 99}}) == 0
    assert "sin registers: 20 -> 18\ncos: new\n" in capsys.readouterr().out


def test_the_gate_fails_on_any_rise_and_names_it(passed, capsys):
    assert passed(changed("sin", "registers", 21)) == 1
    assert "sin registers: 20 -> 21" in capsys.readouterr().out
    assert passed(changed("add", "launches", 2)) == 1
    assert "add launches: 1 -> 2" in capsys.readouterr().out


def test_the_gate_fails_where_something_is_no_longer_measured(passed, capsys):
    assert passed({"add": BASE["add"], "sin": {"launches": 1}}) == 1
    assert "sin registers: 20 -> not measured" in capsys.readouterr().out


def test_a_renewed_baseline_is_what_was_measured(passed):
    dearer = changed("sin", "registers", 30)
    assert passed(dearer, "--renew") == 0
    assert passed(dearer, record=False) == 0


def test_the_gate_compares_nothing_of_another_toolchain(gate, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gate, "TOOLCHAIN", tmp_path / "toolchain.txt")
    gate.TOOLCHAIN.write_text("# a comment\npython==2.7\n")
    monkeypatch.setattr(gate, "measure", lambda: pytest.fail("measured"))
    assert gate.main([]) == 2
    assert "python {}.{}, not 2.7".format(*sys.version_info) in capsys.readouterr().err


def test_the_gate_refuses_what_it_does_not_know(gate, capsys):
    assert gate.main(["base.json"]) == 2
    assert "--renew" in capsys.readouterr().err


def test_the_baseline_has_every_function_and_the_toolchain_its_pins(gate, names):
    assert set(json.loads(gate.BASELINE.read_text())) == {*names.PAIRS, *names.OTHERS}
    assert gate.TOOLCHAIN.read_text().count("==") == 7


def test_every_public_function_has_a_benchmark(names):
    names.require_all()


def test_a_public_function_without_a_benchmark_is_found(names):
    def newcomer():
        """Nobody measures this."""

    public = {
        "add": kernels.add,
        "true_divide": kernels.true_divide,
        "use": kernels.use,
        "newcomer": newcomer,
    }
    assert names.without_entry(public) == ["newcomer"]


def test_a_class_that_nobody_measures_is_found_and_an_error_needs_no_benchmark(names):
    class recording:
        """Nobody measures this either."""

    public = {"graph": recording, "recording": recording, "EngineError": kernels.EngineError}
    assert names.without_entry(public) == ["recording"]


def test_each_benchmark_that_is_named_is_there(names):
    for listed in {**names.OTHERS, **names.WHOLE, **names.RUNTIME}.values():
        for module, _, benchmark in (each.partition(".") for each in listed.split(", ")):
            source = (FOLDER / "benchmarks" / f"{module}.py").read_text()
            assert f"class {benchmark}:" in source


def test_launches_are_counted(launches):
    x = [1.0, 2.0, 3.0]
    assert launches.counted(lambda: kernels.add(x, x)) == 1
    assert launches.counted(lambda: (kernels.add(x, x), kernels.sin(x))) == 2


def test_a_call_of_a_plan_is_one_launch(launches):
    x = [1.0, 2.0, 3.0]
    assert launches.counted(launches.planned(kernels.divmod, x, x)) == 1

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


def result(folder, name, registers, launches=(1, 1), extra=None):
    """A file as asv writes it."""
    path = folder / name
    benchmarks = {
        "compiled.Compiled.track_registers": [registers, [["'add'", "'sin'"]]],
        "calls.Launches.track_launches": [list(launches), [["'add'", "'sin'"]]],
        "device.Pairs.track_time_over_floor": [[1.0, None], [["'add'", "'sin'"]]],
    }
    path.write_text(json.dumps({"result_columns": ["result", "params"], "results": benchmarks | (extra or {})}))
    return str(path)


def test_the_gate_passes_equal_results_and_falls(gate, tmp_path, capsys):
    base = result(tmp_path, "base.json", [14, 20])
    assert gate.main([base, base]) == 0
    assert gate.main([base, result(tmp_path, "head.json", [12, 20])]) == 0
    assert "0 of 4 exact metrics rose" in capsys.readouterr().out


def test_the_gate_fails_on_any_rise_and_names_it(gate, tmp_path, capsys):
    base = result(tmp_path, "base.json", [14, 20])
    assert gate.main([base, result(tmp_path, "head.json", [13, 21])]) == 1
    assert "compiled.Compiled.track_registers sin: 20 -> 21" in capsys.readouterr().out
    assert gate.main([base, result(tmp_path, "head.json", [14, 20], launches=(2, 1))]) == 1
    assert "calls.Launches.track_launches add: 1 -> 2" in capsys.readouterr().out


def test_the_gate_fails_where_the_head_has_not_measured(gate, tmp_path, capsys):
    base = result(tmp_path, "base.json", [14, 20])
    assert gate.main([base, result(tmp_path, "head.json", [14, None])]) == 1
    assert "track_registers sin: 20 -> not measured" in capsys.readouterr().out


def test_the_gate_does_not_compare_times(gate, tmp_path):
    slow = {"device.Pairs.track_time_over_floor": [[9.0, 9.0], [["'add'", "'sin'"]]]}
    base = result(tmp_path, "base.json", [14, 20])
    assert gate.main([base, result(tmp_path, "head.json", [14, 20], extra=slow)]) == 0


def test_the_gate_refuses_results_without_an_exact_metric(gate, tmp_path, capsys):
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"result_columns": ["result"], "results": {}}))
    assert gate.main([str(empty), str(empty)]) == 2
    assert gate.main([]) == 2
    assert "no exact metric" in capsys.readouterr().err


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


def test_launches_are_counted(launches):
    x = [1.0, 2.0, 3.0]
    assert launches.counted(lambda: kernels.add(x, x)) == 1
    assert launches.counted(lambda: (kernels.add(x, x), kernels.sin(x))) == 2

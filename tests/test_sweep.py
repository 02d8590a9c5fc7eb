"""``bench --sweep``: its arrays, what it computes of them, and how it judges."""

import json
import math

import numpy as np
import pytest

import kernels
from kernels.__main__ import main
from kernels.command import bench, figures, sweep, timing


def test_a_sweep_has_sixty_cases_that_fit_its_memory():
    assert len({case.name for case in sweep.CASES}) == len(sweep.CASES) == 60
    pool = np.broadcast_to(np.float32(0), sweep.POOL)
    for case in sweep.CASES:
        span = math.prod(case.shape[:-1]) * (case.shape[-1] + 8) if case.layout.startswith("part") else 0
        span = max(span, math.prod(case.shape) * (2 if case.layout.startswith("every") else 1))
        assert span + 1 <= pool.size, case.name
        assert 0 <= case.axis < len(case.shape)


@pytest.mark.parametrize("layout", sweep.LAYOUTS)
def test_an_array_of_a_sweep_lies_as_its_layout_says(layout):
    pool, shape = np.arange(2000, dtype=np.float32), (4, 6, 5)
    x = sweep.LAYOUTS[layout](pool, shape)
    assert x.shape == shape
    assert np.shares_memory(x, pool)
    steps = tuple(step // 4 for step in x.strides)
    expected = {
        "": (30, 5, 1), "from the second on": (30, 5, 1), "transposed": (1, 4, 24), "permuted": (1, 20, 4),
        "every second": (60, 10, 2), "every second row": (60, 5, 1), "part of longer rows": (78, 13, 1),
    }  # fmt: skip
    assert steps == expected[layout]
    assert x[0, 0, 0] == (1 if layout == "from the second on" else 0)


def test_a_sweep_counts_the_bytes_that_must_move():
    assert sweep.moved("sum", sweep.Case((10, 5), 0)) == 4 * 50 + 4 * 5
    assert sweep.moved("argmax", sweep.Case((10, 5), 1)) == 4 * 50 + 8 * 10
    assert sweep.moved("softmax", sweep.Case((10, 5), 1, "transposed")) == 8 * 50
    assert sweep.moved("cumsum", sweep.Case((10, 5), 1, "every second")) == 12 * 50


@pytest.fixture
def small_sweep(monkeypatch, rng):
    """A sweep over small arrays, one of each layout."""
    cases = [sweep.Case((6, 5), 0, layout) for layout in sweep.LAYOUTS] + [sweep.Case((6, 5), 1)]
    monkeypatch.setattr(sweep, "CASES", cases)
    monkeypatch.setattr(sweep, "normal", lambda shape: rng.standard_normal(200).astype(np.float32))
    monkeypatch.setattr(sweep, "zeros", np.zeros)


def swept(only, counts):
    """What a sweep finds where each call takes a millisecond; `counts` gets how many are in a batch."""

    def seconds(call, count):
        call()
        counts.append(count)
        return 1e-3

    return sweep.measure(only, False, 2, bench.Console(quiet=True), 3e12, seconds, lambda: None)


def test_a_sweep_times_each_function_over_each_case(small_sweep):
    counts = []
    found = swept([], counts)
    assert len(found) == len(sweep.FUNCTIONS) * (len(sweep.LAYOUTS) + 1)
    assert all(case["seconds"] == {"kernels": 1e-3} for case in found)
    assert all(case["over_floor"] == pytest.approx(1e-3 * 3e12 / case["bytes"]) for case in found)
    assert counts == [1, 4, 4, 4] * len(found)


def test_a_sweep_computes_what_it_names(rng, monkeypatch):
    monkeypatch.setattr(sweep, "zeros", np.zeros)
    x = rng.standard_normal((7, 6)).astype(np.float32)
    for name in sweep.FUNCTIONS:
        for axis in (0, 1):
            found = sweep.makers(name, x, axis)["kernels"]()()
            np.testing.assert_array_equal(found, getattr(kernels, name)(x, axis=axis))


def test_what_is_not_asked_for_is_not_swept(small_sweep):
    found = swept(["sum 6 x 5, axis 1"], [])
    assert [case["name"] for case in found] == ["sum 6 x 5, axis 1", "cumsum 6 x 5, axis 1"]


def broken():
    raise ImportError("No module named 'torch'")


def test_a_slow_peer_is_timed_once_and_one_that_fails_is_named():
    counts = {"kernels": [], "torch": [], "cupy": []}

    def measure(call, count):
        counts[call()].append(count)
        return {"kernels": 1e-3, "torch": 2e-3, "cupy": 0.2}[call()]

    wanted = {name: lambda name=name: lambda: name for name in counts} | {"broken": broken}
    seconds, errors = sweep.time_calls(wanted, 3, measure, lambda: None)
    assert seconds == {"kernels": 1e-3, "torch": 2e-3, "cupy": 0.2}
    assert counts == {"kernels": [1, 4, 4, 4], "torch": [1, 2, 2, 2], "cupy": [1]}
    assert "torch" in errors["broken"]


def case_of(name, nbytes, ours, torch):
    timed = {"name": name, "bytes": nbytes, "seconds": {"kernels": ours, "torch": torch}, "errors": {}}
    timed |= bench.compared(timed, 3e12)
    return timed | sweep.judged(timed)


def test_ratios_count_where_the_device_is_what_takes_time(capsys):
    cases = [
        case_of("sum of a few", 4000, 20e-6, 5e-6),
        case_of("sum of some", 45_000_000, 30e-6, 20e-6),
        case_of("sum of many", 3_000_000_000, 1.4e-3, 1.2e-3),
        case_of("var of many", 3_000_000_000, 1.6e-3, 2e-3),
    ]
    assert [case["missed"] for case in cases] == [[], ["peer"], [], ["floor"]]
    assert sweep.worst(cases, "over_best_peer", "peer_counts")["name"] == "sum of some"
    assert sweep.worst(cases, "over_floor", "floor_counts")["name"] == "var of many"
    assert sweep.worst(cases[:2], "over_floor", "floor_counts") is None
    for case in cases[:2]:
        case["errors"]["cupy"] = "ImportError"
    found = {"card": "NVIDIA H100", "date": "2026-01-31", "copy_bandwidth": 3e12, "cases": cases}
    sweep.show(found, bench.Console(width=200))
    printed = capsys.readouterr().out
    assert "sum of some: 1.500 of torch, at most 1.25" in printed
    assert "var of many: 1.600 of the floor, at most 1.5" in printed
    assert "sum of a few and 1 more, cupy left out: ImportError" in printed
    assert "4 cases, 2 over a goal" in printed


def test_a_sweep_is_no_table_of_rows(tmp_path):
    bench.save({"copy_bandwidth": 3e12, "cases": []}, tmp_path / "sweep.json")
    assert figures.results(tmp_path) == []


@pytest.mark.parametrize(("missing", "status"), [(False, 0), (True, 1)])
def test_the_command_writes_what_it_swept_and_fails_where_ours_did(missing, status, tmp_path, monkeypatch):
    case = case_of("sum of many", 3_000_000_000, 1.4e-3, 1.2e-3)
    if missing:
        del case["seconds"]["kernels"]
    monkeypatch.setattr(kernels.runtime, "use", lambda engine: None)
    monkeypatch.setattr(bench.machine, "usable", lambda: "")
    monkeypatch.setattr(bench.machine, "prepare", lambda *engine, simulate: None)
    monkeypatch.setattr(bench, "description", lambda: {"card": "NVIDIA H100", "date": "2026-01-31"})
    monkeypatch.setattr(timing, "copy_bandwidth", lambda: 3e12)
    monkeypatch.setattr(sweep, "measure", lambda only, peers, rounds, console, bandwidth: [case])
    file = tmp_path / "sweep.json"
    assert main(["bench", "--sweep", "--peers", "--json", str(file)]) == status
    found = json.loads(file.read_text())
    assert found["cases"] == [case]
    assert found["copy_bandwidth"] == 3e12

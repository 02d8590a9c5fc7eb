"""The command line, each subcommand in a process of its own."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from kernels.command import (
    bench,
    check,
    figures,
    first_call,
    inputs,
    launching,
    machine,
    reducing,
    soak,
    timing,
    trials,
)
from kernels.command.workloads import Row
from kernels.pairing import REGISTRY

ROOT = Path(__file__).parents[1]

#: Inputs of one kind each: rounded, exact, of integers and complex numbers, several results.
SAMPLE = ("sin", "add", "frexp", "divmod", "axpy")


def command(*arguments, folder=ROOT, **environment):
    """Run ``python -m kernels``, in the simulator unless the environment says otherwise."""
    chosen = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NUMBA_ENABLE_CUDASIM": "1",
        "COLUMNS": "200",
        **environment,
    }
    chosen.pop("KERNELS_ENGINE", None)
    words = [sys.executable, "-m", "kernels", *map(str, arguments)]
    return subprocess.run(words, env=chosen, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def has_no_gpu():
    return bool(machine.driver()["problem"])


no_gpu = pytest.mark.skipif(not has_no_gpu(), reason="a GPU is here")


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(0.5, 4, 40, dtype=np.float32))
    np.save(tmp_path / "zeros.npy", np.zeros(40, np.float32))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "torn.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:100])
    return tmp_path


# --- info


def test_info_says_what_is_missing_and_what_to_do():
    found = json.loads(command("info", "--json").stdout)
    assert found["gpu"] == (not found["missing"])
    assert all(row["what"] and row["next_step"] for row in found["missing"])
    assert found["versions"]["numba-kernels"] == kernels.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert set(machine.TOOLKIT) < set(found["toolkit"])
    assert found["engine"] == "simulator"


def test_info_prints_an_answer_and_tables():
    run = command("info")
    assert run.returncode == 0
    assert "Can this machine compute on a GPU?" in run.stdout
    assert all(word in run.stdout for word in ("Driver", "nvJitLink", "numba-cuda", "simulator"))


def driver(**known):
    return {"version": None, "cuda": None, "cards": [], "problem": ""} | known


H100 = {"name": "NVIDIA H100", "compute_capability": [9, 0]}
V100 = {"name": "Tesla V100", "compute_capability": [7, 0]}
PRESENT = {name: {"path": "/lib", "problem": ""} for name in machine.TOOLKIT}
ABSENT = {name: {"path": None, "problem": "not there"} for name in machine.TOOLKIT}


def test_nothing_is_missing_where_driver_toolkit_and_card_agree():
    assert machine.missing(driver(version="580", cuda=(13, 0), cards=[H100]), PRESENT, (13, 0)) == []


@pytest.mark.parametrize(
    ("driver", "toolkit", "compiler", "step"),
    [
        (driver(problem="no libcuda"), PRESENT, (13, 0), "install the NVIDIA driver"),
        (driver(version="580", cuda=(13, 0), problem="finds no GPU"), PRESENT, (13, 0), "nvidia-smi"),
        (driver(version="580", cuda=(13, 0), cards=[H100]), ABSENT, None, "numba-kernels[cu13]"),
        (driver(version="550", cuda=(12, 4), cards=[H100]), ABSENT, None, "numba-kernels[cu12]"),
        (driver(version="550", cuda=(12, 4), cards=[H100]), PRESENT, (13, 0), "update the driver"),
        (driver(version="580", cuda=(13, 0), cards=[V100]), PRESENT, (13, 0), "numba-kernels[cu12]"),
    ],
)
def test_each_missing_thing_has_its_next_step(driver, toolkit, compiler, step, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    ((_, told),) = machine.missing(driver, toolkit, compiler)
    assert step in told


def test_cards_that_a_variable_hides_are_called_hidden(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    ((_, told),) = machine.missing(driver(version="580", cuda=(13, 0), problem="finds no GPU"), PRESENT, (13, 0))
    assert "CUDA_VISIBLE_DEVICES" in told


# --- check


def test_check_passes_and_reports_every_loop_on_random_and_real_input():
    run = command("check", "--only", "add,sin", "--size", "20", "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout)
    cases = {(c["name"], c["loop"], c["data"]) for c in found["comparisons"]}
    wanted = {(n, loop, d) for n in ("add", "sin") for loop in REGISTRY[n].loops for d in ("random", "real")}
    assert cases == wanted
    assert found["passed"]
    assert found["engine"] == "simulator"
    assert all(c["size"] == 20 and c["error"] <= 1 for c in found["comparisons"])


def test_check_prints_one_row_for_each_function():
    run = command("check", "--only", "add", "relu", "--size", "9")
    rows = [line.split()[0] for line in run.stdout.splitlines() if "pass" in line]
    assert rows == ["add", "relu"]
    assert "all within their bounds" in run.stdout


@no_gpu
def test_check_finds_the_simulator_by_itself_where_there_is_no_gpu():
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_ENABLE_CUDASIM", "KERNELS_ENGINE")}
    words = [sys.executable, "-m", "kernels", "check", "--only", "relu", "--size", "9", "--json"]
    run = subprocess.run(
        words,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert json.loads(run.stdout)["engine"] == "simulator"


def test_check_runs_on_the_engine_that_is_asked_for():
    run = command("check", "--only", "relu", "--engine", "reference", "--json")
    assert json.loads(run.stdout)["engine"] == "reference"


@no_gpu
def test_check_refuses_an_engine_that_is_not_there():
    run = command("check", "--only", "relu", "--engine", "cuda")
    assert run.returncode == 2
    assert 'engine "cuda" cannot run here' in run.stderr


def test_check_names_what_is_close_to_an_unknown_function():
    run = command("check", "--only", "sni")
    assert run.returncode == 2
    assert "'sni'" in run.stderr
    assert "did you mean sin" in run.stderr


def faulty(pair, function):
    fields = {name: getattr(pair, name) for name in pair.__dataclass_fields__}
    return type(pair)(**fields | {"function": function})


def given(pair, loop):
    return inputs.random_inputs(pair, loop, 12, seed=3)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_reference_that_stands_in_for_the_fast_half_passes(name):
    pair = REGISTRY[name]
    for loop in pair.loops:
        if "e" not in loop:  # NumPy computes some of these in float16
            assert check.compare(faulty(pair, pair.reference), loop, given(pair, loop)).passed


@pytest.mark.parametrize("name", SAMPLE)
def test_one_wrong_element_fails(name):
    pair = REGISTRY[name]

    def wrong(*xs):
        results = pair.reference(*xs)
        first = np.array(results[0] if isinstance(results, tuple) else results)
        first[5] = ~first[5] if first.dtype.kind == "b" else first[5] + 1
        return (first, *results[1:]) if isinstance(results, tuple) else first

    for loop in pair.loops:
        assert not check.compare(faulty(pair, wrong), loop, given(pair, loop)).passed


def test_a_nan_where_there_should_be_a_number_fails():
    pair = REGISTRY["sin"]
    assert not check.compare(faulty(pair, lambda x: np.full_like(x, np.nan)), "f->f", given(pair, "f->f")).passed


def test_a_result_of_another_dtype_fails():
    pair = REGISTRY["sin"]
    found = check.compare(faulty(pair, lambda x: np.sin(x.astype("d"))), "f->f", given(pair, "f->f"))
    assert not found.passed
    assert "float64" in found.problem


def test_an_exception_is_a_failure_with_its_words():
    def broken(x):
        raise ZeroDivisionError("by the moon")

    pair = REGISTRY["sin"]
    found = check.compare(faulty(pair, broken), "f->f", given(pair, "f->f"))
    assert not found.passed
    assert "by the moon" in found.problem


def test_inputs_are_the_same_for_a_seed_and_lie_in_the_domain():
    for pair in REGISTRY.values():
        for loop in pair.loops:
            drawn, again = (inputs.random_inputs(pair, loop, 30, seed=1) for _ in range(2))
            for x, y, real, (low, high) in zip(
                drawn, again, inputs.real_inputs(pair, loop, 30), pair.domain, strict=True
            ):
                assert x.dtype == real.dtype
                np.testing.assert_array_equal(x, y)
                if x.dtype.kind == "f":
                    slack = np.finfo(x.dtype).eps * max(abs(low), abs(high))
                    assert np.all((x >= low - slack) & (x <= high + slack))
                    assert np.all((real >= low - slack) & (real <= high + slack))


def test_real_inputs_differ_from_each_other_and_along_themselves():
    x, y = inputs.real_inputs(REGISTRY["add"], "dd->d", 200)
    assert len(np.unique(x)) > 100
    assert not np.array_equal(x, y)


# --- run


def test_run_applies_a_function_to_files_and_numbers_and_saves(folder):
    run = command("run", "power", "x.npy", "2.0", "-o", "y.npy", "--json", folder=folder)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    np.testing.assert_allclose(y, x**2, rtol=1e-6)
    assert y.dtype == np.float32
    assert report["engine"] == "simulator"
    assert report["seconds"] > 0
    assert report["results"] == [
        {"shape": [40], "dtype": "float32", "file": "y.npy", "min": float(y.min()), "max": float(y.max())}
    ]


def test_run_takes_the_options_of_the_function(folder):
    run = command("run", "sin", "x.npy", "--dtype", "float64", "-o", "y.npy", folder=folder)
    assert run.returncode == 0, run.stderr
    assert np.load(folder / "y.npy").dtype == np.float64
    assert 'engine "simulator"' in run.stdout


def test_run_saves_each_of_several_results(folder):
    run = command("run", "divmod", "x.npy", "1.5", "-o", "q.npy", "-o", "r.npy", folder=folder)
    assert run.returncode == 0, run.stderr
    quotient, remainder = np.divmod(np.load(folder / "x.npy"), np.float32(1.5))
    np.testing.assert_array_equal(np.load(folder / "q.npy"), quotient)
    np.testing.assert_array_equal(np.load(folder / "r.npy"), remainder)


def test_run_saves_what_an_optimiser_updates(folder):
    outputs = [word for name in ("p", "m", "v") for word in ("-o", f"{name}.npy")]
    arrays = ["x.npy", "x.npy", "zeros.npy", "zeros.npy"]
    run = command("run", "adam_step", *arrays, "--step", "1", "--lr=0.1", *outputs, folder=folder)
    assert run.returncode == 0, run.stderr
    np.testing.assert_allclose(np.load(folder / "p.npy"), np.load(folder / "x.npy") - 0.1, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sni", "x.npy"), "did you mean sin"),
        (("sin", "nothing.npy"), "there is no file 'nothing.npy'"),
        (("sin", "torn.npy"), "torn.npy is no .npy file"),
        (("sin", "objects.npy"), "objects.npy is no .npy file of numbers"),
        (("sin", "words.npy"), "dtype <U1"),
        (("add", "x.npy"), "add takes x1, x2"),
        (("add", "x.npy", "x.npy", "x.npy"), "2 inputs, got 3"),
        (("sin", "x.npy", "--colour", "red"), "colour"),
        (("sin", "x.npy", "--dtype"), "--keyword value"),
        (("sin", "x.npy", "--casting", "wild"), "casting"),
        (("sin", "x.npy", "-o", "a.npy", "-o", "b.npy"), "1 results, got 2 outputs"),
        (("sin", "x.npy", "-o", "nowhere/a.npy"), "there is no folder 'nowhere'"),
    ],
)
def test_run_refuses_wrong_usage_and_writes_nothing(folder, arguments, message):
    before = {path.name for path in folder.iterdir()}
    run = command("run", *arguments, folder=folder)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert {path.name for path in folder.iterdir()} == before


# --- bench


@no_gpu
def test_bench_says_that_it_needs_a_gpu():
    run = command("bench")
    assert run.returncode == 2
    assert "bench needs a GPU" in run.stderr


def timer(calls, rounds):
    """Seconds as a card would take: ours 1 ms, the peers' 2 ms."""
    return {name: 1e-3 if name == "kernels" else 2e-3 for name in calls}


def timed(makers, *, peers=True, nbytes=3_000_000_000, **others):
    row = Row("add", lambda: makers, nbytes, flops=10, **others)
    return bench.time_row(row, peers, 1, 3e12, {"device": timer, "wait": lambda: None})


def nothing():
    return lambda: None


def broken():
    raise ImportError("No module named 'torch'")


def test_a_row_has_its_floor_and_its_ratios():
    row = timed({"kernels": nothing, "cupy": nothing})
    assert row["floor"] == pytest.approx(1e-3)
    assert row["over_floor"] == pytest.approx(1.0)
    assert row["best_peer"] == "cupy"
    assert row["over_best_peer"] == pytest.approx(0.5)


def test_a_peer_that_fails_is_named_and_stops_no_other():
    row = timed({"kernels": nothing, "torch": broken, "cupy": nothing})
    assert set(row["seconds"]) == {"kernels", "cupy"}
    assert "torch" in row["errors"]["torch"]


def test_a_row_that_fails_is_reported():
    row = timed({"kernels": broken})
    assert row["seconds"] == {}
    assert row["over_floor"] is None
    assert "kernels" in row["errors"]


def test_peers_are_timed_only_when_asked_for():
    assert set(timed({"kernels": nothing, "cupy": nothing}, peers=False)["seconds"]) == {"kernels"}


@pytest.fixture
def measured():
    rows = [timed({"kernels": nothing, "cupy": nothing}), timed({"kernels": nothing}, nbytes=0)]
    versions = {"torch": None, "cupy": "14.2.0", "numba-cuda": "0.30.4"}
    return {
        "card": "NVIDIA H100",
        "date": "2026-01-31",
        "versions": versions,
        "copy_bandwidth": 3e12,
        "rows": rows,
    }


def test_the_table_names_card_date_and_ratios(measured, tmp_path):
    bench.save(measured, tmp_path / "h100.json")
    (tmp_path / "benchmarks.json").write_text('{"version": 2}')
    table = figures.markdown(tmp_path)
    assert "NVIDIA H100, 2026-01-31; device copy 3000 GB/s; CuPy 14.2.0" in table
    assert "| add | 1000 | 1000.0 | 1.000 | cupy | 2000.0 | 0.500 |" in table
    assert "| add | launch | 1000.0 |" in table


def test_the_table_has_results_of_before_there_were_goals(measured, tmp_path):
    for row in measured["rows"]:
        for newer in ("launches", "beside", "most"):
            del row[newer]
    bench.save(measured, tmp_path / "h100.json")
    assert "| add | 1000 | 1000.0 | 1.000 | cupy | 2000.0 | 0.500 |  |" in figures.markdown(tmp_path)


def test_a_row_is_compared_with_the_peer_that_its_goal_names():
    row = timed({"kernels": nothing, "cupy": nothing, "torch": nothing}, beside="torch", most=0.5)
    row["seconds"]["cupy"] = 1e-4
    row |= bench.compared(row, 3e12)
    assert figures.cells(row)[4:] == ("torch", "2000.0", "0.500", "at most 0.5")
    assert figures.cells(row | {"most": 0.4})[7] == "at most 0.4, missed"


def test_a_goal_beside_a_peer_that_is_not_there_is_not_judged():
    row = timed({"kernels": nothing, "cupy": nothing, "torch": broken}, beside="torch", most=0.1)
    assert figures.cells(row)[4:] == ("cupy", "2000.0", "0.500", "")


def test_of_many_launches_in_one_call_the_time_of_one_counts():
    row = timed({"kernels": nothing, "torch": nothing}, launches=1000)
    assert row["seconds"] == {"kernels": pytest.approx(1e-6), "torch": pytest.approx(2e-6)}
    assert figures.cells(row)[2] == "1.00"


def test_there_is_no_table_of_nothing(tmp_path):
    assert figures.markdown(tmp_path) == ""


def test_the_plot_is_a_picture(measured, tmp_path):
    pytest.importorskip("matplotlib")
    figures.plot(measured, tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_every_row_of_the_bench_states_the_bytes_of_its_arrays(monkeypatch):
    from kernels.command import workloads

    made = []

    def array(shape, dtype="float32", *span, **spans):
        made.append(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        return np.broadcast_to(np.zeros((), dtype), shape)

    monkeypatch.setattr(workloads, "random", array)
    monkeypatch.setattr(workloads, "zeros", array)
    for row in workloads.rows():
        made.clear()
        assert "kernels" in row.make()
        if row.bytes:
            updated = 3 if row.name.startswith("adam") else 0  # param and two averages are read and written
            assert row.bytes == sum(made) + updated * made[0]


def test_between_two_synchronisations_the_queue_of_launches_does_not_fill(monkeypatch):
    queued = [0]
    monkeypatch.setattr(timing.cuda, "synchronize", lambda: queued.append(0))

    def call():
        queued[-1] += 1

    assert 0 < timing.host_seconds({"kernels": call}, 1)["kernels"] < 1e-3
    assert max(queued) == timing.QUEUED < 1024


def test_of_reported_seconds_the_median_counts():
    found = iter([3.0, 1.0, 2.0])
    assert timing.reported_seconds({"kernels": lambda: next(found)}, 3) == {"kernels": 2.0}


# --- bench: launches


@pytest.fixture
def arrays(monkeypatch, rng):
    """Inputs and output that the makers of launches get in place of a library's."""
    x, y = rng.standard_normal((2, launching.SIZE), np.float32)
    z = np.zeros_like(x)
    monkeypatch.setattr(launching, "operands", lambda *library: (x, y, z))
    return x, y, z


class Recording:
    """What `kernels.runtime.graph` is to the bench."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def replay(self):
        """Nothing: the calls have been made."""


@pytest.fixture
def tools(monkeypatch):
    """Stand-ins that launch at once."""
    monkeypatch.setattr(kernels.runtime, "launcher", lambda kernel: kernel, raising=False)
    monkeypatch.setattr(kernels.runtime, "graph", Recording, raising=False)


def test_every_row_of_launches_has_a_call_that_adds(arrays, tools, monkeypatch):
    monkeypatch.setattr(launching, "RECORDED", 3)
    monkeypatch.setattr(first_call, "in_a_process", lambda whose, folder: 0.25)
    x, y, z = arrays
    for row in launching.rows():
        z[:] = 0
        found = row.make()["kernels"]()()
        if row.how == "reported":
            assert found == 0.25
        else:
            np.testing.assert_array_equal(z if found is None else found, x + y, err_msg=row.name)


def test_every_goal_of_a_launch_names_a_peer_of_its_row():
    for row in launching.rows():
        assert row.beside in row.make()
        assert row.most is None or row.most > 0


@pytest.mark.parametrize("whose", ["kernels", "numba"])
def test_a_first_call_reports_its_seconds(whose, monkeypatch):
    made = []
    monkeypatch.setattr(first_call.time, "perf_counter", lambda: made.append(0) or 2.5 * len(made))
    assert first_call.main(whose) == 2.5


@no_gpu
def test_a_first_call_that_fails_says_what_its_process_said():
    with pytest.raises(RuntimeError, match=r"the process of a first call failed.*Error"):
        first_call.cold("numba")


# --- bench: trials


def some_calls(make=None):
    return trials.in_threads(make, calls=80, threads=4, batch=5, size=37)


def test_calls_from_several_threads_are_counted_and_compared():
    found = some_calls()
    assert (found["calls"], found["wrong"], found["passed"]) == (80, 0, True)
    assert found["seconds"] > 0


def test_a_call_that_does_nothing_is_found_among_those_of_threads():
    def make(x, y, z):
        calls = itertools.count()

        def plan(x, y, out, stream):
            if next(calls) % 10:
                kernels.add(x, y, out=out)

        return plan

    found = some_calls(make)
    assert (found["wrong"], found["passed"]) == (8, False)


@pytest.fixture
def bursts(tools, monkeypatch):
    """Those of one library that is there, and of one that is not."""

    def absent(*arrays):
        raise ImportError

    monkeypatch.setattr(soak, "LIBRARIES", {"numba": lambda *arrays: arrays, "torch": absent})
    monkeypatch.setattr(soak, "BURST", 20)
    monkeypatch.setattr(soak, "LARGEST", 2**9)
    monkeypatch.setattr(soak.cuda, "as_cuda_array", lambda found: found, raising=False)
    return soak.all_bursts()


def test_a_soak_has_bursts_of_each_kind_for_each_library_that_is_there(bursts):
    assert [burst() for burst in bursts] == [(20, True)] * 5


def test_each_burst_compares_its_result(bursts, monkeypatch):
    draw = soak.Memory.draw

    def misled(memory, axes):
        *views, expected = draw(memory, axes)
        expected[..., -1] += 1
        return *views, expected

    monkeypatch.setattr(soak.Memory, "draw", misled)
    assert [burst() for burst in bursts] == [(20, False)] * 5


def bytes_in_use(**others):
    return {"device": 3 << 30, "pool used": 0, "pool reserved": 2 << 30, "resident": 1 << 30} | others


def soaked(right=True, look=bytes_in_use):
    """A soak of two minutes, in which a burst takes a second, after ten bursts."""
    clock = itertools.count()
    return soak.soak(2, [lambda: (100, right)], look, lambda: next(clock), fill=10)


def test_a_soak_whose_memory_wavers_passes():
    wavering = itertools.cycle([0, 5 << 20, 1 << 20])
    found = soaked(look=lambda: bytes_in_use(resident=(1 << 30) + next(wavering)))
    assert (found["calls"], found["checked"], found["passed"]) == (13_000, 130, True)
    assert [round(seconds) for seconds, _ in found["samples"]] == list(range(10, 121, 10))
    assert found["summary"] == "13000 calls, 0 of 130 samples wrong, memory constant"


@pytest.mark.parametrize("name", soak.SLACK)
def test_a_soak_in_which_memory_grows_fails_and_names_it(name):
    growing = itertools.count(1 << 30, soak.SLACK[name] // 3)
    found = soaked(look=lambda: bytes_in_use(**{name: next(growing)}))
    assert not found["passed"]
    assert f"samples wrong, {name} memory grew" in found["summary"]


@pytest.mark.parametrize(("fill", "passed"), [(0, False), (60, True)])
def test_memory_is_watched_once_bursts_have_filled_what_has_a_bound(fill, passed):
    bursts, clock = itertools.count(1), itertools.count()
    sizes = [0]

    def burst():
        sizes.append(min(next(bursts), 60) << 20)
        return 100, True

    found = soak.soak(2, [burst], lambda: bytes_in_use(resident=sizes[-1]), lambda: next(clock), fill)
    assert found["passed"] is passed


def test_a_soak_with_a_wrong_result_fails():
    found = soaked(right=False)
    assert not found["passed"]
    assert "130 of 130 samples wrong" in found["summary"]


def test_a_soak_says_how_memory_began_and_ended():
    _, lines = soak.judge([bytes_in_use(resident=n << 20) for n in (4, 9, 5)])
    assert lines[-1] == "resident memory, MiB: first 4.0, last 5.0, most 9.0, growth 1.00 of 8 allowed"


def test_bench_refuses_a_soak_that_is_too_short():
    run = command("bench", "--soak", "1")
    assert run.returncode == 2
    assert "--soak must be 2 minutes or more" in run.stderr


def tried(found):
    return bench.try_out(trials.Trial("8 threads", lambda: found))


def test_a_trial_is_a_row_of_the_table_and_decides_the_exit_status(measured, tmp_path):
    row = tried(some_calls())
    bench.save(measured | {"rows": [row]}, tmp_path / "h100.json")
    assert "| 8 threads: 80 calls, 0 wrong |  |" in figures.markdown(tmp_path)
    assert bench.passed(row)
    assert not bench.passed(tried(soaked(right=False)))


def test_a_trial_that_raises_is_reported():
    row = bench.try_out(trials.Trial("8 threads", lambda: 1 / 0))
    assert "division by zero" in row["errors"]["the trial"]
    assert not bench.passed(row)
    assert figures.cells(row)[2] == "failed"


@pytest.mark.parametrize("arguments", [(), ("compute",), ("info", "--colour")])
def test_unknown_words_are_wrong_usage(arguments):
    run = command(*arguments)
    assert run.returncode == 2
    assert "usage:" in run.stderr


# --- rows of reductions -------------------------------------------------------------------------------------------


def test_rows_of_reductions_have_names_of_their_own_and_read_what_they_reduce():
    rows = reducing.rows()
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.bytes >= 4 * (reducing.N - 2**19) for row in rows)


@pytest.mark.parametrize("name", ["sum", "max", "argmax", "norm", "var", "logsumexp", "softmax", "cumsum"])
def test_rows_of_reductions_compute_what_they_are_named_for(name, monkeypatch, rng):
    x = rng.standard_normal((30, 7), np.float32)
    monkeypatch.setattr(reducing, "normal", lambda shape, *rest, **named: x)
    monkeypatch.setattr(reducing, "zeros", np.zeros)
    make = reducing.mapping if name in ("softmax", "cumsum") else reducing.reduction
    for axis in (0, 1):
        out = make(name, x.shape, axis)["kernels"]()()
        np.testing.assert_array_equal(out, getattr(kernels, name)(x, axis=axis))

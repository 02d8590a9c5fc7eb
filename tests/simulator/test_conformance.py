"""numba-cuda's own tests on this simulator: a fast part of what `python tests/simulator/conformance` counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONFORMANCE = Path(__file__).parent / "conformance"
MODULES = (
    "cudadrv.test_context_stack,cudapy.test_idiv,cudapy.test_localmem,cudapy.test_multigpu,cudapy.test_nondet,"
    "cudapy.test_sync,cudapy.test_warp_ops"
)

# A module of tests that does everything a module can do to the process that runs it.
FATES = """
import ctypes, os, signal, sys, time, types, unittest
sys.path.insert(0, sys.argv[1])
import runpy
conformance = runpy.run_path(sys.argv[1] + "/__main__.py")

class Test(unittest.TestCase):
    def test_a_passes(self): pass
    def test_b_fails(self): self.assertEqual(1, 2)
    def test_c_skips(self): self.skipTest("a reason")
    def test_d_crashes(self): ctypes.string_at(0)
    def test_e_hangs(self):
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 0)
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # the rest of the time limit, in no time
        time.sleep(100)
    def test_f_exits(self): os._exit(7)
    def test_g_fails_in_part(self):
        with self.subTest(part=1): self.fail("a part")
    def test_h_passes(self): pass

module = sys.modules["numba.cuda.tests.fates"] = types.ModuleType("fates")
module.Test = Test
results = conformance["run_all"](["fates", "absent"], "stock", jobs=2, limit=100)
print(conformance["json"].dumps(results))
"""


def run(*command):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)


def test_each_test_has_its_own_fate_whatever_the_others_do():
    finished = run("-c", FATES, str(CONFORMANCE))
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout.splitlines()[-1])
    assert results["fates"] == {
        "Test.test_a_passes": ["passed", ""],
        "Test.test_b_fails": ["failed", "AssertionError: 1 != 2"],
        "Test.test_c_skips": ["skipped", "a reason"],
        "Test.test_d_crashes": ["crashed", "SIGSEGV"],
        "Test.test_e_hangs": ["timeout", "time limit"],
        "Test.test_f_exits": ["crashed", "exit code 7"],
        "Test.test_g_fails_in_part": ["failed", "AssertionError: a part"],
        "Test.test_h_passes": ["passed", ""],
    }
    ((status, reason),) = results["absent"].values()
    assert status == "failed"
    assert "No module named" in reason


@pytest.mark.parametrize("engine", ["compiled", "interpreted"])
def test_numba_cudas_own_tests_fare_as_known_json_says_as_many_as_counts_json_holds(engine):
    finished = run(str(CONFORMANCE), "--engine", engine, "--only", MODULES)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("engine", ["compiled", "interpreted"])
def test_all_that_numbas_simulator_runs_passes_and_all_that_is_about_kernels(engine):
    on_record = json.loads((CONFORMANCE / "counts.json").read_text())[engine]
    due, passed, skipped_there, passed_here = on_record.pop("all")
    assert [sum(column) for column in zip(*on_record.values(), strict=True)] == [due, due, skipped_there, skipped_there]
    assert (passed, passed_here) == (due, skipped_there)
    assert due > 700
    assert skipped_there > 250

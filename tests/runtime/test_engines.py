"""Where kernels run, who decides, and what is said where they cannot."""

import re
import subprocess
import sys

import numpy as np
import pytest

import kernels
from kernels.device.instructions import SIMULATED
from kernels.runtime import gpu_problem


def run(code, environment, **variables):
    """A process of its own."""
    variables = {**environment, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_engine_is_what_there_is():
    assert kernels.engine() == ("simulator" if SIMULATED else "reference" if gpu_problem() else "cuda")


def test_an_engine_that_does_not_exist_is_a_value_error_that_lists_those_that_do():
    with pytest.raises(ValueError, match=r"engine must be one of 'cuda', 'simulator', 'reference', got 'nonsense'"):
        kernels.use("nonsense")


def test_an_engine_that_is_not_here_is_an_error_that_says_why():
    absent, why = ("cuda", "NUMBA_ENABLE_CUDASIM") if SIMULATED else ("simulator", "NUMBA_ENABLE_CUDASIM=1")
    with pytest.raises(kernels.EngineError, match=f'"{absent}" .*{why}'):
        kernels.use(absent)
    assert kernels.engine() != absent


def test_a_choice_lasts_until_its_block_ends_even_by_an_error():
    before = kernels.engine()
    with kernels.use("reference"):
        assert kernels.engine() == "reference"
    assert kernels.engine() == before
    with pytest.raises(ZeroDivisionError), kernels.use("reference"):
        raise ZeroDivisionError
    assert kernels.engine() == before


def test_a_choice_without_a_block_lasts_until_the_next():
    before = kernels.engine()
    try:
        kernels.use("reference")
        assert kernels.engine() == "reference"
    finally:
        kernels.use(None)
    assert kernels.engine() == before


@pytest.mark.parametrize("name", ["add", "divmod", "gelu", "where", "frexp"])
def test_the_reference_engine_gives_what_the_other_gives(name, rng):
    pair = kernels.REGISTRY[name]
    inputs = [rng.uniform(0.5, 2, 20) for _ in range(pair.nin)]
    if name == "where":
        inputs[0] = inputs[0] > 1
    fast = pair.function(*inputs)
    with kernels.use("reference"):
        plain = pair.function(*inputs)
    for a, b in zip(np.atleast_2d(fast), np.atleast_2d(plain), strict=True):
        assert a.dtype == b.dtype
        # 64 ulps, the largest documented error of these (gelu)
        assert np.all(np.abs(a - b) <= 64 * np.spacing(np.abs(b)))


@pytest.mark.parametrize("layout", ["plain", "strided", "masked", "overlapping", "float16"])
def test_the_reference_engine_writes_where_the_other_writes(layout):
    def result():
        x = np.arange(12, dtype=np.float16 if layout == "float16" else np.float32)
        if layout == "plain" or layout == "float16":
            kernels.add(x, 1, out=x)
        elif layout == "strided":
            kernels.add(x[::2], 1, out=x[1::2])
        elif layout == "masked":
            kernels.add(x, 1, out=x, where=x > 5)
        else:
            kernels.add(x[:-1], x[1:], out=x[1:])
        return x

    fast = result()
    with kernels.use("reference"):
        assert np.array_equal(result(), fast)


# --- the environment --------------------------------------------------------------------------------------


def test_the_environment_chooses(environment):
    done = run("import kernels; print(kernels.engine())", environment, KERNELS_ENGINE="reference")
    assert done.stdout.strip() == "reference"
    assert done.stderr == ""


def test_a_choice_in_the_program_goes_before_the_environment(environment):
    code = "import kernels; kernels.use('reference'); print(kernels.engine())"
    done = run(code, environment, KERNELS_ENGINE="simulator", NUMBA_ENABLE_CUDASIM="1")
    assert done.stdout.strip() == "reference"


@pytest.mark.parametrize("value", ["nonsense", "simulator"])
def test_an_environment_that_asks_for_what_is_not_there_is_an_error_that_names_the_variable(environment, value):
    done = run("import kernels; kernels.add(1, 2)", environment, KERNELS_ENGINE=value)
    assert done.returncode == 1
    assert "environment variable KERNELS_ENGINE: engine" in done.stderr


def test_the_simulator_runs_where_numba_was_told_to(environment):
    done = run("import kernels; print(kernels.engine(), kernels.add(1, 2))", environment, NUMBA_ENABLE_CUDASIM="1")
    assert done.stdout.split() == ["simulator", "3"]
    assert done.stderr == ""


def without_a_gpu(environment):
    return {**environment, "CUDA_VISIBLE_DEVICES": "", "NUMBA_ENABLE_CUDASIM": "0"}


def test_without_a_gpu_references_compute_and_one_warning_says_so(environment):
    code = """
import warnings
import kernels
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(kernels.add(1, 2), kernels.sin([0.0]), kernels.engine())
for warning in caught:
    print(warning.category.__name__, warning.message)
"""
    done = run(code, without_a_gpu(environment))
    first, *warnings = done.stdout.strip().splitlines()
    assert first == "3 [0.] reference"
    (warning,) = warnings
    assert re.match(r"ReferenceWarning no GPU, so NumPy references compute the results \(.+\)", warning)
    assert "python -m kernels info" in warning


def test_the_warning_points_at_the_line_that_called(environment, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import kernels\n\nkernels.add(1, 2)\n")
    variables = without_a_gpu(environment)
    done = subprocess.run(
        [sys.executable, script], env=variables, capture_output=True, text=True, check=True, timeout=120
    )
    assert f"{script}:3: ReferenceWarning" in done.stderr


def test_choosing_the_reference_silences_the_warning(environment):
    code = "import kernels; kernels.use('reference'); print(kernels.add(1, 2))"
    done = run(code, without_a_gpu(environment))
    assert (done.stdout.strip(), done.stderr) == ("3", "")


def test_asking_for_a_gpu_where_there_is_none_says_why(environment):
    done = run("import kernels; kernels.use('cuda')", without_a_gpu(environment))
    assert done.returncode == 1
    assert re.search(r'EngineError: engine "cuda" cannot run here: .+', done.stderr)

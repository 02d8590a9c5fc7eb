"""What is installed, and what importing it costs."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kernels

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The wheel and the sdist, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture
def wheel(distributions):
    with zipfile.ZipFile(distributions[0]) as archive:
        yield archive


@pytest.fixture
def sdist_names(distributions):
    with tarfile.open(distributions[1]) as archive:
        return {name.split("/", 1)[1] for name in archive.getnames()}


def sources():
    return {str(path.relative_to(ROOT)) for path in (ROOT / "kernels").rglob("*.py")}


def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def in_a_fresh_process(code):
    """What a fresh interpreter, outside the simulator, prints for `code`."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout + run.stderr


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == sources() | {"kernels/py.typed"}


def test_the_wheel_carries_the_license(wheel):
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
    assert metadata(wheel)["License-Expression"] == "BSD-3-Clause"


def test_the_sdist_holds_what_builds_and_tests_it(sdist_names):
    wanted = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "kernels/py.typed"}
    wanted |= sources() | {"tests/conftest.py", "tests/test_package.py", "docs/conf.py"}
    assert wanted <= sdist_names


def test_the_sdist_holds_nothing_that_was_generated(sdist_names):
    generated = (
        "docs/_build",
        "docs/auto_gallery",
        "docs/reference/generated",
        ".hypothesis",
        "dist",
        "build",
    )
    assert not {name for name in sdist_names if name.startswith(generated) or "__pycache__" in name}


def test_the_version_comes_from_the_package(wheel):
    assert metadata(wheel)["Version"] == kernels.__version__


def test_importing_prints_nothing():
    assert in_a_fresh_process("import kernels") == ""


def test_importing_touches_no_driver():
    code = """
from numba.cuda.cudadrv.driver import Driver
touched = []
initialise = Driver.ensure_initialized
Driver.ensure_initialized = lambda self: (touched.append(self), initialise(self))
import kernels
print(len(touched))
"""
    assert in_a_fresh_process(code).strip() == "0"


def test_importing_compiles_nothing():
    code = """
import gc, kernels
from numba.cuda.dispatcher import CUDADispatcher
dispatchers = [thing for thing in gc.get_objects() if type(thing) is CUDADispatcher]
print([str(d) for d in dispatchers if d.overloads])
"""
    assert in_a_fresh_process(code).strip() == "[]"


def test_importing_loads_no_package_that_only_some_calls_need():
    loaded = set(in_a_fresh_process("import sys, kernels; print(*sys.modules)").split())
    assert {"numpy", "numba", "kernels"} <= loaded
    assert not loaded & {"rich", "hypothesis", "matplotlib", "mpmath", "torch", "cupy", "jax", "pytest"}

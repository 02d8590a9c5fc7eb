"""Run one module of numba-cuda's tests in this process, writing one line of JSON per event.

The modules are imported under their own names (`numba.cuda.tests...`): pytest, given their paths, would import them a
second time under others. So pytest collects `suite.py`, which takes over the contents of the module that is being run.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import unittest
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from numba import cuda
from numba.cuda.core import config
from numba.cuda.simulator.kernel import FakeOverload

ROOT = "numba.cuda.tests"
REPOSITORY = Path(__file__).parents[3]
#: The name that stands for a whole module, where it does not import or dies before its first test.
IMPORT = "(import)"
#: The reason of a test that ran until it asked for generated code.
GENERATED = "reads the code that a GPU's compiler makes"

# These ask for the simulator while they are imported and then skip themselves, or leave out what the others need.
ASK_AT_IMPORT = (
    "cudapy.extensions_usecases",
    "cudapy.test_bfloat16",
    "cudapy.test_bfloat16_bindings",
    "cudapy.test_extending",
    "cudapy.test_fp8_bindings",
)
NEED_EXTENSIONS = ("cudapy.test_localmem", "cudapy.test_sm", "cudapy.test_sm_creation")

COMPILES = ("compile", "compile_all", "compile_for_current_device", "compile_ptx", "compile_ptx_for_current_device")
INSPECTS = ("inspect_asm", "inspect_llvm", "inspect_lto_ptx", "inspect_sass", "inspect_sass_cfg", "inspect_types")

#: The function that imports the module which `suite.py` shows to pytest.
current = None


def modules():
    """Names of all test modules of the installed numba-cuda, without the leading `numba.cuda.tests`."""
    root = Path(importlib.import_module(ROOT).__file__).parent
    paths = sorted(path.relative_to(root).with_suffix("") for path in root.glob("*/test_*.py"))
    # The benchmarks need a GPU and a plug-in of pytest.
    return [".".join(path.parts) for path in paths if path.parts[0] != "benchmarks"]


def install(engine):
    """Put our engine under every launch and take away the decorators that skip tests on the simulator."""
    from kernels import simulator

    # Indices are checked, as the stock simulator does; races are not, nor reads of memory that nothing wrote: some of
    # these tests have both, harmlessly. As many blocks are resident as the example of a grid's barrier asks for, and
    # there are as many devices as the tests of several ask for.
    os.environ["KERNELS_SIMULATOR_DEVICES"] = "2"
    simulator.install(engine=engine, checks="bounds", resident=64)
    from numba.cuda import testing  # not before, as in a project that is tested with the plugin

    testing.skip_on_cudasim = lambda reason: lambda test: test
    testing.cc_X_or_above = lambda major, minor: True
    for name in ("is_float16_supported", "is_bfloat16_supported", "is_fp8_supported"):
        setattr(sys.modules["numba.cuda.api"], name, lambda: True)
    _stop_at_generated_code()
    _install_in_subprocesses(engine)


def _stop_at_generated_code():
    """End a test, as skipped, where it asks for the code that a GPU's compiler makes: all before that has run."""

    def stop(*args, **options):
        raise unittest.SkipTest(GENERATED)

    for name in COMPILES:
        setattr(sys.modules["numba.cuda.compiler"], name, stop)
        setattr(cuda, name, stop)
    kernel = cuda.jit(lambda: None)
    for owner in (type(kernel), type(kernel.overloads[()]), FakeOverload):
        for name in INSPECTS:
            setattr(owner, name, stop)


def _install_in_subprocesses(engine):
    """Start with our engine the programs that tests hand to a fresh interpreter."""
    run = subprocess.run
    first = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from kernels import simulator; "
    first += f"simulator.install(engine={engine!r}, checks='bounds')\n"

    def run_installed(command, *args, **options):
        if isinstance(command, list) and "-c" in command and "cuda.jit" in command[-1]:
            command = [*command[:-1], first + command[-1]]
        return run(command, *args, **options)

    subprocess.run = run_installed


@contextmanager
def _simulator_unseen(module):
    """Import `module` as on a GPU, where it asks."""
    seen = config.ENABLE_CUDASIM
    config.ENABLE_CUDASIM = 0 if module in ASK_AT_IMPORT else seen
    try:
        yield
    finally:
        config.ENABLE_CUDASIM = seen


def _import(module):
    return importlib.import_module(f"{ROOT}.{module}")


def _load(module):
    with _simulator_unseen(module):
        return _import(module)


def _load_unskipped(module):
    """Import `module` with what it leaves out on the simulator."""
    if module in NEED_EXTENSIONS:
        # One or two tests of the module need these; where they do not import, the others run all the same.
        with suppress(Exception):
            _load("cudapy.extensions_usecases")
    return _load(module)


class Recorder:
    """Pytest plugin: the time limit of a test, the tests to leave out, and the record of what happened."""

    def __init__(self, file, done, limit):
        self.file, self.done, self.limit = file, done, limit

    def write(self, **event):
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()

    def pytest_collection_modifyitems(self, items):
        items[:] = [item for item in items if _name(item.nodeid) not in self.done]

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(test=IMPORT, status="failed", reason=_last_error(report))
        elif report.skipped:
            self.write(test=IMPORT, status="skipped", reason=_skip_reason(report))

    def pytest_runtest_logstart(self, nodeid, location):
        # An alarm with its default action ends the process even inside compiled code that never returns.
        signal.setitimer(signal.ITIMER_REAL, self.limit)
        self.write(test=_name(nodeid), status="started")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.write(test=_name(report.nodeid), status="failed", reason=_last_error(report))
        elif report.skipped and not hasattr(report, "wasxfail"):
            self.write(test=_name(report.nodeid), status="skipped", reason=_skip_reason(report))
        elif report.when == "call":
            self.write(test=_name(report.nodeid), status="passed")

    @pytest.fixture
    def initialize_from_pytest_config(self, request):
        """Stand for the fixture of numba-cuda's own conftest.py, which is not in the package."""
        request.instance._dump_failed_filechecks = False


def _name(nodeid):
    return nodeid.partition("::")[2].replace("::", ".")


def _last_error(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr).strip().splitlines()[-1].removeprefix("E ")
    return " ".join(message.split())[:200]


def _skip_reason(report):
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def run(module, engine, events, done, limit):
    """Run `module`, without the tests in `done`, appending events to the file `events`."""
    global current
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limit)
    with open(events, "a") as file:
        recorder = Recorder(file, done, limit)
        current = partial(_import if engine == "stock" else _load_unskipped, module)
        suite = str(Path(__file__).with_name("suite.py"))
        options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(Path(suite).parent)]
        return pytest.main([*options, suite], plugins=[recorder])

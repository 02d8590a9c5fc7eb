"""Kernels of histograms, compiled for every architecture as their launches would have them, with no GPU."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from kernels import inspect
from kernels.reductions.histograms import launching, search, tallies
from kernels.reductions.histograms import public as histograms
from kernels.reductions.histograms.tables import Table
from kernels.runtime.arrays import Operand, contiguous_strides

ARCHITECTURES = ((7, 5), (9, 0), (10, 0))
#: Of the device that launches are prepared for.
LIMITS = launching.H100


def on_device(name, dtype, shape, pointer=1 << 20):
    """An operand on a device that is not there."""
    dtype = np.dtype(dtype)
    return Operand(name, "numba", None, dtype, shape, contiguous_strides(shape), pointer, 0, 0)


@pytest.fixture
def launches(monkeypatch):
    """What is prepared for launch: kernels and their signatures."""
    found = []

    def prepared(kernel, arguments, *rest, **options):
        found.append((kernel, tuple(x.native for x in arguments)))

        def run(stream, *words):
            """Nothing."""

        run.load = lambda: None
        return run

    monkeypatch.setattr(launching, "prepared", prepared)
    monkeypatch.setattr(tallies, "prepared", prepared)
    monkeypatch.setattr(launching, "limits", lambda device: LIMITS)
    monkeypatch.setattr(Table, "on", lambda self, device: 1 << 21)
    return found


def task_of(name, samples, monkeypatch, **options):
    """The task of a call of these samples."""
    made = []
    for module in (histograms, search):
        monkeypatch.setattr(module, "sample", lambda x, name: x)
    monkeypatch.setattr(histograms.Request, "__init__", _request)
    monkeypatch.setattr(histograms.Request, "call", lambda self, task, shape, dtype: made.append((task, dtype)))
    examine = {"histogram": histograms._examine_histogram, "histogram2d": histograms._examine_plane}[name]
    examine(samples, None, True, None, **options)
    return made[0]


def _request(self, name, xs, out, stream):
    self.name, self.xs, self.out = name, xs, out


def compiled(launches):
    """Reports of every launch."""
    for kernel, signature in launches:
        for cc in ARCHITECTURES:
            yield inspect.compile(kernel, signature, cc)


CASES = {
    "floats in few bins": ("f", 16, None, 1 << 20, False),
    "floats at odd addresses": ("f", 256, None, (1 << 20) + 4, False),
    "floats in many bins": ("f", 4096, None, 1 << 20, False),
    "floats in bins of one column": ("f", 30_000, None, 1 << 20, False),
    "doubles": ("d", 256, None, 1 << 20, False),
    "halves": ("e", 256, None, 1 << 20, False),
    "bytes": ("B", 256, None, 1 << 20, False),
    "integers": ("i", 4096, None, 1 << 20, False),
    "bins beyond shared memory": ("f", 1_000_000, None, 1 << 20, False),
    "densities": ("f", 256, None, 1 << 20, True),
    "weights": ("f", 256, "f", 1 << 20, False),
    "weights of integers": ("f", 256, "i", 1 << 20, False),
    "complex weights beyond shared memory": ("f", 300_000, "D", 1 << 20, True),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_of_histograms_compile_without_spills(case, launches, monkeypatch):
    dtype, bins, weights, pointer, density = CASES[case]
    samples = [on_device("a", dtype, (1 << 22,), pointer)]
    if weights:
        samples.append(on_device("weights", weights, (1 << 22,)))
    task, kind = task_of(
        "histogram", samples, monkeypatch, bins=bins, limits=(0, 200), kinds=(int, int), density=density
    )
    task.launch(samples, None, [on_device("out", kind, task.shape)], task.shape, 0)
    assert len(launches) == {None: 1 + density, "i": 2}.get(weights, 3)
    for report in compiled(launches):
        assert (report.spills, report.local) == (0, 0), report


LAUNCHES = """
    import ctypes
    from tests import faked_driver
    from kernels.runtime import launch
    from kernels.reductions.histograms import public as histograms, launching, search

    launching.limits = lambda device: launching.H100
    launching.registers = lambda function: 40
    launched = []

    def words(function, *given):
        grid, (stream, address, _) = given[:3], given[-3:]
        first = (ctypes.c_void_p * 2).from_address(address)
        launched.append((grid, *(ctypes.c_uint32.from_address(at).value for at in first)))
        return (faked_driver.real.CUresult.CUDA_SUCCESS,)

    launch.driver.cuLaunchKernel = words
    """


def run(program, environment):
    """What a program prints after `LAUNCHES`."""
    text = textwrap.dedent(LAUNCHES) + textwrap.dedent(program)
    variables = environment | {"NUMBA_ENABLE_CUDASIM": "0"}
    done = subprocess.run([sys.executable, "-c", text], env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_plan_is_told_where_samples_begin(environment):
    program = """
        for k in (1, 1, 1, 1, 2, 3, 5, 0):
            histograms.histogram(faked_driver.device_array(1000, pointer=(1 << 20) + 4 * k), 16, (-4, 4))
        print(*(head for _, n, head in launched if n == 1000), len(histograms._histogram._plans))
        """
    assert run(program, environment) == [*"33332130", "1"]


def test_a_repeated_call_is_launched_at_once_and_a_new_range_uploads_its_edges(environment):
    program = """
        from kernels.runtime import memory
        uploads = []
        memory.driver.cuMemcpyHtoDAsync = lambda *given: uploads.append(given) or (faked_driver.real.CUresult(0),)
        x = faked_driver.device_array(1 << 20)
        for k in range(5):
            histograms.histogram(x, 16, (-4, 4))
        print(len(launched), len(uploads))
        histograms.histogram(x, 16, (-4, 5))
        print(len(launched), len(uploads))
        """
    assert run(program, environment) == ["5", "2", "6", "4"]


def test_passes_share_the_blocks_that_run_at_once(environment):
    program = """
        x = faked_driver.device_array(1 << 28, pointer=1 << 32)
        for bins in (4096, 30_000, 100_000, 1_000_000, 10_000_000):
            launched.clear()
            histograms.histogram(x, bins, (-4, 4))
            print(*launched[0][0][:2])
        """
    assert run(program, environment) == "1 132 1 132 2 66 18 7 1 396".split()


def test_tables_stay_as_long_as_a_plan_may_read_them(environment):
    program = """
        import gc
        from kernels.reductions.histograms import tables
        tables.RETIRED = 10**6
        x = faked_driver.device_array(1 << 20)
        for k in range(4):
            histograms.histogram(x, 16, (-4, 4))
        for k in range(100):
            histograms.histogram(x, 16, (-4, 5 + k))
        histograms._equal_bins.cache_clear()
        gc.collect()
        print(*map(len, tables._retired.values()))
        histograms._histogram._plans.clear()
        gc.collect()
        print(*map(len, tables._retired.values()))
        """
    assert run(program, environment) == ["200", "202"]

"""The random kernels: what is drawn, that it compiles, that its bits are defined, and the command that compares."""

import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from kernels.testing import programs

QUICK = settings(max_examples=2000, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
SHRUNK = settings(QUICK, phases=[Phase.generate, Phase.shrink], max_examples=1000)

MARKS = {
    "if": r"\n +if ",
    "for": r"\n +for ",
    "while": r"\n +while ",
    "break": r"break|continue",
    "tuple": r"p\d+\[",
    "local": r"cuda\.local\.array",
    "function": r"device=True",
    "shared": r"cuda\.shared\.array\([1-9(]",
    "dynamic": r"cuda\.shared\.array\(0, ",
    "count": r"syncthreads_(count|and|or)\(",
    "shuffle": r"shfl_",
    "vote": r"cuda\.(ballot|any|all|eq)_sync\(",
    "match": r"match_(any|all)_sync",
    "atomic": r"cuda\.atomic\.",
}
# Partial warps hold an `if`, local arrays a `for`, histograms in shared memory atomics.
EXCLUSIVE = sorted(set(MARKS) - {"if", "for", "atomic"})


def some_programs(count):
    return [programs.random_program(f"test {number}") for number in range(count)]


def test_there_is_a_mark_for_every_feature():
    assert set(MARKS) == set(programs.FEATURES)


@pytest.mark.parametrize("feature", programs.FEATURES)
def test_every_feature_is_drawn(feature):
    assert re.search(MARKS[feature], find(programs.kernels(), _marked(MARKS[feature]), settings=QUICK).source)


@pytest.mark.parametrize(
    "pattern",
    [
        *(rf"np\.{dtype}\(" for dtype in programs.INTEGERS + programs.FLOATS),
        *("np.bool_", r"math\.sqrt", r"math\.floor", r"math\.ceil", "popc", "clz", "ffs", "brev", "selp"),
        *("//", "%", "<<", ">>", "syncwarp", "shfl_sync", "shfl_up", "shfl_down", "shfl_xor", "match_any", "match_all"),
        *("any_sync", "all_sync", "eq_sync", "ballot_sync", r"_sync\(0xffff,", r"_sync\(0xffff0000,", r"_sync\(0x1,"),
        *("h\\d+ = cuda.shared", r"return\n", r"cuda\.grid\(2\)", *(rf"atomic\.{op}" for op in programs.ATOMICS)),
    ],
)
def test_the_vocabulary_is_drawn(pattern):
    assert any(re.search(pattern, program.source) for program in some_programs(600))


def _marked(pattern):
    return lambda program: re.search(pattern, program.source)


@pytest.mark.parametrize("feature", EXCLUSIVE)
def test_a_feature_that_is_not_asked_for_is_not_drawn(feature):
    others = [other for other in programs.FEATURES if other != feature]
    for number in range(50):
        assert not re.search(MARKS[feature], programs.random_program(number, others).source)


def test_an_unknown_feature_is_refused():
    with pytest.raises(ValueError, match=r"features must be of .*; got goto"):
        programs.kernels(["goto"])


@given(program=programs.kernels())
def test_a_kernel_shows_its_source(program):
    kernel = program.compile()
    function = inspect.unwrap(getattr(kernel, "py_func", None) or kernel.fn)
    assert inspect.getsource(function) in program.source
    assert list(inspect.signature(function).parameters) == [array.name for array in program.arrays]


@given(program=programs.kernels(), seed=st.integers(0, 2**32 - 1))
def test_arguments_depend_on_the_seed_alone_and_are_bounded(program, seed):
    arguments = program.arguments(np.random.default_rng(seed))
    assert programs.digest(arguments) == programs.digest(program.arguments(np.random.default_rng(seed)))
    for array, value in zip(program.arrays, arguments, strict=True):
        assert (value.dtype.name, value.shape) == (array.dtype, array.shape)
        if value.dtype.kind == "f":
            assert np.all(np.abs(value) <= programs.LIMIT)


@given(program=programs.kernels())
def test_a_launch_is_small_and_outputs_fit_it(program):
    threads = int(np.prod(program.block) * np.prod(program.grid))
    assert threads <= 300
    for array in program.arrays:
        if array.name.startswith("out"):
            assert array.shape[0] <= threads
    assert program.shared == 0 or "cuda.shared.array(0, " in program.source


def test_numbered_programs_are_the_same_everywhere():
    assert repr(programs.random_program("1 7")) == repr(programs.random_program("1 7"))
    assert len({program.source for program in some_programs(100)}) == 100


@pytest.mark.parametrize("pattern", [r"shfl_", r"syncthreads\(\)", r"math\.sqrt"])
def test_a_failure_shrinks_to_a_short_program(pattern):
    program = find(programs.kernels(), _marked(pattern), settings=SHRUNK)
    assert len(program.source.splitlines()) <= 30
    assert np.prod(program.grid) == 1


# Each fused multiply-add that is left must have an exact product: with a power of two.
OFFLINE = """
import re
import sys
from types import SimpleNamespace
import numpy as np
from numba import cuda, typeof
from numba.cuda import dispatcher
from kernels.testing import programs

dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
for number in range(int(sys.argv[1])):
    program = programs.random_program(f"test {number}")
    types = tuple(map(typeof, program.arguments(np.random.default_rng(0))))
    ptx, _ = cuda.compile_ptx(program.compile().py_func, types, cc=(9, 0))
    for line in re.findall("fma.*", ptx):
        constant = re.search("0([fd])([0-9A-Fa-f]+)", line)
        assert constant, line
        assert int(constant[2], 16) % 2 ** {"f": 23, "d": 52}[constant[1]] == 0, line
    assert "div.full" not in ptx and "div.approx" not in ptx and "sqrt.approx" not in ptx
print("compiled")
"""


def test_programs_compile_for_cuda_and_no_product_is_contracted():
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    command = [sys.executable, "-c", OFFLINE, "10"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "compiled\n"), ended.stderr


def untouched(program, rng):
    return program.arguments(rng)


def touched(program, rng):
    arguments = program.arguments(rng)
    arguments[0][...] = 1
    return arguments


def failing(program, rng):
    raise RuntimeError("no such device")


def test_the_command_compares_engines_by_their_bits(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "results.npz")
    monkeypatch.setitem(programs.ENGINES, "cuda", untouched)
    assert programs.main(["--count", "5", "--out", path]) == 0
    assert programs.main(["--count", "5", "--against", path]) == 0
    assert capsys.readouterr().out.endswith("5 programs, 0 failed, 0 different\n")
    monkeypatch.setitem(programs.ENGINES, "cuda", touched)
    assert programs.main(["--count", "5", "--against", path]) == 1
    assert capsys.readouterr().out.endswith("5 programs, 0 failed, 5 different\n")


def test_the_command_says_what_failed_and_refuses_other_programs(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "results.npz")
    monkeypatch.setitem(programs.ENGINES, "cuda", failing)
    assert programs.main(["--count", "2", "--out", path]) == 1
    assert "program 1: RuntimeError: no such device\n2 programs, 2 failed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="holds other programs"):
        programs.main(["--count", "2", "--seed", "9", "--against", path])


def test_the_command_shows_a_program(capsys):
    assert programs.main(["--seed", "3", "--show", "4"]) == 0
    assert capsys.readouterr().out == repr(programs.random_program("3 4"))

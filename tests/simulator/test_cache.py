"""Compiled kernels on disk: found by all that they depend on, by nothing else, and never trusted blindly."""

import os
import subprocess
import sys
import textwrap
import threading
import uuid

import numpy as np
import pytest
from numba import cuda, types

from kernels.simulator import memory, simulate
from kernels.simulator.compiled import build, cache, fibers

pytestmark = pytest.mark.skipif(not fibers.supported(), reason="no native fibres on this machine")

VECTOR = types.Array(types.float64, 1, "C")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    assert memory.place.address  # the simulator's own routines stay where they are kept
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "entries")
    return tmp_path / "entries"


def entries(folder):
    return sorted(folder.glob("*.o"))


def made(source, **names):
    """The function ``kernel`` of a source text, in a module with other names."""
    module = {"cuda": cuda, "np": np, **names}
    exec(textwrap.dedent(source), module)
    return module["kernel"]


def key(source, arguments=(VECTOR,), options=(), **names):
    return cache.kernel_key(made(source, **names), arguments, *options)


SCALE = """
    def kernel(x):
        i = cuda.grid(1)
        if i < x.size:
            x[i] *= factor
    """


# --- what a key says ----------------------------------------------------------------------------------------


def test_same_kernel_has_the_same_key_wherever_it_stands():
    assert key(SCALE, factor=2) == key("\n\n# moved" + textwrap.dedent(SCALE), factor=2) is not None


def test_place_of_a_kernel_that_raises_is_part_of_the_key():
    refuse = SCALE + "    if i == 7: raise ValueError(i)\n"
    assert key(refuse, factor=2) == key(refuse, factor=2) is not None
    assert key(refuse, factor=2) != key("\n" + textwrap.dedent(refuse), factor=2)


@pytest.mark.parametrize("other", [3, 2.0, True, np.float32(2), np.float64(2), np.int64(2)])
def test_value_and_type_of_a_constant_are_part_of_the_key(other):
    assert key(SCALE, factor=other) not in (None, key(SCALE, factor=2))


def test_code_is_part_of_the_key():
    assert key(SCALE, factor=2) != key(SCALE.replace("*=", "+="), factor=2)
    assert key(SCALE.replace("factor", "2"), factor=2) != key(SCALE.replace("factor", "3"), factor=2)


def test_types_of_arguments_are_part_of_the_key():
    arrays = [types.Array(t, n, o, readonly=r) for t in (types.float32, types.float64) for n, o in ((1, "C"), (2, "F"))
              for r in (False, True)]  # fmt: skip
    arrays += [types.Array(types.Record.make_c_struct([(name, t)]), 1, "C") for name in "ab"
               for t in (types.float32, types.float64)]  # fmt: skip
    kinds = [*arrays, types.int64, types.float64, types.UniTuple(VECTOR, 2), types.none]
    keys = {key(SCALE, (kind,), factor=2) for kind in kinds}
    assert len(keys) == len(kinds)
    assert None not in keys


def test_options_are_part_of_the_key():
    assert key(SCALE, options=(True,), factor=2) != key(SCALE, options=(False,), factor=2)


def test_device_functions_are_part_of_the_key():
    source = """
        def kernel(x):
            x[0] = inner(x[0])
        """

    def with_constant(c):
        outer = {"c": c}
        exec("def inner(v):\n    return v + c\n", outer)
        return key(source, inner=cuda.jit(device=True)(outer["inner"]))

    assert with_constant(1) == with_constant(1) is not None
    assert with_constant(1) != with_constant(2)


def test_functions_that_call_themselves_have_a_key():
    @cuda.jit(device=True)
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    def kernel(x):
        x[0] = factorial(x.size)

    assert cache.kernel_key(kernel, (VECTOR,)) is not None


def test_elements_and_layout_of_a_constant_array_are_part_of_the_key():
    source = """
        def kernel(x):
            x[0] = cuda.const.array_like(table)[0, 1]
        """
    tables = [np.arange(6.0).reshape(2, 3), np.arange(1.0, 7).reshape(2, 3), np.arange(6.0, dtype="f4").reshape(2, 3),
              np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(6.0).reshape(3, 2)]  # fmt: skip
    keys = [key(source, table=table) for table in tables]
    assert len(set(keys)) == len(tables)
    assert key(source, table=tables[0].copy()) == keys[0]


def test_kernel_that_names_an_unknown_object_is_not_kept():
    assert key(SCALE, factor=object()) is None


def test_kernel_whose_argument_is_a_function_is_not_kept():
    assert key(SCALE, (types.FunctionType(types.int64(types.int64)),), factor=2) is None


# --- entries ------------------------------------------------------------------------------------------------


def launched(kernel, n=64, **options):
    x = np.arange(float(n))
    simulate(kernel, checks="none", **options)[2, 32](x)
    return x


def stop_compiling(monkeypatch):
    def kernel(*_):
        raise AssertionError("a kernel is compiled")

    monkeypatch.setattr(build, "kernel", kernel)


def test_kept_kernel_runs_without_being_compiled(folder, monkeypatch):
    expected = launched(made(SCALE, factor=2))
    assert len(entries(folder)) == 1
    stop_compiling(monkeypatch)
    np.testing.assert_array_equal(launched(made(SCALE, factor=2)), expected)
    with pytest.raises(AssertionError, match="compiled"):
        launched(made(SCALE, factor=3))


def test_kernel_with_shared_memory_and_barriers_is_kept(folder, monkeypatch):
    source = """
        def kernel(x):
            s = cuda.shared.array(32, np.float64)
            t = cuda.shared.array(32, np.float64)
            i, k = cuda.grid(1), cuda.threadIdx.x
            s[k], t[k] = x[i], -x[i]
            cuda.syncthreads()
            x[i] = s[31 - k] + 2 * t[k] + cuda.shfl_xor_sync(0xFFFFFFFF, x[i], 1)
        """
    expected = launched(made(source))
    stop_compiling(monkeypatch)
    np.testing.assert_array_equal(launched(made(source)), expected)
    np.testing.assert_array_equal(launched(made(source), seed=3), expected)


def test_kept_kernel_raises_its_exceptions(folder, monkeypatch):
    source = """
        def kernel(x):
            if cuda.grid(1) == 40:
                raise ValueError("forty", 40)
        """
    for _ in range(2):
        with pytest.raises(ValueError, match="forty") as caught:
            launched(made(source))
        assert caught.value.args == ("forty", 40)
        stop_compiling(monkeypatch)


def test_kernel_that_prints_is_not_kept(folder, capfd):
    source = """
        def kernel(x):
            if cuda.grid(1) == 0:
                print("x", x[1])
        """
    for _ in range(2):
        launched(made(source))
    assert "x 1.0" in capfd.readouterr().out
    assert not entries(folder)


@pytest.mark.parametrize("damage", [b"", b"nonsense", "half", "bit"])
def test_damaged_entry_is_made_again(folder, damage):
    expected = launched(made(SCALE, factor=2))
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    flipped = bytearray(whole)
    flipped[-100] ^= 1
    entry.write_bytes({"half": whole[: len(whole) // 2], "bit": bytes(flipped)}.get(damage, damage))
    with pytest.warns(cache.CacheWarning, match="damaged"):
        np.testing.assert_array_equal(launched(made(SCALE, factor=2)), expected)
    assert cache.get(entry.stem) is not None


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "folder", lambda: tmp_path / "file" / "entries")
    assert launched(made(SCALE, factor=2))[3] == 6


def test_entry_that_needs_what_this_process_lacks_is_made_again(folder, monkeypatch):
    launched(made(SCALE, factor=2))
    (entry,) = entries(folder)
    facts, code = cache.get(entry.stem)
    cache.put(entry.stem, facts | {"needs": ["a_function_that_nobody_has"]}, code)
    assert launched(made(SCALE, factor=2))[3] == 6
    assert cache.get(entry.stem)[0] == facts


def test_oldest_entries_go_first(folder, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    for k in range(8):
        cache.put(f"{k}", {}, bytes(2000))
        if cache.get("0"):
            os.utime(folder / "0.o", (2e9, 2e9))  # used last
        os.utime(folder / f"{k}.o", (k + 1, k + 1) if k else (2e9, 2e9))
    assert {entry.stem for entry in entries(folder)} == {"0", "5", "6", "7"}


def test_reader_finds_whole_entries_while_others_write_them(folder):
    bodies = [bytes([k]) * 100_000 for k in range(4)]

    def write(body):
        for _ in range(20):
            cache.put("entry", {"first": body[0]}, body)

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = cache.get("entry")  # a damaged one would warn, and tests take warnings for errors
        assert found is None or found[1] == bodies[found[0]["first"]]
    assert [entry.name for entry in folder.iterdir()] == ["entry.o"]


def test_names_that_an_object_file_needs_are_read_from_it(folder):
    source = """
        def kernel(x):
            x[0] = np.sin(x[0])
        """
    launched(made(source))
    ((facts, code),) = [cache.get(entry.stem) for entry in entries(folder)]
    assert facts["needs"] == sorted(cache.needs(code)) == ["sin"]


# --- other processes ----------------------------------------------------------------------------------------


def test_another_process_starts_no_compiler_for_a_kept_kernel():
    script = f"""
        import sys
        import numpy as np
        from numba import cuda
        from kernels.simulator import memory, simulate

        def kernel(x):
            x[cuda.grid(1)] += {uuid.uuid4().int % 2**32}

        x = np.zeros(64)
        simulate(kernel)[2, 32](x)
        print("kernels.simulator.compiled.build" in sys.modules, int(x[0]) == int(x[63]) != 0)
        """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    outputs = [subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert outputs == ["True True\n", "False True\n"]


def test_importing_the_simulator_compiles_nothing():
    script = """
        import sys
        import kernels.simulator
        names = [name for name in sys.modules if name.startswith("kernels.simulator.")]
        print(any(name.split(".")[2] in ("compiled", "interpreted", "functions", "scheduler") for name in names))
        """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "False\n"

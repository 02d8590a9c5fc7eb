"""Compiled code on disk: whole or not there, bounded, and never a reason to fail."""

import errno
import json
import os
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest

from kernels import storage
from kernels.__main__ import main


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNELS_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(root):
    return storage.folder("gpu")


def code(seed=0, size=5000):
    return np.random.default_rng(seed).bytes(size)


def refuse(number):
    def function(*_, **__):
        raise OSError(number, os.strerror(number))

    return function


# --- entries ------------------------------------------------------------------------------------------------


def test_entry_is_found_as_it_was_put(folder):
    facts = {"entry": "kernel", "cooperative": False}
    assert storage.get(folder, "a") is None
    storage.put(folder, "a", facts, code())
    assert storage.get(folder, "a") == (facts, code())
    assert storage.get(folder, "b") is None


def test_entry_that_is_put_again_is_replaced(folder):
    storage.put(folder, "a", {}, code(1))
    storage.put(folder, "a", {}, code(2))
    assert storage.get(folder, "a") == ({}, code(2))
    assert [file.name for file in folder.iterdir()] == ["a.o"]


def test_any_damaged_byte_is_noticed(folder):
    storage.put(folder, "a", {"entry": "kernel"}, code(size=100))
    path = folder / "a.o"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.warns(storage.CacheWarning, match="damaged"):
            assert storage.get(folder, "a") is None


def test_truncated_entry_is_noticed(folder):
    storage.put(folder, "a", {"entry": "kernel"}, code(size=100))
    path = folder / "a.o"
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.warns(storage.CacheWarning, match="damaged"):
            assert storage.get(folder, "a") is None


def test_unreadable_entry_is_noticed(folder):
    (folder / "a.o").mkdir(parents=True)
    with pytest.warns(storage.CacheWarning, match=r"a\.o cannot be read"):
        assert storage.get(folder, "a") is None
    storage.put(folder, "a", {}, code())  # which cannot replace it
    assert [file.name for file in folder.iterdir()] == ["a.o"]


def test_entry_of_a_read_only_folder_is_found(folder, monkeypatch):
    storage.put(folder, "a", {}, code())
    monkeypatch.setattr(tempfile, "mkstemp", refuse(errno.EROFS))
    monkeypatch.setattr(os, "utime", refuse(errno.EROFS))
    assert storage.get(folder, "a") == ({}, code())
    storage.put(folder, "b", {}, code())
    assert [file.name for file in folder.iterdir()] == ["a.o"]


def test_full_disk_keeps_no_part_of_an_entry(folder, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse(errno.ENOSPC))
    storage.put(folder, "a", {}, code())
    assert list(folder.iterdir()) == []


def test_nothing_is_kept_where_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "gpu"
    storage.put(folder, "a", {}, code())
    assert storage.get(folder, "a") is None
    with storage.alone(folder, "a"):
        assert storage.usage(folder) == storage.clear(folder) == (0, 0)


# --- places -------------------------------------------------------------------------------------------------


def test_place_is_the_first_that_the_environment_names(tmp_path, monkeypatch):
    for name in ("KERNELS_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(storage.config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(storage.place("gpu")) == "/home/someone/.cache/numba-kernels/gpu"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(storage.place("gpu")) == "/xdg/numba-kernels/gpu"
    monkeypatch.setattr(storage.config, "CACHE_DIR", "/numba")
    assert str(storage.place("simulator")) == "/numba/kernels-simulator"
    monkeypatch.setenv("KERNELS_CACHE_DIR", "/own")
    assert str(storage.place("simulator")) == "/own/simulator"


def test_user_without_a_home_has_no_cache(tmp_path, monkeypatch, capsys):
    for name in ("KERNELS_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(storage.config, "CACHE_DIR", "")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user id that no name belongs to
    monkeypatch.chdir(tmp_path)
    folder = storage.folder("gpu")
    storage.put(folder, "a", {}, code())
    with storage.alone(folder, "a"):
        assert storage.get(folder, "a") is None
    assert list(tmp_path.iterdir()) == []
    assert main(["cache", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpu"]["folder"] is None
    assert main(["cache", "clear"]) == 0


# --- size ---------------------------------------------------------------------------------------------------


def test_entries_used_last_stay(folder):
    for k in range(4):
        storage.put(folder, f"{k}", {}, code(k), 25_000)
        os.utime(folder / f"{k}.o", (k, k))
    storage.get(folder, "0")
    storage.put(folder, "4", {}, code(4), 25_000)
    storage.put(folder, "5", {}, code(5), 25_000)
    assert {file.stem for file in folder.iterdir()} == {"0", "3", "4", "5"}
    assert storage.usage(folder)[1] <= 25_000


def test_entry_larger_than_all_may_be_drops_no_other(folder):
    storage.put(folder, "a", {}, code(), 20_000)
    storage.put(folder, "b", {}, code(size=30_000), 20_000)
    assert [file.stem for file in folder.iterdir()] == ["a"]


def limit_of(size):
    script = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            from kernels import storage
        print(storage.LIMIT, storage.folder("gpu"), *(w.message for w in caught if w.category is storage.CacheWarning))
        """
    environment = os.environ | {"KERNELS_CACHE_SIZE": size, "KERNELS_CACHE_DIR": "/somewhere"}
    run = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_size_is_what_the_environment_says():
    assert limit_of("1.5") == f"{3 << 19} /somewhere/gpu"


def test_size_0_turns_the_cache_off():
    assert limit_of("0") == "0 None"


@pytest.mark.parametrize("size", ["much", "-1", "inf", "nan"])
def test_size_that_is_none_is_refused_by_name(size):
    found = limit_of(size)
    assert found.startswith(f"{storage.DEFAULT_SIZE << 20} /somewhere/gpu KERNELS_CACHE_SIZE must be")
    assert repr(size) in found


# --- other processes ----------------------------------------------------------------------------------------


def test_processes_that_write_at_once_leave_whole_entries_and_the_bound(folder):
    script = f"""
        import sys, warnings
        from pathlib import Path
        import numpy as np
        from kernels import storage
        warnings.simplefilter("error")
        folder, rng = Path({str(folder)!r}), np.random.default_rng(int(sys.argv[1]))
        seen = 0
        for k in range(200):
            name, seed = str(rng.integers(12)), int(rng.integers(1000))
            storage.put(folder, name, {{"seed": seed}}, np.random.default_rng(seed).bytes(5000), 40_000)
            found = storage.get(folder, str(rng.integers(12)))
            if found is not None:
                seen += 1
                assert found[1] == np.random.default_rng(found[0]["seed"]).bytes(5000)
        assert seen
        """
    run = [sys.executable, "-c", textwrap.dedent(script)]
    writers = [subprocess.Popen([*run, str(k)], stderr=subprocess.PIPE, text=True) for k in range(4)]
    problems = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, problems
    storage.put(folder, "last", {}, code(), 40_000)  # writers at once may each have added one
    assert all(file.suffix == ".o" for file in folder.iterdir())
    assert 30_000 <= storage.usage(folder)[1] <= 40_000


# --- the command line ---------------------------------------------------------------------------------------


def test_command_says_what_there_is_and_clears_it(root, capsys):
    storage.put(storage.folder("gpu"), "a", {}, code(1))
    storage.put(storage.folder("gpu"), "b", {}, code(2))
    storage.put(storage.folder("simulator"), "c", {}, code(3))
    (root / "gpu" / "left.tmp").write_bytes(code(4))
    assert main(["cache", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {kind: each["entries"] for kind, each in found.items()} == {"gpu": 2, "simulator": 1}
    assert found["gpu"]["folder"] == str(root / "gpu")
    assert found["gpu"]["limit"] == storage.LIMIT
    size = sum(file.stat().st_size for file in root.glob("*/*"))
    assert sum(each["bytes"] for each in found.values()) == size > 20_000
    assert main(["cache"]) == 0
    assert "GPU kernels" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "Removed 3 entries" in capsys.readouterr().out
    assert list(root.glob("*/*")) == []


def test_command_works_where_nothing_was_kept(root, capsys):
    assert main(["cache", "clear", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["entries"] for state in found.values() for each in state.values()] == [0, 0, 0, 0]
    assert not root.exists()


def test_command_says_what_it_could_not_remove(folder, monkeypatch, capsys):
    storage.put(folder, "a", {}, code())
    monkeypatch.setattr(os, "unlink", refuse(errno.EROFS))
    assert main(["cache", "clear"]) == 1
    printed = capsys.readouterr().out
    assert "Removed 0 entries" in printed
    assert "1 entry, 0.0 MB, could not be removed" in printed

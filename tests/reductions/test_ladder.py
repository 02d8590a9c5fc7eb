"""The rungs of the sum's ladder, against math.fsum and by the bound that each states."""

import ast
import inspect
import math

import numpy as np
import pytest
from numba import cuda

import kernels.device
from kernels.device.instructions import SIMULATED
from kernels.reductions import ladder
from kernels.reductions.ladder import RUNGS
from kernels.simulator import RaceError, UninitializedError, simulate
from kernels.testing import mutants

#: Sizes around a warp, a block, a group of vectors (one whose last vector ends one element behind the array), a grid,
#: and of several grids; the last has all kinds of rest.
SIZES = (0, 1, 3, 31, 33, 64, 65, 1023, 3 * 3 * 4 * 64 + 4 * 5 + 3, 3 * 16 * 64, 7 * 16 * 64 + 4 * 64 + 3)
#: A small grid, so that small arrays have several elements for each thread of it.
SMALL = {"threads": 64, "blocks": 3}

every_rung = pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.name)
trees = pytest.mark.parametrize("rung", RUNGS[1:], ids=lambda rung: rung.name)


def summed(rung, x, times=1, **shape):
    """What a rung leaves, once or several times; what was there before does not matter."""
    total = cuda.to_device(np.full(1, np.nan, np.float32))
    run = rung.prepare(cuda.to_device(x), total, **shape)
    found = []
    for _ in range(times):
        run()
        found.append(total.copy_to_host()[0])
    return found if times > 1 else found[0]


@every_rung
@pytest.mark.parametrize("n", SIZES)
def test_a_rung_is_within_its_bound_of_the_exact_sum(rung, n, rng):
    x = rng.standard_normal(n).astype(np.float32)
    error = abs(float(summed(rung, x, **SMALL)) - math.fsum(x))
    depth = rung.depth(n, **SMALL) * 2.0**-24
    assert error <= depth / (1 - depth) * math.fsum(abs(x))


@every_rung
def test_every_element_counts_once(rung):
    # Sums of such integers are exact in any order, and each element has its share of the bits of the whole.
    x = np.arange(1, 5001, dtype=np.float32)
    assert summed(rung, x, **SMALL) == 5000 * 5001 // 2


@trees
def test_a_tree_gives_the_same_bits_each_time(rung, rng):
    found = summed(rung, rng.standard_normal(2000).astype(np.float32), times=3, **SMALL)
    assert found[0] == found[1] == found[2]


@every_rung
def test_launches_of_a_card_sum_too(rung, rng):
    x = rng.random(ladder.THREADS * 17 + 5, np.float32)
    depth = rung.depth(x.size) * 2.0**-24
    assert abs(float(summed(rung, x)) - math.fsum(x)) <= depth / (1 - depth) * math.fsum(x)


def test_one_cell_stops_growing_at_two_to_the_24th():
    total = np.full(1, 2.0**24, np.float32)
    total, ones = cuda.to_device(total), cuda.to_device(np.ones(100, np.float32))
    ladder.atomics[1, 128](ones, total)
    assert total.copy_to_host()[0] == 2.0**24


def test_bounds_fall_from_rung_to_rung_where_threads_add_less():
    depth = {rung.name: rung.depth(2**28) for rung in RUNGS}
    assert depth["atomics"] == 2**28
    assert depth["shared memory"] == depth["shuffles"] < depth["vector loads"] < depth["grid-stride loop"] < 2**10
    assert depth["kernels.sum"] == min(depth.values())


def test_the_depth_of_a_tree_is_that_of_its_launches():
    assert ladder._all(2**28, 256) == [2**20, 2**12, 2**4, 1]
    assert ladder._two(2**28, 256, 2048) == [2048, 1]
    assert ladder._of_vectors(100, 256, 2048) == [1]


def test_rungs_take_nothing_of_the_device_that_a_user_has_not():
    tree = ast.parse(inspect.getsource(ladder))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert {node.module for node in imports} == {"device", "public", "runtime"}
    names = {name.name for node in imports if node.module == "device" for name in node.names}
    assert names <= set(kernels.device.__all__)


@pytest.mark.skipif(not SIMULATED, reason="on a card it may show or not")
@pytest.mark.parametrize(("name", "fences"), [("shared_memory", 1), ("shuffles", 1), ("one_launch", 2)])
def test_without_one_of_its_barriers_or_fences_a_rung_is_found_faulty(name, fences, rng, monkeypatch):
    monkeypatch.setenv("KERNELS_SIMULATOR_ENGINE", "interpreted")  # each is run once
    x = rng.random(3 * 16 * 64, np.float32)
    arrays = {"one_launch": (np.zeros(1, np.float32), np.zeros(3, np.float32), np.zeros(1, np.uint32))}
    faulty = [m for text, m in mutants(getattr(ladder, name)) if "syncthreads" in text or "threadfence" in text]
    assert len(faulty) == fences
    for mutant in faulty:
        with pytest.raises((RaceError, UninitializedError)):
            simulate(cuda.jit(mutant))[3, 64](x, *arrays.get(name, (np.zeros(3, np.float32),)))

"""Rows of `bench` for the kernels that pages show: the ladder of the sum, a user's layer normalisation."""

import math

import numpy as np
import pytest

from kernels.command import bench, figures, pages, workloads


@pytest.fixture
def small(monkeypatch):
    """Rows of arrays that the simulator has time for."""
    monkeypatch.setattr(pages, "N", 2**12)
    monkeypatch.setattr(pages, "LENGTHS", (64, 256))
    monkeypatch.setattr(pages, "as_numba", lambda *arrays: arrays)
    monkeypatch.setattr(workloads, "_torch", lambda: None)
    return pages.rows()


def test_every_row_of_pages_runs_and_states_the_bytes_that_it_moves(small, monkeypatch):
    made = []

    def remembered(make):
        return lambda *arguments, **keywords: made.append(make(*arguments, **keywords)) or made[-1]

    monkeypatch.setattr(pages, "random", remembered(pages.random))
    monkeypatch.setattr(pages, "zeros", remembered(pages.zeros))
    for row in small:
        made.clear()
        row.make()["kernels"]()()
        read, written = (x.copy_to_host() for x in made)
        assert row.bytes == read.nbytes + (written.nbytes if written.size > 1 else 0)
        if written.size == 1:
            assert written[0] == pytest.approx(read.sum(dtype=float), rel=1e-4)
        else:
            np.testing.assert_allclose(written.mean(1), 0, atol=1e-5)
            np.testing.assert_allclose(written.std(1), 1, rtol=1e-3)


def test_a_users_kernel_is_compared_with_ours_that_moves_as_many_bytes(small):
    for row in small[-len(pages.LENGTHS) :]:
        makers = row.make()
        assert row.beside in makers
        np.testing.assert_allclose(makers["kernels.softmax"]()().copy_to_host().sum(1), 1, rtol=1e-5)


def test_the_errors_of_the_ladder_are_within_their_bounds(small):
    (trial,) = pages.trials()
    row = bench.try_out(trial)
    assert row["errors"] == {}
    assert row["trial"]["passed"]
    assert row["trial"]["summary"] == "none over the bound"
    assert set(row["trial"]["errors"]) == {rung.name for rung in pages.RUNGS}
    assert figures.ladder_errors({"rows": [row]}) == row["trial"]["errors"]


def test_a_rung_over_its_bound_fails_the_trial(small, monkeypatch):
    monkeypatch.setattr(pages, "exact_sum", lambda x: x.sum(dtype=float) * 1.001)
    found = pages.errors(2**12)
    assert not found["passed"]
    assert "kernels.sum" in found["summary"]


def test_the_exact_sum_is_that_of_math(rng):
    x = rng.random(1000, np.float32)
    assert pages.exact_sum(x) == pytest.approx(math.fsum(x), rel=1e-15)
    assert pages.exact_sum(x[:0]) == 0


def test_rungs_are_drawn_of_those_that_were_measured():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    row = {"name": "add", "bytes": 3_000_000_000, "seconds": {"kernels": 1e-3, "torch": 2e-3}}
    measured = {"card": "NVIDIA H100", "date": "2026-01-31", "copy_bandwidth": 3e12, "rows": [row]}
    failed = row | {"name": f"{figures.LADDER}shuffles, float32 2^28", "seconds": {}}
    found = measured | {"rows": [row, row | {"name": f"{figures.LADDER}atomics, float32 2^28"}, failed]}
    assert figures.ladder(measured) == ({}, None)
    assert figures.ladder(found) == ({"atomics": pytest.approx(3000)}, pytest.approx(1500))
    axes = Figure().subplots()
    figures.draw_ladder(axes, found)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["atomics, 3000"]
    assert [label.get_text() for label in axes.get_legend().get_texts()] == ["copy, 3000 GB/s", "torch.sum, 1500 GB/s"]

"""Reductions of device arrays: whose the result is, streams, plans and graphs."""

import threading

import numpy as np
import pytest

import kernels
from kernels.runtime import scratch
from tests.libraries import Library

pytestmark = pytest.mark.gpu

#: Elements of a row that several blocks share.
LONG = 3_000_001


@pytest.fixture(params=["numba", "cupy", "torch"])
def library(request):
    return Library(request.param)


def bound(x, axis=None):
    """Of the error of a float32 sum."""
    return 6 * np.finfo("f").eps * np.abs(x).sum(axis, dtype="d")


def test_the_result_is_of_the_library_of_the_array_and_stays_on_the_device(library, rng):
    x = rng.standard_normal((7, 5000), np.float32)
    given = library.array(x)
    for axis in (None, 0, 1):
        found = kernels.sum(given, axis=axis)
        assert type(found) is type(given)
        assert np.all(np.abs(library.numpy(found) - x.sum(axis, dtype="d")) <= bound(x, axis))
    assert int(library.numpy(kernels.argmax(given))) == x.argmax()


def test_a_plan_writes_where_it_is_told(library, rng):
    x = rng.standard_normal(LONG, np.float32)
    given, out = library.array(x), library.array(np.zeros((), np.float32))
    plan = kernels.sum.plan((given,), out=out)
    for _ in range(3):
        assert plan(given, out=out) is out
        assert abs(library.numpy(out) - x.sum(dtype="d")) <= bound(x)


def test_launches_on_two_streams_do_not_share_their_memory(rng):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.standard_normal((2, LONG), np.float32)).cuda()
    expected = [kernels.sum(row) for row in x]
    streams = [torch.cuda.Stream() for _ in x]
    found = [[], []]

    def work(k):
        with torch.cuda.stream(streams[k]):
            found[k] = [kernels.sum(x[k]) for _ in range(300)]

    torch.cuda.synchronize()
    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    for k in range(2):
        assert torch.stack(found[k]).eq(expected[k]).all()


def test_a_recorded_graph_sums_again_what_has_changed(library, rng):
    x = rng.standard_normal(LONG, np.float32)
    given, out, other = library.array(x), library.array(np.zeros((), "f")), library.array(np.zeros((), "f"))
    with kernels.runtime.graph() as recorded:
        kernels.sum(given, out=out)
        kernels.max(given, out=other)
    kernels.multiply(given, 2.0, out=given)
    for _ in range(3):
        recorded.replay()
    assert abs(library.numpy(out) - 2 * x.sum(dtype="d")) <= 2 * bound(x)
    assert library.numpy(other) == 2 * x.max()


def test_an_output_may_lie_in_an_input(rng):
    torch = pytest.importorskip("torch")
    for shape, axis in (((300, 50), 0), ((50, 300), 1), ((7, 300, 5), 2)):
        x = rng.standard_normal(shape)
        given = torch.from_numpy(x).cuda()
        kept = given.select(axis, 0)
        kernels.max(given, axis=axis, out=kept)
        np.testing.assert_array_equal(kept.cpu().numpy(), x.max(axis))


def test_pytorch_captures_a_sum(rng):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.standard_normal(LONG, np.float32)).cuda()
    out = torch.zeros((), device="cuda")
    expected = kernels.sum(x)
    for _ in range(3):
        kernels.sum(x, out=out)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernels.sum(x, out=out)
    for _ in range(3):
        out.zero_()
        graph.replay()
        assert out == expected


def test_counters_are_zero_when_no_launch_is_under_way(rng):
    torch = pytest.importorskip("torch")
    for shape, axis in (((LONG,), 0), ((400_000, 7), 0), ((3, LONG // 3), 1)):
        kernels.var(torch.from_numpy(rng.standard_normal(shape, np.float32)).cuda(), axis=axis)
    torch.cuda.synchronize()
    for buffer in scratch._buffers.values():
        from kernels.runtime.memory import download

        counters = np.ones(scratch.COUNTERS, np.uint32)
        download(buffer.pointer, counters, 0, 0, "counters")
        assert not counters.any()

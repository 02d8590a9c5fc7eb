"""Graphs: calls recorded once and launched as one."""

import doctest
import gc
import weakref

import numpy as np
import pytest
from numba import cuda

import kernels
from kernels.runtime import graph, launcher
from tests.fakes import draw
from tests.libraries import Library

N = 1000


@cuda.jit
def doubled(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] *= 2


class Arrays:
    """Arrays of a library, or where there is no GPU NumPy's."""

    def __init__(self, name):
        self.library = None if name == "numpy" else Library(name)

    def array(self, x):
        return x if self.library is None else self.library.array(x)

    def numpy(self, x):
        return np.asarray(x) if self.library is None else self.library.numpy(x)


@pytest.fixture(params=["numpy", *(pytest.param(name, marks=pytest.mark.gpu) for name in ("numba", "cupy", "torch"))])
def arrays(request):
    if request.param == "numpy" and kernels.engine() == "cuda":
        pytest.skip("a graph of a GPU has no arrays of the host")
    return Arrays(request.param)


def test_a_graph_repeats_what_was_recorded(arrays):
    x, y = arrays.array(draw(N)), arrays.array(np.zeros(N, np.float32))
    plan = kernels.add.plan(like=(y, 1.0), out=y)
    with graph() as g:
        kernels.multiply(x, 2.0, out=y)
        plan(y, 1.0, out=y)
    assert not arrays.numpy(y).any()
    for _ in range(3):
        g.replay()
        np.testing.assert_array_equal(arrays.numpy(y), draw(N) * np.float32(2) + np.float32(1))
    kernels.add(x, 1.0, out=x)
    g.replay()
    np.testing.assert_array_equal(arrays.numpy(y), (draw(N) + 1) * np.float32(2) + np.float32(1))


def test_results_that_a_recording_made_are_filled_by_each_replay(arrays):
    x = arrays.array(draw(N))
    with graph() as g:
        total = kernels.add(x, x)
        root = kernels.sqrt(total)
    for turn in range(3):
        g.replay()
        expected = np.sqrt((draw(N) + np.float32(turn)) * 2)
        np.testing.assert_allclose(arrays.numpy(root), expected, rtol=2 * np.finfo("f").eps)
        kernels.add(x, 1.0, out=x)


def test_copies_of_overlapping_inputs_live_as_long_as_the_graph(arrays):
    if arrays.library is not None and arrays.library.name == "numba":
        pytest.skip("a slice of Numba's arrays is another kind of memory")
    memory = arrays.array(draw(N + 1))
    with graph() as g:
        kernels.add(memory[:N], 1.0, out=memory[1:])
    expected = draw(N + 1)
    for _ in range(3):
        junk = [kernels.add(memory, 5.0) for _ in range(5)]  # what would take memory that was freed
        g.replay()
        expected[1:] = expected[:-1] + 1
        np.testing.assert_array_equal(arrays.numpy(memory), expected)
        del junk


def test_two_results_and_masks_are_recorded(arrays):
    x, mask = draw(N), draw(N, seed=1) > 1.5
    a, m = arrays.array(x), arrays.array(mask)
    with graph() as g:
        fraction, whole = kernels.modf(a)
        kernels.add(whole, 10.0, out=whole, where=m)
    g.replay()
    np.testing.assert_array_equal(arrays.numpy(fraction), np.modf(x)[0])
    np.testing.assert_array_equal(arrays.numpy(whole), np.modf(x)[1] + np.where(mask, 10, 0))


def test_a_users_kernel_is_recorded(arrays):
    x = arrays.array(draw(N))
    if arrays.library is None:
        x = cuda.to_device(x)
    with graph() as g:
        launcher(doubled)[8, 128](x)
    g.replay()
    g.replay()
    found = x.copy_to_host() if arrays.library is None else arrays.numpy(x)
    np.testing.assert_array_equal(found, 4 * draw(N))


@pytest.mark.parametrize("documented", [graph, launcher, kernels.add.plan], ids=["graph", "launcher", "plan"])
def test_the_examples_of_the_documentation_run(documented):
    (example,) = doctest.DocTestFinder(recurse=False).find(documented, "documented", globs={})
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0


def test_a_recording_that_fails_cannot_be_replayed():
    g = graph()
    with pytest.raises(ZeroDivisionError), g:
        1 / 0  # noqa: B018
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        g.replay()
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        graph().replay()


def test_a_recording_within_a_recording_and_a_second_one_are_errors():
    g = graph()
    with g:
        with pytest.raises(RuntimeError, match="recording another one"), graph():
            pass
    with pytest.raises(RuntimeError, match="has been recorded"), g:
        pass


def test_calls_after_a_recording_are_computed_at_once(arrays):
    x = arrays.array(draw(N))
    with graph():
        kernels.add(x, 1.0)
    np.testing.assert_array_equal(arrays.numpy(kernels.add(x, 1.0)), draw(N) + 1)


def test_a_graph_keeps_its_arrays_and_no_longer(arrays):
    if arrays.library is None or arrays.library.name != "torch":
        x = draw(N).view(type("Watched", (np.ndarray,), {})) if arrays.library is None else arrays.array(draw(N))
    else:
        x = arrays.array(draw(N))
    watch = weakref.ref(x)
    with graph() as g:
        kernels.add(x, 1.0)
    del x
    gc.collect()
    assert watch() is not None
    g.replay()
    del g
    gc.collect()
    assert watch() is None


@pytest.mark.gpu
def test_what_cannot_be_recorded_is_refused():
    x = cuda.to_device(draw(N))
    with graph():
        with pytest.raises(ValueError, match="x1 is in host memory; a graph records"):
            kernels.add(draw(N), 1.0)
        with pytest.raises(ValueError, match="x2 is in host memory"):
            kernels.add(x, draw(N))
        with pytest.raises(ValueError, match="stream must be left out"):
            kernels.add(x, 1.0, stream=cuda.stream())
        jax = pytest.importorskip("jax")
        if jax.default_backend() == "gpu":
            with pytest.raises(ValueError, match="cannot be a JAX array"):
                kernels.add(jax.numpy.ones(3), 1.0)


@pytest.mark.gpu
def test_a_replay_follows_the_stream_of_its_arrays():
    torch = Library("torch").module
    x, y = torch.zeros(1 << 22, device="cuda"), torch.zeros(1 << 22, device="cuda")
    with graph() as g:
        kernels.multiply(x, 2.0, out=y)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    for turn in range(1, 20):
        with torch.cuda.stream(stream):
            x.add_(1)
            g.replay()
            assert (y == 2 * turn).all()


@pytest.mark.gpu
def test_pytorch_captures_plans():
    torch = Library("torch").module
    x, y = torch.rand(N, device="cuda"), torch.zeros(N, device="cuda")
    plan = kernels.add.plan(like=(x, 1.0), out=y)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        plan(x, 1.0, out=y)
        kernels.multiply(y, 3.0, out=y)
        z = kernels.add(y, y)
    for _ in range(3):
        x.add_(1)
        captured.replay()
        assert torch.equal(z, ((x + 1) * 3) * 2)


@pytest.mark.gpu
def test_cupy_captures_plans():
    cupy = Library("cupy").module
    x, y = cupy.asarray(draw(N)), cupy.zeros(N, np.float32)
    plan = kernels.add.plan(like=(x, 1.0), out=y)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        plan(x, 1.0, out=y)
        kernels.multiply(y, 3.0, out=y)
        captured = stream.end_capture()
        for turn in range(3):
            captured.launch()
            np.testing.assert_array_equal(y.get(), (draw(N) + np.float32(turn) + 1) * np.float32(3))
            x += 1


@pytest.mark.gpu
def test_cuda_core_captures_plans():
    from cuda.core import Device

    device = Device()
    device.set_current()
    stream = device.create_stream()
    x, y = cuda.to_device(draw(N)), cuda.to_device(np.zeros(N, np.float32))
    plan = kernels.add.plan(like=(x, 1.0), out=y)
    cuda.synchronize()
    builder = stream.create_graph_builder()
    builder.begin_building()
    plan(x, 1.0, out=y, stream=builder)
    kernels.multiply(y, 3.0, out=y, stream=builder)
    launcher(doubled)[8, 128, builder](y)
    captured = builder.end_building().complete()
    for _ in range(2):
        captured.launch(stream)
        stream.sync()
        np.testing.assert_array_equal(y.copy_to_host(), (draw(N) + 1) * np.float32(6))

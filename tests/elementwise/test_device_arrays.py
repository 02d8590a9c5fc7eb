"""Arrays that live on a GPU: used in place, answered in kind, in the order of their streams.

What these tests show the simulator does not have. All but the data itself is compared by pointers and events,
never by time.
"""

import contextlib
import gc
import importlib.util

import numpy as np
import pytest
from numba import cuda

import kernels
from kernels.runtime import memory
from kernels.runtime.arrays import _cupy_stream
from tests.libraries import LIBRARIES, Library

pytestmark = pytest.mark.gpu

N = 1000


@pytest.fixture(params=LIBRARIES)
def library(request):
    return Library(request.param)


@pytest.fixture(params=[name for name in LIBRARIES if name != "jax"])
def writable_library(request):
    return Library(request.param)


@pytest.fixture
def torch():
    return Library("torch").module


@pytest.fixture
def cupy():
    return Library("cupy").module


def floats(rng, size=N, dtype=np.float32):
    return rng.uniform(0.5, 2, size).astype(dtype)


class InterfaceOnly:
    """Any object that has ``__cuda_array_interface__`` and nothing else."""

    def __init__(self, array, **changes):
        self._array, self._changes = array, changes

    @property
    def __cuda_array_interface__(self):
        return {**self._array.__cuda_array_interface__, **self._changes}


class DLPackOnly:
    """Any object that has ``__dlpack__`` and nothing else."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **keywords):
        return self._array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


# --- kinds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float32", "complex64"])
def test_the_result_is_of_the_same_kind_and_on_the_device(dtype, library):
    x = library.array(np.arange(N).astype(dtype))
    y = kernels.add(x, x)
    assert type(y) is type(x)
    assert np.array_equal(library.numpy(y), np.add(np.arange(N).astype(dtype), np.arange(N).astype(dtype)))


def test_every_library_takes_float64(library, rng):
    if library.name == "jax":
        pytest.skip("JAX has float64 only with jax_enable_x64")
    x = floats(rng, dtype=np.float64)
    assert np.array_equal(library.numpy(kernels.multiply(library.array(x), 2.0)), 2 * x)


def test_out_is_written_in_place_and_returned(writable_library, rng):
    x = floats(rng)
    device, out = writable_library.array(x), writable_library.array(np.zeros_like(x))
    pointer = writable_library.pointer(out)
    assert kernels.add(device, 1, out=out) is out
    assert writable_library.pointer(out) == pointer
    assert np.array_equal(writable_library.numpy(out), x + 1)


def test_nothing_is_copied(writable_library, rng, monkeypatch):
    """No transfer, no allocation: the kernel reads and writes the arrays' own memory."""
    from cuda.bindings import driver

    device = writable_library.array(floats(rng))
    out = writable_library.array(np.zeros(N, np.float32))
    kernels.add(device, 1, out=out)
    for name in dir(driver):
        if name.startswith(("cuMemcpy", "cuMemAlloc")):
            monkeypatch.setattr(driver, name, lambda *_, name=name: pytest.fail(f"{name} was called"))
    kernels.add(device, 1, out=out)


def test_results_do_not_change_their_inputs(library, rng):
    x = floats(rng)
    device = library.array(x)
    kernels.negative(device)
    assert np.array_equal(library.numpy(device), x)


@pytest.mark.parametrize("size", [0, 1])
def test_empty_and_single_arrays(size, library):
    x = library.array(np.ones(size, np.float32))
    y = kernels.add(x, x)
    assert type(y) is type(x)
    assert np.array_equal(library.numpy(y), np.full(size, 2, np.float32))


def test_zero_dimensional_arrays_stay_on_the_device(library):
    x = library.array(np.float32(2.0))
    y = kernels.square(x)
    assert type(y) is type(x)
    assert y.shape == ()
    assert library.numpy(y) == 4


def test_several_results_are_all_of_the_same_kind(library, rng):
    x = floats(rng)
    fraction, whole = kernels.modf(library.array(x))
    assert type(fraction) is type(whole) is type(library.array(x))
    assert np.array_equal(library.numpy(fraction) + library.numpy(whole), x)


def test_numbers_and_host_arrays_join_device_arrays(library, rng):
    x = floats(rng)
    device = library.array(x)
    for other in (x, x.tolist(), np.float32(2)):
        y = kernels.multiply(other, device)
        assert type(y) is type(device)
        assert np.allclose(library.numpy(y), np.multiply(other, x), rtol=2**-23)


def test_a_broadcast_host_array_joins_a_device_array(library, rng):
    x, row = floats(rng, (30, 40)), floats(rng, 40)
    assert np.array_equal(library.numpy(kernels.add(library.array(x), row)), x + row)
    assert np.array_equal(library.numpy(kernels.add(library.array(x), row[::-1])), x + row[::-1])


def test_libraries_mix_and_the_first_device_array_decides(cupy, torch, rng):
    x = floats(rng)
    assert isinstance(kernels.add(cupy.asarray(x), torch.asarray(x, device="cuda")), cupy.ndarray)
    y = kernels.add(torch.asarray(x, device="cuda"), cupy.asarray(x))
    assert isinstance(y, torch.Tensor)
    assert np.array_equal(y.cpu().numpy(), x + x)


def test_a_host_out_of_device_inputs_is_an_error_that_names_it(writable_library, rng):
    out = np.full(N, 7, np.float32)
    with pytest.raises(kernels.DeviceMismatchError, match=r"^out is in host memory"):
        kernels.add(writable_library.array(floats(rng)), 1, out=out)
    assert np.all(out == 7)


def test_a_device_out_of_host_inputs_is_written(writable_library, rng):
    x = floats(rng)
    out = writable_library.array(np.zeros(N, np.float32))
    assert kernels.add(x, 1, out=out) is out
    assert np.array_equal(writable_library.numpy(out), x + 1)


def test_objects_with_an_interface_alone_are_used_in_place(rng):
    x = floats(rng)
    memory, target = cuda.to_device(x), cuda.device_array(N, np.float32)
    y = kernels.add(InterfaceOnly(memory), InterfaceOnly(memory))
    assert np.array_equal(cuda.as_cuda_array(y).copy_to_host(), x + x)
    out = InterfaceOnly(target)
    assert kernels.add(InterfaceOnly(memory), 1, out=out) is out
    assert np.array_equal(target.copy_to_host(), x + 1)


def test_a_read_only_interface_is_no_output(rng):
    memory = cuda.to_device(floats(rng))
    pointer = memory.__cuda_array_interface__["data"][0]
    with pytest.raises(ValueError, match=r"^out is read-only"):
        kernels.add(1, 2, out=InterfaceOnly(memory, data=(pointer, True)))


def test_a_masked_interface_is_a_type_error(rng):
    memory = cuda.to_device(floats(rng))
    with pytest.raises(TypeError, match=r"^x1 has a mask"):
        kernels.add(InterfaceOnly(memory, mask=memory), 1)


def test_objects_with_dlpack_alone_are_used_in_place(cupy, rng):
    x = floats(rng)
    y = kernels.add(DLPackOnly(cupy.asarray(x)), 1)
    assert np.array_equal(cuda.as_cuda_array(y).copy_to_host(), x + 1)
    target = cupy.zeros(N, np.float32)
    out = DLPackOnly(target)
    assert kernels.add(cupy.asarray(x), 1, out=out) is out
    assert np.array_equal(target.get(), x + 1)


def test_arrays_of_jax_are_read_only(rng):
    x = Library("jax").array(floats(rng))
    with pytest.raises(ValueError, match=r"^out is read-only"):
        kernels.add(x, 1, out=x)


def test_the_autograd_of_torch_is_not_silently_dropped(torch):
    x = torch.ones(3, device="cuda", requires_grad=True)
    with pytest.raises(TypeError, match=r"^x is a tensor that requires grad"):
        kernels.sin(x)
    assert (kernels.sin(x.detach()) == torch.sin(torch.ones(3, device="cuda"))).all()


def test_conjugate_views_of_torch_are_resolved(torch):
    z = torch.tensor([1 + 2j, 3 - 4j], device="cuda").conj()
    assert kernels.imag(z).tolist() == [-2, 4]


# --- strides ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2],
        lambda a: a[:, 3],
        lambda a: a[1:, 5:],
        lambda a: a[3],
        lambda a: a[:, ::3],
    ],
    ids=["transposed", "every other row", "column", "corner", "row", "every third column"],
)
def test_strided_views_are_read_and_written_in_place(view, rng):
    for name in ("cupy", "torch"):
        library = Library(name)
        x, y = floats(rng, (30, 40)), floats(rng, (30, 40))
        source, target = library.array(x), library.array(y)
        expected = y.copy()
        np.add(view(x), 1, out=view(expected))
        kernels.add(view(source), 1, out=view(target))
        assert np.array_equal(library.numpy(target), expected), name


def test_negative_and_zero_strides_are_read(cupy, torch, rng):
    x = floats(rng, (30, 40))
    device = cupy.asarray(x)
    assert np.array_equal(kernels.add(device[::-1, ::-2], 1).get(), x[::-1, ::-2] + 1)
    row = torch.asarray(x[0], device="cuda")
    assert np.array_equal(kernels.add(row.expand(30, 40), 1).cpu().numpy(), np.broadcast_to(x[0] + 1, (30, 40)))
    with pytest.raises(ValueError, match=r"^out has several elements in one place"):
        kernels.add(row, 1, out=row.expand(30, 40))


@pytest.mark.parametrize(
    "overlap",
    [(slice(None, -1), slice(1, None)), (slice(None), slice(None, None, -1))],
    ids=["shifted", "reversed"],
)
def test_overlapping_device_arrays_give_what_separate_ones_give(overlap, cupy, rng):
    read, write = overlap
    x = floats(rng, 100_000)
    expected = x.copy()
    expected[write] = x[read] + 1
    device = cupy.asarray(x)
    kernels.add(device[read], 1, out=device[write])
    assert np.array_equal(device.get(), expected)


def test_every_offset_of_a_tensor_is_right_at_any_alignment(torch, rng):
    x = floats(rng, 300)
    device = torch.asarray(x, device="cuda")
    for offset in range(9):
        for end in range(290, 300):
            assert np.array_equal(kernels.add(device[offset:end], 1).cpu().numpy(), x[offset:end] + 1)


def test_more_elements_than_32_bits_count(torch):
    if torch.cuda.mem_get_info()[0] < 12 * 2**30:
        pytest.skip("less than 12 GiB of device memory are free")
    n = 2**32 + 5
    x = torch.ones(n, dtype=torch.uint8, device="cuda")
    kernels.add(x, 1, out=x)
    assert x[-5:].tolist() == [2] * 5
    assert int(x.sum(dtype=torch.int64)) == 2 * n


# --- streams ----------------------------------------------------------------------------------------------


def sleep(torch, stream):
    """Work of some tenths of a second, ahead of what is queued next."""
    with torch.cuda.stream(stream):
        torch.cuda._sleep(500_000_000)


@cuda.jit
def _hold(flag):
    for _ in range(20_000_000):  # some 20 s: a call that waits for the stream fails a test, and does not hang it
        if cuda.atomic.add(flag, 0, 0):
            break
        cuda.nanosleep(1000)


@contextlib.contextmanager
def held(torch, stream):
    """What is queued on `stream` within does not run before the end.

    The driver loads a kernel at its first launch and may wait for what runs; tests launch what they need before.
    """
    flag = torch.zeros(1, dtype=torch.int32, device="cuda").fill_(0)
    torch.cuda.synchronize()
    _hold[1, 1, cuda.external_stream(stream.cuda_stream)](cuda.as_cuda_array(flag))
    try:
        yield
    finally:
        with torch.cuda.stream(torch.cuda.Stream()):
            flag.fill_(2)
        stream.synchronize()


def as_cupy(handle):
    """CuPy's stream of a raw handle; CuPy 14 deprecates what older ones make it with."""
    return _cupy_stream(handle, 0)


def handles(torch, stream):
    """One stream, as each library knows it."""
    handle = stream.cuda_stream
    yield "PyTorch", stream
    yield "a raw handle", handle
    yield "Numba", cuda.external_stream(handle)
    if importlib.util.find_spec("cupy"):
        yield "CuPy", as_cupy(handle)
    from cuda.core import Stream

    yield "cuda.core", Stream.from_handle(handle)


def test_a_call_returns_before_a_held_stream_is_done_and_is_ordered_behind_it(torch):
    for kind, _ in handles(torch, torch.cuda.Stream()):
        stream = torch.cuda.Stream()
        given = dict(handles(torch, stream))[kind]
        x = torch.zeros(N, device="cuda").fill_(1)
        out = torch.zeros(N, device="cuda")
        kernels.add(x, 1, out=out, stream=given)
        torch.cuda.synchronize()
        with held(torch, stream):
            with torch.cuda.stream(stream):
                x.fill_(5)
            kernels.add(x, 1, out=out, stream=given)
            done = stream.record_event()
            assert not done.query(), f"a call on a stream of {kind} waited for it"
        assert (out == 6).all(), kind


def test_the_current_stream_of_torch_is_honoured(torch):
    stream = torch.cuda.Stream()
    x = torch.zeros(N, device="cuda").fill_(1)
    with torch.cuda.stream(stream):
        kernels.add(x, 1)  # compiles, and leaves a block in PyTorch's pool of this stream
    torch.cuda.synchronize()
    with held(torch, stream):
        with torch.cuda.stream(stream):
            x.fill_(5)
            y = kernels.add(x, 1)
            done = stream.record_event()
        assert not done.query()
    assert (y == 6).all()


def test_the_current_stream_of_cupy_is_honoured(cupy, torch):
    stream = torch.cuda.Stream()
    x = cupy.zeros(N, np.float32)
    with as_cupy(stream.cuda_stream):
        x.fill(1)
        kernels.add(x, 1)  # compiles, and leaves a block in CuPy's pool of this stream
    torch.cuda.synchronize()
    with held(torch, stream):
        with as_cupy(stream.cuda_stream):
            x.fill(5)
            y = kernels.add(x, 1)
        assert not stream.record_event().query()
    assert (y == 6).all()


def test_a_stream_that_is_given_waits_for_the_one_that_produces_the_inputs(torch):
    producer, consumer = torch.cuda.Stream(), torch.cuda.Stream()
    x = torch.zeros(N, device="cuda").fill_(1)
    out = torch.zeros(N, device="cuda")
    kernels.add(x, 1, out=out, stream=consumer)
    torch.cuda.synchronize()
    with held(torch, producer):
        with torch.cuda.stream(producer):
            x.fill_(5)
            kernels.add(x, 1, out=out, stream=consumer)
        assert not consumer.record_event().query()
    consumer.synchronize()
    assert (out == 6).all()


def test_a_numba_array_on_its_own_stream_is_ordered_behind_it(torch):
    stream = torch.cuda.Stream()
    numbas = cuda.external_stream(stream.cuda_stream)
    x = cuda.to_device(np.zeros(N, np.float32), stream=numbas)
    kernels.add(x, 1, stream=numbas)
    cuda.synchronize()
    with held(torch, stream):
        y = kernels.add(x, 1, stream=numbas)
        assert not stream.record_event().query()
    assert np.array_equal(y.copy_to_host(stream=numbas), np.ones(N))


def test_a_numpy_result_is_complete_when_it_is_returned(torch):
    stream = torch.cuda.Stream()
    sleep(torch, stream)
    assert np.array_equal(kernels.add(np.ones(N), 1, stream=stream), np.full(N, 2.0))
    assert stream.query()


def test_memory_is_not_reused_before_the_stream_that_reads_it_is_done(torch):
    """Results dropped at once, while their stream is busy, must not be handed out again and overwritten."""
    stream = torch.cuda.Stream()
    numbas = cuda.external_stream(stream.cuda_stream)
    source = cuda.to_device(np.ones(N, np.float32))
    kernels.add(source, 1)
    cuda.synchronize()
    sleep(torch, stream)
    total = kernels.add(kernels.add(source, 1, stream=numbas), 1, stream=numbas)
    gc.collect()
    others = [kernels.multiply(source, 100) for _ in range(10)]
    cuda.synchronize()
    assert np.array_equal(total.copy_to_host(), np.full(N, 3.0))
    assert all(np.array_equal(other.copy_to_host(), np.full(N, 100.0)) for other in others)


def test_a_result_outlives_the_stream_it_was_made_on():
    source = cuda.to_device(np.ones(N, np.float32))
    results = []
    for _ in range(5):
        stream = cuda.stream()
        results.append(kernels.add(source, 1, stream=stream))
        stream.synchronize()
        del stream
        gc.collect()
    cuda.synchronize()
    assert all(np.array_equal(y.copy_to_host(), np.full(N, 2.0)) for y in results)


def test_calls_can_be_captured_in_a_graph(torch):
    x, out = torch.zeros(N, device="cuda"), torch.zeros(N, device="cuda")
    kernels.add(x, 1, out=out)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernels.add(x, 1, out=out)
        kernels.multiply(out, 2, out=out)
    x.fill_(4)
    graph.replay()
    torch.cuda.synchronize()
    assert (out == 10).all()


# --- devices and memory -----------------------------------------------------------------------------------


def test_arrays_on_different_devices_are_an_error_that_names_both(torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    x, y = torch.ones(3, device="cuda:0"), torch.ones(3, device="cuda:1")
    with pytest.raises(kernels.DeviceMismatchError, match="x2 is on device 1, x1 on device 0"):
        kernels.add(x, y)


def test_the_device_of_the_array_computes(torch):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    for device in ("cuda:1", "cuda:0"):
        y = kernels.add(torch.ones(3, device=device), 1)
        assert str(y.device) == device
        assert (y == 2).all()
    assert torch.cuda.current_device() == 0


def test_no_memory_left_is_a_memory_error_that_names_the_argument():
    """An input of one number, broadcast to a result of 2^50 bytes."""
    x = cuda.to_device(np.ones(1, np.float64))
    shape = (2**47,)
    wide = np.lib.stride_tricks.as_strided(np.ones(1), shape, (0,))
    with pytest.raises(MemoryError, match=r"allocating \d+ bytes for (out|the result)"):
        kernels.add(x, wide)
    assert kernels.add(x, 1).copy_to_host()[0] == 2


def in_use():
    """Bytes that results hold of this process's pool."""
    from cuda.bindings import driver

    attribute = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_USED_MEM_CURRENT
    return int(memory.check(driver.cuMemPoolGetAttribute(memory._pool(0), attribute), "asking the pool"))


def test_device_memory_is_given_back():
    x = cuda.to_device(np.ones(2**22, np.float32))
    kernels.add(x, 1)
    cuda.synchronize()
    before = in_use()
    for _ in range(200):
        kernels.add(x, 1)
    cuda.synchronize()
    gc.collect()
    assert in_use() <= before


def test_a_gpu_array_cannot_be_computed_by_the_reference_engine():
    x = cuda.to_device(np.ones(3))
    with (
        kernels.use("reference"),
        pytest.raises(kernels.EngineError, match=r'^x1 is in device memory, which engine "reference"'),
    ):
        kernels.add(x, 1)

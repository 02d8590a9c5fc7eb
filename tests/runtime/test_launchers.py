"""The quick launch of a user's own kernel: what Numba's does, without Numba on the way."""

import importlib.util
import struct
import subprocess
import sys

import numpy as np
import pytest
from numba import cuda, float32, int32, types

from kernels.runtime import launcher, launchers, quick
from kernels.runtime.arrays import DTYPES, Operand
from tests.fakes import DeviceArray, Launched, draw, in_threads
from tests.libraries import Library

N, SHAPE = 200, (4, 6)


@cuda.jit
def scaled(x, a, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = a * x[i]


@cuda.jit
def stored(value, out):
    out[0] = value


@cuda.jit
def picked(pairs, out):
    i = cuda.grid(1)
    (x, (y, factor)), shift = pairs
    if i < out.size:
        out[i] = x[i] * factor + y[i] + shift


@cuda.jit
def transposed(x, out):
    i, j = cuda.grid(2)
    if i < out.shape[0] and j < out.shape[1]:
        out[i, j] = x[j, i]


def test_a_launcher_launches_what_the_kernel_does():
    x, out = cuda.to_device(draw(N)), cuda.to_device(np.zeros(N, np.float32))
    launcher(scaled)[2, 128](x, np.float32(3), out)
    np.testing.assert_array_equal(out.copy_to_host(), draw(N) * np.float32(3))
    launcher(scaled)[2, 128, cuda.stream(), 0](x, np.float32(5), out)
    cuda.synchronize()
    np.testing.assert_array_equal(out.copy_to_host(), draw(N) * np.float32(5))


def test_what_is_no_kernel_is_refused():
    with pytest.raises(TypeError, match=r"kernel must be a kernel of @cuda\.jit, got function"):
        launcher(draw)


@pytest.fixture
def quick_launch(monkeypatch):
    """The code for an array, a tuple of a number and an array, an integer and a complex number; what it launched."""

    def operand_of(x, name):
        strides = tuple(s // x.dtype.itemsize for s in x.strides)
        return Operand(name, "numba", x, x.dtype, x.shape, strides, x.gpu_data.device_pointer, 0, None)

    monkeypatch.setattr(launchers, "operand", operand_of)
    monkeypatch.setattr(launchers, "current_device", lambda: 0)
    monkeypatch.setattr(quick, "device_count", lambda: 2)
    x, array = DeviceArray(4096, SHAPE), types.Array(float32, 2, "C")
    source = launchers._Source(
        (x, (1.5, x), 3, 1j), (array, types.Tuple([types.float64, array]), types.int64, types.complex64)
    )
    launch, left = Launched(), []
    run = source.function(launch, 5, [], lambda *args: left.append(args))
    return source, launch, left, run


def test_arguments_are_passed_as_numba_passes_them(quick_launch):
    source, launch, left, run = quick_launch
    array = [0, 0, 24, 4, "Q", 4, 6, 24, 4]  # owners, size, size of an item, address, shape, strides
    assert source.words == [*array, "d", *array, "q", "f", "f"]
    assert source.values == [4096, 1.5, 4096, 3, 0.0, 1.0]
    run(DeviceArray(64, SHAPE), (2.5, DeviceArray(128, SHAPE)), -7, 2 - 3j)
    assert launch.words == [(64, 2.5, 128, -7, 2.0, -3.0)]
    assert left == []


class Kernel:
    """A dispatcher, as far as a launcher asks it; it remembers what is launched by it."""

    targetoptions, specialized, _can_compile, __name__ = {}, False, True, "kernel"

    def __init__(self):
        self.launched = []

    def typeof_pyval(self, x):
        return types.Array(float32, 2, "C") if isinstance(x, DeviceArray) else types.int8

    def __getitem__(self, parts):
        def configured(*args):
            self.launched.append(args)

        configured.griddim, configured.blockdim, configured.sharedmem = (1, 1, 1), (32, 1, 1), 0
        configured.pre_launch_callbacks = []
        return configured


class Launching(Launched):
    """In place of a `Launch`, of which all are listed."""

    made = ()

    def __init__(self, program, device, configure, words, name):
        super().__init__()
        Launching.made += (self,)

    def write(self, row, at, *words):
        if words[-1] > 127:
            raise struct.error("byte format requires -128 <= number <= 127")
        self.words.append(words)

    def __call__(self, stream, *words):
        self.write(None, 0, *words)


@pytest.fixture
def configured(quick_launch, monkeypatch):
    monkeypatch.setattr(Launching, "made", ())
    monkeypatch.setattr(launchers, "Launch", Launching)
    monkeypatch.setattr(
        launchers, "Program", lambda kernel, signature: type("P", (), {"image": lambda self, d: True})()
    )
    described = {DeviceArray: lambda x: (x.dtype, x.shape, x.strides)}
    monkeypatch.setattr(quick, "_DESCRIBERS", quick._DESCRIBERS | described)
    kernel = Kernel()
    return kernel, launchers.Launcher(kernel)[1, 32]


def test_code_is_written_for_launches_that_are_repeated(configured):
    kernel, launch = configured
    for turn in range(4):
        launch(DeviceArray(64 * turn, SHAPE), turn)
    assert [made.words for made in Launching.made] == [[(0, 0)], [(64, 1), (128, 2), (192, 3)]]
    for shape in ((6, 4), (2, 12), (4, 6)):
        launch(DeviceArray(512, shape=shape), 9)
    assert [made.words for made in Launching.made[1:]] == [
        [(64, 1), (128, 2), (192, 3), (512, 9)],
        [(512, 9)],
        [(512, 9)],
    ]
    assert kernel.launched == []


def test_layouts_that_a_kernel_remembers_are_bounded_over_all_its_configurations(configured, monkeypatch):
    monkeypatch.setattr(launchers, "KEPT", 3)
    _, launch = configured
    launcher = launch._launcher
    for blocks in range(1, 6):
        for columns in range(1, 6):
            for _ in range(2):
                launcher[blocks, 32](DeviceArray(64, shape=(2, columns)), 1)
    assert [key[0] for key in launcher.runs] == [launcher[5, 32]] * 3
    assert list(launcher.runs) == list(launcher.seen)


def test_numba_launches_what_the_code_cannot(configured):
    kernel, launch = configured
    array = DeviceArray(64, SHAPE)
    expected = []
    for number in (1, 200, 2, 3, 300, 4):
        launch(array, number)
        expected += [(array, number)] * (number > 127)
    assert kernel.launched == expected
    launch([1, 2])
    assert kernel.launched[-1] == ([1, 2],)


NOT_QUICK = {
    "shape": (DeviceArray(64, shape=(6, 4)), (2.5, DeviceArray(64, SHAPE)), 1, 1j),
    "strides": (DeviceArray(64, SHAPE, strides=(4, 16)), (2.5, DeviceArray(64, SHAPE)), 1, 1j),
    "dtype": (DeviceArray(64, SHAPE, dtype="i"), (2.5, DeviceArray(64, SHAPE)), 1, 1j),
    "device": (DeviceArray(64, SHAPE), (2.5, DeviceArray(64, SHAPE, device=1)), 1, 1j),
    "number of another type": (DeviceArray(64, SHAPE), (2, DeviceArray(64, SHAPE)), 1, 1j),
    "scalar of NumPy": (DeviceArray(64, SHAPE), (2.5, DeviceArray(64, SHAPE)), np.int64(1), 1j),
    "longer tuple": (DeviceArray(64, SHAPE), (2.5, DeviceArray(64, SHAPE), 3), 1, 1j),
    "no tuple": (DeviceArray(64, SHAPE), [2.5, DeviceArray(64, SHAPE)], 1, 1j),
    "fewer arguments": (DeviceArray(64, SHAPE), (2.5, DeviceArray(64, SHAPE)), 1),
}


@pytest.mark.parametrize("arguments", NOT_QUICK.values(), ids=NOT_QUICK)
def test_arguments_of_other_types_and_layouts_get_a_full_look(quick_launch, arguments):
    _, launch, left, run = quick_launch
    run(*arguments)
    assert launch.words == []
    assert left == [arguments]


def test_what_the_driver_refuses_is_left_to_numba(quick_launch):
    _, launch, left, run = quick_launch
    launch.status = None
    arguments = DeviceArray(64, SHAPE), (2.5, DeviceArray(128, SHAPE)), 1, 1j
    run(*arguments)
    assert left == [arguments]


def raised(call, *arguments):
    """Type and text of what a call raises."""
    try:
        call(*arguments)
    except Exception as error:
        return type(error), str(error)
    return None


class Left(AssertionError):
    pass


@pytest.fixture
def without_numba(monkeypatch):
    """From its call on, launches that go through Numba fail."""
    from numba.cuda.dispatcher import CUDADispatcher

    def leave(*args, **options):
        raise Left

    def begin():
        monkeypatch.setattr(CUDADispatcher, "call", leave)

    return begin


@pytest.fixture(params=["numba", "cupy", "torch"])
def library(request):
    return Library(request.param)


@pytest.mark.gpu
def test_after_the_first_launch_numba_is_not_on_the_way(library, without_numba):
    x, out = library.array(draw(N)), library.array(draw(N))
    fast = launcher(scaled)
    fast[2, 128](x, np.float32(3), out)
    without_numba()
    for number in (2, 3, 4):
        fast[2, 128](x, np.float32(number), out)
        np.testing.assert_array_equal(library.numpy(out), draw(N) * np.float32(number))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scalars_of_every_dtype(dtype, without_numba):
    values = (draw(3).astype("d") * 50 - 80).astype(dtype)
    out = cuda.to_device(np.zeros(1, dtype))
    fast = launcher(stored)
    fast[1, 1](values[0], out)
    without_numba()
    for value in values:
        fast[1, 1](value, out)
        assert out.copy_to_host()[0] == value


@pytest.mark.gpu
@pytest.mark.parametrize("value", [True, 7, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2.5, float("-inf"), 1 - 2j], ids=str)
def test_pythons_numbers(value):
    out = cuda.to_device(np.zeros(1, type(value) if not isinstance(value, int) else np.asarray(value).dtype))
    for _ in range(2):
        launcher(stored)[1, 1](value, out)
    assert out.copy_to_host()[0] == value


@pytest.mark.gpu
def test_numbers_beyond_a_type_are_numbas_affair():
    out, fast = cuda.to_device(np.zeros(1, np.int64)), launcher(stored)
    fast[1, 1](1, out)
    for number in (2**64, -(2**63) - 1, 2**70):
        numbas = raised(stored[1, 1], number, out), out.copy_to_host()[0]
        assert (raised(fast[1, 1], number, out), out.copy_to_host()[0]) == numbas


@pytest.mark.gpu
def test_tuples_nest(library, without_numba):
    x, y, out = (library.array(draw(N, seed=k)) for k in range(3))
    fast = launcher(picked)
    fast[2, 128](((x, (y, np.float32(2))), np.float32(1)), out)
    without_numba()
    fast[2, 128](((y, (x, np.float32(3))), np.float32(4)), out)
    expected = draw(N, seed=1) * np.float32(3) + draw(N) + np.float32(4)
    np.testing.assert_allclose(library.numpy(out), expected, rtol=2 * np.finfo("f").eps)  # one may be contracted


@pytest.mark.gpu
def test_pointers_and_signatures_that_cast():
    @cuda.jit((types.CPointer(float32), types.CPointer(float32), float32, int32))
    def axpy(x, y, a, n):
        i = cuda.grid(1)
        if i < n:
            y[i] += a * x[i]

    x, y = cuda.to_device(draw(N)), cuda.to_device(np.zeros(N, np.float32))
    pointers = [int(each.gpu_data.device_pointer) for each in (x, y)]
    for _ in range(3):
        launcher(axpy)[2, 128](*pointers, 2, N)  # an integer for a float32
    np.testing.assert_array_equal(y.copy_to_host(), 6 * draw(N))


@pytest.mark.gpu
def test_layouts_may_change_from_launch_to_launch(library):
    fast = launcher(transposed)
    for turn in range(6):
        shape = (8 + turn, 12)
        x = draw(*shape, seed=turn)
        layouts = [library.array(x)]
        if library.name != "numba":
            layouts += [library.array(np.ascontiguousarray(x.T)).T, library.array(draw(2 * shape[0], 12))[::2]]
        for each in layouts:
            out = library.array(np.zeros(shape[::-1], np.float32))
            fast[(1, 1), (16, 16)](each, out)
            np.testing.assert_array_equal(library.numpy(out), library.numpy(each).T)


@pytest.mark.gpu
def test_arrays_of_the_host_are_numbas_affair():
    x, out = draw(N), np.zeros(N, np.float32)
    with pytest.warns(Warning, match="Host array used"):
        launcher(scaled)[2, 128](x, np.float32(3), out)
    np.testing.assert_array_equal(out, x * np.float32(3))


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("configuration", "arguments"),
    [
        ((1,), 3), ((1, 2048), 3), ((1, (1, 2, 3, 4)), 3), (((1, 2, 3, 4), 1), 3), ((1, "32"), 3), ((1, 32), 2),
        ((1, 32, 0, 1 << 20), 3), ((0, 32), 3),
    ],
)  # fmt: skip
def test_errors_are_numbas(configuration, arguments):
    given = (cuda.to_device(draw(N)), np.float32(2), cuda.to_device(draw(N)))[:arguments]

    launcher(scaled)[1, 32](cuda.to_device(draw(N)), np.float32(2), cuda.to_device(draw(N)))
    numbas = raised(lambda: scaled[configuration](*given))
    assert numbas is not None
    assert raised(lambda: launcher(scaled)[configuration](*given)) == numbas


@pytest.mark.gpu
def test_a_kernel_that_does_not_compile_raises_what_numba_raises():
    @cuda.jit
    def wrong(x):
        x.no_such_method()

    x = cuda.to_device(draw(N))
    with pytest.raises(Exception, match="no_such_method") as numbas:
        wrong[1, 32](x)
    with pytest.raises(type(numbas.value), match="no_such_method"):
        launcher(wrong)[1, 32](x)


@pytest.mark.gpu
def test_more_shared_memory_than_a_kernel_has_unasked():
    @cuda.jit
    def reversed_in_shared(x):
        tile = cuda.shared.array(0, float32)
        i = cuda.threadIdx.x
        for k in range(i, x.size, cuda.blockDim.x):
            tile[k] = x[k]
        cuda.syncthreads()
        for k in range(i, x.size, cuda.blockDim.x):
            x[k] = tile[x.size - 1 - k]

    size = 40_000  # 160 kB
    x = cuda.to_device(draw(size))
    launcher(reversed_in_shared)[1, 256, 0, 4 * size](x)
    np.testing.assert_array_equal(x.copy_to_host(), draw(size)[::-1])


@pytest.mark.gpu
def test_clusters_launch_bounds_and_cooperative_launches():
    from kernels.device.clusters import cluster, cluster_ctarank

    in_fours = cluster(4)

    @cuda.jit
    def ranks(out):
        in_fours()
        if cuda.threadIdx.x == 0:
            out[cuda.blockIdx.x] = cluster_ctarank()

    out = cuda.to_device(np.full(8, 9, np.uint32))
    for _ in range(2):
        launcher(ranks)[8, 32](out)
    np.testing.assert_array_equal(out.copy_to_host(), [0, 1, 2, 3] * 2)

    @cuda.jit(launch_bounds=(256, 4))
    def turned(x):
        grid = cuda.cg.this_grid()
        i = cuda.grid(1)
        mine = x[x.size - 1 - i]
        grid.sync()
        x[i] = mine

    x = cuda.to_device(draw(1024))
    launcher(turned)[4, 256](x)
    launcher(turned)[4, 256](x)
    launcher(turned)[4, 256](x)
    np.testing.assert_array_equal(x.copy_to_host(), draw(1024)[::-1])


@pytest.mark.gpu
def test_streams_of_all_libraries_are_taken():
    torch, cupy = Library("torch").module, Library("cupy").module
    x, out = cuda.to_device(draw(N)), cuda.to_device(draw(N))
    streams = [0, cuda.stream(), cupy.cuda.Stream(), torch.cuda.Stream(), torch.cuda.Stream().cuda_stream]
    for number, stream in enumerate(streams):
        launcher(scaled)[2, 128, stream](x, np.float32(number), out)
        cuda.synchronize()
        np.testing.assert_array_equal(out.copy_to_host(), draw(N) * np.float32(number))


@pytest.mark.gpu
def test_a_launch_waits_for_the_stream_that_pytorch_works_on():
    torch = Library("torch").module
    x, out = torch.zeros(1 << 22, device="cuda"), torch.empty(1 << 22, device="cuda")
    stream = torch.cuda.Stream()
    fast = launcher(scaled)
    for turn in range(1, 20):
        with torch.cuda.stream(stream):
            for _ in range(5):
                x.add_(1)
            fast[1 << 14, 256](x, np.float32(2), out)
        torch.cuda.current_stream().synchronize()
        assert (out == 10 * turn).all()
        stream.wait_stream(torch.cuda.current_stream())


@pytest.mark.gpu
def test_threads_share_a_launcher():
    count = 8
    fast, wrong = launcher(scaled), []
    inputs = [cuda.to_device(draw(N, seed=k)) for k in range(count)]
    outs = [cuda.to_device(np.zeros(N, np.float32)) for _ in range(count)]

    def work(k):
        stream = cuda.stream()
        for turn in range(300):
            fast[2, 128, stream](inputs[k], np.float32(turn), outs[k])
            if turn % 30 == 0:
                stream.synchronize()
                if not (outs[k].copy_to_host(stream=stream) == draw(N, seed=k) * np.float32(turn)).all():
                    wrong.append((k, turn))

    in_threads(count, work)
    assert wrong == []


@pytest.mark.gpu
def test_a_module_that_is_reloaded_has_its_new_kernel_launched(tmp_path):
    def load(factor):
        path = tmp_path / "of_a_user.py"
        path.write_text(
            "from numba import cuda\n@cuda.jit\ndef times(x):\n    i = cuda.grid(1)\n"
            f"    if i < x.size:\n        x[i] *= {factor}\n"
        )
        found = importlib.util.spec_from_file_location("of_a_user", path)
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    for factor in (2, 3):
        x = cuda.to_device(np.arange(8))
        launcher(load(factor).times)[1, 32](x)
        np.testing.assert_array_equal(x.copy_to_host(), factor * np.arange(8))


# `cuda.close()` destroys the context, from which Numba itself has no way back (numba-cuda 0.30); `reset` drops modules.
_RESET = """
import numpy as np, kernels
from numba import cuda
from kernels.runtime import launcher

@cuda.jit
def twice(x):
    i = cuda.grid(1)
    if i < x.size:
        x[i] *= 2

fast, plan = launcher(twice), None
for turn in range(4):
    x = cuda.to_device(np.arange(8.0))
    fast[1, 32](x)
    fast[1, 32](x)
    plan = plan or kernels.add.plan(like=(x, 1.0), out=x)
    plan(x, 1.0, out=x)
    assert (kernels.add(x, 0.5).copy_to_host() == 4 * np.arange(8.0) + 1.5).all()
    del x
    cuda.current_context().reset()
print("right")
"""


@pytest.mark.gpu
def test_a_context_that_is_reset_is_followed():
    done = subprocess.run([sys.executable, "-c", _RESET], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "right", done.stderr


@pytest.mark.gpu
def test_the_current_device_computes():
    torch = Library("torch").module
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    fast = launcher(scaled)
    for device in (0, 1, 0, 1):
        with cuda.gpus[device]:
            x, out = cuda.to_device(draw(N)), cuda.to_device(np.zeros(N, np.float32))
            fast[2, 128](x, np.float32(device + 2), out)
            np.testing.assert_array_equal(out.copy_to_host(), draw(N) * np.float32(device + 2))


@pytest.mark.gpu
def test_the_launcher_of_a_kernel_is_one():
    assert launcher(scaled) is launcher(scaled)
    assert launcher(scaled) is not launcher(stored)

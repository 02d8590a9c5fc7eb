"""The host side of the simulator, over Numba's own engine: what is tested is everything but the running of threads."""

import asyncio
import os
import subprocess
import sys
import threading
from collections import namedtuple
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba import cuda

if not numba.config.ENABLE_CUDASIM:
    pytest.skip("the host side of Numba's simulator", allow_module_level=True)

import numba.cuda.simulator.kernel as stock
from numba.cuda.simulator.kernelapi import FakeCUDAModule, swapped_cuda_module

from kernels.simulator import host
from kernels.simulator.errors import LaunchError, SimulatorError

OPTIONS = SimpleNamespace(resident=5)
BEFORE = {"kernel": None, "array": None}
Seen = namedtuple("Seen", "grid block args shared options")
seen = []


def wrapped(value):
    if isinstance(value, tuple):
        return tuple(map(wrapped, value))
    if isinstance(value, np.ndarray | np.void):
        return stock.FakeWithinKernelCUDAArray(stock.FakeCUDAArray(value))
    return value


def run(function, grid, block, args, shared, options, types=None):
    """Numba's own engine in the place of ours."""
    seen.append(Seen(grid, block, args, shared, options))
    module = FakeCUDAModule(grid, block, shared)
    with stock._push_kernel_context(module), swapped_cuda_module(function, module):
        for point in np.ndindex(*grid):
            stock.BlockManager(function, grid, block, False).run(point, *map(wrapped, args))


@pytest.fixture(autouse=True)
def patched(monkeypatch):
    before = host.patched()
    host.unpatch()
    BEFORE["kernel"], BEFORE["array"] = cuda.jit(lambda x: x.__setitem__(0, 7)), cuda.to_device(np.arange(3.0))
    monkeypatch.setenv("KERNELS_SIMULATOR_DEVICES", "2")
    seen.clear()
    host.patch(run, OPTIONS)
    yield
    host.unpatch()
    if before:
        monkeypatch.undo()
        host.patch(*before)


@cuda.jit
def add(x, y):
    i = cuda.grid(1)
    if i < x.size:
        x[i] += y


@cuda.jit
def nothing(*args):
    pass


def test_every_kernel_runs_on_the_given_engine_those_made_before_too():
    x = np.zeros(3)
    BEFORE["kernel"][1, 1](x)
    add[1, 3](x, 1.0)
    assert x.tolist() == [8, 1, 1]
    assert [(each.grid, each.block, each.options) for each in seen] == [
        ((1, 1, 1), (1, 1, 1), OPTIONS),
        ((1, 1, 1), (3, 1, 1), OPTIONS),
    ]


def test_unpatch_restores_numbas_simulator():
    owners = (cuda, stock.FakeCUDAKernel, stock.FakeCUDAArray, cuda.cudadrv.devicearray, cuda.cudadrv.devices,
              cuda.cudadrv.driver, sys.modules["numba.cuda.simulator.api"])  # fmt: skip
    while_patched = [dict(vars(owner)) for owner in owners]
    host.unpatch()
    plain = [dict(vars(owner)) for owner in owners]
    host.patch(run, OPTIONS)
    host.unpatch()
    assert [dict(vars(owner)) for owner in owners] == plain
    assert while_patched != plain
    x = np.zeros(2)
    add[1, 2](x, 1)
    assert x.tolist() == [1, 1]
    assert not seen


def test_a_configured_kernel_is_independent_of_the_next():
    wide, narrow = add[1, 32], add[1, 2, 0, 64]
    wide(np.zeros(1), 1)
    narrow(np.zeros(1), 1)
    wide(np.zeros(1), 1)
    assert [(each.block[0], each.shared) for each in seen] == [(32, 0), (2, 64), (32, 0)]


def test_forall_takes_whole_warps_and_nothing_runs_for_no_tasks():
    x = np.zeros(300)
    add.forall(x.size)(x, 1)
    add.forall(x.size, tpb=32, sharedmem=8)(x, 1)
    add.forall(0)(x, 1)
    assert (x == 2).all()
    assert [(each.grid[0], each.block[0], each.shared) for each in seen] == [(3, 128, 0), (10, 32, 8)]
    bounded = cuda.jit(lambda x: None, launch_bounds=64)
    bounded.forall(100)(x)
    assert seen[-1].block == (64, 1, 1)
    with pytest.raises(ValueError, match="negative task count"):
        add.forall(-1)


@pytest.mark.parametrize(
    "configuration",
    [
        (0, 1), (1, 0), (-1, 1), (1, 1025), (1, (32, 33)), (1, (1, 1, 65)), ((1, 65536), 1), (1, 1, 0, 227 * 1024 + 1),
        (1, 1, 0, -1), (1,), (1, 1, 0, 0, 0), ((1, 1, 1, 1), 1), 1,
    ],
)  # fmt: skip
def test_no_wrong_configuration_reaches_the_engine(configuration):
    with pytest.raises(LaunchError):
        add[configuration](np.zeros(1), 1)
    assert not seen


def test_launch_bounds_bound():
    kernel = cuda.jit(lambda x: None, launch_bounds=(64, 2))
    kernel[1, 64](np.zeros(1))
    with pytest.raises(LaunchError, match="launch_bounds"):
        kernel[1, 65](np.zeros(1))


@pytest.mark.parametrize("argument", [[1], {}, {1}, "text", b"bytes"])
def test_what_no_kernel_takes_is_refused(argument):
    with pytest.raises(TypeError, match="argument 1"):
        add[1, 1](np.zeros(1), argument)


def test_a_kernel_without_a_configuration_and_one_with_too_few_arguments_are_errors():
    with pytest.raises(ValueError, match="launch configuration was not specified"):
        add(np.zeros(1), 1)
    with pytest.raises(TypeError, match="takes 2 arguments, got 1"):
        add[1, 1](np.zeros(1))
    with pytest.raises(TypeError, match="sequence of integers"):
        add[1.0, 1]


def test_hints_say_what_is_copied():
    x, y, z = np.ones(3), np.ones(3), np.ones(3)

    @cuda.jit
    def write(a, b, c):
        a[0] = b[0] = c[0] = 5

    write[1, 1](cuda.In(x), cuda.Out(y), cuda.InOut(z))
    assert x.tolist() == [1, 1, 1]
    assert y[0] == 5
    assert np.isnan(y[1:]).all()  # nobody wrote it, and nothing was copied in
    assert z.tolist() == [5, 1, 1]


def test_arguments_reach_the_engine_as_memory_scalars_and_tuples_of_them():
    Pair = namedtuple("Pair", "first second")
    device, x = cuda.to_device(np.arange(3.0)), np.zeros(2, "f")
    nothing[1, 1](device, Pair(x, 3), np.array(2.0), np.float32(1), 4, None)
    memory, pair, zero_d, single, integer, none = seen[0].args
    assert type(memory) is np.ndarray
    memory[0] = 9
    assert device[0] == 9
    assert isinstance(pair, Pair)
    assert type(pair.first) is np.ndarray
    assert pair.second == 3
    assert zero_d.shape == ()
    assert (type(single), integer, none) == (np.float32, 4, None)


def test_an_array_of_no_axis_and_a_record_are_written_back():
    @cuda.jit
    def write(number, record):
        number[()] = 3
        record.a = 4

    number, records = np.array(1.0), np.zeros(2, [("a", "i4"), ("b", "f4", 2)])
    write[1, 1](number, records[1])
    assert number == 3
    assert records["a"].tolist() == [0, 4]


def test_one_array_given_twice_is_two_on_the_device():
    @cuda.jit
    def write(a, b):
        a[0] = 1
        b[1] = b[0] + 5

    x = np.zeros(2)
    write[1, 1](x, x)
    assert x.tolist() == [0, 5]


def test_a_read_only_array_is_read_only():
    x = np.zeros(2)
    x.flags.writeable = False
    nothing[1, 1](x, np.broadcast_to(np.float64(3), 4))
    assert not seen[0].args[0].flags.writeable
    assert seen[0].args[1].tolist() == [3, 3, 3, 3]
    with pytest.raises(ValueError, match="non-contiguous"):
        nothing[1, 1](np.zeros(4)[::2])


def test_a_kernel_that_fails_writes_nothing_back():
    @cuda.jit
    def fail(x):
        x[0] = 1
        raise ValueError("no")

    x = np.zeros(1)
    with pytest.raises(ValueError, match="no"):
        fail[1, 1](x)
    assert x[0] == 0
    add[1, 1](x, 1)
    assert x[0] == 1


def test_extensions_act_from_the_last_to_the_first():
    class Times:
        def __init__(self, by):
            self.by = by

        def prepare_args(self, ty, value, stream, retr):
            retr.append(lambda: done.append(self.by))
            return ty, value * self.by if self.by == 2 else value + self.by

    done = []
    cuda.jit(lambda x: None, extensions=[Times(2), Times(3)])[1, 1](4)
    assert seen[0].args == (14,)
    assert done == [3, 2]


def test_host_threads_launch_one_after_another():
    x = cuda.to_device(np.zeros(1))

    @cuda.jit
    def count(x):
        x[0] += 1

    threads = [threading.Thread(target=lambda: [count[1, 1](x) for _ in range(10)]) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert x[0] == 40


def test_a_launch_inside_a_launch_is_an_error():
    host.patch(lambda function, *launch: function(), {})
    inner = cuda.jit(lambda: None)
    outer = cuda.jit(lambda: inner[1, 1]())
    with pytest.raises(SimulatorError, match="inside a launch"):
        outer[1, 1]()


def test_an_exception_keeps_its_type_and_tells_its_thread():
    class Odd(Exception):
        def __init__(self, a, b):
            super().__init__(a)
            self.b = b

    error = host.located(Odd("reason", 2), (1, 2, 3), (4, 5, 6))
    assert type(error) is Odd
    assert str(error) == "tid=[1, 2, 3] ctaid=[4, 5, 6]: reason"
    assert error.b == 2
    assert str(host.located(error, (0, 0, 0), (0, 0, 0))) == str(error)
    assert str(host.located(ValueError(), (0, 0, 0), (0, 0, 1))) == "tid=[0, 0, 0] ctaid=[0, 0, 1]"


def test_jit_takes_every_option_and_no_other():
    options = {"lineinfo": True, "max_registers": 32, "launch_bounds": (128, 2), "forceinline": True, "lto": True,
               "link": [], "fastmath": True, "opt": True, "cache": True, "inline": "always", "abi": "numba",
               "extensions": [], "debug": False, "shared_memory_carveout": "MaxL1"}  # fmt: skip
    kernel = cuda.jit(**options)(lambda x: None)
    kernel[1, 1](np.zeros(1))
    assert options.items() <= kernel.targetoptions.items()
    with pytest.raises(TypeError, match="no option fast"):
        cuda.jit(fast=True)
    with pytest.raises(ValueError, match="link"):
        cuda.jit(device=True, link=["code.ptx"])(lambda: None)
    for wrong in ({"launch_bounds": (1, 2, 3, 4)}, {"shared_memory_carveout": 101}, {"shared_memory_carveout": "all"}):
        with pytest.raises(ValueError, match=r"launch bounds|[Cc]arveout"):
            cuda.jit(**wrong)
    with pytest.raises(TypeError, match="void"):
        cuda.jit("int32(int32)")(lambda x: x)


def test_an_explicit_signature_casts_scalars():
    kernel = cuda.jit("void(float32[:], int32, float32, complex64, boolean)")(lambda *args: None)
    kernel[1, 1](np.zeros(2, "f"), 2**32 + 5, 0.1, 1, 3)
    assert [type(each) for each in seen[0].args[1:]] == [np.int32, np.float32, np.complex64, np.bool_]
    assert seen[0].args[1:] == (5, np.float32(0.1), 1, True)


@pytest.mark.parametrize("args", [(np.zeros(2), 1), (np.zeros((2, 2), "f"), 1), (np.zeros(2, "f"), 1.5), (1, 1)])
def test_arguments_that_no_signature_takes_are_refused(args):
    kernel = cuda.jit(["void(float32[:], int32)", "void(float32[:], uint8)"])(lambda x, y: None)
    with pytest.raises(TypeError, match="No matching definition"):
        kernel[1, 1](*args)


def test_of_several_signatures_the_closest_is_taken():
    kernel = cuda.jit(["void(float32)", "void(int64)", "void(float64)"])(lambda x: None)
    for value, kind in ((1, np.int64), (1.5, np.float64), (np.float32(1), np.float32), (np.int8(1), np.int64)):
        kernel[1, 1](value)
        assert type(seen[-1].args[0]) is kind
    with pytest.raises(TypeError, match="Ambiguous overloading"):
        cuda.jit(["(float32, float64)", "(float64, float32)"])(lambda x, y: None)[1, 1](1.0, 1.0)


def test_what_the_compiler_would_know_is_harmless():
    kernel = cuda.jit(add.py_func)
    kernel[1, 1](np.zeros(1), 1)
    (types,) = kernel.overloads
    assert str(types) == "(Array(float64, 1, 'C', False, aligned=True), int64)"
    assert kernel.overloads[types].max_cooperative_grid_blocks(32) == 5
    assert add.py_func.__name__ == "add"
    assert kernel.inspect_asm() == kernel.inspect_llvm() == {}
    special = kernel.specialize(np.zeros(1), 1)
    assert special is kernel.specialize(np.zeros(1), 1)
    assert special.specialized
    assert special.get_max_threads_per_block() == 1024
    with pytest.raises(RuntimeError, match="already specialized"):
        special.specialize(np.zeros(1), 1)
    for name in ("compile", "compile_ptx", "compile_for_current_device"):
        with pytest.raises(SimulatorError, match="unset NUMBA_ENABLE_CUDASIM"):
            getattr(cuda, name)(add.py_func, ())


def test_a_foreign_function_is_declared_and_refuses_to_run():
    foreign = cuda.declare_device("outside", "int32(int32)", link="outside.cu")
    with pytest.raises(SimulatorError, match="outside"):
        foreign(1)
    with pytest.raises(TypeError, match="Return type"):
        cuda.declare_device("outside", "(int32,)")


def test_names_that_kernels_use_can_be_imported_one_by_one():
    from numba.cuda import atomic, blockIdx, cg, shared, shfl_sync, syncthreads, syncwarp, threadIdx  # noqa: F401

    with pytest.raises(NotImplementedError):
        syncthreads()


def test_a_device_array_belongs_to_its_device():
    with cuda.gpus[1]:
        there = cuda.to_device(np.zeros(4))
        add[1, 4](there, 1)
    for view in (there, there[1:], there.reshape(2, 2), there.view("i8"), there.bind(0), cuda.as_cuda_array(there)):
        with pytest.raises(LaunchError, match="device 1"):
            nothing[1, 1](view)
    assert there.copy_to_host().tolist() == [1, 1, 1, 1]
    cuda.current_context().enable_peer_access(cuda.current_context(1))
    cuda.select_device(0)
    add[1, 4](there, 1)
    assert there[3] == 2


def test_there_are_as_many_devices_as_asked_for_and_one_is_current():
    assert len(cuda.gpus) == len(cuda.list_devices()) == 2
    assert cuda.select_device(1).id == cuda.get_current_device().id == cuda.gpus.current.id == 1
    others = []
    thread = threading.Thread(target=lambda: others.append(cuda.get_current_device().id))
    thread.start()
    thread.join()
    assert others == [0]
    with cuda.gpus[0]:
        assert cuda.current_context().device.id == 0
    assert cuda.get_current_device().id == 1
    cuda.select_device(0)
    for number in (2, -1):
        with pytest.raises(IndexError, match="KERNELS_SIMULATOR_DEVICES"):
            cuda.select_device(number)


def test_a_device_is_described():
    device = cuda.get_current_device()
    assert device.compute_capability == (9, 0)
    assert (device.MULTIPROCESSOR_COUNT, device.MAX_THREADS_PER_BLOCK, device.WARP_SIZE) == (132, 1024, 32)
    assert cuda.gpus[0].MAX_GRID_DIM_X == 2**31 - 1
    with pytest.raises(AttributeError, match="NO_SUCH"):
        _ = device.NO_SUCH


def test_detect_lists_the_devices(capsys):
    assert cuda.detect()
    assert "Found 2 CUDA devices" in capsys.readouterr().out


def test_numpy_copies_device_arrays_and_never_shares_them():
    device = cuda.to_device(np.arange(3.0))
    copy = np.asarray(device)
    copy[0] = 9
    assert device[0] == 0
    device[:] = cuda.to_device(np.ones(3))
    assert device.copy_to_host().tolist() == [1, 1, 1]
    assert np.sin(BEFORE["array"]).tolist() == np.sin(np.arange(3.0)).tolist()


def test_memory_that_nobody_wrote_shows():
    kinds = [("f4", np.nan), ("i2", -1), ("u1", 255), ("?", True), ("c8", complex(np.nan, 0))]
    for dtype, value in kinds:
        np.testing.assert_array_equal(cuda.device_array(3, dtype).copy_to_host(), np.full(3, value, dtype))
    assert np.isnan(cuda.device_array(2, [("a", "f4")])["a"].copy_to_host()).all()


def test_mapped_and_managed_arrays_are_used_in_place_on_any_device():
    for make in (cuda.mapped_array, cuda.managed_array):
        array = make(4, np.float32)
        array[:] = 1
        with cuda.gpus[1]:
            add[1, 4](array, 1)
        assert np.shares_memory(seen[-1].args[0], array)
        assert array.copy_to_host().tolist() == [2, 2, 2, 2]
    host_memory = np.zeros(3)
    with cuda.mapped(host_memory) as mapped, cuda.pinned(host_memory):
        add[1, 3](mapped, 1)
    assert host_memory.tolist() == [1, 1, 1]
    assert cuda.pinned_array(3).shape == cuda.mapped_array_like(host_memory).shape == (3,)
    mapped = cuda.mapped_array(3)
    assert mapped.device_pointer == mapped.__cuda_array_interface__["data"][0] == mapped.device_ctypes_pointer.value


def test_a_record_on_the_device_is_read_and_written_by_its_fields():
    records = cuda.to_device(np.zeros(3, [("a", "i4"), ("b", "f4", 2), ("c", [("d", "f8")])]))
    record = records[1]
    record["a"] = 5
    assert (record["a"], records[1]["a"]) == (5, 5)
    assert record["b"].shape == (2,)
    assert record["c"]["d"] == 0
    assert isinstance(record, cuda.cudadrv.devicearray.DeviceRecord)

    @cuda.jit
    def write(record):
        record.a += 1

    write[1, 1](record)
    assert type(seen[0].args[0]) is np.void
    assert records.copy_to_host()["a"].tolist() == [0, 6, 0]
    copied = cuda.to_device(records.copy_to_host()[1])
    write[1, 1](copied)
    assert copied.copy_to_host()["a"] == 7


class Foreign:
    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__


def test_arrays_of_others_are_used_in_place():
    device = cuda.to_device(np.arange(6.0).reshape(2, 3))
    for view in (device, device.T, device[:, 1]):
        shared = cuda.as_cuda_array(Foreign(view))
        np.testing.assert_array_equal(shared.copy_to_host(), view.copy_to_host())
        assert shared.strides == view.strides
    add[1, 3](Foreign(device[1]), 1)
    assert device.copy_to_host().tolist() == [[0, 1, 2], [4, 5, 6]]
    assert cuda.is_cuda_array(device)
    assert not cuda.is_cuda_array(np.zeros(3))
    assert cuda.device_array(0).__cuda_array_interface__["data"][0] == 0
    assert isinstance(device, cuda.cudadrv.devicearray.DeviceNDArray)
    with pytest.raises(TypeError, match="interface"):
        cuda.as_cuda_array(np.zeros(3))


def test_arrays_on_a_real_gpu_are_refused():
    owner = type("ndarray", (Foreign,), {"__module__": "cupy._core"})(cuda.to_device(np.zeros(1)))
    with pytest.raises(SimulatorError, match="copy it to NumPy"):
        nothing[1, 1](owner)


def test_events_carry_times():
    start, end = cuda.event(), cuda.event()
    assert start.query()
    with pytest.raises(SimulatorError, match="not recorded"):
        start.elapsed_time(end)
    start.record()
    add[1, 1](np.zeros(1), 1)
    end.record(cuda.stream())
    end.synchronize()
    end.wait()
    assert 0 < start.elapsed_time(end) == cuda.event_elapsed_time(start, end)
    with pytest.raises(SimulatorError, match="timing=False"):
        start.elapsed_time(cuda.event(timing=False))


def test_callbacks_run_in_order_in_another_thread_before_what_follows():
    stream, order = cuda.stream(), []
    released = threading.Event()

    def callback(given, status, arg):
        released.wait()
        order.append((given is stream, status, arg, threading.current_thread() is threading.main_thread()))

    stream.add_callback(callback, 1)
    stream.add_callback(callback)
    assert not order
    released.set()
    nothing[1, 1, stream]()
    assert order == [(True, 0, 1, False), (True, 0, None, False)]


def test_async_done_is_awaitable():
    async def main():
        stream = cuda.stream()
        return await stream.async_done() is stream

    assert asyncio.run(main())


def test_streams_have_handles_and_what_is_no_stream_is_refused():
    assert int(cuda.external_stream(0x123)) == 0x123
    assert int(cuda.default_stream()) == 0
    assert int(cuda.stream()) != int(cuda.stream())
    assert cuda.stream().__cuda_stream__()[0] == 0
    with cuda.stream().auto_synchronize() as stream:
        array = cuda.to_device(np.arange(3.0), stream=stream)
        nothing[1, 1, stream](array.copy_to_host(stream=stream))
    for stream in (0, cuda.default_stream(), cuda.legacy_default_stream(), cuda.per_thread_default_stream()):
        nothing[1, 1, stream]()
    with pytest.raises(TypeError, match="stream"):
        nothing[1, 1, "stream"]()


@pytest.mark.parametrize("vectorize", [numba.vectorize, getattr(cuda, "vectorize", numba.vectorize)])
def test_ufuncs_compute_in_the_declared_types(vectorize):
    @vectorize(["float32(float32, float32)", "(int32, int32)"], target="cuda")
    def multiply(x, y):
        return x * y

    x = np.arange(6, dtype="f").reshape(2, 3)
    assert multiply(x, x).dtype == np.float32
    np.testing.assert_array_equal(multiply(x, np.float32(2)), 2 * x)
    device = multiply(cuda.to_device(x), x)
    assert cuda.is_cuda_array(device)
    np.testing.assert_array_equal(device.copy_to_host(), x * x)
    assert multiply(x.astype("i4"), x.astype("i4")).dtype == np.int64  # as Numba infers it
    with pytest.raises(TypeError, match="No matching version"):
        multiply(x.astype("f8"), x)


def test_generalised_ufuncs_loop_over_the_outer_axes():
    @numba.guvectorize(["void(float64[:,:], float64[:], float64[:])"], "(m,n),(n)->(m)", target="cuda")
    def product(a, b, c):
        for i in range(a.shape[0]):
            c[i] = 0
            for j in range(a.shape[1]):
                c[i] += a[i, j] * b[j]

    a, b = np.arange(24.0).reshape(4, 2, 3), np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(product(a, b), np.einsum("kmn,kn->km", a, b))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 64, 127, 128, 129, 300])
def test_reduce_folds_every_element_and_init(size):
    total = cuda.reduce(lambda a, b: a + b)
    x = np.arange(size, dtype=np.int64)
    assert total(x, init=3) == x.sum() + 3
    assert total(cuda.to_device(x)) == x.sum()


def test_reduce_writes_to_the_device_and_takes_a_part():
    largest = cuda.Reduce(lambda a, b: max(a, b))
    result = cuda.to_device(np.zeros(2))
    assert largest(np.arange(40.0), res=result, size=20) is None
    assert result[0] == 19
    with pytest.raises(TypeError, match="1D"):
        largest(np.zeros((2, 2)))


def test_without_the_simulator_patch_says_what_to_do():
    program = f"import sys; sys.path[:] = {sys.path}; from kernels.simulator import host; host.patch(None, {{}})"
    environment = dict(os.environ, NUMBA_ENABLE_CUDASIM="0")
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert "NUMBA_ENABLE_CUDASIM=1 must be in the environment" in done.stderr

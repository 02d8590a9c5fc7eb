"""The host side of the simulator over both engines, as programs of users meet it."""

import subprocess
import sys
import threading

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba import cuda, types

if not numba.config.ENABLE_CUDASIM:
    pytest.skip("the host side of Numba's simulator", allow_module_level=True)

from kernels import simulator
from kernels.simulator import LaunchError, SimulatorError, host, versions


@pytest.fixture(params=simulator.ENGINES)
def engine(request, monkeypatch):
    before = host.patched()
    monkeypatch.setenv("KERNELS_SIMULATOR_DEVICES", "3")
    simulator.install(engine=request.param)
    yield request.param
    cuda.select_device(0)
    host.unpatch()
    if before:
        monkeypatch.undo()
        host.patch(*before)


def test_ufuncs_broadcast_fold_and_write_to_the_device(engine):
    @numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"], target="cuda")
    def difference(a, b):
        return abs(a - b) + a

    rng = np.random.default_rng(1)
    x, y = rng.random((5, 7), dtype=np.float32), rng.random((5, 1), dtype=np.float32)
    np.testing.assert_array_equal(difference(x, y), abs(x - y) + x)
    out = cuda.device_array((5, 7), np.float32)
    difference(cuda.to_device(x), y, out=out)
    np.testing.assert_array_equal(out.copy_to_host(), abs(x - y) + x)
    every_other = rng.random((4, 6))[:, ::2]
    np.testing.assert_array_equal(difference(every_other, every_other), every_other)

    @numba.vectorize(["int64(int64, int64)"], target="cuda")
    def add(a, b):
        return a + b

    assert add.reduce(np.arange(1001)) == 500500


def test_generalised_ufuncs_multiply_stacks_of_matrices(engine):
    @numba.guvectorize(["void(float64[:,:], float64[:,:], float64[:,:])"], "(m,n),(n,p)->(m,p)", target="cuda")
    def multiply(a, b, c):
        for i in range(a.shape[0]):
            for j in range(b.shape[1]):
                c[i, j] = 0
                for k in range(a.shape[1]):
                    c[i, j] += a[i, k] * b[k, j]

    rng = np.random.default_rng(2)
    a, b = rng.random((6, 2, 4)), rng.random((6, 4, 3))
    np.testing.assert_allclose(multiply(a, b), a @ b, rtol=1e-14)
    np.testing.assert_allclose(multiply(a, b[0]), a @ b[0], rtol=1e-14)
    np.testing.assert_allclose(multiply(cuda.to_device(a), b).copy_to_host(), a @ b, rtol=1e-14)


@pytest.mark.parametrize("size", [1, 33, 500])
def test_reduce_folds_whatever_the_operator(engine, size):
    x = np.random.default_rng(3).integers(-1000, 1000, size)
    assert cuda.reduce(lambda a, b: a + b)(x) == x.sum()
    assert cuda.reduce(max)(x, init=-2000) == x.max()


@cuda.jit
def append(x, digit):
    x[0] = x[0] * 10 + digit


def test_work_on_streams_is_in_the_order_of_their_events(engine):
    first, second, seen = cuda.stream(), cuda.stream(), []
    x, event, end = cuda.to_device(np.zeros(1, np.int64), stream=first), cuda.event(), cuda.event()
    append[1, 1, first](x, 1)
    first.add_callback(lambda *_: seen.append(len(seen)))
    event.record(first)
    event.wait(second)
    append[1, 1, second](x, 2)
    assert seen == [0]
    append[1, 1](x, 3)
    end.record()
    end.synchronize()
    assert x.copy_to_host()[0] == 123
    assert event.elapsed_time(end) >= 0


def test_arrays_of_others_are_read_and_written_in_place(engine):
    @cuda.jit
    def double_rows(x):
        x[cuda.grid(1), 0] *= 2

    device = cuda.to_device(np.arange(12.0).reshape(3, 4))

    class Foreign:
        __cuda_array_interface__ = device[:, 1:].__cuda_array_interface__

    double_rows[1, 3](Foreign())
    assert device.copy_to_host()[:, 1].tolist() == [2, 10, 18]


def test_each_device_has_its_arrays_and_lends_them(engine):
    @cuda.jit
    def increment(x):
        x[cuda.grid(1)] += 1

    cuda.select_device(2)
    there = cuda.to_device(np.arange(4.0))
    cuda.select_device(0)
    with pytest.raises(LaunchError, match="argument 0 is on device 2, and the kernel runs on device 0"):
        increment[1, 4](there)
    here = cuda.device_array(4)
    here.copy_to_device(there)
    assert here.copy_to_host().tolist() == [0, 1, 2, 3]
    context = cuda.current_context()
    assert context.can_access_peer(2)
    context.enable_peer_access(cuda.gpus[2])
    increment[1, 4](there)
    assert there.copy_to_host().tolist() == [1, 2, 3, 4]

    seen = []
    with cuda.gpus[1]:
        thread = threading.Thread(target=lambda: seen.append(cuda.get_current_device().id))
        thread.start()
        thread.join()
        seen.append(cuda.get_current_device().id)
    assert seen == [0, 1]


def test_a_function_that_requires_its_context_cannot_switch(engine):
    def switch():
        with cuda.gpus[1]:
            return cuda.get_current_device().id

    assert switch() == 1
    with pytest.raises(RuntimeError, match="Cannot switch CUDA-context"):
        cuda.require_context(switch)()
    assert cuda.require_context(cuda.get_current_device)().id == 0


OPTIONS = [
    {}, {"fastmath": True}, {"fastmath": {"contract"}}, {"debug": True, "opt": False}, {"lineinfo": True},
    {"max_registers": 32}, {"launch_bounds": (128, 2)}, {"cache": True}, {"link": []}, {"lto": True}, {"opt": 3},
    {"shared_memory_carveout": "MaxShared"}, {"inline": "always", "device": True},
    {"forceinline": True, "device": True},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_kernel_runs_with_every_option(engine, options):
    @cuda.jit(**options)
    def store(x, value):
        x[cuda.grid(1)] = value

    @cuda.jit
    def through(x, value):
        store(x, value)

    x = np.zeros(3)
    (through if options.get("device") else store)[1, 3](x, 2.5)
    assert x.tolist() == [2.5] * 3


@cuda.jit
def show(x, pair):
    i = cuda.grid(1)
    print("value", i, x[i], x[i] > 1, pair, (i,), cuda.threadIdx)  # noqa: T201  (what is tested)


def test_kernels_print_numbers_strings_and_tuples_in_cudas_format(engine, capfd):
    show[1, 2](np.array([0.1, 2.5], np.float32), (1, (2.0, 3)))
    sys.stdout.flush()
    assert capfd.readouterr().out.splitlines() == [
        "value 0 0.100000 False (1, (2.000000, 3)) (0,) (0, 0, 0)",
        "value 1 2.500000 True (1, (2.000000, 3)) (1,) (1, 0, 0)",
    ]


def test_kernels_print_in_the_order_of_the_schedule(engine, capfd):
    def lines():
        show[4, 2](np.arange(8.0), ())
        sys.stdout.flush()
        return capfd.readouterr().out.splitlines()

    ascending = lines()
    simulator.install(engine=engine, seed=7)
    drawn = lines()
    assert drawn == lines()
    assert drawn != ascending
    assert sorted(drawn) == sorted(ascending)
    assert [line.split()[1] for line in ascending] == list("01234567")


@cuda.jit(device=True)
def refuse(i):
    if i == 37:
        raise ValueError("an unlucky thread")
    return i


@cuda.jit
def ask(x):
    i = cuda.grid(1)
    x[i] = refuse(i)


@pytest.mark.parametrize("checks", ["all", "none"])
def test_an_exception_tells_its_thread_and_source_line(engine, checks):
    simulator.install(engine=engine, checks=checks)
    with pytest.raises(ValueError, match="an unlucky thread") as found:
        ask[2, 32](np.zeros(64))
    assert str(found.value) == "tid=[5, 0, 0] ctaid=[1, 0, 0]: an unlucky thread"
    if sys.version_info >= (3, 11):
        thread, line = found.value.__notes__
        assert thread == "in thread 5 of block 1, grid (2, 1, 1), block (32, 1, 1)"
        assert f'{__file__}:{refuse.fn.__code__.co_firstlineno + 3} in refuse: raise ValueError("an' in line


def test_a_division_by_zero_of_a_debugged_kernel_is_both_errors(engine):
    @cuda.jit(debug=True, opt=False)
    def divide(x):
        x[0] = 1 // x[1]

    for kind in (ZeroDivisionError, FloatingPointError):
        with pytest.raises(kind, match="tid="):
            divide[1, 1](np.zeros(2, np.int64))


def test_errors_of_types_are_the_compilers_in_both_engines(engine):
    with pytest.raises(numba.core.errors.TypingError, match="RequireLiteralValue"):

        @cuda.jit("void(int32[:], int32)")
        def grid_of_any(x, n):
            x[cuda.grid(n)] = 0

    @cuda.jit
    def unknown(x):
        x[0] = no_such_name  # noqa: F821

    with pytest.raises(numba.core.errors.TypingError, match="no_such_name"):
        unknown[1, 1](np.zeros(1))


def test_code_that_an_extension_writes_runs_and_a_gpus_assembly_is_refused(engine):
    from numba.cuda.extending import intrinsic

    @intrinsic
    def halved(typingctx, x):
        def codegen(context, builder, signature, args):
            return builder.ashr(args[0], ir.Constant(args[0].type, 1))

        return types.int64(types.int64), codegen

    @intrinsic
    def lane(typingctx):
        def codegen(context, builder, signature, args):
            kind = ir.FunctionType(ir.IntType(32), [])
            return builder.call(ir.InlineAsm(kind, "mov.u32 $0, %laneid;", "=r"), [])

        return types.int32(), codegen

    @cuda.jit
    def halve(x):
        x[cuda.grid(1)] = halved(x[cuda.grid(1)])

    @cuda.jit
    def ask_lane(x):
        x[0] = lane()

    x = np.array([7, -7])
    halve[1, 2](x)
    assert x.tolist() == [3, -4]
    with pytest.warns() if engine == "compiled" else pytest.raises(NotImplementedError):
        with pytest.raises(NotImplementedError, match="a GPU's"):
            ask_lane[1, 1](x)
        if engine == "interpreted":
            raise NotImplementedError


def test_memory_of_a_device_begins_where_the_driver_would_begin_it(engine):
    arrays = [cuda.device_array(size, np.int8) for size in (1, 3, 300)]
    assert [array.device_pointer % 256 for array in arrays] == [0, 0, 0]
    assert (arrays[0].copy_to_host() == -1).all()


def test_what_a_kernel_names_is_a_constant_of_its_first_launch(engine):
    prices, factor = np.arange(4.0), 2.0

    @cuda.jit
    def scale(x):
        i = cuda.grid(1)
        x[i] = prices[i] * factor

    x = np.zeros(4)
    scale[1, 4](x)
    prices[:], factor = 100, 0.0
    scale[1, 4](x)
    assert x.tolist() == [0, 2, 4, 6]


def test_a_record_is_an_argument_of_checked_kernels(engine):
    @cuda.jit
    def read(record, x):
        x[0] = record.a + record.b

    x = np.zeros(1)
    read[1, 1](np.array([(3, 0.5)], dtype=np.dtype([("a", "i4"), ("b", "f8")], align=True))[0], x)
    assert x[0] == 3.5


def test_names_of_float8_are_there_while_the_simulator_is(engine):
    from numba.cuda._internal.cuda_fp8 import fp8_e4m3

    assert fp8_e4m3(np.float32(0.3)) == np.float32(0.3125)
    assert cuda.is_fp8_supported()
    host.unpatch()
    assert "numba.cuda._internal.cuda_fp8" not in sys.modules


def test_a_version_that_is_too_old_is_refused_with_all_versions():
    old = {"numba": "0.59.1", "numba-cuda": "0.30.4"}
    with pytest.raises(SimulatorError, match=r"numba 0.59.1 is too old.*numba-cuda 0.30.4; known: numba 0.61 to"):
        versions.refuse_old(old.get)
    versions.refuse_old(lambda package: "99.0.dev1+local")


def test_the_simulator_is_there_without_numba_cuda():
    program = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'numba_cuda' else find(name, *rest)\n"
        "import kernels.simulator\n"
        "assert 'kernels.elementwise' not in sys.modules and kernels.__all__ == ['__version__']"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

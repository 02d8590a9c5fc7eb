"""Small kernels, each of which means the same in both engines."""

import dis
import enum
import os
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from numba import cuda, float32, float64, int32, njit, uint8
from numba.core.errors import TypingError

from kernels.simulator import DivergenceError, install, installed, simulate, uninstall
from kernels.simulator.interpreted import runner

ENGINES = ("compiled", "interpreted")


@pytest.fixture(params=ENGINES)
def run(request):
    """Run a kernel in one engine: ``run(kernel, grid, block, *arguments)``."""

    def launch(kernel, grid, block, *arguments):
        simulate(kernel, engine=request.param)[grid, block](*arguments)

    return launch


@pytest.fixture
def simulator():
    """Numba's simulator on our engines, with the compiled one."""
    if not cuda.config.ENABLE_CUDASIM:
        pytest.skip("needs Numba's simulator")
    before = installed()
    install(engine="compiled")
    yield
    install() if before else uninstall()


# --- types of elements, constants, tuples -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int32, int32, "int32"])
def test_arrays_are_made_of_types_of_numpy_of_numba_and_by_name(run, dtype):
    @cuda.jit
    def kernel(out):
        shared, own = cuda.shared.array(4, dtype), cuda.local.array((2, 2), dtype=dtype)
        shared[0] = 7.9
        own[1, 0] = shared[0]
        out[0], out[1] = own[1, 0], own.size

    out = np.zeros(2)
    run(kernel, 1, 1, out)
    np.testing.assert_array_equal(out, [7, 4])


@pytest.mark.parametrize("alignment", [None, 16, 64, 256])
def test_arrays_begin_where_they_are_aligned(run, alignment):
    @cuda.jit
    def kernel(out):
        before = cuda.shared.array(3, uint8)
        shared = cuda.shared.array(5, uint8, alignment=alignment)
        own = cuda.local.array(5, uint8, alignment=alignment)
        before[0] = 1
        out[0], out[1] = shared.ctypes.data, own.ctypes.data

    out = np.zeros(2, np.uint64)
    run(kernel, 1, 1, out)
    assert not (out % (alignment or 1)).any()


TABLE = np.arange(6.0).reshape(2, 3)
RECORDS = np.array([(1.5, 2), (3.5, 4)], [("x", np.float64), ("n", np.int32)])


def test_constant_arrays_hold_what_the_host_put_there(run):
    @cuda.jit
    def kernel(out):
        table, records = cuda.const.array_like(TABLE), cuda.const.array_like(RECORDS)
        i, j = cuda.grid(2)
        out[i, j] = table[i, j] + records[i]["n"] + records[i].x

    out = np.zeros_like(TABLE)
    run(kernel, 1, TABLE.shape, out)
    np.testing.assert_array_equal(out, TABLE + (RECORDS["n"] + RECORDS["x"])[:, None])


class Colour(enum.IntEnum):
    RED = 3
    GREEN = 5


class Shape(enum.Enum):
    CIRCLE = 1
    SQUARE = 2


Pair = namedtuple("Pair", "scale offset")


def test_enumerations_and_named_tuples_are_arguments_and_constants(run):
    @cuda.jit
    def kernel(out, colour, shape, pair):
        if shape == Shape.SQUARE:
            out[0] = (colour + Colour.RED) * pair.scale + pair.offset

    out = np.zeros(1)
    run(kernel, 1, 1, out, Colour.GREEN, Shape.SQUARE, Pair(2.0, 1))
    assert out[0] == 17


def test_complex_arguments_keep_both_parts(run):
    @cuda.jit
    def kernel(out, z, w):
        out[0] = z * w

    out = np.zeros(1, complex)
    run(kernel, 1, 1, out, 1 + 2j, np.complex64(3 - 1j))
    assert out[0] == (1 + 2j) * (3 - 1j)


# --- functions ---------------------------------------------------------------------------------------------------


def test_a_device_function_casts_to_the_types_of_its_signature(simulator, run):
    @cuda.jit("int32(int32, int32)", device=True)
    def add(x, y):
        return x + y

    @cuda.jit
    def kernel(out, x, y):
        out[0] = add(x, y)

    out = np.zeros(1)
    run(kernel, 1, 1, out, 1.9, 2.9)
    assert out[0] == 3


def test_functions_that_are_compiled_for_the_processor_may_be_device_functions(run):
    @njit
    def twice(x):
        return x + x

    @cuda.jit
    def kernel(x):
        i = cuda.grid(1)
        x[i] = twice(x[i])

    x = np.arange(4.0)
    run(kernel, 1, 4, x)
    np.testing.assert_array_equal(x, 2 * np.arange(4.0))


def test_a_device_function_may_call_itself(run):
    @cuda.jit
    def triangle(n):
        if n <= 0:
            return 0
        return n + triangle(n - 1)

    @cuda.jit
    def kernel(out):
        out[cuda.threadIdx.x] = triangle(cuda.threadIdx.x)

    out = np.zeros(6, np.int64)
    run(kernel, 1, 6, out)
    np.testing.assert_array_equal(out, [0, 1, 3, 6, 10, 15])


@pytest.mark.parametrize("checks", ["all", "none"])
@pytest.mark.parametrize("engine", ENGINES)
def test_threads_know_where_they_are_whoever_asks(engine, checks):
    @cuda.jit
    def down(n):  # calls itself, so that it is part of no loop over threads
        return cuda.threadIdx.x if n == 0 else down(n - 1)

    @cuda.jit
    def of_block():
        return cuda.blockIdx.x + cuda.gridDim.x * (cuda.blockIdx.y + cuda.gridDim.y * cuda.blockIdx.z)

    @cuda.jit
    def asks_itself(out, lanes, x):
        i, j, k = cuda.grid(3)
        out[k, j, i] = of_block()
        lanes[k, j, i] = cuda.laneid
        x[k, j, i] = i

    @cuda.jit
    def asks_by_another(out, lanes, x):
        i, j, k = cuda.grid(3)
        nx, ny, nz = cuda.gridsize(3)
        t = cuda.threadIdx
        lanes[k, j, i] = (t.x + cuda.blockDim.x * (t.y + cuda.blockDim.y * t.z)) % 32
        out[nz - 1 - k, ny - 1 - j, nx - 1 - i] = of_block()
        x[k, j, i] = down(2) + cuda.blockIdx.x * cuda.blockDim.x

    grid, block = (3, 2, 2), (5, 4, 3)
    shape = tuple(g * b for g, b in zip(grid, block, strict=True))[::-1]
    k, j, i = np.indices(shape)
    blocks = i // 5 + 3 * (j // 4 + 2 * (k // 3))
    lanes = (i % 5 + 5 * (j % 4 + 4 * (k % 3))) % 32
    for kernel, expected in ((asks_itself, blocks), (asks_by_another, blocks[::-1, ::-1, ::-1])):
        found = np.zeros((3, *shape), np.int32)
        simulate(kernel, engine=engine, checks=checks)[grid, block](*found)
        np.testing.assert_array_equal(found, [expected, lanes, i])


@pytest.mark.parametrize("checks", ["all", "none"])
def test_an_exception_tells_the_thread_that_raised_it(checks):
    @cuda.jit
    def kernel(x):
        i, j = cuda.grid(2)
        x[j, i] += 1
        if x[j, i] > 1:
            raise ValueError("seen")

    x = np.zeros((4, 6), np.int32)
    x[3, 4] = 1
    with pytest.raises(ValueError, match="seen") as caught:
        simulate(kernel, checks=checks)[(3, 2), (2, 2)](x)
    assert caught.value.simulated == ((0, 1, 0), (2, 1, 0))


def test_elements_that_a_loop_over_threads_reads_may_be_those_that_it_writes():
    @cuda.jit
    def shift(x, y, distance):
        i = cuda.grid(1)
        if i < y.size:
            y[i] = x[i] + distance

    for distance in (1, 3, 8, 64):
        memory = np.arange(1000.0)
        expected = memory.copy()
        for i in range(1000 - distance):  # ascending, as seed 0 runs threads
            expected[i + distance] = expected[i] + distance
        simulate(shift, checks="none")[4, 256](memory[:-distance], memory[distance:], distance)
        np.testing.assert_array_equal(memory, expected)


def test_an_atomic_takes_an_index_that_numba_makes_a_float(run):
    @cuda.jit
    def kernel(counts, n):
        cuda.atomic.add(counts, (0, np.uint64(cuda.threadIdx.x) % n), 1)

    counts = np.zeros((1, 3), np.int32)
    run(kernel, 1, 8, counts, 3)
    np.testing.assert_array_equal(counts, [[3, 3, 2]])


# --- places in a kernel -------------------------------------------------------------------------------------------


def test_two_calls_of_a_barrier_on_one_line_are_two_places(run):
    @cuda.jit
    def kernel():
        cuda.syncthreads() if cuda.threadIdx.x < 32 else cuda.syncthreads()  # noqa: RUF034  (two calls of one thing)

    with pytest.raises(DivergenceError, match="different barriers"):
        run(kernel, 1, 64)


def test_a_call_of_a_barrier_is_one_place_for_all_threads_however_often_it_runs(run):
    @cuda.jit
    def kernel(out):
        i = cuda.threadIdx.x
        for _ in range(40):
            if cuda.syncthreads_count(i < 7) == 7:
                out[i] += 1

    out = np.zeros(64)
    for _ in range(3):
        run(kernel, 1, 64, out)
    np.testing.assert_array_equal(out, np.full(64, 120))


@pytest.mark.parametrize("body", ["(x[0] > 1) + x[1] / x[0]", "x[0] ** x[1] > 1"])
def test_calls_stay_where_they_are_when_operators_are_replaced(body):
    names = {"cuda": cuda}
    exec(f"def kernel(x, out):\n    out[0] = {body}\n    cuda.syncthreads(); cuda.syncthreads()", names)
    interpreter = runner.Interpreter()
    copy = interpreter._rebinder.function(names["kernel"])
    original, ours = dis.get_instructions(names["kernel"]), dis.get_instructions(copy)
    calls = [[i.offset for i in code if "CALL" in i.opname] for code in (original, ours)]
    assert len(calls[0]) >= 2
    assert calls[0] == calls[1]


# --- what no CUDA target takes -----------------------------------------------------------------------------------


def refused(kernel, *arguments):
    with pytest.raises(TypingError) as caught:
        simulate(kernel, engine="compiled")[1, 32](*arguments)
    return str(caught.value)


def test_a_shape_must_be_constant():
    def kernel(x):
        tile = cuda.shared.array(x.size, float32)
        tile[0] = x[0]

    assert "shared.array" in refused(kernel, np.zeros(3))


def test_a_dtype_must_exist():
    def kernel(x):
        own = cuda.local.array(3, "int33")
        own[0] = x[0]

    assert "Invalid NumPy dtype specified: 'int33'" in refused(kernel, np.zeros(3))


def test_an_alignment_must_be_a_power_of_two():
    def kernel(x):
        own = cuda.local.array(3, float32, alignment=24)
        own[0] = x[0]

    with pytest.raises(ValueError, match="power of two"):
        simulate(kernel, engine="compiled")[1, 1](np.zeros(3))


def test_a_vote_takes_integers():
    def kernel(x):
        cuda.any_sync(0xFFFFFFFF, x[0])

    assert "Predicate must be an integer or boolean" in refused(kernel, np.zeros(3))


def test_a_shuffle_takes_numbers_of_32_and_64_bits():
    def kernel(x):
        x[0] = cuda.shfl_sync(0xFFFFFFFF, x[0], 0)

    assert "32- and 64-bit ints and floats" in refused(kernel, np.zeros(3, np.int16))


def test_fields_of_records_must_be_aligned():
    def kernel(x):
        x[0].a = x[0].b

    assert "is not aligned" in refused(kernel, np.zeros(1, [("a", np.int32), ("b", np.float64)]))


def test_a_name_must_be_defined():
    def kernel(x):
        x[0] = nothing_of_this_name(x[0])  # noqa: F821

    assert "nothing_of_this_name" in refused(kernel, np.zeros(1))


# --- installed under Numba's simulator -----------------------------------------------------------------------------


def test_a_kernel_that_declares_its_types_is_compiled_where_it_is_declared(simulator):
    with pytest.raises(TypingError, match="Mask type must be an integer"):

        @cuda.jit("void(float32[:])")
        def kernel(x):
            cuda.all_sync(x[0], 1)


def test_a_kernel_with_one_signature_takes_memory_for_the_elements_that_it_declares(simulator):
    @cuda.jit("void(int32[:], float32)")
    def kernel(x, y):
        x[0] = x[0] // 2 + y

    x = np.array([2**32 - 4], np.uint32)
    kernel[1, 1](x, 7)
    assert x[0] == 5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_kernel_may_name_a_device_array(simulator, engine):
    install(engine=engine)
    there = cuda.to_device(np.arange(4.0))

    @cuda.jit
    def kernel(out):
        i = cuda.grid(1)
        out[i] = there[i]
        there[i] = -1

    out = np.zeros(4)
    kernel[1, 4](out)
    np.testing.assert_array_equal(out, np.arange(4.0))
    np.testing.assert_array_equal(there.copy_to_host(), -np.ones(4))


def test_overloads_for_cuda_hold_in_kernels_alone(simulator):
    extending = pytest.importorskip("numba.cuda.extending")

    def where():
        pass

    @extending.overload(where, target="generic")
    def _anywhere():
        return lambda: 1

    @extending.overload(where, target="cuda")
    def _in_kernels():
        return lambda: 2

    @cuda.jit
    def kernel(out):
        out[0] = where()

    out = np.zeros(1)
    kernel[1, 1](out)
    assert out[0] == 2
    assert njit(lambda: where())() == 1


def test_a_device_function_is_no_kernel(simulator):
    @cuda.jit(device=True)
    def function(x):
        return float64(x)

    with pytest.raises(RuntimeError, match="device function as a kernel"):
        function[1, 1](1)


BESIDE = """
import sys, warnings
sys.path[:] = {path}
import numpy as np
from numba import cuda
import kernels
from kernels.simulator import simulate

@cuda.jit
def kernel(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = kernels.gelu(x[i])

x = np.linspace(-3, 3, 50, dtype=np.float32)
y = np.zeros_like(x)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    simulate(kernel)[2, 32](x, y)
np.testing.assert_array_equal(y, kernels.REGISTRY["gelu"].reference(x))
print([str(warning.message) for warning in caught])
"""


def test_functions_of_this_package_run_in_a_process_that_compiles_for_gpus():
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "0", "KERNELS_ENGINE": "reference"}
    command = [sys.executable, "-c", BESIDE.format(path=sys.path)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    assert "interpreted engine: gelu was declared to the compiler for GPUs" in finished.stdout

"""Planted kernels whose properties are known are reported as they are, for every architecture we support."""

import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from llvmlite import ir
from numba import cuda, float32, float64, from_dtype, int32, types
from numba.core import cgutils
from numba.cuda import dispatcher
from numba.cuda.extending import intrinsic

from kernels import inspect

CAPABILITIES = [(7, 5), (8, 0), (9, 0), (10, 0)]
ARCH = {(7, 5): "sm_75", (8, 0): "sm_80", (9, 0): "sm_90a", (10, 0): "sm_100a"}

vector = types.Array(types.float32, 1, "C")
every_cc = pytest.mark.parametrize("cc", CAPABILITIES, ids="{0[0]}.{0[1]}".format)


@intrinsic
def load4(typingctx, array, index):
    """Four float32 values with one 128-bit load."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        wide = builder.load(builder.bitcast(first, ir.VectorType(ir.FloatType(), 4).as_pointer()), align=16)
        values = [builder.extract_element(wide, ir.IntType(32)(k)) for k in range(4)]
        return cgutils.pack_array(builder, values)

    return types.UniTuple(types.float32, 4)(array, index), codegen


@intrinsic
def store4(typingctx, array, index, values):
    """Four float32 values with one 128-bit store."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        vector4 = ir.VectorType(ir.FloatType(), 4)
        wide = ir.Constant(vector4, ir.Undefined)
        for k, value in enumerate(cgutils.unpack_tuple(builder, args[2])):
            wide = builder.insert_element(wide, value, ir.IntType(32)(k))
        builder.store(wide, builder.bitcast(first, vector4.as_pointer()), align=16)
        return context.get_dummy_value()

    return types.void(array, index, values), codegen


@cuda.jit
def copy(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i]


@cuda.jit
def narrow(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i] * x[i] + float32(0.1)


@cuda.jit
def careless(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i] * x[i] + 0.1


@cuda.jit
def through_shared_memory(x, y):
    tile = cuda.shared.array(96, float32)
    t = cuda.threadIdx.x
    tile[t] = x[t]
    cuda.syncthreads()
    y[t] = tile[95 - t]


@cuda.jit
def through_local_memory(x, y):
    table = cuda.local.array(300, float32)
    for k in range(300):
        table[k] = x[k]
    for k in range(y.size):
        y[k] = table[int32(x[k])]


def reverse_forty(x, y):
    base = cuda.grid(1) * 40
    values = cuda.local.array(40, float32)
    for k in range(40):
        values[k] = x[base + k]
    cuda.syncthreads()
    for k in range(40):
        y[base + k] = values[39 - k] * values[0]


@cuda.jit
def sum_of_four(x, y):
    a, b, c, d = load4(x, 4 * cuda.grid(1))
    y[cuda.grid(1)] = (a + b) + (c + d)


@cuda.jit
def copy_four(x, y):
    first = 4 * cuda.grid(1)
    store4(y, first, load4(x, first))


@cuda.jit
def synchronise_grid(x):
    x[cuda.grid(1)] += float32(1)
    cuda.cg.this_grid().sync()
    x[cuda.grid(1)] += x[0]


def kernel_with_a_device_function():
    @cuda.jit(device=True)
    def square(x):
        return x * x

    @cuda.jit
    def squares(x, y):
        i = cuda.grid(1)
        if i < x.size:
            y[i] = square(x[i])

    return squares


@every_cc
def test_the_code_is_for_the_architecture_asked_for(cc):
    report = inspect.compile(copy, (vector, vector), cc)
    assert report.arch == ARCH[cc]
    assert f".target {ARCH[cc]}\n" in report.ptx
    assert report.sass.split(".target")[1].split()[0] == ARCH[cc]
    assert report.cubin[:4] == b"\x7fELF"


@every_cc
def test_a_copy_is_one_load_and_one_store_with_nothing_spilled(cc):
    report = inspect.compile(copy, (vector, vector), cc)
    assert (report.spills, report.local, report.shared, report.barriers) == (0, 0, 0, 0)
    assert 4 < report.registers < 32
    assert (report.histogram["LDG"], report.histogram["STG"]) == (1, 1)
    assert (report.wide_loads, report.wide_stores) == (0, 0)


@every_cc
def test_a_float64_literal_in_a_float32_kernel_is_seen(cc):
    assert not inspect.compile(narrow, (vector, vector), cc).float64
    assert inspect.compile(careless, (vector, vector), cc).float64


@every_cc
@pytest.mark.parametrize("kernel", [narrow, careless])
def test_ptx_and_machine_code_agree_on_float64(kernel, cc):
    report = inspect.compile(kernel, (vector, vector), cc)
    in_sass = any(re.match(r"D(ADD|MUL|FMA|SETP)|F2F.*F64", opcode) for opcode in report.histogram)
    assert report.float64 == in_sass


@intrinsic
def half_by_assembly(typingctx, value):
    """Half of a float32 by way of float64, several PTX instructions on one line."""
    ptx = "{ .reg .f64 d; cvt.f64.f32 d, $1; mul.f64 d, d, 0d3FE0000000000000; cvt.rn.f32.f64 $0, d; }"

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(ir.FloatType(), [ir.FloatType()])
        return builder.call(ir.InlineAsm(function, ptx, "=f,f"), args)

    return types.float32(value), codegen


def test_float64_in_inline_assembly_is_seen():
    def halves(x, y):
        y[0] = half_by_assembly(x[0])

    assert inspect.compile(halves, (vector, vector)).float64


def test_moving_float64_values_is_not_float64_arithmetic():
    doubles = types.Array(types.float64, 1, "C")
    assert not inspect.compile(copy, (doubles, doubles)).float64
    assert inspect.compile(narrow, (doubles, doubles)).float64


@every_cc
def test_shared_memory_and_barriers_are_counted(cc):
    report = inspect.compile(through_shared_memory, (vector, vector), cc)
    assert report.shared == 96 * 4
    assert report.barriers == 1
    assert report.histogram["BAR"] == 1


@every_cc
def test_an_indexed_local_array_lies_in_local_memory(cc):
    report = inspect.compile(through_local_memory, (vector, vector), cc)
    assert report.local == 300 * 4
    assert report.spills == 0


@every_cc
def test_too_few_registers_spill(cc):
    roomy, cramped = cuda.jit(reverse_forty), cuda.jit(max_registers=24)(reverse_forty)
    assert inspect.compile(roomy, (vector, vector), cc).spills == 0
    report = inspect.compile(cramped, (vector, vector), cc)
    assert report.registers <= 24
    assert report.spill_stores > 0
    assert report.spill_loads > 0
    assert report.local > 0


@every_cc
def test_a_vector_load_is_one_wide_load(cc):
    report = inspect.compile(sum_of_four, (vector, vector), cc)
    assert (report.wide_loads, report.wide_stores) == (1, 0)
    assert report.histogram["LDG.128"] == 1


@every_cc
def test_a_vector_store_is_one_wide_store(cc):
    report = inspect.compile(copy_four, (vector, vector), cc)
    assert (report.wide_loads, report.wide_stores) == (1, 1)


@every_cc
def test_instructions_are_those_that_nvdisasm_prints_without_nop(cc):
    for kernel in (narrow, careless, through_local_memory):
        report = inspect.compile(kernel, (vector, vector), cc)
        printed = [line for line in report.sass.splitlines() if line.lstrip().startswith("/*")]
        assert report.instructions == sum("NOP" not in line for line in printed)
        assert report.instructions == sum(report.histogram.values())


def test_a_kernel_that_synchronises_the_grid_is_counted_without_the_device_runtime():
    report = inspect.compile(synchronise_grid, (vector,))
    assert report.instructions < 200
    assert report.instructions == sum(report.histogram.values())


def test_device_functions_compile_for_one_architecture_after_another():
    kernel = kernel_with_a_device_function()
    twice = [*CAPABILITIES, *reversed(CAPABILITIES)]
    together = {cc: inspect.compile(kernel, (vector, vector), cc) for cc in twice}
    for cc, report in together.items():
        alone = inspect.compile(kernel_with_a_device_function(), (vector, vector), cc)
        assert f".target {ARCH[cc]}\n" in report.ptx
        assert (report.cubin, report.ptx) == (alone.cubin, alone.ptx)


@pytest.mark.parametrize("kernel", [kernel_with_a_device_function(), through_shared_memory])
def test_three_compilations_give_the_same_bytes(kernel):
    cubins = {inspect.compile(cuda.jit(kernel.py_func), (vector, vector)).cubin for _ in range(3)}
    assert len(cubins) == 1


def test_the_code_is_what_numba_itself_would_load():
    kernel = kernel_with_a_device_function()
    stand_in = type("Device", (), {"compute_capability": (9, 0)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatcher, "get_current_device", stand_in)
        patch.setattr("numba.cuda.codegen.CUDACodeLibrary._ensure_cc", lambda self, cc: cc or (9, 0, "a"))
        loaded = dispatcher._Kernel(kernel.py_func, (vector, vector), **kernel.targetoptions)
        cubin = loaded._codelibrary.get_cubin().code
    report = inspect.compile(kernel, (vector, vector), (9, 0))
    assert inspect._machine_code(report.cubin) == inspect._machine_code(cubin)


def test_threads_get_the_reports_that_one_thread_gets():
    kernels = [narrow, careless, kernel_with_a_device_function()]
    jobs = [(kernel, cc) for kernel in kernels for cc in CAPABILITIES]
    serial = [inspect.compile(kernel, (vector, vector), cc) for kernel, cc in jobs]
    fresh = [cuda.jit(kernel.py_func) for kernel, _ in jobs]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda k, job: inspect.compile(k, (vector, vector), job[1]), fresh, jobs))
    assert threaded == serial


def test_histograms_of_many_are_the_histograms_of_each():
    kernels = [copy, careless, sum_of_four, through_local_memory]
    reports = [inspect.compile(kernel, (vector, vector), cc) for cc in CAPABILITIES for kernel in kernels]
    one_by_one = [inspect.compile(kernel, (vector, vector), (8, 0)).histogram for kernel in kernels]
    assert inspect.histograms(reports)[4:8] == one_by_one
    for report, counts in zip(reports, inspect.histograms(reports), strict=True):
        assert sum(counts.values()) == report.instructions


def test_a_report_survives_pickling():
    report = inspect.compile(careless, (vector, vector))
    assert report.histogram == pickle.loads(pickle.dumps(report)).histogram


def test_a_kernel_can_be_a_plain_function_and_its_signature_a_string():
    by_types = inspect.compile(copy, (vector, vector))
    assert inspect.compile(copy.py_func, "void(float32[::1], float32[::1])") == by_types
    assert inspect.compile(copy.py_func, types.void(vector, vector)) == by_types


def test_options_of_jit_are_honoured():
    def reciprocal(x, y):
        y[0] = x[0] / x[1]

    exact, fast = cuda.jit(reciprocal), cuda.jit(fastmath=True)(reciprocal)
    assert "div.rn.f32" in inspect.compile(exact, (vector, vector)).ptx
    assert "div.approx.ftz.f32" in inspect.compile(fast, (vector, vector)).ptx


def test_a_kernel_without_link_time_optimisation_is_reported_too():
    report = inspect.compile(cuda.jit(lto=False)(copy.py_func), (vector, vector))
    assert ".target sm_90a" in report.ptx
    assert report.histogram["LDG"] == 1


def test_the_printed_report_holds_the_numbers():
    report = inspect.compile(through_shared_memory, (vector, vector))
    lines = {line[:15].strip(): line[15:].strip() for line in str(report).splitlines()[1:]}
    assert lines["registers"] == str(report.registers)
    assert lines["shared memory"] == "384 B"
    assert lines["BAR"] == "1"


def test_the_current_device_is_put_back_even_when_compilation_fails():
    def wrong(x):
        x.no_such_method()

    before = dispatcher.get_current_device
    with pytest.raises(Exception, match="no_such_method"):
        inspect.compile(wrong, (vector,))
    assert dispatcher.get_current_device is before


def test_what_the_linker_says_is_passed_on():
    @cuda.jit
    def too_much(x):
        tile = cuda.shared.array(1_000_000, float32)
        tile[cuda.threadIdx.x] = x[0]
        cuda.syncthreads()
        x[1] = tile[5]

    with pytest.raises(RuntimeError, match="too much shared data"):
        inspect.compile(too_much, (vector,))


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="kernel"):
        inspect.compile(3, (vector,))
    with pytest.raises(TypeError, match=r"kernel: .* is a device function"):
        inspect.compile(cuda.jit(device=True)(copy.py_func), (vector, vector))
    with pytest.raises(TypeError, match="signature: a kernel returns void"):
        inspect.compile(copy, float64(vector, vector))
    for cc in [(3, 5), (99, 0), 9.0]:
        with pytest.raises(ValueError, match=r"cc: .* does not compile for"):
            inspect.compile(copy, (vector, vector), cc)


def test_a_missing_nvdisasm_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(inspect, "_find_nvdisasm", lambda: None)
    report = inspect.compile(copy, (vector, vector))
    assert report.instructions > 0
    assert "registers" in str(report)
    with pytest.raises(FileNotFoundError, match="pip install nvidia-cuda-nvdisasm"):
        _ = report.sass


def test_the_simulator_is_refused_by_the_name_of_its_variable():
    program = "from kernels import inspect; inspect.compile(lambda x: None, 'void(float32[::1])')"
    simulator = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=simulator, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unset NUMBA_ENABLE_CUDASIM" in done.stderr.splitlines()[-1]


@every_cc
def test_every_numeric_dtype_compiles(cc):
    for dtype in map(np.dtype, "?bhilBHILefdFD"):
        array = types.Array(from_dtype(dtype), 1, "C")
        assert inspect.compile(copy, (array, array), cc).spills == 0

"""Instructions of PTX, compiled with no GPU: what ptxas refuses shows here."""

import importlib.util
from pathlib import Path

import pytest
from numba import types

from kernels import inspect

HERE = Path(__file__).parents[1] / "device"
HOPPER = (9, 0)

f, u, b, m = types.float32[::1], types.uint32[::1], types.uint8[::1], types.uint64[::1]
i = types.int64


def module(name):
    """A file of tests, for the kernels in it."""
    spec = importlib.util.spec_from_file_location(f"tests_device_{name}", HERE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


copies, products, tensor, pipeline = map(module, ("test_copies", "test_wgmma", "test_tensor", "test_pipeline"))
KERNELS = {name: kernel for name, kernel in vars(copies).items() if hasattr(kernel, "py_func") and "wait" not in name}


@pytest.mark.parametrize("name", KERNELS)
def test_copies_barriers_and_clusters_compile(name):
    report = inspect.compile(KERNELS[name], (u, u) if name == "one" else (f, f), HOPPER)
    assert report.spill_stores == report.spill_loads == 0


@pytest.mark.parametrize(("kind", "n", "widths", "transposed"), products.CASES)
def test_products_of_a_warpgroup_compile_with_their_accumulators_in_registers(kind, n, widths, transposed):
    _, _, _, memories, bits = products.case(kind, n, widths, transposed)
    kernel = products.product(n, kind, *(memory.size for memory in memories), *bits, transposed)
    number = types.int32 if kind in ("s8", "u8") else types.float32
    report = inspect.compile(kernel, (b, b, number[:, ::1], number[:, ::1]), HOPPER)
    assert report.spill_stores == report.spill_loads == 0
    assert any("GMMA" in instruction for instruction in report.histogram)


@pytest.mark.parametrize("name", tensor.INSTRUCTIONS)
def test_products_of_a_warp_compile_to_tensor_cores(name):
    a, b, c = tensor.registers(name, *tensor.operands(name, 0))
    kernel = tensor.kernel_of(getattr(tensor.tensor, name), a.shape[1], b.shape[1])
    natives = [types.Array(getattr(types, x.dtype.name), 2, "C") for x in (a, b, c, c)]
    report = inspect.compile(kernel, tuple(natives), HOPPER)
    assert any("MMA" in instruction for instruction in report.histogram)


def test_boxes_and_the_pipeline_of_hopper_compile():
    for kernel, arguments in (
        (products.loading(8, 48), (m, i, i, b)),
        (products.storing(8, 48), (m, i, i, b)),
        (products.load_3d, (m, u)),
        (pipeline.product(), (m, m, types.float32[:, ::1], i)),
    ):
        report = inspect.compile(kernel, arguments, HOPPER)
        assert report.spill_stores == report.spill_loads == 0

"""What becomes of the warp and block library: registers, not local memory, and no more instructions than need be."""

import operator

import numpy as np
import pytest
from numba import cuda, types
from numba.core.errors import TypingError

from kernels import inspect
from kernels.device import (
    add,
    block_argmin,
    block_exclusive_scan_with_total,
    block_histogram,
    block_inclusive_sum,
    block_load,
    block_merge_sort,
    block_prod,
    block_radix_sort,
    block_reduce,
    block_store,
    block_sum,
    copy_pipeline,
    maximum,
    vector_load,
    vector_store,
    warp_argmax,
    warp_exclusive_scan,
    warp_match,
    warp_max,
    warp_reduce,
    warp_sum,
)
from kernels.device.instructions import device_function, of_scalars
from kernels.device.memory import loader, storer
from kernels.device.scalar import native_type
from kernels.runtime import images

HOPPER = (9, 0)
FLOATS = types.float32[::1]
DTYPES = "?bHiQefdFD"


def compiled(kernel, *arguments):
    report = inspect.compile(kernel, arguments, HOPPER)
    assert (report.local, report.spills) == (0, 0)
    return report


@cuda.jit
def sum_of_a_warp(x, y):
    y[cuda.threadIdx.x] = warp_sum(x[cuda.threadIdx.x])


@cuda.jit
def largest_of_a_warp(x, y):
    y[cuda.threadIdx.x] = warp_max(x[cuda.threadIdx.x])


@cuda.jit
def product_of_a_warp(x, y):
    y[cuda.threadIdx.x] = warp_reduce(x[cuda.threadIdx.x], operator.mul)


@pytest.mark.parametrize(
    ("kernel", "shuffles", "operation"),
    [(sum_of_a_warp, 5, "FADD"), (largest_of_a_warp, 5, "FMNMX"), (product_of_a_warp, 6, "FMUL")],
)
def test_a_float32_takes_five_operations_and_their_shuffles(kernel, shuffles, operation):
    counts = compiled(kernel, FLOATS, FLOATS).histogram
    assert counts["SHFL"] == shuffles
    assert counts[operation] == 5


@cuda.jit
def sum_of_a_block(x, y):
    y[cuda.threadIdx.x] = block_sum(x[cuda.threadIdx.x])


@cuda.jit
def sums_of_a_block(x, y):
    y[cuda.threadIdx.x] = block_inclusive_sum(x[cuda.threadIdx.x])


@pytest.mark.parametrize(("kernel", "shuffles"), [(sum_of_a_block, 18), (sums_of_a_block, 11)])
def test_a_block_takes_two_barriers_and_no_shuffle_twice(kernel, shuffles):
    report = compiled(kernel, FLOATS, FLOATS)
    assert report.histogram["BAR"] == 2
    assert report.histogram["SHFL"] == shuffles
    # Where the compiler takes a branch for one in which lanes diverge, it calls each shuffle from a second place.
    assert "ENDCOLLECTIVE" not in report.histogram
    assert report.shared == 256


@cuda.jit
def everything(x, y):
    t = cuda.threadIdx.x
    v = x[t]
    y[t, 0], y[t, 1] = block_exclusive_scan_with_total(v, add)
    y[t, 2], place = block_argmin(v, t)
    y[t, 3], other = warp_argmax(v, t)
    y[t, 4], y[t, 5] = block_prod(v), warp_exclusive_scan(v, maximum, v)
    y[warp_match(v) & other, 0] = x[place]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_stays_in_registers(dtype):
    array = native_type(dtype)[::1]
    compiled(everything, array, native_type(dtype)[:, ::1])


@device_function
def merge(a, b):
    largest = np.maximum(a[0], b[0])
    return largest, a[1] * np.exp(a[0] - largest) + b[1] * np.exp(b[0] - largest)


load, store = loader(("vector",), 1), storer(1)


@cuda.jit
@of_scalars
def log_sum_exp(x, y):
    t = cuda.threadIdx.x
    value = load(x, (t,))[0][0]
    largest, total = block_reduce((value, value * 0 + 1), merge)
    store(y, (t,), ((largest + np.log(total),),))


def test_numpy_scalars_are_merged_in_their_dtype():
    pointers = types.UniTuple(types.CPointer(types.float32), 1)
    report = compiled(log_sum_exp, pointers, pointers)
    assert not report.float64
    assert report.shared == 512
    assert images.key(log_sum_exp, (pointers, pointers), HOPPER) is not None


# --- tiles ------------------------------------------------------------------------------------------------------------


def sorting(make, dtype, algorithm, values=None):
    load, store = (each(dtype, 256, 4, algorithm) for each in (block_load, block_store))
    sort, native = make(dtype, 256, 4, values=values), native_type(dtype)

    @cuda.jit
    def kernel(x):
        keys, others = cuda.local.array(4, native), cuda.local.array(4, types.complex128)
        load(x, 1024 * cuda.blockIdx.x, keys)
        if values is None:
            sort(keys)
        else:
            for k in range(4):
                others[k] = k
            sort(keys, others)
            keys[0] = others[0].real
        store(x, 1024 * cuda.blockIdx.x, keys)

    return kernel


@pytest.mark.parametrize("make", [block_radix_sort, block_merge_sort])
@pytest.mark.parametrize(("dtype", "values"), [("f", None), ("b", None), ("d", "D")])
def test_items_of_sorts_stay_in_registers(make, dtype, values):
    compiled(sorting(make, dtype, "transpose", values), native_type(dtype)[::1])


def test_aligned_tiles_move_16_bytes_an_instruction():
    report = compiled(sorting(block_radix_sort, "f", "vectorize"), FLOATS)
    assert report.wide_loads == report.wide_stores == 1


def counting():
    histogram = block_histogram(256, 4, 64)

    @cuda.jit
    def kernel(x, y):
        mine, counts = cuda.local.array(4, types.int32), cuda.shared.array(64, types.int32)
        t = cuda.threadIdx.x
        for k in range(4):
            mine[k] = x[t + 256 * k]
        histogram(mine, counts)
        y[t] = counts[t % 64]

    return kernel


def test_lanes_that_count_one_bin_are_counted_at_once():
    report = compiled(counting(), types.int32[::1], types.int32[::1])
    assert report.sass.count("ATOMS.POPC.INC") == report.histogram["ATOMS"] == 4


def streaming():
    prefetch, wait = copy_pipeline("f", 128, 512, 3)

    @cuda.jit
    def kernel(x, y):
        tiles = cuda.shared.array((3, 512), types.float32, 16)
        t, total = cuda.threadIdx.x, types.float32(0)
        for k in range(2):
            prefetch(tiles, k, x, 512 * k)
        for k in range((x.size + 511) // 512):
            wait()
            prefetch(tiles, k + 2, x, 512 * (k + 2))
            for j in range(4):
                total += tiles[k % 3, 128 * j + t]
        y[t] = total

    return kernel


def test_pipelines_copy_past_the_registers():
    counts = compiled(streaming(), FLOATS, FLOATS).histogram
    assert any(name.startswith("LDGSTS") for name in counts)
    assert "BAR" in counts


# --- vectors ----------------------------------------------------------------------------------------------------------


def vectors(width, load_cache, store_cache):
    load, store = vector_load(width, load_cache), vector_store(width, store_cache)

    @cuda.jit
    def kernel(x, y):
        i = width * cuda.grid(1)
        store(y, i, load(x, i))

    return kernel


@pytest.mark.parametrize("cache", [None, "ca", "cg", "cs", "lu", "cv", "nc", "evict_first", "evict_last",
                                   "evict_unchanged", "no_allocate"])  # fmt: skip
@pytest.mark.parametrize(("dtype", "width"), [("f", 4), ("b", 1), ("e", 1)])
def test_loads_are_one_instruction_with_their_hint(cache, dtype, width):
    array = native_type(dtype)[::1]
    report = compiled(vectors(width, cache, None), array, array)
    size = width * np.dtype(dtype).itemsize
    assert sum(count for name, count in report.histogram.items() if name.startswith("LDG")) == 1
    suffix = {1: ("U8", "S8"), 2: ("U16",), 4: ("",), 8: ("64",), 16: ("128",)}[size]
    assert any(f"LDG.{each}".rstrip(".") in report.histogram for each in suffix)
    if cache is not None:
        hint = f"L1::{cache}" if "_" in cache else cache
        assert f"global.{hint}." in report.ptx or f"global.{cache}" in report.ptx


@pytest.mark.parametrize("cache", [None, "wb", "cg", "cs", "wt", "evict_first", "no_allocate"])
@pytest.mark.parametrize(("dtype", "width"), [("d", 2), ("?", 1), ("F", 1)])
def test_stores_are_one_instruction_with_their_hint(cache, dtype, width):
    array = native_type(dtype)[::1]
    report = compiled(vectors(width, None, cache), array, array)
    assert sum(count for name, count in report.histogram.items() if name.startswith("STG")) == 1
    if cache is not None:
        assert f"st.global.{'L1::' if '_' in cache else ''}{cache}" in report.ptx


@pytest.mark.parametrize(
    ("array", "text"),
    [(types.float32[:, ::1], "one dimension"), (types.float64[::1], "at most 16 bytes: 4 of float64 are 32"),
     (types.float32[:], "contiguous")],
)  # fmt: skip
def test_what_is_no_vector_is_named(array, text):
    with pytest.raises(TypingError, match=text):
        inspect.compile(vectors(4, None, None), (array, array), HOPPER)


@cuda.jit
def of_an_array(x, y):
    y[0] = warp_sum(x)


@cuda.jit
def of_an_operator_of_another_shape(x, y):
    y[0] = warp_reduce((x[0], x[1]), operator.lt)


@pytest.mark.parametrize(
    ("kernel", "text"),
    [(of_an_array, "threads exchange numbers, NumPy scalars and tuples"),
     (of_an_operator_of_another_shape, "the operator makes bool of values that are")],
)  # fmt: skip
def test_what_cannot_be_exchanged_is_named(kernel, text):
    with pytest.raises(TypingError, match=text):
        inspect.compile(kernel, (FLOATS, FLOATS), HOPPER)

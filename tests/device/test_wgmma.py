"""Tensor copies and products of a warpgroup: every layout that a descriptor can say, in both engines and on a GPU."""

import numpy as np
import pytest
from numba import cuda, types

from kernels.device.addresses import global_address, shared_address
from kernels.device.copies import (
    bulk_commit,
    bulk_wait_group,
    fence_mbarrier_init,
    fence_proxy_async,
    mbarrier_arrive_expect_tx,
    mbarrier_init,
    mbarrier_wait,
)
from kernels.device.tensor_copies import fence_tensor_map, tensor_load_2d, tensor_load_3d, tensor_store_2d
from kernels.device.wgmma import descriptor, wgmma, wgmma_commit, wgmma_fence, wgmma_wait_group
from kernels.runtime import gpu_problem
from kernels.runtime.tensor_maps import tensor_map
from kernels.simulator import CopyError, MisalignedError, OutOfBoundsError, RaceError, simulate
from kernels.testing import assert_equal_bits

u8, u32, u64, i32, f32 = types.uint8, types.uint32, types.uint64, types.int32, types.float32
SIMULATORS = ("compiled", "interpreted")
ENGINES = SIMULATORS if gpu_problem() else (*SIMULATORS, "cuda")
everywhere = pytest.mark.parametrize("engine", ENGINES)
both = pytest.mark.parametrize("engine", SIMULATORS)
wait_bulk, wait_all = bulk_wait_group(0), wgmma_wait_group(0)


def run(kernel, grid, block, *arrays, engine, seed=0):
    if engine == "cuda":
        kernel[grid, block](*arrays)
    else:
        simulate(kernel, engine=engine, seed=seed)[grid, block](*arrays)


def swizzled(offset, width):
    return offset ^ (offset >> 3 & (width - 16) & 0x70) if width else offset


# --- boxes ------------------------------------------------------------------------------------------------------------


def loading(rows, columns):
    """A kernel that loads a box of bytes and writes down what lies in shared memory."""
    nbytes = rows * columns

    @cuda.jit
    def load(map_, x, y, found):
        box, bars = cuda.shared.array(nbytes, u8, 1024), cuda.shared.array(1, u64)
        t, bar = cuda.threadIdx.x, shared_address(bars)
        if t == 0:
            fence_tensor_map(global_address(map_))
            mbarrier_init(bar, 1)
            fence_mbarrier_init()
            mbarrier_arrive_expect_tx(bar, nbytes)
            tensor_load_2d(shared_address(box), global_address(map_), x, y, bar)
        cuda.syncthreads()
        mbarrier_wait(bar, 0)
        for k in range(t, nbytes, 32):
            found[k] = box[k]

    return load


def storing(rows, columns):
    nbytes = rows * columns

    @cuda.jit
    def store(map_, x, y, given):
        box = cuda.shared.array(nbytes, u8, 1024)
        t = cuda.threadIdx.x
        for k in range(t, nbytes, 32):
            box[k] = given[k]
        fence_proxy_async()
        cuda.syncthreads()
        if t == 0:
            fence_tensor_map(global_address(map_))
            tensor_store_2d(global_address(map_), x, y, shared_address(box))
            bulk_commit()
            wait_bulk()

    return store


@pytest.fixture
def array():
    return np.random.default_rng(3).integers(1, 256, (50, 160), np.uint8)


def on_device(x, engine):
    return cuda.to_device(x) if engine == "cuda" else x


def host(x):
    return x.copy_to_host() if hasattr(x, "copy_to_host") else x


@everywhere
@pytest.mark.parametrize("width", [0, 32, 64, 128])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (48, 7), (144, 45), (-16, -3), (-208, 0)])
def test_a_box_is_loaded_with_zeros_outside_of_its_array(array, width, x, y, engine):
    rows, columns = 8, width or 48
    device, found = on_device(array, engine), on_device(np.zeros(rows * columns, np.uint8), engine)
    run(loading(rows, columns), 1, 32, tensor_map(device, (rows, columns), width), x, y, found, engine=engine)
    expected = np.zeros(rows * columns, np.uint8)
    for i in range(rows):
        for j in range(columns):
            if 0 <= y + i < array.shape[0] and 0 <= x + j < array.shape[1]:
                expected[swizzled(i * columns + j, width)] = array[y + i, x + j]
    np.testing.assert_array_equal(host(found), expected)


@everywhere
@pytest.mark.parametrize(("x", "y", "width"), [(16, 3, 0), (112, 46, 64), (144, 0, 32)])
def test_a_box_is_stored_but_for_what_is_outside(array, x, y, width, engine):
    rows, columns = 8, width or 48
    given = np.random.default_rng(4).integers(1, 256, rows * columns, np.uint8)
    device = on_device(array.copy(), engine)
    run(storing(rows, columns), 1, 32, tensor_map(device, (rows, columns), width), x, y, given, engine=engine)
    expected = array.copy()
    for i in range(rows):
        for j in range(columns):
            if 0 <= y + i < array.shape[0] and 0 <= x + j < array.shape[1]:
                expected[y + i, x + j] = given[swizzled(i * columns + j, width)]
    np.testing.assert_array_equal(host(device), expected)


@both
def test_a_box_that_begins_between_pieces_of_16_bytes_is_refused(array, engine):
    found = np.zeros(8 * 48, np.uint8)
    with pytest.raises(MisalignedError):
        run(loading(8, 48), 1, 32, tensor_map(array, (8, 48)), 5, 0, found, engine=engine)


@both
@pytest.mark.parametrize(("x", "y"), [(-16, 0), (0, -3)])
def test_a_box_that_is_stored_before_its_array_is_refused(array, x, y, engine):
    with pytest.raises(OutOfBoundsError, match="before the beginning"):
        run(storing(8, 48), 1, 32, tensor_map(array, (8, 48)), x, y, np.ones(8 * 48, np.uint8), engine=engine)


@cuda.jit
def load_3d(map_, found):
    box, bars = cuda.shared.array(2 * 3 * 4, u32, 128), cuda.shared.array(1, u64)
    t, bar = cuda.threadIdx.x, shared_address(bars)
    if t == 0:
        fence_tensor_map(global_address(map_))
        mbarrier_init(bar, 1)
        fence_mbarrier_init()
        mbarrier_arrive_expect_tx(bar, 96)
        tensor_load_3d(shared_address(box), global_address(map_), 4, 4, 1, bar)
    cuda.syncthreads()
    mbarrier_wait(bar, 0)
    if t < 24:
        found[t] = box[t]


@everywhere
def test_a_box_of_three_axes_is_loaded(engine):
    array = np.random.default_rng(5).integers(1, 2**32, (5, 6, 8), np.uint32)
    device, found = on_device(array, engine), on_device(np.zeros(24, np.uint32), engine)
    run(load_3d, 1, 32, tensor_map(device, (2, 3, 4)), found, engine=engine)
    expected = np.pad(array, ((0, 2), (0, 3), (0, 4)))[1:3, 4:7, 4:8]
    np.testing.assert_array_equal(host(found), expected.ravel())


@pytest.mark.parametrize(
    ("shape", "box", "swizzle", "match"),
    [
        ((4, 20), (1, 16), 0, "array"),
        ((4, 32), (1, 8), 0, "box"),
        ((4, 32), (1,), 0, "box"),
        ((4, 32), (0, 16), 0, "box"),
        ((4, 64), (1, 64), 32, "box"),
        ((4, 64), (1, 64), 48, "swizzle"),
    ],
)
def test_a_map_that_hardware_does_not_have_is_refused(shape, box, swizzle, match):
    with pytest.raises(ValueError, match=match):
        tensor_map(np.zeros(shape, np.uint8), box, swizzle)


# --- products ---------------------------------------------------------------------------------------------------------


def layout(rows, depth, size, width, transposed):
    """Byte in shared memory of each element of a matrix (rows, depth), and the distances of its descriptor."""
    i, k = np.meshgrid(np.arange(rows), np.arange(depth), indexing="ij")
    byte = size * k
    if transposed:
        if width == 0:
            leading, stride = 16 * 8 * (rows // 8), 128
            return i // 8 * stride + 2 * (i % 8) + k // 8 * leading + 16 * (k % 8), leading, stride
        across = width // 2
        stride = 8 * width
        leading = stride * (depth // 8)
        at = i // across * leading + 2 * (i % across) + k // 8 * stride + width * (k % 8)
    elif width == 0:
        leading, stride = 128, 256
        return i // 8 * stride + 16 * (i % 8) + byte // 16 * leading + byte % 16, leading, stride
    else:
        leading, stride = 16, 8 * width
        at = i // 8 * stride + width * (i % 8) + byte
    return swizzled(at, width), leading, stride


def product(n, kind, a_nbytes, b_nbytes, bits_a, bits_b, transposed=(False, False), waits=True):
    """A kernel that lays bytes down in shared memory and multiplies them."""
    multiply, count = wgmma(n, kind, *transposed), n // 2
    number = i32 if kind in ("s8", "u8") else f32
    passed = wgmma_wait_group(0, types.UniTuple(number, count))

    @cuda.jit
    def kernel(a, b, c, d):
        left, right = cuda.shared.array(a_nbytes, u8, 1024), cuda.shared.array(b_nbytes, u8, 1024)
        t = cuda.threadIdx.x
        for k in range(t, a_nbytes, 128):
            left[k] = a[k]
        for k in range(t, b_nbytes, 128):
            right[k] = b[k]
        fence_proxy_async()
        cuda.syncthreads()
        found = take(c, t)
        wgmma_fence()
        da = u64(bits_a) | u64(shared_address(left) >> 4)
        db = u64(bits_b) | u64(shared_address(right) >> 4)
        found = multiply(found, da, db, 1)
        wgmma_commit()
        if waits:
            found = passed(found)
        give(d, t, found)

    take, give = TAKE[count], GIVE[count]
    return kernel


def _take4(x, t):
    return x[t, 0], x[t, 1], x[t, 2], x[t, 3]


def _take8(x, t):
    return _four(x, t, 0) + _four(x, t, 4)


def _four(x, t, k):
    return x[t, k], x[t, k + 1], x[t, k + 2], x[t, k + 3]


def _take16(x, t):
    return _four(x, t, 0) + _four(x, t, 4) + _four(x, t, 8) + _four(x, t, 12)


def _take32(x, t):
    return (
        _four(x, t, 0) + _four(x, t, 4) + _four(x, t, 8) + _four(x, t, 12)
        + _four(x, t, 16) + _four(x, t, 20) + _four(x, t, 24) + _four(x, t, 28)
    )  # fmt: skip


def _give(x, t, values):
    for k, value in enumerate(values):
        x[t, k] = value


_four = cuda.jit(_four, device=True)
TAKE = {4: cuda.jit(_take4, device=True), 8: cuda.jit(_take8, device=True), 16: cuda.jit(_take16, device=True),
        32: cuda.jit(_take32, device=True)}  # fmt: skip
GIVE = dict.fromkeys(TAKE, cuda.jit(_give, device=True))

SIZES = {"f16": 2, "bf16": 2, "tf32": 4, "s8": 1, "u8": 1}


def draw(kind, shape, seed):
    generator = np.random.default_rng([seed, *shape])
    if kind in ("s8", "u8"):
        dtype = np.int8 if kind == "s8" else np.uint8
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    values = generator.standard_normal(shape) * 2.0 ** generator.normal(0, 2, shape).round()
    if kind == "bf16":
        return values.astype(pytest.importorskip("ml_dtypes").bfloat16)
    return values.astype(np.float16 if kind == "f16" else np.float32)


def accumulators(matrix):
    """By thread, of a matrix of 64 rows."""
    count = matrix.shape[1] // 2
    found = np.empty((128, count), matrix.dtype)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        g, t = divmod(lane, 4)
        for r in range(count):
            found[thread, r] = matrix[16 * warp + g + 8 * (r // 2 % 2), 8 * (r // 4) + 2 * t + r % 2]
    return found


def case(kind, n, widths, transposed, seed=1):
    """Operands as they lie in shared memory, accumulators, descriptors, and the exact product."""
    depth = 32 // SIZES[kind]
    a, b = draw(kind, (64, depth), seed), draw(kind, (n, depth), seed + 1)
    c = draw("s8" if kind in ("s8", "u8") else "tf32", (64, n), seed + 2)
    c = c.astype(np.int32) if kind in ("s8", "u8") else c
    memories, bits = [], []
    for matrix, width, is_transposed in zip((a, b), widths, transposed, strict=True):
        places, leading, stride = layout(*matrix.shape, SIZES[kind], width, is_transposed)
        memory = np.zeros(-(-(places.max() + SIZES[kind]) // 1024) * 1024, np.uint8)
        raw = np.ascontiguousarray(matrix).view(np.uint8).reshape(*matrix.shape, SIZES[kind])
        for byte in range(SIZES[kind]):
            memory[places + byte] = raw[..., byte]
        memories.append(memory)
        bits.append(descriptor(leading, stride, width))
    return a, b, c, memories, bits


def tf32(x):
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


CASES = [
    ("f16", 8, (128, 128), (False, False)),
    ("f16", 16, (64, 32), (False, False)),
    ("f16", 16, (0, 0), (False, False)),
    ("bf16", 64, (128, 128), (False, True)),
    ("bf16", 32, (64, 32), (True, True)),
    ("bf16", 16, (0, 0), (True, True)),
    ("tf32", 16, (128, 64), (False, False)),
    ("s8", 16, (32, 128), (False, False)),
    ("u8", 8, (128, 0), (False, False)),
]


def results(kind, n, widths, transposed, engine):
    a, b, c, memories, bits = case(kind, n, widths, transposed)
    kernel = product(n, kind, *(memory.size for memory in memories), *bits, transposed)
    found = np.zeros_like(accumulators(c))
    run(kernel, 1, 128, *memories, accumulators(c), found, engine=engine)
    return a, b, c, found


@everywhere
@pytest.mark.parametrize(("kind", "n", "widths", "transposed"), CASES)
def test_products_of_every_layout(kind, n, widths, transposed, engine):
    a, b, c, found = results(kind, n, widths, transposed, engine)
    if kind in ("s8", "u8"):
        np.testing.assert_array_equal(found, accumulators(a.astype(np.int32) @ b.T.astype(np.int32) + c))
        return
    a, b = ((tf32(x) if kind == "tf32" else x).astype(np.float64) for x in (a, b))
    size = np.abs(a) @ np.abs(b.T) + np.abs(c)
    # Each of the terms is cut off 25 bits below the largest, and the sum once more at 23; float64 rounds less.
    bound = accumulators((a.shape[1] + 1) * 2.0**-23 * size)
    assert (np.abs(found - accumulators(a @ b.T + c)) <= bound).all()


@pytest.mark.skipif(bool(gpu_problem()), reason=gpu_problem() or "there is a GPU")
@pytest.mark.parametrize(("kind", "n", "widths", "transposed"), CASES)
def test_a_gpu_gives_the_bits_of_the_twin(kind, n, widths, transposed):
    hardware = results(kind, n, widths, transposed, "cuda")[-1]
    assert_equal_bits(results(kind, n, widths, transposed, "compiled")[-1], hardware, function=kind)


@both
def test_products_that_are_not_waited_for_are_reported(engine):
    kind, n, widths, transposed = CASES[0]
    _, _, c, memories, bits = case(kind, n, widths, transposed)
    kernel = product(n, kind, *(memory.size for memory in memories), *bits, transposed, waits=False)
    with pytest.raises(CopyError):
        run(kernel, 1, 128, *memories, accumulators(c), np.zeros_like(accumulators(c)), engine=engine)


@both
def test_operands_that_are_overwritten_before_the_wait_are_reported(engine):
    multiply, bits = wgmma(8, "f16"), descriptor(16, 1024, 128)

    @cuda.jit
    def overwrites(d):
        left, right = cuda.shared.array(8192, u8, 1024), cuda.shared.array(1024, u8, 1024)
        t = cuda.threadIdx.x
        for k in range(t, 8192, 128):
            left[k] = k & 31
        for k in range(t, 1024, 128):
            right[k] = k & 31
        cuda.syncthreads()
        found = multiply((f32(0), f32(0), f32(0), f32(0)), u64(bits) | u64(shared_address(left) >> 4),
                         u64(bits) | u64(shared_address(right) >> 4), 0)  # fmt: skip
        wgmma_commit()
        cuda.syncthreads()
        left[127 - t] = 0
        wait_all()
        d[t] = found[0]

    with pytest.raises(RaceError):
        run(overwrites, 1, 128, np.zeros(128, np.float32), engine=engine)


@pytest.mark.parametrize(
    ("arguments", "match"), [((12, "f16"), "n"), ((8, "f64"), "kind"), ((8, "s8", True), "16-bit")]
)
def test_products_that_hardware_does_not_have_are_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        wgmma(*arguments)


@pytest.mark.parametrize("arguments", [(8, 0, 0), (0, 1 << 18, 0), (0, 0, 16)])
def test_descriptors_that_hardware_does_not_have_are_refused(arguments):
    with pytest.raises(ValueError, match=r"leading|stride|swizzle"):
        descriptor(*arguments)

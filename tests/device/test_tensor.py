"""Tensor cores: the instructions against matrix products, and their twins against the hardware, bit for bit."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from numba import cuda, njit

from kernels.device import tensor
from kernels.runtime import gpu_problem
from kernels.simulator import simulate
from kernels.testing import assert_equal_bits

ml_dtypes = pytest.importorskip("ml_dtypes")

WARPS = 8

# name: dtype of the elements, dtype of the registers, depth, elements in a register
INSTRUCTIONS = {
    "mma_m16n8k8_f16": (np.float16, np.uint32, 8, 2),
    "mma_m16n8k16_f16": (np.float16, np.uint32, 16, 2),
    "mma_m16n8k8_bf16": (ml_dtypes.bfloat16, np.uint32, 8, 2),
    "mma_m16n8k16_bf16": (ml_dtypes.bfloat16, np.uint32, 16, 2),
    "mma_m16n8k4_tf32": (np.float32, np.uint32, 4, 1),
    "mma_m16n8k8_tf32": (np.float32, np.uint32, 8, 1),
    "mma_m16n8k32_s8": (np.int8, np.uint32, 32, 4),
    "mma_m16n8k32_u8": (np.uint8, np.uint32, 32, 4),
    "mma_m16n8k4_f64": (np.float64, np.float64, 4, 1),
    "mma_m16n8k8_f64": (np.float64, np.float64, 8, 1),
    "mma_m16n8k16_f64": (np.float64, np.float64, 16, 1),
}
FLOATS = [name for name, (dtype, *_) in INSTRUCTIONS.items() if np.dtype(dtype).kind not in "iu"]


def _one(x, lane):
    return x[lane, 0]


def _two(x, lane):
    return x[lane, 0], x[lane, 1]


def _four(x, lane):
    return x[lane, 0], x[lane, 1], x[lane, 2], x[lane, 3]


def _eight(x, lane):
    return x[lane, 0], x[lane, 1], x[lane, 2], x[lane, 3], x[lane, 4], x[lane, 5], x[lane, 6], x[lane, 7]


LOADS = {1: _one, 2: _two, 4: _four, 8: _eight}


def kernel_of(instruction, left, right):
    load_a, load_b, load_c = (cuda.jit(LOADS[count], device=True) for count in (left, right, 4))

    @cuda.jit
    def multiply(a, b, c, d):
        i = cuda.grid(1)
        found = instruction(load_a(a, i), load_b(b, i), load_c(c, i))
        for r in range(4):
            d[i, r] = found[r]

    return multiply


def result_dtype(dtype):
    return np.int32 if np.dtype(dtype).kind in "iu" else np.float64 if dtype is np.float64 else np.float32


def fragments(matrices, of_left, dtype, register, width):
    """The registers of all lanes, of matrices (warp, row, k) on the left and (warp, k, column) on the right."""
    warps = matrices.shape[0]
    depth = matrices.shape[2] if of_left else matrices.shape[1]
    count = depth // (4 * width) * (2 if of_left else 1)
    found = np.empty((warps, 32, count, width), dtype)
    for lane in range(32):
        g, t = divmod(lane, 4)
        for r in range(count):
            k = width * t + 4 * width * (r // 2 if of_left else r)
            part = matrices[:, g + 8 * (r % 2), k : k + width] if of_left else matrices[:, k : k + width, g]
            found[:, lane, r] = part
    return found.reshape(warps * 32, count * width).view(register)


def accumulators(matrices):
    warps = matrices.shape[0]
    found = np.empty((warps, 32, 4), matrices.dtype)
    for lane in range(32):
        g, t = divmod(lane, 4)
        for r in range(4):
            found[:, lane, r] = matrices[:, g + 8 * (r // 2), 2 * t + r % 2]
    return found.reshape(warps * 32, 4)


def operands(name, seed, spread=2.0, special=0.0):
    """Random matrices: of numbers whose binary exponents have a standard deviation, some of them not finite or tiny."""
    dtype, _, depth, _ = INSTRUCTIONS[name]
    generator = np.random.default_rng([seed, depth])

    def draw(shape, dtype):
        if np.dtype(dtype).kind in "iu":
            info = np.iinfo(dtype)
            return generator.integers(info.min, info.max, shape, dtype, endpoint=True)
        values = generator.standard_normal(shape) * 2.0 ** generator.normal(0, spread, shape).round()
        odd = generator.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 6e-8, -6e-8, 65504, 3e38], shape)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(generator.random(shape) < special, odd, values).astype(dtype)

    return draw((WARPS, 16, depth), dtype), draw((WARPS, depth, 8), dtype), draw((WARPS, 16, 8), result_dtype(dtype))


def registers(name, a, b, c):
    dtype, register, _, width = INSTRUCTIONS[name]
    return (
        fragments(a, True, dtype, register, width),
        fragments(b, False, dtype, register, width),
        accumulators(c),
    )


def run(name, a, b, c, launch):
    given = registers(name, a, b, c)
    result = np.empty_like(given[2])
    launch(kernel_of(getattr(tensor, name), given[0].shape[1], given[1].shape[1]), *given, result)
    return result


def twin(name, a, b, c):
    """What the twin's body makes of all warps."""
    given = registers(name, a, b, c)
    body, result = compiled(name), np.empty_like(given[2])
    with np.errstate(all="ignore"):
        for w in range(WARPS):
            rows = slice(32 * w, 32 * w + 32)
            body(result[rows], *[x[rows] for x in given])
    return result


@functools.cache
def compiled(name):
    return njit(getattr(tensor, name).__simulated__.function)


def tf32(x):
    """What the tensor cores read of a float32: 10 bits of its fraction."""
    return (x.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


@pytest.mark.parametrize("engine", ["compiled", "interpreted"])
@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_an_instruction_is_its_twin_in_both_engines(name, engine):
    def launch(kernel, *arrays):
        simulate(kernel, engine=engine)[WARPS, 32](*arrays)

    given = operands(name, 1, special=0.02)
    assert_equal_bits(run(name, *given, launch), twin(name, *given), function=name)


@pytest.mark.parametrize("name", [name for name in INSTRUCTIONS if name not in FLOATS])
def test_products_of_integers_are_exact(name):
    a, b, c = operands(name, 2)
    exact = a.astype(np.int64) @ b.astype(np.int64) + c
    np.testing.assert_array_equal(twin(name, a, b, c), accumulators(exact.astype(np.uint32).view(np.int32)))


@pytest.mark.parametrize("name", FLOATS)
def test_products_of_floats_err_by_no_more_than_their_terms_allow(name):
    dtype, _, depth, _ = INSTRUCTIONS[name]
    a, b, c = operands(name, 3)
    found = twin(name, a, b, c)
    if dtype is np.float32:
        a, b = tf32(a), tf32(b)
    # Each of depth + 1 terms is cut off KEPT bits below the largest, and the sum once more; float64 rounds each step.
    unit = Fraction(1, 2**53) if dtype is np.float64 else Fraction(1, 2**23)
    for w in range(2):
        exact, size = np.empty((1, 16, 8), object), np.empty((1, 16, 8), object)
        for i in range(16):
            for j in range(8):
                terms = [Fraction(float(a[w, i, k])) * Fraction(float(b[w, k, j])) for k in range(depth)]
                terms.append(Fraction(float(c[w, i, j])))
                exact[0, i, j], size[0, i, j] = sum(terms), sum(map(abs, terms))
        exact, size = accumulators(exact), accumulators(size)
        for value, truth, scale in zip(found[32 * w : 32 * w + 32].flat, exact.flat, size.flat, strict=True):
            assert abs(Fraction(float(value)) - truth) <= (depth + 1) * unit * scale


@pytest.mark.skipif(bool(gpu_problem()), reason=gpu_problem() or "there is a GPU")
@pytest.mark.parametrize("name", INSTRUCTIONS)
@pytest.mark.parametrize(("spread", "special"), [(0, 0), (2, 0), (8, 0), (3, 0.01)])
def test_a_gpu_gives_the_bits_of_the_twin(name, spread, special):
    def launch(kernel, *arrays):
        kernel[WARPS, 32](*arrays)

    for seed in range(20):
        given = operands(name, seed, spread, special)
        assert_equal_bits(run(name, *given, launch), twin(name, *given), function=name)

"""A matrix product as Hopper wants it: one warp copies tiles by TMA, a warpgroup multiplies them, mbarriers between."""

import numpy as np
import pytest
from numba import cuda, types

from kernels.device.addresses import global_address, shared_address
from kernels.device.copies import (
    fence_mbarrier_init,
    mbarrier_arrive,
    mbarrier_arrive_expect_tx,
    mbarrier_init,
    mbarrier_wait,
)
from kernels.device.tensor_copies import fence_tensor_map, tensor_load_2d
from kernels.device.wgmma import descriptor, wgmma, wgmma_commit, wgmma_fence, wgmma_wait_group
from kernels.runtime import gpu_problem
from kernels.runtime.tensor_maps import tensor_map
from kernels.simulator import CopyError, DeadlockError, RaceError, UninitializedError, simulate

f32, u8, u32, u64 = types.float32, types.uint8, types.uint32, types.uint64
SIMULATORS = ("compiled", "interpreted")
ENGINES = SIMULATORS if gpu_problem() else (*SIMULATORS, "cuda")
SCHEDULES = [(engine, seed) for engine in ENGINES for seed in ((0, 1, 2) if engine == "compiled" else (0,))]

M, N, K, STAGES, BARS = 64, 16, 64, 2, 4
A_BYTES, B_BYTES = M * K * 2, N * K * 2
LAYOUT = descriptor(16, 1024, 128)
multiply = wgmma(N, "f16")
wait = wgmma_wait_group(0, types.UniTuple(f32, N // 2))


def product(waits_for_full=True, waits_for_empty=True, arrives=True, parity_flips=True, nbytes=A_BYTES + B_BYTES):
    """The kernel, and what it leaves out."""

    @cuda.jit
    def kernel(map_a, map_b, c, tiles):
        a = cuda.shared.array((STAGES, A_BYTES), u8, 1024)
        b = cuda.shared.array((STAGES, B_BYTES), u8, 1024)
        bars = cuda.shared.array(BARS, u64)
        t = cuda.threadIdx.x
        full, empty = shared_address(bars), shared_address(bars) + 8 * STAGES
        if t == 0:
            for s in range(STAGES):
                mbarrier_init(full + 8 * s, 1)
                mbarrier_init(empty + 8 * s, 128)
            fence_mbarrier_init()
        cuda.syncthreads()
        if t == 128:
            fence_tensor_map(global_address(map_a))
            fence_tensor_map(global_address(map_b))
            for k in range(tiles):
                s, parity = k % STAGES, (k // STAGES) & 1
                if waits_for_empty:
                    mbarrier_wait(empty + 8 * s, parity ^ 1)
                mbarrier_arrive_expect_tx(full + 8 * s, nbytes)
                tensor_load_2d(shared_address(a) + A_BYTES * s, global_address(map_a), K * k, 0, full + 8 * s)
                tensor_load_2d(shared_address(b) + B_BYTES * s, global_address(map_b), K * k, 0, full + 8 * s)
        elif t < 128:
            zero = f32(0)
            d = zero, zero, zero, zero, zero, zero, zero, zero
            for k in range(tiles):
                s, parity = k % STAGES, (k // STAGES) & 1 if parity_flips else 0
                if waits_for_full:
                    mbarrier_wait(full + 8 * s, parity)
                at_a = u64(LAYOUT) | u64((shared_address(a) + A_BYTES * s) >> 4)
                at_b = u64(LAYOUT) | u64((shared_address(b) + B_BYTES * s) >> 4)
                wgmma_fence()
                for j in range(K // 16):
                    d = multiply(d, at_a + u64(2 * j), at_b + u64(2 * j), 1)
                wgmma_commit()
                d = wait(d)
                if arrives:
                    mbarrier_arrive(empty + 8 * s)
            row, column = 16 * (t >> 5) + ((t & 31) >> 2), 2 * (t & 3)
            for j in range(2):
                c[row, column + 8 * j], c[row, column + 8 * j + 1] = d[4 * j], d[4 * j + 1]
                c[row + 8, column + 8 * j], c[row + 8, column + 8 * j + 1] = d[4 * j + 2], d[4 * j + 3]

    return kernel


def run(kernel, tiles, engine, seed=0):
    generator = np.random.default_rng(tiles)
    a, b = (generator.standard_normal((rows, K * tiles)).astype(np.float16) for rows in (M, N))
    c = np.zeros((M, N), np.float32)
    if engine == "cuda":
        a_there, b_there = cuda.to_device(a), cuda.to_device(b)
        kernel[1, 160](tensor_map(a_there, (M, K), 128), tensor_map(b_there, (N, K), 128), c, tiles)
    else:
        # The kernel reads memory that only the maps tell of: no check knows it as an argument.
        maps = tensor_map(a, (M, K), 128), tensor_map(b, (N, K), 128)
        simulate(kernel, engine=engine, seed=seed)[1, 160](*maps, c, tiles)
    return a.astype(np.float64), b.astype(np.float64), c


@pytest.mark.parametrize(("engine", "seed"), SCHEDULES)
def test_tiles_go_through_the_pipeline(engine, seed):
    a, b, c = run(product(), 3, engine, seed)
    # Terms are cut off 25 bits below the largest of 17, sums at 23 bits: once for each 16 of k.
    bound = (a.shape[1] // 16) * 17 * 2.0**-23 * (np.abs(a) @ np.abs(b.T))
    assert (np.abs(c - a @ b.T) <= bound).all()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"waits_for_full": False}, (CopyError, UninitializedError)),
        ({"waits_for_empty": False}, (RaceError, CopyError)),
        ({"arrives": False}, DeadlockError),
        ({"parity_flips": False}, (RaceError, CopyError, DeadlockError)),
        ({"nbytes": A_BYTES}, CopyError),
        ({"nbytes": A_BYTES + B_BYTES + 16}, DeadlockError),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_each_thing_left_out_is_reported(fault, error):
    with pytest.raises(error):
        run(product(**fault), 4, "compiled")

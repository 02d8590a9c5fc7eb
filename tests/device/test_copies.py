"""Copies that land later, mbarriers, clusters and fragments: right kernels run, and each fault has its report."""

import numpy as np
import pytest
from numba import cuda, types

from kernels.device.addresses import global_address, shared_address
from kernels.device.barriers import named_barrier_arrive, named_barrier_sync
from kernels.device.clusters import (
    cluster,
    cluster_ctarank,
    cluster_sync,
    load_cluster_f32,
    mapa,
    store_cluster_f32,
)
from kernels.device.copies import (
    bulk_commit,
    bulk_load,
    bulk_store,
    bulk_wait_group,
    cp_async_4,
    cp_async_16,
    cp_async_16_zfill,
    cp_async_commit,
    cp_async_wait_all,
    cp_async_wait_group,
    fence_mbarrier_init,
    fence_proxy_async,
    mbarrier_arrive,
    mbarrier_arrive_expect_tx,
    mbarrier_init,
    mbarrier_wait,
)
from kernels.device.fragments import (
    ldmatrix_x1,
    ldmatrix_x2_trans,
    ldmatrix_x4,
    ldmatrix_x4_trans,
    stmatrix_x4,
    stmatrix_x4_trans,
)
from kernels.runtime import gpu_problem
from kernels.simulator import (
    CopyError,
    DeadlockError,
    DivergenceError,
    LaunchError,
    MisalignedError,
    RaceError,
    UninitializedError,
    simulate,
)

f32, u32, u64 = types.float32, types.uint32, types.uint64
SIMULATORS = ("compiled", "interpreted")
ENGINES = SIMULATORS if gpu_problem() else (*SIMULATORS, "cuda")
SEEDS = (0, 1, 2, 3)
wait_newest, wait_none, wait_bulk = cp_async_wait_group(1), cp_async_wait_group(0), bulk_wait_group(0)
in_pairs, in_fours = cluster(2), cluster(2, 2)

everywhere = pytest.mark.parametrize("engine", ENGINES)
both = pytest.mark.parametrize("engine", SIMULATORS)
SCHEDULES = [(engine, seed) for engine in ENGINES for seed in (SEEDS if engine != "cuda" else SEEDS[:1])]
scheduled = pytest.mark.parametrize(("engine", "seed"), SCHEDULES)


def floats(count, seed=0):
    return np.random.default_rng([seed, count]).standard_normal(count).astype(np.float32)


def run(kernel, grid, block, *arrays, engine, seed=0):
    launch = kernel if engine == "cuda" else simulate(kernel, engine=engine, seed=seed)
    launch[grid, block](*arrays)


# --- cp.async ---------------------------------------------------------------------------------------------------------


@cuda.jit
def reverse(x, y):
    tile = cuda.shared.array(64, f32)
    i, t = cuda.grid(1), cuda.threadIdx.x
    cp_async_4(shared_address(tile) + 4 * t, global_address(x) + 4 * i)
    cp_async_wait_all()
    cuda.syncthreads()
    y[i] = tile[63 - t]


@cuda.jit
def reverse_without_wait(x, y):
    tile = cuda.shared.array(64, f32)
    i, t = cuda.grid(1), cuda.threadIdx.x
    cp_async_4(shared_address(tile) + 4 * t, global_address(x) + 4 * i)
    cp_async_commit()
    cuda.syncthreads()
    y[i] = tile[63 - t]


@cuda.jit
def reverse_without_barrier(x, y):
    tile = cuda.shared.array(64, f32)
    i, t = cuda.grid(1), cuda.threadIdx.x
    cp_async_4(shared_address(tile) + 4 * t, global_address(x) + 4 * i)
    cp_async_wait_all()
    y[i] = tile[63 - t]


@cuda.jit
def nobody_waits(x, y):
    tile = cuda.shared.array(64, f32)
    i, t = cuda.grid(1), cuda.threadIdx.x
    cp_async_4(shared_address(tile) + 4 * t, global_address(x) + 4 * i)
    cp_async_commit()
    y[i] = x[i]


@cuda.jit
def misaligned(x, y):
    tile = cuda.shared.array(64, f32)
    cp_async_16(shared_address(tile) + 4, global_address(x))
    cp_async_wait_all()


@cuda.jit
def sums_of_tiles(x, y):
    """Two stages: the next tile is copied while this one is added."""
    tiles = cuda.shared.array((2, 32), f32)
    t = cuda.threadIdx.x
    total = f32(0)
    first = shared_address(tiles)
    cp_async_4(first + 4 * t, global_address(x) + 4 * t)
    cp_async_commit()
    for k in range(x.size // 32):
        if k + 1 < x.size // 32:
            cp_async_4(first + 128 * ((k + 1) & 1) + 4 * t, global_address(x) + 128 * (k + 1) + 4 * t)
        cp_async_commit()
        wait_newest()
        cuda.syncthreads()
        total += tiles[k & 1, 31 - t]
        cuda.syncthreads()
    wait_none()
    y[t] = total


@cuda.jit
def sums_whose_tiles_are_overwritten(x, y):
    tiles = cuda.shared.array((2, 32), f32)
    t = cuda.threadIdx.x
    total = f32(0)
    first = shared_address(tiles)
    cp_async_4(first + 4 * t, global_address(x) + 4 * t)
    cp_async_commit()
    for k in range(x.size // 32):
        if k + 1 < x.size // 32:
            cp_async_4(first + 128 * ((k + 1) & 1) + 4 * t, global_address(x) + 128 * (k + 1) + 4 * t)
        cp_async_commit()
        wait_newest()
        cuda.syncthreads()
        total += tiles[k & 1, 31 - t]
    wait_none()
    y[t] = total


@cuda.jit
def zero_filled(x, y):
    tile = cuda.shared.array(128, f32)
    t = cuda.threadIdx.x
    left = min(max(4 * (x.size - 4 * t), 0), 16)
    cp_async_16_zfill(shared_address(tile) + 16 * t, global_address(x) + 16 * t, left)
    cp_async_wait_all()
    cuda.syncwarp()
    for k in range(4):
        y[4 * t + k] = tile[4 * t + k]


@scheduled
def test_copies_land_when_they_are_waited_for(engine, seed):
    x, y = floats(256), np.zeros(256, np.float32)
    run(reverse, 4, 64, x, y, engine=engine, seed=seed)
    np.testing.assert_array_equal(y, x.reshape(4, 64)[:, ::-1].ravel())
    y = np.zeros(32, np.float32)
    run(sums_of_tiles, 1, 32, x, y, engine=engine, seed=seed)
    expected = np.zeros(32, np.float32)
    for tile in x.reshape(8, 32):
        expected += tile[::-1]
    np.testing.assert_array_equal(y, expected)


@everywhere
def test_what_a_copy_does_not_have_is_zeros(engine):
    x, y = floats(101), np.ones(128, np.float32)
    run(zero_filled, 1, 32, x, y, engine=engine)
    np.testing.assert_array_equal(y, np.concatenate([x, np.zeros(27, np.float32)]))


@both
@pytest.mark.parametrize(
    ("kernel", "error"),
    [
        (reverse_without_wait, CopyError),
        (reverse_without_barrier, (RaceError, CopyError, UninitializedError)),
        (nobody_waits, CopyError),
        (misaligned, MisalignedError),
        (sums_whose_tiles_are_overwritten, (RaceError, CopyError)),
    ],
)
def test_faults_of_copies_are_reported(kernel, error, engine):
    with pytest.raises(error):
        run(kernel, 1, 32 if "sums" in kernel.__name__ else 64, floats(128), np.zeros(128, np.float32), engine=engine)


def test_a_report_names_the_line_of_the_kernel_and_the_element():
    with pytest.raises(CopyError, match=r"copy has not reached.*shared memory element(.|\n)*y\[i\] = tile\[63 - t\]"):
        run(reverse_without_wait, 1, 64, floats(64), np.zeros(64, np.float32), engine="compiled")


# --- mbarriers and bulk copies ----------------------------------------------------------------------------------------


@cuda.jit
def pipeline(x, y):
    """One thread copies tiles of 64 floats through two buffers; 64 others double them."""
    tiles, bars = cuda.shared.array((2, 64), f32, 128), cuda.shared.array(4, u64)
    t, count = cuda.threadIdx.x, x.size // 64
    full, empty = shared_address(bars), shared_address(bars) + 16
    if t == 0:
        for s in range(2):
            mbarrier_init(full + 8 * s, 1)
            mbarrier_init(empty + 8 * s, 64)
        fence_mbarrier_init()
    cuda.syncthreads()
    if t == 64:
        for k in range(count):
            s, parity = k & 1, (k >> 1) & 1
            mbarrier_wait(empty + 8 * s, parity ^ 1)
            mbarrier_arrive_expect_tx(full + 8 * s, 256)
            bulk_load(shared_address(tiles) + 256 * s, global_address(x) + 256 * k, 256, full + 8 * s)
    elif t < 64:
        for k in range(count):
            s, parity = k & 1, (k >> 1) & 1
            mbarrier_wait(full + 8 * s, parity)
            y[64 * k + t] = 2 * tiles[s, 63 - t]
            mbarrier_arrive(empty + 8 * s)


@cuda.jit
def producer_does_not_wait(x, y):
    tiles, bars = cuda.shared.array((2, 64), f32, 128), cuda.shared.array(4, u64)
    t, count = cuda.threadIdx.x, x.size // 64
    full = shared_address(bars)
    if t == 0:
        for s in range(2):
            mbarrier_init(full + 8 * s, 1)
        fence_mbarrier_init()
    cuda.syncthreads()
    if t == 64:
        for k in range(count):
            s = k & 1
            mbarrier_arrive_expect_tx(full + 8 * s, 256)
            bulk_load(shared_address(tiles) + 256 * s, global_address(x) + 256 * k, 256, full + 8 * s)
            mbarrier_wait(full + 8 * s, (k >> 1) & 1)
    elif t < 64:
        for k in range(count):
            s = k & 1
            mbarrier_wait(full + 8 * s, (k >> 1) & 1)
            y[64 * k + t] = 2 * tiles[s, 63 - t]


@cuda.jit
def consumers_do_not_wait(x, y):
    tile, bars = cuda.shared.array(64, f32, 128), cuda.shared.array(1, u64)
    t, bar = cuda.threadIdx.x, shared_address(bars)
    if t == 0:
        mbarrier_init(bar, 1)
        fence_mbarrier_init()
        mbarrier_arrive_expect_tx(bar, 256)
        bulk_load(shared_address(tile), global_address(x), 256, bar)
    cuda.syncthreads()
    y[t] = tile[t]


@cuda.jit
def bytes_that_never_come(x, y):
    bars = cuda.shared.array(1, u64)
    t, bar = cuda.threadIdx.x, shared_address(bars)
    if t == 0:
        mbarrier_init(bar, 1)
        mbarrier_arrive_expect_tx(bar, 256)
    cuda.syncthreads()
    mbarrier_wait(bar, 0)


@cuda.jit
def not_initialized(x, y):
    bars = cuda.shared.array(1, u64)
    if cuda.threadIdx.x == 0:
        bars[0] = 0
        mbarrier_arrive(shared_address(bars))


@cuda.jit
def arrives_too_often(x, y):
    bars = cuda.shared.array(1, u64)
    t, bar = cuda.threadIdx.x, shared_address(bars)
    if t == 0:
        mbarrier_init(bar, 40)
    cuda.syncthreads()
    if t < 32:
        mbarrier_arrive(bar)
        mbarrier_arrive_expect_tx(bar, 4)


@cuda.jit
def initialized_without_barrier(x, y):
    bars = cuda.shared.array(1, u64)
    t, bar = cuda.threadIdx.x, shared_address(bars)
    if t == 0:
        mbarrier_init(bar, 64)
    cuda.syncwarp()
    mbarrier_arrive(bar)
    mbarrier_wait(bar, 0)


@cuda.jit
def store_tiles(x, y):
    tile = cuda.shared.array(64, f32, 128)
    t, b = cuda.threadIdx.x, cuda.blockIdx.x
    tile[63 - t] = x[64 * b + t]
    fence_proxy_async()
    cuda.syncthreads()
    if t == 0:
        bulk_store(global_address(y) + 256 * b, shared_address(tile), 256)
        bulk_commit()
        wait_bulk()


@cuda.jit
def stored_tile_is_overwritten(x, y):
    tile = cuda.shared.array(64, f32, 128)
    t, b = cuda.threadIdx.x, cuda.blockIdx.x
    tile[63 - t] = x[64 * b + t]
    fence_proxy_async()
    cuda.syncthreads()
    if t == 0:
        bulk_store(global_address(y) + 256 * b, shared_address(tile), 256)
        bulk_commit()
    cuda.syncthreads()
    tile[t] = 0
    if t == 0:
        wait_bulk()


@scheduled
def test_a_pipeline_of_mbarriers_hands_tiles_over(engine, seed):
    x, y = floats(64 * 7), np.zeros(64 * 7, np.float32)
    run(pipeline, 1, 96, x, y, engine=engine, seed=seed)
    np.testing.assert_array_equal(y, 2 * x.reshape(-1, 64)[:, ::-1].ravel())


@scheduled
def test_bulk_stores_reach_global_memory(engine, seed):
    x, y = floats(256), np.zeros(256, np.float32)
    run(store_tiles, 4, 64, x, y, engine=engine, seed=seed)
    np.testing.assert_array_equal(y, x.reshape(4, 64)[:, ::-1].ravel())


@both
@pytest.mark.parametrize(
    ("kernel", "block", "error"),
    [
        (producer_does_not_wait, 96, (RaceError, CopyError)),
        (consumers_do_not_wait, 64, CopyError),
        (bytes_that_never_come, 64, DeadlockError),
        (not_initialized, 64, CopyError),
        (arrives_too_often, 64, CopyError),
        (initialized_without_barrier, 64, (RaceError, CopyError, UninitializedError)),
        (stored_tile_is_overwritten, 64, RaceError),
    ],
)
def test_faults_of_mbarriers_and_bulk_copies_are_reported(kernel, block, error, engine):
    with pytest.raises(error):
        run(kernel, 1, block, floats(64 * 4), np.zeros(64 * 4, np.float32), engine=engine)


# --- clusters ---------------------------------------------------------------------------------------------------------


@cuda.jit
def exchange(x, y):
    in_pairs()
    mine = cuda.shared.array(32, f32)
    t, b, rank = cuda.threadIdx.x, cuda.blockIdx.x, cluster_ctarank()
    mine[t] = x[32 * b + t]
    cluster_sync()
    y[32 * b + t] = load_cluster_f32(mapa(shared_address(mine) + 4 * (31 - t), rank ^ 1))
    cluster_sync()


@cuda.jit
def scatter(x, y):
    in_fours()
    mine = cuda.shared.array(16, f32)
    t = cuda.threadIdx.x
    b = cuda.blockIdx.x + cuda.gridDim.x * cuda.blockIdx.y
    rank = cluster_ctarank()
    cluster_sync()
    store_cluster_f32(mapa(shared_address(mine) + 4 * rank, t), x[4 * b + t])
    cluster_sync()
    y[4 * b + t] = mine[t]


@cuda.jit
def exchange_without_barrier(x, y):
    in_pairs()
    mine = cuda.shared.array(32, f32)
    t, b, rank = cuda.threadIdx.x, cuda.blockIdx.x, cluster_ctarank()
    mine[t] = x[32 * b + t]
    y[32 * b + t] = load_cluster_f32(mapa(shared_address(mine) + 4 * (31 - t), rank ^ 1))


@cuda.jit
def exchange_with_a_barrier_of_the_block(x, y):
    in_pairs()
    mine = cuda.shared.array(32, f32)
    t, b, rank = cuda.threadIdx.x, cuda.blockIdx.x, cluster_ctarank()
    cluster_sync()
    mine[t] = x[32 * b + t]
    cuda.syncthreads()
    y[32 * b + t] = load_cluster_f32(mapa(shared_address(mine) + 4 * (31 - t), rank ^ 1))
    cluster_sync()


@scheduled
def test_blocks_of_a_cluster_reach_one_another(engine, seed):
    x, y = floats(32 * 8), np.zeros(32 * 8, np.float32)
    run(exchange, 8, 32, x, y, engine=engine, seed=seed)
    np.testing.assert_array_equal(y, x.reshape(4, 2, 32)[:, ::-1, ::-1].ravel())
    x, y = floats(4 * 24), np.zeros(4 * 24, np.float32)
    run(scatter, (4, 6), 4, x, y, engine=engine, seed=seed)
    blocks = x.reshape(3, 2, 2, 2, 4).transpose(0, 2, 1, 3, 4).reshape(6, 4, 4).transpose(0, 2, 1)
    np.testing.assert_array_equal(y, blocks.reshape(3, 2, 2, 2, 4).transpose(0, 2, 1, 3, 4).ravel())


@both
@pytest.mark.parametrize("kernel", [exchange_without_barrier, exchange_with_a_barrier_of_the_block])
def test_a_missing_barrier_of_the_cluster_is_reported(kernel, engine):
    with pytest.raises((RaceError, UninitializedError)):
        run(kernel, 2, 32, floats(64), np.zeros(64, np.float32), engine=engine)


@both
def test_a_grid_that_is_no_multiple_of_its_cluster_is_refused(engine):
    with pytest.raises(LaunchError, match="multiple"):
        run(exchange, 3, 32, floats(96), np.zeros(96, np.float32), engine=engine)


# --- barriers of some threads -----------------------------------------------------------------------------------------


@cuda.jit
def relay(x, y):
    """Warp 0 writes, warp 1 reads, warp 2 does neither."""
    values = cuda.shared.array(32, f32)
    t = cuda.threadIdx.x
    if t < 32:
        values[t] = x[t]
        named_barrier_arrive(1, 64)
    elif t < 64:
        named_barrier_sync(1, 64)
        y[t - 32] = values[63 - t]


@cuda.jit
def relay_with_too_few(x, y):
    t = cuda.threadIdx.x
    if t < 32:
        named_barrier_sync(1, 64)


@scheduled
def test_named_barriers_are_for_some_threads(engine, seed):
    x, y = floats(32), np.zeros(32, np.float32)
    run(relay, 1, 96, x, y, engine=engine, seed=seed)
    np.testing.assert_array_equal(y, x[::-1])


@both
def test_a_named_barrier_that_too_few_reach_is_reported(engine):
    with pytest.raises(DivergenceError):
        run(relay_with_too_few, 1, 64, floats(32), np.zeros(32, np.float32), engine=engine)


# --- fragments --------------------------------------------------------------------------------------------------------


def through(load, store, count):
    """A kernel that loads matrices of 8 rows of 8 elements and stores their registers; or the other way round."""

    @cuda.jit
    def loads(x, y):
        tile = cuda.shared.array(128, u32)
        t = cuda.threadIdx.x
        for k in range(4):
            tile[4 * t + k] = x[4 * t + k]
        cuda.syncwarp()
        found = load(shared_address(tile) + 16 * (t % (8 * count)))
        for k in range(count):
            y[count * t + k] = found[k] if count > 1 else found

    @cuda.jit
    def stores(x, y):
        tile = cuda.shared.array(128, u32)
        t = cuda.threadIdx.x
        store(shared_address(tile) + 16 * t, (x[4 * t], x[4 * t + 1], x[4 * t + 2], x[4 * t + 3]))
        cuda.syncwarp()
        for k in range(4):
            y[4 * t + k] = tile[4 * t + k]

    return loads if load is not None else stores


@cuda.jit
def one(x, y):
    tile = cuda.shared.array(128, u32)
    t = cuda.threadIdx.x
    for k in range(4):
        tile[4 * t + k] = x[4 * t + k]
    cuda.syncwarp()
    y[t] = ldmatrix_x1(shared_address(tile) + 16 * (t % 8))


def fragments_of(matrices, transposed):
    """Registers by lane: of matrices (m, 8, 8) of 16 bits."""
    found = np.empty((32, len(matrices), 2), np.uint16)
    for lane in range(32):
        g, t = divmod(lane, 4)
        for m, matrix in enumerate(matrices):
            found[lane, m] = (matrix.T if transposed else matrix)[g, 2 * t : 2 * t + 2]
    return found.reshape(32, -1).view(np.uint32)


@everywhere
@pytest.mark.parametrize(
    ("load", "count", "transposed"),
    [(ldmatrix_x4, 4, False), (ldmatrix_x4_trans, 4, True), (ldmatrix_x2_trans, 2, True)],
)
def test_ldmatrix_gives_each_lane_its_elements(load, count, transposed, engine):
    x = np.random.default_rng(count).integers(0, 2**32, 128, np.uint32)
    y = np.zeros(32 * count, np.uint32)
    run(through(load, None, count), 1, 32, x, y, engine=engine)
    matrices = x.view(np.uint16).reshape(4, 8, 8)[:count]
    np.testing.assert_array_equal(y.reshape(32, count), fragments_of(matrices, transposed))


@everywhere
def test_ldmatrix_of_one_matrix_gives_a_number(engine):
    x, y = np.random.default_rng(9).integers(0, 2**32, 128, np.uint32), np.zeros(32, np.uint32)
    run(one, 1, 32, x, y, engine=engine)
    np.testing.assert_array_equal(y[:, None], fragments_of(x.view(np.uint16).reshape(4, 8, 8)[:1], False))


@everywhere
@pytest.mark.parametrize(("store", "transposed"), [(stmatrix_x4, False), (stmatrix_x4_trans, True)])
def test_stmatrix_puts_elements_where_ldmatrix_finds_them(store, transposed, engine):
    matrices = np.random.default_rng(5).integers(0, 2**16, (4, 8, 8), np.uint16)
    y = np.zeros(128, np.uint32)
    run(through(None, store, 4), 1, 32, fragments_of(matrices, transposed).ravel(), y, engine=engine)
    np.testing.assert_array_equal(y.view(np.uint16).reshape(4, 8, 8), matrices)

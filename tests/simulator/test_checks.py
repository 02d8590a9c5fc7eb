"""Faults of memory are found and named; orderly kernels are not blamed."""

import numpy as np
import pytest
from numba import cuda, float32, int32

from kernels import simulator
from kernels.simulator import simulate

ENGINES = [pytest.param(engine, id=engine) for engine in ("compiled",)]


@pytest.fixture(params=ENGINES)
def run(request):
    """Launch a kernel with all checks, in the fixed order and in a drawn one."""

    def launch(kernel, grid, block, *arguments, seeds=(0, 5), shared=0, checks="all"):
        for seed in seeds:
            simulate(kernel, engine=request.param, seed=seed, checks=checks)[grid, block, 0, shared](*arguments)

    return launch


def message(run, error, *arguments, **options):
    with pytest.raises(error) as caught:
        run(*arguments, **options)
    return str(caught.value)


# --- races ----------------------------------------------------------------------------------------------------------


def test_missing_barrier_is_a_race(run):
    @cuda.jit
    def reverse(x, out):
        s = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        s[t] = x[t]
        out[t] = s[63 - t] if t > 40 else s[t]

    x, out = np.ones(64, np.float32), np.zeros(64, np.float32)
    text = message(run, simulator.RaceError, reverse, 1, 64, x, out, seeds=(0,))
    assert "shared memory" in text
    assert "block 0" in text


def test_barrier_between_phases_is_no_race(run):
    @cuda.jit
    def reverse(x, out):
        s = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        for _ in range(3):
            s[t] = x[t]
            cuda.syncthreads()
            x[t] = s[63 - t]
            cuda.syncthreads()
        out[t] = x[63 - t]

    x, out = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    run(reverse, 1, 64, x, out)


def test_two_blocks_that_write_one_element_race(run):
    @cuda.jit
    def count(total):
        if cuda.threadIdx.x == 3:
            total[1, 2] += 1

    text = message(run, simulator.RaceError, count, 2, 32, np.zeros((2, 4), np.int64))
    assert "total[1, 2]" in text
    assert "thread 3" in text
    assert "block 0" in text
    assert "block 1" in text


def test_write_after_reads_of_many_threads_is_a_race_with_each(run):
    @cuda.jit
    def kernel(x, out):
        t = cuda.threadIdx.x
        out[t] = x[0]
        if t < 96:
            cuda.syncwarp()
        if t == 127:
            x[0] = 1

    text = message(run, simulator.RaceError, kernel, 1, 128, np.zeros(1), np.zeros(128), seeds=(0,))
    assert "x[0]" in text


def test_lanes_are_ordered_by_syncwarp_alone(run):
    @cuda.jit
    def exchange(x):
        s = cuda.shared.array(32, int32)
        t = cuda.threadIdx.x
        s[t] = x[t]
        cuda.syncwarp()
        x[t] = s[31 - t]

    @cuda.jit
    def shuffled(x):
        s = cuda.shared.array(32, int32)
        t = cuda.threadIdx.x
        s[t] = x[t]
        value = cuda.shfl_sync(-1, x[t], 0)
        x[t] = s[31 - t] + value

    run(exchange, 1, 32, np.arange(32, dtype=np.int32))
    message(run, simulator.RaceError, shuffled, 1, 32, np.arange(32, dtype=np.int32))


def test_syncwarp_of_half_a_warp_orders_that_half(run):
    @cuda.jit
    def halves(x, out, distance):
        s = cuda.shared.array(32, int32)
        t = cuda.threadIdx.x
        s[t] = x[t]
        if t < 16:
            cuda.syncwarp(0xFFFF)
        else:
            cuda.syncwarp(0xFFFF0000)
        out[t] = s[t ^ distance]

    x, out = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    run(halves, 1, 32, x, out, 8)
    message(run, simulator.RaceError, halves, 1, 32, x, out, 16)


def test_atomics_do_not_race_with_one_another(run):
    @cuda.jit
    def histogram(x, bins):
        s = cuda.shared.array(8, int32)
        t = cuda.threadIdx.x
        if t < 8:
            s[t] = 0
        cuda.syncthreads()
        cuda.atomic.add(s, x[cuda.grid(1)], 1)
        cuda.syncthreads()
        if t < 8:
            cuda.atomic.add(bins, t, s[t])

    x = np.random.default_rng(0).integers(0, 8, 192).astype(np.int32)
    bins = np.zeros(8, np.int32)
    run(histogram, 3, 64, x, bins, seeds=(0,))
    np.testing.assert_array_equal(bins, np.bincount(x, minlength=8))


def test_atomics_race_with_plain_accesses(run):
    @cuda.jit
    def kernel(total, out):
        cuda.atomic.add(total, 0, 1)
        if cuda.threadIdx.x == 63:
            out[0] = total[0]

    message(run, simulator.RaceError, kernel, 1, 64, np.zeros(1, np.int32), np.zeros(1, np.int32))


def test_plain_read_before_atomics_of_others_is_a_race(run):
    @cuda.jit
    def kernel(total, out):
        t = cuda.threadIdx.x
        if t == 0:
            out[0] = total[0]
        else:
            cuda.atomic.add(total, 0, 1)

    message(run, simulator.RaceError, kernel, 1, 64, np.zeros(1, np.int32), np.zeros(1, np.int32))


def last_block(released, acquired):
    def kernel(x, part, ticket, out):
        last = cuda.shared.array(1, int32)
        b = cuda.blockIdx.x
        if cuda.threadIdx.x == 0:
            part[b] = x[b]
            released()
            last[0] = cuda.atomic.add(ticket, 0, 1)
            acquired()
        cuda.syncthreads()
        if last[0] == cuda.gridDim.x - 1 and cuda.threadIdx.x == 5:
            for k in range(cuda.gridDim.x):
                out[0] += part[k]

    return cuda.jit(kernel)


@cuda.jit
def device_fence():
    cuda.threadfence()


@cuda.jit
def block_fence():
    cuda.threadfence_block()


@cuda.jit
def no_fence():
    pass


@pytest.mark.parametrize(
    ("released", "acquired", "orderly"),
    [
        (device_fence, device_fence, True),
        (no_fence, device_fence, False),
        (device_fence, no_fence, False),
        (block_fence, device_fence, False),
        (device_fence, block_fence, False),
    ],
    ids=["both", "not released", "not acquired", "released to its block", "acquired from its block"],
)
def test_last_block_knows_what_the_others_released(run, released, acquired, orderly):
    for seed in (0, 3):
        x, out = np.arange(6, dtype=np.int64), np.zeros(1, np.int64)
        arguments = last_block(released, acquired), 6, 32, x, np.zeros(6, np.int64), np.zeros(1, np.int32), out
        if orderly:
            run(*arguments, seeds=(seed,))
            assert out[0] == 15
        else:
            assert "part[" in message(run, simulator.RaceError, *arguments, seeds=(seed,))


def test_a_lock_with_fences_orders_its_holders(run):
    @cuda.jit
    def fenced(lock, total):
        while cuda.atomic.cas(lock, 0, 0, 1) != 0:
            pass
        cuda.threadfence()
        total[0] += 1
        cuda.threadfence()
        cuda.atomic.exch(lock, 0, 0)

    @cuda.jit
    def unfenced(lock, total):
        while cuda.atomic.cas(lock, 0, 0, 1) != 0:
            pass
        cuda.threadfence()
        total[0] += 1
        cuda.atomic.exch(lock, 0, 0)

    total = np.zeros(1, np.int32)
    run(fenced, 3, 40, np.zeros(1, np.int32), total, seeds=(0,))
    assert total[0] == 120
    run(fenced, 3, 40, np.zeros(1, np.int32), total, seeds=(7,))
    assert "total[0]" in message(run, simulator.RaceError, unfenced, 3, 40, np.zeros(1, np.int32), total)


def test_barrier_of_the_grid_orders_everything(run):
    @cuda.jit
    def kernel(x, y):
        i = cuda.grid(1)
        x[i] += 1
        cuda.cg.this_grid().sync()
        y[i] = x[x.size - 1 - i]

    @cuda.jit
    def of_the_block(x, y):
        i = cuda.grid(1)
        x[i] += 1
        cuda.syncthreads()
        y[i] = x[x.size - 1 - i]

    run(kernel, 4, 32, np.zeros(128), np.zeros(128))
    message(run, simulator.RaceError, of_the_block, 4, 32, np.zeros(128), np.zeros(128))


def test_arguments_that_overlap_are_one_memory(run):
    @cuda.jit
    def shift(x, y):
        t = cuda.threadIdx.x
        y[t] = x[t]

    memory = np.zeros(65, np.float32)
    assert "race" in message(run, simulator.RaceError, shift, 1, 64, memory[:-1], memory[1:])
    run(shift, 1, 64, memory[1:], memory[1:])


def test_parts_of_records_do_not_race(run):
    @cuda.jit
    def fields(a):
        t = cuda.threadIdx.x
        if t % 2 == 0:
            a[t // 2].x = t
        else:
            a[t // 2]["y"] = t

    @cuda.jit
    def one_field(a):
        a[cuda.threadIdx.x // 2].x = 1

    a = np.zeros(16, np.dtype([("x", np.int32), ("y", np.float64)], align=True))
    run(fields, 1, 32, a)
    np.testing.assert_array_equal(a["y"], np.arange(1, 32, 2))
    assert "a[0]" in message(run, simulator.RaceError, one_field, 1, 32, a, seeds=(0,))


def test_bytes_of_dynamic_shared_memory_do_not_race_under_a_view_of_words(run):
    @cuda.jit
    def kernel(out):
        words = cuda.shared.array(0, int32)
        t = cuda.threadIdx.x
        words[t] = t
        cuda.syncthreads()
        parts = words.view(np.int8)
        for k in range(4):
            parts[32 * k + t] += 1
        cuda.syncthreads()
        out[t] = words[t]

    out = np.zeros(32, np.int32)
    run(kernel, 1, 32, out, shared=128)
    np.testing.assert_array_equal(out, np.arange(32) + 0x01010101)


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [-1, 10, 1 << 40])
def test_index_outside_an_array_is_reported_with_its_extent(run, index):
    @cuda.jit
    def kernel(x, i):
        x[1, i] = 1

    text = message(run, simulator.OutOfBoundsError, kernel, 1, 1, np.zeros((2, 10)), index)
    assert f"{index} along axis 1 of x" in text
    assert "10 elements" in text


def test_index_outside_is_reported_wherever_it_is_used(run):
    @cuda.jit
    def row(x, i):
        x[i][0] = 1

    @cuda.jit
    def part(x, i):
        x[..., i][0] = 1

    @cuda.jit
    def view(x, i):
        x[:, 1:][0, i - 1] = 1

    @cuda.jit
    def atomic(x, i):
        cuda.atomic.add(x, (0, i), 1)

    @cuda.jit
    def own(x, i):
        s = cuda.local.array(4, float32)
        s[i] = 1

    @cuda.jit
    def in_block(x, i):
        s = cuda.shared.array(4, float32)
        s[i] = 1

    for kernel in (row, part, view, atomic, own, in_block):
        with pytest.raises(IndexError):
            run(kernel, 1, 1, np.zeros((4, 4), np.float32), 4)
        run(kernel, 1, 1, np.zeros((4, 4), np.float32), 3)


def test_without_the_check_of_bounds_a_negative_index_counts_from_the_end(run):
    @cuda.jit
    def kernel(x):
        x[-1] = x[-2]

    x = np.arange(4.0)
    run(kernel, 1, 1, x, checks=["races"])
    np.testing.assert_array_equal(x, [0, 1, 2, 2])
    message(run, simulator.OutOfBoundsError, kernel, 1, 1, x)


# --- initialization and alignment -----------------------------------------------------------------------------------


def test_read_of_what_nothing_wrote_is_reported(run):
    @cuda.jit
    def in_block(x):
        s = cuda.shared.array(64, float32)
        t = cuda.threadIdx.x
        if t < 60:
            s[t] = t
        cuda.syncthreads()
        x[t] = s[63 - t]

    @cuda.jit
    def own(x):
        s = cuda.local.array((2, 3), float32)
        s[0, 0] = 1
        x[0] = s.T[1, 0]

    text = message(run, simulator.UninitializedError, in_block, 1, 64, np.zeros(64, np.float32), seeds=(0,))
    assert "shared memory element 63" in text
    assert "thread 0" in text
    assert "local memory" in message(run, simulator.UninitializedError, own, 1, 1, np.zeros(1, np.float32))


def test_shared_memory_of_the_block_before_is_not_written(run):
    @cuda.jit
    def kernel(x):
        s = cuda.shared.array(1, float32)
        if cuda.blockIdx.x == 0:
            s[0] = 1
        x[cuda.blockIdx.x] = s[0]

    message(run, simulator.UninitializedError, kernel, 4, 1, np.zeros(4, np.float32))


def test_what_a_thread_wrote_itself_is_written(run):
    @cuda.jit
    def kernel(x, out):
        s = cuda.local.array((2, 3), float32)
        for i in range(2):
            for j in range(3):
                s[i, j] = x[i, j]
        total = float32(0)
        for value in s.reshape(6):
            total += value
        out[0] = total

    x, out = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(1, np.float32)
    run(kernel, 1, 1, x, out)
    assert out[0] == 15


@pytest.mark.parametrize("faulty", [False, True])
def test_a_name_may_be_an_array_of_the_thread_of_the_block_or_an_argument(run, faulty):
    @cuda.jit
    def kernel(x, faulty):
        s, own = cuda.shared.array(8, float32), cuda.local.array(8, float32)
        t = cuda.threadIdx.x
        memory = s
        if t == 1:
            memory = own
        elif t == 2:
            memory = x
        if not (faulty and t < 2):
            memory[t] = t
        x[4 + t] = memory[t]

    x = np.zeros(8, np.float32)
    if faulty:
        message(run, simulator.UninitializedError, kernel, 1, 3, x, True)
    else:
        run(kernel, 1, 3, x, False)
        np.testing.assert_array_equal(x, [0, 0, 2, 0, 0, 1, 2, 0])


def test_misaligned_access_is_reported(run):
    @cuda.jit
    def kernel(x):
        s = cuda.shared.array(16, np.uint8)
        for k in range(16):
            s[k] = k
        x[0] = s[1:9].view(np.int32)[0]

    message(run, simulator.MisalignedError, kernel, 1, 1, np.zeros(1, np.int32))


# --- everything that kernels do with arrays -------------------------------------------------------------------------


def test_checked_arrays_do_what_plain_ones_do(run):
    @cuda.jit
    def kernel(x, pair, cell, out):
        out[0] = len(x) + x.shape[1] + x.size + x.ndim
        out[1] = x[1:, 0][1] + x.T[2, 1] + x.reshape(12)[5]
        total = 0.0
        for row in x:
            for value in row:
                total += value
        out[2] = total
        out[3] = pair[0][1] + pair[1][0, 1]
        cell[()] = 4.0
        out[4] = cell[()]
        out[5:8] = 3
        x[2, :] = 7
        out[8] = x[2, 3]

    x, pair = np.arange(12.0).reshape(3, 4), (np.arange(3.0), np.arange(4.0).reshape(2, 2))
    out, cell = np.zeros(9), np.zeros(())
    run(kernel, 1, 1, x.copy(), pair, cell, out, seeds=(0,))
    expected = [3 + 4 + 12 + 2, x[2, 0] + x[1, 2] + 5, 66, 1 + 1, 4, 3, 3, 3, 7]
    np.testing.assert_array_equal(out, expected)


def test_slices_are_checked_element_by_element(run):
    @cuda.jit
    def kernel(x):
        x[2:6] = 1.0

    assert "x[2]" in message(run, simulator.RaceError, kernel, 1, 2, np.zeros(8))


# --- large launches -------------------------------------------------------------------------------------------------


def test_a_large_launch_is_not_run_again_to_find_source_lines(monkeypatch):
    @cuda.jit
    def kernel(x):
        x[cuda.grid(1)] = 1

    monkeypatch.setattr("kernels.simulator.launch.EXPLAINED", 64)
    for threads, explained in ((64, True), (96, False)):
        x = np.zeros(60)
        with pytest.raises(simulator.OutOfBoundsError, match="which has 60 elements") as caught:
            simulate(kernel)[threads // 32, 32](x)
        assert ("x[cuda.grid(1)] = 1" in str(caught.value)) == explained


def test_a_launch_with_more_memory_than_the_checks_follow_says_so(monkeypatch):
    @cuda.jit
    def kernel(x):
        x[cuda.grid(1)] = 1

    monkeypatch.setattr("kernels.simulator.shadow.MOST_CELLS", 64)
    simulate(kernel)[1, 32](np.zeros(60))
    with pytest.warns(simulator.SimulatorWarning, match="races may have gone unreported"):
        simulate(kernel)[1, 32](np.zeros(70))
    monkeypatch.undo()
    simulate(kernel)[1, 32](np.zeros(60))

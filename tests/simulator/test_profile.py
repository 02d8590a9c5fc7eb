"""Counters by source line. Every number is derived here from the addresses that a kernel names."""

import doctest
import json
import math
import sys

import numpy as np
import pytest
from numba import cuda, float32, float64, int32, uint32

from kernels.device.addresses import shared_address
from kernels.device.fragments import ldmatrix_x1
from kernels.device.instructions import Instruction, of_scalars
from kernels.simulator import DivergenceError, LaunchError, Profile, profile

LANES, SECTOR, BANKS, WORD = 32, 32, 32, 4


def sectors(*elements, size=4):
    """Sectors that hold these elements of an array."""
    return len({element * size // SECTOR for element in elements})


@cuda.jit
def copy(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = x[i]


@cuda.jit
def strided(x, y, step):
    i = cuda.grid(1)
    y[i] = x[step * i]


@cuda.jit
def shifted(x, y, by):
    i = cuda.grid(1)
    y[i] = x[i + by]


@cuda.jit
def spread(x, y):
    i = cuda.grid(1)
    y[i] = x[0]


def arrays(count, dtype=np.float32):
    return np.arange(count).astype(dtype), np.zeros(count, dtype)


# --- global memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.int32, np.float32, np.float64, np.complex128])
def test_a_coalesced_copy_moves_its_bytes_and_no_more(dtype):
    x, y = arrays(256, dtype)
    row = profile(copy)[2, 128](x, y).line("y[i] = x[i]")
    warps = 256 // LANES
    each = LANES * x.itemsize // SECTOR
    assert (row.executions, row.loads, row.stores) == (warps, warps, warps)
    assert row.transactions == row.ideal_transactions == 2 * warps * each
    assert row.excess == 1
    assert row.remarks == ()
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("step", [2, 3, 4, 8, 32])
def test_a_stride_spreads_the_lanes_over_more_sectors(step):
    x, y = np.arange(64 * step, dtype=np.float32), np.zeros(64, np.float32)
    row = profile(strided)[1, 64](x, y, step).line("x[step * i]")
    loaded = sum(sectors(*(step * (LANES * warp + lane) for lane in range(LANES))) for warp in range(2))
    stored = ideal = 2 * (LANES * 4 // SECTOR)
    assert row.transactions == loaded + stored
    assert row.ideal_transactions == ideal + stored
    assert row.excess == (loaded + stored) / (ideal + stored)
    (remark,) = row.remarks
    assert remark == (
        f"each warp touches {loaded / 2:.3g} sectors where 4 would do: "
        f"neighbouring threads read addresses {4 * step} bytes apart"
    )
    np.testing.assert_array_equal(y, x[::step])


def test_one_element_of_offset_costs_a_sector_more():
    x, y = arrays(33)
    row = profile(shifted)[1, 32](x, y[:32], 1).line("x[i + by]")
    assert row.transactions == 5 + 4
    assert row.ideal_transactions == 4 + 4
    assert "do not begin at a multiple of 32 bytes" in row.remarks[0]


def test_a_slice_of_an_array_lies_where_it_lies():
    x, y = arrays(65)
    unaligned = profile(copy)[1, 32](x[1:33], y[1:33]).line("y[i] = x[i]")
    aligned = profile(copy)[1, 32](x[8:40], y[8:40]).line("y[i] = x[i]")
    assert unaligned.transactions == 5 + 5
    assert aligned.transactions == 4 + 4


def test_every_lane_reading_one_element_is_one_sector():
    x, y = arrays(64)
    row = profile(spread)[1, 64](x, y).line("x[0]")
    assert row.transactions == row.ideal_transactions == 2 * (1 + 4)


def test_a_negative_stride_costs_what_the_positive_one_does():
    x, y = arrays(64)
    row = profile(copy)[1, 64](x[::-1], y).line("y[i] = x[i]")
    assert row.excess == 1
    np.testing.assert_array_equal(y, x[::-1])


def test_the_last_warp_needs_fewer_sectors():
    x, y = arrays(40)
    row = profile(copy)[1, 64](x, y).line("y[i] = x[i]")
    last = math.ceil(8 * 4 / SECTOR)
    assert row.executions == 2
    assert (row.lanes, row.width) == (40, 64)
    assert row.transactions == row.ideal_transactions == 2 * (4 + last)


def test_a_warp_of_a_block_that_is_no_multiple_of_32_has_fewer_lanes():
    x, y = arrays(40)
    row = profile(copy)[1, 40](x, y).line("y[i] = x[i]")
    assert (row.executions, row.lanes, row.width) == (2, 40, 40)


@cuda.jit
def rows(x, y):
    j, i = cuda.grid(2)
    y[i, j] = x[i, j]


@pytest.mark.parametrize("block", [(32, 4), (16, 8), (8, 8), (4, 8), (2, 16), (8, 4)])
def test_warps_are_threads_in_linear_order(block):
    x = np.zeros((16, 32), np.float32)
    grid = 32 // block[0], 16 // block[1]
    row = profile(rows)[grid, block](x, x.copy()).line("y[i, j] = x[i, j]")
    place = [(t // block[0], t % block[0]) for t in range(block[0] * block[1])]
    each = sum(sectors(*(32 * i + j for i, j in place[k : k + LANES])) for k in range(0, len(place), LANES))
    # A block further right begins at a multiple of its width, which may be in the midst of a sector.
    assert all(block[0] * k % 8 + block[0] <= 8 or block[0] % 8 == 0 for k in range(grid[0]))
    assert row.transactions == 2 * each * grid[0] * grid[1]
    assert row.ideal_transactions == 2 * 16 * 32 * 4 // SECTOR


def test_columns_of_three_axes_follow_the_first():
    @cuda.jit
    def cube(x):
        k, j, i = cuda.threadIdx.x, cuda.threadIdx.y, cuda.threadIdx.z
        x[i, j, k] = 1

    x = np.zeros((4, 4, 4), np.float32)
    row = profile(cube)[1, (4, 4, 4)](x).line("x[i, j, k] = 1")
    assert row.transactions == row.ideal_transactions == x.nbytes // SECTOR
    assert x.all()


def test_one_round_of_a_loop_is_one_access():
    @cuda.jit
    def grid_stride(x):
        for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
            x[i] += 1

    x = np.zeros(96, np.float32)
    row = profile(grid_stride)[1, 32](x).line("x[i] += 1")
    assert (row.executions, row.loads, row.stores) == (3, 3, 3)
    assert row.transactions == 2 * 3 * 4


def test_fields_of_records_are_accessed_one_by_one():
    @cuda.jit
    def field(x):
        i = cuda.grid(1)
        x[i].a = x[i].b

    dtype = np.dtype([("a", np.float32), ("b", np.float32), ("c", np.float64)])
    row = profile(field)[1, 32](np.zeros(32, dtype)).line("x[i].a")
    spanned = 32 * dtype.itemsize // SECTOR
    assert row.transactions == 2 * spanned
    assert row.ideal_transactions == 2 * 4


def test_elements_that_one_instruction_moves_are_one_access():
    def four(arrays, at):
        return [[x[int(at) + k] for x in arrays] for k in range(4)]

    load = Instruction(four, four)

    @cuda.jit
    def wide(arrays, z):
        i = cuda.grid(1)
        lanes = load(arrays, 4 * i)
        z[i] = lanes[0][0] + lanes[3][1]

    x, y, z = np.arange(256, dtype=np.float32), np.ones(256, np.float32), np.zeros(64, np.float32)
    row = profile(wide)[1, 64]((x, y), z).line("load(arrays, 4 * i)")
    assert (row.executions, row.loads) == (2, 2 * 2)
    assert row.transactions == row.ideal_transactions == (x.nbytes + y.nbytes) // SECTOR
    np.testing.assert_array_equal(z, x[::4] + 1)


def test_kernels_over_numpys_scalars_are_taken():
    @cuda.jit
    @of_scalars
    def double(x):
        i = cuda.grid(1)
        x[i] = 2 * x[i]

    row = profile(double)[1, 32](np.ones(32, np.float32)).line("x[i] = 2 * x[i]")
    assert row.transactions == 2 * 4


def test_a_slice_that_is_written_is_written_element_by_element():
    @cuda.jit
    def runs(x):
        x[4 * cuda.grid(1) : 4 * cuda.grid(1) + 4] = 1

    x = np.zeros(128, np.float32)
    row = profile(runs)[1, 32](x).line("= 1")
    assert row.stores == 4
    assert row.transactions == 4 * sectors(*range(0, 128, 4))
    assert x.all()


def test_accesses_with_cache_hints_are_loads_and_stores():
    @cuda.jit
    def hinted(x, y):
        i = cuda.grid(1)
        cuda.stcs(y, i, cuda.ldcg(x, i))

    row = profile(hinted)[1, 32](*arrays(32)).line("cuda.ldcg")
    assert (row.loads, row.stores, row.atomics) == (1, 1, 0)
    assert row.transactions == row.ideal_transactions == 2 * 4


# --- shared memory ---------------------------------------------------------------------------------------------------


@cuda.jit
def transpose_naive(a, out):
    x, y = cuda.grid(2)
    out[x, y] = a[y, x]


@cuda.jit
def transpose_tiled(a, out):
    tile = cuda.shared.array((32, 32), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    x, y = cuda.grid(2)
    tile[ty, tx] = a[y, x]
    cuda.syncthreads()
    out[cuda.blockIdx.x * 32 + ty, cuda.blockIdx.y * 32 + tx] = tile[tx, ty]


@cuda.jit
def transpose_padded(a, out):
    tile = cuda.shared.array((32, 33), float32)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    x, y = cuda.grid(2)
    tile[ty, tx] = a[y, x]
    cuda.syncthreads()
    out[cuda.blockIdx.x * 32 + ty, cuda.blockIdx.y * 32 + tx] = tile[tx, ty]


def transposed(kernel):
    a = np.arange(64 * 32, dtype=np.float32).reshape(64, 32)
    out = np.zeros((32, 64), np.float32)
    found = profile(kernel)[(1, 2), (32, 32)](a, out)
    np.testing.assert_array_equal(out, a.T)
    return found


WARPS = 2 * 32  # of the transposes: two blocks of 32 x 32 threads


def test_a_naive_transpose_writes_a_sector_for_each_element():
    row = transposed(transpose_naive).line("out[x, y] = a[y, x]")
    assert row.transactions == WARPS * (4 + 32)
    assert row.ideal_transactions == WARPS * (4 + 4)
    assert row.remarks == (
        "each warp touches 32 sectors where 4 would do: neighbouring threads write addresses 256 bytes apart",
    )


def test_a_tile_makes_both_sides_coalesced_and_the_columns_collide():
    found = transposed(transpose_tiled)
    load, store = found.line("tile[ty, tx] = a[y, x]"), found.line("= tile[tx, ty]")
    assert load.excess == store.excess == 1
    assert load.transactions == store.transactions == WARPS * 4
    assert (load.passes, load.ideal_passes) == (WARPS, WARPS)
    assert (store.passes, store.ideal_passes) == (32 * WARPS, WARPS)
    (remark,) = store.remarks
    assert remark.startswith("each warp takes 32 passes where 1 would do: neighbouring threads read addresses 128 ")


def test_a_column_more_spreads_the_tile_over_the_banks():
    found = transposed(transpose_padded)
    assert found.totals["passes"] == found.totals["ideal_passes"] == 2 * WARPS
    assert not any(row.remarks for row in found.rows)


def conflicts(step, size):
    """Passes and their least number of a warp whose lanes access every step-th element of shared memory."""
    lanes = {4: 32, 8: 16, 16: 8}[max(size, WORD)]
    cost = 0
    for first in range(0, LANES, lanes):
        words = {
            (step * lane * size + byte) // WORD for lane in range(first, first + lanes) for byte in range(size)
        }  # fmt: skip
        cost += max(sum(word % BANKS == bank for word in words) for bank in range(BANKS))
    return cost, LANES // lanes


@cuda.jit
def stepping(out, step, dtype):
    s = cuda.shared.array(0, dtype)
    t = cuda.threadIdx.x
    s[step * t] = t
    out[t] = s[step * t]


@pytest.mark.parametrize("step", [1, 2, 3, 4, 7, 8, 16, 31, 32, 33])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_banks_serve_a_word_in_a_pass(step, dtype):
    size = np.dtype(dtype).itemsize
    out = np.zeros(32, dtype)
    found = profile(stepping)[1, 32, 0, 32 * step * size](out, step, dtype)
    row = found.line("s[step * t] = t")
    if size == 2:  # two elements of a word are served together
        words = {step * lane // 2 for lane in range(LANES)}
        cost, ideal = max(sum(word % BANKS == bank for word in words) for bank in range(BANKS)), 1
    else:
        cost, ideal = conflicts(step, size)
    assert (row.passes, row.ideal_passes) == (cost, ideal)
    assert bool(row.remarks) == (cost > ideal)
    np.testing.assert_array_equal(out, np.arange(32))


def test_a_word_for_all_lanes_is_one_pass():
    @cuda.jit
    def broadcast(out):
        s = cuda.shared.array(4, float64)
        t = cuda.threadIdx.x
        if t == 0:
            s[0] = 7
        cuda.syncthreads()
        out[t] = s[0]

    found = profile(broadcast)[1, 32](np.zeros(32))
    row = found.line("out[t] = s[0]")
    assert row.passes == row.ideal_passes == 2  # one of each half warp
    assert found.line("s[0] = 7").lanes == 1
    assert not any(row.remarks for row in found.rows)


# --- atomics, barriers, warps ----------------------------------------------------------------------------------------


@cuda.jit
def histogram(x, bins):
    i = cuda.grid(1)
    cuda.atomic.add(bins, x[i], 1)


@pytest.mark.parametrize("distinct", [1, 2, 7, 32])
def test_lanes_that_update_one_address_take_turns(distinct):
    x = np.arange(128) % distinct
    bins = np.zeros(distinct, np.int32)
    row = profile(histogram)[2, 64](x, bins).line("atomic.add")
    most = [np.bincount(part).max() for part in x.reshape(-1, LANES)]
    assert row.atomics == len(most)
    assert row.conflicts == sum(most) - len(most)
    assert bool(row.remarks) == (row.conflicts > 0)
    np.testing.assert_array_equal(bins, np.bincount(x))


@cuda.jit
def block_sum(x, out):
    s = cuda.shared.array(128, float32)
    t = cuda.threadIdx.x
    s[t] = x[cuda.grid(1)]
    cuda.syncthreads()
    step = 64
    while step > 0:
        if t < step:
            s[t] += s[t + step]
        cuda.syncthreads()
        step //= 2
    if t == 0:
        out[cuda.blockIdx.x] = s[0]


def test_barriers_are_counted_by_the_block():
    blocks, rounds = 3, 7  # 64, 32, ..., 1
    x, out = np.arange(blocks * 128, dtype=np.float32), np.zeros(blocks, np.float32)
    found = profile(block_sum)[blocks, 128](x, out)
    counted = [row.barriers for row in found.rows if row.text == "cuda.syncthreads()"]
    assert counted == [blocks, blocks * rounds]
    assert found.totals["barriers"] == blocks * (1 + rounds)
    np.testing.assert_array_equal(out, x.reshape(blocks, 128).sum(1))


def test_warps_that_skip_a_line_do_not_run_it():
    blocks = 3
    found = profile(block_sum)[blocks, 128](np.zeros(blocks * 128, np.float32), np.zeros(blocks, np.float32))
    row = found.line("s[t] += s[t + step]")
    steps = [64 >> k for k in range(7)]
    assert row.executions == blocks * sum(math.ceil(step / LANES) for step in steps)
    assert row.lanes == blocks * sum(steps)
    assert row.width == LANES * row.executions
    last = found.line("out[cuda.blockIdx.x] = s[0]")
    assert (last.executions, last.lanes, last.remarks) == (blocks, blocks, ())


def test_lanes_that_wait_in_every_round_are_remarked_on():
    @cuda.jit
    def interleaved(s):
        t = cuda.threadIdx.x
        step = 1
        while step < 64:
            if t % (2 * step) == 0:
                s[t] += s[t + step]
            cuda.syncthreads()
            step *= 2

    row = profile(interleaved)[1, 64](np.ones(64, np.float32)).line("s[t] += s[t + step]")
    lanes = [32, 16, 8, 4, 2, 1]
    assert row.lanes == sum(lanes)
    assert row.executions == 5 * 2 + 1
    assert f"{LANES * row.lanes / row.width:.3g} of 32 threads of a warp run this, the others wait" in row.remarks


def test_warp_operations_are_counted_by_kind_and_warp():
    @cuda.jit
    def warp_sum(x, out):
        value = x[cuda.grid(1)]
        for k in (16, 8, 4, 2, 1):
            value += cuda.shfl_down_sync(0xFFFFFFFF, value, k)
        if cuda.any_sync(0xFFFFFFFF, value > 0) and cuda.laneid == 0:
            out[cuda.grid(1) // 32] = value

    x, out = np.arange(96, dtype=np.float32), np.zeros(3, np.float32)
    found = profile(warp_sum)[1, 96](x, out)
    assert found.totals["warp_operations"] == {"shfl_down_sync": 3 * 5, "any_sync": 3}
    assert found.line("shfl_down_sync").warp_operations == {"shfl_down_sync": 15}
    np.testing.assert_array_equal(out, x.reshape(3, 32).sum(1))


def test_a_barrier_of_the_grid_is_one():
    @cuda.jit
    def twice(x):
        grid = cuda.cg.this_grid()
        for _ in range(2):
            x[cuda.grid(1)] += 1
            grid.sync()

    found = profile(twice)[3, 64](np.zeros(192, np.float32))
    assert found.line("grid.sync()").barriers == 2


# --- lines -----------------------------------------------------------------------------------------------------------


@cuda.jit(device=True)
def fetch(x, i):
    return x[i]


@cuda.jit
def fetching(x, y):
    i = cuda.grid(1)
    y[i] = fetch(x, i)
    y[i] += fetch(x, 32 * i)


def test_lines_of_device_functions_are_their_own():
    x, y = np.zeros(32 * 32, np.float32), np.zeros(32, np.float32)
    found = profile(fetching)[1, 32](x, y)
    row = found.line("return x[i]")
    assert row.function == "fetch"
    assert [row.function for row in found.rows] == ["fetching", "fetching", "fetch"]
    assert (row.executions, row.loads) == (2, 2)
    assert row.transactions == 4 + 32
    assert found.line("y[i] = fetch(x, i)").loads == 0


def test_calls_from_two_branches_are_two_accesses():
    @cuda.jit
    def branches(x, y):
        i = cuda.grid(1)
        if i % 2:
            y[i] = fetch(x, i)
        else:
            y[i] = fetch(x, i)

    row = profile(branches)[1, 32](*arrays(32)).line("return x[i]")
    assert (row.loads, row.lanes, row.width) == (2, 32, 64)


def test_rows_name_the_line_and_its_text():
    found = profile(copy)[1, 32](*arrays(32))
    (row,) = found.rows
    assert row.file == __file__
    assert row.line == copy.py_func.__code__.co_firstlineno + 4
    assert row.text == "y[i] = x[i]"


# --- the report ------------------------------------------------------------------------------------------------------


def test_two_runs_give_equal_profiles():
    assert transposed(transpose_tiled) == transposed(transpose_tiled)
    assert transposed(transpose_tiled) != transposed(transpose_padded)


@pytest.mark.parametrize("seed", [1, 2, 77])
def test_the_order_of_threads_changes_no_count(seed):
    x, out = np.arange(256, dtype=np.float32), np.zeros(2, np.float32)
    assert profile(block_sum, seed=seed)[2, 128](x, out) == profile(block_sum)[2, 128](x, out)


def test_the_table_marks_lines_that_cost_too_much_and_says_why():
    text = str(transposed(transpose_tiled))
    lines = text.splitlines()
    (k,) = (k for k, line in enumerate(lines) if "= tile[tx, ty]" in line)
    (fine,) = (line for line in lines if "tile[ty, tx] = a[y, x]" in line)
    assert lines[k].startswith("!")
    assert "x32.00" in lines[k]
    assert "32 passes where 1 would do" in lines[k + 1]
    assert not fine.startswith("!")
    assert lines[0] == "transpose_tiled: grid (1, 2, 1), block (32, 32, 1)"


def test_a_column_that_nothing_fills_is_left_out():
    text = str(profile(copy)[1, 32](*arrays(32)))
    assert "sectors" in text
    assert not {"passes", "atomics", "barriers"} & set(text.split())


def test_the_document_is_json_with_the_numbers_of_the_rows():
    found = transposed(transpose_naive)
    document = json.loads(json.dumps(found.document()))
    assert document["kernel"] == "transpose_naive"
    assert document["grid"] == [1, 2, 1]
    (row,) = document["rows"]
    assert row["transactions"] == document["totals"]["transactions"] == WARPS * 36
    assert row["excess"] == 36 / 8
    assert row["excess_passes"] is None


def test_a_kernel_that_touches_nothing_has_an_empty_profile():
    @cuda.jit
    def nothing():
        pass

    found = profile(nothing)[1, 32]()
    assert isinstance(found, Profile)
    assert found.rows == ()
    assert "nothing synchronised" in str(found)


def test_plain_functions_and_forms_of_a_launch_are_taken():
    def plain(x):
        s = cuda.shared.array(0, int32)
        s[cuda.threadIdx.x] = 1
        x[cuda.threadIdx.x] = s[cuda.threadIdx.x]

    x = np.zeros(32, np.int32)
    found = profile(plain)[(1,), (32,), 0, 128](x)
    assert found.totals["passes"] == 2
    assert x.all()


def test_what_is_no_launch_is_refused():
    with pytest.raises(TypeError, match="kernel"):
        profile(3)
    with pytest.raises(ValueError, match="launch configuration"):
        profile(copy)[1]
    with pytest.raises(LaunchError):
        profile(copy)[1, 2048](*arrays(32))


def test_a_barrier_that_some_threads_miss_is_reported():
    @cuda.jit
    def missing(x):
        if cuda.threadIdx.x < 7:
            cuda.syncthreads()

    with pytest.raises(DivergenceError):
        profile(missing)[1, 32](np.zeros(1))


def test_the_example_runs():
    outcome = doctest.testmod(sys.modules["kernels.simulator.profile"])
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_twins_of_instructions_are_counted_as_what_they_do():
    @cuda.jit
    def fragments(x, y):
        tile = cuda.shared.array(128, uint32)
        t = cuda.threadIdx.x
        for k in range(4):
            tile[t + 32 * k] = x[t + 32 * k]
        cuda.syncwarp()
        y[t] = ldmatrix_x1(shared_address(tile) + 16 * (t % 8))

    x = np.random.default_rng(1).integers(0, 2**32, 128, np.uint32)
    found = profile(fragments)[1, 32](x, np.zeros(32, np.uint32))
    assert found.totals["warp_operations"] == {"syncwarp": 1, "collective": 1}
    # Four of x and four words of a row; four of the tile and one of y.
    assert (found.totals["loads"], found.totals["stores"]) == (4 + 4, 4 + 1)

"""Copies that land later: ``cp.async`` and bulk copies (TMA), and the mbarriers that count them.

In the simulator a copy lands at the latest moment that hardware allows, and nothing may touch its destination before;
`kernels.simulator` reports whoever does, and whoever returns without waiting.

Source: PTX ISA, "Asynchronous copy" and "mbarrier"; compute capability 8.0 for ``cp.async``, 9.0 for the others.
"""

import functools

from numba import cuda, types

from .instructions import SIMULATED
from .ptx import ptx
from .twins import (
    BULK,
    CP_ASYNC,
    check,
    commit,
    copy_later,
    copy_to_barrier,
    pause,
    pointer,
    wait,
)
from .twins import mbarrier_arrive as arrive
from .twins import mbarrier_expect as expect
from .twins import mbarrier_init as initialize
from .twins import mbarrier_test as test

u32, u64, none = types.uint32, types.uint64, types.none


# --- cp.async ---------------------------------------------------------------------------------------------------------


def _cp_async(nbytes):
    cache = "cg" if nbytes == 16 else "ca"

    def cp_async(destination, source):
        to, at = pointer(destination), types.int64(source)
        check(to, nbytes, 1)
        check(at, nbytes, 0)
        copy_later(CP_ASYNC, to, at, nbytes)

    cp_async.__name__ = f"cp_async_{nbytes}"
    cp_async.__doc__ = f"Copy {nbytes} bytes from global to shared memory: ``cp_async_{nbytes}(destination, source)``."
    return ptx(f"cp.async.{cache}.shared.global [{{destination}}], [{{source}}], {nbytes};", none(u32, u64))(cp_async)


cp_async_4, cp_async_8, cp_async_16 = _cp_async(4), _cp_async(8), _cp_async(16)


@ptx("cp.async.cg.shared.global [{destination}], [{source}], 16, {nbytes};", none(u32, u64, u32))
def cp_async_16_zfill(destination, source, nbytes):
    """Copy up to 16 bytes to 16 bytes of shared memory, and zeros to the rest."""
    to, at, count = pointer(destination), types.int64(source), types.int64(nbytes)
    check(to, 16, 1)
    if count:
        copy_later(CP_ASYNC, to, at, count)
    if count < 16:
        copy_later(CP_ASYNC, to + count, 0, 16 - count)


@ptx("cp.async.commit_group;", none())
def cp_async_commit():
    """The copies of this thread since the last time are a group."""
    commit(CP_ASYNC)


def _wait_group(name, queue, groups):
    def wait_group():
        wait(queue, groups)

    return ptx(f"{name} {groups};", none())(wait_group)


@functools.cache
def cp_async_wait_group(groups):
    """The instruction that waits for this thread's copies but those of its `groups` newest groups."""
    return _wait_group("cp.async.wait_group", CP_ASYNC, groups)


@ptx("cp.async.wait_all;", none())
def cp_async_wait_all():
    """Wait for all copies of this thread."""
    commit(CP_ASYNC)
    wait(CP_ASYNC, 0)


# --- mbarriers --------------------------------------------------------------------------------------------------------


@ptx("mbarrier.init.shared::cta.b64 [{address}], {count};", none(u32, u32))
def mbarrier_init(address, count):
    """An mbarrier in 8 bytes of shared memory, whose phases take `count` arrivals."""
    initialize(pointer(address), count)


@ptx("mbarrier.arrive.shared::cta.b64 _, [{address}];", none(u32))
def mbarrier_arrive(address):
    """Arrive at the mbarrier of this block."""
    arrive(pointer(address), 1)


@ptx("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [{address}];", none(u32))
def mbarrier_arrive_cluster(address):
    """Arrive at an mbarrier of any block of the cluster, by its address from `clusters.mapa`."""
    arrive(pointer(address), 1)


@ptx("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [{address}], {nbytes};", none(u32, u32))
def mbarrier_expect_tx(address, nbytes):
    """The phase is complete only after so many bytes more have landed."""
    expect(pointer(address), nbytes)


@ptx("mbarrier.arrive.expect_tx.shared::cta.b64 _, [{address}], {nbytes};", none(u32, u32))
def mbarrier_arrive_expect_tx(address, nbytes):
    """Arrive, and have the phase wait for so many bytes."""
    expect(pointer(address), nbytes)
    arrive(pointer(address), 1)


@ptx(
    "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [{address}], {parity}; selp.u32 {d}, 1, 0, p; }",
    u32(u32, u32),
)
def mbarrier_try_wait(address, parity):
    """Whether the phase of that parity is complete; may wait for a while first."""
    done = test(pointer(address), parity)
    if done == 0:
        pause()
    return u32(done)


def _mbarrier_wait(address, parity):
    """Wait until the phase of that parity is complete."""
    while mbarrier_try_wait(address, parity) == 0:
        pass


mbarrier_wait = _mbarrier_wait if SIMULATED else cuda.jit(_mbarrier_wait, device=True)


@ptx("fence.mbarrier_init.release.cluster;", none())
def fence_mbarrier_init():
    """Show the cluster, and copies, what `mbarrier_init` wrote."""


@ptx("fence.proxy.async.shared::cta;", none())
def fence_proxy_async():
    """Show copies and tensor cores, which read shared memory by another path, what this thread wrote there."""


# --- bulk copies ------------------------------------------------------------------------------------------------------


@ptx(
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
    "[{destination}], [{source}], {nbytes}, [{mbarrier}];",
    none(u32, u64, u32, u32),
)
def bulk_load(destination, source, nbytes, mbarrier):
    """Copy a multiple of 16 bytes from global to shared memory, counted by an mbarrier."""
    to, at = pointer(destination), types.int64(source)
    check(to, 16, 1)
    check(at, 16, 0)
    copy_to_barrier(to, at, nbytes, pointer(mbarrier))


@ptx("cp.async.bulk.global.shared::cta.bulk_group [{destination}], [{source}], {nbytes};", none(u64, u32, u32))
def bulk_store(destination, source, nbytes):
    """Copy a multiple of 16 bytes from shared to global memory, in a group of this thread's."""
    to, at = types.int64(destination), pointer(source)
    check(to, 16, 1)
    check(at, 16, 0)
    copy_later(BULK, to, at, nbytes)


@ptx("cp.async.bulk.commit_group;", none())
def bulk_commit():
    """The bulk stores of this thread since the last time are a group."""
    commit(BULK)


@functools.cache
def bulk_wait_group(groups):
    """The instruction that waits for this thread's bulk stores but those of its `groups` newest groups."""
    return _wait_group("cp.async.bulk.wait_group", BULK, groups)


@functools.cache
def bulk_wait_group_read(groups):
    """The same, but only until what they read may be written again."""
    return _wait_group("cp.async.bulk.wait_group.read", BULK, groups)

"""Clusters: blocks that run at once and reach one another's shared memory (compute capability 9.0).

Source: PTX ISA, "barrier.cluster", "mapa"; CUDA C++ Programming Guide, "Thread Block Clusters".
"""

import functools

from llvmlite import ir
from numba import types

from .ptx import declared, ptx
from .twins import (
    cluster_arrive,
    cluster_dims,
    cluster_rank,
    cluster_test,
    pause,
    pointer,
)
from .twins import load as read
from .twins import store as write

u32, none = types.uint32, types.none


@functools.cache
def cluster(x, y=1, z=1):
    """What a kernel calls first that is to run in clusters of so many blocks: ``in_pairs = cluster(2)``."""

    def of_blocks():
        cluster_dims(x, y, z)

    def in_cluster(typingctx):
        def codegen(context, builder, signature, args):
            module = builder.module
            known = "nvvm.annotations" in module.namedmetadata
            annotations = (module.get_named_metadata if known else module.add_named_metadata)("nvvm.annotations")
            for axis, extent in zip("xyz", (x, y, z), strict=True):
                name = ir.MetaDataString(module, f"cluster_dim_{axis}")
                annotations.add(module.add_metadata([builder.function, name, ir.IntType(32)(extent)]))
            return context.get_dummy_value()

        return none(), codegen

    return declared(in_cluster, of_blocks)


@ptx("mov.u32 {d}, %cluster_ctarank;", u32(), pure=True)
def cluster_ctarank():
    """Rank of this block in its cluster."""
    return u32(cluster_rank())


@ptx("barrier.cluster.arrive.release.aligned;", none())
def cluster_barrier_arrive():
    """Arrive at the barrier of the cluster."""
    cluster_arrive()


@ptx("barrier.cluster.wait.acquire.aligned;", none())
def cluster_barrier_wait():
    """Wait until all threads of the cluster have arrived."""
    while cluster_test() == 0:
        pause()


@ptx("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;", none())
def cluster_sync():
    """Wait for all threads of the cluster."""
    cluster_barrier_arrive()
    cluster_barrier_wait()


@ptx("mapa.shared::cluster.u32 {d}, {address}, {rank};", u32(u32, u32), pure=True)
def mapa(address, rank):
    """The address, for the whole cluster, of what lies at an address of shared memory in the block of a rank."""
    return u32((address & 0xFFFFFF) | (rank + 1) << 24)


def _load(native, letter):
    def load_cluster(address):
        return read(native, pointer(address))

    load_cluster.__name__ = f"load_cluster_{letter}"
    load_cluster.__doc__ = f"A {native} of the cluster's shared memory."
    return ptx(f"ld.shared::cluster.{letter} {{d}}, [{{address}}];", native(u32))(load_cluster)


def _store(native, letter):
    def store_cluster(address, value):
        write(pointer(address), native(value))

    store_cluster.__name__, store_cluster.__doc__ = f"store_cluster_{letter}", f"Put a {native} there."
    return ptx(f"st.shared::cluster.{letter} [{{address}}], {{value}};", none(u32, native))(store_cluster)


load_cluster_u32, store_cluster_u32 = _load(u32, "u32"), _store(u32, "u32")
load_cluster_u64, store_cluster_u64 = _load(types.uint64, "u64"), _store(types.uint64, "u64")
load_cluster_f32, store_cluster_f32 = _load(types.float32, "f32"), _store(types.float32, "f32")
load_cluster_f64, store_cluster_f64 = _load(types.float64, "f64"), _store(types.float64, "f64")

"""Barriers of some of a block's threads, by number.

Source: PTX ISA, "barrier".
"""

from numba import types

from .ptx import ptx
from .twins import barrier_arrive, barrier_sync

u32, none = types.uint32, types.none


@ptx("bar.sync {number}, {threads};", none(u32, u32))
def named_barrier_sync(number, threads):
    """Arrive at barrier 0 to 15 of the block and wait until so many threads have, a multiple of 32."""
    barrier_sync(number, threads)


@ptx("bar.arrive {number}, {threads};", none(u32, u32))
def named_barrier_arrive(number, threads):
    """Arrive at a barrier of the block and go on; others wait for it."""
    barrier_arrive(number, threads)

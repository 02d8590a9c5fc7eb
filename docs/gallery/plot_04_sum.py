"""
The ladder of a sum
===================

Seven kernels that add up an array, each without what held up the one before: from an atomic for every element to
`kernels.sum`. The first rungs are those of Mark Harris's *Optimizing Parallel Reduction in CUDA*; what cards have
become since then changed the others.

The kernels are those of `kernels/reductions/ladder.py`, tested and timed as they stand here. They run on this page in
the simulator, which gives their errors at a small size. Their rates come from a card.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

from kernels.command import figures
from kernels.reductions import ladder

measured = next((found for found in figures.results() if figures.ladder(found)[0]), None)
rates, theirs = figures.ladder(measured) if measured else ({}, None)
errors = figures.ladder_errors(measured) if measured else {}

if measured:
    print(f"Rates: {measured['card']}, {measured['date']}, of float32 2^28, as `python -m kernels bench` wrote them")
else:
    print("No card has been measured yet: `python -m kernels bench --only ladder --json FILE` times the rungs.")

# %%
# What to expect
# --------------
# An element has four bytes, and there is one addition for it. A card whose memory moves 3000 GB/s, 750 elements in a
# nanosecond, could add more than 30,000 numbers in that time. Memory is the only cost, and a kernel is good when it
# keeps memory busy.
#
# How busy? A load comes back after some 600 ns. To receive 3000 bytes in each of these nanoseconds, 1.8 MB must be
# under way at any time: 14 kB for each of 132 multiprocessors, or 7 bytes for each of the 2048 threads that one can
# hold. That number decides the middle of the ladder.
#
# The other question is what the roundings add up to. Where each element goes through :math:`d` additions, a sum is off
# by at most :math:`d\, u \sum |x_i|`, with :math:`u = 2^{-24}` for float32. So errors are given in units of
# :math:`u \sum |x_i|` here, against `math.fsum`, which rounds once.

rng = np.random.default_rng(0)
x = rng.random(30_011, np.float32)
exact = math.fsum(x)


def climb(name):
    """Sum by one of the rungs; say how far off that is, and how fast it was on the card."""
    (rung,) = (each for each in ladder.RUNGS if each.name == name)
    total = np.zeros(1, np.float32)
    rung.prepare(x, total)()
    error = abs(float(total[0]) - exact) / exact * 2**24
    print(f"{x.size} elements: off by {error:.2f} u sum |x|, at most {rung.depth(x.size)}")
    assert error <= rung.depth(x.size)
    if name in errors:
        print(f"2^28 elements: off by {errors[name]:.3g} u sum |x|")
    if name in rates:
        print(f"2^28 elements: {rates[name]:.0f} GB/s")


# %%
# 1. An atomic for every element
# ------------------------------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: atomics
#
# The shortest kernel that is right. All its additions are to one cell, and the part of the L2 cache that has the cell
# makes them one after the other: it does not matter how fast memory is, or how many threads there are.

climb("atomics")

# %%
# Nor is it accurate. The additions come in the order in which threads arrive, another one each time, and every one of
# them rounds. A float32 of :math:`2^{24}` has no room for a one any more, so that a sum of numbers below one stops
# there:

total = np.full(1, 2**24, np.float32)
ladder.atomics[1, 128](np.ones(100, np.float32), total)
print(int(total[0]) - 2**24)

# %%
# 2. A tree in shared memory
# --------------------------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: shared_memory
#
# A block adds up its elements by halves, and leaves one number. The same kernel adds up what the blocks have left,
# until a single number is left: four launches for :math:`2^{28}` elements. Each addition of the tree costs two loads
# from shared memory, a store and a barrier; after the first, half of the threads have nothing to do, then three
# quarters. A cell is added to one half a block away, not to its neighbour, so that the cells of a warp lie side by
# side, each in a bank of shared memory of its own.

climb("shared memory")

# %%
# The order of additions no longer depends on time, and an element goes through 28 of them instead of :math:`2^{28}`:
# the rest of the ladder has no error that one could see at this size. Trees are accurate because they are flat.

# %%
# 3. Shuffles
# -----------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: shuffles
#
# The 32 lanes of a warp run together, and read each other's registers: five additions with no memory and no barrier.
# `warp_sum` is one of the building blocks of :doc:`/guide/blocks`. One barrier is left, between the warps' trees and
# the tree of their sums. What holds up this kernel is that a thread has four bytes and is gone: for each of them a
# block is started, an address computed, a tree climbed, some seventy instructions in all, and while they run no load
# is under way.

climb("shuffles")

# %%
# 4. Many elements a thread
# -------------------------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: strided
#
# As many blocks as the card has room for, twice over, and every thread goes through the array in steps of the whole
# grid, so that neighbouring threads still read neighbouring elements. The tree is climbed once in five hundred
# elements: `block_sum` is the last rung in one line. Now the loop counts. The compiler unrolls it four times, so that
# a thread has 16 bytes under way. That is twice what the count above asks for, if it were so all the time; but a
# thread adds all four before it asks for the next, and every element has an address of 64 bits of its own to be
# computed.

climb("grid-stride loop")

# %%
# 5. Vectors, and more of them under way
# --------------------------------------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: of_thread
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: vector_loads
#
# `load` is ``vector_load(4)``: four elements in one instruction, whose address is computed once. Four of them come
# before the first addition, so that a thread has 64 bytes under way, nine times what the count above asked for, and
# the multiprocessor need not be full. From here on memory is what holds up the kernel. The sixteen numbers are added
# as a tree as well: the chain of a thread is sixteen times shorter, and the bound of its error with it.

climb("vector loads")

# %%
# 6. One launch
# -------------
#
# .. literalinclude:: /../kernels/reductions/ladder.py
#    :pyobject: one_launch
#
# Two launches mean that the card is empty twice: while the last blocks of the first one finish, and while the second
# one has a single block. Here each block leaves its sum, draws a ticket, and the one with the last ticket knows that
# all sums are there: it adds them, in the order of the blocks, so that the bits are the same whichever block came
# last. The counter wraps around to zero for the next call. It saves some microseconds, which is nothing for
# :math:`2^{28}` elements and most of the time for :math:`2^{16}`.

climb("one launch")

# %%
# 7. kernels.sum
# --------------
# The last rung is no faster; it cannot be. What memory leaves of the arithmetic units' time is spent on accuracy:
# sixteen neighbours are added by a tree, and what is added to the running sum goes through Knuth's two-sum, which keeps
# what the addition lost. Six more operations for sixteen elements, and the error no longer depends on how many there
# are. The rest is what a library adds: any axes, any strides, dtypes, `where`, `out` (:doc:`/guide/reductions`).

climb("kernels.sum")

# %%
# The whole ladder
# ----------------

if measured:
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    figures.draw_ladder(axes, measured)

# %%
# The rates are those of arrays of 1 GiB in the card's memory: bytes read, over the median time of batches of calls,
# launches included, beside what a copy of the card reaches in the same process, read and written. The table of
# all functions is in the README, and ``python -m kernels bench --peers --only ladder`` climbs on yours.

"""Rows of the kernels that pages of the documentation show: the ladder of the sum, and a user's layer normalisation."""

import functools
import math
import time

import numpy as np
from numba import cuda

import kernels

from ..examples import layer_norm
from ..reductions.ladder import RUNGS
from .figures import LADDER
from .trials import Trial
from .workloads import Row, as_numba, by_torch, random, zeros

N = 2**28
#: Rows of a matrix of N elements that are normalised.
LENGTHS = (1024, 4096, 16384)
#: What a user's kernel may take, over ours that moves as many bytes.
MOST = 1.05


def rung(which, size):
    """The makers of a sum by one of the rungs, beside PyTorch's."""
    x, total = random((size,), low=0.0, high=1.0), zeros((1,))
    return {"kernels": lambda: which.prepare(x, total), "torch": lambda: by_torch("sum", x)}


def normalisation(rows, length):
    """The makers of the layer normalisation of a matrix, and of its softmax, which moves as many bytes."""
    x, y = random((rows, length)), zeros((rows, length))
    return {
        "kernels": lambda: layer_norm.prepared(*as_numba(x, y)),
        "kernels.softmax": lambda: functools.partial(kernels.softmax, x, axis=1, out=y),
        "torch": lambda: by_torch("nn.functional.layer_norm", x, (length,)),
    }


def rows():
    """All rows, in the order of the table."""
    make = functools.partial
    ladder = [
        Row(f"{LADDER}{each.name}, float32 2^{N.bit_length() - 1}", make(rung, each, N), 4 * N, N) for each in RUNGS
    ]
    norms = [
        Row(f"layer norm of a user's kernel, float32, rows of {n}", make(normalisation, N // n, n), 8 * N, 7 * N,
            beside="kernels.softmax", most=MOST)
        for n in LENGTHS
    ]  # fmt: skip
    return ladder + norms


def trials():
    """What is passed or failed."""
    return [Trial(f"errors of the {LADDER}float32 2^{N.bit_length() - 1} from 0 to 1", lambda: errors(N))]


def errors(size):
    """How far the rungs are from the exact sum, in units of 2**-24 times the sum of moduli.

    Returns
    -------
    found : dict
        See `kernels.command.trials.Trial`; ``errors`` by name of the rung, of which none may exceed its bound.
    """
    x, total = as_numba(random((size,), low=0.0, high=1.0), zeros((1,)))
    exact, found, wrong = exact_sum(x.copy_to_host()), {}, []
    start = time.perf_counter()
    for each in RUNGS:
        each.prepare(x, total)()
        cuda.synchronize()
        found[each.name] = abs(float(total.copy_to_host()[0]) - exact) / exact * 2.0**24
        depth = each.depth(size)
        if depth < 2**23 and found[each.name] > depth / (1 - depth * 2.0**-24):
            wrong.append(each.name)
    seconds = (time.perf_counter() - start) / len(RUNGS)
    lines = [
        f"{name}: {error:.3g} of {each.depth(size)}" for (name, error), each in zip(found.items(), RUNGS, strict=True)
    ]
    summary = f"{', '.join(wrong) or 'none'} over the bound"
    return {"seconds": seconds, "errors": found, "passed": not wrong, "summary": summary, "lines": lines}


def exact_sum(x):
    """The sum of a float32 array, by float64 sums of 256 neighbours, and `math.fsum` of these."""
    starts = np.arange(0, x.size, 256)
    return math.fsum(np.add.reduceat(x.astype(np.float64), starts) if x.size else ())

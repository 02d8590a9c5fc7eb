"""Cases drawn at random over everything at once: function, dtypes, shapes, memory layouts, scalars, out, where.

10,000 on a GPU, 300 in the simulator. A case is its seed: ``case(seed)`` draws the same again.
"""

import numpy as np
import pytest

import kernels
from kernels.command.check import error
from kernels.command.inputs import random_inputs
from kernels.device.instructions import SIMULATED
from kernels.testing import layouts

CHUNKS = 100
CASES = 3 if SIMULATED else 100
LARGEST = 300 if SIMULATED else 50_000
PAIRS = [pair for pair in kernels.REGISTRY.values() if pair.family == "elementwise"]
LOOPS = [(pair, loop) for pair in PAIRS for loop in pair.loops]


def shapes(random, number):
    """A broadcast shape and `number` shapes that broadcast to it."""
    ndim = int(random.integers(0, 4))
    whole = tuple(int(n) for n in random.integers(1, max(int(LARGEST ** (1 / max(ndim, 1))), 2), ndim))
    parts = []
    for _ in range(number):
        kept = whole[int(random.integers(0, ndim + 1)) if random.random() < 0.3 else 0 :]
        parts.append(tuple(1 if random.random() < 0.15 else n for n in kept))
    return whole, [whole, *parts[1:]] if random.random() < 0.7 else parts


def case(seed):
    """A pair, its loop, inputs in some layout, and where to write under which mask."""
    random = np.random.default_rng(seed)
    pair, loop = LOOPS[random.integers(len(LOOPS))]
    whole, parts = shapes(random, pair.nin)
    whole = np.broadcast_shapes(*parts)
    inputs = []
    for k, shape in enumerate(parts):
        flat = random_inputs(pair, loop, int(np.prod(shape)), seed + 1)[k]
        views = [view for _, view in layouts(flat.reshape(shape))]
        inputs.append(views[random.integers(len(views))])
    mask = random.random(whole) < 0.5 if random.random() < 0.3 else True
    outs = None
    if mask is not True or random.random() < 0.3:
        outs = tuple(
            views[random.integers(len(views))]
            for c in loop.split("->")[1]
            for views in [[view for _, view in layouts(np.ones(whole, c)) if view.flags.writeable]]
        )
    return pair, loop, inputs, outs, mask


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_any_call_gives_what_the_reference_gives(chunk):
    for seed in range(chunk * CASES, (chunk + 1) * CASES):
        pair, loop, inputs, outs, mask = case(seed)
        results = pair.function(*inputs, out=outs, where=mask)
        results = results if isinstance(results, tuple) else (results,)
        spread = [np.broadcast_to(x, np.broadcast_shapes(*(x.shape for x in inputs))) for x in inputs]
        for result, c, errors in zip(
            results, loop.split("->")[1], error(pair, loop, spread, tuple(map(np.asarray, results))), strict=True
        ):
            assert result.dtype == np.dtype(c), (seed, pair.name, loop)
            assert np.shape(result) == errors.shape, (seed, pair.name, loop)
            chosen = np.broadcast_to(mask, errors.shape)
            assert errors[chosen].max(initial=0) <= 1, (seed, pair.name, loop)
            assert np.all(np.asarray(result)[~chosen] == 1), (seed, pair.name, loop)

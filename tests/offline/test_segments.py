"""The kernels of reductions by operators, of segments and of runs: what the compiler makes of them."""

import operator

import numpy as np
import pytest

from kernels import inspect
from kernels.reductions import layout
from kernels.reductions.operators import Expression
from kernels.reductions.segments import public as segments
from kernels.reductions.segments import runs
from kernels.runtime.arrays import contiguous_strides
from kernels.runtime.layouts import Layout

FLOAT, DOUBLE, INT = map(np.dtype, (np.float32, np.float64, np.int32))


def lying(dtype, *shape):
    return Layout(np.dtype(dtype), shape, contiguous_strides(shape), 16, False)


def lean(kernel, signature):
    """The report of a kernel that keeps everything in registers."""
    report = inspect.compile(kernel, signature)
    assert report.spills == 0, report.name
    assert report.local == 0, report.name
    return report


def ends(a, b):
    return min(a[0], b[0]), max(a[1], b[1])


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        (Expression(lambda a, b: a + b), 1),
        (Expression(operator.add, lambda x, y: x * y), 2),
        (Expression(ends, lambda x: (x, x)), 1),
    ],
    ids=["lambda", "dot", "two states"],
)
@pytest.mark.parametrize(("shape", "axes"), [((1 << 28,), (0,)), ((1 << 22, 64), (0,)), ((1 << 22, 64), (1,))], ids=str)
def test_reductions_by_operators_stay_in_registers_and_in_float32(expression, count, shape, axes):
    fold = expression.fold((FLOAT,) * count, None, None, False, False)
    sources = (lying(FLOAT, *shape),) * count
    kept = [n for k, n in enumerate(shape) if k not in axes]
    targets = tuple(lying(d, *kept) for d in fold.outs)
    plan = layout.plan(fold, sources, targets, axes, shape, ())
    report = lean(plan.kernel, layout.signature(plan, fold, sources, targets))
    assert not report.float64
    assert report.wide_loads >= count


@pytest.mark.parametrize(("op", "dtype"), [("sum", FLOAT), ("mean", DOUBLE)])
def test_segments_stay_in_registers(op, dtype):
    fold, extras = segments.folded(segments.segmented(op), op, dtype, None, None)
    x, target, bounds = lying(dtype, 1 << 27), (lying(fold.out, 1 << 20),), lying(INT, (1 << 20) + 1)
    sequences = (
        segments.launch(fold, x, (bounds,), target, extras, 0),
        segments.launch_pairs(fold, x, (bounds, bounds), target, extras, 0),
    )
    for sequence in sequences:
        for step in sequence.steps:
            report = lean(step.kernel, tuple(step.types))
            assert dtype == DOUBLE or not report.float64


def test_runs_stay_in_registers():
    fold, extras = segments.folded(segments.segmented("sum"), "sum", FLOAT, None, None, empty=False)
    keys, values = lying(INT, 1 << 27), lying(FLOAT, 1 << 27)
    plan = runs.Plan(fold, keys, values, extras, 0)
    for sequence in (plan.counting(), plan.folding((keys, values)), plan.telling(lying(np.int64))):
        for step in sequence.steps:
            assert not lean(step.kernel, tuple(step.types)).float64

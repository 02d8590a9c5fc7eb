"""The measured errors: that the table of the documentation is theirs, and that they keep to the documented bounds."""

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest

from kernels import REGISTRY, engine
from kernels.command import accuracy, exact
from kernels.command.inputs import random_inputs
from kernels.device.instructions import SIMULATED

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"

#: Points of a measurement here: mpmath takes up to five milliseconds for one.
POINTS = 192 if SIMULATED else 512

#: Functions that are composed here of several of the device's, or computed by polynomials of ours.
COMPOSED = (
    "gelu", "gelu_tanh", "silu", "softplus", "elu", "expit", "logit", "log_expit", "ndtr", "log_ndtr", "ndtri",
    "digamma", "k0", "k1", "i0e", "i1e", "kl_div", "pseudo_huber", "boxcox", "boxcox1p",
    "exprel", "cosm1", "logaddexp", "sinc",
)  # fmt: skip

OF_COMPLEX = ("multiply", "divide", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "arcsin", "arccosh", "arctanh")

CASES = [(name, "d->d" if REGISTRY[name].nin == 1 else "dd->d") for name in COMPOSED]
CASES += [(name, "f->f" if REGISTRY[name].nin == 1 else "ff->f") for name in COMPOSED]
CASES += [(name, "D->D" if REGISTRY[name].nin == 1 else "DD->D") for name in OF_COMPLEX]

committed = pytest.mark.parametrize("found", accuracy.results(), ids=lambda found: found["card"])


def measured(name, loop, rng):
    pair = REGISTRY[name]
    inputs = accuracy.hard_inputs(pair, loop, POINTS, rng)
    results = pair.function(*inputs)
    return accuracy.measure(name, loop, inputs, results if isinstance(results, tuple) else (results,))


def test_the_documentation_shows_the_results_that_are_committed():
    between = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    assert between.strip() == accuracy.markdown()


@committed
def test_every_floating_loop_was_measured_in_the_domain_of_its_pair(found):
    measured = {(row["function"], row["loop"]): row["domain"] for row in found["rows"]}
    assert measured == {
        (name, loop): [list(interval) for interval in REGISTRY[name].domain]
        for name in accuracy.floating()
        for loop in accuracy.loops(REGISTRY[name])
    }


@committed
def test_no_measured_error_exceeds_what_is_documented(found):
    for row in found["rows"]:
        allowed = accuracy.bound(row["function"], row["loop"])
        assert float(row["max_ulp"]) <= allowed, f"{row['function']} {row['loop']} at {row['at']}"


@pytest.mark.parametrize(("name", "loop"), CASES, ids=[f"{name}-{loop}" for name, loop in CASES])
def test_a_composed_function_keeps_its_bound_on_hard_inputs(name, loop, rng):
    found = measured(name, loop, rng)["domain"]
    assert found["points"] > POINTS // 8
    assert found["max_ulp"] <= REGISTRY[name].ulps[loop[-1]], found["at"]


@pytest.mark.parametrize("loop", ["e->e", "f->f", "d->d", "F->f", "D->d"])
def test_an_error_of_eight_ulps_is_found_where_it_is(loop, rng):
    pair = REGISTRY["absolute"]
    inputs = accuracy.hard_inputs(pair, loop, POINTS, rng)
    right = pair.reference(*inputs)
    inside = np.flatnonzero(accuracy.in_domain(pair, inputs) & np.isfinite(right))
    place = rng.choice(inside)
    wrong = right.copy()
    wrong[place] += 8 * np.spacing(right[place])
    found = accuracy.measure("absolute", loop, inputs, (wrong,))
    for part in found.values():
        assert part["at"] == [str(inputs[0][place])]
        assert 7 <= part["max_ulp"] <= 17  # below a power of two the exact result has half the gap


@pytest.mark.parametrize("name", exact.FUNCTIONS)
def test_exact_values_agree_with_the_reference(name):
    """To the digits that SciPy's worst float64 results keep, which an error in an expression does not."""
    pair = REGISTRY[name]
    loop = next(loop for loop in pair.loops if loop.split("->")[1][0] == "d" and loop[0] == "d")
    inputs = random_inputs(pair, loop, 16, seed=1)
    with mpmath.workprec(exact.precision(name)), np.errstate(all="ignore"):
        values = exact.values(name, inputs, pair.nout)
        references = pair.reference(*inputs)
        for value, reference in zip(values, references if pair.nout > 1 else (references,), strict=True):
            np.testing.assert_allclose(value.astype(float), reference, rtol=1e-9, atol=1e-12)


def test_functions_with_a_bound_have_exact_values():
    bounded = {name for name in accuracy.floating() if any(REGISTRY[name].ulps.values())}
    assert bounded - set(accuracy.AS_COMPUTED) == set(exact.FUNCTIONS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128])
def test_hard_inputs_reach_from_subnormal_to_the_largest_binades(dtype, rng):
    pair = REGISTRY["sin"]
    (x,) = accuracy.hard_inputs(pair, f"{np.dtype(dtype).char}->{np.dtype(dtype).char}", 4096, rng)
    size, info = np.abs(x.real), np.finfo(dtype)
    assert np.isfinite(x).all()
    assert size.max() > math.sqrt(info.max)
    assert 0 < size[size > 0].min() < math.sqrt(info.tiny)
    assert accuracy.in_domain(pair, [x]).mean() > 0.2


def test_rows_of_all_loops_come_from_as_many_processes_as_there_are_cores():
    rows = accuracy.run(["relu", "expit"], engine(), points=dict.fromkeys("efdFD", 300))
    assert [(row["function"], row["loop"]) for row in rows] == [
        (name, loop) for name in ("relu", "expit") for loop in accuracy.loops(REGISTRY[name])
    ]
    assert len(rows) == 5
    assert not accuracy.exceeded(rows)
    assert all(0 < row["points"] <= row["anywhere"]["points"] <= 300 for row in rows)
    found = accuracy.document(rows, engine())
    assert found["rows"][0]["bound"] == 0
    assert "exact" in accuracy.tables(found)

"""Every correct kernel passes in silence, and each of its faults is reported with its cause."""

from collections import Counter

import numpy as np
import pytest

from kernels.simulator import errors, simulate
from tests.simulator.corpus import CASES

FAULTS = [pytest.param(case, fault, id=f"{case.name}: {name}") for case in CASES for name, fault in case.faults.items()]
LAUNCHES = [pytest.param(case, launch, id=f"{case.name}{launch}") for case in CASES for launch in case.launches]

every_engine = pytest.mark.parametrize("engine", ["compiled", "interpreted"])


def run(case, kernel, launch, arguments, engine, seed):
    simulate(kernel, engine=engine, checks="all", seed=seed, **case.options)[launch](*arguments)


@every_engine
@pytest.mark.parametrize(("case", "launch"), LAUNCHES)
def test_a_correct_kernel_is_right_in_any_order_and_raises_no_alarm(case, launch, engine, rng):
    for seed in (0, *map(int, rng.integers(1, 2**31, 2))):
        arguments = case.arguments(rng)
        expected = case.expected(*(np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments))
        outputs = expected if isinstance(expected, tuple) else (expected,)
        run(case, case.kernel, launch, arguments, engine, seed)
        for value, output in zip(outputs, arguments[-len(outputs) :], strict=True):
            np.testing.assert_array_equal(case.arranged(output), case.arranged(value), err_msg=f"seed {seed}")


@every_engine
@pytest.mark.parametrize(("case", "fault"), FAULTS)
def test_a_fault_is_reported_with_its_cause(case, fault, engine, rng, tmp_path):
    kernel = case.faulty(fault, tmp_path)
    report = None
    for seed in fault.seeds:
        try:
            run(case, kernel, fault.launch or case.launches[0], case.arguments(rng), engine, seed)
        except errors.SimulatorError as error:
            report = error
            break
    assert type(report).__name__ in fault.errors, report


def test_the_corpus_is_large_and_knows_every_cause():
    causes = Counter(cause for case in CASES for fault in case.faults.values() for cause in fault.errors)
    assert sum(len(case.faults) for case in CASES) >= 400
    assert set(causes) >= {
        "RaceError",
        "OutOfBoundsError",
        "UninitializedError",
        "MisalignedError",
        "DivergenceError",
        "DeadlockError",
        "LaunchError",
    }
    assert len({case.name for case in CASES}) == len(CASES)

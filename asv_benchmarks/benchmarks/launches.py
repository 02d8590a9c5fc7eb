"""Counts launches of calls and of plans: run in a process of its own, in the simulator, and prints them as JSON."""

import functools
import json
from unittest import mock

import kernels
from kernels.command.inputs import random_inputs
from kernels.runtime.launch import SimulatedLaunch

try:
    from .names import loop_of
    from .work import others, planned
except ImportError:  # run as a script
    from names import loop_of
    from work import others, planned

SIZE = 64


def counted(call):
    """Launches that `call` makes."""
    with mock.patch.object(SimulatedLaunch, "__call__", autospec=True, side_effect=SimulatedLaunch.__call__) as launch:
        call()
    return launch.call_count


def count_all(call):
    """Launches by name, of calls (`functools.partial`) or of plans (`planned`)."""
    made = {
        name: call(pair.call, *random_inputs(pair, loop_of(pair), SIZE, 0)) for name, pair in kernels.REGISTRY.items()
    }
    return {name: counted(each) for name, each in (made | others(SIZE, lambda x: x, call)).items()}


if __name__ == "__main__":
    print(json.dumps({"launches": count_all(functools.partial), "plan_launches": count_all(planned)}))  # noqa: T201  (the parent reads it)

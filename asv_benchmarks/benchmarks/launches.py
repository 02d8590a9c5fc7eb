"""Counts launches: run in a process of its own, in the simulator, and prints them as JSON."""

import json
from unittest import mock

import kernels
from kernels.command.inputs import random_inputs
from kernels.runtime.launch import SimulatedLaunch

try:
    from .names import loop_of
    from .work import others
except ImportError:  # run as a script
    from names import loop_of
    from work import others

SIZE = 64


def counted(call):
    """Launches that `call` makes."""
    with mock.patch.object(SimulatedLaunch, "__call__", autospec=True, side_effect=SimulatedLaunch.__call__) as launch:
        call()
    return launch.call_count


def count_all():
    """Launches per call, by name."""
    found = {}
    for name, pair in kernels.REGISTRY.items():
        inputs = random_inputs(pair, loop_of(pair), SIZE, 0)
        found[name] = counted(lambda pair=pair, inputs=inputs: pair.function(*inputs))
    return found | {name: counted(call) for name, call in others(SIZE, lambda x: x).items()}


if __name__ == "__main__":
    print(json.dumps(count_all()))  # noqa: T201  (the parent reads it)

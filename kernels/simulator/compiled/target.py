"""The target that kernels are compiled for: the processor, and what was made for CUDA beside it.

An overload for CUDA must not change what a function means to code for the processor in the same program. So kernels
have a target of their own, which inherits what there is for CUDA and then what the processor has.
"""

import functools

from numba.core.registry import cpu_target
from numba.core.target_extension import CPU, CUDA, dispatcher_registry, get_local_target, target_registry

#: The target's name, for ``target_override(NAME)``.
NAME = "simulated cuda"


class Simulated(CUDA, CPU):
    """The processor in place of a GPU."""


target_registry[NAME] = Simulated
dispatcher_registry[Simulated] = dispatcher_registry[CPU]


def in_kernels(function):
    """An implementation of an overload that says nothing to code which is no kernel's.

    For attributes and methods: Numba drops the template of one for good when another target than its own comes across
    it first.
    """

    @functools.wraps(function)
    def implementation(*args, **keywords):
        here = get_local_target(cpu_target.typing_context)
        return function(*args, **keywords) if issubclass(here, Simulated) else None

    return implementation

"""A correct kernel with the faults that one changed line makes of it.

The kernels are ordinary: this file and they know Numba and NumPy, and name a simulator's errors as strings only. All
numbers are small integers, or integers over a power of two, so every order of additions gives the same float: results
are compared exactly.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

RACE = "RaceError"
BOUNDS = "OutOfBoundsError"
UNWRITTEN = "UninitializedError"
MISALIGNED = "MisalignedError"
DIVERGENT = "DivergenceError"
DEADLOCK = "DeadlockError"
LAUNCH = "LaunchError"
#: A read that nothing orders after the write it needs: in one order of the threads it finds nothing, in another it
#: races.
UNORDERED = (RACE, UNWRITTEN)

#: The lanes of a full warp.
FULL = 0xFFFFFFFF


@dataclass(frozen=True)
class Fault:
    """One line replaced, or one launch, and the errors of which one is reported with one of the seeds."""

    errors: tuple
    old: str = ""
    new: str = ""
    launch: tuple | None = None
    seeds: tuple = (0,)


def line(old, new, *errors, seeds=(0,)):
    """The fault of a kernel in which `old`, found once, reads `new`."""
    return Fault(errors, old=old, new=new, seeds=seeds)


def launch(grid, block, *errors, shared=0):
    """The fault of a correct kernel that is launched like this."""
    return Fault(errors, launch=(grid, block, 0, shared))


@dataclass(frozen=True)
class Case:
    """A correct kernel, what it is given, what it then leaves in its last arguments, and its faults by name."""

    kernel: Callable
    launches: tuple
    arguments: Callable  # of a random generator
    expected: Callable  # of the arguments before the launch: the outputs, which are the last arguments
    faults: dict
    arranged: Callable = lambda output: output  # np.sort where the order of the output is free
    options: dict = field(default_factory=dict)  # of simulate

    @property
    def function(self):
        """The Python function, which Numba's dispatcher and its simulator keep under different names."""
        return getattr(self.kernel, "py_func", None) or self.kernel.fn

    @property
    def name(self):
        return self.function.__name__

    def faulty(self, fault, folder):
        """The kernel from a copy of its module in `folder` that differs in the one line."""
        if fault.launch:
            return self.kernel
        lines, first = inspect.getsourcelines(self.function)
        text = "".join(lines)
        found = text.count(fault.old)
        if found != 1:
            raise ValueError(f"{self.name} has {fault.old!r} {found} times")
        whole = Path(inspect.getsourcefile(self.function)).read_text().splitlines(keepends=True)
        whole[first - 1 : first - 1 + len(lines)] = [text.replace(fault.old, fault.new)]
        copy = Path(folder) / f"faulty_{self.name}.py"
        copy.write_text("".join(whole))
        return getattr(_imported(copy), self.name)


def integers(rng, *shape, low=-9, high=10, dtype=np.int32):
    """Small integers of a dtype, `low` included and `high` not."""
    return rng.integers(low, high, shape).astype(dtype)


def floats(rng, *shape):
    """Small integers as float32."""
    return integers(rng, *shape, dtype=np.float32)


def _imported(path):
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

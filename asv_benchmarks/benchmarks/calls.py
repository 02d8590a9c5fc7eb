"""What a call, a process's first call and an import cost on the host."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import kernels
from kernels.command import first_call
from kernels.command.timing import reported_seconds
from kernels.command.workloads import THREADS, plain_add

from .device import SMALL, place, require_gpu, small
from .names import OTHERS, PAIRS
from .work import planned

_LAUNCHES = Path(__file__).with_name("launches.py")


def launches():
    """Launches of one call, and of one call of a plan, of each function over contiguous arrays, in the simulator."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "KERNELS_ENGINE": "simulator"}
    environment["PYTHONPATH"] = str(Path(kernels.__file__).parents[1])
    run = subprocess.run([sys.executable, _LAUNCHES], env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


@functools.lru_cache(maxsize=1)
def device_arrays():
    """Three of random numbers, small enough that a call is all launch."""
    return [place(each) for each in np.random.default_rng(0).random((3, SMALL), np.float32)]


class Launches:
    version = "2"
    params = (*PAIRS, *OTHERS)
    param_names = ("function",)

    def setup_cache(self):
        return launches()

    setup_cache.timeout = 600

    def track_launches(self, counts, function):
        return counts["launches"][function]

    def track_launches_of_a_plan(self, counts, function):
        return counts["plan_launches"][function]

    track_launches.unit = track_launches_of_a_plan.unit = "launches/call"


class Import:
    def timeraw_import_kernels(self):
        return "import kernels"

    def timeraw_import_numba_cuda(self):
        return "from numba import cuda"


class FirstCall:
    """Seconds of the first call in a process, from the call to its result; asv takes no median, so this does."""

    timeout = 300
    params = ("nothing on disk", "kernel on disk", "plain Numba")
    param_names = ("kept",)

    def setup(self, kept):
        require_gpu()

    def track_first_call(self, kept):
        calls = {
            "nothing on disk": functools.partial(first_call.cold, "kernels"),
            "plain Numba": functools.partial(first_call.cold, "numba"),
        }
        return reported_seconds({kept: calls.get(kept) or first_call.warm()})[kept]

    track_first_call.unit = "s"


class PublicFunction:
    """Host time of a call on device arrays: what follows is still running when it returns."""

    params = ("add", "sin", "gelu", "axpy")
    param_names = ("function",)

    def setup(self, function):
        require_gpu()
        self.call = small(function)

    def time_call(self, function):
        self.call()


class Allocating:
    """A call that makes its result."""

    def setup(self):
        require_gpu()
        self.x = device_arrays()[0]

    def time_call(self):
        kernels.add(self.x, self.x)


class Fused:
    def setup(self):
        require_gpu()
        self.call = small("fuse")

    def time_call(self):
        self.call()


class Optimizers:
    params = ("sgd_step", "adam_step", "adamw_step")
    param_names = ("function",)

    def setup(self, function):
        require_gpu()
        self.call = small(function)

    def time_call(self, function):
        self.call()


class Plan:
    """Host time of a plan's call."""

    params = ("add", "sin", "gelu", "axpy", *OTHERS)
    param_names = ("function",)

    def setup(self, function):
        require_gpu()
        self.call = small(function, planned)

    def time_call(self, function):
        self.call()


class Launcher:
    """Host time of a launch of a kernel of one's own, by our launcher and by Numba."""

    params = ("launcher", "numba")
    param_names = ("by",)

    def setup(self, by):
        require_gpu()
        self.arrays = device_arrays()
        self.kernel = {"launcher": kernels.runtime.launcher, "numba": lambda kernel: kernel}[by](plain_add)
        self.time_launch(by)

    def time_launch(self, by):
        self.kernel[SMALL // THREADS, THREADS](*self.arrays)


class Graph:
    """Host time of a replay: of a hundred launches."""

    def setup(self):
        require_gpu()
        x, y, z = device_arrays()
        kernels.add(x, y, out=z)
        with kernels.runtime.graph() as self.graph:
            for _ in range(100):
                kernels.add(x, y, out=z)

    def time_replay(self):
        self.graph.replay()

"""What a call and an import cost on the host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kernels

from .device import require_gpu, small
from .names import OTHERS, PAIRS

_LAUNCHES = Path(__file__).with_name("launches.py")


def launches():
    """Launches of one call of each function over contiguous arrays, counted in the simulator."""
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "KERNELS_ENGINE": "simulator"}
    environment["PYTHONPATH"] = str(Path(kernels.__file__).parents[1])
    run = subprocess.run([sys.executable, _LAUNCHES], env=environment, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


class Launches:
    version = "1"
    params = (*PAIRS, *OTHERS)
    param_names = ("function",)

    def setup_cache(self):
        return launches()

    setup_cache.timeout = 600

    def track_launches(self, counts, function):
        return counts[function]

    track_launches.unit = "launches/call"


class Import:
    def timeraw_import_kernels(self):
        return "import kernels"

    def timeraw_import_numba_cuda(self):
        return "from numba import cuda"


class PublicFunction:
    """Host time of a call on device arrays: what follows is still running when it returns."""

    params = ("add", "sin", "gelu", "axpy")
    param_names = ("function",)

    def setup(self, function):
        require_gpu()
        self.call = small(function)

    def time_call(self, function):
        self.call()


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

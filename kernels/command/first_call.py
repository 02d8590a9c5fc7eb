"""The first call of a process: seconds from the call to its result, where a compiler has to run and where none has to.

Run as ``python -m kernels.command.first_call kernels`` (or ``numba``), it makes such a call and prints its seconds.
What comes before any call - imports, the CUDA context, arrays - is not in them.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

SIZE, THREADS = 2**10, 256


def main(whose):
    """Make the call, compare its result, and give its seconds."""
    import numpy as np
    from numba import cuda

    import kernels

    from .workloads import plain_add

    x, y = np.random.default_rng().standard_normal((2, SIZE), np.float32)
    arrays = [cuda.to_device(a) for a in (x, y, np.zeros_like(x))]
    cuda.synchronize()
    start = time.perf_counter()
    if whose == "kernels":
        kernels.add(arrays[0], arrays[1], out=arrays[2])
    else:
        plain_add[-(-SIZE // THREADS), THREADS](*arrays)
    cuda.synchronize()
    seconds = time.perf_counter() - start
    if not np.array_equal(arrays[2].copy_to_host(), x + y):
        raise AssertionError(f"the first call of {whose} gave a wrong sum")
    return seconds


def in_a_process(whose, folder):
    """Seconds of the first call in a process of its own that keeps what it compiles in `folder`."""
    environment = os.environ | {"KERNELS_CACHE_DIR": str(folder), "KERNELS_ENGINE": "cuda", "NUMBA_ENABLE_CUDASIM": "0"}
    environment.pop("KERNELS_CACHE_SIZE", None)
    paths = [str(Path(__file__).parents[2]), environment.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    words = [sys.executable, "-W", "ignore", "-m", __name__, whose]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if run.returncode:
        raise RuntimeError(f"the process of a first call failed: {' '.join(run.stderr.split())[-200:]}")
    return float(run.stdout)


def cold(whose):
    """Seconds of a first call where nothing is kept."""
    with tempfile.TemporaryDirectory() as folder:
        return in_a_process(whose, folder)


def warm():
    """A call that gives the seconds of ours where a process before it kept the kernel."""
    folder = tempfile.mkdtemp()
    call = functools.partial(in_a_process, "kernels", folder)
    weakref.finalize(call, shutil.rmtree, folder, ignore_errors=True)
    call()
    return call


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1])}\n")

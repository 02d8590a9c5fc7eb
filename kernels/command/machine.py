"""What this machine can compute on, asked of the driver and the toolkit themselves.

Nothing here imports Numba: what is found decides how Numba is to be imported.
"""

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path

#: What the compiler is made of, and for which part of the way from Python to machine code.
TOOLKIT = {"nvvm": "LLVM IR to PTX", "nvJitLink": "PTX to machine code", "nvrtc": "CUDA C++ in kernels"}

PACKAGES = (
    "numpy", "scipy", "numba", "numba-cuda", "cuda-bindings", "cuda-core", "cuda-pathfinder", "torch", "cupy",
    "jax",
)  # fmt: skip

SIMULATOR = "NUMBA_ENABLE_CUDASIM"


def driver():
    """What the NVIDIA driver says of itself and its cards.

    Returns
    -------
    found : dict
        ``version`` of the driver, ``cuda`` (the newest CUDA it runs, as (major, minor)), ``cards`` (list of
        dict) and ``problem``, empty where the driver runs kernels.
    """
    found = {"version": _version_of_module(), "cuda": None, "cards": [], "problem": ""}
    try:
        from cuda.bindings import driver as api

        (status,) = api.cuInit(0)
        if status != api.CUresult.CUDA_SUCCESS:
            return found | {"problem": f"the driver does not start: {status.name}"}
        _, version = api.cuDriverGetVersion()
        found["cuda"] = (version // 1000, version % 1000 // 10)
        _, count = api.cuDeviceGetCount()
        found["cards"] = [_card(api, k) for k in range(count)]
    except Exception as error:  # a missing library raises what its loader pleases
        return found | {"problem": _reason(error)}
    return found if found["cards"] else found | {"problem": "the driver finds no GPU"}


def _reason(error):
    text = " ".join(str(error).split())
    if "driver library" in text or "dlopen" in text:
        return "there is no NVIDIA driver: its library, libcuda, is not found"
    return text or type(error).__name__


def _version_of_module():
    """The driver's own number, which CUDA does not tell: 580.65.06."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", text)
    return found and found[0]


def _card(api, index):
    attribute = api.CUdevice_attribute

    def ask(name):
        return api.cuDeviceGetAttribute(getattr(attribute, f"CU_DEVICE_ATTRIBUTE_{name}"), device)[1]

    _, device = api.cuDeviceGet(index)
    _, name = api.cuDeviceGetName(96, device)
    _, memory = api.cuDeviceTotalMem(device)
    return {
        "index": index,
        "name": name.split(b"\0")[0].decode(),
        "memory": int(memory),
        "compute_capability": [ask("COMPUTE_CAPABILITY_MAJOR"), ask("COMPUTE_CAPABILITY_MINOR")],
        "multiprocessors": ask("MULTIPROCESSOR_COUNT"),
        "l2_cache": ask("L2_CACHE_SIZE"),
    }


def toolkit():
    """Where each piece of the compiler is, or why it is not found.

    Returns
    -------
    pieces : dict of str to dict
        ``path`` (None where it is missing), ``problem`` and ``use``.
    """
    return {name: {"use": use} | _library(name) for name, use in TOOLKIT.items()}


def _library(name):
    try:
        from cuda import pathfinder

        return {"path": pathfinder.load_nvidia_dynamic_lib(name).abs_path, "problem": ""}
    except Exception as error:  # a missing library raises what its loader pleases
        return {
            "path": None,
            "problem": str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
        }


def toolkit_version():
    """CUDA version of the compiler, as (major, minor); None where there is none."""
    try:
        from cuda.bindings import nvrtc

        status, major, minor = nvrtc.nvrtcVersion()
    except Exception:  # a missing library raises what its loader pleases
        return None
    return (major, minor) if status == nvrtc.nvrtcResult.NVRTC_SUCCESS else None


def versions():
    """Version of Python, of this project and of what it computes with; None for what is not installed."""
    return {"python": platform.python_version(), "numba-kernels": _own_version()} | {
        name: _installed(name) for name in PACKAGES
    }


def _own_version():
    from .. import __version__

    return __version__


def _installed(name):
    """CuPy's distributions carry the CUDA version in their names."""
    for distribution in (name, f"{name}-cuda13x", f"{name}-cuda12x") if name == "cupy" else (name,):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            pass
    return None


def missing(driver, toolkit, compiler):
    """What keeps this machine from computing on a GPU, each with its next step.

    Parameters
    ----------
    driver, toolkit, compiler
        As `driver`, `toolkit` and `toolkit_version` return them.

    Returns
    -------
    steps : list of (str, str)
        What is missing, what to do.
    """
    steps = []
    if driver["problem"]:
        steps.append((driver["problem"], _driver_step(driver)))
    absent = [name for name, piece in toolkit.items() if piece["path"] is None]
    major = 13 if driver["cuda"] is None else min(max(driver["cuda"][0], 12), 13)
    if absent:
        steps.append((f"not found: {', '.join(absent)}", f'pip install "numba-kernels[cu{major}]"'))
    if compiler and driver["cuda"] and compiler[0] > driver["cuda"][0]:
        steps.append(
            (
                f"the compiler is of CUDA {compiler[0]}, the driver runs at most {driver['cuda'][0]}",
                f'update the driver, or pip install "numba-kernels[cu{major}]" in a fresh environment',
            )
        )
    for card in driver["cards"]:
        if compiler and compiler[0] >= 13 and card["compute_capability"] < [7, 5]:
            steps.append(
                (
                    f"CUDA {compiler[0]} does not compile for {card['name']}",
                    'pip install "numba-kernels[cu12]" in a fresh environment',
                )
            )
    return steps


def _driver_step(driver):
    test = f"test with {SIMULATOR}=1 meanwhile"
    if driver["version"] is None and driver["cuda"] is None:
        return f"install the NVIDIA driver (https://www.nvidia.com/drivers); {test}"
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return f"unset CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r}; {test}"
    return f"see what nvidia-smi says of the cards; {test}"


def usable():
    """Why this machine cannot compute on a GPU; an empty string where it can."""
    steps = missing(driver(), toolkit(), toolkit_version())
    return "; ".join(f"{what} ({step})" for what, step in steps)


def prepare(engine, *, simulate):
    """Choose the engine before Numba is imported, which decides about its simulator then.

    ``python -m kernels`` has imported Numba by the time it reads its arguments, so where the choice differs
    from the environment's the process starts itself again.

    Parameters
    ----------
    engine : {"cuda", "simulator", "reference"} or None
        What the user asked for; None respects ``KERNELS_ENGINE`` and ``NUMBA_ENABLE_CUDASIM``.
    simulate : bool
        Without a choice and without a GPU: the simulator, rather than the references.
    """
    chosen = engine or os.environ.get("KERNELS_ENGINE")
    if chosen == "reference" or (chosen is None and SIMULATOR in os.environ):
        return
    simulated = os.environ.get(SIMULATOR, "0") not in ("0", "")
    needed = chosen == "simulator" if chosen else simulate and bool(usable())
    if needed == simulated:
        return
    environment = os.environ | {SIMULATOR: str(int(needed))}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

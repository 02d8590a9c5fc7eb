"""Where kernels run: on a GPU ("cuda"), in Numba's simulator ("simulator"), or not at all ("reference").

Nothing here is asked before the first call: importing touches no driver.
"""

import os
import sys
import threading
import warnings

from numba import cuda

from ..device.instructions import SIMULATED

ENGINES = ("cuda", "simulator", "reference")
VARIABLE = "KERNELS_ENGINE"


class EngineError(RuntimeError):
    """The engine that was asked for cannot run here."""


class ReferenceWarning(UserWarning):
    """There is no GPU and no simulator: NumPy references compute the results."""


#: Why calls that were made before must not go the quick way again: another engine, or a graph that records them.
detours = set()

_thread = threading.local()


def recorder():
    """The `kernels.runtime.graph` that this thread records, or None."""
    return getattr(_thread, "graph", None) if detours else None


def record(graph):
    """Have this thread's calls recorded by `graph` from now on; None ends it."""
    detours.discard(recorder())
    _thread.graph = graph
    if graph is not None:
        detours.add(graph)


#: The name given to `use`; None where the environment decides.
chosen = None
_gpu_problem = None
_warned = False


def gpu_problem():
    """Why this process cannot compute on a GPU; an empty string where it can."""
    global _gpu_problem
    if _gpu_problem is None:
        _gpu_problem = _find_gpu_problem()
    return _gpu_problem


def _find_gpu_problem():
    if SIMULATED:
        return "NUMBA_ENABLE_CUDASIM=1 turned Numba's simulator on when Numba was imported"
    try:
        if len(cuda.gpus) == 0:
            return "the driver finds no GPU"
        cuda.current_context()
    except Exception as error:  # whatever the driver or its loading says, in its words
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _check(name):
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {name!r}")
    if name == "cuda" and gpu_problem():
        raise EngineError(f'engine "cuda" cannot run here: {gpu_problem()}')
    if name == "simulator" and not SIMULATED:
        raise EngineError('engine "simulator" needs NUMBA_ENABLE_CUDASIM=1 in the environment before Numba is imported')
    return name


def _choose(name):
    global chosen
    chosen = name
    detours.discard("engine")
    if name not in (None, "cuda"):
        detours.add("engine")


class use:
    """Choose the engine that runs kernels from now on.

    Parameters
    ----------
    engine : {"cuda", "simulator", "reference"} or None
        None leaves the choice to the environment: variable ``KERNELS_ENGINE`` if set, else a GPU if there is
        one, else the simulator if ``NUMBA_ENABLE_CUDASIM=1``, else the NumPy references.

    Raises
    ------
    ValueError
        For another name.
    EngineError
        When the engine cannot run here; the message says why.

    Notes
    -----
    As a context manager it gives the former choice back at the end of the block. The choice holds for the whole
    process.

    Examples
    --------
    >>> import kernels
    >>> with kernels.use("reference"):
    ...     kernels.engine()
    'reference'
    """

    def __init__(self, engine=None):
        self._former = chosen
        _choose(None if engine is None else _check(engine))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        _choose(self._former)


def _outside():
    """Stack level, as `warnings.warn` counts in `engine`, of the first frame that is not this package's."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    return level


def engine():
    """Name of the engine that the next call runs on: "cuda", "simulator" or "reference".

    Raises
    ------
    EngineError, ValueError
        When ``KERNELS_ENGINE`` names an engine that cannot run here, or none at all.

    Examples
    --------
    >>> import kernels
    >>> kernels.engine() in ("cuda", "simulator", "reference")
    True
    """
    global _warned
    if chosen is not None:
        return chosen
    wanted = os.environ.get(VARIABLE)
    if wanted:
        try:
            return _check(wanted)
        except (EngineError, ValueError) as error:
            raise type(error)(f"environment variable {VARIABLE}: {error}") from None
    if SIMULATED:
        return "simulator"
    if not gpu_problem():
        return "cuda"
    if not _warned:
        _warned = True
        warnings.warn(
            f"no GPU, so NumPy references compute the results ({gpu_problem()}). "
            "`python -m kernels info` says what to do; kernels.use('reference') silences this.",
            ReferenceWarning,
            stacklevel=_outside(),
        )
    return "reference"

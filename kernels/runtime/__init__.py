"""What surrounds a launch, on the host: arrays in and out, devices, streams, engines, launches."""

from .arrays import DeviceMismatchError
from .engines import EngineError, ReferenceWarning, engine, gpu_problem, use
from .graphs import graph
from .launchers import launcher

__all__ = [
    "DeviceMismatchError",
    "EngineError",
    "ReferenceWarning",
    "engine",
    "gpu_problem",
    "graph",
    "launcher",
    "use",
]

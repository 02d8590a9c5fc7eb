"""An array-API namespace: NumPy's own, with the standard's elementwise functions computed by `kernels`.

The peers' conformance suite takes it as the module under test (README.md beside this file says how).
"""

import json
from pathlib import Path

import numpy as np

import kernels

_KNOWN = json.loads(Path(__file__).with_name("known.json").read_text())

#: The standard's elementwise functions, and where they come from.
ELEMENTWISE = {name: getattr(kernels, name) for name in _KNOWN["functions"]}


def __getattr__(name):
    if name in ELEMENTWISE:
        return ELEMENTWISE[name]
    if name.startswith("__") and not name.startswith("__array_"):  # a module's own names, such as __path__
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(np, name)

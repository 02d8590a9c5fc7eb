"""An array-API namespace: NumPy's own, with every elementwise function that `kernels` has in its place.

The peers' conformance suite takes it as the module under test; README.md beside this file says how.
"""

import numpy as np

import kernels

OURS = frozenset(kernels.elementwise.__all__)


def __getattr__(name):
    if name.startswith("__") and not name.startswith("__array_"):
        # NumPy's __path__ and the like describe NumPy, not this module.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(kernels if name in OURS else np, name)

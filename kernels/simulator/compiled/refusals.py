"""Why a kernel does not compile: a fault of the kernel, which every CUDA target reports, or a gap of this engine."""

import re

from numba.core import errors

#: What Numba says of names that it does not know: numba-cuda, or the kernel run as Python, may know them.
_UNKNOWN = (
    "Untyped global name",
    "Untyped freevar",
    "cannot determine Numba type",
    "Cannot determine Numba type",
    "of type namespace(",
    "of type Module(",
    "NRT required",
)

#: What it says of names that mean something on the host only.
_NOT_ON_DEVICE = re.compile("using cpu function on device|<class '[^']*UFunc")


def by_any_target(error):
    """Whether an error of the compiler is one of every CUDA target: of types, in a kernel whose names are known."""
    text = str(error)
    if not isinstance(error, errors.TypingError):
        return isinstance(error, errors.LoweringError) and "returns None from implementation" in text
    return bool(_NOT_ON_DEVICE.search(text)) or not any(words in text for words in _UNKNOWN)


def reason(error):
    """The line of an error of the compiler that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("Failed in nopython mode")), lines[0] if lines else "")

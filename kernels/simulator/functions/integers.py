"""What the `cuda` module computes on integers and floats: popc, clz, ffs, brev, selp, fma, cbrt.

Signatures: numba-cuda's ``cudadecl.py``.
"""

import numpy as np
from numba.core import types
from numba.core.typing.templates import signature

from .bits import external, fma, leading_zeros, population_count, reverse_bits, trailing_zeros
from .declare import ScalarFunction, case

_SAME = [f"{t}({t})" for t in "bhilBHIL"]
_SELECTED = [case(f"{t}({t})").return_type for t in "dfhHiIlL"]

_cbrt = external("cbrt", types.float64, types.float64)


def popc(x):
    """Number of bits set."""
    return population_count(x)


def clz(x):
    """Number of zero bits above the highest bit set; the width of the type for 0."""
    return leading_zeros(x)


def ffs(x):
    """Place of the lowest bit set, from 1; 0 for 0."""
    return 0 if x == 0 else np.int64(trailing_zeros(x)) + 1


def brev(x):
    """The bits in reverse order."""
    return reverse_bits(x)


def selp(test, a, b):
    """`a` where `test` holds, else `b`."""
    return a if test else b


def select(test, a, b):
    """Type `selp`: both values of one type, which is also the result's."""
    return signature(a, test, a, a) if a == b and a in _SELECTED else None


def fused(x, y, z):
    """x * y + z, rounded once."""
    return fma(x, y, z)


def cbrt(x):
    """Cube root, real and of the sign of `x`."""
    return _cbrt(np.float64(x))


#: The names of `numba.cuda` for the functions here.
CUDA = {
    name: ScalarFunction("cuda", name, body, cases)
    for name, body, cases in (
        ("popc", popc, _SAME),
        ("clz", clz, _SAME),
        ("ffs", ffs, [f"I({t})" for t in "bhilBHIL"]),
        ("brev", brev, ["I(I)", "L(L)"]),
        ("selp", selp, select),
        ("fma", fused, ["f(fff)", "d(ddd)"]),
        ("cbrt", cbrt, ["f(f)", "d(d)"]),
    )
}

"""Roots, exponentials and logarithms."""

import numpy as np
from scipy import special

from .public import from_ufunc

POSITIVE = ((0.01, 100.0),)


def larger_magnitude(x1, x2):
    """What the error of a logarithm of a sum is measured against: it may be 0 where its terms are not."""
    return np.maximum(np.abs(x1), np.abs(x2)) + 1


sqrt = from_ufunc(np.sqrt, "Square root.", "y = x^(1/2), correctly rounded.", ulps=(0.5, 0.5, 4), domain=POSITIVE)
cbrt = from_ufunc(np.cbrt, "Cube root.", "y = x^(1/3), of negative numbers too.", ulps=(1.5, 1.5))
exp = from_ufunc(np.exp, "Exponential.", "y = e^x.", ulps=(2.5, 1.5, 4))
exp2 = from_ufunc(np.exp2, "Power of two.", "y = 2^x.", ulps=(2.5, 1.5, 4))
expm1 = from_ufunc(np.expm1, "Exponential less one.", "y = e^x - 1, accurate near x = 0.", ulps=(2.5, 1.5, 9.1))
exp10 = from_ufunc(special.exp10, "Power of ten.", "y = 10^x.", ulps=(2.5, 1.5))
log = from_ufunc(np.log, "Natural logarithm.", "y = ln x.", ulps=(1.5, 1.5, 4), domain=POSITIVE)
log2 = from_ufunc(np.log2, "Logarithm to base 2.", "y = log2 x.", ulps=(1.5, 1.5, 4), domain=POSITIVE)
log10 = from_ufunc(np.log10, "Logarithm to base 10.", "y = log10 x.", ulps=(2.5, 1.5, 4), domain=POSITIVE)
log1p = from_ufunc(
    np.log1p,
    "Logarithm of one plus.",
    "y = ln(1 + x), accurate near x = 0.",
    ulps=(1.5, 1.5, 4),
    domain=((-0.9, 100.0),),
)
logaddexp = from_ufunc(
    np.logaddexp,
    "Logarithm of a sum of exponentials.",
    "y = ln(e^x1 + e^x2), without overflow.",
    ulps=(4, 4),
    flops=5,
    magnitude=larger_magnitude,
)
logaddexp2 = from_ufunc(
    np.logaddexp2,
    "Logarithm to base 2 of a sum of powers of two.",
    "y = log2(2^x1 + 2^x2), without overflow.",
    ulps=(4, 4),
    flops=6,
    magnitude=larger_magnitude,
)

"""Rounding, and floating-point numbers taken apart."""

import numpy as np

from .public import from_ufunc

NUMBERS = ((-0.5, 0.5, 1.5, -2.7),)

rint = from_ufunc(np.rint, "Nearest integer, halves to even.", "y = the integer nearest to x.", example=NUMBERS)
floor = from_ufunc(np.floor, "Largest integer not above.", "y = max {n : n <= x}.", example=NUMBERS)
ceil = from_ufunc(np.ceil, "Smallest integer not below.", "y = min {n : n >= x}.", example=NUMBERS)
trunc = from_ufunc(np.trunc, "Integer part.", "y = x rounded towards zero.", example=NUMBERS)
isnan = from_ufunc(np.isnan, "Whether a number is NaN.", "A complex x: either part.", example=NUMBERS)
isinf = from_ufunc(np.isinf, "Whether a number is infinite.", "A complex x: either part.", example=NUMBERS)
isfinite = from_ufunc(np.isfinite, "Whether a number is finite.", "A complex x: both parts.", example=NUMBERS)
signbit = from_ufunc(np.signbit, "Whether the sign bit is set.", "True of -0.0 too.", example=NUMBERS)
copysign = from_ufunc(np.copysign, "Magnitude of one number, sign of another.", "y = abs(x1) with the sign bit of x2.")
nextafter = from_ufunc(np.nextafter, "Next floating-point number.", "The neighbour of x1 on the side of x2.")
spacing = from_ufunc(
    np.spacing, "Distance to the next floating-point number.", "The next number away from zero, less x."
)
frexp = from_ufunc(
    np.frexp,
    "Mantissa and exponent.",
    "x = y1 2^y2 with 1/2 <= abs(y1) < 1; y2 = 0 where x is 0, infinite or NaN.",
    flops=3,
)
ldexp = from_ufunc(
    np.ldexp,
    "Product with a power of two.",
    "y = x1 2^x2, rounded once.",
    ulps=(0.5, 0.5),
    example=((0.5, 0.75), (3, -1)),
)
modf = from_ufunc(np.modf, "Fractional and whole part.", "x = y1 + y2, both with the sign of x.", flops=2)
heaviside = from_ufunc(np.heaviside, "Heaviside's step.", "0 for x1 < 0, x2 at x1 = 0, 1 for x1 > 0; NaN stays.")

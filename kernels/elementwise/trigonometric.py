"""Trigonometric and hyperbolic functions; angles are radians."""

import numpy as np

from .public import from_ufunc

UNIT = ((-0.99, 0.99),)

sin = from_ufunc(np.sin, "Sine.", "y = sin x; x in radians.", ulps=(2.5, 2.5, 4))
cos = from_ufunc(np.cos, "Cosine.", "y = cos x; x in radians.", ulps=(2.5, 2.5, 4))
tan = from_ufunc(np.tan, "Tangent.", "y = tan x; x in radians.", ulps=(4.5, 2.5, 5))
arcsin = from_ufunc(np.arcsin, "Inverse sine.", "y in [-pi/2, pi/2] with sin y = x.", ulps=(4.5, 2.5, 5), domain=UNIT)
arccos = from_ufunc(np.arccos, "Inverse cosine.", "y in [0, pi] with cos y = x.", ulps=(4.5, 2.5, 5), domain=UNIT)
arctan = from_ufunc(np.arctan, "Inverse tangent.", "y in [-pi/2, pi/2] with tan y = x.", ulps=(2.5, 2.5, 4))
arctan2 = from_ufunc(
    np.arctan2,
    "Angle of the point (x2, x1).",
    "y in [-pi, pi], the angle from the positive x2-axis.",
    ulps=(3.5, 2.5),
)
hypot = from_ufunc(
    np.hypot, "Length of a hypotenuse.", "y = (x1^2 + x2^2)^(1/2), without overflow.", ulps=(3.5, 2.5), flops=4
)
sinh = from_ufunc(np.sinh, "Hyperbolic sine.", "y = (e^x - e^-x) / 2.", ulps=(3.5, 2.5, 4))
cosh = from_ufunc(np.cosh, "Hyperbolic cosine.", "y = (e^x + e^-x) / 2.", ulps=(2.5, 1.5, 4))
tanh = from_ufunc(np.tanh, "Hyperbolic tangent.", "y = sinh x / cosh x.", ulps=(2.5, 1.5, 5))
arcsinh = from_ufunc(np.arcsinh, "Inverse hyperbolic sine.", "sinh y = x.", ulps=(3.5, 3.5, 4))
arccosh = from_ufunc(
    np.arccosh,
    "Inverse hyperbolic cosine.",
    "y >= 0 with cosh y = x.",
    ulps=(4.5, 3.5, 4),
    domain=((1.01, 100.0),),
    example=((1.0, 2.0),),
)
arctanh = from_ufunc(np.arctanh, "Inverse hyperbolic tangent.", "tanh y = x.", ulps=(3.5, 2.5, 4), domain=UNIT)
degrees = from_ufunc(np.degrees, "Radians as degrees.", "y = 180 x / pi.", ulps=(1.5, 1.5))
rad2deg = from_ufunc(np.rad2deg, "Radians as degrees.", "y = 180 x / pi.", ulps=(1.5, 1.5))
radians = from_ufunc(np.radians, "Degrees as radians.", "y = pi x / 180.", ulps=(1.5, 1.5))
deg2rad = from_ufunc(np.deg2rad, "Degrees as radians.", "y = pi x / 180.", ulps=(1.5, 1.5))
acos, asin, atan, atan2 = arccos, arcsin, arctan, arctan2
acosh, asinh, atanh = arccosh, arcsinh, arctanh

"""Maps that NumPy offers as functions rather than ufuncs, and those that level-1 BLAS and graphics offer."""

import numpy as np

from ..device.numeric import like
from ..device.primitives import fused_multiply_add, make_complex, reciprocal_square_root
from ..device.special import sinc as cardinal_sine
from .public import COMPLEX, FLOATS, INTEGERS, elementwise

NUMBERS = INTEGERS + FLOATS + COMPLEX
REALS = INTEGERS + FLOATS
INNER = (-10, 10)
NUMPY = "NumPy, https://numpy.org/doc/stable/reference/generated/numpy.{}.html"
TO_REAL = {"F": "f", "D": "d"}
TO_BOOL = dict.fromkeys(FLOATS, "?")


@elementwise(
    "?" + NUMBERS,
    np.where,
    "y = x where condition, else y.",
    source=NUMPY.format("where"),
    fixed={"condition": "?"},
    domain=((0, 2), INNER, INNER),
    example=((True, False), (1, 2), (3, 4)),
)
def where(condition, x, y):
    """Choice between two by a third."""
    return x if condition else y


def sum_of_magnitudes(a, x, y):
    """What the error of a x + y is measured against."""
    return np.abs(a) * np.abs(x) + np.abs(y)


@elementwise(
    NUMBERS,
    lambda a, x, y: a * x + y,
    "y = a x + y, with one rounding or two.",
    flops=2,
    ulps=(1.5, 1.5, 4),
    source="Lawson et al. 1979, https://doi.org/10.1145/355841.355847",
    magnitude=sum_of_magnitudes,
)
def axpy(a, x, y):
    """A number times a vector plus a vector."""
    return a * x + y


def fma_reference(x, y, z):
    """Products of float16 and float32 are exact in float64; those of float64 in the 64 bits of a longdouble nearly."""
    if x.dtype != np.float64:
        return (x.astype(np.float64) * y + z).astype(x.dtype)
    wide = np.longdouble
    return (wide(x) * wide(y) + wide(z)).astype(x.dtype)


@elementwise(
    FLOATS,
    fma_reference,
    "x y + z, rounded once.",
    flops=2,
    ulps=(0.51, 0.51),
    source="IEEE 754-2019, 5.4.1",
    magnitude=sum_of_magnitudes,
)
def fma(x, y, z):
    """Fused multiply-add."""
    return fused_multiply_add(x, y, z)


def lerp_reference(x, y, weight):
    """From the nearer end."""
    return np.where(np.abs(weight) < 0.5, x + weight * (y - x), y - (y - x) * (1 - weight))


def lerp_magnitude(x, y, weight):
    """What the error of x + weight (y - x) is measured against."""
    return np.abs(x) + (1 + np.abs(weight)) * (np.abs(x) + np.abs(y))


@elementwise(
    FLOATS + COMPLEX,
    lerp_reference,
    "x + weight (y - x), from the nearer end, so that weights 0 and 1 give x and y exactly.",
    flops=3,
    source="PyTorch, https://pytorch.org/docs/stable/generated/torch.lerp.html",
    domain=(INNER, INNER, (0, 1)),
    ulps=(3, 3, 8),
    magnitude=lerp_magnitude,
    example=((0.0, 1.0), (10.0, 11.0), 0.25),
)
def lerp(x, y, weight):
    """Linear interpolation."""
    if np.absolute(weight) < 0.5:
        return x + weight * (y - x)
    return y - (y - x) * (1 - weight)


def lowest(dtype):
    """What no number of `dtype` is below."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def highest(dtype):
    """What no number of `dtype` is above."""
    return np.iinfo(dtype).max if dtype.kind in "iu" else np.inf


@elementwise(
    NUMBERS,
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "The larger of x and min, and the smaller of that and max; None leaves that side open.",
    source=NUMPY.format("clip"),
    flops=2,
    domain=(INNER, (-5, 0), (0, 5)),
    example=((-3, 0, 3), -1, 1),
    fill={"min": lowest, "max": highest},
)
def clip(x, min=None, max=None):
    """Numbers held within bounds."""
    return np.minimum(np.maximum(x, min), max)


def largest(dtype):
    """The largest finite number."""
    return np.finfo(dtype).max if dtype.kind in "fc" else np.iinfo(dtype).max


def smallest(dtype):
    """The most negative finite number."""
    return np.finfo(dtype).min if dtype.kind in "fc" else np.iinfo(dtype).min


def _finite(x, nan, posinf, neginf):
    """Arrays of replacements, where NumPy's function takes one of each."""
    return np.where(np.isnan(x), nan, np.where(x == np.inf, posinf, np.where(x == -np.inf, neginf, x)))


def nan_to_num_reference(x, nan, posinf, neginf):
    """Part by part."""
    if x.dtype.kind != "c":
        return _finite(x, nan, posinf, neginf)
    replacements = nan.real, posinf.real, neginf.real
    result = np.empty(np.broadcast(x, nan, posinf, neginf).shape, x.dtype)
    result.real, result.imag = _finite(x.real, *replacements), _finite(x.imag, *replacements)
    return result


def _nan_to_num_complex(z, nan, posinf, neginf):
    return make_complex(
        nan_to_num(z.real, nan.real, posinf.real, neginf.real),
        nan_to_num(z.imag, nan.real, posinf.real, neginf.real),
    )


@elementwise(
    NUMBERS,
    nan_to_num_reference,
    "NaN becomes `nan`, infinities the largest finite numbers or what is given.",
    source=NUMPY.format("nan_to_num"),
    domain=(INNER,) * 4,
    example=((1.0, np.nan), 0.0, 9.0, -9.0),
    fill={"posinf": largest, "neginf": smallest},
    of_complex=_nan_to_num_complex,
)
def nan_to_num(x, nan=0, posinf=None, neginf=None):
    """Finite numbers for those that are not."""
    if np.isnan(x):
        return nan
    if np.isinf(x):
        return posinf if x > 0 else neginf
    return x


def round_reference(x, decimals):
    """NumPy rounds to one number of decimals at a time."""
    result = np.empty(np.broadcast(x, decimals).shape, x.dtype)
    x, decimals = np.broadcast_arrays(x, decimals)
    for d in np.unique(decimals):
        np.copyto(result, np.round(x, int(d)), where=decimals == d)
    return result


#: 10 to this power is beyond all that a float64 can hold, and so are more decimals than these.
MOST_DECIMALS = 324


def _round_integer(x, decimals):
    if decimals >= 0:
        return x
    if decimals < -20:
        return x * 0
    scale = x * 0 + 1
    for _ in range(int(-decimals)):
        wider = scale * 10
        if np.floor_divide(wider, 10) != scale:
            return x * 0  # a multiple of what the dtype cannot hold
        scale = wider
    below = np.floor_divide(x, scale)
    rest = x - below * scale
    if rest > scale - rest or (rest == scale - rest and np.remainder(below, 2) == 1):
        below = below + 1
    return below * scale


def _round_complex(z, decimals):
    return make_complex(round(z.real, decimals), round(z.imag, decimals))


@elementwise(
    NUMBERS,
    round_reference,
    "y = rint(x 10^decimals) / 10^decimals, halves to even before the division.",
    source=NUMPY.format("round"),
    flops=3,
    ulps=(1.5, 1.5, 3),
    domain=(INNER, (0, 3)),
    example=((1.25, 2.567, -0.5), 1),
    fixed={"decimals": np.dtype(np.int64).char},
    of_integers=_round_integer,
    of_complex=_round_complex,
)
def round(x, decimals=0):
    """Nearest number with so many decimals."""
    scale = like(1.0, x)
    many = np.absolute(decimals)
    for _ in range(int(many if many < MOST_DECIMALS else many * 0 + MOST_DECIMALS)):
        scale = scale * 10
    return np.rint(x * scale) / scale if decimals >= 0 else np.rint(x / scale) * scale


around = round


@elementwise(REALS, np.fix, "y = x rounded towards zero.", source=NUMPY.format("fix"), example=((-2.7, 2.7),))
def fix(x):
    """Integer part."""
    return np.trunc(x)


def _sinc_reference(x):
    return np.sinc(x.astype(np.float64)).astype(x.dtype)


@elementwise(
    FLOATS,
    _sinc_reference,
    "y = sin(pi x) / (pi x); 1 at 0.",
    source=NUMPY.format("sinc"),
    flops=3,
    ulps=(32, 32),
    domain=((-0.9, 0.9),),
    example=((0.0, 0.5),),
)
def sinc(x):
    """Cardinal sine, normalised."""
    return cardinal_sine(x)


@elementwise(NUMBERS, np.real, "y = Re x.", source=NUMPY.format("real"), to=TO_REAL, example=((1 + 2j, 3 - 4j),))
def real(x):
    """Real part."""
    return x.real


@elementwise(NUMBERS, np.imag, "y = Im x.", source=NUMPY.format("imag"), to=TO_REAL, example=((1 + 2j, 3 - 4j),))
def imag(x):
    """Imaginary part; 0 of real numbers."""
    return x.imag


@elementwise(
    FLOATS + COMPLEX,
    np.angle,
    "y = arctan2(Im x, Re x), in [-pi, pi].",
    source=NUMPY.format("angle"),
    to=TO_REAL,
    ulps=(3.5, 2.5),
    example=((1 + 1j, -1.0 + 0j),),
)
def angle(x):
    """Angle of a complex number."""
    return np.arctan2(x.imag, x.real)


@elementwise(
    FLOATS,
    np.isposinf,
    "y = (x = inf).",
    source=NUMPY.format("isposinf"),
    to=TO_BOOL,
    example=((1.0, np.inf),),
)
def isposinf(x):
    """Whether a number is positive infinity."""
    return x == np.inf


@elementwise(
    FLOATS,
    np.isneginf,
    "y = (x = -inf).",
    source=NUMPY.format("isneginf"),
    to=TO_BOOL,
    example=((1.0, -np.inf),),
)
def isneginf(x):
    """Whether a number is negative infinity."""
    return x == -np.inf


@elementwise(
    FLOATS,
    lambda x: 1 / np.sqrt(x),
    "y = x^(-1/2).",
    source="NVIDIA, CUDA Math API, rsqrt",
    ulps=(2.5, 1.5),
    flops=2,
    domain=((0.01, 100),),
)
def rsqrt(x):
    """Reciprocal square root."""
    return reciprocal_square_root(x)

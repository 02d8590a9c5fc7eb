"""The functions of Python's `math`, the built-in ones, NumPy's ufuncs and the operators, as kernels call them.

Signatures of `math`: numba-cuda's ``cudamath.py``; float32 in, float32 out. Domain errors give NaN and infinities, as
on the device. What Numba's CPU target types as numba-cuda does, and computes alike, is Numba's own.
"""

import math

import numpy as np
from numba.core import types
from numba.core.registry import cpu_target
from numba.core.typing.templates import signature

from . import libdevice, special
from .bits import like, real
from .declare import ScalarFunction, compiled
from .libdevice import LIBDEVICE

_REAL = ["d(l)", "d(L)", "f(f)", "d(d)"]
_TWO_REAL = ["d(ll)", "d(LL)", "f(ff)", "d(dd)"]

#: Functions that numba-cuda has for float16 too, and for bfloat16.
_HALF = "sin cos tanh ceil floor sqrt log log2 log10 exp exp2 fabs trunc".split()
_BFLOAT = "sin cos tanh ceil floor sqrt log log10 exp exp2 trunc".split()


def _of_libdevice(name):
    function = compiled(getattr(libdevice, name))

    def body(x):
        return function(real(x))

    body.__doc__ = LIBDEVICE[name].__doc__
    return body


def degrees(x):
    """Radians in degrees."""
    y = real(x)
    return y * like(y, 57.29577951308232)


def radians(x):
    """Degrees in radians."""
    y = real(x)
    return y * like(y, 0.017453292519943295)


def isnan(x):
    """Whether x is NaN."""
    return math.isnan(real(x))


def isinf(x):
    """Whether x is infinite."""
    return math.isinf(real(x))


def isfinite(x):
    """Whether x is neither infinite nor NaN."""
    return math.isfinite(real(x))


def atan2(y, x):
    """The angle of the point (x, y)."""
    return math.atan2(real(y), real(x))


_hypot = compiled(libdevice.hypot)


def hypot(x, y):
    """The distance of the point (x, y) from the origin."""
    return _hypot(real(x), real(y))


def power(x, y):
    """x to the power y."""
    return math.pow(x, real(y))


def _math():
    for name in (
        "acos acosh asin asinh atan atanh ceil cos cosh erf erfc exp exp2 expm1 fabs floor lgamma log log10 log1p log2 "
        "sin sinh sqrt tan tanh trunc"
    ).split():
        cases = _REAL + ["e(e)"] * (name in _HALF) + ["t(t)"] * (name in _BFLOAT)
        yield name, _of_libdevice(name), cases
    yield "gamma", _of_libdevice("tgamma"), _REAL
    yield "degrees", degrees, _REAL
    yield "radians", radians, _REAL
    for body in (isnan, isinf, isfinite):
        yield body.__name__, body, ["?(l)", "?(L)", "?(f)", "?(d)"]
    yield "atan2", atan2, _TWO_REAL
    yield "hypot", hypot, _TWO_REAL
    for name in ("copysign", "fmod", "nextafter", "remainder"):
        yield name, getattr(libdevice, name), ["f(ff)", "d(dd)"]
    yield "pow", power, ["f(ff)", "d(dd)", "f(fi)", "d(di)"]
    yield "frexp", libdevice.frexp, ["fi(f)", "di(d)"]
    yield "ldexp", libdevice._ldexp, ["f(fi)", "d(di)"]
    yield "modf", libdevice.modf, ["dd(d)", "ff(f)"]


def larger(x, y):
    """The larger one, a number rather than NaN."""
    return special.larger(x, y)


def larger_of_three(x, y, z):
    """The largest one."""
    return special.larger(special.larger(x, y), z)


def larger_of_four(x, y, z, w):
    """The largest one."""
    return special.larger(special.larger(x, y), special.larger(z, w))


def smaller(x, y):
    """The smaller one, a number rather than NaN."""
    return special.smaller(x, y)


def smaller_of_three(x, y, z):
    """The smallest one."""
    return special.smaller(special.smaller(x, y), z)


def smaller_of_four(x, y, z, w):
    """The smallest one."""
    return special.smaller(special.smaller(x, y), special.smaller(z, w))


def round_digits(x, digits):
    """x rounded to a number of decimal digits, as numba-cuda does: in float64, halves to the even digit."""
    scale = 10.0 ** np.float64(abs(digits))
    y = np.float64(x) * scale if digits >= 0 else np.float64(x) / scale
    if not math.isfinite(y):
        return np.float64(x)
    z = np.rint(y)
    return z / scale if digits >= 0 else z * scale


def _unified(*args):
    """All arguments and the result as Numba unifies them."""
    if not all(isinstance(a, (types.Number, types.Boolean)) for a in args):
        return None
    result = cpu_target.typing_context.unify_types(*args)
    return None if result is None else signature(result, *[result] * len(args))


#: The names of `math`. A module that has them may stand for `math` in a kernel, compiled or interpreted.
MATH = {name: ScalarFunction("math", name, body, cases) for name, body, cases in _math()}

#: Built-in functions that CPU and device compute differently.
BUILTINS = {
    "max": ScalarFunction("builtins", "max", (larger, larger_of_three, larger_of_four), _unified),
    "min": ScalarFunction("builtins", "min", (smaller, smaller_of_three, smaller_of_four), _unified),
    "round": ScalarFunction("builtins", "round", round_digits, ["f(fl)", "d(dl)"]),
}

#: The functions of `math` that Numba's CPU target lacks or types otherwise: a compiled kernel needs these at least.
DIFFERENT = ("ceil", "floor", "trunc", "fabs", "fmod", "remainder", "nextafter", "exp2", "modf", "frexp", "pow")

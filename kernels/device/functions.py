"""Which device function computes which loop of which ufunc.

A NumPy (or SciPy) ufunc is the name of an operation, inside kernels as outside. `implementation` finds the
device function for its loop; the same functions run in the simulator. Importing this file also lets kernels call
the ufuncs, Python's operators and `math` on NumPy scalars (`kernels.device.scalar`).
"""

import functools
import math
import operator

import numpy as np
from scipy import special as scipy_special

from . import complex as complexes
from . import floats, integers, special
from .instructions import device_function
from .primitives import divide, libdevice, native
from .scalar import overload_ufunc

#: ufunc -> {kind of the loop's inputs, or "e" for float16 alone -> device function}
LOOPS = {}


def loop(ufunc, kinds, function):
    """File `function` as what `ufunc` computes for inputs of any of these dtype kinds ("biufc", or "e")."""
    for kind in kinds:
        LOOPS.setdefault(ufunc, {})[kind] = function


def implementation(ufunc, ins):
    """The device function of the loop of `ufunc` over the dtypes `ins`; None where there is none."""
    table = LOOPS.get(ufunc, {})
    half = table.get("e") if ins[0].char == "e" else None
    return half or table.get(ins[0].kind)


@device_function
def identity(x):
    """x as it is."""
    return x


@device_function
def true(x):
    """What every integer answers to isfinite."""
    return True


@device_function
def false(x):
    """What every integer answers to isnan, isinf and signbit of an unsigned one."""
    return False


@device_function
def both(x, y):
    """Logical and."""
    return True if x and y else False


@device_function
def either(x, y):
    """Logical or."""
    return True if x or y else False


@device_function
def one_of(x, y):
    """Logical exclusive or."""
    return True if (True if x else False) != (True if y else False) else False


@device_function
def neither(x):
    """Logical not."""
    return False if x else True


@device_function
def greater_of(x, y):
    """The larger of two ordered numbers."""
    return x if x >= y else y


@device_function
def lesser_of(x, y):
    """The smaller of two ordered numbers."""
    return x if x <= y else y


# --- arithmetic -------------------------------------------------------------------------------------------
for _ufunc, _operator in ((np.add, operator.add), (np.subtract, operator.sub), (np.multiply, operator.mul)):
    loop(_ufunc, "iufc", native(_operator, twin=_ufunc))
loop(np.add, "b", either)
loop(np.multiply, "b", both)
loop(np.true_divide, "f", divide)
loop(np.negative, "fc", native(operator.neg, twin=np.negative))
loop(np.negative, "iu", native(operator.neg, twin=np.negative))
loop(np.positive, "iufc", identity)
loop(np.floor_divide, "i", integers.floor_divide_signed)
loop(np.floor_divide, "u", integers.floor_divide_unsigned)
loop(np.floor_divide, "f", floats.floor_divide)
loop(np.remainder, "i", integers.remainder_signed)
loop(np.remainder, "u", integers.remainder_unsigned)
loop(np.remainder, "f", floats.remainder)
loop(np.fmod, "iu", integers.fmod)
loop(np.fmod, "f", libdevice("fmod", np.fmod, 2))
loop(np.divmod, "iu", integers.divmod_signed)
loop(np.divmod, "f", floats.divmod_)
loop(np.power, "iu", integers.power)
# numpy.power of two scalars takes a square root for the exponent 0.5, and gives NaN for -inf; ** of scalars is C's.
_pow = libdevice("pow", operator.pow, 2)
loop(np.power, "f", _pow)
loop(np.float_power, "f", _pow)
loop(np.absolute, "bu", identity)
loop(np.absolute, "i", integers.absolute)
loop(np.absolute, "f", libdevice("fabs", np.fabs))
loop(np.fabs, "f", libdevice("fabs", np.fabs))
loop(np.sign, "iu", integers.sign)
loop(np.sign, "f", floats.sign)
loop(np.reciprocal, "iu", integers.reciprocal)
loop(np.reciprocal, "f", floats.reciprocal)
loop(np.square, "iuf", floats.square)
loop(np.conjugate, "iuf", identity)
loop(np.gcd, "iu", integers.gcd)
loop(np.lcm, "iu", integers.lcm)

# --- roots, exponentials, logarithms, trigonometry: libdevice under NumPy's names -----------------------------
_LIBDEVICE = {
    "sqrt": "sqrt", "cbrt": "cbrt", "exp": "exp", "exp2": "exp2", "expm1": "expm1", "log": "log", "log2": "log2",
    "log10": "log10", "log1p": "log1p", "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "rint": "rint", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
}  # fmt: skip
for _name, _symbol in _LIBDEVICE.items():
    loop(getattr(np, _name), "f", libdevice(_symbol, getattr(np, _name)))
for _name, _symbol in (
    ("arctan2", "atan2"),
    ("hypot", "hypot"),
    ("copysign", "copysign"),
    ("nextafter", "nextafter"),
):
    loop(getattr(np, _name), "f", libdevice(_symbol, getattr(np, _name), 2))
for _ufunc in (np.floor, np.ceil, np.trunc):
    loop(_ufunc, "biu", identity)
loop(np.degrees, "f", floats.degrees)
loop(np.rad2deg, "f", floats.degrees)
loop(np.radians, "f", floats.radians)
loop(np.deg2rad, "f", floats.radians)

# --- floating-point numbers and their parts -------------------------------------------------------------------
for _ufunc, _function in ((np.isnan, floats.isnan), (np.isinf, floats.isinf), (np.isfinite, floats.isfinite)):
    loop(_ufunc, "biu", true if _ufunc is np.isfinite else false)
    loop(_ufunc, "f", _function)
loop(np.signbit, "f", floats.signbit)
loop(np.nextafter, "e", floats.nextafter_half)
loop(np.spacing, "f", floats.spacing)
loop(np.spacing, "e", floats.spacing_half)
loop(np.frexp, "f", floats.frexp)
loop(np.ldexp, "f", floats.ldexp)
loop(np.modf, "f", floats.modf)

# --- order ------------------------------------------------------------------------------------------------
for _ufunc, _operator in (
    (np.equal, operator.eq), (np.not_equal, operator.ne), (np.less, operator.lt),
    (np.less_equal, operator.le), (np.greater, operator.gt), (np.greater_equal, operator.ge),
):  # fmt: skip
    loop(_ufunc, "biuf", native(_operator, twin=_ufunc))
for _ufunc in (np.maximum, np.fmax):
    loop(_ufunc, "biu", greater_of)
for _ufunc in (np.minimum, np.fmin):
    loop(_ufunc, "biu", lesser_of)
for _name in ("maximum", "minimum", "fmax", "fmin"):
    loop(getattr(np, _name), "f", getattr(floats, _name))

# --- logic and bits -------------------------------------------------------------------------------------------
for _ufunc, _function in (
    (np.logical_and, both), (np.logical_or, either), (np.logical_xor, one_of), (np.logical_not, neither),
):  # fmt: skip
    loop(_ufunc, "biuf", _function)
for _ufunc, _operator, _function in (
    (np.bitwise_and, operator.and_, both), (np.bitwise_or, operator.or_, either),
    (np.bitwise_xor, operator.xor, one_of),
):  # fmt: skip
    loop(_ufunc, "iu", native(_operator, twin=_ufunc))
    loop(_ufunc, "b", _function)
loop(np.invert, "iu", native(operator.invert, twin=np.invert))
loop(np.invert, "b", neither)
loop(np.left_shift, "iu", integers.left_shift)
loop(np.right_shift, "iu", integers.right_shift)
loop(np.bitwise_count, "iu", integers.bitwise_count)

# --- special functions ------------------------------------------------------------------------------------
_SPECIAL = {
    "erf": "erf", "erfc": "erfc", "erfcx": "erfcx", "erfinv": "erfinv", "erfcinv": "erfcinv", "gammaln": "lgamma",
    "gamma": "tgamma", "j0": "j0", "j1": "j1", "y0": "y0", "y1": "y1", "i0": "cyl_bessel_i0",
    "i1": "cyl_bessel_i1", "exp10": "exp10", "cbrt": "cbrt",
}  # fmt: skip
for _name, _symbol in _SPECIAL.items():
    loop(getattr(scipy_special, _name), "f", libdevice(_symbol, getattr(scipy_special, _name)))
for _ufunc, _function in complexes.FUNCTIONS.items():
    loop(_ufunc, "c", _function)
loop(np.float_power, "c", complexes.power)
for _ufunc, _function in special.FUNCTIONS.items():
    loop(_ufunc, "f", _function)

# --- how kernels call them ------------------------------------------------------------------------------------
_OPERATORS = {
    np.add: (operator.add, operator.iadd), np.subtract: (operator.sub, operator.isub),
    np.multiply: (operator.mul, operator.imul), np.true_divide: (operator.truediv, operator.itruediv),
    np.floor_divide: (operator.floordiv, operator.ifloordiv), np.remainder: (operator.mod, operator.imod),
    np.power: (operator.pow, operator.ipow, math.pow), np.negative: (operator.neg,), np.positive: (operator.pos,),
    np.absolute: (abs,), np.divmod: (divmod,), np.invert: (operator.invert,),
    np.bitwise_and: (operator.and_, operator.iand), np.bitwise_or: (operator.or_, operator.ior),
    np.bitwise_xor: (operator.xor, operator.ixor), np.left_shift: (operator.lshift, operator.ilshift),
    np.right_shift: (operator.rshift, operator.irshift), np.equal: (operator.eq,), np.not_equal: (operator.ne,),
    np.less: (operator.lt,), np.less_equal: (operator.le,), np.greater: (operator.gt,),
    np.greater_equal: (operator.ge,), np.logical_not: (operator.not_,), np.arcsin: (math.asin,),
    np.arccos: (math.acos,), np.arctan: (math.atan,), np.arctan2: (math.atan2,), np.arcsinh: (math.asinh,),
    np.arccosh: (math.acosh,), np.arctanh: (math.atanh,), scipy_special.gammaln: (math.lgamma,),
    scipy_special.gamma: (math.gamma,),
}  # fmt: skip
_MATH = (
    "sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh hypot copysign fmod fabs degrees radians "
    "isnan isinf isfinite nextafter cbrt"
).split()


def _register():
    for name in _MATH:
        if hasattr(math, name):  # exp2 and cbrt came with Python 3.11
            _OPERATORS[getattr(np, name)] = (*_OPERATORS.get(getattr(np, name), ()), getattr(math, name))
    for name in ("erf", "erfc"):
        _OPERATORS[getattr(scipy_special, name)] = (getattr(math, name),)
    for ufunc in LOOPS:
        overload_ufunc(ufunc, functools.partial(implementation, ufunc), _OPERATORS.get(ufunc, ()))


_register()

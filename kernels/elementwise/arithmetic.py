"""Arithmetic: sums, products, quotients, powers, and their like for integers."""

import numpy as np

from .public import from_ufunc

EXACT_OR_ROUNDED = (0.5, 0.5, 0.71)  # each part of a complex sum is correctly rounded

add = from_ufunc(np.add, "Sum.", "y = x1 + x2; of booleans, x1 or x2.", ulps=EXACT_OR_ROUNDED)
subtract = from_ufunc(np.subtract, "Difference.", "y = x1 - x2.", ulps=EXACT_OR_ROUNDED)
multiply = from_ufunc(np.multiply, "Product.", "y = x1 x2; of booleans, x1 and x2.", ulps=(0.5, 0.5, 3.0))
divide = from_ufunc(
    np.true_divide,
    "Quotient.",
    "y = x1 / x2, in floating point for integers too.",
    name="divide",
    ulps=(0.5, 0.5, 3.0),
    domain=((-10, 10), (0.5, 10)),
)
true_divide = divide
floor_divide = from_ufunc(
    np.floor_divide,
    "Quotient rounded towards minus infinity.",
    "y = floor(x1 / x2), from the exact remainder; integers: 0 where x2 = 0.",
    ulps=(0.5, 0.5),
    flops=3,
    domain=((-10, 10), (0.5, 10)),
)
remainder = from_ufunc(
    np.remainder,
    "What floor division leaves, with the sign of the divisor.",
    "y = x1 - x2 floor(x1 / x2); integers: 0 where x2 = 0.",
    ulps=(0.5, 0.5),
    flops=2,
    domain=((-10, 10), (0.5, 10)),
)
mod = remainder
fmod = from_ufunc(
    np.fmod,
    "What truncated division leaves, with the sign of the dividend.",
    "y = x1 - x2 trunc(x1 / x2), exact; integers: 0 where x2 = 0.",
    domain=((-10, 10), (0.5, 10)),
)
divmod = from_ufunc(
    np.divmod,
    "Floor division and what it leaves, in one pass.",
    "y1 = floor(x1 / x2), y2 = x1 - x2 y1.",
    ulps=(0.5, 0.5),
    flops=5,
    domain=((-10, 10), (0.5, 10)),
)


def refuse_negative_exponents(operands, ins):
    """NumPy's error, as far as it can be raised without waiting for a device."""
    exponent = operands[1]
    if ins[1].kind == "i":
        values = exponent.array if exponent.library == "python" else exponent.memory
        if values is not None and np.any(np.less(values, 0)):
            raise ValueError("x2: integers to negative integer powers are not allowed")


power = from_ufunc(
    np.power,
    "Power.",
    "y = x1^x2. Integers are modulo 2^bits; a negative integer exponent raises ValueError where it can be seen "
    "without waiting for a device, and gives the truncated value (0, 1 or -1) elsewhere.",
    ulps=(4.5, 2.5, 256),
    domain=((0.1, 10), (-3, 3)),
    example=((2, 3), (3, 2)),
    check=refuse_negative_exponents,
)
pow = power
float_power = from_ufunc(
    np.float_power,
    "Power in float64 or complex128, whatever the inputs.",
    "y = x1^x2.",
    ulps=(2.5, 2.5, 256),
    domain=((0.1, 10), (-3, 3)),
)
negative = from_ufunc(np.negative, "The opposite.", "y = -x.")
positive = from_ufunc(np.positive, "The number itself.", "y = +x.")
absolute = from_ufunc(np.absolute, "Absolute value.", "y = abs(x); of a complex x, its modulus.", ulps=(3.5, 2.5))
abs = absolute
fabs = from_ufunc(np.fabs, "Absolute value, in floating point.", "y = abs(x).")
sign = from_ufunc(np.sign, "Sign.", "y = -1, 0 or 1; of a complex x, x / abs(x); NaN stays.", ulps=(0, 0, 3))
reciprocal = from_ufunc(
    np.reciprocal,
    "Reciprocal.",
    "y = 1 / x; integers are rounded towards zero.",
    ulps=(0.5, 0.5, 3),
    domain=((0.1, 10),),
)
square = from_ufunc(np.square, "Square.", "y = x x.", ulps=(0.5, 0.5, 3))
conjugate = from_ufunc(np.conjugate, "Complex conjugate.", "y = Re x - i Im x.")
conj = conjugate
gcd = from_ufunc(
    np.gcd,
    "Greatest common divisor.",
    "The largest integer that divides both; Euclid's algorithm.",
    flops=20,
    example=((12, 9), (18, 6)),
)
lcm = from_ufunc(
    np.lcm,
    "Least common multiple.",
    "abs(x1 x2) / gcd(x1, x2), modulo 2^bits.",
    flops=22,
    example=((12, 9), (18, 6)),
)

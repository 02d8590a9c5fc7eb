"""Comparison, extremes, logic and bits."""

import numpy as np

from .public import from_ufunc

PAIR = ((1, 2, 3), (3, 2, 1))

equal = from_ufunc(np.equal, "Whether two numbers are equal.", "y = (x1 = x2); False with NaN.", example=PAIR)
not_equal = from_ufunc(np.not_equal, "Whether two numbers differ.", "y = (x1 != x2); True with NaN.", example=PAIR)
less = from_ufunc(np.less, "Whether one number is less.", "y = (x1 < x2); complex: real parts first.", example=PAIR)
less_equal = from_ufunc(np.less_equal, "Whether one number is not greater.", "y = (x1 <= x2).", example=PAIR)
greater = from_ufunc(np.greater, "Whether one number is greater.", "y = (x1 > x2).", example=PAIR)
greater_equal = from_ufunc(np.greater_equal, "Whether one number is not less.", "y = (x1 >= x2).", example=PAIR)
maximum = from_ufunc(np.maximum, "The larger; NaN wins.", "y = max(x1, x2); NaN where either is.", example=PAIR)
minimum = from_ufunc(np.minimum, "The smaller; NaN wins.", "y = min(x1, x2); NaN where either is.", example=PAIR)
fmax = from_ufunc(np.fmax, "The larger; NaN loses.", "y = max(x1, x2); the other where one is NaN.", example=PAIR)
fmin = from_ufunc(np.fmin, "The smaller; NaN loses.", "y = min(x1, x2); the other where one is NaN.", example=PAIR)
logical_and = from_ufunc(np.logical_and, "Whether both are nonzero.", "y = x1 and x2.", example=PAIR)
logical_or = from_ufunc(np.logical_or, "Whether one is nonzero.", "y = x1 or x2.", example=PAIR)
logical_xor = from_ufunc(np.logical_xor, "Whether just one is nonzero.", "y = x1 xor x2.", example=PAIR)
logical_not = from_ufunc(np.logical_not, "Whether a number is zero.", "y = not x.", example=((0, 1),))
bitwise_and = from_ufunc(np.bitwise_and, "Bits set in both.", "y = x1 & x2.", example=PAIR)
bitwise_or = from_ufunc(np.bitwise_or, "Bits set in either.", "y = x1 or x2, bit by bit.", example=PAIR)
bitwise_xor = from_ufunc(np.bitwise_xor, "Bits set in just one.", "y = x1 ^ x2.", example=PAIR)
invert = from_ufunc(np.invert, "Every bit flipped.", "y = ~x; of booleans, not x.", example=((0, 1),))
bitwise_not = invert
bitwise_invert = invert
left_shift = from_ufunc(
    np.left_shift, "Bits moved up.", "y = x1 2^x2 modulo 2^bits; 0 for x2 beyond the bits.", example=PAIR
)
right_shift = from_ufunc(np.right_shift, "Bits moved down.", "y = floor(x1 / 2^x2).", example=PAIR)
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
bitwise_count = from_ufunc(
    np.bitwise_count, "Number of one bits of the magnitude.", "Population count.", example=((7, 8),)
)

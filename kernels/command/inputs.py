"""Inputs to compare a pair on: random ones, and real ones.

The real ones are the CODATA values of the physical constants, which come with SciPy: several hundred measured
numbers with all the digits that nature gave them. Their significands are mapped onto each function's domain,
for their exponents (10^-69 to 10^52) lie outside of nearly all.

Source: Mohr, Newell, Taylor & Tiesinga 2025, CODATA recommended values,
https://doi.org/10.1103/RevModPhys.97.025002
"""

import functools

import numpy as np


def random_inputs(pair, loop, size, seed):
    """Inputs of a pair, drawn from its domain.

    Parameters
    ----------
    pair : Pair
    loop : str
        ``"ff->f"``.
    size : int
    seed : int
        Equal seeds give equal inputs, whichever pairs were drawn before.

    Returns
    -------
    inputs : list of numpy.ndarray
    """
    random = np.random.default_rng([seed, *map(ord, pair.name + loop)])
    return _inputs(pair, loop, lambda: random.random(size))


def real_inputs(pair, loop, size):
    """Inputs of a pair, made of at most `size` physical constants, each input from another place on."""
    shifts = iter(range(0, 1000, 7))
    return _inputs(pair, loop, lambda: np.roll(_significands(), next(shifts))[:size])


@functools.cache
def _significands():
    """Significands of the physical constants, as fractions of their binade."""
    from scipy.constants import physical_constants

    values = np.array([value for value, _, _ in physical_constants.values() if value])
    fractions, _ = np.frexp(np.abs(values))
    return 2 * fractions - 1


def _inputs(pair, loop, fractions):
    ins = loop.split("->")[0]
    return [_spread(fractions, np.dtype(char), *_interval(pair, np.dtype(char), k)) for k, char in enumerate(ins)]


def _interval(pair, dtype, k):
    low, high = pair.domain[k]
    # NumPy refuses negative integer powers of integers, and a size is all that an unsigned integer has.
    if dtype.kind == "u" or (dtype.kind == "i" and pair.name == "power" and k == 1):
        low = max(low, 0)
    return low, high


def _spread(fractions, dtype, low, high):
    """Numbers of `dtype` in [low, high], from fractions in [0, 1)."""
    if dtype.kind == "b":
        return fractions() < 0.5
    if dtype.kind in "iu":
        low, high = int(np.ceil(low)), int(np.floor(high))
        return (low + np.floor(fractions() * (high - low + 1))).astype(dtype)
    values = low + (high - low) * fractions()
    if dtype.kind == "c":
        values = values + 1j * (low + (high - low) * fractions())
    return values.astype(dtype)

"""The record of a pair: a public function, the plain NumPy that says what it means, and the facts both share.

Tests, benchmarks, ``python -m kernels check`` and the tables of the documentation are loops over `REGISTRY`. A
fact stands here if two of them need it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

#: name -> `Pair`, in the order of filing.
REGISTRY = {}


@dataclass(frozen=True)
class Pair:
    """A public function and its reference.

    Attributes
    ----------
    name : str
        The function is ``kernels.<name>``.
    family : str
    function, reference : callable
        `reference` takes and returns NumPy arrays of the dtypes of one loop.
    signature : str
        A NumPy gufunc signature, as ``"(),()->()"``.
    loops : tuple of str
        Dtypes in and out, as in `numpy.ufunc.types`: ``"ff->f"``.
    flops : float
        Floating-point (or integer) operations per element of the result, a square root or exponential counted
        as one.
    domain : tuple of (float, float)
        Per input: where inputs are drawn from for comparisons and timing (the reals on which the function is
        finite and real; complex inputs draw both parts from it).
    ulps : dict
        Dtype character of the result -> documented bound on the error, in units in the last place.
    magnitude : callable, optional
        ``magnitude(*inputs)``: the number that the error is measured against where it is not the result, because
        its terms cancel (axpy: ``|a x| + |y|``).
    kernels : callable
        ``kernels(loop)`` lists ``(label, dispatcher, Numba signature)`` of what a call of this loop launches.
    of_arrays : callable, optional
        The function with its arrays first, where other parameters come between them.
    """

    name: str
    family: str
    function: Callable
    reference: Callable
    signature: str
    loops: tuple
    flops: float = 1.0
    domain: tuple = ()
    ulps: dict = field(default_factory=dict)
    magnitude: Callable = None
    kernels: Callable = None
    of_arrays: Callable = None

    @property
    def call(self):
        """What takes the arrays one after the other."""
        return self.of_arrays or self.function

    @property
    def nin(self):
        """Number of array arguments."""
        return len(self.signature.split("->")[0].split("),("))

    @property
    def nout(self):
        """Number of results."""
        return len(self.signature.split("->")[1].split("),("))

    def shape(self, given):
        """Of the results for inputs of shape `given`."""
        sizes = self.signature.split("->")[1].strip("()").split(",")
        if all(map(str.isdigit, sizes)):
            return tuple(map(int, sizes))
        return () if "(n)" in self.signature and self.signature.endswith("->()") else given

    def bytes(self, loop, size):
        """Bytes that `size` elements compel a call to move: each input read once, each result written once."""
        ins, outs = (sum(np.dtype(c).itemsize for c in part) for part in loop.split("->"))
        return size * ins + math.prod(self.shape((size,))) * outs


def file(pair):
    """Enter a pair in the registry; the function stays what it is.

    Raises
    ------
    ValueError
        When the name is taken.
    """
    if pair.name in REGISTRY:
        raise ValueError(f"{pair.name} is filed already")
    REGISTRY[pair.name] = pair
    return pair.function

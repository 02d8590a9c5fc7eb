"""The public reductions, with NumPy's signatures."""

import functools
import math

import numpy as np
from scipy import special

from ..pairing import Pair, file
from ..runtime.arrays import operand
from ..runtime.frameworks import opaque
from . import folds, precise
from .calls import Reduction
from .docstrings import describe

NUMPY = "NumPy, https://numpy.org/doc/stable/reference/generated/numpy.{name}.html"
SCIPY = "SciPy, https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.{name}.html"

REALS, COMPLEX, BOOL = "efd", "FD", "?"
INTEGERS = "bhiqBHIQ"
NUMBERS = BOOL + INTEGERS + REALS + COMPLEX
ORDERED = BOOL + INTEGERS + REALS


def published(
    reduction, loops, notes, example, *, source=NUMPY, ulps=None, magnitude=None, flops=1.0, domain=None, call=None
):
    """Decorator: the function gets plans, a docstring in full, and a record.

    `loops` are pairs of dtype characters, of the elements and of the result; the other arguments are those of
    `kernels.pairing.Pair`.
    """

    def decorate(function):
        name, nin = function.__name__, len(reduction.parameters)
        function.__doc__ = describe(function, notes, source.format(name=name), example)
        function.plan = reduction.calls.plan
        bounds = dict(zip("efdFD", (ulps and 0.51, ulps, ulps, ulps, ulps), strict=True)) if ulps else {}
        pair = Pair(
            name, "reductions", opaque(function), reduction.of_one_axis, ",".join(["(n)"] * nin) + "->()",
            tuple(f"{a * nin}->{b}" for a, b in loops), flops, domain or ((-10.0, 10.0),) * nin, bounds, magnitude,
            reduction.kernels, call,
        )  # fmt: skip
        file(pair)
        return pair.function

    return decorate


def _each(characters, result=lambda dtype: dtype):
    """``(element, result)`` of dtype characters."""
    return tuple((c, np.dtype(result(np.dtype(c))).char.replace("l", "q").replace("L", "Q")) for c in characters)


def _given(**options):
    """Options that were given."""
    return {name: value for name, value in options.items() if value is not None and value is not True}


def of_ufunc(ufunc, name, neutral, result=lambda dtype: dtype, identity=True):
    """The reduction of a ufunc."""

    def reference(a, *, axis, keepdims, where, fold, setting, initial):
        a = a.astype(fold.ins[0], copy=False)
        return ufunc.reduce(a, axis, fold.ins[0], None, keepdims, **_given(where=where, initial=initial))

    fold = folds.of_operator(ufunc, neutral, result)
    return Reduction(name, ("a",), fold, reference, identity=identity, follows_out=True)


def of_numpy(function, name, fold, **properties):
    """The reduction that a function of NumPy's is the reference of."""

    def reference(a, *, axis, keepdims, where, fold, setting, initial):
        a = a.astype(fold.ins[0], copy=False)
        return function(a, axis=axis, keepdims=keepdims, **_given(where=where, initial=initial, ddof=setting))

    return Reduction(name, ("a",), fold, reference, **properties)


def total_of_moduli(a):
    """What the error of a sum is measured against."""
    return np.sum(np.abs(a))


# --- sums and products ------------------------------------------------------------------------------------------

_TREE = """\
Up to 16 elements are added by a balanced tree, all else together with what each rounding loses (Knuth's two-sum; Kahan
1965, Neumaier 1974): the error is at most 6 eps times the sum of the moduli, however many there are, as long as
n eps < 1."""

_sum = of_ufunc(np.add, "sum", 0, folds.accumulator)
_prod = of_ufunc(np.multiply, "prod", 1, folds.accumulator)


@published(
    _sum, _each(NUMBERS, folds.accumulator),
    "y = sum of a. Booleans and integers are added in 64 bits, modulo 2**64, float16 in float32.\n\n"
    f"{_TREE} {precise.NOTES}",
    ">>> kernels.sum(np.arange(6.0).reshape(2, 3), axis=0)\narray([3., 5., 7.])",
    ulps=6, magnitude=total_of_moduli,
)  # fmt: skip
def sum(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True, *, method=None, stream=None):
    """Sum of elements over axes."""
    return precise.chosen(_sum, method).calls((a,), out, where, stream, axis, dtype, keepdims, initial, None)


@published(
    _prod, _each(NUMBERS, folds.accumulator),
    "y = product of a. Booleans and integers are multiplied in 64 bits, modulo 2**64, float16 in float32. Each of the\n"
    "n - 1 products rounds once: the relative error is at most n eps, short of overflow and underflow on the way.",
    ">>> kernels.prod(np.array([[1, 2], [3, 4]]), axis=1)\narray([ 2, 12])",
    ulps=300, domain=((0.9, 1.1),),
)  # fmt: skip
def prod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Product of elements over axes."""
    return _prod.calls((a,), out, where, stream, axis, dtype, keepdims, initial, None)


_nansum = Reduction(
    "nansum", ("a",), folds.nan_of_operator(np.add, 0, folds.accumulator),
    lambda a, *, axis, keepdims, where, fold, setting, initial: np.nansum(
        a.astype(fold.ins[0], copy=False), axis, fold.ins[0], None, keepdims, **_given(where=where, initial=initial)
    ), follows_out=True,
)  # fmt: skip
_nanprod = Reduction(
    "nanprod", ("a",), folds.nan_of_operator(np.multiply, 1, folds.accumulator),
    lambda a, *, axis, keepdims, where, fold, setting, initial: np.nanprod(
        a.astype(fold.ins[0], copy=False), axis, fold.ins[0], None, keepdims, **_given(where=where, initial=initial)
    ), follows_out=True,
)  # fmt: skip


@published(
    _nansum, _each(NUMBERS, folds.accumulator), f"`sum` of the elements that are not NaN.\n\n{_TREE}",
    ">>> kernels.nansum(np.array([1.0, np.nan, 2.0]))\nnp.float64(3.0)", ulps=6, magnitude=total_of_moduli,
)  # fmt: skip
def nansum(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Sum of elements over axes, NaN counting as 0."""
    return _nansum.calls((a,), out, where, stream, axis, dtype, keepdims, initial, None)


@published(
    _nanprod, _each(NUMBERS, folds.accumulator), "`prod` of the elements that are not NaN; its bound.",
    ">>> kernels.nanprod(np.array([2.0, np.nan, 3.0]))\nnp.float64(6.0)", ulps=300, domain=((0.9, 1.1),),
)  # fmt: skip
def nanprod(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Product of elements over axes, NaN counting as 1."""
    return _nanprod.calls((a,), out, where, stream, axis, dtype, keepdims, initial, None)


# --- extremes ---------------------------------------------------------------------------------------------------

_EXACT = "The result is exact. NaN is larger and smaller than any number: where there is one, it is the result."

_max = of_ufunc(np.maximum, "max", folds.lowest, identity=False)
_min = of_ufunc(np.minimum, "min", folds.highest, identity=False)


@published(_max, _each(NUMBERS), f"{_EXACT} Complex numbers are ordered by their real, then their imaginary parts.",
           ">>> kernels.max(np.array([[1, 5], [4, 2]]), axis=0)\narray([4, 5])")  # fmt: skip
def max(a, axis=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Largest element over axes."""
    return _max.calls((a,), out, where, stream, axis, None, keepdims, initial, None)


@published(_min, _each(NUMBERS), f"{_EXACT} Complex numbers are ordered by their real, then their imaginary parts.",
           ">>> kernels.min(np.array([[1, 5], [4, 2]]), axis=0)\narray([1, 2])")  # fmt: skip
def min(a, axis=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Smallest element over axes."""
    return _min.calls((a,), out, where, stream, axis, None, keepdims, initial, None)


def _of_numbers(ufunc, name, neutral):
    """The reduction of fmax or fmin."""

    def reference(a, *, axis, keepdims, where, fold, setting, initial):
        return ufunc.reduce(a, axis, None, None, keepdims, **_given(where=where, initial=initial))

    fold = folds.of_operator(ufunc, lambda d: math.nan if d.kind in "fc" else neutral(d))
    return Reduction(name, ("a",), fold, reference, identity=False, follows_out=True)


_nanmax, _nanmin = _of_numbers(np.fmax, "nanmax", folds.lowest), _of_numbers(np.fmin, "nanmin", folds.highest)


@published(_nanmax, _each(ORDERED), "The result is exact; NaN where there is nothing else.",
           ">>> kernels.nanmax(np.array([1.0, np.nan, 2.0]))\nnp.float64(2.0)")  # fmt: skip
def nanmax(a, axis=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Largest element over axes that is not NaN."""
    return _nanmax.calls((a,), out, where, stream, axis, None, keepdims, initial, None)


@published(_nanmin, _each(ORDERED), "The result is exact; NaN where there is nothing else.",
           ">>> kernels.nanmin(np.array([1.0, np.nan, 2.0]))\nnp.float64(1.0)")  # fmt: skip
def nanmin(a, axis=None, out=None, keepdims=False, initial=None, where=True, *, stream=None):
    """Smallest element over axes that is not NaN."""
    return _nanmin.calls((a,), out, where, stream, axis, None, keepdims, initial, None)


_ptp = of_numpy(np.ptp, "ptp", folds.ptp, identity=False)


@published(_ptp, _each(INTEGERS + REALS), "y = max(a) - min(a), in one pass; one rounding. Integers wrap, as NumPy's.",
           ">>> kernels.ptp(np.array([3, 9, 5]))\nnp.int64(6)", ulps=0.5)  # fmt: skip
def ptp(a, axis=None, out=None, keepdims=False, *, stream=None):
    """Range of elements over axes, the largest less the smallest."""
    return _ptp.calls((a,), out, True, stream, axis, None, keepdims, None, None)


def _of_place(function, name, merge, choose, worst, fold=folds.place):
    def reference(a, *, axis, keepdims, where, fold, setting, initial):
        return function(a, axis=axis[0] if len(axis) == 1 and a.ndim > 1 else None, keepdims=keepdims)

    fold = functools.partial(fold, merge, choose, worst)
    return Reduction(name, ("a",), fold, reference, identity=False, indexed=True, default=np.dtype(np.int32))


_argmax = _of_place(np.argmax, "argmax", folds.larger, np.maximum, folds.lowest)
_argmin = _of_place(np.argmin, "argmin", folds.smaller, np.minimum, folds.highest)
_nanargmax = _of_place(np.nanargmax, "nanargmax", folds.larger, np.maximum, folds.lowest, folds.nan_place)
_nanargmin = _of_place(np.nanargmin, "nanargmin", folds.smaller, np.minimum, folds.highest, folds.nan_place)

_FIRST = "The first of equal elements, in C order where `axis` is None. The result is exact."


@published(_argmax, _each(NUMBERS, lambda d: np.int64), f"{_FIRST} NaN is larger than any number.",
           ">>> kernels.argmax(np.array([[1, 5, 2], [4, 4, 3]]), axis=1)\narray([1, 0])")  # fmt: skip
def argmax(a, axis=None, out=None, *, keepdims=False, stream=None):
    """Index of the largest element, along one axis or of all."""
    return _argmax.calls((a,), out, True, stream, axis, None, keepdims, None, None)


@published(_argmin, _each(NUMBERS, lambda d: np.int64), f"{_FIRST} NaN is smaller than any number.",
           ">>> kernels.argmin(np.array([[1, 5, 2], [4, 4, 3]]), axis=1)\narray([0, 2])")  # fmt: skip
def argmin(a, axis=None, out=None, *, keepdims=False, stream=None):
    """Index of the smallest element, along one axis or of all."""
    return _argmin.calls((a,), out, True, stream, axis, None, keepdims, None, None)


@published(_nanargmax, _each(ORDERED, lambda d: np.int64), f"{_FIRST} -1 where all are NaN.",
           ">>> kernels.nanargmax(np.array([1.0, np.nan, 2.0]))\nnp.int64(2)")  # fmt: skip
def nanargmax(a, axis=None, out=None, *, keepdims=False, stream=None):
    """Index of the largest element that is not NaN, along one axis or of all."""
    return _nanargmax.calls((a,), out, True, stream, axis, None, keepdims, None, None)


@published(_nanargmin, _each(ORDERED, lambda d: np.int64), f"{_FIRST} -1 where all are NaN.",
           ">>> kernels.nanargmin(np.array([1.0, np.nan, 2.0]))\nnp.int64(0)")  # fmt: skip
def nanargmin(a, axis=None, out=None, *, keepdims=False, stream=None):
    """Index of the smallest element that is not NaN, along one axis or of all."""
    return _nanargmin.calls((a,), out, True, stream, axis, None, keepdims, None, None)


# --- truth ------------------------------------------------------------------------------------------------------

_any = of_numpy(np.any, "any", functools.partial(folds.truth, np.logical_or, False))
_all = of_numpy(np.all, "all", functools.partial(folds.truth, np.logical_and, True))
_count = Reduction("count_nonzero", ("a",), folds.count,
                   lambda a, *, axis, keepdims, **_: np.count_nonzero(a, axis=axis, keepdims=keepdims))  # fmt: skip


@published(_any, _each(NUMBERS, lambda d: np.bool_), "NaN is true, as it is not zero. False for nothing.",
           ">>> kernels.any(np.array([[0, 1], [0, 0]]), axis=1)\narray([ True, False])")  # fmt: skip
def any(a, axis=None, out=None, keepdims=False, *, where=True, stream=None):
    """Whether any element over axes is true."""
    return _any.calls((a,), out, where, stream, axis, None, keepdims, None, None)


@published(_all, _each(NUMBERS, lambda d: np.bool_), "NaN is true, as it is not zero. True for nothing.",
           ">>> kernels.all(np.array([[1, 1], [0, 1]]), axis=1)\narray([ True, False])")  # fmt: skip
def all(a, axis=None, out=None, keepdims=False, *, where=True, stream=None):
    """Whether all elements over axes are true."""
    return _all.calls((a,), out, where, stream, axis, None, keepdims, None, None)


@published(_count, _each(NUMBERS, lambda d: np.int64), "The result is exact, an int64. NaN counts.",
           ">>> kernels.count_nonzero(np.array([[0, 1], [2, 3]]), axis=1)\narray([1, 2])")  # fmt: skip
def count_nonzero(a, axis=None, *, keepdims=False, out=None, stream=None):
    """Number of elements over axes that are not zero."""
    return _count.calls((a,), out, True, stream, axis, None, keepdims, None, None)


# --- moments ----------------------------------------------------------------------------------------------------


def _count_of(count, setting):
    return (count,)


_mean = of_numpy(np.mean, "mean", folds.mean, extras=_count_of)
_nanmean = of_numpy(np.nanmean, "nanmean", folds.nan_mean)


@published(
    _mean, _each(NUMBERS, folds.floating),
    f"y = sum(a) / n, in float64 for integers and in float32 for float16; NaN for nothing.\n\n{_TREE}",
    ">>> kernels.mean(np.arange(6.0).reshape(2, 3), axis=1)\narray([1., 4.])",
    ulps=7, magnitude=lambda a: np.mean(np.abs(a)),
)  # fmt: skip
def mean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=True, method=None, stream=None):
    """Arithmetic mean over axes."""
    return precise.chosen(_mean, method).calls((a,), out, where, stream, axis, dtype, keepdims, None, None)


@published(
    _nanmean, _each(NUMBERS, folds.floating), f"`mean` of the elements that are not NaN.\n\n{_TREE}",
    ">>> kernels.nanmean(np.array([1.0, np.nan, 2.0]))\nnp.float64(1.5)",
    ulps=7, magnitude=lambda a: np.nanmean(np.abs(a)),
)  # fmt: skip
def nanmean(a, axis=None, dtype=None, out=None, keepdims=False, *, where=True, stream=None):
    """Arithmetic mean over axes of what is not NaN."""
    return _nanmean.calls((a,), out, where, stream, axis, dtype, keepdims, None, None)


def _ddof_of(count, setting):
    return (setting,)


def _divisor(ddof, correction):
    if correction is None:
        return ddof
    if ddof != 0:
        raise ValueError("ddof and correction are two names of one number; give one of them")
    return correction


def _of_spread(function, name, finish, fold=folds.spread):
    return of_numpy(function, name, functools.partial(fold, finish), extras=_ddof_of, default=0)


_var, _std = _of_spread(np.var, "var", folds.variance), _of_spread(np.std, "std", folds.deviation)
_nanvar = _of_spread(np.nanvar, "nanvar", folds.variance, folds.nan_spread)
_nanstd = _of_spread(np.nanstd, "nanstd", folds.deviation, folds.nan_spread)

_POOLED = """\
In one pass: a set has its count n, mean m and sum of squared deviations q, and two sets are pooled by
q = q1 + q2 + (m2 - m1)^2 n1 n2 / (n1 + n2). No squares of the elements themselves are added, so that a large mean
costs half the digits that it costs those: the relative error is at most (264 + log2 n) eps kappa, where
kappa = sqrt(1 + mean^2 / var)."""
_CHAN = (
    NUMPY
    + '\n    Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".'
)


@published(
    _var, _each(NUMBERS, lambda d: folds.real(folds.floating(d))),
    f"y = sum(\\|a - mean(a)\\|^2) / (n - ddof).\n\n{_POOLED}",
    ">>> kernels.var(np.array([1.0, 2.0, 3.0, 4.0]), ddof=1)\nnp.float64(1.6666666666666667)", source=_CHAN,
    ulps=600, flops=5.0,
)  # fmt: skip
def var(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, correction=None, stream=None):
    """Variance over axes."""
    return _var.calls((a,), out, where, stream, axis, dtype, keepdims, None, _divisor(ddof, correction))


@published(
    _std, _each(NUMBERS, lambda d: folds.real(folds.floating(d))), f"y = sqrt(var(a)).\n\n{_POOLED}",
    ">>> kernels.std(np.array([1.0, 2.0, 3.0, 4.0]))\nnp.float64(1.118033988749895)", source=_CHAN,
    ulps=600, flops=5.0,
)  # fmt: skip
def std(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, correction=None, stream=None):
    """Standard deviation over axes."""
    return _std.calls((a,), out, where, stream, axis, dtype, keepdims, None, _divisor(ddof, correction))


@published(
    _nanvar, _each(NUMBERS, lambda d: folds.real(folds.floating(d))), f"`var` of what is not NaN.\n\n{_POOLED}",
    ">>> kernels.nanvar(np.array([1.0, np.nan, 3.0]))\nnp.float64(1.0)", source=_CHAN, ulps=600, flops=5.0,
)  # fmt: skip
def nanvar(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, correction=None, stream=None):
    """Variance over axes of what is not NaN."""
    return _nanvar.calls((a,), out, where, stream, axis, dtype, keepdims, None, _divisor(ddof, correction))


@published(
    _nanstd, _each(NUMBERS, lambda d: folds.real(folds.floating(d))), f"`std` of what is not NaN.\n\n{_POOLED}",
    ">>> kernels.nanstd(np.array([1.0, np.nan, 3.0]))\nnp.float64(1.0)", source=_CHAN, ulps=600, flops=5.0,
)  # fmt: skip
def nanstd(a, axis=None, dtype=None, out=None, ddof=0, keepdims=False, *, where=True, correction=None, stream=None):
    """Standard deviation over axes of what is not NaN."""
    return _nanstd.calls((a,), out, where, stream, axis, dtype, keepdims, None, _divisor(ddof, correction))


_average = Reduction(
    "average", ("a", "weights"), folds.average,
    lambda a, w, *, axis, keepdims, where, fold, setting, initial: np.sum(
        (a * w).astype(fold.ins[0]), axis, keepdims=keepdims) / np.sum(w.astype(fold.ins[0]), axis, keepdims=keepdims),
)  # fmt: skip


def _of_weights(a, weights, out=None, stream=None):
    return average(a, weights=weights, out=out, stream=stream)


_of_weights.plan = _average.calls.plan


@published(
    _average, _each(INTEGERS + REALS + COMPLEX, folds.floating),
    f"y = sum(a weights) / sum(weights), in one pass; NaN where the weights add up to zero.\n\n{_TREE}",
    ">>> kernels.average(np.array([1.0, 2.0, 4.0]), weights=np.array([1.0, 1.0, 2.0]))\nnp.float64(2.75)",
    ulps=16, magnitude=lambda a, w: np.sum(np.abs(a * w)) / np.abs(np.sum(w)), flops=3.0,
    domain=((-10.0, 10.0), (0.1, 1.0)),
    call=_of_weights,
)  # fmt: skip
def average(a, axis=None, weights=None, returned=False, *, keepdims=False, out=None, stream=None):
    """Weighted mean over axes."""
    if weights is None:
        found = mean(a, axis, None, out, keepdims, stream=stream)
        if not returned:
            return found
        kept = math.prod(operand(found, "a").shape)
        count = math.prod(operand(a, "a").shape) // kept if kept else 0
        return found, np.float64(count)
    weights = _along(weights, operand(a, "a").shape, axis)
    found = _average.calls((a, weights), out, True, stream, axis, None, keepdims, None, None)
    return (found, sum(weights, axis, keepdims=keepdims, stream=stream)) if returned else found


def _along(weights, shape, axis):
    """Weights of one axis as an array that broadcasts; TypeError or ValueError for others that do not fit."""
    given = operand(weights, "weights")
    if given.shape == shape:
        return weights
    if not isinstance(axis, int) or given.shape != (shape[axis],):
        raise ValueError(f"weights has shape {given.shape}, neither that of a, {shape}, nor the length of one axis")
    if not hasattr(weights, "reshape"):
        weights = np.asarray(weights)
    return weights.reshape([-1 if k == axis % len(shape) else 1 for k in range(len(shape))])


# --- log-sum-exp ------------------------------------------------------------------------------------------------


def _logsumexp_reference(a, b=None, *, axis, keepdims, fold, **_):
    given = a.astype(fold.ins[0], copy=False)
    with np.errstate(all="ignore"):
        weights = None if b is None else b.astype(fold.ins[0], copy=False)
        found, sign = special.logsumexp(given, axis, weights, keepdims, return_sign=True)
    if fold.finish is folds.sign_of_sum:
        return sign
    return found if fold.finish is folds.log_abs_sum or b is None else np.where(sign < 0, np.nan, found)


_logsumexp = Reduction("logsumexp", ("a",), folds.logsumexp, _logsumexp_reference)
_logsumexp_weighted = Reduction("logsumexp", ("a", "b"), folds.logsumexp, _logsumexp_reference)


@published(
    _logsumexp, _each(INTEGERS + REALS, folds.floating),
    "y = log(sum(b exp(a))), in one pass: a maximum and a sum of what is relative to it, which a new one rescales.\n"
    "Nothing overflows. The error is a few ulp of the larger of \\|y\\| and max \\|a\\|, and that of the sum, which\n"
    "is relative; -inf for nothing.",
    ">>> kernels.logsumexp(np.array([1000.0, 1000.0]))\nnp.float64(1000.6931471805599)", source=SCIPY,
    ulps=300, magnitude=lambda a: np.max(np.abs(a)) + 1, flops=4.0,
)  # fmt: skip
def logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False, *, out=None, where=True, stream=None):
    """Logarithm of the sum of exponentials over axes."""
    if b is None and not return_sign:
        return _logsumexp.calls((a,), out, where, stream, axis, None, keepdims, None, None)
    inputs, calls = ((a,), _logsumexp.calls) if b is None else ((a, b), _logsumexp_weighted.calls)
    finish = folds.log_abs_sum if return_sign else None
    found = calls(inputs, out, where, stream, axis, None, keepdims, None, finish)
    if not return_sign:
        return found
    return found, calls(inputs, None, where, stream, axis, None, keepdims, None, folds.sign_of_sum)


# --- products and norms -----------------------------------------------------------------------------------------


def _of_dot(name, parameters, conjugated):
    def reference(x, y, *, axis, keepdims, where, fold, setting, initial):
        x, y = (np.conjugate(v) if k == 0 and conjugated else v for k, v in enumerate((x, y)))
        dtype = fold.ins[0]
        products = np.multiply(x.astype(dtype, copy=False), y.astype(dtype, copy=False))
        return (np.any if dtype.kind == "b" else np.sum)(products, axis=axis, keepdims=keepdims)

    return Reduction(name, parameters, functools.partial(folds.dot, conjugated), reference)


_dot, _vdot = _of_dot("dot", ("a", "b"), False), _of_dot("vdot", ("a", "b"), True)

_PRODUCTS = f"One pass over both; integers modulo 2**bits, as NumPy's. No array of products is made.\n\n{_TREE}"


def _magnitude_of_products(a, b):
    return np.sum(np.abs(a * b))


@published(
    _dot, _each(NUMBERS), f"y = sum(a b) of two vectors, or a b where one is a number. {_PRODUCTS}",
    ">>> kernels.dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))\nnp.float64(11.0)",
    ulps=7, magnitude=_magnitude_of_products, flops=2.0,
)  # fmt: skip
def dot(a, b, out=None, *, method=None, stream=None):
    """Inner product of two vectors."""
    shapes = operand(a, "a").shape, operand(b, "b").shape
    for name, shape in zip("ab", shapes, strict=True):
        if len(shape) > 1:
            raise ValueError(f"{name} has {len(shape)} axes; dot is of vectors")
    if shapes[0] != shapes[1] and () not in shapes:
        raise ValueError(f"a has {shapes[0][0]} elements, b {shapes[1][0]}")
    axis = () if () in shapes else None
    return precise.chosen(_dot, method).calls((a, b), out, True, stream, axis, None, False, None, None)


@published(
    _vdot, _each(NUMBERS), f"y = sum(conj(a) b) of all elements, in C order. {_PRODUCTS}",
    ">>> kernels.vdot(np.array([1 + 2j, 3.0]), np.array([1 + 2j, 3.0]))\nnp.complex128(14+0j)",
    ulps=7, magnitude=_magnitude_of_products, flops=2.0,
)  # fmt: skip
def vdot(a, b, *, out=None, method=None, stream=None):
    """Inner product of all elements of two arrays, the first conjugated."""
    shapes = operand(a, "a").shape, operand(b, "b").shape
    if math.prod(shapes[0]) != math.prod(shapes[1]):
        raise ValueError(f"a has {math.prod(shapes[0])} elements, b {math.prod(shapes[1])}")
    if shapes[0] != shapes[1]:
        a, b = (x.reshape(-1) if hasattr(x, "reshape") else np.reshape(x, -1) for x in (a, b))
    return precise.chosen(_vdot, method).calls((a, b), out, True, stream, None, None, False, None, None)


def _norm_reference(x, *, axis, keepdims, fold, setting, **_):
    x = x.astype(fold.ins[0], copy=False)
    if len(axis) == 1 or setting == 2:
        if len(axis) > 1:
            return np.sqrt(np.sum(np.abs(x) ** 2, axis=axis, keepdims=keepdims))
        return np.linalg.norm(x, setting, axis[0], keepdims)
    return np.linalg.norm(x.reshape(-1), setting)


_norm = Reduction("norm", ("x",), folds.norm, _norm_reference, default=2)


@published(
    _norm, _each(NUMBERS, lambda d: folds.real(folds.floating(d))),
    "Of vectors: (sum(\\|x\\|^ord))^(1/ord); the number of elements that are not zero for 0, the largest and smallest\n"
    f"modulus for inf and -inf. Of matrices (two axes): 'fro', 1, -1, inf, -inf.\n\n{_TREE}",
    ">>> kernels.norm(np.array([3.0, 4.0]))\nnp.float64(5.0)", source=NUMPY.replace("numpy.{", "numpy.linalg.{"),
    ulps=300, flops=2.0,
)  # fmt: skip
def norm(x, ord=None, axis=None, keepdims=False, *, out=None, stream=None):
    """Norm of vectors or matrices."""
    ndim = len(operand(x, "x").shape)
    axes = axis if isinstance(axis, tuple) else tuple(range(ndim)) if axis is None else (axis,)
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return _norm.calls((x,), out, True, stream, axis, None, keepdims, None, 2)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"ord must be a number for vectors, got {ord!r}")
        return _norm.calls((x,), out, True, stream, axes, None, keepdims, None, float(ord))
    if len(axes) != 2:
        raise ValueError(f"axis must be one or two axes where ord is given, got {len(axes)}")
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"ord must be 'fro', 1, -1, inf or -inf for matrices, got {ord!r}")
    rows, columns = (k % ndim for k in axes)
    added, last = (rows, columns) if math.isfinite(ord) else (columns, rows)
    sums = _norm.calls((x,), None, True, stream, (added,), None, True, None, 1.0)
    extreme = max if ord > 0 else min
    return extreme(sums, (added, last), out, keepdims, stream=stream)

"""The mathematics of reductions, each as three functions of scalars: lift, merge, finish (`kernels.device.folds`).

    sum       (s, c) = (x, 0)                    s = s1 + s2, c = c1 + c2 + what s lost    s + c
    mean      (s, c) = (x, 0)                    the same                                  (s + c) / n
    var       (n, m, q) = (1, x, 0)              Chan, Golub & LeVeque 1979                q / (n - ddof)
    argmax    (v, i) = (x, index)                the larger, of equals the first           i
    logsumexp (m, s) = (x, 1)                    m = max(m1, m2),
                                                 s = s1 exp(m1 - m) + s2 exp(m2 - m)       m + log(s)

float16 is computed in float32. Sums of integers are modulo 2**64, as NumPy's.
"""

import functools
import math

import numpy as np

from ..device.functions import identity, implementation, lesser_of
from ..device.instructions import device_function
from ..device.numeric import like
from ..device.scalar import COMPUTE
from .kernels import Fold

INT, UINT, BOOL = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(bool)


def wide(dtype):
    """The dtype in which a fold keeps its state."""
    return COMPUTE.get(dtype, dtype)


def real(dtype):
    """The dtype of the real part."""
    return np.dtype(dtype.char.lower()) if dtype.kind == "c" else dtype


def accumulator(dtype):
    """What NumPy sums a dtype in: integers in 64 bits."""
    if dtype.kind in "bi":
        return INT
    return UINT if dtype.kind == "u" else dtype


def floating(dtype):
    """What NumPy takes means of a dtype in."""
    return np.dtype(np.float64) if dtype.kind in "biu" else dtype


def of_operator(ufunc, neutral, result=lambda dtype: dtype):
    """``fold(dtypes, dtype, setting, initial, masked)`` of a ufunc's reduction.

    `neutral` is a number, or a function of the dtype; `result` is the dtype that elements are converted to.
    """

    @functools.lru_cache(maxsize=1024)
    def fold(dtypes, dtype, setting, initial, masked):
        out = dtype or result(dtypes[0])
        state = wide(out)
        if ufunc is np.add and out.kind in "fc":
            return total("sum", (out,), out, with_nothing, (settled, settled_beside)[initial], initial, masked)
        merge = implementation(ufunc, (state, state))
        if merge is None:
            return None
        none = neutral(state) if callable(neutral) else neutral
        extras, finish = ((state,), merge) if initial else ((), identity)
        return Fold(ufunc.__name__, (out,), (state,), extras, out, identity, merge, finish, (none,), masked=masked)

    return fold


# --- sums -------------------------------------------------------------------------------------------------------


def total(name, ins, out, lift, finish, extra=False, masked=False):
    """The fold of a sum of floats or complex numbers: the sum, and what its roundings have lost."""
    state = wide(out)
    extras = (state,) if extra is True else (extra,) if extra else ()
    return Fold(name, ins, (state, state), extras, out, lift, compensated, finish, (0, 0), plainly, None, masked)


@device_function
def with_nothing(x):
    """x, of which nothing is lost."""
    return x, 0


@device_function
def compensated(s, c, t, d):
    """s + t, and what is lost by all roundings so far (Knuth's two-sum)."""
    both = s + t
    t_kept = both - s
    return both, c + d + ((s - (both - t_kept)) + (t - t_kept))


@functools.cache
def plainly(level):
    """`compensated`, of the few elements that a thread adds first, without."""
    return added


@device_function
def added(s, c, t, d):
    """s + t, and what was lost before."""
    return s + t, c


@device_function
def settled(s, c):
    """A sum with what it lost; infinities and NaN have lost all."""
    return s + c if s - s == 0 else s


@device_function
def settled_beside(s, c, initial):
    """`settled` and a number more."""
    return initial + settled(s, c)


def lowest(dtype):
    """What no number is below."""
    if dtype.kind == "b":
        return False
    if dtype.kind == "c":
        return complex(-math.inf, -math.inf)
    return -math.inf if dtype.kind == "f" else np.iinfo(dtype).min


def highest(dtype):
    """What no number is above."""
    if dtype.kind == "b":
        return True
    if dtype.kind == "c":
        return complex(math.inf, math.inf)
    return math.inf if dtype.kind == "f" else np.iinfo(dtype).max


@functools.cache
def copy_fold(dtype):
    """The fold over no axes: what is kept is copied."""
    return Fold("copy", (dtype,), (dtype, INT), (), dtype, once, either, first, (0, 0))


@device_function
def once(x):
    """x, and that there is one."""
    return x, 1


@device_function
def either(x, n, y, m):
    """That of two which there is, or the first, and how many there are."""
    return (x if n > 0 else y), n + m


@device_function
def first(x, y):
    """x, of x and y."""
    return x


# --- truth ------------------------------------------------------------------------------------------------------


@device_function
def is_nonzero(x):
    """1 where x is not zero."""
    return x != 0


@device_function
def one_if_nonzero(x):
    """1 where x is not zero, to be counted."""
    return 1 if x != 0 else 0


@functools.lru_cache(maxsize=256)
def truth(ufunc, neutral, dtypes, dtype, setting, initial, masked):
    """The fold of any and all."""
    merge = implementation(ufunc, (BOOL, BOOL))
    extras, finish = ((BOOL,), merge) if initial else ((), identity)
    lift = identity if dtypes[0].kind == "b" else is_nonzero
    return Fold(ufunc.__name__, dtypes, (BOOL,), extras, BOOL, lift, merge, finish, (neutral,), masked=masked)


@functools.lru_cache(maxsize=256)
def count(dtypes, dtype, setting, initial, masked):
    """The fold of count_nonzero."""
    add = implementation(np.add, (INT, INT))
    lift = identity if dtypes[0].kind == "b" else one_if_nonzero
    return Fold("count_nonzero", dtypes, (INT,), (), INT, lift, add, identity, (0,), masked=masked)


# --- places -----------------------------------------------------------------------------------------------------


@device_function
def numbered(x, i):
    """An element and its number."""
    return x, i


@device_function
def larger(v, i, w, j):
    """The larger of two, NaN being the largest of all; of equals the one with the lower number."""
    if w > v or (w != w and v == v):
        return w, j
    if j < i and (w == v or (w != w and v != v)):
        return w, j
    return v, i


@device_function
def smaller(v, i, w, j):
    """The smaller of two, NaN being the smallest of all; of equals the one with the lower number."""
    if w < v or (w != w and v == v):
        return w, j
    if j < i and (w == v or (w != w and v != v)):
        return w, j
    return v, i


@device_function
def second(x, y):
    """y, of x and y."""
    return y


@functools.cache
def located(nowhere):
    """The number of what equals the pivot, `nowhere` of all else."""

    @device_function
    def term(x, i, pivot):
        return i if x == pivot or x != x else nowhere

    return term


@functools.lru_cache(maxsize=256)
def place(merge, choose, worst, dtypes, dtype, setting, initial, masked):
    """The fold of argmax and argmin; `setting` is the dtype of numbers."""
    (d,) = dtypes
    none = worst(d), np.iinfo(setting).max
    pivot = implementation(choose, (wide(d), wide(d))), located(np.iinfo(setting).max), lesser_of
    return Fold("argument", (d, setting), (d, setting), (), INT, numbered, merge, second, none, None, pivot)


# --- moments ----------------------------------------------------------------------------------------------------


@device_function
def divided(s, n):
    """s / n."""
    return s / n


@device_function
def settled_share(s, c, n):
    """A sum over n."""
    return settled(s, c) / n


@functools.lru_cache(maxsize=256)
def mean(dtypes, dtype, setting, initial, masked):
    """The fold of mean."""
    out = dtype or floating(dtypes[0])
    if out.kind not in "fc":
        return None
    part = real(wide(out))
    if not masked:
        return total("mean", (out,), out, with_nothing, settled_share, part)
    state = wide(out), wide(out), part
    return Fold("mean", (out,), state, (), out, counted, add_counted, settled_share, (0, 0, 0), masked=True)


@device_function
def counted(x):
    """x, of which nothing is lost, and how many it is."""
    return x, 0, 1


@device_function
def add_counted(s, c, n, t, d, m):
    """Sums and counts."""
    both, lost = compensated(s, c, t, d)
    return both, lost, n + m


@device_function
def alone(x):
    """Count, mean and sum of squared deviations of one element."""
    return 1, x, 0


@device_function
def abs_squared(x):
    """|x|**2."""
    return x.real * x.real + x.imag * x.imag


@device_function
def pooled(n, m, q, k, p, r):
    """Those of two sets, from those of each (Chan, Golub & LeVeque 1979)."""
    total = n + k
    share = k / total if total > 0 else k
    d = p - m
    return total, m + d * share, q + r + d * d * (n * share)


@device_function
def pooled_complex(n, m, q, k, p, r):
    """`pooled` of complex numbers."""
    total = n + k
    share = k / total if total > 0 else k
    d = p - m
    return total, m + d * share, q + r + abs_squared(d) * (n * share)


@functools.cache
def balanced(level):
    """`pooled` where both sets have 2**level elements."""
    half, both = 2.0 ** (level - 1), 2.0 ** (level + 1)

    @device_function
    def merge(n, m, q, k, p, r):
        d = p - m
        return both, m + d * 0.5, q + r + d * d * half

    return merge


@functools.cache
def balanced_complex(level):
    """`balanced` of complex numbers."""
    half, both = 2.0 ** (level - 1), 2.0 ** (level + 1)

    @device_function
    def merge(n, m, q, k, p, r):
        d = p - m
        return both, m + d * 0.5, q + r + abs_squared(d) * half

    return merge


@device_function
def variance(n, m, q, ddof):
    """q / (n - ddof), NaN where that is nothing."""
    left = n - ddof
    return q / (left if left > 0 else n - n)


@device_function
def deviation(n, m, q, ddof):
    """Square root of the variance."""
    left = n - ddof
    return np.sqrt(q / (left if left > 0 else n - n))


@functools.lru_cache(maxsize=256)
def spread(finish, dtypes, dtype, setting, initial, masked):
    """The fold of var and std."""
    computed = dtype or floating(dtypes[0])
    if computed.kind not in "fc":
        return None
    state = wide(computed)
    part, out = real(state), real(computed)
    merges = (pooled_complex, balanced_complex) if state.kind == "c" else (pooled, balanced)
    return Fold("var", (computed,), (part, state, part), (part,), out, alone, merges[0], finish, (0, 0, 0), merges[1],
                None, masked)  # fmt: skip


# --- log-sum-exp ------------------------------------------------------------------------------------------------


@device_function
def exponent_alone(x):
    """x = log(1 exp(x))."""
    return x, 1


@device_function
def exponent_weighted(x, b):
    """b exp(x); nothing where b is 0."""
    return (x if b != 0 else like(-math.inf, x)), b


@device_function
def exponents(m, s, p, t):
    """log(s exp(m) + t exp(p)), as a maximum and a sum of what is relative to it."""
    top, low = (m, p) if m > p else (p, m)
    a, b = (s, t) if m > p else (t, s)
    gap = low - top  # NaN for two equal infinities too, of which the second adds nothing that shows
    return top, a + (b * np.exp(gap) if gap == gap else 0 if low == top else gap)


@device_function
def relative(x, b, pivot):
    """b exp(x - pivot); b exp(x) where the pivot is infinite or NaN."""
    return b * np.exp(x - pivot if pivot - pivot == 0 else x)


@device_function
def log_sum(m, s):
    """m + log(s)."""
    return m + np.log(s)


@device_function
def log_abs_sum(m, s):
    """m + log|s|."""
    return m + np.log(np.fabs(s))


@device_function
def sign_of_sum(m, s):
    """The sign of s."""
    return np.sign(s)


@functools.lru_cache(maxsize=256)
def logsumexp(dtypes, dtype, setting, initial, masked):
    """The fold of logsumexp, of weighted exponentials where there are two dtypes; `setting` is what finishes it."""
    out = np.result_type(*map(floating, dtypes))
    if out.kind != "f":
        return None
    state, finish = wide(out), setting or log_sum
    if len(dtypes) > 1:
        return Fold("logsumexp", (out, out), (state, state), (), out, exponent_weighted, exponents, finish,
                    (-math.inf, 0), masked=masked)  # fmt: skip
    pivot = implementation(np.maximum, (state, state)), relative, implementation(np.add, (state, state))
    return Fold("logsumexp", (out,), (state, state), (), out, exponent_alone, exponents, finish, (-math.inf, 0), None,
                pivot, masked)  # fmt: skip


# --- sums of functions ------------------------------------------------------------------------------------------


@device_function
def square_root(s, c):
    """Square root of a sum."""
    return np.sqrt(settled(s, c))


@device_function
def squared(x):
    """x**2, of which nothing is lost."""
    return x * x, 0


@device_function
def abs_squared_alone(x):
    """|x|**2, of which nothing is lost."""
    return abs_squared(x), 0


@device_function
def modulus(x):
    """|x|."""
    return np.absolute(x)


@device_function
def modulus_alone(x):
    """|x|, of which nothing is lost."""
    return np.absolute(x), 0


@device_function
def counted_if_nonzero(x):
    """1 where x is not zero."""
    return (1 if x != 0 else 0), 0


@functools.lru_cache(maxsize=256)
def norm(dtypes, dtype, setting, initial, masked):
    """The fold of a vector norm; `setting` is its order."""
    given = floating(dtypes[0])
    out = real(given)
    if math.isinf(setting):
        ufunc, none = (np.maximum, 0) if setting > 0 else (np.minimum, math.inf)
        state = wide(out)
        merge = implementation(ufunc, (state, state))
        return Fold("norm", (given,), (state,), (), out, modulus, merge, identity, (none,))
    if setting == 2:
        lift, finish = abs_squared_alone if given.kind == "c" else squared, square_root
    else:
        lift, finish = {1: (modulus_alone, settled), 0: (counted_if_nonzero, settled)}.get(setting) or power_of(setting)
    return total("norm", (given,), out, lift, finish)


@functools.cache
def power_of(p):
    """|x|**p, and the root of a sum of these."""
    inverse = 1 / p

    @device_function
    def lift(x):
        return np.power(np.absolute(x), p), 0

    @device_function
    def finish(s, c):
        return np.power(settled(s, c), inverse)

    return lift, finish


@device_function
def product(x, y):
    """x y."""
    return x * y


@device_function
def product_alone(x, y):
    """x y, of which nothing is lost."""
    return x * y, 0


@device_function
def conjugate_product(x, y):
    """conj(x) y, of which nothing is lost."""
    return np.conjugate(x) * y, 0


@device_function
def both_true(x, y):
    """x and y, of booleans."""
    return x and y


@functools.lru_cache(maxsize=256)
def dot(conjugated, dtypes, dtype, setting, initial, masked):
    """The fold of an inner product."""
    out = np.result_type(*dtypes)
    if out.kind in "fc":
        lift = conjugate_product if conjugated and out.kind == "c" else product_alone
        return total("dot", (out, out), out, lift, settled)
    add = implementation(np.add, (out, out))
    return Fold("dot", (out, out), (out,), (), out, both_true if out.kind == "b" else product, add, identity, (0,))


@device_function
def weighted(x, w):
    """w x and w, of which nothing is lost."""
    return x * w, 0, w, 0


@device_function
def add_weighted(s, c, w, v, t, d, u, z):
    """Sums of products and of weights."""
    both, lost = compensated(s, c, t, d)
    weights, missing = compensated(w, v, u, z)
    return both, lost, weights, missing


@device_function
def settled_quotient(s, c, w, v):
    """One sum over the other."""
    return settled(s, c) / settled(w, v)


@functools.lru_cache(maxsize=256)
def average(dtypes, dtype, setting, initial, masked):
    """The fold of a weighted mean."""
    out = np.result_type(*map(floating, dtypes))
    state = (wide(out),) * 4
    return Fold("average", (out, out), state, (), out, weighted, add_weighted, settled_quotient, (0, 0, 0, 0))


@device_function
def twice(x):
    """x as the least and the largest of one."""
    return x, x


@device_function
def minus(low, high):
    """high - low."""
    return high - low


@functools.lru_cache(maxsize=256)
def ptp(dtypes, dtype, setting, initial, masked):
    """The fold of ptp."""
    (d,) = dtypes
    least, largest = (implementation(ufunc, (wide(d), wide(d))) for ufunc in (np.minimum, np.maximum))
    if d.kind == "b":
        return None

    @device_function
    def merge(a, b, c, e):
        return least(a, c), largest(b, e)

    return Fold("ptp", (d,), (d, d), (), d, twice, merge, minus, (highest(d), lowest(d)), masked=masked)


# --- without NaN ------------------------------------------------------------------------------------------------


def without_nan(fold, lift=None):
    """A fold that elements which are NaN leave as it is; integers have none."""
    if fold is None or fold.ins[0].kind not in "fc":
        return fold
    return fold._replace(lift=lift or passing(fold.lift, fold.neutral), balanced=None, pivot=None)


@functools.lru_cache(maxsize=256)
def passing(lift, neutral):
    """`lift` of what is a number, of NaN the neutral state."""
    if len(neutral) == 1:
        (none,) = neutral

        @device_function
        def single(x):
            return lift(x) if x == x else none

        return single

    @device_function
    def several(x):
        return lift(x) if x == x else neutral

    return several


@device_function
def counted_number(x):
    """`counted`; of NaN the state of nothing."""
    return (x, 0, 1) if x == x else (0, 0, 0)


@device_function
def alone_number(x):
    """`alone`; of NaN the state of nothing."""
    return (1, x, 0) if x == x else (0, 0, 0)


def nan_of_operator(ufunc, neutral, result=lambda dtype: dtype):
    """`of_operator` without NaN."""
    plain = of_operator(ufunc, neutral, result)

    def fold(dtypes, dtype, setting, initial, masked):
        return without_nan(plain(dtypes, dtype, setting, initial, masked))

    return fold


def nan_mean(dtypes, dtype, setting, initial, masked):
    """The fold of nanmean."""
    counted_ = mean(dtypes, dtype, setting, initial, True)
    return counted_ and without_nan(counted_._replace(masked=masked), counted_number)


def nan_spread(finish, dtypes, dtype, setting, initial, masked):
    """The fold of nanvar and nanstd."""
    return without_nan(spread(finish, dtypes, dtype, setting, initial, masked), alone_number)


def nan_place(merge, choose, worst, dtypes, dtype, setting, initial, masked):
    """The fold of nanargmax and nanargmin."""
    plain = place(merge, choose, worst, dtypes, dtype, setting, initial, masked)
    if dtypes[0].kind not in "fc":
        return plain
    lift, finish = _numbered_numbers(plain.neutral)
    return plain._replace(lift=lift, finish=finish, pivot=None)


@functools.lru_cache(maxsize=256)
def _numbered_numbers(neutral):
    none, nowhere = neutral

    @device_function
    def lift(x, i):
        return (x, i) if x == x else (none, nowhere)

    @device_function
    def finish(x, i):
        return i if i != nowhere else -1

    return lift, finish

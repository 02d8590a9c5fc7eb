r"""How far a correct floating-point result may be from the exact one.

Notation, after N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., SIAM 2002
(doi:10.1137/1.9780898718027): :math:`u` is the unit roundoff, half the gap between 1 and the next number.
Without underflow and overflow each operation obeys :math:`fl(x \circ y) = (x \circ y)(1 + \delta)`,
:math:`|\delta| \le u`. A product of :math:`n` such factors is :math:`1 + \theta_n` with

.. math:: |\theta_n| \le \gamma_n = \frac{n u}{1 - n u}

(Lemma 3.1), and everything below is counting: how many factors :math:`1 + \delta` does a term collect on its
way into the result? Sums and differences are exact where they underflow; a product may lose half the
smallest subnormal number :math:`\eta` there.

Bounds for float64 are `numpy.longdouble`, because half a subnormal spacing of float64 is no float64; those
for the narrower dtypes are float64. Where `numpy.longdouble` is float64 itself (Windows, macOS on ARM) the
subnormal half spacing rounds to zero.
"""

import math

import numpy as np


def _real(dtype):
    """Dtype of the components: float32 for complex64, itself for real dtypes."""
    dtype = np.dtype(dtype)
    return np.finfo(dtype).dtype if dtype.kind == "c" else dtype


def _wide(dtype):
    """Dtype in which errors of `dtype` are computed."""
    return np.dtype(np.float64) if np.dtype(dtype).itemsize < 8 else np.dtype(np.longdouble)


def unit_roundoff(dtype):
    """Return the largest relative error of one rounding, half the gap between 1 and the next number.

    Parameters
    ----------
    dtype : dtype
        Floating or complex (that of the components counts); 0 for bool and integers, which do not round.

    Returns
    -------
    u : float

    Examples
    --------
    >>> from kernels.testing import unit_roundoff
    >>> unit_roundoff("float32") == 2**-24
    True
    """
    dtype = _real(dtype)
    return float(np.finfo(dtype).eps) / 2 if dtype.kind == "f" else 0.0


def ulp(x, dtype):
    """Return the gap between neighbouring numbers of a dtype at real numbers given in higher precision.

    For x in a binade [2^e, 2^(e+1)) this is 2^(e - p + 1) with p the bits of the significand, never less than
    the smallest subnormal number, and above the largest number what it is just below. It equals `math.ulp`
    on float64, where exact powers of two have the gap above them.

    Parameters
    ----------
    x : array_like of real numbers
        NumPy floats or integers, or an object array of mpmath numbers.
    dtype : dtype
        Floating or complex (that of the components counts); for bool and integers the gap is 1.

    Returns
    -------
    gap : numpy.ndarray of float64 or longdouble
        Shape of `x`; infinity at infinities, nan at nan.

    Examples
    --------
    >>> from kernels.testing import ulp
    >>> float(ulp(1.0, "float32")) == 2**-23
    True
    """
    x, dtype = np.asarray(x), _real(dtype)
    if x.dtype == object:
        x = _map(_toward_zero, x)
    if dtype.kind != "f":
        return np.ones(x.shape)
    info, wide = np.finfo(dtype), _wide(dtype)
    if x.dtype.kind != "f":
        x = x.astype(np.longdouble)
    _, exponent = np.frexp(x)
    exponent = np.where(x == 0, info.minexp, np.clip(exponent - 1, info.minexp, info.maxexp - 1))
    gap = np.ldexp(np.ones((), wide), exponent - info.nmant)
    return np.where(np.isfinite(x), gap, np.abs(x).astype(wide))


def _map(function, *arrays):
    """Elementwise function of object arrays, floats out."""
    with np.errstate(all="ignore"):
        return np.asarray(np.frompyfunc(function, len(arrays), 1)(*arrays), dtype=np.float64)


def _toward_zero(x):
    """Nearest float64 not farther from zero: it lies in the binade of `x`.

    Comparisons of mpmath numbers are exact; their abs rounds to the working precision.
    """
    y = float(x)
    return math.nextafter(y, 0.0) if (y > x > 0 or y < x < 0) else y


def _parts(x):
    """Real and imaginary part, of object arrays too."""
    if x.dtype != object:
        return x.real, x.imag
    parts = np.frompyfunc(lambda z: (z.real, z.imag), 1, 2)(x)
    return tuple(np.asarray(part, dtype=object) for part in parts)


def _ulps(actual, exact, dtype, signed_zero=False):
    """Error of real results, and the unit it is measured in: (error in ulps, ulp)."""
    unit = ulp(exact, dtype)
    if dtype.kind != "f":
        return _whole_error(actual, exact), unit
    if exact.dtype == object:
        error = _map(lambda a, e, gap: _one_error(float(a), e, float(gap), dtype), actual, exact, unit)
    else:
        error = _array_error(actual, exact, unit, dtype)
    if signed_zero:
        sign = _map(lambda e: math.copysign(1.0, e), exact) if exact.dtype == object else exact
        wrong = (actual == 0) & (exact == 0) & (np.signbit(actual) != np.signbit(sign))
        error = np.where(wrong, np.inf, error)
    return error, unit


def _array_error(actual, exact, unit, dtype):
    wide = np.result_type(_wide(dtype), exact.dtype)
    actual, exact = actual.astype(wide), exact.astype(wide)
    edge = np.ldexp(np.ones((), wide), np.finfo(dtype).maxexp)
    with np.errstate(all="ignore"):
        past = np.copysign(np.maximum(edge, np.abs(exact)), actual)
        error = np.abs(np.where(np.isinf(actual), past, actual) - exact) / unit
    agree = (actual == exact) | (np.isnan(actual) & np.isnan(exact))
    return np.where(agree, 0, np.where(np.isfinite(exact) & ~np.isnan(actual), error, np.inf))


def _one_error(actual, exact, unit, dtype):
    """Do what `_array_error` does, for one exact value of an arbitrary-precision type."""
    if actual != actual or exact != exact:
        return 0.0 if actual != actual and exact != exact else math.inf
    if actual == exact:
        return 0.0
    if abs(exact) == math.inf:
        return math.inf
    if math.isinf(actual):
        sign, maxexp = (1 if actual > 0 else -1), int(np.finfo(dtype).maxexp)
        if isinstance(exact, float):  # no float is 2^1024, but this quotient is exact
            return max(0.0, math.ldexp(1.0, min(maxexp - int(math.log2(unit)), 1023)) - sign * exact / unit)
        return max(0.0, float(sign * (sign * 2**maxexp - exact) / unit))
    return float(abs(exact - actual) / unit)


def _whole_error(actual, exact):
    """|actual - exact| of integers and bools, without overflow."""
    if actual.dtype == exact.dtype and actual.dtype.kind in "iu":
        gap = np.maximum(actual, exact) - np.minimum(actual, exact)
        return np.asarray(gap).view(f"u{actual.dtype.itemsize}").astype(np.float64)
    return _map(lambda a, e: float(abs(int(a) - e)), actual.astype(object), exact.astype(object))


def _error(actual, exact, dtype, signed_zero=False, normwise=False):
    """Error in ulps and in absolute terms, complex numbers by their components or by their modulus."""
    component = _real(dtype)
    if dtype.kind != "c":
        error, unit = _ulps(actual, exact, component, signed_zero)
        return error, _scale(error, unit)
    ulps, units = zip(
        *(_ulps(a, e, component, signed_zero) for a, e in zip(_parts(actual), _parts(exact), strict=True)),
        strict=True,
    )
    absolute = np.hypot(*(_scale(error, unit) for error, unit in zip(ulps, units, strict=True)))
    if not normwise:
        return np.maximum(*ulps), absolute
    unit = ulp(np.abs(exact), component)
    with np.errstate(invalid="ignore"):
        return np.where((absolute == 0) | np.isinf(absolute), absolute, absolute / unit), absolute


def _scale(error, unit):
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where((error == 0) | np.isinf(error), error, error * unit)


def ulp_error(actual, exact, dtype=None, *, normwise=False, signed_zero=False):
    """Return the error of results in units of the gap between numbers at the exact value.

    A correctly rounded result has an error of at most 0.5, and a result that is one of the two neighbours of
    the exact value has one below 1.

    Parameters
    ----------
    actual : array_like
        Results in `dtype`.
    exact : array_like
        Exact values: NumPy numbers of higher precision, or an object array of mpmath numbers, whose working
        precision is that of the comparison.
    dtype : dtype, optional
        Whose gaps are the unit; that of `actual` by default. For bool and integers the unit is 1.
    normwise : bool
        For complex results: modulus of the error in gaps at the modulus of the exact value. Otherwise the
        larger of the errors of the real and the imaginary part, each in its own gaps.
    signed_zero : bool
        Count a zero of the wrong sign as an infinite error.

    Returns
    -------
    error : numpy.ndarray of float64

    Notes
    -----
    - nan for nan and an infinity for the same infinity are no error; nan, or an infinity, on one side alone
      is an infinite one, but:
    - A finite exact value may round to infinity. Infinity then stands for the first number that the format no
      longer has, 2^emax+1: just above the largest number, half a gap is the most that rounding costs, and
      beyond 2^emax+1 infinity has no error.
    - Below the smallest normal number the gap is the smallest subnormal number.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.testing import ulp_error
    >>> x = np.float32(2)
    >>> float(ulp_error(np.sqrt(x), np.sqrt(np.float64(x)))) < 0.5
    True
    >>> ulp_error(np.array([np.inf, np.nan]), np.array([np.inf, np.nan]))
    array([0., 0.])
    """
    actual, exact = np.asarray(actual), np.asarray(exact)
    dtype = actual.dtype if dtype is None else np.dtype(dtype)
    actual, exact = np.broadcast_arrays(actual, exact)
    error, _ = _error(actual, exact, dtype, signed_zero, normwise)
    with np.errstate(over="ignore"):
        return error.astype(np.float64)


def gamma(n, dtype):
    r"""Return :math:`\gamma_n = n u / (1 - n u)`, the bound on n accumulated roundings.

    Parameters
    ----------
    n : int or array_like of int
        Number of roundings.
    dtype : dtype
        In which they happen; 0 for bool and integers.

    Returns
    -------
    gamma : float or numpy.ndarray

    Raises
    ------
    ValueError
        If n u reaches 1, where nothing can be said (2048 roundings in float16).

    References
    ----------
    Higham 2002, Lemma 3.1.

    Examples
    --------
    >>> from kernels.testing import gamma
    >>> gamma(1, "float64") > 2**-53
    True
    """
    nu = np.asarray(np.asarray(n) * unit_roundoff(dtype))
    if np.any(nu >= 1):
        raise ValueError(f"{np.max(n)} roundings in {np.dtype(dtype)} have no bound: n u >= 1")
    bound = nu / (1 - nu)
    return bound if bound.ndim else float(bound)


def tree_depth(n, serial=1):
    """Return the additions that an element passes through on its way into a sum folded as a binary tree.

    Runs of `serial` elements are added one after another, and their sums in pairs:
    serial - 1 + ceil(log2(ceil(n / serial))).

    Parameters
    ----------
    n : int
        Number of elements.
    serial : int
        Elements that one thread adds before the tree begins.

    Returns
    -------
    depth : int

    Examples
    --------
    >>> from kernels.testing import tree_depth
    >>> tree_depth(1024), tree_depth(1024, serial=4)
    (10, 11)
    """
    if serial < 1:
        raise ValueError(f"serial must be at least 1, not {serial}")
    runs = -(-n // serial)
    return min(serial, max(n, 1)) - 1 + (max(runs, 1) - 1).bit_length()


def sum_bound(n, dtype, absolute_sum, *, depth=None):
    r"""Return the largest error of a sum of n numbers.

    .. math:: |\hat s - s| \le \gamma_d \sum_i |x_i|

    Every term collects one factor :math:`1 + \delta` in each addition on its way into the result, at most d.
    For an unknown order that is n - 1; for a tree it is about :math:`\log_2 n`. Additions do not underflow.

    Parameters
    ----------
    n : int
        Number of terms.
    dtype : dtype
        In which they are added. Rounding the sum to a narrower dtype costs ``map_bound(0.5, s, narrower)``
        more.
    absolute_sum : array_like
        Sum of the moduli of the terms, in float64 or better.
    depth : int, optional
        The most additions that any one term passes through, as from `tree_depth`.

    Returns
    -------
    bound : float or numpy.ndarray
        Absolute. For complex sums a bound on the modulus of the error.

    References
    ----------
    Higham 2002, section 4.2, equations (4.4) and (4.6).

    Examples
    --------
    >>> from kernels.testing import sum_bound, tree_depth
    >>> n, absolute_sum = 1025, 512.0
    >>> in_any_order = sum_bound(n, "float32", absolute_sum)
    >>> as_a_tree = sum_bound(n, "float32", absolute_sum, depth=tree_depth(n))
    >>> round(float(in_any_order / as_a_tree))
    93
    """
    depth = max(n - 1, 0) if depth is None else depth
    return gamma(depth, dtype) * np.abs(absolute_sum)


def dot_bound(n, dtype, absolute_dot, *, depth=None):
    r"""Return the largest error of an inner product of n pairs.

    .. math:: |fl(x^T y) - x^T y| \le \gamma_{d+1} |x|^T |y| + n \eta .

    One rounding for the product and d for the additions (none is saved by a fused multiply-add, which only
    lowers the count). A complex product is :math:`xy(1 + \delta)` with
    :math:`|\delta| \le \sqrt 2 \gamma_2 \le \gamma_3`, three roundings. A product that underflows loses at
    most :math:`\eta/2`, half the smallest subnormal number (twice that in each component of a complex one),
    which grows in the additions by less than a factor 2 as long as :math:`\gamma_d \le 1`.

    Parameters
    ----------
    n : int
        Number of pairs.
    dtype : dtype
        In which they are multiplied and added.
    absolute_dot : array_like
        Inner product of the moduli, in float64 or better. Of matrices: ``abs(A) @ abs(B)``.
    depth : int, optional
        The most additions that any one product passes through, n - 1 by default; see `tree_depth`.

    Returns
    -------
    bound : float or numpy.ndarray

    References
    ----------
    Higham 2002, equation (3.5), Lemma 3.5 for complex arithmetic, section 2.8 for underflow.

    Examples
    --------
    >>> from kernels.testing import dot_bound, gamma
    >>> bool(dot_bound(8, "float32", 0.5) >= gamma(8, "float32") * 0.5)
    True
    """
    dtype = np.dtype(dtype)
    depth = max(n - 1, 0) if depth is None else depth
    product, lost = (3, 3) if dtype.kind == "c" else (1, 1)
    eta = float(np.finfo(dtype).smallest_subnormal) if dtype.kind in "fc" else 0.0
    return gamma(depth + product, dtype) * np.abs(absolute_dot) + n * lost * eta


def map_bound(ulps, exact, dtype):
    """Return the largest error of a function that is accurate to some ulps: ``ulps * ulp(exact)``.

    Parameters
    ----------
    ulps : float
        Stated accuracy of the function; 0.5 for a correctly rounded one.
    exact : array_like
        Exact values, as for `ulp_error`. The bound on the modulus of a complex error takes the gap at the
        modulus.
    dtype : dtype
        Of the result.

    Returns
    -------
    bound : numpy.ndarray

    Examples
    --------
    >>> from kernels.testing import map_bound
    >>> float(map_bound(0.5, 1.0, "float32")) == 2**-24
    True
    """
    exact = np.asarray(exact)
    if np.dtype(dtype).kind == "c":
        exact = np.abs(exact)
    return ulps * ulp(exact, dtype)


def condition_bound(ulps, exact, dtype, *, condition, input_error):
    r"""Return the largest error of a function of an input that is itself inexact.

    With :math:`\hat x = x (1 + \epsilon)` the exact function returns, to first order,
    :math:`f(\hat x) = f(x) (1 + \kappa \epsilon)`, where :math:`\kappa = |x f'(x) / f(x)|` is the condition
    number; computing it adds the function's own error:

    .. math:: |\hat f - f(x)| \le \mathtt{ulps} \cdot \mathrm{ulp}(f(x)) + \kappa |\epsilon| |f(x)| .

    Parameters
    ----------
    ulps : float
        Accuracy of the function itself.
    exact : array_like
        Exact values f(x).
    dtype : dtype
        Of the result.
    condition : array_like
        Condition number at x: 1 for a product's factor, ``|x|`` for exp, ``1 / |log x|`` for log. Where f(x) = 0 and
        it is infinite, use ``map_bound(ulps, exact, dtype) + abs(derivative * x) * input_error`` instead.
    input_error : array_like
        Relative error of x, such as ``gamma(k, dtype)`` after k operations.

    Returns
    -------
    bound : numpy.ndarray

    References
    ----------
    Higham 2002, section 1.6: forward error <= condition number * backward error.

    Examples
    --------
    exp of a rounded product:

    >>> import numpy as np
    >>> from kernels.testing import assert_within, condition_bound, unit_roundoff
    >>> x, y = np.float32(3.3), np.float32(7.7)
    >>> exponent = float(x) * float(y)
    >>> bound = condition_bound(2, np.exp(exponent), "float32", condition=exponent,
    ...                         input_error=unit_roundoff("float32"))
    >>> assert_within(np.exp(x * y), np.exp(exponent), bound, dtype="float32") <= 1
    True
    """
    magnitude = np.abs(np.asarray(exact))
    if magnitude.dtype == object:
        magnitude = _map(float, magnitude)
    return map_bound(ulps, exact, dtype) + magnitude * np.abs(condition) * np.abs(input_error)

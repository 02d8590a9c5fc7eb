"""Comparison of a result with what it should be, and a report that can be pasted and run."""

import numpy as np

from .bounds import _error, _real


def assert_within(
    actual,
    expected,
    bound,
    *,
    dtype=None,
    signed_zero=False,
    function=None,
    inputs=(),
    reproduce=None,
):
    """Assert that every element is within its error bound, ``|actual - expected| <= bound``.

    Parameters
    ----------
    actual : array_like
        The result.
    expected : array_like
        What it should be: an array of the same dtype, or with `dtype` one of higher precision (float64,
        longdouble, an object array of mpmath numbers).
    bound : float or array_like
        Absolute, of a shape that broadcasts to that of the result. 0 asks for equality.
    dtype : dtype, optional
        Which the result must have; that of `expected` by default.
    signed_zero : bool
        Tell -0.0 from 0.0.
    function : str or callable, optional
        What was called; a dotted name such as ``"kernels.add"``, or the function itself.
    inputs : tuple of array_like
        The arguments it was called with: reported at the worst element if they broadcast to the result, else
        whole.
    reproduce : str, optional
        Further lines for the report: how to draw the inputs again.

    Returns
    -------
    worst : float
        Largest error in units of its bound, 0 for empty arrays.

    Raises
    ------
    AssertionError
        If shape or dtype differ, or an element is out of bounds. nan agrees with nan alone and an infinity
        with the same infinity alone; but where `expected` is of higher precision than the result, an infinity
        stands for the first number that the result's format no longer has (see `ulp_error`), since a finite
        exact value may round to it.
    ValueError
        If a bound is negative.

    Notes
    -----
    Errors of complex results are measured by the modulus of the difference; nan and infinities must agree in
    both components.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.testing import assert_within, map_bound
    >>> x = np.array([1, 2, 4], np.float32)
    >>> exact = np.sqrt(x.astype(np.float64))
    >>> assert_within(np.sqrt(x), exact, map_bound(0.5, exact, x.dtype), dtype=x.dtype) <= 1
    True
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if dtype is None:
        dtype = actual.dtype if expected.dtype == object else expected.dtype
    dtype = np.dtype(dtype)
    name = _name(function) or "result"
    _assert_same_kind(name, actual, expected, dtype)
    bound = np.broadcast_to(np.asarray(bound), actual.shape)
    if np.any(bound < 0):
        raise ValueError("bound must not be negative")

    _, error = _error(actual, expected, dtype, signed_zero)
    if expected.dtype == dtype:
        error = np.where(_infinite(actual) != _infinite(expected), np.inf, error)
    within = (error == 0) | ((error <= bound) & np.isfinite(error))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        units = np.where(error == 0, 0, np.where(bound == 0, np.inf, error / bound))
    units = np.where(np.isnan(units), np.inf, units)
    if within.all():
        return float(units.max(initial=0))

    # An error infinitely many bounds off is compared by its size instead.
    ranks = np.lexsort((error.ravel(), np.where(within, -1, units).ravel()))
    worst = tuple(int(i) for i in np.unravel_index(ranks[-1], actual.shape))
    raise AssertionError(
        _report(
            f"{name}: {np.count_nonzero(~within)} of {actual.size} elements are out of bounds, "
            f"the worst by {units[worst]:.9g} times its bound",
            actual,
            expected,
            worst,
            f"{error[worst]:.9g}, bound {bound[worst]:.9g}",
            function,
            inputs,
            reproduce,
        )
    )


def assert_equal_bits(actual, expected, *, nan_payload=True, function=None, inputs=(), reproduce=None):
    """Assert that two arrays have the same shape, dtype and bits: -0.0 is not 0.0, and every nan is itself.

    Parameters
    ----------
    actual, expected : array_like
    nan_payload : bool
        False lets any nan equal any other, whatever its sign and payload.
    function, inputs, reproduce
        For the report, as in `assert_within`.

    Raises
    ------
    AssertionError
        If anything differs.

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.testing import assert_equal_bits
    >>> assert_equal_bits(np.float32([0.0, np.nan]), np.float32([0.0, -np.nan]), nan_payload=False)
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    name = _name(function) or "result"
    _assert_same_kind(name, actual, expected, expected.dtype)
    bits = f"u{_real(actual.dtype).itemsize}"
    parts = 2 if actual.dtype.kind == "c" else 1
    pair = [_components(array).reshape(-1, parts) for array in (actual, expected)]
    different = pair[0].view(bits) != pair[1].view(bits)
    if not nan_payload:
        different &= ~(np.isnan(pair[0]) & np.isnan(pair[1]))
    different = different.any(axis=1)
    if not different.any():
        return

    first = int(np.argmax(different))
    patterns = [" ".join(f"0x{int(b):0{2 * b.itemsize}x}" for b in a.view(bits)[first]) for a in pair]
    raise AssertionError(
        _report(
            f"{name}: {np.count_nonzero(different)} of {actual.size} elements differ in their bits",
            actual,
            expected,
            tuple(int(i) for i in np.unravel_index(first, actual.shape)),
            f"bits {patterns[0]}, expected {patterns[1]}",
            function,
            inputs,
            reproduce,
        )
    )


def _assert_same_kind(name, actual, expected, dtype):
    if actual.shape != expected.shape:
        raise AssertionError(f"{name}: shape {actual.shape}, expected {expected.shape}")
    if actual.dtype != dtype:
        raise AssertionError(f"{name}: dtype {actual.dtype}, expected {dtype}")
    if dtype.kind not in "biufc":
        raise AssertionError(f"{name}: dtype {dtype} holds no numbers")
    if expected.dtype.kind == "c" and dtype.kind != "c":
        raise AssertionError(f"{name}: dtype {dtype}, expected values are {expected.dtype}")


def _infinite(array):
    return np.isinf(array.real) + 2 * np.isinf(array.imag)


def _report(headline, actual, expected, index, error, function, inputs, reproduce):
    lines = [
        headline,
        f"  index     {index}",
        f"  actual    {_shown(actual[index])}",
        f"  expected  {_shown(expected[index])}",
        f"  error     {error}",
    ]
    snippet = _snippet(function, inputs, actual.shape, index) + ([reproduce] if reproduce else [])
    if snippet:
        lines += ["  reproduce with", *("    " + line for text in snippet for line in text.splitlines())]
    return "\n".join(lines)


def _shown(value):
    """Repr, and for floats the exact value in hexadecimal."""
    if isinstance(value, np.floating) and value.dtype.itemsize <= 8:
        return f"{value!r}  {float(value).hex()}"
    if isinstance(value, np.complexfloating) and value.dtype.itemsize <= 16:
        return f"{value!r}  {float(value.real).hex()} {float(value.imag).hex()}"
    return repr(value)


def _name(function):
    if function is None or isinstance(function, str):
        return function
    return f"{function.__module__}.{function.__qualname__}"


def _snippet(function, inputs, shape, index):
    """Lines of Python that call the function again with the inputs of one element."""
    if not inputs:
        return []
    inputs = [np.asarray(x) for x in inputs]
    elementwise = all(_broadcasts(x.shape, shape) for x in inputs)
    names = [f"x{i}" for i in range(1, len(inputs) + 1)]
    lines = ["from numpy import array, inf, nan"]
    module, _, plain = (_name(function) or "").rpartition(".")
    if module and "<locals>" not in module and module != "__main__":
        lines.append(f"import {module}")
        plain = f"{module}.{plain}"
    for name, x in zip(names, inputs, strict=True):
        x = np.broadcast_to(x, shape)[index].reshape(1) if elementwise else x
        lines.append(f"{name} = {_literal(x)}")
    return [*lines, f"{plain}({', '.join(names)})"] if plain else lines


def _broadcasts(shape, onto):
    try:
        return np.broadcast_shapes(shape, onto) == onto
    except ValueError:
        return False


def _literal(x):
    """Python text of an array, exact: the decimals of a float are those of its float64."""
    if x.size > 1000:
        return f"...  # {x.dtype} of shape {x.shape}"
    if x.dtype.kind == "c":
        parts = _components(x)
        return f"array({parts.tolist()}, {parts.dtype.name!r}).view({x.dtype.name!r}).reshape({x.shape})"
    shape = "" if x.ndim == 1 and x.size else f".reshape({x.shape})"
    return f"array({x.ravel().tolist()}, {x.dtype.name!r}){shape}"


def _components(x):
    """All numbers in a row, complex ones as two."""
    return np.ascontiguousarray(x).reshape(-1).view(_real(x.dtype))

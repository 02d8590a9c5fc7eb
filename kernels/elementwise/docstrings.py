"""The docstrings of elementwise functions: what all of them share, said once."""

import re

import numpy as np

_PARAMETERS = """\
    out : array or tuple of arrays, optional
        Where to write, of the broadcast shape; may overlap the inputs.
    where : array of bool, optional
        Broadcast with the inputs; elements of `out` where it is False stay as they are.
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}, optional
    dtype : dtype, optional
        Of the computation and the result.
    stream : stream or int, optional
        Of Numba, cuda.core, CuPy or PyTorch, or a raw handle; else the current one of the library of the arrays.
"""


def describe(mapping, summary, notes, ulps, flops, source, example):
    """The numpydoc docstring of an elementwise function."""
    nout = mapping.nout
    inputs = ", ".join(mapping.parameters) + " : array_like"
    results = ", ".join(f"y{k}" for k in range(1, nout + 1)) if nout > 1 else "y"
    bound = ", ".join(f"{np.dtype(c).name} {u:.3g}" for c, u in ulps.items() if u)
    bound = f"Error bound, in units in the last place: {bound}." if bound else "The result is exact."
    return f"""{summary}

    Parameters
    ----------
    {inputs}
        NumPy, Numba, CuPy, PyTorch, JAX, anything with ``__cuda_array_interface__`` or ``__dlpack__``, numbers.
{_PARAMETERS.rstrip()}

    Returns
    -------
    {results} : array
        Of the broadcast shape, by the library of the first device array, else NumPy's.

    Raises
    ------
    TypeError
        For unsupported dtypes and for casts that `casting` forbids.
    ValueError
        For shapes that do not broadcast, and for an `out` that is read-only or of another shape.

    Notes
    -----
    {notes}

    {bound} Each input is read once and each result written once, {flops:g} operation(s) an element.

    References
    ----------
    {source}

    Examples
    --------
    {example}
    """


NUMPY = "NumPy, https://numpy.org/doc/stable/reference/generated/numpy.{name}.html"
SCIPY = "SciPy, https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.{name}.html"


def example_of(mapping, inputs):
    """A line that calls the function and what it prints."""
    inputs = inputs or ((0.25, 0.5),) * len(mapping.parameters)
    called = ", ".join(str(list(x)) if isinstance(x, tuple) else repr(x) for x in inputs)
    with np.errstate(all="ignore"):
        printed = repr(mapping.reference(*(np.asarray(x) for x in inputs)))
    called = re.sub(r"\b(nan|inf)\b", r"np.\1", called)
    imports = "kernels, numpy as np" if "np." in called else "kernels"
    return f">>> import {imports}\n    >>> kernels.{mapping.name}({called})\n    " + printed.replace("\n", "\n    ")

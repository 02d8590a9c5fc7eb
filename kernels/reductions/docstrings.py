"""The docstrings of reductions: what they share, said once."""

import inspect

_PARAMETERS = {
    "a": "a : array_like\n        NumPy, Numba, CuPy, PyTorch, JAX, anything with ``__cuda_array_interface__`` "
    "or ``__dlpack__``, of\n        any strides; nothing is copied that is on the device.",
    "b": "b : array_like\n        Broadcast with `a`.",
    "x": "x : array_like\n        As NumPy, Numba, CuPy, PyTorch and JAX have them, of any strides.",
    "weights": "weights : array_like, optional\n        Of the shape of `a`, or of the length of `axis`.",
    "ord": "ord : {None, number, inf, -inf, 'fro'}, optional\n        Order of the norm; None is 2, of all elements.",
    "axis": "axis : int or tuple of int, optional\n        Which axes are reduced, "
    "negative ones counted from the end; else all.",
    "dtype": "dtype : dtype, optional\n        Of the computation and the result.",
    "out": "out : array, optional\n        Where to write, of the result's shape.",
    "keepdims": "keepdims : bool, optional\n        Whether the reduced axes stay, with length 1.",
    "initial": "initial : number, optional\n        What takes part beside the elements.",
    "where": "where : array of bool, optional\n        Broadcast with the array: which elements take part.",
    "ddof": "ddof : int or float, optional\n        The divisor is the number of elements less this.",
    "correction": "correction : int or float, optional\n        Another name of `ddof`.",
    "returned": "returned : bool, optional\n        Whether the sum of weights comes along.",
    "return_sign": "return_sign : bool, optional\n        Whether the sign of the sum comes along.",
    "method": "method : {None, 'exact', 'reproducible'}, optional\n        'exact' rounds once, whatever the elements; "
    "'reproducible' is the same.",
    "stream": "stream : stream or int, optional\n        Of Numba, cuda.core, CuPy or PyTorch, or a raw handle; else "
    "the current one of the library of the arrays.",
}

_RAISES = {
    "TypeError": "For dtypes that the function is not defined for, an `axis` that is no integer, and an `out` that "
    "the result\n        may not be cast to.",
    "ValueError": "For an `axis` out of range or given twice, an `out` of another shape or read-only, and where "
    "nothing is left to\n        reduce and nothing has no result.",
}


def describe(function, notes, source, example):
    """The numpydoc docstring of a reduction, from its first line and its signature."""
    summary = inspect.getdoc(function)
    parameters = "\n    ".join(_PARAMETERS[name] for name in inspect.signature(function).parameters)
    raises = "\n    ".join(f"{name}\n        {text}" for name, text in _RAISES.items())
    lines = "\n    ".join(example.strip().splitlines())
    notes = "\n    ".join(notes.strip().splitlines())
    return f"""{summary}

    Parameters
    ----------
    {parameters}

    Returns
    -------
    y : array
        Of the kept axes, by the library of the first device array; it stays on the device, of no axes too.

    Raises
    ------
    {raises}

    Notes
    -----
    {notes}

    The order of operations depends on shapes, dtypes and alignment alone: a result has the same bits in every run and
    on every card. Each element is read once.

    References
    ----------
    {source}

    Examples
    --------
    >>> import numpy as np, kernels
    {lines}
    """

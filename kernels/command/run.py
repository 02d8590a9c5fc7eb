"""``python -m kernels run``: a public function, applied to arrays in files."""

import ast
import difflib
import inspect
import os
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kernels


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


#: Public functions that take no arrays.
_OTHERS = {"engine", "fuse", "use"}


def functions():
    """Public functions of arrays, by name."""
    named = {name: getattr(kernels, name) for name in kernels.__all__}
    return {name: f for name, f in named.items() if inspect.isfunction(f) and name not in _OTHERS}


def unknown(name, known):
    """What to say of a name that is not among `known`."""
    close = difflib.get_close_matches(name, known, 3)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(sorted(known))}"
    return f"there is no function {name!r}{hint}"


def apply(name, inputs, options, outputs, engine):
    """Load, compute, save.

    Parameters
    ----------
    name : str
        Public function.
    inputs : list of str
        Paths of ``.npy`` files, or numbers.
    options : list of str
        ``--keyword value`` pairs for the function. A value that names a file is loaded.
    outputs : list of str
        Where to save the results: none, or one path for each. They appear whole or not at all.
    engine : str
        For the report.

    Returns
    -------
    report : dict
        That JSON can carry.

    Raises
    ------
    UsageError
        For whatever is wrong with the arguments, before anything is written.
    """
    known = functions()
    if name not in known:
        raise UsageError(unknown(name, known))
    function = known[name]
    values = [_value(text) for text in inputs]
    keywords = _keywords(options)
    try:
        inspect.signature(function).bind(*values, **keywords)
    except TypeError as error:
        parameters = [p.name for p in _array_parameters(function)]
        raise UsageError(f"{name} takes {', '.join(parameters)}: {error}") from None
    if len(values) > len(_array_parameters(function)):
        raise UsageError(f"{name} takes {len(_array_parameters(function))} inputs, got {len(values)}")
    for path in map(Path, outputs):
        if not path.parent.is_dir():
            raise UsageError(f"cannot save: there is no folder {str(path.parent)!r}")
    start = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            results = function(*values, **keywords)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {error}") from error
    seconds = time.perf_counter() - start
    results = _results(function, values, results)
    if outputs and len(outputs) != len(results):
        raise UsageError(f"{name} has {len(results)} results, got {len(outputs)} outputs (-o)")
    _save(results, outputs)
    return {
        "function": name,
        "engine": engine,
        "seconds": seconds,
        "results": [_described(y, path) for y, path in zip(results, outputs or [None] * len(results), strict=True)],
    }


def _array_parameters(function):
    kinds = inspect.Parameter
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) and p.name != "out"]


def _value(text):
    """The array of a file, or a number."""
    path = Path(text)
    if path.is_file():
        return _load(path)
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}.get(text)
    if not isinstance(value, int | float | complex):
        raise UsageError(f"there is no file {text!r}, and it is no number")
    return value


def _load(path):
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{path} is no .npy file of numbers: {error}") from None
    if not isinstance(array, np.ndarray):
        raise UsageError(f"{path} is an archive; give the .npy file of one array")
    return array


def _keywords(options):
    """``["--dtype", "float32", "--lr=0.1"]`` as keyword arguments."""
    words = [part for text in options for part in (text.split("=", 1) if text.startswith("--") else [text])]
    names, values = words[::2], words[1::2]
    for name in names:
        if not name.startswith("--") or len(names) != len(values):
            raise UsageError(f"options are --keyword value, got {' '.join(options)}")
    keywords = {name[2:].replace("-", "_"): _option(value) for name, value in zip(names, values, strict=True)}
    if "out" in keywords:
        raise UsageError("results are saved with -o")
    return keywords


def _option(text):
    if Path(text).is_file() and text.endswith(".npy"):
        return _load(Path(text))
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _results(function, values, results):
    """A tuple of arrays; of a function that works in place those it updates: all but the gradient."""
    if results is None:
        named = zip(_array_parameters(function), values, strict=True)
        return tuple(value for parameter, value in named if parameter.name != "grad")
    return results if isinstance(results, tuple) else (results,)


def _save(results, outputs):
    """All files, each written beside its place and then renamed, so that none is ever seen half-written."""
    paths = [Path(text) for text in outputs]
    parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in paths]
    try:
        for part, y in zip(parts, results, strict=False):
            with open(part, "xb") as file:
                np.save(file, y, allow_pickle=False)
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot save: {error}") from None
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _described(y, path):
    y = np.asarray(y)
    report = {"shape": list(y.shape), "dtype": y.dtype.name, "file": path}
    if y.size and y.dtype.kind != "c":
        report |= {"min": _plain(np.min(y)), "max": _plain(np.max(y))}
    return report


def _plain(x):
    """JSON has no nan and no infinity."""
    x = x.item()
    return x if x == x and abs(x) != float("inf") else str(x)


def show(report, console=None):
    """Print what `apply` reports."""
    console = console or Console()
    table = Table("result", "shape", "dtype", "min", "max", "saved as")
    for k, y in enumerate(report["results"], 1):
        cells = (y["dtype"], str(y.get("min", "")), str(y.get("max", "")), y["file"] or "")
        table.add_row(str(k), str(tuple(y["shape"])), *cells)
    console.print(
        f'{report["function"]}: {1e3 * report["seconds"]:.1f} ms, engine "{report["engine"]}"',
        highlight=False,
    )
    console.print(table)

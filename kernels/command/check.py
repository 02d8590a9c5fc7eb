"""``python -m kernels check``: every fast function against its reference, on random and on real input."""

import time
import traceback
from dataclasses import asdict, dataclass

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scipy.special import gammaln

from ..pairing import REGISTRY
from ..runtime import engine
from ..testing import ulp, ulp_error
from .inputs import random_inputs, real_inputs

#: Elements of an input, per engine. In the simulator each thread is a Python thread.
SIZES = {"cuda": 2**16 + 1, "simulator": 100, "reference": 2**16 + 1}

#: Units in the last place that a float64 reference may err itself: glibc's manual lists up to a few for most
#: of libm, and Cephes, behind SciPy, states peak relative errors up to about 2e-15. Some were measured to be
#: worse, against mpmath at thousands of points of their domains with SciPy 1.17: ndtr 30 (at -4.9), erfc 36 (at
#: 7.8), log_ndtr 135 (at 9.7) and i1 14 (at 7.4), where the functions here err 4, 3, 3 and 2. float16 and float32
#: have references in float64, whose own error does not count.
REFERENCE_ULPS = {None: 8, "ndtr": 40, "erfc": 45, "log_ndtr": 170, "i1": 20}

#: References that subtract: what their error is measured against. SciPy's kl_div was off by 1.8e5 units where
#: x and y nearly agree, which these terms explain.
CANCELLING = {
    "kl_div": lambda x, y: np.abs(x * np.log(x / y)) + np.abs(x) + np.abs(y),
    "betaln": lambda a, b: np.abs(gammaln(a)) + np.abs(gammaln(b)) + np.abs(gammaln(a + b)),
}

#: In the simulator the fast half calls NumPy's and SciPy's functions of its dtype, which may err as much.
#: Nothing errs where both halves round correctly, which these bounds tell (the second is that of a complex
#: sum).
CORRECTLY_ROUNDED = (0.5, 0.71)

#: A float16 is computed in float32: what that errs counts for so little in units of a float16.
HALF_PER_SINGLE = 2.0**-13

#: Rounding to decimals multiplies, and what is halfway in one dtype is not in a wider one: as it is computed.
AS_COMPUTED = {"round"}

_WIDER = {"e": "d", "f": "d", "F": "D"}


@dataclass
class Comparison:
    """One loop of a pair on one set of inputs.

    Attributes
    ----------
    error : float
        The worst, in units of its bound; for exact results 0 or infinity.
    seconds : float
        Of the fast half, compilation and transfers included.
    problem : str
        What the fast half or the reference raised, or what is wrong with the result; else empty.
    """

    name: str
    loop: str
    data: str
    size: int
    error: float
    seconds: float
    problem: str = ""

    @property
    def passed(self):
        """Whether the error is within its bound."""
        return not self.problem and self.error <= 1


def expected(pair, loop, inputs):
    """The reference's results: in float64 where narrower results have a bound, else in their dtype."""
    ins, outs = loop.split("->")
    wider = {"e": "f"} if pair.name in AS_COMPUTED else _WIDER
    with np.errstate(all="ignore"):
        if any(pair.ulps.get(c) and c in wider for c in outs):
            inputs = [x.astype(wider.get(c, c)) for x, c in zip(inputs, ins, strict=True)]
        results = pair.reference(*inputs)
    return results if isinstance(results, tuple) else (results,)


def error(pair, loop, inputs, actual):
    """Error of results in units of their bound, element by element.

    Parameters
    ----------
    pair : Pair
    loop : str
    inputs : list of numpy.ndarray
        Of the loop's dtypes.
    actual : tuple of numpy.ndarray
        What the fast half returned.

    Returns
    -------
    errors : list of numpy.ndarray
        One per result. Not above 1 is within the bound; an exact result that differs at all is infinitely
        wrong, and so is nan or an infinity on one side alone.
    """
    results = zip(loop.split("->")[1], actual, expected(pair, loop, inputs), strict=True)
    return [_one_error(pair, np.dtype(c), inputs, a, np.asarray(e)) for c, a, e in results]


def _one_error(pair, dtype, inputs, actual, exact):
    off = ulp_error(actual, exact, dtype, normwise=True)
    with np.errstate(all="ignore"):
        allowed = _allowed(pair, dtype, inputs, np.abs(exact))
        return np.where(off == 0, 0, np.where(allowed == 0, np.inf, off / allowed))


def _allowed(pair, dtype, inputs, exact):
    """Error allowed, in units in the last place: what is documented, and what the other half errs."""
    bound = pair.ulps.get(dtype.char, 0)
    if not bound:
        return np.zeros(exact.shape)
    inputs = [x.astype(_WIDER.get(x.dtype.char, x.dtype)) for x in inputs]

    def against(magnitude):
        larger = exact if magnitude is None else np.maximum(exact, np.abs(magnitude(*inputs)))
        return ulp(larger, dtype) / ulp(exact, dtype)

    allowed = bound * against(pair.magnitude) + _other_half(pair, dtype) * against(CANCELLING.get(pair.name))
    terms = CANCELLING.get(pair.name)
    if terms and dtype.char in "ef":  # what a float64 reference of terms that cancel errs, in these coarser units
        size = np.maximum(exact, terms(*inputs))
        allowed = allowed + REFERENCE_ULPS[None] * ulp(size, np.dtype(np.float64)) / ulp(exact, dtype)
    return allowed


def _other_half(pair, dtype):
    """What a float64 reference errs, or in the simulator the functions that stand in for the device's."""
    half = dtype.char == "e"
    if pair.ulps.get("f" if half else dtype.char, 0.5) in CORRECTLY_ROUNDED:
        return 0
    if dtype.char in "dD":
        return REFERENCE_ULPS.get(pair.name, REFERENCE_ULPS[None])
    return (engine() == "simulator") * REFERENCE_ULPS[None] * (HALF_PER_SINGLE if half else 1)


def compare(pair, loop, inputs, data="given"):
    """Run one loop of a pair and its reference on the same inputs.

    Returns
    -------
    comparison : Comparison
    """
    size, seconds = inputs[0].size, 0.0
    try:
        start = time.perf_counter()
        actual = pair.call(*inputs)
        seconds = time.perf_counter() - start
        actual = actual if isinstance(actual, tuple) else (actual,)
        wrong = _wrong_kind(pair, loop, inputs, actual)
        worst = np.inf if wrong else max(e.max(initial=0) for e in error(pair, loop, inputs, actual))
    except Exception as failure:  # whatever it is, the other pairs are to be checked
        wrong, worst = traceback.format_exception_only(failure)[-1].strip(), np.inf
    return Comparison(pair.name, loop, data, size, float(worst), seconds, wrong)


def _wrong_kind(pair, loop, inputs, actual):
    """What is wrong with dtypes and shapes; an empty string where nothing is."""
    for c, a in zip(loop.split("->")[1], actual, strict=True):
        if a.dtype != np.dtype(c):
            return f"the result has dtype {a.dtype}, not {np.dtype(c)}"
        if a.shape != pair.shape(inputs[0].shape):
            return f"the result has shape {a.shape}, not {pair.shape(inputs[0].shape)}"
    return ""


def run(names, size, seed, progress=None):
    """Compare all loops of the pairs of these names on random and on real inputs.

    Returns
    -------
    comparisons : list of Comparison
    """
    cases = [(pair, loop) for pair in map(REGISTRY.get, names) for loop in pair.loops]
    task = progress.add_task("checking", total=len(cases)) if progress else None
    found = []
    for pair, loop in cases:
        if progress:
            progress.update(task, description=f"{pair.name} {loop}")
        found.append(compare(pair, loop, random_inputs(pair, loop, size, seed), "random"))
        found.append(compare(pair, loop, real_inputs(pair, loop, size), "real"))
        if progress:
            progress.advance(task)
    return found


def with_progress(names, size, seed):
    """`run` behind a progress bar on standard error, which stays clean for what standard output is for."""
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        return run(names, size, seed, progress)


def by_function(comparisons):
    """Comparisons grouped by function, in their order."""
    groups = {}
    for c in comparisons:
        groups.setdefault(c.name, []).append(c)
    return groups


def document(comparisons, engine_name, seed):
    """What ``--json`` prints."""
    from .machine import versions

    return {
        "passed": all(c.passed for c in comparisons),
        "engine": engine_name,
        "seed": seed,
        "versions": versions(),
        "comparisons": [asdict(c) | {"passed": c.passed, "error": _finite(c.error)} for c in comparisons],
    }


def _finite(x):
    """JSON has no infinity."""
    return x if np.isfinite(x) else str(x)


def show(comparisons, engine_name, verbose=False, console=None):
    """Print one row per function, or with `verbose` one per loop and data."""
    console = console or Console()
    groups = by_function(comparisons).values()
    groups = [[c] for group in groups for c in group] if verbose else groups
    table = Table("function", "dtypes", "sizes", "engine", "error/bound", "ms", "verdict", box=SIMPLE)
    for column in table.columns:
        column.no_wrap = column.header != "dtypes"
    for group in groups:
        table.add_row(*_cells(group, engine_name))
    console.print(table)
    failures = [c for c in comparisons if not c.passed]
    for c in failures:
        reason = c.problem or f"error {c.error:.3g} times its bound"
        console.print(f"[red]FAIL[/] {c.name} {c.loop}, {c.data} input: {reason}", highlight=False)
    functions, loops = len(by_function(comparisons)), len({(c.name, c.loop) for c in comparisons})
    verdict = f"{len(failures)} comparisons failed" if failures else "all within their bounds"
    console.print(f'{functions} functions, {loops} loops, engine "{engine_name}": {verdict}', highlight=False)


def _cells(group, engine_name):
    worst = max(group, key=lambda c: (not c.passed, c.error))
    loops = dict.fromkeys(c.loop for c in group)
    dtypes = f"{worst.loop} {worst.data}" if len(group) == 1 else _dtypes(loops)
    sizes = ", ".join(str(n) for n in sorted({c.size for c in group}))
    milliseconds = f"{1e3 * sum(c.seconds for c in group):.0f}"
    verdict = "[green]pass[/]" if worst.passed else "[red]FAIL[/]"
    error = f"{worst.error:.3g}"
    return worst.name, dtypes, sizes, engine_name, error, milliseconds, verdict


def _dtypes(loops):
    """Short names of what loops compute with; `int` where all integers are among them."""
    found = dict.fromkeys(np.dtype(loop[loop.index("->") - 1]) for loop in loops)
    integers = [d for d in found if d.kind in "iu"]
    names = [d.str[1:].replace("b1", "bool") for d in found if len(integers) < 8 or d not in integers]
    return " ".join((["int"] if len(integers) == 8 else []) + names)

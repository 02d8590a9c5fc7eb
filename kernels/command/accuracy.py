"""``python -m kernels accuracy``: the largest error of each function, in units in the last place.

Each floating and complex loop of each pair runs on hard inputs, and mpmath says what the results should be. A
float64 result is compared at each point. Of float16 and float32 there are more points than mpmath has time for: the
reference in float64 puts them in order of their error, and mpmath judges from the worst on, until no point left can
be worse.

Hard inputs: random numbers of the pair's domain; numbers of random bits, which are uniform in exponent; the
surroundings, at all distances, of zeros, poles, branch points and limits of any function; of float16 all numbers.
"""

import datetime
import importlib.util
import json
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from scipy import special

import kernels

from ..pairing import REGISTRY
from ..testing import ulp, ulp_error

RESULTS = Path(kernels.__file__).parents[1] / "asv_benchmarks" / "results"

#: Points per loop, by engine and dtype of the result. In the simulator each thread is a Python thread.
POINTS = {
    "cuda": {"e": 2**17, "f": 2**17, "d": 4096, "F": 2**15, "D": 4096},
    "simulator": {"e": 2048, "f": 2048, "d": 1024, "F": 1024, "D": 1024},
}
POINTS["reference"] = POINTS["cuda"]

#: Points that mpmath judges at a time.
BATCH = 128

#: Batches of float16 and float32 points that mpmath judges at most.
BATCHES = 16

#: Results that depend on how each step rounds: exact is what NumPy's steps give in the same format.
AS_COMPUTED = {"round": {"e": "f"}}

WIDER = {"e": "d", "f": "d", "F": "D"}

DTYPES = {"e": "float16", "f": "float32", "d": "float64", "F": "complex64", "D": "complex128"}


# --- hard inputs -------------------------------------------------------------------------------------------------


def hard_points():
    """Numbers in whose surroundings some function is hard: zeros, poles, branch points, limits, ties."""
    whole = np.arange(41) / 2
    turns = np.arange(1, 41) * (np.pi / 2)
    bessel = [special.jn_zeros(order, 20) for order in (0, 1)] + [special.yn_zeros(order, 20) for order in (0, 1)]
    roots = [
        1.4616321449683623,
        -0.5040830082644554,
        -1.5734984731623905,
        -2.457024738220800,
        -2.7476826467274127,
    ]
    limits = [
        9.7,
        11.09,
        16.64,
        17.3,
        38.5,
        87.3,
        88.72,
        103.97,
        127,
        149,
        171.6,
        707.0,
        709.78,
        745.13,
        1022,
        1074,
    ]
    inner = [0.25, 0.75, np.sqrt(0.5), np.log(2), 1 / np.e, np.e, 100.0, 1000.0]
    positive = np.concatenate([whole, turns, *bessel, limits, inner])
    return np.concatenate([positive, -positive, roots])


def _near(rng, low, high, dtype, size):
    """Numbers at all distances, down to the last bit, from those hard points that lie in an interval."""
    points = np.append(hard_points(), (low, high))
    points = points[(points >= low) & (points <= high) & np.isfinite(points)]
    places = rng.choice(points, size)
    offsets = rng.choice((-1.0, 1.0), size) * 2.0 ** -rng.uniform(1, np.finfo(dtype).nmant + 2, size)
    values = (places * (1 + offsets)).astype(dtype)
    return np.where(rng.random(size) < 0.1, places.astype(dtype), values)


def _bits(rng, dtype, size):
    """Finite numbers of random bits."""
    kind = np.dtype(f"u{dtype.itemsize}")
    values = rng.integers(0, np.iinfo(kind).max, size, kind, endpoint=True).view(dtype)
    return np.where(np.isfinite(values), values, dtype.type(1) / 3)


def _reals(rng, dtype, interval, size):
    """Half of the domain, half from everywhere; each half in an order of its own."""
    low, high = interval
    quarter = size // 4
    with np.errstate(all="ignore"):
        uniform = rng.uniform(low, high, size - 3 * quarter).astype(dtype)
        inside = np.concatenate([uniform, _near(rng, low, high, dtype, quarter)])
        outside = np.concatenate([_near(rng, -np.inf, np.inf, dtype, quarter), _bits(rng, dtype, quarter)])
    values = np.concatenate([rng.permutation(inside), rng.permutation(outside)])
    return np.where(np.isfinite(values), values, dtype.type(1) / 3)


def _complexes(rng, dtype, interval, size):
    """Parts that are real inputs, none of them zero: which side of a cut a zero lies on mpmath does not tell."""
    component = np.finfo(dtype).dtype
    parts = np.stack([_reals(rng, component, interval, size) for _ in range(2)], axis=-1)
    circle = rng.random(size) < 0.1
    turn, away = rng.uniform(-np.pi, np.pi, size), 1 + 2.0 ** -rng.uniform(1, 60, size)
    parts[circle] = (away * np.stack([np.cos(turn), np.sin(turn)])).T[circle]
    parts = np.where(parts == 0, np.finfo(component).tiny, parts)
    return np.ascontiguousarray(parts).view(dtype)[:, 0]


def hard_inputs(pair, loop, size, rng):
    """Hard inputs of a pair.

    Parameters
    ----------
    pair : Pair
    loop : str
    size : int
    rng : numpy.random.Generator

    Returns
    -------
    inputs : list of numpy.ndarray
        Finite; all 63,488 finite numbers where the only input is a float16.
    """
    ins = loop.split("->")[0]
    if ins == "e":
        everything = np.arange(2**16, dtype=np.uint16).view(np.float16)
        everything = everything[np.isfinite(everything)]
        return [everything if size >= everything.size else rng.choice(everything, size, replace=False)]
    inputs = [_input(pair, k, np.dtype(char), size, rng) for k, char in enumerate(ins)]
    if len(ins) > 1 and inputs[-1].dtype == inputs[-2].dtype and pair.name not in AS_COMPUTED:
        inputs[-1] = _related(inputs[-2], inputs[-1], rng)
    return inputs


def _input(pair, k, dtype, size, rng):
    if dtype.kind == "b":
        return rng.random(size) < 0.5
    if dtype.kind in "iu" or (pair.name in AS_COMPUTED and k == 1):
        low, high = pair.domain[k]
        return rng.integers(int(low), int(high), size, endpoint=True).astype(dtype)
    draw = _complexes if dtype.kind == "c" else _reals
    return draw(rng, dtype, pair.domain[k], size)


def _related(x, y, rng):
    """An eighth of `y` becomes almost `x` or almost its opposite, where differences and ratios are hard."""
    share = rng.random(y.size) < 0.125
    factor = rng.choice((-1.0, 1.0), y.size) * (1 + 2.0 ** -rng.uniform(1, np.finfo(y.dtype).nmant + 2, y.size))
    with np.errstate(over="ignore"):
        almost = (x * factor).astype(y.dtype)
    return np.where(share & np.isfinite(almost), almost, y)


def in_domain(pair, inputs):
    """Where all inputs lie in the intervals that the pair's bound is documented for."""
    inside = np.ones(inputs[0].shape, bool)
    for x, (low, high) in zip(inputs, pair.domain, strict=True):
        for part in (x.real, x.imag) if x.dtype.kind == "c" else (x,):
            inside &= (part >= low) & (part <= high)
    return inside


# --- errors ------------------------------------------------------------------------------------------------------


def exact_errors(pair, loop, inputs, actual):
    """Errors of results by mpmath, in units in the last place of the exact value or of the pair's magnitude.

    Returns
    -------
    errors : numpy.ndarray of float64
        The largest of a point's results; nan where there is no exact value: outside the function's domain, at
        poles, and for complex values that the dtype does not reach.
    """
    import mpmath

    from . import exact

    outs = loop.split("->")[1]
    with mpmath.workprec(exact.precision(pair.name)):
        values = exact.values(pair.name, inputs, len(outs))
        errors = [_against(pair, np.dtype(c), inputs, a, v) for c, a, v in zip(outs, actual, values, strict=True)]
    return np.max(errors, axis=0)


def _against(pair, dtype, inputs, actual, values):
    known = np.array([_reached(v, dtype) for v in values], bool)
    errors = np.full(values.shape, np.nan)
    if known.any():
        inputs = [x[known] for x in inputs]
        errors[known] = _scaled(pair, dtype, inputs, actual[known], values[known])
    return errors


def _reached(value, dtype):
    """Whether an exact value counts: it is defined, and the modulus of a complex one does not overflow."""
    if value != value:
        return False
    return dtype.kind != "c" or abs(value) <= float(np.finfo(dtype).max)


def _scaled(pair, dtype, inputs, actual, exact):
    errors = ulp_error(actual, exact, dtype, normwise=True)
    if pair.magnitude is None:
        return errors
    with np.errstate(all="ignore"):
        magnitude = pair.magnitude(*(x.astype(WIDER.get(x.dtype.char, x.dtype)) for x in inputs))
        magnitude = np.where(np.isfinite(magnitude), magnitude, 0)  # terms that overflow excuse nothing
        unit = ulp(np.abs(exact), dtype)
        return errors * np.minimum(1, unit / np.fmax(unit, ulp(magnitude, dtype)))


def reference_errors(pair, loop, inputs, actual):
    """Errors of results by the reference, in float64 where it has a bound and else in its own dtype."""
    ins, outs = loop.split("->")
    wider = AS_COMPUTED.get(pair.name, WIDER if _inexact(pair, loop) else {})
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = pair.reference(*(x.astype(wider.get(c, c)) for c, x in zip(ins, inputs, strict=True)))
    values = values if isinstance(values, tuple) else (values,)
    compared = zip(outs, actual, values, strict=True)
    return np.max([_scaled(pair, np.dtype(c), inputs, a, np.asarray(v)) for c, a, v in compared], axis=0)


def _inexact(pair, loop):
    """Whether errors are measured against mpmath: a function without a bound is exact, as its reference is."""
    return pair.name not in AS_COMPUTED and any(pair.ulps.get(c) for c in loop.split("->")[1])


def measure(name, loop, inputs, actual):
    """Find the largest error of one loop's results.

    Parameters
    ----------
    name : str
    loop : str
    inputs : list of numpy.ndarray
    actual : tuple of numpy.ndarray
        Results of the fast half.

    Returns
    -------
    found : dict
        ``"domain"`` and ``"anywhere"``: ``points``, ``max_ulp``, ``at`` (the inputs, as text that reads back to
        the same numbers; None where no point counts).
    """
    pair = REGISTRY[name]
    inside = in_domain(pair, inputs)
    everywhere = np.ones_like(inside)
    masks = {"domain": inside, "anywhere": everywhere}
    if not _inexact(pair, loop):
        errors = reference_errors(pair, loop, inputs, actual)
        return {key: _worst(errors, mask, inputs) for key, mask in masks.items()}
    if loop.split("->")[1][0] in "dD":
        errors = exact_errors(pair, loop, inputs, actual)
        return {key: _worst(errors, mask, inputs) for key, mask in masks.items()}
    claimed = reference_errors(pair, loop, inputs, actual)
    return {
        key: _worst(_judged(pair, loop, inputs, actual, claimed, mask), mask, inputs) for key, mask in masks.items()
    }


def _judged(pair, loop, inputs, actual, claimed, mask):
    """Errors by mpmath, of points from the largest claimed error on until none left claims more than was found."""
    errors = np.where(mask, -1.0, np.nan)
    order = np.flatnonzero(mask)
    order = order[np.argsort(-np.nan_to_num(claimed[order], nan=np.inf), kind="stable")]
    for start in range(0, min(order.size, BATCH * BATCHES), BATCH):
        chosen = order[start : start + BATCH]
        if not np.nan_to_num(claimed[chosen[0]], nan=np.inf) > np.fmax.reduce(errors[mask], initial=-1.0):
            break
        errors[chosen] = exact_errors(pair, loop, [x[chosen] for x in inputs], [a[chosen] for a in actual])
    return errors


def _worst(errors, mask, inputs):
    """The largest error under a mask, and where; -1 stands for less than that."""
    counted = np.flatnonzero(mask & ~np.isnan(errors))
    if not counted.size or errors[counted].max() < 0:  # at -1 mpmath found no point of the batches worth counting
        return {"points": 0, "max_ulp": 0.0, "at": None}
    worst = counted[np.argmax(errors[counted])]
    return {
        "points": int(counted.size),
        "max_ulp": float(errors[worst]),
        "at": [str(x[worst]) for x in inputs],
    }


# --- all functions -----------------------------------------------------------------------------------------------


def loops(pair):
    """The loops of a pair whose inputs and results both hold floating or complex numbers."""
    return [loop for loop in pair.loops if all(set(side) & set(DTYPES) for side in loop.split("->"))]


def floating(registry=REGISTRY):
    """Names of the functions with such loops."""
    return [name for name, pair in registry.items() if pair.family == "elementwise" and loops(pair)]


def bound(name, loop):
    """The documented bound on the error of a loop's results."""
    return float(max(REGISTRY[name].ulps.get(c, 0) for c in loop.split("->")[1]))


def run(names, engine, points=None, progress=None):
    """Measure functions: their kernels in this process, exact values in one process for each core.

    Parameters
    ----------
    names : list of str
    engine : str
        Which runs the kernels, chosen before.
    points : dict of str to int, optional
        Dtype character of the first result -> points per loop.
    progress : rich.progress.Progress, optional

    Returns
    -------
    rows : list of dict
    """
    points = points or POINTS[engine]
    cases = [(name, loop) for name in names for loop in loops(REGISTRY[name])]
    task = progress.add_task("measuring", total=len(cases)) if progress else None
    # Forked processes would share the driver's state, which does not survive it.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        submitted = [(name, loop, _submit(pool, name, loop, points)) for name, loop in cases]
        rows = []
        for name, loop, futures in submitted:
            rows.append(_row(name, loop, [f.result() for f in futures]))
            if progress:
                progress.update(task, description=f"{name} {loop}", advance=1)
    return rows


def _submit(pool, name, loop, points):
    """One kernel launch, and its results to measure in pieces."""
    pair, out = REGISTRY[name], loop.split("->")[1][0]
    rng = np.random.default_rng(list(f"{name} {loop}".encode()))
    inputs = hard_inputs(pair, loop, points[out], rng)
    actual = pair.function(*inputs)
    actual = actual if isinstance(actual, tuple) else (actual,)
    # mpmath has to be asked for all points of float64, and for few of float32. A stride deals the slow ones evenly.
    pieces = max(1, inputs[0].size // BATCH) if out in "dD" and _inexact(pair, loop) else 1
    return [
        pool.submit(measure, name, loop, [x[k::pieces] for x in inputs], [a[k::pieces] for a in actual])
        for k in range(pieces)
    ]


def _row(name, loop, found):
    pair, ins = REGISTRY[name], loop.split("->")[0]
    merged = {
        key: max((part[key] for part in found), key=lambda part: part["max_ulp"]) | {
            "points": sum(part[key]["points"] for part in found)
        }
        for key in ("domain", "anywhere")
    }  # fmt: skip
    return {
        "function": name,
        "loop": loop,
        "dtype": DTYPES[next(c for c in ins if c in DTYPES)],
        "domain": [list(map(float, interval)) for interval in pair.domain],
        "bound": bound(name, loop),
        **merged["domain"],
        "anywhere": merged["anywhere"],
    }


def available():
    """Whether mpmath is installed, which only tests and this command need."""
    return importlib.util.find_spec("mpmath") is not None


def with_progress(names, engine):
    """`run` behind a progress bar on standard error."""
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        return run(names, engine, progress=progress)


def document(rows, engine):
    """What ``--json`` writes."""
    from . import machine

    driver = machine.driver() if engine == "cuda" else {"cards": [], "version": None}
    return {
        "card": driver["cards"][0]["name"] if driver["cards"] else None,
        "driver": driver["version"],
        "versions": machine.versions(),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "engine": engine,
        "rows": [_finite(row) | {"anywhere": _finite(row["anywhere"])} for row in rows],
    }


def _finite(row):
    """JSON has no infinity; ``float`` reads its name."""
    return row | {"max_ulp": row["max_ulp"] if np.isfinite(row["max_ulp"]) else "inf"}


def exceeded(rows):
    """The rows whose error in the domain is above the documented bound."""
    return [row for row in rows if float(row["max_ulp"]) > row["bound"]]


def show(found, console=None):
    """Print a line for each loop, and below those that exceed their bound."""
    console = console or Console()
    table = Table("function", "loop", "points", "bound", "max ULP", "at", "anywhere", "at", box=SIMPLE)
    for row in found["rows"]:
        cells = (f"{row['bound']:.4g}", *_shown(row), *_shown(row["anywhere"]))
        table.add_row(row["function"], row["loop"], str(row["anywhere"]["points"]), *cells)
    console.print(table)
    for row in exceeded(found["rows"]):
        console.print(
            f"{row['function']} {row['loop']}: {float(row['max_ulp']):.6g} ULP at {', '.join(row['at'])}, "
            f"documented {row['bound']:.6g}",
            highlight=False,
            markup=False,
        )


def _shown(found):
    return f"{float(found['max_ulp']):.4g}", ", ".join(found["at"] or ())


# --- the table of the documentation ------------------------------------------------------------------------------


def results(folder=RESULTS):
    """Measurements that were saved in a folder, in the order of their names."""
    return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("accuracy-*.json"))]


def markdown(folder=RESULTS):
    """For each card a table of errors beside their bounds, and one of what is larger outside the domain."""
    return "\n\n".join(tables(found) for found in results(folder))


def tables(found):
    """The tables of what `document` returns."""
    by_function = {}
    for row in found["rows"]:
        by_function.setdefault(row["function"], {}).setdefault(row["dtype"], []).append(row)
    errors = [
        [f"`{name}`", _domain(rows), *(_cell(rows.get(dtype)) for dtype in DTYPES.values())]
        for name, rows in by_function.items()
    ]
    outside = [
        [f"`{row['function']}`", row["dtype"], f"{float(row['anywhere']['max_ulp']):.3g}", _place(row["anywhere"])]
        for row in found["rows"]
        if float(row["anywhere"]["max_ulp"]) > max(bound(row["function"], row["loop"]), float(row["max_ulp"]))
    ]
    parts = [_caption(found), _grid(["function", "inputs in", *DTYPES.values()], errors)]
    if outside:
        parts += [
            "Outside of these intervals the error goes beyond the bound in:",
            _grid(["function", "dtype", "ULP", "at"], outside),
        ]
    return "\n\n".join(parts)


def _caption(found):
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("numba-cuda", "numpy", "scipy"))
    where = f"{found['card']}, driver {found['driver']}" if found["card"] else f"Engine {found['engine']}"
    return f"{where}, {found['date']}; {versions}."


def _domain(rows):
    """The intervals, which all loops share."""
    intervals = next(iter(rows.values()))[0]["domain"]
    return ", ".join(dict.fromkeys(f"[{low:g}, {high:g}]" for low, high in intervals))


def _cell(rows):
    """Error of the worst of the loops over one dtype, and the bound that is documented now."""
    if not rows:
        return ""
    worst = max(rows, key=lambda row: float(row["max_ulp"]))
    error, allowed = float(worst["max_ulp"]), bound(worst["function"], worst["loop"])
    return f"{error:.4g} / {allowed:.4g}" if error or allowed else "exact"


def _place(found):
    return ", ".join(f"`{x}`" for x in found["at"] or ())


def _grid(header, lines):
    rule = ["---"] * 2 + ["---:"] * (len(header) - 2)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *lines))

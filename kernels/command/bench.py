"""``python -m kernels bench``: measured times over their floor, and beside the peers'."""

import datetime
import gc
import json
import os
import sys
import traceback
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from . import machine
from .figures import cells, plot

#: Minutes that a soak takes at least.
SHORTEST = 2


def main(options):
    """Time, print, and write what was asked for; the exit status."""
    if options.soak is not None and not options.soak >= SHORTEST:
        print_error(f"--soak must be {SHORTEST} minutes or more")
        return 2
    problem = machine.usable()
    if problem:
        print_error(f"bench needs a GPU: {problem}")
        return 2
    machine.prepare("cuda", simulate=False)
    if options.plot and not _can_plot():
        print_error("--plot needs matplotlib: pip install 'numba-kernels[bench]'")
        return 2
    console = Console()
    if options.sweep:
        return _sweep(options, console)
    found = measure(options.only, options.peers, options.rounds, console, options.soak)
    show(found, console)
    if options.json:
        save(found, options.json)
    if options.plot:
        plot(found, options.plot)
    return 0 if all(map(passed, found["rows"])) else 1


def _sweep(options, console):
    from ..runtime import use
    from . import sweep
    from .timing import copy_bandwidth

    use("cuda")
    found = description() | {"copy_bandwidth": copy_bandwidth()}
    found["cases"] = sweep.measure(options.only, options.peers, options.rounds, console, found["copy_bandwidth"])
    sweep.show(found, console)
    if options.json:
        save(found, options.json)
    return 0 if all("kernels" in case["seconds"] for case in found["cases"]) else 1


def passed(row):
    """Whether ours ran, and did what it was tried for."""
    return "kernels" in row["seconds"] and row.get("trial", {}).get("passed", True)


def print_error(message):
    """To standard error."""
    Console(stderr=True, soft_wrap=True).print(f"python -m kernels: {message}", markup=False, highlight=False)


def _can_plot():
    try:
        import matplotlib  # noqa: F401  (whether it is there)
    except ImportError:
        return False
    return True


def measure(only, peers, rounds, console, soak=None):
    """All rows whose name contains one of `only`, timed, as a dict that JSON can carry.

    `soak` is how many minutes one takes; with it, no `only` means no other rows.
    """
    from ..runtime import use
    from . import launching, pages, reducing, workloads
    from .timing import copy_bandwidth
    from .trials import soaking, trials

    use("cuda")

    def chosen(rows):
        return [row for row in rows if not (only or soak) or any(text in row.name for text in only)]

    found = description()
    found["copy_bandwidth"] = copy_bandwidth()
    found["rows"] = []
    for row in chosen(workloads.rows() + reducing.rows() + pages.rows() + launching.rows()):
        with console.status(row.name):
            found["rows"].append(time_row(row, peers, rounds, found["copy_bandwidth"]))
        gc.collect()
    for trial in chosen(trials() + pages.trials()) + ([soaking(soak)] if soak else []):
        with console.status(trial.name):
            found["rows"].append(try_out(trial))
        gc.collect()
    return found


def description():
    """The card and what computes on it."""
    driver = machine.driver()
    card = driver["cards"][0]
    return {
        "card": card["name"],
        "compute_capability": card["compute_capability"],
        "driver": driver["version"],
        "cuda": driver["cuda"],
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "versions": machine.versions(),
    }


def time_row(row, peers, rounds, bandwidth, timers=None):
    """One row, timed.

    Parameters
    ----------
    row : Row
    peers : bool
    rounds : int
    bandwidth : float
        Bytes per second of a copy.
    timers : dict of str to callable, optional
        ``row.how`` -> ``timer(calls, rounds)``, which gives seconds per variant.

    Returns
    -------
    timed : dict
        ``seconds`` per variant that ran, ``errors`` per variant that did not.
    """
    timed = {key: getattr(row, key) for key in ("name", "how", "bytes", "flops", "launches", "beside", "most")}
    timed |= {"seconds": {}, "errors": {}}
    timers = timers or _timers()
    try:
        makers = row.make()
        wanted = {name: maker for name, maker in makers.items() if peers or name == "kernels"}
        calls = _started(wanted, timed["errors"], timers["wait"])
        seconds = timers[row.how](calls, rounds) if calls else {}
        timed["seconds"] = {name: t / row.launches for name, t in seconds.items()}
    except Exception as failure:  # one row that fails leaves the others
        timed["errors"]["the row"] = words(failure)
    return timed | compared(timed, bandwidth)


def try_out(trial):
    """One trial, as a row: ``trial`` holds what came of it, ``seconds`` those of a call."""
    row = {"name": trial.name, "how": "trial", "bytes": 0, "flops": 0, "seconds": {}, "errors": {}}
    try:
        row["trial"] = trial.run()
        row["seconds"] = {"kernels": row["trial"]["seconds"]}
    except Exception as failure:  # one that fails leaves the others
        row["errors"]["the trial"] = words(failure)
    return row | compared(row, None)


def _timers():
    from numba import cuda

    from .timing import back_to_back_seconds, device_seconds, host_seconds, reported_seconds, single_seconds

    return {
        "device": device_seconds,
        "back to back": back_to_back_seconds,
        "single": single_seconds,
        "host": host_seconds,
        "reported": reported_seconds,
        "wait": cuda.synchronize,
    }


def _started(makers, errors, wait):
    """What to call, each called once; what fails is left out and its error noted."""
    calls = {}
    for name, maker in makers.items():
        try:
            call = maker()
            call()
            wait()
            calls[name] = call
        except Exception as failure:  # whatever a peer raises
            errors[name] = words(failure)
    return calls


def words(failure):
    """What an exception says, on one line."""
    text = traceback.format_exception_only(failure)[-1]
    return " ".join(text.split())[:300]


def compared(timed, bandwidth):
    """Floor, best peer and the ratios to both; None where there is nothing to compare."""
    ours = timed["seconds"].get("kernels")
    others = {name: t for name, t in timed["seconds"].items() if name != "kernels"}
    best = min(others, key=others.get) if others else None
    floor = timed["bytes"] / bandwidth if timed["bytes"] else None
    return {
        "floor": floor,
        "over_floor": ours / floor if ours and floor else None,
        "best_peer": best,
        "over_best_peer": ours / others[best] if ours and best else None,
    }


def show(found, console):
    """Print one row for each work, and below what the peers that failed said."""
    torch, cupy = (found["versions"].get(name) or "none" for name in ("torch", "cupy"))
    console.print(f"{found['card']}, {found['date']}, torch {torch}, CuPy {cupy}", highlight=False)
    console.print(f"Device copy {found['copy_bandwidth'] / 1e9:.0f} GB/s, read and written", highlight=False)
    table = Table("work", "floor us", "ours us", "over floor", "peer", "peer us", "over peer", "goal", box=SIMPLE)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in found["rows"]:
        table.add_row(*cells(row))
    console.print(table)
    for row in found["rows"]:
        peers = {name: t for name, t in row["seconds"].items() if name != "kernels"}
        if peers:
            listed = ", ".join(f"{name} {1e6 * t:.2f}" for name, t in sorted(peers.items(), key=lambda p: p[1]))
            console.print(f"{row['name']}: {listed} us", highlight=False, markup=False)
        for line in row.get("trial", {}).get("lines", ()):
            console.print(f"{row['name']}: {line}", highlight=False, markup=False)
        for name, error in row["errors"].items():
            console.print(f"{row['name']}, {name} left out: {error}", highlight=False, markup=False)


def save(found, path):
    """Write JSON beside its place and rename it, so that it is never half-written."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(path)
    except OSError as error:
        sys.stderr.write(f"python -m kernels: cannot write {path}: {error}\n")
    finally:
        part.unlink(missing_ok=True)

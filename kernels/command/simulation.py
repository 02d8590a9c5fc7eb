"""``python -m kernels simulation``: how fast the simulator's engines are, beside the stock one and NumPy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import launches

#: Engines and checks that are timed, and how often.
MODES = {
    "compiled": ({"engine": "compiled", "checks": "none"}, 50),
    "compiled, all checks": ({"engine": "compiled", "checks": "all"}, 50),
    "interpreted": ({"engine": "interpreted", "checks": "none"}, 5),
    "interpreted, all checks": ({"engine": "interpreted", "checks": "all"}, 3),
}

#: Sizes of real use: elements that are added and summed, and sides of the product and of the field.
LARGE = {"n": 2**24, "side": 1024, "field": 4096}


def stock():
    """Seconds of each launch in the simulator that Numba comes with, in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "KERNELS_"))}
    run = subprocess.run(
        [sys.executable, Path(launches.__file__)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def measure(large=True):
    """Times of every launch.

    Parameters
    ----------
    large : bool
        Also the sizes of real use, beside NumPy.

    Returns
    -------
    found : dict
        ``"cores"``, and under ``"small"`` and ``"large"`` a row for each launch with its name and seconds by engine.
    """
    small = [{"launch": case[0], "seconds": {}} for case in launches.cases()]
    # The stock simulator between two rounds of ours, so that a busy machine slows both.
    rounds = [_modes(), stock(), _modes()]
    for k, row in enumerate(small):
        row["seconds"] = {mode: float(np.mean([rounds[0][mode][k], rounds[2][mode][k]])) for mode in MODES}
        row["seconds"]["stock"] = rounds[1][k]
    found = {"cores": os.cpu_count(), "small": small, "large": []}
    if large:
        for name, kernel, configuration, arguments, reference in launches.cases(**LARGE):
            ours = launches.seconds(lambda: _run(kernel, configuration, arguments, MODES["compiled"][0]), 3)  # noqa: B023
            np.testing.assert_allclose(arguments[-1], reference(), rtol=1e-3, atol=1e-2)
            times = {"compiled": ours, "NumPy": launches.seconds(reference, 3)}
            found["large"].append({"launch": name, "seconds": times})
    return found


def _modes():
    """Seconds of each launch by mode."""
    found = {}
    for mode, (chosen, repeats) in MODES.items():
        found[mode] = []
        for _, kernel, configuration, arguments, reference in launches.cases():
            call = lambda: _run(kernel, configuration, arguments, chosen)  # noqa: B023, E731
            found[mode].append(launches.seconds(call, repeats))
            np.testing.assert_allclose(arguments[-1], reference(), rtol=1e-4, atol=1e-4)
    return found


def _run(kernel, configuration, arguments, chosen):
    from ..simulator import simulate

    simulate(kernel, **chosen)[configuration](*arguments)


def show(found):
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("launch", "stock ms", *(f"{mode}, ms (times)" for mode in MODES), title_justify="left")
    table.title = f"A launch, once compiled, on {found['cores']} cores; in brackets how many times faster than stock"
    for row in found["small"]:
        times = row["seconds"]
        cells = [f"{times[mode] * 1e3:.3f} ({times['stock'] / times[mode]:.0f})" for mode in MODES]
        table.add_row(row["launch"], f"{times['stock'] * 1e3:.0f}", *cells)
    console.print(table)
    if found["large"]:
        table = Table("launch", "compiled ms", "NumPy ms", "ratio", title_justify="left")
        table.title = "Real sizes: {n} elements, {side}^2 product, {field}^2 field".format(**LARGE)
        for row in found["large"]:
            ours, numpys = row["seconds"]["compiled"], row["seconds"]["NumPy"]
            table.add_row(row["launch"], f"{ours * 1e3:.1f}", f"{numpys * 1e3:.1f}", f"{ours / numpys:.2f}")
        console.print(table)

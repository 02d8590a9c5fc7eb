"""``python -m kernels info``: can this machine compute on a GPU, and if not, why not."""

import warnings

from rich.console import Console
from rich.table import Table

from . import machine


def collect():
    """Everything that `show` prints, as one dict that JSON can carry."""
    driver, toolkit, compiler = machine.driver(), machine.toolkit(), machine.toolkit_version()
    steps = machine.missing(driver, toolkit, compiler)
    return {
        "gpu": not steps,
        "missing": [{"what": what, "next_step": step} for what, step in steps],
        "engine": _engine(),
        "driver": driver,
        "toolkit": {"version": compiler, **toolkit},
        "versions": machine.versions(),
    }


def _engine():
    """Engine of a call in this environment, or why there is none."""
    from .. import engine

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return engine()
        except (RuntimeError, ValueError) as error:
            return f"none: {error}"


def show(found, console=None):
    """Print what `collect` found."""
    console = console or Console()
    answer = "[green]yes[/]" if found["gpu"] else "[red]no[/]"
    console.print(f"Can this machine compute on a GPU? {answer}")
    if found["missing"]:
        table = Table("missing", "next step", title="Why not", title_justify="left", show_lines=True)
        for row in found["missing"]:
            table.add_row(row["what"], row["next_step"])
        console.print(table)
    console.print(_cards(found["driver"]))
    console.print(_pieces(found))


def _cards(driver):
    cuda = "none" if driver["cuda"] is None else "{}.{}".format(*driver["cuda"])
    title = f"Driver {driver['version'] or 'not found'}, runs CUDA up to {cuda}"
    table = Table("card", "name", "memory", "compute capability", "multiprocessors", "L2", title=title)
    table.title_justify = "left"
    for card in driver["cards"]:
        capability = "{}.{}".format(*card["compute_capability"])
        memory, cache = f"{card['memory'] / 2**30:.1f} GiB", f"{card['l2_cache'] / 2**20:.0f} MiB"
        table.add_row(str(card["index"]), card["name"], memory, capability, str(card["multiprocessors"]), cache)
    if not driver["cards"]:
        table.add_row("none", "", "", "", "", "")
    return table


def _pieces(found):
    table = Table("what", "version or place", title=f"Engine of a call: {found['engine']}", title_justify="left")
    for name, version in found["versions"].items():
        table.add_row(name, version or "not installed")
    table.add_section()
    version = found["toolkit"]["version"]
    table.add_row("CUDA compiler", "not found" if version is None else "{}.{}".format(*version))
    for name in machine.TOOLKIT:
        piece = found["toolkit"][name]
        table.add_row(f"{name} ({piece['use']})", piece["path"] or f"not found: {piece['problem']}")
    return table

"""Figures of what `bench` measured: a Markdown table of the committed results, and a roofline plot."""

import json
from pathlib import Path

import kernels

RESULTS = Path(kernels.__file__).parents[1] / "asv_benchmarks" / "results"

#: How names of the rungs of a ladder begin.
LADDER = "sum ladder, "

_HEADER = """\
| work | floor, us | ours, us | over the floor | peer | peer, us | over the peer | goal |
|---|---:|---:|---:|---|---:|---:|---|"""


def results(folder=RESULTS):
    """The results of `bench` in a folder, by name of their files; asv keeps other files there."""
    found = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    return [
        document for document in found if isinstance(document, dict) and {"copy_bandwidth", "rows"} <= set(document)
    ]


def markdown(folder=RESULTS):
    """A table for each card, with its name and the date; an empty string where nothing was measured."""
    return "\n\n".join(map(_table, results(folder)))


def _table(found):
    libraries = {"torch": "PyTorch", "cupy": "CuPy", "numba-cuda": "numba-cuda"}
    versions = [f"{text} {found['versions'][name]}" for name, text in libraries.items() if found["versions"].get(name)]
    lines = "\n".join(f"| {' | '.join(_escaped(cell) for cell in cells(row))} |" for row in found["rows"])
    return (
        f"{found['card']}, {found['date']}; device copy {found['copy_bandwidth'] / 1e9:.0f} GB/s; "
        f"{', '.join(versions)}.\n\n{_HEADER}\n{lines}"
    )


def _escaped(cell):
    return cell.replace("|", r"\|").replace("*", r"\*")


def plot(found, path):
    """Draw attained flops against flops per byte, under the roof that the copy's bandwidth makes.

    Parameters
    ----------
    found : dict
        As `kernels.command.bench.measure` returns it.
    path : str
        Of the picture, whose suffix names the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    rows = [row for row in found["rows"] if row["bytes"] and row["seconds"].get("kernels")]
    intensity = [row["flops"] / row["bytes"] for row in rows]
    if rows:
        ends = [min(intensity) / 2, max(intensity) * 2]
        roof = [x * found["copy_bandwidth"] / 1e9 for x in ends]
        axes.plot(ends, roof, "k-", label=f"copy, {found['copy_bandwidth'] / 1e9:.0f} GB/s")
    for marker, color, label in (("o", "tab:blue", "kernels"), ("x", "tab:orange", "best peer")):
        names = ["kernels" if label == "kernels" else row["best_peer"] for row in rows]
        points = [
            (x, row["flops"] / row["seconds"][name] / 1e9)
            for x, row, name in zip(intensity, rows, names, strict=True)
            if name
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), marker=marker, color=color, label=label, zorder=3)
    _name_points(axes, rows, intensity)
    axes.set(xscale="log", yscale="log", xlabel="operations per byte", ylabel="10^9 operations per second")
    axes.set_title(f"{found['card']}, {found['date']}")
    if rows:
        axes.legend(loc="upper left")
    figure.savefig(path, dpi=150)


def ladder(found):
    """The rungs that were measured, as a dict of name -> 1e9 bytes per second; and that of PyTorch's sum, or None."""
    rows = [row for row in found["rows"] if row["name"].startswith(LADDER) and row["seconds"].get("kernels")]
    rungs = {
        row["name"].removeprefix(LADDER).split(",")[0]: row["bytes"] / row["seconds"]["kernels"] / 1e9 for row in rows
    }
    theirs = [row["bytes"] / row["seconds"]["torch"] / 1e9 for row in rows if row["seconds"].get("torch")]
    return rungs, max(theirs, default=None)


def ladder_errors(found):
    """The errors of the rungs on the card, by name, in units of 2**-24 times the sum of moduli."""
    trials = [row.get("trial") or {} for row in found["rows"] if LADDER in row["name"]]
    return {name: error for trial in trials for name, error in trial.get("errors", {}).items()}


def draw_ladder(axes, found):
    """Draw the rate of each rung as a bar, with lines at that of a copy and of PyTorch's sum."""
    rungs, theirs = ladder(found)
    axes.barh([f"{name}, {rate:.0f}" for name, rate in rungs.items()], list(rungs.values()), color="tab:blue")
    copy = found["copy_bandwidth"] / 1e9
    axes.axvline(copy, color="k", label=f"copy, {copy:.0f} GB/s")
    if theirs:
        axes.axvline(theirs, color="tab:orange", linestyle="--", label=f"torch.sum, {theirs:.0f} GB/s")
    axes.invert_yaxis()
    axes.set_xlabel("10^9 bytes per second")
    axes.set_title(f"{found['card']}, {found['date']}")
    axes.legend(loc="upper center")


def _name_points(axes, rows, intensity):
    """Names of the rows; those of one intensity lie within a few percent of each other, and share a label."""
    groups = {}
    for x, row in zip(intensity, rows, strict=True):
        groups.setdefault(round(x, 3), []).append(row)
    for group in groups.values():
        row = min(group, key=lambda row: row["flops"] / row["seconds"]["kernels"])
        place = row["flops"] / row["bytes"], row["flops"] / row["seconds"]["kernels"] / 1e9
        text = "\n".join(row["name"] for row in group)
        axes.annotate(text, place, xytext=(6, -4), textcoords="offset points", va="top", fontsize=7)


def cells(row):
    """Texts of a row of the table: work, floor, ours, over floor, peer, its time, over it, and the goal for that."""
    seconds, peer = row["seconds"], compared_with(row)
    ours, theirs = seconds.get("kernels"), seconds.get(peer)
    ratio = ours / theirs if ours and theirs else None
    floor = "" if row["how"] == "reported" or row.get("trial") else "launch"
    return (
        f"{row['name']}: {row['trial']['summary']}" if row.get("trial") else row["name"],
        _number(row["floor"], ".0f", 1e6) or floor,
        _microseconds(ours) or "failed",
        _number(row["over_floor"], ".3f"),
        peer or "",
        _microseconds(theirs),
        _number(ratio, ".3f"),
        _goal(row, peer, ratio),
    )


def compared_with(row):
    """The peer that a row names, where that was timed; else the fastest, or None."""
    beside = row.get("beside")  # results of before there were goals have none
    return beside if beside in row["seconds"] else row["best_peer"]


def _goal(row, peer, ratio):
    most = row.get("most")
    if most is None or ratio is None or peer != row["beside"]:
        return ""
    return f"at most {most:g}" + ("" if ratio <= most else ", missed")


def _number(x, form, scale=1):
    return "" if x is None else format(scale * x, form)


def _microseconds(seconds):
    return _number(seconds, ".2f" if seconds and seconds < 1e-5 else ".1f", 1e6)

"""Fails when an exact metric rose: ``python gate.py BASE.json HEAD.json``, two results of asv.

Registers, spills, shared memory, instructions and launches are the same on every machine, so any rise is the
change's own. Times are not compared. A benchmark that one of the results lacks is named, and fails if it is
the head that lacks it.
"""

import itertools
import json
import math
import sys
from pathlib import Path

EXACT = ("compiled.Compiled.track_", "calls.Launches.track_")


def exact_metrics(path):
    """Value of every exact metric in a result of asv, by benchmark and parameters."""
    document = json.loads(Path(path).read_text())
    columns = document["result_columns"]
    found = {}
    for name, row in document["results"].items():
        if not name.startswith(EXACT):
            continue
        entry = dict(zip(columns, row, strict=False))
        for parameters, value in zip(itertools.product(*entry["params"]), entry["result"] or (), strict=False):
            if value is not None and not math.isnan(value):
                found[(name, *(p.strip("'") for p in parameters))] = value
    return found


def compare(base, head):
    """What rose and what is gone, as lines; empty where nothing did.

    Parameters
    ----------
    base, head : dict
        As `exact_metrics` returns them.
    """
    rose = [f"{' '.join(key)}: {base[key]:g} -> {head[key]:g}" for key in base if head.get(key, -1) > base[key]]
    gone = [f"{' '.join(key)}: {base[key]:g} -> not measured" for key in base if key not in head]
    return rose + gone


def main(arguments):
    """Exit status: 0, 1 where something rose, 2 where there is nothing to compare."""
    if len(arguments) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    base, head = map(exact_metrics, arguments)
    if not base or not head:
        sys.stderr.write("no exact metric in one of the results\n")
        return 2
    lines = compare(base, head)
    sys.stdout.write("\n".join([*lines, f"{len(lines)} of {len(base)} exact metrics rose or are gone"]) + "\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

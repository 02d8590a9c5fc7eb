"""Fails when an exact metric rose: ``python asv_benchmarks/gate.py`` reads ``exact.json``, ``--renew`` writes it.

Registers, spills, shared memory, SASS instructions and launches are the same on every machine that has the compilers
of ``toolchain.txt``, so any rise is the change's own. A rise that is worth it, a fall and a new function are recorded
by renewing, where the difference shows what they cost.
"""

import json
import sys
from importlib import metadata
from pathlib import Path

FOLDER = Path(__file__).parent
BASELINE, TOOLCHAIN = FOLDER / "exact.json", FOLDER / "toolchain.txt"


def other_versions():
    """Packages of the toolchain that are not installed as pinned, as lines."""
    lines = (line.strip() for line in TOOLCHAIN.read_text().splitlines())
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return [f"{name} {_installed(name)}, not {pin}" for name, pin in pins.items() if _installed(name) != pin]


def _installed(name):
    if name == "python":  # bytecode differs between minor versions, and what comes of it too
        return "{}.{}".format(*sys.version_info)
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def measure():
    """Every exact metric, by function."""
    sys.path.insert(0, str(FOLDER))
    from benchmarks.calls import launches
    from benchmarks.compiled import resources
    from benchmarks.names import PAIRS

    compiled = resources(PAIRS)
    counts = launches()
    return {
        name: compiled.get(name, {}) | {metric: by_name[name] for metric, by_name in counts.items()}
        for name in counts["launches"]
    }


def compare(base, head):
    """What rose, what fell or is new, and what is gone, as lines.

    Parameters
    ----------
    base, head : dict of dict
        As `measure` returns them.

    Returns
    -------
    worse, better : list of str
    """
    worse, better = [], []
    for name, metrics in base.items():
        for metric, before in metrics.items():
            after = head.get(name, {}).get(metric)
            line = f"{name} {metric}: {before} -> {'not measured' if after is None else after}"
            if after is None or after > before:
                worse.append(line)
            elif after < before:
                better.append(line)
    return worse, better + [f"{name}: new" for name in head if name not in base]


def main(arguments):
    """Exit status: 0, 1 where something rose, 2 where there is nothing to compare with."""
    if arguments not in ([], ["--renew"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    if lines := other_versions():
        sys.stderr.write("\n".join([*lines, f"nothing was compared; install with: pip install -c {TOOLCHAIN}"]) + "\n")
        return 2
    head = measure()
    if arguments:
        rows = ",\n".join(f'"{name}": {json.dumps(metrics)}' for name, metrics in head.items())
        BASELINE.write_text(f"{{\n{rows}\n}}\n")
        return 0
    worse, better = compare(json.loads(BASELINE.read_text()), head)
    sys.stdout.write("\n".join([*worse, *better, f"{len(head)} functions: {len(worse)} exact metrics rose"]) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

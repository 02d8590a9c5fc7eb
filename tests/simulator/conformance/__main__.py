# ruff: noqa: T201 - the command line is what prints
"""Count how much of numba-cuda's own test suite passes on this project's simulator.

python tests/simulator/conformance [--engine stock|compiled|interpreted] [--only PATTERN] [--jobs N] [--json FILE]
"""

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))

if missing := [name for name in ("cffi", "filecheck", "ml_dtypes") if importlib.util.find_spec(name) is None]:
    sys.exit(f"numba-cuda's tests need {', '.join(missing)}: pip install cffi filecheck ml_dtypes")

import module as suite  # noqa: E402 - the simulator has to be asked for first
import pytest  # noqa: E402

ENGINES = ("stock", "compiled", "interpreted")
COUNTS = HERE / "counts.json"


def fork(name, engine, folder, done, limit):
    """Run one module in a process of its own and return the process's number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    os.chdir(tempfile.mkdtemp(dir=folder))
    with open(folder / f"{name}.log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 1
    try:
        code = suite.run(name, engine, folder / f"{name}.events", done, limit)
    finally:
        os._exit(code)


def read(events):
    """Fold the events of a module into {test: [status, reason]}; the first failure of a test is its result."""
    results = {}
    for line in events.read_text().splitlines() if events.exists() else ():
        event = json.loads(line)
        old = results.get(event["test"], ["started", ""])[0]
        if old in ("started", "passed"):
            results[event["test"]] = [event["status"], event.get("reason", "")]
    return results


def settle(events, status):
    """Charge the death of a process to the test that was running; say whether other tests are left."""
    results = read(events)
    running = [test for test, (state, _) in results.items() if state == "started"]
    if not os.WIFSIGNALED(status):
        # Without a signal a process that never got to the end left by os._exit.
        code = os.waitstatus_to_exitcode(status)
        lost = running or not (results or code == pytest.ExitCode.NO_TESTS_COLLECTED)
        death = ["crashed", f"exit code {code}"] if lost else None
    else:
        number = os.WTERMSIG(status)
        late = number == signal.SIGALRM
        death = ["timeout", "time limit"] if late else ["crashed", signal.Signals(number).name]
    if death is None:
        return False
    with open(events, "a") as file:
        for test in running or ([] if results else [suite.IMPORT]):
            file.write(json.dumps({"test": test, "status": death[0], "reason": death[1]}) + "\n")
    return bool(running)


def run_all(names, engine, jobs, limit, left_out=()):
    """Run all modules, `jobs` at a time, without some tests: {module: {test: [status, reason]}}."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        waiting, running = list(names), {}
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                done = set(read(folder / f"{name}.events"))
                done |= {test.removeprefix(f"{name}.") for test in left_out if test.startswith(f"{name}.")}
                running[fork(name, engine, folder, done, limit)] = name, time.monotonic()
            pid, status = os.wait()
            name, start = running.pop(pid)
            try:
                os.killpg(pid, signal.SIGKILL)  # what the tests started and left behind
            except ProcessLookupError:
                pass
            if settle(folder / f"{name}.events", status):
                waiting.insert(0, name)
            tally = Counter(state for state, _ in read(folder / f"{name}.events").values())
            counts = ", ".join(f"{count} {state}" for state, count in sorted(tally.items()))
            print(f"{name:45s} {time.monotonic() - start:6.1f} s  {counts}", file=sys.stderr, flush=True)
        return {name: read(folder / f"{name}.events") for name in names}


def flatten(results):
    """{module: {test: text}} as files hold it -> {"module.test": (status, reason)}."""
    return {
        f"{name}.{test}": (text.partition(": ")[0], text.partition(": ")[2])
        for name, tests in results.items()
        for test, text in tests.items()
    }


def spread(ours, stock):
    """Give the fate of a module that did not import to each test that the stock run saw in it."""
    for test in [test for test in ours if test.endswith(suite.IMPORT)]:
        prefix = test.removesuffix(suite.IMPORT)
        missing = {name for name in stock if name.startswith(prefix) and name not in ours}
        if missing:
            status, reason = ours.pop(test)
            ours.update(dict.fromkeys(missing, (status, f"import: {reason}")))
    return ours


def find(groups, test):
    """The reason of the first group with a pattern that matches `test`, or None."""
    return next((reason for reason, patterns in groups.items() if any(fnmatch(test, p) for p in patterns)), None)


def compare(ours, stock, known, engine):
    """Print the counts and every failure with its reason.

    Returns the lines that ask for a change, here or there, and how many tests of each module are due and pass.
    """
    ran_on_stock = {test for test in ours if stock.get(test, ("skipped", ""))[0] != "skipped"}
    outside = {test: find(known["refusals" if test in ran_on_stock else "outside"], test) for test in ours}
    opened = {test: find(known["open"][engine], test) for test in ours}
    passed = {test for test, (status, _) in ours.items() if status == "passed"}
    due = {test for test in ours if outside[test] is None}
    # These have run up to the point where they look at something that only a compiler for GPUs makes.
    generated = {test for test in due - ran_on_stock if ours[test] == ("skipped", suite.GENERATED)}
    due -= generated

    new = [f"NEW   {test}: {': '.join(ours[test])}" for test in sorted(due - passed) if opened[test] is None]
    cured = [f"CURED {test}: remove it from known.json" for test in sorted(passed) if opened[test]]
    for test in sorted(due - passed):
        if opened[test]:
            print(f"open  {test}: {': '.join(ours[test])}  [{opened[test]}]")
    print(*new, *cured, sep="\n", end="\n" * bool(new or cured))

    print(f"{'':60s}  tests   pass")
    for title, tests in (
        ("run by the stock simulator", due & ran_on_stock),
        ("skipped by the stock simulator, about kernels", due - ran_on_stock),
    ):
        print(f"{title:60s}  {len(tests):5d}  {len(tests & passed):5d}")
    print(f"{f'run until it {suite.GENERATED}':60s}  {len(generated):5d}")
    for reason, tests in known["endless"].get(engine, {}).items():
        print(f"{f'not run: {reason}':60s}  {len(stock.keys() & tests):5d}")
    aside = {test for test in ours if outside[test]}
    print(f"{'set aside':60s}  {len(aside):5d}  {len(aside & passed):5d}")
    for reason, count in Counter(outside[test] for test in aside).most_common():
        print(f"    {count:5d}  {reason}")
    return new + cured, by_module(due & ran_on_stock, due - ran_on_stock, passed)


def by_module(ran_on_stock, skipped, passed):
    """{module: [tests that the stock simulator runs, that pass, that it skips, that pass]}, without modules of none."""
    groups = ran_on_stock, ran_on_stock & passed, skipped, skipped & passed
    counted = [Counter(".".join(test.split(".")[:2]) for test in group) for group in groups]
    return {name: [count[name] for count in counted] for name in sorted(counted[0] | counted[2])}


def differing(counts, recorded):
    """Lines for modules whose counts are not those on record."""
    return [
        f"COUNT {name}: {count} on record are {recorded.get(name)}: see --record"
        for name, count in counts.items()
        if count != recorded.get(name)
    ]


def write_counts(counts, engine):
    """Write the counts of the modules that were run, and the sums of all."""
    held = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    of_engine = held.get(engine, {}) | counts
    of_engine.pop("all", None)
    held[engine] = {
        "all": [sum(column) for column in zip(*of_engine.values(), strict=True)],
        **dict(sorted(of_engine.items())),
    }
    engines = (
        f'"{name}": {{\n' + ",\n".join(f'"{module}": {held[name][module]}' for module in held[name]) + "\n}"
        for name in sorted(held)
    )
    COUNTS.write_text("{\n" + ",\n".join(engines) + "\n}\n")


def unused(known, tests):
    """Patterns of known.json that match no test, other than those for modules that do not import."""
    modules = [test.removesuffix(suite.IMPORT) for test in tests if test.endswith(suite.IMPORT)]
    groups = [known["outside"], known["refusals"], *known["open"].values(), *known["endless"].values()]
    patterns = {pattern for group in groups for patterns in group.values() for pattern in patterns}
    patterns = {p for p in patterns if not p.startswith(tuple(modules))}
    return [f"UNUSED {p}: no such test" for p in sorted(patterns) if not any(fnmatch(test, p) for test in tests)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, default="compiled")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="modules, such as cudapy.test_sm* (commas join)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    parser.add_argument("--limit", type=float, default=120, metavar="S", help="seconds that one test may take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every test's result there")
    parser.add_argument("--record", action="store_true", help="write the counts to counts.json")
    options = parser.parse_args()

    names = [name for name in suite.modules() if any(fnmatch(name, p) for p in options.only.split(","))]
    if options.engine != "stock":
        suite.install(options.engine)
    known = json.loads((HERE / "known.json").read_text())
    endless = [test for tests in known["endless"].get(options.engine, {}).values() for test in tests]
    results = run_all(names, options.engine, options.jobs, options.limit, endless)
    results = {
        name: {test: f"{state}: {reason}" if reason else state for test, (state, reason) in sorted(tests.items())}
        for name, tests in results.items()
    }
    if options.json:
        versions = {package: version(package) for package in ("numba", "numba-cuda", "numpy")}
        record = {"engine": options.engine, "versions": versions, "tests": results}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    ours = flatten(results)
    if options.engine == "stock":
        for state, count in Counter(state for state, _ in ours.values()).most_common():
            print(f"{count:5d} {state}")
        return 0
    baseline = json.loads((HERE / "stock.json").read_text())
    if (recorded := baseline["versions"]["numba-cuda"]) != version("numba-cuda"):
        print(f"stock.json is of numba-cuda {recorded}, installed is {version('numba-cuda')}: see README.md")
    stock = flatten(baseline["tests"])
    complaints = unused(known, stock | ours) if options.only == "*" else []
    print(*complaints, sep="\n", end="\n" * bool(complaints))
    stock = {test: fate for test, fate in stock.items() if any(test.startswith(f"{name}.") for name in names)}
    asked, counts = compare(spread(ours, stock), stock, known, options.engine)
    if options.record:
        write_counts(counts, options.engine)
    else:
        asked += (differences := differing(counts, json.loads(COUNTS.read_text())[options.engine]))
        print(*differences, sep="\n", end="\n" * bool(differences))
    return 1 if complaints + asked else 0


if __name__ == "__main__":
    sys.exit(main())

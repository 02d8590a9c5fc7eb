"""``python -m kernels info | check | run | bench | accuracy | simulation | cache``."""

import argparse
import json
import sys

from .command import machine


def _parser():
    parser = argparse.ArgumentParser(prog="python -m kernels", description="CUDA kernels paired with NumPy references.")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="{info,check,run,bench,accuracy,simulation,cache}"
    )

    info = commands.add_parser("info", help="can this machine compute on a GPU, and if not, why not")
    info.add_argument("--json", action="store_true", help="print JSON instead of tables")
    info.set_defaults(main=_info)

    check = commands.add_parser("check", help="compare every function with its reference")
    check.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these functions, commas or blanks between"
    )
    check.add_argument("--size", type=int, help="elements of each input (default: by engine)")
    check.add_argument("--seed", type=int, default=0, help="of the random inputs")
    check.add_argument("--verbose", action="store_true", help="a row for each loop and input")
    check.set_defaults(main=_check)

    run = commands.add_parser("run", help="apply a function to arrays of your own")
    run.add_argument("name", metavar="NAME", help="a public function, as add")
    run.add_argument("inputs", nargs="+", metavar="INPUT", help="a .npy file or a number, in the order of the inputs")
    run.add_argument("-o", "--output", action="append", default=[], metavar="OUT.npy", help="one for each result")
    run.set_defaults(main=_run)

    bench = commands.add_parser("bench", help="time against the floor, on a GPU")
    bench.add_argument("--peers", action="store_true", help="also PyTorch, CuPy and plain Numba, where installed")
    bench.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows whose name contains one of these")
    bench.add_argument("--rounds", type=int, default=3, help="interleaved rounds that medians are taken of")
    bench.add_argument(
        "--soak", type=float, metavar="MINUTES", help="repeat calls while memory is watched; other rows only by --only"
    )
    bench.add_argument(
        "--sweep",
        action="store_true",
        help="instead: reductions over 60 arrays and axes, and the worst of them",
    )
    bench.add_argument("--json", metavar="FILE", help="write the figures there")
    bench.add_argument("--plot", metavar="FILE.png", help="draw the roofline there")
    bench.add_argument("--table", action="store_true", help="print the committed results as Markdown, and time nothing")
    bench.set_defaults(main=_bench)

    accuracy = commands.add_parser("accuracy", help="the largest error of each function, by mpmath")
    accuracy.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="these functions, commas or blanks between"
    )
    accuracy.add_argument("--json", metavar="FILE", help="write the measurements there")
    accuracy.add_argument(
        "--table", action="store_true", help="print the committed results as Markdown, and measure nothing"
    )
    accuracy.set_defaults(main=_accuracy)

    simulation = commands.add_parser("simulation", help="time the simulator against the stock one and NumPy")
    simulation.add_argument("--small", action="store_true", help="leave out the sizes of real use")
    simulation.set_defaults(main=_simulation)

    cache = commands.add_parser("cache", help="show or clear the compiled kernels kept on disk")
    cache.add_argument("action", nargs="?", choices=("show", "clear"), default="show", help="default: show")
    cache.set_defaults(main=_cache)

    for command in (check, run, simulation, cache):
        command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    for command in (check, run, accuracy):
        command.add_argument(
            "--engine", choices=("cuda", "simulator", "reference"), help="default: a GPU if there is one"
        )
    return parser


def main(arguments=None):
    """Run the command line; the exit status is 0, 1 for a failed check, 2 for wrong usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.command != "run" and rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    return options.main(options)


def _refuse(message):
    print(f"python -m kernels: {message}", file=sys.stderr)
    return 2


def _info(options):
    from .command import info

    found = info.collect()
    print(json.dumps(found, indent=2)) if options.json else info.show(found)
    return 0


def _choose(engine):
    """Name of the engine, chosen; what is wrong otherwise."""
    import warnings

    from . import EngineError, ReferenceWarning, use
    from . import engine as current

    try:
        use(engine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReferenceWarning)
            return current(), None
    except (EngineError, ValueError) as error:
        return None, str(error)


def _check(options):
    machine.prepare(options.engine, simulate=True)
    from .command import check
    from .command.run import unknown
    from .pairing import REGISTRY

    names = [name for given in options.only for name in given.split(",") if name] or list(REGISTRY)
    for name in names:
        if name not in REGISTRY:
            return _refuse(unknown(name, REGISTRY))
    if options.size is not None and options.size < 1:
        return _refuse("--size must be 1 or more")
    engine, problem = _choose(options.engine)
    if problem:
        return _refuse(problem)
    found = check.with_progress(names, options.size or check.SIZES[engine], options.seed)
    if options.json:
        print(json.dumps(check.document(found, engine, options.seed), indent=2))
    else:
        check.show(found, engine, options.verbose)
    return 0 if all(c.passed for c in found) else 1


def _run(options):
    machine.prepare(options.engine, simulate=False)
    from .command import run

    engine, problem = _choose(options.engine)
    if problem:
        return _refuse(problem)
    try:
        found = run.apply(options.name, options.inputs, options.rest, options.output, engine)
    except run.UsageError as error:
        return _refuse(str(error))
    print(json.dumps(found, indent=2)) if options.json else run.show(found)
    return 0


def _simulation(options):
    from .command import simulation

    found = simulation.measure(large=not options.small)
    print(json.dumps(found, indent=2)) if options.json else simulation.show(found)
    return 0


def _cache(options):
    from .command import cache

    cleared = options.action == "clear"
    found = cache.clear() if cleared else cache.collect()
    if options.json:
        print(json.dumps(found, indent=2))
    elif cleared:
        cache.show_cleared(found)
    else:
        cache.show(found)
    return 1 if cleared and any(each["entries"] for each in found["left"].values()) else 0


def _table(markdown, what, folder):
    """Print the table of the committed results, or refuse where there are none."""
    if not markdown:
        return _refuse(f"no results of `{what} --json` are in {folder}")
    print(markdown)
    return 0


def _bench(options):
    if options.table:
        from .command import figures

        return _table(figures.markdown(), "bench", figures.RESULTS)
    from .command import bench

    return bench.main(options)


def _accuracy(options):
    if options.table:
        from .command import accuracy

        return _table(accuracy.markdown(), "accuracy", accuracy.RESULTS)
    machine.prepare(options.engine, simulate=True)
    from .command import accuracy
    from .command.bench import save
    from .command.run import unknown
    from .pairing import REGISTRY

    names = [name for given in options.only for name in given.split(",") if name] or accuracy.floating()
    for name in names:
        if name not in REGISTRY:
            return _refuse(unknown(name, REGISTRY))
    if not accuracy.available():
        return _refuse("accuracy needs mpmath: pip install 'numba-kernels[test]'")
    engine, problem = _choose(options.engine)
    if problem:
        return _refuse(problem)
    found = accuracy.document(accuracy.with_progress(names, engine), engine)
    accuracy.show(found)
    if options.json:
        save(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

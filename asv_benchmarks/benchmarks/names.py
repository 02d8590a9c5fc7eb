"""What is benchmarked under which name."""

import inspect

import kernels

PAIRS = tuple(kernels.REGISTRY)

#: Public functions that are no pairs, each with the benchmarks that have it by name.
OTHERS = {
    "fuse": "calls.Fused, device.Fused",
    "sgd_step": "calls.Optimizers, device.Optimizers",
    "adam_step": "calls.Optimizers, device.Optimizers",
    "adamw_step": "calls.Optimizers, device.Optimizers",
}

#: Public functions that compute nothing.
SETTINGS = {"engine", "use"}


def without_entry(public, pairs=kernels.REGISTRY, others=OTHERS):
    """Names of public functions that nothing here measures; an alias is measured under its pair's name."""
    measured = {id(pair.function) for pair in pairs.values()}
    functions = {name: f for name, f in public.items() if inspect.isfunction(f)}
    return [name for name, f in functions.items() if id(f) not in measured and name not in {*others, *SETTINGS}]


def require_all():
    """Refuse to go on where a public function has no benchmark."""
    missing = without_entry({name: getattr(kernels, name) for name in kernels.__all__})
    if missing:
        raise ImportError(f"no benchmark for {', '.join(missing)}: add an entry to asv_benchmarks/benchmarks/names.py")


def loop_of(pair):
    """The loop that stands for a pair: float32's, else its first."""
    return next((loop for loop in pair.loops if loop.startswith("f")), pair.loops[0])

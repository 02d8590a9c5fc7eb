"""What is benchmarked under which name."""

import inspect

import kernels

PAIRS = tuple(kernels.REGISTRY)

#: Public functions that are no pairs, each with the benchmarks that have it by name.
OTHERS = {
    "fuse": "calls.Fused, calls.Plan, device.Fused",
    "sgd_step": "calls.Optimizers, calls.Plan, device.Optimizers",
    "adam_step": "calls.Optimizers, calls.Plan, device.Optimizers",
    "adamw_step": "calls.Optimizers, calls.Plan, device.Optimizers",
}

#: Public functions of whole arrays that are no pairs.
WHOLE = {
    **dict.fromkeys("cumsum cumprod cummax cummin logcumsumexp scan diff".split(), "device.Whole"),
    **dict.fromkeys("reduce segmented_reduce reduce_by_key searchsorted digitize".split(), "device.Whole"),
}

#: Public names of `kernels.runtime` that launch, each with its benchmark.
RUNTIME = {"graph": "calls.Graph", "launcher": "calls.Launcher"}

#: Public functions that compute nothing.
SETTINGS = {"engine", "gpu_problem", "use"}


def without_entry(public, pairs=kernels.REGISTRY, others=OTHERS):
    """Names of public functions that nothing here measures; an alias is measured under its pair's name."""
    measured = {id(pair.function) for pair in pairs.values()}
    known = {*others, *WHOLE, *RUNTIME, *SETTINGS}
    return [name for name, thing in public.items() if _computes(thing) and not (id(thing) in measured or name in known)]


def _computes(thing):
    """Whether a public name is a function or a class, other than of errors and warnings."""
    return inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, Exception))


def require_all():
    """Refuse to go on where a public function has no benchmark."""
    public = {name: getattr(kernels.runtime, name) for name in kernels.runtime.__all__}
    missing = without_entry(public | {name: getattr(kernels, name) for name in kernels.__all__})
    if missing:
        raise ImportError(f"no benchmark for {', '.join(missing)}: add an entry to asv_benchmarks/benchmarks/names.py")


def loop_of(pair):
    """The loop that stands for a pair: float32's, else its first."""
    return next((loop for loop in pair.loops if loop.startswith("f")), pair.loops[0])

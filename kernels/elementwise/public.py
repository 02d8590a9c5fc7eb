"""How a scalar function becomes a public function of arrays.

The functions of this family differ only in what they compute of one element, so two factories make them all: of
a NumPy or SciPy ufunc (`from_ufunc`), and of a Python function of scalars (`elementwise`). What comes out is a
plain function - `help`, pickling and tracebacks are a function's - that also runs inside ``@cuda.jit`` kernels on
single numbers.
"""

import functools
import inspect

import numpy as np

from ..device.functions import implementation
from ..device.instructions import SIMULATED, device_function, in_simulated_kernel
from ..device.scalar import call, overload_function
from ..pairing import Pair, file
from ..runtime.arrays import operand
from ..runtime.frameworks import opaque
from ..runtime.layouts import VECTOR
from ..runtime.plans import Calls
from .docstrings import NUMPY, SCIPY, describe, example_of
from .kernels import contiguous
from .mapping import OPTIONS, Mapping, examine

FLOATS = "efd"
COMPLEX = "FD"
INTEGERS = "".join(np.dtype(f"{sign}int{bits}").char for bits in (8, 16, 32, 64) for sign in ("", "u"))


def _loops_of(ufunc, scalar):
    """The loops of a ufunc over dtypes that kernels have, and that have a device function."""
    seen = {}
    for loop in ufunc.types:
        ins, outs = loop.split("->")
        if set(ins + outs) - {"?", *INTEGERS, *FLOATS, *COMPLEX}:
            continue
        if scalar(tuple(map(np.dtype, ins))) is not None:
            seen[f"{ins}->{outs}"] = None
    return tuple(seen)


def ulp_bounds(ulps):
    """Bounds per dtype character from (float32, float64[, complex]) ones; 0 is exact, 0.5 correctly rounded.

    An error is the distance from the exact value. NVIDIA's table of libdevice counts from the correctly rounded one,
    so a function that is listed there with n ulp has the bound n + 0.5.

    float16 is computed in float32 and rounded: within 0.5 ulp and the little that float32 errs. A complex bound is
    that of the error's modulus in units in the last place of the result's.
    """
    if not ulps:
        return {}
    single, double, *rest = ulps
    bounds = {"e": 0.5 + 2.0**-13 * 2 * single if single else 0.0, "f": single, "d": double}
    return bounds | {c: rest[0] for c in COMPLEX if rest}


def from_ufunc(
    ufunc,
    summary,
    formula,
    *,
    name=None,
    ulps=None,
    flops=1.0,
    domain=None,
    example=None,
    magnitude=None,
    check=None,
):
    """A public function with the loops, promotion and errors of a NumPy or SciPy ufunc.

    Parameters
    ----------
    ufunc : numpy.ufunc
    summary : str
        First line of the docstring.
    formula : str
        Its notes.
    name : str, optional
        Else the ufunc's own.
    ulps : tuple of float, optional
        See `ulp_bounds`; none where the result is exact.
    flops : float
    domain : tuple of (float, float), optional
        One interval per input.
    example : tuple, optional
        Inputs of the docstring's example; its output is the reference's.
    magnitude : callable, optional
        See `kernels.pairing.Pair`.
    check : callable, optional
        See `kernels.elementwise.mapping.Mapping`.
    """
    name = name or ufunc.__name__

    def scalar(ins):
        return implementation(ufunc, ins)

    def resolve(dtypes, dtype, casting):
        chosen = {} if dtype is None else {"signature": (None,) * ufunc.nin + (dtype,) * ufunc.nout}
        loop = ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout), casting=casting, **chosen)
        return loop[: ufunc.nin], loop[ufunc.nin :]

    nin = ufunc.nin
    parameters = ("x",) if nin == 1 else tuple(f"x{k}" for k in range(1, nin + 1))
    mapping = Mapping(name, parameters, ufunc.nout, resolve, scalar, ufunc, check)
    source = NUMPY if getattr(np, ufunc.__name__, None) is ufunc else SCIPY
    bounds = ulp_bounds(ulps)
    text = describe(
        mapping,
        summary,
        formula,
        bounds,
        flops,
        source.format(name=ufunc.__name__),
        example_of(mapping, example),
    )
    return _publish(mapping, _loops_of(ufunc, scalar), text, bounds, flops, domain, magnitude)


def elementwise(
    loops,
    reference,
    formula,
    *,
    source,
    ulps=None,
    flops=1.0,
    domain=None,
    example=None,
    fixed=None,
    to=None,
    fill=None,
    of_integers=None,
    of_complex=None,
    magnitude=None,
):
    """Decorator: a scalar function becomes a public function of arrays.

    Parameters
    ----------
    loops : str
        Dtype characters, ordered, each one loop over inputs of that one dtype.
    reference : callable
        The same of NumPy arrays.
    formula, ulps, flops, domain, example
        As in `from_ufunc`.
    source : str
        Paper or standard.
    fixed : dict, optional
        Parameter -> dtype character, of inputs that have one whatever the loop (the condition of `where`).

    to : dict, optional
        Dtype character of a loop -> that of its result, where they differ.
    fill : dict, optional
        Parameter -> what stands for None there, as a function of the loop's dtype.
    of_integers, of_complex : callable, optional
        Scalar functions for those dtypes, where one does not serve all.
    magnitude : callable, optional
        See `kernels.pairing.Pair`.
    magnitude : callable, optional
        See `kernels.pairing.Pair`.

    The scalar function's first docstring line becomes the summary; its parameters' defaults become the public
    function's.
    """

    def decorate(function):
        signature = inspect.signature(function)
        parameters = tuple(signature.parameters)
        defaults = tuple(p.default for p in signature.parameters.values() if p.default is not p.empty)
        kept = fixed or {}
        first = next(k for k, p in enumerate(parameters) if p not in kept)
        inner = device_function(_without_defaults(function))
        by_kind = {
            kind: device_function(special)
            for kinds, special in (("iu", of_integers), ("c", of_complex))
            for kind in kinds
            if special
        }
        results = {c: c for c in loops} | (to or {})
        listed = tuple("".join(kept.get(p, c) for p in parameters) + f"->{results[c]}" for c in loops)

        def scalar(ins):
            return by_kind.get(ins[first].kind, inner) if ins in allowed else None

        allowed = {tuple(np.dtype(kept.get(p, c)) for p in parameters) for c in loops}

        def resolve(dtypes, dtype, casting):
            return _homogeneous(function.__name__, parameters, dtypes, results, dtype, casting, kept)

        mapping = Mapping(function.__name__, parameters, 1, resolve, scalar, reference)
        summary = inspect.getdoc(function).splitlines()[0]
        bounds = ulp_bounds(ulps)
        text = describe(mapping, summary, formula, bounds, flops, source, example_of(mapping, example))
        return _publish(mapping, listed, text, bounds, flops, domain, magnitude, defaults, fill, function.__module__)

    return decorate


def _without_defaults(function):
    """Numba would type default values by itself; the public function supplies them as weak scalars."""
    plain = type(function)(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
    plain.__qualname__, plain.__module__ = function.__qualname__, function.__module__
    return plain


def _homogeneous(name, parameters, dtypes, loops, dtype, casting, fixed):
    """The first loop that holds what the inputs promote to, as `numpy.result_type` promotes.

    `loops` maps the character of the inputs' dtype to that of the result's.
    """
    free = [(p, d) for p, d in zip(parameters, dtypes, strict=False) if p not in fixed]
    weak = all(isinstance(d, type) for _, d in free)
    if dtype is None:
        wanted = np.result_type(*(d(0) if isinstance(d, type) and not weak else d for _, d in free))
        fitting = [np.dtype(c) for c in loops if np.can_cast(wanted, np.dtype(c), "safe")]
    else:
        wanted = dtype
        fitting = [np.dtype(c) for c, result in loops.items() if np.dtype(result) == dtype]
    if not fitting:
        raise TypeError(f"{name} is not defined for dtype {wanted}")
    found = fitting[0]
    for parameter, d in free:
        if not isinstance(d, type) and not np.can_cast(d, found, casting):
            raise TypeError(f"{parameter} has dtype {d}, which casting={casting!r} does not turn into {found}")
    results = {np.dtype(c): np.dtype(result) for c, result in loops.items()}
    return tuple(np.dtype(fixed.get(p, found)) for p in parameters), (results[found],)


def _publish(mapping, loops, text, ulps, flops, domain, magnitude, defaults=(), fill=None, module=None):
    """The public function of a mapping, filed as a pair and made callable inside kernels."""
    name, nin, nout = mapping.name, len(mapping.parameters), mapping.nout
    least = nin - len(defaults)
    optional = mapping.parameters[least:]

    def function(*args, out=None, where=True, casting="same_kind", dtype=None, stream=None, **named):
        if named:
            args = placed(args, named)
        if SIMULATED and in_simulated_kernel():
            return inside(*args)
        if not least <= len(args) <= nin + nout:
            raise TypeError(f"{name}() takes {least} to {nin + nout} positional arguments, got {len(args)}")
        if len(args) > nin:
            if out is not None:
                raise TypeError(f"{name}() got both a positional out and out=")
            out = args[nin:] + (None,) * (nin + nout - len(args))
            args = args[:nin]
        return calls(complete(args), out, where, stream, casting, dtype)

    def complete(args):
        """All inputs: defaults for those that were left out, and for None what stands for it."""
        args += defaults[len(args) - least :]
        return filled(args) if fill and any(x is None for x in args) else args

    def placed(args, named):
        """Positional arguments from positional and named ones; only what has a default may be named."""
        if len(args) < least:
            raise TypeError(f"{name}() takes at least {least} positional argument(s), got {len(args)}")
        values = dict(zip(optional, defaults, strict=True))
        for p in named:
            if p not in values or p in mapping.parameters[: len(args)]:
                raise TypeError(f"{name}() got an unexpected keyword argument {p!r}")
        values |= named
        return (*args, *(values[p] for p in mapping.parameters[len(args) :]))

    def filled(args):
        given = [operand(x, p) for x, p in zip(args, mapping.parameters, strict=True) if x is not None]
        (d, *_), _ = mapping.resolve(tuple(x.weak or x.dtype for x in given), None, "same_kind")
        named = zip(args, mapping.parameters, strict=True)
        return tuple(d.type(fill[p](d)) if x is None else x for x, p in named)

    def inside(*args):
        args += defaults[len(args) - least :]
        found = loop(tuple(type(x) if type(x) in (int, float, complex) else np.asarray(x).dtype for x in args))
        return call(*found)(args)

    def loop(dtypes):
        try:
            ins, outs = mapping.resolve(dtypes, None, "same_kind")
        except TypeError:
            return None
        scalar = mapping.scalar(ins)
        return scalar and (scalar, ins, outs)

    calls = Calls(functools.partial(examine, mapping), OPTIONS, complete)
    function.plan = calls.plan
    opaque(function)
    function.twin = inside if SIMULATED else mapping.reference
    function.__name__ = function.__qualname__ = name
    function.__module__ = module or "kernels.elementwise"
    function.__doc__ = text
    function.__signature__ = _signature(mapping.parameters, defaults)
    if nin <= 4:
        overload_function(function, nin, loop, () if None in defaults else defaults)
    signature = ",".join(["()"] * nin) + "->" + ",".join(["()"] * nout)
    return file(
        Pair(
            name,
            "elementwise",
            function,
            mapping.reference,
            signature,
            loops,
            flops,
            domain or ((-10.0, 10.0),) * nin,
            ulps,
            magnitude,
            lambda loop: _compiled(mapping, loop),
        )
    )


def _signature(parameters, defaults):
    kinds = inspect.Parameter
    missing = (kinds.empty,) * (len(parameters) - len(defaults))
    inputs = [
        kinds(p, kinds.POSITIONAL_ONLY if d is kinds.empty else kinds.POSITIONAL_OR_KEYWORD, default=d)
        for p, d in zip(parameters, missing + defaults, strict=True)
    ]
    options = {"where": True, "casting": "same_kind", "dtype": None, "stream": None}
    rest = [kinds(p, kinds.KEYWORD_ONLY, default=d) for p, d in options.items()]
    return inspect.Signature([*inputs, kinds("out", kinds.POSITIONAL_OR_KEYWORD, default=None), *rest])


def _compiled(mapping, loop):
    """What a call over contiguous arrays of this loop's dtypes launches, for offline compilation."""
    from numba import types
    from numba.cuda.np.numpy_support import from_dtype

    ins, outs = (tuple(map(np.dtype, part)) for part in loop.split("->"))
    f = call(mapping.scalar(ins), ins, outs)
    width = VECTOR // max(d.itemsize for d in ins + outs)
    kernel = contiguous(f, ("vector",) * len(ins), len(outs), width, True, False)
    pointers = [types.Tuple([types.CPointer(from_dtype(d)) for d in group]) for group in (ins, outs)]
    return [(f"{mapping.name} {loop}", kernel, (types.uint32, *pointers))]

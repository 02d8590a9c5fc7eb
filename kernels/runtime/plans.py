"""A call made once and repeated: everything that its arguments' dtypes, shapes and strides decide is decided.

The public functions look their plans up by a description of the arguments; a user may hold one.
"""

import functools
import threading
from typing import NamedTuple

import numpy as np

from . import quick
from .arrays import Operand, contiguous_strides, maker, operand, producer, stream_handle
from .calls import clash, compute, output_names, source
from .frameworks import opaque
from .layouts import layout
from .memory import follow

#: Plans that one function keeps; the oldest go first.
KEPT = 512


class Calls:
    """The calls of one function: each a plan, looked up by what its arguments are.

    Parameters
    ----------
    examine : callable
        ``examine(inputs, out, where, stream, *options)``: the `Call`, or an error for what is wrong with the arguments.
    options : dict of str to object
        Names and defaults of the function's options, which decide as much as the layouts of its arrays do.
    complete : callable, optional
        ``complete(inputs)``: all inputs, where some may be left out or be None.
    """

    def __init__(self, examine, options, complete=None):
        self._examine, self._options, self._complete = examine, options, complete
        self._plans, self._seen, self._lock = {}, {}, threading.Lock()

    @opaque
    def __call__(self, inputs, out, where, stream, *options):
        """What the function returns."""
        if type(out) is tuple and len(out) == 1:
            (out,) = out
        arguments = inputs if out is None else (*inputs, *out) if type(out) is tuple else (*inputs, out)
        described = quick.describe(arguments if where is True else (*arguments, where))
        key = described, out is None, where is True, *options
        try:
            known = None if described is None else self._plans.get(key)
        except TypeError:  # an option that has no hash
            described = known = None
        if known is not None:
            return known(*inputs, out=out, where=where, stream=stream)
        call = self._examine(inputs, out, where, stream, *options)
        found = compute(call)
        if described is not None and _is_quick(call):
            if key in self._seen:
                self._keep(key, call, found)
            else:  # a plan takes longer to make than a call: shapes that are ever new get none
                self._remember(self._seen, key, None)
        return found

    def _keep(self, key, call, found):
        unchecked = _Unchecked(self._examine, key[3:])
        plan = unchecked.plan = _quick_function(call, unchecked)
        if plan is not None:
            _renew(plan, call, found)
            self._remember(self._plans, key, plan)

    def _remember(self, known, key, value):
        with self._lock:
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = value

    @opaque
    def plan(self, like, *, out=None, where=True, **options):
        """Make a call of this function ready to be repeated.

        Parameters
        ----------
        like : array, number or tuple of these
            Inputs as the calls will have them: dtypes, shapes, strides and device count, values do not.
        out : array or tuple of arrays, optional
            Outputs as the calls will have them; else arrays of the result's dtype without gaps.
        where : array of bool, optional
            A mask as the calls will have it.
        **options
            As of the function: ``dtype`` and the like.

        Returns
        -------
        plan : function
            ``plan(*inputs, out=None, where=True, stream=None)``. With `out`, of PyTorch's, CuPy's and Numba's arrays
            on a GPU it allocates nothing, waits for nothing and makes one driver call, which a CUDA graph can capture.

        Raises
        ------
        TypeError, ValueError
            As the function; and by the plan for an argument that does not fit it, which the message names, with
            nothing launched.

        Notes
        -----
        A plan is quick with arrays of the libraries that it was made for; with others it does the same, slower. An
        `out` that overlaps an input without being it costs a copy of the input, as it does the function.

        Examples
        --------
        >>> import numpy as np, kernels
        >>> x, y = np.arange(3.0), np.empty(3)
        >>> plan = kernels.add.plan(like=(x, x), out=y)
        >>> plan(x, x, out=y)
        array([0., 2., 4.])
        """
        given = like if isinstance(like, tuple) else (like,)
        inputs = self._complete(given) if self._complete else given
        unknown = sorted(options.keys() - self._options.keys())
        if unknown:
            raise TypeError(f"plan() got an unexpected keyword argument {unknown[0]!r}")
        chosen = tuple((self._options | options).values())
        call = self._examine(inputs, out, where, None, *chosen)
        checked = _Checked(self._examine, call, chosen, self._complete)
        plan = _quick_function(call, checked, given) if _is_quick(call) else None
        if plan is None:
            return opaque(checked.function())
        checked.plan = opaque(plan)
        if None not in call.outs:
            _renew(plan, call, tuple(y.array for y in call.outs))
        plan.__doc__ = checked.text()
        return plan


# --- the full way -----------------------------------------------------------------------------------------------


class _Unchecked:
    """What a plan of ours does where its arguments need a full look: whatever the function does with them."""

    def __init__(self, examine, options):
        self._examine, self._options, self.plan = examine, options, None

    def __call__(self, inputs, out, where, stream):
        call = self._examine(inputs, out, where, stream, *self._options)
        found = compute(call)
        if _is_quick(call):
            _renew(self.plan, call, found)
        return found


class _Checked:
    """What a user's plan does there: raise for arguments that do not fit it, else what the function does."""

    def __init__(self, examine, call, options, complete):
        self._examine, self._options, self._complete = examine, options, complete
        self._name, self._parameters, self._dtypes = call.task.name, call.task.parameters, call.dtypes
        self._device, self._masked, self.plan = call.device, call.mask is not None, None
        self._expected = [_Expected.of(x) for x in call.inputs]
        self._outs = [_Expected.of(y) for y in _targets(call)]

    def __call__(self, inputs, out, where, stream):
        inputs = self._complete(inputs) if self._complete else inputs
        if len(inputs) != len(self._parameters):
            raise TypeError(f"{self.text()} takes {len(self._parameters)} inputs, got {len(inputs)}")
        try:
            call = self._examine(inputs, out, where, stream, *self._options)
        except (TypeError, ValueError):
            self._check_inputs(inputs)  # which may have more to say
            raise
        self._check(call)
        found = compute(call)
        if self.plan is not None and _is_quick(call):
            _renew(self.plan, call, found)
        return found

    def _check_inputs(self, inputs):
        expected = self._expected[self._masked :]
        for x, name, each in zip(inputs, self._parameters, expected, strict=True):
            each.check(operand(x, name))

    def _check(self, call):
        if (call.mask is not None) != self._masked:
            raise ValueError(f"where was {'' if self._masked else 'not '}given when the plan was made")
        for x, expected in zip(call.inputs, self._expected, strict=True):
            expected.check(x)
        for y, expected in zip(call.outs, self._outs, strict=True):
            if y is not None:
                expected.check(y)
        if call.dtypes != self._dtypes:
            raise TypeError(f"a number of another kind makes the result {call.dtypes[0]}, not {self._dtypes[0]}")

    def text(self):
        """What the plan is, for its user."""
        place = "in host memory" if self._device is None else f"on device {self._device}"
        return f"Plan of {self._name}({', '.join(map(str, self._expected))}) {place}."

    def function(self):
        """The plan, where there is no quick way."""

        def plan(*inputs, out=None, where=True, stream=None):
            return self(inputs, out, where, stream)

        plan.__name__ = plan.__qualname__ = f"{self._name}_plan"
        plan.__doc__ = self.text()
        return plan


class _Expected(NamedTuple):
    """What an argument of a plan must be like."""

    name: str
    dtype: np.dtype
    shape: tuple
    strides: tuple
    device: int | None
    number: bool

    @classmethod
    def of(cls, x):
        return cls(x.name, x.dtype, x.shape, x.strides, x.device, x.library == "python")

    def __str__(self):
        return f"{self.name}: {'number' if self.number else f'{self.dtype} {self.shape}'}"

    def check(self, x):
        """Raise where `x` does not fit."""
        if self.number:
            if x.library != "python":
                raise TypeError(f"{self.name} must be a number, as when the plan was made, got an array")
            return
        if x.dtype != self.dtype or x.library == "python":
            raise TypeError(f"{self.name} must have dtype {self.dtype}, as when the plan was made, got {x.dtype}")
        if x.shape != self.shape:
            raise ValueError(f"{self.name} must have shape {self.shape}, as when the plan was made, got {x.shape}")
        if x.device != self.device:
            places = ["host memory" if d is None else f"device {d}" for d in (self.device, x.device)]
            raise ValueError(f"{self.name} must be in {places[0]}, as when the plan was made, is in {places[1]}")
        if x.device is not None and x.strides != self.strides:
            raise ValueError(
                f"{self.name} must have strides of {self.strides} elements, as when the plan was made, got {x.strides}"
            )


# --- the quick way ----------------------------------------------------------------------------------------------


def _is_quick(call):
    """Whether the arrays of a call are all on one device, and its numbers are free of conditions."""
    inputs = call.inputs
    return (
        call.engine == "cuda"
        and call.device is not None
        and 0 not in call.shape
        and all(x.device is not None or (not x.shape and type(x.array) in quick.NUMBERS) for x in inputs)
        and (call.mask is None or call.mask.device is not None)
        and not (call.task.looks_at_values and any(x.device is None for x in inputs))
    )


def _quick_function(call, otherwise, given=None):
    """The quick way of a call, compiled and loaded, or None where an argument has none.

    `given` are the inputs as a user gave them: some may have been left out, or be None.
    """
    inputs, targets = call.inputs, _targets(call)
    parameters = [f"x{k}" for k in range(len(call.xs))]
    names = [*(["where"] if call.mask else []), *parameters, *(f"y{k}" for k in range(len(targets)))]
    kinds = [type(call.like.array if x.array is None else x.array) for x in (*inputs, *targets)]
    looks = list(map(quick.look, names, kinds, [*inputs, *targets]))
    if None in looks:
        return None
    first = [sum(len(each.words) for each in looks[:k]) for k in range(len(looks))]  # word of an argument
    arrays = [(first[k], x) for k, x in enumerate([*inputs, *targets]) if x.device is not None]
    results = arrays[-len(targets) :]
    apart = [(k, j, *clash(x, y)) for j, y in results for k, x in arrays[: -len(targets)]]
    apart += [(k, j, *clash(x, y)[:2], False) for j, y in results for k, x in results if k < j]
    numbers = [x.array for x in call.xs]
    given = numbers if given is None else given
    way = quick.Quick(
        name=f"{call.task.name}_plan" if call.task.name.isidentifier() else "plan",
        inputs=names[: -len(targets)],
        outs=names[-len(targets) :],
        defaults=dict(zip(parameters[len(given) :], numbers[len(given) :], strict=True)),
        instead={name: x for name, x, g in zip(parameters, numbers, given, strict=False) if g is None},
        looks=looks,
        tensors=[name for name, x in zip(names, [*inputs, *targets], strict=True) if x.library == "torch"],
        aligned=[(k, _least(layout(x).alignment) - 1) for k, x in arrays],
        apart=apart,
    )
    makers = [maker(call.like, call.shape, d, call.order, call.device) for d in call.dtypes]
    producers = list({x.library: producer(x) for x in inputs if x.device is not None}.values())
    ready = _launch(call)
    ready.load()
    return way.function(
        launch=ready,
        make=makers[0] if len(makers) == 1 else lambda: [make() for make in makers],
        current=_current(producers, call.device),
        ordered=functools.partial(_ordered, producers, call.device),  # which knows no arrays: those are the user's
        otherwise=otherwise,
    )


def _renew(plan, call, found):
    """Have a plan's quick way accept tensors of the types of those of `call`, whose result was `found`."""
    found = found if isinstance(found, tuple) else (found,)
    libraries = [call.like.library if y is None else y.library for y in call.outs]
    tensors = [x.array for x in call.inputs if x.library == "torch" and x.device is not None]
    tensors += [y for y, library in zip(found, libraries, strict=True) if library == "torch"]
    quick.renew(plan, tensors)


def _targets(call):
    """The outputs of a call; what was not given will lie there without gaps."""
    strides = contiguous_strides(call.shape, call.order)
    names = output_names(len(call.outs))
    library = call.like.library if call.like else "numpy"
    return [
        Operand(name, library, None, d, call.shape, strides, device=call.device) if y is None else y
        for y, d, name in zip(call.outs, call.dtypes, names, strict=True)
    ]


def _launch(call):
    """The launch of a quick call."""
    sources = [source(x, d, call.device, 0) for x, d in zip(call.xs, call.task.ins, strict=True)]
    return call.task.launch(sources, call.mask, _targets(call), call.shape, call.device)


def _least(number):
    """The largest power of two that divides a number."""
    return number & -number


def _current(producers, device):
    """What answers with the stream of the first producer, made to wait for the others."""
    first, *rest = producers
    if not rest:
        return first

    def current():
        stream = first()
        for other in rest:
            follow(stream, other(), device)
        return stream

    return current


def _ordered(producers, device, stream):
    handle = stream_handle(stream)
    for each in producers:
        follow(handle, each(), device)
    return handle

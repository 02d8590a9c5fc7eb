"""The quick way through a call that has been made before: code written for the types and layouts of its arguments.

Reading an argument in full (`arrays.operand`) takes 5 to 10 us, PyTorch's whole call of add 6 to 8, the driver 4 to 5
of these (H100 host). What is left for us is 2 us, and loops over arguments take as much: so the few conditions that
arguments must meet are written out as one function, and compiled by Python. It never says what is wrong. Where a
condition fails it leaves the call to a function that looks at everything.
"""

import struct
import sys
from typing import NamedTuple

import numpy as np

from . import arrays, engines, frameworks, numba_arrays
from .memory import SUCCESS, device_count

#: Types of numbers that a launch takes by value.
NUMBERS = {bool, int, float, complex, *(dtype.type for dtype in arrays.DTYPES)}


# --- keys -------------------------------------------------------------------------------------------------------


def describe(arguments):
    """A key of the arguments' types, dtypes and layouts, or None where one is no number nor an array on a device."""
    found = []
    try:
        for x in arguments:
            found.append((_DESCRIBERS.get(type(x)) or _learn(type(x)))(x))
    except Exception:  # an array that has no such layout, or is none: the full look says which
        return None
    return None if None in found else tuple(found)


def _describe_torch(x):
    return (x.dtype, x.shape, x.stride(), x.get_device()) if x.is_cuda else None


def _describe_cupy(x):
    return x.dtype, x.shape, x.strides, x.data.device_id


def _describe_numba(x):
    # Where there is one device, nobody asks: 0.5 us for each array.
    return x.dtype, x.shape, x.strides, device_count() == 1 or x.gpu_data.context.device.id, True


def _undescribed(x):
    return None


_DESCRIBERS = dict.fromkeys(NUMBERS, type) | {np.ndarray: _undescribed}


def _learn(kind):
    """Find out how a type that is new here is described; a library's types are met after its import."""
    library = arrays.library_of(kind)
    module = sys.modules.get(library)
    describer = _undescribed
    if library == "torch" and kind in (module.Tensor, module.nn.Parameter):
        describer = _describe_torch
    elif library == "cupy" and kind is getattr(module, "ndarray", None):
        describer = _describe_cupy
    elif library == "numba" and kind.__name__ == "DeviceNDArray":
        describer = _describe_numba
    if describer is not _undescribed:
        _DESCRIBERS[kind] = describer
    return describer


# --- conditions -------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """What to ask of one argument: a condition, the words that a kernel gets of it, and the names that both use."""

    condition: str
    words: list
    facts: dict


def look(name, kind, x):
    """The `Look` at an argument, or None where there is no quick one.

    Parameters
    ----------
    name : str
        Of the argument in the source.
    kind : type
        Of the argument.
    x : Operand
        That the argument is to be like.
    """
    if kind in NUMBERS:
        return _look_number(name, kind)
    make = {"torch": _look_torch, "cupy": _look_cupy, "numba": _look_numba}.get(x.library)
    return make and make(name, kind, x)


def _look_number(name, kind):
    # A Python integer stands for a Python float of its value.
    kinds = (float, int) if kind is float else (kind,)
    words = [f"{name}.real", f"{name}.imag"] if issubclass(kind, complex | np.complexfloating) else [name]
    return Look(f"type({name}) in {name}_kinds", words, {f"{name}_kinds": kinds})


def _look_torch(name, kind, x):
    # One check for all tensors together, see `tensor_check`.
    return Look("", [f"{name}.data_ptr()"], {})


def _look_cupy(name, kind, x):
    # CuPy makes a new tuple for each question: 0.15 us more for strides than for a flag.
    whole = x.strides == arrays.contiguous_strides(x.shape) and hasattr(kind, "_c_contiguous")
    condition = _look_layout(name) + (
        f" and {name}._c_contiguous" if whole else f" and {name}.strides == {name}_strides"
    )
    if device_count() > 1:
        condition += f" and {name}.data.device_id == {name}_device"
    return Look(condition, [f"{name}.data.ptr"], _facts(name, kind, x))


def _look_numba(name, kind, x):
    condition = _look_layout(name) + f" and {name}.strides == {name}_strides and not {name}.stream"
    if device_count() > 1:  # 0.15 us for each array
        condition += f" and {name}.gpu_data.context.device.id == {name}_device"
    # Memory that Numba owns is asked what lies behind it: its own way there is a function of Python's, of 0.4 us.
    memory = f"(memory._view if type(memory := {name}.gpu_data) is owned else memory)"
    return Look(condition, [f"int({memory}.device_pointer)"], _facts(name, kind, x) | {"owned": numba_arrays.OWNED})


def _look_layout(name):
    # A dtype is one object in all but the rarest of cases, NumPy's two names of int64 among them.
    return (
        f"type({name}) is {name}_kind and ({name}.dtype is {name}_dtype or {name}.dtype == {name}_dtype) "
        f"and {name}.shape == {name}_shape"
    )


def _facts(name, kind, x):
    strides = tuple(s * x.dtype.itemsize for s in x.strides)
    facts = {"kind": kind, "dtype": x.dtype, "shape": x.shape, "strides": strides, "device": x.device}
    return {f"{name}_{key}": value for key, value in facts.items()}


def never(*arguments):
    """In place of a check that has not been made yet."""
    return False


def tensor_check(tensors):
    """PyTorch's own check of tensors, in C++: 0.4 us for three, where asking for their attributes takes 2.5.

    It compares type, dispatch keys (device, layout, conjugate and negative bits, inference), dtype, device,
    requires_grad, shape and strides. What torch.compile guards its code with is private to PyTorch; where it is
    missing, the attributes are asked for.
    """
    import torch

    guards = getattr(getattr(torch._C, "_dynamo", None), "guards", None)
    kind = getattr(guards, "TensorGuards", None)
    if kind is None:
        return _attribute_check([_attributes(t) for t in tensors])
    # It refuses a tensor that it is given twice, as input and as output say.
    first = [next(k for k, other in enumerate(tensors) if other is t) for t in tensors]
    once = [k for k, at in enumerate(first) if at == k]
    sizes, strides = [list(tensors[k].shape) for k in once], [list(tensors[k].stride()) for k in once]
    check = kind(*(tensors[k] for k in once), dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check
    conditions = [f"t{k} is t{at}" for k, at in enumerate(first) if at != k]
    if any(t.requires_grad for t in tensors):
        conditions.append("not recorded()")  # a check that was made where gradients are off passes where they are on
    if not conditions:
        return check
    everything, some = (", ".join(f"t{k}" for k in ks) for ks in (range(len(tensors)), once))
    names = {"check": check, "recorded": torch.is_grad_enabled}
    return eval(f"lambda {everything}: {' and '.join(conditions)} and check({some})", names)


def renew(function, tensors):
    """Have a quick function accept tensors of the types of these too; it remembers four kinds."""
    facts = function.__globals__
    if tensors and len(tensors) == facts["tensors"] and not _is_watched():
        older = facts["checks"][:3]
        facts["check"] = check = tensor_check(tensors)
        facts["checks"] = check, *older
        facts["others"] = lambda *found: any(each(*found) for each in older)


def _is_watched():
    """Whether a mode of PyTorch's looks at what is called; a check that was made under it would pass under others."""
    import torch

    return torch._C._len_torch_dispatch_stack() > 0 or torch._C._functorch.peek_interpreter_stack() is not None


def _attributes(t):
    return type(t), t.dtype, t.shape, t.stride(), t.get_device(), t.requires_grad, t.is_conj(), t.is_neg()


def _attribute_check(expected):
    def check(*tensors):
        import torch

        return [_attributes(t) for t in tensors] == expected and not (
            torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        )

    return check


# --- code -------------------------------------------------------------------------------------------------------

#: What is left to the full way to say: a number beyond its dtype (in a comparison another loop takes it), and results
#: that do not fit in memory.
_LEFT = (struct.error, OverflowError, MemoryError, RuntimeError)


def condition(tensors):
    """That tensors of these names pass one of the checks that were made, and no mode is to see what becomes of them.

    The checks pass under modes, even such that make no real tensors (PyTorch 2.11).
    """
    listed = ", ".join(tensors)
    return f"not modes() and (check({listed}) or others({listed}))"


def launching(stream, words):
    """The lines that launch and leave a ``status``, as `Launch.__call__` does: to call it would cost 0.3 us."""
    return [
        "try: row = rows.pop()",
        "except IndexError: row = launch.row()",
        f"write({', '.join(('row[0]', '0', *words))})",
        f"status = launch.run({stream}, row[1], 0)[0]",
        "rows.append(row)",
    ]


def facts_of(launch, tensors):
    """The names that `launching` and `condition` use."""
    return {
        "launch": launch, "rows": getattr(launch, "rows", None), "write": getattr(launch, "write", None),
        "success": SUCCESS, "detours": engines.detours,
        "check": never, "others": never, "checks": (), "tensors": len(tensors),
        "modes": frameworks.modes() if tensors else never,
    }  # fmt: skip


class Quick(NamedTuple):
    """What a quick call does, in the order of its kernel's arguments: inputs first, then outputs.

    Attributes
    ----------
    name : str
    inputs, outs : list of str
        Names of the arguments in the source; ``"where"`` is that of a mask.
    defaults : dict of str to object
        Of the last inputs, where they may be left out.
    instead : dict of str to object
        What stands for None.
    looks : list of Look
        One for each input and output.
    tensors : list of str
        Those of the arguments that `tensor_check` looks at.
    aligned : list of (int, int)
        Number of a word, and the low bits that must be zero in it.
    apart : list of (int, int, int, int, bool)
        Numbers of two words, between which differences of theirs the arrays overlap, and whether 0 is allowed.
    """

    name: str
    inputs: list
    outs: list
    defaults: dict
    instead: dict
    looks: list
    tensors: list
    aligned: list
    apart: list

    def function(self, launch, make, current, ordered, otherwise):
        """The function ``quick(*inputs, out=None, where=True, stream=None)``.

        Parameters
        ----------
        launch : Launch
        make : callable
            Makes the outputs where none are given.
        current : callable
            The stream of a call that names none.
        ordered : callable
            ``ordered(stream)``: the raw handle of a stream that is named.
        otherwise : callable
            ``otherwise(inputs, out, where, stream)`` does what is not quick.
        """
        facts = facts_of(launch, self.tensors) | {
            "make": make, "current": current, "ordered": ordered, "otherwise": otherwise, "beyond": _LEFT,
        }  # fmt: skip
        if self.tensors:
            import torch

            facts |= {"forward": torch.autograd.forward_ad, "written": frameworks.changes()}
        facts |= {f"{name}_default": value for name, value in self.defaults.items()}
        facts |= {f"{name}_instead": value for name, value in self.instead.items()}
        for each in self.looks:
            facts |= each.facts
        exec(compile(self.source(hasattr(launch, "rows")), f"<plan of {self.name}>", "exec"), facts)
        return facts[self.name]

    def source(self, inline=True):
        """Its source; with `inline`, the lines of a `Launch` stand in it."""
        inputs = [x for x in self.inputs if x != "where"]
        parameters = ", ".join(f"{x}={x}_default" if x in self.defaults else x for x in inputs)
        otherwise = f"return otherwise(({', '.join(inputs)},), out, where, stream)"
        outs = ", ".join(self.outs)
        whole = f"type(out) is tuple and len(out) == {len(self.outs)}" if len(self.outs) > 1 else "True"
        conditions = [] if "where" in self.inputs else ["where is True"]
        conditions += [each.condition for each in self.looks if each.condition]
        if self.tensors:
            conditions.append("forward._current_level < 0")  # no dual tensors, whose tangents would be lost
            conditions.append(condition(self.tensors))
        names = [*self.inputs, *self.outs]
        words, owners = zip(
            *[(w, name) for name, x in zip(names, self.looks, strict=True) for w in x.words], strict=True
        )
        written = "".join(f"{y}, " for y in self.outs if y in self.tensors)
        numbered = [f"w{k}" for k in range(len(words))]
        wrong = []
        for low in sorted({low for _, low in self.aligned} - {0}):
            wrong.append(f"({' | '.join(f'w{k}' for k, least in self.aligned if least == low)}) & {low}")
        if self.tensors:
            wrong.append(
                f"not ({' and '.join(word for word, of in zip(numbered, owners, strict=True) if of in self.tensors)})"
            )
        for k, j, below, above, same in self.apart:
            wrong.append((f"w{k} != w{j} and " if same else "") + f"{below} < w{k} - w{j} < {above}")
        given = ", ".join(numbered)
        return "\n".join([
            f"def {self.name}({parameters}, /, *, out=None, where=True, stream=None):",
            *(f"    if {x} is None: {x} = {x}_instead" for x in self.instead),
            f"    if detours: {otherwise}",
            "    try:",
            "        if out is None:",
            f"            if stream is not None: {otherwise}",
            f"            {outs} = make()",
            f"        elif {whole}: {outs} = out",
            f"        else: {otherwise}",
            f"        if {' and '.join(conditions)}:",
            *(f"            w{k} = {word}" for k, word in enumerate(words)),
            f"            if not ({' or '.join(wrong) or 'False'}):",
            # All that may fail comes before the launch, which the full way would repeat.
            "                s = current() if stream is None else ordered(stream)",
            *([f"                written(({written}))"] if written else []),
            *(" " * 16 + line for line in (launching("s", numbered) if inline else [f"launch(s, {given})"])),
            *([f"                if status is not success: launch.elsewhere(status, s, {given})"] if inline else []),
            f"                return {outs}",
            "    except beyond: pass",
            f"    {otherwise}",
        ])  # fmt: skip

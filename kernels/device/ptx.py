"""Instructions of PTX that Numba does not have, each declared together with its twin.

::

    @ptx("fma.rz.f32 {d}, {a}, {b}, {c};", float32(float32, float32, float32))
    def fma_rz(a, b, c):
        "a * b + c, rounded towards zero."
        ...

The function below the decorator is the twin: a device function that the simulator runs (`kernels.device.twins`). In the
text, ``{d}`` is the result and the operands have the names of the twin's parameters. A tuple is its registers with
commas between, so that PTX's lists, of one register too, are written ``{{d}}``. A kernel calls the instruction as it
calls any device function, and passes what can be cast to its operands.

Source: "PTX ISA", https://docs.nvidia.com/cuda/parallel-thread-execution, and for constraints of inline assembly
"Inline PTX Assembly in CUDA", https://docs.nvidia.com/cuda/inline-ptx-assembly.
"""

import inspect
import re

from llvmlite import ir
from numba import types

from .instructions import SIMULATED
from .twins import Collective

#: Letters of registers, by Numba type.
_REGISTERS = {
    types.float32: "f", types.float64: "d", types.int32: "r", types.uint32: "r", types.int64: "l", types.uint64: "l",
    types.int16: "h", types.uint16: "h",
}  # fmt: skip


class Instruction:
    """What stands under an instruction's name where Numba runs kernels in its simulator."""

    def __init__(self, define, twin):
        self.__simulated__ = twin
        self.__name__, self.__doc__ = define.__name__, define.__doc__

    def __call__(self, *operands):
        """Refuse."""
        raise TypeError(f"{self.__name__} is an instruction: call it in a kernel")


def declared(define, twin):
    """A Numba intrinsic with what the simulator runs in its place.

    Parameters
    ----------
    define : function
        As ``numba.cuda.extending.intrinsic`` takes it.
    twin : function, Collective or str
        A function of kernels, one that is run for all lanes of a warp, or the name of a word of `twins`.
    """
    if SIMULATED:
        return Instruction(define, twin)
    from numba.cuda.extending import intrinsic

    made = intrinsic(define)
    made.__simulated__ = twin
    return made


def ptx(text, signature, *, pure=False):
    """Declare an instruction by its text and the types of its result and operands; decorates its twin.

    Parameters
    ----------
    text : str
        PTX, with names in braces.
    signature : numba.core.typing.Signature
        ``result(*operands)``, of numbers and tuples of equal numbers. A parameter named ``d`` is where the result
        begins: the same registers, read and written.
    pure : bool
        Whether the instruction neither touches memory nor makes threads wait, so that the compiler may move, merge and
        drop it.

    Returns
    -------
    decorator : callable
        Of the twin: a function, or a `Collective`.
    """

    def declare(twin):
        function = twin.function if isinstance(twin, Collective) else twin
        names = list(inspect.signature(function).parameters)
        if isinstance(twin, Collective) and signature.return_type is not types.none:
            del names[0]  # of the array that takes the results
        return declared(_definition(function, names, text, signature, pure), twin)

    return declare


def registers(native, count):
    """The type of so many registers: a tuple, or the number itself."""
    return types.UniTuple(native, count) if count > 1 else native


def _parts(native):
    return list(native) if isinstance(native, types.BaseTuple) else [] if native is types.none else [native]


class _Operands:
    """The registers of an instruction: their constraints, and the numbers that the text has in place of names."""

    def __init__(self, names, signature):
        self.constraints, self.places = [], {}
        results = _parts(signature.return_type)
        for native in results:
            self.constraints.append("=" + _REGISTERS[native])
        self._name("d", range(len(results)))
        for name, native in zip(names, signature.args, strict=True):
            first = len(self.constraints)
            if name == "d":
                self.constraints += map(str, range(len(results)))
            else:
                self.constraints += [_REGISTERS[part] for part in _parts(native)]
                self._name(name, range(first, len(self.constraints)))

    def _name(self, name, numbers):
        self.places[name] = ", ".join(f"${number}" for number in numbers)

    def text(self, text):
        """The text with registers by number."""
        return re.sub(r"\{(\w+)\}", lambda found: self.places[found.group(1)], text)


def _definition(function, names, text, signature, pure):
    """What Numba takes for an intrinsic."""
    operands = _Operands(names, signature)
    body, constraints = operands.text(text), operands.constraints + ([] if pure else ["~{memory}"])
    result = signature.return_type

    def codegen(context, builder, _, args):
        given = []
        for value, native in zip(args, signature.args, strict=True):
            tupled = isinstance(native, types.BaseTuple)
            given += [builder.extract_value(value, k) for k in range(len(native))] if tupled else [value]
        kinds = [context.get_value_type(part) for part in _parts(result)]
        returned = ir.VoidType() if not kinds else kinds[0] if len(kinds) == 1 else ir.LiteralStructType(kinds)
        kind = ir.FunctionType(returned, [value.type for value in given])
        assembly = ir.InlineAsm(kind, body, ",".join(constraints), side_effect=not pure)
        found = builder.call(assembly, given)
        if not kinds:
            return context.get_dummy_value()
        if not isinstance(result, types.BaseTuple):
            return found
        parts = [builder.extract_value(found, k) if len(kinds) > 1 else found for k in range(len(kinds))]
        return context.make_tuple(builder, result, parts)

    def define(typing_context, *given):
        return signature, codegen

    define.__name__, define.__doc__ = function.__name__, function.__doc__
    first = inspect.Parameter("typing_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    define.__signature__ = inspect.Signature([first, *others])
    return define

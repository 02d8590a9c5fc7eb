"""``print`` in compiled kernels: numbers in CUDA's format, which is C's ``%f`` for floats, to Python's ``sys.stdout``.

The rest is Numba's print for the processor. Code that is no kernel's prints as before.
"""

from numba.core import cgutils, types
from numba.cpython import printimpl

from ..functions import bfloat16
from .lowering import point, signature
from .target import Simulated

#: Bytes that hold any float64 as ``%f``.
_LONGEST = 320


@printimpl.lower(print, types.VarArg(types.Any))
def _print(context, builder, sig, args):
    """A scheduling point: what is printed shows the order of threads, which is then the schedule's."""
    if context.target is Simulated:
        point(builder)
    return printimpl.print_varargs_impl(context, builder, sig, args)


def _in_kernels(emit):
    """An implementation that holds for kernels alone."""

    def implementation(context, builder, sig, args):
        if context.target is not Simulated:
            return printimpl.print_item_impl_Any(context, builder, sig, args)
        emit(context, builder, sig.args[0], args[0])
        return context.get_dummy_value()

    return implementation


@printimpl.lower("print_item", types.Float)
@printimpl.lower("print_item", type(bfloat16))
@_in_kernels
def _float(context, builder, native, value):
    double = context.cast(builder, value, native, types.float64)
    text = cgutils.snprintf_stackbuffer(builder, _LONGEST, "%f", double)
    api = context.get_python_api(builder)
    api.sys_write_stdout(context.insert_const_string(builder.module, "%s"), text)


@printimpl.lower("print_item", types.Tuple)
@printimpl.lower("print_item", types.UniTuple)
@_in_kernels
def _tuple(context, builder, native, value):
    write = context.get_python_api(builder).print_string
    write("(")
    for k, part in enumerate(native):
        if k:
            write(", ")
        emit = context.get_function("print_item", signature(types.none, part))
        emit(builder, [builder.extract_value(value, k)])
    write(",)" if len(native) == 1 else ")")

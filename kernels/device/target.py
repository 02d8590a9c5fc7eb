"""Numba's compiler for what kernels run on: a GPU, or the processor in the simulator."""

from llvmlite import ir
from numba import types

from .instructions import SIMULATED

if SIMULATED:
    from llvmlite.binding import add_symbol
    from numba import typeof
    from numba.core import cgutils
    from numba.core.typeconv import Conversion
    from numba.cuda import libdevice
    from numba.extending import (
        get_cython_function_address,
        intrinsic,
        lower_builtin,
        lower_cast,
        overload_attribute,
        register_model,
    )
    from numba.extending import overload as _overload
    from numba.np import numpy_support

    for _name, _of_scipy in (("cyl_bessel_i0", "i0"), ("cyl_bessel_i1", "i1")):
        add_symbol(f"scipy_{_name}", get_cython_function_address("scipy.special.cython_special", _of_scipy))

    def overload(function):
        """Before Numba's own rules, of which some would convert a Scalar to float64."""
        return _overload(function, target="cpu")
else:
    from numba.cuda import (
        cgutils,
        models,  # noqa: F401  (registers the models that Scalar borrows)
    )
    from numba.cuda.extending import (
        intrinsic,
        lower_builtin,
        lower_cast,
        overload,
        overload_attribute,
        register_model,
    )
    from numba.cuda.np import numpy_support
    from numba.cuda.typeconv import Conversion
    from numba.cuda.typing.typeof import typeof

__all__ = [
    "Conversion", "call_libdevice", "intrinsic", "lower_builtin", "lower_cast", "numpy_support", "overload",
    "overload_attribute", "register_model", "typeof", "types",
]  # fmt: skip


def call_libdevice(context, builder, name, signature, args):
    """Call ``__nv_<name>``, or ``__nv_<name>f`` where the first argument is a float32."""
    name += "f" if signature.args[0] == types.float32 else ""
    if SIMULATED:
        return _call_stub(context, builder, name, signature, args)
    kind = ir.FunctionType(context.get_value_type(signature.return_type), [a.type for a in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"__nv_{name}"), args)


def _call_stub(context, builder, name, signature, args):
    """The simulator's function for what ``numba.cuda.libdevice`` declares; SciPy's for what it leaves out."""
    declared = getattr(libdevice, name, None)
    if declared is None:
        return _call_scipy(context, builder, name.rstrip("f"), signature, args)
    function = context.typing_context.resolve_value_type(declared)
    inner = context.typing_context.resolve_function_type(function, signature.args, {})
    return context.get_function(function, inner)(builder, args)


def _call_scipy(context, builder, name, signature, args):
    args = [context.cast(builder, x, t, types.float64) for x, t in zip(args, signature.args, strict=True)]
    kind = ir.FunctionType(ir.DoubleType(), [x.type for x in args])
    found = builder.call(cgutils.get_or_insert_function(builder.module, kind, f"scipy_{name}"), args)
    return context.cast(builder, found, types.float64, signature.return_type)

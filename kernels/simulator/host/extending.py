"""Extensions of Numba's CUDA target, which the compiled engine understands when they are made for the processor.

``numba.cuda.extending`` and what libraries use beside it register with numba-cuda's own tables, which nothing reads in
the simulator. Here they become the functions of ``numba.extending`` that bear the same names. An extension that was
made before the simulator was installed is not seen.
"""

import functools
import sys
import types as python_types

#: Decorators that take the target which the extension is for.
_TARGETED = ("overload", "overload_attribute", "overload_method", "overload_classmethod")


def replace(put):
    """Send the registrations of ``numba.cuda.extending`` to Numba's; ``put(owner, name, value)`` sets a name."""
    try:
        from numba.cuda import extending
    except ImportError:
        return
    if extending.__name__ != "numba.cuda.extending" or not hasattr(extending, "overload"):
        return
    from numba import extending as own
    from numba.core import imputils
    from numba.core.typing import templates

    for name in set(vars(own)) & set(vars(extending)):
        if not name.startswith("__") and name not in ("types", "errors", "config", "utils", "typeof_impl"):
            value = _for_the_processor(getattr(own, name)) if name in _TARGETED else getattr(own, name)
            put(extending, name, _of_others(getattr(extending, name), value))
    put(extending, "_Intrinsic", own._Intrinsic)
    put(extending, "typeof_impl", _typing(sys.modules["numba.cuda.typing.typeof"].typeof_impl, own.typeof_impl))
    _replace_registries(put, templates, imputils)


def _typing(of_cuda, of_processor):
    """Types of values, registered for both: a library may tell the processor another type of the same values."""

    @functools.wraps(of_cuda)
    def typeof_impl(value, context):
        return of_cuda(value, context)

    def register(kind, function=None):
        if function is None:
            return functools.partial(register, kind)
        of_processor.register(kind, function)
        return of_cuda.register(kind, function)

    typeof_impl.register = register
    return typeof_impl


def _for_the_processor(decorator):
    @functools.wraps(decorator)
    def decorate(*args, target="cuda", **options):
        from ..compiled.target import in_kernels

        if target == "cuda" and decorator.__name__ != "overload":
            return lambda function: decorator(*args, target="cpu", **options)(in_kernels(function)) and function
        if len(args) > 1 and args[1] is None:  # no options for the compiler
            args = (args[0], {}, *args[2:])
        return decorator(*args, target=target, **options)

    return decorate


def _replace_registries(put, templates, imputils):
    """What extensions reach for beside ``numba.cuda.extending``."""
    from numba.cuda import cudadecl, cudaimpl

    for name, value in {
        "register": templates.infer, "register_attr": templates.infer_getattr,
        "register_global": templates.infer_global,
    }.items():  # fmt: skip
        put(cudadecl.registry, name, _of_others(getattr(cudadecl.registry, name), _adopting(value, templates)))
    for name, value in {
        "lower": imputils.lower_builtin, "lower_attr": imputils.lower_getattr,
        "lower_constant": imputils.lower_constant, "lower_cast": imputils.lower_cast,
    }.items():  # fmt: skip
        if hasattr(cudaimpl, name):
            put(cudaimpl, name, _of_others(getattr(cudaimpl, name), value))


def _adopting(register, templates):
    """Registers a template that derives from numba-cuda's copy of Numba's class as one of Numba's own."""

    def adopt(template, *args):
        for base in template.__mro__:
            own = getattr(templates, base.__name__, None)
            if base.__module__ == "numba.cuda.typing.templates" and own is not None and not issubclass(template, own):
                register(type(template.__name__, (template, own), {"__module__": template.__module__}), *args)
                return template
        return register(template, *args)

    return adopt


def _of_others(original, replacement):
    """What a registration becomes: numba-cuda's own modules, which come here when first imported, keep theirs."""
    if not isinstance(replacement, python_types.FunctionType | python_types.MethodType):
        return replacement

    @functools.wraps(replacement)
    def register(*args, **options):
        module = sys._getframe(1).f_globals.get("__name__", "")
        inside = module.startswith("numba.cuda.") and not module.startswith("numba.cuda.tests.")
        return (original if inside else replacement)(*args, **options)

    return register

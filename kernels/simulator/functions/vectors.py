"""CUDA's vector types: float32x4 (float4), int32x2 (int2) and so on, made of scalars and smaller vectors.

Each is a Python class, whose components are NumPy scalars, and a type of Numba's CPU target, where the same class is
the constructor. Components are cast as Numba casts arguments, vectors must have the component type.
"""

from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import NativeValue, lower_builtin, make_attribute_wrapper, register_model, typeof_impl, unbox

from .declare import STRONG, ScalarFunction
from .halves import bfloat16

FIELDS = "xyzw"

_BASES = (
    types.int8, types.int16, types.int32, types.int64, types.uint8, types.uint16, types.uint32, types.uint64,
    types.float32, types.float64,
)  # fmt: skip

#: C's names; long has 64 bits on the platforms that CUDA's compilers for Linux know.
_ALIASES = {
    "int8": ("char",), "int16": ("short",), "int32": ("int",), "int64": ("long", "longlong"),
    "uint8": ("uchar",), "uint16": ("ushort",), "uint32": ("uint",), "uint64": ("ulong", "ulonglong"),
    "float32": ("float",), "float64": ("double",),
}  # fmt: skip


def _cast(ty):
    def body(x):
        return x

    body.__doc__ = f"Cast to {ty}, as Numba does."

    def cases(x):
        return signature(ty, x) if isinstance(x, (types.Number, types.Boolean)) else None

    return ScalarFunction("cast", str(ty), body, cases)


#: Casts to NumPy's scalar types, with the bits that a compiled kernel's casts have.
CASTS = {
    strong: _cast(ty) for ty, strong in STRONG.items() if isinstance(ty, (types.Integer, types.Float, type(bfloat16)))
}


class _VectorClass(type):
    """The classes of vectors; Numba sees one as its constructor."""


class Vector(metaclass=_VectorClass):
    """A vector of CUDA: up to four components of one type, x, y, z and w."""

    __slots__ = tuple(FIELDS)

    def __init__(self, *parts):
        values = [v for part in parts for v in (part if isinstance(part, Vector) else (part,))]
        if len(values) != self.size or any(isinstance(p, Vector) and p.base is not self.base for p in parts):
            raise TypeError(f"{type(self).__name__} takes {self.size} components of {self.base}")
        cast = CASTS[STRONG[self.base]]
        for field, value in zip(FIELDS, values, strict=False):
            setattr(self, field, cast(value))

    def __iter__(self):
        return iter([getattr(self, field) for field in FIELDS[: self.size]])

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(str, self))})"


class VectorType(types.Type):
    """The Numba type of a vector."""

    def __init__(self, name, base, size):
        self.base, self.size = base, size
        super().__init__(name=name)


def _make(base, size):
    name = f"{base}x{size}"
    python_class = _VectorClass(name, (Vector,), {"__slots__": (), "base": base, "size": size, "__module__": __name__})

    class Type(VectorType):
        """The type of this vector; a class of its own, since models and attributes go by class."""

    @register_model(Type)
    class Model(models.StructModel):
        def __init__(self, manager, fe_type):
            super().__init__(manager, fe_type, [(field, base) for field in FIELDS[:size]])

    for field in FIELDS[:size]:
        make_attribute_wrapper(Type, field, field)
    python_class.numba_type = Type(name, base, size)
    python_class.constructor = _constructor(python_class, base, size)
    return python_class


def _constructor(python_class, base, size):
    class Template(AbstractTemplate):
        key = python_class

        def generic(self, args, kws):
            vectors = [a for a in args if isinstance(a, VectorType)]
            count = sum(v.size for v in vectors) + len(args) - len(vectors)
            fit = all(v.base == base for v in vectors) and all(
                isinstance(a, (VectorType, types.Number, types.Boolean)) for a in args
            )
            return signature(python_class.numba_type, *args) if fit and count == size and not kws else None

    def lower(context, builder, sig, args):
        values = []
        for ty, value in zip(sig.args, args, strict=True):
            if isinstance(ty, VectorType):
                vector = cgutils.create_struct_proxy(ty)(context, builder, value)
                values += [getattr(vector, field) for field in FIELDS[: ty.size]]
            else:
                values.append(context.cast(builder, value, ty, base))
        result = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        for field, value in zip(FIELDS, values, strict=False):
            setattr(result, field, value)
        return result._getvalue()

    for count in range(1, size + 1):
        lower_builtin(python_class, *[types.Any] * count)(lower)
    return types.Function(Template)


@typeof_impl.register(_VectorClass)
def _typeof(python_class, context):
    return python_class.constructor


@typeof_impl.register(Vector)
def _typeof_vector(vector, context):
    return vector.numba_type


@unbox(VectorType)
def _unbox(typ, obj, c):
    vector = cgutils.create_struct_proxy(typ)(c.context, c.builder)
    for field in FIELDS[: typ.size]:
        value = c.pyapi.object_getattr_string(obj, field)
        setattr(vector, field, c.unbox(typ.base, value).value)
        c.pyapi.decref(value)
    return NativeValue(vector._getvalue(), is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


#: The vectors by their names in `numba.cuda`, C's included.
VECTORS = {}
for _base in _BASES:
    for _size in (1, 2, 3, 4):
        _vector = _make(_base, _size)
        for _name in (f"{_base}x", *_ALIASES[str(_base)]):
            VECTORS[f"{_name}{_size}"] = _vector

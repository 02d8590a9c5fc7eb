"""Device arrays that a kernel names without being given them: compiled code goes to their memory by its address."""

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_constant
from numba.extending import models, register_model, typeof_impl
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype, map_layout

WORD = ir.IntType(64)


class Captured:
    """The memory of a device array, as a value that a kernel names."""

    def __init__(self, array):
        self.array = array


class CapturedArray(types.Array):
    """The type of one captured array."""

    def __init__(self, array):
        name = f"captured({array.dtype}, {array.ndim}, {array.__array_interface__['data']})"
        super().__init__(from_dtype(array.dtype), array.ndim, map_layout(array), name=name,
                         readonly=not array.flags.writeable, aligned=array.flags.aligned)  # fmt: skip

    def copy(self, dtype=None, ndim=None, layout=None, readonly=None):
        if dtype is ndim is layout is None:
            return self  # Numba asks for a read-only type of every array that a function names
        kept = dtype or self.dtype, self.ndim if ndim is None else ndim, layout or self.layout
        return types.Array(*kept, readonly=not self.mutable if readonly is None else readonly, aligned=self.aligned)

    @property
    def key(self):
        return (*super().key, self.name)


register_model(CapturedArray)(models.ArrayModel)


@typeof_impl.register(Captured)
def _type_of(value, context):
    return CapturedArray(value.array)


@lower_constant(CapturedArray)
def _constant(context, builder, native, value):
    raw = value.array
    made = context.make_array(native)(context, builder)
    data = builder.inttoptr(WORD(raw.__array_interface__["data"][0]), made.data.type)
    shape, strides = [WORD(n) for n in raw.shape], [WORD(n) for n in raw.strides]
    arrayobj.populate_array(made, data, shape, strides, WORD(raw.itemsize), None)
    return made._getvalue()

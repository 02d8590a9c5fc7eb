"""Vector loads and stores on a user's array: up to 16 bytes an instruction, with a hint for the caches.

    load = vector_load(4, cache="cs")       outside of the kernel
    a, b, c, d = load(x, i)                 inside: x[i], x[i + 1], x[i + 2], x[i + 3] in one instruction

The hints are those of PTX, under the names that CUB gives them.

======================  ============================================================================================
``None``                what the compiler takes
``"ca"``                loads: keep in the caches of all levels
``"cg"``                keep in the L2 cache only
``"cs"``                streaming: likely to be needed once, the first to be evicted
``"lu"``                loads: the last use of what is there
``"cv"``                loads: nothing that is cached will do
``"nc"``                loads: nobody writes here while the kernel runs (CUB's ``LOAD_LDG``)
``"wb"``, ``"wt"``      stores: write back, write through
``"evict_first"``       the first to be evicted from L1; also ``"evict_last"``, ``"evict_unchanged"``, ``"no_allocate"``
======================  ============================================================================================

Source: PTX ISA, "Cache Operators", "Cache Eviction Priority Hints"; CUB, ``CacheLoadModifier``, ``CacheStoreModifier``.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import TypingError

from .addresses import global_address
from .instructions import instruction, kernel_function
from .memory import _Packing
from .ptx import declared
from .scalar import complex_value, convert, unpack
from .twins import check

__all__ = ["vector_load", "vector_store"]

_PRIORITIES = {"evict_first", "evict_last", "evict_unchanged", "no_allocate"}
_LOADS = {None, "ca", "cg", "cs", "lu", "cv", "nc"} | _PRIORITIES
_STORES = {None, "wb", "cg", "cs", "wt"} | _PRIORITIES


def _suffix(cache):
    return "" if cache is None else f".L1::{cache}" if cache in _PRIORITIES else f".{cache}"


def _checked(name, width, cache, known):
    if width not in (1, 2, 4, 8, 16):
        raise ValueError(f"{name} of {width} elements: expected 1, 2, 4, 8 or 16")
    if cache not in known:
        raise ValueError(f"{name}: cache={cache!r}, expected one of {sorted(map(str, known))}")


def _element(name, array, width):
    """The type of an array's elements, of which `width` are what an instruction moves."""
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout == "A":
        raise TypingError(f"{name} takes a contiguous array of one dimension, not {array}")
    native = array.dtype
    if not isinstance(native, (types.Number, types.Boolean)):
        raise TypingError(f"{name} moves numbers, not {native}")
    size = width * np.dtype(str(native).replace("bool_", "bool")).itemsize
    if size > 16:
        raise TypingError(f"{name} moves at most 16 bytes: {width} of {native} are {size}")
    return native


def _registers(size):
    """How PTX moves so many bytes: its type, the letter of its registers, their LLVM type and number."""
    if size < 4:
        return f"b{8 * size}", "h", ir.IntType(16), 1
    count = size // 4
    return ("b32" if count == 1 else f"v{count}.b32"), "r", ir.IntType(32), count


def _address(context, builder, array, value, index, index_type):
    data = context.make_array(array)(context, builder, value=value).data
    return builder.gep(data, [context.cast(builder, index, index_type, types.int64)])


def _list(names):
    return "{" + ", ".join(names) + "}" if len(names) > 1 else names[0]


# --- tuples of elements -----------------------------------------------------------------------------------------------


@instruction(lambda items, k, item: (*items[: int(k)], item, *items[int(k) + 1 :]), beside_gpu=True)
def _with_item(typingctx, items, k, item):
    def codegen(context, builder, signature, args):
        place = context.cast(builder, args[1], k, types.int32)
        new = context.cast(builder, args[2], item, items.dtype)
        found = [
            builder.select(builder.icmp_signed("==", place, ir.IntType(32)(i)), new, old)
            for i, old in enumerate(unpack(builder, args[0], len(items)))
        ]
        return context.make_tuple(builder, items, found)

    return items(items, k, item), codegen


@functools.cache
def gathered(width):
    """``gather(array, start)``: the tuple of `width` elements of an array from one on."""

    @instruction(lambda value: (value,) * width, beside_gpu=True)
    def repeated(typingctx, value):
        result = types.UniTuple(value, width)
        return result(value), lambda context, builder, signature, args: context.make_tuple(
            builder, result, [args[0]] * width
        )

    @kernel_function
    def gather(array, start):
        found = repeated(array[start])
        for k in range(1, width):
            found = _with_item(found, k, array[start + k])
        return found

    return gather


# --- loads ------------------------------------------------------------------------------------------------------------


@functools.cache
def vector_load(width, cache=None):
    """Make the device function that loads `width` neighbouring elements of an array at once.

    Parameters
    ----------
    width : {1, 2, 4, 8, 16}
        Elements; in all at most 16 bytes.
    cache : str, optional
        A hint; see the module.

    Returns
    -------
    load : device function
        ``load(x, i)``: the tuple ``(x[i], ..., x[i + width - 1])`` of a contiguous array in global memory. The address
        of ``x[i]`` must be a multiple of the bytes that are loaded.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.device import vector_load, vector_store
    >>> load, store = vector_load(4, cache="cs"), vector_store(4, cache="cs")
    >>> @cuda.jit
    ... def reverse_fours(x, y):
    ...     i = 4 * cuda.grid(1)
    ...     if i < x.size:
    ...         a, b, c, d = load(x, i)
    ...         store(y, i, (d, c, b, a))
    >>> x = np.arange(8, dtype=np.float32)
    >>> y = np.zeros_like(x)
    >>> reverse_fours[1, 32](x, y)
    >>> y
    array([3., 2., 1., 0., 7., 6., 5., 4.], dtype=float32)
    """
    _checked("vector_load", width, cache, _LOADS)
    gather = gathered(width)

    def define(typingctx, x, i):
        native = _element("vector_load", x, width)
        result = types.UniTuple(native, width)

        def codegen(context, builder, signature, args):
            address = _address(context, builder, x, args[0], args[1], i)
            packing = _Packing(context, native, width)
            vector = _loaded(builder, address, packing, cache)
            components = list(packing.split(builder, vector))
            if packing.parts == 2:
                pairs = zip(components[::2], components[1::2], strict=True)
                found = [complex_value(context, builder, native, *pair) for pair in pairs]
            else:
                model = context.data_model_manager[native]
                found = [model.from_data(builder, component) for component in components]
            return context.make_tuple(builder, result, found)

        return result(x, i), codegen

    def load(x, i):
        size = x.itemsize * width
        check(types.int64(global_address(x)) + x.itemsize * i, size, 0)
        return gather(x, i)

    define.__name__, define.__doc__ = "vector_load", vector_load.__doc__
    return declared(define, load)


def _loaded(builder, address, packing, cache):
    if cache is None:
        return builder.load(builder.bitcast(address, packing.carrier.as_pointer()), align=packing.size)
    kind, letter, register, count = _registers(packing.size)
    space = "global.nc" if cache == "nc" else f"global{_suffix(cache)}"
    text = f"ld.{space}.{kind} {_list([f'${k}' for k in range(count)])}, [${count}];"
    returned = register if count == 1 else ir.LiteralStructType([register] * count)
    at = builder.ptrtoint(address, ir.IntType(64))
    constraints = ",".join([f"={letter}"] * count + ["l"] + ([] if cache == "nc" else ["~{memory}"]))
    assembly = ir.InlineAsm(ir.FunctionType(returned, [at.type]), text, constraints, side_effect=cache != "nc")
    found = builder.call(assembly, [at])
    if count == 1:
        found = builder.trunc(found, ir.IntType(8)) if packing.size == 1 else found
        return builder.bitcast(found, packing.carrier)
    vector = ir.Constant(ir.VectorType(register, count), ir.Undefined)
    for k in range(count):
        vector = builder.insert_element(vector, builder.extract_value(found, k), ir.IntType(32)(k))
    return builder.bitcast(vector, packing.carrier)


# --- stores -----------------------------------------------------------------------------------------------------------


@functools.cache
def vector_store(width, cache=None):
    """Make the device function that stores `width` neighbouring elements of an array at once.

    Parameters
    ----------
    width : {1, 2, 4, 8, 16}
        Elements; in all at most 16 bytes.
    cache : str, optional
        A hint; see the module.

    Returns
    -------
    store : device function
        ``store(x, i, values)`` puts a tuple of numbers at ``x[i]`` and behind, converted to the array's dtype. The
        address of ``x[i]`` must be a multiple of the bytes that are stored.

    Examples
    --------
    See `vector_load`.
    """
    _checked("vector_store", width, cache, _STORES)

    def define(typingctx, x, i, values):
        native = _element("vector_store", x, width)
        if not isinstance(values, types.BaseTuple) or len(values) != width:
            raise TypingError(f"vector_store takes a tuple of {width} numbers, not {values}")

        def codegen(context, builder, signature, args):
            address = _address(context, builder, x, args[0], args[1], i)
            packing = _Packing(context, native, width)
            numbers = [
                convert(context, builder, value, types.unliteral(have), native)
                for value, have in zip(unpack(builder, args[2], width), values, strict=True)
            ]
            if packing.parts == 2:
                components = [builder.extract_value(number, k) for number in numbers for k in (0, 1)]
            else:
                model = context.data_model_manager[native]
                components = [model.as_data(builder, number) for number in numbers]
            _stored(builder, address, packing, packing.join(builder, components), cache)
            return context.get_dummy_value()

        return types.none(x, i, values), codegen

    def store(x, i, values):
        size = x.itemsize * width
        check(types.int64(global_address(x)) + x.itemsize * i, size, 1)
        _put(x, i, values)

    define.__name__, define.__doc__ = "vector_store", vector_store.__doc__
    return declared(define, store)


@kernel_function
def _put(x, i, values):
    k = 0
    for value in values:
        x[i + k] = value
        k += 1


def _stored(builder, address, packing, vector, cache):
    if cache is None:
        builder.store(vector, builder.bitcast(address, packing.carrier.as_pointer()), align=packing.size)
        return
    kind, letter, register, count = _registers(packing.size)
    if count == 1:
        whole = builder.bitcast(vector, ir.IntType(8 * packing.size))
        words = [builder.zext(whole, register) if packing.size == 1 else whole]
    else:
        vector = builder.bitcast(vector, ir.VectorType(register, count))
        words = [builder.extract_element(vector, ir.IntType(32)(k)) for k in range(count)]
    text = f"st.global{_suffix(cache)}.{kind} [$0], {_list([f'${k + 1}' for k in range(count)])};"
    at = builder.ptrtoint(address, ir.IntType(64))
    function = ir.FunctionType(ir.VoidType(), [at.type, *[register] * count])
    constraints = ",".join(["l"] + [letter] * count + ["~{memory}"])
    builder.call(ir.InlineAsm(function, text, constraints, side_effect=True), [at, *words])

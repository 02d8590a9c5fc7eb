"""Wide loads and stores.

A thread that moves 16 bytes an instruction keeps memory busy with a quarter of the instructions that 4 bytes need.
`loader` and `storer` make the functions that move `width` neighbouring elements of several arrays at once. What
a lane computes from is the tuple of the arrays' elements at one index.

An operand is a pointer, of which lane j reads element ``at + j``; where it is "uniform" every lane reads element
``at``; where it is a "value" it is no pointer, and every lane takes it as it is; where it is an "index" it is a step,
and lane j takes ``at + j * step`` itself, as int64.
"""

import numpy as np
from llvmlite import ir
from numba import types

from .instructions import SIMULATED, device_function, instruction
from .scalar import complex_value, convert, unpack, wrapped
from .target import numpy_support


def index_type(long):
    """What counts elements: 32-bit unsigned wherever it can, since signed or 64-bit indices cost instructions."""
    if SIMULATED:
        return int
    return types.uint64 if long else types.uint32


def loader(kinds, width, aligned=False):
    """``load(operands, offsets)``: a tuple of `width` lanes, each a tuple of NumPy scalars, one an operand.

    Parameters
    ----------
    kinds : tuple of {"vector", "uniform", "value", "index"}
        One per operand.
    width : int
        Elements a lane tuple spans. A pointer must be aligned to `width` elements (at most 16 bytes).
    aligned : bool
        Whether a single element of 16 bytes is aligned to them too, rather than to 8.
    """

    def twin(operands, offsets):
        def element(k, lane):
            if kinds[k] == "value":
                return operands[k]
            if kinds[k] == "index":
                return np.int64(int(offsets[k]) + lane * int(operands[k]))
            return operands[k][int(offsets[k]) + (lane if kinds[k] == "vector" else 0)]

        return tuple(tuple(element(k, lane) for k in range(len(kinds))) for lane in range(width))

    @instruction(twin)
    def load(typingctx, operands, offsets):
        natives = [t if kind in ("value", "index") else t.dtype for t, kind in zip(operands, kinds, strict=True)]
        scalars = [wrapped(t) for t in natives]
        lane = types.Tuple(scalars)
        lanes = types.UniTuple(lane, width)

        def codegen(context, builder, signature, args):
            columns = []
            for kind, native, value, offset, offset_type in zip(
                kinds, natives, unpack(builder, args[0], len(kinds)), unpack(builder, args[1], len(kinds)), offsets,
                strict=True,
            ):  # fmt: skip
                if kind == "value":
                    columns.append([value] * width)
                    continue
                if kind == "index":
                    at = context.cast(builder, offset, offset_type, types.int64)
                    columns.append([builder.add(at, builder.mul(value, value.type(j))) for j in range(width)])
                    continue
                address = _address(context, builder, value, offset, offset_type)
                count = width if kind == "vector" else 1
                column = _load(context, builder, address, native, count, aligned)
                columns.append(column * (width // count))
            rows = [context.make_tuple(builder, lane, row) for row in zip(*columns, strict=True)]
            return context.make_tuple(builder, lanes, rows)

        return lanes(operands, offsets), codegen

    return load


def storer(width, aligned=False, streaming=False):
    """``store(outs, offsets, lanes)``: lane j's results go to element ``at + j`` of each array.

    `streaming` where the results will not be read soon: of what the L2 cache holds they leave it first.
    """

    def twin(outs, offsets, lanes):
        for lane, results in enumerate(lanes):
            for out, at, y in zip(outs, offsets, results if isinstance(results, tuple) else (results,), strict=True):
                out[int(at) + lane] = y.astype(out.dtype)

    @instruction(twin)
    def store(typingctx, outs, offsets, lanes):
        def codegen(context, builder, signature, args):
            rows = unpack(builder, args[2], width)
            for k, pointer in enumerate(outs):
                native = pointer.dtype
                column = []
                for row, row_type in zip(rows, lanes, strict=True):
                    several = isinstance(row_type, types.BaseTuple)
                    value = builder.extract_value(row, k) if several else row
                    column.append(convert(context, builder, value, row_type[k] if several else row_type, native))
                target, offset = builder.extract_value(args[0], k), builder.extract_value(args[1], k)
                address = _address(context, builder, target, offset, offsets[k])
                _store(context, builder, address, native, column, aligned, streaming)
            return context.get_dummy_value()

        return types.void(outs, offsets, lanes), codegen

    return store


def lanewise(function, width):
    """``apply(lanes)``: `function` of every lane, in a tuple."""

    def twin(lanes):
        return tuple(map(function, lanes))

    @instruction(twin)
    def apply(typingctx, lanes):
        callee = typingctx.resolve_value_type(function)
        inner = typingctx.resolve_function_type(callee, (lanes[0],), {})
        results = types.UniTuple(inner.return_type, width)

        def codegen(context, builder, signature, args):
            implementation = context.get_function(callee, inner)
            context.add_linking_libs(getattr(implementation, "libs", ()))
            rows = [implementation(builder, (lane,)) for lane in unpack(builder, args[0], width)]
            return context.make_tuple(builder, results, rows)

        return results(lanes), codegen

    return apply


def folder(function, width):
    """``fold(lanes, context, state)``: the state after ``state = function(lane, context, state)`` of each lane in turn.

    The context is a tuple of whatever the function needs beside the lane.
    """
    if SIMULATED:  # not a twin: the simulator looks into functions that kernels call, and this one's may use atomics

        @device_function
        def fold(lanes, context, state):
            for lane in lanes:
                state = function(lane, context, state)
            return state

        return fold

    @instruction(None)
    def fold(typingctx, lanes, context, state):
        callee = typingctx.resolve_value_type(function)
        inner = typingctx.resolve_function_type(callee, (lanes[0], context, state), {})

        def codegen(backend, builder, signature, args):
            implementation = backend.get_function(callee, inner)
            backend.add_linking_libs(getattr(implementation, "libs", ()))
            found = args[2]
            for lane in unpack(builder, args[0], width):
                found = implementation(builder, (lane, args[1], found))
                found = convert(backend, builder, found, inner.return_type, state)
            return found

        return state(lanes, context, state), codegen

    return fold


def number(native):
    """``plain(x)``: a NumPy scalar or a plain number as a plain number of the Numba type `native`, by C's rules."""
    dtype = numpy_support.as_dtype(native)

    def twin(x):
        with np.errstate(all="ignore"):
            return np.asarray(x).astype(dtype)[()]

    @instruction(twin)
    def plain(typingctx, x):
        def codegen(context, builder, signature, args):
            return convert(context, builder, args[0], x, native)

        return native(x), codegen

    return plain


def along(kinds):
    """``offsets(at)``: the offset of every operand in a run: `at`, and 0 for what all elements share."""
    moves = [kind in ("vector", "index") for kind in kinds]

    @instruction(lambda at: tuple(at if each else 0 for each in moves))
    def offsets(typingctx, at):
        result = types.UniTuple(at, len(kinds))

        def codegen(context, builder, signature, args):
            zero = context.get_constant_null(at)
            return context.make_tuple(builder, result, [args[0] if each else zero for each in moves])

        return result(at), codegen

    return offsets


def unraveler(count):
    """``offsets(i, shape, strides)``: element offsets, one an operand, of the i-th point in C order.

    `shape` is a tuple of d unsigned integers, `strides` a flat tuple of `count` * d signed ones. Unsigned 32-bit
    division is a handful of instructions, 64-bit division a function call: the caller picks the type of `i`
    and `shape` by the number of points.
    """

    def twin(i, shape, strides):
        found = [0] * count
        for axis in reversed(range(len(shape))):
            i, along = divmod(int(i), int(shape[axis]))
            for k in range(count):
                found[k] += along * strides[k * len(shape) + axis]
        return tuple(found)

    @instruction(twin)
    def offsets(typingctx, i, shape, strides):
        ndim = len(shape)
        result = types.UniTuple(types.int64, count)

        def codegen(context, builder, signature, args):
            rest = args[0]
            lengths, steps = unpack(builder, args[1], ndim), unpack(builder, args[2], count * ndim)
            zero = ir.Constant(ir.IntType(64), 0)
            found = [zero] * count
            for axis in reversed(range(ndim)):
                along = rest
                if axis:
                    whole = builder.udiv(rest, lengths[axis])
                    along = builder.sub(rest, builder.mul(whole, lengths[axis]))
                    rest = whole
                along = context.cast(builder, along, i, types.int64)
                for k in range(count):
                    found[k] = builder.add(found[k], builder.mul(along, steps[k * ndim + axis]))
            return context.make_tuple(builder, result, found)

        return result(i, shape, strides), codegen

    return offsets


@instruction(lambda counters, k, most: _counted(counters, k, most))
def count_up(typingctx, counters, k, most):
    """``counters[k]`` of a pointer to uint32 as it was; it is one more now, or 0 where it was `most`. Atomic."""

    def codegen(context, builder, signature, args):
        at = builder.gep(args[0], [context.cast(builder, args[1], k, types.int64)])
        word = ir.IntType(32)
        kind = ir.FunctionType(word, [ir.IntType(64), word])
        text = "atom.acq_rel.gpu.global.inc.u32 $0, [$1], $2;"
        assembly = ir.InlineAsm(kind, text, "=r,l,r,~{memory}", side_effect=True)
        limit = context.cast(builder, args[2], most, types.uint32)
        return builder.call(assembly, [builder.ptrtoint(at, ir.IntType(64)), limit])

    return types.uint32(counters, k, most), codegen


def _counted(counters, k, most):
    # The interpreted engine hands over at barriers and warp operations only: nothing comes in between.
    found = counters[k]
    counters[k] = 0 if found >= most else found + 1
    return found


def _address(context, builder, pointer, offset, offset_type):
    return builder.gep(pointer, [context.cast(builder, offset, offset_type, types.int64)])


class _Packing:
    """How `width` neighbouring elements of a native type travel: as a vector of machine words.

    NVVM turns a bitcast of a wide load to ``<16 x i8>`` into four 4-byte loads, so narrow elements are cut
    out of 32-bit words by shifts: int8 add went from 4 to 1 load an operand.
    """

    def __init__(self, context, native, width):
        data = context.get_data_type(native)
        self.parts = 2 if isinstance(native, types.Complex) else 1
        self.component = data.elements[0] if self.parts == 2 else data
        self.bits = 8 if isinstance(native, types.Boolean) else native.bitwidth // self.parts
        total = width * self.parts * self.bits
        self.word = ir.IntType(min(max(self.bits, 32), total))
        self.per_word = self.word.width // self.bits
        self.words = total // self.word.width
        self.carrier = ir.VectorType(self.word, self.words)
        self.size = total // 8

    def split(self, builder, vector):
        """The components in a vector of words."""
        narrow = ir.IntType(self.bits)
        for w in range(self.words):
            word = builder.extract_element(vector, ir.Constant(ir.IntType(32), w))
            for k in range(self.per_word):
                piece = builder.lshr(word, ir.Constant(self.word, k * self.bits)) if k else word
                piece = builder.trunc(piece, narrow) if self.per_word > 1 else piece
                yield builder.bitcast(piece, self.component)

    def join(self, builder, components):
        """A vector of words that holds the components."""
        vector = ir.Constant(self.carrier, ir.Undefined)
        for w in range(self.words):
            word = None
            for k in range(self.per_word):
                piece = builder.bitcast(components[w * self.per_word + k], ir.IntType(self.bits))
                piece = builder.zext(piece, self.word) if self.per_word > 1 else piece
                piece = builder.shl(piece, ir.Constant(self.word, k * self.bits)) if k else piece
                word = piece if word is None else builder.or_(word, piece)
            vector = builder.insert_element(vector, word, ir.Constant(ir.IntType(32), w))
        return vector


def _load(context, builder, address, native, width, aligned):
    if width == 1 and not (aligned and native == types.complex128):
        return [context.unpack_value(builder, native, address)]
    packing = _Packing(context, native, width)
    words = builder.load(builder.bitcast(address, packing.carrier.as_pointer()), align=packing.size)
    components = list(packing.split(builder, words))
    if packing.parts == 2:
        pairs = zip(components[::2], components[1::2], strict=True)
        return [complex_value(context, builder, native, *pair) for pair in pairs]
    model = context.data_model_manager[native]
    return [model.from_data(builder, component) for component in components]


def _store(context, builder, address, native, values, aligned, streaming):
    if streaming and not isinstance(native, types.Complex):
        _stream(context, builder, address, native, values)
        return
    if len(values) == 1 and not (aligned and native == types.complex128):
        context.pack_value(builder, native, values[0], address)
        return
    packing = _Packing(context, native, len(values))
    if packing.parts == 2:
        components = [builder.extract_value(value, k) for value in values for k in (0, 1)]
    else:
        model = context.data_model_manager[native]
        components = [model.as_data(builder, value) for value in values]
    words = packing.join(builder, components)
    builder.store(words, builder.bitcast(address, packing.carrier.as_pointer()), align=packing.size)


def _stream(context, builder, address, native, values):
    packing, model = _Packing(context, native, len(values)), context.data_model_manager[native]
    vector = packing.join(builder, [model.as_data(builder, value) for value in values])
    words = [builder.extract_element(vector, ir.Constant(ir.IntType(32), w)) for w in range(packing.words)]
    if packing.word.width < 16:  # there is no register of 8 bits
        words = [builder.zext(word, ir.IntType(16)) for word in words]
    letter = {8: "h", 16: "h", 32: "r", 64: "l"}[packing.word.width]
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64), *(word.type for word in words)])
    listed = ", ".join(f"${k + 1}" for k in range(len(words)))
    if len(words) > 1:
        listed = f"{{{listed}}}"
    size = f".v{len(words)}" if len(words) > 1 else ""
    text = f"st.global.cs{size}.b{packing.word.width} [$0], {listed};"
    constraints = ",".join(["l", *letter * len(words), "~{memory}"])
    assembly = ir.InlineAsm(kind, text, constraints, side_effect=True)
    builder.call(assembly, [builder.ptrtoint(address, ir.IntType(64)), *words])

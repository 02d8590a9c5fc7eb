"""What lies before a tile: prefixes handed from block to block while the scan runs, in one pass over memory.

Blocks take tiles by number and publish what they sum up to. The prefix of a tile is what the tiles before it sum up to,
and those whose totals are not known yet are being computed at this moment by blocks that took theirs earlier: a block
that waits, waits only for blocks that run. Since memory turns over a tile every 20 to 50 ns and a word takes 600 ns
from block to block, no chain of tiles could keep up; a block looks back over many tiles at once (Merrill & Garland
2016).

There, how far a block looks depends on who was quick, and with it the order of additions. Here it does not. Tiles are
in groups of 32. With A(t) the aggregate of tile t, G(g) that of the tiles of group g, and g = t // 32, j = t % 32::

    S(g + 1) = S(g) + G(g)                                    what lies before a group, from left to right
    G(g)     = (A(32 g) + ... + A(32 g + 30)) + A(32 g + 31)  the bracket by the tree of a warp's scan
    prefix   = S(g) + (A(32 g) + ... + A(t - 1))              the same bracket, of j terms

The last tile of a group publishes G(g) when it knows it and S(g + 1) when it knows S(g). A block reads, at once, the j
aggregates of its own group, and backwards the 32 groups before: some S and the G that follow it, which it adds from
left to right as the one who published S would have. So the bits of a prefix depend on t alone.

What is published, the *state* of a tile or group, is a value in words, and a flag: what the value is, and of which
launch. 8 bytes of value and 8 of flag are a packet, which is read and written by one access of 16 bytes, so that
no fence is needed; a larger value is several packets, and is there when all flags agree. As flags tell launches apart,
nothing is ever cleared: `take_tile` counts tiles of this launch in the lower bits of a word and launches in the upper
ones, and who takes the last tile moves it on. The scratch memory is zeros before its first launch, and is the only
thing that launches in the order of a stream hand on.

References
----------
Merrill & Garland 2016, "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA Technical Report
NVR-2016-002.
PTX ISA, "ld.relaxed", ``.b128``: one memory operation of 16 bytes.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import cuda, types

from ...device.instructions import SIMULATED, instruction, kernel_function
from ...device.scalar import unpack
from ...device.warp import shuffle, shuffle_up
from ...device.words import from_words, to_words

#: Tiles of a group: what the lanes of a warp look at together.
GROUP = 32
#: What a state is, in the lowest bits of its flag.
AGGREGATE, PREFIX = 1, 2
#: Bits of the count of tiles; 36 are left for launches: at one each 3 us, for 57 hours, and then those of stale states
#: that 2^36 launches did not overwrite.
TILE_BITS = 28
#: Nanoseconds between two looks.
PATIENCE = 20
#: Further than any distance that it is compared with.
FAR = 1 << 30

u32, u64 = (int, int) if SIMULATED else (types.uint32, types.uint64)
I32, I64 = ir.IntType(32), ir.IntType(64)


def packets(words):
    """Packets of a state of so many words."""
    return -(-words // 2)


def states(tiles):
    """States of a launch over so many tiles: theirs and their groups'."""
    return tiles + -(-tiles // GROUP)


def scratch_bytes(tiles, words):
    """Bytes of scratch memory: the count, and the states."""
    return 16 * (1 + packets(words) * states(tiles))


# --- scratch memory ---------------------------------------------------------------------------------------------------


def _taken(scratch, tiles):
    ticket = int(scratch[0])
    launch, tile = ticket >> TILE_BITS, ticket & ((1 << TILE_BITS) - 1)
    scratch[0] = np.uint64((launch + 1) << TILE_BITS if tile == int(tiles) - 1 else ticket + 1)
    return launch << 2, tile


@instruction(_taken)
def take_tile(typingctx, scratch, tiles):
    """The next tile of this launch: ``(mark, tile)``, the mark being the upper bits of this launch's flags.

    As many are taken as there are tiles, and none after that.
    """
    result = types.Tuple((types.uint64, types.uint32))

    def codegen(context, builder, signature, args):
        address = builder.ptrtoint(args[0], I64)
        ticket = _assembly(builder, "atom.add.relaxed.gpu.global.u64 $0, [$1], 1;", "=l,l", [I64], [address])
        launch = builder.lshr(ticket, I64(TILE_BITS))
        tile = builder.trunc(builder.and_(ticket, I64((1 << TILE_BITS) - 1)), I32)
        last = builder.sub(context.cast(builder, args[1], tiles, types.uint32), I32(1))
        with builder.if_then(builder.icmp_unsigned("==", tile, last)):
            following = builder.shl(builder.add(launch, I64(1)), I64(TILE_BITS))
            _assembly(builder, "st.relaxed.gpu.global.u64 [$0], $1;", "l,l", [], [address, following])
        return context.make_tuple(builder, result, [builder.shl(launch, I64(2)), tile])

    return result(scratch, tiles), codegen


def _assembly(builder, text, constraints, results, operands):
    returned = ir.VoidType() if not results else results[0] if len(results) == 1 else ir.LiteralStructType(results)
    kind = ir.FunctionType(returned, [value.type for value in operands])
    return builder.call(ir.InlineAsm(kind, text, constraints + ",~{memory}", side_effect=True), operands)


def _places(place, stride, words):
    """Where the packets of a state are, in words of 8 bytes."""
    return [2 * (1 + p * int(stride) + int(place)) for p in range(packets(len(words)))]


def _read(scratch, place, stride, words):
    flags, found = set(), []
    for at in _places(place, stride, words):
        found += [scratch[at] & np.uint64(0xFFFFFFFF), scratch[at] >> np.uint64(32)]
        flags.add(int(scratch[at + 1]))
    found = tuple(np.uint32(word).view(np.int32) for word in found[: len(words)])
    return flags.pop() if len(flags) == 1 else 0, found


def _addresses(context, builder, natives, values, count):
    scratch, place, stride = values
    place, stride = (
        context.cast(builder, value, native, types.uint64)
        for value, native in zip((place, stride), natives, strict=True)
    )
    base = builder.ptrtoint(scratch, I64)
    for _ in range(packets(count)):
        yield builder.add(base, builder.shl(builder.add(place, I64(1)), I64(4)))
        place = builder.add(place, stride)


@instruction(_read)
def read_state(typingctx, scratch, place, stride, words):
    """The flag of the state at a place, 0 while its packets disagree, and its words, as many as `words`."""
    result = types.Tuple((types.uint64, words))

    def codegen(context, builder, signature, args):
        flag, found = None, []
        for address in _addresses(context, builder, (place, stride), args[:3], len(words)):
            text = "{ .reg .b128 t; ld.relaxed.gpu.global.b128 t, [$2]; mov.b128 {$0, $1}, t; }"
            value, mark = unpack(builder, _assembly(builder, text, "=l,=l,l", [I64, I64], [address]), 2)
            found += [builder.trunc(value, I32), builder.trunc(builder.lshr(value, I64(32)), I32)]
            agree = flag and builder.icmp_unsigned("==", flag, mark)
            flag = mark if flag is None else builder.select(agree, flag, I64(0))
        return context.make_tuple(builder, result, [flag, context.make_tuple(builder, words, found[: len(words)])])

    return result(scratch, place, stride, words), codegen


def _write(scratch, place, stride, flag, words):
    words = [int(word) & 0xFFFFFFFF for word in words] + [0]
    for p, at in enumerate(_places(place, stride, words[:-1])):
        scratch[at], scratch[at + 1] = np.uint64(words[2 * p] | words[2 * p + 1] << 32), np.uint64(flag)


@instruction(_write)
def write_state(typingctx, scratch, place, stride, flag, words):
    """Publish a state."""

    def codegen(context, builder, signature, args):
        values = [builder.zext(word, I64) for word in unpack(builder, args[4], len(words))] + [I64(0)]
        mark = context.cast(builder, args[3], flag, types.uint64)
        for p, address in enumerate(_addresses(context, builder, (place, stride), args[:3], len(words))):
            value = builder.or_(values[2 * p], builder.shl(values[2 * p + 1], I64(32)))
            text = "{ .reg .b128 t; mov.b128 t, {$1, $2}; st.relaxed.gpu.global.b128 [$0], t; }"
            _assembly(builder, text, "l,l,l", [], [address, value, mark])
        return context.get_dummy_value()

    return types.void(scratch, place, stride, flag, words), codegen


# --- a warp's scan ----------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8192)
def warp_scan(op):
    """``scan(value, reach, span)``: the inclusive scan of a warp's values, each over no more than its reach.

    A lane's value stands for `span` elements, and `reach` (at least 0) is how many elements before its last one go
    with it.
    """

    @kernel_function
    def step(value, reach, span, delta):
        below = shuffle_up(value, delta)
        if u32(cuda.laneid) >= u32(delta) and reach >= u32(delta * span):
            value = op(below, value)
        return value

    @kernel_function
    def scan(value, reach, span):
        # A loop over a tuple of distances stays a loop, of 40 branches.
        value = step(value, reach, span, 1)
        value = step(value, reach, span, 2)
        value = step(value, reach, span, 4)
        value = step(value, reach, span, 8)
        return step(value, reach, span, 16)

    return scan


# --- the prefix of a tile ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=8192)
def looking_back(join):
    """``prefix(scratch, tiles, tile, mark, back, ends, aggregate)``, for the first warp of each block.

    It publishes a tile's aggregate and returns what the `back` tiles before it sum up to; nothing in particular where
    that is none. `ends` says that the aggregate does not go with what is before: the next tile looks back to it and
    not further.
    """
    before_group = _before_group(join)
    scan = warp_scan(join)

    @kernel_function
    def prefix(scratch, tiles, tile, mark, back, ends, aggregate):
        lane = u32(cuda.laneid)
        stride = u32(tiles + (tiles + u32(GROUP - 1)) // u32(GROUP))
        among = u32(tile % u32(GROUP))
        group = u32(tile // u32(GROUP))
        if lane == u32(0):
            write_state(scratch, tile, stride, mark | u64(AGGREGATE), to_words(aggregate))
        # Both looks are on their way before the first is waited for.
        earlier = u32(tiles + max(group, u32(1)) - u32(1) - min(lane, max(group, u32(1)) - u32(1)))
        flag_before, words_before = read_state(scratch, earlier, stride, to_words(aggregate))
        own = u32(min(back, among))
        found = aggregate
        if own > u32(0):
            place = u32(tile - own + min(lane, own - u32(1)))
            flag, words = read_state(scratch, place, stride, to_words(aggregate))
            while not cuda.all_sync(0xFFFFFFFF, flag == mark | u64(AGGREGATE)):
                cuda.nanosleep(u32(PATIENCE))
                flag, words = read_state(scratch, place, stride, to_words(aggregate))
            found = shuffle(scan(from_words(words, aggregate), u32(FAR), 1), own - u32(1))
        closes = among == u32(GROUP - 1)
        total = aggregate
        if not ends and own > u32(0):
            total = join(found, aggregate)
        if closes and lane == u32(0):
            status = u64(PREFIX) if ends or back <= among else u64(AGGREGATE)
            write_state(scratch, tiles + group, stride, mark | status, to_words(total))
        if back > among:
            before = before_group(scratch, earlier, stride, mark, flag_before, from_words(words_before, aggregate))
            if closes and not ends and lane == u32(0):
                write_state(scratch, tiles + group, stride, mark | u64(PREFIX), to_words(join(before, total)))
            found = join(before, found) if own > u32(0) else before
        return found

    return prefix


def _before_group(join):
    @kernel_function
    def before_group(scratch, place, stride, mark, flag, value):
        waiting = True
        depth = 0
        while waiting:
            known = cuda.ballot_sync(0xFFFFFFFF, flag == mark | u64(PREFIX))
            missing = cuda.ballot_sync(0xFFFFFFFF, flag != mark | u64(PREFIX) and flag != mark | u64(AGGREGATE))
            nearest = known & -known
            waiting = known == 0 or missing & (nearest - 1) != 0
            if waiting:
                cuda.nanosleep(u32(PATIENCE))
                flag, words = read_state(scratch, place, stride, to_words(value))
                value = from_words(words, value)
            else:
                depth = cuda.ffs(nearest) - 1
        found = shuffle(value, depth)
        while depth > 0:
            depth -= 1
            found = join(found, shuffle(value, depth))
        return found

    return before_group

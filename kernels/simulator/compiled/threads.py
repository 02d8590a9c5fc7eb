"""Where the threads of a kernel are: the loop that runs those that never wait, and what it tells them.

A kernel asks by calls of `lowering.coordinate`. In general they look at the rows of the thread and of its worker. In a
loop over threads they become values of that loop, so that LLVM knows one over ``threadIdx.x`` for what it is and
vectorizes it (2^24 additions: 57 ms by rows, 13 ms by values, on two cores).
"""

import graphlib
import re

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

from .. import state as S
from .lowering import COORDINATE, EXTENTS, WORD, put, row, word, worker

#: What a loop over threads tells a thread, and the functions that write it into the thread's row: `PLACED` does so for
#: every thread, unless `with_values` finds that nobody reads it there, `PLACE` for one that raises.
OF_THREAD = (S.TX, S.TY, S.TZ, S.BX, S.BY, S.BZ, S.LANE, S.LINEAR, S.BLOCK, S.ME)
PLACES = (*OF_THREAD, *sorted(EXTENTS))
PLACED, PLACE = "simulator_placed", "simulator_place_thread"


def functions(module):
    """`PLACED` and `PLACE` as a module calls them: with a word for each of `PLACES`."""
    kind = ir.FunctionType(ir.VoidType(), [WORD] * len(PLACES))
    return [cgutils.get_or_insert_function(module, kind, name) for name in (PLACED, PLACE)]


def define(module, text):
    """Define in a module, by the rows, those of the functions here that a text of LLVM's calls."""
    called = set(re.findall(r'call \w+ @"?(\w+)"?\(', text))
    for column in PLACES:
        if (name := f"{COORDINATE}{column}") in called:
            body = _inlined(ir.Function(module, ir.FunctionType(WORD, []), name))
            body.ret(word(body, column, worker(body) if column in EXTENTS else None))
    for function in functions(module):
        if function.name in called:
            body = _inlined(function)
            for column, value in zip(OF_THREAD, function.args, strict=False):
                put(body, column, value, row(body))
            body.ret_void()


def _inlined(function):
    function.linkage = "weak_odr"  # of use to libraries that are linked later
    function.attributes.add("alwaysinline")
    return ir.IRBuilder(function.append_basic_block())


def asks(function, others):
    """Whether a function of LLVM's calls one of `others`, or one that tells where a thread is."""
    calls = (each for block in function.blocks for each in block.instructions if each.opname == "call")
    names = (getattr(each.callee, "name", "") for each in calls)
    return any(name in others or name.startswith(COORDINATE) for name in names)


def with_values(module, inline, entry, rows):
    """A module whose loop over threads tells them by values where they are.

    Parameters
    ----------
    module : llvmlite.binding.ModuleRef
        With the kernel and with the loop that calls it.
    inline : callable
        Makes all that asks where a thread is part of the loop.
    entry : str
        Name of the function that has the loop.
    rows : bool
        Whether the thread's row is to tell it too.
    """
    inline()
    before, start, rest = str(module).partition(f"define void @{entry}(")
    body, end, after = rest.partition("\n}\n")
    told = re.findall(rf"call void @{PLACED}\(([^)]*)\).*", body)
    if len(told) == 1:
        values = dict(zip(PLACES, re.findall(r"i64 (?:noundef )?([^, ]+)", told[0]), strict=True))
        asked = rf"(?:tail )?call i64 @{COORDINATE}(\d+)\(\).*"
        body = re.sub(asked, lambda found: f"add i64 {values[int(found[1])]}, 0", body)
        if not rows and not re.search(rf"call i64 @{COORDINATE}", before + after):
            body = re.sub(rf".*call void @{PLACED}\(.*\n", "", body)
    linked, coordinates = llvm.parse_assembly(before + start + body + end + after), ir.Module()
    coordinates.triple, coordinates.data_layout = module.triple, module.data_layout
    define(coordinates, str(linked))
    linked.link_in(llvm.parse_assembly(str(coordinates)))
    return linked


def repeats(text):
    """Whether a function of LLVM's has a loop."""
    name = r'("[^"]+"|[-\w.$]+)'
    for function in text.split("\ndefine ")[1:]:
        following, block = {}, None
        for line in function.splitlines():
            if label := re.match(name + ":", line):
                block = label[1]
            following.setdefault(block, set()).update(re.findall("label %" + name, line))
        try:
            graphlib.TopologicalSorter(following).prepare()
        except graphlib.CycleError:
            return True
    return False


def emit_loops(builder, thread, boss, call):
    """Loop over blocks ``NEXT_BLOCK`` to ``LAST_BLOCK`` and all their threads; `call` is given the `PLACES` of each."""
    extents = [builder.and_(word(builder, S.BDX + axis, boss), WORD(2047)) for axis in range(3)]  # never negative
    grid = [builder.and_(word(builder, S.GDX + axis, boss), WORD(2**31 - 1)) for axis in range(3)]
    stride = word(builder, S.STRIDE, boss)
    blocks = cgutils.for_range_slice(
        builder, word(builder, S.NEXT_BLOCK, boss), word(builder, S.LAST_BLOCK, boss), WORD(1), WORD
    )
    with blocks as (number, _):
        rest = builder.udiv(number, grid[0])
        block = builder.urem(number, grid[0]), builder.urem(rest, grid[1]), builder.udiv(rest, grid[1])
        with (
            cgutils.for_range(builder, extents[2], intp=WORD) as z,
            cgutils.for_range(builder, extents[1], intp=WORD) as y,
        ):
            before = builder.mul(builder.add(builder.mul(z.index, extents[1]), y.index), extents[0])
            put(builder, S.BLOCK, number, thread)  # for reports of kernels without `PLACED`, whose threads end soon
            put(builder, S.LINEAR, before, thread)
            with cgutils.for_range(builder, extents[0], intp=WORD) as x:
                linear = builder.add(before, x.index)
                lane, me = builder.and_(linear, WORD(31)), builder.add(builder.mul(number, stride), linear)
                call(x.index, y.index, z.index, *block, lane, linear, number, me, *grid, *extents)

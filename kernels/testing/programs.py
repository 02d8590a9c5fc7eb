"""Random kernels whose bits are defined: two engines that run one must give the same memory, bit for bit.

A program is the source text of a small ``@cuda.jit`` kernel with its launch configuration and its arrays. The grammar
holds types and promotion, arithmetic, comparisons, casts, integer bit functions, branches, loops, tuples, local
arrays, device functions, shared memory (static and dynamic), barriers, shuffles, votes, matches and atomics. Every
program is free of races, reads nothing that was not written, stays inside its arrays and has one result, whatever the
order of threads. So there is no tolerance: `digest` of one engine equals that of another, or one of them is wrong.

What is left out, and where the rule lives:

- A compiler may contract ``a * b + c`` on hardware. So a product of floats goes through `_limited`, whose ``min`` and
  ``max`` stand between it and any sum. (A division by a power of two becomes a product, and may be contracted: that
  product is exact.)
- Floats are finite and small: `_limited` also clips every float that is kept in a variable or an array to `LIMIT`, and
  integers enter float arithmetic with ten bits or divided by 2**54. So there is no NaN, whose payload is nobody's
  business, no overflow, and a cast to an integer is always in range.
- ``min`` and ``max`` of floats have one operand that is no zero, since hardware orders -0.0 below 0.0 and C does not.
- Division and modulo have a divisor from 1 to 8, shifts a count below the width, ``abs`` of an integer never its
  smallest value. Integers wrap.
- The only function of floats is the square root, which is rounded correctly, as is division. ``//`` and ``%`` are for
  integers.
- Atomics are of integers, one operation for each array; their results, which depend on the order, are not used.
- Warp operations name the lanes that are there and reach them; a shuffle reads from one of these.
- A variable has one type: Numba would give the union of two to both, which Python alone cannot know.
- float16 is not among the types: Numba has no arithmetic of it for the CPU.

``python -m kernels.testing.programs --count 300 --seed 1 --engine gpu --out gpu.npz`` runs programs on one machine,
the same with ``--engine compiled --against gpu.npz`` compares on another. The programs and their inputs depend on the
seed alone; hypothesis is needed by `kernels` only.

Examples
--------
>>> import numpy as np
>>> from kernels.testing import programs
>>> program = programs.random_program(5)
>>> program.source.splitlines()[0]
'from numba import cuda'
>>> [array.dtype.name for array in program.arguments(np.random.default_rng(0))] == [a.dtype for a in program.arrays]
True
"""

import argparse
import hashlib
import linecache
import math
import random
import re
import sys
import textwrap
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module

import numpy as np

__all__ = ["ENGINES", "FEATURES", "LIMIT", "Array", "Program", "digest", "kernels", "random_program", "run"]

LIMIT = 1000
"""Largest modulus of a float in a variable or an array."""

SIGNED = ("int64", "int32", "int16", "int8")
UNSIGNED = ("uint32", "uint64", "uint16", "uint8")
INTEGERS = SIGNED + UNSIGNED
FLOATS = ("float32", "float64")
TYPES = ("int32", "float32", "int64", "float64", "uint32", "uint64", "bool", "int16", "uint16", "int8", "uint8")
WIDE = ("int32", "int64", "uint32", "uint64")

FEATURES = (
    *("if", "for", "while", "break", "tuple", "local", "function"),
    *("shared", "dynamic", "count", "shuffle", "vote", "match", "atomic"),
)
"""What a program may hold beside assignments; `kernels` takes a selection of these."""

BLOCKS = (32, 1, 33, 96, (8, 4), (11, 3), (16, 4))
GRIDS = {1: (1, 2, 3), 2: ((1, 1), (2, 1), (2, 2))}

# The numbers of a program come from `pick(n)`, an integer from 0 to n-1. 0 is the simplest choice where there is one:
# that is what makes programs shrink.


@dataclass(frozen=True)
class Array:
    """An argument of a program.

    Attributes
    ----------
    name, dtype : str
    shape : tuple of int
    layout : {"C", "F", "step"}
        In C or Fortran order, or every second element along the last axis of a larger array.
    """

    name: str
    dtype: str
    shape: tuple
    layout: str = "C"

    def base(self, rng):
        """Return a contiguous array of random values, of which `view` is the argument."""
        shape = (*self.shape[:-1], 2 * self.shape[-1]) if self.layout == "step" else self.shape
        return np.asarray(_values(rng, np.dtype(self.dtype), shape), order="F" if self.layout == "F" else "C")

    def view(self, base):
        """Return the argument, on the host or on the device, where `base` is."""
        # Device arrays know no Ellipsis.
        return base[(slice(None),) * (base.ndim - 1) + (slice(None, None, 2),)] if self.layout == "step" else base


def _values(rng, dtype, shape):
    """Values that meet the edges: small integers and all bits in equal parts, floats of all sizes to `LIMIT`."""
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    half = rng.integers(0, 2, shape, bool)
    if dtype.kind == "f":
        even = rng.uniform(-LIMIT, LIMIT, shape)
        return np.where(half, even, np.round(even / 16) / 4).astype(dtype)
    info = np.iinfo(dtype)
    every = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    small = rng.integers(max(info.min, -9), 10, shape).astype(dtype)
    return np.where(half, every, small)


@dataclass(frozen=True, repr=False)
class Program:
    """A kernel with a defined result.

    Attributes
    ----------
    source : str
        A module that defines `kernel`.
    grid, block : int or tuple of int
    shared : int
        Bytes of dynamic shared memory.
    arrays : tuple of Array
        The arguments. All are compared after a launch.
    """

    source: str
    grid: int | tuple
    block: int | tuple
    shared: int
    arrays: tuple

    def compile(self):
        """Return the kernel, with its source where `inspect` and tracebacks find it.

        Programs of one source share a kernel, so that to try other data or schedules compiles nothing.

        Returns
        -------
        kernel
            What ``@cuda.jit`` made of it.
        """
        return _compiled(self.source)

    def arguments(self, rng):
        """Return new arrays of random values.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        list of numpy.ndarray
        """
        return [array.view(array.base(rng)) for array in self.arrays]

    def __repr__(self):
        arguments = ", ".join(f"{a.name}: {a.dtype}{list(a.shape)} {a.layout}" for a in self.arrays)
        return f"{self.source}\n# kernel[{self.grid}, {self.block}, 0, {self.shared}]({arguments})\n"

    def _repr_pretty_(self, printer, cycle):
        """Let hypothesis report a program as text that runs."""
        for k, line in enumerate(repr(self).splitlines()):
            if k:
                printer.break_()
            printer.text(line)


@lru_cache(maxsize=64)
def _compiled(source):
    filename = f"<program {hashlib.sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace = {"__name__": "program"}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["kernel"]


class _Writer:
    """Writes one program. Expressions are text; `integer`, `floating` and `boolean` are of that kind but any type."""

    def __init__(self, pick, features):
        self.pick = pick
        self.features = frozenset(features)
        self.block = self.choose(BLOCKS)
        self.grid = self.choose(GRIDS[2 if isinstance(self.block, tuple) else 1])
        self.threads = math.prod(np.atleast_1d(self.block).tolist())
        self.total = self.threads * math.prod(np.atleast_1d(self.grid).tolist())
        self.functions = []  # (name, types of arguments, type of the result)
        self.function_lines = []
        self.declarations = []
        self.lines = []
        self.indent = 1
        self.variables = {}
        self.constants = {}  # loop counters: read, never assigned
        self.inputs = []
        self.accumulators = []  # (array, operation)
        self.dynamic = None
        self.budget = 10
        self.names = 0
        self.in_kernel = True

    # Choices

    def choose(self, options):
        """One of these; the first is the simplest."""
        return options[self.pick(len(options))]

    def often(self):
        return self.pick(2) == 1

    def seldom(self):
        return self.pick(5) == 4

    def name(self, stem):
        self.names += 1
        return f"{stem}{self.names}"

    def emit(self, line):
        self.lines.append("    " * self.indent + line)

    # Expressions

    def readable(self, kinds):
        """Names of these types in scope."""
        scope = {**self.variables, **self.constants}
        return [name for name, dtype in scope.items() if dtype in kinds]

    def leaf(self, kinds, literals):
        """A variable, an input, or a literal."""
        names = self.readable(kinds)
        what = self.pick(4)
        if what < 2 and names:
            return self.choose(names)
        if what < 3 and self.in_kernel:
            return self.read(self.choose(kinds))
        return self.choose(literals)

    def read(self, dtype):
        """An element of an input of this type."""
        known = [array for array in self.inputs if array.dtype == dtype]
        array = self.choose(known) if known else self.new_input(dtype)
        if array.shape == (self.total,):
            return f"{array.name}[{self.choose(('i', f'{self.total - 1} - i'))}]"
        sides = ", ".join(f"{self.small_integer()} & {side - 1}" for side in array.shape)
        return f"{array.name}[{sides}]"

    def new_input(self, dtype):
        shape = self.choose(((self.total,), (16,), (4, 8)))
        layout = self.choose(("C", "step", "F") if len(shape) == 2 else ("C", "step"))
        self.inputs.append(Array(self.name("a"), dtype, shape, layout))
        return self.inputs[-1]

    def small_integer(self):
        """An int64, for an index: the indices of a tuple are of one type."""
        places = ("i", "t", "1") if self.in_kernel else ("1",)
        return f"np.int64({self.choose((*self.readable(INTEGERS)[-3:], *places))})"

    def integer(self, depth=2):
        what = self.pick(12) if depth else 0
        less = depth - 1
        if what == 0:
            places = ("i", "t", "cuda.threadIdx.x", "cuda.blockIdx.x", "cuda.blockDim.x") if self.in_kernel else ()
            edges = ("7", "(-128)", "255", "2147483647", "(-2147483648)", "1099511627776")
            return self.leaf(INTEGERS, ("1", "0", "2", "(-1)", *places, *edges))
        if what == 1:
            operator = self.choose(("+", "-", "*", "&", "|", "^"))
            return f"({self.integer(less)} {operator} {self.integer(less)})"
        if what == 2:
            return f"({self.choose('-~')}{self.integer(less)})"
        if what == 3:
            return f"({self.integer(less)} {self.choose(('<<', '>>'))} ({self.integer(less)} & {self.choose((7, 31))}))"
        if what == 4:
            dtype = self.choose(WIDE)
            divisor = f"np.{dtype}(({self.integer(less)} & 7) + 1)"
            return f"({self.cast(dtype, less)} {self.choose(('//', '%'))} {divisor})"
        if what == 5:
            dtype = self.choose(INTEGERS)
            return f"{self.choose(('min', 'max'))}({self.cast(dtype, less)}, {self.cast(dtype, less)})"
        if what == 6:
            return f"abs({self.cast(self.choose(SIGNED), less)} >> 1)"
        if what == 7:
            function = self.choose(("popc", "clz", "ffs", "brev"))
            unsigned = ("uint32", "uint64")
            return f"cuda.{function}({self.cast(self.choose(unsigned if function == 'brev' else WIDE), less)})"
        if what == 8:
            return self.conditional(self.choose(WIDE), less)
        if what == 9:
            return f"np.int64({self.floating(less)})"
        if what == 10:
            return f"({self.boolean(less)} + {self.boolean(less)})"
        return self.call(INTEGERS, less) or self.integer(less)

    def floating(self, depth=2):
        what = self.pick(12) if depth else 0
        less = depth - 1
        dtype = self.choose(FLOATS) if what > 3 else None
        if what == 0:
            return self.leaf(FLOATS, ("1.0", "0.0", "0.5", "(-1.5)", "0.1", "3.25", "1000.0", "np.float32(0.1)"))
        if what == 1:
            return f"({self.floating(less)} {self.choose('+-')} {self.floating(less)})"
        if what == 2:
            return self.choose(("(-{})", "abs({})")).format(self.floating(less))
        if what == 3:
            ten_bits = f"({self.integer(less)} & 1023)"
            return f"({self.floating(less)} {self.choose('+-')} {ten_bits})"
        if what == 4:
            other = self.choose((self.floating, lambda depth: f"({self.integer(depth)} & 1023)"))(less)
            return _limited(dtype, f"{self.floating(less)} * {other}")
        if what == 5:
            return f"({self.floating(less)} / (abs({self.floating(less)}) + np.{dtype}(0.75)))"
        if what == 6:
            return f"math.sqrt(abs({self.floating(less)}))"
        if what == 7:
            return f"{self.choose(('min', 'max'))}({self.floating(less)}, np.{dtype}({self.choose((0.5, -3, 7))}))"
        if what == 8:
            return f"np.{dtype}(math.{self.choose(('floor', 'ceil'))}({self.floating(less)}))"
        if what == 9:
            return self.conditional(dtype, less)
        if what == 10:
            every_bit = f"(np.{dtype}({self.integer(less)}) / np.{dtype}({2**54}))"
            ratio = f"(({self.integer(less)} & 1023) / (({self.integer(less)} & 7) + 1))"
            return self.choose((every_bit, ratio))
        return self.call(FLOATS, less) or self.floating(less)

    def boolean(self, depth=1):
        what = self.pick(6) if depth else self.pick(2)
        less = max(depth - 1, 0)
        compare = self.choose(("<", ">", "==", "!=", "<=", ">=")) if what in (0, 2, 3) else None
        if what == 0:
            return f"({self.integer(less)} {compare} {self.integer(less)})"
        if what == 1:
            return self.leaf(("bool",), ("True", "False"))
        if what == 2:
            return f"({self.floating(less)} {compare} {self.floating(less)})"
        if what == 3:
            return f"({self.floating(less)} {compare} {self.integer(less)})"
        if what == 4:
            return f"(not {self.boolean(less)})"
        return f"({self.boolean(less)} {self.choose(('and', 'or'))} {self.boolean(less)})"

    def conditional(self, dtype, depth):
        values = self.cast(dtype, depth), self.cast(dtype, depth)
        if self.often():
            return f"cuda.selp({self.boolean(depth)}, {', '.join(values)})"
        return f"({values[0]} if {self.boolean(depth)} else {values[1]})"

    def cast(self, dtype, depth=2):
        """An expression of exactly this type; floats may be larger than `LIMIT`."""
        if dtype == "bool":
            return self.boolean(depth)
        return f"np.{dtype}({(self.floating if dtype in FLOATS else self.integer)(depth)})"

    def value(self, dtype, depth=2):
        """What may be kept in a variable or an array of this type."""
        return _limited(dtype, self.floating(depth)) if dtype in FLOATS else self.cast(dtype, depth)

    def call(self, kinds, depth):
        """A call of a device function with a result of such a type, or None."""
        known = [function for function in self.functions if function[2] in kinds]
        if not known:
            return None
        name, types, _ = self.choose(known)
        return f"{name}({', '.join(self.value(dtype, depth) for dtype in types)})"

    # Statements. `together` says that all threads of the block reach it together: barriers and warp operations may.

    def statements(self, together, loop=False):
        for _ in range(1 + self.pick(3)):
            self.statement(together, loop)

    def statement(self, together, loop):
        self.budget -= 1
        options = ["assign", "swap"]
        if self.budget > 0 and self.indent < 4:
            options += ["if", "for", "while"]
        if loop and not together:
            options += ["break"]
        options += ["tuple", "local", "atomic"]
        if together:
            options += ["shared", "dynamic", "count", "shuffle", "vote", "match"]
        options = [o for o in options if o in self.features or o in ("assign", "swap")]
        what = self.choose(options)
        if what in ("if", "for", "while"):
            getattr(self, f"write_{what}")(together)
        elif what in ("shared", "dynamic"):
            self.write_exchange(what)
        else:
            getattr(self, f"write_{what}")()

    def target(self, kinds=TYPES):
        """A variable to assign to, of one of these types, or None."""
        names = [name for name, dtype in self.variables.items() if dtype in kinds]
        return self.choose(names) if names else None

    def write_assign(self):
        name = self.target()
        self.emit(f"{name} = {self.value(self.variables[name], 3)}")

    def write_swap(self):
        first, second = self.target(), self.target()
        if first == second:
            return self.write_assign()
        values = ", ".join(self.convert(self.variables[to], fro) for to, fro in ((first, second), (second, first)))
        return self.emit(f"{first}, {second} = {values}")

    def convert(self, dtype, name):
        """A variable as another type, by way of what both can hold."""
        source = self.variables[name]
        if source == dtype:
            return name
        if dtype == "bool":
            return f"({name} != 0)"
        return f"np.{dtype}({f'np.int64({name})' if source in FLOATS else self.ten_bits(dtype, name, source)})"

    @staticmethod
    def ten_bits(dtype, name, source):
        return f"{name} & 1023" if dtype in FLOATS and source != "bool" else name

    def nested(self, together, loop=False):
        self.indent += 1
        self.statements(together, loop)
        self.indent -= 1

    def write_if(self, together):
        uniform = together and self.seldom()
        condition = f"(cuda.blockIdx.x > {self.pick(2)})" if uniform else self.boolean(2)
        self.emit(f"if {condition}:")
        self.nested(uniform)
        if self.often():
            self.emit("else:")
            self.nested(uniform)

    def write_for(self, together):
        counter = self.name("k")
        uniform = together and self.often()
        ranges = (f"{2 + self.pick(3)}", f"1, {2 + self.pick(5)}, 2", f"{3 + self.pick(2)}, 0, -1")
        count = self.choose(ranges) if uniform or self.often() else f"np.int64({self.integer(1)} & 3)"
        self.emit(f"for {counter} in range({count}):")
        self.constants[counter] = "int64"
        self.nested(uniform, loop=True)
        del self.constants[counter]

    def write_while(self, together):
        counter = self.name("k")
        self.emit(f"{counter} = 0")
        self.emit(f"while {counter} < {2 + self.pick(3)} and {self.boolean(1)}:")
        self.emit(f"    {counter} += 1")
        self.constants[counter] = "int64"
        self.nested(False, loop=True)
        del self.constants[counter]

    def write_break(self):
        self.emit(f"if {self.boolean(1)}:")
        self.emit(f"    {self.choose(('break', 'continue'))}")

    def write_tuple(self):
        name, result = self.name("p"), self.target()
        dtype = self.variables[result]
        other = self.choose((dtype, *TYPES))
        self.emit(f"{name} = ({self.value(dtype)}, {self.value(other)})")
        index = f"{self.small_integer()} & 1" if other == dtype else "0"
        self.emit(f"{result} = {name}[{index}]")

    def write_local(self):
        array, counter, result = self.name("w"), self.name("k"), self.target()
        dtype, flat = self.variables[result], self.often()
        self.declarations.append(f"{array} = cuda.local.array({4 if flat else (2, 2)}, np.{_dtype(dtype)})")
        self.emit(f"for {counter} in range(4):")
        self.constants[counter] = "int64"
        self.emit(f"    {array}[{counter if flat else f'{counter} >> 1, {counter} & 1'}] = {self.value(dtype)}")
        del self.constants[counter]
        sides = (3,) if flat else (1, 1)
        self.emit(f"{result} = {array}[{', '.join(f'{self.small_integer()} & {side}' for side in sides)}]")

    def write_exchange(self, kind):
        """Each thread leaves a value in shared memory and takes that of another."""
        result = self.target()
        dtype = self.variables[result]
        if kind == "dynamic" and self.dynamic not in (None, dtype):
            return self.write_assign()
        if kind == "dynamic":
            array, shape = "dynamic", (self.threads,)
            if self.dynamic is None:
                self.dynamic = dtype
                self.declarations.append(f"dynamic = cuda.shared.array(0, np.{_dtype(dtype)})")
        elif self.seldom():
            return self.write_histogram()
        else:
            array, shape = self.name("s"), (self.threads,)
            if isinstance(self.block, tuple) and self.often():
                shape = self.block[::-1]
            shown = self.threads if len(shape) == 1 else shape
            self.declarations.append(f"{array} = cuda.shared.array({shown}, np.{_dtype(dtype)})")
        barrier, modulus, first = "cuda.syncthreads()", self.threads, ""
        if self.threads % 32 == 0 and len(shape) == 1 and self.seldom():
            barrier, modulus, first = "cuda.syncwarp()", 32, "t - lane + "
        if len(shape) == 1:
            here = "t"
            there = self.choose(
                (f"{first}(t + {self.pick(5)}) % {modulus}", f"{first}np.uint32({self.integer(1)}) % {modulus}")
            )
        else:
            here = "cuda.threadIdx.y, cuda.threadIdx.x"
            there = f"{shape[0] - 1} - cuda.threadIdx.y, (cuda.threadIdx.x + {self.pick(5)}) % {shape[1]}"
        self.emit(f"{array}[{here}] = {self.value(dtype)}")
        self.emit(barrier)
        self.emit(f"{result} = {array}[{there}]")
        return self.emit(barrier)

    def write_histogram(self):
        array, counter, dtype = self.name("h"), self.name("k"), self.choose(WIDE)
        self.declarations.append(f"{array} = cuda.shared.array(8, np.{dtype})")
        self.emit(f"for {counter} in range(t, 8, {self.threads}):")
        self.emit(f"    {array}[{counter}] = {self.choose((0, 1))}")
        self.emit("cuda.syncthreads()")
        operation = self.choose(ATOMICS)
        self.emit(f"cuda.atomic.{operation}({array}, {self.small_integer()} & 7, {self.cast(dtype)})")
        self.emit("cuda.syncthreads()")
        if result := self.target(INTEGERS):
            self.emit(f"{result} = np.{self.variables[result]}({array}[{self.small_integer()} & 7])")
        self.emit("cuda.syncthreads()")

    def write_count(self):
        result = self.target(INTEGERS)
        if result is None:
            return self.write_assign()
        function = self.choose(("count", "and", "or"))
        votes = f"cuda.syncthreads_{function}(np.int32({self.boolean()}))"
        return self.emit(f"{result} = np.{self.variables[result]}({votes})")

    def write_atomic(self):
        operation, dtype = self.choose(ATOMICS), self.choose(WIDE)
        known = [array for array, applied in self.accumulators if (array.dtype, applied) == (dtype, operation)]
        if known:
            array = self.choose(known)
        else:
            shape = self.choose(((8,), (2, 4)))
            array = Array(self.name("acc"), dtype, shape, self.choose(("C", "step")))
            self.accumulators.append((array, operation))
        sides = [f"{self.small_integer()} & {side - 1}" for side in array.shape]
        index = sides[0] if len(sides) == 1 else f"({', '.join(sides)})"
        self.emit(f"cuda.atomic.{operation}({array.name}, {index}, {self.cast(dtype)})")

    def warps(self, write):
        """Write an operation for parts of warps: each names the lanes that exist and take its branch.

        `write(mask, first, count)` is for the lanes from `first` on, `count` of them.
        """
        tail = self.threads % 32
        if tail == 0 and not self.seldom():
            return write("0xffffffff", 0, 32)
        if self.threads == tail:
            return write(hex((1 << tail) - 1), 0, tail)
        condition = f"t < {self.threads - tail}" if tail else "lane < 16"
        parts = ((32, 0), (tail, 0)) if tail else ((16, 0), (16, 16))
        for line, (count, first) in zip((f"if {condition}:", "else:"), parts, strict=True):
            self.emit(line)
            self.indent += 1
            write(hex(((1 << count) - 1) << first), first, count)
            self.indent -= 1
        return None

    def write_shuffle(self):
        result = self.target(INTEGERS + FLOATS)
        if result is None:
            return self.write_assign()
        dtype = self.variables[result]
        carried = dtype if dtype in FLOATS else self.choose(("int32", "int64"))

        def write(mask, first, count):
            shuffles = ["shfl_sync"]
            shuffles += ["shfl_up_sync"] * (first == 0) + ["shfl_down_sync"] * (first + count == 32)
            shuffles += ["shfl_xor_sync"] * (count & (count - 1) == 0)
            shuffle = self.choose(shuffles)
            anything = f"np.uint32({self.integer(1)}) % {count}"
            if shuffle == "shfl_xor_sync":
                where = f"{self.pick(count)}"
            elif shuffle == "shfl_sync":
                where = self.choose((f"{first + self.pick(count)}", f"np.int32({first} + {anything})"))
            else:
                where = self.choose((f"{self.pick(32)}", f"np.int32(np.uint32({self.integer(1)}) % 32)"))
            moved = f"cuda.{shuffle}({mask}, {self.value(carried)}, {where})"
            self.emit(f"{result} = {moved if carried == dtype else f'np.{dtype}({moved})'}")

        return self.warps(write)

    def write_vote(self):
        result = self.target(("bool", *INTEGERS))
        if result is None:
            return self.write_assign()
        dtype = self.variables[result]
        vote = self.choose(("any_sync", "all_sync", "eq_sync") if dtype == "bool" else ("ballot_sync",))

        def write(mask, first, count):
            voted = f"cuda.{vote}({mask}, {self.boolean()})"
            self.emit(f"{result} = {voted if dtype == 'bool' else f'np.{dtype}({voted})'}")

        return self.warps(write)

    def write_match(self):
        result = self.target(("bool", *INTEGERS))
        if result is None:
            return self.write_assign()
        dtype = self.variables[result]

        def write(mask, first, count):
            compared = f"np.{self.choose(('int32', 'int64'))}({self.integer(1)} & {self.choose((1, 0, 3))})"
            if dtype != "bool" and self.often():
                self.emit(f"{result} = np.{dtype}(cuda.match_any_sync({mask}, {compared}))")
            else:
                self.emit(f"lanes, same = cuda.match_all_sync({mask}, {compared})")
                self.emit(f"{result} = {'same' if dtype == 'bool' else f'np.{dtype}(lanes)'}")

        return self.warps(write)

    # The whole

    def write_function(self):
        """A device function, which may call those before it."""
        name, result = self.name("f"), self.choose(TYPES)
        types = [self.choose(TYPES) for _ in range(1 + self.pick(2))]
        self.in_kernel, features = False, self.features
        self.features = features & {"if", "for", "while", "break", "tuple"}
        self.variables = {f"x{k}": dtype for k, dtype in enumerate(types)}
        start, budget, self.budget = len(self.lines), self.budget, 3
        if self.often():
            self.statements(False)
        if self.often():
            self.emit(f"if {self.boolean()}:")
            self.emit(f"    return {self.value(result)}")
        self.emit(f"return {self.value(result)}")
        arguments = ", ".join(self.variables)
        self.function_lines += ["@cuda.jit(device=True)", f"def {name}({arguments}):", *self.lines[start:], "", ""]
        del self.lines[start:]
        self.functions.append((name, types, result))
        self.variables, self.in_kernel, self.features, self.budget = {}, True, features, budget

    def write(self):
        """Write the program."""
        if "function" in self.features:
            for _ in range(self.pick(3)):
                self.write_function()
        for _ in range(1 + self.pick(3)):
            dtype = self.choose(TYPES)
            value = self.value(dtype, 1)
            name = self.name("v")
            self.emit(f"{name} = {value}")
            self.variables[name] = dtype
        for _ in range(1 + self.pick(3)):
            self.statements(True)
        outputs = self.write_outputs()
        arrays = (*outputs, *(array for array, _ in self.accumulators), *self.inputs)
        itemsize = np.dtype(_dtype(self.dynamic)).itemsize if self.dynamic else 0
        return Program(self.source(arrays), self.grid, self.block, itemsize * self.threads, arrays)

    def write_outputs(self):
        """Store every variable; the last threads may have no element of their own."""
        size = self.total - (self.pick(3) if self.total > 2 else 0)
        outputs = []
        for dtype in self.variables.values():
            kinds = FLOATS if dtype in FLOATS else ("bool",) if dtype == "bool" else INTEGERS
            dtype = self.choose((dtype, *kinds))
            outputs.append(Array(self.name("out"), dtype, (size,), self.choose(("C", "step"))))
        guard = size < self.total
        early = guard and self.often()
        if guard:
            self.emit(f"if i >= {outputs[0].name}.size:" if early else f"if i < {size}:")
        if early:
            self.emit("    return")
        for name, array in zip(self.variables, outputs, strict=True):
            self.emit(f"{'    ' * (guard and not early)}{array.name}[i] = {name}")
        return outputs

    def source(self, arrays):
        body = "\n".join(self.lines)
        if isinstance(self.block, tuple):
            places = {
                "x, y": "cuda.grid(2)",
                "i": "y * cuda.gridDim.x * cuda.blockDim.x + x",
                "t": "cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x",
            }
        else:
            places = {"i": "cuda.grid(1)", "t": "cuda.threadIdx.x"}
        places["lane"] = "cuda.laneid"
        used = [f"{k} = {v}" for k, v in places.items() if k == "x, y" or re.search(rf"\b{k}\b", body)]
        modules = ["from numba import cuda", "import numpy as np", "import math"]
        whole = "\n".join(self.function_lines) + body
        modules = [m for m in modules if re.search(rf"\b{m.split()[-1]}\b", whole) or m == modules[0]]
        head = [*modules, "", "", *self.function_lines, "@cuda.jit"]
        head.append(f"def kernel({', '.join(array.name for array in arrays)}):")
        head += textwrap.indent("\n".join([*self.declarations, *used]), "    ").splitlines()
        return "\n".join([*head, body, ""])


ATOMICS = ("add", "max", "min", "and_", "or_", "xor", "sub")


def _dtype(name):
    return "bool_" if name == "bool" else name


def _limited(dtype, text):
    """Clip a float to `LIMIT`: bounds it, and keeps a product apart from a sum that might contract it."""
    return f"min(max(np.{dtype}({text}), np.{dtype}({-LIMIT})), np.{dtype}({LIMIT}))"


def _check_features(features):
    if unknown := set(features) - set(FEATURES):
        raise ValueError(f"features must be of {', '.join(FEATURES)}; got {', '.join(sorted(unknown))}")
    return tuple(features)


def random_program(seed, features=FEATURES):
    """Write the program of a seed, the same on every machine.

    Parameters
    ----------
    seed : int or str
    features : iterable of str
        Of `FEATURES`.

    Returns
    -------
    Program
    """
    return _Writer(random.Random(str(seed)).randrange, _check_features(features)).write()


def kernels(features=FEATURES):
    """Draw a program.

    Parameters
    ----------
    features : iterable of str
        Of `FEATURES`; without one, to see whether a difference needs it.

    Returns
    -------
    strategy of Program

    Raises
    ------
    ValueError
        For an unknown feature.

    Examples
    --------
    >>> from hypothesis import given
    >>> from kernels.testing import programs
    >>> @given(program=programs.kernels(features=()))
    ... def test_programs_of_assignments_share_nothing(program):
    ...     assert "cuda.sync" not in program.source
    >>> test_programs_of_assignments_share_nothing()
    """
    from hypothesis import strategies as st

    features = _check_features(features)

    @st.composite
    def programs(draw):
        return _Writer(lambda n: draw(st.integers(0, n - 1)), features).write()

    return programs()


def digest(arrays):
    """Hash the types, shapes and bits of arrays.

    Parameters
    ----------
    arrays : iterable of numpy.ndarray

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np
    >>> from kernels.testing import programs
    >>> programs.digest([np.float32([0.0])]) == programs.digest([np.float32([-0.0])])
    False
    """
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _run_cuda(program, rng):
    """As Numba itself launches it: on a GPU, or in whatever simulator NUMBA_ENABLE_CUDASIM=1 means."""
    cuda = import_module("numba.cuda")
    bases = [array.base(rng) for array in program.arrays]
    devices = [cuda.to_device(base) for base in bases]
    views = [array.view(device) for array, device in zip(program.arrays, devices, strict=True)]
    program.compile()[program.grid, program.block, 0, program.shared](*views)
    results = [device.copy_to_host() for device in devices]
    return [array.view(result) for array, result in zip(program.arrays, results, strict=True)]


def _run_simulator(program, rng, **options):
    simulate = import_module("kernels.simulator").simulate
    arguments = program.arguments(rng)
    simulate(program.compile(), **options)[program.grid, program.block, 0, program.shared](*arguments)
    return arguments


ENGINES = {
    "cuda": _run_cuda,
    "compiled": partial(_run_simulator, engine="compiled"),
    "interpreted": partial(_run_simulator, engine="interpreted"),
}
"""What runs a program: Numba's own launch (a GPU, where there is one), or an engine of `kernels.simulator`."""


def run(program, engine, data=0, **options):
    """Run a program.

    Parameters
    ----------
    program : Program
    engine : {"cuda", "compiled", "interpreted"}
    data : int or sequence of int
        Seed of the arrays' values.
    **options
        Of `kernels.simulator.simulate`, such as the seed of the schedule.

    Returns
    -------
    list of numpy.ndarray
        All arguments as the kernel left them.
    """
    return ENGINES[engine](program, np.random.default_rng(data), **options)


def main(arguments=None):
    """Run numbered programs in an engine; write the hashes of their results, or compare with those of a file."""
    parser = argparse.ArgumentParser(prog="python -m kernels.testing.programs", description=main.__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="of the programs and their inputs")
    parser.add_argument("--engine", choices=ENGINES, default="cuda", help="cuda: as Numba launches, on a GPU")
    parser.add_argument("--schedule", type=int, help="seed of the order of threads in kernels.simulator")
    parser.add_argument("--show", type=int, metavar="N", help="print program N and end")
    parser.add_argument("--out", help="write the hashes to this npz file")
    parser.add_argument("--against", help="compare with the hashes of this npz file")
    options = parser.parse_args(arguments)
    if options.show is not None:
        sys.stdout.write(repr(random_program(f"{options.seed} {options.show}")))
        return 0
    schedule = {} if options.schedule is None else {"seed": options.schedule}
    sources, results, failed = [], [], 0
    for number in range(options.count):
        program = random_program(f"{options.seed} {number}")
        sources.append(hashlib.sha256(repr(program).encode()).hexdigest())
        try:
            results.append(digest(run(program, options.engine, [options.seed, number], **schedule)))
        except Exception as error:
            failed += 1
            results.append("")
            sys.stdout.write(f"program {number}: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
    if options.out:
        np.savez(options.out, sources=np.array(sources), results=np.array(results))
    different = _compare(options.against, sources, results) if options.against else 0
    sys.stdout.write(f"{options.count} programs, {failed} failed, {different} different\n")
    return int(bool(failed or different))


def _compare(path, sources, results):
    """Say which results differ from those of a file; return how many."""
    with np.load(path) as stored:
        if stored["sources"][: len(sources)].tolist() != sources:
            raise SystemExit(f"{path} holds other programs: another seed or another version of this module")
        pairs = zip(results, stored["results"].tolist(), strict=False)
    different = [number for number, (mine, theirs) in enumerate(pairs) if mine and mine != theirs]
    for number in different:
        sys.stdout.write(f"program {number}: the bits differ; --show {number} prints it\n")
    return len(different)


if __name__ == "__main__":
    sys.exit(main())

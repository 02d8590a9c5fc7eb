"""From a value to the number of its bin: what histograms ask of every element.

    bin j = [e_j, e_{j+1}),    the last one with its right edge,    for edges e_0 <= e_1 <= ... <= e_n

Each rule is a device function ``rule(x, numbers, table)`` of a sample, of a few plain numbers, and of a table in global
memory. It returns the bin, or `NOWHERE` for a sample in none: out of range, or NaN.

`uniform` takes the bin from one multiply-add and looks at an edge only where rounding could matter. Let T(x) = n (x -
e_0) / (e_n - e_0), exactly, let d be the largest of abs(T(e_j) - j), which the rounded edges have, and let E bound the
rounding of the multiply-add. With a slack s > d + E, the number t computed for T(x) + s is at least j for every x >=
e_j and below j + 2 s for every x < e_j. So floor(t) is the bin, unless t lies in a window of 2 s above an integer j:
then comparing x with e_j decides. That is the bin by the edges, always; NumPy's formula, which corrects its guess by
one bin where an edge contradicts it, finds the same as long as its own guess is off by no more than one. Where that is
not certain, `literal` computes what NumPy computes.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import types

from ...device.instructions import SIMULATED, device_function
from ...device.memory import number
from ...device.scalar import call, native_type
from .tables import Table

#: In place of a bin.
NOWHERE = 2**32 - 1

#: Where a rule needs none.
NO_TABLE = Table(np.zeros(1, np.uint32))

#: What NOWHERE is where bins are too many for 32 bits.
NOWHERE_LONG = 2**64 - 1


class Axis(NamedTuple):
    """A rule with what it is given: plain numbers with their Numba types, and a table for global memory."""

    rule: Any
    numbers: tuple
    types: tuple
    table: Table
    bins: int


def unsigned(bits):
    """What makes numbers unsigned of so many bits in kernels: a Numba type, or a function that wraps as it does."""
    if SIMULATED:
        return lambda x: int(x) & (1 << bits) - 1
    return {32: types.uint32, 64: types.uint64}[bits]


def counting_type(long):
    """What makes numbers of bins in kernels, and what stands for none."""
    return (unsigned(64), NOWHERE_LONG) if long else (unsigned(32), NOWHERE)


def _native_count(long):
    return types.uint64 if long else types.uint32


def _reals(dtype):
    """What positions of samples may be computed in: float32 where it holds every sample, and float64."""
    return [np.dtype(kind) for kind in ("fd" if dtype.char in "?bBhHef" else "d")]


# --- uniform bins -------------------------------------------------------------------------------------------------


@functools.cache
def _uniform_rule(real):
    native = native_type(real)
    plain, whole = number(native), number(types.uint32)
    index, nowhere = counting_type(False)

    @device_function
    def uniform(x, numbers, table):
        low, high, first, scale, slack, window = numbers
        v = plain(x)
        t = (v - first) * scale + slack
        found = whole(t)
        inside = (v >= low) & (v <= high)
        if inside & (t - native(found) < window):
            if v < table[found]:
                found = index(found - index(1))
        return found if inside else index(nowhere)

    return uniform


def uniform(edges, dtype, rounding):
    """The `Axis` of equal bins between the edges that NumPy gives them, or None where `literal` must be taken.

    Parameters
    ----------
    edges : numpy.ndarray
        Of floats, finite and increasing.
    dtype : numpy.dtype
        Of the samples.
    rounding : float
        Unit roundoff of the formula that must agree with the edges (NumPy's), 0 where the edges alone decide.
    """
    found = (_uniform_in(real, edges, rounding) for real in _reals(dtype))
    return next((axis for axis in found if axis), None)


def _uniform_in(real, edges, rounding):
    bins = len(edges) - 1
    exact = edges.astype(np.longdouble)
    scale = bins / (exact[-1] - exact[0])
    first = real.type(edges[0])
    with np.errstate(all="ignore"):
        bent = np.abs((exact - exact[0]) * scale - np.arange(bins + 1)).max() + bins * np.finfo(np.float64).eps
        unit = np.finfo(real).eps / 2
        doubt = float(bent + abs(exact[0] - first) * scale + 5 * bins * unit)
        room = np.finfo(real)
        fits = room.tiny < scale < room.max and exact[-1] - exact[0] < room.max and bins < 2**31
    if not (fits and doubt < 0.2 and bent + 4 * bins * rounding < 0.9):
        return None
    table = _at_least(edges, real)
    if table[-1] == edges[-1]:
        table[-1] = np.nextafter(table[-1], real.type(np.inf))
    slack = real.type(1.25 * doubt)
    numbers = (table[0], np.nextafter(table[-1], real.type(-np.inf)), first, real.type(scale), slack, 2 * slack)
    return Axis(_uniform_rule(real), numbers, (native_type(real),) * 6, Table(table), bins)


def _at_least(values, real):
    """The smallest numbers of a dtype that are no smaller than the values: a sample compares alike with either."""
    with np.errstate(over="ignore"):
        near = values.astype(real)
    return np.where(near < values, np.nextafter(near, real.type(np.inf)), near).astype(real)


@functools.cache
def _literal_rule(dtype, ratio, long):
    def loop(function, ins, out):
        return call(device_function(function), ins, (np.dtype(out),))

    subtract = loop(lambda x, y: x - y, (dtype, dtype), dtype)
    divide = loop(lambda x, y: x / y, (dtype, ratio), ratio)
    multiply = loop(lambda x, y: x * y, (ratio, ratio), ratio)
    less = loop(lambda x, y: x < y, (dtype, dtype), bool)
    convert = loop(lambda x: x, (dtype,), dtype)
    index, nowhere = counting_type(long)
    whole = number(types.int64)

    @device_function
    def literal(x, numbers, table):
        first, denominator, count, bins = numbers
        v = convert((x,))
        found = index(nowhere)
        if not less((v, table[0])) and not less((table[bins], v)) and less((v, np.inf)):
            position = multiply((divide((subtract((v, first)), denominator)), count))
            at = index(min(max(whole(position), 0), index(bins - index(1))))
            if less((v, table[at])):
                at = index(max(at, index(1)) - index(1))
            if not less((v, table[index(at + index(1))])) and at != index(bins - index(1)):
                at = index(at + index(1))
            found = at
        return found

    return literal


def literal(edges, first, denominator):
    """The `Axis` of equal bins by NumPy's own formula, corrected by one bin where an edge contradicts it."""
    dtype, bins = edges.dtype, len(edges) - 1
    ratio = np.result_type(dtype, denominator)
    long = bins >= NOWHERE
    numbers = (dtype.type(first), ratio.type(denominator), ratio.type(bins), (np.uint64 if long else np.uint32)(bins))
    natives = (native_type(dtype), native_type(ratio), native_type(ratio), _native_count(long))
    return Axis(_literal_rule(dtype, ratio, long), numbers, natives, Table(edges), bins)


# --- given edges --------------------------------------------------------------------------------------------------


def precedes(x, y):
    """Whether x sorts before y: NaN sorts last."""
    return x < y or (y != y and x == x)


def precedes_complex(x, y):
    """The same of complex numbers, by real parts, then imaginary; those with a NaN last, as NumPy sorts them."""
    a, b, c, d = x.real, x.imag, y.real, y.imag
    if a < c:
        return b == b or d != d
    if a > c:
        return d != d and b == b
    if a == c or (a != a and c != c):
        return b < d or (d != d and b == b)
    return c != c


def sorts_before(dtype):
    """``before((x, y))`` of two samples of any dtypes, in the order of `dtype`."""
    function = precedes_complex if dtype.kind == "c" else precedes
    return call(device_function(function), (dtype, dtype), (np.dtype(bool),))


@functools.cache
def _edges_rule(dtype, long):
    between, index = _between(dtype, long), counting_type(long)[0]

    @device_function
    def bisected(x, numbers, table):
        count = numbers[0]
        return between(x, table, index(0), count, count)

    return bisected


@functools.cache
def _between(dtype, long):
    """The bin of x, whose first larger one of `count` edges is no earlier than `low` and no later than `high`."""
    before = sorts_before(dtype)
    index, nowhere = counting_type(long)

    @device_function
    def between(x, table, low, high, count):
        while low < high:  # the first edge above x
            middle = index(low + index(index(high - low) >> index(1)))
            if before((x, table[middle])):
                high = middle
            else:
                low = index(middle + index(1))
        found = index(nowhere)
        if low == count:
            if not before((table[index(count - index(1))], x)):
                found = index(count - index(2))
        elif low > index(0):
            found = index(low - index(1))
        return found

    return between


@functools.cache
def _cells_rule(dtype, real):
    between, native = _between(dtype, False), native_type(real)
    plain, whole, index = number(native), number(types.uint32), unsigned(32)

    @device_function
    def in_cells(x, numbers, table):
        count, first, scale, cells = numbers
        t = (plain(x) - first) * scale
        low, high = index(0), index(count)  # where NaN is
        if t == t:
            cell = whole(min(max(t, native(0)), cells))
            low = whole(table[index(count + cell)])
            high = whole(table[index(index(count + cell) + index(1))])
        return between(x, table, low, high, count)

    return in_cells


#: Cells for each bin between given edges.
CELLS = 4


def _in_cells(edges):
    """The `Axis` of given edges that looks among those of a cell only, or None where cells would not tell them apart.

    Cells are equal steps in (x - e_0) scale, which rounding leaves monotone: edges of lower cells are no larger than x,
    those of higher ones are no smaller, and where the position of an edge equals its cell's end it is in that cell. The
    table has, behind the edges, how many of them lie in lower cells.
    """
    real = np.dtype(np.float32 if edges.dtype.char in "ef" else np.float64)
    kind = np.dtype({"f": real, "i": np.int64, "u": np.uint64}[edges.dtype.kind])  # which holds counts, too
    count, cells = len(edges), CELLS * (len(edges) - 1)
    places = edges.astype(real)
    with np.errstate(all="ignore"):
        scale = real.type(cells) / (places[-1] - places[0])
        steps = (places - places[0]) * scale
    if not (count > 8 and CELLS * count < 1 / np.finfo(real).eps and np.isfinite(scale) and np.all(np.isfinite(steps))):
        return None
    cell = np.clip(steps, 0, cells).astype(np.int64)
    lower = np.searchsorted(cell, np.arange(cells + 2))
    table = np.concatenate([edges.astype(kind), lower.astype(kind)])
    numbers = np.uint32(count), places[0], scale, real.type(cells)
    natives = types.uint32, native_type(real), native_type(real), native_type(real)
    return Axis(_cells_rule(kind, real), numbers, natives, Table(table), count - 1)


def given(edges, dtype):
    """The `Axis` of bins between the given edges, compared in the dtype that they and the samples share."""
    common = np.promote_types(edges.dtype, dtype)
    if common.kind in "iuf" and (axis := _in_cells(edges.astype(common))):
        return axis
    long = len(edges) >= NOWHERE
    count = (np.uint64 if long else np.uint32)(len(edges))
    rule = _edges_rule(common, long)
    return Axis(rule, (count,), (_native_count(long),), Table(edges.astype(common)), len(edges) - 1)


# --- integers -----------------------------------------------------------------------------------------------------


@functools.cache
def _integer_rule(native, long):
    plain = number(native)
    index, nowhere = counting_type(long)

    @device_function
    def integer(x, numbers, table):
        v = plain(x)  # a negative number is a large one without its sign
        found = index(nowhere)
        if v < numbers[0]:
            found = index(v)
        return found

    return integer


def integers(length, dtype):
    """The `Axis` whose bins are the integers 0 to length - 1."""
    long = length >= NOWHERE
    native = types.uint64 if long or dtype.itemsize == 8 else types.uint32
    limit = min(length, 2**32 - 1) if native is types.uint32 else length
    value = np.dtype(str(native)).type(limit)
    return Axis(_integer_rule(native, long), (value,), (native,), NO_TABLE, length)


@functools.cache
def _byte_rule():
    plain, index = number(types.uint8), unsigned(32)

    @device_function
    def byte(x, numbers, table):
        return index(plain(x))

    return byte


#: Bins of a byte: its value modulo 256.
BYTES = 256


def byte_values():
    """The `Axis` whose 256 bins are the values of a byte."""
    return Axis(_byte_rule(), (np.uint32(BYTES),), (types.uint32,), NO_TABLE, BYTES)


# --- two samples --------------------------------------------------------------------------------------------------


@functools.cache
def _plane_rule(first, second, long):
    index, nowhere = counting_type(long)

    @device_function
    def plane(lane, numbers, tables):
        i = first(lane[0], numbers[0], tables[0])
        j = second(lane[1], numbers[1], tables[1])
        found = index(nowhere)
        if i != NOWHERE and j != NOWHERE:
            found = index(index(index(i) * index(numbers[2][0])) + index(j))
        return found

    return plane


@functools.cache
def _line_rule(rule):
    @device_function
    def line(lane, numbers, tables):
        return rule(lane[0], numbers[0], tables[0])

    return line


class Bins(NamedTuple):
    """The bins of a histogram over one or two axes: a device function ``bin_of(lane, numbers, tables)``."""

    bin_of: Any
    numbers: tuple
    types: tuple
    tables: tuple
    count: int

    @property
    def long(self):
        """Whether bins are counted in 64 bits."""
        return self.count >= NOWHERE


def bins(*axes):
    """The `Bins` of a sample, or of pairs of samples with those of the second one neighbours."""
    numbers, natives = tuple(axis.numbers for axis in axes), tuple(axis.types for axis in axes)
    tables = tuple(axis.table for axis in axes)
    if len(axes) == 1:
        return Bins(_line_rule(axes[0].rule), numbers, natives, tables, axes[0].bins)
    first, second = axes
    count = first.bins * second.bins
    rule = _plane_rule(first.rule, second.rule, count >= NOWHERE)
    return Bins(rule, (*numbers, (np.uint64(second.bins),)), (*natives, (types.uint64,)), tables, count)

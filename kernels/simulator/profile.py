"""Counters of a kernel by source line: what its accesses cost a memory system, with no GPU and no clock.

The n-th time that the threads of a warp come to one instruction between two barriers is one execution of it by the
warp, and the addresses of its lanes are one access:

- global memory moves whole sectors, 32 aligned bytes each. An access to distinct elements of b bytes together needs
  at least ceil(b / 32) of them, and takes as many as it touches;
- shared memory has 32 banks, word w (of 4 bytes) in bank w mod 32, and a bank gives one word in a pass. An access
  takes the largest number of distinct words in one bank. Elements of 8 bytes are asked for by half warps, of 16 bytes
  by quarter warps, one after the other;
- atomic operations on one address take turns: an access has as many conflicts as its most wanted address has lanes,
  less one.

Source: CUDA C++ Programming Guide, "Global Memory" and "Shared Memory" of the compute capabilities; CUDA C++ Best
Practices Guide, "Coalesced Access to Global Memory".
"""

import bisect
import dis
import functools
import inspect
import linecache
import math
import operator
import sys
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from . import compat
from . import launch as _launch
from . import state as S

SECTOR, BANKS, WORD = 32, 32, 4

#: Bytes of the widest access of a thread.
WIDEST = 16

_GLOBAL, _SHARED = "global", "shared"
_KINDS = {
    S.READ: "load", S.RELAXED_READ: "load", S.WRITE: "store", S.RELAXED_WRITE: "store", S.ATOMIC: "atomic",
}  # fmt: skip
_VERBS = {"load": "read", "store": "write", "atomic": "update"}
_OPERATIONS = {
    S.SHUFFLE_INDEX: "shfl_sync", S.SHUFFLE_UP: "shfl_up_sync", S.SHUFFLE_DOWN: "shfl_down_sync",
    S.SHUFFLE_XOR: "shfl_xor_sync", S.BALLOT: "ballot_sync", S.ANY: "any_sync", S.ALL: "all_sync", S.EQUAL: "eq_sync",
    S.MATCH_ANY: "match_any_sync", S.MATCH_ALL: "match_all_sync", S.SYNC: "syncwarp", S.ACTIVE: "activemask",
    S.REDUCE_ADD: "reduce_add_sync", S.REDUCE_MIN: "reduce_min_sync", S.REDUCE_MAX: "reduce_max_sync",
    S.REDUCE_AND: "reduce_and_sync", S.REDUCE_OR: "reduce_or_sync", S.REDUCE_XOR: "reduce_xor_sync",
    S.COLLECTIVE: "collective",
}  # fmt: skip
_BARRIERS = {S.AT_BLOCK: "syncthreads", S.AT_WHOLE_GRID: "grid sync"}


# --- what an access costs -------------------------------------------------------------------------------------------


def sectors(accesses):
    """Sectors that an access touches, and the fewest that hold as many bytes.

    Parameters
    ----------
    accesses : iterable of (int, int)
        Address and bytes of each lane.
    """
    distinct = set(accesses)
    touched = {k for at, size in distinct for k in range(at // SECTOR, (at + size - 1) // SECTOR + 1)}
    return len(touched), -(-sum(size for _, size in distinct) // SECTOR)


def passes(accesses):
    """Passes that an access takes to shared memory, and the fewest for as many words.

    Parameters
    ----------
    accesses : dict
        Address and bytes by lane.
    """
    widest = max(size for _, size in accesses.values())
    lanes = S.LANES * WORD // min(max(WORD, 1 << (widest - 1).bit_length()), WIDEST)
    cost = ideal = 0
    for first in range(0, S.LANES, lanes):
        part = [access for lane, access in accesses.items() if first <= lane < first + lanes]
        words = {k for at, size in part for k in range(at // WORD, (at + size - 1) // WORD + 1)}
        cost += max(Counter(word % BANKS for word in words).values(), default=0)
        ideal += -(-len(words) // BANKS)
    return cost, ideal


def turns(accesses):
    """Lanes that update the address most wanted, and the fewest that can be."""
    return max(Counter(at for at, _ in accesses).values()), 1


# --- what is seen of a launch ---------------------------------------------------------------------------------------


class Site:
    """One instruction of a kernel, reached by one chain of calls."""

    def __init__(self, code, line, kind, space):
        self.code, self.line, self.kind, self.space = code, line, kind, space
        self.executions = self.lanes = self.width = self.cost = self.ideal = self.barriers = self.most = 0
        self.steps, self.size = Counter(), 0

    def add(self, accesses, width):
        """Count one execution by a warp of `width` threads: address and bytes by lane."""
        self.executions += 1
        self.lanes += len(accesses)
        self.width += width
        if self.space is None:
            return
        if self.kind == "atomic":
            cost, ideal = turns(accesses.values())
        else:
            cost, ideal = sectors(accesses.values()) if self.space is _GLOBAL else passes(accesses)
        self.cost += cost
        self.ideal += ideal
        self.most = max(self.most, cost)
        self.size = max(self.size, *(size for _, size in accesses.values()))
        self.steps.update(accesses[k + 1][0] - accesses[k][0] for k in accesses if k + 1 in accesses)

    def remark(self):
        """What is wrong with the accesses of this instruction, in words; None if nothing is."""
        if self.cost == self.ideal:
            return None
        if self.kind == "atomic":
            return f"up to {self.most} threads of a warp update one address: they take turns"
        took, least = (f"{total / self.executions:.3g}" for total in (self.cost, self.ideal))
        if self.space is _GLOBAL:
            return f"each warp touches {took} sectors where {least} would do: {self._layout()}"
        text = f"each warp takes {took} passes where {least} would do: {self._layout()}"
        if self._step() and self._step() % (BANKS * WORD) == 0:
            text += ", all in one bank; rows one element longer would lie in different ones"
        return text

    def _step(self):
        """Bytes between the elements of most neighbouring lanes; None where no distance has the majority."""
        steps = {step: count for step, count in self.steps.items() if step}
        step = max(steps, key=lambda step: (steps[step], -abs(step)), default=None)
        return step if step is not None and 2 * steps[step] >= sum(steps.values()) else None

    def _layout(self):
        step, verb = self._step(), _VERBS[self.kind]
        if step is None:
            return f"neighbouring threads {verb} scattered addresses"
        if abs(step) != self.size:
            return f"neighbouring threads {verb} addresses {abs(step)} bytes apart"
        if set(self.steps) == {step}:
            return f"the addresses that a warp {verb}s do not begin at a multiple of {SECTOR} bytes"
        return f"only short runs of threads {verb} neighbouring elements"


class Lane:
    """What is known of a thread: barriers it passed, and how often it came to each instruction since."""

    def __init__(self, thread):
        self.thread, self.barriers, self.counts = thread, 0, Counter()


class Recorder:
    """Collects what the threads of one launch do.

    Parameters
    ----------
    machine : interpreted.engine.Machine
    names : dict
        Built-in names of kernels, by which frames of theirs are known; others are the engine's, or an instruction's.
    code : code
        Of a kernel that runs as the Python that it is.
    block : tuple of int
    """

    def __init__(self, machine, names, code, block):
        self._machine, self._names, self._code, self._size = machine, names, code, math.prod(block)
        self._lanes, self._warps, self._owners, self._starts = {}, {}, {}, {}
        self._met = set()
        self._call, self._parts, self._complete = None, {}, []
        self.sites = {}

    # --- what the engine calls ------------------------------------------------------------------------------

    def on_global(self, array, index, kind):
        """Take note of an access to an argument, whose memory begins where an allocation of CUDA might."""
        owner = array.raw
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        begin = _address(owner)
        number = self._owners.setdefault(begin, len(self._owners))
        self._access(array, index, kind, _GLOBAL, (number << 48) - begin)

    def on_shared(self, array, index, kind):
        """Take note of an access to memory of the block."""
        self._access(array, index, kind, _SHARED, -self._machine.thread.row[S.SHARED])

    def on_request(self, kind, operation):
        """Take note of a barrier or a warp operation."""
        if kind == S.AT_WARP:
            self._event(_OPERATIONS[operation], None, None, self._place())
        elif kind in _BARRIERS:
            site, lane = self._event(_BARRIERS[kind], None, None, self._place())
            met = self._machine.thread.block if kind == S.AT_BLOCK else None, lane.barriers
            if met not in self._met:
                self._met.add(met)
                site.barriers += 1
            lane.barriers += 1
            lane.counts = Counter()

    def finish(self):
        """Count the executions that not all threads of a warp took part in."""
        self._settle()
        for key, accesses in self._warps.items():
            self._count(key, accesses)
        self._call = None

    # --- grouping -------------------------------------------------------------------------------------------

    def _place(self):
        """The kernel's innermost line and its chain of instructions, of which the innermost calls the engine."""
        frame, call = sys._getframe(2), None
        while not self._of_kernel(frame):
            frame, call = frame.f_back, frame
        line, chain = (frame.f_code, frame.f_lineno), []
        while frame is not None:
            if self._of_kernel(frame):
                chain += id(frame.f_code), self._instruction(frame)
            frame = frame.f_back
        if call is not self._call:
            self._settle()
            self._call, self._parts = call, {}
        return line, tuple(chain)

    def _settle(self):
        """Count the accesses that nothing can extend any more."""
        for key, accesses in self._complete:
            self._count(key, accesses)
        self._complete = []

    def _of_kernel(self, frame):
        return frame.f_builtins is self._names or frame.f_code is self._code

    def _instruction(self, frame):
        """Where the instruction begins that a frame is at: from Python 3.11 on `f_lasti` may point to its cache."""
        starts = self._starts.get(id(frame.f_code))
        if starts is None:
            starts = self._starts[id(frame.f_code)] = [i.offset for i in dis.get_instructions(frame.f_code)]
        return starts[bisect.bisect_right(starts, frame.f_lasti) - 1]

    def _access(self, array, index, kind, space, shift):
        place = self._place()
        kind = _KINDS[_HINTED.get(self._call.f_code.co_name, kind)]
        found = [_address(array.raw) + shift + offset for offset in offsets(array.raw, index, kind)]
        which, size = (kind, array.name), array.raw.dtype.itemsize
        if len(found) == 1 and self._extend(which, found[0], size):
            return
        number = list(self._parts).index(which) if which in self._parts else len(self._parts)
        for address in found:
            self._parts[which] = part = [address, size]
            self._event(kind, space, part, place, number)

    def _extend(self, which, address, size):
        """Whether this is a further element of a wide access: the same call moved the one before it."""
        part = self._parts.get(which)
        if part is None or self._call.f_code.co_flags & inspect.CO_GENERATOR:
            return False
        if part[0] + part[1] != address or part[1] + size > WIDEST:
            return False
        part[1] += size
        return True

    def _event(self, kind, space, part, place, number=0):
        """Enter a thread into an execution by its warp; `number` tells the arrays apart that one call accesses."""
        line, chain = place
        thread = self._machine.thread
        row = thread.row
        linear, name = row[S.LINEAR], (kind, space, number, chain)
        lane = self._lanes.get((row[S.SLOT], linear))
        if lane is None or lane.thread is not thread:
            lane = self._lanes[row[S.SLOT], linear] = Lane(thread)
        if name not in self.sites:
            self.sites[name] = Site(*line, kind, space)
        key = name, thread.block, linear >> 5, lane.barriers, lane.counts[name]
        lane.counts[name] += 1
        accesses = self._warps.setdefault(key, {})
        accesses[linear & 31] = part
        if len(accesses) == self._width(linear >> 5):
            self._complete.append((key, self._warps.pop(key)))
        return self.sites[name], lane

    def _width(self, warp):
        return min(S.LANES, self._size - S.LANES * warp)

    def _count(self, key, accesses):
        accesses = {lane: part and tuple(part) for lane, part in accesses.items()}
        self.sites[key[0]].add(accesses, self._width(key[2]))


#: Accesses with cache hints, which the engine runs as atomic ones, by the method that does.
_HINTED = {"hinted_load": S.READ, "hinted_store": S.WRITE}


def _address(raw):
    return raw.__array_interface__["data"][0]


def offsets(raw, index, kind):
    """Bytes from an array's first element to those that an access names.

    A slice that is read is a view, and a record that is read is known by its place: neither touches memory.
    """
    index = index if isinstance(index, tuple) else (index,)
    if kind == "load" and raw.dtype.names:
        return []
    if len(index) == raw.ndim and all(isinstance(k, (int, np.integer)) for k in index):
        if not all(-n <= k < n for k, n in zip(map(int, index), raw.shape, strict=True)):
            return []  # the array itself refuses
        return [sum(int(k) % n * step for k, n, step in zip(index, raw.shape, raw.strides, strict=True))]
    if kind == "load":
        return []
    part = raw[index]
    begin = _address(part) - _address(raw)
    return [begin + sum(map(int.__mul__, k, part.strides)) for k in np.ndindex(part.shape)]


# --- the report -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Counters of one source line, of all warps together.

    Attributes
    ----------
    file, function : str
    line : int
    text : str
    executions : int
        How often a warp ran the line: as often as that instruction of it which it ran most.
    lanes, width : int
        Threads that took part in these, and threads that the warps had.
    loads, stores : int
        Accesses of a warp.
    transactions, ideal_transactions : int
        Sectors of global memory.
    passes, ideal_passes : int
        Of shared memory.
    atomics, conflicts : int
        Atomic operations of a warp, and turns after the first.
    barriers : int
        Of a block each; ``grid.sync()`` is one of the grid.
    warp_operations : dict
        Of a warp each, by name.
    remarks : tuple of str
        What costs more than it needs to.
    """

    file: str
    function: str
    line: int
    text: str
    executions: int
    lanes: int
    width: int
    loads: int
    stores: int
    transactions: int
    ideal_transactions: int
    passes: int
    ideal_passes: int
    atomics: int
    conflicts: int
    barriers: int
    warp_operations: dict
    remarks: tuple

    @property
    def excess(self):
        """Sectors for each that would do; None where the line does not touch global memory."""
        return _ratio(self.transactions, self.ideal_transactions)

    @property
    def excess_passes(self):
        """Passes for each that would do; None where the line does not touch shared memory."""
        return _ratio(self.passes, self.ideal_passes)


_SUMS = (
    "loads", "stores", "transactions", "ideal_transactions", "passes", "ideal_passes", "atomics", "conflicts",
    "barriers",
)  # fmt: skip


def _ratio(cost, ideal):
    return cost / ideal if ideal else None


@dataclass(frozen=True)
class Profile:
    """What a launch cost, by source line; printed, it is a table.

    Attributes
    ----------
    kernel : str
    grid, block : tuple of int
    rows : tuple of Row
        Lines that touch memory or synchronise: the kernel's, then those of its device functions.
    """

    kernel: str
    grid: tuple
    block: tuple
    rows: tuple

    @property
    def totals(self):
        """Sums over the lines, a dict with the names of a row."""
        found = {name: sum(getattr(row, name) for row in self.rows) for name in _SUMS}
        return found | {"warp_operations": dict(sum((Counter(row.warp_operations) for row in self.rows), Counter()))}

    def line(self, text):
        """The one row whose source has this text in it."""
        found = [row for row in self.rows if text in row.text]
        if len(found) != 1:
            raise KeyError(f"{text!r} is in {len(found)} lines of the profile")
        return found[0]

    def document(self):
        """The profile as JSON has it."""
        rows = [
            asdict(row) | {"remarks": list(row.remarks), "excess": row.excess, "excess_passes": row.excess_passes}
            for row in self.rows
        ]
        return {
            "kernel": self.kernel,
            "grid": list(self.grid),
            "block": list(self.block),
            "rows": rows,
            "totals": self.totals,
        }

    def __str__(self):
        columns = [column for column in _COLUMNS if any(column[1](row) for row in self.rows)]
        cells = [["line", *(name for name, _ in columns)]]
        cells += [[str(row.line), *(show(row) for _, show in columns)] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        head, *lines = ("  ".join(map(str.rjust, parts, widths)) for parts in cells)
        found = [f"{self.kernel}: grid {self.grid}, block {self.block}", "", f"  {head}"]
        function = self.rows[0].function if self.rows else None
        for row, line in zip(self.rows, lines, strict=True):
            if row.function != function:
                function = row.function
                found.append(f"  {function}:")
            found.append(f"{'!' if row.remarks else ' '} {line}  {row.text}")
            found += [f"    {' ' * widths[0]}{remark}" for remark in row.remarks]
        return "\n".join([*found, "", f"  {self._sum()}"])

    def _sum(self):
        totals = self.totals
        counts = {name: totals[name] for name in ("loads", "stores", "atomics", "barriers")} | totals["warp_operations"]
        text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        for unit, cost, ideal in (
            ("sectors", totals["transactions"], totals["ideal_transactions"]),
            ("passes", totals["passes"], totals["ideal_passes"]),
        ):
            if ideal:
                text += f"; {cost} {unit} where {ideal} would do"
        return text or "no memory touched, nothing synchronised"


def _times(ratio):
    return "" if ratio is None else f"x{ratio:.2f}"


_COLUMNS = (
    ("runs", lambda row: str(row.executions)),
    ("lanes", lambda row: f"{32 * row.lanes / row.width:.3g}/32"),
    ("sectors", lambda row: str(row.transactions or "")),
    ("excess", lambda row: _times(row.excess)),
    ("passes", lambda row: str(row.passes or "")),
    ("excess", lambda row: _times(row.excess_passes)),
    ("atomics", lambda row: str(row.atomics or "")),
    ("conflicts", lambda row: str(row.conflicts or "")),
    ("barriers", lambda row: str(row.barriers or "")),
    ("warp operations", lambda row: str(sum(row.warp_operations.values()) or "")),
)


def _row(sites, warps):
    """The row of one line from its instructions."""
    often = {}
    for (*_, chain), site in sites.items():
        before = often.get(chain[2:])
        if before is None or (site.executions, site.lanes) > (before.executions, before.lanes):
            often[chain[2:]] = site
    executions, lanes, width = (
        sum(getattr(site, name) for site in often.values()) for name in ("executions", "lanes", "width")
    )
    sites = list(sites.values())

    def total(name, kind=None, space=None):
        return sum(
            getattr(site, name)
            for site in sites
            if (kind is None or site.kind in kind) and (space is None or site.space is space)
        )

    remarks = [site.remark() for site in sites]
    # The last write of a block's result is one lane's, and costs nothing to speak of.
    if 2 * lanes < width and executions > warps:
        remarks.append(f"{S.LANES * lanes / width:.3g} of {S.LANES} threads of a warp run this, the others wait")
    operations = Counter()
    for site in sites:
        if site.kind in _OPERATIONS.values():
            operations[site.kind] += site.executions
    moves = ("load", "store")
    return {
        "executions": executions,
        "lanes": lanes,
        "width": width,
        "loads": total("executions", ("load",)),
        "stores": total("executions", ("store",)),
        "transactions": total("cost", moves, _GLOBAL),
        "ideal_transactions": total("ideal", moves, _GLOBAL),
        "passes": total("cost", moves, _SHARED),
        "ideal_passes": total("ideal", moves, _SHARED),
        "atomics": total("executions", ("atomic",)),
        "conflicts": total("cost", ("atomic",)) - total("ideal", ("atomic",)),
        "barriers": total("barriers"),
        "warp_operations": dict(sorted(operations.items())),
        "remarks": tuple(sorted(set(filter(None, remarks)))),
    }


def _rows(recorder, function, warps):
    lines = {}
    for name, site in recorder.sites.items():
        where = site.code.co_filename, site.code.co_firstlineno, site.code.co_name, site.line
        lines.setdefault(where, {})[name] = site
    own = function.__code__.co_filename, function.__code__.co_firstlineno
    for where in sorted(lines, key=lambda where: (where[:2] != own, where)):
        file, _, name, line = where
        text = linecache.getline(file, line).strip()
        yield Row(file, name, line, text, **_row(lines[where], warps))


# --- the public face ------------------------------------------------------------------------------------------------


class Profiled:
    """A kernel whose launches are counted; see `profile`."""

    def __init__(self, kernel, chosen):
        self.py_func, self.options = compat.python_function(kernel), chosen
        if self.py_func is None:
            raise TypeError(f"kernel: a kernel of @cuda.jit or a function, not {type(kernel).__name__}")

    def __getitem__(self, configuration):
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise ValueError(
                "launch configuration: [grid, block], [grid, block, stream] or [grid, block, stream, shared]"
            )
        return functools.partial(self._launch, *configuration, *(0, 0)[len(configuration) - 2 :])

    def _launch(self, grid, block, stream, shared, *arguments):
        grid, block, shared = _launch.extents(grid, "grid"), _launch.extents(block, "block"), operator.index(shared)
        _launch.check_configuration(grid, block, shared)
        arguments = [_launch.host(value, f"argument {k}") for k, value in enumerate(arguments)]
        recorder = _record(self.py_func, grid, block, arguments, shared, self.options)
        warps = math.prod(grid) * -(-math.prod(block) // S.LANES)
        return Profile(self.py_func.__name__, grid, block, tuple(_rows(recorder, self.py_func, warps)))


def _record(function, grid, block, arguments, shared, chosen):
    """Run a kernel in an interpreter of its own; what was seen of it."""
    from .interpreted import arrays, numbers, runner

    interpreter = runner.Interpreter()
    machine = interpreter.machine
    recorder = Recorder(machine, numbers.NAMESPACE, function.__code__, block)
    request, machine.watch = machine.hand_over, recorder.on_shared

    def hand_over(kind, op=0, *values, **named):
        recorder.on_request(kind, op)
        return request(kind, op, *values, **named)

    machine.hand_over = hand_over
    names = function.__code__.co_varnames
    given = [arrays.argument(value, name, recorder.on_global) for name, value in zip(names, arguments, strict=False)]
    call = interpreter._rebinder.function(function)
    with np.errstate(all="ignore"):
        machine.run(
            lambda: call(*given), grid, block, shared, seed=chosen.seed, slots=chosen.resident, strict=True
        )  # fmt: skip
    recorder.finish()
    return recorder


def profile(kernel, *, seed=0, resident=16):
    """Count what a kernel asks of a GPU, by source line, with no GPU.

    The kernel runs in the interpreted engine and its results are in the arrays. Two runs count the same.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``, or function
    seed, resident : int, optional
        As `simulate` takes them.

    Returns
    -------
    profiled : Profiled
        Called as the kernel is, ``profiled[grid, block, stream, shared](*arguments)``, it returns a `Profile`.

    Raises
    ------
    SimulatorError
        From the call: a barrier or a warp operation that not all threads reach, a launch that no device takes.

    See Also
    --------
    simulate : Runs a kernel with all checks.

    Notes
    -----
    Accesses to arguments and shared memory are counted; those to local and constant memory are not. Arrays are taken
    to begin where CUDA's allocations do, at a multiple of 256 bytes. Every access counts, though a compiler may keep
    a value in a register, and a cache may have a sector already. Lanes that come to an instruction in different
    rounds of a loop count as coming together, unless a barrier is between.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.simulator import profile
    >>> @cuda.jit
    ... def every_other(x, y):
    ...     i = cuda.grid(1)
    ...     y[i] = x[2 * i]
    >>> found = profile(every_other)[2, 64](np.arange(256, dtype=np.float32), np.zeros(128, np.float32))
    >>> row = found.line("y[i] = x[2 * i]")
    >>> row.transactions, row.ideal_transactions
    (48, 32)
    >>> row.remarks
    ('each warp touches 8 sectors where 4 would do: neighbouring threads read addresses 8 bytes apart',)
    """
    return Profiled(kernel, _launch.options("interpreted", "convergence", seed, resident))

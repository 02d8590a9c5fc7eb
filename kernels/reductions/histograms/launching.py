"""How the samples of a histogram lie, and launches over them."""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from ...device.instructions import SIMULATED
from ...device.scalar import native_type
from ...runtime import memory
from ...runtime.arrays import Pointer
from ...runtime.engines import recorder
from ...runtime.launch import Launch, Program, code, registers
from ...runtime.layouts import VECTOR, collapse
from .counting import THREADS, Samples

_program = functools.lru_cache(maxsize=1024)(Program)


# --- memory -----------------------------------------------------------------------------------------------------------


class Rooms:
    """Arrays for sums, which begin as zeros, for the launches on one stream that add to them and read them.

    `words` are what launches take for them.
    """

    def __init__(self, arrays, device, stream, name):
        if SIMULATED:
            self.words = [np.zeros(size, dtype) for dtype, size in arrays]
            return
        sizes = [-(-np.dtype(dtype).itemsize * size // VECTOR) * VECTOR for dtype, size in arrays]
        self._buffer = memory.Buffer(sum(sizes), device, stream, name)
        clear(self._buffer.pointer, sum(sizes), device, stream)
        self.words = [self._buffer.pointer + sum(sizes[:k]) for k in range(len(sizes))]


def clear(word, nbytes, device, stream):
    """Set memory to zero: what a launch takes for an array of so many bytes."""
    if SIMULATED:
        word[:] = 0
        return
    with memory.active(device):
        memory.check(memory.driver.cuMemsetD8Async(word, 0, nbytes, stream), "clearing sums")


def fetched(word, dtype, size, device, stream, name):
    """What the array of a room holds, on the host."""
    if SIMULATED:
        return word
    values = np.empty(size, dtype)
    memory.download(word, values, device, stream, name)
    return values


# --- arguments of kernels -----------------------------------------------------------------------------------------


class Argument(NamedTuple):
    """An argument of a kernel: its Numba type, its words on a GPU, and its value in the simulator.

    Words that are codes, and values that are `Given`, come with each launch.
    """

    native: types.Type
    words: tuple
    value: object


class Given(NamedTuple):
    """In place of what comes with each launch: one pointer, an array, or a tuple of so many pointers."""

    pointers: int | None

    def of(self, words):
        """What the kernel takes, of an iterator over what is given."""
        if self.pointers is None:
            return next(words)
        taken = [next(words) for _ in range(self.pointers or 1)]
        taken = tuple(Pointer(x) if isinstance(x, np.ndarray) else x for x in taken)
        return taken if self.pointers else taken[0]


# Numba makes and compares types slowly: what follows took 120 us a launch before it kept them.


@functools.lru_cache(maxsize=256)
def pointers(dtypes):
    """A tuple of pointers that come with each launch."""
    native = types.Tuple([types.CPointer(native_type(d)) for d in dtypes])
    return Argument(native, ("Q",) * len(dtypes), Given(len(dtypes)))


@functools.cache
def pointer(dtype):
    """A pointer that comes with each launch."""
    return Argument(types.CPointer(native_type(dtype)), ("Q",), Given(0))


@functools.cache
def _array(dtype):
    return types.Array(native_type(dtype), 1, "C")


def array(dtype, size):
    """An array without gaps that comes with each launch."""
    step = np.dtype(dtype).itemsize
    return Argument(_array(dtype), (0, 0, size, step, "Q", size, step), Given(None))


def tables(found, device):
    """A tuple of pointers to the values of `Table`s; on no device, where kernels are only compiled, to nothing."""
    native = pointers(tuple(t.dtype for t in found)).native
    if SIMULATED:
        return Argument(native, (), tuple(Pointer(t.values) for t in found))
    return Argument(native, tuple(0 if device is None else t.on(device) for t in found), None)


@functools.lru_cache(maxsize=256)
def _tuples(natives):
    return types.Tuple([_tuples(each) if isinstance(each, tuple) else each for each in natives])


def row(values):
    """A tuple of equal NumPy scalars."""
    values = tuple(values)
    return Argument(_tuples((native_type(values[0].dtype),) * len(values)), _words(values), values)


def steps(x, long):
    """Arguments that say where the elements of an operand are: their number, its shape, its strides."""
    count = np.uint64 if long else np.uint32
    n = count(np.prod(x.shape, dtype=np.int64))
    return [number(n), row(map(count, x.shape)), row(map(np.int64, x.strides))]


def number(value):
    """A NumPy scalar."""
    return Argument(native_type(value.dtype), _words((value,)), value)


def numbers(values, natives):
    """A tuple of tuples of NumPy scalars, of these Numba types."""
    return Argument(_tuples(natives), sum(map(_words, values), ()), values)


def _words(values):
    """NumPy scalars as integers of the same bytes."""
    parts = (part for v in values for part in ((v.real, v.imag) if v.dtype.kind == "c" else (v,)))
    return tuple(int.from_bytes(part.tobytes(), "little") for part in parts)


# --- launches -----------------------------------------------------------------------------------------------------


def prepared(kernel, arguments, grid, device, name, shared=0, threads=THREADS, resident=False):
    """What launches a kernel: it is called with a raw stream and the words of the arguments that come with a launch.

    `resident` when blocks stride over elements along the second axis of `grid`, so that no more are launched than a
    device runs at once.
    """
    if SIMULATED:

        def run(stream, *given):
            words = iter(given)
            values = [x.value.of(words) if isinstance(x.value, Given) else x.value for x in arguments]
            kernel[grid, threads, 0, shared](*values)

        return run

    def configure(function):
        across, along = grid
        if resident:
            found = limits(device)
            most = found.multiprocessors * found.blocks(registers(function), threads, shared)
            along = min(along, max(most // across, 1))
        return (across, along, 1), (threads, 1, 1), shared

    program = _program(kernel, tuple(x.native for x in arguments))
    return Launch(program, device, configure, [w for x in arguments for w in x.words], name)


def over(samples, n, device, threads=THREADS):
    """Blocks of a grid over n elements: those that a device may run at once, or fewer."""
    if SIMULATED:
        return min(-(-n // (4 * THREADS)), 3)
    found = limits(device)
    return min(-(-n // (threads * samples.width)), found.multiprocessors * (found.threads // threads))


class Steps:
    """Several launches as one: ``steps(stream, *words)``.

    Parameters
    ----------
    run : callable
        ``run(stream, *words)``.
    launches : list
        That `run` calls.
    task : object
        What holds the tables that the launches read, for as long as they may.
    """

    def __init__(self, run, launches, task):
        self._run, self._launches, self._task = run, launches, task

    def load(self):
        """Load the kernels, where that has not been done."""
        for each in self._launches:
            each.load()

    def __call__(self, stream, *words):
        """Launch in the order of `stream`."""
        self._run(stream, *words)
        if SIMULATED:
            return
        recording = recorder()
        if recording is not None:
            recording.keep(self)
        elif memory.check(memory.driver.cuStreamIsCapturing(stream), "asking a stream") is _CAPTURED:
            _of_graphs.append(self)


_of_graphs = []
_CAPTURED = memory.driver.CUstreamCaptureStatus.CU_STREAM_CAPTURE_STATUS_ACTIVE


class Limits(NamedTuple):
    """What a device has: multiprocessors, and threads, registers and bytes of shared memory of one and of a block."""

    multiprocessors: int
    threads: int
    registers: int
    shared: int
    block_shared: int

    def blocks(self, registers, threads, shared):
        """Blocks of a kernel that a multiprocessor runs at once; registers are given out by 256 to a warp."""
        warps = self.registers // (-(-registers // 8) * 8 * 32)
        return max(1, min(warps * 32 // threads, self.threads // threads, self.shared // (shared + 1024)))

    @property
    def columns(self):
        """Bytes that the counters of a block may fill with columns: a third of what a multiprocessor has."""
        return self.shared // 3 - 1024


H100 = Limits(132, 2048, 65536, 228 << 10, 226 << 10)


@functools.cache
def limits(device):
    """The `Limits` of a device; small ones in the simulator, so that small tests come to all ways of counting."""
    if SIMULATED:
        return Limits(1, 1024, 65536, 12 << 10, 4 << 10)
    from numba import cuda

    gpu = cuda.gpus[device]
    return Limits(
        gpu.MULTIPROCESSOR_COUNT,
        gpu.MAX_THREADS_PER_MULTIPROCESSOR,
        gpu.MAX_REGISTERS_PER_MULTIPROCESSOR,
        gpu.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
        gpu.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN - 1024,
    )


# --- samples ----------------------------------------------------------------------------------------------------------


def samples_of(xs):
    """`Samples` that says how operands of one shape lie, the argument that says where elements are, and their number.

    An array that does not begin at a multiple of 16 bytes begins somewhere else in the next launch: how many elements
    lie before the first such multiple comes with each launch then, see `headed`.
    """
    shape, strides = collapse(xs[0].shape, [x.strides for x in xs])
    n = int(np.prod(shape, dtype=np.int64))
    long = n >= 2**31
    count = np.uint64 if long else np.uint32
    native = native_type(count)
    if len(shape) > 1 or any(s != (1,) for s in strides):
        parts = row(map(count, shape)), row(np.int64(s) for steps in strides for s in steps)
        words = (n, *parts[0].words, *parts[1].words)
        natives = native, (native,) * len(shape), (types.int64,) * (len(xs) * len(shape))
        place = Argument(_tuples(natives), words, (count(n), *(p.value for p in parts)))
        return Samples(len(xs), len(shape), 1, False, long), place, n
    size = max(x.dtype.itemsize for x in xs)
    begins = [x.pointer % VECTOR for x in xs]
    headed = len(xs) == 1 and begins[0] % size == 0 and begins != [0] and size < VECTOR
    width = VECTOR // size
    while not headed and any(b % (width * x.dtype.itemsize) for b, x in zip(begins, xs, strict=True)) and width > 1:
        width //= 2
    head = min(head_of(xs[0].pointer, size), n) if headed else 0
    words = (n, code(native)[0]) if headed else (n, 0)
    place = Argument(_tuples((native, native)), words, (count(n), count(head)))
    return Samples(len(xs), 0, width, headed or not any(begins), long), place, n


def head_of(pointer, size):
    """How many elements lie before the first multiple of 16 bytes."""
    return -pointer % VECTOR // size


def headed(launch, place, n, size):
    """`launch`, given how many elements lie before a multiple of 16 bytes, where `place` does not know."""
    if SIMULATED or not isinstance(place.words[-1], str):
        return launch

    def run(stream, x, *words):
        launch(stream, min(head_of(x, size), n), x, *words)

    run.load = launch.load
    return run

"""`simulate`: one kernel on the processor."""

import ctypes
import functools
import math
import operator
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

from . import compat, errors
from . import state as S

#: What ends a kernel from outside, and is no fault that the interpreted engine could explain.
ENDED = (errors.KernelTimeoutError, errors.StackOverflowError)

#: What is checked, by name.
CHECKS = ("races", "bounds", "initialization", "alignment", "convergence", "limits", "copies")

ENGINES = ("compiled", "interpreted")

#: Threads from which on a launch is divided among the processor's cores; below, handing over costs more.
MANY = 1 << 15


#: Threads up to which a launch that failed is run again as Python, which takes some 20 us for each.
EXPLAINED = 1 << 20


class SimulatorWarning(UserWarning):
    """The compiled engine does not take a kernel, and why; or the checks cannot follow a launch."""


class Options(NamedTuple):
    """How a kernel is simulated; see `simulate`."""

    engine: str = "compiled"
    checks: frozenset = frozenset(CHECKS)
    seed: int = 0
    resident: int = 16
    timeout: float | None = None
    debug: bool = False  # a kernel of ``cuda.jit(debug=True)``: divisions by zero raise


def checks_named(checks):
    """A set of checks from ``"all"``, ``"none"``, names with commas between, or an iterable of names."""
    if isinstance(checks, str):
        checks = {"all": CHECKS, "none": ()}.get(checks) or [
            name for name in checks.split(",") if name and name != "none"
        ]
    found = frozenset(map(str.strip, checks))
    if unknown := found - set(CHECKS):
        raise ValueError(f"checks: {', '.join(sorted(unknown))} is none of {', '.join(CHECKS)}, all and none")
    return found


def options(engine=None, checks=None, seed=0, resident=16, timeout=None):
    """Options, checked; those that are None from ``KERNELS_SIMULATOR_ENGINE``, ``_CHECKS`` and ``_TIMEOUT``."""
    engine = engine or os.environ.get("KERNELS_SIMULATOR_ENGINE", "compiled")
    if engine not in ENGINES:
        raise ValueError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
    if checks is None:
        checks = os.environ.get("KERNELS_SIMULATOR_CHECKS", "all")
    if resident < 1:
        raise ValueError(f"resident: at least one block, not {resident}")
    if timeout is None:
        timeout = os.environ.get("KERNELS_SIMULATOR_TIMEOUT") or None
    if timeout is not None and not (timeout := float(timeout)) > 0:
        raise ValueError(f"timeout: more than 0 seconds, not {timeout}")
    return Options(engine, checks_named(checks), operator.index(seed), operator.index(resident), timeout)


def extents(value, name):
    """Three extents of a grid or a block from one to three of them."""
    parts = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        parts = tuple(map(operator.index, parts))
    except TypeError:
        raise TypeError(f"{name}: one to three whole numbers, not {value!r}") from None
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{name}: one to three whole numbers, not {len(parts)}")
    return parts + (1,) * (3 - len(parts))


def check_configuration(grid, block, shared):
    """Refuse what no device takes (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability")."""
    if min(grid) < 1 or min(block) < 1:
        raise errors.LaunchError(f"grid {grid} and block {block}: every extent is at least 1")
    if math.prod(block) > 1024 or block[2] > 64:
        raise errors.LaunchError(f"block {block}: at most 1024 threads, 64 of them in z")
    if grid[0] >= 2**31 or max(grid[1:]) > 65535:
        raise errors.LaunchError(f"grid {grid}: at most 2147483647 x 65535 x 65535 blocks")
    if not 0 <= shared <= S.MOST_SHARED:
        raise errors.LaunchError(f"shared: 0 to {S.MOST_SHARED} bytes, not {shared}")


def host(value, name="argument"):
    """An argument in memory of the processor."""
    if isinstance(value, tuple):
        parts = [host(part, f"{name}[{k}]") for k, part in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, np.ndarray) or np.isscalar(value) or isinstance(value, np.generic):
        return value
    if (array := getattr(value, "_ary", None)) is not None:  # an array of the stock simulator
        return array
    if hasattr(value, "__cuda_array_interface__"):
        raise TypeError(f"{name} is in device memory: copy it to the host to simulate with it")
    return value


def arrays_in(values):
    """The arrays among arguments, those in tuples too."""
    for value in values:
        if isinstance(value, tuple):
            yield from arrays_in(value)
        elif isinstance(value, np.ndarray):
            yield value


def launch(function, grid, block, arguments, shared, chosen, types=None):
    """Run a kernel's Python function over a grid.

    Parameters
    ----------
    function : function
    grid, block : int or tuple of int
    arguments : sequence
        NumPy arrays, numbers and tuples of them.
    shared : int
        Bytes of dynamic shared memory.
    chosen : Options
    types : tuple of Numba types, optional
        Those of the arguments where the kernel declares them.
    """
    _launch(function, extents(grid, "grid"), extents(block, "block"), arguments, shared, chosen, types)


def _launch(function, grid, block, arguments, shared, chosen, types=None):
    shared = operator.index(shared)
    check_configuration(grid, block, shared)
    arguments = tuple(host(value, f"argument {k}") for k, value in enumerate(arguments))
    if chosen.engine == "compiled" and not hasattr(function, "of_scalars"):
        reason = _run_compiled(function, grid, block, arguments, shared, chosen, types)
        if reason is None:
            return
        _note(function, reason)
    try:
        _run_interpreted(function, grid, block, arguments, shared, chosen, types)
    except _OF_NAMES_AND_TYPES:
        if chosen.engine == "interpreted":
            _infer(function, arguments, chosen, types)
        raise


#: What Python raises where Numba may have found an error of types.
_OF_NAMES_AND_TYPES = (NameError, TypeError, AttributeError, NotImplementedError, errors.LaunchError)


def _infer(function, arguments, chosen, types):
    """Raise what the compiler says of a kernel that failed as Python, where every CUDA target would say it."""
    from .compiled import engine

    try:
        types = types or tuple(map(engine.type_of, arguments))
    except ValueError:  # an argument without a type
        return
    precompile(function, types, chosen)


@functools.lru_cache(maxsize=256)
def _note(function, reason):
    name = getattr(function, "__qualname__", function)
    warnings.warn(f"{name} runs in the interpreted engine: {reason}", SimulatorWarning, stacklevel=4)


# --- the interpreted engine -----------------------------------------------------------------------------------


@functools.cache
def _interpreter():
    from .interpreted import runner

    return runner.Interpreter(), threading.RLock()


def _run_interpreted(function, grid, block, arguments, shared, chosen, types=None):
    interpreter, lock = _interpreter()
    try:
        with lock, _Deadline(chosen.timeout):
            interpreter.run(function, grid, block, arguments, shared, chosen, types)
    except RecursionError as error:
        raise errors.StackOverflowError(f"calls that do not fit on a thread's stack: {error}") from error


class _Deadline:
    """Raises `KernelTimeoutError` in this thread of the host when its time is up: a context."""

    def __init__(self, seconds):
        self._seconds, self._over, self._sent, self._lock = seconds, False, False, threading.Lock()
        self._thread = ctypes.c_ulong(threading.get_ident())

    def __enter__(self):
        if self._seconds is not None:
            self._timer = threading.Timer(self._seconds, self._raise)
            self._timer.daemon = True
            self._timer.start()

    def _raise(self):
        with self._lock:
            if not self._over:
                self._sent = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, ctypes.py_object(errors.KernelTimeoutError))

    def __exit__(self, kind, *_):
        if self._seconds is None:
            return
        try:
            with self._lock:
                self._over = True
            self._timer.cancel()
            # One that was sent comes here at the latest. To take it back leaves CPython 3.11 looking for it for ever,
            # and a traced function then never begins.
            while self._sent and kind is not errors.KernelTimeoutError:
                pass
        except errors.KernelTimeoutError:
            kind = kind or errors.KernelTimeoutError
        if kind is errors.KernelTimeoutError:
            raise errors.KernelTimeoutError(f"the kernel ran for more than {self._seconds} seconds") from None


# --- the compiled engine --------------------------------------------------------------------------------------


@functools.cache
def _modules():
    """What the compiled engine is made of; a statement that imports takes 2 us each time."""
    from .compiled import engine, fibers, refusals

    return engine, fibers, refusals


@functools.cache
def _compiler():
    return _modules()[0].Engine()


_cores = functools.cache(lambda: os.cpu_count() or 1)  # asking takes 15 us


@functools.cache
def _workers(count):
    return [_modules()[0].Worker() for _ in range(count)], ThreadPoolExecutor(count), threading.RLock()


def precompile(function, types, chosen):
    """Compile a kernel for the types that it declares, so that its own faults show where it is declared.

    Raises
    ------
    TypingError
        Where no CUDA target takes the kernel; what only the compiled engine does not take shows at a launch.
    """
    _compiled(function, types, chosen if chosen.engine == "compiled" else chosen._replace(checks=frozenset()))


def _compiled(function, types, chosen):
    """A kernel compiled for types, or why it cannot be."""
    engine, fibers, refusals = _modules()
    if not fibers.supported():
        return "this machine has no native fibres"
    try:
        return _compiler().kernel(function, types, chosen.checks)
    except engine.REFUSALS as error:
        if refusals.by_any_target(error):
            if chosen.checks:  # the arrays that are checked are a type of their own
                _compiled(function, types, chosen._replace(checks=frozenset()))
            else:
                raise compat.error_of_cuda(error) from None
        return refusals.reason(error)


def _run_compiled(function, grid, block, arguments, shared, chosen, types=None):
    """Run a kernel compiled; why it cannot be, or None."""
    engine, *_ = _modules()
    kernel = _compiled(function, types or tuple(map(engine.type_of, arguments)), chosen)
    if isinstance(kernel, str):
        return kernel
    explained = chosen.checks and math.prod(grid) * math.prod(block) <= EXPLAINED
    saved = [(array, array.copy()) for array in arrays_in(arguments)] if explained else None
    try:
        _launch_compiled(engine, kernel, grid, block, arguments, shared, chosen)
    except Exception as error:
        if saved is None or isinstance(error, ENDED):
            if chosen.checks and not explained and hasattr(error, "add_note"):  # from Python 3.11 on
                error.add_note(f"source lines are found in launches of up to {EXPLAINED} threads")
            raise
        for array, before in saved:
            if array.flags.writeable:
                array[...] = before
        try:
            _run_interpreted(function, grid, block, arguments, shared, chosen._replace(timeout=None), types)
        except Exception as other:
            # What the interpreted engine has no name for, an extension of Numba's types, is not what went wrong.
            if isinstance(error, errors.SimulatorError) and not isinstance(other, errors.SimulatorError):
                raise error from None
            raise
        raise  # the interpreted engine did not see it
    return None


def _launch_compiled(engine, kernel, grid, block, arguments, shared, chosen):
    threads = math.prod(grid) * math.prod(block)
    cores = _cores()
    count = cores if threads >= MANY and kernel.alone and not chosen.seed and not chosen.checks else 1
    workers, pool, lock = _workers(cores)
    run = functools.partial(engine.run, kernel, grid, block, arguments, shared, chosen)
    with lock:
        if count == 1:
            if run(workers[0], 0, 1):
                text = "more memory or order than the checks follow: races may have gone unreported"
                warnings.warn(text, SimulatorWarning, stacklevel=5)
        else:
            _together(workers, [pool.submit(run, workers[k], k, count) for k in range(count)])


def _together(workers, parts):
    """Wait for all parts of a launch; where one fails, or Ctrl-C is pressed, end the others."""
    try:
        for part in parts:
            part.result()
    except BaseException:
        while wait(parts, 0.01).not_done:
            for worker in workers:
                worker.stop()
        raise


# --- the public face ------------------------------------------------------------------------------------------


class Configured:
    """A kernel with the grid that it is launched over."""

    def __init__(self, function, chosen, grid, block, stream=0, shared=0):
        self._launch = functools.partial(_launch, function, extents(grid, "grid"), extents(block, "block"))
        self._shared, self._chosen = shared, chosen

    def __call__(self, *arguments):
        """Launch it."""
        self._launch(arguments, self._shared, self._chosen)


class Simulated:
    """A kernel on the processor: ``simulated[grid, block, stream, shared](*arguments)``."""

    def __init__(self, kernel, chosen):
        function = compat.python_function(kernel)
        if function is None:
            raise TypeError(f"kernel: a kernel of @cuda.jit or a function, not {type(kernel).__name__}")
        self.py_func, self.options = function, chosen

    def __getitem__(self, configuration):
        if not isinstance(configuration, tuple) or not 2 <= len(configuration) <= 4:
            raise ValueError(
                "launch configuration: [grid, block], [grid, block, stream] or [grid, block, stream, shared]"
            )
        return Configured(self.py_func, self.options, *configuration)

    def forall(self, count, tpb=128, stream=0, sharedmem=0):
        """The kernel over at least `count` threads."""
        tpb = tpb or 128
        return self[max(1, -(-operator.index(count) // tpb)), tpb, stream, sharedmem]


def simulate(kernel, *, engine=None, checks=None, seed=0, resident=16, timeout=None):
    """Run a CUDA kernel on the processor, with no GPU and no environment variable.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``, or function
        Of numba-cuda, of Numba's own ``numba.cuda``, or of numba-cuda-mlir.
    engine : {"compiled", "interpreted"}, optional
        Compiled for the processor, or run as Python; by default ``KERNELS_SIMULATOR_ENGINE``, else compiled.
        A kernel that the compiled engine cannot take is interpreted, with a `SimulatorWarning` that says why.
    checks : "all", "none" or iterable of str, optional
        Of races, bounds, initialization, alignment, convergence, limits and copies; by default
        ``KERNELS_SIMULATOR_CHECKS``, else all.
    seed : int, optional
        0 runs threads, warps and blocks in ascending order; any other number draws the order.
    resident : int, optional
        Blocks that may be resident at once; a kernel whose blocks wait for more of them does not end on a device
        with that many places, and is reported.
    timeout : float, optional
        Seconds after which a launch is ended, by default ``KERNELS_SIMULATOR_TIMEOUT``, else none; Ctrl-C always
        ends it.

    Returns
    -------
    simulated : Simulated
        Called as the kernel is: ``simulated[grid, block, stream, shared](*arguments)``. Returns when the kernel has
        ended.

    Raises
    ------
    SimulatorError
        From the call: what the checks found, by subclass (`RaceError`, `OutOfBoundsError`, ...).

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.simulator import simulate
    >>> @cuda.jit
    ... def scale(x, a):
    ...     i = cuda.grid(1)
    ...     if i < x.size:
    ...         x[i] *= a
    >>> x = np.arange(4.0)
    >>> simulate(scale)[1, 32](x, 3)
    >>> x
    array([0., 3., 6., 9.])
    """
    return Simulated(kernel, options(engine, checks, seed, resident, timeout))

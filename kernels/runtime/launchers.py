"""The quick launch for a kernel of one's own.

The first launch with arguments of certain types and layouts goes through all that Numba asks of them; later ones go
through code written for these (`kernels.runtime.quick`), and one driver call.
"""

import functools
import struct
import threading

from numba import cuda, types

from ..device.instructions import SIMULATED
from . import engines, quick
from .arrays import operand, producer, stream_handle
from .frameworks import opaque
from .launch import Launch, Program, code
from .memory import current_device, follow

#: Configurations of a kernel that are remembered, and layouts of arguments in all of them; the oldest go first.
KEPT = 256


def launcher(kernel):
    """A quick launch for a ``@cuda.jit`` kernel.

    Parameters
    ----------
    kernel : dispatcher of ``@cuda.jit``

    Returns
    -------
    launch : object
        ``launch[grid, block, stream, shared](*args)`` does what ``kernel[grid, block, stream, shared](*args)`` does,
        in a fraction of the host's time. `stream` and `shared` may be left out. Beside Numba's and cuda.core's
        streams, it takes CuPy's and PyTorch's and raw handles; `shared` may be as much as the device has.

    Raises
    ------
    TypeError
        For what is no kernel.

    Notes
    -----
    Arguments may be Numba's, CuPy's and PyTorch's arrays on the device, numbers of every dtype, pointers, and tuples of
    these; a launch waits on the device, not on the host, for the streams that CuPy and PyTorch are working on. Anything
    else (NumPy arrays, records, ``debug=True``, extensions) is launched by Numba, and so is what Numba would raise for.

    Kernels in clusters, with launch bounds, and such that synchronise their grid are launched in the same way; compiled
    kernels are kept on disk (see `kernels.runtime.images`). In the simulator this is the ordinary launch.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import cuda
    >>> from kernels.runtime import launcher
    >>> @cuda.jit
    ... def scale(x, a):
    ...     i = cuda.grid(1)
    ...     if i < x.size:
    ...         x[i] *= a
    >>> quick_scale = launcher(scale)
    >>> x = cuda.to_device(np.arange(4.0))
    >>> quick_scale[1, 32](x, 2.0)
    >>> x.copy_to_host()
    array([0., 2., 4., 6.])
    """
    if SIMULATED:
        return _SimulatedLauncher(kernel)
    from numba.cuda.dispatcher import CUDADispatcher

    if not isinstance(kernel, CUDADispatcher):
        raise TypeError(f"kernel must be a kernel of @cuda.jit, got {type(kernel).__qualname__}")
    # The two know one another, and are forgotten together.
    return kernel.__dict__.setdefault("_quick_launcher", Launcher(kernel))


class _SimulatedLauncher:
    """The ordinary launch, which a graph can record."""

    def __init__(self, kernel):
        if not hasattr(kernel, "__getitem__"):
            raise TypeError(f"kernel must be a kernel of @cuda.jit, got {type(kernel).__qualname__}")
        self._kernel = kernel

    def __getitem__(self, configuration):
        configured = self._kernel[configuration]

        def launch(*args):
            recording = engines.recorder()
            if recording is None:
                configured(*args)
            else:
                recording.defer(functools.partial(configured, *args))

        return launch

    def __call__(self, *args):
        return self._kernel(*args)


class Launcher:
    """What `launcher` returns for a kernel."""

    def __init__(self, kernel):
        self.kernel = kernel
        self._configured, self._programs, self._lock = {}, {}, threading.Lock()
        self.runs, self.seen = {}, {}

    def __getitem__(self, configuration):
        try:
            return self._configured[configuration]
        except (KeyError, TypeError):  # Numba says what is wrong with what has no hash
            made = _Configured(self, configuration)
        self.remember(self._configured, configuration, made)
        return made

    def __call__(self, *args):
        """Raise what a kernel does that is called without a launch configuration."""
        return self.kernel(*args)

    def remember(self, known, key, value):
        """Add to what is known; the oldest is forgotten."""
        with self._lock:
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = value

    def program(self, signature):
        """The kernel for a signature."""
        with self._lock:
            return self._programs.setdefault(signature, Program(self.kernel, signature))


def _configuration(kernel, parts):
    """Numba's launch configuration, and the raw handle of its stream."""
    if not isinstance(parts, tuple) or len(parts) < 3:
        return kernel[parts], 0
    grid, block, stream, *shared = parts
    handle = stream_handle(stream) or 0
    if not isinstance(stream, cuda.cudadrv.driver.Stream):
        stream = cuda.external_stream(handle) if handle else 0
    return kernel[(grid, block, stream, *shared)], handle


class _Configured:
    """A kernel with its launch configuration."""

    def __init__(self, launcher, parts):
        self._launcher = launcher
        self._kernel = launcher.kernel  # lives as long as what launches it
        self._numba, self._stream = _configuration(self._kernel, parts)
        self._run = self._full

    @opaque
    def __call__(self, *args):
        self._run(*args)

    def _full(self, *args):
        """Launch after a full look at the arguments."""
        if (recording := engines.recorder()) is not None:
            self._recorded(args, recording)
            return
        described = _described(args)
        if described is None or self._numba.pre_launch_callbacks:
            self._numba(*args)
            return
        described = self, current_device(), described
        run = self._launcher.runs.get(described)
        if run is not None and run is self._run:  # which could not, so that Numba shall
            self._numba(*args)
            _renew(run, args)
        elif run is not None:
            self._run = run
            run(*args)
        elif described in self._launcher.seen:
            self._keep(described, args)
        else:  # code takes longer to write than a launch: layouts that are ever new get none
            self._once(args, self._stream)
            self._launcher.remember(self._launcher.seen, described, None)

    def _keep(self, described, args):
        """Write the code for arguments of these types and layouts, and run it."""
        found = self._source(args)
        if found is None:
            self._numba(*args)
            return
        run = found[0].function(found[1], self._stream, self._numba.pre_launch_callbacks, self._full)
        _renew(run, args)
        self._launcher.remember(self._launcher.runs, described, run)
        self._run = run
        run(*args)

    def _once(self, args, stream, numba=None):
        """Launch on a stream without writing code for it; Numba does what that cannot."""
        found = self._source(args)
        if found is not None:
            source, launch = found
            try:
                for current in source.producers.values():
                    follow(stream, current(), current_device())
                launch(stream, *source.values)
                return
            except _NUMBAS:
                pass
        (numba or self._numba)(*args)

    def _recorded(self, args, recording):
        """Launch on the stream of a recording."""
        if self._stream:
            raise ValueError("stream must be left out in a recording, which has a stream of its own")
        recording.keep(*args)
        numba = self._numba
        recorded = self._kernel[numba.griddim, numba.blockdim, recording.stream, numba.sharedmem]
        self._once(args, int(recording.stream.handle), recorded)

    def _source(self, args):
        """The arguments as a launch takes them, and the launch; None where Numba must launch."""
        if self._kernel.targetoptions.get("extensions") or _described(args) is None or current_device() is None:
            return None
        signature = self._signature(args)
        program = self._launcher.program(signature)
        if len(signature) != len(args) or program.image(current_device()) is None:
            return None
        try:
            source = _Source(args, signature)
        except _NoQuickWay:
            return None
        configuration = self._numba.griddim, self._numba.blockdim, self._numba.sharedmem
        name = self._kernel.__name__
        return source, Launch(program, current_device(), lambda _: configuration, source.words, name)

    def _signature(self, args):
        """The types that the kernel is compiled for."""
        kernel = self._kernel
        if kernel.specialized:
            return next(iter(kernel.overloads.values())).argument_types
        if kernel._can_compile:
            return tuple(map(kernel.typeof_pyval, args))
        # Declared with signatures, to which Numba casts.
        from numba.cuda.cext import _dispatcher
        from numba.cuda.dispatcher import _LAUNCH_CONFIG_KW

        found = _dispatcher.Dispatcher._cuda_call(kernel, *args, **{_LAUNCH_CONFIG_KW: self._numba})
        return found.argument_types


def _described(args):
    """As `quick.describe`, of tuples too."""
    flat = []
    for x in args:
        if isinstance(x, tuple):
            inner = _described(x)
            if inner is None:
                return None
            flat.append((type(x), inner))
        else:
            inner = quick.describe((x,))
            if inner is None:
                return None
            flat += inner
    return tuple(flat)


def _leaves(args):
    return [leaf for x in args for leaf in (_leaves(x) if isinstance(x, tuple) else (x,))]


def _renew(run, args):
    """Have the code of a launch accept the tensors among these arguments, where they are plain memory."""
    leaves = [x for x in _leaves(args) if type(x) not in quick.NUMBERS]
    try:
        tensors = [x for x in leaves if _plain(x).library == "torch"]
    except _NoQuickWay:
        return
    quick.renew(run, tensors)


def _plain(x, name="x"):
    """The operand of an array that a kernel can be given as it is."""
    try:
        found = operand(x, name)
    except (TypeError, ValueError):  # of which Numba has its own opinion
        raise _NoQuickWay from None
    if found.device is None or found.array is not x:  # a lazily negated tensor, say
        raise _NoQuickWay
    return found


#: What Numba is left to raise in its own words: numbers beyond their types, and what the driver refuses.
_NUMBAS = (struct.error, OverflowError, RuntimeError)


class _NoQuickWay(Exception):
    """An argument's type has none."""


class _Source:
    """Arguments as a launch takes them, and the code for others of the same types and layouts.

    Attributes
    ----------
    words : list
        Of `Launch`.
    values : list
        For those that change.
    producers : dict
        Library -> what answers with the stream that it works on.
    """

    def __init__(self, args, signature):
        self.words, self.values, self.producers = [], [], {}
        self._given, self._conditions, self._unpacked, self._tensors, self._facts = [], [], [], [], {}
        self._names = [f"x{k}" for k in range(len(args))]
        for name, x, native in zip(self._names, args, signature, strict=True):
            self._argument(name, x, native)

    def _argument(self, name, x, native):
        if isinstance(native, types.BaseTuple):
            if not isinstance(x, tuple) or len(native) != len(x):
                raise _NoQuickWay
            self._facts[f"{name}_kind"] = type(x)
            inner = [f"{name}_{k}" for k in range(len(x))]
            self._unpacked += [f"    if type({name}) is not {name}_kind or len({name}) != {len(x)}: return full(*args)"]
            self._unpacked += [f"    {', '.join(inner)}, = {name}"] if inner else []
            for each in zip(inner, x, native, strict=True):
                self._argument(*each)
        elif type(x) in quick.NUMBERS:
            self._number(name, x, native)
        elif isinstance(native, types.Array):
            self._array(name, _plain(x, name), type(x))
        else:
            raise _NoQuickWay

    def _number(self, name, x, native):
        try:
            self.words += code(native)
        except TypeError:
            raise _NoQuickWay from None
        # Numba has another kernel for each type, a Python integer's and a Python float's too.
        self._facts[f"{name}_kind"] = type(x)
        self._conditions.append(f"type({name}) is {name}_kind")
        parts = isinstance(native, types.Complex)
        self.values += [x.real, x.imag] if parts else [x]
        self._given += [f"{name}.real", f"{name}.imag"] if parts else [name]

    def _array(self, name, x, kind):
        look = quick.look(name, kind, x)
        if look is None:
            raise _NoQuickWay
        itemsize = x.dtype.itemsize
        size = functools.reduce(int.__mul__, x.shape, 1)
        # As Numba passes arrays: two owners, none here, size, size of an item, address, shape, strides.
        self.words += [0, 0, size, itemsize, "Q", *x.shape, *(s * itemsize for s in x.strides)]
        self.values.append(x.pointer)
        self._facts |= look.facts
        self._conditions += [look.condition] if look.condition else []
        self._given += look.words
        if x.library == "torch":
            self._tensors.append(name)
        if x.library in ("torch", "cupy"):
            self.producers[x.library] = producer(x)

    def function(self, launch, stream, callbacks, full):
        """The function of the arguments that launches."""
        names = [f"producer_{library}" for library in self.producers]
        conditions = list(self._conditions)
        if self._tensors:
            conditions.append(quick.condition(self._tensors))
        lines = [
            "def run(*args):",
            f"    if detours or callbacks or len(args) != {len(self._names)}: return full(*args)",
            f"    {''.join(f'{name}, ' for name in self._names)}= args" if self._names else "",
            *self._unpacked,
            f"    if {' and '.join(conditions) or 'True'}:",
            "        try:",
            *(f"            if (p := {name}()) != stream: follow(stream, p, device)" for name in names),
            *(" " * 12 + line for line in quick.launching("stream", self._given)),
            "            if status is success: return",
            "        except beyond: pass",
            "    full(*args)",
        ]
        facts = self._facts | dict(zip(names, self.producers.values(), strict=True))
        facts |= quick.facts_of(launch, self._tensors) | {
            "stream": stream, "full": full, "callbacks": callbacks, "beyond": _NUMBAS, "follow": follow,
            "device": current_device(),
        }  # fmt: skip
        exec(compile("\n".join(filter(None, lines)), "<quick launch>", "exec"), facts)
        return facts["run"]

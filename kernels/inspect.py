"""What the compiler made of a kernel: registers, spills, memory, instructions, on a machine with no GPU.

A kernel goes the way `@cuda.jit` itself takes for a real device, and no driver is asked for anything::

    Python -> (Numba) LLVM IR -> (NVVM) LTO IR -> (nvJitLink) machine code -> (nvdisasm) SASS

The registers, spills and instruction counts are those of the code that a device would run, and they are
exact: the same kernel and the same compilers give the same bytes every time. They can gate.

Everything but the last step runs inside this process. SASS and the histogram of instructions need
``nvdisasm``, from ``pip install nvidia-cuda-nvdisasm``; nothing else here does.

Examples
--------
>>> from numba import cuda
>>> from kernels import inspect
>>> @cuda.jit
... def scale(a, x):
...     i = cuda.grid(1)
...     if i < x.size:
...         x[i] *= a
>>> report = inspect.compile(scale, "void(float32, float32[::1])", cc=(9, 0))
>>> report.spills, report.local, report.float64
(0, 0, False)
"""

import re
import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary

from numba import config, cuda

from .pairing import REGISTRY
from .runtime import images

__all__ = ["Report", "compile", "histograms"]

# Every instruction since sm_70 is 16 bytes; the low 12 bits of the first word are the opcode.
INSTRUCTION_BYTES = 16
OPCODE_MASK, NOP = 0xFFF, 0x918

# A kernel that synchronises the grid is linked with the device runtime: thirty functions of no concern to it.
DEVICE_RUNTIME = (b".text.__nv_static", b".text.cudaCG")

MEMORY = ("LD", "ST", "ATOM", "RED")
WIDTHS = {"U8", "S8", "U16", "S16", "64", "128", "256"}
WHOLE = ("MUFU", "F2F", "F2I", "I2F", "FRND", "HMMA", "IMMA", "DMMA", "QMMA", "HGMMA", "IGMMA", "QGMMA")

# What `_lower` made of each kernel, by the types of its arguments, for as long as the kernel lives.
_LOWERED = WeakKeyDictionary()


@dataclass(frozen=True)
class Report:
    """What the compiler made of one kernel for one signature and one compute capability.

    Attributes
    ----------
    name : str
        Name of the kernel in PTX and SASS.
    signature : str
        Types of the arguments.
    arch : str
        Real architecture, such as ``"sm_90a"``.
    registers : int
        32-bit registers of a thread.
    spill_stores, spill_loads : int
        Bytes that a thread moves to and from local memory for want of registers.
    shared : int
        Bytes of static shared memory of a block.
    local : int
        Bytes of local memory (stack) of a thread: indexed local arrays, calls and spills.
    barriers : int
        Barriers of a block (``BAR.SYNC`` and its kin use one each).
    ptx : str
        PTX after link-time optimisation.
    cubin : bytes
        The ELF image that a driver loads.
    """

    name: str
    signature: str
    arch: str
    registers: int
    spill_stores: int
    spill_loads: int
    shared: int
    local: int
    barriers: int
    ptx: str = field(repr=False)
    cubin: bytes = field(repr=False)

    @property
    def spills(self):
        """Bytes spilled, stores and loads together."""
        return self.spill_stores + self.spill_loads

    @cached_property
    def instructions(self):
        """Machine instructions of the kernel, without the ``NOP`` that fill the last cache line."""
        code = _machine_code(self.cubin)
        opcodes = (int.from_bytes(code[i : i + 2], "little") for i in range(0, len(code), INSTRUCTION_BYTES))
        return sum(opcode & OPCODE_MASK != NOP for opcode in opcodes)

    @cached_property
    def float64(self):
        """Whether the PTX computes in float64: arithmetic, comparison, conversion or an atomic.

        Loads, stores, moves and selections of float64 values are not arithmetic and do not count.
        """
        # Inline assembly may hold several instructions on a line, in braces.
        opcodes = re.findall(r"(?:^|[;{}])\s*(?:@!?%?\w+\s+)?([a-z]\w*(?:\.\w+)+)\s", self.ptx, re.MULTILINE)
        moves = {"ld", "ldu", "st", "mov", "selp"}
        return any("f64" in o.split(".") and o.split(".")[0] not in moves for o in opcodes)

    @cached_property
    def sass(self):
        """The kernel disassembled, with labels (about 0.4 s in a process of its own, once)."""
        return _nvdisasm(self.cubin, "--print-code")

    @cached_property
    def histogram(self):
        """Instructions by opcode, most frequent first, as `histograms` counts them."""
        (counts,) = _count([self])
        return counts

    @property
    def wide_loads(self):
        """Loads of at least 128 bits from global memory."""
        return self._wide("LD", "LDG")

    @property
    def wide_stores(self):
        """Stores of at least 128 bits to global memory."""
        return self._wide("ST", "STG")

    def _wide(self, *opcodes):
        return sum(self.histogram.get(f"{o}.{w}", 0) for o in opcodes for w in (128, 256))

    def __str__(self):
        rows = [
            ("registers", f"{self.registers}"),
            ("spills", f"{self.spill_stores} B stored, {self.spill_loads} B loaded"),
            ("shared memory", f"{self.shared} B"),
            ("local memory", f"{self.local} B"),
            ("barriers", f"{self.barriers}"),
            ("float64", "yes" if self.float64 else "no"),
            ("instructions", f"{self.instructions}"),
        ]
        if _find_nvdisasm():
            rows += [(f"  {opcode}", f"{count}") for opcode, count in self.histogram.items()]
        width = max(len(label) for label, _ in rows)
        table = "\n".join(f"{label:<{width}}  {value}" for label, value in rows)
        return f"{self.name}({self.signature}) for {self.arch}\n{table}"


def compile(kernel, signature, cc=(9, 0)):
    """Compile `kernel` for `signature` and compute capability `cc`; no GPU and no driver are needed.

    The options given to ``@cuda.jit`` (``fastmath``, ``max_registers``, ``launch_bounds``, ``lto`` ...) are
    honoured, except ``debug`` and ``lineinfo``: a report is about the optimised kernel.

    Parameters
    ----------
    kernel : dispatcher or function
        A kernel made by ``@cuda.jit``, the plain Python function of one, or a public function of this package.
    signature : tuple of Numba types, Numba signature or str
        Types of the arguments: ``(types.float32, types.float32[::1])`` or ``"void(float32, float32[::1])"``; of a
        public function, one of its loops: ``"ff->f"``.
    cc : tuple of two int
        Compute capability. From 9.0 on it stands for the architecture-specific target (``sm_90a``), which is
        what Numba compiles for on such a device.

    Returns
    -------
    report : Report

    Raises
    ------
    RuntimeError
        In a process with ``NUMBA_ENABLE_CUDASIM`` set: the simulator replaces the compiler.
    TypeError
        `kernel` is not a kernel, or `signature` returns a value.
    ValueError
        The installed toolkit does not know `cc`, or the kernel links files of its own.

    Notes
    -----
    Numba makes one LLVM module for all devices, and so does this function: typing and lowering, half of the
    time of a small kernel, are done once for all compute capabilities. Code that asks for the compute
    capability while it is lowered sees the one asked for first. In Numba itself that is
    ``math.tanh`` under ``fastmath`` and float64 atomics, which differ only below 7.5.

    Examples
    --------
    >>> from numba import cuda
    >>> def fill(x, value):
    ...     x[cuda.grid(1)] = value
    >>> compile(fill, "void(float32[::1], float32)", cc=(8, 0)).arch
    'sm_80'
    """
    _refuse_simulator()
    from numba.cuda.core import sigutils

    pair = REGISTRY.get(getattr(kernel, "__name__", None))
    if pair and pair.function is kernel:
        if signature not in pair.loops:
            raise ValueError(
                f"signature must be a loop of {pair.name}, one of {', '.join(pair.loops)}, got {signature!r}"
            )
        ((_, kernel, signature),) = pair.kernels(signature)
    options = _options(kernel)
    arguments, returned = sigutils.normalize_signature(signature)
    if returned not in (None, cuda.types.void):
        raise TypeError(f"signature: a kernel returns void, not {returned}")
    suffix = _architecture(cc)
    name, modules, libraries = _lower(kernel, tuple(arguments), cc)

    lto = options["lto"]
    code = _nvvm(modules, options, suffix, lto)
    target = [f"-arch=sm_{suffix}"]
    if options.get("max_registers"):
        target.append(f"-maxrregcount={options['max_registers']}")
    cubin, log = _link(code, lto, [*target, "-no-cache", "-Xptxas=-v"], libraries)
    # A second link: what it assembles to is close to the first link's code but not equal to it (36 registers
    # instead of 32 in one kernel), so the numbers come from the first, which is the one a device gets.
    ptx = _link(code, lto, [*target, "-ptx"])[0] if lto else code
    return Report(
        name=name,
        signature=", ".join(map(str, arguments)),
        arch=f"sm_{suffix}",
        ptx=ptx.decode().strip("\0\n"),
        cubin=cubin,
        **_resources(log, name),
    )


def histograms(reports):
    """Count the instructions of many kernels by opcode, with one run of ``nvdisasm`` for each architecture.

    ``nvdisasm`` takes 0.3 s to start and a few milliseconds for a kernel, so a thousand reports cost seconds
    here and minutes one at a time. Each report keeps its counts as `Report.histogram`.

    Parameters
    ----------
    reports : iterable of Report

    Returns
    -------
    counts : list of dict of str to int
        One for each report, most frequent opcode first, without ``NOP``. A key is the opcode, with the width
        for memory (``"LDG.128"``, ``"STS.64"``) and all modifiers where they name another operation
        (``"MUFU.RCP"``, ``"F2F.F64.F32"``, ``"HMMA.16816.F32"``).

    Raises
    ------
    FileNotFoundError
        ``nvdisasm`` is not installed.
    """
    reports = list(reports)
    missing = {}
    for report in reports:
        if "histogram" not in vars(report):
            missing.setdefault(report.arch, []).append(report)
    for group in missing.values():
        for report, counts in zip(group, _count(group), strict=True):
            vars(report)["histogram"] = counts
    return [report.histogram for report in reports]


# ---------------------------------------------------------------------------------- Python to LLVM


def _refuse_simulator():
    if config.ENABLE_CUDASIM:
        raise RuntimeError(
            "Numba's CUDA compiler is not there in the simulator: unset NUMBA_ENABLE_CUDASIM and start again"
        )


def _options(kernel):
    from numba.cuda.dispatcher import CUDADispatcher

    if not callable(kernel) and not isinstance(kernel, CUDADispatcher):
        raise TypeError(f"kernel: expected a kernel or a Python function, got {type(kernel).__name__}")
    if not isinstance(kernel, CUDADispatcher):
        kernel = cuda.jit(kernel)
    if kernel.targetoptions["device"]:
        raise TypeError(f"kernel: {kernel.py_func.__name__} is a device function; call it from a kernel")
    return kernel.targetoptions


def _architecture(cc):
    from numba.cuda.cudadrv import nvrtc

    supported = nvrtc.get_supported_ccs()
    if cc not in supported:
        known = ", ".join(f"{major}.{minor}" for major, minor in supported)
        raise ValueError(f"cc: the installed CUDA toolkit does not compile for {cc!r}; it knows {known}")
    major, minor = cc
    return f"{major}{minor}{'a' if major >= 9 else ''}"


def _lower(kernel, arguments, cc):
    """Name of the entry, LLVM modules of the kernel and of what it calls, and libraries to link them with."""
    from numba.cuda.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        lowered = _LOWERED.setdefault(kernel, {})
        if arguments not in lowered:
            with images.current_device(cc):
                lowered[arguments] = _lower_for(kernel, arguments, cc)
        return lowered[arguments]


def _lower_for(kernel, arguments, cc):
    from numba.cuda.cudadrv.libs import get_cudalib

    options = _options(kernel)
    function = getattr(kernel, "py_func", kernel)
    library, entry = images.lowered(function, arguments, cc, options | {"lineinfo": False})
    if options["link"] or library._linking_files:
        raise ValueError(f"kernel: {function.__name__} links files of its own, which are not compiled here")
    # Numba's own name is two hundred characters with a counter of compilations among them; without it, two
    # compilations of one kernel give the same bytes.
    name = re.sub(r"\W", "_", function.__name__).removesuffix("_kernel") + "_kernel"
    modules = [module.replace(entry.name, name) for module in library.llvm_strs]
    libraries = [get_cudalib("cudadevrt", static=True)] if library.use_cooperative else []
    return name, modules, libraries


# ------------------------------------------------------------------------------- LLVM to machine code


def _nvvm(modules, options, suffix, lto):
    from numba.cuda.cudadrv import nvvm

    chosen = images.nvvm_options(options) | {"arch": f"compute_{suffix}"}
    if lto:
        chosen["gen-lto"] = None
    return nvvm.compile_ir(modules, **chosen)


def _link(code, lto, options, libraries=()):
    """Link PTX or LTO IR with nvJitLink: the cubin, or PTX where the options ask for it, and the log."""
    from cuda.bindings import nvjitlink

    kind = nvjitlink.InputType
    options = ["-lto", *options] if lto else options
    if not lto:
        code = code.rstrip(b"\0 \n") + b"\n\0"
    handle = nvjitlink.create(len(options), options)
    try:
        try:
            nvjitlink.add_data(handle, kind.LTOIR if lto else kind.PTX, code, len(code), "kernel")
            if "-ptx" not in options:
                for path in libraries:
                    nvjitlink.add_file(handle, kind.LIBRARY, str(path))
            nvjitlink.complete(handle)
        except nvjitlink.nvJitLinkError as error:
            log = _read(nvjitlink.get_error_log_size, nvjitlink.get_error_log, handle)
            raise RuntimeError(f"nvJitLink failed: {log.decode(errors='replace')}") from error
        if "-ptx" in options:
            result = _read(nvjitlink.get_linked_ptx_size, nvjitlink.get_linked_ptx, handle)
        else:
            result = _read(nvjitlink.get_linked_cubin_size, nvjitlink.get_linked_cubin, handle)
        return result, _read(nvjitlink.get_info_log_size, nvjitlink.get_info_log, handle).decode()
    finally:
        nvjitlink.destroy(handle)


def _read(size, get, handle):
    buffer = bytearray(size(handle))
    get(handle, buffer)
    return bytes(buffer)


def _resources(log, name):
    """Read the resources of kernel `name` from what the assembler says about it (``-v``)."""
    used = re.search(rf"Compiling entry function '{name}'.*?(Used \d+ registers[^\n]*)", log, re.DOTALL)
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    if not used or not frames:
        raise RuntimeError(f"the assembler's report is not in the form known here:\n{log}")

    def number(pattern):
        found = re.search(pattern, used[1])
        return int(found[1]) if found else 0

    frame = max(int(stack) for stack, _, _ in frames)
    return {
        "registers": number(r"Used (\d+) registers"),
        "spill_stores": sum(int(stores) for _, stores, _ in frames),
        "spill_loads": sum(int(loads) for _, _, loads in frames),
        "shared": number(r"(\d+) bytes smem"),
        "local": max(frame, number(r"(\d+) bytes cumulative stack size")),
        "barriers": number(r"used (\d+) barriers"),
    }


# ------------------------------------------------------------------------------ machine code to SASS


def _machine_code(cubin):
    """Instructions of the kernel and of what it calls: the ``.text`` sections of the ELF image."""
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    entry, count, strings = struct.unpack_from("<3H", cubin, 0x3A)
    headers = [struct.unpack_from("<2I4Q2I2Q", cubin, table + i * entry) for i in range(count)]
    names = headers[strings][4]
    code = b""
    for name, _, _, _, offset, size, *_ in headers:
        text = cubin.startswith(b".text.", names + name)
        if text and not cubin.startswith(DEVICE_RUNTIME, names + name):
            code += cubin[offset : offset + size]
    return code


def _count(reports):
    """Histograms of reports of one architecture, from one run of nvdisasm over their code laid end to end."""
    codes = [_machine_code(report.cubin) for report in reports]
    sass = _nvdisasm(b"".join(codes), "--binary", reports[0].arch.replace("sm_", "SM"))
    opcodes = iter(_opcodes(sass))
    counts = []
    for code in codes:
        group = Counter(_group(next(opcodes)) for _ in range(len(code) // INSTRUCTION_BYTES))
        del group["NOP"]
        counts.append(dict(sorted(group.items(), key=lambda item: (-item[1], item[0]))))
    return counts


def _opcodes(sass):
    return re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", sass)


def _group(opcode):
    base, *modifiers = opcode.split(".")
    if base in WHOLE:
        return opcode
    if base.startswith(MEMORY):
        return ".".join([base, *(m for m in modifiers if m in WIDTHS)])
    return base


@lru_cache(maxsize=1)
def _find_nvdisasm():
    from cuda import pathfinder

    return pathfinder.find_nvidia_binary_utility("nvdisasm") or shutil.which("nvdisasm")


def _nvdisasm(image, *options):
    program = _find_nvdisasm()
    if program is None:
        raise FileNotFoundError("nvdisasm is not installed: pip install nvidia-cuda-nvdisasm")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image")
        path.write_bytes(image)
        done = subprocess.run([program, *options, path], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvdisasm failed: {done.stderr.strip()}")
    return done.stdout

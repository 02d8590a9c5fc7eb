"""Native stacks and the switch between them, assembled through llvmlite: no C compiler is needed.

A fibre is a stack of ``STACK`` bytes at a multiple of its size. A word near its top holds the address of the thread's
row in the tables, so that compiled code finds its thread from its frame's address alone: no address is part of the
code, which can be kept on disk, and threads of several workers run the same code.
"""

import ctypes
import functools
import mmap
import platform

import llvmlite.binding as llvm
import numpy as np

from .. import state as S

STACK = 256 * 1024

#: Where a stack's word lies: below its end by address ``>> SHIFT & STAGGER`` bytes and 8. Words and frames that all lay
#: at one offset would share the same lines of the caches: 256 threads took 2-3 times as long at a barrier.
SHIFT, STAGGER = 12, 0x3FC0

#: Bytes at the low end of a stack that nobody may touch, and the stacks that have them: each takes two of the 65530
#: mappings that Linux allows a process.
GUARD, GUARDED = 64 * 1024, 16 * 1024

#: Stacks that are reserved at a time; only pages that a thread touches take memory.
ARENA = 1024

# Saves what the calling convention leaves to the callee, and swaps stacks: switch(where to keep mine, the other).
# On x86-64 it does not return by ``ret``, whose target processors predict from the calls that they saw, always wrongly
# here: a barrier of 256 threads took 40 ns a thread with it, 27 without (EPYC).
_ASSEMBLY = {
    "x86_64": """
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    jmpq *%rcx""",
    "aarch64": """
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret""",
}

#: Words that a stack that has not run yet holds, and which of them is where `switch` returns to.
FRAME, ENTRY = {"x86_64": (8, 6), "aarch64": (20, 11)}.get(platform.machine(), (0, 0))


@functools.cache
def supported():
    """Whether there is a switch for this machine."""
    return platform.system() == "Linux" and platform.machine() in _ASSEMBLY


@functools.cache
def switch():
    """Address of the function that swaps stacks."""
    lines = ["simulator_switch:", *_ASSEMBLY[platform.machine()].strip().splitlines()]
    lines = [".text", ".globl simulator_switch", *map(str.strip, lines)]
    assembly = "\n".join(f'module asm "{line}"' for line in lines)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    pointer = "ptr" if llvm.llvm_version_info[0] > 15 else "i8*"  # Numba 0.61 comes with LLVM 15, of typed pointers
    address = "ptr @simulator_switch" if pointer == "ptr" else "void (i8*, i8*)* @simulator_switch"
    module = llvm.parse_assembly(
        f"{assembly}\ndeclare void @simulator_switch({pointer}, {pointer})\n"
        f"define i64 @simulator_address() {{\n  %a = ptrtoint {address} to i64\n  ret i64 %a\n}}\n"
    )
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _KEPT.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_int64)(engine.get_function_address("simulator_address"))()


_KEPT = []


class Stacks:
    """The stacks of a worker, one for each row of its threads' table."""

    def __init__(self, threads):
        self._threads, self._arenas, self.count = threads, [], 0

    def reserve(self, count):
        """Have stacks for the first `count` rows."""
        while self.count < count:
            arena = mmap.mmap(-1, (ARENA + 1) * STACK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
            self._arenas.append(arena)
            start = -(-_address(arena) // STACK) * STACK
            if self.count < GUARDED:
                for k in range(ARENA):
                    _libc().mprotect(ctypes.c_void_p(start + k * STACK), ctypes.c_size_t(GUARD), 0)
            ends = start + STACK * np.arange(1, ARENA + 1)
            places = ends - 8 - (((ends - 1) >> SHIFT) & STAGGER)
            rows = self._threads[self.count : self.count + ARENA]
            rows[:, S.TOP] = places - 56
            first = rows.__array_interface__["data"][0]
            for place, row in zip(places.tolist(), range(first, first + rows.nbytes, rows.strides[0]), strict=False):
                ctypes.c_int64.from_address(place).value = row
            self.count += ARENA


@functools.cache
def _libc():
    return ctypes.CDLL(None)


_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def _address(arena):
    return ctypes.addressof(ctypes.c_char.from_buffer(arena))

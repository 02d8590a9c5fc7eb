"""Threads that overflow their stack, kernels that never end, Ctrl-C."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from numba import cuda

from kernels.simulator import ENGINES, KernelTimeoutError, StackOverflowError, launch, simulate
from kernels.simulator.compiled import fibers

native = pytest.mark.skipif(not fibers.supported(), reason="no native fibres on this machine")


@cuda.jit
def fill(x):
    x[cuda.grid(1)] = cuda.threadIdx.x


@cuda.jit
def spins_after_a_barrier(x):
    cuda.syncthreads()
    while True:
        pass


@cuda.jit
def spins_on_memory(x):
    while x[0] == 0:
        pass


@cuda.jit
def meets_barriers_for_ever(x):
    while x[0] == 0:
        cuda.syncthreads()


@cuda.jit
def descend(n):
    if n == 0:
        return 1
    return 3 * descend(n - 1) + n


@cuda.jit
def recursive(x, n):
    cuda.syncthreads()
    if cuda.threadIdx.x == 5:
        x[0] = descend(n)


@cuda.jit
def large(x):
    scratch = cuda.local.array(1 << 17, np.float64)
    for k in range(scratch.size):
        scratch[k] = k
    cuda.syncthreads()
    x[0] = scratch[int(x[1])]


ENDLESS = [spins_after_a_barrier, spins_on_memory, meets_barriers_for_ever]


def works_as_before(**options):
    """A launch after one that was ended."""
    x = np.zeros(96)
    simulate(fill, **options)[3, 32](x)
    np.testing.assert_array_equal(x, np.tile(np.arange(32), 3))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("checks", ["none", "all"])
@pytest.mark.parametrize("kernel", ENDLESS, ids=lambda kernel: kernel.__name__)
def test_kernel_that_never_ends_is_ended_when_its_time_is_up(kernel, engine, checks):
    with pytest.raises(KernelTimeoutError):
        simulate(kernel, engine=engine, checks=checks, timeout=0.1)[2, 64](np.zeros(1))
    works_as_before(engine=engine, checks=checks)


@pytest.fixture
def interruptible():
    """Ctrl-C raises KeyboardInterrupt; a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kernel", ENDLESS, ids=lambda kernel: kernel.__name__)
def test_ctrl_c_ends_a_kernel(kernel, engine):
    x = np.zeros(1)
    with pytest.raises(KernelTimeoutError):  # it is compiled now
        simulate(kernel, engine=engine, checks="none", timeout=0.05)[1, 64](x)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulate(kernel, engine=engine, checks="none", timeout=60)[1, 64](x)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is before
    works_as_before(engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_functions_can_be_traced_after_a_launch_with_a_time_limit(engine):
    simulate(fill, engine=engine, timeout=60)[3, 32](np.zeros(96))
    called, before = [], sys.gettrace()
    sys.settrace(lambda frame, event, argument: called.append(frame.f_code.co_name))
    try:
        works_as_before(engine=engine)
    finally:
        sys.settrace(before)
    assert "works_as_before" in called


@native
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_all_parts_of_a_launch_on_several_cores():
    count = launch.MANY // 32
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulate(spins_on_memory, checks="none", timeout=60)[count, 32](np.zeros(1))
    timer.join()
    works_as_before()


@native
def test_time_that_is_up_ends_all_parts_of_a_launch_on_several_cores():
    with pytest.raises(KernelTimeoutError):
        simulate(spins_on_memory, checks="none", timeout=0.1)[launch.MANY // 32, 32](np.zeros(1))
    works_as_before()


@native
def test_kernel_that_ends_in_time_is_not_disturbed():
    x = np.zeros(96)
    for _ in range(200):
        simulate(fill, timeout=0.02)[3, 32](x)
    np.testing.assert_array_equal(x, np.tile(np.arange(32), 3))


def test_timeout_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("KERNELS_SIMULATOR_TIMEOUT", "0.1")
    with pytest.raises(KernelTimeoutError):
        simulate(spins_on_memory, checks="none")[1, 32](np.zeros(1))


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeout_must_be_positive(timeout):
    with pytest.raises(ValueError, match="timeout"):
        simulate(fill, timeout=timeout)


@pytest.mark.parametrize("engine", ENGINES)
def test_recursion_without_end_overflows(engine):
    with pytest.raises(StackOverflowError):
        simulate(recursive, engine=engine)[2, 64](np.zeros(2), 10_000_000)
    works_as_before(engine=engine)


@native
@pytest.mark.parametrize("checks", ["none", "all"])
def test_overflow_names_thread_and_block(checks):
    with pytest.raises(StackOverflowError, match="thread 5 of block 0"):
        simulate(recursive, checks=checks, engine="compiled")[2, 64](np.zeros(2), 10_000_000)


@native
@pytest.mark.parametrize("checks", ["none", "all"])
def test_local_array_larger_than_a_stack_overflows_before_it_touches_another(checks):
    x = np.zeros(2)
    with pytest.raises(StackOverflowError, match="thread 0 of block 0"):
        simulate(large, checks=checks, engine="compiled")[1, 64](x)
    works_as_before(checks=checks)


@native
def test_recursion_that_fits_does_not_overflow():
    x = np.zeros(2)
    simulate(recursive)[1, 64](x, 100)
    assert x[0] == descend_on_the_host(100)


def descend_on_the_host(n):
    """`descend`, wrapped to 64 bits."""
    found = 1
    for k in range(1, n + 1):
        found = (3 * found + k) % 2**64
    return float(found - 2**64 if found >= 2**63 else found)


@native
def test_overflow_in_another_thread_of_the_host():
    found = []

    def work():
        try:
            simulate(recursive)[1, 64](np.zeros(2), 10_000_000)
        except StackOverflowError as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1


@native
@pytest.mark.parametrize("handler", ["faulthandler", "none"])
def test_fault_outside_a_kernel_goes_where_it_went_before(handler):
    script = """
        import ctypes, faulthandler, sys
        import numpy as np
        from numba import cuda
        from kernels.simulator import simulate

        if sys.argv[1] == "faulthandler":
            faulthandler.enable()

        def fill(x):
            x[cuda.grid(1)] = 1

        simulate(fill)[1, 32](np.zeros(32))
        print("launched", flush=True)
        ctypes.string_at(16)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), handler], capture_output=True, text=True)
    assert done.stdout == "launched\n"
    assert done.returncode == -signal.SIGSEGV
    assert ("Segmentation fault" in done.stderr) == (handler == "faulthandler")


@pytest.mark.parametrize("machine", sorted(fibers._ASSEMBLY))
def test_switch_assembles_for_each_machine(machine, tmp_path):
    if machine == platform.machine():
        assert fibers.switch()
        return
    assembler = shutil.which("llvm-mc")
    if assembler is None:
        pytest.skip("no assembler for another machine: llvm-mc")
    source = tmp_path / "switch.s"
    source.write_text("simulator_switch:\n" + fibers._ASSEMBLY[machine] + "\n")
    triple = f"-triple={machine}-unknown-linux-gnu"
    subprocess.run([assembler, triple, "-filetype=obj", str(source), "-o", str(tmp_path / "switch.o")], check=True)
    assert (tmp_path / "switch.o").stat().st_size

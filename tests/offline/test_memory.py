"""What calls leave behind in the host's memory: with a driver that does nothing, every call takes its quick ways."""

import subprocess
import sys
import textwrap

import pytest

CALLS = """
    import gc, sys, weakref
    from tests.faked_driver import device_array
    import kernels
    from numba import cuda

    @cuda.jit
    def empty(x, y, z):
        pass

    launcher = kernels.runtime.launcher(empty)

    def graph(x, y, z):
        with kernels.runtime.graph() as g:
            kernels.add(x, y, out=z)
        g.replay()

    WAYS = {
        "out": lambda x, y, z: kernels.add(x, y, out=z),
        "no out": lambda x, y, z: kernels.subtract(x, y),
        "stream": lambda x, y, z: kernels.multiply(x, y, out=z, stream=5),
        "mask": lambda x, y, z: kernels.add(x, y, out=z, where=device_array(*x.shape, dtype=bool)),
        "plan": lambda x, y, z: kernels.add.plan(like=(x, y), out=z)(x, y, out=z),
        "graph": graph,
        "launcher": lambda x, y, z: launcher[1, 32](x, y, z),
    }

    def arrays(n):
        return [device_array(n + 1, pointer=k << 24)[1:] for k in (1, 2, 3)]
    """


@pytest.fixture
def printed(environment):
    """What a program prints after the definitions of `CALLS`."""

    def run(program):
        text = textwrap.dedent(CALLS) + textwrap.dedent(program)
        variables = environment | {"NUMBA_ENABLE_CUDASIM": "0", "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"}
        done = subprocess.run([sys.executable, "-c", text], env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


def test_nothing_keeps_the_arrays_of_a_call_alive(printed):
    program = """
        for way, call in WAYS.items():
            given = arrays(100)
            watched = [weakref.ref(x) for x in given]
            for _ in range(4):
                call(*given)
            plan = kernels.divide.plan(like=tuple(given[:2]), out=given[2])
            del given
            gc.collect()
            print(*(x() is None for x in watched))
        """
    assert printed(program) == ["True"] * 3 * 7


def test_calls_of_ever_new_shapes_leave_no_objects_behind(printed):
    # Of no kind of thing more than 1024 are remembered. Integers below 257 take no memory, so they would waver.
    program = """
        def blocks(shapes):
            for n in shapes:
                x, y, z = arrays(n)
                for call in WAYS.values():
                    call(x, y, z)
                    call(x, y, z)
            gc.collect()
            return sys.getallocatedblocks()

        full = blocks(range(1000, 2100))
        print(blocks(range(2100, 2400)) - full)
        """
    (grown,) = map(int, printed(program))
    assert grown < 300  # less than one object for 14 calls

"""What kernels name, run in all ways the simulator has: as Python, and compiled by Numba for the processor."""

import numpy as np
import pytest
from numba import njit

import kernels
from kernels.device.functions import identity
from kernels.device.instructions import SIMULATED, device_function, in_simulated_kernel, instruction
from kernels.device.primitives import quotient
from kernels.device.scalar import call
from kernels.elementwise.kernels import contiguous, masked, strided
from kernels.testing import assert_equal_bits

pytestmark = pytest.mark.skipif(not SIMULATED, reason="instructions have Python twins in the simulator only")

FLOAT = np.dtype(np.float32)


def test_python_calls_the_twin():
    assert quotient(np.int8(-7), np.int8(2)) == np.int8(-3)
    assert quotient.twin(np.int8(-7), np.int8(2)) == np.int8(-3)


def test_numba_compiles_the_definition():
    seen = []

    @instruction(lambda x: seen.append(x))
    def doubled(typingctx, x):
        return x(x), lambda context, builder, signature, args: builder.add(args[0], args[0])

    assert njit(lambda x: doubled(x))(21) == 42
    assert seen == []


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "uint64", "float32", "float64", "complex64"])
@pytest.mark.parametrize("name", ["add", "multiply", "negative", "where", "axpy", "not_equal"])
def test_a_public_function_compiled_for_the_processor_gives_the_bits_of_its_twin(name, dtype, rng):
    pair = kernels.REGISTRY[name]
    char = np.dtype(dtype).char
    if not any(char in loop.split("->")[0] for loop in pair.loops):
        pytest.skip(f"{name} has no loop of {dtype}")
    f, nin = pair.function, pair.signature.split("->")[0].count("()")
    one_by_one = {
        1: lambda x, y, z, out: f(x[0]),
        2: lambda x, y, z, out: f(x[0], y[0]),
        3: lambda x, y, z, out: f(x[0], y[0], z[0]),
    }[nin]
    inputs = [rng.integers(1, 10, 1).astype(dtype) for _ in range(3)]
    if name == "where":
        inputs[0] = np.array([False])
    expected = f(*inputs[:nin])
    store = njit(one_by_one)

    @njit
    def into(x, y, z, out):
        out[0] = store(x, y, z, out)

    result = np.zeros_like(expected)
    into(*inputs, result)
    assert_equal_bits(result, expected)


def test_literals_are_weak_where_a_scalar_function_is_compiled():
    run = call(device_function(lambda x: x * 0.1), (FLOAT,), (FLOAT,))
    x = np.float32(0.3)
    assert njit(lambda x: float(run((x,))))(x) == x * np.float32(0.1)


@pytest.mark.parametrize("make", [contiguous, strided, masked])
def test_the_simulator_runs_the_kernels_of_this_family_as_they_stand(make):
    f = call(identity, (FLOAT,), (FLOAT,))
    options = {contiguous: (1, True, False), strided: (1, False), masked: (False,)}[make]
    assert make(f, ("vector",), 1, *options).fn.of_scalars


def test_only_a_scalar_function_is_inside_of_a_kernel():
    inside = []

    def f(x):
        inside.append(in_simulated_kernel())
        return x

    call(f, (FLOAT,), (FLOAT,))((np.float32(1),))
    assert inside == [True]
    assert not in_simulated_kernel()


def test_an_error_of_a_scalar_function_leaves_the_kernel():
    def fails(x):
        raise ValueError("no such number")

    with pytest.raises(ValueError, match="no such number"):
        call(fails, (FLOAT,), (FLOAT,))((np.float32(1),))
    assert not in_simulated_kernel()

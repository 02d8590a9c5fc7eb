"""Device functions that a factory makes: what their closures hold, and where their shared memory is."""

import numpy as np
import pytest
from numba import cuda, types

from kernels.device.instructions import of_scalars
from kernels.simulator import simulate

both = pytest.mark.parametrize("engine", ["compiled", "interpreted"])


def shelf(size, offset):
    """What gives each thread the value of another, through shared memory of its own."""

    @cuda.jit(device=True)
    def exchanged(value):
        memory = cuda.shared.array(size, types.float64)
        memory[cuda.threadIdx.x] = value
        cuda.syncthreads()
        return memory[(cuda.threadIdx.x + offset) % 4]

    return exchanged


first, second = shelf(4, np.uint32(1)), shelf(8, np.uint32(2))


@cuda.jit
def keeps_two(x, y):
    t = cuda.threadIdx.x
    one = first(x[t])
    two = second(-x[t])
    y[t, 0], y[t, 1] = one, two


@cuda.jit
@of_scalars
def keeps_two_of_scalars(x, y):
    t = cuda.threadIdx.x
    one = first(x[t])
    two = second(-x[t])
    y[t, 0], y[t, 1] = one, two


@both
@pytest.mark.parametrize("kernel", [keeps_two, keeps_two_of_scalars])
def test_closures_of_one_code_have_shared_memory_of_their_own(kernel, engine):
    x, y = np.arange(4.0), np.zeros((4, 2))
    for seed in range(5):
        simulate(kernel, engine=engine, seed=seed)[1, 4](x, y)
        np.testing.assert_array_equal(y, np.stack([np.roll(x, -1), -np.roll(x, -2)], axis=1))


def scaled(factor):
    @cuda.jit
    def kernel(x, y):
        y[0] = x[0] * factor

    return kernel


@both
@pytest.mark.parametrize("factor", [np.uint32(3), np.int8(-3), np.float32(0.5), np.complex64(2j)])
def test_numpy_scalars_that_a_kernel_names_are_constants_of_their_type(factor, engine):
    x, y = np.array([7], np.uint32), np.zeros(1, np.complex128)
    simulate(scaled(factor), engine=engine)[1, 1](x, y)
    assert y[0] == 7 * complex(factor)

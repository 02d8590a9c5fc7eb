"""Arrays and launches of a GPU that is not there, as far as written code asks of them."""

import threading

import numpy as np

from kernels.runtime import quick
from kernels.runtime.arrays import contiguous_strides


def draw(*shape, dtype=np.float32, seed=0):
    """Random numbers between 1 and 2."""
    return np.random.default_rng(seed).uniform(1, 2, shape).astype(dtype)


def in_threads(count, work):
    """Call ``work(k)`` in a thread of its own for each k below `count`, and wait for all."""
    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Memory:
    """Of an array, on a device."""

    def __init__(self, pointer, device):
        self.device_pointer = pointer
        self.context = type("Context", (), {"device": type("Device", (), {"id": device})})


class DeviceArray:
    """As Numba's, as far as a quick look goes."""

    def __init__(self, pointer, shape=(8,), dtype="f", strides=None, device=0, stream=0):
        self.dtype, self.shape, self.stream = np.dtype(dtype), shape, stream
        self.strides = strides or tuple(4 * s for s in contiguous_strides(shape))
        self.gpu_data = Memory(pointer, device)


class Launched:
    """As a `Launch`: remembers the words that it was given."""

    def __init__(self, status=quick.SUCCESS):
        self.rows, self.words, self.status = [], [], status

    def row(self):
        return [], 0

    def write(self, row, at, *words):
        self.words.append(words)

    def run(self, stream, address, extra):
        return (self.status,)

    def elsewhere(self, status, stream, *words):
        raise RuntimeError(f"refused {words}")

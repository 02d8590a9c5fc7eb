"""What tests need of the libraries whose arrays lie on a GPU."""

import numpy as np
import pytest
from numba import cuda

LIBRARIES = ("numba", "cupy", "torch", "jax")


class Library:
    """What the tests need of a library of arrays."""

    def __init__(self, name):
        self.name = name
        self.module = pytest.importorskip({"jax": "jax.numpy"}.get(name, name))
        if name == "torch" and not self.module.cuda.is_available():
            pytest.skip("this PyTorch has no CUDA")
        if name == "jax" and __import__("jax").default_backend() != "gpu":
            pytest.skip("this JAX has no CUDA")

    def array(self, x):
        x = np.asarray(x)
        if self.name == "numba":
            return cuda.to_device(x)
        return self.module.asarray(x, device="cuda") if self.name == "torch" else self.module.asarray(x)

    def numpy(self, x):
        return {
            "numba": lambda: x.copy_to_host(), "cupy": lambda: x.get(), "torch": lambda: x.cpu().numpy(),
            "jax": lambda: np.asarray(x),
        }[self.name]()  # fmt: skip

    def pointer(self, x):
        return {
            "numba": lambda: x.__cuda_array_interface__["data"][0],
            "cupy": lambda: x.data.ptr,
            "torch": lambda: x.data_ptr(),
            "jax": lambda: x.unsafe_buffer_pointer(),
        }[self.name]()

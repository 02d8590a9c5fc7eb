"""The host side of Numba's CUDA simulator: arrays, streams, devices, kernels and their launches."""

from .patch import located, patch, patched, unpatch

__all__ = ["located", "patch", "patched", "unpatch"]

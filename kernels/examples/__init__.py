"""Kernels as users write them, of Numba and `kernels.device` alone: pages show them, tests and `bench` run them."""

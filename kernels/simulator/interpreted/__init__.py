"""Kernels run as Python: threads that a debugger steps through, and numbers typed as Numba types them."""

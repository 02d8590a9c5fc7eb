"""Kernels compiled for the processor: native threads, and what the names of a kernel become."""

"""The command line: ``python -m kernels info | check | run | bench``, one module for each."""

"""The command line: ``python -m kernels info | check | run | bench | cache``, one module for each."""

"""What needs Numba's compiler, not its simulator: collected only where NUMBA_ENABLE_CUDASIM is not set.

`.ci/run` starts this directory in a process of its own, so nothing here is skipped for good.
"""

from numba import config

collect_ignore_glob = ["test_*.py"] if config.ENABLE_CUDASIM else []

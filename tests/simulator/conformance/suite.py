"""What pytest collects: the contents of the module of numba-cuda's tests that this process runs."""

import module

globals().update((name, value) for name, value in vars(module.current()).items() if not name.startswith("__"))

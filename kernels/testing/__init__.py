"""What this project's tests are made of, for tests of your own kernels too.

- `kernels.testing.strategies`: hypothesis strategies for dtypes, shapes, values and strides (import it by
  name; it needs hypothesis),
- `kernels.testing.programs`: random kernels whose every bit is defined, to compare engines with (by name, too),
- `layouts`, `guarded`: the same values under other strides, and outputs that notice a stray write,
- `gamma`, `sum_bound`, `dot_bound`, `map_bound`, `condition_bound`, `ulp`, `ulp_error`: how far a correct
  result may be from the exact one,
- `assert_within`, `assert_equal_bits`: the comparison, with a report that can be pasted and run,
- `mutants`: faulty versions of a kernel, to see whether the tests notice.

Nothing else here knows about Numba or about a GPU: results are compared as NumPy arrays.

Examples
--------
>>> import numpy as np
>>> from kernels.testing import assert_within, sum_bound
>>> x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
>>> exact = x.sum(dtype=np.float64)
>>> bound = sum_bound(x.size, x.dtype, np.abs(x).sum(dtype=np.float64))
>>> assert_within(x.sum(), exact, bound, dtype=x.dtype) <= 1
True
"""

from .assertions import assert_equal_bits, assert_within
from .bounds import (
    condition_bound,
    dot_bound,
    gamma,
    map_bound,
    sum_bound,
    tree_depth,
    ulp,
    ulp_error,
    unit_roundoff,
)
from .memory import LAYOUTS, guarded, layouts
from .mutation import mutants

__all__ = [
    "LAYOUTS",
    "assert_equal_bits",
    "assert_within",
    "condition_bound",
    "dot_bound",
    "gamma",
    "guarded",
    "layouts",
    "map_bound",
    "mutants",
    "sum_bound",
    "tree_depth",
    "ulp",
    "ulp_error",
    "unit_roundoff",
]

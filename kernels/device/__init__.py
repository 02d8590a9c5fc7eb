"""What runs inside a kernel: building blocks for kernels of your own, and what those of this package are made of.

A name is imported when it is first asked for, so that ``import kernels`` does not wait for all of them.
"""

import importlib

_PUBLIC = {
    "warp": """shuffle shuffle_down shuffle_up shuffle_xor warp_all warp_any warp_argmax warp_argmin warp_ballot
        warp_broadcast warp_exclusive_scan warp_exclusive_sum warp_inclusive_scan warp_inclusive_sum warp_match warp_max
        warp_min warp_prod warp_reduce warp_sum""",
    "block": """block_all block_any block_argmax block_argmin block_broadcast block_count block_exclusive_scan
        block_exclusive_scan_with_total block_exclusive_sum block_exclusive_sum_with_total block_inclusive_scan
        block_inclusive_scan_with_total block_inclusive_sum block_max block_min block_prod block_reduce block_size
        block_sum thread_index warp_index""",
    "operators": "add ascending descending first_maximum first_minimum maximum minimum multiply",
    "exchange": "block_exchange block_load block_store block_transpose",
    "sort": "block_merge_sort block_radix_sort",
    "histogram": "block_histogram",
    "neighbours": "block_adjacent_difference block_discontinuity",
    "pipeline": "copy_pipeline",
    "vectors": "vector_load vector_store",
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    return found


def __dir__():
    return sorted({*globals(), *_HOME})

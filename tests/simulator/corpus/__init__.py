"""Correct kernels, and the faulty ones that one changed line makes of each.

`blocks` synchronise by barriers, `tiles` are loaded for a block, `warps` shuffle and vote, the blocks of `grids` wait
for one another, and in `memory` elements lie where they should, or not.
"""

from . import blocks, grids, memory, tiles, warps

CASES = [case for module in (blocks, tiles, warps, grids, memory) for case in module.CASES]

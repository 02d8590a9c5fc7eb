"""The suite: what the compiler made of each pair, what an import and a call cost, and time over the floor.

Lower is better in all of them. It refuses to import when a public function has no entry.
"""

from .names import require_all

require_all()

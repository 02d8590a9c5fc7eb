"""What the compiler made of each pair for compute capability 9.0: exact on any machine, so it can gate."""

from asv_runner.benchmarks.mark import SkipNotImplemented
from numba import config

import kernels
from kernels import inspect

from .names import PAIRS, loop_of

CC = (9, 0)


def resources(names):
    """Registers, spilled and shared bytes and instructions of what one call of each function launches."""
    reports = {}
    for name in names:
        pair = kernels.REGISTRY[name]
        reports[name] = [inspect.compile(k, s, CC) for _, k, s in pair.kernels(loop_of(pair))]
    inspect.histograms(report for group in reports.values() for report in group)
    return {
        name: {
            "registers": max(r.registers for r in group),
            "spills": sum(r.spill_stores + r.spill_loads for r in group),
            "shared": max(r.shared for r in group),
            "instructions": sum(sum(r.histogram.values()) for r in group),
        }
        for name, group in reports.items()
    }


class Compiled:
    version = "1"
    params = PAIRS
    param_names = ("function",)

    def setup_cache(self):
        # Numba's compiler is not there in the simulator.
        return {} if config.ENABLE_CUDASIM else resources(PAIRS)

    setup_cache.timeout = 1800

    def setup(self, table, function):
        if function not in table:
            raise SkipNotImplemented

    def track_registers(self, table, function):
        return table[function]["registers"]

    def track_spills(self, table, function):
        return table[function]["spills"]

    def track_shared(self, table, function):
        return table[function]["shared"]

    def track_instructions(self, table, function):
        return table[function]["instructions"]

    track_registers.unit = "registers/thread"
    track_spills.unit = "bytes/thread"
    track_shared.unit = "bytes/block"
    track_instructions.unit = "SASS instructions"

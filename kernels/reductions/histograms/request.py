"""What calls of histograms and of searches have in common: their samples, their outputs, edges on the host."""

import numpy as np

from ...runtime import calls, memory
from ...runtime.arrays import contiguous_strides, operand, placement, producer_stream, stream_handle
from ...runtime.calls import Call
from ...runtime.engines import engine, recorder
from ..calls import at_least_1d


def sample(x, name):
    """The `Operand` of samples, with an axis at least."""
    return at_least_1d(operand(x, name))


class Request:
    """A call before it is known what its result is: its operands, and where it is computed."""

    def __init__(self, name, xs, out, stream):
        self.name, self.xs = name, xs
        (self.out,) = calls.outputs(out, 1, name)
        given = [] if self.out is None else [self.out]
        self.engine = engine()
        self.device, self.stream, self.like = placement([*given, *xs], stream_handle(stream))
        calls.check_places(self.engine, self.device, given, [*given, *xs])
        for x in xs if self.out is not None else ():
            if calls.overlap(x, self.out):
                raise ValueError(f"out overlaps {x.name}")

    def call(self, task, shape, dtype):
        """The `Call`; TypeError or ValueError for an output that cannot hold the result."""
        y = self.out
        if y is not None and y.shape != shape:
            raise ValueError(f"out has shape {y.shape}, and {self.name} gives {shape}")
        calls.check_casts(self.name, [y], [dtype], "same_kind")
        return Call(
            task, self.xs, None, (y,), (dtype,), shape, "C", self.engine, self.device, self.stream, self.like,
            keeps=False,
        )  # fmt: skip


def host_edges(bins, name):
    """Edges in host memory."""
    if type(bins) is np.ndarray:
        return bins
    x = operand(bins, name)
    if x.device is None:
        return np.asarray(x.memory)
    if recorder() is not None:
        raise ValueError(
            f"{name} is in device memory, and its values decide what is recorded; give them in host memory"
        )
    values = np.empty(x.shape, x.dtype)
    if x.strides != contiguous_strides(x.shape):
        raise ValueError(f"{name} is in device memory and has gaps; give edges without gaps")
    memory.check(memory.driver.cuStreamSynchronize(producer_stream(x) or 0), f"fetching {name}")
    memory.download(x.pointer, values, x.device, 0, name)
    return values

"""What the simulator reports."""


class SimulatorError(RuntimeError):
    """A fault of a kernel or of its launch that the simulator found."""


class RaceError(SimulatorError):
    """Two threads touch one element, one of them writes, and nothing orders them."""


class OutOfBoundsError(SimulatorError, IndexError):
    """An index outside an array; negative ones are outside."""


class UninitializedError(SimulatorError):
    """A read of memory that nothing wrote."""


class MisalignedError(SimulatorError):
    """A vector access at an address that is no multiple of its size."""


class DivergenceError(SimulatorError):
    """A barrier or a warp operation that not all threads reach which it names."""


class DeadlockError(SimulatorError):
    """Threads that wait for what never comes."""


class LaunchError(SimulatorError, ValueError):
    """A launch that no device accepts: its configuration, or more shared memory than there is."""


class CopyError(SimulatorError):
    """An asynchronous copy that nobody waits for, or a phase of an mbarrier that is waited for wrongly."""


class StackOverflowError(SimulatorError):
    """A thread whose local arrays and calls do not fit on its stack."""


class KernelTimeoutError(SimulatorError):
    """A kernel that ran longer than it was given."""

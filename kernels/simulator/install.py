"""Numba's simulator on our engines: `install`, by hand, by ``import kernels`` or by ``pytest -p kernels.simulator``."""

from . import launch as _launch
from .errors import SimulatorError


def install(*, engine=None, checks=None, seed=0, resident=16, timeout=None):
    """Send every launch of Numba's CUDA simulator through our engines, and complete its host interface.

    Needs ``NUMBA_ENABLE_CUDASIM=1`` before Numba is imported. Kernels, host code and tests stay as they are; a later
    call changes the options.

    Parameters
    ----------
    engine, checks, seed, resident, timeout
        As `simulate` takes them.

    Raises
    ------
    SimulatorError
        Where Numba runs without its simulator, or with a version that is unknown.

    Examples
    --------
    >>> from kernels import simulator
    >>> simulator.install(checks="all")  # doctest: +SKIP
    """
    from . import host

    host.patch(_run, _launch.options(engine, checks, seed, resident, timeout), _launch.precompile)


def uninstall():
    """Undo `install`: Numba's simulator is as it was."""
    from . import host

    host.unpatch()


def installed():
    """Whether launches of Numba's simulator come here."""
    from . import host

    return host.patched() is not None


def _run(function, grid, block, arguments, shared, chosen, types=None):
    from . import host

    try:
        _launch.launch(function, grid, block, arguments, shared, chosen, types)
    except SimulatorError:
        raise
    except Exception as error:
        if not hasattr(error, "simulated"):
            raise
        where = error.simulated  # Numba's simulator says it in the message itself
        if isinstance(error, FloatingPointError):
            raise host.located(DivisionByZeroError(*error.args), *where) from error
        raise host.located(error, *where)  # noqa: B904


class DivisionByZeroError(FloatingPointError, ZeroDivisionError):
    """A division by zero in a kernel of ``cuda.jit(debug=True)``: what Numba's simulator calls it, and hardware."""

"""The versions of Numba that the simulator knows, whose insides it uses."""

from importlib import metadata

from .errors import SimulatorError

#: The first and the last version of each package that the tests have passed with.
KNOWN = {"numba": ((0, 61), (0, 68)), "numba-cuda": ((0, 24), (0, 30)), "numba-cuda-mlir": ((0, 6), (0, 6))}


def _installed(package):
    """The version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _parts(version):
    return tuple(int(part) for part in version.split(".")[:2])


def described(version_of=_installed):
    """What is installed, and what is known, in words."""
    found = {package: version_of(package) for package in KNOWN}
    here = ", ".join(f"{package} {version}" for package, version in found.items() if version)
    known = ", ".join(
        f"{package} {'.'.join(map(str, first))} to {'.'.join(map(str, last))}"
        for package, (first, last) in KNOWN.items()
    )
    return f"installed: {here}; known: {known}"


def refuse_old(version_of=_installed):
    """Refuse a version that is older than those that are known; a newer one may do.

    Raises
    ------
    SimulatorError
        With all versions, for one that is too old.
    """
    for package, (first, _) in KNOWN.items():
        version = version_of(package)
        if version is not None and _parts(version) < first:
            raise SimulatorError(f"{package} {version} is too old for the simulator ({described(version_of)})")

"""Compiled code on disk, for the processes that come later.

An entry is a piece of machine code with a few facts about it, named by a hash of all that went into it. Nothing refers
to an entry but its name, so that a changed kernel finds none, and old ones are dropped when a folder grows too large.
Entries of a kind lie in one folder::

    KERNELS_CACHE_DIR/<kind>, else NUMBA_CACHE_DIR/kernels-<kind>, else numba-kernels/<kind> in the user's cache folder

An entry is written under another name and then renamed, so that readers find all of it or nothing; it begins with a
hash of itself, for what disks and copies may do to it. What cannot be read is compiled again, what cannot be written is
not kept: the cache only ever changes how long a launch takes.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

from numba import config

#: What there are entries of.
KINDS = ("gpu", "simulator")

#: Megabytes of all entries of a kind, unless ``KERNELS_CACHE_SIZE`` says otherwise.
DEFAULT_SIZE = 256

_MAGIC = b"kernels 1\n"
_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".o"


class CacheWarning(UserWarning):
    """An entry on disk is damaged or cannot be read, and was made again."""


def _limit(megabytes):
    """Bytes of a size that the environment gives as text, or gives not."""
    try:
        size = float(DEFAULT_SIZE if megabytes is None else megabytes)
    except ValueError:
        size = -1.0
    if 0 <= size < float("inf"):
        return int(size * 2**20)
    wanted = f"KERNELS_CACHE_SIZE must be a number of megabytes, 0 or more, got {megabytes!r}"
    warnings.warn(f"{wanted}; {DEFAULT_SIZE} is taken", CacheWarning, stacklevel=2)
    return DEFAULT_SIZE << 20


#: Bytes of all entries of a kind, of which those go first that were used least recently; 0 turns the cache off.
LIMIT = _limit(os.environ.get("KERNELS_CACHE_SIZE"))


def place(kind):
    """The folder of a kind's entries, which need not exist; None for a user without a home."""
    if chosen := os.environ.get("KERNELS_CACHE_DIR"):
        return Path(chosen) / kind
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR) / f"kernels-{kind}"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "numba-kernels" / kind if os.path.isabs(home) else None


def folder(kind):
    """Where entries of a kind are kept; None where none are."""
    return place(kind) if LIMIT else None


def get(folder, key):
    """The facts and the code of an entry, or None."""
    if folder is None:
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        # Of a folder that cannot be entered, no entry is known; of an entry that cannot be read, it is.
        subject = path if os.access(folder, os.X_OK) else folder
        warnings.warn(f"{subject} cannot be read ({error.strerror}); kernels are compiled", CacheWarning, stacklevel=3)
        return None
    start = len(_MAGIC) + _DIGEST
    digest, body = data[len(_MAGIC) : start], data[start:]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        warnings.warn(f"{path} is damaged; it is compiled again", CacheWarning, stacklevel=3)
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    size = int.from_bytes(body[:4], "little")
    return json.loads(body[4 : 4 + size]), body[4 + size :]


def put(folder, key, facts, code, limit=None):
    """Keep an entry; where nothing can be written, nothing is kept.

    Parameters
    ----------
    folder : pathlib.Path or None
    key : str
    facts : dict
        Of what JSON can carry.
    code : bytes
    limit : int, optional
        Bytes of all entries, else `LIMIT`.
    """
    limit = LIMIT if limit is None else limit
    facts = json.dumps(facts).encode()
    body = len(facts).to_bytes(4, "little") + facts + code
    if folder is None or len(body) > limit:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder, len(body), limit)
        handle, name = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(name, folder / f"{key}{_SUFFIX}")
        except BaseException:
            os.unlink(name)
            raise
    except OSError:
        return


@contextlib.contextmanager
def alone(folder, name):
    """One process at a time, where a lock can be had: those that come later find what the first one made."""
    try:
        if folder is None:
            raise FileNotFoundError
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / f"{name}.lock", "w")
    except OSError:
        yield
        return
    with lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_room(folder, size, limit):
    """Drop the entries that were used least recently, until another of `size` bytes fits."""
    found = sorted((stat.st_mtime, stat.st_size, path) for path, stat in _files(folder))
    total = size + sum(each[1] for each in found)
    for _, freed, path in found:
        if total <= limit:
            break
        with contextlib.suppress(OSError):  # another process dropped it
            os.unlink(path)
        total -= freed


def _files(folder):
    """Path and status of what lies in a folder: entries, locks, and what was left by processes that were ended."""
    try:
        entries = list(os.scandir(folder)) if folder else []
    except OSError:
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # another process dropped it
            if entry.is_file(follow_symlinks=False):
                yield entry.path, entry.stat(follow_symlinks=False)


def usage(folder):
    """Number of entries in a folder, and bytes of all that lies there."""
    files = list(_files(folder))
    return sum(path.endswith(_SUFFIX) for path, _ in files), sum(stat.st_size for _, stat in files)


def clear(folder):
    """Remove what lies in a folder; the number of entries removed, and their bytes with all else."""
    entries = freed = 0
    for path, stat in _files(folder):
        with contextlib.suppress(OSError):
            os.unlink(path)
            entries += path.endswith(_SUFFIX)
            freed += stat.st_size
    return entries, freed

"""``python -m kernels cache``: what is kept on disk, and how to be rid of it."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import storage

_LABELS = {"gpu": "GPU kernels", "simulator": "simulator"}


def collect():
    """Place, entries, bytes and limit of each kind, as one dict that JSON can carry."""
    return {kind: _described(kind, *storage.usage(storage.place(kind))) for kind in storage.KINDS}


def clear():
    """Remove all entries: what `collect` would have said of those removed, and of those that could not be."""
    places = {kind: storage.place(kind) for kind in storage.KINDS}
    removed = {kind: _described(kind, *storage.clear(place)) for kind, place in places.items()}
    return {"removed": removed, "left": collect()}


def _described(kind, entries, size):
    place = storage.place(kind)
    return {"folder": place and str(place), "entries": entries, "bytes": size, "limit": storage.LIMIT}


def show(found, console=None):
    """Print what `collect` found."""
    table = Table("what", "entries", "size", "folder")
    for kind, each in found.items():
        table.add_row(_LABELS[kind], str(each["entries"]), _size(each["bytes"]), _home(each["folder"]))
    console = console or Console()
    console.print(table)
    limit = next(iter(found.values()))["limit"]
    if limit:
        console.print(f"Each is kept below {_size(limit)}; KERNELS_CACHE_SIZE, in MB, changes that.")
    else:
        console.print("KERNELS_CACHE_SIZE is 0: nothing is read or written.")


def show_cleared(found, console=None):
    """Print what `clear` did."""
    console = console or Console()
    for state, each in found.items():
        entries = sum(kind["entries"] for kind in each.values())
        what = f"{entries} {'entry' if entries == 1 else 'entries'}, {_size(sum(k['bytes'] for k in each.values()))}"
        if state == "removed":
            console.print(f"Removed {what}.")
        elif entries:
            console.print(f"{what}, could not be removed.")


def _size(count):
    return f"{count / 2**20:.1f} MB"


def _home(folder):
    """A folder as its user writes it."""
    if folder is None:
        return "none: no home folder, and KERNELS_CACHE_DIR is not set"
    try:
        return f"~/{Path(folder).relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return folder

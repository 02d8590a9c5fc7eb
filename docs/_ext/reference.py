"""Reference pages written from the records of the pairs.

For each family in `kernels.pairing.REGISTRY` one page with a table of its functions, and for each function
one page with its docstring; for the rest of `kernels.__all__` one page together. They are written into
`reference/generated` before Sphinx looks for documents.
"""

import importlib
import inspect
from pathlib import Path

import numpy as np

import kernels
from kernels.device import twins
from kernels.pairing import REGISTRY

GROUPS = [
    ("bool", "?"),
    ("integers", "bBhHiIqQ"),
    ("float16", "e"),
    ("float32", "f"),
    ("float64", "d"),
    ("complex64", "F"),
    ("complex128", "D"),
]

PAGE = """\
{title}
{rule}

{summary}

.. list-table::
   :header-rows: 1
   :widths: auto

   * - function
     - what it computes
     - signature
     - dtypes
     - flops
{rows}

.. toctree::
   :hidden:

{pages}
"""

ROW = """\
   * - :func:`~kernels.{name}`
     - {summary}
     - ``{signature}``
     - {dtypes}
     - {flops}"""

FUNCTION_PAGE = """\
kernels.{name}
{rule}

.. currentmodule:: kernels

.. autofunction:: {name}
"""

TOOLKIT_PAGE = """\
Toolkit
=======

What surrounds the functions: formulas of your own, and where they run.

.. currentmodule:: kernels

{directives}
"""


#: Modules of `kernels.device` whose instructions have a page, in its order.
INSTRUCTIONS = ["tensor", "fragments", "wgmma", "copies", "tensor_copies", "clusters", "barriers", "addresses"]

DEVICE_PAGE = """\
# Instructions

What hardware does and Numba's Python cannot say, for kernels of your own. Each is declared with a twin that
`kernels.simulator` runs.

{sections}

## On the host

```{{eval-rst}}
.. autofunction:: kernels.runtime.tensor_maps.tensor_map

.. autofunction:: kernels.device.ptx.ptx

.. autofunction:: kernels.device.wgmma.descriptor
```
"""


def instructions(module):
    """Return what a module of `kernels.device` declares: names of instructions and of what makes them, with a line."""
    for name, thing in vars(module).items():
        declared = hasattr(thing, "__simulated__") and not isinstance(thing, twins.Word)
        made_here = getattr(thing, "__module__", "") == module.__name__ and inspect.getdoc(thing)
        if not name.startswith("_") and (declared or (callable(thing) and made_here)):
            yield name, summary(thing)


def section(name):
    """Return the section of a module: its docstring, and a table."""
    module = importlib.import_module(f"kernels.device.{name}")
    title, _, rest = inspect.getdoc(module).partition("\n")
    table = "\n".join(f"| `{each}` | {text} |" for each, text in instructions(module))
    return f"## kernels.device.{name}\n\n{title}\n{rest}\n\n| instruction | |\n|---|---|\n{table}\n"


def summary(thing):
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((thing.__doc__ or "").strip().split("\n\n")[0].split())


def families(registry):
    """Return the pairs of each family, by name."""
    found = {}
    for name, pair in sorted(registry.items()):
        found.setdefault(pair.family, {})[name] = pair
    return found


def dtypes(loops):
    """Return the names of the first operand's dtypes over the loops, integers taken together."""
    seen = {np.dtype(loop[0]).char for loop in loops if loop[0] in "?bBhHiIlLqQefdFD"}
    seen = {{"l": "q", "L": "Q"}.get(char, char) for char in seen}
    return ", ".join(name for name, chars in GROUPS if seen & set(chars))


def row(name, pair):
    """Return a function's line of the table."""
    return ROW.format(
        name=name,
        summary=summary(pair.function),
        signature=pair.signature,
        dtypes=dtypes(pair.loops),
        flops=f"{pair.flops:g}",
    )


def write(path, text):
    """Write a page unless it is there already, so that an incremental build reads only what changed."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def directive(name):
    """Return the autodoc directive for a public name that is not a pair."""
    thing = getattr(kernels, name)
    if not inspect.isclass(thing):
        return f".. autofunction:: {name}"
    kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
    return f".. {kind}:: {name}"


def toolkit():
    """Return the public names of `kernels` that are no pairs, modules or constants."""
    return [name for name in sorted(set(kernels.__all__) - set(REGISTRY)) if callable(getattr(kernels, name))]


def write_pages(app, config):
    """Write all pages."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    directives = "\n\n".join(directive(name) for name in toolkit())
    write(folder / "toolkit.rst", TOOLKIT_PAGE.format(directives=directives))
    write(folder / "device.md", DEVICE_PAGE.format(sections="\n".join(map(section, INSTRUCTIONS))))
    for family, pairs in families(REGISTRY).items():
        title = family.capitalize()
        page = PAGE.format(
            title=title,
            rule="=" * len(title),
            summary=summary(importlib.import_module(f"kernels.{family}")),
            rows="\n".join(row(name, pair) for name, pair in pairs.items()),
            pages="\n".join(f"   kernels.{name}" for name in pairs),
        )
        write(folder / f"{family}.rst", page)
        for name in pairs:
            page = FUNCTION_PAGE.format(name=name, rule="=" * len(f"kernels.{name}"))
            write(folder / f"kernels.{name}.rst", page)


def setup(app):
    """Connect the writer; Sphinx calls this."""
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True}

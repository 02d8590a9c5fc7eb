"""Configuration of the documentation; `sphinx-build -W -b html docs docs/_build/html` builds it."""

import os
import sys
from pathlib import Path

# Every page that runs code runs it in the simulator, so that the build needs no GPU and always says the same.
os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import kernels  # noqa: E402  (the simulator is chosen before Numba is imported)

project = "numba-kernels"
author = "The numba-kernels developers"
copyright = f"2026, {author}"
version = release = kernels.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "reference",
]
exclude_patterns = ["_build", "gallery/*.rst", "auto_gallery/*.py.md5", "sg_execution_times.rst"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}

default_role = "literal"
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

nitpicky = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 60,
    "plot_gallery": "True",
    "show_memory": False,
    "reference_url": {"kernels": None},
}

html_theme = "pydata_sphinx_theme"
html_title = "numba-kernels"
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

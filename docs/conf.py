"""Sphinx configuration. Build: ``python -m sphinx -W -b html docs docs/_build/html``."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

# Methods that begin in C have no types to show; these are their twins in Python.
os.environ["TRIO_RIO_ENGINE"] = "python"
sys.path.insert(0, str(Path(__file__).parent / "_sphinx"))

import inventories
import reference
import words

project = "trio_rio"
author = "the trio_rio contributors"
project_copyright = "the trio_rio contributors, under the MIT licence"
release = version = version_of("trio_rio")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib_trio",
]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_substitutions = {"version": version}
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False

# The names of others stand in files of this project, so that a build needs no network and always finds the same.
intersphinx_mapping = {name: (address, inventories.packed(name)) for name, address in inventories.ADDRESSES.items()}

# A link to what does not exist is a warning, and so an error. These have no text of their own to link to.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(trio_rio\._run\.)?(T|PosArgsT|RunOptions|GuestRunOptions)"),  # as in trio.run
    ("py:class", r"trio_rio\.rio\.types\.HandleProvider"),
    ("py:class", r"outcome\.Outcome"),
]

html_theme = "furo"
html_title = f"trio_rio {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_logo = html_favicon = "_static/logo.svg"
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"


def setup(app: Any) -> None:
    """Connect what is the project's own."""
    reference.connect(app)
    words.connect(app)

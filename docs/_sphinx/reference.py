"""What the reference shows of fields, options and constants beyond what autodoc finds by itself."""

from __future__ import annotations

import importlib
from typing import Any

import attrs
from docutils import nodes
from sphinx import addnodes
from sphinx.environment import BuildEnvironment
from sphinx.ext import intersphinx
from sphinx.pycode import ModuleAnalyzer

import trio_rio

# Where the constants and type aliases of trio_rio.rio are written down, with their comments.
DATA_MODULES = ("trio_rio.rio.types", "trio_rio.rio.addresses")

# What stands in the name of an option, and its unit. Others are numbers of things, which their text names.
UNITS = {"_bytes": "bytes", "_seconds": "seconds"}


# Full names of what docstrings and annotations call by short ones.
FULL_NAMES = {
    **{name: f"trio_rio.{name}" for name in trio_rio.__all__},
    **{name: f"trio.{name}" for name in ("BrokenResourceError", "BusyResourceError", "ClosedResourceError")},
    "Buffer": "collections.abc.Buffer",
    "array": "array.array",
}


def connect(app: Any) -> None:
    """Put the functions below around napoleon, whose priority is 500, and before a link is given up."""
    texts: dict[str, list[str]] = {}

    def keep(app: Any, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
        if what == "attribute":
            texts[name] = list(lines)

    def complete(app: Any, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
        if what == "data" and name.startswith("trio_rio.rio."):
            lines[:] = [*comment_of(name.rpartition(".")[2]), ""]
        if what == "attribute":
            # Napoleon takes what stands before a colon in the first line for a type. Ours are sentences.
            lines[:] = texts[name]
        if what == "attribute" and name.startswith("trio_rio.RioConfig."):
            lines += [f"Default: {default_of(name.rpartition('.')[2])}.", ""]

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", complete, priority=600)
    app.connect("missing-reference", find_by_short_name)


def find_by_short_name(
    app: Any, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    """A link to what is called by a short name."""
    full_name = FULL_NAMES.get(node["reftarget"])
    if full_name is None:
        return None
    longer = node.copy()
    longer["reftarget"] = full_name
    domain = env.domains["py"]
    arguments = (env, node.get("refdoc", ""), app.builder, node["reftype"], full_name, longer, content)
    found = domain.resolve_xref(*arguments)
    return found or intersphinx.missing_reference(app, env, longer, content)


def comment_of(name: str) -> list[str]:
    """The comment of a constant or type alias in the module that defines it."""
    for module in DATA_MODULES:
        if hasattr(importlib.import_module(module), name):
            analyzer = ModuleAnalyzer.for_module(module)
            analyzer.analyze()
            return list(analyzer.attr_docs["", name])
    raise LookupError(f"no module of DATA_MODULES has {name}")


def default_of(option: str) -> str:
    """The default of an option, with its unit where the name has one."""
    default = getattr(attrs.fields(trio_rio.RioConfig), option).default
    unit = next((unit for part, unit in UNITS.items() if part in option), "")
    return f"``{default!r}`` {unit}" if unit and default is not None else f"``{default!r}``"

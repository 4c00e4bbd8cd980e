"""The folders of the package, who may import whom, and that nothing imports itself in a circle.

Imports for types count like all others: what cannot be annotated without a circle is not cut yet.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "trio_rio"

# What a part of the package may import, beside itself. A part is a folder, or a module of the top folder.
BASE = {"_config", "_errors", "_statistics", "_trio", "_trio_versions"}
FACE = {"__init__", "_run", "testing", "monitoring"}
MAY_IMPORT: dict[str, set[str]] = {
    "rio": set(),
    "_errors": {"rio"},
    "_statistics": {"rio"},
    "_config": {"rio", "_errors"},
    "_trio_versions": set(),
    "_trio": {"_errors", "_trio_versions"},
    "_engine": {"rio", *BASE},
    "_managers": {"rio", "_engine", *BASE},
    "_sockets": {"rio", "_engine", *BASE},
    "_datagrams": {"rio", "_engine", *BASE},
    "_streams": {"rio", "_engine", "_sockets", *BASE},
    "_looking": {"rio", "_engine", *BASE},
    "_run": {"rio", "_engine", "_managers", "_sockets", "_looking", *BASE},
    "monitoring": {"rio", "_engine", "_looking", *BASE},
    "testing": {"rio", "_engine", *BASE},
    "__init__": {"rio", "_run", "_streams", "_datagrams", *BASE},
    "pytest_plugin": {"rio", *FACE},
    "_cli": {"rio", "_looking", *FACE, *BASE},
    "__main__": {"_cli"},
}

# Inside the engine, from the bottom to the top: a module imports only from those before it.
ENGINE = (
    "arena", "copies", "leftovers", "own_sockets", "fields", "counters", "requests", "in_c", "packet_handlers",
    "completions", "lease", "resources", "traffic", "conflicts", "read_ahead", "send_window", "channel", "taking",
    "accounting", "engine", "notifier", "current", "lease_block",
)  # fmt: skip

# Where the platform may be asked for.
PLATFORM_AWARE = ("rio", "_managers", "_run", "_cli")
PLATFORM_QUESTIONS = {("sys", "platform"), ("os", "name"), ("platform", "system")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The dotted name of a module, without that of the package; ``__init__`` is the package's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def part_of(path: Path) -> str:
    """The name in :data:`MAY_IMPORT` that a module falls under."""
    return name_of(path).split(".")[0]


def imported_names(path: Path) -> Iterator[str]:
    """Absolute dotted names of what a module imports, down to the names of a ``from`` import."""
    package = ["trio_rio", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*prefix, alias.name]) for alias in node.names)


def imported_modules(path: Path) -> Iterator[str]:
    """Dotted names, as of :func:`name_of`, of the modules of the package that a module imports."""
    known = {name_of(module) for module in modules()}
    for name in imported_names(path):
        head, *rest = name.split(".")
        if head == "trio_rio":
            while rest and ".".join(rest) not in known:
                rest.pop()
            yield ".".join(rest) or "__init__"


def test_each_part_has_its_rule() -> None:
    """No folder, and no module of the top folder, is without a rule; and no rule is without a part."""
    assert {part_of(path) for path in modules()} == set(MAY_IMPORT)


def test_imports_keep_to_the_rules() -> None:
    """A part imports only what it may."""
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in modules()
        for name in imported_modules(path)
        if (part := name.split(".")[0]) != part_of(path) and part not in MAY_IMPORT[part_of(path)]
    ]
    assert wrong == []


def test_the_rules_have_an_order() -> None:
    """The parts can be put in a row in which each imports only from those before it."""
    left = dict(MAY_IMPORT)
    while ready := [part for part, allowed in left.items() if not allowed & set(left)]:
        for part in ready:
            del left[part]
    assert left == {}


def test_the_engine_has_an_order() -> None:
    """Inside ``_engine`` a module imports only from those before it in :data:`ENGINE`."""
    paths = {path.stem: path for path in modules() if part_of(path) == "_engine" and path.stem != "__init__"}
    assert sorted(paths) == sorted(ENGINE)
    wrong = [
        f"{module} imports {inner}"
        for place, module in enumerate(ENGINE)
        for name in imported_modules(paths[module])
        if name.startswith("_engine.") and (inner := name.split(".")[1]) not in ENGINE[:place]
    ]
    assert wrong == []


def test_nothing_imports_itself() -> None:
    """There is no circle of imports, those for types included."""
    left = {name_of(path): set(imported_modules(path)) - {name_of(path)} for path in modules()}
    while ready := [name for name, imported in left.items() if not imported & set(left)]:
        for name in ready:
            del left[name]
    assert left == {}


def test_rio_does_not_know_trio() -> None:
    """Nothing in ``trio_rio.rio`` imports Trio."""
    found = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules()
        if part_of(path) == "rio"
        for name in imported_names(path)
        if name.split(".")[0] == "trio"
    ]
    assert found == []


def test_the_inside_of_trio_is_touched_in_one_place() -> None:
    """Names of Trio's that begin with an underscore are imported in ``_trio`` and nowhere else."""
    found = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules()
        if part_of(path) != "_trio"
        for name in imported_names(path)
        if name.split(".")[0] == "trio" and "._" in name
    ]
    assert found == []


def test_only_the_lower_layers_ask_for_the_platform() -> None:
    """``sys.platform`` and its like stand in ``rio``, ``_managers``, ``_run`` and ``_cli`` only."""
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in modules()
        if part_of(path) not in PLATFORM_AWARE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if (node.value.id, node.attr) in PLATFORM_QUESTIONS
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from . import a\nfrom .b import c", ["trio_rio.rio.a", "trio_rio.rio.b.c"]),
        ("from .. import _run\nfrom .._run import run", ["trio_rio._run", "trio_rio._run.run"]),
        ("def f():\n    import trio.socket", ["trio.socket"]),
        ("if TYPE_CHECKING:\n    import trio", ["trio"]),
    ],
)
def test_imports_are_found(text: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative imports become absolute; those inside functions, and for types, count."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert list(imported_names(PACKAGE / "rio" / "x.py")) == names

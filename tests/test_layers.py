"""The layers of the package, and the only allowed direction of imports: down."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "trio_rio"

# From the bottom to the top. A name stands for a module, or for a package with all in it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("rio",),
    ("_config", "_engine", "_errors", "_statistics", "_trio"),
    ("_managers",),
    ("__init__", "_datagrams", "_run", "_sockets", "_streams", "pytest_plugin", "testing"),
    ("__main__", "_cli"),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Where the platform may be asked for.
PLATFORM_AWARE = ("rio", "_managers", "_run", "_cli")
PLATFORM_QUESTIONS = {("sys", "platform"), ("os", "name"), ("platform", "system")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The name in :data:`LAYERS` that a module falls under."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_at_run_time(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports below a node, those inside functions too, but not those under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not is_for_types_only(child):
            yield from imports_at_run_time(child)


def imported_names(path: Path) -> Iterator[str]:
    """Absolute dotted names of what a module imports, down to the names of a ``from`` import."""
    package = ["trio_rio", *path.relative_to(PACKAGE).parent.parts]
    for node in imports_at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        prefix = [*base, *([node.module] if node.module else [])]
        yield from (".".join([*prefix, alias.name]) for alias in node.names)


def imported_part(name: str) -> str | None:
    """The part of the package that an imported name belongs to; ``None`` for other packages."""
    head, *rest = name.split(".")
    if head != "trio_rio":
        return None
    return rest[0] if rest and rest[0] in RANKS else "__init__"


def test_each_module_has_a_layer() -> None:
    """No module is outside the layers."""
    assert {part_of(path) for path in modules()} - set(RANKS) == set()


def test_imports_go_downwards() -> None:
    """A module imports only from its own layer and from those below it."""
    upward = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules()
        for name in imported_names(path)
        if (part := imported_part(name)) is not None and RANKS[part] > RANKS.get(part_of(path), -1)
    ]
    assert upward == []


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
        ("if TYPE_CHECKING:\n    import trio", []),
    ],
)
def test_imports_are_found(text: str, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative imports become absolute; those inside functions count, and those for types do not."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert list(imported_names(PACKAGE / "rio" / "x.py")) == names

"""The page about trouble has each text of the package's own errors, warnings and lines in the log."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "howto" / "troubleshooting.md"

# What is called with a text that a user may see. Errors of arguments say themselves what to do, and are not listed.
SPEAKERS = {
    "RioError", "RioUnavailableError", "RioResourceError", "NothingCameError", "_refusal",
    "warn", "warn_explicit", "report", "warning", "info", "error", "BufferError",
}  # fmt: skip
OF_SOCKETS = {"OSError"}
WORDS_MIN = 10


def normal(text: str) -> str:
    """A text without marks of Markdown and with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"[*`>]", "", text))


def constants(node: ast.AST) -> Iterator[str]:
    """The clauses of the texts in an expression, without what a format puts in."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield from (piece.strip(" :;,().") for piece in re.split(r"%\w|[:;.] |, | \(", inner.value))


def texts(source: str, speakers: set[str]) -> list[list[str]]:
    """For each call of a speaker with a text, the clauses of it that are long enough to be told from others."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            pieces = [piece for one in arguments for piece in constants(one) if len(piece) >= WORDS_MIN]
            if name in speakers and pieces:
                found.append(pieces)
    return found


def missing_on(page: str, source: str, speakers: set[str]) -> list[str]:
    """The texts of a source of which the page has no clause."""
    shown = normal(page)
    return [max(pieces, key=len) for pieces in texts(source, speakers) if not any(normal(p) in shown for p in pieces)]


def sources() -> Iterator[tuple[Path, set[str]]]:
    """The modules whose texts a program can meet, and the speakers that count there."""
    for path in sorted((ROOT / "trio_rio").rglob("*.py")):
        if "_cli" not in path.parts:
            yield path, SPEAKERS | (OF_SOCKETS if "_sockets" in path.parts or "portable" in path.parts else set())


def test_the_page_has_each_text() -> None:
    """Of each text that the package says, the page has a clause that can be searched for."""
    page = PAGE.read_text(encoding="utf-8")
    missing = [
        f"{path.relative_to(ROOT)}: {text}"
        for path, speakers in sources()
        for text in missing_on(page, path.read_text(encoding="utf-8"), speakers)
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ('raise RioError("the moon is in the wrong phase")', ["the moon is in the wrong phase"]),
        ('raise RioError(f"the moon {x} is elsewhere now")', ["is elsewhere now"]),
        ('_log.warning("the sun: %s is elsewhere", x)', ["is elsewhere"]),
        ('raise RioError("all is well here")', []),
        ('raise ValueError("the moon is in the wrong phase")', []),
    ],
)
def test_a_text_that_is_missing_is_found(source: str, missing: list[str]) -> None:
    """A text that the page does not have is reported; errors of arguments do not count."""
    assert missing_on("> all is *well*\n> here", source, SPEAKERS) == missing

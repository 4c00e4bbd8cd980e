"""The blocks of code in README.md and the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts)])
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """A block of code: its page, the line where it begins, its language, and what is in it."""

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """``docs/tutorial.md:20``, for messages."""
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """All blocks of a page, those of no language too."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        inner = "\n".join(line.removeprefix(found[1]) for line in found[3].split("\n"))
        yield Block(page.relative_to(ROOT).as_posix(), text.count("\n", 0, found.start()) + 1, found[2], inner)


def blocks(*languages: str) -> list[Block]:
    """The blocks of these languages, in all pages."""
    return [block for page in PAGES for block in blocks_of(page) if block.language in languages]

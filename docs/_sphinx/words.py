"""Where long words in code may be broken: after a sign in them, so that a narrow page or column cuts nothing off.

A browser breaks ``trio_rio.current_statistics()`` nowhere, or, if it must, in the middle of a name; and it breaks an
option such as ``--dump`` after its hyphens.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

# Shorter ones stay whole: in a column, and elsewhere.
LENGTH_MIN_IN_TABLE, LENGTH_MIN = 13, 25

_CELL = re.compile(r"(<td\b.*?</td>)", re.DOTALL)
_LITERAL = re.compile(r'(?<=<span class="pre">)[^<]+(?=</span>)')
_SIGNS = re.compile(r"(?<=[\w\])])(?:::|/|=|\.|_|\(|,)(?=[\w\"'(\[])")


def connect(app: Any) -> None:
    """Mark the places in each page."""
    app.connect("html-page-context", mark)


def mark(app: Any, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Put ``<wbr>`` into the literals of a page."""
    if "body" in context:
        parts = _CELL.split(context["body"])  # every second one is a cell
        context["body"] = "".join(
            breakable(part, LENGTH_MIN_IN_TABLE if number % 2 else LENGTH_MIN) for number, part in enumerate(parts)
        )


def breakable(html: str, length_min: int) -> str:
    """A piece of a page, with the places where its literals may be broken."""

    def broken(found: re.Match[str]) -> str:
        word = found[0]
        return _SIGNS.sub(r"\g<0><wbr>", word) if len(unescape(word)) >= length_min else word

    return _LITERAL.sub(broken, html)

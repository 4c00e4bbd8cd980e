"""The pictures of terminals in the documentation: how they are taken, and that pages show them."""

from __future__ import annotations

import re
from html import unescape

import pytest

from .pages import PAGES

pytest.importorskip("fcntl", reason="there are no pseudo-terminals")
pytest.importorskip("rich")

from . import terminals

TEXT = re.compile(r'<text class="[^"]*-r\d+" x="([\d.]+)" y="[\d.]+" textLength="([\d.]+)"[^>]*>(.*?)</text>')
CELL = 12.2  # the width of a character, as rich draws it


@pytest.mark.parametrize("name", terminals.SHOWN)
def test_a_picture_has_eighty_columns(name: str) -> None:
    """Each picture begins with its command, and nothing in it stands beyond the eightieth column."""
    texts = TEXT.findall((terminals.FOLDER / f"terminal-{name}.svg").read_text(encoding="utf-8"))
    first = unescape(texts[0][2]).replace("\N{NO-BREAK SPACE}", " ")
    assert first.startswith(f"$ python -m trio_rio {name}")
    assert len(texts) > 10
    ends = [(float(x) + float(width)) / CELL for x, width, _ in texts]
    assert max(ends) <= terminals.COLUMNS + 0.01


@pytest.mark.parametrize("name", terminals.SHOWN)
def test_a_picture_is_shown(name: str) -> None:
    """A page of the documentation shows each picture."""
    assert any(f"_static/terminal-{name}.svg)" in page.read_text(encoding="utf-8") for page in PAGES)


def test_a_command_has_a_terminal() -> None:
    """What is captured was written to a terminal of 80 columns, where no COLUMNS is set."""
    program = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size(1).columns, os.environ.get('COLUMNS'))"
    assert terminals.captured(["python", "-c", program]) == "True 80 None\r\n"


def test_what_was_erased_is_gone() -> None:
    """Of lines that were written over and over only the last state is on the screen, with its colours."""
    output = "one\r\n\r\x1b[Kworking\r\x1b[Ktwo\r\nold\r\nold\r\n\x1b[?25l\x1b[2A\x1b[2K\x1b[32mnew\x1b[0m\r\n\x1b[2K\r"
    assert terminals.screen(output) == ["one", "two", "\x1b[32mnew\x1b[0m"]


@pytest.mark.parametrize("output", ["x" * 81, "\x1b[32m" + "x" * 81 + "\x1b[0m", "\x1b[5C"])
def test_what_cannot_be_shown_is_refused(output: str) -> None:
    """A line that is too long, and a movement that is not known, are errors instead of a wrong picture."""
    terminals.screen("x" * 80)
    with pytest.raises(ValueError):
        terminals.screen(output)


def test_a_drawing_needs_no_network() -> None:
    """A picture names no font that would have to be fetched, and has the colours."""
    svg = terminals.drawn("one", ["\x1b[32mgreen\x1b[0m"])
    assert "green" in svg
    assert "url(http" not in svg
    assert "#98a84b" in svg

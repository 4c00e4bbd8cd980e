"""Progress in plain text: a heading at once, its outcome after it; on a terminal also what happens in between."""

from __future__ import annotations

import sys

import attrs

from .text import line_width, wrap

_INDENT = 11


@attrs.define(eq=False)
class Progress:
    """See the module's docstring."""

    is_terminal: bool = attrs.field(factory=lambda: sys.stdout.isatty())
    _heading: str = ""

    def start(self, heading: str) -> None:
        """Begin a line."""
        self._heading = f"{heading:<{_INDENT}}"
        self._write(f"{self._heading}..." if self.is_terminal else self._heading)

    def note(self, text: str) -> None:
        """Say what happens now; only a terminal shows it, and no more of it than fits into a line."""
        if self.is_terminal:
            self._write(f"\r\x1b[K{f'{self._heading}{text}'[: (line_width() or 80) - 1]}")

    def finish(self, text: str) -> None:
        """End the line with its outcome."""
        whole = "\n".join(wrap(f"{self._heading}{text}", _INDENT))
        self._write(f"\r\x1b[K{whole}\n" if self.is_terminal else f"{whole[len(self._heading) :]}\n")

    def erase(self) -> None:
        """End the line without an outcome: it is not there any more."""
        self._write("\r\x1b[K" if self.is_terminal else "")

    def line(self, heading: str, text: str) -> None:
        """A whole line."""
        self._write("\n".join([*wrap(f"{heading:<{_INDENT}}{text}", _INDENT), ""]))

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

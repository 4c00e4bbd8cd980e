"""What is going on, for whoever looks at a terminal."""

from __future__ import annotations

import sys


def progress(text: str) -> None:
    """Show ``text`` in place of what was shown before; nothing where standard error is not a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

"""The exit codes, and the message of a command that cannot begin."""

from __future__ import annotations

import sys

EXIT_OK = 0
EXIT_UNAVAILABLE = 1
EXIT_USAGE = 2


def fail(message: str) -> int:
    """Print an error; the exit code for it."""
    print(f"trio_rio: {message}", file=sys.stderr)
    return EXIT_USAGE

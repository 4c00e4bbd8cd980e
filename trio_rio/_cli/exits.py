"""The exit codes, and how a command ends: well, by an error, by Ctrl-C, or since nobody reads any more."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells count


def fail(message: str) -> int:
    """Print an error; the exit code for it."""
    print(f"trio_rio: {message}", file=sys.stderr)
    return EXIT_USAGE


def needs(what: str, *packages: str) -> str:
    """What lacks packages of others, and how to get them: by their own names, with or without a release of trio_rio."""
    return f"{what} needs {' and '.join(packages)}: pip install {' '.join(packages)}"


def end_quietly(command: Callable[[], int]) -> int:
    """Call a command, and flush what it printed. Its exit code, or that of Ctrl-C or of an output that was closed."""
    try:
        try:
            return command()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        # Windows says EINVAL of a pipe that has no reader.
        if not isinstance(error, BrokenPipeError) and not (sys.platform == "win32" and error.errno == errno.EINVAL):
            raise
        # Python flushes once more at its end, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return EXIT_CLOSED_PIPE

"""What both opponents on uvloop share: finding it, and running a server on it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Any

from . import ServerSettings
from ._python_server import announce

# As many waiting connections as Trio's listeners ask for; asyncio's own 100 would be a limit of its own.
BACKLOG = 65535


def load_uvloop() -> Any:
    """The package, if it is there."""
    # By name: the opponents must be listed even where it cannot be imported.
    return importlib.import_module("uvloop")


def missing() -> str | None:
    """Why it cannot run here, or ``None``."""
    try:
        load_uvloop()
    except ImportError as error:
        return f"uvloop cannot be imported ({error}). Remedy: pip install uvloop"
    return None


def say_port(port: int) -> None:
    """Tell the parent that the server serves."""
    announce(port, {"version": load_uvloop().__version__})


def run(serve: Callable[[ServerSettings], Awaitable[None]], settings: ServerSettings) -> None:
    """Run a server on uvloop until the process is ended."""

    async def main() -> None:
        await serve(settings)

    with asyncio.Runner(loop_factory=load_uvloop().new_event_loop) as runner:
        runner.run(main())

"""RioListener: the program of stock Trio on ``trio.serve_listeners``, with listeners of trio_rio.

Beside :mod:`.rio_stream` it shows what ``trio_rio.serve_tcp`` does otherwise when it accepts.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from . import Opponent
from ._python_server import parse_settings, python_command
from ._trio_program import serve
from .trio_rio_run import facts, load_trio_rio, missing

OPPONENT = Opponent(
    "rio_listener",
    "RioListener, trio.serve_listeners",
    python_command("rio_listener"),
    missing,
    workloads=frozenset({"accept"}),
    order=13,
)


async def serve_listeners(
    handler: Callable[[Any], Awaitable[object]],
    port: int,
    *,
    host: str,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
) -> None:
    """As ``trio.serve_tcp``, with RioListeners."""
    listeners = await load_trio_rio().open_tcp_listeners(port, host=host)
    await trio.serve_listeners(handler, listeners, task_status=task_status)


if __name__ == "__main__":
    load_trio_rio().run(functools.partial(serve, serve_tcp=serve_listeners), parse_settings(), facts)

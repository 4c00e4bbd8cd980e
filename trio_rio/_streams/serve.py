"""Serving TCP by Trio's own loop of accepting, which takes any listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

# By this name, so that a program may put the function below in place of Trio's.
from trio import serve_listeners as serve_trio_listeners

from .listener import RioListener
from .open import open_tcp_listeners
from .stream import RioStream


async def serve_tcp(
    handler: Callable[[RioStream], Awaitable[object]],
    port: int,
    *,
    host: str | bytes | None = None,
    backlog: int | None = None,
    handler_nursery: trio.Nursery | None = None,
    task_status: trio.TaskStatus[list[RioListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen, and run a task of ``handler(stream)`` for each connection, until it is cancelled.

    As :func:`trio.serve_tcp`; by :func:`trio.serve_listeners`. The handler's stream is closed when it returns.

    Args:
      handler: an async function; what it raises goes to the nursery.
      port, host, backlog: as for :func:`open_tcp_listeners`.
      handler_nursery: where the handlers run; ``None`` for one of its own.
      task_status: ``listeners = await nursery.start(serve_tcp, handler, 0)`` gives the listeners.

    Raises:
      OSError: nothing could be listened to, or accepting failed for good.
    """
    listeners = await open_tcp_listeners(port, host=host, backlog=backlog)
    serve: Any = serve_trio_listeners
    await serve(handler, listeners, handler_nursery=handler_nursery, task_status=task_status)

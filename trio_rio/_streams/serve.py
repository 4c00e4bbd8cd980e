"""Serving TCP: a loop of accepting that takes what is there, and handlers whose end costs little.

Facts. A server whose connections are short spends most of its time on their beginning and end. ``accept`` of a stream
is a tick of the run loop, though a hundred connections may be waiting; a socket that inherits its options from the
listener need not be given them; a forced close raises Cancelled and catches it, also when the stream is closed already.

Decision. One wake-up takes up to 32 connections, and starts their handlers in one step: no checkpoint is between, so
that a cancelled loop leaves none behind. A handler's stream is closed at its end without a checkpoint. What goes wrong
with accepting is for :meth:`RioListener.accept` to tell: Trio has learnt over years which errors pass."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Awaitable, Callable

import trio

from .listener import RioListener
from .open import open_tcp_listeners
from .stream import RioStream

# As many connections as are taken before other tasks run.
_ACCEPTS_MAX = 32

# The system, or the process, has no room for another connection now. Trio's own list, and its time to wait.
_NO_ROOM_ERRNOS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
_RETRY_SECONDS = 0.100

_log = logging.getLogger("trio_rio.serve_tcp")


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

    As :func:`trio.serve_tcp`. The handler's stream is closed when it returns. While there is no room for another
    connection (descriptors, memory), that is said in the log, and tried again ten times a second.

    Args:
      handler: an async function; what it raises goes to the nursery.
      port, host, backlog: as for :func:`open_tcp_listeners`.
      handler_nursery: where the handlers run; ``None`` for one of its own.
      task_status: ``listeners = await nursery.start(serve_tcp, handler, 0)`` gives the listeners.

    Raises:
      OSError: nothing could be listened to, or accepting failed for good.
    """
    listeners = await open_tcp_listeners(port, host=host, backlog=backlog)
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(_serve_one, listener, handler_nursery or nursery, handler)
        task_status.started(listeners)


async def _serve_one(
    listener: RioListener, nursery: trio.Nursery, handler: Callable[[RioStream], Awaitable[object]]
) -> None:
    async with listener:
        while True:
            try:
                await listener._wait()
                _start_handlers(listener._accept_waiting() or await listener.accept(), listener, nursery, handler)
            except OSError as error:
                if error.errno not in _NO_ROOM_ERRNOS:
                    raise
                name = errno.errorcode[error.errno]
                _log.error(
                    "accept failed with %s (%s): next try in %g s", name, os.strerror(error.errno), _RETRY_SECONDS
                )
                await trio.sleep(_RETRY_SECONDS)


def _start_handlers(
    stream: RioStream | None,
    listener: RioListener,
    nursery: trio.Nursery,
    handler: Callable[[RioStream], Awaitable[object]],
) -> None:
    """Start a task for this stream, and for those that wait to be accepted."""
    for left in reversed(range(_ACCEPTS_MAX)):
        if stream is None:
            return
        try:
            nursery.start_soon(_run_handler, stream, handler)
        except BaseException:  # the nursery takes no tasks any more
            stream._close()
            raise
        stream = listener._accept_waiting() if left else None


async def _run_handler(stream: RioStream, handler: Callable[[RioStream], Awaitable[object]]) -> None:
    try:
        await handler(stream)
    finally:
        stream._close()

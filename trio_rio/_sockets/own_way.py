"""Trio's own way of a call: try it, and as long as it would block, wait for readiness and try again.

Facts. Most connections have few calls in their life: a request, its answer, the end. A channel costs as much as four
such calls, since a request queue is made for it, and its requests are cancelled before the socket is closed. Trio's own
way leaves nothing behind but an entry in the set of readiness waits. Where receives are made on demand and sends one by
one, a program cannot tell the two apart.

Decision. There (:attr:`Resources.attaches_late`) the first calls of a stream go Trio's own way, and the channel is made
for those that follow. The steps are those of the stock socket class, in one frame; where there is an engine in C, none
(``_engine/native/own_way.c``)."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from trio.lowlevel import checkpoint, wait_readable

from .._trio import SHIELDED_CHECKPOINT, async_yield, enter_cancel_point

T = TypeVar("T")

# Calls of a stream before its channel is made. A connection that has more is likely to have many.
CALLS_WITHOUT_CHANNEL = 4


async def own_way(
    wait: Callable[[socket.socket], Awaitable[None]], sock: socket.socket, call: Callable[..., T], *arguments: Any
) -> T:
    """``call(sock, *arguments)``, when it need not wait any more. A checkpoint; cancelled, nothing was done."""
    if enter_cancel_point():
        await checkpoint()
    is_done = True
    try:
        return call(sock, *arguments)
    except BlockingIOError:
        is_done = False
    finally:
        if is_done:
            await async_yield(SHIELDED_CHECKPOINT)
    return await when_ready(wait, sock, call, *arguments)


async def when_ready(
    wait: Callable[[socket.socket], Awaitable[None]], sock: socket.socket, call: Callable[..., T], *arguments: Any
) -> T:
    """As :func:`own_way`, of a call that would block now."""
    while True:
        await wait(sock)
        try:
            return call(sock, *arguments)
        except BlockingIOError:
            pass


async def recv_when_ready(_: object, sock: socket.socket, bufsize: int) -> bytes:
    """Of a Trio socket, of the socket inside."""
    return await when_ready(wait_readable, sock, socket.socket.recv, bufsize)


async def accept_when_ready(trio_socket: Any, sock: socket.socket, _: None) -> Any:
    """As :func:`recv_when_ready`."""
    return await when_ready(wait_readable, sock, trio_socket._accept_now)

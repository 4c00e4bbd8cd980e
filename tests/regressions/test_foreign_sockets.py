"""Sockets that a program's own socket factory makes: they are no stdlib sockets inside."""

from __future__ import annotations

import socket
from typing import Any

import trio

import trio_rio


class ForeignSocket(trio.socket.SocketType):
    """A Trio socket of a program's own class, whose calls another socket does."""

    def __init__(self, family: int, kind: int) -> None:
        self._inside = trio.socket.from_stdlib_socket(socket.socket(family, kind))

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        return getattr(self._inside, name)


class Factory(trio.abc.SocketFactory):
    def socket(self, family: int = 0, type: int = 0, proto: int = 0) -> ForeignSocket:
        return ForeignSocket(family, type)


async def test_serve_tcp_accepts_on_sockets_of_a_factory() -> None:
    """A listener on a socket of a program's own class accepts by the methods of that class."""
    trio.socket.set_custom_socket_factory(Factory())

    async def answer(stream: trio_rio.RioStream) -> None:
        await stream.send_all(b"hello")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio_rio.serve_tcp, answer, 0)
        assert all(type(listener.socket) is ForeignSocket for listener in listeners)
        number = listeners[0].socket.getsockname()[1]
        stream = await trio.open_tcp_stream("127.0.0.1", number)
        with trio.fail_after(5):
            assert await stream.receive_some(5) == b"hello"
        await stream.aclose()
        nursery.cancel_scope.cancel()

"""Opening and serving: what the functions promise beyond what Trio's own do in the same scenario."""

from __future__ import annotations

import errno
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_rio
from trio_rio import RioListener, RioStream

from ..platforms import OTHER_LOOPBACK
from .harness import BOTH_MODES, python

pytestmark = BOTH_MODES


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def test_rio_serves_what_was_opened() -> None:
    """Both ends of a connection have a request queue once they were used, and give it back when they close."""
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        client = await trio_rio.open_tcp_stream(*listener.socket.getsockname())
        async with client, await listener.accept() as server:
            for _ in range(3):
                await client.send_all(b"x")
                assert await server.receive_some() == b"x"
                await server.send_all(b"y")
                assert await client.receive_some() == b"y"
            assert trio_rio.current_statistics().sockets_open == 2
    assert trio_rio.current_statistics().sockets_open == 0


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this Python has no UNIX sockets")
async def test_unix_sockets_are_not_served_and_work(tmp_path: Path) -> None:
    """A stream on a UNIX socket is there, carries bytes, and has no request queue."""
    path = tmp_path / "socket"
    with trio.socket.socket(socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen()
        client = await trio_rio.open_unix_socket(path)
        async with client, await RioListener(listening).accept() as server:
            assert (type(client), type(server)) == (RioStream, RioStream)
            await client.send_all(b"hello")
            assert await server.receive_some() == b"hello"
            assert trio_rio.current_statistics().sockets_open == 0
    with pytest.raises(OSError):
        await trio_rio.open_unix_socket(tmp_path / "nothing")


async def test_the_arguments_of_connecting() -> None:
    """The local address is used, waiting for each address can be chosen, and refusal is an OSError."""
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1", backlog=5)
    port = listener.socket.getsockname()[1]
    async with listener:
        opened = trio_rio.open_tcp_stream("localhost", port, happy_eyeballs_delay=None, local_address=OTHER_LOOPBACK)
        async with await opened as client, await listener.accept() as server:
            assert client.socket.getsockname()[0] == OTHER_LOOPBACK
            assert server.socket.getpeername() == client.socket.getsockname()
    with pytest.raises(OSError):
        await trio_rio.open_tcp_stream("127.0.0.1", port)


async def test_handlers_may_run_in_another_nursery() -> None:
    """With handler_nursery, a handler goes on when the serving has been cancelled."""
    async with trio.open_nursery() as handlers:
        async with trio.open_nursery() as nursery:
            serve = partial(trio_rio.serve_tcp, echo, 0, host="127.0.0.1", handler_nursery=handlers)
            listeners: Any = await nursery.start(serve)
            client = await trio_rio.open_tcp_stream(*listeners[0].socket.getsockname())
            await client.send_all(b"x")
            assert await client.receive_some() == b"x"
            nursery.cancel_scope.cancel()
        async with client:
            await client.send_all(b"y")
            assert await client.receive_some() == b"y"


async def test_cancelled_accepting_loses_no_connection() -> None:
    """A connection that came while an accept was cancelled is there for the next one."""
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        with trio.move_on_after(0) as scope:
            await listener.accept()
        assert scope.cancelled_caught
        client = await trio_rio.open_tcp_stream(*listener.socket.getsockname())
        with trio.CancelScope() as scope:
            scope.cancel()
            await listener.accept()
        assert scope.cancelled_caught
        async with client, await listener.accept() as server:
            await server.send_all(b"x")
            assert await client.receive_some() == b"x"


@pytest.mark.parametrize(
    ("number", "is_passed_over"),
    [(errno.ECONNABORTED, True), (errno.EPERM, True), (errno.EMFILE, False), (errno.ENOBUFS, False)],
)
async def test_errors_of_accepting(number: int, is_passed_over: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What concerns one connection is passed over; what concerns the listener is raised as it is."""
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    accept = type(listener.socket).accept
    errors = [OSError(number, "as if")]

    async def failing(sock: Any) -> Any:
        if errors:
            await trio.lowlevel.checkpoint()
            raise errors.pop()
        return await accept(sock)

    monkeypatch.setattr(type(listener.socket), "accept", failing)
    async with listener, await trio_rio.open_tcp_stream(*listener.socket.getsockname()):
        if not is_passed_over:
            with pytest.raises(OSError, match="as if") as caught:
                await listener.accept()
            assert caught.value.errno == number
        await (await listener.accept()).aclose()


NO_DESCRIPTORS_LEFT = """
import errno, os, resource, trio, trio_rio
async def main():
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio_rio.open_tcp_stream(*listener.socket.getsockname())
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    try:
        await listener.accept()
    except OSError as error:
        print(errno.errorcode[error.errno])
    for fd in held:
        os.close(fd)
    server = await listener.accept()
    await server.send_all(b"still served")
    print(await client.receive_some())
    for it in (client, server, listener):
        await it.aclose()
trio_rio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not limit descriptors so")
def test_a_listener_outlives_the_lack_of_descriptors(rio_provider: str, mode: str) -> None:
    """Without a free descriptor accept raises EMFILE; with one, it gives the connection that waited."""
    assert python(NO_DESCRIPTORS_LEFT, provider=rio_provider).stdout == "EMFILE\nb'still served'\n"

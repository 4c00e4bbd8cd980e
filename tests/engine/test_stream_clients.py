"""Libraries that know nothing of trio_rio, on its streams: TLS, serve_listeners, httpcore, anyio."""

from __future__ import annotations

import ssl
import sys
from functools import partial
from typing import Any

import anyio
import httpcore
import pytest
import trio
import trustme
from trio.testing import check_two_way_stream

import trio_rio
from trio_rio import RioListener, RioStream

from .harness import BOTH_MODES, numbered, scaled, tcp_pair

pytestmark = BOTH_MODES


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The client's side of TLS, which trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def http_by_rio_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that call trio.open_tcp_stream get a RioStream."""
    monkeypatch.setattr(trio, "open_tcp_stream", trio_rio.open_tcp_stream)


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def exchange(stream: trio.abc.Stream, total: int) -> None:
    """Send numbered bytes to an echo, and check what comes back."""

    async def send() -> None:
        for start in range(0, total, 70_000):
            await stream.send_all(numbered(3, start, min(start + 70_000, total)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        count = 0
        while count < total:
            data = await stream.receive_some()
            assert data == numbered(3, count, count + len(data))
            count += len(data)


async def test_tls_over_rio_streams(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """trio.SSLStream and trio.SSLListener work on RioStream and RioListener, bulk in both directions."""
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        tls_listener: trio.SSLListener[RioStream] = trio.SSLListener(listener, server_tls)
        await nursery.start(trio.serve_listeners, echo, [tls_listener])
        transport = await trio_rio.open_tcp_stream("localhost", listener.socket.getsockname()[1])
        client = trio.SSLStream(transport, client_tls, server_hostname="localhost")
        async with client:
            await exchange(client, scaled(1 << 20, 1 << 24))
        nursery.cancel_scope.cancel()


async def test_tls_keeps_its_contract_on_rio_streams(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """A TLS stream on RioStreams is a Stream, as Trio defines it."""

    async def make() -> tuple[trio.SSLStream[RioStream], trio.SSLStream[RioStream]]:
        ours, theirs = map(RioStream, await tcp_pair())
        client = trio.SSLStream(ours, client_tls, server_hostname="localhost")
        server = trio.SSLStream(theirs, server_tls, server_side=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            nursery.start_soon(server.do_handshake)
        return client, server

    await check_two_way_stream(make, None)


async def test_serve_listeners_on_rio_listeners() -> None:
    """trio.serve_listeners hands RioStreams to its handler and closes them."""
    seen = []

    async def handler(stream: RioStream) -> None:
        seen.append(stream)
        await stream.send_all(await stream.receive_some())

    listeners = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handler, listeners)
        async with await trio_rio.open_tcp_stream(*listeners[0].socket.getsockname()) as client:
            await client.send_all(b"hello")
            assert await client.receive_some(5) == b"hello"
            assert await client.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert [type(listener) for listener in listeners] == [RioListener]
    assert [(type(stream), stream.socket.fileno()) for stream in seen] == [(RioStream, -1)]


async def serve_http(stream: trio.abc.Stream) -> None:
    """Answers each request with its path, and keeps the connection."""
    received = bytearray()
    async for data in stream:
        received += data
        while b"\r\n\r\n" in received:
            head, _, rest = bytes(received).partition(b"\r\n\r\n")
            received = bytearray(rest)
            path = head.split()[1]
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))


async def serve_tls(tls: ssl.SSLContext, task_status: trio.TaskStatus[int]) -> None:
    (listener,) = await trio_rio.open_tcp_listeners(0, host="127.0.0.1")
    tls_listener: trio.SSLListener[RioStream] = trio.SSLListener(listener, tls)
    task_status.started(listener.socket.getsockname()[1])
    async with tls_listener, trio.open_nursery() as nursery:
        await trio.serve_listeners(serve_http, [tls_listener], handler_nursery=nursery)


@pytest.mark.usefixtures("http_by_rio_streams")
async def test_httpcore_on_rio_streams(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    """httpcore's own Trio backend works on RioStream, with TLS and without, and keeps connections alive."""
    async with trio.open_nursery() as nursery:
        listeners: Any = await nursery.start(partial(trio_rio.serve_tcp, serve_http, 0, host="127.0.0.1"))
        plain_port = listeners[0].socket.getsockname()[1]
        tls_port = await nursery.start(serve_tls, server_tls)
        async with httpcore.AsyncConnectionPool(ssl_context=client_tls) as pool:
            for url in (f"http://localhost:{plain_port}", f"https://localhost:{tls_port}"):
                for number in range(3):
                    response = await pool.request("GET", f"{url}/{number}")
                    assert (response.status, response.content) == (200, b"/%d" % number)
            assert len(pool.connections) == 2
        nursery.cancel_scope.cancel()


async def test_anyio_beside_rio_streams() -> None:
    """anyio opens sockets of its own; on the same run they talk with RioStreams."""
    async with trio.open_nursery() as nursery:
        listeners: Any = await nursery.start(partial(trio_rio.serve_tcp, echo, 0, host="127.0.0.1"))
        async with await anyio.connect_tcp("127.0.0.1", listeners[0].socket.getsockname()[1]) as client:
            await client.send(b"hello")
            assert await client.receive() == b"hello"
            await client.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await client.receive()
        nursery.cancel_scope.cancel()


CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    for number in range(200):
        message = bytes([number]) * (1 + number * 331 % 20000)
        sock.sendall(message)
        received = b""
        while len(received) < len(message):
            received += sock.recv(65536)
        assert received == message
"""


async def test_clients_of_another_process() -> None:
    """A server on RioStreams and blocking clients in processes of their own exchange what they should."""
    async with trio.open_nursery() as nursery:
        listeners: Any = await nursery.start(partial(trio_rio.serve_tcp, echo, 0, host="127.0.0.1"))
        command = [sys.executable, "-c", CLIENT, str(listeners[0].socket.getsockname()[1])]
        async with trio.open_nursery() as clients:
            for _ in range(2):
                clients.start_soon(trio.run_process, command)
        nursery.cancel_scope.cancel()


def test_libraries_take_it_for_a_socket_stream() -> None:
    """isinstance says that a RioStream is a SocketStream, as some libraries want to know; it is no other class."""

    async def main() -> None:
        ours, theirs = trio.socket.socketpair()
        async with RioStream(ours) as stream, RioStream(theirs):
            assert isinstance(stream, trio.SocketStream)
            assert isinstance(stream, trio.abc.HalfCloseableStream)
            assert not isinstance(stream, RioListener)

    trio.run(main)

"""Closing: what the peer sees, what tasks that wait see, and what comes back."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio.testing import assert_ledger_balanced

from ..platforms import CLOSED_ERRNO
from .harness import (
    BOTH_MODES,
    PATIENCE_SECONDS,
    open_pair,
    receive_all,
    scaled,
    settled,
    stdlib_pair,
    tcp_pair,
    udp_socket,
)

pytestmark = BOTH_MODES

# The guarantee: the peer of a closed socket sees its end that soon.
END_SEEN_SECONDS_MAX = 0.1


def open_descriptors() -> int:
    if sys.platform == "win32":  # Wine shows the folder of the machine
        return 0
    return len(os.listdir("/dev/fd"))


async def cycle(listener: trio.SocketListener, address: tuple[str, int]) -> None:
    """Connect, echo some bytes, close."""
    client = trio.socket.socket()
    with client:
        await client.connect(address)
        with (await listener.accept()).socket as server:
            await client.send(b"there and back")
            await server.send(await server.recv(100))
            assert await client.recv(100) == b"there and back"


async def test_rc_60() -> None:
    """RC-60: after many connect-transfer-close cycles descriptors, memory and credits are where they were."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        address = listener.socket.getsockname()
        await cycle(listener, address)
        await wait_all_tasks_blocked()
        before, descriptors = await settled(), open_descriptors()
        for number in range(scaled(1000, 10_000)):
            await cycle(listener, address)
            if number % 100 == 0:
                assert_ledger_balanced()
        await wait_all_tasks_blocked()
        after = await settled()
        assert open_descriptors() == descriptors
        assert (after.registered_bytes, after.credits_charged, after.credits_room) == (
            before.registered_bytes,
            before.credits_charged,
            before.credits_room,
        )
        assert after.requests_in_flight == after.requests_untaken == after.sockets_open == 0


async def test_many_connections_at_once_give_everything_back() -> None:
    """Connections that are open at the same time, and all closed while they receive, give all credits back."""
    pairs = [await tcp_pair() for _ in range(scaled(100, 1000))]
    async with trio.open_nursery() as nursery:

        async def receive(sock: trio.socket.SocketType) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await sock.recv(100)

        for client, _ in pairs:
            nursery.start_soon(receive, client)
        await wait_all_tasks_blocked()
        for client, server in pairs:
            client.close()
            server.close()
    books = await settled()
    assert (books.credits_charged, books.requests_in_flight, books.sockets_open) == (0, 0, 0)


def seconds_until_end(peer: socket.socket, started: float) -> float:
    """How long after ``started`` the peer has seen the end of the stream."""
    peer.settimeout(PATIENCE_SECONDS)
    assert peer.recv(1) == b""
    return time.monotonic() - started


async def test_the_peer_sees_the_end_at_once() -> None:
    """close() with a receive posted: the peer sees the end within 100 ms, though this run stands still."""
    ours, theirs = stdlib_pair()
    with theirs:
        client = trio.socket.from_stdlib_socket(ours)
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await client.recv(100)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            started = time.monotonic()
            client.close()
            # Blocking on purpose: the end must not need another tick of this run.
            assert seconds_until_end(theirs, started) < END_SEEN_SECONDS_MAX


async def test_the_peer_sees_the_end_after_a_cancelled_receive() -> None:
    """close() after a receive was cancelled: the peer sees the end of the stream within 100 ms."""
    ours, theirs = stdlib_pair()
    with theirs:
        client = trio.socket.from_stdlib_socket(ours)
        with trio.move_on_after(0.01):
            await client.recv(100)
        started = time.monotonic()
        client.close()
        assert seconds_until_end(theirs, started) < END_SEEN_SECONDS_MAX


async def test_the_peer_sees_the_end_with_a_readiness_wait() -> None:
    """close() while a task waits for readability: the peer sees the end of the stream within 100 ms."""
    ours, theirs = stdlib_pair()
    with theirs:
        client = trio.socket.from_stdlib_socket(ours)
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await trio.lowlevel.wait_readable(client)

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            started = time.monotonic()
            client.close()
            assert seconds_until_end(theirs, started) < END_SEEN_SECONDS_MAX


async def test_another_dup_goes_on() -> None:
    """Closing one of two sockets of a connection, with a receive posted, leaves the other one as it was."""
    async with open_pair() as (client, server):
        other = client.dup()
        with other:
            async with trio.open_nursery() as nursery:

                async def receive() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await client.recv(100)

                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                client.close()
            await server.send(b"still here")
            assert await other.recv(100) == b"still here"
            await other.send(b"and there")
            assert await server.recv(100) == b"and there"
        assert await server.recv(100) == b""


async def test_a_port_is_free_when_its_listener_is_closed() -> None:
    """A listener that is closed while a task accepts leaves its port free for the next one at once."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    address = listener.getsockname()
    for _ in range(10):
        listener.listen()
        async with trio.open_nursery() as nursery:

            async def accept(sock: trio.socket.SocketType = listener) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sock.accept()

            nursery.start_soon(accept)
            await wait_all_tasks_blocked()
            listener.close()
            listener = trio.socket.socket()
            await listener.bind(address)  # without SO_REUSEADDR
    listener.close()


async def test_a_port_is_free_when_its_udp_socket_is_closed() -> None:
    """A UDP socket that is closed while a task receives leaves its port free for the next one at once."""
    sock = await udp_socket()
    address = sock.getsockname()
    for _ in range(10):
        async with trio.open_nursery() as nursery:

            async def receive(sock: trio.socket.SocketType = sock) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sock.recvfrom(100)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            sock.close()
            sock = trio.socket.socket(type=socket.SOCK_DGRAM)
            await sock.bind(address)
    sock.close()


async def blocked_send(sock: trio.socket.SocketType) -> None:
    while True:
        await sock.send(bytes(1 << 20))


CALLS: dict[str, Callable[[trio.socket.SocketType], Awaitable[Any]]] = {
    "recv": lambda sock: sock.recv(10),
    "recv_into": lambda sock: sock.recv_into(bytearray(10)),
    "recvfrom": lambda sock: sock.recvfrom(10),
    "send": blocked_send,
    "wait_readable": trio.lowlevel.wait_readable,
}
if hasattr(socket.socket, "recvmsg"):
    CALLS["recvmsg"] = lambda sock: sock.recvmsg(10)


@pytest.mark.rio_config(linger_seconds=0.05)
@pytest.mark.parametrize("name", CALLS)
async def test_a_task_that_waits_gets_closed_resource_error(name: str, mode: str) -> None:
    """close() under a blocked call raises ClosedResourceError in that call, and EBADF in a later one."""
    async with open_pair() as (client, _):
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await CALLS[name](client)

            nursery.start_soon(call)
            await trio.sleep(0.05)
            await wait_all_tasks_blocked()
            client.close()
        assert client.fileno() == -1
        with pytest.raises(OSError) as caught:
            await client.recv(10)
        assert caught.value.errno == CLOSED_ERRNO


async def test_closing_twice_is_nothing() -> None:
    """A second close does nothing, and cannot close what has the number now."""
    async with open_pair() as (client, server):
        await client.send(b"x")
        client.close()
        async with open_pair() as (other, another):
            client.close()
            await other.send(b"y")
            assert await another.recv(1) == b"y"
        assert await receive_all(server) == b"x"


async def test_closing_in_the_middle_of_its_own_turn() -> None:
    """A task that receives, gets its data, and closes before others run, disturbs nothing that came in that turn."""
    pairs = [await tcp_pair() for _ in range(20)]
    closed = 0

    async def receive_and_close(index: int) -> None:
        nonlocal closed
        try:
            await pairs[index][0].recv(1)
            for client, _ in pairs:
                client.close()
            closed += 1
        except (trio.ClosedResourceError, OSError):
            pass

    async with trio.open_nursery() as nursery:
        for index in range(len(pairs)):
            nursery.start_soon(receive_and_close, index)
        await wait_all_tasks_blocked()
        for _, server in pairs:
            await server.send(b"x")
    assert closed >= 1
    for _, server in pairs:
        server.close()
    assert (await settled()).credits_charged == 0

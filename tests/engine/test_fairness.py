"""Busy connections starve nobody."""

from __future__ import annotations

import time

import pytest
import trio

from .harness import BOTH_MODES, receive_exactly, tcp_pair

# Few results per turn, so that a busy connection fills every turn.
pytestmark = [*BOTH_MODES, pytest.mark.rio_config(results_per_turn=1)]

# Of this process's own time on a CPU, all of which the busy connections use: others on the machine do not count.
STARVED_SECONDS = 1.0


async def flood(sender: trio.socket.SocketType, receiver: trio.socket.SocketType) -> None:
    """Small messages as fast as they go, for ever."""

    async def send() -> None:
        while True:
            await sender.send(b"x" * 100)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while True:
            await receiver.recv(100)


async def test_rc_57_an_accept_beside_busy_connections() -> None:
    """RC-57: with busy connections and one result per turn a connection is accepted and served within a second."""
    pairs = [await tcp_pair() for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for sender, receiver in pairs:
            nursery.start_soon(flood, sender, receiver)
        with trio.socket.socket() as listener:
            await listener.bind(("127.0.0.1", 0))
            listener.listen()
            for _ in range(5):
                started = time.process_time()
                with trio.socket.socket() as client:
                    await client.connect(listener.getsockname())
                    with (await listener.accept())[0] as server:
                        await client.send(b"hello")
                        assert await receive_exactly(server, 5) == b"hello"
                assert time.process_time() - started < STARVED_SECONDS
        nursery.cancel_scope.cancel()
    for sender, receiver in pairs:
        sender.close()
        receiver.close()


async def test_timers_beside_busy_connections() -> None:
    """Busy connections do not hold up a task that sleeps."""
    pairs = [await tcp_pair() for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for sender, receiver in pairs:
            nursery.start_soon(flood, sender, receiver)
        for _ in range(20):
            started = time.process_time()
            await trio.sleep(0.01)
            assert time.process_time() - started < STARVED_SECONDS
        nursery.cancel_scope.cancel()
    for sender, receiver in pairs:
        sender.close()
        receiver.close()


async def test_rc_58_a_receive_on_an_accepted_socket() -> None:
    """RC-58: a receive that is posted before its data on a socket that was just accepted completes."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener:
        for number in range(50):
            client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
            server = await listener.accept()
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, b"%03d" % number)
                assert await server.receive_some() == b"%03d" % number

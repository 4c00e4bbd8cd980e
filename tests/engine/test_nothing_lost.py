"""All at once: many connections, cancelled receives, closes under receives, a large send that is given up."""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from .harness import BOTH_MODES, PATIENCE_SECONDS, open_pair, receive_exactly, scaled, send_all, tcp_pair

pytestmark = BOTH_MODES

CONNECTIONS = 50
MESSAGE_BYTES_MAX = 30_000
LARGE_SEND_BYTES = 64 << 20


async def converse(seed: int, messages: int) -> None:
    """Messages of 1 to 30,000 bytes are echoed; receives are cancelled at random, at both ends."""
    chance = random.Random(seed)
    async with open_pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(echo, server, random.Random(-seed))
        for number in range(messages):
            size = MESSAGE_BYTES_MAX if number == 0 else chance.randint(1, MESSAGE_BYTES_MAX)
            message = chance.randbytes(size)
            nursery.start_soon(send_all, client, message)
            received = b""
            while len(received) < len(message):
                received += await receive_or_not(client, chance)
            assert received == message
        client.shutdown(trio.socket.SHUT_WR)
        while True:
            with trio.move_on_after(PATIENCE_SECONDS):
                assert await client.recv(1) == b""
                break


async def echo(sock: trio.socket.SocketType, chance: random.Random) -> None:
    while True:
        with trio.CancelScope() as scope:
            if chance.random() < 0.3:
                scope.deadline = trio.current_time() + chance.random() * 0.001
            data = await sock.recv(chance.randint(1, 65536))
            if not data:
                sock.shutdown(trio.socket.SHUT_WR)
                return
            with trio.CancelScope(shield=True):
                await send_all(sock, data)


async def receive_or_not(sock: trio.socket.SocketType, chance: random.Random) -> bytes:
    """Bytes, or none when the receive was cancelled before they came."""
    with trio.move_on_after(chance.random() * 0.001 if chance.random() < 0.5 else PATIENCE_SECONDS):
        return await sock.recv(chance.randint(1, 65536))
    return b""


async def close_while_receiving() -> None:
    """A task that receives is told, and the peer sees the end."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:

        async def receive() -> None:
            receiving.set()
            with pytest.raises(trio.ClosedResourceError):
                await server.recv(1)

        receiving = trio.Event()
        nursery.start_soon(receive)
        await receiving.wait()
        server.close()
        assert await client.recv(1) == b""


async def give_up_a_large_send() -> None:
    """64 MiB to a peer that does not read: cancelled, and closed. What the peer then reads is a beginning of it."""
    client, server = await tcp_pair()
    data = memoryview(random.Random(64).randbytes(1 << 20) * (LARGE_SEND_BYTES >> 20))
    with client, server:
        with trio.move_on_after(0.2) as scope:
            await send_all(client, bytes(data))
        assert scope.cancelled_caught
        client.close()
        received = 0
        while chunk := await receive_exactly(server, 1 << 20):
            assert chunk == data[received : received + len(chunk)]
            received += len(chunk)
        assert 0 < received < LARGE_SEND_BYTES


async def test_nothing_is_lost() -> None:
    """50 connections and all of the above at the same time: every byte arrives, and nothing is in flight in the end."""
    async with trio.open_nursery() as nursery:
        for seed in range(CONNECTIONS):
            nursery.start_soon(converse, seed + 1, scaled(4, 100))
        for _ in range(10):
            nursery.start_soon(close_while_receiving)
        nursery.start_soon(give_up_a_large_send)
    await wait_all_tasks_blocked()
    statistics = trio_rio.current_statistics()
    with trio.fail_after(PATIENCE_SECONDS):
        while statistics.receives_in_flight or statistics.sends_in_flight or statistics.sockets_open:
            await trio.sleep(0.001)
            statistics = trio_rio.current_statistics()
    assert statistics.leases_outstanding == 0
    assert statistics.completion_queue_used == 0

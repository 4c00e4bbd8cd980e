"""Checks of whole runs: what a Trio program sees of the provider."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import trio
import trio.testing

from ..._config import RioConfig
from ..._run import current_statistics, run
from ...rio.types import ProviderName

RunCheck = Callable[[], Awaitable["str | None"]]

_PATIENCE_SECONDS = 30


async def _pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Both ends of a connection on loopback."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = trio.socket.socket()
        await client.connect(listener.getsockname())
        server, _ = await listener.accept()
    pair = trio.SocketStream(client), trio.SocketStream(server)
    for sender, receiver in (pair, pair[::-1]) * 4:  # the first calls of a stream need no request
        await sender.send_all(b"-")
        await receiver.receive_some(1)
    return pair


async def _receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([data async for data in stream])


async def many_connections() -> str:
    """20 connections carry messages of 1 to 30,000 bytes, both ways at once"""

    async def converse(number: int) -> None:
        client, server = await _pair()

        async def echo() -> None:
            async for data in server:
                await server.send_all(data)
            await server.send_eof()

        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            for size in (1, 100, 4096, 30_000):
                message = bytes([number]) * size
                nursery.start_soon(client.send_all, message)
                received = b""
                while len(received) < size:
                    received += await client.receive_some(65536)
                assert received == message, "bytes differ"
            await client.send_eof()
            assert await client.receive_some(1) == b""

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(converse, number)
    statistics = current_statistics()
    return f"{statistics.completions_dequeued} completions, {statistics.results_per_dequeue_mean:.1f} for each dequeue"


async def cancelled_receives() -> None:
    """a receive that is cancelled takes nothing with it"""
    client, server = await _pair()
    received = b""

    async def receive() -> None:
        nonlocal received
        received += await server.receive_some(100)

    async with client, server:
        for number in range(50):
            is_race = number % 2  # of the byte and the cancellation
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await trio.testing.wait_all_tasks_blocked()
                assert current_statistics().receives_in_flight, "no receive was posted"
                if is_race:
                    await client.send_all(bytes([number]))
                nursery.cancel_scope.cancel()
            if not is_race:
                await client.send_all(bytes([number]))
            while len(received) <= number:
                received += await server.receive_some(100)
        assert received == bytes(range(50)), f"received {received!r}"


async def close_while_receiving() -> None:
    """closing a stream ends the receive that waits, and the peer sees the end"""
    client, server = await _pair()

    async def receive() -> None:
        try:
            await server.receive_some(1)
        except trio.ClosedResourceError:
            return
        raise AssertionError("the receive was not ended")

    async with client, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await server.aclose()
        with contextlib.suppress(trio.BrokenResourceError):
            assert await client.receive_some(1) == b""


async def send_and_close() -> None:
    """what was sent before a close arrives"""
    client, server = await _pair()
    data = bytes(range(256)) * 4096
    received: list[bytes] = []

    async def receive() -> None:
        received.append(await _receive_all(server))

    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await client.send_all(data)
        await client.aclose()
    assert received == [data], "bytes are missing"


async def datagrams() -> None:
    """datagrams come one by one, with their sender"""
    with (
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as ours,
        trio.socket.socket(type=trio.socket.SOCK_DGRAM) as peer,
    ):
        await ours.bind(("127.0.0.1", 0))
        await peer.bind(("127.0.0.1", 0))
        for size in (0, 1, 1472):
            await peer.sendto(bytes(size), ours.getsockname())
            assert await ours.recvfrom(2000) == (bytes(size), peer.getsockname())


RUN_CHECKS: dict[str, RunCheck] = {
    "RUN-1": many_connections,
    "RUN-2": cancelled_receives,
    "RUN-3": close_while_receiving,
    "RUN-4": send_and_close,
    "RUN-5": datagrams,
}


def run_check(check: RunCheck, provider: ProviderName) -> str | None:
    """Run one; nothing may be outstanding when it has ended."""

    async def main() -> str | None:
        with trio.fail_after(_PATIENCE_SECONDS):
            detail = await check()
            # Completions are no event that a program could wait for.
            while current_statistics().sends_in_flight or current_statistics().receives_in_flight:  # noqa: ASYNC110
                await trio.sleep(0.001)
        assert current_statistics().leases_outstanding == 0, "memory was not given back"
        return detail

    return run(main, config=RioConfig(provider=provider))

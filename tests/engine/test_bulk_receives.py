"""Receives of a connection that brings much: they grow, lose nothing, and have their share of the memory."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio._engine.current import current_engine

from .harness import BOTH_MODES, fill, numbered, scaled, stdlib_pair, tcp_pair

pytestmark = BOTH_MODES

LARGE = 65536


async def streams() -> tuple[RioStream, RioStream]:
    client, server = await tcp_pair()
    return RioStream(client), RioStream(server)


async def sizes_of_receives(count: int) -> list[int]:
    """The sizes of the receives on a connection whose buffers are full."""
    ours, theirs = stdlib_pair()
    with theirs:
        async with RioStream(trio.socket.from_stdlib_socket(ours)) as stream:
            sizes = []
            for _ in range(count):
                fill(theirs)
                sizes.append(len(await stream.receive_some()))
            return sizes


async def make_bulk(client: RioStream, server: RioStream) -> None:
    """Traffic that makes the client's next receives large."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, bytes(1 << 20))
        count = 0
        while count < 1 << 20:
            count += len(await client.receive_some())


async def test_receives_grow() -> None:
    """Where receives are made on demand, a few that are full make the next as large as what is there."""
    engine = current_engine()
    assert engine is not None
    sizes = await sizes_of_receives(8)
    if not engine.cancels_requests:
        assert max(sizes) == LARGE  # receives go another way there, which names a size
    else:
        assert sizes[:2] == [2048, LARGE]
        assert max(sizes) > LARGE


@pytest.mark.rio_config(bulk_slice_size_bytes=0)
async def test_growing_can_be_forbidden() -> None:
    """With bulk_slice_size_bytes=0 no receive brings more than a large slice."""
    assert max(await sizes_of_receives(8)) <= LARGE


async def test_nothing_is_lost_when_receives_grow_and_are_cancelled() -> None:
    """Every byte comes once and in order, with receives of all sizes, cancelled at random."""
    total = scaled(16 << 20, 256 << 20)
    client, server = await streams()
    random_ = random.Random(4)

    async def send() -> None:
        for start in range(0, total, 1 << 20):
            await server.send_all(numbered(5, start, min(total, start + (1 << 20))))
            if random_.random() < 0.3:
                await trio.sleep(0.001)
        await server.send_eof()

    received, count = hashlib.sha256(), 0
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while True:
            with trio.move_on_after(random_.choice([0, 0.0001, 1])):
                data = await client.receive_some(random_.choice([None, None, None, 100_000, 1 << 30]))
                if not data:
                    break
                received.update(data)
                count += len(data)
    assert count == total
    expected = hashlib.sha256()
    for start in range(0, total, 1 << 20):
        expected.update(numbered(5, start, min(total, start + (1 << 20))))
    assert received.digest() == expected.digest()


async def test_closing_while_a_large_receive_waits() -> None:
    """The task that waits gets ClosedResourceError; the ledger of the run says that nothing is left."""
    client, server = await streams()
    await make_bulk(client, server)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()

    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        await client.aclose()


@pytest.mark.rio_config(registered_bytes_max=4 << 20)
async def test_large_receives_have_their_share_of_the_memory() -> None:
    """When as many wait as may, others make do with less, and get what is theirs."""
    pairs = [await streams() for _ in range(4)]
    received: list[bytes] = []

    async def receive(stream: RioStream) -> None:
        received.append(await stream.receive_some())

    for pair in pairs:
        await make_bulk(*pair)
    async with trio.open_nursery() as nursery:
        for client, _ in pairs:
            nursery.start_soon(receive, client)
        await wait_all_tasks_blocked()
        engine: Any = current_engine()
        assert engine.pool.bytes_being_filled <= 1
        assert engine.arena.registered_bytes <= 4 << 20
        for number, (_, server) in enumerate(pairs):
            await server.send_all(bytes([number]) * 10)
    assert sorted(received) == [bytes([number]) * 10 for number in range(4)]
    for client, server in pairs:
        await client.aclose()
        await server.aclose()

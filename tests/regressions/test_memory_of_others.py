"""What one connection has received is never seen on another: what went wrong once, and a search for more of the kind.

Secrets have bytes of 128 and above only, everything else has bytes below.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import hypothesis
import pytest
import trio
from hypothesis import strategies as st

from trio_rio import RioStream

from ..engine.datagrams import address_of, open_two
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, tcp_pair

pytestmark = BOTH_MODES

SECRET = bytes(range(128, 256))


@contextlib.asynccontextmanager
async def two_streams() -> AsyncIterator[tuple[RioStream, RioStream]]:
    """Both ends of a connection."""
    client, server = map(RioStream, await tcp_pair())
    async with client, server:
        yield client, server


def secret(size: int) -> bytes:
    return (SECRET * (size // len(SECRET) + 1))[:size]


def plain(size: int) -> bytes:
    return secret(size).translate(bytes(range(128)) * 2)


def has_secret(data: bytes | memoryview) -> bool:
    return not bytes(data).isascii()


def seen_through(view: memoryview) -> list[Any]:
    """Everything with a buffer that the attributes of a view lead to."""
    found: list[Any] = [view]
    for one in found:
        for name in dir(one):
            with contextlib.suppress(Exception):
                value = getattr(one, name)
                memoryview(value)
                if not any(value is other for other in found):
                    found.append(value)
    return found


async def receive_exactly(stream: RioStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += await stream.receive_some(size - len(received))
    return received


async def receive_secret(size: int = 5000) -> None:
    """A connection receives a secret, and is gone."""
    async with two_streams() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, secret(size))
        assert await receive_exactly(server, size) == secret(size)


# -- what went wrong -----------------------------------------------------------------------------------------


async def test_memory_that_is_lent_to_be_filled_is_zero() -> None:
    """What a task does not fill in of a lease to send goes out as zeros."""
    await receive_secret()
    async with two_streams() as (client, server):
        async with client.lease_send(200) as view:
            view[:4] = b"resp"
        assert await receive_exactly(server, 200) == b"resp" + bytes(196)


async def lend_to_send(use: Callable[[memoryview], None]) -> None:
    async with two_streams() as (client, _):
        async with client.lease_send(200) as view:
            use(view)


async def lend_what_came(use: Callable[[memoryview], None]) -> None:
    async with two_streams() as (client, server):
        await client.send_all(plain(200))
        async with server.receive_lease() as view:
            use(view)


async def lend_datagrams(use: Callable[[memoryview], None]) -> None:
    async with open_two() as (one, other):
        await one.send(plain(200), address_of(other))
        async with other.receive_lease() as datagrams:
            use(datagrams[0][0])


Lend = Callable[[Callable[[memoryview], None]], Awaitable[None]]
every_lease = pytest.mark.parametrize("lend", [lend_to_send, lend_what_came, lend_datagrams])


@every_lease
async def test_a_lease_leads_to_nothing_that_is_not_lent(lend: Lend) -> None:
    """Every object that a view leads to has the bytes of the view, and no others."""
    sizes: list[int] = []
    await receive_secret()
    await lend(lambda view: sizes.extend(memoryview(one).nbytes for one in seen_through(view)))
    assert len(sizes) >= 2
    assert set(sizes) == {200}


@every_lease
async def test_what_a_view_is_of_outlives_its_lease_like_a_slice(lend: Lend) -> None:
    """Who keeps the object that a view is of keeps the memory from others, and is told."""
    kept: list[Any] = []
    with pytest.raises(BufferError, match="outlives"):
        await lend(lambda view: kept.append(view.obj))
    before = bytes(memoryview(kept[0]))
    for _ in range(3):
        await receive_secret()
    assert bytes(memoryview(kept[0])) == before


# -- a search ------------------------------------------------------------------------------------------------


async def by_receive_some(stream: RioStream, size: int) -> bytes:
    return await receive_exactly(stream, size)


async def by_recv(stream: RioStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        received += await stream.socket.recv(1 << 20)
    return received


async def by_recv_into(stream: RioStream, size: int) -> bytes:
    memory = bytearray(size)
    at = 0
    while at < size:
        with memoryview(memory)[at:] as rest:
            at += await stream.socket.recv_into(rest)
    return bytes(memory)


async def by_lease(stream: RioStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        async with stream.receive_lease() as view:
            received += bytes(memoryview(seen_through(view)[-1]))
    return received


STREAM_WAYS = [by_receive_some, by_recv, by_recv_into, by_lease]


async def over_stream(data: bytes, way: int) -> bytes:
    """What another end has of ``data``."""
    async with two_streams() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, data)
        return await STREAM_WAYS[way](server, len(data))


async def over_datagrams(data: bytes, way: int) -> bytes:
    """The same, with datagrams; as far as they have arrived."""
    data = data[:9000]
    async with open_two(receives_posted=4) as (one, other):
        await one.send_many([(data, address_of(other))] * (1 + way % 2))
        if way < 2:
            return (await other.receive())[0]
        async with other.receive_lease() as datagrams:
            return b"".join(bytes(memoryview(seen_through(view)[-1])) for view, _ in datagrams)


async def over_filled_memory(data: bytes, way: int) -> bytes:
    """The same, with memory that a task fills only in part."""
    data = data[:65536]
    async with two_streams() as (client, server):
        async with client.lease_send(len(data)) as view:
            view[: len(data) * way // 4] = data[: len(data) * way // 4]
        return await receive_exactly(server, len(data))


WAYS = [over_stream, over_datagrams, over_filled_memory]
transfers = st.tuples(
    st.booleans(),
    st.sampled_from(WAYS),
    st.integers(0, 3),
    st.sampled_from([1, 100, 4000, 5000, 70_000, 600_000, 3_000_000]),
)


@hypothesis.given(st.lists(transfers, min_size=2, max_size=8))
@hypothesis.settings(max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
async def test_no_secret_is_seen_elsewhere(program: list[tuple[bool, Any, int, int]]) -> None:
    """Whatever was received before by whatever call, a connection has only what was sent on it."""
    with trio.fail_after(PATIENCE_SECONDS * 6):
        for is_secret, transfer, way, size in program:
            received = await transfer((secret if is_secret else plain)(size), way)
            assert is_secret or not has_secret(received)

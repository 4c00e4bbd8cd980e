"""Trio's stream contracts, by Trio's own checkers, on TCP sockets of the engine: as SocketStream, and as RioStream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import check_half_closeable_stream, check_one_way_stream, check_two_way_stream

from trio_rio import RioStream

from ..platforms import needs_full_buffers
from .harness import scaled, tcp_pair

# What a closed socket has not sent, with a peer that does not read, keeps the connection open that long.
LINGER_SECONDS = 0.05

pytestmark = [
    pytest.mark.usefixtures("mode"),
    pytest.mark.parametrize(
        "mode",
        [
            "request",
            pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach", linger_seconds=LINGER_SECONDS)),
        ],
        indirect=True,
    ),
]

ROUNDS = scaled(2, 200)


AnyStream = trio.SocketStream | RioStream
StreamClass = type[trio.SocketStream] | type[RioStream]
Maker = Callable[[], Awaitable[tuple[AnyStream, AnyStream]]]


@pytest.fixture(params=[trio.SocketStream, RioStream])
def stream_class(request: pytest.FixtureRequest) -> StreamClass:
    """The class whose contract is checked."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def make_streams(stream_class: StreamClass) -> Maker:
    """Makes two connected streams."""

    async def make() -> tuple[AnyStream, AnyStream]:
        client, server = await tcp_pair()
        return stream_class(client), stream_class(server)

    return make


@pytest.fixture(params=[False, pytest.param(True, marks=needs_full_buffers)], ids=["open", "clogged"])
def make_clogged_streams(request: pytest.FixtureRequest, make_streams: Maker) -> Maker | None:
    """Makes streams that cannot send before their peer reads: the kernel's buffers are full, and so is a window."""

    async def make() -> tuple[AnyStream, AnyStream]:
        streams = await make_streams()
        for stream in streams:
            # A send that is cancelled when a part has gone returns, so no byte more can go when it does not. Twice in a
            # row: once, it may be this process that stood still, and not the connection.
            times_blocked = 0
            while times_blocked < 2:
                times_blocked += 1
                with trio.move_on_after(LINGER_SECONDS / 2):
                    await stream.socket.send(bytes(1 << 18))
                    times_blocked = 0
        return streams

    return make if request.param else None


async def test_one_way_stream(make_streams: Maker, make_clogged_streams: Maker | None) -> None:
    """A connection is a ReceiveStream and a SendStream, as Trio defines them."""
    for _ in range(ROUNDS):
        await check_one_way_stream(make_streams, make_clogged_streams)


async def test_two_way_stream(make_streams: Maker, make_clogged_streams: Maker | None) -> None:
    """A connection is a Stream, as Trio defines it."""
    for _ in range(ROUNDS):
        await check_two_way_stream(make_streams, make_clogged_streams)


async def test_half_closeable_stream(make_streams: Maker, make_clogged_streams: Maker | None) -> None:
    """A connection is a HalfCloseableStream, as Trio defines it."""
    for _ in range(ROUNDS):
        await check_half_closeable_stream(make_streams, make_clogged_streams)

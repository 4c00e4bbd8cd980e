"""Trio's stream contracts, by Trio's own checkers, on TCP sockets of the engine."""

from __future__ import annotations

import pytest
import trio
from trio.testing import check_half_closeable_stream, check_one_way_stream, check_two_way_stream

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


async def make_streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    client, server = await tcp_pair()
    return trio.SocketStream(client), trio.SocketStream(server)


async def make_clogged_streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Streams that cannot send before their peer reads: the kernel's buffers are full, and so is a window."""
    streams = await make_streams()
    for stream in streams:
        with trio.CancelScope() as scope:
            while True:
                with trio.move_on_after(LINGER_SECONDS) as patience:
                    await stream.send_all(bytes(1 << 20))
                if patience.cancelled_caught:
                    scope.cancel()
                    break
    return streams


@pytest.mark.parametrize("is_clogged", [False, True], ids=["open", "clogged"])
async def test_one_way_stream(is_clogged: bool) -> None:
    """A connection is a ReceiveStream and a SendStream, as Trio defines them."""
    for _ in range(ROUNDS):
        await check_one_way_stream(make_streams, make_clogged_streams if is_clogged else None)


@pytest.mark.parametrize("is_clogged", [False, True], ids=["open", "clogged"])
async def test_two_way_stream(is_clogged: bool) -> None:
    """A connection is a Stream, as Trio defines it."""
    for _ in range(ROUNDS):
        await check_two_way_stream(make_streams, make_clogged_streams if is_clogged else None)


@pytest.mark.parametrize("is_clogged", [False, True], ids=["open", "clogged"])
async def test_half_closeable_stream(is_clogged: bool) -> None:
    """A connection is a HalfCloseableStream, as Trio defines it."""
    for _ in range(ROUNDS):
        await check_half_closeable_stream(make_streams, make_clogged_streams if is_clogged else None)

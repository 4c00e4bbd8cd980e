"""Sockets whose channel is closed while they are open: what went wrong once."""

from __future__ import annotations

import socket

import pytest
import trio

from trio_rio import DatagramChannel, RioError
from trio_rio._engine.channel import Channel
from trio_rio.testing import assert_ledger_balanced

from ..engine.datagrams import stdlib_peer
from ..engine.harness import PATIENCE_SECONDS, open_pair, stdlib_pair, udp_socket, until_sent
from ..platforms import IS_WINDOWS


async def test_a_socket_sends_beside_its_datagram_channel() -> None:
    """A socket that was used, and became a datagram channel, still sends; and the run ends."""
    with stdlib_peer() as peer:
        peer.settimeout(PATIENCE_SECONDS)
        sock = await udp_socket()
        await sock.sendto(b"first", peer.getsockname())
        async with DatagramChannel(sock) as channel:
            await sock.sendto(b"again", peer.getsockname())
            await channel.send(b"by the channel", peer.getsockname())
        # In no order: a plain call does not wait for sends that are in flight.
        assert {peer.recv(100) for _ in range(3)} == {b"first", b"again", b"by the channel"}
        assert_ledger_balanced()


@pytest.mark.skipif(IS_WINDOWS, reason="there a socket of ours is not adopted by its number")
async def test_two_sockets_on_one_descriptor_take_turns() -> None:
    """Two Trio sockets on one descriptor both receive; no request is lost."""
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as first:
        second = trio.socket.from_stdlib_socket(socket.socket(fileno=ours.fileno()))
        for sock in (first, second, first, second):
            theirs.send(b"x")
            with trio.fail_after(PATIENCE_SECONDS):
                assert await sock.recv(1) == b"x"
        second.detach()
        assert_ledger_balanced()


async def test_a_closed_channel_takes_no_request() -> None:
    """The channel of a socket that is open says that it cannot serve, once it is closed."""
    async with open_pair() as (sock, peer):
        await sock.send(b"x")
        channel: Channel = sock._channel  # type: ignore[attr-defined]
        await until_sent()  # nothing but a close ends what cannot be cancelled
        channel.abandon()
        assert channel.is_closed
        assert not channel.is_usable()
        assert channel.post_receive(1) is None
        assert channel.post_send(b"y", None, wait=True) is None
        await sock.send(b"y")
        with trio.fail_after(PATIENCE_SECONDS):
            assert await peer.recv(1) + await peer.recv(1) == b"xy"


class RefusingQueue:
    """A request queue whose posts raise."""

    def __getattr__(self, name: str) -> object:
        raise RioError("refused")


@pytest.mark.rio_config(engine="python")  # whose posts can be replaced
@pytest.mark.parametrize(
    "receives",
    [False, True, pytest.param(True, marks=pytest.mark.rio_config(cancellation="detach"), id="True-ahead")],
)
async def test_a_post_that_raises_keeps_no_request(receives: bool) -> None:
    """When a post raises, its request is given back, and the run ends."""
    async with open_pair() as (sock, peer):
        await peer.send(b"x")
        await sock.send(b"x")
        channel: Channel = sock._channel  # type: ignore[attr-defined]
        queue = channel.request_queue
        channel.request_queue = RefusingQueue()  # type: ignore[assignment]
        with pytest.raises(RioError, match="refused"):
            if receives:
                await sock.recv(1)
            else:
                await sock.send(b"x")
        channel.request_queue = queue
        assert_ledger_balanced()

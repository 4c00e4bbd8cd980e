"""Sockets that had a request queue and are to have another, which Windows does not give them: what went wrong once."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.datagrams import stdlib_peer
from ..engine.harness import open_pair, receive_exactly, tcp_pair, udp_socket

pytestmark = pytest.mark.rio_config(cancellation="detach")


def inner_of(sock: Any) -> socket.socket:
    inner: socket.socket = sock._sock
    return inner


async def test_a_socket_that_has_sent_becomes_a_channel(rio_provider: str) -> None:
    """A datagram channel on a socket that has only sent works, by plain calls where RIO can serve the socket once."""
    with stdlib_peer() as peer:
        sock = await udp_socket()
        await sock.sendto(b"out", peer.getsockname())
        assert peer.recv(10) == b"out"
        await wait_all_tasks_blocked(0.01)
        async with trio_rio.DatagramChannel(sock) as channel:
            assert channel.statistics().provider == (None if rio_provider == "winsock" else rio_provider)
            await channel.send(b"out again", peer.getsockname())
            assert peer.recv(10) == b"out again"
            peer.sendto(b"in", sock.getsockname())
            assert await channel.receive() == (b"in", peer.getsockname())


async def test_a_second_trio_socket_for_one_socket() -> None:
    """When the Trio socket of a socket was dropped, another one on it goes on."""
    first, theirs = await tcp_pair()
    with theirs, inner_of(first) as inner:
        await first.send(b"one")
        assert await receive_exactly(theirs, 3) == b"one"
        await wait_all_tasks_blocked(0.01)
        del first
        gc.collect()
        second = trio.socket.from_stdlib_socket(inner)
        await second.send(b"two")
        assert await receive_exactly(theirs, 3) == b"two"
        await theirs.send(b"back")
        assert await second.recv(10) == b"back"
        second.close()


async def test_other_sockets_of_the_run_are_served() -> None:
    """That one socket cannot be served again is nothing to the others."""
    with stdlib_peer() as peer:
        sock = await udp_socket()
        await sock.sendto(b"out", peer.getsockname())
        await wait_all_tasks_blocked(0.01)
        async with trio_rio.DatagramChannel(sock):
            before = trio_rio.current_statistics().sockets_open
            async with open_pair() as (one, other):
                await one.send(b"x")
                assert await other.recv(1) == b"x"
                assert trio_rio.current_statistics().sockets_open == before + 2

"""Datagram channels that RIO does not serve yet, and the moment when it begins to: what went wrong once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramChannel

from ..engine.datagrams import address_of, receive_all, stdlib_peer
from ..engine.harness import PATIENCE_SECONDS, udp_socket

COUNT = 30


@pytest.mark.rio_config(cancellation="detach", results_per_turn=1)
async def test_a_socket_that_still_sends_becomes_a_channel() -> None:
    """A send that no task waits for is no use of the socket: the channel is made, and RIO serves it afterwards."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as other:
        sock = await udp_socket()
        async with trio.open_nursery() as nursery:
            for _ in range(COUNT):
                nursery.start_soon(sock.sendto, b"by the socket", address_of(other))
        async with DatagramChannel(sock) as channel:
            await channel.send_many([(b"by the channel", address_of(other))])
            received = await receive_all(other, COUNT + 1)
            assert sorted(received) == [b"by the channel", *[b"by the socket"] * COUNT]
            await other.send(b"back", address_of(channel))
            assert (await channel.receive())[0] == b"back"


@pytest.mark.rio_config(registered_bytes_max=65536, large_slice_size_bytes=4096)
async def test_a_task_that_waits_without_memory_hears_of_a_datagram() -> None:
    """A task that sends while there is memory again takes nothing from one that waits since there was none."""
    with stdlib_peer() as peer:
        first = await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=16, receive_size_bytes=2048)
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0), receive_size_bytes=40000) as channel:
            assert channel.statistics().provider is None
            received = []

            async def receive() -> None:
                with trio.fail_after(PATIENCE_SECONDS):
                    received.append(await channel.receive())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                await first.aclose()
                await channel.send_many([(b"out", peer.getsockname())])
                peer.sendto(b"in", channel.socket.getsockname())
            assert received == [(b"in", peer.getsockname())]
            await channel.send_many([(b"out", peer.getsockname())])
            assert channel.statistics().provider is not None

"""A send that is longer than what the system takes: what went wrong once."""

from __future__ import annotations

import socket

import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, open_pair, receive_exactly
from ..platforms import needs_full_buffers

pytestmark = [*BOTH_MODES, needs_full_buffers]

# More than the buffers of a connection hold.
SIZE = 32 << 20


async def test_a_task_sends_and_then_reads_the_other_end(mode: str) -> None:
    """send() returns when the system takes no more, so one task can move any number of bytes."""
    data = bytes(range(256)) * (SIZE // 256)
    async with open_pair() as (sock, peer):
        view, received = memoryview(data), bytearray()
        with trio.fail_after(6 * PATIENCE_SECONDS):
            while view:
                sent = await sock.send(view)
                assert 0 < sent < SIZE
                received += await receive_exactly(peer, sent)
                view = view[sent:]
        assert received == data
        assert_ledger_balanced()


async def test_a_stream_sends_all_of_it(mode: str) -> None:
    """send_all() of RioStream and SocketStream goes on until all has gone."""
    data = bytes(range(256)) * (SIZE // 256)
    for make in (RioStream, trio.SocketStream):
        async with open_pair() as (sock, peer):
            stream = make(sock)

            async def send(stream: trio.abc.SendStream = stream) -> None:
                await stream.send_all(data)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await wait_all_tasks_blocked()
                assert await receive_exactly(peer, SIZE) == data


async def test_a_connected_datagram_socket_sends_whole(mode: str) -> None:
    """A datagram is sent whole by the same method."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(PATIENCE_SECONDS)
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(peer.getsockname())
            for size in (0, 1, 9000):
                assert await sock.send(bytes(size)) == size
                assert len(peer.recv(10000)) == size

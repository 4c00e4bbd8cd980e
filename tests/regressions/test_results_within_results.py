"""Results that are handed out while others are: a finalizer may ask a socket whether it is readable."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio._engine.current import current_engine
from trio_rio._engine.fields import native
from trio_rio._sockets.socket import RioSocket
from trio_rio.rio.errors import status_from_errno

from ..engine.harness import stdlib_pair

pytestmark = [
    pytest.mark.providers("uring"),
    pytest.mark.skipif(native is None, reason="there is no engine in C"),
]


@pytest.fixture
def looked() -> Iterator[list[int]]:
    """Look for results whenever the status of one is translated, and list how many there were."""
    found: list[int] = []

    def look(number: int) -> int:
        engine = current_engine()
        assert engine is not None
        found.append(engine.collectors.poll())
        return status_from_errno(number)

    native.setup(status_from_errno=look)
    yield found
    native.setup(status_from_errno=status_from_errno)


@pytest.mark.rio_config(results_per_turn=4)
async def test_results_that_are_found_meanwhile_replace_none(looked: list[int]) -> None:
    """Whoever looks for results while a batch is handed out gets those that follow; the batch stays as it was."""
    received: list[object] = []

    async def receive(sock: trio.socket.SocketType) -> None:
        try:
            received.append(await sock.recv(10))
        except ConnectionResetError:
            received.append("reset")

    pairs = [stdlib_pair() for _ in range(8)]
    ours = [trio.socket.from_stdlib_socket(pair[0]) for pair in pairs]
    theirs = [pair[1] for pair in pairs]
    del pairs
    for sock in ours:
        assert isinstance(sock, RioSocket)
        assert sock._usable_channel(at_once=True) is not None
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for sock in ours:
                nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            theirs[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs[0].close()
            for number, peer in enumerate(theirs[1:], 1):
                peer.send(b"%d" % number)
    assert looked == [4]
    assert sorted(map(str, received)) == sorted(["reset", *(str(b"%d" % number) for number in range(1, 8))])
    for sock in ours:
        sock.close()
    for peer in theirs:
        peer.close()

"""Receives of no bytes: what went wrong once.

Python's ``recv`` and ``recv_into`` of no bytes do not ask the system; the other four do, and of a datagram they take
all. Each case is compared with stock Trio.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.harness import stdlib_pair

pytestmark = pytest.mark.skipif(not hasattr(socket.socket, "recvmsg_into"), reason="this system has no recvmsg")

CALLS: dict[str, Callable[[trio.socket.SocketType, int], Awaitable[Any]]] = {
    "recv": lambda sock, flags: sock.recv(0, flags),
    "recv_into": lambda sock, flags: sock.recv_into(bytearray(0), 0, flags),
    "recvfrom": lambda sock, flags: sock.recvfrom(0, flags),
    "recvfrom_into": lambda sock, flags: sock.recvfrom_into(bytearray(0), 0, flags),
    "recvmsg": lambda sock, flags: sock.recvmsg(0, 0, flags),
    "recvmsg_into": lambda sock, flags: sock.recvmsg_into([bytearray(0)], 0, flags),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "request": {},
    "detach": {"cancellation": "detach"},
    "read-ahead-2": {"read_ahead": 2},
    "detach-event-2-queues": {"cancellation": "detach", "notification": "event", "completion_queues": 2},
    "detach-polled": {"cancellation": "detach", "notification": "polled"},
}


def datagram_pair() -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on loopback; the second sends to the first."""
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    ours.bind(("127.0.0.1", 0))
    theirs.connect(ours.getsockname())
    return ours, theirs


async def outcomes(call: str, flags: int, *, is_stream: bool) -> dict[str, list[object]]:
    """What one receive of no bytes, and the one of nine bytes after it, end with; data is there, or comes later."""
    found: dict[str, list[object]] = {}
    for is_there in (True, False):
        for was_cancelled in (True, False):  # where nothing is cancelled, a receive is posted now
            ours, theirs = stdlib_pair() if is_stream else datagram_pair()
            address = None if is_stream else theirs.getsockname()
            ended: list[object] = []
            with trio.socket.from_stdlib_socket(ours) as sock, theirs:
                if was_cancelled:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(sock.recv, 9)
                        await wait_all_tasks_blocked()
                        nursery.cancel_scope.cancel()
                if is_there:
                    theirs.send(b"one")
                    if not is_stream:
                        theirs.send(b"two")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive, sock, call, flags, address, ended)
                    await wait_all_tasks_blocked(0.005)
                    ended.append("all have ended, or wait")
                    if not is_there:
                        theirs.send(b"late")
                        if not is_stream:
                            theirs.send(b"later")
                with trio.move_on_after(1):
                    ended.append(await sock.recv(9))
            found[f"{is_there=} {was_cancelled=}"] = ended
    return found


async def receive(sock: trio.socket.SocketType, call: str, flags: int, address: object, ended: list[object]) -> None:
    """Note what a receive returns, with a word in place of the sender's address."""
    with trio.move_on_after(1) as scope:  # only a failing test waits that long
        received = await CALLS[call](sock, flags)
    if scope.cancelled_caught:
        return
    if isinstance(received, tuple):
        received = tuple("sender" if address and item == address else item for item in received)
    ended.append(received)


@pytest.mark.parametrize("way", OPTIONS)
@pytest.mark.parametrize("flags", [0, socket.MSG_PEEK], ids=["plain", "peek"])
@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "datagrams"])
@pytest.mark.parametrize("call", CALLS)
def test_a_receive_of_no_bytes_is_that_of_stock_trio(
    rio_provider: str, way: str, flags: int, is_stream: bool, call: str
) -> None:
    """It returns, waits, and takes what it takes on stock Trio."""

    async def main() -> dict[str, list[object]]:
        return await outcomes(call, flags, is_stream=is_stream)

    config = trio_rio.RioConfig(provider=rio_provider, **OPTIONS[way])
    assert trio_rio.run(main, config=config) == trio.run(main)

"""SO_RCVLOWAT: a call takes what there is, and only a call that finds nothing waits for as much as the option says."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import PATIENCE_SECONDS, open_pair, stdlib_pair
from .test_calls_after_a_cancelled_one import RECEIVES

pytestmark = [
    pytest.mark.providers("uring", "portable"),  # Windows has no such option
    pytest.mark.parametrize(
        "mode", ["request", pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach"))]
    ),
]

MARK = 10


def by_the_socket(sock: trio.socket.SocketType, ours: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)


def by_a_stream(sock: trio.socket.SocketType, ours: socket.socket) -> None:
    RioStream(sock).setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)


def behind_its_back(sock: trio.socket.SocketType, ours: socket.socket) -> None:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)


def by_another_descriptor(sock: trio.socket.SocketType, ours: socket.socket) -> None:
    with ours.dup() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)


async def arrived(sock: trio.socket.SocketType, peer: socket.socket, data: bytes) -> None:
    """Send ``data`` to a socket and come back when it is there. On loopback that is when the send returns."""
    peer.sendall(data)
    await trio.lowlevel.checkpoint()


async def _with_mark(
    set_mark: Callable[[trio.socket.SocketType, socket.socket], None],
    receive: Callable[[trio.socket.SocketType], Awaitable[bytes]],
) -> bytes:
    """What a receive gets, of five bytes, on a connection that was in use when the mark was set to ten."""
    ours, peer = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, peer:
        peer.sendall(b"-")
        assert await sock.recv(1) == b"-"
        set_mark(sock, ours)
        await arrived(sock, peer, b"12345")
        with trio.fail_after(PATIENCE_SECONDS):
            data = await receive(sock)
    assert_ledger_balanced()
    return data


@pytest.mark.parametrize("set_mark", [by_the_socket, by_a_stream, behind_its_back, by_another_descriptor])
async def test_a_receive_takes_what_is_there(
    mode: str, set_mark: Callable[[trio.socket.SocketType, socket.socket], None]
) -> None:
    """Fewer bytes than the mark, whoever has set it."""
    assert await _with_mark(set_mark, lambda sock: sock.recv(9)) == b"12345"


@pytest.mark.parametrize("name", [name for name in RECEIVES if name != "wait_readable"])
async def test_every_kind_of_receive_takes_what_is_there(mode: str, name: str) -> None:
    """Of sockets and of streams."""
    assert await _with_mark(by_the_socket, RECEIVES[name]) == b"12345"


async def test_peeking_sees_what_is_there(mode: str) -> None:
    """MSG_PEEK goes by what is there as well."""
    assert await _with_mark(by_the_socket, lambda sock: sock.recv(9, socket.MSG_PEEK)) == b"12345"


@pytest.mark.parametrize("name", ["recv", "RioStream", "wait_readable"])
async def test_a_call_that_has_to_wait_waits_for_the_mark(mode: str, name: str) -> None:
    """Fewer bytes do not end it; the last of them that were missing do."""
    taken: list[bytes] = []
    async with open_pair() as (sock, peer):
        await peer.send(b"-")
        assert await sock.recv(1) == b"-"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)

        async def receive() -> None:
            taken.append(await RECEIVES[name](sock))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                await peer.send(b"12345")
                await wait_all_tasks_blocked(0.01)
                assert not taken
                await peer.send(b"67890")
    assert taken == [b"1234567890"]


async def test_waiting_for_readability_goes_by_the_mark(mode: str) -> None:
    """Also when there are fewer bytes already."""
    async with open_pair() as (sock, peer):
        await peer.send(b"-")
        assert await sock.recv(1) == b"-"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)
        await peer.send(b"12345")
        is_over = False

        async def wait() -> None:
            nonlocal is_over
            await trio.lowlevel.wait_readable(sock)
            is_over = True

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wait_all_tasks_blocked(0.01)
                assert not is_over
                await peer.send(b"67890")
            assert await sock.recv(20) == b"1234567890"


async def test_calls_that_start_anew_lose_nothing(mode: str) -> None:
    """Bytes come one by one, below the mark; each is received once, in order."""
    async with open_pair() as (sock, peer):
        await peer.send(b"-")
        assert await sock.recv(1) == b"-"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MARK)
        received = bytearray()
        with trio.fail_after(PATIENCE_SECONDS):
            for number in range(200):
                await peer.send(bytes([number]))
                received += await sock.recv(9)
    assert received == bytes(range(200))

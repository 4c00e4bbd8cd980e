"""Receives that stay posted on a socket that is given away or dropped: what went wrong once."""

from __future__ import annotations

import select
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.harness import PATIENCE_SECONDS, dropping, open_pair, scaled, stdlib_pair, tcp_pair


@pytest.mark.rio_config(cancellation="detach")
async def test_a_duplicate_misses_nothing_that_a_posted_receive_would_take() -> None:
    """dup() of a socket with a receive posted takes it back, or raises OSError; none is left posted from then on."""
    async with open_pair() as (sock, peer):
        await post(sock)
        try:
            other = sock.dup()
        except OSError:
            assert trio_rio.current_statistics().provider == "winsock"  # where nothing is taken back
            other = sock
        else:
            await post(sock)
            await post(other)
        await peer.send(b"xy")
        with trio.fail_after(PATIENCE_SECONDS):
            assert await other.recv(1) == b"x"
            assert await sock.recv(1) == b"y"
        other.close()


@pytest.mark.rio_config(cancellation="detach")
async def test_a_socket_that_is_refused_a_duplicate_is_as_before() -> None:
    """dup() and detach() raise OSError while something is there that came ahead; the socket then goes on."""
    async with open_pair() as (sock, peer):
        await post(sock)
        await peer.send(b"x")
        await wait_all_tasks_blocked(0.001)
        with pytest.raises(OSError, match="would lose bytes"):
            sock.dup()
        with pytest.raises(OSError, match="would lose bytes"):
            sock.detach()
        with trio.fail_after(PATIENCE_SECONDS):
            assert await sock.recv(1) == b"x"
            await post(sock)
            await peer.send(b"y")
            assert await sock.recv(1) == b"y"


@pytest.mark.rio_config(cancellation="detach")
async def test_a_task_that_receives_keeps_a_socket_from_being_shared() -> None:
    """dup() raises OSError while a task waits for what comes ahead, and that task gets it."""
    async with open_pair() as (sock, peer):
        received = []

        async def receive() -> None:
            received.append(await sock.recv(1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            with pytest.raises(OSError, match="would lose bytes"):
                sock.dup()
            await peer.send(b"x")
        assert received == [b"x"]


@pytest.mark.rio_config(cancellation="detach")
async def test_what_comes_just_then_goes_with_the_descriptor_or_keeps_it() -> None:
    """A byte that another thread sends while detach() runs is in the socket then, or detach() has raised OSError."""
    with ThreadPoolExecutor(1) as senders:
        for _ in range(scaled(100, 2000)):
            ours, theirs = stdlib_pair()
            with theirs:
                sock = trio.socket.from_stdlib_socket(ours)
                await post(sock)
                sent = senders.submit(theirs.send, b"x")
                try:
                    number = sock.detach()
                except OSError:
                    with sock, trio.fail_after(PATIENCE_SECONDS):
                        assert await sock.recv(1) == b"x"
                else:
                    with socket.socket(fileno=number) as other:
                        other.settimeout(PATIENCE_SECONDS)
                        assert other.recv(1) == b"x"
                sent.result()


async def post(sock: trio.socket.SocketType) -> None:
    """Leave a receive posted, where a cancelled one stays so."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sock.recv, 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


@pytest.mark.rio_config(cancellation="detach")
async def test_what_came_in_this_tick_goes_with_the_descriptor_or_keeps_it() -> None:
    """detach() raises OSError, or leaves in the socket what has come: it does not drop what nobody has looked at."""
    ours, theirs = stdlib_pair()
    with theirs:
        sock = trio.socket.from_stdlib_socket(ours)
        with trio.move_on_after(0.01):
            await sock.recv(1)
        theirs.send(b"x")
        select.select([theirs], [], [], 0)  # whatever the system does at the end of a call is done
        try:
            number = sock.detach()
        except OSError:
            with sock, trio.fail_after(PATIENCE_SECONDS):
                assert await sock.recv(1) == b"x"
        else:
            with socket.socket(fileno=number) as other:
                other.settimeout(PATIENCE_SECONDS)
                assert other.recv(1) == b"x"


@pytest.mark.rio_config(read_ahead=1)
async def test_a_dropped_socket_that_receives_ahead_is_closed() -> None:
    """A socket that is dropped with a receive posted is closed, with a ResourceWarning; its peer sees the end."""
    sock, peer = await tcp_pair()
    await peer.send(b"x")
    assert await sock.recv(1) == b"x"
    await trio.lowlevel.checkpoint()  # Trio holds what a task was resumed with during its step
    with dropping(weakref.ref(sock)):
        del sock
    with peer, trio.fail_after(PATIENCE_SECONDS):
        assert await peer.recv(1) == b""

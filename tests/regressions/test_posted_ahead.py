"""Receives that stay posted on a socket that is given away or dropped: what went wrong once."""

from __future__ import annotations

import select
import socket
import weakref

import pytest
import trio

from ..engine.harness import PATIENCE_SECONDS, dropping, open_pair, stdlib_pair, tcp_pair


@pytest.mark.rio_config(cancellation="detach")
async def test_a_socket_with_a_receive_posted_has_no_duplicate() -> None:
    """dup() raises OSError while a receive is posted: it would take what a reader of the other handle waits for."""
    async with open_pair() as (sock, peer):
        with trio.move_on_after(0.01):
            await sock.recv(1)
        with pytest.raises(OSError, match="would lose bytes"):
            sock.dup()
        await peer.send(b"x")
        with trio.fail_after(PATIENCE_SECONDS):
            assert await sock.recv(1) == b"x"


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

"""Datagrams that were cut, or stuck, since the memory for them was too small: what went wrong once."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..engine.datagrams import stdlib_peer
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, udp_socket

COUNT = 14
LONG = 20_000


@BOTH_MODES[0]
@BOTH_MODES[1]
@pytest.mark.parametrize(
    "_memory",
    [
        pytest.param("used up", marks=pytest.mark.rio_config(registered_bytes_max=800_000)),
        pytest.param("in small slices", marks=pytest.mark.rio_config(large_slice_size_bytes=16384)),
    ],
)
async def test_no_datagram_is_cut(_memory: str) -> None:
    """A receive that has room for a datagram gets all of it, whatever registered memory there is."""
    received: list[bytes] = []

    async def receive(sock: trio.socket.SocketType) -> None:
        received.append((await sock.recvfrom(65535))[0])

    with ExitStack() as stack, trio.fail_after(PATIENCE_SECONDS):
        peer = stack.enter_context(stdlib_peer())
        socks = [stack.enter_context(await udp_socket()) for _ in range(COUNT)]
        async with trio.open_nursery() as nursery:
            for sock in socks:
                nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            for number, sock in enumerate(socks):
                peer.sendto(bytes([number]) * LONG, sock.getsockname())
    assert sorted(received) == [bytes([number]) * LONG for number in range(COUNT)]


@pytest.mark.rio_config(cancellation="detach")
async def test_a_socket_goes_on_behind_a_cut_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not cut datagrams, one that was cut all the same is an error, once."""
    with stdlib_peer() as peer, await udp_socket() as sock:
        inner: Any = sock
        peer.sendto(b"first", sock.getsockname())
        assert await sock.recv(10) == b"first"
        queue, provider = inner._channel.request_queue, inner._channel.engine.provider
        post = queue.post_receive_from
        monkeypatch.setattr(provider, "truncates_silently", False)
        monkeypatch.setattr(queue, "post_receive_from", lambda id_, offset, _, *rest: post(id_, offset, 10, *rest))
        for _ in inner._channel.ahead.posted.copy():  # those that were posted with room for more
            peer.sendto(b"whole", sock.getsockname())
            assert await sock.recv(10) == b"whole"
        peer.sendto(b"longer than ten", sock.getsockname())
        peer.sendto(b"whole", sock.getsockname())
        with pytest.raises(OSError) as caught:
            await sock.recvfrom(100)
        assert caught.value.errno == errno.EMSGSIZE
        assert await sock.recvfrom(100) == (b"whole", peer.getsockname())

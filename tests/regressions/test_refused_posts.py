"""A receive cannot be posted, since the system is short of memory for a moment: what went wrong once."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.current import engine_of_run
from trio_rio.rio import RioCallError, Status

from ..engine.datagrams import address_of, receive_all, stdlib_peer
from ..engine.harness import open_pair, udp_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_rio.rio import Provider, RequestQueue

pytestmark = pytest.mark.rio_config(cancellation="detach")


def refusing(function: str, code: int = Status.ENOBUFS) -> Callable[..., NoReturn]:
    """In place of a function of the table: it refuses each call."""

    def refuse(*_: object) -> NoReturn:
        raise RioCallError(function, code)

    return refuse


def request_queue_of(sock: Any) -> RequestQueue:
    queue: RequestQueue = sock._channel.request_queue
    return queue


def provider_of(channel: trio_rio.DatagramChannel) -> Provider:
    queue = channel._queue
    assert queue is not None
    return queue.engine.provider


async def test_bytes_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receive returns what has come, though the next one cannot be posted; and the one after it goes on."""
    async with open_pair() as (ours, theirs):
        await theirs.send(b"one")
        assert await ours.recv(10) == b"one"
        await theirs.send(b"two")
        await wait_all_tasks_blocked(0.01)
        with monkeypatch.context() as patch:
            patch.setattr(request_queue_of(ours), "post_receive", lambda *_: Status.ENOBUFS)
            assert await ours.recv(10) == b"two"
        await theirs.send(b"three")
        assert await ours.recv(10) == b"three"


async def test_a_lease_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a lease on what a stream received; its memory comes back."""
    async with open_pair() as (ours, theirs):
        stream = trio_rio.RioStream(ours)
        await theirs.send(b"one")
        assert await stream.receive_some() == b"one"
        await theirs.send(b"two")
        await wait_all_tasks_blocked(0.01)
        monkeypatch.setattr(request_queue_of(ours), "post_receive", lambda *_: Status.ENOBUFS)
        async with stream.receive_lease() as view:
            assert bytes(view) == b"two"


@pytest.mark.parametrize("leases", [False, True])
async def test_bytes_are_not_lost_for_want_of_larger_slices(monkeypatch: pytest.MonkeyPatch, leases: bool) -> None:
    """A receive that fills its slice wants a larger one for the next; that this cannot be registered loses nothing."""
    async with open_pair() as (ours, theirs):
        stream = trio_rio.RioStream(ours)
        await theirs.send(b"one")
        assert await stream.receive_some() == b"one"
        engine = ours._channel.engine  # type: ignore[attr-defined]
        sent = bytes(range(256)) * (engine.arena.small_size_bytes // 256)
        await trio.SocketStream(theirs).send_all(sent)
        await wait_all_tasks_blocked(0.01)
        with monkeypatch.context() as patch:
            patch.setattr(engine.provider, "register_buffer", refusing("RIORegisterBuffer"))
            received = b""
            while len(received) < len(sent):
                if leases:
                    async with stream.receive_lease() as view:
                        received += bytes(view)
                else:
                    received += await stream.receive_some()
        assert received == sent
        await theirs.send(b"next")
        assert await stream.receive_some() == b"next"


@pytest.mark.rio_config(cancellation=None)
@pytest.mark.parametrize("code", [Status.ENOBUFS, Status.EFAULT])
async def test_sockets_without_registered_memory_use_plain_calls(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Where no memory can be registered, as when none may be locked, sockets go on by plain calls."""
    async with open_pair() as (ours, theirs):
        engine = engine_of_run()
        monkeypatch.setattr(engine.provider, "register_buffer", refusing("RIORegisterBuffer", code))
        await theirs.send(b"there")
        assert await ours.recv(10) == b"there"
        await ours.send(b"back")
        assert await theirs.recv(10) == b"back"


async def test_a_receive_without_memory_is_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no receive can be posted at all the socket receives by plain calls."""
    async with open_pair() as (ours, theirs):
        await ours.send(b"out")
        monkeypatch.setattr(request_queue_of(ours), "post_receive", lambda *_: Status.ENOBUFS)
        await theirs.send(b"in")
        assert await ours.recv(10) == b"in"


async def test_another_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system refuses for another reason than memory is raised, by the receive that it was for."""
    async with open_pair() as (ours, _):
        await ours.send(b"out")
        monkeypatch.setattr(request_queue_of(ours), "post_receive", lambda *_: Status.ENETDOWN)
        with pytest.raises(OSError) as caught:
            await ours.recv(10)
        assert caught.value.errno == errno.ENETDOWN


async def test_a_datagram_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram that has come is returned, though the next receive cannot be posted."""
    with stdlib_peer() as peer, await udp_socket() as sock:
        for data in (b"one", b"two"):
            peer.sendto(data, sock.getsockname())
        assert await sock.recvfrom(10) == (b"one", peer.getsockname())
        await wait_all_tasks_blocked(0.01)
        with monkeypatch.context() as patch:
            patch.setattr(request_queue_of(sock), "post_receive_from", lambda *_: Status.ENOBUFS)
            assert await sock.recvfrom(10) == (b"two", peer.getsockname())
        peer.sendto(b"three", sock.getsockname())
        assert await sock.recvfrom(10) == (b"three", peer.getsockname())


async def test_a_batch_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel returns the batch that has come, though no receive can be posted; and goes on when it can."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=4) as channel:
        with stdlib_peer() as peer:
            for number in range(4):
                peer.sendto(b"%d" % number, address_of(channel))
            await wait_all_tasks_blocked(0.01)
            with monkeypatch.context() as patch:
                patch.setattr(provider_of(channel), "post_receives", refusing("RIOReceiveEx"))
                assert await receive_all(channel, 4) == [b"0", b"1", b"2", b"3"]
                with pytest.raises(OSError) as caught:
                    await channel.receive()
                assert caught.value.errno == errno.ENOBUFS
            peer.sendto(b"next", address_of(channel))
            assert await receive_all(channel, 1) == [b"next"]


@pytest.mark.parametrize("code", [Status.ENOBUFS, Status.EFAULT])
async def test_a_channel_without_registered_memory_uses_plain_calls(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Where a channel cannot register its memory it goes on by plain calls."""
    engine = engine_of_run()
    monkeypatch.setattr(engine.provider, "register_buffer", refusing("RIORegisterBuffer", code))
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
        with stdlib_peer() as peer:
            await channel.send(b"out", peer.getsockname())
            assert peer.recv(10) == b"out"
            peer.sendto(b"in", address_of(channel))
            assert await receive_all(channel, 1) == [b"in"]


@pytest.mark.rio_config(small_slice_size_bytes=1024, large_slice_size_bytes=4096)
async def test_a_long_datagram_without_registered_memory_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram longer than a slice, which wants memory of its own, goes out without it."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
        with stdlib_peer() as peer:
            peer.sendto(b"in", address_of(channel))
            assert await receive_all(channel, 1) == [b"in"]
            await channel.send_many([(bytes(2000), peer.getsockname())])
            monkeypatch.setattr(provider_of(channel), "register_buffer", refusing("RIORegisterBuffer"))
            await channel.send_many([(bytes(5000), peer.getsockname())])
            assert [len(peer.recv(10000)) for _ in range(2)] == [2000, 5000]


async def test_receives_that_are_posted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fewer receives are posted than were asked for, all datagrams come nevertheless, each once, in order."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=8) as channel:
        provider = provider_of(channel)
        post = provider.post_receives
        monkeypatch.setattr(
            provider, "post_receives", lambda queue, row, first, count, flags: post(queue, row, first, 1, flags)
        )
        with stdlib_peer() as peer:
            for start in range(0, 60, 6):
                for number in range(start, start + 6):
                    peer.sendto(b"%d" % number, address_of(channel))
                received = await receive_all(channel, 6)
                assert received == [b"%d" % number for number in range(start, start + 6)]
                await trio.lowlevel.checkpoint()

"""Sends that find no room: they wait, in order, and what becomes of them when the task is cancelled or all is closed.

Datagrams on loopback always find room. UNIX sockets make a sender wait for the receiver, and the function table below
does not care what kind of datagram socket it has; only its check of the family must look away.
"""

from __future__ import annotations

import contextlib
import socket
from array import array
from collections.abc import Coroutine, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import _trio
from trio_rio._datagrams.addresses import Peers
from trio_rio._datagrams.batches import SENDS_MAX, Batch, SendBatches
from trio_rio._datagrams.queue import DatagramQueue
from trio_rio._engine.current import current_engine
from trio_rio.testing import assert_ledger_balanced

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")

COUNT = 100


@contextlib.contextmanager
def queue_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DatagramQueue, socket.socket]]:
    """A queue on a UNIX datagram socket with little room, and the other end."""
    monkeypatch.setattr("trio_rio.rio.checks.can_serve", lambda _: True)
    engine = current_engine()
    assert engine is not None
    assert engine.ensure_started()
    ours, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, peer:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for sock in (ours, peer):
            sock.setblocking(False)
        queue = DatagramQueue(engine, _trio.current_runner(), ours, Peers(socket.AF_INET), 1, 2048)
        queue.begin()
        try:
            yield queue, peer
        finally:
            queue.wake_all()
            queue.end()


def post(sends: SendBatches, first: int = 0, count: int = COUNT) -> Batch:
    data = bytes(range(first, first + count))
    batch = sends.post(data, array("I", [1] * count), b"")
    assert batch is not None
    return batch


def read(peer: socket.socket) -> bytes:
    """What has arrived."""
    received = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            received += peer.recv(10)
    return received


async def read_until(peer: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += read(peer)
        await trio.sleep(0.001)
    return received


async def test_a_batch_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task goes on when the last of the batch is gone; they arrive in order."""
    with queue_to(monkeypatch) as (queue, peer):
        batch = post(queue.sends)
        assert 0 < batch.left < COUNT
        assert queue.sends.room() == SENDS_MAX - batch.left
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.sends.wait_until_sent, batch)
            await wait_all_tasks_blocked()
            assert queue.account().tasks_sending == 1
            assert_ledger_balanced()
            assert await read_until(peer, COUNT) == bytes(range(COUNT))
        assert batch.failures == []


async def test_a_cancelled_batch_sends_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled, it ends when the rest is aborted: what was counted as sent has arrived, and nothing else does."""
    with queue_to(monkeypatch) as (queue, peer):
        batch = post(queue.sends)
        with trio.move_on_after(0.01) as scope:
            await queue.sends.wait_until_sent(batch)
            if batch.was_cancelled():
                batch.raise_cancel()
        assert scope.cancelled_caught
        sent = COUNT - len(batch.failures)
        assert 0 < sent < COUNT
        assert await read_until(peer, sent) == bytes(range(sent))
        await trio.sleep(0.01)
        assert read(peer) == b""
        assert queue.sends.room() == SENDS_MAX
        assert_ledger_balanced()


async def test_a_second_task_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a second task posts comes behind; cancelling the first does not touch it."""
    with queue_to(monkeypatch) as (queue, peer):
        first, second = post(queue.sends), post(queue.sends, 200, 20)
        assert second.left == 20
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.sends.wait_until_sent, second)
            with trio.move_on_after(0.01):
                await queue.sends.wait_until_sent(first)
            sent = COUNT - len(first.failures)
            expected = bytes(range(sent)) + bytes(range(200, 220))
            assert await read_until(peer, len(expected)) == expected
        assert second.failures == []


async def test_no_room_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many in flight as there may be, a task waits until one is gone; cancelling that changes nothing."""
    with queue_to(monkeypatch) as (queue, peer):
        sent = 0
        while queue.sends.room():
            count = min(queue.sends.room(), COUNT)
            post(queue.sends, 0, count)
            sent += count
        with trio.move_on_after(0.01) as scope:
            await queue.sends.wait_for_room()
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.sends.wait_for_room)
            await wait_all_tasks_blocked()
            read(peer)
        assert queue.sends.room() > 0
        await wait_all_tasks_blocked()


async def test_closing_wakes_who_waits_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that wait for a batch, and for room, get ClosedResourceError; memory and credits come back."""
    with queue_to(monkeypatch) as (queue, _):
        batch = post(queue.sends)

        async def wait(call: Coroutine[object, object, None]) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await call

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, queue.sends.wait_until_sent(batch))
            nursery.start_soon(wait, queue.sends.wait_for_room())
            await wait_all_tasks_blocked()
            queue.wake_all()
            queue.end()
        for _ in range(5):
            await trio.sleep(0.001)
        assert queue.is_gone
        assert_ledger_balanced()


@pytest.mark.rio_config(cancellation="detach", send_window_bytes=64)
async def test_a_window_bounds_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sends are not waited for, there is no room once the window's bytes are in flight."""
    with queue_to(monkeypatch) as (queue, peer):
        batch = post(queue.sends)
        batch.is_left_alone = True
        assert queue.sends.room() == 0
        assert queue.is_lingering()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_until, peer, COUNT)
            while queue.is_lingering():
                await queue.sends.wait_for_room()
        assert queue.sends.room() == SENDS_MAX

"""A task that is alone looks for the next datagram before it waits; what a channel promises stays as it is."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import outcome
import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramChannel, RioConfig, TruncatedDatagramError
from trio_rio._engine.current import current_engine

from .datagrams import address_of, open_local, stdlib_peer
from .harness import PATIENCE_SECONDS

pytestmark = pytest.mark.providers("uring")

ROUNDS = 40


async def be_alone(channel: DatagramChannel, peer: socket.socket) -> None:
    """Let the reader be alone, with no receive in the kernel."""
    engine = current_engine()
    assert engine is not None
    if engine.config.notification == "polled":
        pytest.skip("a run that polls submits all that is staged in each tick")
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive)
            await wait_all_tasks_blocked()
            peer.sendto(b"one", address_of(channel))
        for _ in range(ROUNDS):
            peer.sendto(b"two", address_of(channel))
            assert (await channel.receive())[0] == b"two"
            assert channel._queue is not None
            assert channel._queue.requests.receives_rest is not None
            if channel._queue.may_be_alone and channel._queue.requests.receives_rest() == 1:
                return
    raise AssertionError("receives never rest")


@pytest.mark.parametrize("in_batches", [False, True], ids=["one-by-one", "batches"])
async def test_what_is_there_needs_no_wait(in_batches: bool) -> None:
    """In an exchange whose peer answers at once, only the first datagrams are waited for."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            peer.connect(address_of(channel))
            peer.send(b"0")
            for number in range(ROUNDS):
                datagrams = await channel.receive_many() if in_batches else [await channel.receive()]
                assert [data for data, _ in datagrams] == [b"%d" % number]
                await channel.send_many(datagrams)
                assert peer.recv(100) == b"%d" % number
                peer.send(b"%d" % (number + 1))
            assert channel.statistics().wakeups < ROUNDS // 4
            assert channel.statistics().datagrams_received == channel.statistics().datagrams_sent == ROUNDS


async def test_order_and_number_whatever_comes() -> None:
    """Single datagrams and bursts in turn, read one by one and in batches: each comes once, in order."""
    async with await open_local(receives_posted=8) as channel:
        with stdlib_peer() as peer:
            peer.connect(address_of(channel))
            sent = 0
            received: list[int] = []
            for step in range(300):
                for _ in range((1, 1, 1, 2, 1, 1, 30, 1)[step % 8]):
                    peer.send(b"%d" % sent)
                    sent += 1
                if step % 5 == 0:
                    await trio.lowlevel.checkpoint()
                while len(received) < sent - step % 2:
                    if step % 3:
                        received.append(int((await channel.receive())[0]))
                    else:
                        received += [int(data) for data, _ in await channel.receive_many(3 if step % 7 else None)]
            while len(received) < sent:
                received.append(int((await channel.receive())[0]))
            assert received == list(range(sent))


async def test_many_that_have_come_are_one_batch() -> None:
    """``receive_many`` brings all of them, though the datagram before them was alone."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            for number in range(5):
                peer.sendto(b"%d" % number, address_of(channel))
            assert [data for data, _ in await channel.receive_many()] == [b"0", b"1", b"2", b"3", b"4"]


async def test_one_by_one_ends_when_many_come() -> None:
    """Whoever reads single datagrams notices that there are many, and takes them in batches again."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            for _ in range(60):
                peer.sendto(b"x", address_of(channel))
            for _ in range(60):
                await channel.receive()
            assert channel._queue is not None
            assert not channel._queue.may_be_alone


@pytest.mark.parametrize("what", ["a datagram", "nothing"])
async def test_a_cancelled_receive_takes_nothing(what: str) -> None:
    """Whether it would have found something or not."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            if what == "a datagram":
                peer.sendto(b"kept", address_of(channel))
            with trio.CancelScope() as scope:
                scope.cancel()
                await channel.receive()
            assert scope.cancelled_caught
            if what == "nothing":
                with trio.move_on_after(0.01) as scope:
                    await channel.receive()
                assert scope.cancelled_caught
                peer.sendto(b"kept", address_of(channel))
            assert (await channel.receive())[0] == b"kept"


async def test_each_call_is_a_checkpoint() -> None:
    """One that finds a datagram too, and one that sends a batch of one."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            for receive in (channel.receive, channel.receive_many):
                peer.sendto(b"x", address_of(channel))
                with assert_checkpoints():
                    await receive()
            with assert_checkpoints():
                assert await channel.send_many([(b"y", peer.getsockname())]) == 1
            assert peer.recv(10) == b"y"


async def test_a_long_datagram_is_told_whole() -> None:
    """It raises what it raises after a wait, and is counted."""
    async with await open_local(receive_size_bytes=3) as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            peer.sendto(b"longer", address_of(channel))
            with pytest.raises(TruncatedDatagramError) as caught:
                await channel.receive()
            assert caught.value.data == b"lon"
            assert caught.value.address == peer.getsockname()
            assert channel.statistics().datagrams_truncated == 1


async def test_an_error_comes_once() -> None:
    """What the system reports in a datagram's place is raised, and the next call goes on."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            with stdlib_peer() as gone:
                nobody = gone.getsockname()
            await channel.socket.connect(nobody)
            channel._sock.send(b"refused")
            with pytest.raises(ConnectionRefusedError):
                await channel.receive()
            await channel.socket.connect(peer.getsockname())
            peer.sendto(b"next", address_of(channel))
            assert (await channel.receive())[0] == b"next"


async def test_only_one_task_receives() -> None:
    """A datagram that has come is not taken from under the task that waits for it."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            received: list[bytes] = []

            async def receive() -> None:
                received.append((await channel.receive())[0])

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                peer.sendto(b"first", address_of(channel))
                with pytest.raises(trio.BusyResourceError):
                    await channel.receive()
            assert received == [b"first"]


async def test_a_closed_channel_reads_nothing() -> None:
    """Also with a datagram at hand, and while it is being closed."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            peer.sendto(b"late", address_of(channel))
            closing = channel.aclose()
            closing.send(None)  # up to its checkpoint
            with pytest.raises(trio.ClosedResourceError):
                await channel.receive()
            with pytest.raises(StopIteration):
                closing.send(outcome.Value(None))
            with pytest.raises(trio.ClosedResourceError):
                await channel.receive()


async def test_a_busy_run_does_not_keep_a_reader_waiting() -> None:
    """While another task never lets the run wait, receives start all the same."""
    async with await open_local() as channel:
        with stdlib_peer() as peer:
            await be_alone(channel, peer)
            async with trio.open_nursery() as nursery:

                async def spin() -> None:
                    while True:
                        await trio.lowlevel.checkpoint()

                nursery.start_soon(spin)
                with trio.fail_after(PATIENCE_SECONDS):
                    for number in range(10):
                        peer.sendto(b"%d" % number, address_of(channel))
                        assert (await channel.receive())[0] == b"%d" % number
                nursery.cancel_scope.cancel()


def test_a_guest_waits_for_what_comes_later(rio_provider: str) -> None:
    """Another thread waits there, and starts no receive."""
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []

    async def main() -> list[bytes]:
        async with await open_local() as channel:
            with stdlib_peer() as peer:
                peer.connect(address_of(channel))

                def answer() -> None:
                    for number in range(10):
                        time.sleep(0.005 * (number % 3))  # some come while the run waits
                        peer.send(b"%d" % number)
                        assert peer.recv(10) == b"%d" % number

                thread = Thread(target=answer)
                thread.start()
                received = []
                for _ in range(10):
                    data, address = await channel.receive()
                    await channel.send(data, address)
                    received.append(data)
                thread.join()
                return received

    trio_rio.start_guest_run(
        main, run_sync_soon_threadsafe=todo.put, done_callback=results.append, config=RioConfig(provider=rio_provider)
    )
    while not results:
        todo.get(timeout=PATIENCE_SECONDS)()
    assert results[0].unwrap() == [b"%d" % number for number in range(10)]

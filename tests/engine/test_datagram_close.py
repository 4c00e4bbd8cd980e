"""How a DatagramChannel ends: closed, cancelled, dropped, at the end of its run, and with its socket."""

from __future__ import annotations

import gc
import socket
import warnings

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramChannel
from trio_rio.testing import assert_ledger_balanced

from ..conftest import RioRun
from ..platforms import IS_WINDOWS
from .datagrams import ALL_CARRIERS, address_of, let_arrive, open_local, open_two, stdlib_peer

pytestmark = ALL_CARRIERS


async def receive_until_closed(channel: DatagramChannel) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()


async def test_closing_wakes_who_waits() -> None:
    """A task that waits gets ClosedResourceError, and the address is free at once."""
    channel = await open_local()
    address = address_of(channel)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_until_closed, channel)
        await wait_all_tasks_blocked()
        await channel.aclose()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
    assert_ledger_balanced()


async def test_a_closed_channel_refuses() -> None:
    """Each call raises ClosedResourceError, what had arrived is dropped, and closing twice is allowed."""
    async with open_two() as (one, other):
        to = address_of(other)
        await one.send_many([(b"x", to)] * 3)
        await one.send(b"x", to)
        await let_arrive(other)
        await other.receive()
        for channel in (one, other):
            await channel.aclose()
            for call in (
                channel.receive(),
                channel.receive_many(),
                channel.send(b"x", to),
                channel.send_many([(b"x", to)]),
                channel.send_many([]),
                channel.__anext__(),
            ):
                with assert_checkpoints(), pytest.raises(trio.ClosedResourceError):
                    await call
            with assert_checkpoints():
                await channel.aclose()
            assert channel.statistics().receives_posted == 0
            assert "closed" in repr(channel.socket)


async def test_a_cancelled_close_closes() -> None:
    """aclose in a cancelled scope raises Cancelled, and the channel is closed."""
    channel = await open_local()
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.aclose()
    assert scope.cancelled_caught
    assert channel.socket.fileno() == -1
    assert_ledger_balanced()


async def test_what_was_sent_goes_out_before_the_close() -> None:
    """Datagrams that a send has accepted arrive although the channel is closed at once."""
    async with await open_local() as receiver:
        sender = await open_local()
        assert await sender.send_many([(b"%d" % number, address_of(receiver)) for number in range(100)]) == 100
        await sender.aclose()
        received: list[bytes] = []
        while len(received) < 100:
            received += [data for data, _ in await receiver.receive_many()]
        assert received == [b"%d" % number for number in range(100)]


async def test_closing_the_socket_closes_the_channel() -> None:
    """The channel's Trio socket is closed by somebody: tasks that wait are told, and the channel is closed."""
    channel = await open_local()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_until_closed, channel)
        await wait_all_tasks_blocked()
        channel.socket.close()
    with pytest.raises(trio.ClosedResourceError):
        await channel.send(b"x", ("127.0.0.1", 9))
    await channel.aclose()
    assert_ledger_balanced()


async def test_a_descriptor_that_is_used_again() -> None:
    """A channel whose socket was closed behind its back does not touch the next owner of the descriptor."""
    if IS_WINDOWS:
        pytest.skip("Windows does not give a closed socket's number to the next one")
    channel = await open_local()
    number = channel.socket.fileno()
    channel.socket.close()
    async with await open_local() as next_one:
        assert next_one.socket.fileno() == number
        with stdlib_peer() as peer:
            peer.sendto(b"yours", address_of(next_one))
        with pytest.raises(trio.ClosedResourceError):
            await channel.receive()
        assert (await next_one.receive())[0] == b"yours"
    await channel.aclose()


async def test_a_dropped_channel_leaves_nothing() -> None:
    """One that was not closed warns as a socket does, and gives its requests and memory back."""

    async def drop() -> None:
        channel = await open_local()
        assert channel.statistics().datagrams_received == 0

    before = trio_rio.current_statistics()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await drop()
        gc.collect()
    # A receive that cannot be cancelled ends with its socket, so there the engine closes it.
    assert IS_WINDOWS or any(warning.category is ResourceWarning for warning in caught)
    for _ in range(10):
        await trio.sleep(0.001)
    assert_ledger_balanced()
    after = trio_rio.current_statistics()
    assert (after.sockets_open, after.receives_in_flight) == (before.sockets_open, before.receives_in_flight)


def test_a_channel_survives_its_run(rio_run: RioRun) -> None:
    """Left open at the end of a run it goes on in the next one, on trio_rio or not, and has lost nothing."""
    if IS_WINDOWS:
        pytest.skip("there a posted receive ends with its socket, so the end of a run closes it")
    received: list[bytes] = []

    async def begin() -> tuple[DatagramChannel, DatagramChannel]:
        one, other = await open_local(), await open_local()
        await one.send_many([(b"%d" % number, address_of(other)) for number in range(100)])
        await let_arrive(other)
        received.extend(data for data, _ in await other.receive_many(10))
        return one, other

    async def go_on(channel: DatagramChannel, until: int) -> None:
        while len(received) < until:
            received.extend(data for data, _ in await channel.receive_many(until - len(received)))

    async def end(one: DatagramChannel, other: DatagramChannel) -> None:
        await go_on(other, 100)
        await one.send(b"last", address_of(other))
        assert (await other.receive())[0] == b"last"
        await one.aclose()
        await other.aclose()

    one, other = rio_run(begin)
    trio.run(go_on, other, 40)
    rio_run(go_on, other, 90)
    rio_run(end, one, other)
    assert received == [b"%d" % number for number in range(100)]


def test_the_end_of_a_run_sends_what_was_accepted(rio_run: RioRun) -> None:
    """Datagrams of a channel that nobody closed arrive although the run is over."""
    with stdlib_peer() as peer:

        async def main() -> DatagramChannel:
            channel = await open_local()
            assert await channel.send_many([(b"x", peer.getsockname())] * 20) == 20
            return channel

        channel = rio_run(main)
        assert [peer.recv(10) for _ in range(20)] == [b"x"] * 20
        trio.run(channel.aclose)


@pytest.mark.parametrize("batch", [False, True])
def test_a_system_task_receives_to_the_end(rio_run: RioRun, batch: bool) -> None:
    """A shielded system task may still wait for a datagram when the main task is done."""
    received: list[bytes] = []

    async def linger(channel: DatagramChannel) -> None:
        with trio.CancelScope(shield=True):
            if batch:
                received.extend(data for data, _ in await channel.receive_many())
            else:
                received.append((await channel.receive())[0])
            await channel.aclose()

    async def send(channel: DatagramChannel, to: tuple[str, int]) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.05)
            await channel.send(b"late", to)
            await channel.aclose()

    async def main() -> None:
        one, other = await open_local(), await open_local()
        trio.lowlevel.spawn_system_task(linger, other)
        trio.lowlevel.spawn_system_task(send, one, address_of(other))
        await wait_all_tasks_blocked(0.01)

    rio_run(main)
    assert received == [b"late"]

"""Leases of batches of datagrams: in place, for the time of a block, and misuse is an error each time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramLease, RioError, TruncatedDatagramError
from trio_rio.testing import assert_ledger_balanced

from .datagrams import ALL_CARRIERS, address_of, let_arrive, open_local, open_two, receive_all

pytestmark = ALL_CARRIERS


async def test_a_batch_in_place() -> None:
    """The views have the data, the addresses are the senders'; after the block the views are unusable."""
    async with open_two() as (one, other):
        sent = [b"%d" % number * number for number in range(20)]
        await one.send_many([(data, address_of(other)) for data in sent])
        received: list[bytes] = []
        views: list[memoryview] = []
        while len(received) < 20:
            async with other.receive_lease() as datagrams:
                for view, address in datagrams:
                    assert address == address_of(one)
                    received.append(bytes(view))
                    views.append(view)
        assert received == sent
        for view in views:
            with pytest.raises(ValueError, match="released"):
                bytes(view)
        assert other.statistics().datagrams_received == 20
        assert_ledger_balanced()


async def test_slots_come_back() -> None:
    """Far more datagrams than slots pass through leases, held one, two or more at a time, and mixed with receives."""
    async with open_two(receives_posted=8) as (one, other):
        to = address_of(other)
        next_number = 0
        for start in range(0, 600, 20):
            await one.send_many([(b"%d" % number, to) for number in range(start, start + 20)])
            while next_number < start + 20:
                async with other.receive_lease(3) as first:
                    numbers = [int(bytes(view)) for view, _ in first]
                    if next_number + len(numbers) < start + 20:
                        async with other.receive_lease(1) as second:
                            numbers += [int(bytes(view)) for view, _ in second]
                    if next_number + len(numbers) < start + 20:
                        numbers.append(int((await other.receive())[0]))
                assert numbers == list(range(next_number, next_number + len(numbers)))
                next_number += len(numbers)
        assert_ledger_balanced()
        await let_arrive(other)
        with trio.move_on_after(0.01):
            await other.receive()
        assert other.statistics().receives_posted in (0, 8)


async def test_a_held_lease_does_not_stop_the_channel() -> None:
    """With a lease on everything that could be lent, datagrams still come, one slot's worth at a time, in order."""
    async with open_two(receives_posted=4) as (one, other):
        to = address_of(other)
        await one.send_many([(b"%d" % number, to) for number in range(50)])
        await let_arrive(other)
        held: list[bytes] = []
        leases = [other.receive_lease() for _ in range(5)]
        for lease in leases:
            held += [bytes(view) for view, _ in await lease.__aenter__()]
        held += await receive_all(other, 50 - len(held))
        assert held == [b"%d" % number for number in range(50)]
        for lease in leases:
            await lease.__aexit__(None, None, None)
        await one.send_many([(b"%d" % number, to) for number in range(50)])
        assert await receive_all(other, 50) == [b"%d" % number for number in range(50)]


async def test_held_memory_is_not_written() -> None:
    """What arrives while a lease is held goes elsewhere."""
    async with open_two(receives_posted=4) as (one, other):
        to = address_of(other)
        await one.send(b"held", to)
        async with other.receive_lease() as datagrams:
            for number in range(40):
                await one.send(b"%04d" % number, to)
                await other.receive()
            assert [bytes(view) for view, _ in datagrams] == [b"held"]


async def test_an_error_ends_the_batch() -> None:
    """A truncated datagram is raised by the next call; those before and behind it are received."""
    async with open_two(receive_size_bytes=10) as (one, other):
        await one.send_many([(data, address_of(other)) for data in (b"a", b"b" * 11, b"c")])
        await let_arrive(other)
        async with other.receive_lease() as datagrams:
            assert [bytes(view) for view, _ in datagrams] == [b"a"]
        with pytest.raises(TruncatedDatagramError):
            async with other.receive_lease():
                pass
        async with other.receive_lease() as datagrams:
            assert [bytes(view) for view, _ in datagrams] == [b"c"]


async def test_entering_is_a_checkpoint_and_cancelled_takes_nothing() -> None:
    """Whether or not it waits."""
    async with open_two() as (one, other):
        await one.send(b"x", address_of(other))
        with trio.CancelScope() as scope:
            scope.cancel()
            async with other.receive_lease():
                raise AssertionError("entered")
        assert scope.cancelled_caught
        lease = other.receive_lease()
        with assert_checkpoints():
            datagrams = await lease.__aenter__()
        assert bytes(datagrams[0][0]) == b"x"
        await lease.__aexit__(None, None, None)
        with trio.move_on_after(0.01) as scope:
            async with other.receive_lease():
                raise AssertionError("entered")
        assert scope.cancelled_caught
        with assert_checkpoints(), pytest.raises(ValueError, match="at least 1"):
            await other.receive_lease(0).__aenter__()
        with assert_checkpoints(), pytest.raises(TypeError, match="integer"):
            await other.receive_lease(1.5).__aenter__()  # type: ignore[arg-type]


async def test_one_task_receives_at_a_time() -> None:
    """A lease is refused while another task waits for a datagram, and the other way round."""
    async with open_two() as (one, other), trio.open_nursery() as nursery:

        async def wait() -> None:
            async with other.receive_lease() as datagrams:
                assert len(datagrams) == 1

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await other.receive()
        with pytest.raises(trio.BusyResourceError):
            await other.receive_lease().__aenter__()
        await one.send(b"x", address_of(other))


async def test_what_outlives_the_block_is_an_error() -> None:
    """A slice that is still held ends the block with BufferError, and its memory is kept from others meanwhile."""
    async with open_two(receives_posted=2) as (one, other):
        to = address_of(other)
        await one.send(b"keep", to)
        with pytest.raises(BufferError, match="outlives"):
            async with other.receive_lease() as datagrams:
                part = datagrams[0][0][1:3]
        for number in range(20):
            await one.send(b"%04d" % number, to)
            assert (await other.receive())[0] == b"%04d" % number
        assert bytes(part) == b"ee"
        part.release()


async def test_misuse_is_an_error() -> None:
    """Entered twice, left twice, left without entering: RioError each time."""
    async with open_two() as (one, other):
        await one.send(b"x", address_of(other))
        lease = other.receive_lease()
        with pytest.raises(RioError, match="never entered"):
            await lease.__aexit__(None, None, None)
        async with lease:
            pass
        with pytest.raises(RioError, match="entered before"):
            await lease.__aenter__()
        with pytest.raises(RioError, match="ended already"):
            await lease.__aexit__(None, None, None)


async def test_closed_while_held() -> None:
    """The views end with the channel, the block with ClosedResourceError, and nothing is left behind."""
    channel = await open_local()
    await channel.send(b"x", address_of(channel))
    with pytest.raises(trio.ClosedResourceError):
        async with channel.receive_lease() as datagrams:
            await channel.aclose()
            with pytest.raises(ValueError, match="released"):
                bytes(datagrams[0][0])
    assert_ledger_balanced()
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive_lease().__aenter__()


async def test_an_error_in_the_block_is_what_is_raised() -> None:
    """The block's own error wins over what it still holds."""
    async with open_two() as (one, other):
        await one.send(b"x", address_of(other))
        with pytest.raises(KeyError, match="mine"):
            async with other.receive_lease() as datagrams:
                part = datagrams[0][0][:1]
                raise KeyError("mine")
        part.release()


async def test_a_dropped_lease_is_reported() -> None:
    """A ResourceWarning names the line where it was taken, and its slots come back."""
    async with open_two(receives_posted=2) as (one, other):
        to = address_of(other)

        async def drop() -> None:
            lease: DatagramLease = other.receive_lease()
            await lease.__aenter__()

        await one.send(b"x", to)
        with pytest.warns(ResourceWarning, match="test_datagram_leases.py"):
            await drop()
        for number in range(20):
            await one.send(b"%d" % number, to)
            async with other.receive_lease() as datagrams:
                assert bytes(datagrams[0][0]) == b"%d" % number


async def test_an_interrupted_wait_for_a_lease_loses_nothing() -> None:
    """Cancelled again and again while datagrams come, every one arrives once."""
    async with open_two(receives_posted=8) as (one, other):
        seen: list[int] = []

        async def receive() -> None:
            while len(seen) < 500:
                with trio.CancelScope() as scope:
                    if len(seen) % 3 == 0:
                        scope.deadline = trio.current_time() + 0.0002
                    async with other.receive_lease(5) as datagrams:
                        seen.extend(int(bytes(view)) for view, _ in datagrams)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            for number in range(500):
                await one.send(b"%d" % number, address_of(other))
                if number % 50 == 0:
                    await trio.sleep(0.001)
        assert seen == list(range(500))


def test_stock_trio_has_leases() -> None:
    """On Trio itself the memory is the lease's own, and the rules are the same."""

    async def main() -> None:
        async with open_two() as (one, other):
            await one.send_many([(b"a", address_of(other)), (b"b", address_of(other))])
            async with other.receive_lease(1) as datagrams:
                assert [bytes(view) for view, _ in datagrams] == [b"a"]
            with pytest.raises(ValueError, match="released"):
                bytes(datagrams[0][0])
            with pytest.raises(trio_rio.RioError):
                await other.receive_lease().__aexit__(None, None, None)

    trio.run(main)

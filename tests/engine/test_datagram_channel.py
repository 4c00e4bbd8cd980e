"""What a DatagramChannel receives and sends, on each provider and without one."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramChannel, TruncatedDatagramError
from trio_rio.testing import assert_ledger_balanced

from .datagrams import ALL_CARRIERS, FAMILIES, address_of, let_arrive, open_local, open_two, receive_all, stdlib_peer

pytestmark = ALL_CARRIERS

SIZES = [0, 1, 512, 1472, 9000, 65507]

# What the system calls WSAEMSGSIZE; Wine has no words for it.
TOO_LONG = "too long|larger than|WSAEMSGSIZE"


async def test_the_carrier_is_the_one_that_was_asked_for(mode: str, rio_provider: str) -> None:
    """RIO serves where it has memory; else the channel works without, and says so."""
    async with open_two() as (one, _):
        statistics = one.statistics()
        assert (statistics.provider, statistics.receives_posted) == (
            (None, 0) if mode == "plain" else (rio_provider, 64)
        )
        assert_ledger_balanced()


@pytest.mark.parametrize("family", FAMILIES)
async def test_data_and_sender_arrive(family: int) -> None:
    """A datagram of any size arrives whole, with the address of its sender, in the form that sockets give it."""
    async with open_two(family) as (one, other):
        for size in SIZES:
            data = bytes(range(256)) * (size // 256 + 1)
            await one.send(data[:size], address_of(other))
            assert await other.receive() == (data[:size], address_of(one))
        assert_ledger_balanced()


@pytest.mark.parametrize("family", FAMILIES)
async def test_sent_together_received_together(family: int) -> None:
    """What send_many sends comes in order; receive_many brings all that has come, no more than asked for."""
    async with open_two(family) as (one, other):
        sent = [b"%d" % number * (number % 50) for number in range(300)]
        assert await one.send_many([(data, address_of(other)) for data in sent]) == 300
        first = await other.receive_many()
        assert len(first) >= 64
        assert {address for _, address in first} == {address_of(one)}
        second = await other.receive_many(3)
        assert 1 <= len(second) <= 3
        received = [data for data, _ in [*first, *second]]
        assert received + await receive_all(other, 300 - len(received)) == sent


async def test_one_by_one_and_together_mix() -> None:
    """receive and receive_many take from the same queue, in the order of arrival."""
    async with open_two() as (one, other):
        await one.send_many([(b"%d" % number, address_of(other)) for number in range(10)])
        received = [await other.receive(), *await other.receive_many(4), await other.receive()]
        received += await other.receive_many()
        while len(received) < 10:
            received.append(await other.receive())
        assert [data for data, _ in received] == [b"%d" % number for number in range(10)]


async def test_iterating_receives() -> None:
    """``async for`` gives datagram after datagram."""
    async with open_two() as (one, other):
        await one.send_many([(b"%d" % number, address_of(other)) for number in range(3)])
        seen = []
        async for data, address in other:
            assert address == address_of(one)
            seen.append(data)
            if len(seen) == 3:
                break
        assert seen == [b"0", b"1", b"2"]


async def test_a_waiting_task_is_woken() -> None:
    """A task that waits gets the datagram that comes, from whomever."""
    async with await open_local() as channel, trio.open_nursery() as nursery:

        async def wait() -> None:
            assert (await channel.receive())[0] == b"late"

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        with stdlib_peer() as peer:
            peer.sendto(b"late", address_of(channel))


async def test_many_senders_are_told_apart() -> None:
    """Each datagram of a batch has the address of its own sender."""
    async with await open_local() as channel:
        peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
        try:
            for number, peer in enumerate(peers):
                peer.bind(("127.0.0.1", 0))
                peer.sendto(b"%d" % number, address_of(channel))
            received: list[Any] = []
            while len(received) < 20:
                received += await channel.receive_many()
            assert received == [(b"%d" % number, peer.getsockname()) for number, peer in enumerate(peers)]
        finally:
            for peer in peers:
                peer.close()


async def test_a_datagram_that_is_too_long_is_told() -> None:
    """It raises, with what there was room for and its sender; those before and behind it arrive."""
    async with open_two(receive_size_bytes=10) as (one, other):
        await one.send_many([(data, address_of(other)) for data in (b"a", b"b" * 11, b"c" * 10)])
        await let_arrive(other)
        assert await other.receive_many() == [(b"a", address_of(one))]
        with pytest.raises(TruncatedDatagramError, match="receive_size_bytes") as caught:
            await other.receive_many()
        if sys.platform != "win32":  # which may leave both out
            assert (caught.value.data, caught.value.address) == (b"b" * 10, address_of(one))
        assert await other.receive() == (b"c" * 10, address_of(one))
        await one.send(b"d" * 500, address_of(other))
        with pytest.raises(TruncatedDatagramError):
            await other.receive()
        assert other.statistics().datagrams_truncated == 2


async def test_a_datagram_that_cannot_be_sent_is_told() -> None:
    """Too long for any datagram: nothing is sent. Too long for IPv4: the others are sent, and the error says which."""
    async with open_two() as (one, other):
        to = address_of(other)
        for call in (one.send(b"x" * 65528, to), one.send_many([(b"lost", to), (b"x" * 65528, to)])):
            with assert_checkpoints(), pytest.raises(OSError, match=TOO_LONG):
                await call
        with pytest.raises(OSError, match=TOO_LONG):
            await one.send(b"x" * 65508, to)
            await send_until_told(one, to)
        with pytest.raises(OSError, match=TOO_LONG):
            await one.send_many([(b"first", to), (b"x" * 65508, to), (b"last", to)])
            await send_until_told(one, to)
        received: list[bytes] = []
        while len(received) < 2:
            received += filter(None, await receive_all(other, 1))
        assert received == [b"first", b"last"]


async def send_until_told(channel: DatagramChannel, to: tuple[str, int]) -> None:
    """Where sends are not waited for, a later call is told of an error, as soon as it is known."""
    for _ in range(1000):
        await channel.send(b"", to)
        await trio.sleep(0.001)


async def test_a_connected_channel() -> None:
    """With a remote address sends need none, and only that peer's datagrams arrive."""
    async with await open_local() as peer:
        async with await trio_rio.open_datagram_channel(remote_address=address_of(peer)) as channel:
            await channel.send(b"one")
            assert await channel.send_many([(b"two", None), (b"three", None)]) == 2
            assert await receive_all(peer, 3) == [b"one", b"two", b"three"]
            with stdlib_peer() as stranger:
                stranger.sendto(b"nonsense", address_of(channel))
            await peer.send(b"back", address_of(channel))
            assert await channel.receive() == (b"back", address_of(peer))


async def test_a_peer_that_is_gone_is_told() -> None:
    """Where the system reports it, a connected channel raises ConnectionRefusedError once, and goes on."""
    if trio_rio.current_statistics().provider == "winsock":
        pytest.skip("RIO tells nothing of a peer that is gone")
    async with await open_local() as peer:
        channel = await trio_rio.open_datagram_channel(remote_address=address_of(peer))
    async with channel:
        with pytest.raises(ConnectionRefusedError), trio.fail_after(10):
            await channel.send(b"into the void")
            await channel.receive()
        peer_again = await trio_rio.open_datagram_channel(peer_address := channel.socket.getpeername())
        async with peer_again:
            await channel.send(b"again")
            assert (await peer_again.receive())[0] == b"again"
            assert address_of(peer_again) == peer_address


async def test_dual_stack() -> None:
    """A channel for every address of the machine serves IPv4 and IPv6 peers; IPv4 hosts are mapped, or as they are."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no dual-stack sockets here")
    async with await trio_rio.open_datagram_channel() as channel:
        port = address_of(channel)[1]
        async with await open_local(socket.AF_INET) as four, await open_local(socket.AF_INET6) as six:
            await four.send(b"four", ("127.0.0.1", port))
            data, address = await channel.receive()
            assert (data, address[0]) == (b"four", "::ffff:127.0.0.1")
            await channel.send(b"back", address)
            await channel.send(b"plain", address_of(four))
            await channel.send_many([(b"many", address), (b"many", address_of(four)), (b"six", address_of(six))])
            assert await receive_all(four, 4) == [b"back", b"plain", b"many", b"many"]
            assert (await six.receive())[0] == b"six"
            await six.send(b"six", ("::1", port))
            assert await channel.receive() == (b"six", address_of(six))


async def test_names_are_looked_up() -> None:
    """The host of a destination may be a name."""
    async with open_two() as (one, other):
        to = ("localhost", address_of(other)[1])
        await one.send(b"one", to)
        await one.send_many([(b"two", to), (b"three", address_of(other))])
        assert await receive_all(other, 3) == [b"one", b"two", b"three"]


@pytest.mark.parametrize(
    "make", [bytearray, lambda data: memoryview(b"x" + data + b"x")[1:5], lambda data: memoryview(data).cast("H")]
)
async def test_data_may_be_any_buffer(make: Callable[[bytes], Any]) -> None:
    """Any object with a buffer can be sent, and may change afterwards."""
    data = make(b"abcd")
    async with open_two() as (one, other):
        await one.send(data, address_of(other))
        await one.send_many([(data, address_of(other))])
        if isinstance(data, bytearray):
            data[:] = b"gone"
        assert await receive_all(other, 2) == [b"abcd", b"abcd"]


@pytest.mark.parametrize(
    ("data", "address", "kind"),
    [
        ("text", ("127.0.0.1", 9), TypeError),
        (5, ("127.0.0.1", 9), TypeError),
        (b"x", None, ValueError),
        (b"x", "127.0.0.1", TypeError),
        (b"x", ["127.0.0.1", 9], TypeError),
        (b"x", ("127.0.0.1",), TypeError),
        (b"x", ("127.0.0.1", 9, 0, 0), TypeError),
        (b"x", (127, 9), TypeError),
        (b"x", (["127.0.0.1"], 9), TypeError),
        (b"x", ("127.0.0.1", 65536), ValueError),
        (b"x", ("127.0.0.1", -1), ValueError),
        (b"x", ("127.0.0.1", "9"), ValueError),
        (b"x", ("::1", 9), OSError),
    ],
)
async def test_bad_arguments_of_a_send(data: Any, address: Any, kind: type[Exception]) -> None:
    """Each is refused by a checkpoint with an error that says what is wrong, and nothing of the call is sent."""
    async with open_two() as (one, other):
        with assert_checkpoints(), pytest.raises(kind):
            await one.send(data, address)
        with assert_checkpoints(), pytest.raises(kind):
            await one.send_many([(b"lost", address_of(other)), (data, address)])
        await one.send(b"arrives", address_of(other))
        assert (await other.receive())[0] == b"arrives"


async def test_bad_arguments_of_the_others() -> None:
    """send_many takes pairs; receive_many wants at least one datagram, and a whole number of them."""
    async with open_two() as (one, other):
        await one.send(b"x", address_of(other))
        for bad in ([b"x"], [(b"x",)], [1]):
            with assert_checkpoints(), pytest.raises(TypeError, match="pairs"):
                await one.send_many(bad)  # type: ignore[arg-type]
        with assert_checkpoints(), pytest.raises(ValueError, match="at least 1"):
            await other.receive_many(0)
        for wrong in (1.5, "1"):
            with assert_checkpoints(), pytest.raises(TypeError, match="integer"):
                await other.receive_many(wrong)  # type: ignore[arg-type]
        assert (await other.receive())[0] == b"x"


async def test_each_call_is_a_checkpoint() -> None:
    """Whether or not it has to wait, and with nothing to do too."""
    async with open_two() as (one, other):
        to = address_of(other)
        with assert_checkpoints():
            await one.send(b"x", to)
        with assert_checkpoints():
            await one.send(b"y", to)
        with assert_checkpoints():
            assert await one.send_many([(b"x", to)] * 5) == 5
        with assert_checkpoints():
            assert await one.send_many([]) == 0
        await let_arrive(other)
        with assert_checkpoints():
            await other.receive()
        with assert_checkpoints():
            await other.receive()
        with assert_checkpoints():
            await other.receive_many(1)
        with assert_checkpoints():
            await other.receive_many()
        with assert_checkpoints():
            await one.aclose()


async def test_statistics_count() -> None:
    """What was received, sent and is waiting; and what the system dropped, where it tells."""
    async with open_two(receives_posted=4) as (one, other):
        to = address_of(other)
        await one.send(b"x", to)
        await one.send_many([(b"x", to)] * 9)
        await other.receive_many(1)
        statistics = other.statistics()
        assert (statistics.datagrams_received, one.statistics().datagrams_sent) == (1, 10)
        assert statistics.datagrams_waiting <= 4
        assert statistics.datagrams_dropped in (0, None)
        await receive_all(other, 9)
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        await one.send_many([(b"x" * 1000, to)] * 100)
        received = 0
        with trio.move_on_after(0.2):
            while True:
                received += len(await other.receive_many())
        assert other.statistics().datagrams_dropped in (100 - received, None)
        assert other.statistics().datagrams_received == 10 + received


async def test_the_run_counts_the_channel() -> None:
    """While a channel is open the run's statistics count its socket and its receives, and the books balance."""
    async with open_two() as (one, other):
        sockets, receives = 0, 0
        for channel in (one, other):
            statistics = channel.statistics()
            sockets += statistics.provider is not None
            receives += statistics.receives_posted
        whole = trio_rio.current_statistics()
        assert (whole.sockets_open, whole.receives_in_flight) == (sockets, receives)
        await one.send(b"x", address_of(other))
        assert_ledger_balanced()
    assert trio_rio.current_statistics().sockets_open == 0


async def test_an_idle_channel_wakes_nobody() -> None:
    """While nothing comes, a run with a task that waits for a datagram sleeps."""
    async with await open_local() as channel, trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive)
        await wait_all_tasks_blocked()
        before = trio_rio.current_statistics().commits
        await trio.sleep(0.1)
        # One for the sleep, and those in which the kernel interrupts it to clear up after the ring of another test.
        assert trio_rio.current_statistics().commits - before <= 10
        nursery.cancel_scope.cancel()

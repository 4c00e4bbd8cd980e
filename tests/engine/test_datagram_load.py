"""1,000 UDP peers and 200,000 datagrams: everything that the kernel accepted arrives, once, from the right source.

The figures are reached at TRIO_RIO_TEST_SCALE=16. The peers number their datagrams, so that each loss
shows. A loss is allowed only where the kernel says that it dropped so many; ``pytest -s`` shows the count.
"""

from __future__ import annotations

import contextlib
import socket

import pytest
import trio

import trio_rio
from trio_rio import DatagramChannel
from trio_rio.testing import assert_ledger_balanced

from .datagrams import ALL_CARRIERS, address_of, open_local
from .harness import scaled

pytestmark = [*ALL_CARRIERS, pytest.mark.network_limits]

PEERS = scaled(63, 1000)
DATAGRAMS_EACH = 200
BURST = 20
AHEAD_MAX = 1000  # datagrams on their way, of senders that keep pace: the socket's buffer has room for more


class Peers:
    """Plain sockets that send numbered datagrams, and read the answers."""

    def __init__(self, stack: contextlib.ExitStack, to: tuple[str, int]) -> None:
        self.to = to
        self.sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(PEERS)]
        for sock in self.sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.number_of = {sock.getsockname(): number for number, sock in enumerate(self.sockets)}
        self.next = [0] * PEERS
        self.sent = 0

    def send_burst(self, number: int) -> None:
        for _ in range(BURST):
            self.sockets[number].sendto(b"%d %d" % (number, self.next[number]), self.to)
            self.next[number] += 1
        self.sent += BURST


async def receive(channel: DatagramChannel, *, in_batches: bool) -> list[tuple[bytes, tuple[str, int]]]:
    if in_batches:
        return await channel.receive_many()  # type: ignore[return-value]
    return [await channel.receive()]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("in_batches", "is_flood"),
    [
        pytest.param(False, False, id="one-by-one"),
        pytest.param(True, False, id="batches"),
        pytest.param(False, True, id="flood"),
    ],
)
async def test_all_that_the_kernel_accepted_arrives(in_batches: bool, is_flood: bool) -> None:
    """Every datagram that was not dropped arrives once, in the order of its peer, with its peer's address.

    When the senders keep pace nothing is dropped. In a flood most is, and the kernel's count agrees with ours.
    """
    expected = [0] * PEERS
    missing = received = 0
    async with await open_local() as channel:
        counts = channel.statistics().datagrams_dropped is not None
    if is_flood and not counts:
        pytest.skip("this system does not tell how much it has dropped")
    with contextlib.ExitStack() as stack:
        async with await open_local() as channel, trio.open_nursery() as nursery:
            peers = Peers(stack, address_of(channel))

            async def send() -> None:
                for _ in range(DATAGRAMS_EACH // BURST):
                    for number in range(PEERS):
                        while not is_flood and peers.sent - received > AHEAD_MAX:
                            await trio.lowlevel.checkpoint()
                        peers.send_burst(number)
                        await trio.lowlevel.checkpoint()

            nursery.start_soon(send)
            with trio.move_on_after(60):
                while received + (channel.statistics().datagrams_dropped or 0) < PEERS * DATAGRAMS_EACH:
                    with trio.move_on_after(1):  # the last ones may have been dropped
                        for data, address in await receive(channel, in_batches=in_batches):
                            number, sequence = map(int, data.split())
                            assert peers.number_of[address] == number
                            assert sequence >= expected[number]
                            missing += sequence - expected[number]
                            expected[number] = sequence + 1
                            received += 1
            missing += sum(map(int.__sub__, peers.next, expected))
            dropped = channel.statistics().datagrams_dropped
            assert missing == (dropped or 0) or (is_flood and dropped is None)  # not every system counts
            assert received + missing == PEERS * DATAGRAMS_EACH
            assert is_flood or not missing
            assert_ledger_balanced()
    print(f"\n{received} datagrams of {PEERS} peers received, {missing} dropped by the kernel")


@pytest.mark.parametrize("in_batches", [False, True], ids=["one-by-one", "batches"])
async def test_every_answer_reaches_its_peer(in_batches: bool) -> None:
    """An echo of a burst of each peer comes back to that peer, and to no other."""
    with contextlib.ExitStack() as stack:
        async with await open_local() as channel:
            peers = Peers(stack, address_of(channel))
            echoed = 0
            for number in range(PEERS):
                peers.send_burst(number)
                while echoed < (number + 1) * BURST:
                    datagrams = await receive(channel, in_batches=in_batches)
                    if in_batches:
                        assert await channel.send_many(datagrams) == len(datagrams)
                    else:
                        await channel.send(*datagrams[0])
                    echoed += len(datagrams)
            await trio.sleep(0.01)
            for number, sock in enumerate(peers.sockets):
                answers = [sock.recvfrom(100) for _ in range(BURST)]
                assert answers == [(b"%d %d" % (number, n), address_of(channel)) for n in range(BURST)]


async def test_many_channels_in_one_run() -> None:
    """As many channels as peers, in a ring: each receives from the one before it, and closing all leaves nothing."""
    channels = [await open_local(receives_posted=8, receive_size_bytes=2048) for _ in range(PEERS)]
    for channel, after in zip(channels, [*channels[1:], channels[0]], strict=True):
        await channel.send(b"on", address_of(after))
    for before, channel in zip([channels[-1], *channels[:-1]], channels, strict=True):
        assert await channel.receive() == (b"on", address_of(before))
    assert_ledger_balanced()
    for channel in channels:
        await channel.aclose()
    assert trio_rio.current_statistics().sockets_open == 0
    assert_ledger_balanced()

"""What a run lends at a time when many tasks have waited for data: what went wrong once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.lease_block import leases_of_run

from ..engine.datagrams import address_of, open_local, stdlib_peer
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, stdlib_pair

pytestmark = BOTH_MODES

COUNT = 4


async def lend_to_all(receivers: list[Any], send: Callable[[int], object]) -> None:
    """Let a task wait for a lease on each receiver, then send to each; they all get data, and one of them memory."""
    book = leases_of_run()
    send(0)
    async with receivers[0].receive_lease():
        one_lease_bytes = book.bytes_lent
    book.bytes_max = 1  # the last lease may go beyond it, and that is the first
    all_hold = trio.Event()
    received = []

    async def hold(receiver: Any) -> None:
        async with receiver.receive_lease() as came:
            received.append(bytes(came if isinstance(came, memoryview) else came[0][0]))
            if len(received) == COUNT:
                assert one_lease_bytes <= book.bytes_lent < 2 * one_lease_bytes
                all_hold.set()
            await all_hold.wait()

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for receiver in receivers:
                nursery.start_soon(hold, receiver)
            await wait_all_tasks_blocked()
            for number in range(COUNT):
                send(number)
    assert received == [b"data"] * COUNT
    assert not book.bytes_lent


async def lend_to_streams() -> None:
    async with contextlib.AsyncExitStack() as stack:
        pairs = [stdlib_pair() for _ in range(COUNT)]
        streams = []
        for ours, theirs in pairs:
            stack.enter_context(theirs)
            stream = trio_rio.RioStream(trio.socket.from_stdlib_socket(ours))
            streams.append(await stack.enter_async_context(stream))
        await lend_to_all(streams, lambda number: pairs[number][1].send(b"data"))


async def test_streams_that_waited() -> None:
    """Tasks that wait on many streams are lent no more than the limit, and get all data."""
    await lend_to_streams()


def test_streams_that_waited_on_stock_trio() -> None:
    """Where there is no memory of the run the limit holds as well."""
    trio.run(lend_to_streams)


async def test_datagram_channels_that_waited() -> None:
    """Tasks that wait on many datagram channels are lent no more than the limit, and get all data."""
    async with contextlib.AsyncExitStack() as stack:
        peer = stack.enter_context(stdlib_peer())
        channels = [await stack.enter_async_context(await open_local()) for _ in range(COUNT)]
        await lend_to_all(channels, lambda number: peer.sendto(b"data", address_of(channels[number])))

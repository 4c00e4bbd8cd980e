"""Leases on the memory of a datagram channel: read a batch in place.

The facts and rules of leases are in ``_engine/lease.py``; this file provides the memory. On a queue it is the slots: a
slot that is lent has no receive posted, and gets one when it is back. The last slot that has a receive is never lent,
so that the channel goes on receiving, however much is held. Elsewhere, and for what was received before, it is plain
memory under the same rules.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from trio.lowlevel import enable_ki_protection

from .._engine.lease_block import LeaseBlock, leases_of_run
from .queue import DatagramQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    from .._engine.lease import Lease, Place
    from .._engine.lease_block import Holder
    from ..rio import Address
    from .queue import LentSlot

    # Datagrams that are copied, or the slots of a queue that are lent.
    Received: TypeAlias = list[tuple[bytes, Address]] | tuple[DatagramQueue, list[LentSlot]]


class DatagramLease(LeaseBlock["Holder"]):
    """An async context manager to be entered once; see :meth:`DatagramChannel.receive_lease`."""

    __slots__ = ("_receive",)

    def __init__(self, channel: Holder, receive: Callable[[], Awaitable[Received]], place: Place) -> None:
        super().__init__(channel, place)
        self._receive = receive

    @enable_ki_protection
    async def __aenter__(self) -> list[tuple[memoryview, Address]]:
        self._check_fresh()
        await leases_of_run().wait_for_room()
        received = await self._receive()
        lease = self._open()
        if isinstance(received, list):
            return [(lease.lend(memoryview(bytearray(data)), len(data), _nothing), from_) for data, from_ in received]
        queue, slots = received
        return [(self._lend_slot(lease, queue, slot, count), address) for slot, count, address in slots]

    @staticmethod
    def _lend_slot(lease: Lease, queue: DatagramQueue, slot: int, count: int) -> memoryview:
        offset = slot * queue.row.stride
        memory = memoryview(queue.memory)[offset : offset + count]
        return lease.lend(memory, queue.row.length, functools.partial(queue.take_back, slot))


def _nothing() -> None:
    """Memory of its own needs no giving back."""

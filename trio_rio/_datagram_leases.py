"""Leases on the memory of a datagram channel: a bunch, to be looked at in place.

Facts and rules of leases are in ``_lease.py``; this file gets the memory. On a queue it is the slots: one that is lent
has no receive posted, and gets one when it is back. The last slot that has a receive is never lent, so that the channel
goes on receiving whatever is held. Elsewhere, and for what was received before, it is plain memory, which follows the
same rules.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import enable_ki_protection

from ._datagram_queue import DatagramQueue
from ._errors import RioError
from ._stream_leases import leases_of_run
from ._trio import current_runner

if TYPE_CHECKING:
    from types import TracebackType

    from ._datagram import DatagramChannel
    from ._lease import Lease, Place
    from .rio import Address


class DatagramLease:
    """See :meth:`DatagramChannel.receive_lease`. An async context manager; to be entered once."""

    __slots__ = ("_channel", "_datagrams_max", "_lease", "_place")

    def __init__(self, channel: DatagramChannel, datagrams_max: int | None, place: Place) -> None:
        self._channel = channel
        self._datagrams_max = datagrams_max
        self._place = place
        self._lease: Lease | None = None

    @enable_ki_protection
    async def __aenter__(self) -> list[tuple[memoryview, Address]]:
        if self._lease is not None:
            raise RioError("this lease was entered before; take a new one for each block")
        book, channel = leases_of_run(), self._channel
        await book.wait_for_room()
        received = await channel._receive_for_lease(self._datagrams_max)
        lease = self._lease = book.open(channel, self._place)
        if isinstance(received, list):
            return [(lease.lend(memoryview(bytearray(data)), len(data), _nothing), from_) for data, from_ in received]
        queue, slots = received
        return [(self._lend_slot(lease, queue, slot, count), address) for slot, count, address in slots]

    @staticmethod
    def _lend_slot(lease: Lease, queue: DatagramQueue, slot: int, count: int) -> memoryview:
        offset = slot * queue.row.stride
        base = memoryview(queue.memory)[offset : offset + count]
        return lease.lend(base, queue.row.length, functools.partial(queue.take_back, slot))

    @enable_ki_protection
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lease = self._lease
        if exc_value is not None:  # its error is what matters; one of another run is ended by that run
            if lease is not None and lease.runner is current_runner():
                lease.revoke("the end of its block")
            return
        if lease is None:
            raise RioError("this lease was never entered")
        lease.check_held()
        is_closed = self._channel.socket.fileno() == -1
        lease.end()
        if is_closed:
            raise trio.ClosedResourceError("the socket was closed while a lease on what it received was held")


def _nothing() -> None:
    """Memory of its own needs no giving back."""

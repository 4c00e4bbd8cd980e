"""Leases on the memory of a stream: read in place what was received, write in place what is to be sent.

The facts and rules of leases are in ``_engine/lease.py``; this file provides the memory. On a channel it is the slice
of a request: the request is LEASED until the lease ends, so nothing can be posted on it, and the ledger counts it.
Elsewhere it is plain memory under the same rules, so that a program need not know where it runs.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import enable_ki_protection

from .._config import RioConfig
from .._engine.current import current_engine
from .._engine.lease import Lease, Place
from .._engine.lease_block import LeaseBlock, leases_of_run
from .._engine.requests import Request, Step
from .._engine.taking import give_back_whole, receive_on_demand, take_whole, wait_for
from .base import StreamOnSocket, raise_translated

if TYPE_CHECKING:
    from .._engine.channel import Channel
    from .._engine.resources import Resources

# What a receive asks for where RIO does not serve.
_PLAIN_RECEIVE_SIZE_BYTES = 65536


class _StreamLease(LeaseBlock[StreamOnSocket]):
    """What leases to receive and to send share: lending memory of a stream."""

    __slots__ = ()

    def _lend_request(self, engine: Resources, request: Request, start: int, stop: int) -> memoryview:
        slice_ = request.slice
        assert slice_ is not None
        give_back = functools.partial(engine.pool.finish, request)
        view = self._open().lend(slice_.view[start:stop], slice_.size_bytes, give_back)
        request.transition(Step.LEASE)
        request.channel = None  # lent memory must not keep the socket alive
        return view

    def _lend_plain(self, memory: memoryview, size_bytes: int) -> memoryview:
        return self._open().lend(memory, size_bytes, lambda: None)

    def _lend_copy(self, data: memoryview) -> memoryview:
        """Lend a copy of ``data``, which does not count against what a run may lend."""
        return self._lend_plain(memoryview(bytearray(data)), 0)


class ReceiveLease(_StreamLease):
    """An async context manager to be entered once; see :meth:`RioStream.receive_lease`."""

    __slots__ = ()

    @enable_ki_protection
    async def __aenter__(self) -> memoryview:
        self._check_fresh()
        try:
            await leases_of_run().wait_for_room()
            channel = self._holder._usable_channel(at_once=True)
            if channel is not None:
                view = await self._receive_on(channel)
                if view is not None:
                    return view
            return await self._receive_plain()
        except OSError as error:
            raise_translated(error)

    async def _receive_on(self, channel: Channel) -> memoryview | None:
        """Lend what the next receive on the channel brings; ``None`` if RIO cannot serve now."""
        if channel.ahead is not None:
            received = await channel.ahead.receive_whole()
            if received is None:
                return None
            request, start = received
        else:
            posted = await receive_on_demand(channel, channel.receive_size_bytes)
            if posted is None:
                return None
            channel.note_received(posted)
            request, start = take_whole(channel, posted)
        if request is None or request.count == start:  # the end of the stream
            if request is not None:
                request.finish()
            return self._lend_plain(memoryview(bytearray()), 0)
        try:
            return self._lend_received(channel, request, start)
        except BaseException:  # there is no memory for a lease
            if request.channel is not None:
                give_back_whole(channel, request, start)
            raise

    def _lend_received(self, channel: Channel, request: Request, start: int) -> memoryview:
        if leases_of_run().is_full():  # other tasks have taken the room while this one waited
            assert request.slice is not None
            copy = self._lend_copy(request.slice.view[start : request.count])
            request.finish()
            return copy
        return self._lend_request(channel.engine, request, start, request.count)

    async def _receive_plain(self) -> memoryview:
        memory = bytearray(_PLAIN_RECEIVE_SIZE_BYTES)
        count = await self._holder.socket.recv_into(memory)
        takes_room = count > 0 and not leases_of_run().is_full()
        return self._lend_plain(memoryview(memory)[:count], len(memory) if takes_room else 0)


class SendLease(_StreamLease):
    """An async context manager to be entered once; see :meth:`RioStream.lease_send`."""

    __slots__ = ("_channel", "_count", "_request", "_size_bytes")

    def __init__(self, stream: StreamOnSocket, size_bytes: int, place: Place) -> None:
        super().__init__(stream, place)
        self._size_bytes = operator.index(size_bytes)
        engine = current_engine()
        limit = (RioConfig() if engine is None else engine.config).large_slice_size_bytes
        if not 1 <= self._size_bytes <= limit:
            raise ValueError(
                f"a lease to send has 1 .. {limit} bytes (RioConfig.large_slice_size_bytes), not {self._size_bytes}"
            )
        self._count = self._size_bytes
        self._channel: Channel | None = None  # where the request is to be posted
        self._request: Request | None = None

    def send_only(self, count: int) -> None:
        """Send only the first ``count`` bytes at the end of the block; 0 for none. Not a checkpoint.

        Raises:
          TypeError: ``count`` is no integer.
          ValueError: more than the lease has, or less than 0.
          RioError: the lease is not held.
        """
        self._held()
        count = operator.index(count)
        if not 0 <= count <= self._size_bytes:
            raise ValueError(f"this lease has {self._size_bytes} bytes; it cannot send {count}")
        self._count = count

    @enable_ki_protection
    async def __aenter__(self) -> memoryview:
        self._check_fresh()
        stream = self._holder
        stream._check_not_ended()
        stream._check_open()
        await trio.lowlevel.checkpoint()
        await leases_of_run().wait_for_room()
        channel = stream._usable_channel(at_once=True)
        request = None if channel is None else channel.take_to_fill(self._size_bytes)
        if request is None:
            return self._lend_plain(memoryview(bytearray(self._size_bytes)), self._size_bytes)
        self._request = request
        assert channel is not None
        self._channel = channel
        view = self._lend_request(channel.engine, request, 0, self._size_bytes)
        view[:] = bytes(self._size_bytes)  # nobody may send what another connection has received
        return view

    async def _end(self, lease: Lease) -> None:
        stream = self._holder
        try:
            stream._check_not_ended()
            with stream._sending():
                stream._check_open()
                if self._request is None:
                    await self._send_plain(lease)
                else:
                    await self._send_request(lease, self._request)
        finally:
            self._end_after_error()

    async def _send_plain(self, lease: Lease) -> None:
        data = bytes(lease.parts[0].memory[: self._count])  # the task may have released its view
        lease.end()
        if data:
            await self._holder._send_rest(memoryview(data), 0)
        else:
            await trio.lowlevel.checkpoint()

    async def _send_request(self, lease: Lease, request: Request) -> None:
        channel = self._holder._usable_channel()
        if channel is None or channel is not self._channel or not self._count:
            await self._send_plain(lease)  # nothing to send, or the run takes no more requests
            return
        if channel.window is not None:
            await channel.window.wait_to_post()
        lease.take_over()
        try:
            is_posted = channel.post_filled(request, self._count)
        except BaseException:
            channel.pool.finish(request)
            raise
        if is_posted:
            if channel.window is not None:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            await wait_for(request)
            sent = request.count
        else:
            sent = 0
        assert request.slice is not None
        rest = bytes(request.slice.view[sent : self._count])  # of a send that was cancelled, or not posted
        channel.pool.finish(request)
        if rest:
            await self._holder._send_rest(memoryview(rest), 0)

"""Posting and waiting in one, and taking what a receive on demand has brought without losing any of it.

Facts. A receive of a socket makes its result before it takes anything from the system: where there is no memory for
that, or the caller's memory is too small by now, nothing is lost. A request has taken it by then.

Decision. What cannot be handed over is put back: it counts as received ahead, so that the next reader has it first.
When all of it is read, receives are on demand as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio.lowlevel import enable_ki_protection

from .._trio import SHIELDED_CHECKPOINT, async_yield, enter_cancel_point
from .channel import Channel
from .fields import native
from .read_ahead import DATAGRAM_BYTES_MAX
from .requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rio import Address


async def wait_for(request: Request) -> None:
    """Wait for a request that was posted; raise what it ended with, if not well."""
    (await async_yield(request.message)).unwrap()


async def receive_on_demand(channel: Channel, size: int) -> Request | None:
    """Post a receive of at most ``size`` bytes, wait for it, and return it; ``None``: RIO cannot serve. A checkpoint.

    Raises:
      BusyResourceError: another task's receive has to wait.
      OSError: the socket's.
    """
    request = channel.post_receive(size)
    if request is not None:
        await wait_for(request)
    return request


async def receive_bulk(channel: Channel, size: int) -> bytes | None:
    """What is there for a receive in the middle of much, by a plain call. ``None``: a request is to be posted.

    A request's bytes would be copied once more, from its slice; these are the ones that the kernel has filled. A
    checkpoint if anything is returned or raised, and then a cancelled task has taken nothing.
    """
    is_free = channel.reader is None and channel.read_key not in channel.waits and channel.is_usable()
    if not is_free or size > channel.pool.arena.large_size_bytes or channel.engine.is_foreign or enter_cancel_point():
        return None
    is_there = True
    try:
        # At the end of a stream there may be more to tell than that, and the request will.
        return channel.sock.recv(size) or None
    except BlockingIOError:
        is_there = channel.is_bulk = False
        return None
    finally:
        if is_there:
            await async_yield(SHIELDED_CHECKPOINT)


async def send_one_by_one(channel: Channel, data: bytes | bytearray | memoryview, address: bytes | None) -> int | None:
    """Post a send and wait for it; how many bytes it took, ``None``: RIO cannot serve. Raises as a receive."""
    request = channel.post_send(data, address, wait=True, flags=channel.part_flags)
    if request is None:
        return None
    await wait_for(request)
    return channel.take_sent(request)


@enable_ki_protection  # as Channel.take_bytes()
def take_datagram(channel: Channel, request: Request) -> tuple[bytes, Address | None]:
    """As :meth:`Channel.take_bytes`, and where a datagram came from."""
    if channel.ahead is None or not channel.ahead.unread:
        try:
            address = None if channel.is_stream else channel.address_of(request)
        except BaseException:
            channel.put_back(request)
            raise
        return channel.take_bytes(request), address
    ahead = channel.ahead
    channel.put_back(request)
    return ahead.read(request.length)


if native is not None:
    native.setup(take_datagram=take_datagram, datagram_bytes_max=DATAGRAM_BYTES_MAX)


def take_into(channel: Channel, request: Request, views: Callable[[], Any]) -> tuple[int, Address | None]:
    """As :func:`take_datagram`, into the caller's memory; ``views`` as for :meth:`ReadAhead.read_into`."""
    channel.note_received(request)
    ahead = channel.ahead_or_new()
    ahead.unread.append(request)
    try:
        count, address, _ = ahead.read_into(views, peek=False)
    finally:
        if ahead.unread:
            channel.keep_unread(ahead)
    return count, address


def take_whole(channel: Channel, request: Request) -> tuple[Request | None, int]:
    """The request that has what comes first, and where that begins."""
    if channel.ahead is None or not channel.ahead.unread:
        return request, 0
    ahead = channel.ahead
    channel.put_back(request)
    return ahead.take_whole()


def give_back_whole(channel: Channel, request: Request, start: int) -> None:
    """What was taken whole cannot be handed over: it comes first again."""
    ahead = channel.ahead_or_new()
    ahead.unread.appendleft(request)
    ahead.offset = start
    if ahead is not channel.ahead:
        channel.keep_unread(ahead)

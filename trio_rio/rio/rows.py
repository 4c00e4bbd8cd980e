"""Batches of datagram posts by single posts, for providers that have no call for a batch."""

from __future__ import annotations

from array import array

from .addresses import SOCKADDR_INET_SIZE_BYTES
from .checks import request_handle
from .types import RIO_MSG_DEFER, CommitFunction, RequestQueue, SendRow, SlotRow


def post_receives(
    provider: object, queue: RequestQueue, slots: SlotRow, first_context: int, count: int, flags: int
) -> int:
    """See :meth:`Provider.post_receives`."""
    request_handle(provider, "RIOReceiveEx", queue)
    buffer_id, offset, stride, length, address_offset, address_stride = slots
    deferred = flags | RIO_MSG_DEFER
    for posted in range(count):
        context = first_context + posted
        code = queue.post_receive_from(buffer_id, offset, length, buffer_id, address_offset, deferred, context)
        if code:
            return _end(queue, "RIOReceiveEx", queue.commit_receives, posted, flags, code)
        offset += stride
        address_offset += address_stride
    return _end(queue, "RIOReceiveEx", queue.commit_receives, count, flags, 0)


def post_sends(
    provider: object, queue: RequestQueue, data: SendRow, lengths: array[int], first_context: int, flags: int
) -> int:
    """See :meth:`Provider.post_sends`."""
    request_handle(provider, "RIOSendEx", queue)
    buffer_id, offset, has_addresses, address_offset = data
    deferred = flags | RIO_MSG_DEFER
    for posted, length in enumerate(lengths):
        context = first_context + posted
        if has_addresses:
            code = queue.post_send_to(buffer_id, offset, length, buffer_id, address_offset, deferred, context)
        else:
            code = queue.post_send(buffer_id, offset, length, deferred, context)
        if code:
            return _end(queue, "RIOSendEx", queue.commit_sends, posted, flags, code)
        offset += length
        address_offset += SOCKADDR_INET_SIZE_BYTES
    return _end(queue, "RIOSendEx", queue.commit_sends, len(lengths), flags, 0)


def _end(queue: RequestQueue, function: str, commit: CommitFunction, posted: int, flags: int, code: int) -> int:
    if not posted:
        queue.provider.raise_for(function, code)
    if not flags & RIO_MSG_DEFER:
        commit()
    return posted

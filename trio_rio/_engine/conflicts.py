"""Conflicts: when a call on a socket has to fail because of another task's.

Facts. Trio tries each call at once, and only a task that has to wait is in the way of others: a second one that would
have to wait for the same direction of the socket gets BusyResourceError. A call that is done at once disturbs nobody,
and a task that was cancelled waits no more from that very moment.

Consequence. A request that a task has posted counts only if it has to wait, and nobody knows that before it was tried.
A receive that is cancelled may still be in the kernel, and end with bytes.

Decision. A cancelled receive does not count; the next one is posted behind it, so that bytes stay in order. The
provider tries a socket's receives, or sends, when a second one comes, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._trio import must_cancel
from .requests import CANCELLED

if TYPE_CHECKING:
    from .channel import Channel


def is_receiving(channel: Channel) -> bool:
    """Whether a task waits for a receive. One that is cancelled makes way for the next."""
    reader, ahead = channel.reader, channel.ahead
    if ahead is not None and ahead.waiter is not None:
        try_receives(channel)
        if ahead.waiter is not None:
            return True
    if reader is None:
        return False
    if reader.state is CANCELLED:
        channel.engine.collectors.poll()  # the kernel was told at once, and has answered; unless it has no memory
        if channel.reader is reader:
            channel.reader = None
            channel.cancelled_readers += (reader,)
    else:
        try_receives(channel)
    return channel.reader is not None


def try_receives(channel: Channel) -> None:
    """Let posted receives have what is there: those that are done then are in nobody's way."""
    channel.engine.manager.enter()
    channel.engine.collectors.poll()


def may_post_receive(channel: Channel) -> bool:
    """Whether a task may post a receive that it waits for. False: it is cancelled, or a task waits for readability, so
    Trio's own way is to be gone, on which a cancelled receive says so, and one that would have to wait fails.

    Raises:
      BusyResourceError: another task's receive has to wait.
    """
    if must_cancel():
        return False
    if is_receiving(channel):
        raise trio.BusyResourceError("another task is already reading from this socket")
    return channel.read_key not in channel.waits


def check_no_send_waits(channel: Channel) -> None:
    """Raise BusyResourceError if a task's send has to wait for the socket to take more."""
    sends_of_tasks = channel.sends if channel.window is None else channel.window.waiters
    if sends_of_tasks and channel.engine.provider.try_sends(channel.request_queue):
        raise trio.BusyResourceError("another task is already sending on this socket")


def may_post_send(channel: Channel) -> bool:
    """Whether a task may post a send that it waits for. False: it is cancelled, or a task waits for writability, so
    Trio's own way is to be gone, on which a cancelled send says so, and one that would have to wait fails.

    Raises:
      BusyResourceError: another task's send has to wait.
    """
    if must_cancel():
        return False
    check_no_send_waits(channel)
    if len(channel.sends) >= channel.limits[1]:
        channel.engine.collectors.poll()  # all of them are done, and have not been looked at
    return channel.write_key not in channel.waits


def check_may_wait_to_send(channel: Channel) -> None:
    """Raise BusyResourceError if a task waits for room in the window, or for writability, because of the socket.

    Where a window is full for another reason, as always where that cannot be known, several may wait.
    """
    window = channel.window
    others = (window is not None and window.waiters) or channel.write_key in channel.waits
    if others and channel.engine.provider.try_sends(channel.request_queue):
        raise trio.BusyResourceError("another task is already sending on this socket")

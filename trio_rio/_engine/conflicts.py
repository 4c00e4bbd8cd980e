"""Conflicts: when a call on a socket has to fail because of another task's.

Facts. Trio tries each call at once, and only a task that has to wait is in the way of others: a second one that would
have to wait for the same direction of the socket gets BusyResourceError. A call that is done at once disturbs nobody,
and a task that was cancelled waits no more from that very moment.

Consequence. A request that a task has posted counts only if it has to wait, and nobody knows that before it was tried.
A receive that is cancelled may still be in the kernel, and end with bytes.

Decision. A cancelled receive does not count; the next one is posted behind it, so that bytes stay in order. The
provider tries a socket's receives, or sends, when a second one comes, and only then. On Windows the kernel does that in
its own time: as long as there is something on the socket, the posted receive is about to have it.
"""

from __future__ import annotations

import select
import time

import trio

from .._trio import enter_cancel_point
from .requests import CANCELLED
from .traffic import Traffic

# How long what is there may take to reach a posted receive. It takes microseconds; this is for a machine that is busy.
_ARRIVAL_SECONDS = 1.0


def check_no_receive_waits(traffic: Traffic) -> None:
    """Raise BusyResourceError if a task's receive has to wait. One that is cancelled makes way for the next."""
    reader = traffic.reader
    if traffic.ahead_waiter is not None:
        _look_for_what_is_there(traffic)
    if reader is not None:
        if reader.state is CANCELLED:
            # The kernel was told at once, and has answered; unless it has no memory.
            traffic.engine.collectors.poll()
            if traffic.reader is reader:
                traffic.reader = None
                traffic.cancelled_readers += (reader,)
        else:
            traffic.engine.look()
    if traffic.ahead_waiter is not None or traffic.reader is not None:
        raise trio.BusyResourceError("another task is already reading from this socket")


def _look_for_what_is_there(traffic: Traffic) -> None:
    """Let the receive that a task waits for have what is there. Not a checkpoint."""
    engine = traffic.engine
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    is_there = True
    while is_there and traffic.ahead_waiter is not None and time.monotonic() < deadline:
        is_there = not engine.provider.can_cancel and bool(select.select([traffic.sock], [], [], 0)[0])
        engine.look()


def claim_receive(traffic: Traffic) -> bool:
    """Claim to be the one task that waits for a receive, or raise BusyResourceError.

    False: the task is cancelled, or another waits for readability. Then Trio's own way is to be gone, on which a
    cancelled receive says so, and one that would have to wait fails.
    """
    if enter_cancel_point():
        return False
    check_no_receive_waits(traffic)
    return traffic.read_key not in traffic.waits


def check_no_send_waits(traffic: Traffic) -> None:
    """Raise BusyResourceError if a task's send has to wait for the socket to take more."""
    _check_room(traffic, traffic.window_waiters if traffic.engine.send_window_bytes else traffic.sends)


def claim_send(traffic: Traffic) -> bool:
    """Claim to be the one task whose send may have to wait, or raise BusyResourceError.

    False: the task is cancelled, or another waits for writability. Then Trio's own way is to be gone, on which a
    cancelled send says so, and one that would have to wait fails.
    """
    if enter_cancel_point():
        return False
    check_no_send_waits(traffic)
    if len(traffic.sends) >= traffic.limits[1]:
        traffic.engine.collectors.poll()  # all of them are done, and have not been looked at
    return traffic.write_key not in traffic.waits


def check_may_wait_to_send(traffic: Traffic) -> None:
    """Raise BusyResourceError if a task waits for room in the window, or for writability, because of the socket.

    Where a window is full for another reason, as always where that cannot be known, several may wait.
    """
    _check_room(traffic, traffic.window_waiters or traffic.write_key in traffic.waits)


def _check_room(traffic: Traffic, others: object) -> None:
    """Raise BusyResourceError if there are others, and the socket takes no more of their sends."""
    if others and traffic.engine.provider.try_sends(traffic.request_queue):
        raise trio.BusyResourceError("another task is already sending on this socket")

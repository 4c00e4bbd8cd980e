"""Looks past the queue: a task that is alone reads the socket itself.

Facts. Where one datagram comes at a time, the next one is often there when its reader comes back from sending. To wait
for the receive that is posted, take its result and post it again costs several times a read. A read overtakes a receive
that the kernel has. Where many come, or many tasks can run, waiting costs less for each datagram than reading. A read
that finds nothing costs several times a question whether there is something.

Decision. Who may be alone has had a batch of one, and no other task can run. It looks if no receive has started: the
provider keeps those that are posted back for as long as somebody looks again soon. Looks in vain make the next ones
seldom. Looks that bring one datagram after another ask from time to time whether there are more; a call that wants all
asks each time."""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING, Any

from .plain import PlainDatagrams

if TYPE_CHECKING:
    import socket

    from .queue import Arrival, DatagramQueue

# What the provider says: see ``RequestQueue.receives_rest``.
_NONE_HAS_STARTED = 1
_RESULTS_ARE_THERE = 2

# Every so many looks, one asks whether more than one datagram has come.
_ASKS_FOR_MORE_EVERY = 16

# Looks that are left out after one in vain: 0 at first, then twice as many and one more each time.
_LEFT_OUT_MAX = 63


class Looks:
    """The looks of one channel."""

    __slots__ = ("_in_vain", "_left_out", "_made", "_plain", "_poll", "_sock")

    def __init__(self, sock: socket.socket, plain: PlainDatagrams) -> None:
        self._sock = sock
        self._plain = plain
        self._poll: Any = None
        self._made = 0
        self._left_out = 0  # how many of the next ones are not made
        self._in_vain = 0  # how many will be after the next one in vain

    def look(self, queue: DatagramQueue, takes_all: bool) -> list[Arrival]:
        """Datagrams that have come, in order: all of them, or at least one; empty: wait for some. Never waits.

        Args:
          queue: usable, and its reader may be alone.
        """
        rest = queue.requests.receives_rest
        is_short = queue.receives_in_flight < queue.receives  # slots that come back are posted before a wait
        if rest is None or is_short or queue.runner.runq:
            return []
        state = rest()
        try:
            if state == _NONE_HAS_STARTED:
                if not self._left_out:
                    return self._read(queue, takes_all)
                self._left_out -= 1
            elif state == _RESULTS_ARE_THERE:
                return queue.fetch()
        except MemoryError:
            pass  # nothing is lost, and the call that waits says so
        return []

    def _read(self, queue: DatagramQueue, takes_all: bool) -> list[Arrival]:
        arrivals = self._plain.fetch(1)
        if not arrivals:
            self._left_out, self._in_vain = self._in_vain, min(_LEFT_OUT_MAX, 2 * self._in_vain + 1)
            return arrivals
        self._in_vain = 0
        self._made += 1
        if takes_all or not self._made % _ASKS_FOR_MORE_EVERY:
            with contextlib.suppress(MemoryError):  # what there is no memory for is left to the next call
                if self._is_readable():
                    arrivals += self._plain.fetch(self._plain.receives - 1)
            queue.may_be_alone = len(arrivals) == 1
        return arrivals

    def _is_readable(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)
        return bool(self._poll.poll(0))

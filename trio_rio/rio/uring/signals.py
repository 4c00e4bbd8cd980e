"""The port and the event of the ``uring`` provider.

Facts. The ring is the only thing that the kernel signals; completion queues, ports and events are ours. Nothing
moves results from the ring into them but a call of this process.

Consequence. Waiting for any of them means driving the ring, and what completes may be for another waiter.

Decision. Each waits in a loop: drive the ring for the time that is left, then check the port or event itself. An
event is an eventfd, so that another event loop can watch it too, beside the ring's own descriptor.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import time
from collections.abc import Callable

from ..api import Event, Port
from ..errors import RioError
from .ring import Ring

_NANOSECONDS = 1_000_000_000
_EVENTS_AT_ONCE = 256
_PACKET = 1  # the kind of an event; the others are the end of a readiness wait, and a wake-up

# A wait of a hundred years is one for ever, and its nanoseconds fit in 64 bits.
_FOREVER_SECONDS = 100 * 365 * 86_400


def nanoseconds(timeout_seconds: float | None) -> int:
    """Convert a timeout, rounded up, so that a positive time never becomes 0; -1 means for ever."""
    if timeout_seconds is None or timeout_seconds >= _FOREVER_SECONDS:
        return -1
    if not timeout_seconds >= 0:
        raise ValueError(f"timeout_seconds must not be negative: {timeout_seconds}")
    return math.ceil(timeout_seconds * _NANOSECONDS)


def wait_until(look: Callable[[int], bool], timeout_seconds: float | None) -> bool:
    """Call ``look(nanoseconds left)`` until it says True or the time is over."""
    left = nanoseconds(timeout_seconds)
    end = time.monotonic_ns() + left
    while not look(left):
        if left >= 0:
            left = max(0, end - time.monotonic_ns())
            if left == 0:
                return look(0)
    return True


class UringPort(Port):
    """A list of packets beside the ring; waiting for it drives the ring."""

    def __init__(self, provider: Ring, handle: int) -> None:
        self.provider = provider
        self.handle = handle
        self.is_closed: bool = False

    def wait(self, timeout_seconds: float | None) -> list[int]:
        self._refuse_closed()
        keys: list[int] = []
        events = self.provider.ffi.new("rio_event[]", _EVENTS_AT_ONCE)  # one for each waiting thread

        def look(timeout_ns: int) -> bool:
            count = self.provider.wait(self.handle, timeout_ns, events, _EVENTS_AT_ONCE)
            keys.extend(events[i].key for i in range(count) if events[i].kind == _PACKET)
            return count > 0

        wait_until(look, timeout_seconds)
        return keys

    def wake(self) -> None:
        self._refuse_closed()
        self.provider.wake(self.handle)

    def close(self) -> None:
        """See :meth:`Port.close`. A thread in :meth:`wait` gets an empty list."""
        self.is_closed = True
        self.provider.lib.rio_port_close(self.provider.core, self.handle)  # refused when it is closed already

    def _refuse_closed(self) -> None:
        if self.is_closed:
            self.provider.check_alive()
            raise RioError("this port is closed")

    def __del__(self) -> None:
        self.close()


class UringEvent(Event):
    """An eventfd that the C core writes when the queue fires."""

    def __init__(self, provider: Ring, port: UringPort) -> None:
        self.provider = provider
        self.port = port  # its own: a wait ends when the event is set, and takes no packets of other ports
        self.is_closed: bool = False
        self.users: int = 0  # completion queues that write to the descriptor
        self._waits: set[object] = set()  # those that are running
        self._lock = threading.Lock()  # while it is held the descriptor's number is not reused
        self.fd: int = -1  # for __del__, if eventfd() fails
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    @property
    def is_set(self) -> bool:
        """See :attr:`Event.is_set`."""
        poll = select.poll()  # two threads may not use one at a time
        with self._lock:
            if self.fd < 0:
                return False
            poll.register(self.fd, select.POLLIN)
            return bool(poll.poll(0))

    def wait(self, timeout_seconds: float | None) -> bool:
        self._refuse_closed()
        events = self.provider.ffi.new("rio_event[]", 1)

        def look(timeout_ns: int) -> bool:
            if not self.is_set:
                self.provider.wait(self.port.handle, timeout_ns, events, 1)
            return self.is_set or self.fd < 0

        self._waits.add(events)
        try:
            wait_until(look, timeout_seconds)
        finally:
            self._waits.discard(events)
            if self._waits and self.is_set:  # the wake-up was for one of them
                self.provider.wake(self.port.handle)
        return self.is_set

    def set(self) -> None:
        with self._lock:
            self._refuse_closed()
            os.eventfd_write(self.fd, 1)
        self.provider.wake(self.port.handle)

    def reset(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):  # it is not set
            self._refuse_closed()
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """See :meth:`Event.close`. A thread in :meth:`wait` returns."""
        with self._lock:
            self.is_closed = True
            if self.fd < 0 or self.users:
                return
            fd, self.fd = self.fd, -1
            os.close(fd)
        self.port.close()

    def leave(self) -> None:
        """Count one completion queue less; the last one closes the descriptor of a closed event."""
        self.users -= 1
        if self.is_closed:
            self.close()

    def _refuse_closed(self) -> None:
        if self.is_closed:
            self.provider.check_alive()
            raise RioError("this event is closed")

    def __del__(self) -> None:
        self.close()

"""Completion queues and addresses of the portable provider: where results wait, and what they still hold.

Facts. RIO gives a request's memory and credit back when its result is *dequeued*, not when the operation ends.
One ``notify`` yields one signal, and results posted with RIO_MSG_DONT_NOTIFY do not count for it. A completion
queue never overflows, because request queues are charged for all that they may post.
[Microsoft Learn, RIODequeueCompletion, RIONotify, "RIO_CQ"]

Decision. A queued result carries the request it belongs to, whose slices hold the memory however early its
registration ends. Dequeueing it frees the memory, the credit and, after the last result of a closed socket, the charge.
How many queued results qualify for a signal is counted, so arming need not search.
"""

from __future__ import annotations

import errno
import functools
import itertools
import socket
from collections import deque
from typing import TypeAlias

import attrs

from ..api import (
    RIO_MSG_DONT_NOTIFY,
    Address,
    Event,
    EventNotification,
    Notification,
    PortNotification,
    RawResult,
    pack_address,
    unpack_address,
)
from ..credits import Credits, Room
from ..errors import Status
from .driver import DEQUEUES_BEFORE_POLL, ReadinessDriver
from .signals import PortableEvent, PortablePort

_ADDRESSES_MAX = 1024
_FLOWINFO_MAX = 0xFFFFF  # what the socket module takes


# A posted request: slice of the data, flags, context, slice of the address. The slices are what keeps the memory.
Request: TypeAlias = "tuple[memoryview, int, int, memoryview | None]"


@attrs.define(eq=False)
class CompletionState(Room):
    """What a :class:`~trio_rio.rio.api.CompletionQueue` of this provider is made of."""

    driver: ReadinessDriver
    notification: Notification
    is_armed: bool = False
    is_closed: bool = False
    qualifying: int = 0
    results: deque[tuple[RawResult, Credits[CompletionState], Request]] = attrs.field(factory=deque)
    port: PortablePort | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port = None
        if isinstance(self.notification, PortNotification):
            assert isinstance(self.notification.port, PortablePort)  # checked before
            self.port = self.notification.port

    def put(self, raw: RawResult, side: Credits[CompletionState], request: Request) -> None:
        """Queue a result; drop it when the queue is closed. The lock is held."""
        if self.is_closed:
            side.retire()
            return
        self.results.append((raw, side, request))
        if not request[1] & RIO_MSG_DONT_NOTIFY:
            self.qualifying += 1
            if self.is_armed:
                self._fire()

    def dequeue(self, limit: int) -> list[RawResult]:
        """Take at most ``limit`` results; look at readiness first if there is none and no outer loop does."""
        driver = self.driver
        driver.refuse_other_process()
        with driver.lock:
            if self.is_closed:
                driver.refuse_closed()
            results, port = self.results, self.port
            if not driver.is_driven and (port is None or port.on_packet is None):  # no outer loop drives readiness
                driver.dequeues += 1
                if not results or driver.dequeues >= DEQUEUES_BEFORE_POLL:
                    driver.progress()
            first = list(itertools.islice(results, limit))  # before anything is taken off: there may be no memory
            taken = [raw for raw, _, _ in first]
            for _, side, request in first:
                results.popleft()
                if not request[1] & RIO_MSG_DONT_NOTIFY:
                    self.qualifying -= 1
                side.retire()
            return taken

    def arm(self) -> int:
        """RIONotify."""
        driver = self.driver
        driver.refuse_other_process()
        with driver.lock:
            if self.is_closed:
                driver.refuse_closed()
            notification = self.notification
            if notification is None:
                return Status.EINVAL
            if self.is_armed:
                return Status.EALREADY
            if isinstance(notification, EventNotification) and notification.notify_reset:
                _portable_event(notification.event).rearm()
            self.is_armed = True
            if self.qualifying:
                self._fire()
            return 0

    def close(self) -> None:
        """RIOCloseCompletionQueue: what is in it is dropped. The lock is held."""
        self.is_closed = True
        self.is_armed = False
        self.qualifying = 0
        while self.results:
            self.results.popleft()[1].retire()

    def _fire(self) -> None:
        self.is_armed = False
        notification = self.notification
        if isinstance(notification, PortNotification):
            assert self.port is not None
            self.port.put(notification.completion_key)
        elif notification is not None:
            _portable_event(notification.event).signal()


def _portable_event(event: Event) -> PortableEvent:
    assert isinstance(event, PortableEvent)  # checked before
    return event


@functools.lru_cache(_ADDRESSES_MAX)
def native_address(family: int, packed: bytes) -> Address:
    """The address in a SOCKADDR_INET for a socket of ``family``, as the socket module has it.

    Raises:
      OSError: the address is of another family, or none.
    """
    try:
        address = unpack_address(packed)
    except ValueError:
        raise OSError(errno.EAFNOSUPPORT, "neither an IPv4 nor an IPv6 address") from None
    if (len(address) == 2) != (family == socket.AF_INET):
        raise OSError(errno.EAFNOSUPPORT, "an address of another family than the socket's")
    if len(address) == 4 and address[2] > _FLOWINFO_MAX:
        raise OSError(errno.EINVAL, "the flow information has more than 20 bits")
    return address


@functools.lru_cache(_ADDRESSES_MAX)
def packed_address(family: int, address: Address) -> bytes:
    """The SOCKADDR_INET of what the socket module gave."""
    return pack_address(family, address)

"""The port and the event of the ``winsock`` provider: those of Windows themselves.

Facts. A completion queue names an I/O completion port with a key and an OVERLAPPED, or an event. The OVERLAPPED is
echoed in the packet and never read, but must not be NULL, and another loop on the same port (Trio's) looks packets up
by its address. A notification stays armed until it fires, whatever happens to the sockets; it is not documented what
it does when the port or the event is closed meanwhile. [Microsoft Learn, RIO_NOTIFICATION_COMPLETION, RIONotify]

Decision. Each completion queue gets an OVERLAPPED of its own, which lives as long as its port: a packet is known by its
address, and keys are free for the caller. A handle that queues still use is closed with the last of them. A wake-up is
a packet without an OVERLAPPED. The port may belong to another loop. :meth:`WinsockPort.wait` drops packets that are not
ours, so such a port is waited at only when its owner ends. Where Windows has lost a notification,
:attr:`Signalling.announce` gives it instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from ..api import RIO_EVENT_COMPLETION, RIO_IOCP_COMPLETION, Event, Notification, Port, PortNotification
from ..errors import RioError
from .ffi import (
    INFINITE,
    INVALID_HANDLE,
    WAIT_OBJECT_0,
    WAIT_TIMEOUT,
    error_of_last_call,
    ffi,
    last_error,
    libraries,
    milliseconds,
)

_PACKETS_AT_ONCE = 64

# A thread inside a call of Windows runs no signal handler: an endless wait is cut into parts, and Ctrl-C heard between.
_PART_MILLISECONDS = 250


class _Handle:
    """A handle of Windows that completion queues may still use when it is closed here."""

    name = ""
    #: Whether it is known to have signalled. Of a port that cannot be known without taking its packets.
    is_signalled: bool = False

    def __init__(self, provider: object, handle: int, *, is_owned: bool = True) -> None:
        self.provider = provider
        self.handle = handle
        self._is_owned = is_owned
        self._users = 0
        self.is_closed: bool = False

    def enter(self) -> None:
        """Count one more completion queue that uses it."""
        self._users += 1

    def leave(self) -> None:
        """Count one completion queue less; the last one closes a handle whose user has closed it."""
        self._users -= 1
        self._close_unused()

    def close(self) -> None:
        """Close it, as soon as no completion queue uses it. Twice is allowed."""
        self.is_closed = True
        self._close_unused()

    def _close_unused(self) -> None:
        if self.is_closed and not self._users and self._is_owned:
            self._is_owned = False
            libraries().kernel32.CloseHandle(self.handle)

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise RioError(f"this {self.name} is closed")

    def __del__(self) -> None:
        if self._is_owned and not self._users:
            self.close()


@attrs.define(eq=False)
class Signalling:
    """How a completion queue announces that it has results."""

    structure: Any  # RIO_NOTIFICATION_COMPLETION, or NULL
    signal: WinsockPort | WinsockEvent | None
    announce: Callable[[], None]  # gives the notification in place of Windows
    completion_key: int = 0
    memory: Any = None  # what the structure points to
    is_awaited: bool = False  # armed, not seen to fire, and not dequeued since


class WinsockPort(_Handle, Port):
    """An I/O completion port.

    Args:
      provider: the provider that it belongs to.
      handle: a port of another owner; ``None`` makes one.
      packet_key: the key of all packets there, where the port's owner gives out keys.

    Raises:
      OSError: Windows has none left.
    """

    name = "port"

    def __init__(
        self,
        provider: object,
        handle: int | None = None,
        packet_key: int | None = None,
    ) -> None:
        own = libraries().kernel32.CreateIoCompletionPort(INVALID_HANDLE, 0, 0, 0) if handle is None else handle
        if not own:
            raise error_of_last_call()
        super().__init__(provider, own, is_owned=handle is None)
        self._packet_key = packet_key
        self._packets: dict[int, Signalling] = {}  # by the address of the OVERLAPPED, which lives as long as the port

    def new_packet(self, completion_key: int) -> Signalling:
        """The packet of a new completion queue."""
        overlapped = ffi.new("RIO_OVERLAPPED *")
        address = int(ffi.cast("uintptr_t", overlapped))
        key = completion_key if self._packet_key is None else self._packet_key
        structure = ffi.new("RIO_NOTIFICATION_COMPLETION *")
        structure.Type = RIO_IOCP_COMPLETION
        structure.Iocp.IocpHandle = self.handle
        structure.Iocp.CompletionKey, structure.Iocp.Overlapped = key, overlapped
        packet = Signalling(structure, self, partial(self._post, key, address), completion_key, overlapped)
        self._packets[address] = packet
        return packet

    def key_of(self, overlapped: int) -> int | None:
        """Take note of a packet, and return the completion key of its queue; ``None`` if it is not ours."""
        packet = self._packets.get(overlapped)
        if packet is None:
            return None
        packet.is_awaited = False
        return packet.completion_key

    def wait(self, timeout_seconds: float | None) -> list[int]:
        self._refuse_closed()
        entries = ffi.new("PORT_ENTRY[]", _PACKETS_AT_ONCE)  # one for each waiting thread
        removed = ffi.new("uint32_t *")
        kernel32 = libraries().kernel32
        left = milliseconds(timeout_seconds)
        end = time.monotonic() + left / 1000
        while True:
            part = min(left, _PART_MILLISECONDS)
            if kernel32.GetQueuedCompletionStatusEx(self.handle, entries, _PACKETS_AT_ONCE, removed, part, 0):
                keys = [self.key_of(entries[index].lpOverlapped) for index in range(removed[0])]
                return [key for key in keys if key is not None]
            code = last_error()
            if code != WAIT_TIMEOUT:
                raise error_of_last_call()
            if left != INFINITE:
                left = milliseconds(max(0.0, end - time.monotonic()))
                if not left:
                    return []

    def wake(self) -> None:
        self._refuse_closed()
        self._post(0, 0)

    def _post(self, key: int, overlapped: int) -> None:
        if not libraries().kernel32.PostQueuedCompletionStatus(self.handle, 0, key, overlapped):
            raise error_of_last_call()


class WinsockEvent(_Handle, Event):
    """A manual-reset event.

    Raises:
      OSError: Windows has none left.
    """

    name = "event"

    def __init__(self, provider: object) -> None:
        handle = libraries().kernel32.CreateEventW(ffi.NULL, 1, 0, ffi.NULL)
        if not handle:
            raise error_of_last_call()
        super().__init__(provider, handle)

    @property
    def is_set(self) -> bool:
        """See :attr:`Event.is_set`."""
        return self._wait(0)

    @property
    def is_signalled(self) -> bool:  # type: ignore[override]
        """Whether it is set, also when its user has closed it."""
        return bool(libraries().kernel32.WaitForSingleObject(self.handle, 0) == WAIT_OBJECT_0)

    def wait(self, timeout_seconds: float | None) -> bool:
        left = milliseconds(timeout_seconds)
        end = time.monotonic() + left / 1000
        while not self._wait(min(left, _PART_MILLISECONDS)):
            if left != INFINITE:
                left = milliseconds(max(0.0, end - time.monotonic()))
                if not left:
                    return False
        return True

    def _wait(self, timeout_ms: int) -> bool:
        self._refuse_closed()
        result = libraries().kernel32.WaitForSingleObject(self.handle, timeout_ms)
        if result not in (WAIT_OBJECT_0, WAIT_TIMEOUT):
            raise error_of_last_call()
        return bool(result == WAIT_OBJECT_0)

    def set(self) -> None:
        self._refuse_closed()
        self.announce()

    def announce(self) -> None:
        """Set it even if its user has closed it: a completion queue may still use the handle."""
        if not libraries().kernel32.SetEvent(self.handle):
            raise error_of_last_call()

    def reset(self) -> None:
        self._refuse_closed()
        if not libraries().kernel32.ResetEvent(self.handle):
            raise error_of_last_call()


def signalling_of(notification: Notification) -> Signalling:
    """How a new completion queue announces results; the notification was checked."""
    if notification is None:
        return Signalling(ffi.NULL, None, _do_nothing)
    if isinstance(notification, PortNotification):
        assert isinstance(notification.port, WinsockPort)
        return notification.port.new_packet(notification.completion_key)
    signal = notification.event
    assert isinstance(signal, WinsockEvent)
    structure = ffi.new("RIO_NOTIFICATION_COMPLETION *")
    structure.Type = RIO_EVENT_COMPLETION
    structure.Event.EventHandle = signal.handle
    structure.Event.NotifyReset = int(notification.notify_reset)
    return Signalling(structure, signal, signal.announce)


def _do_nothing() -> None: ...

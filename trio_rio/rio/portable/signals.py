"""The port and the event of the portable provider: plain state, waited for by driving readiness."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

from ..api import Event, Port
from ..errors import RioError
from .driver import ReadinessDriver


@attrs.define(eq=False)
class PortablePort(Port):
    """A completion port whose :meth:`wait` serves the sockets of its provider.

    ``on_packet``: when it is set, each packet's key is handed to it at once, in the thread that made the
    packet and with the provider's lock held, instead of being queued; it may post and dequeue, but must
    not wait, block or raise. For an outer loop that watches the provider's ``fileno`` itself.
    """

    provider: object
    driver: ReadinessDriver
    on_packet: Callable[[int], None] | None = None
    is_closed: bool = False
    _packets: deque[int] = attrs.field(factory=deque)
    _is_woken: bool = False

    def wait(self, timeout_seconds: float | None) -> list[int]:
        """See :meth:`Port.wait`.

        Raises:
          RioError: the port or its provider is closed, or this is a forked child.
        """
        driver = self.driver
        with driver.entry():
            self._refuse_closed()
        driver.wait_until(self._has_news, timeout_seconds)
        with driver.lock:
            keys = list(self._packets)
            self._packets.clear()
            self._is_woken = False
            return keys

    def wake(self) -> None:
        with self.driver.entry():
            self._refuse_closed()
            self._is_woken = True
            self.driver.tell()

    def close(self) -> None:
        """See :meth:`Port.close`. A thread in :meth:`wait` gets an empty list."""
        self.driver.refuse_other_process()
        with self.driver.lock:
            self.is_closed = True
            self._packets.clear()
            self.driver.tell()

    def put(self, key: int) -> None:
        """Queue a packet, or hand it over. The lock is held. Ignored once closed."""
        if self.is_closed:
            return
        if self.on_packet is not None:
            self.on_packet(key)
        else:
            self._packets.append(key)
            self.driver.tell()

    def _has_news(self) -> bool:
        return bool(self._packets) or self._is_woken or self.is_closed

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise RioError("this Port is closed")


@attrs.define(eq=False)
class PortableEvent(Event):
    """A manual-reset event whose :meth:`wait` serves the sockets of its provider.

    ``on_set``: when it is set, it is called whenever the event is; otherwise as :attr:`PortablePort.on_packet`.
    """

    provider: object
    driver: ReadinessDriver
    on_set: Callable[[], None] | None = None
    is_closed: bool = False
    _is_set: bool = False

    def wait(self, timeout_seconds: float | None) -> bool:
        """See :meth:`Event.wait`.

        Raises:
          RioError: the event or its provider is closed, or this is a forked child.
        """
        with self.driver.entry():
            self._refuse_closed()
        self.driver.wait_until(self._has_news, timeout_seconds)
        return self._is_set

    @property
    def is_set(self) -> bool:
        """See :attr:`Event.is_set`."""
        return self._is_set

    def set(self) -> None:
        with self.driver.entry():
            self._refuse_closed()
            self.signal()

    def reset(self) -> None:
        with self.driver.entry():
            self._refuse_closed()
            self._is_set = False

    def close(self) -> None:
        """See :meth:`Event.close`. A thread in :meth:`wait` returns."""
        self.driver.refuse_other_process()
        with self.driver.lock:
            self.is_closed = True
            self.driver.tell()

    def signal(self) -> None:
        """Set it on behalf of a completion queue. The lock is held."""
        self._is_set = True
        if self.on_set is not None:
            self.on_set()
        self.driver.tell()

    def rearm(self) -> None:
        """Clear it on behalf of ``notify``. The lock is held."""
        self._is_set = False

    def _has_news(self) -> bool:
        return self._is_set or self.is_closed

    def _refuse_closed(self) -> None:
        if self.is_closed:
            raise RioError("this Event is closed")

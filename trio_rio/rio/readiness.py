"""Readiness waits: the one thing that the portable provider needs from the system besides sockets.

Facts. ``epoll`` and ``kqueue`` keep the list of watched descriptors in the kernel, can themselves be polled by
an outer loop, and may be changed by one thread while another waits in them. ``select`` and ``poll`` can do
none of this. A registration lives in the kernel until the last copy of the *open file* is closed, and changing
one costs a system call. [epoll(7), kqueue(2); :mod:`selectors`]

Consequence. The provider must not care which it gets, and must be able to run on somebody else's waits (a
manager that has its own poll set).

Decision. :class:`ReadinessWaits` is that small interface; :class:`SelectorWaits` is its only implementation
here, over :class:`selectors.DefaultSelector` with a socket pair to interrupt a wait. Level-triggered: an
interest that is left in place goes on reporting, so whoever sees a report that nobody wants takes it away. What
is closed, and lives on in a copy, can be taken away only with the whole set: then the next poll makes a new one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from typing import Protocol

import attrs

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class ReadinessWaits(Protocol):
    """A level-triggered poll set. Everything but :meth:`poll` and :meth:`wake` is called by one thread at a time."""

    def watch(self, fd: int, read: bool, write: bool) -> None:
        """Report ``fd`` when it is readable or writable, in place of what was asked for it before.

        Raises:
          OSError: the system refuses the descriptor (closed, or too many are watched).
        """

    def unwatch(self, fd: int, *, was_closed: bool = False) -> None:
        """Stop reporting ``fd``. Nothing happens when it is not watched.

        ``was_closed``: it may be closed, and its number in use again.
        """

    def poll(self, timeout_seconds: float | None) -> list[tuple[int, bool, bool]]:
        """What is ready now, as ``(fd, readable, writable)``; waits for the first, at most this long.

        ``None`` waits for ever, 0 looks and returns. Empty when the time is over, after :meth:`wake`, or
        after a signal. Blocks the thread.
        """

    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`poll` would report something; -1 where there is none.

        To be asked for anew after each :meth:`poll`.
        """

    def wake(self) -> None:
        """Make a running :meth:`poll`, or else the next, return. From any thread and any signal handler."""

    def close(self) -> None:
        """Give the descriptors back, without changing what is watched: in a forked child the set is the parent's."""


@attrs.define(eq=False)
class SelectorWaits:
    """:class:`ReadinessWaits` over the best selector of the platform."""

    _selector: selectors.BaseSelector = attrs.field(factory=selectors.DefaultSelector)
    _watched: set[int] = attrs.field(factory=set, init=False)
    _wake_receiver: socket.socket = attrs.field(init=False)
    _wake_sender: socket.socket = attrs.field(init=False)
    _wake_fd: int = attrs.field(init=False)
    _is_stale: bool = attrs.field(default=False, init=False)  # there may be a registration that cannot be taken off
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        try:
            self._wake_receiver, self._wake_sender = socket.socketpair()
        except BaseException:
            self._selector.close()
            raise
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._wake_fd = self._wake_receiver.fileno()
        self._selector.register(self._wake_fd, _READ)

    def watch(self, fd: int, read: bool, write: bool) -> None:
        """See :meth:`ReadinessWaits.watch`."""
        events = (_READ if read else 0) | (_WRITE if write else 0)
        if fd in self._watched:
            self._watched.discard(fd)
            try:
                self._selector.modify(fd, events)
            except FileNotFoundError:
                # The descriptor was closed behind our back, and its number is in use again.
                self._selector.register(fd, events)
                self._is_stale = True
        else:
            self._selector.register(fd, events)
        self._watched.add(fd)
        if self.fileno() < 0:  # such a selector waits for a copy of the list: have it look again
            self.wake()

    def unwatch(self, fd: int, *, was_closed: bool = False) -> None:
        """See :meth:`ReadinessWaits.unwatch`."""
        if fd in self._watched:
            self._watched.discard(fd)
            self._selector.unregister(fd)
            if was_closed:
                self._is_stale = True
                self.wake()

    def poll(self, timeout_seconds: float | None) -> list[tuple[int, bool, bool]]:
        """See :meth:`ReadinessWaits.poll`."""
        if self._is_stale:
            self._renew()
        ready = []
        for key, events in self._selector.select(timeout_seconds):
            fd = key.fd
            if fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receiver.recv(4096)
            else:
                ready.append((fd, bool(events & _READ), bool(events & _WRITE)))
        return ready

    def _renew(self) -> None:
        try:
            selector = type(self._selector)()
        except OSError:  # too many descriptors: what cannot be taken off goes on being reported for now
            return
        for key in self._selector.get_map().values():
            try:
                selector.register(key.fd, key.events)
            except OSError:
                self._watched.discard(key.fd)
        self._selector.close()
        self._selector = selector
        self._is_stale = False

    def fileno(self) -> int:
        """See :meth:`ReadinessWaits.fileno`."""
        fileno = getattr(self._selector, "fileno", None)
        return -1 if fileno is None else int(fileno())

    def wake(self) -> None:
        """See :meth:`ReadinessWaits.wake`."""
        # A full pipe wakes just as well; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def close(self) -> None:
        """See :meth:`ReadinessWaits.close`. Twice is allowed."""
        if not self._is_closed:
            self._is_closed = True
            self._watched.clear()
            self._selector.close()
            self._wake_receiver.close()
            self._wake_sender.close()


__all__ = ["ReadinessWaits", "SelectorWaits"]

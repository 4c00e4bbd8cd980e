"""Readiness waits: the one thing that the portable provider needs from the system besides sockets.

Facts. ``epoll`` and ``kqueue`` keep the list of watched descriptors in the kernel, can themselves be polled by
an outer loop, and may be changed by one thread while another waits in them. ``select`` and ``poll`` can do
none of this. A registration lives in the kernel until the last copy of the *open file* is closed, not of the number,
which may have another file by then, without notice. Changing one costs a system call.
[epoll(7), kqueue(2); :mod:`selectors`]

Consequence. The provider must not care which it gets, and must be able to run on the waits of another loop (a manager
that has its own poll set). To notice that a number has another file, a descriptor is registered anew at each wait.

Decision. :class:`ReadinessWaits` is that small interface. Each registration reports once: to hear of a descriptor again
it is watched again, and one that is no longer wanted need not be removed. :class:`SelectorWaits` is the only
implementation here, with a socket pair to interrupt a wait: over ``epoll``, which has one-shot registrations, and
elsewhere over :class:`selectors.DefaultSelector`, where each report removes the registration.
"""

from __future__ import annotations

import contextlib
import math
import select
import selectors
import socket
from typing import Protocol

import attrs

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class ReadinessWaits(Protocol):
    """A poll set. Everything but :meth:`poll` and :meth:`wake` is called by one thread at a time."""

    def watch(self, fd: int, read: bool, write: bool) -> None:
        """Report ``fd`` once when it is readable or writable, in place of what was asked for it before.

        Raises:
          OSError: the system refuses the descriptor (closed, or too many are watched).
        """

    def unwatch(self, fd: int) -> None:
        """Do not report ``fd`` any more. Nothing happens when it is not watched.

        It may be closed, and its number in use again. A closed file that lives on in a copy may be reported once.
        """

    def poll(self, timeout_seconds: float | None) -> list[tuple[int, bool, bool]]:
        """What is ready now, as ``(fd, readable, writable)``; waits for the first, at most this long.

        ``None`` waits for ever, 0 looks and returns. Empty when the time is over, after :meth:`wake`, or
        after a signal. Blocks the thread.
        """

    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`poll` would report something; -1 where there is none."""

    def wake(self) -> None:
        """Make a running :meth:`poll`, or else the next, return. From any thread and any signal handler."""

    def close(self) -> None:
        """Give the descriptors back, without changing what is watched: in a forked child the set is the parent's."""


class _SelectorSet:
    """What of :class:`SelectorWaits` depends on the system, over any selector.

    The one descriptor that is given here is reported as long as it is readable.
    """

    def __init__(self, selector: selectors.BaseSelector, always: int) -> None:
        self._selector = selector
        self._always = always
        selector.register(always, _READ)

    def arm(self, fd: int, events: int) -> None:
        self.disarm(fd)
        self._selector.register(fd, events)

    def disarm(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def select(self, timeout_seconds: float | None) -> list[tuple[int, int]]:
        ready = [(key.fd, events) for key, events in self._selector.select(timeout_seconds)]
        for fd, _ in ready:
            if fd != self._always:
                self._selector.unregister(fd)
        return ready

    def fileno(self) -> int:
        fileno = getattr(self._selector, "fileno", None)
        return -1 if fileno is None else int(fileno())

    def close(self) -> None:
        self._selector.close()


class _EpollSet:
    """The same over epoll. The one descriptor that is given here is reported as long as it is readable."""

    def __init__(self, always: int) -> None:
        self._epoll = select.epoll()
        self._known: set[int] = set()  # what it has, unless it was closed without us
        self._epoll.register(always, select.EPOLLIN)

    def arm(self, fd: int, events: int) -> None:
        flags = select.EPOLLONESHOT
        if events & _READ:
            flags |= select.EPOLLIN
        if events & _WRITE:
            flags |= select.EPOLLOUT
        if fd in self._known:
            try:
                self._epoll.modify(fd, flags)
                return
            except FileNotFoundError:
                pass  # another file has the number now
            except OSError:
                self._known.discard(fd)
                raise
        try:
            self._epoll.register(fd, flags)
        except FileExistsError:
            self._epoll.modify(fd, flags)
        self._known.add(fd)

    def disarm(self, fd: int) -> None:
        if fd in self._known:
            self._known.discard(fd)
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def select(self, timeout_seconds: float | None) -> list[tuple[int, int]]:
        # In whole milliseconds, and not too early.
        timeout = None if timeout_seconds is None else math.ceil(timeout_seconds * 1000) / 1000
        ready = []
        for fd, flags in self._epoll.poll(timeout, len(self._known) + 1):
            # An error is for both.
            read, write = flags & ~select.EPOLLOUT, flags & ~select.EPOLLIN
            ready.append((fd, (_READ if read else 0) | (_WRITE if write else 0)))
        return ready

    def fileno(self) -> int:
        return self._epoll.fileno()

    def close(self) -> None:
        self._epoll.close()


@attrs.define(eq=False)
class SelectorWaits(ReadinessWaits):
    """:class:`ReadinessWaits` over epoll where there is one, over a selector, or over the one that is given."""

    _selector: selectors.BaseSelector | None = None
    _set: _SelectorSet | _EpollSet = attrs.field(init=False)
    _wake_receiver: socket.socket = attrs.field(init=False)
    _wake_sender: socket.socket = attrs.field(init=False)
    _wake_fd: int = attrs.field(init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._wake_receiver, self._wake_sender = socket.socketpair()
        try:
            self._wake_receiver.setblocking(False)
            self._wake_sender.setblocking(False)
            self._wake_fd = self._wake_receiver.fileno()
            if self._selector is None and hasattr(select, "epoll"):
                self._set = _EpollSet(self._wake_fd)
            else:
                self._set = _SelectorSet(self._selector or selectors.DefaultSelector(), self._wake_fd)
        except BaseException:
            self._wake_receiver.close()
            self._wake_sender.close()
            raise

    def watch(self, fd: int, read: bool, write: bool) -> None:
        self._set.arm(fd, (_READ if read else 0) | (_WRITE if write else 0))
        if self._set.fileno() < 0:  # such a selector waits for a copy of the list: have it look again
            self.wake()

    def unwatch(self, fd: int) -> None:
        self._set.disarm(fd)

    def poll(self, timeout_seconds: float | None) -> list[tuple[int, bool, bool]]:
        ready = []
        for fd, events in self._set.select(timeout_seconds):
            if fd == self._wake_fd:
                with contextlib.suppress(BlockingIOError):
                    self._wake_receiver.recv(4096)
            else:
                ready.append((fd, bool(events & _READ), bool(events & _WRITE)))
        return ready

    def fileno(self) -> int:
        return self._set.fileno()

    def wake(self) -> None:
        # A full pipe wakes just as well; at a closed one no thread waits.
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def close(self) -> None:
        """See :meth:`ReadinessWaits.close`. Twice is allowed."""
        if not self._is_closed:
            self._is_closed = True
            self._set.close()
            self._wake_receiver.close()
            self._wake_sender.close()


__all__ = ["ReadinessWaits", "SelectorWaits"]

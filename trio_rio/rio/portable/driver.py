"""Waiting for readiness in the portable provider: which thread polls, and how the others wait.

Facts. Completions happen here only because a thread polls: one in ``Port.wait`` or ``Event.wait``, an
outer loop that calls ``progress``, or a dequeue that found nothing. Several threads may want that at once. Two
threads in one ``epoll_wait`` share the events out among them, and the byte that wakes a sleeper may be read by
the wrong one. A child of ``fork`` shares the poll set itself with its parent, and inherits locks as they stood.

Consequence. Exactly one thread may be inside the poll, and never with the lock held; the others must sleep on
something else. In a child nothing may be touched, not even the lock.

Decision. Leader and followers: a thread polls if no other does, all others wait on a condition; the leader
serves what came, tells all, and leaves, and the next follower takes its place. A thread that makes a packet
while another one polls wakes that one up. The process id is compared before the lock is taken.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

from ..errors import RioError
from ..types import PROVIDER_CLOSED
from .readiness import ReadinessWaits

# Dequeues without a look at readiness, before one looks though it has results. A socket whose peer never stops fills
# its queue from within the posts; without this bound the other sockets would starve.
DEQUEUES_BEFORE_POLL = 16

# How long close() waits for a thread to come out of the poll, having woken it.
_LEAVE_SECONDS_MAX = 1.0


class ReadySocket(Protocol):
    """What the driver calls when a descriptor is ready."""

    def on_ready(self, readable: bool, writable: bool) -> None:
        """Serve the requests that can go on; the lock is held."""


class Startable(Protocol):
    """A direction of a socket with deferred requests that were not tried yet."""

    def start(self) -> None:
        """Try what is pending, and have the socket watched if something is left; the lock is held."""


@attrs.define(eq=False)
class ReadinessDriver:
    """The lock, the poll, and the sleepers of one provider.

    ``lock`` guards every structure of the provider. ``dequeues`` counts those since the last look at readiness.
    ``is_driven``: an outer loop looks, and dequeues do not.
    """

    waits: ReadinessWaits
    pid: int = attrs.field(factory=os.getpid)
    lock: threading.RLock = attrs.field(factory=threading.RLock)
    sockets: dict[int, ReadySocket] = attrs.field(factory=dict)
    deferred: dict[Startable, None] = attrs.field(factory=dict)
    is_closed: bool = False
    dequeues: int = 0
    is_driven: bool = False
    _leader: int | None = None
    _changed: threading.Condition = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._changed = threading.Condition(self.lock)

    def refuse_other_process(self) -> None:
        """Raise :class:`RioError` in a forked child."""
        if os.getpid() != self.pid:
            raise RioError(
                f"this provider was made in process {self.pid} and is dead in process {os.getpid()}, "
                "a fork of it; make a new one in the child"
            )

    @contextlib.contextmanager
    def entry(self, *, is_after_end_allowed: bool = False) -> Iterator[None]:
        """Hold the lock in a call; raise :class:`RioError` in a forked child, and once the provider is closed."""
        self.refuse_other_process()
        with self.lock:
            if not is_after_end_allowed:
                self.refuse_closed()
            yield

    def refuse_closed(self) -> None:
        """Raise :class:`RioError` once the provider is closed."""
        if self.is_closed:
            raise RioError(PROVIDER_CLOSED)

    # -- Polling -------------------------------------------------------------------------------------------

    def start_deferred(self) -> None:
        """Start every deferred request, in the order of their posts. The lock is held."""
        while self.deferred:
            side = next(iter(self.deferred))
            del self.deferred[side]
            side.start()

    def progress(self) -> None:
        """Serve what is ready now, without waiting. The lock is held. A thread inside the poll does it itself.

        Raises:
          RioError: another thread has closed the provider.
        """
        self.refuse_closed()
        self.start_deferred()
        self.dequeues = 0
        if self._leader is None:
            self._serve(self.waits.poll(0))

    def wait_until(self, is_done: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Serve readiness until ``is_done``, or the time is over, or the provider is closed.

        Looks at readiness at least once, so that other sockets are served though the condition always holds.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self.lock:
            self.start_deferred()
            if is_done():
                if not self.is_closed:
                    self.progress()
                return
            while not (is_done() or self.is_closed):
                remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
                if self._leader is None:
                    self._lead(remaining)
                else:
                    self._changed.wait(remaining)
                if remaining == 0:
                    return

    def tell(self) -> None:
        """Wake the waiting threads to check their conditions. The lock is held.

        This wakes the leader, which wakes its followers as it comes out of the poll.
        """
        if self._leader is not None:  # it is inside the poll: the lock would not be ours otherwise
            self.waits.wake()

    def _lead(self, timeout_seconds: float | None) -> None:
        self._leader = threading.get_ident()
        self.lock.release()
        events = []
        try:
            events = self.waits.poll(timeout_seconds)
        except (OSError, ValueError):
            if not self.is_closed:  # else by a thread that could not wait until this one had left
                raise
        finally:
            self.lock.acquire()
            self._leader = None
            self._changed.notify_all()  # they run when the lock is free: after what follows
        if not self.is_closed:
            self.dequeues = 0
            self._serve(events)

    def _serve(self, events: list[tuple[int, bool, bool]]) -> None:
        for fd, readable, writable in events:
            sock = self.sockets.get(fd)
            if sock is not None:
                sock.on_ready(readable, writable)

    # -- The end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the waits, once no other thread is in the poll. The lock is held, and nothing is outstanding."""
        self.is_closed = True
        deadline = time.monotonic() + _LEAVE_SECONDS_MAX
        while self._leader not in (None, threading.get_ident()) and time.monotonic() < deadline:
            self.waits.wake()
            self._changed.wait(deadline - time.monotonic())
        self.waits.close()

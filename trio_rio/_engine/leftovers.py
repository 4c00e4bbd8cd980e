"""Work that finalisers leave to a run's own thread.

Facts. The garbage collector runs in whatever thread happens to allocate, and finalises there what any thread has
dropped. What hangs on a run has no locks, and the kernel ends a thread's requests with the thread, so only the run's
own thread may end them. When an object that was part of a reference cycle is finalised, weak references to it are gone
already.

Decision. A finaliser in another thread leaves its work here and wakes the run, which does it in a tick, or as it ends.
The work keeps its object alive until then; no object is finalised twice. An error in it goes where those of finalisers
go, to :data:`sys.unraisablehook`."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import attrs
import trio

Work: TypeAlias = Callable[[], object]


@attrs.frozen(eq=False)
class _Finalised:
    """Does its work when it is dropped, so that it is a finaliser's work for Python."""

    work: Work

    def __del__(self) -> None:
        self.work()


@attrs.define(eq=False)
class Leftovers:
    """See the module's docstring. Made by the run's own thread."""

    works: deque[Work] = attrs.field(factory=deque)  # of finalisers, and of other threads
    is_over: bool = False  # nothing is left to be ended
    _thread: int = attrs.field(factory=threading.get_ident)
    _token: trio.lowlevel.TrioToken | None = None

    def begin(self) -> None:
        """The run is under way: from now on it can be woken. Twice is allowed."""
        if self._token is None:
            self._token = trio.lowlevel.current_trio_token()

    def is_own_thread(self) -> bool:
        """Whether this is the run's own thread."""
        return threading.get_ident() == self._thread

    def do_or_leave(self, work: Work) -> None:
        """In a finaliser: do this now if this is the run's own thread, or else let the run do it soon."""
        if not self.is_own_thread():
            self.leave(work)
        elif not self.is_over:
            work()

    def leave(self, work: Work) -> None:
        """In a finaliser, in any thread: let the run do this soon."""
        if self.is_over:
            return
        self.works.append(work)
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):  # its end looks here as well
                self._token.run_sync_soon(self.do, idempotent=True)

    def do(self) -> None:
        """In the run's own thread: do what was left."""
        while self.works:
            _Finalised(self.works.popleft())

    def close(self) -> None:
        """The run is over: what comes now has nothing to end any more."""
        self.is_over = True
        self.works.clear()


def report(work: Work) -> None:
    """Do something whose error, as that of a warning where warnings are errors, must not reach the caller."""
    _Finalised(work)

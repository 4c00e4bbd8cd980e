"""What a run on Windows' RIO does while no notification comes.

Facts. Some machines lose notifications: a request has completed, its completion queue was armed, and no packet comes.
A run that believes its port alone then sleeps for ever. A result can be found without a notification, by dequeueing,
and in no other way. A run that is idle has receives posted all day long. Trio wants to know of each wait whether its
full time passed and nothing came.

Consequence. The run must look for itself now and then, and must tell a lost notification from one that is a moment
late. It cannot look all the time, nor may a look that finds nothing end a wait.

Decision. While requests are in flight the run looks when it has heard nothing for 50 ms; then after twice that time,
and so on up to 6.4 s. A packet, or a new request, brings it back to 50 ms. So a request that has just been posted is
looked after at once, and an idle run wakes nine times a minute, for microseconds. What a look finds stays where it was;
if it is there 50 ms later, and the run has taken no packet for it, then its notification is lost: where other programs
want the CPU, one may be some milliseconds behind its result. The run says so, once, gives the notification in place of
Windows, and from then on looks every 50 ms without doubling. Nothing else is
different: the packet comes as any other, in guest runs too, and a wait in which none came has lasted its full time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from ..rio.winsock.signals import Signalling

FIRST_SECONDS = 0.05
LAST_SECONDS = 6.4

# How far a notification may be behind its result.
_GRACE_SECONDS = 0.05

_log = logging.getLogger("trio_rio")


@attrs.define(eq=False)
class Silence:
    """See the module's docstring. One wait at a time."""

    wait_for_events: Callable[[float], Any]
    has_requests: Callable[[], bool]
    unannounced: Callable[[], list[Signalling]]
    #: Something came, or was posted, since the last wait.
    is_broken: bool = True
    is_lost: bool = False  # a notification, ever
    _pause_seconds: float = FIRST_SECONDS
    _look_at: float = 0.0
    _is_emptied: bool = False  # since it is time to look, the packets that had come were taken
    _suspects: list[Signalling] = attrs.field(factory=list)

    def wait(self, timeout: float) -> Any:
        """Wait for events, and look for lost notifications meanwhile; falsy exactly if nothing came in that time."""
        now = time.monotonic()
        if self.is_broken:
            self.is_broken = False
            self._pause_seconds = FIRST_SECONDS
            if not self._suspects:
                self._look_at = now + FIRST_SECONDS
        end = now + timeout
        while end >= self._look_at and self.has_requests():
            if not self._is_emptied:
                events = self.wait_for_events(max(0.0, self._look_at - now))
                if events:
                    self._is_emptied = now >= self._look_at
                    return events
            self._is_emptied = False
            self._look()
            now = time.monotonic()
        return self.wait_for_events(max(0.0, end - now))

    def _look(self) -> None:
        found = self.unannounced()
        lost = found if self.is_lost else [one for one in found if one in self._suspects]
        for one in lost:
            if not self.is_lost:
                self.is_lost = True
                self._warn()
            one.is_awaited = False
            one.announce()
        self._suspects = [one for one in found if one.is_awaited]
        if self._suspects:
            pause = _GRACE_SECONDS
        elif found or self.is_lost:
            pause = FIRST_SECONDS
        else:
            pause = self._pause_seconds = min(2 * self._pause_seconds, LAST_SECONDS)
        self._look_at = time.monotonic() + pause

    def _warn(self) -> None:
        _log.warning(
            "Windows has lost a notification: a request completed and no packet came. The run goes on, and looks for "
            "itself every %g ms from now on. Remedy: look for what filters the network here (netsh winsock show "
            "catalog); RioConfig(notification='polled') and provider='portable' need no notifications.",
            FIRST_SECONDS * 1000,
        )

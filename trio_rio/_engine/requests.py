"""One request of the engine, and the table of its states.

Rules
=====
1. A request that is posted completes exactly once; only that completion ends its lease on memory.
2. A task that waits for a request resumes exactly once: by the completion, or because the socket was closed.
3. A cancelled call ends only when it is known what happened: the request's own completion says so.
4. What completes for nobody is kept for the next reader (POSTED), or dropped if there can be none (ABANDONED).

States and events
=================
======== ===========================================================================================
FREE     in the pool
WAITED   posted, a task waits for it
CANCELLED posted, a task waits for it, and its cancellation was asked for
POSTED   posted, no task waits for this one: read ahead, or a send inside the window
ABANDONED posted, and the socket is closed: the result goes nowhere
DONE     completed, and the task that takes the result has not run yet
LEASED   not posted: a task has its slice, to read what came or to fill it
======== ===========================================================================================

The table below is all there is; an event that it does not have for a state is a bug, raises
:class:`RioInternalError`, and changes nothing. ``docs/design/requests.md`` draws it.

No sockets in this file, and of Trio only the words of waiting.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import outcome
import trio
from trio.lowlevel import Abort

from .._errors import RioInternalError, error_from_status
from .._trio import WaitTaskRescheduled
from ..rio import Status

if TYPE_CHECKING:
    from ..rio import RegisteredBuffer
    from .arena import Slice
    from .channel import Channel


class State(enum.IntEnum):
    """Where a request is; see the table in the module's docstring."""

    FREE = 0
    WAITED = 1
    CANCELLED = 2
    POSTED = 3
    ABANDONED = 4
    DONE = 5
    LEASED = 6


class Event(enum.Enum):
    """What can happen to a request."""

    POST_AND_WAIT = "post and wait"
    POST = "post"
    CANCEL = "cancel"
    CLOSE = "close"
    COMPLETE = "complete"
    TAKE = "take"
    LEASE = "lease"


class Action(enum.IntEnum):
    """What is to be done when a request completes."""

    WAKE = 0  # the task that waits gets the result
    KEEP = 1  # the channel keeps it: bytes for the next reader, or room in the send window
    DROP = 2  # nobody wants it; the memory is given back


FREE, WAITED, CANCELLED, POSTED, ABANDONED, DONE, LEASED = State

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    FREE: {Event.POST_AND_WAIT: WAITED, Event.POST: POSTED, Event.LEASE: LEASED},
    WAITED: {Event.CANCEL: CANCELLED, Event.CLOSE: ABANDONED, Event.COMPLETE: DONE},
    CANCELLED: {Event.CLOSE: ABANDONED, Event.COMPLETE: DONE},
    POSTED: {Event.CLOSE: ABANDONED, Event.COMPLETE: DONE},
    ABANDONED: {Event.CLOSE: ABANDONED, Event.COMPLETE: DONE},
    DONE: {Event.TAKE: FREE, Event.CLOSE: DONE, Event.LEASE: LEASED},
    LEASED: {Event.TAKE: FREE, Event.POST_AND_WAIT: WAITED, Event.POST: POSTED},
}

# By the state at the completion; a list, since every completion looks here.
ACTION_ON_COMPLETE: tuple[Action | None, ...] = (
    None,  # FREE
    Action.WAKE,  # WAITED
    Action.WAKE,  # CANCELLED
    Action.KEEP,  # POSTED
    Action.DROP,  # ABANDONED
    None,  # DONE
    None,  # LEASED
)

# The request context that the provider carries: slot in the low half, generation above. 31 bits of generation
# keep it below 2**63.
SLOT_MASK = 0xFFFF_FFFF
GENERATION = 1 << 32


def no_cancel() -> NoReturn:
    """Stands where the function to raise Cancelled is kept, while there is none."""
    raise error_from_status(Status.OPERATION_ABORTED)  # ended from outside: the kernel, or another process


@attrs.define(eq=False)
class Request:
    """One receive or send between its post and the moment its result is taken. Pooled; never freed.

    Holds the lease on its slice for good, so that pooled requests are pooled memory. A request without a slice is for
    sends from a caller's own memory. Works as the outcome that wakes its task (:meth:`unwrap`), so that a completion
    allocates nothing.
    """

    context: int  # slot and generation; the generation changes with every use
    home: list[Request]  # the pool that it goes back to
    slice: Slice | None
    state: State = FREE
    is_receive: bool = True
    channel: Channel | None = None
    task: Any = None
    registered: RegisteredBuffer | None = None  # memory that is no slice, registered for this request
    memory: bytes | None = None  # that memory, if it is for a receive to fill and to become its result
    length: int = 0
    status: int = 0
    count: int = 0
    raise_cancel: Callable[[], NoReturn] = no_cancel
    message: Any = attrs.field(init=False)  # what the waiting task yields to Trio

    def __attrs_post_init__(self) -> None:
        self.message = WaitTaskRescheduled(self.abort)

    @property
    def view(self) -> memoryview:
        """The memory; what a receive brought is at its beginning."""
        return self.slice.view if self.slice is not None else memoryview(self.memory or b"")

    def happen(self, event: Event) -> None:
        """Go to the next state, or raise :class:`RioInternalError` and stay."""
        next_state = TRANSITIONS[self.state].get(event)
        if next_state is None:
            raise RioInternalError(f"a request that is {self.state.name} cannot {event.value}")
        self.state = next_state

    def abort(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        """The task is cancelled: ask that the request end. What it ends with decides what the task sees."""
        channel = self.channel
        if channel is None:
            raise RioInternalError("a request that is not posted was cancelled")
        self.happen(Event.CANCEL)
        self.raise_cancel = raise_cancel
        channel.engine.cancel(self, channel)
        return Abort.FAILED

    def unwrap(self) -> Request:
        """The resumption of the task that waited: return, or raise what the request ended with.

        A send that was cancelled when a part had gone counts as done: its count tells how much.
        """
        status = self.status
        if status:
            if status == Status.OPERATION_ABORTED:
                if self.count and not self.is_receive:
                    return self
                raise_cancel = self.raise_cancel
                self.finish()
                raise_cancel()
            if status != Status.EMSGSIZE or not self.is_receive:
                self.finish()
                raise error_from_status(status)
            # A datagram longer than its slice: sockets cut it off and say nothing.
        return self

    def finish(self) -> None:
        """The result is taken: give everything back to the engine."""
        channel = self.channel
        if channel is None:
            raise RioInternalError("a request was finished twice")
        channel.engine.finish(self)


def closed_error() -> outcome.Error:
    """What a task gets whose socket is closed while it waits."""
    return outcome.Error(trio.ClosedResourceError("another task closed this socket"))


def raise_refused(channel: Channel, code: int) -> NoReturn:
    """A post was refused. What Winsock has a code for is an OSError, as from the socket; the rest is ours."""
    if code in Status.__members__.values():
        raise error_from_status(code)
    channel.engine.provider.raise_for("post", code)

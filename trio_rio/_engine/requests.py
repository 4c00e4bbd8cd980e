"""Requests: the table of their states, and the pool that they come from.

Rules
=====
1. A request that is posted completes exactly once; only that completion ends its lease on memory.
2. A task that waits for a request resumes exactly once: by the completion, or because the socket was closed.
3. A cancelled call ends only when it is known what happened: the request's own completion says so.
4. What completes for nobody is kept for the next reader (POSTED), or dropped if there can be none (ABANDONED).

States
======
======== ===========================================================================================
FREE     in the pool
WAITED   posted, a task waits for it
CANCELLED posted, a task waits for it, and its cancellation was asked for
POSTED   posted, no task waits for this one: read ahead, or a send inside the window
ABANDONED posted, and the socket is closed: the result goes nowhere
DONE     completed, and the task that takes the result has not run yet
LEASED   not posted: a task has its slice, to read what came or to fill it
======== ===========================================================================================

The table below is all there is; a step that it does not have for a state is a bug, raises
:class:`RioInternalError`, and changes nothing. ``docs/design/requests.md`` draws it.

No sockets in this file, and of Trio only the words of waiting. What a request asks of the socket that it is posted on
is an :class:`Owner`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

import attrs
import outcome
import trio
from trio.lowlevel import Abort

from .._errors import RioInternalError, error_from_status
from .._trio import WaitTaskRescheduled
from ..rio import Provider, RegisteredBuffer, RequestQueue, Status
from .arena import Arena, Slice, unless_without_memory
from .copies import copy
from .fields import RequestFields


class State(enum.IntEnum):
    """Where a request is; see the table in the module's docstring."""

    FREE = 0
    WAITED = 1
    CANCELLED = 2
    POSTED = 3
    ABANDONED = 4
    DONE = 5
    LEASED = 6


class Step(enum.Enum):
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

TRANSITIONS: Mapping[State, Mapping[Step, State]] = {
    FREE: {Step.POST_AND_WAIT: WAITED, Step.POST: POSTED, Step.LEASE: LEASED},
    WAITED: {Step.CANCEL: CANCELLED, Step.CLOSE: ABANDONED, Step.COMPLETE: DONE},
    CANCELLED: {Step.CLOSE: ABANDONED, Step.COMPLETE: DONE},
    POSTED: {Step.CLOSE: ABANDONED, Step.COMPLETE: DONE},
    ABANDONED: {Step.CLOSE: ABANDONED, Step.COMPLETE: DONE},
    DONE: {Step.TAKE: FREE, Step.CLOSE: DONE, Step.LEASE: LEASED},
    LEASED: {Step.TAKE: FREE, Step.POST_AND_WAIT: WAITED, Step.POST: POSTED},
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
CONTEXT_MASK = (1 << 63) - 1

# A longer send fills the socket, and its rest has to wait; and the copy keeps other threads waiting. So no send that is
# tried at once is longer. Where a part is enough, that much of it is tried.
SEND_NOW_BYTES_MAX = 262144


def raise_aborted() -> NoReturn:
    """Raise the OSError of a request that was aborted, but not by Trio: by the kernel, or another process."""
    raise error_from_status(Status.OPERATION_ABORTED)


class Owner(Protocol):
    """The channel that a request was posted on, as far as the request and its completion need to know it."""

    request_queue: RequestQueue
    reader: Request | None  # the receive that a task waits for
    sends: set[Request]

    def forget(self, request: Request) -> None:
        """A request has completed, and is not its owner's any more."""

    def keep(self, request: Request) -> None:
        """A request that no task waits for has completed."""

    def end_if_sent(self) -> None:
        """A request that nobody wants has completed: end what only waited for that."""


class Request(RequestFields):
    """One receive or send between its post and the moment its result is taken. Pooled; never freed.

    Holds the lease on its slice for good, so that pooled requests are pooled memory. A request without a slice is for
    sends from a caller's own memory. Works as the outcome that wakes its task (:meth:`unwrap`), so that a completion
    allocates nothing.
    """

    __slots__ = ()
    pool: RequestPool
    context: int  # slot and generation; the generation changes with every use
    home: list[Request]  # where in the pool it goes back to
    slice: Slice | None
    state: State
    is_receive: bool
    channel: Owner | None  # while it is in use
    task: Any
    registered: RegisteredBuffer | None  # memory that is no slice, registered for this request
    memory: bytes | None  # that memory, if it is for a receive to fill and to become its result
    length: int
    status: int
    count: int
    raise_cancel: Callable[[], NoReturn]
    message: Any  # what the waiting task yields to Trio

    def __init__(self, pool: RequestPool, context: int, home: list[Request], slice_: Slice | None) -> None:
        self.pool, self.context, self.home = pool, context, home
        if slice_ is None:
            self._set_slice(None, 0, 0, 0, None)
        else:
            self._set_slice(slice_, slice_.buffer_id, slice_.offset, slice_.address_offset, slice_.view)
        self.state = FREE
        self.is_receive = True
        self.channel = self.task = self.registered = self.memory = None
        self.length = self.status = self.count = 0
        self.raise_cancel = raise_aborted
        self.message = WaitTaskRescheduled(self.abort)

    @property
    def view(self) -> memoryview:
        """The memory; what a receive brought is at its beginning."""
        return self.slice.view if self.slice is not None else memoryview(self.memory or b"")

    def transition(self, step: Step) -> None:
        """Go to the next state, or raise :class:`RioInternalError` and stay."""
        next_state = TRANSITIONS[self.state].get(step)
        if next_state is None:
            raise RioInternalError(f"a request that is {self.state.name} cannot {step.value}")
        self.state = next_state

    def abort(self, raise_cancel: Callable[[], NoReturn]) -> Abort:
        """The task is cancelled: ask that the request end. What it ends with decides what the task sees."""
        channel = self.channel
        if channel is None:
            raise RioInternalError("a request that is not posted was cancelled")
        self.transition(Step.CANCEL)
        self.raise_cancel = raise_cancel
        self.pool.cancel(channel.request_queue, self.context)
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
        """The result is taken: give everything back to the pool."""
        if self.channel is None:
            raise RioInternalError("a request was finished twice")
        self.pool.finish(self)


@attrs.define(eq=False)
class RequestPool:
    """All requests of a run. Free ones are kept apart: with a small slice, a large or bulk one, or none."""

    provider: Provider
    arena: Arena
    cancel: Callable[[RequestQueue, int], None]  # ask that a posted request end early, by its context
    requests: list[Request] = attrs.field(factory=list)  # by slot
    small: list[Request] = attrs.field(factory=list)
    large: list[Request] = attrs.field(factory=list)
    bulk: list[Request] = attrs.field(factory=list)
    bare: list[Request] = attrs.field(factory=list)
    turn: Any = None  # the engine in C, if it serves the run
    bytes_being_filled: int = 0  # requests with new bytes of the bulk size
    woken: int = 0  # tasks that the last batch of results woke

    def free(self) -> list[Request]:
        """All that are free."""
        return [*self.small, *self.large, *self.bulk, *self.bare]

    def has_requests_in_use(self) -> bool:
        """Whether a request is not free, so that there may be results to look for."""
        return len(self.requests) > len(self.small) + len(self.large) + len(self.bulk) + len(self.bare)

    def slices_kept(self) -> int:
        """How many free requests have a slice."""
        return len(self.small) + len(self.large) + len(self.bulk)

    def take(self, *, large: bool, least_bytes: int = 0) -> Request | None:
        """A free request with a slice: of the size asked for, else of the other; ``None`` when memory is used up.

        A slice of less than ``least_bytes`` is as good as none.
        """
        arena = self.arena
        for is_large in (large, not large):
            if (arena.large_size_bytes if is_large else arena.small_size_bytes) < least_bytes:
                continue
            home = self.large if is_large else self.small
            if home:
                return home.pop()
            slice_ = arena.lease(large=is_large)
            if slice_ is not None:
                return self._make(home, slice_)
        return None

    def take_bulk(self) -> Request | None:
        """A free request with a slice of the bulk size; ``None`` when all that there may be are in use."""
        if self.bulk:
            return self.bulk.pop()
        slice_ = self.arena.lease_bulk()
        return None if slice_ is None else self._make(self.bulk, slice_)

    def take_to_fill_bytes(self) -> Request | None:
        """A free request with new bytes of the bulk size for a receive to fill; ``None``: slices are to be used.

        There may be as many as slices of that size, which the run then does without.
        """
        arena = self.arena
        size = arena.bulk_size_bytes
        if size <= arena.large_size_bytes or (self.bytes_being_filled + 1) * size > arena.bytes_max // 4:
            return None
        made = unless_without_memory(self.provider.register_new_bytes, size)
        if made is None:
            return None
        request = self.take_bare()
        request.registered, request.memory = made
        self.bytes_being_filled += 1
        return request

    def take_to_send_from(self, data: memoryview) -> Request | None:
        """A free request with a caller's own memory for a send; ``None``: that is not to be had, or not cheap."""
        if not self.provider.registers_cheaply:
            return None
        registered = unless_without_memory(self.provider.register_for_sending, data)
        if registered is None:
            return None
        request = self.take_bare()
        request.registered = registered
        return request

    def take_bare(self) -> Request:
        """A free request without a slice."""
        return self.bare.pop() if self.bare else self._make(self.bare, None)

    def _make(self, home: list[Request], slice_: Slice | None) -> Request:
        request = Request(self, GENERATION | len(self.requests), home, slice_)
        self.requests.append(request)
        return request

    def fill_by_kernel(self, request: Request, data: bytes | bytearray | memoryview) -> None:
        """Copy what may not be touched into a request's memory. If that fails, the request is free again."""
        try:
            copy(request.view[: len(data)], data)
        except BaseException:
            self.finish(request)
            raise

    def finish(self, request: Request) -> None:
        """A result was taken, or a post refused: memory and request are free again, under a new generation."""
        if request.registered is not None:
            self.provider.deregister_buffer(request.registered)
            request.registered = None
            if request.memory is not None:
                request.memory = None
                self.bytes_being_filled -= 1
        request.state = FREE
        request.raise_cancel = raise_aborted
        request.context = (request.context + GENERATION) & CONTEXT_MASK
        request.channel = request.task = None
        request.home.append(request)


def closed_error() -> outcome.Error:
    """What a task gets whose socket is closed while it waits."""
    return outcome.Error(trio.ClosedResourceError("another task closed this socket"))


def raise_refused(provider: Provider, code: int) -> NoReturn:
    """A post was refused. What Winsock has a code for is an OSError, as from the socket; the rest is ours."""
    if code in Status.__members__.values():
        raise error_from_status(code)
    provider.raise_for("post", code)

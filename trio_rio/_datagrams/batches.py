"""The sends of one datagram socket: batches that were posted together, and the tasks that wait for them.

Facts. Where the system copies a datagram at once, a send is done when its post returns, unless there is no room for it.
Then the sends behind it wait too, since they go in order. On Windows a send completes later, and cannot be taken back.

Decision. A batch is copied into one slice: addresses, then data. Where one send can be cancelled, the task waits for
its batch; if it is cancelled, it aborts the rest, and waits for that. Else it waits for room *before* it posts, as in
``_engine/send_window.py``; the error of such a send reaches the next one."""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import trio
from trio.lowlevel import Abort

from .._engine.arena import NO_MEMORY, unless_without_memory
from .._errors import RioCallError
from .._trio import GLOBAL_RUN_CONTEXT
from ..rio import RegisteredBuffer, RequestQueue, SendRow, Status

if TYPE_CHECKING:
    from .._engine.arena import Slice
    from .._engine.completions import Drain
    from .._engine.engine import Engine

# Sends of one socket that may be posted at a time: a batch as large as one call hands to the kernel, twice.
SENDS_MAX = 128


@attrs.define(eq=False)
class Batch:
    """Sends that were posted together."""

    first: int  # request context of the first send; the others follow it
    count: int
    left: int  # not completed
    size_bytes: int
    slice: Slice | None
    registered: RegisteredBuffer | None = None
    task: Any = None  # the one that waits for all of them
    is_left_alone: bool = False  # no task will wait
    raise_cancel: Any = None
    failures: list[tuple[int, int]] = attrs.field(factory=list)  # place in the batch, status

    def was_cancelled(self) -> bool:
        """Whether some were aborted because their task was cancelled."""
        return self.raise_cancel is not None and any(status == Status.OPERATION_ABORTED for _, status in self.failures)


@attrs.define(eq=False)
class SendBatches:
    """See the module's docstring. ``drain`` takes from a completion queue that has these sends alone."""

    engine: Engine
    requests: RequestQueue
    drain: Drain
    waits_for_sends: bool = attrs.field(init=False)
    in_flight: int = 0
    bytes_in_flight: int = 0
    next_context: int = 0
    batches: deque[Batch] = attrs.field(factory=deque)
    waiters: deque[Any] = attrs.field(factory=deque)  # tasks that wait for room
    error_status: int = 0  # of a send that nobody waited for

    def __attrs_post_init__(self) -> None:
        self.waits_for_sends = not self.engine.send_window_bytes

    def tasks_waiting(self) -> list[Any]:
        """Tasks that wait for a batch, or for room."""
        return [*self.waiters, *(batch.task for batch in self.batches if batch.task is not None)]

    def stop_waiting(self) -> list[Any]:
        """Forget the tasks that wait, and return them, since the channel is being closed."""
        tasks = self.tasks_waiting()
        self.waiters.clear()
        for batch in self.batches:
            batch.task = None
        return tasks

    def room(self) -> int:
        """How many datagrams may be posted now."""
        window = self.engine.send_window_bytes
        if window and self.bytes_in_flight >= window:
            return 0
        return SENDS_MAX - self.in_flight

    def post(self, data: bytes, lengths: array[int], addresses: bytes) -> Batch | None:
        """Post a batch, and collect the sends that are done at once; ``None`` if there is no memory.

        The batch has the first datagrams, at least one, and fewer than were given where memory does not suffice.

        Args:
          data: of all datagrams, one behind the other; copied.
          lengths: of each; there is :meth:`room` for so many.
          addresses: a SOCKADDR_INET for each, or empty: to where the socket is connected.
        """
        engine, count = self.engine, len(lengths)
        gap = len(addresses) if count > 1 else 0  # a single address goes to the end of the slice
        need = gap + len(data)
        registered = None
        slice_ = engine.arena.lease(large=need > engine.arena.small_size_bytes)
        if slice_ is not None and need <= slice_.size_bytes:
            view = slice_.view
            view[gap:need] = data
            address_offset = slice_.offset
            if gap:
                view[:gap] = addresses
            elif addresses:
                slice_.address[:] = addresses
                address_offset = slice_.address_offset
            row = SendRow(slice_.buffer_id, slice_.offset + gap, bool(addresses), address_offset)
        else:
            if slice_ is None:
                return None
            engine.arena.give_back(slice_)
            slice_ = None  # longer than a slice is
            memory = unless_without_memory(bytearray, addresses + data)
            registered = None if memory is None else engine.arena.register(memory)
            if registered is None:
                return None
            row = SendRow(registered.buffer_id, len(addresses), bool(addresses), 0)
        batch = Batch(self.next_context, count, count, len(data), slice_, registered)
        try:
            posted = engine.provider.post_sends(self.requests, row, lengths, self.next_context, 0)
        except BaseException as error:
            self._give_back(batch)
            if isinstance(error, MemoryError) or (isinstance(error, RioCallError) and error.code in NO_MEMORY):
                return None
            raise
        if posted < count:
            batch.count = batch.left = posted
            batch.size_bytes = sum(lengths[:posted])
        self.next_context += posted
        self.in_flight += posted
        self.bytes_in_flight += batch.size_bytes
        self.batches.append(batch)
        self.collect()
        return batch

    def _give_back(self, batch: Batch) -> None:
        if batch.slice is not None:
            self.engine.arena.give_back(batch.slice)
        if batch.registered is not None:
            self.engine.provider.deregister_buffer(batch.registered)

    def collect(self) -> None:
        """Take the results of sends; wake the tasks whose batch is done, and those that wait for room."""
        results = self.drain.dequeue(SENDS_MAX)
        if not results:
            return
        self.in_flight -= len(results)
        batches = self.batches
        for status, _, _, context in results:
            batch = batches[0]
            if not 0 <= context - batch.first < batch.count:
                batch = next(other for other in batches if 0 <= context - other.first < other.count)
            if status:
                batch.failures.append((context - batch.first, status))
            batch.left -= 1
            if not batch.left:
                batches.remove(batch)
                self._finish(batch)
        while self.waiters:
            trio.lowlevel.reschedule(self.waiters.popleft())

    def _finish(self, batch: Batch) -> None:
        self.bytes_in_flight -= batch.size_bytes
        self._give_back(batch)
        if batch.task is not None:
            task, batch.task = batch.task, None
            trio.lowlevel.reschedule(task)
        elif batch.failures and batch.is_left_alone:
            self.error_status = batch.failures[0][1]

    async def wait_until_sent(self, batch: Batch) -> None:
        """Wait for a batch that is not done. Cancelling aborts what is left of it, and waits for that.

        Raises:
          ClosedResourceError: the channel was closed meanwhile.
        """
        batch.task = GLOBAL_RUN_CONTEXT.task
        self.drain.arm()

        def abort(raise_cancel: Any) -> Abort:
            batch.raise_cancel = raise_cancel
            for context in range(batch.first, batch.first + batch.count):
                self.engine.provider.cancel(self.requests, context)
            self.engine.manager.commit_from_outside()
            return Abort.FAILED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_for_room(self) -> None:
        """Wait until something that is in flight is sent. Cancelling it changes nothing.

        Raises:
          ClosedResourceError: the channel was closed meanwhile.
        """
        task = GLOBAL_RUN_CONTEXT.task
        self.waiters.append(task)
        self.drain.arm()

        def abort(_: object) -> Abort:
            self.waiters.remove(task)
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def take_error(self) -> int:
        """The status of a send that nobody waited for, as far as it is known; once."""
        if self.in_flight:
            self.collect()
        status, self.error_status = self.error_status, 0
        return status

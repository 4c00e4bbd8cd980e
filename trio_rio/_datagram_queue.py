"""One datagram socket's requests, on completion queues of their own.

Facts. A datagram that finds no posted receive is lost on Windows; elsewhere the kernel keeps some. Datagrams come and
go in bunches. Receives fill in the order of posting. A receive is for whoever reads the socket next, not for a task.

Consequence. Many receives stay posted, and a cancelled task leaves them alone. Results that nobody has asked for can
stay in the completion queue: it has room for all of them. So one dequeue brings a bunch, no result needs a look-up,
and what is not dequeued is not lost.

Decision. A *slot* is memory for one datagram and one address; its number is the context of its receive. :meth:`fetch`
dequeues, copies what came, and posts the slots again. Sends go in *batches*: data and addresses copied into one slice,
one call, contexts that count on. Where one send can be cancelled a task waits for its batch, which is nearly always
done within the call; else it waits for room before it posts, as in ``_window.py``."""

from __future__ import annotations

import mmap
import socket
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import trio
from trio.lowlevel import Abort

from ._channel import closed_error
from ._errors import RioCallError, TruncatedDatagramError, error_from_status
from ._others import Account
from ._trio import GLOBAL_RUN_CONTEXT
from .rio import (
    RIO_MSG_DEFER,
    SOCKADDR_INET_SIZE_BYTES,
    CompletionQueue,
    PortNotification,
    RawResult,
    RegisteredBuffer,
    RequestQueue,
    SendRow,
    SlotRow,
    Status,
)

if TYPE_CHECKING:
    from ._buffers import Slice
    from ._datagram_addresses import AddressBook
    from ._engine import Engine
    from .rio import Address

#: What a channel receives: a datagram and its sender, or the error that came in its place.
Arrival = tuple[bytes, "Address"] | OSError

# Sends of one socket that may be posted at a time: a bunch as large as one call hands to the kernel, twice.
SENDS_MAX = 128
# Slots and addresses begin at multiples of this: the size of half a cache line, and enough for a SOCKADDR_INET.
_ALIGNMENT = 32


@attrs.define(eq=False)
class Batch:
    """Sends that were posted together."""

    first: int  # request context of the first; the others count on
    count: int
    left: int  # not completed
    size_bytes: int
    slice: Slice | None
    registered: RegisteredBuffer | None = None
    task: Any = None  # waits for the last of them
    is_left_alone: bool = False  # no task will wait
    raise_cancel: Any = None
    failures: list[tuple[int, int]] = attrs.field(factory=list)  # place in the batch, status

    def was_cancelled(self) -> bool:
        """Whether some were aborted because their task was cancelled."""
        return self.raise_cancel is not None and any(status == Status.OPERATION_ABORTED for _, status in self.failures)


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@attrs.define(eq=False)
class DatagramQueue:
    """See the module's docstring. Made by :func:`open_queue`; belongs to that engine's run."""

    engine: Engine
    runner: object
    sock: socket.socket
    book: AddressBook
    receives: int
    size_bytes: int
    key: int = 0
    fd: int = attrs.field(init=False)  # of the socket, as it was
    memory: mmap.mmap = attrs.field(init=False, repr=False)
    registered: RegisteredBuffer = attrs.field(init=False)
    row: SlotRow = attrs.field(init=False)
    receive_queue: CompletionQueue = attrs.field(init=False)
    send_queue: CompletionQueue = attrs.field(init=False)
    requests: RequestQueue = attrs.field(init=False)
    receives_in_flight: int = 0
    sends_in_flight: int = 0
    send_bytes_in_flight: int = 0
    next_send: int = 0
    batches: deque[Batch] = attrs.field(factory=deque)
    reader: Any = None  # the task that waits for datagrams
    is_called: bool = False  # a packet came while no task waited
    senders: deque[Any] = attrs.field(factory=deque)  # tasks that wait for room
    send_status: int = 0  # of a send that nobody waited for
    left_over: deque[Arrival] = attrs.field(factory=deque)  # came, and was not fetched before the end
    is_ended: bool = True  # until it has begun
    is_gone: bool = True  # ended, and everything is given back
    waits_for_sends: bool = attrs.field(init=False)

    # -- beginning ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the queues and post every slot.

        Raises:
          RioCallError: RIO cannot serve the socket.
        """
        engine, provider = self.engine, self.engine.provider
        self.waits_for_sends = not engine.send_window_bytes
        stride = _rounded(self.size_bytes)
        size = self.receives * (stride + _ALIGNMENT)
        self.key = engine.others.enter(self)
        queues = []
        try:
            for place, room in enumerate((self.receives, SENDS_MAX)):
                queues.append(provider.create_completion_queue(room, PortNotification(engine.port, self.key + place)))
            self.receive_queue, self.send_queue = queues
            self.requests = provider.create_request_queue(
                self.sock, self.receives, 1, SENDS_MAX, 1, self.receive_queue, self.send_queue, 0
            )
            self.memory = mmap.mmap(-1, size)
            self.registered = provider.register_buffer(memoryview(self.memory))
        except BaseException:
            engine.others.leave(self, self.key)
            for queue in queues:
                provider.close_completion_queue(queue)
            raise
        self.is_ended = self.is_gone = False
        engine.arena.bytes_max -= size
        addresses = self.receives * stride
        self.row = SlotRow(self.registered.buffer_id, 0, stride, self.size_bytes, addresses, _ALIGNMENT)
        self._post_row(0, self.receives)

    def is_usable(self) -> bool:
        """Whether requests may be posted: the socket is the one it was, and this is the run."""
        return not self.is_ended and GLOBAL_RUN_CONTEXT.runner is self.runner and self.sock.fileno() == self.fd

    # -- receiving ---------------------------------------------------------------------------------------

    def _post_row(self, first: int, count: int) -> None:
        row = self.row
        if first:
            row = row._replace(
                offset=first * row.stride, address_offset=row.address_offset + first * row.address_stride
            )
        posted = self.engine.provider.post_receives(self.requests, row, first, count, RIO_MSG_DEFER)
        assert posted == count, "the request queue has room for every slot"
        self.receives_in_flight += count

    def post_slots(self, slots: list[int]) -> None:
        """Post slots again, neighbours in one call."""
        start = 0
        for place in range(1, len(slots) + 1):
            if place == len(slots) or slots[place] != slots[place - 1] + 1:
                self._post_row(slots[start], place - start)
                start = place

    def fetch(self) -> list[Arrival]:
        """Everything that has come, in order; its slots are posted again. Never waits."""
        results = self.receive_queue.dequeue(self.receives)
        if not results:
            return []
        arrivals = self._take(results)
        first, last = results[0][3], results[-1][3]
        if last - first == len(results) - 1:
            self._post_row(first, len(results))
        else:
            self.post_slots([result[3] for result in results])
        return arrivals

    def _take(self, results: list[RawResult]) -> list[Arrival]:
        """What these receives brought, copied."""
        self.receives_in_flight -= len(results)
        memory, text_of, stride = self.memory, self.book.text_of, self.row.stride
        address_at, size = self.row.address_offset, SOCKADDR_INET_SIZE_BYTES
        arrivals: list[Arrival] = []
        for status, count, _, slot in results:
            if status and status != Status.EMSGSIZE:
                arrivals.append(error_from_status(status))
                continue
            offset, address_offset = slot * stride, address_at + slot * _ALIGNMENT
            data = memory[offset : offset + count]
            address = text_of[memory[address_offset : address_offset + size]]
            arrivals.append(TruncatedDatagramError(data, address) if status else (data, address))
        return arrivals

    async def wait(self) -> None:
        """Wait until there may be something to fetch. Cancelling it changes nothing.

        Raises:
          ClosedResourceError: the channel was closed meanwhile.
        """
        self.is_called = False
        self._arm(self.receive_queue)
        if self.is_called:
            await trio.lowlevel.checkpoint()
            return
        self.reader = GLOBAL_RUN_CONTEXT.task
        await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _: object) -> Abort:
        self.reader = None
        self.engine.others.look()
        return Abort.SUCCEEDED

    def wake_reader(self) -> None:
        """Let the task that waits look for itself."""
        if self.reader is None:
            self.is_called = True
        else:
            task, self.reader = self.reader, None
            trio.lowlevel.reschedule(task)

    def _arm(self, queue: CompletionQueue) -> None:
        code = queue.arm()
        if code and code != Status.EALREADY:
            self.engine.provider.raise_for("RIONotify", code)

    def on_packet(self, key: int) -> None:
        """See :meth:`QueueOwner.on_packet`."""
        if self.is_ended:
            self.drain()
        elif key == self.key:
            self.wake_reader()
        else:
            self.collect()
            if self.sends_in_flight and (self.senders or any(batch.task is not None for batch in self.batches)):
                self._arm(self.send_queue)

    # -- sending -----------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many datagrams may be posted now."""
        window = self.engine.send_window_bytes
        if window and self.send_bytes_in_flight >= window:
            return 0
        return SENDS_MAX - self.sends_in_flight

    def post(self, data: bytes, lengths: array[int], addresses: bytes) -> Batch | None:
        """Post sends of data that follow upon each other, and see which are done. ``None``: there is no memory.

        Args:
          data: of all datagrams; copied.
          lengths: of each; there is :meth:`room` for so many.
          addresses: a SOCKADDR_INET for each, or nothing: to where the socket is connected.
        """
        engine, count = self.engine, len(lengths)
        gap = len(addresses) if count > 1 else 0  # a single address goes behind the slice
        need = gap + len(data)
        registered = None
        slice_ = engine.arena.lease(large=need > engine.small_size_bytes)
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
            registered = engine.provider.register_buffer(bytearray(addresses + data))
            row = SendRow(registered.buffer_id, len(addresses), bool(addresses), 0)
        batch = Batch(self.next_send, count, count, len(data), slice_, registered)
        try:
            posted = engine.provider.post_sends(self.requests, row, lengths, self.next_send, 0)
        except BaseException:
            self._give_back(batch)
            raise
        assert posted == count, "there is room for all of the batch"
        self.next_send += count
        self.sends_in_flight += count
        self.send_bytes_in_flight += len(data)
        self.batches.append(batch)
        self.collect()
        return batch

    def _give_back(self, batch: Batch) -> None:
        if batch.slice is not None:
            self.engine.arena.give_back(batch.slice)
        if batch.registered is not None:
            self.engine.provider.deregister_buffer(batch.registered)

    def collect(self) -> None:
        """Take the results of sends; wake whose batch is done, and who waits for room."""
        results = self.send_queue.dequeue(SENDS_MAX)
        if not results:
            return
        self.sends_in_flight -= len(results)
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
        if self.senders:
            for task in self._take_senders():
                trio.lowlevel.reschedule(task)

    def _finish(self, batch: Batch) -> None:
        self.send_bytes_in_flight -= batch.size_bytes
        self._give_back(batch)
        if batch.task is not None:
            task, batch.task = batch.task, None
            trio.lowlevel.reschedule(task)
        elif batch.failures and batch.is_left_alone:
            self.send_status = batch.failures[0][1]

    def _take_senders(self) -> list[Any]:
        tasks = list(self.senders)
        self.senders.clear()
        return tasks

    async def wait_until_sent(self, batch: Batch) -> None:
        """Wait for a batch that is not done. Cancelling aborts what is left of it, and waits for that.

        Raises:
          ClosedResourceError: the channel was closed meanwhile.
        """
        batch.task = GLOBAL_RUN_CONTEXT.task
        self._arm(self.send_queue)

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
        self.senders.append(task)
        self._arm(self.send_queue)

        def abort(_: object) -> Abort:
            self.senders.remove(task)
            self.engine.others.look()
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def take_send_error(self) -> int:
        """The status of a send that nobody waited for; once."""
        status, self.send_status = self.send_status, 0
        return status

    # -- the end -----------------------------------------------------------------------------------------

    def wake_all(self) -> None:
        """Tell every task that waits that the channel is closed."""
        tasks = self._take_senders()
        if self.reader is not None:
            tasks.append(self.reader)
            self.reader = None
        for batch in self.batches:
            if batch.task is not None:
                tasks.append(batch.task)
                batch.task = None
        for task in tasks:
            trio.lowlevel.reschedule(task, closed_error())

    def end(self) -> None:
        """End every request; memory and queues are given back when all of them have completed. Twice is allowed."""
        if self.is_ended:
            return
        self.is_ended = True
        if self.engine.is_foreign:
            return
        self.engine.others.ending.add(self)
        self.requests.provider.release_socket(self.requests)
        self.engine.manager.commit_from_outside()
        self.drain()

    def drain(self) -> None:
        """Take what is there; arm for the rest of what is in flight."""
        if self.is_gone:
            return
        self.collect()
        if self.is_ended:
            while results := self.receive_queue.dequeue(self.receives):
                whole = [result for result in results if result[0] in (0, Status.EMSGSIZE)]
                self.left_over.extend(self._take(whole))
                self.receives_in_flight -= len(results) - len(whole)
            if not (self.receives_in_flight or self.sends_in_flight):
                self._leave()
                return
            self._arm(self.receive_queue)
        if self.sends_in_flight:
            self._arm(self.send_queue)

    def _leave(self) -> None:
        self.is_gone = True
        provider = self.engine.provider
        provider.close_completion_queue(self.receive_queue)
        provider.close_completion_queue(self.send_queue)
        provider.deregister_buffer(self.registered)
        self.engine.arena.bytes_max += self.registered.length
        self.engine.others.leave(self, self.key)

    def is_lingering(self) -> bool:
        """See :meth:`QueueOwner.is_lingering`."""
        return not self.is_ended and not self.waits_for_sends and bool(self.sends_in_flight)

    def account(self) -> Account:
        """See :meth:`QueueOwner.account`."""
        if self.is_gone:
            return Account()
        return Account(
            receives_in_flight=self.receives_in_flight,
            sends_in_flight=self.sends_in_flight,
            slices_held=sum(batch.slice is not None for batch in self.batches),
            credits_charged=self.receives + SENDS_MAX,
            registered_bytes=self.registered.length,
            sockets_open=int(not self.is_ended),
            tasks_receiving=int(self.reader is not None),
            tasks_sending=len(self.senders) + sum(batch.task is not None for batch in self.batches),
        )

    def __attrs_post_init__(self) -> None:
        self.fd = self.sock.fileno()

    def __del__(self) -> None:
        # The channel was dropped without being closed.
        if not self.is_ended and not self.engine.is_closed:
            self.end()


def open_queue(
    engine: Engine, sock: socket.socket, book: AddressBook, receives: int, size_bytes: int
) -> DatagramQueue | None:
    """A queue with ``receives`` slots, or as many as there is memory for; ``None`` when RIO cannot serve."""
    left = engine.arena.bytes_max - engine.arena.registered_bytes
    receives = min(receives, left // (_rounded(size_bytes) + _ALIGNMENT))
    if receives < 1:
        return None
    queue = DatagramQueue(engine, GLOBAL_RUN_CONTEXT.runner, sock, book, receives, size_bytes)
    try:
        queue.begin()
    except RioCallError as error:
        if error.code in (Status.EOPNOTSUPP, Status.ENOTSOCK, Status.EINVAL, Status.ENOBUFS):
            return None
        raise
    return queue

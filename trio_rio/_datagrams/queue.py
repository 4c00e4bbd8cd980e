"""One datagram socket's requests, on completion queues of their own.

Facts. A datagram that finds no posted receive is lost on Windows; elsewhere the kernel keeps some. Datagrams come and
go in batches. Receives fill in the order of posting. A receive is for the next reader of the socket, not for a task.

Consequence. Many receives stay posted, and a cancelled task leaves them alone. Results that nobody has asked for can
stay in the completion queue, which has room for all of them. So one dequeue brings a batch, no result needs a look-up,
and what is not dequeued is not lost.

Decision. A *slot* is memory for one datagram and one address; its number is the context of its receive. :meth:`fetch`
dequeues, copies what came, and posts the slots again. ``_datagrams/batches.py`` has the sends."""

from __future__ import annotations

import contextlib
import errno
import mmap
import socket
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio
from trio.lowlevel import Abort

from .._engine.arena import NO_MEMORY
from .._engine.completions import Drain
from .._engine.packet_handlers import Account
from .._engine.requests import closed_error
from .._errors import RioCallError, TruncatedDatagramError, error_from_status
from .._trio import GLOBAL_RUN_CONTEXT, current_runner
from ..rio import (
    RIO_MSG_DEFER,
    SOCKADDR_INET_SIZE_BYTES,
    PortNotification,
    RawResult,
    RegisteredBuffer,
    RequestQueue,
    SlotRow,
    Status,
)
from .addresses import NO_FAMILY
from .batches import SENDS_MAX, SendBatches

if TYPE_CHECKING:
    from .._engine.engine import Engine
    from ..rio import Address
    from .addresses import Peers

#: What a channel receives: a datagram and its sender, or the error that came in its place.
Arrival: TypeAlias = "tuple[bytes, Address] | OSError"
#: A slot that is lent: its number, the size of the datagram in bytes, the sender.
LentSlot: TypeAlias = "tuple[int, int, Address]"

# Slots and addresses begin at multiples of this: the size of half a cache line, and enough for a SOCKADDR_INET.
_ALIGNMENT = 32

# Two completion queues, of receives and of sends.
_KEYS = 2


def take_first(arrived: deque[Arrival], datagrams_max: int | None) -> list[Arrival]:
    """Take datagrams from the front of what has arrived, or one error by itself."""
    taken = [arrived.popleft()]
    limit = len(arrived) + 1 if datagrams_max is None else datagrams_max
    while arrived and len(taken) < limit and type(taken[0]) is tuple and type(arrived[0]) is tuple:
        taken.append(arrived.popleft())
    return taken


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@attrs.define(eq=False)
class DatagramQueue:
    """See the module's docstring. Made by :func:`open_queue`; belongs to that engine's run."""

    engine: Engine
    runner: Any
    sock: socket.socket
    peers: Peers
    receives: int
    size_bytes: int
    key: int = 0
    fd: int = attrs.field(init=False, default=attrs.Factory(lambda self: self.sock.fileno(), takes_self=True))
    memory: mmap.mmap = attrs.field(init=False, repr=False)
    registered: RegisteredBuffer = attrs.field(init=False)
    row: SlotRow = attrs.field(init=False)
    arrivals: Drain = attrs.field(init=False)
    sends: SendBatches = attrs.field(init=False)
    requests: RequestQueue = attrs.field(init=False)
    receives_in_flight: int = 0
    reader: Any = None  # the task that waits for datagrams
    is_called: bool = False  # a packet came while no task was waiting
    may_be_alone: bool = False  # its reader: the last batch was one datagram, and all of it was taken
    is_shuffled: bool = False  # receives are not posted in the order of the slots any more
    unposted: list[int] = attrs.field(factory=list)  # slots that have no receive yet: lent before, or refused
    refusal: int = 0  # the status with which a receive was refused last
    untaken: list[RawResult] = attrs.field(factory=list)  # there was no memory for what these brought
    left_over: deque[Arrival] = attrs.field(factory=deque)  # came, but was not fetched before the end
    is_ended: bool = True  # until it has begun
    is_gone: bool = True  # ended, and everything is given back
    forgets_senders: bool = attrs.field(init=False)

    # -- beginning ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the queues and post every slot.

        Raises:
          RioCallError: RIO cannot serve the socket.
        """
        engine, provider = self.engine, self.engine.provider
        # Windows may not tell the sender of a truncated datagram; the slot must not have that of an earlier one.
        self.forgets_senders = not provider.truncates_silently
        stride = _rounded(self.size_bytes)
        size = self.receives * (stride + _ALIGNMENT)
        self.key = engine.packet_handlers.enter(self, _KEYS)
        with contextlib.ExitStack() as undo:
            undo.callback(engine.packet_handlers.leave, self, self.key, _KEYS)
            queues = []
            for place, room in enumerate((self.receives, SENDS_MAX)):
                queue = provider.create_completion_queue(room, PortNotification(engine.port, self.key + place))
                queues.append(queue)
                undo.callback(provider.close_completion_queue, queue)
            receive_queue, send_queue = queues
            self.requests = provider.create_request_queue(
                self.sock, self.receives, 1, SENDS_MAX, 1, receive_queue, send_queue, 0
            )
            undo.callback(provider.release_socket, self.requests)
            self.memory = mmap.mmap(-1, size)
            self.registered = provider.register_buffer(memoryview(self.memory))
            undo.pop_all()
        self.arrivals = Drain(provider, receive_queue, engine.counters)
        self.sends = SendBatches(engine, self.requests, Drain(provider, send_queue, engine.counters))
        self.is_ended = self.is_gone = False
        engine.counters.sockets += 1
        engine.arena.bytes_max -= size
        addresses = self.receives * stride
        self.row = SlotRow(self.registered.buffer_id, 0, stride, self.size_bytes, addresses, _ALIGNMENT)
        self._post_row(0, self.receives)

    def is_usable(self) -> bool:
        """Whether requests may be posted: the socket is the one it was, and this is its run."""
        return not self.is_ended and current_runner() is self.runner and self.sock.fileno() == self.fd

    def is_of_another_run(self) -> bool:
        """Whether a run other than this one uses it."""
        return not (self.is_ended or self.engine.is_closed) and current_runner() is not self.runner

    # -- receiving ---------------------------------------------------------------------------------------

    def _post_row(self, first: int, count: int) -> None:
        """Post ``count`` neighbours. Slots that are refused are tried again before the next wait, without an error."""
        row = self.row
        if first:
            row = row._replace(
                offset=first * row.stride, address_offset=row.address_offset + first * row.address_stride
            )
        try:
            posted = self.engine.provider.post_receives(self.requests, row, first, count, RIO_MSG_DEFER)
        except RioCallError as error:
            posted, self.refusal = 0, error.code
        self.receives_in_flight += posted
        if posted < count:
            self.is_shuffled = True
            self.unposted += range(first + posted, first + count)

    def _post_slots(self, slots: list[int]) -> None:
        """Post slots again: those that are neighbours in one call."""
        start = 0
        for place in range(1, len(slots) + 1):
            if place == len(slots) or slots[place] != slots[place - 1] + 1:
                self._post_row(slots[start], place - start)
                start = place

    def fetch(self) -> list[Arrival]:
        """Everything that has come, in order; its slots are posted again. Never waits."""
        self.may_be_alone = False
        results = self.arrivals.dequeue(self.receives)
        if self.unposted:
            self._post_unposted()
        if self.untaken:
            results = [*self.untaken, *results]
            self.untaken = []
            self.is_shuffled = True
        return self._take_and_post(results) if results else []

    def _take_and_post(self, results: list[RawResult]) -> list[Arrival]:
        arrivals = self._take(results)
        if len(arrivals) < len(results):
            self.untaken = results[len(arrivals) :]
            results = results[: len(arrivals)]
            if not results:
                raise MemoryError
        first, last = results[0][3], results[-1][3]
        if last - first == len(results) - 1 and not self.is_shuffled:  # in the order of posting, so all in a row
            self._post_row(first, len(results))
        else:
            self._post_slots([result[3] for result in results])
        # In a guest run another thread waits, which starts nothing.
        self.may_be_alone = len(arrivals) == 1 and not self.untaken and not self.runner.is_guest
        return arrivals

    def fetch_to_lend(self, limit: int) -> tuple[list[LentSlot], list[Arrival]]:
        """At most ``limit`` datagrams that have come. Never waits.

        Returns slots that are the caller's until :meth:`take_back`, and what cannot be lent and comes behind them: from
        an error on, or if no other slot has a receive. That is copied, as by :meth:`fetch`.
        """
        self.may_be_alone = False
        if self.untaken:
            return [], self.fetch()
        results = self.arrivals.dequeue(min(limit, max(1, self.receives_in_flight - 1)))
        self.is_shuffled = True
        text_of, address_at, size = self.peers.text_of, self.row.address_offset, SOCKADDR_INET_SIZE_BYTES
        slots: list[LentSlot] = []
        for status, count, _, slot in results if self.receives_in_flight > len(results) else ():
            if status:
                break
            address_offset = address_at + slot * _ALIGNMENT
            slots.append((slot, count, text_of[self.memory[address_offset : address_offset + size]]))
        self.receives_in_flight -= len(slots)
        rest = results[len(slots) :]
        if not rest:
            return slots, []
        try:
            return slots, self._take_and_post(rest)
        except MemoryError:
            if not slots:
                raise
            return slots, []

    def take_back(self, slot: int) -> None:
        """Take back a slot that was lent; it is posted before the next wait, with others that came back."""
        self.unposted.append(slot)

    def _post_unposted(self) -> None:
        unposted, self.unposted = self.unposted, []
        self._post_slots(sorted(unposted))

    def _take(self, results: list[RawResult]) -> list[Arrival]:
        """Copy what these receives brought; only the first of them, where there is not memory for all."""
        memory, text_of, stride = self.memory, self.peers.text_of, self.row.stride
        address_at, size = self.row.address_offset, SOCKADDR_INET_SIZE_BYTES
        arrivals: list[Arrival] = []
        for status, count, _, slot in results:
            if status and status != Status.EMSGSIZE:
                arrivals.append(error_from_status(status))
                continue
            offset, address_offset = slot * stride, address_at + slot * _ALIGNMENT
            try:
                data = memory[offset : offset + count]
                address = text_of[memory[address_offset : address_offset + size]]
            except MemoryError:
                break
            if self.forgets_senders:
                memory[address_offset : address_offset + 2] = NO_FAMILY
            arrivals.append(TruncatedDatagramError(data, address) if status else (data, address))
        self.receives_in_flight -= len(arrivals)
        return arrivals

    async def wait(self) -> None:
        """Wait until there may be something to fetch. Cancelling it changes nothing.

        Raises:
          ClosedResourceError: the channel was closed meanwhile.
          OSError: no receive is posted, and none can be now.
        """
        self.is_called = False
        leases = self.engine.leases
        if leases.kept or leases.leftovers.works:
            leases.sweep()
        if self.unposted:
            self._post_unposted()
            if not self.receives_in_flight:
                await trio.lowlevel.checkpoint()
                raise error_from_status(self.refusal)
        if self.untaken:
            self.is_called = True
        else:
            self.arrivals.arm()
        if self.is_called:
            await trio.lowlevel.checkpoint()
            return
        self.reader = GLOBAL_RUN_CONTEXT.task
        await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _: object) -> Abort:
        self.reader = None
        return Abort.SUCCEEDED

    def wake_reader(self) -> None:
        """Wake the task that waits; if there is none, the next wait ends at once."""
        if self.reader is None:
            self.is_called = True
        else:
            task, self.reader = self.reader, None
            trio.lowlevel.reschedule(task)

    def on_packet(self, key: int) -> None:
        """See :meth:`PacketHandler.on_packet`."""
        (self.arrivals if key == self.key else self.sends.drain).note_packet()
        if self.is_ended:
            self.drain()
        elif key == self.key:
            self.wake_reader()
        else:
            self.sends.collect()
            if self.sends.tasks_waiting():
                self.sends.drain.arm()

    # -- the end -----------------------------------------------------------------------------------------

    def wake_all(self) -> None:
        """Tell every task that waits that the channel is closed."""
        if self.engine.is_foreign:
            return  # a forked child leaves the tasks to its parent
        tasks = self.sends.stop_waiting()
        if self.reader is not None:
            tasks.append(self.reader)
            self.reader = None
        for task in tasks:
            trio.lowlevel.reschedule(task, closed_error())

    def close(self) -> None:
        """See :meth:`QueueOwner.close`."""
        self.wake_all()
        self.end()

    def end(self, *, closes_socket: bool = False) -> None:
        """End every request; memory and queues are given back when all of them have completed. Twice is allowed.

        Args:
          closes_socket: nobody else will close the socket, and requests that cannot be cancelled end only with it.
        """
        if self.is_ended:
            return
        self.is_ended = True
        if self.engine.is_foreign:
            return
        self.engine.packet_handlers.begin_to_leave(self)
        provider = self.engine.provider
        (provider.close_socket if closes_socket and not provider.can_cancel else provider.release_socket)(self.requests)
        self.engine.manager.commit_from_outside()
        self.drain()

    def _let_go(self) -> None:
        """End a queue whose channel was dropped; warn of the socket where Python does not, because this closes it."""
        try:
            if not self.engine.provider.can_cancel and self.sock.fileno() != -1:
                warnings.warn(f"unclosed {self.sock!r}", ResourceWarning, stacklevel=2, source=self.sock)
        finally:
            self.end(closes_socket=True)

    def drain(self) -> None:
        """Take the results that are there; ask to be notified of those that are in flight."""
        if self.is_gone:
            return
        self.sends.collect()
        if self.is_ended:
            while results := self.untaken + self.arrivals.dequeue(self.receives):
                self.untaken = []
                in_flight = self.receives_in_flight - len(results)
                whole = [result for result in results if result[0] in (0, Status.EMSGSIZE)]
                self.left_over.extend(self._take(whole))
                self.receives_in_flight = in_flight
            if not (self.receives_in_flight or self.sends.in_flight):
                self._leave()
                return
            self.arrivals.arm()
        if self.sends.in_flight:
            self.sends.drain.arm()

    def _leave(self) -> None:
        self.is_gone = True
        provider = self.engine.provider
        provider.close_completion_queue(self.arrivals.queue)
        provider.close_completion_queue(self.sends.drain.queue)
        provider.deregister_buffer(self.registered)
        self.engine.arena.bytes_max += self.registered.length
        self.engine.packet_handlers.leave(self, self.key, _KEYS)

    def is_lingering(self) -> bool:
        """See :meth:`QueueOwner.is_lingering`."""
        is_promised = not self.is_ended and not self.sends.waits_for_sends and self.sends.in_flight > 0
        return is_promised and not self.engine.is_foreign

    def account(self) -> Account:
        """See :meth:`QueueOwner.account`."""
        if self.is_gone:
            return Account()
        return Account(
            receives_in_flight=self.receives_in_flight,
            sends_in_flight=self.sends.in_flight,
            slices_held=sum(batch.slice is not None for batch in self.sends.batches),
            credits_charged=self.receives + SENDS_MAX,
            registered_bytes=self.registered.length,
            sockets_open=int(not self.is_ended),
            tasks_receiving=int(self.reader is not None),
            tasks_sending=len(self.sends.tasks_waiting()),
        )

    def __del__(self) -> None:
        # The channel was dropped without being closed.
        if not self.is_ended:
            self.engine.leftovers.do_or_leave(self._let_go)


def open_queue(
    engine: Engine, sock: socket.socket, peers: Peers, receives: int, size_bytes: int
) -> DatagramQueue | None:
    """A queue with ``receives`` slots, or as many as there is memory for; ``None`` when RIO cannot serve."""
    left = engine.arena.bytes_max - engine.arena.registered_bytes
    receives = min(receives, left // (_rounded(size_bytes) + _ALIGNMENT))
    if receives < 1:
        return None
    queue = DatagramQueue(engine, GLOBAL_RUN_CONTEXT.runner, sock, peers, receives, size_bytes)
    try:
        queue.begin()
    except MemoryError:
        return None
    except OSError as error:  # of mmap
        if error.errno != errno.ENOMEM:
            raise
        return None
    except RioCallError as error:
        if error.code == Status.EOPNOTSUPP:
            engine.own_sockets.forget(sock)
        if error.code in (Status.EOPNOTSUPP, Status.ENOTSOCK, Status.EINVAL, *NO_MEMORY):
            return None
        raise
    return queue

"""Those who have completion queues of their own on the port of a run.

Facts. A completion queue has one drainer. The engine drains the one that most sockets share. A socket with many
requests of one kind is served with less work by a queue of its own, whose results need no look-up.

Decision. Whoever has such queues enters here, gets the keys for their packets, and drains them himself. The engine
passes his packets on, counts him in its books, and ends him with the run."""

from __future__ import annotations

import itertools
import socket
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import attrs
import trio

from .conflicts import is_receiving

if TYPE_CHECKING:
    from .._statistics import Ledger, RioStatistics
    from .engine import Engine

# Below are the keys of the engine's own queues. Each one who enters gets KEYS_EACH of them, in a row.
FIRST_KEY = 1 << 20
KEYS_EACH = 2


class Account(NamedTuple):
    """What one of them has now, for the engine's books."""

    receives_in_flight: int = 0
    sends_in_flight: int = 0
    slices_held: int = 0
    credits_charged: int = 0
    registered_bytes: int = 0
    tasks_receiving: int = 0
    tasks_sending: int = 0
    sockets_open: int = 0


class QueueOwner(Protocol):
    """One of them."""

    sock: socket.socket
    fd: int  # of the socket, as it was

    def on_packet(self, key: int) -> None:
        """A queue of his has results."""

    def account(self) -> Account: ...

    def is_lingering(self) -> bool:
        """Whether something that was promised to be sent is in flight."""

    def end(self, *, closes_socket: bool = False) -> None:
        """Abort what is in flight. He leaves by himself when all of it is back.

        ``closes_socket``: with the socket, where a request that is in flight can end only so.
        """

    def drain(self) -> None:
        """Dequeue what is there, and arm for the rest."""

    def close(self) -> None:
        """His socket is being closed: tell every task that waits, and end. Twice is allowed."""


@attrs.define(eq=False)
class Others:
    """See the module's docstring."""

    engine: Engine
    # By key, those on their way out: nobody else may hold them.
    _ending: dict[int, QueueOwner] = attrs.field(factory=dict)
    _by_key: weakref.WeakValueDictionary[int, QueueOwner] = attrs.field(factory=weakref.WeakValueDictionary)
    _by_fd: weakref.WeakValueDictionary[int, QueueOwner] = attrs.field(factory=weakref.WeakValueDictionary)
    _keys: Iterator[int] = attrs.field(factory=lambda: itertools.count(FIRST_KEY, KEYS_EACH))

    def may_enter(self, sock: socket.socket) -> bool:
        """Whether this socket can have queues of its own now; takes it from its channel, if it has one.

        Not while sends of the channel are in flight: a task that has sent may know nothing of them any more.

        Raises:
          BusyResourceError: a task receives on the channel, or it has received ahead.
        """
        engine = self.engine
        if not engine.is_taking() or not engine.own_sockets.can_serve(sock):
            return False
        channel = engine.channels.get(sock.fileno())
        if channel is not None:
            if channel.sock is sock:
                if is_receiving(channel) or (channel.ahead is not None and channel.ahead.is_ahead):
                    raise trio.BusyResourceError("the socket is in use: make the channel before you use its socket")
                if channel.sends:
                    return False
            channel.abandon()
        return True

    def owner_of(self, sock: socket.socket) -> QueueOwner | None:
        """Who has queues for this socket."""
        fd = sock.fileno()
        if fd == -1:  # closed already
            return next((owner for owner in self._all() if owner.sock is sock), None)
        owner = self._by_fd.get(fd)
        return owner if owner is not None and owner.sock is sock else None

    def notify_closing(self, fd: int) -> None:
        """The socket with this number is about to be closed: see :meth:`QueueOwner.close`."""
        owner = self._by_fd.get(fd)
        if owner is not None and owner.sock.fileno() == fd:
            owner.close()

    def enter(self, owner: QueueOwner) -> int:
        """The first of the keys that are his from now on."""
        first = next(self._keys)
        for key in range(first, first + KEYS_EACH):
            self._by_key[key] = owner
        self._by_fd[owner.fd] = owner
        return first

    def begin_to_leave(self, owner: QueueOwner, first: int) -> None:
        """He ends, and waits for what he has in flight: his packets are his, though nobody may know him any more."""
        for key in range(first, first + KEYS_EACH):
            self._ending[key] = owner

    def leave(self, first: int) -> None:
        """All that he had is back, whose keys begin here."""
        owner = self._by_key.get(first)
        if owner is not None and self._by_fd.get(owner.fd) is owner:
            del self._by_fd[owner.fd]
        for key in range(first, first + KEYS_EACH):
            self._by_key.pop(key, None)
            self._ending.pop(key, None)

    def serve(self, key: int) -> None:
        """The port brought his packet."""
        owner = self._by_key.get(key) or self._ending.get(key)
        if owner is not None:
            owner.on_packet(key)

    def are_any(self) -> bool:
        """Whether anybody has queues of his own now."""
        return bool(self._by_key or self._ending)

    def account(self) -> Account:
        """All of them together."""
        accounts = [owner.account() for owner in self._all()]
        return Account(*map(sum, zip(*accounts, strict=True))) if accounts else Account()

    def tasks_waiting(self, *, receive: bool) -> int:
        """Tasks that wait in one of their calls."""
        account = self.account()
        return account.tasks_receiving if receive else account.tasks_sending

    def add_to_ledger(self, ledger: Ledger) -> Ledger:
        """The engine's books, and theirs."""
        account = self.account()
        return attrs.evolve(
            ledger,
            requests_in_flight=ledger.requests_in_flight + account.receives_in_flight + account.sends_in_flight,
            slices_held=ledger.slices_held + account.slices_held,
            registered_bytes=ledger.registered_bytes + account.registered_bytes,
            credits_charged=ledger.credits_charged + account.credits_charged,
            credits_room=ledger.credits_room + account.credits_charged,
            sockets_open=ledger.sockets_open + account.sockets_open,
        )

    def add_to_statistics(self, statistics: RioStatistics) -> RioStatistics:
        """The engine's snapshot, with what is theirs."""
        account = self.account()
        return attrs.evolve(
            statistics,
            sockets_open=statistics.sockets_open + account.sockets_open,
            receives_in_flight=statistics.receives_in_flight + account.receives_in_flight,
            sends_in_flight=statistics.sends_in_flight + account.sends_in_flight,
            registered_bytes=statistics.registered_bytes + account.registered_bytes,
            completion_queue_capacity=statistics.completion_queue_capacity + account.credits_charged,
            completion_queue_used=statistics.completion_queue_used + account.credits_charged,
        )

    def are_lingering(self) -> bool:
        """Whether something that was promised to be sent is in flight."""
        return any(owner.is_lingering() for owner in self._all())

    def end(self) -> None:
        """See :meth:`QueueOwner.end`."""
        for owner in self._all():
            owner.end(closes_socket=True)
            if not self.engine.provider.can_cancel:
                owner.sock.close()  # nothing else ends what is posted

    def drain(self) -> None:
        """See :meth:`QueueOwner.drain`."""
        for owner in self._all():
            owner.drain()

    def _all(self) -> set[QueueOwner]:
        known = (reference() for reference in self._by_key.valuerefs())  # other threads may collect meanwhile
        return {owner for owner in known if owner is not None}.union(self._ending.values())

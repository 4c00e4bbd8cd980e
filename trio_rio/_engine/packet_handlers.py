"""Packet handlers: what has completion queues on the port of a run, by the keys of their packets.

Facts. A completion queue has one drainer. The engine drains those that most sockets share (:mod:`.completions`). A
socket with many requests of one kind is served with less work by a queue of its own, whose results need no look-up.

Decision. A handler gets keys here and drains its queues itself. A packet goes to its handler. A socket with queues of
its own is counted in the ledger of the run, and ended with it. Only handlers on their way out are held here; the others
live as long as somebody uses them."""

from __future__ import annotations

import socket
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Container


class Account(NamedTuple):
    """What a socket with queues of its own has now."""

    receives_in_flight: int = 0
    sends_in_flight: int = 0
    slices_held: int = 0
    credits_charged: int = 0
    registered_bytes: int = 0
    tasks_receiving: int = 0
    tasks_sending: int = 0
    sockets_open: int = 0


class PacketHandler(Protocol):
    """Drains completion queues of its own."""

    def on_packet(self, key: int) -> None:
        """The queue with this key has results."""


class QueueOwner(PacketHandler, Protocol):
    """A socket with completion queues of its own."""

    sock: socket.socket
    fd: int  # of the socket, as it was

    def account(self) -> Account:
        """What it has now."""

    def is_lingering(self) -> bool:
        """Whether something that was promised to be sent is in flight."""

    def end(self, *, closes_socket: bool = False) -> None:
        """Abort what is in flight; :meth:`PacketHandlers.leave` when all of it is back.

        ``closes_socket``: with the socket, where a request that is in flight can end only so.
        """

    def drain(self) -> None:
        """Dequeue what is there, and arm for the rest."""

    def close(self) -> None:
        """The socket is being closed: tell every task that waits, and end. Twice is allowed."""


@attrs.define(eq=False)
class PacketHandlers:
    """See the module's docstring."""

    _by_key: dict[int, weakref.ref[PacketHandler]] = attrs.field(factory=dict)
    _by_fd: weakref.WeakValueDictionary[int, QueueOwner] = attrs.field(factory=weakref.WeakValueDictionary)
    _owners: weakref.WeakSet[QueueOwner] = attrs.field(factory=weakref.WeakSet)
    _ending: set[QueueOwner] = attrs.field(factory=set)
    _next_key: int = 0

    # -- keys ----------------------------------------------------------------------------------------------

    def add(self, handler: PacketHandler, keys: int) -> int:
        """Give a handler so many keys in a row; the first of them."""
        first, self._next_key = self._next_key, self._next_key + keys
        reference = weakref.ref(handler)
        for key in range(first, self._next_key):
            self._by_key[key] = reference
        return first

    def serve(self, key: int) -> None:
        """The port brought a packet; one that came too late is nobody's."""
        reference = self._by_key.get(key)
        handler = None if reference is None else reference()
        if handler is not None:
            handler.on_packet(key)

    # -- sockets with queues of their own ------------------------------------------------------------------

    def enter(self, owner: QueueOwner, keys: int) -> int:
        """A socket has queues of its own from now on; the first of their keys."""
        self._by_fd[owner.fd] = owner
        self._owners.add(owner)
        return self.add(owner, keys)

    def begin_to_leave(self, owner: QueueOwner) -> None:
        """It ends, and waits for what it has in flight: it is held here, though nobody may use it any more."""
        self._ending.add(owner)

    def leave(self, owner: QueueOwner, first: int, keys: int) -> None:
        """All that it had is back."""
        if self._by_fd.get(owner.fd) is owner:
            del self._by_fd[owner.fd]
        for key in range(first, first + keys):
            self._by_key.pop(key, None)
        self._owners.discard(owner)
        self._ending.discard(owner)

    def owner_of(self, sock: socket.socket) -> QueueOwner | None:
        """What has queues of its own for this socket."""
        fd = sock.fileno()
        if fd == -1:  # closed already
            return next((owner for owner in self.owners() if owner.sock is sock), None)
        owner = self._by_fd.get(fd)
        return owner if owner is not None and owner.sock is sock else None

    def owned_numbers(self) -> Container[int]:
        """The numbers of these sockets, now and later; of some that have gone, too."""
        owners: Any = self._by_fd
        return owners.data  # type: ignore[no-any-return]

    def notify_closing(self, fd: int) -> None:
        """The socket with this number is about to be closed: see :meth:`QueueOwner.close`."""
        owner = self._by_fd.get(fd)
        if owner is not None and owner.sock.fileno() == fd:
            owner.close()

    def owners(self) -> set[QueueOwner]:
        """All sockets with queues of their own."""
        return {*self._owners, *self._ending}

    def has_owners(self) -> bool:
        """Whether a socket has queues of its own now."""
        return bool(self._owners or self._ending)

    def account(self) -> Account:
        """What all of them have together."""
        accounts = [owner.account() for owner in self.owners()]
        return Account(*map(sum, zip(*accounts, strict=True))) if accounts else Account()

    def are_lingering(self) -> bool:
        """Whether something that was promised to be sent is in flight."""
        return any(owner.is_lingering() for owner in self.owners())

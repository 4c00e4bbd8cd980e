"""The arena: registered memory, cut into slices, leased to one request at a time.

Facts. RIO wants few, large registrations, and memory that nobody touches from the post of a request until its
completion is dequeued. A receive on an idle connection holds its slice for as long as the connection is idle.
Touching fresh memory costs a page fault, so the slice that came back last is the best to give out next.

Consequence. Idle connections need small slices, busy ones large ones; and "who may touch this memory" needs one
answer at every moment.

Decision. Two sizes, and a third for connections that fill the second: one receive of a megabyte costs half of what
sixteen of 64 KiB do, but such slices must not use up the memory, so they get a quarter of it at most. Memory is
registered in chunks of many slices, never given back before the end of the run. A :class:`Slice` is free or leased; a
lease ends by :meth:`Arena.give_back`, which a holder can do once: the generation that it got must still be the
slice's. Each slice is followed by room for one address.

No sockets and no Trio in this file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import attrs

from .._errors import RioCallError, RioInternalError
from ..rio import SOCKADDR_INET_SIZE_BYTES, RegisteredBuffer, Status

# A chunk is registered at once: small enough for a first connection, large enough for few registrations.
_CHUNK_SIZE_BYTES = 512 * 1024
# How a system says that it cannot register our memory now; RIORegisterBuffer documents WSAEFAULT only.
NO_MEMORY = (Status.ENOBUFS, Status.EFAULT)
# Room for a SOCKADDR_INET behind each slice, rounded up so that slices stay aligned.
ADDRESS_ROOM_BYTES = 32
assert ADDRESS_ROOM_BYTES >= SOCKADDR_INET_SIZE_BYTES


ArgumentT = TypeVar("ArgumentT")
MadeT = TypeVar("MadeT")


def unless_without_memory(make: Callable[[ArgumentT], MadeT], argument: ArgumentT) -> MadeT | None:
    """What ``make`` makes of its argument; ``None`` when the system, or the process, has no memory for that now."""
    try:
        return make(argument)
    except MemoryError:
        return None
    except RioCallError as error:
        if error.code not in NO_MEMORY:
            raise
        return None


class Registrar(Protocol):
    """The part of a provider that an arena needs."""

    def register_buffer(self, memory: bytearray) -> RegisteredBuffer: ...
    def deregister_buffer(self, buffer: RegisteredBuffer) -> None: ...


@attrs.define(eq=False)
class Slice:
    """``size_bytes`` of registered memory. ``view`` and ``address`` may be touched by the holder of the lease only,
    and not while a request uses them. Both are made when asked for: two views are larger than all the rest of a slice,
    and each connection that waits has one."""

    buffer_id: int
    offset: int
    address_offset: int
    size_bytes: int
    memory: memoryview = attrs.field(repr=False)  # all of the registration
    free_list: list[Slice] = attrs.field(repr=False)
    generation: int = 0
    is_leased: bool = False

    @property
    def view(self) -> memoryview:
        """The memory of the slice."""
        return self.memory[self.offset : self.offset + self.size_bytes]

    @property
    def address(self) -> memoryview:
        """The room for an address behind it."""
        return self.memory[self.address_offset : self.address_offset + SOCKADDR_INET_SIZE_BYTES]


@attrs.define(eq=False)
class Arena:
    """The registered memory of a run.

    ``small``, ``large`` and ``bulk`` are the free slices of each size.
    """

    registrar: Registrar
    small_size_bytes: int
    large_size_bytes: int
    bytes_max: int
    bulk_size_bytes: int = 0
    small: list[Slice] = attrs.field(factory=list)
    large: list[Slice] = attrs.field(factory=list)
    bulk: list[Slice] = attrs.field(factory=list)
    registered_bytes: int = 0
    bulk_bytes: int = 0
    slices: int = 0
    _chunks: list[RegisteredBuffer] = attrs.field(factory=list)

    def lease(self, *, large: bool) -> Slice | None:
        """A free slice, registering more memory if there is none; ``None`` when there may be, or is, no more."""
        free = self.large if large else self.small
        if not free and not self._grow(self.large_size_bytes if large else self.small_size_bytes, free):
            return None
        return self._lease_from(free)

    def lease_bulk(self) -> Slice | None:
        """As :meth:`lease`, of the bulk size, while those have less than a quarter of the memory."""
        if not self.bulk:
            before = self.registered_bytes
            is_wanted = self.bulk_size_bytes > self.large_size_bytes
            if not is_wanted or self.bulk_bytes + self.bulk_size_bytes > self.bytes_max // 4:
                return None
            if not self._grow(self.bulk_size_bytes, self.bulk):
                return None
            self.bulk_bytes += self.registered_bytes - before
        return self._lease_from(self.bulk)

    @staticmethod
    def _lease_from(free: list[Slice]) -> Slice:
        slice_ = free.pop()
        if slice_.is_leased:
            raise RioInternalError(f"{slice_} was free and leased at once")
        slice_.is_leased = True
        return slice_

    def give_back(self, slice_: Slice, generation: int | None = None) -> None:
        """End a lease.

        Raises:
          RioInternalError: it has ended before; the slice may be somebody else's by now.
        """
        if not slice_.is_leased or generation not in (None, slice_.generation):
            raise RioInternalError(f"{slice_} was given back twice")
        slice_.is_leased = False
        slice_.generation += 1
        slice_.free_list.append(slice_)

    @property
    def leases_outstanding(self) -> int:
        """Slices that are leased now."""
        return self.slices - len(self.small) - len(self.large) - len(self.bulk)

    def close(self) -> None:
        """Deregister everything. Leased slices stay valid memory for whoever still holds them."""
        for chunk in self._chunks:
            self.registrar.deregister_buffer(chunk)
        self._chunks.clear()
        self.small.clear()
        self.large.clear()
        self.bulk.clear()
        self.registered_bytes = self.bulk_bytes = 0
        self.slices = 0

    def register(self, memory: bytearray) -> RegisteredBuffer | None:
        """Register memory, which the caller deregisters; ``None`` when the system has none for that now."""
        return unless_without_memory(self.registrar.register_buffer, memory)

    def _grow(self, size: int, free: list[Slice]) -> bool:
        aligned = -(-size // ADDRESS_ROOM_BYTES) * ADDRESS_ROOM_BYTES
        stride = aligned + ADDRESS_ROOM_BYTES
        count = min(max(1, _CHUNK_SIZE_BYTES // stride), (self.bytes_max - self.registered_bytes) // stride)
        if count < 1:
            return False
        memory = unless_without_memory(bytearray, count * stride)
        chunk = None if memory is None else self.register(memory)
        if memory is None or chunk is None:
            return False  # no worse than the limit; there may be some next time
        try:
            view, chunks = memoryview(memory), [*self._chunks, chunk]
            offsets = range((count - 1) * stride, -1, -stride)
            free += [Slice(chunk.buffer_id, offset, offset + aligned, size, view, free) for offset in offsets]
        except MemoryError:
            self.registrar.deregister_buffer(chunk)
            return False
        self._chunks = chunks
        self.registered_bytes += len(memory)
        self.slices += count
        return True

"""Leases: registered memory in the hands of a task, for the time of a block.

Facts. A received byte is copied twice: by the kernel into a slice, and from the slice into ``bytes``. A task can do
without the second copy if it looks into the slice itself, but then the slice must not be used again before it has
looked. A memoryview that was released raises at each use. Yet its slices, and arrays made from it, are views of the
same memory with a life of their own, and releasing the first view does not end them. And a view names the object that
it is a view of (``view.obj``), through which all memory of that object can be had, then and later.

Every view of an object's memory, and whatever is derived from one, keeps that object. Released views keep nothing.

Consequence. What is lent needs an object of its own, which has the memory that is lent and no more. When that object is
gone nobody sees the memory any more; so whether it may be used again can be known at every moment, without trust in
the task.

Decision. A :class:`Lease` lends parts of memory as views of such objects. When it ends, its views are released, and
each part goes back at once if its object is gone. If it is not, the part is kept from everybody until it is; meanwhile
it is neither reused nor freed, whatever happens. Ends: the block, the holder's close, the end of the run, or the
garbage collector, which warns with the place where the lease was taken. A run lends no more than a part of its
memory at a time; a task that wants more waits, and so does the peer that sends it.

No sockets in this file.
"""

from __future__ import annotations

import math
import sys
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import cffi
import trio

from .._errors import RioError
from .._trio import current_runner
from .leftovers import Leftovers

# How often a task that waits for room looks whether memory that outlived its lease is free now: nothing tells it.
_LOOK_AGAIN_SECONDS = 0.05

_ffi: Any = cffi.FFI()

#: A file and a line: where a lease was taken.
Place: TypeAlias = tuple[str, int]


def place_of_caller(depth: int = 1) -> Place:
    """Where the function that calls this was called; ``depth`` skips more frames."""
    frame = sys._getframe(depth + 1)
    return frame.f_code.co_filename, frame.f_lineno


@attrs.define(eq=False)
class _Part:
    """Memory that is lent.

    ``exporter`` is the object that the task's view is of. It keeps ``memory``, and does not tell where it is.
    """

    memory: memoryview
    view: memoryview
    exporter: weakref.ref[object]
    size_bytes: int
    give_back: Callable[[], object]

    @classmethod
    def of(cls, book: LeaseBook, memory: memoryview, size_bytes: int, give_back: Callable[[], object]) -> _Part:
        exporter = _ffi.buffer(_ffi.from_buffer("char[]", memory, require_writable=True))
        number, exporters = id(exporter), book.exporters
        reference = weakref.ref(exporter, lambda _: exporters.discard(number))
        exporters.add(number)
        return cls(memory, memoryview(exporter), reference, size_bytes, give_back)

    def try_release(self) -> bool:
        """Release the view. Returns whether nobody holds the memory any more."""
        try:
            self.view.release()
        except BufferError:  # something is an export of this very view
            return False
        return self.exporter() is None


@attrs.define(eq=False, weakref_slot=True)
class Lease:
    """One lease; made by :meth:`LeaseBook.open`. Used by the thread of its run only."""

    book: LeaseBook
    holder: object  # whose close ends it
    place: Place
    runner: object
    parts: list[_Part] = attrs.field(factory=list)
    ended_by: str | None = None

    def lend(self, memory: memoryview, size_bytes: int, give_back: Callable[[], object]) -> memoryview:
        """A view of ``memory`` that is valid until the lease ends, and leads to no other.

        Args:
          memory: flat and writable; all of it is lent.
          size_bytes: what this counts for, of the memory of the run.
          give_back: called once, when nobody holds any of it.
        """
        part = _Part.of(self.book, memory, size_bytes, give_back)
        self.parts.append(part)
        self.book.bytes_lent += size_bytes
        return part.view

    def check_held(self) -> None:
        """Raise unless this run may use the lease now.

        Raises:
          ClosedResourceError: what it was taken from was closed.
          RioError: it has ended, or belongs to another run.
        """
        if self.ended_by == "close":
            raise trio.ClosedResourceError("closed while a lease on what it received or sends was held")
        if self.ended_by is not None:
            raise RioError(f"this lease has ended already, by {self.ended_by}")
        if current_runner() is not self.runner:
            raise RioError("this lease belongs to another run")

    def end(self) -> None:
        """End it with its block: the views are released, the memory goes back. Not a checkpoint.

        Raises:
          BufferError: something made from a view is still in use; the memory is kept until it is not.
          ClosedResourceError, RioError: as :meth:`check_held`.
        """
        self.check_held()
        if not self.revoke("the end of its block"):
            raise BufferError(
                "a slice of the memoryview, or an object made from it, outlives the block of its lease: "
                "release() it, or copy with bytes() what is needed longer"
            )

    def revoke(self, ended_by: str) -> bool:
        """End it from outside, without an error. Returns whether all of the memory was free."""
        if self.ended_by is not None:
            return True
        parts = self._release(ended_by)
        self.book.forget(id(self.holder), id(self))
        kept = [part for part in parts if not self.book.take_back(part)]
        self.book.kept += kept
        self.book.unpark()
        return not kept

    def take_over(self) -> None:
        """End it, and leave the memory to the caller, to give it back. For the one part of a lease to send.

        Raises:
          BufferError: as :meth:`end`; then the memory is not the caller's.
        """
        self.check_held()
        part = self.parts[0]
        give_back, part.give_back = part.give_back, lambda: None
        self._release("the end of its block")
        self.book.forget(id(self.holder), id(self))
        if part.try_release():
            self.book.bytes_lent -= part.size_bytes
            self.book.unpark()
            return
        part.give_back = give_back
        self.book.kept.append(part)
        raise BufferError(
            "a slice of the memoryview, or an object made from it, outlives the block of its lease: nothing was "
            "sent, since it could still change; release() it"
        )

    def _release(self, ended_by: str) -> list[_Part]:
        self.ended_by = ended_by
        parts, self.parts = self.parts, []
        for part in parts:
            part.try_release()  # the view is released now, though somebody may keep the memory
        return parts

    def __del__(self) -> None:
        # In whatever thread, inside of whatever: the memory goes back later, in the run's own time.
        if self.ended_by is None:
            self.book.take_back_soon(id(self.holder), id(self), self._release("the garbage collector"))
            self.warn("a lease was dropped without being released")

    def warn(self, what: str) -> None:
        """A ResourceWarning that points to where the lease was taken."""
        filename, line = self.place
        warnings.warn_explicit(
            f"{what}; it was taken at {filename}:{line}", ResourceWarning, filename, line, source=self
        )


def _alive(leases: dict[int, weakref.ref[Lease]]) -> list[Lease]:
    return [lease for reference in list(leases.values()) if (lease := reference()) is not None]


@attrs.define(eq=False)
class LeaseBook:
    """All leases of a run."""

    #: Bytes that may be lent at a time. The last lease may go beyond it.
    bytes_max: int
    leftovers: Leftovers = attrs.field(factory=Leftovers)
    bytes_lent: int = 0
    #: The objects that what is lent is seen through, by their ids.
    exporters: set[int] = attrs.field(factory=set)
    #: Those that somebody holds, by the ids of their holder, which they keep alive, and of themselves.
    live: dict[int, dict[int, weakref.ref[Lease]]] = attrs.field(factory=dict)
    #: Parts whose lease is over, and whose memory somebody still holds.
    kept: list[_Part] = attrs.field(factory=list)
    _room: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    def open(self, holder: object, place: Place) -> Lease:
        """A new lease of nothing yet, in the current run."""
        lease = Lease(self, holder, place, current_runner())
        self.leftovers.begin()
        self.live.setdefault(id(holder), {})[id(lease)] = weakref.ref(lease)
        return lease

    def forget(self, holder_id: int, lease_id: int) -> None:
        """Forget a lease that has ended."""
        leases = self.live.get(holder_id, {})
        leases.pop(lease_id, None)
        if not leases:
            self.live.pop(holder_id, None)

    async def wait_for_room(self) -> None:
        """Wait until something may be lent. A checkpoint if it has to wait; cancelling it changes nothing."""
        self.sweep()
        while self.is_full():
            with trio.move_on_after(_LOOK_AGAIN_SECONDS if self.kept else math.inf):
                await self._room.park()
            self.sweep()

    def has_lent(self, exporter: object) -> bool:
        """Whether lent memory is seen through this object."""
        return id(exporter) in self.exporters

    def is_full(self) -> bool:
        """Whether no more may be lent now."""
        return self.bytes_lent >= self.bytes_max

    @property
    def tasks_waiting(self) -> int:
        """Tasks that wait for room now."""
        return len(self._room)

    def held(self) -> list[Lease]:
        """The leases that somebody holds now."""
        return [lease for leases in self.live.values() for lease in _alive(leases)]

    def end_those_of(self, holder: object) -> None:
        """End the leases of a holder that was closed: their views are unusable from now on."""
        held = self.live.get(id(holder))
        for lease in _alive(held) if held else ():
            lease.revoke("close")

    def take_back(self, part: _Part) -> bool:
        """Give a part's memory back if nobody holds any of it."""
        if not part.try_release():
            return False
        self.bytes_lent -= part.size_bytes
        part.give_back()
        return True

    def take_back_soon(self, holder_id: int, lease_id: int, parts: list[_Part]) -> None:
        """From anywhere, of a lease that was dropped: tasks that wait for its memory are made to look."""

        def take_back() -> None:
            reference = self.live.get(holder_id, {}).get(lease_id)
            if reference is not None and reference() is None:  # or it is another one's by now
                self.forget(holder_id, lease_id)
            self.kept += parts
            self._sweep_kept()

        self.leftovers.leave(take_back)

    def sweep(self) -> None:
        """Give back what outlived its lease and is free by now."""
        self.leftovers.do()
        self._sweep_kept()

    def _sweep_kept(self) -> None:
        if self.kept:
            kept, self.kept = self.kept, []
            self.kept += [part for part in kept if not self.take_back(part)]
            self.unpark()

    def unpark(self) -> None:
        """Let the tasks that wait for room look again."""
        if self._room and not self.is_full():
            self._room.unpark_all()

    def close(self) -> list[Lease]:
        """End all leases with the run. Returns those that were held; nobody will use their memory again."""
        self.leftovers.do()
        held = self.held()
        for lease in held:
            lease.revoke("the end of its run")
        for part in self.kept:  # no request will use the memory any more, and a view of it keeps it alive
            part.give_back()
        self.kept.clear()
        return held

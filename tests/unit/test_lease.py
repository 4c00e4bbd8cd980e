"""Leases by themselves: when memory may be used again, and who is told what. No sockets."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Awaitable, Callable
from pickle import PickleBuffer

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.lease import Lease, LeaseBook, Place, place_of_caller


@attrs.define(eq=False)
class Memory:
    """Eight bytes that are lent, and how often they came back."""

    data: bytearray = attrs.field(factory=lambda: bytearray(b"01234567"))
    returned: int = 0

    def give_back(self) -> None:
        self.returned += 1

    def lend(self, lease: Lease) -> memoryview:
        return lease.lend(memoryview(self.data), len(self.data), self.give_back)


def in_run(function: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """The test as a run of stock Trio; leases need no more of a run than its clock."""

    def run() -> None:
        trio.run(function)

    run.__doc__ = function.__doc__
    return run


PLACE: Place = ("a_file.py", 7)


@in_run
async def test_a_view_is_the_memory_itself() -> None:
    """What is lent is no copy: a write to the view is seen in the memory, and the other way round."""
    book, memory = LeaseBook(100), Memory()
    lease = book.open(None, PLACE)
    view = memory.lend(lease)
    view[0] = ord("x")
    memory.data[1] = ord("y")
    assert bytes(view) == b"xy234567"
    assert memory.data[0] == ord("x")
    lease.end()


@in_run
async def test_a_view_is_unusable_after_its_lease() -> None:
    """Each use of the view raises ValueError, and the memory went back once."""
    book, memory = LeaseBook(100), Memory()
    lease = book.open(None, PLACE)
    view = memory.lend(lease)
    assert book.bytes_lent == 8
    lease.end()
    for use in (lambda: view[0], lambda: bytes(view), lambda: len(view), lambda: view[1:]):
        with pytest.raises(ValueError, match="released"):
            use()
    assert (memory.returned, book.bytes_lent, book.live) == (1, 0, {})


@in_run
async def test_a_lease_ends_once() -> None:
    """Releasing twice is an error that says so, and gives nothing back again."""
    book, memory = LeaseBook(100), Memory()
    lease = book.open(None, PLACE)
    memory.lend(lease)
    lease.end()
    with pytest.raises(trio_rio.RioError, match="ended already, by the end of its block"):
        lease.end()
    assert memory.returned == 1


@pytest.mark.parametrize(
    "derive",
    [lambda view: view[2:4], lambda view: memoryview(view), PickleBuffer, lambda view: view.cast("H")],
    ids=["slice", "memoryview", "PickleBuffer", "cast"],
)
def test_memory_that_somebody_still_sees_is_not_given_back(derive: Callable[[memoryview], memoryview]) -> None:
    """What was made from the view and outlives the lease is an error, and keeps the memory until it is gone."""

    async def main() -> None:
        book, memory = LeaseBook(100), Memory()
        lease = book.open(None, PLACE)
        derived = derive(memory.lend(lease))
        with pytest.raises(BufferError, match="outlives the block"):
            lease.end()
        book.sweep()
        assert (memory.returned, book.bytes_lent) == (0, 8)
        derived.release()
        book.sweep()
        assert (memory.returned, book.bytes_lent, book.kept) == (1, 0, [])

    trio.run(main)


@in_run
async def test_each_part_goes_back_by_itself() -> None:
    """A lease of several parts gives back those that are free, and keeps the others."""
    book, parts = LeaseBook(100), [Memory(), Memory(), Memory()]
    lease = book.open(None, PLACE)
    views = [part.lend(lease) for part in parts]
    piece = views[1][1:]
    with pytest.raises(BufferError):
        lease.end()
    assert [part.returned for part in parts] == [1, 0, 1]
    del piece
    book.sweep()
    assert [part.returned for part in parts] == [1, 1, 1]


@in_run
async def test_closing_the_holder_ends_its_leases() -> None:
    """Views of what was closed are unusable at once, the end of the block says why; others' leases go on."""
    book, ours, theirs = LeaseBook(100), Memory(), Memory()
    holder, other = object(), object()
    lease, other_lease = book.open(holder, PLACE), book.open(other, PLACE)
    view, other_view = ours.lend(lease), theirs.lend(other_lease)
    book.end_those_of(holder)
    with pytest.raises(ValueError, match="released"):
        view[0]
    with pytest.raises(trio.ClosedResourceError, match="lease"):
        lease.end()
    assert (ours.returned, theirs.returned, other_view[0]) == (1, 0, ord("0"))
    other_lease.end()


def test_a_lease_of_another_run_is_refused() -> None:
    """Ending a lease in another run, or outside of any, is an error, and the memory stays where it is."""
    book, memory = LeaseBook(100), Memory()

    async def take() -> Lease:
        lease = book.open(None, PLACE)
        memory.lend(lease)
        return lease

    async def end(lease: Lease) -> None:
        lease.end()

    lease = trio.run(take)
    with pytest.raises(trio_rio.RioError, match="another run"):
        trio.run(end, lease)
    with pytest.raises(trio_rio.RioError, match="another run"):
        lease.end()
    assert memory.returned == 0
    book.close()
    assert memory.returned == 1


@in_run
async def test_a_lease_that_is_dropped_is_reported_with_its_place() -> None:
    """The garbage collector ends it, warns with file and line, and the view is unusable."""
    book, memory = LeaseBook(100), Memory()

    def drop() -> memoryview:
        return memory.lend(book.open(None, place_of_caller()))

    with pytest.warns(ResourceWarning) as caught:
        view = drop()
    assert re.search(r"dropped without being released; .*test_lease.py:\d+", str(caught[0].message))
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="released"):
        view[0]
    book.sweep()
    assert (memory.returned, book.bytes_lent) == (1, 0)


@in_run
async def test_no_more_is_lent_than_the_bound() -> None:
    """Who wants more waits until a lease ends."""
    book, memory = LeaseBook(8), Memory()
    lease = book.open(None, PLACE)
    memory.lend(lease)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(book.wait_for_room)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        lease.end()
    await book.wait_for_room()


@in_run
async def test_memory_that_outlives_its_lease_still_makes_room_in_the_end() -> None:
    """A task that waits for room gets it when the last piece of memory is let go, though nothing tells of that."""
    book, memory = LeaseBook(8), Memory()
    lease = book.open(None, PLACE)
    piece = memory.lend(lease)[1:]
    with pytest.raises(BufferError):
        lease.end()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(book.wait_for_room)
        await wait_all_tasks_blocked()
        piece.release()
    assert memory.returned == 1


@in_run
async def test_a_lease_dropped_in_another_thread_makes_room() -> None:
    """The collector may run in any thread: the memory goes back in the run's own, and who waits goes on."""
    book = LeaseBook(8)
    threads: list[int] = []
    leases = [book.open(None, PLACE)]
    leases[0].lend(memoryview(bytearray(8)), 8, lambda: threads.append(threading.get_ident()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(book.wait_for_room)
            await wait_all_tasks_blocked()
            await trio.to_thread.run_sync(leases.clear)
    assert threads == [threading.get_ident()]
    assert [warning.category for warning in caught] == [ResourceWarning]


@in_run
async def test_the_end_of_the_run_ends_all_leases() -> None:
    """Their views are unusable, the memory goes back, and they are returned so that they can be told of."""
    book, memory, kept = LeaseBook(100), Memory(), Memory()
    lease, ended = book.open(None, PLACE), book.open(None, PLACE)
    view = memory.lend(lease)
    piece = kept.lend(ended)[2:3]
    with pytest.raises(BufferError):
        ended.end()
    assert book.close() == [lease]
    with pytest.raises(ValueError, match="released"):
        view[0]
    assert (memory.returned, kept.returned, bytes(piece)) == (1, 1, b"2")
    with pytest.raises(trio_rio.RioError, match="end of its run"):
        lease.end()


@in_run
async def test_memory_taken_over_is_the_callers() -> None:
    """take_over ends the lease and does not give the memory back; a view that outlives it keeps it instead."""
    book, memory = LeaseBook(100), Memory()
    lease = book.open(None, PLACE)
    view = memory.lend(lease)
    lease.take_over()
    with pytest.raises(ValueError, match="released"):
        view[0]
    assert (memory.returned, book.bytes_lent) == (0, 0)

    lease = book.open(None, PLACE)
    piece = memory.lend(lease)[1:]
    with pytest.raises(BufferError, match="nothing was sent"):
        lease.take_over()
    assert (memory.returned, book.bytes_lent) == (0, 8)
    del piece
    book.sweep()
    assert memory.returned == 1

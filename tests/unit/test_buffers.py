"""The arena against a model of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from trio_rio import RioInternalError
from trio_rio._engine.arena import ADDRESS_ROOM_BYTES, Arena, Slice
from trio_rio.rio import SOCKADDR_INET_SIZE_BYTES, RegisteredBuffer

from ..engine.harness import scaled


class FakeRegistrar:
    """Remembers which memory is registered."""

    def __init__(self) -> None:
        self.memory: dict[int, bytearray] = {}

    def register_buffer(self, memory: bytearray) -> RegisteredBuffer:
        self.memory[len(self.memory) + 1] = memory
        return RegisteredBuffer(None, len(self.memory), len(memory))  # type: ignore[arg-type]

    def deregister_buffer(self, buffer: RegisteredBuffer) -> None:
        del self.memory[buffer.buffer_id]


class ArenaMachine(RuleBasedStateMachine):
    """Lease and give back in any order; each lease is filled with bytes of its own."""

    leases = Bundle("leases")

    @initialize(
        small=st.integers(512, 5000), larger_by=st.integers(0, 70_000), bytes_max=st.integers(140_000, 3_000_000)
    )
    def make(self, small: int, larger_by: int, bytes_max: int) -> None:
        self.registrar = FakeRegistrar()
        self.arena = Arena(self.registrar, small, small + larger_by, bytes_max)
        self.leased: dict[int, tuple[Slice, int]] = {}
        self.number = 0

    @rule(target=leases, large=st.booleans())
    def lease(self, large: bool) -> object:
        slice_ = self.arena.lease(large=large)
        if slice_ is None:
            size = self.arena.large_size_bytes if large else self.arena.small_size_bytes
            stride = -(-size // ADDRESS_ROOM_BYTES) * ADDRESS_ROOM_BYTES + ADDRESS_ROOM_BYTES
            assert self.arena.registered_bytes + stride > self.arena.bytes_max
            return multiple()
        assert slice_.size_bytes == (self.arena.large_size_bytes if large else self.arena.small_size_bytes)
        assert id(slice_) not in self.leased
        self.number += 1
        slice_.view[:] = bytes([self.number % 251]) * slice_.size_bytes
        slice_.address[:] = bytes([self.number % 241]) * SOCKADDR_INET_SIZE_BYTES
        self.leased[id(slice_)] = (slice_, self.number)
        return slice_

    @rule(slice_=consumes(leases))
    def give_back(self, slice_: Slice) -> None:
        generation = slice_.generation
        self.arena.give_back(slice_, generation)
        del self.leased[id(slice_)]
        assert slice_.generation == generation + 1

    @rule(slice_=consumes(leases))
    def give_back_twice(self, slice_: Slice) -> None:
        self.arena.give_back(slice_)
        del self.leased[id(slice_)]
        free = len(slice_.free_list)
        with pytest.raises(RioInternalError, match="twice"):
            self.arena.give_back(slice_)
        assert len(slice_.free_list) == free

    @rule(slice_=leases)
    def give_back_with_an_old_generation(self, slice_: Slice) -> None:
        with pytest.raises(RioInternalError, match="twice"):
            self.arena.give_back(slice_, slice_.generation - 1)
        assert slice_.is_leased

    @invariant()
    def the_memory_of_a_lease_is_its_own(self) -> None:
        for slice_, number in self.leased.values():
            assert slice_.view[0] == slice_.view[-1] == number % 251
            assert bytes(slice_.address) == bytes([number % 241]) * SOCKADDR_INET_SIZE_BYTES
            memory = self.registrar.memory[slice_.buffer_id]
            assert memory[slice_.offset] == number % 251
            assert memory[slice_.address_offset] == number % 241

    @invariant()
    def the_books_balance(self) -> None:
        assert self.arena.leases_outstanding == len(self.leased)
        assert self.arena.registered_bytes == sum(map(len, self.registrar.memory.values()))
        assert self.arena.registered_bytes <= self.arena.bytes_max

    def teardown(self) -> None:
        if not hasattr(self, "arena"):
            return
        self.arena.close()
        assert self.registrar.memory == {}
        assert self.arena.registered_bytes == self.arena.leases_outstanding == 0
        for slice_, number in self.leased.values():  # still valid memory, though nobody may post it any more
            assert slice_.view[0] == number % 251


TestArena = ArenaMachine.TestCase
TestArena.settings = settings(max_examples=scaled(60, 2000), stateful_step_count=40, deadline=None)


@given(small=st.integers(512, 65536), large=st.integers(4096, 1 << 20), is_large=st.booleans())
@settings(max_examples=scaled(50, 1000))
def test_slices_do_not_overlap(small: int, large: int, is_large: bool) -> None:
    """No byte of a chunk belongs to two slices, or to a slice and an address; all lie inside the registration."""
    registrar = FakeRegistrar()
    arena = Arena(registrar, small, max(small, large), 1 << 22)
    assert arena.lease(large=is_large) is not None
    rooms = []
    for slice_ in [*arena.small, *arena.large]:
        rooms.append((slice_.offset, slice_.offset + slice_.size_bytes))
        rooms.append((slice_.address_offset, slice_.address_offset + SOCKADDR_INET_SIZE_BYTES))
    rooms.sort()
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(rooms))
    assert rooms == [] or rooms[-1][1] <= len(registrar.memory[1])


def test_a_slice_that_is_free_and_leased_is_noticed() -> None:
    """A damaged free list raises RioInternalError instead of giving one slice to two holders."""
    arena = Arena(FakeRegistrar(), 512, 4096, 1 << 20)
    slice_ = arena.lease(large=False)
    assert slice_ is not None
    arena.small.append(slice_)
    with pytest.raises(RioInternalError, match="free and leased"):
        arena.lease(large=False)


def test_the_slice_that_came_back_last_goes_out_first() -> None:
    """Memory that is still in the processor's cache is used again first."""
    arena = Arena(FakeRegistrar(), 512, 4096, 1 << 20)
    first, second = arena.lease(large=False), arena.lease(large=False)
    assert first is not None
    assert second is not None
    arena.give_back(first)
    arena.give_back(second)
    assert arena.lease(large=False) is second


def test_the_bulk_size_has_a_quarter_of_the_memory() -> None:
    """Slices of the bulk size are leased while they have no more than a quarter of what may be registered."""
    arena = Arena(FakeRegistrar(), 4096, 65536, 4 << 20, bulk_size_bytes=256 << 10)
    slices = list(itertools.takewhile(lambda slice_: slice_ is not None, iter(arena.lease_bulk, 0)))
    assert [slice_.size_bytes for slice_ in slices if slice_ is not None] == [256 << 10] * len(slices)
    assert 3 <= len(slices) <= 4
    assert arena.leases_outstanding == len(slices)
    assert arena.lease(large=True) is not None
    first = slices[0]
    assert first is not None
    arena.give_back(first)
    assert arena.lease_bulk() is first


@pytest.mark.parametrize("size", [0, 65536])
def test_a_bulk_size_that_is_not_larger_is_none(size: int) -> None:
    """A bulk size that is no larger than the large one is not used."""
    assert Arena(FakeRegistrar(), 4096, 65536, 4 << 20, bulk_size_bytes=size).lease_bulk() is None

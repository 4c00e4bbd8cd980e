"""Conversion of results from the C core's completion queue to Python tuples.

Facts. ``rio_dequeue`` writes RIORESULTs into an array that the caller has; while it runs, other threads run too. One
``iter_unpack`` over the array costs a fraction of asking for each field.

Consequence. RIO lets two threads dequeue two queues at the same time, so the array must not be the provider's.

Decision. Each completion queue has one of these: the array, and the function that fills and reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..errors import status_from_errno
from ..types import RawResult

_RESULT = struct.Struct("=iIQQ")  # RIORESULT: 24 bytes
_HAS_ERRORS = 1 << 32  # in the return value of rio_dequeue
_MASK32 = 0xFFFF_FFFF
_ROOM_AT_FIRST = 64
_ROOM_MAX = 1 << 16


class ResultArray:
    """The array of one completion queue. Used by one thread at a time, as the queue is.

    Args:
      native: the C core's module.
      core: the ``rio_core`` that the queue belongs to.
      handle: of the queue.
      raise_for: is called with the code of a dequeue that was refused, and raises.
    """

    def __init__(self, native: Any, core: object, handle: int, raise_for: Callable[[str, int], object]) -> None:
        self._ffi = native.ffi
        self._dequeue = native.lib.rio_dequeue
        self._core = core
        self._handle = handle
        self._raise_for = raise_for
        self._left = 0  # what the last dequeue returned, if there was no memory to hand it out
        self._make_room(_ROOM_AT_FIRST)

    def _make_room(self, room: int) -> None:
        self._room = room
        self._results = self._ffi.new("rio_result[]", room)
        self._view = memoryview(self._ffi.buffer(self._results))

    def take(self, limit: int) -> list[RawResult]:
        """At most ``limit`` results, in the order of the queue; never blocks."""
        count = self._left
        if not count:
            if limit > self._room:
                self._make_room(min(limit, _ROOM_MAX))
            count = self._dequeue(self._core, self._handle, self._results, min(limit, self._room))
            if not count:
                return []
            if count < 0:
                self._raise_for("RIODequeueCompletion", -count)
        taken = count & _MASK32
        try:
            results: list[RawResult] = list(_RESULT.iter_unpack(self._view[: taken * _RESULT.size]))
            if count & _HAS_ERRORS:
                results = [(status_from_errno(number), *rest) for number, *rest in results]  # type: ignore[misc]
        except MemoryError:
            self._left = count
            raise
        self._left = 0
        return results

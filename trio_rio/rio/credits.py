"""Credits of request queues, and the room in completion queues that is set aside for them.

Facts. A request takes a credit of its direction, which comes back when its result is dequeued. A request queue charges
its completion queues for all of its credits when it is made, so a completion queue never overflows. The charge of a
closed socket comes back with its last result. [Microsoft Learn, RIOCreateRequestQueue, RIOResizeRequestQueue]

Decision. The providers that keep this in Python build their queues on these two classes, and check every change here.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs

from .checks import check_limits, check_queue_size
from .errors import RioCallError, Status


@attrs.define(eq=False)
class Room:
    """The room of a completion queue: ``charged`` of its ``capacity`` results are promised to request queues."""

    capacity: int
    charged: int = attrs.field(default=0, init=False)

    def check_resize(self, function: str, queue_size: int) -> None:
        """Refuse a new size that is out of range, or too small for what is promised."""
        check_queue_size(function, queue_size)
        if queue_size < self.charged:
            raise RioCallError(function, Status.ETOOMANYREFS, f"{self.charged} results are promised")


RoomT = TypeVar("RoomT", bound=Room)


@attrs.define(eq=False)
class Credits(Generic[RoomT]):
    """The credits of one direction of a socket.

    ``outstanding`` counts requests that were posted and not dequeued: at most ``limit``. ``charge_left`` is what an
    ended direction gives back to its completion queue with its last result.
    """

    completions: RoomT
    limit: int
    outstanding: int = attrs.field(default=0, init=False)
    is_ended: bool = attrs.field(default=False, init=False)
    charge_left: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.completions.charged += self.limit

    def retire(self) -> None:
        """Give back the credit of a request whose result was dequeued, or dropped with its completion queue."""
        self.outstanding -= 1
        if self.is_ended:
            self._return_charge()

    def set_limit(self, limit: int) -> None:
        """Change the limit, and the charge with it; :func:`check_new_limits` has allowed it."""
        self.completions.charged += limit - self.limit
        self.limit = limit

    def refuse_more(self) -> None:
        """End the direction: there is no credit any more, and the charge goes back with the last result."""
        self.is_ended = True
        self.charge_left, self.limit = self.limit, 0
        self._return_charge()

    def _return_charge(self) -> None:
        if not self.outstanding:
            self.completions.charged -= self.charge_left
            self.charge_left = 0


def check_room(function: str, rooms: tuple[RoomT, RoomT], more: tuple[int, int]) -> None:
    """Refuse what a completion queue cannot take on top of its charge. Pairs are (receive, send)."""
    needs = more if rooms[0] is not rooms[1] else (sum(more), sum(more))
    for room, need in zip(rooms, needs, strict=True):
        free = room.capacity - room.charged
        if need > free:
            detail = f"{need} more results, but the completion queue has room for {free}"
            raise RioCallError(function, Status.ENOBUFS, detail)


def check_new_limits(function: str, sides: tuple[Credits[RoomT], Credits[RoomT]], limits: tuple[int, int]) -> None:
    """Refuse limits below what is outstanding, or above what the completion queues have room for."""
    check_limits(function, limits)
    for side, limit in zip(sides, limits, strict=True):
        if limit < side.outstanding:
            raise RioCallError(function, Status.ETOOMANYREFS, f"{side.outstanding} requests are outstanding")
    growth = limits[0] - sides[0].limit, limits[1] - sides[1].limit
    check_room(function, (sides[0].completions, sides[1].completions), growth)

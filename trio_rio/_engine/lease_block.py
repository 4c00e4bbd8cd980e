"""The block of a lease: what those of streams and of datagram channels have in common.

Facts and rules of leases are in ``lease.py``. A block is entered once, opens one lease in the book of its run, and
ends it; when its holder was closed meanwhile, it says so at its end at the latest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import trio
from trio.lowlevel import enable_ki_protection

from .._config import RioConfig
from .._errors import RioError
from .._trio import current_runner
from .current import current_engine
from .lease import Lease, LeaseBook, Place

if TYPE_CHECKING:
    from types import TracebackType

    from trio.socket import SocketType

_leases_of_stock_run: trio.lowlevel.RunVar[LeaseBook] = trio.lowlevel.RunVar("trio_rio leases")


def leases_of_run() -> LeaseBook:
    """The leases of the current run, of stock Trio too."""
    engine = current_engine()
    if engine is not None:
        return engine.leases
    try:
        return _leases_of_stock_run.get()
    except LookupError:
        book = LeaseBook(RioConfig().registered_bytes_max // 2)
        _leases_of_stock_run.set(book)
        return book


class Holder(Protocol):
    """What leases are taken from; its close ends them."""

    @property
    def socket(self) -> SocketType: ...


HolderT = TypeVar("HolderT", bound=Holder)


class LeaseBlock(Generic[HolderT]):
    """One lease, entered once, and where it was taken. What enters it, and so what it lends, is the subclass's."""

    __slots__ = ("_holder", "_lease", "_place")

    def __init__(self, holder: HolderT, place: Place) -> None:
        self._holder = holder
        self._place = place
        self._lease: Lease | None = None

    def _check_fresh(self) -> None:
        if self._lease is not None:
            raise RioError("this lease was entered before; take a new one for each block")

    def _open(self) -> Lease:
        lease = leases_of_run().open(self._holder, self._place)
        self._lease = lease
        return lease

    def _held(self) -> Lease:
        if self._lease is None:
            raise RioError("this lease was never entered")
        self._lease.check_held()
        return self._lease

    @enable_ki_protection
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_value is not None:
            self._end_after_error()
            return
        await self._end(self._held())

    async def _end(self, lease: Lease) -> None:
        """End the lease with its block, which has not raised. What else the end of the block does is the subclass's."""
        is_closed = self._holder.socket.fileno() == -1
        lease.end()
        if is_closed:
            raise trio.ClosedResourceError("the socket was closed while a lease on what it received was held")

    def _end_after_error(self) -> None:
        """The block raises: its error is what matters. Memory that it still holds is kept as long as it does."""
        # One of another run is ended by that run.
        if self._lease is not None and self._lease.runner is current_runner():
            self._lease.revoke("the end of its block")

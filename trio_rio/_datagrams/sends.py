"""The datagrams of one call that sends, on their way out.

They go in chunks: as many as there is room for, and as one slice holds. Between two chunks other tasks run, and the
call may be cancelled. A datagram that the system refuses is noted, and does not hold up the rest."""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING

import attrs
import trio

from .. import _trio
from .._errors import errno_from_status, text_of_errno
from .._trio import async_yield, enter_cancel_point
from .plain import PlainDatagrams

if TYPE_CHECKING:
    from collections.abc import Callable

    from .addresses import Peers
    from .queue import DatagramQueue

# Data and addresses of a chunk. A datagram that is longer goes by itself.
_CHUNK_BYTES_MAX = 65536 - 32
_PLAIN_CHUNK = 64


@attrs.define(eq=False)
class Outgoing:
    """See the module's docstring.

    ``addresses`` are packed; empty ones mean where the socket is connected to.
    """

    data: list[bytes]
    addresses: list[bytes]
    peers: Peers
    place: int = 0  # the next one
    sent: int = 0
    first_refusal: tuple[int, int] | None = None  # place, errno
    refusals: int = 0

    async def send(self, carrier: Callable[[], DatagramQueue | PlainDatagrams], plain: PlainDatagrams) -> int:
        """Send all of them; how many the system took. See ``send_many``. A checkpoint, also if it raises."""
        has_yielded = False
        try:
            while self.place < len(self.data):
                if self.place and enter_cancel_point():
                    await trio.lowlevel.checkpoint()
                by = carrier()
                if isinstance(by, PlainDatagrams):
                    has_yielded = await self._send_plain(by)
                else:
                    has_yielded = await self._send_on(by, plain)
                if not has_yielded:
                    await async_yield(_trio.SHIELDED_CHECKPOINT)
                    has_yielded = True
        except trio.Cancelled:
            if not self.sent:
                raise
        finally:
            if not has_yielded:
                await async_yield(_trio.SHIELDED_CHECKPOINT)
        self._raise_refusal()
        return self.sent

    def _raise_refusal(self) -> None:
        if self.first_refusal is not None:
            place, number = self.first_refusal
            text = text_of_errno(number)
            if len(self.data) > 1:
                text += f" ({self.refusals} of {len(self.data)} datagrams were refused, the first is at index {place})"
            raise OSError(number, text)

    def _refuse(self, place: int, number: int) -> None:
        self.refusals += 1
        if self.first_refusal is None:
            self.first_refusal = place, number

    # -- on a queue ----------------------------------------------------------------------------------------

    async def _send_on(self, queue: DatagramQueue, plain: PlainDatagrams) -> bool:
        """Send a chunk; whether it has waited."""
        sends = queue.sends
        if not self.place and (status := sends.take_error()):
            self.data, self.addresses = [], []  # the error of an earlier call is raised, and nothing sent
            self.first_refusal = 0, errno_from_status(status)
            return False
        room = sends.room()
        if not room:
            await sends.wait_for_room()
            return True
        start, end = self.place, self._end_of_chunk(room)
        data = self.data[start:end]
        batch = sends.post(b"".join(data), array("I", map(len, data)), b"".join(self.addresses[start:end]))
        if batch is None:  # no memory
            return await self._send_plain(plain, chunk=1)
        self.place = end = start + batch.count
        if batch.left and not sends.waits_for_sends:
            batch.is_left_alone = True
            self.sent += end - start
            return False
        has_waited = bool(batch.left)
        if has_waited:
            await sends.wait_until_sent(batch)
        self.sent += end - start - len(batch.failures)
        if batch.was_cancelled():
            batch.raise_cancel()
        for place, status in batch.failures:
            self._refuse(start + place, errno_from_status(status))
        return has_waited

    def _end_of_chunk(self, room: int) -> int:
        start = end = self.place
        left, with_address = _CHUNK_BYTES_MAX, bool(self.addresses[start])
        for place in range(start, min(start + room, len(self.data))):
            left -= len(self.data[place]) + len(self.addresses[place])
            if (left < 0 and place > start) or bool(self.addresses[place]) is not with_address:
                break
            end = place + 1
        return end

    # -- on the socket -------------------------------------------------------------------------------------

    async def _send_plain(self, plain: PlainDatagrams, chunk: int = _PLAIN_CHUNK) -> bool:
        has_waited = False
        for place in range(self.place, min(self.place + chunk, len(self.data))):
            packed = self.addresses[place]
            address = self.peers.text_of[packed] if packed else None
            try:
                has_waited |= await plain.send(self.data[place], address)
            except OSError as error:
                if plain.sock.fileno() == -1:
                    raise trio.ClosedResourceError("this channel is closed") from error
                self._refuse(place, error.errno or errno.EIO)
            else:
                self.sent += 1
            self.place = place + 1
        return has_waited

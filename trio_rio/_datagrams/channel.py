"""Datagram channels: UDP for Trio programs, datagram by datagram or batch by batch.

Facts. Trio has sockets for UDP, and nothing above them: a call, a system call and a turn of the run loop for each
datagram, which is most of what a datagram costs. Datagrams that come together can be handed over together.

Decision. A channel owns its socket and is its only reader. It keeps what has come and was not asked for yet, so a task
can be cancelled at any time without a loss. Its carrier is a :class:`~.queue.DatagramQueue` where RIO serves, else
:class:`~.plain.PlainDatagrams`; each call chooses anew, since a channel may outlive its run.

Rules. One task receives at a time. Any number may send. Everything async is a checkpoint, whatever it ends with."""

from __future__ import annotations

import contextlib
import errno
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from .. import _trio
from .._engine.current import current_engine
from .._engine.lease import place_of_caller
from .._engine.lease_block import leases_of_run
from .._errors import RioError, TruncatedDatagramError, text_of_errno
from .._trio import async_yield, enter_cancel_point
from ..rio.drops import datagrams_dropped
from .addresses import Peers
from .arguments import check_number, checked_socket, datagram_of, limit_of
from .lease import DatagramLease
from .looks import Looks
from .plain import PlainDatagrams
from .queue import Arrival, DatagramQueue, LentSlot, open_queue, take_first
from .sends import Outgoing
from .statistics import DatagramStatistics

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import Buffer

    from ..rio import Address

# The longest UDP datagram without its header [RFC 768]: what IPv6 can carry; IPv4 carries 20 bytes less.
_DATAGRAM_BYTES_MAX = 65527
_ONLY_TUPLES = {tuple}
_ONLY_BYTES = {bytes}


class DatagramChannel(trio.abc.AsyncResource):
    """A UDP socket, as a channel of datagrams.

    Made by :func:`open_datagram_channel`, or from a socket that you have set up yourself. It takes the socket over:
    receive through the channel only. Other methods of :attr:`socket` (``setsockopt``, ``getsockname``, ``connect``,
    ...) may be used, but where RIO serves there is no ``detach``, ``dup`` or ``share``: they raise OSError.

    It works in any Trio run. In a run on trio_rio it uses RIO; elsewhere, or where RIO has no memory left, it does the
    same with plain calls of the socket. Iterating (``async for data, address in channel``) is receiving, again and
    again.

    Args:
      socket: a Trio datagram socket over IPv4 or IPv6, bound or connected.
      receives_posted: datagrams that the channel takes from the system ahead of your calls, and so the largest batch
        that :meth:`receive_many` can bring; 1 .. 4096. More than the default of 64 makes a datagram hardly cheaper. On
        Windows a datagram that finds no receive posted is lost. Elsewhere what is beyond waits in the socket's buffer,
        so there it is the buffer (SO_RCVBUF) that must have room for a burst.
      receive_size_bytes: the longest datagram that is received whole, 1 .. 65535; by default any. Each posted receive
        has so much registered memory. Linux takes memory only for what has been received there; Windows all of it.

    Raises:
      TypeError, ValueError: not such a socket, or a number out of its range; the message says which.
      BusyResourceError: a task receives from the socket; or one has, in a run that keeps receives posted on it.
    """

    def __init__(
        self, socket: trio.socket.SocketType, *, receives_posted: int = 64, receive_size_bytes: int = 65535
    ) -> None:
        check_number("receives_posted", receives_posted, 4096)
        check_number("receive_size_bytes", receive_size_bytes, 65535)
        #: The Trio socket. Closing it closes the channel.
        self.socket = socket
        self._sock = checked_socket(socket)
        self._receives_posted = receives_posted
        self._receive_size_bytes = receive_size_bytes
        self._peers = Peers(self._sock.family)
        self._direct = self._peers.direct
        self._sendto: Any = self._sock.sendto
        self._plain = PlainDatagrams(self._sock, receives_posted, receive_size_bytes)
        self._looks = Looks(self._sock, self._plain)
        self._queue: DatagramQueue | None = None
        self._arrived: deque[Arrival] = deque()
        self._is_receiving = self._is_closed = False
        self._received = self._sent = self._truncated = self._wakeups = 0
        if _trio.current_runner() is not None:
            self._carrier()

    # -- the carrier -------------------------------------------------------------------------------------

    def _carrier(self) -> DatagramQueue | PlainDatagrams:
        """What carries datagrams now, in this run.

        Raises:
          ClosedResourceError: the channel or its socket is closed.
        """
        queue = self._queue
        if queue is not None and queue.is_usable():
            return queue
        return self._choose()

    def _choose(self) -> DatagramQueue | PlainDatagrams:
        queue = self._queue
        self._check_run()
        if self._is_closed or self._sock.fileno() == -1:
            self._arrived.clear()
            self._end_queue()
        self._check_open()
        if queue is not None:
            self._arrived.extend(queue.left_over)
            self._end_queue()
        engine = current_engine()
        # A task that waits for the socket to become readable would miss what posted receives take from it.
        if engine is None or self._is_receiving or not engine.try_claim(self._sock):
            return self._plain
        self._queue = open_queue(engine, self._sock, self._peers, self._receives_posted, self._receive_size_bytes)
        return self._queue or self._plain

    def _check_run(self) -> None:
        queue = self._queue
        if queue is not None and queue.is_of_another_run():
            raise RioError("this channel is in use by another run, which has not ended")

    def _check_open(self) -> None:
        if self._is_closed or self._sock.fileno() == -1:
            raise trio.ClosedResourceError("this channel is closed")

    def _end_queue(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.close()

    async def _carrier_in_call(self) -> DatagramQueue | PlainDatagrams:
        try:
            return self._carrier()
        except BaseException:
            await checkpoint()
            raise

    # -- receiving ---------------------------------------------------------------------------------------

    @enable_ki_protection
    async def receive(self) -> tuple[bytes, Address]:
        """Receive one datagram: its data, and the address that it came from.

        An empty datagram is ``b""``. The address has the form that :meth:`socket.socket.recvfrom` gives it:
        ``(host, port)``, or for IPv6 ``(host, port, flowinfo, scope_id)``, where an IPv4 host is ``"::ffff:a.b.c.d"``.

        A checkpoint; cancelling it takes nothing.

        Raises:
          TruncatedDatagramError: the datagram is longer than ``receive_size_bytes``; has what there was room for.
          BusyResourceError: another task is receiving.
          ClosedResourceError: the channel is closed, or is closed meanwhile.
          OSError: what the system reports in a datagram's place, such as ECONNREFUSED on a connected socket. The next
            call goes on.
        """
        if enter_cancel_point():
            await checkpoint()
        arrived = self._arrived
        if not arrived and self._queue is not None and self._queue.may_be_alone:
            self._look(takes_all=False)
        if arrived and self._sock.fileno() != -1:
            arrival = arrived.popleft()
            await async_yield(_trio.SHIELDED_CHECKPOINT)
        else:
            arrived.extend(await self._next_arrivals())
            arrival = arrived.popleft()
        if isinstance(arrival, tuple):
            self._received += 1
            return arrival
        self._truncated += isinstance(arrival, TruncatedDatagramError)
        raise arrival

    @enable_ki_protection
    async def receive_many(self, datagrams_max: int | None = None) -> list[tuple[bytes, Address]]:
        """Receive everything that has come: all that one wake-up brought, at least one datagram.

        Args:
          datagrams_max: how many at most; what is beyond waits for the next call. ``None``: all.

        Returns a list of what :meth:`receive` returns, in the order of arrival. An error that :meth:`receive` would
        raise ends the list before it, and is raised by the next call.

        A checkpoint; cancelling it takes nothing.

        Raises:
          TypeError, ValueError: ``datagrams_max`` is no integer, or below 1.

        Also raises what :meth:`receive` raises.
        """
        if enter_cancel_point():
            await checkpoint()
        if datagrams_max is not None:
            datagrams_max = await limit_of(datagrams_max)
        if not self._arrived and self._queue is not None and self._queue.may_be_alone:
            self._look(takes_all=True)
        if self._arrived and self._sock.fileno() != -1:
            arrivals = take_first(self._arrived, datagrams_max)
            await async_yield(_trio.SHIELDED_CHECKPOINT)
        else:
            arrivals = await self._next_arrivals()
            if datagrams_max is not None or set(map(type, arrivals)) != _ONLY_TUPLES:
                self._arrived.extend(arrivals)
                arrivals = take_first(self._arrived, datagrams_max)
        first = arrivals[0]
        if not isinstance(first, tuple):
            self._truncated += isinstance(first, TruncatedDatagramError)
            raise first
        self._received += len(arrivals)
        return arrivals  # type: ignore[return-value]  # tuples only

    def _look(self, *, takes_all: bool) -> None:
        """Have what has come already, if this task is alone."""
        queue = self._queue
        if queue is not None and not (self._is_receiving or self._is_closed) and queue.is_usable():
            self._arrived += self._looks.look(queue, takes_all)

    async def _begin_receiving(self) -> None:
        """Claim the receiver role, or raise BusyResourceError; the caller resets ``_is_receiving``.

        Yields only to raise.
        """
        if self._is_receiving:
            await checkpoint()
            raise trio.BusyResourceError("another task is already receiving from this channel")
        self._is_receiving = True

    async def _next_arrivals(self) -> list[Arrival]:
        """Wait for a batch. A checkpoint, also if it raises."""
        carrier = await self._carrier_in_call()
        await self._begin_receiving()
        try:
            arrivals = list(self._arrived)  # what an earlier run had left over
            self._arrived.clear()
            if arrivals or (carrier is self._plain and (arrivals := carrier.fetch())):
                await async_yield(_trio.SHIELDED_CHECKPOINT)
                self._check_open()
                return arrivals
            while True:
                await self._wait(carrier)
                if arrivals := carrier.fetch():
                    self._wakeups += 1
                    return arrivals
        finally:
            self._is_receiving = False

    async def _wait(self, carrier: DatagramQueue | PlainDatagrams) -> None:
        """Wait until there may be something to fetch."""
        await carrier.wait()
        self._check_open()  # a task that a datagram woke may find the channel closed since then
        if carrier.is_ended:
            raise trio.ClosedResourceError("another task closed this channel")

    def receive_lease(self, datagrams_max: int | None = None) -> DatagramLease:
        """Receive a batch without a copy: ``async with channel.receive_lease() as datagrams:``.

        ``datagrams`` is a list of (view, address), at least one of them, at most ``datagrams_max``. Each view is a
        writable :class:`memoryview` of a datagram's data: the registered memory itself where RIO serves, and memory of
        its own where it does not, or for what was taken from the system earlier. It ends with the block: later uses
        raise ValueError. So does closing the channel.

        What is derived from a view (a slice, an array) must be gone before the end of the block: use
        ``with view[:4] as head:``, or copy with ``bytes(view[:4])``. Else the block ends with BufferError.

        The receives of what is held are not posted again before the end of the block. So leases that are held too long
        leave datagrams in the socket's buffer, or on Windows lose them; the last receive is never lent, and the channel
        goes on. A run lends half of ``RioConfig.registered_bytes_max`` at a time: beyond that, entering a block waits
        until another ends, and what comes for a task that has entered before is copied. A lease that is dropped, or
        held at the end of the run, is reported by a ResourceWarning that names the line which called this; on stock
        Trio when it is dropped.

        Entering the block is a checkpoint; cancelled, it has taken nothing. Leaving it is none.

        Raises:
          BusyResourceError, ClosedResourceError, OSError, TypeError, ValueError: on entering, as
            :meth:`receive_many`.
          BufferError: on leaving; see above.
          ClosedResourceError: on leaving, the channel was closed in the meantime.
          RioError: the lease was entered before, has ended before, or belongs to another run.
        """
        return DatagramLease(self, partial(self._receive_for_lease, datagrams_max), place_of_caller())

    async def _receive_for_lease(
        self, datagrams_max: int | None
    ) -> tuple[DatagramQueue, list[LentSlot]] | list[tuple[bytes, Address]]:
        """A batch that is lent, or one that is copied. A checkpoint, also if it raises."""
        if enter_cancel_point():
            await checkpoint()
        limit = self._receives_posted if datagrams_max is None else await limit_of(datagrams_max)
        carrier = await self._carrier_in_call()
        if self._arrived or not isinstance(carrier, DatagramQueue):
            return await self.receive_many(datagrams_max)
        await self._begin_receiving()
        slots: list[LentSlot] = []
        try:
            while not (slots or self._arrived):
                await self._wait(carrier)
                if leases_of_run().is_full():  # other tasks have taken the room while this one waited
                    self._arrived.extend(carrier.fetch())
                else:
                    slots, arrivals = carrier.fetch_to_lend(limit)
                    self._arrived.extend(arrivals)
        finally:
            self._is_receiving = False
        self._wakeups += 1
        if not slots:
            return await self.receive_many(datagrams_max)
        self._received += len(slots)
        return carrier, slots

    def __aiter__(self) -> Self:
        return self

    #: ``async for data, address in channel`` goes on until the channel is closed.
    __anext__ = receive

    # -- sending -----------------------------------------------------------------------------------------

    @enable_ki_protection
    async def send(self, data: Buffer, address: Address | tuple[str, int] | None = None) -> None:
        """Send one datagram.

        Args:
          data: bytes, or an object with a buffer; may be empty. It is copied.
          address: where to: ``(host, port)``, for IPv6 also with flowinfo and scope_id. A host that is a name is looked
            up, each time. ``None``: where the socket is connected to.

        Waits while the system has no room for it. It returns when the system has the datagram, which says nothing about
        its arrival. Any number of tasks may send.

        A checkpoint. Cancelled, it has sent nothing.

        Raises:
          TypeError, ValueError: no data or no address of that kind; or ``None``, and the socket is not connected.
          ClosedResourceError: the channel is closed, or is closed meanwhile.
          OSError: the system does not send it: EMSGSIZE for one that is too long, ENETUNREACH, ECONNREFUSED (for an
            earlier one, on a connected socket), and others. Where sends cannot be cancelled, it may be the error of an
            earlier one.
        """
        if enter_cancel_point():
            await checkpoint()
        queue = self._queue
        if type(data) is bytes and (queue is None or (queue.sends.waits_for_sends and not queue.sends.batches)):
            # Where the system copies a datagram at once, a request and its result cost twice as much as this call.
            try:
                if address in self._direct:
                    self._sendto(data, address)
                    await async_yield(_trio.SHIELDED_CHECKPOINT)
                    self._sent += 1
                    return
            except (BlockingIOError, InterruptedError, TypeError):  # TypeError: not hashable
                pass
            except OSError as error:
                await async_yield(_trio.SHIELDED_CHECKPOINT)
                if self._sock.fileno() == -1:
                    raise trio.ClosedResourceError("this channel is closed") from error
                raise
        await self._send_all(((data, address),))

    @enable_ki_protection
    async def send_many(self, datagrams: Iterable[tuple[Buffer, Address | tuple[str, int] | None]]) -> int:
        """Send many datagrams; how many the system has taken.

        Args:
          datagrams: (data, address) of each, as for :meth:`send`.

        Each is tried, in order. That is all of them, except when the call is cancelled after some have gone: then it
        returns how many, and the next checkpoint raises Cancelled. Cancelled before that, it has sent nothing.

        A checkpoint.

        Raises:
          OSError: the system refused some of them, and has taken the others: the first refusal, which says how many.

        Also raises what :meth:`send` raises; then nothing was sent, except that some may have been when the channel
        is closed meanwhile.
        """
        if enter_cancel_point():
            await checkpoint()
        if self._queue is not None and type(datagrams) is list and len(datagrams) == 1:
            only = datagrams[0]
            if type(only) is tuple and len(only) == 2:
                await self.send(*only)
                return 1
        return await self._send_all(datagrams)

    async def _send_all(self, datagrams: Iterable[tuple[Any, Any]]) -> int:
        try:
            data, targets = self._prepare(datagrams)
            if not data:
                self._carrier()
            packed_of = self._peers.packed_of
            try:
                addresses = [packed_of[target] for target in targets]
            except (KeyError, TypeError):  # there is a name, or what is not an address at all
                addresses = [await self._resolve(target) for target in targets]
            outgoing = Outgoing(data, addresses, self._peers)
        except BaseException:
            await checkpoint()
            raise
        try:
            return await outgoing.send(self._carrier, self._plain)
        finally:
            self._sent += outgoing.sent

    def _prepare(self, datagrams: Iterable[tuple[Any, Any]]) -> tuple[list[bytes], list[Any]]:
        """Split the datagrams into data as bytes, and addresses as they were given."""
        given = list(datagrams)
        try:
            data, targets = map(list, zip(*given, strict=True)) if given else ([], [])
        except (TypeError, ValueError):
            raise TypeError("send_many() takes (data, address) pairs") from None
        if set(map(type, data)) != _ONLY_BYTES:
            data = [one if type(one) is bytes else datagram_of(one) for one in data]
        if data and max(map(len, data)) > _DATAGRAM_BYTES_MAX:
            raise OSError(errno.EMSGSIZE, text_of_errno(errno.EMSGSIZE))
        return data, targets

    async def _resolve(self, address: Any) -> bytes:
        """The packed form of an address; a checkpoint if it must be looked up."""
        if address is not None:
            return await self._peers.resolve(address)
        try:
            self._sock.getpeername()
        except OSError:
            raise ValueError("the channel's socket is not connected: each datagram needs an address") from None
        return b""

    # -- the end -----------------------------------------------------------------------------------------

    @enable_ki_protection
    async def aclose(self) -> None:
        """Close the channel and its socket. Tasks that wait get ClosedResourceError. Twice is allowed, also at a time.

        What :meth:`send` has accepted goes out first, where sends are not waited for, within
        ``RioConfig(linger_seconds=...)``. Datagrams that nobody has asked for are dropped.

        A checkpoint. Cancelled, it closes all the same, at once.

        Raises:
          RioError: the channel is in use by another run, which has not ended. Nothing has changed.
        """
        trio.lowlevel.current_task()  # raises where there is none
        try:
            self._check_run()
        except RioError:
            await checkpoint()
            raise
        queue, was_closed, self._is_closed = self._queue, self._is_closed, True
        self._arrived.clear()
        leases_of_run().end_those_of(self)
        try:
            if queue is not None and queue.is_usable():
                if not was_closed:
                    queue.wake_all()
                # Whoever ends the queue first ends the wait of the others.
                is_ended = contextlib.suppress(trio.ClosedResourceError)
                with trio.move_on_after(queue.engine.config.linger_seconds), is_ended:
                    while queue.is_lingering():
                        await queue.sends.wait_for_room()
            await checkpoint()
        finally:
            self._end_queue()
            self.socket.close()

    # -- statistics ----------------------------------------------------------------------------------------

    def statistics(self) -> DatagramStatistics:
        """A snapshot. Not a checkpoint."""
        queue = self._queue
        is_served = queue is not None and not queue.is_ended
        return DatagramStatistics(
            provider=queue.engine.provider.name if queue is not None and is_served else None,
            receives_posted=queue.receives_in_flight if queue is not None and is_served else 0,
            datagrams_received=self._received,
            datagrams_sent=self._sent,
            datagrams_truncated=self._truncated,
            datagrams_waiting=len(self._arrived),
            datagrams_dropped=datagrams_dropped(self._sock),
            sends_in_flight=queue.sends.in_flight if queue is not None and is_served else 0,
            wakeups=self._wakeups,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.socket!r}>"

"""RioStream: a byte stream on one socket, one coroutine frame per call.

Facts. ``trio.SocketStream`` puts two context managers, a conflict detector, a memoryview and the socket's own coroutine
between a caller and the kernel: seven frames for a receive. On a completion queue the rest is so little that those
frames are most of what an echo costs. A program sees of them only what they promise: errors of the socket as
ClosedResourceError or BrokenResourceError, one sender at a time, each call a checkpoint.

Consequence. The common case should be written out in the call itself: post, wait, take. Everything else may take the
long way, through the methods of the socket.

Decision. Each call tries the channel first; there is one when the run has an engine and RIO can serve the socket. Where
there is none, or it cannot serve this very call, the call uses the methods of the socket. So the class works in each
run of Trio, with any Trio socket. Where there is an engine in C, the common case is done there (:mod:`.._engine.in_c`).
"""

from __future__ import annotations

import contextlib
import socket as stdlib_socket
from pickle import PickleBuffer
from typing import TYPE_CHECKING, final, overload

import trio
from trio.lowlevel import enable_ki_protection

from .._engine.fields import native
from .._engine.in_c import begin_in_c
from .._engine.lease import place_of_caller
from .._engine.lease_block import leases_of_run
from .._engine.taking import receive_bulk
from .._sockets.own_way import recv_when_ready
from .._trio import SHIELDED_CHECKPOINT, async_yield, checkpoint_at_once
from .base import StreamOnSocket, raise_translated
from .lease import ReceiveLease, SendLease

if TYPE_CHECKING:
    from typing_extensions import Buffer


# The size of a receive that names none, where RIO does not serve: SocketStream's figure.
_RECEIVE_SIZE_BYTES = 65536

# Bytes that the kernel may hold unsent before a stream counts as not writable: SocketStream's figure.
_NOT_SENT_LOW_WATER_BYTES = 16384


def set_stream_options(socket: trio.socket.SocketType) -> None:
    """Set the options that a stream's socket has; on a listening socket, for what it accepts, where that inherits."""
    # A socket that is no TCP socket has no such options.
    with contextlib.suppress(OSError):
        socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
    if hasattr(trio.socket, "TCP_NOTSENT_LOWAT"):
        with contextlib.suppress(OSError):
            socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, _NOT_SENT_LOW_WATER_BYTES)


@final
class RioStream(StreamOnSocket):
    """A byte stream on a connected socket: a :class:`trio.abc.HalfCloseableStream`.

    It behaves as :class:`trio.SocketStream` does, with the same errors in the same cases, and costs less. In a run of
    stock Trio, and on a socket that RIO cannot serve (a UNIX socket, or one that is not of Trio's own class), it uses
    the socket's own methods. ``isinstance(stream, trio.SocketStream)`` is true, for libraries that ask before they use
    ``stream.socket``.

    Args:
      socket: a Trio socket of type ``SOCK_STREAM``, connected. The stream owns it: closing the stream closes it.
        TCP_NODELAY is set on it, and TCP_NOTSENT_LOWAT (16 KiB) where there is one; :meth:`setsockopt` changes that.

    Raises:
      TypeError: not a Trio socket.
      ValueError: not of type ``SOCK_STREAM``.
    """

    __slots__ = ()

    def __init__(self, socket: trio.socket.SocketType) -> None:
        if not isinstance(socket, trio.socket.SocketType):
            raise TypeError("RioStream requires a Trio socket object")
        if socket.type != stdlib_socket.SOCK_STREAM:
            raise ValueError("RioStream requires a SOCK_STREAM socket")
        self._begin(socket)
        set_stream_options(socket)

    # -- receiving -------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what is there, or wait until something is. A checkpoint; cancelling it takes nothing.

        Args:
          max_bytes: return at most this many bytes, at least 1. ``None``: as many as seem right; where much comes,
            up to ``RioConfig.bulk_slice_size_bytes`` (1 MiB).

        Returns:
          At least one byte; ``b""`` if the peer has ended the stream.

        Raises:
          ValueError: ``max_bytes`` is less than 1.
          BusyResourceError: another task is receiving.
          BrokenResourceError: the connection is broken; ``__cause__`` is the OSError.
          ClosedResourceError: the stream was closed, before or meanwhile.
        """
        channel = self._channel
        try:
            if channel is not None and channel.is_direct:
                size = channel.receive_size_bytes if max_bytes is None else max_bytes
                is_size = type(size) is int and size > 0
                if is_size and channel.is_bulk and (bulk := await receive_bulk(channel, size)) is not None:
                    return bulk
                request = channel.post_receive(size, True) if is_size else None
                if request is not None:
                    woken = await async_yield(request.message)
                    if woken is not request or request.status:
                        woken.unwrap()
                    return channel.take_bytes(request)
            return await self._receive_otherwise(max_bytes)
        except OSError as error:
            raise_translated(error)

    async def _receive_otherwise(self, max_bytes: int | None) -> bytes:
        size = _RECEIVE_SIZE_BYTES if max_bytes is None else max_bytes
        if size < 1:
            raise ValueError(f"max_bytes must be at least 1, not {size}")
        channel = self._find_channel()
        if channel is not None and channel.ahead is not None and type(size) is int:
            received: tuple[bytes, object] | None = await channel.ahead.receive(size)
            if received is not None:
                return received[0]
        return await self.socket.recv(size)

    def receive_lease(self) -> ReceiveLease:
        """Receive without a copy: ``async with stream.receive_lease() as view:``.

        ``view`` is a writable :class:`memoryview` of what was received: at least one byte, or none if the peer has
        ended the stream. It is the registered memory itself where RIO serves, and memory of its own where it does not.
        It ends with the block: later uses raise ValueError. So does closing the stream. Several leases on one stream
        may be held at a time; each has the bytes that follow those of the one before.

        What is derived from the view (a slice, an array) must be gone before the end of the block: use
        ``with view[:4] as head:``, or copy with ``bytes(view[:4])``. Else the block ends with BufferError.

        A run lends half of ``RioConfig.registered_bytes_max`` at a time. Then entering a block waits until another
        ends, and the peer has to wait too; what comes for a task that has entered before is copied. A lease that is
        dropped, or held at the end of the run, is reported by a ResourceWarning that names the line which called this;
        on stock Trio when it is dropped.

        Entering the block is a checkpoint; cancelled, it has taken nothing. Leaving it is none.

        Raises:
          BusyResourceError, BrokenResourceError, ClosedResourceError: on entering, as :meth:`receive_some`.
          BufferError: on leaving; see above.
          ClosedResourceError: on leaving, the stream was closed in the meantime.
          RioError: the lease was entered before, has ended before, or belongs to another run.
        """
        return ReceiveLease(self, place_of_caller())

    # -- sending ---------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``. A checkpoint. Cancelled, it has sent an unknown part: then close the stream.

        ``data`` must not change before this returns: a long one is sent from where it is. All bytes of it are sent,
        also where the items of a memoryview are wider.

        Raises:
          BusyResourceError: another task is sending.
          BrokenResourceError: the connection is broken; ``__cause__`` is the OSError.
          ClosedResourceError: the stream was closed, before or meanwhile, or :meth:`send_eof` was called.
          TypeError: ``data`` is not bytes-like.
          BufferError: ``data`` is not contiguous.
        """
        channel = self._channel
        if (
            channel is None
            or self._is_sending
            or type(data) is not bytes
            or not data
            or self._sock._did_shutdown_SHUT_WR
        ):
            await self._send_all_otherwise(data)
            return
        self._is_sending = True
        sent = 0
        try:
            sent = channel.send_now(data)
            if sent == len(data):
                await async_yield(SHIELDED_CHECKPOINT)
                return
            request = None if sent else channel.post_send(data, None, wait=True)
            if request is not None:
                woken = await async_yield(request.message)
                if woken is not request or request.status:
                    woken.unwrap()
                sent = request.count
                channel.pool.finish(request)
            if sent < len(data):
                await self._send_rest(memoryview(data), sent)
        except OSError as error:
            raise_translated(error)
        finally:
            self._is_sending = False

    async def _send_all_otherwise(self, data: Buffer) -> None:
        self._check_not_ended()
        self._check_not_sending()
        self._is_sending = True
        try:
            with PickleBuffer(data).raw() as view:  # flat, whatever its items are
                if view:
                    await self._send_rest(view, 0)
                else:
                    self._check_open()
                    await trio.lowlevel.checkpoint()
        except OSError as error:
            raise_translated(error)
        finally:
            self._is_sending = False

    def lease_send(self, size_bytes: int) -> SendLease:
        """Fill memory in place and send it: ``async with stream.lease_send(1000) as view:``.

        ``view`` is a writable :class:`memoryview` of ``size_bytes`` bytes, all zero, registered memory where RIO
        serves. When the block ends it is sent, all of it; :meth:`SendLease.send_only` inside the block makes it less.
        When the block raises, nothing is sent. The view ends with the block, and with the stream, as that of
        :meth:`receive_lease`; the same holds for what is derived from it, and for leases that are dropped.

        Entering the block waits while the run has lent all that it lends; both ends of it are checkpoints. Other tasks
        may send until the end of the block.

        Args:
          size_bytes: 1 .. ``RioConfig.large_slice_size_bytes``: no more fits into a slice.

        Raises:
          ValueError, TypeError: at once: ``size_bytes`` is no such number.
          ClosedResourceError: on entering and on leaving, as :meth:`send_all`.
          BusyResourceError, BrokenResourceError: on leaving, as :meth:`send_all`.
          BufferError: on leaving: something derived from the view is still in use. Nothing was sent.
          RioError: as for :meth:`receive_lease`.
        """
        return SendLease(self, size_bytes, place_of_caller())

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the kernel would take something. A checkpoint.

        Raises:
          BusyResourceError, BrokenResourceError, ClosedResourceError: as :meth:`send_all`; but after
            :meth:`send_eof` it is no error.
        """
        with self._sending():
            self._check_open()
            await self.socket.wait_writable()

    async def send_eof(self) -> None:
        """Tell the peer that nothing more comes; receiving goes on. A checkpoint. Twice is allowed.

        Raises:
          BusyResourceError, BrokenResourceError, ClosedResourceError: as :meth:`send_all`.
        """
        with self._sending():
            await trio.lowlevel.checkpoint()
            if not self.socket.did_shutdown_SHUT_WR:
                self.socket.shutdown(trio.socket.SHUT_WR)

    # -- the end, and options --------------------------------------------------------------------------------

    @enable_ki_protection
    async def aclose(self) -> None:
        """Close the socket at once, then a checkpoint. Twice is allowed.

        Tasks that wait on the stream get ClosedResourceError. Leases on it end: their views are unusable from now on.
        """
        self._close()
        await checkpoint_at_once()

    def _close(self) -> None:
        if self.socket.fileno() != -1:
            self._channel = None
            self.socket.close()
        leases_of_run().end_those_of(self)

    @overload
    def setsockopt(self, level: int, option: int, value: int | Buffer) -> None: ...

    @overload
    def setsockopt(self, level: int, option: int, value: None, length: int) -> None: ...

    def setsockopt(self, level: int, option: int, value: int | Buffer | None, length: int | None = None) -> None:
        """Set an option of the socket, as :meth:`socket.socket.setsockopt`. Not a checkpoint.

        Raises:
          TypeError: ``value`` is None and there is no ``length``, or there are both.
          OSError: the socket has no such option.
        """
        if length is None:
            if value is None:
                raise TypeError("setsockopt() needs a value, or None and a length")
            self.socket.setsockopt(level, option, value)
        else:
            if value is not None:
                raise TypeError(f"setsockopt() with a length needs None for the value, not {value!r}")
            self.socket.setsockopt(level, option, value, length)

    @overload
    def getsockopt(self, level: int, option: int) -> int: ...

    @overload
    def getsockopt(self, level: int, option: int, buffersize: int) -> bytes: ...

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """An option of the socket, as :meth:`socket.socket.getsockopt`. Not a checkpoint.

        Raises:
          OSError: the socket has no such option.
        """
        if buffersize == 0:
            return self.socket.getsockopt(level, option)
        return self.socket.getsockopt(level, option, buffersize)


async def _receive_when_ready(_: RioStream, sock: stdlib_socket.socket, max_bytes: int | None) -> bytes:
    try:
        return await recv_when_ready(None, sock, _RECEIVE_SIZE_BYTES if max_bytes is None else max_bytes)
    except OSError as error:
        raise_translated(error)


begin_in_c(RioStream, raise_translated, receive_some=_receive_when_ready, send_all=None)
if native is not None:
    native.setup(receive_size_bytes=_RECEIVE_SIZE_BYTES)

# httpcore, for one, asks for the class before it uses the socket.
trio.SocketStream.register(RioStream)


def rio_stream_on(socket: trio.socket.SocketType) -> RioStream:
    """Make a RioStream on a socket that has the options of a stream."""
    made = RioStream.__new__(RioStream)
    made._begin(socket)
    return made


def rio_stream_from(stream: trio.SocketStream) -> RioStream:
    """Make a RioStream of a SocketStream, which has set the options of its socket and must not be used any more."""
    return rio_stream_on(stream.socket)

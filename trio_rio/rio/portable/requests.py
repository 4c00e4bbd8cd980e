"""Request queues of the portable provider: they try requests at the socket, one after another in each direction.

Facts. Several posted receives of a stream fill in posting order, and several posted sends go out in posting
order. A non-blocking socket gives what is there, or says that it would block; a readiness report is only a
hint, and the last one until the socket is watched again. A number may have another file by the next request.

Consequence. Only the oldest request of a direction may try the socket. Whatever is left to wait for must be watched
after each report; and at each request that begins to wait, though the socket is watched already: so the poll set
notices another file, as Trio's own does.

Decision. Each direction is a queue whose head is tried within the post (with RIO_MSG_DEFER: at the commit) and, when it
would block, at each report. Only the head can be half done, so ``done`` belongs to the direction. A wait starts what is
deferred, which RIO allows.

A socket that was closed without the provider has ``fileno() == -1``: each attempt fails, so its requests end
with WSAENOTSOCK as soon as anything touches the queue.
"""

from __future__ import annotations

import abc
import errno
import socket
from collections import deque
from typing import ClassVar

import attrs

from ..api import RIO_MSG_DEFER, RIO_MSG_DONT_NOTIFY, RIO_MSG_WAITALL, SOCKADDR_INET_SIZE_BYTES, RequestQueue
from ..checks import raw_family, raw_type
from ..credits import Credits
from ..errors import Status, status_from_errno
from ..types import MSG_PART
from .driver import ReadinessDriver
from .queues import CompletionState, Request, native_address, packed_address

# The socket is non-blocking already, but a copy of it in another process could change that for both.
_DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
_SEND_FLAGS: int = _DONT_WAIT | getattr(socket, "MSG_NOSIGNAL", 0)

# Windows has no recvmsg; there recvfrom_into itself fails with WSAEMSGSIZE when a datagram was cut.
_HAS_RECVMSG = hasattr(socket.socket, "recvmsg_into")
_TRUNCATED: int = getattr(socket, "MSG_TRUNC", 0)

_NO_ADDRESS = bytes(SOCKADDR_INET_SIZE_BYTES)

_ORDINARY_FLAGS = RIO_MSG_DONT_NOTIFY | RIO_MSG_DEFER


@attrs.define(eq=False)
class Memory:
    """The registrations that the request queues of one provider look up.

    Receives look in ``writable``, sends in ``readable``, which has the same and what is registered for sending only.
    """

    writable: dict[int, memoryview] = attrs.field(factory=dict)
    readable: dict[int, memoryview] = attrs.field(factory=dict)
    # Where a request without data points.
    nothing: memoryview = attrs.field(factory=lambda: memoryview(bytearray()))


def _status_of(error: OSError) -> int:
    number = error.errno or errno.EIO
    return Status.ENOTSOCK if number == errno.EBADF else status_from_errno(number)


@attrs.define(eq=False)
class RequestSide(Credits[CompletionState], abc.ABC):
    """One direction of one socket. Every method but ``post``, ``post_addressed`` and ``commit`` has the lock held.

    ``pending`` holds what has not completed, head first. Readiness is watched while anything is pending. ``done``
    counts the bytes that the head has moved so far.
    """

    flags_taken: ClassVar[int] = _ORDINARY_FLAGS
    # A stream has no empty messages: no bytes received means its end.
    length_min: ClassVar[int] = 1
    takes_address: ClassVar[bool] = False

    driver: ReadinessDriver
    memory: Memory
    registrations: dict[int, memoryview]
    sock: socket.socket
    queues: SocketQueues | None  # None: ended, and no cycle keeps the socket
    socket_context: int
    family: int
    # Declared again: to type checkers `+=` below would be a declaration of another attribute.
    outstanding: int = attrs.field(default=0, init=False)
    pending: deque[Request] = attrs.field(factory=deque)
    done: int = 0

    def note_done(self, count: int) -> None:
        """Remember how many bytes the head has moved so far."""
        self.done = count

    @abc.abstractmethod
    def attempt(self, request: Request) -> bool:
        """Try the socket for the head: True when it has completed, False when it would block."""

    def post(self, buffer_id: int, offset: int, length: int, flags: int, context: int) -> int:
        """The flat form of RIOReceive and RIOSend."""
        self.driver.refuse_other_process()
        with self.driver.lock:
            if self.is_ended:
                return self._refusal()
            memory = self.registrations.get(buffer_id)
            if memory is None:
                if buffer_id or length:
                    return Status.EFAULT
                memory = self.memory.nothing
            elif offset < 0 or offset + length > len(memory):
                return Status.EINVAL
            if length < self.length_min or flags & ~self.flags_taken:
                return Status.EINVAL
            if self.outstanding >= self.limit:
                return Status.ENOBUFS
            self._accept((memory[offset : offset + length], flags, context, None))
            return 0

    def post_addressed(
        self,
        buffer_id: int,
        offset: int,
        length: int,
        address_buffer_id: int,
        address_offset: int,
        flags: int,
        context: int,
    ) -> int:
        """The flat form of RIOReceiveEx and RIOSendEx."""
        self.driver.refuse_other_process()
        with self.driver.lock:
            if self.is_ended:
                return self._refusal()
            target = self._slice(address_buffer_id, address_offset, SOCKADDR_INET_SIZE_BYTES)
            if isinstance(target, int):
                return target
            data = self._slice(buffer_id, offset, length) if buffer_id or length else self.memory.nothing
            if isinstance(data, int):
                return data
            if not self.takes_address or flags & ~self.flags_taken:
                return Status.EINVAL
            if self.outstanding >= self.limit:
                return Status.ENOBUFS
            self._accept((data, flags, context, target))
            return 0

    def commit(self) -> int:
        """COMMIT_ONLY: start what was deferred."""
        self.driver.refuse_other_process()
        with self.driver.lock:
            if self.is_ended:
                return self._refusal()
            if self.sock.fileno() < 0:
                self._lose()
            elif self in self.driver.deferred:
                self._commit()
            return 0

    def _refusal(self) -> int:
        """Refuse a post that was waiting for the lock while the socket, or the provider, was closed."""
        self.driver.refuse_closed()
        return Status.ENOBUFS

    def _slice(self, buffer_id: int, offset: int, length: int) -> memoryview | int:
        """A slice of a registration, or why there is none: a Winsock code."""
        memory = self.registrations.get(buffer_id)
        if memory is None:
            return Status.EFAULT
        if offset < 0 or length < 0 or offset + length > len(memory):
            return Status.EINVAL
        return memory[offset : offset + length]

    def _accept(self, request: Request) -> None:
        self.outstanding += 1
        if self.pending:
            self.pending.append(request)
            if self.sock.fileno() < 0:
                self._lose()
            elif self in self.driver.deferred and not request[1] & RIO_MSG_DEFER:
                self._commit()
        elif request[1] & RIO_MSG_DEFER:
            self.pending.append(request)
            self.driver.deferred[self] = None
        elif not self.attempt(request):
            self.pending.append(request)
            if self.queues is not None:
                self.queues.watch()

    def _lose(self) -> None:
        if self.queues is not None:
            self.queues.lose()

    def _commit(self) -> None:
        del self.driver.deferred[self]
        self.start()

    def start(self) -> None:
        """Try what is pending, and have the socket watched if something is left."""
        self.serve()
        if self.pending and self.queues is not None:
            self.queues.watch()

    def serve(self) -> None:
        """Try the pending requests in order, until one would block."""
        pending = self.pending
        while pending:
            # Off the queue first: what completes it may post, cancel or close in the same breath.
            request = pending.popleft()
            if not self.attempt(request):
                pending.appendleft(request)
                return

    def complete(self, request: Request, status: int, count: int) -> None:
        """Queue the head's result."""
        self.done = 0
        self.completions.put((status, count, self.socket_context, request[2]), self, request)

    def fail(self, request: Request, error: OSError) -> None:
        """Queue the head's result: an error of the system."""
        self.complete(request, _status_of(error), self.done)

    def cancel(self, context: int) -> None:
        """Abort what is pending with this context."""
        self._abort([request for request in self.pending if request[2] == context])

    def end(self) -> None:
        """Close the direction: abort all that is pending."""
        self.refuse_more()
        self.driver.deferred.pop(self, None)
        self._abort(list(self.pending))
        self.queues = None

    def _abort(self, requests: list[Request]) -> None:
        for request in requests:
            # Looked for each time, by identity: what completes one may change the queue.
            for index, pending in enumerate(self.pending):
                if pending is request:
                    del self.pending[index]
                    count = 0 if index else self.done
                    if not index:
                        self.done = 0
                    raw = (int(Status.OPERATION_ABORTED), count, self.socket_context, request[2])
                    self.completions.put(raw, self, request)
                    break


@attrs.define(eq=False)
class StreamReceives(RequestSide):
    """Receives of a TCP socket."""

    flags_taken: ClassVar[int] = _ORDINARY_FLAGS | RIO_MSG_WAITALL

    def attempt(self, request: Request) -> bool:
        """See :meth:`RequestSide.attempt`. No bytes at all is the end of the stream."""
        done = self.done
        view = request[0][done:] if done else request[0]
        try:
            count = self.sock.recv_into(view, 0, _DONT_WAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            self.fail(request, error)
            return True
        if request[1] & RIO_MSG_WAITALL and 0 < count < len(view):
            self.note_done(done + count)
            return False  # when there is more already, the poll set says so
        if done:
            self.note_done(0)
        self.completions.put((0, done + count, self.socket_context, request[2]), self, request)
        return True


@attrs.define(eq=False)
class StreamSends(RequestSide):
    """Sends of a TCP socket: complete when every byte is with the kernel; with MSG_PART, when some are."""

    flags_taken: ClassVar[int] = _ORDINARY_FLAGS | MSG_PART

    def attempt(self, request: Request) -> bool:
        done = self.done
        view = request[0][done:] if done else request[0]
        try:
            count = self.sock.send(view, _SEND_FLAGS)
        except BlockingIOError:
            return False
        except OSError as error:
            self.fail(request, error)
            return True
        if count < len(view) and not request[1] & MSG_PART:
            self.note_done(done + count)
            return False
        if done:
            self.note_done(0)
        self.completions.put((0, done + count, self.socket_context, request[2]), self, request)
        return True


@attrs.define(eq=False)
class DatagramReceives(RequestSide):
    """Receives of a UDP socket: one datagram each."""

    length_min: ClassVar[int] = 0
    takes_address: ClassVar[bool] = True

    def attempt(self, request: Request) -> bool:
        """See :meth:`RequestSide.attempt`. A datagram that is too long fills the slice and fails."""
        view, target = request[0], request[3]
        flags = 0
        try:
            if _HAS_RECVMSG:
                count, _, flags, address = self.sock.recvmsg_into((view,), 0, _DONT_WAIT)
            else:
                count, address = self.sock.recvfrom_into(view)
        except BlockingIOError:
            return False
        except OSError as error:
            self.note_done(len(view) if error.errno == errno.EMSGSIZE else 0)
            self.fail(request, error)
            return True
        if target is not None:  # without an address it must not keep that of another datagram
            target[:] = packed_address(self.family, address) if address else _NO_ADDRESS
        if flags & _TRUNCATED:
            self.complete(request, Status.EMSGSIZE, len(view))
        else:
            self.completions.put((0, count, self.socket_context, request[2]), self, request)
        return True


@attrs.define(eq=False)
class DatagramSends(RequestSide):
    """Sends of a UDP socket: one datagram each, whole or not at all."""

    length_min: ClassVar[int] = 0
    takes_address: ClassVar[bool] = True

    def attempt(self, request: Request) -> bool:
        target = request[3]
        try:
            if target is None:
                count = self.sock.send(request[0], _SEND_FLAGS)
            else:
                address = native_address(self.family, bytes(target))
                count = self.sock.sendto(request[0], _SEND_FLAGS, address)
        except BlockingIOError:
            return False
        except OSError as error:
            self.fail(request, error)
            return True
        self.completions.put((0, count, self.socket_context, request[2]), self, request)
        return True


@attrs.define(eq=False)
class SocketQueues:
    """Both directions of one socket, and its place in the poll set."""

    driver: ReadinessDriver
    sock: socket.socket
    fd: int
    request_queue: RequestQueue = attrs.field(init=False)
    receives: RequestSide = attrs.field(init=False)
    sends: RequestSide = attrs.field(init=False)
    _watched: tuple[bool, bool] = False, False  # what the next report is for

    @classmethod
    def make(
        cls,
        driver: ReadinessDriver,
        memory: Memory,
        sock: socket.socket,
        limits: tuple[int, int],
        completions: tuple[CompletionState, CompletionState],
        socket_context: int,
    ) -> SocketQueues:
        """Queues with ``(receive, send)`` limits, charged to those completion queues, in the poll set's care."""
        self = cls(driver, sock, sock.fileno())
        is_stream = raw_type(sock) == socket.SOCK_STREAM
        receives, sends = (StreamReceives, StreamSends) if is_stream else (DatagramReceives, DatagramSends)
        family = raw_family(sock)
        self.receives = receives(
            completions[0], limits[0], driver, memory, memory.writable, sock, self, socket_context, family
        )
        self.sends = sends(
            completions[1], limits[1], driver, memory, memory.readable, sock, self, socket_context, family
        )
        driver.sockets[self.fd] = self
        return self

    def rebind(self, sock: socket.socket) -> None:
        """Go on with a socket object of the same file, under another number perhaps."""
        self.forget()
        self.sock = self.receives.sock = self.sends.sock = sock
        self.fd = sock.fileno()
        self.driver.sockets[self.fd] = self
        if self.receives.pending or self.sends.pending:
            self.watch()

    def watch(self) -> None:
        """Have the socket watched for what is pending, anew if it is watched already."""
        sides = self.receives, self.sends
        self._watched = bool(sides[0].pending), bool(sides[1].pending)
        try:
            self.driver.waits.watch(self.fd, *self._watched)
        except OSError as error:  # refused by the system: nothing would ever be reported
            for side in sides:
                while side.pending:
                    side.fail(side.pending.popleft(), error)

    def on_ready(self, readable: bool, writable: bool) -> None:
        """Serve what can go on, and watch again for the rest: a watch reports once."""
        self._watched = False, False
        for is_ready, side in ((readable, self.receives), (writable, self.sends)):
            if is_ready:
                side.serve()
        wanted = bool(self.receives.pending), bool(self.sends.pending)
        if any(wanted) and wanted != self._watched and self.driver.sockets.get(self.fd) is self:
            self.watch()

    def lose(self) -> None:
        """Fail every request of a socket that was closed without the provider, and forget its number."""
        self.forget()
        self.receives.serve()
        self.sends.serve()

    def forget(self) -> None:
        """Leave the poll set. The number may belong to another socket after this."""
        if self.driver.sockets.get(self.fd) is self:
            del self.driver.sockets[self.fd]
            self.driver.waits.unwatch(self.fd)

    def end(self) -> None:
        """Abort what is pending in both directions."""
        self.forget()
        self.receives.end()
        self.sends.end()

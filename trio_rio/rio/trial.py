"""Whether a provider moves bytes: a datagram, and a byte of a stream, that it sends to itself.

Facts. There are builds of Windows 11 whose function table resolves, and whose RIORegisterBuffer and
RIOCreateCompletionQueue answer WSAEFAULT; on others all of it can be made, and nothing ever completes. Sandboxes let a
ring be made and fail its operations. The loopback interface may be missing, or filtered: then no socket
can send to another, and that says nothing of a provider.

Consequence. Only a byte that was sent, has arrived, completed and was announced shows that a provider serves.

Decision. Both kinds of sockets are tried, with a packet at a port, within one second together; it takes a fraction of a
millisecond. A refusal says which step it was. When nothing comes, plain sockets are asked whether the loopback brings
anything at all.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import attrs

from .api import CompletionQueue, Port, PortNotification, Provider, RegisteredBuffer, RequestQueue, RioResult
from .errors import RioCallError, RioUnavailableError, error_from_status

PATIENCE_SECONDS = 1.0

_LOOPBACK = "127.0.0.1"
_KINDS = {socket.SOCK_DGRAM: "a datagram", socket.SOCK_STREAM: "a byte of a stream"}
_SENT = b"R"

# Places in the memory of the trial, and the contexts of its two requests.
_RECEIVE, _SEND = 0, 1
_ROOM = 4 * len(_KINDS)

_FILTERED = (
    "look for what filters the network here, such as a virus scanner or another layered service provider (netsh "
    "winsock show catalog); until then portable serves"
)


class NothingCameError(RioUnavailableError):
    """A provider takes requests, but their results or notifications never come."""


def move_bytes(provider: Provider) -> bool:
    """Have a new provider send to itself. False: it could not be tried now, for want of descriptors or a loopback.

    Where the loopback brings nothing in time there is nothing to try either, and asking again would take as long.

    Raises:
      RioUnavailableError: it does not arrive; says at which step, and what to do.
    """
    try:
        with contextlib.ExitStack() as stack:
            trial = _prepare(provider, stack)
            for place, (kind, what) in enumerate(_KINDS.items()):
                sender, receiver = stack.enter_context(_sockets(provider, kind))
                try:
                    trial.move(what, 2 * place, sender, receiver)
                except NothingCameError:
                    if _brings(kind):
                        raise
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _prepare(provider: Provider, stack: contextlib.ExitStack) -> _Trial:
    with _refusal(provider, "memory cannot be registered"):
        memory = bytearray(len(_KINDS) * 2)
        registered = provider.register_buffer(memory)
    stack.callback(provider.deregister_buffer, registered)
    with _refusal(provider, "no port can be made"):
        port = provider.create_port()
    stack.callback(port.close)
    with _refusal(provider, "no queue can be made"):
        queue = provider.create_completion_queue(_ROOM, PortNotification(port, 0))
    stack.callback(provider.close_completion_queue, queue)
    return _Trial(provider, memory, registered, port, queue)


@contextlib.contextmanager
def _refusal(provider: Provider, what: str) -> Iterator[None]:
    """Turn a refused RIO call into a refusal of the provider."""
    try:
        yield
    except RioCallError as error:
        reason = f"there is a RIO function table, but {what}: {error}"
        raise RioUnavailableError(provider.name, reason, _FILTERED) from error


@contextlib.contextmanager
def _sockets(maker: Provider | None, kind: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends connected over the loopback; plain sockets if the provider makes none. A datagram socket is both."""
    make = socket.socket if maker is None else maker.make_socket
    with make(socket.AF_INET, kind) as first, contextlib.ExitStack() as stack:
        first.settimeout(PATIENCE_SECONDS)
        first.bind((_LOOPBACK, 0))
        if kind == socket.SOCK_DGRAM:
            first.connect(first.getsockname())
            yield first, first
            return
        first.listen(1)
        sender = stack.enter_context(make(socket.AF_INET, kind))
        sender.settimeout(PATIENCE_SECONDS)
        sender.connect(first.getsockname())
        receiver, address = first.accept()
        stack.enter_context(receiver)
        if address != sender.getsockname():
            raise ConnectionError("another process has connected")
        yield sender, receiver


def _brings(kind: int) -> bool:
    """Whether plain sockets of a kind can send to themselves here."""
    try:
        with _sockets(None, kind) as (sender, receiver):
            sender.send(_SENT)
            receiver.settimeout(PATIENCE_SECONDS)
            return receiver.recv(1) == _SENT
    except OSError:
        return False


@attrs.define
class _Trial:
    """The port, queue and memory with which one provider is tried."""

    provider: Provider
    memory: bytearray
    registered: RegisteredBuffer
    port: Port
    queue: CompletionQueue
    deadline: float = attrs.field(factory=lambda: time.monotonic() + PATIENCE_SECONDS)

    def move(self, what: str, place: int, sender: socket.socket, receiver: socket.socket) -> None:
        """Send one byte, and see it arrive. Uses two bytes of the memory, from ``place`` on."""
        provider = self.provider
        self.memory[place + _SEND : place + _SEND + 1] = _SENT
        with contextlib.ExitStack() as stack:
            with _refusal(provider, f"no queue can be made for {what}"):
                receives = self._attach(receiver, stack)
                sends = receives if sender is receiver else self._attach(sender, stack)
            with _refusal(provider, f"{what} cannot be posted"):
                provider.receive(receives, self.registered.slice(place + _RECEIVE, 1), 1, 0, _RECEIVE)
                provider.send(sends, self.registered.slice(place + _SEND, 1), 1, 0, _SEND)
            results = self._collect(what)
        for context, verb in ((_RECEIVE, "receiving"), (_SEND, "sending")):
            if results[context].status:
                error = error_from_status(results[context].status)
                raise RioUnavailableError(provider.name, f"{verb} {what} to itself failed: {error}", _FILTERED)
        if self.memory[place : place + 1] != _SENT or results[_RECEIVE].bytes_transferred != 1:
            raise RioUnavailableError(provider.name, f"{what} that it sent to itself came changed", _FILTERED)

    def _attach(self, sock: socket.socket, stack: contextlib.ExitStack) -> RequestQueue:
        queue = self.provider.create_request_queue(sock, 1, 1, 1, 1, self.queue, self.queue, 0)
        stack.callback(self.provider.close_socket, queue)
        return queue

    def _collect(self, what: str) -> dict[int, RioResult]:
        """Wait for both results and a packet that announces them. A packet may be a moment behind its result."""
        results: dict[int, RioResult] = {}
        is_announced = False
        while len(results) < 2 or not is_announced:
            left = self.deadline - time.monotonic()
            if left <= 0:
                missing = "completed, and no notification came" if results else "never completed"
                reason = f"{what} that was sent to itself {missing} within {PATIENCE_SECONDS:g} s"
                raise NothingCameError(self.provider.name, reason, _FILTERED)
            self.queue.arm()
            is_announced = bool(self.port.wait(left))
            found = self.provider.dequeue_completion(self.queue, _ROOM)
            results.update((result.request_context, result) for result in found)
        return results

"""Load from plain sockets: every byte that comes back is compared.

Sockets of the standard library in another process than the servers, so that the verdict does not depend on the code of
trio_rio.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any

import attrs

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 20


class LoadError(Exception):
    """A server did not do what it must."""


def describe_difference(expected: bytes, got: bytes | bytearray) -> str:
    """Where two byte strings begin to differ."""
    at = next((i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got)))
    return f"{len(got)} bytes instead of {len(expected)}, different from byte {at}"


@contextlib.contextmanager
def connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """``count`` connected sockets, closed at the end."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection((HOST, port), TIMEOUT_SECONDS))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            clients.append(client)
        yield clients


@contextlib.contextmanager
def datagram_sockets(port: int, count: int) -> Iterator[list[socket.socket]]:
    """``count`` UDP sockets that are connected to the server, closed at the end."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            client.connect((HOST, port))
            client.setblocking(False)
            clients.append(client)
        yield clients


@attrs.define(eq=False)
class EchoLoad:
    """Connections with one message under way on each: the next goes out when the last is back, unchanged."""

    clients: list[socket.socket]
    message_size_bytes: int = 64
    _messages: bytes = attrs.field(init=False)  # the message with number n is the slice from n
    _under_way: dict[socket.socket, bytes] = attrs.field(factory=dict, init=False)
    _partial: dict[socket.socket, bytes] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._messages = os.urandom(self.message_size_bytes + len(self.clients))

    def run(self, duration_seconds: float) -> tuple[int, float]:
        """Exchange messages for that long; the number that came back, and the seconds that it really took.

        Raises:
          LoadError: a message came back changed, or not at all.
        """
        count = 0
        with selectors.DefaultSelector() as selector:
            for client in self.clients:
                selector.register(client, selectors.EVENT_READ)
            started = time.perf_counter()
            for number, client in enumerate(self.clients):
                self._send(client, number)
            while self._under_way:
                ready = selector.select(TIMEOUT_SECONDS)
                if not ready:
                    raise LoadError(f"{len(self._under_way)} messages did not come back in {TIMEOUT_SECONDS} s")
                is_over = time.perf_counter() - started >= duration_seconds
                for number, (key, _) in enumerate(ready):
                    answering: Any = key.fileobj
                    if self._receive(answering):
                        count += 1
                        if not is_over:
                            self._send(answering, number)
            return count, time.perf_counter() - started

    def _send(self, client: socket.socket, number: int) -> None:
        self._under_way[client] = message = self._messages[number : number + self.message_size_bytes]
        client.send(message)

    def _receive(self, client: socket.socket) -> bool:
        """Whether the message of this connection is complete now."""
        chunk = client.recv(self.message_size_bytes)
        data = self._partial.pop(client, b"") + chunk
        expected = self._under_way[client]
        if data == expected:
            del self._under_way[client]
            return True
        if not chunk or not expected.startswith(data):
            raise LoadError(f"echo: {describe_difference(expected, data)}")
        self._partial[client] = data
        return False


@attrs.define(eq=False)
class ConnectLoad:
    """One connection after the other: a message there and back, then the server closes."""

    port: int
    message: bytes = attrs.field(factory=lambda: os.urandom(64))

    def run(self, duration_seconds: float) -> tuple[int, float]:
        """Connect for that long; the number of connections, and the seconds that it really took.

        Raises:
          LoadError: the message came back changed, or something after it.
        """
        count = 0
        started = time.perf_counter()
        while (seconds := time.perf_counter() - started) < duration_seconds or not count:
            with socket.create_connection((HOST, self.port), TIMEOUT_SECONDS) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.sendall(self.message)
                # To the end: so it is the server that closes first, and no port of ours has to rest.
                data = b"".join(iter(lambda: client.recv(4096), b""))
            if data != self.message:
                raise LoadError(f"echo: {describe_difference(self.message, data)}")
            count += 1
        return count, seconds

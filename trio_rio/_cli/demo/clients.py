"""The clients of the demonstration: they trust nothing and compare every byte.

They run in another process than the servers, on httpx and the sockets of the standard library, so that their verdict
does not depend on the code of trio_rio.
"""

from __future__ import annotations

import os
import random
import re
import selectors
import socket
from typing import Any

import attrs
import httpx

from ..load import HOST, TIMEOUT_SECONDS, LoadError, connections, describe_difference
from .http import reference_bytes

# -- HTTP --------------------------------------------------------------------------------------------------


@attrs.frozen
class Exchange:
    """A request and the answer that must come."""

    method: str
    path: str
    expected_status: int
    expected_body: bytes | None = None
    body: bytes | None = None


def http_exchanges() -> list[Exchange]:
    """What is asked of the HTTP server, in this order on one connection."""
    upload = os.urandom(3_000_000)
    downloads = [Exchange("GET", f"/bytes/{n}", 200, reference_bytes(n)) for n in (0, 1, 1000, 65_537, 4_000_000)]
    uploads = [Exchange("POST", "/echo", 200, upload[:n], upload[:n]) for n in (0, 1, 1025, 3_000_000)]
    return [
        Exchange("GET", "/", 200, b"served by a Trio program\n"),
        *downloads,
        Exchange("HEAD", "/bytes/1000", 200, b""),
        *uploads,
        Exchange("GET", "/nowhere", 404),
        Exchange("GET", "/echo", 405),
    ]


# What a client may not send, and the status that refuses it.
MALFORMED: tuple[tuple[bytes, int], ...] = (
    (b"hello\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nnul: \0\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nten\r\n", 400),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"GET / HTTP/1.1\r\nHost: a\r\nendless: " + b"a" * 100_000, 431),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
)


def http_client(port: int) -> httpx.Client:
    """A client of the HTTP server, which heeds no proxy of the environment, and loads no certificates."""
    return httpx.Client(base_url=f"http://{HOST}:{port}", timeout=TIMEOUT_SECONDS, trust_env=False, verify=False)


def check_http(port: int) -> tuple[int, int]:
    """Make every exchange, on one connection, and compare; how many there were, and the bytes of body compared.

    Raises:
      LoadError: a status or a body is not what it must be, or the connection was not kept.
    """
    exchanges = http_exchanges()
    compared = 0
    connections = set()
    with http_client(port) as client:
        for exchange in exchanges:
            what = f"{exchange.method} {exchange.path}"
            answer = client.request(exchange.method, exchange.path, content=exchange.body)
            connections.add(answer.extensions["network_stream"])
            if answer.status_code != exchange.expected_status:
                raise LoadError(f"{what}: status {answer.status_code} instead of {exchange.expected_status}")
            if exchange.expected_body is not None:
                if answer.content != exchange.expected_body:
                    raise LoadError(f"{what}: {describe_difference(exchange.expected_body, answer.content)}")
                compared += len(answer.content)
    if len(connections) != 1:
        raise LoadError(f"{len(exchanges)} requests took {len(connections)} connections instead of 1")
    return len(exchanges), compared


def check_malformed(port: int) -> int:
    """Send each malformed request on a connection of its own; return how many were refused as they must be."""
    for head, expected in MALFORMED:
        with socket.create_connection((HOST, port), TIMEOUT_SECONDS) as client:
            client.sendall(head)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
        status = int(match[1]) if match else None
        if status != expected:
            raise LoadError(f"{head[:60]!r}: status {status} instead of {expected}")
    return len(MALFORMED)


def fetch_statistics(port: int) -> dict[str, Any]:
    """The server's own counts."""
    with http_client(port) as client:
        counts: dict[str, Any] = client.get("/statistics").json()
        return counts


# -- echo --------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Transfer:
    """One connection's random bytes on their way to the echo server and back."""

    client: socket.socket
    data: bytes
    sent: int = 0
    received: bytearray = attrs.field(factory=bytearray)

    def advance(self, events: int, chunk_size_bytes: int) -> bool:
        """Receive and send what can be; True when the server has ended the connection."""
        if events & selectors.EVENT_WRITE:
            self.sent += self.client.send(self.data[self.sent : self.sent + chunk_size_bytes])
            if self.sent == len(self.data):
                self.client.shutdown(socket.SHUT_WR)
        if events & selectors.EVENT_READ:
            chunk = self.client.recv(65536)
            self.received += chunk
            return not chunk
        return False


def check_echo(port: int, connection_count: int, size_bytes: int) -> int:
    """Send random bytes on all connections at once, in chunks of random size; return how many came back equal.

    Raises:
      LoadError: a byte is missing, new or different, or nothing moves any more.
    """
    with connections(port, connection_count) as clients, selectors.DefaultSelector() as selector:
        transfers = [Transfer(client, os.urandom(size_bytes)) for client in clients]
        for transfer in transfers:
            selector.register(transfer.client, selectors.EVENT_READ | selectors.EVENT_WRITE, transfer)
        while selector.get_map():
            ready = selector.select(TIMEOUT_SECONDS)
            if not ready:
                raise LoadError(f"nothing came for {TIMEOUT_SECONDS} s")
            for key, events in ready:
                transfer = key.data
                if transfer.advance(events, random.randint(1, 65536)):
                    selector.unregister(transfer.client)
                elif transfer.sent == size_bytes and key.events & selectors.EVENT_WRITE:
                    selector.modify(transfer.client, selectors.EVENT_READ, transfer)
        for transfer in transfers:
            if transfer.received != transfer.data:
                raise LoadError(f"echo: {describe_difference(transfer.data, transfer.received)}")
    return connection_count * size_bytes

"""The load generator against servers that are at fault in ways that are known."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from .build import find_compiler
from .errors import LoadError
from .processes import LoadOptions, LoadResult, connected_generator
from .workloads import DISCIPLINES, Discipline, Shape

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="the load generator needs a C compiler")

Handler: TypeAlias = Callable[[socket.socket], None]

MESSAGE_BYTES = 100
# The message whose answer goes wrong: after the warm-up, so within the run.
FAULT_AT = 5
FAULT_TIMEOUT_SECONDS = 0.3


@contextlib.contextmanager
def tcp_server(handler: Handler) -> Iterator[int]:
    """The port of a server that calls ``handler`` for each connection, in a thread, and closes it afterwards."""
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            handler(connection)

    def accept_all(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threads.append(threading.Thread(target=handle, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept_all, args=(listener,))
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def udp_server(answers: Callable[[int, bytes], list[bytes]]) -> Iterator[int]:
    """The port of a server that sends what ``answers`` makes of each datagram and its number."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]

        def serve() -> None:
            number = 0
            while (received := sock.recvfrom(65536))[0] != b"end":
                for answer in answers(number, received[0]):
                    sock.sendto(answer, received[1])
                number += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
                stopper.sendto(b"end", ("127.0.0.1", port))
            thread.join()


def exchanges(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Each message of a connection with its number."""
    number = 0
    while message := connection.recv(MESSAGE_BYTES, socket.MSG_WAITALL):
        yield number, message
        number += 1


def drive(port: int, mode: str = "echo", discipline: Discipline = "lockstep", **options: object) -> LoadResult:
    """Run the generator with one connection for a moment."""
    settings: dict[str, object] = {
        "seconds": 0.2,
        "messages_max": 20,
        "timeout_seconds": FAULT_TIMEOUT_SECONDS,
        "shape": Shape(1, MESSAGE_BYTES),
        **options,
    }
    load = LoadOptions(mode, discipline=discipline, **settings)  # type: ignore[arg-type]
    with connected_generator(port, load) as generator:
        return generator.run()


def good(connection: socket.socket) -> None:
    for _, message in exchanges(connection):
        connection.sendall(message)


def corrupt_last_byte(connection: socket.socket) -> None:
    for number, message in exchanges(connection):
        wrong = message[:-1] + bytes([message[-1] ^ 1])
        connection.sendall(wrong if number == FAULT_AT else message)


def repeat_previous(connection: socket.socket) -> None:
    previous = b""
    for number, message in exchanges(connection):
        connection.sendall(previous if number == FAULT_AT else message)
        previous = message


def swallow(connection: socket.socket) -> None:
    for number, message in exchanges(connection):
        if number != FAULT_AT:
            connection.sendall(message)


def close_early(connection: socket.socket) -> None:
    for number, message in exchanges(connection):
        if number == FAULT_AT:
            connection.sendall(message[:10])
            return
        connection.sendall(message)


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_a_good_server_passes(discipline: Discipline) -> None:
    """A server without fault passes, and what it handled is counted: the bound on messages is reached."""
    with tcp_server(good) as port:
        result = drive(port, discipline=discipline)
    assert (result.messages, result.bytes, result.lost) == (20, 20 * MESSAGE_BYTES, 0)


@pytest.mark.parametrize("discipline", DISCIPLINES)
@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (corrupt_last_byte, "corrupt"),
        (repeat_previous, "corrupt"),
        (swallow, "timeout"),
        (close_early, "closed_early"),
    ],
)
def test_a_fault_in_an_echo_is_found(handler: Handler, kind: str, discipline: Discipline) -> None:
    """A byte changed, a message doubled, a message dropped and an early close are each found, and named."""
    with tcp_server(handler) as port, pytest.raises(LoadError) as caught:
        drive(port, discipline=discipline)
    assert caught.value.kind == kind


def test_answers_of_two_connections_exchanged_are_found() -> None:
    """An answer that belongs to another connection is found, though its bytes are good."""
    first: list[socket.socket] = []
    both = threading.Barrier(2)

    def exchanged(connection: socket.socket) -> None:
        first.append(connection)
        message = connection.recv(MESSAGE_BYTES, socket.MSG_WAITALL)
        both.wait()
        other = first[1] if connection is first[0] else first[0]
        other.sendall(message)
        connection.recv(1)

    with tcp_server(exchanged) as port, pytest.raises(LoadError) as caught:
        drive(port, shape=Shape(2, MESSAGE_BYTES))
    assert caught.value.kind == "corrupt"


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_bytes_after_the_last_answer_are_found(discipline: Discipline) -> None:
    """In accept, one byte more than was sent is found."""

    def one_too_many(connection: socket.socket) -> None:
        connection.sendall(connection.recv(MESSAGE_BYTES, socket.MSG_WAITALL) + b"!")

    with tcp_server(one_too_many) as port, pytest.raises(LoadError) as caught:
        drive(port, "accept", discipline)
    assert caught.value.kind == "corrupt"


def test_a_connection_left_open_is_found() -> None:
    """In accept, a server that does not close is found."""
    with tcp_server(good) as port, pytest.raises(LoadError) as caught:
        drive(port, "accept")
    assert caught.value.kind == "timeout"


@pytest.mark.parametrize("discipline", DISCIPLINES)
@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (lambda number, data: [data] * (2 if number == FAULT_AT else 1), "corrupt"),
        (lambda number, data: [] if number == FAULT_AT else [data], "timeout"),
        (lambda number, data: [data[:-1]], "corrupt"),
        (lambda number, data: [data[:-1] + b"\xff"], "corrupt"),
    ],
    ids=["doubled", "lost", "cut", "changed"],
)
def test_a_fault_in_a_datagram_is_found(
    answers: Callable[[int, bytes], list[bytes]], kind: str, discipline: Discipline
) -> None:
    """A datagram doubled, lost, cut or changed is found, and named."""
    with udp_server(answers) as port, pytest.raises(LoadError) as caught:
        drive(port, "udp_echo", discipline)
    assert caught.value.kind == kind


def test_datagrams_of_a_batch_may_change_places() -> None:
    """UDP promises no order, so two datagrams of one batch may come back the other way round."""
    kept: list[bytes] = []

    def pairwise_reversed(number: int, data: bytes) -> list[bytes]:
        kept.append(data)
        return [kept.pop(), kept.pop()] if len(kept) == 2 else []

    with udp_server(pairwise_reversed) as port:
        assert drive(port, "udp_echo", shape=Shape(1, MESSAGE_BYTES, pipeline=2)).messages == 20


def test_a_wrong_count_of_datagrams_is_found() -> None:
    """Under lockstep a burst of which one datagram is not counted is an error."""
    counts = {"datagrams": 0}

    def forgetful(number: int, data: bytes) -> list[bytes]:
        if data:
            counts["datagrams"] += number != FAULT_AT
            return []
        return [counts["datagrams"].to_bytes(8, "little") + bytes(8)]

    with udp_server(forgetful) as port, pytest.raises(LoadError) as caught:
        drive(port, "udp_receive", shape=Shape(1, MESSAGE_BYTES, pipeline=10))
    assert caught.value.kind == "count_mismatch"


def test_a_wrong_count_of_bytes_is_found() -> None:
    """A bulk receiver that answers one byte too few is found."""

    def forgetful(connection: socket.socket) -> None:
        count = -1
        while data := connection.recv(65536):
            count += len(data)
        connection.sendall(count.to_bytes(8, "little"))

    with tcp_server(forgetful) as port, pytest.raises(LoadError) as caught:
        drive(port, "bulk_receive")
    assert caught.value.kind == "count_mismatch"


def test_a_wrong_byte_in_bulk_is_found() -> None:
    """A bulk sender whose bytes are not the pattern is found."""

    def zeros(connection: socket.socket) -> None:
        connection.recv(8, socket.MSG_WAITALL)
        connection.sendall(bytes(MESSAGE_BYTES))
        connection.recv(1)

    with tcp_server(zeros) as port, pytest.raises(LoadError) as caught:
        drive(port, "bulk_send")
    assert caught.value.kind == "corrupt"


def test_latency_is_not_less_than_what_the_server_waited() -> None:
    """Percentiles are in microseconds and in order, and contain the 20 ms that the server took."""
    wait_seconds = 0.02

    def slow(connection: socket.socket) -> None:
        for _, message in exchanges(connection):
            time.sleep(wait_seconds)
            connection.sendall(message)

    with tcp_server(slow) as port:
        latency = drive(port, discipline="rate", messages_max=3).latency_us
    assert latency is not None
    assert latency["count"] == 3
    assert wait_seconds * 1e6 * 0.98 <= latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]


def test_nobody_listening_is_an_error() -> None:
    """A port where nobody listens is named as such."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(LoadError) as caught:
            drive(bound.getsockname()[1])
    assert caught.value.kind == "connect"


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("echo", Shape(1, 64 * 1024 + 1)),
        ("echo", Shape(1, 1024, pipeline=65)),
        ("echo", Shape(0, 64)),
        ("udp_echo", Shape(1, 7)),
        ("udp_echo", Shape(1, 64, pipeline=65)),
        ("bulk_send", Shape(1, 64, pipeline=2)),
        ("unknown", Shape(1, 64)),
    ],
)
def test_options_that_cannot_work_are_refused(mode: str, shape: Shape) -> None:
    """Options that would hang, overflow or mean nothing are refused before anything is connected."""
    with pytest.raises(LoadError) as caught:
        drive(1, mode, shape=shape)
    assert caught.value.kind == "usage"

"""Canaries: what RIO calls undefined is really reported. A run with a report fails (tests/windows/run.py)."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from . import raw
from .harness import Bench, Reports

NULL = raw.ffi.NULL


def after_closesocket(bench: Bench) -> None:
    ours, _, queue = bench.tcp()
    ours.close()
    assert not bench.receive(queue)


def commit_after_closesocket(bench: Bench) -> None:
    ours, _, queue = bench.tcp()
    ours.close()
    assert not bench.commit("RIOSend", queue)


def no_request_queue(bench: Bench) -> None:
    assert not bench.receive(NULL)


def deregister_while_in_use(bench: Bench) -> None:
    _, peer, queue = bench.tcp()
    bench.receive(queue)
    bench.table.RIODeregisterBuffer(bench.memory.id)
    peer.send(b"x")
    bench.collect(1)


def deregistered_buffer(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    bench.table.RIODeregisterBuffer(bench.memory.id)
    assert not bench.receive(queue)


def outside_the_registration(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    assert not bench.receive(queue, 4090, 7)


def offset_that_overflows(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    assert not bench.receive(queue, 0xFFFFFFFF, 2)


def receive_into_memory_of_a_receive(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    bench.receive(queue, 0, 100)
    bench.receive(queue, 99, 100)


def send_from_memory_of_a_receive(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    bench.receive(queue, 0, 100)
    bench.send(queue, b"x", 50)


def data_changed_before_it_was_sent(bench: Bench) -> None:
    _, _, queue = bench.tcp()
    bench.send(queue, b"hello", 2048, raw.DEFER)
    bench.memory.put(2048, b"jello")
    bench.commit("RIOSend", queue)
    bench.collect(1)


def data_changed_after_it_was_sent(bench: Bench) -> None:
    _, peer, queue = bench.tcp()
    bench.send(queue, b"hello")
    assert peer.recv(10) == b"hello"
    bench.memory.put(2048, b"jello")
    bench.collect(1)


def address_changed_before_it_was_sent(bench: Bench) -> None:
    _, peer, queue = bench.udp()
    host, port = peer.getsockname()
    address = struct.pack("<H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(20)
    data, remote = bench.memory.put(2048, b"hello"), bench.memory.put(1024, address)
    assert bench.table.RIOSendEx(queue, data, 1, NULL, remote, NULL, NULL, raw.DEFER, NULL)
    bench.memory.put(1024 + 27, b"x")  # a byte that no address needs is part of it, too
    bench.commit("RIOSend", queue)
    bench.collect(1)


def dequeue_from_a_closed_queue(bench: Bench) -> None:
    queue = bench.table.RIOCreateCompletionQueue(1, NULL)
    bench.table.RIOCloseCompletionQueue(queue)
    results = raw.ffi.new("RIORESULT[]", 1)
    assert bench.table.RIODequeueCompletion(queue, results, 1) == raw.CORRUPT_CQ


def arm_a_closed_queue(bench: Bench) -> None:
    queue = bench.table.RIOCreateCompletionQueue(1, NULL)
    bench.table.RIOCloseCompletionQueue(queue)
    assert bench.table.RIONotify(queue) == raw.EINVAL


def request_whose_completion_queue_is_closed(bench: Bench) -> None:
    queue = bench.table.RIOCreateCompletionQueue(8, NULL)
    ours, _ = bench.pair()
    requests = bench.table.RIOCreateRequestQueue(ours.fileno(), 4, 1, 4, 1, queue, queue, NULL)
    bench.table.RIOCloseCompletionQueue(queue)
    assert not bench.receive(requests)


def second_request_queue(bench: Bench) -> None:
    ours, _, _ = bench.tcp()
    assert bench.request_queue(ours) == NULL


def no_overlapped(bench: Bench) -> None:
    port = raw.kernel.CreateIoCompletionPort(raw.ffi.cast("void *", -1), NULL, 0, 1)
    how = raw.ffi.new("RIO_NOTIFICATION *", (2, port, NULL, NULL))
    assert bench.table.RIOCreateCompletionQueue(1, how) == NULL
    raw.kernel.CloseHandle(port)


def shared_overlapped(bench: Bench) -> None:
    port = raw.kernel.CreateIoCompletionPort(raw.ffi.cast("void *", -1), NULL, 0, 1)
    overlapped = raw.ffi.new("char[32]")
    how = raw.ffi.new("RIO_NOTIFICATION *", (2, port, NULL, overlapped))
    queues = [bench.table.RIOCreateCompletionQueue(1, how) for _ in range(2)]
    for queue in queues:
        assert queue != NULL
        bench.table.RIOCloseCompletionQueue(queue)  # before the memory of the OVERLAPPED is used again
    raw.kernel.CloseHandle(port)


def port_that_is_closed(bench: Bench) -> None:
    port = raw.kernel.CreateIoCompletionPort(raw.ffi.cast("void *", -1), NULL, 0, 1)
    overlapped = raw.ffi.new("char[32]")
    how = raw.ffi.new("RIO_NOTIFICATION *", (2, port, NULL, overlapped))
    bench.replace_queue(how, overlapped)
    _, peer, queue = bench.tcp()
    bench.receive(queue)
    bench.table.RIONotify(bench.queue)
    raw.kernel.CloseHandle(port)
    peer.send(b"x")
    bench.collect(1)


def receive_behind_a_plain_listener(bench: Bench) -> None:
    """AcceptEx, the accepting socket with the flag and the listener without."""
    with raw.new_socket(rio=False) as listener, raw.new_socket() as ours:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        raw.accept_ex(listener, ours)
        with socket.create_connection(listener.getsockname()) as peer:
            queue = bench.request_queue(ours)
            bench.receive(queue)
            peer.send(b"lost")
            time.sleep(0.1)  # nothing comes in this time, or in any other
            assert bench.dequeue() == []
            ours.close()
            bench.collect(1)


def at_once(function: Callable[[], object], reports: Reports) -> None:
    """Call it from two threads until it was reported that they met."""
    deadline = time.monotonic() + 20

    def call() -> None:
        while not reports.text() and time.monotonic() < deadline:
            function()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


CANARIES = [
    (after_closesocket, "RIOReceive: the socket of this request queue is closed"),
    (commit_after_closesocket, "RIOSend: the socket of this request queue is closed"),
    (no_request_queue, "RIOReceive: 0 is no request queue"),
    (deregister_while_in_use, "RIODeregisterBuffer: a request that is not dequeued uses the buffer"),
    (deregistered_buffer, "is deregistered"),
    (outside_the_registration, "is outside its registration of 4096 bytes"),
    (offset_that_overflows, "is outside its registration of 4096 bytes"),
    (receive_into_memory_of_a_receive, "RIOReceive: the slice overlaps"),
    (send_from_memory_of_a_receive, "RIOSend: the slice overlaps"),
    (data_changed_before_it_was_sent, "memory of the send was changed before it was dequeued"),
    (data_changed_after_it_was_sent, "memory of the send was changed before it was dequeued"),
    (address_changed_before_it_was_sent, "memory of the send was changed before it was dequeued"),
    (dequeue_from_a_closed_queue, "RIODequeueCompletion: completion queue 0x"),
    (arm_a_closed_queue, "RIONotify: completion queue 0x"),
    (request_whose_completion_queue_is_closed, "the completion queue of this request queue is closed"),
    (second_request_queue, "the socket has a request queue already"),
    (no_overlapped, "Iocp.Overlapped is no OVERLAPPED"),
    (shared_overlapped, "Iocp.Overlapped is that of another completion queue"),
    (port_that_is_closed, "the event or port is closed"),
    (receive_behind_a_plain_listener, "the listener of this socket lacked WSA_FLAG_REGISTERED_IO"),
]


@pytest.mark.parametrize(("misuse", "report"), CANARIES, ids=[misuse.__name__ for misuse, _ in CANARIES])
def test_misuse_is_reported(bench: Bench, reports: Reports, misuse: Callable[[Bench], Any], report: str) -> None:
    """One report, which says what was wrong."""
    misuse(bench)
    lines = reports.text().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("misuse: ")
    assert report in lines[0]


def test_two_threads_in_a_completion_queue_are_reported(bench: Bench, reports: Reports) -> None:
    """Dequeueing is not serialised by RIO."""
    at_once(bench.dequeue, reports)
    assert "is inside this completion queue" in reports.text()


def test_two_threads_in_a_request_queue_are_reported(bench: Bench, reports: Reports) -> None:
    """Posting is not either, and both directions are one queue."""
    _, _, queue = bench.tcp()
    at_once(lambda: bench.table.RIOReceive(queue, NULL, 2, 0, NULL), reports)
    assert "is inside this request queue" in reports.text()


def test_a_commit_from_another_thread_is_allowed(bench: Bench, reports: Reports) -> None:
    """RIO_MSG_COMMIT_ONLY need not be serialised."""
    _, _, queue = bench.tcp()
    is_over = threading.Event()

    def commit() -> None:
        while not is_over.is_set():
            bench.commit("RIOReceive", queue)

    thread = threading.Thread(target=commit)
    thread.start()
    for _ in range(200):
        bench.table.RIOReceive(queue, NULL, 2, 0, NULL)
    is_over.set()
    thread.join()
    assert reports.text() == ""

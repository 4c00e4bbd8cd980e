"""The knobs of the table do what their names say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from . import raw
from .harness import Bench, error


def test_delayed_completions(bench: Bench, knobs: Any) -> None:
    """Everything arrives, in order, and later: what is held for up to 200 ms is not there at once."""
    knobs(DELAY_MILLISECONDS=200)
    _, peer, queue = bench.tcp()
    peer.send(b"abcd")
    start = time.perf_counter()
    for i in range(4):
        bench.receive(queue, i, 1)
    assert [result[1] for result in bench.collect(4)] == [1] * 4
    assert bench.memory.get(0, 4) == b"abcd"
    assert time.perf_counter() - start > 0.01


def test_short_receives(bench: Bench, knobs: Any) -> None:
    """A receive may take less than there is, never nothing; the stream stays whole. WAITALL stays whole too."""
    knobs(SHORT_RECEIVES=1)
    _, peer, queue = bench.tcp()
    peer.sendall(bytes(range(100)))
    received, sizes = b"", []
    while len(received) < 50:
        bench.receive(queue, 0, 50 - len(received))
        sizes.append(bench.collect(1)[0][1])
        received += bench.memory.get(0, sizes[-1])
    assert received == bytes(range(50))
    assert min(sizes) >= 1
    assert len(sizes) > 1
    bench.receive(queue, 0, 50, raw.WAITALL)
    assert bench.collect(1)[0][1] == 50


def test_calls_that_fail(bench: Bench, knobs: Any) -> None:
    """Every third call is refused with WSAENOBUFS and takes no credit."""
    _, _, queue = bench.tcp()
    knobs(FAIL_CALLS=3)
    answers = [bench.receive(queue, i, 1) for i in range(3)]
    assert sorted(answers) == [False, True, True]
    knobs(FAIL_CALLS=1)
    assert not bench.receive(queue, 10, 1)
    assert error() == raw.ENOBUFS


def test_requests_that_fail(bench: Bench, knobs: Any) -> None:
    """Every request from some one on: the stream is broken, and its peer sees the end."""
    _, peer, queue = bench.tcp()
    knobs(FAIL_REQUESTS=1, FAIL_STATUS=10054)
    bench.send(queue, b"lost")
    bench.receive(queue)
    assert [result[0] for result in bench.collect(2)] == [10054, 10054]
    assert peer.recv(10) == b""


def test_deferred_requests_that_start_early(bench: Bench, knobs: Any) -> None:
    """Some of them do, before any commit."""
    knobs(START_DEFERRED_EARLY=1)
    _, peer, queue = bench.tcp()
    for i in range(4):
        bench.send(queue, b"x", 2048 + i, raw.DEFER)
    assert bench.collect(1)[0][:2] == (0, 1)
    assert peer.recv(1) == b"x"


@pytest.mark.parametrize("status", [995, 10053, 10038, 64])
def test_the_abort_status(bench: Bench, knobs: Any, status: int) -> None:
    """closesocket ends requests with the status that was asked for."""
    knobs(ABORT_STATUS=status)
    ours, _, queue = bench.tcp()
    bench.receive(queue)
    ours.close()
    assert bench.collect(1)[0][0] == status


def test_an_abort_status_that_varies(bench: Bench, knobs: Any) -> None:
    """Another one for each request."""
    knobs(ABORT_STATUS="vary")
    ours, _ = bench.pair()
    queue = bench.request_queue(ours, 60, 4)
    for i in range(60):
        bench.receive(queue, i, 1)
    ours.close()
    assert {result[0] for result in bench.collect(60)} == {995, 10053, 10038, 64}


def test_memory_that_is_refused(bench: Bench, knobs: Any) -> None:
    """RIORegisterBuffer answers WSAEFAULT, though the table is there."""
    knobs(REFUSE_MEMORY=1)
    assert bench.table.RIORegisterBuffer(bench.memory.data, 16) == raw.INVALID_BUFFER_ID
    assert error() == raw.EFAULT


def test_queues_that_are_refused(bench: Bench, knobs: Any) -> None:
    """RIOCreateCompletionQueue answers WSAEFAULT, though the table is there."""
    knobs(REFUSE_QUEUES=1)
    assert bench.table.RIOCreateCompletionQueue(8, raw.ffi.NULL) == raw.ffi.NULL
    assert error() == raw.EFAULT


def test_completions_that_are_lost(bench: Bench, knobs: Any) -> None:
    """A send is taken, its peer gets the bytes, and nobody is told."""
    knobs(LOSE_COMPLETIONS=1)
    _, peer, queue = bench.tcp()
    memory = raw.Memory(bench.table, 16)  # it is used for ever
    data = memory.put(0, b"sent")
    assert bench.table.RIOSend(queue, data, 1, 0, raw.ffi.NULL)
    assert peer.recv(10) == b"sent"
    assert bench.dequeue() == []


def test_notifications_that_are_lost(bench: Bench, knobs: Any) -> None:
    """Every second one: the queue fires and is not armed any more, and the event is not set."""
    event = raw.kernel.CreateEventW(raw.ffi.NULL, 1, 0, raw.ffi.NULL)
    how = raw.ffi.new("RIO_NOTIFICATION *", (1, event, raw.ffi.cast("void *", 1), raw.ffi.NULL))
    bench.replace_queue(how)
    _, peer, queue = bench.tcp()
    knobs(LOSE_NOTIFICATIONS=2)
    seen = []
    for _ in range(4):
        assert bench.receive(queue, 0, 1)
        assert bench.table.RIONotify(bench.queue) == 0
        peer.send(b"y")
        bench.collect(1)
        seen.append(raw.kernel.WaitForSingleObject(event, 0) == 0)
    raw.kernel.CloseHandle(event)
    assert sorted(seen) == [False, False, True, True]


def test_ioctls_that_are_refused(bench: Bench, knobs: Any) -> None:
    """SIO_KEEPALIVE_VALS is refused, and the ioctl that gives the table is not."""
    sock, _ = bench.pair()
    values, size = raw.ffi.new("uint32_t[3]", (1, 1000, 1000)), raw.ffi.new("uint32_t *")

    def keep_alive() -> int:
        null = raw.ffi.NULL
        return int(raw.winsock.WSAIoctl(sock.fileno(), 0x98000004, values, 12, null, 0, size, null, null))

    assert keep_alive() == 0
    knobs(REFUSE_IOCTLS=1)
    assert keep_alive() != 0
    assert error() == raw.EOPNOTSUPP
    assert raw.open_table(sock) is not None

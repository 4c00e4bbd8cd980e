"""Threads, accepted sockets and many connections: RC-58 and RC-60. (RC-59 is about the engine above.)"""

from __future__ import annotations

import socket
import threading
import time

import pytest

from trio_rio.rio import RequestQueue, Status

from ..platforms import RESET_AT_CLOSE
from .harness import FAMILIES, PATIENCE_SECONDS, Block, Table, running

CONNECTIONS = 10_000


def test_rc_58a_two_threads_post_on_one_queue(table: Table) -> None:
    """Two threads post on one request queue while a third dequeues: each request completes exactly once."""
    ours, peer = table.udp()
    each, poster_count = 1500, 2
    signal = table.signal()
    cq = table.cq(64, signal)
    rq = table.rq(ours, cq, 0, 64)
    block = table.block()
    buffer_id = block.buffer.buffer_id
    credits_free = threading.Semaphore(64)
    port = getattr(signal.notification, "port")  # noqa: B009 -- one kind of the two has it

    def post(first: int) -> None:
        for context in range(first, first + each):
            assert credits_free.acquire(timeout=PATIENCE_SECONDS)
            assert rq.post_send(buffer_id, context % 64, 1, 0, context) == 0
            port.wake()

    seen: list[int] = []
    with running(lambda: post(0)), running(lambda: post(each)):
        while len(seen) < poster_count * each:
            for result in table.collect(cq, 1) + table.provider.dequeue_completion(cq, 64):
                assert result.status == 0
                seen.append(result.request_context)
                credits_free.release()
    assert sorted(seen) == list(range(poster_count * each))
    for first in (0, each):
        of_one = [context for context in seen if first <= context < first + each]
        assert of_one == sorted(of_one), "the order of one thread's sends"
    assert len(peer.recv(10)) == 1


def test_rc_58b_two_threads_dequeue_one_queue(table: Table) -> None:
    """Two threads that dequeue from one queue share its results out: none is lost or doubled."""
    total = 2000
    ours, _ = table.udp()
    cq = table.cq(total)
    rq = table.rq(ours, cq, 0, total)
    block = table.block()
    for context in range(total):
        table.send(rq, block.slice(0, 1), context)
    table.provider.commit_all()
    seen: list[int] = []
    deadline = time.monotonic() + PATIENCE_SECONDS

    def drain() -> None:
        while len(seen) < total and time.monotonic() < deadline:
            seen.extend(result.request_context for result in table.provider.dequeue_completion(cq, 7))

    with running(drain):
        while len(seen) < total and time.monotonic() < deadline:
            assert table.port.wait(0) == []
            seen.extend(result.request_context for result in table.provider.dequeue_completion(cq, 7))
    assert sorted(seen) == list(range(total))


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_58c_a_receive_on_an_accepted_socket(table: Table, family: int) -> None:
    """A receive posted on a socket fresh from accept() completes, also when the data came before."""
    listener = table.listener(family)
    cq = table.cq()
    block = table.block()
    for is_early in (True, False):
        client = socket.create_connection(listener.getsockname()[:2], timeout=PATIENCE_SECONDS)
        table.sockets.append(client)
        if is_early:
            client.send(b"hello")
        accepted, _ = listener.accept()
        table.sockets.append(accepted)
        table.receive(table.rq(accepted, cq), block.slice())
        if not is_early:
            client.send(b"hello")
        assert block.get(table.one(cq).bytes_transferred) == b"hello"


def one_connection(table: Table, number: int, listener: socket.socket, rq_args: tuple[Block, Block]) -> None:
    """Connect, exchange a message each way, and close with a receive posted; leaves no TIME_WAIT behind."""
    ours_block, message = rq_args
    cq = table.completion_queues[0]
    client = socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS)
    accepted, _ = listener.accept()
    rq: RequestQueue = table.provider.create_request_queue(accepted, 2, 1, 1, 1, cq, cq, number)
    table.posted += 3
    table.receive(rq, ours_block.slice(0, 64), 1)
    client.send(b"%8d" % number)
    assert table.one(cq) == (0, 8, number, 1)
    assert ours_block.get(8) == b"%8d" % number
    table.receive(rq, ours_block.slice(64, 64), 2)
    table.send(rq, message.slice(), 3)
    assert table.one(cq) == (0, 1024, number, 3)
    assert client.recv(2048, socket.MSG_WAITALL if number % 100 == 0 else 0)
    table.provider.close_socket(rq)
    aborted = table.one(cq)
    assert (aborted.socket_context, aborted.request_context) == (number, 2)
    assert aborted.status in (Status.OPERATION_ABORTED, Status.ECONNABORTED)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    client.close()


def test_rc_60_ten_thousand_connections(table: Table) -> None:
    """After 10,000 connections nothing is outstanding, the charge is 0, and ids and memory are as before."""
    cq = table.cq(3)
    blocks = table.block(), table.block(1024)
    listener = table.listener()
    for number in range(CONNECTIONS):
        one_connection(table, number, listener, blocks)
        assert cq.charged == 0
    assert table.provider.outstanding() == 0
    assert not table.request_queues
    for block in blocks:
        table.provider.deregister_buffer(block.buffer)
        assert not block.is_held

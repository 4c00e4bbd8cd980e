"""Two threads that dequeue two completion queues of one provider: what went wrong once."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from trio_rio.rio import open_provider
from trio_rio.rio.api import RIO_MSG_DEFER, CompletionQueue, Provider

from ..conformance.conftest import provider_name, pytest_generate_tests
from ..conformance.harness import PATIENCE_SECONDS

__all__ = ["provider_name", "pytest_generate_tests"]

ROUNDS = 400
SENDS = 8
CONTEXTS = 1 << 20  # of one queue; the other's begin above


@pytest.fixture
def provider(provider_name: str) -> Iterator[Provider]:
    provider = open_provider(provider_name)
    try:
        yield provider
    finally:
        provider.close()


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_each_queue_gives_its_own_results(provider: Provider) -> None:
    """Each thread gets the results of its own queue, each once and in order.

    Once the results of all queues went through one array: a thread that dequeued overwrote what another had dequeued
    and not yet read.
    """
    start = threading.Barrier(2)

    def work(number: int, sock: socket.socket) -> None:
        queue: CompletionQueue = provider.create_completion_queue(64)
        requests = provider.create_request_queue(sock, 0, 1, SENDS, 1, queue, queue, number)
        buffer = provider.register_buffer(bytearray(16))
        context = number * CONTEXTS
        start.wait(PATIENCE_SECONDS)
        for _ in range(ROUNDS):
            expected = range(context, context + SENDS)
            for context in expected:
                assert requests.post_send(buffer.buffer_id, 0, 1, RIO_MSG_DEFER, context) == 0
            context += 1
            provider.commit_all()
            got: list[int] = []
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(got) < SENDS and time.monotonic() < deadline:
                got += [result[3] for result in queue.dequeue(64)]
            assert got == list(expected)

    sockets = [provider.make_socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
            sock.connect(sock.getsockname())
        with ThreadPoolExecutor(1) as threads:
            other = threads.submit(work, 2, sockets[1])
            work(1, sockets[0])
            while not other.done():
                provider.commit_all()  # what another thread posts starts with the owner's next call
            other.result()
    finally:
        for sock in sockets:
            sock.close()

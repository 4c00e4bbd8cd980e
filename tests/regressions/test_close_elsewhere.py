"""A provider that another thread than its own closes: what went wrong once."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from trio_rio.rio import Provider, RioError, Status, open_provider
from trio_rio.rio.errors import RioCallError

from ..conformance.conftest import provider_name, pytest_generate_tests
from ..conformance.harness import PATIENCE_SECONDS

__all__ = ["provider_name", "pytest_generate_tests"]


def test_what_comes_later_is_the_sockets_own(provider_name: str) -> None:
    """Nothing is leaked, and a socket whose receive was posted gets what is sent once the provider is closed.

    Once nothing was cancelled: the receive took the bytes, into memory that was kept for it.
    """
    provider = open_provider(provider_name)
    if not provider.can_cancel:
        provider.close()
        pytest.skip("requests end with their sockets here")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), PATIENCE_SECONDS)
        peer = listener.accept()[0]
    with ours, peer:
        queue = provider.create_completion_queue(4)
        requests = provider.create_request_queue(ours, 1, 1, 1, 1, queue, queue, 0)
        buffer = provider.register_buffer(bytearray(100))
        provider.receive(requests, buffer.slice(), 1, 0, 0)
        with warnings.catch_warnings(), ThreadPoolExecutor(1) as other:
            warnings.simplefilter("error")
            other.submit(provider.close).result()
        peer.sendall(b"precious")
        assert ours.recv(100) == b"precious"
        assert provider.leaked_bytes == 0


@contextlib.contextmanager
def while_full() -> Iterator[None]:
    """No room for one more request is no news."""
    try:
        yield
    except RioCallError as error:
        if error.code != Status.ENOBUFS:
            raise


def uses_of(provider: Provider, socks: list[socket.socket]) -> list[Callable[[], object]]:
    """What threads do with a provider at the same time, each its own again and again."""
    port, event = provider.create_port(), provider.create_event()
    queue = provider.create_completion_queue(64)
    requests = [provider.create_request_queue(sock, 4, 1, 4, 1, queue, queue, 0) for sock in socks]
    memory = provider.register_buffer(bytearray(100))
    contexts = itertools.count()

    def receive() -> None:
        with while_full():
            provider.receive(requests[0], memory.slice(0, 10), 1, 0, next(contexts))

    def send() -> None:
        with while_full():
            provider.send(requests[1], memory.slice(0, 10), 1, 0, next(contexts))

    def register() -> None:
        provider.deregister_buffer(provider.register_buffer(bytearray(10)))

    def set_and_reset() -> None:
        event.set()
        event.reset()

    return [
        lambda: port.wait(0.01),
        lambda: event.wait(0.01),
        lambda: provider.dequeue_completion(queue, 10),
        lambda: provider.completion_queue_usage(queue),
        receive,
        send,
        register,
        set_and_reset,
    ]


@pytest.mark.parametrize("seed", range(10))
def test_every_thread_hears_that_the_provider_is_closed(provider_name: str, seed: int) -> None:
    """Eight threads use a provider that its owner closes: each gets the same RioError, and nothing else."""
    said = []

    def use_until_it_ends(use: Callable[[], object]) -> None:
        try:
            while True:
                use()
        except BaseException as error:
            said.append((type(error), str(error)))

    provider = open_provider(provider_name)
    if not provider.can_cancel:
        provider.close()
        pytest.skip("requests end with their sockets here")
    with contextlib.ExitStack() as open_sockets:
        socks = []
        listener = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        for _ in range(2):
            socks.append(open_sockets.enter_context(socket.create_connection(listener.getsockname())))
            open_sockets.enter_context(listener.accept()[0])
        uses = uses_of(provider, socks)
        threads = [threading.Thread(target=use_until_it_ends, args=(use,)) for use in uses]
        for thread in threads:
            thread.start()
        time.sleep(random.Random(seed).random() * 0.02)  # whatever they are at
        provider.close()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert said == [(RioError, "this provider is closed")] * len(uses)

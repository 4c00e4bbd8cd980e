"""A provider that another thread than its own closes: what went wrong once."""

from __future__ import annotations

import socket
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from trio_rio.rio import open_provider

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

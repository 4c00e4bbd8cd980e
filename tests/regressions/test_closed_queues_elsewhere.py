"""A request queue is closed by one thread while another looks at it for the first time: what went wrong once."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from typing import Any

import pytest

from trio_rio.rio import RioError, open_provider

pytestmark = pytest.mark.providers("uring")


def test_a_function_of_a_queue_closed_meanwhile(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bound too late does not take the place of the refusal."""
    with contextlib.closing(open_provider(rio_provider)) as provider, socket.socket() as sock:
        queue = provider.create_completion_queue(8)
        requests = provider.create_request_queue(sock, 1, 1, 1, 1, queue, queue, 0)
        is_bound, is_closed = threading.Event(), threading.Event()

        def bind_slowly(function: Any, *arguments: Any) -> Any:
            bound = functools.partial(function, *arguments)
            is_bound.set()
            is_closed.wait(10)
            return bound

        monkeypatch.setattr("trio_rio.rio.uring.request_queue.partial", bind_slowly)
        other = threading.Thread(target=lambda: requests.post_send)
        other.start()
        assert is_bound.wait(10)
        provider.release_socket(requests)
        is_closed.set()
        other.join()
        with pytest.raises(RioError):
            requests.post_send(0, 0, 0, 0, 0)

"""Ports and events that are closed, or dropped, while their provider lives on: what went wrong once."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

import pytest

from trio_rio.rio import EventNotification, RioError, open_provider
from trio_rio.rio.api import Event, Port, Provider

from ..conformance.conftest import provider, provider_name, pytest_generate_tests, table
from ..conformance.harness import running

__all__ = ["provider", "provider_name", "pytest_generate_tests", "table"]

COUNT = 50

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors; Windows ends waits with an error")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_closed_ports_and_events_give_their_descriptors_back(provider: Provider) -> None:
    """After ports and events were waited for in another thread and closed, as many descriptors are open as before.

    Once the port of each, and the descriptor that such a thread waits with, lived as long as the provider.
    """

    def use() -> None:
        for _ in range(COUNT):
            signals: list[Port | Event] = [provider.create_port(), provider.create_event()]
            for signal in signals:
                signal.wait(0.0001)
                signal.close()

    before = descriptors()
    with running(use):
        pass
    assert descriptors() == before


@pytest.mark.parametrize("is_event", [False, True], ids=["port", "event"])
def test_a_wait_ends_when_what_it_waits_for_is_closed(provider: Provider, is_event: bool) -> None:
    """A thread that waits without an end returns with nothing, or is refused if it comes too late."""
    signal = provider.create_event() if is_event else provider.create_port()

    def wait() -> None:
        with contextlib.suppress(RioError):
            assert not signal.wait(None)

    for _ in range(COUNT):
        with running(wait):
            signal.close()
        signal = provider.create_event() if is_event else provider.create_port()
    signal.close()


def test_dropped_events_give_their_descriptors_back(provider: Provider) -> None:
    """After events were dropped without being closed, as many descriptors are open as before."""
    before = descriptors()
    for _ in range(COUNT):
        provider.create_event()
    gc.collect()
    assert descriptors() == before


def test_a_dropped_queue_keeps_its_event(provider_name: str) -> None:
    """The event of a queue that is dropped without being closed is given back with the provider, and no earlier."""
    before = descriptors()
    provider = open_provider(provider_name)
    queue = provider.create_completion_queue(1, EventNotification(provider.create_event()))
    with_queue = descriptors()
    del queue
    gc.collect()
    assert descriptors() == with_queue
    provider.close()
    assert descriptors() == before

"""Memory that is deregistered while a request uses it whose result nobody can dequeue: what went wrong once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from trio_rio.rio import RIO_MSG_DEFER

from ..conformance.conftest import provider, provider_name, pytest_generate_tests, table
from ..conformance.harness import PATIENCE_SECONDS, Table

__all__ = ["provider", "provider_name", "pytest_generate_tests", "table"]


@pytest.fixture
def dequeue(table: Table) -> Callable[[], object]:
    """Look for results where there are none."""
    if not table.provider.can_cancel:
        pytest.skip("memory that is given back late is given back with the next registration or queue")
    other = table.cq()
    return lambda: table.provider.dequeue_completion(other, 1)


def test_it_is_let_go_of_without_further_results(table: Table, dequeue: Callable[[], object]) -> None:
    """Looking for results is enough, though none come, when completion queue and socket were closed in this order."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.deregister_buffer(block.buffer)
    table.close_cq(cq)
    table.provider.close_socket(rq)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while block.is_held and time.monotonic() < deadline:
        dequeue()
    assert not block.is_held


@pytest.mark.usefixtures("dequeue")
def test_a_request_that_has_not_started(table: Table) -> None:
    """The memory of one that waits behind another is let go of as the socket is closed."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    first, second = table.block(), table.block()
    table.receive(rq, first.slice(), 1, RIO_MSG_DEFER)
    table.receive(rq, second.slice(), 2, RIO_MSG_DEFER)
    table.provider.deregister_buffer(second.buffer)
    table.close_cq(cq)
    table.provider.close_socket(rq)
    assert not second.is_held

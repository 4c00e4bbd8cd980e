"""The ledger: what it calls wrong. That real runs balance is checked after each test of the suite."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing

import trio_rio
from trio_rio.testing import Ledger, assert_ledger_balanced, current_ledger, ledgers_of_runs

from ..engine.harness import open_pair

# Books that balance, in the middle of a run.
BALANCED: dict[str, Any] = {
    "provider": "portable",
    "is_over": False,
    "requests_used": 10,
    "requests_in_flight": 3,
    "requests_outstanding": 3,
    "requests_untaken": 1,
    "requests_leased": 2,
    "requests_lost": 0,
    "requests_doubled": 0,
    "slices_leased": 6,
    "slices_held": 6,
    "registered_bytes": 1 << 20,
    "credits_charged": 20,
    "credits_room": 1024,
    "sockets_open": 2,
    "is_notifier_waiting": True,
    "completion_queues": 2,
    "completion_queues_armed": 2,
}
# ... and at its end.
OVER = {
    **BALANCED,
    "is_over": True,
    "requests_in_flight": 0,
    "requests_outstanding": 0,
    "requests_untaken": 0,
    "requests_leased": 0,
    "credits_charged": 0,
    "is_notifier_waiting": False,
}


@pytest.mark.parametrize("books", [BALANCED, OVER], ids=["during", "after"])
def test_books_that_balance(books: dict[str, Any]) -> None:
    """Nothing is wrong with books that balance."""
    Ledger(**books).assert_balanced()


@pytest.mark.parametrize(
    ("books", "change", "message"),
    [
        (BALANCED, {"requests_outstanding": 2}, "the engine has 3 requests in flight, the provider 2"),
        (BALANCED, {"slices_leased": 7}, "7 slices are leased, and requests hold 6"),
        (BALANCED, {"requests_lost": 1}, "1 requests are lost"),
        (BALANCED, {"requests_doubled": 1}, "1 are given out twice"),
        (BALANCED, {"credits_charged": 2}, "2 credits given"),
        (BALANCED, {"credits_charged": 1025}, "1025 credits given, room for 1024"),
        (BALANCED, {"completion_queues_armed": 1}, "the notifier waits, and 1 of 2 completion queues are not armed"),
        (OVER, {"requests_in_flight": 1, "requests_outstanding": 1, "credits_charged": 1}, "1 requests in flight"),
        (OVER, {"requests_untaken": 1}, "1 results that nobody took"),
        (OVER, {"requests_leased": 1}, "1 leases that nobody ended"),
        (OVER, {"credits_charged": 10}, "10 credits not given back"),
        (OVER, {"is_notifier_waiting": True}, "at the end of the run: the notifier waits"),
    ],
)
def test_each_imbalance_is_named(books: dict[str, Any], change: dict[str, Any], message: str) -> None:
    """Each rule of the books that is broken is said in words, with the books."""
    with pytest.raises(AssertionError, match=message):
        Ledger(**{**books, **change}).assert_balanced()


async def test_the_ledger_counts_what_is_in_flight() -> None:
    """A task that receives is one request in flight, for the engine and for the provider."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv, 1)
        await trio.testing.wait_all_tasks_blocked()
        books = current_ledger()
        assert (books.requests_in_flight, books.requests_outstanding, books.sockets_open) == (1, 1, 1)
        assert_ledger_balanced()
        await server.send(b"x")


@pytest.mark.providers("uring", "portable")  # winsock receives ahead, which takes all requests that there are
async def test_the_ledger_sees_a_request_that_was_lost() -> None:
    """Books from which a request is missing do not balance: the check can fail."""
    async with open_pair() as (client, server):
        await server.send(b"x")
        await client.recv(1)
        engine = trio._core._run.GLOBAL_RUN_CONTEXT.runner.io_manager.engine  # type: ignore[attr-defined]
        request = engine.pool.small.pop()
        with pytest.raises(AssertionError, match="lost"):
            assert_ledger_balanced()
        engine.pool.small.append(request)
        assert_ledger_balanced()


def test_the_last_books_of_each_run_are_kept(rio_run: Any) -> None:
    """Each run that ends inside the block leaves its books, in order."""

    async def main(count: int) -> None:
        async with open_pair() as (client, server):
            for _ in range(count):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.recv, 1)
                    await trio.testing.wait_all_tasks_blocked()
                    await server.send(b"x")

    with ledgers_of_runs() as ledgers:
        rio_run(main, 1)
        rio_run(main, 5)
    rio_run(main, 1)
    first, second = (books.requests_used for books in ledgers)
    assert 1 <= first < 5 <= second  # a send may need no request, a receive that waits has one
    assert all(books.is_over and not books.problems() for books in ledgers)


def test_there_is_no_ledger_without_a_run() -> None:
    """Outside of a run, and in a run of stock Trio, there are no books."""

    async def main() -> None:
        with pytest.raises(trio_rio.RioError, match="no run"):
            assert_ledger_balanced()

    trio.run(main)
    with pytest.raises(trio_rio.RioError, match="no run"):
        current_ledger()


def test_a_ledger_does_not_change() -> None:
    """Books are a snapshot."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Ledger(**BALANCED).credits_room = 1  # type: ignore[misc]

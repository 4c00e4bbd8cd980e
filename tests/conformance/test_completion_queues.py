"""Completion queues: RC-11 to RC-15."""

from __future__ import annotations

import pytest

from trio_rio.rio import RIO_MAX_CQ_SIZE, RIO_MSG_DONT_NOTIFY, CompletionQueue, Provider, RioError, Status

from .harness import PATIENCE_SECONDS, Table, refused


def queue_with_results(table: Table, count: int, size: int = 16) -> CompletionQueue:
    """A queue in which the results of ``count`` sends wait, with the contexts 0, 1, …"""
    ours, _ = table.tcp()
    cq = table.cq(size)
    rq = table.rq(ours, cq, 0, count)
    byte = table.block().put(b"x")
    for context in range(count - 1):
        table.send(rq, byte, context, RIO_MSG_DONT_NOTIFY)
    table.send(rq, byte, count - 1)
    # Results of one direction come in order: when the last has signalled, all are there.
    assert cq.arm() == 0
    assert table.signals[cq].take() == 1
    return cq


@pytest.mark.parametrize("size", [0, RIO_MAX_CQ_SIZE + 1])
def test_rc_11_the_size_has_bounds(provider: Provider, size: int) -> None:
    """Sizes 0 and above the maximum are refused with WSAEINVAL."""
    with refused(Status.EINVAL):
        provider.create_completion_queue(size)


def test_rc_11a_a_queue_may_have_one_place(table: Table) -> None:
    """The smallest size serves."""
    ours, _ = table.tcp()
    cq = table.cq(1)
    table.send(table.rq(ours, cq, 0, 1), table.block().put(b"x"))
    assert table.one(cq).status == 0


def test_rc_12a_dequeue_of_an_empty_queue(table: Table) -> None:
    """There is nothing in an empty queue, and dequeue says so without waiting."""
    assert table.provider.dequeue_completion(table.cq(), 100) == []
    assert table.provider.dequeue_completion(table.polled_cq(), 1) == []


def test_rc_12b_dequeue_takes_no_more_than_asked(table: Table) -> None:
    """An array of 2 gets 2 of 5 results; the others stay."""
    cq = queue_with_results(table, 5)
    taken = [len(table.provider.dequeue_completion(cq, 2)) for _ in range(4)]
    assert taken == [2, 2, 1, 0]


def test_rc_12c_an_array_of_nothing_is_refused(table: Table) -> None:
    """Dequeueing into an array without room is a mistake, and loses nothing."""
    cq = queue_with_results(table, 1)
    with refused(Status.EINVAL):
        table.provider.dequeue_completion(cq, 0)
    assert table.one(cq).status == 0


def test_rc_13_results_come_in_queue_order(table: Table) -> None:
    """Batches of 1, 2, 3, … return the results in the order in which they were queued."""
    cq = queue_with_results(table, 15)
    contexts = []
    for batch in range(1, 6):
        contexts += [result.request_context for result in table.provider.dequeue_completion(cq, batch)]
    assert contexts == list(range(15))


def test_rc_14a_growing_keeps_the_results(table: Table) -> None:
    """A queue that holds results can be enlarged, and gives them all, in order."""
    cq = queue_with_results(table, 4, size=4)
    table.provider.resize_completion_queue(cq, 100)
    assert cq.capacity == 100
    ours, _ = table.tcp()
    rq = table.rq(ours, cq, 0, 96)
    table.send(rq, table.block().put(b"x"), 4)
    assert [result.request_context for result in table.collect(cq, 5)] == [0, 1, 2, 3, 4]


def test_rc_14b_shrinking_below_the_charge_is_refused(table: Table) -> None:
    """A size below what request queues were promised fails with WSAETOOMANYREFS and changes nothing."""
    cq = queue_with_results(table, 4, size=8)
    with refused(Status.ETOOMANYREFS):
        table.provider.resize_completion_queue(cq, 3)
    assert (cq.capacity, cq.charged) == (8, 4)
    table.provider.resize_completion_queue(cq, 4)
    assert (cq.capacity, cq.charged) == (4, 4)
    assert [result.request_context for result in table.collect(cq, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [0, RIO_MAX_CQ_SIZE + 1])
def test_rc_14c_a_resize_has_bounds(table: Table, size: int) -> None:
    """Resizing to 0 or above the maximum is refused with WSAEINVAL and changes nothing."""
    cq = table.cq(5)
    with refused(Status.EINVAL):
        table.provider.resize_completion_queue(cq, size)
    assert cq.capacity == 5


def test_rc_15a_closing_twice_is_nothing(table: Table) -> None:
    """A queue can be closed again and again."""
    cq = table.cq()
    for _ in range(3):
        table.provider.close_completion_queue(cq)
    assert cq.is_closed


def test_rc_15b_a_closed_queue_raises_in_python(table: Table) -> None:
    """Each use of a closed queue raises RioError."""
    provider = table.provider
    ours, _ = table.tcp()
    cq, other = table.cq(), table.cq()
    provider.close_completion_queue(cq)
    with pytest.raises(RioError):
        provider.dequeue_completion(cq, 1)
    with pytest.raises(RioError):
        provider.notify(cq)
    with pytest.raises(RioError):
        provider.resize_completion_queue(cq, 10)
    for receive_cq, send_cq in ((cq, other), (other, cq)):
        with pytest.raises(RioError):
            provider.create_request_queue(ours, 1, 1, 1, 1, receive_cq, send_cq, 0)
    assert other.charged == 0


def test_rc_15c_closing_an_armed_queue_signals_nothing(table: Table) -> None:
    """A queue that is closed while armed never tells, and does not disturb another on the same port."""
    signal = table.signal("port", 5)
    cq, other = table.cq(16, signal), table.cq(16, signal)
    table.provider.notify(cq)
    table.provider.close_completion_queue(cq)
    table.provider.notify(other)
    ours, _ = table.tcp()
    table.send(table.rq(ours, other), table.block().put(b"x"))
    assert signal.take(PATIENCE_SECONDS) == 1
    assert signal.take(0) == 0
    assert table.one(other).status == 0

"""Deferred requests and commits: RC-45 to RC-49."""

from __future__ import annotations

import pytest

from trio_rio._cli.selftest.bench import read_exactly
from trio_rio.rio import RIO_MSG_COMMIT_ONLY, RIO_MSG_DEFER, RIO_MSG_DONT_NOTIFY, RIO_MSG_WAITALL, RequestQueue, Status

from .harness import Block, Table, refused, running


def deferred_pair(table: Table) -> tuple[RequestQueue, Block]:
    """A queue with a receive (1) that has its byte already, and a send (2), both deferred."""
    ours, peer = table.tcp()
    peer.send(b"x")
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 10), 1, RIO_MSG_DEFER)
    table.send(rq, block.put(b"y", 20), 2, RIO_MSG_DEFER)
    return rq, block


@pytest.mark.parametrize("how", ["methods", "flat", "all"])
def test_rc_45_deferred_requests_complete_after_a_commit(table: Table, how: str) -> None:
    """After a commit of each direction, by whichever call, both have completed."""
    rq, _ = deferred_pair(table)
    if how == "methods":
        table.provider.receive(rq, None, 0, RIO_MSG_COMMIT_ONLY, 0)
        table.provider.send(rq, None, 0, RIO_MSG_COMMIT_ONLY, 0)
    elif how == "flat":
        assert rq.commit_receives() == 0
        assert rq.commit_sends() == 0
    else:
        table.provider.commit_all()
    results = table.collect(table.completion_queues[0], 2)
    assert sorted(tuple(result) for result in results) == [(0, 1, 1, 1), (0, 1, 1, 2)]


def test_rc_46_deferred_requests_may_complete_before_the_commit(table: Table) -> None:
    """Before a commit a deferred request may complete or not; after it each has completed exactly once."""
    rq, _ = deferred_pair(table)
    cq = table.completion_queues[0]
    early = table.provider.dequeue_completion(cq, 10)
    table.provider.commit_all()
    results = early + table.collect(cq, 2 - len(early))
    assert sorted(tuple(result) for result in results) == [(0, 1, 1, 1), (0, 1, 1, 2)]
    assert rq.commit_receives() == 0
    table.assert_nothing_comes(cq)


@pytest.mark.parametrize("is_send", [False, True], ids=["receive", "send"])
def test_rc_47_a_plain_request_starts_the_deferred_ones(table: Table, is_send: bool) -> None:
    """A later request without DEFER starts the deferred ones of its direction, and they come first."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    block.put(b"abcd")
    post = table.send if is_send else table.receive
    for number in range(3):
        post(rq, block.slice(number, 1), number, RIO_MSG_DEFER)
    post(rq, block.slice(3, 1), 3)
    if not is_send:
        peer.sendall(b"wxyz")
    assert [tuple(result) for result in table.collect(cq, 4)] == [(0, 1, 1, number) for number in range(4)]
    assert (read_exactly(peer, 4) if is_send else block.get(4)) == (b"abcd" if is_send else b"wxyz")


@pytest.mark.parametrize("flag", [RIO_MSG_DONT_NOTIFY, RIO_MSG_DEFER, RIO_MSG_WAITALL])
def test_rc_48a_a_commit_has_no_other_flag(table: Table, flag: int) -> None:
    """COMMIT_ONLY together with another flag is refused with WSAEINVAL."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    for call in (table.provider.receive, table.provider.send):
        with refused(Status.EINVAL):
            call(rq, None, 0, RIO_MSG_COMMIT_ONLY | flag, 0)


def test_rc_48b_a_commit_carries_nothing(table: Table) -> None:
    """COMMIT_ONLY with data, a count, an address or a context is refused with WSAEINVAL, and posts nothing."""
    provider = table.provider
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    data = table.block().slice(0, 100)
    for call in (provider.receive, provider.send):
        for arguments in ((data, 1, 0), (None, 1, 0), (data, 0, 0), (None, 0, 7)):
            with refused(Status.EINVAL):
                call(rq, arguments[0], arguments[1], RIO_MSG_COMMIT_ONLY, arguments[2])
    for call_ex in (provider.receive_ex, provider.send_ex):
        for address, control, flags in ((data, None, None), (None, data, None), (None, None, data)):
            with refused(Status.EINVAL):
                call_ex(rq, None, 0, None, address, control, flags, RIO_MSG_COMMIT_ONLY, 0)
    assert provider.outstanding() == 0


def test_rc_48c_a_commit_of_nothing_succeeds(table: Table) -> None:
    """With nothing deferred, or nothing posted at all, a commit succeeds and changes nothing."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    for _ in range(2):
        table.provider.receive(rq, None, 0, RIO_MSG_COMMIT_ONLY, 0)
        table.provider.send(rq, None, 0, RIO_MSG_COMMIT_ONLY, 0)
        table.provider.commit_all()
        table.receive(rq, table.block().slice())
    table.assert_nothing_comes(cq)


def test_rc_48d_unknown_and_misplaced_flags(table: Table) -> None:
    """An unknown flag, or WAITALL on a send, is refused with WSAEINVAL and takes no credit."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    block = table.block()
    for flags in (16, 1 << 31):
        with refused(Status.EINVAL):
            table.receive(rq, block.slice(), 0, flags)
    with refused(Status.EINVAL):
        table.send(rq, block.slice(), 0, RIO_MSG_WAITALL)
    table.receive(rq, block.slice())
    peer.send(b"x")
    assert table.one(cq).status == 0


def test_rc_49_commits_from_another_thread(table: Table) -> None:
    """While one thread posts and dequeues, another commits all the time: nothing is lost or doubled."""
    ours, peer = table.tcp()
    cq = table.cq(64)
    rq = table.rq(ours, cq, 0, 32)
    block = table.block()
    total = 3000
    is_over = False

    def commit() -> None:
        while not is_over:
            assert rq.commit_sends() == 0
            assert rq.commit_receives() == 0

    received: list[bytes] = []
    contexts: list[int] = []
    with running(lambda: received.append(read_exactly(peer, total))), running(commit):
        try:
            for number in range(total):
                if table.provider.outstanding() == 32:
                    contexts += [result.request_context for result in table.collect(cq, 16)]
                table.send(rq, block.put(bytes([number % 251]), number % 64), number, RIO_MSG_DEFER)
            rq.commit_sends()
            contexts += [result.request_context for result in table.collect(cq, total - len(contexts))]
        finally:
            is_over = True
    assert contexts == list(range(total))
    assert received == [bytes(number % 251 for number in range(total))]

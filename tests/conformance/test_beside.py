"""What stands beside the thirteen functions: cancelling, memory that is only read, the end of a provider, fork."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable

import pytest

from trio_rio._cli.selftest.bench import read_exactly
from trio_rio.rio import RIO_MSG_WAITALL, PortNotification, Provider, RawResult, RioError, Status, open_provider

from .harness import PATIENCE_SECONDS, Table, in_a_child, open_table, refused, running

BIG = 16 << 20


def needs_cancel(table: Table) -> None:
    """Skip the test where a request cannot be ended without its socket."""
    if not table.provider.can_cancel:
        pytest.skip(f"{table.provider.name} cancels no single request")


def test_cancelling_where_there_is_no_such_thing(table: Table) -> None:
    """It is refused with WSAEOPNOTSUPP, and the request is not disturbed."""
    if table.provider.can_cancel:
        pytest.skip(f"{table.provider.name} cancels")
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice(), 1)
    with refused(Status.EOPNOTSUPP):
        table.provider.cancel(rq, 1)
    peer.send(b"x")
    assert table.one(cq) == (0, 1, 1, 1)


def test_cancelling_a_receive_that_waits(table: Table) -> None:
    """It completes once, as aborted with no bytes, and the data goes to the next receive."""
    needs_cancel(table)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 10), 1)
    table.provider.cancel(rq, 1)
    assert table.one(cq) == (Status.OPERATION_ABORTED, 0, 1, 1)
    peer.send(b"for the next")
    table.receive(rq, block.slice(100, 100), 2)
    assert table.one(cq) == (0, 12, 1, 2)
    assert block.get(10) == bytes(10)


@pytest.mark.parametrize("victim", [0, 1, 3])
def test_cancelling_one_of_several(table: Table, victim: int) -> None:
    """One receive of four is aborted; the others fill in their order."""
    needs_cancel(table)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    for number in range(4):
        table.receive(rq, block.slice(number, 1), number)
    table.provider.cancel(rq, victim)
    assert table.one(cq) == (Status.OPERATION_ABORTED, 0, 1, victim)
    peer.send(b"abc")
    rest = [number for number in range(4) if number != victim]
    assert [tuple(result) for result in table.collect(cq, 3)] == [(0, 1, 1, number) for number in rest]
    assert bytes(block.memory[number] for number in rest) == b"abc"


def test_cancelling_what_is_not_there(table: Table) -> None:
    """An unknown context, one that has completed, and a closed queue are ignored."""
    needs_cancel(table)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(), 1)
    table.provider.cancel(rq, 2)
    table.provider.notify(cq)
    peer.send(b"x")
    assert table.signals[cq].take() == 1
    table.provider.cancel(rq, 1)
    assert table.one(cq) == (0, 1, 1, 1)
    table.provider.close_socket(rq)
    table.provider.cancel(rq, 1)
    table.assert_nothing_comes(cq)


def test_a_cancelled_send_says_how_much_went(table: Table) -> None:
    """A long stream send is aborted with the bytes that went; one behind it that had not started, with none."""
    needs_cancel(table)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(BIG)
    data = random.Random(1).randbytes(BIG)
    block.put(data)
    for number in range(3):
        table.send(rq, block.slice(0, BIG if number < 2 else 100), number)
    table.provider.commit_all()
    first = peer.recv(1000)
    table.provider.cancel(rq, 1)
    table.provider.cancel(rq, 0)
    results = {result.request_context: result for result in table.collect(cq, 2)}
    assert results[1] == (Status.OPERATION_ABORTED, 0, 1, 1)
    assert results[0].status == Status.OPERATION_ABORTED
    went = results[0].bytes_transferred
    assert len(first) <= went < BIG
    assert first + read_exactly(peer, went - len(first)) == data[:went]
    assert table.one(cq) == (0, 100, 1, 2)
    assert read_exactly(peer, 100) == data[:100]


def test_a_cancelled_waitall_keeps_its_bytes(table: Table) -> None:
    """A WAITALL receive that is cancelled half way reports what its slice has; the next receive goes on after it."""
    needs_cancel(table)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 100), 1, RIO_MSG_WAITALL)
    peer.send(b"half")
    table.assert_nothing_comes(cq)
    table.provider.cancel(rq, 1)
    cancelled = table.one(cq)
    data = block.get(cancelled.bytes_transferred)
    peer.send(b"+rest")
    while len(data) < 9:
        table.receive(rq, block.slice(), 2)
        data += block.get(table.one(cq).bytes_transferred)
    assert data == b"half+rest"


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "datagram"])
def test_cancelled_or_finished_but_never_both(table: Table, is_stream: bool) -> None:
    """When data and cancellation meet, a receive ends in one of the two ways, and no byte is lost or doubled."""
    needs_cancel(table)
    ours, peer = table.tcp() if is_stream else table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 0)
    block = table.block()
    rng = random.Random(7)
    sent = received = 0
    for number in range(3000):
        table.receive(rq, block.slice(0, 1), number)
        if rng.random() < 0.5:
            table.provider.commit_all()
        for is_data in rng.sample([True, False], 2):
            if is_data:
                peer.send(bytes([sent % 256]))
                sent += 1
            else:
                table.provider.cancel(rq, number)
        result = table.one(cq)
        assert result.request_context == number
        if result.status:
            assert (result.status, result.bytes_transferred) == (Status.OPERATION_ABORTED, 0)
        else:
            assert block.get(1) == bytes([received % 256])
            received += 1
    while received < sent:
        table.receive(rq, block.slice(0, 1), 0)
        assert table.one(cq).status == 0
        assert block.get(1) == bytes([received % 256])
        received += 1


def test_memory_that_is_only_read(table: Table) -> None:
    """Bytes can be registered for sending; a receive into them is refused, and they cannot be registered otherwise.

    Where memory cannot be registered for one request, such memory cannot be registered at all.
    """
    if not table.provider.registers_cheaply:
        with refused(Status.EFAULT):
            table.provider.register_for_sending(b"constant")
        return
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    data = b"constant"
    buffer = table.provider.register_for_sending(data)
    table.send(rq, buffer.slice())
    assert table.one(cq).bytes_transferred == len(data)
    assert peer.recv(100) == data
    with refused(Status.EFAULT):
        table.receive(rq, buffer.slice())
    table.provider.deregister_buffer(buffer)
    with refused(Status.EFAULT, Status.EINVAL):
        table.send(rq, buffer.slice())
    with refused(Status.EFAULT):
        table.provider.register_buffer(memoryview(data))
    with refused(Status.EINVAL):
        table.provider.register_for_sending(b"")


def test_new_bytes_are_filled_by_a_receive(table: Table) -> None:
    """New bytes have the size asked for, a receive fills them in place, and they outlive their registration."""
    made = table.provider.register_new_bytes(100)
    if made is None:
        assert table.provider.name != "uring"
        return
    buffer, data = made
    assert (type(data), len(data), buffer.length) == (bytes, 100, 100)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    peer.sendall(b"0123456789" * 10)
    table.receive(rq, buffer.slice(), flags=RIO_MSG_WAITALL)
    assert table.one(cq).bytes_transferred == 100
    table.provider.deregister_buffer(buffer)
    assert data == b"0123456789" * 10


def test_numbers_out_of_range(table: Table) -> None:
    """Contexts and keys outside 0 .. 2**63-1 and negative maxima are refused, and nothing is charged or posted."""
    provider = table.provider
    ours, _ = table.tcp()
    cq = table.cq()
    for context in (-1, 1 << 63):
        with refused(Status.EINVAL):
            table.rq(ours, cq, context=context)
        with refused(Status.EINVAL):
            provider.create_completion_queue(1, PortNotification(table.port, context))
    for receives, sends in ((-1, 1), (1, -1)):
        with refused(Status.EINVAL):
            table.rq(ours, cq, receives, sends)
    assert cq.charged == 0
    rq = table.rq(ours, cq)
    block = table.block()
    for context in (-1, 1 << 63):
        with refused(Status.EINVAL):
            table.receive(rq, block.slice(), context)
    for receives, sends in ((-1, 1), (1, -1)):
        with refused(Status.EINVAL):
            provider.resize_request_queue(rq, receives, sends)
    assert provider.outstanding() == 0
    assert cq.charged == 8


def test_things_of_another_provider(table: Table) -> None:
    """Queues of another provider are refused, and its buffers are not deregistered by mistake."""
    with open_table(table.provider.name) as other:
        ours, _ = table.tcp()
        theirs, peer = other.tcp()
        cq, other_cq = table.cq(), other.cq()
        for receive_cq, send_cq in ((cq, other_cq), (other_cq, cq)):
            with refused(Status.EINVAL):
                table.rq(ours, receive_cq, send_cq=send_cq)
        other_rq = other.rq(theirs, other_cq)
        block, other_block = table.block(), other.block()
        table.provider.deregister_buffer(other_block.buffer)
        other.send(other_rq, other_block.put(b"mine"))
        assert other.one(other_cq).status == 0
        assert peer.recv(10) == b"mine"
        table.send(table.rq(ours, cq), block.put(b"x"))
        assert table.one(cq).status == 0


def test_memory_in_pieces(provider: Provider) -> None:
    """Memory that is not in one piece cannot be registered, and nothing keeps hold of it."""
    memory = bytearray(100)
    with pytest.raises((RioError, BufferError)):
        provider.register_buffer(memoryview(memory)[::2])
    memory.append(0)


def test_the_end_of_a_provider(provider_name: str) -> None:
    """Closing it aborts everything and lets go of memory, leaves sockets open, and makes every later use raise.

    Where nothing but the end of the socket ends a request, sockets with requests are closed.
    """
    provider = open_provider(provider_name)
    table = Table(provider)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(BIG)
    table.receive(rq, block.slice(0, 10))
    table.send(rq, block.slice(10))
    provider.close()
    provider.close()
    assert provider.outstanding() == 0
    assert not block.is_held
    assert (ours.fileno() != -1) is provider.can_cancel
    uses: list[Callable[[], object]] = [
        lambda: provider.create_completion_queue(1),
        lambda: provider.register_buffer(bytearray(1)),
        lambda: table.receive(rq, block.slice()),
        lambda: rq.post_send(block.buffer.buffer_id, 0, 1, 0, 0),
        lambda: cq.dequeue(1),
        lambda: cq.arm(),
        provider.create_port,
    ]
    for use in uses:
        with pytest.raises(RioError):
            use()
    provider.close_socket(rq)
    provider.close_completion_queue(cq)
    ours.close()
    peer.close()
    for notification in table.notifications:
        notification.close()


def uses_in_a_child(table: Table) -> list[Callable[[], object]]:
    provider: Provider = table.provider
    rq, cq = table.request_queues[0], table.completion_queues[0]
    ours = rq.socket
    block = table.blocks[0]
    return [
        lambda: provider.create_completion_queue(1),
        lambda: provider.create_request_queue(ours, 1, 1, 1, 1, cq, cq, 0),
        lambda: provider.register_buffer(bytearray(1)),
        lambda: provider.deregister_buffer(block.buffer),
        lambda: table.receive(rq, block.slice()),
        lambda: table.send(rq, block.slice()),
        lambda: cq.dequeue(1),
        lambda: provider.notify(cq),
        lambda: table.port.wait(0),
        lambda: provider.cancel(rq, 1),
        lambda: provider.resize_completion_queue(cq, 100),
        lambda: provider.resize_request_queue(rq, 1, 1),
        lambda: provider.close_socket(rq),
        lambda: provider.close_completion_queue(cq),
        provider.commit_all,
        provider.create_port,
        provider.create_event,
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_refused(table: Table) -> None:
    """Each call raises RioError in the child, closing there is quiet, and the parent's requests live on."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 100), 1)
    table.provider.commit_all()

    def child() -> None:
        for use in uses_in_a_child(table):
            with pytest.raises(RioError, match="child"):
                use()
        table.provider.close()

    in_a_child(child)
    peer.send(b"still here")
    assert table.one(cq) == (0, 10, 1, 1)
    table.send(rq, block.put(b"and answering"), 2)
    assert table.one(cq) == (0, 13, 1, 2)
    assert peer.recv(100) == b"and answering"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_forked_during_a_dequeue_is_refused(table: Table) -> None:
    """A dequeue raises RioError in the child at once, though a thread of the parent was inside one."""
    import signal as signals

    busy, idle = table.cq(), table.cq()
    is_inside, may_leave = threading.Event(), threading.Event()

    def dequeue_slowly(limit: int) -> list[RawResult]:
        is_inside.set()
        may_leave.wait(PATIENCE_SECONDS)
        return []

    def child() -> None:
        signals.signal(signals.SIGALRM, signals.SIG_DFL)
        signals.alarm(int(PATIENCE_SECONDS))
        with pytest.raises(RioError, match="child"):
            table.provider.dequeue_completion(idle, 1)

    before, busy.dequeue = busy.dequeue, dequeue_slowly
    with running(lambda: table.provider.dequeue_completion(busy, 1)):
        assert is_inside.wait(PATIENCE_SECONDS)
        try:
            in_a_child(child)
        finally:
            may_leave.set()
    busy.dequeue = before


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_signals_do_not_disturb_a_wait(table: Table) -> None:
    """A wait that a signal handler interrupts goes on for the rest of its time, without an error."""
    import signal as signals

    calls: list[int] = []
    before = signals.signal(signals.SIGALRM, lambda *_: calls.append(1))
    try:
        signals.setitimer(signals.ITIMER_REAL, 0.01, 0.01)
        assert table.port.wait(0.2) == []
        assert not table.new_event().wait(0.1)
    finally:
        signals.setitimer(signals.ITIMER_REAL, 0)
        signals.signal(signals.SIGALRM, before)
    assert len(calls) > 2

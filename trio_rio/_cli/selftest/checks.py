"""The core of the conformance suite: what every provider must do, whatever is behind it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable

from ...rio import (
    RIO_CORRUPT_CQ,
    RIO_INVALID_BUFFERID,
    RIO_MAX_CQ_SIZE,
    RIO_MSG_COMMIT_ONLY,
    RIO_MSG_DEFER,
    RIO_MSG_DONT_NOTIFY,
    RIO_MSG_WAITALL,
    SOCKADDR_INET_SIZE_BYTES,
    RioError,
    Status,
    open_provider,
    pack_address,
    unpack_address,
)
from .bench import PATIENCE_SECONDS, Bench, read_exactly, refused, reset_at_close
from .report import NotApplicable, wine_version

Check = Callable[[Bench], "str | None"]


def rc_01(bench: Bench) -> None:
    """a provider can be opened twice, and makes real queues"""
    with_another = open_provider(bench.provider.name)
    with_another.create_completion_queue(1)
    with_another.close()


def rc_02(_: Bench) -> None:
    """constants have the header's values"""
    assert (RIO_MAX_CQ_SIZE, RIO_CORRUPT_CQ, RIO_INVALID_BUFFERID) == (0x8000000, 0xFFFFFFFF, 0xFFFFFFFF)


def rc_04(bench: Bench) -> None:
    """registering zero bytes is refused"""
    with refused(Status.EINVAL):
        bench.provider.register_buffer(bytearray())


def rc_05(bench: Bench) -> None:
    """memory registered twice has two ids; without one the other still works"""
    block = bench.block(16)
    again = bench.provider.register_buffer(block.memory)
    bench.provider.deregister_buffer(again)
    ours, peer = bench.tcp()
    cq = bench.cq()
    bench.send(bench.rq(ours, cq), block.put(b"still here"))
    assert bench.one(cq).status == 0
    assert read_exactly(peer, 10) == b"still here"


def rc_06(bench: Bench) -> None:
    """a slice beyond its registration is refused, and takes no credit"""
    block = bench.block(100)
    ours, peer = bench.tcp()
    cq = bench.cq()
    rq = bench.rq(ours, cq, 1, 1)
    for offset, length in ((61, 40), (0, 101), (0xFFFFFFFF, 1)):
        with refused(Status.EINVAL, Status.EFAULT):
            bench.receive(rq, block.buffer.slice(offset, length))
    bench.receive(rq, block.buffer.slice(60, 40))
    peer.send(b"x")
    assert bench.one(cq).bytes_transferred == 1


def rc_07(bench: Bench) -> None:
    """a deregistered id is refused"""
    block = bench.block(100)
    rq = bench.rq(bench.tcp()[0], bench.cq())
    bench.provider.deregister_buffer(block.buffer)
    bench.provider.deregister_buffer(block.buffer)  # RC-08: nothing
    with refused(Status.EINVAL, Status.EFAULT):
        bench.receive(rq, block.buffer.slice())


def rc_11(bench: Bench) -> None:
    """completion queues of size 0 and above the maximum are refused"""
    for size in (0, RIO_MAX_CQ_SIZE + 1):
        with refused(Status.EINVAL):
            bench.cq(size)


def rc_14(bench: Bench) -> None:
    """growing a completion queue keeps what is in it, in order; it does not shrink below its charge"""
    ours, peer = bench.udp(connected=True)
    cq, block = bench.cq(4), bench.block()
    rq = bench.rq(ours, cq, 3, 1)
    for context in range(3):
        bench.receive(rq, block.buffer.slice(context * 8, 8), context)
        peer.send(b"%d" % context)
    bench.provider.resize_completion_queue(cq, 400)
    assert [result.request_context for result in bench.collect(cq, 3)] == [0, 1, 2]
    with refused(Status.ETOOMANYREFS):
        bench.provider.resize_completion_queue(cq, 3)


def rc_16(bench: Bench) -> None:
    """both maxima 0 are refused; a queue for one direction refuses the other"""
    cq, block = bench.cq(), bench.block()
    with refused(Status.EINVAL):
        bench.rq(bench.tcp()[0], cq, 0, 0)
    with refused(Status.ENOBUFS):
        bench.send(bench.rq(bench.tcp()[0], cq, 1, 0), block.put(b"x"))
    with refused(Status.ENOBUFS):
        bench.receive(bench.rq(bench.tcp()[0], cq, 0, 1), block.buffer.slice())


def rc_17(bench: Bench) -> None:
    """a completion queue takes no more request queues than it has room for, and again when one is gone (RC-18)"""
    cq = bench.cq(4)
    first = bench.rq(bench.tcp()[0], cq, 2, 2)
    with refused(Status.ENOBUFS):
        bench.rq(bench.tcp()[0], cq, 1, 0)
    bench.provider.close_socket(first)
    bench.rq(bench.tcp()[0], cq, 2, 2)


def rc_19(bench: Bench) -> None:
    """one request more than the maximum is refused; a credit comes back with the dequeue (RC-20)"""
    ours, peer = bench.udp(connected=True)
    cq, block = bench.cq(), bench.block()
    rq = bench.rq(ours, cq, 1, 1)
    bench.receive(rq, block.buffer.slice(0, 8))
    with refused(Status.ENOBUFS):
        bench.receive(rq, block.buffer.slice(8, 8))
    peer.send(b"x")
    bench.one(cq)
    bench.receive(rq, block.buffer.slice(8, 8))


def rc_24(bench: Bench) -> None:
    """bytes arrive, and both contexts come back unchanged"""
    for context in (0, 1, 1 << 31, (1 << 32) + 1, (1 << 63) - 1):
        ours, peer = bench.tcp()
        cq, block = bench.cq(), bench.block()
        rq = bench.rq(ours, cq, context=context)
        bench.receive(rq, block.buffer.slice(100, 50), context)
        peer.send(b"hello")
        assert bench.one(cq) == (0, 5, context, context)
        assert block.get(7, 99) == b"\0hello\0"  # RC-09


def rc_25(bench: Bench) -> str:
    """several receives fill in the order of their posting"""
    return ", ".join(f"{_stream_in_order(bench, count)} bytes with {count} receives" for count in (1, 4, 16))


def _stream_in_order(bench: Bench, count: int) -> int:
    total, size = 1 << 20, 4000
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block(count * size)
    rq = bench.rq(ours, cq, count, 1)
    data = random.Random(count).randbytes(total)
    thread = threading.Thread(target=_send_in_pieces, args=(peer, data))
    thread.start()
    received = bytearray()
    try:
        for slot in range(count):
            bench.receive(rq, block.buffer.slice(slot * size, size), slot)
        while len(received) < total:
            result = bench.one(cq)
            assert result.status == 0, result
            assert result.bytes_transferred, result
            slot = result.request_context
            received += block.get(result.bytes_transferred, slot * size)
            bench.receive(rq, block.buffer.slice(slot * size, size), slot)
    finally:
        thread.join()
    assert bytes(received) == data, "bytes out of order"
    return total


def _send_in_pieces(peer: socket.socket, data: bytes) -> None:
    random_sizes, sent = random.Random(7), 0
    with contextlib.suppress(OSError):  # nobody receives: the check says so
        while sent < len(data):
            sent += peer.send(data[sent : sent + random_sizes.randint(1, 20_000)])


def rc_26(bench: Bench) -> None:
    """several sends go out in the order of their posting, deferred or not"""
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block(8 * 1000)
    rq = bench.rq(ours, cq, 1, 8)
    pieces = [bytes([65 + number]) * 1000 for number in range(8)]
    for number, piece in enumerate(pieces):
        bench.send(rq, block.put(piece, number * 1000), number, RIO_MSG_DEFER if number % 3 else 0)
    bench.send(rq, None, 0, RIO_MSG_COMMIT_ONLY)
    assert sorted(result[::3] for result in bench.collect(cq, 8)) == [(0, number) for number in range(8)]
    assert read_exactly(peer, 8000) == b"".join(pieces)


def rc_27(bench: Bench) -> None:
    """a WAITALL receive completes when its slice is full"""
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block()
    bench.receive(bench.rq(ours, cq), block.buffer.slice(0, 10), 0, RIO_MSG_WAITALL)
    peer.send(b"12345")
    assert bench.collect(cq, 1, 0.1) == []
    peer.send(b"67890")
    assert bench.one(cq).bytes_transferred == 10


def rc_28(bench: Bench) -> None:
    """the peer's graceful close is a receive of no bytes"""
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block()
    rq = bench.rq(ours, cq)
    bench.receive(rq, block.buffer.slice(0, 10))
    peer.send(b"last")
    assert bench.one(cq).bytes_transferred == 4
    bench.receive(rq, block.buffer.slice(0, 10))
    peer.shutdown(socket.SHUT_WR)
    assert bench.one(cq)[:2] == (0, 0)


def rc_29(bench: Bench) -> str:
    """a reset ends a receive with an error"""
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block()
    bench.receive(bench.rq(ours, cq), block.buffer.slice(0, 10))
    reset_at_close(peer)
    peer.close()
    status = bench.one(cq).status
    if not status and wine_version():
        raise NotApplicable("Wine reports a reset as the end of the stream, to plain sockets too")
    assert status, "success"
    return f"status {status}"


def rc_32(bench: Bench) -> str:
    """closing a socket completes everything that is outstanding, once"""
    ours, _ = bench.tcp()
    cq, block = bench.cq(), bench.block()
    rq = bench.rq(ours, cq)
    for context in range(4):
        bench.receive(rq, block.buffer.slice(context * 8, 8), context)
    bench.provider.close_socket(rq)
    results = bench.collect(cq, 5, 1.0)
    assert sorted(result.request_context for result in results) == [0, 1, 2, 3]
    assert all(result.status for result in results)
    assert bench.provider.outstanding() == 0
    return f"statuses {sorted({result.status for result in results})}"


def rc_36(bench: Bench) -> None:
    """a queue of a closed socket raises, and does not crash"""
    block = bench.block()
    rq = bench.rq(bench.tcp()[0], bench.cq())
    bench.provider.close_socket(rq)
    for flags in (0, RIO_MSG_COMMIT_ONLY):
        try:
            bench.receive(rq, None if flags else block.buffer.slice(), 0, flags)
        except RioError:
            continue
        raise AssertionError("a dead queue was used")


def rc_38(bench: Bench) -> None:
    """one datagram for each receive, of any size"""
    ours, peer = bench.udp(connected=True)
    cq, block = bench.cq(), bench.block(65536)
    rq = bench.rq(ours, cq)
    for size in (0, 1, 512, 1472, 9000):
        bench.receive(rq, block.buffer.slice())
        peer.send(bytes(size))
        assert bench.one(cq)[:2] == (0, size)  # RC-40: none is no end


def rc_39(bench: Bench) -> None:
    """a datagram longer than its slice fails with "message too long", and the next is whole"""
    ours, peer = bench.udp(connected=True)
    cq, block = bench.cq(), bench.block()
    rq = bench.rq(ours, cq)
    bench.receive(rq, block.buffer.slice(0, 4))
    peer.send(b"far too long")
    assert bench.one(cq).status == Status.EMSGSIZE
    assert block.get(4, 4) == bytes(4)
    bench.receive(rq, block.buffer.slice(8, 8))
    peer.send(b"next")
    assert bench.one(cq)[:2] == (0, 4)


def rc_41(bench: Bench) -> None:
    """a datagram's sender comes with it, and a reply finds it, over IPv4 and IPv6"""
    for family in (socket.AF_INET, socket.AF_INET6):
        ours, peer = bench.udp(family)
        cq, block = bench.cq(), bench.block()
        rq = bench.rq(ours, cq)
        address = block.buffer.slice(1024, SOCKADDR_INET_SIZE_BYTES)
        bench.provider.receive_ex(rq, block.buffer.slice(0, 100), 1, None, address, None, None, 0, 0)
        peer.send(b"ping")
        assert bench.one(cq)[:2] == (0, 4)
        sender = unpack_address(block.get(SOCKADDR_INET_SIZE_BYTES, 1024))
        assert sender == peer.getsockname()
        block.put(pack_address(family, sender), 1024)
        bench.provider.send_ex(rq, block.put(b"pong", 200), 1, None, address, None, None, 0, 0)
        assert peer.recv(10) == b"pong"
        bench.one(cq)


def rc_45(bench: Bench) -> None:
    """a deferred request starts with the commit of its direction; COMMIT_ONLY goes alone (RC-48)"""
    ours, peer = bench.tcp()
    cq, block = bench.cq(), bench.block()
    rq = bench.rq(ours, cq)
    bench.receive(rq, block.buffer.slice(0, 8), 1, RIO_MSG_DEFER)
    bench.send(rq, block.put(b"x", 8), 2, RIO_MSG_DEFER)
    bench.receive(rq, None, 0, RIO_MSG_COMMIT_ONLY)
    bench.send(rq, None, 0, RIO_MSG_COMMIT_ONLY)
    assert peer.recv(1) == b"x"
    peer.send(b"y")
    assert sorted(result.request_context for result in bench.collect(cq, 2)) == [1, 2]
    with refused(Status.EINVAL):
        bench.send(rq, block.put(b"x"), 0, RIO_MSG_COMMIT_ONLY)
    bench.send(rq, None, 0, RIO_MSG_COMMIT_ONLY)


def rc_50(bench: Bench) -> None:
    """an armed queue tells its port once, and its key; arming twice is refused (RC-52)"""
    cq, port = bench.port_cq(77)
    ours, peer = bench.udp(connected=True)
    rq, block = bench.rq(ours, cq), bench.block()
    for context in range(2):
        bench.receive(rq, block.buffer.slice(context * 8, 8), context)
    bench.provider.notify(cq)
    with refused(Status.EALREADY):
        bench.provider.notify(cq)
    peer.send(b"one")
    peer.send(b"two")
    assert port.wait(PATIENCE_SECONDS) == [77]
    assert len(bench.collect(cq, 2)) == 2
    assert port.wait(0.05) == []
    bench.provider.close_completion_queue(cq)
    port.close()


def rc_50_event(bench: Bench) -> None:
    """an armed queue sets its event; one that holds something sets it at once (RC-51)"""
    cq, notification = bench.event_cq()
    ours, peer = bench.udp(connected=True)
    rq, block = bench.rq(ours, cq), bench.block()
    bench.receive(rq, block.buffer.slice(0, 8))
    bench.provider.notify(cq)
    assert not notification.event.is_set
    peer.send(b"one")
    assert notification.event.wait(PATIENCE_SECONDS)
    bench.provider.notify(cq)
    assert notification.event.wait(PATIENCE_SECONDS)
    assert len(bench.collect(cq, 1)) == 1
    bench.provider.close_completion_queue(cq)
    notification.event.close()


def rc_53(bench: Bench) -> None:
    """what completes with DONT_NOTIFY tells nobody, and is dequeued all the same"""
    cq, port = bench.port_cq()
    ours, peer = bench.udp(connected=True)
    rq, block = bench.rq(ours, cq), bench.block()
    bench.receive(rq, block.buffer.slice(0, 8), 1, RIO_MSG_DONT_NOTIFY)
    bench.receive(rq, block.buffer.slice(8, 8), 2)
    bench.provider.notify(cq)
    peer.send(b"quiet")
    assert port.wait(0.1) == []
    peer.send(b"loud")
    assert len(port.wait(PATIENCE_SECONDS)) == 1
    assert [result.request_context for result in bench.collect(cq, 2)] == [1, 2]
    bench.provider.close_completion_queue(cq)
    port.close()


def rc_55(bench: Bench) -> None:
    """a queue without notification cannot be armed"""
    with refused(Status.EINVAL):
        bench.provider.notify(bench.cq())


def rc_60(bench: Bench) -> str:
    """connections come and go, and nothing is left of them"""
    cq, block = bench.cq(), bench.block()
    for _ in range(200):
        ours, peer = bench.tcp()
        rq = bench.rq(ours, cq)
        bench.receive(rq, block.buffer.slice(0, 8))
        bench.send(rq, block.put(b"x", 8))
        assert peer.recv(1) == b"x"
        bench.one(cq)
        bench.provider.close_socket(rq)
        bench.one(cq)
        peer.close()
    assert bench.provider.outstanding() == 0
    assert cq.charged == 0
    return "200 connections"


CHECKS: dict[str, Check] = {
    "RC-01": rc_01, "RC-02": rc_02, "RC-04": rc_04, "RC-05": rc_05, "RC-06": rc_06, "RC-07": rc_07, "RC-11": rc_11,
    "RC-14": rc_14, "RC-16": rc_16, "RC-17": rc_17, "RC-19": rc_19, "RC-24": rc_24, "RC-25": rc_25, "RC-26": rc_26,
    "RC-27": rc_27, "RC-28": rc_28, "RC-29": rc_29, "RC-32": rc_32, "RC-36": rc_36, "RC-38": rc_38, "RC-39": rc_39,
    "RC-41": rc_41, "RC-45": rc_45, "RC-50": rc_50, "RC-51": rc_50_event, "RC-53": rc_53, "RC-55": rc_55,
    "RC-60": rc_60,
}  # fmt: skip

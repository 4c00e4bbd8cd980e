"""The function table of the lane itself: does a raw program find what RIO's documentation promises?"""

from __future__ import annotations

import socket
from typing import Any

import pytest

from ...platforms import RESET_AT_CLOSE
from . import raw
from .harness import Bench, error

NULL = raw.ffi.NULL


def test_structures_have_their_sizes() -> None:
    """24, 16, 32 and 112 bytes."""
    sizes = [raw.ffi.sizeof(name) for name in ("RIORESULT", "RIO_BUF", "RIO_NOTIFICATION", "RIO_TABLE")]
    assert sizes == [24, 16, 32, 112]


def test_the_ioctl_gives_a_whole_table(bench: Bench) -> None:
    """Each of the thirteen functions is there, and the size is filled in."""
    assert bench.table.cbSize == 112
    names = [name for name, _ in raw.ffi.typeof("RIO_TABLE").fields if name != "cbSize"]
    assert len(names) == 13
    assert all(getattr(bench.table, name) for name in names)


def test_a_refused_table(knobs: Any) -> None:
    """TRIO_RIO_LANE_REFUSE: as if this were Wine alone."""
    knobs(REFUSE=1)
    with raw.new_socket() as sock:
        assert raw.open_table(sock) is None
        assert error() == raw.EOPNOTSUPP


def test_bytes_both_ways(bench: Bench) -> None:
    """A receive and a send complete once each, with their contexts and the true count."""
    _, peer, queue = bench.tcp()
    assert bench.receive(queue, 10, 100, context=11)
    peer.send(b"hello")
    assert bench.collect(1) == [(0, 5, 7, 11)]
    assert bench.memory.get(9, 7) == b"\0hello\0"
    assert bench.send(queue, b"there", context=12)
    assert bench.collect(1) == [(0, 5, 7, 12)]
    assert peer.recv(100) == b"there"
    assert bench.dequeue() == []


def test_posted_receives_fill_in_order(bench: Bench) -> None:
    """Four receives of ten bytes take forty bytes in the order of their posting."""
    _, peer, queue = bench.tcp()
    for i in range(4):
        assert bench.receive(queue, 10 * i, 10, raw.WAITALL, context=i)
    peer.sendall(bytes(range(40)))
    assert [result[3] for result in bench.collect(4)] == [0, 1, 2, 3]
    assert bench.memory.get(0, 40) == bytes(range(40))


def test_the_end_of_a_stream(bench: Bench) -> None:
    """Every posted receive completes with status 0 and no bytes."""
    _, peer, queue = bench.tcp()
    for i in range(3):
        bench.receive(queue, 10 * i, 10)
    peer.close()
    assert [result[:2] for result in bench.collect(3)] == [(0, 0)] * 3


def test_a_reset(bench: Bench) -> None:
    """A reset by the peer is an error of the receive."""
    _, peer, queue = bench.tcp()
    bench.receive(queue)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    peer.close()
    assert bench.collect(1)[0][0] in (10053, 10054, 0)  # Wine sends FIN before RST


def test_closesocket_ends_every_request(bench: Bench) -> None:
    """Receives, a deferred one and a send that is stuck: each completes once, aborted; the charge comes back."""
    ours, _, queue = bench.tcp()
    bench.receive(queue, 0)
    bench.receive(queue, 100)
    bench.receive(queue, 200, flags=raw.DEFER)
    ours.close()
    results = bench.collect(3)
    assert [result[0] for result in results] == [raw.ABORTED] * 3
    assert bench.dequeue() == []


def test_closesocket_ends_a_send_that_is_stuck(bench: Bench) -> None:
    """The peer does not read; nothing hangs."""
    ours, _, queue = bench.tcp()
    memory = raw.Memory(bench.table, 1 << 25)
    assert bench.table.RIOSend(queue, memory.slice(0, 1 << 25), 1, 0, NULL)
    ours.close()
    assert len(bench.collect(1)) == 1
    bench.table.RIODeregisterBuffer(memory.id)


def test_credits(bench: Bench) -> None:
    """The fifth request of a queue for four is refused, until one is dequeued; finished is not enough."""
    _, peer, queue = bench.tcp()
    for i in range(4):
        assert bench.receive(queue, 100 * i, 1)
    assert not bench.receive(queue, 500)
    assert error() == raw.ENOBUFS
    peer.send(b"x")
    assert bench.send(queue, b"y")
    bench.collect(2)
    assert bench.receive(queue, 500)
    assert not bench.receive(queue, 600)


def test_admission(bench: Bench) -> None:
    """A completion queue has room for 64: it is promised, and given back with the socket."""
    ours, other = bench.pair()[0], bench.pair()[0]
    assert bench.request_queue(ours, 40, 20)
    assert bench.request_queue(other, 4, 1) == NULL
    assert error() == raw.ENOBUFS
    assert not bench.table.RIOResizeCompletionQueue(bench.queue, 59)
    assert error() == raw.ETOOMANYREFS
    assert bench.table.RIOResizeCompletionQueue(bench.queue, 65)
    assert bench.request_queue(other, 4, 1)
    ours.close()
    assert bench.table.RIOResizeCompletionQueue(bench.queue, 5)


def test_a_request_queue_grows(bench: Bench) -> None:
    """As far as its completion queue has room."""
    _, _, queue = bench.tcp()
    assert bench.table.RIOResizeRequestQueue(queue, 60, 4)
    assert not bench.table.RIOResizeRequestQueue(queue, 61, 4)
    assert error() == raw.ENOBUFS


def test_a_socket_without_the_flag_is_refused(bench: Bench) -> None:
    """WSAEOPNOTSUPP."""
    with raw.new_socket(rio=False) as sock:
        assert bench.request_queue(sock) == NULL
        assert error() == raw.EOPNOTSUPP


def test_a_socket_of_a_plain_listener_is_refused(bench: Bench) -> None:
    """accept makes a socket like the listener."""
    ours, _ = bench.pair(rio_listener=False)
    assert bench.request_queue(ours) == NULL


@pytest.mark.parametrize("flags", [0x10, raw.COMMIT_ONLY | raw.DEFER, raw.COMMIT_ONLY])
def test_flags_that_are_refused(bench: Bench, flags: int) -> None:
    """Unknown ones, and COMMIT_ONLY with anything beside it."""
    _, _, queue = bench.tcp()
    assert not bench.receive(queue, flags=flags)
    assert error() == raw.EINVAL


def test_deferred_requests_wait_for_a_commit_of_their_direction(bench: Bench) -> None:
    """A commit of the sends does not start a receive."""
    _, peer, queue = bench.tcp()
    peer.send(b"here")
    assert bench.receive(queue, flags=raw.DEFER, context=1)
    assert bench.send(queue, b"x", flags=raw.DEFER, context=2)
    assert bench.dequeue() == []
    assert bench.commit("RIOSend", queue)
    assert bench.collect(1) == [(0, 1, 7, 2)]
    assert bench.dequeue() == []
    assert bench.commit("RIOReceive", queue)
    assert bench.collect(1) == [(0, 4, 7, 1)]
    assert bench.commit("RIOReceive", queue)


def test_a_request_that_is_not_deferred_starts_earlier_ones(bench: Bench) -> None:
    """Of its own direction, and in order."""
    _, peer, queue = bench.tcp()
    bench.send(queue, b"one", 2048, raw.DEFER)
    bench.send(queue, b"two", 2058)
    bench.collect(2)
    assert peer.recv(10) == b"onetwo"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
def test_datagrams_with_addresses(bench: Bench, family: int) -> None:
    """ReceiveEx tells the sender, SendEx goes to an address; one of no bytes is a datagram too."""
    _, peer, queue = bench.udp(family)
    table, memory = bench.table, bench.memory
    address = memory.slice(1024, 28)
    for expected in (b"datagram", b""):
        assert table.RIOReceiveEx(queue, memory.slice(0, 100), 1, NULL, address, NULL, NULL, 0, NULL)
        peer.send(expected)
        assert bench.collect(1) == [(0, len(expected), 7, 0)]
        assert memory.get(0, len(expected)) == expected
    port = int.from_bytes(memory.get(1026, 2), "big")
    assert port == peer.getsockname()[1]
    assert memory.get(1024, 1)[0] == family
    assert table.RIOSendEx(queue, memory.put(200, b"back"), 1, NULL, address, NULL, NULL, 0, NULL)
    assert bench.collect(1) == [(0, 4, 7, 0)]
    assert peer.recv(100) == b"back"


def test_a_datagram_that_is_too_long(bench: Bench) -> None:
    """WSAEMSGSIZE, nothing outside the slice, and the next one whole."""
    _, peer, queue = bench.udp()
    bench.receive(queue, 0, 4)
    bench.receive(queue, 100, 4)
    peer.send(b"too long")
    peer.send(b"next")
    results = bench.collect(2)
    assert [result[0] for result in results] == [raw.EMSGSIZE, 0]
    assert bench.memory.get(4, 4) == bytes(4)
    assert bench.memory.get(100, 4) == b"next"


def test_nobody_there_is_not_told(bench: Bench) -> None:
    """ICMP's "port unreachable" ends no receive."""
    ours, peer, queue = bench.udp()
    ours.connect(peer.getsockname())
    bench.receive(queue)
    peer.close()
    bench.send(queue, b"x")
    assert [result[3] for result in bench.collect(1)] == [2]
    bench.send(queue, b"x")
    assert [result[3] for result in bench.collect(1)] == [2]
    assert bench.dequeue() == []


def test_a_port_gets_one_packet(bench: Bench) -> None:
    """Armed once, signalled once; armed with a result waiting, signalled at once; armed twice, WSAEALREADY."""
    port = raw.kernel.CreateIoCompletionPort(raw.ffi.cast("void *", -1), NULL, 0, 1)
    overlapped = raw.ffi.new("char[32]")
    how = raw.ffi.new("RIO_NOTIFICATION *", (2, port, raw.ffi.cast("void *", 99), overlapped))
    bench.replace_queue(how, overlapped)
    _, peer, queue = bench.tcp()

    def packets(milliseconds: int) -> int:
        count, size, key, pointer = 0, *(raw.ffi.new(kind) for kind in ("uint32_t *", "size_t *", "void **"))
        while raw.kernel.GetQueuedCompletionStatus(port, size, key, pointer, milliseconds if not count else 0):
            assert key[0] == 99
            assert pointer[0] == overlapped
            count += 1
        return count

    for i in range(3):
        bench.receive(queue, 10 * i, 1)
    assert bench.table.RIONotify(bench.queue) == 0
    assert bench.table.RIONotify(bench.queue) == raw.EALREADY
    assert packets(0) == 0
    peer.send(b"abc")
    assert packets(5000) == 1
    bench.collect(2)
    assert bench.table.RIONotify(bench.queue) == 0
    assert packets(5000) == 1
    bench.collect(1)
    bench.receive(queue, 0, 1, raw.DONT_NOTIFY)
    assert bench.table.RIONotify(bench.queue) == 0
    peer.send(b"d")
    bench.collect(1)
    assert packets(0) == 0
    raw.kernel.CloseHandle(port)


def test_an_event_is_set(bench: Bench) -> None:
    """And reset by RIONotify when that is wanted."""
    event = raw.kernel.CreateEventW(NULL, 1, 1, NULL)
    how = raw.ffi.new("RIO_NOTIFICATION *", (1, event, raw.ffi.cast("void *", 1), NULL))
    bench.replace_queue(how)
    _, peer, queue = bench.tcp()
    bench.receive(queue)
    assert bench.table.RIONotify(bench.queue) == 0
    assert raw.kernel.WaitForSingleObject(event, 0) != 0
    peer.send(b"x")
    assert raw.kernel.WaitForSingleObject(event, 5000) == 0
    bench.collect(1)
    raw.kernel.CloseHandle(event)


def test_a_polled_queue_cannot_be_armed(bench: Bench) -> None:
    """WSAEINVAL."""
    assert bench.table.RIONotify(bench.queue) == raw.EINVAL


def test_closing_a_queue_drops_its_results(bench: Bench) -> None:
    """Those that are there and those that come, and the sockets can be closed afterwards."""
    ours, peer, queue = bench.tcp()
    bench.receive(queue, 0, 1)
    bench.receive(queue, 10, 1)
    peer.send(b"x")
    old = bench.queue
    bench.table.RIOCloseCompletionQueue(old)
    bench.table.RIOCloseCompletionQueue(old)
    ours.close()
    bench.queue = bench.table.RIOCreateCompletionQueue(1, NULL)


def test_registrations(bench: Bench) -> None:
    """No bytes are refused, read-only memory too, and the same memory may be registered twice."""
    assert bench.table.RIORegisterBuffer(bench.memory.data, 0) == raw.INVALID_BUFFER_ID
    assert error() == raw.EINVAL
    assert bench.table.RIORegisterBuffer(NULL, 10) == raw.INVALID_BUFFER_ID
    assert error() == raw.EFAULT
    again = bench.table.RIORegisterBuffer(bench.memory.data, 4096)
    assert again not in (raw.INVALID_BUFFER_ID, bench.memory.id)
    bench.table.RIODeregisterBuffer(again)
    bench.table.RIODeregisterBuffer(again)
    bench.table.RIODeregisterBuffer(raw.INVALID_BUFFER_ID)

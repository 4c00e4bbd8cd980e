"""Probes U1 to U20: questions about Registered I/O that no source answers, put to the system itself.

Each one says what it did and what it saw, and judges nothing. On Windows each runs in a process of its own, since
some might end it. Most make sense on every provider; what only Windows can answer is not applicable elsewhere.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
from collections.abc import Callable

from ...rio import RIO_MSG_WAITALL, status_name
from .bench import read_exactly, reset_at_close
from .ground import Ground, endings
from .raw import collect
from .report import NotApplicable


def u1(ground: Ground) -> str:
    """status of requests after closesocket"""
    lines = []
    ways = ("closesocket", "shutdown of both, closesocket", "linger 0, closesocket")
    for name, make, possible in (
        ("TCP", ground.bench.tcp, ways),
        ("UDP", lambda: ground.bench.udp(connected=True), ways[:2]),  # Windows has no linger for datagrams
    ):
        for way in possible:
            ours, _ = make()
            rq = ground.rq(ours)
            ground.receive(rq)
            if way.startswith("shutdown"):
                try:
                    ours.shutdown(socket.SHUT_RDWR)
                except OSError:
                    way += " (shutdown refused)"
            elif way.startswith("linger"):
                reset_at_close(ours)
            ground.table.close_socket(rq, ours)
            lines.append(f"{name} receive, {way}: {endings(ground.collect(1))}")
    ours, _ = ground.bench.tcp()
    rq, posted = ground.rq(ours, 1, 64), 0
    while posted < 64 and not ground.table.send(rq, ground.buffer, 0, 1 << 20, posted):
        posted += 1
    done = ground.collect(64, 0.3)
    ground.table.close_socket(rq, ours)
    lines.append(f"TCP, {posted} sends of 1 MiB to a peer that does not read: before the close {endings(done)}")
    lines.append(f"  after closesocket: {endings(ground.collect(posted - len(done)))}")
    return "\n".join(lines)


def u2(ground: Ground) -> str:
    """status of a receive and of a send after the peer's reset"""
    ours, peer = ground.bench.tcp()
    rq = ground.rq(ours)
    ground.receive(rq)
    reset_at_close(peer)
    peer.close()
    receive = endings(ground.collect(1))
    code = ground.table.send(rq, ground.buffer, 0, 10, 1)
    send = f"refused, {status_name(code)}" if code else endings(ground.collect(1))
    return f"receive: {receive}\nsend: {send}"


def u4(ground: Ground) -> str:
    """when the room in a completion queue comes back after closesocket"""
    table = ground.table
    cq, _ = table.cq(4)
    first, _ = ground.bench.tcp()
    rq, _ = table.rq(first, cq, 2, 2)
    table.receive(rq, ground.buffer, 0, 8, 0)
    table.receive(rq, ground.buffer, 8, 8, 1)
    table.close_socket(rq, first)
    second, _ = ground.bench.tcp()
    _, at_once = table.rq(second, cq, 2, 2)
    taken = collect(table, cq, 2)
    third, _ = ground.bench.tcp()
    _, afterwards = table.rq(third, cq, 2, 2) if at_once else (None, 0)
    return (
        f"a new queue at once: {status_name(at_once) if at_once else 'room'}; {len(taken)} results dequeued; "
        f"then: {status_name(afterwards) if afterwards else 'room'}"
    )


def u5(ground: Ground) -> str:
    """plain calls on a socket that has a request queue"""
    lines = []
    for has_posted in (False, True):
        ours, peer = ground.bench.tcp()
        rq = ground.rq(ours)
        if has_posted:
            ground.receive(rq)
        ours.setblocking(False)
        peer.send(b"hello")
        results = ground.collect(1, 0.5)
        ready = bool(select.select([ours], [], [], 0.2)[0])
        try:
            said: object = ours.recv(100)
        except OSError as error:
            said = f"{type(error).__name__} {error.errno}"
        try:
            sent: object = ours.send(b"x")
        except OSError as error:
            sent = f"{type(error).__name__} {error.errno}"
        lines.append(
            f"receive posted: {'yes' if has_posted else 'no'}. RIO: {endings(results)}. select: "
            f"{'readable' if ready else 'not readable'}. recv: {said!r}. send: {sent!r}, the peer got {_peek(peer)!r}"
        )
    return "\n".join(lines)


def _peek(peer: socket.socket) -> object:
    peer.settimeout(1.0)
    try:
        return peer.recv(100)
    except OSError as error:
        return type(error).__name__


def u7(ground: Ground) -> str:
    """RIONotify on a queue without notification"""
    return f"{status_name(ground.table.notify(ground.cq))}"


def u8(ground: Ground) -> str:
    """whether a send of a stream can complete short with success"""
    ours, peer = ground.bench.tcp()
    rq = ground.rq(ours, 1, 16)
    for context in range(16):
        ground.table.send(rq, ground.buffer, 0, 1 << 20, context)
    read_exactly(peer, 100_000)
    peer.close()
    results = ground.collect(16, 3.0)
    short = [count for status, count, _, _ in results if not status and count != 1 << 20]
    return f"16 sends of 1 MiB, the peer closes after 100,000 bytes: {endings(results)}\nshort with success: {short}"


def u9(ground: Ground) -> str:
    """whether several receives fill, and several sends go out, in the order of their posting"""
    lines = []
    for count in (2, 16):
        ours, peer = ground.bench.tcp()
        rq = ground.rq(ours, count, count)
        data = random.Random(count).randbytes(2 << 20)
        thread = threading.Thread(target=peer.sendall, args=(data,))
        thread.start()
        for slot in range(count):
            ground.receive(rq, slot)
        received, order, expected = bytearray(), 0, 0
        while len(received) < len(data):
            results = ground.collect(1)
            if not results:
                break
            slot, size = results[0][3], results[0][1]
            order += slot != expected % count
            expected += 1
            received += ground.memory[slot * 4096 : slot * 4096 + size]
            ground.receive(rq, slot)
        thread.join()
        verdict = "as sent" if received == data else "NOT as sent"
        lines.append(f"{count} receives: {len(received)} bytes {verdict}, {order} completions out of order")
        ground.table.close_socket(rq, ours)
        ground.collect(count, 1.0)
    return "\n".join(lines)


def u10(ground: Ground) -> str:
    """what a truncated datagram leaves"""
    ours, peer = ground.bench.udp(connected=True)
    rq = ground.rq(ours)
    ground.receive(rq, 0, 4)
    peer.send(b"far too long")
    results = ground.collect(1)
    return f"a slice of 4 bytes, a datagram of 12: {endings(results)}; the slice has {bytes(ground.memory[:8])!r}"


def u11(ground: Ground) -> str:
    """closing a completion queue before the sockets that use it"""
    table = ground.table
    cq, _ = table.cq(16)
    ours, peer = ground.bench.tcp()
    rq, _ = table.rq(ours, cq, 2, 2)
    table.receive(rq, ground.buffer, 0, 8, 0)
    table.close_cq(cq)
    peer.send(b"x")
    table.close_socket(rq, ours)
    again, _ = table.cq(16)
    return f"survived; a new queue can{'' if again else 'not'} be made"


def u12(ground: Ground) -> str:
    """a receive posted before its socket is connected"""
    listener, ours = ground.bench.listener(), ground.bench.new_socket()
    rq = ground.rq(ours)
    code = ground.receive(rq)
    early = ground.collect(1, 0.2)
    ours.setblocking(False)
    ours.connect_ex(listener.getsockname())
    peer, _ = listener.accept()
    ground.bench.sockets.append(peer)
    peer.send(b"hello")
    late = "" if code or early else f"; after connecting, and 5 bytes from the peer: {endings(ground.collect(1))}"
    return f"post: {status_name(code) if code else 'accepted'}; before connecting: {endings(early)}{late}"


def u14(ground: Ground) -> str:
    """how many request queues"""
    cq, _ = ground.table.cq(1 << 16)
    made = 0
    while made < 4096:
        try:
            sock = ground.bench.new_socket(socket.SOCK_DGRAM)
        except OSError as error:
            return f"{made} request queues, then no socket: {error}"
        _, code = ground.table.rq(sock, cq, 4, 4)
        if code:
            return f"{made} request queues, then {status_name(code)}"
        made += 1
    return f"{made} request queues, where the probe stopped"


def u15(ground: Ground) -> str:
    """what the other posted receives complete with at the end of a stream"""
    ours, peer = ground.bench.tcp()
    rq = ground.rq(ours)
    for slot in range(4):
        ground.receive(rq, slot)
    peer.shutdown(socket.SHUT_WR)
    return f"4 receives: {endings(ground.collect(4))}"


def u16(ground: Ground) -> str:
    """whether datagrams are dropped while no receive is posted, however large SO_RCVBUF is"""
    lines = []
    for has_queue in (False, True):
        ours, peer = ground.bench.udp(connected=True)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        rq = ground.rq(ours, 100, 1) if has_queue else None
        for number in range(100):
            peer.send(struct.pack("I", number))
        rq = rq if has_queue else ground.rq(ours, 100, 1)
        for slot in range(100):
            ground.receive(rq, slot)
        when = "before" if has_queue else "after"
        came = ground.collect(100, 1.0)
        lines.append(f"100 datagrams, the request queue made {when} them: {len(came)} came with the receives")
        ground.table.close_socket(rq, ours)
        ground.collect(100 - len(came), 1.0)
    return "\n".join(lines)


def _ask_windows(number: str) -> Callable[[Ground], str]:
    def ask(ground: Ground) -> str:
        if not ground.table.is_windows:
            raise NotApplicable("only Windows has this question")
        from . import windows

        probe: Callable[[Ground], str] = getattr(windows, number)
        return probe(ground)

    ask.__doc__ = _OF_WINDOWS[number]
    return ask


_OF_WINDOWS = {
    "u3": "whether CancelIoEx or SIO_FLUSH ends requests",
    "u6": "a RIO socket that is shared with another process",
    "u13": "how many registrations, and how much locked memory",
    "u18": "what stands between: Wine, layered service providers",
}


def u17(_: Ground) -> str:
    """the figures of an old article"""
    raise NotApplicable("a question to a publication, not to a system")


def u19(_: Ground) -> str:
    """network compartments"""
    raise NotApplicable("needs two compartments, which a self-test must not make; U6 shares a socket across processes")


def u20(ground: Ground) -> str:
    """a second request queue; a slice out of range; WAITALL on a datagram socket"""
    ours, _ = ground.bench.udp(connected=True)
    rq = ground.rq(ours)
    _, second = ground.table.rq(ours, ground.cq, 1, 1)
    outside = ground.table.receive(rq, ground.buffer, (1 << 20) - 4, 8, 0)
    waitall = ground.receive(rq, 0, 8, RIO_MSG_WAITALL)
    said = [status_name(code) if code else "accepted" for code in (second, outside, waitall)]
    return "second queue: {}\nslice out of range: {}\nWAITALL: {}".format(*said)


PROBES: dict[str, Callable[[Ground], str]] = {
    "U1": u1, "U2": u2, "U3": _ask_windows("u3"), "U4": u4, "U5": u5, "U6": _ask_windows("u6"), "U7": u7, "U8": u8,
    "U9": u9, "U10": u10, "U11": u11, "U12": u12, "U13": _ask_windows("u13"), "U14": u14, "U15": u15, "U16": u16,
    "U17": u17, "U18": _ask_windows("u18"), "U19": u19, "U20": u20,
}  # fmt: skip

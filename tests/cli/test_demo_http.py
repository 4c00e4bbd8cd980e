"""The demonstration's HTTP server: the limits, the order of answers, and how a connection ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair

from trio_rio._cli.demo.clients import MALFORMED
from trio_rio._cli.demo.http import (
    BODY_MAX_BYTES,
    HEAD_MAX_BYTES,
    REQUEST_TIMEOUT_SECONDS,
    HttpConnection,
    make_handler,
    reference_bytes,
)

HOST = b"\r\nHost: a"


async def converse(sent: bytes, *, ends: bool = True) -> bytes:
    """Everything that a server answers to a client which sends this, and then ends or is silent."""
    client, server = memory_stream_pair()
    received = b""

    async def serve() -> None:
        async with server:
            await HttpConnection(server, make_handler(lambda: b"{}")).serve()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await client.send_all(sent)
        if ends:
            await client.send_eof()
        async for data in client:
            received += data
        await client.aclose()
    return received


def statuses(answer: bytes | bytearray) -> list[bytes]:
    return [bytes(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (b"GET / HTTP/1.1" + HOST, 2),
        (b"GET / HTTP/1.1" + HOST + b"\r\nConnection: foo, close", 1),
        (b"GET / HTTP/1.0", 1),
    ],
)
async def test_persistence(head: bytes, count: int) -> None:
    """HTTP/1.1 keeps the connection unless told to close; HTTP/1.0 closes it."""
    assert statuses(await converse((head + b"\r\n\r\n") * 2)) == [b"200"] * count


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Two requests in one piece, get two answers in order."""
    answer = await converse(b"GET /bytes/3 HTTP/1.1%b\r\n\r\nGET /nowhere HTTP/1.1%b\r\n\r\n" % (HOST, HOST))
    assert statuses(answer) == [b"200", b"404"]
    assert b"\r\n\r\n" + reference_bytes(3) + b"HTTP/1.1 404" in answer


async def test_a_body_in_pieces_comes_back_whole() -> None:
    """A POST to /echo gets its body back, and the connection goes on."""
    body = reference_bytes(200_000)
    head = b"POST /echo HTTP/1.1%b\r\nContent-Length: %d\r\n\r\n" % (HOST, len(body))
    answer = await converse(head + body + b"GET / HTTP/1.1%b\r\n\r\n" % HOST)
    assert statuses(answer) == [b"200", b"200"]
    assert body in answer


async def test_a_chunked_body_comes_back_whole() -> None:
    """A body of unknown length is taken too."""
    head = b"POST /echo HTTP/1.1%b\r\nTransfer-Encoding: chunked\r\n\r\n" % HOST
    assert (await converse(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).endswith(b"\r\n\r\nabcde")


async def test_an_endless_body_is_refused() -> None:
    """The limit holds for a body of unknown length too."""
    head = b"POST /echo HTTP/1.1%b\r\nTransfer-Encoding: chunked\r\n\r\n" % HOST
    size = BODY_MAX_BYTES + 1
    assert statuses(await converse(head + b"%x\r\n%b\r\n" % (size, bytes(size)))) == [b"413"]


async def test_continue_is_sent_when_it_is_waited_for() -> None:
    """A client that expects 100-continue gets it before its body is read."""
    client, server = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(HttpConnection(server, make_handler(lambda: b"{}")).serve)
        await client.send_all(b"POST /echo HTTP/1.1%b\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n" % HOST)
        assert await client.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send_all(b"ok")
        assert statuses(await client.receive_some()) == [b"200"]
        await client.aclose()


async def test_head_has_the_length_and_not_the_body() -> None:
    """HEAD answers as GET would, without the body."""
    answer = await converse(b"HEAD /bytes/1000 HTTP/1.1%b\r\n\r\n" % HOST)
    assert b"\r\nContent-Length: 1000\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_wrong_method_names_the_right_ones() -> None:
    """405 comes with Allow."""
    assert b"\r\nAllow: POST\r\n" in await converse(b"GET /echo HTTP/1.1%b\r\n\r\n" % HOST)


@pytest.mark.parametrize(("head", "status"), MALFORMED, ids=range(len(MALFORMED)))  # one has a very long repr
async def test_a_malformed_request_ends_the_connection(head: bytes, status: int) -> None:
    """The refusal is the only answer: what follows on the connection is not taken for a request."""
    answer = await converse(head + b"GET / HTTP/1.1%b\r\n\r\n" % HOST)
    assert statuses(answer) == [str(status).encode()]
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHos", b"POST /echo HTTP/1.1%b\r\nContent-Length: 9\r\n\r\nshort" % HOST],
)
async def test_an_end_within_a_request_is_refused(sent: bytes) -> None:
    """A client that ends its side within a head or a body is told 400."""
    assert statuses(await converse(sent)) == [b"400"]


async def test_an_end_between_requests_is_silent() -> None:
    """A client that sends nothing gets nothing."""
    assert await converse(b"") == b""


async def test_an_endless_head_is_refused() -> None:
    """More than the limit without an empty line is 431."""
    assert statuses(await converse(b"a" * (HEAD_MAX_BYTES + 1), ends=False)) == [b"431"]


async def test_a_silent_client_is_left(autojump_clock: trio.testing.MockClock) -> None:
    """A connection on which nothing comes for 30 s is closed without a word."""
    assert await converse(b"GET / HT", ends=False) == b""
    assert autojump_clock.current_time() == REQUEST_TIMEOUT_SECONDS


async def test_a_client_that_vanishes_is_no_error() -> None:
    """A client that closes instead of reading the answer ends its own connection and nothing else."""
    client, server = memory_stream_pair()
    await client.send_all(b"GET / HTTP/1.1%b\r\n\r\n" % HOST)
    await client.aclose()
    await HttpConnection(server, make_handler(lambda: b"{}")).serve()

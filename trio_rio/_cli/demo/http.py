"""The demonstration's HTTP/1.1 server: h11 on a Trio stream, and a few resources.

h11 knows the grammar and the order of messages and does no I/O; what is here moves its bytes and sets the limits. An
error is answered, the sending side ended, and what the client still sends is read for a moment, because closing a
socket with unread data resets the connection and takes the answer with it. [RFC 9112, section 9.6]
"""

from __future__ import annotations

import email.utils
import http
import random
import re
from collections.abc import Callable

import attrs
import h11
import trio

HEAD_MAX_BYTES = 16 * 1024
BODY_MAX_BYTES = 8 * 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 30
LINGER_SECONDS = 1
RECEIVE_SIZE_BYTES = 64 * 1024


@attrs.frozen
class Answer:
    """What a handler answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    fields: tuple[tuple[str, str], ...] = ()


Handler = Callable[[h11.Request, bytes], Answer]


@attrs.define(eq=False)
class HttpConnection:
    """One client's connection: reads requests one after the other and answers each before it reads the next."""

    stream: trio.abc.HalfCloseableStream
    handler: Handler
    _http: h11.Connection = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX_BYTES)

    async def serve(self) -> None:
        """Serve until the client ends the connection, breaks the rules, or is silent for too long."""
        try:
            while (exchange := await self._read_request()) is not None:
                request, body = exchange
                await self._answer(self.handler(request, body), with_body=request.method != b"HEAD")
                if self._http.our_state is h11.MUST_CLOSE:
                    return
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(Answer(error.error_status_hint, f"{error}\n".encode()))
        except trio.BrokenResourceError:
            pass  # the client is gone

    async def _read_request(self) -> tuple[h11.Request, bytes] | None:
        with trio.move_on_after(REQUEST_TIMEOUT_SECONDS):
            request = await self._next_event()
            if isinstance(request, h11.Request):
                return request, await self._read_body(request)
        return None

    async def _next_event(self) -> h11.Event:
        while not isinstance(event := self._http.next_event(), h11.Event):
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self._http.receive_data(bytes(await self.stream.receive_some(RECEIVE_SIZE_BYTES)))
        return event

    async def _read_body(self, request: h11.Request) -> bytes:
        announced = int(dict(request.headers).get(b"content-length", 0))
        body = bytearray()
        while max(announced, len(body)) <= BODY_MAX_BYTES:
            event = await self._next_event()
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
        raise h11.RemoteProtocolError(f"a body has at most {BODY_MAX_BYTES} bytes here", error_status_hint=413)

    async def _answer(self, answer: Answer, *, with_body: bool = True) -> None:
        headers = [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            *answer.fields,
        ]
        reason = http.HTTPStatus(answer.status).phrase
        head = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        await self._send(head, *([h11.Data(answer.body)] if with_body else []), h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        await self.stream.send_all(b"".join(self._http.send(event) or b"" for event in events))

    async def _refuse(self, answer: Answer) -> None:
        try:
            await self._answer(attrs.evolve(answer, fields=(("Connection", "close"),)))
            await self.stream.send_eof()
            with trio.move_on_after(LINGER_SECONDS):
                while await self.stream.receive_some(RECEIVE_SIZE_BYTES):
                    pass
        except trio.BrokenResourceError:
            pass


def reference_bytes(count: int) -> bytes:
    """The body of ``/bytes/<count>``: the same on both sides, and unlike itself at any offset."""
    return random.Random(count).randbytes(count)


def make_handler(statistics: Callable[[], bytes]) -> Handler:
    """The demonstration's resources: ``/``, ``/bytes/<count>``, ``/echo`` and ``/statistics``.

    Args:
      statistics: makes the JSON text of ``/statistics``.
    """

    def handle(request: h11.Request, body: bytes) -> Answer:
        path = request.target.decode("ascii").partition("?")[0]
        allowed = ("POST",) if path == "/echo" else ("GET", "HEAD")
        count = re.fullmatch("/bytes/([0-9]{1,7})", path)
        if path not in ("/", "/echo", "/statistics") and (count is None or int(count[1]) > BODY_MAX_BYTES):
            return Answer(404, b"there is no such thing here\n")
        if request.method.decode("ascii") not in allowed:
            return Answer(405, b"not with this method\n", fields=(("Allow", ", ".join(allowed)),))
        if path == "/echo":
            return Answer(200, body, "application/octet-stream")
        if path == "/statistics":
            return Answer(200, statistics(), "application/json")
        if count is not None:
            return Answer(200, reference_bytes(int(count[1])), "application/octet-stream")
        return Answer(200, b"served by a Trio program\n")

    return handle

"""A small and strict HTTP/1.1 server on a Trio stream, for the demonstration.

Facts. A server that guesses where a message ends can be made to disagree with the next one on the same connection
(request smuggling), so a request that is framed badly must be refused and the connection closed. [RFC 9112,
sections 2.2, 3, 5, 6 and 11.2]

Decision. Heads are parsed by two regular expressions that know nothing but the grammar; bodies have a Content-Length
or are refused with 411. Parsing is a pure function of bytes. Everything has a limit. An error is answered, the
sending side ended, and what the client still sends is read for a moment, because closing a socket with unread data
resets the connection and takes the answer with it.
"""

from __future__ import annotations

import email.utils
import http
import random
import re
from collections.abc import Callable, Mapping

import attrs
import trio

HEAD_MAX_BYTES = 16 * 1024
BODY_MAX_BYTES = 8 * 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 30
LINGER_SECONDS = 1
RECEIVE_SIZE_BYTES = 64 * 1024

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[!-~\x80-\xff][ \t!-~\x80-\xff]*)?)")


class HttpError(Exception):
    """A request that gets an error for an answer, after which the connection ends."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


@attrs.frozen
class Request:
    """The head of a request, checked."""

    method: str
    target: str
    content_length: int
    keep_alive: bool
    expects_continue: bool


@attrs.frozen
class Response:
    """What a handler answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    fields: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request, bytes], Response]


def parse_head(head: bytes) -> Request:
    """The request in a head without its final empty line.

    Raises:
      HttpError: the head breaks the grammar, or asks for something that this server has not.
    """
    request_line, *field_lines = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise HttpError(400, "malformed request line")
    method, target, major, minor = (part.decode("ascii") for part in match.groups())
    if major != "1":
        raise HttpError(505, "only versions 1.1 and 1.0 are spoken here")
    fields: dict[bytes, list[bytes]] = {}
    for line in field_lines:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise HttpError(400, "malformed header field")
        fields.setdefault(match[1].lower(), []).append(match[2].rstrip(b" \t"))
    is_http_1_1 = minor != "0"
    hosts = fields.get(b"host", [])
    if len(hosts) > 1 or (is_http_1_1 and not hosts):
        raise HttpError(400, "exactly one Host is needed")
    options = _tokens(fields, b"connection")
    expectations = _tokens(fields, b"expect")
    if expectations - {b"100-continue"}:
        raise HttpError(417, "only 100-continue can be expected")
    return Request(
        method=method,
        target=target,
        content_length=_content_length(fields),
        keep_alive=b"close" not in options and (is_http_1_1 or b"keep-alive" in options),
        expects_continue=is_http_1_1 and bool(expectations),
    )


def _tokens(fields: Mapping[bytes, list[bytes]], name: bytes) -> set[bytes]:
    values = b",".join(fields.get(name, ()))
    return {token.strip(b" \t").lower() for token in values.split(b",")} - {b""}


def _content_length(fields: Mapping[bytes, list[bytes]]) -> int:
    lengths = set(fields.get(b"content-length", ()))
    if b"transfer-encoding" in fields:
        if lengths:
            raise HttpError(400, "Transfer-Encoding and Content-Length together")
        raise HttpError(411, "a body needs a Content-Length here")
    if not lengths:
        return 0
    if len(lengths) > 1:
        raise HttpError(400, "Content-Length twice, with different values")
    (digits,) = lengths
    if not re.fullmatch(rb"[0-9]{1,19}", digits):
        raise HttpError(400, "malformed Content-Length")
    if int(digits) > BODY_MAX_BYTES:
        raise HttpError(413, f"a body has at most {BODY_MAX_BYTES} bytes here")
    return int(digits)


def build_response(response: Response, *, keep_alive: bool, with_body: bool = True) -> bytes:
    """The bytes of a response; ``with_body=False`` for HEAD, which keeps the Content-Length."""
    lines = [
        f"HTTP/1.1 {response.status} {http.HTTPStatus(response.status).phrase}",
        f"Date: {email.utils.formatdate(usegmt=True)}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in response.fields),
    ]
    if not keep_alive:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("ascii")
    return head + response.body if with_body else head


@attrs.define(eq=False)
class HttpConnection:
    """One client's connection: reads requests one after the other and answers each before it reads the next."""

    stream: trio.abc.HalfCloseableStream
    handler: Handler
    _received: bytearray = attrs.field(factory=bytearray, init=False)

    async def serve(self) -> None:
        """Serve until the client ends the connection, breaks the rules, or is silent for too long."""
        try:
            while True:
                with trio.move_on_after(REQUEST_TIMEOUT_SECONDS) as deadline:
                    request = await self._read_request()
                if deadline.cancelled_caught or request is None:
                    return
                if not await self._answer(request):
                    return
        except HttpError as error:
            await self._refuse(error)
        except trio.BrokenResourceError:
            pass  # the client is gone, there is no one to tell

    async def _read_request(self) -> tuple[Request, bytes] | None:
        while True:
            while self._received.startswith(b"\r\n"):  # RFC 9112 section 2.2: empty lines before a head are ignored
                del self._received[:2]
            end = self._received.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self._received) > HEAD_MAX_BYTES:
                raise HttpError(431, f"a head has at most {HEAD_MAX_BYTES} bytes here")
            if not await self._receive():
                if self._received:
                    raise HttpError(400, "the connection ended within a head")
                return None
        if end > HEAD_MAX_BYTES:
            raise HttpError(431, f"a head has at most {HEAD_MAX_BYTES} bytes here")
        request = parse_head(bytes(self._received[:end]))
        del self._received[: end + 4]
        return request, await self._read_body(request)

    async def _read_body(self, request: Request) -> bytes:
        if request.expects_continue and len(self._received) < request.content_length:
            await self.stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self._received) < request.content_length:
            if not await self._receive():
                raise HttpError(400, "the connection ended within a body")
        body = bytes(self._received[: request.content_length])
        del self._received[: request.content_length]
        return body

    async def _receive(self) -> int:
        data = await self.stream.receive_some(RECEIVE_SIZE_BYTES)
        self._received += data
        return len(data)

    async def _answer(self, request_and_body: tuple[Request, bytes]) -> bool:
        request, body = request_and_body
        response = self.handler(request, body)
        is_head = request.method == "HEAD"
        await self.stream.send_all(build_response(response, keep_alive=request.keep_alive, with_body=not is_head))
        return request.keep_alive

    async def _refuse(self, error: HttpError) -> None:
        response = Response(error.status, f"{error.detail}\n".encode())
        try:
            await self.stream.send_all(build_response(response, keep_alive=False))
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

    def handle(request: Request, body: bytes) -> Response:
        path = request.target.partition("?")[0]
        allowed = ("POST",) if path == "/echo" else ("GET", "HEAD")
        count = re.fullmatch("/bytes/([0-9]{1,7})", path)
        if path not in ("/", "/echo", "/statistics") and (count is None or int(count[1]) > BODY_MAX_BYTES):
            return Response(404, b"there is no such thing here\n")
        if request.method not in allowed:
            return Response(405, b"not with this method\n", fields=(("Allow", ", ".join(allowed)),))
        if path == "/echo":
            return Response(200, body, "application/octet-stream")
        if path == "/statistics":
            return Response(200, statistics(), "application/json")
        if count is not None:
            return Response(200, reference_bytes(int(count[1])), "application/octet-stream")
        return Response(200, b"served by a Trio program\n")

    return handle

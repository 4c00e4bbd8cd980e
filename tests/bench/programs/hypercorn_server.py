"""Hypercorn: hello over HTTP/1.1, or 1 MiB over HTTP/2 and TLS."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from ._server import parser, run
from .clients import BODY_BYTES

HELLO = b"hello, world\n"


def application(body: bytes) -> Callable[..., Awaitable[None]]:
    """An ASGI application that answers every request with ``body``."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]

    async def answer(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def write_certificate(folder: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 from an authority of its own, and its key: the names of two files."""
    trustme = importlib.import_module("trustme")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(chain, append=number > 0)
    certificate.private_key_pem.write_to_path(key)
    return str(chain), str(key)


async def serve(say_port: Callable[[int], None], is_tls: bool) -> None:
    """Serve until the process is ended."""
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = ["127.0.0.1:0"]
    # By default a connection ends after a thousand requests, for some clients in the middle of the next.
    config.keep_alive_max_requests = 1_000_000_000
    body = HELLO
    with tempfile.TemporaryDirectory() as folder:
        if is_tls:
            body = bytes(BODY_BYTES)
            config.certfile, config.keyfile = write_certificate(Path(folder))
        async with trio.open_nursery() as nursery:
            hypercorn_serve = importlib.import_module("hypercorn.trio").serve
            (url,) = await nursery.start(hypercorn_serve, application(body), config)
            say_port(int(url.rpartition(":")[2]))


if __name__ == "__main__":
    made = parser()
    made.add_argument("--tls", action="store_true")
    chosen = made.parse_args()
    run(chosen.runner, serve, chosen.tls)

"""The application of the recipes: plain ASGI, which answers with who serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio_rio


def served_by() -> str:
    """The provider of this run, or "stock Trio"."""
    try:
        return trio_rio.current_statistics().provider
    except trio_rio.RioError:
        return "stock Trio"


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer each request with the version of HTTP, the provider, and the length of what was sent."""
    if scope["type"] == "lifespan":
        while True:
            stage = (await receive())["type"]
            await send({"type": f"{stage}.complete"})
            if stage == "lifespan.shutdown":
                return
    if scope["type"] != "http":
        raise NotImplementedError(f"this application does not speak {scope['type']}")
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    text = f"HTTP/{scope['http_version']} on {served_by()}, {size} bytes received\n"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})

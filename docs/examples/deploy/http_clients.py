"""Ask a server several times at once, by httpx and then by httpcore."""

from __future__ import annotations

import argparse
import ssl

import httpcore
import httpx
import trio
from app import served_by

import trio_rio


async def ask_by_httpx(url: str, context: ssl.SSLContext, times: int) -> None:
    """Ask by httpx, over HTTP/2 where the server has it."""
    async with httpx.AsyncClient(verify=context, http2=True) as client:

        async def ask() -> None:
            answer = await client.get(url)
            answer.raise_for_status()
            print(f"httpx on {served_by()}: {answer.text.strip()}")

        async with trio.open_nursery() as nursery:
            for _ in range(times):
                nursery.start_soon(ask)


async def ask_by_httpcore(url: str, context: ssl.SSLContext, times: int) -> None:
    """Ask by httpcore, which httpx is built on."""
    async with httpcore.AsyncConnectionPool(ssl_context=context) as pool:
        for _ in range(times):
            answer = await pool.request("POST", url, content=b"x" * 100_000)
            print(f"httpcore on {served_by()}: {answer.status} {answer.content.decode().strip()}")


async def ask_all(url: str, certificate: str | None, times: int) -> None:
    """Ask by the one, then by the other."""
    context = ssl.create_default_context(cafile=certificate)
    await ask_by_httpx(url, context, times)
    await ask_by_httpcore(url, context, times)


def main() -> None:
    """Parse the options, and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--certificate", help="file with the certificate of who has signed the server's")
    parser.add_argument("--times", type=int, default=3, help="requests by each (default: %(default)s)")
    options = parser.parse_args()
    trio_rio.run(ask_all, options.url, options.certificate, options.times)


if __name__ == "__main__":
    main()

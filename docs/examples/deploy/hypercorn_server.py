"""Serve an ASGI application by Hypercorn in this process: HTTP/1.1, or with a certificate also HTTP/2.

SIGTERM and Ctrl-C let the requests under way end, and then end the program.
"""

from __future__ import annotations

import argparse
import signal

import trio
from app import app
from hypercorn.config import Config
from hypercorn.trio import serve

import trio_rio


async def serve_until_told(config: Config) -> None:
    """Serve until a signal comes; none of them ends the program at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

        async def told() -> None:
            await anext(signals)

        await serve(app, config, shutdown_trigger=told)  # type: ignore[arg-type]


def main() -> None:
    """Parse the options, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", default="127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("--certificate", help="a file: serves HTTPS, HTTP/2 too")
    parser.add_argument("--key", help="the file with its key")
    options = parser.parse_args()
    config = Config()
    config.bind = [options.bind]
    config.certfile, config.keyfile = options.certificate, options.key
    trio_rio.run(serve_until_told, config)


if __name__ == "__main__":
    main()

"""Send datagrams to one of the servers that count them, as fast as they go or at a given rate; then the end.

The end is a few datagrams of another size, with a pause between them, since any may be lost.
"""

from __future__ import annotations

import argparse
import sys
import time

import trio
from counting import exit_code, within

import trio_rio

ENDS = 10
END_PAUSE_SECONDS = 0.03


async def generate(options: argparse.Namespace, port: int) -> int:
    """Send to one server; how many the system took."""
    sent = 0
    datagram = bytes(options.size)
    async with await trio_rio.open_datagram_channel(remote_address=(options.host, port)) as channel:
        started = trio.current_time()
        try:
            while sent < options.count:
                batch = min(options.batch, options.count - sent)
                sent += await channel.send_many([(datagram, None)] * batch)
                if options.rate:
                    await trio.sleep_until(started + sent / options.rate)
            for _ in range(ENDS):
                await trio.sleep(END_PAUSE_SECONDS)
                await channel.send(bytes(max(1, options.size // 2) if options.size > 1 else 2))
        except ConnectionRefusedError:
            if sent < options.count or not sent:
                raise OSError(f"nobody listens at {options.host}:{port}; start a server first") from None
            # it has seen the end, and is gone
    return sent


async def generate_all(options: argparse.Namespace) -> None:
    """Send to each server at once, and print the rate."""
    sent = 0
    started = busy_until = time.perf_counter()

    async def generate_one(port: int) -> None:
        nonlocal sent, busy_until
        count = await generate(options, port)
        sent += count
        busy_until = time.perf_counter()

    async with trio.open_nursery() as nursery:
        for number in range(options.servers):
            nursery.start_soon(generate_one, options.port + number)
    elapsed = busy_until - started - ENDS * END_PAUSE_SECONDS
    print(f"sent:                 {sent}")
    print(f"datagrams per second: {sent / max(elapsed, 1e-6):.0f}")


def main() -> int:
    """Parse the options, and send."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="of the server (default: %(default)s)")
    parser.add_argument("--port", type=within(1, 65535), default=8080, help="(default: %(default)s)")
    parser.add_argument("--size", type=within(1, 65506), default=1024, metavar="BYTES", help="(default: %(default)s)")
    parser.add_argument("--count", type=within(1, 10**9), default=1_000_000, help="to each (default: %(default)s)")
    parser.add_argument("--batch", type=within(1, 1024), default=64, help="sent in one call (default: %(default)s)")
    parser.add_argument("--rate", type=within(1, 10**9), help="datagrams per second (default: as fast as they go)")
    parser.add_argument(
        "--servers", type=within(1, 64), default=1, help="at the ports that follow each other (default: %(default)s)"
    )
    parser.add_argument("--provider", help="uring, portable, winsock (default: the first that works)")
    options = parser.parse_args()
    if options.port + options.servers > 65536:
        parser.error(f"there are not {options.servers} ports from {options.port} on")
    return exit_code(lambda: trio_rio.run(generate_all, options, config=trio_rio.RioConfig(provider=options.provider)))


if __name__ == "__main__":
    sys.exit(main())

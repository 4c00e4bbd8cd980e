"""Count datagrams with several threads on one completion port, and a threshold for arming again.

A thread that has dequeued at least two thirds of what it asked for arms the queue at once, so that another thread
takes the next results while it handles these. With fewer it keeps the queue for itself, looks again when it has
handled them, and arms only when the queue is empty. Few notifications under light load, several threads under heavy
load; and never two threads in one completion queue, since a packet comes only to who has armed.

This one uses ``trio_rio.rio``, the RIO functions by themselves: a run of trio_rio has one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import threading

import attrs
import trio
from counting import RECEIVE_BUFFER_BYTES, Count, exit_code, family_of, make_parser, report, within

from trio_rio import rio


@attrs.define
class Server:
    """The queues, and what the threads share. Made by the thread that owns the provider."""

    sock: socket.socket
    count: Count
    asked: int
    slots: int
    provider: rio.Provider
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    is_over: bool = False
    dequeues: int = 0
    dequeues_with_results: int = 0
    results: int = 0
    armed_early: int = 0
    packets: int = 0
    port: rio.Port = attrs.field(init=False)
    queue: rio.CompletionQueue = attrs.field(init=False)
    memory: rio.RegisteredBuffer = attrs.field(init=False)
    requests: rio.RequestQueue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        provider, size = self.provider, self.count.size_bytes + 1
        self.port = provider.create_port()
        self.queue = provider.create_completion_queue(self.slots, rio.PortNotification(self.port, 0))
        self.memory = provider.register_buffer(bytearray(self.slots * size))
        self.requests = provider.create_request_queue(self.sock, self.slots, 1, 0, 1, self.queue, self.queue, 0)
        for slot in range(self.slots):
            self.post(slot)
        provider.notify(self.queue)

    def post(self, slot: int) -> None:
        """Lend the kernel a slot of the memory for the next datagram."""
        size = self.count.size_bytes + 1
        self.provider.receive(self.requests, self.memory.slice(slot * size, size), 1, 0, slot)

    def serve(self) -> None:
        """A packet came: the queue is ours until we arm it."""
        self.packets += 1
        while not self.is_over:
            results = self.provider.dequeue_completion(self.queue, self.asked)
            self.dequeues += 1
            if not results:
                self.provider.notify(self.queue)
                return
            self.dequeues_with_results += 1
            self.results += len(results)
            many = 3 * len(results) >= 2 * self.asked
            if many:
                self.armed_early += 1
                self.provider.notify(self.queue)  # from here on the queue is another thread's
            self.handle(results)
            if many:
                return

    def handle(self, results: list[rio.RioResult]) -> None:
        """Count what came, and post its slots again. Several threads may be here."""
        for status, length, _, slot in results:
            with self.lock:
                # One that is too long for its slot has another size, and is the end too.
                if status or not self.count.take(length):
                    self.is_over = True
                    return
            self.post(slot)

    def work(self) -> None:
        """One thread: wait for packets until the end, and then wake the next one up."""
        try:
            while not self.is_over:
                if self.port.wait(None):
                    self.serve()
        finally:
            self.is_over = True
            self.port.wake()


async def count_datagrams(options: argparse.Namespace) -> None:
    """Run the threads until the end, or Ctrl-C."""
    began, others_are_gone = trio.Event(), threading.Event()
    servers: list[Server] = []
    is_interrupted = False

    def own() -> None:
        # The thread that makes a provider is the one that the kernel knows: it stays until the others are gone.
        with (
            contextlib.closing(rio.open_provider(options.provider)) as provider,
            provider.make_socket(family_of(options.host), socket.SOCK_DGRAM) as sock,
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sock.bind((options.host, options.port))
            server = Server(sock, Count(options.size, options.work), options.results, options.slots, provider)
            servers.append(server)
            trio.from_thread.run_sync(began.set)
            try:
                server.work()
                others_are_gone.wait()
            finally:
                provider.close_socket(server.requests)

    async def own_until_the_end() -> None:
        await trio.to_thread.run_sync(own)
        nursery.cancel_scope.cancel()

    async def end_by_signal() -> None:
        nonlocal is_interrupted
        await began.wait()
        async for _ in signals:
            is_interrupted = servers[0].is_over = True
            servers[0].port.wake()

    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own_until_the_end)
            await began.wait()
            server = servers[0]
            nursery.start_soon(end_by_signal)
            print(
                f"listening on {options.host}:{server.sock.getsockname()[1]}, provider {server.provider.name}",
                flush=True,
            )
            try:
                async with trio.open_nursery() as workers:
                    for _ in range(options.threads - 1):
                        workers.start_soon(trio.to_thread.run_sync, server.work)
            finally:
                others_are_gone.set()
    print(f"armed early:          {server.armed_early}")
    report(server.count, server.results / (server.dequeues_with_results or 1), server.dequeues, server.packets)
    if is_interrupted:
        raise KeyboardInterrupt


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    parser.add_argument("--threads", type=within(1, 32), default=4, help="on the port (default: %(default)s)")
    parser.add_argument("--results", type=within(1, 65536), default=1000, help="asked for (default: %(default)s)")
    parser.add_argument("--slots", type=within(1, 65536), default=4096, help="receives posted (default: %(default)s)")
    options = parser.parse_args()
    return exit_code(lambda: trio.run(count_datagrams, options))


if __name__ == "__main__":
    sys.exit(main())

"""A run in which nothing happens does nothing."""

from __future__ import annotations

import json
import socket

import pytest

from ..platforms import needs_linux
from .harness import SCALE, scaled, started

CONNECTIONS = scaled(1000, 9000)
SECONDS = 2.0 if SCALE < 5 else 10.0

# Accepts connections until it has as many as asked for, lets each be received on, and then counts for a while how
# often the process went to sleep: once for each time that it was woken. A thread does the counting, in one sleep, so
# its own wake-up is the one that is allowed; the run's thread must have none.
SERVER = """
import json, os, sys, threading, time
import trio
import trio_rio

connections, seconds, options = int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])

def switches(thread):
    with open(f"/proc/self/task/{thread}/status") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)

def watch(thread, token):
    time.sleep(0.5)
    before, cpu = switches(thread), time.process_time()
    time.sleep(seconds)
    print(switches(thread) - before, time.process_time() - cpu, flush=True)
    token.run_sync_soon(done.set)

async def receive(stream):
    async with stream:
        await stream.receive_some()

async def main():
    global done
    done = trio.Event()
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1000))[0]
    print(listener.socket.getsockname()[1], flush=True)
    async with listener, trio.open_nursery() as nursery:
        for _ in range(connections):
            stream = await listener.accept()
            nursery.start_soon(receive, stream)
        await trio.testing.wait_all_tasks_blocked()
        books = trio.lowlevel.current_statistics().io_statistics
        assert books.tasks_waiting_read >= connections, books  # and the wait of Trio for other threads
        nursery.start_soon(done.wait)
        threading.Thread(target=watch, args=(threading.get_native_id(), trio.lowlevel.current_trio_token())).start()
        await done.wait()
        nursery.cancel_scope.cancel()

import trio.testing
trio_rio.run(main, config=trio_rio.RioConfig(**options))
"""


@needs_linux
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "options",
    [
        {"cancellation": "request"},
        {"cancellation": "detach"},
        {"notification": "event", "completion_queues": 3, "busy_poll_seconds": 0.01},
    ],
    ids=["request", "detach", "event"],
)
def test_idle_connections_wake_nobody(rio_provider: str, options: dict[str, object]) -> None:
    """With a thousand connections open that wait for data, the thread of the run is not woken once."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CONNECTIONS + 100:
        pytest.skip(f"{CONNECTIONS} connections need more descriptors than {soft}")
    clients: list[socket.socket] = []
    with started(SERVER, str(CONNECTIONS), str(SECONDS), json.dumps(options), provider=rio_provider) as server:
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
            line = server.stdout.readline()
            assert line, server.stderr and server.stderr.read()
            woken, cpu_seconds = line.split()
            assert int(woken) == 0, f"woken {woken} times in {SECONDS} s ({cpu_seconds} s of CPU)"
        finally:
            for client in clients:
                client.close()
        assert server.wait(30) == 0

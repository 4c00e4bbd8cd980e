"""Forked children that go on with the run of their parent: what went wrong once.

They hung, spoilt the parent's poll set, or ended in TrioInternalError. On stock Trio some still do.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from ..engine.harness import WAYS_OPTIONS, python
from ..platforms import needs_fork

pytestmark = needs_fork

# Forks once for each case, in a task of a run where others wait for a socket, a datagram channel, a pipe and an accept;
# says how each child ended, and what its parent has received afterwards.
PROGRAM = '''
import asyncio, gc, json, os, queue, signal, socket, sys, tempfile, time, warnings
import trio, trio_rio
from trio.testing import wait_all_tasks_blocked

warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
config = trio_rio.RioConfig(**json.loads(sys.argv[1]))
is_guest = sys.argv[2] == "guest"
me = os.getpid()


class Cases:
    """What a child does: in a task, with the nursery of all others, and the sockets of the run."""

    async def sleep_and_cancel(nursery, sock, channel):
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
        return "slept"

    async def cancel(nursery, sock, channel):
        nursery.cancel_scope.cancel()
        return "cancelled"

    async def just_return(nursery, sock, channel):
        return "never"

    async def sleep_and_return(nursery, sock, channel):
        await trio.sleep(0.01)
        return "never"

    async def fail(nursery, sock, channel):
        raise ZeroDivisionError

    async def leave(nursery, sock, channel):
        sys.exit(5)

    async def use_a_thread(nursery, sock, channel):
        result = await trio.to_thread.run_sync(lambda: time.sleep(0.01) or "from a thread")
        nursery.cancel_scope.cancel()
        return result

    async def be_interrupted(nursery, sock, channel):
        os.kill(os.getpid(), signal.SIGINT)
        await trio.sleep(10)

    async def use_asyncio(nursery, sock, channel):
        nursery.cancel_scope.cancel()
        return asyncio.run(asyncio.sleep(0.01, "slept in asyncio"))

    async def wait_for_ever(nursery, sock, channel):
        await trio.sleep_forever()

    async def fork_again(nursery, sock, channel):
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
        return "slept"

    async def close_all(nursery, sock, channel):
        sock.close()
        await channel.aclose()
        nursery.cancel_scope.cancel()
        return "closed"

    async def receive(nursery, sock, channel):
        await sock.recv(1)

    async def send(nursery, sock, channel):
        await sock.send(b"never")

    async def receive_in_a_channel(nursery, sock, channel):
        other = await trio_rio.open_datagram_channel(("127.0.0.1", 0))
        async with other:
            await other.receive()

    async def send_a_datagram(nursery, sock, channel):
        await channel.send_many([(b"x", ("127.0.0.1", 9))])

    async def wait_readable(nursery, sock, channel):
        await trio.lowlevel.wait_readable(sock)

    async def wait_writable(nursery, sock, channel):
        await sock.wait_writable()

    async def connect(nursery, sock, channel):
        with trio.socket.socket() as other:
            await other.connect(("127.0.0.1", 9))


def leaves(error):
    inner = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for one in inner for leaf in leaves(one)]


async def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours, theirs = socket.create_connection(listener.getsockname()), listener.accept()[0]
    with trio.socket.from_stdlib_socket(ours) as sock, trio.socket.from_stdlib_socket(theirs) as other_end:
        return await fork_each(sock, other_end)


async def fork_each(sock, other_end):
    channel = await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=2)
    listener, = await trio.open_tcp_listeners(0, host="127.0.0.1")
    read_end, write_end = os.pipe()
    heard = {name: 0 for name in ("sock", "channel", "pipe", "accept")}

    async def read_sock():
        while await sock.recv(1):
            heard["sock"] += 1

    async def read_channel():
        while await channel.receive():
            heard["channel"] += 1

    async def read_pipe():
        while True:
            await trio.lowlevel.wait_readable(read_end)
            heard["pipe"] += len(os.read(read_end, 1))

    async def accept():
        while True:
            async with await listener.accept():
                heard["accept"] += 1

    results = {}
    async with channel, listener, trio.open_nursery() as nursery:
        for task in (read_sock, read_channel, read_pipe, accept):
            nursery.start_soon(task)
        await wait_all_tasks_blocked(0.01)
        for name, case in [item for item in vars(Cases).items() if not item[0].startswith("_")]:
            with tempfile.TemporaryFile("w+") as noise, tempfile.TemporaryFile("w+") as said:
                pid = os.fork()
                if not pid:
                    os.dup2(noise.fileno(), 2)
                    signal.alarm(10)
                    global report
                    report = os.dup(said.fileno())
                    return await case(nursery, sock, channel)
                results[name] = {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
                noise.seek(0), said.seek(0)
                results[name].update(noise=noise.read(), said=said.read())
            before = dict(heard)
            await other_end.send(b"x")
            await channel.send(b"x", channel.socket.getsockname())
            os.write(write_end, b"x")
            (await trio.open_tcp_stream(*listener.socket.getsockname())).socket.close()
            with trio.move_on_after(5):
                while min(heard[key] - before[key] for key in heard) < 1:
                    await trio.sleep(0.001)
            results[name]["heard"] = [heard[key] - before[key] for key in heard]
        nursery.cancel_scope.cancel()
    os.close(read_end), os.close(write_end)
    return results


def run_as_guest():
    todo, results = queue.SimpleQueue(), []
    trio_rio.start_guest_run(main, run_sync_soon_threadsafe=todo.put, done_callback=results.append, config=config)
    while not results:
        todo.get(timeout=10)()
    return results[0].unwrap()


report = None
try:
    result = run_as_guest() if is_guest else trio_rio.run(main, config=config)
except BaseException as error:
    if os.getpid() == me:
        raise
    result = " ".join(sorted({type(leaf).__name__ for leaf in leaves(error)}))
if os.getpid() == me:
    print(json.dumps(result))
else:
    gc.collect()
    os.write(report, str(result).encode())
    sys.stderr.flush()
    os._exit(0)
'''

# What each child ends with.
SAID = {
    "sleep_and_cancel": "slept",
    "cancel": "cancelled",
    "just_return": "RioError",  # the others wait for what only the parent hears of
    "sleep_and_return": "RioError",
    "fail": "ZeroDivisionError",
    "leave": "SystemExit",
    "use_a_thread": "from a thread",
    "be_interrupted": "KeyboardInterrupt",
    "use_asyncio": "slept in asyncio",
    "wait_for_ever": "RioError",
    "fork_again": "sleptslept",
    "close_all": "closed",
    "receive": "RioError",
    "send": "RioError",
    "send_a_datagram": "RioError",
    "receive_in_a_channel": "RioError",
    "wait_readable": "RioError",
    "wait_writable": "RioError",
    "connect": "RioError",
}

# How the run of the parent goes on, and whether it is a guest.
RUNS: dict[str, tuple[dict[str, Any], str]] = {
    "request": ({}, "run"),
    "detach": ({"cancellation": "detach"}, "run"),
    "guest": ({}, "guest"),
    **{way: (WAYS_OPTIONS[way], "run") for way in ("port-3-queues", "event", "polled")},
}


@functools.cache
def children_of(provider: str, run: str) -> dict[str, Any]:
    options, kind = RUNS[run]
    results: dict[str, Any] = json.loads(
        python(PROGRAM, json.dumps({"provider": provider, **options}), kind, provider=provider).stdout
    )
    return results


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("case", SAID)
class TestChildren:
    """Each of them, forked in one run after the other."""

    def test_each_child_ends(self, case: str, run: str, rio_provider: str) -> None:
        """A child does what needs nothing of its parent's run, or gets RioError; it does not hang."""
        child = children_of(rio_provider, run)[case]
        assert (child["code"], child["said"]) == (0, SAID[case])

    def test_no_child_makes_noise(self, case: str, run: str, rio_provider: str) -> None:
        """A child writes nothing to its standard error."""
        assert children_of(rio_provider, run)[case]["noise"] == ""

    def test_the_parent_goes_on(self, case: str, run: str, rio_provider: str) -> None:
        """What the parent waits for comes, whatever its child has done: bytes, a datagram, a pipe, a connection."""
        assert children_of(rio_provider, run)[case]["heard"] == [1, 1, 1, 1]

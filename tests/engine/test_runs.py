"""Runs: one after another, several at once, how they begin, and how they end."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import ledgers_of_runs

from .harness import (
    PATIENCE_SECONDS,
    numbered,
    open_pair,
    python,
    receive_exactly,
    scaled,
    send_all,
)

Config = trio_rio.RioConfig


@pytest.fixture(params=["request", "detach"])
def config(request: pytest.FixtureRequest, rio_provider: str) -> Config:
    """Options of a run on the provider of this test, in both modes."""
    return Config(provider=rio_provider, cancellation=request.param)


async def echo(count: int = 20) -> str:
    """Messages through a connection; which provider it was."""
    async with open_pair() as (client, server):
        for number in range(count):
            await client.send(numbered(1, number * 8, number * 8 + 8))
            assert await server.recv(100) == numbered(1, number * 8, number * 8 + 8)
    return trio_rio.current_statistics().provider


# ----------------------------------------------------------------------------------------------------------
# Beginning
# ----------------------------------------------------------------------------------------------------------


def test_run_after_run(config: Config) -> None:
    """Many runs in a row each begin from nothing."""
    with ledgers_of_runs() as ledgers:
        for _ in range(scaled(20, 200)):
            assert trio_rio.run(echo, config=config) == config.provider
    assert len({books.requests_used for books in ledgers}) == 1


def test_arguments_and_results_pass() -> None:
    """run() takes the arguments of the function, those of trio.run, and returns the result."""

    class Counter(trio.abc.Instrument):
        count = 0

        def task_spawned(self, task: object) -> None:
            self.count += 1

    async def main(a: int, b: str) -> tuple[int, str, float]:
        await trio.sleep(100)
        return a, b, trio.current_time()

    counter = Counter()
    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio_rio.run(main, 1, "b", clock=clock, instruments=[counter]) == (1, "b", 100.0)
    assert counter.count > 0


def test_a_run_inside_a_run(config: Config) -> None:
    """A run inside a run is refused, of either kind in either, and the outer one goes on."""

    async def main() -> None:
        for start in (
            lambda: trio_rio.run(echo, config=config),
            lambda: trio.run(echo),
            lambda: trio_rio.start_guest_run(echo, run_sync_soon_threadsafe=print, done_callback=print, config=config),
        ):
            with pytest.raises(RuntimeError, match="from inside"):
                start()
        async with open_pair() as (client, server):
            await client.send(b"x")
            assert await server.recv(1) == b"x"

    trio_rio.run(main, config=config)
    trio.run(main)


def test_runs_in_threads(config: Config) -> None:
    """Runs in several threads at once share nothing, and stock Trio runs beside them."""
    results: list[object] = []

    def run(index: int) -> None:
        if index % 3:
            results.append(trio_rio.run(echo, 200, config=config))
        else:
            results.append(trio.run(stock))

    async def stock() -> None:
        async with open_pair() as (client, server):
            for _ in range(100):
                await client.send(b"x")
                assert await server.recv(10) == b"x"
        assert type(client) is not None
        with pytest.raises(trio_rio.RioError):
            trio_rio.current_statistics()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == sorted([str(config.provider)] * 4 + ["None"] * 2)


def test_threads_of_a_run_and_back(config: Config) -> None:
    """to_thread and from_thread work between runs in two threads."""

    async def main() -> str:
        async with open_pair() as (client, server):

            def in_thread() -> None:
                for number in range(100):
                    trio.from_thread.run(client.send, b"%03d" % number)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, in_thread)
                nursery.start_soon(trio.to_thread.run_sync, lambda: trio_rio.run(echo, config=config))
                assert await receive_exactly(server, 300) == b"".join(b"%03d" % number for number in range(100))
        return trio_rio.current_statistics().provider

    assert trio_rio.run(main, config=config) == config.provider


def test_install_and_uninstall(rio_provider: str) -> None:
    """install() puts later runs of the process on trio_rio, once; uninstall() gives Trio back; both may be repeated."""

    async def provider() -> str:
        try:
            return trio_rio.current_statistics().provider
        except trio_rio.RioError:
            return "stock"

    config = Config(provider=rio_provider)
    for _ in range(2):
        assert trio.run(provider) == "stock"
        trio_rio.install(config)
        try:
            trio_rio.install(config)
            assert trio.run(provider) == rio_provider
            assert trio.run(echo) == rio_provider
            assert trio_rio.run(provider, config=config) == rio_provider
        finally:
            trio_rio.uninstall()
        trio_rio.uninstall()
        assert trio.run(provider) == "stock"
        assert trio_rio.run(echo, config=config) == rio_provider


def test_uninstall_inside_a_run(rio_provider: str) -> None:
    """uninstall() in a run that install() made leaves that run as it is."""

    async def main() -> str:
        trio_rio.uninstall()
        return trio_rio.current_statistics().provider

    trio_rio.install(Config(provider=rio_provider))
    try:
        assert trio.run(main) == rio_provider
    finally:
        trio_rio.uninstall()


# ----------------------------------------------------------------------------------------------------------
# Ending
# ----------------------------------------------------------------------------------------------------------


def test_an_exception_in_main(config: Config) -> None:
    """What main raises comes out of run(), with tasks in the middle of everything."""

    async def main() -> None:
        async with open_pair() as (client, server), trio.open_nursery() as nursery:
            nursery.start_soon(client.recv, 10)
            nursery.start_soon(send_all, server, bytes(1 << 22))
            nursery.start_soon(send_all, client, bytes(1 << 22))
            await wait_all_tasks_blocked()
            raise ValueError("out")

    with pytest.RaisesGroup(ValueError):
        trio_rio.run(
            main, config=Config(provider=config.provider, cancellation=config.cancellation, linger_seconds=0.1)
        )


CRASHED = """
import os, socket, sys, time
import trio, trio.testing, trio_rio

class Clock(trio.abc.Clock):
    is_broken = False
    def start_clock(self): pass
    def current_time(self): return time.monotonic()
    def deadline_to_sleep_time(self, deadline):
        if self.is_broken:
            raise ArithmeticError
        return deadline - time.monotonic()

async def main():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.socket.from_stdlib_socket(ours).recv, 10)
        await trio.testing.wait_all_tasks_blocked()
        clock.is_broken = True
        await trio.sleep(1)

with socket.create_server(("127.0.0.1", 0)) as listener:
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
trio_rio.run(trio.sleep, 0)
config = trio_rio.RioConfig(cancellation=sys.argv[1])

def descriptors():
    return os.listdir("/dev/fd") if sys.platform != "win32" else []

before = descriptors()
for _ in range(3):
    clock = Clock()
    try:
        trio_rio.run(main, clock=clock, config=config)
    except trio.TrioInternalError:
        print("crashed", flush=True)
assert descriptors() == before
theirs.send(b"x")
assert ours.recv(1) == b"x"
os._exit(0)
"""


@pytest.mark.parametrize("cancellation", ["request", "detach"])
def test_a_crash_of_trio(cancellation: str, rio_provider: str) -> None:
    """A run that crashes while tasks wait gives its descriptors back, and leaves the sockets to others."""
    done = python("import warnings\nwarnings.simplefilter('ignore')" + CRASHED, cancellation, provider=rio_provider)
    assert done.stdout == "crashed\n" * 3


async def connected_to(listener: socket.socket) -> trio.socket.SocketType:
    """A connection that the run has made, so that RIO serves it everywhere."""
    sock = trio.socket.socket()
    await sock.connect(listener.getsockname())
    return sock


def test_system_tasks_use_sockets_while_the_run_ends(config: Config) -> None:
    """A system task that receives when main returns is cancelled; its clean-up can still send and receive."""
    log: list[object] = []

    async def work(sock: trio.socket.SocketType) -> None:
        with sock:
            try:
                log.append(await sock.recv(10))
                await sock.recv(10)
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_SECONDS):
                    await sock.send(b"bye")
                    log.append(await sock.recv(10))
                    log.append(await sock.recv(10))

    async def main() -> None:
        trio.lowlevel.spawn_system_task(work, await connected_to(listener))
        while not log:
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()

    def answer() -> None:
        theirs, _ = listener.accept()
        with theirs:
            theirs.settimeout(PATIENCE_SECONDS)
            theirs.send(b"hello")
            assert theirs.recv(10) == b"bye"
            theirs.send(b"answer")
            theirs.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        trio_rio.run(main, config=config)
        thread.join()
    assert log == [b"hello", b"answer", b""]


def test_a_shielded_task_that_waits_when_the_run_ends(config: Config) -> None:
    """A system task that waits for data in a shield when main returns gets its data, and then the run ends."""
    log: list[bytes] = []

    async def work(sock: trio.socket.SocketType) -> None:
        with sock, trio.CancelScope(shield=True):
            while data := await sock.recv(10):
                log.append(data)

    async def main() -> None:
        trio.lowlevel.spawn_system_task(work, await connected_to(listener))
        await wait_all_tasks_blocked()
        threading.Timer(0.1, answer).start()

    def answer() -> None:
        theirs, _ = listener.accept()
        with theirs:
            theirs.send(b"late")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        trio_rio.run(main, config=config)
    assert log == [b"late"]


def test_async_generators_use_sockets_at_the_end(config: Config) -> None:
    """An async generator that is finalised as the run ends can use its socket, and nothing that came is lost."""
    log: list[object] = []
    kept: list[AsyncIterator[bytes]] = []

    async def lines(sock: trio.socket.SocketType) -> AsyncIterator[bytes]:
        with sock:
            try:
                while True:
                    yield await sock.recv(10)
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_SECONDS):
                    await sock.send(b"bye")
                    log.append(await receive_exactly(sock, 6))

    async def main() -> None:
        sock = await connected_to(listener)
        with trio.move_on_after(0.01):
            await sock.recv(10)
        generator = lines(sock)
        kept.append(generator)
        thread.start()
        log.append(await generator.__anext__())

    def answer() -> None:
        theirs, _ = listener.accept()
        with theirs:
            theirs.settimeout(PATIENCE_SECONDS)
            theirs.send(b"first")
            assert theirs.recv(10) == b"bye"
            theirs.send(b"answer")

    thread = threading.Thread(target=answer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        trio_rio.run(main, config=config)
        thread.join()
    assert log == [b"first", b"answer"]

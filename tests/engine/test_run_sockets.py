"""Sockets that outlive their run, or change hands, and signals while a run is under way."""

from __future__ import annotations

import signal
import threading
import weakref

import pytest
import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import assert_ledger_balanced, current_ledger

from ..platforms import needs_signals
from .harness import (
    PATIENCE_SECONDS,
    dropping,
    numbered,
    open_pair,
    receive_all,
    receive_exactly,
    scaled,
    send_all,
    settled,
    started,
    tcp_pair,
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
# Sockets that outlive their run, or nobody
# ----------------------------------------------------------------------------------------------------------

RUNS = ["request", "detach", "stock"]


@pytest.mark.parametrize("first", RUNS)
@pytest.mark.parametrize("second", RUNS)
def test_a_socket_in_two_runs(first: str, second: str, rio_provider: str) -> None:
    """A socket made and used in one run works in a later one, of the same and of the other kind."""
    if rio_provider == "winsock":
        pytest.skip("a receive that is posted ends only with its socket, so the socket ends with its run")
    pair: list[trio.socket.SocketType] = []

    async def main(number: int) -> None:
        if not pair:
            pair.extend(await tcp_pair())
        client, server = pair
        for index in range(3):
            data = numbered(number, index * 100, index * 100 + 100)
            await client.send(data)
            assert await receive_exactly(server, 100) == data
            await server.send(data)
            assert await receive_exactly(client, 100) == data
        with trio.move_on_after(0.01):
            await client.recv(10)

    def run(kind: str, number: int) -> None:
        if kind == "stock":
            trio.run(main, number)
        else:
            config = Config(provider=rio_provider, cancellation=kind)  # type: ignore[arg-type]
            trio_rio.run(main, number, config=config)

    for number, kind in enumerate((first, second, first, second)):
        run(kind, number)

    async def close() -> None:
        for sock in pair:
            sock.close()

    trio.run(close)


def test_a_socket_closed_after_its_run(config: Config) -> None:
    """A socket can be closed when its run is over, as its descriptor is still its own."""

    async def main() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
        client, server = await tcp_pair()
        await client.send(b"x")
        assert await server.recv(1) == b"x"
        return client, server

    client, server = trio_rio.run(main, config=config)
    client._sock.close()  # type: ignore[attr-defined]
    server._sock.close()  # type: ignore[attr-defined]


async def test_a_socket_dropped_without_close() -> None:
    """A socket that is dropped gives its credits back and is closed; its peer sees the end."""
    for is_cancelled in (False, True):
        client, server = await tcp_pair()
        await client.send(b"x")
        assert await server.recv(1) == b"x"
        if is_cancelled:
            with trio.move_on_after(0.01):
                await client.recv(1)
            await trio.lowlevel.checkpoint()  # Trio holds what a task was resumed with during its step
        with dropping(weakref.ref(client)):
            del client
        with trio.fail_after(PATIENCE_SECONDS):
            assert await server.recv(1) == b""
        server.close()
        assert (await settled()).credits_charged == 0
        assert_ledger_balanced()


def test_detach_hands_the_descriptor_out(config: Config) -> None:
    """detach() wakes who waits, leaves the connection open, and the descriptor works in a socket of its own."""
    if config.provider == "winsock":
        pytest.skip("a receive that is posted ends only with its socket: detach() is refused")

    async def main() -> None:
        async with open_pair() as (client, server):
            await client.send(b"x")
            assert await server.recv(1) == b"x"
            async with trio.open_nursery() as nursery:

                async def receive() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await client.recv(10)

                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                number = client.detach()
            assert client.fileno() == -1
            await server.send(b"for the new one")
            with trio.socket.socket(fileno=number) as other:
                assert await other.recv(100) == b"for the new one"
                await other.send(b"and back")
            assert await receive_all(server) == b"and back"
        assert current_ledger().sockets_open == 0

    trio_rio.run(main, config=config)


def test_dup_is_a_socket_of_its_own(config: Config) -> None:
    """dup() gives a socket with a channel of its own, which lives on when the first is closed."""

    async def main() -> None:
        async with open_pair() as (client, server):
            with client.dup() as other:
                assert type(other) is type(client)
                for sock, data in ((client, b"1"), (other, b"2")):
                    await sock.send(data)
                    assert await receive_exactly(server, 1) == data
                client.close()
                await server.send(b"3")
                assert await other.recv(10) == b"3"
            assert await server.recv(10) == b""

    trio_rio.run(main, config=config)


# ----------------------------------------------------------------------------------------------------------
# Signals
# ----------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import os, random, signal, sys, threading, time
import trio, trio_rio, trio_rio.testing

seed, cancellation = int(sys.argv[1]), sys.argv[2]
streams = {"trio": trio, "trio_rio": trio_rio}[sys.argv[4]]
config = trio_rio.RioConfig(cancellation=cancellation, linger_seconds=0.1)
random = random.Random(seed)

async def ping(client, server):
    async with client, server:  # the finaliser of an open socket may lose an interrupt that comes within its warning
        while True:
            await client.send_all(b"x" * 100)
            await server.receive_some(100)

async def main():
    global is_running
    listener = (await streams.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with listener, trio.open_nursery() as nursery:
        for _ in range(5):
            client = await streams.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
            nursery.start_soon(ping, client, await listener.accept())
        is_running = True
        await trio.sleep_forever()

for _ in range(int(sys.argv[3])):
    is_running = False
    def interrupt():
        while not is_running:
            time.sleep(0.001)
        time.sleep(random.random() * 0.01)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
    sent = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    with trio_rio.testing.ledgers_of_runs() as ledgers:
        try:
            trio_rio.run(main, config=config)
        except BaseException as error:
            while isinstance(error, BaseExceptionGroup):
                (error,) = error.exceptions
            assert isinstance(error, KeyboardInterrupt), repr(error)
        else:
            raise AssertionError("not interrupted")
    thread.join()
    assert time.monotonic() - sent[0] < 5
    ledgers[0].assert_balanced()
print("done")
"""


@needs_signals
@pytest.mark.timeout(120)
@pytest.mark.parametrize("streams", ["trio", "trio_rio"])
@pytest.mark.parametrize("cancellation", ["request", "detach"])
def test_interrupts_at_random_ticks(cancellation: str, streams: str, rio_provider: str) -> None:
    """SIGINT at any moment ends the run with KeyboardInterrupt, and the ledger balances, with streams of each kind."""
    with started(INTERRUPTED, "7", cancellation, str(scaled(20, 500)), streams, provider=rio_provider) as process:
        output, errors = process.communicate(timeout=100)
    lines = [line for line in errors.splitlines() if "ResourceWarning" not in line]
    assert process.returncode == 0, "\n".join(lines[-30:])
    assert output == "done\n"


@needs_signals
async def test_signals_do_not_disturb_requests() -> None:
    """A storm of signals with a handler of their own: each byte comes, and no call sees EINTR."""
    count = 0

    def handle(*_: object) -> None:
        nonlocal count
        count += 1

    before = signal.signal(signal.SIGUSR1, handle)
    stop = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def storm() -> None:
        while not stop.wait(0.0005):
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        async with open_pair() as (client, server), trio.open_nursery() as nursery:
            nursery.start_soon(send_all, client, numbered(1, 0, 8 << 20))
            assert await receive_exactly(server, 8 << 20) == numbered(1, 0, 8 << 20)
            await trio.sleep(0.05)
    finally:
        stop.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert count > 0

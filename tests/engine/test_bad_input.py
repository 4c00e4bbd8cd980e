"""What is wrong is said clearly, changes nothing, and the next call works."""

from __future__ import annotations

import functools
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import assert_ledger_balanced, current_ledger

from ..conftest import RioRun
from ..platforms import CLOSED_ERRNO, FOREIGN_PROVIDER, IS_WINDOWS, needs_limits, needs_linux
from .harness import (
    BOTH_MODES,
    command,
    environment,
    numbered,
    open_pair,
    receive_exactly,
    send_all,
    tcp_pair,
    udp_socket,
)


async def echo_once() -> str:
    """A byte through a connection; which provider it was."""
    async with open_pair() as (client, server):
        await client.send(b"x")
        assert await server.recv(1) == b"x"
    return trio_rio.current_statistics().provider


# ----------------------------------------------------------------------------------------------------------
# Names of providers
# ----------------------------------------------------------------------------------------------------------


def test_a_wrong_name_in_the_environment(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRIO_RIO_PROVIDER with a name that is none: a ValueError that says so; nothing was started."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", "epoll")
    with pytest.raises(ValueError, match=r"TRIO_RIO_PROVIDER.*'epoll'.*uring, portable"):
        trio_rio.run(echo_once)
    with pytest.raises(ValueError, match="TRIO_RIO_PROVIDER"):
        trio_rio.install()
    with pytest.raises(ValueError, match="TRIO_RIO_PROVIDER"):
        trio_rio.start_guest_run(echo_once, run_sync_soon_threadsafe=print, done_callback=print)
    monkeypatch.setenv("TRIO_RIO_PROVIDER", rio_provider)
    assert trio_rio.run(echo_once) == rio_provider


def test_an_argument_beats_the_environment(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that is asked for in RioConfig is taken, whatever the environment says."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", "epoll")
    assert trio_rio.run(echo_once, config=trio_rio.RioConfig(provider=rio_provider)) == rio_provider


@pytest.mark.parametrize("config", [{"provider": "portable"}, "portable", trio_rio.RioConfig, 0])
def test_what_is_no_configuration(config: Any) -> None:
    """run(), install() and start_guest_run() answer a config that is none by one sentence; nothing was started."""
    entries: list[Any] = [
        functools.partial(trio_rio.run, echo_once),
        trio_rio.install,
        functools.partial(trio_rio.start_guest_run, echo_once, run_sync_soon_threadsafe=print, done_callback=print),
    ]
    for enter in entries:
        with pytest.raises(TypeError) as caught:
            enter(config=config)
        assert str(caught.value) == f"config must be a trio_rio.RioConfig or None, not {config!r}"


def test_a_provider_of_another_platform(rio_provider: str) -> None:
    """A provider that cannot serve here: RioUnavailableError with reason and remedy; nothing was started."""
    with pytest.raises(trio_rio.RioUnavailableError) as caught:
        trio_rio.run(echo_once, config=trio_rio.RioConfig(provider=FOREIGN_PROVIDER))
    assert caught.value.provider == FOREIGN_PROVIDER
    assert caught.value.reason
    assert caught.value.remedy
    assert trio_rio.run(echo_once, config=trio_rio.RioConfig(provider=rio_provider)) == rio_provider


@pytest.mark.parametrize("name", ["epoll", FOREIGN_PROVIDER])
def test_a_wrong_name_for_the_pytest_plugin(name: str, tmp_path: Path) -> None:
    """``--rio-provider`` with a provider that is none, or cannot serve here, is a usage error of pytest."""
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    options = ["-p", "trio_rio.pytest_plugin", f"--rio-provider={name}", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=tmp_path, env=environment(""), capture_output=True, text=True
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert name in done.stderr


# ----------------------------------------------------------------------------------------------------------
# Limits
# ----------------------------------------------------------------------------------------------------------


# Room for two sockets with a receive and a spare one, and one send each.
TINY = {
    "completion_queue_size": 6,
    "completion_queue_size_max": 7,
    "sends_outstanding_max": 1,
    "datagram_read_ahead": 0,
    "separate_send_queue": False,
}


@pytest.mark.rio_config(**TINY)
async def test_a_completion_queue_that_is_too_small() -> None:
    """A socket too many: RioResourceError with need, limit and remedy; the others go on, and room comes back."""
    client, server = await tcp_pair()
    with client, server:
        await client.send(b"x")
        assert await server.recv(1) == b"x"
        with await udp_socket() as third:
            before = current_ledger()
            for _ in range(3):
                with pytest.raises(trio_rio.RioResourceError) as caught:
                    await third.recv(1)
                # Windows keeps many datagram receives posted.
                assert caught.value.need == 9 or (IS_WINDOWS and caught.value.need > 9)
                assert caught.value.limit == 7
                assert "completion_queue_size_max" in caught.value.remedy
            with pytest.raises(trio_rio.RioResourceError):
                await third.sendto(b"x", third.getsockname())
            assert current_ledger().credits_charged == before.credits_charged
            assert_ledger_balanced()
            await server.send(b"y")
            assert await client.recv(1) == b"y"
            client.close()
            await wait_all_tasks_blocked()
            await third.sendto(b"now", third.getsockname())
            assert await third.recv(10) == b"now"


@pytest.mark.rio_config(completion_queue_size=1)
async def test_a_completion_queue_that_grows() -> None:
    """A completion queue that is too small at first grows as sockets come."""
    pairs = [await tcp_pair() for _ in range(50)]
    for client, server in pairs:
        await client.send(b"x")
        assert await server.recv(1) == b"x"
    books = current_ledger()
    assert books.credits_room >= books.credits_charged >= 300
    for client, server in pairs:
        client.close()
        server.close()


MEMORY = {"registered_bytes_max": 65536, "small_slice_size_bytes": 4096, "large_slice_size_bytes": 16384}


async def exchange(number: int, count: int) -> None:
    """Numbered bytes through a connection, both ways at once."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:

        async def receive(sock: trio.socket.SocketType, stream: int) -> None:
            assert await receive_exactly(sock, count) == numbered(stream, 0, count)

        nursery.start_soon(receive, client, 2 * number)
        nursery.start_soon(receive, server, 2 * number + 1)
        nursery.start_soon(send_all, server, numbered(2 * number, 0, count))
        nursery.start_soon(send_all, client, numbered(2 * number + 1, 0, count))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("request", marks=pytest.mark.rio_config(**MEMORY)),
        pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach", **MEMORY)),
    ],
    indirect=True,
)
async def test_registered_memory_is_used_up(mode: str) -> None:
    """With far more sockets than there are slices, everything passes all the same, and the limit is kept."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(exchange, number, 100_000)
    assert current_ledger().registered_bytes <= 65536


@pytest.mark.timeout(60)
@pytest.mark.rio_config(cancellation="detach", **MEMORY)
async def test_closing_a_socket_that_waits_for_memory() -> None:
    """A task that waits for a slice hears of it when its socket is closed, and can be cancelled."""
    pairs = [await tcp_pair() for _ in range(30)]
    closed = 0

    async def receive(sock: trio.socket.SocketType) -> None:
        nonlocal closed
        with pytest.raises((trio.ClosedResourceError, OSError)):
            await sock.recv(10)
        closed += 1

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for client, server in pairs:
                nursery.start_soon(receive, client)
                nursery.start_soon(receive, server)
            await wait_all_tasks_blocked()
            for client, server in pairs:
                client.close()
                server.close()
    assert closed == 60
    async with trio.open_nursery() as nursery:
        pairs = [await tcp_pair() for _ in range(30)]
        for client, server in pairs:
            nursery.start_soon(client.recv, 10)
            nursery.start_soon(server.recv, 10)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    for client, server in pairs:
        client.close()
        server.close()


# ----------------------------------------------------------------------------------------------------------
# Sockets
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", BOTH_MODES[1].args[1], indirect=True)
async def test_a_closed_socket(mode: str) -> None:
    """Each call on a closed socket is EBADF; the streams of Trio say ClosedResourceError."""
    async with open_pair() as (client, server):
        stream = trio.SocketStream(client)
        client.close()
        calls: list[Any] = [
            client.recv(1),
            client.recv_into(bytearray(1)),
            client.recvfrom(1),
            client.send(b"x"),
            client.sendto(b"x", server.getsockname()),
            client.accept(),
        ]
        if hasattr(socket.socket, "recvmsg"):
            calls += [client.recvmsg(1), client.sendmsg([b"x"])]
        for call in calls:
            with pytest.raises(OSError) as caught:
                await call
            assert caught.value.errno == CLOSED_ERRNO
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some(1)
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")


@pytest.mark.parametrize("sock", [None, 5, "socket", object()])
def test_what_is_no_socket(sock: Any, rio_run: RioRun) -> None:
    """Only a plain stdlib socket becomes one of Trio's."""

    async def main() -> None:
        with pytest.raises(TypeError):
            trio.socket.from_stdlib_socket(sock)

    rio_run(main)


async def test_a_socket_of_another_family() -> None:
    """A UNIX socket is served by Trio's own code, and is no socket of the engine."""
    left, right = trio.socket.socketpair()
    with left, right:
        await left.send(b"x")
        assert await right.recv(10) == b"x"
        assert current_ledger().sockets_open == 0


# ----------------------------------------------------------------------------------------------------------
# Descriptors and locked memory
# ----------------------------------------------------------------------------------------------------------

NO_DESCRIPTORS = """
import os, resource, sys
import trio, trio_rio

async def main():
    return trio_rio.current_statistics().provider

config = trio_rio.RioConfig(provider=os.environ["TRIO_RIO_PROVIDER"])
trio_rio.run(main, config=config)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
failures = []
for room in range(0, 12):
    used = len(os.listdir("/dev/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + room, hard))
    try:
        trio_rio.run(main, config=config)
    except (OSError, trio_rio.RioUnavailableError) as error:
        assert isinstance(error, trio_rio.RioUnavailableError) or error.errno == 24, repr(error)
        failures.append(type(error).__name__)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/dev/fd")) - 1 == used, "descriptors left behind"
    assert trio_rio.run(main, config=config)
print(failures)
"""


@needs_limits
def test_no_descriptors_left_for_a_run(rio_provider: str) -> None:
    """A run that cannot start for want of descriptors says so, leaves none behind, and the next one starts."""
    done = subprocess.run(
        command(NO_DESCRIPTORS), env=environment(rio_provider), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert len(eval(done.stdout)) >= 3, done.stdout


NO_DESCRIPTORS_TO_ACCEPT = """
import logging, os, resource, socket, sys
import trio, trio_rio

async def echo(stream):
    async for data in stream:
        await stream.send_all(data)

async def main():
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        used = len(os.listdir("/dev/fd")) - 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, hard))
        await trio.sleep(0.3)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with trio.fail_after(10):
            for client in clients:
                client.setblocking(False)
                client.send(b"x")
                await trio.lowlevel.wait_readable(client)
                assert client.recv(1) == b"x"
        for client in clients:
            client.close()
        nursery.cancel_scope.cancel()

logging.basicConfig(level=logging.ERROR)
trio_rio.run(main)
"""


@needs_limits
@pytest.mark.parametrize("serve", ["trio.serve_tcp", "trio_rio.serve_tcp"])
def test_no_descriptors_left_to_accept(rio_provider: str, serve: str) -> None:
    """A server that runs out of descriptors logs it, goes on, and serves everybody when there are some again."""
    program = NO_DESCRIPTORS_TO_ACCEPT.replace("trio.serve_tcp", serve)
    done = subprocess.run(command(program), env=environment(rio_provider), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "accept" in done.stderr


NO_LOCKED_MEMORY = """
import ctypes, resource
import trio, trio_rio

CAP_IPC_LOCK, PR_CAPBSET_DROP = 14, 24
libc = ctypes.CDLL(None, use_errno=True)

class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

class Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]

resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
header, data = Header(0x20080522, 0), (Data * 2)()
assert libc.capget(ctypes.byref(header), data) == 0
data[0].effective &= ~(1 << CAP_IPC_LOCK)
data[0].permitted &= ~(1 << CAP_IPC_LOCK)
assert libc.capset(ctypes.byref(header), data) == 0

async def main():
    async with trio.open_nursery() as nursery:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        client = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        server = await listener.accept()
        nursery.start_soon(client.send_all, bytes(range(256)) * 20_000)
        received = bytearray()
        while len(received) < 256 * 20_000:
            received += await server.receive_some()
        assert received == bytes(range(256)) * 20_000
        for thing in (listener, client, server):
            await thing.aclose()
    print(trio_rio.current_statistics().provider)

trio_rio.run(main)
"""


@needs_linux
def test_no_locked_memory(rio_provider: str) -> None:
    """Without locked memory a provider that is demanded serves, or says that this is what it lacks."""
    done = subprocess.run(
        command(NO_LOCKED_MEMORY), env=environment(rio_provider), capture_output=True, text=True, timeout=60
    )
    if done.returncode == 0:
        assert done.stdout.strip() == rio_provider
    else:
        assert rio_provider != "portable"
        assert "RioUnavailableError" in done.stderr
        assert "locked memory" in done.stderr


@needs_linux
def test_no_locked_memory_and_no_demand() -> None:
    """Without locked memory traffic passes: if one provider cannot serve, the next one does."""
    done = subprocess.run(command(NO_LOCKED_MEMORY), env=environment(""), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("uring", "portable")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
async def test_an_address_of_the_wrong_family(family: int) -> None:
    """sendto to an address of the other family is an OSError or a failed look-up, and the next sendto works."""
    other = "::1" if family == socket.AF_INET else "not an address"
    with await udp_socket(family) as sock:
        with pytest.raises(OSError):
            await sock.sendto(b"x", (other, 9))
        await sock.sendto(b"x", sock.getsockname())
        assert await sock.recv(10) == b"x"

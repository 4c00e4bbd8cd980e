"""The programs in docs/examples run, count right, end cleanly, and say what is wrong with their options.

They run on the provider that serves here, or on the one that ``TRIO_RIO_PROVIDER`` names: CI runs them on both.
"""

from __future__ import annotations

import contextlib
import errno
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_rio.rio import probe

from .platforms import checks_addresses, complaints, needs_interrupts

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "counting")
UDP_SERVERS = ["udp_event", "udp_event_polling_first", "udp_polled", "udp_port", "udp_port_threshold"]
SERVERS = [*UDP_SERVERS, "udp_several_runs", "tcp_echo"]
PATIENCE_SECONDS = 30
COUNT = 500

# What an address that no interface here has is answered with; the words differ from system to system.
NO_SUCH_ADDRESS = f" {errno.EADDRNOTAVAIL}]"


@pytest.fixture(autouse=True)
def completion_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are about completion queues: where only portable is left, they ask for it."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", probe().chosen)


def command(program: str, *options: str) -> list[str]:
    """What runs a program with warnings as errors."""
    return [sys.executable, "-W", "error", str(EXAMPLES / f"{program}.py"), *options]


@contextlib.contextmanager
def started(program: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server, and the port that it says it listens at; killed at the end."""
    with subprocess.Popen(
        command(program, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.match(r"listening on 127\.0\.0\.1:(\d+)", line)
            assert found, f"{line!r} {process.stderr.read() if process.stderr and not line else ''}"
            yield process, int(found[1])
        finally:
            process.kill()


def numbers_of(process: subprocess.Popen[str]) -> dict[str, float]:
    """What a program prints until its end, which must be one without an error."""
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, complaints(errors)) == (0, ""), output
    return {name: float(value) for name, value in re.findall(r"^([a-z ]+): +([\d.]+)$", output, re.MULTILINE)}


def generate(port: int, *options: str) -> dict[str, float]:
    """Run the generator against a server, at a rate that any machine can follow; what it says."""
    with subprocess.Popen(
        command("udp_generator", "--port", str(port), "--count", str(COUNT), *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        return numbers_of(process)


@pytest.mark.parametrize("program", UDP_SERVERS)
def test_a_server_counts_what_is_sent(program: str) -> None:
    """Each server counts datagrams up to the end, and prints their rate and the results per dequeue."""
    with started(program, "--port", "0") as (server, port):
        sent = generate(port, "--batch", "5", "--rate", "2000")
        counted = numbers_of(server)
    assert sent["sent"] == COUNT
    # UDP may lose some where the machine is busy; none may be counted twice.
    assert COUNT / 2 < counted["datagrams"] <= COUNT
    assert counted["datagrams per second"] > 0
    assert counted["results per dequeue"] >= 1
    assert counted["dequeues"] >= counted["datagrams"] / 1024
    assert (counted["notifications"] == 0) == (program == "udp_polled")


def test_several_runs_count_together() -> None:
    """Each of the threads counts what came to its own port, and the sum is printed."""
    first = free_ports(2)
    with started("udp_several_runs", "--port", str(first), "--threads", "2") as (server, _):
        assert server.stdout is not None
        server.stdout.readline()  # the other thread listens too
        sent = generate(first, "--servers", "2", "--batch", "5", "--rate", "1000")
        counted = numbers_of(server)
    assert sent["sent"] == 2 * COUNT
    assert COUNT < counted["datagrams"] <= 2 * COUNT
    assert counted["results per dequeue"] >= 1


def free_ports(count: int) -> int:
    """The first of so many UDP ports in a row that are free now."""
    for _ in range(100):
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            first = 0
            for number in range(count):
                sock = sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind(("127.0.0.1", first + number if first else 0))
                first = first or sock.getsockname()[1]
            return first
    raise AssertionError("no ports in a row are free")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--notification", "event", "--queues", "2"],
        ["--notification", "polled", "--separate-sends"],
        ["--poll", "50"],
    ],
    ids=["port", "event", "polled", "busy"],
)
def test_the_echo_server_echoes(options: list[str]) -> None:
    """Bytes come back, in each way of collecting, and the messages are counted."""
    with started("tcp_echo", "--port", "0", "--connections", "3", *options) as (
        server,
        port,
    ):
        for number in range(3):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
                for count in range(20):
                    message = b"%d %d\n" % (number, count)
                    client.sendall(message)
                    assert client.makefile("rb").readline() == message
        counted = numbers_of(server)
    assert counted["messages"] == 60
    assert counted["messages per second"] > 0
    assert counted["results per dequeue"] >= 1


@needs_interrupts
@pytest.mark.parametrize("threads", [2, 64])
def test_control_c_ends_several_runs_that_start(threads: int) -> None:
    """Ctrl-C that comes while threads are still being started ends all of them."""
    with started("udp_several_runs", "--port", "0", "--threads", str(threads)) as (server, _):
        server.send_signal(signal.SIGINT)
        output, errors = server.communicate(timeout=PATIENCE_SECONDS)
        assert (server.returncode, errors) == (130, "")
        assert output.count("a thread counted 0 datagrams") == threads


@needs_interrupts
@pytest.mark.parametrize("program", SERVERS)
def test_control_c_ends_a_server(program: str) -> None:
    """Ctrl-C ends a server that waits, without a traceback; it prints what it has."""
    with started(program, "--port", "0") as (server, _):
        server.send_signal(signal.SIGINT)
        output, errors = server.communicate(timeout=PATIENCE_SECONDS)
        assert (server.returncode, errors) == (130, "")
        assert "0" in output


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_says_what_it_is(program: str) -> None:
    """--help explains the program and its options."""
    done = subprocess.run(command(program, "--help"), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--port" in done.stdout
    assert len(done.stdout.splitlines()) > 10


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("udp_polled --port 65536", 2, "--port: 65536 is not within 0 .. 65535"),
        ("udp_event --size big", 2, "--size: 'big' is not an integer"),
        ("udp_event_polling_first --poll 0", 2, "--poll: 0 is not within"),
        ("udp_port --provider nothing", 1, "there is no provider 'nothing'"),
        ("udp_port_threshold --provider nothing", 1, "there is no provider 'nothing'"),
        pytest.param("udp_port_threshold --host 192.0.2.1", 1, NO_SUCH_ADDRESS, marks=checks_addresses),
        ("udp_several_runs --port 65535", 2, "there are not 2 ports from 65535 on"),
        pytest.param("udp_several_runs --host 192.0.2.1", 1, NO_SUCH_ADDRESS, marks=checks_addresses),
        ("udp_generator --count 0", 2, "--count: 0 is not within"),
        ("tcp_echo --host 192.0.2.1", 1, NO_SUCH_ADDRESS),
        ("tcp_echo --notification never", 2, "invalid choice: 'never'"),
        ("tcp_echo --notification polled --poll 5", 1, "leave it out"),
    ],
)
def test_bad_input_is_told(arguments: str, code: int, message: str) -> None:
    """What cannot be followed is one clear message, and no traceback."""
    program, *options = arguments.split()
    done = subprocess.run(command(program, *options), capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_generator_without_a_server_is_told() -> None:
    """Where nobody listens the generator says so."""
    done = subprocess.run(
        command("udp_generator", "--port", str(free_ports(1))),
        capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    assert "nobody listens at 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_example_is_on_the_page(program: str) -> None:
    """The page about the examples names each of them."""
    assert f"{program}.py" in (EXAMPLES / "index.md").read_text(encoding="utf-8")

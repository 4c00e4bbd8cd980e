"""``python -m trio_rio demo``: it finds faults, shows what it promises, and cleans up."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest

from trio_rio._cli.demo import clients as _demo_clients, main as _demo
from trio_rio._cli.load import EchoLoad, LoadError, connections
from trio_rio._cli.progress import Progress

from ..platforms import complaints

# One that serves everywhere; but on Windows sockets go Trio's own way without RIO.
PROVIDER = "winsock" if sys.platform == "win32" else "portable"
DEMO = (sys.executable, "-m", "trio_rio", "demo")


@contextlib.contextmanager
def server_that(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server in a thread that treats each connection as it likes, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):
                        behave(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):  # Windows shuts only connections down, and ends an accept at close
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()


def echo_with_one_bit_wrong(client: socket.socket) -> None:
    data = bytearray(client.recv(65536))
    data[-1] ^= 1
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    while client.recv(65536):
        pass


def echo_half(client: socket.socket) -> None:
    client.sendall(client.recv(65536)[:10])


def answer_not_found(client: socket.socket) -> None:
    client.recv(65536)
    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def answer_wrong_body(client: socket.socket) -> None:
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")


@pytest.fixture(scope="module")
def shown() -> str:
    """What a short demonstration prints to a pipe, on both of its outputs."""
    command = [*DEMO, "--seconds", "1", "--provider", PROVIDER]
    # Python's readline has told the C library how wide the terminal of the tests is; os.environ does not have it.
    plain = dict(os.environ)
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, env=plain)
    assert result.returncode == 0, result.stdout
    return result.stdout.decode().replace(os.linesep, "\n")


def test_it_shows_what_it_promises(shown: str) -> None:
    """The output has the provider and why, both rates, their ratio, results per dequeue and notifications."""
    patterns = (
        rf"provider   {PROVIDER}: .+",
        r"HTTP       .+ requests on one connection, [\d,]+ bytes equal; \d+ malformed requests refused.+",
        r"echo       100 connections at once, 26,214,400 random bytes there and back, all equal",
        r"speed      echo of 64 bytes over 100 connections, .+",
        r" +trio_rio +[\d,]+ messages/s +[\d.]+ us of server CPU per message",
        r" +stock Trio +[\d,]+ messages/s +[\d.]+ us of server CPU per message",
        r" +ratio +[\d.]+ \([\d.]+ to [\d.]+\) messages/s, [\d.]+ \([\d.]+ to [\d.]+\) CPU.+",
        r"queue      [\d.]+ results per dequeue, [\d.]+ notifications per completion .+",
        r"done       in [\d.]+ s",
    )
    assert re.fullmatch("\n".join([*patterns, ""]), shown)


def test_output_to_a_file_is_plain(shown: str) -> None:
    """Where standard output is no terminal there is no carriage return and no escape sequence."""
    assert "\r" not in shown
    assert "\x1b" not in shown


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("when", ["HTTP", "echo", "speed"])
def test_an_interrupt_is_clean(when: str) -> None:
    """Ctrl-C in any phase: exit code 130, no traceback, and no server is left."""
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = ""
        while when not in seen:
            character = process.stdout.read(1)
            assert character, f"it ended early: {seen}{process.stderr.read()}"
            seen += character
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
        errors = complaints(errors)
    assert process.returncode == 130
    assert errors == ""
    assert "interrupted" in rest
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.skipif(os.name != "posix", reason="kills by a POSIX signal")
def test_servers_end_when_their_client_is_killed() -> None:
    """Killing the demonstration outright leaves no server behind either."""
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=20)[1] == []


@pytest.mark.parametrize(
    ("behave", "message"),
    [(echo_with_one_bit_wrong, "different from byte 99"), (echo_half, "10 bytes instead of 100")],
)
def test_a_wrong_echo_is_found(behave: Callable[[socket.socket], None], message: str) -> None:
    """One wrong bit, or a missing end, fails the check and is located."""
    with server_that(behave) as port, pytest.raises(LoadError, match=message):
        _demo_clients.check_echo(port, 1, 100)


@pytest.mark.parametrize("behave", [echo_with_one_bit_wrong, echo_half])
def test_a_wrong_message_stops_the_measurement(behave: Callable[[socket.socket], None]) -> None:
    """The messages that are counted are compared too."""
    with server_that(behave) as port, connections(port, 1) as sockets:
        load = EchoLoad(sockets)
        with pytest.raises(LoadError, match="echo: "):
            load.run(1)


@pytest.mark.parametrize(
    ("behave", "message"),
    [(answer_not_found, "GET /: status 404 instead of 200"), (answer_wrong_body, "GET /: 2 bytes instead of")],
)
def test_a_wrong_answer_is_found(
    behave: Callable[[socket.socket], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong status or a wrong body fails the check."""
    only_first = _demo_clients.http_exchanges()[:1]
    monkeypatch.setattr(_demo_clients, "http_exchanges", lambda: only_first)
    with server_that(behave) as port, pytest.raises(LoadError, match=message):
        _demo_clients.check_http(port)


def test_a_malformed_request_that_is_served_is_found() -> None:
    """A server that answers nonsense with anything but the right refusal fails the check."""
    with server_that(answer_not_found) as port, pytest.raises(LoadError, match="404 instead of 400"):
        _demo_clients.check_malformed(port)


def test_a_connection_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes after each answer fails the check, even if every byte is right."""
    twice = [_demo_clients.Exchange("GET", "/", 200, b"no")] * 2
    monkeypatch.setattr(_demo_clients, "http_exchanges", lambda: twice)
    with (
        server_that(answer_wrong_body) as port,
        pytest.raises(LoadError, match="2 requests took 2 connections"),
    ):
        _demo_clients.check_http(port)


def test_a_server_that_ends_early_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What httpx raises ends the demonstration in one line and exit code 1."""

    def get_from_nobody(*_: object) -> None:
        with server_that(lambda _: None) as port:
            _demo_clients.fetch_statistics(port)

    monkeypatch.setattr(_demo, "demonstrate", get_from_nobody)
    assert _demo.main(None, 1) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("missing", ["h11", "httpx"])
def test_what_is_missing_is_said(missing: str) -> None:
    """Without the extra the command ends in one line that says what to install, with an exit code for it."""
    program = f"""
import sys
sys.modules[{missing!r}] = None  # importing it fails as if it were not there
from trio_rio._cli.main import main
sys.exit(main(["demo"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trio_rio: demo needs h11 and httpx: pip install h11 httpx\n"


def test_a_server_that_does_not_start_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The demonstration fails with exit code 1 and one line when a server cannot start."""
    assert _demo.main("carrier-pigeon", 1) == 1
    assert "trio_rio demo: the server on trio_rio did not start\n" in capsys.readouterr().err


def test_nothing_through_the_queue_is_a_failure() -> None:
    """Traffic that did not go through a completion queue must not pass for success."""
    counts = dict.fromkeys(("completions_dequeued", "dequeue_calls", "notifications_received"), 0.0)
    with pytest.raises(LoadError, match="did not go through RIO"):
        _demo.show_queue(counts, counts, Progress())


def test_a_terminal_sees_progress(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal each note replaces the line before it; the outcome replaces the last."""
    progress = Progress(is_terminal=True)
    progress.start("echo")
    progress.note("at work")
    progress.finish("done")
    written = capsys.readouterr().out
    assert written.split("\r\x1b[K") == ["echo       ...", "echo       at work", "echo       done\n"]

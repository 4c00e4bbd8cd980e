"""Looking inside a run: statistics as OpenMetrics text and as a table, and the dump of what it holds."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

import trio_rio
from trio_rio import monitoring
from trio_rio._looking import openmetrics as _openmetrics, switches, table
from trio_rio._looking.runs import RUNS, Turns, read
from trio_rio._trio import current_runner

from ..conftest import RioRun
from .harness import open_pair

needs_signals = pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")


def dumped() -> str:
    """What a dump says."""
    file = io.StringIO()
    monitoring.dump(file)
    return file.getvalue()


# -- OpenMetrics -------------------------------------------------------------------------------------------


async def test_every_count_is_a_metric() -> None:
    """The text has each field of the statistics once, with a type and a help, and its value."""
    now = trio_rio.current_statistics()
    text = monitoring.openmetrics(now)
    fields = {field.name for field in attrs.fields(trio_rio.RioStatistics)} - _openmetrics.NOT_METRICS
    assert {metric[0] for metric in _openmetrics._METRICS} == fields
    for field, name, kind, _ in _openmetrics._METRICS:
        suffix = "_total" if kind == "counter" else ""
        assert f"# TYPE trio_rio_{name} {kind}\n# HELP trio_rio_{name} " in text
        assert f"\ntrio_rio_{name}{suffix} {getattr(now, field)}\n" in text
    assert text.endswith("\n# EOF\n")


async def test_labels_are_on_every_metric() -> None:
    """Labels are escaped, and stand on each sample; the provider is one of the info."""
    text = monitoring.openmetrics(trio_rio.current_statistics(), {"run": 'a "b"\\\n'})
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all('{run="a \\"b\\"\\\\\\n"' in line for line in samples)
    assert f'provider="{trio_rio.current_statistics().provider}"' in samples[0]


async def test_it_is_openmetrics() -> None:
    """The parser of Prometheus' own client takes it."""
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="prometheus_client is not installed")
    now = trio_rio.current_statistics()
    families = {one.name: one for one in parser.text_string_to_metric_families(monitoring.openmetrics(now, {"a": "b"}))}
    assert families["trio_rio_commits"].samples[0].value == now.commits
    assert families["trio_rio_registered_bytes"].unit == "bytes"


@pytest.mark.parametrize("name", ["", "a-b", "1a", "__a", "é"])
async def test_a_senseless_label_is_refused(name: str) -> None:
    """A name that no label can have is a ValueError with the name in it."""
    with pytest.raises(ValueError, match=f"{name!r} is no name of a label"):
        monitoring.openmetrics(trio_rio.current_statistics(), {name: "x"})


# -- counts ------------------------------------------------------------------------------------------------


async def test_sockets_are_counted_for_good() -> None:
    """A socket that was served and closed is still counted, datagram channels too."""
    before = trio_rio.current_statistics().sockets_served
    for _ in range(3):
        async with open_pair() as (client, server):
            await client.send(b"x")
            await server.recv(1)
    now = trio_rio.current_statistics()
    assert (now.sockets_served - before, now.sockets_open) == (6, 0)
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)):
        assert trio_rio.current_statistics().sockets_served - before == 7


@pytest.mark.rio_config(cancellation="detach", send_window_bytes=65536)
async def test_stalled_sends_are_counted() -> None:
    """A send that finds the window full is a stall, one that finds room is none."""
    async with open_pair() as (client, server):
        await client.send(b"x")
        await server.recv(1)
        assert trio_rio.current_statistics().window_stalls == 0
        for stalls in (1, 2):
            with trio.move_on_after(0.2):
                while True:
                    await client.send(bytes(65536))
            assert trio_rio.current_statistics().window_stalls >= stalls


# -- the table ---------------------------------------------------------------------------------------------


def test_a_table_at_the_end(
    rio_run: RioRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With TRIO_RIO_STATISTICS=1 each run ends with a table on standard error, with its counts."""
    monkeypatch.setenv(switches.STATISTICS_VARIABLE, "1")

    async def main() -> trio_rio.RioStatistics:
        async with open_pair() as (client, server):
            await client.send(b"x")
            await server.recv(1)
            return trio_rio.current_statistics()

    counts = rio_run(main)
    err = capfd.readouterr().err
    assert re.match(r"trio_rio: a run in thread MainThread has ended after \d+\.\d s\n  provider  ", err)
    assert f"provider             {counts.provider}: {counts.provider_because}\n" in err
    assert f"engine               in {'C' if counts.engine == 'native' else 'Python'}\n" in err
    assert "sockets              2 served\n" in err
    (completions,) = re.findall(r"completions +([\d,]+) by", err)
    assert int(completions.replace(",", "")) >= counts.completions_dequeued > 0
    assert "-" not in err


async def test_a_table_fits_into_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """With COLUMNS=80 a long reason goes on under itself; where nothing says how wide a line may be it stays whole."""
    reason = "it works here, and uring does not: " + "io_uring_setup failed with EPERM " * 5
    ended = attrs.evolve(trio_rio.current_statistics(), provider_because=reason.strip())
    monkeypatch.setenv("COLUMNS", "80")
    lines = table.text("a run", ended).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith(" " * len("  results per dequeue  "))
    assert f": {reason.strip()} engine" in " ".join(word for line in lines for word in line.split())
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(os, "get_terminal_size", no_terminal)
    assert f": {reason.strip()}\n" in table.text("a run", ended)


def no_terminal(descriptor: int) -> os.terminal_size:
    """What os.get_terminal_size does where the descriptor is no terminal."""
    raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))


async def test_a_dump_says_what_serves_in_a_line_of_its_own() -> None:
    """The heading of a run, and what serves it and why, both fit into 80 columns."""
    lines = dumped().splitlines()
    assert lines[1].startswith("run in thread 'MainThread' (this thread), for ")
    now = trio_rio.current_statistics()
    assert lines[2] == f"  served by {now.provider}: {now.provider_because}"


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nothing_is_noted_when_it_is_off(
    value: str | None, rio_run: RioRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a switch no run is noted, nothing of its manager is wrapped, no thread is started, nothing is printed."""
    for name in (switches.STATISTICS_VARIABLE, switches.MONITOR_VARIABLE, switches.DUMP_SIGNAL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value if name != switches.DUMP_SIGNAL_VARIABLE else "")
    threads = set(threading.enumerate())

    async def main() -> None:
        runner: Any = current_runner()
        manager = runner.io_manager
        assert manager.get_events.__name__ == "get_events"
        assert manager.engine.at_end is None
        assert RUNS.under_way == []
        assert set(threading.enumerate()) == threads

    rio_run(main)
    assert capfd.readouterr() == ("", "")


# -- turns -------------------------------------------------------------------------------------------------


def test_the_slowest_turn() -> None:
    """A turn is what lies between two waits; the slowest stays, and one that is under way is told at once."""
    manager = SimpleNamespace(get_events=lambda timeout: timeout)
    turns = Turns()
    turns.measure(manager)
    assert (turns.now(), turns.recent(), turns.slowest) == (0.0, 0.0, 0.0)
    assert manager.get_events(7) == 7
    time.sleep(0.05)
    assert turns.now() >= 0.05
    assert turns.recent() >= 0.05
    manager.get_events(0)
    manager.get_events(0)
    assert turns.recent() >= turns.slowest >= 0.05


def test_a_wait_is_no_turn() -> None:
    """The time in which a run waits for I/O is not counted."""
    turns = Turns()
    manager = SimpleNamespace(get_events=lambda timeout: time.sleep(timeout))
    turns.measure(manager)
    for _ in range(2):
        manager.get_events(0.5)
    assert turns.slowest < 0.5


def test_what_changes_meanwhile_is_read_again() -> None:
    """A read that another thread disturbs is repeated, and fails only if it is disturbed for ever."""
    failures = iter([RuntimeError("changed size"), RuntimeError("changed size"), None])

    def look() -> str:
        failure = next(failures)
        if failure is not None:
            raise failure
        return "seen"

    assert read(look) == "seen"

    def disturbed() -> None:
        raise RuntimeError("changed size")

    with pytest.raises(RuntimeError, match="changed size"):
        read(disturbed)


# -- the dump ----------------------------------------------------------------------------------------------


async def test_the_dump_has_sockets_and_requests() -> None:
    """Each socket stands there with its addresses, and what is posted on it with the task that waits."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:
        await client.send(b"x")
        await server.recv(1)
        nursery.start_soon(server.recv, 100, name="the reader")
        await trio.testing.wait_all_tasks_blocked()
        text = dumped()
        host, port = server.getsockname()
        peer_host, peer_port = server.getpeername()
        assert f"process {os.getpid()}, 1 run under way" in text
        assert f"socket {server.fileno()}, TCP {host}:{port} to {peer_host}:{peer_port}: " in text
        assert re.search(r"\n +receive of [\d,]+ bytes?, (waited, task the reader|posted)\n", text)
        nursery.cancel_scope.cancel()


async def test_the_dump_has_leases_and_where_they_were_made() -> None:
    """A lease that is held stands there with file and line, and no longer when it has ended."""
    async with open_pair() as (client, server):
        stream = trio_rio.RioStream(server)
        await client.send(b"hello")
        async with stream.receive_lease():
            line = sys._getframe().f_lineno - 1
            text = dumped()
        assert "1 lease, " in text
        assert f"of a RioStream, taken at {__file__}:{line}\n" in text
        assert "0 leases, 0 bytes lent" in dumped()


async def test_the_dump_has_datagram_channels() -> None:
    """A socket with queues of its own stands there with what it has in flight."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=8) as channel:
        name = channel.socket.getsockname()
        assert f"UDP 127.0.0.1:{name[1]}, with queues of its own: 8 receives and 0 sends in flight" in dumped()


def test_no_run_no_dump() -> None:
    """Outside of a run a dump says that there is none."""
    assert dumped() == f"trio_rio: process {os.getpid()}, 0 runs under way\n"


@needs_signals
def test_a_signal_dumps_runs_of_all_threads(
    rio_run: RioRun, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """After dump_on_signal() the signal writes to standard error what each run holds, those of other threads too."""
    written, write_error = threading.Event(), switches._write_error

    def write_and_tell(text: str) -> None:
        write_error(text)
        written.set()

    monkeypatch.setattr(switches, "_write_error", write_and_tell)
    before = signal.getsignal(signal.SIGUSR1)
    monitoring.dump_on_signal(signal.SIGUSR1)
    try:

        async def dump_from_elsewhere() -> None:
            async with open_pair() as (client, server):
                await client.send(b"x")
                await server.recv(1)
                os.kill(os.getpid(), signal.SIGUSR1)  # the main thread takes it whenever it can
                assert await trio.to_thread.run_sync(written.wait, 30)

        def in_a_thread() -> None:
            thread = threading.Thread(target=rio_run, args=(dump_from_elsewhere,), name="the other")
            thread.start()
            while thread.is_alive():
                thread.join(0.1)  # a signal just before a wait does not end it, and is handled after it

        in_a_thread()
        rio_run(trio.sleep, 0)
    finally:
        signal.signal(signal.SIGUSR1, before)
        RUNS.is_on = False
    err = capfd.readouterr().err
    assert "1 run under way\nrun in thread 'the other', " in err
    assert "  2 sockets:\n" in err
    assert RUNS.under_way == []


async def test_the_run_under_way_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """dump_on_signal() inside a run notes that run, once, and it is forgotten at its end."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(RUNS, "is_on", False)
    for _ in range(2):
        monitoring.dump_on_signal(signal.SIGTERM)
    assert len(RUNS.under_way) == 1
    assert dumped().count("run in thread") == 1


def test_only_the_main_thread_handles_signals() -> None:
    """dump_on_signal() elsewhere is a RuntimeError that says where to call it."""
    caught: list[BaseException] = []

    def call() -> None:
        try:
            monitoring.dump_on_signal(signal.SIGTERM)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "in the main thread" in str(caught[0])


@pytest.mark.parametrize("name", ["KILL", "carrier-pigeon", "", "9", "_DFL"])
def test_a_signal_that_cannot_be_handled(name: str) -> None:
    """Its name is refused, with one that would do."""
    with pytest.raises(ValueError, match=r"no signal .* can be handled here; give a name such as (USR1|BREAK)"):
        switches.signal_named(name)


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "term"])
def test_names_of_signals(name: str) -> None:
    """A signal has its name with SIG or without, large or small."""
    assert switches.signal_named(name) == signal.SIGTERM

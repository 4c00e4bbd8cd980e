"""``python -m trio_rio monitor``, and what ``run`` lets be looked at: from outside, by processes of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trio_rio
from trio_rio._cli.main import main
from trio_rio._cli.monitor.client import MonitorError, watched
from trio_rio._cli.monitor.figures import History, duration, sparkline
from trio_rio._looking import server as _server
from trio_rio._looking.switches import DUMP_SIGNAL_VARIABLE, MONITOR_VARIABLE, STATISTICS_VARIABLE

from ..platforms import IS_WINDOWS, complaints

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="Python has no UNIX sockets there")

# Echoes on a connection to itself until its standard input ends; says when it is at work.
PROGRAM = """
import os, sys, trio

async def main():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        async def echo(stream):
            async for data in stream:
                await stream.send_all(data)
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        stream = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
        async def talk():
            while True:
                await stream.send_all(b"hello")
                await stream.receive_some()
        nursery.start_soon(talk)
        await trio.sleep(0.1)
        os.write(1, b"ready\\n")  # in one piece, whoever else writes
        await trio.to_thread.run_sync(os.read, 0, 1)
        nursery.cancel_scope.cancel()

trio.run(main)
"""

# Does not let go of its run until its standard input ends.
STUCK = """
import os, trio, trio_rio

async def main():
    await trio.sleep(0)
    print("ready", flush=True)
    os.read(0, 1)

trio.run(main)
"""


@contextlib.contextmanager
def program(text: str, folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program under way on the backend; its standard input ends with the block."""
    (folder / "program.py").write_text(text)
    kept = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    with subprocess.Popen(
        [sys.executable, "-m", "trio_rio", "run", *options, "program.py"],
        cwd=folder,
        # Forced, so that there are requests to show also where nothing better than portable is to be had.
        env={"TRIO_RIO_PROVIDER": trio_rio.probe().chosen, **kept, "TMPDIR": str(folder), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        _, errors = process.communicate(timeout=30)
    process.stderr = io.StringIO(errors)


def errors_of(process: subprocess.Popen[str]) -> str:
    """What a program that has ended wrote to standard error."""
    assert process.stderr is not None
    return complaints(process.stderr.read())


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, for these tests and for what they start: the name of a socket must be short."""
    with tempfile.TemporaryDirectory(prefix="rio", dir="/tmp", ignore_cleanup_errors=True) as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        yield Path(name)


# -- the socket --------------------------------------------------------------------------------------------


def test_the_socket_is_its_users_alone(folder: Path) -> None:
    """The socket has mode 0600, in a folder of mode 0700, and is gone when the program has ended."""
    with program(PROGRAM, folder, "--monitor") as process:
        (path,) = _server.socket_paths(process.pid)
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    assert errors_of(process) == ""


@pytest.mark.parametrize(("mode", "is_taken"), [(0o700, True), (0o755, False)])
def test_the_runtime_folder_is_preferred(
    mode: int, is_taken: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_RUNTIME_DIR has the socket if nobody else may enter it, else the folder of temporary files has."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    with program(PROGRAM, folder, "--monitor", XDG_RUNTIME_DIR=str(runtime)) as process:
        assert [path.exists() for path in _server.socket_paths(process.pid)] == [is_taken, not is_taken]


def test_a_folder_of_somebody_else_is_not_used(folder: Path) -> None:
    """Where the folder may be entered by others the program runs, cannot be monitored, and says why."""
    (folder / f"trio_rio-{os.getuid()}").mkdir(mode=0o755)
    with program(PROGRAM, folder, "--monitor") as process:
        pass
    assert process.returncode == 0
    assert "this process cannot be monitored" in errors_of(process)


def test_off_there_is_nothing(folder: Path) -> None:
    """Without the switch a program has neither the socket nor the thread, nor imports what they need."""
    text = STUCK.replace("os.read(0, 1)", "print([t.name for t in threading.enumerate()], 'json' in sys.modules)")
    text = text.replace("'json'", "'trio_rio._looking.server'").replace("import os,", "import sys, threading,")
    with program(text, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "['MainThread'] False\n"
    assert list(folder.glob("trio_rio-*")) == []


def test_children_inherit_the_switches(folder: Path) -> None:
    """`run` passes its options on by the environment, so that workers that the program starts have them too."""
    text = f"""
import os
print([os.environ.get(name) for name in {[MONITOR_VARIABLE, STATISTICS_VARIABLE, DUMP_SIGNAL_VARIABLE]}])
"""
    (folder / "program.py").write_text(text)
    options = ("--monitor", "--statistics", "--dump-signal", "USR2")
    command = [sys.executable, "-m", "trio_rio", "run", *options, "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout == "['1', '1', 'USR2']\n"


def test_a_forked_child_has_a_socket_of_its_own(folder: Path) -> None:
    """A child that starts a run is monitored by its own number, and the parent still answers by its own."""
    text = PROGRAM.replace("trio.run(main)", "import threading\nchild = os.fork()\ntrio.run(main)")
    with program(text, folder, "--monitor") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        names = sorted(path.name for path in folder.glob("trio_rio-*/*.sock"))
        assert len(names) == 2
        for name in names:
            pid = name.partition(".")[0]
            with watched(pid) as other:
                answer = other.ask("statistics")
            assert answer["pid"] == int(pid)
            assert len(answer["runs"]) == 1


# -- questions and answers ---------------------------------------------------------------------------------


def test_one_run_has_one_table(folder: Path) -> None:
    """A program that calls trio_rio.run itself gets one table from `run --statistics`, that of its run."""
    (folder / "program.py").write_text("import trio, trio_rio\ntrio_rio.run(trio.sleep, 0)\n")
    command = [sys.executable, "-m", "trio_rio", "run", "--statistics", "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stderr.count("trio_rio: a run in thread MainThread has ended") == 1


def test_it_tells_the_statistics(folder: Path) -> None:
    """The answer has the run's statistics, which go on, its leases, and its slowest turn."""
    with program(PROGRAM, folder, "--monitor", "--provider", "portable") as process, watched(str(process.pid)) as other:
        first, second = other.ask("statistics"), other.ask("statistics")
        assert first["pid"] == process.pid
        (before,), (run,) = first["runs"], second["runs"]
        assert run["thread"] == "MainThread"
        assert run["statistics"]["provider"] == "portable"
        assert run["statistics"]["sockets_served"] == 2
        assert run["statistics"]["completions_dequeued"] > 0
        assert second["time"] >= first["time"]
        assert run["seconds"] > before["seconds"]
        assert run["leases"] == {"held": 0, "bytes_lent": 0}
        assert run["turns"]["slowest_seconds"] >= run["turns"]["slowest_recent_seconds"] > 0


def test_it_answers_while_a_task_holds_the_run(folder: Path) -> None:
    """A task that does not let go is what the turn under way shows."""
    with program(STUCK, folder, "--monitor") as process, watched(str(process.pid)) as other:
        first, second = (other.ask("statistics")["runs"][0]["turns"]["now_seconds"] for _ in range(2))
        assert second > first > 0


def test_several_may_ask_at_once(folder: Path) -> None:
    """Two connections are answered in turn, and one that talks nonsense is told what to ask."""
    with (
        program(PROGRAM, folder, "--monitor") as process,
        watched(str(process.pid)) as one,
        watched(str(process.pid)) as another,
    ):
        for _ in range(3):
            assert one.ask("statistics")["runs"]
            assert '{"ask": "statistics"}' in another.ask("tea")["error"]
        another._sock.sendall(b"not json\n[1]\n")
        assert all("error" in json.loads(another._answers.readline()) for _ in range(2))
        another._sock.sendall(b"x" * 10_000)
        with contextlib.suppress(ConnectionResetError):
            assert another._answers.readline() == b""
        assert one.ask("dump")["text"].startswith(f"trio_rio: process {process.pid}, 1 run under way\n")


# -- the command -------------------------------------------------------------------------------------------


def test_it_prints_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints each look as a line, --count of them."""
    with program(PROGRAM, folder, "--monitor") as process:
        assert main(["monitor", str(process.pid), "--json", "--count", "2", "--interval", "0.1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["pid"] for line in lines] == [process.pid] * 2


def test_it_prints_a_dump(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dump prints the sockets and their requests; the path of the socket is as good as the number."""
    with program(PROGRAM, folder, "--monitor") as process:
        assert main(["monitor", str(_server.socket_paths(process.pid)[0]), "--dump"]) == 0
    assert "  2 sockets:\n" in capsys.readouterr().out


def test_it_shows_a_table(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A frame has what is asked for, in 80 columns, and says where it is from."""
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "80")
    with program(PROGRAM, folder, "--monitor") as process:
        assert main(["monitor", str(process.pid), "--count", "2", "--interval", "0.1"]) == 0
    out = capsys.readouterr().out
    assert out.count(f"─ process {process.pid}: run in MainThread on ") == 2
    for name in (
        "connections +2 open +2 served", r"completions +[\d,]+/s +[\d,]+", r"results per dequeue +[\d.]+",
        r"notifications +[\d,]+/s", "window stalls +0/s +0", r"registered memory +[\d.]+ MB", "leases +0 held",
        r"slowest turn +[\d.]+ ms in 10 s", "completions/s +[▁▂▃▄▅▆▇█]+",
    ):  # fmt: skip
        assert re.search(name, out)
    assert {len(line) for line in out.splitlines()} == {80}


def test_a_terminal_without_colour(folder: Path) -> None:
    """With NO_COLOR a terminal sees no colour."""
    view = pytest.importorskip("trio_rio._cli.monitor.view", reason="needs rich", exc_type=ImportError)
    from rich.console import Console

    shown = {}
    with program(PROGRAM, folder, "--monitor") as process, watched(str(process.pid)) as other:
        for no_color in (True, False):
            file = io.StringIO()
            console = Console(file=file, force_terminal=True, color_system="standard", no_color=no_color, width=80)
            view.show(other, 0.05, 1, console)
            shown[no_color] = file.getvalue()
    assert "\x1b[32m" in shown[False]
    assert not re.search(r"\x1b\[(\d;)?3\d", shown[True])


def test_the_end_of_the_program_is_the_end(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the program ends the monitor says so, and its exit code is 0."""
    with program(PROGRAM, folder, "--monitor") as process:
        assert process.stdin is not None
        timer = threading.Timer(0.5, process.stdin.close)
        timer.start()
        assert main(["monitor", str(process.pid), "--json", "--interval", "0.1"]) == 0
        timer.join()
        process.stdin = None
    assert capsys.readouterr().err == f"trio_rio: process {process.pid} has ended\n"


def test_an_interrupt_is_clean(folder: Path) -> None:
    """Ctrl-C ends the monitor with exit code 130 and no traceback; the program goes on."""
    with program(PROGRAM, folder, "--monitor") as process:
        command = [sys.executable, "-m", "trio_rio", "monitor", str(process.pid), "--json", "--interval", "0.1"]
        environment = {**os.environ, "TMPDIR": str(folder)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as monitor:
            assert monitor.stdout is not None
            assert monitor.stderr is not None
            assert monitor.stdout.readline()
            monitor.send_signal(signal.SIGINT)
            assert monitor.wait(30) == 130
            assert monitor.stderr.read() == b""
        assert process.poll() is None


def test_who_cannot_be_watched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what was wrong and what to do, and the exit code is 2."""
    with program(PROGRAM, folder) as process:
        assert main(["monitor", str(process.pid)]) == 2
        assert "was started without `run --monitor` and TRIO_RIO_MONITOR=1" in capsys.readouterr().err.replace(
            "\n", " "
        )
    assert main(["monitor", str(folder / "nothing")]) == 2
    assert "there is no socket" in capsys.readouterr().err
    assert main(["monitor", str(folder)]) == 2
    assert "is no socket" in capsys.readouterr().err.replace("\n", " ")
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(folder / "left.sock"))
    assert main(["monitor", str(folder / "left.sock")]) == 2
    assert "nobody serves" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (lambda client: client.sendall(b"220 ftp.example.org\n"), "does not talk as a monitored program does"),
        (lambda client: client.sendall(b'{"protocol": 0}\n'), "is of another version of trio_rio"),
    ],
)
def test_other_servers_are_found_out(behave: Callable[[Any], None], message: str, folder: Path) -> None:
    """A socket of something else is no program to watch."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "other.sock"))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                behave(client)
                client.recv(100)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(MonitorError, match=message), watched(str(folder / "other.sock")) as other:
            other.ask("statistics")
        thread.join()


def test_a_run_that_changes_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump that was disturbed each time it was tried is an answer that says so, and the thread lives on."""

    def disturbed(*_: object) -> str:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(_server, "dump", disturbed)
    assert "ask again" in _server.answer(b'{"ask": "dump"}')["error"]


def test_who_asks_without_descriptors_waits(folder: Path) -> None:
    """A program that has used up its descriptors does not spin, and answers when it has some again."""
    text = """
import os, resource, trio

async def main():
    await trio.sleep(0)
    used = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            used.append(os.dup(0))
    except OSError:
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    print("ready", flush=True)
    os.read(0, 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 0.3, flush=True)
    for descriptor in used:
        os.close(descriptor)
    os.read(0, 1)

trio.run(main)
"""
    with program(text, folder, "--monitor") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with watched(str(process.pid)) as other:
            with pytest.raises(TimeoutError):
                other._sock.settimeout(1)
                other._sock.sendall(b'{"ask": "statistics"}\n')
                other._sock.recv(1)
            process.stdin.write("x")
            process.stdin.flush()
            assert process.stdout.readline() == "True\n"
            other._sock.settimeout(5)
            assert json.loads(other._sock.recv(65536))["pid"] == process.pid


def test_rich_is_optional(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without rich one line says how to get it, or what to use instead."""
    for name in [name for name in sys.modules if name.startswith("trio_rio._cli.monitor.view")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with program(PROGRAM, folder, "--monitor") as process:
        assert main(["monitor", str(process.pid)]) == 2
    assert capsys.readouterr().err == "trio_rio: monitor needs rich: pip install rich, or use --json\n"


# -- run ---------------------------------------------------------------------------------------------------


def test_a_signal_dumps(folder: Path) -> None:
    """With --dump-signal the signal prints sockets and requests to standard error, and the program goes on."""
    with program(PROGRAM, folder, "--dump-signal", "USR1") as process:
        process.send_signal(signal.SIGUSR1)
    assert process.returncode == 0
    err = errors_of(process)
    assert f"trio_rio: process {process.pid}, 1 run under way\nrun in thread 'MainThread' (this thread), for" in err
    assert "  2 sockets:\n" in err


def test_a_signal_before_the_first_run(folder: Path) -> None:
    """A signal that comes before there is a run says so, and kills nobody."""
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGUSR1)\n" + STUCK
    with program(text, folder, "--dump-signal", "USR1") as process:
        pass
    assert process.returncode == 0
    assert f"trio_rio: process {process.pid}, 0 runs under way\n" in errors_of(process)


@pytest.mark.parametrize(
    ("name", "message"),
    [("USR1", "the program handles SIGUSR1 itself; choose another signal"), ("tea", "no signal 'tea' can be handled")],
)
def test_a_signal_of_the_program_stays_its_own(name: str, message: str, folder: Path) -> None:
    """The variable takes no signal that the program handles, and a name that is none is told to the log."""
    text = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: print('mine', flush=True))\n" + PROGRAM
    with program(text, folder, **{DUMP_SIGNAL_VARIABLE: name}) as process:
        assert process.stdout is not None
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "mine\n"
    assert message in errors_of(process)


def test_a_senseless_signal_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dump-signal with a name that is none is one line and exit code 2."""
    (folder / "program.py").write_text("")
    assert main(["run", "--dump-signal", "tea", str(folder / "program.py")]) == 2
    err = capsys.readouterr().err
    assert err == "trio_rio: no signal 'tea' can be handled here; give a name such as USR1\n"


def test_a_table_at_the_end(folder: Path) -> None:
    """With --statistics the program ends with a table on standard error, and its output stays its own."""
    with program(PROGRAM, folder, "--statistics") as process:
        pass
    assert process.returncode == 0
    assert re.search(r"has ended after [\d.]+ s\n  provider +\w+: .+\n  engine .+\n  collecting", errors_of(process))


# -- words -------------------------------------------------------------------------------------------------


def test_rates_need_two_looks() -> None:
    """The first look has no rate; later ones have what came since, by the time between the answers."""
    counts = dict.fromkeys(
        ("sockets_open", "sockets_served", "completions_dequeued", "results_per_dequeue_mean", "dequeue_calls",
         "notifications_received", "window_stalls", "receives_in_flight", "sends_in_flight", "registered_bytes",
         "leases_outstanding"), 0,
    )  # fmt: skip
    history = History()
    leases = {"held": 0, "bytes_lent": 0}
    first = {name: now for name, now, _ in history.rows({"statistics": counts, "leases": leases}, 10.0)}
    later = {**counts, "completions_dequeued": 600, "dequeue_calls": 100, "window_stalls": 3}
    second = {name: now for name, now, _ in history.rows({"statistics": later, "leases": leases}, 12.0)}
    assert (first["completions"], first["results per dequeue"]) == ("", "")
    assert (second["completions"], second["results per dequeue"]) == ("300/s", "6.0")
    assert second["window stalls"] == "2/s"
    assert "slowest turn" not in second
    assert list(history.rates) == [300.0]


def test_sparklines_and_durations() -> None:
    """The highest value is the highest block; nothing is a line of the lowest; hours have minutes and seconds."""
    assert sparkline([0, 4, 8]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
    assert duration(3723.9) == "1:02:03"

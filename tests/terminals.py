"""Pictures of terminals for the documentation: ``python -m tests.terminals [NAME ...]`` takes them anew.

Each command runs in a terminal of 80 columns, a pseudo-terminal of its own, and what it has written is drawn by rich.
So a picture shows what a user sees, colours too; nothing of it is written by hand. It needs ``trio_rio[cli]``, and a
system with pseudo-terminals.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import trio
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .pages import ROOT

FOLDER = ROOT / "docs" / "_static"
COLUMNS, LINES = 80, 50
CONNECTIONS = 50

# Whatever moves the cursor, erases, or hides it. Colours are left to rich.
_CONTROL = re.compile(r"(\r|\n|\x1b\[\??\d*[A-KSThl])")
_FONTS = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"


def typed(*arguments: str) -> list[str]:
    """What a user types, as the words of a command."""
    return ["python", "-m", "trio_rio", *arguments]


def captured(command: Sequence[str]) -> str:
    """Run a command in a terminal of its own until it ends; all that it has written there.

    Raises:
      CalledProcessError: it failed.
    """
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        hidden = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "COLORTERM")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        process = subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=ROOT,
            env={**environment, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        parts = []
        try:
            while part := terminal.read(65536):
                parts.append(part)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux' way to say that nobody has the other end any more
                raise
        text = b"".join(parts).decode()
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command, text)
    return text


def screen(output: str) -> list[str]:
    """The lines that stand there when a command has ended, with the colours in them.

    It knows what the commands do: they write lines from their beginning, and erase whole lines before they write again.

    Raises:
      ValueError: a line does not fit into the terminal, or the output does what is not known here.
    """
    lines, at = [""], 0
    for part in _CONTROL.split(output):
        if part == "\n":
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif part in {"\x1b[K", "\x1b[2K"}:
            lines[at] = ""
        elif up := re.fullmatch(r"\x1b\[(\d*)A", part):
            at = max(0, at - int(up[1] or 1))
        elif part == "\r" or re.fullmatch(r"\x1b\[\?25[hl]", part):
            pass
        elif _CONTROL.fullmatch(part):
            raise ValueError(f"{part!r} is not known")
        else:
            lines[at] += part
    for line in lines:
        if (width := cell_len(Text.from_ansi(line).plain)) > COLUMNS:
            raise ValueError(f"{width} columns: {line!r}")
    while lines and not lines[-1]:
        del lines[-1]
    return lines


def drawn(name: str, lines: Sequence[str]) -> str:
    """A screen as a picture, with no font that would have to be fetched."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="standard")
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=True)
        svg = console.export_svg(title="", unique_id=name)
    svg = re.sub(r" *@font-face \{.*?\}\n", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", _FONTS)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())


def bench() -> list[str]:
    """The comparison with stock Trio, as it comes."""
    command = typed("bench")
    return [f"$ {' '.join(command)}", *screen(captured(command))]


def monitor() -> list[str]:
    """A server with some connections, after ten seconds of work."""
    with echo_server() as pid:
        command = typed("monitor", str(pid))
        return [f"$ {' '.join(command)}", *screen(captured([*command, "--count", "10"]))]


@contextlib.contextmanager
def echo_server() -> Iterator[int]:
    """A server that can be monitored, and clients that keep it at work; its process number."""
    server = [sys.executable, "-m", "trio_rio", "run", "--monitor", "docs/examples/tcp_echo.py", "--port", "0"]
    with subprocess.Popen(server, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.match(r"listening on 127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found, "the server does not listen"
            clients = threading.Thread(target=trio.run, args=(talk, int(found[1])))
            clients.start()
            yield process.pid
        finally:
            process.terminate()
    clients.join()


async def talk(port: int) -> None:
    """Send and receive on some connections until the server is gone."""

    async def client() -> None:
        with contextlib.suppress(OSError, trio.BrokenResourceError):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                while True:
                    await stream.send_all(bytes(64))
                    if not await stream.receive_some():
                        return

    async with trio.open_nursery() as nursery:
        for _ in range(CONNECTIONS):
            nursery.start_soon(client)


SHOWN: dict[str, Callable[[], list[str]]] = {"bench": bench, "monitor": monitor}


def main() -> None:
    """Take the pictures that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.terminals", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SHOWN)} (default: all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go (default: docs/_static)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SHOWN):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SHOWN)}")
    for name in options.names or SHOWN:
        path = options.folder / f"terminal-{name}.svg"
        path.write_text(drawn(f"terminal-{name}", SHOWN[name]()), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()

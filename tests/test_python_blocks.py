"""Each block of Python in README.md and the documentation runs, as a program of its own.

A block is run as it stands, after the imports that a reader of the page has made. How follows from what it has: a
``main`` that it does not start is started; a server at a port is spoken to, and must send back what it got; functions
that need something are called by a driver in :data:`DRIVERS`. A block that only defines functions, of which none has a
driver, is an error.
"""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import Block, blocks
from .platforms import complaints

PATIENCE_SECONDS = 60
PORT = re.compile(r"\b[89]\d{3}\b")
IMPORTS = "import trio\nimport trio_rio\n"
A_MAIN = "async def main():\n    print(await trio.to_thread.run_sync(str, 'has run'))\n"

# A client in a thread: it tries until something comes back, prints that, and ends the program.
CLIENT = """
import os, socket, threading, time
def talk(kind, port):
    for _ in range(1000):
        with socket.socket(socket.AF_INET, kind) as peer:
            peer.settimeout(0.5)
            try:
                peer.connect(("127.0.0.1", port))
                peer.send(b"hello")
                print(peer.recv(100), flush=True)
                os._exit(0)
            except OSError:
                time.sleep(0.02)
    os._exit(1)
"""

# By the name of a function: what calls it, and prints "has run".
DRIVERS = {
    "report": "async def drive():\n    report()\n    print('has run')\n",
    "send_record": """
async def drive():
    async with trio.open_nursery() as nursery:
        async def check(stream):
            record = b""
            while len(record) < 12:
                record += await stream.receive_some()
            print("has run" if record == bytes.fromhex("00000008 0000000000000007") else record)
            nursery.cancel_scope.cancel()
        (listener,) = await nursery.start(lambda task_status: trio_rio.serve_tcp(
            check, 0, host="127.0.0.1", task_status=task_status))
        async with await trio_rio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]) as stream:
            await send_record(stream, 7)
            await trio.sleep_forever()
""",
    "send_line": """
async def drive():
    async with trio.open_nursery() as nursery:
        async def check(stream):
            print("has run" if await stream.receive_some() == b"hello" else "something else came")
            nursery.cancel_scope.cancel()
        (listener,) = await nursery.start(lambda task_status: trio_rio.serve_tcp(
            check, 0, host="127.0.0.1", task_status=task_status))
        async with await trio_rio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]) as stream:
            await send_line(stream, "hello")
            await trio.sleep_forever()
""",
    "count(stream": """
async def drive():
    async with trio.open_nursery() as nursery:
        async def lines(stream):
            print("has run" if await count(stream) == 2 else "counted wrong")
            nursery.cancel_scope.cancel()
        (listener,) = await nursery.start(lambda task_status: trio_rio.serve_tcp(
            lines, 0, host="127.0.0.1", task_status=task_status))
        async with await trio_rio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1]) as stream:
            await stream.send_all(b"one\\ntwo\\n")
""",
    "count(channel": """
async def drive():
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel, trio.open_nursery() as nursery:
        nursery.start_soon(count, channel)
        async with await trio_rio.open_datagram_channel(remote_address=channel.socket.getsockname()) as peer:
            while not channel.statistics().datagrams_received:
                await peer.send(b"hello")
                await trio.sleep(0.01)
        print("has run")
        nursery.cancel_scope.cancel()
""",
    "ask": """
async def drive():
    async with await trio_rio.open_datagram_channel(("127.0.0.1", PORT)) as channel, trio.open_nursery() as nursery:
        async def answer():
            async for data, address in channel:
                await channel.send(data, address)
        nursery.start_soon(answer)
        print("has run" if await ask(b"hello") == b"hello" else "something else came")
        nursery.cancel_scope.cancel()
""",
}


def free_port() -> int:
    """A port of the loopback that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def starts(tree: ast.Module) -> bool:
    """Whether a block starts a run of its own."""
    calls = [node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return any(re.fullmatch(r"\w+\.run", ast.unparse(call.func)) for call in calls) or "rio.run(" in ast.unparse(tree)


def driver_of(text: str) -> str | None:
    """The driver for the function that a block is about."""
    definition = "|".join(map(re.escape, DRIVERS))
    found = re.findall(rf"^(?:async )?def ({definition})\b", text, re.MULTILINE)
    assert len(found) <= 1
    return DRIVERS[found[0]] if found else None


def program_of(block: Block) -> tuple[str, str]:
    """The program that runs a block, and what it must say at least."""
    ports: dict[str, str] = {}
    text = PORT.sub(lambda found: ports.setdefault(found[0], str(free_port())), block.text)
    tree = ast.parse(text)
    defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    program = IMPORTS + (A_MAIN if starts(tree) and "main" not in defined else "") + text
    driver = driver_of(text)
    if driver is not None:
        port = next(iter(ports.values()), "0")
        return f"{program}\n{driver.replace('PORT', port)}\ntrio_rio.run(drive)\n", "has run"
    entry = "main" if "main" in defined else "echo"
    if ports:
        kind = "SOCK_DGRAM" if "open_datagram_channel" in text else "SOCK_STREAM"
        client = (
            f"threading.Thread(target=talk, args=(socket.{kind}, {next(iter(ports.values()))}), daemon=True).start()\n"
        )
        return CLIENT + client + program + ("" if starts(tree) else f"\ntrio_rio.run({entry})\n"), "b'hello'"
    if "await" not in text and re.search(r"\bchannel\.", text):
        body = "".join(f"        {line}\n" for line in text.splitlines())
        opened = "    async with await trio_rio.open_datagram_channel(('127.0.0.1', 0)) as channel:\n"
        return f"{IMPORTS}async def drive():\n{opened}{body}        print('has run')\ntrio_rio.run(drive)\n", "has run"
    assert starts(tree) or not defined, f"say in DRIVERS how {', '.join(sorted(defined))} is to be called"
    return program, "has run" if program.startswith(IMPORTS + A_MAIN) else ""


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.name)
def test_it_runs(block: Block, tmp_path: Path) -> None:
    """The block, as a program with warnings as errors, ends well, and does what it is there for."""
    program, said = program_of(block)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    assert said in done.stdout
    for shown in re.findall(r"^ *print\(.*\)  # (.*)$", block.text, re.MULTILINE):
        assert shown in done.stdout.splitlines()


def test_a_function_that_nothing_calls_is_found() -> None:
    """A block that only defines a function without a driver does not pass."""
    with pytest.raises(AssertionError, match="say in DRIVERS how forgotten is to be called"):
        program_of(Block("page.md", 1, "python", "def forgotten():\n    return 1 / 0\n"))


def test_a_block_that_is_wrong_is_found(tmp_path: Path) -> None:
    """A server that sends nothing back does not pass."""
    text = "async def main():\n    await trio.sleep(0)\n\n\ntrio_rio.run(main)\nprint(1)  # 2\n"
    with pytest.raises(AssertionError):
        test_it_runs(Block("page.md", 1, "python", text), tmp_path)

"""Hypercorn with several workers, on trio_rio without a change: each worker is spawned, and serves on its own ring."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trio

from ..platforms import IS_WINDOWS
from .switch import environment, make_interpreter

pytest.importorskip("hypercorn")

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="the environment that is made here has the layout of POSIX")

REQUESTS = 1000
CLIENTS = 20
WORKERS = 2

# Says which process answered, and on which provider.
APP = """
import os, trio_rio

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = b"%d %s" % (os.getpid(), trio_rio.current_statistics().provider.encode())
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_interpreter(tmp_path_factory.mktemp("interpreter"))


@contextlib.contextmanager
def hypercorn(interpreter: str, folder: Path, **added: str) -> Iterator[str]:
    """Two workers of Hypercorn under ``run``; the address that they serve."""
    (folder / "program.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor, port = listener.fileno(), listener.getsockname()[1]
        options = ["--worker-class", "trio", "--workers", str(WORKERS), "--bind", f"fd://{descriptor}"]
        command = [interpreter, "-m", "trio_rio", "run", "-m", "hypercorn", *options, "program:app"]
        log = folder / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment(**added), stdout=output, stderr=output, pass_fds=[descriptor]
            )
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        code = process.wait(30)
        print(log.read_text())
    assert code in (0, -15)


async def ask(address: str) -> Counter[tuple[int, str]]:
    """Ask as often as :data:`REQUESTS` says, in several connections at once; how often each process answered."""
    answers: Counter[tuple[int, str]] = Counter()

    async def client() -> None:
        for _ in range(REQUESTS // CLIENTS // 10):
            async with httpx.AsyncClient(trust_env=False, timeout=30) as session:  # each is a new connection
                for _ in range(10):
                    answer = (await session.get(address)).raise_for_status()
                    pid, provider = answer.text.split()
                    answers[int(pid), provider] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)
    return answers


def has_ring(pid: int) -> bool:
    """Whether a process has an io_uring open, as the system says."""
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    return "anon_inode:[io_uring]" in links


def test_each_worker_serves(interpreter: str, tmp_path: Path, rio_provider: str) -> None:
    """Two workers answer a thousand requests of httpx on the provider, none fails; with ``uring`` each has a ring."""
    with hypercorn(interpreter, tmp_path, TRIO_RIO_PROVIDER=rio_provider) as address:
        answers = trio.run(ask, address)
        assert sum(answers.values()) == REQUESTS
        assert len(answers) == WORKERS, answers
        assert {provider for _, provider in answers} == {rio_provider}
        if sys.platform == "linux":
            assert [has_ring(pid) for pid, _ in answers] == [rio_provider == "uring"] * WORKERS

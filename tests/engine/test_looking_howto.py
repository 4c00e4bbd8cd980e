"""The recipe for Prometheus in ``docs/howto/looking-inside.md`` serves what Prometheus reads."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from ..platforms import complaints

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "looking-inside.md"
PATIENCE_SECONDS = 30


def free_ports() -> list[int]:
    """Two TCP ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        return [one.getsockname()[1] for one in sockets]


def connect(port: int) -> socket.socket:
    """A connection to a server that may be starting still."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_recipe_serves_metrics(tmp_path: Path) -> None:
    """The program of the page echoes, and its metrics count that, as text of the type that is announced."""
    (text,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ports = free_ports()
    program = tmp_path / "server.py"
    program.write_text(text.replace("8000", str(ports[0])).replace("9100", str(ports[1])))
    with subprocess.Popen([sys.executable, "-W", "error", program], stderr=subprocess.PIPE, text=True) as process:
        try:
            with connect(ports[0]) as client:
                client.sendall(b"hello")
                assert client.recv(100) == b"hello"
                with urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/metrics", timeout=PATIENCE_SECONDS) as answer:
                    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
                    body = answer.read().decode()
            assert process.poll() is None
        finally:
            process.kill()
        _, errors = process.communicate()
    assert complaints(errors) == ""
    assert body.endswith("# EOF\n")
    assert re.search(r"^trio_rio_commits_total [1-9]", body, re.MULTILINE) or 'provider="portable"' in body

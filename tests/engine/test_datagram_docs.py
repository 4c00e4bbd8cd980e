"""The servers of the how-to on datagrams run as they stand there."""

from __future__ import annotations

import re

import pytest

from .datagrams import stdlib_peer
from .harness import ROOT, started

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs/howto/datagrams.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
IMPORT, START = "import trio_rio\n", "\n\ntrio_rio.run(main)\n"


def free_port() -> int:
    with stdlib_peer() as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("code", [BLOCKS[0], IMPORT + BLOCKS[1] + START], ids=["one-by-one", "batches"])
def test_the_server_echoes(code: str, rio_provider: str) -> None:
    """What is sent to it comes back."""
    port = free_port()
    with started(code.replace("9000", str(port)), provider=rio_provider) as server, stdlib_peer() as peer:
        peer.settimeout(0.05)
        answers = []
        for _ in range(400):  # it takes a while to start
            peer.sendto(b"hello", ("127.0.0.1", port))
            try:
                answers.append(peer.recvfrom(100))
                break
            except TimeoutError:
                assert server.poll() is None, server.stderr.read() if server.stderr else ""
        assert answers == [(b"hello", ("127.0.0.1", port))]


@pytest.mark.parametrize("number", [2, 3])
def test_the_others_are_complete(number: int, rio_provider: str) -> None:
    """The other examples define what they use."""
    namespace: dict[str, object] = {}
    exec(BLOCKS[number] if "import trio_rio" in BLOCKS[number] else IMPORT + BLOCKS[number], namespace)
    assert {"ask", "count"} & set(namespace)

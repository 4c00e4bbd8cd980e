"""There is no memory for what was received: what went wrong once.

Stock Trio makes the result before it takes anything, so nothing is lost by a MemoryError. Each test runs in a process
of its own, whose address space is used up while the data come.
"""

from __future__ import annotations

import pytest

from ..engine.harness import ROOT, python
from ..platforms import IS_WINDOWS

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="there is no limit of address space there")

CALLS = {
    "recv": "await ours.recv(SIZE)",
    "recv of much": "await ours.recv(4 * SIZE)",
    "receive_some": "await stream.receive_some()",
    "receive_some of less": "await stream.receive_some(SIZE)",
    "recvfrom": "(await ours.recvfrom(SIZE))[0]",
    "SocketStream": "await plain.receive_some()",
}
DATAGRAM_CALLS = {
    "recv of a datagram": "await udp.recv(SIZE)",
    "recvfrom of a datagram": "(await udp.recvfrom(SIZE))[0]",
    "receive of a channel": "(await channel.receive())[0]",
    "receive_many of a channel": "b''.join(data for data, _ in await channel.receive_many())",
}

PROGRAM = """
import contextlib, resource, socket, sys, trio, trio_rio
sys.path.insert(0, {root!r})
from tests.engine.harness import stdlib_pair
from trio_rio.testing import ledgers_of_runs
from trio.testing import wait_all_tasks_blocked

SIZE = 50_000
DATA = bytes(range(250)) * (SIZE // 250)

@contextlib.contextmanager
def no_memory():
    # Room for small objects stays, as in a process that has lived for a while.
    small = [[[], (), {{}}] for _ in range(20_000)] + [bytes(size) for size in range(16, 512, 8) for _ in range(400)]
    every_second = [*range(0, len(small), 2)]
    places = [None] * 200_000
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), before[1]))
    place = 0
    for size in (1 << 22, 1 << 18, 1 << 14, 1 << 12):
        with contextlib.suppress(MemoryError):
            while True:
                places[place] = bytearray(size)
                place += 1
    for place in every_second:  # not all: what is free as a whole goes back to the system
        small[place] = None
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        places.clear()

async def main():
    ours, theirs = stdlib_pair()
    ours = trio.socket.from_stdlib_socket(ours)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    stream, plain = trio_rio.RioStream(ours), trio.SocketStream(ours)
    udp = trio.socket.socket(type=socket.SOCK_DGRAM)
    await udp.bind(("127.0.0.1", 0))
    sender = socket.socket(type=socket.SOCK_DGRAM)
    outcomes: list[str] = []

    async def receive():
        try:
            outcomes.append({call})
        except MemoryError:
            outcomes.append(None)

    async def exchange(channel, send):
        for length in (7, SIZE, SIZE):  # to have it busy
            send(DATA[:length])
            received = b""
            while len(received) < length:
                received += {call}
            assert received == DATA[:length]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked(0.01)
            with no_memory():
                send(DATA)
                while not outcomes:
                    await trio.lowlevel.checkpoint()
        print("failed" if outcomes[0] is None else "received")
        received = outcomes[0] or b""
        send(b"the end")
        while len(received) < SIZE + 7:
            received += {call}
        assert received == DATA + b"the end"
        for number in range(5):
            send(b"%d" % number)
            assert {call} == b"%d" % number

    with ours, theirs, udp, sender, trio.fail_after(20):
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
            if "channel" in {call!r}:
                await exchange(channel, lambda data: sender.sendto(data, channel.socket.getsockname()))
            elif "udp" in {call!r}:
                await exchange(channel, lambda data: sender.sendto(data, udp.getsockname()))
            else:
                await exchange(channel, theirs.sendall)

# A smaller result may have room in the small memory.
options = {{"small_slice_size_bytes": 4096}}
if {cancellation!r}:
    options["cancellation"] = {cancellation!r}
if {provider!r} == "stock":
    trio.run(main)
else:
    with ledgers_of_runs() as ledgers:
        trio_rio.run(main, config=trio_rio.RioConfig(provider={provider!r}, **options))
    for books in ledgers:
        books.assert_balanced()
"""


@pytest.fixture(autouse=True)
def without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What measures coverage allocates and frees while a program runs: memory that the call would find."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def check(provider: str, cancellation: str, call: str) -> None:
    program = PROGRAM.format(
        root=str(ROOT), call=(CALLS | DATAGRAM_CALLS)[call], provider=provider, cancellation=cancellation
    )
    outcomes: list[str] = []
    while outcomes.count("failed") == 0 and len(outcomes) < 5:  # a call may find memory that something else has freed
        outcomes += python(program, provider="portable" if provider == "stock" else provider).stdout.split()
    assert outcomes[-1:] == ["failed"]
    assert set(outcomes) <= {"failed", "received"}


@pytest.mark.parametrize("cancellation", ["request", "detach"])
@pytest.mark.parametrize("call", [*CALLS, *DATAGRAM_CALLS])
def test_what_there_is_no_memory_for_is_received_later(rio_provider: str, cancellation: str, call: str) -> None:
    """The call raises MemoryError, the next ones have all of it in order, and the run gives back all that it took."""
    check(rio_provider, cancellation, call)


@pytest.mark.parametrize(
    "call", ["recv", "recvfrom", "SocketStream", *(call for call in DATAGRAM_CALLS if "of a d" in call)]
)
def test_the_same_on_stock_trio(call: str) -> None:
    """So it is there."""
    check("stock", "", call)

"""Memory that is gone, such as that of a file which was truncated after it was mapped: what went wrong once.

Touching it ends the process, so each call is made in one of its own; the system's calls say EFAULT.
"""

from __future__ import annotations

import pytest

from ..engine.harness import python
from ..platforms import IS_WINDOWS

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="a file that is mapped cannot be truncated there")

CALLS = {
    "send": "await ours.send(gone)",
    "send a view": "await ours.send(memoryview(gone))",
    "send a PickleBuffer": "await ours.send(pickle.PickleBuffer(gone))",
    "send an array of ctypes": "await ours.send((ctypes.c_char * 5000).from_buffer(gone))",
    "send much": "await ours.send(memoryview(more_gone))",
    "sendmsg": "await ours.sendmsg([gone])",
    "send_all of SocketStream": "await trio.SocketStream(ours).send_all(gone)",
    "send_all of RioStream": "await trio_rio.RioStream(ours).send_all(gone)",
    "send_all of RioStream, of a view": "await trio_rio.RioStream(ours).send_all(memoryview(gone))",
    "sendto": "await udp.sendto(gone, udp.getsockname())",
    "send a datagram": "await udp.connect(udp.getsockname()); await udp.send(memoryview(gone))",
    "recv_into": "theirs.send(b'data'); await ours.recv_into(gone)",
    "recv_into a view": "theirs.send(b'data'); await ours.recv_into(memoryview(gone))",
    "recvfrom_into": "theirs.send(b'data'); await ours.recvfrom_into(gone)",
    "recvmsg_into": "theirs.send(b'data'); await ours.recvmsg_into([gone])",
    "recvfrom_into of a datagram": "await udp.sendto(b'data', udp.getsockname()); await udp.recvfrom_into(gone)",
    "send of a channel": "await channel.send(gone, address)",
    "send_many of a channel": "await channel.send_many([(gone, address), (memoryview(gone), address)])",
}

PROGRAM = """
import ctypes, errno, mmap, pickle, socket, sys, tempfile, trio, trio_rio
sys.path.insert(0, {root!r})
from tests.engine.harness import stdlib_pair

def map_and_truncate(size):
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        memory = mmap.mmap(file.fileno(), size)
        file.truncate(0)
    return memory

async def main():
    ours, theirs = stdlib_pair()
    ours = trio.socket.from_stdlib_socket(ours)
    udp = trio.socket.socket(type=socket.SOCK_DGRAM)
    await udp.bind(("127.0.0.1", 0))
    gone, more_gone = map_and_truncate(5000), map_and_truncate(1_000_000)
    with ours, theirs, udp, trio.fail_after(20):
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
            address = channel.socket.getsockname()
            for is_used in (False, True):
                try:
                    {call}
                except (OSError, trio.BrokenResourceError) as error:
                    number = error.errno if isinstance(error, OSError) else error.__cause__.errno
                    print(errno.errorcode[number])
                theirs.send(b"used")
                received = await ours.recv(10)
                assert received in (b"used", b"data", b"dataused"), received
                await ours.send(b"used")

options = {{"cancellation": {cancellation!r}}} if {cancellation!r} else {{}}
if {provider!r} == "stock":
    trio.run(main)
else:
    trio_rio.run(main, config=trio_rio.RioConfig(provider={provider!r}, **options))
"""


def check(provider: str, cancellation: str, call: str) -> None:
    from ..engine.harness import ROOT

    program = PROGRAM.format(root=str(ROOT), call=CALLS[call], provider=provider, cancellation=cancellation)
    done = python(program, provider="portable" if provider == "stock" else provider)
    assert done.stdout.split() == ["EFAULT", "EFAULT"]


@pytest.mark.parametrize("cancellation", ["request", "detach"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_with_memory_that_is_gone(rio_provider: str, cancellation: str, call: str) -> None:
    """It is OSError(EFAULT), and the socket goes on, on a fresh one and on one that was used."""
    check(rio_provider, cancellation, call)


@pytest.mark.parametrize("call", [call for call in CALLS if "channel" not in call and "RioStream" not in call])
def test_the_same_on_stock_trio(call: str) -> None:
    """So it is there."""
    check("stock", "", call)

"""The tick of the run loop in which a task goes on: what went wrong once.

Stock Trio goes on after one checkpoint with what is there at once, and wakes who waits in the tick that sees the socket
ready. Programs depend on that without knowing: which of two tasks raises first, for one.
"""

from __future__ import annotations

import queue
import socket
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.harness import PATIENCE_SECONDS, WAYS_OPTIONS, stdlib_pair

OPTIONS: dict[str, dict[str, Any]] = {
    "request": {},
    "detach": {"cancellation": "detach"},
    # With a notifier that is woken for each packet they go on a tick later, as the page on collecting says.
    **{name: options for name, options in WAYS_OPTIONS.items() if options.get("notifier") != "task"},
    "event-detach": {"notification": "event", "cancellation": "detach"},
}


class Ticks(trio.abc.Instrument):
    """Counts the ticks of a run."""

    count = 0

    def after_io_wait(self, timeout: float) -> None:
        self.count += 1


class Scene:
    """Four connections whose tasks note when they go on."""

    def __init__(self, ticks: Ticks, *, is_stream: bool) -> None:
        self.ticks = ticks
        self.notes: dict[str, int] = {}  # what has happened -> ticks since the act began
        self.began_at = 0
        pairs = [stdlib_pair() for _ in range(4)]
        for sock in (sock for pair in pairs for sock in pair):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peers = [peer for _, peer in pairs]
        self.sockets = [trio.socket.from_stdlib_socket(sock) for sock, _ in pairs]
        streams = [trio_rio.RioStream(sock) for sock in self.sockets] if is_stream else []
        self.receive: list[Any] = [stream.receive_some for stream in streams] or [sock.recv for sock in self.sockets]
        self.send: list[Any] = [stream.send_all for stream in streams] or [sock.send for sock in self.sockets]

    def begin(self) -> None:
        self.began_at = self.ticks.count

    def note(self, what: str) -> None:
        self.notes[what] = self.ticks.count - self.began_at

    async def receive_bytes(self, act: str, index: int, count: int) -> None:
        while count:
            count -= len(await self.receive[index](10))
            self.note(f"{act}: {index} has {count} to come")

    async def send_bytes(self, act: str, index: int) -> None:
        for number in range(3):
            await self.send[index](b"x")
            self.note(f"{act}: {index} has sent {number}")

    async def feed(self) -> None:
        for _ in range(3):
            for peer in self.peers:
                peer.send(b"x")
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()

    async def be_busy(self, is_busy: bool) -> None:
        for _ in range(12 if is_busy else 0):
            await trio.lowlevel.checkpoint()

    async def play(self, *, is_busy: bool) -> None:
        name = "busy" if is_busy else "idle"
        for peer in self.peers:
            peer.send(b"x")
        for act in ("there at once", "comes meanwhile", "sent"):
            self.begin()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.be_busy, is_busy)
                if act == "comes meanwhile":
                    nursery.start_soon(self.feed)
                for index in range(4):
                    if act == "sent":
                        nursery.start_soon(self.send_bytes, name, index)
                    else:
                        nursery.start_soon(
                            self.receive_bytes, f"{name}, {act}", index, 3 if act == "comes meanwhile" else 1
                        )
            self.note(f"{name}, {act}: all done")
        async with trio.open_nursery() as nursery:
            for index in range(4):
                nursery.start_soon(self.receive_bytes, f"{name}, waited for", index, 1)
            await wait_all_tasks_blocked()
            self.begin()
            for peer in self.peers:
                peer.send(b"x")

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        for peer in self.peers:
            peer.close()


async def notes_of_scene(ticks: Ticks, is_stream: bool) -> dict[str, int]:
    """When the tasks went on, in a run that has used no socket before and, after that, in the same run."""
    scene = Scene(ticks, is_stream=is_stream)
    try:
        await scene.play(is_busy=False)
        await scene.play(is_busy=True)
    finally:
        scene.close()
    return scene.notes


def run_by_host(start: Any, *args: object, **kwargs: Any) -> Any:
    """A guest run, with a host that calls what it is given."""
    calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
    outcomes: list[Any] = []
    start(*args, run_sync_soon_threadsafe=calls.put, done_callback=outcomes.append, **kwargs)
    while not outcomes:
        calls.get(timeout=PATIENCE_SECONDS)()
    return outcomes[0].unwrap()


@pytest.mark.parametrize("way", OPTIONS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["socket", "stream"])
@pytest.mark.parametrize("is_guest", [False, True], ids=["run", "guest"])
def test_tasks_go_on_in_the_tick_in_which_they_do_on_stock_trio(
    rio_provider: str, way: str, is_stream: bool, is_guest: bool
) -> None:
    """Each receive and each send ends in the tick in which it does on stock Trio, from the first of the run."""
    config = trio_rio.RioConfig(provider=rio_provider, **OPTIONS[way])
    ours, theirs = Ticks(), Ticks()
    if is_guest:
        expected = run_by_host(trio.lowlevel.start_guest_run, notes_of_scene, theirs, is_stream, instruments=[theirs])
        notes = run_by_host(
            trio_rio.start_guest_run, notes_of_scene, ours, is_stream, instruments=[ours], config=config
        )
    else:
        expected = trio.run(notes_of_scene, theirs, is_stream, instruments=[theirs])
        notes = trio_rio.run(notes_of_scene, ours, is_stream, instruments=[ours], config=config)
    assert notes == expected

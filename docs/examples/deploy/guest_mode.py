"""A run beside the loop of a user interface: a window counts seconds while an echo server answers.

Where there is no screen, or no tkinter, a plain loop takes the window's place; ``--host loop`` asks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

import outcome
import trio

import trio_rio


class Host(Protocol):
    """What a loop of a user interface has to offer."""

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function in the loop's thread, soon. May be called from any thread."""

    def show(self, text: str) -> None:
        """Show a text."""

    def loop(self) -> None:
        """Run until :meth:`end`."""

    def end(self) -> None:
        """Make :meth:`loop` return."""


class PlainLoop:
    """A loop that only calls what it is given."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

    def call_soon(self, function: Callable[[], object]) -> None:
        self.calls.put(function)

    def show(self, text: str) -> None:
        print(text, flush=True)

    def loop(self) -> None:
        while (function := self.calls.get()) is not None:
            function()

    def end(self) -> None:
        self.calls.put(None)


class Window:
    """A window of tkinter. Its loop may be woken only from its own thread, so it looks for calls by itself."""

    def __init__(self) -> None:
        import tkinter

        self.root = tkinter.Tk()
        self.label = tkinter.Label(self.root, width=40)
        self.label.pack()
        self.calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.thread = threading.get_ident()
        self.root.after(1, self.work)

    def call_soon(self, function: Callable[[], object]) -> None:
        self.calls.put(function)

    def work(self) -> None:
        """Call what has come, and look again after five milliseconds."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.calls.get_nowait()()
        self.root.after(5, self.work)

    def show(self, text: str) -> None:
        self.label["text"] = text
        print(text, flush=True)

    def loop(self) -> None:
        self.root.mainloop()

    def end(self) -> None:
        self.root.destroy()


def make_host(wish: str) -> Host:
    """A window if there can be one, or the plain loop."""
    if wish == "window":
        try:
            return Window()
        except Exception as error:  # no tkinter, or no screen: tkinter.TclError is not to be had without it
            print(f"no window: {error}", flush=True)
    return PlainLoop()


async def echo(stream: trio_rio.RioStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send_all(data)


async def main(host: Host, port: int, seconds: int) -> None:
    """Serve, and show how long, for some seconds."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio_rio.serve_tcp, echo, port)
        host.show(f"listening on 127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        for second in range(seconds):
            await trio.sleep(1)
            host.show(f"{second + 1} seconds on {trio_rio.current_statistics().provider}")
        nursery.cancel_scope.cancel()


def start() -> None:
    """Parse the options, start the run inside of the host's loop, and be that loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", choices=("window", "loop"), default="window", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    host = make_host(options.host)
    results: list[outcome.Outcome[Any]] = []

    def done(result: outcome.Outcome[Any]) -> None:
        results.append(result)
        host.end()

    trio_rio.start_guest_run(
        main, host, options.port, options.seconds,
        run_sync_soon_threadsafe=host.call_soon,
        done_callback=done,
    )  # fmt: skip
    host.loop()
    if results:
        results[0].unwrap()


if __name__ == "__main__":
    start()

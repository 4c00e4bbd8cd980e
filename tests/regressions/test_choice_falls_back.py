"""What was chosen is what serves; and where nobody forces a provider, one that cannot be had is no error.

A ring that was tried and closed says nothing of the next: locked memory comes back late, and other threads take it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import outcome
import pytest
import trio

import trio_rio
from trio_rio import _trio
from trio_rio._engine.engine import Engine
from trio_rio.rio import Provider, RioCallError, RioUnavailableError, Status, chooser
from trio_rio.rio.portable.provider import PortableProvider

from ..platforms import IS_WINDOWS, needs_linux

Entry = Callable[..., str]

# The one that is the system's own.
OWN = "winsock" if IS_WINDOWS else "uring"

# How many runs, one after another or in as many threads; each prints the provider, or what went wrong.
PROGRAM = """
import os, resource, sys, threading
import trio, trio_rio
import trio_rio._managers.uring, trio_rio.rio.portable.provider, trio_rio.rio.uring.provider
import _strptime, concurrent.futures, linecache, traceback

locked_bytes, runs, is_threaded, is_installed = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_MEMLOCK, (locked_bytes, locked_bytes))
if os.getuid() == 0:  # who may do everything has no limit
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
everybody = threading.Barrier(runs) if is_threaded else None

async def main():
    if everybody is not None:
        await trio.to_thread.run_sync(everybody.wait)
    return trio_rio.current_statistics().provider

results = []

def run():
    try:
        results.append((trio.run if is_installed else trio_rio.run)(main))
    except BaseException as error:
        results.append(repr(error))

if is_installed:
    trio_rio.install()
if is_threaded:
    threads = [threading.Thread(target=run) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
else:
    for _ in range(runs):
        run()
print(*results, sep="\\n")
"""


@needs_linux
@pytest.mark.parametrize("is_installed", [False, True], ids=["run", "install"])
@pytest.mark.parametrize(
    ("locked_bytes", "runs", "is_threaded"),
    [(400_000, 200, False), (8 << 20, 120, True)],
    ids=["one after another", "at the same time"],
)
def test_no_run_fails_for_want_of_locked_memory(
    locked_bytes: int, runs: int, is_threaded: bool, is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the runs of a process without privilege is served, by a ring or without."""
    monkeypatch.delenv(chooser.ENVIRONMENT_VARIABLE, raising=False)
    arguments = map(str, (locked_bytes, runs, int(is_threaded), int(is_installed)))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == runs
    assert set(lines) <= {"uring", "portable"}


async def provider_in_use() -> str:
    return trio_rio.current_statistics().provider


def by_run(config: trio_rio.RioConfig) -> str:
    return trio_rio.run(provider_in_use, config=config)


def by_guest_run(config: trio_rio.RioConfig) -> str:
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[str]] = []
    trio_rio.start_guest_run(
        provider_in_use, run_sync_soon_threadsafe=todo.put, done_callback=results.append, config=config
    )
    while not results:
        todo.get(timeout=10)()
    return results[0].unwrap()


def by_trio_run(_: trio_rio.RioConfig) -> str:
    return trio.run(provider_in_use)


@pytest.fixture(params=[by_run, by_guest_run, by_trio_run], ids=["run", "guest", "installed"])
def enter(request: pytest.FixtureRequest) -> Iterator[Entry]:
    """A way to run :func:`provider_in_use`. What :func:`trio_rio.install` opens to choose is closed by then."""
    yield request.param
    trio_rio.uninstall()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Providers that were opened, by name; nothing forces one."""
    monkeypatch.delenv(chooser.ENVIRONMENT_VARIABLE, raising=False)
    trio_rio._run._warn_once.cache_clear()  # what it says once in a process
    names: list[str] = []

    def noted(make: Callable[..., None], name: str, *args: Any, **kwargs: Any) -> None:
        names.append(name)
        make(*args, **kwargs)

    own = importlib.import_module(f"trio_rio.rio.{OWN}.provider")
    for provider in (PortableProvider, getattr(own, f"{OWN.capitalize()}Provider")):
        init = functools.partialmethod(functools.partial(noted, provider.__init__, provider.name))
        monkeypatch.setattr(provider, "__init__", init)
    return names


def begin(enter: Entry, config: trio_rio.RioConfig, opened: list[str]) -> None:
    """Install where that is the way."""
    if enter is by_trio_run:
        trio_rio.install(config)
    opened.clear()


def test_one_run_opens_its_provider_once(enter: Entry, rio_provider: str, opened: list[str]) -> None:
    """The provider that was tried is the one that serves."""
    config = trio_rio.RioConfig(provider=rio_provider)
    begin(enter, config, opened)
    assert enter(config) == rio_provider
    assert opened == [rio_provider]


def refuse() -> NoReturn:
    raise RioUnavailableError(OWN, "it is used up", "wait")


@pytest.mark.providers(OWN)
def test_a_later_run_falls_back(
    enter: Entry, rio_provider: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could be had by the first run, and cannot by the second, is not missed by the second."""
    config = trio_rio.RioConfig()
    begin(enter, config, opened)
    enter(config)
    openers: dict[Any, Callable[[], Provider]] = dict(chooser._OPENERS)
    monkeypatch.setattr(chooser, "_OPENERS", {**openers, OWN: refuse})
    assert enter(config) == "portable"


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but portable can serve a run: each of the others refuses a queue of the engine's."""
    make = Engine.__init__

    def refuse_others(engine: Engine, manager: Any, provider: Provider, *args: Any) -> None:
        if provider.name != "portable":
            raise RioCallError("RIOCreateCompletionQueue", Status.ENOBUFS)
        make(engine, manager, provider, *args)

    monkeypatch.setattr(Engine, "__init__", refuse_others)


@pytest.mark.providers(OWN)
def test_a_run_that_cannot_be_made_falls_back(
    enter: Entry, rio_provider: str, opened: list[str], no_engine: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that opens, and then has no room for the run's queues, gives way; the log says why."""
    config = trio_rio.RioConfig()
    begin(enter, config, opened)
    with caplog.at_level(logging.INFO, "trio_rio"):
        assert enter(config) == "portable"
    assert opened == [OWN, "portable"]
    assert "it cannot serve a run: RIOCreateCompletionQueue failed with WSAENOBUFS" in caplog.text


@pytest.mark.providers(OWN)
def test_a_run_that_cannot_be_made_is_refused_where_its_provider_is_forced(rio_provider: str, no_engine: None) -> None:
    """RioUnavailableError, and what was opened is closed."""
    with pytest.raises(RioUnavailableError, match="it cannot serve a run"):
        trio_rio.run(provider_in_use, config=trio_rio.RioConfig(provider=rio_provider))


def test_an_error_between_choice_and_run_closes_what_was_opened(
    enter: Entry, rio_provider: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Descriptors are counted after each test; here the manager fails to be made."""
    config = trio_rio.RioConfig(provider=rio_provider)
    begin(enter, config, opened)

    def fail(*_: object) -> None:
        raise KeyError("as it happens")

    monkeypatch.setattr(Engine, "__init__", fail)
    before = descriptors()
    with pytest.raises((KeyError, trio.TrioInternalError)):
        enter(config)
    deadline = time.monotonic() + 5
    while descriptors() != before and time.monotonic() < deadline:  # those of threads that are ending, under Wine
        time.sleep(0.01)
    assert descriptors() == before
    assert _trio.current_runner() is None


def descriptors() -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0


# Runs on whatever is installed, after all modules of Trio and of this package were forgotten, as Trio's own tests do.
FORGETFUL = """
import sys
import trio, trio_rio

trio_rio.install(trio_rio.RioConfig(provider=sys.argv[1]))

async def main():
    async def echo(stream):
        await stream.send_all(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            await stream.send_all(b"hello")
            print((await stream.receive_some()).decode(), trio_rio.current_statistics().provider)
        nursery.cancel_scope.cancel()

trio.run(main)
for name in [name for name in sys.modules if name.startswith("trio")]:
    del sys.modules[name]
trio.run(main)
"""


def test_a_later_run_is_served_by_what_was_imported_at_first(rio_provider: str) -> None:
    """Modules that are forgotten between two runs of an installed process are not imported a second time."""
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL, rio_provider], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["hello", rio_provider] * 2, done.stderr

"""The ways in and out: run, install, uninstall, and what they refuse."""

from __future__ import annotations

import functools
import logging
import queue
import re
from collections.abc import Iterator
from typing import Any

import pytest
import trio

import trio_rio
from trio_rio import _trio
from trio_rio._engine.fields import native

from ..platforms import FOREIGN_PROVIDER


@pytest.fixture
def restored() -> Iterator[None]:
    """Whatever the test installs is gone afterwards."""
    yield
    trio_rio.uninstall()
    assert _trio.RUN_MODULE.TheIOManager is _trio.StockIOManager
    assert _trio.SOCKET_MODULE._SocketType is _trio.StockSocketType


async def provider_in_use() -> str:
    return trio_rio.current_statistics().provider


def test_install_serves_every_later_run(rio_provider: str, restored: None) -> None:
    """After install(), trio.run is on trio_rio; after uninstall(), it is Trio's own again."""
    trio_rio.install(trio_rio.RioConfig(provider=rio_provider))
    assert trio.run(provider_in_use) == rio_provider
    trio_rio.uninstall()
    with pytest.raises(trio_rio.RioError, match=r"start it with trio_rio.run\(\)"):
        trio.run(provider_in_use)


def test_what_is_installed_is_a_class(rio_provider: str, restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes a method of Trio's manager, by the name that Trio has for it, changes it in every later run."""
    trio_rio.install(trio_rio.RioConfig(provider=rio_provider))
    manager = _trio.RUN_MODULE.TheIOManager
    get_events, called = manager.get_events, []

    def note(self: object, timeout: float) -> object:
        called.append(timeout)
        return get_events(self, timeout)

    monkeypatch.setattr(manager, "get_events", note)
    assert trio.run(provider_in_use) == rio_provider
    assert called


def test_a_run_in_an_installed_process_has_one_manager(
    rio_provider: str, restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What run() and start_guest_run() have made is all that is made; the next trio.run is served as ever."""
    made: list[object] = []
    make = trio_rio._run._make_manager

    def make_and_note(*args: Any) -> Any:
        made.append(make(*args))
        return made[-1]

    monkeypatch.setattr(trio_rio._run, "_make_manager", make_and_note)
    config = trio_rio.RioConfig(provider=rio_provider)
    trio_rio.install(config)
    assert trio_rio.run(provider_in_use, config=config) == rio_provider
    assert len(made) == 1
    assert trio.run(provider_in_use) == rio_provider
    assert len(made) == 2
    ticks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    ended: list[Any] = []
    trio_rio.start_guest_run(
        provider_in_use, done_callback=ended.append, run_sync_soon_threadsafe=ticks.put, config=config
    )
    assert len(made) == 3
    while not ended:
        ticks.get(timeout=10)()
    assert ended[0].unwrap() == rio_provider
    assert len(made) == 3
    assert trio.run(provider_in_use) == rio_provider
    assert len(made) == 4


def test_the_same_installation_twice_is_allowed(rio_provider: str, restored: None) -> None:
    """A second install() of the same configuration changes nothing; one uninstall() ends both."""
    trio_rio.install(trio_rio.RioConfig(provider=rio_provider))
    manager = _trio.RUN_MODULE.TheIOManager
    trio_rio.install(trio_rio.RioConfig(provider=rio_provider))
    assert _trio.RUN_MODULE.TheIOManager is manager
    assert trio.run(provider_in_use) == rio_provider


def test_a_provider_by_name_and_by_the_environment_are_the_same(
    restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TRIO_RIO_PROVIDER demands and what RioConfig demands is compared, not who demands it."""
    trio_rio.install(trio_rio.RioConfig(provider="portable"))
    monkeypatch.setenv("TRIO_RIO_PROVIDER", "portable")
    trio_rio.install()
    assert trio.run(provider_in_use) == "portable"


@pytest.mark.parametrize(
    ("options", "shown"),
    [({}, "RioConfig()"), ({"provider": "portable", "read_ahead": 2}, "RioConfig(provider='portable', read_ahead=2)")],
)
def test_another_installation_is_refused(
    restored: None, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], shown: str
) -> None:
    """install() with another configuration names both and says what to do; the first stays in force."""
    monkeypatch.delenv("TRIO_RIO_PROVIDER", raising=False)
    trio_rio.install(trio_rio.RioConfig(provider="portable"))
    with pytest.raises(trio_rio.RioError) as caught:
        trio_rio.install(trio_rio.RioConfig(**options))
    said = str(caught.value)
    assert "installed already with RioConfig(provider='portable')" in said
    assert shown in said
    assert "uninstall()" in said
    assert trio.run(provider_in_use) == "portable"


def test_a_provider_of_the_environment_is_said_with_what_is_installed(
    restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two installations differ in TRIO_RIO_PROVIDER only, the error says which value each was made with."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", "portable")
    trio_rio.install()
    monkeypatch.setenv("TRIO_RIO_PROVIDER", FOREIGN_PROVIDER)
    with pytest.raises(trio_rio.RioError) as caught:
        trio_rio.install()
    for provider in ("portable", FOREIGN_PROVIDER):
        assert f"RioConfig() where TRIO_RIO_PROVIDER={provider} is set" in str(caught.value)


def test_uninstall_twice_is_allowed() -> None:
    """uninstall() without install() does nothing."""
    trio_rio.uninstall()
    trio_rio.uninstall()


def test_run_inside_an_installed_process_keeps_its_own_config(rio_provider: str, restored: None) -> None:
    """run() with a config of its own is not changed by install()."""
    trio_rio.install(trio_rio.RioConfig(provider="portable"))
    config = trio_rio.RioConfig(provider=rio_provider)
    assert trio_rio.run(provider_in_use, config=config) == rio_provider


def test_a_run_inside_a_run_is_refused(rio_provider: str) -> None:
    """trio_rio.run() inside a run raises as trio.run() does, and leaves no descriptor behind."""
    config = trio_rio.RioConfig(provider=rio_provider)

    async def main() -> None:
        with pytest.raises(RuntimeError, match="from inside"):
            trio_rio.run(provider_in_use, config=config)

    trio_rio.run(main, config=config)


def test_wrong_arguments_are_refused_as_trio_refuses_them(rio_provider: str) -> None:
    """What trio.run() says to wrong arguments, trio_rio.run() says too."""
    config = trio_rio.RioConfig(provider=rio_provider)

    def not_async() -> None: ...

    with pytest.raises(TypeError) as ours:
        trio_rio.run(not_async, config=config)  # type: ignore[arg-type]
    with pytest.raises(TypeError) as stock:
        trio.run(not_async)  # type: ignore[arg-type]
    assert str(ours.value) == str(stock.value)
    with pytest.raises(TypeError, match="no_such_option"):
        trio_rio.run(provider_in_use, config=config, no_such_option=1)  # type: ignore[call-arg]


def test_a_guest_run_that_cannot_start_leaves_nothing(rio_provider: str) -> None:
    """start_guest_run() with an argument that Trio does not know raises, and gives back what it has bound and made."""
    with pytest.raises(TypeError, match="no_such_argument"):
        trio_rio.start_guest_run(  # type: ignore[call-arg]
            provider_in_use,
            done_callback=lambda _: None,
            run_sync_soon_threadsafe=lambda _: None,
            config=trio_rio.RioConfig(provider=rio_provider),
            no_such_argument=1,
        )
    assert _trio.SOCKET_MODULE._SocketType is _trio.StockSocketType


def test_instruments_and_clock_of_the_program_are_used(rio_provider: str) -> None:
    """Keyword arguments of trio.run go through; an instrument sees the whole run."""
    seen: list[str] = []

    class Witness(trio.abc.Instrument):
        def before_run(self) -> None:
            seen.append("before")

        def after_run(self) -> None:
            seen.append("after")

    clock = trio.testing.MockClock(autojump_threshold=0)
    config = trio_rio.RioConfig(provider=rio_provider)
    trio_rio.run(functools.partial(trio.sleep, 1000), config=config, clock=clock, instruments=[Witness()])
    assert seen == ["before", "after"]


def test_a_demanded_provider_that_cannot_serve_starts_nothing() -> None:
    """run() and install() raise RioUnavailableError with reason and remedy, and change nothing."""
    config = trio_rio.RioConfig(provider=FOREIGN_PROVIDER)
    for enter in (functools.partial(trio_rio.run, provider_in_use), trio_rio.install):
        with pytest.raises(trio_rio.RioUnavailableError, match="Remedy") as caught:
            enter(config=config)
        assert caught.value.provider == FOREIGN_PROVIDER
    assert _trio.RUN_MODULE.TheIOManager is _trio.StockIOManager


def test_sockets_are_trios_own_outside_of_runs(rio_provider: str) -> None:
    """The socket class is bound while a run is under way, and given back after it, also after an error."""

    async def main() -> None:
        assert _trio.SOCKET_MODULE._SocketType is not _trio.StockSocketType
        raise KeyError("as it happens")

    with pytest.raises(KeyError):
        trio_rio.run(main, config=trio_rio.RioConfig(provider=rio_provider))
    assert _trio.SOCKET_MODULE._SocketType is _trio.StockSocketType


def test_statistics_outside_of_a_run_say_what_to_do() -> None:
    """current_statistics() without a run raises RioError."""
    with pytest.raises(trio_rio.RioError, match=r"trio_rio\.run"):
        trio_rio.current_statistics()


def test_the_log_says_what_serves(
    rio_provider: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run of a process that a provider serves says so in the log, in one line; later ones do not."""
    monkeypatch.setattr(trio_rio._run, "_first_runs", set())  # what it says once in a process
    caplog.set_level(logging.INFO, "trio_rio")
    config = trio_rio.RioConfig(provider=rio_provider)
    for _ in range(2):
        trio_rio.run(provider_in_use, config=config)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    manager = trio_rio._run._manager_class(rio_provider).__name__
    engine = "C" if native is not None and rio_provider == "uring" else r"Python \(.*\)"
    expected = (
        f"provider '{rio_provider}', engine in {engine} on {manager}, because provider='{rio_provider}' was asked"
    )
    assert re.search(expected, said)


def test_the_log_says_why_the_engine_is_in_python(
    rio_provider: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the engine in Python serves, the line has the reason; another engine is another line."""
    monkeypatch.setattr(trio_rio._run, "_first_runs", set())
    caplog.set_level(logging.INFO, "trio_rio")
    for _ in range(2):
        trio_rio.run(provider_in_use, config=trio_rio.RioConfig(provider=rio_provider, engine="python"))
    monkeypatch.setenv("TRIO_RIO_ENGINE", "python")
    trio_rio.run(provider_in_use, config=trio_rio.RioConfig(provider=rio_provider))
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(said) == 2
    assert "engine in Python (engine='python' was asked for) on " in said[0]
    assert "engine in Python (TRIO_RIO_ENGINE=python) on " in said[1]

"""What every test gets: async tests run on the backend, once on each provider, and each test leaves nothing behind.

An ``async def test_*`` runs in :func:`trio_rio.run`. Its fixtures arrive as arguments; one that is a clock or an
instrument (``autojump_clock``, ``mock_clock``) goes to the run as well. A sync test that names ``rio_provider`` or
``rio_run`` is repeated for each provider too; all other sync tests are left alone.

``TRIO_RIO_PROVIDER`` restricts the suite to one provider, and then that provider must serve. Without it a
provider that cannot serve here is skipped with the reason that the probe gives. ``TRIO_RIO_TEST_NOTIFICATION``
("event", "polled") collects completions in that way wherever a test does not ask for one.
"""

from __future__ import annotations

import collections
import functools
import gc
import inspect
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Protocol, TypeVar

import hypothesis
import pytest
import trio
from trio.testing import MockClock

import trio_rio
import trio_rio._sockets.socket
import trio_rio.testing

PROVIDERS = ("winsock" if sys.platform == "win32" else "uring", "portable")
FORCED = os.environ.get("TRIO_RIO_PROVIDER")

# How the runs of tests that do not say so themselves collect completions.
NOTIFICATION = os.environ.get("TRIO_RIO_TEST_NOTIFICATION")

T = TypeVar("T")

# How long one example takes says more about the machine than about the code; pytest-timeout catches a hang.
hypothesis.settings.register_profile("trio_rio", deadline=None)
hypothesis.settings.load_profile("trio_rio")

# A shell lets what it starts in the background ignore Ctrl-C, and the programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What runs on stock Trio here, and what is compared with it, must do so in a shell that has the switch set, too.
os.environ.pop("TRIO_RIO_INSTALL", None)
trio_rio.uninstall()


class RioRun(Protocol):
    """:func:`trio_rio.run` with the provider of this test and the options of its ``rio_config`` mark."""

    def __call__(self, async_fn: Callable[..., Awaitable[T]], *args: object, **kwargs: Any) -> T: ...


# ----------------------------------------------------------------------------------------------------------
# Providers
# ----------------------------------------------------------------------------------------------------------


@functools.cache
def refusals() -> dict[str, str]:
    """Why each provider that cannot serve here cannot."""
    return {item.name: item.reason for item in trio_rio.probe().providers if not item.is_available}


@pytest.fixture(scope="module")
def rio_provider(request: pytest.FixtureRequest) -> str:
    """The name of the provider that this test runs on."""
    name: str = request.param
    if FORCED is None and name in refusals():
        pytest.skip(f"provider {name} cannot serve here: {refusals()[name]}")
    return name


@pytest.fixture
def rio_run(request: pytest.FixtureRequest, rio_provider: str) -> RioRun:
    """Run an async function on the provider of this test, for sync tests."""
    return make_run(request.node, rio_provider)


def make_run(item: pytest.Item, provider: str) -> RioRun:
    options: dict[str, Any] = {} if NOTIFICATION is None else {"notification": NOTIFICATION}
    for mark in reversed(list(item.iter_markers("rio_config"))):
        options.update(mark.kwargs)  # the closest last
    if "busy_poll_seconds" in options and options.get("notification") == "polled":
        pytest.skip("a run that polls always has no time for which it polls")
    config = trio_rio.RioConfig(provider=provider, **options)
    return functools.partial(trio_rio.run, config=config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what uses ``rio_provider`` for each provider that the test and the environment allow."""
    if "rio_provider" not in metafunc.fixturenames:
        return
    mark = metafunc.definition.get_closest_marker("providers")
    wanted = mark.args if mark else PROVIDERS
    allowed = [name for name in wanted if FORCED in (None, name)]
    metafunc.parametrize(
        "rio_provider",
        allowed or [pytest.param(wanted[0], marks=pytest.mark.skip(f"TRIO_RIO_PROVIDER={FORCED}"))],
        indirect=True,
        scope="module",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, with the reason, what asks Windows to cancel one request; mark what names its provider."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "rio_provider" in callspec.params:
            item.add_marker("names_provider")
        values = callspec.params.values() if callspec is not None else ()
        if "winsock" in values and "request" in values:
            item.add_marker(pytest.mark.skip("winsock cancels no single request: a cancelled receive is detached"))


# ----------------------------------------------------------------------------------------------------------
# Async tests
# ----------------------------------------------------------------------------------------------------------


def async_function_of(obj: object) -> Callable[..., Awaitable[object]] | None:
    """The coroutine function of an async test, also of one under ``hypothesis.given``."""
    inner = getattr(getattr(obj, "hypothesis", None), "inner_test", obj)
    return inner if inspect.iscoroutinefunction(inner) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Make each async test use ``rio_provider``, so that it is repeated for each provider."""
    if isinstance(collector, (pytest.Module, pytest.Class)) and collector.istestfunction(obj, name):
        function = getattr(obj, "__func__", obj)
        if async_function_of(function) is not None:
            pytest.mark.usefixtures("rio_provider")(function)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on its provider."""
    async_function = async_function_of(pyfuncitem.obj)
    if async_function is None:
        return None
    fixtures = pyfuncitem.funcargs
    run = make_run(pyfuncitem, str(fixtures["rio_provider"]))

    def run_test(*args: object, **kwargs: object) -> None:
        clocks = [value for value in kwargs.values() if isinstance(value, trio.abc.Clock)]
        assert len(clocks) < 2, "too many clocks spoil the broth"
        run(
            functools.partial(async_function, *args, **kwargs),
            clock=clocks[0] if clocks else None,
            instruments=[value for value in kwargs.values() if isinstance(value, trio.abc.Instrument)],
        )

    arguments = {name: fixtures[name] for name in pyfuncitem._fixtureinfo.argnames}
    if async_function is not pyfuncitem.obj and hasattr(pyfuncitem.obj, "hypothesis"):
        pyfuncitem.obj.hypothesis.inner_test = run_test
        pyfuncitem.obj(**arguments)
    else:
        run_test(**arguments)
    return True


@pytest.fixture
def mock_clock() -> MockClock:
    """A clock that the test moves by hand."""
    return MockClock()


@pytest.fixture
def autojump_clock() -> MockClock:
    """A clock that jumps to the next deadline whenever all tasks wait."""
    return MockClock(autojump_threshold=0)


# ----------------------------------------------------------------------------------------------------------
# The ledger: what a test has taken, it has given back
# ----------------------------------------------------------------------------------------------------------


def open_descriptors() -> dict[int, str]:
    """What each open descriptor of this process is; empty where there is no /proc, as on Windows.

    (Wine shows the /proc of the machine, without links to read.)
    """
    descriptors: dict[int, str] = {}
    if sys.platform == "win32":
        return descriptors
    try:
        names = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return {}
    for name in names:
        try:
            descriptors[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
    return descriptors


def running_threads() -> set[threading.Thread]:
    """Threads apart from those that Trio keeps for a while for the next ``to_thread`` call."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")}


def differences(descriptors: dict[int, str], threads: set[threading.Thread]) -> list[str]:
    """What there is now and was not before."""
    now = open_descriptors()
    opened = [f"descriptor {fd}: {what}" for fd, what in now.items() if descriptors.get(fd) != what]
    return opened + [f"thread {thread.name}" for thread in running_threads() - threads]


@pytest.fixture(autouse=True)
def first_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RIO serve the sockets that tests have names for, though they could close them so.

    See :mod:`trio_rio._sockets.sole`.
    """
    if request.node.get_closest_marker("first_names") is None:
        monkeypatch.setattr(trio_rio._sockets.socket, "is_sole", lambda _: True)


@pytest.fixture(autouse=True)
def first_calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RIO serve streams from their first call on, though most connections do without.

    See :mod:`trio_rio._sockets.own_way`.
    """
    if request.node.get_closest_marker("first_calls") is None:
        monkeypatch.setattr(trio_rio._sockets.socket.RioSocket, "_first_calls", 0)


@pytest.fixture(autouse=True)
def ledger(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a descriptor, a thread, or a request, lease or credit of the engine behind.

    The books of each run that ended are checked, those of runs in threads too (:mod:`trio_rio.testing`).
    A ResourceWarning or an exception in a finaliser fails the test through pytest's own hooks, because
    warnings are errors. Memory is collected only when there is a difference, which keeps this cheap.
    """
    if request.node.get_closest_marker("no_ledger") is not None:
        yield
        return
    descriptors, threads = open_descriptors(), running_threads()
    with trio_rio.testing.ledgers_of_runs() as ledgers:
        yield
    if differences(descriptors, threads):
        gc.collect()
        for thread in running_threads() - threads:
            thread.join(1)
    left = differences(descriptors, threads)
    assert not left, "left behind: " + "; ".join(left)
    for books in ledgers:
        books.assert_balanced()


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """Let what a module dropped in reference cycles complain in that module.

    What is there before and after it, such as what pytest knows of all tests, stays until the end: no collection
    looks at that again. In the middle of thousands of tests it took most of the time of those that collect.
    """
    gc.freeze()
    yield
    gc.collect()


# ----------------------------------------------------------------------------------------------------------
# Coverage
# ----------------------------------------------------------------------------------------------------------

# So many runs of a test on each provider are measured. The later ones have other ways and sizes, and few new lines; if
# every line of them is looked at, the suite takes half as long again.
RUNS_MEASURED = 3
_runs_measured: collections.Counter[tuple[str, object]] = collections.Counter()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where coverage is measured, by COVERAGE_PROCESS_START, let the later runs of a test do without."""
    callspec = getattr(item, "callspec", None)
    run = item.nodeid.partition("[")[0], callspec and callspec.params.get("rio_provider")
    _runs_measured[run] += 1
    coverage = sys.modules.get("coverage")
    measured = coverage.Coverage.current() if coverage and _runs_measured[run] > RUNS_MEASURED else None
    if measured is None:
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()

"""How trio_rio gets into Trio, and out again.

Facts. ``trio.run`` makes its I/O manager from a module global, but uses ``runner.io_manager`` at every step; an
instrument's ``before_run`` is called before the first. The socket class is a module global too. Several threads
may be inside ``trio.run`` at once, with and without trio_rio.

Consequence. A run of its own can be given a manager without touching anything global. The socket class must be
bound while such a run is under way; it behaves like Trio's own in every other run.

Decision. :func:`run` and :func:`start_guest_run` make the manager first (so that an error is raised before
anything has started), and put it in by an instrument. The socket class is bound as long as any run or
:func:`install` wants it. :func:`install` binds a class that chooses for every later run of the process. The provider
that was chosen is the one that the run gets, since the next one may be refused."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Required, TypedDict, TypeVar, TypeVarTuple, Unpack

import attrs
import outcome
import trio

from . import _trio
from ._config import RioConfig, checked_config
from ._engine.current import engine_of_run
from ._errors import RioCallError, RioError, RioUnavailableError
from ._looking.switches import look_at
from ._managers.forked import leave_to_parent
from ._managers.plain import PlainIOManager
from ._managers.readiness import ReadinessIOManager
from ._sockets.socket import SocketOfRun
from ._sockets.stdlib_socket import SocketModule
from .rio.chooser import Forced, choose_provider, forced_provider, is_news

if TYPE_CHECKING:
    from ._statistics import RioStatistics

T = TypeVar("T")
PosArgsT = TypeVarTuple("PosArgsT")

_log = logging.getLogger("trio_rio")

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leave_to_parent)

#: Set to 1, it makes an interpreter install (``_trio_rio_switch.py``), and so the children that inherit it.
INSTALL_VARIABLE = "TRIO_RIO_INSTALL"

_SMALLER = "free memory, or ask for smaller queues in RioConfig"


# -- choosing a manager ------------------------------------------------------------------------------------


@functools.cache  # imported once, as the providers
def _manager_class(kind: str) -> type[Any]:
    if kind == "portable":
        return ReadinessIOManager
    if kind == "plain":
        return PlainIOManager
    if kind == "uring":
        from ._managers.uring import UringIOManager

        return UringIOManager
    if kind == "winsock":
        from ._managers import windows

        windows_manager: type[Any] = windows.WindowsRioManager  # type: ignore[attr-defined,unused-ignore]
        return windows_manager
    raise AssertionError(kind)


def _kind_of_manager(provider: str, forced: Forced) -> str:
    """The name that :func:`_manager_class` has for the manager of a run with this provider."""
    return "plain" if provider == "portable" and forced is None else provider


def _make_manager(config: RioConfig, forced: Forced, class_of: Callable[[str], type[Any]] = _manager_class) -> Any:
    """Make the manager of a new run, of the best provider that can serve; the log says which could not.

    ``class_of`` gives the class for a kind of manager.

    Raises:
      RioUnavailableError: the provider that is demanded cannot serve.
    """
    refusals: tuple[RioUnavailableError, ...] = ()
    while True:
        choice = choose_provider(forced, refusals)
        name = choice.provider.name
        kind = _kind_of_manager(name, forced)
        try:
            manager = class_of(kind)(config, choice.because, choice.provider)
        except BaseException as error:
            choice.provider.close()
            if not isinstance(error, RioCallError) or name == "portable":
                raise
            refusal = RioUnavailableError(name, f"it cannot serve a run: {error}", _SMALLER)
            if forced is not None:
                raise refusal from error
            refusals = (*choice.refusals, refusal)
        else:
            _log_refusals(kind, choice.refusals)
            _log_first_run(manager, name, choice.because)
            look_at(manager)
            return manager


@functools.cache
def _warn_once(provider: str, reason: str, remedy: str) -> None:
    _log.warning(
        "sockets go Trio's own way, at its cost: provider %r is not available: %s. Remedy: %s",
        provider, reason, remedy,
    )  # fmt: skip


# What was said: provider, engine, I/O manager and process, since a forked child inherits this.
_first_runs: set[tuple[str, str, str, int]] = set()


def _log_first_run(manager: Any, provider: str, because: str) -> None:
    """Say in the log what serves, once in a process for each provider, engine and manager."""
    why_python: str | None = manager.engine.why_python
    engine = "C" if why_python is None else f"Python ({why_python})"
    key = provider, engine, type(manager).__name__, os.getpid()
    if key not in _first_runs:
        _first_runs.add(key)
        _log.info("runs are served by provider %r, engine in %s on %s, because %s", *key[:3], because)


def _log_refusals(kind: str, refusals: tuple[RioUnavailableError, ...]) -> None:
    """Say in the log which better providers could not serve."""
    for refusal in filter(is_news, refusals):
        if kind == "plain":
            _warn_once(refusal.provider, refusal.reason, refusal.remedy)
        else:
            _log.info(
                "provider %r serves: %r is not available: %s. Remedy: %s",
                kind, refusal.provider, refusal.reason, refusal.remedy,
            )  # fmt: skip


# -- the socket class --------------------------------------------------------------------------------------


@attrs.frozen
class Installation:
    """What :func:`install` was asked for: the options, and the provider that is demanded, by whomever."""

    config: RioConfig
    forced: Forced

    def is_same(self, other: Installation) -> bool:
        """Whether runs would be the same; it makes no difference who demands the provider."""
        return self._outcome() == other._outcome()

    def _outcome(self) -> tuple[RioConfig, str | None]:
        return attrs.evolve(self.config, provider=None), None if self.forced is None else self.forced[0]

    def __str__(self) -> str:
        options = [
            f"{field.name}={value!r}"
            for field in attrs.fields(RioConfig)
            if (value := getattr(self.config, field.name)) != field.default
        ]
        by_environment = f" where {self.forced[1]}" if self.forced is not None and self.config.provider is None else ""
        return f"RioConfig({', '.join(options)}){by_environment}"


@attrs.define(eq=False)
class _Binding:
    """The only state of the process: what is installed, and how many runs want Trio's two module globals bound."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    wishes: int = 0
    installed: Installation | None = None

    def bind_sockets(self) -> None:
        with self.lock:
            self.wishes += 1
            _trio.SOCKET_MODULE._SocketType = SocketOfRun
            if sys.platform == "win32":  # where a socket must be made for RIO
                _trio.SOCKET_MODULE._stdlib_socket = SocketModule()

    def release_sockets(self) -> None:
        with self.lock:
            self.wishes -= 1
            if not self.wishes:
                _trio.SOCKET_MODULE._SocketType = _trio.StockSocketType
                _trio.SOCKET_MODULE._stdlib_socket = socket

    def is_installed_as(self, wanted: Installation) -> bool:
        """Whether this is installed already; RioError if something else is."""
        if self.installed is None:
            return False
        if not self.installed.is_same(wanted):
            raise RioError(
                f"trio_rio is installed already with {self.installed}, and install() was called with {wanted}: leave "
                "out one of the two, or call trio_rio.uninstall() between them (`python -m trio_rio run`, the pytest "
                "plugin and TRIO_RIO_INSTALL=1 install too)"
            )
        return True


_binding = _Binding()


# -- one run -----------------------------------------------------------------------------------------------


class _Begun(threading.local):
    """Whether a run of this thread, which has its manager, is about to have Trio make one, to be replaced at once."""

    has_manager = False


_begun = _Begun()


@attrs.define(eq=False)
class _Replacement(trio.abc.Instrument):
    """An instrument that replaces the manager of its run, before the first step."""

    manager: Any
    is_used: bool = False

    def before_run(self) -> None:
        runner: Any = _trio.current_runner()
        stock, runner.io_manager = runner.io_manager, self.manager
        stock.close()
        self.is_used = True
        _begun.has_manager = False
        runner.instruments.remove_instrument(self)


class RunOptions(TypedDict, total=False):
    """What :func:`trio.run` takes by name; handed on as given, so that defaults and new names are Trio's."""

    clock: trio.abc.Clock | None
    instruments: Sequence[trio.abc.Instrument]
    restrict_keyboard_interrupt_to_checkpoints: bool
    strict_exception_groups: bool


class GuestRunOptions(RunOptions, total=False):
    """What :func:`trio.lowlevel.start_guest_run` takes by name, but for ``done_callback``."""

    run_sync_soon_threadsafe: Required[Callable[[Callable[[], object]], object]]
    run_sync_soon_not_threadsafe: Callable[[Callable[[], object]], object] | None
    host_uses_signal_set_wakeup_fd: bool


def run(
    async_fn: Callable[[*PosArgsT], Awaitable[T]],
    *args: *PosArgsT,
    config: RioConfig | None = None,
    **kwargs: Unpack[RunOptions],
) -> T:
    """Run a Trio program on completion queues; otherwise exactly as :func:`trio.run`.

    Args:
      async_fn: the main async function.
      args: its positional arguments.
      config: options of the run; ``None`` for the defaults.
      kwargs: as for :func:`trio.run` (``clock``, ``instruments``, ...).

    Raises:
      RioUnavailableError: the provider that was demanded cannot serve; nothing was started.
      RioError: the engine that was demanded is not there, or TRIO_RIO_ENGINE names none; nothing was started.
      TypeError: ``config`` is no RioConfig; nothing was started.
      ValueError: TRIO_RIO_PROVIDER names no provider; nothing was started.

    Also raises everything that :func:`trio.run` and ``async_fn`` raise.
    """
    with _replacement_in_place(config) as replacement:
        kwargs["instruments"] = [replacement, *kwargs.get("instruments", ())]
        return trio.run(async_fn, *args, **kwargs)


def _manager_of_run(config: RioConfig | None) -> Any:
    if _trio.current_runner() is not None:
        raise RuntimeError("Attempted to call run() from inside a run()")
    config = checked_config(config)
    return _make_manager(config, forced_provider(config.provider))


@contextlib.contextmanager
def _replacement_in_place(config: RioConfig | None) -> Iterator[_Replacement]:
    replacement = _Replacement(_manager_of_run(config))
    _binding.bind_sockets()
    _begun.has_manager = True
    try:
        yield replacement
    finally:
        _begun.has_manager = False
        _binding.release_sockets()
        if not replacement.is_used:  # the run did not start
            replacement.manager.close()


def start_guest_run(
    async_fn: Callable[[*PosArgsT], Awaitable[T]],
    *args: *PosArgsT,
    done_callback: Callable[[outcome.Outcome[T]], object],
    config: RioConfig | None = None,
    **kwargs: Unpack[GuestRunOptions],
) -> None:
    """Start a run inside another event loop; otherwise exactly as :func:`trio.lowlevel.start_guest_run`.

    Arguments and errors as for that function and for :func:`run`.
    """
    ending = contextlib.ExitStack()
    replacement = ending.enter_context(_replacement_in_place(config))

    def done(result: Any) -> None:
        ending.close()
        done_callback(result)

    try:
        kwargs["instruments"] = [replacement, *kwargs.get("instruments", ())]
        trio.lowlevel.start_guest_run(async_fn, *args, done_callback=done, **kwargs)
    except BaseException:
        ending.close()
        raise
    finally:
        _begun.has_manager = False


# -- every run ---------------------------------------------------------------------------------------------


class _Installed(type):
    """The metaclass of what Trio calls to make a manager: each run chooses anew, since resources may be used up.

    Trio calls the class without arguments. It derives from the manager of the first choice, since programs patch it. A
    run that :func:`run` has begun has a manager already: what Trio makes for it is Trio's own, which is closed unused.
    """

    installed_with: tuple[RioConfig, Forced]
    first_choice: str

    def __call__(cls, *args: Any) -> Any:
        if args:
            return super().__call__(*args)
        return _trio.StockIOManager() if _begun.has_manager else _make_manager(*cls.installed_with, cls._class_of)

    def _class_of(cls, kind: str) -> type[Any]:
        return cls if kind == cls.first_choice else _manager_class(kind)


def install(config: RioConfig | None = None) -> None:
    """Make every later ``trio.run`` of this process run on trio_rio, until :func:`uninstall`.

    The same configuration may be installed any number of times; one :func:`uninstall` ends it.

    Args:
      config: options of those runs; ``None`` for the defaults.

    Raises:
      RioUnavailableError: the provider that was demanded cannot serve; nothing was changed.
      RioError: it is installed already with another configuration, which stays in force.
    """
    config = checked_config(config)
    wanted = Installation(config, forced_provider(config.provider))
    if _binding.is_installed_as(wanted):
        return
    provider = choose_provider(wanted.forced).provider
    provider.close()
    kind = _kind_of_manager(provider.name, wanted.forced)
    manager_class = _manager_class(kind)
    bound = _Installed(manager_class.__name__, (manager_class,), {})
    bound.installed_with, bound.first_choice = (config, wanted.forced), kind
    with _binding.lock:
        if _binding.is_installed_as(wanted):  # by another thread meanwhile
            return
        _binding.installed = wanted
        _trio.RUN_MODULE.TheIOManager = bound
    _binding.bind_sockets()


def uninstall() -> None:
    """Give Trio back what :func:`install` replaced. Runs under way go on as they are. Twice is allowed."""
    with _binding.lock:
        if _binding.installed is None:
            return
        _binding.installed = None
        _trio.RUN_MODULE.TheIOManager = _trio.StockIOManager
    _binding.release_sockets()


def installed_config() -> RioConfig | None:
    """The options that are installed; ``None`` where nothing is."""
    installed = _binding.installed
    return None if installed is None else installed.config


def current_statistics() -> RioStatistics:
    """A snapshot of the run of this thread.

    Raises:
      RioError: there is none, or it is not on trio_rio.
    """
    return engine_of_run().statistics()

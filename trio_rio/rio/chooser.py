"""Which provider serves here, and why.

Facts. Whether a provider works cannot be read off a version: containers refuse system calls, anti-virus layers let the
RIO table through and fail later. Every refusal has a cause that can be mended. What one ring has needed may not be
there for the next: the kernel gives locked memory back late, and other threads take it.

Decision. Probe by doing: make the provider, and have it send to itself (:mod:`.trial`). The caller gets that very
provider. That it has moved bytes is remembered in the process, so that only the first choice pays for it; whether
another one can be made decides each time. A refusal that took its full time is remembered too, but for callers that
demand the provider. Keep the reason and the remedy of each refusal. The environment variable TRIO_RIO_PROVIDER, or an
explicit name, forces one; then a refusal is an error. Where none is forced there is no such error: ``portable`` is
plain sockets, and is taken untried when all others are refused.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, get_args

import attrs

from .api import Provider, ProviderName
from .errors import RioUnavailableError
from .portable.provider import PortableProvider
from .trial import NothingCameError, move_bytes

ENVIRONMENT_VARIABLE = "TRIO_RIO_PROVIDER"

#: The provider that is demanded, and by whom.
Forced: TypeAlias = "tuple[ProviderName, str] | None"


@attrs.frozen
class Feature:
    """Something that a provider uses if the system has it."""

    #: What it is called.
    name: str
    #: Whether this system has it.
    is_available: bool
    #: The version of the system that brought it.
    since: str
    #: What the provider does with it.
    used_for: str


@attrs.frozen
class ProviderProbe:
    """What trying one provider showed."""

    #: The provider, "winsock", "uring" or "portable".
    name: str
    #: Whether it has moved bytes here.
    is_available: bool
    #: What was tried and what the system answered; empty when it is available.
    reason: str
    #: What to do about it; empty when it is available.
    remedy: str
    #: What it can use of this system; empty where there is nothing to choose.
    features: tuple[Feature, ...] = ()


@attrs.frozen
class ProbeReport:
    """What :func:`probe` found."""

    #: The provider that a run would use.
    chosen: str
    #: Why that one, in words.
    chosen_because: str
    #: What each provider said, in the order of preference.
    providers: tuple[ProviderProbe, ...]


@functools.cache
def _provider_class(name: str) -> type[Provider]:
    """Import a provider, once: programs, Trio's own tests among them, take modules out of ``sys.modules``."""
    module = importlib.import_module(f".{name}.provider", __package__)
    provider: type[Provider] = getattr(module, f"{name.capitalize()}Provider")
    return provider


def _open_winsock() -> Provider:
    if sys.platform != "win32":
        raise RioUnavailableError("winsock", "Registered I/O is Windows' own", "ask for another, or for no certain one")
    return _provider_class("winsock")()


def _open_uring() -> Provider:
    if not sys.platform.startswith("linux"):
        raise RioUnavailableError("uring", "io_uring is Linux' own", "ask for another, or for no certain one")
    return _provider_class("uring")()


# In the order of preference.
_OPENERS: Mapping[ProviderName, Callable[[], Provider]] = {
    "winsock": _open_winsock,
    "uring": _open_uring,
    "portable": PortableProvider,
}
_LAST: ProviderName = "portable"
# The platform of each provider: elsewhere its refusal is no news.
_PLATFORMS: Mapping[str, str] = {"winsock": "win32", "uring": "linux", "portable": ""}


def check_provider_name(name: str, source: str) -> ProviderName:
    """``name`` if it is one, else :class:`ValueError` that lists them; ``source`` says where it came from."""
    for known in get_args(ProviderName):
        if name == known:
            return known  # type: ignore[no-any-return]
    names = ", ".join(get_args(ProviderName))
    raise ValueError(f"{source}: there is no provider {name!r}; choose one of {names}")


def forced_provider(name: str | None) -> Forced:
    """The provider that is demanded, and by what: the argument, else the environment; ``None`` if by neither."""
    if name is not None:
        return check_provider_name(name, "provider"), f"provider={name!r} was asked for"
    wish = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish:
        return check_provider_name(wish, ENVIRONMENT_VARIABLE), f"{ENVIRONMENT_VARIABLE}={wish} is set"
    return None


def open_named(name: ProviderName) -> Provider:
    """A new provider of that name, or :class:`RioUnavailableError`."""
    return _OPENERS[name]()


# What this process remembers: providers that have moved bytes, and refusals that took their full time.
_tried: set[str] = set()
_silent: dict[str, NothingCameError] = {}


def _try_out(provider: Provider) -> None:
    """Have a provider move bytes; close it if it does not."""
    try:
        if move_bytes(provider):
            _tried.add(provider.name)
            _silent.pop(provider.name, None)
    except BaseException as error:
        if isinstance(error, NothingCameError):
            _silent[provider.name] = error
            provider.drain_seconds = 0.0
        provider.close()
        raise


def _open_and_try(name: ProviderName) -> Provider:
    provider = open_named(name)
    if name not in _tried:
        _try_out(provider)
    return provider


def _open_candidate(name: ProviderName) -> Provider:
    """Open a provider for a choice that is not forced."""
    known = _silent.get(name)
    if known is not None:
        raise RioUnavailableError(known.provider, known.reason, known.remedy)
    return open_named(name) if name == _LAST else _open_and_try(name)


def open_provider(name: str | None = None) -> Provider:
    """Make a provider; the caller closes it.

    Args:
      name: "winsock", "uring" or "portable"; ``None`` takes TRIO_RIO_PROVIDER, else the first of the
        first three that works.

    Raises:
      ValueError: no such name.
      RioUnavailableError: the provider that was demanded cannot serve here; says why and what to do.
    """
    return choose_provider(forced_provider(name)).provider


@attrs.frozen(eq=False)
class Choice:
    """An open provider that the caller closes, why it was chosen, and the refusals of those before it in the order."""

    provider: Provider
    because: str
    refusals: tuple[RioUnavailableError, ...] = ()


def choose_provider(forced: Forced, refusals: Sequence[RioUnavailableError] = ()) -> Choice:
    """As :func:`open_provider`, for what :func:`forced_provider` says.

    Args:
      forced: the provider that is demanded, and by whom.
      refusals: of providers that the caller has found unfit: another is chosen, if none is demanded.
    """
    if forced is not None:
        return Choice(_open_and_try(forced[0]), forced[1])
    refused = list(refusals)
    for candidate in _OPENERS:
        if any(refusal.provider == candidate for refusal in refusals):
            continue
        try:
            return Choice(_open_candidate(candidate), _because(refused, candidate), tuple(refused))
        except RioUnavailableError as error:
            refused.append(error)
    raise AssertionError("portable serves everywhere")


def is_news(refusal: RioUnavailableError) -> bool:
    """Whether a provider that this platform could have does not serve."""
    return sys.platform.startswith(_PLATFORMS[refusal.provider])


def _because(refusals: list[RioUnavailableError], chosen: str) -> str:
    news = [refusal for refusal in refusals if is_news(refusal)]
    reason = "it is the first choice on this platform, and works"
    if news:
        reason = "it works here, and " + "; ".join(f"{error.provider} does not: {error.reason}" for error in news)
    # For a run, which is what most choices are for; nobody has asked for it.
    return f"{reason}; the sockets of a run go Trio's own way, which costs less" if chosen == _LAST else reason


def _probe_one(name: ProviderName) -> ProviderProbe:
    try:
        provider = open_named(name)
        _try_out(provider)
    except RioUnavailableError as error:
        return ProviderProbe(name, False, error.reason, error.remedy)
    try:
        features = tuple(Feature(*feature) for feature in provider.features())
    finally:
        provider.close()
    return ProviderProbe(name, True, "", "", features)


def probe(name: str | None = None) -> ProbeReport:
    """Try every provider by having it send to itself, and say which one a run would use and why.

    Args:
      name: as for :func:`trio_rio.rio.open_provider`.

    Raises:
      ValueError: no such name, here or in TRIO_RIO_PROVIDER.
    """
    forced = forced_provider(name)
    providers = tuple(_probe_one(candidate) for candidate in _OPENERS)
    if forced is not None:
        return ProbeReport(*forced, providers)
    chosen = next((one for one in providers if one.is_available), providers[-1])  # as a choice takes the last one
    before = [RioUnavailableError(one.name, one.reason, one.remedy) for one in providers if not one.is_available]
    before = before[: [one.name for one in providers].index(chosen.name)]
    return ProbeReport(chosen.name, _because(before, chosen.name), providers)

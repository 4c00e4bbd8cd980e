"""Which provider serves here, and why.

Facts. Whether a provider works cannot be read off a version: containers refuse system calls, anti-virus layers let the
RIO table through and fail later. Every refusal has a cause that somebody can mend.

Decision. Probe by doing: make the provider, a completion queue, and a request queue for a real socket. Keep the reason
and the remedy of each refusal. The environment variable TRIO_RIO_PROVIDER, or an explicit name, forces one; then a
refusal is an error.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import get_args

import attrs

from .api import Provider, ProviderName
from .errors import RioCallError, RioUnavailableError

ENVIRONMENT_VARIABLE = "TRIO_RIO_PROVIDER"


@attrs.frozen
class Feature:
    """Something that a provider uses if the system has it; ``since`` says which system brought it."""

    name: str
    is_available: bool
    since: str
    used_for: str


@attrs.frozen
class ProviderProbe:
    """What trying one provider showed. ``reason`` and ``remedy`` are empty when it is available."""

    name: str
    is_available: bool
    reason: str
    remedy: str
    features: tuple[Feature, ...] = ()


@attrs.frozen
class ProbeReport:
    """What :func:`probe` found: the provider that a run would use, why, and what each one said."""

    chosen: str
    chosen_because: str
    providers: tuple[ProviderProbe, ...]


def _open_winsock() -> Provider:
    if sys.platform != "win32":
        raise RioUnavailableError("winsock", "Registered I/O is Windows' own", "none: other providers serve here")
    from .winsock import WinsockProvider

    return WinsockProvider()


def _open_uring() -> Provider:
    if not sys.platform.startswith("linux"):
        raise RioUnavailableError("uring", "io_uring is Linux' own", "none: other providers serve here")
    from .uring import UringProvider

    return UringProvider()


def _open_portable() -> Provider:
    from .portable import PortableProvider

    return PortableProvider()


def _open_simulated() -> Provider:
    raise RioUnavailableError("simulated", "it is for tests, and this version does not have it yet", "none needed")


# In the order of preference.
_OPENERS: Mapping[ProviderName, Callable[[], Provider]] = {
    "winsock": _open_winsock,
    "uring": _open_uring,
    "portable": _open_portable,
}
# Where each provider could serve at all: elsewhere its refusal is no news.
_PLATFORMS: Mapping[str, str] = {"winsock": "win32", "uring": "linux", "portable": ""}


def check_provider_name(name: str, source: str) -> ProviderName:
    """``name`` if it is one, else :class:`ValueError` that lists them; ``source`` says where it came from."""
    for known in get_args(ProviderName):
        if name == known:
            return known  # type: ignore[no-any-return]
    names = ", ".join(get_args(ProviderName))
    raise ValueError(f"{source}: there is no provider {name!r}; choose one of {names}")


def forced_provider(name: str | None) -> tuple[ProviderName, str] | None:
    """The provider that is demanded and by whom: the argument, else the environment, else nobody."""
    if name is not None:
        return check_provider_name(name, "provider"), f"provider={name!r} was asked for"
    wish = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if wish:
        return check_provider_name(wish, ENVIRONMENT_VARIABLE), f"{ENVIRONMENT_VARIABLE}={wish} is set"
    return None


def _try_out(provider: Provider) -> None:
    """Some systems hand out the function table and fail at the first queue."""
    with provider.make_socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            completion_queue = provider.create_completion_queue(2)
            queue = provider.create_request_queue(sock, 1, 1, 1, 1, completion_queue, completion_queue, 0)
        except RioCallError as error:
            reason = f"there is a RIO function table, but no queue can be made: {error}"
            remedy = "look for what filters the network here, such as a virus scanner; until then portable serves"
            raise RioUnavailableError(provider.name, reason, remedy) from error
        provider.close_socket(queue)
        provider.close_completion_queue(completion_queue)


def open_named(name: ProviderName) -> Provider:
    """A new provider of that name, or :class:`RioUnavailableError`."""
    return _open_simulated() if name == "simulated" else _OPENERS[name]()


def _open_and_try(name: ProviderName) -> Provider:
    provider = open_named(name)
    try:
        _try_out(provider)
    except BaseException:
        provider.close()
        raise
    return provider


def open_provider(name: str | None = None) -> Provider:
    """Make a provider; the caller closes it.

    Args:
      name: "winsock", "uring", "portable" or "simulated"; ``None`` takes TRIO_RIO_PROVIDER, else the first of the
        first three that works.

    Raises:
      ValueError: no such name.
      RioUnavailableError: the provider that was demanded cannot serve here; says why and what to do.
    """
    return choose_provider(name)[0]


def choose_provider(name: str | None = None) -> tuple[Provider, str, tuple[RioUnavailableError, ...]]:
    """As :func:`open_provider`; also says why that one, and what those before it in the order answered."""
    forced = forced_provider(name)
    if forced is not None:
        return _open_and_try(forced[0]), forced[1], ()
    refusals: list[RioUnavailableError] = []
    for candidate in _OPENERS:
        try:
            return _open_and_try(candidate), _because(refusals), tuple(refusals)
        except RioUnavailableError as error:
            refusals.append(error)
    raise AssertionError("portable serves everywhere")


def is_news(refusal: RioUnavailableError) -> bool:
    """Whether a provider that this platform could have does not serve."""
    return sys.platform.startswith(_PLATFORMS[refusal.provider])


def _because(refusals: list[RioUnavailableError]) -> str:
    news = [refusal for refusal in refusals if is_news(refusal)]
    if not news:
        return "it is the first choice on this platform, and works"
    return "it works here, and " + "; ".join(f"{error.provider} does not: {error.reason}" for error in news)


def _probe_one(name: ProviderName) -> ProviderProbe:
    try:
        provider = open_named(name)
        try:
            _try_out(provider)
            features = tuple(Feature(*feature) for feature in provider.features())
        finally:
            provider.close()
    except RioUnavailableError as error:
        return ProviderProbe(name, False, error.reason, error.remedy)
    return ProviderProbe(name, True, "", "", features)


def probe(name: str | None = None) -> ProbeReport:
    """Try every provider by making real queues, and say which one a run would use and why.

    Args:
      name: as for :func:`open_provider`.

    Raises:
      ValueError: no such name, here or in TRIO_RIO_PROVIDER.
    """
    forced = forced_provider(name)
    providers = tuple(_probe_one(candidate) for candidate in _OPENERS)
    if forced is not None:
        return ProbeReport(*forced, providers)
    chosen = next(one for one in providers if one.is_available)
    before = [RioUnavailableError(one.name, one.reason, one.remedy) for one in providers if not one.is_available]
    before = before[: [one.name for one in providers].index(chosen.name)]
    return ProbeReport(chosen.name, _because(before), providers)

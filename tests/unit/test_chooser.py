"""What the choice of a provider makes of one that does not move bytes, and what it remembers."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

import trio_rio
from trio_rio.rio import Provider, RioCallError, RioUnavailableError, Status, chooser, open_provider, trial as _trial

PATIENCE_SECONDS = 0.1


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was tried in this process, and nothing is forced; what never comes is not waited for long."""
    monkeypatch.setattr(chooser, "_tried", set())
    monkeypatch.setattr(chooser, "_silent", {})
    monkeypatch.setattr(_trial, "PATIENCE_SECONDS", PATIENCE_SECONDS)
    monkeypatch.delenv(chooser.ENVIRONMENT_VARIABLE, raising=False)


def replace_opener(monkeypatch: pytest.MonkeyPatch, name: str, open_it: Callable[[], Provider]) -> None:
    openers: dict[Any, Callable[[], Provider]] = dict(chooser._OPENERS)
    monkeypatch.setattr(chooser, "_OPENERS", {**openers, name: open_it})


@pytest.fixture
def opened(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Provider]]:
    """The providers that were opened under the name of this test's; all of them are closed again."""
    providers: list[Provider] = []
    open_it = chooser._OPENERS[rio_provider]  # type: ignore[index]

    def noted() -> Provider:
        providers.append(open_it())
        return providers[-1]

    replace_opener(monkeypatch, rio_provider, noted)
    yield providers
    for provider in providers:
        assert provider.outstanding() == 0 or provider.drain_seconds == 0


def refuse(function: str, code: Status, *_: object) -> NoReturn:
    raise RioCallError(function, code)


def refuse_provider(tried: list[str], provider: Provider) -> NoReturn:
    tried.append(provider.name)
    raise _trial.NothingCameError(provider.name, "nothing came", "wait")


def lose(*_: object) -> None:
    """Take a request, and do nothing."""


def dequeue_failures(dequeue: Callable[..., list[Any]], *args: Any) -> list[Any]:
    return [result._replace(status=int(Status.ENETDOWN)) for result in dequeue(*args)]


def lose_packets(make_port: Callable[[], Any]) -> Any:
    """A port whose wait does its work, and tells nobody."""
    port = make_port()
    wait = port.wait

    def wait_in_vain(timeout_seconds: float) -> list[int]:
        end = time.monotonic() + timeout_seconds
        while (left := end - time.monotonic()) > 0:
            wait(left)
        return []

    port.wait = wait_in_vain
    return port


# What a provider does, and what its refusal says.
FAULTS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "memory": (
        "register_buffer",
        functools.partial(refuse, "RIORegisterBuffer", Status.EFAULT),
        r"memory cannot be registered: RIORegisterBuffer failed with WSAEFAULT \(10014\)",
    ),
    "completion queue": (
        "create_completion_queue",
        functools.partial(refuse, "RIOCreateCompletionQueue", Status.EFAULT),
        r"no queue can be made: RIOCreateCompletionQueue failed with WSAEFAULT \(10014\)",
    ),
    "request queue": (
        "create_request_queue",
        functools.partial(refuse, "RIOCreateRequestQueue", Status.ENOBUFS),
        "no queue can be made for a datagram: RIOCreateRequestQueue failed with WSAENOBUFS",
    ),
    "post": (
        "receive",
        functools.partial(refuse, "RIOReceive", Status.EINVAL),
        "a datagram cannot be posted: RIOReceive failed with WSAEINVAL",
    ),
    "completion": ("send", lose, r"a datagram that was sent to itself never completed within 0\.1 s"),
    "status": ("dequeue_completion", dequeue_failures, "receiving a datagram to itself failed"),
    "notification": (
        "create_port",
        lose_packets,
        r"a datagram that was sent to itself completed, and no notification came within 0\.1 s",
    ),
}


@pytest.fixture(params=FAULTS)
def reason(request: pytest.FixtureRequest, rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Break each new provider in one way; what its refusal has to say."""
    name, fault, reason = FAULTS[request.param]
    open_it = chooser._OPENERS[rio_provider]  # type: ignore[index]

    def open_broken() -> Provider:
        provider = open_it()
        takes_original = fault in (dequeue_failures, lose_packets)
        broken = functools.partial(fault, getattr(provider, name)) if takes_original else fault
        monkeypatch.setattr(provider, name, broken)
        return provider

    replace_opener(monkeypatch, rio_provider, open_broken)
    return reason


def test_a_provider_that_moves_no_bytes_is_refused(rio_provider: str, reason: str, opened: list[Provider]) -> None:
    """The refusal says which step it was, with a remedy; everything that was opened is closed."""
    with pytest.raises(RioUnavailableError, match=reason) as caught:
        open_provider(rio_provider)
    assert "virus scanner" in caught.value.remedy


def test_the_probe_says_which_step_failed(rio_provider: str, reason: str) -> None:
    """``probe()`` has the reason."""
    found = {item.name: item for item in trio_rio.probe().providers}[rio_provider]
    assert not found.is_available
    assert re.search(reason, found.reason)


@pytest.mark.providers("uring")
def test_a_choice_that_nobody_forces_goes_on(rio_provider: str, reason: str) -> None:
    """The next one serves, and the reason is in the choice."""
    choice = chooser.choose_provider(None)
    choice.provider.close()
    assert choice.provider.name == "portable"
    assert choice.refusals[-1].provider == rio_provider


def test_the_last_one_is_chosen_whatever_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no provider moves bytes, choice and probe agree on portable."""
    monkeypatch.setattr(chooser, "move_bytes", functools.partial(refuse_provider, []))
    choice = chooser.choose_provider(None)
    choice.provider.close()
    assert choice.provider.name == trio_rio.probe().chosen == "portable"


def test_a_provider_is_tried_once(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has moved bytes in this process is not asked to again."""
    open_provider(rio_provider).close()
    monkeypatch.setattr(chooser, "move_bytes", functools.partial(refuse, "move_bytes", Status.EINVAL))
    open_provider(rio_provider).close()


def test_the_probe_tries_each_time(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``probe()`` is to find out what is true now."""
    open_provider(rio_provider).close()
    tried: list[str] = []

    def note(provider: Provider) -> bool:
        tried.append(provider.name)
        return True

    monkeypatch.setattr(chooser, "move_bytes", note)
    trio_rio.probe()
    assert rio_provider in tried


@pytest.mark.providers("uring")
def test_a_choice_does_not_wait_twice(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that took its full time is remembered by choices; a demand tries again."""
    tried: list[str] = []
    monkeypatch.setattr(chooser, "move_bytes", functools.partial(refuse_provider, tried))
    for _ in range(3):
        choice = chooser.choose_provider(None)
        choice.provider.close()
        assert choice.provider.name == "portable"
    assert tried == [rio_provider]
    with pytest.raises(RioUnavailableError, match="nothing came"):
        open_provider(rio_provider)
    assert tried == [rio_provider] * 2


def test_no_loopback_is_no_reason_to_refuse(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody can send to himself a provider is taken as it is, and tried another time."""
    monkeypatch.setattr(_trial, "_LOOPBACK", "192.0.2.1")  # of nobody: cannot be bound to
    open_provider(rio_provider).close()
    assert rio_provider not in chooser._tried


def test_a_filtered_loopback_is_no_reason_to_refuse(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What plain sockets do not bring either says nothing of a provider."""
    monkeypatch.setattr(Provider, "send", lose)
    monkeypatch.setattr(_trial, "_brings", lambda kind: False)
    open_provider(rio_provider).close()
    assert rio_provider in chooser._tried


def test_no_descriptors_are_no_reason_to_refuse(rio_provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial's own sockets may be the ones that there is no room for."""

    def fail(*_: object) -> NoReturn:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(Provider, "make_socket", fail)
    with contextlib.suppress(AttributeError):
        from trio_rio.rio.winsock.provider import WinsockProvider

        monkeypatch.setattr(WinsockProvider, "make_socket", fail)
    open_provider(rio_provider).close()
    assert rio_provider not in chooser._tried


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_plain_sockets_bring_bytes_here(kind: int) -> None:
    """What the trial of a provider is measured by."""
    assert _trial._brings(kind)

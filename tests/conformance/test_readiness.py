"""The readiness waits that the portable provider is handed: SelectorWaits over two kinds of selector."""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest

from trio_rio.rio.portable.readiness import SelectorWaits

from ..platforms import IS_WINDOWS
from .harness import PATIENCE_SECONDS, running

another_file = pytest.mark.skipif(IS_WINDOWS, reason="the number of a socket is no descriptor there: no dup2")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    first, second = socket.socketpair()
    yield first, second
    first.close()
    second.close()


@pytest.fixture(params=["default", "select"])
def selector_waits(request: pytest.FixtureRequest) -> Iterator[SelectorWaits]:
    """Waits over the platform's best selector, and over select(), which has no descriptor."""
    made = SelectorWaits() if request.param == "default" else SelectorWaits(selectors.SelectSelector())
    yield made
    made.close()
    made.close()


def test_waits_report_what_is_watched(selector_waits: SelectorWaits, pair: tuple[socket.socket, socket.socket]) -> None:
    """Only the directions that are asked for are reported, once, unless the descriptor is unwatched before."""
    ours, peer = pair
    fd = ours.fileno()

    def reported() -> list[tuple[int, bool, bool]]:
        while not (reports := selector_waits.poll(PATIENCE_SECONDS)):
            pass  # its own wake
        return reports

    assert selector_waits.poll(0) == []
    selector_waits.watch(fd, True, False)
    assert selector_waits.poll(0) == []
    selector_waits.watch(fd, True, True)
    assert reported() == [(fd, False, True)]
    assert selector_waits.poll(0) == []
    peer.send(b"x")
    selector_waits.watch(fd, True, False)
    assert reported() == [(fd, True, False)]
    assert selector_waits.poll(0) == []
    selector_waits.watch(fd, True, False)
    selector_waits.unwatch(fd)
    selector_waits.unwatch(fd)
    assert selector_waits.poll(0) == []


def test_a_wake_ends_one_poll(selector_waits: SelectorWaits) -> None:
    """A wake before the poll ends it at once; however many there were, the next one waits."""
    for _ in range(100):
        selector_waits.wake()
    assert selector_waits.poll(None) == []
    assert selector_waits.poll(0) == []
    with running(selector_waits.wake):
        assert selector_waits.poll(None) == []


def test_a_wake_after_the_end_is_nothing(selector_waits: SelectorWaits) -> None:
    """Waking closed waits raises nothing."""
    selector_waits.close()
    selector_waits.wake()


def test_a_full_pipe_of_wakes(selector_waits: SelectorWaits) -> None:
    """However often it is woken, wake never blocks or raises."""
    for _ in range(2000):
        selector_waits.wake()
    assert selector_waits.poll(0) == []


def test_the_descriptor_of_waits() -> None:
    """Where the selector has a descriptor, fileno() is it; elsewhere -1."""
    with_one, without = SelectorWaits(), SelectorWaits(selectors.SelectSelector())
    try:
        assert without.fileno() == -1
        if hasattr(select, "epoll") or hasattr(select, "kqueue"):
            assert with_one.fileno() >= 0
    finally:
        with_one.close()
        without.close()


@another_file
def test_watching_a_number_that_has_another_file(
    selector_waits: SelectorWaits, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Another file has the number of a descriptor that is watched: watched again, the new one is reported."""
    second, peer = pair
    with socket.socket() as first, first.dup():
        fd = first.fileno()
        selector_waits.watch(fd, True, False)
        os.dup2(second.fileno(), fd)
        selector_waits.watch(fd, True, False)
        while selector_waits.poll(0):
            selector_waits.watch(fd, True, False)  # the first file, which has no connection
        peer.send(b"x")
        while (fd, True, False) not in selector_waits.poll(PATIENCE_SECONDS):
            pass


@another_file
def test_a_number_that_is_known_otherwise(pair: tuple[socket.socket, socket.socket]) -> None:
    """A file that was unwatched when its number was another's, and has the number again, is watched as any other."""
    waits = SelectorWaits()
    ours, peer = pair
    number = ours.fileno()
    waits.watch(number, True, False)
    with ours.dup() as kept, socket.socket() as other:
        os.dup2(other.fileno(), number)
        waits.unwatch(number)
        os.dup2(kept.fileno(), number)
        waits.watch(number, True, False)
        peer.send(b"x")
        assert waits.poll(PATIENCE_SECONDS) == [(number, True, False)]
    waits.close()


def test_no_descriptors_left_for_the_wake(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the socket pair cannot be made the error comes out, and nothing is left open."""

    def refuse() -> NoReturn:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socketpair", refuse)
    with pytest.raises(OSError, match="too many") as caught:
        SelectorWaits()
    assert caught.value.errno == errno.EMFILE

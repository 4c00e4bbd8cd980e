"""When a run looks for notifications that Windows has lost. Time is a number here, and Windows a list."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest

from trio_rio._managers import silence as _silence
from trio_rio._managers.silence import FIRST_SECONDS, LAST_SECONDS, Silence


@attrs.define(eq=False)
class Queue:
    """A completion queue that is armed, and holds a result."""

    is_awaited: bool = True
    announced: int = 0

    def announce(self) -> None:
        self.announced += 1


@attrs.define(eq=False)
class Windows:
    """A port that gets packets at set times, and queues that hold results from a set time on."""

    now: float = 100.0
    packets: list[float] = attrs.field(factory=list)
    queues: list[tuple[float, Queue]] = attrs.field(factory=list)
    has_requests: bool = True
    looks: list[float] = attrs.field(factory=list)
    start: float = 100.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, timeout: float) -> int:
        due = [when for when in self.packets if when <= self.now + timeout]
        if any(queue.announced for _, queue in self.queues):
            return 1
        if not due:
            self.now += timeout
            return 0
        self.now = max(self.now, due[0])
        self.packets = [when for when in self.packets if when > self.now]
        return len(due)

    def unannounced(self) -> list[Any]:
        self.looks.append(round(self.now - self.start, 4))
        return [queue for when, queue in self.queues if when <= self.now and queue.is_awaited]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    windows = Windows()
    monkeypatch.setattr(_silence, "time", windows)
    return windows


@pytest.fixture
def silence(windows: Windows) -> Silence:
    return Silence(windows.wait, lambda: windows.has_requests, windows.unannounced)


def test_looks_become_rare(windows: Windows, silence: Silence) -> None:
    """After 50 ms, then after twice as long each time, and at last every 6.4 s; the wait takes its full time."""
    assert silence.wait(30) == 0
    assert windows.now == pytest.approx(130)
    assert windows.looks == [0.05, 0.15, 0.35, 0.75, 1.55, 3.15, 6.35, 12.75, 19.15, 25.55]
    assert LAST_SECONDS == 6.4


def test_without_requests_there_is_nothing_to_look_for(windows: Windows, silence: Silence) -> None:
    """A run that has no request in flight sleeps."""
    windows.has_requests = False
    assert silence.wait(100) == 0
    assert windows.looks == []


def test_short_waits_add_up(windows: Windows, silence: Silence) -> None:
    """A run that is woken by a deadline every 20 ms has heard nothing for 50 ms after the third."""
    for _ in range(3):
        assert silence.wait(0.02) == 0
    assert windows.looks == [0.05]


def test_a_run_that_never_sleeps_looks_too(windows: Windows, silence: Silence) -> None:
    """With a task that can always run, time passes all the same."""
    for _ in range(7):
        assert silence.wait(0) == 0
        windows.now += 0.01
    assert windows.looks == [0.05]


def test_news_begin_the_silence_anew(windows: Windows, silence: Silence) -> None:
    """After a packet, or a post, it is 50 ms again."""
    silence.wait(1)
    windows.looks.clear()
    windows.start = windows.now
    silence.is_broken = True
    silence.wait(0.2)
    assert windows.looks == [0.05, 0.15]


def test_a_packet_ends_the_wait(windows: Windows, silence: Silence) -> None:
    """As if nobody had looked."""
    windows.packets = [100.4]
    assert silence.wait(10) == 1
    assert windows.now == 100.4


def test_a_lost_notification_is_made_up_for(
    windows: Windows, silence: Silence, caplog: pytest.LogCaptureFixture
) -> None:
    """A result that is there at two looks 50 ms apart, and no packet: one is given, and the log is told."""
    windows.queues = [(100.02, Queue())]
    assert silence.wait(10) == 1
    assert windows.looks == [0.05, 0.1]
    assert windows.queues[0][1].announced == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_notification_that_is_late_is_not_lost(
    windows: Windows, silence: Silence, caplog: pytest.LogCaptureFixture
) -> None:
    """A packet that is behind the first look is taken, and nothing is said."""
    queue = Queue()
    windows.queues, windows.packets = [(100.04, queue)], [100.09]
    assert silence.wait(10) == 1
    assert windows.now == 100.09
    queue.is_awaited = False  # the packet was taken
    silence.is_broken = True
    assert silence.wait(1) == 0
    assert not queue.announced
    assert not caplog.records


def test_a_busy_run_takes_its_packets_before_it_judges(
    windows: Windows, silence: Silence, caplog: pytest.LogCaptureFixture
) -> None:
    """A packet came while a task was computing, long after the first look: it is in the port, and not lost."""
    queue = Queue()
    windows.queues = [(100.04, queue)]
    assert silence.wait(0.05) == 0
    assert windows.looks == [0.05]
    windows.packets, windows.now = [100.06], 100.3
    assert silence.wait(0) == 1
    queue.is_awaited = False
    assert silence.wait(0) == 0
    assert not queue.announced
    assert not caplog.records


def test_other_events_do_not_hide_a_loss(windows: Windows, silence: Silence) -> None:
    """A run that always has something else to do finds out as well."""
    queue = Queue()
    windows.queues = [(100.0, queue)]
    for _ in range(20):
        windows.packets = [windows.now]
        assert silence.wait(1) == 1
        windows.now += 0.01
    assert queue.announced == 1


def test_after_a_loss_the_run_looks_every_50_ms(
    windows: Windows, silence: Silence, caplog: pytest.LogCaptureFixture
) -> None:
    """Without doubling, and without a second look; and it is said once."""
    silence.is_lost = True
    windows.queues = [(100.17, Queue())]
    assert silence.wait(10) == 1
    assert windows.looks == [0.05, 0.1, 0.15, 0.2]
    assert not caplog.records
    assert FIRST_SECONDS == 0.05

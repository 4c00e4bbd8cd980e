"""RioConfig: what it refuses, and in which words."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given, settings, strategies as st

import trio_rio
from trio_rio import RioConfig

# Bounds of each integer, both allowed, and what has to go with the lowest and the highest.
INTEGERS: dict[str, tuple[int, int, dict[str, Any], dict[str, Any]]] = {
    "read_ahead": (0, 64, {}, {}),
    "send_window_bytes": (0, 1 << 30, {}, {}),
    "results_per_turn": (1, 65536, {}, {}),
    "small_slice_size_bytes": (512, 65536, {}, {}),
    "large_slice_size_bytes": (4096, 1 << 24, {}, {}),
    "bulk_slice_size_bytes": (0, 1 << 26, {}, {}),
    "registered_bytes_max": (65536, 1 << 40, {"large_slice_size_bytes": 4096}, {}),
    "copy_bytes_max": (0, 1 << 30, {}, {}),
    "sends_outstanding_max": (1, 4096, {}, {}),
    "datagram_read_ahead": (0, 1024, {}, {}),
    "completion_queues": (1, 64, {}, {}),
    "completion_queue_size": (1, 0x8000000, {}, {"completion_queue_size_max": 0x8000000}),
    "completion_queue_size_max": (
        2,
        0x8000000,
        {"completion_queue_size": 1, "sends_outstanding_max": 1, "separate_send_queue": True},
        {},
    ),
}
SECONDS = ("linger_seconds", "busy_poll_seconds")
OPTIONAL = (
    "read_ahead",
    "datagram_read_ahead",
    "sends_outstanding_max",
    "send_window_bytes",
    "provider",
    "engine",
    "cancellation",
)


def test_each_number_is_tested_here() -> None:
    """The tables above name every option of RioConfig that is a number."""
    names = {field.name for field in attrs.fields(RioConfig)}
    assert names - {"provider", "engine", "cancellation", "notification", "notifier", "separate_send_queue"} == {
        *INTEGERS,
        *SECONDS,
    }


@pytest.mark.parametrize("name", INTEGERS)
def test_the_bounds_of_an_integer_are_allowed(name: str) -> None:
    """The lowest and the highest value of each integer can be had."""
    low, high, with_low, with_high = INTEGERS[name]
    assert getattr(RioConfig(**{name: low, **with_low}), name) == low
    assert getattr(RioConfig(**{name: high, **with_high}), name) == high


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("distance", [1, 1 << 70], ids=["just", "far"])
def test_an_integer_out_of_range_is_refused_by_name(name: str, distance: int) -> None:
    """An integer outside its bounds raises a ValueError that names the option and the bounds."""
    low, high, *_ = INTEGERS[name]
    for value in (low - distance, high + distance):
        with pytest.raises(ValueError, match=f"{name}=.*{low} .. {high}"):
            RioConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", INTEGERS)
@settings(max_examples=25)
@given(value=st.one_of(st.booleans(), st.floats(), st.text(), st.binary(), st.lists(st.integers())))
def test_what_is_no_integer_is_refused_by_name(name: str, value: object) -> None:
    """Anything but an integer, a bool included, raises a TypeError that names the option."""
    with pytest.raises(TypeError, match=name):
        RioConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in INTEGERS if name not in OPTIONAL])
def test_none_is_refused_where_it_means_nothing(name: str) -> None:
    """``None`` is a value only of the options whose default it is."""
    with pytest.raises(TypeError, match=name):
        RioConfig(**{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPTIONAL)
def test_none_is_allowed_where_it_is_the_default(name: str) -> None:
    """``None`` leaves the choice to the run."""
    assert getattr(RioConfig(**{name: None}), name) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [-1, -0.001, math.inf, math.nan])
def test_a_time_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    """A time must be finite and not negative."""
    with pytest.raises(ValueError, match=name):
        RioConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [None, True, "1", b"1", 1j])
def test_what_is_no_time_is_refused_by_name(name: str, value: object) -> None:
    """A time must be a number."""
    with pytest.raises(TypeError, match=name):
        RioConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0, 0.0, 1, 0.5, 1e9])
def test_times_that_make_sense_are_allowed(name: str, value: float) -> None:
    """Integers and floats from 0 on."""
    assert getattr(RioConfig(**{name: value}), name) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["epoll", "URING", "", "uring ", "native"])
def test_a_wrong_provider_name_is_refused(name: str) -> None:
    """A provider that does not exist raises a ValueError that lists those that do."""
    with pytest.raises(ValueError, match=r"RioConfig\(provider=.*winsock, uring, portable"):
        RioConfig(provider=name)


@pytest.mark.parametrize("value", [1, b"uring", ["uring"], trio_rio])
def test_a_provider_that_is_no_name_is_refused(value: object) -> None:
    """A provider is named by a string."""
    with pytest.raises(TypeError, match="provider"):
        RioConfig(provider=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["Request", "abandon", "", 1, True])
def test_a_wrong_cancellation_is_refused(value: object) -> None:
    """Only "request" and "detach" are ways to cancel."""
    with pytest.raises(ValueError, match="cancellation"):
        RioConfig(cancellation=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["Port", "iocp", "poll", "", None, 1, ["port"]])
def test_a_wrong_notification_is_refused(value: object) -> None:
    """There are three ways to collect completions."""
    with pytest.raises(ValueError, match=r"notification.*port.*event.*polled"):
        RioConfig(notification=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("notification", "bogus", "RioConfig(notification='bogus'): must be 'port', 'event' or 'polled'"),
        ("cancellation", "abandon", "RioConfig(cancellation='abandon'): must be 'request', 'detach' or None"),
    ],
)
def test_a_wrong_choice_is_one_sentence(option: str, value: str, said: str) -> None:
    """What is none of several words is answered by one sentence that has all of them."""
    with pytest.raises(ValueError) as caught:
        RioConfig(**{option: value})  # type: ignore[arg-type]
    assert str(caught.value) == said


@pytest.mark.parametrize("way", [{"notification": "polled"}, {"busy_poll_seconds": 1e-4}])
def test_a_notifier_that_has_nothing_to_do_is_refused(way: dict[str, Any]) -> None:
    """Where the tick looks for results there is no notification for a task to wait for."""
    with pytest.raises(ValueError, match="waits for notifications"):
        RioConfig(notifier="task", **way)


@pytest.mark.parametrize("value", [1, 0, "yes"])
def test_separate_send_queue_is_yes_or_no(value: object) -> None:
    """What is none of True, False and None raises a TypeError that names the option."""
    with pytest.raises(TypeError, match="separate_send_queue"):
        RioConfig(separate_send_queue=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"small_slice_size_bytes": 8192, "large_slice_size_bytes": 4096}, "large_slice_size_bytes"),
        ({"large_slice_size_bytes": 65536, "registered_bytes_max": 65536}, "registered_bytes_max"),
        ({"completion_queue_size": 64, "completion_queue_size_max": 63}, "completion_queue_size_max"),
        ({"completion_queue_size": 1, "completion_queue_size_max": 9}, "at least 10"),
        ({"completion_queue_size": 1, "completion_queue_size_max": 9, "datagram_read_ahead": 20}, "at least 29"),
        ({"cancellation": "detach", "send_window_bytes": 0}, "send_window_bytes"),
        ({"notification": "polled", "busy_poll_seconds": 1e-6}, "busy_poll_seconds"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    """Options that are right by themselves and wrong together raise a ValueError that names them."""
    with pytest.raises(ValueError, match=message):
        RioConfig(**options)


def test_an_unknown_option_is_refused() -> None:
    """A misspelt option is an error."""
    with pytest.raises(TypeError, match="read_behind"):
        RioConfig(read_behind=1)  # type: ignore[call-arg]


def test_options_are_given_by_name() -> None:
    """Options have no order."""
    with pytest.raises(TypeError):
        RioConfig("uring")  # type: ignore[call-arg]


def test_options_do_not_change() -> None:
    """A configuration may be shared by runs, so it is frozen."""
    config = RioConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.results_per_turn = 1  # type: ignore[misc]


@pytest.mark.parametrize("provider_can", [True, False])
def test_what_is_cancelled_at_the_kernel(provider_can: bool) -> None:
    """By default requests are cancelled where the provider can; a demand is kept."""
    assert RioConfig().cancels_requests(provider_can) is provider_can
    assert RioConfig(cancellation="request").cancels_requests(provider_can) is True
    assert RioConfig(cancellation="detach").cancels_requests(provider_can) is False

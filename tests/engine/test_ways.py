"""The core of the engine's tests, once more for each way of collecting completions.

The tests themselves stand in the modules that they are imported from. The default way, one queue and packets, is what
those modules run on.
"""

from __future__ import annotations

import pytest

from .harness import WAYS_OPTIONS
from .test_cancellation import (
    test_a_call_in_a_cancelled_scope_touches_nothing,
    test_a_cancelled_send_sends_nothing_later,
    test_data_that_comes_with_the_cancellation,
    test_rc_59,
)
from .test_close import (
    test_a_task_that_waits_gets_closed_resource_error,
    test_closing_in_the_middle_of_its_own_turn,
    test_many_connections_at_once_give_everything_back,
    test_the_peer_sees_the_end_after_a_cancelled_receive,
    test_the_peer_sees_the_end_at_once,
)
from .test_datagram_channel import test_a_waiting_task_is_woken, test_many_senders_are_told_apart
from .test_fairness import test_rc_58_a_receive_on_an_accepted_socket
from .test_statistics import (
    test_counts_of_completions_add_up,
    test_tasks_that_wait_are_counted,
)
from .test_stream_leases import test_leases_and_receives_may_follow_each_other, test_what_was_filled_in_is_sent

DETACH = pytest.mark.rio_config(cancellation="detach", linger_seconds=0.05)

# Every way with the provider's own mode of cancellation, and one of each kind with the other.
pytestmark = [
    pytest.mark.usefixtures("way", "mode"),
    pytest.mark.parametrize(
        ("way", "mode"),
        [
            pytest.param(way, mode, marks=[pytest.mark.rio_config(**options), *([DETACH] if mode == "detach" else [])])
            for way, options in WAYS_OPTIONS.items()
            for mode in ("request", "detach")
            if mode == "request" or "queues" in way
        ],
        indirect=True,
    ),
]

__all__ = [
    "test_a_call_in_a_cancelled_scope_touches_nothing",
    "test_a_cancelled_send_sends_nothing_later",
    "test_a_task_that_waits_gets_closed_resource_error",
    "test_a_waiting_task_is_woken",
    "test_closing_in_the_middle_of_its_own_turn",
    "test_counts_of_completions_add_up",
    "test_data_that_comes_with_the_cancellation",
    "test_leases_and_receives_may_follow_each_other",
    "test_many_connections_at_once_give_everything_back",
    "test_many_senders_are_told_apart",
    "test_rc_58_a_receive_on_an_accepted_socket",
    "test_rc_59",
    "test_tasks_that_wait_are_counted",
    "test_the_peer_sees_the_end_after_a_cancelled_receive",
    "test_the_peer_sees_the_end_at_once",
    "test_what_was_filled_in_is_sent",
]

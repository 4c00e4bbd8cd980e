"""Every limit and knob of a run, each with its unit and the reason for its default."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs

from .rio.chooser import check_provider_name


def _check_provider(_: object, __: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None:
        if not isinstance(value, str):
            raise TypeError(f"RioConfig(provider={value!r}): must be the name of a provider, or None")
        check_provider_name(value, "RioConfig(provider=...)")


def _one_of(*words: str | None) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in words:
            *others, last = map(repr, words)
            raise ValueError(f"RioConfig({attribute.name}={value!r}): must be {', '.join(others)} or {last}")

    return check


def _integer(low: int, high: int, *, optional: bool = False) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"RioConfig({attribute.name}=...) must be an integer, not {value!r}")
        if not low <= value <= high:
            raise ValueError(f"RioConfig({attribute.name}={value}): must be within {low} .. {high}")

    return check


def _seconds(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"RioConfig({attribute.name}=...) must be a number of seconds, not {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"RioConfig({attribute.name}={value}): must be finite and not negative")


def _yes_no_or_none(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"RioConfig({attribute.name}=...) must be True, False or None, not {value!r}")


_MIB = 1024 * 1024

# Sends that a socket may have outstanding at first.
SENDS_AT_FIRST = 8


@attrs.frozen(kw_only=True)
class RioConfig:
    """Options of one run. The defaults are meant to be right; the reasons stand beside them.

    Raises:
      ValueError, TypeError: a value that makes no sense; says which, and what would.
    """

    #: The name of the provider, "winsock", "uring" or "portable". ``None`` takes TRIO_RIO_PROVIDER, else the first that
    #: works, so that a program runs everywhere.
    provider: str | None = attrs.field(default=None, validator=_check_provider)

    #: What serves the calls of streams and of Trio's sockets, "native", the engine in C, or "python". ``None`` takes
    #: TRIO_RIO_ENGINE, else "native" where it was built and the provider is "uring", since it costs half as much.
    engine: Literal["native", "python"] | None = attrs.field(default=None, validator=_one_of("native", "python", None))

    #: What becomes of a receive whose task is cancelled: "request" cancels it at the kernel, "detach" leaves it posted
    #: for the next reader. ``None`` is "request" where the provider can cancel one request, so that nothing is read
    #: that nobody waits for, else "detach".
    cancellation: Literal["request", "detach"] | None = attrs.field(
        default=None, validator=_one_of("request", "detach", None)
    )

    #: Number of receives kept posted on a stream beyond demand. ``None`` is 0 where requests can be cancelled (the
    #: kernel buffers, and back pressure stays exact), else 1 (a socket without a posted receive has no window).
    read_ahead: int | None = attrs.field(default=None, validator=_integer(0, 64, optional=True))

    #: Number of receives kept posted on a datagram socket. ``None`` is as ``read_ahead``, but 32 on Windows, where a
    #: datagram that finds no receive posted is lost: a burst of 32 in 2 MiB.
    datagram_read_ahead: int | None = attrs.field(default=None, validator=_integer(0, 1024, optional=True))

    #: Bytes in flight on one socket before ``send`` waits; 0 waits for each completion. ``None`` is 0 where requests
    #: can be cancelled, since there a send completes as soon as the kernel has copied the data, else 1 MiB, about 10 ms
    #: of a gigabit link.
    send_window_bytes: int | None = attrs.field(default=None, validator=_integer(0, 1 << 30, optional=True))

    #: How completions are collected. "port": a packet at the run's completion port, taken with its other events, which
    #: costs least. "event": an event object that the run's notifier task waits for. "polled": no notification at all;
    #: where the run would sleep it looks again, and so needs a CPU of its own, idle or not.
    notification: Literal["port", "event", "polled"] = attrs.field(
        default="port", validator=_one_of("port", "event", "polled")
    )

    #: Who serves a notification. "inline": the manager does the notifier task's next step between two ticks, and that
    #: task has only what a whole batch leaves over; a lone connection costs a tick less. "task": the notifier task does
    #: every cycle of waiting, dequeueing and RIONotify by itself, as its line in the scheduler comes.
    notifier: Literal["inline", "task"] = attrs.field(default="inline", validator=_one_of("inline", "task"))

    #: With "port" and "event": for how many seconds the run looks for results before it arms the queues and sleeps.
    #: Falling asleep and waking up costs a lone connection more than the exchange itself; 0, since it costs CPU time
    #: whenever the run is idle for longer than that. 50e-6 is a good first try.
    busy_poll_seconds: float = attrs.field(default=0.0, validator=_seconds)

    #: Number of completion queues of the run. A socket's results go to the queue that is least charged when its first
    #: request is made, the first of equals: round robin while sockets come, and gaps are filled when sockets have gone.
    #: 1, since one thread collects from all of them; more keep a few busy sockets from filling every turn.
    completion_queues: int = attrs.field(default=1, validator=_integer(1, 64))

    #: Give each completion queue a twin, which gets the results of sends. ``None`` is True with "uring": among a
    #: thousand connections an answer that has gone does not stand in line behind what has come since, and its task goes
    #: on while the CPU's cache has it still. Elsewhere it is False, since it doubles the dequeues.
    separate_send_queue: bool | None = attrs.field(default=None, validator=_yes_no_or_none)

    #: Number of results taken from one completion queue before other tasks, and other queues, have their turn. 64 tasks
    #: and what they touch fit into the cache of a CPU, answers leave when so many are there, and it is enough to share
    #: the cost of a turn.
    results_per_turn: int = attrs.field(default=64, validator=_integer(1, 65536))

    #: Bytes in the slice of a receive on a connection that is quiet: enough for most requests, and 20 MB for 10,000
    #: idle connections.
    small_slice_size_bytes: int = attrs.field(default=2048, validator=_integer(512, 65536))

    #: Bytes in the slice of a receive on a busy connection, and of a send. 64 KiB is where copying stops getting
    #: cheaper. Datagrams are never cut to it: with less, a receive of more on a datagram socket goes Trio's own way.
    large_slice_size_bytes: int = attrs.field(default=65536, validator=_integer(4096, 16 * _MIB))

    #: Bytes in the slice of a receive that names no size, on a connection that fills the large ones. A receive of 1 MiB
    #: costs half of what 16 of 64 KiB do. A quarter of the registered memory may be such slices; 0 does without.
    bulk_slice_size_bytes: int = attrs.field(default=_MIB, validator=_integer(0, 64 * _MIB))

    #: Bytes of registered memory that a run may have. When it is all leased, receives and sends do without: they go
    #: Trio's own way. 256 MiB is room for 4096 large slices; memory is registered as it comes to be needed.
    registered_bytes_max: int = attrs.field(default=256 * _MIB, validator=_integer(65536, 1 << 40))

    #: A send of more bytes than this goes from the caller's own memory, where registering that is cheap; below, copying
    #: into a registered slice costs less than registering.
    copy_bytes_max: int = attrs.field(default=65536, validator=_integer(0, 1 << 30))

    #: Number of sends that may be posted on one socket at a time; more wait. Tasks may share a datagram socket.
    #: ``None`` is 8; but where sends complete when the peer has acknowledged them, as many as a window of small ones
    #: needs, up to 256. Only a socket that comes to need more than 8 has them.
    sends_outstanding_max: int | None = attrs.field(default=None, validator=_integer(1, 4096, optional=True))

    #: Number of results that each completion queue has room for at the start; it doubles when request queues need more.
    #: 1024 is room for about a hundred sockets, and takes little memory.
    completion_queue_size: int = attrs.field(default=1024, validator=_integer(1, 0x8000000))

    #: Number of results at which the doubling of each ends: more sockets than there is room for get
    #: :class:`RioResourceError`. The default is room for some 400,000 sockets; there is room for one at least.
    completion_queue_size_max: int = attrs.field(default=1 << 22, validator=_integer(2, 0x8000000))

    #: For how many seconds sends of a closed socket may go on, and the end of a run waits for them. Then they are
    #: aborted. 5, so that a peer that is slow gets its data, and one that is gone does not keep a run from ending.
    linger_seconds: float = attrs.field(default=5.0, validator=_seconds)

    def __attrs_post_init__(self) -> None:
        if self.large_slice_size_bytes < self.small_slice_size_bytes:
            raise ValueError("RioConfig: large_slice_size_bytes must not be below small_slice_size_bytes")
        if self.registered_bytes_max < 2 * self.large_slice_size_bytes:
            raise ValueError("RioConfig: registered_bytes_max must have room for two large slices")
        if self.completion_queue_size_max < self.completion_queue_size:
            raise ValueError("RioConfig: completion_queue_size_max must not be below completion_queue_size")
        need = self._results_of_a_socket()
        if self.completion_queue_size_max < need:
            raise ValueError(
                f"RioConfig: completion_queue_size_max must be at least {need}, which is what one socket needs with "
                "these read_ahead, datagram_read_ahead and sends_outstanding_max"
            )
        if self.cancellation == "detach" and self.send_window_bytes == 0:
            raise ValueError("RioConfig: cancellation='detach' needs send_window_bytes above 0")
        if self.notifier == "task" and (self.notification == "polled" or self.busy_poll_seconds):
            raise ValueError(
                "RioConfig: notifier='task' waits for notifications, and with notification='polled' or "
                "busy_poll_seconds the tick of the run looks for results; leave one of them out"
            )
        if self.notification == "polled" and self.busy_poll_seconds:
            raise ValueError(
                "RioConfig: notification='polled' never sleeps, so busy_poll_seconds says nothing; leave it out, or "
                "use notification='port'"
            )

    def _results_of_a_socket(self) -> int:
        """Results of one socket that a completion queue has room for, at least."""
        receives = max(1, self.read_ahead or 0, self.datagram_read_ahead or 0) + 1
        sends = SENDS_AT_FIRST if self.sends_outstanding_max is None else self.sends_outstanding_max
        sends = min(SENDS_AT_FIRST, sends)
        return max(receives, sends) if self.separate_send_queue else receives + sends

    def cancels_requests(self, provider_can: bool) -> bool:
        """Whether a cancelled receive is cancelled at the kernel."""
        return provider_can if self.cancellation is None else self.cancellation == "request"


def checked_config(config: RioConfig | None) -> RioConfig:
    """The options of a run; the defaults for ``None``.

    Raises:
      TypeError: it is neither.
    """
    if config is None:
        return RioConfig()
    if not isinstance(config, RioConfig):
        raise TypeError(f"config must be a trio_rio.RioConfig or None, not {config!r}")
    return config

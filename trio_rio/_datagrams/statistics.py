"""The statistics of a datagram channel."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class DatagramStatistics:
    """A snapshot of one :class:`DatagramChannel`; counts are since it was made unless they say "now"."""

    #: "winsock", "uring" or "portable"; ``None`` while plain calls of the socket serve.
    provider: str | None
    #: Now: receives posted, with those that have a datagram which no call has taken yet.
    receives_posted: int
    #: Datagrams that calls of the channel have returned.
    datagrams_received: int
    #: Datagrams that the system has taken to send.
    datagrams_sent: int
    #: Datagrams that were too long, each told by a TruncatedDatagramError.
    datagrams_truncated: int
    #: Now: datagrams that a call has taken from the system, and left for the next one.
    datagrams_waiting: int
    #: Datagrams that the system dropped for this socket since the socket was made: there was no room in its buffer, or
    #: they were bad. ``None`` where the system does not tell. Linux does; Windows counts those of all sockets together.
    datagrams_dropped: int | None
    #: Now: sends that are posted and have not completed.
    sends_in_flight: int
    #: Batches that a call had to wait for.
    wakeups: int

"""The statistics of a datagram channel."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class DatagramStatistics:
    """A snapshot of one :class:`DatagramChannel`; counts are since it was made unless they say otherwise."""

    #: "winsock", "uring" or "portable"; ``None`` while plain calls of the socket serve.
    provider: str | None
    receives_posted: int  # now, with those that have a datagram which no call has taken yet
    datagrams_received: int  # by calls of the channel
    datagrams_sent: int  # taken by the system
    datagrams_truncated: int  # told by a TruncatedDatagramError
    datagrams_waiting: int  # now: taken by a call, and left for the next one
    #: Datagrams that the system dropped for this socket since the socket was made: there was no room in its buffer, or
    #: they were bad. ``None`` where the system does not tell. Linux does; Windows counts those of all sockets together.
    datagrams_dropped: int | None
    sends_in_flight: int  # now
    wakeups: int  # batches that a call had to wait for

"""The statistics of a run that has ended, as a table for people."""

from __future__ import annotations

from .._statistics import RioStatistics


def rows(ended: RioStatistics) -> list[tuple[str, str]]:
    """What is shown, and its value in words. What is there only while a run is under way is left out."""
    queues = "1 completion queue" if ended.completion_queues == 1 else f"{ended.completion_queues} completion queues"
    results = "none"
    if ended.completions_dequeued:
        results = (
            f"{ended.results_per_dequeue_mean:.1f} on average, {ended.results_per_dequeue_min:,} to "
            f"{ended.results_per_dequeue_max:,}"
        )
    return [
        ("provider", f"{ended.provider}: {ended.provider_because}"),
        ("collecting", f"{ended.notification}, {queues}"),
        ("sockets", f"{ended.sockets_served:,} served"),
        ("completions", f"{ended.completions_dequeued:,} by {ended.dequeue_calls:,} dequeues"),
        ("results per dequeue", results),
        ("notifications", f"{ended.notifications_received:,} received, {ended.notifications_armed:,} asked for"),
        ("commits", f"{ended.commits:,}"),
        ("window stalls", f"{ended.window_stalls:,}"),
        ("drained late", f"{ended.drained_late:,} sends"),
        ("leaked memory", megabytes(ended.leaked_bytes)),
    ]


def text(title: str, ended: RioStatistics) -> str:
    """The table under a title."""
    found = rows(ended)
    width = max(len(name) for name, _ in found)
    return "".join([f"{title}\n", *(f"  {name:<{width}}  {value}\n" for name, value in found)])


def megabytes(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB" if count else "0 MB"

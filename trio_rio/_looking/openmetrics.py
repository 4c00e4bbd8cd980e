"""Statistics as OpenMetrics text, which Prometheus and others read."""

from __future__ import annotations

from collections.abc import Mapping

from .._statistics import RioStatistics

# Field of RioStatistics, name of the metric without the prefix, type, what it is.
_METRICS: tuple[tuple[str, str, str, str], ...] = (
    ("sockets_served", "sockets", "counter", "Sockets that have had a request queue."),
    ("sockets_open", "sockets_open", "gauge", "Sockets with a request queue."),
    ("sockets_lingering", "sockets_lingering", "gauge", "Closed sockets with sends in flight."),
    ("tasks_waiting_read", "tasks_waiting_read", "gauge", "Tasks that wait to receive."),
    ("tasks_waiting_write", "tasks_waiting_write", "gauge", "Tasks that wait to send."),
    ("receives_in_flight", "receives_in_flight", "gauge", "Receives that are posted and have not completed."),
    ("sends_in_flight", "sends_in_flight", "gauge", "Sends that are posted and have not completed."),
    ("completions_dequeued", "completions", "counter", "Results that were dequeued."),
    ("dequeue_calls", "dequeues", "counter", "Calls that dequeued, whether there was anything or not."),
    ("results_per_dequeue_min", "results_per_dequeue_min", "gauge", "Fewest results of a dequeue that had some."),
    ("results_per_dequeue_max", "results_per_dequeue_max", "gauge", "Most results of a dequeue."),
    ("notifications_armed", "notifications_armed", "counter", "Calls that asked for a notification."),
    ("notifications_received", "notifications", "counter", "Notifications that came."),
    ("commits", "commits", "counter", "Calls that committed what was posted, one per tick of the run."),
    ("window_stalls", "window_stalls", "counter", "Sends that had to wait for room in a send window."),
    ("registered_bytes", "registered_bytes", "gauge", "Registered memory."),
    ("leases_outstanding", "leases_outstanding", "gauge", "Pieces of registered memory in use."),
    ("completion_queues", "completion_queues", "gauge", "Completion queues that sockets share."),
    ("completion_queue_capacity", "completion_queue_capacity", "gauge", "Results that there is room for."),
    ("completion_queue_used", "completion_queue_used", "gauge", "Results that are promised to request queues."),
    ("drained_late", "drained_late", "counter", "Sends that were aborted because their time to linger was over."),
    ("leaked_bytes", "leaked_bytes", "gauge", "Memory that the kernel did not let go of."),
)  # fmt: skip

# Fields that are labels of trio_rio_info, or follow from others.
NOT_METRICS = {"provider", "provider_because", "engine", "notification", "results_per_dequeue_mean"}


def openmetrics(statistics: RioStatistics, labels: Mapping[str, str] | None = None) -> str:
    """Statistics as OpenMetrics text, to be served as ``application/openmetrics-text``.

    Args:
      statistics: of :func:`trio_rio.current_statistics`.
      labels: put on each metric, as ``{"run": "main"}`` where a process has several runs.

    Raises:
      ValueError: a name of a label is none.
    """
    labels = dict(labels or {})
    for name in labels:
        if not (name.isascii() and name.isidentifier()) or name.startswith("__"):
            raise ValueError(f"{name!r} is no name of a label: use letters, digits and underscores")
    info = {**labels, **{name: getattr(statistics, name) for name in ("provider", "engine", "notification")}}
    lines = [
        "# TYPE trio_rio info",
        "# HELP trio_rio What serves the sockets of the run, and how its completions are collected.",
        f"trio_rio_info{_in_braces(info)} 1",
    ]
    for field, name, kind, text in _METRICS:
        full = f"trio_rio_{name}"
        lines += [f"# TYPE {full} {kind}", f"# HELP {full} {text}"]
        if name.endswith("_bytes"):
            lines.append(f"# UNIT {full} bytes")
        sample = f"{full}_total" if kind == "counter" else full
        lines.append(f"{sample}{_in_braces(labels)} {getattr(statistics, field)}")
    return "\n".join([*lines, "# EOF", ""])


def _in_braces(labels: Mapping[str, str]) -> str:
    pairs = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""C on epoll, one thread: the floor."""

from __future__ import annotations

from ..build import compiled
from . import Opponent, ServerSettings


def _command(settings: ServerSettings) -> list[str]:
    return [str(compiled("server")), settings.workload, str(settings.message_bytes)]


OPPONENT = Opponent("c_epoll", "C, epoll", _command, order=90)

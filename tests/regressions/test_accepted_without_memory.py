"""A connection that was accepted when there is no memory for its Trio socket."""

from __future__ import annotations

import gc
from typing import NoReturn

import pytest
import trio

from trio_rio._sockets import accept

from ..engine.harness import PATIENCE_SECONDS


class _NoMemory:
    """Stands for ``object``: nothing can be made of a class."""

    @staticmethod
    def __new__(*_: object) -> NoReturn:
        raise MemoryError


@pytest.mark.providers("uring")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its peer sees the end, and the descriptor is not lost."""
    listening = trio.socket.socket()
    with listening, trio.socket.socket() as client:
        await listening.bind(("127.0.0.1", 0))
        listening.listen()
        await client.connect(listening.getsockname())
        with monkeypatch.context() as patch:
            patch.setattr(accept, "object", _NoMemory, raising=False)
            with pytest.raises(MemoryError):
                await listening.accept()
        gc.collect()  # the traceback has what was made
        with trio.fail_after(PATIENCE_SECONDS):
            assert await client.recv(1) == b""

"""What the choice of a provider makes of one whose queues cannot be made."""

from __future__ import annotations

from typing import NoReturn

import pytest

from trio_rio.rio import RioCallError, RioUnavailableError, Status, open_provider
from trio_rio.rio.portable import PortableProvider


def test_a_table_without_queues_is_no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function table that is there but makes no request queue is a refusal, with a reason and a remedy."""

    def refuse(*_: object) -> NoReturn:
        raise RioCallError("RIOCreateRequestQueue", Status.ENOBUFS)

    monkeypatch.setattr(PortableProvider, "create_request_queue", refuse)
    with pytest.raises(RioUnavailableError, match="no queue can be made: RIOCreateRequestQueue") as caught:
        open_provider("portable")
    assert "virus scanner" in caught.value.remedy

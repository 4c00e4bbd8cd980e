"""Start-up and constants: RC-01, RC-02. (RC-03 is about the C structures on Windows.)"""

from __future__ import annotations

import sys

import pytest

from trio_rio import rio
from trio_rio.rio.errors import RioUnavailableError

from .harness import open_table


def test_rc_01a_opening_twice_works(provider_name: str) -> None:
    """Two providers of one kind serve side by side, and a third after both are closed."""
    with open_table(provider_name) as first, open_table(provider_name) as second:
        for table in (first, second):
            ours, peer = table.tcp()
            cq = table.cq()
            block = table.block()
            table.receive(table.rq(ours, cq), block.slice())
            peer.send(b"hello")
            assert block.get(table.one(cq).bytes_transferred) == b"hello"
    with open_table(provider_name) as third:
        third.rq(third.tcp()[0], third.cq())


def test_rc_01b_the_probe_tries_for_real(provider_name: str) -> None:
    """The probe says that a provider that serves here is available."""
    found = {item.name: item for item in rio.probe().providers}
    assert found[provider_name].is_available


@pytest.mark.skipif(sys.platform == "win32", reason="a provider that cannot be there is needed")
def test_rc_01c_failure_means_unsupported_with_a_remedy() -> None:
    """A provider that the system has not is refused when it is opened, with a reason and a remedy."""
    with pytest.raises(RioUnavailableError) as caught:
        rio.open_provider("winsock")
    assert caught.value.reason
    assert caught.value.remedy


def test_rc_02_constants_have_their_values() -> None:
    """The flags and limits are those of mswsockdef.h."""
    flags = (rio.RIO_MSG_DONT_NOTIFY, rio.RIO_MSG_DEFER, rio.RIO_MSG_WAITALL, rio.RIO_MSG_COMMIT_ONLY)
    assert flags == (1, 2, 4, 8)
    assert rio.RIO_MAX_CQ_SIZE == 0x8000000
    assert rio.RIO_CORRUPT_CQ == 0xFFFFFFFF
    assert rio.RIO_INVALID_BUFFERID == 0xFFFFFFFF

"""When the portable provider tries a deferred request."""

from __future__ import annotations

import pytest

from trio_rio.rio import RIO_MSG_DEFER, Provider
from trio_rio.rio.portable.provider import PortableProvider

from .harness import Table


def test_a_deferred_request_is_tried_at_the_commit(provider: Provider) -> None:
    """A deferred receive leaves the socket alone until a commit, or until a request that is not deferred follows."""
    if not isinstance(provider, PortableProvider):
        pytest.skip("the others defer in the kernel, or beside it")
    table = Table(provider)
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    peer.send(b"abcd")
    for commit in (rq.commit_receives, provider.commit_all, provider.progress):
        table.receive(rq, block.slice(0, 1), 1, RIO_MSG_DEFER)
        assert rq.handle.receives.pending  # type: ignore[attr-defined]
        commit()
        assert not rq.handle.receives.pending  # type: ignore[attr-defined]
        assert table.one(cq).request_context == 1
    table.receive(rq, block.slice(0, 1), 2, RIO_MSG_DEFER)
    table.receive(rq, block.slice(1, 1), 3)
    assert table.one(cq).request_context == 2
    provider.close_socket(rq)
    assert table.one(cq).request_context == 3
    peer.close()

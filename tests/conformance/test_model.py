"""Random programs on one request queue against a model of it: counts, credits, charge, order, bytes and signals."""

from __future__ import annotations

import contextlib

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from trio_rio.rio import RIO_MSG_DEFER, RIO_MSG_DONT_NOTIFY, RIO_MSG_WAITALL, RioCallError, RioResult, Status

from .harness import PATIENCE_SECONDS, open_table

SLICE_BYTES = 1000
SLICES = 64

flag_sets = st.sampled_from([0, RIO_MSG_DEFER, RIO_MSG_DONT_NOTIFY, RIO_MSG_DEFER | RIO_MSG_DONT_NOTIFY])
small = st.integers(0, 6)


class RequestQueueModel(RuleBasedStateMachine):
    """What a request queue promises, kept beside a real one over TCP.

    ``receives`` and ``sends`` are the outstanding requests: context -> length. A context is a count, so that a
    larger one was posted later.
    """

    provider_name: str

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.table = self.stack.enter_context(open_table(self.provider_name))
        self.ours, self.peer = self.table.tcp()
        self.cq = self.table.cq(8)
        self.signal = self.table.signals[self.cq]
        self.limits = [2, 2]
        self.capacity = 8
        self.rq = self.table.rq(self.ours, self.cq, *self.limits, context=99)
        self.block = self.table.block(SLICES * SLICE_BYTES)
        self.is_open = True
        self.posts = 0
        self.receives: dict[int, int] = {}
        self.sends: dict[int, int] = {}
        self.payloads: dict[int, bytes] = {}
        self.newest_success = {"receive": -1, "send": -1}
        self.peer_sent = bytearray()
        self.received = 0
        self.peer_received = bytearray()
        self.arms = 0
        self.signals = 0

    # -- requests --------------------------------------------------------------------------------------

    def offset(self, context: int) -> int:
        return context % SLICES * SLICE_BYTES

    @precondition(lambda self: self.is_open)
    @rule(length=st.integers(1, SLICE_BYTES), flags=flag_sets, is_waitall=st.booleans())
    def post_receive(self, length: int, flags: int, is_waitall: bool) -> None:
        context = self.posts
        flags |= RIO_MSG_WAITALL if is_waitall else 0
        where = self.offset(context)
        code = self.rq.post_receive(self.block.buffer.buffer_id, where, length, flags, context)
        assert code == (0 if len(self.receives) < self.limits[0] else Status.ENOBUFS)
        if not code:
            self.posts += 1
            self.receives[context] = length

    @precondition(lambda self: self.is_open)
    @rule(length=st.integers(1, SLICE_BYTES), flags=flag_sets)
    def post_send(self, length: int, flags: int) -> None:
        context = self.posts
        data = bytes((context + index) % 256 for index in range(length))
        where = self.block.put(data, self.offset(context)) if len(self.sends) < self.limits[1] else None
        offset = where.offset if where else 0
        code = self.rq.post_send(self.block.buffer.buffer_id, offset, length, flags, context)
        assert code == (0 if where else Status.ENOBUFS)
        if not code:
            self.posts += 1
            self.sends[context] = length
            self.payloads[context] = data

    @precondition(lambda self: self.is_open)
    @rule(is_send=st.booleans())
    def commit(self, is_send: bool) -> None:
        assert (self.rq.commit_sends() if is_send else self.rq.commit_receives()) == 0

    @precondition(lambda self: self.table.provider.can_cancel)
    @rule(choice=st.integers(0, 7))
    def cancel(self, choice: int) -> None:
        known = [*self.receives, *self.sends]
        self.table.provider.cancel(self.rq, known[choice] if choice < len(known) else 1 << 40)

    # -- results ---------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 4))
    def dequeue(self, limit: int) -> None:
        results = self.table.provider.dequeue_completion(self.cq, limit)
        assert len(results) <= limit
        for result in results:
            self.settle_one(result)

    def settle_one(self, result: RioResult) -> None:
        status, count, socket_context, context = result
        kind, requests = ("receive", self.receives) if context in self.receives else ("send", self.sends)
        length = requests.pop(context)  # each exactly once
        assert socket_context == 99
        assert 0 <= count <= length
        if status == 0:
            assert context > self.newest_success[kind], "successes come in posting order"
            self.newest_success[kind] = context
            assert count > 0
        else:
            assert status == Status.OPERATION_ABORTED
        if kind == "receive":
            expected = self.peer_sent[self.received : self.received + count]
            assert self.block.get(count, self.offset(context)) == expected
            self.received += count
        else:
            assert status or count == length
            self.payloads[context] = self.payloads[context][:count]

    # -- the peer --------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_open)
    @rule(length=st.integers(1, 1500))
    def peer_sends(self, length: int) -> None:
        data = bytes((len(self.peer_sent) + index) % 253 for index in range(length))
        self.peer.sendall(data)
        self.peer_sent += data

    @rule()
    def peer_reads(self) -> None:
        self.peer.settimeout(0)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self.peer_received += self.peer.recv(4096)
        self.peer.settimeout(PATIENCE_SECONDS)

    # -- notification ----------------------------------------------------------------------------------

    @rule()
    def notify(self) -> None:
        code = self.cq.arm()
        if code:
            assert code == Status.EALREADY
            assert self.arms > self.signals
        else:
            self.arms += 1

    @rule()
    def take_signals(self) -> None:
        self.signals += self.signal.take(0)
        assert self.signals <= self.arms

    # -- capacity --------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_open)
    @rule(receives=small, sends=small)
    def resize_request_queue(self, receives: int, sends: int) -> None:
        reasons = set()
        if receives + sends == 0:
            reasons.add(Status.EINVAL)
        if receives < len(self.receives) or sends < len(self.sends):
            reasons.add(Status.ETOOMANYREFS)
        if receives + sends > self.capacity:
            reasons.add(Status.ENOBUFS)
        try:
            self.table.provider.resize_request_queue(self.rq, receives, sends)
        except RioCallError as error:
            assert error.code in reasons  # noqa: PT017 -- whether it fails is part of the model
        else:
            assert not reasons
            self.limits = [receives, sends]

    @precondition(lambda self: self.is_open)
    @rule(size=st.integers(1, 12))
    def resize_completion_queue(self, size: int) -> None:
        is_too_small = size < sum(self.limits)
        try:
            self.table.provider.resize_completion_queue(self.cq, size)
        except RioCallError as error:
            assert is_too_small
            assert error.code == Status.ETOOMANYREFS  # noqa: PT017
        else:
            assert not is_too_small
            self.capacity = size

    @rule()
    def close(self) -> None:
        self.table.provider.close_socket(self.rq)
        self.is_open = False

    # -- what always holds -----------------------------------------------------------------------------

    @invariant()
    def counts_agree(self) -> None:
        outstanding = len(self.receives) + len(self.sends)
        assert self.table.provider.outstanding() == outstanding
        assert self.cq.capacity == self.capacity
        if self.is_open:
            assert self.cq.charged == sum(self.limits)
        else:
            assert outstanding <= self.cq.charged <= sum(self.limits)
            assert (self.cq.charged == 0) is (outstanding == 0)

    def teardown(self) -> None:
        with self.stack:
            self.close()
            for result in self.table.collect(self.cq, len(self.receives) + len(self.sends)):
                self.settle_one(result)
            self.counts_agree()
            with contextlib.suppress(ConnectionError):
                while data := self.peer.recv(1 << 16):
                    self.peer_received += data
            assert self.peer_received == b"".join(self.payloads.values())


def test_random_programs_agree_with_the_model(provider_name: str) -> None:
    """Whatever is posted, cancelled, dequeued, resized and closed in whatever order, the table keeps its books."""
    machine = type("Model", (RequestQueueModel,), {"provider_name": provider_name})
    settings = hypothesis.settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    run_state_machine_as_test(machine, settings=settings)

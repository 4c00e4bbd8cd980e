"""The state table of a request against its rules, without sockets and without Trio."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given, strategies as st
from trio.lowlevel import Abort

from trio_rio import RioInternalError
from trio_rio._engine.requests import (
    ACTION_ON_COMPLETE,
    GENERATION,
    SLOT_MASK,
    TRANSITIONS,
    Action,
    Request,
    State,
    Step,
    raise_aborted,
)
from trio_rio.rio import Status


def new_request(context: int = GENERATION, pool: object = None) -> Request:
    return Request(pool, context, [], None)  # type: ignore[arg-type]


@attrs.define
class History:
    """What has happened to a request, and what the rules say may happen next: knows nothing of states."""

    is_waited: bool = False
    is_posted: bool = False
    is_cancelled: bool = False
    is_closed: bool = False
    is_completed: bool = False
    is_leased: bool = False

    def allows(self, step: Step) -> bool:
        if step in (Step.POST, Step.POST_AND_WAIT):
            return not self.is_posted
        if step is Step.CANCEL:
            return self.is_waited and not (self.is_cancelled or self.is_closed or self.is_completed)
        if step is Step.COMPLETE:
            return self.is_posted and not self.is_completed
        if step is Step.TAKE:
            return self.is_completed or self.is_leased
        if step is Step.LEASE:
            return not self.is_leased and (self.is_completed or not self.is_posted)
        return self.is_posted  # CLOSE

    def action(self) -> Action:
        """What is to be done with the result if it comes now."""
        if self.is_closed:
            return Action.DROP
        return Action.WAKE if self.is_waited else Action.KEEP

    def note(self, step: Step) -> None:
        if step in (Step.TAKE, Step.LEASE):
            self.__init__()  # type: ignore[misc]
        self.is_leased = step is Step.LEASE
        self.is_waited |= step is Step.POST_AND_WAIT
        self.is_posted |= step in (Step.POST, Step.POST_AND_WAIT)
        self.is_cancelled |= step is Step.CANCEL
        self.is_closed |= step is Step.CLOSE
        self.is_completed |= step is Step.COMPLETE


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_each_step_in_each_state(state: State, step: Step) -> None:
    """An step of the table leads to its state; any other raises RioInternalError and changes nothing."""
    request = new_request()
    request.state = state
    expected = TRANSITIONS[state].get(step)
    if expected is None:
        with pytest.raises(RioInternalError, match=state.name):
            request.transition(step)
        assert request.state is state
    else:
        request.transition(step)
        assert request.state is expected


@pytest.mark.parametrize("state", list(State))
def test_each_state_that_can_complete_says_what_to_do(state: State) -> None:
    """There is an action for exactly the states in which a request is in flight."""
    assert (ACTION_ON_COMPLETE[state] is not None) == (Step.COMPLETE in TRANSITIONS[state])


@pytest.mark.parametrize("state", list(State))
def test_each_state_can_be_reached_and_left(state: State) -> None:
    """No state is a dead end, and none is out of reach."""
    reached = {target for source in State if source is not state for target in TRANSITIONS[source].values()}
    assert state in reached
    assert set(TRANSITIONS[state].values()) - {state}


def sequences(depth: int) -> Iterator[list[tuple[int, Step]]]:
    """All interleavings of what can happen to two requests, refused events included as the last step."""
    symbols = [(which, step) for which in (0, 1) for step in Step]

    def extend(prefix: list[tuple[int, Step]], histories: tuple[History, History]) -> Iterator[list[tuple[int, Step]]]:
        for which, step in symbols:
            sequence = [*prefix, (which, step)]
            yield sequence
            if histories[which].allows(step) and len(sequence) < depth:
                changed = (attrs.evolve(histories[0]), attrs.evolve(histories[1]))
                changed[which].note(step)
                yield from extend(sequence, changed)

    yield from extend([], (History(), History()))


def test_all_interleavings_of_two_requests() -> None:
    """In every order of what can happen to two requests the table says what their histories say.

    A request completes once, its task is woken at most once, what nobody waits for is kept, what was closed is
    dropped, and nothing that happens to one request changes the other.
    """
    count = 0
    for sequence in sequences(depth=6):
        requests, histories = (new_request(), new_request()), (History(), History())
        for which, step in sequence:
            request, history, other = requests[which], histories[which], requests[1 - which]
            state_of_other = other.state
            if history.allows(step):
                if step is Step.COMPLETE:
                    assert ACTION_ON_COMPLETE[request.state] is history.action()
                request.transition(step)
                history.note(step)
            else:
                before = request.state
                with pytest.raises(RioInternalError):
                    request.transition(step)
                assert request.state is before
            assert other.state is state_of_other
        count += 1
    assert count > 10_000


@attrs.define
class FakePool:
    """Counts what a request asks of its pool, and stands for the channel that it is posted on."""

    request_queue: object = None
    cancelled: int = 0
    finished: int = 0

    def cancel(self, request_queue: object, context: int) -> None:
        assert request_queue is self.request_queue
        self.cancelled += 1

    def finish(self, request: Request) -> None:
        self.finished += 1


class TaskCancelledError(Exception):
    """Stands for trio.Cancelled."""


def raise_cancel() -> None:
    raise TaskCancelledError


def completed(status: int, count: int, *, is_receive: bool, is_cancelled: bool = False) -> tuple[Request, FakePool]:
    """A request that has completed with this result."""
    pool = FakePool()
    request = new_request(pool=pool)
    request.channel = pool  # type: ignore[assignment]
    request.is_receive = is_receive
    request.transition(Step.POST_AND_WAIT)
    if is_cancelled:
        assert request.abort(raise_cancel) is Abort.FAILED  # type: ignore[arg-type]
    request.transition(Step.COMPLETE)
    request.status, request.count = status, count
    return request, pool


def test_a_cancelled_request_is_cancelled_at_the_provider() -> None:
    """The abort function asks once, and leaves the task waiting for the completion."""
    request, pool = completed(0, 1, is_receive=True, is_cancelled=True)
    assert pool.cancelled == 1
    assert request.unwrap() is request


def test_a_request_that_is_not_posted_cannot_be_cancelled() -> None:
    """Aborting a free request raises RioInternalError."""
    with pytest.raises(RioInternalError):
        new_request().abort(raise_cancel)  # type: ignore[arg-type]


@given(count=st.integers(0, 1 << 30), is_receive=st.booleans(), is_cancelled=st.booleans())
def test_a_result_beats_a_cancellation(count: int, is_receive: bool, is_cancelled: bool) -> None:
    """A request that completed with a result delivers it, cancelled or not."""
    request, pool = completed(0, count, is_receive=is_receive, is_cancelled=is_cancelled)
    assert request.unwrap() is request
    assert pool.finished == 0  # the task has still to take it


@given(count=st.integers(0, 1 << 30), is_receive=st.booleans())
def test_an_aborted_request_raises_cancelled(count: int, is_receive: bool) -> None:
    """An aborted request raises what Trio gave; but a send of which a part had gone counts as done."""
    request, pool = completed(Status.OPERATION_ABORTED, count, is_receive=is_receive, is_cancelled=True)
    if count and not is_receive:
        assert request.unwrap() is request
    else:
        with pytest.raises(TaskCancelledError):
            request.unwrap()
        assert pool.finished == 1


def test_a_request_aborted_from_outside_is_an_error() -> None:
    """Aborted though nobody cancelled it: an OSError, not Cancelled."""
    request, pool = completed(Status.OPERATION_ABORTED, 0, is_receive=True)
    assert request.raise_cancel is raise_aborted
    with pytest.raises(OSError):
        request.unwrap()
    assert pool.finished == 1


@pytest.mark.parametrize("status", [Status.ECONNRESET, Status.ECONNREFUSED, Status.EMSGSIZE])
def test_a_failed_send_raises(status: int) -> None:
    """A status other than 0 becomes an OSError, and the request goes back."""
    request, pool = completed(status, 0, is_receive=False)
    with pytest.raises(OSError):
        request.unwrap()
    assert pool.finished == 1


def test_a_datagram_that_was_cut_off_is_a_result() -> None:
    """A datagram longer than its slice is delivered cut off, as sockets do."""
    request, pool = completed(Status.EMSGSIZE, 10, is_receive=True)
    assert request.unwrap() is request
    assert pool.finished == 0


def test_a_request_is_finished_once() -> None:
    """A request that belongs to no channel any more cannot be finished again."""
    with pytest.raises(RioInternalError, match="twice"):
        new_request().finish()


@given(slot=st.integers(0, SLOT_MASK), generation=st.integers(1, (1 << 31) - 1))
def test_a_context_names_slot_and_generation(slot: int, generation: int) -> None:
    """A context fits below 2**63, and slot and generation do not run into one another."""
    context = generation * GENERATION | slot
    assert context < 1 << 63
    assert (context & SLOT_MASK, context // GENERATION) == (slot, generation)

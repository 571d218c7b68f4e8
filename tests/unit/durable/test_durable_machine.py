"""The state machine of sagas: any failures in any order end in done, undone or stuck, and every mark is right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.core.errors import Conflict, DeadlineExceeded, OutcomeUnknown, Unavailable
from hanse.durable.machine import Kind, Machine, State
from hanse.durable.verdict import Verdict, explain, judge

steps = st.lists(st.booleans(), min_size=1, max_size=8)


@given(
    undoable=steps,
    ends=st.booleans(),
    outcomes=st.lists(st.sampled_from(["ok", "failed", "doubt", "parked"]), max_size=30),
    data=st.data(),
)
def test_any_course_ends_well_and_can_be_restored_at_any_moment(
    undoable: list[bool], ends: bool, outcomes: list[str], data: st.DataObject
) -> None:
    undoable = [*undoable, True] if ends else undoable
    ending = len(undoable) - 1 if ends else None
    machine = Machine(undoable, ends=ends)
    written: list[tuple[int, Kind]] = []
    course = iter(outcomes)
    while (action := machine.action()) is not None:
        outcome = next(course, "ok") if action.step != ending else "ok"
        if action.compensating:
            kind = Kind.PARKED if outcome == "parked" else Kind.UNDONE
        else:
            kind = {"failed": Kind.FAILED, "doubt": Kind.DOUBT}.get(outcome, Kind.DONE)
        mark = machine.mark(kind)
        assert mark.step == action.step
        machine.apply(mark.step, mark.kind)
        assert machine.state is mark.state
        written.append((mark.step, mark.kind))
        again = Machine.restore(undoable, data.draw(st.permutations(written)), ends=ends)
        assert (again.state, again.action(), again.position) == (machine.state, machine.action(), machine.position)
    assert len(set(written)) == len(written), "each fact is written once"
    done = [step for step, kind in written if kind is Kind.DONE]
    assert done == list(range(len(done)))
    broken = [(step, kind) for step, kind in written if kind in (Kind.FAILED, Kind.DOUBT)]
    tried = [step for step, kind in written if kind in (Kind.UNDONE, Kind.PARKED)]
    if not broken:
        assert (machine.state, len(done), tried) == (State.DONE, len(undoable), [])
        return
    ((where, kind),) = broken
    assert where == len(done)
    took_effect = [*done, where] if kind is Kind.DOUBT else done
    undone = [step for step in reversed(took_effect) if undoable[step]]
    assert tried == [*undone, *([ending] if ends else [])], "in reverse, each exactly once, and the ending last"
    parked = any(kind is Kind.PARKED for _, kind in written)
    assert machine.state is (State.STUCK if parked else State.UNDONE)


def test_marks_that_do_not_fit_are_refused() -> None:
    machine = Machine([True, True])
    with pytest.raises(ValueError, match="UNDONE does not fit"):
        machine.mark(Kind.UNDONE)
    machine.apply(0, Kind.DONE)
    machine.apply(1, Kind.FAILED)
    with pytest.raises(ValueError, match="DONE does not fit"):
        machine.mark(Kind.DONE)
    machine.apply(0, Kind.UNDONE)
    with pytest.raises(ValueError, match="does not fit"):
        machine.mark(Kind.DONE)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Conflict("declined"), Verdict.REFUSED),
        (Unavailable("down"), Verdict.NOT_DONE),
        (OutcomeUnknown("sent"), Verdict.UNKNOWN),
        (DeadlineExceeded("late"), Verdict.UNKNOWN),
        (TimeoutError(), Verdict.UNKNOWN),
        (ZeroDivisionError(), Verdict.BROKEN),
    ],
)
def test_what_an_error_means(error: Exception, verdict: Verdict) -> None:
    assert judge(error) is verdict
    assert verdict.retry is (verdict in (Verdict.NOT_DONE, Verdict.UNKNOWN))
    assert verdict.doubt is (verdict in (Verdict.UNKNOWN, Verdict.BROKEN))


def test_an_error_is_explained_in_one_short_line() -> None:
    assert explain(ValueError("a\n  b")) == "ValueError: a b"
    assert explain(TimeoutError()) == "TimeoutError"
    assert len(explain(ValueError("x" * 1000))) == 500

"""How a saga stands, for people: an API, a dashboard, a command line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from hanse.durable.definition import SagaDefinition
from hanse.durable.instance import machine_of
from hanse.durable.machine import Kind, State
from hanse.durable.store import Rows

SagaState = Literal["running", "undoing", "done", "undone", "stuck"]
StepState = Literal["pending", "running", "done", "failed", "undoing", "undone", "stuck"]


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step."""

    name: str
    state: StepState
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SagaStatus:
    """One saga instance. Carries no input and no results: these may be secret."""

    id: str
    name: str
    version: int
    state: SagaState
    error: str | None
    """Why it is being, or was, undone."""
    trouble: str | None
    """Why the present step is being tried again, or the saga was set aside."""
    correlation_id: str
    traceparent: str
    created_at: datetime
    updated_at: datetime
    steps: tuple[StepStatus, ...]
    """In order of definition."""


_AFTER: dict[Kind, StepState] = {
    Kind.DONE: "done",
    Kind.UNDONE: "undone",
    Kind.FAILED: "failed",
    Kind.DOUBT: "failed",
    Kind.PARKED: "stuck",
}
_NAMES: dict[State, SagaState] = {
    State.RUNNING: "running",
    State.UNDOING: "undoing",
    State.DONE: "done",
    State.UNDONE: "undone",
    State.STUCK: "stuck",
}


def status_of(row: Sequence[Any], marks: Rows, definition: SagaDefinition | None) -> SagaStatus:
    """Put a status together.

    Args:
        row: as `saga_read` gives it.
        marks: those of this saga, as `saga_steps` gives them, by time.
        definition: names the steps that have not begun; None when this service does not know the saga.
    """
    saga_id, name, version, state, attempt, trouble, error, correlation_id, traceparent, created, updated = row
    now = State(state)
    steps: dict[str, StepStatus] = {}
    for _, _, kind, step, attempts, failure, started, ended in marks:
        before = steps.get(step)
        began = before.started_at if before else _time(started)
        steps[step] = StepStatus(
            step, _AFTER[Kind(kind)], attempts, began, _time(ended), failure or (before.error if before else None)
        )
    names = definition.step_names if definition is not None else tuple(steps)
    ordered = [steps.get(step, StepStatus(step, "pending", 0, None, None, None)) for step in names]
    if now is State.RUNNING:
        at = next((index for index, step in enumerate(ordered) if step.state == "pending"), None)
        if at is not None:
            began = ordered[at - 1].ended_at if at else _time(created)
            ordered[at] = StepStatus(ordered[at].name, "running", attempt, began, None, trouble)
    if now is State.UNDOING and definition is not None:
        action = machine_of(definition, [(mark[1], Kind(mark[2])) for mark in marks]).action()
        if action is not None:
            ordered[action.step] = replace(ordered[action.step], state="undoing", ended_at=None)
    if definition is not None and definition.ends:
        ordered[-1] = _forward(ordered[-1])
    return SagaStatus(
        saga_id,
        name,
        version,
        _NAMES[now],
        error,
        trouble,
        correlation_id,
        traceparent,
        _time(created),
        _time(max([updated, *(mark[7] for mark in marks)])),
        tuple(ordered),
    )


def _forward(ending: StepStatus) -> StepStatus:
    """An ending is done, never undone, whichever way it was come to."""
    if ending.state == "undoing":
        return replace(ending, state="running")
    return replace(ending, state="done") if ending.state == "undone" else ending


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

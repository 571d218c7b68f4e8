"""A saga instance in memory, new or restored from its journal."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hanse.core.errors import HanseError
from hanse.durable.context import Failure
from hanse.durable.definition import SagaDefinition
from hanse.durable.machine import Kind, Machine


class JournalMismatch(HanseError):
    """What was written down does not fit the code that runs now. A person must bring the two together."""

    code = "journal_mismatch"


@dataclass(slots=True)
class Instance:
    """What a replica holds of a saga that it works on."""

    id: str
    definition: SagaDefinition
    fence: int
    given: Any
    """The input, validated."""
    machine: Machine
    correlation_id: str
    traceparent: str
    created_at_s: float
    results: dict[int, Any] = field(default_factory=dict)
    """By index of step; only steps that are done."""
    attempt: int = 0
    """Attempts made of the present step or compensation."""
    doubt: bool = False
    """An earlier attempt of the present step may have taken effect."""
    hopeless: int = 0
    """Attempts of the present compensation that failed in a way that does not pass, since this replica has the saga."""
    failure: Failure | None = None
    """Why it is being undone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A mark as it stands in the journal."""

    step: int
    kind: Kind
    name: str
    result: str | None


def machine_of(definition: SagaDefinition, marks: Iterable[tuple[int, Kind]] = ()) -> Machine:
    """The machine of a saga that has these (step, kind), in any order; at its start without any."""
    return Machine.restore([step.undo is not None for step in definition.steps], marks, ends=definition.ends)


def restore(definition: SagaDefinition, row: tuple[Any, ...], journal: Iterable[Entry]) -> Instance:
    """Build an instance from what another replica, or an earlier life of this one, has written.

    Args:
        row: `id, name, version, fence, attempt, input, correlation_id, traceparent, created_at, failure`.

    Raises:
        JournalMismatch: steps, input or results don't fit the definition.
    """
    saga_id, _, version, fence, attempt, given, correlation_id, traceparent, created_at, failure = row
    entries = list(journal)
    names = definition.step_names
    for entry in entries:
        if entry.step >= len(names) or names[entry.step] != entry.name:
            raise JournalMismatch(
                f'saga {saga_id} was written by version {version}, whose step {entry.step + 1} is "{entry.name}"; '
                f"version {definition.version} has no such step there"
            )
    machine = machine_of(definition, [(entry.step, entry.kind) for entry in entries])
    if machine.action() is None:
        raise JournalMismatch(f"saga {saga_id} of version {version} has more steps than version {definition.version}")
    try:
        value = definition.input.validate_json(given)
        results = {
            entry.step: adapter.validate_json(entry.result)
            for entry in entries
            if entry.result is not None and (adapter := definition.steps[entry.step].result) is not None
        }
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise JournalMismatch(f"saga {saga_id}: what was stored no longer fits: {first['msg']}") from error
    instance = Instance(saga_id, definition, fence, value, machine, correlation_id, traceparent, created_at, results)
    instance.attempt = attempt
    instance.doubt = fence > 1
    instance.failure = Failure(**json.loads(failure)) if failure else None
    return instance

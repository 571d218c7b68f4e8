"""The checked form of a saga's declaration: which steps, which calls, where each argument comes from."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from hanse.durable.context import SagaContext


class Origin(enum.Enum):
    """Where the value of a parameter comes from."""

    INPUT = "input"
    RESULT = "result"
    CONTEXT = "context"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a step or compensation."""

    name: str
    origin: Origin
    step: int = -1
    """For RESULT: index of the step whose result it takes."""
    optional: bool = False
    """It accepts None."""


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the saga class and how to call it."""

    method: str
    parameters: tuple[Parameter, ...]
    local: bool = field(init=False)
    """True when it runs inside a database transaction."""

    def __post_init__(self) -> None:
        local = any(parameter.origin is Origin.SESSION for parameter in self.parameters)
        object.__setattr__(self, "local", local)  # frozen, and asked for at every step

    def arguments(
        self, given: Any, results: Mapping[int, Any], context: Callable[[], SagaContext], session: Any
    ) -> dict[str, Any]:
        """The keyword arguments of one call.

        Args:
            given: the saga's input.
            results: by index of step; a step that has none gives None.
            context: called when the method asks for it.
        """
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.origin is Origin.RESULT:
                values[parameter.name] = results.get(parameter.step)
            elif parameter.origin is Origin.INPUT:
                values[parameter.name] = given
            elif parameter.origin is Origin.CONTEXT:
                values[parameter.name] = context()
            else:
                values[parameter.name] = session
        return values


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """One step, with what undoes it."""

    index: int
    name: str
    do: Call
    undo: Call | None
    result: TypeAdapter[Any] | None
    """None when it gives nothing."""
    timeout_s: float
    attempts: int
    """0 is for ever."""
    undo_attempts: int | None = None
    """0 is for ever; None is what the options say."""
    ending: bool = False
    """It runs last, whichever way the saga ended, and is repeated until it succeeds: `do` and `undo` are the same."""

    @property
    def undo_needs_result(self) -> bool:
        """True when the compensation cannot be called without knowing what the step gave."""
        return self.undo is not None and any(
            parameter.origin is Origin.RESULT and parameter.step == self.index and not parameter.optional
            for parameter in self.undo.parameters
        )


@dataclass(frozen=True, slots=True)
class SagaDefinition:
    """A saga as declared; immutable, made once at import."""

    name: str
    version: int
    cls: type
    input: TypeAdapter[Any]
    steps: tuple[StepDefinition, ...]

    @property
    def ends(self) -> bool:
        """True when the last step is an ending."""
        return self.steps[-1].ending

    @property
    def step_names(self) -> tuple[str, ...]:
        return tuple(step.name for step in self.steps)

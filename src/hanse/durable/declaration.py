"""`@saga` and `@step`: how a saga is written down."""

import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from hanse.durable.binding import Place, define
from hanse.durable.definition import SagaDefinition

_MARK = "__hanse_step__"
_DEFINITION = "__hanse_saga__"

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class StepMark:
    """What `@step` says about a method."""

    compensate: str | None
    timeout_s: float
    attempts: int
    undo_attempts: int | None


@overload
def step(method: F, /) -> F: ...
@overload
def step(
    *, compensate: str | None = None, timeout: float = 10.0, attempts: int = 5, undo_attempts: int | None = None
) -> Callable[[F], F]: ...
def step(
    method: F | None = None,
    /,
    *,
    compensate: str | None = None,
    timeout: float = 10.0,
    attempts: int = 5,
    undo_attempts: int | None = None,
) -> F | Callable[[F], F]:
    """Make an async method of a `@saga` class one of its steps; they run in the order of definition.

    Parameters of the method are filled by type, then by name: the saga's input (the first parameter of the first
    step declares it), results of former steps, `SagaContext`. A parameter of SQLAlchemy's `AsyncSession` makes it a
    *local step*: it runs in a database transaction, and its checkpoint commits in that same transaction: exactly
    once. Any other step runs at least once; pass `SagaContext.key` on to whoever does the work.

    Args:
        compensate: name of the method that undoes it. It may ask for the step's result as `Result | None`: None when
            nobody knows whether the step took effect.
        timeout: seconds for one attempt (> 0).
        attempts: how often it is tried in all when it fails in a way that may pass (a retryable error, an unknown
            outcome, a timeout); 0 is for ever. Any other error leads to compensation at once.
        undo_attempts: how often its compensation is tried, whatever the error, before it is parked for a person;
            None is `DurableOptions.undo_attempts`. 0: for ever while the error may pass; only an error that does not
            pass is tried as often as by default.
    """

    def mark(method: F) -> F:
        setattr(method, _MARK, StepMark(compensate, timeout, attempts, undo_attempts))
        return method

    return mark(method) if method is not None else mark


def saga(name: str, *, version: int = 1, ended: str | None = None) -> Callable[[C], C]:
    """Declare a class as a saga: its `@step` methods in order, each durable before the next begins.

    Args:
        name: stored with every instance; keep it when the class is renamed.
        version: raise it when steps are added, removed or reordered.
        ended: name of the method that closes the saga: it runs once, after the last step or after the last
            compensation; `SagaContext.failure` tells which. It takes an `AsyncSession`, and what it writes commits
            together with the saga's final state. It can't refuse: whatever it raises, it is tried again. Results of
            steps that it asks for are None where a step was not done.

    Raises:
        ConfigurationError: a compensation that does not exist, a parameter that nothing fills, a missing annotation:
            with file, line and the nearest name.
    """

    def declare(cls: C) -> C:
        caller = sys._getframe(1)
        place = Place(name, cls, {**caller.f_globals, **caller.f_locals})
        marked = [(member, value) for member, value in _members(cls).items() if hasattr(value, _MARK)]
        if version < 1:
            raise place.error(cls, f"has version {version}; versions start at 1")
        steps = [(member, method, getattr(method, _MARK)) for member, method in marked]
        for member, method, mark in steps:
            if mark.timeout_s <= 0 or min(mark.attempts, mark.undo_attempts or 0) < 0:
                raise place.error(method, f'step "{member}" needs timeout > 0, attempts ≥ 0 and undo_attempts ≥ 0')
            if mark.undo_attempts is not None and mark.compensate is None:
                raise place.error(method, f'step "{member}" has undo_attempts, and nothing undoes it')
        setattr(cls, _DEFINITION, define(place, version, steps, ended))
        return cls

    return declare


def definition_of(cls: type) -> SagaDefinition:
    """The definition behind a class decorated with `@saga`.

    Raises:
        ConfigurationError: the class is not a saga.
    """
    found = cls.__dict__.get(_DEFINITION)
    if not isinstance(found, SagaDefinition):
        raise Place(cls.__name__, cls, {}).error(cls, "is not declared: put @saga(name) above the class")
    return found


def _members(cls: type) -> dict[str, Any]:
    """The class's functions in order of definition, those of its bases first."""
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        members.update((key, value) for key, value in vars(base).items() if inspect.isfunction(value))
    return members

"""From signatures to definitions: every parameter of a step is traced to its source, or refused with a hint."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from hanse.core.errors import ConfigurationError
from hanse.durable.context import SagaContext
from hanse.durable.definition import Call, Origin, Parameter, SagaDefinition, StepDefinition

_MISSING = inspect.Parameter.empty
_ENDING_S = 10.0
"""For one attempt of an ending; it works in this database only."""


class Mark(Protocol):
    """What is said about a step beside its signature."""

    @property
    def compensate(self) -> str | None: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def attempts(self) -> int: ...
    @property
    def undo_attempts(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """The class being declared, and what its annotations may refer to."""

    saga: str
    cls: type
    names: dict[str, Any]

    def error(self, subject: Any, text: str) -> ConfigurationError:
        """An error that begins with file and line of `subject` and names the saga."""
        return ConfigurationError(f'{_where(subject)}: saga "{self.saga}" {text}')

    def hints(self, method: Any, role: str) -> dict[str, Any]:
        """The resolved annotations of a method."""
        try:
            return typing.get_type_hints(method, localns=self.names)
        except NameError as error:
            text = f'{role} has an annotation that is not defined here: "{error.name}"'
            raise self.error(method, text + suggestion(error.name or "", self.names)) from error


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A value that a parameter can take: the input or the result of a step."""

    name: str
    type: Any
    origin: Origin
    step: int = -1


def define(
    place: Place, version: int, steps: Sequence[tuple[str, Callable[..., Any], Mark]], ended: str | None = None
) -> SagaDefinition:
    """Check the steps of a class and bind their parameters.

    Args:
        ended: name of the method that becomes the last step, the ending.

    Raises:
        ConfigurationError: see `saga`.
    """
    if not steps:
        raise place.error(place.cls, "has no step: put @step above its methods")
    given = _input(place, *steps[0][:2])
    candidates = [given]
    defined = []
    for index, (name, method, mark) in enumerate(steps):
        role = f'step "{name}"'
        do = _bind(place, method, role, candidates)
        returns = place.hints(method, role).get("return", _MISSING)
        if returns is _MISSING:
            raise place.error(method, f'{role} has no return annotation; write "-> None" when it gives nothing')
        if returns is not types.NoneType:
            candidates.append(_Candidate(name, returns, Origin.RESULT, index))
        undo = _compensation(place, name, method, mark.compensate, candidates)
        result = None if returns is types.NoneType else _adapter(place, method, role, returns)
        limits = (mark.timeout_s, mark.attempts, mark.undo_attempts)
        defined.append(StepDefinition(index, name, do, undo, result, *limits))
    if ended is not None:
        end = _ending(place, ended, [step.name for step in defined], candidates)
        defined.append(StepDefinition(len(steps), ended, end, end, None, _ENDING_S, attempts=0, ending=True))
    accepts = _adapter(place, steps[0][1], f'step "{steps[0][0]}"', given.type)
    return SagaDefinition(place.saga, version, place.cls, accepts, tuple(defined))


def suggestion(word: str, known: Any) -> str:
    """` Did you mean "…"?` when something known is near, else nothing."""
    near = difflib.get_close_matches(word, [name for name in known if not name.startswith("__")], 1)
    return f'. Did you mean "{near[0]}"?' if near else ""


def _input(place: Place, name: str, method: Callable[..., Any]) -> _Candidate:
    role = f'step "{name}"'
    hints = place.hints(method, role)
    for parameter in _parameters(place, method, role):
        hint = hints.get(parameter.name, _MISSING)
        if _special(hint) is None:
            if hint is _MISSING:
                raise place.error(method, f'{role}: annotate "{parameter.name}": it declares the saga\'s input')
            return _Candidate(parameter.name, hint, Origin.INPUT)
    raise place.error(method, f"{role} must take the saga's input: its first parameter declares it")


def _compensation(
    place: Place, step: str, method: Callable[..., Any], name: str | None, candidates: list[_Candidate]
) -> Call | None:
    if name is None:
        return None
    undo = getattr(place.cls, name, None)
    if undo is None:
        known = [key for key, value in inspect.getmembers(place.cls, inspect.isfunction) if key != step]
        text = f'step "{step}" names compensation "{name}", which does not exist'
        raise place.error(method, text + suggestion(name, known))
    return _bind(place, undo, f'compensation "{name}"', candidates)


def _ending(place: Place, name: str, steps: Collection[str], candidates: list[_Candidate]) -> Call:
    method, role = getattr(place.cls, name, None), f'ending "{name}"'
    if name in steps:
        raise place.error(method, f"{role} is a step already; write a method of its own for the end")
    if method is None:
        known = [key for key, _ in inspect.getmembers(place.cls, inspect.isfunction)]
        raise place.error(place.cls, f"names {role}, which does not exist" + suggestion(name, known))
    call = _bind(place, method, role, candidates)
    if not call.local:
        raise place.error(method, f"{role} must take an AsyncSession: it commits with the saga's final state")
    for parameter in call.parameters:
        if parameter.origin is Origin.RESULT and not parameter.optional:
            text = f'{role}: "{parameter.name}" must accept None, for when its step was not done'
            raise place.error(method, text)
    return call


def _bind(place: Place, method: Callable[..., Any], role: str, candidates: list[_Candidate]) -> Call:
    if not inspect.iscoroutinefunction(method):
        raise place.error(method, f'{role} must be "async def"')
    hints = place.hints(method, role)
    bound = []
    for parameter in _parameters(place, method, role):
        hint = hints.get(parameter.name, _MISSING)
        origin = _special(hint)
        if origin is not None:
            bound.append(Parameter(parameter.name, origin))
            continue
        found = _choose(place, method, role, (parameter.name, hint), candidates)
        if found is not None:
            bound.append(Parameter(parameter.name, found.origin, found.step, _bare(hint)[1]))
        elif parameter.default is _MISSING:
            raise _unfilled(place, method, role, (parameter.name, hint), candidates)
    return Call(method.__name__, tuple(bound))


def _choose(
    place: Place, method: Any, role: str, wanted: tuple[str, Any], candidates: list[_Candidate]
) -> _Candidate | None:
    """The one candidate of that type; of several, the one of that name."""
    name, hint = wanted
    named = next((candidate for candidate in candidates if candidate.name == name), None)
    if hint is _MISSING or hint is Any:
        return named
    same = [candidate for candidate in candidates if _bare(candidate.type)[0] == _bare(hint)[0]]
    if len(same) == 1:
        return same[0]
    if named in same:
        return named
    if same:
        names = ", ".join(f'"{candidate.name}"' for candidate in same)
        text = f'{role}: "{name}: {_text(hint)}" could be any of {names}; give the parameter one of these names'
        raise place.error(method, text)
    if named is not None:
        text = f'{role}: "{name}" is annotated {_text(hint)}, but is {_text(named.type)}'
        raise place.error(method, text)
    return None


def _unfilled(
    place: Place, method: Any, role: str, wanted: tuple[str, Any], candidates: list[_Candidate]
) -> ConfigurationError:
    name, hint = wanted
    known = ", ".join(f'"{candidate.name}: {_text(candidate.type)}"' for candidate in candidates)
    shown = name if hint is _MISSING else f"{name}: {_text(hint)}"
    text = f'{role}: nothing fills parameter "{shown}"; there is {known}, SagaContext and AsyncSession'
    return place.error(method, text + suggestion(name, [candidate.name for candidate in candidates]))


def _parameters(place: Place, method: Callable[..., Any], role: str) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    for parameter in parameters:
        if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            raise place.error(method, f'{role}: parameter "{parameter}" must have a name of its own')
    return parameters


def _special(hint: Any) -> Origin | None:
    if hint is SagaContext:
        return Origin.CONTEXT
    if isinstance(hint, type) and issubclass(hint, AsyncSession):
        return Origin.SESSION
    return None


def _bare(hint: Any) -> tuple[Any, bool]:
    """The annotation without `| None`, and whether it had it."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    rest = tuple(part for part in typing.get_args(hint) if part is not types.NoneType)
    optional = len(rest) < len(typing.get_args(hint))
    return (rest[0] if len(rest) == 1 else frozenset(rest)), optional


def _adapter(place: Place, method: Any, role: str, hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint)
    except Exception as error:  # pydantic has one error class per way to fail; all mean: not storable
        raise place.error(method, f"{role}: {_text(hint)} can't be stored as JSON: {error}") from error


def _text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _where(subject: Any) -> str:
    """`file:line`, the file relative to the working directory when it is below it."""
    try:
        path = Path(inspect.getsourcefile(subject) or "?")
        code = getattr(subject, "__code__", None)
        line = code.co_firstlineno if code is not None else inspect.getsourcelines(subject)[1]
    except (TypeError, OSError):
        return "?"
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"

"""Declaring event types: a pydantic model, a dotted name, a version and the field that orders its events."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from pydantic import BaseModel

from hanse.core.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ATTRIBUTE = "__hanse_event__"


@dataclass(frozen=True, slots=True)
class EventType:
    """What `@event` says about a model."""

    name: str
    """Dotted, from the domain to the fact: `order.placed`."""
    version: int = 1
    """Of the payload's schema; raised by changes that old readers can't take."""
    key: str | None = None
    """The field whose value becomes the envelope's subject; events of one key belong together."""


def valid_type(name: str) -> bool:
    """True for a dotted name of letters, digits, `_` and `-` without empty parts."""
    return _NAME.fullmatch(name) is not None


def event(name: str, *, version: int = 1, key: str | None = None) -> Callable[[type[M]], type[M]]:
    """Declare a pydantic model to be the payload of events of one type.

    Args:
        name: dotted type, for example `order.placed`.
        version: schema version, ≥ 1.
        key: name of the model's field that tells what the event is about (`order_id`).

    Returns:
        A class decorator that gives the class back unchanged but for the declaration.

    Raises:
        ConfigurationError: when the class is declared: bad name or version, not a pydantic model, unknown field.
    """
    if not valid_type(name):
        raise ConfigurationError(f'event type "{name}" must be dotted words of letters, digits, "_" and "-"')
    if version < 1:
        raise ConfigurationError(f'event "{name}": version is {version}, but versions start at 1')

    def declare(model: type[M]) -> type[M]:
        if not issubclass(model, BaseModel):
            raise ConfigurationError(f'event "{name}": {model!r} is not a pydantic model')
        if key is not None and key not in model.model_fields:
            close = get_close_matches(key, model.model_fields, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            raise ConfigurationError(f'event "{name}": {model.__qualname__} has no field "{key}" for its key.{hint}')
        setattr(model, _ATTRIBUTE, EventType(name, version, key))
        return model

    return declare


def event_type(model: type[BaseModel]) -> EventType:
    """The declaration of an event model.

    A subclass of an event is not an event until it is declared itself, so that no two models share a type by accident.

    Raises:
        ConfigurationError: the class was not declared with `@event`.
    """
    declared = model.__dict__.get(_ATTRIBUTE)
    if not isinstance(declared, EventType):
        raise ConfigurationError(
            f'{model.__module__}.{model.__qualname__} is not an event: declare it with @event("…")'
        )
    return declared

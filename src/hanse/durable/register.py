"""The sagas that this service knows, by name and version."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hanse.core.errors import ConfigurationError
from hanse.durable.declaration import definition_of
from hanse.durable.definition import SagaDefinition


@dataclass(frozen=True, slots=True)
class Known:
    """A saga and how to build the object whose methods are its steps."""

    definition: SagaDefinition
    make: Callable[[], Any]


class Register:
    """Filled before the service starts. Several versions of a saga may be known, so that old instances can end."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, Known]] = {}

    @property
    def names(self) -> list[str]:
        """Names of all known sagas: only instances of these are adopted."""
        return sorted(self._known)

    def add(self, cls: type, make: Callable[[], Any] | None = None) -> Known:
        """Make a saga known; adding the same class again changes nothing.

        Raises:
            ConfigurationError: not a saga, or another class has that name and version.
        """
        definition = definition_of(cls)
        versions = self._known.setdefault(definition.name, {})
        old = versions.get(definition.version)
        if old is None:
            versions[definition.version] = Known(definition, make or cls)
        elif old.definition.cls is not cls:
            raise ConfigurationError(
                f'{cls.__qualname__} and {old.definition.cls.__qualname__} both declare saga "{definition.name}" '
                f"version {definition.version}"
            )
        return versions[definition.version]

    def find(self, name: str, version: int) -> Known | None:
        """That version, else the newest; None for an unknown name."""
        versions = self._known.get(name)
        if versions is None:
            return None
        return versions.get(version) or versions[max(versions)]

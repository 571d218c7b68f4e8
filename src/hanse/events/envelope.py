"""The envelope: what every event carries beside its data, in the words of CloudEvents 1.0."""

import builtins  # for `type`, which is an attribute here
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from hanse.core import Env, current
from hanse.events.declaration import event_type
from hanse.events.errors import PoisonEvent

M = TypeVar("M", bound=BaseModel)

JSON = "application/json"
_REQUIRED = ("id", "source", "type")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event. Source: CloudEvents 1.0.2, attributes; `traceparent` is its distributed tracing extension."""

    id: str
    """Unique for ever; publishing the same id again stores nothing."""
    source: str
    """Who says so: the service's name."""
    type: str
    """Dotted type, for example `order.placed`."""
    time: datetime
    """When it happened; aware, UTC."""
    data: bytes
    """The payload, JSON unless `datacontenttype` says otherwise."""
    subject: str = ""
    """The key: what the event is about (an order's id). Empty when the type declares none."""
    datacontenttype: str = JSON
    version: int = 1
    """Of the payload's schema (CloudEvents extension `dataversion`)."""
    correlation_id: str = ""
    """Of the request or saga that caused it (CloudEvents extension `correlationid`)."""
    traceparent: str = ""
    """W3C trace context of the span that published it."""

    @classmethod
    def of(cls, model: BaseModel, *, source: str, env: Env, traceparent: str = "") -> "Envelope":
        """Wrap a declared event.

        The id and time come from `env`, the correlation id from the running request.

        Args:
            model: an instance of a class declared with `@event`.
            source: the publishing service's name.
            env: the node's seams.
            traceparent: of the running span, if there is one.

        Raises:
            ConfigurationError: the model's class is not declared as an event.
        """
        declared = event_type(type(model))
        key = "" if declared.key is None else str(getattr(model, declared.key))
        return cls(
            id=env.ids.new("evt"),
            source=source,
            type=declared.name,
            time=env.clock.utc(),
            data=model.model_dump_json().encode(),
            subject=key,
            version=declared.version,
            correlation_id=current().correlation_id,
            traceparent=traceparent,
        )

    def decode(self, model: builtins.type[M]) -> M:
        """The payload as a validated model.

        Raises:
            PoisonEvent: the data is no JSON or does not fit the model; says which field and why.
        """
        try:
            return model.model_validate_json(self.data)
        except ValidationError as error:
            first, *more = error.errors(include_url=False, include_input=False)
            where = ".".join(str(part) for part in first["loc"]) or "data"
            rest = f" (and {len(more)} more)" if more else ""
            raise PoisonEvent(
                f"event {self.id} ({self.type} v{self.version}) does not fit {model.__name__}: "
                f"{where}: {first['msg']}{rest}",
                event=self.id,
                type=self.type,
            ) from error

    def attributes(self) -> dict[str, str]:
        """All but the data as text, by CloudEvents attribute name; empty ones are left out.

        With `data` it makes the binary mode of CloudEvents bindings, and a row of an outbox.
        """
        found = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time.isoformat(),
            "datacontenttype": self.datacontenttype,
            "dataversion": str(self.version),
        }
        for name, value in (
            ("subject", self.subject),
            ("correlationid", self.correlation_id),
            ("traceparent", self.traceparent),
        ):
            if value:
                found[name] = value
        return found

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str], data: bytes) -> "Envelope":
        """The inverse of `attributes`. Unknown attributes are ignored.

        Raises:
            PoisonEvent: a required attribute is missing, or one can't be read.
        """
        get = attributes.get
        try:
            envelope = cls(
                attributes["id"],
                attributes["source"],
                attributes["type"],
                datetime.fromisoformat(attributes["time"]),
                data,
                get("subject", ""),
                get("datacontenttype", JSON),
                int(get("dataversion", "1")),
                get("correlationid", ""),
                get("traceparent", ""),
            )
        except KeyError as error:
            raise PoisonEvent(f"not a CloudEvent: attribute {error.args[0]!r} is missing") from error
        except ValueError as error:
            raise PoisonEvent(f"not a CloudEvent: {error}") from error
        if not (envelope.id and envelope.type and envelope.source):
            raise PoisonEvent(f"not a CloudEvent: {', '.join(_REQUIRED)} may not be empty")
        if envelope.time.tzinfo is None:
            raise PoisonEvent(f"not a CloudEvent: time {attributes['time']!r} has no offset")
        return envelope

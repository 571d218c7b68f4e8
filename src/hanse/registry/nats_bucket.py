"""How instances look on NATS: one key-value bucket, one key per instance, each with a time to live."""

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from hanse.broker import NANOS
from hanse.core.errors import InvalidInput
from hanse.registry.contract import Instance

BUCKET = "KV_REG"
_PREFIX = "$KV.REG."
_MARKER_S = 60  # the shortest that the server takes; without it watchers never hear of an expiry

CONFIG: dict[str, Any] = {
    "name": BUCKET,
    "subjects": [f"{_PREFIX}>"],
    "max_msgs_per_subject": 1,
    "storage": "file",
    "discard": "new",
    "allow_rollup_hdrs": True,
    "deny_delete": True,
    "allow_direct": True,
    "allow_msg_ttl": True,
    "subject_delete_marker_ttl": _MARKER_S * NANOS,
}
"""A bucket as the NATS tools know it. Source: NATS ADR-8 (key-value), ADR-43 (time to live per message), ADR-48."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An instance as it is stored."""

    instance: Instance
    ttl_s: int


def subject(service: str, id: str) -> str:
    return f"{_PREFIX}{service}.{id}"


def subjects(service: str | None) -> str:
    """Of all instances of a service, or of all."""
    return f"{_PREFIX}>" if service is None else f"{_PREFIX}{service}.*"


def put_headers(ttl_s: int) -> bytes:
    return b"NATS/1.0\r\nNats-TTL: %ds\r\n\r\n" % ttl_s


def delete_headers() -> bytes:
    return b"NATS/1.0\r\nKV-Operation: DEL\r\nNats-TTL: %ds\r\n\r\n" % _MARKER_S


def write_entry(entry: Entry) -> bytes:
    return orjson.dumps({**asdict(entry.instance), "ttl_s": entry.ttl_s})


def read_entry(data: bytes) -> Entry:
    """Raises InvalidInput when the data is no entry. Fields that a newer version may add are ignored."""
    try:
        found = orjson.loads(data)
        instance = Instance(
            service=found["service"],
            id=found["id"],
            host=found["host"],
            port=found["port"],
            version=found.get("version", ""),
            weight=found.get("weight", 1),
            zone=found.get("zone", ""),
            tags=tuple(found.get("tags", ())),
            metadata=dict(found.get("metadata", {})),
        )
        return Entry(instance, int(found["ttl_s"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"not a registry entry: {error!r}") from error


def removal(headers: bytes | None) -> str:
    """Why a key went: `expired`, `deleted`, or empty when the message is a value."""
    if not headers:
        return ""
    if b"Nats-Marker-Reason: MaxAge" in headers:
        return "expired"
    return "deleted" if b"KV-Operation:" in headers or b"Nats-Marker-Reason:" in headers else ""

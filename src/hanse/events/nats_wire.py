"""How events look on NATS: subjects, and CloudEvents attributes as headers. Pure functions.

Source: CloudEvents 1.0, NATS protocol binding, binary content mode; header block as in the NATS client protocol.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from hanse.broker import NANOS
from hanse.core.errors import InvalidInput
from hanse.events.contract import Subscription
from hanse.events.declaration import valid_type
from hanse.events.envelope import JSON, Envelope
from hanse.events.errors import PoisonEvent
from hanse.events.patterns import disjoint

EVENTS, DEAD = "EVENTS", "DLQ"
"""The streams: what was published (and what is given once more to one group), and what a group could not handle."""

MAX_ACK_PENDING = 20_000
"""Of a group: deliveries and retries not yet acknowledged, after which the server holds back."""

_PLAIN = re.compile(r"[!#$&-~]*")
_OWN = re.compile(
    r"NATS/1\.0\r\nNats-Msg-Id: [^\r]*\r\nce-id: ([^\r%]+)\r\nce-time: ([^\r%]+)\r\n"
    r"ce-specversion: 1\.0\r\nce-type: ([^\r%]+)\r\nce-source: ([^\r%]+)\r\n"
    r"content-type: ([^\r%]+)\r\nce-dataversion: (\d+)\r\n"
    r"(?:ce-subject: ([^\r%]*)\r\n)?(?:ce-correlationid: ([^\r%]*)\r\n)?(?:ce-traceparent: ([^\r%]*)\r\n)?\r\n"
)
"""A block as `write_headers` makes it when nothing had to be encoded: read in one go, at a fifth of the cost."""
_SAFE = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def event_subject(event_type: str) -> str:
    """`order.placed` → `evt.order.placed`; the pattern `#` at an end becomes `>`."""
    return f"evt.{event_type[:-1]}>" if event_type.endswith("#") else f"evt.{event_type}"


def again_subject(service: str, group: str, event_type: str) -> str:
    """Where a dead letter is published to reach its own group once more, and no other."""
    return f"again.{service}.{group}.{event_type}"


def dead_subject(service: str, group: str, event_type: str) -> str:
    """Where an event goes that a group of a service could not handle."""
    return f"dlq.{service}.{group}.{event_type}"


@lru_cache(maxsize=4096)
def publish_subject(event_type: str) -> bytes:
    """The subject to publish a type on. Raises InvalidInput when the type is not dotted words."""
    if not valid_type(event_type):
        raise InvalidInput(f'event type "{event_type}" is not dotted words')
    return event_subject(event_type).encode()


def encode(value: str) -> str:
    """A header value: printable ASCII as it is, the rest, blanks, quotes and `%` percent-encoded as UTF-8."""
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_SAFE)


@lru_cache(maxsize=4096)
def _constant_headers(event_type: str, source: str, datacontenttype: str, version: int) -> str:
    return (
        f"ce-specversion: 1.0\r\nce-type: {encode(event_type)}\r\nce-source: {encode(source)}\r\n"
        f"content-type: {encode(datacontenttype)}\r\nce-dataversion: {version}\r\n"
    )


def write_headers(envelope: Envelope, *, message_id: str | None = None, extra: str = "") -> bytes:
    """The header block of an envelope.

    Args:
        envelope: what to publish.
        message_id: by which the server tells repetitions; the envelope's id when None.
        extra: more header lines, each ended by CR LF.
    """
    id = encode(envelope.id)
    lines = (
        f"NATS/1.0\r\nNats-Msg-Id: {id if message_id is None else message_id}\r\nce-id: {id}\r\n"
        f"ce-time: {envelope.time.isoformat()}\r\n"
        f"{_constant_headers(envelope.type, envelope.source, envelope.datacontenttype, envelope.version)}"
    )
    if envelope.subject:
        lines += f"ce-subject: {encode(envelope.subject)}\r\n"
    if envelope.correlation_id:
        lines += f"ce-correlationid: {encode(envelope.correlation_id)}\r\n"
    if envelope.traceparent:
        lines += f"ce-traceparent: {encode(envelope.traceparent)}\r\n"
    return f"{lines}{extra}\r\n".encode("ascii")


def read_headers(block: bytes | None) -> dict[str, str]:
    """Header lines as a dictionary, names in lower case, values decoded."""
    if not block:
        return {}
    found: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            value = value.strip()
            found[name.lower()] = unquote(value) if "%" in value else value
    return found


def read_envelope(headers: bytes | None, data: bytes) -> Envelope:
    """The envelope of a message.

    Raises:
        PoisonEvent: the headers do not make a CloudEvent.
    """
    own = _OWN.fullmatch(headers.decode("utf-8", "replace")) if headers else None
    if own is not None:
        id, time, event_type, source, content, version, key, correlation, trace = own.groups("")
        try:
            at = datetime.fromisoformat(time)
        except ValueError as error:
            raise PoisonEvent(f"not a CloudEvent: {error}") from error
        if at.tzinfo is not None:
            return Envelope(id, source, event_type, at, data, key, content, int(version), correlation, trace)
    found = read_headers(headers)
    attributes = {name[3:]: value for name, value in found.items() if name.startswith("ce-")}
    attributes["datacontenttype"] = found.get("content-type", JSON)
    return Envelope.from_attributes(attributes, data)


def poison_envelope(subject: str, sequence: int, data: bytes, at_ns: int) -> Envelope:
    """An envelope made up for a message that is no CloudEvent, so that it can be kept and looked at."""
    return Envelope(
        id=f"poison-{EVENTS}-{sequence}",
        source="unknown",
        type=subject.removeprefix("evt."),
        time=datetime.fromtimestamp(at_ns / 1e9, UTC),
        data=data,
        datacontenttype="application/octet-stream",
    )


def delivery_numbers(reply: bytes) -> tuple[int, int, int]:
    """Count of deliveries, stream sequence and store time (ns) from the subject to acknowledge on.

    Source: NATS ADR-15: `$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>`, or with domain and
    account hash in front of the stream.
    """
    tokens = reply.split(b".")
    first = 4 if len(tokens) == 9 else 6
    return int(tokens[first]), int(tokens[first + 1]), int(tokens[first + 3])


def consumer_name(service: str, group: str) -> str:
    """The durable consumer of a group. `=` is in neither name, so no two groups share one."""
    return f"{service}={group}"


def consumer_config(subscription: Subscription) -> dict[str, Any]:
    """The durable consumer of a group, as JetStream takes it.

    The limit on deliveries is ours, not the server's (its own only drops silently); retries are delayed by us too.
    """
    own = again_subject(subscription.service, subscription.group, ">")
    return {
        "name": consumer_name(subscription.service, subscription.group),
        "durable_name": consumer_name(subscription.service, subscription.group),
        "filter_subjects": [*(event_subject(pattern) for pattern in disjoint(subscription.types)), own],
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(subscription.ack_wait_s * NANOS),
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "replay_policy": "instant",
    }

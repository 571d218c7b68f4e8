"""Events: declared event types, the CloudEvents envelope, and durable transports behind one contract.

Purpose: say what an event is, carry it from one service to all that asked for it, at least once, and keep what fails.
May import: core, config, broker; pydantic and orjson. The NATS client is known to `broker` alone.
May touch: the network, through the transport chosen by URL.
Guarantees: a published event is stored before `publish` returns; a delivery is acknowledged after its handler returned;
what keeps failing ends in the dead letters, never in an endless loop.
"""

from hanse.events.contract import (
    Capability,
    DeadLetter,
    Delivery,
    Handler,
    Notice,
    Subscribed,
    Subscription,
    Transport,
)
from hanse.events.declaration import EventType, event, event_type
from hanse.events.envelope import Envelope
from hanse.events.errors import PoisonEvent
from hanse.events.url import transport_from_url

__all__ = [
    "Capability",
    "DeadLetter",
    "Delivery",
    "Envelope",
    "EventType",
    "Handler",
    "Notice",
    "PoisonEvent",
    "Subscribed",
    "Subscription",
    "Transport",
    "event",
    "event_type",
    "transport_from_url",
]

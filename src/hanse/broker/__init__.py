"""Broker: one connection to NATS, for every room that keeps something there.

Purpose: connect and stay connected, send and receive raw messages, call JetStream, tell refused from lost.
May import: core, orjson and the NATS client, which no other room imports.
May touch: the network, through the NATS client.
Guarantees: it reconnects for ever until stopped, also after the server threw the client out, and brings its
subscriptions along; nobody waits for an answer that a lost connection can't bring.

It is a room of its own, below those that use it, because rooms on one floor do not know each other, and two copies
of the reconnect and permission rules would drift apart. Each user still opens a link of its own: a stream of events
that saturates one connection must not delay the heartbeats on another.
"""

from hanse.broker.client import Sink
from hanse.broker.jetstream import NANOS, JetStream, JetStreamError
from hanse.broker.link import Link, publish_command

__all__ = ["NANOS", "JetStream", "JetStreamError", "Link", "Sink", "publish_command"]

"""Events on NATS JetStream: two streams, one link, our own publish window and pull loop."""

import asyncio
import base64
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal

from hanse.broker import JetStreamError, Link
from hanse.core import Env
from hanse.core.errors import NotFound
from hanse.events.contract import Capability, DeadLetter, Handler, Notice, Subscribed, Subscription, Transport
from hanse.events.envelope import Envelope
from hanse.events.nats_consumer import NatsSubscribed
from hanse.events.nats_publisher import Publisher
from hanse.events.nats_streams import Streams
from hanse.events.nats_wire import (
    DEAD,
    again_subject,
    dead_subject,
    encode,
    publish_subject,
    read_envelope,
    read_headers,
    write_headers,
)
from hanse.events.verdict import Verdict

_START_WITHIN_S = 10.0
_REASON, _ATTEMPTS, _AT = "hanse-reason", "hanse-attempts", "hanse-at"


class NatsTransport(Transport):
    """Events on NATS JetStream.

    Args:
        env: the node's seams.
        url: of the server or cluster, see `hanse.broker.Link`.
        name: of the client.
    """

    name = "events"
    capabilities = frozenset({Capability.SERVER})

    def __init__(self, env: Env, url: str, *, name: str) -> None:
        self._env = env
        self._link = Link(env, url, name=name)
        self._streams = Streams(env, self._link)
        self._publisher = Publisher(env, self._link, self._streams)
        self._subscribed: list[NatsSubscribed] = []
        self._serving = False
        self._link.on_connected.append(lambda: self._tell_of_link("connected"))
        self._link.on_disconnected.append(lambda: self._tell_of_link("disconnected"))
        self._link.on_refused.append(lambda subject: self._tell(Notice("refused", event=subject)))

    async def start(self) -> None:
        await self._publisher.start()
        await self._link.start()
        await self._streams.wait(_START_WITHIN_S)
        self._serving = True

    async def ready(self) -> str | None:
        return await self._link.ready()

    async def drain(self) -> None:
        await asyncio.gather(*(subscribed.drain() for subscribed in self._subscribed))

    async def stop(self) -> None:
        self._serving = False
        while self._subscribed:
            await self._subscribed.pop().stop()
        self._publisher.stop()
        self._streams.stop()
        await self._link.stop()

    def _tell_of_link(self, kind: Literal["connected", "disconnected"]) -> None:
        """A connection lost and found again is news; its first coming and its end are not."""
        if self._serving:
            self._tell(Notice(kind))

    async def publish(self, envelopes: Sequence[Envelope]) -> None:
        await self._publisher.publish(
            [(publish_subject(event.type), write_headers(event), event.data) for event in envelopes]
        )

    async def subscribe(self, subscription: Subscription, handler: Handler) -> Subscribed:
        subscribed = NatsSubscribed(
            self._env, self._link, self._streams, subscription, handler, bury=self._bury, tell=self._tell
        )
        await self._streams.wait(_START_WITHIN_S)
        await subscribed.start()
        self._subscribed.append(subscribed)
        return subscribed

    async def dead_letters(self, service: str, *, limit: int = 100) -> tuple[DeadLetter, ...]:
        found: list[DeadLetter] = []
        sequence = 1
        while len(found) < limit:
            try:
                message = await self._dead(next_by_subj=f"dlq.{service}.>", seq=sequence)
            except NotFound:
                break
            found.append(_letter(message))
            sequence = message["seq"] + 1
        return tuple(found)

    async def redeliver(self, letter: DeadLetter) -> None:
        await self._dead(seq=int(letter.id))
        event = letter.envelope
        subject = again_subject(letter.service, letter.group, event.type).encode()
        headers = write_headers(event, message_id=f"again:{letter.id}:{encode(event.id)}")
        await self._publisher.publish([(subject, headers, event.data)])
        await self.discard(letter)

    async def discard(self, letter: DeadLetter) -> None:
        with suppress(NotFound):
            await self._dead(seq=int(letter.id))
            await self._streams.jetstream.call(f"STREAM.MSG.DELETE.{DEAD}", {"seq": int(letter.id)})

    async def _dead(self, **query: Any) -> dict[str, Any]:
        """One message of the dead letters; NotFound when there is none."""
        try:
            answer = await self._streams.jetstream.call(f"STREAM.MSG.GET.{DEAD}", query)
        except JetStreamError as error:
            if error.not_found:
                raise NotFound("there is no such dead letter") from error
            raise
        message: dict[str, Any] = answer["message"]
        return message

    async def _bury(
        self, subscription: Subscription, event: Envelope, verdict: Verdict, attempts: int, sequence: int
    ) -> None:
        service, group = subscription.service, subscription.group
        extra = (
            f"{_REASON}: {encode(verdict.reason)}\r\n{_ATTEMPTS}: {attempts}\r\n"
            f"{_AT}: {self._env.clock.utc().isoformat()}\r\n"
        )
        headers = write_headers(event, message_id=f"{service}={group}:{sequence}:{encode(event.id)}", extra=extra)
        await self._publisher.publish([(dead_subject(service, group, event.type).encode(), headers, event.data)])

    def _tell(self, notice: Notice) -> None:
        if self.on_notice is not None:
            self.on_notice(notice)
        elif notice.error is not None:
            self._env.scope.on_error(f"events/{notice.service}/{notice.group}", notice.error)


def _letter(message: dict[str, Any]) -> DeadLetter:
    """A dead letter from a stored message. Source: NATS JetStream API, `STREAM.MSG.GET`."""
    _, service, group, _ = message["subject"].split(".", 3)
    block = base64.b64decode(message["hdrs"])
    headers = read_headers(block)
    return DeadLetter(
        id=str(message["seq"]),
        service=service,
        group=group,
        envelope=read_envelope(block, base64.b64decode(message.get("data", ""))),
        reason=headers[_REASON],
        attempts=int(headers[_ATTEMPTS]),
        at=datetime.fromisoformat(headers[_AT]),
    )

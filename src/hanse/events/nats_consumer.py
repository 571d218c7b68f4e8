"""One replica's part in a group: workers that empty a short buffer, which a continuous pull fills."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import orjson

from hanse.broker import NANOS, JetStreamError, Link, publish_command
from hanse.core import Env
from hanse.core.errors import ConfigurationError, HanseError, Unavailable
from hanse.events.contract import Delivery, Handler, Notice, Subscribed, Subscription
from hanse.events.envelope import Envelope
from hanse.events.errors import PoisonEvent
from hanse.events.nats_pull import BUFFER_S, HEARTBEAT_S, Pull, Raw, window
from hanse.events.nats_streams import Streams
from hanse.events.nats_wire import (
    EVENTS,
    again_subject,
    consumer_config,
    delivery_numbers,
    poison_envelope,
    read_envelope,
)
from hanse.events.patterns import disjoint, matcher
from hanse.events.verdict import Verdict, after_failure, before_handling

_YIELD_EVERY = 64
_RETRY_S = 0.2
_GIVE_BACK = b"-NAK"

Bury = Callable[[Subscription, Envelope, Verdict, int, int], Awaitable[None]]
"""Keeps an event as a dead letter: subscription, event, verdict, attempts, sequence in the stream."""


class NatsSubscribed(Subscribed):
    """A replica's part in a group.

    Args:
        env: the node's seams.
        link: the started connection.
        streams: makes the stream; the consumer is made here.
        subscription, handler: as given to `Transport.subscribe`.
        bury: keeps a dead letter; raises HanseError when it can't now.
        tell: takes notices.
    """

    def __init__(
        self,
        env: Env,
        link: Link,
        streams: Streams,
        subscription: Subscription,
        handler: Handler,
        *,
        bury: Bury,
        tell: Callable[[Notice], None],
    ) -> None:
        self.subscription = subscription
        self._env = env
        self._link = link
        self._streams = streams
        self._handler = handler
        self._bury = bury
        self._tell = tell
        self._config = consumer_config(subscription)
        self._label = f"events/{subscription.service}/{subscription.group}"
        self._pull = Pull(
            env, link, self._config["name"], deliver=self._received, hungry=self._replenish, broken=self.revive
        )
        self._again = again_subject(subscription.service, subscription.group, "").encode()
        widened = disjoint(subscription.types) != tuple(sorted(set(subscription.types)))
        self._wants = matcher(subscription.types) if widened else None
        self._buffer: deque[Raw] = deque()
        self._in_hand: dict[bytes, None] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._window = subscription.concurrency
        self._mean_s = BUFFER_S  # of a handler; slow until proven quick
        self._born = ""
        self._closing = False
        self._workers: list[asyncio.Task[None]] = []
        self._watcher: asyncio.Task[None] | None = None
        self._reviver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the consumer, then begin to pull."""
        await self._ensure()
        await self._pull.start()
        scope = self._env.scope
        self._workers = [scope.spawn(self._work(), name=self._label) for _ in range(self.subscription.concurrency)]
        self._watcher = scope.supervise(self._watch, name=f"{self._label}/watch")
        self._streams.on_usable.append(self.revive)
        self._replenish()

    async def backlog(self) -> int:
        info = await self._streams.jetstream.call(f"CONSUMER.INFO.{EVENTS}.{self._config['name']}")
        return int(info["num_pending"]) + int(info["num_ack_pending"])

    async def drain(self) -> None:
        await self._close()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._settle()

    async def stop(self) -> None:
        await self._close()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._settle()

    def revive(self) -> None:
        """Make the consumer again if it is gone, and pull anew: after a reconnect, or when the server says so."""
        if not self._closing and (self._reviver is None or self._reviver.done()):
            self._reviver = self._env.scope.spawn(self._revive(), name=f"{self._label}/revive")

    async def _revive(self) -> None:
        while not self._closing:
            try:
                await self._streams.wait(60.0)
                await self._ensure()
                break
            except HanseError as error:
                if not error.retryable:
                    self._env.scope.on_error(self._label, error)
                await self._env.clock.sleep(_RETRY_S)
        self._pull.forget()
        self._replenish()

    async def _ensure(self) -> None:
        try:
            await self._streams.jetstream.ensure_consumer(EVENTS, self._config)
        except JetStreamError as error:
            if error.not_found:
                self._streams.suspect()
                raise Unavailable("the stream of events is gone; it is being made again") from error
            raise ConfigurationError(f"{self._label}: {error.message}") from error
        if self._born != self._streams.born:
            # A new stream counts from 1 again: an acknowledgement of an old delivery would hit another event.
            self._born = self._streams.born
            self._buffer.clear()
            self._in_hand.clear()

    def _replenish(self) -> None:
        """Ask for more once less than half a window is buffered or on its way."""
        coming = self._pull.coming + len(self._buffer)
        if coming * 2 <= self._window and not self._closing and self._link.connected:
            self._pull.ask(self._window - coming)

    def _received(self, raw: Raw) -> None:
        if self._closing:
            self._link.post(publish_command(raw[1], b"", b"", _GIVE_BACK))
            return
        self._buffer.append(raw)
        if self._idle:
            self._wake()

    def _wake(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    async def _work(self) -> None:
        clock, buffer, concurrency = self._env.clock, self._buffer, self.subscription.concurrency
        handled = 0
        while not self._closing:
            if not buffer:
                waiter = asyncio.get_running_loop().create_future()
                self._idle.append(waiter)
                await waiter
                continue
            raw = buffer.popleft()
            if buffer and self._idle:
                self._wake()
            self._replenish()
            began = clock.monotonic()
            await self._deliver(raw)
            self._mean_s += (clock.monotonic() - began - self._mean_s) * 0.05
            handled += 1
            self._window = window(concurrency, self._mean_s)
            if handled % _YIELD_EVERY == 0:
                await clock.sleep(0)

    async def _deliver(self, raw: Raw) -> None:
        subject, reply, data, headers = raw
        attempt, sequence, stored_ns = delivery_numbers(reply)
        self._in_hand[reply] = None
        failure: Exception | None = None
        try:
            try:
                envelope = read_envelope(headers, data)
                verdict = before_handling(self.subscription, attempt)
            except PoisonEvent as error:
                envelope, failure = poison_envelope(subject.decode(), sequence, data, stored_ns), error
                verdict = after_failure(self.subscription, attempt, error)
            if verdict is None and self._asked_for(subject, envelope):
                try:
                    await self._handler(Delivery(envelope, attempt))
                except Exception as error:
                    failure, verdict = error, after_failure(self.subscription, attempt, error)
            if verdict is None:
                self._answer(reply, b"+ACK")
                return
            if verdict.action == "bury":
                await self._bury(self.subscription, envelope, verdict, attempt, sequence)
                self._answer(reply, b"+ACK")
            else:
                self._answer(reply, _retry_in(verdict.delay_s))
            self._tell(verdict.notice(self.subscription, envelope.id, attempt, failure))
        except HanseError as error:  # not the handler's: the dead letter could not be kept
            self._answer(reply, _retry_in(self.subscription.retry_delay_s(attempt)))
            self._env.scope.on_error(self._label, error)
        except asyncio.CancelledError:
            self._answer(reply, _GIVE_BACK)
            raise

    def _asked_for(self, subject: bytes, envelope: Envelope) -> bool:
        return self._wants is None or subject.startswith(self._again) or self._wants(envelope.type)

    def _answer(self, reply: bytes, word: bytes) -> None:
        if reply in self._in_hand:
            del self._in_hand[reply]
            self._link.post(publish_command(reply, b"", b"", word))

    async def _watch(self) -> None:
        """Keep what is in hand ours, and notice when the server has fallen silent."""
        renew_s = self.subscription.ack_wait_s / 3
        renewed = self._env.clock.monotonic()
        while not self._closing:
            await self._env.clock.sleep(min(float(HEARTBEAT_S), renew_s))
            now = self._env.clock.monotonic()
            if now - renewed >= renew_s and self._link.connected:
                renewed = now
                for reply in [*self._in_hand, *(raw[1] for raw in self._buffer)]:
                    self._link.post(publish_command(reply, b"", b"", b"+WPI"))
            if self._link.connected and self._pull.silent():
                self.revive()

    async def _close(self) -> None:
        """Take nothing new, and give back what no worker has begun."""
        if self._closing:
            return
        self._closing = True
        if self.revive in self._streams.on_usable:
            self._streams.on_usable.remove(self.revive)
        await self._pull.stop()
        while self._buffer:
            self._link.post(publish_command(self._buffer.popleft()[1], b"", b"", _GIVE_BACK))
        while self._idle:
            self._wake()

    async def _settle(self) -> None:
        for task in (self._watcher, self._reviver):
            if task is not None:
                task.cancel()
        if self._link.connected:
            try:
                await self._link.flush()
            except Unavailable as error:
                self._env.scope.on_error(self._label, error)  # unsent acknowledgements: these events come again


def _retry_in(delay_s: float) -> bytes:
    return b"-NAK %b" % orjson.dumps({"delay": int(delay_s * NANOS)}) if delay_s > 0 else _GIVE_BACK

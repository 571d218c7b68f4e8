"""What every transport of events must do. Bind it to a backend by a `stage` fixture; see tests/conformance/events."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from hanse.core import Env
from hanse.core.errors import InvalidInput, NotFound
from hanse.events import (
    Capability,
    Delivery,
    Envelope,
    Notice,
    Subscribed,
    Subscription,
    Transport,
    event,
    transport_from_url,
)
from hanse.testing.nats_server import NatsServer

PATIENCE_S = 10.0


@event("order.placed", version=3, key="order_id")
class OrderPlaced(BaseModel):
    order_id: str
    note: str = ""


class TransportStage:
    """Gives a test as many nodes as it likes on one broker.

    Args:
        url: of the broker.
        server: the broker's process, where it has one.
    """

    def __init__(self, url: str, server: NatsServer | None = None) -> None:
        self.url = url
        self._server = server
        self._nodes: list[tuple[Env, Transport]] = []

    @property
    def server(self) -> NatsServer:
        if self._server is None:
            pytest.skip(f"{self.url}: no capability {Capability.SERVER}")
        return self._server

    async def transport(self, name: str = "orders") -> Transport:
        """A started transport on a node of its own."""
        env = Env.build(f"{name}-{len(self._nodes)}")
        env.scope.on_error = lambda task, error: None  # failures are what these tests are about
        transport = transport_from_url(env, self.url, name)
        self._nodes.append((env, transport))
        await transport.start()
        return transport

    async def close(self) -> None:
        for env, transport in self._nodes:
            await transport.stop()
            await env.scope.close()


class Recorder:
    """A handler that writes down what it gets, and fails or waits when told to."""

    def __init__(self, act: Callable[[Delivery], Any] | None = None) -> None:
        self.seen: list[Delivery] = []
        self.at: list[float] = []
        self.busy = self.most_busy = self.finished = 0
        self._act = act
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        self.at.append(asyncio.get_running_loop().time())
        self.busy += 1
        self.most_busy = max(self.busy, self.most_busy)
        await self._tell()
        try:
            if self._act is not None and (waiting := self._act(delivery)) is not None:
                await waiting
            self.finished += 1
        finally:
            self.busy -= 1
            await self._tell()

    @property
    def keys(self) -> list[str]:
        return [delivery.envelope.subject for delivery in self.seen]

    async def until(self, true: Callable[["Recorder"], bool], within_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: true(self))

    async def count(self, n: int, within_s: float = PATIENCE_S) -> None:
        await self.until(lambda self: len(self.seen) >= n, within_s)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def placed(key: str, type: str = "order.placed", data: bytes | None = None) -> Envelope:
    """An event that is about `key`."""
    env = Env.build("test")
    made = Envelope.of(OrderPlaced(order_id=key), source="orders", env=env)
    return Envelope(made.id, made.source, type, made.time, made.data if data is None else data, key, version=3)


async def settled(subscribed: Subscribed) -> None:
    """Wait until the group has nothing left to do."""
    await eventually(lambda: backlog_is(subscribed, 0))


async def backlog_is(subscribed: Subscribed, count: int) -> bool:
    return await subscribed.backlog() == count


async def eventually(true: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Wait until an awaitable condition holds; for states that nobody announces."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 - the state is the backend's, which tells nobody
            await asyncio.sleep(0.01)


def subscription(*types: str, **options: Any) -> Subscription:
    options.setdefault("retry_delays_s", (0.02,))
    return Subscription("billing", types or ("order.placed",), **options)


class TransportSuite:
    """The cases. Each gets a fresh broker through the fixture `stage`."""

    async def test_an_event_arrives_as_it_was_published(self, stage: TransportStage) -> None:
        transport, got = await stage.transport(), Recorder()
        await transport.subscribe(subscription(), got)
        sent = Envelope.of(
            OrderPlaced(order_id=' ä "%41" \r\n', note="ж" * 50),
            source="orders",
            env=Env.build("test"),
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        await transport.publish([sent])
        await got.count(1)
        assert got.seen[0].envelope == sent
        assert got.seen[0].attempt == 1
        assert got.seen[0].envelope.decode(OrderPlaced).note == "ж" * 50

    async def test_it_is_acknowledged_after_the_handler(self, stage: TransportStage) -> None:
        transport, gate = await stage.transport(), asyncio.Event()
        got = Recorder(lambda _: gate.wait())
        subscribed = await transport.subscribe(subscription(), got)
        await transport.publish([placed("a")])
        await got.count(1)
        assert await subscribed.backlog() == 1
        gate.set()
        await settled(subscribed)
        assert len(got.seen) == 1

    async def test_a_failure_is_retried_on_our_schedule(self, stage: TransportStage) -> None:
        def fail_twice(delivery: Delivery) -> None:
            if delivery.attempt < 3:
                raise RuntimeError("not yet")

        transport, got = await stage.transport(), Recorder(fail_twice)
        notices: list[Notice] = []
        transport.on_notice = notices.append
        subscribed = await transport.subscribe(subscription(retry_delays_s=(0.1, 0.3)), got)
        await transport.publish([placed("a")])
        await got.count(3)
        await settled(subscribed)
        assert [delivery.attempt for delivery in got.seen] == [1, 2, 3]
        pauses = [later - earlier for earlier, later in zip(got.at, got.at[1:], strict=False)]
        assert 0.095 <= pauses[0] < 0.28 <= pauses[1] < 1.0
        assert [(notice.kind, notice.attempt) for notice in notices if notice.event] == [("failed", 1), ("failed", 2)]

    async def test_what_always_fails_ends_in_the_dead_letters(self, stage: TransportStage) -> None:
        def refuse_bad(delivery: Delivery) -> None:
            if delivery.envelope.subject == "bad":
                raise RuntimeError("no good")

        transport, got = await stage.transport(), Recorder(refuse_bad)
        subscribed = await transport.subscribe(subscription(max_deliver=3), got)
        bad = placed("bad")
        await transport.publish([bad, placed("good")])
        await settled(subscribed)
        assert sorted(got.keys) == ["bad", "bad", "bad", "good"]
        (letter,) = await transport.dead_letters("billing")
        assert (letter.envelope, letter.attempts, letter.group) == (bad, 3, "main")
        assert letter.reason == "RuntimeError: no good"
        assert await transport.dead_letters("shipping") == ()

    async def test_poison_ends_in_the_dead_letters_at_once(self, stage: TransportStage) -> None:
        def read(delivery: Delivery) -> None:
            delivery.envelope.decode(OrderPlaced)

        transport, got = await stage.transport(), Recorder(read)
        subscribed = await transport.subscribe(subscription(), got)
        await transport.publish([placed("a", data=b"\xff{"), placed("b")])
        await settled(subscribed)
        assert sorted(got.keys) == ["a", "b"]
        (letter,) = await transport.dead_letters("billing")
        assert (letter.envelope.data, letter.attempts) == (b"\xff{", 1)
        assert letter.reason.startswith("PoisonEvent:")

    async def test_a_dead_letter_goes_back_to_its_own_group_only(self, stage: TransportStage) -> None:
        transport, healthy = await stage.transport(), asyncio.Event()

        def fail_until_healthy(_: Delivery) -> None:
            if not healthy.is_set():
                raise RuntimeError("down")

        got, other = Recorder(fail_until_healthy), Recorder()
        subscribed = await transport.subscribe(subscription(max_deliver=1), got)
        await transport.subscribe(subscription(group="audit"), other)
        await transport.publish([placed("a"), placed("b")])
        await settled(subscribed)
        first, second = await transport.dead_letters("billing")
        assert await transport.dead_letters("billing", limit=1) == (first,)
        healthy.set()
        await transport.redeliver(first)
        await transport.discard(second)
        await transport.discard(second)
        await got.count(3)
        await settled(subscribed)
        assert got.seen[-1].envelope == first.envelope
        assert got.seen[-1].attempt == 1
        assert await transport.dead_letters("billing") == ()
        assert len(other.seen) == 2
        with pytest.raises(NotFound):
            await transport.redeliver(second)

    async def test_replicas_share_and_groups_do_not(self, stage: TransportStage) -> None:
        gate = asyncio.Event()
        one, two, audit = Recorder(lambda _: gate.wait()), Recorder(lambda _: gate.wait()), Recorder()
        for got in (one, two):
            await (await stage.transport("billing")).subscribe(subscription(concurrency=5), got)
        subscribed = await (await stage.transport("audit")).subscribe(subscription(group="audit"), audit)
        await (await stage.transport()).publish([placed(str(n)) for n in range(10)])
        await one.count(5)
        await two.count(5)
        gate.set()
        await audit.count(10)
        await settled(subscribed)
        assert sorted([*one.keys, *two.keys]) == sorted(audit.keys) == [str(n) for n in range(10)]

    @pytest.mark.parametrize(
        ("patterns", "expected"),
        [
            (("order.placed",), {"order.placed"}),
            (("order.*",), {"order.placed", "order.paid"}),
            (("order.#",), {"order.placed", "order.paid", "order.line.added"}),
            (("#",), {"order.placed", "order.paid", "order.line.added", "stock.placed", "tick"}),
            (("order.*", "order.placed", "tick"), {"order.placed", "order.paid", "tick"}),
            (("order.*", "*.placed"), {"order.placed", "order.paid", "stock.placed"}),
        ],
        ids=" ".join,
    )
    async def test_patterns(self, stage: TransportStage, patterns: tuple[str, ...], expected: set[str]) -> None:
        transport, got = await stage.transport(), Recorder()
        subscribed = await transport.subscribe(subscription(*patterns), got)
        types = ("order.placed", "order.paid", "order.line.added", "stock.placed", "tick")
        await transport.publish([placed("a", type) for type in types])
        await got.count(len(expected))
        await settled(subscribed)
        assert sorted(delivery.envelope.type for delivery in got.seen) == sorted(expected)

    async def test_the_same_id_is_stored_once(self, stage: TransportStage) -> None:
        transport, got = await stage.transport(), Recorder()
        subscribed = await transport.subscribe(subscription(), got)
        again = placed("a")
        await transport.publish([again, again])
        await (await stage.transport()).publish([again, placed("b")])
        await got.count(2)
        await settled(subscribed)
        assert sorted(got.keys) == ["a", "b"]

    async def test_one_at_a_time_keeps_the_order(self, stage: TransportStage) -> None:
        transport, got = await stage.transport(), Recorder(lambda _: asyncio.sleep(0))
        await transport.subscribe(subscription(concurrency=1), got)
        for start in range(0, 600, 100):
            await transport.publish([placed(str(n)) for n in range(start, start + 100)])
        await got.count(600)
        assert got.keys == [str(n) for n in range(600)]
        assert got.most_busy == 1

    async def test_events_wait_for_a_group_that_is_away(self, stage: TransportStage) -> None:
        publisher, reader = await stage.transport(), await stage.transport("billing")
        first, second = Recorder(), Recorder()
        await publisher.publish([placed("before")])
        subscribed = await reader.subscribe(subscription(), first)
        await publisher.publish([placed("during")])
        await first.count(2)
        await settled(subscribed)
        await subscribed.stop()
        await publisher.publish([placed("away")])
        await (await stage.transport("billing")).subscribe(subscription(), second)
        await second.count(1)
        assert sorted(first.keys) == ["before", "during"]
        assert second.keys == ["away"]

    async def test_no_more_at_once_than_asked_for_and_no_hoarding(self, stage: TransportStage) -> None:
        gate = asyncio.Event()
        slow, quick = Recorder(lambda _: gate.wait()), Recorder()
        subscribed = await (await stage.transport("billing")).subscribe(subscription(concurrency=3), slow)
        publisher = await stage.transport()
        await publisher.publish([placed(str(n)) for n in range(40)])
        await slow.count(3)
        await (await stage.transport("billing")).subscribe(subscription(concurrency=3), quick)
        await quick.count(40 - 6)  # three at work, at most as many again waiting behind them
        assert slow.most_busy == 3
        gate.set()
        await settled(subscribed)
        assert slow.most_busy == 3
        assert sorted([*slow.keys, *quick.keys], key=int) == [str(n) for n in range(40)]

    async def test_a_slow_handler_keeps_its_event(self, stage: TransportStage) -> None:
        transport, gate = await stage.transport(), asyncio.Event()
        got = Recorder(lambda _: gate.wait())
        subscribed = await transport.subscribe(subscription(ack_wait_s=0.4), got)
        await transport.publish([placed("a")])
        await got.count(1)
        with pytest.raises(TimeoutError):
            await got.count(2, within_s=1.2)
        gate.set()
        await settled(subscribed)
        assert len(got.seen) == 1

    async def test_drain_ends_what_is_in_hand_and_leaves_the_rest(self, stage: TransportStage) -> None:
        gate = asyncio.Event()
        leaving, staying = Recorder(lambda _: gate.wait()), Recorder()
        transport = await stage.transport("billing")
        await transport.subscribe(subscription(concurrency=2), leaving)
        await (await stage.transport()).publish([placed(str(n)) for n in range(8)])
        await leaving.count(2)
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(transport.drain())
            subscribed = await (await stage.transport("billing")).subscribe(subscription(), staying)
            await staying.count(6)
            assert not drained.done()
            gate.set()
        await transport.stop()
        await settled(subscribed)
        assert (len(leaving.seen), leaving.finished, len(staying.seen)) == (2, 2, 6)
        assert sorted([*leaving.keys, *staying.keys]) == [str(n) for n in range(8)]

    async def test_stop_gives_back_at_once(self, stage: TransportStage) -> None:
        never = asyncio.Event()
        leaving, staying = Recorder(lambda _: never.wait()), Recorder()
        transport = await stage.transport("billing")
        await transport.subscribe(subscription(concurrency=2), leaving)
        await (await stage.transport()).publish([placed(str(n)) for n in range(8)])
        await leaving.count(2)
        await transport.stop()
        assert (leaving.busy, leaving.finished) == (0, 0)
        await (await stage.transport("billing")).subscribe(subscription(), staying)
        await staying.count(8, within_s=3)
        assert sorted(staying.keys) == [str(n) for n in range(8)]

    async def test_stop_at_any_time(self, stage: TransportStage) -> None:
        env = Env.build("never-started")
        await transport_from_url(env, stage.url, "orders").stop()
        transport = await stage.transport()
        assert await transport.ready() is None
        subscribed = await transport.subscribe(subscription(), Recorder())
        await subscribed.stop()
        await subscribed.stop()
        await transport.drain()
        await transport.stop()
        await transport.stop()
        assert await transport.ready() is not None

    async def test_bad_types_are_refused(self, stage: TransportStage) -> None:
        transport = await stage.transport()
        for bad in ("", "order placed", "order..placed", "order.*", "order.\r\nPUB x 0"):
            with pytest.raises(InvalidInput):
                await transport.publish([placed("a", bad)])

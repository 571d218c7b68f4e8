"""What every transport of events must do. Bind it to a backend by a `stage` fixture; see tests/conformance/events."""

import asyncio

import pytest

from hanse.core import Env
from hanse.core.errors import InvalidInput, NotFound
from hanse.events import Delivery, Envelope, Notice, transport_from_url
from hanse.testing.transport_stage import OrderPlaced, Recorder, TransportStage, placed, settled, subscription


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
        subscribed = await (await stage.transport("billing")).subscribe(subscription(), staying)
        await staying.count(4)  # where a replica buffers, two more wait behind the two at work
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(transport.drain())
            await staying.count(6, within_s=3)
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

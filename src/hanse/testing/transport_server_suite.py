"""What a transport must do whose broker is a server of its own, which can die and come back, even empty."""

import asyncio
import sys

import pytest

from hanse.core.errors import InvalidInput
from hanse.events import Delivery, Envelope, Notice, Transport
from hanse.testing.transport_stage import (
    Recorder,
    TransportStage,
    backlog_is,
    eventually,
    placed,
    settled,
    subscription,
)

_RESUMED_WITHIN_S = 2.0

_HANGING_REPLICA = """
import asyncio, sys
from hanse.core import Env
from hanse.events import Subscription, transport_from_url

async def main():
    transport = transport_from_url(Env.build("hanging"), sys.argv[1], "billing")
    await transport.start()
    async def hang(delivery):
        print(delivery.envelope.subject, flush=True)
        await asyncio.Event().wait()
    await transport.subscribe(Subscription("billing", ("order.placed",), concurrency=1, ack_wait_s=1.0), hang)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def _publish_until(transport: Transport, stop: asyncio.Event, sent: list[Envelope]) -> None:
    """Publish one event after the other; those that were acknowledged are in `sent`."""
    while not stop.is_set():
        event = placed(str(len(sent)))
        await transport.publish([event])
        sent.append(event)


class TransportServerSuite:
    """The cases. Each gets a fresh server through the fixture `stage`."""

    async def test_a_kill_while_publishing_loses_nothing(self, stage: TransportStage) -> None:
        publisher, got = await stage.transport(), Recorder()
        subscribed = await (await stage.transport("billing")).subscribe(
            subscription(concurrency=4, ack_wait_s=1.0), got
        )
        stop, sent = asyncio.Event(), list[list[Envelope]]([[], [], [], []])
        async with asyncio.TaskGroup() as group:
            for mine in sent:
                group.create_task(_publish_until(publisher, stop, mine))
            for kept in (200, 400):
                await got.see_different(kept)
                stage.server.kill()
                await stage.server.start()
            await got.see_different(600)
            stop.set()
        published = [event.id for mine in sent for event in mine]
        await settled(subscribed)
        assert set(published) == got.different, "every acknowledged event arrives; nothing else was stored"

    async def test_deliveries_resume_by_themselves(self, stage: TransportStage) -> None:
        publisher, reader, got = await stage.transport(), await stage.transport("billing"), Recorder()
        notices: list[Notice] = []
        reader.on_notice = notices.append
        await reader.subscribe(subscription(), got)
        await publisher.publish([placed("before")])
        await got.count(1)
        stage.server.kill()
        await eventually(lambda: _not_ready(publisher))
        assert await reader.ready() is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(publisher.publish([placed("during")]))
            await stage.server.start()
            await got.until(lambda got: "during" in got.keys, within_s=_RESUMED_WITHIN_S)
        assert set(got.keys) == {"before", "during"}  # a server that is killed forgets its latest acknowledgements
        assert await reader.ready() is None
        assert [notice.kind for notice in notices] == ["disconnected", "connected"]

    async def test_an_empty_server_is_set_up_again(self, stage: TransportStage) -> None:
        publisher, got = await stage.transport(), Recorder()
        subscribed = await (await stage.transport("billing")).subscribe(subscription(), got)
        await publisher.publish([placed("before")])
        await settled(subscribed)
        stage.server.kill()
        stage.server.forget()
        await stage.server.start()
        await publisher.publish([placed("after")])
        await got.count(2, within_s=_RESUMED_WITHIN_S)
        await settled(subscribed)
        assert got.keys == ["before", "after"]

    async def test_an_old_acknowledgement_does_not_hit_a_new_event(self, stage: TransportStage) -> None:
        """An empty server counts from 1 again; what was in hand before must not be acknowledged there."""
        gates = {"old": asyncio.Event(), "new": asyncio.Event()}
        publisher, got = await stage.transport(), Recorder(lambda delivery: gates[delivery.envelope.subject].wait())
        subscribed = await (await stage.transport("billing")).subscribe(subscription(), got)
        await publisher.publish([placed("old")])
        await got.count(1)
        stage.server.kill()
        stage.server.forget()
        await stage.server.start()
        await publisher.publish([placed("new")])
        await got.count(2)
        gates["old"].set()
        await got.until(lambda got: got.finished == 1)
        marker = await stage.transport("audit")
        await marker.subscribe(subscription(group="audit"), Recorder())  # a round trip through the server
        assert await subscribed.backlog() == 1, "the new event is still in hand"
        gates["new"].set()
        await settled(subscribed)

    async def test_events_of_a_killed_replica_go_to_another(self, stage: TransportStage) -> None:
        publisher, got = await stage.transport(), Recorder()
        hanging = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _HANGING_REPLICA, stage.url, stdout=asyncio.subprocess.PIPE
        )
        try:
            probe = await (await stage.transport()).subscribe(subscription(group="probe"), Recorder())
            await publisher.publish([placed("a"), placed("b")])
            assert hanging.stdout is not None
            assert await hanging.stdout.readline() == b"a\n"
            hanging.kill()
            await hanging.wait()
            survivor = await stage.transport("billing")
            subscribed = await survivor.subscribe(subscription(ack_wait_s=1.0), got)
            await got.count(2, within_s=5)
            await settled(subscribed)
            await settled(probe)
            assert sorted(got.keys) == ["a", "b"]
            assert {delivery.envelope.subject: delivery.attempt for delivery in got.seen}["a"] == 2
        finally:
            if hanging.returncode is None:
                hanging.kill()
                await hanging.wait()

    async def test_what_kills_every_replica_is_buried_before_the_handler(self, stage: TransportStage) -> None:
        """A replica that dies on an event never reports a failure; the count of deliveries does."""
        never = asyncio.Event()
        publisher, got = await stage.transport(), Recorder(lambda _: never.wait())
        await publisher.publish([placed("deadly")])
        for attempt in (1, 2):
            replica = await stage.transport("billing")
            await replica.subscribe(subscription(max_deliver=2), got)
            await got.count(attempt)
            await replica.stop()
        last = await stage.transport("billing")
        subscribed = await last.subscribe(subscription(max_deliver=2), got)
        await settled(subscribed)
        assert len(got.seen) == 2
        (letter,) = await last.dead_letters("billing")
        assert (letter.envelope.subject, letter.attempts) == ("deadly", 3)

    async def test_a_dead_letter_outlives_the_server(self, stage: TransportStage) -> None:
        def refuse(_: Delivery) -> None:
            raise RuntimeError("no")

        transport = await stage.transport()
        subscribed = await transport.subscribe(subscription(max_deliver=1), Recorder(refuse))
        await transport.publish([placed("a")])
        await settled(subscribed)
        before = await transport.dead_letters("billing")
        stage.server.kill()
        await stage.server.start()
        assert await (await stage.transport()).dead_letters("billing") == before != ()

    async def test_too_large_is_refused_and_harmless(self, stage: TransportStage) -> None:
        transport, got = await stage.transport(), Recorder()
        subscribed = await transport.subscribe(subscription(), got)
        with pytest.raises(InvalidInput):
            await transport.publish([placed("large", data=b"x" * (1 << 20))])
        await transport.publish([placed("small")])
        await got.count(1)
        await eventually(lambda: backlog_is(subscribed, 0))
        assert got.keys == ["small"]

    async def test_stopping_while_the_server_is_away(self, stage: TransportStage) -> None:
        transport = await stage.transport()
        await transport.subscribe(subscription(), Recorder())
        stage.server.kill()
        async with asyncio.timeout(3):
            await transport.drain()
            await transport.stop()


async def _not_ready(transport: Transport) -> bool:
    return await transport.ready() is not None

"""What an operator does to the broker by hand does not stop the deliveries."""

import pytest

from hanse.broker import JetStream, Link
from hanse.core import Env
from hanse.testing.nats_server import NatsServer
from hanse.testing.transport_stage import Recorder, TransportStage, placed, settled, subscription


@pytest.fixture
async def stage(tmp_path):
    server = NatsServer(tmp_path)
    await server.start()
    stage = TransportStage(server.url, server)
    yield stage
    await stage.close()
    server.stop()


@pytest.mark.parametrize("deleted", ["CONSUMER.DELETE.EVENTS.billing=main", "STREAM.DELETE.EVENTS"])
async def test_what_is_deleted_is_made_again(stage, deleted):
    publisher, got = await stage.transport(), Recorder()
    subscribed = await (await stage.transport("billing")).subscribe(subscription(), got)
    await publisher.publish([placed("before")])
    await settled(subscribed)
    env = Env.build("operator")
    link = Link(env, stage.url, name="operator")
    await link.start()
    await JetStream(link).call(deleted)
    await link.stop()
    await publisher.publish([placed("after")])
    await got.until(lambda got: "after" in got.keys, within_s=5)
    await settled(subscribed)

"""The NATS transport keeps the contract, against a real server."""

import pytest

from hanse.testing.nats_server import NatsServer
from hanse.testing.transport_server_suite import TransportServerSuite
from hanse.testing.transport_stage import TransportStage
from hanse.testing.transport_suite import TransportSuite


@pytest.fixture
async def stage(tmp_path):
    server = NatsServer(tmp_path)
    await server.start()
    stage = TransportStage(server.url, server)
    yield stage
    await stage.close()
    server.stop()


class TestNatsTransport(TransportSuite):
    pass


class TestNatsTransportAndItsServer(TransportServerSuite):
    pass

"""The NATS transport keeps the contract, against a real server."""

import pytest

from hanse.testing.nats_server import NatsServer
from hanse.testing.transport_suite import TransportStage, TransportSuite


class TestNatsTransport(TransportSuite):
    @pytest.fixture
    async def stage(self, tmp_path):
        server = NatsServer(tmp_path)
        await server.start()
        stage = TransportStage(server.url, server)
        yield stage
        await stage.close()
        server.stop()

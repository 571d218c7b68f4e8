"""The NATS registry keeps the contract, against a real server."""

import pytest

from hanse.testing.nats_server import NatsServer
from hanse.testing.registry_suite import RegistryStage, RegistrySuite


class TestNatsRegistry(RegistrySuite):
    @pytest.fixture
    async def stage(self, tmp_path):
        server = NatsServer(tmp_path)
        await server.start()
        stage = RegistryStage(server.url, server)
        yield stage
        await stage.close()
        server.stop()

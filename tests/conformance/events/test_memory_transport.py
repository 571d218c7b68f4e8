"""The memory transport keeps the contract."""

import pytest

from hanse.testing.transport_suite import TransportStage, TransportSuite


class TestMemoryTransport(TransportSuite):
    @pytest.fixture
    async def stage(self):
        stage = TransportStage("memory://test")
        yield stage
        await stage.close()

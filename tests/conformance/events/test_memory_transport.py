"""The memory transport keeps the contract."""

import pytest

from hanse.testing.transport_stage import TransportStage
from hanse.testing.transport_suite import TransportSuite


class TestMemoryTransport(TransportSuite):
    @pytest.fixture
    async def stage(self):
        stage = TransportStage("memory://test")
        yield stage
        await stage.close()

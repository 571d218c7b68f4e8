"""The memory registry keeps the contract."""

import pytest

from hanse.testing.registry_suite import RegistryStage, RegistrySuite


class TestMemoryRegistry(RegistrySuite):
    @pytest.fixture
    async def stage(self):
        stage = RegistryStage("memory://test")
        yield stage
        await stage.close()

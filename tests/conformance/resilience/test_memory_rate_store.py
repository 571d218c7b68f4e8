"""The memory store keeps the contract."""

import pytest

from hanse.resilience import MemoryRateStore
from hanse.testing.rate_store_suite import RateStoreSuite


class TestMemoryRateStore(RateStoreSuite):
    @pytest.fixture
    async def stores(self):
        store = MemoryRateStore()
        yield store, store

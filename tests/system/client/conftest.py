"""The laboratory of one test."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from tests.system.client.client_laboratory import Laboratory

from hanse.core import Env
from hanse.registry.memory import MemoryBoard, MemoryRegistry
from hanse.telemetry import MemorySink, Metrics


@pytest.fixture
async def laboratory() -> AsyncIterator[Laboratory]:
    env = Env.build("test")
    async with AsyncExitStack() as stack:
        registry = MemoryRegistry(env, board=MemoryBoard())
        await registry.start()
        stack.push_async_callback(env.scope.close)
        stack.push_async_callback(registry.stop)
        yield Laboratory(env, registry, stack, MemorySink(), Metrics())

"""Fixtures around the rig; each test that changes or kills an Envoy has one of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.system.gateway.rig import Upstream, gateway

from hanse.gateway import Envoy


@pytest.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Envoy]:
    async with gateway(tmp_path / "envoy") as made:
        yield made


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = await Upstream("orders-1").start()
    yield made
    await made.stop()

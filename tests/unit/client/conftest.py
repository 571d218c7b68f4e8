"""The world of one test."""

import pytest
from tests.unit.client.client_world import World

from hanse.core import Env
from hanse.core.random import Random
from hanse.testing.clock import ManualClock


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    return World(Env.build("test", clock=clock, random=Random(7)), clock)

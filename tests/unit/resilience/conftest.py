"""A node on a clock that the test moves, with a fixed seed."""

import pytest

from hanse.core import Env
from hanse.core.random import Random
from hanse.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def env(clock: ManualClock) -> Env:
    return Env.build("test", clock=clock, random=Random(7))

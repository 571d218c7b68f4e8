"""The fixture of this folder; what it is made of is in `up_store.py`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from up_store import Up, end_all, write_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Up]:
    """A system of two services, not yet started; ended with the test, whatever happened."""
    (tmp_path / "output").mkdir()
    up = Up(write_store(tmp_path), tmp_path / "output")
    yield up
    end_all(up)

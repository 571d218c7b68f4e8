"""A shop of its own for a benchmark: copied sources with fresh state, so that nobody's running shop is touched."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness.processes import ROOT


@contextmanager
def copied_systems() -> Iterator[Path]:
    """A temporary copy of `systems/`; the path of its shop."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as folder:
        target = Path(folder) / "systems"
        shutil.copytree(ROOT / "systems", target, ignore=shutil.ignore_patterns(".hanse", "__pycache__"))
        yield target / "shop"
